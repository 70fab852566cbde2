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
#include "bpf/decap.h"
#include "bpf/events.h"
#include "bpf/limit.h"
#include "bpf/lists.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/segment.h"
#include "bpf/spread.h"
#include "bpf/synack.h"
#include "bpf/vip.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
/* Shown by `bpftool prog show` as metadata. */
static volatile const char bpf_metadata_danelaw[] SEC(".rodata") __attribute__((used)) = DANELAW_VERSION;

enum {
	GO_ON = -1,	/* a check's answer when it has no objection */
	LOOK_INSIDE = -2, /* judge()'s, of a packet that may be a tunnel's */
};

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

static __always_inline _Bool is_few4(const struct front_config *config, __u32 dest)
{
	const __u32 *few = (const __u32 *)config->few4;
	_Bool found = 0;

#pragma unroll
	for (__u32 i = 0; i < FEW4_MAX; i++)
		found |= i < config->few4_count && few[i] == dest;
	return found;
}

static __always_inline _Bool is_few6(const struct front_config *config, const struct address *dest)
{
	const __u64 *few = (const __u64 *)config->few6;
	_Bool found = 0;

#pragma unroll
	for (__u32 i = 0; i < FEW6_MAX; i++)
		found |= i < config->few6_count && few[2 * i] == dest->words[0] && few[2 * i + 1] == dest->words[1];
	return found;
}

static __always_inline _Bool is_exact(const struct front_config *config, const struct address *dest)
{
	if (dest->v4 && config->few4_count)
		return is_few4(config, dest->ip4[3]);
	if (!dest->v4 && config->few6_count)
		return is_few6(config, dest);
	return is_in_vips(dest);
}

/* Is this destination one of ours?  One load answers for nearly every other port of the machine. */
static __always_inline _Bool is_vip(const struct packet *p)
{
	__u16 port = bpf_ntohs(p->port_be);
	__u32 word = port / VIP_PORTS_PER_WORD, zero = 0, here;
	__u64 *bits = bpf_map_lookup_elem(&vip_ports, &word);
	struct front_config *config;
	struct address dest;

	if (!bits)
		return 0;
	here = *bits >> (port % VIP_PORTS_PER_WORD * 4) & 15;
	if (!here)
		return 0;
	if (here & (p->v4 ? VIP_ANY4 : VIP_ANY6))
		return 1;
	if (!(here & (p->v4 ? VIP_EXACT4 : VIP_EXACT6)))
		return 0;
	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config)
		return 0;
	keep_address(p, p->dest, port, &dest);
	return is_exact(config, &dest);
}

/* A function of its own (they cost, and this is asked of few packets), which the verifier looks at but once. */
__noinline int is_address(struct address *dest)
{
	if (!dest)
		return 0;
	if (is_in_vips(dest))
		return 1;
	dest->words[0] = 0;
	dest->words[1] = dest->v4 ? bpf_ntohl(0xffff) : 0;
	return is_in_vips(dest);
}

/* For packets that show no port: is the address one of ours?  The loader keeps a row of port 0 for each. */
static __always_inline _Bool is_vip_address(const struct packet *p)
{
	struct address dest;

	keep_address(p, p->dest, 0, &dest);
	return is_address(&dest);
}

/* What parsing alone decides of a packet for us. */
static __always_inline int reason_parsed(enum parsed parsed)
{
	switch (parsed) {
	case PARSED_TCP:
		return GO_ON;
	case PARSED_TCP_HIDDEN:
		return REASON_bad_fragment;
	case PARSED_FRAGMENT:
		return in_flood(bpf_ktime_get_coarse_ns()) ? REASON_flood_fragment : REASON_fragment;
	case PARSED_EXT_TOO_MANY:
		return REASON_bad_headers;
	case PARSED_ICMP:
		return REASON_icmp;
	default:
		return REASON_bad_length;
	}
}

/* GO_ON for a whole TCP header that is for us. */
static __always_inline int check_parsed(const struct packet *p, enum parsed parsed)
{
	switch (parsed) {
	case PARSED_TCP:
	case PARSED_TCP_BAD:
	case PARSED_TCP_HIDDEN:
		return is_vip(p) ? reason_parsed(parsed) : REASON_not_ours;
	case PARSED_FRAGMENT:
	case PARSED_IP_BAD:
	case PARSED_EXT_TOO_MANY:
	case PARSED_ICMP:
		return is_vip_address(p) ? reason_parsed(parsed) : REASON_not_ours;
	case PARSED_TUNNEL:
		return LOOK_INSIDE;
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

/* Is the source known well enough to be let through where a stranger is not? */
static __always_inline int check_known(const struct address *from, const struct front_config *config, __u64 now)
{
	if (is_verified(from, now))
		return REASON_verified;
	return is_allowed(from, config) ? REASON_allowed_list : GO_ON;
}

static __always_inline int check_limits(const struct address *from, const struct front_config *config, __u64 now)
{
	if (config->blocked_used && is_blocked(from, now))
		return REASON_limit_connections;
	return check_rate(from, config, now);
}

/*
 * A segment that found a listener.  Where it answers a cookie its source has shown that it receives what is sent
 * to it, and the limits, which a SYN in a flood says nothing about, are held against it here.  The kernel may make
 * cookies in any flood, but of a SYN that met the limits.
 */
static __always_inline int check_answer(const struct segment *g, const struct front_config *config)
{
	_Bool paid = 0;

	if ((g->flags & (TCP_ACK | TCP_RST | TCP_SYN)) != TCP_ACK)
		return REASON_flood_segment;
	if (config->cookie_path != COOKIE_PATH_OWN || cookie_answered(g) < 0) {
		if (!kernel_cookie_answered(g))
			return REASON_cookie_invalid;
		paid = config->cookie_path != COOKIE_PATH_KERNEL;
	}
	if (!paid && check_limits(&g->source, config, g->now) != GO_ON && check_known(&g->source, config, g->now) == GO_ON)
		return REASON_cookie_limit;
	return config->cookie_full ? REASON_cookie_reset : REASON_cookie_valid;
}

/* While a flood lasts, what belongs to no connection ends here: the kernel would answer each with a reset. */
__noinline int flood_segment(struct xdp_md *ctx, const struct segment *g)
{
	struct front_config *config;
	__u32 state, zero = 0;
	struct bpf_sock *sk;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!g || !config)
		return REASON_error_config;
	sk = segment_socket(ctx, g);
	if (!sk)
		return REASON_flood_segment;
	state = sk->state;
	bpf_sk_release(sk);
	return state == BPF_TCP_LISTEN ? check_answer(g, config) : REASON_established;
}

/*
 * While a flood lasts, whoever is not known gets a cookie for an answer and leaves nothing behind.  Known peers never
 * meet one: options would suffer by the kernel's, and an answer that gets lost is repaired by nobody, since in
 * SMTP the client waits for the server to speak.
 */
__noinline int flood_syn(const struct segment *g)
{
	struct front_config *config;
	__u32 zero = 0;
	int reason;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!g || !config)
		return REASON_error_config;
	reason = check_known(&g->source, config, g->now);
	if (reason != GO_ON)
		return reason;
	if (config->blocked_used && is_blocked(&g->source, g->now))
		return REASON_limit_connections;
	if (g->fragment)
		return REASON_flood_fragment;
	return config->cookie_full ? REASON_queue_full : REASON_cookie_sent;
}

/*
 * What is different while a flood lasts, or where cookies are sent always; GO_ON for a SYN: no cookie can be made.
 * Answers are made from here, and not where they are decided, since 512 bytes of stack are all there are for the
 * functions in a row.
 */
static __always_inline int check_in_flood(struct xdp_md *ctx, const struct packet *p, _Bool syn, __u64 now)
{
	struct answer answer = { 0 };
	struct segment g;
	int reason;

	segment_of(p, now, &g);
	reason = syn ? flood_syn(&g) : flood_segment(ctx, &g);
	if (reason == REASON_cookie_reset || reason == REASON_cookie_limit)
		make_reset(&g, &answer);
	else if (reason != REASON_cookie_sent)
		return reason;
	else if (!make_cookie(ctx, &g, &answer))
		return GO_ON;
	if (!send_answer(ctx, &g, &answer))
		return syn ? GO_ON : REASON_cookie_valid; /* the frame is as it was */
	return reason;
}

/* Limits; who is allowed or verified is asked only when one of them would drop. */
static __always_inline int check_syn(const struct address *from, const struct front_config *config, __u64 now)
{
	int reason = check_limits(from, config, now), known;

	if (reason == GO_ON)
		return REASON_syn_admitted;
	known = check_known(from, config, now);
	return known == GO_ON ? reason : known;
}

static __always_inline int check_connection(struct xdp_md *ctx, const struct packet *p, const struct address *from,
					    const struct front_config *config)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	_Bool syn = is_syn(p), flood, cookies;
	int reason;

	if (syn)
		count_syn(config, now);
	flood = in_flood(now);
	cookies = config->cookie_path && (flood || config->cookie_always);
	reason = cookies || (flood && !syn) ? check_in_flood(ctx, p, syn, now) : GO_ON;
	if (!flood && (reason == REASON_flood_segment || reason == REASON_cookie_invalid))
		return REASON_established; /* the kernel's to judge */
	if (reason != GO_ON)
		return reason;
	return syn ? check_syn(from, config, now) : REASON_established;
}

static __always_inline __u32 find_home(const struct packet *p, const struct address *from)
{
	__u32 ports = *(const __u32 *)p->tcp;
	struct address to;

	keep_address(p, p->dest, 0, &to);
	return spread_home(from, &to, ports);
}

/* home: for pass_spread(); untouched where there is no spreading, or nothing to spread by. */
static __always_inline int judge(struct xdp_md *ctx, struct address *from, __u32 *home)
{
	struct front_config *config;
	struct packet p;
	__u32 zero = 0;
	int reason;

	reason = check_parsed(&p, parse_packet(ctx, &p));
	if (reason == REASON_not_ours || reason == LOOK_INSIDE)
		return reason;
	keep_address(&p, p.source, 0, from);
	if (reason != GO_ON)
		return reason;
	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || config->abi != FRONT_ABI)
		return REASON_error_config;
	if (config->spread_cpus && !p.fragment)
		*home = find_home(&p, from);
	reason = check_lists(from, config);
	if (reason != GO_ON)
		return reason;
	reason = check_flags(&p);
	if (reason != GO_ON)
		return reason;
	return check_connection(ctx, &p, from, config);
}

/* The one exit: counts, and turns the reason into XDP's word. */
static __always_inline int leave(struct xdp_md *ctx, const struct address *from, __u32 home, int reason)
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
		sample_drop(ctx, from, at);
		return XDP_DROP;
	case VERDICT_TX:
		return XDP_TX;
	default:
		return home ? pass_spread(home) : XDP_PASS;
	}
}

/* A packet that may be a tunnel's: if it is, it is judged by front_inside, a program (and a stack) of its own. */
static __always_inline int open_tunnel(struct xdp_md *ctx, struct address *from)
{
	int reason = unwrap(ctx, from);

	if (reason == GO_ON) {
		bpf_tail_call(ctx, &inside, 0);
		reason = REASON_error_tunnel;
	}
	return reason;
}

SEC("xdp") /* the loader says that frames of several buffers are fine */
int front(struct xdp_md *ctx)
{
	struct address from = { 0 };
	__u32 home = 0;
	int reason = judge(ctx, &from, &home);

	if (reason == LOOK_INSIDE)
		reason = open_tunnel(ctx, &from);
	return leave(ctx, &from, home, reason);
}

/* What was in a tunnel. */
SEC("xdp") /* the loader says that frames of several buffers are fine */
int front_inside(struct xdp_md *ctx)
{
	struct address from = { 0 };
	__u32 home = 0;
	int reason = judge(ctx, &from, &home);

	return leave(ctx, &from, home, reason == LOOK_INSIDE ? REASON_not_ours : reason);
}
