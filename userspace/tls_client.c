/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client end.  The judgement is made inside the handshake by one callback for all modes, so that a peer
 * which is not the right one gets an alert and never a byte of mail; SSL_CTX's own store stays empty, so
 * nothing can be trusted that the caller did not name.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

/* ---- contexts ---- */

static int load_identity(SSL_CTX *ctx, const struct tls_identity *id, char *err, size_t err_size)
{
	struct tls_certs *certs = tls_certs_new(id, 1, err, err_size);
	const struct tls_cert *c;
	int ret = 0;

	if (!certs)
		return -1;
	c = tls_certs_at(certs, 0);
	if (SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) != 1)
		ret = tls_refuse(err, err_size, "client certificate");
	tls_certs_unref(certs);
	return ret;
}

static int load_trust(struct tls_client *c, const struct tls_client_settings *set, char *err, size_t err_size)
{
	if (!tls_dane_enable(c->ctx))
		return tls_refuse(err, err_size, "DANE");
	if (set->ca_pem) {
		c->ca = tls_store_new(set->ca_pem, set->ca_len);
		if (!c->ca || !tls_sha256(set->ca_pem, set->ca_len, c->ca_sha256))
			return tls_refuse(err, err_size, "CA certificates");
	}
	if (!set->client_id_extension)
		return 0;
	c->client_id = strdup(set->client_id ? set->client_id : "");
	assert(c->client_id);
	if (!tls_clientid_client(c->ctx, set->client_id_extension, c->client_id))
		return tls_refuse(err, err_size, "the dane_clientid extension's number or name");
	return 0;
}

static int judge_in_handshake(X509_STORE_CTX *ctx, void *arg);

int tls_client_new(const struct tls_client_settings *set, struct tls_client **out, char *err, size_t err_size)
{
	struct tls_client *c = calloc(1, sizeof(*c));

	*out = NULL;
	err[0] = '\0';
	assert(c);
	c->refs = 1;
	c->ctx = SSL_CTX_new(TLS_client_method());
	assert(c->ctx);
	ERR_clear_error();
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_cert_verify_callback(c->ctx, judge_in_handshake, NULL);
	if (tls_apply_settings(c->ctx, set->min_version, set->ciphers, set->ciphersuites, set->groups, err, err_size) ||
	    load_trust(c, set, err, err_size) || (set->identity && load_identity(c->ctx, set->identity, err, err_size))) {
		tls_client_unref(c);
		return -1;
	}
	*out = c;
	return 0;
}

struct tls_client *tls_client_ref(struct tls_client *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void tls_client_unref(struct tls_client *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	SSL_CTX_free(c->ctx);
	X509_STORE_free(c->ca);
	free(c->client_id);
	free(c);
}

const uint8_t *tls_client_ca_sha256(const struct tls_client *c)
{
	return c->ca_sha256;
}

/* ---- what the peer is judged by ---- */

/* Records, or pins as records of nothing but data, in one allocation. */
static struct tls_verify *copy_target(const struct tls_target *g)
{
	bool pins = g->mode == TLS_BY_PIN;
	size_t count = pins ? g->pin_count : g->mode == TLS_BY_DANE ? g->record_count : 0, bytes = 0;
	struct tls_verify *v;
	uint8_t *data;

	for (size_t i = 0; i < count; i++)
		bytes += pins ? 32 : g->records[i].len;
	v = calloc(1, sizeof(*v) + count * sizeof(*v->records) + bytes);
	assert(v);
	v->mode = g->mode;
	v->inspect = g->inspect;
	v->count = count;
	v->records = (struct dane_record *)(v + 1);
	v->judgement.record = v->judgement.depth = -1;
	data = (uint8_t *)(v->records + count);
	for (size_t i = 0; i < count; i++) {
		struct dane_record *r = &v->records[i];

		*r = pins ? (struct dane_record){ .len = 32, .data = g->pins[i] } : g->records[i];
		if (r->len)
			memcpy(data, r->data, r->len);
		r->data = data;
		data += r->len;
	}
	return v;
}

static bool names_count(const struct tls_target *g)
{
	for (size_t i = 0; g->mode == TLS_BY_DANE && i < g->record_count; i++)
		if (g->records[i].usage == DANE_TA)
			return true;
	return g->mode == TLS_BY_CA;
}

static int set_up_judgement(struct tls *t, const struct tls_target *g)
{
	int ret;

	if (g->mode == TLS_UNAUTHENTICATED)
		return 0;
	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
	if ((g->mode == TLS_BY_PIN && !g->pin_count) || (g->mode == TLS_BY_CA && !t->client->ca))
		return -EINVAL;
	if (g->mode == TLS_BY_DANE) {
		ret = tls_dane_load(t->ssl, g->records, g->record_count, DANE_USAGES_SMTP);
		if (ret <= 0)
			return ret ? ret : -ENODATA;
	}
	if (g->mode == TLS_BY_CA && SSL_set1_verify_cert_store(t->ssl, t->client->ca) != 1)
		return -EIO;
	if (!names_count(g))
		return 0;
	return g->name_count && tls_dane_names(SSL_get0_param(t->ssl), g->names, g->name_count) ? 0 : -EINVAL;
}

int tls_connect_new(struct tls_client *client, const struct tls_target *target, struct fifo *out, struct tls **result)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;
	int ret;

	assert(t);
	*result = NULL;
	ERR_clear_error();
	t->out = out;
	t->client = tls_client_ref(client);
	t->ssl = SSL_new(client->ctx);
	bio = tls_bio_new(t);
	assert(t->ssl && bio);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_connect_state(t->ssl);
	ret = set_up_judgement(t, target); /* before the name: SSL_dane_enable() sets one of its own */
	if (!ret && target->sni && SSL_set_tlsext_host_name(t->ssl, target->sni) != 1)
		ret = -EINVAL;
	ERR_clear_error();
	if (ret) {
		tls_free(t);
		return ret;
	}
	t->verify = copy_target(target);
	*result = t;
	return 0;
}

/* ---- the judgement ---- */

static bool judge_pin(struct tls_verify *v, X509 *leaf)
{
	uint8_t digest[32];

	if (!tls_spki_sha256(leaf, digest)) {
		v->judgement.verdict = TLS_JUDGE_FAILED;
		return false;
	}
	for (size_t i = 0; i < v->count; i++)
		if (!memcmp(v->records[i].data, digest, 32)) {
			v->judgement.verdict = TLS_MATCH;
			v->judgement.record = (int)i;
			v->judgement.depth = 0;
			return true;
		}
	v->judgement.verdict = TLS_NO_MATCH;
	snprintf(v->judgement.text, sizeof(v->judgement.text), "the key is not one of those pinned");
	return false;
}

static int judge_in_handshake(X509_STORE_CTX *ctx, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = tls_of(ssl);
	struct tls_verify *v = t->verify;
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);

	if (v->mode == TLS_UNAUTHENTICATED)
		return 1;
	if (v->mode == TLS_BY_PIN) {
		if (!judge_pin(v, leaf)) /* the alert that this becomes is bad_certificate */
			X509_STORE_CTX_set_error(ctx, X509_V_ERR_DANE_NO_MATCH);
	} else {
		bool ok = X509_verify_cert(ctx) == 1;

		tls_dane_conclude(v->mode == TLS_BY_DANE ? ssl : NULL, ctx, ok, v->records, v->count, &v->judgement);
	}
	if (v->judgement.verdict == TLS_MATCH)
		return 1;
	if (!t->peer && leaf) /* a handshake that fails keeps no certificate */
		t->peer = tls_peer_read(leaf, NULL);
	return v->inspect;
}

const struct tls_judgement *tls_judgement(const struct tls *t)
{
	static const struct tls_judgement none = { .record = -1, .depth = -1 };

	return t->verify ? &t->verify->judgement : &none;
}
