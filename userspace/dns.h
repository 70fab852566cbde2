/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Look-ups with our own DNSSEC validation (libunbound), off the workers' threads.  dns_unbound.c is the only file
 * that knows libunbound.
 *
 *   worker ── dns_ask() ──► DNS thread ──► libunbound's thread ──► network
 *   worker ◄─ dns_collect() ◄─ inbox (eventfd + list) ◄─ answer, failure, own deadline, or "full"
 *
 * One look-up serves all who wait for the same name and type; at most max_in_flight run at once, later ones fail
 * at once (and a failure is never "no record").  libunbound's cache keeps answers no longer than their TTL and
 * max_ttl; failures are not kept by us, and bogus answers not by it (a zone key found broken is, up to 60 s).
 */
#ifndef DANELAW_DNS_H
#define DANELAW_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/dane.h"

#define DNS_TRUST_ANCHOR_FILE "/usr/share/dns/root.key" /* Debian's dns-root-data */
#define DNS_MAX_IN_FLIGHT 1000
#define DNS_WAITERS_PER_LOOKUP 16 /* times max_in_flight: who may wait altogether */
#define DNS_DEADLINE_MS 10000
#define DNS_MAX_TTL_S 3600
#define DNS_PROBE_INTERVAL_MS 300000
#define DNS_PROBE_RETRY_MS 15000 /* while validation does not work */

struct dns_settings {		       /* 0 and NULL: the defaults above */
	const char *trust_anchor_file; /* DS or DNSKEY records as zone text */
	const char *trust_anchor_text; /* one such record, in place of the file */
	const char *const *forwarders; /* "192.0.2.53", "192.0.2.53:5353", "[2001:db8::53]:53"; none: own recursion */
	size_t forwarder_count;
	const char *root_hints_file; /* for own recursion; NULL: built in */
	unsigned max_in_flight;
	uint32_t deadline_ms;
	uint32_t max_ttl_s;
	const char *probe_secure; /* a name that must validate; NULL: "." */
	const char *probe_bogus;  /* a name that must fail validation; NULL: none */
	uint32_t probe_interval_ms;
};

struct dns;
struct dns_inbox;
struct dns_waiter;

/*
 * Reads the trust anchor, starts the threads and the first probe; answers come once dns_collect() is called.
 * 0, or negative with a sentence in err.
 */
int dns_start(const struct dns_settings *set, struct dns **out, char *err, size_t err_size);
/* Whoever still waits is told "stopping" (inboxes may be collected and closed afterwards). */
void dns_stop(struct dns *d);

/* One a worker (or any thread that asks); used by that thread alone. */
struct dns_inbox *dns_inbox_open(struct dns *d); /* NULL: no descriptor left */
int dns_inbox_fd(const struct dns_inbox *b);	 /* readable when there is something to collect */
void dns_collect(struct dns_inbox *b);		 /* calls answered() of every query that is done */
void dns_inbox_close(struct dns_inbox *b);	 /* what is pending is cancelled */

/* The caller's, zeroed before first use; it must stay where it is while pending. */
struct dns_query {
	struct dns_waiter *waiter; /* dns's own; not NULL: pending */
	/* r lives until this returns; q may be asked again or freed in it. */
	void (*answered)(struct dns_query *q, const struct dane_reply *r);
};

/* name in the one form of dane.h ("." is fine).  answered() is called by a later dns_collect(), never from here. */
void dns_ask(struct dns_inbox *b, struct dns_query *q, const char *name, uint16_t type,
	     void (*answered)(struct dns_query *q, const struct dane_reply *r));
void dns_cancel(struct dns_query *q); /* afterwards q is the caller's again; right also when nothing is pending */

/* ---- whole plans ---- */

struct dns_run;
/* Asks all a plan wants; done(ctx) from dns_collect() once the plan is over (never from here); then free the run. */
struct dns_run *dns_run_plan(struct dns_inbox *b, struct dane_plan *p, void (*done)(void *ctx), void *ctx);
void dns_run_free(struct dns_run *r); /* cancels what is pending; the plan stays the caller's; NULL is fine */
/* For tools: waits in this thread until the plan is over.  0 or negative errno. */
int dns_run_wait(struct dns *d, struct dane_plan *p);

/* ---- does validation work? ---- */

enum dns_validation {
	DNS_UNKNOWN,	    /* the first probe is under way */
	DNS_VALIDATES,
	DNS_NOT_VALIDATING, /* the secure name is not secure, or the bogus name passed: DANE would be off silently */
	DNS_NO_ANSWER	    /* the secure name could not be looked up, or did not validate */
};
const char *dns_validation_name(enum dns_validation v); /* "working", … */

struct dns_health {
	enum dns_validation state;
	char text[400];	  /* one sentence */
	uint64_t probes, changes; /* changes of state since the start: log when it differs from what you saw */
};
void dns_health(struct dns *d, struct dns_health *out); /* any thread */

struct dns_counts {
	uint64_t asked, joined, refused, timed_out, failed, bogus; /* failed: all that ended in DANE_FAILED */
	uint64_t in_flight, waiting;				     /* now */
};
void dns_counts(struct dns *d, struct dns_counts *out); /* any thread */

#endif
