/* SPDX-License-Identifier: BSD-2-Clause */
/* fast_keys: the key schedule of RFC 8446 section 7 and record protection, for the two AES suites of TLS 1.3. */
#ifndef DANELAW_BENCH_FAST_KEYS_H
#define DANELAW_BENCH_FAST_KEYS_H

#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_* and SHA384_* by name: EVP looks algorithms up at each use */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

enum { HASH_MAX = 48, TAG = 16, RECORD_HEAD = 5, RECORD_MAX = 16384 };

/* TLS_AES_128_GCM_SHA256 or TLS_AES_256_GCM_SHA384. */
struct fast_suite;

/* A hash that goes on while its value so far is asked for. */
struct fast_hash {
	const struct fast_suite *suite;
	union {
		SHA256_CTX sha256;
		SHA512_CTX sha384;
	};
};

/* One direction's protection. */
struct fast_keys {
	EVP_CIPHER_CTX *ctx;
	uint64_t sequence;
	uint8_t iv[12];
};

/* The suite of that number (RFC 8446 B.4), NULL if it is not one of ours; how long its hash is, in octets. */
const struct fast_suite *fast_suite_find(uint16_t number);
size_t fast_suite_hash_len(const struct fast_suite *suite);

void fast_hash_begin(struct fast_hash *h, const struct fast_suite *suite);
void fast_hash_add(struct fast_hash *h, const void *data, size_t len);
void fast_hash_now(const struct fast_hash *h, uint8_t out[HASH_MAX]);

/* The client's public X25519 key, made once. */
const uint8_t *fast_keys_share(void);
/* Handshake secret and the two traffic secrets; hello: hash of both hellos.  0, or -1 for an impossible share. */
int fast_keys_handshake(const struct fast_suite *suite, const uint8_t peer_share[32], const uint8_t *hello,
			uint8_t secret[HASH_MAX], uint8_t client[HASH_MAX], uint8_t server[HASH_MAX]);
void fast_keys_application(const struct fast_suite *suite, const uint8_t *secret, const uint8_t *finished,
			   uint8_t client[HASH_MAX], uint8_t server[HASH_MAX]);
/* What a Finished message carries. */
void fast_keys_finished(const struct fast_suite *suite, const uint8_t *traffic, const uint8_t *transcript,
			uint8_t out[HASH_MAX]);

void fast_keys_set(struct fast_keys *k, const struct fast_suite *suite, const uint8_t *traffic, int encrypt);
/* Writes a whole record to out (len + RECORD_HEAD + 1 + TAG octets); its length. */
size_t fast_keys_seal(struct fast_keys *k, uint8_t type, const void *data, size_t len, uint8_t *out);
/* Decrypts a record's payload in place; the length of what is inside, its type in *type; -1: not genuine. */
ssize_t fast_keys_open(struct fast_keys *k, uint8_t *record, size_t payload, uint8_t *type);
void fast_keys_clear(struct fast_keys *k);

#endif
