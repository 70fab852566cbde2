/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OpenSSL's DANE support, set up the way SMTP wants it (RFC 7672 3.1, 3.2) and read out: DANE-EE(3) without
 * names and dates, which OpenSSL's default flags get wrong; DANE-TA(2) with names, whole-label wildcards only; no
 * trust store behind it.
 *
 * SSL_dane_tlsa_add() answers > 0 for a usable record, 0 for one that is unusable and < 0 for a failure of its
 * own.  They must not be mixed up: after a failure the connection could be "verified" by fewer records than
 * there are.
 *
 * One thing is stricter than OpenSSL: a "2 1 0" record with the key of a self-signed leaf would match it there,
 * though a trust anchor is never the leaf (RFC 7671 5.2).
 */
#include "userspace/tls_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* OpenSSL's own table binds its digests when they are first used, and a failure there looks like "no match". */
static EVP_MD *sha256, *sha512;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	sha512 = EVP_MD_fetch(NULL, "SHA2-512", NULL);
}

bool tls_dane_enable(SSL_CTX *ctx)
{
	pthread_once(&once, fetch);
	return sha256 && sha512 && SSL_CTX_dane_enable(ctx) > 0 && SSL_CTX_dane_mtype_set(ctx, sha256, DANE_SHA256, 1) > 0 &&
	       SSL_CTX_dane_mtype_set(ctx, sha512, DANE_SHA512, 2) > 0;
}

int tls_dane_load(SSL *ssl, const struct dane_record *records, size_t count, unsigned usages)
{
	int usable = 0;

	if (SSL_dane_enable(ssl, NULL) <= 0)
		return -EIO;
	SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < count; i++) {
		const struct dane_record *r = &records[i];
		int ret;

		if (r->usage > 3 || !(usages & 1u << r->usage) || !r->len)
			continue;
		ret = SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->mtype, r->data, r->len);
		if (ret < 0)
			return -EIO;
		usable += ret > 0;
	}
	ERR_clear_error(); /* what made a record unusable */
	return usable;
}

bool tls_dane_names(X509_VERIFY_PARAM *param, const char *const *names, size_t count)
{
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 0; i < count; i++) {
		/* a name with a dot in front would mean "any name below" */
		if (!*names[i] || names[i][0] == '.')
			return false;
		if (!X509_VERIFY_PARAM_add1_host(param, names[i], 0))
			return false;
	}
	return true;
}

X509_STORE *tls_store_new(const char *pem, size_t len)
{
	X509_STORE *store = X509_STORE_new();
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	int count = 0;
	X509 *x;

	while (store && bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		count += X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
	BIO_free(bio);
	if (!count || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		X509_STORE_free(store);
		return NULL;
	}
	ERR_clear_error();
	return store;
}

/* ---- the outcome ---- */

static enum tls_verdict verdict_of(int error)
{
	switch (error) {
	case X509_V_ERR_DANE_NO_MATCH:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_NO_MATCH;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return TLS_WRONG_NAME;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_NOT_VALID_NOW;
	case X509_V_OK:
	case X509_V_ERR_UNSPECIFIED:
	case X509_V_ERR_OUT_OF_MEM:
	case X509_V_ERR_INVALID_CALL:
	case X509_V_ERR_STORE_LOOKUP:
		return TLS_JUDGE_FAILED;
	default:
		return TLS_BAD_CHAIN;
	}
}

static int index_of(const struct dane_record *records, size_t count, uint8_t usage, uint8_t selector, uint8_t mtype,
		    const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < count; i++) {
		const struct dane_record *r = &records[i];

		if (r->usage == usage && r->selector == selector && r->mtype == mtype && r->len == len && !memcmp(r->data, data, len))
			return (int)i;
	}
	return -1;
}

static bool is_key_of(X509 *x, const unsigned char *spki, size_t len)
{
	unsigned char *own = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &own);
	bool same = n > 0 && (size_t)n == len && !memcmp(own, spki, len);

	OPENSSL_free(own);
	return same;
}

/* Which record matched, and where.  false: the match does not count. */
static bool find_match(SSL *dane, X509 *leaf, const struct dane_record *records, size_t count, struct tls_judgement *out)
{
	uint8_t usage, selector, mtype;
	const unsigned char *data;
	size_t len;
	int depth = SSL_get0_dane_tlsa(dane, &usage, &selector, &mtype, &data, &len);

	if (depth < 0)
		return false;
	if (usage == DANE_TA && selector == DANE_SPKI && mtype == DANE_FULL) {
		if (depth == 0 && is_key_of(leaf, data, len))
			return false;
		depth++; /* the key itself stands above the last certificate of the chain */
	}
	out->depth = depth;
	out->record = index_of(records, count, usage, selector, mtype, data, len);
	return out->record >= 0;
}

void tls_dane_conclude(SSL *dane, X509_STORE_CTX *ctx, bool ok, const struct dane_record *records, size_t count,
		       struct tls_judgement *out)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	int error = ok ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	const char *name;

	if (ok && dane && !find_match(dane, leaf, records, count, out)) {
		error = X509_V_ERR_DANE_NO_MATCH;
		X509_STORE_CTX_set_error(ctx, error);
		ok = false;
	}
	out->verdict = ok ? TLS_MATCH : verdict_of(error);
	if (!ok) {
		out->record = out->depth = -1;
		if (error == X509_V_ERR_DANE_NO_MATCH)
			snprintf(out->text, sizeof(out->text), "no TLSA record matches the certificate");
		else
			snprintf(out->text, sizeof(out->text), "%s (certificate %d of the chain)", X509_verify_cert_error_string(error),
				 X509_STORE_CTX_get_error_depth(ctx));
	} else if (!dane || records[out->record].usage != DANE_EE) {
		name = X509_VERIFY_PARAM_get0_peername(X509_STORE_CTX_get0_param(ctx));
		snprintf(out->name, sizeof(out->name), "%s", name ? name : "");
	}
	ERR_clear_error();
}

const char *tls_verdict_name(enum tls_verdict v)
{
	static const char *const names[] = {
		[TLS_UNJUDGED] = "unjudged",   [TLS_MATCH] = "match",		[TLS_NO_CERTIFICATE] = "no_certificate",
		[TLS_NO_MATCH] = "no_match",   [TLS_WRONG_NAME] = "wrong_name", [TLS_NOT_VALID_NOW] = "not_valid_now",
		[TLS_BAD_CHAIN] = "bad_chain", [TLS_JUDGE_FAILED] = "judge_failed",
	};

	return names[v];
}
