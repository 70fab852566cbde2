/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits on new connections, and flood mode.
 *
 * Unproven sources have no state of their own: a keyed hash gives each a place in a fixed array, so a million
 * spoofed addresses cost what one costs.  A place holds one number, the time at which the next connection
 * would be on time (GCRA, ITU-T I.371); it is moved by compare-and-swap, tried once: where two CPUs meet, one
 * connection too many may slip through, and no lock is held.
 *
 * Flood mode is a time that has not passed yet.  Every CPU adds its SYNs to a shared window in lumps; when a
 * window is over, its rate moves that time on: to begin it takes the higher threshold, to go on the lower one.
 */
#ifndef DANELAW_LIMIT_H
#define DANELAW_LIMIT_H

#include "bpf/abi.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/sip.h"

static __always_inline void source_key(const struct address *from, struct source_key *key)
{
	__u64 *words = (__u64 *)key;

	words[0] = from->words[0];
	words[1] = from->v4 ? from->words[1] : 0;
}

/* False: over the rate.  A bucket that cannot be found lets through. */
static __always_inline _Bool take_token(const struct front_config *config, __u64 who, __u64 tag, __u32 factor, __u64 now)
{
	__u32 place = sip_hash(config->secret, who, tag) & (FRONT_BUCKETS - 1);
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &place);
	__u64 interval = config->source_interval_ns, next, from;

	if (!bucket)
		return 1;
	if (factor > 1) /* a network may do as much as factor sources */
		interval /= factor;
	next = bucket->next_ns;
	from = next > now ? next : now;
	if (from - now > config->source_burst_ns)
		return 0;
	__sync_val_compare_and_swap(&bucket->next_ns, next, from + interval);
	return 1;
}

/* A source; for IPv6 the networks around it too, so that a /48 full of /64s is not 65,536 sources. */
static __always_inline int check_rate(const struct address *from, const struct front_config *config, __u64 now)
{
	__u64 who = 0;

	if (!config->source_interval_ns)
		return -1;
	if (from->v4) {
		who = from->ip4[3];
		return take_token(config, who, 32, 1, now) ? -1 : REASON_limit_source;
	}
	who = from->words[0];
	if (!take_token(config, who, 64, 1, now))
		return REASON_limit_source;
	who = bpf_be64_to_cpu(who);
	if (config->network56_factor && !take_token(config, who >> 8, 56, config->network56_factor, now))
		return REASON_limit_network;
	if (config->network48_factor && !take_token(config, who >> 16, 48, config->network48_factor, now))
		return REASON_limit_network;
	return -1;
}

static __always_inline _Bool is_verified(const struct address *from, __u64 now)
{
	struct verified *entry;
	struct source_key key __attribute__((aligned(8)));

	source_key(from, &key);
	entry = bpf_map_lookup_elem(&verified, &key);
	if (!entry || entry->until_ns < now)
		return 0;
	__sync_fetch_and_add(&entry->hits, 1);
	return 1;
}

/* The daemon, which knows the connections, has published that this source holds enough of them. */
static __always_inline _Bool is_blocked(const struct address *from, __u64 now)
{
	struct blocked *entry;
	struct source_key key __attribute__((aligned(8)));

	source_key(from, &key);
	entry = bpf_map_lookup_elem(&blocked, &key);
	if (!entry || entry->until_ns < now)
		return 0;
	__sync_fetch_and_add(&entry->hits, 1);
	return 1;
}

static __always_inline void end_window(struct flood *shared, const struct front_config *config, __u64 now)
{
	__u64 start = shared->window_start_ns, took = now - start, rate;
	_Bool lasts = now < shared->until_ns;

	if (__sync_val_compare_and_swap(&shared->window_start_ns, start, now) != start)
		return; /* another CPU ends it */
	rate = shared->window_syns * 1000 / (took / 1000000);
	shared->window_syns = 0;
	shared->last_syn_per_s = rate;
	if (rate < (lasts ? config->flood_leave_syn_per_s : config->flood_enter_syn_per_s))
		return;
	shared->until_ns = now + config->flood_hold_ns;
	if (!lasts)
		shared->floods++;
}

static __always_inline void count_syn(const struct front_config *config, __u64 now)
{
	struct flood_cpu *mine;
	struct flood *shared;
	__u32 zero = 0;

	if (!config->flood_enter_syn_per_s)
		return;
	mine = bpf_map_lookup_elem(&flood_cpu, &zero);
	if (!mine || ++mine->syns < FLOOD_LUMP)
		return;
	mine->syns = 0;
	shared = bpf_map_lookup_elem(&flood, &zero);
	if (!shared)
		return;
	__sync_fetch_and_add(&shared->window_syns, FLOOD_LUMP);
	if (now - shared->window_start_ns >= FLOOD_WINDOW_NS)
		end_window(shared, config, now);
}

static __always_inline _Bool in_flood(__u64 now)
{
	struct flood *shared;
	__u32 zero = 0;

	shared = bpf_map_lookup_elem(&flood, &zero);
	return shared && now < shared->until_ns;
}

#endif
