/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Deny and allow lists.
 *
 * What is entered by hand (deny4, deny6, allow4, allow6) stands in tries, which bpftool can write.  A trie of
 * 100,000 prefixes costs five times one of ten, so the bulk deny lists are compiled by the loader.  That of IPv4 is a table
 * by the first 16 bits and bitmaps of the next 8 and of the last 8: a load for each and one for the rule, no search
 * and no call, however long the list; most sources end at the first load.
 * That of IPv6 is a search by halves among the lengths that its prefixes have (Waldvogel and others, 1997): a hash is
 * asked for the source cut to the middle length; what stands there, a prefix or a mark that longer ones are inside, sends
 * on to longer lengths, nothing to shorter ones.  Three lengths take two probes, and all that there are eight.
 */
#ifndef DANELAW_LISTS_H
#define DANELAW_LISTS_H

#include "bpf/abi.h"
#include "bpf/list6.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

enum { RULES_OVER_MAX = 4 }; /* rules that are over, one behind the other, that are looked behind */

static __always_inline __u32 bits_set(__u64 v)
{
	v -= v >> 1 & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return v * 0x0101010101010101ull >> 56;
}

/* Is there one of bit i, and at which place? */
static __always_inline _Bool find_place(const struct list_bits *b, __u32 i, __u32 *place)
{
	__u32 word = i >> 6 & 3;
	__u64 bits = b->bits[word], bit = 1ull << (i & 63);

	if (!(bits & bit))
		return 0;
	*place = b->first + b->before[word] + bits_set(bits & (bit - 1));
	return 1;
}

/* The number of the rule of the longest prefix that is longer than /16, or 0. */
static __always_inline __u32 find_longer(__u32 slot, __u32 ip)
{
	__u32 place, host, *number, rule;
	struct list_mid *mid;
	struct list_net *net;

	mid = bpf_map_lookup_elem(&list4_mid, &slot);
	if (!mid || !find_place(&mid->nets, ip >> 8 & 255, &place))
		return 0;
	net = bpf_map_lookup_elem(&list4_net, &place);
	if (!net)
		return 0;
	rule = net->rule;
	if (!find_place(&net->hosts, ip & 255, &host))
		return rule;
	number = bpf_map_lookup_elem(&list4_host, &host);
	return number ? *number : rule;
}

/* The hit counter of what matched, or null; so for all below. */
static __always_inline __u64 *find_listed4(const struct address *from, __u32 set)
{
	__u32 ip = bpf_ntohl(from->ip4[3]), slot = list_top_slot(set, ip >> 16), rule = 0;
	struct list_top *top;
	struct listed *listed;

	top = bpf_map_lookup_elem(&list4_top, &slot);
	if (!top)
		return 0;
	if (top->more)
		rule = find_longer(slot, ip);
	if (!rule)
		rule = top->rule;
	if (!rule)
		return 0;
	rule--;
	listed = bpf_map_lookup_elem(&list4_rule, &rule);
	return listed ? &listed->hits : 0;
}

/* What stands for the source cut to a step's length, or null. */
static __always_inline struct list6_slot *find_slot6(const struct list6_shape *shape, const struct list6_step *step, __u32 number,
						     const struct address *from)
{
	const __u64 *mask = (const __u64 *)step->mask;
	__u64 high = from->words[0] & mask[0], low = from->words[1] & mask[1];
	__u64 hash = list6_hash(shape, high, low, number);
	__u32 place = shape->first + list6_bucket(shape, hash);
	struct list6_slot *slot = bpf_map_lookup_elem(&list6_slot, &place);
	const __u64 *words;

	if (!slot)
		return 0;
	place = shape->first + list6_place(shape, hash, slot->seed);
	slot = bpf_map_lookup_elem(&list6_slot, &place);
	if (!slot)
		return 0;
	words = (const __u64 *)slot->ip;
	return slot->step == number && words[0] == high && words[1] == low ? slot : 0;
}

/* The number of the rule of the longest prefix, or 0.  A function of its own, for the sake of the stack. */
__noinline __u32 find_number6(const struct address *from, __u32 set)
{
	struct list6_shape *shape = bpf_map_lookup_elem(&list6_shape, &set);
	const struct list6_step *step;
	struct list6_slot *slot;
	__u32 rule, at;

	if (!from || !shape)
		return 0;
	rule = shape->rule;
	at = shape->step;
	for (int i = 0; i < LIST6_PROBES && at; i++) {
		step = &shape->steps[(at - 1) % LIST6_STEPS];
		slot = find_slot6(shape, step, at, from);
		if (slot)
			rule = slot->rule;
		at = slot ? slot->longer : step->shorter;
	}
	return rule;
}

static __always_inline __u64 *find_listed6(const struct address *from, __u32 set)
{
	__u32 rule = find_number6(from, set);
	struct listed6 *listed;

	if (!rule)
		return 0;
	rule--;
	listed = bpf_map_lookup_elem(&list6_rule, &rule);
	return listed ? &listed->hits : 0;
}

/*
 * A rule made by hand, not over yet; a null, or null.  One that is over does not hide a shorter prefix: behind it
 * is looked once more.
 */
static __always_inline struct rule *find_rule(void *map, __u32 *prefixlen)
{
	struct rule *rule = bpf_map_lookup_elem(map, prefixlen);

#pragma unroll
	for (int i = 0; i < RULES_OVER_MAX; i++) {
		if (!rule || !rule->until_ns || bpf_ktime_get_coarse_ns() < rule->until_ns)
			return rule;
		if (!rule->prefixlen || rule->prefixlen > *prefixlen)
			return 0;
		*prefixlen = rule->prefixlen - 1;
		rule = bpf_map_lookup_elem(map, prefixlen);
	}
	return 0;
}

static __always_inline __u64 *find_denied4(const struct address *from, __u32 set)
{
	struct prefix4 key = { .prefixlen = 32 };
	__u64 *hits = find_listed4(from, set);
	struct rule *rule;

	if (hits)
		return hits;
	__builtin_memcpy(key.ip, &from->ip4[3], 4);
	rule = find_rule(&deny4, &key.prefixlen);
	return rule ? &rule->hits : 0;
}

static __always_inline __u64 *find_denied6(const struct address *from, __u32 set)
{
	struct prefix6 key = { .prefixlen = 128 };
	__u64 *hits = find_listed6(from, set);
	struct rule *rule;

	if (hits)
		return hits;
	__builtin_memcpy(key.ip, from->ip, 16);
	rule = find_rule(&deny6, &key.prefixlen);
	return rule ? &rule->hits : 0;
}

static __always_inline __u64 *find_denied(const struct address *from, const struct front_config *config)
{
	__u32 set = config->deny_list & 1;

	return from->v4 ? find_denied4(from, set) : find_denied6(from, set);
}

static __always_inline _Bool is_allowed(const struct address *from, const struct front_config *config)
{
	struct allow_key listed = { .prefixlen = 8 + 128, .set = config->allow_set };
	struct prefix4 key4 = { .prefixlen = 32 };
	struct prefix6 key6 = { .prefixlen = 128 };
	struct rule *rule;

	__builtin_memcpy(listed.ip, from->ip, 16);
	if (from->v4) {
		__builtin_memcpy(key4.ip, &from->ip4[3], 4);
		rule = find_rule(&allow4, &key4.prefixlen);
	} else {
		__builtin_memcpy(key6.ip, from->ip, 16);
		rule = find_rule(&allow6, &key6.prefixlen);
	}
	if (!rule && config->allow_set)
		rule = bpf_map_lookup_elem(&allow_list, &listed);
	if (rule)
		__sync_fetch_and_add(&rule->hits, 1);
	return rule != 0;
}

/* The allow list goes before every deny list. */
static __always_inline int check_lists(const struct address *from, const struct front_config *config)
{
	__u64 *hits = find_denied(from, config);

	if (!hits)
		return -1;
	if (is_allowed(from, config))
		return REASON_allowed_list;
	__sync_fetch_and_add(hits, 1);
	return REASON_denied_list;
}

#endif
