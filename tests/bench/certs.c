/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * certs DIR N: N self-signed certificates for mx0.example, mx1.example and on, each with the one P-256 key they share, as
 * DIR/0.pem and on: for the bench's question what a session costs beside many certificates.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/util.h"

static void
add_names(X509 *cert, const char *name)
{
	char san[80];
	X509_EXTENSION *e;

	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	snprintf(san, sizeof(san), "DNS:%s", name);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
}

static void
make(const char *dir, int number, EVP_PKEY *key)
{
	char name[40], path[4096];
	X509 *cert = X509_new();
	FILE *out;

	snprintf(name, sizeof(name), "mx%d.example", number);
	snprintf(path, sizeof(path), "%s/%d.pem", dir, number);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), number + 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 30 * 86400);
	X509_set_pubkey(cert, key);
	add_names(cert, name);
	out = fopen(path, "w");
	if (!X509_sign(cert, key, EVP_sha256()) || !out || !PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_X509(out, cert) || fclose(out)) {
		perror(path);
		exit(1);
	}
	X509_free(cert);
}

int
main(int argc, char **argv)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (argc != 3 || !key)
		util_usage("certs DIR N");
	for (int i = 0; i < atoi(argv[2]); i++)
		make(argv[1], i, key);
	EVP_PKEY_free(key);
	return 0;
}
