// SPDX-License-Identifier: BSD-2-Clause
/*
 * The DNS and DANE engines on real zones, for tests: reads questions, prints what the engine makes of the answers.
 *
 *	dns_probe ANCHOR-FILE (hints FILE | forward ADDRESS) DEADLINE-MS [SECURE-NAME [BOGUS-NAME]] <questions
 *
 *	NAME TYPE		secure 1 alias=real.example
 *	NAME domain		what becomes of mail for a domain: each host, its duty and why
 *	NAME domain/dane	the same, using DANE in spite of an insecure MX
 *	NAME PORT		a configured next hop
 *	health			the state of the validation probe
 *	! COMMAND		waits for all answers so far, then runs a command of the shell
 *
 * All questions are asked at once; answers are printed in the order of the questions.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/dns.h"

enum { LINE_MAX_BYTES = 4096 };

struct question {
	struct dns_query query; /* first */
	struct dns_run *run;
	struct dane_plan *plan;
	char name[DANE_NAME_MAX], what[32], out[LINE_MAX_BYTES];
	bool done;
};

static void add(struct question *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct question *q, const char *fmt, ...)
{
	size_t len = strlen(q->out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(q->out + len, sizeof(q->out) - len, fmt, ap);
	va_end(ap);
}

static void answered(struct dns_query *query, const struct dane_reply *r)
{
	struct question *q = (struct question *)query;

	add(q, "%s%s %zu", dane_answer_name(r->answer), r->bogus ? "/bogus" : "", r->count);
	if (r->alias)
		add(q, " alias=%s", r->canonical);
	if (r->answer == DANE_FAILED)
		add(q, " # %s", r->why);
	q->done = true;
}

static void add_host(struct question *q, const struct dane_host *h)
{
	add(q, "; %s %s/%s", h->name, dane_duty_name(h->duty), dane_why_name(h->why));
	if (h->duty == DANE_AUTHENTICATE)
		add(q, " base=%s records=%zu", h->base, h->records->count);
	for (size_t i = 1; i < h->name_count; i++)
		add(q, "%s%s", i == 1 ? " names+" : ",", h->names[i]);
}

static void planned(void *ctx)
{
	struct question *q = ctx;
	const struct dane_outcome *o = dane_plan_outcome(q->plan);

	if (o->duty != DANE_TRY_HOSTS)
		add(q, "%s/%s # %s", dane_duty_name(o->duty), dane_why_name(o->why), o->reason);
	for (size_t i = 0; i < o->host_count && o->duty == DANE_TRY_HOSTS; i++)
		add_host(q, &o->hosts[i]);
	if (o->duty == DANE_TRY_HOSTS)
		memmove(q->out, q->out + 2, strlen(q->out + 2) + 1);
	q->done = true;
}

static uint16_t type_of(const char *word)
{
	static const uint16_t types[] = { DANE_A, DANE_NS, DANE_CNAME, DANE_MX, DANE_AAAA, DANE_TLSA };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(dane_type_name(types[i]), word) == 0)
			return types[i];
	return 0;
}

static void ask(struct dns_inbox *b, struct question *q)
{
	static const struct dane_settings may = { .insecure_mx = DANE_INSECURE_MX_MAY },
					  dane = { .insecure_mx = DANE_INSECURE_MX_DANE };

	if (type_of(q->what)) {
		dns_ask(b, &q->query, q->name, type_of(q->what), answered);
		return;
	}
	if (strncmp(q->what, "domain", 6) == 0)
		q->plan = dane_plan_domain(strcmp(q->what, "domain/dane") ? &may : &dane, q->name, 25);
	else
		q->plan = dane_plan_host(&may, q->name, (uint16_t)atoi(q->what));
	q->run = dns_run_plan(b, q->plan, planned, q);
}

static void print_health(struct dns *d)
{
	struct timespec nap = { .tv_nsec = 10000000 };
	struct dns_health h;

	for (dns_health(d, &h); h.probes == 0; dns_health(d, &h))
		nanosleep(&nap, NULL);
	printf("health: %s # %s\n", dns_validation_name(h.state), h.text);
}

/* Waits for and prints what was asked so far. */
static void finish(struct dns_inbox *b, struct question *questions, size_t count)
{
	struct pollfd fd = { .fd = dns_inbox_fd(b), .events = POLLIN };

	for (size_t i = 0; i < count; i++) {
		while (!questions[i].done && poll(&fd, 1, -1) > 0)
			dns_collect(b);
		printf("%s %s: %s\n", questions[i].name, questions[i].what, questions[i].out);
		dns_run_free(questions[i].run);
		dane_plan_free(questions[i].plan);
	}
	fflush(stdout);
	memset(questions, 0, count * sizeof(questions[0]));
}

static int run(struct dns *d, struct dns_inbox *b)
{
	static struct question questions[256];
	int status = 0;
	char line[1024];
	size_t count = 0;

	while (count < 256 && fgets(line, sizeof(line), stdin)) {
		struct question *q = &questions[count];

		if (strcmp(line, "health\n") == 0) {
			print_health(d);
		} else if (line[0] == '!') {
			finish(b, questions, count);
			count = 0;
			status |= system(line + 1);
		} else if (sscanf(line, "%253s %31s", q->name, q->what) == 2) {
			ask(b, &questions[count++]);
		}
	}
	finish(b, questions, count);
	return status != 0;
}

int main(int argc, char **argv)
{
	const char *forwarders[1] = { argc > 3 ? argv[3] : NULL };
	struct dns_settings set = { .probe_secure = argc > 5 ? argv[5] : NULL, .probe_bogus = argc > 6 ? argv[6] : NULL };
	char err[256];
	struct dns *d;

	if (argc < 5)
		return 2;
	set.trust_anchor_file = argv[1];
	set.deadline_ms = (uint32_t)atoi(argv[4]);
	if (strcmp(argv[2], "hints") == 0)
		set.root_hints_file = argv[3];
	else
		set.forwarders = forwarders, set.forwarder_count = 1;
	if (dns_start(&set, &d, err, sizeof(err))) {
		fprintf(stderr, "dns_probe: %s\n", err);
		return 1;
	}
	struct dns_inbox *b = dns_inbox_open(d);

	int status = run(d, b);

	dns_inbox_close(b);
	dns_stop(d);
	return status;
}
