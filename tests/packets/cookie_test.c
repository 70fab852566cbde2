/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYN cookies: answers byte by byte, whom they are sent to, and real TCP on them, on both ways of having them.
 *
 *    client ns: veth1 198.51.100.10, 2001:db8:5::10  ──  veth0 198.51.100.1: 192.0.2.25, 2001:db8::25 on lo
 *
 * Floods are told, not made: the map of flood mode is written.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

enum { WORKERS = 2, SOCKETS = 2 * WORKERS, ETH_IP = 0x0800, EPOCH = 29000000, BACKLOG = 8 };

static struct front *front;
static int prog, client_ns, edge_ns, listeners[SOCKETS];
static const uint8_t key[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void expect(int reason, int wanted, const char *what)
{
	if (reason != wanted)
		fail_msg("%s: %s, not %s", what, reason_names[reason], reason_names[wanted]);
}

static void change_config(void (*change)(struct front_config *config))
{
	int map = packet_pin("maps/front_config");
	struct front_config config;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &zero, &config), 0);
	change(&config);
	assert_int_equal(bpf_map_update_elem(map, &zero, &config, BPF_ANY), 0);
	close(map);
}

static uint64_t count_of(const char *group, const char *symbol)
{
	uint64_t counts[REASON_COUNT + COOKIE_COUNT + STEER_COUNT + ALSO_COUNT];
	size_t i;

	assert_int_equal(front_read_counts(front, counts), 0);
	for (i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, group) && !strcmp(front_count_info[i].symbol, symbol))
			return counts[i];
	fail_msg("no counter %s %s", group, symbol);
	return 0;
}

/* ---- the front and its listeners ---- */

static int listen_on(const char *ip)
{
	struct net_addr at = { .port = 0 };
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, one = 1;

	net_parse_ip(ip, &at.ip);
	len = net_to_sockaddr(&at, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* its connections are at port 25 */
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(fd, BACKLOG), 0);
	return fd;
}

static void close_all(void)
{
	int i;

	for (i = 0; i < SOCKETS; i++)
		close(listeners[i]);
	front_close(front, true);
	close(prog);
}

static void set_keys_of(const uint8_t k[16], uint64_t epoch)
{
	for (uint64_t e = epoch - 1; e <= epoch + 1; e++)
		assert_int_equal(front_set_cookie_key(front, e, k, false), 0);
	assert_int_equal(front_set_cookie_epoch(front, epoch), 0);
}

static void set_keys(uint64_t epoch)
{
	set_keys_of(key, epoch);
}

static bool kernel_has_own(void)
{
	unsigned major = 0, minor = 0;
	struct utsname uts;

	assert_int_equal(uname(&uts), 0);
	assert_int_equal(sscanf(uts.release, "%u.%u", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 9);
}

static bool shared; /* are keys those of other nodes too? */

static void open_with(enum front_cookies cookies, unsigned per_minute)
{
	struct front_settings set = { .listeners = 1, .workers = WORKERS, .protect = FRONT_PROTECT_AUTO, .cookies = cookies,
				      .cookies_shared = shared, .source_per_minute = per_minute, .source_burst = 1 };
	static bool again;
	unsigned i;

	if (cookies == FRONT_COOKIES_OWN && !kernel_has_own())
		skip();
	if (again)
		close_all();
	again = true;
	front = packet_front(&set);
	prog = packet_pin("progs/front");
	assert_int_equal(front_cookies(front), cookies);
	for (i = 0; i < WORKERS; i++) {
		listeners[2 * i] = listen_on("127.0.0.1");
		listeners[2 * i + 1] = listen_on("::1");
		assert_int_equal(front_set_socket(front, 0, i, listeners[2 * i]), 0);
		assert_int_equal(front_set_socket(front, 0, i, listeners[2 * i + 1]), 0);
	}
	assert_int_equal(front_map_cpus(front, NULL, 0), 0);
	if (cookies == FRONT_COOKIES_OWN)
		set_keys(EPOCH);
	else
		assert_int_equal(front_arm_cookies(front, true), 0);
	packet_flood(true);
}

/* ---- SipHash-2-4 from its paper, not from bpf/sip.h ---- */

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static void rounds(uint64_t v[4], int n)
{
	while (n--) {
		v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
		v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
		v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
		v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
	}
}

static uint64_t siphash(const uint8_t *in, size_t len)
{
	uint64_t k[2], v[4], m;
	size_t i;

	memcpy(k, key, 16);
	v[0] = k[0] ^ 0x736f6d6570736575, v[1] = k[1] ^ 0x646f72616e646f6d;
	v[2] = k[0] ^ 0x6c7967656e657261, v[3] = k[1] ^ 0x7465646279746573;
	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&m, in + i, 8);
		v[3] ^= m, rounds(v, 2), v[0] ^= m;
	}
	m = (uint64_t)len << 56;
	while (len > i)
		len--, m |= (uint64_t)in[len] << (8 * (len - i));
	v[3] ^= m, rounds(v, 2), v[0] ^= m;
	v[2] ^= 0xff, rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void test_siphash(void **state)
{
	uint8_t in[15];

	for (int i = 0; i < 15; i++)
		in[i] = (uint8_t)i;
	assert_true(siphash(in, 15) == 0xa129ca6149be45e5); /* the paper's appendix A */
}

/* What the front hashes: addresses, ports and sequence number as they stand in the packet, and the low byte. */
static uint64_t cookie_hash(const uint8_t *ip, const uint8_t *tcp, uint32_t isn, uint8_t low)
{
	bool v4 = ip[0] >> 4 == 4;
	uint8_t in[64];
	size_t n = v4 ? 8 : 32;
	uint16_t sport, dport;
	uint64_t word;

	memcpy(in, v4 ? ip + 12 : ip + 8, n);
	if (v4) { /* source low, destination high: as in the packet */
		assert_int_equal(n, 8);
	}
	memcpy(&sport, tcp, 2);
	memcpy(&dport, tcp + 2, 2);
	word = (uint64_t)isn << 32 | (uint32_t)sport << 16 | dport;
	memcpy(in + n, &word, 8);
	in[n + 8] = low;
	return siphash(in, n + 9);
}

/* ---- answers, byte by byte ---- */

#define MSS(n) 2, 4, (n) >> 8, (n) & 255
#define SACK_OK 4, 2
#define TS 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0
#define TS_BACK 8, 10, 0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44 /* the value is filled in */
#define WS(n) 3, 3, (n)
#define NOP 1

static const struct answer_row {
	const char *what;
	struct spec spec;
	uint8_t offered[40];
	uint8_t offer;	    /* of ours; 0: all */
	uint8_t agreed[20];
	uint8_t words, low; /* of options; of the cookie */
} answers[] = {
	{ "no options", { 0 }, { 0 }, 0, { 0 }, 0, 0 << 5 | 15 },
	{ "no options, IPv6", { .v6 = true }, { 0 }, 0, { 0 }, 0, 0 << 5 | 15 },
	{ "no MSS: nothing else", { .v6 = true, .tcp_options = 5 }, { NOP, NOP, SACK_OK, NOP, NOP, TS, NOP, WS(7) }, 0, { 0 }, 0, 15 },
	{ "as Linux sends it", { .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) }, 0,
	  { MSS(1460), SACK_OK, TS_BACK, NOP, WS(10) }, 5, 6 << 5 | 16 | 7 },
	{ "as Linux sends it, IPv6", { .v6 = true, .tcp_options = 5 }, { MSS(1440), SACK_OK, TS, NOP, WS(9) }, 0,
	  { MSS(1440), SACK_OK, TS_BACK, NOP, WS(10) }, 5, 6 << 5 | 16 | 9 },
	{ "as Windows sends it", { .tcp_options = 3 }, { MSS(1460), NOP, WS(8), NOP, NOP, SACK_OK }, 0,
	  { MSS(1460), NOP, NOP, SACK_OK, NOP, WS(10) }, 3, 6 << 5 | 16 | 8 },
	{ "MSS alone", { .tcp_options = 1 }, { MSS(1400) }, 0, { MSS(1460) }, 1, 4 << 5 | 15 },
	{ "MSS between two", { .tcp_options = 1 }, { MSS(1439) }, 0, { MSS(1460) }, 1, 4 << 5 | 15 },
	{ "MSS below all", { .tcp_options = 1 }, { MSS(88) }, 0, { MSS(1460) }, 1, 0 << 5 | 15 },
	{ "MSS of jumbo frames", { .tcp_options = 1 }, { MSS(8960) }, 0, { MSS(1460) }, 1, 7 << 5 | 15 },
	{ "SACK alone", { .tcp_options = 2 }, { MSS(1460), NOP, NOP, SACK_OK }, 0, { MSS(1460), NOP, NOP, SACK_OK }, 2,
	  6 << 5 | 16 | 15 },
	{ "window scale alone", { .tcp_options = 2 }, { MSS(1460), NOP, WS(0) }, 0, { MSS(1460), NOP, WS(10) }, 2, 6 << 5 },
	{ "window scale too large: 14 (RFC 7323 2.3)", { .tcp_options = 2 }, { MSS(1460), NOP, WS(99) }, 0,
	  { MSS(1460), NOP, WS(10) }, 2, 6 << 5 | 14 },
	{ "timestamps without SACK", { .tcp_options = 4 }, { MSS(1460), NOP, NOP, TS }, 0, { MSS(1460), NOP, NOP, TS_BACK }, 4,
	  6 << 5 | 15 },
	{ "we may not SACK", { .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) },
	  COOKIE_OFFER_TIMESTAMP | COOKIE_OFFER_WSCALE, { MSS(1460), NOP, NOP, TS_BACK, NOP, WS(10) }, 5, 6 << 5 | 7 },
	{ "we may not timestamp", { .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) },
	  COOKIE_OFFER_SACK | COOKIE_OFFER_WSCALE, { MSS(1460), NOP, NOP, SACK_OK, NOP, WS(10) }, 3, 6 << 5 | 16 | 7 },
	{ "we may not scale", { .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) },
	  COOKIE_OFFER_SACK | COOKIE_OFFER_TIMESTAMP, { MSS(1460), SACK_OK, TS_BACK }, 4, 6 << 5 | 16 | 15 },
	{ "unknown options are skipped", { .tcp_options = 4 }, { 30, 6, 1, 2, 3, 4, MSS(1460), NOP, NOP, NOP, NOP, SACK_OK }, 0,
	  { MSS(1460), NOP, NOP, SACK_OK }, 2, 6 << 5 | 16 | 15 },
	{ "of two the later counts", { .tcp_options = 2 }, { MSS(536), MSS(1460) }, 0, { MSS(1460) }, 1, 6 << 5 | 15 },
	{ "nothing behind the end of options", { .tcp_options = 3 }, { 0, 0, 0, 0, MSS(1460), NOP, NOP, SACK_OK }, 0,
	  { 0 }, 0, 15 },
	{ "an option of length 0 ends them", { .tcp_options = 3 }, { MSS(1460), 30, 0, NOP, NOP, NOP, NOP, SACK_OK }, 0,
	  { MSS(1460) }, 1, 6 << 5 | 15 },
	{ "an option beyond the header ends them", { .tcp_options = 2 }, { MSS(1460), 8, 10, 1, 2 }, 0, { MSS(1460) }, 1,
	  6 << 5 | 15 },
	{ "an MSS of another length is none", { .tcp_options = 2 }, { 2, 6, 5, 180, 0, 0, NOP, NOP }, 0, { 0 }, 0, 15 },
	{ "forty bytes of NOP", { .tcp_options = 10 }, { NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP,
	  NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP, MSS(1460) }, 0,
	  { MSS(1460) }, 1, 6 << 5 | 15 },
	{ "a tag stays", { .vlans = 1, .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) }, 0,
	  { MSS(1460), SACK_OK, TS_BACK, NOP, WS(10) }, 5, 6 << 5 | 16 | 7 },
	{ "two tags stay, IPv6", { .v6 = true, .vlans = 2, .tcp_options = 1 }, { MSS(1440) }, 0, { MSS(1440) }, 1, 6 << 5 | 15 },
	{ "IP options go", { .ip_options = 10, .tcp_options = 1 }, { MSS(1460) }, 0, { MSS(1460) }, 1, 6 << 5 | 15 },
	{ "extension headers go", { .v6 = true, .ext = { HOPOPTS, 60 }, .ext_words = 6, .tcp_options = 1 }, { MSS(1440) }, 0,
	  { MSS(1440) }, 1, 6 << 5 | 15 },
	{ "data is not kept", { .payload = 900 }, { 0 }, 0, { 0 }, 0, 15 },
	{ "padding goes", { .pad = 200 }, { 0 }, 0, { 0 }, 0, 15 },
	{ "ECN is not agreed on", { .flags = SYN | ECE | 128 }, { 0 }, 0, { 0 }, 0, 15 },
};

static uint8_t *put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t v)
{
	return put16(put16(at, v >> 16), v & 0xffff);
}

static size_t ip_at(const struct spec *s)
{
	return 14 + 4 * (size_t)s->vlans;
}

static size_t tcp_at(const struct spec *s, const uint8_t *frame)
{
	size_t at = ip_at(s);
	int i;

	if (!s->v6)
		return at + (size_t)(frame[at] & 15) * 4;
	at += 40;
	for (i = 0; i < EXT_MAX && s->ext[i]; i++)
		at += (size_t)(s->ext_words + 1) * 8;
	return at;
}

static size_t build_syn(const struct spec *s, const uint8_t *options, uint8_t *frame)
{
	size_t len = packet_build(s, frame);

	if (s->tcp_options)
		memcpy(frame + tcp_at(s, frame) + 20, options, 4 * (size_t)s->tcp_options);
	return len;
}

/* The answer as it must be, checksums left out; seq and the timestamp are told. */
static size_t wanted_answer(const struct answer_row *row, const uint8_t *syn, uint32_t seq, uint32_t tsval, uint8_t *out)
{
	size_t ip = ip_at(&row->spec), tcp = tcp_at(&row->spec, syn), tcp_len = 20 + 4u * row->words, at;
	uint8_t *p = out, *options;

	memset(out, 0, 128);
	memcpy(out, syn + 6, 6);
	memcpy(out + 6, syn, 6);
	memcpy(out + 12, syn + 12, ip - 12);
	p = out + ip;
	if (row->spec.v6) {
		p = put16(p, 0x6000), p = put16(p, 0), p = put16(p, (unsigned)tcp_len);
		*p++ = 6, *p++ = 64;
		memcpy(p, syn + ip + 24, 16);
		memcpy(p + 16, syn + ip + 8, 16);
		p += 32;
	} else {
		p = put16(p, 0x4500), p = put16(p, (unsigned)(20 + tcp_len)), p = put16(p, 0), p = put16(p, 0x4000);
		*p++ = 64, *p++ = 6, p = put16(p, 0);
		memcpy(p, syn + ip + 16, 4);
		memcpy(p + 4, syn + ip + 12, 4);
		p += 8;
	}
	memcpy(p, syn + tcp + 2, 2);
	memcpy(p + 2, syn + tcp, 2);
	p = put32(p + 4, seq);
	p = put32(p, 1001);
	*p++ = (uint8_t)(tcp_len / 4 << 4);
	*p++ = SYN | ACK;
	p = put16(p, 64240);
	p = put32(p, 0);
	options = p;
	memcpy(p, row->agreed, 4u * row->words);
	for (at = 4; at < 4u * row->words; at++)
		if (options[at] == 8 && options[at + 1] == 10) {
			put32(options + at + 2, tsval);
			break;
		}
	at = (size_t)(p - out) + 4u * row->words;
	return at < 60 ? 60 : at;
}

static void zero_checksums(bool v6, size_t ip, uint8_t *frame)
{
	if (!v6)
		memset(frame + ip + 10, 0, 2);
	memset(frame + ip + (v6 ? 40 : 20) + 16, 0, 2);
}

static uint8_t row_offer;
static void offer(struct front_config *config)
{
	config->cookie_offer = row_offer ? row_offer : COOKIE_OFFER_TIMESTAMP | COOKIE_OFFER_SACK | COOKIE_OFFER_WSCALE;
	config->cookie_mss4 = 1460;
	config->cookie_mss6 = 1440;
	config->cookie_wscale = 10;
	config->cookie_window = 64240;
}

static size_t answer_to(const uint8_t *syn, size_t len, uint8_t *out)
{
	size_t out_len;

	expect(packet_reason(prog, syn, len), REASON_cookie_sent, "a SYN in a flood");
	assert_int_equal(packet_run(prog, syn, len, out, &out_len), 3 /* XDP_TX */);
	return out_len;
}

/* Whoever is told of in a forged SYN gets no more than was sent to us (and Ethernet's least, 60 bytes). */
static void check_sizes(const struct answer_row *row, const uint8_t *syn, size_t len, const uint8_t *out, size_t out_len)
{
	size_t at = ip_at(&row->spec) + (row->spec.v6 ? 4 : 2);
	unsigned came = syn[at] << 8 | syn[at + 1], went = out[at] << 8 | out[at + 1];

	if (out_len > (len > 60 ? len : 60) || went > came)
		fail_msg("%s: the answer to %zu bytes (IP %u) has %zu (IP %u)", row->what, len, came, out_len, went);
}

static void check_answer(const struct answer_row *row)
{
	uint8_t syn[PACKET_MAX], out[PACKET_MAX + 256], wanted[128];
	size_t len = build_syn(&row->spec, row->offered, syn), out_len, i;
	size_t ip = ip_at(&row->spec), tcp = tcp_at(&row->spec, syn);
	uint64_t hash = cookie_hash(syn + ip, syn + tcp, 1000, row->low);

	row_offer = row->offer;
	change_config(offer);
	out_len = answer_to(syn, len, out);
	if (!packet_checksums_ok(out, out_len))
		fail_msg("%s: a checksum of the answer is wrong", row->what);
	zero_checksums(row->spec.v6, ip, out);
	i = wanted_answer(row, syn, (uint32_t)hash << 8 | row->low, (uint32_t)(hash >> 32), wanted);
	if (out_len != i)
		fail_msg("%s: %zu bytes, not %zu", row->what, out_len, i);
	for (i = 0; i < out_len; i++)
		if (out[i] != wanted[i])
			fail_msg("%s: byte %zu (%zu of TCP) is %02x, not %02x", row->what, i, i - ip - (row->spec.v6 ? 40 : 20), out[i],
				 wanted[i]);
	check_sizes(row, syn, len, out, out_len);
}

static void test_answers(void **state)
{
	size_t i;

	open_with(FRONT_COOKIES_OWN, 0);
	for (i = 0; i < sizeof(answers) / sizeof(*answers); i++)
		check_answer(&answers[i]);
}

/* The kernel's cookies keep options in their timestamp, and only where the kernel hides no offset in it. */
static const struct answer_row kernel_answers[] = {
	{ "with timestamps", { .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) }, 7,
	  { MSS(1460), SACK_OK, TS_BACK, NOP, WS(10) }, 5, 16 | 7 },
	{ "with timestamps, IPv6", { .v6 = true, .tcp_options = 5 }, { MSS(1440), SACK_OK, TS, NOP, WS(7) }, 7,
	  { MSS(1440), SACK_OK, TS_BACK, NOP, WS(10) }, 5, 16 | 7 },
	{ "with timestamps alone", { .tcp_options = 4 }, { MSS(1460), NOP, NOP, TS }, 7, { MSS(1460), NOP, NOP, TS_BACK }, 4, 15 },
	{ "the kernel's offset is secret", { .tcp_options = 5 }, { MSS(1460), SACK_OK, TS, NOP, WS(7) },
	  COOKIE_OFFER_SACK | COOKIE_OFFER_WSCALE, { MSS(1460) }, 1, 0 },
	{ "the peer sends no timestamps", { .tcp_options = 3 }, { MSS(1460), NOP, WS(8), NOP, NOP, SACK_OK }, 7, { MSS(1460) }, 1, 0 },
	{ "no options, IPv6", { .v6 = true, .vlans = 1 }, { 0 }, 7, { 0 }, 0, 0 },
};

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
}

static void test_kernel_answers(void **state)
{
	uint8_t syn[PACKET_MAX], out[PACKET_MAX + 256], wanted[128], *tcp;
	size_t i, len, out_len;
	uint32_t tsval;

	open_with(FRONT_COOKIES_KERNEL, 0);
	for (i = 0; i < sizeof(kernel_answers) / sizeof(*kernel_answers); i++) {
		const struct answer_row *row = &kernel_answers[i];

		row_offer = row->offer;
		change_config(offer);
		len = build_syn(&row->spec, row->offered, syn);
		out_len = answer_to(syn, len, out);
		assert_true(packet_checksums_ok(out, out_len));
		check_sizes(row, syn, len, out, out_len);
		zero_checksums(row->spec.v6, ip_at(&row->spec), out);
		tcp = out + ip_at(&row->spec) + (row->spec.v6 ? 40 : 20);
		tsval = row->words >= 4 ? get32(tcp + 28) : 0;
		assert_int_equal(out_len, wanted_answer(row, syn, get32(tcp + 4), tsval, wanted));
		if (memcmp(out, wanted, out_len))
			fail_msg("%s: not as wanted", row->what);
		if (tsval) { /* not ahead of the clock, and the options in the low bits */
			assert_int_equal(tsval & 63, row->low);
			assert_in_range(now_ms() - tsval, 0, 100000);
		}
	}
}

/* ---- who meets a cookie ---- */

static int run(struct spec s, const char *src)
{
	uint8_t frame[PACKET_MAX];

	s.src = src;
	s.v6 = src && strchr(src, ':');
	return packet_reason(prog, frame, packet_build(&s, frame));
}

static void full(struct front_config *config)
{
	config->cookie_full = 1;
}
static void not_full(struct front_config *config)
{
	config->cookie_full = 0;
}
static void always(struct front_config *config)
{
	config->cookie_always = 1;
}
static void no_path(struct front_config *config)
{
	config->cookie_path = COOKIE_PATH_NONE;
}

/* The ACK that answers the SYN of spec, with so much data. */
static size_t build_ack(struct spec s, int payload, uint8_t *frame)
{
	uint8_t syn[PACKET_MAX], out[PACKET_MAX + 256];
	size_t len = packet_build(&s, syn), out_len;

	assert_int_equal(packet_run(prog, syn, len, out, &out_len), 3);
	s.flags = ACK | (payload ? PSH : 0);
	s.seq = 1001;
	s.ack = get32(out + ip_at(&s) + (s.v6 ? 40 : 20) + 4) + 1;
	s.payload = payload;
	return packet_build(&s, frame);
}

static void test_known(void **state)
{
	struct prefix4 prefix = { 32, { 198, 51, 100, 8 } };
	struct rule rule = { .comment = "by hand" };
	struct in6_addr ip;
	int map;

	open_with(FRONT_COOKIES_OWN, 0);
	expect(run((struct spec){ 0 }, "198.51.100.7"), REASON_cookie_sent, "a stranger");
	expect(run((struct spec){ 0 }, "2001:db8:7::7"), REASON_cookie_sent, "a stranger, IPv6");
	net_parse_ip("198.51.100.7", &ip);
	front_verify_source(front, &ip, "mail.example", "", 3600000);
	net_parse_ip("2001:db8:7::1", &ip);
	front_verify_source(front, &ip, "mail.example", "", 3600000);
	expect(run((struct spec){ 0 }, "198.51.100.7"), REASON_verified, "verified");
	expect(run((struct spec){ 0 }, "2001:db8:7::7"), REASON_verified, "verified, IPv6");
	map = packet_pin("maps/allow4");
	bpf_map_update_elem(map, &prefix, &rule, BPF_ANY);
	close(map);
	expect(run((struct spec){ 0 }, "198.51.100.8"), REASON_allowed_list, "allowed");
	net_parse_ip("198.51.100.9", &ip);
	front_block_source(front, &ip, 3600000);
	expect(run((struct spec){ 0 }, "198.51.100.9"), REASON_limit_connections, "holds as many as it may");
	expect(run((struct spec){ .more_fragments = true, .payload = 4 }, NULL), REASON_flood_fragment, "a SYN in fragments");
	expect(run((struct spec){ .dport = 80 }, NULL), REASON_not_ours, "another port");
	packet_flood(false);
	expect(run((struct spec){ 0 }, NULL), REASON_syn_admitted, "no flood");
	change_config(always);
	expect(run((struct spec){ 0 }, NULL), REASON_cookie_sent, "always");
	packet_flood(true);
	change_config(full);
	expect(run((struct spec){ 0 }, NULL), REASON_queue_full, "full queue");
	change_config(no_path);
	expect(run((struct spec){ 0 }, NULL), REASON_syn_admitted, "no cookies to be had");
}

static void test_no_key(void **state)
{
	open_with(FRONT_COOKIES_OWN, 0);
	assert_int_equal(front_set_cookie_epoch(front, EPOCH + 7), 0);
	expect(run((struct spec){ 0 }, NULL), REASON_syn_admitted, "without a key: as if there were no cookies");
}

/* Everything that the cookie depends on, changed in turn. */
static void test_acks(void **state)
{
	static const struct {
		const char *what;
		size_t at4, at6; /* of the byte that changes; 0: not there */
		int reason;
	} rows[] = {
		{ "source address", 14 + 15, 14 + 23, REASON_cookie_invalid },
		{ "source port", 14 + 20 + 1, 14 + 40 + 1, REASON_cookie_invalid },
		{ "sequence number", 14 + 20 + 7, 14 + 40 + 7, REASON_cookie_invalid },
		{ "acknowledged: the options", 14 + 20 + 11, 14 + 40 + 11, REASON_cookie_invalid },
		{ "acknowledged: the hash", 14 + 20 + 8, 14 + 40 + 8, REASON_cookie_invalid },
		{ "window", 14 + 20 + 15, 14 + 40 + 15, REASON_cookie_valid },
	};
	uint8_t frame[PACKET_MAX];
	size_t i, len;
	int v6;

	open_with(FRONT_COOKIES_OWN, 0);
	for (v6 = 0; v6 < 2; v6++) {
		struct spec s = { .v6 = v6, .sport = 7 };

		expect(packet_reason(prog, frame, build_ack(s, 0, frame)), REASON_cookie_valid, "answers");
		expect(packet_reason(prog, frame, build_ack(s, 100, frame)), REASON_cookie_valid, "answers with data");
		s.vlans = 2;
		expect(packet_reason(prog, frame, build_ack(s, 0, frame)), REASON_cookie_valid, "in two tags");
		s.vlans = 0;
		for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			len = build_ack(s, 0, frame);
			frame[v6 ? rows[i].at6 : rows[i].at4] ^= 1;
			expect(packet_reason(prog, frame, len), rows[i].reason, rows[i].what);
		}
		len = build_ack(s, 0, frame);
		frame[14 + (v6 ? 40 : 20) + 13] = RST | ACK;
		expect(packet_reason(prog, frame, len), REASON_flood_segment, "a reset");
	}
}

/* A cookie is good in its own minute, in the next and, for clocks that differ, in the one before. */
static void test_epochs(void **state)
{
	static const int good[] = { -2, 0, -1, 1, 0, 1, 1, 1, 2, 0 };
	uint8_t frame[PACKET_MAX];
	size_t i, len;

	open_with(FRONT_COOKIES_OWN, 0);
	for (i = 0; i < sizeof(good) / sizeof(*good); i += 2) {
		uint8_t other[16];

		set_keys(EPOCH);
		len = build_ack((struct spec){ .sport = 7 }, 0, frame);
		for (int e = -3; e <= 3; e++) { /* another key for every other minute */
			memset(other, 0x40 + e, sizeof(other));
			if (e >= good[i] - 1 && e <= good[i] + 1)
				assert_int_equal(front_set_cookie_key(front, (uint64_t)(EPOCH + e), e ? other : key, false), 0);
		}
		assert_int_equal(front_set_cookie_epoch(front, (uint64_t)(EPOCH + good[i])), 0);
		expect(packet_reason(prog, frame, len), good[i + 1] ? REASON_cookie_valid : REASON_cookie_invalid, "a minute");
	}
	/* a new process without a shared secret leaves what is there */
	set_keys(EPOCH);
	len = build_ack((struct spec){ .sport = 7 }, 0, frame);
	assert_int_equal(front_set_cookie_key(front, EPOCH, (const uint8_t[16]){ 9 }, true), 0);
	expect(packet_reason(prog, frame, len), REASON_cookie_valid, "kept");
	for (int e = -1; e <= 1; e++)
		assert_int_equal(front_set_cookie_key(front, (uint64_t)(EPOCH + e), (const uint8_t[16]){ 9 }, false), 0);
	expect(packet_reason(prog, frame, len), REASON_cookie_invalid, "replaced");
}

/* The ACK is answered with a reset that its sender believes. */
static void expect_reset(const struct spec *s, const uint8_t *frame, size_t len, int reason, const char *what)
{
	uint8_t out[PACKET_MAX + 256];
	size_t ip = ip_at(s) + (s->v6 ? 40 : 20), out_len;

	expect(packet_reason_out(prog, frame, len, out, &out_len), reason, what);
	assert_true(packet_checksums_ok(out, out_len));
	assert_int_equal(out_len, ip + 20 < 60 ? 60 : ip + 20);
	assert_int_equal(out[ip + 13], RST);
	assert_memory_equal(out + ip + 4, frame + ip + 8, 4); /* its seq is what was acknowledged */
	assert_memory_equal(out + ip, frame + ip + 2, 2);
	assert_memory_equal(out, frame + 6, 6);
}

/*
 * The limit of a source is held against the answer: the SYN's address proves nothing.  Its client believes that the
 * connection stands, and would wait for the greeting: it is told.
 */
static void test_limit(void **state)
{
	struct spec blocked = { .src = "198.51.100.9", .sport = 7 };
	uint8_t frame[PACKET_MAX], other[PACKET_MAX];
	struct in6_addr ip;
	size_t len, other_len;
	int i;

	open_with(FRONT_COOKIES_OWN, 1);
	len = build_ack(blocked, 0, frame);
	other_len = build_ack((struct spec){ .sport = 9 }, 0, other);
	net_parse_ip("198.51.100.9", &ip);
	front_block_source(front, &ip, 3600000);
	expect_reset(&blocked, frame, len, REASON_cookie_limit, "holds as many as it may");
	for (i = 0; i < 10; i++)
		expect(run((struct spec){ 0 }, NULL), REASON_cookie_sent, "any number of SYNs");
	for (i = 0; i < 2; i++) {
		struct spec s = { .v6 = i, .vlans = i, .sport = 7 };

		expect(packet_reason(prog, frame, build_ack(s, 0, frame)), REASON_cookie_valid, "the first answer");
		s.sport = 8;
		expect_reset(&s, frame, build_ack(s, 0, frame), REASON_cookie_limit, "the second");
		expect_reset(&s, frame, build_ack(s, 100, frame), REASON_cookie_limit, "the second, with data");
	}
	net_parse_ip("198.51.100.10", &ip);
	front_verify_source(front, &ip, "mail.example", "", 3600000);
	expect(packet_reason(prog, other, other_len), REASON_cookie_valid, "verified since");
}

/* syn-protect = always: outside of floods too, but there what answers no cookie is the kernel's affair. */
static void test_always(void **state)
{
	uint8_t frame[PACKET_MAX];
	struct spec s;
	size_t len;
	int v6;

	open_with(FRONT_COOKIES_KERNEL, 1);
	packet_flood(false);
	change_config(always);
	for (v6 = 0; v6 < 2; v6++) {
		s = (struct spec){ .v6 = v6, .sport = 7 };
		expect(packet_reason(prog, frame, build_ack(s, 0, frame)), REASON_cookie_valid, "the first answer");
		s.sport = 8;
		expect_reset(&s, frame, build_ack(s, 0, frame), REASON_cookie_limit, "the second");
		len = build_ack(s, 0, frame);
		frame[14 + (v6 ? 40 : 20) + 1] ^= 1; /* from another port */
		expect(packet_reason(prog, frame, len), REASON_established, "answers none");
		frame[14 + (v6 ? 40 : 20) + 13] = RST | ACK;
		expect(packet_reason(prog, frame, len), REASON_established, "a reset");
	}
	s = (struct spec){ .src = "198.51.100.62", .sport = 7 };
	len = build_ack(s, 0, frame);
	change_config(full);
	expect_reset(&s, frame, len, REASON_cookie_reset, "full queue");
	packet_flood(true);
	frame[14 + 20 + 1] ^= 1;
	expect(packet_reason(prog, frame, len), REASON_cookie_invalid, "answers none, in a flood");
	frame[14 + 20 + 1] ^= 1;
	packet_flood(false);
	change_config(no_path);
	expect(packet_reason(prog, frame, len), REASON_established, "no cookies to be had");
}

static uint32_t path;
static void take_path(struct front_config *config)
{
	config->cookie_path = path;
}

/* A cookie that the kernel made by itself was paid for with its SYN; one of the front's making is paid for when it comes back. */
static void test_paid_once(void **state)
{
	static const struct {
		enum cookie_path path;
		const char *src;
		int reason;
	} rows[] = {
		{ COOKIE_PATH_NONE, "198.51.100.61", REASON_cookie_valid },
		{ COOKIE_PATH_OWN, "198.51.100.62", REASON_cookie_valid },
		{ COOKIE_PATH_KERNEL, "198.51.100.63", REASON_cookie_limit }, /* whose it is cannot be told */
	};
	uint8_t frame[PACKET_MAX];
	size_t i, len;

	open_with(FRONT_COOKIES_KERNEL, 1);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct spec s = { .src = rows[i].src, .sport = 7 };

		path = COOKIE_PATH_KERNEL;
		change_config(take_path);
		len = build_ack(s, 0, frame); /* the cookie that the kernel would make too */
		path = rows[i].path;
		change_config(take_path);
		packet_flood(false);
		expect(run(s, rows[i].src), REASON_syn_admitted, rows[i].src);
		packet_flood(true);
		expect(packet_reason(prog, frame, len), rows[i].reason, rows[i].src);
	}
}

/* A full queue: the kernel would forget the connection without a word, so its client is told. */
static void test_reset(void **state)
{
	uint8_t frame[PACKET_MAX];
	size_t len;
	int v6;

	open_with(FRONT_COOKIES_OWN, 0);
	for (v6 = 0; v6 < 2; v6++) {
		struct spec s = { .v6 = v6, .sport = 7, .vlans = v6 };

		change_config(not_full);
		len = build_ack(s, 0, frame);
		change_config(full);
		expect_reset(&s, frame, len, REASON_cookie_reset, "full queue");
	}
}

/* ---- real TCP ---- */

static int accept_any(struct tcp_info *info)
{
	struct pollfd polls[SOCKETS];
	socklen_t len = sizeof(*info);
	int i, fd;

	for (i = 0; i < SOCKETS; i++)
		polls[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	if (poll(polls, SOCKETS, PACKET_DEADLINE_S * 1000) < 1)
		fail_msg("no connection came");
	for (i = 0; !(polls[i].revents & POLLIN);)
		i++;
	fd = accept(listeners[i], NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len), 0);
	return fd;
}

static int connect_to(const char *ip)
{
	struct net_addr to = { .port = 25 };
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, code;

	net_parse_ip(ip, &to.ip);
	len = net_to_sockaddr(&to, &ss);
	packet_enter(client_ns);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	packet_deadline(fd);
	code = connect(fd, (struct sockaddr *)&ss, len) ? -errno : 0;
	packet_enter(edge_ns);
	if (code)
		fail_msg("%s: %s", ip, strerror(-code));
	return fd;
}

static void sysctl(int ns, const char *name, int value)
{
	packet_enter(ns);
	packet_sh("echo %d >/proc/sys/net/ipv4/%s", value, name);
	packet_enter(edge_ns);
}

/* Both ends of a connection that got stuck, for who has to find out why. */
static void tell_stuck(void)
{
	packet_sh("ss -tinmo 'sport = :25' >&2; nstat -as TcpExt* >&2");
	packet_enter(client_ns);
	packet_sh("ss -tinmo 'dport = :25' >&2; nstat -as TcpExt* >&2");
	packet_enter(edge_ns);
}

/* 200 KB from one end to the other. */
static void carry(int from, int to, const char *what)
{
	static char data[200000], got[200000];
	size_t sent = 0, come = 0;
	ssize_t n;

	memset(data, 'x', sizeof(data));
	while (come < sizeof(got)) {
		struct pollfd polls[2] = { { .fd = to, .events = POLLIN }, { .fd = from, .events = sent < sizeof(data) ? POLLOUT : 0 } };

		if (poll(polls, 2, PACKET_DEADLINE_S * 1000) < 1) {
			tell_stuck();
			fail_msg("%s: of %zu bytes sent %zu came, and then no more", what, sent, come);
		}
		if (polls[1].revents & POLLOUT) {
			n = send(from, data + sent, sizeof(data) - sent, MSG_DONTWAIT);
			assert_true(n > 0 || errno == EAGAIN);
			sent += n > 0 ? (size_t)n : 0;
		} else {
			assert_int_equal(polls[1].revents, 0);
		}
		if (polls[0].revents) {
			n = recv(to, got + come, sizeof(got) - come, MSG_DONTWAIT);
			assert_true(n > 0 || (n < 0 && errno == EAGAIN));
			come += n > 0 ? (size_t)n : 0;
		}
	}
	assert_memory_equal(got, data, sizeof(got));
}

/* A connection on a cookie, both ends of which have agreed on these options; 200 KB each way. */
static void handshake(const char *ip, unsigned options, const char *what)
{
	unsigned mask = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE;
	uint64_t sent = count_of("front", "cookie_sent");
	struct tcp_info ours, theirs;
	socklen_t len = sizeof(theirs);
	int client, server;

	client = connect_to(ip);
	server = accept_any(&ours);
	getsockopt(client, IPPROTO_TCP, TCP_INFO, &theirs, &len);
	assert_true(count_of("front", "cookie_sent") - sent >= 1); /* a SYN may come twice */
	if ((ours.tcpi_options & mask) != options || (theirs.tcpi_options & mask) != options)
		fail_msg("%s, %s: options %x at the server, %x at the client, not %x", what, ip, ours.tcpi_options, theirs.tcpi_options,
			 options);
	if (options & TCPI_OPT_WSCALE && (ours.tcpi_rcv_wscale != theirs.tcpi_snd_wscale || ours.tcpi_snd_wscale != theirs.tcpi_rcv_wscale))
		fail_msg("%s, %s: window scales differ", what, ip);
	carry(server, client, what);
	carry(client, server, what);
	close(client);
	close(server);
}

enum { ALL = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE, NO_TS = TCPI_OPT_SACK | TCPI_OPT_WSCALE };

static void test_own_tcp(void **state)
{
	static const char *const ips[] = { "192.0.2.25", "2001:db8::25" };
	uint64_t made;
	int i;

	open_with(FRONT_COOKIES_OWN, 0);
	made = count_of("cookie", "made");
	for (i = 0; i < 2; i++) {
		handshake(ips[i], ALL, "everything");
		sysctl(client_ns, "tcp_timestamps", 0);
		handshake(ips[i], NO_TS, "a client without timestamps");
		sysctl(client_ns, "tcp_sack", 0);
		sysctl(client_ns, "tcp_window_scaling", 0);
		handshake(ips[i], 0, "a client without options");
		sysctl(client_ns, "tcp_timestamps", 1);
		handshake(ips[i], TCPI_OPT_TIMESTAMPS, "a client with timestamps alone");
		sysctl(client_ns, "tcp_sack", 1);
		sysctl(client_ns, "tcp_window_scaling", 1);
	}
	assert_int_equal(count_of("cookie", "made") - made, 8);
	sysctl(edge_ns, "tcp_syncookies", 2); /* makes no difference to ours */
	handshake(ips[0], ALL, "syncookies = 2");
	sysctl(edge_ns, "tcp_syncookies", 1);
}

/* Answers keep the tag, and the connection is made although the kernel takes it away before tc sees the ACK. */
static void test_vlan(void **state)
{
	uint64_t made;
	int i;

	if (system("ip link add link veth0 name veth0.100 type vlan id 100 2>/dev/null"))
		skip(); /* a kernel without VLAN devices */
	packet_sh("ip link del veth0.100");
	open_with(FRONT_COOKIES_OWN, 0);
	for (i = 0; i < 2; i++) {
		packet_enter(i ? client_ns : edge_ns);
		packet_sh("n=veth%d; ethtool -K $n txvlan off && ip link add link $n name $n.100 type vlan id 100 && ip link set $n.100 up && "
			  "ip addr add 203.0.113.%d/24 dev $n.100 && ip neigh replace 203.0.113.%d lladdr 02:00:00:00:00:0%d dev $n.100 nud permanent",
			  i, i + 1, 2 - i, 2 - i);
	}
	packet_sh("ip route add 192.0.2.25 via 203.0.113.1");
	packet_enter(edge_ns);
	made = count_of("cookie", "made");
	handshake("192.0.2.25", ALL, "through a VLAN");
	assert_int_equal(count_of("cookie", "made") - made, 1);
	packet_enter(client_ns);
	packet_sh("ip link del veth1.100");
	packet_enter(edge_ns);
	packet_sh("ip link del veth0.100");
}

/* A cookie that was answered when the flood was just over is still good. */
static void test_after_flood(void **state)
{
	struct flood over = { .until_ns = 1000000000 };
	struct timespec now;
	uint32_t zero = 0;
	int map, client;
	struct tcp_info info;

	open_with(FRONT_COOKIES_OWN, 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	over.until_ns = (uint64_t)now.tv_sec * 1000000000 - 1;
	packet_flood(false);
	change_config(always); /* the SYN is answered by a cookie, */
	map = packet_pin("maps/flood");
	assert_int_equal(bpf_map_update_elem(map, &zero, &over, BPF_ANY), 0);
	close(map);
	client = connect_to("192.0.2.25"); /* its ACK comes when none lasts */
	close(accept_any(&info));
	close(client);
}

static void test_kernel_tcp(void **state)
{
	static const char *const ips[] = { "192.0.2.25", "2001:db8::25" };
	struct front_watch watch;
	uint64_t valid;
	int i;

	sysctl(edge_ns, "tcp_syncookies", 1);
	open_with(FRONT_COOKIES_KERNEL, 0);
	assert_int_equal(front_watch(front, true, &watch), 0);
	assert_int_equal(watch.sockets, SOCKETS);
	assert_int_equal(watch.stamped, 0); /* while its queues are empty it makes none with 1 */
	sysctl(edge_ns, "tcp_syncookies", 2);
	assert_int_equal(front_watch(front, true, &watch), 0);
	assert_int_equal(watch.stamped, SOCKETS);
	sysctl(edge_ns, "tcp_syncookies", 1); /* they stay for a while */
	valid = count_of("front", "cookie_valid");
	for (i = 0; i < 2; i++)
		handshake(ips[i], 0, "the kernel hides its offset: MSS alone");
	sysctl(edge_ns, "tcp_timestamps", 2);
	assert_int_equal(front_arm_cookies(front, true), 0); /* reads the sysctls again */
	for (i = 0; i < 2; i++) {
		handshake(ips[i], ALL, "no offset: everything");
		sysctl(client_ns, "tcp_timestamps", 0);
		handshake(ips[i], 0, "a client without timestamps");
		sysctl(client_ns, "tcp_timestamps", 1);
	}
	assert_int_equal(count_of("front", "cookie_valid") - valid, 6);
	sysctl(edge_ns, "tcp_timestamps", 1);
}

/* Addresses that listeners bind themselves are looked after too. */
static void test_plain_watch(void **state)
{
	struct front_settings set = { .listeners = 1, .workers = 1, .protect = FRONT_PROTECT_AUTO, .cookies = FRONT_COOKIES_KERNEL,
				      .plain_bind = true };
	struct net_addr at = { .port = 25 };
	struct sockaddr_storage ss;
	struct front_watch watch;
	socklen_t len;
	int fd;

	open_with(FRONT_COOKIES_OWN, 0);
	close_all();
	front = packet_front(&set);
	net_parse_ip("192.0.2.25", &at.ip);
	len = net_to_sockaddr(&at, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	sysctl(edge_ns, "tcp_syncookies", 2);
	assert_int_equal(front_watch(front, true, &watch), 0);
	assert_int_equal(watch.sockets, 1);
	assert_int_equal(watch.stamped, 1);
	sysctl(edge_ns, "tcp_syncookies", 1);
	close(fd);
	for (int i = 0; i < SOCKETS; i++)
		listeners[i] = -1;
	prog = packet_pin("progs/front");
}

/* ---- frames by hand ---- */

static int open_wire(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_IP) };
	int fd;

	packet_enter(client_ns);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_IP));
	at.sll_ifindex = (int)if_nametoindex("veth1");
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	packet_enter(edge_ns);
	return fd;
}

/* The TCP answer to this port. */
static void receive(int wire, uint16_t port, uint8_t *frame)
{
	struct pollfd p = { .fd = wire, .events = POLLIN };

	while (poll(&p, 1, PACKET_DEADLINE_S * 1000) == 1) {
		ssize_t n = recv(wire, frame, PACKET_MAX, 0);

		if (n >= 54 && frame[23] == 6 && get32(frame + 34) == (25u << 16 | port))
			return;
	}
	fail_msg("nothing came back");
}

static void send_frame(int wire, uint8_t *frame, size_t len)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

	memcpy(frame, macs, 12);
	assert_int_equal(send(wire, frame, len, 0), len);
}

/*
 * The client's final ACK is lost.  It thinks the connection stands and waits for the greeting; whatever it says or
 * repeats then carries the cookie's answer as well.
 */
static void lost_ack(enum front_cookies cookies, uint16_t port)
{
	struct spec s = { .src = "198.51.100.77", .sport = port };
	uint8_t frame[PACKET_MAX];
	struct tcp_info info;
	int wire, server;

	open_with(cookies, 0);
	if (cookies == FRONT_COOKIES_KERNEL) {
		struct front_watch watch;

		sysctl(edge_ns, "tcp_syncookies", 2);
		assert_int_equal(front_watch(front, true, &watch), 0);
	}
	packet_sh("ip neigh replace 198.51.100.77 lladdr 02:00:00:00:00:02 dev veth0 nud permanent");
	wire = open_wire();
	send_frame(wire, frame, packet_build(&s, frame));
	receive(wire, port, frame);
	assert_int_equal(frame[14 + 20 + 13], SYN | ACK);
	s.flags = PSH | ACK;
	s.seq = 1001;
	s.ack = get32(frame + 14 + 20 + 4) + 1;
	s.payload = 26;
	send_frame(wire, frame, packet_build(&s, frame)); /* the first thing that gets through */
	server = accept_any(&info);
	receive(wire, port, frame);
	assert_int_equal(frame[14 + 20 + 13] & (SYN | RST), 0);
	assert_int_equal(get32(frame + 14 + 20 + 8), 1001 + 26);
	assert_int_equal(recv(server, frame, 100, MSG_DONTWAIT), 26);
	close(server);
	close(wire);
	sysctl(edge_ns, "tcp_syncookies", 1);
}

static void test_lost_ack(void **state)
{
	lost_ack(FRONT_COOKIES_OWN, 5001);
	lost_ack(FRONT_COOKIES_KERNEL, 5002);
}

/*
 * One node answers the SYN, and the ACK comes to another, which knows nothing of it and is in no flood itself.  With
 * the same secret the second makes the connection, else its kernel answers with a reset.
 */
static void other_node(const uint8_t its_key[16], uint16_t port, bool same)
{
	struct spec s = { .src = "198.51.100.77", .sport = port };
	uint8_t frame[PACKET_MAX];
	struct tcp_info info;
	int wire, server;
	size_t len;

	shared = true;
	open_with(FRONT_COOKIES_OWN, 0);
	packet_sh("ip neigh replace 198.51.100.77 lladdr 02:00:00:00:00:02 dev veth0 nud permanent");
	wire = open_wire();
	send_frame(wire, frame, packet_build(&s, frame));
	receive(wire, port, frame);
	assert_int_equal(frame[14 + 20 + 13], SYN | ACK);
	s.flags = PSH | ACK;
	s.seq = 1001;
	s.ack = get32(frame + 14 + 20 + 4) + 1;
	s.payload = 26;
	open_with(FRONT_COOKIES_OWN, 0); /* all that the first one had is gone */
	set_keys_of(its_key, EPOCH);
	len = packet_build(&s, frame);
	expect(packet_reason(prog, frame, len), same ? REASON_cookie_valid : REASON_cookie_invalid, "in a flood");
	packet_flood(false);
	send_frame(wire, frame, len);
	receive(wire, port, frame);
	assert_int_equal(frame[14 + 20 + 13] & (SYN | RST), same ? 0 : RST);
	if (same) {
		server = accept_any(&info);
		assert_int_equal(recv(server, frame, 100, MSG_DONTWAIT), 26);
		close(server);
	}
	close(wire);
	shared = false;
}

static void test_other_node(void **state)
{
	static const uint8_t other[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16 };

	other_node(key, 5011, true);
	other_node(other, 5012, false);
}

/* Nobody accepts: soon strangers are asked to wait, and those that have begun are told. */
static void test_full_queue(void **state)
{
	int clients[SOCKETS * (BACKLOG + 2)], n = 0, i;
	struct front_watch watch = { 0 };
	struct tcp_info info;

	open_with(FRONT_COOKIES_OWN, 0);
	assert_int_equal(front_watch(front, false, &watch), 0);
	assert_int_equal(watch.full, 0);
	while (!watch.full && n < (int)(sizeof(clients) / sizeof(*clients))) {
		clients[n++] = connect_to("192.0.2.25");
		assert_int_equal(front_watch(front, false, &watch), 0);
	}
	assert_int_equal(watch.full, 1);
	expect(run((struct spec){ 0 }, NULL), REASON_queue_full, "a stranger");
	for (i = 0; i < n; i++) { /* accepted: again as before */
		close(accept_any(&info));
		close(clients[i]);
	}
	assert_int_equal(front_watch(front, false, &watch), 0);
	assert_int_equal(watch.full, 0);
	expect(run((struct spec){ 0 }, NULL), REASON_cookie_sent, "a stranger");
}

/* XDP_TX on veth arrives only where the peer has a program too. */
static void attach_pass(void)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 2 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int pass = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", insns, 2, NULL);

	assert_true(pass >= 0);
	assert_true(bpf_link_create(pass, (int)if_nametoindex("veth1"), BPF_XDP, NULL) >= 0); /* as long as we live */
}

static int setup(void **state)
{
	packet_client(&edge_ns, &client_ns);
	packet_enter(client_ns);
	attach_pass();
	packet_enter(edge_ns);
	return 0;
}

static int teardown(void **state)
{
	close_all();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),	   cmocka_unit_test(test_answers), cmocka_unit_test(test_kernel_answers),
		cmocka_unit_test(test_known),	   cmocka_unit_test(test_no_key),  cmocka_unit_test(test_acks),
		cmocka_unit_test(test_epochs),	   cmocka_unit_test(test_limit),   cmocka_unit_test(test_reset),
		cmocka_unit_test(test_always),	   cmocka_unit_test(test_paid_once), cmocka_unit_test(test_own_tcp),
		cmocka_unit_test(test_vlan),	   cmocka_unit_test(test_after_flood), cmocka_unit_test(test_kernel_tcp),
		cmocka_unit_test(test_plain_watch), cmocka_unit_test(test_lost_ack), cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_other_node),
	};

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
