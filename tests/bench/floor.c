/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * floor: what OpenSSL alone costs the server side of a session, in this process, through memory BIOs: the
 * part no proxy built on this library can be below.  The client side runs in the same thread and is not
 * counted; the clock is the thread's CPU time, read around every call of the server.
 *
 *   floor -k CHAIN-AND-KEY -n SESSIONS [-t 1.2|1.3] [-R] [-z SIZE]    handshake [resumed] and SIZE octets read
 *   floor -g                                                          AES-256-GCM, 16 KB records
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/util.h"

#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" /* the cheaper first, as danelaw has them */

enum { CHUNK = 64 * 1024, RECORD = 16384, GCM_RECORDS = 40000 };

static struct {
	const char *chain, *version;
	unsigned sessions;
	size_t size;
	bool resume;
} want = { .version = "1.3", .sessions = 1000 };

static SSL_SESSION *ticket;
static uint64_t server_ns, shake_ns;
static char block[CHUNK];

static void
die_tls(const char *what)
{
	ERR_print_errors_fp(stderr);
	util_die(what);
}

static int
keep_ticket(SSL *ssl, SSL_SESSION *s)
{
	SSL_SESSION_free(ticket);
	ticket = s;
	return 1;
}

static SSL_CTX *
context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	int v = strcmp(want.version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, v) != 1 || SSL_CTX_set_max_proto_version(ctx, v) != 1)
		die_tls("context");
	return ctx;
}

static SSL_CTX *
server_context(void)
{
	SSL_CTX *ctx = context(TLS_server_method());

	if (SSL_CTX_use_certificate_chain_file(ctx, want.chain) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, want.chain, SSL_FILETYPE_PEM) != 1)
		die_tls(want.chain);
	if (SSL_CTX_set_ciphersuites(ctx, SUITES) != 1)
		die_tls(SUITES);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

static SSL_CTX *
client_context(void)
{
	SSL_CTX *ctx = context(TLS_client_method());

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
	return ctx;
}

/* n of SSL_connect or SSL_accept; asked at once, for the two ends share BIOs and their retry flags. */
static int
checked(SSL *ssl, int n)
{
	int e = SSL_get_error(ssl, n);

	if (n != 1 && e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		die_tls("handshake");
	return n;
}

static void
handshake(SSL *server, SSL *client)
{
	int c = 0, s = 0;

	while (c != 1 || s != 1) {
		uint64_t t;

		if (c != 1)
			c = checked(client, SSL_connect(client));
		t = util_cpu();
		if (s != 1)
			s = checked(server, SSL_accept(server));
		server_ns += util_cpu() - t;
	}
	SSL_read(client, block, 1); /* the ticket */
}

static void
body(SSL *server, SSL *client)
{
	for (size_t left = want.size; left;) {
		int n = SSL_write(client, block, left < CHUNK ? (int)left : CHUNK);
		uint64_t t = util_cpu();

		for (int got = 0; got < n;) {
			int r = SSL_read(server, block, CHUNK);

			if (r <= 0)
				die_tls("SSL_read");
			got += r;
		}
		server_ns += util_cpu() - t;
		left -= (size_t)n;
	}
}

static void
session(SSL_CTX *sctx, SSL_CTX *cctx)
{
	BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
	SSL *client = SSL_new(cctx), *server;
	uint64_t began = server_ns, t = util_cpu();

	server = SSL_new(sctx);
	server_ns += util_cpu() - t;
	BIO_set_mem_eof_return(to_server, -1);
	BIO_set_mem_eof_return(to_client, -1);
	BIO_up_ref(to_server);
	BIO_up_ref(to_client);
	SSL_set_bio(server, to_server, to_client);
	SSL_set_bio(client, to_client, to_server);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	if (want.resume && ticket)
		SSL_set_session(client, ticket);
	handshake(server, client);
	shake_ns += server_ns - began;
	body(server, client);
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_set_shutdown(server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(client);
	t = util_cpu();
	SSL_free(server);
	server_ns += util_cpu() - t;
	shake_ns += util_cpu() - t;
}

static void
sessions(void)
{
	SSL_CTX *sctx = server_context(), *cctx = client_context();

	for (unsigned i = 0; i < want.sessions / 10 + 1; i++)
		session(sctx, cctx);
	server_ns = shake_ns = 0;
	for (unsigned i = 0; i < want.sessions; i++)
		session(sctx, cctx);
	printf("cpu_us_per_session=%.2f cpu_us_per_handshake=%.2f\n", (double)server_ns / 1e3 / want.sessions,
	       (double)shake_ns / 1e3 / want.sessions);
}

static void
gcm(void)
{
	static unsigned char in[RECORD], out[RECORD + 16], key[32], iv[12], tag[16], aad[5];
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint64_t t;
	int n;

	if (!aes || !ctx || EVP_DecryptInit_ex2(ctx, aes, key, iv, NULL) != 1)
		die_tls("AES-256-GCM");
	t = util_cpu();
	for (int i = 0; i < GCM_RECORDS; i++) {
		EVP_DecryptInit_ex2(ctx, NULL, NULL, iv, NULL);
		EVP_DecryptUpdate(ctx, NULL, &n, aad, sizeof(aad));
		EVP_DecryptUpdate(ctx, out, &n, in, RECORD);
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag);
		EVP_DecryptFinal_ex(ctx, out, &n); /* the tag is wrong, the work is the same */
	}
	ERR_clear_error();
	printf("gigabytes_per_cpu_s=%.3f\n", (double)RECORD * GCM_RECORDS / (double)(util_cpu() - t));
}

int
main(int argc, char **argv)
{
	bool do_gcm = false;
	int opt;

	while ((opt = getopt(argc, argv, "k:n:t:Rz:g")) >= 0) {
		switch (opt) {
		case 'k': want.chain = optarg; break;
		case 'n': want.sessions = (unsigned)atoi(optarg); break;
		case 't': want.version = optarg; break;
		case 'R': want.resume = true; break;
		case 'z': want.size = strtoull(optarg, NULL, 10); break;
		case 'g': do_gcm = true; break;
		default: util_usage("see the head of tests/bench/floor.c");
		}
	}
	if (do_gcm)
		gcm();
	else if (want.chain && want.sessions)
		sessions();
	else
		util_usage("floor: -k CHAIN-AND-KEY or -g is needed");
	return 0;
}
