/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SYN cookies of our own: a first sequence number from which the connection can be made when it comes back.
 *
 *	31        8 7   5 4    3      0
 *	[   hash   |  mss |sack| wscale ]
 *
 * The hash is SipHash-2-4 over both addresses, both ports, the peer's first sequence number and the low byte.
 * Timestamps need no bit: an ACK carries them if they were agreed on.  24 bits cost a blind sender 16 million
 * packets a connection, and the key is another one every COOKIE_EPOCH_S; the keys of the epochs beside the
 * present one count too, so that a cookie lives for a minute at least and the clocks of a cluster's nodes may
 * differ by one.
 *
 * The kernel makes the connection of what is found here (bpf_sk_assign_tcp_reqsk(), Linux 6.9; cookie.bpf.c).
 */
#ifndef DANELAW_COOKIE_H
#define DANELAW_COOKIE_H

#include "bpf/abi.h"
#include "bpf/maps.h"
#include "bpf/segment.h"
#include "bpf/sip.h"

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_OK = 4,
	OPTION_TIMESTAMP = 8,
	OPTIONS_MAX = 40,
	NO_WSCALE = 15,
	WSCALE_MAX = 14, /* RFC 7323 section 2.3 */
	COOKIE_MSS_COUNT = 8,
};

/* A TCP header and what its options say. */
struct tcp_seen {
	__u8 header[20];
	__u8 options[40];
	__u32 length;	  /* of options */
	__u16 mss;	  /* 0: none */
	__u8 wscale;	  /* NO_WSCALE: none */
	__u8 sack;
	__u8 timestamp;
	__u8 zero[3];
	volatile __u32 at;  /* of read_options(): kept in memory, where the verifier does not follow its values */
	__u32 tsval, tsecr; /* host order */
};

/* Masked for the verifier: whatever i is, the byte is one of *seen. */
#define OPTION_AT(seen, i) (((const __u8 *)(seen))[sizeof((seen)->header) + ((i) & 63)])
_Static_assert(sizeof(struct tcp_seen) >= 20 + 64, "OPTION_AT");

static __always_inline __u32 option_word(const struct tcp_seen *seen, __u32 at)
{
	return (__u32)OPTION_AT(seen, at) << 24 | (__u32)OPTION_AT(seen, at + 1) << 16 |
	       (__u32)OPTION_AT(seen, at + 2) << 8 | OPTION_AT(seen, at + 3);
}

static __always_inline void read_option(struct tcp_seen *seen, __u32 at, __u32 kind, __u32 size)
{
	if (kind == OPTION_MSS && size == 4) {
		seen->mss = option_word(seen, at) & 0xffff;
	} else if (kind == OPTION_WSCALE && size == 3) {
		seen->wscale = OPTION_AT(seen, at + 2) > WSCALE_MAX ? WSCALE_MAX : OPTION_AT(seen, at + 2);
	} else if (kind == OPTION_SACK_OK && size == 2) {
		seen->sack = 1;
	} else if (kind == OPTION_TIMESTAMP && size == 10) {
		seen->timestamp = 1;
		seen->tsval = option_word(seen, at + 2);
		seen->tsecr = option_word(seen, at + 6);
	}
}

/*
 * Reads the options as tcp_parse_options() of the kernel does: an unknown one is skipped, a broken one ends them,
 * of two of a kind the later counts.  A global function: the verifier looks at it once, by itself.
 */
__noinline int read_options(struct tcp_seen *seen)
{
	__u32 at, kind, size;

	if (!seen)
		return 0;
	seen->mss = seen->sack = seen->timestamp = 0;
	seen->wscale = NO_WSCALE;
	seen->at = 0;
	for (int i = 0; i < OPTIONS_MAX; i++) {
		at = seen->at & 63;
		kind = OPTION_AT(seen, at);
		if (at >= seen->length || kind == OPTION_END)
			break;
		if (kind == OPTION_NOP) {
			seen->at = at + 1;
			continue;
		}
		size = OPTION_AT(seen, at + 1);
		if (size < 2 || at + size > seen->length)
			break;
		read_option(seen, at, kind, size);
		seen->at = at + size;
	}
	return 0;
}

static __always_inline __u64 cookie_hash(const __u64 key[2], const struct segment *g, __u32 isn, __u8 low)
{
	struct sip s;

	sip_start(&s, key);
	if (g->source.v4) {
		sip24_word(&s, g->source.ip4[3] | (__u64)g->dest.ip4[3] << 32);
	} else {
		sip24_word(&s, g->source.words[0]);
		sip24_word(&s, g->source.words[1]);
		sip24_word(&s, g->dest.words[0]);
		sip24_word(&s, g->dest.words[1]);
	}
	sip24_word(&s, (__u64)isn << 32 | (__u32)g->sport << 16 | g->dport);
	sip24_word(&s, (g->source.v4 ? 17ull : 41ull) << 56 | low);
	return sip24_end(&s);
}

static __always_inline __u32 cookie_number(__u64 hash, __u8 low)
{
	return (__u32)hash << 8 | low;
}

static __always_inline const __u64 *cookie_key(const struct cookie_keys *keys, __u64 epoch)
{
	const struct cookie_key *slot = &keys->slots[epoch & (COOKIE_KEYS - 1)];

	return slot->epoch == epoch && epoch ? slot->key : 0;
}

/*
 * The sizes that MSS options on the way really have; IPv6's floor is 1220 (RFC 8200: 1280 less 60).
 * (volatile: else the compiler puts 16 bytes into a section of constants that libbpf does not know.)
 */
static __always_inline __u16 cookie_mss(__u32 index, _Bool v4)
{
	static const volatile __u16 sizes4[COOKIE_MSS_COUNT] = { 536, 1220, 1300, 1360, 1400, 1440, 1460, 8960 };
	static const volatile __u16 sizes6[COOKIE_MSS_COUNT] = { 1220, 1280, 1340, 1380, 1400, 1420, 1440, 8940 };

	index &= COOKIE_MSS_COUNT - 1;
	return v4 ? sizes4[index] : sizes6[index];
}

/* The largest that is not above what the peer can take; without the option that is the least. */
static __always_inline __u32 cookie_mss_index(__u16 mss, _Bool v4)
{
	__u32 index = 0;

#pragma unroll
	for (__u32 i = 1; i < COOKIE_MSS_COUNT; i++) {
		index += mss >= cookie_mss(i, v4);
		barrier_var(index); /* one size at a time, not all of them on the stack: Linux 6.1 has no room left for that */
	}
	return index;
}

/*
 * What the cookie carries that this ACK answers, or -1: it answers none of ours.  A global function: the verifier
 * looks at it once, by itself.
 */
__noinline int cookie_answered(const struct segment *g)
{
	struct cookie_keys *keys;
	__u32 cookie, zero = 0;
	__u8 low;

	keys = bpf_map_lookup_elem(&cookie_keys, &zero);
	if (!keys || !g)
		return -1;
	cookie = g->ack - 1;
	low = cookie;
	for (__u64 i = 0; i < 3; i++) { /* the present epoch's, then the last one's, the next one's */
		const __u64 *key = cookie_key(keys, keys->epoch + (i == 2 ? 1 : -i));

		if (key && cookie_number(cookie_hash(key, g, g->seq - 1, low), low) == cookie)
			return low;
	}
	return -1;
}

#endif
