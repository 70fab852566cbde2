/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection, whichever end it is.  OpenSSL's results become four: done, feed me, the peer said goodbye,
 * failed.  The error queue belongs to the thread: it is emptied when something failed, and looked at (which
 * costs a few ns) before each call, since emptying it every time costs more than a small record.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

static void clean_queue(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

struct tls *tls_accept_new(struct tls_server *server, struct fifo *out)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;

	assert(t);
	t->out = out;
	t->server = tls_server_ref(server);
	t->served = tls_certs_default(server->certs);
	t->ssl = SSL_new(server->ctx);
	bio = tls_bio_new(t);
	assert(t->ssl && bio);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_accept_state(t->ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	tls_kernel_forget(t);
	SSL_free(t->ssl);
	tls_server_unref(t->server);
	tls_client_unref(t->client);
	free(t->verify);
	free(t->peer);
	free(t->client_id);
	free(t->carried);
	free(t->error);
	free(t);
}

void tls_input(struct tls *t, const uint8_t *data, size_t len)
{
	t->in = data;
	t->in_left = len;
}

size_t tls_input_left(const struct tls *t)
{
	return t->in_left;
}

static enum tls_result fail(struct tls *t, const char *fallback)
{
	char text[200];

	tls_error_take(text, sizeof(text), fallback);
	t->failed = true;
	if (!t->error)
		t->error = strdup(text);
	return TLS_FAILED;
}

/* What a call of OpenSSL's that returned ret <= 0 means. */
static enum tls_result outcome(struct tls *t, int ret)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_INPUT;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	default:
		return fail(t, "TLS failed without a reason");
	}
}

enum tls_result tls_handshake(struct tls *t)
{
	int ret;

	if (t->failed)
		return TLS_FAILED;
	clean_queue();
	ret = SSL_do_handshake(t->ssl);
	return ret == 1 ? TLS_DONE : outcome(t, ret);
}

/* Fills as much as the ciphertext at hand yields, so that a body costs one call a buffer, not one a record. */
enum tls_result tls_read(struct tls *t, uint8_t *data, size_t size, size_t *got)
{
	size_t n;

	*got = 0;
	if (t->failed)
		return TLS_FAILED;
	clean_queue();
	while (*got < size) {
		if (SSL_read_ex(t->ssl, data + *got, size - *got, &n) == 1) {
			*got += n;
			continue;
		}
		if (!*got)
			return outcome(t, 0);
		/* what stopped it is found again by the next call: an end stays an end, an error is kept */
		if (SSL_get_error(t->ssl, 0) == SSL_ERROR_SSL)
			fail(t, "TLS failed without a reason");
		break;
	}
	return TLS_DONE;
}

enum tls_result tls_write(struct tls *t, const uint8_t *data, size_t len)
{
	size_t n;

	if (t->failed)
		return TLS_FAILED;
	if (!len)
		return TLS_DONE;
	clean_queue();
	if (SSL_write_ex(t->ssl, data, len, &n) == 1)
		return TLS_DONE;
	return fail(t, "cannot write");
}

void tls_close_notify(struct tls *t)
{
	if (t->failed || !SSL_is_init_finished(t->ssl))
		return;
	clean_queue();
	SSL_shutdown(t->ssl);
	clean_queue();
}

const char *tls_error(const struct tls *t)
{
	return t->error ? t->error : "";
}

/* ---- facts ---- */

static const char *group_name(SSL *ssl)
{
	long nid = SSL_get_negotiated_group(ssl);

	switch (nid) {
	case NID_undef:
		return "";
	case NID_X25519:
		return "X25519";
	case NID_X9_62_prime256v1:
		return "P-256";
	case NID_secp384r1:
		return "P-384";
	case NID_secp521r1:
		return "P-521";
	default:
		return nid & TLSEXT_nid_unknown || !OBJ_nid2sn((int)nid) ? "" : OBJ_nid2sn((int)nid);
	}
}

static const char *served_label(const struct tls *t)
{
	const X509 *leaf = SSL_get_certificate(t->ssl);
	const struct tls_cert *c;

	for (int i = 0; i < TLS_KEY_TYPES; i++) {
		c = tls_certs_at(t->server->certs, t->served->cert[i]);
		if (c && c->leaf == leaf)
			return c->label;
	}
	return "";
}

/* The protocol chosen, as a string that needs no memory: there are only two. */
static const char *alpn_name(SSL *ssl)
{
	const unsigned char *p;
	unsigned int len;

	SSL_get0_alpn_selected(ssl, &p, &len);
	return len == 4 ? "smtp" : len == 5 ? "esmtp" : "";
}

const struct tls_facts *tls_facts(const struct tls *t)
{
	struct tls_facts *f = (struct tls_facts *)&t->facts; /* filled at the first question */
	const char *sni;

	if (t->facts_known)
		return f;
	sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	*f = (struct tls_facts){
		.version = SSL_get_version(t->ssl),
		.cipher = SSL_get_cipher_name(t->ssl),
		.group = group_name(t->ssl),
		.sni = sni ? sni : "",
		.alpn = alpn_name(t->ssl),
		.certificate = t->server ? served_label(t) : "",
		.sni_unknown = t->sni_unknown,
		.resumed = SSL_session_reused(t->ssl) == 1,
		.peer_cert = SSL_get0_peer_certificate(t->ssl) != NULL,
	};
	if (SSL_is_init_finished(t->ssl))
		((struct tls *)t)->facts_known = true;
	return f;
}
