/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/tls_peer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* ---- certificates ---- */

static EVP_PKEY *new_key(enum made_key type)
{
	EVP_PKEY *key;

	switch (type) {
	case MADE_RSA:
		key = EVP_RSA_gen(2048);
		break;
	case MADE_ED25519:
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	default:
		key = EVP_EC_gen("P-256");
	}
	assert(key);
	return key;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert(ext);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
}

static void add_names(X509 *x, const char *dns)
{
	char text[4096] = "", *copy = strdup(dns), *at = copy, *name;

	while ((name = strsep(&at, " ")))
		if (*name) {
			strcat(text, *text ? ",DNS:" : "DNS:");
			strcat(text, name);
		}
	free(copy);
	extend(x, x, NID_subject_alt_name, text);
}

static char *text_of(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	text = strndup(data, (size_t)len);
	BIO_free(bio);
	return text;
}

static void write_pem(struct made *m, const struct made_spec *spec)
{
	BIO *chain = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	const struct made *issuer = spec->issuer;

	PEM_write_bio_X509(chain, m->cert);
	if (issuer && (spec->send_root || X509_check_issued(issuer->cert, issuer->cert) != X509_V_OK))
		BIO_puts(chain, issuer->chain_pem);
	PEM_write_bio_PrivateKey(key, m->key, NULL, NULL, 0, NULL, NULL);
	m->chain_pem = text_of(chain);
	m->key_pem = text_of(key);
}

struct made *made_new(const struct made_spec *spec)
{
	static long serial = 1000;
	struct made *m = calloc(1, sizeof(*m));
	X509 *x = X509_new(), *issuer = spec->issuer ? spec->issuer->cert : x;
	EVP_PKEY *signer;
	char basic[64] = "critical,CA:TRUE";

	m->key = spec->use_key ? spec->use_key : new_key(spec->key);
	if (spec->use_key)
		EVP_PKEY_up_ref(m->key);
	m->cert = x;
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), spec->from_s || spec->to_s ? spec->from_s : -60);
	X509_gmtime_adj(X509_getm_notAfter(x), spec->from_s || spec->to_s ? spec->to_s : 86400);
	if (spec->cn)
		X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)spec->cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	X509_set_pubkey(x, m->key);
	if (spec->dns)
		add_names(x, spec->dns);
	if (spec->pathlen > 0)
		snprintf(basic, sizeof(basic), "critical,CA:TRUE,pathlen:%d", spec->pathlen - 1);
	extend(x, issuer, NID_basic_constraints, spec->ca ? basic : "critical,CA:FALSE");
	extend(x, issuer, NID_subject_key_identifier, "hash");
	if (spec->issuer)
		extend(x, issuer, NID_authority_key_identifier, "keyid");
	if (spec->eku)
		extend(x, issuer, NID_ext_key_usage, spec->eku);
	if (spec->constraints)
		extend(x, issuer, NID_name_constraints, spec->constraints);
	signer = spec->issuer ? spec->issuer->key : m->key;
	X509_sign(x, signer, EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256());
	write_pem(m, spec);
	return m;
}

void made_free(struct made *m)
{
	if (!m)
		return;
	EVP_PKEY_free(m->key);
	X509_free(m->cert);
	free(m->chain_pem);
	free(m->key_pem);
	free(m);
}

struct tls_identity made_identity(const struct made *m, const char *label)
{
	return (struct tls_identity){
		.label = label,
		.chain_pem = m->chain_pem,
		.chain_len = strlen(m->chain_pem),
		.key_pem = m->key_pem,
		.key_len = strlen(m->key_pem),
	};
}

size_t made_association(const struct made *m, int selector, int mtype, uint8_t out[4096])
{
	unsigned char *der = NULL;
	int n = selector ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(m->cert), &der) : i2d_X509(m->cert, &der);
	unsigned int len = (unsigned int)n;

	assert(n > 0 && n <= 4096);
	if (mtype)
		EVP_Digest(der, (size_t)n, out, &len, mtype == 1 ? EVP_sha256() : EVP_sha512(), NULL);
	else
		memcpy(out, der, (size_t)n);
	OPENSSL_free(der);
	return len;
}

/* ---- a peer over memory ---- */

static void on_info(const SSL *ssl, int where, int ret)
{
	struct peer *p = SSL_get_app_data(ssl);

	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT)
		p->alert = ret;
}

void peer_init(struct peer *p, bool server)
{
	memset(p, 0, sizeof(*p));
	p->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	p->owns_ctx = true;
	SSL_CTX_set_info_callback(p->ctx, on_info);
	SSL_CTX_set_session_id_context(p->ctx, (const unsigned char *)"peer", 4);
	p->ssl = NULL;
}

void peer_show(struct peer *p, const struct made *m)
{
	BIO *bio = BIO_new_mem_buf(m->chain_pem, -1);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	SSL_CTX_use_certificate(p->ctx, x);
	X509_free(x);
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		SSL_CTX_add0_chain_cert(p->ctx, x);
	BIO_free(bio);
	SSL_CTX_use_PrivateKey(p->ctx, m->key);
	ERR_clear_error();
}

void peer_start(struct peer *p)
{
	p->ssl = SSL_new(p->ctx);
	SSL_set_app_data(p->ssl, p);
	SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (SSL_is_server(p->ssl))
		SSL_set_accept_state(p->ssl);
	else
		SSL_set_connect_state(p->ssl);
}

void peer_clear(struct peer *p)
{
	SSL_free(p->ssl);
	if (p->owns_ctx)
		SSL_CTX_free(p->ctx);
	memset(p, 0, sizeof(*p));
}

size_t peer_take(struct peer *p, uint8_t **buf)
{
	char *data;
	long len = BIO_get_mem_data(SSL_get_wbio(p->ssl), &data);

	*buf = malloc((size_t)len + 1);
	if (len > 0)
		memcpy(*buf, data, (size_t)len);
	(void)BIO_reset(SSL_get_wbio(p->ssl));
	return (size_t)len;
}

void peer_give(struct peer *p, const void *data, size_t len)
{
	if (len)
		BIO_write(SSL_get_rbio(p->ssl), data, (int)len);
}

void peer_give_fifo(struct peer *p, struct fifo *f)
{
	struct iovec iov[16];
	int n;

	while ((n = fifo_peek(f, iov, 16)) > 0) {
		size_t total = 0;

		for (int i = 0; i < n; i++) {
			peer_give(p, iov[i].iov_base, iov[i].iov_len);
			total += iov[i].iov_len;
		}
		fifo_consume(f, total);
	}
}

/* One round of bytes to t.  What it did not use of a piece must stand before the next, as in a session. */
static enum tls_result feed(struct tls *t, const uint8_t *data, size_t len, size_t step)
{
	enum tls_result r = tls_handshake(t);
	size_t at = 0, n;

	while (r == TLS_WANT_INPUT && at < len) {
		n = step && step < len - at ? step : len - at;
		tls_input(t, data + at, n);
		r = tls_handshake(t);
		at += n - tls_input_left(t);
		assert(r != TLS_WANT_INPUT || !tls_input_left(t));
	}
	tls_input(t, NULL, 0);
	return r;
}

enum tls_result peer_shake(struct peer *p, struct tls *t, struct fifo *out, size_t step, bool *peer_ok)
{
	enum tls_result r = TLS_WANT_INPUT;
	bool done = false;

	for (int round = 0; round < 12; round++) {
		uint8_t *buf;
		size_t len = 0;

		ERR_clear_error();
		done = SSL_do_handshake(p->ssl) == 1;
		if (r == TLS_WANT_INPUT) { /* what comes behind the handshake stays with the peer for the next peer_take() */
			len = peer_take(p, &buf);
			r = feed(t, buf, len, step);
			free(buf);
		}
		if (!out->len && !len)
			break;
		peer_give_fifo(p, out);
	}
	/* what came behind the peer's handshake: tickets, or the alert of a handshake that failed */
	if (done) {
		char none[1];

		ERR_clear_error();
		SSL_peek(p->ssl, none, 1);
	}
	ERR_clear_error();
	*peer_ok = done;
	return r;
}
