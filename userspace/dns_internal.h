/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of dns share.  All of struct dns but the queue, the counts and the health is the DNS thread's.
 */
#ifndef DANELAW_DNS_INTERNAL_H
#define DANELAW_DNS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "userspace/dns.h"

/* An answer shared by all who waited for it. */
struct dns_answer {
	atomic_uint refs;
	struct dane_reply reply;
	char canonical[DANE_NAME_MAX];
	char why[DANE_REASON_MAX];
	struct dane_rdata rdata[]; /* bytes behind it */
};

/* One who waits.  query belongs to the asking thread: dns_cancel() only cuts it off, the DNS thread frees. */
struct dns_waiter {
	struct dns_waiter *next;
	struct dns_query *query;
	struct dns_waiter *mine_next, **mine_link; /* the asking thread's list of what is pending */
	struct dns_inbox *inbox; /* a reference; NULL: a probe */
	struct dns_answer *answer;
	char name[DANE_NAME_MAX];
	uint16_t type;
	bool probe_bogus; /* which probe, if it is one */
};

struct dns_lookup {
	struct dns *dns;
	struct dns_lookup *chain;	   /* of the hash bucket */
	struct dns_lookup *earlier, *later; /* by deadline */
	uint64_t deadline_ms;
	int id; /* libunbound's */
	bool probe; /* asked of the context that keeps nothing; nobody else joins it */
	struct dns_waiter *waiters;
	char name[DANE_NAME_MAX];
	uint16_t type;
};

enum { DNS_BUCKETS = 1024 };
enum { DNS_TYPE_NONE = 0 }; /* asks nothing: answered at once, for a call that must come later */

struct dns_prober {
	char secure[DANE_NAME_MAX], bogus[DANE_NAME_MAX]; /* bogus "": none */
	uint64_t next_ms;
	unsigned open;		/* answers awaited */
	struct dns_health seen; /* what the answers so far say */
};

struct dns {
	struct dns_engine *engine;
	unsigned max_in_flight, max_waiters;
	uint32_t deadline_ms, max_ttl_s, probe_interval_ms;
	struct dns_lookup *buckets[DNS_BUCKETS];
	struct dns_lookup *first, *last; /* by deadline */
	struct dns_prober prober;

	pthread_t thread;
	int wake_fd;
	pthread_mutex_t lock; /* of the queue and the health */
	struct dns_waiter *queue, **queue_end;
	bool stop;
	struct dns_health health;
	struct {
		_Atomic uint64_t asked, joined, refused, timed_out, failed, bogus, in_flight, waiting;
	} count;
};

uint64_t dns_now_ms(void);
struct dns_answer *dns_answer_new(size_t rdata_count, size_t bytes);
struct dns_answer *dns_answer_failed(const char *why, bool bogus);
void dns_answer_unref(struct dns_answer *a);

/* Enters w: joins a look-up, starts one, or refuses.  Takes w over. */
void dns_admit(struct dns *d, struct dns_waiter *w);
/* l is over: all who wait get a (one reference of it, taken over); l is freed. */
void dns_lookup_done(struct dns_lookup *l, struct dns_answer *a);

/* dns_probe.c */
void dns_probe_tick(struct dns *d, uint64_t now);
void dns_probe_answered(struct dns *d, bool bogus_name, const struct dane_reply *r);

/* dns_unbound.c */
int dns_engine_new(const struct dns_settings *set, uint32_t max_ttl_s, struct dns_engine **out, char *err, size_t size);
void dns_engine_free(struct dns_engine *e);
enum { DNS_ENGINE_FDS = 2 };
void dns_engine_fds(const struct dns_engine *e, int fds[DNS_ENGINE_FDS]); /* readable: dns_engine_process() */
void dns_engine_process(struct dns_engine *e);
int dns_engine_ask(struct dns_engine *e, struct dns_lookup *l, const char **why); /* 0 or negative */
void dns_engine_cancel(struct dns_engine *e, struct dns_lookup *l);

#endif
