/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device's driver says it can do with XDP: generic netlink, family "netdev", NETDEV_CMD_DEV_GET.  The numbers
 * are those of linux/netdev.h, which came with kernel 6.3 and is younger than the headers this is built with.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tools/tune_source.h"

#define CMD_DEV_GET 1
#define ATTR_IFINDEX 1
#define ATTR_XDP_FEATURES 3

struct message {
	struct nlmsghdr h;
	struct genlmsghdr g;
	char attrs[64];
};

static void begin(struct message *m, uint16_t family, uint8_t command)
{
	memset(m, 0, sizeof(*m));
	m->h.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	m->h.nlmsg_type = family;
	m->h.nlmsg_flags = NLM_F_REQUEST;
	m->g.cmd = command;
	m->g.version = 1;
}

static void attribute(struct message *m, uint16_t type, const void *value, uint16_t len)
{
	struct nlattr *a = (struct nlattr *)((char *)m + NLMSG_ALIGN(m->h.nlmsg_len));

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + len;
	memcpy((char *)a + NLA_HDRLEN, value, len);
	m->h.nlmsg_len = NLMSG_ALIGN(m->h.nlmsg_len) + NLA_ALIGN(a->nla_len);
}

/* Sends one request and copies the attribute wanted out of the one answer.  0, -ENODATA or the kernel's errno. */
static int ask(int fd, struct message *m, uint16_t wanted, void *value, size_t len)
{
	union {
		struct nlmsghdr h;
		char bytes[8192];
	} in;
	ssize_t n;
	char *at, *end;

	if (send(fd, m, m->h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &in, sizeof(in), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&in.h, (size_t)n))
		return -EBADMSG;
	if (in.h.nlmsg_type == NLMSG_ERROR) {
		int error = ((struct nlmsgerr *)NLMSG_DATA(&in.h))->error;

		return error ? error : -ENODATA;
	}
	at = (char *)NLMSG_DATA(&in.h) + GENL_HDRLEN;
	end = in.bytes + in.h.nlmsg_len;
	while (end - at >= NLA_HDRLEN) {
		struct nlattr *a = (struct nlattr *)at;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > end - at)
			return -EBADMSG;
		if ((a->nla_type & NLA_TYPE_MASK) == wanted && a->nla_len >= NLA_HDRLEN + len) {
			memcpy(value, at + NLA_HDRLEN, len);
			return 0;
		}
		at += NLA_ALIGN(a->nla_len);
	}
	return -ENODATA;
}

int tune_xdp_features(const char *ifname, uint64_t *features)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct timeval limit = { .tv_sec = 5 };
	uint32_t ifindex = if_nametoindex(ifname);
	uint16_t family;
	struct message m;
	int fd, err;

	if (!ifindex)
		return -ENODEV;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0)
		return -errno;
	err = connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) ||
			      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit))
		      ? -errno
		      : 0;
	if (!err) {
		begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
		attribute(&m, CTRL_ATTR_FAMILY_NAME, "netdev", sizeof("netdev"));
		err = ask(fd, &m, CTRL_ATTR_FAMILY_ID, &family, sizeof(family));
	}
	if (!err) {
		begin(&m, family, CMD_DEV_GET);
		attribute(&m, ATTR_IFINDEX, &ifindex, sizeof(ifindex));
		err = ask(fd, &m, ATTR_XDP_FEATURES, features, sizeof(*features));
	}
	close(fd);
	return err;
}
