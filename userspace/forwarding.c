/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/forwarding.h"

#include <string.h>

#include "userspace/log.h"

#define FORWARD4 "net.ipv4.ip_forward"
#define FORWARD6 "net.ipv6.conf.all.forwarding"

/* The families of which the listener takes every address: "::" is both. */
static void takes_all(const struct config_listener *l, bool *v4, bool *v6)
{
	static const struct in6_addr any4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	*v4 = *v6 = false;
	for (size_t i = 0; i < l->address_count; i++) {
		*v6 |= IN6_IS_ADDR_UNSPECIFIED(&l->addresses[i]);
		*v4 |= IN6_IS_ADDR_UNSPECIFIED(&l->addresses[i]) || !memcmp(&l->addresses[i], &any4, sizeof(any4));
	}
}

bool forwarding_fault(const struct config *cfg, bool v4, bool v6, char *out, size_t size)
{
	for (size_t i = 0; i < cfg->listener_count; i++) {
		const struct config_listener *l = &cfg->listeners[i];
		bool all4, all6;

		takes_all(l, &all4, &all6);
		all4 = all4 && v4;
		all6 = all6 && v6;
		if (!all4 && !all6)
			continue;
		snprintf(out, size,
			 "listener \"%.80s\" is on every address, and this host forwards (%s%s%s): the front takes port %u of other "
			 "hosts too for ours, so their connections meet limits, lists and, in a flood, SYN cookies; name our "
			 "addresses (address = { ... }), or switch forwarding off",
			 l->name, all4 ? FORWARD4 : "", all4 && all6 ? ", " : "", all6 ? FORWARD6 : "", l->port);
		return true;
	}
	return false;
}

/* The first digit of a sysctl; no such file is no forwarding. */
static bool is_on(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? getc(f) : '0';

	if (f)
		fclose(f);
	return c > '0' && c <= '9';
}

void forwarding_warn(const struct config *cfg)
{
	char text[512];

	if (forwarding_fault(cfg, is_on("/proc/sys/net/ipv4/ip_forward"), is_on("/proc/sys/net/ipv6/conf/all/forwarding"), text,
			     sizeof(text)))
		log_warn("%s", text);
}
