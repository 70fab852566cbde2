/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread with its own ring, timers, sessions and counters.  Other threads reach it only through
 * worker_post_*(), which leave a note and wake it.
 */
#ifndef DANELAW_WORKER_H
#define DANELAW_WORKER_H

#include "userspace/session.h"

struct worker;

struct worker_settings {
	const struct config *cfg;
	struct backends *backends;
	struct session_shared *shared;
	unsigned index;
	int cpu;		      /* to run on; -1: any */
	bool probes;		      /* this one makes the health probes and keeps the backends' targets */
	struct dns *dns;	      /* NULL: nothing is looked up */
	int *const *fds;	      /* per configured listener: its listening sockets for this worker */
	const int *fd_counts;
	struct tls_server *const *tls; /* per listener; NULL: no STARTTLS.  The worker takes references of its own. */
	struct lane *lane;	      /* NULL: no policy grants it */
	bool judges_clients;	      /* a listener asks clients for certificates; dns is not NULL */
};

/* Starts the thread.  Returns once it listens: 0, or negative with a sentence in err. */
int worker_start(const struct worker_settings *set, struct worker **out, char *err, size_t err_size);

/* New sessions get these contexts (one a listener, references are taken). */
void worker_post_tls(struct worker *w, struct tls_server *const *tls);
/* Stops accepting, lets sessions end; the thread ends when none is left. */
void worker_post_drain(struct worker *w);
/* Ends what is left. */
void worker_post_cut(struct worker *w);
/*
 * run(call, env) on the worker's thread, between two of its turns: short, and it leaves sessions alone.  The call is the
 * caller's and stays until it was run; env is NULL when the thread ended before.  0, or -ESHUTDOWN: it will not be run.
 */
struct worker_call {
	struct worker_call *next;
	void (*run)(struct worker_call *call, const struct session_env *env);
};
int worker_post_call(struct worker *w, struct worker_call *call);
bool worker_done(const struct worker *w); /* the thread has nothing left to do */
void worker_join(struct worker *w);	  /* waits for the thread and frees */

const struct stats *worker_stats(const struct worker *w); /* the worker's own: read with stats_sum() */
/* "io_uring (…)" for the log and status. */
const char *worker_describe(const struct worker *w);

#endif
