/* SPDX-License-Identifier: BSD-2-Clause */
/* The other end for the tests of the tls room: certificates made on the spot and an OpenSSL peer in memory. */
#ifndef DANELAW_TESTS_TLS_PEER_H
#define DANELAW_TESTS_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "userspace/buf.h"
#include "userspace/tls.h"

/* ---- certificates ---- */

enum made_key { MADE_EC, MADE_RSA, MADE_ED25519 };

struct made {
	EVP_PKEY *key;
	X509 *cert;
	char *chain_pem, *key_pem; /* the chain: this certificate, then its issuers without a self-signed root */
};

struct made_spec {
	const char *cn;		   /* NULL: empty subject */
	const char *dns;	   /* dNSNames, blank-separated; NULL: no SAN */
	enum made_key key;
	EVP_PKEY *use_key;	   /* instead of a new one */
	const struct made *issuer; /* NULL: self-signed */
	bool ca;
	int pathlen;		   /* of a CA: -1 or 0: none; n: n - 1 */
	bool send_root;		   /* the self-signed root stands in chain_pem too */
	long from_s, to_s;	   /* from now; both 0: valid for a day */
	const char *eku;	   /* OpenSSL's words; NULL: none */
	const char *constraints;   /* name constraints in OpenSSL's words */
};

struct made *made_new(const struct made_spec *spec);
void made_free(struct made *m);
struct tls_identity made_identity(const struct made *m, const char *label);
/* SHA-256 (32) or SHA-512 (64 bytes) or the whole of the certificate (selector 0) or its key (1). */
size_t made_association(const struct made *m, int selector, int mtype, uint8_t out[4096]);

/* ---- a peer over memory ---- */

struct peer {
	SSL_CTX *ctx;
	SSL *ssl;
	int alert;	/* last alert that came to it: level << 8 | description; 0: none */
	bool owns_ctx;
};

/* A client (or server) of its own; change p->ctx only before peer_start(). */
void peer_init(struct peer *p, bool server);
void peer_start(struct peer *p);
void peer_clear(struct peer *p);
/* The certificate it shows, with its chain. */
void peer_show(struct peer *p, const struct made *m);
/* Ciphertext the peer has for us, appended to buf (malloc'd, grown). */
size_t peer_take(struct peer *p, uint8_t **buf);
void peer_give(struct peer *p, const void *data, size_t len);
/* Moves what stands in the fifo to the peer. */
void peer_give_fifo(struct peer *p, struct fifo *f);

/*
 * Runs both handshakes; the ciphertext to t comes in pieces of step bytes (0: all at hand).  Returns the last
 * result of tls_handshake(); *peer_ok tells whether the peer thinks that it is over.
 */
enum tls_result peer_shake(struct peer *p, struct tls *t, struct fifo *out, size_t step, bool *peer_ok);

#endif
