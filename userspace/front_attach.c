/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links: XDP to interfaces, sk_lookup to the network namespace, pinned so that they outlive us.
 *
 * A pinned link of an earlier run gets our program by BPF_LINK_UPDATE, which drivers do without resetting
 * their rings; only where it belongs to an interface that is gone, or runs in another mode than the
 * configuration allows, is it replaced.  The mode is asked for by flag, since with no flag the kernel falls
 * back to generic XDP silently (dev_xdp_mode(), net/core/dev.c).
 */
#include "userspace/front_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS FRONT_PIN_DIR "/links"
#define STEER_PIN LINKS "/sk_lookup"

static void xdp_pin(const char *interface, char *path, size_t size)
{
	snprintf(path, size, LINKS "/xdp-%s", interface);
}

bool front_is_native(unsigned ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	return !bpf_xdp_query(ifindex, 0, &query) && query.attach_mode != XDP_ATTACHED_SKB &&
	       query.attach_mode != XDP_ATTACHED_NONE;
}

/* The pinned link of this very interface, or -1; a pin that leads nowhere any more is removed. */
static int pinned_link(const char *path, unsigned ifindex)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return -1;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == ifindex)
		return fd;
	unlink(path);
	close(fd);
	return -1;
}

static int take_over(int prog, const char *path, bool generic_allowed, struct front_link *link)
{
	int fd = pinned_link(path, link->ifindex);

	if (fd < 0)
		return -1;
	if ((generic_allowed || front_is_native(link->ifindex)) && !bpf_link_update(fd, prog, NULL))
		return fd;
	unlink(path);
	bpf_link_detach(fd);
	close(fd);
	return -1;
}

static int create(int prog, unsigned ifindex, uint32_t mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode);

	return bpf_link_create(prog, ifindex, BPF_XDP, &opts);
}

int front_attach_xdp(int prog, const char *interface, bool generic_allowed, struct front_link *link, struct front_err err)
{
	char path[128];
	int code;

	snprintf(link->interface, sizeof(link->interface), "%s", interface);
	link->fd = -1;
	link->ifindex = if_nametoindex(interface);
	if (!link->ifindex)
		return front_fail(err, -ENODEV, "there is no interface \"%s\" (ip link shows those there are)", interface);
	front_driver(interface, link->driver);
	xdp_pin(interface, path, sizeof(path));
	link->fd = take_over(prog, path, generic_allowed, link);
	if (link->fd < 0) {
		link->fd = create(prog, link->ifindex, XDP_FLAGS_DRV_MODE);
		code = errno;
		if (link->fd < 0 && generic_allowed && code != EBUSY && code != EEXIST && code != EPERM) {
			link->fd = create(prog, link->ifindex, XDP_FLAGS_SKB_MODE);
			code = errno;
		}
		if (link->fd < 0)
			return front_explain_attach(prog, interface, link->ifindex, code, !generic_allowed, err);
		if (bpf_obj_pin(link->fd, path))
			return front_fail(err, -errno, "cannot pin the link of %s as %s: %s", interface, path, strerror(errno));
		link->fresh = true;
	}
	link->native = front_is_native(link->ifindex);
	return 0;
}

static void tcx_pin(const char *interface, char *path, size_t size)
{
	snprintf(path, size, LINKS "/tcx-%s", interface);
}

/* Detached by descriptor, too: who is not root any more cannot reach the pins. */
void front_undo_link(const struct front_link *link, int tcx)
{
	char path[128];

	if (!link->fresh)
		return;
	if (link->dispatched)
		front_detach_dispatch(link);
	else
		bpf_link_detach(link->fd);
	xdp_pin(link->interface, path, sizeof(path));
	unlink(path);
	if (tcx >= 0)
		bpf_link_detach(tcx);
	tcx_pin(link->interface, path, sizeof(path));
	unlink(path);
}

/* BPF_TCX_INGRESS of Linux 6.6; the headers may be older. */
enum { TCX_INGRESS = 46 };

int front_attach_tcx(int prog, const struct front_link *at, struct front_err err)
{
	char path[128];
	int fd;

	tcx_pin(at->interface, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		if (!at->fresh && !bpf_link_update(fd, prog, NULL))
			return fd;
		close(fd); /* of an interface that is gone */
		unlink(path);
	}
	fd = bpf_link_create(prog, (int)at->ifindex, (enum bpf_attach_type)TCX_INGRESS, NULL);
	if (fd < 0)
		return front_fail(err, -errno, "cannot attach a program to the tc ingress of %s: %s", at->interface, strerror(errno));
	if (bpf_obj_pin(fd, path)) {
		int code = -errno;

		close(fd);
		return front_fail(err, code, "cannot pin a link as %s: %s", path, strerror(-code));
	}
	return fd;
}

int front_check_netns(struct front_err err)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	int link = bpf_obj_get(STEER_PIN), code = 0;
	struct stat st;

	if (link < 0)
		return 0;
	if (!bpf_obj_get_info_by_fd(link, &info, &size) && info.netns.netns_ino && !stat("/proc/self/ns/net", &st) &&
	    st.st_ino != info.netns.netns_ino)
		code = front_fail(err, -EBUSY,
				  FRONT_PIN_DIR " belongs to a danelawd in another network namespace (%u); give this one its own "
				  "bpffs (unshare -m; mount -t bpf bpf /sys/fs/bpf)", info.netns.netns_ino);
	close(link);
	return code;
}

int front_attach_steer(int prog, int *link, bool *fresh, struct front_err err)
{
	int netns, code;

	*link = bpf_obj_get(STEER_PIN);
	if (*link >= 0) {
		if (!bpf_link_update(*link, prog, NULL))
			return 0;
		close(*link); /* of a namespace that is gone */
		unlink(STEER_PIN);
	}
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return front_fail(err, -errno, "cannot open /proc/self/ns/net: %s", strerror(errno));
	*link = bpf_link_create(prog, netns, BPF_SK_LOOKUP, NULL);
	code = *link < 0 ? -errno : 0;
	close(netns);
	if (code)
		return front_fail(err, code, "cannot attach the sk_lookup program to this network namespace: %s%s",
				  strerror(-code), code == -E2BIG ? " (`bpftool link show` lists those there are)" : "");
	*fresh = true;
	if (bpf_obj_pin(*link, STEER_PIN))
		return front_fail(err, -errno, "cannot pin the sk_lookup link as " STEER_PIN ": %s", strerror(errno));
	return 0;
}

void front_drop_steer(void)
{
	unlink(STEER_PIN);
}

/* Pins of PREFIX-INTERFACE whose interface is not among ours. */
static void drop_others(const char *dir, const char *prefix, const struct front_link *links, size_t count)
{
	DIR *d = opendir(dir);
	size_t len = strlen(prefix);
	struct dirent *entry;
	char path[512];

	if (!d)
		return;
	while ((entry = readdir(d))) {
		size_t i = 0;

		if (strncmp(entry->d_name, prefix, len))
			continue;
		while (i < count && strcmp(links[i].interface, entry->d_name + len))
			i++;
		if (i < count)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		unlink(path);
	}
	closedir(d);
}

void front_drop_other_links(const struct front_link *links, size_t count)
{
	drop_others(LINKS, "xdp-", links, count);
	drop_others(LINKS, "tcx-", links, count);
}

void front_drop_other_progs(const struct front_link *links, size_t count)
{
	drop_others(FRONT_PIN_DIR "/progs", "front-", links, count);
}

bool front_take_off(void)
{
	char text[8] = "";
	DIR *links = opendir(LINKS);
	struct dirent *entry;
	bool some = false;

	while (links && !some && (entry = readdir(links)))
		some = entry->d_name[0] != '.';
	if (links)
		closedir(links);
	if (!some || front_check_netns((struct front_err){ text, sizeof(text) }) || front_served_by())
		return false;
	front_drop_steer();
	front_drop_other_links(NULL, 0);
	return true;
}
