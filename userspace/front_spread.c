/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which CPUs the front spreads connections over (bpf/spread.h): those of the workers.  The kernel has a queue and a thread for
 * each that stands in the map `spread`; ones that stay as they are keep theirs, with what waits there.
 */
#include "userspace/front_parts.h"

#include <errno.h>

/* The kernel refuses one of more CPUs than it was built for. */
void front_size_spread(struct bpf_map *spread)
{
	int cpus = libbpf_num_possible_cpus();

	bpf_map__set_max_entries(spread, cpus < 1 ? 1 : cpus > FRONT_CPUS_MAX ? FRONT_CPUS_MAX : (uint32_t)cpus);
}

static void set_cpus(const struct front *f, struct front_config *config, const void *to)
{
	config->spread_cpus = *(const uint32_t *)to;
	config->spread_queue = config->spread_cpus ? f->spread_queue : 0;
}

static int set_config(struct front *f, uint32_t cpus)
{
	return front_change_config(f, set_cpus, &cpus);
}

static int open_queue(const struct front *f, uint32_t cpu)
{
	uint32_t queue;

	if (!bpf_map_lookup_elem(f->spread, &cpu, &queue) && queue == f->spread_queue)
		return 0;
	return bpf_map_update_elem(f->spread, &cpu, &f->spread_queue, BPF_ANY) ? -errno : 0;
}

/* Takes queues away that no CPU of the row needs; best effort, they wait for packets that do not come. */
static void close_queues(const struct front *f, const uint32_t *cpu_worker, size_t count)
{
	uint32_t cpu, queue;

	for (cpu = 0; cpu < FRONT_CPUS_MAX; cpu++)
		if ((cpu >= count || cpu_worker[cpu] >= f->worker_count) && !bpf_map_lookup_elem(f->spread, &cpu, &queue))
			bpf_map_delete_elem(f->spread, &cpu);
}

int front_set_spread(struct front *f, const uint32_t *cpu_worker, size_t count)
{
	uint32_t cpu, used = 0;
	int code = 0;

	if (f->spread < 0)
		return 0;
	if (!f->spread_queue)
		count = 0;
	for (cpu = 0; cpu < count && used < FRONT_WORKERS_MAX && !code; cpu++) {
		struct spread_cpu row = { cpu, cpu_worker[cpu] };

		if (cpu_worker[cpu] >= f->worker_count)
			continue;
		code = open_queue(f, cpu);
		if (!code && bpf_map_update_elem(f->spread_cpus, &used, &row, BPF_ANY))
			code = -errno;
		used++;
	}
	if (!code)
		code = set_config(f, used);
	if (!code)
		close_queues(f, cpu_worker, count);
	return code;
}
