/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a peer's certificate says, in plain C and bounded: it was written by a stranger.  Names that are no names
 * are left out, and nothing reaches a log that is not printable ASCII.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

static EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	assert(sha256);
}

bool tls_sha256(const void *data, size_t len, uint8_t out[32])
{
	pthread_once(&once, fetch);
	return EVP_Digest(data, len, out, NULL, sha256, NULL) == 1;
}

bool tls_spki_sha256(X509 *x, uint8_t out[32])
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	bool ok = n > 0 && tls_sha256(der, (size_t)n, out);

	OPENSSL_free(der);
	return ok;
}

static bool whole_sha256(X509 *x, uint8_t out[32])
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);
	bool ok = n > 0 && tls_sha256(der, (size_t)n, out);

	OPENSSL_free(der);
	return ok;
}

static int64_t seconds_of(const ASN1_TIME *when)
{
	struct tm tm;

	return when && ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* A host name or "*.host" in the one form of names. */
static bool take_name(const ASN1_STRING *s, char out[DANE_NAME_MAX])
{
	const char *text = (const char *)ASN1_STRING_get0_data(s);
	int len = ASN1_STRING_length(s);
	char copy[DANE_NAME_MAX + 1];
	bool wild = len > 2 && text[0] == '*' && text[1] == '.';

	if (len <= 0 || len > DANE_NAME_MAX || memchr(text, '\0', (size_t)len))
		return false;
	memcpy(copy, text, (size_t)len);
	copy[len] = '\0';
	if (!wild)
		return dane_name_host(copy, out) == 0;
	if (dane_name_host(copy + 2, out) || strlen(out) + 3 > DANE_NAME_MAX)
		return false;
	memmove(out + 2, out, strlen(out) + 1);
	memcpy(out, "*.", 2);
	return true;
}

static void read_names(struct tls_peer *p, X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		char name[DANE_NAME_MAX];

		if (n->type != GEN_DNS || !take_name(n->d.dNSName, name))
			continue;
		if (p->name_count == TLS_PEER_NAMES) {
			p->names_left_out = true;
			break;
		}
		memcpy(p->names[p->name_count++], name, sizeof(name));
	}
	GENERAL_NAMES_free(names);
}

static void read_cn(struct tls_peer *p, X509 *x)
{
	X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const ASN1_STRING *cn;
	size_t len;

	if (at < 0)
		return;
	cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	len = (size_t)ASN1_STRING_length(cn);
	if (len >= sizeof(p->cn))
		len = sizeof(p->cn) - 1;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = ASN1_STRING_get0_data(cn)[i];

		p->cn[i] = (char)(c > ' ' && c < 127 && c != '"' && c != '\\' && c != '=' ? c : '?');
	}
}

struct tls_peer *tls_peer_read(X509 *x, const char *client_id)
{
	struct tls_peer *p = calloc(1, sizeof(*p));

	assert(p);
	read_cn(p, x);
	read_names(p, x);
	if (!tls_spki_sha256(x, p->spki_sha256))
		memset(p->spki_sha256, 0, sizeof(p->spki_sha256));
	if (!whole_sha256(x, p->cert_sha256))
		memset(p->cert_sha256, 0, sizeof(p->cert_sha256));
	p->not_before = seconds_of(X509_get0_notBefore(x));
	p->not_after = seconds_of(X509_get0_notAfter(x));
	snprintf(p->client_id, sizeof(p->client_id), "%s", client_id ? client_id : "");
	ERR_clear_error();
	return p;
}

const struct tls_peer *tls_peer(const struct tls *t)
{
	struct tls *own = (struct tls *)t; /* read at the first question */
	X509 *x;

	if (!own->peer) {
		x = SSL_get0_peer_certificate(t->ssl);
		if (x)
			own->peer = tls_peer_read(x, t->client_id);
	}
	return t->peer;
}
