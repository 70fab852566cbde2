/* SPDX-License-Identifier: BSD-2-Clause */
/* One look at the running daemon, as metrics. */
#include "userspace/metrics_parts.h"
#include "userspace/tls_ktls.h"

#include <stdlib.h>
#include <time.h>

/* Samples of one family stand together: so a loop over the backends for each. */
static void say_backends(struct metrics_text *m, struct backends *b)
{
	static const char *states[BACKEND_STATES];
	size_t n = backend_count(b);
	struct backend_status *s = calloc(n + 1, sizeof(*s));

	if (!s) {
		m->failed = true;
		return;
	}
	for (size_t i = 0; i < BACKEND_STATES; i++)
		states[i] = backend_state_name((enum backend_state)i);
	for (size_t i = 0; i < n; i++)
		backend_get_status(b, i, &s[i]);
	metrics_family(m, METRICS_STATESET, "backend_state", "What is known of a backend; up and unknown get sessions.");
	for (size_t i = 0; i < n; i++)
		metrics_states(m, "backend", s[i].name, states, BACKEND_STATES, s[i].state);
	metrics_family(m, METRICS_GAUGE, "backend_sessions", "Connections to a backend that are open or being opened.");
	for (size_t i = 0; i < n; i++)
		metrics_sample(m, s[i].sessions, "backend", s[i].name, NULL);
	metrics_family(m, METRICS_COUNTER, "backend_reached", "Sessions that reached a backend.");
	for (size_t i = 0; i < n; i++)
		metrics_sample(m, s[i].reached, "backend", s[i].name, NULL);
	metrics_family(m, METRICS_COUNTER, "backend_failures", "Sessions, probes and look-ups that failed at a backend.");
	for (size_t i = 0; i < n; i++)
		metrics_sample(m, s[i].failed, "backend", s[i].name, NULL);
	free(s);
}

static void say_dns(struct metrics_text *m, struct dns *dns)
{
	static const char *states[DNS_NO_ANSWER + 1];
	struct dns_counts n;
	struct dns_health h;

	for (size_t i = 0; i <= DNS_NO_ANSWER; i++)
		states[i] = dns_validation_name((enum dns_validation)i);
	dns_counts(dns, &n);
	dns_health(dns, &h);
	const struct {
		enum metrics_type type;
		const char *name, *help;
		uint64_t value;
	} rows[] = {
		{ METRICS_COUNTER, "dns_asked", "Look-ups that were asked for.", n.asked },
		{ METRICS_COUNTER, "dns_joined", "Look-ups that joined one under way for the same name and type.", n.joined },
		{ METRICS_COUNTER, "dns_refused", "Look-ups refused because too many were in flight or waited for.", n.refused },
		{ METRICS_COUNTER, "dns_timed_out", "Look-ups without an answer at their deadline.", n.timed_out },
		{ METRICS_COUNTER, "dns_failed", "Look-ups that failed, for whatever reason.", n.failed },
		{ METRICS_COUNTER, "dns_bogus", "Look-ups whose answer failed validation.", n.bogus },
		{ METRICS_GAUGE, "dns_in_flight", "Look-ups in flight now.", n.in_flight },
		{ METRICS_GAUGE, "dns_waiting", "Askers that wait for a look-up now.", n.waiting },
		{ METRICS_COUNTER, "dns_validation_probes", "Proofs of validation that were tried.", h.probes },
		{ METRICS_COUNTER, "dns_validation_changes", "Times that proof turned out otherwise than before.", h.changes },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		metrics_family(m, rows[i].type, rows[i].name, rows[i].help);
		metrics_sample(m, rows[i].value, NULL);
	}
	metrics_family(m, METRICS_STATESET, "dns_validation", "Does DNSSEC validation work, as last proved.");
	metrics_states(m, NULL, NULL, states, DNS_NO_ANSWER + 1, h.state);
}

static void say_certificates(struct metrics_text *m, struct daemon *d)
{
	metrics_family(m, METRICS_GAUGE, "certificate_not_after_seconds", "When a served certificate ends, in seconds since 1970.");
	for (size_t i = 0; i < daemon_config(d)->listener_count; i++) {
		struct tls_server *tls = daemon_tls(d, i);

		for (size_t k = 0; tls && k < tls_server_count(tls); k++) {
			const char *label;
			uint64_t end = (uint64_t)tls_server_not_after(tls, k, &label);

			metrics_sample(m, end, "listener", daemon_config(d)->listeners[i].name, "certificate", label, NULL);
		}
		tls_server_unref(tls);
	}
}

static void say_front(struct metrics_text *m, const struct front *front)
{
	uint64_t *counts = calloc(front_count_rows, sizeof(*counts));

	if (!counts)
		m->failed = true;
	else if (!front_read_counts(front, counts))
		metrics_front(m, counts);
	free(counts);
}

static void say_daemon(struct metrics_text *m, const struct daemon *d)
{
	const struct config *cfg = daemon_config(d);
	char why[1024];

	metrics_family(m, METRICS_INFO, "build", "The version that runs, and how it does its input and output.");
	metrics_sample(m, 1, "version", DANELAW_VERSION, "io", daemon_io(d), NULL);
	metrics_family(m, METRICS_GAUGE, "start_time_seconds", "When it started, in seconds since 1970.");
	metrics_sample(m, (uint64_t)time(NULL) - daemon_uptime_ms(d) / 1000, NULL);
	metrics_family(m, METRICS_GAUGE, "workers", "Threads that carry sessions.");
	metrics_sample(m, daemon_workers(d), NULL);
	metrics_family(m, METRICS_GAUGE, "kernel_tls", "1 if the kernel may get the TLS of sessions that are passed on unread.");
	metrics_sample(m, tls_kernel()->works, NULL);
	metrics_family(m, METRICS_GAUGE, "healthy", "1 while /healthz says ok.");
	metrics_sample(m, daemon_healthy(d, why, sizeof(why)), NULL);
	metrics_family(m, METRICS_GAUGE, "draining", "1 while no new sessions are taken, or a drain is announced.");
	metrics_sample(m, daemon_draining(d) || daemon_leaving(d), NULL);
	metrics_family(m, METRICS_GAUGE, "limit", "Limits of the configuration on what goes on at the same time.");
	metrics_sample(m, cfg->limits.sessions, "of", "sessions", NULL);
	metrics_sample(m, cfg->limits.handshakes, "of", "handshakes", NULL);
	if (daemon_dns(d))
		metrics_sample(m, cfg->dns.max_in_flight, "of", "dns_in_flight", NULL);
}

char *metrics_of_daemon(struct daemon *d, size_t *len)
{
	struct metrics_text m = { 0 };
	struct stats sum;

	daemon_sum(d, &sum);
	say_daemon(&m, d);
	metrics_stats(&m, &sum);
	say_backends(&m, daemon_backends(d));
	say_certificates(&m, d);
	if (daemon_dns(d))
		say_dns(&m, daemon_dns(d));
	if (daemon_front(d))
		say_front(&m, daemon_front(d));
	return metrics_end(&m, len);
}
