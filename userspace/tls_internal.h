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
#include "userspace/tls_client.h"
#include "userspace/tls_judge.h"
#include "userspace/tls_ktls.h"

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
	SSL_CTX *judge; /* where the scratch connections come from that hold a client's records */
	time_t (*clock)(void);
	int refs;
};

/* The options, lists and versions that both ends share; 0 or -1 with a sentence in err. */
int tls_apply_settings(SSL_CTX *ctx, int min_version, const char *ciphers, const char *ciphersuites, const char *groups, char *err,
		       size_t err_size);
/* "what: why", the why from the error queue; always -1. */
int tls_refuse(char *err, size_t err_size, const char *what);

/* ---- tls_client.c ---- */

struct tls_client {
	SSL_CTX *ctx;
	X509_STORE *ca; /* NULL: none */
	uint8_t ca_sha256[32];
	char *client_id;
	int refs;
};

/* What the server is judged by, of one connection. */
struct tls_verify {
	enum tls_mode mode;
	bool inspect;
	size_t count;
	struct dane_record *records; /* copies, data behind them; for pins: data is the digest */
	struct tls_judgement judgement;
};

/* ---- tls_dane.c ---- */

/* DANE for connections of this context, with digests fetched once; false: OpenSSL cannot. */
bool tls_dane_enable(SSL_CTX *ctx);
/*
 * Records and names into a connection (or a scratch one that never connects).  How many records are usable, or -EIO.
 * usages: bit per usage that may count.
 */
int tls_dane_load(SSL *ssl, const struct dane_record *records, size_t count, unsigned usages);
/* Names of which one must be in the certificate; param is the connection's or the verification's. */
bool tls_dane_names(X509_VERIFY_PARAM *param, const char *const *names, size_t count);
/* Turns the end of X509_verify_cert() into a judgement; dane: holds the records, NULL without DANE. */
void tls_dane_conclude(SSL *dane, X509_STORE_CTX *ctx, bool ok, const struct dane_record *records, size_t count,
		       struct tls_judgement *out);
X509_STORE *tls_store_new(const char *pem, size_t len); /* NULL: a certificate cannot be read, or none is there */

/* ---- tls_peer.c ---- */

bool tls_sha256(const void *data, size_t len, uint8_t out[32]);
/* SHA-256 of the SubjectPublicKeyInfo; false: it cannot be encoded. */
bool tls_spki_sha256(X509 *x, uint8_t out[32]);
struct tls_peer *tls_peer_read(X509 *x, const char *client_id);

/* ---- tls_clientid.c ---- */

bool tls_clientid_server(SSL_CTX *ctx, uint16_t number);
bool tls_clientid_client(SSL_CTX *ctx, uint16_t number, const char *name);

/* ---- tls_carry.c ---- */

void tls_carry_set_up(SSL_CTX *ctx, struct tls_server *s);

/* ---- tls.c ---- */

struct tls {
	SSL *ssl;
	struct fifo *out;
	const uint8_t *in; /* ciphertext not read yet */
	size_t in_left;
	struct tls_server *server;
	const struct tls_served *served;
	struct tls_client *client;
	struct tls_verify *verify;
	struct tls_peer *peer;	     /* read when asked for */
	char *client_id;	     /* what the peer said in dane_clientid */
	struct tls_carried *carried; /* by the ticket of a resumed session */
	struct tls_keys *keys;	     /* NULL: no switch to the kernel is wanted */
	char *error; /* malloc'd, NULL: none */
	struct tls_facts facts;
	bool failed, facts_known, sni_unknown, asked;
};

/* ---- tls_ktls.c ---- */

void tls_kernel_set_up(SSL_CTX *ctx);
/* OpenSSL takes this ciphertext. */
void tls_kernel_saw(struct tls_keys *k, const uint8_t *data, size_t len);

/* ---- tls_bio.c ---- */

/* A BIO over t->in and t->out; NULL when out of memory. */
BIO *tls_bio_new(struct tls *t);
/* The connection an SSL of ours belongs to. */
struct tls *tls_of(const SSL *ssl);

/* ---- tls_error.c ---- */

/* The sentence for what the error queue holds, which is empty afterwards; fallback when it holds nothing. */
void tls_error_take(char *text, size_t size, const char *fallback);

#endif
