/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
/*
 * Whole sessions of clients that are asked for a certificate: a ring without sockets, a DNS without a network, a
 * real TLS peer, and the configuration as text.  A script is a list of lines:
 *
 *   "C: text"   the client sends the line, inside TLS once it is up   "S: text"  it has been sent exactly this line
 *   "S ~ text"  the same, as far as text goes                          "S."       nothing more was sent
 *   "tls"       STARTTLS and the handshake                             "B up"     the backend takes the connection
 *   "B: text"   the backend sends                                      "P ~ text" it was sent this, somewhere; taken
 *   "P."        no backend was bothered                                "+ms"      time passes
 *   "hold" "go" the DNS holds its answers back, gives them             "end reason"
 *   "resumed" "full"  the handshake was so
 *   "C reset"  "idle"  the client is gone; no question is open any more
 *   "again"     the client comes again with the ticket it has          "judged text"  the verdict, as log and backend see it
 */
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
#include "userspace/session.h"

#define CLIENT_FD 100

static struct made *server_made, *client_made, *other_made;
static struct tls_server *server;
static uint8_t own_record[35], other_record[35];

struct world {
	struct config *cfg;
	struct session_shared shared;
	uint32_t policy_sessions[8];
	struct session_listener serve;
	struct relay_settings policy_relay[8];
	struct session_env env;
	struct leg_io io;
	struct stats stats;
	struct fake_peer *client, *backend;
	struct peer peer;
	const struct made *shown;
	bool tls, tls12;
	SSL_SESSION *ticket;
	char text[8192]; /* what the client was sent and nobody has looked at */
	unsigned clients;
	const char *name;
};

struct script {
	const char *name;
	const char *policies, *listener; /* of the configuration */
	char shows;			 /* 'o' its own certificate, 'x' another, '-' none; 'O' its own, by TLS 1.2 */
	const char *dns;		 /* "owner state" of own_record: S, I, F, X: the record of another key; TTL 60 */
	const char *lines[40];
};

/* ---- set up ---- */

static void complain(void *ctx, const char *text)
{
	fail_msg("%s", text);
}

static struct config *make_config(const struct script *s)
{
	char text[4096];

	snprintf(text, sizeof(text), "hostname = mx.example\nbackend a { address = 10.0.0.5 proxy-budget = 536 }\n"
		 "backend b { address = 10.0.0.6 }\npool p { backends = a }\npool q { backends = b }\n"
		 "certificate c { chain = /c key = /k }\nlimits { errors = 3 }\n%s\nlistener l { pool = p certificates = c %s }\n",
		 s->policies, s->listener);
	FILE *in = fmemopen(text, strlen(text), "r");
	struct config *c = config_read(in, "t.conf", complain, NULL);

	fclose(in);
	assert_non_null(c);
	assert_true(config_resolve(c, complain, NULL));
	return c;
}

static void tell_dns(const char *what)
{
	char owner[100], state;

	fake_dns_reset();
	while (what && sscanf(what, "%99s %c", owner, &state) == 2) {
		fake_dns_tell(owner, state == 'I' ? DANE_INSECURE : state == 'F' ? DANE_FAILED : DANE_SECURE, state == 'F' ? 0 : 60,
			      state == 'X' ? other_record : own_record, state == 'F' ? 0 : 35);
		what = strchr(what, ';');
		what = what ? what + 1 : NULL;
	}
}

static void come(struct world *w)
{
	struct net_addr peer = { .port = 1234 }, local = { .port = 25 };

	net_parse_ip("198.51.100.7", &peer.ip);
	net_parse_ip("192.0.2.25", &local.ip);
	w->shared.sessions++;
	w->tls = false;
	w->text[0] = '\0';
	assert_int_equal(session_new(&w->env, &w->serve, (int)(CLIENT_FD + w->clients++), &peer, &local), 0);
	w->client = fake_peer_last(w->env.ring);
}

static void set_up(struct world *w, const struct script *s)
{
	struct ring_settings ring = { 0 };
	const char *why;

	memset(w, 0, sizeof(*w));
	w->name = s->name;
	w->cfg = make_config(s);
	w->tls12 = s->shows == 'O';
	w->shown = s->shows == 'o' || w->tls12 ? client_made : s->shows == 'x' ? other_made : NULL;
	tell_dns(s->dns);
	assert_int_equal(ring_new(&ring, &w->env.ring, &why), 0);
	assert_int_equal(leg_io_init(&w->io, w->env.ring), 0);
	w->env.cfg = w->cfg;
	w->env.io = &w->io;
	w->env.wheel = timer_wheel_new(ring_now(w->env.ring));
	w->env.stats = &w->stats;
	w->env.backends = backends_new(w->cfg);
	for (size_t i = 0; i < w->cfg->backend_count; i++)
		backend_set_target(w->env.backends, i, target_from_config(&w->cfg->backends[i], NULL));
	w->shared.policy_sessions = w->policy_sessions;
	w->env.shared = &w->shared;
	w->serve.cfg = &w->cfg->listeners[0];
	w->serve.tls = server;
	w->serve.asks = policy_asks(w->cfg, w->serve.cfg);
	w->serve.relay = (struct relay_settings){ .hostname = "mx.example", .cap_mask = ~0u & ~SMTP_CAP_BIT(STARTTLS) & ~SMTP_CAP_BIT(REQUIRETLS), .starttls = true, .buffer = 65536 };
	for (size_t i = 0; i < w->cfg->policy_count; i++) {
		w->policy_relay[i] = w->serve.relay;
		w->policy_relay[i].max_size = w->cfg->policies[i].max_size;
	}
	w->serve.policy_relay = w->cfg->policy_count ? w->policy_relay : NULL;
	struct client_dane_settings set = { .dns = fake_dns(), .ring = w->env.ring, .stats = &w->stats, .in_flight = &w->shared.judgements,
					    .in_flight_max = 10, .cache_max = 10 };

	if (w->serve.asks)
		w->env.client_dane = client_dane_start(&set);
	come(w);
}

static void tear_down(struct world *w)
{
	session_cut(&w->env);
	fake_settle(w->env.ring);
	assert_null(w->env.sessions);
	assert_int_equal(w->shared.sessions, 0);
	assert_int_equal(w->shared.handshakes, 0);
	assert_int_equal(w->shared.judgements, 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(w->policy_sessions[i], 0);
	assert_int_equal(w->stats.count[COUNT_client_judging], 0);
	if (w->env.client_dane)
		client_dane_stop(w->env.client_dane);
	fake_settle(w->env.ring);
	client_dane_free(w->env.client_dane);
	assert_int_equal(fake_open(w->env.ring), 0);
	assert_int_equal(chunk_pool_bytes_out(w->io.pool), 0);
	ring_free(w->env.ring);
	timer_wheel_free(w->env.wheel);
	leg_io_free(&w->io);
	backends_free(w->env.backends);
	config_free(w->cfg);
	peer_clear(&w->peer);
	SSL_SESSION_free(w->ticket);
}

/* ---- the two ends ---- */

static void give_client(struct world *w)
{
	size_t len = strlen(w->text);
	int n = 0;

	fake_settle(w->env.ring);
	if (!w->tls) {
		len += (size_t)snprintf(w->text + len, sizeof(w->text) - len, "%s", w->client->got ? (char *)w->client->got : "");
		fake_clear(w->client);
		return;
	}
	peer_give(&w->peer, w->client->got, w->client->got_len);
	fake_clear(w->client);
	while (len < sizeof(w->text) - 1 && (n = SSL_read(w->peer.ssl, w->text + len, (int)(sizeof(w->text) - 1 - len))) > 0)
		len += (size_t)n;
	w->text[len] = '\0';
}

static void flush_peer(struct world *w)
{
	uint8_t *buf = NULL;
	size_t len = peer_take(&w->peer, &buf);

	if (len)
		fake_say(w->client, buf, len);
	free(buf);
	fake_settle(w->env.ring);
}

static void say(struct world *w, const char *text)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "%s\r\n", text);

	give_client(w);
	if (!w->tls) {
		fake_say(w->client, line, (size_t)n);
		return;
	}
	assert_int_equal(SSL_write(w->peer.ssl, line, n), n);
	flush_peer(w);
}

static void expect(struct world *w, const char *line, const char *want, bool whole)
{
	give_client(w);
	char *crlf = strstr(w->text, "\r\n");

	if (!crlf)
		fail_msg("%s: \"%s\": got only \"%s\"", w->name, line, w->text);
	*crlf = '\0';
	if (whole ? strcmp(w->text, want) != 0 : strncmp(w->text, want, strlen(want)) != 0)
		fail_msg("%s: wanted \"%s\", got \"%s\"", w->name, want, w->text);
	memmove(w->text, crlf + 2, strlen(crlf + 2) + 1);
}

static void shake(struct world *w)
{
	say(w, "STARTTLS");
	expect(w, "tls", "220 2.0.0 Ready to start TLS", true);
	peer_clear(&w->peer);
	peer_init(&w->peer, false);
	if (w->tls12)
		SSL_CTX_set_max_proto_version(w->peer.ctx, TLS1_2_VERSION);
	if (w->shown)
		peer_show(&w->peer, w->shown);
	peer_start(&w->peer);
	if (w->ticket)
		SSL_set_session(w->peer.ssl, w->ticket);
	for (int i = 0; i < 10 && !SSL_is_init_finished(w->peer.ssl); i++) {
		SSL_do_handshake(w->peer.ssl);
		flush_peer(w);
		peer_give(&w->peer, w->client->got, w->client->got_len);
		fake_clear(w->client);
	}
	assert_true(SSL_is_init_finished(w->peer.ssl));
	flush_peer(w);
	w->tls = true;
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

/* ---- scripts ---- */

static void ended(struct world *w, const char *want)
{
	if (strcmp(want, "client_reset") != 0)
		fake_fin(w->client);
	if (w->backend)
		fake_fin(w->backend);
	pass_time(w, 2100);
	w->backend = NULL;
	for (int i = 0; i < END_COUNT; i++) {
		if (w->stats.end[i] && strcmp(end_info[i].name, want) != 0)
			fail_msg("%s: wanted %s, ended with %s", w->name, want, end_info[i].name);
		w->stats.end[i] = 0;
	}
	if (w->env.sessions)
		fail_msg("%s: the session is still at %s", w->name, session_steps[w->env.sessions->step].name);
}

static void backend_was_sent(struct world *w, const char *want)
{
	assert_non_null(w->backend);
	if (!memmem(w->backend->got, w->backend->got_len, want, strlen(want)))
		fail_msg("%s: the backend was not sent \"%s\"", w->name, want);
	fake_clear(w->backend);
}

static void verdict_is(struct world *w, const char *want)
{
	char text[DANE_NAME_MAX + 16] = "not asked";
	const struct session *s = w->env.sessions;

	assert_non_null(s);
	if (s->verdict)
		client_judgement_text(&s->verdict->judgement, text);
	if (strcmp(text, want) != 0)
		fail_msg("%s: wanted %s, judged %s (%s)", w->name, want, text, s->verdict ? s->verdict->judgement.text : "");
}

static void come_again(struct world *w)
{
	give_client(w);
	SSL_SESSION_free(w->ticket);
	w->ticket = SSL_get1_session(w->peer.ssl);
	SSL_set_shutdown(w->peer.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else SSL_free() spoils the ticket */
	ended(w, "client_closed");
	come(w);
}

static void do_line(struct world *w, const char *line)
{
	fake_settle(w->env.ring);
	struct fake_peer *connecting = fake_connecting(w->env.ring);

	if (!strncmp(line, "C: ", 3))
		say(w, line + 3);
	else if (!strncmp(line, "S: ", 3))
		expect(w, line, line + 3, true);
	else if (!strncmp(line, "S ~ ", 4))
		expect(w, line, line + 4, false);
	else if (!strcmp(line, "S.")) {
		give_client(w);
		if (w->text[0])
			fail_msg("%s: got \"%s\"", w->name, w->text);
	} else if (!strcmp(line, "tls"))
		shake(w);
	else if (!strcmp(line, "B up")) {
		if (!connecting)
			fail_msg("%s: no backend is connected to", w->name);
		w->backend = connecting;
		fake_answer(connecting, 0);
	} else if (!strncmp(line, "B: ", 3)) {
		char text[600];

		snprintf(text, sizeof(text), "%s\r\n", line + 3);
		fake_say_text(w->backend, text);
	} else if (!strncmp(line, "P ~ ", 4))
		backend_was_sent(w, line + 4);
	else if (!strcmp(line, "P."))
		assert_true(!connecting && !w->backend);
	else if (line[0] == '+')
		pass_time(w, strtoull(line + 1, NULL, 10));
	else if (!strcmp(line, "C reset"))
		fake_reset(w->client);
	else if (!strcmp(line, "idle")) {
		assert_int_equal(w->shared.judgements, 0);
		assert_int_equal(fake_dns_pending(), 0);
	} else if (!strcmp(line, "hold") || !strcmp(line, "go"))
		fake_dns_hold(line[0] == 'h');
	else if (!strncmp(line, "dns ", 4))
		tell_dns(line + 4);
	else if (!strcmp(line, "resumed") || !strcmp(line, "full"))
		assert_int_equal(tls_facts(w->env.sessions->client.tls)->resumed, line[0] == 'r');
	else if (!strcmp(line, "again"))
		come_again(w);
	else if (!strncmp(line, "judged ", 7))
		verdict_is(w, line + 7);
	else if (!strncmp(line, "end ", 4))
		ended(w, line + 4);
	else
		fail_msg("%s: what is \"%s\"?", w->name, line);
}

#define GREET "S: 220 mx.example ESMTP"
#define HELLO "C: EHLO mail.sender.example"
#define TLS GREET, "tls", HELLO


#define MAIL "C: MAIL FROM:<a@sender.example>"
#define REFUSED(text) "P.", "S: 250 mx.example", MAIL, text, "P.", "C: QUIT", "S: 221 2.0.0 mx.example closing connection"
#define UNVERIFIED "S: 550 5.7.1 mx.example Mail from your network is taken from hosts only whose certificate DANE verifies"
#define MISMATCH "S: 550 5.7.5 mx.example Your certificate matches none of the TLSA records of your names"
#define OTHER_NAME "S: 550 5.7.1 mx.example DANE verifies your certificate, but not for a name that mail is taken from here"
#define LATER "S: 451 4.7.5 mx.example The TLSA records of your names cannot be looked up now, try again later"
/* taken: the backend hears of the verdict before it says anything, then a mail begins */
#define TAKEN(verdict) "B up", "P ~ " verdict, "B: 220 farm", "P ~ EHLO mail.sender.example", "B: 250 farm", "S: 250 mx.example", MAIL, \
	"P ~ MAIL FROM:<a@sender.example>", "B: 250 ok", "S: 250 ok", "end client_aborted"
#define OWNER "_25._tcp.mail.sender.example "
#define CLIENT_OWNER "_smtp-client.mail.sender.example "

static const struct script scripts[] = {
	{ "off: nobody is asked", "", "", 'o', OWNER "S", { TLS, "judged not asked", "B up", "P ~ TLSv1.3", "B: 220 farm", "P ~ EHLO", "B: 250 farm", "S: 250 mx.example", "end client_closed" } },
	{ "off for one network, asked elsewhere", "policy a { networks = {198.51.100.0/24} client-dane = off }", "policies = a client-dane = require", 'o', OWNER "S",
		{ TLS, "judged not asked", "B up", "P ~ TLSv1.3", "B: 220 farm", "P ~ EHLO", "B: 250 farm", "S: 250 mx.example", "end client_closed" } },

	{ "observe: verified", "", "client-dane = observe", 'o', OWNER "S", { TLS, "judged verified:mail.sender.example", TAKEN("verified:mail.sender.example") } },
	{ "observe: verified at _smtp-client", "", "client-dane = observe", 'o', CLIENT_OWNER "S", { TLS, TAKEN("verified:mail.sender.example") } },
	{ "observe: by a name of the certificate", "", "client-dane = observe", 'o', "_25._tcp.alt.sender.example S", { TLS, TAKEN("verified:alt.sender.example") } },
	{ "observe: mismatch", "", "client-dane = observe", 'x', OWNER "S", { TLS, TAKEN("mismatch") } },
	{ "observe: no certificate", "", "client-dane = observe", '-', OWNER "S", { TLS, TAKEN("none") } },
	{ "observe: no records", "", "client-dane = observe", 'o', "", { TLS, TAKEN("none") } },
	{ "observe: insecure", "", "client-dane = observe", 'o', OWNER "I", { TLS, TAKEN("insecure") } },
	{ "observe: look-up failed", "", "client-dane = observe", 'o', OWNER "F", { TLS, TAKEN("lookup_failed") } },

	{ "enforce: verified", "", "client-dane = enforce", 'o', OWNER "S", { TLS, TAKEN("verified:mail.sender.example") } },
	{ "enforce: mismatch", "", "client-dane = enforce", 'x', OWNER "S", { TLS, REFUSED(MISMATCH), "end client_refused" } },
	{ "enforce: no certificate", "", "client-dane = enforce", '-', OWNER "S", { TLS, TAKEN("none") } },
	{ "enforce: insecure", "", "client-dane = enforce", 'o', OWNER "I", { TLS, TAKEN("insecure") } },
	{ "enforce: look-up failed", "", "client-dane = enforce", 'x', OWNER "S;" CLIENT_OWNER "F", { TLS, TAKEN("lookup_failed") } },
	{ "enforce: in clear", "", "client-dane = enforce", 'o', OWNER "S", { GREET, HELLO, "S: 250-mx.example", "S: 250 STARTTLS", MAIL, "B up", "B: 220 farm", "P ~ EHLO", "B: 250 farm",
		"P ~ MAIL", "B: 250 ok", "S: 250 ok", "end client_aborted" } },

	{ "require: verified", "", "client-dane = require", 'o', OWNER "S", { TLS, TAKEN("verified:mail.sender.example") } },
	{ "require: mismatch", "", "client-dane = require", 'x', OWNER "S", { TLS, REFUSED(MISMATCH), "end client_refused" } },
	{ "require: no certificate", "", "client-dane = require", '-', OWNER "S", { TLS, REFUSED(UNVERIFIED), "end client_refused" } },
	{ "require: no records", "", "client-dane = require", 'o', "", { TLS, REFUSED(UNVERIFIED), "end client_refused" } },
	{ "require: insecure", "", "client-dane = require", 'o', OWNER "I", { TLS, REFUSED(UNVERIFIED), "end client_refused" } },
	{ "require: look-up failed", "", "client-dane = require", 'o', OWNER "F", { TLS, REFUSED(LATER), "end client_lookup" } },
	{ "require: in clear", "", "client-dane = require", 'o', OWNER "S", { GREET, HELLO, "S: 250-mx.example", "S: 250 STARTTLS", MAIL, "S: 530 5.7.0 Must issue a STARTTLS command first", "P.", "end client_closed" } },
	{ "require: HELO is judged as well", "", "client-dane = require", 'o', OWNER "S", { GREET, "tls", "C: HELO mail.sender.example", "B up", "P ~ verified:mail.sender.example", "B: 220 farm", "P ~ HELO mail.sender.example", "B: 250 farm", "S: 250 mx.example", "end client_closed" } },
	{ "require: refused again at every mail, then for too many errors", "", "client-dane = require", '-', "", { TLS, "S: 250 mx.example", MAIL, UNVERIFIED, MAIL, UNVERIFIED, MAIL, UNVERIFIED,
		MAIL, UNVERIFIED, "S: 421 4.7.0 mx.example Too many errors", "end too_many_errors" } },
	{ "require: gone without a mail, nothing was refused", "", "client-dane = require", '-', "", { TLS, "S: 250 mx.example", "C: QUIT", "S: 221 2.0.0 mx.example closing connection", "end quit" } },
	{ "require: RCPT and BDAT without a mail reach nobody", "", "client-dane = require", '-', "", { TLS, "S: 250 mx.example", MAIL, UNVERIFIED, "C: RCPT TO:<b@c>", "S: 503 5.5.1 MAIL first",
		"C: DATA", "S: 503 5.5.1 MAIL first", "P.", "end client_refused" } },
	{ "require, as one of the policy's names", "policy a { client-dane = require names = {.sender.example} }", "policies = a", 'o', OWNER "S", { TLS, TAKEN("verified:mail.sender.example") } },
	{ "require, verified as another", "policy a { client-dane = require names = {mail.partner.example} }", "policies = a", 'o', OWNER "S", { TLS, REFUSED(OTHER_NAME), "end client_refused" } },

	{ "the answer to EHLO waits for the verdict", "", "client-dane = require", 'o', OWNER "S", { "hold", TLS, "S.", "+9000", "S.", "P.", "go", "judged verified:mail.sender.example", TAKEN("verified:mail.sender.example") } },
	{ "a verdict that takes too long", "", "client-dane = require", 'o', OWNER "S", { "hold", TLS, "+9900", "S.", "+200", "judged lookup_failed", REFUSED(LATER), "end client_lookup" } },
	{ "a verdict that takes too long, observed", "", "client-dane = observe", 'o', OWNER "S", { "hold", TLS, "+10100", TAKEN("lookup_failed") } },
	{ "a client that goes while it waits: nobody waits for it", "", "client-dane = require", 'o', OWNER "S", { "hold", TLS, "S.", "C reset", "end client_reset", "idle" } },
	{ "a session that is cut while it waits", "", "client-dane = require", 'o', OWNER "S", { "hold", TLS, "S." } },
	{ "commands behind EHLO wait with it", "", "client-dane = require", 'o', OWNER "S", { "hold", TLS, "C: NOOP", "S.", "go", "B up", "B: 220 farm", "P ~ EHLO", "B: 250 farm",
		"S: 250 mx.example", "P ~ NOOP", "B: 250 ok", "S: 250 ok", "end client_closed" } },
	{ "a second EHLO is not judged again", "", "client-dane = observe", 'o', OWNER "S", { TLS, "B up", "P ~ verified", "B: 220 farm", "P ~ EHLO", "B: 250 farm", "S: 250 mx.example",
		"C: EHLO other.example", "P ~ EHLO other.example", "B: 250 farm", "S: 250 mx.example", "judged verified:mail.sender.example", "end client_closed" } },

	{ "a ticket carries the verdict while the records live", "", "client-dane = require", 'o', OWNER "S", { TLS, "judged verified:mail.sender.example", "B up", "P ~ verified", "B: 220 farm", "P ~ EHLO", "B: 250 farm",
		"S: 250 mx.example", "again", "dns " OWNER "F", TLS, "resumed", "judged verified:mail.sender.example", TAKEN("verified:mail.sender.example") } },
	{ "a refusal is carried too", "", "client-dane = require", '-', "", { TLS, "S: 250 mx.example", "again", TLS, "resumed", REFUSED(UNVERIFIED), "end client_refused" } },
	{ "a failed look-up is not", "", "client-dane = observe", 'o', OWNER "F", { TLS, "judged lookup_failed", "B up", "P ~ lookup_failed", "B: 220 farm", "P ~ EHLO", "B: 250 farm", "S: 250 mx.example",
		"again", "dns " OWNER "S", TLS, "full", "judged verified:mail.sender.example", TAKEN("verified:mail.sender.example") } },

	{ "TLS 1.2: judged as well, but no ticket carries it", "", "client-dane = require", 'O', OWNER "S", { TLS, "judged verified:mail.sender.example", "B up", "P ~ verified", "B: 220 farm", "P ~ EHLO",
		"B: 250 farm", "S: 250 mx.example", "again", TLS, "full", "judged verified:mail.sender.example", TAKEN("verified:mail.sender.example") } },
	{ "XCLIENT: a verified name is NAME", "backend x { address = 10.0.0.7 client-address = xclient } pool xp { backends = x } policy a { pool = xp }", "policies = a client-dane = observe", 'o', OWNER "S",
		{ TLS, "B up", "B: 220 farm", "P ~ EHLO mail.sender.example", "B: 250-farm", "B: 250 XCLIENT NAME ADDR", "P ~ XCLIENT NAME=mail.sender.example ADDR=198.51.100.7", "B: 220 farm",
		"P ~ EHLO", "B: 250 farm", "S: 250 mx.example", "end client_closed" } },
	{ "XCLIENT: any other has none", "backend x { address = 10.0.0.7 client-address = xclient } pool xp { backends = x } policy a { pool = xp }", "policies = a client-dane = observe", 'x', OWNER "S",
		{ TLS, "B up", "B: 220 farm", "P ~ EHLO mail.sender.example", "B: 250-farm", "B: 250 XCLIENT NAME ADDR", "P ~ XCLIENT NAME=[UNAVAILABLE] ADDR=198.51.100.7", "B: 220 farm",
		"P ~ EHLO", "B: 250 farm", "S: 250 mx.example", "end client_closed" } },
	{ "splice: REQUIRETLS of a backend that nobody verifies is not passed on", "policy a { relay = splice }", "policies = a client-dane = observe", 'o', OWNER "S",
		{ TLS, "B up", "P ~ verified", "B: 220 farm", "P ~ EHLO", "B: 250-farm", "B: 250 REQUIRETLS", "S: 250 mx.example", HELLO, "P ~ EHLO", "B: 250-farm", "B: 250 REQUIRETLS",
		"S: 250 mx.example", "C: MAIL FROM:<a@b> REQUIRETLS", "S ~ 555", "end client_closed" } },
	{ "the policy's pool, by name", "policy a { names = {mail.sender.example} pool = q }", "policies = a client-dane = observe", 'o', OWNER "S", { TLS, TAKEN("verified") } },
	{ "the policy's size", "policy a { verdicts = {none} max-size = 1k }", "policies = a client-dane = observe", '-', "", { TLS, "B up", "P ~ none", "B: 220 farm", "P ~ EHLO", "B: 250-farm", "B: 250 SIZE 5000",
		"S: 250-mx.example", "S: 250 SIZE 1024", "C: MAIL FROM:<a@b> SIZE=1025", "S: 552 5.3.4 Message size exceeds the limit", "end client_closed" } },
};

static void test_scripts(void **state)
{
	const char *only = getenv("ONLY");

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct world w;

		if (only && !strstr(scripts[i].name, only))
			continue;
		set_up(&w, &scripts[i]);
		for (int l = 0; scripts[i].lines[l]; l++)
			do_line(&w, scripts[i].lines[l]);
		tear_down(&w);
	}
}

/* A policy's pool and its bound on sessions, over two sessions at a time. */
static void test_policy_sessions(void **state)
{
	static const struct script s = { "sessions", "policy a { verdicts = {none} sessions = 1 pool = q }", "policies = a client-dane = observe", '-', "", { NULL } };
	static const char *const open[] = { TLS, "B up", "P ~ none", "B: 220 farm", "P ~ EHLO", "B: 250 farm", "S: 250 mx.example", NULL };
	struct in6_addr farm;
	struct world w;

	set_up(&w, &s);
	net_parse_ip("10.0.0.6", &farm);
	for (int i = 0; open[i]; i++)
		do_line(&w, open[i]);
	assert_memory_equal(&w.backend->to.ip, &farm, sizeof(farm));
	assert_int_equal(w.policy_sessions[0], 1);
	struct fake_peer *first = w.client;

	come(&w);
	do_line(&w, GREET);
	do_line(&w, "tls");
	do_line(&w, HELLO);
	do_line(&w, "S: 421 4.7.0 mx.example Too many connections, try again later");
	assert_int_equal(w.stats.end[END_policy_full], 1);
	assert_int_equal(w.policy_sessions[0], 1);
	fake_fin(w.client);
	fake_fin(first);
	fake_fin(w.backend);
	pass_time(&w, 2100);
	assert_int_equal(w.policy_sessions[0], 0);
	tear_down(&w);
}

static void record_of(const struct made *m, uint8_t out[35])
{
	uint8_t digest[4096];

	assert_int_equal(made_association(m, 1, 1, digest), 32);
	memcpy(out, (uint8_t[]){ 3, 1, 1 }, 3);
	memcpy(out + 3, digest, 32);
}

static int set_up_all(void **state)
{
	char err[300];

	server_made = made_new(&(struct made_spec){ .dns = "mx.example" });
	client_made = made_new(&(struct made_spec){ .dns = "mail.sender.example alt.sender.example" });
	other_made = made_new(&(struct made_spec){ .dns = "mail.sender.example" });
	record_of(client_made, own_record);
	record_of(other_made, other_record);
	struct tls_identity id = made_identity(server_made, "mx");
	struct tls_server_settings set = { .identities = &id, .identity_count = 1, .min_version = 12 };

	return tls_server_new(&set, &server, err, sizeof(err));
}

static int tear_down_all(void **state)
{
	tls_server_unref(server);
	made_free(server_made);
	made_free(client_made);
	made_free(other_made);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_scripts), cmocka_unit_test(test_policy_sessions) };

	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
