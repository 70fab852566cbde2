/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads the kernel side and holds it.
 *
 * Order matters for a restart under traffic: programs and maps first, the maps filled, and only then the
 * links are created or updated, so that the first packet a new program sees finds its configuration.  After
 * that only map descriptors are used, which needs no capability.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bpf/front.skel.h"

static int check_kernel(struct front_err err)
{
	unsigned major = 0, minor = 0;
	struct utsname uts;

	if (uname(&uts) || sscanf(uts.release, "%u.%u", &major, &minor) != 2)
		return 0; /* an odd name is no proof of an old kernel */
	if (major < 6 || (major == 6 && minor < 1))
		return front_fail(err, -ENOSYS, "the kernel is %s; the front needs Linux 6.1 or newer", uts.release);
	return 0;
}

int front_load(struct bpf_object *obj, const char *what, struct front_err err)
{
	int code = front_pin_maps(obj, err);

	if (code)
		return code;
	front_listen();
	code = bpf_object__load(obj);
	if (code == -EPERM)
		return front_fail(err, code, "loading the %s program is not permitted: it needs root (CAP_BPF, CAP_NET_ADMIN, "
				  "CAP_PERFMON)", what);
	if (code)
		return front_fail(err, code, "the kernel does not load the %s program: %s (%s)", what, strerror(-code),
				  front_heard());
	return 0;
}

/* A descriptor of our own, since the skeleton's go when it is destroyed. */
int front_keep(const struct bpf_map *map)
{
	return fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
}

static int set_config(struct front *f, const struct front_settings *set, struct front_err err)
{
	struct front_config config = { 0 };
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(f->front_config, &zero, &config))
		return front_fail(err, -errno, "cannot read the front's configuration map: %s", strerror(errno));
	config.abi = FRONT_ABI;
	config.decap = set->decap_from_count && set->decap_to_count;
	config.gue_port = set->gue_port;
	front_fill_limits(set, &config);
	if (bpf_map_update_elem(f->front_config, &zero, &config, BPF_ANY))
		return front_fail(err, -errno, "cannot write the front's configuration map: %s", strerror(errno));
	return 0;
}

static void size_maps(struct front_bpf *skel, const struct front_settings *set)
{
	struct bpf_map *lists[] = { skel->maps.allow_list, skel->maps.list4_net, skel->maps.list4_host, skel->maps.list4_rule,
				    skel->maps.list6_rule };
	size_t i;

	front_size_spread(skel->maps.spread);
	if (set->verified_entries)
		bpf_map__set_max_entries(skel->maps.verified, set->verified_entries);
	for (i = 0; set->list_entries && i < sizeof(lists) / sizeof(*lists); i++)
		bpf_map__set_max_entries(lists[i], 2 * set->list_entries);
	if (set->list_entries)
		bpf_map__set_max_entries(skel->maps.list6_slot, 2 * LIST6_SLOTS * set->list_entries);
}

static int map_lists(struct front *f, struct front_bpf *skel, struct front_err err)
{
	const struct list4_maps maps = { .top = bpf_map__fd(skel->maps.list4_top), .mid = bpf_map__fd(skel->maps.list4_mid),
					 .net = bpf_map__fd(skel->maps.list4_net), .host = bpf_map__fd(skel->maps.list4_host),
					 .rule = bpf_map__fd(skel->maps.list4_rule) };
	const struct list6_maps maps6 = { .shape = bpf_map__fd(skel->maps.list6_shape), .slot = bpf_map__fd(skel->maps.list6_slot),
					  .rule = bpf_map__fd(skel->maps.list6_rule) };
	int code = front_map_list4(&f->list4, &maps, bpf_map__max_entries(skel->maps.list4_rule) / 2);

	if (!code)
		code = front_map_list6(&f->list6, &maps6, bpf_map__max_entries(skel->maps.list6_rule) / 2);
	f->allow_list = front_keep(skel->maps.allow_list);
	f->list_files = front_keep(skel->maps.list_files);
	f->deny4 = front_keep(skel->maps.deny4);
	f->deny6 = front_keep(skel->maps.deny6);
	f->allow4 = front_keep(skel->maps.allow4);
	f->allow6 = front_keep(skel->maps.allow6);
	return code ? front_fail(err, code, "cannot map the deny lists into memory: %s", strerror(-code)) : 0;
}

/* The reasons' names beside their newest sources; what an earlier run saw stays. */
static int name_newest(int map, struct front_err err)
{
	static const char *const names[REASON_COUNT] = {
#define REASON(number, symbol, verdict, sentence) [number] = #symbol,
#include "bpf/reasons.def"
	};
	struct front_newest row;
	uint32_t i;

	for (i = 0; i < REASON_COUNT; i++) {
		if (bpf_map_lookup_elem(map, &i, &row))
			return front_fail(err, -errno, "cannot read the map of newest sources: %s", strerror(errno));
		snprintf(row.reason, sizeof(row.reason), "%s", names[i]);
		if (bpf_map_update_elem(map, &i, &row, BPF_ANY))
			return front_fail(err, -errno, "cannot write the map of newest sources: %s", strerror(errno));
	}
	return 0;
}

/* An object of its own for each interface: libxdp makes an extension of one dispatcher of it. */
static int attach_dispatched(const struct front_settings *set, size_t i, struct front_link *link, struct front_err err)
{
	struct front_bpf *skel = front_bpf__open();
	int code;

	if (!skel)
		return front_fail(err, -errno, "cannot open the front's object: %s", strerror(errno));
	size_maps(skel, set);
	bpf_program__set_autoload(skel->progs.front_inside, false); /* `inside` has it already */
	code = front_pin_maps(skel->obj, err);
	if (!code)
		code = front_attach_dispatch(skel->obj, set->interfaces[i], set->generic_allowed, link, err);
	front_bpf__destroy(skel);
	return code;
}

static int attach_all(struct front *f, int prog, const struct front_settings *set, struct front_err err)
{
	int code = set->dispatcher ? front_dispatch_open(err) : 0;
	size_t i;

	if (!code && set->dispatcher)
		front_drop_other_links(NULL, 0); /* of our own, which would hold the interfaces */
	for (i = 0; i < set->interface_count && !code; i++) {
		code = set->dispatcher ? attach_dispatched(set, i, &f->links[i], err)
				       : front_attach_xdp(prog, set->interfaces[i], set->generic_allowed, &f->links[i], err);
		f->link_count++;
	}
	return code;
}

static int set_tunnels(struct front_bpf *skel, const struct front_settings *set, struct front_err err)
{
	struct front_tunnel_maps maps = { bpf_map__fd(skel->maps.decap_to), bpf_map__fd(skel->maps.decap_from4),
					  bpf_map__fd(skel->maps.decap_from6) };

	uint32_t zero = 0, prog = (uint32_t)bpf_program__fd(skel->progs.front_inside);

	if (bpf_map_update_elem(bpf_map__fd(skel->maps.inside), &zero, &prog, BPF_ANY))
		return front_fail(err, -errno, "cannot tell the front which program opens tunnels: %s", strerror(errno));
	return front_fill_tunnels(set, &maps, err);
}

/*
 * The kernel lets a map that may hold programs (also a cpumap) be used only by programs alike (bpf_prog_map_compatible()): in whether
 * they take frames of several buffers, and, in newer kernels (and newer updates of old ones), in expected_attach_type.
 * Frames of several buffers are fine with us; but an extension, which is what libxdp makes of front for its dispatcher,
 * must not say so itself, the dispatcher does, and has no attach type.  So for the dispatcher neither have ours.
 * A map keeps what its first program was, so `inside` is made anew each time (front_pins.c), and `spread`, whose queues
 * outlive a restart, where it may have been of the other kind.
 */
static void set_kind(struct front_bpf *skel, const struct front_settings *set)
{
	struct bpf_program *progs[] = { skel->progs.front, skel->progs.front_inside };
	size_t i;

	for (i = 0; i < sizeof(progs) / sizeof(*progs); i++) {
		bpf_program__set_flags(progs[i], set->dispatcher ? 0 : BPF_F_XDP_HAS_FRAGS);
		if (set->dispatcher)
			bpf_program__set_expected_attach_type(progs[i], 0);
	}
	for (i = 0; i < set->interface_count; i++) {
		char dispatched[sizeof(FRONT_PIN_DIR) + 64];

		snprintf(dispatched, sizeof(dispatched), FRONT_PIN_DIR "/progs/front-%.40s", set->interfaces[i]);
		if (set->dispatcher || !access(dispatched, F_OK))
			unlink(FRONT_PIN_DIR "/maps/spread");
	}
}

static int load_front(struct front *f, const struct front_settings *set, struct front_err err)
{
	struct front_bpf *skel = front_bpf__open();
	int code;

	if (!skel)
		return front_fail(err, -errno, "cannot open the front's object: %s", strerror(errno));
	size_maps(skel, set);
	set_kind(skel, set);
	front_begin_inside(f);
	code = front_load(skel->obj, "XDP", err);
	if (code)
		goto out;
	f->vips = front_keep(skel->maps.vips);
	f->vip_ports = front_keep(skel->maps.vip_ports);
	f->front_config = front_keep(skel->maps.front_config);
	f->front_stats = front_keep(skel->maps.front_stats);
	f->front_also = front_keep(skel->maps.front_also);
	f->cookie_keys = front_keep(skel->maps.cookie_keys);
	f->flood = front_keep(skel->maps.flood);
	f->verified = front_keep(skel->maps.verified);
	f->blocked = front_keep(skel->maps.blocked);
	f->spread = front_keep(skel->maps.spread);
	f->spread_cpus = front_keep(skel->maps.spread_cpus);
	code = map_lists(f, skel, err);
	if (!code)
		code = name_newest(bpf_map__fd(skel->maps.front_newest), err);
	if (!code)
		code = set_tunnels(skel, set, err);
	if (!code)
		code = set_config(f, set, err);
	if (!code && !f->spread_queue)
		code = front_set_spread(f, NULL, 0);
	if (!code)
		code = front_set_vips(f, set, err);
	if (!code)
		code = front_pin_prog(bpf_program__fd(skel->progs.front), "front", err);
	if (!code)
		code = front_pin_prog(bpf_program__fd(skel->progs.front_inside), "front_inside", err);
	if (!code)
		code = attach_all(f, bpf_program__fd(skel->progs.front), set, err);
out:
	front_bpf__destroy(skel);
	return code;
}

static void describe(struct front *f)
{
	size_t i, size;
	FILE *out = open_memstream(&f->description, &size);

	if (!out)
		return;
	for (i = 0; i < f->link_count; i++)
		fprintf(out, "%s%s %s%s (%s)", i ? ", " : "", f->links[i].interface,
			f->links[i].native ? "native" : "generic: slow, for tests only",
			f->links[i].dispatched ? ", in libxdp's dispatcher" : "", f->links[i].driver);
	if (f->steer_link >= 0)
		fprintf(out, "%sconnections steered to %u workers%s", i ? ", " : "", f->worker_count,
			f->spread_queue ? ", spread over their CPUs by cpumap" : "");
	fclose(out);
}

static struct front *front_new(const struct front_settings *set)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->links = calloc(set->interface_count + 1, sizeof(*f->links));
	f->names = front_names_new();
	if (!f->links || !f->names) {
		front_names_free(f->names);
		free(f->links);
		free(f);
		return NULL;
	}
	f->steer_link = f->verified = f->blocked = -1;
	f->vips = f->vip_ports = f->front_config = f->front_stats = f->front_also = -1;
	f->allow_list = f->list_files = f->deny4 = f->deny6 = f->allow4 = f->allow6 = -1;
	f->steer_state = f->cpu_worker = f->sockets = f->workers = f->steer_stats = -1;
	f->spread = f->spread_cpus = f->inside_before = -1;
	f->spread_queue = set->spread_queue;
	f->cookies = FRONT_COOKIES_NONE;
	f->cookie_keys = f->cookie_stats = f->flood = f->watch_prog = -1;
	f->listeners = set->listeners;
	f->worker_count = set->workers;
	f->mss = set->mss;
	return f;
}

int front_open(const struct front_settings *set, struct front **out, char *text, size_t size)
{
	struct front_err err = { text, size };
	struct front *f;
	int code;

	if (size)
		text[0] = 0;
	if (set->listeners > FRONT_LISTENERS_MAX || set->workers > FRONT_WORKERS_MAX)
		return front_fail(err, -E2BIG, "%u listeners and %u workers are configured; the front takes %d and %d", set->listeners,
				  set->workers, FRONT_LISTENERS_MAX, FRONT_WORKERS_MAX);
	f = front_new(set);
	if (!f)
		return front_fail(err, -ENOMEM, "out of memory");
	code = check_kernel(err);
	if (!code)
		code = front_pin_dirs(&f->pins_fresh, err);
	if (!code)
		code = front_check_netns(err);
	if (!code && set->interface_count)
		code = load_front(f, set, err);
	if (!code && set->interface_count)
		code = front_recall_verified(f, set, err);
	if (!code && !set->plain_bind)
		code = front_load_steer(f, set, err);
	if (!code && set->interface_count)
		code = front_open_cookies(f, set, err);
	if (code) {
		front_undo(f);
		return code;
	}
	describe(f);
	*out = f;
	return 0;
}

void front_settle(struct front *f)
{
	bool dispatched = f->link_count && f->links[0].dispatched;

	if (f->steer_link < 0)
		front_drop_steer(); /* nobody would be there for what it steers */
	if (!dispatched)
		front_drop_other_links(f->links, f->link_count);
	front_drop_other_progs(f->links, dispatched ? f->link_count : 0);
	front_end_inside(f, true);
}

const char *front_describe(const struct front *f)
{
	return f->description ? f->description : "nothing attached";
}

void front_undo(struct front *f)
{
	for (size_t i = 0; i < f->link_count; i++)
		front_undo_link(&f->links[i], i < f->cookie_link_count ? f->cookie_links[i] : -1);
	if (f->steer_fresh) {
		bpf_link_detach(f->steer_link);
		front_drop_steer();
	}
	front_end_inside(f, false);
	if (f->pins_fresh)
		front_unpin_all();
	front_close(f, false);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void front_close(struct front *f, bool detach)
{
	size_t i;

	if (!f)
		return;
	for (i = 0; detach && i < f->link_count; i++)
		if (f->links[i].dispatched)
			front_detach_dispatch(&f->links[i]);
	if (detach)
		front_unpin_all();
	for (i = 0; i < f->link_count; i++)
		close_fd(f->links[i].fd);
	close_fd(f->steer_link);
	front_unmap_list4(&f->list4);
	front_unmap_list6(&f->list6);
	close_fd(f->allow_list);
	close_fd(f->list_files);
	close_fd(f->deny4);
	close_fd(f->deny6);
	close_fd(f->allow4);
	close_fd(f->allow6);
	close_fd(f->vips);
	close_fd(f->vip_ports);
	close_fd(f->front_config);
	close_fd(f->front_stats);
	close_fd(f->front_also);
	close_fd(f->verified);
	close_fd(f->blocked);
	close_fd(f->spread);
	close_fd(f->spread_cpus);
	close_fd(f->inside_before);
	close_fd(f->steer_state);
	close_fd(f->cpu_worker);
	close_fd(f->sockets);
	close_fd(f->workers);
	close_fd(f->steer_stats);
	front_close_cookies(f);
	front_names_free(f->names);
	free(f->links);
	free(f->description);
	free(f);
}
