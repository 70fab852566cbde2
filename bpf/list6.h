/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where something stands in the bulk deny list of IPv6: one word for who looks (lists.h) and who compiles (front_list6.c).
 *
 * A hash without searching: a key's bucket says by which seed the keys of that bucket came to places of their own, so
 * there are two loads, whatever is listed.  A key is an address cut to a step's length, as two words, and the step.
 */
#ifndef DANELAW_LIST6_H
#define DANELAW_LIST6_H

#include "bpf/abi.h"

static inline __u64 list6_hash(const struct list6_shape *shape, __u64 high, __u64 low, __u32 step)
{
	__u64 h = (high + shape->secret[0]) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 29;
	h = ((h ^ low) + step * shape->secret[1]) * 0xbf58476d1ce4e5b9ull; /* a mere sum would meet itself in short lists */
	return h ^ h >> 32;
}

static inline __u32 list6_bucket(const struct list6_shape *shape, __u64 hash)
{
	return (hash >> 32) * shape->slots >> 32;
}

static inline __u32 list6_place(const struct list6_shape *shape, __u64 hash, __u16 seed)
{
	return ((hash ^ seed * 0x94d049bb133111ebull) * 0x2545f4914f6cdd1dull >> 32) * shape->slots >> 32;
}

#endif
