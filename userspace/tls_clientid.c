/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dane_clientid extension of draft-ietf-dance-client-auth-13, section 7: "opaque ClientName<0..2^8-1>", empty in
 * CertificateRequest, the full owner name of the client's TLSA records in Certificate.  It has no number yet, hence
 * the caller's.  TLS 1.3 only, as the draft says; the contexts below exist nowhere else.
 */
#include "userspace/tls_internal.h"

#include <stdlib.h>
#include <string.h>

#define WHERE (SSL_EXT_TLS1_3_CERTIFICATE_REQUEST | SSL_EXT_TLS1_3_CERTIFICATE)

/* ---- the server asks and reads ---- */

static int ask(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out, size_t *outlen, X509 *x, size_t chainidx,
	       int *alert, void *arg)
{
	static const unsigned char empty[1] = { 0 };

	if (!(context & SSL_EXT_TLS1_3_CERTIFICATE_REQUEST))
		return 0;
	*out = empty;
	*outlen = sizeof(empty);
	return 1;
}

/* An owner name: printable, no quoting, no final dot.  What the DNS room makes of it is its own matter. */
static bool is_name(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] >= 127 || p[i] == '\\' || p[i] == '"')
			return false;
	return len && p[len - 1] != '.';
}

static int read_answer(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in, size_t len, X509 *x, size_t chainidx,
		       int *alert, void *arg)
{
	struct tls *t = tls_of(ssl);

	/* a zero-length name is a violation, and any failure is told by this one alert (draft, 8.2) */
	if (len < 2 || in[0] != len - 1 || !is_name(in + 1, len - 1)) {
		*alert = SSL_AD_HANDSHAKE_FAILURE;
		return 0;
	}
	if (chainidx == 0 && !t->client_id)
		t->client_id = strndup((const char *)in + 1, len - 1);
	return 1;
}

bool tls_clientid_server(SSL_CTX *ctx, uint16_t number)
{
	return SSL_CTX_add_custom_ext(ctx, number, WHERE, ask, NULL, NULL, read_answer, NULL) == 1;
}

/* ---- the client answers if it was asked ---- */

static int answer(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out, size_t *outlen, X509 *x, size_t chainidx,
		  int *alert, void *arg)
{
	const char *name = arg;
	size_t len = strlen(name);
	unsigned char *data;

	if (!(context & SSL_EXT_TLS1_3_CERTIFICATE) || chainidx != 0)
		return 0;
	data = malloc(len + 1);
	if (!data) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return -1;
	}
	data[0] = (unsigned char)len;
	memcpy(data + 1, name, len);
	*out = data;
	*outlen = len + 1;
	return 1;
}

static void answered(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *out, void *arg)
{
	free((void *)out);
}

static int read_question(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in, size_t len, X509 *x,
			 size_t chainidx, int *alert, void *arg)
{
	if (!(context & SSL_EXT_TLS1_3_CERTIFICATE_REQUEST))
		return 1;
	if (len != 1 || in[0]) {
		*alert = SSL_AD_HANDSHAKE_FAILURE;
		return 0;
	}
	return 1;
}

bool tls_clientid_client(SSL_CTX *ctx, uint16_t number, const char *name)
{
	return strlen(name) <= 255 && is_name((const unsigned char *)name, strlen(name)) &&
	       SSL_CTX_add_custom_ext(ctx, number, WHERE, answer, answered, (void *)name, read_question, NULL) == 1;
}
