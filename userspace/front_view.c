/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens the pins and reads counters and states from their maps. */
#include "userspace/front_view_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int front_view_map(const struct front_view *v, const char *name)
{
	char path[FRONT_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/maps/%s", v->dir, name);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

static int check_version(const struct front_view *v, struct front_err err)
{
	struct front_config config;
	uint32_t zero = 0;
	int map = front_view_map(v, "front_config"), code = 0;

	if (map == -ENOENT)
		return 0; /* steering alone */
	if (map < 0)
		return front_fail(err, map, "%s/maps: %s; looking at the front needs root", v->dir, strerror(-map));
	memset(&config, 0, sizeof(config));
	if (bpf_map_lookup_elem(map, &zero, &config))
		code = front_fail(err, -errno, "cannot read the front's configuration map: %s", strerror(errno));
	else if (config.abi != FRONT_ABI)
		code = front_fail(err, -EPROTO,
				  "the front under %s is of another version (its maps are of ABI %u, this danelawctl knows %d): use the "
				  "danelawctl it came with, or restart danelawd", v->dir, config.abi, FRONT_ABI);
	close(map);
	return code;
}

int front_view_open(const char *dir, struct front_view **out, char *text, size_t size)
{
	struct front_err err = { text, size };
	struct front_view *v;
	struct stat st;
	int code;

	if (size)
		text[0] = 0;
	libbpf_set_print(NULL);
	if (stat(dir, &st))
		return front_fail(err, -errno,
				  errno == EACCES ? "%s: %s; looking at the front needs root"
						  : "%s: %s; no front is attached: danelawd has none (front { interfaces = … }), or was "
						    "told to take it off", dir, strerror(errno));
	v = calloc(1, sizeof(*v));
	if (!v)
		return front_fail(err, -ENOMEM, "out of memory");
	snprintf(v->dir, sizeof(v->dir), "%s", dir);
	code = check_version(v, err);
	if (code)
		front_view_close(v);
	else
		*out = v;
	return code;
}

void front_view_close(struct front_view *v)
{
	free(v);
}

static int add_counts(const struct front_view *v, const char *name, uint64_t *counts, size_t rows)
{
	int map = front_view_map(v, name), code;

	if (map < 0)
		return map == -ENOENT ? 0 : map;
	code = front_add_counts(map, counts, rows);
	close(map);
	return code;
}

int front_view_counts(const struct front_view *v, uint64_t *counts)
{
	int code = 0;

	memset(counts, 0, front_count_rows * sizeof(*counts));
	for (size_t i = 0; i < FRONT_COUNT_MAPS && !code; i++) {
		code = add_counts(v, front_count_maps[i].name, counts, front_count_maps[i].rows);
		counts += front_count_maps[i].rows;
	}
	return code;
}

bool front_view_newest(const struct front_view *v, size_t row, struct in6_addr *source, uint64_t *age_ms)
{
	int map = row < REASON_COUNT ? front_view_map(v, "front_newest") : -1;
	struct front_newest newest;
	uint32_t key = (uint32_t)row;
	bool seen;

	if (map < 0)
		return false;
	seen = !bpf_map_lookup_elem(map, &key, &newest) && newest.time_ns;
	close(map);
	if (!seen)
		return false;
	memcpy(source, newest.source, sizeof(*source));
	*age_ms = (front_now_ns() - newest.time_ns) / 1000000;
	return true;
}

/* The one entry of a map; zeroed where there is none. */
static void read_one(const struct front_view *v, const char *name, void *value, size_t size)
{
	int map = front_view_map(v, name);
	uint32_t zero = 0;

	memset(value, 0, size);
	if (map < 0)
		return;
	if (bpf_map_lookup_elem(map, &zero, value))
		memset(value, 0, size);
	close(map);
}

struct worker_of {
	uint32_t generation, pid;
};

static bool find_worker(void *ctx, const void *key, const void *value)
{
	const struct worker_key *at = key;
	const struct worker *worker = value;
	struct worker_of *of = ctx;

	if (at->generation == of->generation)
		of->pid = worker->pid;
	return !of->pid;
}

static uint32_t worker_pid(const struct front_view *v, uint32_t generation)
{
	struct worker_of of = { generation, 0 };
	int map = front_view_map(v, "workers");

	if (map < 0)
		return 0;
	front_each_row(map, find_worker, &of);
	close(map);
	return of.pid;
}

int front_view_state(const struct front_view *v, struct front_state *out)
{
	struct front_config config;
	struct steer_state steer;
	struct flood flood;

	memset(out, 0, sizeof(*out));
	read_one(v, "front_config", &config, sizeof(config));
	read_one(v, "flood", &flood, sizeof(flood));
	read_one(v, "steer_state", &steer, sizeof(steer));
	out->flood = flood.until_ns > front_now_ns();
	out->syn_per_s = flood.last_syn_per_s;
	out->floods = flood.floods;
	out->flood_enter = config.flood_enter_syn_per_s;
	out->flood_leave = config.flood_leave_syn_per_s;
	if (config.source_interval_ns) {
		out->source_per_minute = 60e9 / (double)config.source_interval_ns;
		out->source_burst = (uint32_t)(config.source_burst_ns / config.source_interval_ns + 1);
	}
	out->spread_cpus = config.spread_cpus;
	out->spread_queue = config.spread_queue;
	out->generation = steer.generation;
	out->workers = steer.workers;
	out->pid = worker_pid(v, steer.generation);
	return 0;
}
