/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters of one worker, from counters.def.  The worker alone writes; any thread may read (relaxed
 * atomics), so a sum over workers is exact only when they are quiet.
 */
#ifndef DANELAW_STATS_H
#define DANELAW_STATS_H

#include <stdint.h>

enum end_reason {
#define END(symbol, fault, sentence) END_##symbol,
#include "userspace/counters.def"
	END_COUNT,
	END_NOT_YET = END_COUNT /* the session goes on */
};

enum end_fault { FAULT_NONE, FAULT_CLIENT, FAULT_BACKEND, FAULT_US };

enum counter {
#define COUNT(symbol, sentence) COUNT_##symbol,
#define GAUGE(symbol, sentence) COUNT_##symbol,
#include "userspace/counters.def"
	COUNTER_COUNT
};

struct stats {
	uint64_t end[END_COUNT];
	uint64_t count[COUNTER_COUNT];
};

struct counter_info {
	const char *name;
	const char *sentence;
	union {
		enum end_fault fault; /* of an end reason */
		int is_gauge;	      /* of a counter */
	};
};

extern const struct counter_info end_info[END_COUNT];
extern const struct counter_info counter_info[COUNTER_COUNT];
const char *end_fault_name(enum end_fault fault); /* "none", "client", "backend", "us" */

static inline void stats_add(struct stats *s, enum counter c, int64_t n)
{
	__atomic_store_n(&s->count[c], s->count[c] + (uint64_t)n, __ATOMIC_RELAXED);
}
static inline void stats_end(struct stats *s, enum end_reason r)
{
	__atomic_store_n(&s->end[r], s->end[r] + 1, __ATOMIC_RELAXED);
}
/* Adds every counter of from (another thread's) to sum (the caller's own). */
void stats_sum(struct stats *sum, const struct stats *from);

#endif
