/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the control socket: what is understood, and what is said about the rest. */
#include "userspace/control_parts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *line, *verb; /* verb NULL: refused */
	const char *says;	 /* args as JSON, or a part of the refusal */
} rows[] = {
	{ "status", "status", "{}" },
	{ "  status \r", "status", "{}" },
	{ "{\"verb\":\"status\"}", "status", "{\"verb\":\"status\"}" },
	{ " {\"verb\":\"sessions\",\"limit\":7} ", "sessions", "{\"limit\":7,\"verb\":\"sessions\"}" },
	{ "{\"verb\":\"drain\",\"after_ms\":1,\"cancel\":true}", "drain", "{\"after_ms\":1,\"cancel\":true,\"verb\":\"drain\"}" },
	{ "", NULL, "empty request" },
	{ " \t\r", NULL, "empty request" },
	{ "stat", NULL, "no verb \"stat\"" },
	{ "statuss", NULL, "no verb \"statuss\"" },
	{ "status now", NULL, "no verb \"status now\"" },
	{ "GET /metrics HTTP/1.1", NULL, "no verb \"GET /metrics HTTP/1.1\"" },
	{ "\x16\x03\x01\x02", NULL, "a line of JSON or one word" },
	{ "stat\xff", NULL, "a line of JSON or one word" },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, "no verb \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"" },
	{ "{", NULL, "not JSON at byte 1" },
	{ "{\"verb\":\"status\"", NULL, "not JSON at byte 16" },
	{ "{\"verb\":\"status\"} x", NULL, "not JSON at byte" },
	{ "{\"verb\":\"status\",\"verb\":\"drain\"}", NULL, "not JSON at byte" },
	{ "{\"verb\":\"\xff\"}", NULL, "not JSON at byte" },
	{ "{}", NULL, "no \"verb\"" },
	{ "{\"verb\":7}", NULL, "no \"verb\"" },
	{ "{\"verb\":null,\"limit\":1}", NULL, "no \"verb\"" },
	{ "{\"verb\":\"nope\"}", NULL, "no verb \"nope\"" },
	{ "{\"verb\":\"status\",\"limit\":7}", NULL, "status has no argument \"limit\"" },
	{ "{\"verb\":\"sessions\",\"lim\":7}", NULL, "sessions has no argument \"lim\"; it has: limit" },
	{ "{\"verb\":\"sessions\",\"\":7}", NULL, "sessions has no argument \"\"" },
	{ "{\"verb\":\"drain\",\"after_ms cancel\":7}", NULL, "drain has no argument" },
	{ "{\"verb\":\"drain\",\"cance\":7}", NULL, "drain has no argument" },
	{ "{\"verb\":\"drain\",\"ms\":7}", NULL, "drain has no argument" },
};

static void requests(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct control_verb *verb = NULL;
		json_t *args = NULL;
		char err[256] = "";
		int r = control_parse(rows[i].line, strlen(rows[i].line), &verb, &args, err, sizeof(err));

		if (!rows[i].verb) {
			if (r != -EINVAL || !strstr(err, rows[i].says))
				fail_msg("%s: %d %s", rows[i].line, r, err);
			assert_null(args);
			continue;
		}
		char *text = r ? NULL : json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);

		if (!text || strcmp(verb->name, rows[i].verb) != 0 || strcmp(text, rows[i].says) != 0)
			fail_msg("%s: %d %s %s", rows[i].line, r, err, text ? text : "");
		free(text);
		json_decref(args);
	}
}

/* A line is taken by its length: what stands behind it in the buffer is another request's. */
static void lines_end_where_told(void **state)
{
	const struct control_verb *verb;
	json_t *args;
	char err[256];

	assert_int_equal(control_parse("statusdrain", 6, &verb, &args, err, sizeof(err)), 0);
	assert_string_equal(verb->name, "status");
	json_decref(args);
}

/* Words for people, whatever a peer sent. */
static void texts(void **state)
{
	static const struct {
		const char *in, *out;
	} texts[] = {
		{ "", "" }, { "550 no", "550 no" }, { "Grüße", "Grüße" }, { "550 \xff\xfe no\x01", "550 ?? no?" }, { "\xc3", "?" },
	};
	for (size_t i = 0; i < COUNT(texts); i++) {
		json_t *j = control_text(texts[i].in);

		assert_string_equal(json_string_value(j), texts[i].out);
		json_decref(j);
	}
}

/* Every verb has what the table and danelawctl(8) need. */
static void verbs(void **state)
{
	for (const struct control_verb *v = control_verbs; v->name; v++) {
		assert_non_null(v->run);
		assert_true(v->deadline_ms >= 1000 && v->deadline_ms <= 80000); /* danelawctl waits 90 s */
		assert_true(strlen(v->help) > 10);
		if (v > control_verbs)
			assert_true(strcmp(v[-1].name, v->name) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(lines_end_where_told),
		cmocka_unit_test(texts),
		cmocka_unit_test(verbs),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
