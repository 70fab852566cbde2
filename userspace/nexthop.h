/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a backend's leg ready for mail: connect, PROXY header, banner, EHLO, XCLIENT.  Used alike by
 * sessions and by health probes, so a probe meets what a session would.
 *
 *   connect -> [PROXY header] -> banner 220 -> EHLO 250 -> [XCLIENT 220 -> EHLO 250] -> ready
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

enum nexthop_phase { NEXTHOP_CONNECT, NEXTHOP_BANNER, NEXTHOP_EHLO, NEXTHOP_XCLIENT, NEXTHOP_READY };

enum nexthop_result {
	NEXTHOP_WAIT,
	NEXTHOP_OK,	/* ready; ->caps is what the backend announces */
	NEXTHOP_FAILED, /* ->why: a sentence; try another */
	NEXTHOP_NO_SOCKET /* out of descriptors or memory: not the backend's fault */
};

/* What the dialogue says of the client; the strings must stay until it is over. */
struct nexthop_client {
	const struct proxy_facts *facts; /* NULL: a probe, which introduces itself as LOCAL */
	const char *helo;
	bool esmtp;			 /* EHLO, else HELO */
};

struct nexthop {
	struct leg *leg;
	const struct config_backend *backend;
	struct nexthop_client client;
	enum nexthop_phase phase;
	bool introduced;	  /* XCLIENT is done */
	uint8_t xclient_lines;	  /* replies still to come */
	struct smtp_reply_parser reply;
	struct smtp_caps caps;
	char why[160];
};

enum nexthop_result nexthop_start(struct nexthop *h, struct leg *leg, const struct config_backend *backend,
				  const struct nexthop_client *client);
enum nexthop_result nexthop_run(struct nexthop *h);
/* The phase took too long: sets ->why. */
enum nexthop_result nexthop_timed_out(struct nexthop *h);

#endif
