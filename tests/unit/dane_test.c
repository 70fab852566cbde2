// SPDX-License-Identifier: BSD-2-Clause
/*
 * The DANE engine against a DNS written down in a few words.  A row is a zone, what is asked about it, the
 * questions that must be asked (no more: an unexpected one fails the row) and the outcome in one line.
 *
 * A zone is a list of "name TYPE state data" separated by ';'.  States: S secure, I insecure, D denied, N denied by
 * an unsigned zone, F failed, B bogus; "S>target" is an answer reached through an alias, "S@60" has another TTL than
 * 300 s.  Data are separated by
 * blanks: an address; "10/host" for MX; "311" or "311=bb" for TLSA (usage, selector, type; association data of the
 * right length made of that byte), "#hex" for any RDATA.
 */
#include "userspace/dane.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RDATA_MAX = 64, BYTES_MAX = 32768 };

struct answer {
	struct dane_reply reply;
	struct dane_rdata rdata[RDATA_MAX];
	uint8_t bytes[BYTES_MAX];
	size_t used;
	char canonical[DANE_NAME_MAX];
};

static void put(struct answer *a, const void *data, size_t len)
{
	assert_true(a->reply.count < RDATA_MAX && a->used + len <= BYTES_MAX);
	memcpy(a->bytes + a->used, data, len);
	a->rdata[a->reply.count++] = (struct dane_rdata){ a->bytes + a->used, (uint16_t)len };
	a->used += len;
}

static size_t wire_name(const char *name, uint8_t *out)
{
	size_t at = 0;

	while (*name && strcmp(name, ".") != 0) {
		size_t len = strcspn(name, ".");

		out[at++] = (uint8_t)len;
		memcpy(out + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	out[at++] = 0;
	return at;
}

/* The smallest DER that has the shape of a certificate or of a key. */
static size_t der(uint8_t *out, int selector, uint8_t fill)
{
	static const uint8_t cert[] = { 0x30, 7, 0x30, 0, 0x30, 0, 3, 1, 0 }, key[] = { 0x30, 5, 0x30, 0, 3, 1, 0 };
	size_t len = selector == DANE_CERT ? sizeof(cert) : sizeof(key);

	memcpy(out, selector == DANE_CERT ? cert : key, len);
	out[len - 1] = fill;
	return len;
}

static void put_tlsa(struct answer *a, const char *word)
{
	uint8_t rdata[3 + 64] = { (uint8_t)(word[0] - '0'), (uint8_t)(word[1] - '0'), (uint8_t)(word[2] - '0') };
	uint8_t fill = (uint8_t)(word[3] == '=' ? strtoul(word + 4, NULL, 16) : 0xaa);
	size_t len = 32;

	if (rdata[2] == DANE_FULL)
		len = der(rdata + 3, rdata[1], fill);
	else
		memset(rdata + 3, fill, len = rdata[2] == DANE_SHA512 ? 64 : 32);
	put(a, rdata, 3 + len);
}

static void put_hex(struct answer *a, const char *hex)
{
	uint8_t rdata[128];
	size_t len = 0;

	for (; hex[0] && hex[1]; hex += 2, len++) {
		char two[3] = { hex[0], hex[1], 0 };

		rdata[len] = (uint8_t)strtoul(two, NULL, 16);
	}
	put(a, rdata, len);
}

static void put_word(struct answer *a, uint16_t type, const char *word)
{
	uint8_t rdata[DANE_NAME_MAX + 2];

	if (word[0] == '#') {
		put_hex(a, word + 1);
	} else if (type == DANE_A || type == DANE_AAAA) {
		assert_int_equal(inet_pton(type == DANE_A ? AF_INET : AF_INET6, word, rdata), 1);
		put(a, rdata, type == DANE_A ? 4 : 16);
	} else if (type == DANE_MX) {
		unsigned long preference = strtoul(word, NULL, 10);

		rdata[0] = (uint8_t)(preference >> 8);
		rdata[1] = (uint8_t)preference;
		put(a, rdata, 2 + wire_name(strchr(word, '/') + 1, rdata + 2));
	} else if (type == DANE_CNAME) {
		put(a, rdata, wire_name(word, rdata));
	} else {
		put_tlsa(a, word);
	}
}

static void set_state(struct answer *a, const char *state)
{
	struct dane_reply *r = &a->reply;

	r->answer = *state == 'S' ? DANE_SECURE : *state == 'I' ? DANE_INSECURE : *state == 'D' ? DANE_DENIED_SECURE :
		    *state == 'N' ? DANE_DENIED_INSECURE : DANE_FAILED;
	r->bogus = *state == 'B';
	r->why = *state == 'B' ? "signature expired" : *state == 'F' ? "SERVFAIL" : "";
	r->ttl = r->answer == DANE_FAILED ? 0 : 300;
	if (state[1] == '@')
		r->ttl = (uint32_t)strtoul(state + 2, NULL, 10);
	r->canonical = a->canonical;
	r->rdata = a->rdata;
	if (state[1] == '>') {
		r->alias = true;
		dane_name_host(state + 2, a->canonical);
	}
}

/* Finds the zone's line for q; false if the row does not foresee the question. */
static bool look_up(const char *zone, const struct dane_question *q, struct answer *a)
{
	char copy[8192], *line, *rest = copy;

	memset(a, 0, sizeof(*a));
	snprintf(copy, sizeof(copy), "%s", zone);
	while ((line = strsep(&rest, ";"))) {
		char *words = NULL, *name = strtok_r(line, " ", &words), *type = strtok_r(NULL, " ", &words);

		if (!name || strcmp(name, q->name) != 0 || strcmp(type, dane_type_name(q->type)) != 0)
			continue;
		set_state(a, strtok_r(NULL, " ", &words));
		for (char *word; (word = strtok_r(NULL, " ", &words));)
			put_word(a, q->type, word);
		return true;
	}
	return false;
}

/* ---- an outcome in one line ---- */

static void add(char *out, size_t size, const char *fmt, ...)
{
	size_t len = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + len, size - len, fmt, ap);
	va_end(ap);
}

static void show_host(const struct dane_host *h, char *out, size_t size)
{
	add(out, size, "%s%s %s/%s", out[0] ? "; " : "", h->name, dane_duty_name(h->duty), dane_why_name(h->why));
	if (h->duty == DANE_AUTHENTICATE || h->duty == DANE_TLS_REQUIRED)
		add(out, size, " base=%s names=", h->base);
	for (size_t i = 0; i < h->name_count; i++)
		add(out, size, "%s%s", i ? "," : "", h->names[i]);
	for (size_t i = 0; h->records && i < h->records->count; i++) {
		const struct dane_record *r = &h->records->record[i];

		add(out, size, " %u%u%u=%02x", r->usage, r->selector, r->mtype, r->data[r->len - 1]);
	}
	if (h->duty == DANE_AUTHENTICATE && !h->secure_choice)
		add(out, size, " insecure-choice");
}

static void show(const struct dane_outcome *o, char *out, size_t size)
{
	out[0] = '\0';
	if (o->duty != DANE_TRY_HOSTS)
		add(out, size, "%s/%s", dane_duty_name(o->duty), dane_why_name(o->why));
	for (size_t i = 0; i < o->host_count && o->duty == DANE_TRY_HOSTS; i++)
		show_host(&o->hosts[i], out, size);
}

/* Runs a plan over a zone; every question is answered at once, or, backwards, as late as possible. */
static void run_plan(struct dane_plan *p, const char *zone, const char *row, bool backwards)
{
	static struct answer a;
	struct dane_question q[64];
	size_t open = 0;

	while (!dane_plan_done(p)) {
		while (dane_plan_next(p, &q[open])) {
			assert_true(++open < 64);
			if (!backwards)
				break;
		}
		assert_true(open > 0); /* else the plan waits for nothing */
		if (!look_up(zone, &q[--open], &a))
			fail_msg("%s: asked %s %s", row, q[open].name, dane_type_name(q[open].type));
		dane_plan_answer(p, q[open].id, &a.reply);
	}
	assert_false(dane_plan_next(p, &q[0]));
}

/* ---- rows ---- */

#define MX_GOOD "d.example MX S 10/mx.d.example;"
#define ADDR_GOOD "mx.d.example A S 192.0.2.1;mx.d.example AAAA D;"
#define TLSA "_25._tcp.mx.d.example TLSA "
#define HOST_GOOD MX_GOOD ADDR_GOOD TLSA
#define ALIAS(state, target) \
	"mx.d.example A " state ">" target " 192.0.2.1;mx.d.example AAAA D>" target ";"
#define REAL "_25._tcp.real.example TLSA "
#define BOTH_NAMES "base=mx.d.example names=mx.d.example,d.example"

static const struct row {
	const char *name, *zone, *outcome;
	enum dane_insecure_mx insecure_mx;
	const char *host; /* a configured next hop in place of d.example */
	uint16_t port;	  /* 0: 25 */
} rows[] = {
	/* the outcome matrix */
	{ "secure MX, addresses and usable TLSA: authenticate",
	  HOST_GOOD "S 311", "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "secure TLSA, none usable: TLS is a must, unauthenticated (7672 2.2)",
	  HOST_GOOD "S 011 111", "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "insecure TLSA RRset: opportunistic",
	  HOST_GOOD "I 311", "mx.d.example none/tlsa_insecure" },
	{ "TLSA denied: opportunistic", HOST_GOOD "D", "mx.d.example none/no_tlsa" },
	{ "TLSA denied by an unsigned zone or opt-out is as normal (danefail#13)",
	  HOST_GOOD "N", "mx.d.example none/no_tlsa" },
	{ "TLSA bogus: never through this host", HOST_GOOD "B", "defer/tlsa_bogus" },
	{ "TLSA SERVFAIL or time-out: never through this host (KumoMTA#543)",
	  HOST_GOOD "F", "defer/tlsa_failed" },
	{ "addresses insecure, no alias: TLSA is not asked (maddy#292)",
	  MX_GOOD "mx.d.example A I 192.0.2.1;mx.d.example AAAA N", "mx.d.example none/host_insecure" },
	{ "addresses bogus: host passed over", MX_GOOD "mx.d.example A B;mx.d.example AAAA B", "defer/address_bogus" },
	{ "addresses failed: host passed over", MX_GOOD "mx.d.example A F;mx.d.example AAAA D",
	  "defer/address_failed" },
	{ "insecure MX, policy may: opportunistic, TLSA not asked",
	  "d.example MX I 10/mx.d.example;" ADDR_GOOD, "mx.d.example none/mx_insecure" },
	{ "insecure MX, policy encrypt: TLS without authentication",
	  "d.example MX I 10/mx.d.example;" ADDR_GOOD TLSA "S 311",
	  "mx.d.example tls-required/mx_insecure base=mx.d.example names=mx.d.example", DANE_INSECURE_MX_ENCRYPT },
	{ "insecure MX, policy dane: authenticate, only the host's own name counts (7672 3.2.2)",
	  "d.example MX I 10/mx.d.example;" ADDR_GOOD TLSA "S 311",
	  "mx.d.example authenticate/records base=mx.d.example names=mx.d.example 311=aa insecure-choice",
	  DANE_INSECURE_MX_DANE },
	{ "insecure MX and insecure host",
	  "d.example MX I 10/mx.d.example;mx.d.example A I 192.0.2.1;mx.d.example AAAA N",
	  "mx.d.example none/host_insecure", DANE_INSECURE_MX_DANE },
	{ "MX bogus: defer (Stalwart)", "d.example MX B", "defer/mx_bogus" },
	{ "MX failed: defer", "d.example MX F", "defer/mx_failed" },
	{ "null MX: bounce, no fallback to A (7505 3)", "d.example MX S 0/.", "bounce/null_mx" },
	{ "an insecure null MX is one too", "d.example MX I 0/.", "bounce/null_mx" },
	{ "\".\" among others is no null MX", "d.example MX S 0/. 10/mx.d.example;" ADDR_GOOD TLSA "D",
	  "mx.d.example none/no_tlsa" },

	/* no MX */
	{ "no MX, secure denial: the domain itself is eligible (7672 2.2.2, Stalwart#2328)",
	  "d.example MX D;d.example A S 192.0.2.1;d.example AAAA D;_25._tcp.d.example TLSA S 211",
	  "d.example authenticate/records base=d.example names=d.example 211=aa" },
	{ "no MX, insecure denial does not authenticate the choice",
	  "d.example MX N;d.example A S 192.0.2.1;d.example AAAA D", "d.example none/mx_insecure" },
	{ "neither MX nor address", "d.example MX D;d.example A D;d.example AAAA D", "bounce/no_mail" },
	{ "no MX and failed addresses: defer, not bounce", "d.example MX D;d.example A F;d.example AAAA F",
	  "defer/address_failed" },
	{ "no MX, the domain is an alias: expanded name first, both names count",
	  "d.example MX D>h.example;d.example A S>h.example 192.0.2.1;d.example AAAA D>h.example;"
	  "_25._tcp.h.example TLSA S 201",
	  "d.example authenticate/records base=h.example names=h.example,d.example 201=aa" },

	/* aliases */
	{ "domain is an alias: expanded name is a reference name too",
	  "d.example MX S>e.example 10/mx.d.example;" ADDR_GOOD TLSA "S 201",
	  "mx.d.example authenticate/records base=mx.d.example names=mx.d.example,d.example,e.example 201=aa" },
	{ "MX host is a secure alias with records at its end: base is the expanded name",
	  MX_GOOD ALIAS("S", "real.example") REAL "S 311",
	  "mx.d.example authenticate/records base=real.example names=real.example,d.example 311=aa" },
	{ "secure alias, records only at the original name",
	  MX_GOOD ALIAS("S", "real.example") REAL "D;"
	  TLSA "S 311", "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "secure alias, insecure records at its end: the original name is next",
	  MX_GOOD ALIAS("S", "real.example") REAL "I 311=bb;"
	  TLSA "S 311", "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "secure alias, failure at its end: the search stops, the original name is not asked",
	  MX_GOOD ALIAS("S", "real.example") REAL "F",
	  "defer/tlsa_failed" },
	{ "secure alias, unusable records at its end decide: the original name is not asked",
	  MX_GOOD ALIAS("S", "real.example") REAL "S 111",
	  "mx.d.example tls-required/unusable base=real.example names=real.example,d.example" },
	{ "alias into an unsigned zone, first link secure: original name only (maddy#292, 7672 2.1.3)",
	  MX_GOOD ALIAS("I", "cloud.example")
	  "mx.d.example CNAME S cloud.example;" TLSA "S 311",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "alias into an unsigned zone, first link secure, no records",
	  MX_GOOD ALIAS("I", "cloud.example")
	  "mx.d.example CNAME S cloud.example;" TLSA "D", "mx.d.example none/no_tlsa" },
	{ "alias, first link insecure: no DANE",
	  MX_GOOD ALIAS("I", "cloud.example") "mx.d.example CNAME I cloud.example",
	  "mx.d.example none/host_insecure" },
	{ "alias, first link failed: host passed over",
	  MX_GOOD ALIAS("I", "cloud.example") "mx.d.example CNAME B",
	  "defer/alias_failed" },
	{ "alias that is none any more",
	  MX_GOOD "mx.d.example A I>c.example 192.0.2.1;mx.d.example AAAA N;mx.d.example CNAME D",
	  "defer/alias_failed" },
	{ "dangling alias: no address", MX_GOOD "mx.d.example A D>gone.example;mx.d.example AAAA D>gone.example",
	  "defer/no_address" },
	{ "alias loop: SERVFAIL", MX_GOOD "mx.d.example A F;mx.d.example AAAA F", "defer/address_failed" },
	{ "alias whose end is no host name: only the original name",
	  MX_GOOD "mx.d.example A S>*bad 192.0.2.1;mx.d.example AAAA D;" TLSA "S 311",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "TLSA owner is a secure alias: the base does not change",
	  HOST_GOOD "S>tlsa.example 211", "mx.d.example authenticate/records " BOTH_NAMES " 211=aa" },
	{ "TLSA owner is an alias into an unsigned zone: no DANE",
	  HOST_GOOD "I>tlsa.example 211", "mx.d.example none/tlsa_insecure" },
	{ "TLSA owner is an alias that dangles in an unsigned zone",
	  HOST_GOOD "N>tlsa.example", "mx.d.example none/no_tlsa" },

	/* addresses */
	{ "one validating family is enough: broken AAAA denial (maddy#292)",
	  MX_GOOD "mx.d.example A S 192.0.2.1;mx.d.example AAAA B;" TLSA "S 311",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "and the other way round",
	  MX_GOOD "mx.d.example A F;mx.d.example AAAA S 2001:db8::1;" TLSA "S 311",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "no addresses at all", MX_GOOD "mx.d.example A D;mx.d.example AAAA D", "defer/no_address" },
	{ "an AAAA denied without a signature does not spoil a signed A",
	  MX_GOOD "mx.d.example A S 192.0.2.1;mx.d.example AAAA N;" TLSA "D", "mx.d.example none/no_tlsa" },
	{ "address RDATA of the wrong length is no address", MX_GOOD "mx.d.example A S #c00002;mx.d.example AAAA D",
	  "defer/no_address" },

	/* order, many hosts */
	{ "preference wins over security (7672 2.2.1)",
	  "d.example MX S 20/b.example 10/a.example;a.example A S 192.0.2.1;a.example AAAA D;_25._tcp.a.example TLSA D;"
	  "b.example A S 192.0.2.2;b.example AAAA D;_25._tcp.b.example TLSA S 311",
	  "a.example none/no_tlsa; b.example authenticate/records base=b.example names=b.example,d.example 311=aa" },
	{ "one host passed over, the next one decides for itself",
	  "d.example MX S 10/a.example 20/b.example;a.example A S 192.0.2.1;a.example AAAA D;_25._tcp.a.example TLSA B;"
	  "b.example A I 192.0.2.2;b.example AAAA N", "a.example unreachable/tlsa_bogus;"
	  " b.example none/host_insecure" },
	{ "a host named twice is one host, at its better preference; names are lower-cased",
	  "d.example MX S 30/B.Example 10/b.example 20/a.example;a.example A D;a.example AAAA D;"
	  "b.example A S 192.0.2.2;b.example AAAA D;_25._tcp.b.example TLSA D",
	  "b.example none/no_tlsa; a.example unreachable/no_address" },
	{ "same preference: by name", "d.example MX S 5/b.example 5/a.example;a.example A D;a.example AAAA D;"
	  "b.example A I 192.0.2.2;b.example AAAA N", "a.example unreachable/no_address;"
	  " b.example none/host_insecure" },
	{ "MX names an address: no DANE for it", "d.example MX S 10/192.0.2.9", "192.0.2.9 none/literal" },
	{ "MX names no host", "d.example MX S 10/bad!name", "defer/bad_name" },
	{ "malformed MX RDATA beside a good one", "d.example MX S #00 #000aff #000a 10/mx.d.example;" ADDR_GOOD
	  TLSA "D", "mx.d.example none/no_tlsa" },
	{ "only malformed MX RDATA: defer", "d.example MX S #000a05", "defer/mx_malformed" },

	/* records */
	{ "any record suffices, EE and TA together (Stalwart#2328)", HOST_GOOD "S 311=01 211=02",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=01 211=02" },
	{ "unusable ones are dropped one by one",
	  HOST_GOOD "S # #03 #0301 #030101 011 111 411 321 313 #030101aabb #030100aabb 311",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=aa" },
	{ "RDATA of length 0: TLS is a must", HOST_GOOD "S #",
	  "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "RDATA of length 1", HOST_GOOD "S #03", "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "RDATA of length 2", HOST_GOOD "S #0301", "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "RDATA of length 3 (aborts Postfix 3.7)", HOST_GOOD "S #030101",
	  "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "matching type 255 from the DNS is dropped", HOST_GOOD "S #0301ffaabbcc",
	  "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "digest agility: SHA-512 beats SHA-256 per usage and selector (7671 9)",
	  HOST_GOOD "S 311=01 312=02 301=03 211=04 310=05",
	  "mx.d.example authenticate/records " BOTH_NAMES " 312=02 301=03 211=04 310=05" },
	{ "Full(0) of key and certificate", HOST_GOOD "S 200=07 210=08 300=09",
	  "mx.d.example authenticate/records " BOTH_NAMES " 200=07 210=08 300=09" },
	{ "a certificate where a key should be is unusable", HOST_GOOD "S #020100300730003000030100",
	  "mx.d.example tls-required/unusable " BOTH_NAMES },
	{ "twelve records and more are all kept", HOST_GOOD "S 311=01 311=02 311=03 311=04 311=05"
	  " 311=06 311=07 311=08 311=09 311=0a 311=0b 311=0c 311=0d",
	  "mx.d.example authenticate/records " BOTH_NAMES " 311=01 311=02 311=03 311=04 311=05 311=06 311=07 311=08"
	  " 311=09 311=0a 311=0b 311=0c 311=0d" },

	/* configured next hops */
	{ "a configured host is a secure choice; TLSA at its real port",
	  "b.example A S 192.0.2.1;b.example AAAA D;_10025._tcp.b.example TLSA S 311",
	  "b.example authenticate/records base=b.example names=b.example 311=aa", 0, "b.example", 10025 },
	{ "a configured alias: base expanded, the configured name counts too",
	  "b.example A S>real.example 192.0.2.1;b.example AAAA D;_25._tcp.real.example TLSA S 211",
	  "b.example authenticate/records base=real.example names=real.example,b.example 211=aa", 0, "b.example" },
	{ "a configured host in an unsigned zone", "b.example A I 192.0.2.1;b.example AAAA N",
	  "b.example none/host_insecure", 0,
	  "b.example" },
	{ "a configured host whose TLSA fails is unusable",
	  "b.example A S 192.0.2.1;b.example AAAA D;_25._tcp.b.example TLSA F",
	  "defer/tlsa_failed", 0, "B.Example." },
	{ "a configured address", "", "192.0.2.1 none/literal", 0, "192.0.2.1" },
	{ "a configured IPv6 literal", "", "[IPv6:2001:db8::1] none/literal", 0, "[IPv6:2001:db8::1]" },
	{ "no name at all", "", "defer/bad_name", 0, "-x" },
};

static void plan_rows(void **state)
{
	char got[4096];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct dane_settings set = { .insecure_mx = row->insecure_mx };

		for (int backwards = 0; backwards < 2; backwards++) {
			uint16_t port = row->port ? row->port : 25;
			struct dane_plan *p = row->host ? dane_plan_host(&set, row->host, port) :
							  dane_plan_domain(&set, "D.Example.", port);

			run_plan(p, row->zone, row->name, backwards);
			show(dane_plan_outcome(p), got, sizeof(got));
			if (strcmp(got, row->outcome) != 0)
				fail_msg("%s:\n  is     %s\n  wanted %s", row->name, got, row->outcome);
			dane_plan_free(p);
		}
	}
}

static void plan_of_no_domain(void **state)
{
	static const struct {
		const char *domain, *outcome;
	} cases[] = {
		{ "[192.0.2.1]", "[192.0.2.1] none/literal" }, { "", "bounce/bad_name" }, { ".", "bounce/bad_name" },
		{ "b\xc3\xbc" "cher.example", "bounce/bad_name" }, { "a..b", "bounce/bad_name" },
	};
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	char got[4096];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dane_plan *p = dane_plan_domain(&set, cases[i].domain, 25);

		run_plan(p, "", cases[i].domain, false);
		show(dane_plan_outcome(p), got, sizeof(got));
		assert_string_equal(got, cases[i].outcome);
		dane_plan_free(p);
	}
}

/* 40 MX hosts: the preferred ones are looked at, the rest is counted. */
static void plan_of_many_hosts(void **state)
{
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	struct dane_plan *p = dane_plan_domain(&set, "d.example", 25);
	char zone[8192] = "d.example MX S";

	for (int i = 39; i >= 0; i--)
		add(zone, sizeof(zone), " %d/h%02d.example", i, i);
	for (int i = 0; i < DANE_HOSTS_MAX; i++)
		add(zone, sizeof(zone), ";h%02d.example A I 192.0.2.1;h%02d.example AAAA N", i, i);
	run_plan(p, zone, "many hosts", false);
	assert_int_equal(dane_plan_outcome(p)->host_count, DANE_HOSTS_MAX);
	assert_int_equal(dane_plan_outcome(p)->hosts_left_out, 40 - DANE_HOSTS_MAX);
	assert_string_equal(dane_plan_outcome(p)->hosts[31].name, "h31.example");
	dane_plan_free(p);
}

/* More addresses than are kept, both families: IPv6 first, whichever answer came first. */
static void plan_of_many_addresses(void **state)
{
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	char zone[8192] = "b.example A I";

	for (int i = 0; i < DANE_ADDRESSES_MAX + 8; i++)
		add(zone, sizeof(zone), " 192.0.2.%d", i);
	add(zone, sizeof(zone), ";b.example AAAA I 2001:db8::1 2001:db8::2");
	for (int backwards = 0; backwards < 2; backwards++) {
		struct dane_plan *p = dane_plan_host(&set, "b.example", 25);

		run_plan(p, zone, "many addresses", backwards);
		const struct dane_host *h = dane_plan_outcome(p)->hosts;

		assert_int_equal(h->address_count, DANE_ADDRESSES_MAX + 2);
		assert_int_equal(h->addresses[1].s6_addr[15], 2);
		assert_int_equal(h->addresses[2].s6_addr[10], 0xff);
		assert_int_equal(h->addresses[33].s6_addr[15], 31);
		dane_plan_free(p);
	}
}

/* No settings are the defaults. */
static void plan_without_settings(void **state)
{
	struct dane_plan *host = dane_plan_host(NULL, "b.example", 25), *domain = dane_plan_domain(NULL, "b.example", 25);
	const char *zone = "b.example MX D;b.example A S 192.0.2.1;b.example AAAA D;_25._tcp.b.example TLSA D";

	run_plan(host, zone, "a host without settings", 0);
	run_plan(domain, zone, "a domain without settings", 0);
	assert_int_equal(dane_plan_outcome(host)->hosts[0].address_count, 1);
	assert_int_equal(dane_plan_outcome(domain)->hosts[0].address_count, 1);
	dane_plan_free(host);
	dane_plan_free(domain);
}

/* A duty lives as long as its shortest answer. */
static void plan_ttl(void **state)
{
	static const uint8_t ip[4] = { 192, 0, 2, 1 };
	struct dane_rdata data = { ip, 4 };
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	struct dane_plan *p = dane_plan_host(&set, "b.example", 25);
	struct dane_question q;

	while (dane_plan_next(p, &q)) {
		struct dane_reply r = { .answer = DANE_DENIED_SECURE, .why = "", .canonical = "", .ttl = 900 };

		if (q.type == DANE_A)
			r = (struct dane_reply){ DANE_SECURE, .why = "", .canonical = "", .ttl = 60,
				.count = 1, .rdata = &data };
		dane_plan_answer(p, q.id, &r);
	}
	assert_int_equal(dane_plan_outcome(p)->hosts[0].ttl, 60);
	dane_plan_free(p);
}

static void names(void **state)
{
	static const struct {
		const char *text, *name; /* NULL: refused */
	} cases[] = {
		{ "MX1.Example.", "mx1.example" }, { "a_b.example", "a_b.example" }, { "_25._tcp.mx.example",
			"_25._tcp.mx.example" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" }, { "b\xc3\xbc" "cher.example", NULL },
		{ "", NULL }, { ".", NULL }, { "a..b", NULL }, { ".a", NULL }, { "a.b..", NULL }, { "-a.example",
			NULL },
		{ "a-.example", NULL }, { "192.0.2.1", NULL }, { "1.2.3.4.", NULL }, { "4.example", "4.example" },
		{ "a b.example", NULL }, { "*.example", NULL }, { "a\\.b", NULL }, { "a/b", NULL }, { "example.123",
			NULL },
		{ "[192.0.2.1]", NULL }, { "a\nb.example", NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b" }, /* 63 */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b", NULL },
	};
	char out[DANE_NAME_MAX], text[300];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(dane_name_host(cases[i].text, out) == 0, cases[i].name != NULL);
		assert_string_equal(out, cases[i].name ? cases[i].name : "");
	}
	for (size_t len = 250; len < 258; len++) { /* 253 characters is the most */
		for (size_t i = 0; i < len; i++)
			text[i] = i % 50 == 49 && i + 1 < len ? '.' : 'a';
		text[len] = '\0';
		assert_int_equal(dane_name_host(text, out) == 0, len <= 253);
		assert_int_equal(len <= 253 && dane_name_tlsa(out, 25, text) == 0, 0);
	}
	assert_int_equal(dane_name_tlsa("mx.example", 10025, out), 0);
	assert_string_equal(out, "_10025._tcp.mx.example");
}

/* A host name that leaves no room for _25._tcp in front of it has no records to ask for. */
static void name_too_long_for_tlsa(void **state)
{
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	char host[DANE_NAME_MAX], zone[1024] = "", got[1024];

	for (int i = 0; i < 250; i++)
		host[i] = i % 50 == 49 && i < 249 ? '.' : 'a';
	host[250] = '\0';
	add(zone, sizeof(zone), "%s A S 192.0.2.1;%s AAAA D", host, host);
	struct dane_plan *p = dane_plan_host(&set, host, 25);

	run_plan(p, zone, "long name", false);
	show(dane_plan_outcome(p), got, sizeof(got));
	assert_non_null(strstr(got, " none/no_tlsa"));
	dane_plan_free(p);
}

static void wire_names(void **state)
{
	static const struct {
		const char *wire;
		size_t len;
		int kind;
		const char *text;
	} cases[] = {
		{ "\0", 1, 0, "." }, { "\2MX\7example\0", 12, 0, "mx.example" }, { "\2mx\7example", 11, -1, "" },
		{ "\2mx\7example\0x", 13, -1, "" }, { "", 0, -1, "" }, { "\300\14", 2, -1, "" }, { "\2m", 2, -1, "" },
		{ "\3a.b\1c\0", 7, 1, "a?b.c" }, { "\3a b\1c\0", 7, 1, "a?b.c" }, { "\003192\0010\0012\0011\0",
			11, 1, "192.0.2.1" },
	};
	char out[DANE_NAME_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int kind = dane_name_wire((const uint8_t *)cases[i].wire, cases[i].len, out);

		assert_int_equal(kind < 0 ? -1 : kind, cases[i].kind);
		assert_string_equal(out, cases[i].text);
	}
}

static void record_text(void **state)
{
	static const uint8_t rdata[] = { 3, 1, 1, 0xab, 0x01 };
	struct dane_record r;
	char out[64];

	assert_int_equal(dane_record_read(NULL, rdata, sizeof(rdata), &r), DANE_BAD_LENGTH);
	assert_int_equal(dane_record_text(&r, out, sizeof(out)), 10);
	assert_string_equal(out, "3 1 1 ab01");
	assert_int_equal(dane_record_text(&r, out, 9), 10); /* cut at a whole byte */
	assert_string_equal(out, "3 1 1 ab");
	assert_int_equal(dane_record_read(NULL, rdata, 3, &r), DANE_BAD_SHORT);
	assert_int_equal(dane_record_read(NULL, rdata, 2, &r), DANE_BAD_SHORT);
	dane_record_text(&r, out, sizeof(out));
	assert_string_equal(out, "3 1 0");
	assert_int_equal(dane_record_read(NULL, NULL, 0, &r), DANE_BAD_SHORT);
}

/* Every length up to 300 of every usage, selector and type: sanitizers watch. */
static void record_lengths(void **state)
{
	struct dane_record r;

	for (size_t len = 0; len <= 300; len++) {
		uint8_t *rdata = malloc(len + 1); /* exact, so that one byte too far is seen */

		rdata = realloc(rdata, len ? len : 1);
		for (unsigned head = 0; head < 5 * 3 * 4; head++) {
			memset(rdata, 0x30, len);
			if (len > 2) {
				rdata[0] = (uint8_t)(head % 5);
				rdata[1] = (uint8_t)(head / 5 % 3);
				rdata[2] = (uint8_t)(head / 15);
			}
			enum dane_fault f = dane_record_read(NULL, rdata, len, &r);

			if (f == DANE_USABLE)
				assert_true(len == 35 || len == 67);
		}
		free(rdata);
	}
}

static void digest_order(void **state)
{
	struct answer a = { .used = 0 };
	struct dane_rules rules = { .digests = { DANE_SHA256, DANE_SHA512 }, .digest_count = 2 };
	struct dane_records *set;

	put_tlsa(&a, "311");
	put_tlsa(&a, "312");
	set = dane_records_usable(&rules, a.rdata, 2);
	assert_int_equal(set->count, 1);
	assert_int_equal(set->record[0].mtype, DANE_SHA256); /* the order is a setting */
	free(set);
	rules = (struct dane_rules){ .digests = { DANE_SHA512 }, .digest_count = 1 };
	set = dane_records_usable(&rules, a.rdata, 1);
	assert_int_equal(set->count, 0); /* a digest no longer trusted makes a record unusable */
	free(set);
	rules = (struct dane_rules){ .usages = DANE_USAGES_CLIENT };
	put_tlsa(&a, "111");
	set = dane_records_usable(&rules, a.rdata + 2, 1);
	assert_int_equal(set->count, 1);
	struct dane_records *copy = dane_records_copy(set);

	free(set);
	assert_int_equal(copy->record[0].data[31], 0xaa);
	free(copy);
}

static struct dane_key key_of(const char *words, const char *base, const char *name)
{
	static struct answer a;
	char copy[256], *rest = copy, *word, list[1][DANE_NAME_MAX] = { "" };

	memset(&a, 0, sizeof(a));
	snprintf(copy, sizeof(copy), "%s", words);
	while ((word = strsep(&rest, " ")))
		put_tlsa(&a, word);
	struct dane_records *set = dane_records_usable(NULL, a.rdata, a.reply.count);

	snprintf(list[0], sizeof(list[0]), "%s", name);
	struct dane_key key = dane_records_key(set, base, (const char (*)[DANE_NAME_MAX])list, 1);

	free(set);
	return key;
}

/* The order of an RRset means nothing; any other change makes another key. */
static void keys(void **state)
{
	struct dane_key k = key_of("311=01 311=02", "mx.example", "mx.example"), other;

	other = key_of("311=02 311=01", "mx.example", "mx.example");
	assert_memory_equal(&k, &other, sizeof(k));
	static const char *const changes[][3] = {
		{ "311=01 311=03", "mx.example", "mx.example" }, { "311=01", "mx.example", "mx.example" },
		{ "311=01 301=02", "mx.example", "mx.example" }, { "311=01 311=02", "mx.example.", "mx.example" },
		{ "311=01 311=02", "mx.example", "d.example" },
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		other = key_of(changes[i][0], changes[i][1], changes[i][2]);
		assert_memory_not_equal(&k, &other, sizeof(k));
	}
}

static void client_names(void **state)
{
	static const struct {
		const char *ext, *ehlo, *sans[8];
		const char *owners;
	} cases[] = {
		{ NULL, "mail.example", { NULL }, "_smtp-client.mail.example(ehlo) _25._tcp.mail.example(ehlo)" },
		{ NULL, "Mail.example", { "www.example", "mail.EXAMPLE" },
		  "_smtp-client.mail.example(ehlo+certificate) _25._tcp.mail.example(ehlo+certificate)"
		  " _smtp-client.www.example(certificate) _25._tcp.www.example(certificate)" },
		{ "_smtp-client.a.example", NULL, { NULL }, "_smtp-client.a.example(extension)" },
		{ "s7._device.a.example", "a.example", { NULL },
		  "s7._device.a.example(extension) _smtp-client.a.example(ehlo) _25._tcp.a.example(ehlo)" },
		{ NULL, "[192.0.2.1]", { "*.example", "localhost" }, "" },
		{ "b\xc3\xbc.example", "192.0.2.1", { NULL }, "" },
		{ NULL, "a.example", { "b.example", "c.example", "d.example", "e.example", "f.example" },
		  "_smtp-client.a.example(ehlo) _25._tcp.a.example(ehlo)"
		  " _smtp-client.b.example(certificate) _25._tcp.b.example(certificate)"
		  " _smtp-client.c.example(certificate) _25._tcp.c.example(certificate)"
		  " _smtp-client.d.example(certificate) _25._tcp.d.example(certificate)" },
	};
	struct dane_owner owners[DANE_OWNERS_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char got[2048] = "";
		size_t sans = 0;

		while (sans < 8 && cases[i].sans[sans])
			sans++;
		size_t count = dane_client_owners(cases[i].ext, cases[i].ehlo, cases[i].sans, sans, owners);

		for (size_t o = 0; o < count; o++)
			add(got, sizeof(got), "%s%s(%s)", o ? " " : "",
				owners[o].owner, dane_source_name(owners[o].source));
		assert_string_equal(got, cases[i].owners);
	}
}

/* The client's key is the one whose digest is made of aa; ff stands for a failure of our own. */
static enum dane_match match_aa(void *ctx, const struct dane_records *records, const char *identity, int *record,
				char why[DANE_REASON_MAX])
{
	snprintf(why, DANE_REASON_MAX, "another key");
	for (size_t i = 0; i < records->count; i++) {
		if (records->record[i].data[0] == 0xff)
			return DANE_MATCH_FAILED;
		if (records->record[i].data[0] != 0xaa)
			continue;
		*record = (int)i;
		return DANE_MATCHES;
	}
	return DANE_MATCHES_NOT;
}

static void run_client(struct dane_client *c, const char *zone, bool backwards, char *asked, size_t size)
{
	static struct answer a;
	struct dane_question q[DANE_OWNERS_MAX];
	size_t open = 0, most = 0;

	while (!c->done) {
		while (dane_client_next(c, &q[open])) {
			add(asked, size, " %s", q[open].name);
			open++;
		}
		most = open > most ? open : most;
		assert_true(open > 0);
		size_t i = backwards ? open - 1 : 0;
		struct dane_question now = q[i];

		memmove(&q[i], &q[i + 1], (open - i - 1) * sizeof(q[0]));
		open--;
		if (!look_up(zone, &now, &a)) {
			a.reply = (struct dane_reply){ .answer = DANE_DENIED_SECURE, .ttl = 300 };
		}
		dane_client_answer(c, now.id, &a.reply, match_aa, NULL);
	}
	assert_in_range(most, 0, 2);
}

static void client_verdicts(void **state)
{
	static const struct {
		const char *zone;    /* what is not in it is denied */
		const char *verdict; /* verdict, identity, ttl */
		const char *sentence;
	} cases[] = {
		{ "_25._tcp.a.example TLSA S@60 311", "verified a.example 60", "record 0 of _25._tcp.a.example matches" },
		{ "_smtp-client.a.example TLSA S 311=bb 311", "verified a.example 300", "record 1 of _smtp-client.a.example matches" },
		{ "_smtp-client.a.example TLSA S 311=bb;_25._tcp.a.example TLSA S@7 311", "verified a.example 7", NULL },
		{ "_25._tcp.b.example TLSA S@90 311", "verified b.example 90", NULL },
		{ "_25._tcp.a.example TLSA S 311=bb;_25._tcp.b.example TLSA S 311", "verified b.example 300", NULL },
		{ "_25._tcp.a.example TLSA F;_smtp-client.b.example TLSA S 211", "verified b.example 300", NULL },
		{ "_25._tcp.a.example TLSA S 311=bb", "mismatch  300", "no record of _25._tcp.a.example matches: another key" },
		{ "_25._tcp.a.example TLSA S@9 311=bb;_25._tcp.b.example TLSA S@8 311=cc", "mismatch  8", NULL },
		{ "", "none  300", "no TLSA record at _smtp-client.a.example, nor at any other of 4 names" },
		{ "_25._tcp.b.example TLSA D@5", "none  5", NULL },
		{ "_25._tcp.b.example TLSA N", "none  300", NULL },
		{ "_25._tcp.b.example TLSA S 011 111 #0301", "none  300", "none of the records of _25._tcp.b.example is usable" },
		{ "_25._tcp.a.example TLSA I 311", "insecure  300", "the records of _25._tcp.a.example are in a zone that is not signed" },
		{ "_25._tcp.a.example TLSA I 311;_25._tcp.b.example TLSA S 311=bb", "mismatch  300", NULL },
		/* never "none", and nothing held against the client, while something failed */
		{ "_smtp-client.b.example TLSA F", "lookup_failed  0", "_smtp-client.b.example: SERVFAIL" },
		{ "_25._tcp.a.example TLSA B", "lookup_failed  0", "_25._tcp.a.example: signature expired" },
		{ "_25._tcp.a.example TLSA S 311=bb;_smtp-client.a.example TLSA F", "lookup_failed  0", NULL },
		{ "_25._tcp.a.example TLSA I 311;_smtp-client.b.example TLSA F", "lookup_failed  0", NULL },
		{ "_25._tcp.a.example TLSA S 311=ff", "lookup_failed  0", NULL },
	};
	static const char *const names[] = { "b.example" };

	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		static struct dane_client c;
		char got[600], asked[2048] = "";

		dane_client_begin(&c, NULL, "a.example", names, 1);
		run_client(&c, cases[i / 2].zone, i & 1, asked, sizeof(asked));
		snprintf(got, sizeof(got), "%s %s %u", dane_verdict_name(c.verdict), c.identity, c.ttl);
		if (strcmp(got, cases[i / 2].verdict) != 0)
			fail_msg("%s: %s", cases[i / 2].zone, got);
		if (cases[i / 2].sentence)
			assert_string_equal(c.reason, cases[i / 2].sentence);
		assert_int_equal(c.record >= 0, c.verdict == DANE_VERIFIED);
	}
}

/* Nothing to ask; the extension's name alone first; nothing asked behind a match. */
static void client_questions(void **state)
{
	static struct dane_client c;
	static const char *const names[] = { "*.example", "b.example" };
	char asked[2048] = "";
	struct dane_question q;

	dane_client_begin(&c, NULL, "[192.0.2.1]", names, 1);
	assert_true(c.done);
	assert_int_equal(c.verdict, DANE_NO_PROOF);
	assert_string_equal(c.reason, "neither EHLO nor the certificate names a host");
	assert_false(dane_client_next(&c, &q));

	dane_client_begin(&c, "s7._device.a.example", "a.example", names, 2);
	run_client(&c, "_25._tcp.a.example TLSA S 311", false, asked, sizeof(asked));
	assert_string_equal(asked, " s7._device.a.example _smtp-client.a.example _25._tcp.a.example");
	dane_client_begin(&c, "s7._device.a.example", "a.example", names, 2);
	asked[0] = '\0';
	run_client(&c, "s7._device.a.example TLSA S 311", false, asked, sizeof(asked));
	assert_string_equal(asked, " s7._device.a.example");
	assert_string_equal(c.identity, "s7._device.a.example");
	/* an answer that comes late changes nothing */
	struct dane_reply late = { .answer = DANE_FAILED, .why = "late" };

	dane_client_answer(&c, 0, &late, match_aa, NULL);
	assert_int_equal(c.verdict, DANE_VERIFIED);
}

/* Every name a log or a metric may show exists. */
static void words(void **state)
{
	for (enum dane_why w = 0; w <= DANE_WHY_MX; w++)
		assert_string_not_equal(dane_why_name(w), "?");
	for (enum dane_duty d = 0; d <= DANE_BOUNCE; d++)
		assert_string_not_equal(dane_duty_name(d), "?");
	for (enum dane_answer a = 0; a <= DANE_DENIED_INSECURE; a++)
		assert_string_not_equal(dane_answer_name(a), "?");
	for (enum dane_fault f = 0; f <= DANE_BAD_DER; f++)
		assert_string_not_equal(dane_fault_text(f), "?");
	for (enum dane_verdict v = 0; v < DANE_VERDICTS; v++)
		assert_string_not_equal(dane_verdict_name(v), "?");
	assert_string_equal(dane_type_name(257), "TYPE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_rows),	      cmocka_unit_test(plan_of_no_domain),
		cmocka_unit_test(plan_of_many_hosts), cmocka_unit_test(plan_of_many_addresses),
		cmocka_unit_test(plan_without_settings),
		cmocka_unit_test(plan_ttl),	      cmocka_unit_test(names),
		cmocka_unit_test(wire_names),	      cmocka_unit_test(name_too_long_for_tlsa),
		cmocka_unit_test(record_text),	      cmocka_unit_test(record_lengths),
		cmocka_unit_test(digest_order),	      cmocka_unit_test(keys),
		cmocka_unit_test(client_names),	      cmocka_unit_test(client_verdicts),
		cmocka_unit_test(client_questions),   cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
