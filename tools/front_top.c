/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front top: packets a second by reason, what the reason means, and the newest source that met it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/front_tool.h"

static const char usage[] = "danelawctl front top [--interval TIME] [--count N] [--all] [--json] [--pins DIR]";

struct top {
	struct front_tool tool;
	uint64_t interval_ms, rounds; /* rounds 0: until a signal */
	bool all;
	uint64_t *before, *now;
	uint64_t before_ns, now_ns;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void pause_ms(uint64_t ms)
{
	struct timespec left = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static double rate(const struct top *t, size_t row)
{
	if (t->now[row] < t->before[row]) /* a restart made the map anew */
		return 0;
	return (double)(t->now[row] - t->before[row]) * 1e9 / (double)(t->now_ns - t->before_ns);
}

/* The source of the newest drop, a /64 as such, or "". */
static const char *newest(const struct top *t, size_t row, char out[NET_TEXT_MAX], uint64_t *age_ms)
{
	struct net_prefix source = { .len = 128 };

	out[0] = 0;
	if (front_view_newest(t->tool.view, row, &source.ip, age_ms))
		front_tool_prefix(&source, out);
	return out;
}

/* Which rule denied the newest source: " (comment)", or "". */
static const char *rule_text(const struct top *t, size_t row, char out[FRONT_COMMENT_MAX + 4])
{
	struct in6_addr source;
	struct front_rule rule;
	uint64_t age;

	out[0] = 0;
	if (!strcmp(front_count_info[row].symbol, "denied_list") && front_view_newest(t->tool.view, row, &source, &age) &&
	    front_view_find_denied(t->tool.view, &source, &rule) && rule.comment[0])
		snprintf(out, FRONT_COMMENT_MAX + 4, " (%s)", rule.comment);
	return out;
}

static void print_table(const struct top *t)
{
	struct ctl_table *table = ctl_table_new(
		"lrrll", (const char *const[]){ "reason", "pkt/s", "total", "what it means", "newest source" });
	char text[CTL_GROUPED_MAX], source[NET_TEXT_MAX], comment[FRONT_COMMENT_MAX + 4];
	size_t shown = 0;
	uint64_t age;

	for (size_t i = 0; i < front_count_rows; i++) {
		const struct front_count_info *info = &front_count_info[i];

		if (!t->all && !t->now[i])
			continue;
		shown++;
		if (strcmp(info->group, "front"))
			ctl_cell(table, "%s: %s", info->group, info->symbol);
		else
			ctl_cell(table, "%s", info->symbol);
		ctl_cell(table, "%s", ctl_grouped((uint64_t)(rate(t, i) + 0.5), text));
		ctl_cell(table, "%s", ctl_grouped(t->now[i], text));
		ctl_cell(table, "%s%s", info->sentence, rule_text(t, i, comment));
		ctl_cell(table, "%s", newest(t, i, source, &age));
	}
	ctl_table_print(table, "  ");
	if (!shown)
		printf("  no packet yet; --all shows every reason\n");
}

static void print_json(const struct top *t)
{
	json_t *rows = json_array();
	char source[NET_TEXT_MAX], comment[FRONT_COMMENT_MAX + 4];
	uint64_t age = 0;

	for (size_t i = 0; i < front_count_rows; i++) {
		const struct front_count_info *info = &front_count_info[i];
		json_t *row = json_pack("{s:s, s:s, s:s, s:f, s:I, s:s}", "program", info->group, "reason", info->symbol, "verdict",
					info->verdict, "per_s", rate(t, i), "total", (json_int_t)t->now[i], "sentence", info->sentence);

		if (newest(t, i, source, &age)[0])
			json_object_set_new(row, "newest", json_pack("{s:s, s:I}", "source", source, "age_ms", (json_int_t)age));
		if (rule_text(t, i, comment)[0]) {
			comment[strlen(comment) - 1] = 0;
			json_object_set_new(row, "rule", json_string(comment + 2));
		}
		json_array_append_new(rows, row);
	}
	ctl_print_json(json_pack("{s:f, s:o}", "seconds", (double)(t->now_ns - t->before_ns) / 1e9, "reasons", rows));
}

static int count(struct top *t)
{
	int code = front_view_counts(t->tool.view, t->now);

	t->now_ns = clock_ns();
	if (code)
		fprintf(stderr, "danelawctl: cannot read the front's counters: %s\n", strerror(-code));
	return code;
}

static int run(struct top *t)
{
	bool screen = isatty(STDOUT_FILENO) && !t->tool.json;

	if (count(t))
		return CTL_NO;
	for (uint64_t round = 0; !t->rounds || round < t->rounds; round++) {
		memcpy(t->before, t->now, front_count_rows * sizeof(*t->now));
		t->before_ns = t->now_ns;
		pause_ms(t->interval_ms);
		if (count(t))
			return CTL_NO;
		if (screen)
			fputs("\033[H\033[2J", stdout);
		else if (round && !t->tool.json)
			putchar('\n');
		if (t->tool.json)
			print_json(t);
		else
			print_table(t);
		fflush(stdout);
	}
	return CTL_OK;
}

static bool parse(struct top *t, int argc, char **argv)
{
	static const struct option options[] = { FRONT_OPTIONS, { "interval", required_argument, NULL, 'i' },
						 { "count", required_argument, NULL, 'n' }, { "all", no_argument, NULL, 'a' }, { 0 } };
	int opt;

	front_tool_init(&t->tool);
	t->interval_ms = 1000;
	t->rounds = isatty(STDOUT_FILENO) ? 0 : 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'i' && !front_tool_time(optarg, &t->interval_ms))
			return false;
		if (opt == 'n')
			t->rounds = strtoull(optarg, NULL, 10);
		if (opt == 'a')
			t->all = true;
		if (!strchr("ina", opt))
			front_tool_option(&t->tool, opt, usage);
	}
	return optind == argc;
}

int front_top(int argc, char **argv)
{
	struct top t = { 0 };
	int status;

	if (!parse(&t, argc, argv))
		return ctl_usage(usage);
	status = front_tool_open(&t.tool);
	if (status)
		return status;
	t.before = calloc(front_count_rows, sizeof(*t.before));
	t.now = calloc(front_count_rows, sizeof(*t.now));
	status = t.before && t.now ? run(&t) : CTL_NO;
	free(t.before);
	free(t.now);
	front_view_close(t.tool.view);
	return status;
}
