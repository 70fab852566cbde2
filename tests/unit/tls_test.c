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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
