/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses, prefixes and HOST:PORT: what is taken, what it becomes, and what is refused. */
#include "userspace/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void addresses(void **state)
{
	static const struct {
		const char *text, *out; /* out NULL: refused */
		bool v4;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "0.0.0.0", "0.0.0.0", true },
		{ "::", "::", false },
		{ "::1", "::1", false },
		{ "2001:DB8:0::1", "2001:db8::1", false },
		{ "::ffff:192.0.2.1", "192.0.2.1", true },
		{ "", NULL }, { "192.0.2", NULL }, { "192.0.2.256", NULL }, { "192.0.2.01", NULL }, { "0x7f.1", NULL },
		{ " 192.0.2.1", NULL }, { "192.0.2.1 ", NULL }, { "[::1]", NULL }, { "fe80::1%eth0", NULL }, { "mx.example", NULL },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct in6_addr ip;
		char buf[NET_TEXT_MAX];
		int rc = net_parse_ip(rows[i].text, &ip);

		assert_int_equal(rc, rows[i].out ? 0 : -EINVAL);
		if (!rows[i].out)
			continue;
		assert_string_equal(net_ip_text(&ip, buf), rows[i].out);
		assert_int_equal(net_is_v4(&ip), rows[i].v4);
	}
}

static void prefixes(void **state)
{
	static const struct {
		const char *text;
		int len; /* -1: refused */
		const char *in, *not_in;
	} rows[] = {
		{ "192.0.2.0/24", 120, "192.0.2.255", "192.0.3.0" },
		{ "192.0.2.128/25", 121, "192.0.2.129", "192.0.2.127" },
		{ "192.0.2.1", 128, "192.0.2.1", "192.0.2.2" },
		{ "10.0.0.0/8", 104, "10.255.1.1", "11.0.0.0" },
		{ "0.0.0.0/0", 96, "255.255.255.255", "::1" },
		{ "2001:db8::/32", 32, "2001:db8:ffff::1", "2001:db9::" },
		{ "2001:db8::1", 128, "2001:db8::1", "2001:db8::2" },
		{ "fe80::/10", 10, "febf::1", "fec0::1" },
		{ "::/0", 0, "2001:db8::1", "192.0.2.1" },
		{ "::ffff:192.0.2.0/120", 120, "192.0.2.7", "192.0.3.7" },
		{ "192.0.2.1/24", -1 }, { "192.0.2.0/33", -1 }, { "192.0.2.0/", -1 }, { "192.0.2.0/+8", -1 }, { "192.0.2.0/024", -1 },
		{ "2001:db8::/129", -1 }, { "2001:db8::1/64", -1 }, { "/8", -1 }, { "", -1 }, { "10/8", -1 }, { "192.0.2.0/24/24", -1 },
		{ "192.0.2.0/99999999999999999999", -1 },
		{ "1111111111111111111111111111111111111111111111111111111111111111111111111111/8", -1 },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct net_prefix p;
		struct in6_addr ip;
		int rc = net_parse_prefix(rows[i].text, &p);

		assert_int_equal(rc, rows[i].len < 0 ? -EINVAL : 0);
		if (rc)
			continue;
		assert_int_equal(p.len, rows[i].len);
		assert_int_equal(net_parse_ip(rows[i].in, &ip), 0);
		assert_true(net_prefix_has(&p, &ip));
		assert_int_equal(net_parse_ip(rows[i].not_in, &ip), 0);
		assert_false(net_prefix_has(&p, &ip));
	}
}

static void host_port(void **state)
{
	static const struct {
		const char *text, *host; /* host NULL: refused */
		uint16_t port;
	} rows[] = {
		{ "mx-a.example:2525", "mx-a.example", 2525 },
		{ "mx-a.example", "mx-a.example", 25 },
		{ "10.0.0.5:1", "10.0.0.5", 1 },
		{ "[2001:db8::1]:65535", "2001:db8::1", 65535 },
		{ "[2001:db8::1]", "2001:db8::1", 25 },
		{ "2001:db8::1", "2001:db8::1", 25 },
		{ "[::]:25", "::", 25 },
		{ "", NULL }, { ":25", NULL }, { "mx:", NULL }, { "mx:0", NULL }, { "mx:65536", NULL }, { "mx:+25", NULL },
		{ "mx:025", NULL }, { "mx: 25", NULL }, { "mx :25", NULL }, { "mx:25x", NULL }, { "[::1", NULL }, { "[::1]25", NULL },
		{ "[mx.example]:25", NULL }, { "[]:25", NULL }, { "a:b:c", NULL }, { "mx\n:25", NULL }, { "m\xc3\xa9.example:25", NULL },
		{ "a-name-that-is-longer-than-the-space:25", NULL },
	};
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		char host[32] = "unchanged";
		uint16_t port = 7;
		int rc = net_split_host_port(rows[i].text, 25, host, sizeof(host), &port);

		assert_int_equal(rc, rows[i].host ? 0 : -EINVAL);
		assert_string_equal(host, rows[i].host ? rows[i].host : "unchanged");
		assert_int_equal(port, rows[i].host ? rows[i].port : 7);
	}
}

static void sockets(void **state)
{
	static const struct {
		const char *ip, *text;
		int family;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1:25", AF_INET },
		{ "2001:db8::1", "[2001:db8::1]:25", AF_INET6 },
		{ "::", "[::]:25", AF_INET6 },
		{ "1111:1111:1111:1111:1111:1111:1111:1111", "[1111:1111:1111:1111:1111:1111:1111:1111]:25", AF_INET6 },
	};
	struct sockaddr unix_address = { .sa_family = AF_UNIX };
	struct net_addr a, b;
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		struct sockaddr_storage ss;
		char buf[NET_TEXT_MAX];

		assert_int_equal(net_parse_ip(rows[i].ip, &a.ip), 0);
		a.port = 25;
		assert_int_equal(net_to_sockaddr(&a, &ss),
				 rows[i].family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_int_equal(ss.ss_family, rows[i].family);
		memset(&b, 0xff, sizeof(b));
		assert_int_equal(net_from_sockaddr((struct sockaddr *)&ss, &b), 0);
		assert_true(net_addr_equal(&a, &b));
		assert_string_equal(net_addr_text(&b, buf), rows[i].text);
		b.port++;
		assert_false(net_addr_equal(&a, &b));
	}
	assert_int_equal(net_from_sockaddr(&unix_address, &a), -EAFNOSUPPORT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(host_port),
		cmocka_unit_test(sockets),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
