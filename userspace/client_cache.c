/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys are compared whole: a hash that a stranger could make collide would hand one client the verdict of another.
 * The hash only finds the bucket, and its seed is random, so that nobody can fill one bucket on purpose.
 */
#include "userspace/client_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct entry {
	struct entry *chain;
	struct entry *newer, *older; /* by last use */
	uint64_t until_ms;
	struct client_judgement judgement;
	size_t len;
	uint8_t key[];
};

struct client_cache {
	size_t max, count, mask;
	uint64_t seed;
	struct entry *newest, *oldest;
	struct entry *buckets[];
};

void client_key_set(struct client_key *k, const uint8_t cert_sha256[32], const char *ehlo, const char *client_id)
{
	size_t e = strnlen(ehlo ? ehlo : "", DANE_NAME_MAX - 1), i = strnlen(client_id, 255);

	memcpy(k->bytes, cert_sha256, 32);
	memcpy(k->bytes + 32, ehlo ? ehlo : "", e);
	k->bytes[32 + e] = '\0';
	memcpy(k->bytes + 33 + e, client_id, i);
	k->len = 33 + e + i;
}

struct client_cache *client_cache_new(size_t max)
{
	size_t buckets = 16;

	while (buckets < max)
		buckets *= 2;
	struct client_cache *c = calloc(1, sizeof(*c) + buckets * sizeof(c->buckets[0]));

	if (!c)
		return NULL;
	c->max = max;
	c->mask = buckets - 1;
	if (getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
		c->seed = (uint64_t)(uintptr_t)c;
	return c;
}

static struct entry **bucket(struct client_cache *c, const uint8_t *key, size_t len)
{
	uint64_t h = c->seed ^ 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ key[i]) * 0x100000001b3ull;
	return &c->buckets[(h ^ h >> 32) & c->mask];
}

static void unlink_age(struct client_cache *c, struct entry *e)
{
	*(e->newer ? &e->newer->older : &c->newest) = e->older;
	*(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct client_cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

static void drop(struct client_cache *c, struct entry *e)
{
	struct entry **at = bucket(c, e->key, e->len);

	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	unlink_age(c, e);
	c->count--;
	free(e);
}

static struct entry *find(struct client_cache *c, const struct client_key *k)
{
	struct entry *e = *bucket(c, k->bytes, k->len);

	while (e && (e->len != k->len || memcmp(e->key, k->bytes, k->len) != 0))
		e = e->chain;
	return e;
}

bool client_cache_find(struct client_cache *c, const struct client_key *k, uint64_t now_ms, struct client_judgement *out)
{
	struct entry *e = find(c, k);

	if (!e)
		return false;
	if (e->until_ms <= now_ms) {
		drop(c, e);
		return false;
	}
	unlink_age(c, e);
	link_newest(c, e);
	*out = e->judgement;
	out->cached = true;
	out->ttl = (uint32_t)((e->until_ms - now_ms) / 1000);
	return true;
}

void client_cache_put(struct client_cache *c, const struct client_key *k, uint64_t now_ms, const struct client_judgement *j)
{
	struct entry *e = find(c, k), **head;

	if (e)
		drop(c, e);
	if (!j->ttl || !c->max)
		return;
	if (c->count == c->max)
		drop(c, c->oldest);
	e = malloc(sizeof(*e) + k->len);
	if (!e)
		return; /* it will be asked again */
	e->until_ms = now_ms + (uint64_t)j->ttl * 1000;
	e->judgement = *j;
	e->len = k->len;
	memcpy(e->key, k->bytes, k->len);
	head = bucket(c, e->key, e->len);
	e->chain = *head;
	*head = e;
	link_newest(c, e);
	c->count++;
}

size_t client_cache_count(const struct client_cache *c)
{
	return c->count;
}

void client_cache_free(struct client_cache *c)
{
	while (c && c->oldest)
		drop(c, c->oldest);
	free(c);
}
