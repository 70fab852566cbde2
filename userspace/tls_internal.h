/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the tls room share.  Nobody else includes this: OpenSSL stays behind tls.h. */
#ifndef DANELAW_TLS_INTERNAL_H
#define DANELAW_TLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "userspace/tls.h"

/* ---- tls_identity.c: parsed certificates, and the table of names that leads to them ---- */

enum tls_key_type { TLS_KEY_EC, TLS_KEY_RSA, TLS_KEY_OTHER, TLS_KEY_TYPES };
#define TLS_NO_IDENTITY UINT32_MAX

struct tls_cert {
	char *label;
	X509 *leaf;
	STACK_OF(X509) *chain; /* without the leaf; its certificates are shared between identities */
	EVP_PKEY *key;
	enum tls_key_type type;
};

/* The identities that are served for one name: at most one of each key type. */
struct tls_served {
	uint32_t cert[TLS_KEY_TYPES]; /* index, TLS_NO_IDENTITY where there is none */
};

struct tls_certs; /* immutable and counted: the contexts of all workers share one */

struct tls_certs *tls_certs_new(const struct tls_identity *identities, size_t count, char *err, size_t err_size);
struct tls_certs *tls_certs_ref(struct tls_certs *c);
void tls_certs_unref(struct tls_certs *c);
const struct tls_cert *tls_certs_at(const struct tls_certs *c, uint32_t index);
size_t tls_certs_count(const struct tls_certs *c);
const struct tls_served *tls_certs_default(const struct tls_certs *c);
/* Exact, then wildcard; NULL: no certificate has that name. */
const struct tls_served *tls_certs_find(const struct tls_certs *c, const char *name);

/* ---- tls_tickets.c ---- */

struct tls_tickets;

struct tls_tickets *tls_tickets_new(const uint8_t *secret, size_t len, uint32_t lifetime_s, time_t (*clock)(void));
void tls_tickets_free(struct tls_tickets *k);
/* The body of OpenSSL's ticket key callback. */
int tls_tickets_callback(struct tls_tickets *k, SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
			 EVP_MAC_CTX *mac, int encrypt);

/* ---- tls_server.c ---- */

struct tls_server {
	SSL_CTX *ctx;
	struct tls_certs *certs;
	struct tls_tickets *tickets;
	int refs;
};

/* ---- tls.c ---- */

struct tls {
	SSL *ssl;
	struct fifo *out;
	const uint8_t *in; /* ciphertext not read yet */
	size_t in_left;
	struct tls_server *server;
	const struct tls_served *served;
	char *error; /* malloc'd, NULL: none */
	struct tls_facts facts;
	bool failed, facts_known, sni_unknown;
};

/* ---- tls_bio.c ---- */

/* A BIO over t->in and t->out; NULL when out of memory. */
BIO *tls_bio_new(struct tls *t);
/* The connection an SSL of ours belongs to. */
struct tls *tls_of(const SSL *ssl);

/* ---- tls_error.c ---- */

/* The sentence for what the error queue holds, which is empty afterwards; fallback when it holds nothing. */
void tls_error_take(char *text, size_t size, const char *fallback);

#endif
