/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verdicts that travel in tickets.  The ticket's application data is sealed with the ticket, so what comes back is
 * what one of us wrote; it is parsed with care all the same, since a later version may have written it.
 *
 *	byte 0		version, 1
 *	byte 1		the caller's verdict
 *	bytes 2..9	expiry, seconds of the epoch, big-endian
 *	the rest	identity, no NUL
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#define HEAD 10

static bool unpack(const uint8_t *data, size_t len, struct tls_carried *out)
{
	uint64_t expires = 0;

	if (len < HEAD || data[0] != 1 || len - HEAD >= sizeof(out->identity))
		return false;
	for (int i = 2; i < HEAD; i++)
		expires = expires << 8 | data[i];
	memset(out, 0, sizeof(*out));
	out->verdict = data[1];
	out->expires = (int64_t)expires;
	memcpy(out->identity, data + HEAD, len - HEAD);
	return true;
}

static size_t pack(const struct tls_carried *c, uint8_t out[HEAD + DANE_NAME_MAX])
{
	size_t len = strlen(c->identity);

	out[0] = 1;
	out[1] = c->verdict;
	for (int i = 0; i < 8; i++)
		out[2 + i] = (uint8_t)((uint64_t)c->expires >> (56 - 8 * i));
	memcpy(out + HEAD, c->identity, len);
	return HEAD + len;
}

static int64_t now(const struct tls_server *s)
{
	return (int64_t)(s->clock ? s->clock() : time(NULL));
}

/* Whether this ticket may resume this connection; what it carries is kept if so. */
static bool acceptable(struct tls *t, SSL_SESSION *session)
{
	struct tls_carried c;
	void *data;
	size_t len;

	free(t->carried); /* of a ticket before it in the same hello */
	t->carried = NULL;
	if (!SSL_SESSION_get0_ticket_appdata(session, &data, &len) || !len)
		return !t->asked;
	if (!unpack(data, len, &c) || c.expires <= now(t->server))
		return false;
	t->carried = malloc(sizeof(*t->carried));
	assert(t->carried);
	*t->carried = c;
	return true;
}

/* SSL_CTX_set_session_ticket_cb(3).  What is not used is replaced by a new ticket. */
static SSL_TICKET_RETURN on_decrypted(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_len,
				      SSL_TICKET_STATUS status, void *arg)
{
	switch (status) {
	case SSL_TICKET_SUCCESS:
		return acceptable(tls_of(ssl), session) ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_IGNORE_RENEW;
	case SSL_TICKET_SUCCESS_RENEW:
		return acceptable(tls_of(ssl), session) ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
	default:
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	}
}

void tls_carry_set_up(SSL_CTX *ctx, struct tls_server *s)
{
	SSL_CTX_set_session_ticket_cb(ctx, NULL, on_decrypted, s);
}

int tls_send_verdict(struct tls *t, const struct tls_carried *c)
{
	uint8_t data[HEAD + DANE_NAME_MAX];
	size_t len = pack(c, data);
	int ret;

	if (t->failed || SSL_version(t->ssl) != TLS1_3_VERSION || !SSL_is_init_finished(t->ssl))
		return -ENOTSUP;
	ERR_clear_error();
	if (SSL_SESSION_set1_ticket_appdata(SSL_get_session(t->ssl), data, len) != 1 || SSL_new_session_ticket(t->ssl) != 1)
		ret = -ENOTSUP;
	else
		ret = SSL_do_handshake(t->ssl) == 1 ? 0 : -ENOTSUP;
	ERR_clear_error();
	return ret;
}

const struct tls_carried *tls_carried(const struct tls *t)
{
	return SSL_session_reused(t->ssl) ? t->carried : NULL;
}
