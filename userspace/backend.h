/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mail farm as the proxy sees it: which backends are up, what they can do, how busy they are, and which
 * of a pool a session should try next.  One object for the whole daemon, shared by the workers: counts
 * are atomic, what probes learned is behind a lock that is held for a copy only.
 */
#ifndef DANELAW_BACKEND_H
#define DANELAW_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/config.h"
#include "userspace/smtp.h"
#include "userspace/target.h"

#define BACKEND_MAX 256 /* in one configuration; a session remembers which it tried in a bit set of this size */
#define BACKEND_WHY_MAX 160

struct backends;

enum backend_state {
	BACKEND_UNKNOWN, /* not probed yet: used as if up */
	BACKEND_UP,
	BACKEND_DOWN,
	BACKEND_LOOKUP_FAILED, /* tls = dane: its addresses or records cannot be had, or it is not known whether validation works */
	BACKEND_UNVERIFIED,    /* its certificate is not what its records, pin or CA say, or it offers no STARTTLS */
	BACKEND_BOGUS,	       /* tls = dane: its addresses or records do not validate */
	BACKEND_STATES
};
const char *backend_state_name(enum backend_state s);

struct backends *backends_new(const struct config *cfg); /* cfg must outlive it; targets are set before it is used */
void backends_free(struct backends *b);

/* The backends a session tried already. */
struct backend_tried {
	uint64_t bits[BACKEND_MAX / 64];
};

/*
 * The backend of the pool to try next: not down, not tried; weighted least connections, or rendezvous hashing of
 * the client's address (so that one backend more or less moves only its share of clients).  Marks it tried.
 * Negative: none is left.
 */
int backend_pick(struct backends *b, size_t pool, const struct in6_addr *client, struct backend_tried *tried);
/* A connection to it begins (before connect) and ends: the load that least-connections sees. */
void backend_begin(struct backends *b, size_t index);
void backend_end(struct backends *b, size_t index);

/*
 * One attempt's outcome, of a probe or of a session.  A backend goes down after `fall` failures in a row and
 * comes back after `rise` successful probes in a row; a session's success does not bring it back, so one
 * lucky connection does not make it flap.  why: a sentence for the log and status.  Changes are logged.
 */
void backend_failed(struct backends *b, size_t index, const char *why);
void backend_probed_ok(struct backends *b, size_t index, const struct smtp_caps *caps);
/* A probe is over; why: NULL if it went well.  For people: what it means is told by the functions around. */
void backend_note_probe(struct backends *b, size_t index, const char *why);
/* A session reached it: ends a row of failures. */
void backend_reached(struct backends *b, size_t index);

/* Verification failed: out at once, until its target changes or a probe finds it verified. */
void backend_unverified(struct backends *b, size_t index, const char *why);
/* Its look-up failed (bogus: was answered, and does not validate): out at once, until the next target. */
void backend_lookup_failed(struct backends *b, size_t index, bool bogus, const char *why);
/* Publishes a target; the reference is taken over.  The backend is as if not yet probed if what decides has changed. */
void backend_set_target(struct backends *b, size_t index, struct target *t);
/* The current one, with a reference for the caller; NULL before the first. */
struct target *backend_target(struct backends *b, size_t index);
/* Which of its addresses to try: another after each failure. */
size_t backend_address(const struct backends *b, size_t index, const struct target *t);

/*
 * Is a backend of the pool left out because its verification or its look-up failed?  The state of the first such one,
 * BACKEND_UNKNOWN if there is none.
 */
enum backend_state backend_pool_unverified(const struct backends *b, size_t pool);
/* Any backend of the pool that is not down? */
bool backend_pool_up(const struct backends *b, size_t pool);
/* What every backend of the pool that is up announced at its last probe; nothing if none was probed. */
void backend_pool_floor(struct backends *b, size_t pool, struct smtp_caps *caps);

/* A copy for danelawctl, metrics and health. */
struct backend_status {
	const char *name;
	enum backend_state state;
	uint32_t sessions;
	uint64_t reached, failed;
	char why[BACKEND_WHY_MAX]; /* of the last failure; "" if none */
	struct smtp_caps caps;
	bool caps_known;
	uint64_t since_ms; /* in this state for so long */
	bool probed;
	char probe_why[BACKEND_WHY_MAX]; /* of the last probe, if any; "" if it went well */
	uint64_t probe_ms;		 /* it ended so long ago */
	uint64_t target_ms;		 /* the target is so old (its ttl says how old it gets) */
};
size_t backend_count(const struct backends *b);
void backend_get_status(struct backends *b, size_t index, struct backend_status *s);

#endif
