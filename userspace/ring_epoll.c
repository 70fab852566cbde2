/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The epoll twin, for hosts where io_uring is forbidden (kernel.io_uring_disabled, container seccomp profiles).
 *
 * A socket is registered once, edge-triggered in both directions, when it first has to wait; after that only
 * its state bits tell whether a call is worth trying, so a round of SMTP costs one epoll_wait, one recv and
 * one send.  All work is done from one fifo of sockets that have an operation in flight and a chance to finish
 * it: epoll_wait() fills it, handlers add to it, ring_run() empties it up to a bound.  Since a socket is worked
 * on from the fifo only, closed() can never free what an event of the same turn still points to.
 *
 * One scratch buffer serves every receive.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/ring_backend.h"

enum {
	STATE_ADDED = RING_STATE_OWN, /* epoll knows the descriptor */
	STATE_IN = 16,		      /* a receive, accept or watch is worth trying */
	STATE_OUT = 32,		      /* a send is worth trying, a connect has ended */
	STATE_END = 64,		      /* FIN, reset or error: receives will not wait any more */
};

enum { EVENTS_MAX = 128 };

struct twin {
	struct ring base;
	int epoll;
	struct ring_list ready;
	struct epoll_event events[EVENTS_MAX];
	uint8_t scratch[RING_BODY_BYTES];
};

static struct twin *of(struct ring *r)
{
	return (struct twin *)r;
}

static bool has_chance(const struct ring_socket *s)
{
	const unsigned in = 1u << RING_ACCEPT | 1u << RING_RECV | 1u << RING_WATCH;
	const unsigned out = 1u << RING_SEND | 1u << RING_CONNECT | 1u << RING_WRITABLE;

	return s->closing || (s->busy & in && s->state & STATE_IN) || (s->busy & out && s->state & STATE_OUT);
}

/* Waits for an edge; the kernel reports at once what is true already.  Watches are level-triggered. */
static int await(struct twin *t, struct ring_socket *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (s->state & STATE_ADDED)
		return 0;
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, s->fd, &e) < 0)
		return -errno;
	s->state |= STATE_ADDED;
	return 0;
}

static int await_both(struct twin *t, struct ring_socket *s)
{
	return await(t, s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static int start_connect(struct twin *t, struct ring_socket *s)
{
	const socklen_t len = s->to.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(s->to);

	if (connect(s->fd, (struct sockaddr *)&s->to, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return await_both(t, s);
}

static void twin_start(struct ring *r, struct ring_socket *s, enum ring_op op)
{
	struct twin *t = of(r);
	int err = 0;

	if (!(s->state & STATE_ADDED) && (op == RING_RECV || op == RING_SEND))
		s->state |= STATE_OUT; /* a fresh connection has room */
	switch (op) {
	case RING_ACCEPT:
		err = await(t, s, EPOLLIN | EPOLLET);
		break;
	case RING_CONNECT:
		err = start_connect(t, s);
		break;
	case RING_RECV:
		err = await_both(t, s);
		break;
	case RING_SEND:
		break;
	case RING_WATCH:
		err = s->once ? await_both(t, s) : await(t, s, EPOLLIN);
		if (s->once)
			s->state |= STATE_IN; /* its owner reads by itself, so only poll(2) knows: see is_so() */
		break;
	case RING_WRITABLE:
		err = await_both(t, s);
		s->state |= STATE_OUT;
		break;
	}
	if (err) {
		s->error = -err; /* told from ring_run(): see finish_error() */
		s->parked |= (uint8_t)(1u << op);
		s->state |= STATE_IN | STATE_OUT;
	}
	if (has_chance(s))
		ring_list_add(&t->ready, s);
}

static void twin_accept_stop(struct ring *r, struct ring_socket *s)
{
	s->busy &= (uint8_t)~(1u << RING_ACCEPT);
}

static void twin_close(struct ring *r, struct ring_socket *s)
{
	s->busy = 0;
	ring_list_add(&of(r)->ready, s);
}

static void finish_close(struct twin *t, struct ring_socket *s)
{
	if (s->fd >= 0) {
		/* Explicitly: a descriptor inherited across fork() or handed over would keep its registration. */
		if (s->state & STATE_ADDED)
			epoll_ctl(t->epoll, EPOLL_CTL_DEL, s->fd, NULL);
		ring_linger(s);
		close(s->fd);
		t->base.open--;
	}
	s->fd = -1;
	s->on->closed(s);
}

static void fail(struct ring_socket *s, enum ring_op op, int error)
{
	s->busy &= (uint8_t)~(1u << op);
	s->on->failed(s, op, error);
}

/* The operation could not even be started. */
static void finish_error(struct ring_socket *s)
{
	for (unsigned op = 0; op <= RING_WRITABLE && !s->closing; op++) {
		if (!(s->parked & (1u << op)))
			continue;
		s->parked &= (uint8_t)~(1u << op);
		if (op == RING_ACCEPT)
			s->state &= (uint8_t)~RING_STATE_ACCEPTING;
		if (ring_busy(s, op))
			fail(s, op, s->error);
	}
}

static void try_connect(struct ring_socket *s)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		fail(s, RING_CONNECT, error);
		return;
	}
	s->busy &= (uint8_t)~(1u << RING_CONNECT);
	s->on->connected(s);
}

static void try_send(struct twin *t, struct ring_socket *s)
{
	const struct msghdr m = { .msg_iov = s->iov, .msg_iovlen = s->iov_count };
	ssize_t n;
	int err = 0;

	if (s->iov_count == 1)
		n = send(s->fd, s->iov[0].iov_base, s->iov[0].iov_len, ring_send_flags(s));
	else
		n = sendmsg(s->fd, &m, ring_send_flags(s));
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		fail(s, RING_SEND, errno);
		return;
	}
	if (n >= 0) {
		s->busy &= (uint8_t)~(1u << RING_SEND);
		s->on->sent(s, (size_t)n);
		return;
	}
	if (errno == EAGAIN) {
		s->state &= (uint8_t)~STATE_OUT;
		err = await_both(t, s);
	}
	if (err)
		fail(s, RING_SEND, -err);
}

static void try_recv(struct twin *t, struct ring_socket *s)
{
	const size_t most = s->most;
	ssize_t n = recv(s->fd, t->scratch, most, 0);

	if (n < 0 && errno == EINTR)
		return;
	if (n < 0 && errno == EAGAIN) {
		s->state &= (uint8_t)~STATE_IN;
		return;
	}
	if (n < 0) {
		fail(s, RING_RECV, errno);
		return;
	}
	/* Short means drained (epoll(7), edge-triggered); not so when a FIN waits behind the bytes. */
	if ((size_t)n < most && !(s->state & STATE_END))
		s->state &= (uint8_t)~STATE_IN;
	s->busy &= (uint8_t)~(1u << RING_RECV);
	s->on->received(s, t->scratch, (size_t)n);
}

static void try_accept(struct ring_socket *s)
{
	for (int left = RING_ACCEPTS_ROUND_MAX; left && ring_busy(s, RING_ACCEPT); left--) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			s->on->accepted(s, fd);
		} else if (errno == EAGAIN) {
			s->state &= (uint8_t)~STATE_IN;
			return;
		} else if (!ring_accept_error_passes(errno)) {
			s->state &= (uint8_t)~RING_STATE_ACCEPTING;
			fail(s, RING_ACCEPT, errno);
			return;
		}
	}
}

/* Is a socket ready whose owner moves bytes by itself?  Where not, the next edge says so. */
static bool is_so(const struct ring_socket *s, short events)
{
	struct pollfd f = { .fd = s->fd, .events = events };

	return poll(&f, 1, 0) != 0;
}

static void try_watch(struct ring_socket *s)
{
	if (!s->once) {
		s->state &= (uint8_t)~STATE_IN; /* level-triggered: epoll says so again */
		s->on->readable(s);
	} else if (is_so(s, POLLIN)) {
		s->busy &= (uint8_t)~(1u << RING_WATCH);
		s->on->readable(s);
	} else {
		s->state &= (uint8_t)~STATE_IN;
	}
}

static void try_writable(struct ring_socket *s)
{
	if (is_so(s, POLLOUT)) {
		s->busy &= (uint8_t)~(1u << RING_WRITABLE);
		s->on->writable(s);
	} else {
		s->state &= (uint8_t)~STATE_OUT;
	}
}

/* Tries what is in flight on s and may succeed.  A handler may have closed s, or asked for more, at each step. */
static void work(struct twin *t, struct ring_socket *s)
{
	if (s->parked && !s->closing)
		finish_error(s);
	if (ring_busy(s, RING_CONNECT) && s->state & STATE_OUT)
		try_connect(s);
	if (ring_busy(s, RING_SEND) && s->state & STATE_OUT)
		try_send(t, s);
	if (ring_busy(s, RING_RECV) && s->state & STATE_IN)
		try_recv(t, s);
	if (ring_busy(s, RING_ACCEPT) && s->state & STATE_IN)
		try_accept(s);
	if (ring_busy(s, RING_WATCH) && s->state & STATE_IN)
		try_watch(s);
	if (ring_busy(s, RING_WRITABLE) && s->state & STATE_OUT)
		try_writable(s);
}

static void take_events(struct twin *t, int count)
{
	for (int i = 0; i < count; i++) {
		struct ring_socket *s = t->events[i].data.ptr;
		const uint32_t e = t->events[i].events;

		if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			s->state |= STATE_IN;
		if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			s->state |= STATE_OUT;
		if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			s->state |= STATE_END;
		if (has_chance(s))
			ring_list_add(&t->ready, s);
	}
}

static int twin_run(struct ring *r, uint32_t timeout_ms)
{
	struct twin *t = of(r);
	const int wait = t->ready.head ? 0 : timeout_ms > INT32_MAX ? -1 : (int)timeout_ms;
	int count = epoll_wait(t->epoll, t->events, EVENTS_MAX, wait);

	r->now = ring_clock();
	if (count < 0 && errno != EINTR)
		return -errno;
	take_events(t, count);
	for (unsigned left = RING_TURN_MAX; left && t->ready.head; left--) {
		struct ring_socket *s = t->ready.head;

		ring_list_del(&t->ready, s);
		if (s->closing) {
			finish_close(t, s);
			continue;
		}
		work(t, s);
		if (has_chance(s))
			ring_list_add(&t->ready, s);
	}
	return 0;
}

static void twin_free(struct ring *r)
{
	close(of(r)->epoll);
	free(r);
}

static const struct ring_ops ops = {
	.kind = RING_EPOLL,
	.start = twin_start,
	.accept_stop = twin_accept_stop,
	.close = twin_close,
	.run = twin_run,
	.free = twin_free,
};

int ring_epoll_new(const struct ring_settings *set, struct ring **r, char *why, size_t why_size)
{
	struct twin *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->base.ops = &ops;
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0) {
		err = -errno;
		free(t);
		snprintf(why, why_size, "epoll_create1: %s", strerror(-err));
		return err;
	}
	snprintf(why, why_size, "epoll");
	snprintf(t->base.about, sizeof(t->base.about), "epoll: edge-triggered, one receive buffer of %u", RING_BODY_BYTES);
	*r = &t->base;
	return 0;
}
