/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers from here (XDP_TX): a SYN-ACK that carries a cookie, and a reset.
 *
 * The frame that came becomes the one that goes: Ethernet addresses swapped, VLAN tags as they were, everything
 * behind them written anew, without IP options or extension headers and with no more TCP options than were
 * offered.  An answer is never longer than the SYN, so nobody is flooded by way of us.
 *
 * Checksums of the SYN itself are not looked at: what a damaged one sets off is an answer that nobody answers.
 */
#ifndef DANELAW_SYNACK_H
#define DANELAW_SYNACK_H

#include "bpf/cookie.h"

enum {
	FRAME_MIN = 60,	      /* Ethernet's least, without its checksum */
	ANSWER_HOPS = 64,
	ANSWER_WORDS_MAX = 5, /* of TCP options: MSS; SACK, timestamps; window scale */
	TCP_DATA_OFFSET_MIN = 5,
	SYN_ACK_BYTE = 0x12,
	RST_BYTE = 0x04,
};

/* What an answer says. */
struct answer {
	__u32 seq, ack;		/* host order */
	__u8 flags, words;	/* words: of options */
	__u16 window;
	__be32 options[ANSWER_WORDS_MAX];
};

struct answer4 {
	struct iphdr ip;
	struct tcphdr tcp;
	__be32 options[ANSWER_WORDS_MAX];
};
struct answer6 {
	struct ipv6hdr ip;
	struct tcphdr tcp;
	__be32 options[ANSWER_WORDS_MAX];
};

/* Sums of 32-bit words, which come out right when folded to 16 bits (RFC 1071 section 2). */
#define SUM32(sum, at, words)                                                                                        \
	do {                                                                                                         \
		const __u32 *sum_at = (const void *)(at);                                                            \
		_Pragma("unroll") for (int sum_i = 0; sum_i < (words); sum_i++) (sum) += sum_at[sum_i];              \
	} while (0)

static __always_inline __u16 fold_sum(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void fill_tcp(struct tcphdr *tcp, __be32 *options, const struct segment *g, const struct answer *a)
{
	tcp->source = g->dport;
	tcp->dest = g->sport;
	tcp->seq = bpf_htonl(a->seq);
	tcp->ack_seq = bpf_htonl(a->ack);
	((__u8 *)tcp)[12] = (TCP_DATA_OFFSET_MIN + a->words) << 4;
	((__u8 *)tcp)[13] = a->flags;
	tcp->window = bpf_htons(a->window);
	__builtin_memcpy(options, a->options, sizeof(a->options));
}

/* Shortens or lengthens the frame, swaps its Ethernet addresses and puts body behind them and their tags. */
static __always_inline _Bool put_frame(struct xdp_md *ctx, __u32 at, void *body, __u32 length, __u32 room)
{
	__u32 put;
	int grow;
	struct ethhdr *eth;
	__u8 mac[ETH_ALEN];

	at &= 31;
	put = at + length < FRAME_MIN ? FRAME_MIN - at : length;
	barrier_var(put);
	if (put > room) /* never; the verifier wants to see it, and Linux 6.1's not in one comparison with the next */
		return 0;
	barrier_var(put);
	if (put < 1)
		return 0;
	grow = (int)(at + put) - (int)bpf_xdp_get_buff_len(ctx);
	if (grow && bpf_xdp_adjust_tail(ctx, grow))
		return 0;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	barrier_var(put);
	if (put > room) /* Linux 6.1 has forgotten it, since both bounds above are tested by one comparison of put - 1 */
		return 0;
	return !bpf_xdp_store_bytes(ctx, at, body, put);
}

static __always_inline _Bool answer_ip4(struct xdp_md *ctx, const struct segment *g, const struct answer *a,
					struct answer4 *out)
{
	__u32 tcp_length = sizeof(struct tcphdr) + 4 * a->words;
	__u64 sum = bpf_htons(IPPROTO_TCP) + bpf_htons(tcp_length);

	out->ip.version = 4;
	out->ip.ihl = 5;
	out->ip.tot_len = bpf_htons(sizeof(out->ip) + tcp_length);
	out->ip.frag_off = bpf_htons(0x4000); /* don't fragment */
	out->ip.ttl = ANSWER_HOPS;
	out->ip.protocol = IPPROTO_TCP;
	out->ip.saddr = g->dest.ip4[3];
	out->ip.daddr = g->source.ip4[3];
	fill_tcp(&out->tcp, out->options, g, a);
	SUM32(sum, &out->ip.saddr, 2);
	SUM32(sum, &out->tcp, 10);
	out->tcp.check = fold_sum(sum);
	sum = 0;
	SUM32(sum, &out->ip, 5);
	out->ip.check = fold_sum(sum);
	return put_frame(ctx, g->ip_at, out, sizeof(out->ip) + tcp_length, sizeof(*out));
}

static __always_inline _Bool answer_ip6(struct xdp_md *ctx, const struct segment *g, const struct answer *a,
					struct answer6 *out)
{
	__u32 tcp_length = sizeof(struct tcphdr) + 4 * a->words;
	__u64 sum = bpf_htons(IPPROTO_TCP) + bpf_htons(tcp_length);

	out->ip.version = 6;
	out->ip.payload_len = bpf_htons(tcp_length);
	out->ip.nexthdr = IPPROTO_TCP;
	out->ip.hop_limit = ANSWER_HOPS;
	__builtin_memcpy(&out->ip.saddr, g->dest.ip4, 16);
	__builtin_memcpy(&out->ip.daddr, g->source.ip4, 16);
	fill_tcp(&out->tcp, out->options, g, a);
	SUM32(sum, &out->ip.saddr, 8);
	SUM32(sum, &out->tcp, 10);
	out->tcp.check = fold_sum(sum);
	return put_frame(ctx, g->ip_at, out, sizeof(out->ip) + tcp_length, sizeof(*out));
}

/* 0: it could not be, the frame is as it was.  A global function: see segment.h. */
__noinline int send_answer(struct xdp_md *ctx, const struct segment *g, const struct answer *a)
{
	union {
		struct answer4 ip4;
		struct answer6 ip6;
	} out;

	if (!g || !a)
		return 0;
	__builtin_memset(&out, 0, sizeof(out));
	return g->source.v4 ? answer_ip4(ctx, g, a, &out.ip4) : answer_ip6(ctx, g, a, &out.ip6);
}

/* The TCP header of the SYN with its options; false: it cannot be read. */
static __always_inline _Bool read_syn(struct xdp_md *ctx, const struct segment *g, struct tcp_seen *seen)
{
	__u32 length = g->tcp_length;

	__builtin_memset(seen, 0, sizeof(*seen));
	if (length < sizeof(struct tcphdr) || length > sizeof(struct tcphdr) + OPTIONS_MAX)
		return 0;
	if (bpf_xdp_load_bytes(ctx, g->tcp_at, seen->header, length)) /* the options stand right behind the header in both */
		return 0;
	seen->length = length - sizeof(struct tcphdr);
	read_options(seen);
	return 1;
}
_Static_assert(__builtin_offsetof(struct tcp_seen, options) == 20, "options behind the header");

/* What is agreed on: offered by the peer, and by us. */
static __always_inline void agree(struct tcp_seen *seen, const struct front_config *config)
{
	if (!(config->cookie_offer & COOKIE_OFFER_TIMESTAMP))
		seen->timestamp = 0;
	if (!(config->cookie_offer & COOKIE_OFFER_SACK))
		seen->sack = 0;
	if (!(config->cookie_offer & COOKIE_OFFER_WSCALE))
		seen->wscale = NO_WSCALE;
	if (!seen->mss) /* the answer has none then, and nothing else: an option of ours would make it longer than the SYN */
		seen->timestamp = 0;
	if (!seen->mss || (config->cookie_path == COOKIE_PATH_KERNEL && !seen->timestamp)) { /* its cookies keep them there */
		seen->sack = 0;
		seen->wscale = NO_WSCALE;
	}
}

/* In the order and with the padding that the kernel uses (tcp_options_write()). */
static __always_inline void put_options(struct answer *a, const struct tcp_seen *seen, const struct front_config *config,
					_Bool v4, __u32 tsval)
{
	__u32 n = 1;

	if (!seen->mss)
		return; /* none */
	a->options[0] = bpf_htonl(OPTION_MSS << 24 | 4 << 16 | (v4 ? config->cookie_mss4 : config->cookie_mss6));
	if (seen->timestamp) {
		a->options[1] = seen->sack ? bpf_htonl(OPTION_SACK_OK << 24 | 2 << 16 | OPTION_TIMESTAMP << 8 | 10)
					   : bpf_htonl(OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_TIMESTAMP << 8 | 10);
		a->options[2] = bpf_htonl(tsval);
		a->options[3] = bpf_htonl(seen->tsval);
		n = 4;
	} else if (seen->sack) {
		a->options[1] = bpf_htonl(OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_SACK_OK << 8 | 2);
		n = 2;
	}
	if (seen->wscale != NO_WSCALE) {
		__be32 word = bpf_htonl(OPTION_NOP << 24 | OPTION_WSCALE << 16 | 3 << 8 | config->cookie_wscale);

		if (n == 1)
			a->options[1] = word;
		else if (n == 2)
			a->options[2] = word;
		else
			a->options[4] = word;
		n++;
	}
	a->words = n;
}

/*
 * The kernel's cookies keep window scale and SACK in the low bits of the timestamp, which must not be ahead of its
 * clock (cookie_init_timestamp()): the peer would drop what the connection then says as older.
 */
static __always_inline __u32 kernel_timestamp(const struct segment *g, const struct tcp_seen *seen)
{
	__u32 now = g->now / 1000000, value; /* the last tick's: a few ms behind that clock, if any */

	value = (now & ~63u) | seen->wscale | (seen->sack ? 16 : 0);
	return value > now ? value - 64 : value;
}

/* *seq: the cookie.  False: the kernel makes none. */
static __always_inline _Bool kernel_cookie(const struct segment *g, struct tcp_seen *seen, __u32 *seq)
{
	__u32 length = sizeof(struct tcphdr) + (seen->length & 63);
	__s64 value;

	if (g->source.v4) {
		struct iphdr ip4 = { .version = 4, .saddr = g->source.ip4[3], .daddr = g->dest.ip4[3] };

		value = bpf_tcp_raw_gen_syncookie_ipv4(&ip4, (void *)seen->header, length);
	} else {
		struct ipv6hdr ip6 = { .version = 6 };

		__builtin_memcpy(&ip6.saddr, g->source.ip4, 16);
		__builtin_memcpy(&ip6.daddr, g->dest.ip4, 16);
		value = bpf_tcp_raw_gen_syncookie_ipv6(&ip6, (void *)seen->header, length);
	}
	*seq = (__u32)value;
	return value >= 0;
}

/* Does the segment answer a cookie of the kernel's? */
static __always_inline _Bool kernel_cookie_answered(const struct segment *g)
{
	struct ipv6hdr ip6 = { .version = 6 };
	struct iphdr ip4 = { .version = 4 };
	struct tcphdr tcp = { .source = g->sport, .dest = g->dport, .seq = bpf_htonl(g->seq), .ack_seq = bpf_htonl(g->ack) };

	if (g->source.v4) {
		ip4.saddr = g->source.ip4[3];
		ip4.daddr = g->dest.ip4[3];
		return !bpf_tcp_raw_check_syncookie_ipv4(&ip4, &tcp);
	}
	__builtin_memcpy(&ip6.saddr, g->source.ip4, 16);
	__builtin_memcpy(&ip6.daddr, g->dest.ip4, 16);
	return !bpf_tcp_raw_check_syncookie_ipv6(&ip6, &tcp);
}

static __always_inline _Bool own_cookie(const struct segment *g, const struct tcp_seen *seen, __u32 *seq, __u32 *tsval)
{
	struct cookie_keys *keys;
	const __u64 *key;
	__u32 zero = 0;
	__u64 hash;
	__u8 low;

	keys = bpf_map_lookup_elem(&cookie_keys, &zero);
	key = keys ? cookie_key(keys, keys->epoch) : 0;
	if (!key)
		return 0;
	low = cookie_mss_index(seen->mss, g->source.v4) << 5 | seen->sack << 4 | seen->wscale;
	hash = cookie_hash(key, g, g->seq, low);
	*seq = cookie_number(hash, low);
	*tsval = hash >> 32;
	return 1;
}

/* What answers the SYN.  0: no cookie can be made.  A global function: see segment.h. */
__noinline int make_cookie(struct xdp_md *ctx, const struct segment *g, struct answer *a)
{
	struct front_config *config;
	__u32 tsval = 0, zero = 0;
	struct tcp_seen seen;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || !g || !a || !read_syn(ctx, g, &seen))
		return 0;
	agree(&seen, config);
	if (config->cookie_path == COOKIE_PATH_OWN) {
		if (!own_cookie(g, &seen, &a->seq, &tsval))
			return 0;
	} else {
		if (!kernel_cookie(g, &seen, &a->seq))
			return 0;
		tsval = kernel_timestamp(g, &seen);
	}
	a->flags = SYN_ACK_BYTE;
	a->ack = g->seq + 1; /* data in a SYN is not kept, the peer sends it again */
	a->window = config->cookie_window;
	put_options(a, &seen, config, g->source.v4, tsval);
	return 1;
}

/* What answers a segment that has ACK set with a reset (RFC 9293 section 3.10.7.2). */
static __always_inline void make_reset(const struct segment *g, struct answer *a)
{
	a->flags = RST_BYTE;
	a->seq = g->ack;
}

#endif
