/* SPDX-License-Identifier: BSD-2-Clause */
/* The chunk fifo: order and number of bytes under every mix of calls, and no memory held when empty. */
#include "userspace/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct chunk_pool *pool;

static int setup(void **state)
{
	pool = chunk_pool_new();
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(chunk_pool_bytes_out(pool), 0);
	chunk_pool_free(pool);
	return 0;
}

/* The fifo's bytes, flat; caller frees. */
static uint8_t *flat(const struct fifo *f)
{
	struct iovec iov[4096];
	int i, n = fifo_peek(f, iov, 4096);
	uint8_t *out = malloc(f->len + 1);
	size_t len = 0;

	for (i = 0; i < n; i++) {
		assert_true(iov[i].iov_len > 0);
		memcpy(out + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	assert_int_equal(len, f->len);
	out[len] = 0;
	return out;
}

static void assert_text(const struct fifo *f, const char *text)
{
	uint8_t *got = flat(f);

	assert_string_equal((char *)got, text);
	free(got);
}

static void append_and_consume(void **state)
{
	struct iovec iov[2];
	struct fifo f;

	fifo_init(&f, pool);
	assert_int_equal(fifo_peek(&f, iov, 2), 0);
	fifo_append(&f, "", 0);
	assert_int_equal(chunk_pool_bytes_out(pool), 0);
	fifo_append(&f, "220 ", 4);
	fifo_append(&f, "hello\r\n", 7);
	assert_text(&f, "220 hello\r\n");
	assert_int_equal(fifo_peek(&f, iov, 0), 0);
	assert_int_equal(fifo_peek(&f, iov, 2), 1);
	fifo_consume(&f, 0);
	fifo_consume(&f, 4);
	assert_text(&f, "hello\r\n");
	fifo_consume(&f, 7);
	assert_int_equal(f.len, 0);
	assert_null(f.head);
	assert_int_equal(chunk_pool_bytes_out(pool), 0);
}

static void chunk_classes(void **state)
{
	static const struct {
		size_t append, chunks, bytes;
	} rows[] = {
		{ 1, 1, 2048 },
		{ CHUNK_SMALL, 1, 2048 },
		{ CHUNK_SMALL + 1, 1, 65536 },
		{ CHUNK_BIG, 1, 65536 },
		{ CHUNK_BIG + 1, 2, 65536 + 2048 },
		{ 3 * CHUNK_BIG, 3, 3 * 65536 },
	};
	uint8_t *data = calloc(1, 4 * CHUNK_BIG);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct iovec iov[8];
		struct fifo f;

		fifo_init(&f, pool);
		fifo_append(&f, data, rows[i].append);
		assert_int_equal(fifo_peek(&f, iov, 8), rows[i].chunks);
		assert_true(chunk_pool_bytes_out(pool) <= rows[i].bytes);
		assert_true(chunk_pool_bytes_out(pool) > rows[i].bytes - 64 * rows[i].chunks);
		fifo_clear(&f);
		assert_int_equal(chunk_pool_bytes_out(pool), 0);
	}
	free(data);
}

static void reserve_and_commit(void **state)
{
	struct fifo f;
	uint8_t *p;
	size_t room;

	fifo_init(&f, pool);
	p = fifo_reserve(&f, 0, &room);
	assert_true(room >= 1);
	assert_int_equal(f.len, 0);
	fifo_commit(&f, 0);
	assert_int_equal(chunk_pool_bytes_out(pool), 0);

	p = fifo_reserve(&f, 5, &room);
	memcpy(p, "ab", 2);
	fifo_commit(&f, 2);
	p = fifo_reserve(&f, 1, &room); /* the tail has room: the same chunk */
	assert_int_equal(room, CHUNK_SMALL - 2);
	*p = 'c';
	fifo_commit(&f, 1);
	assert_text(&f, "abc");

	p = fifo_reserve(&f, CHUNK_BIG, &room); /* the tail has not */
	assert_int_equal(room, CHUNK_BIG);
	fifo_commit(&f, 0);
	p = fifo_reserve(&f, CHUNK_BIG + 1000, &room); /* as much as there is */
	assert_int_equal(room, CHUNK_BIG);
	*p = 'd';
	fifo_commit(&f, 1);
	assert_text(&f, "abcd");

	/* reserved and then given up for something else */
	fifo_reserve(&f, CHUNK_BIG, &room);
	fifo_consume(&f, 3);
	assert_text(&f, "d");
	fifo_reserve(&f, CHUNK_BIG, &room);
	fifo_append(&f, "e", 1);
	assert_text(&f, "de");
	fifo_reserve(&f, CHUNK_BIG, &room);
	fifo_clear(&f);
	fifo_reserve(&f, 1, &room);
	fifo_clear(&f);
}

static void move(void **state)
{
	struct fifo a, b;
	size_t room;

	fifo_init(&a, pool);
	fifo_init(&b, pool);
	fifo_move(&a, &b);
	assert_int_equal(a.len, 0);
	fifo_append(&b, "one", 3);
	fifo_move(&a, &b);
	assert_text(&a, "one");
	assert_int_equal(b.len, 0);
	assert_null(b.head);
	fifo_append(&b, "two", 3);
	fifo_reserve(&a, CHUNK_BIG, &room);
	fifo_reserve(&b, CHUNK_BIG, &room);
	fifo_move(&a, &b);
	assert_text(&a, "onetwo");
	fifo_append(&a, "three", 5);
	fifo_move(&a, &b);
	assert_text(&a, "onetwothree");
	fifo_clear(&a);
	fifo_clear(&b);
}

/* Against a plain buffer: 20,000 calls in a fixed random order. */
static void any_order(void **state)
{
	static uint8_t model[1 << 21];
	size_t head = 0, tail = 0;
	struct fifo f, g;
	unsigned i;

	srand(1);
	fifo_init(&f, pool);
	fifo_init(&g, pool);
	for (i = 0; i < 20000; i++) {
		size_t n = (size_t)rand() % (rand() % 16 ? 300 : 70000), j, room;
		uint8_t *p;

		if (tail + n > sizeof(model)) {
			memmove(model, model + head, tail - head);
			tail -= head;
			head = 0;
		}
		if (tail + n > sizeof(model) || rand() % 100 < 55) {
			n = n < tail - head ? n : tail - head;
			fifo_consume(&f, n);
			head += n;
			if (head == tail)
				assert_null(f.head);
			continue;
		}
		for (j = 0; j < n; j++)
			model[tail + j] = (uint8_t)rand();
		switch (rand() % 3) {
		case 0:
			fifo_append(&f, model + tail, n);
			break;
		case 1:
			p = fifo_reserve(&f, n, &room);
			n = n < room ? n : room;
			memcpy(p, model + tail, n);
			fifo_commit(&f, n);
			break;
		case 2:
			fifo_append(&g, model + tail, n);
			fifo_move(&f, &g);
			break;
		}
		tail += n;
		assert_int_equal(f.len, tail - head);
		if (i % 16 == 0) {
			uint8_t *got = flat(&f);

			assert_memory_equal(got, model + head, tail - head);
			free(got);
		}
	}
	fifo_clear(&f);
}

#define ROW(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ROW(append_and_consume), ROW(chunk_classes), ROW(reserve_and_commit), ROW(move), ROW(any_order),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
