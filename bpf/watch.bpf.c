/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Run by the daemon (BPF_PROG_RUN), attached nowhere: looks after a listening socket.
 *
 * The packet it is given is a SYN to the listener.  It tells whether the accept queue is near its end, and, when
 * the packet's Ethernet destination is not zero, lets the kernel make a SYN cookie for that socket, which leaves a
 * stamp there: for 120 s after it, and no longer, the kernel believes that an ACK may answer a cookie
 * (tcp_synq_no_recent_overflow()).  Cookies made in XDP leave none.
 */
#define DANELAW_WATCH
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/maps.h"
#include "bpf/segment.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of the kernel, found by name when the program is loaded. */
struct sock {
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
} __attribute__((preserve_access_index));

static __always_inline int queue_state(struct bpf_sock *skc)
{
	struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(skc);
	__u32 now, max;

	if (!sk)
		return 0;
	now = sk->sk_ack_backlog;
	max = sk->sk_max_ack_backlog;
	return now > max - max / 8 ? WATCH_FULL : 0;
}

static __always_inline int look_after(struct bpf_sock *skc, const struct segment *g, _Bool stamp)
{
	struct tcphdr tcp = { .source = g->sport, .dest = g->dport, .doff = 5, .syn = 1 };
	struct ipv6hdr ip6 = { .version = 6 };
	struct iphdr ip4 = { .version = 4 };
	int state;
	__s64 made;

	if (skc->state != BPF_TCP_LISTEN)
		return WATCH_NONE;
	state = queue_state(skc);
	if (!stamp)
		return state;
	if (g->source.v4)
		made = bpf_tcp_gen_syncookie(skc, &ip4, sizeof(ip4), &tcp, sizeof(tcp));
	else
		made = bpf_tcp_gen_syncookie(skc, &ip6, sizeof(ip6), &tcp, sizeof(tcp));
	return made < 0 ? state : state | WATCH_STAMPED;
}

__noinline int look_after_place(const struct segment *g, __u32 slot, __u32 stamp)
{
	struct bpf_sock *sk;
	int state;

	if (!g)
		return WATCH_NONE;
	sk = bpf_map_lookup_elem(&sockets, &slot);
	if (!sk)
		return WATCH_NONE;
	state = look_after(sk, g, stamp != 0);
	bpf_sk_release(sk);
	return state;
}

__noinline int look_after_found(struct xdp_md *ctx, const struct segment *g, __u32 stamp)
{
	struct bpf_sock *skc;
	int state;

	if (!g)
		return WATCH_NONE;
	skc = segment_socket(ctx, g);
	if (!skc)
		return WATCH_NONE;
	state = look_after(skc, g, stamp != 0);
	bpf_sk_release(skc);
	return state;
}

/* The socket that stands at a place in sockets (the Ethernet source), or (all ones there) that the kernel finds. */
SEC("xdp")
int watch(struct xdp_md *ctx)
{
	struct packet p;
	struct segment g;
	__u32 slot;

	if (parse_packet(ctx, &p) != PARSED_TCP || (void *)(p.eth + 1) > p.end)
		return WATCH_NONE;
	__builtin_memcpy(&slot, p.eth->h_source, sizeof(slot));
	segment_of(&p, 0, &g);
	if (slot == WATCH_BY_PACKET)
		return look_after_found(ctx, &g, p.eth->h_dest[0]);
	return look_after_place(&g, slot, p.eth->h_dest[0]);
}
