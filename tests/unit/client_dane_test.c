/* SPDX-License-Identifier: BSD-2-Clause */
/* Judging clients: verdicts by what the DNS says, what is kept and for how long, bounds, tickets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_dns.h"
#include "tests/unit/fake_ring.h"
#include "tests/unit/tls_peer.h"
#include "userspace/client_cache.h"
#include "userspace/client_dane.h"

static struct made *server_made, *client_made, *other_made;
static struct chunk_pool *pool;
static struct tls_server *server;
static uint8_t own_record[35], other_record[35];

static void record_of(const struct made *m, uint8_t out[35])
{
	uint8_t digest[4096];

	assert_int_equal(made_association(m, 1, 1, digest), 32);
	memcpy(out, (uint8_t[]){ 3, 1, 1 }, 3);
	memcpy(out + 3, digest, 32);
}

static int set_up(void **state)
{
	char err[300];

	pool = chunk_pool_new();
	server_made = made_new(&(struct made_spec){ .dns = "mx1.example.net" });
	client_made = made_new(&(struct made_spec){ .dns = "mail.sender.example alt.sender.example" });
	other_made = made_new(&(struct made_spec){ .dns = "mail.sender.example" });
	record_of(client_made, own_record);
	record_of(other_made, other_record);
	struct tls_identity id = made_identity(server_made, "mx1");
	struct tls_server_settings set = { .identities = &id, .identity_count = 1 };

	assert_int_equal(tls_server_new(&set, &server, err, sizeof(err)), 0);
	return 0;
}

static int tear_down(void **state)
{
	tls_server_unref(server);
	made_free(server_made);
	made_free(client_made);
	made_free(other_made);
	chunk_pool_free(pool);
	return 0;
}

/* ---- a worker with one client ---- */

struct world {
	struct ring *ring;
	struct stats stats;
	uint32_t in_flight;
	struct client_dane *c;
};

static void world_begin(struct world *w, uint32_t in_flight_max, size_t cache_max)
{
	struct ring_settings ring = { 0 };
	const char *why;

	memset(w, 0, sizeof(*w));
	fake_dns_reset();
	assert_int_equal(ring_new(&ring, &w->ring, &why), 0);
	struct client_dane_settings set = { .dns = fake_dns(), .ring = w->ring, .stats = &w->stats, .in_flight = &w->in_flight,
					    .in_flight_max = in_flight_max, .cache_max = cache_max };

	w->c = client_dane_start(&set);
	assert_non_null(w->c);
}

static void world_end(struct world *w)
{
	client_dane_stop(w->c);
	fake_settle(w->ring);
	assert_true(client_dane_idle(w->c));
	client_dane_free(w->c);
	ring_free(w->ring);
	assert_int_equal(w->in_flight, 0);
	assert_int_equal(w->stats.count[COUNT_client_judging], 0);
}

struct conn {
	struct peer peer;
	struct tls *t;
	struct fifo out;
	bool done;
	struct client_judgement j;
};

static void conn_begin(struct conn *c, const struct made *shown, SSL_SESSION *session)
{
	bool ok;

	memset(c, 0, sizeof(*c));
	fifo_init(&c->out, pool);
	c->t = tls_accept_new(server, &c->out);
	tls_ask_certificate(c->t);
	peer_init(&c->peer, false);
	if (shown)
		peer_show(&c->peer, shown);
	peer_start(&c->peer);
	if (session)
		SSL_set_session(c->peer.ssl, session);
	assert_int_equal(peer_shake(&c->peer, c->t, &c->out, 0, &ok), TLS_DONE);
	assert_true(ok);
}

static void conn_end(struct conn *c)
{
	tls_free(c->t);
	peer_clear(&c->peer);
	fifo_clear(&c->out);
}

static void on_done(void *ctx)
{
	((struct conn *)ctx)->done = true;
}

static struct client_judging *judge(struct world *w, struct conn *c, const char *ehlo)
{
	c->done = false;
	struct client_judging *j = client_dane_judge(w->c, c->t, ehlo, &c->j, on_done, c);

	if (j)
		assert_false(c->done); /* never from inside */
	else
		c->done = true;
	return j;
}

static const char *judged(struct world *w, struct conn *c, const char *ehlo)
{
	static char text[DANE_NAME_MAX + 16];

	judge(w, c, ehlo);
	fake_settle(w->ring);
	assert_true(c->done);
	return client_judgement_text(&c->j, text);
}

/* ---- verdicts ---- */

static void test_verdicts(void **state)
{
	static const struct {
		const char *owner;
		enum dane_answer answer;
		bool own;
		const char *verdict;
		enum counter counted;
	} rows[] = {
		{ "_25._tcp.mail.sender.example", DANE_SECURE, true, "verified:mail.sender.example", COUNT_client_verified },
		{ "_smtp-client.mail.sender.example", DANE_SECURE, true, "verified:mail.sender.example", COUNT_client_verified },
		{ "_25._tcp.alt.sender.example", DANE_SECURE, true, "verified:alt.sender.example", COUNT_client_verified },
		{ "_25._tcp.mail.sender.example", DANE_SECURE, false, "mismatch", COUNT_client_mismatch },
		{ "_25._tcp.mail.sender.example", DANE_INSECURE, true, "insecure", COUNT_client_insecure },
		{ "_25._tcp.mail.sender.example", DANE_FAILED, true, "lookup_failed", COUNT_client_lookup_failed },
		{ "_25._tcp.mail.sender.example", DANE_DENIED_INSECURE, true, "none", COUNT_client_none },
		{ "unrelated.example", DANE_SECURE, true, "none", COUNT_client_none },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		struct conn c;

		world_begin(&w, 10, 10);
		fake_dns_tell(rows[i].owner, rows[i].answer, rows[i].answer == DANE_FAILED ? 0 : 60,
			      rows[i].own ? own_record : other_record, 35);
		conn_begin(&c, client_made, NULL);
		assert_string_equal(judged(&w, &c, "mail.sender.example"), rows[i].verdict);
		assert_int_equal(w.stats.count[rows[i].counted], 1);
		assert_true(c.j.text[0]);
		assert_int_equal(c.j.record, c.j.verdict == DANE_VERIFIED ? 0 : -1);
		conn_end(&c);
		world_end(&w);
	}
}

static void test_no_certificate(void **state)
{
	struct world w;
	struct conn c;

	world_begin(&w, 10, 10);
	conn_begin(&c, NULL, NULL);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "none");
	assert_string_equal(c.j.text, "the client showed no certificate");
	assert_int_equal(fake_dns_asked(), 0); /* no look-up for a stranger that proves nothing */
	conn_end(&c);
	world_end(&w);
}

/* The certificate names nothing that could be asked, and EHLO neither. */
static void test_no_names(void **state)
{
	struct made *nameless = made_new(&(struct made_spec){ .cn = "nobody" });
	struct world w;
	struct conn c;

	world_begin(&w, 10, 10);
	conn_begin(&c, nameless, NULL);
	assert_string_equal(judged(&w, &c, "[192.0.2.1]"), "none");
	assert_int_equal(fake_dns_asked(), 0);
	conn_end(&c);
	world_end(&w);
	made_free(nameless);
}

/* ---- keeping ---- */

static void test_kept_as_long_as_the_records(void **state)
{
	struct world w;
	struct conn c, stranger;

	world_begin(&w, 10, 10);
	fake_dns_tell("_25._tcp.mail.sender.example", DANE_SECURE, 60, own_record, 35);
	conn_begin(&c, client_made, NULL);
	conn_begin(&stranger, other_made, NULL);
	judged(&w, &c, "mail.sender.example");
	assert_false(c.j.cached);
	assert_int_equal(c.j.ttl, 60);
	unsigned asked = fake_dns_asked();

	fake_dns_tell("_25._tcp.mail.sender.example", DANE_SECURE, 60, other_record, 35); /* revoked meanwhile */
	fake_advance(w.ring, 59000);
	fake_settle(w.ring);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "verified:mail.sender.example");
	assert_true(c.j.cached);
	assert_int_equal(c.j.ttl, 1);
	assert_int_equal(fake_dns_asked(), asked);
	/* another key under the same names has a verdict of its own */
	assert_string_equal(judged(&w, &stranger, "mail.sender.example"), "verified:mail.sender.example");
	assert_false(stranger.j.cached);
	/* and so has the same key under another name */
	judged(&w, &c, "alt.sender.example");
	assert_false(c.j.cached);

	fake_advance(w.ring, 1000);
	fake_settle(w.ring);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "mismatch");
	assert_false(c.j.cached);
	conn_end(&c);
	conn_end(&stranger);
	world_end(&w);
}

static void test_failures_are_not_kept(void **state)
{
	struct world w;
	struct conn c;

	world_begin(&w, 10, 10);
	conn_begin(&c, client_made, NULL);
	fake_dns_tell("_25._tcp.mail.sender.example", DANE_FAILED, 0, NULL, 0);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "lookup_failed");
	fake_dns_tell("_25._tcp.mail.sender.example", DANE_SECURE, 0, own_record, 35);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "verified:mail.sender.example");
	assert_false(c.j.cached);
	/* records that must not be kept are asked for each time */
	judged(&w, &c, "mail.sender.example");
	assert_false(c.j.cached);
	conn_end(&c);
	world_end(&w);
}

static void test_cache(void **state)
{
	struct client_cache *c = client_cache_new(100);
	struct client_judgement j = { .verdict = DANE_VERIFIED, .ttl = 10, .identity = "a.example" }, got;
	struct client_key k;
	uint8_t cert[32] = { 0 };
	char ehlo[20];

	for (int i = 0; i < 1000; i++) {
		snprintf(ehlo, sizeof(ehlo), "h%d.example", i);
		client_key_set(&k, cert, ehlo, "");
		client_cache_put(c, &k, 1000, &j);
		assert_true(client_cache_count(c) <= 100);
		client_key_set(&k, cert, "h0.example", ""); /* asked for all the time: it stays */
		assert_true(client_cache_find(c, &k, 1000, &got));
	}
	assert_int_equal(client_cache_count(c), 100);
	client_key_set(&k, cert, "h1.example", "");
	assert_false(client_cache_find(c, &k, 1000, &got));
	client_key_set(&k, cert, "h999.example", "");
	assert_true(client_cache_find(c, &k, 10999, &got));
	assert_int_equal(got.ttl, 0);
	assert_false(client_cache_find(c, &k, 11000, &got));
	assert_int_equal(client_cache_count(c), 99);
	/* where EHLO ends and the extension's name begins is part of the key */
	client_key_set(&k, cert, "ab", "c");
	client_cache_put(c, &k, 1000, &j);
	client_key_set(&k, cert, "a", "bc");
	assert_false(client_cache_find(c, &k, 1000, &got));
	j.ttl = 0; /* what may not be kept takes the place of what was */
	client_key_set(&k, cert, "ab", "c");
	client_cache_put(c, &k, 1000, &j);
	assert_false(client_cache_find(c, &k, 1000, &got));
	client_cache_free(c);
}

/* ---- bounds ---- */

static void test_bounded(void **state)
{
	struct world w;
	struct conn c[3];

	world_begin(&w, 2, 0);
	fake_dns_hold(true);
	fake_dns_tell("_25._tcp.mail.sender.example", DANE_SECURE, 60, own_record, 35);
	for (int i = 0; i < 3; i++)
		conn_begin(&c[i], client_made, NULL);
	struct client_judging *first = judge(&w, &c[0], "mail.sender.example");

	assert_non_null(first);
	assert_non_null(judge(&w, &c[1], "mail.sender.example"));
	assert_null(judge(&w, &c[2], "mail.sender.example"));
	assert_int_equal(c[2].j.verdict, DANE_LOOKUP_FAILED);
	assert_string_equal(c[2].j.text, "too many judgements at a time");
	assert_int_equal(w.stats.count[COUNT_client_judgements_refused], 1);
	assert_int_equal(fake_dns_pending(), 4); /* two a judgement */

	client_dane_cancel(first, "it took too long");
	assert_int_equal(c[0].j.verdict, DANE_LOOKUP_FAILED);
	assert_string_equal(c[0].j.text, "it took too long");
	assert_int_equal(fake_dns_pending(), 2);
	assert_non_null(judge(&w, &c[2], "mail.sender.example"));
	fake_dns_hold(false);
	fake_settle(w.ring);
	assert_false(c[0].done);
	assert_true(c[1].done && c[2].done);
	assert_int_equal(c[2].j.verdict, DANE_VERIFIED);
	for (int i = 0; i < 3; i++)
		conn_end(&c[i]);
	world_end(&w);
}

static void test_broken_validation(void **state)
{
	static const enum dns_validation states[] = { DNS_NOT_VALIDATING, DNS_NO_ANSWER };
	struct world w;
	struct conn c;

	world_begin(&w, 10, 10);
	conn_begin(&c, client_made, NULL);
	/* what an anchorless resolver would say */
	fake_dns_tell("_25._tcp.mail.sender.example", DANE_INSECURE, 60, own_record, 35);
	for (int i = 0; i < 2; i++) {
		fake_dns_health(states[i]);
		assert_string_equal(judged(&w, &c, "mail.sender.example"), "lookup_failed");
		assert_true(c.j.broken);
	}
	assert_int_equal(fake_dns_asked(), 0);
	/* not known yet: asked, and nothing believed until it is */
	fake_dns_health(DNS_UNKNOWN);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "lookup_failed");
	assert_true(c.j.broken);
	assert_int_equal(fake_dns_asked(), 4);
	fake_dns_hold(true);
	assert_non_null(judge(&w, &c, "alt.sender.example"));
	fake_dns_health(DNS_VALIDATES);
	fake_dns_hold(false);
	fake_settle(w.ring);
	assert_int_equal(c.j.verdict, DANE_UNSIGNED);
	/* and what breaks while they are asked breaks the verdict */
	fake_dns_hold(true);
	assert_non_null(judge(&w, &c, "other.sender.example"));
	fake_dns_health(DNS_NOT_VALIDATING);
	fake_dns_hold(false);
	fake_settle(w.ring);
	assert_int_equal(c.j.verdict, DANE_LOOKUP_FAILED);
	fake_dns_health(DNS_VALIDATES);
	assert_string_equal(judged(&w, &c, "mail.sender.example"), "insecure");
	conn_end(&c);
	world_end(&w);
}

/* ---- tickets ---- */

static SSL_SESSION *take_session(struct conn *c)
{
	char byte;

	peer_give_fifo(&c->peer, &c->out);
	SSL_read(c->peer.ssl, &byte, 1); /* the ticket comes with what is read */
	return SSL_get1_session(c->peer.ssl);
}

static void test_tickets(void **state)
{
	static const struct {
		enum dane_verdict verdict;
		uint32_t ttl;
		bool carried;
	} rows[] = { { DANE_VERIFIED, 60, true }, { DANE_NO_PROOF, 60, true }, { DANE_MISMATCH, 60, true }, { DANE_UNSIGNED, 60, true },
		     { DANE_VERIFIED, 0, false }, { DANE_LOOKUP_FAILED, 60, false } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client_judgement sent = { .verdict = (uint8_t)rows[i].verdict, .ttl = rows[i].ttl }, got;
		struct conn c, again;

		if (sent.verdict == DANE_VERIFIED)
			strcpy(sent.identity, "mail.sender.example");
		conn_begin(&c, client_made, NULL);
		assert_false(client_dane_carried(c.t, &got));
		client_dane_send_ticket(c.t, &sent);
		SSL_SESSION *session = take_session(&c);

		conn_begin(&again, client_made, session);
		assert_int_equal(tls_facts(again.t)->resumed, rows[i].carried);
		assert_int_equal(client_dane_carried(again.t, &got), rows[i].carried);
		if (rows[i].carried) {
			assert_int_equal(got.verdict, sent.verdict);
			assert_string_equal(got.identity, sent.identity);
			assert_in_range(got.ttl, 1, rows[i].ttl);
			assert_true(got.carried);
		}
		SSL_SESSION_free(session);
		conn_end(&again);
		conn_end(&c);
	}
}

/* ---- explaining ---- */

static void set_true(void *flag)
{
	*(bool *)flag = true;
}

/* False: no such name could be proved. */
static bool explain(const char *name, struct client_explained *e)
{
	struct dns_inbox *inbox = dns_inbox_open(fake_dns());
	bool done = false;
	struct client_explaining *x = client_dane_explain(fake_dns(), inbox, name, e, set_true, &done);

	for (int i = 0; x && !done && i < 10; i++)
		dns_collect(inbox);
	assert_true(!x || done);
	client_dane_explain_free(x);
	dns_inbox_close(inbox);
	return x;
}

static void test_explain(void **state)
{
	struct client_explained e;

	fake_dns_reset();
	fake_dns_tell("_25._tcp.mail.sender.example", DANE_SECURE, 60, own_record, 35);
	assert_true(explain("Mail.Sender.example.", &e));
	assert_int_equal(e.asked.count, 2);
	assert_string_equal(e.asked.owners[1].owner, "_25._tcp.mail.sender.example");
	assert_int_equal(e.asked.heard[1].usable, 1);
	assert_int_equal(e.record_count, 1);
	assert_int_equal(e.records[0].owner, 1);
	assert_memory_equal(e.records[0].text, "3 1 1 ", 6);
	assert_non_null(strstr(e.sentence, "_25._tcp.mail.sender.example first) is verified"));

	fake_dns_tell("_25._tcp.mail.sender.example", DANE_SECURE, 60, "\1\1\1\2", 4);
	assert_true(explain("mail.sender.example", &e));
	assert_non_null(strstr(e.records[0].text, "(unusable: "));
	assert_non_null(strstr(e.sentence, "no client can prove this name: none of the records"));

	fake_dns_tell("_25._tcp.mail.sender.example", DANE_FAILED, 0, NULL, 0);
	assert_true(explain("mail.sender.example", &e));
	assert_int_equal(e.asked.verdict, DANE_LOOKUP_FAILED);
	assert_non_null(strstr(e.sentence, "no client can prove this name"));
	fake_dns_health(DNS_NOT_VALIDATING);
	assert_true(explain("mail.sender.example", &e));
	assert_non_null(strstr(e.sentence, "nobody can be verified now"));
	assert_false(explain("localhost", &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_no_certificate), cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_kept_as_long_as_the_records), cmocka_unit_test(test_failures_are_not_kept),
		cmocka_unit_test(test_cache), cmocka_unit_test(test_bounded), cmocka_unit_test(test_broken_validation),
		cmocka_unit_test(test_tickets), cmocka_unit_test(test_explain),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
