/* SPDX-License-Identifier: BSD-2-Clause */
/* Verdicts kept by one worker: by certificate and names said, until their records end; the least used goes first. */
#ifndef DANELAW_CLIENT_CACHE_H
#define DANELAW_CLIENT_CACHE_H

#include "userspace/client_dane.h"

struct client_cache;

#define CLIENT_KEY_MAX (32 + DANE_NAME_MAX + 256)

/* All that a verdict depends on but the records: the certificate (with its names and its key), EHLO, the extension. */
struct client_key {
	uint8_t bytes[CLIENT_KEY_MAX];
	size_t len;
};
void client_key_set(struct client_key *k, const uint8_t cert_sha256[32], const char *ehlo, const char *client_id);

struct client_cache *client_cache_new(size_t max); /* NULL: out of memory */
void client_cache_free(struct client_cache *c);    /* NULL is fine */
/* Its ttl is what is left of it.  False: nothing is kept. */
bool client_cache_find(struct client_cache *c, const struct client_key *k, uint64_t now_ms, struct client_judgement *out);
/* With j->ttl 0 nothing is kept. */
void client_cache_put(struct client_cache *c, const struct client_key *k, uint64_t now_ms, const struct client_judgement *j);
size_t client_cache_count(const struct client_cache *c);

#endif
