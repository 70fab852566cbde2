/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judging a client's chain after the handshake, with the same engine that judges servers: a scratch SSL that
 * never connects holds the records, and a verification of purpose "sslclient" looks at them
 * (X509_STORE_CTX_set0_dane; libssl does no other thing for a server's chain).
 */
#include "userspace/tls_internal.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

void tls_ask_certificate(struct tls *t)
{
	t->asked = true;
	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_num_tickets(t->ssl, 0);
}

static void failed(struct tls_judgement *out, const char *text)
{
	out->verdict = TLS_JUDGE_FAILED;
	snprintf(out->text, sizeof(out->text), "%s", text);
	ERR_clear_error();
}

static bool set_up(X509_STORE_CTX *ctx, SSL *scratch, struct tls *t, X509 *leaf, const char *const *names, size_t name_count)
{
	X509_STORE *store = SSL_CTX_get_cert_store(t->server->judge);

	if (!X509_STORE_CTX_init(ctx, store, leaf, SSL_get_peer_cert_chain(t->ssl)) || !X509_STORE_CTX_set_default(ctx, "ssl_client"))
		return false;
	X509_STORE_CTX_set0_dane(ctx, SSL_get0_dane(scratch));
	return tls_dane_names(X509_STORE_CTX_get0_param(ctx), names, name_count);
}

void tls_judge_client(struct tls *t, const struct dane_record *records, size_t record_count, const char *const *names,
		      size_t name_count, struct tls_judgement *out)
{
	X509 *leaf = SSL_get0_peer_certificate(t->ssl);
	X509_STORE_CTX *ctx;
	SSL *scratch;
	int usable;

	*out = (struct tls_judgement){ .verdict = TLS_NO_CERTIFICATE, .record = -1, .depth = -1 };
	if (!leaf) {
		snprintf(out->text, sizeof(out->text), "the client showed no certificate");
		return;
	}
	ctx = X509_STORE_CTX_new();
	scratch = SSL_new(t->server->judge);
	usable = ctx && scratch ? tls_dane_load(scratch, records, record_count, DANE_USAGES_CLIENT) : -1;
	if (usable < 0) {
		failed(out, "OpenSSL failed to load the records");
	} else if (!usable) {
		out->verdict = TLS_NO_MATCH;
		snprintf(out->text, sizeof(out->text), "no usable TLSA record");
	} else if (!set_up(ctx, scratch, t, leaf, names, name_count)) {
		failed(out, "OpenSSL failed to set up the verification");
	} else {
		tls_dane_conclude(scratch, ctx, X509_verify_cert(ctx) == 1, records, record_count, out);
	}
	X509_STORE_CTX_free(ctx);
	SSL_free(scratch);
}
