/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fast_tls: a TLS 1.3 client that does what a generator needs and no more, at about a fifth of what a library's
 * client costs, so that the server under test is the narrow place and not the generator.  It verifies no
 * certificate, uses one key share for all connections and can do X25519 and the two AES suites only, which it
 * offers in OpenSSL's order, as Postfix and Exim do (AES-256 first; a server may prefer AES-128):
 * THIS IS A BENCHMARK'S TOOL AND PROTECTS NOTHING.  To the server its handshakes cost what any client's do.
 */
#ifndef DANELAW_BENCH_FAST_TLS_H
#define DANELAW_BENCH_FAST_TLS_H

#include <stddef.h>
#include <sys/types.h>

struct fast_tls;

/* fd: non-blocking, connected, the caller's.  sni: NULL for none. */
struct fast_tls *fast_tls_new(int fd, const char *sni);
/* 1 done, 0 not now, -1 failed: see fast_tls_why. */
int fast_tls_handshake(struct fast_tls *t);
/* Octets moved, 0 not now, -1 over or broken.  A read sends what a write could not. */
ssize_t fast_tls_read(struct fast_tls *t, char *to, size_t len);
ssize_t fast_tls_write(struct fast_tls *t, const char *data, size_t len);
const char *fast_tls_why(const struct fast_tls *t);
/* Sends close_notify when the connection is open and frees. */
void fast_tls_free(struct fast_tls *t);

#endif
