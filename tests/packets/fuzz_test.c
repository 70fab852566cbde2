/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets of the other tests, mutated, against a second opinion: a strict parser in this file that shares nothing
 * with bpf/parse.h but the names of reasons.
 *
 *   What the strict parser says is a SYN to an address and port of ours never passes as not ours or established, nor
 *   without a token: the source is over its rate here, so it is dropped.
 *   What is not ours is never dropped and never changed.
 *   What is ours ends in a named reason, with that reason's verdict.
 *   All this also of what comes in a tunnel: a third does, and then may also be refused with it, but no whole SYN.
 *
 * DANELAW_FUZZ_SEED and DANELAW_FUZZ_RUNS (20,000) change what is tried; both are told.  `make fuzz` runs it for long.
 * kernels: stable
 */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "tests/packets/packet.h"

/* What a packet is to someone who reads the RFCs and takes his time. */
enum verdict {
	FOREIGN,  /* not TCP or ICMP to an address of ours, or TCP to another port */
	A_SYN,	  /* a whole TCP header to one of ours that asks for a connection */
	OURS,	  /* anything else to one of ours: dropped or passed */
	UNCLEAR,  /* its headers contradict each other in a way that leaves open whose it is */
};

struct reading {
	const uint8_t *at;
	size_t left;
};

static const uint8_t vip4[4] = { 192, 0, 2, 25 };
static const uint8_t vip6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 0x25 };

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static enum verdict read_tcp(struct reading r)
{
	unsigned doff, flags;

	if (r.left < 4)
		return OURS; /* no port to be seen */
	if (get16(r.at + 2) != 25)
		return FOREIGN;
	if (r.left < 20)
		return OURS;
	doff = (r.at[12] >> 4) * 4u;
	if (doff < 20 || doff > r.left)
		return OURS;
	flags = r.at[13];
	return (flags & 0x12) == 2 ? A_SYN : OURS;
}

static enum verdict read_ip4(struct reading r)
{
	unsigned header, total, fragment;

	if (r.left < 20 || r.at[0] >> 4 != 4)
		return FOREIGN; /* the kernel drops it by itself */
	if (r.at[9] != 6 && r.at[9] != 1)
		return FOREIGN;
	if (memcmp(r.at + 16, vip4, 4))
		return FOREIGN;
	header = (r.at[0] & 15) * 4u;
	total = get16(r.at + 2);
	if (r.at[9] == 1 || header < 20 || total < header || total > r.left)
		return OURS;
	fragment = get16(r.at + 6);
	if (fragment & 0x1fff)
		return OURS;
	r.at += header;
	r.left = total - header;
	return read_tcp(r);
}

static bool is_extension(unsigned next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

/* RFC 8200 section 4; AH as in RFC 4302. */
static enum verdict read_ip6(struct reading r)
{
	unsigned next, length, count = 0;

	if (r.left < 40 || r.at[0] >> 4 != 6)
		return FOREIGN;
	if (memcmp(r.at + 24, vip6, 16))
		return FOREIGN;
	next = r.at[6];
	length = get16(r.at + 4);
	if (next != 6 && next != 58 && !is_extension(next))
		return FOREIGN;
	if (next == 58)
		return OURS;
	if (length > r.left - 40)
		return OURS;
	r.at += 40;
	r.left = length;
	while (is_extension(next)) {
		unsigned size;

		if (r.left < 8)
			return OURS;
		size = next == 44 ? 8 : next == 51 ? (r.at[1] + 2u) * 4 : (r.at[1] + 1u) * 8;
		if (++count > 6 || size > r.left)
			return UNCLEAR; /* dropped when ours: where it leads cannot be seen */
		if (next == 44 && get16(r.at + 2) & 0xfff8)
			return r.at[0] == 6 || is_extension(r.at[0]) ? OURS : FOREIGN;
		next = r.at[0];
		r.at += size;
		r.left -= size;
	}
	if (next == 58)
		return OURS;
	return next == 6 ? read_tcp(r) : FOREIGN;
}

static enum verdict read_frame(const uint8_t *frame, size_t len)
{
	struct reading r = { frame + 14, len - 14 };
	unsigned type = get16(frame + 12);

	for (int tags = 0; tags < 2 && (type == 0x8100 || type == 0x88a8); tags++) {
		if (r.left < 4)
			return FOREIGN;
		type = get16(r.at + 2);
		r.at += 4;
		r.left -= 4;
	}
	return type == 0x0800 ? read_ip4(r) : type == 0x86dd ? read_ip6(r) : FOREIGN;
}

/* ---- mutation ---- */

static uint64_t state64;

static uint32_t random_below(uint32_t n)
{
	state64 ^= state64 << 13;
	state64 ^= state64 >> 7;
	state64 ^= state64 << 17;
	return (uint32_t)((state64 >> 16) % n);
}

static const uint8_t telling[] = { 0, 1, 4, 5, 6, 8, 15, 20, 25, 40, 43, 44, 51, 58, 60, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0x81, 0x86,
				   0x88, 0xa8, 0xdd, 0xff, 2, 0x12 };

static size_t seed_packet(uint8_t *frame)
{
	static const uint8_t kinds[] = { HOPOPTS, 60, 43, 44, 51 };
	static const uint8_t flags[] = { SYN, SYN, SYN, ACK, SYN | ACK, FIN, RST, SYN | ECE | 128, SYN | PSH | URG };
	struct spec s = { .v6 = random_below(2), .vlans = (int)random_below(4) };
	unsigned i, n = random_below(8);

	s.flags = flags[random_below(sizeof(flags))];
	s.dport = random_below(8) ? 0 : 80;
	s.tcp_options = (int)random_below(11);
	s.payload = (int)random_below(40);
	s.pad = random_below(4) ? 0 : (int)random_below(20);
	s.more_fragments = !random_below(8);
	s.frag_offset = random_below(12) ? 0 : 1 + (int)random_below(100);
	if (!random_below(8))
		s.protocol = random_below(2) ? 17 : s.v6 ? 58 : 1;
	if (!random_below(6))
		s.dst = s.v6 ? "2001:db8::26" : "192.0.2.26";
	if (s.v6) {
		for (i = 0; i < n; i++)
			s.ext[i] = kinds[random_below(sizeof(kinds))];
		s.ext_words = (int)random_below(4);
	} else {
		s.ip_options = (int)random_below(11);
	}
	return packet_build(&s, frame);
}

/* Bytes near the headers change, to anything or to something that means something there; the end may go. */
static size_t mutate(uint8_t *frame, size_t len)
{
	unsigned n = random_below(4), near = len < 120 ? (unsigned)len : 120;

	while (n--) {
		uint8_t *at = &frame[12 + random_below(near - 12)];

		switch (random_below(4)) {
		case 0: *at ^= (uint8_t)(1u << random_below(8)); break;
		case 1: *at = telling[random_below(sizeof(telling))]; break;
		case 2: *at = (uint8_t)random_below(256); break;
		default: *at = (uint8_t)(*at + random_below(3) - 1); break;
		}
	}
	if (!random_below(6))
		len = 14 + random_below((uint32_t)len - 13);
	return len;
}

/* ---- the property ---- */

static bool in_flood;

static void dump(const uint8_t *frame, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, "%02x%s", frame[i], i % 16 == 15 ? "\n" : " ");
	fprintf(stderr, "\n");
}

static const char *judge(enum verdict oracle, int reason, bool tunnelled)
{
	if (tunnelled && (reason == REASON_tunnel_length || reason == REASON_tunnel_nested))
		return oracle == A_SYN ? "a whole SYN refused with its tunnel" : NULL;
	switch (oracle) {
	case FOREIGN:
		return reason == REASON_not_ours ? NULL : "not ours, and not passed as such";
	case A_SYN:
		if (in_flood) /* strangers get a cookie, those in fragments nothing */
			return reason == REASON_cookie_sent || reason == REASON_flood_fragment || reason == REASON_bad_flags ? NULL : "a SYN in a flood";
		return reason == REASON_limit_source || reason == REASON_limit_network || reason == REASON_bad_flags ? NULL : "a SYN that met no limit";
	case UNCLEAR:
		return reason == REASON_bad_headers || reason == REASON_not_ours ? NULL : "unclear headers that were believed";
	default:
		return reason == REASON_not_ours || reason == REASON_syn_admitted || reason == REASON_cookie_sent ? "ours, not treated so" : NULL;
	}
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* The frame, or the tunnel that it is in; what it is to the front. */
struct attempt {
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX];
	size_t len, tunnel_len; /* 0: none */
};

/* An IP packet gets a tunnel around it, and the type that the tunnel then gives it back. */
static void wrap(struct attempt *t)
{
	struct around around = { .v6 = random_below(2), .wrap = random_below(3), .options = (int)random_below(4) };
	unsigned type = get16(t->frame + 12), version;
	size_t link = 14;

	while (link < 22 && t->len > link + 4 && (type == 0x8100 || type == 0x88a8)) {
		type = get16(t->frame + link + 2);
		link += 4;
	}
	if (t->len <= link || (type != 0x0800 && type != 0x86dd))
		return;
	version = t->frame[link] >> 4;
	if (around.wrap == GUE1 && version != 4 && version != 6)
		return;
	memcpy(t->frame + link - 2, version == 6 ? "\x86\xdd" : "\x08\x00", 2);
	t->tunnel_len = packet_wrap(&around, t->frame, t->len, t->tunnel);
}

static int run(int prog, const struct attempt *t)
{
	uint8_t out[PACKET_MAX + 256];
	size_t out_len;
	int reason;

	if (!t->tunnel_len)
		return packet_reason(prog, t->frame, t->len); /* with that reason's verdict, unchanged if it passes */
	reason = packet_reason_out(prog, t->tunnel, t->tunnel_len, out, &out_len);
	if (reason_verdicts[reason] != XDP_PASS)
		return reason;
	if (reason == REASON_not_ours && out_len == t->tunnel_len) {
		assert_memory_equal(out, t->tunnel, out_len);
		return reason;
	}
	assert_int_equal(out_len, t->len);
	assert_memory_equal(out, t->frame, out_len);
	return reason;
}

static void test_mutations(void **state)
{
	uint64_t seed = number_from("DANELAW_FUZZ_SEED", (uint64_t)time(NULL) << 20 | (uint64_t)getpid()), i;
	uint64_t runs = number_from("DANELAW_FUZZ_RUNS", 20000), seen[4] = { 0 }, tunnelled = 0;
	struct front_settings set = { .listeners = 1, .workers = 1, .source_per_minute = 1, .source_burst = 1,
				      .protect = FRONT_PROTECT_AUTO, .cookies = FRONT_COOKIES_KERNEL };
	struct front *front;
	struct attempt t;
	int prog;

	packet_tunnels(&set);
	front = packet_front(&set);
	prog = packet_pin("progs/front");
	assert_int_equal(front_arm_cookies(front, true), 0);
	print_message("# seed %llu, %llu packets\n", (unsigned long long)seed, (unsigned long long)runs);
	state64 = seed | 1;
	for (i = 0; i < runs; i++) {
		enum verdict oracle;
		const char *wrong;
		int reason;

		t.tunnel_len = 0;
		t.len = mutate(t.frame, seed_packet(t.frame));
		if (!random_below(3))
			wrap(&t);
		oracle = read_frame(t.frame, t.len);
		if (i % 1000 == 0) {
			in_flood = i / 1000 % 2;
			packet_flood(in_flood);
		}
		seen[oracle]++;
		tunnelled += t.tunnel_len != 0;
		reason = run(prog, &t);
		/* sources vary by mutation: one that was never seen has a token, and so has met its limit */
		if (oracle == A_SYN && reason == REASON_syn_admitted)
			reason = run(prog, &t);
		if (oracle == A_SYN && reason == REASON_syn_admitted)
			reason = run(prog, &t);
		wrong = judge(oracle, reason, t.tunnel_len != 0);
		if (wrong) {
			dump(t.tunnel_len ? t.tunnel : t.frame, t.tunnel_len ? t.tunnel_len : t.len);
			fail_msg("seed %llu, packet %llu: %s: %s", (unsigned long long)seed, (unsigned long long)i, wrong, reason_names[reason]);
		}
	}
	for (i = 0; i < 4; i++)
		assert_true(seen[i] > runs / 200);
	assert_true(tunnelled > runs / 5);
	print_message("# %llu in tunnels\n", (unsigned long long)tunnelled);
	print_message("# %llu not ours, %llu SYNs, %llu others of ours, %llu unclear\n", (unsigned long long)seen[FOREIGN],
		      (unsigned long long)seen[A_SYN], (unsigned long long)seen[OURS], (unsigned long long)seen[UNCLEAR]);
	close(prog);
	front_close(front, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_mutations) };

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
