/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Health has hysteresis both ways: `fall` failures in a row take a backend out, `rise` good probes in a row
 * bring it back.  A whole pool that looks down is not guessed about: sessions get 421 and senders try again.
 */
#include "userspace/backend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/log.h"

struct backend {
	uint32_t sessions; /* atomic */
	uint8_t state;	   /* atomic, enum backend_state */
	uint64_t reached, failed; /* atomic */
	/* under the lock: */
	struct target *target;
	unsigned good_probes;
	unsigned failures; /* also read without it, by sessions that went well: set_failures() */
	char why[BACKEND_WHY_MAX];
	struct smtp_caps caps;
	bool caps_known;
	uint64_t since_ms, target_ms, probe_ms; /* when; 0: never */
	char probe_why[BACKEND_WHY_MAX];
};

struct backends {
	const struct config *cfg;
	pthread_mutex_t lock;
	struct backend each[];
};

const char *backend_state_name(enum backend_state s)
{
	static const char *const names[] = { "unknown", "up", "down", "lookup failed", "unverified", "bogus" };

	return names[s];
}

/* To a few ms: for people. */
static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct backends *backends_new(const struct config *cfg)
{
	struct backends *b = calloc(1, sizeof(*b) + cfg->backend_count * sizeof(b->each[0]));

	if (!b)
		return NULL;
	b->cfg = cfg;
	for (size_t i = 0; i < cfg->backend_count; i++)
		b->each[i].since_ms = now_ms();
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

void backends_free(struct backends *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->cfg->backend_count; i++)
		target_unref(b->each[i].target);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static enum backend_state state_of(const struct backend *e)
{
	return __atomic_load_n(&e->state, __ATOMIC_RELAXED);
}

static bool usable(const struct backend *e)
{
	return state_of(e) == BACKEND_UP || state_of(e) == BACKEND_UNKNOWN;
}

/* ---- choosing ---- */

static bool was_tried(const struct backend_tried *t, size_t i)
{
	return t->bits[i / 64] >> (i % 64) & 1;
}

/* 64-bit finaliser (splitmix64): spreads a weak hash over all bits. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint64_t hash_ip(const struct in6_addr *ip)
{
	uint64_t half[2];

	memcpy(half, ip, sizeof(half));
	return mix(half[0] + 0x9e3779b97f4a7c15u * mix(half[1]));
}

static uint64_t hash_name(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	while (*name)
		h = (h ^ (unsigned char)*name++) * 0x100000001b3u;
	return h;
}

/*
 * -ln of a number in (0, 1) made of a hash's upper bits, in 16.16 fixed point.  Dividing it by the weight gives
 * weighted rendezvous hashing: the smallest wins, each backend in proportion to its weight.
 */
static uint64_t neg_log(uint64_t h)
{
	uint64_t x = (h >> 32) | 1; /* u = x / 2^32 */
	int top = 63 - __builtin_clzll(x);
	uint64_t log2 = (uint64_t)top << 16;
	uint64_t m = x << (63 - top) >> 32; /* mantissa in [2^31, 2^32) */

	for (int bit = 15; bit >= 0; bit--) {
		m = m * m >> 31;
		if (m >> 32) {
			log2 |= 1ull << bit;
			m >>= 1;
		}
	}
	return (32ull << 16) - log2; /* log2 suffices: the base cancels out */
}

/* Smaller is better. */
static uint64_t rank(const struct backends *b, const struct config_pool *pool, size_t i, uint64_t client)
{
	const struct config_backend *cfg = &b->cfg->backends[i];

	if (pool->balance == CONFIG_CLIENT_HASH)
		return (neg_log(mix(client ^ hash_name(cfg->name))) << 16) / cfg->weight;
	uint32_t load = __atomic_load_n(&b->each[i].sessions, __ATOMIC_RELAXED);

	/* equal loads: by the hash, so that an idle farm is not always met at its first backend */
	return ((uint64_t)(load + 1) << 32) / cfg->weight + (mix(client + i) & 0xffff);
}

int backend_pick(struct backends *b, size_t pool_index, const struct in6_addr *client, struct backend_tried *tried)
{
	const struct config_pool *pool = &b->cfg->pools[pool_index];
	uint64_t hash = hash_ip(client), best_rank = UINT64_MAX;
	int best = -1;

	for (size_t k = 0; k < pool->backend_count; k++) {
		size_t i = pool->backends[k];

		if (was_tried(tried, i) || !usable(&b->each[i]))
			continue;
		uint64_t r = rank(b, pool, i, hash);

		if (r < best_rank) {
			best_rank = r;
			best = (int)i;
		}
	}
	if (best >= 0)
		tried->bits[best / 64] |= 1ull << (best % 64);
	return best;
}

void backend_begin(struct backends *b, size_t i)
{
	__atomic_add_fetch(&b->each[i].sessions, 1, __ATOMIC_RELAXED);
}

void backend_end(struct backends *b, size_t i)
{
	__atomic_sub_fetch(&b->each[i].sessions, 1, __ATOMIC_RELAXED);
}

/* ---- health ---- */

/* "PIPELINING SIZE=52428800 …" */
static void caps_text(const struct smtp_caps *caps, char *out, size_t size)
{
	static const char *const names[] = {
#define X(name) #name,
		SMTP_CAPS(X)
#undef X
	};
	size_t len = 0;

	out[0] = 0;
	for (size_t i = 0; i < SMTP_CAP_COUNT && len < size; i++) {
		if (!(caps->have >> i & 1))
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " " : "", names[i]);
		if (i == SMTP_CAP_SIZE && caps->size && len < size)
			len += (size_t)snprintf(out + len, size - len, "=%llu", (unsigned long long)caps->size);
	}
}

static void log_up(const struct backends *b, size_t i)
{
	char caps[256];

	caps_text(&b->each[i].caps, caps, sizeof(caps));
	log_info("backend %s is up (%s:%u; %s)", b->cfg->backends[i].name, b->cfg->backends[i].host, b->cfg->backends[i].port, caps);
}

static void set_state(struct backends *b, size_t i, enum backend_state to)
{
	struct backend *e = &b->each[i];
	enum backend_state from = state_of(e);

	if (from == to)
		return;
	__atomic_store_n(&e->state, to, __ATOMIC_RELAXED);
	e->good_probes = 0;
	e->since_ms = now_ms();
	if (to == BACKEND_UP)
		log_up(b, i);
	else if (to != BACKEND_UNKNOWN)
		log_warn("backend %s is out (%s): %s", b->cfg->backends[i].name, backend_state_name(to), e->why);
}

static void set_failures(struct backend *e, unsigned n)
{
	__atomic_store_n(&e->failures, n, __ATOMIC_RELAXED);
}

static void keep_why(struct backend *e, const char *why)
{
	snprintf(e->why, sizeof(e->why), "%s", why);
}

void backend_failed(struct backends *b, size_t i, const char *why)
{
	struct backend *e = &b->each[i];

	__atomic_add_fetch(&e->failed, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&b->lock);
	e->good_probes = 0;
	set_failures(e, e->failures + 1);
	if (usable(e) || state_of(e) == BACKEND_DOWN)
		keep_why(e, why);
	if (e->failures >= b->cfg->health.fall && usable(e))
		set_state(b, i, BACKEND_DOWN);
	pthread_mutex_unlock(&b->lock);
}

static bool lookup_failed(const struct backend *e)
{
	return state_of(e) == BACKEND_LOOKUP_FAILED || state_of(e) == BACKEND_BOGUS;
}

/* A failed look-up stands over a failed verification: what a probe finds with the records of before says nothing. */
static void out_at_once(struct backends *b, size_t i, enum backend_state to, const char *why)
{
	struct backend *e = &b->each[i];

	__atomic_add_fetch(&e->failed, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&b->lock);
	if (to != BACKEND_UNVERIFIED || !lookup_failed(e)) {
		keep_why(e, why);
		set_state(b, i, to);
	}
	pthread_mutex_unlock(&b->lock);
}

void backend_unverified(struct backends *b, size_t i, const char *why)
{
	out_at_once(b, i, BACKEND_UNVERIFIED, why);
}

void backend_lookup_failed(struct backends *b, size_t i, bool bogus, const char *why)
{
	out_at_once(b, i, bogus ? BACKEND_BOGUS : BACKEND_LOOKUP_FAILED, why);
}

/* ---- targets ---- */

static bool same_duty(const struct target *a, const struct target *b)
{
	return a && a->duty == b->duty && a->key.word[0] == b->key.word[0] && a->key.word[1] == b->key.word[1];
}

void backend_set_target(struct backends *b, size_t i, struct target *t)
{
	struct backend *e = &b->each[i];
	struct target *old;

	pthread_mutex_lock(&b->lock);
	old = e->target;
	e->target = t;
	e->target_ms = now_ms();
	if (lookup_failed(e) || (state_of(e) == BACKEND_UNVERIFIED && !same_duty(old, t)))
		set_state(b, i, BACKEND_UNKNOWN);
	pthread_mutex_unlock(&b->lock);
	target_unref(old);
}

struct target *backend_target(struct backends *b, size_t i)
{
	struct target *t;

	pthread_mutex_lock(&b->lock);
	t = b->each[i].target ? target_ref(b->each[i].target) : NULL;
	pthread_mutex_unlock(&b->lock);
	return t;
}

size_t backend_address(const struct backends *b, size_t i, const struct target *t)
{
	return __atomic_load_n(&b->each[i].failed, __ATOMIC_RELAXED) % t->addr_count;
}

/* ---- probes ---- */

void backend_probed_ok(struct backends *b, size_t i, const struct smtp_caps *caps)
{
	struct backend *e = &b->each[i];

	pthread_mutex_lock(&b->lock);
	e->caps = *caps;
	e->caps_known = true;
	set_failures(e, 0);
	e->good_probes++;
	/* a look-up that failed meanwhile stands; a probe that verified ends a doubt; a row of good ones an outage */
	if (state_of(e) == BACKEND_UNKNOWN || state_of(e) == BACKEND_UNVERIFIED ||
	    (state_of(e) == BACKEND_DOWN && e->good_probes >= b->cfg->health.rise))
		set_state(b, i, BACKEND_UP);
	pthread_mutex_unlock(&b->lock);
}

void backend_note_probe(struct backends *b, size_t i, const char *why)
{
	struct backend *e = &b->each[i];

	pthread_mutex_lock(&b->lock);
	e->probe_ms = now_ms();
	snprintf(e->probe_why, sizeof(e->probe_why), "%s", why ? why : "");
	pthread_mutex_unlock(&b->lock);
}

void backend_reached(struct backends *b, size_t i)
{
	struct backend *e = &b->each[i];

	__atomic_add_fetch(&e->reached, 1, __ATOMIC_RELAXED);
	if (state_of(e) != BACKEND_UP || !__atomic_load_n(&e->failures, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&b->lock);
	set_failures(e, 0);
	pthread_mutex_unlock(&b->lock);
}

bool backend_pool_up(const struct backends *b, size_t pool_index)
{
	const struct config_pool *pool = &b->cfg->pools[pool_index];

	for (size_t k = 0; k < pool->backend_count; k++)
		if (usable(&b->each[pool->backends[k]]))
			return true;
	return false;
}

enum backend_state backend_pool_unverified(const struct backends *b, size_t pool_index)
{
	const struct config_pool *pool = &b->cfg->pools[pool_index];

	for (size_t k = 0; k < pool->backend_count; k++) {
		enum backend_state s = state_of(&b->each[pool->backends[k]]);

		if (s == BACKEND_LOOKUP_FAILED || s == BACKEND_UNVERIFIED || s == BACKEND_BOGUS)
			return s;
	}
	return BACKEND_UNKNOWN;
}

void backend_pool_floor(struct backends *b, size_t pool_index, struct smtp_caps *caps)
{
	const struct config_pool *pool = &b->cfg->pools[pool_index];
	bool any = false;

	*caps = smtp_caps_all;
	pthread_mutex_lock(&b->lock);
	for (size_t k = 0; k < pool->backend_count; k++) {
		const struct backend *e = &b->each[pool->backends[k]];

		if (!e->caps_known || state_of(e) != BACKEND_UP)
			continue;
		smtp_caps_meet(caps, &e->caps);
		any = true;
	}
	pthread_mutex_unlock(&b->lock);
	if (!any)
		memset(caps, 0, sizeof(*caps));
}

/* ---- looking ---- */

size_t backend_count(const struct backends *b)
{
	return b->cfg->backend_count;
}

void backend_get_status(struct backends *b, size_t i, struct backend_status *s)
{
	struct backend *e = &b->each[i];

	s->name = b->cfg->backends[i].name;
	s->state = state_of(e);
	s->sessions = __atomic_load_n(&e->sessions, __ATOMIC_RELAXED);
	s->reached = __atomic_load_n(&e->reached, __ATOMIC_RELAXED);
	s->failed = __atomic_load_n(&e->failed, __ATOMIC_RELAXED);
	pthread_mutex_lock(&b->lock);
	memcpy(s->why, e->why, sizeof(s->why));
	memcpy(s->probe_why, e->probe_why, sizeof(s->probe_why));
	s->caps = e->caps;
	s->caps_known = e->caps_known;
	s->probed = e->probe_ms != 0;
	s->since_ms = now_ms() - e->since_ms;
	s->probe_ms = now_ms() - e->probe_ms;
	s->target_ms = now_ms() - e->target_ms;
	pthread_mutex_unlock(&b->lock);
}
