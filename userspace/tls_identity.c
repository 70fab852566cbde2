/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Certificates and keys from PEM, and the table that leads from a server name to them.
 *
 * Every certificate is parsed once, when the context is made, so that a mistake is found then and not in a
 * handshake; issuers that many chains share are kept once.  The table maps a name to at most one certificate
 * of each key type, so an RSA and an EC certificate for the same name are served side by side though they
 * stand in different identities.  A look-up is one or two probes, whatever the number of certificates.
 *
 * Names are those a client would check (RFC 7672 3.2.3): SAN dNSNames, the CN only when there is none; a
 * wildcard must be the whole first label.  Where two certificates of one key type claim a name, the first wins.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NAME_MAX_LEN 253

struct entry {
	char *name; /* NULL: free slot */
	struct tls_served served;
};

/* An issuer certificate that several chains share, found by its DER. */
struct shared {
	X509 *cert;
	unsigned char *der;
	long len;
};

struct tls_certs {
	struct tls_cert *certs;
	size_t count;
	struct entry *names;
	size_t slots, used; /* slots is a power of two, never more than half used */
	struct shared *issuers;
	size_t issuer_slots, issuers_used;
	struct tls_served fallback;
	int refs;

	/* while it is made: setting up a decoder costs ten times what decoding a key does, so there is one for all */
	OSSL_DECODER_CTX *decoder;
	EVP_PKEY *decoded;
};

static void *must_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	assert(p); /* contexts are made at start and at reload: without memory there is no going on */
	return p;
}

/* FNV-1a: the keys come from our own certificates, a client can only look up. */
static uint32_t hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t h = 2166136261u;

	while (len--)
		h = (h ^ *p++) * 16777619u;
	return h ^ h >> 15;
}

/* ---- the table of names ---- */

/* Lower case and without the final dot; false: not a name that a certificate may serve or a client ask for. */
static bool fold(const char *name, size_t len, char out[NAME_MAX_LEN + 1])
{
	if (len && name[len - 1] == '.')
		len--;
	if (!len || len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c >= 127)
			return false;
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	out[len] = '\0';
	return true;
}

static struct entry *slot_of(struct entry *names, size_t slots, const char *name)
{
	size_t i = hash(name, strlen(name)) & (slots - 1);

	while (names[i].name && strcmp(names[i].name, name) != 0)
		i = (i + 1) & (slots - 1);
	return &names[i];
}

static void grow(struct tls_certs *c)
{
	size_t slots = c->slots ? c->slots * 2 : 16;
	struct entry *names = must_calloc(slots, sizeof(*names));

	for (size_t i = 0; i < c->slots; i++)
		if (c->names[i].name)
			*slot_of(names, slots, c->names[i].name) = c->names[i];
	free(c->names);
	c->names = names;
	c->slots = slots;
}

static void add_name(struct tls_certs *c, const char *raw, size_t len, uint32_t index)
{
	char name[NAME_MAX_LEN + 1];
	enum tls_key_type type = c->certs[index].type;
	struct entry *e;

	if (!fold(raw, len, name))
		return;
	if (strchr(name, '*') && (name[0] != '*' || name[1] != '.' || strchr(name + 1, '*')))
		return;
	if (2 * (c->used + 1) > c->slots)
		grow(c);
	e = slot_of(c->names, c->slots, name);
	if (!e->name) {
		e->name = strdup(name);
		assert(e->name);
		for (int i = 0; i < TLS_KEY_TYPES; i++)
			e->served.cert[i] = TLS_NO_IDENTITY;
		c->used++;
	}
	if (e->served.cert[type] == TLS_NO_IDENTITY)
		e->served.cert[type] = index;
}

const struct tls_served *tls_certs_find(const struct tls_certs *c, const char *raw)
{
	char name[NAME_MAX_LEN + 1], *dot;
	const struct entry *e;

	if (!c->slots || !fold(raw, strlen(raw), name) || strchr(name, '*'))
		return NULL;
	e = slot_of(c->names, c->slots, name);
	if (e->name)
		return &e->served;
	dot = strchr(name, '.');
	if (!dot || dot == name)
		return NULL;
	*--dot = '*';
	e = slot_of(c->names, c->slots, dot);
	return e->name ? &e->served : NULL;
}

static size_t add_san_names(struct tls_certs *c, X509 *leaf, uint32_t index)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	size_t count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type != GEN_DNS)
			continue;
		count++;
		add_name(c, (const char *)ASN1_STRING_get0_data(n->d.dNSName), (size_t)ASN1_STRING_length(n->d.dNSName), index);
	}
	GENERAL_NAMES_free(names);
	return count;
}

static void add_names(struct tls_certs *c, uint32_t index)
{
	X509 *leaf = c->certs[index].leaf;
	X509_NAME *subject = X509_get_subject_name(leaf);
	const ASN1_STRING *cn;
	int at;

	if (add_san_names(c, leaf, index))
		return;
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0)
		return;
	cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	add_name(c, (const char *)ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn), index);
}

/* The first identity, and beside it those of other key types that share one of its names. */
static void choose_default(struct tls_certs *c)
{
	for (int i = 0; i < TLS_KEY_TYPES; i++)
		c->fallback.cert[i] = TLS_NO_IDENTITY;
	c->fallback.cert[c->certs[0].type] = 0;
	for (size_t s = 0; s < c->slots; s++) {
		const struct entry *e = &c->names[s];

		if (!e->name || e->served.cert[c->certs[0].type] != 0)
			continue;
		for (int i = 0; i < TLS_KEY_TYPES; i++)
			if (e->served.cert[i] < c->fallback.cert[i])
				c->fallback.cert[i] = e->served.cert[i];
	}
}

/* ---- parsing ---- */

/* OpenSSL must never ask for a passphrase on a terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	return -1;
}

static struct shared *issuer_slot(struct shared *table, size_t slots, const unsigned char *der, long len)
{
	size_t i = hash(der, (size_t)len) & (slots - 1);

	while (table[i].cert && (table[i].len != len || memcmp(table[i].der, der, (size_t)len) != 0))
		i = (i + 1) & (slots - 1);
	return &table[i];
}

static void grow_issuers(struct tls_certs *c)
{
	size_t slots = c->issuer_slots ? c->issuer_slots * 2 : 16;
	struct shared *table = must_calloc(slots, sizeof(*table));

	for (size_t i = 0; i < c->issuer_slots; i++)
		if (c->issuers[i].cert)
			*issuer_slot(table, slots, c->issuers[i].der, c->issuers[i].len) = c->issuers[i];
	free(c->issuers);
	c->issuers = table;
	c->issuer_slots = slots;
}

/* The certificate for der, parsed before or now; the table takes der over.  NULL: cannot be parsed. */
static X509 *issuer(struct tls_certs *c, unsigned char *der, long len)
{
	const unsigned char *p = der;
	struct shared *s;

	if (2 * (c->issuers_used + 1) > c->issuer_slots)
		grow_issuers(c);
	s = issuer_slot(c->issuers, c->issuer_slots, der, len);
	if (s->cert) {
		OPENSSL_free(der);
		return s->cert;
	}
	s->cert = d2i_X509(NULL, &p, len);
	if (!s->cert) {
		OPENSSL_free(der);
		return NULL;
	}
	s->der = der;
	s->len = len;
	c->issuers_used++;
	return s->cert;
}

/* One certificate of the file.  The leaf comes first; it is not shared. */
static bool take_certificate(struct tls_certs *c, struct tls_cert *cert, unsigned char *der, long len)
{
	const unsigned char *p = der;
	X509 *x;

	if (!cert->leaf) {
		cert->leaf = d2i_X509(NULL, &p, len);
		OPENSSL_free(der);
		return cert->leaf != NULL;
	}
	x = issuer(c, der, len);
	if (!x)
		return false;
	if (!cert->chain)
		cert->chain = sk_X509_new_null();
	X509_up_ref(x);
	if (!cert->chain || !sk_X509_push(cert->chain, x))
		abort();
	return true;
}

static bool parse_chain(struct tls_certs *c, struct tls_cert *cert, const struct tls_identity *id)
{
	BIO *bio = BIO_new_mem_buf(id->chain_pem, (int)id->chain_len);
	char *name, *header;
	unsigned char *data;
	long len;
	bool ok = bio != NULL;

	while (ok && PEM_read_bio(bio, &name, &header, &data, &len)) {
		bool is_cert = !strcmp(name, PEM_STRING_X509) || !strcmp(name, PEM_STRING_X509_OLD);

		OPENSSL_free(name);
		OPENSSL_free(header);
		if (is_cert)
			ok = take_certificate(c, cert, data, len);
		else /* a file that holds the key too */
			OPENSSL_clear_free(data, (size_t)len);
	}
	BIO_free(bio);
	return ok && cert->leaf;
}

/* PKCS #8, which is what keys are kept in today; NULL: it is something else. */
static EVP_PKEY *decode_pkcs8(struct tls_certs *c, BIO *bio)
{
	char *name, *header;
	unsigned char *data;
	long len;

	if (!PEM_read_bio(bio, &name, &header, &data, &len))
		return NULL;
	c->decoded = NULL;
	if (!strcmp(name, PEM_STRING_PKCS8INF)) {
		const unsigned char *p = data;
		size_t left = (size_t)len;

		if (!c->decoder)
			c->decoder = OSSL_DECODER_CTX_new_for_pkey(&c->decoded, "DER", "PrivateKeyInfo", NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
		if (!c->decoder || !OSSL_DECODER_from_data(c->decoder, &p, &left))
			c->decoded = NULL;
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(data, (size_t)len);
	return c->decoded;
}

static bool parse_key(struct tls_certs *c, struct tls_cert *cert, const struct tls_identity *id)
{
	BIO *bio = BIO_new_mem_buf(id->key_pem, (int)id->key_len);

	cert->key = bio ? decode_pkcs8(c, bio) : NULL;
	if (bio && !cert->key) { /* older forms, or a file with more than a key in it */
		ERR_clear_error();
		(void)BIO_reset(bio);
		cert->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	}
	BIO_free(bio);
	if (!cert->key)
		return false;
	if (EVP_PKEY_is_a(cert->key, "EC"))
		cert->type = TLS_KEY_EC;
	else
		cert->type = EVP_PKEY_is_a(cert->key, "RSA") ? TLS_KEY_RSA : TLS_KEY_OTHER;
	return true;
}

static bool fault(const char *label, const char *what, char *err, size_t err_size)
{
	char why[160];

	tls_error_take(why, sizeof(why), "");
	snprintf(err, err_size, "certificate \"%s\": %s%s%s", label, what, *why ? ": " : "", why);
	return false;
}

static bool parse(struct tls_certs *c, struct tls_cert *cert, const struct tls_identity *id, char *err, size_t err_size)
{
	cert->label = strdup(id->label);
	assert(cert->label);
	ERR_clear_error();
	if (!parse_chain(c, cert, id))
		return fault(id->label, cert->leaf ? "an issuer in the chain cannot be read" : "no certificate in the chain file", err,
			     err_size);
	ERR_clear_error(); /* "no start line" marks the end of the file */
	if (!parse_key(c, cert, id))
		return fault(id->label, "the private key cannot be read (encrypted keys are not supported)", err, err_size);
	if (X509_check_private_key(cert->leaf, cert->key) != 1) {
		ERR_clear_error();
		return fault(id->label, "the key does not match the first certificate of the chain", err, err_size);
	}
	if (X509_cmp_current_time(X509_get0_notAfter(cert->leaf)) < 0 && !*err)
		snprintf(err, err_size, "certificate \"%s\" has expired: Exchange Online refuses it (5.7.322)", id->label);
	if (X509_cmp_current_time(X509_get0_notBefore(cert->leaf)) > 0 && !*err)
		snprintf(err, err_size, "certificate \"%s\" is not valid yet: Exchange Online refuses it (5.7.323)", id->label);
	return true;
}

struct tls_certs *tls_certs_new(const struct tls_identity *identities, size_t count, char *err, size_t err_size)
{
	struct tls_certs *c = must_calloc(1, sizeof(*c));

	c->refs = 1;
	c->certs = must_calloc(count, sizeof(*c->certs));
	err[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		c->count = i + 1;
		if (!parse(c, &c->certs[i], &identities[i], err, err_size)) {
			tls_certs_unref(c);
			return NULL;
		}
		add_names(c, (uint32_t)i);
	}
	choose_default(c);
	OSSL_DECODER_CTX_free(c->decoder);
	c->decoder = NULL;
	ERR_clear_error();
	return c;
}

struct tls_certs *tls_certs_ref(struct tls_certs *c)
{
	__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void tls_certs_unref(struct tls_certs *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	OSSL_DECODER_CTX_free(c->decoder);
	for (size_t i = 0; i < c->count; i++) {
		free(c->certs[i].label);
		X509_free(c->certs[i].leaf);
		sk_X509_pop_free(c->certs[i].chain, X509_free);
		EVP_PKEY_free(c->certs[i].key);
	}
	for (size_t i = 0; i < c->slots; i++)
		free(c->names[i].name);
	for (size_t i = 0; i < c->issuer_slots; i++) {
		X509_free(c->issuers[i].cert);
		OPENSSL_free(c->issuers[i].der);
	}
	free(c->certs);
	free(c->names);
	free(c->issuers);
	free(c);
}

const struct tls_cert *tls_certs_at(const struct tls_certs *c, uint32_t index)
{
	return index < c->count ? &c->certs[index] : NULL;
}

size_t tls_certs_count(const struct tls_certs *c)
{
	return c->count;
}

const struct tls_served *tls_certs_default(const struct tls_certs *c)
{
	return &c->fallback;
}
