/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The XDP program on single packets: one row a reason, every shape of header, every truncation; each packet is
 * counted under exactly one reason, and what passes is not changed by a byte.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

static struct front *front;
static int prog;

static void add_rule(const char *map, const char *prefix)
{
	union {
		struct prefix4 v4;
		struct prefix6 v6;
	} key;
	struct net_prefix p;
	struct rule rule = { .comment = "test" };
	int fd = packet_pin(map);

	assert_int_equal(net_parse_prefix(prefix, &p), 0);
	memset(&key, 0, sizeof(key));
	if (strstr(map, "4")) {
		key.v4.prefixlen = p.len - 96;
		memcpy(key.v4.ip, &p.ip.s6_addr[12], 4);
	} else {
		key.v6.prefixlen = p.len;
		memcpy(key.v6.ip, &p.ip, 16);
	}
	assert_int_equal(bpf_map_update_elem(fd, &key, &rule, BPF_ANY), 0);
	close(fd);
}

#define NAME(symbol) REASON_##symbol
static const struct row {
	const char *what;
	struct spec spec;
	int reason;
} rows[] = {
	{ "SYN", { 0 }, NAME(syn_admitted) },
	{ "SYN, IPv6", { .v6 = true }, NAME(syn_admitted) },
	{ "SYN with ECN's flags", { .flags = SYN | ECE | 128 }, NAME(syn_admitted) },
	{ "ACK", { .flags = ACK }, NAME(established) },
	{ "data", { .flags = ACK | PSH, .payload = 1000 }, NAME(established) },
	{ "FIN", { .flags = FIN | ACK }, NAME(established) },
	{ "RST", { .flags = RST }, NAME(established) },
	{ "SYN-ACK", { .flags = SYN | ACK }, NAME(established) },
	{ "another port", { .dport = 26 }, NAME(not_ours) },
	{ "a port with the same low bits", { .dport = 25 + 16 }, NAME(not_ours) },
	{ "another address", { .dst = "192.0.2.26" }, NAME(not_ours) },
	{ "another address, IPv6", { .v6 = true, .dst = "2001:db8::26" }, NAME(not_ours) },
	{ "UDP to port 25", { .protocol = 17 }, NAME(not_ours) },
	{ "UDP to port 25, IPv6", { .v6 = true, .protocol = 17, .ext = { HOPOPTS, 60 } }, NAME(not_ours) },
	{ "source port 25 only", { .sport = 25, .dport = 40000 }, NAME(not_ours) },
	{ "ICMP", { .protocol = 1 }, NAME(icmp) },
	{ "ICMP elsewhere", { .protocol = 1, .dst = "192.0.2.26" }, NAME(not_ours) },
	{ "ICMPv6", { .v6 = true, .protocol = 58 }, NAME(icmp) },
	{ "ICMPv6 behind headers", { .v6 = true, .protocol = 58, .ext = { HOPOPTS } }, NAME(icmp) },
	{ "ICMP from a denied source", { .protocol = 1, .src = "203.0.113.9" }, NAME(icmp) },
	{ "denied", { .src = "203.0.113.9" }, NAME(denied_list) },
	{ "denied, IPv6", { .v6 = true, .src = "2001:db8:bad::9" }, NAME(denied_list) },
	{ "denied, in a connection", { .src = "203.0.113.9", .flags = ACK }, NAME(denied_list) },
	{ "denied, to another port", { .src = "203.0.113.9", .dport = 443 }, NAME(not_ours) },
	{ "just outside the denied prefix", { .src = "203.0.112.255" }, NAME(syn_admitted) },
	{ "allowed, with nothing against it", { .src = "198.51.100.200" }, NAME(syn_admitted) },
	{ "allowed inside of denied", { .src = "203.0.113.100" }, NAME(allowed_list) },
	{ "allowed inside of denied, in a connection", { .src = "203.0.113.100", .flags = ACK }, NAME(allowed_list) },
	{ "allowed, in a connection", { .src = "198.51.100.200", .flags = ACK }, NAME(established) },
	{ "allowed, IPv6", { .v6 = true, .src = "2001:db8:bad::a110" }, NAME(allowed_list) },
	{ "no flags", { .flags = NO_FLAGS }, NAME(bad_flags) },
	{ "FIN alone", { .flags = FIN }, NAME(bad_flags) },
	{ "FIN URG PSH", { .flags = FIN | URG | PSH }, NAME(bad_flags) },
	{ "SYN FIN", { .flags = SYN | FIN }, NAME(bad_flags) },
	{ "SYN RST", { .flags = SYN | RST }, NAME(bad_flags) },
	{ "SYN FIN ACK", { .flags = SYN | FIN | ACK }, NAME(bad_flags) },
	{ "FIN RST", { .flags = FIN | RST | ACK }, NAME(bad_flags) },
	{ "IP header of 0 bytes", { .ihl = -1 }, NAME(bad_length) },
	{ "IP header of 16 bytes", { .ihl = 4 }, NAME(bad_length) },
	{ "IP header longer than the packet", { .ihl = 15 }, NAME(bad_length) },
	{ "total length below the header", { .total = 19 }, NAME(bad_length) },
	{ "total length of 0", { .total = -1 }, NAME(bad_length) },
	{ "total length beyond the frame", { .total = 41 }, NAME(bad_length) },
	{ "total length that cuts TCP", { .total = 39 }, NAME(bad_length) },
	{ "total length that cuts the ports", { .total = 23 }, NAME(bad_length) },
	{ "payload length of IPv6 beyond the frame", { .v6 = true, .total = 21 }, NAME(bad_length) },
	{ "payload length of IPv6 that cuts TCP", { .v6 = true, .total = 19 }, NAME(bad_length) },
	{ "TCP header of 0 bytes", { .doff = -1 }, NAME(bad_length) },
	{ "TCP header of 16 bytes", { .doff = 4 }, NAME(bad_length) },
	{ "TCP header longer than the packet", { .doff = 6 }, NAME(bad_length) },
	{ "TCP header of 60 bytes in padding", { .doff = 15, .pad = 40 }, NAME(bad_length) },
	{ "bad lengths elsewhere", { .doff = 4, .dport = 443 }, NAME(not_ours) },
	{ "bad lengths at another address", { .ihl = 4, .dst = "192.0.2.26" }, NAME(not_ours) },
	{ "padding behind the packet", { .pad = 6 }, NAME(syn_admitted) },
	{ "first fragment with the whole header", { .more_fragments = true, .payload = 100 }, NAME(syn_admitted) },
	{ "first fragment that hides the flags", { .more_fragments = true, .total = 28 }, NAME(bad_fragment) },
	{ "first fragment that hides options", { .more_fragments = true, .doff = 8, .payload = 4 }, NAME(bad_fragment) },
	{ "first fragment that hides flags of another port", { .more_fragments = true, .total = 28, .dport = 80 }, NAME(not_ours) },
	{ "later fragment", { .frag_offset = 100, .payload = 50 }, NAME(fragment) },
	{ "later fragment elsewhere", { .frag_offset = 100, .dst = "192.0.2.26" }, NAME(not_ours) },
	{ "later fragment of UDP", { .frag_offset = 100, .protocol = 17 }, NAME(not_ours) },
	{ "first fragment, IPv6", { .v6 = true, .ext = { 44 }, .more_fragments = true, .payload = 104 }, NAME(syn_admitted) },
	{ "first fragment that hides the flags, IPv6", { .v6 = true, .ext = { 44 }, .more_fragments = true, .total = 16 }, NAME(bad_fragment) },
	{ "later fragment, IPv6", { .v6 = true, .ext = { 44 }, .frag_offset = 100 }, NAME(fragment) },
	{ "later fragment of UDP, IPv6", { .v6 = true, .ext = { 44 }, .frag_offset = 100, .protocol = 17 }, NAME(not_ours) },
	{ "atomic fragment, IPv6", { .v6 = true, .ext = { 44 } }, NAME(syn_admitted) },
	{ "six extension headers", { .v6 = true, .ext = { HOPOPTS, 60, 43, 44, 51, 60 } }, NAME(syn_admitted) },
	{ "seven extension headers", { .v6 = true, .ext = { HOPOPTS, 60, 43, 44, 51, 60, 60 } }, NAME(bad_headers) },
	{ "seven extension headers elsewhere", { .v6 = true, .dst = "2001:db8::26", .ext = { HOPOPTS, 60, 43, 44, 51, 60, 60 } }, NAME(not_ours) },
	{ "extension header beyond the packet", { .v6 = true, .ext = { 60 }, .total = 4 }, NAME(bad_headers) },
	{ "flags are read behind long extension headers", { .v6 = true, .ext = { 60, 60 }, .ext_words = 100, .flags = SYN | FIN }, NAME(bad_flags) },
};

static void test_rows(void **state)
{
	uint8_t frame[PACKET_MAX];
	bool seen[REASON_COUNT] = { false };
	size_t i, len;
	int reason;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		len = packet_build(&rows[i].spec, frame);
		reason = packet_reason(prog, frame, len);
		if (reason != rows[i].reason)
			fail_msg("%s: %s, not %s", rows[i].what, reason_names[reason], reason_names[rows[i].reason]);
		seen[reason] = true;
	}
	/* those that a packet has by itself; the others have their own tests, which tests/house/reasons.sh looks for */
	for (i = 0; i < REASON_error_config; i++)
		if (!seen[i])
			fail_msg("no row shows reason %s", reason_names[i]);
}

static int setup(void **state)
{
	front = packet_front(NULL);
	prog = packet_pin("progs/front");
	add_rule("maps/deny4", "203.0.113.0/24");
	add_rule("maps/deny6", "2001:db8:bad::/48");
	add_rule("maps/allow4", "203.0.113.96/28");
	add_rule("maps/allow4", "198.51.100.200/32");
	add_rule("maps/allow6", "2001:db8:bad::a110/128");
	return 0;
}

/* v4/v6 x VLAN 0..2 x options or extension headers x flags: always found, for SYN and for what is denied. */
static void test_shapes(void **state)
{
	static const uint8_t chains[][EXT_MAX] = { { 0 }, { HOPOPTS }, { 60 }, { 43, 60 }, { HOPOPTS, 60, 43, 51, 60 } };
	uint8_t frame[PACKET_MAX];
	int vlans, i, n = 0, reason;

	for (vlans = 0; vlans <= 2; vlans++) {
		for (i = 0; i <= 10; i++, n++) {
			struct spec s = { .vlans = vlans, .ip_options = i, .tcp_options = i };

			reason = packet_reason(prog, frame, packet_build(&s, frame));
			assert_int_equal(reason, REASON_syn_admitted);
			s.src = "203.0.113.9";
			assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_denied_list);
		}
		for (i = 0; i < 5 * 8; i++, n++) {
			struct spec s = { .v6 = true, .vlans = vlans, .ext_words = i % 8, .tcp_options = i % 8 };

			memcpy(s.ext, chains[i / 8], EXT_MAX);
			assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_syn_admitted);
			s.src = "2001:db8:bad::1";
			assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_denied_list);
		}
	}
	{
		struct spec three = { .vlans = 3 };

		assert_int_equal(packet_reason(prog, frame, packet_build(&three, frame)), REASON_not_ours);
	}
	print_message("# %d shapes\n", n);
}

/* Cut after every byte: never admitted, never a crash of the counters; before the address it is not ours. */
static void test_truncated(void **state)
{
	static const struct spec specs[] = {
		{ .vlans = 2, .ip_options = 3, .tcp_options = 5 },
		{ .v6 = true, .vlans = 1, .ext = { HOPOPTS, 43, 60 }, .ext_words = 2, .tcp_options = 5 },
		{ .v6 = true },
		{ 0 },
	};
	uint8_t frame[PACKET_MAX];
	size_t i, full, len;
	int reason;

	for (i = 0; i < sizeof(specs) / sizeof(*specs); i++) {
		full = packet_build(&specs[i], frame);
		for (len = 14; len < full; len++) { /* the kernel itself wants 14 */
			reason = packet_reason(prog, frame, len);
			if (reason != REASON_not_ours && reason != REASON_bad_length && reason != REASON_bad_headers)
				fail_msg("packet %zu cut to %zu of %zu: %s", i, len, full, reason_names[reason]);
		}
		assert_int_equal(packet_reason(prog, frame, full), REASON_syn_admitted);
	}
}

static void test_rule_hits(void **state)
{
	struct prefix4 key = { 24, { 203, 0, 113, 0 } };
	struct rule before, after;
	int map = packet_pin("maps/deny4");
	struct spec s = { .src = "203.0.113.77" };
	uint8_t frame[PACKET_MAX];

	assert_int_equal(bpf_map_lookup_elem(map, &key, &before), 0);
	packet_reason(prog, frame, packet_build(&s, frame));
	assert_int_equal(bpf_map_lookup_elem(map, &key, &after), 0);
	assert_int_equal(after.hits, before.hits + 1);
	assert_string_equal(after.comment, "test");
	close(map);
}

static void put_rule4(int map, uint32_t prefixlen, uint64_t until_ns)
{
	struct prefix4 key = { prefixlen, { 192, 88, 99, 0 } };
	struct rule rule = { .until_ns = until_ns, .prefixlen = prefixlen };

	key.ip[2] = prefixlen > 16 ? 99 : 0;
	key.ip[1] = prefixlen > 8 ? 88 : 0;
	assert_int_equal(bpf_map_update_elem(map, &key, &rule, BPF_ANY), 0);
}

/* A rule that is over is not there, and does not hide a shorter prefix. */
static void test_rule_over(void **state)
{
	int deny = packet_pin("maps/deny4"), allow = packet_pin("maps/allow4");
	struct spec s = { .src = "192.88.99.0" };
	uint8_t frame[PACKET_MAX];
	size_t len = packet_build(&s, frame);

	put_rule4(deny, 24, UINT64_MAX);
	assert_int_equal(packet_reason(prog, frame, len), REASON_denied_list);
	put_rule4(allow, 32, UINT64_MAX);
	assert_int_equal(packet_reason(prog, frame, len), REASON_allowed_list);
	put_rule4(allow, 32, 1);
	assert_int_equal(packet_reason(prog, frame, len), REASON_denied_list);
	put_rule4(deny, 24, 1);
	assert_int_equal(packet_reason(prog, frame, len), REASON_syn_admitted);
	put_rule4(deny, 16, 1);
	put_rule4(deny, 8, 0);
	assert_int_equal(packet_reason(prog, frame, len), REASON_denied_list);
	put_rule4(deny, 8, 1);
	assert_int_equal(packet_reason(prog, frame, len), REASON_syn_admitted);
	close(deny);
	close(allow);
}

static struct front_newest newest(uint32_t reason)
{
	int map = packet_pin("maps/front_newest");
	struct front_newest row;

	assert_int_equal(bpf_map_lookup_elem(map, &reason, &row), 0);
	close(map);
	return row;
}

/* The newest source of each reason that drops, under its name; a second one at once is not sampled. */
static void test_newest(void **state)
{
	static const uint8_t first[16] = { [10] = 0xff, 0xff, 198, 51, 100, 77 };
	struct spec s = { .src = "198.51.100.77", .flags = SYN | FIN };
	int map = packet_pin("maps/event_cpu"), cpus = libbpf_num_possible_cpus();
	struct event_cpu *rates = calloc((size_t)cpus, sizeof(*rates));
	uint8_t frame[PACKET_MAX];
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(map, &zero, rates, BPF_ANY), 0);
	assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_bad_flags);
	assert_memory_equal(newest(REASON_bad_flags).source, first, 16);
	assert_string_equal(newest(REASON_bad_flags).reason, "bad_flags");
	for (int i = 0; i < cpus; i++)
		rates[i].next_ns[REASON_bad_flags] = UINT64_MAX;
	assert_int_equal(bpf_map_update_elem(map, &zero, rates, BPF_ANY), 0);
	s.src = "198.51.100.78";
	assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_bad_flags);
	assert_memory_equal(newest(REASON_bad_flags).source, first, 16);
	memset(rates, 0, (size_t)cpus * sizeof(*rates));
	assert_int_equal(bpf_map_update_elem(map, &zero, rates, BPF_ANY), 0);
	assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_bad_flags);
	assert_int_equal(newest(REASON_bad_flags).source[15], 78);
	assert_int_equal(newest(REASON_syn_admitted).time_ns, 0);
	free(rates);
	close(map);
}

/* Without a configuration that it understands the front lets everything through, and counts that. */
static void test_fail_open(void **state)
{
	int map = packet_pin("maps/front_config");
	struct front_config config, broken = { 0 };
	struct spec s = { .src = "203.0.113.9" };
	uint8_t frame[PACKET_MAX];
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &zero, &config), 0);
	assert_int_equal(bpf_map_update_elem(map, &zero, &broken, BPF_ANY), 0);
	assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_error_config);
	assert_int_equal(bpf_map_update_elem(map, &zero, &config, BPF_ANY), 0);
	assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_denied_list);
	close(map);
}

/* With a wildcard every address is ours, of its family only. */
static void test_wildcard(void **state)
{
	struct front_vip vips[1] = { { .port = 25 } };
	struct front_settings set = { .listeners = 1, .workers = 1, .vips = vips, .vip_count = 1 };
	static const struct row wild[] = {
		{ "any", { .dst = "192.0.2.99" }, NAME(syn_admitted) },
		{ "any, another port", { .dst = "192.0.2.99", .dport = 26 }, NAME(not_ours) },
		{ "IPv6", { .v6 = true, .dst = "2001:db8::99" }, NAME(not_ours) },
		{ "later fragment", { .dst = "192.0.2.99", .frag_offset = 10 }, NAME(fragment) },
	};
	uint8_t frame[PACKET_MAX];
	struct front *again;
	size_t i;

	net_parse_ip("0.0.0.0", &vips[0].ip);
	again = packet_front(&set);
	close(prog);
	prog = packet_pin("progs/front");
	for (i = 0; i < sizeof(wild) / sizeof(*wild); i++)
		if (packet_reason(prog, frame, packet_build(&wild[i].spec, frame)) != wild[i].reason)
			fail_msg("%s", wild[i].what);
	front_close(again, false);
	again = packet_front(NULL); /* the old addresses again: the wildcard is gone */
	assert_int_equal(packet_reason(prog, frame, packet_build(&wild[0].spec, frame)), REASON_not_ours);
	front_close(front, false);
	front = again;
	close(prog);
	prog = packet_pin("progs/front");
}

static void load_both(const char *deny_text, const char *allow_text, int expect, const char *err_part)
{
	static const char *const names[] = { "/etc/danelaw/drop.txt", "/etc/danelaw/allow.txt" };
	const char *texts[] = { deny_text, allow_text };
	struct front_list_files lists[2];
	FILE *files[2] = { NULL };
	char err[512];
	int i, code;

	for (i = 0; i < 2; i++) {
		if (texts[i])
			files[i] = fmemopen((void *)(uintptr_t)texts[i], strlen(texts[i]), "r");
		lists[i] = (struct front_list_files){ .files = &files[i], .names = &names[i], .count = 1 };
	}
	code = front_load_lists(front, texts[0] ? &lists[0] : NULL, texts[1] ? &lists[1] : NULL, err, sizeof(err));
	for (i = 0; i < 2; i++)
		if (files[i])
			fclose(files[i]);
	if (code != expect || (err_part && !strstr(err, err_part)))
		fail_msg("%d, \"%s\"", code, err);
}

static void load(const char *text, int expect, const char *err_part)
{
	load_both(text, NULL, expect, err_part);
}

/* The rule of the current list with this prefix. */
static struct listed listed(const char *prefix)
{
	int config_map = packet_pin("maps/front_config"), map;
	struct front_config config;
	struct bpf_map_info info = { 0 };
	uint32_t i = 0, size = sizeof(info);
	struct listed rule;

	assert_int_equal(bpf_map_lookup_elem(config_map, &i, &config), 0);
	map = packet_pin("maps/list4_rule");
	assert_int_equal(bpf_obj_get_info_by_fd(map, &info, &size), 0);
	i = config.deny_list * info.max_entries / 2;
	for (; !bpf_map_lookup_elem(map, &i, &rule) && rule.prefix[0] && strcmp(rule.prefix, prefix);)
		i++;
	close(map);
	close(config_map);
	assert_string_equal(rule.prefix, prefix);
	return rule;
}

static void expect4(uint32_t ip, bool denied)
{
	char text[32];
	uint8_t frame[PACKET_MAX];
	struct spec s = { .src = text, .flags = ACK };
	int reason;

	snprintf(text, sizeof(text), "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	reason = packet_reason(prog, frame, packet_build(&s, frame));
	if (reason != (denied ? REASON_denied_list : REASON_established))
		fail_msg("%s: %s", text, reason_names[reason]);
}

static uint32_t random32(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state ^ *state >> 15;
}

/* 400 overlapping prefixes of every length in a small part of the world, and what a plain loop says of 4000 addresses. */
static void test_list_oracle(void **state)
{
	struct {
		uint32_t ip;
		unsigned len;
	} rules[400];
	uint32_t seed = 7, ip, i, j;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool denied;

	for (i = 0; i < 400; i++) {
		rules[i].len = i < 10 ? 12 + i % 5 : 17 + random32(&seed) % 16;
		ip = (60u << 24 | random32(&seed) % (1u << 22)) & ~0u << (32 - rules[i].len);
		rules[i].ip = ip;
		if (i < 10)
			rules[i].ip = ip = (61u + i) << 24;
		fprintf(f, "%u.%u.%u.%u/%u\n", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, rules[i].len);
	}
	fclose(f);
	load(text, 0, NULL);
	free(text);
	for (i = 0; i < 4000; i++) {
		ip = 60u << 24 | random32(&seed) % (1u << 22);
		if (i % 4 == 0) /* at an edge of a rule */
			ip = rules[i % 400].ip + (i % 8 ? ~0u >> 1 >> (rules[i % 400].len - 1) : 0) + (i % 16 == 4) - (i % 16 == 8);
		denied = false;
		for (j = 0; j < 400; j++)
			denied |= !((ip ^ rules[j].ip) >> (32 - rules[j].len));
		expect4(ip, denied);
	}
}

/* Where prefixes overlap, the hit is counted at the longest. */
static void test_list_rules(void **state)
{
	load("198.18.0.0/15 ; whole\n198.18.7.0/24 # SBL7\n198.18.7.128/25\n198.18.7.200\n198.0.0.0/8\n", 0, NULL);
	expect4(0xc6120101, true);
	expect4(0xc6120701, true);
	expect4(0xc6120702, true);
	expect4(0xc6120781, true);
	expect4(0xc61207c8, true);
	expect4(0xc6010101, true);
	expect4(0xc7010101, false);
	assert_int_equal(listed("198.18.0.0/15").hits, 1);
	assert_int_equal(listed("198.18.7.0/24").hits, 2);
	assert_int_equal(listed("198.18.7.128/25").hits, 1);
	assert_int_equal(listed("198.18.7.200/32").hits, 1);
	assert_int_equal(listed("198.0.0.0/8").hits, 1);
	assert_string_equal(listed("198.18.7.0/24").comment, "SBL7");
	assert_string_equal(listed("198.18.7.128/25").comment, "drop.txt:3");
}

/* More than there is room for: said so, and the old list stays. */
static void test_list_full(void **state)
{
	struct front_settings small = { .listeners = 1, .workers = 1, .list_entries = 100 };

	front_close(front, true);
	front = packet_front(&small);
	close(prog);
	prog = packet_pin("progs/front");
	load("198.18.7.9\n", 0, NULL);
	load("10.0.0.0/17\n", -E2BIG, "128 networks of /24 and 0 single addresses; there is room for 100");
	load("10.0.0.0/25\n", -E2BIG, "128 single addresses");
	expect4(0xc6120709, true);
	load("10.0.0.0/18\n", 0, NULL);
	expect4(0xc6120709, false);
	expect4(0x0a003fff, true);
	expect4(0x0a004000, false);
	front_close(front, true);
	setup(NULL);
}

static void test_lists(void **state)
{
	struct spec a = { .src = "198.18.7.9" }, b = { .src = "198.19.7.9" }, c = { .v6 = true, .src = "2001:db8:66::1" };
	uint8_t frame[PACKET_MAX];

	load("# ours\n198.18.0.0/15 ; SBL1\n\n2001:db8:66::/48\n", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&a, frame)), REASON_denied_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_denied_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&c, frame)), REASON_denied_list);
	load("198.18.7.9\n198.18.0.1/33\n", -EINVAL, "/etc/danelaw/drop.txt:2: \"198.18.0.1/33\"");
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_denied_list);
	load("198.18.7.9 # one\n", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&a, frame)), REASON_denied_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_syn_admitted);
	assert_int_equal(packet_reason(prog, frame, packet_build(&c, frame)), REASON_syn_admitted);
	load("", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&a, frame)), REASON_syn_admitted);
}

/* The allow list from files, with the deny list in one swap, or neither. */
static void test_allow_files(void **state)
{
	struct spec a = { .src = "198.18.7.9" }, b = { .src = "198.18.9.9" }, c = { .v6 = true, .src = "2001:db8:66::1" };
	uint8_t frame[PACKET_MAX];

	load_both("198.18.0.0/15\n2001:db8::/32\n", "198.18.7.0/24 ; a partner\n2001:db8:66::1\n", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&a, frame)), REASON_allowed_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_denied_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&c, frame)), REASON_allowed_list);
	load_both("", "198.18.9.9\n198.18.7.0/2x\n", -EINVAL, "/etc/danelaw/allow.txt:2: \"198.18.7.0/2x\"");
	assert_int_equal(packet_reason(prog, frame, packet_build(&a, frame)), REASON_allowed_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_denied_list);
	load_both(NULL, "198.18.9.0/24\n", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&a, frame)), REASON_denied_list);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_allowed_list);
	load_both(NULL, "", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_denied_list);
	load_both("", "", 0, NULL);
	assert_int_equal(packet_reason(prog, frame, packet_build(&b, frame)), REASON_syn_admitted);
}

/* A restart takes links and maps over: same link, counters and rules kept, new program. */
static void test_restart(void **state)
{
	struct bpf_link_info before = { 0 }, after = { 0 };
	uint64_t counts[REASON_COUNT], again[REASON_COUNT];
	uint32_t size = sizeof(before);
	struct spec s = { .src = "203.0.113.9" };
	uint8_t frame[PACKET_MAX];
	int link = packet_pin("links/xdp-veth0");

	assert_int_equal(bpf_obj_get_info_by_fd(link, &before, &size), 0);
	close(link);
	packet_counts(counts);
	front_close(front, false);
	front = packet_front(NULL);
	packet_counts(again);
	counts[REASON_not_ours] = again[REASON_not_ours]; /* neighbour discovery may come in between */
	assert_memory_equal(counts, again, sizeof(counts));
	link = packet_pin("links/xdp-veth0");
	size = sizeof(after);
	assert_int_equal(bpf_obj_get_info_by_fd(link, &after, &size), 0);
	close(link);
	assert_int_equal(before.id, after.id);
	assert_int_not_equal(before.prog_id, after.prog_id);
	close(prog);
	prog = packet_pin("progs/front");
	assert_int_equal(packet_reason(prog, frame, packet_build(&s, frame)), REASON_denied_list);
}

static void test_detach(void **state)
{
	struct stat st;

	front_close(front, true);
	assert_int_equal(stat(FRONT_PIN_DIR, &st), -1);
	packet_sh("! ip link show dev veth0 | grep -q xdp");
	front = packet_front(NULL);
}

static int teardown(void **state)
{
	front_close(front, true);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	 cmocka_unit_test(test_shapes),	  cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_rule_hits), cmocka_unit_test(test_fail_open), cmocka_unit_test(test_wildcard),
		cmocka_unit_test(test_rule_over), cmocka_unit_test(test_newest),
		cmocka_unit_test(test_lists), cmocka_unit_test(test_allow_files),
		cmocka_unit_test(test_list_oracle), cmocka_unit_test(test_list_rules), cmocka_unit_test(test_list_full),
		cmocka_unit_test(test_restart),  cmocka_unit_test(test_detach),
	};

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
