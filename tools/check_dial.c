// SPDX-License-Identifier: BSD-2-Clause
/*
 * The handshakes: connect, banner, EHLO, STARTTLS, TLS, QUIT, as a sender does it and with the daemon's own leg and
 * tls rooms, many addresses at a time, each under one deadline.  A peer that fails its judgement is let finish the
 * handshake (inspect), so that its certificate can be told; nothing but QUIT is ever sent to it.
 */
#include "tools/check.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/leg.h"
#include "userspace/proxy_header.h"

enum { QUIT_MS = 2000, TURN_MS = 50 };

enum state { FREE, CONNECTING, BANNER, EHLO, STARTTLS, HANDSHAKE, QUITTING, CLOSING };

struct dial {
	struct leg leg; /* first: wakes come by its address */
	struct dialler *all;
	const struct check_host *host;
	struct check_try *try;
	enum state state;
	uint64_t deadline;
	struct smtp_reply_parser reply;
	struct smtp_caps caps;
};

struct dialler {
	const struct check_dialling *how;
	struct ring *ring;
	struct leg_io io;
	struct tls_client *client;
	struct dial *slots;
	size_t open;
};

/* ---- the end of one ---- */

static void say_why(struct check_try *t, const char *text, size_t len)
{
	if (len >= sizeof(t->why))
		len = sizeof(t->why) - 1;
	memcpy(t->why, text, len);
	t->why[len] = '\0';
	for (char *p = t->why; *p; p++) /* a server's words go to a terminal */
		if (!isprint((unsigned char)*p))
			*p = '?';
}

static void finish(struct dial *d)
{
	d->state = CLOSING;
	leg_close(&d->leg, false);
}

/* What there was to see was seen; a clean goodbye where the dialogue still stands. */
static void over(struct dial *d, enum check_seen seen, const char *why, size_t len)
{
	bool sound = d->state != CONNECTING && !d->leg.error && !d->leg.tls_failed && !d->leg.eof && seen != CHECK_LOST;

	d->try->seen = seen;
	say_why(d->try, why, len);
	if (!sound || (d->state == HANDSHAKE && seen != CHECK_TLS)) {
		finish(d);
		return;
	}
	leg_write(&d->leg, "QUIT\r\n", 6);
	d->state = QUITTING;
	d->deadline = ring_now(d->all->ring) + QUIT_MS;
}

static void over_text(struct dial *d, enum check_seen seen, const char *why)
{
	over(d, seen, why, strlen(why));
}

/* Where a dialogue stands, what its loss means. */
static enum check_seen seen_so_far(const struct dial *d, bool timed_out)
{
	switch (d->state) {
	case CONNECTING:
		return CHECK_NO_CONNECTION;
	case STARTTLS:
		return timed_out ? CHECK_LOST : CHECK_REFUSED;
	case HANDSHAKE:
		return timed_out ? CHECK_LOST : CHECK_NO_HANDSHAKE;
	default:
		return CHECK_NO_SMTP;
	}
}

static void lost(struct dial *d)
{
	over_text(d, seen_so_far(d, false), d->leg.error ? strerror(d->leg.error) : "the connection is closed");
}

static void timed_out(struct dial *d)
{
	char text[64];

	snprintf(text, sizeof(text), "no answer within %u s", d->all->how->timeout_ms / 1000);
	over_text(d, seen_so_far(d, true), text);
}

/* ---- TLS ---- */

static int new_tls(struct dial *d, struct tls **tls)
{
	const struct dane_host *h = d->host->dane;
	const char *names[DANE_NAMES_MAX];
	struct tls_target target = { .mode = TLS_UNAUTHENTICATED, .names = names, .name_count = h->name_count, .inspect = true };

	for (size_t i = 0; i < h->name_count; i++)
		names[i] = h->names[i];
	if (h->why != DANE_WHY_LITERAL)
		target.sni = h->base[0] ? h->base : h->name; /* RFC 7672 8.1 */
	snprintf(d->try->sni, sizeof(d->try->sni), "%s", target.sni ? target.sni : "");
	if (h->duty == DANE_AUTHENTICATE && d->all->how->ca_pem) {
		target.mode = TLS_BY_CA;
	} else if (h->duty == DANE_AUTHENTICATE) {
		target.mode = TLS_BY_DANE;
		target.records = h->records->record;
		target.record_count = h->records->count;
	}
	int r = tls_connect_new(d->all->client, &target, &d->leg.out, tls);

	if (r != -ENODATA)
		return r;
	d->try->no_usable = true;
	target.mode = TLS_UNAUTHENTICATED;
	return tls_connect_new(d->all->client, &target, &d->leg.out, tls);
}

static void keep_facts(struct dial *d)
{
	const struct tls_facts *f = tls_facts(d->leg.tls);
	const struct tls_peer *peer = tls_peer(d->leg.tls);
	struct check_try *t = d->try;

	snprintf(t->version, sizeof(t->version), "%s", f->version ? f->version : "");
	snprintf(t->cipher, sizeof(t->cipher), "%s", f->cipher ? f->cipher : "");
	snprintf(t->group, sizeof(t->group), "%s", f->group ? f->group : "");
	t->judgement = *tls_judgement(d->leg.tls);
	t->peer_known = peer != NULL;
	if (peer)
		t->peer = *peer;
}

static void handshake(struct dial *d)
{
	switch (leg_handshake(&d->leg)) {
	case TLS_DONE:
		keep_facts(d);
		over_text(d, CHECK_TLS, "");
		break;
	case TLS_WANT_INPUT:
		if (d->leg.eof || d->leg.error)
			lost(d);
		break;
	default:
		over_text(d, CHECK_NO_HANDSHAKE, tls_error(d->leg.tls));
		break;
	}
}

static void begin_tls(struct dial *d)
{
	struct tls *tls;

	d->state = HANDSHAKE;
	if (leg_has_input(&d->leg)) { /* CVE-2021-38371 */
		over_text(d, CHECK_NO_HANDSHAKE, "bytes behind the 220 to STARTTLS");
	} else if (new_tls(d, &tls)) {
		d->try->judgement.verdict = TLS_JUDGE_FAILED;
		over_text(d, CHECK_LOST, "TLS cannot be set up here");
	} else {
		leg_start_tls(&d->leg, tls);
		handshake(d);
	}
}

/* ---- SMTP ---- */

static void send_ehlo(struct dial *d)
{
	char line[DANE_NAME_MAX + 16];
	int n = snprintf(line, sizeof(line), "EHLO %s\r\n", d->all->how->helo);

	leg_write(&d->leg, line, (size_t)n);
	d->state = EHLO;
}

static void after_ehlo(struct dial *d, unsigned code, const char *line, size_t len)
{
	if (code / 100 == 5) { /* a sender goes on with HELO, which has no STARTTLS */
		over(d, CHECK_NO_STARTTLS, line, len);
	} else if (code != 250) {
		over(d, CHECK_NO_SMTP, line, len);
	} else if (!(d->caps.have & SMTP_CAP_BIT(STARTTLS))) {
		over_text(d, CHECK_NO_STARTTLS, "");
	} else {
		d->try->offered = true;
		leg_write(&d->leg, "STARTTLS\r\n", 10);
		d->state = STARTTLS;
	}
}

static void on_reply(struct dial *d, unsigned code, const char *line, size_t len)
{
	switch (d->state) {
	case BANNER:
		if (code == 220)
			send_ehlo(d);
		else
			over(d, CHECK_NO_SMTP, line, len);
		break;
	case EHLO:
		after_ehlo(d, code, line, len);
		break;
	case STARTTLS:
		if (code == 220)
			d->state = HANDSHAKE; /* begun once the 220 is taken off the stream */
		else
			over(d, CHECK_REFUSED, line, len);
		break;
	default:
		break;
	}
}

static void on_line(struct dial *d, const char *line, size_t len)
{
	bool first = d->reply.lines == 0;
	enum smtp_reply_line r = smtp_parse_reply(&d->reply, line, len);

	if (r == SMTP_REPLY_BAD) {
		over(d, seen_so_far(d, false), line, len);
		return;
	}
	if (d->state == EHLO && !first && len > 4)
		smtp_caps_add(&d->caps, line + 4, len - 4);
	if (r == SMTP_REPLY_LAST) {
		unsigned code = d->reply.code;

		memset(&d->reply, 0, sizeof(d->reply));
		on_reply(d, code, line, len);
	}
}

static bool talking(const struct dial *d)
{
	return d->state == BANNER || d->state == EHLO || d->state == STARTTLS;
}

static void read_lines(struct dial *d)
{
	while (talking(d)) {
		const char *line;
		size_t len, used;
		enum smtp_line r = leg_peek_line(&d->leg, SMTP_REPLY_LINE_MAX, &line, &len, &used);

		if (r == SMTP_LINE_MORE)
			break;
		if (r == SMTP_LINE_TOO_LONG || r == SMTP_LINE_BARE_CR) {
			over_text(d, seen_so_far(d, false), "that is no SMTP reply");
			break;
		}
		on_line(d, line, len);
		if (d->state != CLOSING)
			leg_used(&d->leg, used);
	}
	if (d->state == HANDSHAKE)
		begin_tls(d);
	else if (talking(d) && (d->leg.error || d->leg.eof))
		lost(d);
}

/* ---- one connection ---- */

/* As the daemon's probes introduce themselves; version 1 has no LOCAL, so they come from the loopback. */
static void connected(struct dial *d)
{
	struct proxy_facts self = { .src = d->try->addr, .dst = d->try->addr };
	uint8_t header[PROXY_HEADER_MAX];
	size_t n = 0;

	net_parse_ip(net_is_v4(&self.dst.ip) ? "127.0.0.1" : "::1", &self.src.ip);
	if (d->all->how->proxy == CHECK_PROXY_V2)
		n = proxy_header_write_v2_local(header);
	else if (d->all->how->proxy == CHECK_PROXY_V1)
		n = proxy_header_write_v1((char *)header, &self);
	if (n)
		leg_write(&d->leg, header, n);
	d->state = BANNER;
}

static void run(struct dial *d)
{
	if (d->state == CONNECTING) {
		if (d->leg.error)
			lost(d);
		else if (d->leg.state == LEG_OPEN)
			connected(d);
	}
	if (talking(d)) {
		read_lines(d);
	} else if (d->state == HANDSHAKE) {
		handshake(d);
	} else if (d->state == QUITTING) {
		leg_discard(&d->leg);
		if (d->leg.fin_seen || d->leg.error)
			finish(d);
	}
}

static void on_wake(struct leg *leg)
{
	struct dial *d = (struct dial *)leg;

	if (leg->state == LEG_CLOSED) {
		d->state = FREE;
		d->all->open--;
		return;
	}
	run(d);
	leg_settle(leg, d->state != CLOSING, RING_COMMAND_BYTES);
}

/* 0, or negative: no socket for now. */
static int dial(struct dialler *a, struct dial *d, const struct check_host *host, struct check_try *t)
{
	memset(d, 0, sizeof(*d));
	d->all = a;
	d->host = host;
	d->try = t;
	leg_init(&d->leg, &a->io, LEG_BACKEND, on_wake);
	int r = leg_connect(&d->leg, &t->addr, false);

	if (r)
		return r;
	d->state = CONNECTING;
	d->deadline = ring_now(a->ring) + a->how->timeout_ms;
	a->open++;
	return 0;
}

static void expire(struct dialler *a)
{
	for (size_t i = 0; i < a->how->parallel; i++) {
		struct dial *d = &a->slots[i];

		if (d->state == FREE || d->state == CLOSING || ring_now(a->ring) < d->deadline)
			continue;
		if (d->state == QUITTING)
			finish(d);
		else
			timed_out(d);
		leg_settle(&d->leg, false, RING_COMMAND_BYTES);
	}
}

/* ---- all of them ---- */

static struct dial *free_slot(struct dialler *a)
{
	for (size_t i = 0; i < a->how->parallel; i++)
		if (a->slots[i].state == FREE)
			return &a->slots[i];
	return NULL;
}

struct cursor {
	size_t host, try;
};

/* The next address that is to be dialled; hosts that must not be delivered to are passed over. */
static struct check_try *next_try(const struct check *c, const struct cursor *at, struct cursor *found)
{
	for (*found = *at; found->host < c->outcome->host_count; found->host++, found->try = 0)
		if (c->hosts[found->host].dane->duty != DANE_UNREACHABLE && found->try < c->hosts[found->host].try_count)
			return &c->hosts[found->host].tries[found->try];
	return NULL;
}

static int dial_all(struct dialler *a, struct check *c, char *err, size_t err_size)
{
	struct cursor at = { 0 }, found;
	struct check_try *t = next_try(c, &at, &found);
	struct dial *slot;
	int r = 0;

	while (t || a->open) {
		for (; t && (slot = free_slot(a)); t = next_try(c, &at, &found)) {
			r = dial(a, slot, &c->hosts[found.host], t);
			if (r)
				break;
			at = (struct cursor){ found.host, found.try + 1 };
		}
		if (t && r && !a->open) {
			snprintf(err, err_size, "no socket: %s", strerror(-r));
			return r;
		}
		r = ring_run(a->ring, TURN_MS);
		if (r) {
			snprintf(err, err_size, "%s", strerror(-r));
			return r;
		}
		expire(a);
	}
	return 0;
}

int check_dial(struct check *c, const struct check_dialling *how, char *err, size_t err_size)
{
	struct dialler a = { .how = how };
	struct ring_settings set = { .backend = RING_EPOLL, .command_buffers = 64, .body_buffers = 2 };
	struct tls_client_settings tls = { .ca_pem = how->ca_pem, .ca_len = how->ca_len };
	const char *why;
	int r = tls_client_new(&tls, &a.client, err, err_size);

	if (r)
		return r;
	r = ring_new(&set, &a.ring, &why);
	if (r) {
		snprintf(err, err_size, "%s", why);
		tls_client_unref(a.client);
		return r;
	}
	a.slots = calloc(how->parallel, sizeof(a.slots[0]));
	if (!a.slots || leg_io_init(&a.io, a.ring))
		abort();
	r = dial_all(&a, c, err, err_size);
	if (!r) { /* else sockets may still be open: the program ends now */
		leg_io_free(&a.io);
		ring_free(a.ring);
		free(a.slots);
	}
	tls_client_unref(a.client);
	return r;
}
