/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl counters: how sessions ended and what else was counted, with what it means. */
#include <string.h>

#include "tools/cmd.h"
#include "tools/ctl.h"

static const char usage[] = "danelawctl counters [--all] [--json] [--socket PATH]";

/* One list of {name, count, sentence, …}; extra: another member to show in the second column, or NULL. */
static void print_list(const json_t *list, const char *head, const char *extra, bool all)
{
	const char *const heads[] = { head, extra ? extra : "kind", "count", "what it means" };
	struct ctl_table *t = ctl_table_new("llrl", heads);
	const json_t *row;
	size_t i, shown = 0;

	json_array_foreach(list, i, row) {
		char count[CTL_GROUPED_MAX];

		if (!all && !ctl_number(row, "count"))
			continue;
		shown++;
		ctl_cell(t, "%s", ctl_text(row, "name"));
		ctl_cell(t, "%s", ctl_text(row, extra ? extra : "kind"));
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "count"), count));
		ctl_cell(t, "%s", ctl_text(row, "sentence"));
	}
	ctl_table_print(t, "  ");
	if (!shown)
		printf("  nothing yet; --all shows the rows that are 0\n");
}

static void print_dns(const json_t *dns)
{
	const char *name;
	json_t *value;
	struct ctl_table *t = ctl_table_new("lr", (const char *const[]){ "look-ups", "count" });

	json_object_foreach((json_t *)dns, name, value) {
		char count[CTL_GROUPED_MAX];

		ctl_cell(t, "%s", name);
		ctl_cell(t, "%s", ctl_grouped((uint64_t)json_integer_value(value), count));
	}
	putchar('\n');
	ctl_table_print(t, "  ");
}

static void print_counters(const json_t *c, bool all)
{
	print_list(json_object_get(c, "ends"), "sessions ended", "fault", all);
	putchar('\n');
	print_list(json_object_get(c, "counts"), "counted", NULL, all);
	if (json_is_array(json_object_get(c, "front"))) {
		putchar('\n');
		print_list(json_object_get(c, "front"), "in the kernel", "program", all);
	}
	if (json_is_object(json_object_get(c, "dns")))
		print_dns(json_object_get(c, "dns"));
}

int cmd_counters(int argc, char **argv)
{
	static const struct option options[] = { CTL_OPTIONS, { "all", no_argument, NULL, 'a' }, { 0 } };
	bool all = false;
	struct ctl c;
	int opt, status;

	ctl_init(&c);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'a')
			all = true;
		else
			ctl_option(&c, opt, usage);
	}
	if (optind < argc)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "counters", NULL, &status);

	if (!answer)
		return status;
	if (c.json) {
		ctl_print_json(answer);
		return status;
	}
	print_counters(answer, all);
	json_decref(answer);
	return status;
}
