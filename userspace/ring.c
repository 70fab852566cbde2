/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of the ring that both back ends share: the choice between them, the rules of ring.h as asserts,
 * and the few system calls that need no completion.
 *
 * shutdown(2) is called directly: IORING_OP_SHUTDOWN always goes to a kernel worker thread (REQ_F_FORCE_ASYNC,
 * io_uring/net.c), which costs far more than the system call.
 */
#include "userspace/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/ring_backend.h"

struct trial {
	struct ring_socket s;
	size_t sent, received;
	int error;
	bool closed;
};

static void trial_received(struct ring_socket *s, const uint8_t *data, size_t len)
{
	((struct trial *)s)->received = len == 4 && !memcmp(data, "ping", 4) ? len : 0;
}

static void trial_sent(struct ring_socket *s, size_t len)
{
	((struct trial *)s)->sent = len;
}

static void trial_failed(struct ring_socket *s, enum ring_op op, int error)
{
	((struct trial *)s)->error = error;
}

static void trial_closed(struct ring_socket *s)
{
	((struct trial *)s)->closed = true;
}

static int trial_run(struct ring *r, struct trial t[2])
{
	char ping[] = "ping";
	const struct iovec iov[2] = { { ping, 2 }, { ping + 2, 2 } };
	int err = 0;

	ring_recv(r, &t[0].s, RING_COMMAND_BYTES);
	ring_send(r, &t[1].s, iov, 2);
	for (int i = 0; i < 8 && !err && !t[0].error && !t[1].error && !(t[0].received && t[1].sent); i++)
		err = ring_run(r, 250);
	for (int i = 0; i < 2; i++)
		ring_close(r, &t[i].s, false);
	for (int i = 0; i < 8 && !err && !(t[0].closed && t[1].closed); i++)
		err = ring_run(r, 250);
	if (!err)
		err = t[0].error ? -t[0].error : -t[1].error;
	if (!err && !(t[0].closed && t[1].closed))
		err = -ETIMEDOUT;
	return err ? err : t[0].received == 4 && t[1].sent == 4 ? 0 : -EIO;
}

/*
 * Sends four bytes over a socket pair and receives them, by the very operations sessions will use.  A kernel or
 * a seccomp filter that grants io_uring_setup(2) and then refuses or hangs is found out here.
 */
static int trial(struct ring *r)
{
	static const struct ring_handler on = {
		.received = trial_received, .sent = trial_sent, .failed = trial_failed, .closed = trial_closed
	};
	struct trial t[2] = { 0 };
	int fd[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		ring_socket_init(&t[i].s, &on);
		ring_adopt(r, &t[i].s, fd[i]);
	}
	err = trial_run(r, t);
	for (int i = 0; i < 2; i++)
		if (!t[i].closed)
			close(fd[i]);
	return err;
}

static int make(const struct ring_settings *set, enum ring_backend kind, struct ring **made, char *why, size_t size)
{
	struct ring *r;
	int err = kind == RING_URING ? ring_uring_new(set, &r, why, size) : ring_epoll_new(set, &r, why, size);

	if (err)
		return err;
	r->starved = set->starved ? set->starved : &r->starved_unread;
	r->now = ring_clock();
	err = trial(r);
	if (err) {
		snprintf(why, size, "%s: trial: %s", kind == RING_URING ? "io_uring" : "epoll", strerror(-err));
		r->ops->free(r);
		return err;
	}
	*made = r;
	return 0;
}

int ring_new(const struct ring_settings *set, struct ring **r, const char **why)
{
	static _Thread_local char text[256];
	char refused[160] = "";
	int err;

	*why = text;
	text[0] = '\0';
	if (set->backend != RING_AUTO)
		return make(set, set->backend, r, text, sizeof(text));
	err = make(set, RING_URING, r, text, sizeof(text));
	if (!err)
		return 0;
	snprintf(refused, sizeof(refused), "%.*s", (int)sizeof(refused) - 1, text);
	err = make(set, RING_EPOLL, r, text, sizeof(text));
	if (!err) {
		size_t len = strlen((*r)->about);

		snprintf((*r)->about + len, sizeof((*r)->about) - len, "; %s", refused);
		snprintf(text, sizeof(text), "epoll: %s", refused);
	}
	return err;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	assert(r->open == 0);
	r->ops->free(r);
}

enum ring_backend ring_kind(const struct ring *r)
{
	return r->ops->kind;
}

uint64_t ring_now(const struct ring *r)
{
	return r->now;
}

const char *ring_describe(const struct ring *r)
{
	return r->about;
}

int ring_run(struct ring *r, uint32_t timeout_ms)
{
	return r->ops->run(r, timeout_ms);
}

void ring_socket_init(struct ring_socket *s, const struct ring_handler *on)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->on = on;
}

void ring_adopt(struct ring *r, struct ring_socket *s, int fd)
{
	assert(s->fd < 0 && !s->closing && fd >= 0);
	s->fd = fd;
	r->open++;
}

static void start(struct ring *r, struct ring_socket *s, enum ring_op op)
{
	assert(s->fd >= 0 && !s->closing && !ring_busy(s, op));
	s->busy |= (uint8_t)(1u << op);
	r->ops->start(r, s, op);
}

/* Connections inherit TCP_NODELAY from the listener (sk_clone copies tcp_sock.nonagle): no call a connection. */
static void prepare_listener(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

void ring_accept(struct ring *r, struct ring_socket *s)
{
	assert(s->fd >= 0 && !s->closing && !(s->state & RING_STATE_ACCEPTING));
	s->state |= RING_STATE_ACCEPTING;
	if (ring_busy(s, RING_ACCEPT)) /* a stop is under way: its end starts anew */
		return;
	prepare_listener(s->fd);
	start(r, s, RING_ACCEPT);
}

void ring_accept_stop(struct ring *r, struct ring_socket *s)
{
	assert(!s->closing);
	if (!(s->state & RING_STATE_ACCEPTING))
		return;
	s->state &= (uint8_t)~RING_STATE_ACCEPTING;
	r->ops->accept_stop(r, s);
}

void ring_recv(struct ring *r, struct ring_socket *s, size_t most)
{
	assert(most >= 1 && most <= RING_BODY_BYTES);
	s->most = (uint32_t)most;
	start(r, s, RING_RECV);
}

static void send_pieces(struct ring *r, struct ring_socket *s, const struct iovec *iov, int count, bool last)
{
	assert(count >= 1 && count <= 4 && !ring_busy(s, RING_SEND) && !ring_busy(s, RING_CONNECT));
	memcpy(s->iov, iov, sizeof(*iov) * (size_t)count);
	s->iov_count = (uint8_t)count;
	s->last = last;
	start(r, s, RING_SEND);
}

void ring_send(struct ring *r, struct ring_socket *s, const struct iovec *iov, int count)
{
	send_pieces(r, s, iov, count, false);
}

void ring_send_last(struct ring *r, struct ring_socket *s, const struct iovec *iov, int count)
{
	send_pieces(r, s, iov, count, true);
}

int ring_connect(struct ring *r, struct ring_socket *s, const struct net_addr *to, bool we_begin)
{
	struct sockaddr_storage ss;
	socklen_t len = net_to_sockaddr(to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (we_begin)
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 0 }, sizeof(int));
	assert(len <= sizeof(s->to));
	ring_adopt(r, s, fd);
	memcpy(&s->to, &ss, len);
	start(r, s, RING_CONNECT);
	return 0;
}

void ring_shutdown(struct ring *r, struct ring_socket *s)
{
	assert(s->fd >= 0 && !s->closing && !ring_busy(s, RING_SEND));
	shutdown(s->fd, SHUT_WR); /* ENOTCONN after a reset: the receive in flight or the next one tells */
}

void ring_watch(struct ring *r, struct ring_socket *s)
{
	s->once = false;
	start(r, s, RING_WATCH);
}

void ring_await_input(struct ring *r, struct ring_socket *s)
{
	s->once = true;
	start(r, s, RING_WATCH);
}

void ring_await_room(struct ring *r, struct ring_socket *s)
{
	assert(!ring_busy(s, RING_CONNECT));
	start(r, s, RING_WRITABLE);
}

void ring_close(struct ring *r, struct ring_socket *s, bool reset)
{
	assert(!s->closing);
	s->closing = true;
	s->state &= (uint8_t)~RING_STATE_ACCEPTING;
	if (reset)
		s->state |= RING_STATE_RESET;
	r->ops->close(r, s);
}

bool ring_accept_error_passes(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM: /* a firewall rule forbids this connection */
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

void ring_linger(const struct ring_socket *s)
{
	const struct linger off = { .l_onoff = 1, .l_linger = 0 };

	if (s->state & RING_STATE_RESET)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
}
