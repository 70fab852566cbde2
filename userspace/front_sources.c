/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon tells the front about sources: these are verified, those hold enough connections.
 *
 * The lane of verified sources must not be something that one proven name can fill, nor one zone, whose owner can
 * make any number of names: each name has a few places for sources, each zone a few for names, and one more takes
 * the place of the oldest, with all its sources.  The tables are of a fixed size: a name or zone has four rows to be
 * in, by its hash; where all are taken the one used longest ago goes, with all that it had entered, so that nothing
 * is in the map that no row knows of.  The hash is seeded: nobody can choose names that meet there.
 *
 * The map outlives the daemon, the rows do not: a start fills them anew from the names in the map.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "userspace/dane.h"

enum { WAYS = 4 };

struct name_row {
	uint64_t hash, used; /* hash 0: free; used: names->clock then */
	uint32_t next; /* place of the oldest */
	struct source_key sources[FRONT_VERIFIED_PER_NAME];
};

struct zone_row {
	uint64_t hash, used;
	uint32_t next;
	uint64_t names[FRONT_VERIFIED_PER_ZONE]; /* their hashes */
};

struct front_names {
	pthread_mutex_t lock;
	uint64_t seed, clock;
	struct name_row rows[FRONT_VERIFIED_NAMES];
	struct zone_row zones[FRONT_VERIFIED_ZONES];
};

struct front_names *front_names_new(void)
{
	struct front_names *names = calloc(1, sizeof(*names));

	if (!names)
		return NULL;
	pthread_mutex_init(&names->lock, NULL);
	if (getrandom(&names->seed, sizeof(names->seed), 0) != sizeof(names->seed))
		names->seed = (uint64_t)(uintptr_t)names;
	return names;
}

void front_names_free(struct front_names *names)
{
	if (!names)
		return;
	pthread_mutex_destroy(&names->lock);
	free(names);
}

/* Around changes of front_config and of names.  Workers stand here, so nobody holds it for more than a few system calls. */
static void lock(struct front *f)
{
	pthread_mutex_lock(&f->names->lock);
}

static void unlock(struct front *f)
{
	pthread_mutex_unlock(&f->names->lock);
}

int front_change_config(struct front *f, front_config_change *change, const void *to)
{
	struct front_config config;
	uint32_t zero = 0;
	int code = 0;

	lock(f);
	if (bpf_map_lookup_elem(f->front_config, &zero, &config)) {
		code = -errno;
	} else {
		change(f, &config, to);
		if (bpf_map_update_elem(f->front_config, &zero, &config, BPF_ANY))
			code = -errno;
	}
	unlock(f);
	return code;
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
	return front_now_ns() + (uint64_t)ms * 1000000;
}

static void source_of(const struct in6_addr *ip, struct source_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->ip, ip->s6_addr, net_is_v4(ip) ? 16 : 8);
}

static bool is_verified(const struct front *f, const struct in6_addr *ip)
{
	struct source_key key;
	struct verified entry;

	source_of(ip, &key);
	return !bpf_map_lookup_elem(f->verified, &key, &entry) && entry.until_ns > front_now_ns();
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
	return !failed && (!rule.until_ns || rule.until_ns > front_now_ns());
}

static bool is_allowed_by_file(const struct front *f, const struct in6_addr *ip)
{
	struct allow_key key = { .prefixlen = 8 + 128 };
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

/* FNV-1a from a secret start. */
static uint64_t name_hash(const struct front_names *names, const char *name)
{
	uint64_t hash = names->seed ^ 0xcbf29ce484222325ull;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ull;
	hash ^= hash >> 32;
	return hash ? hash : 1;
}

/* ---- rows, all under the lock ---- */

/* All sources of a name lose their places. */
static void empty_name(struct front *f, struct name_row *row)
{
	static const struct source_key none;

	for (unsigned i = 0; i < FRONT_VERIFIED_PER_NAME; i++)
		if (memcmp(&row->sources[i], &none, sizeof(none)))
			forget(f->verified, &row->sources[i]);
	memset(row, 0, sizeof(*row));
}

static void forget_name(struct front *f, uint64_t hash)
{
	struct name_row *set = &f->names->rows[hash % (FRONT_VERIFIED_NAMES / WAYS) * WAYS];

	for (unsigned i = 0; hash && i < WAYS; i++)
		if (set[i].hash == hash)
			empty_name(f, &set[i]);
}

/* The row of a name; a new one takes that of the name used longest ago. */
static struct name_row *name_row(struct front *f, uint64_t hash)
{
	struct name_row *set = &f->names->rows[hash % (FRONT_VERIFIED_NAMES / WAYS) * WAYS], *row = set;

	for (unsigned i = 0; i < WAYS && row->hash != hash; i++)
		if (set[i].hash == hash || set[i].used < row->used)
			row = &set[i];
	if (row->hash != hash)
		empty_name(f, row);
	row->hash = hash;
	row->used = ++f->names->clock;
	return row;
}

/* The same for a zone; with a zone go all its names. */
static struct zone_row *zone_row(struct front *f, uint64_t hash)
{
	struct zone_row *set = &f->names->zones[hash % (FRONT_VERIFIED_ZONES / WAYS) * WAYS], *row = set;

	for (unsigned i = 0; i < WAYS && row->hash != hash; i++)
		if (set[i].hash == hash || set[i].used < row->used)
			row = &set[i];
	for (unsigned i = 0; row->hash != hash && i < FRONT_VERIFIED_PER_ZONE; i++)
		forget_name(f, row->names[i]);
	if (row->hash != hash)
		memset(row, 0, sizeof(*row));
	row->hash = hash;
	row->used = ++f->names->clock;
	return row;
}

/* Remembers the source under its name; the oldest may have to go for it. */
static void take_place(struct front *f, uint64_t name, const struct source_key *key)
{
	static const struct source_key none;
	struct name_row *row = name_row(f, name);

	for (unsigned i = 0; i < FRONT_VERIFIED_PER_NAME; i++)
		if (!memcmp(&row->sources[i], key, sizeof(*key)))
			return;
	if (memcmp(&row->sources[row->next], &none, sizeof(none)))
		forget(f->verified, &row->sources[row->next]);
	row->sources[row->next] = *key;
	row->next = (row->next + 1) % FRONT_VERIFIED_PER_NAME;
}

/* The same for a name in its zone. */
static void take_zone_place(struct front *f, uint64_t zone, uint64_t name)
{
	struct zone_row *row = zone_row(f, zone);

	for (unsigned i = 0; i < FRONT_VERIFIED_PER_ZONE; i++)
		if (row->names[i] == name)
			return;
	forget_name(f, row->names[row->next]);
	row->names[row->next] = name;
	row->next = (row->next + 1) % FRONT_VERIFIED_PER_ZONE;
}

int front_verify_source(struct front *f, const struct in6_addr *ip, const char *name, const char *zone, uint32_t ms)
{
	struct verified entry = { .until_ns = until_ns(ms) };
	struct source_key key;
	int ret;

	if (f->verified < 0)
		return 0;
	source_of(ip, &key);
	if (!ms)
		return forget(f->verified, &key);
	snprintf(entry.name, sizeof(entry.name), "%s", name);
	lock(f);
	take_zone_place(f, name_hash(f->names, zone), name_hash(f->names, name));
	take_place(f, name_hash(f->names, name), &key);
	/* under the lock too: another thread's newcomer may be about to push this one out */
	ret = bpf_map_update_elem(f->verified, &key, &entry, BPF_ANY) ? -errno : 0;
	unlock(f);
	return ret;
}

/* ---- after a restart ---- */

struct recalled {
	struct source_key key;
	struct verified entry;
};

struct recall {
	struct front *f;
	struct recalled *at;
	size_t count, room;
	bool failed;
};

/* Nothing that front_verify_source() could have written. */
static bool is_by_hand(const struct verified *entry, uint64_t now)
{
	char name[DANE_NAME_MAX];

	return entry->until_ns > now + UINT32_MAX * 1000000ull || dane_name_host(entry->name, name) || strcmp(entry->name, name);
}

static bool recall_one(void *ctx, const void *key, const void *value)
{
	struct recalled one = { *(const struct source_key *)key, *(const struct verified *)value };
	struct recall *r = ctx;
	uint64_t now = front_now_ns();

	one.entry.name[sizeof(one.entry.name) - 1] = 0;
	if (one.entry.until_ns > now && is_by_hand(&one.entry, now))
		return true;
	/* a name that fills its place may be the head of a longer one, and nobody knows of which */
	if (one.entry.until_ns <= now || strlen(one.entry.name) == sizeof(one.entry.name) - 1) {
		forget(r->f->verified, &one.key);
		return true;
	}
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		struct recalled *more = realloc(r->at, room * sizeof(*more));

		r->failed = !more;
		if (!more)
			return false;
		r->at = more;
		r->room = room;
	}
	r->at[r->count++] = one;
	return true;
}

static int by_end(const void *a, const void *b)
{
	uint64_t x = ((const struct recalled *)a)->entry.until_ns, y = ((const struct recalled *)b)->entry.until_ns;

	return (x > y) - (x < y);
}

int front_recall_verified(struct front *f, const struct front_settings *set, struct front_err err)
{
	struct recall r = { .f = f };
	int code = front_each_row(f->verified, recall_one, &r);

	if (r.count)
		qsort(r.at, r.count, sizeof(*r.at), by_end);
	lock(f);
	for (size_t i = 0; i < r.count; i++) {
		const char *name = r.at[i].entry.name, *zone = set->zone_of ? set->zone_of(set->zone_ctx, name) : name;

		take_zone_place(f, name_hash(f->names, zone), name_hash(f->names, name));
		take_place(f, name_hash(f->names, name), &r.at[i].key);
	}
	unlock(f);
	free(r.at);
	code = r.failed ? -ENOMEM : code;
	return code ? front_fail(err, code, "cannot read the front's verified lane: %s", strerror(-code)) : 0;
}

static void set_blocked_used(const struct front *f, struct front_config *config, const void *to)
{
	config->blocked_used = 1;
}

/* The front looks into the map only from now on. */
static void mark_blocked_used(struct front *f)
{
	if (!front_change_config(f, set_blocked_used, NULL))
		__atomic_store_n(&f->blocked_used, true, __ATOMIC_RELAXED);
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

size_t front_sweep(struct front *f)
{
	const int maps[] = { f->deny4, f->deny6, f->allow4, f->allow6 };
	size_t i, gone = 0;

	for (i = 0; f->deny4 >= 0 && i < sizeof(maps) / sizeof(*maps); i++)
		gone += front_sweep_rules(maps[i]);
	return gone;
}
