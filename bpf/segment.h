/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP segment by its values, without a pointer into the packet.  What a flood asks for (look-ups, hashes, answers)
 * is written as global functions over this: the verifier looks at each of them once, and not once more for every
 * way in which the headers can stand in a packet.
 */
#ifndef DANELAW_SEGMENT_H
#define DANELAW_SEGMENT_H

#include "bpf/parse.h"

struct segment {
	struct address source, dest;
	__be16 sport, dport;
	__u32 seq, ack;	 /* host order */
	__u32 flags;
	__u32 fragment;
	__u32 ip_at;	 /* in the frame */
	__u32 tcp_at;
	__u32 tcp_length; /* of the header, with options */
	__u64 now;	  /* by the clock of ticks (bpf_ktime_get_coarse_ns()), where it was asked: each time is 9 ns */
};

static __always_inline void segment_of(const struct packet *p, __u64 now, struct segment *g)
{
	keep_address(p, p->source, 0, &g->source);
	keep_address(p, p->dest, bpf_ntohs(p->port_be), &g->dest);
	g->sport = p->tcp->source;
	g->dport = p->tcp->dest;
	g->seq = bpf_ntohl(p->tcp->seq);
	g->ack = bpf_ntohl(p->tcp->ack_seq);
	g->flags = ((const __u8 *)p->tcp)[13];
	g->fragment = p->fragment;
	g->ip_at = p->ip - (void *)p->eth;
	g->tcp_at = (void *)p->tcp - (void *)p->eth;
	g->tcp_length = p->tcp->doff * 4;
	g->now = now;
}

/* The socket that the kernel finds for it, of whatever state; to be released. */
static __always_inline struct bpf_sock *segment_socket(PARSE_CTX *ctx, const struct segment *g)
{
	struct bpf_sock_tuple tuple;

	if (g->source.v4) {
		tuple.ipv4.saddr = g->source.ip4[3];
		tuple.ipv4.daddr = g->dest.ip4[3];
		tuple.ipv4.sport = g->sport;
		tuple.ipv4.dport = g->dport;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(tuple.ipv6.saddr, g->source.ip4, 16);
	__builtin_memcpy(tuple.ipv6.daddr, g->dest.ip4, 16);
	tuple.ipv6.sport = g->sport;
	tuple.ipv6.dport = g->dport;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

#endif
