/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/bench/fast_keys.h"

#include <string.h>
#include <sys/types.h>

#include "tests/bench/util.h"

enum { BLOCK_MAX = 128 };

struct fast_suite {
	uint16_t number;
	size_t hash, block, key; /* octets */
	const char *cipher_name;
	EVP_CIPHER *cipher;
	uint8_t empty[HASH_MAX];	 /* hash of nothing */
	uint8_t derived_early[HASH_MAX]; /* the key schedule as far as it is the same for all without a PSK */
};

static struct fast_suite suites[] = {
	{ .number = 0x1301, .hash = 32, .block = 64, .key = 16, .cipher_name = "AES-128-GCM" },
	{ .number = 0x1302, .hash = 48, .block = 128, .key = 32, .cipher_name = "AES-256-GCM" },
};
enum { SUITES = sizeof(suites) / sizeof(suites[0]) };

static EVP_PKEY *our_key;
static EVP_PKEY_CTX *exchange;
static uint8_t our_share[32];

const struct fast_suite *
fast_suite_find(uint16_t number)
{
	for (int i = 0; i < SUITES; i++)
		if (suites[i].number == number)
			return &suites[i];
	return NULL;
}

size_t
fast_suite_hash_len(const struct fast_suite *suite)
{
	return suite->hash;
}

void
fast_hash_begin(struct fast_hash *h, const struct fast_suite *suite)
{
	h->suite = suite;
	if (suite->hash == 32)
		SHA256_Init(&h->sha256);
	else
		SHA384_Init(&h->sha384);
}

void
fast_hash_add(struct fast_hash *h, const void *data, size_t len)
{
	if (h->suite->hash == 32)
		SHA256_Update(&h->sha256, data, len);
	else
		SHA384_Update(&h->sha384, data, len);
}

void
fast_hash_now(const struct fast_hash *h, uint8_t out[HASH_MAX])
{
	struct fast_hash copy = *h;

	if (h->suite->hash == 32)
		SHA256_Final(out, &copy.sha256);
	else
		SHA384_Final(out, &copy.sha384);
}

static void
hmac(const struct fast_suite *suite, const uint8_t *key, const void *data, size_t len, uint8_t out[HASH_MAX])
{
	uint8_t pad[BLOCK_MAX] = { 0 };
	struct fast_hash h;

	memcpy(pad, key, suite->hash); /* all keys here are as long as a hash */
	for (size_t i = 0; i < suite->block; i++)
		pad[i] ^= 0x36;
	fast_hash_begin(&h, suite);
	fast_hash_add(&h, pad, suite->block);
	fast_hash_add(&h, data, len);
	fast_hash_now(&h, out);
	for (size_t i = 0; i < suite->block; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	fast_hash_begin(&h, suite);
	fast_hash_add(&h, pad, suite->block);
	fast_hash_add(&h, out, suite->hash);
	fast_hash_now(&h, out);
}

/* HKDF-Expand-Label for at most one block; the context is a hash or nothing. */
static void
expand(const struct fast_suite *suite, const uint8_t *secret, const char *label, const uint8_t *context, uint8_t *out, size_t len)
{
	uint8_t info[4 + 32 + HASH_MAX + 1], block[HASH_MAX];
	size_t n = strlen(label), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)len;
	info[at++] = (uint8_t)(6 + n);
	memcpy(info + at, "tls13 ", 6);
	memcpy(info + at + 6, label, n);
	at += 6 + n;
	info[at++] = (uint8_t)(context ? suite->hash : 0);
	if (context) {
		memcpy(info + at, context, suite->hash);
		at += suite->hash;
	}
	info[at++] = 1;
	hmac(suite, secret, info, at, block);
	memcpy(out, block, len);
}

static void
set_up_suite(struct fast_suite *suite)
{
	static const uint8_t zero[HASH_MAX];
	uint8_t early[HASH_MAX];
	struct fast_hash h;

	suite->cipher = EVP_CIPHER_fetch(NULL, suite->cipher_name, NULL);
	if (!suite->cipher)
		util_die(suite->cipher_name);
	fast_hash_begin(&h, suite);
	fast_hash_now(&h, suite->empty);
	hmac(suite, zero, zero, suite->hash, early);
	expand(suite, early, "derived", suite->empty, suite->derived_early, suite->hash);
}

static void
set_up(void)
{
	size_t len = sizeof(our_share);

	for (int i = 0; i < SUITES; i++)
		set_up_suite(&suites[i]);
	our_key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	exchange = our_key ? EVP_PKEY_CTX_new_from_pkey(NULL, our_key, NULL) : NULL;
	if (!exchange || EVP_PKEY_derive_init(exchange) != 1 || EVP_PKEY_get_raw_public_key(our_key, our_share, &len) != 1)
		util_die("X25519");
}

const uint8_t *
fast_keys_share(void)
{
	if (!our_key)
		set_up();
	return our_share;
}

int
fast_keys_handshake(const struct fast_suite *suite, const uint8_t peer_share[32], const uint8_t *hello,
		    uint8_t secret[HASH_MAX], uint8_t client[HASH_MAX], uint8_t server[HASH_MAX])
{
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer_share, 32);
	uint8_t shared[32];
	size_t len = sizeof(shared);
	int ok = peer && EVP_PKEY_derive_set_peer_ex(exchange, peer, 0) == 1 && EVP_PKEY_derive(exchange, shared, &len) == 1;

	EVP_PKEY_free(peer);
	if (!ok)
		return -1;
	hmac(suite, suite->derived_early, shared, sizeof(shared), secret);
	expand(suite, secret, "c hs traffic", hello, client, suite->hash);
	expand(suite, secret, "s hs traffic", hello, server, suite->hash);
	return 0;
}

void
fast_keys_application(const struct fast_suite *suite, const uint8_t *secret, const uint8_t *finished,
		      uint8_t client[HASH_MAX], uint8_t server[HASH_MAX])
{
	static const uint8_t zero[HASH_MAX];
	uint8_t derived[HASH_MAX], master[HASH_MAX];

	expand(suite, secret, "derived", suite->empty, derived, suite->hash);
	hmac(suite, derived, zero, suite->hash, master);
	expand(suite, master, "c ap traffic", finished, client, suite->hash);
	expand(suite, master, "s ap traffic", finished, server, suite->hash);
}

void
fast_keys_finished(const struct fast_suite *suite, const uint8_t *traffic, const uint8_t *transcript, uint8_t out[HASH_MAX])
{
	uint8_t key[HASH_MAX];

	expand(suite, traffic, "finished", NULL, key, suite->hash);
	hmac(suite, key, transcript, suite->hash, out);
}

void
fast_keys_set(struct fast_keys *k, const struct fast_suite *suite, const uint8_t *traffic, int encrypt)
{
	uint8_t key[32];

	expand(suite, traffic, "key", NULL, key, suite->key);
	expand(suite, traffic, "iv", NULL, k->iv, sizeof(k->iv));
	k->sequence = 0;
	if (!k->ctx)
		k->ctx = EVP_CIPHER_CTX_new();
	if (!k->ctx || EVP_CipherInit_ex2(k->ctx, suite->cipher, key, NULL, encrypt, NULL) != 1)
		util_die(suite->cipher_name);
}

static void
next_nonce(struct fast_keys *k)
{
	uint8_t nonce[12];

	memcpy(nonce, k->iv, sizeof(nonce));
	for (int i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(k->sequence >> (8 * i));
	k->sequence++;
	EVP_CipherInit_ex2(k->ctx, NULL, NULL, nonce, -1, NULL);
}

size_t
fast_keys_seal(struct fast_keys *k, uint8_t type, const void *data, size_t len, uint8_t *out)
{
	size_t payload = len + 1 + TAG;
	int n;

	out[0] = 23;
	out[1] = out[2] = 3;
	out[3] = (uint8_t)(payload >> 8);
	out[4] = (uint8_t)payload;
	next_nonce(k);
	EVP_EncryptUpdate(k->ctx, NULL, &n, out, RECORD_HEAD);
	EVP_EncryptUpdate(k->ctx, out + RECORD_HEAD, &n, data, (int)len);
	EVP_EncryptUpdate(k->ctx, out + RECORD_HEAD + len, &n, &type, 1);
	EVP_EncryptFinal_ex(k->ctx, out, &n);
	EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out + RECORD_HEAD + len + 1);
	return RECORD_HEAD + payload;
}

ssize_t
fast_keys_open(struct fast_keys *k, uint8_t *record, size_t payload, uint8_t *type)
{
	uint8_t *data = record + RECORD_HEAD;
	size_t len = payload - TAG;
	int n;

	if (payload <= TAG)
		return -1;
	next_nonce(k);
	EVP_DecryptUpdate(k->ctx, NULL, &n, record, RECORD_HEAD);
	EVP_DecryptUpdate(k->ctx, data, &n, data, (int)len);
	EVP_CIPHER_CTX_ctrl(k->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, data + len);
	if (EVP_DecryptFinal_ex(k->ctx, data + len, &n) != 1)
		return -1;
	while (len && data[len - 1] == 0)
		len--; /* padding */
	if (!len)
		return -1;
	*type = data[len - 1];
	return (ssize_t)len - 1;
}

void
fast_keys_clear(struct fast_keys *k)
{
	EVP_CIPHER_CTX_free(k->ctx);
}
