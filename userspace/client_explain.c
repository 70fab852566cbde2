/* SPDX-License-Identifier: BSD-2-Clause */
/* What a judgement would rest on, for a person who asks: the same questions, and the records in words. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/client_dane.h"

struct question {
	struct dns_query query; /* first: cast back from it */
	struct client_explained *out;
	unsigned id;
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

static void on_answer(struct dns_query *query, const struct dane_reply *r)
{
	struct question *q = (struct question *)query;

	show_records(q->out, q->id, r);
	dane_client_answer(&q->out->asked, q->id, r, NULL, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void give_up(struct client_explained *e, struct question *questions)
{
	static const struct dane_reply late = { .answer = DANE_FAILED, .why = "no answer in time", .canonical = "" };
	struct dane_question q;

	do {
		for (size_t i = 0; i < e->asked.count && !e->asked.done; i++)
			if (e->asked.heard[i].asked && !e->asked.heard[i].answered) {
				dns_cancel(&questions[i].query);
				dane_client_answer(&e->asked, (unsigned)i, &late, NULL, NULL);
			}
	} while (dane_client_next(&e->asked, &q) || !e->asked.done);
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

int client_dane_explain(struct dns *dns, const char *name, uint32_t deadline_ms, struct client_explained *out)
{
	uint64_t end = now_ms() + deadline_ms, now;
	struct question *questions = calloc(DANE_OWNERS_MAX, sizeof(*questions));
	struct dane_question q;

	memset(out, 0, sizeof(*out));
	dane_client_begin(&out->asked, NULL, name, NULL, 0);
	struct dns_inbox *inbox = questions && out->asked.count ? dns_inbox_open(dns) : NULL;
	int r = inbox ? 0 : !questions ? -ENOMEM : !out->asked.count ? -EINVAL : -errno;
	struct pollfd fd = { .fd = inbox ? dns_inbox_fd(inbox) : -1, .events = POLLIN };

	while (!r && !out->asked.done) {
		while (dane_client_next(&out->asked, &q)) {
			questions[q.id].out = out;
			questions[q.id].id = q.id;
			dns_ask(inbox, &questions[q.id].query, q.name, q.type, on_answer);
		}
		now = now_ms();
		if (now >= end)
			give_up(out, questions);
		else if (poll(&fd, 1, (int)(end - now)) > 0)
			dns_collect(inbox);
	}
	if (inbox)
		dns_inbox_close(inbox);
	free(questions);
	if (r)
		return r;
	dns_health(dns, &out->health);
	say(out, out->asked.owners[0].identity);
	return 0;
}
