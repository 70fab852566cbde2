/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions a source, counted from many threads; what the front hears of it is in tests/packets/limit_test.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/sources.h"

static struct in6_addr ip(const char *text)
{
	struct in6_addr addr;

	assert_int_equal(net_parse_ip(text, &addr), 0);
	return addr;
}

static void test_limit(void **state)
{
	struct sources *s = sources_new(2, 100, NULL);
	struct in6_addr a = ip("192.0.2.1"), b = ip("192.0.2.2"), c = ip("2001:db8::1"), d = ip("2001:db8::2"), e = ip("2001:db8:0:1::1");

	assert_true(sources_take(s, &a));
	assert_true(sources_take(s, &a));
	assert_false(sources_take(s, &a));
	assert_true(sources_take(s, &b));
	assert_true(sources_take(s, &c));
	assert_true(sources_take(s, &d));
	assert_false(sources_take(s, &c)); /* a /64 is one source */
	assert_true(sources_take(s, &e));
	assert_int_equal(sources_count(s, &a), 2);
	sources_release(s, &a);
	assert_true(sources_take(s, &a));
	sources_release(s, &a);
	sources_release(s, &a);
	assert_int_equal(sources_count(s, &a), 0);
	assert_int_equal(sources_count(s, &c), 2);
	sources_release(s, &d);
	assert_int_equal(sources_count(s, &c), 1);
	sources_free(s);
}

enum { THREADS = 4, ROUNDS = 20000, NAMES = 50, LIMIT = 3 };

static struct sources *shared;
static unsigned holds[NAMES], above;

static void *churn(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;
	struct in6_addr who[8];
	unsigned name[8], held = 0;

	for (int i = 0; i < ROUNDS; i++) {
		char text[32];

		seed = seed * 1664525 + 1013904223;
		if (held == 8 || (held && seed & 1 << 20)) {
			held--;
			__atomic_sub_fetch(&holds[name[held]], 1, __ATOMIC_SEQ_CST);
			sources_release(shared, &who[held]);
			continue;
		}
		name[held] = (seed >> 8) % NAMES;
		snprintf(text, sizeof(text), "192.0.2.%u", name[held]);
		net_parse_ip(text, &who[held]);
		if (!sources_take(shared, &who[held]))
			continue;
		if (__atomic_add_fetch(&holds[name[held]], 1, __ATOMIC_SEQ_CST) > LIMIT)
			above++;
		held++;
	}
	while (held) {
		held--;
		__atomic_sub_fetch(&holds[name[held]], 1, __ATOMIC_SEQ_CST);
		sources_release(shared, &who[held]);
	}
	return NULL;
}

/* Never more than the limit, whoever takes and gives; and in the end nobody holds any. */
static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	shared = sources_new(LIMIT, 1, NULL); /* as few places as there can be: long chains */
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(above, 0);
	for (unsigned i = 0; i < NAMES; i++) {
		char text[32];
		struct in6_addr addr;

		snprintf(text, sizeof(text), "192.0.2.%u", i);
		addr = ip(text);
		assert_int_equal(sources_count(shared, &addr), 0);
	}
	sources_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
