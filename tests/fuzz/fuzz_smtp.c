/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMTP's bytes.  The first byte of the input says what the rest is: c commands, r replies, e an EHLO reply,
 * d a body (then a digit for the policy and one for the size of the pieces).
 * rooms: smtp_line smtp_command smtp_reply smtp_caps smtp_data
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/smtp_data_reference.h"
#include "userspace/smtp.h"

#define MUST(ok)                                                                                              \
	do {                                                                                                  \
		if (!(ok)) {                                                                                  \
			fprintf(stderr, "not so: %s\n", #ok);                                                 \
			abort();                                                                              \
		}                                                                                             \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void line_taker(void *ctx, const char *line, size_t len);

/* Takes data apart into lines, each copied to where the sanitizer sees a byte too many. */
static void each_line(const uint8_t *data, size_t size, line_taker *take, void *ctx)
{
	size_t used, text_len;

	for (size_t at = 0; at < size; at += used) {
		enum smtp_line answer = smtp_find_line(data + at, size - at, SMTP_LINE_MAX, &used, &text_len);

		if (answer == SMTP_LINE_MORE || answer == SMTP_LINE_TOO_LONG)
			return;
		MUST(used > text_len && used <= size - at && used <= SMTP_LINE_MAX && data[at + used - 1] == '\n');
		for (size_t part = 0; part < used; part++) {
			size_t u, t;

			MUST(smtp_find_line(data + at, part, SMTP_LINE_MAX, &u, &t) == SMTP_LINE_MORE && !u && !t);
		}

		char *line = malloc(text_len + !text_len);

		memcpy(line, data + at, text_len);
		MUST(answer == SMTP_LINE_BARE_CR || !memchr(line, '\r', text_len));
		take(ctx, line, text_len);
		free(line);
	}
}

static void command(void *ctx, const char *line, size_t len)
{
	struct smtp_command c;
	enum smtp_syntax syntax = smtp_parse_command(line, len, &c);

	MUST(!c.arg_len || (c.arg > line && c.arg + c.arg_len <= line + len && c.arg[0] != ' ' && c.arg[c.arg_len - 1] != ' '));
	MUST(smtp_verb_name(c.verb)[0]);
	if (syntax == SMTP_SYNTAX_OK) {
		for (size_t i = 0; i < len; i++)
			MUST((uint8_t)line[i] >= ' ' || line[i] == '\t');
		MUST(c.verb == SMTP_BDAT || (!c.chunk && !c.last));
		MUST(c.verb == SMTP_MAIL || (!c.size_given && !c.requiretls && !c.body_binarymime));
	}
	smtp_helo_ok(c.arg, c.arg_len);
}

static void reply(void *ctx, const char *line, size_t len)
{
	struct smtp_reply_parser *p = ctx;
	enum smtp_reply_line answer = smtp_parse_reply(p, line, len);

	MUST(p->lines <= SMTP_REPLY_LINES_MAX);
	MUST(answer == SMTP_REPLY_BAD || (p->code >= 200 && p->code < 600 && len >= 3));
	if (answer != SMTP_REPLY_MORE_LINES)
		*p = (struct smtp_reply_parser){ 0 };
}

static void keyword(void *ctx, const char *line, size_t len)
{
	smtp_caps_add(ctx, line, len);
}

static void announced(void *ctx, const char *line, size_t len)
{
	MUST(len > 4);
	smtp_caps_add(ctx, line + 4, len - 4);
}

/* What is announced of any list, read again, is a part of it. */
static void ehlo(const uint8_t *data, size_t size)
{
	struct smtp_caps caps = { 0 }, again = { 0 }, sum = smtp_caps_all;
	char out[1024];
	size_t len, host;

	each_line(data, size, keyword, &caps);
	smtp_caps_meet(&sum, &caps);
	smtp_caps_meet(&sum, &caps);
	MUST(sum.have == caps.have && sum.size == caps.size && !strcmp(sum.limits, caps.limits));
	len = smtp_write_ehlo(out, sizeof(out), "mx", &sum, ~0u, false, 0);
	host = strlen("250-mx\r\n");
	MUST(len >= host && len < sizeof(out));
	each_line((uint8_t *)out + host, len - host, announced, &again);
	MUST(!(again.have & ~caps.have) && !again.unknown);
	MUST(!(again.have & SMTP_CAP_BIT(SIZE)) || again.size == caps.size);
	MUST(!(again.have & SMTP_CAP_BIT(LIMITS)) || !strcmp(again.limits, caps.limits));
}

static void body(const uint8_t *data, size_t size)
{
	static struct reference_out want, got;
	struct smtp_data_scanner s;
	enum smtp_newline policy = (enum smtp_newline)(size ? data[0] % 3 : 0);
	size_t piece = size > 1 ? data[1] % 64 : 0, used = 0;
	const char *misled;

	data += size < 2 ? size : 2;
	size -= size < 2 ? size : 2;
	if (2 * size + 8 > REFERENCE_MAX)
		return;
	reference_scan(&want, policy, data, size);
	smtp_data_begin(&s, policy);
	got.len = 0;
	got.done = false;
	for (size_t at = 0; at < size && !got.done; at += used) {
		size_t n = piece && piece < size - at ? piece : size - at, before = got.len;
		uint8_t *copy = malloc(n);

		memcpy(copy, data + at, n);
		used = smtp_data_scan(&s, copy, n, reference_emit, &got, &got.done);
		free(copy);
		MUST(got.done ? used <= n : used == n);
		MUST(got.len - before <= 2 * n + 3);
		got.used = at + used;
	}
	MUST(got.done == want.done && (!size || got.used == want.used) && s.bare == want.bare);
	MUST(got.len == want.len && !memcmp(got.bytes, want.bytes, got.len));
	misled = policy == SMTP_NEWLINE_PASS ? NULL
					     : receiver_misled(&got, got.done && !(policy == SMTP_NEWLINE_REJECT && s.bare));
	MUST(!misled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_reply_parser parser = { 0 };

	if (!size)
		return 0;
	switch (data[0]) {
	case 'c':
		each_line(data + 1, size - 1, command, NULL);
		break;
	case 'r':
		each_line(data + 1, size - 1, reply, &parser);
		break;
	case 'e':
		ehlo(data + 1, size - 1);
		break;
	case 'd':
		body(data + 1, size - 1);
		break;
	}
	return 0;
}
