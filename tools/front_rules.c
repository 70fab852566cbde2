/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front deny, allow: rules made by hand. */
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

static void collect(void *ctx, const struct front_rule *rule)
{
	json_array_append_new(ctx, front_rule_json(rule));
}

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
		front_rules_print(rows);
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
