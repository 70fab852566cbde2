/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYN cookies: which can be had here is found out by loading what they need; and what the kernel would promise in a
 * handshake, since it has to keep what a cookie promised.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/cookie.skel.h"
#include "bpf/watch.skel.h"

enum {
	WINDOW_MAX = 65535, /* of a SYN-ACK, which is never scaled */
	SCALE_MAX = 14,
	RMEM_MAX_UNKNOWN = 212992, /* the kernel's default of net.core.rmem_max, where it cannot be read */
	MTU_UNKNOWN = 1280,
	HEADERS4 = 40, /* of IP and TCP, without options */
	HEADERS6 = 60,
};

/* ---- what the kernel would promise ---- */

/* The numbers of a sysctl; how many were there. */
static int read_sysctl(const char *name, unsigned long *values, int max)
{
	char path[128], text[128] = "", *at = text, *end;
	int fd, n = 0;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return 0;
	for (; n < max; n++, at = end) {
		values[n] = strtoul(at, &end, 10);
		if (end == at)
			break;
	}
	return n;
}

static unsigned long one_sysctl(const char *name, unsigned long missing)
{
	unsigned long value;

	return read_sysctl(name, &value, 1) == 1 ? value : missing;
}

/* tcp_select_initial_window(), net/ipv4/tcp_output.c, for a listener whose buffers nobody set. */
static uint8_t window_scale(const unsigned long rmem[3])
{
	unsigned long space = one_sysctl("core/rmem_max", RMEM_MAX_UNKNOWN);
	int bits = -15;

	if (rmem[2] > space)
		space = rmem[2];
	while (space >>= 1)
		bits++;
	return (uint8_t)(bits < 0 ? 0 : bits > SCALE_MAX ? SCALE_MAX : bits);
}

static unsigned lowest_mtu(const struct front *f)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned lowest = 65535;
	struct ifreq req;
	size_t i;

	for (i = 0; i < f->link_count; i++) {
		memset(&req, 0, sizeof(req));
		snprintf(req.ifr_name, sizeof(req.ifr_name), "%.15s", f->links[i].interface);
		if (s < 0 || ioctl(s, SIOCGIFMTU, &req) || req.ifr_mtu < MTU_UNKNOWN)
			req.ifr_mtu = MTU_UNKNOWN;
		if ((unsigned)req.ifr_mtu < lowest)
			lowest = (unsigned)req.ifr_mtu;
	}
	if (s >= 0)
		close(s);
	return lowest;
}

static void fill_promises(const struct front *f, struct front_config *config)
{
	unsigned long rmem[3] = { 4096, 131072, 6291456 }, timestamps = one_sysctl("ipv4/tcp_timestamps", 1), window;
	unsigned mtu = lowest_mtu(f);

	read_sysctl("ipv4/tcp_rmem", rmem, 3);
	config->cookie_offer = 0;
	/* the kernel hides its own offset in the timestamps of its cookies unless told not to; nobody else can know it */
	if (f->cookies == FRONT_COOKIES_OWN ? timestamps : timestamps == 2)
		config->cookie_offer |= COOKIE_OFFER_TIMESTAMP;
	if (one_sysctl("ipv4/tcp_sack", 1))
		config->cookie_offer |= COOKIE_OFFER_SACK;
	if (one_sysctl("ipv4/tcp_window_scaling", 1))
		config->cookie_offer |= COOKIE_OFFER_WSCALE;
	config->cookie_mss4 = (uint16_t)(f->mss && f->mss < mtu - HEADERS4 ? f->mss : mtu - HEADERS4);
	config->cookie_mss6 = (uint16_t)(f->mss && f->mss < mtu - HEADERS6 ? f->mss : mtu - HEADERS6);
	window = rmem[1] / 2 < WINDOW_MAX ? rmem[1] / 2 : WINDOW_MAX;
	if (window > config->cookie_mss4)
		window -= window % config->cookie_mss4;
	config->cookie_window = (uint16_t)window;
	config->cookie_wscale = window_scale(rmem);
}

/* ---- which cookies ---- */

static int load_watch(struct front *f, struct front_err err)
{
	struct watch_bpf *skel = watch_bpf__open();
	int code;

	if (!skel)
		return front_fail(err, -errno, "cannot open the watch object: %s", strerror(errno));
	code = front_load(skel->obj, "watch", err);
	if (!code) {
		f->watch_prog = fcntl(bpf_program__fd(skel->progs.watch), F_DUPFD_CLOEXEC, 3);
		code = front_pin_prog(f->watch_prog, "watch", err);
	}
	watch_bpf__destroy(skel);
	return code;
}

static int attach_cookie(struct front *f, int prog, struct front_err err)
{
	size_t i, max = sizeof(f->cookie_links) / sizeof(f->cookie_links[0]);
	int link;

	if (f->link_count > max)
		return front_fail(err, -E2BIG, "SYN cookies of our own serve at most %zu interfaces", max);
	for (i = 0; i < f->link_count; i++) {
		link = front_attach_tcx(prog, &f->links[i], err);
		if (link < 0)
			return link;
		f->cookie_links[f->cookie_link_count++] = link;
	}
	return 0;
}

static int load_cookie(struct front *f, struct front_err err)
{
	struct cookie_bpf *skel = cookie_bpf__open();
	int code;

	if (!skel)
		return front_fail(err, -errno, "cannot open the cookie object: %s", strerror(errno));
	code = front_load(skel->obj, "cookie", err);
	if (!code) {
		f->cookie_stats = front_keep(skel->maps.cookie_stats);
		code = front_pin_prog(bpf_program__fd(skel->progs.cookie), "cookie", err);
	}
	if (!code)
		code = attach_cookie(f, bpf_program__fd(skel->progs.cookie), err);
	cookie_bpf__destroy(skel);
	return code;
}

/* Links of ours at tc ingress that an earlier run left, and the program. */
static void drop_cookie(struct front *f)
{
	char path[128];
	size_t i;

	for (i = 0; i < f->link_count; i++) {
		snprintf(path, sizeof(path), FRONT_PIN_DIR "/links/tcx-%s", f->links[i].interface);
		unlink(path);
	}
	unlink(FRONT_PIN_DIR "/progs/cookie");
	while (f->cookie_link_count)
		close(f->cookie_links[--f->cookie_link_count]);
}

/* Our own where this kernel can make connections of them, else the kernel's. */
static int choose(struct front *f, const struct front_settings *set, struct front_err err)
{
	char text[512] = "";
	struct front_err why = { text, sizeof(text) };
	int code = 0;

	f->cookies = FRONT_COOKIES_KERNEL;
	if (set->cookies != FRONT_COOKIES_KERNEL) {
		code = load_cookie(f, why);
		if (!code)
			f->cookies = FRONT_COOKIES_OWN;
		else if (set->cookies == FRONT_COOKIES_OWN)
			return front_fail(err, code, "SYN cookies of our own need Linux 6.9: %s", text);
	}
	if (f->cookies == FRONT_COOKIES_KERNEL)
		drop_cookie(f);
	f->cookie_description = f->cookies == FRONT_COOKIES_OWN ? "SYN cookies of our own, all options kept" :
				code ? "SYN cookies of the kernel's (it cannot take ours, Linux 6.9 can)" :
				       "SYN cookies of the kernel's";
	return 0;
}

static int keep_watched(struct front *f, const struct front_settings *set)
{
	f->steered = !set->plain_bind;
	if (f->steered)
		return 0;
	f->watched = calloc(set->vip_count + 1, sizeof(*f->watched));
	if (!f->watched)
		return -ENOMEM;
	memcpy(f->watched, set->vips, set->vip_count * sizeof(*f->watched));
	f->watched_count = set->vip_count;
	return 0;
}

static void set_protection(const struct front *f, struct front_config *config, const void *to)
{
	const struct front_settings *set = to;

	fill_promises(f, config);
	config->cookie_path = f->cookies == FRONT_COOKIES_OWN ? COOKIE_PATH_OWN : COOKIE_PATH_NONE;
	config->cookie_always = set->protect == FRONT_PROTECT_ALWAYS;
	config->cookie_shared = set->cookies_shared;
	config->cookie_full = 0;
}

int front_open_cookies(struct front *f, const struct front_settings *set, struct front_err err)
{
	int code = 0;

	if (set->protect == FRONT_PROTECT_OFF) {
		drop_cookie(f);
	} else {
		code = load_watch(f, err);
		if (!code)
			code = choose(f, set, err);
		if (!code && keep_watched(f, set))
			code = front_fail(err, -ENOMEM, "out of memory");
	}
	if (code)
		return code;
	code = front_change_config(f, set_protection, set);
	return code ? front_fail(err, code, "cannot write the front's configuration map: %s", strerror(-code)) : 0;
}

void front_close_cookies(struct front *f)
{
	int *fds[] = { &f->cookie_keys, &f->cookie_stats, &f->flood, &f->watch_prog };
	size_t i;

	for (i = 0; i < f->cookie_link_count; i++)
		close(f->cookie_links[i]);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	free(f->watched);
}

enum front_cookies front_cookies(const struct front *f)
{
	return f->cookies;
}

const char *front_describe_cookies(const struct front *f)
{
	return f->cookie_description ? f->cookie_description : "no SYN cookies";
}

/* ---- while it runs ---- */

int front_set_cookie_key(struct front *f, uint64_t epoch, const uint8_t key[16], bool keep)
{
	struct cookie_keys keys;
	struct cookie_key *slot = &keys.slots[epoch % COOKIE_KEYS];
	uint32_t zero = 0;

	_Static_assert(FRONT_COOKIE_EPOCH_S == COOKIE_EPOCH_S, "one epoch");
	if (bpf_map_lookup_elem(f->cookie_keys, &zero, &keys))
		return -errno;
	if (slot->epoch == epoch && keep)
		return 0;
	slot->epoch = epoch;
	memcpy(slot->key, key, sizeof(slot->key));
	return bpf_map_update_elem(f->cookie_keys, &zero, &keys, BPF_ANY) ? -errno : 0;
}

int front_set_cookie_epoch(struct front *f, uint64_t epoch)
{
	struct cookie_keys keys;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(f->cookie_keys, &zero, &keys))
		return -errno;
	keys.epoch = epoch;
	return bpf_map_update_elem(f->cookie_keys, &zero, &keys, BPF_ANY) ? -errno : 0;
}

static void set_armed(const struct front *f, struct front_config *config, const void *to)
{
	fill_promises(f, config); /* sysctls may have changed */
	config->cookie_path = *(const bool *)to ? COOKIE_PATH_KERNEL : COOKIE_PATH_NONE;
}

int front_arm_cookies(struct front *f, bool armed)
{
	return front_change_config(f, set_armed, &armed);
}

int front_read_flood(const struct front *f, struct front_flood *out)
{
	struct timespec now;
	struct flood flood;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(f->flood, &zero, &flood))
		return -errno;
	clock_gettime(CLOCK_MONOTONIC, &now);
	out->lasts = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec < flood.until_ns;
	out->syn_per_s = flood.last_syn_per_s;
	out->floods = flood.floods;
	return 0;
}
