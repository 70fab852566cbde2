// SPDX-License-Identifier: BSD-2-Clause
/*
 * From answers to a verdict on a client MTA.  Unlike towards a server (dane_host.c) no duty follows from a record:
 * who cannot prove a name is a client like any other, unless policy says more.  But a failure is a verdict of its own
 * here as well, never "no record": else whoever can disturb a look-up could turn a mismatch into nothing.
 *
 * PKIX-TA(0) and PKIX-EE(1) are left out as RFC 7672 3.1.3 leaves them out for servers: no CA is asked here.
 */
#include "userspace/dane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *dane_verdict_name(enum dane_verdict v)
{
	static const char *const names[DANE_VERDICTS] = {
		[DANE_UNASKED] = "-",	       [DANE_VERIFIED] = "verified", [DANE_NO_PROOF] = "none",
		[DANE_UNSIGNED] = "insecure", [DANE_MISMATCH] = "mismatch", [DANE_LOOKUP_FAILED] = "lookup_failed",
	};

	return v < DANE_VERDICTS ? names[v] : "?";
}

/* Both owner names of one identity are asked at once. */
static bool same_name(const struct dane_client *c, size_t a, size_t b)
{
	return c->owners[a].source != DANE_FROM_EXTENSION && c->owners[b].source != DANE_FROM_EXTENSION &&
	       strcmp(c->owners[a].identity, c->owners[b].identity) == 0;
}

/* What one owner name says, by itself. */
static enum dane_verdict verdict_of(const struct dane_heard *h)
{
	if (h->answer == DANE_FAILED || (h->usable && h->match == DANE_MATCH_FAILED))
		return DANE_LOOKUP_FAILED;
	if (h->answer == DANE_INSECURE)
		return DANE_UNSIGNED;
	if (h->answer != DANE_SECURE || !h->usable)
		return DANE_NO_PROOF;
	return h->match == DANE_MATCHES ? DANE_VERIFIED : DANE_MISMATCH;
}

static int weight(enum dane_verdict v)
{
	static const int weights[DANE_VERDICTS] = { [DANE_VERIFIED] = 5, [DANE_LOOKUP_FAILED] = 4, [DANE_MISMATCH] = 3,
						    [DANE_UNSIGNED] = 2, [DANE_NO_PROOF] = 1 };

	return weights[v];
}

static void say_why(struct dane_client *c)
{
	const struct dane_heard *h = c->by < c->count ? &c->heard[c->by] : NULL;
	const char *owner = h ? c->owners[c->by].owner : "";

	switch (c->verdict) {
	case DANE_VERIFIED:
		snprintf(c->reason, sizeof(c->reason), "record %d of %s matches", c->record, owner);
		break;
	case DANE_LOOKUP_FAILED:
		snprintf(c->reason, sizeof(c->reason), "%s: %s", owner, h->why);
		break;
	case DANE_MISMATCH:
		snprintf(c->reason, sizeof(c->reason), "no record of %s matches: %s", owner, h->why);
		break;
	case DANE_UNSIGNED:
		snprintf(c->reason, sizeof(c->reason), "the records of %s are in a zone that is not signed", owner);
		break;
	default:
		if (!c->count)
			snprintf(c->reason, sizeof(c->reason), "neither EHLO nor the certificate names a host");
		else if (h->records)
			snprintf(c->reason, sizeof(c->reason), "none of the records of %s is usable", owner);
		else
			snprintf(c->reason, sizeof(c->reason), "no TLSA record at %s, nor at any other of %zu names", owner, c->count);
	}
}

static void conclude(struct dane_client *c)
{
	uint32_t least = UINT32_MAX;

	c->done = true;
	c->verdict = DANE_NO_PROOF;
	c->by = c->count ? 0 : c->count;
	for (size_t i = 0; i < c->count; i++) {
		const struct dane_heard *h = &c->heard[i];
		enum dane_verdict v = h->answered ? verdict_of(h) : DANE_UNASKED;
		bool more = weight(v) > weight(c->verdict) || (v == c->verdict && h->records > c->heard[c->by].records && v == DANE_NO_PROOF);

		if (h->answered && h->ttl < least)
			least = h->ttl;
		if (!more)
			continue;
		c->verdict = v;
		c->by = i;
	}
	if (c->verdict == DANE_VERIFIED) {
		memcpy(c->identity, c->owners[c->by].identity, sizeof(c->identity));
		c->ttl = c->heard[c->by].ttl;
	} else if (c->verdict != DANE_LOOKUP_FAILED) {
		c->ttl = c->count ? least : 0;
	}
	say_why(c);
}

void dane_client_begin(struct dane_client *c, const char *ext, const char *ehlo, const char *const *dns_names, size_t dns_name_count)
{
	memset(c, 0, sizeof(*c));
	c->record = -1;
	c->count = dane_client_owners(ext, ehlo, dns_names, dns_name_count, c->owners);
	if (!c->count)
		conclude(c);
}

bool dane_client_next(struct dane_client *c, struct dane_question *q)
{
	size_t i = c->next;

	if (c->done || i == c->count || (c->open && !same_name(c, i, i - 1)))
		return false;
	c->next++;
	c->open++;
	c->heard[i].asked = true;
	memcpy(q->name, c->owners[i].owner, sizeof(q->name));
	q->type = DANE_TLSA;
	q->id = (unsigned)i;
	return true;
}

static void try_match(struct dane_client *c, struct dane_heard *h, const char *identity, const struct dane_records *records,
		      dane_matcher *match, void *ctx)
{
	char why[DANE_REASON_MAX] = "";
	int record = -1;

	h->match = match ? match(ctx, records, identity, &record, why) : DANE_MATCHES_NOT;
	if (h->match == DANE_MATCHES)
		c->record = record;
	else
		snprintf(h->why, sizeof(h->why), "%s", why);
}

void dane_client_answer(struct dane_client *c, unsigned id, const struct dane_reply *r, dane_matcher *match, void *ctx)
{
	struct dane_heard *h = &c->heard[id];

	if (c->done)
		return;
	c->open--;
	h->answered = true;
	h->answer = r->answer;
	h->ttl = r->ttl;
	h->records = dane_has_data(r->answer) ? r->count : 0;
	if (r->answer == DANE_FAILED)
		snprintf(h->why, sizeof(h->why), "%s", r->why);
	if (r->answer == DANE_SECURE) {
		struct dane_records *records = dane_records_usable(NULL, r->rdata, r->count);

		h->usable = records->count;
		if (records->count)
			try_match(c, h, c->owners[id].identity, records, match, ctx);
		free(records);
	}
	if (verdict_of(h) == DANE_VERIFIED || (!c->open && c->next == c->count))
		conclude(c);
}
