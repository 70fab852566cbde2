/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon tells the front about sources: these are verified, those hold enough connections.
 *
 * The lane of verified sources must not be something that one proven name can fill, nor one zone, whose owner can
 * make any number of names: each name has a few places for sources, each zone a few for names, and one more takes
 * the place of the oldest, with all its sources.  The tables are of a fixed size, a name or zone placed by its hash;
 * when two meet in one place the newcomer begins with an empty row, so the bound can be missed by what the older one
 * had entered, and those entries expire.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { NAMES = 8192, ZONES = 4096 };

struct name_row {
	uint64_t hash;
	uint32_t next; /* place of the oldest */
	struct source_key sources[FRONT_VERIFIED_PER_NAME];
};

struct zone_row {
	uint64_t hash;
	uint32_t next;
	uint64_t names[FRONT_VERIFIED_PER_ZONE]; /* their hashes */
};

struct front_names {
	pthread_mutex_t lock;
	struct name_row rows[NAMES];
	struct zone_row zones[ZONES];
};

struct front_names *front_names_new(void)
{
	struct front_names *names = calloc(1, sizeof(*names));

	if (names)
		pthread_mutex_init(&names->lock, NULL);
	return names;
}

void front_names_free(struct front_names *names)
{
	if (!names)
		return;
	pthread_mutex_destroy(&names->lock);
	free(names);
}

void front_lock(struct front *f)
{
	pthread_mutex_lock(&f->names->lock);
}

void front_unlock(struct front *f)
{
	pthread_mutex_unlock(&f->names->lock);
}

void front_fill_limits(const struct front_settings *set, struct front_config *config)
{
	uint64_t interval = set->source_per_minute ? 60000000000ull / set->source_per_minute : 0;

	config->source_interval_ns = interval;
	config->source_burst_ns = set->source_burst ? interval * (set->source_burst - 1) : 0;
	config->network56_factor = set->network56_factor;
	config->network48_factor = set->network48_factor;
	config->flood_enter_syn_per_s = set->flood_enter;
	config->flood_leave_syn_per_s = set->flood_leave ? set->flood_leave : set->flood_enter / 2;
	config->flood_hold_ns = (uint64_t)(set->flood_hold_ms ? set->flood_hold_ms : 10000) * 1000000;
	if (!config->secret[0] && getrandom(config->secret, sizeof(config->secret), 0) != sizeof(config->secret))
		config->secret[0] = 0; /* buckets that can be foreseen are still buckets */
}

static uint64_t until_ns(uint32_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec + (uint64_t)ms * 1000000;
}

static void source_of(const struct in6_addr *ip, struct source_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->ip, ip->s6_addr, net_is_v4(ip) ? 16 : 8);
}

static uint64_t now_ns(void)
{
	return until_ns(0);
}

static bool is_verified(const struct front *f, const struct in6_addr *ip)
{
	struct source_key key;
	struct verified entry;

	source_of(ip, &key);
	return !bpf_map_lookup_elem(f->verified, &key, &entry) && entry.until_ns > now_ns();
}

/* By hand: the kernel looks behind rules that are over; here such a one counts as none, until it is swept. */
static bool is_allowed_by_hand(const struct front *f, const struct in6_addr *ip)
{
	struct prefix4 key4 = { .prefixlen = 32 };
	struct prefix6 key6 = { .prefixlen = 128 };
	struct rule rule;
	int failed;

	memcpy(key4.ip, &ip->s6_addr[12], 4);
	memcpy(key6.ip, ip->s6_addr, 16);
	failed = net_is_v4(ip) ? bpf_map_lookup_elem(f->allow4, &key4, &rule) : bpf_map_lookup_elem(f->allow6, &key6, &rule);
	return !failed && (!rule.until_ns || rule.until_ns > now_ns());
}

static bool is_allowed_by_file(const struct front *f, const struct in6_addr *ip)
{
	struct list6_key key = { .prefixlen = 8 + 128 };
	struct front_config config;
	struct rule rule;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(f->front_config, &zero, &config) || !config.allow_set)
		return false;
	key.set = (uint8_t)config.allow_set;
	memcpy(key.ip, ip->s6_addr, 16);
	return !bpf_map_lookup_elem(f->allow_list, &key, &rule);
}

bool front_skips_limits(const struct front *f, const struct in6_addr *ip)
{
	return f->verified >= 0 && (is_verified(f, ip) || is_allowed_by_hand(f, ip) || is_allowed_by_file(f, ip));
}

static int forget(int map, const struct source_key *key)
{
	return bpf_map_delete_elem(map, key) && errno != ENOENT ? -errno : 0;
}

/* FNV-1a; the worst a chosen name can do is to shed another name's bound. */
static uint64_t name_hash(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ull;
	return hash ? hash : 1;
}

/* Remembers the source under its name; *old becomes the source that has to go for it.  True: there is one. */
static bool take_place(struct front_names *names, const char *name, const struct source_key *key, struct source_key *old)
{
	static const struct source_key none;
	uint64_t hash = name_hash(name);
	struct name_row *row = &names->rows[hash % NAMES];
	unsigned i;

	if (row->hash != hash) {
		memset(row, 0, sizeof(*row));
		row->hash = hash;
	}
	for (i = 0; i < FRONT_VERIFIED_PER_NAME; i++)
		if (!memcmp(&row->sources[i], key, sizeof(*key)))
			return false;
	*old = row->sources[row->next];
	row->sources[row->next] = *key;
	row->next = (row->next + 1) % FRONT_VERIFIED_PER_NAME;
	return memcmp(old, &none, sizeof(none));
}

/* The same for a name in its zone: the hash of the name that has to go, or 0. */
static uint64_t take_zone_place(struct front_names *names, const char *zone, const char *name)
{
	uint64_t hash = name_hash(zone), member = name_hash(name), old;
	struct zone_row *row = &names->zones[hash % ZONES];
	unsigned i;

	if (row->hash != hash) {
		memset(row, 0, sizeof(*row));
		row->hash = hash;
	}
	for (i = 0; i < FRONT_VERIFIED_PER_ZONE; i++)
		if (row->names[i] == member)
			return 0;
	old = row->names[row->next];
	row->names[row->next] = member;
	row->next = (row->next + 1) % FRONT_VERIFIED_PER_ZONE;
	return old;
}

/* All sources of a name that has lost its place; under the lock. */
static void forget_name(struct front *f, uint64_t hash)
{
	struct name_row *row = &f->names->rows[hash % NAMES];
	unsigned i;

	if (!hash || row->hash != hash)
		return;
	for (i = 0; i < FRONT_VERIFIED_PER_NAME; i++)
		forget(f->verified, &row->sources[i]);
	memset(row, 0, sizeof(*row));
}

int front_verify_source(struct front *f, const struct in6_addr *ip, const char *name, const char *zone, uint32_t ms)
{
	struct verified entry = { .until_ns = until_ns(ms) };
	struct source_key key, old;
	bool replaces;

	if (f->verified < 0)
		return 0;
	source_of(ip, &key);
	if (!ms)
		return forget(f->verified, &key);
	snprintf(entry.name, sizeof(entry.name), "%s", name);
	front_lock(f);
	forget_name(f, take_zone_place(f->names, zone, name));
	replaces = take_place(f->names, name, &key, &old);
	front_unlock(f);
	if (replaces)
		forget(f->verified, &old);
	return bpf_map_update_elem(f->verified, &key, &entry, BPF_ANY) ? -errno : 0;
}

/* The front looks into the map only from now on. */
static void mark_blocked_used(struct front *f)
{
	struct front_config config;
	uint32_t zero = 0;

	front_lock(f);
	if (!f->blocked_used && !bpf_map_lookup_elem(f->front_config, &zero, &config)) {
		config.blocked_used = 1;
		bpf_map_update_elem(f->front_config, &zero, &config, BPF_ANY);
		__atomic_store_n(&f->blocked_used, true, __ATOMIC_RELAXED);
	}
	front_unlock(f);
}

int front_block_source(struct front *f, const struct in6_addr *ip, uint32_t ms)
{
	struct blocked entry = { .until_ns = until_ns(ms) };
	struct source_key key;

	if (f->blocked < 0)
		return 0;
	source_of(ip, &key);
	if (!ms)
		return forget(f->blocked, &key);
	if (!__atomic_load_n(&f->blocked_used, __ATOMIC_RELAXED))
		mark_blocked_used(f);
	return bpf_map_update_elem(f->blocked, &key, &entry, BPF_ANY) ? -errno : 0;
}
