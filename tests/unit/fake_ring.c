/* SPDX-License-Identifier: BSD-2-Clause */
/* See fake_ring.h.  Peers are kept in a list in the order they were made; a pass walks it once. */
#include "tests/unit/fake_ring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct fake_segment {
	struct fake_segment *next;
	size_t len, done;
	enum { BYTES, FIN, RESET, CONNECTION, BROKEN, BROKEN_TOLD } kind;
	int fd;
	uint8_t bytes[];
};

struct ring {
	struct fake_peer *first, *last;
	uint64_t now;
	unsigned made, open, delivered;
	int connect_returns;
	bool connect_answers;
};

static struct ring *newest;

int ring_new(const struct ring_settings *set, struct ring **r, const char **why)
{
	newest = *r = calloc(1, sizeof(**r));
	assert(*r);
	(*r)->now = 1000000;
	*why = "fake";
	return 0;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	assert(r->open == 0);
	for (struct fake_peer *p; (p = r->first);) {
		r->first = p->next;
		for (struct fake_segment *g; (g = p->head);) {
			p->head = g->next;
			free(g);
		}
		free(p->got);
		free(p);
	}
	free(r);
}

enum ring_backend ring_kind(const struct ring *r)
{
	return RING_EPOLL;
}

uint64_t ring_now(const struct ring *r)
{
	return r->now;
}

const char *ring_describe(const struct ring *r)
{
	return "fake";
}

void ring_socket_init(struct ring_socket *s, const struct ring_handler *on)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->on = on;
}

static struct fake_peer *peer_new(struct ring *r, struct ring_socket *s)
{
	struct fake_peer *p = calloc(1, sizeof(*p));

	assert(p);
	p->socket = s;
	p->window = p->per_send = SIZE_MAX;
	p->got = calloc(1, 1);
	assert(p->got);
	if (r->last)
		r->last->next = p;
	else
		r->first = p;
	r->last = p;
	r->made++;
	r->open++;
	return p;
}

struct fake_peer *fake_peer(struct ring *r, const struct ring_socket *s)
{
	for (struct fake_peer *p = r->first; p; p = p->next)
		if (p->socket == s)
			return p;
	assert(!"this socket has no descriptor");
	return NULL;
}

struct fake_peer *fake_peer_at(struct ring *r, unsigned n)
{
	struct fake_peer *p = r->first;

	while (p && n--)
		p = p->next;
	return p;
}

struct fake_peer *fake_peer_last(struct ring *r)
{
	return r->last;
}

struct fake_peer *fake_connecting(struct ring *r)
{
	for (struct fake_peer *p = r->first; p; p = p->next)
		if (p->socket && p->connecting)
			return p;
	return NULL;
}

unsigned fake_open(const struct ring *r)
{
	return r->open;
}

/* What danelaw asks for. */

static void start(struct ring_socket *s, enum ring_op op)
{
	assert(s->fd >= 0 && !s->closing && !ring_busy(s, op));
	s->busy |= (uint8_t)(1u << op);
}

void ring_adopt(struct ring *r, struct ring_socket *s, int fd)
{
	assert(s->fd < 0 && !s->closing && fd >= 0);
	s->fd = fd;
	peer_new(r, s)->connected = true;
}

void ring_accept(struct ring *r, struct ring_socket *s)
{
	start(s, RING_ACCEPT);
}

void ring_accept_stop(struct ring *r, struct ring_socket *s)
{
	assert(!s->closing);
	s->busy &= (uint8_t)~(1u << RING_ACCEPT);
}

void ring_recv(struct ring *r, struct ring_socket *s, size_t most)
{
	assert(most >= 1 && most <= RING_BODY_BYTES);
	start(s, RING_RECV);
	s->most = (uint32_t)most;
}

static void send_pieces(struct ring *r, struct ring_socket *s, const struct iovec *iov, int count, bool last)
{
	assert(count >= 1 && count <= 4 && !ring_busy(s, RING_CONNECT));
	assert(!s->last || last); /* nothing but the FIN follows the last */
	start(s, RING_SEND);
	s->last = last;
	assert(!fake_peer(r, s)->got_fin);
	memcpy(s->iov, iov, sizeof(*iov) * (size_t)count);
	s->iov_count = (uint8_t)count;
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
	struct fake_peer *p;

	if (r->connect_returns)
		return r->connect_returns;
	assert(s->fd < 0 && !s->closing);
	s->fd = 100000 + (int)r->made; /* no open descriptor has such a number */
	p = peer_new(r, s);
	p->to = *to;
	p->connecting = true;
	start(s, RING_CONNECT);
	if (r->connect_answers)
		fake_answer(p, 0);
	return 0;
}

void ring_shutdown(struct ring *r, struct ring_socket *s)
{
	assert(s->fd >= 0 && !s->closing && !ring_busy(s, RING_SEND));
	fake_peer(r, s)->got_fin = true;
}

void ring_watch(struct ring *r, struct ring_socket *s)
{
	s->once = false;
	start(s, RING_WATCH);
}

void ring_await_input(struct ring *r, struct ring_socket *s)
{
	s->once = true;
	start(s, RING_WATCH);
}

void ring_await_room(struct ring *r, struct ring_socket *s)
{
	assert(!ring_busy(s, RING_CONNECT));
	start(s, RING_WRITABLE);
}

void ring_close(struct ring *r, struct ring_socket *s, bool reset)
{
	struct fake_peer *p;

	assert(!s->closing);
	s->closing = true;
	if (s->fd < 0) { /* closed() must come from ring_run() all the same */
		p = peer_new(r, s);
	} else {
		p = fake_peer(r, s);
		p->got_fin |= !reset;
		p->got_reset |= reset;
	}
	p->connecting = false;
}

/* What the peer does. */

static struct fake_segment *segment(struct fake_peer *p, int kind, const void *data, size_t len)
{
	struct fake_segment *g = calloc(1, sizeof(*g) + len);

	assert(g);
	g->kind = kind;
	g->len = len;
	if (len)
		memcpy(g->bytes, data, len);
	if (p->tail)
		p->tail->next = g;
	else
		p->head = g;
	p->tail = g;
	return g;
}

void fake_say(struct fake_peer *p, const void *data, size_t len)
{
	assert(len);
	segment(p, BYTES, data, len);
}

void fake_say_text(struct fake_peer *p, const char *text)
{
	fake_say(p, text, strlen(text));
}

void fake_fin(struct fake_peer *p)
{
	segment(p, FIN, NULL, 0);
}

void fake_reset(struct fake_peer *p)
{
	segment(p, RESET, NULL, 0);
	p->fail[RING_SEND] = ECONNRESET;
}

void fake_say_nothing(struct fake_peer *p)
{
	segment(p, BYTES, NULL, 0);
}

void fake_break(struct fake_peer *p)
{
	segment(p, BROKEN, NULL, 0);
}

void fake_offer(struct fake_peer *p, int fd)
{
	segment(p, CONNECTION, NULL, 0)->fd = fd;
}

void fake_answer(struct fake_peer *p, int error)
{
	assert(p->connecting);
	p->connecting = false;
	p->connected = error == 0;
	p->fail[RING_CONNECT] = error;
}

void fake_fail(struct fake_peer *p, enum ring_op op, int error)
{
	assert(error > 0);
	p->fail[op] = error;
	if (op == RING_CONNECT)
		p->connecting = false;
}

void fake_clear(struct fake_peer *p)
{
	p->got_len = 0;
	p->got[0] = '\0';
}

void fake_connect_returns(struct ring *r, int err)
{
	r->connect_returns = err;
}

void fake_connect_answers(struct ring *r, bool by_itself)
{
	r->connect_answers = by_itself;
}

void fake_advance(struct ring *r, uint64_t ms)
{
	r->now += ms;
}

/* Completions. */

static void drop_segment(struct fake_peer *p)
{
	struct fake_segment *g = p->head;

	p->head = g->next;
	if (!p->head)
		p->tail = NULL;
	free(g);
}

/* Ends the operation; false if it was not in flight, or the socket is being closed. */
static bool take(struct ring *r, struct fake_peer *p, enum ring_op op)
{
	struct ring_socket *s = p->socket;

	if (s->closing || !ring_busy(s, op))
		return false;
	s->busy &= (uint8_t)~(1u << op);
	r->delivered++;
	return true;
}

static bool in_flight(const struct fake_peer *p, enum ring_op op)
{
	return !p->socket->closing && ring_busy(p->socket, op);
}

static void run_failures(struct ring *r, struct fake_peer *p)
{
	for (int op = RING_ACCEPT; op <= RING_WRITABLE; op++) {
		int error = p->fail[op];

		if (!error || !take(r, p, op))
			continue;
		if (op != RING_SEND)
			p->fail[op] = 0;
		p->socket->on->failed(p->socket, op, error);
	}
}

static void run_connect(struct ring *r, struct fake_peer *p)
{
	if (p->connected && take(r, p, RING_CONNECT))
		p->socket->on->connected(p->socket);
}

static size_t room_of(const struct fake_peer *p)
{
	return p->window < p->per_send ? p->window : p->per_send;
}

static void get(struct fake_peer *p, const void *data, size_t len)
{
	p->got = realloc(p->got, p->got_len + len + 1);
	assert(p->got);
	memcpy(p->got + p->got_len, data, len);
	p->got_len += len;
	p->got[p->got_len] = '\0';
	p->got_total += len;
	if (p->window != SIZE_MAX)
		p->window -= len;
}

static void run_send(struct ring *r, struct fake_peer *p)
{
	struct ring_socket *s = p->socket;
	size_t left = room_of(p), moved = 0;

	if (!left || !take(r, p, RING_SEND))
		return;
	for (int i = 0; i < s->iov_count && left; i++) {
		size_t n = s->iov[i].iov_len < left ? s->iov[i].iov_len : left;

		get(p, s->iov[i].iov_base, n);
		left -= n;
		moved += n;
	}
	assert(moved); /* nothing to send is a bug */
	s->on->sent(s, moved);
}

/* Bytes of the segment that is next; 0: it is the FIN. */
static size_t say_next(struct fake_peer *p, uint8_t *data, size_t max)
{
	struct fake_segment *g = p->head;
	size_t len = g->len - g->done < max ? g->len - g->done : max;

	if (len)
		memcpy(data, g->bytes + g->done, len);
	g->done += len;
	if (g->kind == BYTES && g->done == g->len) /* FIN and RESET stay: every later receive meets them */
		drop_segment(p);
	return len;
}

static void run_recv(struct ring *r, struct fake_peer *p)
{
	const size_t most = p->socket->most;
	struct fake_segment *g = p->head;
	uint8_t *data;
	size_t len;

	if (!g || g->kind == CONNECTION || !take(r, p, RING_RECV))
		return;
	if (g->kind == RESET) {
		p->socket->on->failed(p->socket, RING_RECV, ECONNRESET);
		return;
	}
	len = g->len - g->done < most ? g->len - g->done : most;
	data = len ? malloc(len) : NULL; /* no more of it than there is: ASan sees who reads on */
	assert(data || !len);
	len = say_next(p, data, len);
	p->socket->on->received(p->socket, data, len);
	free(data);
}

static void run_accept(struct ring *r, struct fake_peer *p)
{
	int fd;

	if (!p->head || p->head->kind != CONNECTION || !in_flight(p, RING_ACCEPT))
		return;
	fd = p->head->fd;
	drop_segment(p);
	r->delivered++;
	p->socket->on->accepted(p->socket, fd);
}

static void run_watch(struct ring *r, struct fake_peer *p)
{
	struct pollfd f;

	if (!in_flight(p, RING_WATCH))
		return;
	if (p->socket->once) {
		if (p->head && p->head->kind != CONNECTION && take(r, p, RING_WATCH))
			p->socket->on->readable(p->socket);
		return;
	}
	f = (struct pollfd){ .fd = p->socket->fd, .events = POLLIN };
	if (poll(&f, 1, 0) != 1)
		return;
	r->delivered++;
	p->socket->on->readable(p->socket);
}

static void run_writable(struct ring *r, struct fake_peer *p)
{
	if (p->window && take(r, p, RING_WRITABLE))
		p->socket->on->writable(p->socket);
}

static void run_close(struct ring *r, struct fake_peer *p)
{
	struct ring_socket *s = p->socket;

	if (!s->closing)
		return;
	s->busy = 0;
	s->fd = -1;
	p->socket = NULL;
	r->open--;
	r->delivered++;
	s->on->closed(s);
}

static struct fake_peer *peer_of(int fd)
{
	for (struct fake_peer *p = newest->first; p; p = p->next)
		if (p->socket && p->socket->fd == fd)
			return p;
	assert(!"nobody has this descriptor");
	return NULL;
}

ssize_t fake_take(int fd, uint8_t *data, size_t max)
{
	struct fake_peer *p = peer_of(fd);

	assert(max && !ring_busy(p->socket, RING_RECV)); /* who would get what comes? */
	if (!p->head || p->head->kind == CONNECTION)
		return -EAGAIN;
	if (p->head->kind == BROKEN_TOLD)
		return -EAGAIN;
	if (p->head->kind == BROKEN) {
		p->head->kind = BROKEN_TOLD;
		return -EMSGSIZE;
	}
	return p->head->kind == RESET ? -ECONNRESET : (ssize_t)say_next(p, data, max);
}

bool fake_at_end(int fd)
{
	struct fake_peer *p = peer_of(fd);

	return p->head && p->head->kind == FIN;
}

ssize_t fake_give(int fd, const uint8_t *data, size_t len)
{
	struct fake_peer *p = peer_of(fd);
	size_t n = room_of(p);

	assert(len && !ring_busy(p->socket, RING_SEND) && !p->got_fin);
	if (p->fail[RING_SEND])
		return -p->fail[RING_SEND];
	n = len < n ? len : n;
	if (!n)
		return -EAGAIN;
	get(p, data, n);
	return (ssize_t)n;
}

int ring_run(struct ring *r, uint32_t timeout_ms)
{
	struct fake_peer *last = r->last;
	static void (*const kinds[])(struct ring *r, struct fake_peer *p) = {
		run_failures, run_connect, run_send, run_recv, run_accept, run_watch, run_writable
	};

	for (struct fake_peer *p = r->first; p; p = p->next) {
		/* Closing is noticed a pass after it was asked for, as with a real ring. */
		bool was_closing = p->socket && p->socket->closing;

		for (size_t i = 0; p->socket && !was_closing && i < sizeof(kinds) / sizeof(kinds[0]); i++)
			kinds[i](r, p);
		if (was_closing)
			run_close(r, p);
		if (p == last)
			break; /* those made by this pass wait for the next */
	}
	return 0;
}

unsigned fake_settle(struct ring *r)
{
	const unsigned before = r->delivered;

	for (int passes = 0; passes < 100000; passes++) {
		unsigned at = r->delivered;
		bool closing = false;

		ring_run(r, 0);
		for (struct fake_peer *p = r->first; p; p = p->next)
			closing |= p->socket && p->socket->closing;
		if (r->delivered == at && !closing)
			return r->delivered - before;
	}
	assert(!"does not settle");
	return 0;
}
