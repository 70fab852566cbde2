/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's context.  The default certificates stand in the SSL_CTX itself, so a client that sends no
 * server name, or the default's, costs one table look-up.  For another name the certificates of that name
 * replace them on the connection (SSL_certs_clear and SSL_use_cert_and_key): ten thousand names need ten
 * thousand certificates, but only one SSL_CTX.
 *
 * TLS 1.2 keeps to ECDHE.  CBC suites stand last: an old sender without AEAD would otherwise fall back to
 * clear text, which is worse (RFC 7435); tls.ciphers narrows it.  AES-128 and SHA-256 stand first since they
 * are the cheapest here and as good for mail; a client that asks for ChaCha20 first gets it.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#define DEFAULT_CIPHERS                                                                                                    \
	"ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES128:ECDHE+AES256:!aNULL:!eNULL:!PSK:!SRP:!AESCCM"
#define DEFAULT_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define DEFAULT_GROUPS "X25519:P-256:P-384:P-521:X448"
#define DEFAULT_LIFETIME 7200
#define MAX_CHAIN_BYTES 32768
#define MAX_DEPTH 10

static bool is_default(const struct tls_server *s, const struct tls_served *served)
{
	return !memcmp(served, tls_certs_default(s->certs), sizeof(*served));
}

static bool use_served(SSL *ssl, const struct tls_server *s, const struct tls_served *served)
{
	SSL_certs_clear(ssl);
	for (int i = 0; i < TLS_KEY_TYPES; i++) {
		const struct tls_cert *c = tls_certs_at(s->certs, served->cert[i]);

		if (c && SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) != 1)
			return false;
	}
	return true;
}

/* An unknown name gets the default and no alert, not even a warning: RFC 7672 8.1. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *s = arg;
	struct tls *t = tls_of(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_served *served = name ? tls_certs_find(s->certs, name) : NULL;

	t->sni_unknown = name && !served;
	if (!served || is_default(s, served))
		return SSL_TLSEXT_ERR_OK;
	if (!use_served(ssl, s, served)) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	t->served = served;
	return SSL_TLSEXT_ERR_OK;
}

/* Called only if the client sent the extension.  The client's order decides between the two. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned int inlen,
		   void *arg)
{
	for (unsigned int at = 0; at < inlen; at += 1u + in[at]) {
		const unsigned char *p = in + at + 1;

		if (at + 1u + in[at] > inlen)
			break;
		if ((in[at] == 4 && !memcmp(p, "smtp", 4)) || (in[at] == 5 && !memcmp(p, "esmtp", 5))) {
			*out = p;
			*outlen = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	return tls_tickets_callback(tls_of(ssl)->server->tickets, ssl, name, iv, cipher, mac, encrypt);
}

int tls_refuse(char *err, size_t err_size, const char *what)
{
	char why[160];

	tls_error_take(why, sizeof(why), "refused by OpenSSL");
	snprintf(err, err_size, "%s: %s", what, why);
	return -1;
}

int tls_apply_settings(SSL_CTX *ctx, int min_version, const char *ciphers, const char *ciphersuites, const char *groups, char *err,
		       size_t err_size)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	tls_kernel_set_up(ctx);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* parsing a certificate costs 200 us: a peer gets to send a chain, not a collection */
	SSL_CTX_set_max_cert_list(ctx, MAX_CHAIN_BYTES);
	SSL_CTX_set_verify_depth(ctx, MAX_DEPTH);
	if (!SSL_CTX_set_min_proto_version(ctx, min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION))
		return tls_refuse(err, err_size, "minimum TLS version");
	if (!SSL_CTX_set_cipher_list(ctx, ciphers ? ciphers : DEFAULT_CIPHERS))
		return tls_refuse(err, err_size, "list of TLS 1.2 ciphers");
	if (!SSL_CTX_set_ciphersuites(ctx, ciphersuites ? ciphersuites : DEFAULT_SUITES))
		return tls_refuse(err, err_size, "list of TLS 1.3 cipher suites");
	if (!SSL_CTX_set1_groups_list(ctx, groups ? groups : DEFAULT_GROUPS))
		return tls_refuse(err, err_size, "list of groups");
	return 0;
}

/* Judged later, when the DNS has answered (tls_judge.c); TLS itself has seen that the client holds the key. */
static int take_any_certificate(X509_STORE_CTX *ctx, void *arg)
{
	return 1;
}

static void set_fixed(SSL_CTX *ctx, struct tls_server *s, uint32_t lifetime)
{
	static const unsigned char id[] = "danelaw";

	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	SSL_CTX_set_timeout(ctx, (long)lifetime);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, s);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_cert_verify_callback(ctx, take_any_certificate, NULL);
	tls_carry_set_up(ctx, s);
}

/* What judging clients' chains needs: a context with DANE, and the CAs for the PKIX usages if there are any. */
static int make_judge(struct tls_server *s, const struct tls_server_settings *set, char *err, size_t err_size)
{
	X509_STORE *store;

	s->judge = SSL_CTX_new(TLS_client_method());
	if (!s->judge || !tls_dane_enable(s->judge))
		return tls_refuse(err, err_size, "DANE");
	if (set->client_id_extension && !tls_clientid_server(s->ctx, set->client_id_extension))
		return tls_refuse(err, err_size, "number of the dane_clientid extension");
	if (!set->client_ca_pem)
		return 0;
	store = tls_store_new(set->client_ca_pem, set->client_ca_len);
	if (!store)
		return tls_refuse(err, err_size, "CAs for clients");
	SSL_CTX_set_cert_store(s->judge, store);
	return 0;
}

/* Key size and digest rules are OpenSSL's security level; they must fail here, not in a handshake. */
static int try_all(const struct tls_server *s, char *err, size_t err_size)
{
	SSL *ssl = SSL_new(s->ctx);
	int ret = ssl ? 0 : -1;

	for (size_t i = 0; !ret && i < tls_certs_count(s->certs); i++) {
		const struct tls_cert *c = tls_certs_at(s->certs, (uint32_t)i);
		char what[200];

		SSL_certs_clear(ssl);
		if (SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1)
			continue;
		snprintf(what, sizeof(what), "certificate \"%s\"", c->label);
		ret = tls_refuse(err, err_size, what);
	}
	SSL_free(ssl);
	return ret;
}

static int set_default_chains(struct tls_server *s, char *err, size_t err_size)
{
	const struct tls_served *d = tls_certs_default(s->certs);

	for (int i = 0; i < TLS_KEY_TYPES; i++) {
		const struct tls_cert *c = tls_certs_at(s->certs, d->cert[i]);

		if (c && SSL_CTX_use_cert_and_key(s->ctx, c->leaf, c->key, c->chain, 1) != 1)
			return tls_refuse(err, err_size, "default certificate");
	}
	return 0;
}

int tls_server_new(const struct tls_server_settings *set, struct tls_server **out, char *err, size_t err_size)
{
	uint32_t lifetime = set->ticket_lifetime_s ? set->ticket_lifetime_s : DEFAULT_LIFETIME;
	struct tls_server *s;

	*out = NULL;
	if (!set->identity_count || (set->ticket_secret && set->ticket_secret_len < 32)) {
		snprintf(err, err_size, set->identity_count ? "the ticket secret has fewer than 32 bytes" : "no certificate");
		return -1;
	}
	s = calloc(1, sizeof(*s));
	assert(s);
	s->refs = 1;
	s->certs = tls_certs_new(set->identities, set->identity_count, err, err_size);
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert(s->ctx);
	s->tickets = tls_tickets_new(set->ticket_secret, set->ticket_secret_len, lifetime, set->clock);
	s->clock = set->clock;
	set_fixed(s->ctx, s, lifetime);
	if (!s->certs ||
	    tls_apply_settings(s->ctx, set->min_version, set->ciphers, set->ciphersuites, set->groups, err, err_size) ||
	    try_all(s, err, err_size) || set_default_chains(s, err, err_size) || make_judge(s, set, err, err_size)) {
		tls_server_unref(s);
		return -1;
	}
	*out = s;
	return 0;
}

struct tls_server *tls_server_ref(struct tls_server *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void tls_server_unref(struct tls_server *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	SSL_CTX_free(s->ctx);
	SSL_CTX_free(s->judge);
	tls_certs_unref(s->certs);
	tls_tickets_free(s->tickets);
	free(s);
}
