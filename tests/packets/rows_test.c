/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at the front's maps while they change: every row that is there all the time is shown once and none twice, in
 * hashes, in tries, whatever is taken out or put in under the eyes of whoever looks, and the walk ends.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"
#include "userspace/front_view.h"

enum { ROWS = 5000 };

static struct front *front;
static struct front_view *view;

/* What happens to the row that is looked at. */
enum change { KEEP, TAKE_ODD, TAKE_EVEN, TAKE_ALL, PUT_AGAIN };
static const enum change changes[] = { KEEP, TAKE_ODD, TAKE_EVEN, TAKE_ALL, PUT_AGAIN };

struct look {
	int map;
	enum change change;
	unsigned visits;
	uint8_t seen[ROWS];
};

/* The row of number i is 10.0.0.0 + i, in all maps. */
static unsigned number_of(const struct in6_addr *ip)
{
	return (unsigned)ip->s6_addr[14] << 8 | ip->s6_addr[15];
}

static void source_key(unsigned i, uint8_t ip[16])
{
	static const uint8_t ten[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };

	memcpy(ip, ten, 16);
	ip[14] = (uint8_t)(i >> 8);
	ip[15] = (uint8_t)i;
}

static void meet(struct look *look, unsigned i, const void *key, const void *value)
{
	enum change c = look->change;

	assert_in_range(i, 0, ROWS - 1);
	assert_int_equal(look->seen[i], 0);
	look->seen[i] = 1;
	look->visits++;
	if (c == TAKE_ALL || c == PUT_AGAIN || (c == TAKE_ODD && look->visits % 2) || (c == TAKE_EVEN && look->visits % 2 == 0))
		assert_int_equal(bpf_map_delete_elem(look->map, key), 0);
	if (c == PUT_AGAIN)
		assert_int_equal(bpf_map_update_elem(look->map, key, value, BPF_NOEXIST), 0);
}

static void meet_source(void *ctx, const struct front_lane_row *row)
{
	static const struct verified again;
	struct source_key key;

	memcpy(key.ip, &row->source, 16);
	meet(ctx, number_of(&row->source), &key, &again);
}

static void meet_rule(void *ctx, const struct front_rule *rule)
{
	struct prefix4 key = { .prefixlen = rule->prefix.len - 96u };
	static const struct rule again;

	memcpy(key.ip, &rule->prefix.ip.s6_addr[12], 4);
	meet(ctx, number_of(&rule->prefix.ip), &key, &again);
}

static void fill_sources(int map, bool named)
{
	struct verified entry = { .until_ns = UINT64_MAX };
	struct source_key key;

	if (named)
		strcpy(entry.name, "mail.example");
	for (unsigned i = 0; i < ROWS; i++) {
		source_key(i, key.ip);
		assert_int_equal(bpf_map_update_elem(map, &key, &entry, BPF_ANY), 0);
	}
}

/* Of all lengths from /20 on that keep the numbers apart, so that prefixes stand within prefixes. */
static void fill_rules(int map)
{
	struct rule rule = { .hits = 1 };

	for (unsigned i = 0; i < ROWS; i++) {
		struct prefix4 key = { .ip = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i } };

		key.prefixlen = i ? 32u - (unsigned)__builtin_ctz(i) : 20;
		assert_int_equal(bpf_map_update_elem(map, &key, &rule, BPF_ANY), 0);
	}
}

static void expect_all(const struct look *look, int code, const char *what)
{
	if (code || look->visits != ROWS)
		fail_msg("%s, change %d: code %d, %u of %d rows", what, look->change, code, look->visits, ROWS);
}

static void test_sources(void **state)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct look look = { .map = packet_pin("maps/verified"), .change = changes[i] };

		fill_sources(look.map, true);
		expect_all(&look, front_view_verified(view, meet_source, &look), "verified");
		close(look.map);
		look = (struct look){ .map = packet_pin("maps/blocked"), .change = changes[i] };
		fill_sources(look.map, false);
		expect_all(&look, front_view_blocked(view, meet_source, &look), "blocked");
		close(look.map);
	}
}

static void test_rules(void **state)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct look look = { .map = packet_pin("maps/deny4"), .change = changes[i] };

		fill_rules(look.map);
		expect_all(&look, front_view_rules(view, FRONT_DENY, meet_rule, &look), "deny4");
		close(look.map);
	}
}

static void sum_used(void *ctx, const struct front_map_row *row)
{
	if (!strcmp(row->name, "blocked"))
		*(int64_t *)ctx = row->used;
}

/* A full LRU map turns rows out as new ones come: what is shown is what there is, no more. */
static void test_full(void **state)
{
	int map = packet_pin("maps/blocked");
	struct blocked entry = { .until_ns = UINT64_MAX };
	struct source_key key = { { 0x20, 1 } };
	int64_t used = 0;

	for (uint32_t i = 0; i < 3 * FRONT_BLOCKED_MAX; i++) {
		memcpy(key.ip + 4, &i, sizeof(i));
		assert_int_equal(bpf_map_update_elem(map, &key, &entry, BPF_ANY), 0);
	}
	close(map);
	assert_int_equal(front_view_maps(view, sum_used, &used), 0);
	assert_in_range(used, FRONT_BLOCKED_MAX / 2, FRONT_BLOCKED_MAX);
}

static int put_rule4(int map, uint32_t number, uint32_t len, uint64_t until_ns)
{
	struct prefix4 key = { len, { 10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number } };
	struct rule rule = { .until_ns = until_ns, .prefixlen = until_ns ? len : 0 };

	return bpf_map_update_elem(map, &key, &rule, BPF_ANY) ? -errno : 0;
}

/* Rules that are over, inside of others and around them, in a list that is full of such: all go, the others stay. */
static void test_over(void **state)
{
	int deny = packet_pin("maps/deny4"), allow = packet_pin("maps/allow6");
	struct prefix6 key6 = { .prefixlen = 48 };
	struct rule rule6 = { .until_ns = 1, .prefixlen = 48 };
	struct look look = { .map = deny };

	assert_int_equal(front_sweep(front), 0);
	for (uint32_t i = 0; i < FRONT_RULES_MAX - 3; i++)
		assert_int_equal(put_rule4(deny, 0x10000 + i, 32, 1), 0);
	assert_int_equal(put_rule4(deny, 0, 8, 1), 0);
	assert_int_equal(put_rule4(deny, 1, 32, 0), 0);
	assert_int_equal(put_rule4(deny, 2, 32, UINT64_MAX), 0);
	assert_int_equal(put_rule4(deny, 3, 32, 0), -ENOSPC);
	assert_int_equal(bpf_map_update_elem(allow, &key6, &rule6, BPF_ANY), 0);
	assert_int_equal(front_sweep(front), FRONT_RULES_MAX - 3 + 1 + 1);
	assert_int_equal(front_sweep(front), 0);
	assert_int_equal(put_rule4(deny, 3, 32, 0), 0);
	assert_int_equal(front_view_rules(view, FRONT_DENY, meet_rule, &look), 0);
	assert_int_equal(look.visits, 3);
	assert_int_equal(look.seen[1] + look.seen[2] + look.seen[3], 3);
	close(deny);
	close(allow);
}

static int empty(void **state)
{
	struct look look = { .map = packet_pin("maps/deny4"), .change = TAKE_ALL };

	assert_int_equal(front_view_rules(view, FRONT_DENY, meet_rule, &look), 0);
	close(look.map);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test_teardown(test_rules, empty),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_over),
	};
	char err[256];
	int failed;

	if (!packet_namespace()) {
		printf("1..0 # SKIP not root\n");
		return 0;
	}
	front = packet_front(NULL);
	if (front_view_open(FRONT_PIN_DIR, &view, err, sizeof(err)))
		return fputs(err, stderr), 1;
	failed = cmocka_run_group_tests_name("rows", tests, NULL, NULL);
	front_view_close(view);
	front_close(front, true);
	return failed;
}
