/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel side's counters for the daemon's metrics: per-CPU structs of reasons.def, summed into one row. */
#include "userspace/front_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct front_count_info front_count_info[] = {
#define VERDICT_NAME_PASS "pass"
#define VERDICT_NAME_DROP "drop"
#define VERDICT_NAME_TX "tx"
#define REASON(number, symbol, verdict, sentence) { "front", #symbol, VERDICT_NAME_##verdict, sentence },
#include "bpf/reasons.def"
#define COOKIE(number, symbol, sentence) { "cookie", #symbol, "", sentence },
#include "bpf/reasons.def"
#define STEER(number, symbol, sentence) { "steer", #symbol, "", sentence },
#include "bpf/reasons.def"
#define ALSO(number, symbol, sentence) { "also", #symbol, "", sentence },
#include "bpf/reasons.def"
};
const struct front_count_map front_count_maps[FRONT_COUNT_MAPS] = {
	{ "front_stats", REASON_COUNT },
	{ "cookie_stats", COOKIE_COUNT },
	{ "steer_stats", STEER_COUNT },
	{ "front_also", ALSO_COUNT },
};
const size_t front_count_rows = REASON_COUNT + COOKIE_COUNT + STEER_COUNT + ALSO_COUNT;

int front_add_counts(int map, uint64_t *counts, size_t rows)
{
	int cpus = libbpf_num_possible_cpus(), cpu, code = 0;
	uint32_t zero = 0;
	uint64_t *values;
	size_t i;

	if (map < 0)
		return 0;
	if (cpus < 0)
		return cpus;
	values = calloc((size_t)cpus, rows * sizeof(*values));
	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(map, &zero, values))
		code = -errno;
	for (cpu = 0; !code && cpu < cpus; cpu++)
		for (i = 0; i < rows; i++)
			counts[i] += values[(size_t)cpu * rows + i];
	free(values);
	return code;
}

int front_read_counts(const struct front *f, uint64_t *counts)
{
	const int maps[FRONT_COUNT_MAPS] = { f->front_stats, f->cookie_stats, f->steer_stats, f->front_also };
	int code = 0;

	memset(counts, 0, front_count_rows * sizeof(*counts));
	for (size_t i = 0; i < FRONT_COUNT_MAPS && !code; i++) {
		code = front_add_counts(maps[i], counts, front_count_maps[i].rows);
		counts += front_count_maps[i].rows;
	}
	return code;
}
