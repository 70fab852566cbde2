/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of counters.def as data, and their sum over workers. */
#include "userspace/stats.h"

#include <stddef.h>

const struct counter_info end_info[END_COUNT] = {
#define END(symbol, fault_, sentence_) [END_##symbol] = { .name = #symbol, .sentence = sentence_, .fault = FAULT_##fault_ },
#include "userspace/counters.def"
};

const struct counter_info counter_info[COUNTER_COUNT] = {
#define COUNT(symbol, sentence_) [COUNT_##symbol] = { .name = #symbol, .sentence = sentence_, .is_gauge = 0 },
#define GAUGE(symbol, sentence_) [COUNT_##symbol] = { .name = #symbol, .sentence = sentence_, .is_gauge = 1 },
#include "userspace/counters.def"
};

const char *end_fault_name(enum end_fault fault)
{
	switch (fault) {
	case FAULT_NONE:
		return "none";
	case FAULT_CLIENT:
		return "client";
	case FAULT_BACKEND:
		return "backend";
	case FAULT_US:
		return "us";
	}
	return "unknown";
}

void stats_sum(struct stats *sum, const struct stats *from)
{
	size_t i;

	for (i = 0; i < END_COUNT; i++)
		sum->end[i] += __atomic_load_n(&from->end[i], __ATOMIC_RELAXED);
	for (i = 0; i < COUNTER_COUNT; i++)
		sum->count[i] += __atomic_load_n(&from->count[i], __ATOMIC_RELAXED);
}
