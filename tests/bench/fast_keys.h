/* SPDX-License-Identifier: BSD-2-Clause */
/* fast_keys: the key schedule of RFC 8446 section 7 for SHA-384, and record protection with AES-256-GCM. */
#ifndef DANELAW_BENCH_FAST_KEYS_H
#define DANELAW_BENCH_FAST_KEYS_H

#define OPENSSL_SUPPRESS_DEPRECATED /* SHA384_* by name: EVP looks algorithms up at each use */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

enum { HASH = 48, TAG = 16, RECORD_HEAD = 5, RECORD_MAX = 16384 };

/* One direction's protection. */
struct fast_keys {
	EVP_CIPHER_CTX *ctx;
	uint64_t sequence;
	uint8_t iv[12];
};

/* The client's public X25519 key, made once. */
const uint8_t *fast_keys_share(void);
/* Handshake secret and the two traffic secrets; hello: hash of both hellos.  0, or -1 for an impossible share. */
int fast_keys_handshake(const uint8_t peer_share[32], const uint8_t hello[HASH], uint8_t secret[HASH],
			uint8_t client[HASH], uint8_t server[HASH]);
void fast_keys_application(const uint8_t secret[HASH], const uint8_t finished[HASH], uint8_t client[HASH],
			   uint8_t server[HASH]);
/* What a Finished message carries. */
void fast_keys_finished(const uint8_t traffic[HASH], const uint8_t transcript[HASH], uint8_t out[HASH]);

void fast_keys_set(struct fast_keys *k, const uint8_t traffic[HASH], int encrypt);
/* Writes a whole record to out (len + RECORD_HEAD + 1 + TAG octets); its length. */
size_t fast_keys_seal(struct fast_keys *k, uint8_t type, const void *data, size_t len, uint8_t *out);
/* Decrypts a record's payload in place; the length of what is inside, its type in *type; -1: not genuine. */
ssize_t fast_keys_open(struct fast_keys *k, uint8_t *record, size_t payload, uint8_t *type);
void fast_keys_clear(struct fast_keys *k);

#endif
