/* SPDX-License-Identifier: BSD-2-Clause */
/* Histories of names: what counts as a day, who goes when there is no room, what survives a restart; guessed zones. */
#include "userspace/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void days(void **state)
{
	struct lane_history *h = lane_history_new(64);
	struct lane_record r;

	for (int i = 0; i < 5; i++)
		lane_history_note(h, "a.example", 100);
	lane_history_note(h, "a.example", 101);
	lane_history_note(h, "a.example", 99); /* a clock that was set back */
	r = lane_history_get(h, "a.example");
	assert_int_equal(r.sessions, 7);
	assert_int_equal(r.days, 2);
	assert_int_equal(r.last_day, 101);
	assert_int_equal(lane_history_get(h, "b.example").sessions, 0);
	/* too long ago to count */
	lane_history_note(h, "a.example", 101 + LANE_FORGET_DAYS + 1);
	r = lane_history_get(h, "a.example");
	assert_int_equal(r.sessions, 1);
	assert_int_equal(r.days, 1);
	lane_history_free(h);
}

static void bounded(void **state)
{
	struct lane_history *h = lane_history_new(64);
	char name[40];

	for (int i = 0; i < 50; i++)
		lane_history_note(h, "steady.example", 100);
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "h%d.made-up.example", i);
		lane_history_note(h, name, 100);
		assert_true(lane_history_count(h) <= 64);
	}
	assert_int_equal(lane_history_get(h, "steady.example").sessions, 50);
	/* once it has been away for long it is no better than others */
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "h%d.later.example", i);
		lane_history_note(h, name, 100 + LANE_FORGET_DAYS + 1);
	}
	assert_int_equal(lane_history_get(h, "steady.example").sessions, 0);
	lane_history_free(h);
}

static void kept(void **state)
{
	struct lane_history *h = lane_history_new(64), *again = lane_history_new(64);
	char text[] = "danelaw clients 1\nok.example 3 2 100\nOK2.Example. 3 2 100\nbad name 3 2 100\nx..y 1 1 1\nshort.example 3\n"
		      "zero.example 0 0 0\nodd.example 2 3 100\ntail.example 3 2 100 7\n", *out;
	size_t len;

	lane_history_note(h, "a.example", 100);
	lane_history_note(h, "a.example", 101);
	FILE *f = open_memstream(&out, &len);

	assert_true(lane_history_write(h, f));
	fclose(f);
	f = fmemopen(out, len, "r");
	assert_true(lane_history_read(again, f));
	fclose(f);
	free(out);
	assert_int_equal(lane_history_count(again), 1);
	assert_int_equal(lane_history_get(again, "a.example").sessions, 2);
	assert_int_equal(lane_history_get(again, "a.example").days, 2);
	assert_int_equal(lane_history_get(again, "a.example").last_day, 101);

	f = fmemopen(text, strlen(text), "r");
	assert_true(lane_history_read(again, f));
	fclose(f);
	assert_int_equal(lane_history_count(again), 3); /* ok and ok2 came, nothing that is bad */
	assert_int_equal(lane_history_get(again, "ok2.example").sessions, 3);
	f = fmemopen((char *)"something else\na.example 9 9 9\n", 30, "r");
	assert_false(lane_history_read(again, f));
	fclose(f);
	lane_history_free(h);
	lane_history_free(again);
}

/* By the object: what is earned, and a file that comes back. */
static void earned(void **state)
{
	char dir[] = "/tmp/lane-test-XXXXXX", path[80];
	struct config_policy p = { .lane_ms = 1000, .lane_after = 2, .lane_days = 2 };
	struct config cfg = { .policies = &p, .policy_count = 1 };
	struct in6_addr ip = { 0 };
	struct lane *l;

	assert_non_null(mkdtemp(dir));
	cfg.state_dir = dir;
	assert_true(lane_wanted(&cfg));
	l = lane_new(&cfg, NULL);
	lane_note_clean(l, "a.example", 100);
	lane_note_clean(l, "a.example", 101);
	assert_false(lane_grant(l, &p, &ip, "a.example")); /* there is no front */
	lane_free(l);
	snprintf(path, sizeof(path), "%s/clients", dir);
	FILE *in = fopen(path, "r");
	char line[100];

	assert_non_null(in);
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(fgets(line, sizeof(line), in));
	assert_string_equal(line, "a.example 2 2 101\n");
	fclose(in);
	l = lane_new(&cfg, NULL); /* nothing has changed: not written again */
	unlink(path);
	lane_free(l);
	assert_int_equal(access(path, F_OK), -1);
	rmdir(dir);
	p.lane_ms = 0;
	assert_false(lane_wanted(&cfg));
}

static void zones(void **state)
{
	static const char *const rows[][2] = {
		{ "mail.partner.example", "partner.example" }, { "a.b.c.partner.example", "partner.example" }, { "partner.example", "partner.example" },
		{ "example", "example" }, { "mail.partner.co.uk", "partner.co.uk" }, { "partner.co.uk", "partner.co.uk" }, { "co.uk", "co.uk" },
		{ "mx.partner.com.br", "partner.com.br" }, { "mail.partner.de", "partner.de" }, { "mail.a-b.de", "a-b.de" },
		{ "_smtp-client.x.example", "x.example" }, { "h1.abc.de", "abc.de" }, { "mail.co.example", "co.example" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(lane_zone(rows[i][0]), rows[i][1]);
}

/* Of a name that is in the lane already: by the first policy that would let it in. */
static void zones_by_policy(void **state)
{
	char *listed[] = { (char *)".partner.example", (char *)"mx.other.example" };
	struct config_policy p[] = { { .name_count = 0 }, { .lane_ms = 1000, .names = listed, .name_count = 2 }, { .lane_ms = 1000 } };
	struct config cfg = { .policies = p, .policy_count = 3 };

	assert_string_equal(lane_zone_of(&cfg, "a.b.partner.example"), "partner.example");
	assert_string_equal(lane_zone_of(&cfg, "mx.other.example"), "mx.other.example");
	assert_string_equal(lane_zone_of(&cfg, "mx2.other.example"), "other.example");
	cfg.policy_count = 0;
	assert_string_equal(lane_zone_of(&cfg, "mx.other.example"), "other.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days), cmocka_unit_test(bounded), cmocka_unit_test(kept), cmocka_unit_test(earned), cmocka_unit_test(zones),
		cmocka_unit_test(zones_by_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
