/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "userspace/tls_internal.h"

enum { LABEL_MAX = 32 };

bool tls_derive(const uint8_t *secret, size_t len, const char *label, uint64_t number, uint8_t *out, size_t out_len)
{
	uint8_t info[LABEL_MAX + 8];
	size_t label_len = strnlen(label, LABEL_MAX);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, label_len + 8),
		OSSL_PARAM_construct_end(),
	};
	bool ok;

	memcpy(info, label, label_len);
	for (int i = 0; i < 8; i++)
		info[label_len + i] = (uint8_t)(number >> (56 - 8 * i));
	ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}
