/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front deny, allow, lists: rules made by hand, lists from files, the verified lane, blocked sources. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/front_tool.h"

struct rules {
	struct front_tool tool;
	enum front_list list;
	const char *usage, *comment;
	uint64_t ms; /* --for; 0: it stays */
};

/* ---- one rule ---- */

static json_t *rule_json(const struct front_rule *rule)
{
	char prefix[NET_TEXT_MAX];
	json_t *row = json_pack("{s:s, s:I, s:s}", "prefix", front_tool_prefix(&rule->prefix, prefix), "hits", (json_int_t)rule->hits,
				"comment", rule->comment);

	if (rule->expires)
		json_object_set_new(row, "left_ms", json_integer((json_int_t)rule->left_ms));
	return row;
}

static void collect(void *ctx, const struct front_rule *rule)
{
	json_array_append_new(ctx, rule_json(rule));
}

static void print_rules(const json_t *rules)
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

/* ---- deny and allow ---- */

static int fail(const char *what, const char *text, int code)
{
	fprintf(stderr, "danelawctl: %s %s: %s\n", what, text,
		code == -ENOENT ? "there is no such rule" : code == -ENOSPC ? "the list is full" : strerror(-code));
	return CTL_NO;
}

static int list(struct rules *r)
{
	json_t *rows = json_array();

	front_view_rules(r->tool.view, r->list, collect, rows);
	if (r->tool.json) {
		ctl_print_json(rows);
		return CTL_OK;
	}
	if (json_array_size(rows))
		print_rules(rows);
	else
		printf("  no rule; %s add PREFIX makes one\n", r->list == FRONT_DENY ? "danelawctl front deny" : "danelawctl front allow");
	json_decref(rows);
	return CTL_OK;
}

/* All prefixes are read before the first is changed. */
static int change(struct rules *r, char **prefixes, int count, bool add)
{
	struct net_prefix *parsed = calloc((size_t)count, sizeof(*parsed));
	int status = CTL_OK;

	if (!parsed)
		return CTL_NO;
	for (int i = 0; i < count; i++)
		if (net_parse_prefix(prefixes[i], &parsed[i])) {
			fprintf(stderr, "danelawctl: \"%s\" is not an address or a prefix (192.0.2.0/24, 2001:db8::/32; host bits zero); "
					"nothing was changed\n", prefixes[i]);
			free(parsed);
			return CTL_USAGE;
		}
	for (int i = 0; i < count; i++) {
		int code = add ? front_view_add_rule(r->tool.view, r->list, &parsed[i], r->comment, r->ms)
			       : front_view_del_rule(r->tool.view, r->list, &parsed[i]);

		if (code)
			status = fail(add ? "cannot add" : "cannot delete", prefixes[i], code);
	}
	free(parsed);
	return status;
}

static bool parse(struct rules *r, int argc, char **argv)
{
	static const struct option options[] = { FRONT_OPTIONS, { "comment", required_argument, NULL, 'c' },
						 { "for", required_argument, NULL, 'f' }, { 0 } };
	int opt;

	front_tool_init(&r->tool);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'c')
			r->comment = optarg;
		else if (opt == 'f' && !front_tool_time(optarg, &r->ms))
			return false;
		else if (opt != 'f')
			front_tool_option(&r->tool, opt, r->usage);
	}
	if (strlen(r->comment) >= FRONT_COMMENT_MAX) {
		fprintf(stderr, "danelawctl: a comment has at most %d bytes\n", FRONT_COMMENT_MAX - 1);
		return false;
	}
	return optind < argc;
}

static int by_hand(struct rules *r, int argc, char **argv)
{
	const char *verb;
	char **prefixes;
	int status, count;

	if (!parse(r, argc, argv))
		return ctl_usage(r->usage);
	verb = argv[optind];
	prefixes = argv + optind + 1;
	count = argc - optind - 1;
	if (strcmp(verb, "list") ? (strcmp(verb, "add") && strcmp(verb, "del")) || !count : count)
		return ctl_usage(r->usage);
	status = front_tool_open(&r->tool);
	if (status)
		return status;
	front_view_sweep(r->tool.view);
	status = strcmp(verb, "list") ? change(r, prefixes, count, !strcmp(verb, "add")) : list(r);
	front_view_close(r->tool.view);
	return status;
}

int front_deny(int argc, char **argv)
{
	struct rules r = { .list = FRONT_DENY, .comment = "",
			   .usage = "danelawctl front deny list | add PREFIX… [--comment TEXT] [--for TIME] | del PREFIX… [--json] [--pins DIR]" };

	return by_hand(&r, argc, argv);
}

int front_allow(int argc, char **argv)
{
	struct rules r = { .list = FRONT_ALLOW, .comment = "",
			   .usage = "danelawctl front allow list | add PREFIX… [--comment TEXT] [--for TIME] | del PREFIX… [--json] [--pins DIR]" };

	return by_hand(&r, argc, argv);
}

/* ---- lists ---- */

/* Sums of a list, and its busiest rules. */
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

static json_t *lane_json(const struct front_tool *tool, bool verified)
{
	struct tally t = { 0 };

	(verified ? front_view_verified : front_view_blocked)(tool->view, tally_lane, &t);
	return json_pack("{s:s, s:s, s:I, s:I}", "list", verified ? "verified" : "blocked", "from", "danelawd", "entries",
			 (json_int_t)t.entries, "hits", (json_int_t)t.hits);
}

static json_t *list_json(const struct front_tool *tool, enum front_list which, bool files, size_t top)
{
	struct tally t = { .busiest = calloc(top + 1, sizeof(*t.busiest)), .top = top };
	json_t *busiest = json_array(), *out;

	if (!t.busiest)
		abort();
	(files ? front_view_listed : front_view_rules)(tool->view, which, tally, &t);
	for (size_t i = 0; i < t.kept; i++)
		json_array_append_new(busiest, rule_json(&t.busiest[i]));
	out = json_pack("{s:s, s:s, s:I, s:I, s:o}", "list", which == FRONT_DENY ? "deny" : "allow", "from", files ? "files" : "by hand",
			"entries", (json_int_t)t.entries, "hits", (json_int_t)t.hits, "busiest", busiest);
	free(t.busiest);
	return out;
}

static void print_lists(const json_t *lists)
{
	struct ctl_table *t = ctl_table_new("llrr", (const char *const[]){ "list", "from", "entries", "hits" });
	char text[CTL_GROUPED_MAX];
	const json_t *row, *busiest;
	size_t i;

	json_array_foreach(lists, i, row) {
		ctl_cell(t, "%s", ctl_text(row, "list"));
		ctl_cell(t, "%s", ctl_text(row, "from"));
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "entries"), text));
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "hits"), text));
	}
	ctl_table_print(t, "  ");
	json_array_foreach(lists, i, row) {
		busiest = json_object_get(row, "busiest");
		if (!json_array_size(busiest))
			continue;
		printf("\n%s, %s: the busiest\n", ctl_text(row, "list"), ctl_text(row, "from"));
		print_rules(busiest);
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
	json_t *lists = json_pack("[o, o, o, o, o, o]", list_json(&tool, FRONT_ALLOW, true, top), list_json(&tool, FRONT_ALLOW, false, top),
				  list_json(&tool, FRONT_DENY, true, top), list_json(&tool, FRONT_DENY, false, top),
				  lane_json(&tool, true), lane_json(&tool, false));

	front_view_close(tool.view);
	if (tool.json) {
		ctl_print_json(lists);
		return CTL_OK;
	}
	print_lists(lists);
	json_decref(lists);
	return CTL_OK;
}
