/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP: the first look at a packet.  What is not for an address and port of ours passes untouched, after as
 * few loads as can tell; what is ours goes through a list of calls, each of which may end it with a reason,
 * and is counted under that reason at the one exit.
 *
 * It fails open: where a map has no answer the packet goes to the kernel, as if the front were not there.
 * Only a deny list, contradictory headers and limits drop.  ICMP is never dropped: path MTU discovery of
 * our own connections hangs on it.
 *
 * It keeps no state of connections; the kernel's TCP does that.
 */
#define DANELAW_FRONT
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/limit.h"
#include "bpf/lists.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { GO_ON = -1 }; /* a check's answer when it has no objection */

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

static __always_inline __u8 tcp_flags(const struct tcphdr *tcp)
{
	return ((const __u8 *)tcp)[13];
}

/* Asks for a new connection.  (SYN-ACK answers one of ours.) */
static __always_inline _Bool is_syn(const struct packet *p)
{
	return (tcp_flags(p->tcp) & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline void vip_key_of(const struct packet *p, __be16 port_be, struct vip_key *key)
{
	if (p->v4) {
		*key = (struct vip_key){ .ip[10] = 0xff, .ip[11] = 0xff };
		__builtin_memcpy(&key->ip[12], p->dest, 4);
	} else {
		__builtin_memcpy(key->ip, p->dest, 16);
		key->zero = 0;
	}
	key->port = bpf_ntohs(port_be);
}

static __always_inline _Bool is_few4(const struct front_config *config, __u32 dest)
{
	const __u32 *few = (const __u32 *)config->few4;
	_Bool found = 0;

#pragma unroll
	for (__u32 i = 0; i < FEW4_MAX; i++)
		found |= i < config->few4_count && few[i] == dest;
	return found;
}

static __always_inline _Bool is_few6(const struct front_config *config, const struct packet *p)
{
	const __u64 *few = (const __u64 *)config->few6;
	__u64 dest[2];
	_Bool found = 0;

	__builtin_memcpy(dest, p->dest, 16);
#pragma unroll
	for (__u32 i = 0; i < FEW6_MAX; i++)
		found |= i < config->few6_count && few[2 * i] == dest[0] && few[2 * i + 1] == dest[1];
	return found;
}

static __always_inline _Bool is_exact(const struct packet *p, const struct front_config *config, __be16 port_be)
{
	struct vip_key key;
	__u32 dest4;

	if (p->v4 && config->few4_count) {
		__builtin_memcpy(&dest4, p->dest, 4);
		return is_few4(config, dest4);
	}
	if (!p->v4 && config->few6_count)
		return is_few6(config, p);
	vip_key_of(p, port_be, &key);
	return bpf_map_lookup_elem(&vips, &key) != 0;
}

/* Is this destination one of ours?  One load answers for nearly every other port of the machine. */
static __always_inline _Bool is_vip(const struct packet *p, __be16 port_be)
{
	__u16 port = bpf_ntohs(port_be);
	__u32 word = port / VIP_PORTS_PER_WORD, zero = 0, here;
	__u64 *bits = bpf_map_lookup_elem(&vip_ports, &word);
	struct front_config *config;

	if (!bits)
		return 0;
	here = *bits >> (port % VIP_PORTS_PER_WORD * 4) & 15;
	if (!here)
		return 0;
	if (here & (p->v4 ? VIP_ANY4 : VIP_ANY6))
		return 1;
	config = bpf_map_lookup_elem(&front_config, &zero);
	return config && here & (p->v4 ? VIP_EXACT4 : VIP_EXACT6) && is_exact(p, config, port_be);
}

/* For packets that show no port: is the address one of ours?  The loader keeps a row of port 0 for each. */
static __always_inline _Bool is_vip_address(const struct packet *p)
{
	struct vip_key key;

	vip_key_of(p, 0, &key);
	if (bpf_map_lookup_elem(&vips, &key))
		return 1;
	__builtin_memset(key.ip, 0, sizeof(key.ip));
	if (p->v4)
		key.ip[10] = key.ip[11] = 0xff;
	return bpf_map_lookup_elem(&vips, &key) != 0;
}

/* What parsing alone decides; GO_ON for a whole TCP header that is for us. */
static __always_inline int check_parsed(const struct packet *p, enum parsed parsed)
{
	switch (parsed) {
	case PARSED_TCP:
		return is_vip(p, p->tcp->dest) ? GO_ON : REASON_not_ours;
	case PARSED_TCP_BAD:
		return is_vip(p, p->tcp->dest) ? REASON_bad_length : REASON_not_ours;
	case PARSED_TCP_HIDDEN:
		return is_vip(p, p->tcp->dest) ? REASON_bad_fragment : REASON_not_ours;
	case PARSED_FRAGMENT:
		if (!is_vip_address(p))
			return REASON_not_ours;
		return in_flood() ? REASON_flood_fragment : REASON_fragment;
	case PARSED_IP_BAD:
		return is_vip_address(p) ? REASON_bad_length : REASON_not_ours;
	case PARSED_EXT_TOO_MANY:
		return is_vip_address(p) ? REASON_bad_headers : REASON_not_ours;
	case PARSED_ICMP:
		return is_vip_address(p) ? REASON_icmp : REASON_not_ours;
	default:
		return REASON_not_ours;
	}
}

/* Sent by scanners and by nobody else; RFC 9293 section 3.10.7 leaves none of them a use. */
static __always_inline int check_flags(const struct packet *p)
{
	__u8 flags = tcp_flags(p->tcp) & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);

	if (flags == 0 || flags == TCP_FIN)
		return REASON_bad_flags;
	if (flags & TCP_SYN && flags & (TCP_FIN | TCP_RST))
		return REASON_bad_flags;
	if (flags & TCP_FIN && flags & TCP_RST)
		return REASON_bad_flags;
	return GO_ON;
}

/* Is the socket that this segment finds a listener whose cookie it answers?  (Cookies of the kernel's own too.) */
static __always_inline _Bool answers_cookie(const struct packet *p)
{
	if ((tcp_flags(p->tcp) & (TCP_ACK | TCP_RST | TCP_SYN)) != TCP_ACK)
		return 0;
	if (p->v4)
		return !bpf_tcp_raw_check_syncookie_ipv4(p->ip, p->tcp);
	return !bpf_tcp_raw_check_syncookie_ipv6(p->ip, p->tcp);
}

/* While a flood lasts, what belongs to no connection ends here: the kernel would answer each with a reset. */
static __always_inline int check_segment(struct xdp_md *ctx, const struct packet *p)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;
	__u32 state, size;

	if (p->v4) {
		__builtin_memcpy(&tuple.ipv4.saddr, p->source, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, p->dest, 4);
		tuple.ipv4.sport = p->tcp->source;
		tuple.ipv4.dport = p->tcp->dest;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, p->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, p->dest, 16);
		tuple.ipv6.sport = p->tcp->source;
		tuple.ipv6.dport = p->tcp->dest;
		size = sizeof(tuple.ipv6);
	}
	sk = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return REASON_flood_segment;
	state = sk->state;
	bpf_sk_release(sk);
	if (state != BPF_TCP_LISTEN)
		return REASON_established;
	return answers_cookie(p) ? REASON_cookie_valid : REASON_flood_segment;
}

/* Limits; who is allowed or verified is asked only when one of them would drop. */
static __always_inline int check_syn(const struct packet *p, const struct front_config *config)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	int reason = GO_ON;

	count_syn(config, now);
	if (config->blocked_used && is_blocked(p, now))
		reason = REASON_limit_connections;
	if (reason == GO_ON)
		reason = check_rate(p, config, now);
	if (reason == GO_ON)
		return GO_ON;
	if (is_verified(p, now))
		return REASON_verified;
	return is_allowed(p) ? REASON_allowed_list : reason;
}

static __always_inline int judge(struct xdp_md *ctx)
{
	struct front_config *config;
	struct packet p;
	__u32 zero = 0;
	int reason;

	reason = check_parsed(&p, parse_packet(ctx, &p));
	if (reason != GO_ON)
		return reason;
	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || config->abi != FRONT_ABI)
		return REASON_error_config;
	reason = check_lists(&p, config);
	if (reason != GO_ON)
		return reason;
	reason = check_flags(&p);
	if (reason != GO_ON)
		return reason;
	if (!is_syn(&p))
		return in_flood() ? check_segment(ctx, &p) : REASON_established;
	reason = check_syn(&p, config);
	return reason != GO_ON ? reason : REASON_syn_admitted;
}

/* The one exit: counts, and turns the reason into XDP's word. */
static __always_inline int leave(int reason)
{
#define REASON(number, symbol, verdict, sentence) [number] = VERDICT_##verdict,
	static const __u8 verdicts[REASON_COUNT] = {
#include "bpf/reasons.def"
	};
	struct front_stats *stats;
	__u32 zero = 0, at = reason;

	if (at >= REASON_COUNT)
		return XDP_ABORTED;
	stats = bpf_map_lookup_elem(&front_stats, &zero);
	if (stats)
		((__u64 *)stats)[at]++;
	switch (verdicts[at]) {
	case VERDICT_DROP:
		return XDP_DROP;
	case VERDICT_TX:
		return XDP_TX;
	default:
		return XDP_PASS;
	}
}

SEC("xdp.frags")
int front(struct xdp_md *ctx)
{
	return leave(judge(ctx));
}
