/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OpenSSL's error queue as one sentence for a log line.  What the peer said (an alert) is told apart from
 * what we found, since on an MX "unknown ca" or "bad certificate" from a peer is how a failed DANE check of
 * our own certificate shows.
 */
#include "userspace/tls_internal.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

/* Reasons whose stock wording would mislead whoever reads a mail log. */
static const char *plain_words(int reason)
{
	switch (reason) {
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return "peer speaks HTTP, not TLS";
	case SSL_R_WRONG_VERSION_NUMBER:
		return "not a TLS record (wrong version number)";
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		return "peer offers no TLS version that we allow";
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return "ALPN: peer offers neither smtp nor esmtp";
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		return "connection closed without close_notify";
	default:
		return NULL;
	}
}

/* The queue goes from the cause up: libssl's own word is the clearest, without one it is the cause. */
static unsigned long most_telling(void)
{
	unsigned long last = ERR_peek_last_error();

	return ERR_GET_LIB(last) == ERR_LIB_SSL ? last : ERR_peek_error();
}

void tls_error_take(char *text, size_t size, const char *fallback)
{
	unsigned long e = most_telling();
	int reason = ERR_GET_REASON(e);
	const char *words;

	/* SSL_AD_REASON_OFFSET + n: the peer sent alert n (ssl/record/rec_layer_s3.c). */
	if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
		snprintf(text, size, "peer alert: %s", SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
	} else if (e) {
		words = ERR_GET_LIB(e) == ERR_LIB_SSL ? plain_words(reason) : NULL;
		if (!words)
			words = ERR_reason_error_string(e);
		if (words)
			snprintf(text, size, "%s", words);
		else
			snprintf(text, size, "OpenSSL error %08lx", e);
	} else {
		snprintf(text, size, "%s", fallback);
	}
	ERR_clear_error();
}
