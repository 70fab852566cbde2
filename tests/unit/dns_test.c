// SPDX-License-Identifier: BSD-2-Clause
/*
 * The DNS thread against a name server of a few lines on the loopback: answers by the first label of the name, counts
 * what it is asked, and can hold its answers back until the test lets them go.  Nothing here depends on how long
 * something takes: "no answer" is a server that never gives one.  Real zones and signatures: tests/lab/1*-dns-*.sh.
 */
#include "userspace/dns.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the name server ---- */

static struct {
	int fd, stop[2];
	uint16_t port;
	pthread_t thread;
	atomic_int questions; /* about names below x.example, retries included */
	atomic_bool hold;     /* read, and answer nothing yet */
	uint8_t held[16][512];
	size_t held_len[16];
	struct sockaddr_in held_from[16];
	int held_count;
	pthread_mutex_t lock;
	atomic_bool mended; /* "mend" answers at last */
	atomic_bool deaf;   /* nothing is answered */
} server;

static size_t put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return 2;
}

/* One RR owned by the question's name. */
static size_t put_rr(uint8_t *p, unsigned type, unsigned ttl, const void *rdata, size_t len)
{
	size_t n = put16(p, 0xc00c);

	n += put16(p + n, type);
	n += put16(p + n, 1);
	n += put16(p + n, 0);
	n += put16(p + n, ttl);
	n += put16(p + n, (unsigned)len);
	memcpy(p + n, rdata, len);
	return n + len;
}

static bool label_is(const uint8_t *q, const char *label)
{
	return q[12] == strlen(label) && memcmp(q + 13, label, q[12]) == 0;
}

static size_t question_end(const uint8_t *q, size_t len)
{
	size_t at = 12;

	while (at < len && q[at])
		at += q[at] + 1u;
	return at + 5;
}

/* Writes the answer over the question; 0: none, ever. */
static size_t make_answer(uint8_t *q, size_t len)
{
	static const uint8_t ip[] = { 192, 0, 2, 1 }, to[] = "\4real\1x\7example";
	size_t end = question_end(q, len);
	unsigned type = (unsigned)q[end - 4] << 8 | q[end - 3], rcode = 0, answers = 0;
	size_t n = end;

	if (server.deaf || label_is(q, "silent") || (label_is(q, "mend") && !server.mended && type == DANE_TLSA))
		return 0;
	if (label_is(q, "gone"))
		rcode = 3;
	else if (label_is(q, "broken"))
		rcode = 2;
	else if (label_is(q, "refused"))
		rcode = 5;
	else if (type == DANE_NS && label_is(q, "proof")) {
		n += put_rr(q + n, DANE_NS, 40000, to, sizeof(to));
		answers++;
	} else if (label_is(q, "alias")) {
		n += put_rr(q + n, DANE_CNAME, 60, to, sizeof(to));
		answers++;
	} else if (type == DANE_A && !label_is(q, "nodata")) {
		n += put_rr(q + n, DANE_A, label_is(q, "brief") ? 1 : label_is(q, "long") ? 40000 : 60, ip, 4);
		answers++;
	}
	q[2] = (uint8_t)((q[2] & 1) | 0x84);
	q[3] = (uint8_t)(0x80 | rcode);
	put16(q + 6, answers);
	put16(q + 8, 0);
	put16(q + 10, 0); /* no EDNS: a server of 1998 */
	return n;
}

static void answer(uint8_t *q, size_t len, const struct sockaddr_in *from)
{
	size_t n = make_answer(q, len);

	if (n)
		sendto(server.fd, q, n, 0, (const struct sockaddr *)from, sizeof(*from));
}

static bool is_ours(const uint8_t *q, size_t len)
{
	size_t end = question_end(q, len);

	return end <= len && end > 12 + 11 + 4 && memcmp(q + end - 4 - 11, "\1x\7example", 11) == 0;
}

static void serve_one(void)
{
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	uint8_t q[2048];
	ssize_t len = recvfrom(server.fd, q, 512, 0, (struct sockaddr *)&from, &from_len);

	if (len < 17)
		return;
	if (is_ours(q, (size_t)len))
		server.questions++;
	pthread_mutex_lock(&server.lock);
	if (server.hold && server.held_count < 16) {
		memcpy(server.held[server.held_count], q, (size_t)len);
		server.held_len[server.held_count] = (size_t)len;
		server.held_from[server.held_count++] = from;
		len = 0;
	}
	pthread_mutex_unlock(&server.lock);
	if (len)
		answer(q, (size_t)len, &from);
}

static void *serve(void *unused)
{
	struct pollfd fds[2] = { { .fd = server.fd, .events = POLLIN }, { .fd = server.stop[0], .events = POLLIN } };

	while (poll(fds, 2, -1) > 0 && !fds[1].revents)
		serve_one();
	return NULL;
}

static void let_go(void)
{
	uint8_t q[2048];

	pthread_mutex_lock(&server.lock);
	server.hold = false;
	for (int i = 0; i < server.held_count; i++) {
		memcpy(q, server.held[i], server.held_len[i]);
		answer(q, server.held_len[i], &server.held_from[i]);
	}
	server.held_count = 0;
	pthread_mutex_unlock(&server.lock);
}

static int server_up(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(server.fd, (struct sockaddr *)&sa, &len), 0);
	server.port = ntohs(sa.sin_port);
	assert_int_equal(pipe(server.stop), 0);
	pthread_mutex_init(&server.lock, NULL);
	return pthread_create(&server.thread, NULL, serve, NULL);
}

static int server_down(void **state)
{
	close(server.stop[1]);
	pthread_join(server.thread, NULL);
	close(server.stop[0]);
	close(server.fd);
	return 0;
}

/* ---- the asker ---- */

/* An anchor for one zone that nobody serves signed: everything below it is bogus, everything else insecure. */
#define ANCHOR "signed.example. IN DS 12345 13 2 " \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct dns *start(struct dns_settings set)
{
	static char forwarder[32];
	static const char *const forwarders[] = { forwarder };
	struct dns *d = NULL;
	char err[256] = "";

	snprintf(forwarder, sizeof(forwarder), "127.0.0.1:%u", server.port);
	set.forwarders = forwarders;
	set.forwarder_count = 1;
	set.trust_anchor_text = ANCHOR;
	if (dns_start(&set, &d, err, sizeof(err)))
		fail_msg("%s", err);
	return d;
}

struct asked {
	struct dns_query query; /* first */
	int answers;
	enum dane_answer answer;
	bool bogus, alias;
	uint32_t ttl;
	size_t count;
	char why[200], canonical[DANE_NAME_MAX];
};

static void note(struct dns_query *q, const struct dane_reply *r)
{
	struct asked *a = (struct asked *)q;

	a->answers++;
	a->answer = r->answer;
	a->bogus = r->bogus;
	a->alias = r->alias;
	a->ttl = r->ttl;
	a->count = r->count;
	snprintf(a->why, sizeof(a->why), "%s", r->why);
	snprintf(a->canonical, sizeof(a->canonical), "%s", r->canonical);
}

static void wait_one(struct dns_inbox *b, const struct asked *a)
{
	struct pollfd fd = { .fd = dns_inbox_fd(b), .events = POLLIN };

	while (!a->answers) {
		assert_int_equal(poll(&fd, 1, 60000), 1); /* far beyond every deadline */
		dns_collect(b);
	}
}

static struct asked ask_wait(struct dns_inbox *b, const char *name, uint16_t type)
{
	struct asked a = { .answers = 0 };

	dns_ask(b, &a.query, name, type, note);
	assert_non_null(a.query.waiter);
	wait_one(b, &a);
	assert_int_equal(a.answers, 1);
	assert_null(a.query.waiter);
	return a;
}

/* ---- tests ---- */

static void classification(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		enum dane_answer answer;
		bool bogus;
		const char *why, *canonical;
	} cases[] = {
		{ "a.x.example", DANE_A, DANE_INSECURE, false, "", "" },
		{ "nodata.x.example", DANE_A, DANE_DENIED_INSECURE, false, "", "" },
		{ "a.x.example", DANE_TLSA, DANE_DENIED_INSECURE, false, "", "" },
		{ "gone.x.example", DANE_A, DANE_DENIED_INSECURE, false, "", "" },
		{ "broken.x.example", DANE_A, DANE_FAILED, false, "SERVFAIL", "" },
		{ "refused.x.example", DANE_A, DANE_FAILED, false, "SERVFAIL", "" },
		{ "silent.x.example", DANE_A, DANE_FAILED, false, "no answer within 2.0 s", "" },
		{ "alias.x.example", DANE_A, DANE_INSECURE, false, "", "real.x.example" },
		{ "alias.x.example", DANE_CNAME, DANE_INSECURE, false, "", "" },
		{ "a.signed.example", DANE_A, DANE_FAILED, true, "", "" },
	};
	struct dns *d = start((struct dns_settings){ .deadline_ms = 2000 });
	struct dns_inbox *b = dns_inbox_open(d);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct asked a = ask_wait(b, cases[i].name, cases[i].type);

		if (a.answer != cases[i].answer || a.bogus != cases[i].bogus)
			fail_msg("%s: %s (%s)", cases[i].name, dane_answer_name(a.answer), a.why);
		assert_non_null(strstr(a.why, cases[i].why));
		assert_string_equal(a.canonical, cases[i].canonical);
		assert_int_equal(a.alias, cases[i].canonical[0] != '\0');
		assert_int_equal(a.count, dane_has_data(a.answer));
		if (a.answer == DANE_FAILED) {
			assert_int_equal(a.ttl, 0);
			assert_string_not_equal(a.why, "");
		}
	}
	struct dns_counts c;

	dns_counts(d, &c);
	assert_int_equal(c.timed_out, 1);
	assert_int_equal(c.in_flight, 0);
	assert_int_equal(c.waiting, 0);
	dns_inbox_close(b);
	dns_stop(d);
}

/* Ten who ask the same are one question; after it, the cache answers, no longer than the cap. */
static void one_for_all(void **state)
{
	struct dns *d = start((struct dns_settings){ .max_ttl_s = 600 });
	struct dns_inbox *b = dns_inbox_open(d);
	struct asked a[10] = { { .answers = 0 } };
	struct dns_counts c;

	server.hold = true;
	server.questions = 0;
	for (int i = 0; i < 10; i++)
		dns_ask(b, &a[i].query, "long.x.example", DANE_A, note);
	do {
		dns_counts(d, &c);
		usleep(1000);
	} while (c.waiting < 10 || server.questions == 0);
	assert_int_equal(c.joined, 9);
	let_go();
	for (int i = 0; i < 10; i++) {
		wait_one(b, &a[i]);
		assert_int_equal(a[i].answer, DANE_INSECURE);
		assert_in_range(a[i].ttl, 1, 600);
	}
	int questions = server.questions;

	assert_int_equal(ask_wait(b, "long.x.example", DANE_A).answer, DANE_INSECURE);
	assert_int_equal(server.questions, questions);
	dns_inbox_close(b);
	dns_stop(d);
}

/* A failure is not remembered: as soon as the server answers, so do we. */
static void failures_not_kept(void **state)
{
	struct dns *d = start((struct dns_settings){ .deadline_ms = 300 });
	struct dns_inbox *b = dns_inbox_open(d);
	struct asked a;

	server.mended = false;
	assert_int_equal(ask_wait(b, "mend.x.example", DANE_TLSA).answer, DANE_FAILED);
	server.mended = true;
	do { /* libunbound is still retrying the first one, which may take its time */
		a = ask_wait(b, "mend.x.example", DANE_TLSA);
	} while (a.answer == DANE_FAILED);
	assert_int_equal(a.answer, DANE_DENIED_INSECURE);
	dns_inbox_close(b);
	dns_stop(d);
}

static void full(void **state)
{
	struct dns *d = start((struct dns_settings){ .max_in_flight = 2 });
	struct dns_inbox *b = dns_inbox_open(d);
	struct asked a[2] = { { .answers = 0 } }, late;
	struct dns_health h;
	struct dns_counts c;

	do { /* the probe is in flight too */
		dns_health(d, &h);
		usleep(1000);
	} while (h.probes == 0);
	server.hold = true;
	dns_ask(b, &a[0].query, "h1.x.example", DANE_A, note);
	dns_ask(b, &a[1].query, "h2.x.example", DANE_A, note);
	late = ask_wait(b, "h3.x.example", DANE_A);
	assert_int_equal(late.answer, DANE_FAILED);
	assert_string_equal(late.why, "too many look-ups in flight");
	dns_counts(d, &c);
	assert_int_equal(c.in_flight, 2);
	assert_int_equal(c.refused, 1);
	let_go();
	wait_one(b, &a[0]);
	wait_one(b, &a[1]);
	assert_int_equal(ask_wait(b, "h3.x.example", DANE_A).answer, DANE_INSECURE);
	dns_inbox_close(b);
	dns_stop(d);
}

/* Cancelled, freed, asked again, inbox closed, thread stopped: with answers under way all the time. */
static void cancel(void **state)
{
	struct dns *d = start((struct dns_settings){ .max_in_flight = 0 });
	struct dns_inbox *b = dns_inbox_open(d), *other = dns_inbox_open(d);
	struct asked *gone = calloc(1, sizeof(*gone)), again = { .answers = 0 }, last = { .answers = 0 };

	server.hold = true;
	dns_ask(b, &gone->query, "c1.x.example", DANE_A, note);
	dns_ask(b, &again.query, "c1.x.example", DANE_A, note);
	dns_ask(other, &last.query, "c1.x.example", DANE_A, note);
	dns_cancel(&gone->query);
	dns_cancel(&gone->query);
	assert_null(gone->query.waiter);
	free(gone);
	dns_cancel(&again.query);
	dns_ask(b, &again.query, "c2.x.example", DANE_A, note);
	dns_inbox_close(other); /* with a question pending */
	assert_null(last.query.waiter);
	let_go();
	wait_one(b, &again);
	assert_int_equal(again.answers, 1);
	assert_int_equal(last.answers, 0);

	server.hold = true;
	again.answers = 0;
	dns_ask(b, &again.query, "c3.x.example", DANE_A, note);
	dns_stop(d);
	wait_one(b, &again);
	assert_int_equal(again.answer, DANE_FAILED);
	assert_string_equal(again.why, "stopping");
	dns_inbox_close(b);
	let_go();
}

static void *asker(void *ctx)
{
	struct dns_inbox *b = dns_inbox_open(ctx);
	struct asked a[40];
	char name[DANE_NAME_MAX];

	for (int round = 0; round < 20; round++) {
		memset(a, 0, sizeof(a));
		for (int i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "n%d.x.example", (i + round) % 50);
			dns_ask(b, &a[i].query, name, i % 2 ? DANE_A : DANE_TLSA, note);
		}
		for (int i = 0; i < 40; i += 4)
			dns_cancel(&a[i].query);
		for (int i = 0; i < 40; i++)
			if (i % 4)
				wait_one(b, &a[i]);
	}
	dns_inbox_close(b);
	return NULL;
}

static void many_threads(void **state)
{
	struct dns *d = start((struct dns_settings){ .max_in_flight = 0 });
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, asker, d), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	dns_stop(d);
}

static struct dns_health health_of(struct dns_settings set)
{
	struct dns *d = start(set);
	struct dns_health h;

	do {
		dns_health(d, &h);
		usleep(1000);
	} while (h.probes == 0);
	dns_stop(d);
	return h;
}

static void probes(void **state)
{
	struct dns_health h = health_of((struct dns_settings){ .probe_secure = NULL });

	assert_int_equal(h.state, DNS_NOT_VALIDATING); /* "." has no anchor here: insecure */
	assert_non_null(strstr(h.text, "\".\" is "));
	h = health_of((struct dns_settings){ .probe_secure = "a.signed.example", .deadline_ms = 5000 });
	assert_int_equal(h.state, DNS_NO_ANSWER);
	assert_non_null(strstr(h.text, "does not validate"));
	h = health_of((struct dns_settings){ .probe_bogus = "a.x.example" });
	assert_int_equal(h.state, DNS_NOT_VALIDATING);
	assert_int_equal(h.changes, 1);
}

/* What was proved is proved anew: an answer that lives for hours does not speak for a server that is gone. */
static void probes_are_not_cached(void **state)
{
	struct dns *d = start((struct dns_settings){ .probe_secure = "proof.x.example", .probe_interval_ms = 1100, .deadline_ms = 300 });
	struct dns_health h;

	do {
		dns_health(d, &h);
		usleep(1000);
	} while (h.probes == 0);
	assert_int_equal(h.state, DNS_NOT_VALIDATING); /* answered: insecure, here */
	uint64_t before = h.probes;

	server.deaf = true;
	do {
		dns_health(d, &h);
		usleep(1000);
	} while (h.probes < before + 3 && h.state != DNS_NO_ANSWER);
	assert_int_equal(h.state, DNS_NO_ANSWER);
	server.deaf = false;
	do { /* and it is seen when it is back */
		dns_health(d, &h);
		usleep(1000);
	} while (h.state == DNS_NO_ANSWER);
	dns_stop(d);
}

static void bad_settings(void **state)
{
	static const char *const forwarders[] = { "resolver.example" };
	struct dns_settings cases[] = {
		{ .trust_anchor_file = "/nonexistent/root.key" },
		{ .trust_anchor_text = "this is no record" },
		{ .trust_anchor_text = ANCHOR, .forwarders = forwarders, .forwarder_count = 1 },
		{ .trust_anchor_text = ANCHOR, .root_hints_file = "/nonexistent/hints" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns *d = NULL;
		char err[256] = "";

		assert_true(dns_start(&cases[i], &d, err, sizeof(err)) < 0);
		assert_true(strlen(err) > 20);
		print_message("# %s\n", err);
	}
}

/* A whole plan: the host is insecure, so TLSA is not asked; and one that asks nothing. */
static void plans(void **state)
{
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	struct dns *d = start((struct dns_settings){ .deadline_ms = 2000 });
	struct dane_plan *p = dane_plan_domain(&set, "d.x.example", 25);

	assert_int_equal(dns_run_wait(d, p), 0);
	assert_int_equal(dane_plan_outcome(p)->implicit_mx, true);
	assert_int_equal(dane_plan_outcome(p)->hosts[0].why, DANE_WHY_MX_INSECURE);
	dane_plan_free(p);
	p = dane_plan_host(&set, "a.x.example", 25);
	assert_int_equal(dns_run_wait(d, p), 0);
	assert_int_equal(dane_plan_outcome(p)->hosts[0].why, DANE_WHY_HOST_INSECURE);
	dane_plan_free(p);
	p = dane_plan_host(&set, "192.0.2.1", 25);
	assert_int_equal(dns_run_wait(d, p), 0);
	dane_plan_free(p);

	struct dns_inbox *b = dns_inbox_open(d);

	p = dane_plan_host(&set, "silent.x.example", 25);
	dns_run_free(dns_run_plan(b, p, NULL, NULL)); /* given up at once */
	dane_plan_free(p);
	dns_inbox_close(b);
	dns_stop(d);
}

static void set_flag(void *flag)
{
	*(bool *)flag = true;
}

static void plan_that_asks_nothing(void **state)
{
	struct dane_settings set = { .insecure_mx = DANE_INSECURE_MX_MAY };
	struct dns *d = start((struct dns_settings){ .deadline_ms = 2000 });
	struct dns_inbox *b = dns_inbox_open(d);
	struct dane_plan *p = dane_plan_host(&set, "192.0.2.1", 25);
	struct pollfd fd = { .fd = dns_inbox_fd(b), .events = POLLIN };
	bool done = false;
	struct dns_run *run = dns_run_plan(b, p, set_flag, &done);

	assert_false(done); /* never from inside the call */
	assert_int_equal(poll(&fd, 1, 60000), 1);
	dns_collect(b);
	assert_true(done);
	dns_run_free(run);
	dane_plan_free(p);
	dns_inbox_close(b);
	dns_stop(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classification), cmocka_unit_test(one_for_all), cmocka_unit_test(failures_not_kept),
		cmocka_unit_test(full),		  cmocka_unit_test(cancel),	 cmocka_unit_test(many_threads),
		cmocka_unit_test(probes),	  cmocka_unit_test(probes_are_not_cached),
		cmocka_unit_test(bad_settings), cmocka_unit_test(plans),
		cmocka_unit_test(plan_that_asks_nothing),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
