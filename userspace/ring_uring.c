/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring back end, and the only file that knows liburing.
 *
 * One io_uring_enter(2) a turn: it submits what the handlers of the last turn asked for, waits, and runs the
 * kernel's deferred task work.  Handlers never cause a submission of their own; an operation that finds the
 * submission queue full, or no buffer, is parked on a list and tried in the next turn.
 *
 * Receives are single-shot and pick a buffer only when data is there (buffer rings, one for small and one for large); a buffer is
 * back before the next completion is looked at, so buffers are bounded by one turn and not by sockets.  The
 * rings start short and grow when they run dry: they are used in rotation, and a short one stays in the cache.
 *
 * close(2) does not cancel what is in flight on a ring (io_uring_cancelation(7)): ring_close() cancels each
 * operation by its user_data (by descriptor would walk every poll of the ring), waits for all their
 * completions and only then closes.
 */
#include <liburing.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/ring_backend.h"

/* Operations beyond enum ring_op, in the same numbering: they need room in user_data and in parked. */
enum { OP_CLOSE = RING_WRITABLE + 1, OP_CANCEL, OP_COUNT };
_Static_assert(OP_COUNT <= 8, "the operation is three bits of user_data and a bit of ring_socket.parked");
_Static_assert(_Alignof(struct ring_socket) >= 8, "the low bits of a socket's address carry the operation");

enum { STATE_MORE = RING_STATE_OWN }; /* the last receive left something in the socket */

/* Buffer groups, by what a receive may bring. */
enum { COMMANDS, BODIES, GROUPS };
#define FIRST_BYTES (128 * 1024) /* a group's buffers at the start, at least one */

struct group {
	struct io_uring_buf_ring *ring;
	uint8_t *base;
	unsigned size;	  /* bytes a buffer */
	unsigned count;	  /* entries of the ring, power of two */
	unsigned given;	  /* buffers in use so far, <= count */
	unsigned starved; /* receives parked this turn for want of a buffer */
};

struct uring {
	struct ring base;
	struct io_uring ring;
	struct group group[GROUPS];
	struct msghdr *msgs; /* one a submission queue entry: read by the kernel when it takes the entry */
	struct ring_list parked;
	bool single_accept; /* the kernel refused multishot */
};

static struct uring *of(struct ring *r)
{
	return (struct uring *)r;
}

/*
 * user_data: the socket's address and, in its low bits, the operation.  No generation is needed: a socket's
 * memory lives until closed(), and closed() comes after the last completion that names it.  Cancellations
 * name no socket.
 */
static uint64_t encode(const struct ring_socket *s, unsigned op)
{
	return (uint64_t)(uintptr_t)s | op;
}

static struct ring_socket *decode(uint64_t user_data, unsigned *op)
{
	*op = (unsigned)(user_data & 7);
	return (struct ring_socket *)(uintptr_t)(user_data & ~(uint64_t)7);
}

static unsigned group_of(const struct ring_socket *s)
{
	return s->most > RING_COMMAND_BYTES ? BODIES : COMMANDS;
}

static void park(struct uring *u, struct ring_socket *s, unsigned op)
{
	s->parked |= (uint8_t)(1u << op);
	ring_list_add(&u->parked, s);
}

static void prepare_send(struct uring *u, struct ring_socket *s, struct io_uring_sqe *sqe)
{
	struct msghdr *m;

	if (s->iov_count == 1) {
		io_uring_prep_send(sqe, s->fd, s->iov[0].iov_base, s->iov[0].iov_len, ring_send_flags(s));
		return;
	}
	m = &u->msgs[sqe - u->ring.sq.sqes];
	*m = (struct msghdr){ .msg_iov = s->iov, .msg_iovlen = s->iov_count };
	io_uring_prep_sendmsg(sqe, s->fd, m, (unsigned)ring_send_flags(s));
}

static void prepare_recv(struct ring_socket *s, struct io_uring_sqe *sqe)
{
	io_uring_prep_recv(sqe, s->fd, NULL, s->most, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = (__u16)group_of(s);
	/* Peers take turns in SMTP: when a receive is armed there is rarely something to receive. */
	if (!(s->state & STATE_MORE))
		sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
	s->state &= (uint8_t)~STATE_MORE;
}

static void prepare_accept(struct uring *u, struct ring_socket *s, struct io_uring_sqe *sqe)
{
	if (u->single_accept)
		io_uring_prep_accept(sqe, s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	else
		io_uring_prep_multishot_accept(sqe, s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void prepare(struct uring *u, struct ring_socket *s, unsigned op, struct io_uring_sqe *sqe)
{
	switch (op) {
	case RING_ACCEPT:
		prepare_accept(u, s, sqe);
		break;
	case RING_CONNECT:
		io_uring_prep_connect(sqe, s->fd, (struct sockaddr *)&s->to,
				      s->to.sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(s->to));
		break;
	case RING_RECV:
		prepare_recv(s, sqe);
		break;
	case RING_SEND:
		prepare_send(u, s, sqe);
		break;
	case RING_WATCH:
		/* One poll a wake-up: arming looks at the level again, a multishot poll would see edges only. */
		io_uring_prep_poll_add(sqe, s->fd, POLLIN);
		break;
	case RING_WRITABLE:
		io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
		break;
	case OP_CLOSE:
		if (s->fd >= 0)
			io_uring_prep_close(sqe, s->fd);
		else
			io_uring_prep_nop(sqe);
		break;
	}
	io_uring_sqe_set_data64(sqe, encode(s, op));
}

static void put(struct uring *u, struct ring_socket *s, unsigned op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe)
		prepare(u, s, op, sqe);
	else
		park(u, s, op);
}

/* Cancels every operation the kernel has, each by name.  Success is told by the operation's own completion. */
static void cancel(struct uring *u, struct ring_socket *s)
{
	for (unsigned op = 0; op < OP_CLOSE; op++) {
		struct io_uring_sqe *sqe;

		if (!(s->busy & ~s->parked & (1u << op)))
			continue;
		sqe = io_uring_get_sqe(&u->ring);
		if (!sqe) {
			park(u, s, OP_CANCEL);
			return;
		}
		io_uring_prep_cancel64(sqe, encode(s, op), 0);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		io_uring_sqe_set_data64(sqe, encode(NULL, OP_CANCEL));
	}
}

static void uring_start(struct ring *r, struct ring_socket *s, enum ring_op op)
{
	put(of(r), s, op);
}

static void uring_accept_stop(struct ring *r, struct ring_socket *s)
{
	struct uring *u = of(r);

	if (s->parked & (1u << RING_ACCEPT)) {
		s->parked &= (uint8_t)~(1u << RING_ACCEPT);
		s->busy &= (uint8_t)~(1u << RING_ACCEPT);
	}
	cancel(u, s);
}

static void uring_close(struct ring *r, struct ring_socket *s)
{
	struct uring *u = of(r);

	s->busy &= (uint8_t)~s->parked;
	s->parked = 0;
	ring_list_del(&u->parked, s);
	if (s->fd >= 0)
		ring_linger(s);
	if (s->busy)
		cancel(u, s);
	else
		put(u, s, OP_CLOSE);
}

/* Makes buffers known to the kernel for the first time. */
static void group_grow(struct group *g, unsigned upto)
{
	unsigned from = g->given;

	if (upto > g->count)
		upto = g->count;
	for (; g->given < upto; g->given++)
		io_uring_buf_ring_add(g->ring, g->base + (size_t)g->given * g->size, g->size,
				      (unsigned short)g->given, io_uring_buf_ring_mask(g->count), (int)(g->given - from));
	io_uring_buf_ring_advance(g->ring, (int)(upto - from));
}

static void buffer_back(struct group *g, unsigned id)
{
	io_uring_buf_ring_add(g->ring, g->base + (size_t)id * g->size, g->size, (unsigned short)id,
			      io_uring_buf_ring_mask(g->count), 0);
	io_uring_buf_ring_advance(g->ring, 1);
}

static void starve(struct uring *u, struct ring_socket *s)
{
	struct group *g = &u->group[group_of(s)];

	if (g->given == g->count)
		++*u->base.starved;
	g->starved++;
	s->busy |= 1u << RING_RECV;
	s->state |= STATE_MORE;
	park(u, s, RING_RECV);
}

/* Puts parked operations to the kernel, as far as its queue and the buffers reach. */
static void unpark(struct uring *u)
{
	unsigned room[GROUPS];
	struct ring_list todo = u->parked;

	if (!todo.head)
		return;
	for (int i = 0; i < GROUPS; i++) {
		struct group *g = &u->group[i];

		if (g->starved)
			group_grow(g, g->given + g->starved);
		room[i] = g->given;
		g->starved = 0;
	}
	u->parked = (struct ring_list){ 0 };
	for (struct ring_socket *s; (s = todo.head);) {
		uint8_t ops = s->parked;

		ring_list_del(&todo, s);
		s->parked = 0;
		for (unsigned op = 0; op < OP_CANCEL; op++) {
			if (!(ops & (1u << op)))
				continue;
			if (op != RING_RECV)
				put(u, s, op);
			else if (room[group_of(s)])
				room[group_of(s)]--, put(u, s, op);
			else
				park(u, s, op);
		}
		if (ops & (1u << OP_CANCEL))
			cancel(u, s);
	}
}

/* An operation of a socket being closed has ended. */
static void wind_up(struct uring *u, struct ring_socket *s)
{
	if (!s->busy)
		put(u, s, OP_CLOSE);
}

static void done_accept(struct uring *u, struct ring_socket *s, int res, bool more)
{
	if (!more)
		s->busy &= (uint8_t)~(1u << RING_ACCEPT);
	if (s->closing) {
		if (res >= 0)
			close(res);
		wind_up(u, s);
		return;
	}
	if (res >= 0)
		s->on->accepted(s, res);
	if (more || s->closing)
		return;
	if (res == -EINVAL && !u->single_accept)
		u->single_accept = true; /* once: a second EINVAL is the descriptor's fault */
	else if (res < 0 && res != -ECANCELED && !ring_accept_error_passes(-res)) {
		s->state &= (uint8_t)~RING_STATE_ACCEPTING;
		s->on->failed(s, RING_ACCEPT, -res);
		return;
	}
	if ((s->state & RING_STATE_ACCEPTING) && !ring_busy(s, RING_ACCEPT)) {
		s->busy |= 1u << RING_ACCEPT;
		put(u, s, RING_ACCEPT);
	}
}

static void done_recv(struct uring *u, struct ring_socket *s, int res, unsigned flags)
{
	struct group *g = &u->group[group_of(s)];
	unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

	if (flags & IORING_CQE_F_SOCK_NONEMPTY)
		s->state |= STATE_MORE;
	if (res >= 0)
		s->on->received(s, flags & IORING_CQE_F_BUFFER ? g->base + (size_t)id * g->size : NULL, (size_t)res);
	else if (res == -ENOBUFS)
		starve(u, s);
	else
		s->on->failed(s, RING_RECV, -res);
}

static void done_watch(struct uring *u, struct ring_socket *s, int res)
{
	if (res < 0) {
		s->on->failed(s, RING_WATCH, -res);
		return;
	}
	bool once = s->once;

	s->on->readable(s);
	if (once || s->closing || ring_busy(s, RING_WATCH))
		return;
	s->busy |= 1u << RING_WATCH;
	put(u, s, RING_WATCH);
}

static void done_close(struct uring *u, struct ring_socket *s)
{
	if (s->fd >= 0)
		u->base.open--;
	s->fd = -1;
	s->on->closed(s);
}

/* Operations with exactly one completion. */
static void done_once(struct uring *u, struct ring_socket *s, unsigned op, const struct io_uring_cqe *c)
{
	s->busy &= (uint8_t)~(1u << op);
	if (s->closing) {
		wind_up(u, s);
		return;
	}
	if (c->res == -EINTR || (c->res == -EAGAIN && (op == RING_RECV || op == RING_SEND))) {
		s->busy |= (uint8_t)(1u << op);
		put(u, s, op);
		return;
	}
	switch (op) {
	case RING_RECV:
		done_recv(u, s, c->res, c->flags);
		break;
	case RING_SEND:
		if (c->res < 0)
			s->on->failed(s, RING_SEND, -c->res);
		else
			s->on->sent(s, (size_t)c->res);
		break;
	case RING_CONNECT:
		if (c->res < 0)
			s->on->failed(s, RING_CONNECT, -c->res);
		else
			s->on->connected(s);
		break;
	case RING_WATCH:
		done_watch(u, s, c->res);
		break;
	case RING_WRITABLE:
		if (c->res < 0)
			s->on->failed(s, RING_WRITABLE, -c->res);
		else
			s->on->writable(s);
		break;
	}
}

/* The one place where a completion is decoded. */
static void complete(struct uring *u, const struct io_uring_cqe *c)
{
	unsigned op;
	struct ring_socket *s = decode(c->user_data, &op);
	struct group *g = NULL;

	if (!s)
		return; /* a cancellation that found nothing: its operation ended by itself */
	if (c->flags & IORING_CQE_F_BUFFER)
		g = &u->group[group_of(s)]; /* now: the handler may ask for a receive of another size, or free the socket's owner */
	if (op == OP_CLOSE)
		done_close(u, s);
	else if (op == RING_ACCEPT)
		done_accept(u, s, c->res, c->flags & IORING_CQE_F_MORE);
	else
		done_once(u, s, op, c);
	if (g)
		buffer_back(g, c->flags >> IORING_CQE_BUFFER_SHIFT);
}

static int enter(struct uring *u, uint32_t timeout_ms)
{
	struct __kernel_timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = (timeout_ms % 1000) * 1000000LL };
	struct io_uring_cqe *first;

	if (timeout_ms == 0)
		return io_uring_submit_and_get_events(&u->ring);
	return io_uring_submit_and_wait_timeout(&u->ring, &first, 1, timeout_ms == UINT32_MAX ? NULL : &t, NULL);
}

static int uring_run(struct ring *r, uint32_t timeout_ms)
{
	struct uring *u = of(r);
	struct io_uring_cqe *cqe;
	unsigned head, left = RING_TURN_MAX;
	int ret;

	unpark(u);
	ret = enter(u, u->parked.head ? 0 : timeout_ms);
	r->now = ring_clock();
	/* EBUSY and EAGAIN: completions or memory must be had first; what was not submitted stays queued. */
	if (ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EBUSY && ret != -EAGAIN)
		return ret;
	io_uring_for_each_cqe(&u->ring, head, cqe) {
		struct io_uring_cqe c = *cqe;

		io_uring_cq_advance(&u->ring, 1);
		complete(u, &c);
		if (--left == 0)
			break;
	}
	return 0;
}

static void uring_free(struct ring *r)
{
	struct uring *u = of(r);

	if (u->ring.ring_fd >= 0)
		io_uring_queue_exit(&u->ring);
	for (int i = 0; i < GROUPS; i++) {
		if (u->group[i].base)
			munmap(u->group[i].base, (size_t)u->group[i].count * u->group[i].size);
		if (u->group[i].ring)
			munmap(u->group[i].ring, u->group[i].count * sizeof(struct io_uring_buf));
	}
	free(u->msgs);
	free(u);
}

static const struct ring_ops ops = {
	.kind = RING_URING,
	.start = uring_start,
	.accept_stop = uring_accept_stop,
	.close = uring_close,
	.run = uring_run,
	.free = uring_free,
};

static void *pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int group_init(struct uring *u, int id, unsigned want, unsigned size)
{
	struct group *g = &u->group[id];
	struct io_uring_buf_reg reg = { 0 };
	int err;

	for (g->count = 1; g->count < want && g->count < 32768; g->count *= 2)
		;
	g->size = size;
	g->base = pages((size_t)g->count * size);
	g->ring = pages(g->count * sizeof(struct io_uring_buf));
	if (!g->base || !g->ring)
		return -ENOMEM;
	reg.ring_addr = (unsigned long)g->ring;
	reg.ring_entries = g->count;
	reg.bgid = (__u16)id;
	err = io_uring_register_buf_ring(&u->ring, &reg, 0);
	if (err)
		return err;
	io_uring_buf_ring_init(g->ring);
	group_grow(g, FIRST_BYTES > size ? FIRST_BYTES / size : 1);
	return 0;
}

/* The best mode the kernel grants, tried in order: what it says counts, not its version. */
static int queue_init(struct uring *u, unsigned entries, const char **mode)
{
	static const struct {
		unsigned flags;
		const char *name;
	} ladder[] = {
		{ IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER, "deferred task work" },
		{ IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER, "cooperative task work, single issuer" },
		{ IORING_SETUP_COOP_TASKRUN, "cooperative task work" },
	};
	const unsigned needs = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL |
			       IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
	int err = -EINVAL;

	for (size_t i = 0; i < sizeof(ladder) / sizeof(ladder[0]) && err == -EINVAL; i++) {
		struct io_uring_params p = { 0 };

		p.flags = ladder[i].flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
			  IORING_SETUP_R_DISABLED;
		p.cq_entries = entries * 16; /* far more than a turn brings: overflowing is slow, though nothing is lost */
		err = io_uring_queue_init_params(entries, &u->ring, &p);
		*mode = ladder[i].name;
		if (!err && (p.features & needs) != needs) {
			io_uring_queue_exit(&u->ring);
			err = -EOPNOTSUPP;
		}
	}
	if (err)
		u->ring.ring_fd = -1;
	return err;
}

/*
 * From here on the ring does what this file does and nothing else: seccomp does not see what a ring is asked, so
 * opening files or sending descriptors through it would be a way around the sandbox.
 */
static int restrict_and_enable(struct uring *u)
{
	static const uint8_t allowed[] = { IORING_OP_NOP,  IORING_OP_ACCEPT,  IORING_OP_CONNECT,
					   IORING_OP_RECV, IORING_OP_SEND,    IORING_OP_SENDMSG,
					   IORING_OP_CLOSE, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL };
	enum { OPS = sizeof(allowed) };
	struct io_uring_restriction list[OPS + 2] = { 0 };
	int err;

	for (int i = 0; i < OPS; i++) {
		list[i].opcode = IORING_RESTRICTION_SQE_OP;
		list[i].sqe_op = allowed[i];
	}
	list[OPS].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	list[OPS].sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
	list[OPS + 1].opcode = IORING_RESTRICTION_REGISTER_OP;
	list[OPS + 1].register_op = IORING_UNREGISTER_RING_FDS; /* by io_uring_queue_exit() */
	/* liburing 2.3 declares functions for these two and does not export them. */
	err = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, list, OPS + 2);
	return err ? err : io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int set_up(struct uring *u, const struct ring_settings *set, const char **step, const char **mode)
{
	const unsigned entries = set->entries ? set->entries : 512;
	int err;

	*step = "io_uring_setup";
	err = queue_init(u, entries, mode);
	if (err)
		return err;
	/* Both save work and are no loss when refused. */
	io_uring_register_ring_fd(&u->ring);
	io_uring_ring_dontfork(&u->ring);
	*step = "io_uring buffer rings";
	err = group_init(u, COMMANDS, set->command_buffers ? set->command_buffers : 1024, RING_COMMAND_BYTES);
	if (!err)
		err = group_init(u, BODIES, set->body_buffers ? set->body_buffers : 64, RING_BODY_BYTES);
	if (err)
		return err;
	*step = "io_uring restrictions";
	err = restrict_and_enable(u);
	if (err)
		return err;
	u->msgs = calloc(u->ring.sq.ring_entries, sizeof(*u->msgs));
	return u->msgs ? 0 : -ENOMEM;
}

int ring_uring_new(const struct ring_settings *set, struct ring **r, char *why, size_t why_size)
{
	struct uring *u = calloc(1, sizeof(*u));
	const char *step = "", *mode = "";
	int err;

	if (!u)
		return -ENOMEM;
	u->base.ops = &ops;
	u->ring.ring_fd = -1;
	err = set_up(u, set, &step, &mode);
	if (err) {
		snprintf(why, why_size, "%s: %s", step, strerror(-err));
		uring_free(&u->base);
		return err;
	}
	snprintf(why, why_size, "io_uring, %s", mode);
	snprintf(u->base.about, sizeof(u->base.about), "io_uring: %s, %u submissions, buffers %u x %u and %u x %u", mode,
		 u->ring.sq.ring_entries, u->group[0].count, u->group[0].size, u->group[1].count, u->group[1].size);
	*r = &u->base;
	return 0;
}
