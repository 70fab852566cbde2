/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole sessions, scripted over a ring without sockets.  A script is a list of lines:
 *
 *   "C: text"   the client sends text and CRLF       "S: text"   the client has been sent exactly this line
 *   "B: text"   the backend sends                    "P: text"   the backend has been sent exactly this line
 *   "C- text", "B- text"  the same as C: and B: without CRLF; \r, \n and \0 are themselves
 *   "S."  "P."  nothing more was sent                "C fin" "C reset" "B fin" "B reset"
 *   "B up"  the next connect succeeds                "B down"    it is refused
 *   "+ms"   time passes                              "end reason"  the session is over, for this reason
 *   "S fin" "S reset" "P fin" "P reset"  the client, the backend, got that from us      "drain"  the daemon begins to stop
 *   "P ?"   whatever the backend was sent first is taken (the PROXY header)
 *   "C xN text" "B xN text"  the client, the backend sends N octets (and text) in one segment; "P xN" "S xN" has been sent these
 *   "P stop" "P go" "S stop" "S go"  the backend, the client takes nothing; takes what there is
 *   "P- text"   the backend has been sent exactly this   "&..."  before anything that was said above it is delivered
 *   "P room N"  the backend takes so many octets more   "P gone"  what is sent to it meets a reset  "P broken"  another failure
 *   "TLS C" "TLS B"  from here the client's, the backend's leg is in TLS (fake_tls.h)
 *   "TLS refused" "TLS half"  that the kernel will not take; of which it takes one direction and not the other
 *   "C rec 0-7 D text"  of its record with text and CRLF the octets 0 to 7 (to the end: 0-); "T": a ticket  "C empty" "C broken"
 *   "ktls N"    so many bytes went by a pipe with the kernel's TLS
 *   "piped N"   so many bytes went by a pipe, in a session that is over
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_ring.h"
#include "tests/unit/fake_tls.h"
#include "userspace/session.h"

#define CLIENT_FD 100

struct world {
	struct config cfg;
	struct config_backend backends[2];
	struct config_pool pool;
	size_t pool_backends[2];
	struct config_listener lst;
	struct net_prefix proxy_from;
	struct session_shared shared;
	struct session_listener serve;
	struct config_policy policy;
	struct relay_settings policy_relay;
	uint32_t policy_sessions;
	size_t policies;
	struct session_env env;
	struct leg_io io;
	struct stats stats;
	struct fake_peer *client, *backend;
	size_t said, heard; /* of the octets of "x" lines */
	char name[96];
};

enum { REQUIRE_TLS = 1, STARTTLS = 2, PROXY = 4, DELAY = 8, NORMALIZE = 16, TWO = 32, MAX_SIZE = 64, NO_HANDSHAKES = 128, SPLICE = 256, XCLIENT = 512, PIPES = 1024,
       NO_PIPES = 2048, KTLS = 4096 };

struct script {
	const char *name;
	unsigned with;
	const char *lines[64];
};

static struct tls_server *tls;

static void make_tls(void)
{
	char *chain, *key, err[200];

	assert_int_equal(tls_make_self_signed("mx.example", &chain, &key), 0);
	struct tls_identity id = { .label = "mx", .chain_pem = chain, .key_pem = key, .chain_len = strlen(chain), .key_len = strlen(key) };
	struct tls_server_settings set = { .identities = &id, .identity_count = 1, .min_version = 12 };

	assert_int_equal(tls_server_new(&set, &tls, err, sizeof(err)), 0);
	free(chain);
	free(key);
}

static void set_up_config(struct world *w, unsigned with)
{
	w->cfg.hostname = (char *)"mx.example";
	w->cfg.limits = (struct config_limits){ .sessions = 10, .handshakes = with & NO_HANDSHAKES ? 0 : 10, .errors = 3, .pipelined = 10, .relay_buffer = 65536 };
	w->cfg.relay.splice_above = 1000;
	w->cfg.relay.ktls = with & KTLS ? CONFIG_KTLS_ALL : CONFIG_KTLS_OFF;
	w->cfg.timeouts = (struct config_timeouts){ .proxy_header = 5000, .command = 300000, .handshake = 30000, .body_block = 180000,
		.client_write = 180000, .linger = 2000, .backend_connect = 5000, .backend_banner = 60000, .backend_reply = 300000,
		.backend_final = 600000, .route = 30000, .drain = 600000, .pass_idle = 900000, .pass_quiet = 10000,
		.body_min_rate = 100 };
	w->cfg.health = (struct config_health){ .interval_ms = 5000, .timeout_ms = 10000, .rise = 2, .fall = 3 };
	for (int i = 0; i < 2; i++) {
		w->backends[i] = (struct config_backend){ .name = (char *)(i ? "mx-b" : "mx-a"), .weight = 1, .proxy_budget = 232,
							  .client_address = with & XCLIENT ? CONFIG_ADDR_XCLIENT : CONFIG_ADDR_NONE };
		net_parse_ip(i ? "10.0.0.6" : "10.0.0.5", &w->backends[i].addr.ip);
		w->backends[i].addr.port = 25;
		w->pool_backends[i] = (size_t)i;
	}
	w->pool = (struct config_pool){ .name = (char *)"farm", .backends = w->pool_backends, .backend_count = with & TWO ? 2 : 1 };
	net_parse_prefix("192.0.2.0/24", &w->proxy_from);
	w->lst = (struct config_listener){ .name = (char *)"edge", .hostname = (char *)"mx.example", .port = 25,
		.require_tls = with & REQUIRE_TLS, .proxy = with & PROXY ? CONFIG_PROXY_REQUIRED : CONFIG_PROXY_FORBIDDEN,
		.proxy_from = &w->proxy_from, .proxy_from_count = 1, .greet_delay_ms = with & DELAY ? 2000 : 0,
		.newline = with & NORMALIZE ? SMTP_NEWLINE_NORMALIZE : SMTP_NEWLINE_REJECT, .max_size = with & MAX_SIZE ? 100 : 0 };
	w->policy = (struct config_policy){ .name = (char *)"trusted", .relay = CONFIG_RELAY_SPLICE };
	if (with & SPLICE) {
		w->cfg.policies = &w->policy;
		w->cfg.policy_count = w->lst.policy_count = 1;
		w->lst.policies = &w->policies;
		w->shared.policy_sessions = &w->policy_sessions;
		w->serve.policy_relay = &w->policy_relay;
	}
	w->cfg.backends = w->backends;
	w->cfg.backend_count = w->pool.backend_count;
	w->cfg.pools = &w->pool;
	w->cfg.pool_count = 1;
	w->cfg.listeners = &w->lst;
	w->cfg.listener_count = 1;
}

static void set_up(struct world *w, const struct script *s)
{
	struct ring_settings ring = { .backend = RING_AUTO };
	const char *why;

	memset(w, 0, sizeof(*w));
	snprintf(w->name, sizeof(w->name), "%s", s->name);
	set_up_config(w, s->with);
	w->env.cfg = &w->cfg;
	assert_int_equal(ring_new(&ring, &w->env.ring, &why), 0);
	assert_int_equal(leg_io_init(&w->io, w->env.ring), 0);
	w->env.io = &w->io;
	w->env.wheel = timer_wheel_new(ring_now(w->env.ring));
	w->env.stats = &w->stats;
	w->env.pipes = s->with & (PIPES | NO_PIPES) ? splice_pool_new(s->with & PIPES ? 1 : 0) : NULL;
	w->env.backends = backends_new(&w->cfg);
	for (size_t i = 0; i < w->cfg.backend_count; i++)
		backend_set_target(w->env.backends, i, target_from_config(&w->backends[i], NULL));
	w->env.shared = &w->shared;
	w->serve.cfg = &w->lst;
	w->serve.tls = s->with & STARTTLS ? tls : NULL;
	w->serve.relay = (struct relay_settings){ .hostname = "mx.example", .max_size = w->lst.max_size, .newline = (uint8_t)w->lst.newline,
						  .cap_mask = ~0u & ~SMTP_CAP_BIT(STARTTLS) & ~SMTP_CAP_BIT(XCLIENT), .starttls = w->serve.tls,
						  .buffer = 65536 };
	w->policy_relay = w->serve.relay;
	struct net_addr peer = { .port = 1234 }, local = { .port = 25 };

	net_parse_ip(s->with & PROXY ? "192.0.2.9" : "198.51.100.7", &peer.ip);
	net_parse_ip("192.0.2.25", &local.ip);
	w->shared.sessions = 1;
	assert_int_equal(session_new(&w->env, &w->serve, CLIENT_FD, &peer, &local), 0);
	w->client = fake_peer_at(w->env.ring, 0);
}

static void tear_down(struct world *w)
{
	session_cut(&w->env);
	fake_settle(w->env.ring);
	assert_null(w->env.sessions);
	assert_int_equal(w->shared.sessions, 0);
	assert_int_equal(w->shared.handshakes, 0);
	assert_int_equal(fake_open(w->env.ring), 0);
	assert_int_equal(chunk_pool_bytes_out(w->io.pool), 0);
	ring_free(w->env.ring);
	splice_pool_free(w->env.pipes);
	timer_wheel_free(w->env.wheel);
	leg_io_free(&w->io);
	backends_free(w->env.backends);
}

static void pass_time(struct world *w, uint64_t ms)
{
	while (ms) {
		uint64_t step = ms < 64 ? ms : 64;

		fake_advance(w->env.ring, step);
		ring_run(w->env.ring, 0);
		timer_advance(w->env.wheel, ring_now(w->env.ring));
		fake_settle(w->env.ring);
		ms -= step;
	}
}

static enum end_reason ended(const struct world *w)
{
	for (int i = 0; i < END_COUNT; i++)
		if (w->stats.end[i])
			return (enum end_reason)i;
	return END_NOT_YET;
}

/* Takes one line off what the peer got and compares it. */
static void expect_line(struct world *w, const char *script, struct fake_peer *p, const char *want)
{
	char *lf = p && p->got ? memchr(p->got, '\n', p->got_len) : NULL;

	if (!lf)
		fail_msg("%s: \"%s\": got only \"%s\" (ended: %s)", w->name, script, p && p->got ? (char *)p->got : "",
			 ended(w) == END_NOT_YET ? "no" : end_info[ended(w)].name);
	size_t n = (size_t)(lf - (char *)p->got);

	if (n != strlen(want) + 1 || memcmp(p->got, want, n - 1) || lf[-1] != '\r')
		fail_msg("%s: wanted \"%s\", got \"%.*s\"", w->name, want, (int)n, (char *)p->got);
	memmove(p->got, lf + 1, p->got_len - n); /* with the NUL */
	p->got_len -= n + 1;
}

static void expect_text(struct world *w, struct fake_peer *p, const char *line)
{
	size_t n = strlen(line + 3);

	if (p->got_len < n || memcmp(p->got, line + 3, n))
		fail_msg("%s: \"%s\": got \"%s\"", w->name, line, (char *)p->got);
	memmove(p->got, p->got + n, p->got_len - n + 1); /* with the NUL */
	p->got_len -= n;
}

static void expect_nothing(struct world *w, struct fake_peer *p, const char *script)
{
	if (p && p->got_len)
		fail_msg("%s: \"%s\": got \"%s\"", w->name, script, (char *)p->got);
}

static uint8_t octet(size_t at)
{
	return (uint8_t)(at * 131 + (at >> 8) * 17);
}

static void say_octets(struct world *w, struct fake_peer *p, const char *count_and_text)
{
	char *text;
	size_t n = strtoull(count_and_text, &text, 10), len = strlen(text) - (*text != 0);
	uint8_t *all = malloc(n + len);

	for (size_t i = 0; i < n; i++)
		all[i] = octet(w->said++);
	memcpy(all + n, text + (*text != 0), len);
	fake_say(p, all, n + len);
	free(all);
}

static void expect_octets(struct world *w, struct fake_peer *p, const char *line)
{
	size_t n = strtoull(line + 3, NULL, 10);

	if (p->got_len < n)
		fail_msg("%s: \"%s\": got %zu (ended: %s)", w->name, line, p->got_len, ended(w) == END_NOT_YET ? "no" : end_info[ended(w)].name);
	for (size_t i = 0; i < n; i++)
		if (p->got[i] != octet(w->heard++))
			fail_msg("%s: \"%s\": octet %zu is another", w->name, line, i);
	memmove(p->got, p->got + n, p->got_len - n + 1); /* with the NUL */
	p->got_len -= n;
}

/* "FROM-TO TYPE text" */
static void say_record(struct world *w, struct fake_peer *p, const char *what)
{
	char text[250], *end;
	uint8_t record[256];
	size_t from = strtoull(what, &end, 10), to = strtoull(end + 1, &end, 10), len;

	if (*end != ' ' || !end[1] || end[2] != ' ')
		fail_msg("%s: what is \"%s\"?", w->name, what);
	len = (size_t)snprintf(text, sizeof(text), "%s\r\n", end + 3);
	len = fake_tls_record(end[1], text, len, record);
	if (!to || to > len)
		to = len;
	fake_say(p, record + from, to - from);
}

static void peer_does(struct world *w, struct fake_peer *p, const char *line)
{
	const char *text = line + 3;

	if (!p)
		fail_msg("%s: \"%s\": no such peer yet", w->name, line);
	if (line[1] == ':') {
		char with_crlf[8192];

		snprintf(with_crlf, sizeof(with_crlf), "%s\r\n", text);
		fake_say_text(p, with_crlf);
	} else if (line[1] == '-')
		fake_say_text(p, text);
	else if (line[2] == 'x')
		say_octets(w, p, text);
	else if (!strncmp(line + 2, "rec ", 4))
		say_record(w, p, line + 6);
	else if (!strcmp(line + 2, "empty"))
		fake_say_nothing(p);
	else if (!strcmp(line + 2, "broken"))
		fake_break(p);
	else if (!strcmp(line + 2, "fin"))
		fake_fin(p);
	else if (!strcmp(line + 2, "reset"))
		fake_reset(p);
	else if (!strcmp(line + 2, "up") || !strcmp(line + 2, "down")) {
		fake_answer(p, line[2] == 'u' ? 0 : 111);
		w->backend = p;
	} else
		fail_msg("%s: what is \"%s\"?", w->name, line);
}

static void do_line(struct world *w, const char *line)
{
	if (line[0] == '&')
		line++;
	else
		fake_settle(w->env.ring);
	struct fake_peer *connecting = fake_connecting(w->env.ring);

	if (!strncmp(line, "end ", 4)) {
		pass_time(w, 2100); /* the farewell's linger */
		if (ended(w) == END_NOT_YET || strcmp(end_info[ended(w)].name, line + 4))
			fail_msg("%s: wanted %s, ended with %s", w->name, line, ended(w) == END_NOT_YET ? "nothing" : end_info[ended(w)].name);
		assert_null(w->env.sessions);
	} else if (line[0] == '+')
		pass_time(w, strtoull(line + 1, NULL, 10));
	else if (line[0] == 'C')
		peer_does(w, w->client, line);
	else if (line[0] == 'B')
		peer_does(w, connecting && line[1] == ' ' && (line[2] == 'u' || line[2] == 'd') ? connecting : w->backend, line);
	else if (!strcmp(line, "S.") || !strcmp(line, "P."))
		expect_nothing(w, line[0] == 'S' ? w->client : w->backend, line);
	else if (!strcmp(line, "drain"))
		session_drain(&w->env);
	else if (!strcmp(line, "TLS refused") || !strcmp(line, "TLS half"))
		fake_tls_refuse(line[4] == 'r' ? -ENOENT : -ECONNABORTED);
	else if (!strncmp(line, "TLS ", 4))
		fake_tls_begin(line[4] == 'C' ? &w->env.sessions->client : &w->env.sessions->backend);
	else if (!strcmp(line + 1, " fin") || !strcmp(line + 1, " reset")) {
		const struct fake_peer *p = line[0] == 'S' ? w->client : w->backend;

		if (line[2] == 'f' ? !p->got_fin || p->got_reset : !p->got_reset)
			fail_msg("%s: \"%s\": it got none", w->name, line);
	} else if (!strcmp(line + 1, " stop") || !strcmp(line + 1, " go"))
		(line[0] == 'S' ? w->client : w->backend)->window = line[2] == 's' ? 0 : SIZE_MAX;
	else if (!strncmp(line, "P room ", 7))
		w->backend->window = strtoull(line + 7, NULL, 10);
	else if (!strcmp(line, "P broken") || !strcmp(line, "P gone"))
		fake_fail(w->backend, RING_SEND, line[2] == 'g' ? EPIPE : EIO);
	else if (!strncmp(line, "P-", 2))
		expect_text(w, w->backend, line);
	else if (!strncmp(line + 1, " x", 2))
		expect_octets(w, line[0] == 'S' ? w->client : w->backend, line);
	else if (!strncmp(line, "piped ", 6)) {
		if (w->stats.count[COUNT_bdat_piped] + w->stats.count[COUNT_passed_piped] != strtoull(line + 6, NULL, 10))
			fail_msg("%s: \"%s\": they were %zu", w->name, line, (size_t)(w->stats.count[COUNT_bdat_piped] + w->stats.count[COUNT_passed_piped]));
	} else if (!strncmp(line, "ktls ", 5)) {
		if (w->stats.count[COUNT_bdat_ktls] + w->stats.count[COUNT_passed_ktls] != strtoull(line + 5, NULL, 10))
			fail_msg("%s: \"%s\": they were %zu", w->name, line, (size_t)(w->stats.count[COUNT_bdat_ktls] + w->stats.count[COUNT_passed_ktls]));
	} else if (!strcmp(line, "P ?"))
		fake_clear(w->backend);
	else if (line[0] == 'S' || line[0] == 'P')
		expect_line(w, line, line[0] == 'S' ? w->client : w->backend, line + 3);
	else
		fail_msg("%s: what is \"%s\"?", w->name, line);
}

static void run_script(const struct script *s)
{
	struct world w;

	set_up(&w, s);
	for (int i = 0; s->lines[i]; i++)
		do_line(&w, s->lines[i]);
	tear_down(&w);
}

#define GREET "S: 220 mx.example ESMTP"
#define OPEN GREET, "C: EHLO client.example", "B up", "B: 220 farm ESMTP", "P: EHLO client.example", "B: 250-farm", \
	     "B: 250-PIPELINING", "B: 250-SIZE 1000", "B: 250-CHUNKING", "B: 250 8BITMIME", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000", \
	     "S: 250-8BITMIME", "S: 250 CHUNKING"
#define OPEN_MAX GREET, "C: EHLO client.example", "B up", "B: 220 farm ESMTP", "P: EHLO client.example", "B: 250-farm", "B: 250 CHUNKING", \
		 "S: 250-mx.example", "S: 250 CHUNKING"
#define MAIL "C: MAIL FROM:<a@b>", "P: MAIL FROM:<a@b>", "B: 250 ok", "S: 250 ok", "C: RCPT TO:<c@d>", "P: RCPT TO:<c@d>", "B: 250 ok", "S: 250 ok"
#define DATA "C: DATA", "P: DATA", "B: 354 go", "S: 354 go"
#define QUIT "C: QUIT", "P: QUIT", "B: 221 bye", "S: 221 bye", "C fin", "B fin", "end quit"

#define SOON "C: MAIL FROM:<a@b>", "P: MAIL FROM:<a@b>", "B: 250 ok", "S: 250 ok"
#define BYE "B: 221 bye", "B fin", "S: 221 bye", "S fin"

static const struct script scripts[] = {
	/* passed on unread */
	{ "passed: a mail", SPLICE, { OPEN, MAIL, DATA, "C: hello", "C: .", "P: hello", "P: .", "B: 250 taken", "S: 250 taken", "C: QUIT", "P: QUIT", BYE, "C fin",
		"P fin", "end pass_backend_closed" } },
	{ "passed: nothing is read", SPLICE, { OPEN, "C- MAIL\rSTARTTLS\r\n.\r\r\n", "P: MAIL\rSTARTTLS", "P: .\r", "B- 999 what\nis this\0?\r\n", "C: AUTH x", "P: AUTH x",
		"C- EHLO again\r\nBDAT 4000000000 LAST\r\nab", "P: EHLO again", "P: BDAT 4000000000 LAST", "C fin", "B fin", "end pass_client_closed" } },
	{ "passed: the first commands came with EHLO", SPLICE, { GREET, "C- EHLO client.example\r\nMAIL FROM:<a@b>\r\nRC", "B up", "B: 220 farm ESMTP",
		"P: EHLO client.example", "B: 250 farm", "S: 250 mx.example", "P: MAIL FROM:<a@b>", "C: PT TO:<c@d>", "P: RCPT TO:<c@d>", "C fin", "P fin", "B fin", "S fin",
		"end pass_client_closed" } },
	{ "passed: from MAIL on where TLS was offered and not taken", SPLICE | STARTTLS, { GREET, "C: EHLO client.example", "S: 250-mx.example",
		"S: 250 STARTTLS", "C: MAIL FROM:<a@b>", "B up", "B: 220 farm ESMTP", "P: EHLO client.example", "B: 250 farm", "P: MAIL FROM:<a@b>", "B: 299 its own",
		"S: 299 its own", "C fin", "B fin", "end pass_client_closed" } },
	{ "passed: half-closed by the client, the answer still comes", SPLICE, { OPEN, "C: last words", "C fin", "P: last words", "P fin", "+600000", "S.", "B: 250 late", "S: 250 late",
		"B fin", "S fin", "end pass_client_closed" } },
	{ "passed: a backend that is gone waits for its client no longer than linger", SPLICE, { OPEN, "B: 421 bye", "B fin", "S: 421 bye", "S fin", "P.", "+2100",
		"end pass_backend_closed" } },
	{ "passed: a client that has heard enough", SPLICE, { OPEN, "C: QUIT", "P: QUIT", "C fin", "P fin", "C reset", "B: 221 bye", "end pass_client_closed" } },
	{ "passed: the client is reset", SPLICE, { OPEN, "C: half", "P: half", "C reset", "P reset", "end pass_client_reset" } },
	{ "passed: the backend is reset", SPLICE, { OPEN, "C: half", "P: half", "B reset", "S reset", "end pass_backend_reset" } },
	{ "passed: idle", SPLICE, { OPEN, SOON, "+899000", "S.", "C: NOOP", "P: NOOP", "+899000", "S.", "+2000", "S.", "P.", "end pass_idle" } },
	{ "passed: drain, the last word is the backend's", SPLICE, { OPEN, SOON, "drain", "S.", "+9000", "C: RSET", "P: RSET", "B: 250 ok", "S: 250 ok", "+9000", "S.", "P.", "+1200",
		"S fin", "P fin", "S.", "P.", "end pass_shutdown" } },
	{ "passed: drain, an answer may be owed", SPLICE, { OPEN, SOON, "C: .", "P: .", "drain", "+600000", "S.", "B: 250 taken", "S: 250 taken", "+10100", "S fin", "end pass_shutdown" } },
	{ "passed: not while the daemon stops", SPLICE, { GREET, "C: EHLO client.example", "B up", "B: 220 farm ESMTP", "P: EHLO client.example", "drain", "B: 250 farm",
		"S: 421 4.3.2 mx.example Service shutting down, try again later" } },
	{ "passed: not to a backend that takes XCLIENT", SPLICE | XCLIENT, { GREET, "C: EHLO client.example", "B up", "B: 220 farm ESMTP", "P: EHLO client.example",
		"B: 250-farm", "B: 250 XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT", "P ?", "B: 220 go on", "P: EHLO client.example", "B: 250 farm", "S: 250 mx.example", "C: XCLIENT ADDR=1.2.3.4",
		"S: 502 5.5.1 Command not offered here", "C fin", "end client_closed" } },

	{ "passed: bytes drained since the other side spoke do not count towards a pipe", SPLICE | PIPES, { OPEN, "C x1500", "P x1500", "P stop", "C x2000",
		"B: a word", "S: a word", "P go", "P x2000", "C x300", "P x300", "C fin", "P fin", "B fin", "end pass_client_closed", "piped 2000" } },
	{ "ktls, passed: a backend's ticket in two segments", SPLICE | PIPES, { OPEN, "TLS B", "C: x", "P: x", "B rec 0-7 T ticket", "C x1500", "P x1500", "B rec 7-0 T ticket", "C x1500", "P x1500", "C x1500",
		"P x1500", "C fin", "P fin", "B fin", "S fin", "end pass_client_closed", "ktls 1500" } },
	{ "ktls, passed: a client's line in two segments", SPLICE | PIPES, { OPEN, "TLS C", "C rec 0-5 D QUIT", "B x1500", "S x1500", "C rec 5-0 D QUIT", "P: QUIT", "B x3000", "S x3000", "B fin", "S fin", "C fin",
		"P fin", "end pass_backend_closed" } },
	{ "ktls, passed: a kernel that refuses", SPLICE | PIPES, { OPEN, "TLS C", "TLS refused", "C rec 0-0 D x", "P: x", "B x1500", "S x1500", "B x3000", "S x3000", "C rec 0-0 D y", "P: y", "B fin", "S fin",
		"C fin", "P fin", "end pass_backend_closed", "ktls 0", "piped 0" } },
	{ "ktls, passed: a kernel that takes half of it", SPLICE | PIPES, { OPEN, "TLS C", "TLS half", "C rec 0-0 D x", "P: x", "B x1500", "S x1500", "B x3000", "P reset", "C fin", "end tls_error" } },
	{ "ktls, passed: half-closed by the client, in TLS", SPLICE | PIPES, { OPEN, "TLS C", "C rec 0-0 D last words", "C fin", "P: last words", "P fin", "B x1500", "B x3000", "S x4500", "B fin", "S fin",
		"end pass_client_closed" } },
	{ "ktls, passed: a record without octets is no end", SPLICE | PIPES, { OPEN, "TLS C", "C rec 0-0 D x", "P: x", "B x1500", "S x1500", "B x1500", "S x1500", "C x1500", "P x1500", "C x1500", "P x1500", "C empty", "P.", "C x10", "P x10",
		"C fin", "P fin", "B fin", "S fin", "end pass_client_closed" } },
	{ "ktls, passed: a record whose header makes no sense", SPLICE | PIPES, { OPEN, "TLS C", "C rec 0-0 D x", "P: x", "B x1500", "S x1500", "B x1500", "S x1500", "C x1500", "P x1500", "C x1500", "P x1500", "C broken", "P reset", "S.",
		"C fin", "end tls_error" } },
	{ "passed: a reset that only the pipe was told of is no FIN", SPLICE | PIPES, { OPEN, "C x1500", "P x1500", "P gone", "C x2000", "&B: a last word", "&B fin", "S: a last word", "S reset",
		"end pass_backend_reset" } },

	/* the octets of a BDAT by the kernel; above 1000 of them here */
	{ "chunk: by the kernel", PIPES, { OPEN, MAIL, "C: BDAT 200000 LAST", "P: BDAT 200000 LAST", "C x150000", "P x150000", "C x50000", "P x50000", "P.", "S.", "B: 250 taken",
		"S: 250 taken", QUIT, "piped 200000" } },
	{ "chunk: what came with the command is copied", PIPES, { OPEN, "C- MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2010 LAST\r\n0123456789", "P: MAIL FROM:<a@b>", "P: RCPT TO:<c@d>",
		"P: BDAT 2010 LAST", "B: 250 1", "S: 250 1", "C x1999", "B: 250 2", "S: 250 2", "C x1", "P- 0123456789", "P x2000", "B: 250 3", "S: 250 3", QUIT, "piped 2000" } },
	{ "chunk: not one octet more", PIPES, { OPEN, MAIL, "C: BDAT 5000", "P: BDAT 5000", "C x5000 BDAT 3000 LAST\r\n", "P x5000", "P: BDAT 3000 LAST", "P.", "B: 250 5000 octets",
		"S: 250 5000 octets", "C x3000 RSET\r\nNOO", "P x3000", "P: RSET", "P.", "C: P", "P: NOOP", "B: 250 taken", "B: 250 reset", "B: 250 noop", "S: 250 taken", "S: 250 reset", "S: 250 noop",
		QUIT, "piped 8000" } },
	{ "chunk: two and a mail behind them in one packet", PIPES, { OPEN, MAIL, "C- BDAT 1 LAST\r\nxMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6000\r\n", "P: BDAT 1 LAST", "P- x",
		"P: MAIL FROM:<a@b>", "P: RCPT TO:<c@d>", "P: BDAT 6000", "C x6000 BDAT 0 LAST\r\n", "P x6000", "P: BDAT 0 LAST", "B: 250 1", "B: 250 2", "B: 250 3", "B: 250 4", "B: 250 5",
		"S: 250 1", "S: 250 2", "S: 250 3", "S: 250 4", "S: 250 5", QUIT, "piped 6000" } },
	{ "chunk: below the size it is copied", PIPES, { OPEN, MAIL, "C: BDAT 999 LAST", "P: BDAT 999 LAST", "C x999", "P x999", "B: 250 taken", "S: 250 taken", QUIT, "piped 0" } },
	{ "chunk: without a pipe it is copied", NO_PIPES, { OPEN, MAIL, "C: BDAT 70000 LAST", "P: BDAT 70000 LAST", "C x70000 RSET\r\n", "P x70000", "P: RSET", "B: 250 taken", "S: 250 taken",
		"B: 250 ok", "S: 250 ok", QUIT, "piped 0" } },
	{ "chunk: a backend that takes a part", PIPES, { OPEN, MAIL, "C: BDAT 300000 LAST", "P: BDAT 300000 LAST", "P stop", "C x299999", "P.", "+200000", "P go", "P x299999", "S.", "C x1 RSET\r\n", "P x1",
		"P: RSET", "B: 250 taken", "B: 250 ok", "S: 250 taken", "S: 250 ok", QUIT, "piped 300000" } },
	{ "chunk: not one octet more behind what waited in the pipe", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "P stop", "C x3000", "P.", "C x2000 RSET\r\n", "P go", "P x5000", "P: RSET",
		"B: 250 taken", "B: 250 ok", "S: 250 taken", "S: 250 ok", QUIT, "piped 5000" } },
	{ "chunk: a slow backend is not over its time while it takes something", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "P stop", "C x5000", "+290000", "P room 10", "+290000", "P room 10", "+290000",
		"P x20", "P go", "P x4980", "B: 250 taken", "S: 250 taken", QUIT, "piped 5000" } },
	{ "chunk: a backend's socket that breaks in some other way", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "P broken", "C x4000",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_lost", "piped 0" } },
	{ "chunk: a backend that takes nothing", PIPES, { OPEN, MAIL, "C: BDAT 300000 LAST", "P: BDAT 300000 LAST", "P stop", "C x300000", "+300100", "P reset",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_timeout" } },
	{ "chunk: a client that stops", PIPES, { OPEN, MAIL, "C: BDAT 300000 LAST", "P: BDAT 300000 LAST", "C x2000", "P x2000", "+180100", "P reset",
		"S: 421 4.4.2 mx.example Timeout, closing transmission channel", "C fin", "end body_timeout", "piped 2000" } },
	{ "chunk: one octet now and then does not renew its time", PIPES, { OPEN, MAIL, "C: BDAT 300000 LAST", "P: BDAT 300000 LAST", "C x2000", "+170000", "C x1", "+10100",
		"S: 421 4.4.2 mx.example Timeout, closing transmission channel", "C fin", "end body_timeout", "piped 2001" } },
	{ "chunk: half-closed by the client in the middle", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4999", "C fin", "P x4999", "P.", "P reset", "S.", "end client_aborted", "piped 4999" } },
	{ "chunk: half-closed by the client behind the last octet", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x5000", "C fin", "P x5000", "B: 250 taken", "S: 250 taken", "P: QUIT",
		"B fin", "end client_closed", "piped 5000" } },
	{ "chunk: the client is reset in the middle", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "C reset", "P.", "P reset", "end client_reset" } },
	{ "chunk: the client is reset with octets in the pipe", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "P stop", "C x4000", "C reset", "P go", "P x4000", "P.", "P reset",
		"end client_reset" } },
	{ "chunk: the backend is reset with octets in the pipe", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "P stop", "C x4000", "B reset",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_lost", "piped 0" } },
	{ "chunk: the backend closes in the middle", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "B fin",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_lost", "piped 4000" } },
	{ "chunk: a refusal in the middle answers it", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "B: 552 5.3.4 too big", "S.", "C x1000 NOOP\r\n", "P x1000",
		"P: NOOP", "S: 552 5.3.4 too big", "B: 250 noop", "S: 250 noop", QUIT, "piped 5000" } },
	{ "chunk: a refusal in the middle answers it, though nothing comes behind it", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "B: 552 5.3.4 too big", "S.", "C x1000",
		"P x1000", "S: 552 5.3.4 too big", QUIT, "piped 5000" } },
	{ "chunk: a refusal in the middle, and gone", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "B: 552-5.3.4 too", "B: 552 5.3.4 big", "B fin", "S: 552-5.3.4 too",
		"S: 552 5.3.4 big", "S.", "C fin", "end backend_lost" } },
	{ "chunk: a refusal before a reset is not lost when the reset is seen first", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000",
		"C x1000", "&B: 552 5.3.4 too big", "&B reset", "S: 552 5.3.4 too big", "S.", "C fin", "end backend_lost" } },
	{ "chunk: a 250 in the middle is a lie", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4999", "P x4999", "B: 250 taken",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_protocol" } },
	{ "chunk: a 250 for what is in the pipe is a lie", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "P stop", "C x5000", "B: 250 taken",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_protocol" } },
	{ "chunk: 421 in the middle", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "B: 421 bye", "B fin", "S: 421 bye", "C fin", "end backend_421" } },
	{ "chunk: refused by us, nothing is passed on", PIPES | MAX_SIZE, { OPEN_MAX, "C: MAIL FROM:<a@b>", "P: MAIL FROM:<a@b>", "B: 250 ok", "S: 250 ok", "C: BDAT 5000 LAST", "C x5000", "P.",
		"S: 552 5.3.4 Message size exceeds the limit", "C fin", "end message_too_big", "piped 0" } },
	{ "chunk: drain waits for its answer", PIPES, { OPEN, MAIL, "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x4000", "P x4000", "drain", "S.", "C x1000", "P x1000", "B: 250 taken", "S: 250 taken",
		"S: 421 4.3.2 mx.example Service shutting down, try again later", "C fin", "end shutdown", "piped 5000" } },

	{ "chunk: octets that came with their command, and a backend that takes nothing", PIPES, { OPEN, MAIL, "P stop", "C- BDAT 5000 LAST\r\n0123456789", "C x2000", "+300100", "P reset",
		"S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_timeout" } },
	{ "ktls, chunk: a reply's record in two segments", PIPES | KTLS, { OPEN, MAIL, "C: BDAT 100", "P: BDAT 100", "TLS B", "C x100", "P x100", "B rec 0-7 D 250 100 octets",
		"C x0 BDAT 5000 LAST\r\n", "P: BDAT 5000 LAST", "C x2000", "B rec 7-0 D 250 100 octets", "S: 250 100 octets", "C x3000", "P x5000", "B: 250 taken", "S: 250 taken", QUIT } },
	{ "ktls, chunk: a refusal in the middle", PIPES | KTLS, { OPEN, MAIL, "TLS B", "C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "B rec 0-0 D 552 too big", "C x3000", "P x3000", "S.", "C x2000", "P x2000",
		"S: 552 too big", "C fin", "P: QUIT", "B fin", "end client_closed", "ktls 0" } },
	{ "ktls, chunk: a kernel that refuses", PIPES | KTLS, { OPEN, MAIL, "C: BDAT 100", "P: BDAT 100", "TLS B", "TLS refused", "C x100", "P x100", "B rec 0-0 D 250 100 octets", "S: 250 100 octets",
		"C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x2000", "P x2000", "C x3000", "P x3000", "B rec 0-0 D 250 taken", "S: 250 taken", "C: QUIT", "P: QUIT", "B rec 0-0 D 221 bye", "S: 221 bye",
		"C fin", "B fin", "end quit", "ktls 0", "piped 0" } },
	{ "ktls, chunk: a kernel that takes half of it", PIPES | KTLS, { OPEN, MAIL, "C: BDAT 100", "P: BDAT 100", "TLS B", "TLS half", "C x100", "P x100", "B rec 0-0 D 250 100 octets", "S: 250 100 octets",
		"C: BDAT 5000 LAST", "P: BDAT 5000 LAST", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "P reset", "C fin", "end backend_lost" } },
	{ "ktls, chunk: a kernel that takes half of the client's", PIPES | KTLS, { OPEN, MAIL, "TLS C", "TLS half", "C rec 0-0 D BDAT 5000 LAST", "P.", "P reset", "S.", "C fin", "end tls_error" } },
	{ "ktls: a refusal in the middle is not lost when sending meets the reset behind it first", PIPES | KTLS, { OPEN, MAIL, "C: BDAT 100", "P: BDAT 100", "TLS B", "C x100", "P x100",
		"B rec 0-0 D 250 100 octets", "S: 250 100 octets", "C: BDAT 900 LAST", "P: BDAT 900 LAST", "C x500", "&B rec 0-0 D 552 5.3.4 too big", "&B reset", "S: 552 5.3.4 too big", "S.", "C fin",
		"end backend_lost" } },
	{ "ktls, chunk: a record without octets is no end", PIPES | KTLS, { OPEN, MAIL, "TLS C", "C rec 0-0 D BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x2000", "P x2000", "C empty", "P.", "C x3000", "P x3000",
		"B: 250 taken", "S: 250 taken", QUIT, "ktls 5000" } },
	{ "ktls, chunk: a record whose header makes no sense", PIPES | KTLS, { OPEN, MAIL, "TLS C", "C rec 0-0 D BDAT 5000 LAST", "P: BDAT 5000 LAST", "C x2000", "P x2000", "C broken", "P reset", "S.", "C fin",
		"end tls_error", "ktls 2000" } },

	{ "a mail", 0, { OPEN, MAIL, DATA, "C: hello", "C: .", "P: hello", "P: .", "S.", "B: 250 taken", "S: 250 taken", QUIT } },
	{ "two mails, the second refused", 0, { OPEN, MAIL, DATA, "C: .", "P: .", "B: 250 one", "S: 250 one", MAIL, DATA, "C: x", "C: .", "P: x", "P: .",
		"B: 554 no", "S: 554 no", QUIT } },
	{ "pipelined in one packet", 0, { OPEN, "C- MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "P: MAIL FROM:<a@b>", "P: RCPT TO:<c@d>", "P: DATA",
		"B: 250 1", "B: 550 2", "B: 554 3", "S: 250 1", "S: 550 2", "S: 554 3", QUIT } },
	{ "what is behind DATA waits for its answer: commands if it is no 354", 0, { OPEN, MAIL, "C- DATA\r\nRSET\r\n", "P: DATA", "P.", "B: 451 not now", "S: 451 not now",
		"P: RSET", "B: 250 ok", "S: 250 ok", QUIT } },
	{ "what is behind DATA is the body if it is 354", 0, { OPEN, MAIL, "C- DATA\r\nRSET\r\n.\r\n", "P: DATA", "P.", "B: 354 go", "S: 354 go",
		"P: RSET", "P: .", "B: 250 ok", "S: 250 ok", QUIT } },
	{ "our own answers wait for their turn", 0, { OPEN, "C- MAIL FROM:<a@b>\r\nFROB\r\nRSET\r\n", "P: MAIL FROM:<a@b>", "P: RSET", "S.", "B: 250 1", "S: 250 1",
		"S: 500 5.5.1 Command unrecognized", "B: 250 2", "S: 250 2", QUIT } },
	{ "a reply of several lines", 0, { OPEN, "C: MAIL FROM:<a@b>", "P: MAIL FROM:<a@b>", "B: 550-first", "B: 550 last", "S: 550-first", "S: 550 last", QUIT } },
	{ "one command at a time to a backend without PIPELINING", 0, { GREET, "C: EHLO client.example", "B up", "B: 220 farm", "P: EHLO client.example",
		"B: 250 farm", "S: 250 mx.example", "C- MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "P: MAIL FROM:<a@b>", "P.", "B: 250 1", "S: 250 1", "P: RCPT TO:<c@d>", "B: 250 2",
		"S: 250 2", QUIT } },
	{ "HELO", 0, { GREET, "C: HELO old.example", "B up", "B: 220 farm", "P: HELO old.example", "B: 250 farm", "S: 250 mx.example", "C: MAIL FROM:<a@b>",
		"P: MAIL FROM:<a@b>", "B: 250 1", "S: 250 1", QUIT } },
	{ "a second EHLO is filtered like the first", 0, { OPEN, "C: EHLO again.example", "P: EHLO again.example", "B: 250-farm", "B: 250-XCLIENT ADDR", "B: 250-AUTH PLAIN",
		"B: 250-STARTTLS", "B: 250-X-NEW", "B: 250 DSN", "S: 250-mx.example", "S: 250 DSN", QUIT } },
	{ "a second HELO", 0, { OPEN, "C: HELO again.example", "P: HELO again.example", "B: 250 farm says", "S: 250 mx.example", QUIT } },
	{ "a bad HELO name", 0, { GREET, "C: EHLO bad name!", "S: 501 5.5.4 Syntax error in parameters", "C: QUIT", "S: 221 2.0.0 mx.example closing connection", "C fin", "end quit" } },
	{ "MAIL before EHLO", 0, { GREET, "C: MAIL FROM:<a@b>", "S: 503 5.5.1 Send EHLO or HELO first", "C: QUIT", "S: 221 2.0.0 mx.example closing connection", "C fin", "end quit" } },
	{ "RSET and NOOP without a backend", 0, { GREET, "C: RSET", "S: 250 2.0.0 Ok", "C: NOOP", "S: 250 2.0.0 Ok", "C: QUIT", "S: 221 2.0.0 mx.example closing connection", "C fin", "end quit" } },
	{ "AUTH, XCLIENT, BURL, ETRN are never passed on", 0, { OPEN, "C: AUTH PLAIN AGEAYg==", "S: 503 5.5.1 Authentication is not offered here", "C: XCLIENT ADDR=1.2.3.4",
		"S: 502 5.5.1 Command not offered here", "C: ETRN x", "S: 502 5.5.1 Command not offered here", "P.", QUIT } },
	{ "too many errors", 0, { GREET, "C: A", "S: 500 5.5.1 Command unrecognized", "C: A", "S: 500 5.5.1 Command unrecognized", "C: A", "S: 500 5.5.1 Command unrecognized", "C: A",
		"S: 500 5.5.1 Command unrecognized", "S: 421 4.7.0 mx.example Too many errors", "C fin", "end too_many_errors" } },
	{ "HTTP", 0, { GREET, "C: GET / HTTP/1.1", "S: 554 5.5.1 This is SMTP", "C fin", "end not_smtp" } },
	{ "a TLS record before STARTTLS", STARTTLS, { GREET, "C- \x16\x03\x01", "S: 554 5.5.1 TLS begins with STARTTLS on this port", "C fin", "end tls_before_starttls" } },
	{ "a bare LF ends no command", 0, { GREET, "C- EHLO a\n", "S: 554 5.5.2 Line not ended by CRLF", "C fin", "end bare_newline" } },
	{ "a bare LF is forgiven where the listener says so, and passed on as CRLF", NORMALIZE, { GREET, "C- EHLO a\n", "B up", "B: 220 f", "P: EHLO a", "B: 250 PIPELINING", "S: 250 mx.example",
		"C- MAIL FROM:<a@b>\n", "P: MAIL FROM:<a@b>", "B: 250 1", "S: 250 1", QUIT } },
	{ "a bare LF in a body: the backend never sees the end", 0, { OPEN, MAIL, DATA, "C- one\r\n", "P: one", "C- two\n.\n\r\n", "C: .", "P.", "S: 554 5.6.0 Bare CR or LF in the message", "C fin",
		"P.", "end bare_newline" } },
	{ "a bare CR at the end of a packet is held back until it is known to be one", 0, { OPEN, MAIL, DATA, "C- one\r\n\r", "P: one", "P.", "C: x", "C: .", "P.",
		"S: 554 5.6.0 Bare CR or LF in the message", "C fin", "end bare_newline" } },
	{ "end of data in pieces", 0, { OPEN, MAIL, DATA, "C- a\r", "C- \n", "C- .", "C- \r", "C- \n", "P: a", "P: .", "B: 250 1", "S: 250 1", QUIT } },
	{ "a mail behind the end of data in the same packet", 0, { OPEN, MAIL, DATA, "C- x\r\n.\r\nMAIL FROM:<e@f>\r\n", "P: x", "P: .", "P: MAIL FROM:<e@f>", "B: 250 1", "B: 250 2", "S: 250 1", "S: 250 2", QUIT } },
	{ "too big by its SIZE", MAX_SIZE, { OPEN_MAX, "C: MAIL FROM:<a@b> SIZE=101", "S: 552 5.3.4 Message size exceeds the limit", "P.", QUIT } },
	{ "too big by its body", MAX_SIZE, { OPEN_MAX, MAIL, DATA, "C: 0123456789012345678901234567890123456789012345678901234567890123456789", "P: 0123456789012345678901234567890123456789012345678901234567890123456789",
		"C: 0123456789012345678901234567890123456789", "C: .", "P.", "S: 552 5.3.4 Message size exceeds the limit", "C fin", "end message_too_big" } },
	{ "BDAT", 0, { OPEN, MAIL, "C- BDAT 5\r\nab\r\n.", "P: BDAT 5", "C- BDAT 4 LAST\r\nlast", "P: ab", "P: .BDAT 4 LAST", "B: 250 1", "S: 250 1", "B: 250 2", "S: 250 2",
		"C: QUIT", "P: lastQUIT", "B: 221 bye", "S: 221 bye", "C fin", "B fin", "end quit" } },
	{ "BDAT of nothing, LAST", 0, { OPEN, MAIL, "C: BDAT 0 LAST", "P: BDAT 0 LAST", "B: 250 1", "S: 250 1", QUIT } },
	{ "BDAT without a backend: the octets are dropped", 0, { GREET, "C- BDAT 6\r\nQUIT\r\n", "S: 503 5.5.1 MAIL first", "S.", "C: NOOP", "S: 250 2.0.0 Ok", "C fin", "end client_closed" } },
	{ "BDAT whose size cannot be read ends the session: what follows is no command", 0, { OPEN, MAIL, "C- BDAT 99999999999999999999\r\nRSET\r\n", "S: 501 5.5.4 Syntax error in parameters", "end chunk_size", "P." } },
	{ "BDAT that is too big in all: the backend never sees the end", MAX_SIZE, { OPEN_MAX, MAIL, "C- BDAT 3\r\nabc", "P: BDAT 3", "B: 250 1", "S: 250 1", "C: BDAT 98 LAST", 
		"C- 01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567", "S: 552 5.3.4 Message size exceeds the limit", "C fin", "end message_too_big" } },

	{ "STARTTLS is offered, and 530 without it", REQUIRE_TLS | STARTTLS, { GREET, "C: EHLO a", "S: 250-mx.example", "S: 250 STARTTLS", "C: MAIL FROM:<a@b>", "S: 530 5.7.0 Must issue a STARTTLS command first",
		"C: RCPT TO:<a@b>", "S: 530 5.7.0 Must issue a STARTTLS command first", "C: DATA", "S: 530 5.7.0 Must issue a STARTTLS command first", "C fin", "end client_closed" } },
	{ "530 to AUTH and BDAT", REQUIRE_TLS | STARTTLS, { GREET, "C: EHLO a", "S: 250-mx.example", "S: 250 STARTTLS", "C: AUTH PLAIN", "S: 530 5.7.0 Must issue a STARTTLS command first", "C- BDAT 4\r\nQUIT",
		"S: 530 5.7.0 Must issue a STARTTLS command first", "C: NOOP", "S: 250 2.0.0 Ok", "C fin", "end client_closed" } },
	{ "without TLS the backend comes at MAIL", STARTTLS, { GREET, "C: EHLO a", "S: 250-mx.example", "S: 250 STARTTLS", "C: MAIL FROM:<a@b>", "B up", "B: 220 f", "P: EHLO a", "B: 250 f", "P: MAIL FROM:<a@b>", "B: 250 1", "S: 250 1", QUIT } },
	{ "STARTTLS with an argument", STARTTLS, { GREET, "C: STARTTLS now", "S: 501 5.5.4 Syntax error in parameters", "C fin", "end client_closed" } },
	{ "STARTTLS where there is no certificate", 0, { GREET, "C: STARTTLS", "S: 502 5.5.1 Command not offered here", "C fin", "end client_closed" } },
	{ "STARTTLS inside a transaction", STARTTLS, { GREET, "C: EHLO a", "S: 250-mx.example", "S: 250 STARTTLS", "C: MAIL FROM:<a@b>", "B up", "B: 220 f", "P: EHLO a", "B: 250 f", "P: MAIL FROM:<a@b>", "B: 250 1", "S: 250 1",
		"C: STARTTLS", "S: 503 5.5.1 STARTTLS is not allowed inside a mail transaction", QUIT } },
	{ "STARTTLS waits for the answers before it", STARTTLS, { GREET, "C: EHLO a", "S: 250-mx.example", "S: 250 STARTTLS", "C: MAIL FROM:<a@b>", "B up", "B: 220 f", "P: EHLO a", "B: 250 PIPELINING", "P: MAIL FROM:<a@b>", "B: 550 1", "S: 550 1",
		"C- RSET\r\nSTARTTLS\r\n", "P: RSET", "S.", "B: 250 2", "S: 250 2", "S: 220 2.0.0 Ready to start TLS", "C fin", "end client_aborted" } },
	{ "bytes behind STARTTLS in the same packet", STARTTLS, { GREET, "C- STARTTLS\r\nEHLO evil\r\n", "S: 554 5.5.0 Bytes behind STARTTLS", "C fin", "S.", "end starttls_injection" } },
	{ "bytes behind STARTTLS, one", STARTTLS, { GREET, "C- STARTTLS\r\nE", "S: 554 5.5.0 Bytes behind STARTTLS", "C fin", "end starttls_injection" } },
	{ "bytes behind STARTTLS in the next packet", STARTTLS, { GREET, "C- STARTTLS\r\n", "C- EHLO evil\r\n", "S: 220 2.0.0 Ready to start TLS", "S.", "end starttls_injection" } },
	{ "no room for a handshake", STARTTLS | NO_HANDSHAKES, { GREET, "C: STARTTLS", "S: 454 4.7.0 TLS not available now, too many handshakes in flight", "C: NOOP", "S: 250 2.0.0 Ok", "C fin", "end client_closed" } },
	{ "a handshake that does not come", STARTTLS, { GREET, "C: STARTTLS", "S: 220 2.0.0 Ready to start TLS", "+29000", "S.", "+1100", "end handshake_timeout" } },

	{ "PROXY header, then a mail", PROXY, { "S.", "C: PROXY TCP4 198.51.100.9 192.0.2.25 4000 25", GREET, "C fin", "end client_closed" } },
	{ "PROXY header in pieces, a command behind it", PROXY, { "C- PROXY TCP4 198.51.1", "S.", "C- 00.9 192.0.2.25 4000 25\r\nNOOP\r\n", GREET, "S: 250 2.0.0 Ok", "C fin", "end client_closed" } },
	{ "no PROXY header where one is required", PROXY, { "C: EHLO a", "S.", "end proxy_header" } },
	{ "a PROXY header that does not come", PROXY, { "C- PROXY", "+5100", "S.", "end proxy_header" } },
	{ "a PROXY header on a listener that forbids it is an unknown command", 0, { GREET, "C: PROXY TCP4 198.51.100.9 192.0.2.25 4000 25", "S: 500 5.5.1 Command unrecognized", "C fin", "end client_closed" } },
	{ "pregreet", DELAY, { "S.", "C: EHLO early", "S: 554 5.5.0 Talked before the banner", "C fin", "end pregreet" } },
	{ "a client that waits for the banner", DELAY, { "+1800", "S.", "+300", GREET, "C fin", "end client_closed" } },

	{ "the backend refuses the connection", 0, { GREET, "C: EHLO a", "B down", "S: 421 4.3.2 mx.example Service not available, closing transmission channel", "C fin", "end no_backend" } },
	{ "at MAIL that is 451", STARTTLS, { GREET, "C: EHLO a", "S: 250-mx.example", "S: 250 STARTTLS", "C: MAIL FROM:<a@b>", "B down", "S: 451 4.3.2 mx.example No mail server behind this one can take the message now, try again later", "C fin", "end no_backend" } },
	{ "the next backend takes over", TWO, { GREET, "C: EHLO a", "B down", "B up", "B: 220 f", "P: EHLO a", "B: 250 f", "S: 250 mx.example", QUIT } },
	{ "a backend that hangs at connect", TWO, { GREET, "C: EHLO a", "+5100", "B up", "B: 220 f", "P: EHLO a", "B: 250 f", "S: 250 mx.example", QUIT } },
	{ "a backend that hangs at its banner", 0, { GREET, "C: EHLO a", "B up", "+60100", "S: 421 4.3.2 mx.example Service not available, closing transmission channel", "C fin", "end no_backend" } },
	{ "a backend whose banner is 554, and no other", 0, { GREET, "C: EHLO a", "B up", "B: 554-go", "B: 554 5.7.1 away", "S: 554 5.7.1 away", "C fin", "end backend_refused" } },
	{ "a backend that answers 550 to EHLO, and no other", 0, { GREET, "C: EHLO a", "B up", "B: 220 f", "P: EHLO a", "B: 550 no", "S: 550 no", "C fin", "end backend_refused" } },
	{ "554 here, 421 there: the client comes again", TWO, { GREET, "C: EHLO a", "B up", "B: 554 go away", "B up", "B: 421 busy",
		"S: 421 4.3.2 mx.example Service not available, closing transmission channel", "C fin", "end no_backend" } },
	{ "a backend whose banner is 554", TWO, { GREET, "C: EHLO a", "B up", "B: 554 go away", "B up", "B: 220 f", "P: EHLO a", "B: 250 f", "S: 250 mx.example", QUIT } },
	{ "a backend that closes between transactions", 0, { OPEN, "B fin", "S: 421 4.4.2 mx.example The mail server behind this one closed the connection, try again later", "C fin", "end backend_lost" } },
	{ "a backend that closes in a transaction", 0, { OPEN, MAIL, "B fin", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_lost" } },
	{ "a backend that closes after 354", 0, { OPEN, MAIL, DATA, "B fin", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_lost" } },
	{ "a backend that is reset behind the end of data", 0, { OPEN, MAIL, DATA, "C: .", "P: .", "B reset", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_lost" } },
	{ "a 250 before the end of the body is no 250", 0, { OPEN, MAIL, DATA, "C: half", "P: half", "B: 250 taken", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_protocol" } },
	{ "a refusal before the end of the body waits for it", 0, { OPEN, MAIL, DATA, "C: half", "P: half", "B: 552 too big", "S.", "C: .", "P: .", "S: 552 too big", QUIT } },
	{ "a refusal before the end, then gone", 0, { OPEN, MAIL, DATA, "C: half", "P: half", "B: 552 too big", "B fin", "S: 552 too big", "C fin", "end backend_lost" } },
	{ "421 at any time is passed on and ends it", 0, { OPEN, MAIL, "B: 421 going down", "S: 421 going down", "C fin", "end backend_421" } },
	{ "no reply in time", 0, { OPEN, "C: MAIL FROM:<a@b>", "+300100", "S: 421 4.4.2 mx.example The mail server behind this one closed the connection, try again later", "C fin", "end backend_timeout" } },
	{ "no final reply in time", 0, { OPEN, MAIL, DATA, "C: .", "+599000", "S.", "+1100", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_timeout" } },
	{ "a refusal in the middle is not lost when sending meets the reset behind it first", 0, { OPEN, MAIL, DATA, "C: hello", "P: hello", "C: more", "&B: 552 5.3.4 too big", "&B reset", "S: 552 5.3.4 too big",
		"S.", "C fin", "end backend_lost" } },
	{ "what is no reply", 0, { OPEN, "C: NOOP", "B: nonsense", "S: 451 4.4.2 mx.example The mail server behind this one was lost before it answered, try again later", "C fin", "end backend_protocol" } },

	{ "a client that is silent", 0, { GREET, "+299000", "S.", "+1100", "S: 421 4.4.2 mx.example Timeout, closing transmission channel", "C fin", "end idle_timeout" } },
	{ "one byte now and then does not renew a command's time", 0, { GREET, "C- E", "+100000", "C- H", "+100000", "C- L", "+100100", "S: 421 4.4.2 mx.example Timeout, closing transmission channel", "C fin", "end idle_timeout" } },
	{ "one byte now and then does not renew a body's time", 0, { OPEN, MAIL, DATA, "C- a", "+100000", "C- b", "+80100", "S: 421 4.4.2 mx.example Timeout, closing transmission channel", "C fin", "end body_timeout" } },
	{ "a client that goes in a body: the backend never sees the end", 0, { OPEN, MAIL, DATA, "C: half", "P: half", "C fin", "P.", "end client_aborted" } },
	{ "a client that is reset while the backend works", 0, { OPEN, MAIL, DATA, "C: .", "P: .", "C reset", "B: 250 taken", "end client_reset" } },
	{ "half-close behind a pipelined mail", 0, { OPEN, MAIL, DATA, "C- x\r\n.\r\nQUIT\r\n", "C fin", "P: x", "P: .", "P: QUIT", "B: 250 taken", "S: 250 taken", "B: 221 bye", "S: 221 bye", "B fin", "end quit" } },
	{ "gone without QUIT: the backend gets one", 0, { OPEN, "C fin", "P: QUIT", "B fin", "end client_closed" } },
};

static void test_scripts(void **state)
{
	const char *only = getenv("ONLY");

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
		if (!only || strstr(scripts[i].name, only))
			run_script(&scripts[i]);
}

static void test_long_line(void **state)
{
	static char line[3000];
	struct script s = { "long line", 0, { GREET } };
	struct world w;

	memset(line, 'a', sizeof(line) - 1);
	set_up(&w, &s);
	do_line(&w, GREET);
	fake_say_text(w.client, line);
	fake_say_text(w.client, "\r\nNOOP\r\n");
	do_line(&w, "S: 500 5.5.2 Line too long");
	do_line(&w, "S: 250 2.0.0 Ok");
	tear_down(&w);
}

/* STARTTLS with a command behind it, cut into two packets at every byte. */
static void test_injection_splits(void **state)
{
	static const char text[] = "STARTTLS\r\nMAIL FROM:<evil@example>\r\n";
	struct script s = { "injection", STARTTLS, { GREET } };

	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		struct world w;

		set_up(&w, &s);
		do_line(&w, GREET);
		fake_say(w.client, text, cut);
		fake_say(w.client, text + cut, sizeof(text) - 1 - cut);
		fake_settle(w.env.ring);
		assert_int_equal(ended(&w), END_starttls_injection);
		assert_null(strstr((char *)w.client->got, "250"));
		assert_null(fake_connecting(w.env.ring));
		tear_down(&w);
	}
}

/* Neither side takes anything: what is held stays below the bound. */
static void test_bounded(void **state)
{
	static const char *const open[] = { OPEN, MAIL, DATA, NULL };
	static char block[4097];
	struct script s = { "bounded", 0, { GREET } };
	struct world w;

	memset(block, 'x', sizeof(block) - 1);
	memcpy(block + sizeof(block) - 3, "\r\n", 2);
	set_up(&w, &s);
	for (int i = 0; open[i]; i++)
		do_line(&w, open[i]);
	w.backend->window = 0;
	for (int i = 0; i < 1000; i++)
		fake_say(w.client, block, sizeof(block) - 1);
	fake_settle(w.env.ring);
	assert_in_range(chunk_pool_bytes_out(w.io.pool), 60000, 2 * 65536);
	pass_time(&w, 300200);
	assert_int_equal(ended(&w), END_backend_timeout);
	tear_down(&w);
}

/* A client that never reads and then resets: its session ends now, and does not wait for room that never comes. */
static void test_reset_while_full(void **state)
{
	static const char *const open[] = { OPEN, NULL };
	struct script s = { "reset while full", 0, { GREET } };
	struct world w;

	set_up(&w, &s);
	for (int i = 0; open[i]; i++)
		do_line(&w, open[i]);
	w.client->window = 0;
	for (int i = 0; i < 12000; i++) {
		fake_say_text(w.client, "NOOP\r\n");
		fake_say_text(w.backend, "250 ok\r\n");
		ring_run(w.env.ring, 0);
	}
	fake_settle(w.env.ring);
	assert_in_range(chunk_pool_bytes_out(w.io.pool), 60000, 2 * 65536);
	assert_int_equal(ended(&w), END_NOT_YET);
	fake_reset(w.client);
	fake_settle(w.env.ring);
	assert_int_equal(ended(&w), END_client_reset);
	tear_down(&w);
}

/* Neither end makes us hold more than the buffer, and one that takes nothing is given up; one that takes a little is not. */
static void test_passed_stalls(void **state)
{
	static const char *const open[] = { OPEN, NULL };
	static const enum end_reason reasons[] = { END_pass_client_stalled, END_pass_backend_stalled };
	struct script s = { "stalls", SPLICE, { GREET } };

	for (int side = 0; side < 2; side++) {
		struct world w;
		char block[10000];
		struct fake_peer *slow, *fast;

		set_up(&w, &s);
		for (int i = 0; open[i]; i++)
			do_line(&w, open[i]);
		slow = side ? w.backend : w.client;
		fast = side ? w.client : w.backend;
		fake_settle(w.env.ring);
		const size_t before = slow->got_total;

		slow->window = 0;
		memset(block, 'x', sizeof(block));
		for (int i = 0; i < 50; i++)
			fake_say(fast, block, sizeof(block));
		fake_settle(w.env.ring);
		assert_in_range(chunk_pool_bytes_out(w.io.pool), 65536, 3 * 65536);
		for (int i = 0; i < 3; i++) {
			pass_time(&w, side ? 290000 : 170000);
			slow->window = 1;
		}
		assert_int_equal(ended(&w), END_NOT_YET);
		slow->window = SIZE_MAX;
		fake_settle(w.env.ring);
		assert_int_equal(slow->got_total - before, 50 * sizeof(block));
		slow->window = 0;
		fake_say(fast, block, sizeof(block));
		pass_time(&w, side ? 310000 : 190000);
		assert_int_equal(ended(&w), reasons[side]);
		pass_time(&w, 100);
		assert_true(slow->got_reset && fast->got_reset);
		tear_down(&w);
	}
}

static void test_drain(void **state)
{
	static const char *const in_mail[] = { OPEN, MAIL, DATA, NULL };
	struct script s = { "drain", 0, { GREET } };
	struct world w;

	set_up(&w, &s);
	do_line(&w, GREET);
	session_drain(&w.env);
	do_line(&w, "S: 421 4.3.2 mx.example Service shutting down, try again later");
	tear_down(&w);

	set_up(&w, &s);
	for (int i = 0; in_mail[i]; i++)
		do_line(&w, in_mail[i]);
	session_drain(&w.env);
	do_line(&w, "S.");
	do_line(&w, "C: .");
	do_line(&w, "P: .");
	do_line(&w, "B: 250 taken");
	do_line(&w, "S: 250 taken");
	do_line(&w, "S: 421 4.3.2 mx.example Service shutting down, try again later");
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts), cmocka_unit_test(test_long_line), cmocka_unit_test(test_injection_splits),
		cmocka_unit_test(test_bounded), cmocka_unit_test(test_reset_while_full),
		cmocka_unit_test(test_drain), cmocka_unit_test(test_passed_stalls),
	};

	make_tls();
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	tls_server_unref(tls);
	return r;
}
