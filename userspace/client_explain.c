/* SPDX-License-Identifier: BSD-2-Clause */
/* What a judgement would rest on, for a person who asks: the same questions, and the records in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/client_dane.h"

struct question {
	struct dns_query query; /* first: cast back from it */
	struct client_explaining *of;
	unsigned id;
};

struct client_explaining {
	struct dns *dns;
	struct dns_inbox *inbox;
	struct client_explained *out;
	void (*done)(void *ctx);
	void *ctx;
	struct question questions[DANE_OWNERS_MAX];
};

static void show_records(struct client_explained *e, size_t owner, const struct dane_reply *r)
{
	for (size_t i = 0; dane_has_data(r->answer) && i < r->count; i++) {
		struct dane_record record;
		enum dane_fault fault = dane_record_read(NULL, r->rdata[i].data, r->rdata[i].len, &record);

		if (e->record_count == CLIENT_RECORDS_SHOWN) {
			e->records_left_out++;
			continue;
		}
		e->records[e->record_count].owner = owner;
		char *text = e->records[e->record_count++].text;
		size_t size = sizeof(e->records[0].text);
		int len = dane_record_text(&record, text, size);

		if (fault != DANE_USABLE && len >= 0 && (size_t)len < size)
			snprintf(text + len, size - (size_t)len, " (unusable: %s)", dane_fault_text(fault));
	}
}

/* By what is there, not by a match: nobody shows a certificate here. */
static void say(struct client_explained *e, const char *name)
{
	const struct dane_client *c = &e->asked;
	size_t usable = 0, where = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (c->heard[i].answer != DANE_SECURE || !c->heard[i].usable)
			continue;
		where = usable ? where : i;
		usable += c->heard[i].usable;
	}
	if (e->health.state != DNS_VALIDATES)
		snprintf(e->sentence, sizeof(e->sentence), "nobody can be verified now: %.300s", e->health.text);
	else if (usable)
		snprintf(e->sentence, sizeof(e->sentence), "a client that says EHLO %.90s and shows a certificate that one of the %zu usable records "
			 "matches (%.110s first) is verified as it; with another certificate it is a mismatch", name, usable,
			 c->owners[where].owner);
	else
		snprintf(e->sentence, sizeof(e->sentence), "no client can prove this name: %.300s", c->reason);
}

static void on_answer(struct dns_query *query, const struct dane_reply *r);

static void ask(struct client_explaining *e)
{
	struct dane_question q;

	while (dane_client_next(&e->out->asked, &q)) {
		e->questions[q.id].of = e;
		e->questions[q.id].id = q.id;
		dns_ask(e->inbox, &e->questions[q.id].query, q.name, q.type, on_answer);
	}
}

static void on_answer(struct dns_query *query, const struct dane_reply *r)
{
	struct question *q = (struct question *)query;
	struct client_explaining *e = q->of;

	show_records(e->out, q->id, r);
	dane_client_answer(&e->out->asked, q->id, r, NULL, NULL);
	ask(e);
	if (!e->out->asked.done)
		return;
	dns_health(e->dns, &e->out->health);
	say(e->out, e->out->asked.owners[0].identity);
	e->done(e->ctx); /* may free e */
}

struct client_explaining *client_dane_explain(struct dns *dns, struct dns_inbox *inbox, const char *name,
					      struct client_explained *out, void (*done)(void *ctx), void *ctx)
{
	struct client_explaining *e;

	memset(out, 0, sizeof(*out));
	dane_client_begin(&out->asked, NULL, name, NULL, 0);
	if (!out->asked.count)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		abort();
	*e = (struct client_explaining){ .dns = dns, .inbox = inbox, .out = out, .done = done, .ctx = ctx };
	ask(e);
	return e;
}

void client_dane_explain_free(struct client_explaining *e)
{
	for (size_t i = 0; e && i < DANE_OWNERS_MAX; i++)
		dns_cancel(&e->questions[i].query);
	free(e);
}
