/* SPDX-License-Identifier: BSD-2-Clause */
/* Is this node fit for mail?  What /healthz says, and danelawctl status. */
#include "userspace/daemon.h"
#include "userspace/policy.h"

#include <stdarg.h>
#include <stdio.h>

struct reasons {
	char *text;
	size_t size, len;
};

static void because(struct reasons *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void because(struct reasons *r, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(r->text + r->len, r->size - r->len, "%s", r->len ? "; " : "");

	r->len += r->len + (size_t)n < r->size ? (size_t)n : r->size - 1 - r->len;
	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, r->size - r->len, fmt, ap);
	va_end(ap);
	r->len += r->len + (size_t)n < r->size ? (size_t)n : r->size - 1 - r->len;
}

/* Mail is held up without validation: backends are judged by it, or clients must be.  To observe them is no need. */
static bool needs_validation(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->backend_count; i++)
		if (cfg->backends[i].tls == CONFIG_TLS_DANE)
			return true;
	return policy_requires(cfg);
}

/* Validation runs where a policy needs it; a configuration may say that it goes on without. */
static void look_at_validation(const struct daemon *d, struct reasons *r)
{
	const struct config *cfg = daemon_config(d);
	struct dns *dns = daemon_dns(d);
	struct dns_health h;

	if (!dns || cfg->dns.when_broken == CONFIG_RUN_WITHOUT || !needs_validation(cfg))
		return;
	dns_health(dns, &h);
	if (h.state == DNS_UNKNOWN)
		because(r, "DNSSEC validation is not proved yet");
	else if (h.state != DNS_VALIDATES)
		because(r, "DNSSEC: %s", h.text);
}

static void look_at_backends(const struct daemon *d, struct reasons *r)
{
	const struct config *cfg = daemon_config(d);

	for (size_t i = 0; i < cfg->listener_count; i++) {
		const struct config_listener *l = &cfg->listeners[i];

		if (!backend_pool_up(daemon_backends(d), l->pool))
			because(r, "listener %s: no backend of pool %s is up", l->name, cfg->pools[l->pool].name);
	}
}

bool daemon_healthy(const struct daemon *d, char *why, size_t why_size)
{
	struct reasons r = { .text = why, .size = why_size };

	why[0] = 0;
	if (daemon_draining(d) || daemon_leaving(d))
		because(&r, "draining");
	look_at_validation(d, &r);
	look_at_backends(d, &r);
	return r.len == 0;
}
