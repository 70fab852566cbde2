/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front lists: how full every list is and what it hit, files one by one, the verified lane, blocked sources. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/front_tool.h"

json_t *front_rule_json(const struct front_rule *rule)
{
	char prefix[NET_TEXT_MAX];
	json_t *row = json_pack("{s:s, s:I, s:s}", "prefix", front_tool_prefix(&rule->prefix, prefix), "hits", (json_int_t)rule->hits,
				"comment", rule->comment);

	if (rule->expires)
		json_object_set_new(row, "left_ms", json_integer((json_int_t)rule->left_ms));
	return row;
}

void front_rules_print(const json_t *rules)
{
	struct ctl_table *t = ctl_table_new("lrll", (const char *const[]){ "prefix", "hits", "ends", "comment" });
	char text[CTL_GROUPED_MAX];
	const json_t *row;
	size_t i;

	json_array_foreach(rules, i, row) {
		ctl_cell(t, "%s", ctl_text(row, "prefix"));
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "hits"), text));
		if (json_object_get(row, "left_ms")) {
			ctl_cell(t, "in %s", ctl_duration(ctl_number(row, "left_ms"), text));
		} else
			ctl_cell(t, "never");
		ctl_cell(t, "%s", ctl_text(row, "comment"));
	}
	ctl_table_print(t, "  ");
}

/* ---- sums ---- */

/* Of a list or one of its files, and the busiest rules. */
struct tally {
	uint64_t entries, hits;
	struct front_rule *busiest;
	size_t top, kept;
};

static void tally(void *ctx, const struct front_rule *rule)
{
	struct tally *t = ctx;
	size_t at = t->kept;

	t->entries++;
	t->hits += rule->hits;
	if (!rule->hits || !t->top)
		return;
	while (at && t->busiest[at - 1].hits < rule->hits)
		at--;
	if (at == t->top)
		return;
	if (t->kept < t->top)
		t->kept++;
	memmove(&t->busiest[at + 1], &t->busiest[at], (t->kept - at - 1) * sizeof(*t->busiest));
	t->busiest[at] = *rule;
}

static void tally_lane(void *ctx, const struct front_lane_row *row)
{
	struct tally *t = ctx;

	if (!row->left_ms)
		return;
	t->entries++;
	t->hits += row->hits;
}

static json_t *busiest_json(const struct tally *t)
{
	json_t *out = json_array();

	for (size_t i = 0; i < t->kept; i++)
		json_array_append_new(out, front_rule_json(&t->busiest[i]));
	return out;
}

static void add_lane(json_t *lists, const struct front_tool *tool, bool verified)
{
	struct tally t = { 0 };

	(verified ? front_view_verified : front_view_blocked)(tool->view, tally_lane, &t);
	json_array_append_new(lists, json_pack("{s:s, s:s, s:I, s:I}", "list", verified ? "verified" : "blocked", "from", "danelawd",
					       "entries", (json_int_t)t.entries, "hits", (json_int_t)t.hits));
}

static struct front_rule *room(size_t top)
{
	struct front_rule *rules = calloc(top + 1, sizeof(*rules));

	if (!rules)
		abort();
	return rules;
}

static void add_by_hand(json_t *lists, const struct front_tool *tool, enum front_list which, size_t top)
{
	struct tally t = { .busiest = room(top), .top = top };

	front_view_rules(tool->view, which, tally, &t);
	json_array_append_new(lists, json_pack("{s:s, s:s, s:I, s:I, s:o}", "list", which == FRONT_DENY ? "deny" : "allow", "from", "by hand",
					       "entries", (json_int_t)t.entries, "hits", (json_int_t)t.hits, "busiest", busiest_json(&t)));
	free(t.busiest);
}

/* ---- files ---- */

struct files {
	json_t *lists;
	enum front_list which;
	size_t top;
	struct tally at[FRONT_FILES_MAX + 1]; /* by the number of the file; busiest NULL: not one of this list */
};

static void tally_file(void *ctx, const struct front_rule *rule)
{
	struct files *files = ctx;
	struct tally *t = &files->at[rule->file <= FRONT_FILES_MAX ? rule->file : 0];

	if (!t->busiest) {
		t->busiest = room(files->top);
		t->top = files->top;
	}
	tally(t, rule);
}

static void add_file(void *ctx, const struct front_file_row *row)
{
	struct files *files = ctx;
	const struct tally *t = &files->at[row->number];
	json_t *out;

	if (row->list != files->which)
		return;
	out = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "list", row->list == FRONT_DENY ? "deny" : "allow", "from", "file", "file",
			row->file, "entries", (json_int_t)row->prefixes, "hits", (json_int_t)t->hits, "loaded_s",
			(json_int_t)row->loaded_s, "busiest", busiest_json(t));
	if (row->failed_s)
		json_object_set_new(out, "failed", json_pack("{s:I, s:s}", "at_s", (json_int_t)row->failed_s, "why", row->error));
	json_array_append_new(files->lists, out);
}

static void add_files(json_t *lists, const struct front_tool *tool, enum front_list which, size_t top)
{
	struct files *files = calloc(1, sizeof(*files));

	if (!files)
		abort();
	files->lists = lists;
	files->which = which;
	files->top = top;
	front_view_listed(tool->view, which, tally_file, files);
	front_view_files(tool->view, add_file, files);
	for (size_t i = 0; i <= FRONT_FILES_MAX; i++)
		free(files->at[i].busiest);
	free(files);
}

/* ---- print ---- */

static const char *from(const json_t *row)
{
	return ctl_text(row, json_object_get(row, "file") ? "file" : "from");
}

static void put_time(uint64_t s, char out[24])
{
	time_t t = (time_t)s;
	struct tm tm;

	strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

static void print_table(const json_t *lists)
{
	struct ctl_table *t = ctl_table_new("llrrl", (const char *const[]){ "list", "from", "entries", "hits", "read" });
	char text[CTL_GROUPED_MAX], when[24];
	const json_t *row;
	size_t i;

	json_array_foreach(lists, i, row) {
		ctl_cell(t, "%s", ctl_text(row, "list"));
		ctl_cell(t, "%s", from(row));
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "entries"), text));
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "hits"), text));
		when[0] = 0;
		if (json_object_get(row, "loaded_s"))
			put_time(ctl_number(row, "loaded_s"), when);
		ctl_cell(t, "%s%s", when, json_object_get(row, "failed") ? ", then not again" : "");
	}
	ctl_table_print(t, "  ");
}

static void print_failed(const json_t *lists)
{
	const json_t *row, *failed;
	char when[24];
	size_t i;

	json_array_foreach(lists, i, row) {
		failed = json_object_get(row, "failed");
		if (!failed)
			continue;
		put_time(ctl_number(failed, "at_s"), when);
		printf("\n%s, %s: not read at %s, what it was stays\n  %s\n", ctl_text(row, "list"), from(row), when, ctl_text(failed, "why"));
	}
}

static void print_lists(const json_t *lists)
{
	const json_t *row, *busiest;
	size_t i;

	print_table(lists);
	print_failed(lists);
	json_array_foreach(lists, i, row) {
		busiest = json_object_get(row, "busiest");
		if (!json_array_size(busiest))
			continue;
		printf("\n%s, %s: the busiest\n", ctl_text(row, "list"), from(row));
		front_rules_print(busiest);
	}
}

int front_lists(int argc, char **argv)
{
	static const char lists_usage[] = "danelawctl front lists [--top N] [--json] [--pins DIR]";
	static const struct option options[] = { FRONT_OPTIONS, { "top", required_argument, NULL, 't' }, { 0 } };
	struct front_tool tool;
	unsigned long top = 5;
	int opt, status;

	front_tool_init(&tool);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 't')
			top = strtoul(optarg, NULL, 10);
		else
			front_tool_option(&tool, opt, lists_usage);
	}
	if (optind < argc || top > 1000)
		return ctl_usage(lists_usage);
	status = front_tool_open(&tool);
	if (status)
		return status;
	json_t *lists = json_array();

	add_files(lists, &tool, FRONT_ALLOW, top);
	add_by_hand(lists, &tool, FRONT_ALLOW, top);
	add_files(lists, &tool, FRONT_DENY, top);
	add_by_hand(lists, &tool, FRONT_DENY, top);
	add_lane(lists, &tool, true);
	add_lane(lists, &tool, false);
	front_view_close(tool.view);
	if (tool.json) {
		ctl_print_json(lists);
		return CTL_OK;
	}
	print_lists(lists);
	json_decref(lists);
	return CTL_OK;
}
