/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tunnels that end at the front: what is taken out is what was put in, byte for byte, and is judged as if it had come
 * without; a row for each reason that refuses one, every truncation of the outer headers, and the property that
 * nothing gets past the limits in a tunnel.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

static struct front *front;
static int prog;

static uint64_t counted(const char *symbol)
{
	uint64_t *counts = calloc(front_count_rows, sizeof(*counts)), n = UINT64_MAX;
	size_t i;

	assert_int_equal(front_read_counts(front, counts), 0);
	for (i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "also") && !strcmp(front_count_info[i].symbol, symbol))
			n = counts[i];
	free(counts);
	assert_int_not_equal(n, UINT64_MAX);
	return n;
}

#define NAME(symbol) REASON_##symbol

/* What comes out is what was put in, and is judged as that. */
static const struct good {
	const char *what;
	struct around around;
	const char *also;
} goods[] = {
	{ "IPIP", { 0 }, "decap_4in4" },
	{ "IPIP, outer options", { .options = 3 }, "decap_4in4" },
	{ "IP6IP6", { .v6 = true }, "decap_6in6" },
	{ "IP6IP6, a destination option", { .v6 = true, .options = 1 }, "decap_6in6" },
	{ "IP6IP6, six extension headers", { .v6 = true, .options = 6, .option_words = 2 }, "decap_6in6" },
	{ "from a prefix", { .src = "10.1.2.3" }, "decap_4in4" },
	{ "GUE variant 0", { .wrap = GUE0 }, "decap_gue" },
	{ "GUE variant 1, Katran", { .wrap = GUE1 }, "decap_gue" },
	{ "GUE variant 0 over IPv6", { .v6 = true, .wrap = GUE0 }, "decap_gue" },
	{ "GUE variant 1 over IPv6", { .v6 = true, .wrap = GUE1, .options = 1 }, "decap_gue" },
};

static const struct inside {
	struct spec spec;
	int reason;
} insides[] = {
	{ { 0 }, NAME(syn_admitted) },
	{ { .vlans = 1 }, NAME(syn_admitted) },
	{ { .vlans = 2, .ip_options = 2 }, NAME(syn_admitted) },
	{ { .v6 = true }, NAME(syn_admitted) },
	{ { .v6 = true, .vlans = 1, .ext = { HOPOPTS, 60 }, .ext_words = 1 }, NAME(syn_admitted) },
	{ { .flags = ACK | PSH, .payload = 1000 }, NAME(established) },
	{ { .v6 = true, .flags = ACK, .payload = 77 }, NAME(established) },
	{ { .flags = SYN | FIN }, NAME(bad_flags) },
	{ { .doff = 4 }, NAME(bad_length) },
	{ { .src = "203.0.113.9" }, NAME(denied_list) },
	{ { .protocol = 1, .payload = 40 }, NAME(icmp) },
	{ { .frag_offset = 100 }, NAME(fragment) },
	{ { .more_fragments = true, .payload = 3 }, NAME(syn_admitted) },
	{ { .dport = 443 }, NAME(not_ours) }, /* to an address of ours: taken out all the same */
};

static const char *also_of(const struct good *good, const struct spec *inside)
{
	if (good->around.wrap || good->around.v6 == inside->v6)
		return good->around.wrap ? "decap_gue" : good->around.v6 ? "decap_6in6" : "decap_4in4";
	return good->around.v6 ? "decap_4in6" : "decap_6in4";
}

static void test_inside(void **state)
{
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 256], out[PACKET_MAX + 256];
	size_t i, k, len, out_len;
	uint64_t before;
	int reason;

	for (i = 0; i < sizeof(goods) / sizeof(*goods); i++)
		for (k = 0; k < sizeof(insides) / sizeof(*insides); k++) {
			const char *also = also_of(&goods[i], &insides[k].spec);

			before = counted(also);
			len = packet_build(&insides[k].spec, frame);
			reason = packet_reason_out(prog, tunnel, packet_wrap(&goods[i].around, frame, len, tunnel), out, &out_len);
			if (reason != insides[k].reason)
				fail_msg("%s, packet %zu: %s", goods[i].what, k, reason_names[reason]);
			if (counted(also) != before + 1)
				fail_msg("%s, packet %zu: not counted as %s", goods[i].what, k, also);
			assert_int_equal(out_len, len);
			assert_memory_equal(out, frame, len);
		}
}

/* What is refused or not looked into comes out as it came. */
static const struct bad {
	const char *what;
	struct around around;
	struct spec spec;
	int reason;
} bads[] = {
	{ "a source not named", { .src = "10.0.0.2" }, { 0 }, NAME(tunnel_source) },
	{ "a source not named, IPv6", { .v6 = true, .src = "2001:db8:b::2" }, { .v6 = true }, NAME(tunnel_source) },
	{ "a source not named, GUE", { .wrap = GUE1, .src = "10.2.0.1" }, { 0 }, NAME(tunnel_source) },
	{ "to another address", { .dst = "10.0.0.26" }, { 0 }, NAME(not_ours) },
	{ "to another address, IPv6", { .v6 = true, .dst = "2001:db8:b::26" }, { 0 }, NAME(not_ours) },
	{ "to another port", { .wrap = GUE1, .dport = 53 }, { 0 }, NAME(not_ours) },
	{ "another protocol", { .protocol = 47 }, { 0 }, NAME(not_ours) },
	{ "inside not for us", { 0 }, { .dst = "192.0.2.26" }, NAME(not_ours) },
	{ "inside not for us, IPv6", { .v6 = true }, { .v6 = true, .dst = "2001:db8::26" }, NAME(not_ours) },
	{ "longer than the packet", { .total = 1000 }, { 0 }, NAME(tunnel_length) },
	{ "longer than the packet, IPv6", { .v6 = true, .total = 1000 }, { 0 }, NAME(tunnel_length) },
	{ "shorter than its header", { .total = 16 }, { 0 }, NAME(tunnel_length) },
	{ "an outer header of 4 words", { .ihl = 4 }, { 0 }, NAME(tunnel_length) },
	{ "shorter than what is inside", { .short_by = 1 }, { 0 }, NAME(tunnel_length) },
	{ "shorter than what is inside, IPv6", { .v6 = true, .short_by = 1 }, { .v6 = true }, NAME(tunnel_length) },
	{ "shorter than what is inside, GUE", { .wrap = GUE0, .short_by = 1 }, { 0 }, NAME(tunnel_length) },
	{ "nothing inside", { .total = 20 }, { 0 }, NAME(tunnel_length) },
	{ "UDP longer than IP", { .wrap = GUE1, .udp_length = 1000 }, { 0 }, NAME(tunnel_length) },
	{ "UDP of no length", { .wrap = GUE1, .udp_length = -1 }, { 0 }, NAME(tunnel_length) },
	{ "IPv4 that says IPv6", { .protocol = IPV6 }, { 0 }, NAME(tunnel_length) },
	{ "IPv6 that says IPv4", { .v6 = true, .protocol = IPIP }, { .v6 = true }, NAME(tunnel_length) },
	{ "inside: an IP header of 4 words", { 0 }, { .ihl = 4 }, NAME(tunnel_length) },
	{ "inside: longer than the tunnel's", { 0 }, { .total = 100 }, NAME(tunnel_length) },
	{ "inside: IPv6 longer than the tunnel's", { .v6 = true }, { .v6 = true, .total = 100 }, NAME(tunnel_length) },
	{ "the first fragment", { .fragment = 1 }, { 0 }, NAME(tunnel_fragment) },
	{ "a later fragment", { .fragment = 2 }, { 0 }, NAME(tunnel_fragment) },
	{ "the first fragment, IPv6", { .v6 = true, .fragment = 1 }, { 0 }, NAME(tunnel_fragment) },
	{ "a later fragment, IPv6", { .v6 = true, .fragment = 2, .options = 1 }, { 0 }, NAME(tunnel_fragment) },
	{ "the first fragment, GUE", { .wrap = GUE1, .fragment = 1 }, { 0 }, NAME(tunnel_fragment) },
	{ "a later fragment of some UDP", { .wrap = GUE1, .fragment = 2 }, { 0 }, NAME(not_ours) },
	{ "inside: IPIP", { 0 }, { .protocol = IPIP }, NAME(tunnel_nested) },
	{ "inside: IPv6 in IPv4", { .v6 = true }, { .protocol = IPV6 }, NAME(tunnel_nested) },
	{ "inside: IPv4 in IPv6", { .wrap = GUE0 }, { .v6 = true, .protocol = IPIP }, NAME(tunnel_nested) },
	{ "inside: GUE", { 0 }, { .protocol = UDP, .dport = GUE_PORT }, NAME(tunnel_nested) },
	{ "inside: GUE, IPv6", { .wrap = GUE1 }, { .v6 = true, .protocol = UDP, .dport = GUE_PORT }, NAME(tunnel_nested) },
	{ "GUE with options", { .wrap = GUE0, .gue_first = 1 }, { 0 }, NAME(tunnel_gue) },
	{ "GUE, a control message", { .wrap = GUE0, .gue_first = 0x20 }, { 0 }, NAME(tunnel_gue) },
	{ "GUE of variant 2", { .wrap = GUE0, .gue_first = 0x80 }, { 0 }, NAME(tunnel_gue) },
	{ "GUE with flags", { .wrap = GUE0, .gue_flags = 1 }, { 0 }, NAME(tunnel_gue) },
	{ "GUE with TCP inside", { .wrap = GUE0, .gue_protocol = IPIP ^ 6 }, { 0 }, NAME(tunnel_gue) },
};

static void test_refused(void **state)
{
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 256];
	size_t i, len;
	int reason;

	for (i = 0; i < sizeof(bads) / sizeof(*bads); i++) {
		len = packet_wrap(&bads[i].around, frame, packet_build(&bads[i].spec, frame), tunnel);
		reason = packet_reason(prog, tunnel, len);
		if (reason != bads[i].reason)
			fail_msg("%s: %s", bads[i].what, reason_names[reason]);
	}
}

/* Wherever it is cut, no frame of a tunnel's is opened before it is whole. */
static void test_cut(void **state)
{
	static const struct around arounds[] = {
		{ .options = 2 }, { .v6 = true, .options = 2 }, { .wrap = GUE0 }, { .v6 = true, .wrap = GUE1 },
	};
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 256], out[PACKET_MAX + 256];
	static const struct spec specs[] = { { 0 }, { .v6 = true } };
	size_t i, k, len, full, out_len;
	int reason;

	for (i = 0; i < sizeof(arounds) / sizeof(*arounds); i++)
		for (k = 0; k < 2; k++) {
			full = packet_wrap(&arounds[i], frame, packet_build(&specs[k], frame), tunnel);
			for (len = 14; len < full; len++) {
				reason = packet_reason(prog, tunnel, len);
				if (reason != REASON_not_ours && reason != REASON_tunnel_length)
					fail_msg("tunnel %zu, packet %zu, cut to %zu of %zu: %s", i, k, len, full, reason_names[reason]);
			}
			assert_int_equal(packet_reason_out(prog, tunnel, full, out, &out_len), REASON_syn_admitted);
		}
}

/* Outer headers longer than the part of a packet that a program may move over: it is left to the kernel as it came. */
static void test_cannot_strip(void **state)
{
	static const struct around around = { .v6 = true, .options = 2, .option_words = 255 };
	uint8_t frame[PACKET_MAX], tunnel[3 * PACKET_MAX], out[3 * PACKET_MAX];
	struct spec spec = { .v6 = true, .payload = 1000 };
	size_t len = packet_wrap(&around, frame, packet_build(&spec, frame), tunnel);
	uint64_t before[REASON_COUNT], after[REASON_COUNT];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = tunnel, .data_size_in = (uint32_t)len, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 1);

	packet_counts(before);
	assert_int_equal(bpf_prog_test_run_opts(prog, &opts), 0);
	packet_counts(after);
	assert_int_equal(after[REASON_error_tunnel], before[REASON_error_tunnel] + 1);
	assert_int_equal(opts.retval, XDP_PASS);
	assert_int_equal(opts.data_size_out, len);
	assert_memory_equal(out, tunnel, len);
}

static uint64_t hits(const char *prefix)
{
	struct prefix4 key = { .prefixlen = 32 };
	int map = packet_pin("maps/decap_from4");
	struct rule rule;

	assert_int_equal(inet_pton(AF_INET, prefix, key.ip), 1);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &rule), 0);
	close(map);
	return rule.hits;
}

/* Each balancer's packets are counted with its row, also over a restart; rows that are no longer wanted go. */
static void test_rows(void **state)
{
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 256], out[PACKET_MAX + 256];
	struct around around = { 0 };
	struct spec spec = { 0 };
	size_t len = packet_wrap(&around, frame, packet_build(&spec, frame), tunnel), out_len;
	uint64_t before = hits("10.0.0.1"), other = hits("10.1.0.0");
	int none;

	assert_int_equal(packet_reason_out(prog, tunnel, len, out, &out_len), REASON_syn_admitted);
	assert_int_equal(hits("10.0.0.1"), before + 1);
	assert_int_equal(hits("10.1.0.0"), other);
	front_close(front, false);
	front = packet_front(NULL); /* no tunnels */
	close(prog);
	prog = packet_pin("progs/front");
	assert_int_equal(packet_reason(prog, tunnel, len), REASON_not_ours);
	none = packet_pin("maps/decap_to");
	assert_int_equal(bpf_map_get_next_key(none, NULL, frame), -ENOENT);
	close(none);
}

/* The program that veth0 runs now, whoever left it there. */
static int attached(void)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	int link = packet_pin("links/xdp-veth0"), fd;

	assert_int_equal(bpf_obj_get_info_by_fd(link, &info, &size), 0);
	fd = bpf_prog_get_fd_by_id(info.prog_id);
	assert_true(fd >= 0);
	close(link);
	return fd;
}

static void expect_judged(const char *when)
{
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 256], out[PACKET_MAX + 256];
	struct around around = { 0 };
	struct spec spec = { .src = "203.0.113.9" };
	size_t len = packet_wrap(&around, frame, packet_build(&spec, frame), tunnel), out_len;
	int now = attached(), reason = packet_reason_out(now, tunnel, len, out, &out_len);

	close(now);
	if (reason != REASON_denied_list)
		fail_msg("%s, a denied source in a tunnel: %s", when, reason_names[reason]);
}

static void expect_no_start(char *const *interfaces, size_t count)
{
	struct front_settings set = { .listeners = 1, .workers = 2 };
	struct front_vip vip = { .port = 25 };
	char err[2048];

	packet_tunnels(&set);
	net_parse_ip("192.0.2.25", &vip.ip);
	set.vips = &vip;
	set.vip_count = 1;
	set.interfaces = interfaces;
	set.interface_count = count;
	assert_int_not_equal(front_open(&set, &front, err, sizeof(err)), 0);
}

/* Whatever is attached, of this run or of the one before, judges what it takes out of tunnels: also when a start fails. */
static void test_restart(void **state)
{
	static char *const missing[] = { (char *)"nowhere0" }, *const half[] = { (char *)"veth0", (char *)"nowhere0" };
	struct front_settings set = { .listeners = 1, .workers = 2 };

	packet_tunnels(&set);
	expect_judged("while it runs");
	front_close(front, false);
	front = NULL;
	close(prog);
	expect_judged("when it has gone");
	expect_no_start(missing, 1);
	expect_judged("after a start that failed");
	expect_no_start(half, 2);
	expect_judged("after one that failed with the interface taken over");
	expect_no_start(missing, 1);
	expect_judged("after another one");
	front = packet_front(&set);
	expect_judged("after one that was good");
	assert_int_equal(access(FRONT_PIN_DIR "/maps/inside", F_OK), 0);
	assert_int_not_equal(access(FRONT_PIN_DIR "/maps/inside-next", F_OK), 0);
	prog = packet_pin("progs/front");
}

/* What the SYN is answered with, plain or taken out of a tunnel; all but the cookie, which changes with the minute. */
static size_t answer_to(const uint8_t *frame, size_t len, uint8_t *out)
{
	size_t out_len, tcp = 14;
	int reason = packet_reason_out(prog, frame, len, out, &out_len);

	if (reason != REASON_cookie_sent)
		fail_msg("a SYN in a flood: %s", reason_names[reason]);
	assert_true(packet_checksums_ok(out, out_len));
	while (out[tcp - 2] == 0x81 || out[tcp - 2] == 0x88)
		tcp += 4;
	tcp += out[tcp] >> 4 == 6 ? 40 : 20;
	memset(out + tcp + 4, 0, 4);
	memset(out + tcp + 16, 0, 2);
	return out_len;
}

/* Limits and cookies are for what is inside, whatever it came in; answers go to the client, without a tunnel. */
static void test_limits(void **state)
{
	struct front_settings set = { .listeners = 1, .workers = 2, .source_per_minute = 1, .source_burst = 1,
				      .protect = FRONT_PROTECT_AUTO, .cookies = FRONT_COOKIES_KERNEL };
	static const struct spec specs[] = { { 0 }, { .v6 = true, .vlans = 2, .tcp_options = 3 } };
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 256], out[PACKET_MAX + 256], plain[PACKET_MAX + 256];
	size_t i, k, len, wrapped, out_len, plain_len;
	struct spec ack;

	packet_tunnels(&set);
	front_close(front, false);
	close(prog);
	front = packet_front(&set);
	prog = packet_pin("progs/front");
	for (k = 0; k < sizeof(specs) / sizeof(*specs); k++) {
		packet_flood(false);
		assert_int_equal(front_arm_cookies(front, false), 0);
		len = packet_build(&specs[k], frame);
		for (i = 0; i < sizeof(goods) / sizeof(*goods); i++) {
			wrapped = packet_wrap(&goods[i].around, frame, len, tunnel);
			assert_int_equal(packet_reason_out(prog, tunnel, wrapped, out, &out_len), i ? REASON_limit_source : REASON_syn_admitted);
		}
		assert_int_equal(packet_reason(prog, frame, len), REASON_limit_source);
		assert_int_equal(front_arm_cookies(front, true), 0);
		packet_flood(true);
		plain_len = answer_to(frame, len, plain);
		for (i = 0; i < sizeof(goods) / sizeof(*goods); i++) {
			out_len = answer_to(tunnel, packet_wrap(&goods[i].around, frame, len, tunnel), out);
			assert_int_equal(out_len, plain_len);
			assert_memory_equal(out, plain, plain_len);
		}
		ack = specs[k];
		ack.flags = ACK;
		wrapped = packet_wrap(&goods[0].around, frame, packet_build(&ack, frame), tunnel);
		assert_int_equal(packet_reason_out(prog, tunnel, wrapped, out, &out_len), REASON_flood_segment);
	}
	packet_flood(false);
}

static int setup(void **state)
{
	struct front_settings set = { .listeners = 1, .workers = 2 };
	struct prefix4 key = { 24, { 203, 0, 113, 0 } };
	struct rule rule = { .comment = "test" };
	int deny;

	packet_tunnels(&set);
	front = packet_front(&set);
	prog = packet_pin("progs/front");
	deny = packet_pin("maps/deny4");
	assert_int_equal(bpf_map_update_elem(deny, &key, &rule, BPF_ANY), 0);
	close(deny);
	return 0;
}

static int teardown(void **state)
{
	front_close(front, true);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inside), cmocka_unit_test(test_refused), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cannot_strip), cmocka_unit_test(test_restart),
		cmocka_unit_test(test_rows), cmocka_unit_test(test_limits),
	};

	if (!packet_namespace()) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
