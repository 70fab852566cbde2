/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a certificate for a first start without a CA, and naming any certificate as the TLSA record to
 * publish for it.  DANE-EE(3) asks neither for names nor for dates (RFC 7672 3.1.1), but the certificate
 * carries both, since some senders look at them all the same.
 */
#include "userspace/tls_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define TEN_YEARS (3652 * 24 * 3600L)
#define CN_MAX 64 /* ub-common-name, RFC 5280 appendix A */

static bool add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* Not through X509V3_EXT_conf_nid(): its little language would give a comma in the name a meaning. */
static bool add_dns_name(X509 *x, const char *hostname)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names && name && text && ASN1_STRING_set(text, hostname, -1) == 1;

	if (ok) {
		GENERAL_NAME_set0_value(name, GEN_DNS, text);
		text = NULL;
		ok = sk_GENERAL_NAME_push(names, name) > 0;
		if (ok)
			name = NULL;
	}
	ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
	ASN1_IA5STRING_free(text);
	GENERAL_NAME_free(name);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool set_serial(X509 *x)
{
	uint64_t serial;

	if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
		return false;
	return ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) == 1;
}

static bool fill(X509 *x, EVP_PKEY *key, const char *hostname)
{
	X509_NAME *subject = X509_get_subject_name(x);

	/* an hour back, for clients whose clock is behind */
	if (!X509_set_version(x, X509_VERSION_3) || !set_serial(x) || !X509_gmtime_adj(X509_getm_notBefore(x), -3600) ||
	    !X509_gmtime_adj(X509_getm_notAfter(x), TEN_YEARS) || !X509_set_pubkey(x, key))
		return false;
	if (strlen(hostname) <= CN_MAX &&
	    !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, (const unsigned char *)hostname, -1, -1, 0))
		return false;
	if (!X509_set_issuer_name(x, subject) || !add_dns_name(x, hostname))
		return false;
	return add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(x, NID_ext_key_usage, "serverAuth,clientAuth") &&
	       add_extension(x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()) > 0;
}

static char *bio_text(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	text = len > 0 ? malloc((size_t)len + 1) : NULL;
	if (text) {
		memcpy(text, data, (size_t)len);
		text[len] = '\0';
	}
	return text;
}

int tls_make_self_signed(const char *hostname, char **chain_pem, char **key_pem)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_secmem());
	bool ok;

	*chain_pem = *key_pem = NULL;
	ok = key && x && chain && secret && *hostname && fill(x, key, hostname) && PEM_write_bio_X509(chain, x) &&
	     PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL);
	if (ok) {
		*chain_pem = bio_text(chain);
		*key_pem = bio_text(secret);
		ok = *chain_pem && *key_pem;
	}
	if (!ok) {
		free(*chain_pem);
		free(*key_pem);
		*chain_pem = *key_pem = NULL;
	}
	BIO_free(chain);
	BIO_free(secret);
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok ? 0 : -EINVAL;
}

int tls_tlsa_311(const char *chain_pem, size_t len, char *out, size_t size)
{
	BIO *bio = BIO_new_mem_buf(chain_pem, (int)len);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	unsigned char *spki = NULL, digest[32];
	int n = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki) : -1;
	int ret = -EINVAL;
	size_t at;

	if (n > 0 && size >= 6 + 64 + 1 && EVP_Digest(spki, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1) {
		at = (size_t)snprintf(out, size, "3 1 1 ");
		for (int i = 0; i < 32; i++)
			at += (size_t)snprintf(out + at, size - at, "%02x", digest[i]);
		ret = 0;
	}
	OPENSSL_free(spki);
	X509_free(x);
	BIO_free(bio);
	ERR_clear_error();
	return ret;
}
