/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Deny and allow lists.
 *
 * What is entered by hand (deny4, deny6, allow4, allow6) stands in tries, which bpftool can write.  A trie of
 * 100,000 prefixes costs five times one of ten, so the bulk list of IPv4 is compiled by the loader into a table
 * by the first 16 bits, a hash by the first 24 and a bitmap of the last 8: two loads and one hash look-up,
 * however long the list; most sources end at the first load.
 */
#ifndef DANELAW_LISTS_H
#define DANELAW_LISTS_H

#include "bpf/abi.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline __u32 bits_set(__u64 v)
{
	v -= v >> 1 & 0x5555555555555555ull;
	v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return v * 0x0101010101010101ull >> 56;
}

/* The place in list4_host of this address, which has its bit set. */
static __always_inline __u32 host_place(const struct list_net *net, __u32 host)
{
	__u32 place = net->first_host, word = host >> 6;

	if (word > 0)
		place += bits_set(net->hosts[0]);
	if (word > 1)
		place += bits_set(net->hosts[1]);
	if (word > 2)
		place += bits_set(net->hosts[2]);
	return place + bits_set(net->hosts[word & 3] & ((1ull << (host & 63)) - 1));
}

/* The hit counter of what matched, or null; so for all below. */
static __always_inline __u64 *find_listed4(const struct packet *p, __u32 set)
{
	struct list_net_key key;
	struct list_top *top;
	struct list_net *net;
	struct listed *listed;
	__u32 ip, at, *place, rule;

	__builtin_memcpy(&ip, p->source, 4);
	ip = bpf_ntohl(ip);
	at = list_top_slot(set, ip >> 16);
	top = bpf_map_lookup_elem(&list4_top, &at);
	if (!top || (!top->more && !top->rule))
		return 0;
	rule = top->rule;
	key.set = set;
	key.first24 = ip >> 8;
	net = bpf_map_lookup_elem(&list4_net, &key);
	if (net) {
		if (net->rule)
			rule = net->rule;
		if (net->hosts[ip >> 6 & 3] >> (ip & 63) & 1) {
			at = host_place(net, ip & 255);
			place = bpf_map_lookup_elem(&list4_host, &at);
			if (place)
				rule = *place;
		}
	}
	if (!rule)
		return 0;
	rule--;
	listed = bpf_map_lookup_elem(&list4_rule, &rule);
	return listed ? &listed->hits : 0;
}

static __always_inline __u64 *find_denied4(const struct packet *p, __u32 set)
{
	struct prefix4 key = { .prefixlen = 32 };
	__u64 *hits = find_listed4(p, set);
	struct rule *rule;

	if (hits)
		return hits;
	__builtin_memcpy(key.ip, p->source, 4);
	rule = bpf_map_lookup_elem(&deny4, &key);
	return rule ? &rule->hits : 0;
}

static __always_inline __u64 *find_denied6(const struct packet *p, __u32 set)
{
	struct list6_key listed = { .prefixlen = 8 + 128, .set = set };
	struct prefix6 key = { .prefixlen = 128 };
	struct rule *rule;

	__builtin_memcpy(listed.ip, p->source, 16);
	__builtin_memcpy(key.ip, p->source, 16);
	rule = bpf_map_lookup_elem(&list6, &listed);
	if (!rule)
		rule = bpf_map_lookup_elem(&deny6, &key);
	return rule ? &rule->hits : 0;
}

static __always_inline __u64 *find_denied(const struct packet *p, const struct front_config *config)
{
	__u32 set = config->deny_list & 1;

	return p->v4 ? find_denied4(p, set) : find_denied6(p, set);
}

static __always_inline _Bool is_allowed(const struct packet *p)
{
	struct prefix4 key4 = { .prefixlen = 32 };
	struct prefix6 key6 = { .prefixlen = 128 };
	struct rule *rule;

	if (p->v4) {
		__builtin_memcpy(key4.ip, p->source, 4);
		rule = bpf_map_lookup_elem(&allow4, &key4);
	} else {
		__builtin_memcpy(key6.ip, p->source, 16);
		rule = bpf_map_lookup_elem(&allow6, &key6);
	}
	if (rule)
		__sync_fetch_and_add(&rule->hits, 1);
	return rule != 0;
}

/* The allow list goes before every deny list. */
static __always_inline int check_lists(const struct packet *p, const struct front_config *config)
{
	__u64 *hits = find_denied(p, config);

	if (!hits)
		return -1;
	if (is_allowed(p))
		return REASON_allowed_list;
	__sync_fetch_and_add(hits, 1);
	return REASON_denied_list;
}

#endif
