/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel holds for the front: links, programs, maps, as the pins lead to them. */
#include "userspace/front_view_parts.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

/* Calls visit with a descriptor and the name of every pin in DIR/sub, in the order of their names. */
static int each_pin(const struct front_view *v, const char *sub, void (*visit)(void *ctx, int fd, const char *name), void *ctx)
{
	char path[FRONT_PATH_MAX + 300];
	struct dirent **entries;
	int n, i, fd;

	snprintf(path, sizeof(path), "%s/%s", v->dir, sub);
	n = scandir(path, &entries, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	for (i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s/%s", v->dir, sub, entries[i]->d_name);
			fd = bpf_obj_get(path);
			if (fd >= 0) {
				visit(ctx, fd, entries[i]->d_name);
				close(fd);
			}
		}
		free(entries[i]);
	}
	free(entries);
	return 0;
}

/* "memlock:" of a BPF descriptor: the bytes that the kernel charges for it. */
static uint64_t memory_of(int fd)
{
	char path[64], line[128];
	unsigned long long bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	fclose(f);
	return bytes;
}

/* ---- links ---- */

struct link_visit {
	void (*each)(void *ctx, const struct front_link_row *);
	void *ctx;
};

static const char *xdp_mode(unsigned ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query(ifindex, 0, &query))
		return "unknown mode";
	return query.attach_mode == XDP_ATTACHED_SKB ? "generic" : query.attach_mode == XDP_ATTACHED_NONE ? "gone" : "native";
}

static void visit_link(void *ctx, int fd, const char *name)
{
	struct link_visit *visit = ctx;
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	struct front_link_row row = { .kind = "sk_lookup", .mode = "network namespace" };
	bool xdp = !strncmp(name, "xdp-", 4), tcx = !strncmp(name, "tcx-", 4);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	snprintf(row.name, sizeof(row.name), "%s", xdp || tcx ? name + 4 : name);
	row.link_id = info.id;
	row.prog_id = info.prog_id;
	if (tcx) {
		row.kind = "tcx";
		snprintf(row.mode, sizeof(row.mode), "ingress");
	}
	if (xdp) {
		row.kind = "xdp";
		snprintf(row.mode, sizeof(row.mode), "%s", info.xdp.ifindex ? xdp_mode(info.xdp.ifindex) : "gone");
		front_driver(row.name, row.driver);
	}
	visit->each(visit->ctx, &row);
}

/* libxdp keeps the links of what is in its dispatchers; ours is known there by its program's pin, front-INTERFACE. */
static void visit_dispatched(void *ctx, int fd, const char *name)
{
	struct link_visit *visit = ctx;
	struct front_link_row row = { .kind = "xdp", .mode = "gone" };
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	if (strncmp(name, "front-", 6) || bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	snprintf(row.name, sizeof(row.name), "%s", name + 6);
	row.prog_id = info.id;
	front_driver(row.name, row.driver);
	if (front_dispatcher(if_nametoindex(row.name)))
		snprintf(row.mode, sizeof(row.mode), "%s, dispatcher", xdp_mode(if_nametoindex(row.name)));
	visit->each(visit->ctx, &row);
}

int front_view_links(const struct front_view *v, void (*each)(void *ctx, const struct front_link_row *), void *ctx)
{
	struct link_visit visit = { each, ctx };
	int code = each_pin(v, "links", visit_link, &visit);

	return code ? code : each_pin(v, "progs", visit_dispatched, &visit);
}

/* ---- programs ---- */

struct prog_visit {
	void (*each)(void *ctx, const struct front_prog_row *);
	void *ctx;
};

/* The kernel counts runs of what it calls itself: of the dispatcher, and not of the extension of it that ours is there. */
static void take_runs(struct front_prog_row *row, const struct bpf_prog_info *own, const char *pin)
{
	struct bpf_prog_info info = *own;
	uint32_t size = sizeof(info);
	int fd;

	row->dispatcher = strncmp(pin, "front-", 6) ? 0 : front_dispatcher(if_nametoindex(pin + 6));
	fd = row->dispatcher ? bpf_prog_get_fd_by_id(row->dispatcher) : -1;
	if (fd >= 0) {
		memset(&info, 0, sizeof(info));
		if (bpf_obj_get_info_by_fd(fd, &info, &size))
			info = *own;
		close(fd);
	}
	row->run_ns = info.run_time_ns;
	row->runs = info.run_cnt;
}

static void visit_prog(void *ctx, int fd, const char *name)
{
	struct prog_visit *visit = ctx;
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	struct front_prog_row row = { .memory = memory_of(fd) };

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	snprintf(row.name, sizeof(row.name), "%.15s", info.name);
	for (int i = 0; i < 8; i++)
		snprintf(row.tag + 2 * i, 3, "%02x", info.tag[i]);
	row.id = info.id;
	row.instructions = info.xlated_prog_len / 8;
	row.loaded_s = info.load_time / 1000000000;
	take_runs(&row, &info, name);
	visit->each(visit->ctx, &row);
}

int front_view_progs(const struct front_view *v, void (*each)(void *ctx, const struct front_prog_row *), void *ctx)
{
	struct prog_visit visit = { each, ctx };

	return each_pin(v, "progs", visit_prog, &visit);
}

int front_run_statistics(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	return fd < 0 ? -errno : fd;
}

/* ---- maps ---- */

struct map_visit {
	void (*each)(void *ctx, const struct front_map_row *);
	void *ctx;
};

static const char *map_kind(uint32_t type)
{
	static const char *const kinds[] = {
		[BPF_MAP_TYPE_HASH] = "hash",		  [BPF_MAP_TYPE_ARRAY] = "array",
		[BPF_MAP_TYPE_PERCPU_ARRAY] = "array a CPU", [BPF_MAP_TYPE_LRU_HASH] = "hash, least used goes",
		[BPF_MAP_TYPE_LPM_TRIE] = "longest prefix", [BPF_MAP_TYPE_SOCKMAP] = "sockets",
		[BPF_MAP_TYPE_RINGBUF] = "ring",	     [BPF_MAP_TYPE_CPUMAP] = "CPUs",
	};

	return type < sizeof(kinds) / sizeof(*kinds) && kinds[type] ? kinds[type] : "other";
}

static bool count_row(void *ctx, const void *key, const void *value)
{
	++*(int64_t *)ctx;
	return true;
}

static void visit_map(void *ctx, int fd, const char *name)
{
	struct map_visit *visit = ctx;
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	struct front_map_row row = { .used = -1, .memory = memory_of(fd) };

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	snprintf(row.name, sizeof(row.name), "%.15s", name);
	row.kind = map_kind(info.type);
	row.id = info.id;
	row.max = info.max_entries;
	if (info.type == BPF_MAP_TYPE_HASH || info.type == BPF_MAP_TYPE_LRU_HASH || info.type == BPF_MAP_TYPE_LPM_TRIE)
		row.used = 0;
	if (!row.used && front_each_row(fd, count_row, &row.used))
		row.used = -1;
	visit->each(visit->ctx, &row);
}

int front_view_maps(const struct front_view *v, void (*each)(void *ctx, const struct front_map_row *), void *ctx)
{
	struct map_visit visit = { each, ctx };

	return each_pin(v, "maps", visit_map, &visit);
}
