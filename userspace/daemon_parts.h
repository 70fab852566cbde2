/* SPDX-License-Identifier: BSD-2-Clause */
/* Between daemon.c and daemon_front.c. */
#ifndef DANELAW_DAEMON_PARTS_H
#define DANELAW_DAEMON_PARTS_H

#include "userspace/daemon.h"

/* Is there to be one? */
bool daemon_has_front(const struct config *cfg);
/* Are connections handed out by it, and not by bind(2)? */
bool daemon_steers(const struct config *cfg);
/* The MSS that leaves room for the headers of balancers' tunnels, in bytes; 0: there are none. */
unsigned daemon_tunnel_mss(const struct config *cfg);
/* As root.  0, or negative with a sentence in err. */
int daemon_open_front(const struct config *cfg, unsigned workers, struct front **out, char *err, size_t err_size);
/*
 * Reads the files and puts what is in them into the front, at once or not at all; without files the lists are empty, and what an
 * earlier run had loaded goes.  front NULL: the files are only read.  0, or negative with a sentence in err.
 */
int daemon_load_lists(const struct config_front *c, struct front *front, char *err, size_t err_size);

#endif
