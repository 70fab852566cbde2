/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_dns.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NAMES = 64 };

struct dns {
	int dummy;
};

struct dns_waiter {
	struct dns_waiter *next, **link;
	struct dns_query *query;
	char name[DANE_NAME_MAX];
	uint16_t type;
};

struct dns_inbox {
	int fd;
	struct dns_waiter *waiting;
};

static struct dns the_dns;
static struct dns_inbox *the_inbox;
static struct {
	char name[DANE_NAME_MAX];
	enum dane_answer answer;
	uint32_t ttl;
	uint8_t rdata[512];
	size_t len;
} told[NAMES];
static unsigned told_count, asked;
static bool held;
static struct dns_health health;

struct dns *fake_dns(void)
{
	return &the_dns;
}

void fake_dns_reset(void)
{
	told_count = asked = 0;
	held = false;
	fake_dns_health(DNS_VALIDATES);
}

void fake_dns_tell(const char *name, enum dane_answer answer, uint32_t ttl, const void *rdata, size_t len)
{
	unsigned i = 0;

	while (i < told_count && strcmp(told[i].name, name) != 0)
		i++;
	told_count += i == told_count;
	assert(told_count <= NAMES && len <= sizeof(told[0].rdata));
	snprintf(told[i].name, sizeof(told[i].name), "%s", name);
	told[i].answer = answer;
	told[i].ttl = ttl;
	told[i].len = len;
	if (len)
		memcpy(told[i].rdata, rdata, len);
}

void fake_dns_hold(bool hold)
{
	held = hold;
	if (!hold && the_inbox)
		eventfd_write(the_inbox->fd, 1);
}

void fake_dns_health(enum dns_validation state)
{
	health.state = state;
	snprintf(health.text, sizeof(health.text), state == DNS_VALIDATES ? "validation works" : "validation does not work");
}

unsigned fake_dns_asked(void)
{
	return asked;
}

unsigned fake_dns_pending(void)
{
	unsigned n = 0;

	for (struct dns_waiter *w = the_inbox ? the_inbox->waiting : NULL; w; w = w->next)
		n++;
	return n;
}

/* ---- dns.h ---- */

struct dns_inbox *dns_inbox_open(struct dns *d)
{
	struct dns_inbox *b = calloc(1, sizeof(*b));

	assert(b && d == &the_dns);
	b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	the_inbox = b;
	return b;
}

int dns_inbox_fd(const struct dns_inbox *b)
{
	return b->fd;
}

static void detach(struct dns_waiter *w)
{
	w->query->waiter = NULL;
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	free(w);
}

static void answer(struct dns_waiter *w)
{
	struct dns_query *q = w->query;
	struct dane_rdata rdata;
	struct dane_reply r = { .answer = DANE_DENIED_SECURE, .why = "", .canonical = "", .ttl = 300, .rdata = &rdata };

	for (unsigned i = 0; i < told_count; i++)
		if (strcmp(told[i].name, w->name) == 0) {
			r.answer = told[i].answer;
			r.why = r.answer == DANE_FAILED ? "SERVFAIL" : "";
			r.ttl = told[i].ttl;
			r.count = told[i].len > 0;
			rdata = (struct dane_rdata){ told[i].rdata, (uint16_t)told[i].len };
		}
	detach(w);
	q->answered(q, &r);
}

void dns_collect(struct dns_inbox *b)
{
	eventfd_t count;
	unsigned n = 0;

	eventfd_read(b->fd, &count);
	for (struct dns_waiter *w = b->waiting; w; w = w->next)
		n++;
	/* the oldest first; what is asked meanwhile waits for the next turn */
	for (; !held && n && b->waiting; n--) {
		struct dns_waiter *w = b->waiting;

		while (w->next)
			w = w->next;
		answer(w);
	}
}

void dns_inbox_close(struct dns_inbox *b)
{
	while (b->waiting)
		detach(b->waiting);
	close(b->fd);
	free(b);
	the_inbox = NULL;
}

void dns_ask(struct dns_inbox *b, struct dns_query *q, const char *name, uint16_t type,
	     void (*answered)(struct dns_query *q, const struct dane_reply *r))
{
	struct dns_waiter *w = calloc(1, sizeof(*w));

	assert(w && !q->waiter && type == DANE_TLSA);
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->query = q;
	w->next = b->waiting;
	w->link = &b->waiting;
	if (w->next)
		w->next->link = &w->next;
	b->waiting = w;
	q->waiter = w;
	q->answered = answered;
	asked++;
	if (!held)
		eventfd_write(b->fd, 1);
}

void dns_cancel(struct dns_query *q)
{
	if (q->waiter)
		detach(q->waiter);
}

void dns_health(struct dns *d, struct dns_health *out)
{
	*out = health;
}
