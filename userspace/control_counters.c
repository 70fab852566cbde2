/* SPDX-License-Identifier: BSD-2-Clause */
/* counters: every row of counters.def and reasons.def with its sentence, summed over workers and CPUs. */
#include "userspace/control_parts.h"

#include <stdlib.h>

static json_t *ends_json(const struct stats *sum)
{
	json_t *list = json_array();

	for (size_t i = 0; i < END_COUNT; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s}", "name", end_info[i].name, "fault",
						      end_fault_name(end_info[i].fault), "count", (json_int_t)sum->end[i],
						      "sentence", end_info[i].sentence));
	return list;
}

static json_t *counts_json(const struct stats *sum)
{
	json_t *list = json_array();

	for (size_t i = 0; i < COUNTER_COUNT; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s}", "name", counter_info[i].name, "kind",
						      counter_info[i].is_gauge ? "gauge" : "count", "count",
						      (json_int_t)sum->count[i], "sentence", counter_info[i].sentence));
	return list;
}

static json_t *front_json(const struct daemon *d)
{
	uint64_t *counts = daemon_front(d) ? calloc(front_count_rows, sizeof(*counts)) : NULL;
	json_t *list = counts && !front_read_counts(daemon_front(d), counts) ? json_array() : json_null();

	for (size_t i = 0; json_is_array(list) && i < front_count_rows; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:s}", "program", front_count_info[i].group,
						      "name", front_count_info[i].symbol, "verdict",
						      front_count_info[i].verdict, "count", (json_int_t)counts[i],
						      "sentence", front_count_info[i].sentence));
	free(counts);
	return list;
}

static json_t *dns_json(const struct daemon *d)
{
	struct dns_counts n;

	if (!daemon_dns(d))
		return json_null();
	dns_counts(daemon_dns(d), &n);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "asked", (json_int_t)n.asked, "joined",
			 (json_int_t)n.joined, "refused", (json_int_t)n.refused, "timed_out", (json_int_t)n.timed_out,
			 "failed", (json_int_t)n.failed, "bogus", (json_int_t)n.bogus, "in_flight",
			 (json_int_t)n.in_flight, "waiting", (json_int_t)n.waiting);
}

void control_counters(struct control_request *r)
{
	const struct daemon *d = control_daemon(r);
	struct stats sum;

	daemon_sum(d, &sum);
	control_reply(r, json_pack("{s:o, s:o, s:o, s:o}", "ends", ends_json(&sum), "counts", counts_json(&sum), "front",
				   front_json(d), "dns", dns_json(d)));
}
