/* SPDX-License-Identifier: BSD-2-Clause */
/* Pipes between real sockets, and the pool that they come from. */
#define _GNU_SOURCE
#include "userspace/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void ends(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static void moves_and_tells(void **state)
{
	struct splice_pool *pool = splice_pool_new(4);
	struct splice_pipe *p = splice_get(pool);
	int in[2], out[2];
	char got[16];

	ends(in);
	ends(out);
	assert_non_null(p);
	assert_int_equal(splice_fill(p, in[1], 100), -EAGAIN);
	assert_int_equal(write(in[0], "hello world", 11), 11);
	assert_int_equal(splice_fill(p, in[1], 5), 5);
	assert_int_equal(p->held, 5);
	assert_int_equal(splice_drain(p, out[0]), 5);
	assert_int_equal(p->held, 0);
	assert_int_equal(splice_fill(p, in[1], 100), 6);
	assert_int_equal(splice_drain(p, out[0]), 6);
	assert_int_equal(read(out[1], got, sizeof(got)), 11);
	assert_memory_equal(got, "hello world", 11);
	close(in[0]);
	assert_int_equal(splice_fill(p, in[1], 100), 0);
	splice_put(pool, p);
	close(in[1]);
	close(out[0]);
	close(out[1]);
	splice_pool_free(pool);
}

/* What does not fit stays in the pipe, in order. */
static void waits_for_room(void **state)
{
	struct splice_pool *pool = splice_pool_new(4);
	struct splice_pipe *p = splice_get(pool);
	const size_t all = 3 << 20;
	uint8_t *sent = malloc(all), *got = malloc(all);
	size_t put = 0, taken = 0;
	unsigned full = 0;
	int in[2], out[2];

	assert_non_null(p);
	ends(in);
	ends(out);
	for (size_t i = 0; i < all; i++)
		sent[i] = (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16) * 3);
	while (taken < all) {
		ssize_t n = put < all ? write(in[0], sent + put, all - put) : 0;

		put += n > 0 ? (size_t)n : 0;
		while (p->held || splice_fill(p, in[1], SPLICE_BYTES) > 0) {
			assert_true(p->held <= SPLICE_BYTES);
			if (splice_drain(p, out[0]) == -EAGAIN) {
				full++;
				break;
			}
		}
		n = read(out[1], got + taken, all - taken < 10000 ? all - taken : 10000); /* slower than what comes */
		taken += n > 0 ? (size_t)n : 0;
	}
	assert_true(full > 0);
	assert_memory_equal(sent, got, all);
	splice_put(pool, p);
	splice_pool_free(pool);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
	}
	free(sent);
	free(got);
}

static void no_pipe_goes_back_with_bytes(void **state)
{
	struct splice_pool *pool = splice_pool_new(1);
	struct splice_pipe *p = splice_get(pool);
	int in[2];

	assert_non_null(p);
	ends(in);
	assert_int_equal(write(in[0], "secret", 6), 6);
	assert_int_equal(splice_fill(p, in[1], 100), 6);
	assert_false(splice_has_more(pool));
	assert_null(splice_get(pool));
	splice_put(pool, p);
	assert_int_equal(splice_pipes(pool), 0); /* closed */
	p = splice_get(pool);
	assert_non_null(p);
	assert_int_equal(p->held, 0);
	close(in[0]);
	assert_int_equal(splice_fill(p, in[1], 100), 0);
	splice_put(pool, p);
	assert_int_equal(splice_pipes(pool), 1); /* kept */
	close(in[1]);
	splice_pool_free(pool);
}

/* Without descriptors there is none; when there are some again it is asked again. */
static void does_without(void **state)
{
	struct splice_pool *pool = splice_pool_new(8);
	struct rlimit before, none;
	struct splice_pipe *p;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	p = splice_get(pool);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_null(p);
	assert_false(splice_has_more(pool));
	assert_int_equal(splice_pipes(pool), 0);
	splice_ask_again(pool);
	p = splice_get(pool);
	assert_non_null(p);
	splice_put(pool, p);
	splice_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_and_tells),
		cmocka_unit_test(waits_for_room),
		cmocka_unit_test(no_pipe_goes_back_with_bytes),
		cmocka_unit_test(does_without),
	};

	return cmocka_run_group_tests_name("splice", tests, NULL, NULL);
}
