/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every section and every setting of danelaw.conf, once.  To add a setting: a field in config.h, a row here,
 * its paragraph in docs/danelaw.conf.5 and its line in docs/danelaw.conf.example; a test looks for the
 * last two.  A row reads: name, kind, field, then what the kind needs (see config_parts.h).
 */
#include "userspace/config_parts.h"

#include <string.h>

#define TITLED(name, type, list, count)                                                             \
	{ name, offsetof(struct config, list), sizeof(struct type), offsetof(struct config, count), \
	  offsetof(struct type, file), offsetof(struct type, line) }

const struct config_section config_sections[SECTION_COUNT] = {
	[SECTION_TOP] = { "", 0 },
	[SECTION_FRONT] = { "front", offsetof(struct config, front) },
	[SECTION_TLS] = { "tls", offsetof(struct config, tls) },
	[SECTION_LIMITS] = { "limits", offsetof(struct config, limits) },
	[SECTION_TIMEOUTS] = { "timeouts", offsetof(struct config, timeouts) },
	[SECTION_RELAY] = { "relay", offsetof(struct config, relay) },
	[SECTION_HEALTH] = { "health", offsetof(struct config, health) },
	[SECTION_DNS] = { "dns", offsetof(struct config, dns) },
	[SECTION_CERTIFICATE] = TITLED("certificate", config_certificate, certificates, certificate_count),
	[SECTION_BACKEND] = TITLED("backend", config_backend, backends, backend_count),
	[SECTION_POOL] = TITLED("pool", config_pool, pools, pool_count),
	[SECTION_POLICY] = TITLED("policy", config_policy, policies, policy_count),
	[SECTION_LISTENER] = TITLED("listener", config_listener, listeners, listener_count),
};

/* The name is the first field of every titled section: see config_item_name(). */
_Static_assert(offsetof(struct config_certificate, name) == 0, "name first");
_Static_assert(offsetof(struct config_backend, name) == 0, "name first");
_Static_assert(offsetof(struct config_pool, name) == 0, "name first");
_Static_assert(offsetof(struct config_policy, name) == 0, "name first");
_Static_assert(offsetof(struct config_listener, name) == 0, "name first");

#define ROW(section, type, name, kind, field, ...) \
	{ SECTION_##section, name, KIND_##kind, offsetof(struct type, field), sizeof(((struct type *)0)->field), __VA_ARGS__ }
#define TOP(...) ROW(TOP, config, __VA_ARGS__)
#define FRONT(...) ROW(FRONT, config_front, __VA_ARGS__)
#define TLS(...) ROW(TLS, config_tls, __VA_ARGS__)
#define LIMITS(...) ROW(LIMITS, config_limits, __VA_ARGS__)
#define TIMEOUTS(...) ROW(TIMEOUTS, config_timeouts, __VA_ARGS__)
#define RELAY(...) ROW(RELAY, config_relaying, __VA_ARGS__)
#define HEALTH(...) ROW(HEALTH, config_health, __VA_ARGS__)
#define DNS(...) ROW(DNS, config_dns, __VA_ARGS__)
#define CERTIFICATE(...) ROW(CERTIFICATE, config_certificate, __VA_ARGS__)
#define BACKEND(...) ROW(BACKEND, config_backend, __VA_ARGS__)
#define POOL(...) ROW(POOL, config_pool, __VA_ARGS__)
#define POLICY(...) ROW(POLICY, config_policy, __VA_ARGS__)
#define LISTENER(...) ROW(LISTENER, config_listener, __VA_ARGS__)
/* the count of a list, the port of an endpoint */
#define AND(type, field) .more = offsetof(struct type, field)

#define MS 1u
#define S 1000u
#define M (60 * S)
#define H (60 * M)
#define K 1024u
#define MB (1024 * K)

const struct config_setting config_settings[] = {
	TOP("hostname", HOSTNAME, hostname, .required = true),
	TOP("user", TEXT, user, .max = 32, .def = "danelaw"),
	TOP("state-dir", PATH, state_dir, .def = "/var/lib/danelaw"),
	TOP("run-dir", PATH, run_dir, .def = "/run/danelaw"),
	TOP("workers", NUMBER, workers, .max = 1024, .def = "0"),
	TOP("io", CHOICE, io, .choices = "auto|uring|epoll", .def = "auto"),
	TOP("log-level", CHOICE, log_level, .choices = "error|warn|info|debug", .def = "info"),
	TOP("metrics", LISTEN, metrics_listen),
	TOP("include", INCLUDE, file),

	FRONT("interfaces", WORDS, interfaces, AND(config_front, interface_count), .min = 1, .max = 15),
	FRONT("mode", CHOICE, mode, .choices = "native|generic-allowed|off", .def = "native"),
	FRONT("attach", CHOICE, attach, .choices = "link|libxdp", .def = "link"),
	FRONT("deny", PATHS, deny_files, AND(config_front, deny_file_count)),
	FRONT("allow", PATHS, allow_files, AND(config_front, allow_file_count)),
	FRONT("list-entries", NUMBER, list_entries, .min = 1000, .max = 1 << 24, .def = "262144"),
	FRONT("verified-entries", NUMBER, verified_entries, .min = 1000, .max = 1 << 22, .def = "65536"),
	FRONT("source-rate", NUMBER, source_rate, .max = 1000000, .def = "0"),
	FRONT("source-burst", NUMBER, source_burst, .min = 1, .max = 100000, .def = "60"),
	FRONT("factor-56", NUMBER, factor56, .max = 256, .def = "4"),
	FRONT("factor-48", NUMBER, factor48, .max = 65536, .def = "16"),
	FRONT("flood-enter", NUMBER, flood_enter, .max = 100000000, .def = "20000"),
	FRONT("flood-leave", NUMBER, flood_leave, .max = 100000000, .def = "0"),
	FRONT("flood-hold", TIME, flood_hold_ms, .min = S, .max = H, .def = "10s"),
	FRONT("syn-protect", CHOICE, syn_protect, .choices = "off|auto|always", .def = "auto"),
	FRONT("syn-cookies", CHOICE, syn_cookies, .choices = "auto|own|kernel", .def = "auto"),
	FRONT("syn-secret", PATH, syn_secret_file),
	FRONT("syn-sysctls", YESNO, syn_sysctls, .def = "no"),
	FRONT("decap-from", PREFIXES, decap_from, AND(config_front, decap_from_count)),
	FRONT("decap-to", ADDRESSES, decap_to, AND(config_front, decap_to_count)),
	FRONT("decap-gue-port", NUMBER, decap_gue_port, .max = 65535, .def = "0"),
	FRONT("decap-mss", NUMBER, decap_mss, .min = 536, .max = 8900, .def = "1392"),
	FRONT("spread", CHOICE, spread, .choices = "off|cpumap", .def = "off"),
	FRONT("spread-queue", NUMBER, spread_queue, .min = 64, .max = 16384, .def = "2048"),
	FRONT("steer", YESNO, steer, .def = "yes"),

	TLS("min-version", CHOICE, min_version, .min = 12, .choices = "1.2|1.3", .def = "1.2"),
	TLS("ticket-secret", PATH, ticket_secret_file),
	TLS("ciphers", TEXT, ciphers, .min = 1, .max = 1024),
	TLS("ciphersuites", TEXT, ciphersuites, .min = 1, .max = 1024),
	TLS("groups", TEXT, groups, .min = 1, .max = 1024),
	TLS("client-id-extension", NUMBER, client_id_extension, .max = 65535, .def = "0"),

	LIMITS("sessions", NUMBER, sessions, .min = 1, .max = 1000000, .def = "10000"),
	LIMITS("source-sessions", NUMBER, source_sessions, .max = 1000000, .def = "0"),
	LIMITS("handshakes", NUMBER, handshakes, .min = 1, .max = 100000, .def = "1000"),
	LIMITS("errors", NUMBER, errors, .min = 1, .max = 1000, .def = "20"),
	LIMITS("pipelined", NUMBER, pipelined, .min = 1, .max = 100, .def = "50"),
	LIMITS("relay-buffer", SIZE, relay_buffer, .min = 16 * K, .max = 64 * MB, .def = "256k"),
	LIMITS("client-judgements", NUMBER, client_judgements, .min = 1, .max = 100000, .def = "250"),
	LIMITS("client-cache", NUMBER, client_cache, .max = 1000000, .def = "4096"),

	TIMEOUTS("proxy-header", TIME, proxy_header, .min = 100 * MS, .max = M, .def = "5s"),
	TIMEOUTS("command", TIME, command, .min = 100 * MS, .max = H, .def = "300s"),
	TIMEOUTS("handshake", TIME, handshake, .min = 100 * MS, .max = 10 * M, .def = "30s"),
	TIMEOUTS("body-block", TIME, body_block, .min = 100 * MS, .max = H, .def = "180s"),
	TIMEOUTS("body-min-rate", SIZE, body_min_rate, .max = 1024 * MB, .def = "100"),
	TIMEOUTS("client-write", TIME, client_write, .min = 100 * MS, .max = H, .def = "180s"),
	TIMEOUTS("linger", TIME, linger, .max = M, .def = "2s"),
	TIMEOUTS("backend-connect", TIME, backend_connect, .min = 100 * MS, .max = 10 * M, .def = "5s"),
	TIMEOUTS("backend-banner", TIME, backend_banner, .min = 100 * MS, .max = H, .def = "60s"),
	TIMEOUTS("backend-reply", TIME, backend_reply, .min = 100 * MS, .max = H, .def = "300s"),
	TIMEOUTS("backend-final", TIME, backend_final, .min = 100 * MS, .max = 2 * H, .def = "600s"),
	TIMEOUTS("route", TIME, route, .min = 100 * MS, .max = H, .def = "30s"),
	TIMEOUTS("client-verdict", TIME, client_verdict, .min = 100 * MS, .max = 2 * M, .def = "10s"),
	TIMEOUTS("pass-idle", TIME, pass_idle, .min = 100 * MS, .max = 2 * H, .def = "900s"),
	TIMEOUTS("pass-quiet", TIME, pass_quiet, .min = 100 * MS, .max = H, .def = "10s"),
	TIMEOUTS("drain", TIME, drain, .max = 24 * H, .def = "600s"),

	RELAY("ktls", CHOICE, ktls, .choices = "off|auto|all", .def = "off"),
	RELAY("splice-above", SIZE, splice_above, .max = 1ull << 40, .def = "128k"),

	HEALTH("interval", TIME, interval_ms, .min = 100 * MS, .max = H, .def = "5s"),
	HEALTH("timeout", TIME, timeout_ms, .min = 100 * MS, .max = 10 * M, .def = "10s"),
	HEALTH("rise", NUMBER, rise, .min = 1, .max = 100, .def = "2"),
	HEALTH("fall", NUMBER, fall, .min = 1, .max = 100, .def = "3"),

	DNS("trust-anchor", PATH, trust_anchor_file),
	DNS("forwarders", WORDS, forwarders, AND(config_dns, forwarder_count), .min = 2, .max = 60),
	DNS("root-hints", PATH, root_hints_file),
	DNS("max-in-flight", NUMBER, max_in_flight, .min = 1, .max = 100000, .def = "1000"),
	DNS("deadline", TIME, deadline_ms, .min = 100 * MS, .max = M, .def = "10s"),
	DNS("probe-secure", TEXT, probe_secure, .min = 1, .max = 253),
	DNS("probe-bogus", TEXT, probe_bogus, .min = 1, .max = 253),
	DNS("probe-interval", TIME, probe_interval_ms, .min = S, .max = 24 * H, .def = "5m"),
	DNS("when-broken", CHOICE, when_broken, .choices = "fail-closed|run-without", .def = "fail-closed"),

	CERTIFICATE("chain", PATH, chain_file, .required = true),
	CERTIFICATE("key", PATH, key_file, .required = true),

	BACKEND("address", ENDPOINT, host, AND(config_backend, port), .min = 25, .required = true),
	BACKEND("weight", NUMBER, weight, .min = 1, .max = 256, .def = "1"),
	BACKEND("client-address", CHOICE, client_address, .choices = "proxy-v2|proxy-v1|xclient|none", .def = "proxy-v2"),
	BACKEND("proxy-budget", NUMBER, proxy_budget, .min = 52, .max = PROXY_HEADER_MAX, .def = "232"),

	BACKEND("tls", CHOICE, tls, .choices = "none|dane|pin|ca", .def = "none"),
	BACKEND("pin", WORDS, pins, AND(config_backend, pin_count), .min = 64, .max = 64),
	BACKEND("ca", PATH, ca_file),
	BACKEND("tls-name", HOSTNAME, tls_name),

	POOL("backends", REFS, backends, AND(config_pool, backend_count), .target = SECTION_BACKEND, .required = true),
	POOL("balance", CHOICE, balance, .choices = "least-connections|client-hash", .def = "least-connections"),

	POLICY("networks", PREFIXES, networks, AND(config_policy, network_count)),
	POLICY("names", WORDS, names, AND(config_policy, name_count), .min = 1, .max = 253),
	POLICY("verdicts", WORDS, verdicts, AND(config_policy, verdict_count), .min = 1, .max = 20),
	POLICY("client-dane", CHOICE, client_dane, .choices = "off|observe|enforce|require|listener", .def = "listener"),
	POLICY("relay", CHOICE, relay, .choices = "guard|splice", .def = "guard"),
	POLICY("pool", REFS, pool, AND(config_policy, pool_count), .target = SECTION_POOL),
	POLICY("sessions", NUMBER, sessions, .max = 1000000, .def = "0"),
	POLICY("max-size", SIZE, max_size, .max = 1ull << 40, .def = "0"),
	POLICY("lane", TIME, lane_ms, .max = 30 * 24 * H, .def = "0s"),
	POLICY("lane-after", NUMBER, lane_after, .max = 1000000, .def = "0"),
	POLICY("lane-days", NUMBER, lane_days, .max = 60, .def = "0"),

	LISTENER("hostname", HOSTNAME, hostname),
	LISTENER("address", ADDRESSES, addresses, AND(config_listener, address_count), .def = "::"),
	LISTENER("port", NUMBER, port, .min = 1, .max = 65535, .def = "25"),
	LISTENER("certificates", REFS, certificates, AND(config_listener, certificate_count), .target = SECTION_CERTIFICATE),
	LISTENER("pool", REF, pool, .target = SECTION_POOL, .required = true),
	LISTENER("require-tls", YESNO, require_tls, .def = "no"),
	LISTENER("proxy", CHOICE, proxy, .choices = "forbidden|required", .def = "forbidden"),
	LISTENER("proxy-from", PREFIXES, proxy_from, AND(config_listener, proxy_from_count)),
	LISTENER("greet-delay", TIME, greet_delay_ms, .max = M, .def = "0s"),
	LISTENER("newline", CHOICE, newline, .choices = "reject|normalize|pass", .def = "reject"),
	LISTENER("max-size", SIZE, max_size, .max = 1ull << 40, .def = "0"),
	LISTENER("client-dane", CHOICE, client_dane, .choices = "off|observe|enforce|require", .def = "off"),
	LISTENER("policies", REFS, policies, AND(config_listener, policy_count), .target = SECTION_POLICY),
};
const size_t config_setting_count = sizeof(config_settings) / sizeof(config_settings[0]);

/* The default of proxy-budget stands as text above. */
_Static_assert(PROXY_BUDGET_DEFAULT == 232, "the default of proxy-budget");

const struct config_setting *config_setting_find(enum config_section_id section, const char *name)
{
	size_t i;

	for (i = 0; i < config_setting_count; i++) {
		if (config_settings[i].section == section && strcmp(config_settings[i].name, name) == 0)
			return &config_settings[i];
	}
	return NULL;
}

bool config_kind_is_list(enum config_kind kind)
{
	return kind >= KIND_PATHS && kind <= KIND_REFS;
}

void *config_base(struct config *c, enum config_section_id section, size_t item)
{
	const struct config_section *s = &config_sections[section];
	char *at = (char *)c + s->offset;

	return s->item_size ? *(char **)at + item * s->item_size : at;
}

size_t config_item_count(const struct config *c, enum config_section_id section)
{
	return *(const size_t *)((const char *)c + config_sections[section].count_offset);
}

const char *config_item_name(struct config *c, enum config_section_id section, size_t item)
{
	return *(char **)config_base(c, section, item);
}
