/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines, commands, replies and EHLO's keywords: rows of bytes and what they mean. */
#include "userspace/smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Says which row failed. */
#define assert_row(ok, text)                                                                                  \
	do {                                                                                                  \
		if (!(ok))                                                                                    \
			fail_msg("row \"%s\": %s", text, #ok);                                                \
	} while (0)

/* ---- lines ---- */

static void lines(void **state)
{
	static const struct {
		const char *in;
		size_t max;
		enum smtp_line answer;
		size_t used, text_len;
	} rows[] = {
		{ "", 9, SMTP_LINE_MORE, 0, 0 },
		{ "NOOP", 9, SMTP_LINE_MORE, 0, 0 },
		{ "NOOP\r", 9, SMTP_LINE_MORE, 0, 0 },
		{ "\r\n", 9, SMTP_LINE_OK, 2, 0 },
		{ "NOOP\r\n", 9, SMTP_LINE_OK, 6, 4 },
		{ "NOOP\r\nNOOP\n", 9, SMTP_LINE_OK, 6, 4 },
		{ "\n", 9, SMTP_LINE_BARE_LF, 1, 0 },
		{ "NOOP\n", 9, SMTP_LINE_BARE_LF, 5, 4 },
		{ "NOOP\nQUIT\r\n", 99, SMTP_LINE_BARE_LF, 5, 4 },
		{ "NO\rOP\r\n", 9, SMTP_LINE_BARE_CR, 7, 5 },
		{ "NO\rOP\n", 9, SMTP_LINE_BARE_CR, 6, 5 },
		{ "NOOP\r\r\n", 9, SMTP_LINE_BARE_CR, 7, 5 },
		{ "\rNOOP\r\n", 9, SMTP_LINE_BARE_CR, 7, 5 },
		{ "1234567\r\n", 9, SMTP_LINE_OK, 9, 7 }, /* as long as may be */
		{ "12345678\r\n", 9, SMTP_LINE_TOO_LONG, 9, 9 },
		{ "12345678\n", 9, SMTP_LINE_BARE_LF, 9, 8 },
		{ "123456789", 9, SMTP_LINE_TOO_LONG, 9, 9 },
		{ "12345678", 9, SMTP_LINE_MORE, 0, 0 },
		{ "12345678\r", 9, SMTP_LINE_TOO_LONG, 9, 9 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t used = 77, text_len = 77;
		enum smtp_line answer = smtp_find_line((const uint8_t *)rows[i].in, strlen(rows[i].in), rows[i].max, &used, &text_len);

		assert_row(answer == rows[i].answer, rows[i].in);
		assert_row(used == rows[i].used && text_len == rows[i].text_len, rows[i].in);
	}
}

/* ---- commands ---- */

#define LEN(text) text, sizeof(text) - 1

static void commands(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		enum smtp_verb verb;
		enum smtp_syntax syntax;
		const char *arg;
	} rows[] = {
		{ LEN(""), SMTP_UNKNOWN, SMTP_SYNTAX_EMPTY, "" },
		{ LEN("  \t "), SMTP_UNKNOWN, SMTP_SYNTAX_EMPTY, "" },
		{ LEN("EHLO mail.example"), SMTP_EHLO, SMTP_SYNTAX_OK, "mail.example" },
		{ LEN("ehlo  [192.0.2.1] "), SMTP_EHLO, SMTP_SYNTAX_OK, "[192.0.2.1]" },
		{ LEN("EHLO"), SMTP_EHLO, SMTP_SYNTAX_BAD_ARG, "" },
		{ LEN("EHLO "), SMTP_EHLO, SMTP_SYNTAX_BAD_ARG, "" },
		{ LEN("HELO a"), SMTP_HELO, SMTP_SYNTAX_OK, "a" },
		{ LEN("HELO\ta"), SMTP_HELO, SMTP_SYNTAX_OK, "a" },
		{ LEN("HELO \xc3\xa4"), SMTP_HELO, SMTP_SYNTAX_BAD_CHAR, "\xc3\xa4" },
		{ LEN("LHLO a"), SMTP_LHLO, SMTP_SYNTAX_OK, "a" },
		{ LEN("StartTLS"), SMTP_STARTTLS, SMTP_SYNTAX_OK, "" },
		{ LEN("STARTTLS  "), SMTP_STARTTLS, SMTP_SYNTAX_OK, "" },
		{ LEN("STARTTLS now"), SMTP_STARTTLS, SMTP_SYNTAX_BAD_ARG, "now" },
		{ LEN("STARTTLSX"), SMTP_UNKNOWN, SMTP_SYNTAX_OK, "" },
		{ LEN("START"), SMTP_UNKNOWN, SMTP_SYNTAX_OK, "" },
		{ LEN("DATA"), SMTP_DATA, SMTP_SYNTAX_OK, "" },
		{ LEN("DATA x"), SMTP_DATA, SMTP_SYNTAX_BAD_ARG, "x" },
		{ LEN("RSET"), SMTP_RSET, SMTP_SYNTAX_OK, "" },
		{ LEN("RSET x"), SMTP_RSET, SMTP_SYNTAX_BAD_ARG, "x" },
		{ LEN("NOOP"), SMTP_NOOP, SMTP_SYNTAX_OK, "" },
		{ LEN("noop any thing"), SMTP_NOOP, SMTP_SYNTAX_OK, "any thing" },
		{ LEN("QUIT"), SMTP_QUIT, SMTP_SYNTAX_OK, "" },
		{ LEN("QUIT\0"), SMTP_UNKNOWN, SMTP_SYNTAX_BAD_CHAR, "" },
		{ LEN("NOOP \x7f"), SMTP_NOOP, SMTP_SYNTAX_BAD_CHAR, "\x7f" },
		{ LEN("NOOP \x1b[0m"), SMTP_NOOP, SMTP_SYNTAX_BAD_CHAR, "\x1b[0m" },
		{ LEN("VRFY"), SMTP_VRFY, SMTP_SYNTAX_BAD_ARG, "" },
		{ LEN("VRFY j\xc3\xb6rg"), SMTP_VRFY, SMTP_SYNTAX_OK, "j\xc3\xb6rg" },
		{ LEN("EXPN list"), SMTP_EXPN, SMTP_SYNTAX_OK, "list" },
		{ LEN("HELP"), SMTP_HELP, SMTP_SYNTAX_OK, "" },
		{ LEN("ETRN example.org"), SMTP_ETRN, SMTP_SYNTAX_OK, "example.org" },
		{ LEN("TURN"), SMTP_TURN, SMTP_SYNTAX_OK, "" },
		{ LEN("AUTH PLAIN AGEAYg=="), SMTP_AUTH, SMTP_SYNTAX_OK, "PLAIN AGEAYg==" },
		{ LEN("BURL x"), SMTP_BURL, SMTP_SYNTAX_OK, "x" },
		{ LEN("XCLIENT ADDR=1.2.3.4"), SMTP_XCLIENT, SMTP_SYNTAX_OK, "ADDR=1.2.3.4" },
		{ LEN("xforward NAME=a"), SMTP_XFORWARD, SMTP_SYNTAX_OK, "NAME=a" },
		{ LEN("GET / HTTP/1.1"), SMTP_FOREIGN, SMTP_SYNTAX_OK, "/ HTTP/1.1" },
		{ LEN("POST /"), SMTP_FOREIGN, SMTP_SYNTAX_OK, "/" },
		{ LEN("CONNECT mx:25 HTTP/1.0"), SMTP_FOREIGN, SMTP_SYNTAX_OK, "mx:25 HTTP/1.0" },
		{ LEN("PRI * HTTP/2.0"), SMTP_FOREIGN, SMTP_SYNTAX_OK, "* HTTP/2.0" },
		{ LEN("Subject: x"), SMTP_UNKNOWN, SMTP_SYNTAX_OK, "x" },
		{ LEN(" NOOP"), SMTP_UNKNOWN, SMTP_SYNTAX_OK, "NOOP" },
		{ LEN("\x16\x03\x01\x02"), SMTP_UNKNOWN, SMTP_SYNTAX_BAD_CHAR, "" },
		{ LEN("\xff\xf4"), SMTP_UNKNOWN, SMTP_SYNTAX_BAD_CHAR, "" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_command c;
		enum smtp_syntax syntax = smtp_parse_command(rows[i].in, rows[i].len, &c);

		assert_row(syntax == rows[i].syntax, rows[i].in);
		assert_row(c.verb == rows[i].verb, rows[i].in);
		assert_row(c.arg_len == strlen(rows[i].arg) && !memcmp(c.arg, rows[i].arg, c.arg_len), rows[i].in);
	}
	assert_int_equal(smtp_parse_command("NOOP a\0b", 8, &(struct smtp_command){ 0 }), SMTP_SYNTAX_BAD_CHAR);
}

static void mail_and_rcpt(void **state)
{
	static const struct {
		const char *in;
		enum smtp_syntax syntax;
		bool size_given, requiretls, binarymime;
		uint64_t size;
	} rows[] = {
		{ "MAIL FROM:<a@example.org>", SMTP_SYNTAX_OK },
		{ "mail from:<>", SMTP_SYNTAX_OK },
		{ "MAIL FROM: <a@example.org>", SMTP_SYNTAX_OK },
		{ "MAIL FROM:a@example.org", SMTP_SYNTAX_OK },
		{ "MAIL FROM:a@example.org SIZE=3", SMTP_SYNTAX_OK, true, .size = 3 },
		{ "MAIL FROM:<\"a b> SIZE=1\"@example.org> SIZE=5", SMTP_SYNTAX_OK, true, .size = 5 },
		{ "MAIL FROM:<\"a\\\"> \"@example.org> SIZE=6", SMTP_SYNTAX_OK, true, .size = 6 },
		{ "MAIL FROM:<a\\>@example.org> SIZE=7", SMTP_SYNTAX_OK, true, .size = 7 },
		{ "MAIL FROM:\"a b\"@example.org SIZE=8", SMTP_SYNTAX_OK, true, .size = 8 },
		{ "MAIL FROM:<\xc3\xa4@example.org> SMTPUTF8", SMTP_SYNTAX_OK },
		{ "MAIL FROM:<a@example.org>\tsize=00010", SMTP_SYNTAX_OK, true, .size = 10 },
		{ "MAIL FROM:<a@example.org> SIZE=18446744073709551615", SMTP_SYNTAX_OK, true, .size = UINT64_MAX },
		{ "MAIL FROM:<a@example.org> SIZE=18446744073709551616", SMTP_SYNTAX_OK, true, .size = UINT64_MAX },
		{ "MAIL FROM:<a@example.org> SIZE=99999999999999999999999999", SMTP_SYNTAX_OK, true, .size = UINT64_MAX },
		{ "MAIL FROM:<a@example.org> SIZE=", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org> SIZE=-1", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org> SIZE=1k", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org> SIZE=1 SIZE=2", SMTP_SYNTAX_BAD_ARG, true, .size = 1 },
		{ "MAIL FROM:<a@example.org> SIZES=9", SMTP_SYNTAX_OK },
		{ "MAIL FROM:<a@example.org> RequireTLS", SMTP_SYNTAX_OK, .requiretls = true },
		{ "MAIL FROM:<a@example.org> REQUIRETLS=yes", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org> REQUIRETLS REQUIRETLS", SMTP_SYNTAX_BAD_ARG, .requiretls = true },
		{ "MAIL FROM:<a@example.org> BODY=8BITMIME", SMTP_SYNTAX_OK },
		{ "MAIL FROM:<a@example.org> BODY=binarymime REQUIRETLS SIZE=9", SMTP_SYNTAX_OK, true, true, true, 9 },
		{ "MAIL FROM:<a@example.org> BODY=BINARYMIME BODY=7BIT", SMTP_SYNTAX_BAD_ARG, .binarymime = true },
		{ "MAIL FROM:<a@example.org> BODY=BINARYMIMEX", SMTP_SYNTAX_OK },
		{ "MAIL", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org>SIZE=1", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@example.org\\>", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<\"a@example.org>", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:a\\", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:\"a b@example.org SIZE=1", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL TO:<a@example.org>", SMTP_SYNTAX_BAD_ARG },
		{ "MAIL FROM:<a@\x01>", SMTP_SYNTAX_BAD_CHAR },
		{ "RCPT TO:<a@example.org>", SMTP_SYNTAX_OK },
		{ "RCPT TO:<a@example.org> SIZE=x NOTIFY=NEVER", SMTP_SYNTAX_OK }, /* not a parameter of RCPT: the backend's */
		{ "RCPT TO:<Postmaster>", SMTP_SYNTAX_OK },
		{ "RCPT FROM:<a@example.org>", SMTP_SYNTAX_BAD_ARG },
		{ "RCPT TO:", SMTP_SYNTAX_BAD_ARG },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_command c;
		enum smtp_syntax syntax = smtp_parse_command(rows[i].in, strlen(rows[i].in), &c);

		assert_row(syntax == rows[i].syntax, rows[i].in);
		assert_row(c.size_given == rows[i].size_given, rows[i].in);
		assert_row(!c.size_given || c.size == rows[i].size, rows[i].in);
		assert_row(c.requiretls == rows[i].requiretls, rows[i].in);
		assert_row(c.body_binarymime == rows[i].binarymime, rows[i].in);
	}
}

static void bdat(void **state)
{
	static const struct {
		const char *in;
		enum smtp_syntax syntax;
		uint64_t chunk;
		bool last;
	} rows[] = {
		{ "BDAT 0 LAST", SMTP_SYNTAX_OK, 0, true },
		{ "BDAT 1000", SMTP_SYNTAX_OK, 1000 },
		{ "bdat 0086  last ", SMTP_SYNTAX_OK, 86, true },
		{ "BDAT 18446744073709551615", SMTP_SYNTAX_OK, UINT64_MAX },
		{ "BDAT 18446744073709551616", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT 18446744073709551696 LAST", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT 99999999999999999999999", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT LAST", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT -1", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT +1", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT 0x10", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT 10LAST", SMTP_SYNTAX_BAD_ARG },
		{ "BDAT 10 LASTS", SMTP_SYNTAX_BAD_ARG, 10 },
		{ "BDAT 10 LAST x", SMTP_SYNTAX_BAD_ARG, 10, true },
		{ "BDAT 10 20", SMTP_SYNTAX_BAD_ARG, 10 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_command c;
		enum smtp_syntax syntax = smtp_parse_command(rows[i].in, strlen(rows[i].in), &c);

		assert_row(syntax == rows[i].syntax, rows[i].in);
		assert_row(c.verb == SMTP_BDAT && c.chunk == rows[i].chunk && c.last == rows[i].last, rows[i].in);
	}
}

static void names(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "mail.example.org", true }, { "[192.0.2.1]", true }, { "[IPv6:2001:db8::1]", true }, { "my_host", true }, { "a", true },
		{ "", false }, { "a b", false }, { "a;b", false }, { "a\x7f", false }, { "\xc3\xa4", false }, { "<a>", false },
	};
	char long_name[SMTP_HELO_MAX + 1];

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_row(smtp_helo_ok(rows[i].name, strlen(rows[i].name)) == rows[i].ok, rows[i].name);
	assert_false(smtp_helo_ok("a\0b", 3));
	memset(long_name, 'a', sizeof(long_name));
	assert_true(smtp_helo_ok(long_name, SMTP_HELO_MAX));
	assert_false(smtp_helo_ok(long_name, SMTP_HELO_MAX + 1));
	assert_string_equal(smtp_verb_name(SMTP_STARTTLS), "STARTTLS");
	assert_string_equal(smtp_verb_name(SMTP_UNKNOWN), "unknown");
	assert_string_equal(smtp_verb_name(SMTP_FOREIGN), "foreign");
}

/* ---- replies ---- */

static void replies(void **state)
{
	static const struct {
		const char *lines[4];
		enum smtp_reply_line last; /* the answer to the last one; those before are MORE_LINES */
		uint16_t code;
	} rows[] = {
		{ { "250 ok" }, SMTP_REPLY_LAST, 250 },
		{ { "250" }, SMTP_REPLY_LAST, 250 },
		{ { "250 " }, SMTP_REPLY_LAST, 250 },
		{ { "354 go on" }, SMTP_REPLY_LAST, 354 },
		{ { "250-mx", "250-SIZE", "250 HELP" }, SMTP_REPLY_LAST, 250 },
		{ { "250-mx", "250-" }, SMTP_REPLY_MORE_LINES, 250 },
		{ { "250-mx", "250" }, SMTP_REPLY_LAST, 250 },
		{ { "550-mx", "250 x" }, SMTP_REPLY_BAD, 550 },
		{ { "550 \xc3\xa4\t" }, SMTP_REPLY_LAST, 550 },
		{ { "" }, SMTP_REPLY_BAD }, { { "25" }, SMTP_REPLY_BAD }, { { "250x" }, SMTP_REPLY_BAD }, { { "2500" }, SMTP_REPLY_BAD },
		{ { "150 x" }, SMTP_REPLY_BAD }, { { "650 x" }, SMTP_REPLY_BAD }, { { "2x0 x" }, SMTP_REPLY_BAD },
		{ { "25: x" }, SMTP_REPLY_BAD }, { { "ok" }, SMTP_REPLY_BAD }, { { " 250 ok" }, SMTP_REPLY_BAD },
		{ { "250 a\rb" }, SMTP_REPLY_BAD }, { { "250 a\nb" }, SMTP_REPLY_BAD },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_reply_parser p = { 0 };

		for (size_t l = 0; l < COUNT(rows[i].lines) && rows[i].lines[l]; l++) {
			const char *line = rows[i].lines[l];
			bool last = l + 1 == COUNT(rows[i].lines) || !rows[i].lines[l + 1];

			assert_row(smtp_parse_reply(&p, line, strlen(line)) == (last ? rows[i].last : SMTP_REPLY_MORE_LINES), line);
		}
		assert_row(p.code == rows[i].code, rows[i].lines[0]);
	}
}

static void endless_reply(void **state)
{
	struct smtp_reply_parser p = { 0 };

	for (int i = 0; i < SMTP_REPLY_LINES_MAX; i++)
		assert_int_equal(smtp_parse_reply(&p, "250-x", 5), SMTP_REPLY_MORE_LINES);
	assert_int_equal(smtp_parse_reply(&p, "250 x", 5), SMTP_REPLY_BAD);
	p = (struct smtp_reply_parser){ 0 };
	assert_int_equal(smtp_parse_reply(&p, "250 a\0b", 7), SMTP_REPLY_BAD);
}

/* ---- capabilities ---- */

static struct smtp_caps caps_of(const char *const *list)
{
	struct smtp_caps caps = { 0 };

	for (; *list; list++)
		smtp_caps_add(&caps, *list, strlen(*list));
	return caps;
}
#define CAPS(...) caps_of((const char *const[]){ __VA_ARGS__, NULL })

static void caps_lines(void **state)
{
	struct smtp_caps caps = CAPS("PIPELINING", "size 52428800", "8bitmime", "MT-PRIORITY MIXER", "XCLIENT NAME ADDR PORT ", "DSN  x");

	assert_int_equal(caps.have, SMTP_CAP_BIT(PIPELINING) | SMTP_CAP_BIT(SIZE) | SMTP_CAP_BIT(8BITMIME) |
					    SMTP_CAP_BIT(MT_PRIORITY) | SMTP_CAP_BIT(XCLIENT) | SMTP_CAP_BIT(DSN));
	assert_int_equal(caps.size, 52428800);
	assert_string_equal(caps.mt_priority, "MIXER");
	assert_string_equal(caps.xclient, "NAME ADDR PORT");
	assert_int_equal(caps.unknown, 0);

	caps = CAPS("AUTH PLAIN", "AUTH=LOGIN", "MT_PRIORITY", "X-EXPS", "", " SIZE", "SIZES 3", "SIZ", "\xff", "8BITMIME\t");
	assert_int_equal(caps.have, 0);
	assert_int_equal(caps.unknown, 10);
}

static void caps_sizes(void **state)
{
	static const struct {
		const char *line;
		uint64_t size;
	} rows[] = {
		{ "SIZE", 0 }, { "SIZE 0", 0 }, { "SIZE 1", 1 }, { "SIZE 18446744073709551615", UINT64_MAX },
		{ "SIZE 18446744073709551616", 0 }, { "SIZE 10x", 0 }, { "SIZE -1", 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_caps caps = CAPS(rows[i].line);

		assert_row(caps.have == SMTP_CAP_BIT(SIZE) && caps.size == rows[i].size, rows[i].line);
	}
}

/* Parameters that cannot be told on as they are take their capability with them. */
static void caps_params(void **state)
{
	char line[400] = "LIMITS ";

	for (size_t len = 0; len < 300; len++) {
		struct smtp_caps caps = { 0 };

		memset(line + 7, 'R', len);
		smtp_caps_add(&caps, line, 7 + len);
		assert_int_equal(caps.have, len < sizeof(caps.limits) ? SMTP_CAP_BIT(LIMITS) : 0);
		assert_int_equal(strlen(caps.limits), len < sizeof(caps.limits) ? len : 0);
	}
	assert_int_equal(CAPS("LIMITS RCPTMAX=\x01").have, 0);
	assert_int_equal(CAPS("LIMITS RCPTMAX=\xc3\xa4").have, 0);
	assert_int_equal(CAPS("LIMITS RCPTMAX=1", "LIMITS \x7f").have, 0); /* told twice: the last counts */
	assert_string_equal(CAPS("LIMITS RCPTMAX=1", "LIMITS \x7f").limits, "");
	assert_string_equal(CAPS("LIMITS RCPTMAX=1000", "LIMITS A=1").limits, "A=1");
}

static void caps_meet(void **state)
{
	struct smtp_caps a = CAPS("PIPELINING", "SIZE 1000", "DSN", "LIMITS RCPTMAX=5", "MT-PRIORITY MIXER", "X-A");
	struct smtp_caps b = CAPS("PIPELINING", "SIZE 0", "LIMITS RCPTMAX=6", "MT-PRIORITY MIXER", "CHUNKING", "X-B");
	struct smtp_caps sum = smtp_caps_all;

	smtp_caps_meet(&sum, &a);
	assert_int_equal(sum.have, a.have);
	assert_int_equal(sum.size, 1000);
	assert_string_equal(sum.limits, "RCPTMAX=5");
	smtp_caps_meet(&sum, &b);
	assert_int_equal(sum.have, SMTP_CAP_BIT(PIPELINING) | SMTP_CAP_BIT(SIZE) | SMTP_CAP_BIT(MT_PRIORITY));
	assert_int_equal(sum.size, 1000); /* 0 is no limit */
	assert_string_equal(sum.limits, "");
	assert_string_equal(sum.mt_priority, "MIXER");
	assert_int_equal(sum.unknown, 2);
	smtp_caps_meet(&sum, &(struct smtp_caps){ .have = SMTP_CAP_BIT(SIZE), .size = 10 });
	assert_int_equal(sum.size, 10);
	smtp_caps_meet(&b, &smtp_caps_all); /* the other way round: nothing is lost */
	assert_string_equal(b.limits, "RCPTMAX=6");
}

static void ehlo(void **state)
{
	static const struct {
		const char *caps[6];
		uint32_t mask;
		bool starttls;
		uint64_t max_size;
		const char *want;
	} rows[] = {
		{ { NULL }, ~0u, false, 0, "250 mx.example\r\n" },
		{ { NULL }, ~0u, true, 0, "250-mx.example\r\n250 STARTTLS\r\n" },
		{ { "PIPELINING" }, ~0u, false, 0, "250-mx.example\r\n250 PIPELINING\r\n" },
		{ { "PIPELINING", "DSN" }, SMTP_CAP_BIT(DSN), false, 0, "250-mx.example\r\n250 DSN\r\n" },
		{ { "8BITMIME", "MT-PRIORITY MIXER" }, ~0u, false, 0, "250-mx.example\r\n250-8BITMIME\r\n250 MT-PRIORITY MIXER\r\n" },
		{ { "SIZE" }, ~0u, false, 0, "250-mx.example\r\n250 SIZE\r\n" },
		{ { "SIZE 500" }, ~0u, false, 0, "250-mx.example\r\n250 SIZE 500\r\n" },
		{ { "SIZE 500" }, ~0u, false, 400, "250-mx.example\r\n250 SIZE 400\r\n" },
		{ { "SIZE 500" }, ~0u, false, 600, "250-mx.example\r\n250 SIZE 500\r\n" },
		{ { "SIZE" }, ~0u, false, 600, "250-mx.example\r\n250 SIZE 600\r\n" },
		{ { "DSN" }, ~0u, false, 600, "250-mx.example\r\n250 DSN\r\n" }, /* no SIZE that the backend does not take */
		{ { "BINARYMIME" }, ~0u, false, 0, "250 mx.example\r\n" },
		{ { "BINARYMIME", "CHUNKING" }, ~0u, false, 0, "250-mx.example\r\n250-CHUNKING\r\n250 BINARYMIME\r\n" },
		{ { "BINARYMIME", "CHUNKING" }, ~SMTP_CAP_BIT(CHUNKING), false, 0, "250 mx.example\r\n" },
		{ { "STARTTLS", "XCLIENT ADDR" }, ~0u, false, 0, "250 mx.example\r\n" },
		{ { "LIMITS" }, ~0u, false, 0, "250 mx.example\r\n" },
		{ { "LIMITS RCPTMAX=3", "DELIVERBY" }, ~0u, false, 0, "250-mx.example\r\n250-DELIVERBY\r\n250 LIMITS RCPTMAX=3\r\n" },
	};
	char out[1024];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct smtp_caps caps = caps_of(rows[i].caps);
		size_t len = smtp_write_ehlo(out, sizeof(out), "mx.example", &caps, rows[i].mask, rows[i].starttls, rows[i].max_size);

		assert_int_equal(len, strlen(out));
		assert_string_equal(out, rows[i].want);
	}
}

/* The longest of everything fits 1024 bytes; in less, what is written is still a whole reply. */
static void ehlo_sizes(void **state)
{
	struct smtp_caps caps = smtp_caps_all;
	char host[SMTP_HELO_MAX + 1], out[1025];
	size_t whole, len;

	memset(caps.deliverby, 'd', sizeof(caps.deliverby) - 1);
	memset(caps.mt_priority, 'm', sizeof(caps.mt_priority) - 1);
	memset(caps.futurerelease, 'f', sizeof(caps.futurerelease) - 1);
	memset(caps.limits, 'l', sizeof(caps.limits) - 1);
	memset(host, 'h', SMTP_HELO_MAX);
	host[SMTP_HELO_MAX] = '\0';
	caps.size = UINT64_MAX;
	whole = smtp_write_ehlo(out, 1024, host, &caps, ~0u, true, 0);
	assert_non_null(strstr(out, "250 STARTTLS\r\n"));
	for (size_t size = 0; size <= whole; size++) {
		memset(out, '#', sizeof(out));
		len = smtp_write_ehlo(out, size, host, &caps, ~0u, true, 0);
		assert_int_equal(out[size], '#');
		if (size < sizeof("250-\r\n") + SMTP_HELO_MAX) {
			assert_int_equal(len, 0);
			continue;
		}
		assert_true(len < size && strlen(out) == len);

		char *last = strstr(out, "250 ");

		assert_non_null(last);
		assert_ptr_equal(strstr(last, "\r\n"), out + len - 2);
	}
	len = smtp_write_ehlo(out, 1024, "mx", &smtp_caps_all, ~0u, false, 0); /* never met any: its marks do not show */
	for (size_t i = 0; i < len; i++)
		assert_true(out[i] >= ' ' || out[i] == '\r' || out[i] == '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),	 cmocka_unit_test(commands),	cmocka_unit_test(mail_and_rcpt), cmocka_unit_test(bdat),
		cmocka_unit_test(names),	 cmocka_unit_test(replies),	cmocka_unit_test(endless_reply), cmocka_unit_test(caps_lines),
		cmocka_unit_test(caps_sizes),	 cmocka_unit_test(caps_params), cmocka_unit_test(caps_meet),	 cmocka_unit_test(ehlo),
		cmocka_unit_test(ehlo_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
