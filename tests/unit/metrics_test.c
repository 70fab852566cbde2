/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenMetrics text: single families to the byte, and the big tables by the rules that scrapers hold them to. */
#include "userspace/metrics_parts.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void families(void **state)
{
	static const char *const states[] = { "up", "look-up failed" };
	static const char wanted[] = "# TYPE danelaw_mails counter\n"
				     "# HELP danelaw_mails Mails, \\\"all\\\" of them.\\nBack\\\\slash.\n"
				     "danelaw_mails_total 0\n"
				     "danelaw_mails_total{reason=\"q\\\"u\\\\i\\nt\"} 18446744073709551615\n"
				     "danelaw_mails_total{a=\"\",b=\"2\"} 7\n"
				     "# TYPE danelaw_build info\n"
				     "# HELP danelaw_build What runs.\n"
				     "danelaw_build_info{version=\"1\"} 1\n"
				     "# TYPE danelaw_state stateset\n"
				     "# HELP danelaw_state How it is.\n"
				     "danelaw_state{of=\"a\",danelaw_state=\"up\"} 1\n"
				     "danelaw_state{of=\"a\",danelaw_state=\"look-up failed\"} 0\n"
				     "danelaw_state{danelaw_state=\"up\"} 0\n"
				     "danelaw_state{danelaw_state=\"look-up failed\"} 1\n"
				     "# TYPE danelaw_open gauge\n"
				     "# HELP danelaw_open Open now.\n"
				     "danelaw_open 3\n"
				     "# EOF\n";
	struct metrics_text m = { 0 };
	size_t len;

	metrics_family(&m, METRICS_COUNTER, "mails", "Mails, \"all\" of them.\nBack\\slash.");
	metrics_sample(&m, 0, NULL);
	metrics_sample(&m, UINT64_MAX, "reason", "q\"u\\i\nt", NULL);
	metrics_sample(&m, 7, "a", "", "b", "2", NULL);
	metrics_family(&m, METRICS_INFO, "build", "What runs.");
	metrics_sample(&m, 1, "version", "1", NULL);
	metrics_family(&m, METRICS_STATESET, "state", "How it is.");
	metrics_states(&m, "of", "a", states, 2, 0);
	metrics_states(&m, NULL, NULL, states, 2, 1);
	metrics_family(&m, METRICS_GAUGE, "open", "Open now.");
	metrics_sample(&m, 3, NULL);
	char *text = metrics_end(&m, &len);

	assert_string_equal(text, wanted);
	assert_int_equal(len, strlen(wanted));
	free(text);
}

/* The value of a sample, by its whole name and labels; fails unless it is there exactly once. */
static unsigned long long value_of(const char *text, const char *sample)
{
	char line[256];
	const char *at;

	snprintf(line, sizeof(line), "\n%s ", sample);
	at = strstr(text, line);
	if (!at || strstr(at + 1, line))
		fail_msg("%s: %s", sample, at ? "twice" : "missing");
	return strtoull(at + strlen(line), NULL, 10);
}

/* What the specification asks of a text: families whole, in one piece, named once; samples of the family at hand. */
static void check_rules(const char *text)
{
	char family[136] = "", seen[16384] = "\n", *copy = strdup(text), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) && strcmp(line, "# EOF") != 0) {
		char name[128], type[32], key[140];

		if (sscanf(line, "# TYPE %127s %31s", name, type) == 2) {
			snprintf(key, sizeof(key), "\n%s\n", name);
			if (strstr(seen, key))
				fail_msg("family %s twice", name);
			strcat(strcat(seen, name), "\n");
			snprintf(family, sizeof(family), "%s%s", name, strcmp(type, "counter") ? "" : "_total");
			assert_int_equal(strncmp(name, "danelaw_", 8), 0);
			assert_null(strstr(name, "_total"));
		} else if (!strncmp(line, "# HELP ", 7)) {
			assert_true(strlen(line) > 20);
		} else if (strncmp(line, family, strlen(family)) != 0 || !strchr(" {", line[strlen(family)])) {
			fail_msg("%s is no sample of %s", line, family);
		}
	}
	assert_non_null(line);
	assert_string_equal(rest, "");
	free(copy);
}

static void tables(void **state)
{
	struct stats sum = { 0 };
	uint64_t *counts = calloc(front_count_rows, sizeof(*counts));
	struct metrics_text m = { 0 };
	char sample[256];
	size_t len;

	for (size_t i = 0; i < END_COUNT; i++)
		sum.end[i] = 1000 + i;
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		sum.count[i] = 2000 + i;
	for (size_t i = 0; i < front_count_rows; i++)
		counts[i] = 3000 + i;
	metrics_stats(&m, &sum);
	metrics_front(&m, counts);
	char *text = metrics_end(&m, &len);

	check_rules(text);
	for (size_t i = 0; i < END_COUNT; i++) {
		snprintf(sample, sizeof(sample), "danelaw_session_end_total{reason=\"%s\",fault=\"%s\"}", end_info[i].name,
			 end_fault_name(end_info[i].fault));
		assert_int_equal(value_of(text, sample), 1000 + i);
	}
	for (size_t i = 0; i < COUNTER_COUNT; i++) {
		snprintf(sample, sizeof(sample), "danelaw_%s%s", counter_info[i].name, counter_info[i].is_gauge ? "" : "_total");
		assert_int_equal(value_of(text, sample), 2000 + i);
	}
	for (size_t i = 0; i < front_count_rows; i++) {
		const struct front_count_info *row = &front_count_info[i];

		if (*row->verdict)
			snprintf(sample, sizeof(sample), "danelaw_front_packets_total{reason=\"%s\",verdict=\"%s\"}", row->symbol,
				 row->verdict);
		else if (!strcmp(row->group, "also"))
			snprintf(sample, sizeof(sample), "danelaw_front_also_total{what=\"%s\"}", row->symbol);
		else
			snprintf(sample, sizeof(sample), "danelaw_%s_total{reason=\"%s\"}",
				 !strcmp(row->group, "steer") ? "steer_connections" : "cookie_packets", row->symbol);
		assert_int_equal(value_of(text, sample), 3000 + i);
	}
	free(text);
	free(counts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families),
		cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
