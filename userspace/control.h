/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control room: one thread behind a unix socket, for danelawctl and whoever likes JSON.
 *
 *   <run-dir>/control.sock, mode 0660, made as the daemon's own user: root and that user's group may ask
 *   request   {"verb":"sessions","limit":10}    one line; a bare word is a verb without arguments: status
 *   reply     {"ok":true,"result":{…}}  or  {"ok":false,"error":"a sentence"}    one line, in the order asked
 *
 * The verbs stand in one table (control_verbs.c).  Bounded: connections, the length of a request, and the time for it to
 * come, to be answered and to be taken; a client that is silent makes room for one that is not.
 */
#ifndef DANELAW_CONTROL_H
#define DANELAW_CONTROL_H

#include <stddef.h>

#include "userspace/daemon.h"

struct control;

/*
 * Before a start changes anything: does another daemon serve already that has this run-dir?  Then -EBUSY with a sentence in
 * err.  One that drains is on its way out and counts as none; what a dead one left, too.
 */
int control_check_free(const struct config *cfg, char *err, size_t err_size);

/*
 * Makes the socket and starts the thread; after the drop, since the socket belongs to the user it leads to.  The caller is
 * the main thread: verbs that need it send it SIGHUP (reload) or SIGTERM (drain), which it must wait for.
 * 0, or negative with a sentence in err.
 */
int control_start(struct daemon *d, struct control **out, char *err, size_t err_size);
/* Ends what is under way, and the thread; removes the socket unless a later daemon has made its own.  NULL is fine. */
void control_stop(struct control *c);

/* The main thread, around daemon_reload(): whoever asked before it began learns how it ended (err: "" for well). */
void control_reload_begins(struct control *c);
void control_reload_ends(struct control *c, const char *err);

#endif
