/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client end against an OpenSSL server in memory: every rule of RFC 7672 3.1 and 3.2 about which certificate a
 * record, a pin or a CA vouches for, with chains made on the spot.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "tests/unit/tls_peer.h"
#include "userspace/tls_client.h"

enum who {
	ROOT, SUB, SUB_ROOT, LEAF, LEAF_ROOT, EXPIRED, EARLY, WILD, PARTIAL, CN_ONLY, CN_BESIDE_SAN, SELF, SELF_EXPIRED, OTHER, SELF_CA,
	NARROW, NARROW_SUB, TOO_DEEP, FENCED, OUTSIDE, CLIENT_ONLY, NOT_CA, BELOW_NOT_CA, OLD_SUB, BELOW_OLD_SUB, DIRECT,
	WHO_COUNT
};

static struct made *all[WHO_COUNT];
static struct chunk_pool *pool;

static int set_up(void **state)
{
#define MADE(who, ...) all[who] = made_new(&(struct made_spec){ __VA_ARGS__ })
	pool = chunk_pool_new();
	MADE(ROOT, .cn = "root", .ca = true);
	MADE(SUB, .cn = "sub", .ca = true, .issuer = all[ROOT]);
	MADE(LEAF, .dns = "mx.example.net", .issuer = all[SUB]);
	MADE(SUB_ROOT, .cn = "sub", .ca = true, .issuer = all[ROOT], .send_root = true);
	MADE(LEAF_ROOT, .dns = "mx.example.net", .issuer = all[SUB_ROOT]); /* its server sends the root too */
	MADE(EXPIRED, .dns = "mx.example.net", .issuer = all[SUB], .from_s = -7200, .to_s = -3600);
	MADE(EARLY, .dns = "mx.example.net", .issuer = all[SUB], .from_s = 3600, .to_s = 7200);
	MADE(WILD, .dns = "*.example.net", .issuer = all[SUB]);
	MADE(PARTIAL, .dns = "m*.example.net", .issuer = all[SUB]);
	MADE(CN_ONLY, .cn = "mx.example.net", .issuer = all[SUB]);
	MADE(CN_BESIDE_SAN, .cn = "mx.example.net", .dns = "else.example", .issuer = all[SUB]);
	MADE(SELF, .cn = "mx.example.net", .dns = "mx.example.net");
	MADE(SELF_EXPIRED, .dns = "else.example", .from_s = -7200, .to_s = -3600);
	MADE(SELF_CA, .cn = "mx.example.net", .dns = "mx.example.net", .ca = true);
	MADE(OTHER, .dns = "mx.example.net");
	MADE(NARROW, .cn = "narrow", .ca = true, .pathlen = 1, .issuer = all[ROOT]);
	MADE(NARROW_SUB, .cn = "narrow sub", .ca = true, .issuer = all[NARROW]);
	MADE(TOO_DEEP, .dns = "mx.example.net", .issuer = all[NARROW_SUB]);
	MADE(FENCED, .cn = "fenced", .ca = true, .issuer = all[ROOT], .constraints = "permitted;DNS:else.example");
	MADE(OUTSIDE, .dns = "mx.example.net", .issuer = all[FENCED]);
	MADE(CLIENT_ONLY, .dns = "mx.example.net", .issuer = all[SUB], .eku = "clientAuth");
	MADE(NOT_CA, .cn = "not a ca", .issuer = all[SUB]);
	MADE(BELOW_NOT_CA, .dns = "mx.example.net", .issuer = all[NOT_CA]);
	MADE(OLD_SUB, .cn = "old sub", .ca = true, .issuer = all[ROOT], .from_s = -7200, .to_s = -3600);
	MADE(BELOW_OLD_SUB, .dns = "mx.example.net", .issuer = all[OLD_SUB]);
	MADE(DIRECT, .dns = "mx.example.net", .issuer = all[ROOT]);
	return 0;
}

static int tear_down(void **state)
{
	for (int i = 0; i < WHO_COUNT; i++)
		made_free(all[i]);
	chunk_pool_free(pool);
	return 0;
}

/* ---- records in short ---- */

enum odd { PLAIN, ZEROS, SHORT, LONG, EMPTY, JUNK };

struct rec {
	int usage, selector, mtype;
	enum who who;
	enum odd odd; /* what is wrong with its data */
};

#define MAX_RECORDS 4

static size_t make_records(const struct rec *in, size_t count, struct dane_record out[MAX_RECORDS], uint8_t data[MAX_RECORDS][4096])
{
	for (size_t i = 0; i < count; i++) {
		size_t len = made_association(all[in[i].who], in[i].selector == 1, in[i].mtype == 0 || in[i].mtype == 2 ? in[i].mtype : 1,
					      data[i]);

		if (in[i].odd == ZEROS)
			memset(data[i], 0, len);
		if (in[i].odd == JUNK)
			memset(data[i], 0x30, len);
		len = in[i].odd == SHORT ? len - 1 : in[i].odd == LONG ? len + 1 : in[i].odd == EMPTY ? 0 : len;
		out[i] = (struct dane_record){ .usage = (uint8_t)in[i].usage, .selector = (uint8_t)in[i].selector,
					       .mtype = (uint8_t)in[i].mtype, .len = (uint16_t)len, .data = data[i] };
	}
	return count;
}

static struct tls_client *client_with(struct tls_client_settings set)
{
	struct tls_client *c;
	char err[300];

	if (tls_client_new(&set, &c, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(err, "");
	return c;
}

struct pair {
	struct peer peer;
	struct tls *t;
	struct fifo out;
	enum tls_result result;
	bool peer_ok;
};

/* Our client towards a server that shows who's certificate; what tls_connect_new() said. */
static int connect_to(struct pair *p, struct tls_client *c, const struct tls_target *target, enum who who, int version)
{
	int ret;

	memset(p, 0, sizeof(*p));
	fifo_init(&p->out, pool);
	ret = tls_connect_new(c, target, &p->out, &p->t);
	if (ret) {
		assert_null(p->t);
		return ret;
	}
	peer_init(&p->peer, true);
	peer_show(&p->peer, all[who]);
	SSL_CTX_set_max_proto_version(p->peer.ctx, version);
	peer_start(&p->peer);
	p->result = peer_shake(&p->peer, p->t, &p->out, 0, &p->peer_ok);
	return 0;
}

static void disconnect(struct pair *p)
{
	tls_free(p->t);
	if (p->peer.ssl)
		peer_clear(&p->peer);
	fifo_clear(&p->out);
	assert_int_equal(ERR_peek_error(), 0);
}

/* ---- DANE ---- */

static const char *const mx[] = { "mx.example.net" };
static const char *const foreign[] = { "foreign.test" };
static const char *const foreign_mx[] = { "foreign.test", "mx.example.net" };
static const char *const below[] = { "a.mx.example.net" };

struct dane_row {
	const char *what;
	enum who who;
	const char *const *names;
	size_t name_count;
	struct rec records[MAX_RECORDS];
	size_t count;
	int ret; /* of tls_connect_new() */
	enum tls_verdict verdict;
	int record, depth;
};

#define NAMES(n) n, sizeof(n) / sizeof(n[0])
#define NO_NAMES NULL, 0

static const struct dane_row dane_rows[] = {
	{ "3 1 1", LEAF, NAMES(mx), { { 3, 1, 1, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "3 1 2", LEAF, NAMES(mx), { { 3, 1, 2, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "3 1 0", LEAF, NAMES(mx), { { 3, 1, 0, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "3 0 1", LEAF, NAMES(mx), { { 3, 0, 1, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "3 0 2", LEAF, NAMES(mx), { { 3, 0, 2, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "3 0 0", LEAF, NAMES(mx), { { 3, 0, 0, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE, self-signed", SELF, NO_NAMES, { { 3, 1, 1, SELF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE asks for no name", LEAF, NAMES(foreign), { { 3, 1, 1, LEAF } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE asks for no date", EXPIRED, NAMES(mx), { { 3, 1, 1, EXPIRED } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE asks for no date, early", EARLY, NAMES(mx), { { 3, 0, 1, EARLY } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE asks for neither", SELF_EXPIRED, NAMES(mx), { { 3, 1, 1, SELF_EXPIRED } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE asks for no purpose", CLIENT_ONLY, NAMES(mx), { { 3, 1, 1, CLIENT_ONLY } }, 1, 0, TLS_MATCH, 0, 0 },
	{ "EE, another key", LEAF, NAMES(mx), { { 3, 1, 1, OTHER } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "EE is the leaf only", LEAF, NAMES(mx), { { 3, 1, 1, SUB } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "EE, key digest as certificate digest", LEAF, NAMES(mx), { { 3, 1, 1, LEAF, ZEROS } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "EE, second record", LEAF, NAMES(mx), { { 3, 1, 1, OTHER }, { 3, 1, 1, LEAF } }, 2, 0, TLS_MATCH, 1, 0 },
	{ "EE, weaker digest beside a stronger", LEAF, NAMES(mx), { { 3, 1, 1, LEAF }, { 3, 1, 2, OTHER } }, 2, 0, TLS_NO_MATCH, -1, -1 },

	{ "2 1 1 of the issuer", LEAF, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "2 0 1 of the issuer", LEAF, NAMES(mx), { { 2, 0, 1, SUB } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "2 0 2 of the issuer", LEAF, NAMES(mx), { { 2, 0, 2, SUB } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "2 0 1 of the root, sent", LEAF_ROOT, NAMES(mx), { { 2, 0, 1, ROOT } }, 1, 0, TLS_MATCH, 0, 2 },
	{ "2 0 1 of the root, not sent", LEAF, NAMES(mx), { { 2, 0, 1, ROOT } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "2 0 0 of the root, not sent", LEAF, NAMES(mx), { { 2, 0, 0, ROOT } }, 1, 0, TLS_MATCH, 0, 2 },
	{ "2 1 0 of the root, not sent", LEAF, NAMES(mx), { { 2, 1, 0, ROOT } }, 1, 0, TLS_MATCH, 0, 2 },
	{ "2 1 0 of the root, leaf below it", DIRECT, NAMES(mx), { { 2, 1, 0, ROOT } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "TA, second name", LEAF, NAMES(foreign_mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "TA, wrong name", LEAF, NAMES(foreign), { { 2, 1, 1, SUB } }, 1, 0, TLS_WRONG_NAME, -1, -1 },
	{ "TA, name below", LEAF, NAMES(below), { { 2, 1, 1, SUB } }, 1, 0, TLS_WRONG_NAME, -1, -1 },
	{ "TA, wildcard", WILD, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "TA, wildcard is one label", WILD, NAMES(below), { { 2, 1, 1, SUB } }, 1, 0, TLS_WRONG_NAME, -1, -1 },
	{ "TA, wildcard is a whole label", PARTIAL, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_WRONG_NAME, -1, -1 },
	{ "TA, CN without SAN", CN_ONLY, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_MATCH, 0, 1 },
	{ "TA, CN beside SAN", CN_BESIDE_SAN, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_WRONG_NAME, -1, -1 },
	{ "TA, expired leaf", EXPIRED, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_NOT_VALID_NOW, -1, -1 },
	{ "TA, early leaf", EARLY, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_NOT_VALID_NOW, -1, -1 },
	{ "TA, expired issuer below it", BELOW_OLD_SUB, NAMES(mx), { { 2, 0, 0, ROOT } }, 1, 0, TLS_NOT_VALID_NOW, -1, -1 },
	{ "TA, path too long", TOO_DEEP, NAMES(mx), { { 2, 0, 0, ROOT } }, 1, 0, TLS_BAD_CHAIN, -1, -1 },
	{ "TA, name constraints", OUTSIDE, NAMES(mx), { { 2, 0, 0, ROOT } }, 1, 0, TLS_BAD_CHAIN, -1, -1 },
	{ "TA, purpose", CLIENT_ONLY, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_BAD_CHAIN, -1, -1 },
	{ "TA, issuer is no CA", BELOW_NOT_CA, NAMES(mx), { { 2, 1, 1, SUB } }, 1, 0, TLS_BAD_CHAIN, -1, -1 },
	{ "TA, key of an unrelated CA", LEAF, NAMES(mx), { { 2, 1, 1, OTHER } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "TA is never the leaf", LEAF, NAMES(mx), { { 2, 1, 1, LEAF } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "TA is never a self-signed leaf, 2 0 1", SELF, NAMES(mx), { { 2, 0, 1, SELF } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "TA is never a self-signed leaf, 2 1 1", SELF_CA, NAMES(mx), { { 2, 1, 1, SELF_CA } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "TA is never a self-signed leaf, 2 1 0", SELF, NAMES(mx), { { 2, 1, 0, SELF } }, 1, 0, TLS_NO_MATCH, -1, -1 },
	{ "TA is never a self-signed leaf, 2 0 0", SELF_CA, NAMES(mx), { { 2, 0, 0, SELF_CA } }, 1, 0, TLS_NO_MATCH, -1, -1 },

	{ "any one suffices: TA", LEAF, NAMES(mx), { { 3, 1, 1, OTHER }, { 2, 1, 1, SUB } }, 2, 0, TLS_MATCH, 1, 1 },
	{ "any one suffices: EE", LEAF, NAMES(foreign), { { 2, 1, 1, OTHER }, { 3, 1, 1, LEAF } }, 2, 0, TLS_MATCH, 1, 0 },
	{ "EE saves a TA with a wrong name", LEAF, NAMES(foreign), { { 2, 1, 1, SUB }, { 3, 1, 1, LEAF } }, 2, 0, TLS_MATCH, 1, 0 },
	{ "an EE that fails does not excuse the name", LEAF, NAMES(foreign), { { 3, 1, 1, OTHER }, { 2, 1, 1, SUB } }, 2, 0, TLS_WRONG_NAME, -1, -1 },

	{ "PKIX-TA is unusable", LEAF, NAMES(mx), { { 0, 1, 1, SUB } }, 1, -ENODATA },
	{ "PKIX-EE is unusable", LEAF, NAMES(mx), { { 1, 1, 1, LEAF } }, 1, -ENODATA },
	{ "usage 4", LEAF, NAMES(mx), { { 4, 1, 1, LEAF } }, 1, -ENODATA },
	{ "usage 255", LEAF, NAMES(mx), { { 255, 1, 1, LEAF } }, 1, -ENODATA },
	{ "selector 2", LEAF, NAMES(mx), { { 3, 2, 1, LEAF } }, 1, -ENODATA },
	{ "matching type 3", LEAF, NAMES(mx), { { 3, 1, 3, LEAF } }, 1, -ENODATA },
	{ "matching type 255", LEAF, NAMES(mx), { { 3, 1, 255, LEAF } }, 1, -ENODATA },
	{ "short digest", LEAF, NAMES(mx), { { 3, 1, 1, LEAF, SHORT } }, 1, -ENODATA },
	{ "long digest", LEAF, NAMES(mx), { { 3, 1, 2, LEAF, LONG } }, 1, -ENODATA },
	{ "no data", LEAF, NAMES(mx), { { 3, 1, 1, LEAF, EMPTY } }, 1, -ENODATA },
	{ "junk for a certificate", LEAF, NAMES(mx), { { 2, 0, 0, SUB, JUNK } }, 1, -ENODATA },
	{ "junk for a key", LEAF, NAMES(mx), { { 3, 1, 0, LEAF, JUNK } }, 1, -ENODATA },
	{ "no record at all", LEAF, NAMES(mx), { { 0 } }, 0, -ENODATA },
	{ "unusable beside usable", LEAF, NAMES(mx), { { 0, 0, 1, LEAF }, { 3, 1, 1, LEAF, SHORT }, { 3, 1, 1, LEAF } }, 3, 0, TLS_MATCH, 2, 0 },
	{ "unusable beside one that fails", LEAF, NAMES(mx), { { 1, 1, 1, LEAF }, { 3, 1, 1, OTHER } }, 2, 0, TLS_NO_MATCH, -1, -1 },

	{ "TA without names", LEAF, NO_NAMES, { { 2, 1, 1, SUB } }, 1, -EINVAL },
};

static void check_dane_row(const struct dane_row *r, struct tls_client *c, int version, bool inspect)
{
	static uint8_t data[MAX_RECORDS][4096];
	struct dane_record records[MAX_RECORDS];
	struct tls_target target = {
		.mode = TLS_BY_DANE, .sni = "mx.example.net", .names = r->names, .name_count = r->name_count, .records = records,
		.record_count = make_records(r->records, r->count, records, data), .inspect = inspect,
	};
	const struct tls_judgement *j;
	struct pair p;
	int ret = connect_to(&p, c, &target, r->who, version);

	if (ret != r->ret)
		fail_msg("%s: connect %d, not %d", r->what, ret, r->ret);
	if (!ret) {
		j = tls_judgement(p.t);
		if (j->verdict != r->verdict || j->record != r->record || j->depth != r->depth)
			fail_msg("%s: %s, record %d, depth %d (%s)", r->what, tls_verdict_name(j->verdict), j->record, j->depth, j->text);
		assert_int_equal(p.result, r->verdict == TLS_MATCH || inspect ? TLS_DONE : TLS_FAILED);
		assert_int_equal(*j->text == '\0', r->verdict == TLS_MATCH);
		assert_int_equal(*j->name != '\0', r->verdict == TLS_MATCH && r->depth > 0);
		assert_string_equal(SSL_get_servername(p.peer.ssl, TLSEXT_NAMETYPE_host_name), "mx.example.net");
		assert_non_null(tls_peer(p.t));
		if (p.result == TLS_FAILED) {
			assert_true(p.peer.alert >> 8 == SSL3_AL_FATAL);
			assert_string_equal(tls_error(p.t), "certificate verify failed");
		}
	}
	disconnect(&p);
}

static void test_dane(void **state)
{
	struct tls_client *c = client_with((struct tls_client_settings){ 0 });

	for (size_t i = 0; i < sizeof(dane_rows) / sizeof(dane_rows[0]); i++) {
		check_dane_row(&dane_rows[i], c, TLS1_3_VERSION, false);
		check_dane_row(&dane_rows[i], c, TLS1_2_VERSION, false);
		check_dane_row(&dane_rows[i], c, TLS1_3_VERSION, true);
	}
	tls_client_unref(c);
}

/* Whatever the system trusts, a DANE-TA set decides alone. */
static void test_system_cas(void **state)
{
	static const struct dane_row row = { "system CA", LEAF, NAMES(mx), { { 2, 1, 1, OTHER } }, 1, 0, TLS_NO_MATCH, -1, -1 };
	char name[] = "/tmp/tls_client_test.XXXXXX";
	struct tls_client *c;
	int fd = mkstemp(name);

	assert_true(fd >= 0 && write(fd, all[ROOT]->chain_pem, strlen(all[ROOT]->chain_pem)) > 0);
	setenv("SSL_CERT_FILE", name, 1);
	c = client_with((struct tls_client_settings){ 0 });
	check_dane_row(&row, c, TLS1_3_VERSION, false);
	tls_client_unref(c);
	unsetenv("SSL_CERT_FILE");
	unlink(name);
	close(fd);
}

/* ---- the other modes ---- */

static void test_pins_and_cas(void **state)
{
	static const char *const dotted[] = { ".example" };
	const struct {
		const char *what;
		enum tls_mode mode;
		enum who who, pins[2];
		size_t pin_count;
		const char *const *names;
		size_t name_count;
		bool with_ca;
		int ret;
		enum tls_verdict verdict;
		int record;
	} rows[] = {
		{ "pin", TLS_BY_PIN, SELF, { SELF }, 1, NO_NAMES, false, 0, TLS_MATCH, 0 },
		{ "second pin", TLS_BY_PIN, LEAF, { SELF, LEAF }, 2, NO_NAMES, false, 0, TLS_MATCH, 1 },
		{ "pin asks for no date", TLS_BY_PIN, EXPIRED, { EXPIRED }, 1, NO_NAMES, false, 0, TLS_MATCH, 0 },
		{ "wrong pin", TLS_BY_PIN, LEAF, { SELF, SUB }, 2, NO_NAMES, false, 0, TLS_NO_MATCH, -1 },
		{ "no pin", TLS_BY_PIN, LEAF, { 0 }, 0, NO_NAMES, false, -EINVAL },
		{ "CA", TLS_BY_CA, LEAF, { 0 }, 0, NAMES(mx), true, 0, TLS_MATCH, -1 },
		{ "CA, wrong name", TLS_BY_CA, LEAF, { 0 }, 0, NAMES(foreign), true, 0, TLS_WRONG_NAME, -1 },
		{ "CA, another's", TLS_BY_CA, SELF, { 0 }, 0, NAMES(mx), true, 0, TLS_NO_MATCH, -1 },
		{ "CA, expired", TLS_BY_CA, EXPIRED, { 0 }, 0, NAMES(mx), true, 0, TLS_NOT_VALID_NOW, -1 },
		{ "CA, no names", TLS_BY_CA, LEAF, { 0 }, 0, NO_NAMES, true, -EINVAL },
		{ "CA, a name for all below", TLS_BY_CA, LEAF, { 0 }, 0, NAMES(dotted), true, -EINVAL },
		{ "no CA", TLS_BY_CA, LEAF, { 0 }, 0, NAMES(mx), false, -EINVAL },
		{ "anybody", TLS_UNAUTHENTICATED, SELF_EXPIRED, { 0 }, 0, NO_NAMES, true, 0, TLS_UNJUDGED, -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_client *c = client_with((struct tls_client_settings){
			.ca_pem = rows[i].with_ca ? all[ROOT]->chain_pem : NULL, .ca_len = strlen(all[ROOT]->chain_pem) });
		struct tls_target target = { .mode = rows[i].mode, .names = rows[i].names, .name_count = rows[i].name_count };
		uint8_t pins[2][32], data[4096];
		struct pair p;
		int ret;

		for (size_t k = 0; k < rows[i].pin_count; k++) {
			made_association(all[rows[i].pins[k]], 1, 1, data);
			memcpy(pins[k], data, 32);
		}
		target.pins = (const uint8_t(*)[32])pins;
		target.pin_count = rows[i].pin_count;
		ret = connect_to(&p, c, &target, rows[i].who, TLS1_3_VERSION);
		if (ret != rows[i].ret)
			fail_msg("%s: connect %d", rows[i].what, ret);
		if (!ret) {
			const struct tls_judgement *j = tls_judgement(p.t);

			if (j->verdict != rows[i].verdict || j->record != rows[i].record)
				fail_msg("%s: %s, record %d", rows[i].what, tls_verdict_name(j->verdict), j->record);
			assert_int_equal(p.result, j->verdict == TLS_MATCH || j->verdict == TLS_UNJUDGED ? TLS_DONE : TLS_FAILED);
			assert_null(SSL_get_servername(p.peer.ssl, TLSEXT_NAMETYPE_host_name));
		}
		disconnect(&p);
		tls_client_unref(c);
	}
}

static void test_peer_facts(void **state)
{
	struct made *odd = made_new(&(struct made_spec){ .cn = "a b=\"c\"", .dns = "MX.Example.net -bad- *.wild.example.net 1.2.3.4 x_y.example" });
	struct made *many = made_new(&(struct made_spec){ .dns = "a.x b.x c.x d.x e.x f.x g.x h.x i.x j.x" });
	struct tls_client *c = client_with((struct tls_client_settings){ 0 });
	struct tls_target target = { .mode = TLS_UNAUTHENTICATED };
	const struct tls_peer *f;
	uint8_t data[4096];
	struct made *keep = all[OTHER];
	struct pair p;

	all[OTHER] = odd;
	connect_to(&p, c, &target, OTHER, TLS1_3_VERSION);
	assert_int_equal(p.result, TLS_DONE);
	assert_true(tls_facts(p.t)->peer_cert);
	assert_string_equal(tls_facts(p.t)->certificate, "");
	f = tls_peer(p.t);
	assert_string_equal(f->cn, "a?b??c?");
	assert_int_equal(f->name_count, 3);
	assert_string_equal(f->names[0], "mx.example.net");
	assert_string_equal(f->names[1], "*.wild.example.net");
	assert_string_equal(f->names[2], "x_y.example");
	assert_false(f->names_left_out);
	made_association(odd, 1, 1, data);
	assert_memory_equal(f->spki_sha256, data, 32);
	made_association(odd, 0, 1, data);
	assert_memory_equal(f->cert_sha256, data, 32);
	assert_in_range(f->not_after - f->not_before, 86400 + 50, 86400 + 70);
	disconnect(&p);

	all[OTHER] = many;
	connect_to(&p, c, &target, OTHER, TLS1_2_VERSION);
	f = tls_peer(p.t);
	assert_int_equal(f->name_count, TLS_PEER_NAMES);
	assert_true(f->names_left_out);
	assert_string_equal(f->cn, "");
	disconnect(&p);
	all[OTHER] = keep;
	made_free(odd);
	made_free(many);
	tls_client_unref(c);
}

/* No session is kept: every connection is judged by its own records. */
static void test_no_resumption(void **state)
{
	struct tls_client *c = client_with((struct tls_client_settings){ 0 });
	struct tls_target target = { .mode = TLS_UNAUTHENTICATED };

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (int i = 0; i < 3; i++) {
			uint8_t data[10];
			size_t got;
			uint8_t *buf;
			struct pair p;

			connect_to(&p, c, &target, SELF, version);
			assert_int_equal(p.result, TLS_DONE);
			assert_false(tls_facts(p.t)->resumed);
			SSL_write(p.peer.ssl, "220\r\n", 5);
			got = peer_take(&p.peer, &buf);
			tls_input(p.t, buf, got);
			assert_int_equal(tls_read(p.t, data, sizeof(data), &got), TLS_DONE);
			assert_memory_equal(data, "220\r\n", 5);
			free(buf);
			disconnect(&p);
		}
	tls_client_unref(c);
}

static void test_client_settings(void **state)
{
	struct tls_identity mixed = made_identity(all[LEAF], "me");
	char long_name[300];
	const struct {
		struct tls_client_settings set;
		const char *err;
	} rows[] = {
		{ { .ca_pem = "junk", .ca_len = 4 }, "CA certificates" },
		{ { .ca_pem = "", .ca_len = 0 }, "CA certificates" },
		{ { .ciphers = "NONSENSE" }, "list of TLS 1.2 ciphers" },
		{ { .identity = &mixed }, "certificate \"me\": the key does not match" },
		{ { .client_id_extension = 0xffce, .client_id = "" }, "the dane_clientid extension's number or name" },
		{ { .client_id_extension = 0xffce, .client_id = "x.example." }, "the dane_clientid extension's number or name" },
		{ { .client_id_extension = 0xffce, .client_id = long_name }, "the dane_clientid extension's number or name" },
		{ { .client_id_extension = 16, .client_id = "x.example" }, "the dane_clientid extension's number or name" }, /* ALPN's */
	};

	memset(long_name, 'x', sizeof(long_name));
	long_name[256] = '\0';
	mixed.key_pem = all[SELF]->key_pem;
	mixed.key_len = strlen(mixed.key_pem);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tls_client *c;
		char err[300];

		assert_true(tls_client_new(&rows[i].set, &c, err, sizeof(err)) < 0);
		assert_null(c);
		if (strncmp(err, rows[i].err, strlen(rows[i].err)))
			fail_msg("%s", err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dane),	      cmocka_unit_test(test_system_cas), cmocka_unit_test(test_pins_and_cas),
		cmocka_unit_test(test_peer_facts),    cmocka_unit_test(test_no_resumption), cmocka_unit_test(test_client_settings),
	};

	return cmocka_run_group_tests_name("tls_client", tests, set_up, tear_down);
}
