/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that show a certificate: asking, judging, the dane_clientid extension, verdicts in tickets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "tests/unit/tls_peer.h"
#include "userspace/tls_judge.h"

#define EXTENSION 0xffce

static struct made *server_made, *root, *sub, *leaf, *self, *expired, *server_only, *other;
static struct chunk_pool *pool;

static time_t fake_now = 1800000000;
static time_t fake_clock(void)
{
	return fake_now;
}

static int set_up(void **state)
{
	pool = chunk_pool_new();
	server_made = made_new(&(struct made_spec){ .dns = "mx1.example.net" });
	root = made_new(&(struct made_spec){ .cn = "root", .ca = true });
	sub = made_new(&(struct made_spec){ .cn = "sub", .ca = true, .issuer = root });
	leaf = made_new(&(struct made_spec){ .cn = "relay", .dns = "mail.sender.example", .issuer = sub });
	self = made_new(&(struct made_spec){ .dns = "mail.sender.example" });
	expired = made_new(&(struct made_spec){ .dns = "mail.sender.example", .issuer = sub, .from_s = -7200, .to_s = -3600 });
	server_only = made_new(&(struct made_spec){ .dns = "mail.sender.example", .issuer = sub, .eku = "serverAuth" });
	other = made_new(&(struct made_spec){ .dns = "mail.sender.example" });
	return 0;
}

static int tear_down(void **state)
{
	struct made *all[] = { server_made, root, sub, leaf, self, expired, server_only, other };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		made_free(all[i]);
	chunk_pool_free(pool);
	return 0;
}

static struct tls_server *server_with(struct tls_server_settings set)
{
	struct tls_identity id = made_identity(server_made, "mx1");
	struct tls_server *s;
	char err[300];

	set.identities = &id;
	set.identity_count = 1;
	set.clock = fake_clock;
	if (tls_server_new(&set, &s, err, sizeof(err)))
		fail_msg("%s", err);
	return s;
}

struct pair {
	struct peer peer;
	struct tls *t;
	struct fifo out;
	enum tls_result result;
	bool peer_ok;
};

/* The client shows a certificate if it is asked and has one. */
static void pair_begin(struct pair *p, struct tls_server *s, bool ask, const struct made *shown, int version)
{
	memset(p, 0, sizeof(*p));
	fifo_init(&p->out, pool);
	p->t = tls_accept_new(s, &p->out);
	if (ask)
		tls_ask_certificate(p->t);
	peer_init(&p->peer, false);
	SSL_CTX_set_max_proto_version(p->peer.ctx, version);
	if (shown)
		peer_show(&p->peer, shown);
}

static void pair_shake(struct pair *p)
{
	if (!p->peer.ssl)
		peer_start(&p->peer);
	p->result = peer_shake(&p->peer, p->t, &p->out, 0, &p->peer_ok);
}

static void pair_end(struct pair *p)
{
	tls_free(p->t);
	peer_clear(&p->peer);
	fifo_clear(&p->out);
	assert_int_equal(ERR_peek_error(), 0);
}

/* ---- asking ---- */

static void test_asking(void **state)
{
	static const struct {
		bool ask, has;
	} rows[] = { { false, false }, { false, true }, { true, false }, { true, true } };
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		bool asked = rows[i / 2].ask, has = rows[i / 2].has;
		struct tls_judgement j;
		struct pair p;

		pair_begin(&p, s, asked, has ? leaf : NULL, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		pair_shake(&p);
		assert_int_equal(p.result, TLS_DONE); /* whatever it shows, it is a client */
		assert_true(p.peer_ok);
		assert_int_equal(tls_facts(p.t)->peer_cert, asked && has);
		assert_int_equal(tls_peer(p.t) != NULL, asked && has);
		if (asked && has) {
			assert_string_equal(tls_peer(p.t)->cn, "relay");
			assert_string_equal(tls_peer(p.t)->names[0], "mail.sender.example");
			assert_string_equal(tls_peer(p.t)->client_id, "");
		} else {
			tls_judge_client(p.t, NULL, 0, NULL, 0, &j);
			assert_int_equal(j.verdict, TLS_NO_CERTIFICATE);
		}
		pair_end(&p);
	}
	tls_server_unref(s);
}

/* ---- judging ---- */

static const char *const own_name[] = { "mail.sender.example" };
static const char *const other_name[] = { "foreign.test" };

static void test_judging(void **state)
{
	const struct {
		const char *what;
		const struct made *shown;
		uint8_t usage, selector, mtype;
		const struct made *of; /* the record's */
		const char *const *names;
		bool with_ca;
		enum tls_verdict verdict;
		int depth;
	} rows[] = {
		{ "3 1 1", leaf, 3, 1, 1, leaf, own_name, false, TLS_MATCH, 0 },
		{ "3 1 1, no names asked", leaf, 3, 1, 1, leaf, other_name, false, TLS_MATCH, 0 },
		{ "3 1 2, self-signed", self, 3, 1, 2, self, own_name, false, TLS_MATCH, 0 },
		{ "3 0 0", self, 3, 0, 0, self, own_name, false, TLS_MATCH, 0 },
		{ "3 1 1, expired", expired, 3, 1, 1, expired, own_name, false, TLS_MATCH, 0 },
		{ "3 1 1, another key", leaf, 3, 1, 1, other, own_name, false, TLS_NO_MATCH, -1 },
		{ "3 1 1 of the issuer", leaf, 3, 1, 1, sub, own_name, false, TLS_NO_MATCH, -1 },
		{ "3 1 1, a server's certificate", server_only, 3, 1, 1, server_only, own_name, false, TLS_MATCH, 0 },
		{ "2 1 1", leaf, 2, 1, 1, sub, own_name, false, TLS_MATCH, 1 },
		{ "2 0 0, root not sent", leaf, 2, 0, 0, root, own_name, false, TLS_MATCH, 2 },
		{ "2 1 1, another name", leaf, 2, 1, 1, sub, other_name, false, TLS_WRONG_NAME, -1 },
		{ "2 1 1, expired", expired, 2, 1, 1, sub, own_name, false, TLS_NOT_VALID_NOW, -1 },
		{ "2 1 1, a server's certificate", server_only, 2, 1, 1, sub, own_name, false, TLS_BAD_CHAIN, -1 },
		{ "2 1 0 of a self-signed leaf", self, 2, 1, 0, self, own_name, false, TLS_NO_MATCH, -1 },
		{ "1 1 1 with its CA", leaf, 1, 1, 1, leaf, own_name, true, TLS_MATCH, 0 },
		{ "1 1 1, another name", leaf, 1, 1, 1, leaf, other_name, true, TLS_WRONG_NAME, -1 },
		{ "1 1 1 without CA", leaf, 1, 1, 1, leaf, own_name, false, TLS_NO_MATCH, -1 },
		{ "1 1 1, not of that CA", self, 1, 1, 1, self, own_name, true, TLS_NO_MATCH, -1 },
		{ "0 1 1 with its CA", leaf, 0, 1, 1, sub, own_name, true, TLS_MATCH, 1 },
		{ "0 1 1 without CA", leaf, 0, 1, 1, sub, own_name, false, TLS_NO_MATCH, -1 },
		{ "usage 4", leaf, 4, 1, 1, leaf, own_name, false, TLS_NO_MATCH, -1 },
	};

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t data[4096];
		struct dane_record records[2] = { { .usage = 3, .selector = 1, .mtype = 1, .len = 3, .data = (const uint8_t *)"bad" } };
		struct tls_server *s = server_with((struct tls_server_settings){
			.client_ca_pem = rows[i / 2].with_ca ? root->chain_pem : NULL, .client_ca_len = strlen(root->chain_pem) });
		struct tls_judgement j;
		struct pair p;

		records[1] = (struct dane_record){ .usage = rows[i / 2].usage, .selector = rows[i / 2].selector, .mtype = rows[i / 2].mtype,
			.data = data, .len = (uint16_t)made_association(rows[i / 2].of, rows[i / 2].selector, rows[i / 2].mtype, data) };
		pair_begin(&p, s, true, rows[i / 2].shown, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		pair_shake(&p);
		assert_int_equal(p.result, TLS_DONE);
		for (int again = 0; again < 2; again++) { /* for the next of the client's names */
			tls_judge_client(p.t, records, 2, rows[i / 2].names, 1, &j);
			if (j.verdict != rows[i / 2].verdict || j.depth != rows[i / 2].depth)
				fail_msg("%s: %s, depth %d (%s)", rows[i / 2].what, tls_verdict_name(j.verdict), j.depth, j.text);
			assert_int_equal(j.record, j.verdict == TLS_MATCH ? 1 : -1);
		}
		pair_end(&p);
		tls_server_unref(s);
	}
}

/* A chain is a few KB; a peer that sends a library of certificates is cut off before they are parsed. */
static void test_huge_chain(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	struct made many = *leaf;
	size_t len = strlen(leaf->chain_pem);
	struct pair p;

	many.chain_pem = malloc(100 * len + 1);
	for (int i = 0; i < 100; i++)
		memcpy(many.chain_pem + (size_t)i * len, leaf->chain_pem, len + 1);
	pair_begin(&p, s, true, &many, TLS1_3_VERSION);
	pair_shake(&p);
	assert_int_equal(p.result, TLS_FAILED);
	assert_string_equal(tls_error(p.t), "excessive message size");
	pair_end(&p);
	free(many.chain_pem);
	tls_server_unref(s);
}

/* ---- dane_clientid ---- */

struct raw {
	const char *data;
	size_t len;
	bool asked; /* out: the server's question came, and was empty */
};

static int raw_answer(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out, size_t *outlen, X509 *x,
		      size_t chainidx, int *alert, void *arg)
{
	struct raw *r = arg;

	if (!(context & SSL_EXT_TLS1_3_CERTIFICATE) || chainidx)
		return 0;
	*out = (const unsigned char *)r->data;
	*outlen = r->len;
	return 1;
}

static int raw_question(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in, size_t len, X509 *x, size_t chainidx,
			int *alert, void *arg)
{
	((struct raw *)arg)->asked = len == 1 && !in[0];
	return 1;
}

static void test_client_id(void **state)
{
#define RAW(text) text, sizeof(text) - 1
	static const struct {
		const char *data;
		size_t len;
		const char *id; /* NULL: the handshake fails */
	} rows[] = {
		{ RAW("\044_smtp-client.device1.sender.example.t"), "_smtp-client.device1.sender.example.t" },
		{ RAW("\0"), NULL },
		{ RAW(""), NULL },
		{ RAW("\4abc"), NULL },
		{ RAW("\2abc"), NULL },
		{ RAW("\4abc."), NULL },
		{ RAW("\4a bc"), NULL },
		{ RAW("\4a\\bc"), NULL },
		{ RAW("\4a\0bc"), NULL },
		{ RAW("\3abc"), "abc" },
	};
	struct tls_server *s = server_with((struct tls_server_settings){ .client_id_extension = EXTENSION });

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct raw raw = { .data = rows[i].data, .len = rows[i].len };
		struct pair p;

		if (i == 0) /* its length is written by the compiler's count, not by ours */
			((char *)(raw.data = strdup(raw.data)))[0] = (char)(raw.len - 1);
		pair_begin(&p, s, true, leaf, TLS1_3_VERSION);
		SSL_CTX_add_custom_ext(p.peer.ctx, EXTENSION, SSL_EXT_TLS1_3_CERTIFICATE_REQUEST | SSL_EXT_TLS1_3_CERTIFICATE, raw_answer, NULL,
				       &raw, raw_question, &raw);
		pair_shake(&p);
		assert_true(raw.asked);
		assert_int_equal(p.result, rows[i].id ? TLS_DONE : TLS_FAILED);
		if (rows[i].id)
			assert_string_equal(tls_peer(p.t)->client_id, rows[i].id);
		else
			assert_int_equal(p.peer.alert, SSL3_AL_FATAL << 8 | SSL_AD_HANDSHAKE_FAILURE);
		pair_end(&p);
		if (i == 0)
			free((char *)raw.data);
	}
	tls_server_unref(s);
}

/* All that stands in the fifo, as input for the other end. */
static void pass(struct fifo *from, struct tls *to, uint8_t buf[65536])
{
	struct iovec iov[16];
	size_t len = 0;
	int n = fifo_peek(from, iov, 16);

	for (int i = 0; i < n; i++) {
		memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	fifo_consume(from, len);
	tls_input(to, buf, len);
}

/* Both ends are ours: the client's name arrives, and only where the numbers agree. */
static void test_client_id_both_ends(void **state)
{
	static const struct {
		uint16_t server, client;
		bool ask, arrives;
	} rows[] = {
		{ EXTENSION, EXTENSION, true, true },
		{ EXTENSION, EXTENSION, false, false },
		{ EXTENSION, 0, true, false },
		{ 0, EXTENSION, true, false },
		{ EXTENSION, EXTENSION - 1, true, false },
	};
	struct tls_identity me = made_identity(leaf, "me");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static uint8_t a[65536], b[65536];
		struct tls_server *s = server_with((struct tls_server_settings){ .client_id_extension = rows[i].server });
		struct tls_client_settings set = { .identity = &me, .client_id_extension = rows[i].client, .client_id = "_smtp-client.me.example" };
		struct fifo server_out, client_out;
		struct tls_client *c;
		struct tls *server, *client;
		char err[200];

		assert_int_equal(tls_client_new(&set, &c, err, sizeof(err)), 0);
		fifo_init(&server_out, pool);
		fifo_init(&client_out, pool);
		server = tls_accept_new(s, &server_out);
		if (rows[i].ask)
			tls_ask_certificate(server);
		assert_int_equal(tls_connect_new(c, &(struct tls_target){ .mode = TLS_UNAUTHENTICATED }, &client_out, &client), 0);
		assert_int_equal(tls_handshake(client), TLS_WANT_INPUT);
		pass(&client_out, server, a);
		assert_int_equal(tls_handshake(server), TLS_WANT_INPUT);
		pass(&server_out, client, b);
		assert_int_equal(tls_handshake(client), TLS_DONE);
		pass(&client_out, server, a);
		assert_int_equal(tls_handshake(server), TLS_DONE);
		assert_int_equal(tls_peer(server) != NULL, rows[i].ask);
		if (rows[i].ask)
			assert_string_equal(tls_peer(server)->client_id, rows[i].arrives ? "_smtp-client.me.example" : "");
		tls_free(server);
		tls_free(client);
		fifo_clear(&server_out);
		fifo_clear(&client_out);
		tls_client_unref(c);
		tls_server_unref(s);
	}
}

/* ---- verdicts in tickets ---- */

/* One connection; a verdict is sent after it if send is given.  What the client holds then. */
static SSL_SESSION *connect_with(struct tls_server *s, int version, bool ask, SSL_SESSION *session, const struct tls_carried *send,
				 struct tls_carried *got, bool *resumed)
{
	SSL_SESSION *next;
	struct pair p;
	char none[1];

	pair_begin(&p, s, ask, leaf, version);
	peer_start(&p.peer);
	if (session)
		SSL_set_session(p.peer.ssl, session);
	pair_shake(&p);
	assert_int_equal(p.result, TLS_DONE);
	assert_true(p.peer_ok);
	*resumed = tls_facts(p.t)->resumed;
	memset(got, 0, sizeof(*got));
	if (tls_carried(p.t))
		*got = *tls_carried(p.t);
	assert_true(*resumed || !tls_carried(p.t));
	if (send) {
		assert_int_equal(tls_send_verdict(p.t, send), version == TLS1_3_VERSION ? 0 : -ENOTSUP);
		assert_int_equal(tls_write(p.t, (const uint8_t *)"250\r\n", 5), TLS_DONE); /* and the session goes on */
		peer_give_fifo(&p.peer, &p.out);
		assert_int_equal(SSL_read(p.peer.ssl, none, 1), 1);
	}
	next = SSL_get1_session(p.peer.ssl);
	SSL_shutdown(p.peer.ssl);
	pair_end(&p);
	return next;
}

static void test_carried(void **state)
{
	static const struct {
		const char *what;
		bool ask_first, send, ask_then;
		int life, later; /* of the verdict; when the client comes back */
		bool resumed, carried;
	} rows[] = {
		{ "verdict alive", true, true, true, 600, 599, true, true },
		{ "verdict over", true, true, true, 600, 600, false, false },
		{ "verdict over, not asked", true, true, false, 600, 601, false, false },
		{ "verdict alive, not asked", true, true, false, 600, 10, true, true },
		{ "no verdict, asked", false, false, true, 0, 10, false, false },
		{ "no verdict, not asked", false, false, false, 0, 10, true, false },
		{ "asked, but no verdict came", true, false, true, 0, 10, false, false },
	};
	struct tls_carried sent = { .identity = "mail.sender.example", .verdict = 3 }, got;
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	const time_t start = fake_now;

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		int version = i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION;
		/* TLS 1.2 has its ticket before there is a verdict: asked again, it shows its certificate again */
		bool old = version == TLS1_2_VERSION;
		bool expected = old ? !rows[i / 2].ask_then : rows[i / 2].resumed;
		SSL_SESSION *first, *second;
		bool resumed;

		sent.expires = fake_now + rows[i / 2].life;
		first = connect_with(s, version, rows[i / 2].ask_first, NULL, rows[i / 2].send ? &sent : NULL, &got, &resumed);
		assert_false(resumed);
		fake_now += rows[i / 2].later;
		second = connect_with(s, version, rows[i / 2].ask_then, first, NULL, &got, &resumed);
		if (resumed != expected)
			fail_msg("%s: resumed %d", rows[i / 2].what, resumed);
		if (rows[i / 2].carried && !old) {
			assert_string_equal(got.identity, "mail.sender.example");
			assert_int_equal(got.verdict, 3);
			assert_int_equal(got.expires, sent.expires);
		} else {
			assert_int_equal(got.verdict, 0);
		}
		/* a ticket that came of the resumption ends when the verdict ends */
		if (rows[i / 2].carried && !old) {
			fake_now = sent.expires;
			SSL_SESSION_free(connect_with(s, version, rows[i / 2].ask_then, second, NULL, &got, &resumed));
			assert_false(resumed);
		}
		SSL_SESSION_free(first);
		SSL_SESSION_free(second);
		fake_now = start;
	}
	tls_server_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asking),	  cmocka_unit_test(test_judging),	      cmocka_unit_test(test_huge_chain),
		cmocka_unit_test(test_client_id), cmocka_unit_test(test_client_id_both_ends), cmocka_unit_test(test_carried),
	};

	return cmocka_run_group_tests_name("tls_judge", tests, set_up, tear_down);
}
