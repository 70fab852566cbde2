/* SPDX-License-Identifier: BSD-2-Clause */
/* The server side of the tls room, against an OpenSSL client in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/tls_peer.h"

static struct made *ec, *rsa, *wild, *two_ec, *two_rsa, *no_san, *only_rsa;
static struct chunk_pool *pool;

static time_t fake_now = 1800000000;
static time_t fake_clock(void)
{
	return fake_now;
}

static int set_up(void **state)
{
	pool = chunk_pool_new();
	ec = made_new(&(struct made_spec){ .cn = "mx1.example.net", .dns = "mx1.example.net mx1-alt.example.net" });
	rsa = made_new(&(struct made_spec){ .cn = "mx1.example.net", .dns = "mx1.example.net", .key = MADE_RSA });
	wild = made_new(&(struct made_spec){ .cn = "ignored.example.org", .dns = "*.example.org exact.example.org f*.example.com" });
	two_ec = made_new(&(struct made_spec){ .dns = "two.example.org" });
	two_rsa = made_new(&(struct made_spec){ .dns = "two.example.org", .key = MADE_RSA, .use_key = rsa->key });
	no_san = made_new(&(struct made_spec){ .cn = "Only-CN.example.com" });
	only_rsa = made_new(&(struct made_spec){ .dns = "rsa.example.com", .key = MADE_RSA, .use_key = rsa->key });
	return 0;
}

static int tear_down(void **state)
{
	made_free(ec);
	made_free(rsa);
	made_free(wild);
	made_free(two_ec);
	made_free(two_rsa);
	made_free(no_san);
	made_free(only_rsa);
	chunk_pool_free(pool);
	return 0;
}

/* The usual server: all the identities above. */
static struct tls_server *server_with(struct tls_server_settings set)
{
	struct tls_identity ids[] = {
		made_identity(ec, "mx1-ec"),   made_identity(rsa, "mx1-rsa"),	  made_identity(wild, "wild"),
		made_identity(two_ec, "two-ec"), made_identity(two_rsa, "two-rsa"), made_identity(no_san, "no-san"),
		made_identity(only_rsa, "only-rsa"),
	};
	struct tls_server *s;
	char err[256];

	if (!set.identities) {
		set.identities = ids;
		set.identity_count = sizeof(ids) / sizeof(ids[0]);
	}
	if (!set.min_version)
		set.min_version = 12;
	set.clock = fake_clock;
	if (tls_server_new(&set, &s, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(err, "");
	return s;
}

struct pair {
	struct peer peer;
	struct tls *t;
	struct fifo out;
	enum tls_result result;
	bool peer_ok;
};

static void pair_begin(struct pair *p, struct tls_server *s)
{
	memset(p, 0, sizeof(*p));
	fifo_init(&p->out, pool);
	p->t = tls_accept_new(s, &p->out);
	peer_init(&p->peer, false);
}

static void pair_shake(struct pair *p, size_t step)
{
	if (!p->peer.ssl)
		peer_start(&p->peer);
	p->result = peer_shake(&p->peer, p->t, &p->out, step, &p->peer_ok);
}

static void pair_end(struct pair *p)
{
	tls_free(p->t);
	peer_clear(&p->peer);
	fifo_clear(&p->out);
	assert_int_equal(ERR_peek_error(), 0);
}

/* ---- versions, ciphers, names ---- */

static void test_versions(void **state)
{
	static const struct {
		int floor, client_min, client_max;
		const char *version, *error;
	} rows[] = {
		{ 12, TLS1_2_VERSION, TLS1_2_VERSION, "TLSv1.2", "" },
		{ 12, TLS1_2_VERSION, TLS1_3_VERSION, "TLSv1.3", "" },
		{ 12, TLS1_3_VERSION, TLS1_3_VERSION, "TLSv1.3", "" },
		{ 13, TLS1_2_VERSION, TLS1_3_VERSION, "TLSv1.3", "" },
		{ 13, TLS1_2_VERSION, TLS1_2_VERSION, NULL, "peer offers no TLS version that we allow" },
		{ 12, TLS1_VERSION, TLS1_1_VERSION, NULL, "peer offers no TLS version that we allow" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_server *s = server_with((struct tls_server_settings){ .min_version = rows[i].floor });
		struct pair p;

		pair_begin(&p, s);
		SSL_CTX_set_security_level(p.peer.ctx, 0);
		SSL_CTX_set_min_proto_version(p.peer.ctx, rows[i].client_min);
		SSL_CTX_set_max_proto_version(p.peer.ctx, rows[i].client_max);
		pair_shake(&p, 0);
		assert_int_equal(p.result, rows[i].version ? TLS_DONE : TLS_FAILED);
		assert_string_equal(tls_error(p.t), rows[i].error);
		if (rows[i].version) {
			const struct tls_facts *f = tls_facts(p.t);

			assert_true(p.peer_ok);
			assert_string_equal(f->version, rows[i].version);
			assert_string_equal(f->version, SSL_get_version(p.peer.ssl));
			assert_string_equal(f->cipher, SSL_get_cipher_name(p.peer.ssl));
			assert_string_equal(f->group, "X25519");
			assert_string_equal(f->certificate, "mx1-ec");
			assert_string_equal(f->sni, "");
			assert_string_equal(f->alpn, "");
			assert_false(f->sni_unknown || f->resumed || f->peer_cert);
		} else {
			assert_int_equal(p.peer.alert & 255, SSL_AD_PROTOCOL_VERSION);
		}
		pair_end(&p);
		tls_server_unref(s);
	}
}

static const char *client_sees(struct peer *p)
{
	static const struct {
		struct made **made;
		const char *label;
	} all[] = { { &ec, "mx1-ec" },	     { &rsa, "mx1-rsa" },     { &wild, "wild" },	 { &two_ec, "two-ec" },
		    { &two_rsa, "two-rsa" }, { &no_san, "no-san" }, { &only_rsa, "only-rsa" } };
	X509 *x = SSL_get0_peer_certificate(p->ssl);

	for (size_t i = 0; x && i < sizeof(all) / sizeof(all[0]); i++)
		if (!X509_cmp(x, (*all[i].made)->cert))
			return all[i].label;
	return "";
}

static void test_names(void **state)
{
	static const struct {
		const char *sni;
		const char *ecdsa, *rsa_only; /* served to a client of all algorithms, of RSA only; "": handshake fails */
		bool unknown;
	} rows[] = {
		{ NULL, "mx1-ec", "mx1-rsa", false },
		{ "mx1.example.net", "mx1-ec", "mx1-rsa", false },
		{ "MX1.Example.NET", "mx1-ec", "mx1-rsa", false },
		{ "mx1.example.net.", "mx1-ec", "mx1-rsa", false },
		{ "mx1-alt.example.net", "mx1-ec", "", false }, /* the RSA certificate has not that name */
		{ "unknown.example.net", "mx1-ec", "mx1-rsa", true },
		{ "localhost", "mx1-ec", "mx1-rsa", true },
		{ ".example.org", "mx1-ec", "mx1-rsa", true },
		{ "a.example.org", "wild", "", false },
		{ "A.EXAMPLE.ORG.", "wild", "", false },
		{ "exact.example.org", "wild", "", false },
		{ "a.b.example.org", "mx1-ec", "mx1-rsa", true }, /* a wildcard is one label */
		{ "example.org", "mx1-ec", "mx1-rsa", true },
		{ "*.example.org", "mx1-ec", "mx1-rsa", true },
		{ "foo.example.com", "mx1-ec", "mx1-rsa", true }, /* f*.example.com is no wildcard */
		{ "ignored.example.org", "wild", "", false },	  /* by *.example.org, not by the CN */
		{ "two.example.org", "two-ec", "two-rsa", false },
		{ "only-cn.example.com", "no-san", "", false },
		{ "rsa.example.com", "only-rsa", "only-rsa", false },
	};
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		bool rsa_only = i & 1;
		const char *want = rsa_only ? rows[i / 2].rsa_only : rows[i / 2].ecdsa;
		struct pair p;

		for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
			pair_begin(&p, s);
			SSL_CTX_set_max_proto_version(p.peer.ctx, version);
			if (rsa_only)
				SSL_CTX_set1_sigalgs_list(p.peer.ctx, "RSA-PSS+SHA256:RSA+SHA256");
			peer_start(&p.peer);
			if (rows[i / 2].sni)
				SSL_set_tlsext_host_name(p.peer.ssl, rows[i / 2].sni);
			pair_shake(&p, 0);
			assert_int_equal(p.result, *want ? TLS_DONE : TLS_FAILED);
			if (*want) {
				const struct tls_facts *f = tls_facts(p.t);

				assert_int_equal(p.peer.alert, 0); /* not even a warning */
				assert_string_equal(client_sees(&p.peer), want);
				assert_string_equal(f->certificate, want);
				assert_string_equal(f->sni, rows[i / 2].sni ? rows[i / 2].sni : "");
				assert_int_equal(f->sni_unknown, rows[i / 2].unknown);
			}
			pair_end(&p);
		}
	}
	tls_server_unref(s);
}

/* ---- ALPN ---- */

static void test_alpn(void **state)
{
#define ALPN(text) text, sizeof(text) - 1
	static const struct {
		const char *offer;
		size_t len;
		const char *chosen; /* NULL: refused */
	} rows[] = {
		{ NULL, 0, "" },
		{ ALPN("\4smtp"), "smtp" },
		{ ALPN("\5esmtp"), "esmtp" },
		{ ALPN("\5esmtp\4smtp"), "esmtp" },
		{ ALPN("\2h2\4smtp"), "smtp" },
		{ ALPN("\2h2\10http/1.1"), NULL },
		{ ALPN("\4SMTP"), NULL },
		{ ALPN("\5smtps"), NULL },
		{ ALPN("\3smt"), NULL },
		{ ALPN("\4imap"), NULL },
	};
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct pair p;

		pair_begin(&p, s);
		SSL_CTX_set_max_proto_version(p.peer.ctx, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		if (rows[i / 2].offer)
			SSL_CTX_set_alpn_protos(p.peer.ctx, (const unsigned char *)rows[i / 2].offer, (unsigned)rows[i / 2].len);
		pair_shake(&p, 0);
		assert_int_equal(p.result, rows[i / 2].chosen ? TLS_DONE : TLS_FAILED);
		if (rows[i / 2].chosen) {
			assert_string_equal(tls_facts(p.t)->alpn, rows[i / 2].chosen);
		} else {
			assert_int_equal(p.peer.alert, SSL3_AL_FATAL << 8 | SSL_AD_NO_APPLICATION_PROTOCOL);
			assert_string_equal(tls_error(p.t), "ALPN: peer offers neither smtp nor esmtp");
		}
		pair_end(&p);
	}
	tls_server_unref(s);
}

/* ---- tickets ---- */

/* One connection with the session given (NULL: none); what the client holds afterwards. */
static SSL_SESSION *connect_with(struct tls_server *s, int version, SSL_SESSION *session, bool *resumed)
{
	SSL_SESSION *next;
	struct pair p;

	pair_begin(&p, s);
	SSL_CTX_set_max_proto_version(p.peer.ctx, version);
	peer_start(&p.peer);
	if (session)
		SSL_set_session(p.peer.ssl, session);
	pair_shake(&p, 0);
	assert_int_equal(p.result, TLS_DONE);
	assert_true(p.peer_ok);
	assert_int_equal(SSL_session_reused(p.peer.ssl), tls_facts(p.t)->resumed);
	*resumed = tls_facts(p.t)->resumed;
	next = SSL_get1_session(p.peer.ssl);
	SSL_shutdown(p.peer.ssl);
	pair_end(&p);
	return next;
}

static void test_tickets(void **state)
{
	static const uint8_t one[32] = "the secret that the nodes share";
	static const uint8_t other[40] = "quite another secret";
	static const struct {
		const uint8_t *issue, *redeem;
		size_t issue_len, redeem_len;
		uint32_t lifetime;
		int issued_at, later; /* seconds within the hour; seconds until the ticket comes back */
		bool resumed;
	} rows[] = {
		{ one, one, 32, 32, 0, 0, 0, true },
		{ one, other, 32, 40, 0, 0, 0, false },
		{ one, NULL, 32, 0, 0, 0, 0, false },
		{ NULL, NULL, 0, 0, 0, 0, 0, true },	      /* the secret of this process */
		{ one, one, 32, 32, 0, 3599, 1, true },       /* the hour has changed */
		{ one, one, 32, 32, 0, 0, 2 * 3600, true },   /* the last hour that 7200 s reach into */
		{ one, one, 32, 32, 0, 0, 3 * 3600, false },
		{ one, one, 32, 32, 3600, 3599, 3600, true },
		{ one, one, 32, 32, 3600, 3599, 3601, false },
		{ one, one, 32, 32, 5000, 3599, 5000, true }, /* not a whole number of hours: one more is kept */
		{ one, one, 32, 32, 86400, 0, 24 * 3600, true },
		{ one, one, 32, 32, 0, 0, -1, true },	      /* the other node's clock is behind */
		{ one, one, 32, 32, 0, 0, -3601, false },
	};
	const time_t start = fake_now;

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_server_settings a = { .ticket_secret = rows[i / 2].issue, .ticket_secret_len = rows[i / 2].issue_len,
						 .ticket_lifetime_s = rows[i / 2].lifetime };
		struct tls_server_settings b = { .ticket_secret = rows[i / 2].redeem, .ticket_secret_len = rows[i / 2].redeem_len,
						 .ticket_lifetime_s = rows[i / 2].lifetime };
		int version = i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION;
		struct tls_server *first = server_with(a), *second = server_with(b);
		SSL_SESSION *got, *again;
		bool resumed;

		fake_now = start - start % 3600 + rows[i / 2].issued_at;
		got = connect_with(first, version, NULL, &resumed);
		assert_false(resumed);
		assert_true(SSL_SESSION_has_ticket(got));
		assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(got),
				 rows[i / 2].lifetime ? rows[i / 2].lifetime : 7200);
		fake_now += rows[i / 2].later;
		again = connect_with(second, version, got, &resumed);
		assert_int_equal(resumed, rows[i / 2].resumed);
		SSL_SESSION_free(got);
		/* whatever happened, the client has a ticket for the next time */
		SSL_SESSION_free(connect_with(second, version, again, &resumed));
		assert_true(resumed);
		SSL_SESSION_free(again);
		tls_server_unref(first);
		tls_server_unref(second);
	}
	fake_now = start;
}

/* One context through the hours, forward by one, by many, and back. */
static void test_ticket_hours(void **state)
{
	static const int steps[] = { 0, 1800, 1800, 3600, 3600, 36000, -3600, -36000, 3600 };
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	const time_t start = fake_now;
	bool resumed;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		SSL_SESSION *got;

		fake_now += steps[i];
		got = connect_with(s, TLS1_3_VERSION, NULL, &resumed);
		SSL_SESSION_free(connect_with(s, TLS1_3_VERSION, got, &resumed));
		assert_true(resumed);
		fake_now += 3 * 3600;
		SSL_SESSION_free(connect_with(s, TLS1_3_VERSION, got, &resumed));
		assert_false(resumed);
		fake_now -= 3 * 3600;
		SSL_SESSION_free(got);
	}
	fake_now = start;
	tls_server_unref(s);
}

/* ---- bytes in pieces, and bytes that are no TLS ---- */

static void test_pieces(void **state)
{
	static const size_t steps[] = { 1, 2, 5, 6, 7, 100, 1000 };
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (size_t i = 0; i < 2 * sizeof(steps) / sizeof(steps[0]); i++) {
		struct pair p;

		pair_begin(&p, s);
		SSL_CTX_set_max_proto_version(p.peer.ctx, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		pair_shake(&p, steps[i / 2]);
		assert_int_equal(p.result, TLS_DONE);
		assert_true(p.peer_ok);
		pair_end(&p);
	}
	tls_server_unref(s);
}

static void test_not_tls(void **state)
{
#define BYTES(text) text, sizeof(text) - 1
	static const struct {
		const char *data;
		size_t len;
		const char *error; /* NULL: it waits for more */
	} rows[] = {
		{ BYTES(""), NULL },
		{ BYTES("\26\3\1"), NULL },
		{ BYTES("\26\3\1\2\0\1\0\1\374\3\3"), NULL }, /* a truncated hello */
		{ BYTES("EHLO mail.example.org\r\n"), "not a TLS record (wrong version number)" },
		{ BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "peer speaks HTTP, not TLS" },
		{ BYTES("CONNECT mx:25 HTTP/1.1\r\n\r\n"), "peer speaks HTTP, not TLS" },
		{ BYTES("\0\0\0\0\0\0\0\0\0\0\0"), "not a TLS record (wrong version number)" },
		{ BYTES("\26\3\1\377\377\1\0\0\0\0\0"), "packet length too long" },
		{ BYTES("\26\3\1\0\4\2\0\0\0"), "unexpected message" },
		{ BYTES("\26\3\1\0\4\1\377\377\377"), "excessive message size" },
		{ BYTES("\27\3\3\0\5hello"), "unexpected message" },
		{ BYTES("\25\3\1\0\2\2\50"), "unexpected message" },
	};
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int split = 0; split < 2; split++) {
			enum tls_result r = TLS_WANT_INPUT;
			struct pair p;

			pair_begin(&p, s);
			for (size_t at = 0; at < rows[i].len && r == TLS_WANT_INPUT; at += split ? 1 : rows[i].len) {
				tls_input(p.t, (const uint8_t *)rows[i].data + at, split ? 1 : rows[i].len);
				r = tls_handshake(p.t);
			}
			assert_int_equal(r, rows[i].error ? TLS_FAILED : TLS_WANT_INPUT);
			assert_string_equal(tls_error(p.t), rows[i].error ? rows[i].error : "");
			if (rows[i].error) { /* and failed it stays */
				uint8_t buf[10];
				size_t got;

				assert_int_equal(tls_handshake(p.t), TLS_FAILED);
				assert_int_equal(tls_read(p.t, buf, sizeof(buf), &got), TLS_FAILED);
				assert_int_equal(tls_write(p.t, buf, 1), TLS_FAILED);
				tls_close_notify(p.t);
			}
			pair_end(&p);
		}
	tls_server_unref(s);
}

/* What a sender says about our certificate must be told in its words: this is how a failed DANE check shows. */
static int say_unknown_ca(X509_STORE_CTX *ctx, void *arg)
{
	X509_STORE_CTX_set_error(ctx, *(int *)arg);
	return 0;
}

static void test_peer_alerts(void **state)
{
	static const struct {
		int verify_error;
		const char *error;
	} rows[] = {
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "peer alert: unknown CA" },
		{ X509_V_ERR_CERT_HAS_EXPIRED, "peer alert: certificate expired" },
		{ X509_V_ERR_DANE_NO_MATCH, "peer alert: bad certificate" },
	};
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		int reason = rows[i / 2].verify_error;
		struct pair p;

		pair_begin(&p, s);
		SSL_CTX_set_max_proto_version(p.peer.ctx, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		SSL_CTX_set_verify(p.peer.ctx, SSL_VERIFY_PEER, NULL);
		SSL_CTX_set_cert_verify_callback(p.peer.ctx, say_unknown_ca, &reason);
		pair_shake(&p, 0);
		assert_int_equal(p.result, TLS_FAILED);
		assert_string_equal(tls_error(p.t), rows[i / 2].error);
		pair_end(&p);
	}
	tls_server_unref(s);
}

static void test_no_shared(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	struct pair p;

	pair_begin(&p, s);
	SSL_CTX_set_max_proto_version(p.peer.ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(p.peer.ctx, "DHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256");
	pair_shake(&p, 0);
	assert_int_equal(p.result, TLS_FAILED);
	assert_string_equal(tls_error(p.t), "no shared cipher");
	assert_int_equal(p.peer.alert & 255, SSL_AD_HANDSHAKE_FAILURE);
	pair_end(&p);
	tls_server_unref(s);
}

/* ---- after the handshake ---- */

static void open_pair(struct pair *p, struct tls_server *s, int version)
{
	pair_begin(p, s);
	SSL_CTX_set_max_proto_version(p->peer.ctx, version);
	pair_shake(p, 0);
	assert_int_equal(p->result, TLS_DONE);
	assert_true(p->peer_ok);
}

/* All that the peer has sent goes in; returns the result of the read that came last. */
static enum tls_result receive(struct pair *p, uint8_t *data, size_t size, size_t *total)
{
	uint8_t *buf;
	size_t len = peer_take(&p->peer, &buf), got;
	enum tls_result r;

	*total = 0;
	tls_input(p->t, buf, len);
	while ((r = tls_read(p->t, data + *total, size - *total, &got)) == TLS_DONE)
		*total += got;
	assert_true(r == TLS_FAILED || !tls_input_left(p->t));
	tls_input(p->t, NULL, 0);
	free(buf);
	return r;
}

static void test_data(void **state)
{
	static const size_t sizes[] = { 1, 100, 16384, 16385, 50000, 1000000 };
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	uint8_t *data = malloc(1000000), *back = malloc(1000001);

	for (size_t i = 0; i < 1000000; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i / 2], got, total = 0;
		struct pair p;

		open_pair(&p, s, i & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
		assert_int_equal(tls_write(p.t, data, size), TLS_DONE);
		assert_int_equal(tls_write(p.t, data, 0), TLS_DONE);
		assert_true(p.out.len > size && p.out.len < size + 100 + size / 100);
		peer_give_fifo(&p.peer, &p.out);
		while (total < size && SSL_read_ex(p.peer.ssl, back + total, 1000000 - total, &got) == 1)
			total += got;
		assert_int_equal(total, size);
		assert_memory_equal(back, data, size);

		assert_int_equal(SSL_write_ex(p.peer.ssl, data, size, &got), 1);
		memset(back, 0, size);
		assert_int_equal(receive(&p, back, 1000001, &total), TLS_WANT_INPUT);
		assert_int_equal(total, size);
		assert_memory_equal(back, data, size);
		pair_end(&p);
	}
	free(data);
	free(back);
	tls_server_unref(s);
}

/* A small buffer leaves plain text inside; it comes with the next reads, without more input. */
static void test_small_reads(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	uint8_t *buf, piece[10], all[301] = { 0 };
	size_t len, got, total = 0;
	struct pair p;

	open_pair(&p, s, TLS1_3_VERSION);
	for (int i = 0; i < 3; i++)
		SSL_write(p.peer.ssl, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", 100);
	len = peer_take(&p.peer, &buf);
	tls_input(p.t, buf, len);
	while (tls_read(p.t, piece, sizeof(piece), &got) == TLS_DONE) {
		memcpy(all + total, piece, got);
		total += got;
	}
	assert_int_equal(total, 300);
	assert_memory_equal(all + 290, "0123456789", 10);
	free(buf);
	pair_end(&p);
	tls_server_unref(s);
}

static void test_close(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		uint8_t buf[100];
		struct pair p;
		size_t got;

		open_pair(&p, s, version);
		SSL_write(p.peer.ssl, "QUIT\r\n", 6);
		SSL_shutdown(p.peer.ssl);
		assert_int_equal(receive(&p, buf, sizeof(buf), &got), TLS_EOF);
		assert_int_equal(got, 6);
		assert_int_equal(tls_read(p.t, buf, sizeof(buf), &got), TLS_EOF);
		assert_int_equal(tls_write(p.t, (const uint8_t *)"221\r\n", 5), TLS_DONE); /* half closed */
		tls_close_notify(p.t);
		peer_give_fifo(&p.peer, &p.out);
		assert_int_equal(SSL_read(p.peer.ssl, buf, sizeof(buf)), 5);
		assert_int_equal(SSL_read(p.peer.ssl, buf, sizeof(buf)), 0);
		assert_int_equal(SSL_get_error(p.peer.ssl, 0), SSL_ERROR_ZERO_RETURN);
		assert_string_equal(tls_error(p.t), "");
		pair_end(&p);

		open_pair(&p, s, version); /* nothing came: not an end, whoever closed the socket */
		assert_int_equal(receive(&p, buf, sizeof(buf), &got), TLS_WANT_INPUT);
		pair_end(&p);
	}
	tls_server_unref(s);
}

/* Good bytes before a broken record are delivered, then the failure shows, once and for all. */
static void test_broken_record(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		uint8_t *buf, data[100];
		struct pair p;
		size_t len, got;

		open_pair(&p, s, version);
		SSL_write(p.peer.ssl, "NOOP\r\n", 6);
		SSL_write(p.peer.ssl, "NOOP\r\n", 6);
		len = peer_take(&p.peer, &buf);
		buf[len - 1] ^= 1;
		tls_input(p.t, buf, len);
		assert_int_equal(tls_read(p.t, data, sizeof(data), &got), TLS_DONE);
		assert_int_equal(got, 6);
		assert_int_equal(tls_read(p.t, data, sizeof(data), &got), TLS_FAILED);
		assert_int_equal(got, 0);
		assert_string_equal(tls_error(p.t), "decryption failed or bad record mac");
		free(buf);
		peer_give_fifo(&p.peer, &p.out);
		SSL_read(p.peer.ssl, data, 1);
		assert_int_equal(p.peer.alert, SSL3_AL_FATAL << 8 | SSL_AD_BAD_RECORD_MAC);
		ERR_clear_error();
		pair_end(&p);
	}
	tls_server_unref(s);
}

static void test_oversized_record(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		static const uint8_t header[] = { 0x17, 3, 3, 0x60, 0 };
		uint8_t data[100];
		struct pair p;
		size_t got;

		open_pair(&p, s, version);
		tls_input(p.t, header, sizeof(header));
		assert_int_equal(tls_read(p.t, data, sizeof(data), &got), TLS_FAILED);
		assert_string_not_equal(tls_error(p.t), "");
		pair_end(&p);
	}
	tls_server_unref(s);
}

static void test_key_update(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	uint8_t data[100];
	struct pair p;
	size_t got;

	open_pair(&p, s, TLS1_3_VERSION);
	for (int i = 0; i < 5; i++) {
		SSL_key_update(p.peer.ssl, i & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		SSL_write(p.peer.ssl, "NOOP\r\n", 6);
		assert_int_equal(receive(&p, data, sizeof(data), &got), TLS_WANT_INPUT);
		assert_int_equal(got, 6);
		assert_int_equal(tls_write(p.t, (const uint8_t *)"250\r\n", 5), TLS_DONE);
		peer_give_fifo(&p.peer, &p.out);
		assert_int_equal(SSL_read(p.peer.ssl, data, sizeof(data)), 5);
	}
	pair_end(&p);
	tls_server_unref(s);
}

/* A client that asks for renegotiation gets a warning, its data goes on, and no handshake begins. */
static void test_renegotiation(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	uint8_t data[100];
	struct pair p;
	size_t got;

	open_pair(&p, s, TLS1_2_VERSION);
	assert_int_equal(SSL_renegotiate(p.peer.ssl), 1);
	SSL_do_handshake(p.peer.ssl);
	assert_int_equal(receive(&p, data, sizeof(data), &got), TLS_WANT_INPUT);
	assert_true(p.out.len > 0);
	peer_give_fifo(&p.peer, &p.out);
	SSL_do_handshake(p.peer.ssl);
	ERR_clear_error();
	assert_int_equal(p.peer.alert & 255, SSL_AD_NO_RENEGOTIATION);
	assert_int_equal(tls_write(p.t, (const uint8_t *)"250\r\n", 5), TLS_DONE);
	pair_end(&p);
	tls_server_unref(s);
}

/* ---- contexts ---- */

static void test_bad_identities(void **state)
{
	struct made *old = made_new(&(struct made_spec){ .dns = "old.example", .from_s = -7200, .to_s = -3600 });
	struct made *young = made_new(&(struct made_spec){ .dns = "young.example", .from_s = 3600, .to_s = 7200 });
	struct tls_identity good = made_identity(ec, "good"), mixed = made_identity(ec, "mixed"), none = made_identity(ec, "none"),
			    expired = made_identity(old, "old"), early = made_identity(young, "young"),
			    broken = made_identity(ec, "broken"), keyless = made_identity(ec, "keyless");
	static char junk[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	const struct {
		struct tls_identity *second;
		int ret;
		const char *err; /* its beginning */
	} rows[] = {
		{ &good, 0, "" },
		{ &mixed, -1, "certificate \"mixed\": the key does not match" },
		{ &none, -1, "certificate \"none\": no certificate in the chain file" },
		{ &expired, 0, "certificate \"old\" has expired" },
		{ &early, 0, "certificate \"young\" is not valid yet" },
		{ &broken, -1, "certificate \"broken\": no certificate in the chain file" },
		{ &keyless, -1, "certificate \"keyless\": the private key cannot be read" },
	};

	mixed.key_pem = wild->key_pem;
	mixed.key_len = strlen(wild->key_pem);
	none.chain_len = 0;
	broken.chain_pem = junk;
	broken.chain_len = sizeof(junk) - 1;
	keyless.key_pem = ec->chain_pem;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_identity ids[] = { good, *rows[i].second };
		struct tls_server *s = NULL;
		char err[300] = "x";

		assert_int_equal(tls_server_new(&(struct tls_server_settings){ .identities = ids, .identity_count = 2, .min_version = 12 },
						&s, err, sizeof(err)) < 0, rows[i].ret < 0);
		assert_memory_equal(err, rows[i].err, strlen(rows[i].err) + !*rows[i].err);
		assert_int_equal(s == NULL, rows[i].ret < 0);
		tls_server_unref(s);
		assert_int_equal(ERR_peek_error(), 0);
	}
	made_free(old);
	made_free(young);
}

static char *pem_of(void (*write)(BIO *bio))
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long len;

	write(bio);
	len = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)len);
	BIO_free(bio);
	return text;
}

static void write_old_ec(BIO *bio) { PEM_write_bio_PrivateKey_traditional(bio, ec->key, NULL, NULL, 0, NULL, NULL); }
static void write_old_rsa(BIO *bio) { PEM_write_bio_PrivateKey_traditional(bio, rsa->key, NULL, NULL, 0, NULL, NULL); }
static void write_params(BIO *bio)
{
	PEM_write_bio_Parameters(bio, ec->key);
	write_old_ec(bio);
}
static void write_both(BIO *bio)
{
	BIO_puts(bio, ec->chain_pem);
	BIO_puts(bio, ec->key_pem);
}
static void write_key_first(BIO *bio)
{
	BIO_puts(bio, ec->key_pem);
	BIO_puts(bio, ec->chain_pem);
}
static void write_encrypted(BIO *bio)
{
	PEM_write_bio_PKCS8PrivateKey(bio, ec->key, EVP_aes_256_cbc(), "secret", 6, NULL, NULL);
}

static void test_key_forms(void **state)
{
	static const struct {
		void (*key)(BIO *bio);
		struct made **made;
		bool both; /* the same file is the chain */
		bool good;
	} rows[] = {
		{ write_old_ec, &ec, false, true },	{ write_old_rsa, &rsa, false, true }, { write_params, &ec, false, true },
		{ write_both, &ec, true, true },	{ write_key_first, &ec, true, true }, { write_encrypted, &ec, false, false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_identity id = made_identity(*rows[i].made, "mx");
		char *pem = pem_of(rows[i].key), err[300];
		struct tls_server *s;

		id.key_pem = pem;
		id.key_len = strlen(pem);
		if (rows[i].both) {
			id.chain_pem = pem;
			id.chain_len = strlen(pem);
		}
		assert_int_equal(tls_server_new(&(struct tls_server_settings){ .identities = &id, .identity_count = 1 }, &s, err,
						sizeof(err)) == 0, rows[i].good);
		tls_server_unref(s);
		free(pem);
	}
}

static void test_bad_settings(void **state)
{
	struct tls_identity id = made_identity(ec, "mx");
	const struct {
		struct tls_server_settings set;
		const char *err;
	} rows[] = {
		{ { .identities = &id }, "no certificate" },
		{ { .identities = &id, .identity_count = 1, .ticket_secret = (const uint8_t *)"short", .ticket_secret_len = 5 },
		  "the ticket secret has fewer than 32 bytes" },
		{ { .identities = &id, .identity_count = 1, .ciphers = "NONSENSE" }, "list of TLS 1.2 ciphers" },
		{ { .identities = &id, .identity_count = 1, .ciphersuites = "NONSENSE" }, "list of TLS 1.3 cipher suites" },
		{ { .identities = &id, .identity_count = 1, .groups = "NONSENSE" }, "list of groups" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_server *s;
		char err[300];

		assert_true(tls_server_new(&rows[i].set, &s, err, sizeof(err)) < 0);
		assert_null(s);
		assert_memory_equal(err, rows[i].err, strlen(rows[i].err));
	}
}

/* A context outlives its owner's reference as long as connections use it (reload). */
static void test_reload(void **state)
{
	struct tls_server *s = server_with((struct tls_server_settings){ 0 });
	struct pair p;

	pair_begin(&p, s);
	tls_server_unref(tls_server_ref(s));
	tls_server_unref(s);
	peer_start(&p.peer);
	SSL_set_tlsext_host_name(p.peer.ssl, "two.example.org");
	pair_shake(&p, 0);
	assert_int_equal(p.result, TLS_DONE);
	assert_string_equal(tls_facts(p.t)->certificate, "two-ec");
	pair_end(&p);
}

/* The issuers stand in what is sent, and are the chain's own though identities share them. */
static void test_chain_sent(void **state)
{
	struct made *root = made_new(&(struct made_spec){ .cn = "root", .ca = true });
	struct made *sub = made_new(&(struct made_spec){ .cn = "sub", .ca = true, .issuer = root, .send_root = true });
	struct made *a = made_new(&(struct made_spec){ .dns = "a.example", .issuer = sub });
	struct made *b = made_new(&(struct made_spec){ .dns = "b.example", .issuer = sub });
	struct tls_identity ids[] = { made_identity(a, "a"), made_identity(b, "b") };
	struct tls_server *s = server_with((struct tls_server_settings){ .identities = ids, .identity_count = 2 });

	for (int i = 0; i < 2; i++) {
		struct pair p;

		pair_begin(&p, s);
		peer_start(&p.peer);
		SSL_set_tlsext_host_name(p.peer.ssl, (char *)(i ? "b.example" : "a.example"));
		pair_shake(&p, 0);
		assert_int_equal(p.result, TLS_DONE);
		assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(p.peer.ssl)), 3);
		assert_string_equal(tls_facts(p.t)->certificate, i ? "b" : "a");
		pair_end(&p);
	}
	tls_server_unref(s);
	made_free(a);
	made_free(b);
	made_free(sub);
	made_free(root);
}

/* ---- making ---- */

static void test_self_signed(void **state)
{
	char *chain, *key, tlsa[80], want[80], err[200];
	struct tls_server *s;
	struct tls_identity id = { .label = "self" };
	uint8_t digest[4096];
	struct pair p;

	assert_int_equal(tls_make_self_signed("mx.example.net", &chain, &key), 0);
	id.chain_pem = chain;
	id.chain_len = strlen(chain);
	id.key_pem = key;
	id.key_len = strlen(key);
	assert_int_equal(tls_server_new(&(struct tls_server_settings){ .identities = &id, .identity_count = 1 }, &s, err, sizeof(err)), 0);
	assert_string_equal(err, "");
	pair_begin(&p, s);
	peer_start(&p.peer);
	SSL_set_tlsext_host_name(p.peer.ssl, "mx.example.net");
	pair_shake(&p, 0);
	assert_int_equal(p.result, TLS_DONE);
	assert_false(tls_facts(p.t)->sni_unknown);
	assert_int_equal(X509_check_host(SSL_get0_peer_certificate(p.peer.ssl), "mx.example.net", 0, 0, NULL), 1);
	assert_int_equal(tls_tlsa_311(chain, strlen(chain), tlsa, sizeof(tlsa)), 0);
	made_association(&(struct made){ .cert = SSL_get0_peer_certificate(p.peer.ssl) }, 1, 1, digest);
	strcpy(want, "3 1 1 ");
	for (int i = 0; i < 32; i++)
		sprintf(want + 6 + 2 * i, "%02x", digest[i]);
	assert_string_equal(tlsa, want);
	assert_true(tls_tlsa_311("junk", 4, tlsa, sizeof(tlsa)) < 0);
	assert_true(tls_tlsa_311(chain, strlen(chain), tlsa, 70) < 0);
	pair_end(&p);
	tls_server_unref(s);
	free(chain);
	free(key);
	assert_true(tls_make_self_signed("", &chain, &key) < 0);
	assert_null(chain);
	assert_null(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_ticket_hours),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_not_tls),
		cmocka_unit_test(test_peer_alerts),
		cmocka_unit_test(test_no_shared),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_small_reads),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_broken_record),
		cmocka_unit_test(test_oversized_record),
		cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_renegotiation),
		cmocka_unit_test(test_bad_identities),
		cmocka_unit_test(test_key_forms),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_chain_sent),
		cmocka_unit_test(test_self_signed),
	};

	return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
