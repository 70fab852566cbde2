/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a backend's leg ready for mail: connect, PROXY header, banner, EHLO, STARTTLS, XCLIENT.  Used alike by
 * sessions and by health probes, so a probe meets what a session would.
 *
 *   connect -> [PROXY header] -> banner 220 -> EHLO 250 -> [STARTTLS 220 -> TLS, verified -> EHLO 250]
 *           -> [XCLIENT 220 -> EHLO 250] -> ready
 *
 * Where the target's duty is TLS nothing of a mail, and no second EHLO, goes out in clear; what the backend said
 * before TLS is forgotten (RFC 3207 4.2), and bytes behind its 220 end the try (CVE-2021-38371).
 *
 * Nothing is ever sent behind the PROXY header or behind EHLO before the answer is there (Postfix refuses
 * early talkers).  The owner runs nexthop_run() at each wake of the leg and settles the leg itself.
 */
#ifndef DANELAW_NEXTHOP_H
#define DANELAW_NEXTHOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/config.h"
#include "userspace/leg.h"
#include "userspace/proxy_header.h"
#include "userspace/smtp.h"
#include "userspace/target.h"

enum nexthop_phase { NEXTHOP_CONNECT, NEXTHOP_BANNER, NEXTHOP_EHLO, NEXTHOP_STARTTLS, NEXTHOP_HANDSHAKE, NEXTHOP_XCLIENT, NEXTHOP_READY };

enum nexthop_result {
	NEXTHOP_WAIT,
	NEXTHOP_OK,	/* ready; ->caps is what the backend announces */
	NEXTHOP_FAILED, /* ->why: a sentence, or with ->refused the backend's own line; try another */
	NEXTHOP_UNVERIFIED, /* the same, and it is verification that failed */
	NEXTHOP_NO_SOCKET /* out of descriptors or memory: not the backend's fault */
};

/* What the dialogue says of the client; the strings must stay until it is over. */
struct nexthop_client {
	const struct proxy_facts *facts; /* NULL: a probe, which introduces itself as LOCAL */
	const char *helo;
	bool esmtp;			 /* EHLO, else HELO */
	bool to_kernel;			 /* the kernel may get the leg's TLS later: tls_kernel_keep() */
};

struct nexthop {
	struct leg *leg;
	const struct config_backend *backend;
	struct nexthop_client client;
	struct target *target;	  /* a reference of ours */
	enum nexthop_phase phase;
	bool verified;		  /* TLS, and the target's judgement was passed */
	bool unusable;		  /* none of its records can be used, as OpenSSL sees them */
	int record;		  /* DANE: the record that matched */
	bool introduced;	  /* XCLIENT is done */
	uint8_t xclient_lines;	  /* replies still to come */
	struct smtp_reply_parser reply;
	struct smtp_caps caps;
	unsigned refused;	  /* the code of the banner or answer to EHLO that was not what it should be; 0: none */
	char why[160];
};

/* target: its reference is taken over, also on failure; address: which of its addresses. */
enum nexthop_result nexthop_start(struct nexthop *h, struct leg *leg, const struct config_backend *backend, struct target *target,
				  size_t address, const struct nexthop_client *client);
enum nexthop_result nexthop_run(struct nexthop *h);
/*
 * How a leg that is ready is protected, for logs: "dane", "pin" and "ca" only where that vouched for the peer;
 * "dane-unusable": TLS as records ask, none of which can be used; "opportunistic": TLS; "none": clear text.
 */
const char *nexthop_protection(const struct nexthop *h);
/* The record that vouched for it, "3 1 1 8d4a017f": enough of it to tell it from the others; "" if none did. */
void nexthop_record(const struct nexthop *h, char *out, size_t size);
/* Gives back what h holds; right in any state, also before nexthop_start() on zeroed memory. */
void nexthop_end(struct nexthop *h);
/* The phase took too long: sets ->why. */
enum nexthop_result nexthop_timed_out(struct nexthop *h);

#endif
