// SPDX-License-Identifier: BSD-2-Clause
/*
 * The conclusions of `danelawctl check` as tables: one address under each duty, several addresses of one host, several
 * hosts of one domain, for a sender that uses DANE where it is and for one that insists on it.
 */
#include "tools/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { HOSTS_MAX = 4, TRIES_MAX = 4 };

static const uint8_t digest[32] = { 0x8d, 0x4a, [30] = 0x01, [31] = 0xc2 };

struct world {
	struct dane_outcome outcome;
	struct dane_host hosts[HOSTS_MAX];
	struct dane_records *records;
	struct check *check;
};

/* Hosts h1.example … of this duty, `addresses` each: 192.0.2.1 … and, the last one, 2001:db8::1. */
static void world_make(struct world *w, const enum dane_duty *duties, size_t hosts, size_t addresses)
{
	memset(w, 0, sizeof(*w));
	w->records = calloc(1, sizeof(*w->records) + sizeof(w->records->record[0]));
	w->records->count = 1;
	w->records->record[0] = (struct dane_record){ DANE_EE, DANE_SPKI, DANE_SHA256, 32, digest };
	w->outcome = (struct dane_outcome){ .duty = DANE_TRY_HOSTS, .why = DANE_WHY_MX, .hosts = w->hosts, .host_count = hosts };
	for (size_t i = 0; i < hosts; i++) {
		struct dane_host *h = &w->hosts[i];

		snprintf(h->name, sizeof(h->name), "h%zu.example", i + 1);
		h->port = 25;
		h->duty = duties[i];
		h->secure_choice = true;
		h->records = h->duty == DANE_AUTHENTICATE ? w->records : NULL;
		snprintf(h->base, sizeof(h->base), "%s", h->duty == DANE_NONE ? "" : h->name);
		snprintf(h->names[0], sizeof(h->names[0]), "%s", h->name);
		h->name_count = 1;
		h->address_count = addresses;
		for (size_t k = 0; k < addresses; k++) {
			char text[32];

			snprintf(text, sizeof(text), "192.0.2.%zu", k + 1);
			net_parse_ip(k && k + 1 == addresses ? "2001:db8::1" : text, &h->addresses[k]);
		}
		snprintf(h->reason, sizeof(h->reason), "because of h%zu", i + 1);
	}
	w->check = check_new("d.example", &w->outcome, CHECK_IPV4 | CHECK_IPV6);
}

static void world_free(struct world *w)
{
	check_free(w->check);
	free(w->records);
}

static void see(struct check_try *t, enum check_seen seen, enum tls_verdict verdict)
{
	t->seen = seen;
	t->judgement.verdict = verdict;
	t->judgement.record = verdict == TLS_MATCH ? 0 : -1;
	t->peer_known = seen == CHECK_TLS;
	memcpy(t->peer.spki_sha256, digest, 32);
}

/* ---- one address ---- */

static const struct {
	const char *name;
	enum dane_duty duty;
	enum check_seen seen;
	enum tls_verdict judged;
	enum check_verdict verdict, mandatory;
} addresses[] = {
#define A DANE_AUTHENTICATE
#define R DANE_TLS_REQUIRED
#define N DANE_NONE
	{ "a match", A, CHECK_TLS, TLS_MATCH, CHECK_VERIFIED, CHECK_VERIFIED },
	{ "another key", A, CHECK_TLS, TLS_NO_MATCH, CHECK_DEFER, CHECK_DEFER },
	{ "another name (usage 2)", A, CHECK_TLS, TLS_WRONG_NAME, CHECK_DEFER, CHECK_DEFER },
	{ "expired (usage 2)", A, CHECK_TLS, TLS_NOT_VALID_NOW, CHECK_DEFER, CHECK_DEFER },
	{ "a broken chain", A, CHECK_TLS, TLS_BAD_CHAIN, CHECK_DEFER, CHECK_DEFER },
	{ "no certificate", A, CHECK_TLS, TLS_NO_CERTIFICATE, CHECK_DEFER, CHECK_DEFER },
	{ "our own failure is no verdict", A, CHECK_TLS, TLS_JUDGE_FAILED, CHECK_UNKNOWN, CHECK_UNKNOWN },
	{ "not judged is no verdict", A, CHECK_TLS, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },
	{ "no STARTTLS though records exist", A, CHECK_NO_STARTTLS, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
	{ "STARTTLS refused", A, CHECK_REFUSED, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
	{ "the handshake fails", A, CHECK_NO_HANDSHAKE, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
	{ "the handshake does not end", A, CHECK_LOST, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },
	{ "no connection", A, CHECK_NO_CONNECTION, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },
	{ "no SMTP", A, CHECK_NO_SMTP, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },
	{ "not tried", A, CHECK_NOT_TRIED, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },

	{ "unusable records, TLS", R, CHECK_TLS, TLS_UNJUDGED, CHECK_TLS_REQUIRED, CHECK_DEFER },
	{ "unusable records, no STARTTLS", R, CHECK_NO_STARTTLS, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
	{ "unusable records, STARTTLS refused", R, CHECK_REFUSED, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
	{ "unusable records, no handshake", R, CHECK_NO_HANDSHAKE, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
	{ "unusable records, no connection", R, CHECK_NO_CONNECTION, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },

	{ "no DANE, TLS", N, CHECK_TLS, TLS_UNJUDGED, CHECK_NO_DANE, CHECK_DEFER },
	{ "no DANE, no STARTTLS: in clear text", N, CHECK_NO_STARTTLS, TLS_UNJUDGED, CHECK_NO_DANE, CHECK_DEFER },
	{ "no DANE, STARTTLS refused", N, CHECK_REFUSED, TLS_UNJUDGED, CHECK_NO_DANE, CHECK_DEFER },
	{ "no DANE, no handshake", N, CHECK_NO_HANDSHAKE, TLS_UNJUDGED, CHECK_NO_DANE, CHECK_DEFER },
	{ "no DANE, no connection", N, CHECK_NO_CONNECTION, TLS_UNJUDGED, CHECK_UNKNOWN, CHECK_UNKNOWN },

	{ "a host that must be passed over", DANE_UNREACHABLE, CHECK_NOT_TRIED, TLS_UNJUDGED, CHECK_DEFER, CHECK_DEFER },
#undef A
#undef R
#undef N
};

static void one_address(void **state)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct world w;

		world_make(&w, &addresses[i].duty, 1, 1);
		if (addresses[i].duty == DANE_UNREACHABLE)
			w.outcome.duty = DANE_DEFER;
		see(&w.check->hosts[0].tries[0], addresses[i].seen, addresses[i].judged);
		check_judge(w.check);
		const struct check *c = w.check;

		if (c->hosts[0].tries[0].verdict != addresses[i].verdict || c->hosts[0].verdict != addresses[i].verdict ||
		    c->overall != addresses[i].verdict || c->mandatory != addresses[i].mandatory)
			fail_msg("%s: address %s, host %s, overall %s, mandatory %s", addresses[i].name,
				 check_verdict_name(c->hosts[0].tries[0].verdict), check_verdict_name(c->hosts[0].verdict),
				 check_verdict_name(c->overall), check_verdict_name(c->mandatory));
		assert_true(addresses[i].duty == DANE_UNREACHABLE || c->hosts[0].tries[0].reason[0]);
		world_free(&w);
	}
}

/* A certificate that matches behind an MX record nobody signed is not "verified". */
static void insecure_choice(void **state)
{
	enum dane_duty duty = DANE_AUTHENTICATE;
	struct world w;

	world_make(&w, &duty, 1, 1);
	w.hosts[0].secure_choice = false;
	see(&w.check->hosts[0].tries[0], CHECK_TLS, TLS_MATCH);
	check_judge(w.check);
	assert_int_equal(w.check->overall, CHECK_NO_DANE);
	assert_int_equal(w.check->mandatory, CHECK_DEFER);
	world_free(&w);
}

/* OpenSSL can use none of the records: as if all were unusable, never verified. */
static void none_usable(void **state)
{
	enum dane_duty duty = DANE_AUTHENTICATE;
	struct world w;

	world_make(&w, &duty, 1, 1);
	see(&w.check->hosts[0].tries[0], CHECK_TLS, TLS_UNJUDGED);
	w.check->hosts[0].tries[0].no_usable = true;
	check_judge(w.check);
	assert_int_equal(w.check->overall, CHECK_TLS_REQUIRED);
	assert_int_equal(w.check->mandatory, CHECK_DEFER);
	world_free(&w);
}

/* ---- words: V verified, D mismatch, U no connection, C no DANE in clear, T unusable ---- */

static enum dane_duty duty_of(char word)
{
	return word == 'C' ? DANE_NONE : word == 'T' ? DANE_TLS_REQUIRED : word == 'X' ? DANE_UNREACHABLE : DANE_AUTHENTICATE;
}

static void see_word(struct check_try *t, char word)
{
	see(t, word == 'U' ? CHECK_NO_CONNECTION : word == 'C' ? CHECK_NO_STARTTLS : word == 'X' ? CHECK_NOT_TRIED : CHECK_TLS,
	    word == 'V' ? TLS_MATCH : word == 'D' ? TLS_NO_MATCH : TLS_UNJUDGED);
}

/* Addresses of one host in the order of trying. */
static void many_addresses(void **state)
{
	static const struct {
		const char *seen;
		enum check_verdict verdict;
	} rows[] = {
		{ "VV", CHECK_VERIFIED }, { "DV", CHECK_VERIFIED }, { "UV", CHECK_VERIFIED }, { "VD", CHECK_VERIFIED },
		{ "DD", CHECK_DEFER },	  { "DU", CHECK_UNKNOWN },  { "UD", CHECK_UNKNOWN },  { "UU", CHECK_UNKNOWN },
		{ "DDV", CHECK_VERIFIED },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum dane_duty duty = DANE_AUTHENTICATE;
		struct world w;

		world_make(&w, &duty, 1, strlen(rows[i].seen));
		for (size_t k = 0; rows[i].seen[k]; k++)
			see_word(&w.check->hosts[0].tries[k], rows[i].seen[k]);
		check_judge(w.check);
		if (w.check->hosts[0].verdict != rows[i].verdict)
			fail_msg("%s: %s", rows[i].seen, check_verdict_name(w.check->hosts[0].verdict));
		world_free(&w);
	}
}

/* Hosts in order of preference; X: a host whose DNS holds mail back. */
static void many_hosts(void **state)
{
	static const struct {
		const char *hosts;
		enum check_verdict overall, mandatory;
	} rows[] = {
		{ "VV", CHECK_VERIFIED, CHECK_VERIFIED },	{ "VC", CHECK_VERIFIED, CHECK_VERIFIED },
		{ "CV", CHECK_NO_DANE, CHECK_VERIFIED }, /* preference wins over security */
		{ "DC", CHECK_NO_DANE, CHECK_DEFER },	{ "XV", CHECK_VERIFIED, CHECK_VERIFIED },
		{ "DV", CHECK_VERIFIED, CHECK_VERIFIED },	{ "TV", CHECK_TLS_REQUIRED, CHECK_VERIFIED },
		{ "UC", CHECK_NO_DANE, CHECK_UNKNOWN },	{ "UD", CHECK_UNKNOWN, CHECK_UNKNOWN },
		{ "DU", CHECK_UNKNOWN, CHECK_UNKNOWN },	{ "DX", CHECK_DEFER, CHECK_DEFER },
		{ "TC", CHECK_TLS_REQUIRED, CHECK_DEFER },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t count = strlen(rows[i].hosts);
		enum dane_duty duties[HOSTS_MAX];
		struct world w;

		for (size_t k = 0; k < count; k++)
			duties[k] = duty_of(rows[i].hosts[k]);
		world_make(&w, duties, count, 1);
		for (size_t k = 0; k < count; k++)
			see_word(&w.check->hosts[k].tries[0], rows[i].hosts[k]);
		check_judge(w.check);
		if (w.check->overall != rows[i].overall || w.check->mandatory != rows[i].mandatory)
			fail_msg("%s: overall %s, mandatory %s", rows[i].hosts, check_verdict_name(w.check->overall),
				 check_verdict_name(w.check->mandatory));
		world_free(&w);
	}
}

/* What DNS alone decides. */
static void no_hosts(void **state)
{
	static const struct {
		enum dane_duty duty;
		enum dane_why why;
		enum check_verdict verdict;
	} rows[] = {
		{ DANE_BOUNCE, DANE_WHY_NULL_MX, CHECK_BOUNCE }, { DANE_BOUNCE, DANE_WHY_BAD_NAME, CHECK_BOUNCE },
		{ DANE_DEFER, DANE_WHY_MX_BOGUS, CHECK_DEFER },	 { DANE_DEFER, DANE_WHY_MX_FAILED, CHECK_DEFER },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dane_outcome o = { .duty = rows[i].duty, .why = rows[i].why, .reason = "so it is" };
		struct check *c = check_new("d.example", &o, CHECK_IPV4);

		check_judge(c);
		assert_int_equal(c->overall, rows[i].verdict);
		assert_int_equal(c->mandatory, rows[i].verdict);
		assert_string_equal(c->reason, "so it is");
		check_free(c);
	}
}

/* No MX and no address: the one host bounces with the domain. */
static void no_mail(void **state)
{
	enum dane_duty duty = DANE_UNREACHABLE;
	char text[300];
	struct world w;

	world_make(&w, &duty, 1, 0);
	w.outcome.duty = DANE_BOUNCE;
	w.outcome.why = DANE_WHY_NO_MAIL;
	check_judge(w.check);
	assert_int_equal(w.check->overall, CHECK_BOUNCE);
	assert_int_equal(w.check->hosts[0].verdict, CHECK_BOUNCE);
	check_mend(w.check, &w.check->hosts[0], NULL, text, sizeof(text));
	assert_non_null(strstr(text, "publish an MX record"));
	world_free(&w);
}

/* Where validation does not work, nothing that was seen counts. */
static void cannot_tell(void **state)
{
	enum dane_duty duty = DANE_NONE;
	struct world w;

	world_make(&w, &duty, 1, 2);
	check_cannot_tell(w.check, "no trust anchor");
	assert_int_equal(w.check->overall, CHECK_UNKNOWN);
	assert_int_equal(w.check->mandatory, CHECK_UNKNOWN);
	assert_int_equal(w.check->hosts[0].tries[1].verdict, CHECK_UNKNOWN);
	assert_string_equal(w.check->hosts[0].tries[0].reason, "no trust anchor");
	world_free(&w);
}

static void families(void **state)
{
	enum dane_duty duty = DANE_AUTHENTICATE;
	struct world w;

	world_make(&w, &duty, 1, 3);
	for (unsigned f = CHECK_IPV4; f <= CHECK_IPV6; f++) {
		struct check *c = check_new("d.example", &w.outcome, f);

		assert_int_equal(c->hosts[0].try_count, f == CHECK_IPV4 ? 2 : 1);
		check_free(c);
	}
	world_free(&w);
	world_make(&w, &duty, 1, 1);
	struct check *c = check_new("d.example", &w.outcome, CHECK_IPV6);

	check_judge(c); /* nothing was tried, nothing is told */
	assert_int_equal(c->overall, CHECK_UNKNOWN);
	check_free(c);
	world_free(&w);
}

/* ---- words ---- */

static void remedies(void **state)
{
	static const struct {
		enum check_seen seen;
		enum tls_verdict judged;
		const char *begins;
	} rows[] = {
		{ CHECK_TLS, TLS_MATCH, "" },
		{ CHECK_TLS, TLS_NO_MATCH, "publish  _25._tcp.h1.example. IN TLSA 3 1 1 8d4a00" },
		{ CHECK_TLS, TLS_WRONG_NAME, "serve a certificate that names h1.example, or publish" },
		{ CHECK_TLS, TLS_NOT_VALID_NOW, "renew the certificate" },
		{ CHECK_TLS, TLS_BAD_CHAIN, "serve a sound chain" },
		{ CHECK_NO_STARTTLS, TLS_UNJUDGED, "offer STARTTLS to every client" },
		{ CHECK_REFUSED, TLS_UNJUDGED, "offer STARTTLS to every client" },
		{ CHECK_NO_HANDSHAKE, TLS_UNJUDGED, "mend TLS" },
		{ CHECK_NO_CONNECTION, TLS_UNJUDGED, "" },
	};
	char text[600];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum dane_duty duty = DANE_AUTHENTICATE;
		struct world w;

		world_make(&w, &duty, 1, 1);
		see(&w.check->hosts[0].tries[0], rows[i].seen, rows[i].judged);
		check_judge(w.check);
		check_mend(w.check, &w.check->hosts[0], &w.check->hosts[0].tries[0], text, sizeof(text));
		if (rows[i].begins[0] ? strncmp(text, rows[i].begins, strlen(rows[i].begins)) : text[0])
			fail_msg("%s: %s", rows[i].begins, text);
		world_free(&w);
	}
}

static void warnings(void **state)
{
	enum dane_duty duty = DANE_AUTHENTICATE;
	char text[300];
	struct world w;
	struct check_try *t;

	world_make(&w, &duty, 1, 1);
	t = &w.check->hosts[0].tries[0];
	see(t, CHECK_TLS, TLS_MATCH);
	t->peer.not_after = time(NULL) + 1000;
	check_judge(w.check);
	check_warn(&w.check->hosts[0], t, text, sizeof(text));
	assert_string_equal(text, "");
	w.hosts[0].tlsa_count = 13;
	check_warn(&w.check->hosts[0], t, text, sizeof(text));
	assert_non_null(strstr(text, "13 TLSA records"));
	t->peer.not_after = time(NULL) - 1000;
	check_warn(&w.check->hosts[0], t, text, sizeof(text));
	assert_non_null(strstr(text, "has expired"));
	t->peer.not_after = time(NULL) + 1000;
	t->peer.not_before = time(NULL) + 500;
	check_warn(&w.check->hosts[0], t, text, sizeof(text));
	assert_non_null(strstr(text, "not valid yet"));
	world_free(&w);
}

static void interface(void **state)
{
	static const struct {
		enum check_verdict v;
		const char *name;
		int status;
	} rows[] = {
		{ CHECK_VERIFIED, "verified", 0 },	  { CHECK_TLS_REQUIRED, "tls-required-unauthenticated", 2 },
		{ CHECK_NO_DANE, "no-dane-deliverable", 2 }, { CHECK_DEFER, "defer", 1 },
		{ CHECK_BOUNCE, "bounce", 1 },		  { CHECK_UNKNOWN, "could-not-tell", 3 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(check_verdict_name(rows[i].v), rows[i].name);
		assert_int_equal(check_exit_status(rows[i].v), rows[i].status);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address),	  cmocka_unit_test(insecure_choice), cmocka_unit_test(none_usable),
		cmocka_unit_test(many_addresses), cmocka_unit_test(many_hosts),	     cmocka_unit_test(no_hosts),
		cmocka_unit_test(no_mail),	  cmocka_unit_test(cannot_tell),     cmocka_unit_test(families),
		cmocka_unit_test(remedies),	  cmocka_unit_test(warnings),	     cmocka_unit_test(interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
