/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes flow   ring -> now -> (TLS) -> text -> owner   and   owner -> (TLS) -> out -> ring.
 *
 * The ring's receive buffer and the worker's scratch are borrowed only while the owner runs; leg_settle()
 * copies what is left, which is rare: a pipelined command that has to wait, half a line.  So the common
 * path copies a command once (out of TLS) and an idle leg holds nothing.
 */
#include "userspace/leg_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct leg *leg_of(struct ring_socket *s)
{
	return (struct leg *)s;
}

int leg_io_init(struct leg_io *io, struct ring *ring)
{
	io->ring = ring;
	io->pool = chunk_pool_new();
	io->scratch[LEG_CLIENT] = malloc(LEG_SCRATCH);
	io->scratch[LEG_BACKEND] = malloc(LEG_SCRATCH);
	if (io->pool && io->scratch[LEG_CLIENT] && io->scratch[LEG_BACKEND])
		return 0;
	leg_io_free(io);
	return -ENOMEM;
}

void leg_io_free(struct leg_io *io)
{
	free(io->scratch[LEG_CLIENT]);
	free(io->scratch[LEG_BACKEND]);
	if (io->pool)
		chunk_pool_free(io->pool);
	memset(io, 0, sizeof(*io));
}

/* Does OpenSSL stand between the socket and the owner? */
static bool in_tls(const struct leg *leg)
{
	return leg->tls && !leg->kernel;
}

/* ---- sending ---- */

static void flush(struct leg *leg)
{
	struct iovec iov[4];

	if (!leg_usable(leg) || leg->error || leg->lost || leg->hold || ring_busy(&leg->sock, RING_SEND))
		return;
	/* a record that waits for more (MSG_MORE) would be one that waits for the alert: not where the kernel cuts them */
	if (leg->out.len && leg->fin_wanted && !leg->kernel)
		ring_send_last(leg->io->ring, &leg->sock, iov, fifo_peek(&leg->out, iov, 4));
	else if (leg->out.len)
		ring_send(leg->io->ring, &leg->sock, iov, fifo_peek(&leg->out, iov, 4));
	else if (leg->fin_wanted && !leg->fin_sent) {
		if (leg->kernel && (!leg->tls_failed || leg->rekeyed) && tls_kernel_close_notify(leg->sock.fd) == -EAGAIN) {
			leg_await_room(leg);
			return;
		}
		leg->fin_sent = true;
		ring_shutdown(leg->io->ring, &leg->sock);
	}
}

static void on_sent(struct ring_socket *s, size_t len)
{
	struct leg *leg = leg_of(s);

	fifo_consume(&leg->out, len);
	leg->wire_out += len;
	flush(leg);
	if (!leg->out.len)
		leg->wake(leg);
}

void leg_write(struct leg *leg, const void *data, size_t len)
{
	leg->bytes_out += len;
	leg->hold = false;
	if (!in_tls(leg))
		fifo_append(&leg->out, data, len);
	else if (tls_write(leg->tls, data, len) != TLS_DONE)
		leg->tls_failed = true;
}

void leg_finish(struct leg *leg)
{
	if (leg->fin_wanted || leg->state != LEG_OPEN)
		return;
	if (in_tls(leg) && !leg->tls_failed)
		tls_close_notify(leg->tls);
	leg->fin_wanted = true;
	leg->hold = false;
	flush(leg);
}

/* ---- receiving ---- */

void leg_set_error(struct leg *leg, int error)
{
	if (!leg->error)
		leg->error = error;
}

void leg_take_fin(struct leg *leg)
{
	if (leg->lost)
		leg_set_error(leg, leg->lost);
	else
		leg->fin_seen = true;
}

void leg_lose(struct leg *leg, int error)
{
	bool reset = error == ECONNRESET || error == EPIPE || error == ETIMEDOUT;
	bool listens = ring_busy(&leg->sock, RING_RECV) || ring_busy(&leg->sock, RING_WATCH);

	if (reset && leg->side == LEG_BACKEND && listens)
		leg->lost = error;
	else
		leg_set_error(leg, error);
}

static void out_of_memory(void)
{
	/* The promise of fifo_append(): a mail proxy that cannot get a few kilobytes has no session to save. */
	abort();
}

static uint8_t *copy_of(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len);

	if (!copy)
		out_of_memory();
	memcpy(copy, data, len);
	return copy;
}

/* New bytes behind those kept from before. */
static void join_kept(struct leg *leg, const uint8_t *data, size_t len)
{
	uint8_t *all = realloc(leg->kept, leg->now_len + len);

	if (!all)
		out_of_memory();
	memcpy(all + leg->now_len, data, len);
	leg->kept = all;
	leg->now = all;
	leg->now_len += len;
}

void leg_take_input(struct leg *leg, const uint8_t *data, size_t len)
{
	if (leg->now_len) {
		/* kept bytes may start inside ->kept: bring them to its start first */
		memmove(leg->kept, leg->now, leg->now_len);
		join_kept(leg, data, len);
	} else {
		leg->now = data;
		leg->now_len = len;
	}
}

static void on_received(struct ring_socket *s, const uint8_t *data, size_t len)
{
	struct leg *leg = leg_of(s);

	if (len)
		leg_take_input(leg, data, len);
	else
		leg_take_fin(leg);
	leg->wake(leg);
}

static void set_text(struct leg *leg, const uint8_t *text, size_t len)
{
	leg->text = text;
	leg->text_len = len;
}

/* Decrypts into dst; the bytes got, 0 when the records at hand are used up or the stream is over. */
static size_t decrypt(struct leg *leg, uint8_t *dst, size_t room)
{
	size_t got = 0;

	if (leg->tls_failed || leg->eof)
		return 0;
	tls_input(leg->tls, leg->now, leg->now_len);
	enum tls_result r = tls_read(leg->tls, dst, room, &got);
	size_t left = tls_input_left(leg->tls);

	leg->now += leg->now_len - left;
	leg->now_len = left;
	if (r == TLS_EOF)
		leg->eof = true;
	else if (r == TLS_FAILED)
		leg->tls_failed = true;
	else if (r == TLS_WANT_INPUT && leg->fin_seen)
		leg->eof = true;
	return r == TLS_DONE ? got : 0;
}

const uint8_t *leg_peek(struct leg *leg, size_t *len)
{
	if (!in_tls(leg)) {
		leg->eof = leg->fin_seen;
		*len = leg->now_len;
		return leg->now;
	}
	if (!leg->text_len) {
		uint8_t *scratch = leg->io->scratch[leg->side];

		set_text(leg, scratch, decrypt(leg, scratch, LEG_SCRATCH));
	}
	*len = leg->text_len;
	return leg->text;
}

static void drop_kept_text(struct leg *leg)
{
	free(leg->kept_text);
	leg->kept_text = NULL;
}

const uint8_t *leg_peek_more(struct leg *leg, size_t *len)
{
	uint8_t *scratch = leg->io->scratch[leg->side];

	if (!in_tls(leg) || leg->text_len == LEG_SCRATCH)
		return NULL;
	memmove(scratch, leg->text, leg->text_len);
	drop_kept_text(leg);
	size_t got = decrypt(leg, scratch + leg->text_len, LEG_SCRATCH - leg->text_len);

	set_text(leg, scratch, leg->text_len + got);
	*len = leg->text_len;
	return got ? scratch : NULL;
}

void leg_used(struct leg *leg, size_t len)
{
	leg->bytes_in += len;
	if (in_tls(leg)) {
		assert(len <= leg->text_len);
		set_text(leg, leg->text + len, leg->text_len - len);
		if (!leg->text_len)
			drop_kept_text(leg);
	} else {
		assert(len <= leg->now_len);
		leg->now += len;
		leg->now_len -= len;
	}
}

enum smtp_line leg_peek_line(struct leg *leg, size_t max, const char **line, size_t *len, size_t *used)
{
	size_t have;
	const uint8_t *data = leg_peek(leg, &have);
	enum smtp_line r = SMTP_LINE_MORE;

	while (data && have) {
		*line = (const char *)data;
		r = smtp_find_line(data, have, max, used, len);
		if (r != SMTP_LINE_MORE)
			break;
		data = leg_peek_more(leg, &have);
	}
	return r;
}

size_t leg_read(struct leg *leg, uint8_t *dst, size_t room)
{
	if (in_tls(leg) && !leg->text_len) {
		size_t got = decrypt(leg, dst, room);

		leg->bytes_in += got;
		return got;
	}
	size_t len;
	const uint8_t *data = leg_peek(leg, &len);

	if (len > room)
		len = room;
	if (len)
		memcpy(dst, data, len);
	leg_used(leg, len);
	return len;
}

void leg_unread(struct leg *leg, const uint8_t *data, size_t len)
{
	assert(!leg->text_len);
	leg->bytes_in -= len;
	if (in_tls(leg)) {
		leg->kept_text = len ? copy_of(data, len) : NULL;
		set_text(leg, leg->kept_text, len);
		return;
	}
	uint8_t *all = malloc(len + leg->now_len + 1);

	if (!all)
		out_of_memory();
	memcpy(all, data, len);
	if (leg->now_len)
		memcpy(all + len, leg->now, leg->now_len);
	free(leg->kept);
	leg->kept = all;
	leg->now = all;
	leg->now_len += len;
}

void leg_discard(struct leg *leg)
{
	leg->now_len = 0;
	set_text(leg, NULL, 0);
	drop_kept_text(leg);
}

bool leg_has_input(const struct leg *leg)
{
	return leg->now_len || leg->text_len;
}

/* ---- TLS ---- */

void leg_start_tls(struct leg *leg, struct tls *tls)
{
	assert(!leg->tls);
	leg->tls = tls;
}

enum tls_result leg_handshake(struct leg *leg)
{
	tls_input(leg->tls, leg->now, leg->now_len);
	enum tls_result r = tls_handshake(leg->tls);
	size_t left = tls_input_left(leg->tls);

	leg->now += leg->now_len - left;
	leg->now_len = left;
	leg->eof = r == TLS_WANT_INPUT && leg->fin_seen;
	leg->tls_failed = r == TLS_FAILED;
	return r;
}

/* ---- the end of a run ---- */

void leg_keep_rest(struct leg *leg)
{
	if (!leg->now_len) {
		free(leg->kept);
		leg->kept = NULL;
		leg->now = NULL;
	} else if (!leg->kept || leg->now < leg->kept || leg->now >= leg->kept + leg->kept_len) {
		uint8_t *copy = copy_of(leg->now, leg->now_len);

		free(leg->kept);
		leg->kept = copy;
		leg->now = copy;
	}
	if (leg->kept)
		leg->kept_len = (size_t)(leg->now - leg->kept) + leg->now_len;
	if (leg->text_len && !leg->kept_text) {
		leg->kept_text = copy_of(leg->text, leg->text_len);
		leg->text = leg->kept_text;
	}
}

void leg_settle(struct leg *leg, bool want_input, size_t most)
{
	leg_keep_rest(leg);
	if (!leg_usable(leg))
		return;
	flush(leg);
	if (!want_input || leg->fin_seen || leg->error || ring_busy(&leg->sock, RING_RECV))
		return;
	if (leg->kernel && leg->tls_failed) /* it would be told so again, and again */
		return;
	if (leg->careful && !leg->ready) {
		leg_await_input(leg);
		return;
	}
	leg->ready = false;
	ring_recv(leg->io->ring, &leg->sock, most);
}

size_t leg_bytes_held(const struct leg *leg)
{
	return leg->out.len + (leg->kept ? leg->kept_len : 0) + (leg->kept_text ? leg->text_len : 0);
}

/* ---- what is awaited ---- */

static void on_readable(struct ring_socket *s)
{
	struct leg *leg = leg_of(s);

	leg->ready = true;
	leg->wake(leg);
}

static void on_writable(struct ring_socket *s)
{
	struct leg *leg = leg_of(s);

	flush(leg);
	leg->wake(leg);
}

/* ---- opening and closing ---- */

static void on_connected(struct ring_socket *s)
{
	struct leg *leg = leg_of(s);

	leg->state = LEG_OPEN;
	leg->wake(leg);
}

static void on_failed(struct ring_socket *s, enum ring_op op, int error)
{
	struct leg *leg = leg_of(s);

	if (op == RING_RECV && leg_is_control(leg, error))
		leg_take_control(leg);
	else if (op == RING_SEND)
		leg_lose(leg, error);
	else
		leg_set_error(leg, error);
	leg->wake(leg);
}

static void release(struct leg *leg)
{
	tls_free(leg->tls);
	leg->tls = NULL;
	fifo_clear(&leg->out);
	free(leg->kept);
	leg->kept = NULL;
	drop_kept_text(leg);
	set_text(leg, NULL, 0);
	leg->now = NULL;
	leg->now_len = 0;
	leg->state = LEG_CLOSED;
}

static void on_closed(struct ring_socket *s)
{
	struct leg *leg = leg_of(s);

	release(leg);
	leg->wake(leg);
}

static const struct ring_handler leg_handler = {
	.received = on_received,
	.sent = on_sent,
	.connected = on_connected,
	.readable = on_readable,
	.writable = on_writable,
	.failed = on_failed,
	.closed = on_closed,
};

void leg_init(struct leg *leg, struct leg_io *io, enum leg_side side, void (*wake)(struct leg *))
{
	memset(leg, 0, sizeof(*leg));
	ring_socket_init(&leg->sock, &leg_handler);
	leg->io = io;
	leg->wake = wake;
	leg->side = side;
	leg->state = LEG_IDLE;
	fifo_init(&leg->out, io->pool);
}

void leg_adopt(struct leg *leg, int fd)
{
	ring_adopt(leg->io->ring, &leg->sock, fd);
	leg->state = LEG_OPEN;
}

int leg_connect(struct leg *leg, const struct net_addr *to, bool we_begin)
{
	int r = ring_connect(leg->io->ring, &leg->sock, to, we_begin);

	if (!r)
		leg->state = LEG_CONNECTING;
	return r;
}

void leg_close(struct leg *leg, bool reset)
{
	if (leg->state == LEG_CLOSED || leg->sock.closing)
		return;
	if (leg->state == LEG_IDLE)
		release(leg);
	else
		ring_close(leg->io->ring, &leg->sock, reset);
}
