/* SPDX-License-Identifier: BSD-2-Clause */
/* danelaw.conf: good files and the fields they become, bad files and every word of what is said about them. */
#define _GNU_SOURCE
#include "userspace/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- reading ---- */

static char *said;
static size_t said_len;
static FILE *said_file;

static void hear(void *ctx, const char *text)
{
	assert_ptr_equal(ctx, &said);
	fprintf(said_file, "%s\n", text);
}

static void listen_up(void)
{
	free(said);
	said_file = open_memstream(&said, &said_len);
}

static struct config *read_bytes(const void *text, size_t len, const char *name)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, len, "r");
	struct config *c;

	assert_non_null(in);
	listen_up();
	c = config_read(in, name, hear, &said);
	fclose(said_file);
	fclose(in);
	return c;
}

static struct config *read_text(const char *text)
{
	return read_bytes(text, strlen(text), "t.conf");
}

static int forget(void **state)
{
	free(said);
	said = NULL;
	return 0;
}

/* ---- a configuration as text, one field a word ---- */

static void dump_names(FILE *out, const char *what, char *const *names, size_t n)
{
	size_t i;

	fprintf(out, " %s=", what);
	for (i = 0; i < n; i++)
		fprintf(out, "%s%s", i ? "," : "", names[i]);
}

static void dump_listener(FILE *out, const struct config *c, const struct config_listener *l)
{
	char buf[NET_TEXT_MAX];
	size_t i;

	fprintf(out, "listener %s@%d hostname=%s address=", l->name, l->line, l->hostname);
	for (i = 0; i < l->address_count; i++)
		fprintf(out, "%s%s", i ? "," : "", net_ip_text(&l->addresses[i], buf));
	fprintf(out, " port=%u certificates=", l->port);
	for (i = 0; i < l->certificate_count; i++)
		fprintf(out, "%s%s", i ? "," : "", c->certificates[l->certificates[i]].name);
	fprintf(out, " pool=%s require-tls=%d proxy=%d proxy-from=", c->pools[l->pool].name, l->require_tls, l->proxy);
	for (i = 0; i < l->proxy_from_count; i++)
		fprintf(out, "%s%s/%u", i ? "," : "", net_ip_text(&l->proxy_from[i].ip, buf), l->proxy_from[i].len);
	fprintf(out, " greet-delay=%u newline=%d max-size=%llu\n", l->greet_delay_ms, l->newline,
		(unsigned long long)l->max_size);
}

static void dump_policy(FILE *out, const struct config *c, const struct config_policy *p)
{
	char buf[NET_TEXT_MAX];

	fprintf(out, "policy %s@%d networks=", p->name, p->line);
	for (size_t i = 0; i < p->network_count; i++)
		fprintf(out, "%s%s/%u", i ? "," : "", net_ip_text(&p->networks[i].ip, buf), p->networks[i].len);
	dump_names(out, "names", p->names, p->name_count);
	fprintf(out, " verdicts=%x client-dane=%d relay=%d pool=%s sessions=%u max-size=%llu lane=%u/%u/%u\n", p->verdict_bits,
		p->client_dane, p->relay, p->pool_count ? c->pools[p->pool[0]].name : "-", p->sessions,
		(unsigned long long)p->max_size, p->lane_ms, p->lane_after, p->lane_days);
}

static void dump(FILE *out, const struct config *c)
{
	const struct config_timeouts *t = &c->timeouts;
	size_t i, j;

	fprintf(out, "top hostname=%s user=%s state-dir=%s run-dir=%s workers=%u io=%d log-level=%d metrics=%s\n", c->hostname,
		c->user, c->state_dir, c->run_dir, c->workers, c->io, c->log_level, c->metrics_listen ? c->metrics_listen : "-");
	fprintf(out, "front mode=%d steer=%d spread=%d/%u", c->front.mode, c->front.steer, c->front.spread, c->front.spread_queue);
	dump_names(out, "interfaces", c->front.interfaces, c->front.interface_count);
	dump_names(out, "deny", c->front.deny_files, c->front.deny_file_count);
	fprintf(out, "\nfront limits attach=%d list=%u verified=%u source=%u/%u factors=%u,%u flood=%u-%u,%u sessions=%u", c->front.attach, c->front.list_entries,
		c->front.verified_entries, c->front.source_rate, c->front.source_burst, c->front.factor56, c->front.factor48,
		c->front.flood_enter, c->front.flood_leave, c->front.flood_hold_ms, c->limits.source_sessions);
	dump_names(out, "allow", c->front.allow_files, c->front.allow_file_count);
	fprintf(out, "\ntls min-version=%d ticket-secret=%s ciphers=%s ciphersuites=%s groups=%s\n", c->tls.min_version,
		c->tls.ticket_secret_file ? c->tls.ticket_secret_file : "-", c->tls.ciphers ? c->tls.ciphers : "-",
		c->tls.ciphersuites ? c->tls.ciphersuites : "-", c->tls.groups ? c->tls.groups : "-");
	fprintf(out, "limits sessions=%u handshakes=%u errors=%u pipelined=%u relay-buffer=%zu\n", c->limits.sessions,
		c->limits.handshakes, c->limits.errors, c->limits.pipelined, c->limits.relay_buffer);
	fprintf(out, "timeouts proxy-header=%u command=%u handshake=%u body-block=%u body-min-rate=%u client-write=%u linger=%u"
		" backend-connect=%u backend-banner=%u backend-reply=%u backend-final=%u route=%u drain=%u\n",
		t->proxy_header, t->command, t->handshake, t->body_block, t->body_min_rate, t->client_write, t->linger,
		t->backend_connect, t->backend_banner, t->backend_reply, t->backend_final, t->route, t->drain);
	fprintf(out, "health interval=%u timeout=%u rise=%u fall=%u\n", c->health.interval_ms, c->health.timeout_ms,
		c->health.rise, c->health.fall);
	for (i = 0; i < c->certificate_count; i++)
		fprintf(out, "certificate %s@%s:%d chain=%s key=%s\n", c->certificates[i].name, c->certificates[i].file,
			c->certificates[i].line, c->certificates[i].chain_file, c->certificates[i].key_file);
	for (i = 0; i < c->backend_count; i++)
		fprintf(out, "backend %s@%d host=%s port=%u weight=%u client-address=%d proxy-budget=%zu\n", c->backends[i].name,
			c->backends[i].line, c->backends[i].host, c->backends[i].port, c->backends[i].weight,
			c->backends[i].client_address, c->backends[i].proxy_budget);
	for (i = 0; i < c->pool_count; i++) {
		fprintf(out, "pool %s@%d balance=%d backends=", c->pools[i].name, c->pools[i].line, c->pools[i].balance);
		for (j = 0; j < c->pools[i].backend_count; j++)
			fprintf(out, "%s%s", j ? "," : "", c->backends[c->pools[i].backends[j]].name);
		fputc('\n', out);
	}
	for (i = 0; i < c->policy_count; i++)
		dump_policy(out, c, &c->policies[i]);
	for (i = 0; i < c->listener_count; i++) {
		dump_listener(out, c, &c->listeners[i]);
		fprintf(out, "client %s dane=%d policies=", c->listeners[i].name, c->listeners[i].client_dane);
		for (j = 0; j < c->listeners[i].policy_count; j++)
			fprintf(out, "%s%s", j ? "," : "", c->policies[c->listeners[i].policies[j]].name);
		fputc('\n', out);
	}
	fprintf(out, "judging judgements=%u cache=%u verdict=%u extension=%u\n", c->limits.client_judgements, c->limits.client_cache,
		t->client_verdict, c->tls.client_id_extension);
}

static char *dumped(const struct config *c)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	dump(out, c);
	fclose(out);
	return text;
}

/* ---- good files ---- */

#define LEAST                                      \
	"hostname = mx1.example.net\n"             \
	"backend a { address = 10.0.0.5 }\n"       \
	"pool p { backends = a }\n"                \
	"listener l { pool = p }\n"

static const struct {
	const char *text;
	const char *fields[14]; /* lines of the dump, or their beginnings */
} good[] = {
	/* every default */
	{ LEAST,
	  { "top hostname=mx1.example.net user=danelaw state-dir=/var/lib/danelaw run-dir=/run/danelaw workers=0 io=0 log-level=2 metrics=-\n",
	    "front mode=2 steer=1 spread=0/2048 interfaces= deny=\n",
	    "front limits attach=0 list=262144 verified=65536 source=0/60 factors=4,16 flood=20000-0,10000 sessions=0 allow=\n",
	    "tls min-version=12 ticket-secret=- ciphers=- ciphersuites=- groups=-\n",
	    "limits sessions=10000 handshakes=1000 errors=20 pipelined=50 relay-buffer=262144\n",
	    "timeouts proxy-header=5000 command=300000 handshake=30000 body-block=180000 body-min-rate=100 client-write=180000 linger=2000"
	    " backend-connect=5000 backend-banner=60000 backend-reply=300000 backend-final=600000 route=30000 drain=600000\n",
	    "health interval=5000 timeout=10000 rise=2 fall=3\n",
	    "backend a@2 host=10.0.0.5 port=25 weight=1 client-address=0 proxy-budget=232\n",
	    "pool p@3 balance=0 backends=a\n",
	    "listener l@4 hostname=mx1.example.net address=:: port=25 certificates= pool=p require-tls=0 proxy=0 proxy-from="
	    " greet-delay=0 newline=0 max-size=0\n" } },
	/* everything set, in every way of writing */
	{ "/* a comment\n  of two lines */ hostname = 'mx1.example.net' # and one\n"
	  "user = \"\"\nstate-dir = /s\nrun-dir = \"/r\" workers = 8 io = epoll log-level = debug // and one\n"
	  "metrics = \"[::1]:9325\"\n"
	  "front {\n\tinterfaces = {\"eth0\", eth1}\n\tmode = generic-allowed deny = {\"/etc/drop # no comment.txt\"}\n\tsteer = no spread = off spread-queue = 16384\n"
	  "allow = {/a, /b} attach = libxdp list-entries = 1000000 verified-entries = 1000 source-rate = 600 source-burst = 1 factor-56 = 0 factor-48 = 65536\n"
	  "flood-enter = 7 flood-leave = 7 flood-hold = 1m }\nlimits { source-sessions = 30 }\n"
	  "tls { min-version = 1.3 ticket-secret = \"/etc/secret\" ciphers = \"A:B\" ciphersuites = C groups = 'X25519:P-256' }\n"
	  "limits { sessions = 20000 handshakes = 5 errors = 3 pipelined = 100 relay-buffer = 1M }\n"
	  "timeouts { proxy-header = 300ms command = 2m handshake = 1m body-block = 1h body-min-rate = 1k client-write = 90s linger = 0\n"
	  " backend-connect = 1s backend-banner = 2s backend-reply = 3s backend-final = 2h route = 4s drain = 24h }\n"
	  "health { interval = 60s timeout = 1s rise = 1 fall = 9 }\n"
	  "certificate \"mx1\" { chain = \"/c\" key = \"/k\" } certificate \"wild.card_2\"\n{ chain = /c2 key = /k2 }\n"
	  "backend \"a\" { address = \"mx-a.example.net:2525\" weight = 256 client-address = xclient }\n"
	  "backend \"b\" { address = \"[2001:db8::5]:26\" client-address = none proxy-budget = 536 }\n"
	  "pool \"p\" { backends = {\"b\",\n\"a\"} balance = client-hash }\n"
	  "listener \"l\" { hostname = other.example.net address = {192.0.2.25, \"2001:db8::25\"} port = 2525\n"
	  " certificates = {\"wild.card_2\", \"mx1\"} pool = \"p\" require-tls = yes proxy = required proxy-from = {10.0.0.0/8}\n"
	  " proxy-from += {\"2001:db8::/32\"} greet-delay = 6s newline = normalize max-size = 50m }\n",
	  { "top hostname=mx1.example.net user= state-dir=/s run-dir=/r workers=8 io=2 log-level=3 metrics=[::1]:9325\n",
	    "front mode=1 steer=0 spread=0/16384 interfaces=eth0,eth1 deny=/etc/drop # no comment.txt\n",
	    "front limits attach=1 list=1000000 verified=1000 source=600/1 factors=0,65536 flood=7-7,60000 sessions=30 allow=/a,/b\n",
	    "tls min-version=13 ticket-secret=/etc/secret ciphers=A:B ciphersuites=C groups=X25519:P-256\n",
	    "limits sessions=20000 handshakes=5 errors=3 pipelined=100 relay-buffer=1048576\n",
	    "timeouts proxy-header=300 command=120000 handshake=60000 body-block=3600000 body-min-rate=1024 client-write=90000 linger=0"
	    " backend-connect=1000 backend-banner=2000 backend-reply=3000 backend-final=7200000 route=4000 drain=86400000\n",
	    "health interval=60000 timeout=1000 rise=1 fall=9\n",
	    "certificate mx1@t.conf:19 chain=/c key=/k\n", "certificate wild.card_2@t.conf:20 chain=/c2 key=/k2\n",
	    "backend a@21 host=mx-a.example.net port=2525 weight=256 client-address=2 proxy-budget=232\n",
	    "backend b@22 host=2001:db8::5 port=26 weight=1 client-address=3 proxy-budget=536\n",
	    "pool p@23 balance=1 backends=b,a\n",
	    "listener l@25 hostname=other.example.net address=192.0.2.25,2001:db8::25 port=2525 certificates=wild.card_2,mx1 pool=p"
	    " require-tls=1 proxy=1 proxy-from=10.0.0.0/104,2001:db8::/32 greet-delay=6000 newline=1 max-size=52428800\n" } },
	/* policies, every default and everything set */
	{ "hostname = a.b\nbackend a { address = 10.0.0.5 }\npool p { backends = a }\npool q { backends = a }\ncertificate c { chain = /c key = /k }\n"
	  "policy one { }\npolicy two { networks = {10.0.0.0/8, \"2001:db8::/32\"} names = {Mail.A.Example., .B.example} verdicts = {verified, mismatch}\n"
	  " client-dane = require relay = splice pool = q sessions = 5 max-size = 1k lane = 2d lane-after = 9 lane-days = 3 }\n"
	  "listener l { pool = p certificates = c client-dane = enforce policies = {two, one} }\n"
	  "tls { client-id-extension = 65486 } limits { client-judgements = 7 client-cache = 0 } timeouts { client-verdict = 2s }",
	  { "policy one@6 networks= names= verdicts=0 client-dane=4 relay=0 pool=- sessions=0 max-size=0 lane=0/0/0\n",
	    "policy two@7 networks=10.0.0.0/104,2001:db8::/32 names=mail.a.example,.b.example verdicts=12 client-dane=3 relay=1 pool=q sessions=5"
	    " max-size=1024 lane=172800000/9/3\n", "client l dane=2 policies=two,one\n", "judging judgements=7 cache=0 verdict=2000 extension=65486\n" } },
	{ LEAST "front { interfaces = eth0 spread = cpumap spread-queue = 64 }",
	  { "front mode=0 steer=1 spread=1/64 interfaces=eth0 deny=\n" } },
	{ LEAST, { "client l dane=0 policies=\n", "judging judgements=250 cache=4096 verdict=10000 extension=0\n" } },
	/* sections in any order, lines that end in CRLF, a byte order mark */
	{ "\xef\xbb\xbf" "listener l { pool = p }\r\npool p { backends = a }\r\nbackend a { address = 10.0.0.5 }\r\n"
	  "limits { sessions = 5 }\r\nlimits { errors = 6 }\r\nhostname = mx1.example.net",
	  { "limits sessions=5 handshakes=1000 errors=6", "listener l@1 ", "pool p@2 ", "backend a@3 " } },
	/* an interface, and a front switched off in spite of one; xclient's neighbours */
	{ LEAST "front { interfaces = eth0 }\nbackend v1 { address = h client-address = proxy-v1 }", { "front mode=0 steer=1 spread=0/2048 interfaces=eth0 deny=\n",
	  "backend v1@6 host=h port=25 weight=1 client-address=1" } },
	{ LEAST "front { interfaces = eth0 mode = off }\nio = uring log-level = error", { "front mode=2 ", "top hostname=mx1.example.net user=danelaw "
	  "state-dir=/var/lib/danelaw run-dir=/run/danelaw workers=0 io=1 log-level=0" } },
	/* the same address on two ports, and two addresses on one */
	{ LEAST "listener m { address = {192.0.2.1, 192.0.2.2} port = 26 pool = p newline = pass }\nlistener n { address = 192.0.2.1 port = 27 pool = p }",
	  { "listener m@5 hostname=mx1.example.net address=192.0.2.1,192.0.2.2 port=26 certificates= pool=p require-tls=0 proxy=0 proxy-from="
	    " greet-delay=0 newline=2 ", "listener n@6 " } },
	/* the environment, and what stands in for it */
	{ LEAST "state-dir = \"/x/${DANELAW_TEST_NONE:-y}/\\${z}\"", { "top hostname=mx1.example.net user=danelaw state-dir=/x/y/${z} " } },
};

static void good_files(void **state)
{
	size_t i, j;

	for (i = 0; i < COUNT(good); i++) {
		struct config *c;
		char *text;

		c = read_text(good[i].text);
		assert_string_equal(said, "");
		assert_non_null(c);
		text = dumped(c);
		for (j = 0; j < COUNT(good[i].fields) && good[i].fields[j]; j++) {
			if (!strstr(text, good[i].fields[j]))
				fail_msg("row %zu: no \"%s\" in:\n%s", i, good[i].fields[j], text);
		}
		free(text);
		config_free(c);
	}
}

/* ---- bad files ---- */

static const struct {
	const char *text, *complaints;
} bad[] = {
	{ "", "t.conf: hostname is missing\n"
	      "t.conf: no listener is defined, so there is nothing to serve: listener \"NAME\" { … }\n" },
	/* values */
	{ LEAST "workers = many", "t.conf:5: workers = \"many\" is not a number from 0 to 1024\n" },
	{ LEAST "workers = 1025", "t.conf:5: workers = \"1025\" is not a number from 0 to 1024\n" },
	{ LEAST "workers = -1", "t.conf:5: workers = \"-1\" is not a number from 0 to 1024\n" },
	{ LEAST "workers = 99999999999999999999", "t.conf:5: workers = \"99999999999999999999\" is not a number from 0 to 1024\n" },
	{ LEAST "limits { errors = 0 }", "t.conf:5: limits: errors = \"0\" is not a number from 1 to 1000\n" },
	{ LEAST "io = urng", "t.conf:5: io = \"urng\" is not one of: auto, uring, epoll. Did you mean \"uring\"?\n" },
	{ LEAST "io = kqueue", "t.conf:5: io = \"kqueue\" is not one of: auto, uring, epoll\n" },
	{ LEAST "metrics = 9325", "t.conf:5: metrics = \"9325\" is not ADDRESS:PORT, like 127.0.0.1:9325 or [::1]:9325\n" },
	{ LEAST "state-dir = lib", "t.conf:5: state-dir = \"lib\" is not an absolute path: begin it with /\n" },
	{ LEAST "limits { relay-buffer = 1k }", "t.conf:5: limits: relay-buffer = \"1k\" is not a size from 16k to 64m (bytes, or with k, m, g: 64k)\n" },
	{ LEAST "limits { relay-buffer = 99999999999999999g }",
	  "t.conf:5: limits: relay-buffer = \"99999999999999999g\" is not a size from 16k to 64m (bytes, or with k, m, g: 64k)\n" },
	{ LEAST "timeouts { command = 5 }", "t.conf:5: timeouts: command = \"5\" is not a time from 100ms to 1h (with ms, s, m, h or d: 300ms, 20s)\n" },
	{ LEAST "timeouts { linger = 2x }", "t.conf:5: timeouts: linger = \"2x\" is not a time from 0 to 1m (with ms, s, m, h or d: 300ms, 20s)\n" },
	{ LEAST "front { steer = on }", "t.conf:5: front: steer = \"on\" is neither yes nor no\n" },
	{ LEAST "front { interfaces = sixteen-letters. }", "t.conf:5: front: interfaces = \"sixteen-letters.\" is not a name of 1 to 15 bytes\n" },
	{ LEAST "tls { groups = \"\" }", "t.conf:5: tls: groups = \"\" is empty\n" },
	{ LEAST "policy x { names = {\"a b\", \"..c\"} verdicts = {verifed, mismatch} }", "t.conf:5: policy \"x\": names: a b is no host name, and not \".\" and one\n"
		"t.conf:5: policy \"x\": names: ..c is no host name, and not \".\" and one\n"
		"t.conf:5: policy \"x\": verdicts: verifed is not one of: verified, none, insecure, mismatch, lookup_failed. Did you mean \"verified\"?\n"
		"t.conf:5: policy \"x\": names are those of verified clients: verdicts must have verified in it\n" },
	{ LEAST "policy x { lane = 1h pool = {p, q} }\npool q { backends = a }\npolicy y { lane-after = 3 lane-days = 4 }",
	  "t.conf:5: policy \"x\": pool takes one value\n"
	  "t.conf:5: policy \"x\": lane needs names, or lane-after: anyone can sign a zone of his own\n"
	  "t.conf:7: policy \"y\": lane-after is set, but lane is not: how long is it?\n"
	  "t.conf:7: policy \"y\": lane-days = 4 needs lane-after of at least as many sessions\n" },
	{ LEAST "policy x { client-dane = observe }\npolicy y { client-dane = off }\nlistener m { pool = p port = 26 client-dane = require policies = {x, y} }",
	  "t.conf:7: listener \"m\": client-dane needs certificates: a client shows its own in TLS\n"
	  "t.conf:7: listener \"m\": policy \"x\" with client-dane needs certificates here\n" },
	{ LEAST "policy x { client-dane = on }", "t.conf:5: policy \"x\": client-dane = \"on\" is not one of: off, observe, enforce, require, listener\n" },
	{ LEAST "backend b { address = \"a b\" }", "t.conf:5: backend \"b\": address = \"a b\" is not HOST:PORT or ADDRESS:PORT, like"
		" mx-a.example.net:25, 10.0.0.5:25 or [2001:db8::5]:25\n" },
	{ LEAST "listener m { address = 192.0.2.1:25 port = 26 pool = p }", "t.conf:5: listener \"m\": address = \"192.0.2.1:25\" is not an address,"
		" like 192.0.2.25 or 2001:db8::25 (its port stands by itself: port = 25)\n" },
	{ LEAST "listener m { port = 26 pool = p proxy = required proxy-from = {10.0.0.0/8, 10.0.0.1/8} }", "t.conf:5: listener \"m\": proxy-from = \"10.0.0.1/8\""
		" is not a network, like 10.0.0.0/8 or 2001:db8::/32 (no bits set behind the prefix)\n" },
	{ LEAST "listener m { port = 26 pool = p hostname = 192.0.2.1 }", "t.conf:5: listener \"m\": hostname = \"192.0.2.1\" is an address;"
		" a host name is needed, like mx1.example.net\n" },
	{ LEAST "listener m { port = 26 pool = p hostname = mx1..net }", "t.conf:5: listener \"m\": hostname = \"mx1..net\""
		" is not a host name like mx1.example.net (letters, digits and -, no dot at the end)\n" },
	{ LEAST "workers = \"\xc3\xa9${DANELAW_TEST_VALUE}\"", "t.conf:5: workers = \"\xc3\xa9" "a?b\" is not a number from 0 to 1024\n" },
	/* names */
	{ LEAST "wrokers = 4", "t.conf:5: unknown setting \"wrokers\". Did you mean \"workers\"?\n" },
	{ LEAST "zzz = 4", "t.conf:5: unknown setting \"zzz\"\n" },
	{ LEAST "zzz = {4, 5}\nwrokers = 1 workers = x\nlimits { zzz = 1 }",
	  "t.conf:5: unknown setting \"zzz\"\nt.conf:6: unknown setting \"wrokers\". Did you mean \"workers\"?\n"
	  "t.conf:6: workers = \"x\" is not a number from 0 to 1024\nt.conf:7: limits: unknown setting \"zzz\"\n" },
	{ LEAST "port = 25", "t.conf:5: port is not a setting of this place but of a listener section\n" },
	{ LEAST "limits { workers = 25 }", "t.conf:5: limits: workers is not a setting of this place but of the top of the file\n" },
	{ LEAST "listner m { prot = 3 }\nlimit { sessions = x }",
	  "t.conf:5: unknown section \"listner\". Did you mean \"listener\"?\nt.conf:5: unknown setting \"prot\". Did you mean \"port\"?\n"
	  "t.conf:6: unknown section \"limit\". Did you mean \"limits\"?\n" },
	{ LEAST "server { }\nworkers = x", "t.conf:5: unknown section \"server\"\n" },
	{ LEAST "workers = 1\nworkers = 2", "t.conf:6: workers is set twice, first at t.conf:5\n" },
	{ LEAST "workers = {1, 2}", "t.conf:5: workers takes one value\n" },
	{ LEAST "front { interfaces = a interfaces = b }", "t.conf:5: front: interfaces is set twice, first at t.conf:5\n" },
	{ LEAST "backend a { address = h }", "t.conf:5: backend \"a\": defined twice, first at t.conf:2\n" },
	{ LEAST "backend \"a b\" { address = h }", "t.conf:5: backend \"a b\": \"a b\" is no name for a backend (1 to 63 letters, digits and . _ -)\n" },
	{ LEAST "\" begin\" = x", "t.conf:5: unknown setting \" begin\"\n" },
	{ LEAST "\"limits|sessions\" = 5", "t.conf:5: sessions is not a setting of this place but of a limits section\n" },
	{ LEAST "\"foo|bar\" = 5", "t.conf:5: unknown setting \"foo\"\n" },
	/* what the whole shows */
	{ "hostname = a.b listener l { }\npool p { }\nbackend b { }\ncertificate c { chain = /c }",
	  "t.conf:1: listener \"l\": pool is missing\nt.conf:2: pool \"p\": backends is missing\nt.conf:3: backend \"b\": address is missing\n"
	  "t.conf:4: certificate \"c\": key is missing\n" },
	{ LEAST "certificate mx1 { chain = /c key = /k }\ncertificate wild { chain = /c key = /k }\nlistener m { port = 26\npool = p certificates = mx2 }",
	  "t.conf:8: listener \"m\": certificate \"mx2\" is not defined (defined: mx1, wild). Did you mean \"mx1\"?\n" },
	{ LEAST "listener m { port = 26 pool = p certificates = mx }", "t.conf:5: listener \"m\": certificate \"mx\" is not defined (none is)\n" },
	/* a slip in a section's name is not told again by those that refer to it */
	{ LEAST "certficate c { chain = /c key = /k }\nlistener m { port = 26 pool = p certificates = c }",
	  "t.conf:5: unknown section \"certficate\". Did you mean \"certificate\"?\n" },
	/* in the order of the file, though the second is seen first */
	{ LEAST "pool q { backends = b }\nworkers = x",
	  "t.conf:5: pool \"q\": backend \"b\" is not defined (defined: a)\nt.conf:6: workers = \"x\" is not a number from 0 to 1024\n" },
	{ LEAST "pool q { backends = {a, a} }", "t.conf:5: pool \"q\": backends names \"a\" twice\n" },
	{ LEAST "listener m { pool = p }", "t.conf:5: listener \"m\": address :: port 25 overlaps address :: of listener \"l\" (t.conf:4)\n" },
	{ LEAST "listener m { pool = p address = 192.0.2.1 }", "t.conf:5: listener \"m\": address 192.0.2.1 port 25 overlaps address :: of listener \"l\" (t.conf:4)\n" },
	{ LEAST "listener m { pool = p port = 26 address = {192.0.2.1, 0.0.0.0} }", "t.conf:5: listener \"m\": address 0.0.0.0 and address 192.0.2.1 overlap\n" },
	{ LEAST "listener m { pool = p port = 26 address = {::1, ::2, ::1} }", "t.conf:5: listener \"m\": address ::1 stands twice\n" },
	{ LEAST "listener m { pool = p port = 26 address = 10.0.0.9 }\nbackend b { address = 10.0.0.9:26 }",
	  "t.conf:6: backend \"b\": 10.0.0.9 port 26 is listener \"m\" itself\n" },
	{ LEAST "listener m { pool = p port = 26 proxy = required }",
	  "t.conf:5: listener \"m\": proxy = required needs proxy-from: the networks that may send PROXY headers\n" },
	{ LEAST "listener m { pool = p port = 26 proxy-from = 10.0.0.0/8 }",
	  "t.conf:5: listener \"m\": proxy-from is set, but proxy = forbidden: did you mean proxy = required?\n" },
	{ LEAST "listener m { pool = p port = 26 require-tls = yes }", "t.conf:5: listener \"m\": require-tls = yes needs certificates\n" },
	{ LEAST "front {\nmode = native\ndeny = /d }", "t.conf:6: front: mode needs interfaces: {\"eth0\"}, or mode = off\n"
						     "t.conf:7: front: deny needs interfaces: {\"eth0\"}, or mode = off\n" },
	{ LEAST "front {\nallow = /d }", "t.conf:6: front: allow needs interfaces: {\"eth0\"}, or mode = off\n" },
	{ LEAST "front {\ninterfaces = a\nflood-enter = 100\nflood-leave = 101 }",
	  "t.conf:8: front: flood-leave = 101 is above flood-enter = 100: a flood would end while it begins\n" },
	{ LEAST "front {\ninterfaces = a\nspread = cpumap\nsteer = no }",
	  "t.conf:8: front: spread = cpumap needs steer = yes: the CPUs are those of the workers that connections are steered to\n" },
	{ LEAST "front {\nspread = cpumap }", "t.conf:6: front: spread needs interfaces: {\"eth0\"}, or mode = off\n" },
	{ LEAST "front {\ninterfaces = a\nspread = cpu }", "t.conf:7: front: spread = \"cpu\" is not one of: off, cpumap\n" },
	{ LEAST "front {\ninterfaces = a\nspread = cpumap\nspread-queue = 63 }",
	  "t.conf:8: front: spread-queue = \"63\" is not a number from 64 to 16384\n" },
	{ LEAST "front {\ninterfaces = a\ndecap-from = 10.0.0.1 }",
	  "t.conf:7: front: decap-from = {\"BALANCER\"} and decap-to = {\"ADDRESS\"} go together\n" },
	{ LEAST "front {\ninterfaces = a\ndecap-to = 10.0.0.1 decap-gue-port = 6080 }",
	  "t.conf:7: front: decap-from = {\"BALANCER\"} and decap-to = {\"ADDRESS\"} go together\n"
	  "t.conf:7: front: decap-gue-port needs decap-from and decap-to\n" },
	{ LEAST "front {\ninterfaces = a\ndecap-from = 10.0.0.0/8\ndecap-to = {10.0.0.25, 0.0.0.0} }",
	  "t.conf:8: front: decap-to takes addresses, not \"every address\"\n" },
	{ LEAST "front {\ndecap-from = 10.0.0.1\ndecap-to = 10.0.0.25 }",
	  "t.conf:6: front: decap-from needs interfaces: {\"eth0\"}, or mode = off\n"
	  "t.conf:7: front: decap-to needs interfaces: {\"eth0\"}, or mode = off\n" },
	/* syntax: lines are right behind comments of every kind */
	{ "# one\n/* two\nthree */ // three\nhostname mx1.example.net", "t.conf:4: hostname: \"=\" is missing behind it\n" },
	{ "# one\n/* two\nthree */ // three\nhostname = a;", "t.conf:4: \";\" is not used here: a setting ends with its line\n" },
	{ "workers = x\nhostname = \"mx1\nlistener {", "t.conf:2: a string has no closing quote on its line\nt.conf:3: \"{\" has no closing \"}\"\n" },
	{ "workers = x\nhostname = = y", "t.conf:1: workers = \"x\" is not a number from 0 to 1024\nt.conf:2: unexpected \"=\"\n" },
	{ "listener { pool = p }", "t.conf:1: listener needs a name before its \"{\"\n" },
	{ "listener l\npool = p", "t.conf:2: listener: \"{\" is missing\n" },
	{ "limits sessions = 5", "t.conf:1: limits: \"{\" is missing\n" },
	{ "limits { sessions = 5 } }", "t.conf:1: \"}\" without a \"{\" before it\n" },
	{ "limits {\nsessions = 5", "t.conf:1: \"{\" has no closing \"}\"\n" },
	{ "limits { sessions = 5\nfront { interfaces = {a,", "t.conf:2: \"{\" three deep: is a \"}\" missing above?\n" },
	{ "limits { sessions = 5\nfront { interfaces = a } }", "t.conf:2: limits: the section front stands inside another: is a \"}\" missing above?\n" },
	{ "hostname =", "t.conf:2: the file ends in the middle of a section or a setting: is a \"}\" missing?\n" },
	{ "front { interfaces = {a b} }", "t.conf:1: front: unexpected \"b\"\n" },
	{ "hostname = a.b;\nx(y)", "t.conf:1: \";\" is not used here: a setting ends with its line\n"
		"t.conf:2: \"(\" and \")\" are not used here: NAME = VALUE, or NAME = {VALUE, VALUE}\n"
		"t.conf:2: \"(\" and \")\" are not used here: NAME = VALUE, or NAME = {VALUE, VALUE}\n" },
	{ "a = 1+2\nb = *\nc = \"\\101\"\nd = \"${X\"\n/* e", "t.conf:1: a stray \"+\": put values in quotes\nt.conf:2: a stray \"*\": put values in quotes\n"
		"t.conf:3: in a string \"\\\" may stand only before \", \\ and $\nt.conf:4: \"${\" has no closing \"}\"\nt.conf:5: \"/*\" has no closing \"*/\"\n" },
	{ "a\001b\nc = \"\t\"\rd", "t.conf:1: a control character: is this a text file?\nt.conf:2: a control character in a string\n"
		"t.conf:2: a carriage return in mid-line\n" },
};

static void bad_files(void **state)
{
	size_t i;

	setenv("DANELAW_TEST_VALUE", "a\nb", 1);
	for (i = 0; i < COUNT(bad); i++) {
		assert_null(read_text(bad[i].text));
		if (strcmp(said, bad[i].complaints) != 0)
			fail_msg("row %zu, %s\nsaid:\n%swanted:\n%s", i, bad[i].text, said, bad[i].complaints);
	}
	/* and none of them has left the lexer in a state that a good file would meet */
	good_files(state);
}

static void nul_bytes_and_size(void **state)
{
	static const char nul[] = "hostname\0 = x";
	size_t size = 17u << 20;
	char *big = malloc(size);

	assert_null(read_bytes(nul, sizeof(nul) - 1, "t.conf"));
	assert_string_equal(said, "t.conf: has NUL bytes: is this a text file?\n");
	memset(big, '\n', size);
	assert_null(read_bytes(big, size, "t.conf"));
	assert_string_equal(said, "t.conf: the configuration is larger than 16 MB\n");
	free(big);
}

static void many_faults(void **state)
{
	char *text = calloc(1, 200 * 16 + 1);
	const char *p;
	size_t i, lines = 0;

	for (i = 0; i < 200; i++)
		strcat(text, "workers = { }x;\n");
	assert_null(read_text(text));
	for (p = said; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 101);
	assert_string_equal(strstr(said, "t.conf: and"), "t.conf: and 100 faults more\n");
	free(text);
}

/* Thousands of names: references stay cheap. */
static void many_sections(void **state)
{
	char *text;
	size_t len, i;
	FILE *out = open_memstream(&text, &len);
	struct config *c;

	fputs("hostname = a.b backend b { address = h } pool p { backends = b }\n", out);
	for (i = 0; i < 3000; i++)
		fprintf(out, "certificate c%zu { chain = /c key = /k }\n", i);
	fputs("listener l { pool = p address = {", out);
	for (i = 0; i < 3000; i++)
		fprintf(out, "%s10.0.%zu.%zu", i ? "," : "", i / 250, i % 250);
	fputs("} certificates = {", out);
	for (i = 0; i < 3000; i++)
		fprintf(out, "%sc%zu", i ? "," : "", 2999 - i);
	fputs("} }\n", out);
	fclose(out);
	c = read_text(text);
	assert_string_equal(said, "");
	assert_int_equal(c->certificate_count, 3000);
	assert_int_equal(c->listeners[0].certificates[2999], 0);
	assert_int_equal(c->listeners[0].address_count, 3000);
	config_free(c);
	free(text);
}

/* ---- includes ---- */

static char dir[] = "/tmp/danelaw-config-test-XXXXXX";

static void put_file(const char *name, const char *text)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static struct config *read_file(const char *name)
{
	char path[128];
	struct config *c;
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	in = fopen(path, "r");
	assert_non_null(in);
	listen_up();
	c = config_read(in, path, hear, &said);
	fclose(said_file);
	fclose(in);
	return c;
}

/* What was said, with the folder's name taken out. */
static const char *said_here(void)
{
	char *p;

	while ((p = strstr(said, dir)))
		memmove(p, p + strlen(dir) + 1, strlen(p + strlen(dir) + 1) + 1);
	return said;
}

static int make_dir(void **state)
{
	char path[128];

	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/conf.d", dir);
	return mkdir(path, 0700);
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "conf.d/10.conf", "conf.d/20.conf", "conf.d", "main.conf", "a.conf", "fifo", "" };
	char path[128];
	size_t i;

	for (i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	return forget(state);
}

static void includes(void **state)
{
	struct config *c;
	char *text;

	put_file("main.conf", "include = {\"a.conf\", \"conf.d/*.conf\"}\n" LEAST "include = \"conf.d/none-*.conf\"");
	put_file("a.conf", "# a\n\ncertificate c1 { chain = /c key = /k }\n");
	put_file("conf.d/10.conf", "workers = 3");
	put_file("conf.d/20.conf", "\nlimits { sessions = 7 }\ninclude = x");
	assert_null(read_file("main.conf"));
	assert_string_equal(said_here(), "conf.d/20.conf:3: include: conf.d/x: No such file or directory\n");
	put_file("conf.d/20.conf", "\nlimits { sessions = 7 }");
	c = read_file("main.conf");
	assert_non_null(c);
	assert_int_equal(c->file_count, 4);
	assert_int_equal(c->workers, 3);
	text = dumped(c);
	assert_non_null(strstr(text, "/a.conf:3 chain=/c"));
	assert_non_null(strstr(text, "limits sessions=7 "));
	assert_non_null(strstr(text, "backend a@3 "));
	free(text);
	config_free(c);
}

static void bad_includes(void **state)
{
	static const struct {
		const char *main, *a, *complaints;
	} rows[] = {
		{ LEAST "include = a.conf", "workers = x\nwrokers = 1\nzzz = 1",
		  "a.conf:1: workers = \"x\" is not a number from 0 to 1024\na.conf:2: unknown setting \"wrokers\". Did you mean \"workers\"?\n"
		  "a.conf:3: unknown setting \"zzz\"\n" },
		{ LEAST "workers = 1 include = a.conf", "\nworkers = 2", "a.conf:2: workers is set twice, first at main.conf:5\n" },
		{ LEAST "include = a.conf", "include = main.conf", "a.conf:1: include: main.conf: is read already: each file is included once\n" },
		{ LEAST "include = fifo", "", "main.conf:5: include: fifo: not a regular file\n" },
		{ LEAST "include = conf.d", "", "main.conf:5: include: conf.d: not a regular file\n" },
		{ LEAST "include = \"c*/x.conf\"", "", "main.conf:5: include = \"c*/x.conf\": *, ? and [] may stand only in the last part\n" },
		{ LEAST "include = \"\"", "", "main.conf:5: include = \"\" is not the path of a file\n" },
		{ LEAST "include = a.conf", "limits {", "a.conf:1: \"{\" has no closing \"}\"\n" },
		{ LEAST "include = a.conf\nfoo", "limits", "main.conf:7: the file ends in the middle of a section or a setting: is a \"}\" missing?\n"
		  "a.conf:2: the file ends in the middle of a section or a setting: is a \"}\" missing?\n" },
	};
	char path[128];
	size_t i;

	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	for (i = 0; i < COUNT(rows); i++) {
		put_file("main.conf", rows[i].main);
		put_file("a.conf", rows[i].a);
		assert_null(read_file("main.conf"));
		if (strcmp(said_here(), rows[i].complaints) != 0)
			fail_msg("row %zu said:\n%swanted:\n%s", i, said, rows[i].complaints);
	}
}

/* ---- flags ---- */

static struct config *from_flags(const char *hostname, char *const *backends, size_t n, const char *interface, const char *listen)
{
	struct config *c;

	listen_up();
	c = config_from_flags(hostname, backends, n, interface, listen, hear, &said);
	fclose(said_file);
	return c;
}

static void flags(void **state)
{
	char first[] = "10.0.0.5:25", second[] = "[2001:db8::5]", bad_port[] = "10.0.0.5:x", bad_name[] = "a\"b";
	char *two[] = { first, second }, *wrong[] = { bad_port, bad_name };
	struct config *c;
	char *text;

	c = from_flags("mx1.example.net", two, 2, "eth0", NULL);
	assert_string_equal(said, "");
	text = dumped(c);
	assert_non_null(strstr(text, "front mode=0 steer=1 spread=0/2048 interfaces=eth0 "));
	assert_non_null(strstr(text, " chain=/var/lib/danelaw/self.crt key=/var/lib/danelaw/self.key\n"));
	assert_non_null(strstr(text, " host=2001:db8::5 port=25 "));
	assert_non_null(strstr(text, " hostname=mx1.example.net address=:: port=25 certificates=self pool=backends "));
	assert_null(c->file);
	assert_true(strcmp(c->user, "danelaw") == 0 || strcmp(c->user, "nobody") == 0);
	free(text);
	config_free(c);

	c = from_flags("mx1.example.net", two, 1, NULL, "127.0.0.1:2525");
	text = dumped(c);
	assert_non_null(strstr(text, "front mode=2 steer=0 spread=0/2048 interfaces= "));
	assert_non_null(strstr(text, " address=127.0.0.1 port=2525 "));
	free(text);
	config_free(c);

	assert_null(from_flags(NULL, two, 1, NULL, NULL));
	assert_string_equal(said, "--hostname is missing: without a configuration file --hostname and --backend are needed\n");
	assert_null(from_flags("mx1.example.net", NULL, 0, NULL, NULL));
	assert_string_equal(said, "--backend is missing: without a configuration file --hostname and --backend are needed\n");
	assert_null(from_flags("mx1\"} x", wrong, 2, "", "smtp"));
	assert_string_equal(said,
		"--hostname mx1\"} x is not a host name like mx1.example.net (letters, digits and -, no dot at the end)\n"
		"--interface  is not a name of 1 to 15 bytes\n"
		"--backend 10.0.0.5:x is not HOST:PORT or ADDRESS:PORT, like mx-a.example.net:25, 10.0.0.5:25 or [2001:db8::5]:25\n"
		"--backend a\"b is not HOST:PORT or ADDRESS:PORT, like mx-a.example.net:25, 10.0.0.5:25 or [2001:db8::5]:25\n"
		"--listen smtp is not ADDRESS:PORT, like 192.0.2.25:25 or [::]:25\n");
	/* what a shell may hand over stays one string */
	c = from_flags("mx1.example.net", two, 1, "e\"}\\${x}", NULL);
	assert_string_equal(said, "");
	assert_string_equal(c->front.interfaces[0], "e\"}\\${x}");
	config_free(c);
}

static void resolving(void **state)
{
	struct config *c = read_text(LEAST "backend b { address = localhost:26 }\nbackend c { address = no-such-name.invalid }");
	char buf[NET_TEXT_MAX];

	listen_up();
	assert_false(config_resolve(c, hear, &said));
	fclose(said_file);
	assert_string_equal(net_addr_text(&c->backends[0].addr, buf), "10.0.0.5:25");
	assert_int_equal(c->backends[1].addr.port, 26);
	assert_int_equal(strncmp(said, "t.conf:6: backend \"c\": the address of no-such-name.invalid is not to be had: ", 76), 0);
	assert_null(strstr(said, "localhost"));
	config_free(c);
}

/* ---- the example ---- */

/* docs/danelaw.conf.example as it is, and with every setting that is commented out ("#name = value") switched on. */
static void example(void **state)
{
	FILE *in = fopen("docs/danelaw.conf.example", "r");
	char text[32768], *p;
	struct config *c;
	size_t len;

	assert_non_null(in); /* run it from the top of the source */
	len = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[len] = '\0';
	c = read_text(text);
	assert_string_equal(said, "");
	config_free(c);
	for (p = text; (p = strchr(p, '\n')); ) {
		p += 1 + strspn(p + 1, "\t");
		if (p[0] == '#' && p[1] >= 'a' && p[1] <= 'z')
			p[0] = ' ';
	}
	c = read_text(text);
	assert_string_equal(said, "");
	config_free(c);
}

#define ROW(f) cmocka_unit_test_teardown(f, forget)
#define DIR_ROW(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ROW(good_files), ROW(bad_files), ROW(nul_bytes_and_size), ROW(many_faults), ROW(many_sections),
		DIR_ROW(includes), DIR_ROW(bad_includes), ROW(flags), ROW(resolving), ROW(example),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
