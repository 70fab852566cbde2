/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server's context serves, for people: names, key, dates, the record to publish. */
#include "userspace/tls_internal.h"

#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

/* Seconds since 1970; 0: not a time that fits. */
static time_t time_of(const ASN1_TIME *at)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, at);

	ASN1_TIME_free(epoch);
	return ok ? (time_t)days * 86400 + seconds : 0;
}

static void add_name(struct tls_about *out, const ASN1_STRING *name)
{
	size_t at = strlen(out->names), len = (size_t)ASN1_STRING_length(name);

	if (at + len + 2 > sizeof(out->names))
		return;
	if (at)
		out->names[at++] = ' ';
	for (size_t i = 0; i < len; i++) {
		unsigned char c = ASN1_STRING_get0_data(name)[i];

		out->names[at++] = c > ' ' && c < 127 ? (char)c : '?';
	}
	out->names[at] = 0;
}

static void add_names(struct tls_about *out, X509 *leaf)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	X509_NAME *subject = X509_get_subject_name(leaf);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		if (sk_GENERAL_NAME_value(names, i)->type == GEN_DNS)
			add_name(out, sk_GENERAL_NAME_value(names, i)->d.dNSName);
	if (!out->names[0] && at >= 0)
		add_name(out, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	GENERAL_NAMES_free(names);
}

static void say_key(struct tls_about *out, EVP_PKEY *key)
{
	char group[32] = "";

	if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
		snprintf(out->key, sizeof(out->key), "%s %s", EVP_PKEY_get0_type_name(key),
			 strcmp(group, "prime256v1") ? group : "P-256");
	else
		snprintf(out->key, sizeof(out->key), "%s %d", EVP_PKEY_get0_type_name(key), EVP_PKEY_get_bits(key));
}

size_t tls_server_count(const struct tls_server *s)
{
	return tls_certs_count(s->certs);
}

void tls_server_about(const struct tls_server *s, size_t i, struct tls_about *out)
{
	const struct tls_cert *c = tls_certs_at(s->certs, (uint32_t)i);
	uint8_t digest[32];

	memset(out, 0, sizeof(*out));
	out->label = c->label;
	out->not_before = time_of(X509_get0_notBefore(c->leaf));
	out->not_after = time_of(X509_get0_notAfter(c->leaf));
	add_names(out, c->leaf);
	say_key(out, c->key);
	if (tls_spki_sha256(c->leaf, digest)) {
		size_t at = (size_t)snprintf(out->tlsa, sizeof(out->tlsa), "3 1 1 ");

		for (int k = 0; k < 32; k++)
			at += (size_t)snprintf(out->tlsa + at, sizeof(out->tlsa) - at, "%02x", digest[k]);
	}
	ERR_clear_error();
}

time_t tls_server_not_after(const struct tls_server *s, size_t i, const char **label)
{
	const struct tls_cert *c = tls_certs_at(s->certs, (uint32_t)i);

	*label = c->label;
	return time_of(X509_get0_notAfter(c->leaf));
}
