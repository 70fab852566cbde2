/* SPDX-License-Identifier: BSD-2-Clause */
/* A chained hash under a few locks, its places chosen by a keyed hash, so that nobody can pile sources up in one. */
#include "userspace/sources.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { LOCKS = 64 };

struct source {
	struct source *next;
	uint64_t who[2];
	unsigned sessions;
	bool blocked; /* the front was told */
};

struct sources {
	unsigned limit;
	struct front *front;
	uint64_t secret[2];
	size_t mask; /* places less one; a power of two, at least LOCKS */
	pthread_mutex_t locks[LOCKS];
	struct source *places[];
};

struct sources *sources_new(unsigned limit, size_t sessions, struct front *front)
{
	size_t places = LOCKS;
	struct sources *s;

	while (places < sessions)
		places *= 2;
	s = calloc(1, sizeof(*s) + places * sizeof(s->places[0]));
	if (!s)
		return NULL;
	s->limit = limit;
	s->front = front;
	s->mask = places - 1;
	if (getrandom(s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
		s->secret[0] = (uint64_t)(uintptr_t)s; /* places that can be foreseen are still places */
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&s->locks[i], NULL);
	return s;
}

void sources_free(struct sources *s)
{
	struct source *at, *next;

	if (!s)
		return;
	for (size_t i = 0; i <= s->mask; i++)
		for (at = s->places[i]; at; at = next) {
			next = at->next;
			free(at);
		}
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&s->locks[i]);
	free(s);
}

static void who_is(const struct in6_addr *ip, uint64_t who[2])
{
	who[1] = 0;
	memcpy(who, ip->s6_addr, net_is_v4(ip) ? 16 : 8);
}

/* Murmur3's finalizer, keyed before and between. */
static size_t place_of(const struct sources *s, const uint64_t who[2])
{
	uint64_t h = who[0] ^ s->secret[0];

	for (int i = 0; i < 2; i++) {
		h ^= h >> 33;
		h *= 0xff51afd7ed558ccdull;
		h ^= h >> 33;
		h *= 0xc4ceb9fe1a85ec53ull;
		h ^= h >> 33;
		h ^= i ? 0 : who[1] ^ s->secret[1];
	}
	return h & s->mask;
}

/* The link that leads to the source, or to the end of its chain. */
static struct source **find(struct sources *s, size_t place, const uint64_t who[2])
{
	struct source **link = &s->places[place];

	while (*link && memcmp((*link)->who, who, sizeof((*link)->who)))
		link = &(*link)->next;
	return link;
}

/* Under the lock, so that the front hears of a source's ups and downs in their order. */
static void tell_front(struct sources *s, struct source *source, const struct in6_addr *ip, bool block)
{
	if (!s->front || (!block && !source->blocked))
		return;
	front_block_source(s->front, ip, block ? SOURCES_BLOCK_MS : 0);
	source->blocked = block;
}

static struct source *add(struct source **link, const uint64_t who[2])
{
	struct source *source = calloc(1, sizeof(*source));

	if (source)
		memcpy(source->who, who, sizeof(source->who));
	*link = source;
	return source;
}

static bool take_locked(struct sources *s, size_t place, const uint64_t who[2], const struct in6_addr *ip)
{
	struct source **link = find(s, place, who), *source = *link;

	if (!source)
		source = add(link, who);
	if (!source)
		return false;
	if (source->sessions >= s->limit && !(s->front && front_skips_limits(s->front, ip))) {
		tell_front(s, source, ip, true); /* it got here, so the front has forgotten */
		return false;
	}
	source->sessions++;
	if (source->sessions == s->limit)
		tell_front(s, source, ip, true);
	return true;
}

bool sources_take(struct sources *s, const struct in6_addr *ip)
{
	uint64_t who[2];
	size_t place;
	bool taken;

	who_is(ip, who);
	place = place_of(s, who);
	pthread_mutex_lock(&s->locks[place % LOCKS]);
	taken = take_locked(s, place, who, ip);
	pthread_mutex_unlock(&s->locks[place % LOCKS]);
	return taken;
}

void sources_release(struct sources *s, const struct in6_addr *ip)
{
	struct source **link, *source;
	uint64_t who[2];
	size_t place;

	who_is(ip, who);
	place = place_of(s, who);
	pthread_mutex_lock(&s->locks[place % LOCKS]);
	link = find(s, place, who);
	source = *link;
	source->sessions--;
	if (source->sessions < s->limit)
		tell_front(s, source, ip, false);
	if (!source->sessions) {
		*link = source->next;
		free(source);
	}
	pthread_mutex_unlock(&s->locks[place % LOCKS]);
}

unsigned sources_count(struct sources *s, const struct in6_addr *ip)
{
	struct source *source;
	uint64_t who[2];
	unsigned count;
	size_t place;

	who_is(ip, who);
	place = place_of(s, who);
	pthread_mutex_lock(&s->locks[place % LOCKS]);
	source = *find(s, place, who);
	count = source ? source->sessions : 0;
	pthread_mutex_unlock(&s->locks[place % LOCKS]);
	return count;
}
