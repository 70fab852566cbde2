/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients' certificates on the server side.  A client is asked only where the caller says so, any certificate is
 * taken in the handshake (proof of possession of its key is all that TLS checks), and it is judged afterwards,
 * when the DNS has answered: a client without a certificate, or with a wrong one, is still a client.
 *
 * A verdict outlives its connection only in a ticket that is sent after it, with the moment it ends: no later
 * than the records it came from.  A ticket whose verdict has ended, or that has none while the caller asks, is not
 * resumed: the client does a full handshake and shows its certificate again.
 */
#ifndef DANELAW_TLS_JUDGE_H
#define DANELAW_TLS_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/tls_client.h"

/*
 * Before the first tls_handshake(): send a CertificateRequest, with the dane_clientid extension if the context has
 * a number for it.  No ticket is sent in the handshake then; see tls_send_verdict().
 */
void tls_ask_certificate(struct tls *t);

/*
 * Judges the client's chain by records (all four usages; PKIX-TA(0) and PKIX-EE(1) match only with the server
 * context's client CAs).  names: what the certificate must have one of unless a DANE-EE(3) record matches.
 */
void tls_judge_client(struct tls *t, const struct dane_record *records, size_t record_count, const char *const *names,
		      size_t name_count, struct tls_judgement *out);

struct tls_carried {
	char identity[DANE_NAME_MAX]; /* the name proven; "" for a client that proved none */
	uint8_t verdict;	      /* the caller's own number */
	int64_t expires;	      /* seconds of the epoch */
};

/* A ticket that carries a verdict.  TLS 1.3 only: 0, or -ENOTSUP (no harm done: nothing is sent). */
int tls_send_verdict(struct tls *t, const struct tls_carried *carried);
/* What the ticket of this resumed session carried; NULL: not resumed, or nothing. */
const struct tls_carried *tls_carried(const struct tls *t);

#endif
