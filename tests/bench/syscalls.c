/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscalls: counts the system calls of every process in a control group, through the kernel's own
 * tracepoint: nothing is stopped at a call, as strace would.  Prints the count whenever a line comes in.
 *
 *   syscalls CGROUP-DIRECTORY TRACEFS-DIRECTORY
 *
 * Exit status 77 where the kernel does not let us: the figure is then left out.
 */
#define _GNU_SOURCE /* syscall */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/util.h"

enum { CPUS_MAX = 1024, UNAVAILABLE = 77 };

static uint64_t
tracepoint_id(const char *tracefs)
{
	char path[512];
	uint64_t id = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/events/raw_syscalls/sys_enter/id", tracefs);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%" SCNu64, &id) != 1)
		exit(UNAVAILABLE);
	fclose(f);
	return id;
}

static int
open_counter(uint64_t id, int cgroup, int cpu)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id };

	return (int)syscall(SYS_perf_event_open, &attr, cgroup, cpu, -1, PERF_FLAG_PID_CGROUP | PERF_FLAG_FD_CLOEXEC);
}

int
main(int argc, char **argv)
{
	int fds[CPUS_MAX], n = (int)sysconf(_SC_NPROCESSORS_ONLN), cgroup;
	char line[16];

	if (argc != 3)
		util_usage("syscalls CGROUP-DIRECTORY TRACEFS-DIRECTORY");
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (cgroup < 0)
		util_die(argv[1]);
	for (int cpu = 0; cpu < n && cpu < CPUS_MAX; cpu++)
		if ((fds[cpu] = open_counter(tracepoint_id(argv[2]), cgroup, cpu)) < 0)
			return UNAVAILABLE;
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t sum = 0, one;

		for (int cpu = 0; cpu < n && cpu < CPUS_MAX; cpu++)
			if (read(fds[cpu], &one, sizeof(one)) == sizeof(one))
				sum += one;
		printf("%" PRIu64 "\n", sum);
		fflush(stdout);
	}
	return 0;
}
