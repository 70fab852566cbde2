/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dialogue of one client session: a table of steps, each a line to send and the code to wait for.
 * Lockstep by default, as most MTAs send today's short sessions through a proxy that has just rewritten
 * the capabilities; the pipelined form sends the envelope in one write.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/fast_tls.h"
#include "tests/bench/load.h"
#include "tests/bench/util.h"

enum { IN_SIZE = 2048, CHUNK = 256 * 1024 };

enum step { BANNER, EHLO_CLEAR, STARTTLS, HANDSHAKE, EHLO_TLS, MAIL, RCPT, DATA, BODY, QUIT, HOLD, DEAF, OVER };

struct session {
	const struct plan *plan;
	struct tally *tally;
	SSL_SESSION **ticket;
	uint64_t began;
	int fd;
	SSL *ssl;
	struct fast_tls *fast;	/* in place of ssl */
	bool secure;		/* the handshake is over */
	enum step step;
	unsigned left;		/* messages still to send */
	const char *out;	/* being written */
	size_t out_len;
	size_t in_len;
	char in[IN_SIZE];
	char helo[256];		/* the EHLO line, where the plan has one of its own */
};

static const struct {
	const char *name, *line;
	int code;
} steps[] = {
	[BANNER] = { "banner", NULL, 220 },
	[EHLO_CLEAR] = { "EHLO", "EHLO load.example\r\n", 250 },
	[STARTTLS] = { "STARTTLS", "STARTTLS\r\n", 220 },
	[HANDSHAKE] = { "handshake", NULL, 0 },
	[EHLO_TLS] = { "EHLO in TLS", "EHLO load.example\r\n", 250 },
	[MAIL] = { "MAIL", "MAIL FROM:<sender@load.example>\r\n", 250 },
	[RCPT] = { "RCPT", "RCPT TO:<someone@sink.example>\r\n", 250 },
	[DATA] = { "DATA", "DATA\r\n", 354 },
	[BODY] = { "body", NULL, 250 },
	[QUIT] = { "QUIT", "QUIT\r\n", 221 },
	[HOLD] = { "hold", NULL, 0 },
	[DEAF] = { "deaf", NULL, 0 },
	[OVER] = { "over", NULL, 0 },
};

static const char envelope[] = "MAIL FROM:<sender@load.example>\r\nRCPT TO:<someone@sink.example>\r\nDATA\r\n";

static enum session_state
fail(struct session *s, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *because = s->fast ? fast_tls_why(s->fast) : e ? ERR_reason_error_string(e) : errno ? strerror(errno) : "";

	if (!s->tally->why[0])
		snprintf(s->tally->why, sizeof(s->tally->why), "%s: %s (%s) %.*s", steps[s->step].name, what, because,
			 (int)(s->in_len > 80 ? 80 : s->in_len), s->in);
	return SESSION_FAILED;
}

static void
bind_source(int fd, const struct plan *plan, uint64_t number)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	uint32_t host = 1 + (uint32_t)(number % plan->sources);

	sin.sin_addr.s_addr = htonl(0x7f010000u + (host / 250) * 256 + host % 250 + 1);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		util_die("bind to a source address");
}

static void
make_helo(struct session *s, uint64_t number)
{
	const char *name = s->plan->helo, *mark = strstr(name, "%u");
	int head = mark ? (int)(mark - name) : (int)strlen(name);

	if (mark)
		snprintf(s->helo, sizeof(s->helo), "EHLO %.*s%u%s\r\n", head, name, (unsigned)(number % s->plan->helos), mark + 2);
	else
		snprintf(s->helo, sizeof(s->helo), "EHLO %s\r\n", name);
}

struct session *
session_new(const struct plan *plan, struct tally *tally, SSL_SESSION **ticket, uint64_t number)
{
	struct session *s = calloc(1, sizeof(*s));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (!s || fd < 0)
		util_die("session");
	*s = (struct session){ .plan = plan, .tally = tally, .ticket = ticket, .began = util_now(), .fd = fd,
			       .step = BANNER, .left = plan->messages };
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (plan->helo)
		make_helo(s, number);
	if (plan->sources)
		bind_source(fd, plan, number);
	if (connect(fd, (const struct sockaddr *)&plan->target, sizeof(plan->target)) < 0 && errno != EINPROGRESS)
		fail(s, "connect");
	return s;
}

int
session_fd(const struct session *s)
{
	return s->fd;
}

uint64_t
session_began(const struct session *s)
{
	return s->began;
}

void
session_free(struct session *s)
{
	if (s->fast)
		fast_tls_free(s->fast);
	if (s->ssl && s->step == OVER)
		SSL_shutdown(s->ssl); /* our close_notify; the peer's is not waited for */
	if (s->ssl)
		SSL_free(s->ssl);
	if (s->plan->deaf) /* what was never read must not linger: reset */
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(s->fd);
	free(s);
}

/* A copy: OpenSSL lets a client use a TLS 1.3 ticket once, and a server that still likes it (Postfix) sends no new one. */
static void
resume(SSL *ssl, SSL_SESSION *ticket)
{
	SSL_SESSION *copy = SSL_SESSION_dup(ticket);

	if (!copy || SSL_set_session(ssl, copy) != 1)
		util_die("ticket");
	SSL_SESSION_free(copy);
}

int
session_keep_ticket(SSL *ssl, SSL_SESSION *ticket)
{
	struct session *s = SSL_get_app_data(ssl);

	SSL_SESSION_free(*s->ticket);
	*s->ticket = ticket;
	return 1;
}

/* Octets moved, 0 when not now, -1 when the connection is over (see errno and the TLS error queue). */
static ssize_t
moved(struct session *s, int n)
{
	int e;

	if (n > 0)
		return n;
	e = SSL_get_error(s->ssl, n);
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t
put(struct session *s, const char *data, size_t len)
{
	ssize_t n;

	if (len > CHUNK)
		len = CHUNK;
	if (s->secure && s->fast)
		return fast_tls_write(s->fast, data, len);
	if (s->secure)
		return moved(s, SSL_write(s->ssl, data, (int)len));
	n = send(s->fd, data, len, MSG_NOSIGNAL);
	return n < 0 && (errno == EAGAIN || errno == ENOTCONN) ? 0 : n;
}

static ssize_t
get(struct session *s, char *data, size_t len)
{
	ssize_t n;

	if (s->secure && s->fast)
		return fast_tls_read(s->fast, data, len);
	if (s->secure)
		return moved(s, SSL_read(s->ssl, data, (int)len));
	n = recv(s->fd, data, len, 0);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	return n ? n : -1;
}

/* 1 all written, 0 not now, -1 broken */
static int
flush_out(struct session *s)
{
	while (s->out_len) {
		ssize_t n = put(s, s->out, s->out_len);

		if (n <= 0)
			return (int)n;
		s->out += n;
		s->out_len -= (size_t)n;
	}
	return 1;
}

static void
set_out(struct session *s, const char *data, size_t len)
{
	s->out = data;
	s->out_len = len;
}

/* What a step sends as it begins. */
static void
begin(struct session *s, enum step step)
{
	const struct plan *plan = s->plan;

	s->step = step;
	if (step == BODY)
		set_out(s, plan->body, plan->body_len);
	else if (plan->pipeline && (step == MAIL || step == RCPT || step == DATA))
		set_out(s, envelope, step == MAIL ? sizeof(envelope) - 1 : 0);
	else if ((step == EHLO_CLEAR || step == EHLO_TLS) && s->helo[0])
		set_out(s, s->helo, strlen(s->helo));
	else if (steps[step].line)
		set_out(s, steps[step].line, strlen(steps[step].line));
}

static enum step
after_ehlo(const struct session *s)
{
	return s->plan->idle ? HOLD : s->plan->deaf ? DEAF : s->left ? MAIL : QUIT;
}

static enum step
after_message(struct session *s)
{
	s->tally->messages++;
	s->tally->octets += s->plan->size;
	if (--s->left)
		return MAIL;
	return s->plan->vanish ? OVER : QUIT;
}

static enum step
next_step(struct session *s)
{
	switch (s->step) {
	case EHLO_CLEAR:
		return s->plan->tls || s->plan->fast ? STARTTLS : after_ehlo(s);
	case HANDSHAKE:
		return EHLO_TLS;
	case EHLO_TLS:
		return after_ehlo(s);
	case RCPT:
		return s->plan->bdat ? BODY : DATA;
	case BODY:
		return after_message(s);
	case QUIT:
		return OVER;
	default:
		return s->step + 1;
	}
}

static SSL *
tls_new(struct session *s)
{
	SSL *ssl = SSL_new(s->plan->tls);

	if (!ssl || SSL_set_fd(ssl, s->fd) != 1)
		util_die("SSL_new");
	SSL_set_app_data(ssl, s);
	if (s->plan->sni)
		SSL_set_tlsext_host_name(ssl, s->plan->sni);
	if (s->plan->resume && *s->ticket)
		resume(ssl, *s->ticket);
	return ssl;
}

static int
fast_handshake(struct session *s)
{
	int n;

	if (!s->fast)
		s->fast = fast_tls_new(s->fd, s->plan->sni);
	n = fast_tls_handshake(s->fast);
	if (n == 1) {
		s->secure = true;
		s->tally->handshakes++;
	}
	return n;
}

/* 1 done, 0 not now, -1 failed */
static int
handshake(struct session *s)
{
	int n;

	if (s->plan->fast)
		return fast_handshake(s);
	if (!s->ssl)
		s->ssl = tls_new(s);
	ERR_clear_error();
	n = SSL_connect(s->ssl);
	if (n != 1)
		return moved(s, n) == 0 ? 0 : -1;
	s->secure = true;
	s->tally->handshakes++;
	s->tally->resumed += (uint64_t)SSL_session_reused(s->ssl);
	return 1;
}

/* The code of a whole reply taken off the input, 0 when none is there, -1 for nonsense. */
static int
take_reply(struct session *s)
{
	char *line = s->in, *end = s->in + s->in_len, *nl;

	while ((nl = memchr(line, '\n', (size_t)(end - line)))) {
		if (nl - line < 4 || line[0] < '2' || line[0] > '5')
			return -1;
		if (line[3] != '-') {
			int code = atoi(line);

			s->in_len = (size_t)(end - nl - 1);
			memmove(s->in, nl + 1, s->in_len);
			return code;
		}
		line = nl + 1;
	}
	return s->in_len == sizeof(s->in) ? -1 : 0;
}

/* As take_reply, reading until there is a reply or nothing more to read; -2: connection lost. */
static int
await_reply(struct session *s)
{
	for (;;) {
		int code = take_reply(s);
		ssize_t n;

		if (code)
			return code;
		n = get(s, s->in + s->in_len, sizeof(s->in) - s->in_len);
		if (n <= 0)
			return n ? -2 : 0;
		s->in_len += (size_t)n;
	}
}

/* Writes what draws replies and reads none, until the peer takes no more. */
static enum session_state
be_deaf(struct session *s)
{
	static const char ask[] = "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n";
	int n;

	do {
		if (!s->out_len)
			set_out(s, ask, sizeof(ask) - 1);
	} while ((n = flush_out(s)) > 0);
	return n < 0 ? fail(s, "connection lost") : SESSION_HOLDS;
}

static enum session_state
wait_step(struct session *s, int *done)
{
	*done = 0;
	if (s->step == HANDSHAKE) {
		*done = handshake(s);
		return *done < 0 ? fail(s, "TLS") : SESSION_OPEN;
	}
	switch (flush_out(s)) {
	case -1:
		return fail(s, "write");
	case 0:
		/* a reply may come before the end of a body: then it is a refusal */
		break;
	}
	*done = await_reply(s);
	if (*done == -2)
		return fail(s, "connection lost");
	if (*done && *done != steps[s->step].code) {
		char got[32];

		errno = 0;
		snprintf(got, sizeof(got), "reply %d", *done);
		return fail(s, got);
	}
	return SESSION_OPEN;
}

static enum session_state
talk(struct session *s)
{
	enum session_state state;
	int done;

	for (;;) {
		if (s->step == HOLD)
			return SESSION_HOLDS;
		if (s->step == DEAF)
			return be_deaf(s);
		if (s->step == OVER)
			return SESSION_DONE;
		state = wait_step(s, &done);
		if (state != SESSION_OPEN || !done)
			return state;
		begin(s, next_step(s));
		if (s->step == HANDSHAKE && s->in_len)
			return fail(s, "octets after the answer to STARTTLS");
	}
}

enum session_state
session_run(struct session *s)
{
	enum session_state state;

	errno = 0;
	if (s->ssl)
		ERR_clear_error();
	state = talk(s);
	/*
	 * A server that cannot switch Nagle's algorithm off sends its ticket, then keeps the next reply back until
	 * the ticket is acknowledged, which we would put off for 40 ms.
	 */
	if (state == SESSION_OPEN && !s->plan->delayed_ack)
		setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
	return state;
}
