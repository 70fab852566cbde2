/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session ticket keys from a shared secret and the hour: key(h) = HKDF-SHA256(secret, "danelaw ticket" h).
 * The nodes of a cluster and the processes before and after an upgrade then agree without talking to each
 * other, and nothing has to be rotated by hand.  The current hour encrypts; accepted are the hours before it
 * that a ticket's lifetime can reach into, and the next one, for a node whose clock runs ahead.
 *
 * Keys are derived once an hour and kept; a context may be used by several threads, hence the mutex, held
 * for a copy of 80 bytes.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#define NAME_LEN 16
#define MAX_HOURS 26 /* a day of lifetime, the current hour and the next */

struct key {
	uint8_t name[NAME_LEN];
	uint8_t aes[32];
	uint8_t mac[32];
};
_Static_assert(sizeof(struct key) == 80, "the derived bytes are taken as the struct");

struct tls_tickets {
	time_t (*clock)(void);
	EVP_CIPHER *cipher;
	uint8_t *secret;
	size_t secret_len;
	int64_t hours_back;
	pthread_mutex_t lock;
	int64_t hour;		    /* keys[1] is this one's; 0: none derived yet */
	struct key keys[MAX_HOURS]; /* [0] the next hour, [1] the current, [2...] back in time */
};

static uint8_t process_secret[32];
static pthread_once_t process_once = PTHREAD_ONCE_INIT;

static void make_process_secret(void)
{
	int ok = RAND_bytes(process_secret, sizeof(process_secret));

	assert(ok == 1);
}

static time_t system_clock(void)
{
	return time(NULL);
}

struct tls_tickets *tls_tickets_new(const uint8_t *secret, size_t len, uint32_t lifetime_s, time_t (*clock)(void))
{
	struct tls_tickets *k = calloc(1, sizeof(*k));

	assert(k);
	if (!secret) {
		pthread_once(&process_once, make_process_secret);
		secret = process_secret;
		len = sizeof(process_secret);
	}
	k->clock = clock ? clock : system_clock;
	k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	k->secret = malloc(len);
	assert(k->cipher && k->secret);
	memcpy(k->secret, secret, len);
	k->secret_len = len;
	k->hours_back = ((int64_t)lifetime_s + 3599) / 3600;
	if (k->hours_back > MAX_HOURS - 2)
		k->hours_back = MAX_HOURS - 2;
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

void tls_tickets_free(struct tls_tickets *k)
{
	if (!k)
		return;
	pthread_mutex_destroy(&k->lock);
	EVP_CIPHER_free(k->cipher);
	OPENSSL_cleanse(k->secret, k->secret_len);
	free(k->secret);
	OPENSSL_cleanse(k->keys, sizeof(k->keys));
	free(k);
}

static bool derive(const struct tls_tickets *k, int64_t hour, struct key *out)
{
	return tls_derive(k->secret, k->secret_len, "danelaw ticket", (uint64_t)hour, (uint8_t *)out, sizeof(*out));
}

/* Under the lock.  Almost always there is nothing to do; a new hour costs one derivation, not all. */
static bool keys_for(struct tls_tickets *k, int64_t hour)
{
	size_t count = (size_t)k->hours_back + 2;

	if (k->hour == hour)
		return true;
	if (k->hour + 1 == hour) {
		memmove(&k->keys[1], &k->keys[0], (count - 1) * sizeof(k->keys[0]));
		if (!derive(k, hour + 1, &k->keys[0])) {
			k->hour = 0;
			return false;
		}
		k->hour = hour;
		return true;
	}
	k->hour = 0;
	for (size_t i = 0; i < count; i++)
		if (!derive(k, hour + 1 - (int64_t)i, &k->keys[i]))
			return false;
	k->hour = hour;
	return true;
}

/* Copies the key out: the current one, or that with the name given.  Its index in keys[], negative: none. */
static int find_key(struct tls_tickets *k, const uint8_t *name, struct key *out)
{
	int64_t hour = (int64_t)k->clock() / 3600;
	int count = (int)k->hours_back + 2, found = -1;

	pthread_mutex_lock(&k->lock);
	if (keys_for(k, hour)) {
		if (!name)
			found = 1;
		for (int i = 0; name && found < 0 && i < count; i++)
			if (!memcmp(k->keys[i].name, name, NAME_LEN))
				found = i;
		if (found >= 0)
			*out = k->keys[found];
	}
	pthread_mutex_unlock(&k->lock);
	return found;
}

static bool set_up(const struct tls_tickets *k, const struct key *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
		   EVP_MAC_CTX *mac, int encrypt)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex(cipher, k->cipher, NULL, key->aes, iv, encrypt) == 1 && EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): -1 error, 0 not our key, 1 fine, 2 fine and send a new ticket. */
int tls_tickets_callback(struct tls_tickets *k, SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
			 EVP_MAC_CTX *mac, int encrypt)
{
	struct key key;
	int index = find_key(k, encrypt ? NULL : name, &key), ret;

	if (index < 0)
		return encrypt ? -1 : 0;
	if (encrypt) {
		memcpy(name, key.name, NAME_LEN);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(k->cipher)) != 1)
			index = -1;
	}
	if (index < 0 || !set_up(k, &key, iv, cipher, mac, encrypt))
		ret = -1;
	else if (encrypt)
		ret = 1;
	else /* TLS 1.3 tickets should be used once (RFC 8446 C.4), so each resumption brings the next one */
		ret = SSL_version(ssl) >= TLS1_3_VERSION || index > 1 ? 2 : 1;
	OPENSSL_cleanse(&key, sizeof(key));
	return ret;
}
