/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handshake (RFC 8446 section 2, one round trip, no client certificate) and the records.  A ServerHello that
 * asks for anything else than what was offered, and a request for a certificate, end the connection.
 */
#include "tests/bench/fast_tls.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/bench/fast_keys.h"
#include "tests/bench/util.h"

enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22, DATA = 23 };
enum { CLIENT_HELLO = 1, SERVER_HELLO = 2, CERTIFICATE_REQUEST = 13, FINISHED = 20 };
enum { WIRE_MAX = RECORD_HEAD + RECORD_MAX + 256, FLIGHT_MAX = 16384, SESSION_ID = 32, HELLO_MAX = 512 };

enum state { START, WAIT_HELLO, WAIT_FINISHED, OPEN, BROKEN };

struct fast_tls {
	int fd;
	enum state state;
	const char *sni, *why;
	const struct fast_suite *suite; /* from the ServerHello on */
	struct fast_hash transcript;
	uint8_t secret[HASH_MAX], client[HASH_MAX], server[HASH_MAX];
	struct fast_keys in, out;
	uint8_t *unsent;	/* a record the socket did not take whole */
	size_t unsent_len;
	uint8_t *data;		/* decrypted, not yet read; inside wire */
	size_t data_len;
	size_t parsed, filled;	/* of wire */
	size_t flight_len;
	uint8_t *flight;	/* our ClientHello until it is answered, then handshake messages over records */
	uint8_t wire[WIRE_MAX];
};

static int
broken(struct fast_tls *t, const char *why)
{
	t->state = BROKEN;
	t->why = why;
	return -1;
}

struct fast_tls *
fast_tls_new(int fd, const char *sni)
{
	struct fast_tls *t = malloc(sizeof(*t));

	if (!t)
		util_die("malloc");
	memset(t, 0, offsetof(struct fast_tls, wire));
	t->fd = fd;
	t->sni = sni;
	t->why = "";
	t->flight = malloc(FLIGHT_MAX);
	if (!t->flight)
		util_die("malloc");
	return t;
}

const char *
fast_tls_why(const struct fast_tls *t)
{
	return t->why;
}

/* 1 all gone, 0 not now, -1 broken */
static int
flush_unsent(struct fast_tls *t)
{
	while (t->unsent_len) {
		ssize_t n = send(t->fd, t->unsent, t->unsent_len, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : broken(t, "send");
		t->unsent_len -= (size_t)n;
		memmove(t->unsent, t->unsent + n, t->unsent_len);
	}
	return 1;
}

static int
send_wire(struct fast_tls *t, const uint8_t *data, size_t len)
{
	ssize_t n = send(t->fd, data, len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		return broken(t, "send");
	if (n < 0)
		n = 0;
	t->unsent_len = len - (size_t)n;
	if (t->unsent_len) {
		if (!t->unsent && !(t->unsent = malloc(WIRE_MAX)))
			util_die("malloc");
		memcpy(t->unsent, data + n, t->unsent_len);
	}
	return 1;
}

static void
put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static size_t
put_sni(uint8_t *at, const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (!n)
		return 0;
	put16(at, 0);
	put16(at + 2, n + 5);
	put16(at + 4, n + 3);
	at[6] = 0;
	put16(at + 7, n);
	memcpy(at + 9, name, n);
	return n + 9;
}

static int
send_hello(struct fast_tls *t)
{
	static const uint8_t fixed[] = {
		0, 43, 0, 3, 2, 3, 4,				    /* supported_versions: 1.3 */
		0, 10, 0, 4, 0, 2, 0, 29,			    /* supported_groups: x25519 */
		0, 13, 0, 10, 0, 8, 4, 3, 8, 4, 8, 5, 8, 6,	    /* signature_algorithms: P-256, PSS */
		0, 45, 0, 2, 1, 1,				    /* psk_key_exchange_modes: else no tickets come */
		0, 51, 0, 38, 0, 36, 0, 29, 0, 32,		    /* key_share: x25519, and the key behind it */
	};
	static uint64_t counter;
	uint8_t m[RECORD_HEAD + HELLO_MAX] = { HANDSHAKE, 3, 1 }, *p = m + RECORD_HEAD + 4, *cipher, *ext;

	put16(p, 0x0303);
	memset(p + 2, 0x5a, 32);
	counter++;
	memcpy(p + 2, &counter, sizeof(counter)); /* random, in name */
	p[34] = SESSION_ID; /* as all clients do, for middleboxes; the server then sends ChangeCipherSpec */
	memset(p + 35, 0xa5, SESSION_ID);
	cipher = p + 35 + SESSION_ID;
	put16(cipher, 4);
	put16(cipher + 2, 0x1302);
	put16(cipher + 4, 0x1301);
	put16(cipher + 6, 0x0100);
	ext = cipher + 10;
	ext += put_sni(ext, t->sni);
	memcpy(ext, fixed, sizeof(fixed));
	memcpy(ext + sizeof(fixed), fast_keys_share(), 32);
	ext += sizeof(fixed) + 32;
	put16(cipher + 8, (size_t)(ext - cipher - 10));
	m[RECORD_HEAD] = CLIENT_HELLO;
	m[RECORD_HEAD + 1] = 0;
	put16(m + RECORD_HEAD + 2, (size_t)(ext - p));
	put16(m + 3, (size_t)(ext - m - RECORD_HEAD));
	t->flight_len = (size_t)(ext - m - RECORD_HEAD);
	memcpy(t->flight, m + RECORD_HEAD, t->flight_len);
	t->state = WAIT_HELLO;
	return send_wire(t, m, (size_t)(ext - m));
}

/* The server's key share and the suite it chose, or NULL when it chose anything we did not offer. */
static const uint8_t *
find_share(const uint8_t *m, size_t len, const struct fast_suite **suite)
{
	const uint8_t *p = m + 4 + 2 + 32 + 1 + SESSION_ID, *end = m + len;

	if (end - p < 5 || m[0] != SERVER_HELLO || p[-1 - SESSION_ID] != SESSION_ID || p[2] != 0)
		return NULL;
	*suite = fast_suite_find((uint16_t)(p[0] << 8 | p[1]));
	if (!*suite)
		return NULL;
	for (p += 5; p + 4 <= end;) {
		size_t n = (size_t)p[2] << 8 | p[3];

		if (n > (size_t)(end - p - 4))
			return NULL;
		if (p[0] == 0 && p[1] == 51 && n == 36 && p[5] == 29)
			return p + 8;
		p += 4 + n;
	}
	return NULL;
}

static int
take_hello(struct fast_tls *t, const uint8_t *m, size_t len)
{
	const uint8_t *share = find_share(m, len, &t->suite);
	uint8_t hash[HASH_MAX];

	if (!share)
		return broken(t, "not a ServerHello for what was offered");
	fast_hash_begin(&t->transcript, t->suite);
	fast_hash_add(&t->transcript, t->flight, t->flight_len);
	t->flight_len = 0;
	fast_hash_add(&t->transcript, m, len);
	fast_hash_now(&t->transcript, hash);
	if (fast_keys_handshake(t->suite, share, hash, t->secret, t->client, t->server) < 0)
		return broken(t, "key share");
	fast_keys_set(&t->in, t->suite, t->server, 0);
	t->state = WAIT_FINISHED;
	return 1;
}

/* The server's Finished is checked: it proves that both sides derived the same. */
static int
take_finished(struct fast_tls *t, const uint8_t *m, size_t len)
{
	static const uint8_t ccs[] = { CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1 };
	size_t hash_len = fast_suite_hash_len(t->suite);
	uint8_t hash[HASH_MAX], proof[4 + HASH_MAX] = { FINISHED, 0, 0, (uint8_t)hash_len }, wire[128];
	uint8_t client[HASH_MAX], server[HASH_MAX];

	fast_hash_now(&t->transcript, hash);
	fast_keys_finished(t->suite, t->server, hash, proof + 4);
	if (len != 4 + hash_len || memcmp(m, proof, len) != 0)
		return broken(t, "the server's Finished is wrong");
	fast_hash_add(&t->transcript, m, len);
	fast_hash_now(&t->transcript, hash);
	fast_keys_finished(t->suite, t->client, hash, proof + 4);
	fast_keys_set(&t->out, t->suite, t->client, 1);
	memcpy(wire, ccs, sizeof(ccs));
	if (send_wire(t, wire, sizeof(ccs) + fast_keys_seal(&t->out, HANDSHAKE, proof, len, wire + sizeof(ccs))) < 0)
		return -1;
	fast_keys_application(t->suite, t->secret, hash, client, server);
	fast_keys_set(&t->out, t->suite, client, 1);
	fast_keys_set(&t->in, t->suite, server, 0);
	free(t->flight);
	t->flight = NULL;
	t->state = OPEN;
	return 1;
}

static int
take_flight(struct fast_tls *t, const uint8_t *data, size_t len)
{
	size_t at = 0, n;

	if (len > FLIGHT_MAX - t->flight_len)
		return broken(t, "too long a flight");
	memcpy(t->flight + t->flight_len, data, len);
	t->flight_len += len;
	for (; t->flight_len - at >= 4; at += n) {
		const uint8_t *m = t->flight + at;

		n = 4 + ((size_t)m[1] << 16 | (size_t)m[2] << 8 | m[3]);
		if (n > t->flight_len - at)
			break;
		if (m[0] == CERTIFICATE_REQUEST)
			return broken(t, "the server asks for a certificate");
		if (m[0] == FINISHED)
			return take_finished(t, m, n);
		fast_hash_add(&t->transcript, m, n);
	}
	t->flight_len -= at;
	memmove(t->flight, t->flight + at, t->flight_len);
	return 1;
}

static int
take_record(struct fast_tls *t, uint8_t *record, size_t payload)
{
	uint8_t type = record[0];
	ssize_t len = (ssize_t)payload;

	if (type == CHANGE_CIPHER_SPEC)
		return 1;
	if (t->state == WAIT_HELLO)
		return type == HANDSHAKE ? take_hello(t, record + RECORD_HEAD, payload) : broken(t, "refused");
	if (type != DATA)
		return broken(t, "a record in clear");
	len = fast_keys_open(&t->in, record, payload, &type);
	if (len < 0)
		return broken(t, "a record that is not genuine");
	if (type == ALERT)
		return broken(t, "alert");
	if (t->state == WAIT_FINISHED)
		return type == HANDSHAKE ? take_flight(t, record + RECORD_HEAD, (size_t)len) : broken(t, "out of turn");
	if (type == DATA) {
		t->data = record + RECORD_HEAD;
		t->data_len = (size_t)len;
	}
	return 1; /* tickets are not used */
}

/* Takes the next whole record of wire; 1 taken, 0 there is none, -1 broken. */
static int
next_record(struct fast_tls *t)
{
	uint8_t *record = t->wire + t->parsed;
	size_t have = t->filled - t->parsed, payload;

	if (have < RECORD_HEAD)
		return 0;
	payload = (size_t)record[3] << 8 | record[4];
	if (payload > RECORD_MAX + 256 - RECORD_HEAD)
		return broken(t, "too long a record");
	if (have < RECORD_HEAD + payload)
		return 0;
	t->parsed += RECORD_HEAD + payload;
	return take_record(t, record, payload);
}

/* 1 something came, 0 not now, -1 over */
static int
fill(struct fast_tls *t)
{
	ssize_t n;

	t->filled -= t->parsed;
	memmove(t->wire, t->wire + t->parsed, t->filled);
	t->parsed = 0;
	n = recv(t->fd, t->wire + t->filled, sizeof(t->wire) - t->filled, 0);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return broken(t, "closed");
	t->filled += (size_t)n;
	return 1;
}

int
fast_tls_handshake(struct fast_tls *t)
{
	int n = t->state == START ? send_hello(t) : flush_unsent(t);

	while (n > 0 && t->state != OPEN) {
		n = next_record(t);
		if (n == 0)
			n = fill(t);
	}
	return t->state == OPEN ? 1 : n;
}

ssize_t
fast_tls_read(struct fast_tls *t, char *to, size_t len)
{
	int n = flush_unsent(t);

	while (n >= 0 && !t->data_len) {
		n = next_record(t);
		if (n == 0 && (n = fill(t)) == 0)
			return 0;
	}
	if (n < 0)
		return -1;
	if (len > t->data_len)
		len = t->data_len;
	memcpy(to, t->data, len);
	t->data += len;
	t->data_len -= len;
	return (ssize_t)len;
}

ssize_t
fast_tls_write(struct fast_tls *t, const char *data, size_t len)
{
	static uint8_t wire[WIRE_MAX];
	int n = flush_unsent(t);

	if (n <= 0)
		return n;
	if (len > RECORD_MAX)
		len = RECORD_MAX;
	return send_wire(t, wire, fast_keys_seal(&t->out, DATA, data, len, wire)) < 0 ? -1 : (ssize_t)len;
}

void
fast_tls_free(struct fast_tls *t)
{
	static const uint8_t close_notify[2] = { 1, 0 };
	uint8_t wire[64];

	if (t->state == OPEN && !t->unsent_len)
		send_wire(t, wire, fast_keys_seal(&t->out, ALERT, close_notify, sizeof(close_notify), wire));
	fast_keys_clear(&t->in);
	fast_keys_clear(&t->out);
	free(t->flight);
	free(t->unsent);
	free(t);
}
