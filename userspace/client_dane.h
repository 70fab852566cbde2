/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judging clients by the TLSA records of the names they say and show (docs/architecture.md, "How a verdict on a
 * client flows").  One object a worker: it asks (dns.h), decides (dane.h), matches (tls_judge.h), and keeps verdicts no longer
 * than the records they came from.  What follows from a verdict is policy's (policy.h).
 *
 * Everything a stranger can make it spend is bounded: judgements at a time (in the whole daemon), two look-ups a
 * judgement, verdicts kept, and the time, which the caller keeps with client_dane_cancel().  What exceeds a bound
 * is DANE_LOOKUP_FAILED, like every failure, and never "none".
 */
#ifndef DANELAW_CLIENT_DANE_H
#define DANELAW_CLIENT_DANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/dane.h"
#include "userspace/dns.h"
#include "userspace/ring.h"
#include "userspace/stats.h"
#include "userspace/tls_judge.h"

/* Of a client without a certificate there are no records that could end: so long its ticket carries "none". */
#define CLIENT_DANE_NONE_TTL_S 3600

struct client_judgement {
	uint8_t verdict;     /* enum dane_verdict */
	uint8_t source;	     /* enum dane_source: where the name came from; of VERIFIED */
	bool carried;	     /* came in a ticket */
	bool cached;	     /* kept from an earlier session */
	bool broken;	     /* of LOOKUP_FAILED: validation does not work at all */
	int16_t record;	     /* of VERIFIED: index among the usable records; -1: not known any more */
	uint32_t ttl;	     /* seconds from now that it may be kept; 0: not at all */
	char identity[DANE_NAME_MAX]; /* of VERIFIED, else "" */
	char text[160];	     /* one sentence without a full stop */
};

struct client_dane_settings {
	struct dns *dns;
	struct ring *ring;
	struct stats *stats;
	uint32_t *in_flight;	/* judgements that wait for the DNS, in the whole daemon (atomic) */
	uint32_t in_flight_max;
	size_t cache_max;	/* verdicts kept by this worker; 0: none */
};

struct client_dane;
struct client_judging;

/* NULL: out of memory or descriptors. */
struct client_dane *client_dane_start(const struct client_dane_settings *set);
/* No more judgements: all are cancelled by now; client_dane_free() once client_dane_idle(). */
void client_dane_stop(struct client_dane *c);
bool client_dane_idle(const struct client_dane *c);
void client_dane_free(struct client_dane *c);

/*
 * Judges the client of a connection whose handshake is over.  NULL: *out is complete at once (no certificate, kept
 * from earlier, a bound or a failure).  Else done(ctx) is called later, from ring_run(), when *out is complete; tls,
 * out and ctx must stay until then, or until client_dane_cancel().
 */
struct client_judging *client_dane_judge(struct client_dane *c, struct tls *tls, const char *ehlo, struct client_judgement *out,
					 void (*done)(void *ctx), void *ctx);
/* The judgement is not wanted any more, or has taken too long: *out becomes LOOKUP_FAILED for this reason. */
void client_dane_cancel(struct client_judging *j, const char *why);

/* What the ticket of a resumed session carried, if it may still be used; false: none. */
bool client_dane_carried(const struct tls *tls, struct client_judgement *out);
/* Sends a ticket that carries it, unless it may not be kept.  The name proven and the end, nothing else. */
void client_dane_send_ticket(struct tls *tls, const struct client_judgement *j);

/* "verified:mail.example", "none", …: what log, backend and danelawctl show; out has DANE_NAME_MAX + 16 bytes. */
const char *client_judgement_text(const struct client_judgement *j, char *out);

/* ---- explaining (danelawctl check --client NAME) ---- */

#define CLIENT_RECORDS_SHOWN 16

struct client_explained {
	struct dane_client asked; /* owner names, what was heard of each; the verdict is that of a client without the key */
	struct {
		size_t owner; /* index in asked.owners */
		char text[160]; /* "3 1 1 8d4a…", and why it is unusable, if it is */
	} records[CLIENT_RECORDS_SHOWN];
	size_t record_count, records_left_out;
	struct dns_health health;
	char sentence[DANE_REASON_MAX]; /* what a client of that name has to show, or why nothing would help it */
};

/*
 * Asks what a judgement of a client that says EHLO NAME would ask; done(ctx), from dns_collect(), once *out is complete.
 * NULL: no host name that could be proved.  To be freed afterwards, or before to give it up.
 */
struct client_explaining;
struct client_explaining *client_dane_explain(struct dns *dns, struct dns_inbox *inbox, const char *name,
					      struct client_explained *out, void (*done)(void *ctx), void *ctx);
void client_dane_explain_free(struct client_explaining *e);

#endif
