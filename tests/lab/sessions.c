/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sessions FROM-IP TO-IP PORT COUNT AT-ONCE SECONDS PAUSE-MS RECIPIENT: STARTTLS sessions, with the envelope of a mail
 * in TLS (RECIPIENT ten times), given up by QUIT, so that nothing is delivered.  Each has SECONDS for all of it, from
 * connect(2) on; what is not done by then has failed.  AT-ONCE threads, no retry.  Before each of its lines a client
 * waits PAUSE-MS: what is one step away in the lab is many milliseconds in the Internet.
 *
 * Says how many were completed and, of those that saw it, when the banner came:
 * "completed=… failed=… banner_p50_ms=… banner_p99_ms=… first_failure=…".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 10000, THREADS_MAX = 64, RECIPIENTS = 10 };

static struct sockaddr_in from, to;
static unsigned count, seconds, pause_ms;
static unsigned begun, completed, banners;
static char rcpt[256];
static double banner_ms[COUNT_MAX];
static const char *first_failure;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SSL_CTX *tls;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

static bool wait_for(int fd, short events, double until)
{
	struct pollfd p = { .fd = fd, .events = events };
	double left = until - now_ms();

	return left > 0 && poll(&p, 1, (int)left + 1) == 1;
}

static int open_to(double until)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
	socklen_t len = sizeof(error);

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&from, sizeof(from)) &&
	    (!connect(fd, (struct sockaddr *)&to, sizeof(to)) || errno == EINPROGRESS) && wait_for(fd, POLLOUT, until) &&
	    !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) && !error)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Bytes until a reply's last line, in clear or (ssl) in TLS. */
static bool reply(int fd, SSL *ssl, const char *code, double until)
{
	char text[4096];
	size_t have = 0;
	int n;

	for (;;) {
		n = ssl ? SSL_read(ssl, text + have, (int)(sizeof(text) - 1 - have)) : (int)recv(fd, text + have, sizeof(text) - 1 - have, 0);
		if (n > 0) {
			char *line;

			have += (size_t)n;
			text[have] = 0;
			if (text[have - 1] == '\n') {
				text[have - 1] = 0;
				line = strrchr(text, '\n');
				line = line ? line + 1 : text;
				if (strlen(line) > 3 && line[3] == ' ')
					return !strncmp(line, code, 3);
				text[have - 1] = '\n';
			}
			continue;
		}
		if (ssl ? SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ : n == 0 || errno != EAGAIN)
			return false;
		if (!wait_for(fd, POLLIN, until))
			return false;
	}
}

static bool say(int fd, SSL *ssl, const char *line)
{
	struct timespec rest = { pause_ms / 1000, pause_ms % 1000 * 1000000 };
	int len = (int)strlen(line);

	nanosleep(&rest, NULL);
	return ssl ? SSL_write(ssl, line, len) == len : send(fd, line, (size_t)len, MSG_NOSIGNAL) == len;
}

static bool shake(SSL *ssl, int fd, double until)
{
	int n;

	SSL_set_fd(ssl, fd);
	while ((n = SSL_connect(ssl)) != 1) {
		int what = SSL_get_error(ssl, n);

		if ((what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE) ||
		    !wait_for(fd, what == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until))
			return false;
	}
	return true;
}

/* NULL, or where it failed. */
static const char *talk(int fd, SSL *ssl, double start, double until)
{
	if (!reply(fd, NULL, "220", until))
		return "banner";
	pthread_mutex_lock(&lock);
	banner_ms[banners++] = now_ms() - start;
	pthread_mutex_unlock(&lock);
	if (!say(fd, NULL, "EHLO client.example\r\n") || !reply(fd, NULL, "250", until))
		return "EHLO";
	if (!say(fd, NULL, "STARTTLS\r\n") || !reply(fd, NULL, "220", until))
		return "STARTTLS";
	if (!shake(ssl, fd, until))
		return "handshake";
	if (!say(fd, ssl, "EHLO client.example\r\n") || !reply(fd, ssl, "250", until))
		return "EHLO in TLS";
	if (!say(fd, ssl, "MAIL FROM:<alice@sender.example>\r\n") || !reply(fd, ssl, "250", until))
		return "MAIL";
	for (int i = 0; i < RECIPIENTS; i++)
		if (!say(fd, ssl, rcpt) || !reply(fd, ssl, "250", until))
			return "RCPT";
	if (!say(fd, ssl, "QUIT\r\n") || !reply(fd, ssl, "221", until))
		return "QUIT";
	return NULL;
}

static void *work(void *arg)
{
	while (__atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED) < count) {
		double start = now_ms(), until = start + seconds * 1000.0;
		int fd = open_to(until);
		SSL *ssl = SSL_new(tls);
		const char *failed = fd < 0 ? "connect" : talk(fd, ssl, start, until);

		pthread_mutex_lock(&lock);
		if (failed && !first_failure)
			first_failure = failed;
		completed += !failed;
		pthread_mutex_unlock(&lock);
		SSL_free(ssl);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	unsigned at_once, i;

	if (argc != 9 || inet_pton(AF_INET, argv[1], &from.sin_addr) != 1 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 ||
	    (count = (unsigned)atoi(argv[4])) > COUNT_MAX || (at_once = (unsigned)atoi(argv[5])) > THREADS_MAX) {
		fprintf(stderr, "usage: sessions FROM-IP TO-IP PORT COUNT AT-ONCE SECONDS PAUSE-MS RECIPIENT\n");
		return 2;
	}
	from.sin_family = to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)atoi(argv[3]));
	seconds = (unsigned)atoi(argv[6]);
	pause_ms = (unsigned)atoi(argv[7]);
	snprintf(rcpt, sizeof(rcpt), "RCPT TO:<%.200s>\r\n", argv[8]);
	signal(SIGPIPE, SIG_IGN);
	tls = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL); /* what is asked here is whether it gets through */
	for (i = 0; i < at_once; i++)
		if (pthread_create(&threads[i], NULL, work, NULL))
			return 1;
	for (i = 0; i < at_once; i++)
		pthread_join(threads[i], NULL);
	qsort(banner_ms, banners, sizeof(*banner_ms), by_value);
	printf("completed=%u failed=%u banner_p50_ms=%.1f banner_p99_ms=%.1f first_failure=%s\n", completed, count - completed,
	       banners ? banner_ms[banners / 2] : -1, banners ? banner_ms[banners * 99 / 100] : -1, first_failure ? first_failure : "none");
	SSL_CTX_free(tls);
	return 0;
}
