/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bulk lists: what they say of IPv6 beside what a plain loop says, where they end, and what a reload may not do to those
 * who use the front meanwhile.  (IPv4: front_test.c.)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

static struct front *front;
static int prog;

static int setup(void **state)
{
	front = packet_front(NULL);
	prog = packet_pin("progs/front");
	return 0;
}

static int teardown(void **state)
{
	close(prog);
	front_close(front, true);
	return 0;
}

static char err[512]; /* of the last load */

static int load(const char *deny_text, const char *allow_text)
{
	static const char *const names[] = { "/etc/danelaw/drop.txt", "/etc/danelaw/allow.txt" };
	const char *texts[] = { deny_text, allow_text };
	struct front_list_files lists[2];
	FILE *files[2];
	int i, code;

	for (i = 0; i < 2; i++) {
		files[i] = fmemopen((void *)(uintptr_t)texts[i], strlen(texts[i]), "r");
		assert_non_null(files[i]);
		lists[i] = (struct front_list_files){ .files = &files[i], .names = &names[i], .count = 1 };
	}
	code = front_load_lists(front, &lists[0], &lists[1], err, sizeof(err));
	for (i = 0; i < 2; i++)
		fclose(files[i]);
	return code;
}

static int reason_of(const char *source)
{
	struct spec s = { .src = source, .v6 = strchr(source, ':') != NULL };
	uint8_t frame[PACKET_MAX];

	return packet_reason(prog, frame, packet_build(&s, frame));
}

static struct front_config config(void)
{
	int map = packet_pin("maps/front_config");
	struct front_config config;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &zero, &config), 0);
	close(map);
	return config;
}

/* ---- IPv6 ---- */

enum { PREFIXES_MAX = 1000, ROOTS = 5 };

struct listed_prefix {
	struct in6_addr ip;
	unsigned len;
	uint64_t hits;
};

static uint32_t random32(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed ^ *seed >> 15;
}

static bool bit_of(const struct in6_addr *ip, unsigned i)
{
	return ip->s6_addr[i / 8] >> (7 - i % 8) & 1;
}

static void flip(struct in6_addr *ip, unsigned i)
{
	ip->s6_addr[i / 8] ^= (uint8_t)(128 >> i % 8);
}

/* Bits from `from` on: made zero, or by chance. */
static void set_tail(struct in6_addr *ip, unsigned from, uint32_t *seed)
{
	for (unsigned i = from; i < 128; i++)
		if (bit_of(ip, i) != (seed && random32(seed) & 1 << 20))
			flip(ip, i);
}

static bool covers(const struct listed_prefix *p, const struct in6_addr *ip)
{
	for (unsigned i = 0; i < p->len; i++)
		if (bit_of(&p->ip, i) != bit_of(ip, i))
			return false;
	return true;
}

/* The longest, and of those that are the same the last. */
static struct listed_prefix *find(struct listed_prefix *list, unsigned count, const struct in6_addr *ip)
{
	struct listed_prefix *found = NULL;

	for (unsigned i = 0; i < count; i++)
		if (covers(&list[i], ip) && (!found || list[i].len >= found->len))
			found = &list[i];
	return found;
}

static const struct shape {
	const char *name;
	unsigned count, min, max, every; /* lengths: from, to, in steps of */
	bool crowded;			 /* nearly all of them along the way to a few addresses, one in another */
} shapes[] = {
	{ "none", 0, 1, 1, 1, false },
	{ "one", 1, 48, 48, 1, false },
	{ "all of one length", 500, 64, 64, 1, false },
	{ "single addresses side by side", 500, 128, 128, 1, true },
	{ "as they are", 500, 32, 128, 16, true },
	{ "two lengths", 300, 48, 64, 16, true },
	{ "every length", 1000, 8, 128, 1, true },
	{ "every length, far apart", 1000, 24, 128, 1, false },
	{ "everything", 200, 0, 128, 1, true },
	{ "around bit 64", 300, 62, 66, 1, true },
};

static void make_list(const struct shape *shape, struct listed_prefix *list, struct in6_addr *roots, uint32_t *seed)
{
	unsigned i;

	for (i = 0; i < ROOTS; i++) {
		roots[i] = (struct in6_addr){ .s6_addr = { 0x2a, (uint8_t)i } };
		set_tail(&roots[i], 20, seed);
	}
	for (i = 0; i < shape->count; i++) {
		list[i] = (struct listed_prefix){ roots[i % ROOTS], shape->min + random32(seed) % ((shape->max - shape->min) / shape->every + 1) * shape->every, 0 };
		set_tail(&list[i].ip, shape->crowded ? 16 + random32(seed) % 112 : 16, seed);
		if (shape->crowded && list[i].len > 100 && i % 2)
			set_tail(&list[i].ip, 118, seed); /* side by side */
		set_tail(&list[i].ip, list[i].len, NULL);
	}
}

static char *list_text(const struct listed_prefix *list, unsigned count)
{
	char *text, ip[INET6_ADDRSTRLEN];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "# nothing\n");
	for (unsigned i = 0; i < count; i++)
		fprintf(f, "%s/%u ; rule %u\n", inet_ntop(AF_INET6, &list[i].ip, ip, sizeof(ip)), list[i].len, i);
	fclose(f);
	return text;
}

/* Addresses inside, at either edge and right beside what is listed. */
static void ask(const struct shape *shape, struct listed_prefix *list, const struct in6_addr *roots, uint32_t *seed)
{
	char text[INET6_ADDRSTRLEN];
	struct listed_prefix *denied;
	int reason;

	for (unsigned i = 0; i < 3000; i++) {
		const struct listed_prefix *near = shape->count ? &list[random32(seed) % shape->count] : NULL;
		struct in6_addr ip = near ? near->ip : roots[i % ROOTS];

		if (near && i % 4)
			set_tail(&ip, near->len, seed);
		if (near && i % 4 == 2 && near->len)
			flip(&ip, near->len - 1 - random32(seed) % (near->len < 16 ? 1 : 8));
		if (i % 4 == 3)
			flip(&ip, random32(seed) % 128);
		denied = find(list, shape->count, &ip);
		reason = reason_of(inet_ntop(AF_INET6, &ip, text, sizeof(text)));
		if (reason != (denied ? REASON_denied_list : REASON_syn_admitted))
			fail_msg("%s: %s: %s, should be %s", shape->name, text, reason_names[reason], denied ? "denied" : "admitted");
		if (denied)
			denied->hits++;
	}
}

static void check_hits(const struct shape *shape, const struct listed_prefix *list)
{
	int map = packet_pin("maps/list6_rule");
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info), place, i;
	struct listed6 rule;
	char comment[32];

	assert_int_equal(bpf_obj_get_info_by_fd(map, &info, &size), 0);
	place = config().deny_list * info.max_entries / 2;
	for (i = 0; i < shape->count; i++, place++) {
		assert_int_equal(bpf_map_lookup_elem(map, &place, &rule), 0);
		assert_memory_equal(rule.ip, &list[i].ip, 16);
		assert_int_equal(rule.prefixlen, list[i].len);
		assert_int_equal(rule.file, 1);
		snprintf(comment, sizeof(comment), "rule %u", i);
		assert_string_equal(rule.comment, comment);
		if (rule.hits != list[i].hits)
			fail_msg("%s: rule %u: %llu hits, should be %llu", shape->name, i, (unsigned long long)rule.hits,
				 (unsigned long long)list[i].hits);
	}
	assert_int_equal(bpf_map_lookup_elem(map, &place, &rule), 0);
	assert_int_equal(rule.file, 0);
	close(map);
}

/* Lists of many shapes, each hit counted where the longest prefix is; both sets are filled by turns. */
static void test_oracle6(void **state)
{
	static struct listed_prefix list[PREFIXES_MAX];
	struct in6_addr roots[ROOTS];
	uint32_t seed = 11;
	char *text;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		make_list(&shapes[i], list, roots, &seed);
		text = list_text(list, shapes[i].count);
		if (load(text, "# none\n"))
			fail_msg("%s: %s", shapes[i].name, err);
		free(text);
		ask(&shapes[i], list, roots, &seed);
		check_hits(&shapes[i], list);
	}
}

/* Prefixes whose bits grow by as much as their length falls: a hash that adds the two up could never part them. */
static void test_hash6(void **state)
{
	if (load("2001:db8:0:66:8200::/71\n2001:db8:0:67::/72\n2001:db8:0:66:8000::/73\n", "# none\n"))
		fail_msg("%s", err);
	assert_int_equal(reason_of("2001:db8:0:66:83ff::"), REASON_denied_list);
	assert_int_equal(reason_of("2001:db8:0:66:807f::"), REASON_denied_list);
	assert_int_equal(reason_of("2001:db8:0:66:8080::"), REASON_syn_admitted);
}

/* What is entered by hand holds beside what is listed, and outlives it. */
static void test_by_hand6(void **state)
{
	struct prefix6 key = { 48, { 0x20, 0x01, 0x0d, 0xb8, 0x0b, 0xad } };
	struct rule rule = { .comment = "by hand" };
	int map = packet_pin("maps/deny6");

	assert_int_equal(load("2001:db8:66::/48\n", "2001:db8:bad:1::/64\n"), 0);
	assert_int_equal(reason_of("2001:db8:bad::1"), REASON_syn_admitted);
	assert_int_equal(bpf_map_update_elem(map, &key, &rule, BPF_ANY), 0);
	assert_int_equal(reason_of("2001:db8:66::1"), REASON_denied_list);
	assert_int_equal(reason_of("2001:db8:bad::1"), REASON_denied_list);
	assert_int_equal(reason_of("2001:db8:bad:1::1"), REASON_allowed_list);
	assert_int_equal(load("# none\n", "# none\n"), 0);
	assert_int_equal(reason_of("2001:db8:66::1"), REASON_syn_admitted);
	assert_int_equal(reason_of("2001:db8:bad::1"), REASON_denied_list);
	assert_int_equal(bpf_map_delete_elem(map, &key), 0);
	close(map);
}

/* More than there is room for: said so, and the old list stays. */
static void test_full6(void **state)
{
	struct front_settings small = { .listeners = 1, .workers = 1, .list_entries = 100 };
	struct listed_prefix list[101] = { 0 };
	char *text;

	teardown(NULL);
	front = packet_front(&small);
	prog = packet_pin("progs/front");
	assert_int_equal(load("2001:db8:66::/48\n", "# none\n"), 0);
	for (unsigned i = 0; i < 101; i++)
		list[i] = (struct listed_prefix){ { .s6_addr = { 0x2a, (uint8_t)i, 1 } }, 64, 0 };
	text = list_text(list, 101);
	assert_int_equal(load(text, "# none\n"), -E2BIG);
	assert_non_null(strstr(err, "more than 100 IPv6 prefixes"));
	free(text);
	assert_int_equal(reason_of("2001:db8:66::1"), REASON_denied_list);
	assert_int_equal(reason_of("2a01:100::1"), REASON_syn_admitted);
	for (unsigned i = 0; i < 101; i++)
		list[i].len = i < 30 ? 24 + i : 128;
	text = list_text(list, 100);
	assert_int_equal(load(text, "# none\n"), -E2BIG);
	assert_non_null(strstr(err, "places; there is room for 200 (list-entries)"));
	free(text);
	assert_int_equal(reason_of("2001:db8:66::1"), REASON_denied_list);
	text = list_text(list + 50, 50);
	assert_int_equal(load(text, "# none\n"), 0);
	free(text);
	assert_int_equal(reason_of("2001:db8:66::1"), REASON_syn_admitted);
	assert_int_equal(reason_of("2a31:100::"), REASON_syn_admitted);
	assert_int_equal(reason_of("2a32:100::"), REASON_denied_list);
	teardown(NULL);
	setup(NULL);
}

/* ---- others, while a set is filled ---- */

enum { STUCK_S = 60 }; /* a thread that is not back by then waits for the fill, which waits for it */
static bool armed, stuck, marked;

static void *mark_sources(void *arg)
{
	struct in6_addr good, bad;

	net_parse_ip("192.0.2.81", &good);
	net_parse_ip("192.0.2.82", &bad);
	marked = !front_verify_source(front, &good, "mx.example", "example", 600000) && !front_block_source(front, &bad, 600000);
	return NULL;
}

/* In the middle of a fill another thread does what workers do, and this one goes on when it is done. */
static void let_others_in(void)
{
	struct timespec deadline;
	pthread_t thread;

	armed = false;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STUCK_S;
	assert_int_equal(pthread_create(&thread, NULL, mark_sources, NULL), 0);
	stuck = pthread_timedjoin_np(thread, NULL, &deadline) != 0;
}

static bool is_map(int fd, const char *name)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) && !strcmp(info.name, name);
}

/* libbpf's, with an eye on what is put into the allow list. */
int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	static int (*real)(int, const void *, const void *, __u64);

	if (!real)
		real = (int (*)(int, const void *, const void *, __u64))dlsym(RTLD_NEXT, "bpf_map_update_elem");
	if (armed && is_map(fd, "allow_list"))
		let_others_in();
	return real(fd, key, value, flags);
}

/* Workers wait for no fill, and what they write into the configuration meanwhile is in it afterwards, with the new sets. */
static void test_others_meanwhile(void **state)
{
	assert_int_equal(load("198.18.0.0/16\n", "198.18.1.0/24\n"), 0);
	assert_int_equal(config().blocked_used, 0);
	armed = true;
	assert_int_equal(load("198.19.0.0/16\n", "198.19.1.0/24\n"), 0);
	assert_false(armed);
	assert_false(stuck);
	assert_true(marked);
	assert_int_equal(config().blocked_used, 1);
	assert_int_equal(reason_of("192.0.2.82"), REASON_limit_connections);
	assert_int_equal(reason_of("198.18.1.1"), REASON_syn_admitted);
	assert_int_equal(reason_of("198.19.0.1"), REASON_denied_list);
	assert_int_equal(reason_of("198.19.1.1"), REASON_allowed_list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oracle6),
		cmocka_unit_test(test_hash6),
		cmocka_unit_test(test_by_hand6),
		cmocka_unit_test(test_others_meanwhile),
		cmocka_unit_test(test_full6),
	};

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests_name("lists", tests, setup, teardown);
}
