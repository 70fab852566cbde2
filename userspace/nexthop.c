/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/nexthop.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_why(struct nexthop *h, const char *fmt, va_list ap)
{
	vsnprintf(h->why, sizeof(h->why), fmt, ap);
	/* a backend's own words may be in it */
	for (char *p = h->why; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
}

static enum nexthop_result fail(struct nexthop *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_why(h, fmt, ap);
	va_end(ap);
	return NEXTHOP_FAILED;
}

static enum nexthop_result fail_verification(struct nexthop *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_why(h, fmt, ap);
	va_end(ap);
	return NEXTHOP_UNVERIFIED;
}

static const char *phase_text(enum nexthop_phase p)
{
	static const char *const texts[] = { "connect", "banner", "EHLO", "STARTTLS", "TLS handshake", "XCLIENT", "ready" };

	return texts[p];
}

enum nexthop_result nexthop_start(struct nexthop *h, struct leg *leg, const struct config_backend *backend, struct target *target,
				  size_t address, const struct nexthop_client *client)
{
	memset(h, 0, sizeof(*h));
	h->leg = leg;
	h->backend = backend;
	h->target = target;
	h->client = *client;
	h->record = -1;
	bool header = backend->client_address == CONFIG_ADDR_PROXY_V2 || backend->client_address == CONFIG_ADDR_PROXY_V1;
	int r = leg_connect(leg, &target->addrs[address], header);

	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS)
		return NEXTHOP_NO_SOCKET;
	if (r < 0)
		return fail(h, "connect: %s", strerror(-r));
	return NEXTHOP_WAIT;
}

void nexthop_end(struct nexthop *h)
{
	target_unref(h->target);
	h->target = NULL;
}

/* Version 1 has no LOCAL, and Postfix refuses UNKNOWN: a probe says that it comes from the loopback. */
static size_t write_v1(struct nexthop *h, char *out)
{
	struct proxy_facts probe = { .src = h->target->addrs[0], .dst = h->target->addrs[0] };

	if (h->client.facts)
		return proxy_header_write_v1(out, h->client.facts);
	net_parse_ip(net_is_v4(&probe.dst.ip) ? "127.0.0.1" : "::1", &probe.src.ip);
	return proxy_header_write_v1(out, &probe);
}

/* The PROXY header goes out in one write: Postfix reads it with one recv(MSG_PEEK). */
static void send_header(struct nexthop *h)
{
	uint8_t out[PROXY_HEADER_MAX];
	size_t n = 0;

	if (h->backend->client_address == CONFIG_ADDR_PROXY_V2)
		n = h->client.facts ? proxy_header_write_v2(out, h->backend->proxy_budget, h->client.facts)
				    : proxy_header_write_v2_local(out);
	else if (h->backend->client_address == CONFIG_ADDR_PROXY_V1)
		n = write_v1(h, (char *)out);
	if (n)
		leg_write(h->leg, out, n);
}

static void send_hello(struct nexthop *h)
{
	char line[SMTP_HELO_MAX + 16];
	bool wants_xclient = h->backend->client_address == CONFIG_ADDR_XCLIENT && h->client.facts && !h->introduced;
	int n = snprintf(line, sizeof(line), "%s %s\r\n", h->client.esmtp || wants_xclient ? "EHLO" : "HELO", h->client.helo);

	memset(&h->caps, 0, sizeof(h->caps));
	leg_write(h->leg, line, (size_t)n);
	h->phase = NEXTHOP_EHLO;
}

static enum nexthop_result send_xclient(struct nexthop *h)
{
	char lines[4 * XCLIENT_LINE_MAX];
	size_t n = 0;

	if (h->caps.have & SMTP_CAP_BIT(XCLIENT))
		n = xclient_write(lines, sizeof(lines), h->caps.xclient, h->client.facts, h->client.helo,
				  h->client.esmtp ? "ESMTP" : "SMTP");
	if (!n)
		return fail(h, "no XCLIENT with ADDR is offered to us; is this address allowed to use it?");
	h->xclient_lines = 0;
	for (size_t i = 0; i < n; i++)
		h->xclient_lines += lines[i] == '\n';
	leg_write(h->leg, lines, n);
	h->phase = NEXTHOP_XCLIENT;
	return NEXTHOP_WAIT;
}

/* ---- TLS ---- */

static bool wants_tls(const struct nexthop *h)
{
	if (h->leg->tls || h->target->duty == TARGET_CLEAR)
		return false;
	return h->target->duty != TARGET_OPPORTUNISTIC || (h->caps.have & SMTP_CAP_BIT(STARTTLS));
}

static enum nexthop_result send_starttls(struct nexthop *h)
{
	if (!(h->caps.have & SMTP_CAP_BIT(STARTTLS)))
		return fail_verification(h, "TLS is required (%s), but STARTTLS is not offered", h->target->kind);
	leg_write(h->leg, "STARTTLS\r\n", 10);
	h->phase = NEXTHOP_STARTTLS;
	return NEXTHOP_WAIT;
}

static enum nexthop_result begin_handshake(struct nexthop *h)
{
	const char *names[DANE_NAMES_MAX];
	struct tls_target what;
	struct tls *tls;

	target_tls(h->target, &what, names);
	int r = tls_connect_new(h->target->client, &what, &h->leg->out, &tls);

	if (r == -ENODATA) { /* RFC 7672 2.2: then TLS is a must, and nothing vouches for the peer */
		h->unusable = true;
		what.mode = TLS_UNAUTHENTICATED;
		r = tls_connect_new(h->target->client, &what, &h->leg->out, &tls);
	}
	if (r) /* never to be done without: what cannot be judged is not verified */
		return fail_verification(h, "TLS cannot be set up: %s", strerror(-r));
	if (h->client.to_kernel)
		tls_kernel_keep(tls);
	leg_start_tls(h->leg, tls);
	return NEXTHOP_WAIT;
}

static void send_hello(struct nexthop *h);

static enum nexthop_result handshake(struct nexthop *h)
{
	const struct tls_judgement *j;

	switch (leg_handshake(h->leg)) {
	case TLS_WANT_INPUT:
		if (h->leg->eof || h->leg->error)
			return fail(h, "TLS handshake: connection lost");
		return NEXTHOP_WAIT;
	case TLS_DONE:
		h->verified = h->target->duty == TARGET_VERIFIED && !h->unusable;
		h->record = tls_judgement(h->leg->tls)->record;
		send_hello(h);
		return NEXTHOP_WAIT;
	default:
		j = tls_judgement(h->leg->tls);
		if (h->target->duty == TARGET_VERIFIED && j->verdict != TLS_UNJUDGED)
			return fail_verification(h, "%s: %s: %s", h->target->kind, tls_verdict_name(j->verdict), j->text);
		return fail(h, "TLS handshake: %s", tls_error(h->leg->tls));
	}
}

/* A whole reply with this code has come. */
static enum nexthop_result on_reply(struct nexthop *h, unsigned code, const char *line, size_t len)
{
	switch (h->phase) {
	case NEXTHOP_BANNER:
		if (code != 220)
			break;
		send_hello(h);
		return NEXTHOP_WAIT;
	case NEXTHOP_EHLO:
		if (code != 250)
			break;
		if (wants_tls(h))
			return send_starttls(h);
		if (h->backend->client_address == CONFIG_ADDR_XCLIENT && h->client.facts && !h->introduced)
			return send_xclient(h);
		h->phase = NEXTHOP_READY;
		return NEXTHOP_OK;
	case NEXTHOP_STARTTLS:
		if (code == 220) {
			h->phase = NEXTHOP_HANDSHAKE; /* begun once the 220 is taken off the stream */
			return NEXTHOP_WAIT;
		}
		if (h->target->duty != TARGET_OPPORTUNISTIC)
			return fail_verification(h, "TLS is required (%s), but STARTTLS was refused: %.*s", h->target->kind,
						 (int)(len > 80 ? 80 : len), line);
		break;
	case NEXTHOP_XCLIENT:
		if (code != 220 && code != 250)
			break;
		if (--h->xclient_lines)
			return NEXTHOP_WAIT;
		h->introduced = true;
		send_hello(h);
		return NEXTHOP_WAIT;
	default:
		break;
	}
	if (h->phase == NEXTHOP_BANNER || h->phase == NEXTHOP_EHLO) {
		h->refused = code;
		return fail(h, "%.*s", (int)len, line); /* may be told to the client, who reads who it is from: no phase */
	}
	return fail(h, "%s: %.*s", phase_text(h->phase), (int)(len > 120 ? 120 : len), line);
}

static enum nexthop_result on_line(struct nexthop *h, const char *line, size_t len)
{
	bool first = h->reply.lines == 0;
	enum smtp_reply_line r = smtp_parse_reply(&h->reply, line, len);

	if (r == SMTP_REPLY_BAD)
		return fail(h, "%s: not an SMTP reply: %.*s", phase_text(h->phase), (int)(len > 80 ? 80 : len), line);
	if (h->phase == NEXTHOP_EHLO && !first && len > 4)
		smtp_caps_add(&h->caps, line + 4, len - 4);
	if (r == SMTP_REPLY_MORE_LINES)
		return NEXTHOP_WAIT;
	unsigned code = h->reply.code;

	memset(&h->reply, 0, sizeof(h->reply));
	return on_reply(h, code, line, len);
}

static enum nexthop_result read_replies(struct nexthop *h)
{
	for (;;) {
		const char *line;
		size_t len, used;
		enum smtp_line r = leg_peek_line(h->leg, SMTP_REPLY_LINE_MAX, &line, &len, &used);

		if (r == SMTP_LINE_MORE)
			break;
		if (r == SMTP_LINE_TOO_LONG || r == SMTP_LINE_BARE_CR)
			return fail(h, "%s: not an SMTP reply", phase_text(h->phase));
		enum nexthop_result result = on_line(h, line, len); /* a bare LF from the farm is forgiven */

		leg_used(h->leg, used);
		if (result != NEXTHOP_WAIT)
			return result;
		if (h->phase == NEXTHOP_HANDSHAKE)
			break;
	}
	if (h->leg->error)
		return fail(h, "%s: %s", phase_text(h->phase), strerror(h->leg->error));
	if (h->leg->tls_failed)
		return fail(h, "%s: %s", phase_text(h->phase), tls_error(h->leg->tls));
	if (h->leg->eof)
		return fail(h, "%s: connection closed", phase_text(h->phase));
	return NEXTHOP_WAIT;
}

/* The 220 to STARTTLS was read: whatever stands behind it is an injected reply. */
static enum nexthop_result first_flight(struct nexthop *h)
{
	if (leg_has_input(h->leg))
		return fail(h, "STARTTLS: bytes behind the 220");
	enum nexthop_result r = begin_handshake(h);

	return r == NEXTHOP_WAIT ? handshake(h) : r;
}

enum nexthop_result nexthop_run(struct nexthop *h)
{
	if (h->phase == NEXTHOP_CONNECT) {
		if (h->leg->error)
			return fail(h, "connect: %s", strerror(h->leg->error));
		if (h->leg->state != LEG_OPEN)
			return NEXTHOP_WAIT;
		send_header(h);
		h->phase = NEXTHOP_BANNER;
	}
	if (h->phase != NEXTHOP_HANDSHAKE) {
		enum nexthop_result r = read_replies(h);

		return r == NEXTHOP_WAIT && h->phase == NEXTHOP_HANDSHAKE ? first_flight(h) : r;
	}
	enum nexthop_result r = handshake(h);

	return r == NEXTHOP_WAIT && h->phase == NEXTHOP_EHLO ? read_replies(h) : r;
}

const char *nexthop_protection(const struct nexthop *h)
{
	if (!h->leg->tls)
		return "none";
	if (h->verified)
		return h->target->kind;
	return h->target->duty == TARGET_OPPORTUNISTIC ? "opportunistic" : "dane-unusable";
}

void nexthop_record(const struct nexthop *h, char *out, size_t size)
{
	const struct dane_records *set = h->target->records;

	out[0] = '\0';
	if (!h->verified || !set || h->record < 0 || (size_t)h->record >= set->count)
		return;
	struct dane_record r = set->record[h->record];

	r.len = r.len < 4 ? r.len : 4;
	dane_record_text(&r, out, size);
}

enum nexthop_result nexthop_timed_out(struct nexthop *h)
{
	return fail(h, "%s: timed out", phase_text(h->phase));
}
