/* SPDX-License-Identifier: BSD-2-Clause */
/* Listening sockets looked after by runs of the program `watch` (bpf/watch.bpf.c). */
#include "userspace/front_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <string.h>

enum { FRAME = 14 + 40 + 20 };

/* A SYN to this address, as watch wants it. */
static size_t build(uint8_t frame[FRAME], const struct in6_addr *to, uint16_t port, uint32_t slot, bool stamp)
{
	struct ethhdr *eth = (struct ethhdr *)frame;
	bool v4 = net_is_v4(to);
	struct tcphdr *tcp = (struct tcphdr *)(frame + sizeof(*eth) + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)));
	struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;

	memset(frame, 0, FRAME);
	eth->h_dest[0] = stamp;
	memcpy(eth->h_source, &slot, sizeof(slot));
	if (v4) {
		struct iphdr *ip = (struct iphdr *)(eth + 1);

		eth->h_proto = htons(ETH_P_IP);
		ip->version = 4;
		ip->ihl = 5;
		ip->tot_len = htons(sizeof(*ip) + sizeof(*tcp));
		ip->protocol = IPPROTO_TCP;
		ip->saddr = htonl(INADDR_LOOPBACK);
		memcpy(&ip->daddr, &to->s6_addr[12], 4);
		if (!ip->daddr)
			ip->daddr = htonl(INADDR_LOOPBACK);
	} else {
		struct ipv6hdr *ip = (struct ipv6hdr *)(eth + 1);

		eth->h_proto = htons(ETH_P_IPV6);
		ip->version = 6;
		ip->payload_len = htons(sizeof(*tcp));
		ip->nexthdr = IPPROTO_TCP;
		memcpy(&ip->saddr, &loopback, 16);
		memcpy(&ip->daddr, IN6_IS_ADDR_UNSPECIFIED(to) ? &loopback : to, 16);
	}
	tcp->dest = htons(port);
	tcp->doff = 5;
	tcp->syn = 1;
	return (size_t)((uint8_t *)(tcp + 1) - frame);
}

static int run(const struct front *f, const struct in6_addr *to, uint16_t port, uint32_t slot, bool stamp,
	       struct front_watch *out)
{
	uint8_t frame[FRAME];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .repeat = 1);

	opts.data_size_in = (uint32_t)build(frame, to, port, slot, stamp);
	if (bpf_prog_test_run_opts(f->watch_prog, &opts))
		return -errno;
	if (opts.retval & WATCH_NONE)
		return 0;
	out->sockets++;
	out->full += opts.retval & WATCH_FULL ? 1 : 0;
	out->stamped += opts.retval & WATCH_STAMPED ? 1 : 0;
	return 0;
}

static int watch_places(const struct front *f, bool stamp, struct front_watch *out)
{
	struct in6_addr any[2] = { IN6ADDR_ANY_INIT, { .s6_addr = { [10] = 0xff, [11] = 0xff } } };
	uint32_t listener, worker, v4;
	int code = 0;

	for (listener = 0; listener < f->listeners; listener++)
		for (worker = 0; worker < f->worker_count; worker++)
			for (v4 = 0; v4 < 2 && !code; v4++)
				code = run(f, &any[v4], 1, socket_slot(f->generation, listener, worker, v4), stamp, out);
	return code;
}

static int watch_addresses(const struct front *f, bool stamp, struct front_watch *out)
{
	int code = 0;
	size_t i;

	for (i = 0; i < f->watched_count && !code; i++)
		code = run(f, &f->watched[i].ip, f->watched[i].port, WATCH_BY_PACKET, stamp, out);
	return code;
}

static void set_full(const struct front *f, struct front_config *config, const void *to)
{
	config->cookie_full = *(const bool *)to;
}

static int tell_full(struct front *f, bool full)
{
	int code = f->full == full ? 0 : front_change_config(f, set_full, &full);

	if (!code)
		f->full = full;
	return code;
}

int front_watch(struct front *f, bool stamp, struct front_watch *out)
{
	int code;

	memset(out, 0, sizeof(*out));
	if (f->watch_prog < 0)
		return 0;
	code = f->steered ? watch_places(f, stamp, out) : watch_addresses(f, stamp, out);
	return code ? code : tell_full(f, out->full > 0);
}
