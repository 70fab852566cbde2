/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the metrics room share.  metrics_text.c is pure; metrics_daemon.c looks; metrics.c serves. */
#ifndef DANELAW_METRICS_PARTS_H
#define DANELAW_METRICS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/daemon.h"

/*
 * OpenMetrics text as it grows: families one after the other, each with its samples, then the end.  Counters are
 * families without "_total", which their samples get.  Out of memory is remembered: text is NULL at the end.
 */
struct metrics_text {
	char *text;
	size_t len, room;
	bool failed;
	const char *name, *suffix; /* of the family */
};

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_INFO, METRICS_STATESET };

/* name without "danelaw_"; static, as is help. */
void metrics_family(struct metrics_text *m, enum metrics_type type, const char *name, const char *help);
/* One sample; label names and values by turns, then NULL. */
void metrics_sample(struct metrics_text *m, uint64_t value, ...) __attribute__((sentinel));
/* A stateset's samples for one thing (a label and its value, or NULL): 1 for the state it is in, 0 for the others. */
void metrics_states(struct metrics_text *m, const char *label, const char *value, const char *const *states, size_t count, size_t now);
/* The whole text, malloc'd; NULL: out of memory. */
char *metrics_end(struct metrics_text *m, size_t *len);

/* All rows of counters.def. */
void metrics_stats(struct metrics_text *m, const struct stats *sum);
/* All rows of reasons.def: counts[front_count_rows]. */
void metrics_front(struct metrics_text *m, const uint64_t *counts);
/* Everything; malloc'd, NULL: out of memory. */
char *metrics_of_daemon(struct daemon *d, size_t *len);

#endif
