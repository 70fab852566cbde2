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

/* Is this destination one of ours?  One load answers for nearly every other port of the machine. */
static __always_inline _Bool is_vip(const struct packet *p, __be16 port_be)
{
	__u16 port = bpf_ntohs(port_be);
	__u32 word = port / VIP_PORTS_PER_WORD;
	__u64 *bits = bpf_map_lookup_elem(&vip_ports, &word);
	struct vip_key key;
	__u32 here;

	if (!bits)
		return 0;
	here = *bits >> (port % VIP_PORTS_PER_WORD * 4) & 15;
	if (here & (p->v4 ? VIP_ANY4 : VIP_ANY6))
		return 1;
	if (!(here & (p->v4 ? VIP_EXACT4 : VIP_EXACT6)))
		return 0;
	vip_key_of(p, port_be, &key);
	return bpf_map_lookup_elem(&vips, &key) != 0;
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

#define SOURCE_KEYS(p)                                                                                               \
	struct prefix4 key4 = { .prefixlen = 32 };                                                                   \
	struct prefix6 key6 = { .prefixlen = 128 };                                                                  \
	if ((p)->v4)                                                                                                \
		__builtin_memcpy(key4.ip, (p)->source, 4);                                                      \
	else                                                                                                         \
		__builtin_memcpy(key6.ip, (p)->source, 16)

static __always_inline struct rule *find_denied(const struct packet *p, const struct front_config *config)
{
	struct rule *rule;

	SOURCE_KEYS(p);
	if (p->v4) {
		rule = bpf_map_lookup_elem(&deny4, &key4);
		if (rule)
			return rule;
		if (config->deny_list & 1)
			return bpf_map_lookup_elem(&list4_b, &key4);
		return bpf_map_lookup_elem(&list4_a, &key4);
	}
	rule = bpf_map_lookup_elem(&deny6, &key6);
	if (rule)
		return rule;
	if (config->deny_list & 1)
		return bpf_map_lookup_elem(&list6_b, &key6);
	return bpf_map_lookup_elem(&list6_a, &key6);
}

static __always_inline struct rule *find_allowed(const struct packet *p)
{
	SOURCE_KEYS(p);
	return p->v4 ? bpf_map_lookup_elem(&allow4, &key4) : bpf_map_lookup_elem(&allow6, &key6);
}

/* The allow list goes before every deny list. */
static __always_inline int check_lists(const struct packet *p, const struct front_config *config)
{
	struct rule *denied = find_denied(p, config), *allowed;

	if (!denied && !is_syn(p))
		return GO_ON;
	allowed = find_allowed(p);
	if (allowed) {
		__sync_fetch_and_add(&allowed->hits, 1);
		return REASON_allowed_list;
	}
	if (!denied)
		return GO_ON;
	__sync_fetch_and_add(&denied->hits, 1);
	return REASON_denied_list;
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

static __always_inline int check_syn(const struct packet *p, const struct front_config *config)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (is_verified(p, now))
		return REASON_verified;
	count_syn(config, now);
	if (is_blocked(p, now))
		return REASON_limit_connections;
	return check_rate(p, config, now);
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
