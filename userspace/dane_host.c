// SPDX-License-Identifier: BSD-2-Clause
/*
 * One host, as RFC 7672 2.2.2 and 2.2.3 have it:
 *
 *   A, AAAA ──► not an alias, secure ─────────────► TLSA at [host]
 *          ├──► alias, all links secure ──────────► TLSA at [expanded, host]
 *          ├──► alias, insecure: CNAME of host ───► secure: TLSA at [host]
 *          └──► else: no DANE, TLSA is not asked
 *
 * Addresses come first because name servers of unsigned zones answer TLSA with SERVFAIL or not at all; asking there
 * would make hosts unreachable that never promised anything.  A failed TLSA answer ends the search: the next
 * candidate is for denials only, else an attacker could choose among the candidates by dropping answers.
 */
#include "userspace/dane_host.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dane_say(char out[DANE_REASON_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, DANE_REASON_MAX, fmt, ap);
	va_end(ap);
}

static void want(struct dane_run *run, enum dane_host_question which)
{
	run->wanted |= (uint8_t)(1u << which);
}

static bool answered(const struct dane_run *run, enum dane_host_question which)
{
	return run->answered & 1u << which;
}

static void decide(struct dane_run *run, enum dane_duty duty, enum dane_why why)
{
	run->host->duty = duty;
	run->host->why = why;
}

/* What led to the duty lives as long as its shortest answer; a failure is not to be kept at all. */
static void note_ttl(struct dane_run *run, const struct dane_reply *r)
{
	uint32_t ttl = r->answer == DANE_FAILED ? 0 : r->ttl;

	if (!run->ttl_known || ttl < run->host->ttl)
		run->host->ttl = ttl;
	run->ttl_known = true;
}

/* A base domain too long for the labels in front of it cannot have records. */
static void add_candidate(struct dane_run *run, const char *name)
{
	char owner[DANE_NAME_MAX];

	if (dane_name_tlsa(name, run->host->port, owner) == 0)
		memcpy(run->candidates[run->candidate_count++], name, strlen(name) + 1);
}

/* The candidates are there: ask the first one. */
static void ask_tlsa(struct dane_run *run)
{
	if (run->candidate_count > 0) {
		want(run, HOST_TLSA_1);
		return;
	}
	decide(run, DANE_NONE, DANE_WHY_NO_TLSA);
	dane_say(run->host->reason, "%s is too long a name to have TLSA records", run->host->name);
}

/* ---- addresses ---- */

static size_t read_addresses(struct dane_run *run, const struct dane_reply *r, size_t bytes)
{
	size_t added = 0;

	for (size_t i = 0; i < r->count && added < DANE_ADDRESSES_MAX; i++) {
		struct in6_addr *ip = &run->host->addresses[run->host->address_count];

		if (r->rdata[i].len != bytes)
			continue;
		memset(ip, 0, sizeof(*ip));
		if (bytes == 4)
			ip->s6_addr[10] = ip->s6_addr[11] = 0xff;
		memcpy(ip->s6_addr + 16 - bytes, r->rdata[i].data, bytes);
		run->host->address_count++;
		added++;
	}
	return added;
}

/* IPv6 stands first, so an AAAA answer that comes second moves the IPv4 addresses up. */
static void keep_addresses(struct dane_run *run, const struct dane_reply *r, size_t bytes)
{
	struct dane_host *h = run->host;
	struct in6_addr before[DANE_ADDRESSES_MAX];
	size_t count = h->address_count;

	assert(count <= DANE_ADDRESSES_MAX);
	memcpy(before, h->addresses, count * sizeof(before[0]));
	if (bytes == 16)
		h->address_count = 0;
	size_t added = read_addresses(run, r, bytes);
	if (bytes == 16) {
		memcpy(h->addresses + added, before, count * sizeof(before[0]));
		h->address_count += count;
	}
}

static void take_address(struct dane_run *run, enum dane_host_question which, const struct dane_reply *r)
{
	struct dane_host *h = run->host;

	*(which == HOST_A ? &h->a : &h->aaaa) = r->answer;
	if (r->answer == DANE_FAILED) {
		snprintf(run->address_why[which], sizeof(run->address_why[which]), "%s", r->why);
		run->address_bogus |= r->bogus;
		return; /* the other family may be fine: its TTL decides */
	}
	note_ttl(run, r);
	if (!dane_has_data(r->answer))
		return;
	keep_addresses(run, r, which == HOST_A ? 4 : 16);
	run->alias |= r->alias;
	if (h->expanded[0] == '\0')
		dane_name_host(r->canonical, h->expanded);
}

/* Neither family has an address. */
static void no_address(struct dane_run *run)
{
	struct dane_host *h = run->host;
	bool v4 = h->a == DANE_FAILED;

	if (!v4 && h->aaaa != DANE_FAILED) {
		decide(run, DANE_UNREACHABLE, DANE_WHY_NO_ADDRESS);
		dane_say(h->reason, "%s has no address", h->name);
		return;
	}
	decide(run, DANE_UNREACHABLE, run->address_bogus ? DANE_WHY_ADDRESS_BOGUS : DANE_WHY_ADDRESS_FAILED);
	dane_say(h->reason, "the address look-up of %s failed: %s", h->name, run->address_why[v4 ? HOST_A : HOST_AAAA]);
	h->ttl = 0;
}

/* Insecure addresses make both families suspect: one alias chain leads to both. */
static bool addresses_secure(const struct dane_host *h)
{
	return h->a != DANE_INSECURE && h->aaaa != DANE_INSECURE;
}

static void decide_addresses(struct dane_run *run)
{
	struct dane_host *h = run->host;

	if (h->address_count == 0) {
		no_address(run);
	} else if (!h->secure_choice && run->set->insecure_mx == DANE_INSECURE_MX_MAY) {
		decide(run, DANE_NONE, DANE_WHY_MX_INSECURE);
		dane_say(h->reason, "the choice of %s is not secure (MX of an unsigned zone)", h->name);
	} else if (addresses_secure(h)) {
		if (run->alias && h->expanded[0] && strcmp(h->expanded, h->name) != 0)
			add_candidate(run, h->expanded);
		add_candidate(run, h->name);
		ask_tlsa(run);
	} else if (run->alias) {
		want(run, HOST_CNAME);
	} else {
		decide(run, DANE_NONE, DANE_WHY_HOST_INSECURE);
		dane_say(h->reason, "the addresses of %s are not signed, so TLSA is not asked", h->name);
	}
}

/* RFC 7672 2.1.3: the chain's end is insecure; is its first link? */
static void decide_alias(struct dane_run *run, const struct dane_reply *r)
{
	struct dane_host *h = run->host;

	if (r->answer == DANE_SECURE) {
		add_candidate(run, h->name);
		ask_tlsa(run);
	} else if (r->answer == DANE_FAILED) {
		decide(run, DANE_UNREACHABLE, DANE_WHY_ALIAS_FAILED);
		dane_say(h->reason, "the CNAME look-up of %s failed: %s", h->name, r->why);
	} else if (r->answer == DANE_DENIED_SECURE) {
		decide(run, DANE_UNREACHABLE, DANE_WHY_ALIAS_FAILED);
		dane_say(h->reason, "%s was an alias and now is none: the answers contradict each other", h->name);
	} else {
		decide(run, DANE_NONE, DANE_WHY_HOST_INSECURE);
		dane_say(h->reason, "%s is an alias that is not signed, so TLSA is not asked", h->name);
	}
}

/* ---- TLSA ---- */

static void keep_tlsa(struct dane_run *run, const char *base, const struct dane_reply *r)
{
	struct dane_host *h = run->host;
	size_t bytes = 0;

	free(h->tlsa_rdata);
	h->tlsa_rdata = NULL;
	dane_name_tlsa(base, h->port, h->tlsa_name);
	h->tlsa = r->answer;
	h->tlsa_count = r->count;
	if (r->count == 0)
		return;
	for (size_t i = 0; i < r->count; i++)
		bytes += r->rdata[i].len;
	h->tlsa_rdata = malloc(r->count * sizeof(h->tlsa_rdata[0]) + bytes);
	if (!h->tlsa_rdata)
		abort();
	uint8_t *at = (uint8_t *)(h->tlsa_rdata + r->count);
	for (size_t i = 0; i < r->count; i++) {
		h->tlsa_rdata[i].len = r->rdata[i].len;
		h->tlsa_rdata[i].data = at;
		if (r->rdata[i].len) /* data may be NULL then */
			memcpy(at, r->rdata[i].data, r->rdata[i].len);
		at += r->rdata[i].len;
	}
}

static void add_name(struct dane_host *h, const char *name)
{
	for (size_t i = 0; i < h->name_count; i++)
		if (strcmp(h->names[i], name) == 0)
			return;
	if (name[0] && h->name_count < DANE_NAMES_MAX)
		memcpy(h->names[h->name_count++], name, strlen(name) + 1);
}

/* RFC 7672 3.2.2: which names a DANE-TA certificate may carry. */
static void set_names(struct dane_run *run, const char *base)
{
	struct dane_host *h = run->host;

	memcpy(h->base, base, strlen(base) + 1);
	add_name(h, base);
	if (!h->secure_choice)
		return; /* an attacker may have chosen the MX: only the host's own name */
	if (run->origin == DANE_ORIGIN_MX) {
		add_name(h, run->nexthop);
		add_name(h, run->nexthop_expanded);
	} else {
		add_name(h, h->name);
	}
}

static void decide_records(struct dane_run *run, const char *base, const struct dane_reply *r)
{
	struct dane_host *h = run->host;

	set_names(run, base);
	h->records = dane_records_usable(&run->set->rules, r->rdata, r->count);
	if (h->records->count == 0) {
		free(h->records);
		h->records = NULL;
		decide(run, DANE_TLS_REQUIRED, DANE_WHY_UNUSABLE);
		dane_say(h->reason, "none of the TLSA records at %s can be used: TLS is a must, without authentication",
			 h->tlsa_name);
	} else if (!h->secure_choice && run->set->insecure_mx == DANE_INSECURE_MX_ENCRYPT) {
		free(h->records);
		h->records = NULL;
		decide(run, DANE_TLS_REQUIRED, DANE_WHY_MX_INSECURE);
		dane_say(h->reason, "TLSA records stand behind an insecure MX: TLS is a must, without authentication");
	} else {
		h->key = dane_records_key(h->records, h->base, (const char (*)[DANE_NAME_MAX])h->names, h->name_count);
		decide(run, DANE_AUTHENTICATE, DANE_WHY_RECORDS);
		dane_say(h->reason, "TLSA records at %s are secure: TLS and a match are a must", h->tlsa_name);
	}
}

static void decide_tlsa(struct dane_run *run, size_t candidate, const struct dane_reply *r)
{
	struct dane_host *h = run->host;
	const char *base = run->candidates[candidate];

	keep_tlsa(run, base, r);
	if (r->answer == DANE_FAILED) {
		decide(run, DANE_UNREACHABLE, r->bogus ? DANE_WHY_TLSA_BOGUS : DANE_WHY_TLSA_FAILED);
		dane_say(h->reason, "the TLSA look-up of %s failed: %s", h->tlsa_name, r->why);
	} else if (r->answer == DANE_SECURE) {
		decide_records(run, base, r);
	} else if (candidate + 1 < run->candidate_count) {
		want(run, HOST_TLSA_2);
	} else if (r->answer == DANE_INSECURE) {
		decide(run, DANE_NONE, DANE_WHY_TLSA_INSECURE);
		dane_say(h->reason, "the TLSA records at %s are not signed", h->tlsa_name);
	} else {
		decide(run, DANE_NONE, DANE_WHY_NO_TLSA);
		dane_say(h->reason, "there are no TLSA records at %s", h->tlsa_name);
	}
}

/* ---- for the plan ---- */

void dane_run_start(struct dane_run *run)
{
	want(run, HOST_AAAA);
	want(run, HOST_A);
}

void dane_run_question(const struct dane_run *run, enum dane_host_question which, struct dane_question *q)
{
	static const uint16_t types[HOST_QUESTIONS] = { [HOST_AAAA] = DANE_AAAA,   [HOST_A] = DANE_A,
							[HOST_CNAME] = DANE_CNAME, [HOST_TLSA_1] = DANE_TLSA,
							[HOST_TLSA_2] = DANE_TLSA };
	const struct dane_host *h = run->host;

	q->type = types[which];
	if (q->type == DANE_TLSA)
		dane_name_tlsa(run->candidates[which - HOST_TLSA_1], h->port, q->name);
	else
		memcpy(q->name, h->name, sizeof(q->name));
}

void dane_run_answer(struct dane_run *run, enum dane_host_question which, const struct dane_reply *r)
{
	assert(run->asked & 1u << which && !answered(run, which));
	run->answered |= (uint8_t)(1u << which);
	if (which == HOST_A || which == HOST_AAAA) {
		take_address(run, which, r);
		if (answered(run, HOST_A) && answered(run, HOST_AAAA))
			decide_addresses(run);
		return;
	}
	note_ttl(run, r);
	if (which == HOST_CNAME)
		decide_alias(run, r);
	else
		decide_tlsa(run, which - HOST_TLSA_1, r);
}
