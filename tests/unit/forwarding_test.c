/* SPDX-License-Identifier: BSD-2-Clause */
/* Which listeners have the front judge others' connections, on a host that forwards what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "userspace/forwarding.h"

static const struct {
	const char *addresses[3]; /* of the second listener; the first has one of its own */
	bool v4, v6;
	const char *said; /* NULL: nothing */
} rows[] = {
	{ { "::" }, false, false, NULL },
	{ { "::" }, true, false, "forwards (net.ipv4.ip_forward): the front takes port 2525 " },
	{ { "::" }, false, true, "forwards (net.ipv6.conf.all.forwarding): " },
	{ { "::" }, true, true, "forwards (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding): " },
	{ { "0.0.0.0" }, true, true, "forwards (net.ipv4.ip_forward): " },
	{ { "0.0.0.0" }, false, true, NULL },
	{ { "192.0.2.25", "2001:db8::25" }, true, true, NULL },
	{ { "2001:db8::25", "0.0.0.0" }, true, true, "forwards (net.ipv4.ip_forward): " },
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct in6_addr own, addresses[3];
		struct config_listener listeners[2] = {
			{ .name = (char *)"own", .addresses = &own, .address_count = 1, .port = 25 },
			{ .name = (char *)"wide", .addresses = addresses, .port = 2525 },
		};
		struct config cfg = { .listeners = listeners, .listener_count = 2 };
		char text[512] = "";

		assert_int_equal(net_parse_ip("192.0.2.1", &own), 0);
		for (size_t k = 0; k < 3 && rows[i].addresses[k]; k++)
			assert_int_equal(net_parse_ip(rows[i].addresses[k], &addresses[listeners[1].address_count++]), 0);
		if (forwarding_fault(&cfg, rows[i].v4, rows[i].v6, text, sizeof(text)) != (rows[i].said != NULL))
			fail_msg("row %zu: \"%s\"", i, text);
		if (rows[i].said && (!strstr(text, rows[i].said) || strncmp(text, "listener \"wide\" is on every address", 35)))
			fail_msg("row %zu: %s", i, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };

	return cmocka_run_group_tests_name("forwarding", tests, NULL, NULL);
}
