/* SPDX-License-Identifier: BSD-2-Clause */
/* What is given to the kernel, as far as it can be seen without one: the keys of RFC 8448, and what the probe says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/tls_ktls.h"

static size_t hex(const char *text, uint8_t *out)
{
	size_t n = 0;
	unsigned byte;

	for (; sscanf(text, "%2x", &byte) == 1; text += 2 + (text[2] == ' '))
		out[n++] = (uint8_t)byte;
	return n;
}

/* RFC 8448 3, "derive write traffic keys for application data" of server and client. */
static const struct {
	const char *secret, *key, *iv;
} vectors[] = {
	{ "a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 16 43",
	  "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56", "cf 78 2b 88 dd 83 54 9a ad f1 e9 84" },
	{ "9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 04 a5",
	  "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51", "5b 78 92 3d ee 08 57 90 33 e5 23 d9" },
};

static void keys_of_rfc_8448(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t secret[48], want[48], got[48];
		size_t len = hex(vectors[i].secret, secret), n = hex(vectors[i].key, want);

		assert_int_equal(len, 32);
		assert_true(tls_expand_label("SHA256", secret, len, "key", got, n));
		assert_memory_equal(got, want, n);
		n = hex(vectors[i].iv, want);
		assert_int_equal(n, 12);
		assert_true(tls_expand_label("SHA256", secret, len, "iv", got, n));
		assert_memory_equal(got, want, n);
	}
}

/* Kernels as they name themselves, and whether splice(2) from their TLS keeps every byte. */
static const struct {
	const char *release, *version;
	unsigned v[3];
	bool sound;
} kernels[] = {
	{ "6.1.0-49-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-1 (2026-07-01)", { 6, 1, 192 }, true },
	{ "6.1.0-48-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.189-1 (2026-06-01)", { 6, 1, 189 }, true },
	{ "6.1.0-47-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.188-1 (2026-05-01)", { 6, 1, 188 }, false },
	{ "6.12.95+deb12-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.95-1~bpo12+1 (2026-04-01)", { 6, 12, 95 }, false },
	{ "6.12.111-generic", "#1 SMP", { 6, 12, 111 }, false },
	{ "6.12.112", "#1 SMP", { 6, 12, 112 }, true },
	{ "6.18.44-fc", "#1 SMP PREEMPT_DYNAMIC @0", { 6, 18, 44 }, false },
	{ "6.18.55", "#1 SMP", { 6, 18, 55 }, true },
	{ "6.19.12", "#1 SMP", { 6, 19, 12 }, false },
	{ "7.0.4", "#1 SMP", { 7, 0, 4 }, false },
	{ "7.1.0-rc2", "#1 SMP", { 7, 1, 0 }, false },
	{ "7.1-rc3", "#1 SMP", { 7, 1, 0 }, true },
	{ "7.2.1", "#1 SMP", { 7, 2, 1 }, true },
	{ "8.0.0-rc1", "#1 SMP", { 8, 0, 0 }, true },
	{ "6.17.13", "#1 SMP", { 6, 17, 13 }, false }, /* nothing is known of it */
	{ "6.6.120", "#1 SMP", { 6, 6, 120 }, false },
	{ "5.10.0-30-amd64", "#1 SMP Debian 5.10.218-1 (2024-06-01)", { 5, 10, 218 }, false },
	{ "6.18.60", "#1 SMP Debian of sorts", { 6, 18, 60 }, true },
	{ "strange", "", { 0, 0, 0 }, false },
};

static void kernels_that_lose_bytes_are_not_used(void **state)
{
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		unsigned v[3] = { 9, 9, 9 };

		if (tls_kernel_is_sound(kernels[i].release, kernels[i].version, v) != kernels[i].sound || memcmp(v, kernels[i].v, sizeof(v)))
			fail_msg("%s: taken for %u.%u.%u", kernels[i].release, v[0], v[1], v[2]);
	}
}

static void the_probe_says_something(void **state)
{
	assert_false(tls_kernel()->works);
	assert_string_equal(tls_kernel()->about, "off");
	tls_kernel_probe();
	assert_true(strlen(tls_kernel()->about) > 5);
	assert_int_equal(tls_kernel()->works, !strncmp(tls_kernel()->about, "works: ", 7));
	print_message("# %s\n", tls_kernel()->about);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_rfc_8448),
		cmocka_unit_test(kernels_that_lose_bytes_are_not_used),
		cmocka_unit_test(the_probe_says_something),
	};

	return cmocka_run_group_tests_name("tls_ktls", tests, NULL, NULL);
}
