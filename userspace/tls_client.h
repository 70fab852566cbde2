/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client end of TLS: towards a backend or a remote MX.  The peer is judged during the handshake by what the
 * caller says counts, and by nothing else: the system's CAs are never asked.
 *
 * There is no session resumption: with TLS 1.3 and a P-256 peer it saves the client nothing that can be measured,
 * and a resumed session would carry the verdict of records that have changed since (RFC 7672 leaves that
 * trap to the implementer; three MTAs fell into it).
 */
#ifndef DANELAW_TLS_CLIENT_H
#define DANELAW_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/dane.h"
#include "userspace/tls.h"

/* ---- what is known of a peer's certificate ---- */

#define TLS_PEER_NAMES 8

struct tls_peer {
	char cn[254];			      /* "" if none; cleaned for a log */
	char names[TLS_PEER_NAMES][DANE_NAME_MAX]; /* dNSNames that are host names or wildcards, lower case */
	size_t name_count;
	bool names_left_out;		      /* there were more */
	uint8_t spki_sha256[32], cert_sha256[32];
	int64_t not_before, not_after;	      /* seconds of the epoch; 0: unreadable */
	char client_id[256];		      /* of the dane_clientid extension, "" if none */
};

/* NULL without a certificate.  There is one after a handshake that failed for its sake, too.  Lives as long as t. */
const struct tls_peer *tls_peer(const struct tls *t);

/* ---- judgements ---- */

enum tls_verdict {
	TLS_UNJUDGED,	  /* nothing was to be judged (yet) */
	TLS_MATCH,	  /* a record, a pin or a CA vouches for the peer */
	TLS_NO_CERTIFICATE,
	TLS_NO_MATCH,	  /* no record, no pin matches; no CA of ours stands behind the chain */
	TLS_WRONG_NAME,	  /* a record or CA vouches for the chain, but not for one of the names */
	TLS_NOT_VALID_NOW, /* expired or not valid yet; never with DANE-EE */
	TLS_BAD_CHAIN,	  /* a signature, a constraint, a purpose, the strength of a key */
	TLS_JUDGE_FAILED  /* our own failure (memory, OpenSSL): never to be taken for a match */
};
const char *tls_verdict_name(enum tls_verdict v); /* "no_match" */

struct tls_judgement {
	enum tls_verdict verdict;
	int record;	/* DANE: index of the record that matched, or of the pin; -1 */
	int depth;	/* DANE: where it matched: 0 the leaf, 1 its issuer, …; -1 */
	char name[DANE_NAME_MAX]; /* the name of the certificate that fits; "" where names do not count */
	char text[160]; /* one line, for people */
};

/* ---- contexts ---- */

struct tls_client;

struct tls_client_settings {
	int min_version; /* 12 (also if 0) or 13 */
	const char *ciphers, *ciphersuites, *groups; /* NULL: defaults */
	const char *ca_pem;			     /* for TLS_BY_CA: any number of certificates; NULL: that mode is not used */
	size_t ca_len;
	const struct tls_identity *identity;	     /* to show if the peer asks; NULL: none */
	uint16_t client_id_extension;		     /* number of dane_clientid; 0: not sent */
	const char *client_id;			     /* the name to say in it */
};

int tls_client_new(const struct tls_client_settings *set, struct tls_client **out, char *err, size_t err_size);
struct tls_client *tls_client_ref(struct tls_client *c); /* thread-safe */
void tls_client_unref(struct tls_client *c);
/* SHA-256 of ca_pem: another file, another digest; zeros without one. */
const uint8_t *tls_client_ca_sha256(const struct tls_client *c);

/* ---- connections ---- */

enum tls_mode {
	TLS_UNAUTHENTICATED,
	TLS_BY_DANE, /* RFC 7672: DANE-EE(3) without names and dates, DANE-TA(2) with the names */
	TLS_BY_PIN,  /* SHA-256 of the leaf's SPKI is in the list */
	TLS_BY_CA    /* the context's CAs and one of the names */
};

struct tls_target {
	enum tls_mode mode;
	const char *sni;		    /* TLSA base domain; NULL: none */
	const char *const *names;	    /* reference names for DANE-TA and TLS_BY_CA */
	size_t name_count;
	const struct dane_record *records;
	size_t record_count;
	const uint8_t (*pins)[32];
	size_t pin_count;
	bool inspect; /* finish the handshake though the judgement is bad (danelawctl check): the caller must look at it */
};

/*
 * All of target is copied.  0, or
 *	-ENODATA	none of the records is usable: the caller's duty is TLS without authentication (RFC 7672 2.2)
 *	-EINVAL		a target that could never be judged: no names where names count, no pins, no CAs
 *	-EIO		OpenSSL's own failure: the peer must not be used
 * Without inspect, tls_handshake() answers TLS_FAILED for any judgement but TLS_MATCH.
 */
int tls_connect_new(struct tls_client *client, const struct tls_target *target, struct fifo *out, struct tls **t);

/* Meaningful once the handshake is over or has failed; TLS_UNJUDGED in mode TLS_UNAUTHENTICATED. */
const struct tls_judgement *tls_judgement(const struct tls *t);

#endif
