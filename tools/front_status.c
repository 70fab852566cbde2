/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front status: what the kernel holds, and whether anybody takes the connections that it hands on. */
#include <signal.h>
#include <string.h>
#include <errno.h>

#include "tools/front_tool.h"

static const char usage[] = "danelawctl front status [--json] [--pins DIR]";

struct seen {
	json_t *links, *progs, *maps;
	size_t attached; /* interfaces that the front is on */
};

static void see_link(void *ctx, const struct front_link_row *row)
{
	struct seen *seen = ctx;

	json_array_append_new(seen->links, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "kind", row->kind, "name",
						     row->name, "mode", row->mode, "driver", row->driver, "link_id",
						     (int)row->link_id, "prog_id", (int)row->prog_id));
	if (!strcmp(row->kind, "xdp") && strcmp(row->mode, "gone"))
		seen->attached++;
}

static void see_prog(void *ctx, const struct front_prog_row *row)
{
	json_array_append_new(((struct seen *)ctx)->progs,
			      json_pack("{s:s, s:i, s:s, s:i, s:I}", "name", row->name, "id", (int)row->id, "tag", row->tag, "instructions",
					(int)row->instructions, "memory_bytes", (json_int_t)row->memory));
}

static void see_map(void *ctx, const struct front_map_row *row)
{
	json_t *map = json_pack("{s:s, s:s, s:i, s:I, s:I}", "name", row->name, "kind", row->kind, "id", (int)row->id, "max",
				(json_int_t)row->max, "memory_bytes", (json_int_t)row->memory);

	if (row->used >= 0)
		json_object_set_new(map, "used", json_integer(row->used));
	json_array_append_new(((struct seen *)ctx)->maps, map);
}

static bool runs(uint32_t pid)
{
	return pid && (!kill((pid_t)pid, 0) || errno == EPERM);
}

static json_t *collect(const struct front_tool *t, struct seen *seen)
{
	struct front_state s;

	*seen = (struct seen){ json_array(), json_array(), json_array(), 0 };
	front_view_links(t->view, see_link, seen);
	front_view_progs(t->view, see_prog, seen);
	front_view_maps(t->view, see_map, seen);
	front_view_state(t->view, &s);
	return json_pack("{s:s, s:o, s:o, s:o, s:{s:b, s:I, s:I, s:i, s:i}, s:{s:f, s:i}, s:{s:i, s:i, s:i, s:b}, s:{s:i, s:i}}", "pins", t->pins,
			 "links", seen->links, "programs", seen->progs, "maps", seen->maps, "flood", "lasts", s.flood, "syn_per_s",
			 (json_int_t)s.syn_per_s, "floods", (json_int_t)s.floods, "enter_syn_per_s", (int)s.flood_enter, "leave_syn_per_s",
			 (int)s.flood_leave, "limit", "source_per_minute", s.source_per_minute, "source_burst", (int)s.source_burst,
			 "steering", "generation", (int)s.generation, "workers", (int)s.workers, "pid", (int)s.pid, "runs",
			 runs(s.pid), "spread", "cpus", (int)s.spread_cpus, "queue_packets", (int)s.spread_queue);
}

/* ---- for people ---- */

static const char *bytes(uint64_t n, char out[CTL_GROUPED_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	int unit = 0;

	while (n >= 10240 && unit < 3) {
		n /= 1024;
		unit++;
	}
	snprintf(out, CTL_GROUPED_MAX, "%llu %s", (unsigned long long)n, units[unit]);
	return out;
}

static void print_links(const json_t *links)
{
	struct ctl_table *t = ctl_table_new("llllrr", (const char *const[]){ "attached to", "as", "mode", "driver", "link", "program" });
	const json_t *row;
	size_t i;

	json_array_foreach(links, i, row) {
		ctl_cell(t, "%s", ctl_text(row, "name"));
		ctl_cell(t, "%s", ctl_text(row, "kind"));
		ctl_cell(t, "%s", ctl_text(row, "mode"));
		ctl_cell(t, "%s", ctl_text(row, "driver"));
		ctl_cell(t, "%llu", (unsigned long long)ctl_number(row, "link_id"));
		ctl_cell(t, "%llu", (unsigned long long)ctl_number(row, "prog_id"));
	}
	ctl_table_print(t, "  ");
	if (!json_array_size(links))
		printf("  nothing: the programs are loaded, and no packet meets them\n");
}

static void print_progs(const json_t *progs)
{
	struct ctl_table *t = ctl_table_new("lrlrr", (const char *const[]){ "program", "id", "tag", "instructions", "memory" });
	const json_t *row;
	size_t i;

	json_array_foreach(progs, i, row) {
		char memory[CTL_GROUPED_MAX];

		ctl_cell(t, "%s", ctl_text(row, "name"));
		ctl_cell(t, "%llu", (unsigned long long)ctl_number(row, "id"));
		ctl_cell(t, "%s", ctl_text(row, "tag"));
		ctl_cell(t, "%llu", (unsigned long long)ctl_number(row, "instructions"));
		ctl_cell(t, "%s", bytes(ctl_number(row, "memory_bytes"), memory));
	}
	ctl_table_print(t, "  ");
}

static void print_maps(const json_t *maps)
{
	struct ctl_table *t = ctl_table_new("lrrrl", (const char *const[]){ "map", "used", "room", "memory", "kind" });
	const json_t *row;
	size_t i;

	json_array_foreach(maps, i, row) {
		char text[CTL_GROUPED_MAX];

		ctl_cell(t, "%s", ctl_text(row, "name"));
		ctl_cell(t, "%s", json_object_get(row, "used") ? ctl_grouped(ctl_number(row, "used"), text) : "-");
		ctl_cell(t, "%s", ctl_grouped(ctl_number(row, "max"), text));
		ctl_cell(t, "%s", bytes(ctl_number(row, "memory_bytes"), text));
		ctl_cell(t, "%s", ctl_text(row, "kind"));
	}
	ctl_table_print(t, "  ");
}

static void print_states(const json_t *all)
{
	const json_t *flood = json_object_get(all, "flood"), *limit = json_object_get(all, "limit"),
		     *steering = json_object_get(all, "steering"), *spread = json_object_get(all, "spread");
	unsigned long long pid = ctl_number(steering, "pid"), workers = ctl_number(steering, "workers");
	char a[CTL_GROUPED_MAX], b[CTL_GROUPED_MAX], c[CTL_GROUPED_MAX];
	double rate = json_number_value(json_object_get(limit, "source_per_minute"));

	if (!pid)
		printf("  steering  none\n");
	else if (ctl_true(steering, "runs"))
		printf("  steering  to %llu workers of process %llu\n", workers, pid);
	else
		printf("  steering  process %llu is gone: new connections are refused until danelawd runs again\n", pid);
	if (ctl_number(spread, "cpus"))
		printf("  spread    over the CPUs of %llu workers, up to %s packets waiting for each\n",
		       (unsigned long long)ctl_number(spread, "cpus"), ctl_grouped(ctl_number(spread, "queue_packets"), a));
	else
		printf("  spread    no: packets pass on the CPU that they came in on (spread = off)\n");
	if (ctl_number(flood, "enter_syn_per_s"))
		printf("  flood     %s: %s new connections/s (begins at %s, ends below %s); %llu so far\n",
		       ctl_true(flood, "lasts") ? "LASTS" : "no", ctl_grouped(ctl_number(flood, "syn_per_s"), a),
		       ctl_grouped(ctl_number(flood, "enter_syn_per_s"), b), ctl_grouped(ctl_number(flood, "leave_syn_per_s"), c),
		       (unsigned long long)ctl_number(flood, "floods"));
	else
		printf("  flood     not watched for (flood-enter = 0)\n");
	if (rate > 0)
		printf("  limit     %.0f new connections a minute for a source, %llu at once\n", rate,
		       (unsigned long long)ctl_number(limit, "source_burst"));
	else
		printf("  limit     none on a source's new connections (source-rate = 0)\n");
}

int front_status(int argc, char **argv)
{
	static const struct option options[] = { FRONT_OPTIONS, { 0 } };
	struct front_tool t;
	struct seen seen;
	int opt, status;

	front_tool_init(&t);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		front_tool_option(&t, opt, usage);
	if (optind < argc)
		return ctl_usage(usage);
	status = front_tool_open(&t);
	if (status)
		return status;
	json_t *all = collect(&t, &seen);

	status = seen.attached ? CTL_OK : CTL_NO;
	front_view_close(t.view);
	if (t.json) {
		ctl_print_json(all);
		return status;
	}
	printf("front under %s\n", t.pins);
	print_links(json_object_get(all, "links"));
	print_states(all);
	putchar('\n');
	print_progs(json_object_get(all, "programs"));
	putchar('\n');
	print_maps(json_object_get(all, "maps"));
	json_decref(all);
	return status;
}
