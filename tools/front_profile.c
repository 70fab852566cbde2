/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * danelawctl front profile: what a packet costs.  The kernel counts runs and their time only while somebody asks
 * (it costs some 20 ns a run); the descriptor that asks is closed by whatever ends this program.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/front_tool.h"

static const char usage[] = "danelawctl front profile [--for TIME] [--json] [--pins DIR]";

enum { PROGS = 16 };

struct runs {
	struct front_prog_row at[PROGS];
	size_t count;
	uint64_t ns;
};

static void keep(void *ctx, const struct front_prog_row *row)
{
	struct runs *runs = ctx;

	if (runs->count < PROGS)
		runs->at[runs->count++] = *row;
}

static void take(const struct front_tool *t, struct runs *runs)
{
	struct timespec ts;

	runs->count = 0;
	front_view_progs(t->view, keep, runs);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	runs->ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Until the time is over or a signal comes, which gives what was measured so far. */
static void wait_ms(uint64_t ms)
{
	struct timespec time = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigtimedwait(&set, NULL, &time);
}

static json_t *one_row(const struct front_prog_row *b, const struct front_prog_row *a, double took)
{
	uint64_t runs = a->runs - b->runs, ns = a->run_ns - b->run_ns;
	json_t *row = json_pack("{s:s, s:i, s:I, s:f, s:f, s:f}", "program", a->name, "id", (int)a->id, "runs", (json_int_t)runs,
				"runs_per_s", (double)runs * 1e9 / took, "ns_per_run", runs ? (double)ns / (double)runs : 0.0,
				"cpu_percent", (double)ns * 100 / took);

	if (a->dispatcher)
		json_object_set_new(row, "dispatcher", json_integer(a->dispatcher));
	return row;
}

/* The copy of the front that each dispatcher's own was loaded beside, and that nothing runs */
static bool spare(const struct runs *all, const struct front_prog_row *row)
{
	for (size_t i = 0; i < all->count && !row->dispatcher; i++)
		if (all->at[i].dispatcher && !strcmp(all->at[i].name, row->name))
			return true;
	return false;
}

static json_t *compare(const struct runs *before, const struct runs *after)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < after->count; i++)
		for (size_t k = 0; k < before->count; k++) {
			const struct front_prog_row *b = &before->at[k], *a = &after->at[i];

			if (a->id == b->id && a->dispatcher == b->dispatcher && !spare(after, a))
				json_array_append_new(rows, one_row(b, a, (double)(after->ns - before->ns)));
		}
	return rows;
}

static void what_a_run_is(const json_t *row, char *out, size_t size)
{
	static const char *const runs[][2] = { { "front", "a packet" }, { "front_inside", "in a tunnel: counted with front" },
					       { "cookie", "a packet that the front passed" }, { "steer", "a new connection" },
					       { "watch", "a look after a listening socket" } };
	unsigned long long dispatcher = ctl_number(row, "dispatcher");

	*out = '\0';
	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++)
		if (!strcmp(runs[i][0], ctl_text(row, "program")))
			snprintf(out, size, "%s", runs[i][1]);
	if (dispatcher)
		snprintf(out, size, "a packet, through every program of its dispatcher (id %llu)", dispatcher);
}

static void print(const json_t *rows, double seconds)
{
	struct ctl_table *t = ctl_table_new(
		"lrrrl", (const char *const[]){ "program", "runs/s", "ns a run", "of one CPU", "what a run is" });
	char text[CTL_GROUPED_MAX], run[80];
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		ctl_cell(t, "%s", ctl_text(row, "program"));
		ctl_cell(t, "%s", ctl_grouped((uint64_t)(json_real_value(json_object_get(row, "runs_per_s")) + 0.5), text));
		ctl_cell(t, ctl_number(row, "runs") ? "%.0f" : "-", json_real_value(json_object_get(row, "ns_per_run")));
		ctl_cell(t, "%.2f %%", json_real_value(json_object_get(row, "cpu_percent")));
		what_a_run_is(row, run, sizeof(run));
		ctl_cell(t, "%s", run);
	}
	printf("over %.1f s\n", seconds);
	ctl_table_print(t, "  ");
}

int front_profile(int argc, char **argv)
{
	static const struct option options[] = { FRONT_OPTIONS, { "for", required_argument, NULL, 'f' }, { 0 } };
	struct runs before, after;
	struct front_tool t;
	uint64_t ms = 5000;
	int opt, status, stats;

	front_tool_init(&t);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'f' && !front_tool_time(optarg, &ms))
			return ctl_usage(usage);
		if (opt != 'f')
			front_tool_option(&t, opt, usage);
	}
	if (optind < argc)
		return ctl_usage(usage);
	status = front_tool_open(&t);
	if (status)
		return status;
	stats = front_run_statistics();
	if (stats < 0) {
		fprintf(stderr, "danelawctl: the kernel does not take run-time statistics: %s\n", strerror(-stats));
		front_view_close(t.view);
		return CTL_NO;
	}
	take(&t, &before);
	wait_ms(ms);
	take(&t, &after);
	close(stats);
	front_view_close(t.view);
	json_t *rows = compare(&before, &after);
	double seconds = (double)(after.ns - before.ns) / 1e9;

	if (t.json) {
		ctl_print_json(json_pack("{s:f, s:o}", "seconds", seconds, "programs", rows));
		return CTL_OK;
	}
	print(rows, seconds);
	json_decref(rows);
	return CTL_OK;
}
