/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sink: a mail farm that costs next to nothing, for benchmarks and load tests.  One thread, one epoll; it
 * answers SMTP, reads bodies by DATA or BDAT, throws them away and counts them.  The counts decide whether
 * a benchmark is valid: a message the generator saw answered 250 and the sink did not count was lost.
 *
 *   sink -l ADDR:PORT [-s ADDR:PORT] [-p] [-m none|banner|data]
 *     -l  where SMTP is spoken      -p  every connection starts with a PROXY header (v1 or v2)
 *     -s  where one line of counters is written to whoever connects: key=value, then closed
 *     -m  stop reading for good before the banner, or after the 354: the backend that hangs
 *
 * It is no SMTP server: any order of commands is answered, addresses are not looked at.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/util.h"

enum { LINE_MAX_ = 4096, READ_SIZE = 256 * 1024, TAIL = 4, EVENTS = 256 };

enum mode { MODE_SERVE, MODE_HANG_BANNER, MODE_HANG_DATA };
enum state { PROXY_HEADER, COMMAND, DATA_BODY, BDAT_BODY, HUNG };
enum kind { LISTEN_SMTP, LISTEN_STATS, CONNECTION };

struct peer {
	enum kind kind;
	int fd;
	enum state state;
	bool bdat_last;
	uint64_t bdat_left;
	uint64_t body;		/* octets of the message in hand, without the end of data */
	char tail[TAIL];	/* the last octets of the body, for an end of data split over reads */
	size_t line_len;
	char line[LINE_MAX_];	/* an unfinished command or header */
	size_t out_len;
	char out[LINE_MAX_];	/* replies of one read, written at once */
};

static struct {
	uint64_t connections, active, messages, octets, mail, quit, errors;
} count;

static enum mode mode;
static bool want_proxy;
static char *read_buffer;
static int epfd;

static void
peer_close(struct peer *p)
{
	close(p->fd);
	count.active--;
	free(p);
}

static void
say(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	if (p->out_len + n > sizeof(p->out)) {
		count.errors++;
		return;
	}
	memcpy(p->out + p->out_len, text, n);
	p->out_len += n;
}

static bool
flush_replies(struct peer *p)
{
	ssize_t n = p->out_len ? send(p->fd, p->out, p->out_len, MSG_NOSIGNAL) : 0;
	bool whole = n == (ssize_t)p->out_len;

	/* replies are a few octets: a socket that does not take them belongs to a peer that never reads */
	p->out_len = 0;
	return whole;
}

static void
greet(struct peer *p)
{
	if (mode == MODE_HANG_BANNER)
		p->state = HUNG;
	else
		say(p, "220 sink ESMTP\r\n");
}

static void
message_done(struct peer *p)
{
	count.messages++;
	count.octets += p->body;
	p->body = 0;
	p->state = COMMAND;
	say(p, "250 2.0.0 Ok: counted\r\n");
}

static size_t
take_bdat(struct peer *p, size_t len)
{
	size_t n = len < p->bdat_left ? len : (size_t)p->bdat_left;

	p->bdat_left -= n;
	p->body += n;
	if (p->bdat_left)
		return n;
	if (p->bdat_last)
		message_done(p);
	else {
		p->state = COMMAND;
		say(p, "250 2.0.0 Ok: chunk\r\n");
	}
	return n;
}

static void
bdat(struct peer *p, const char *args)
{
	char *end;

	p->bdat_left = strtoull(args, &end, 10);
	p->bdat_last = strncasecmp(end, " LAST", 5) == 0;
	p->state = BDAT_BODY;
	if (p->bdat_left == 0)
		take_bdat(p, 0);
}

/* The commands that get anything but "250 2.0.0 Ok". */
static const struct {
	const char *verb, *reply;
} replies[] = {
	{ "EHLO", "250-sink\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
		  "250-DSN\r\n250-SMTPUTF8\r\n250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"
		  "250 CHUNKING\r\n" },
	{ "HELO", "250 sink\r\n" },
	{ "DATA", "354 End data with <CR><LF>.<CR><LF>\r\n" },
	{ "QUIT", "221 2.0.0 Bye\r\n" },
	{ "XCLI", "220 sink ESMTP\r\n" },
	{ "BDAT", "" },
};

/* false: the connection is over. */
static bool
command(struct peer *p, const char *line, size_t len)
{
	char verb[5] = "";

	memcpy(verb, line, len < 4 ? len : 4);
	if (strcasecmp(verb, "BDAT") == 0)
		bdat(p, line + 4);
	else if (strcasecmp(verb, "DATA") == 0) {
		p->state = mode == MODE_HANG_DATA ? HUNG : DATA_BODY;
		memcpy(p->tail, "\0\0\r\n", TAIL);
	} else if (strcasecmp(verb, "MAIL") == 0)
		count.mail++;
	else if (strcasecmp(verb, "QUIT") == 0)
		count.quit++;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		if (strcasecmp(verb, replies[i].verb) == 0) {
			say(p, replies[i].reply);
			return i != 3;
		}
	say(p, "250 2.0.0 Ok\r\n");
	return true;
}

/* Octets taken of the PROXY header at the start of the stream; 0: more is needed, -1: there is none. */
static ssize_t
proxy_header(const char *data, size_t len)
{
	static const char sig[] = "\r\n\r\n\0\r\nQUIT\n";
	const char *nl;

	if (len >= 16 && memcmp(data, sig, 12) == 0) {
		size_t need = 16 + ((size_t)(uint8_t)data[14] << 8 | (uint8_t)data[15]);

		return len >= need ? (ssize_t)need : 0;
	}
	if (len >= 6 && memcmp(data, "PROXY ", 6) == 0) {
		nl = memchr(data, '\n', len);
		return nl ? nl + 1 - data : 0;
	}
	return len < 16 ? 0 : -1;
}

/* The octet at i of the body, where the four before index 0 are the tail of what came before. */
static char
at(const struct peer *p, const char *data, ssize_t i)
{
	return i < 0 ? p->tail[TAIL + i] : data[i];
}

/* Octets up to and with CRLF.CRLF, or 0 when data does not hold its end. */
static size_t
find_end(const struct peer *p, const char *data, size_t len)
{
	/* the LF that ends it is at index >= 0; its dot may be as far back as -2 */
	for (ssize_t dot = -2; dot < (ssize_t)len; dot++) {
		if (dot >= 0) {
			const char *d = memchr(data + dot, '.', len - (size_t)dot);

			if (!d)
				return 0;
			dot = d - data;
		}
		if (dot + 2 >= 0 && dot + 2 < (ssize_t)len && at(p, data, dot) == '.' && at(p, data, dot - 2) == '\r' &&
		    at(p, data, dot - 1) == '\n' && at(p, data, dot + 1) == '\r' && data[dot + 2] == '\n')
			return (size_t)(dot + 3);
	}
	return 0;
}

static size_t
take_data(struct peer *p, const char *data, size_t len)
{
	size_t end = find_end(p, data, len), n = end ? end : len;

	p->body += n;
	if (end) {
		p->body -= 3; /* the dot and its CRLF; the CRLF before them ends the last line */
		message_done(p);
		return n;
	}
	if (n >= TAIL)
		memcpy(p->tail, data + n - TAIL, TAIL);
	else {
		memmove(p->tail, p->tail + n, TAIL - n);
		memcpy(p->tail + TAIL - n, data, n);
	}
	return n;
}

/* Octets taken; 0: a line is not complete, -1: over. */
static ssize_t
take_line(struct peer *p, const char *data, size_t len)
{
	const char *nl = memchr(data, '\n', len);

	if (!nl)
		return 0;
	return command(p, data, (size_t)(nl - data)) ? nl + 1 - data : -1;
}

/* Octets taken, 0 when more must come first, -1 when the connection is over. */
static ssize_t
take(struct peer *p, const char *data, size_t len)
{
	ssize_t n;

	switch (p->state) {
	case PROXY_HEADER:
		n = proxy_header(data, len);
		if (n < 0)
			count.errors++;
		else if (n > 0) {
			p->state = COMMAND;
			greet(p);
		}
		return n;
	case COMMAND:
		return take_line(p, data, len);
	case DATA_BODY:
		return (ssize_t)take_data(p, data, len);
	case BDAT_BODY:
		return (ssize_t)take_bdat(p, len);
	case HUNG:
		break;
	}
	return 0;
}

/* false: the connection is over. */
static bool
feed(struct peer *p, char *data, size_t len)
{
	while (len && p->state != HUNG) {
		ssize_t n = take(p, data, len);

		if (n < 0)
			return false;
		if (n == 0)
			break;
		data += n;
		len -= (size_t)n;
	}
	if (p->state == HUNG)
		len = 0;
	if (len > sizeof(p->line))
		return false;
	memmove(p->line, data, len);
	p->line_len = len;
	return true;
}

static void
peer_read(struct peer *p)
{
	ssize_t n;
	bool goes_on;

	if (p->state == HUNG)
		return;
	memcpy(read_buffer, p->line, p->line_len);
	n = recv(p->fd, read_buffer + p->line_len, READ_SIZE - p->line_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		peer_close(p);
		return;
	}
	/* or a proxy that cannot switch Nagle's algorithm off would wait 40 ms for a delayed acknowledgement */
	setsockopt(p->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
	goes_on = feed(p, read_buffer, p->line_len + (size_t)n);
	if (!flush_replies(p) || !goes_on)
		peer_close(p);
	else if (p->state == HUNG)
		epoll_ctl(epfd, EPOLL_CTL_DEL, p->fd, NULL);
}

static void
watch(struct peer *p)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, p->fd, &ev) < 0)
		util_die("epoll_ctl");
}

static void
accept_smtp(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct peer *p = malloc(sizeof(*p));

		if (!p)
			util_die("malloc");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		*p = (struct peer){ .kind = CONNECTION, .fd = fd, .state = want_proxy ? PROXY_HEADER : COMMAND };
		count.connections++;
		count.active++;
		if (!want_proxy)
			greet(p);
		if (!flush_replies(p))
			peer_close(p);
		else if (p->state != HUNG)
			watch(p);
	}
}

static void
accept_stats(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	dprintf(fd, "connections=%lu active=%lu messages=%lu octets=%lu mail=%lu quit=%lu errors=%lu\n", count.connections,
		count.active, count.messages, count.octets, count.mail, count.quit, count.errors);
	close(fd);
}

static void
listen_on(struct peer *p, enum kind kind, const char *where)
{
	struct sockaddr_in sin;

	if (!util_address(where, &sin))
		util_usage("not ADDR:PORT: %s", where);
	*p = (struct peer){ .kind = kind, .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (p->fd < 0 || bind(p->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(p->fd, 4096) < 0)
		util_die(where);
	watch(p);
}

static void
dispatch(struct peer *p)
{
	switch (p->kind) {
	case LISTEN_SMTP:
		accept_smtp(p->fd);
		break;
	case LISTEN_STATS:
		accept_stats(p->fd);
		break;
	case CONNECTION:
		peer_read(p);
		break;
	}
}

static void
set_mode(const char *name)
{
	static const char *const names[] = { "none", "banner", "data" };

	for (size_t i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0) {
			mode = (enum mode)i;
			return;
		}
	util_usage("-m is none, banner or data, not %s", name);
}

int
main(int argc, char **argv)
{
	static struct peer smtp, stats;
	struct epoll_event events[EVENTS];
	int opt;

	util_descriptors();
	read_buffer = malloc(READ_SIZE + LINE_MAX_);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!read_buffer || epfd < 0)
		util_die("start");
	smtp.fd = -1;
	while ((opt = getopt(argc, argv, "l:s:pm:")) >= 0) {
		if (opt == 'l')
			listen_on(&smtp, LISTEN_SMTP, optarg);
		else if (opt == 's')
			listen_on(&stats, LISTEN_STATS, optarg);
		else if (opt == 'p')
			want_proxy = true;
		else if (opt == 'm')
			set_mode(optarg);
		else
			util_usage("usage: sink -l ADDR:PORT [-s ADDR:PORT] [-p] [-m none|banner|data]");
	}
	if (smtp.fd < 0)
		util_usage("usage: sink -l ADDR:PORT [-s ADDR:PORT] [-p] [-m none|banner|data]");
	for (;;) {
		int n = epoll_wait(epfd, events, EVENTS, -1);

		for (int i = 0; i < n; i++)
			dispatch(events[i].data.ptr);
	}
}
