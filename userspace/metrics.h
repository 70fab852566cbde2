/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a monitoring system asks over HTTP (libmicrohttpd, a thread of its own), where `metrics` says:
 *
 *   /metrics   everything counted, as OpenMetrics 1.0 text
 *   /healthz   200 "ok", or 503 and why no mail should be sent here (daemon_healthy())
 *
 * Few connections, small requests, and a time limit; nobody is asked who they are: it is for an address that only the
 * monitoring reaches.
 */
#ifndef DANELAW_METRICS_H
#define DANELAW_METRICS_H

#include <stddef.h>

#include "userspace/daemon.h"

struct metrics;

/* Binds (before the drop, so that any port will do).  0, or negative with a sentence in err; *out NULL: none wanted. */
int metrics_open(const struct config *cfg, struct metrics **out, char *err, size_t err_size);
/* Answers from now on; after the drop.  NULL is fine. */
int metrics_start(struct metrics *m, struct daemon *d, char *err, size_t err_size);
void metrics_stop(struct metrics *m); /* ends and frees; NULL is fine */

#endif
