/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running daemon as one object: what main starts, and what the control socket and the metrics look at.
 *
 *   configuration -> certificates, front, listening sockets (as root) -> drop -> workers
 *
 * All functions are called from the main thread, except those for looking, which any thread may call once the daemon
 * has started.
 */
#ifndef DANELAW_DAEMON_H
#define DANELAW_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/backend.h"
#include "userspace/config.h"
#include "userspace/dns.h"
#include "userspace/front.h"
#include "userspace/session.h"
#include "userspace/stats.h"
#include "userspace/worker.h"

struct daemon;

/* Reads every file that a start reads, tells all faults, and keeps nothing. */
bool daemon_check(const struct config *cfg, config_complain *complain, void *ctx);
/* Everything that needs root: certificates, front, listening sockets.  0, or negative with a sentence in err. */
int daemon_prepare(const struct config *cfg, struct daemon **out, char *err, size_t err_size);
/* The last step as root, when little can fail any more: what an earlier run left attached and this one has no use for goes. */
void daemon_settle(struct daemon *d);
/* Starts the workers (after the drop).  0, or negative with a sentence in err. */
int daemon_start(struct daemon *d, char *err, size_t err_size);
/* Certificates and lists again from their files.  On a fault everything stays as it was: negative and err. */
int daemon_reload(struct daemon *d, char *err, size_t err_size);
/* Once a second from the main thread: what has to be told, and kept on the disk. */
void daemon_tick(struct daemon *d);
/* No new sessions; those at an idle point get 421. */
void daemon_drain(struct daemon *d);
/* To leave soon, or not after all: only told to those who look (daemon_healthy()), so that others send mail elsewhere. */
void daemon_set_leaving(struct daemon *d, bool leaving); /* any thread */
bool daemon_leaving(const struct daemon *d);
void daemon_cut(struct daemon *d);	   /* ends what is left */
bool daemon_done(const struct daemon *d);  /* after a drain: nothing is left */
/* Stops whatever still runs and frees all; the front stays on.  failed: the start did; only what was on before stays. */
void daemon_free(struct daemon *d, bool failed);

/* ---- looking ---- */

const struct config *daemon_config(const struct daemon *d);
struct backends *daemon_backends(const struct daemon *d);
struct dns *daemon_dns(const struct daemon *d);	    /* NULL: nothing is looked up */
struct front *daemon_front(const struct daemon *d); /* NULL: none */
unsigned daemon_workers(const struct daemon *d);
const char *daemon_io(const struct daemon *d); /* "io_uring, …" of the first worker */
const char *daemon_cpus(const struct daemon *d); /* " on CPUs 0-7", "" when they run anywhere */
bool daemon_draining(const struct daemon *d);
uint64_t daemon_uptime_ms(const struct daemon *d);
/* The certificates a listener serves now, with a reference for the caller; NULL: it has none. */
struct tls_server *daemon_tls(struct daemon *d, size_t listener);
/* worker_post_call() of one worker: 0, or -ESHUTDOWN when its thread is over and it will not be run. */
int daemon_post_call(struct daemon *d, unsigned worker, struct worker_call *call);
void daemon_sum(const struct daemon *d, struct stats *sum); /* over the workers; sum is zeroed first */
/*
 * May load balancers send mail here?  False while draining, while a listener has no backend that is up, or while DNSSEC
 * validation does not work and a policy needs it; why: the reasons, with "; " between, "" when all is well.
 */
bool daemon_healthy(const struct daemon *d, char *why, size_t why_size);
/* Every file a reload reads, for the opener; malloc'd array of borrowed strings, *count of them. */
const char **daemon_paths(const struct config *cfg, size_t *count);

#endif
