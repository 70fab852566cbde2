/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/policy.h"

#include <string.h>

static bool has_address(const struct config_policy *p, const struct in6_addr *ip)
{
	for (size_t i = 0; i < p->network_count; i++)
		if (net_prefix_has(&p->networks[i], ip))
			return true;
	return !p->network_count;
}

/* Both are in the one form of dane.h; ".example" holds what is below example, not example itself. */
static bool name_fits(const char *pattern, const char *name)
{
	size_t p = strlen(pattern), n = strlen(name);

	if (pattern[0] != '.')
		return strcmp(pattern, name) == 0;
	return n > p && strcmp(name + n - p, pattern) == 0;
}

bool policy_names(const struct config_policy *p, const char *name, const char **zone)
{
	*zone = "";
	for (size_t i = 0; i < p->name_count; i++) {
		if (!name_fits(p->names[i], name))
			continue;
		if (p->names[i][0] == '.')
			*zone = p->names[i] + 1;
		return true;
	}
	return !p->name_count;
}

/* ---- before the handshake ---- */

bool policy_asks(const struct config *cfg, const struct config_listener *l)
{
	if (l->client_dane != CONFIG_CLIENT_OFF)
		return true;
	for (size_t i = 0; i < l->policy_count; i++) {
		enum config_client_dane mode = cfg->policies[l->policies[i]].client_dane;

		if (mode != CONFIG_CLIENT_AS_LISTENER && mode != CONFIG_CLIENT_OFF)
			return true;
	}
	return false;
}

static bool listener_requires(const struct config *cfg, const struct config_listener *l)
{
	for (size_t i = 0; i < l->policy_count; i++)
		if (cfg->policies[l->policies[i]].client_dane == CONFIG_CLIENT_REQUIRE)
			return true;
	return l->client_dane == CONFIG_CLIENT_REQUIRE;
}

bool policy_requires(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->listener_count; i++)
		if (listener_requires(cfg, &cfg->listeners[i]))
			return true;
	return false;
}

struct policy_ask policy_ask(const struct config *cfg, const struct config_listener *l, const struct in6_addr *ip)
{
	for (size_t i = 0; i < l->policy_count; i++) {
		const struct config_policy *p = &cfg->policies[l->policies[i]];

		if (p->client_dane != CONFIG_CLIENT_AS_LISTENER && has_address(p, ip))
			return (struct policy_ask){ (uint8_t)p->client_dane, (int16_t)l->policies[i] };
	}
	return (struct policy_ask){ (uint8_t)l->client_dane, -1 };
}

/* ---- with the verdict ---- */

enum policy_answer policy_answer(const struct config *cfg, struct policy_ask ask, enum dane_verdict verdict,
				 const char *identity, bool broken)
{
	const char *zone;

	if (ask.mode != CONFIG_CLIENT_REQUIRE)
		return ask.mode == CONFIG_CLIENT_ENFORCE && verdict == DANE_MISMATCH ? POLICY_MISMATCH : POLICY_TAKE;
	switch (verdict) {
	case DANE_VERIFIED:
		return ask.by < 0 || policy_names(&cfg->policies[ask.by], identity, &zone) ? POLICY_TAKE : POLICY_OTHER_NAME;
	case DANE_MISMATCH:
		return POLICY_MISMATCH;
	case DANE_LOOKUP_FAILED:
		return broken && cfg->dns.when_broken == CONFIG_RUN_WITHOUT ? POLICY_TAKE : POLICY_LATER;
	default:
		return POLICY_UNVERIFIED;
	}
}

int policy_choose(const struct config *cfg, const struct config_listener *l, const struct in6_addr *ip, enum dane_verdict verdict,
		  const char *identity)
{
	const char *zone;

	for (size_t i = 0; i < l->policy_count; i++) {
		const struct config_policy *p = &cfg->policies[l->policies[i]];

		if (!has_address(p, ip) || (p->verdict_bits && !(p->verdict_bits & 1u << verdict)))
			continue;
		if (p->name_count && (verdict != DANE_VERIFIED || !policy_names(p, identity, &zone)))
			continue;
		return (int)l->policies[i];
	}
	return -1;
}
