/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/bench/fast_keys.h"

#include <string.h>
#include <sys/types.h>

#include "tests/bench/util.h"

enum { BLOCK = 128 };

static EVP_PKEY *our_key;
static EVP_PKEY_CTX *exchange;
static EVP_CIPHER *aes;
static uint8_t our_share[32], empty_hash[HASH], derived_early[HASH];

static void
hmac(const uint8_t *key, size_t key_len, const void *data, size_t len, uint8_t out[HASH])
{
	uint8_t pad[BLOCK] = { 0 };
	SHA512_CTX c;

	memcpy(pad, key, key_len); /* never longer than a hash here */
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36;
	SHA384_Init(&c);
	SHA384_Update(&c, pad, BLOCK);
	SHA384_Update(&c, data, len);
	SHA384_Final(out, &c);
	for (int i = 0; i < BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA384_Init(&c);
	SHA384_Update(&c, pad, BLOCK);
	SHA384_Update(&c, out, HASH);
	SHA384_Final(out, &c);
}

/* HKDF-Expand-Label for at most one block. */
static void
expand(const uint8_t secret[HASH], const char *label, const uint8_t *context, size_t context_len, uint8_t *out, size_t len)
{
	uint8_t info[4 + 32 + HASH + 1], block[HASH];
	size_t n = strlen(label), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)len;
	info[at++] = (uint8_t)(6 + n);
	memcpy(info + at, "tls13 ", 6);
	memcpy(info + at + 6, label, n);
	at += 6 + n;
	info[at++] = (uint8_t)context_len;
	if (context_len)
		memcpy(info + at, context, context_len);
	at += context_len;
	info[at++] = 1;
	hmac(secret, HASH, info, at, block);
	memcpy(out, block, len);
}

static void
set_up(void)
{
	static const uint8_t zero[HASH];
	uint8_t early[HASH];
	size_t len = sizeof(our_share);

	our_key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	exchange = our_key ? EVP_PKEY_CTX_new_from_pkey(NULL, our_key, NULL) : NULL;
	if (!aes || !exchange || EVP_PKEY_derive_init(exchange) != 1 ||
	    EVP_PKEY_get_raw_public_key(our_key, our_share, &len) != 1)
		util_die("X25519");
	SHA384((const uint8_t *)"", 0, empty_hash);
	hmac(zero, HASH, zero, HASH, early);
	expand(early, "derived", empty_hash, HASH, derived_early, HASH);
}

const uint8_t *
fast_keys_share(void)
{
	if (!our_key)
		set_up();
	return our_share;
}

int
fast_keys_handshake(const uint8_t peer_share[32], const uint8_t hello[HASH], uint8_t secret[HASH], uint8_t client[HASH],
		    uint8_t server[HASH])
{
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer_share, 32);
	uint8_t shared[32];
	size_t len = sizeof(shared);
	int ok = peer && EVP_PKEY_derive_set_peer_ex(exchange, peer, 0) == 1 && EVP_PKEY_derive(exchange, shared, &len) == 1;

	EVP_PKEY_free(peer);
	if (!ok)
		return -1;
	hmac(derived_early, HASH, shared, sizeof(shared), secret);
	expand(secret, "c hs traffic", hello, HASH, client, HASH);
	expand(secret, "s hs traffic", hello, HASH, server, HASH);
	return 0;
}

void
fast_keys_application(const uint8_t secret[HASH], const uint8_t finished[HASH], uint8_t client[HASH], uint8_t server[HASH])
{
	static const uint8_t zero[HASH];
	uint8_t derived[HASH], master[HASH];

	expand(secret, "derived", empty_hash, HASH, derived, HASH);
	hmac(derived, HASH, zero, HASH, master);
	expand(master, "c ap traffic", finished, HASH, client, HASH);
	expand(master, "s ap traffic", finished, HASH, server, HASH);
}

void
fast_keys_finished(const uint8_t traffic[HASH], const uint8_t transcript[HASH], uint8_t out[HASH])
{
	uint8_t key[HASH];

	expand(traffic, "finished", NULL, 0, key, HASH);
	hmac(key, HASH, transcript, HASH, out);
}

void
fast_keys_set(struct fast_keys *k, const uint8_t traffic[HASH], int encrypt)
{
	uint8_t key[32];

	expand(traffic, "key", NULL, 0, key, sizeof(key));
	expand(traffic, "iv", NULL, 0, k->iv, sizeof(k->iv));
	k->sequence = 0;
	if (!k->ctx)
		k->ctx = EVP_CIPHER_CTX_new();
	if (!k->ctx || EVP_CipherInit_ex2(k->ctx, aes, key, NULL, encrypt, NULL) != 1)
		util_die("AES-256-GCM");
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
