/* SPDX-License-Identifier: BSD-2-Clause */
/* Which policy asks, which fits, and what a verdict is answered: as tables. */
#include "userspace/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void complain(void *ctx, const char *text)
{
	fail_msg("%s", text);
}

static struct config *config(const char *policies, const char *listener)
{
	char text[4096];

	snprintf(text, sizeof(text), "hostname = mx.example\nbackend a { address = 10.0.0.5 }\npool p { backends = a }\n"
		 "certificate c { chain = /c key = /k }\n%s\nlistener l { pool = p certificates = c %s }\n", policies, listener);
	FILE *in = fmemopen(text, strlen(text), "r");
	struct config *c = config_read(in, "t.conf", complain, NULL);

	fclose(in);
	assert_non_null(c);
	return c;
}

static struct in6_addr ip(const char *text)
{
	struct in6_addr out;

	assert_int_equal(net_parse_ip(text, &out), 0);
	return out;
}

/* ---- who is asked ---- */

static void asking(void **state)
{
	static const struct {
		const char *policies, *listener, *ip;
		enum config_client_dane mode;
		int by;
		bool asks;
	} rows[] = {
		{ "", "", "192.0.2.1", CONFIG_CLIENT_OFF, -1, false },
		{ "", "client-dane = observe", "192.0.2.1", CONFIG_CLIENT_OBSERVE, -1, true },
		{ "policy a { }", "policies = {a}", "192.0.2.1", CONFIG_CLIENT_OFF, -1, false },
		{ "policy a { client-dane = off }", "policies = {a}", "192.0.2.1", CONFIG_CLIENT_OFF, 0, false },
		{ "policy a { client-dane = require }", "", "192.0.2.1", CONFIG_CLIENT_OFF, -1, false }, /* not this listener's */
		{ "policy a { networks = {192.0.2.0/24} client-dane = require }", "policies = {a}", "192.0.2.1", CONFIG_CLIENT_REQUIRE, 0, true },
		{ "policy a { networks = {192.0.2.0/24} client-dane = require }", "policies = {a} client-dane = enforce", "192.0.3.1", CONFIG_CLIENT_ENFORCE, -1, true },
		{ "policy a { networks = {\"2001:db8::/32\"} client-dane = require }", "policies = {a}", "2001:db8::1", CONFIG_CLIENT_REQUIRE, 0, true },
		{ "policy a { networks = {192.0.2.7} client-dane = off } policy b { networks = {192.0.2.0/24} client-dane = require }",
		  "policies = {a, b}", "192.0.2.7", CONFIG_CLIENT_OFF, 0, true },
		{ "policy a { networks = {192.0.2.7} } policy b { networks = {192.0.2.0/24} client-dane = require }",
		  "policies = {a, b}", "192.0.2.7", CONFIG_CLIENT_REQUIRE, 1, true }, /* a leaves it to others */
		{ "policy a { client-dane = observe } policy b { client-dane = require }", "policies = {b, a}", "192.0.2.7", CONFIG_CLIENT_REQUIRE, 1, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config *c = config(rows[i].policies, rows[i].listener);
		struct in6_addr from = ip(rows[i].ip);
		struct policy_ask ask = policy_ask(c, &c->listeners[0], &from);

		if (ask.mode != rows[i].mode || ask.by != rows[i].by)
			fail_msg("%s: mode %d by %d", rows[i].policies, ask.mode, ask.by);
		assert_int_equal(policy_asks(c, &c->listeners[0]), rows[i].asks);
		assert_int_equal(policy_requires(c), rows[i].asks && (strstr(rows[i].listener, "require") || strstr(rows[i].policies, "require")));
		config_free(c);
	}
}

/* ---- what a verdict is answered ---- */

static void answers(void **state)
{
	/* a row a mode, a column a verdict: T taken, U unverified, M mismatch, L later */
	static const char *const want[] = {
		/* unasked, verified, none, insecure, mismatch, lookup_failed */
		[CONFIG_CLIENT_OFF] = "TTTTTT",
		[CONFIG_CLIENT_OBSERVE] = "TTTTTT",
		[CONFIG_CLIENT_ENFORCE] = "TTTTMT",
		[CONFIG_CLIENT_REQUIRE] = "UTUUML",
	};
	static const char letters[] = { [POLICY_TAKE] = 'T', [POLICY_UNVERIFIED] = 'U', [POLICY_MISMATCH] = 'M', [POLICY_OTHER_NAME] = 'N',
					[POLICY_LATER] = 'L' };
	struct config *c = config("policy a { names = {mail.a.example, .b.example} client-dane = require }", "policies = {a}");

	for (int mode = CONFIG_CLIENT_OFF; mode <= CONFIG_CLIENT_REQUIRE; mode++)
		for (enum dane_verdict v = 0; v < DANE_VERDICTS; v++) {
			struct policy_ask ask = { (uint8_t)mode, -1 };
			char got = letters[policy_answer(c, ask, v, v == DANE_VERIFIED ? "evil.example" : "", false)];

			if (got != want[mode][v])
				fail_msg("mode %d, %s: %c", mode, dane_verdict_name(v), got);
		}
	/* require, by a policy with names */
	static const struct {
		const char *name;
		enum policy_answer answer;
	} names[] = {
		{ "mail.a.example", POLICY_TAKE }, { "x.b.example", POLICY_TAKE }, { "y.x.b.example", POLICY_TAKE },
		{ "b.example", POLICY_OTHER_NAME }, { "a.example", POLICY_OTHER_NAME }, { "xmail.a.example", POLICY_OTHER_NAME },
		{ "mail.a.example.evil.example", POLICY_OTHER_NAME }, { "xb.example", POLICY_OTHER_NAME },
	};
	struct policy_ask ask = { CONFIG_CLIENT_REQUIRE, 0 };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (policy_answer(c, ask, DANE_VERIFIED, names[i].name, false) != names[i].answer)
			fail_msg("%s", names[i].name);
	/* validation does not work at all */
	assert_int_equal(policy_answer(c, ask, DANE_LOOKUP_FAILED, "", true), POLICY_LATER);
	c->dns.when_broken = CONFIG_RUN_WITHOUT;
	assert_int_equal(policy_answer(c, ask, DANE_LOOKUP_FAILED, "", true), POLICY_TAKE);
	assert_int_equal(policy_answer(c, ask, DANE_LOOKUP_FAILED, "", false), POLICY_LATER); /* one look-up is another matter */
	assert_int_equal(policy_answer(c, ask, DANE_MISMATCH, "", true), POLICY_MISMATCH);
	config_free(c);
}

/* ---- which one fits ---- */

static void choosing(void **state)
{
	static const struct {
		const char *ip;
		enum dane_verdict verdict;
		const char *identity, *want;
	} rows[] = {
		{ "192.0.2.1", DANE_VERIFIED, "mail.a.example", "named" },
		{ "198.51.100.1", DANE_VERIFIED, "mail.a.example", "good" },
		{ "192.0.2.1", DANE_VERIFIED, "mail.c.example", "good" },
		{ "192.0.2.1", DANE_VERIFIED, "x.b.example", "named" },
		{ "192.0.2.1", DANE_MISMATCH, "", "bad" },
		{ "192.0.2.1", DANE_LOOKUP_FAILED, "", "bad" },
		{ "192.0.2.1", DANE_NO_PROOF, "", "-" },
		{ "192.0.2.1", DANE_UNASKED, "", "-" },
		{ "203.0.113.1", DANE_UNASKED, "", "net" },
		{ "203.0.113.1", DANE_NO_PROOF, "", "net" },
		{ "203.0.113.1", DANE_MISMATCH, "", "bad" }, /* the first that fits */
	};
	struct config *c = config("policy named { networks = {192.0.2.0/24} names = {mail.a.example, .b.example} }\n"
				  "policy good { verdicts = {verified} }\npolicy bad { verdicts = {mismatch, lookup_failed} }\n"
				  "policy net { networks = {203.0.113.0/24} }\npolicy other { }", "policies = {named, good, bad, net}");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct in6_addr from = ip(rows[i].ip);
		int got = policy_choose(c, &c->listeners[0], &from, rows[i].verdict, rows[i].identity);

		if (strcmp(got < 0 ? "-" : c->policies[got].name, rows[i].want) != 0)
			fail_msg("row %zu: %s", i, got < 0 ? "-" : c->policies[got].name);
	}
	config_free(c);
}

static void zones(void **state)
{
	struct config *c = config("policy a { names = {mail.a.example, .b.example} }\npolicy any { }", "");
	const char *zone;

	assert_true(policy_names(&c->policies[0], "mail.a.example", &zone));
	assert_string_equal(zone, "");
	assert_true(policy_names(&c->policies[0], "x.b.example", &zone));
	assert_string_equal(zone, "b.example");
	assert_true(policy_names(&c->policies[1], "x.b.example", &zone));
	assert_string_equal(zone, "");
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asking), cmocka_unit_test(answers), cmocka_unit_test(choosing), cmocka_unit_test(zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
