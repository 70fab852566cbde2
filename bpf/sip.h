/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SipHash (Aumasson, Bernstein 2012): a short one for places in tables, SipHash-2-4 for what must not be forged.
 */
#ifndef DANELAW_SIP_H
#define DANELAW_SIP_H

#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#define rotl64(x, b) ((x) << (b) | (x) >> (64 - (b)))

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl64(s->v1, 13) ^ s->v0;
	s->v0 = rotl64(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl64(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl64(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl64(s->v1, 17) ^ s->v2;
	s->v2 = rotl64(s->v2, 32);
}

static __always_inline void sip_start(struct sip *s, const __u64 key[2])
{
	s->v0 = key[0] ^ 0x736f6d6570736575ull;
	s->v1 = key[1] ^ 0x646f72616e646f6dull;
	s->v2 = key[0] ^ 0x6c7967656e657261ull;
	s->v3 = key[1] ^ 0x7465646279746573ull;
}

/* SipHash-1-3 of 64 bits and a tag, which stands where the length does. */
static __always_inline __u64 sip_hash(const __u64 key[2], __u64 word, __u64 tag)
{
	struct sip s;

	sip_start(&s, key);
	s.v3 ^= word;
	sip_round(&s);
	s.v0 ^= word;
	s.v3 ^= tag << 56;
	sip_round(&s);
	s.v0 ^= tag << 56;
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* SipHash-2-4, word by word; the last word carries the length in bytes in its top byte. */
static __always_inline void sip24_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static __always_inline __u64 sip24_end(struct sip *s)
{
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
