/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring on real sockets over loopback: the same table of tests over io_uring and over its epoll twin.
 * Where a test waits for "nothing more happens", the wait can only make it miss a bug, never fail.
 */
#define _GNU_SOURCE
#include "userspace/ring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NO_RECV = 1, ECHO = 2, CLOSE_ON_DATA = 4, CLOSE_ON_SENT = 8, STOP_ON_ACCEPT = 16, CLOSE_ON_ACCEPT = 32, LEAVE = 64 };

/* One descriptor under test, what befell it, and what it does by itself. */
struct end {
	struct ring_socket s;
	unsigned flags;
	size_t most; /* 0: RING_COMMAND_BYTES */
	int pieces;	 /* iovecs a send, 1..4 */
	size_t in, out;	 /* bytes received, sent; both streams carry pattern() from 0 */
	size_t left;	 /* bytes to send */
	unsigned receives, accepts, connects, fins, wakes, rooms, closes, fails;
	uint64_t woken;
	int error[RING_WRITABLE + 1];
	int fds[64]; /* accepted */
};

#define FDS "/proc/self/fd"
#define THREADS "/proc/self/task"

static struct ring *ring;
static uint64_t starved;
static bool inside; /* ring_run(): handlers must not be called from elsewhere */
static unsigned events;
static uint8_t *stream;
static bool cannot; /* the row found that it cannot be tried here */
static struct rlimit descriptors; /* the limit this process came with */
#define STREAM (16u << 20)

static void pattern_init(void)
{
	stream = malloc(STREAM);
	assert_non_null(stream);
	for (size_t i = 0; i < STREAM; i++)
		stream[i] = (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16) * 3);
}

static void send_more(struct end *e)
{
	const int n = e->pieces ? e->pieces : 1;
	struct iovec iov[4];
	size_t at = e->out, left = e->left < 262144 ? e->left : 262144;

	if (!e->left)
		return;
	for (int i = 0; i < n; i++) {
		size_t len = i == n - 1 ? left : left / 4;

		iov[i] = (struct iovec){ stream + at, len };
		at += len;
		left -= len;
	}
	ring_send(ring, &e->s, iov, n);
}

static void say(struct end *e, size_t len)
{
	e->left += len;
	if (!ring_busy(&e->s, RING_SEND))
		send_more(e);
}

static struct end *called(struct ring_socket *s)
{
	struct end *e = (struct end *)s;

	assert_true(inside);
	assert_false(s->closing);
	assert_int_equal(e->closes, 0);
	events++;
	return e;
}

static void received(struct ring_socket *s, const uint8_t *data, size_t len)
{
	struct end *e = called(s);

	e->receives++;
	assert_true(len <= s->most);
	if (len == 0) {
		e->fins++;
		return;
	}
	assert_true(e->in + len <= STREAM);
	assert_memory_equal(data, stream + e->in, len);
	e->in += len;
	if (e->flags & CLOSE_ON_DATA) {
		ring_close(ring, s, false);
		return;
	}
	if (e->flags & ECHO)
		say(e, len);
	if (!(e->flags & NO_RECV))
		ring_recv(ring, s, e->most ? e->most : RING_COMMAND_BYTES);
}

static void sent(struct ring_socket *s, size_t len)
{
	struct end *e = called(s);

	assert_true(len > 0 && len <= e->left);
	e->out += len;
	e->left -= len;
	if (e->flags & CLOSE_ON_SENT)
		ring_close(ring, s, false);
	else
		send_more(e);
}

static void connected(struct ring_socket *s)
{
	called(s)->connects++;
}

static void accepted(struct ring_socket *s, int fd)
{
	struct end *e = called(s);

	e->fds[e->accepts++ % 64] = fd;
	if (e->flags & STOP_ON_ACCEPT)
		ring_accept_stop(ring, s);
	if (e->flags & CLOSE_ON_ACCEPT) {
		close(fd);
		ring_close(ring, s, false);
	}
}

static void readable(struct ring_socket *s)
{
	struct end *e = called(s);
	uint64_t n = 0;

	e->wakes++;
	if (s->once)
		assert_false(ring_busy(s, RING_WATCH));
	if (e->flags & LEAVE)
		return;
	assert_int_equal(read(s->fd, &n, sizeof(n)), sizeof(n));
	e->woken += n;
}

static void writable(struct ring_socket *s)
{
	assert_false(ring_busy(s, RING_WRITABLE));
	called(s)->rooms++;
}

static void failed(struct ring_socket *s, enum ring_op op, int error)
{
	struct end *e = called(s);

	e->fails++;
	e->error[op] = error;
	assert_true(error > 0);
	assert_false(ring_busy(s, op));
}

static void closed(struct ring_socket *s)
{
	struct end *e = (struct end *)s;

	assert_true(inside);
	assert_int_equal(e->closes, 0);
	assert_int_equal(s->busy, 0);
	assert_int_equal(s->fd, -1);
	e->closes++;
	events++;
}

static const struct ring_handler on = { received, sent, connected, accepted, readable, writable, failed, closed };

static void turn(uint32_t timeout_ms)
{
	inside = true;
	assert_int_equal(ring_run(ring, timeout_ms), 0);
	inside = false;
}

/* Turns until cond; a ring that never gets there fails the test after about 20 s of doing nothing. */
#define until(cond)                                                                          \
	do {                                                                                 \
		for (int idle_ = 0; !(cond); idle_++) {                                      \
			unsigned before_ = events;                                           \
			if (idle_ > 1300) /* TCP's probe timer backs off to 120 s */         \
				fail_msg("line %d: never came: %s", __LINE__, #cond);        \
			turn(100);                                                           \
			if (events != before_)                                               \
				idle_ = 0;                                                   \
			sched_yield(); /* valgrind runs one thread at a time */              \
		}                                                                            \
	} while (0)

/* Turns until two in a row bring nothing. */
static void quiet(void)
{
	for (int idle = 0; idle < 2; idle++) {
		unsigned before = events;

		turn(20);
		if (events != before)
			idle = -1;
	}
}

static struct end *end_new(unsigned flags)
{
	struct end *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	ring_socket_init(&e->s, &on);
	e->flags = flags;
	return e;
}

static void end_free(struct end *e)
{
	if (!e->s.closing)
		ring_close(ring, &e->s, false);
	until(e->closes);
	free(e);
}

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int bound_socket(struct net_addr *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* blocking: the ring must not mind */
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(net_from_sockaddr((struct sockaddr *)&in, at), 0);
	return fd;
}

static struct end *listener_new(unsigned flags, int backlog, struct net_addr *at)
{
	struct end *l = end_new(flags);
	int fd = bound_socket(at);

	assert_int_equal(listen(fd, backlog), 0);
	ring_adopt(ring, &l->s, fd);
	return l;
}

/* Two ends of one connection: a connected through the ring, b was accepted through it. */
static void pair(struct end **a, struct end **b, unsigned flags_a, unsigned flags_b)
{
	struct net_addr at;
	struct end *l = listener_new(0, 16, &at);

	ring_accept(ring, &l->s);
	*a = end_new(flags_a);
	*b = end_new(flags_b);
	assert_int_equal(ring_connect(ring, &(*a)->s, &at, false), 0);
	until(l->accepts && (*a)->connects);
	ring_adopt(ring, &(*b)->s, l->fds[0]);
	end_free(l);
	for (int i = 0; i < 2; i++) {
		struct end *e = i ? *b : *a;

		if (!(e->flags & NO_RECV))
			ring_recv(ring, &e->s, RING_COMMAND_BYTES);
	}
}

static void small_buffers(struct end *e)
{
	const int size = 131072; /* two loopback segments; with less, Linux 6.1 crawls from one probe timer to the next */

	setsockopt(e->s.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(e->s.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* Tests. */

static void echo(void)
{
	struct end *a, *b;

	pair(&a, &b, 0, ECHO);
	for (int pieces = 1; pieces <= 4; pieces++) {
		size_t before = a->in;

		a->pieces = b->pieces = pieces;
		for (size_t len = 4; len < 9000; len = len * 3 + 1) {
			before += len;
			say(a, len);
			until(a->in == before);
		}
	}
	assert_int_equal(a->in, b->in);
	assert_int_equal(a->fails + b->fails, 0);
	end_free(a);
	until(b->fins == 1);
	end_free(b);
}

static void big_transfer_waits_for_its_reader(void)
{
	struct end *a, *b;

	pair(&a, &b, 0, NO_RECV);
	small_buffers(a);
	small_buffers(b);
	a->pieces = 4;
	say(a, STREAM);
	quiet();
	assert_true(a->out < STREAM / 2); /* what the kernel's buffers hold, no more */
	assert_true(ring_busy(&a->s, RING_SEND));
	b->flags = 0;
	b->most = RING_BODY_BYTES;
	ring_recv(ring, &b->s, RING_BODY_BYTES);
	until(b->in == STREAM);
	until(a->left == 0);
	end_free(a);
	end_free(b);
}

/* The sender was accepted and never receives: nothing but its own full socket makes it wait. */
static void sending_alone(void)
{
	struct end *a, *b;

	pair(&a, &b, NO_RECV, NO_RECV);
	small_buffers(a);
	small_buffers(b);
	say(b, STREAM);
	quiet();
	assert_true(b->out < STREAM / 2);
	a->flags = 0;
	a->most = RING_BODY_BYTES;
	ring_recv(ring, &a->s, RING_BODY_BYTES);
	until(a->in == STREAM);
	end_free(a);
	end_free(b);
}

/* A receive brings no more than was asked, whatever waits (received() looks), and the rest is for the next. */
static void receives_are_bounded(void)
{
	static const size_t asked[] = { 1, 10, RING_COMMAND_BYTES - 1, RING_COMMAND_BYTES + 1, 100000 };
	struct end *a, *b;

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		pair(&a, &b, NO_RECV, NO_RECV);
		say(a, 3 * asked[i]);
		until(a->left == 0);
		b->flags = 0;
		b->most = asked[i];
		ring_recv(ring, &b->s, asked[i]);
		until(b->in == 3 * asked[i]);
		assert_true(b->receives >= 3);
		end_free(a);
		end_free(b);
	}
}

static void both_ways_at_once(void)
{
	struct end *a, *b;

	pair(&a, &b, 0, 0);
	a->most = b->most = RING_BODY_BYTES;
	say(a, 4 << 20);
	say(b, 4 << 20);
	until(a->in == 4 << 20 && b->in == 4 << 20);
	end_free(a);
	end_free(b);
}

static unsigned segments_sent(const struct end *e)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(e->s.fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_true(len > offsetof(struct tcp_info, tcpi_segs_out));
	return info.tcpi_segs_out;
}

/* The last bytes and the FIN are one segment. */
static void last_carries_fin(void)
{
	struct end *a, *b;
	struct iovec iov = { stream, 100 };

	pair(&a, &b, 0, 0);
	unsigned before = segments_sent(a);

	a->left = 100;
	ring_send_last(ring, &a->s, &iov, 1);
	until(a->out == 100);
	ring_shutdown(ring, &a->s);
	until(b->fins);
	assert_int_equal(b->in, 100);
	assert_int_equal(segments_sent(a), before + 1);
	end_free(a);
	end_free(b);
}

/* Who begins sends SYN and bytes, and no acknowledgement of its own between them. */
static void first_carries_ack(void)
{
	struct net_addr at;
	struct end *l = listener_new(0, 16, &at), *a = end_new(0);

	ring_accept(ring, &l->s);
	assert_int_equal(ring_connect(ring, &a->s, &at, true), 0);
	until(a->connects);
	say(a, 100);
	until(a->out == 100 && l->accepts);
	assert_int_equal(segments_sent(a), 2);
	close(l->fds[0]);
	end_free(l);
	end_free(a);
}

static void half_close(void)
{
	struct end *a, *b;

	pair(&a, &b, 0, 0);
	say(a, 10);
	until(a->left == 0);
	ring_shutdown(ring, &a->s);
	until(b->fins == 1);
	assert_int_equal(b->in, 10);
	say(b, 20);
	until(a->in == 20);
	ring_recv(ring, &b->s, RING_COMMAND_BYTES); /* a FIN stays */
	until(b->fins == 2);
	end_free(b);
	until(a->fins == 1);
	end_free(a);
}

/* A FIN right behind bytes must not be lost by whoever thinks the socket drained. */
static void fin_behind_bytes(void)
{
	for (int i = 0; i < 50; i++) {
		struct end *a, *b;

		pair(&a, &b, 0, 0);
		assert_int_equal(send(a->s.fd, stream, 100, MSG_NOSIGNAL), 100);
		ring_shutdown(ring, &a->s);
		until(b->fins == 1);
		assert_int_equal(b->in, 100);
		end_free(a);
		end_free(b);
	}
}

static void reset(void)
{
	struct end *a, *b;

	pair(&a, &b, 0, 0);
	ring_close(ring, &a->s, true);
	until(b->fails == 1);
	assert_int_equal(b->error[RING_RECV], ECONNRESET);
	say(b, 5);
	until(b->fails == 2);
	assert_true(b->error[RING_SEND] == EPIPE || b->error[RING_SEND] == ECONNRESET);
	end_free(a);
	end_free(b);
}

static void reset_while_sending(void)
{
	struct end *a, *b;

	pair(&a, &b, NO_RECV, 0);
	small_buffers(a);
	small_buffers(b);
	say(b, STREAM);
	quiet();
	assert_true(ring_busy(&b->s, RING_SEND));
	ring_close(ring, &a->s, true);
	until((b->error[RING_RECV] || b->fins) && b->error[RING_SEND]); /* the first to end takes the error */
	end_free(a);
	end_free(b);
}

static void connect_refused(void)
{
	struct net_addr at;
	int fd = bound_socket(&at); /* no listen(): nobody else can have the port meanwhile */
	struct end *a = end_new(0);

	assert_int_equal(ring_connect(ring, &a->s, &at, false), 0);
	until(a->fails);
	assert_int_equal(a->error[RING_CONNECT], ECONNREFUSED);
	end_free(a);
	close(fd);
}

static void connect_to_nowhere(void)
{
	static const char *const ip[] = { "255.255.255.255", "ff02::1" }; /* refused before a packet is sent */

	for (int i = 0; i < 2; i++) {
		struct end *a = end_new(0);
		struct net_addr at = { .port = 25 };

		assert_int_equal(net_parse_ip(ip[i], &at.ip), 0);
		assert_int_equal(ring_connect(ring, &a->s, &at, false), 0);
		until(a->fails);
		assert_true(a->error[RING_CONNECT] > 0);
		end_free(a);
	}
}

/* A full backlog drops SYNs, so the connects stay under way. */
static void close_while_connecting(void)
{
	struct net_addr at;
	struct end *l = listener_new(0, 0, &at), *e[8];

	for (int i = 0; i < 8; i++) {
		e[i] = end_new(0);
		assert_int_equal(ring_connect(ring, &e[i]->s, &at, false), 0);
	}
	quiet();
	assert_true(ring_busy(&e[7]->s, RING_CONNECT));
	for (int i = 0; i < 8; i++)
		ring_close(ring, &e[i]->s, i % 2);
	for (int i = 0; i < 8; i++)
		end_free(e[i]);
	end_free(l);
}

static void close_before_the_kernel_knows(void)
{
	struct net_addr at;
	struct end *l = listener_new(0, 16, &at), *a = end_new(0), *never = end_new(0);

	ring_accept(ring, &l->s);
	assert_int_equal(ring_connect(ring, &a->s, &at, false), 0);
	ring_close(ring, &a->s, false);
	ring_close(ring, &l->s, false);
	ring_close(ring, &never->s, false);
	assert_int_equal(a->closes + l->closes + never->closes, 0);
	quiet();
	assert_int_equal(a->closes + l->closes + never->closes, 3);
	end_free(a);
	end_free(l);
	end_free(never);
}

static void close_with_everything_in_flight(void)
{
	for (int how = 0; how < 4; how++) {
		struct end *a, *b;

		pair(&a, &b, how == 2 ? CLOSE_ON_DATA : how == 3 ? CLOSE_ON_SENT : 0, NO_RECV);
		small_buffers(a);
		small_buffers(b);
		say(a, STREAM);
		if (how != 3)
			quiet();
		if (how < 2)
			ring_close(ring, &a->s, how == 1);
		assert_int_equal(send(b->s.fd, stream, 1, MSG_NOSIGNAL), 1);
		until(a->closes);
		quiet(); /* called() fails on anything more */
		assert_int_equal(a->closes, 1);
		free(a);
		end_free(b);
	}
}

static void no_descriptor_leaks(void)
{
	const int before = count_entries(FDS);
	struct net_addr at;
	struct end *l = listener_new(0, 64, &at), *a[50], *b[50];
	unsigned made = 0;

	ring_accept(ring, &l->s);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 50; i++) {
			a[i] = end_new(0);
			assert_int_equal(ring_connect(ring, &a[i]->s, &at, false), 0);
		}
		made += 50;
		until(l->accepts == made);
		for (int i = 0; i < 50; i++) {
			b[i] = end_new(0);
			ring_adopt(ring, &b[i]->s, l->fds[(made - 50 + (unsigned)i) % 64]);
			ring_recv(ring, &b[i]->s, RING_COMMAND_BYTES);
			ring_close(ring, &b[i]->s, i % 3 == 0);
			ring_close(ring, &a[i]->s, i % 5 == 0);
		}
		for (int i = 0; i < 50; i++) {
			end_free(a[i]);
			end_free(b[i]);
		}
	}
	assert_int_equal(made, 2000);
	end_free(l);
	assert_int_equal(count_entries(FDS), before);
}

/* Connections that the kernel has handed over when the listener is closed are closed, not lost. */
static void closing_a_listener_leaks_nothing(void)
{
	const int before = count_entries(FDS);
	struct net_addr at;
	struct end *l = listener_new(CLOSE_ON_ACCEPT, 64, &at), *a[20];

	for (int i = 0; i < 20; i++) {
		a[i] = end_new(0);
		assert_int_equal(ring_connect(ring, &a[i]->s, &at, false), 0);
	}
	for (int i = 0; i < 20; i++)
		until(a[i]->connects);
	ring_accept(ring, &l->s);
	until(l->closes);
	assert_int_equal(l->accepts, 1);
	for (int i = 0; i < 20; i++)
		end_free(a[i]);
	end_free(l);
	assert_int_equal(count_entries(FDS), before);
}

static void accept_stops_and_goes_on(void)
{
	struct net_addr at;
	struct end *l = listener_new(0, 64, &at), *a[3];

	ring_accept(ring, &l->s);
	ring_accept_stop(ring, &l->s);
	ring_accept_stop(ring, &l->s);
	until(!ring_busy(&l->s, RING_ACCEPT));
	for (int i = 0; i < 3; i++) {
		a[i] = end_new(0);
		assert_int_equal(ring_connect(ring, &a[i]->s, &at, false), 0);
	}
	quiet();
	assert_int_equal(l->accepts, 0);
	ring_accept(ring, &l->s);
	turn(0);
	ring_accept_stop(ring, &l->s);
	ring_accept(ring, &l->s); /* before the stop has taken place */
	until(l->accepts == 3);
	ring_accept_stop(ring, &l->s);
	ring_accept(ring, &l->s);
	l->flags = STOP_ON_ACCEPT;
	end_free(a[0]);
	a[0] = end_new(0);
	assert_int_equal(ring_connect(ring, &a[0]->s, &at, false), 0);
	until(l->accepts == 4 && !ring_busy(&l->s, RING_ACCEPT));
	for (int i = 0; i < 4; i++)
		close(l->fds[i]);
	for (int i = 0; i < 3; i++)
		end_free(a[i]);
	end_free(l);
}

/* valgrind acts as if it set the limit: what counts is the kernel's own view, through a descriptor of limits. */
static bool limit_holds(int limits, unsigned most)
{
	char text[4096] = "", *line;
	unsigned now = 0;

	assert_true(pread(limits, text, sizeof(text) - 1, 0) > 0);
	line = strstr(text, "Max open files");
	return line && sscanf(line, "Max open files %u", &now) == 1 && now == most;
}

static void accept_pauses_without_descriptors(void)
{
	const struct rlimit low = { .rlim_cur = 3, .rlim_max = descriptors.rlim_max };
	const int limits = open("/proc/self/limits", O_RDONLY | O_CLOEXEC);
	struct net_addr at;
	struct end *l = listener_new(0, 64, &at), *a = end_new(0), *b = end_new(0);
	bool holds;

	assert_int_equal(ring_connect(ring, &a->s, &at, false), 0);
	until(a->connects);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	holds = limit_holds(limits, 3);
	close(limits);
	if (holds) {
		ring_accept(ring, &l->s);
		until(l->fails);
		assert_int_equal(ring_connect(ring, &b->s, &at, false), -EMFILE);
		assert_int_equal(b->s.fd, -1);
		quiet();
		assert_int_equal(l->fails, 1);
		assert_int_equal(l->error[RING_ACCEPT], EMFILE);
		assert_int_equal(l->accepts, 0);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
	ring_accept(ring, &l->s);
	until(l->accepts == 1);
	close(l->fds[0]);
	end_free(a);
	end_free(b);
	end_free(l);
	cannot = !holds;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void descriptors_are_as_promised(void)
{
	struct end *a, *b;

	pair(&a, &b, 0, 0);
	for (int i = 0; i < 2; i++) {
		int fd = i ? b->s.fd : a->s.fd;

		assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	end_free(a);
	end_free(b);
}

static void few_buffers_serve_many(void)
{
	enum { MANY = 60 };
	struct end *a[MANY], *b[MANY];

	for (int i = 0; i < MANY; i++) {
		pair(&a[i], &b[i], 0, NO_RECV);
		say(a[i], 1000);
		until(a[i]->left == 0);
	}
	for (int i = 0; i < MANY; i++) {
		b[i]->flags = 0;
		ring_recv(ring, &b[i]->s, b[i]->most = i % 2 ? RING_BODY_BYTES : RING_COMMAND_BYTES);
	}
	ring_close(ring, &b[MANY / 2]->s, false); /* one may go while it waits */
	for (int i = 0; i < MANY; i++)
		until(i == MANY / 2 || b[i]->in == 1000);
	if (ring_kind(ring) == RING_URING)
		assert_true(starved > 0);
	for (int i = 0; i < MANY; i++) {
		end_free(a[i]);
		end_free(b[i]);
	}
}

static void few_submissions_serve_many(void)
{
	enum { MANY = 100 };
	struct end *a[MANY], *b[MANY];

	for (int i = 0; i < MANY; i++)
		pair(&a[i], &b[i], NO_RECV, NO_RECV);
	for (int i = 0; i < MANY; i++) {
		ring_recv(ring, &a[i]->s, RING_COMMAND_BYTES);
		ring_recv(ring, &b[i]->s, RING_COMMAND_BYTES);
		a[i]->flags = 0;
		b[i]->flags = ECHO;
	}
	assert_int_equal(send(b[MANY - 1]->s.fd, stream, 1, MSG_NOSIGNAL), 1);
	b[MANY - 1]->out = 1;
	while (a[MANY - 1]->in < 1)
		turn(UINT32_MAX); /* what is still to be done is not slept over */
	for (int i = 0; i < MANY; i++) {
		a[i]->pieces = 1 + i % 4;
		say(a[i], 3000);
	}
	for (int i = 0; i < MANY; i++)
		while (a[i]->in < 3000)
			turn(UINT32_MAX);
	for (int i = 0; i < MANY; i++) {
		say(a[i], 100);
		ring_close(ring, &a[i]->s, false);
		ring_close(ring, &b[i]->s, i % 2);
	}
	for (int i = 0; i < MANY; i++)
		while (!a[i]->closes || !b[i]->closes)
			turn(UINT32_MAX);
	for (int i = 0; i < MANY; i++) {
		end_free(a[i]);
		end_free(b[i]);
	}
}

/* More operations than the queue takes, ended again before the kernel has heard of them. */
static void stop_what_is_still_queued(void)
{
	enum { MANY = 20 };
	struct end *a[MANY], *b[MANY], *l;
	struct net_addr at;

	for (int i = 0; i < MANY; i++)
		pair(&a[i], &b[i], NO_RECV, NO_RECV);
	l = listener_new(0, 16, &at);
	for (int i = 0; i < MANY; i++) {
		ring_recv(ring, &a[i]->s, RING_COMMAND_BYTES);
		say(a[i], 10);
	}
	ring_accept(ring, &l->s);
	ring_accept_stop(ring, &l->s);
	ring_accept(ring, &l->s);
	for (int i = 0; i < MANY; i++)
		ring_close(ring, &a[i]->s, i % 2);
	for (int i = 0; i < MANY; i++) {
		end_free(a[i]);
		end_free(b[i]);
	}
	a[0] = end_new(0);
	assert_int_equal(ring_connect(ring, &a[0]->s, &at, false), 0);
	until(l->accepts == 1);
	close(l->fds[0]);
	end_free(a[0]);
	end_free(l);
}

static void *wake(void *arg)
{
	const uint64_t one = 1;

	for (int i = 0; i < 1000; i++)
		if (write(*(int *)arg, &one, sizeof(one)) != sizeof(one))
			return arg;
	return NULL;
}

static void watch_from_another_thread(void)
{
	struct end *w = end_new(0);
	const int threads = count_entries(THREADS);
	pthread_t thread;
	void *trouble;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	ring_adopt(ring, &w->s, fd);
	ring_watch(ring, &w->s);
	assert_int_equal(pthread_create(&thread, NULL, wake, &fd), 0);
	until(w->woken == 1000);
	assert_int_equal(pthread_join(thread, &trouble), 0);
	assert_null(trouble);
	while (count_entries(THREADS) != threads) /* one that was joined stands there for a moment longer */
		sched_yield();
	w->flags = LEAVE; /* level: told again until it is read */
	w->wakes = 0;
	assert_null(wake(&fd));
	until(w->wakes >= 3);
	assert_true(ring_busy(&w->s, RING_WATCH));
	end_free(w);
}

/* What is awaited is told once each time it is asked for: at once where it is so already, whoever took the bytes before. */
static void await_input(void)
{
	struct end *a, *b;
	char some[64];

	pair(&a, &b, 0, NO_RECV | LEAVE);
	ring_await_input(ring, &b->s);
	quiet();
	assert_int_equal(b->wakes, 0);
	say(a, 100);
	until(b->wakes == 1);
	quiet();
	assert_int_equal(b->wakes, 1);
	assert_int_equal(recv(b->s.fd, some, 40, 0), 40); /* the rest is there, and no new packet says so */
	ring_await_input(ring, &b->s);
	until(b->wakes == 2);
	assert_int_equal(recv(b->s.fd, some, 64, 0), 60);
	assert_int_equal(recv(b->s.fd, some, 64, 0), -1);
	ring_await_input(ring, &b->s);
	quiet();
	assert_int_equal(b->wakes, 2);
	say(a, 10);
	until(b->wakes == 3);
	ring_recv(ring, &b->s, RING_COMMAND_BYTES); /* its kin by completion finds what is there */
	b->in = 100;
	until(b->in == 110);
	ring_await_input(ring, &b->s);
	ring_shutdown(ring, &a->s);
	until(b->wakes == 4);
	assert_int_equal(recv(b->s.fd, some, 64, 0), 0);
	end_free(a);
	end_free(b);
}

static void await_room(void)
{
	struct end *a, *b;
	size_t put = 0;
	ssize_t n;

	pair(&a, &b, NO_RECV, NO_RECV);
	small_buffers(a);
	small_buffers(b);
	ring_await_room(ring, &b->s);
	until(b->rooms == 1);
	for (int i = 0; i < 3;) { /* full is what stays full while the kernel moves bytes on */
		n = send(b->s.fd, stream + put, 4096, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			put += (size_t)n;
		else
			i++, quiet();
	}
	ring_await_room(ring, &b->s);
	quiet();
	assert_int_equal(b->rooms, 1);
	a->flags = 0;
	a->most = RING_BODY_BYTES;
	ring_recv(ring, &a->s, RING_BODY_BYTES);
	until(b->rooms == 2);
	until(a->in == put);
	ring_await_room(ring, &b->s); /* both at once, and closed with both in flight */
	ring_await_input(ring, &b->s);
	end_free(b);
	until(a->fins == 1);
	end_free(a);
}

static void await_is_told_of_a_reset(void)
{
	struct end *a, *b;
	char some[4];

	pair(&a, &b, NO_RECV, NO_RECV | LEAVE);
	ring_await_input(ring, &b->s);
	ring_close(ring, &a->s, true);
	until(b->wakes == 1);
	assert_int_equal(recv(b->s.fd, some, 4, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	end_free(a);
	end_free(b);
}

static void the_clock_is_read_each_turn(void)
{
	uint64_t start = ring_now(ring);

	turn(0);
	turn(30);
	assert_true(ring_now(ring) >= start + 25);
	assert_non_null(ring_describe(ring));
}

/* Lets the rest of this process get EPERM from one system call. */
static void forbid(int number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(99);
}

/* In a child: 0 if ring_new() chose epoll, said why, and left no descriptor of the attempt behind. */
static int choose_without(int number)
{
	const struct ring_settings automatic = { .backend = RING_AUTO }, uring = { .backend = RING_URING };
	int before = count_entries(FDS);
	const char *why;
	struct ring *r;

	forbid(number);
	if (ring_new(&uring, &r, &why) >= 0)
		return 1;
	if (count_entries(FDS) != before)
		return 2;
	if (ring_new(&automatic, &r, &why) != 0 || ring_kind(r) != RING_EPOLL)
		return 3;
	if (strncmp(why, "epoll: io_uring", 15) || !strstr(why, strerror(EPERM)))
		return 4;
	ring_free(r);
	return count_entries(FDS) == before ? 0 : 5;
}

static void io_uring_forbidden(void **state)
{
	static const int calls[] = { SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			_exit(choose_without(calls[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

struct row {
	const char *name;
	void (*run)(void);
	struct ring_settings set;
};

static const struct row rows[] = {
	{ .name = "echo", .run = echo },
	{ .name = "big transfer waits for its reader", .run = big_transfer_waits_for_its_reader },
	{ .name = "sending alone", .run = sending_alone },
	{ .name = "receives are bounded", .run = receives_are_bounded },
	{ .name = "both ways at once", .run = both_ways_at_once },
	{ .name = "half-close", .run = half_close },
	{ .name = "the last bytes carry the FIN", .run = last_carries_fin },
	{ .name = "the first bytes carry the handshake's end", .run = first_carries_ack },
	{ .name = "FIN behind bytes", .run = fin_behind_bytes },
	{ .name = "reset", .run = reset },
	{ .name = "reset while sending", .run = reset_while_sending },
	{ .name = "connect refused", .run = connect_refused },
	{ .name = "connect to nowhere", .run = connect_to_nowhere },
	{ .name = "close while connecting", .run = close_while_connecting },
	{ .name = "close before the kernel knows", .run = close_before_the_kernel_knows },
	{ .name = "close with everything in flight", .run = close_with_everything_in_flight },
	{ .name = "no descriptor leaks", .run = no_descriptor_leaks },
	{ .name = "closing a listener leaks nothing", .run = closing_a_listener_leaks_nothing },
	{ .name = "accept stops and goes on", .run = accept_stops_and_goes_on },
	{ .name = "accept pauses without descriptors", .run = accept_pauses_without_descriptors },
	{ .name = "descriptors are as promised", .run = descriptors_are_as_promised },
	{ .name = "few buffers serve many", .run = few_buffers_serve_many, { .command_buffers = 2, .body_buffers = 1 } },
	{ .name = "few submissions serve many", .run = few_submissions_serve_many, { .entries = 4 } },
	{ .name = "stop what is still queued", .run = stop_what_is_still_queued, { .entries = 4 } },
	{ .name = "watch from another thread", .run = watch_from_another_thread },
	{ .name = "input awaited", .run = await_input },
	{ .name = "room awaited", .run = await_room },
	{ .name = "a reset where input is awaited", .run = await_is_told_of_a_reset },
	{ .name = "the clock is read each turn", .run = the_clock_is_read_each_turn },
};

struct one_test {
	char name[80];
	const struct row *row;
	enum ring_backend backend;
};

static void run_row(void **state)
{
	const struct one_test *t = *state;
	struct ring_settings set = t->row->set;
	const char *why;
	int err, threads;

	starved = 0;
	inside = cannot = false;
	set.backend = t->backend;
	set.starved = &starved;
	setrlimit(RLIMIT_NOFILE, &descriptors); /* a row that failed may have left another */
	err = ring_new(&set, &ring, &why);
	if (err && t->backend == RING_URING) {
		print_message("# skipped: %s\n", why);
		skip();
	}
	assert_int_equal(err, 0);
	assert_int_equal(ring_kind(ring), t->backend);
	threads = count_entries(THREADS);
	t->row->run();
	assert_int_equal(count_entries(THREADS), threads); /* nothing was handed to a kernel worker thread (iou-wrk) */
	ring_free(ring);
	ring = NULL;
	if (cannot)
		skip();
}

int main(void)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	static struct one_test all[2 * ROWS];
	struct CMUnitTest tests[2 * ROWS + 1];

	alarm(500); /* a ring that sleeps for ever ends the test */
	pattern_init();
	getrlimit(RLIMIT_NOFILE, &descriptors);
	for (int i = 0; i < 2 * ROWS; i++) {
		all[i].row = &rows[i % ROWS];
		all[i].backend = i < ROWS ? RING_URING : RING_EPOLL;
		snprintf(all[i].name, sizeof(all[i].name), "%s: %s", i < ROWS ? "io_uring" : "epoll", all[i].row->name);
		tests[i] = (struct CMUnitTest){ all[i].name, run_row, NULL, NULL, &all[i] };
	}
	tests[2 * ROWS] = (struct CMUnitTest)cmocka_unit_test(io_uring_forbidden);
	int failures = cmocka_run_group_tests_name("ring", tests, NULL, NULL);

	free(stream);
	return failures;
}
