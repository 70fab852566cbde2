/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why XDP would not attach, in words an operator can act on.
 *
 * BPF_LINK_CREATE returns a bare errno; drivers give their reason only in netlink's extended ack.  So after
 * a failure the same program is offered once more over netlink, which fails for the same reason and says it;
 * libbpf prints that, and we listen.  Should it succeed, it is taken off again at once.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ethtool's word, since virtual devices have no driver in sysfs. */
void front_driver(const char *interface, char out[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (void *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd >= 0 && !ioctl(fd, SIOCETHTOOL, &request))
		snprintf(out, 32, "%.31s", info.driver);
	else
		snprintf(out, 32, "no driver name");
	if (fd >= 0)
		close(fd);
}

static unsigned read_mtu(const char *interface)
{
	char path[128];
	unsigned mtu = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/mtu", interface);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%u", &mtu) != 1)
		mtu = 0;
	fclose(f);
	return mtu;
}

static uint32_t attached_prog(unsigned ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	if (bpf_xdp_query(ifindex, 0, &query))
		return 0;
	return query.prog_id ? query.prog_id : query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
}

static void prog_name(uint32_t id, char out[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	out[0] = 0;
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size))
		memcpy(out, info.name, BPF_OBJ_NAME_LEN);
	close(fd);
}

uint32_t front_dispatcher(unsigned ifindex)
{
	uint32_t prog = ifindex ? attached_prog(ifindex) : 0;
	char name[BPF_OBJ_NAME_LEN];

	if (!prog)
		return 0;
	prog_name(prog, name);
	return strcmp(name, "xdp_dispatcher") ? 0 : prog;
}

/* The link that holds the interface; 0: none, so it was attached over netlink. */
static uint32_t holding_link(unsigned ifindex)
{
	uint32_t id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct bpf_link_info info = { 0 };
		uint32_t size = sizeof(info);
		int fd = bpf_link_get_fd_by_id(id);
		bool found;

		if (fd < 0)
			continue;
		found = !bpf_obj_get_info_by_fd(fd, &info, &size) && info.type == BPF_LINK_TYPE_XDP &&
			info.xdp.ifindex == ifindex && info.prog_id == attached_prog(ifindex);
		close(fd);
		if (found)
			return id;
	}
	return 0;
}

static int explain_busy(const char *interface, unsigned ifindex, int code, struct front_err err)
{
	uint32_t prog = attached_prog(ifindex), link = holding_link(ifindex);
	char name[BPF_OBJ_NAME_LEN];

	if (!prog)
		return front_fail(err, -code, "%s: XDP is busy (%s), though no program shows; %s", interface, strerror(code),
				  "a bond or team above or below it may hold it: `bpftool net` shows all");
	prog_name(prog, name);
	if (link)
		return front_fail(err, -code,
				  "%s already runs the XDP program \"%s\" (id %u), held by link %u; look with "
				  "`bpftool link show id %u`, take it off with `bpftool link detach id %u`",
				  interface, name, prog, link, link, link);
	if (!strcmp(name, "xdp_dispatcher"))
		return front_fail(err, -code,
				  "%s already runs libxdp's dispatcher (id %u): `xdp-loader status %s` shows for which programs; stand "
				  "beside them with attach = libxdp, or take them off with `xdp-loader unload %s --all`",
				  interface, prog, interface, interface);
	return front_fail(err, -code,
			  "%s already runs the XDP program \"%s\" (id %u), attached by netlink (ip link, bpftool net); take it off "
			  "with `ip link set dev %s xdp off`", interface, name, prog, interface);
}

/* Has the driver say its reason; "" when it says none. */
static const char *driver_words(int prog, unsigned ifindex, bool native)
{
	uint32_t flags = XDP_FLAGS_UPDATE_IF_NOEXIST | (native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	const char *words;

	front_listen();
	if (!bpf_xdp_attach(ifindex, prog, flags, NULL))
		bpf_xdp_detach(ifindex, flags & ~XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	words = strstr(front_heard(), "Kernel error message: ");
	return words ? words + strlen("Kernel error message: ") : "";
}

int front_explain_attach(int prog, const char *interface, unsigned ifindex, int code, bool native, struct front_err err)
{
	const char *mode = native ? "native XDP" : "XDP", *words;
	char driver[32], advice[256];

	if (code == EBUSY || code == EEXIST)
		return explain_busy(interface, ifindex, code, err);
	if (code == EPERM)
		return front_fail(err, -code, "%s: attaching XDP is not permitted: it needs root (CAP_NET_ADMIN and CAP_BPF)", interface);
	front_driver(interface, driver);
	words = driver_words(prog, ifindex, native);
	switch (code) {
	case EOPNOTSUPP:
		snprintf(advice, sizeof(advice),
			 "the driver has no native XDP, or an offload is in its way: try `ethtool -K %s lro off`, or allow generic "
			 "XDP in the configuration (slower)", interface);
		break;
	case EINVAL:
	case ERANGE:
	case E2BIG:
		snprintf(advice, sizeof(advice),
			 "its MTU is %u: lower it (ip link set dev %s mtu 1500; most drivers take up to about 3000), and switch "
			 "LRO and HW-GRO off (ethtool -K %s lro off)", read_mtu(interface), interface, interface);
		break;
	case ENOMEM:
	case ENOSPC:
		snprintf(advice, sizeof(advice),
			 "it lacks queues or memory for XDP's own rings: lower the channels (ethtool -L %s combined N)", interface);
		break;
	default:
		snprintf(advice, sizeof(advice), "the kernel's log (dmesg) may say more");
	}
	return front_fail(err, -code, "%s (%s) does not take %s: %s%s%s; %s", interface, driver, mode, strerror(code),
			  words[0] ? ": " : "", words, advice);
}
