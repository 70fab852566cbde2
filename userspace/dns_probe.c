// SPDX-License-Identifier: BSD-2-Clause
/*
 * Does validation work?  A resolver without its trust anchor calls everything insecure, and DANE would be off with
 * nobody told.  So a name that must be secure ("." unless configured) is asked at the start and every few minutes,
 * and, if one is configured, a name that must be bogus.  They are asked in a context of their own that keeps nothing:
 * an answer of an hour ago proves nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/dns_internal.h"

const char *dns_validation_name(enum dns_validation v)
{
	static const char *const names[] = {
		[DNS_UNKNOWN] = "unknown",
		[DNS_VALIDATES] = "working",
		[DNS_NOT_VALIDATING] = "not-validating",
		[DNS_NO_ANSWER] = "no-answer",
	};

	return (size_t)v < sizeof(names) / sizeof(names[0]) ? names[v] : "?";
}

static void ask(struct dns *d, const char *name, uint16_t type, bool bogus)
{
	struct dns_waiter *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->type = type;
	w->probe_bogus = bogus;
	d->prober.open++;
	dns_admit(d, w);
}

void dns_probe_tick(struct dns *d, uint64_t now)
{
	struct dns_prober *p = &d->prober;

	if (now < p->next_ms || p->open > 0)
		return;
	p->seen = (struct dns_health){ .state = DNS_UNKNOWN };
	p->next_ms = UINT64_MAX;
	p->open = 1; /* ours: an answer that comes at once must not end the round too early */
	ask(d, p->secure, DANE_NS, false);
	if (p->bogus[0])
		ask(d, p->bogus, DANE_A, true);
	dns_probe_answered(d, false, NULL);
}

/* The secure name decides; the bogus one can only take away (a time-out of it says nothing). */
static void judge(struct dns_prober *p, bool bogus_name, const struct dane_reply *r)
{
	struct dns_health *h = &p->seen;

	if (bogus_name) {
		if (r->answer == DANE_FAILED || h->state == DNS_NO_ANSWER)
			return;
		h->state = DNS_NOT_VALIDATING;
		snprintf(h->text, sizeof(h->text), "validation does not work: \"%s\" should be bogus and is %s",
			 p->bogus, dane_answer_name(r->answer));
	} else if (r->answer == DANE_FAILED) {
		h->state = DNS_NO_ANSWER;
		snprintf(h->text, sizeof(h->text), "the look-up of \"%s\" %s: %.250s", p->secure,
			 r->bogus ? "does not validate (wrong trust anchor or clock?)" : "failed", r->why);
	} else if (h->state == DNS_NOT_VALIDATING) {
		return;
	} else if (r->answer == DANE_SECURE || r->answer == DANE_DENIED_SECURE) {
		h->state = DNS_VALIDATES;
		snprintf(h->text, sizeof(h->text), "validation works: \"%s\" is secure", p->secure);
	} else {
		h->state = DNS_NOT_VALIDATING;
		snprintf(h->text, sizeof(h->text), "validation does not work: \"%s\" is %s (no trust anchor for it?)",
			 p->secure, dane_answer_name(r->answer));
	}
}

static void publish(struct dns *d)
{
	struct dns_prober *p = &d->prober;
	bool works = p->seen.state == DNS_VALIDATES;

	pthread_mutex_lock(&d->lock);
	d->health.probes++;
	d->health.changes += d->health.state != p->seen.state;
	d->health.state = p->seen.state;
	memcpy(d->health.text, p->seen.text, sizeof(d->health.text));
	pthread_mutex_unlock(&d->lock);
	p->next_ms = dns_now_ms() + (works || d->probe_interval_ms < DNS_PROBE_RETRY_MS ? d->probe_interval_ms :
											   DNS_PROBE_RETRY_MS);
}

void dns_probe_answered(struct dns *d, bool bogus_name, const struct dane_reply *r)
{
	struct dns_prober *p = &d->prober;

	if (r)
		judge(p, bogus_name, r);
	if (--p->open == 0)
		publish(d);
}
