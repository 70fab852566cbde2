/* SPDX-License-Identifier: BSD-2-Clause */
/* PROXY headers, read at every length and written within every budget, and XCLIENT lines. */
#include "userspace/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LEN(text) text, sizeof(text) - 1
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct net_addr addr(const char *ip, uint16_t port)
{
	struct net_addr a = { .port = port };

	assert_int_equal(net_parse_ip(ip, &a.ip), 0);
	return a;
}

static struct proxy_facts facts(const char *src, uint16_t src_port, const char *dst, uint16_t dst_port)
{
	return (struct proxy_facts){ .src = addr(src, src_port), .dst = addr(dst, dst_port) };
}

static void crc(void **state)
{
	assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	assert_int_equal(crc32c((const uint8_t *)"", 0), 0);
}

/* ---- reading ---- */

struct parse_row {
	const char *in;
	size_t len;
	enum proxy_parse answer;
	size_t bad_at; /* PROXY_BAD: so many bytes are enough to know */
	const char *src, *dst; /* "ip:port"; NULL: local */
};

static const struct parse_row parse_rows[] = {
	/* version 1 */
	{ LEN("PROXY TCP4 192.0.2.1 198.51.100.25 51234 25\r\n"), PROXY_OK, 0, "192.0.2.1:51234", "198.51.100.25:25" },
	{ LEN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_OK, 0, "255.255.255.255:65535", "255.255.255.255:65535" },
	{ LEN("PROXY TCP6 2001:db8::1 2001:DB8::2 0 25\r\n"), PROXY_OK, 0, "[2001:db8::1]:0", "[2001:db8::2]:25" },
	{ LEN("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 25\r\n"), PROXY_OK, 0, "192.0.2.1:1", "[2001:db8::2]:25" },
	{ LEN("PROXY TCP6 1:2:3 "), PROXY_BAD, 17 },
	{ LEN("PROXY TCP6 1111111111111111111111111111111111111111111111"), PROXY_BAD, 57 },
	{ LEN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), PROXY_OK, 0,
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	{ LEN("PROXY UNKNOWN\r\n"), PROXY_OK },
	{ LEN("PROXY UNKNOWN ffff::f 192.0.2.1 what ever\r\n"), PROXY_OK },
	{ LEN("EHLO a\r\n"), PROXY_BAD, 1 },
	{ LEN("PROXX"), PROXY_BAD, 5 },
	{ LEN("PROXY\r\n"), PROXY_BAD, 6 },
	{ LEN("PROXY  TCP4"), PROXY_BAD, 7 },
	{ LEN("PROXY TCP5"), PROXY_BAD, 10 },
	{ LEN("PROXY TCP44"), PROXY_BAD, 11 },
	{ LEN("PROXY TCP4\r\n"), PROXY_BAD, 11 },
	{ LEN("PROXY UNKNOWNS"), PROXY_BAD, 14 },
	{ LEN("PROXY tcp4 "), PROXY_BAD, 7 },
	{ LEN("PROXY TCP4 192.0.2.256 "), PROXY_BAD, 23 },
	{ LEN("PROXY TCP4 192.0.2.01 "), PROXY_BAD, 22 },
	{ LEN("PROXY TCP4 192.0.2.1.2.3.4.5.6"), PROXY_BAD, 27 },
	{ LEN("PROXY TCP4 2001:"), PROXY_BAD, 16 },
	{ LEN("PROXY TCP4 192.0.2.1\r\n"), PROXY_BAD, 21 },
	{ LEN("PROXY TCP6 2001:db8::g"), PROXY_BAD, 22 },
	{ LEN("PROXY TCP6 192.0.2.1 "), PROXY_BAD, 21 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 x"), PROXY_BAD, 32 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 01"), PROXY_BAD, 33 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 65536"), PROXY_BAD, 36 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 "), PROXY_BAD, 35 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n"), PROXY_BAD, 34 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), PROXY_BAD, 35 },
	{ LEN("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX"), PROXY_BAD, 36 },
	{ LEN("PROXY UNKNOWN\n"), PROXY_BAD, 14 },
	{ LEN("PROXY UNKNOWN a\n"), PROXY_BAD, 16 },
	{ LEN("PROXY UNKNOWN a\rb"), PROXY_BAD, 17 },
	{ LEN("PROXY UNKNOWN 6789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456\r\n"), PROXY_OK },
	{ LEN("PROXY UNKNOWN 6789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 1234567\r\n"), PROXY_BAD, 106 },
	/* version 2 */
	{ LEN(SIGNATURE "\x20\x00\x00\x00"), PROXY_OK },
	{ LEN(SIGNATURE "\x20\xff\x00\x02\x01\x00"), PROXY_OK }, /* LOCAL: the family and the rest are not looked at */
	{ LEN(SIGNATURE "\x21\x00\x00\x00"), PROXY_OK },
	{ LEN(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19"), PROXY_OK, 0, "192.0.2.1:51234", "198.51.100.25:25" },
	{ LEN(SIGNATURE "\x21\x21\x00\x24"
			" \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01 \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x00\x01\x00\x19"),
	  PROXY_OK, 0, "[2001:db8::1]:1", "[2001:db8::2]:25" },
	{ LEN(SIGNATURE "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19"), PROXY_OK }, /* UDP */
	{ LEN(SIGNATURE "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19\x04\x00\x00"), PROXY_OK, 0,
	  "192.0.2.1:51234", "198.51.100.25:25" }, /* NOOP */
	{ LEN(SIGNATURE "\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19\xee\x00\x01x"), PROXY_OK, 0,
	  "192.0.2.1:51234", "198.51.100.25:25" },
	{ LEN("\r\nEHLO"), PROXY_BAD, 3 },
	{ LEN("\r\n\r\n\0\r\nQUIT\r\n"), PROXY_BAD, 12 },
	{ LEN(SIGNATURE "\x11"), PROXY_BAD, 13 },
	{ LEN(SIGNATURE "\x22"), PROXY_BAD, 13 },
	{ LEN(SIGNATURE "\x21\x41"), PROXY_BAD, 14 },
	{ LEN(SIGNATURE "\x21\x13"), PROXY_BAD, 14 },
	{ LEN(SIGNATURE "\x21\x11\x00\x0b"), PROXY_BAD, 16 },
	{ LEN(SIGNATURE "\x21\x21\x00\x23"), PROXY_BAD, 16 },
	{ LEN(SIGNATURE "\x21\x31\x00\xd7"), PROXY_BAD, 16 },
	{ LEN(SIGNATURE "\x21\x11\x10\x00"), PROXY_BAD, 15 },
	{ LEN(SIGNATURE "\x20\x00\x0f\xf1"), PROXY_BAD, 16 },
	{ LEN(SIGNATURE "\x21\x11\x00\x0e\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19\x04\x00"), PROXY_BAD, 30 },
	{ LEN(SIGNATURE "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19\x04\x00\x01"), PROXY_BAD, 31 },
	{ LEN(SIGNATURE "\x21\x11\x00\x13\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19\x03\x00\x04\0\0\0\0"), PROXY_BAD, 35 }, /* CRC32C */
	{ LEN(SIGNATURE "\x21\x11\x00\x11\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19\x03\x00\x02\0\0"), PROXY_BAD, 33 },
};

/* Every beginning of a header is the beginning of a header; a wrong one is known by its first wrong byte. */
static void parse_prefixes(void **state)
{
	for (size_t i = 0; i < COUNT(parse_rows); i++) {
		const struct parse_row *row = &parse_rows[i];
		size_t enough = row->answer == PROXY_BAD ? row->bad_at : row->len;

		for (size_t len = 0; len <= row->len; len++) {
			uint8_t *copy = malloc(len + !len); /* for the sanitizer */
			struct proxy_header h;
			enum proxy_parse want = len < enough ? PROXY_MORE : row->answer, got;

			memcpy(copy, row->in, len);
			got = proxy_header_parse(copy, len, &h);
			if (got != want)
				fail_msg("row %zu \"%s\", %zu bytes: %d, wanted %d", i, row->in, len, got, want);
			free(copy);
		}
	}
}

static void parse_facts(void **state)
{
	for (size_t i = 0; i < COUNT(parse_rows); i++) {
		const struct parse_row *row = &parse_rows[i];
		char in[300], text[NET_TEXT_MAX];
		struct proxy_header h;

		if (row->answer != PROXY_OK)
			continue;
		memcpy(in, row->in, row->len);
		memcpy(in + row->len, "EHLO a\r\n", 8);
		assert_int_equal(proxy_header_parse((uint8_t *)in, row->len + 8, &h), PROXY_OK);
		assert_int_equal(h.len, row->len);
		assert_int_equal(h.local, !row->src);
		if (!row->src)
			continue;
		assert_string_equal(net_addr_text(&h.src, text), row->src);
		assert_string_equal(net_addr_text(&h.dst, text), row->dst);
	}
}

/* A UNIX pair, and a header as long as may be. */
static void parse_large(void **state)
{
	uint8_t in[PROXY_HEADER_MAX] = { 0 };
	struct proxy_header h;

	memcpy(in, SIGNATURE "\x21\x31\x00\xd8", 16);
	assert_int_equal(proxy_header_parse(in, 231, &h), PROXY_MORE);
	assert_int_equal(proxy_header_parse(in, 232, &h), PROXY_OK);
	assert_true(h.local && h.len == 232);
	memcpy(in, SIGNATURE "\x21\x00\x0f\xf0\x04\x0f\xed", 19);
	assert_int_equal(proxy_header_parse(in, sizeof(in) - 1, &h), PROXY_MORE);
	assert_int_equal(proxy_header_parse(in, sizeof(in), &h), PROXY_OK);
	assert_int_equal(h.len, sizeof(in));
}

/* ---- writing ---- */

static struct proxy_facts example(void)
{
	struct proxy_facts f = facts("192.0.2.1", 51234, "198.51.100.25", 25);

	f.tls = true;
	f.tls_version = "TLSv1.3";
	f.tls_cipher = "TLS_AES_256_GCM_SHA384";
	f.sni = "mx1.example.net";
	return f;
}

static void v2_bytes(void **state)
{
	static const uint8_t want[] =
		SIGNATURE "\x21\x11\x00\x50\xc0\x00\x02\x01\xc6\x33\x64\x19\xc8\x22\x00\x19"
			  "\x02\x00\x0fmx1.example.net"
			  "\x20\x00\x28\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_256_GCM_SHA384"
			  "\x03\x00\x04\x4c\x7f\xf7\xdb";
	struct proxy_facts f = example();
	uint8_t out[PROXY_HEADER_MAX];

	assert_int_equal(proxy_header_write_v2(out, PROXY_BUDGET_DEFAULT, &f), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	f.alpn = f.dane_verdict = ""; /* not known: not sent */
	assert_int_equal(proxy_header_write_v2(out, PROXY_BUDGET_DEFAULT, &f), sizeof(want) - 1);
}

/* One bit changed anywhere in a header with a CRC32C, and it is no header any more. */
static void v2_crc_guards(void **state)
{
	struct proxy_facts f = example();
	uint8_t out[PROXY_HEADER_MAX];
	struct proxy_header h;
	size_t len = proxy_header_write_v2(out, PROXY_BUDGET_DEFAULT, &f);

	assert_int_equal(proxy_header_parse(out, len, &h), PROXY_OK);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		/* bytes 12 and 13: LOCAL is read without its TLVs */
		if (bit == 12 * 8 || (bit >= 14 * 8 && bit < 16 * 8))
			continue;
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		bool crc_renamed = bit / 8 == len - 7; /* the CRC32C became a TLV of another type */

		assert_int_equal(proxy_header_parse(out, len, &h), crc_renamed ? PROXY_OK : PROXY_BAD);
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* A TLV's value in a header, or one of SSL's if in_ssl; NULL: not there.  *len: its length. */
static const uint8_t *find_tlv(const uint8_t *in, size_t in_len, int type, bool in_ssl, size_t *len)
{
	size_t at = 16 + (in[13] == 0x11 ? 12 : 36), end = in_len;

	while (at + 3 <= end) {
		*len = (size_t)(in[at + 1] << 8 | in[at + 2]);
		if (in_ssl && in[at] == 0x20) {
			end = at + 3 + *len;
			at += 3 + 5;
			in_ssl = false;
			continue;
		}
		if (!in_ssl && in[at] == type)
			return in + at + 3;
		at += 3 + *len;
	}
	return NULL;
}

static void v2_certificates(void **state)
{
	static const struct {
		bool seen, resumed, verified;
		uint8_t client, verify;
	} rows[] = { { false, false, false, 1, 1 }, { false, false, true, 1, 1 }, { true, false, false, 7, 1 }, { true, false, true, 7, 0 },
		     { true, true, true, 5, 0 }, { true, true, false, 5, 1 }, { false, true, true, 1, 1 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct proxy_facts f = example();
		uint8_t out[PROXY_HEADER_MAX];
		size_t len, value_len;

		f.cert_seen = rows[i].seen;
		f.cert_resumed = rows[i].resumed;
		f.cert_verified = rows[i].verified;
		f.cert_cn = "mail.example";
		len = proxy_header_write_v2(out, PROXY_BUDGET_DEFAULT, &f);
		assert_memory_equal(find_tlv(out, len, 0x20, false, &value_len), ((uint8_t[]){ rows[i].client, 0, 0, 0, rows[i].verify }), 5);
		assert_int_equal(!!find_tlv(out, len, 0x22, true, &value_len), rows[i].seen);
	}
}

static void v2_families(void **state)
{
	static const struct {
		const char *src, *dst;
		uint8_t family;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.2", 0x11 },
		{ "2001:db8::1", "2001:db8::2", 0x21 },
		{ "192.0.2.1", "2001:db8::2", 0x21 },
		{ "2001:db8::1", "192.0.2.2", 0x21 },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", 0x11 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct proxy_facts f = facts(rows[i].src, 40000, rows[i].dst, 25);
		uint8_t out[PROXY_HEADER_MAX];
		struct proxy_header h;
		size_t len = proxy_header_write_v2(out, PROXY_BUDGET_DEFAULT, &f);

		assert_int_equal(out[13], rows[i].family);
		assert_int_equal(len, 16 + (rows[i].family == 0x11 ? 12 : 36) + 7);
		assert_int_equal(proxy_header_parse(out, len, &h), PROXY_OK);
		assert_true(!h.local && net_addr_equal(&h.src, &f.src) && net_addr_equal(&h.dst, &f.dst));

		len = proxy_header_write_v1((char *)out, &f);
		assert_int_equal(len, strlen((char *)out));
		assert_int_equal(proxy_header_parse(out, len, &h), PROXY_OK);
		assert_true(!h.local && net_addr_equal(&h.src, &f.src) && net_addr_equal(&h.dst, &f.dst));
	}
}

/* In every budget: never more, never a broken header, and what matters more goes first. */
static void v2_budgets(void **state)
{
	static const struct {
		int type;
		bool in_ssl;
		size_t from; /* the least budget that has it */
	} rows[] = {
		{ 0x03, false, 28 + 7 },
		{ 0x20, false, 28 + 7 + 8 },
		{ 0x21, true, 28 + 7 + 8 + 10 },
		{ 0x23, true, 28 + 7 + 8 + 10 + 25 },
		{ 0xe1, false, 28 + 7 + 8 + 10 + 25 + 11 },
		{ 0x22, true, 28 + 7 + 8 + 10 + 25 + 11 + 23 },
		{ 0x01, false, 28 + 7 + 8 + 10 + 25 + 11 + 23 + 27 },
		{ 0x02, false, 28 + 7 + 8 + 10 + 25 + 11 + 23 + 27 + 29 },
	};
	struct proxy_facts f = example();
	uint8_t out[PROXY_HEADER_MAX];
	struct proxy_header h;
	size_t value_len, len;

	f.cert_seen = f.cert_verified = true;
	f.dane_verdict = "12345678";			/* lengths rise, so that nothing later fits where */
	f.cert_cn = "01234567890123456789";		/* something before it does not */
	f.alpn = "012345678901234567890123";
	f.sni = "01234567890123456789012345";
	for (size_t budget = 0; budget < 300; budget++) {
		len = proxy_header_write_v2(out, budget, &f);
		assert_true(len <= budget || len == 28);
		assert_int_equal(proxy_header_parse(out, len, &h), PROXY_OK);
		for (size_t i = 0; i < COUNT(rows); i++) {
			bool there = find_tlv(out, len, rows[i].type, rows[i].in_ssl, &value_len);

			if (budget >= rows[i].from)
				assert_true(there);
			else if (rows[i].type != 0xe1) /* the only one shorter than one before it */
				assert_false(there);
		}
	}
}

static void v2_large(void **state)
{
	static char name[PROXY_HEADER_MAX + 100];
	struct proxy_facts f = example();
	uint8_t out[PROXY_HEADER_MAX];
	struct proxy_header h;
	size_t value_len, len;

	for (size_t n = 0; n < sizeof(name); n += 61) {
		memset(name, 'a', n);
		name[n] = '\0';
		f.sni = name;
		len = proxy_header_write_v2(out, SIZE_MAX, &f);
		assert_true(len <= PROXY_HEADER_MAX);
		assert_int_equal(proxy_header_parse(out, len, &h), PROXY_OK);
	}
	assert_null(find_tlv(out, len, 0x02, false, &value_len));
	assert_non_null(find_tlv(out, len, 0x03, false, &value_len));
}

static void v2_local(void **state)
{
	uint8_t out[PROXY_HEADER_MAX];
	struct proxy_header h;

	assert_int_equal(proxy_header_write_v2_local(out), 16);
	assert_memory_equal(out, SIGNATURE "\x20\0\0\0", 16);
	assert_int_equal(proxy_header_parse(out, 16, &h), PROXY_OK);
	assert_true(h.local);
}

static void v1_bytes(void **state)
{
	char out[PROXY_V1_MAX + 1];
	struct proxy_facts f = example();

	proxy_header_write_v1(out, &f);
	assert_string_equal(out, "PROXY TCP4 192.0.2.1 198.51.100.25 51234 25\r\n");
	f = facts("192.0.2.1", 1, "2001:db8::2", 25);
	proxy_header_write_v1(out, &f);
	assert_string_equal(out, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 25\r\n");
}

/* ---- XCLIENT ---- */

#define POSTFIX "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"

static void xclient(void **state)
{
	static const struct {
		const char *attributes, *src, *name, *helo, *want;
	} rows[] = {
		{ "ADDR", "192.0.2.1", NULL, "a", "XCLIENT ADDR=192.0.2.1\r\n" },
		{ "ADDR PORT", "192.0.2.1", NULL, "a", "XCLIENT ADDR=192.0.2.1 PORT=51234\r\n" },
		{ "port addr", "2001:db8::1", NULL, "a", "XCLIENT ADDR=IPV6:2001:db8::1 PORT=51234\r\n" },
		{ " ADDR  HELO ", "192.0.2.1", NULL, "mail.example", "XCLIENT HELO=mail.example ADDR=192.0.2.1\r\n" },
		{ POSTFIX, "192.0.2.1", NULL, "[IPv6:2001:db8::9]",
		  "XCLIENT PROTO=ESMTP HELO=[IPv6:2001:db8::9] DESTADDR=198.51.100.25 DESTPORT=25 REVERSE_NAME=[UNAVAILABLE] "
		  "NAME=[UNAVAILABLE] ADDR=192.0.2.1 PORT=51234\r\n" },
		{ "NAME ADDR", "192.0.2.1", "mail.example", NULL, "XCLIENT NAME=mail.example ADDR=192.0.2.1\r\n" },
		{ "NAME ADDR", "192.0.2.1", "mail.example ADDR=10.0.0.1", NULL, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1\r\n" },
		{ "NAME ADDR", "192.0.2.1", "mail.example\r\nMAIL", NULL, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1\r\n" },
		{ "NAME ADDR", "192.0.2.1", "m+41il", NULL, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1\r\n" },
		{ "HELO ADDR", "192.0.2.1", NULL, "a LOGIN=root", "XCLIENT HELO=[UNAVAILABLE] ADDR=192.0.2.1\r\n" },
		{ "HELO ADDR", "192.0.2.1", NULL, NULL, "XCLIENT HELO=[UNAVAILABLE] ADDR=192.0.2.1\r\n" },
		{ "", "192.0.2.1", NULL, "a", "" },
		{ "NAME PORT", "192.0.2.1", NULL, "a", "" },
		{ "XADDR ADDRESS DESTADDR", "192.0.2.1", NULL, "a", "" },
	};
	char out[3 * XCLIENT_LINE_MAX + 1];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct proxy_facts f = facts(rows[i].src, 51234, "198.51.100.25", 25);
		size_t len;

		f.name = rows[i].name;
		len = xclient_write(out, sizeof(out), rows[i].attributes, &f, rows[i].helo, "ESMTP");
		assert_string_equal(out, rows[i].want);
		assert_int_equal(len, strlen(rows[i].want));
	}
}

static void xclient_xtext(void **state)
{
	struct proxy_facts f = example();
	char out[3 * XCLIENT_LINE_MAX + 1];

	xclient_write(out, sizeof(out), "PROTO ADDR", &f, NULL, "E+S=M\r\n \xff");
	assert_string_equal(out, "XCLIENT PROTO=E+2BS+3DM+0D+0A+20+FF ADDR=192.0.2.1\r\n");
}

/* Names as long as may be: several lines, none too long, ADDR and PORT in the last; any size of out. */
static void xclient_lines(void **state)
{
	char name[600], out[3 * XCLIENT_LINE_MAX + 2];
	struct proxy_facts f = facts("2001:db8:1111:2222:3333:4444:5555:6666", 65535, "2001:db8:1111:2222:3333:4444:5555:7777", 65535);

	for (size_t n = 1; n < sizeof(name); n++) {
		const char *line = out, *end;

		memset(name, 'n', n);
		name[n] = '\0';
		f.name = name;

		size_t len = xclient_write(out, sizeof(out) - 1, POSTFIX, &f, name, name);

		assert_true(len > 0 && len == strlen(out));
		for (; *line; line = end + 2) {
			end = strstr(line, "\r\n");
			assert_non_null(end);
			assert_true(end + 2 - line <= XCLIENT_LINE_MAX);
			assert_memory_equal(line, "XCLIENT ", 8);
			assert_int_equal(!end[2], !!strstr(line, " ADDR=IPV6:2001:db8:1111:2222:3333:4444:5555:6666 PORT=65535\r\n") &&
							  !strchr(end + 2, 'X'));
		}
		for (size_t size = 0; size < sizeof(out) && n % 100 == 50; size++) {
			memset(out, '#', sizeof(out));
			assert_int_equal(xclient_write(out, size, POSTFIX, &f, name, name), size > len ? len : 0);
			assert_int_equal(out[size], '#');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc),		   cmocka_unit_test(parse_prefixes), cmocka_unit_test(parse_facts),
		cmocka_unit_test(parse_large),	   cmocka_unit_test(v2_bytes),	     cmocka_unit_test(v2_crc_guards),
		cmocka_unit_test(v2_certificates), cmocka_unit_test(v2_families),    cmocka_unit_test(v2_budgets),
		cmocka_unit_test(v2_large),	   cmocka_unit_test(v2_local),	     cmocka_unit_test(v1_bytes),
		cmocka_unit_test(xclient),	   cmocka_unit_test(xclient_xtext),  cmocka_unit_test(xclient_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
