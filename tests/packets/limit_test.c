/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits: rates of sources and networks, the verified lane, sources that hold enough connections, and when
 * flood mode begins and ends.  Rates are set so low that no pause of the machine lets a token come back.
 * kernels: stable
 */
#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"
#include "userspace/sources.h"

static struct front *front;
static const struct front_settings *settings;
static int prog = -1;

static void shut(void)
{
	front_close(front, true);
	front = NULL;
	if (prog >= 0)
		close(prog);
}

/* A new one, of which nobody has asked anything. */
static void reopen(const struct front_settings *set)
{
	shut();
	front = packet_front(set);
	settings = set;
	prog = packet_pin("progs/front");
}

/* One with these settings, others' if they left one: loading takes long.  Tests have addresses and names of their own. */
static void open_with(const struct front_settings *set)
{
	if (!front || settings != set)
		reopen(set);
}

static int run(struct spec s, const char *src)
{
	uint8_t frame[PACKET_MAX];

	s.src = src;
	s.v6 = src && strchr(src, ':');
	return packet_reason(prog, frame, packet_build(&s, frame));
}

static int syn(const char *src)
{
	return run((struct spec){ 0 }, src);
}

static void expect(int reason, int wanted, const char *what)
{
	if (reason != wanted)
		fail_msg("%s: %s, not %s", what, reason_names[reason], reason_names[wanted]);
}

static const struct front_settings limited = {
	.listeners = 1, .workers = 1, .source_per_minute = 1, .source_burst = 3, .network56_factor = 4, .network48_factor = 8,
};

static void test_source(void **state)
{
	static const struct spec disguises[] = {
		{ .vlans = 1 }, { .vlans = 2 }, { .ip_options = 10 }, { .tcp_options = 10 }, { .payload = 500 },
		{ .flags = SYN | ECE | 128 }, { .more_fragments = true, .payload = 4 }, { .sport = 1 }, { .flags = SYN | PSH | URG },
	};
	size_t i;

	open_with(&limited);
	for (i = 0; i < 3; i++)
		expect(syn("198.51.100.7"), REASON_syn_admitted, "within the burst");
	expect(syn("198.51.100.7"), REASON_limit_source, "beyond the burst");
	for (i = 0; i < sizeof(disguises) / sizeof(*disguises); i++)
		expect(run(disguises[i], "198.51.100.7"), REASON_limit_source, "in another shape");
	expect(syn("198.51.100.8"), REASON_syn_admitted, "another source");
	expect(run((struct spec){ .flags = ACK }, "198.51.100.7"), REASON_established, "a connection that stands");
	expect(run((struct spec){ .dport = 443 }, "198.51.100.7"), REASON_not_ours, "another port");
}

static void test_networks(void **state)
{
	static const uint8_t chain[EXT_MAX] = { HOPOPTS, 60, 43, 44, 51, 60 };
	struct spec hidden = { 0 };
	char src[64];
	int i, reason, admitted = 0;

	open_with(&limited);
	for (i = 0; i < 3; i++) {
		snprintf(src, sizeof(src), "2001:db8:5:1::%x", i + 1);
		expect(syn(src), REASON_syn_admitted, "addresses of one /64");
	}
	expect(syn("2001:db8:5:1::99"), REASON_limit_source, "the /64 is one source");
	memcpy(hidden.ext, chain, EXT_MAX);
	expect(run(hidden, "2001:db8:5:1::99"), REASON_limit_source, "behind six extension headers");
	for (i = 2; i < 200 && (reason = (snprintf(src, sizeof(src), "2001:db8:5:%x::1", i), syn(src))) == REASON_syn_admitted; i++)
		admitted++;
	expect(reason, REASON_limit_network, "many /64s of one /56");
	assert_in_range(admitted, 4, 9); /* 9 in a bucket of 4 times the burst, less those the /64 above had */
	for (i = 1; i < 200 && (reason = (snprintf(src, sizeof(src), "2001:db8:5:%x00::1", i), syn(src))) == REASON_syn_admitted; i++)
		admitted++;
	expect(reason, REASON_limit_network, "many /56s of one /48");
	assert_in_range(admitted, 8, 21);
	expect(syn("2001:db8:6::1"), REASON_syn_admitted, "another /48");
}

static void verify_in(const char *ip, const char *name, const char *zone, uint32_t ms)
{
	struct in6_addr addr;

	assert_int_equal(net_parse_ip(ip, &addr), 0);
	assert_int_equal(front_verify_source(front, &addr, name, zone, ms), 0);
}

static void verify(const char *ip, const char *name, uint32_t ms)
{
	verify_in(ip, name, name, ms);
}

static void exhaust(const char *src)
{
	int i;

	for (i = 0; i < 10 && syn(src) == REASON_syn_admitted; i++)
		;
	expect(syn(src), REASON_limit_source, src);
}

static void add_allow(void)
{
	struct prefix4 key = { 32, { 198, 51, 101, 8 } };
	struct rule rule = { .comment = "by hand" };
	int map = packet_pin("maps/allow4");

	assert_int_equal(bpf_map_update_elem(map, &key, &rule, BPF_ANY), 0);
	close(map);
}

static void test_verified(void **state)
{
	struct verified entry;
	struct source_key key = { .ip = { [10] = 0xff, 0xff, 198, 51, 101, 7 } };
	int map;

	open_with(&limited);
	map = packet_pin("maps/verified");
	exhaust("198.51.101.7");
	exhaust("2001:db8:7:1::1");
	verify("198.51.101.7", "mail.example", 3600000);
	verify("2001:db8:7:1::2", "mail.example", 3600000);
	expect(syn("198.51.101.7"), REASON_verified, "verified");
	expect(syn("2001:db8:7:1::1"), REASON_verified, "the /64 of a verified address");
	assert_int_equal(bpf_map_lookup_elem(map, &key, &entry), 0);
	assert_string_equal(entry.name, "mail.example");
	assert_int_equal(entry.hits, 1);
	add_allow();
	expect(syn("198.51.101.8"), REASON_syn_admitted, "allowed, below the limit");
	while (syn("198.51.101.8") == REASON_syn_admitted)
		;
	expect(syn("198.51.101.8"), REASON_allowed_list, "allowed, above the limit");
	entry.until_ns = 1;
	assert_int_equal(bpf_map_update_elem(map, &key, &entry, BPF_ANY), 0);
	expect(syn("198.51.101.7"), REASON_limit_source, "no longer verified");
	verify("2001:db8:7:1::2", "mail.example", 0);
	expect(syn("2001:db8:7:1::1"), REASON_limit_source, "taken out");
	close(map);
}

/* One name cannot fill the lane: its ninth source pushes out its first. */
static void test_per_name(void **state)
{
	char src[64];
	int i;

	open_with(&limited);
	for (i = 0; i <= FRONT_VERIFIED_PER_NAME; i++) {
		snprintf(src, sizeof(src), "198.51.102.%d", 10 + i);
		verify(src, "many.example", 3600000);
		verify(src, "many.example", 3600000); /* again is not one more */
		while (syn(src) == REASON_syn_admitted)
			;
	}
	verify("198.51.102.99", "other.example", 3600000);
	while (syn("198.51.102.99") == REASON_syn_admitted)
		;
	expect(syn("198.51.102.10"), REASON_limit_source, "the first of nine");
	expect(syn("198.51.102.11"), REASON_verified, "the second");
	expect(syn("198.51.102.18"), REASON_verified, "the ninth");
	expect(syn("198.51.102.99"), REASON_verified, "another name's");
}

/* Nor can a zone, which may make any number of names: its seventeenth pushes out its first, with all its sources. */
static void test_per_zone(void **state)
{
	char src[64], name[64];
	int i;

	open_with(&limited);
	for (i = 0; i <= FRONT_VERIFIED_PER_ZONE; i++) {
		snprintf(src, sizeof(src), "198.51.103.%d", 10 + i);
		snprintf(name, sizeof(name), "h%d.zone.example", i);
		verify_in(src, name, "zone.example", 3600000);
		if (i == 0)
			verify_in("198.51.103.200", name, "zone.example", 3600000);
		verify_in(src, name, "zone.example", 3600000); /* again is not one more */
		while (syn(src) == REASON_syn_admitted)
			;
	}
	verify_in("198.51.103.99", "h.other.example", "other.example", 3600000);
	exhaust("198.51.103.10");
	exhaust("198.51.103.200");
	expect(syn("198.51.103.11"), REASON_verified, "the second name");
	expect(syn("198.51.103.26"), REASON_verified, "the seventeenth");
	while (syn("198.51.103.99") == REASON_syn_admitted)
		;
	expect(syn("198.51.103.99"), REASON_verified, "another zone's");
}

static size_t lane_size(void)
{
	int map = packet_pin("maps/verified");
	struct source_key key;
	size_t n = 0;

	for (void *from = NULL; bpf_map_get_next_key(map, from, &key) == 0; from = &key)
		n++;
	close(map);
	return n;
}

/* Zones by the thousand push out each other, and what they had entered goes with them: no entry is without a row. */
static void test_many_zones(void **state)
{
	char src[64], name[64];

	reopen(&limited);
	for (int i = 0; i < 3 * FRONT_VERIFIED_ZONES; i++) {
		snprintf(src, sizeof(src), "10.%d.%d.7", i / 256, i % 256);
		snprintf(name, sizeof(name), "z%d.example", i);
		verify_in(src, name, name, 3600000);
	}
	assert_in_range(lane_size(), FRONT_VERIFIED_ZONES / 2, FRONT_VERIFIED_ZONES);
	while (syn(src) == REASON_syn_admitted)
		;
	expect(syn(src), REASON_verified, "the last one");
}

/* Of one zone any number of names, in turn with others: still no more than it may have. */
static void test_zone_in_turn(void **state)
{
	char src[64], name[64];

	reopen(&limited);
	for (int i = 0; i < 1000; i++) {
		snprintf(src, sizeof(src), "10.%d.%d.7", i / 256, i % 256);
		snprintf(name, sizeof(name), "h%d.many.example", i);
		verify_in(src, name, "many.example", 3600000);
		snprintf(src, sizeof(src), "10.8.%d.7", i % 8);
		snprintf(name, sizeof(name), "z%d.example", i % 8);
		verify_in(src, name, name, 3600000);
	}
	assert_int_equal(lane_size(), FRONT_VERIFIED_PER_ZONE + 8);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Which of the addresses 0, 1, … of a network are in the lane, in bits. */
static uint32_t in_lane(const char *net)
{
	int map = packet_pin("maps/verified");
	struct verified entry;
	struct source_key key;
	struct in6_addr ip;
	uint32_t bits = 0;
	char src[64];

	for (int i = 0; i < 32; i++) {
		snprintf(src, sizeof(src), "%s.%d", net, i);
		assert_int_equal(net_parse_ip(src, &ip), 0);
		memcpy(key.ip, &ip, sizeof(key.ip));
		bits |= bpf_map_lookup_elem(map, &key, &entry) ? 0 : 1u << i;
	}
	close(map);
	return bits;
}

static void put_by_hand(const char *ip, const char *name, uint64_t until_ns)
{
	struct verified entry = { .until_ns = until_ns };
	int map = packet_pin("maps/verified");
	struct source_key key;
	struct in6_addr addr;

	assert_int_equal(net_parse_ip(ip, &addr), 0);
	memcpy(key.ip, &addr, sizeof(key.ip));
	snprintf(entry.name, sizeof(entry.name), "%s", name);
	assert_int_equal(bpf_map_update_elem(map, &key, &entry, BPF_ANY), 0);
	close(map);
}

/* As for policy: names below zone.example share its places. */
static const char *shared_zone(const void *ctx, const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && !strcmp(dot, ctx) ? dot + 1 : name;
}

static void restart(const struct front_settings *set)
{
	front_close(front, false);
	front = packet_front(set);
}

/* The bounds hold over restarts: what is in the lane keeps its places, the oldest go first. */
static void test_restarts(void **state)
{
	struct front_settings set = limited;
	char src[64], name[80];
	int i;

	set.zone_of = shared_zone;
	set.zone_ctx = ".zone.example";
	reopen(&limited);
	for (i = 0; i < FRONT_VERIFIED_PER_NAME; i++) {
		snprintf(src, sizeof(src), "198.51.104.%d", i);
		verify(src, "many.example", 3600000 + (uint32_t)i);
	}
	restart(&set);
	assert_int_equal(in_lane("198.51.104"), 0xff);
	for (; i < FRONT_VERIFIED_PER_NAME + 3; i++) {
		snprintf(src, sizeof(src), "198.51.104.%d", i);
		verify(src, "many.example", 3600000 + (uint32_t)i);
	}
	assert_int_equal(in_lane("198.51.104"), 0x7f8);
	restart(&set);
	for (; i < 2 * FRONT_VERIFIED_PER_NAME; i++) {
		snprintf(src, sizeof(src), "198.51.104.%d", i);
		verify(src, "many.example", 3600000 + (uint32_t)i);
	}
	assert_int_equal(in_lane("198.51.104"), 0xff00);

	for (i = 0; i < FRONT_VERIFIED_PER_ZONE; i++) {
		snprintf(src, sizeof(src), "198.51.105.%d", i);
		snprintf(name, sizeof(name), "h%d.zone.example", i);
		verify_in(src, name, "zone.example", 3600000 + (uint32_t)i);
	}
	restart(&set);
	assert_int_equal(in_lane("198.51.105"), 0xffff);
	verify_in("198.51.105.16", "h16.zone.example", "zone.example", 3700000);
	assert_int_equal(in_lane("198.51.105"), 0x1fffe);
}

/* What no run of ours could have left within the bounds goes at the next start; what an operator put there does not. */
static void test_restart_cleans(void **state)
{
	char src[64], name[64];
	uint64_t now;
	int i;

	reopen(&limited);
	now = now_ns();
	memset(name, 'a', sizeof(name));
	memcpy(name + 56, ".exampl", sizeof(".exampl"));
	for (i = 0; i < 12; i++) {
		snprintf(src, sizeof(src), "198.51.106.%d", i);
		put_by_hand(src, "many.example", now + 3600000000000ull + (uint64_t)(12 - i)); /* twelve of one name */
		snprintf(src, sizeof(src), "198.51.107.%d", i);
		put_by_hand(src, "a partner", now + 3600000000000ull);
		snprintf(src, sizeof(src), "198.51.108.%d", i);
		put_by_hand(src, "mail.example", UINT64_MAX);
	}
	put_by_hand("198.51.106.20", "over.example", now);
	put_by_hand("198.51.106.21", name, now + 3600000000000ull); /* cut off: nobody can tell whose it is */
	restart(&limited);
	assert_int_equal(in_lane("198.51.106"), 0xff);
	assert_int_equal(in_lane("198.51.107"), 0xfff);
	assert_int_equal(in_lane("198.51.108"), 0xfff);
}

static void test_blocked(void **state)
{
	struct in6_addr v4, v6;

	open_with(NULL);
	net_parse_ip("198.51.100.7", &v4);
	net_parse_ip("2001:db8:5:1::5", &v6);
	expect(syn("198.51.100.7"), REASON_syn_admitted, "before");
	assert_int_equal(front_block_source(front, &v4, 3600000), 0);
	assert_int_equal(front_block_source(front, &v6, 3600000), 0);
	expect(syn("198.51.100.7"), REASON_limit_connections, "blocked");
	expect(syn("2001:db8:5:1::6"), REASON_limit_connections, "blocked by its /64");
	expect(run((struct spec){ .flags = ACK }, "198.51.100.7"), REASON_established, "its connections");
	verify("198.51.100.7", "mail.example", 3600000);
	expect(syn("198.51.100.7"), REASON_verified, "verified beats blocked");
	assert_int_equal(front_block_source(front, &v6, 0), 0);
	expect(syn("2001:db8:5:1::6"), REASON_syn_admitted, "released");
}

/* The daemon's count, told to the front: at the limit new connections are dropped, below it let in again. */
static void test_sources(void **state)
{
	struct in6_addr ip, friend;
	struct sources *sources;

	open_with(NULL);
	net_parse_ip("198.51.101.7", &ip);
	net_parse_ip("198.51.101.8", &friend);
	sources = sources_new(2, 100, front);
	assert_true(sources_take(sources, &ip));
	expect(syn("198.51.101.7"), REASON_syn_admitted, "one of two");
	assert_true(sources_take(sources, &ip));
	expect(syn("198.51.101.7"), REASON_limit_connections, "two of two");
	assert_false(sources_take(sources, &ip));
	sources_release(sources, &ip);
	expect(syn("198.51.101.7"), REASON_syn_admitted, "one of two again");
	sources_release(sources, &ip);
	assert_false(front_skips_limits(front, &friend));
	add_allow();
	assert_true(front_skips_limits(front, &friend));
	assert_false(front_skips_limits(front, &ip));
	verify("198.51.101.7", "friend.example", 3600000);
	assert_true(front_skips_limits(front, &ip));
	for (int i = 0; i < 5; i++)
		assert_true(sources_take(sources, &friend));
	for (int i = 0; i < 5; i++)
		sources_release(sources, &friend);
	sources_free(sources);
}

/* Ends a window of one second (or a little more, on a slow day) in which so many SYNs had come; in flood after it? */
static bool flood_after(uint64_t syns, bool before)
{
	struct flood state = { .until_ns = before ? now_ns() + 3600000000000ull : 0, .window_start_ns = now_ns() - 1000000000,
			       .window_syns = syns };
	uint64_t was = state.until_ns;
	int map = packet_pin("maps/flood"), i;
	uint32_t zero = 0;
	char src[64];

	assert_int_equal(bpf_map_update_elem(map, &zero, &state, BPF_ANY), 0);
	for (i = 0; i < 3 * FLOOD_LUMP; i++) { /* whichever CPU they run on */
		snprintf(src, sizeof(src), "203.0.113.%d", i + 1);
		syn(src);
	}
	assert_int_equal(bpf_map_lookup_elem(map, &zero, &state), 0);
	close(map);
	return state.until_ns != was;
}

static void test_flood_begins(void **state)
{
	static const struct front_settings set = { .listeners = 1, .workers = 1, .flood_enter = 10000, .flood_leave = 1000 };
	struct spec later = { .frag_offset = 50 }, icmp = { .protocol = 1 };

	open_with(&set);
	expect(run(later, NULL), REASON_fragment, "a fragment in good times");
	assert_false(flood_after(5000, false));
	expect(run((struct spec){ .flags = ACK }, NULL), REASON_established, "below the upper threshold");
	assert_true(flood_after(10000000, false));
	expect(run((struct spec){ .flags = ACK }, NULL), REASON_flood_segment, "in flood");
	expect(run((struct spec){ .flags = RST }, NULL), REASON_flood_segment, "in flood");
	expect(run(later, NULL), REASON_flood_fragment, "in flood");
	expect(run(icmp, NULL), REASON_icmp, "never dropped");
	expect(syn("198.51.100.7"), REASON_syn_admitted, "new connections in flood");
	assert_true(flood_after(6000, true)); /* goes on between the thresholds */
	assert_false(flood_after(100, true)); /* and is not drawn out below the lower */
}

static int teardown(void **state)
{
	shut();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source),	   cmocka_unit_test(test_networks),     cmocka_unit_test(test_verified),
		cmocka_unit_test(test_per_name),   cmocka_unit_test(test_per_zone),     cmocka_unit_test(test_many_zones),
		cmocka_unit_test(test_zone_in_turn), cmocka_unit_test(test_restarts),   cmocka_unit_test(test_restart_cleans),
		cmocka_unit_test(test_blocked),	   cmocka_unit_test(test_sources),
		cmocka_unit_test(test_flood_begins),
	};

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, teardown);
}
