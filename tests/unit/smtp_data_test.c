/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of DATA: rows that say what goes in and what comes out, at every split; then every body of CR, LF,
 * dot and a letter up to a length, and long ones at random, against the slow reference; and that no receiver,
 * however lenient, sees another end of data than ours.
 */
#include "userspace/smtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/smtp_data_reference.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const enum smtp_newline policies[] = { SMTP_NEWLINE_REJECT, SMTP_NEWLINE_NORMALIZE, SMTP_NEWLINE_PASS };

/* Scans in as pieces that end at cuts[0..n), rising, and at len. */
static void scan(struct reference_out *o, enum smtp_newline policy, const uint8_t *in, size_t len, const size_t *cuts, size_t n)
{
	struct smtp_data_scanner s;

	smtp_data_begin(&s, policy);
	o->len = o->used = 0;
	o->done = false;
	for (size_t i = 0; i <= n && !o->done; i++) {
		size_t end = i < n ? cuts[i] : len, start = i ? cuts[i - 1] : 0, used;
		uint8_t piece[REFERENCE_MAX]; /* its own memory: no byte before it may matter */
		size_t before = o->len;

		memcpy(piece, in + start, end - start);
		used = smtp_data_scan(&s, piece, end - start, reference_emit, o, &o->done);
		assert_true(o->len - before <= 2 * (end - start) + 3);
		assert_true(o->done ? used <= end - start : used == end - start);
		o->used += used;
	}
	o->bare = s.bare;
}

static void show(const char *what, const uint8_t *in, size_t len)
{
	fprintf(stderr, "# %s: ", what);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, in[i] == '\r' ? "\\r" : in[i] == '\n' ? "\\n" : "%c", in[i]);
	fputc('\n', stderr);
}

static void expect(const struct reference_out *want, const struct reference_out *got, enum smtp_newline policy, const uint8_t *in,
		   size_t len)
{
	if (want->len == got->len && !memcmp(want->bytes, got->bytes, want->len) && want->used == got->used &&
	    want->done == got->done && want->bare == got->bare)
		return;
	show("in", in, len);
	show("wanted", want->bytes, want->len);
	show("got", got->bytes, got->len);
	fail_msg("policy %d: used %zu (wanted %zu), done %d (%d), bare %d (%d)", policy, got->used, want->used, got->done, want->done,
		 got->bare, want->bare);
}

/* ---- rows ---- */

struct row {
	const char *in;
	const char *rest;		       /* what is left behind the end; NULL: no end */
	const char *reject, *normalize, *pass; /* output; NULL: as it came in, without rest */
	bool bare;
};

static const struct row rows[] = {
	{ ".\r\n", "" },
	{ ".\r\nQUIT\r\n", "QUIT\r\n" },
	{ "\r\n.\r\n", "" },
	{ "a\r\n.\r\n.\r\n", ".\r\n" },
	{ "a\r\n..\r\n.\r\n", "" },
	{ "a\r\n..\r\n...\r\n.b\r\n. \r\n.\r\n", "" },
	{ "a.\r\n.\r\n", "" },
	{ "a", NULL },
	{ "a\r\n", NULL },
	{ "a\r\n.", NULL },
	{ "a\r\n.\r", NULL, "a\r\n.", "a\r\n.", "a\r\n." }, /* the CR is held */
	/* bare LF */
	{ "a\nb\r\n.\r\n", "", "a", "a\r\nb\r\n.\r\n", NULL, true },
	{ "\n.\r\n", NULL, "", "\r\n..\r\n", NULL, true },
	{ ".\n", NULL, ".", "..\r\n", NULL, true },
	{ "a\n.\nMAIL FROM:<x@y>\r\n.\r\n", "", "a", "a\r\n..\r\nMAIL FROM:<x@y>\r\n.\r\n", NULL, true },
	{ "a\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", "", "a", "a\r\n..\r\nMAIL FROM:<x@y>\r\n.\r\n", NULL, true },
	{ "a\r\n.\nMAIL FROM:<x@y>\r\n.\r\n", "", "a\r\n.", "a\r\n..\r\nMAIL FROM:<x@y>\r\n.\r\n", NULL, true },
	{ "a\n..\n.\r\n", NULL, "a", "a\r\n..\r\n..\r\n", NULL, true },
	/* bare CR */
	{ "a\rb\r\n.\r\n", "", "a", "a\r\nb\r\n.\r\n", NULL, true },
	{ "a\r.\rMAIL\r\n.\r\n", "", "a", "a\r\n..\r\nMAIL\r\n.\r\n", NULL, true },
	{ "a\r\n.\rMAIL\r\n.\r\n", "", "a\r\n.", "a\r\n..\r\nMAIL\r\n.\r\n", NULL, true },
	{ "a\r\n.\r.\r\n", NULL, "a\r\n.", "a\r\n..\r\n..\r\n", NULL, true },
	{ "a\r.\r\nMAIL\r\n.\r\n", "", "a", "a\r\n..\r\nMAIL\r\n.\r\n", NULL, true },
	{ "a\r\r\n.\r\n", "", "a", "a\r\n\r\n.\r\n", NULL, true },
	{ "a\r\n\r.\r\n", NULL, "a\r\n", "a\r\n\r\n..\r\n", NULL, true },
	{ "a\r\n.\r\r\n", NULL, "a\r\n.", "a\r\n..\r\n\r\n", NULL, true },
	{ "a\n\r.\n\r", NULL, "a", "a\r\n\r\n..\r\n", "a\n\r.\n", true },
};

static void row_at_every_split(void **state)
{
	static struct reference_out want, got;

	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint8_t *in = (const uint8_t *)rows[i].in;
		size_t len = strlen(rows[i].in);

		for (size_t p = 0; p < COUNT(policies); p++) {
			const char *out = policies[p] == SMTP_NEWLINE_REJECT	  ? rows[i].reject
					  : policies[p] == SMTP_NEWLINE_NORMALIZE ? rows[i].normalize
										  : rows[i].pass;

			want.done = rows[i].rest;
			want.used = len - (rows[i].rest ? strlen(rows[i].rest) : 0);
			want.bare = rows[i].bare;
			want.len = out ? strlen(out) : want.used;
			memcpy(want.bytes, out ? out : rows[i].in, want.len);
			for (size_t cut = 0; cut <= len; cut++) {
				scan(&got, policies[p], in, len, &cut, 1);
				expect(&want, &got, policies[p], in, len);
			}
		}
	}
}

/* ---- against the reference ---- */

/* One body, whole, a byte at a time and split; pairs: at every two places. */
static void compare(const uint8_t *in, size_t len, bool pairs)
{
	static struct reference_out want, got;
	size_t bytes[REFERENCE_MAX];

	for (size_t i = 0; i < len; i++)
		bytes[i] = i + 1;
	for (size_t p = 0; p < COUNT(policies); p++) {
		reference_scan(&want, policies[p], in, len);
		scan(&got, policies[p], in, len, NULL, 0);
		expect(&want, &got, policies[p], in, len);
		scan(&got, policies[p], in, len, bytes, len);
		expect(&want, &got, policies[p], in, len);
		for (size_t a = 0; a <= len; a++)
			for (size_t b = pairs ? a : len; b <= len; b++) {
				scan(&got, policies[p], in, len, (size_t[]){ a, b }, 2);
				expect(&want, &got, policies[p], in, len);
			}
		if (policies[p] == SMTP_NEWLINE_PASS)
			continue;

		const char *misled = receiver_misled(&got, got.done && !(policies[p] == SMTP_NEWLINE_REJECT && got.bare));

		if (misled) {
			show("in", in, len);
			show("out", got.bytes, got.len);
			fail_msg("policy %d misleads a receiver: %s", policies[p], misled);
		}
	}
}

static void every_short_body(void **state)
{
	uint8_t in[8];

	for (size_t len = 0; len <= sizeof(in); len++)
		for (uint32_t n = 0; n < 1u << 2 * len; n++) {
			for (size_t i = 0; i < len; i++)
				in[i] = (uint8_t)"\r\n.a"[n >> 2 * i & 3];
			compare(in, len, false);
		}
}

/* The same sequence in every run: xorshift. */
static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

static void longer_bodies(void **state)
{
	uint32_t x = 1;
	uint8_t in[12];

	for (int n = 0; n < 4000; n++) {
		size_t len = 9 + next_random(&x) % 4;

		for (size_t i = 0; i < len; i++)
			in[i] = (uint8_t)"\r\n.a"[next_random(&x) >> 8 & 3];
		compare(in, len, true);
	}
}

/* Long lines between what matters, so that it falls on every place of a vector and of the loops around it. */
static void bodies_of_text(void **state)
{
	static const char *const bits[] = { "\r\n", "\r\n", "\r\n", "\r\n..", "\r\n.", "\n", "\r", ".", "\n.\n", "\r\n.\r\n" };
	uint32_t x = 2;
	uint8_t in[400];

	for (int n = 0; n < 1500; n++) {
		size_t len = 0, max = next_random(&x) % sizeof(in), kinds = 4 + next_random(&x) % (COUNT(bits) - 3);

		while (len + 100 < max) {
			const char *bit = bits[next_random(&x) % kinds];
			size_t text = next_random(&x) % 96;

			memset(in + len, 'a' + n % 26, text);
			memcpy(in + len + text, bit, strlen(bit));
			len += text + strlen(bit);
		}
		compare(in, len, false);
	}
}

/* Each reader's mistake, shown to be one the check would see. */
static void receivers_are_lenient(void **state)
{
	static const struct {
		const char *in, *misled;
	} smuggled[] = {
		{ "a\n.\nb\r\n.\r\n", "LF, a CR before it is stripped" },
		{ "a\n.\r\nb\r\n.\r\n", "LF, a CR before it is stripped" },
		{ "a\r\n.\r\r\nb\r\n.\r\n", "LF, all CRs before it are stripped" },
		{ "a\r.\rb\r\n.\r\n", "LF, CR and CRLF" },
		{ "a\r\n.b\r\n.\r\n", NULL },
	};
	static struct reference_out o;

	for (size_t i = 0; i < COUNT(smuggled); i++) {
		o.len = strlen(smuggled[i].in);
		memcpy(o.bytes, smuggled[i].in, o.len);
		const char *misled = receiver_misled(&o, true);

		assert_int_equal(!misled, !smuggled[i].misled);
		if (misled)
			assert_string_equal(misled, smuggled[i].misled);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_at_every_split),	cmocka_unit_test(every_short_body),	 cmocka_unit_test(longer_bodies),
		cmocka_unit_test(bodies_of_text),	cmocka_unit_test(receivers_are_lenient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
