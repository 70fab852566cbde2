/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: SMTP sessions with STARTTLS, fast and counted.  One thread, one epoll, a closed loop of -c sessions
 * at a time.  It says "ready" and waits for a line on standard input before what is measured begins, so
 * that whoever measures can read the subject's clocks in between, and ends with one line of key=value.
 *
 *   load -a ADDR:PORT -n SESSIONS [-c AT-A-TIME] [-w WARM-UP] [-m MESSAGES] [-z SIZE] [options]
 *     -t 1.2|1.3  STARTTLS with just this version   -R  resume by ticket     -s NAME  SNI
 *     -f          STARTTLS with the generator's own TLS 1.3 client: full handshakes only, far cheaper
 *     -C FILE     client certificate and key        -P  pipelined envelope   -B  BDAT instead of DATA
 *     -H NAME,N   EHLO NAME, in which %u is the number of the session modulo N
 *     -q  no QUIT: close after the last message     -A N  client addresses 127.1.0.1 and on
 *     -I N,N…     idle: open N sessions in all, say "holding N", wait for a line, go on to the next
 *     -D          deaf (with -I): fill the connection with commands, never read an answer
 *     -d          delayed acknowledgements, as the kernel likes; without it each read is acknowledged at once
 *     -T SECONDS  without progress for so long, what is left has failed (20)
 *
 * Exit status 0 only when every session did all it should.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/load.h"
#include "tests/bench/util.h"

enum { EVENTS = 256, SLOTS_MAX = 4096, HOLDS_MAX = 16 };

struct slot {
	struct session *session;
	SSL_SESSION *ticket;
};

static struct plan plan = { .messages = 1, .size = 4096 };
static struct tally tally;
static struct {
	uint64_t sessions, warm, holds[HOLDS_MAX];
	unsigned at_a_time, hold_count, patience;
} want = { .sessions = 1, .at_a_time = 1, .patience = 20 };

static int epfd;
static uint64_t begun, numbered;
static uint32_t *took;	/* µs of each session that came to its end */

/* The body is lines of text without dots at their start; CRLF at its end. */
static char *
make_body(size_t size, bool bdat, size_t *len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *body = malloc(size + 64);
	size_t head = 0, end;

	if (!body || size < 2)
		util_usage("-z must be at least 2");
	if (bdat)
		head = (size_t)sprintf(body, "BDAT %zu LAST\r\n", size);
	end = head + size;
	for (size_t i = 0; i < size; i++)
		body[head + i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : letters[(i * 7 + i / 78) % 64];
	memcpy(body + end - 2, "\r\n", 2);
	if (body[end - 3] == '\r') /* a line that ended just before */
		body[end - 3] = 'x';
	if (!bdat) {
		memcpy(body + end, ".\r\n", 3);
		end += 3;
	}
	*len = end;
	return body;
}

/* Any certificate will do: the generator's CPU time is the benchmark's narrowest place. */
static int
take_any(X509_STORE_CTX *store, void *arg)
{
	return 1;
}

static SSL_CTX *
tls_client(const char *version, const char *certificate)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int v = strcmp(version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, v) != 1 || SSL_CTX_set_max_proto_version(ctx, v) != 1)
		util_die("SSL_CTX_new");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, take_any, NULL);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, session_keep_ticket);
	if (certificate && (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
			    SSL_CTX_use_PrivateKey_file(ctx, certificate, SSL_FILETYPE_PEM) != 1))
		util_usage("%s holds no certificate and key", certificate);
	return ctx;
}

static void
tell(const char *what, uint64_t n)
{
	char line[64];

	if (n)
		printf("%s %lu\n", what, n);
	else
		printf("%s\n", what);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(3); /* whoever measures is gone */
}

static void
begin(struct slot *slot)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = slot };

	begun++;
	slot->session = session_new(&plan, &tally, &slot->ticket, numbered++);
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, session_fd(slot->session), &ev) < 0)
		util_die("epoll_ctl");
}

/* Runs the slot's session as far as it goes; true when it holds, is done or has failed. */
static bool
advance(struct slot *slot)
{
	enum session_state state = session_run(slot->session);

	if (state == SESSION_OPEN)
		return false;
	if (state == SESSION_HOLDS) {
		tally.sessions++;
		return true;
	}
	if (state == SESSION_DONE) {
		if (took)
			took[tally.sessions] = (uint32_t)((util_now() - session_began(slot->session)) / 1000);
		tally.sessions++;
	} else
		tally.failed++;
	session_free(slot->session);
	slot->session = NULL;
	return true;
}

/* false: nothing happened for so long that the rest counts as failed. */
static bool
wait_for(struct slot **ready, int *n)
{
	struct epoll_event events[EVENTS];

	*n = epoll_wait(epfd, events, EVENTS, (int)want.patience * 1000);
	if (*n < 0 && errno != EINTR)
		util_die("epoll_wait");
	for (int i = 0; i < *n; i++)
		ready[i] = events[i].data.ptr;
	return *n != 0;
}

static void
run(struct slot *slots, uint64_t sessions)
{
	struct slot *ready[EVENTS];
	uint64_t over = 0;
	int n;

	begun = 0;
	for (unsigned i = 0; i < want.at_a_time && begun < sessions; i++)
		begin(&slots[i]);
	while (over < sessions) {
		if (!wait_for(ready, &n)) {
			tally.failed += sessions - over;
			if (!tally.why[0])
				snprintf(tally.why, sizeof(tally.why), "no progress for %u s", want.patience);
			return;
		}
		for (int i = 0; i < n; i++) {
			if (!ready[i]->session || !advance(ready[i]))
				continue;
			over++;
			if (begun < sessions)
				begin(ready[i]);
		}
	}
}

/* Deaf sessions have a go whenever there is room, until for a second there is none for any. */
static void
fill_up(void)
{
	struct epoll_event events[EVENTS];
	int n;

	while ((n = epoll_wait(epfd, events, EVENTS, 1000)) > 0)
		for (int i = 0; i < n; i++) {
			struct slot *slot = events[i].data.ptr;

			if (slot->session && session_run(slot->session) == SESSION_FAILED) {
				session_free(slot->session);
				slot->session = NULL;
			}
		}
}

/* Opens up to each total in turn, at most at_a_time on their way at once, and holds them. */
static void
hold(void)
{
	uint64_t total = want.holds[want.hold_count - 1], held = 0;
	struct slot *slots = calloc(total, sizeof(*slots)), *ready[EVENTS];
	bool *settled = calloc(total, sizeof(*settled));
	int n;

	if (!slots || !settled)
		util_die("calloc");
	for (unsigned h = 0; h < want.hold_count; h++) {
		while (held < want.holds[h] && !tally.failed) {
			while (begun < want.holds[h] && begun < held + want.at_a_time)
				begin(&slots[begun]);
			if (!wait_for(ready, &n)) {
				tally.failed += want.holds[h] - held;
				break;
			}
			for (int i = 0; i < n; i++) {
				size_t at = (size_t)(ready[i] - slots);

				if (settled[at])
					continue;
				settled[at] = advance(ready[i]);
				held += settled[at];
			}
		}
		if (plan.deaf)
			fill_up();
		tell("holding", held);
	}
	for (uint64_t i = 0; i < begun; i++)
		if (slots[i].session)
			session_free(slots[i].session);
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
report(double seconds, double cpu)
{
	uint64_t n = took ? tally.sessions : 0;

	if (n)
		qsort(took, n, sizeof(*took), by_size);
	printf("sessions=%lu failed=%lu messages=%lu octets=%lu handshakes=%lu resumed=%lu seconds=%.6f cpu=%.6f",
	       tally.sessions, tally.failed, tally.messages, tally.octets, tally.handshakes, tally.resumed, seconds, cpu);
	if (n)
		printf(" p50_us=%u p99_us=%u max_us=%u", took[n / 2], took[n * 99 / 100], took[n - 1]);
	printf("\n");
	if (tally.failed)
		fprintf(stderr, "load: %lu sessions failed; the first: %s\n", tally.failed, tally.why);
}

static void
measure(void)
{
	static struct slot slots[SLOTS_MAX];
	uint64_t wall, cpu;

	if (want.warm)
		run(slots, want.warm);
	if (tally.failed)
		report(0, 0);
	if (tally.failed)
		exit(1);
	tell("ready", 0);
	tally = (struct tally){ 0 };
	took = calloc(want.sessions + 1, sizeof(*took));
	if (!took)
		util_die("calloc");
	wall = util_now();
	cpu = util_cpu();
	run(slots, want.sessions);
	report((double)(util_now() - wall) / 1e9, (double)(util_cpu() - cpu) / 1e9);
}

/* "NAME,N" */
static void
parse_helo(char *text)
{
	char *comma = strchr(text, ',');
	const char *mark = strchr(text, '%');

	if (!comma || comma - text > 200 || (mark && (mark[1] != 'u' || strchr(mark + 1, '%'))) || atoi(comma + 1) <= 0)
		util_usage("-H: not NAME,N with one %%u at most: %s", text);
	*comma = '\0';
	plan.helo = text;
	plan.helos = (unsigned)atoi(comma + 1);
}

static void
parse_holds(char *list)
{
	for (char *n = strtok(list, ","); n && want.hold_count < HOLDS_MAX; n = strtok(NULL, ","))
		want.holds[want.hold_count++] = strtoull(n, NULL, 10);
}

/* 4096, 4k, 10m */
static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	return *end == 'k' ? n << 10 : *end == 'm' ? n << 20 : n;
}

static void
options(int argc, char **argv)
{
	const char *version = NULL, *certificate = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "a:n:c:w:m:z:t:Rs:C:PBqA:I:DT:dfH:")) >= 0) {
		switch (opt) {
		case 'a':
			if (!util_address(optarg, &plan.target))
				util_usage("not ADDR:PORT: %s", optarg);
			break;
		case 'n': want.sessions = number(optarg); break;
		case 'c': want.at_a_time = (unsigned)number(optarg); break;
		case 'w': want.warm = number(optarg); break;
		case 'm': plan.messages = (unsigned)number(optarg); break;
		case 'z': plan.size = number(optarg); break;
		case 't': version = optarg; break;
		case 'R': plan.resume = true; break;
		case 's': plan.sni = optarg; break;
		case 'C': certificate = optarg; break;
		case 'H': parse_helo(optarg); break;
		case 'P': plan.pipeline = true; break;
		case 'B': plan.bdat = true; break;
		case 'q': plan.vanish = true; break;
		case 'A': plan.sources = (unsigned)number(optarg); break;
		case 'I': parse_holds(optarg); plan.idle = true; break;
		case 'D': plan.deaf = true; break;
		case 'd': plan.delayed_ack = true; break;
		case 'f': plan.fast = true; break;
		case 'T': want.patience = (unsigned)number(optarg); break;
		default: util_usage("see the head of tests/bench/load.c");
		}
	}
	if (!plan.target.sin_port || !want.at_a_time || want.at_a_time > SLOTS_MAX || (plan.deaf && !plan.idle) ||
	    (plan.bdat && plan.pipeline) || (plan.fast && version))
		util_usage("load: -a ADDR:PORT is needed, -c at most %d, -D goes with -I, -B not with -P, -f not with -t",
			   SLOTS_MAX);
	plan.tls = version ? tls_client(version, certificate) : NULL;
	plan.idle = plan.idle && !plan.deaf;
	plan.body = make_body(plan.size, plan.bdat, &plan.body_len);
}

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN); /* OpenSSL's socket BIO writes without MSG_NOSIGNAL */
	util_descriptors();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	options(argc, argv);
	if (want.hold_count) {
		hold();
		report(0, 0);
	} else
		measure();
	return tally.failed ? 1 : 0;
}
