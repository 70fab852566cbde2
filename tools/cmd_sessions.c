/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl sessions: those open now, the newest first. */
#include <errno.h>
#include <stdlib.h>

#include "tools/cmd.h"
#include "tools/ctl.h"

static const char usage[] = "danelawctl sessions [--limit N] [--json] [--socket PATH]";

static void print_sessions(const json_t *answer)
{
	static const char *const heads[] = { "id", "client", "helo", "age", "step", "waits for", "tls", "backend", "cmds", "mails" };
	const json_t *list = json_object_get(answer, "sessions"), *s;
	struct ctl_table *t = ctl_table_new("lllrllllrr", heads);
	size_t i;

	json_array_foreach(list, i, s) {
		char age[CTL_DURATION_MAX];

		ctl_cell(t, "%s", ctl_text(s, "id"));
		ctl_cell(t, "%s", ctl_text(s, "client"));
		ctl_cell(t, "%s", *ctl_text(s, "helo") ? ctl_text(s, "helo") : "-");
		ctl_cell(t, "%s", ctl_duration(ctl_number(s, "age_ms"), age));
		ctl_cell(t, "%s", ctl_text(s, "step"));
		ctl_cell(t, "%s", *ctl_text(s, "wait") ? ctl_text(s, "wait") : "-");
		ctl_cell(t, "%s", *ctl_text(s, "tls") ? ctl_text(s, "tls") : "-");
		ctl_cell(t, "%s", *ctl_text(s, "backend") ? ctl_text(s, "backend") : "-");
		ctl_cell(t, "%llu", (unsigned long long)ctl_number(s, "commands"));
		ctl_cell(t, "%llu", (unsigned long long)ctl_number(s, "messages"));
	}
	ctl_table_print(t, "  ");
	printf("  %zu of %llu open sessions%s\n", json_array_size(list), (unsigned long long)ctl_number(answer, "open"),
	       json_array_size(list) < ctl_number(answer, "open") ? ", the newest; --limit N shows more" : "");
}

int cmd_sessions(int argc, char **argv)
{
	static const struct option options[] = { CTL_OPTIONS, { "limit", required_argument, NULL, 'l' }, { 0 } };
	json_t *args = json_object();
	struct ctl c;
	int opt, status;

	ctl_init(&c);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'l')
			json_object_set_new(args, "limit", json_integer(atoll(optarg)));
		else
			ctl_option(&c, opt, usage);
	}
	if (optind < argc)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "sessions", args, &status);

	if (!answer)
		return status;
	if (c.json) {
		ctl_print_json(answer);
		return status;
	}
	print_sessions(answer);
	json_decref(answer);
	return status;
}
