/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake ring itself: what it promises in fake_ring.h, on an echo server that closes at FIN. */
#include "tests/unit/fake_ring.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

struct echo {
	struct ring_socket s;
	uint8_t held[RING_BODY_BYTES];
	size_t len, off;
	unsigned received, connected, closed, woken, accepted;
	int error;
	enum ring_op failed;
};

static struct ring *ring;

static void send_rest(struct echo *e)
{
	const struct iovec iov[2] = { { e->held + e->off, 1 }, { e->held + e->off + 1, e->len - e->off - 1 } };

	ring_send(ring, &e->s, iov, e->len - e->off > 1 ? 2 : 1);
}

static void received(struct ring_socket *s, const uint8_t *data, size_t len)
{
	struct echo *e = (struct echo *)s;

	e->received++;
	if (!len) {
		ring_close(ring, s, false);
		return;
	}
	memcpy(e->held, data, len);
	e->len = len;
	e->off = 0;
	send_rest(e);
}

static void sent(struct ring_socket *s, size_t len)
{
	struct echo *e = (struct echo *)s;

	e->off += len;
	if (e->off < e->len)
		send_rest(e);
	else
		ring_recv(ring, s, RING_COMMAND_BYTES);
}

static void connected(struct ring_socket *s)
{
	((struct echo *)s)->connected++;
	ring_recv(ring, s, RING_COMMAND_BYTES);
}

static void accepted(struct ring_socket *s, int fd)
{
	((struct echo *)s)->accepted += (unsigned)fd;
	ring_accept_stop(ring, s);
}

static void readable(struct ring_socket *s)
{
	uint64_t n;

	((struct echo *)s)->woken++;
	if (s->once)
		return;
	assert_int_equal(read(s->fd, &n, sizeof(n)), sizeof(n));
}

static void writable(struct ring_socket *s)
{
	((struct echo *)s)->woken += 100;
}

static void failed(struct ring_socket *s, enum ring_op op, int error)
{
	struct echo *e = (struct echo *)s;

	e->failed = op;
	e->error = error;
}

static void closed(struct ring_socket *s)
{
	((struct echo *)s)->closed++;
}

static const struct ring_handler on = { received, sent, connected, accepted, readable, writable, failed, closed };

static struct echo *echo_new(void)
{
	struct echo *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	ring_socket_init(&e->s, &on);
	return e;
}

static int set_up(void **state)
{
	const struct ring_settings set = { .backend = RING_AUTO };
	const char *why;

	return ring_new(&set, &ring, &why);
}

static int tear_down(void **state)
{
	ring_free(ring);
	return 0;
}

static void echoes_in_short_sends(void **state)
{
	struct echo *e = echo_new();
	struct fake_peer *p;

	ring_adopt(ring, &e->s, 7);
	p = fake_peer(ring, &e->s);
	ring_recv(ring, &e->s, RING_COMMAND_BYTES);
	fake_say_text(p, "EHLO");
	fake_say_text(p, " a\r\n");
	assert_string_equal((char *)p->got, ""); /* nothing before ring_run() */
	p->per_send = 3;
	fake_settle(ring);
	assert_string_equal((char *)p->got, "EHLO a\r\n");
	assert_int_equal(e->received, 2);
	fake_clear(p);
	p->window = 1;
	fake_say_text(p, "RSET");
	fake_settle(ring);
	assert_string_equal((char *)p->got, "R");
	p->window = SIZE_MAX;
	fake_fin(p);
	fake_settle(ring);
	assert_string_equal((char *)p->got, "RSET");
	assert_int_equal(e->closed, 1);
	assert_true(p->got_fin && !p->got_reset && !p->socket);
	assert_int_equal(p->got_total, 12);
	free(e);
}

static void a_receive_brings_no_more_than_its_room(void **state)
{
	static uint8_t big[RING_COMMAND_BYTES + 10];
	struct echo *e = echo_new();

	memset(big, 'x', sizeof(big));
	ring_adopt(ring, &e->s, 7);
	ring_recv(ring, &e->s, RING_COMMAND_BYTES);
	fake_say(fake_peer_last(ring), big, sizeof(big));
	fake_settle(ring);
	assert_int_equal(e->received, 2);
	ring_close(ring, &e->s, true);
	assert_int_equal(e->closed, 0);
	fake_settle(ring);
	assert_int_equal(e->closed, 1);
	assert_true(fake_peer_at(ring, 0)->got_reset);
	free(e);
}

static void connects_as_told(void **state)
{
	const struct net_addr to = { .port = 25 };
	struct echo *e = echo_new();

	fake_connect_returns(ring, -EMFILE);
	assert_int_equal(ring_connect(ring, &e->s, &to, false), -EMFILE);
	fake_connect_returns(ring, 0);
	assert_int_equal(ring_connect(ring, &e->s, &to, false), 0);
	assert_int_equal(fake_settle(ring), 0);
	assert_ptr_equal(fake_connecting(ring)->socket, &e->s);
	assert_int_equal(fake_connecting(ring)->to.port, 25);
	fake_answer(fake_connecting(ring), ECONNREFUSED);
	fake_settle(ring);
	assert_int_equal(e->failed, RING_CONNECT);
	assert_int_equal(e->error, ECONNREFUSED);
	ring_close(ring, &e->s, false);
	fake_settle(ring);
	ring_socket_init(&e->s, &on);
	fake_connect_answers(ring, true);
	assert_int_equal(ring_connect(ring, &e->s, &to, false), 0);
	fake_settle(ring);
	assert_int_equal(e->connected, 1);
	fake_reset(fake_peer_last(ring));
	fake_settle(ring);
	assert_int_equal(e->failed, RING_RECV);
	assert_int_equal(e->error, ECONNRESET);
	ring_close(ring, &e->s, false);
	fake_settle(ring);
	assert_int_equal(fake_open(ring), 0);
	free(e);
}

static void accepts_watches_and_tells_time(void **state)
{
	struct echo *l = echo_new(), *w = echo_new();
	const uint64_t start = ring_now(ring);

	ring_adopt(ring, &l->s, 3);
	ring_accept(ring, &l->s);
	fake_offer(fake_peer(ring, &l->s), 40);
	fake_offer(fake_peer(ring, &l->s), 2);
	fake_settle(ring);
	assert_int_equal(l->accepted, 40); /* it stops after one */
	ring_accept(ring, &l->s);
	fake_settle(ring);
	assert_int_equal(l->accepted, 42);
	ring_adopt(ring, &w->s, eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC));
	ring_watch(ring, &w->s);
	fake_settle(ring);
	assert_int_equal(w->woken, 1);
	fake_advance(ring, 17);
	ring_run(ring, 1000);
	assert_int_equal(ring_now(ring) - start, 17);
	close(w->s.fd);
	ring_close(ring, &l->s, false);
	ring_close(ring, &w->s, false);
	fake_settle(ring);
	free(l);
	free(w);
}

static void awaits_input_and_room(void **state)
{
	struct echo *e = echo_new();
	struct fake_peer *p;

	ring_adopt(ring, &e->s, 3);
	p = fake_peer(ring, &e->s);
	p->window = 0;
	ring_await_input(ring, &e->s);
	ring_await_room(ring, &e->s);
	fake_settle(ring);
	assert_int_equal(e->woken, 0);
	fake_say_text(p, "x");
	fake_settle(ring);
	assert_int_equal(e->woken, 1);
	assert_false(ring_busy(&e->s, RING_WATCH));
	p->window = 1;
	fake_settle(ring);
	assert_int_equal(e->woken, 101);
	assert_int_equal(e->s.busy, 0);
	ring_close(ring, &e->s, false);
	fake_settle(ring);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(echoes_in_short_sends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_receive_brings_no_more_than_its_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connects_as_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(accepts_watches_and_tells_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(awaits_input_and_room, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("fake_ring", tests, NULL, NULL);
}
