/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An MTA that does what draft-ietf-dance-client-auth-13 asks of clients, which none does yet:
 *
 *	clientid_client ADDRESS PORT EXTENSION OWNER CERTIFICATE KEY
 *
 * STARTTLS with the certificate and the owner name in the extension dane_clientid, EHLO with an address (which proves
 * nothing), MAIL; prints what it was told.  Status 0: MAIL was taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "userspace/net.h"
#include "userspace/tls_client.h"

static struct chunk_pool *pool;
static struct fifo out;
static struct tls *tls;
static uint8_t wire[65536];
static int fd;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(2);
}

static char *slurp(const char *path, size_t *len)
{
	FILE *in = fopen(path, "r");
	char *text = malloc(65536);

	if (!in || !text)
		fail(path);
	*len = fread(text, 1, 65535, in);
	text[*len] = '\0';
	fclose(in);
	return text;
}

static void flush(void)
{
	struct iovec iov[16];
	int n;

	while ((n = fifo_peek(&out, iov, 16)) > 0) {
		ssize_t sent = writev(fd, iov, n);

		if (sent <= 0)
			fail("the connection broke");
		fifo_consume(&out, (size_t)sent);
	}
}

/* More of the wire, behind what TLS did not use. */
static void receive(void)
{
	size_t left = tls_input_left(tls);
	static size_t have;

	memmove(wire, wire + have - left, left);
	ssize_t n = read(fd, wire + left, sizeof(wire) - left);

	if (n <= 0)
		fail("the connection was closed");
	have = left + (size_t)n;
	tls_input(tls, wire, have);
}

/* One reply, its last line printed; its code. */
static int reply(void)
{
	static char text[4096];
	static size_t len;

	for (;;) {
		char *lf;

		while ((lf = memchr(text, '\n', len))) {
			int code = atoi(text);
			bool last = text[3] != '-';

			if (last)
				printf("%.*s\n", (int)(lf - text), text);
			len -= (size_t)(lf + 1 - text);
			memmove(text, lf + 1, len);
			if (last)
				return code;
		}
		if (!tls) {
			ssize_t n = read(fd, text + len, sizeof(text) - len);

			if (n <= 0)
				fail("the connection was closed");
			len += (size_t)n;
			continue;
		}
		size_t got = 0;
		enum tls_result r = tls_read(tls, (uint8_t *)text + len, sizeof(text) - len, &got);

		flush();
		if (r == TLS_WANT_INPUT)
			receive();
		else if (r != TLS_DONE)
			fail(r == TLS_EOF ? "the connection was closed" : tls_error(tls));
		len += got;
	}
}

static int ask(const char *line)
{
	if (tls)
		tls_write(tls, (const uint8_t *)line, strlen(line));
	else if (write(fd, line, strlen(line)) < 0)
		fail("the connection broke");
	flush();
	return reply();
}

static void start_tls(char **argv)
{
	struct tls_target target = { .mode = TLS_UNAUTHENTICATED, .sni = "mx.good.example" };
	struct tls_identity id = { .label = "client" };
	struct tls_client *client;
	char err[300];

	id.chain_pem = slurp(argv[5], &id.chain_len);
	id.key_pem = slurp(argv[6], &id.key_len);
	struct tls_client_settings set = { .identity = &id, .client_id_extension = (uint16_t)atoi(argv[3]), .client_id = argv[4] };

	if (tls_client_new(&set, &client, err, sizeof(err)))
		fail(err);
	if (tls_connect_new(client, &target, &out, &tls))
		fail("no TLS");
	tls_input(tls, wire, 0);
	for (;;) {
		enum tls_result r = tls_handshake(tls);

		flush();
		if (r == TLS_DONE)
			break;
		if (r != TLS_WANT_INPUT)
			fail(tls_error(tls));
		receive();
	}
	printf("%s\n", tls_facts(tls)->version);
	tls_client_unref(client);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage ss;
	struct net_addr to;

	if (argc != 7 || net_parse_ip(argv[1], &to.ip))
		fail("usage: clientid_client ADDRESS PORT EXTENSION OWNER CERTIFICATE KEY");
	to.port = (uint16_t)atoi(argv[2]);
	pool = chunk_pool_new();
	fifo_init(&out, pool);
	socklen_t len = net_to_sockaddr(&to, &ss);

	fd = socket(ss.ss_family, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&ss, len))
		fail("no connection");
	reply();
	ask("EHLO [192.0.2.1]\r\n");
	if (ask("STARTTLS\r\n") != 220)
		fail("no STARTTLS");
	start_tls(argv);
	ask("EHLO [192.0.2.1]\r\n");
	int code = ask("MAIL FROM:<alice@sender.example>\r\n");

	ask("QUIT\r\n");
	return code == 250 ? 0 : 1;
}
