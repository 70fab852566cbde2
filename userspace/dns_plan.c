// SPDX-License-Identifier: BSD-2-Clause
/*
 * A whole plan of the DANE engine, asked through an inbox: every question the plan has goes out at once, each answer
 * may bring new ones.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "userspace/dns_internal.h"

struct question {
	struct dns_query query; /* first: cast back from it */
	struct dns_run *run;
	struct question *next, **link;
	unsigned id;
};

struct dns_run {
	struct dns_inbox *inbox;
	struct dane_plan *plan;
	struct question *open;
	struct dns_query kick; /* of a plan that asks nothing: done() must not be called from dns_run_plan() */
	void (*done)(void *ctx);
	void *ctx;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void close_question(struct question *q)
{
	*q->link = q->next;
	if (q->next)
		q->next->link = q->link;
	free(q);
}

static void question_answered(struct dns_query *query, const struct dane_reply *r);

static void ask_all(struct dns_run *run)
{
	struct dane_question dq;

	while (dane_plan_next(run->plan, &dq)) {
		struct question *q = must(calloc(1, sizeof(*q)));

		q->run = run;
		q->id = dq.id;
		q->next = run->open;
		q->link = &run->open;
		if (run->open)
			run->open->link = &q->next;
		run->open = q;
		dns_ask(run->inbox, &q->query, dq.name, dq.type, question_answered);
	}
}

static void question_answered(struct dns_query *query, const struct dane_reply *r)
{
	struct question *q = (struct question *)query;
	struct dns_run *run = q->run;

	dane_plan_answer(run->plan, q->id, r);
	close_question(q);
	ask_all(run);
	if (dane_plan_done(run->plan))
		run->done(run->ctx); /* may free run */
}

static void kicked(struct dns_query *query, const struct dane_reply *r)
{
	struct dns_run *run = (struct dns_run *)((char *)query - offsetof(struct dns_run, kick));

	run->done(run->ctx);
}

struct dns_run *dns_run_plan(struct dns_inbox *b, struct dane_plan *p, void (*done)(void *ctx), void *ctx)
{
	struct dns_run *run = must(calloc(1, sizeof(*run)));

	run->inbox = b;
	run->plan = p;
	run->done = done;
	run->ctx = ctx;
	if (dane_plan_done(p))
		dns_ask(b, &run->kick, ".", DNS_TYPE_NONE, kicked);
	else
		ask_all(run);
	return run;
}

void dns_run_free(struct dns_run *run)
{
	if (!run)
		return;
	dns_cancel(&run->kick);
	while (run->open) {
		dns_cancel(&run->open->query);
		close_question(run->open);
	}
	free(run);
}

static void set_true(void *flag)
{
	*(bool *)flag = true;
}

int dns_run_wait(struct dns *d, struct dane_plan *p)
{
	struct dns_inbox *b;
	struct pollfd fd = { .events = POLLIN };
	bool done = dane_plan_done(p);

	if (done)
		return 0;
	b = dns_inbox_open(d);
	if (!b)
		return -errno;
	fd.fd = dns_inbox_fd(b);
	struct dns_run *run = dns_run_plan(b, p, set_true, &done);

	while (!done) {
		if (poll(&fd, 1, -1) > 0)
			dns_collect(b);
	}
	dns_run_free(run);
	dns_inbox_close(b);
	return 0;
}
