// SPDX-License-Identifier: BSD-2-Clause
/*
 * The planner: one MX question (for a domain), then the hosts, all at once; ids name the question asked, so that
 * answers may come in any order.  Nothing here waits and nothing here asks.
 *
 * Preference wins over security (RFC 7672 2.2.1): hosts are sorted by preference and then by name, so that the same
 * answers always make the same outcome; a sender is free to shuffle hosts of one preference.
 */
#include "userspace/dane.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/dane_host.h"

struct dane_plan {
	struct dane_settings set;
	char domain[DANE_NAME_MAX];
	uint16_t port;
	bool mx_wanted, mx_asked, mx_answered;
	struct dane_run *runs; /* one a host, beside outcome.hosts */
	size_t open;	       /* hosts without a duty */
	struct dane_outcome outcome;
};

enum { ID_MX = 0, ID_HOSTS = 1 }; /* ID_HOSTS + host * HOST_QUESTIONS + question */

/* A host before it is one. */
struct mx {
	char name[DANE_NAME_MAX];
	uint16_t preference;
	bool host_name;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static struct dane_plan *plan_new(const struct dane_settings *set, uint16_t port)
{
	struct dane_plan *p = must(calloc(1, sizeof(*p)));

	if (set)
		p->set = *set;
	p->port = port;
	return p;
}

static void plan_end(struct dane_plan *p, enum dane_duty duty, enum dane_why why)
{
	p->outcome.duty = duty;
	p->outcome.why = why;
}

/* "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]", "2001:db8::1" (RFC 5321 4.1.3 and its careless forms). */
static bool literal(const char *text, struct in6_addr *ip)
{
	char copy[INET6_ADDRSTRLEN + 8];
	size_t len = strlen(text);
	char *at = copy;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len + 1);
	if (len > 2 && copy[0] == '[' && copy[len - 1] == ']') {
		copy[len - 1] = '\0';
		at++;
		if (strncmp(at, "IPv6:", 5) == 0)
			at += 5;
	}
	memset(ip, 0, sizeof(*ip));
	ip->s6_addr[10] = ip->s6_addr[11] = 0xff;
	if (inet_pton(AF_INET, at, ip->s6_addr + 12) == 1)
		return true;
	return inet_pton(AF_INET6, at, ip) == 1;
}

/* ---- hosts ---- */

/* A name that cannot be asked: an address needs no DANE, anything else cannot be reached. */
static void host_unaskable(struct dane_host *h)
{
	if (literal(h->name, &h->addresses[0])) {
		h->address_count = 1;
		h->duty = DANE_NONE;
		h->why = DANE_WHY_LITERAL;
		dane_say(h->reason, "%s is an address, not a name, so there is no DANE for it", h->name);
	} else {
		h->duty = DANE_UNREACHABLE;
		h->why = DANE_WHY_BAD_NAME;
		dane_say(h->reason, "\"%s\" is no host name", h->name);
	}
}

static void hosts_start(struct dane_plan *p, const struct mx *list, size_t count, enum dane_origin origin, bool secure)
{
	struct dane_outcome *o = &p->outcome;

	o->hosts = must(calloc(count, sizeof(o->hosts[0])));
	p->runs = must(calloc(count, sizeof(p->runs[0])));
	o->host_count = count;
	for (size_t i = 0; i < count; i++) {
		struct dane_host *h = &o->hosts[i];
		struct dane_run *run = &p->runs[i];

		memcpy(h->name, list[i].name, sizeof(h->name));
		h->preference = list[i].preference;
		h->port = p->port;
		h->secure_choice = secure;
		*run = (struct dane_run){ .host = h, .set = &p->set, .origin = origin, .nexthop = p->domain,
					  .nexthop_expanded = o->expanded };
		if (list[i].host_name) {
			p->open++;
			dane_run_start(run);
		} else {
			host_unaskable(h);
		}
	}
}

/* All hosts have their duty: is there one to try? */
static void hosts_end(struct dane_plan *p)
{
	struct dane_outcome *o = &p->outcome;

	for (size_t i = 0; i < o->host_count; i++) {
		if (o->hosts[i].duty == DANE_UNREACHABLE)
			continue;
		plan_end(p, DANE_TRY_HOSTS, DANE_WHY_MX);
		dane_say(o->reason, "hosts are there to try");
		return;
	}
	plan_end(p, DANE_DEFER, o->hosts[0].why);
	dane_say(o->reason, "%s%s", o->host_count > 1 ? "no MX host can be used, for the first one: " : "",
		 o->hosts[0].reason);
	if (o->implicit_mx && o->hosts[0].why == DANE_WHY_NO_ADDRESS) { /* RFC 5321 5.1 */
		plan_end(p, DANE_BOUNCE, DANE_WHY_NO_MAIL);
		dane_say(o->reason, "%s has neither MX nor address", p->domain);
	}
}

/* ---- MX ---- */

static int mx_order(const void *left, const void *right)
{
	const struct mx *a = left, *b = right;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* The well-formed records, sorted, each host once at its best preference, no "." among others (RFC 7505 3). */
static size_t mx_list(const struct dane_reply *r, struct mx *list)
{
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct mx *m = &list[count];
		int kind;

		if (r->rdata[i].len < 3)
			continue;
		kind = dane_name_wire(r->rdata[i].data + 2, r->rdata[i].len - 2u, m->name);
		if (kind < 0 || strcmp(m->name, ".") == 0)
			continue;
		m->preference = (uint16_t)(r->rdata[i].data[0] << 8 | r->rdata[i].data[1]);
		m->host_name = kind == 0;
		count++;
	}
	qsort(list, count, sizeof(list[0]), mx_order);
	for (size_t i = 0; i < count; i++) {
		size_t known = 0;

		while (known < kept && strcmp(list[known].name, list[i].name) != 0)
			known++;
		if (known == kept)
			list[kept++] = list[i];
	}
	return kept;
}

static bool mx_is_null(const struct dane_reply *r)
{
	return r->count == 1 && r->rdata[0].len == 3 && r->rdata[0].data[2] == 0;
}

static void mx_data(struct dane_plan *p, const struct dane_reply *r)
{
	struct dane_outcome *o = &p->outcome;
	struct mx *list;
	size_t count;

	if (mx_is_null(r)) {
		plan_end(p, DANE_BOUNCE, DANE_WHY_NULL_MX);
		dane_say(o->reason, "556 5.1.10 %s takes no mail (null MX)", p->domain);
		return;
	}
	list = must(calloc(r->count + 1, sizeof(list[0])));
	count = mx_list(r, list);
	if (count > DANE_HOSTS_MAX) {
		o->hosts_left_out = count - DANE_HOSTS_MAX;
		count = DANE_HOSTS_MAX;
	}
	if (count == 0) {
		plan_end(p, DANE_DEFER, DANE_WHY_MX_MALFORMED);
		dane_say(o->reason, "no MX record of %s can be used", p->domain);
	} else {
		hosts_start(p, list, count, DANE_ORIGIN_MX, r->answer == DANE_SECURE);
	}
	free(list);
}

/* No MX: the domain itself (RFC 5321 5.1, RFC 7672 2.2.2). */
static void mx_implicit(struct dane_plan *p, bool secure)
{
	struct mx self = { .host_name = true };

	memcpy(self.name, p->domain, sizeof(self.name));
	p->outcome.implicit_mx = true;
	hosts_start(p, &self, 1, DANE_ORIGIN_IMPLICIT, secure);
}

static void mx_answer(struct dane_plan *p, const struct dane_reply *r)
{
	struct dane_outcome *o = &p->outcome;

	assert(p->mx_asked && !p->mx_answered);
	p->mx_answered = true;
	o->mx = r->answer;
	o->ttl = r->answer == DANE_FAILED ? 0 : r->ttl;
	dane_name_host(r->canonical, o->expanded);
	if (r->answer == DANE_FAILED) {
		plan_end(p, DANE_DEFER, r->bogus ? DANE_WHY_MX_BOGUS : DANE_WHY_MX_FAILED);
		dane_say(o->reason, "the MX look-up of %s failed: %s", p->domain, r->why);
	} else if (dane_has_data(r->answer)) {
		mx_data(p, r);
	} else {
		mx_implicit(p, r->answer == DANE_DENIED_SECURE);
	}
}

/* ---- what the header promises ---- */

struct dane_plan *dane_plan_host(const struct dane_settings *set, const char *host, uint16_t port)
{
	struct dane_plan *p = plan_new(set, port);
	struct mx self = { .preference = 0 };

	self.host_name = dane_name_host(host, self.name) == 0;
	if (!self.host_name)
		snprintf(self.name, sizeof(self.name), "%s", host);
	hosts_start(p, &self, 1, DANE_ORIGIN_CONFIGURED, true);
	if (p->open == 0)
		hosts_end(p);
	return p;
}

struct dane_plan *dane_plan_domain(const struct dane_settings *set, const char *domain, uint16_t port)
{
	struct dane_plan *p = plan_new(set, port);
	struct mx self = { .preference = 0 };
	struct in6_addr ip;

	if (dane_name_host(domain, p->domain) == 0) {
		p->mx_wanted = true;
	} else if (literal(domain, &ip)) {
		snprintf(self.name, sizeof(self.name), "%s", domain);
		hosts_start(p, &self, 1, DANE_ORIGIN_CONFIGURED, true);
		hosts_end(p);
	} else {
		plan_end(p, DANE_BOUNCE, DANE_WHY_BAD_NAME);
		dane_say(p->outcome.reason, "\"%.100s\" is no domain name%s", domain,
			 strlen(domain) < DANE_NAME_MAX ? " (write the A-label form of an international one)" : "");
	}
	return p;
}

void dane_plan_free(struct dane_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->outcome.host_count; i++) {
		free(p->outcome.hosts[i].records);
		free(p->outcome.hosts[i].tlsa_rdata);
	}
	free(p->outcome.hosts);
	free(p->runs);
	free(p);
}

bool dane_plan_next(struct dane_plan *p, struct dane_question *q)
{
	if (p->mx_wanted && !p->mx_asked) {
		p->mx_asked = true;
		memcpy(q->name, p->domain, sizeof(q->name));
		q->type = DANE_MX;
		q->id = ID_MX;
		return true;
	}
	for (size_t i = 0; i < p->outcome.host_count; i++) {
		struct dane_run *run = &p->runs[i];
		unsigned unasked = run->wanted & ~(unsigned)run->asked;

		if (!unasked)
			continue;
		unsigned which = (unsigned)__builtin_ctz(unasked);

		run->asked |= (uint8_t)(1u << which);
		dane_run_question(run, which, q);
		q->id = ID_HOSTS + (unsigned)i * HOST_QUESTIONS + which;
		return true;
	}
	return false;
}

void dane_plan_answer(struct dane_plan *p, unsigned id, const struct dane_reply *r)
{
	if (id == ID_MX) {
		mx_answer(p, r);
		if (p->outcome.hosts && p->open == 0)
			hosts_end(p);
		return;
	}
	size_t i = (id - ID_HOSTS) / HOST_QUESTIONS;

	assert(i < p->outcome.host_count);
	dane_run_answer(&p->runs[i], (id - ID_HOSTS) % HOST_QUESTIONS, r);
	if (p->outcome.hosts[i].duty != DANE_UNDECIDED && --p->open == 0)
		hosts_end(p);
}

bool dane_plan_done(const struct dane_plan *p)
{
	return p->outcome.duty != DANE_UNDECIDED;
}

const struct dane_outcome *dane_plan_outcome(const struct dane_plan *p)
{
	return &p->outcome;
}
