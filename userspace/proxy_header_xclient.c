/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XCLIENT.  A backend believes these lines, so nothing of the client's goes into them unchecked: host names
 * must look like host names and every value is xtext (nginx had to mend both, CVE-2026-28753).  What is not
 * known is said to be unknown where the backend asks for it, else it would go on believing what it knows of
 * our own address.  ADDR and PORT stand together in the last line: Exim wants both in one command, and a
 * backend may cease to trust us once ADDR is told.
 */
#include "userspace/proxy_header.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define UNAVAILABLE "[UNAVAILABLE]"

struct lines {
	char *out;
	size_t size, len;
	size_t line; /* where the open one starts; == len: none is open */
	bool full;
};

static bool listed(const char *attributes, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = attributes; *at;) {
		size_t word;

		at += strspn(at, " ");
		word = strcspn(at, " ");
		if (word == len && !strncasecmp(at, name, len))
			return true;
		at += word;
	}
	return false;
}

static void append(struct lines *l, const char *text)
{
	size_t len = strlen(text);

	if (l->full || len >= l->size - l->len) {
		l->full = true;
		return;
	}
	memcpy(l->out + l->len, text, len + 1);
	l->len += len;
}

static void end_line(struct lines *l)
{
	if (l->len > l->line)
		append(l, "\r\n");
	l->line = l->len;
}

/* " NAME=value …", on a line of its own if the open one has no more room. */
static void add_item(struct lines *l, const char *item)
{
	if (l->len - l->line + strlen(item) + 2 > XCLIENT_LINE_MAX)
		end_line(l);
	if (l->len == l->line)
		append(l, "XCLIENT");
	append(l, item);
}

/* " NAME=value" in xtext (RFC 3461 4); what is too long for any line is said to be unknown. */
static void add(struct lines *l, const char *name, const char *value)
{
	char item[XCLIENT_LINE_MAX - sizeof("XCLIENT\r\n") + 2];
	size_t len = (size_t)snprintf(item, sizeof(item), " %s=", name);

	for (const char *v = value; *v; v++) {
		bool plain = *v > ' ' && *v <= '~' && *v != '+' && *v != '=';

		if (len + 3 >= sizeof(item)) {
			len = (size_t)snprintf(item, sizeof(item), " %s=%s", name, UNAVAILABLE);
			break;
		}
		len += (size_t)snprintf(item + len, sizeof(item) - len, plain ? "%c" : "+%02X", (uint8_t)*v);
	}
	add_item(l, item);
}

/* The value if it is as long as a host name may be, of its characters and those in extra; else "unknown". */
static const char *host_or_unknown(const char *value, const char *extra)
{
	if (!value || !*value || strlen(value) > 255)
		return UNAVAILABLE;
	for (const char *v = value; *v; v++) {
		bool alnum = (*v >= 'A' && *v <= 'Z') || (*v >= 'a' && *v <= 'z') || (*v >= '0' && *v <= '9');

		if (!alnum && !strchr(".-", *v) && !strchr(extra, *v))
			return UNAVAILABLE;
	}
	return value;
}

static void address_text(const struct in6_addr *ip, char text[NET_TEXT_MAX + 5])
{
	char plain[NET_TEXT_MAX];

	snprintf(text, NET_TEXT_MAX + 5, "%s%s", net_is_v4(ip) ? "" : "IPV6:", net_ip_text(ip, plain));
}

/* The facts that may stand in any line. */
static void add_others(struct lines *l, const char *attributes, const struct proxy_facts *f, const char *helo, const char *proto)
{
	char text[NET_TEXT_MAX + 5];

	if (listed(attributes, "PROTO") && proto && *proto)
		add(l, "PROTO", proto);
	if (listed(attributes, "HELO"))
		add(l, "HELO", host_or_unknown(helo, "_:[]"));
	if (listed(attributes, "DESTADDR")) {
		address_text(&f->dst.ip, text);
		add(l, "DESTADDR", text);
	}
	if (listed(attributes, "DESTPORT")) {
		snprintf(text, sizeof(text), "%u", f->dst.port);
		add(l, "DESTPORT", text);
	}
	if (listed(attributes, "REVERSE_NAME"))
		add(l, "REVERSE_NAME", host_or_unknown(f->name, "_"));
	if (listed(attributes, "NAME"))
		add(l, "NAME", host_or_unknown(f->name, "_"));
}

size_t xclient_write(char *out, size_t size, const char *attributes, const struct proxy_facts *f, const char *helo,
		     const char *proto)
{
	struct lines l = { .out = out, .size = size };
	char addr[NET_TEXT_MAX + 5], item[sizeof(addr) + sizeof(" ADDR= PORT=65535")];

	if (size)
		out[0] = '\0';
	if (!size || !listed(attributes, "ADDR"))
		return 0;
	add_others(&l, attributes, f, helo, proto);
	address_text(&f->src.ip, addr);
	if (listed(attributes, "PORT"))
		snprintf(item, sizeof(item), " ADDR=%s PORT=%u", addr, f->src.port);
	else
		snprintf(item, sizeof(item), " ADDR=%s", addr);
	add_item(&l, item);
	end_line(&l);
	if (l.full)
		out[0] = '\0';
	return l.full ? 0 : l.len;
}
