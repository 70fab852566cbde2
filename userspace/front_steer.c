/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering: the sk_lookup program, and the sockets of workers that it hands new connections to.  A process fills
 * a row of its own beside that of the one before it, then flips the generation, so a restart loses no connection.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/steer.skel.h"

int front_load_steer(struct front *f, const struct front_settings *set, struct front_err err)
{
	struct steer_bpf *skel = steer_bpf__open();
	struct steer_state state;
	uint32_t zero = 0;
	int code;

	if (!skel)
		return front_fail(err, -errno, "cannot open the steering object: %s", strerror(errno));
	code = front_load(skel->obj, "sk_lookup", err);
	if (code)
		goto out;
	if (f->vips < 0)
		f->vips = front_keep(skel->maps.vips);
	f->steer_state = front_keep(skel->maps.steer_state);
	f->cpu_worker = front_keep(skel->maps.cpu_worker);
	f->sockets = front_keep(skel->maps.sockets);
	f->workers = front_keep(skel->maps.workers);
	f->steer_stats = front_keep(skel->maps.steer_stats);
	if (bpf_map_lookup_elem(f->steer_state, &zero, &state))
		code = front_fail(err, -errno, "cannot read the state of steering: %s", strerror(errno));
	f->generation = state.generation + 1;
	if (!code && !set->interface_count)
		code = front_set_vips(f, set, err);
	if (!code)
		code = front_pin_prog(bpf_program__fd(skel->progs.steer), "steer", err);
	if (!code)
		code = front_attach_steer(bpf_program__fd(skel->progs.steer), &f->steer_link, &f->steer_fresh, err);
out:
	steer_bpf__destroy(skel);
	return code;
}

/* 4, 6 or, for a dual-stack socket, 46; else negative errno.  One bound to an IPv6 address is of IPv6 only. */
static int socket_family(int fd)
{
	int domain, v6only;
	socklen_t size = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size))
		return -errno;
	if (domain == AF_INET)
		return 4;
	size = sizeof(v6only);
	if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &size))
		return -errno;
	return v6only ? 6 : 46;
}

int front_set_socket(struct front *f, unsigned listener, unsigned worker, int fd)
{
	struct worker_key key = { f->generation, listener, worker, 0 };
	struct worker twin = { .pid = (uint32_t)getpid() };
	socklen_t size = sizeof(twin.socket_cookie);
	uint64_t value = (uint64_t)fd;
	int family = socket_family(fd);
	uint32_t v4, slot;

	if (family < 0)
		return family;
	if (listener >= FRONT_LISTENERS_MAX || worker >= FRONT_WORKERS_MAX)
		return -EINVAL;
	for (v4 = 0; v4 < 2; v4++) {
		if (family == (v4 ? 6 : 4))
			continue;
		slot = socket_slot(f->generation, listener, worker, v4);
		if (bpf_map_update_elem(f->sockets, &slot, &value, BPF_ANY))
			return -errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &twin.socket_cookie, &size))
		return -errno;
	key.family = (uint32_t)family;
	return bpf_map_update_elem(f->workers, &key, &twin, BPF_ANY) ? -errno : 0;
}

/* Of generations before the last. */
static bool drop_old_twin(void *ctx, const void *key, const void *value)
{
	const struct worker_key *twin = key;
	const struct front *f = ctx;

	if (f->generation - twin->generation > 1)
		bpf_map_delete_elem(f->workers, twin);
	return true;
}

int front_map_cpus(struct front *f, const uint32_t *cpu_worker, size_t count)
{
	struct steer_state state = { .generation = f->generation, .workers = f->worker_count };
	uint32_t cpu, zero = 0, slot, owner;

	for (cpu = 0; cpu < FRONT_CPUS_MAX; cpu++) {
		slot = cpu_slot(f->generation, cpu);
		owner = cpu < count ? cpu_worker[cpu] : FRONT_NO_WORKER;
		if (bpf_map_update_elem(f->cpu_worker, &slot, &owner, BPF_ANY))
			return -errno;
	}
	if (bpf_map_update_elem(f->steer_state, &zero, &state, BPF_ANY))
		return -errno;
	front_each_row(f->workers, drop_old_twin, f); /* best effort, they only inform */
	return front_set_spread(f, cpu_worker, count);
}

enum { GONE_MS = 5000, LOOK_MS = 20 }; /* how long sockets may outlive their process */

struct served {
	int sockets;
	uint32_t generation, pid;
};

static bool find_served(void *ctx, const void *key, const void *value)
{
	const struct worker_key *twin = key;
	const struct worker *worker = value;
	struct served *served = ctx;
	uint64_t cookie;

	for (uint32_t v4 = 0; v4 < 2 && twin->generation == served->generation; v4++) {
		uint32_t slot = socket_slot(twin->generation, twin->listener, twin->worker, v4);

		if (!bpf_map_lookup_elem(served->sockets, &slot, &cookie))
			served->pid = worker->pid;
	}
	return !served->pid;
}

/* A socket that is closed leaves the map by itself. */
static uint32_t find_server(void)
{
	int state_map = bpf_obj_get(FRONT_PIN_DIR "/maps/steer_state"), workers = bpf_obj_get(FRONT_PIN_DIR "/maps/workers");
	struct served served = { .sockets = bpf_obj_get(FRONT_PIN_DIR "/maps/sockets") };
	struct steer_state state;
	uint32_t zero = 0;

	if (state_map >= 0 && workers >= 0 && served.sockets >= 0 && !bpf_map_lookup_elem(state_map, &zero, &state)) {
		served.generation = state.generation;
		front_each_row(workers, find_served, &served);
	}
	if (state_map >= 0)
		close(state_map);
	if (workers >= 0)
		close(workers);
	if (served.sockets >= 0)
		close(served.sockets);
	return served.pid;
}

static bool is_gone(uint32_t pid)
{
	return kill((pid_t)pid, 0) && errno == ESRCH;
}

/*
 * The kernel ends a ring behind the back of a process that was killed, and closes its sockets then.  A process of another PID
 * namespace looks the same from here, but its sockets stay.
 */
uint32_t front_served_by(void)
{
	char text[8] = "";
	uint32_t pid = front_check_netns((struct front_err){ text, sizeof(text) }) ? 0 : find_server();

	for (int ms = 0; pid && is_gone(pid) && ms < GONE_MS; ms += LOOK_MS) {
		usleep(LOOK_MS * 1000);
		pid = find_server();
	}
	return pid;
}
