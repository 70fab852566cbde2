/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/nexthop.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum nexthop_result fail(struct nexthop *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->why, sizeof(h->why), fmt, ap);
	va_end(ap);
	/* a backend's own words may be in it */
	for (char *p = h->why; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
	return NEXTHOP_FAILED;
}

static const char *phase_text(enum nexthop_phase p)
{
	static const char *const texts[] = { "connect", "banner", "EHLO", "XCLIENT", "ready" };

	return texts[p];
}

enum nexthop_result nexthop_start(struct nexthop *h, struct leg *leg, const struct config_backend *backend,
				  const struct nexthop_client *client)
{
	memset(h, 0, sizeof(*h));
	h->leg = leg;
	h->backend = backend;
	h->client = *client;
	int r = leg_connect(leg, &backend->addr);

	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS)
		return NEXTHOP_NO_SOCKET;
	if (r < 0)
		return fail(h, "connect: %s", strerror(-r));
	return NEXTHOP_WAIT;
}

/* Version 1 has no LOCAL, and Postfix refuses UNKNOWN: a probe says that it comes from the loopback. */
static size_t write_v1(struct nexthop *h, char *out)
{
	struct proxy_facts probe = { .src = h->backend->addr, .dst = h->backend->addr };

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
		if (h->backend->client_address == CONFIG_ADDR_XCLIENT && h->client.facts && !h->introduced)
			return send_xclient(h);
		h->phase = NEXTHOP_READY;
		return NEXTHOP_OK;
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
	}
	if (h->leg->error)
		return fail(h, "%s: %s", phase_text(h->phase), strerror(h->leg->error));
	if (h->leg->eof)
		return fail(h, "%s: connection closed", phase_text(h->phase));
	return NEXTHOP_WAIT;
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
	return read_replies(h);
}

enum nexthop_result nexthop_timed_out(struct nexthop *h)
{
	return fail(h, "%s: timed out", phase_text(h->phase));
}
