/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which client is treated how: the sections `policy` of the configuration as pure decisions.  No state, no clock.
 *
 *	accept ─► policy_ask(): by address, whether a certificate is asked for
 *	verdict ─► policy_answer(): is mail taken at all?  policy_choose(): relay, pool, limits, lane
 */
#ifndef DANELAW_POLICY_H
#define DANELAW_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "userspace/config.h"
#include "userspace/dane.h"

/* Who is asked, and by whom. */
struct policy_ask {
	uint8_t mode; /* enum config_client_dane, never AS_LISTENER */
	int16_t by;   /* index of the policy that says so; -1: the listener */
};

/* Can any client of this listener be asked at all?  Where not, policy_ask() need not be called. */
bool policy_asks(const struct config *cfg, const struct config_listener *l);
/* Does any listener turn clients away that are not verified?  Then validation has to work. */
bool policy_requires(const struct config *cfg);
/* The first policy with client-dane of its own whose networks hold the address, else the listener. */
struct policy_ask policy_ask(const struct config *cfg, const struct config_listener *l, const struct in6_addr *ip);

enum policy_answer {
	POLICY_TAKE,
	POLICY_UNVERIFIED, /* 550: it must be verified and is not */
	POLICY_MISMATCH,   /* 550: its records speak against it */
	POLICY_OTHER_NAME, /* 550: verified, but as none of the policy's names */
	POLICY_LATER	   /* 451: it must be verified and a look-up failed */
};
/* identity: "" unless verified.  broken: the look-up failed since validation does not work (dns.when-broken). */
enum policy_answer policy_answer(const struct config *cfg, struct policy_ask ask, enum dane_verdict verdict,
				 const char *identity, bool broken);

/* The first policy that fits all: its index in cfg->policies, or -1. */
int policy_choose(const struct config *cfg, const struct config_listener *l, const struct in6_addr *ip, enum dane_verdict verdict,
		  const char *identity);
/* Does this policy's name list hold the name (or is there none)?  *zone: the zone it was listed by, "" if by name. */
bool policy_names(const struct config_policy *p, const char *name, const char **zone);

#endif
