/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exact: both ends of spliced sessions, and every byte compared.
 *
 *	exact -a PORT -l PORT [-n SESSIONS] [-s SEED] [-m BYTES] [-M BYTES] [-t 1.2|1.3] [-c CIPHER] [-b PEM] [-k BYTES] [-K BYTES]
 *	      [-e END] [-o] [-S] [-B]
 *
 * A client (to 127.0.0.1:-a) and a backend (at 127.0.0.1:-l) in two threads do what the seed says: turns of random sizes (-M to
 * -m), one way, the other or (not with -o) both at once, in random pieces with pauses, and an end: client-close, backend-close,
 * client-reset, backend-reset; in TLS client-garbage (a record that nobody sealed), client-clear (words in the clear, which are
 * none), client-alert and backend-alert (fatal ones), client-notify (close_notify and no FIN); or any (the default: one of the
 * first four).  -t: the client speaks TLS of that version, -c: with this cipher; -b: the backend speaks TLS with this certificate
 * and key.  -k: the client changes its keys after each turn or mail once so much went, -K: the backend.  -S: nothing but a
 * backend that does not read; how much the client could push is told.
 *
 * -B: mails by BDAT, through a guarded session: chunks of random sizes, pipelined or one at a time, with RSET and NOOP between
 * them; some are refused, before their octets are over or behind them.  Every octet, every command and every reply is compared;
 * the ends come in the middle of a chunk, but for quit (any: one of these too).
 *
 * Status 0: all was as it should be; else a sentence.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum end_kind { CLIENT_CLOSE, BACKEND_CLOSE, CLIENT_RESET, BACKEND_RESET, CLIENT_GARBAGE, CLIENT_CLEAR, CLIENT_ALERT, BACKEND_ALERT, CLIENT_NOTIFY, QUIT, ANY };
static const char *const end_names[] = { "client-close", "backend-close", "client-reset", "backend-reset", "client-garbage", "client-clear", "client-alert", "backend-alert",
					 "client-notify", "quit", "any" };

#define PERIOD 1048573u /* of the bytes sent; a prime, so that no buffer's size divides it */
#define PATIENCE_MS 60000

static struct {
	int edge, listen, sessions;
	uint64_t seed, min, max;
	const char *version, *cipher, *pem;
	uint64_t rekey[2]; /* the client's and the backend's */
	bool stall, bdat, one_way;
	enum end_kind end;
} set = { .sessions = 1, .seed = 1, .max = 1 << 20, .end = ANY };

static uint8_t bytes[PERIOD + 65536];
static SSL_CTX *client_ctx, *backend_ctx;
static sem_t backend_over;
static uint64_t session_seed; /* of the session that the backend has to play */
static uint64_t total[2];

struct side {
	const char *name;
	int fd;
	SSL *ssl;
	uint64_t sent, got; /* positions in both streams */
	uint64_t rng;	    /* own pauses and pieces */
	bool reset;
};

static void die(const struct side *s, const char *format, ...)
{
	va_list ap;

	printf("seed %llu, session seed %llu: %s (sent %llu, got %llu): ", (unsigned long long)set.seed,
	       (unsigned long long)session_seed, s ? s->name : "", s ? (unsigned long long)s->sent : 0, s ? (unsigned long long)s->got : 0);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	exit(1);
}

static uint64_t next(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t n) { return next(state) % n; }

/* Small ones are as likely as large ones: the size's number of bits is what is drawn. */
static uint64_t size_below(uint64_t *state, uint64_t max)
{
	uint64_t top = max;

	for (uint64_t n = below(state, 64); n && top > 16; n--)
		top = below(state, 4) ? top : top / 2;
	return 1 + below(state, top);
}

static uint64_t random_size(uint64_t *state) { return set.min + size_below(state, set.max - set.min); }

static void pause_ms(unsigned ms) { nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL); }

/* ---- one connection, not blocking ---- */

static void ready(struct side *s, short events)
{
	struct pollfd p = { .fd = s->fd, .events = events };

	if (poll(&p, 1, PATIENCE_MS) == 0)
		die(s, "nothing moves");
}

static short ssl_wants(struct side *s, int ret)
{
	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		s->reset = true; /* only where it is expected does this end well */
		return 0;
	}
}

/* Bytes put, 0: not now (*wait says what for), -1: it is over. */
static ssize_t put(struct side *s, const uint8_t *data, size_t len, short *wait)
{
	ssize_t n;

	*wait = POLLOUT;
	if (s->ssl) {
		n = SSL_write(s->ssl, data, (int)len);
		if (n > 0)
			return n;
		*wait = ssl_wants(s, (int)n);
		return *wait ? 0 : -1;
	}
	n = send(s->fd, data, len, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return 0;
	s->reset |= n < 0;
	return n;
}

/* The same for taking; -1 with !reset: its end. */
static ssize_t take(struct side *s, uint8_t *data, size_t len, short *wait)
{
	ssize_t n;

	*wait = POLLIN;
	if (s->ssl) {
		n = SSL_read(s->ssl, data, (int)len);
		if (n > 0)
			return n;
		*wait = ssl_wants(s, (int)n);
		return *wait ? 0 : -1;
	}
	n = recv(s->fd, data, len, 0);
	if (n < 0 && errno == EAGAIN)
		return 0;
	s->reset |= n < 0;
	return n ? n : -1;
}

static void put_all(struct side *s, const char *text)
{
	size_t left = strlen(text);
	short wait;

	while (left) {
		ssize_t n = put(s, (const uint8_t *)text, left, &wait);

		if (n < 0)
			die(s, "cannot say %s", text);
		text += n;
		left -= (size_t)n;
		if (!n)
			ready(s, wait);
	}
}

/* A line, octet by octet: nothing behind it is touched.  False: the end. */
static bool line(struct side *s, char *out, size_t size)
{
	size_t n = 0;
	short wait;

	while (n + 1 < size) {
		ssize_t r = take(s, (uint8_t *)out + n, 1, &wait);

		if (r < 0)
			return false;
		if (!r)
			ready(s, wait);
		else if (out[n++] == '\n')
			break;
	}
	out[n] = 0;
	return true;
}

static void expect(struct side *s, const char *code)
{
	char text[600];

	do
		if (!line(s, text, sizeof(text)) || strncmp(text, code, 3))
			die(s, "wanted %s", code);
	while (text[3] == '-');
}

static void begin_tls(struct side *s, SSL_CTX *ctx, bool accept)
{
	int r;

	s->ssl = SSL_new(ctx);
	SSL_set_fd(s->ssl, s->fd);
	while ((r = accept ? SSL_accept(s->ssl) : SSL_connect(s->ssl)) != 1) {
		short wait = ssl_wants(s, r);

		if (!wait)
			die(s, "TLS handshake");
		ready(s, wait);
	}
}

static void over(struct side *s, bool reset)
{
	if (reset)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	SSL_free(s->ssl);
	close(s->fd);
}

/* ---- turns ---- */

/* One octet at a time up to all at once; of much never so little that it takes a thousand turns. */
static size_t piece_of(struct side *s, uint64_t all)
{
	uint64_t piece = all / 1000 + size_below(&s->rng, 65536);

	return piece < 65536 ? (size_t)piece : 65536;
}

/* Sends so much of our stream while it takes so much of the other's, in pieces of the own mood. */
static void exchange(struct side *s, uint64_t out, uint64_t in)
{
	static _Thread_local uint8_t got[65536];
	const uint64_t mood = next(&s->rng);
	const size_t piece_out = piece_of(s, out), piece_in = piece_of(s, in);
	unsigned pauses = mood % 3 ? 0 : 20;

	while (out || in) {
		short wait_out = 0, wait_in = 0;
		ssize_t n = 0, m = 0;

		if (pauses && !below(&s->rng, 8)) {
			pause_ms(1 + (unsigned)below(&s->rng, 10));
			pauses--;
		}
		if (out) {
			n = put(s, bytes + s->sent % PERIOD, out < piece_out ? (size_t)out : piece_out, &wait_out);
			if (n < 0)
				die(s, "cannot send the last %llu of a turn", (unsigned long long)out);
			out -= (uint64_t)n;
			s->sent += (uint64_t)n;
		}
		if (in) {
			m = take(s, got, in < piece_in ? (size_t)in : piece_in, &wait_in);
			if (m < 0)
				die(s, "%s before the last %llu of a turn", s->reset ? "reset" : "its end", (unsigned long long)in);
			if (m && memcmp(got, bytes + s->got % PERIOD, (size_t)m))
				die(s, "wrong bytes");
			in -= (uint64_t)m;
			s->got += (uint64_t)m;
		}
		if (n <= 0 && m <= 0 && (out || in))
			ready(s, (short)(wait_out | wait_in));
	}
}

static void expect_end(struct side *s, bool reset)
{
	uint8_t one;
	short wait;
	ssize_t n;

	while (!(n = take(s, &one, 1, &wait)))
		ready(s, wait);
	if (n > 0)
		die(s, "bytes where the end should be");
	if (s->reset != reset)
		die(s, "it ended by %s", s->reset ? "a reset" : "a FIN or close_notify");
}

static const char unsealed[] = "\x17\x03\x03\x00\x20 but this was not encrypted by us!"; /* 5 + 32 */

/* What OpenSSL says to such a record: a fatal alert. */
static void send_alert(struct side *s)
{
	char some[4096];
	int n;

	SSL_set0_rbio(s->ssl, BIO_new_mem_buf(unsealed, 5 + 32));
	while ((n = SSL_read(s->ssl, some, sizeof(some))) > 0) /* what it has already */
		;
	if (SSL_get_error(s->ssl, n) != SSL_ERROR_SSL)
		die(s, "took a record that nobody sealed");
}

static void rekey(struct side *s, bool client)
{
	uint64_t behind = set.rekey[!client];

	if (behind && s->sent + s->got >= behind && s->ssl)
		SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
}

static void finish(struct side *s)
{
	if (s->ssl)
		SSL_shutdown(s->ssl);
	shutdown(s->fd, SHUT_WR);
}

static void play_end(struct side *s, bool client, enum end_kind end, uint64_t last)
{
	switch (end) {
	case CLIENT_CLOSE: /* half: the other way still carries */
	case CLIENT_NOTIFY:
		if (client && end == CLIENT_NOTIFY)
			SSL_shutdown(s->ssl);
		else if (client)
			finish(s);
		else
			expect_end(s, false);
		exchange(s, client ? 0 : last, client ? last : 0);
		if (!client)
			finish(s);
		else
			expect_end(s, false);
		break;
	case BACKEND_CLOSE:
		if (client)
			expect_end(s, false);
		finish(s);
		if (!client)
			expect_end(s, false);
		break;
	case CLIENT_GARBAGE: /* a record that nobody sealed */
	case CLIENT_CLEAR:
		if (client && end == CLIENT_CLEAR)
			send(s->fd, unsealed + 5, 32, MSG_NOSIGNAL); /* more than a header and the nonce of TLS 1.2 */
		else if (client)
			send(s->fd, unsealed, 5 + 32, MSG_NOSIGNAL);
		expect_end(s, true);
		break;
	case CLIENT_ALERT:
	case BACKEND_ALERT:
		if (client == (end == CLIENT_ALERT))
			send_alert(s);
		else
			expect_end(s, true);
		break;
	default:
		if (client == (end != BACKEND_RESET))
			over(s, true);
		else
			expect_end(s, true), over(s, false);
		return;
	}
	over(s, false);
}

static void play(struct side *s, bool client, uint64_t seed)
{
	uint64_t plan = seed;

	s->rng = seed + client;
	for (uint64_t turns = 1 + below(&plan, 6); turns; turns--) {
		uint64_t kind = below(&plan, set.one_way ? 4 : 5), a = random_size(&plan), b = random_size(&plan);
		uint64_t up = kind < 3 ? a : kind == 4 ? a : 0, down = kind >= 3 ? b : 0;

		exchange(s, client ? up : down, client ? down : up);
		if (client)
			total[0] += up, total[1] += down;
		rekey(s, client);
	}
	uint64_t last = size_below(&plan, set.max);
	enum end_kind end = set.end == ANY ? (enum end_kind)below(&plan, 4) : set.end;

	/* a word each, so that who breaks it knows that all has arrived before */
	exchange(s, client ? 1 : 0, client ? 0 : 1);
	exchange(s, client ? 0 : 1, client ? 1 : 0);
	if (end == BACKEND_RESET || end == BACKEND_ALERT)
		exchange(s, client ? 1 : 0, client ? 0 : 1);
	if (client)
		total[1] += end == CLIENT_CLOSE || end == CLIENT_NOTIFY ? last : 0;
	play_end(s, client, end, last);
}

/* ---- mails by BDAT ---- */

/* What a backend answers to a chunk is in its size, for both ends to know. */
static bool is_refused(uint64_t size) { return size % 16 == 5; }
static bool is_refused_early(uint64_t size) { return size % 64 == 5; }

static const char lost[] = "451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later\r\n";

struct outbox {
	struct side *side;
	uint8_t *data;
	size_t len, room;
	struct wanted {
		char text[80];
	} *wanted; /* replies, in order */
	size_t count;
};

static void add(struct outbox *o, const void *data, size_t len)
{
	if (o->len + len > o->room) {
		o->room = 2 * (o->len + len);
		o->data = realloc(o->data, o->room);
	}
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

static void __attribute__((format(printf, 3, 4))) command(struct outbox *o, const char *line, const char *format, ...)
{
	va_list ap;

	add(o, line, strlen(line));
	add(o, "\r\n", 2);
	o->wanted = realloc(o->wanted, (o->count + 1) * sizeof(*o->wanted));
	va_start(ap, format);
	vsnprintf(o->wanted[o->count].text, sizeof(o->wanted->text), format, ap);
	va_end(ap);
	strcat(o->wanted[o->count++].text, "\r\n");
}

static void chunk(struct outbox *o, uint64_t size, uint64_t part, bool last)
{
	struct side *s = o->side;
	char line[60];

	snprintf(line, sizeof(line), "BDAT %llu%s", (unsigned long long)size, last ? " LAST" : "");
	command(o, line, is_refused(size) ? "552 no %llu %llu" : "250 has %llu %llu", (unsigned long long)size, (unsigned long long)(s->sent + size));
	for (uint64_t done = 0, n; done < part; done += n, s->sent += n) {
		n = part - done < 65536 ? part - done : 65536;
		add(o, bytes + s->sent % PERIOD, (size_t)n);
	}
}

/* Everything, in random pieces with pauses, wherever commands and octets meet. */
static void flush(struct outbox *o)
{
	struct side *s = o->side;
	const size_t piece = piece_of(s, o->len);
	unsigned pauses = below(&s->rng, 3) ? 0 : 20;
	short wait;

	for (size_t done = 0; done < o->len;) {
		if (pauses && !below(&s->rng, 8)) {
			pause_ms(1 + (unsigned)below(&s->rng, 10));
			pauses--;
		}
		ssize_t n = put(s, o->data + done, o->len - done < piece ? o->len - done : piece, &wait);

		if (n < 0)
			die(s, "cannot send the last %zu of commands and chunks", o->len - done);
		if (!n)
			ready(s, wait);
		done += (size_t)n;
	}
	o->len = 0;
}

static void expect_line(struct side *s, const char *want)
{
	char text[600];

	if (!line(s, text, sizeof(text)))
		die(s, "%s where it should be %s", s->reset ? "a reset" : "the end", want);
	if (strcmp(text, want))
		die(s, "wanted %s, got %s", want, text);
}

static void hear(struct outbox *o)
{
	for (size_t i = 0; i < o->count; i++)
		expect_line(o->side, o->wanted[i].text);
	o->count = 0;
}

static void one_mail(struct outbox *o, uint64_t *plan)
{
	bool pipelined = below(plan, 2);

	command(o, "MAIL FROM:<a@sender.example>", "250 MAIL");
	command(o, "RCPT TO:<b@farm.example>", "250 RCPT");
	for (uint64_t chunks = 1 + below(plan, 3); chunks; chunks--) {
		uint64_t size = below(plan, 12) ? random_size(plan) : 0;

		chunk(o, size, size, chunks == 1);
		if (pipelined && below(plan, 4))
			continue;
		flush(o);
		hear(o);
	}
	if (below(plan, 3) == 0)
		command(o, "RSET", "250 RSET");
	if (below(plan, 3) == 0)
		command(o, "NOOP", "250 NOOP");
}

/* What both ends know of a session: how it ends, and of which chunk so much is sent. */
static enum end_kind end_of(uint64_t seed, uint64_t *size, uint64_t *part)
{
	uint64_t plan = seed ^ 0xbda7;

	*size = 1000 + size_below(&plan, set.max);
	*size += is_refused(*size);
	*part = below(&plan, *size);
	uint64_t kind = below(&plan, 5);

	return set.end != ANY ? set.end : kind == 4 ? QUIT : (enum end_kind)kind;
}

static bool from_backend(enum end_kind end)
{
	return end == BACKEND_CLOSE || end == BACKEND_RESET || end == BACKEND_ALERT;
}

static void bdat_client(struct side *s, uint64_t seed)
{
	struct outbox o = { .side = s };
	uint64_t plan = seed, size, part;
	enum end_kind end = end_of(seed, &size, &part);

	s->rng = seed + 1;
	for (uint64_t mails = 1 + below(&plan, 4); mails; mails--) {
		one_mail(&o, &plan);
		rekey(s, true);
	}
	flush(&o);
	hear(&o);
	command(&o, "NOOP", "250 NOOP");
	if (from_backend(end)) { /* a reset may take with it what was said before and not heard yet */
		flush(&o);
		hear(&o);
	}
	if (end != QUIT)
		chunk(&o, size, part, true);
	flush(&o);
	o.count = !from_backend(end);
	hear(&o);
	total[0] += s->sent;
	switch (end) {
	case QUIT:
		command(&o, "QUIT", "221 bye");
		flush(&o);
		hear(&o);
		expect_end(s, false);
		break;
	case CLIENT_NOTIFY:
		SSL_shutdown(s->ssl);
		expect_end(s, false);
		break;
	case CLIENT_CLOSE:
		finish(s);
		expect_end(s, false);
		break;
	case BACKEND_CLOSE:
		expect_line(s, "552 enough\r\n");
		expect_end(s, false);
		break;
	case BACKEND_RESET:
	case BACKEND_ALERT:
		expect_line(s, lost);
		expect_end(s, false);
		break;
	case CLIENT_ALERT:
		send_alert(s);
		break;
	default:
		break;
	}
	free(o.data);
	free(o.wanted);
	over(s, end == CLIENT_RESET);
}

static void answer(struct side *s, const char *format, ...)
{
	char text[100];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	put_all(s, text);
}

static void take_chunk(struct side *s, uint64_t size)
{
	const uint64_t behind = s->got + size, before = is_refused_early(size) ? size / 2 : size;
	const char *format = is_refused(size) ? "552 no %llu %llu\r\n" : "250 has %llu %llu\r\n";

	exchange(s, 0, before);
	answer(s, format, (unsigned long long)size, (unsigned long long)behind);
	exchange(s, 0, size - before);
}

/* The chunk breaks off: no more octets than were sent, no others, and it must not look like an end. */
static void take_broken(struct side *s, uint64_t part)
{
	static _Thread_local uint8_t got[65536];
	const uint64_t most = s->got + part;
	ssize_t n;
	short wait;

	while ((n = take(s, got, sizeof(got), &wait)) >= 0) {
		if (s->got + (uint64_t)n > most || memcmp(got, bytes + s->got % PERIOD, (size_t)n))
			die(s, "wrong octets of a chunk that breaks off");
		s->got += (uint64_t)n;
		if (!n)
			ready(s, wait);
	}
	if (!s->reset)
		die(s, "a chunk that breaks off ends by a FIN or close_notify");
	over(s, false);
}

/* The last chunk does not come whole, or is not taken whole. */
static void end_in_chunk(struct side *s, enum end_kind end, uint64_t part)
{
	if (!from_backend(end)) {
		take_broken(s, part);
		return;
	}
	exchange(s, 0, part / 2);
	if (end == BACKEND_CLOSE)
		answer(s, "552 enough\r\n");
	else if (end == BACKEND_ALERT)
		send_alert(s);
	over(s, end == BACKEND_RESET); /* with octets unread closing is a reset too, right behind those words */
}

static void bdat_backend(struct side *s, uint64_t seed, const char *first)
{
	char text[600];
	uint64_t size, part, last_size;
	enum end_kind end = end_of(seed, &last_size, &part);
	bool over_next = false;

	s->rng = seed;
	strcpy(text, first);
	do {
		if (!strncmp(text, "BDAT ", 5)) {
			size = strtoull(text + 5, NULL, 10);
			if (over_next && size == last_size) {
				end_in_chunk(s, end, part);
				return;
			}
			take_chunk(s, size);
			rekey(s, false);
		} else if (!strncmp(text, "QUIT", 4)) {
			put_all(s, "221 bye\r\n");
			expect_end(s, false);
			over(s, false);
			return;
		} else if (strspn(text, "MAILRCPTSENOO") >= 4) {
			answer(s, "250 %.4s\r\n", text);
			over_next = !strncmp(text, "NOOP", 4);
		} else {
			die(s, "what is %s", text);
		}
	} while (line(s, text, sizeof(text)));
	/* the reset that breaks a chunk off may overtake the BDAT before it, and then there is none to break off */
	if (!over_next || !s->reset || from_backend(end))
		die(s, "%s between commands", s->reset ? "a reset" : "its end");
	over(s, false);
}

/* ---- the two ends ---- */

static struct sockaddr_in at(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void set_up(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

/* Up to the point where bytes are the client's (text: the line that says so); false: a probe. */
static bool backend_dialogue(struct side *s, char *text, size_t size)
{
	put_all(s, "220 exact\r\n");
	while (line(s, text, size)) {
		if (!strncmp(text, "EHLO", 4)) {
			put_all(s, set.pem && !s->ssl ? "250-exact\r\n250 STARTTLS\r\n" : "250-exact\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
		} else if (!strncmp(text, "STARTTLS", 8)) {
			put_all(s, "220 go\r\n");
			begin_tls(s, backend_ctx, true);
		} else if (!strncmp(text, set.bdat ? "MAIL" : "XEXACT", 4)) {
			return true;
		} else if (!strncmp(text, "QUIT", 4)) {
			put_all(s, "221 bye\r\n");
			return false;
		}
	}
	return false;
}

static void *backend_session(void *arg)
{
	struct side s = { .name = "backend", .fd = (int)(intptr_t)arg };
	char text[600];

	set_up(s.fd);
	if (!backend_dialogue(&s, text, sizeof(text))) {
		over(&s, false);
		return NULL;
	}
	if (set.stall) {
		struct pollfd p = { .fd = s.fd, .events = POLLRDHUP };

		while (poll(&p, 1, PATIENCE_MS) == 1 && !(p.revents & (POLLHUP | POLLERR)))
			pause_ms(20);
		over(&s, false);
	} else if (set.bdat) {
		bdat_backend(&s, session_seed, text);
	} else {
		play(&s, false, session_seed);
	}
	sem_post(&backend_over);
	return NULL;
}

static void *backend(void *arg)
{
	for (;;) {
		int fd = accept(*(int *)arg, NULL, NULL);
		pthread_t t;

		if (fd < 0) /* a probe that went away again */
			continue;
		if (pthread_create(&t, NULL, backend_session, (void *)(intptr_t)fd))
			die(NULL, "thread");
		pthread_detach(t);
	}
	return NULL;
}

static void push_until_stuck(struct side *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	short wait;

	while (poll(&p, 1, 1000) == 1) {
		ssize_t n = put(s, bytes, 65536, &wait);

		if (n < 0)
			die(s, "it ended while pushing");
		s->sent += (uint64_t)n;
	}
	printf("pushed %llu\n", (unsigned long long)s->sent);
	fflush(stdout);
	if (set.bdat) {
		expect_line(s, lost);
		expect_end(s, false);
		over(s, false);
		return;
	}
	p.events = POLLIN;
	while (poll(&p, 1, PATIENCE_MS) == 1 && !(p.revents & (POLLHUP | POLLERR)))
		pause_ms(20);
	over(s, false);
}

/* Until danelawd has seen that the backend, which came up with this program, takes mail. */
static void greet(struct side *s)
{
	struct sockaddr_in to = at(set.edge);
	char text[600] = "";

	for (int i = 0; i < 400; i++) {
		s->fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(s->fd, (struct sockaddr *)&to, sizeof(to)))
			die(s, "connect: %s", strerror(errno));
		set_up(s->fd);
		if (line(s, text, sizeof(text)) && !strncmp(text, "220", 3))
			return;
		close(s->fd);
		pause_ms(50);
	}
	die(s, "wanted 220, got %s", text);
}

static void client(uint64_t seed)
{
	struct side s = { .name = "client" };

	greet(&s);
	put_all(&s, "EHLO exact.example\r\n");
	expect(&s, "250");
	if (set.version) {
		put_all(&s, "STARTTLS\r\n");
		expect(&s, "220");
		begin_tls(&s, client_ctx, false);
		put_all(&s, "EHLO exact.example\r\n");
		expect(&s, "250");
	}
	if (!set.bdat)
		put_all(&s, "XEXACT\r\n");
	if (set.bdat && set.stall)
		put_all(&s, "MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@farm.example>\r\nBDAT 1000000000 LAST\r\n");
	if (set.stall)
		push_until_stuck(&s);
	else if (set.bdat)
		bdat_client(&s, seed);
	else
		play(&s, true, seed);
}

static void make_contexts(void)
{
	client_ctx = SSL_CTX_new(TLS_client_method());
	if (set.version && !strcmp(set.version, "1.2"))
		SSL_CTX_set_max_proto_version(client_ctx, TLS1_2_VERSION);
	else
		SSL_CTX_set_min_proto_version(client_ctx, TLS1_3_VERSION);
	if (set.cipher && !SSL_CTX_set_ciphersuites(client_ctx, set.cipher) && !SSL_CTX_set_cipher_list(client_ctx, set.cipher))
		die(NULL, "no such cipher: %s", set.cipher);
	backend_ctx = SSL_CTX_new(TLS_server_method());
	if (set.pem && (SSL_CTX_use_certificate_chain_file(backend_ctx, set.pem) != 1 ||
			SSL_CTX_use_PrivateKey_file(backend_ctx, set.pem, SSL_FILETYPE_PEM) != 1))
		die(NULL, "cannot read %s", set.pem);
	for (int i = 0; i < 2; i++)
		SSL_CTX_set_mode(i ? backend_ctx : client_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void options(int argc, char **argv)
{
	for (int o; (o = getopt(argc, argv, "a:l:n:s:m:M:t:c:b:k:K:e:oSB")) != -1;) {
		switch (o) {
		case 'a': set.edge = atoi(optarg); break;
		case 'l': set.listen = atoi(optarg); break;
		case 'n': set.sessions = atoi(optarg); break;
		case 's': set.seed = strtoull(optarg, NULL, 10); break;
		case 'm': set.max = strtoull(optarg, NULL, 10); break;
		case 'M': set.min = strtoull(optarg, NULL, 10); break;
		case 't': set.version = optarg; break;
		case 'c': set.cipher = optarg; break;
		case 'b': set.pem = optarg; break;
		case 'k': set.rekey[0] = strtoull(optarg, NULL, 10); break;
		case 'K': set.rekey[1] = strtoull(optarg, NULL, 10); break;
		case 'o': set.one_way = true; break;
		case 'S': set.stall = true; break;
		case 'B': set.bdat = true; break;
		case 'e':
			for (set.end = 0; set.end < ANY && strcmp(end_names[set.end], optarg);)
				set.end++;
			break;
		default: exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t state;
	pthread_t t;

	options(argc, argv);
	struct sockaddr_in a = at(set.listen);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 128))
		die(NULL, "port %d: %s", set.listen, strerror(errno));
	make_contexts();
	sem_init(&backend_over, 0, 0);
	state = 4711;
	for (size_t i = 0; i < PERIOD; i++)
		bytes[i] = (uint8_t)next(&state);
	memcpy(bytes + PERIOD, bytes, 65536);
	state = set.seed;
	if (pthread_create(&t, NULL, backend, &fd))
		die(NULL, "thread");
	if (!set.sessions) /* a backend alone, for as long as it is wanted */
		pause();
	for (int i = 0; i < set.sessions; i++) {
		session_seed = next(&state);
		client(session_seed);
		sem_wait(&backend_over);
	}
	printf("sessions=%d up=%llu down=%llu\n", set.sessions, (unsigned long long)total[0], (unsigned long long)total[1]);
	fflush(stdout);
	_exit(0); /* probes may still be under way */
}
