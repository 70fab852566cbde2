/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS over bytes in memory: ciphertext in from a span, ciphertext out to a fifo, no socket.  tls.c and
 * tls_*.c are the only files that know OpenSSL.
 *
 * Server side: TLS 1.2 and 1.3, no renegotiation, no compression, no early data; certificates by SNI
 * (exact, then wildcard, then the default: an unknown name never fails, RFC 7672 8.1), EC and RSA side by
 * side; ALPN absent, "smtp" or "esmtp", anything else is refused with no_application_protocol (ALPACA);
 * one stateless ticket, its keys derived from a shared secret and the hour, so that any node of a
 * cluster resumes the sessions of any other.
 */
#ifndef DANELAW_TLS_H
#define DANELAW_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "userspace/buf.h"

/* ---- contexts: made at start and at each reload, immutable, counted ---- */

/* One chain with its key, as PEM in memory (the caller read the files, with the rights to do so). */
struct tls_identity {
	const char *label; /* the certificate's name in the configuration, for messages */
	const char *chain_pem, *key_pem;
	size_t chain_len, key_len;
};

struct tls_server_settings {
	const struct tls_identity *identities; /* the first is the default; same names with EC and RSA keys stand side by side */
	size_t identity_count;
	int min_version;	/* 12 or 13 */
	const uint8_t *ticket_secret; /* >= 32 bytes, shared by a cluster; NULL: random, the same for all contexts of this process */
	size_t ticket_secret_len;
	uint32_t ticket_lifetime_s; /* 0: 7200 */
	const char *ciphers, *ciphersuites, *groups; /* OpenSSL's lists; NULL: defaults */
	const char *client_ca_pem; /* for PKIX-TA(0) and PKIX-EE(1) records of clients; NULL: such records never match */
	size_t client_ca_len;
	uint16_t client_id_extension; /* number of dane_clientid in CertificateRequest (tls_judge.h); 0: not sent */
	time_t (*clock)(void); /* for tickets; NULL: time(2) */
};

struct tls_server;
/*
 * 0, or negative with a sentence in err naming the label.  With 0, err is "" or a warning: a chain that has
 * expired or is not valid yet is loaded all the same.  A certificate costs about 0.3 ms and 7 KB here, and
 * nothing in a handshake.  One context may serve all workers.
 */
int tls_server_new(const struct tls_server_settings *set, struct tls_server **out, char *err, size_t err_size);
struct tls_server *tls_server_ref(struct tls_server *s); /* thread-safe */
void tls_server_unref(struct tls_server *s);

/* What it serves, for people. */
struct tls_about {
	const char *label;  /* as long as the context lives */
	char names[512];    /* with a space between; those that fit */
	char key[64];	    /* "EC P-256", "RSA 2048" */
	char tlsa[80];	    /* "3 1 1 <hex>": the record to publish */
	time_t not_before, not_after;
};
size_t tls_server_count(const struct tls_server *s);
void tls_server_about(const struct tls_server *s, size_t index, struct tls_about *out);
/* Its end alone, at next to no cost: seconds since 1970. */
time_t tls_server_not_after(const struct tls_server *s, size_t index, const char **label);

/* ---- one connection ---- */

struct tls;

enum tls_result {
	TLS_DONE,	 /* handshake over; or bytes were read */
	TLS_WANT_INPUT,	 /* nothing more can be done with the ciphertext at hand */
	TLS_EOF,	 /* the peer's close_notify */
	TLS_FAILED	 /* tls_error() says why; an alert may stand in the output fifo: send it, then close */
};

/* Ciphertext goes to out (which must outlive the connection). */
struct tls *tls_accept_new(struct tls_server *server, struct fifo *out);
void tls_free(struct tls *t); /* NULL is fine */

/* The ciphertext at hand: not copied; it must stay until it is used up or replaced. */
void tls_input(struct tls *t, const uint8_t *data, size_t len);
size_t tls_input_left(const struct tls *t); /* bytes of it not used yet; they stand at its end */

enum tls_result tls_handshake(struct tls *t);
/* Up to size bytes of plain text; *got of them.  TLS_DONE: *got > 0. */
enum tls_result tls_read(struct tls *t, uint8_t *data, size_t size, size_t *got);
enum tls_result tls_write(struct tls *t, const uint8_t *data, size_t len); /* all of it; TLS_DONE or TLS_FAILED */
void tls_close_notify(struct tls *t);
const char *tls_error(const struct tls *t); /* one line, "" if none */

/* Known once the handshake is over; strings live as long as t. */
struct tls_facts {
	const char *version; /* "TLSv1.3" */
	const char *cipher;
	const char *group;   /* "X25519", "" if unknown */
	const char *sni;     /* as the client sent it, "" if none */
	const char *alpn;    /* "" if none */
	const char *certificate; /* label of the identity served */
	bool sni_unknown;    /* the default identity stood in for a name we have no certificate for */
	bool resumed;
	bool peer_cert;
};
const struct tls_facts *tls_facts(const struct tls *t);

/* ---- making and naming certificates ---- */

/* A P-256 key and a self-signed certificate for hostname, ten years; PEM, malloc'd.  0 or negative. */
int tls_make_self_signed(const char *hostname, char **chain_pem, char **key_pem);
/* "3 1 1 <hex SHA-256 of the SPKI>" of the leaf of a PEM chain (RFC 6698 2.1); out has 80 bytes. */
int tls_tlsa_311(const char *chain_pem, size_t len, char *out, size_t size);

/*
 * HKDF-SHA256: a key for a purpose (label, at most 32 bytes) and a number, such as a time's, from a secret.  Whoever has
 * the secret gets the same.  Any thread.
 */
bool tls_derive(const uint8_t *secret, size_t len, const char *label, uint64_t number, uint8_t *out, size_t out_len);

#endif
