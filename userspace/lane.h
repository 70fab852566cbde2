/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who gets into the front's lane for verified sources: names that policy lists, and names that have earned it by
 * clean sessions.  Authentication is not authorisation, anyone can sign a zone; so the lane is bounded per name and
 * per zone (front.h), and the history of names is a table of a fixed size, kept in the state directory.
 *
 * One object a daemon; any thread, behind a short lock that only sessions of verified clients ever take.
 */
#ifndef DANELAW_LANE_H
#define DANELAW_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/config.h"
#include "userspace/front.h"

struct lane;

/* Does any policy grant the lane? */
bool lane_wanted(const struct config *cfg);
/* Reads the history from cfg's state directory.  front may be NULL: then history alone is kept.  NULL: out of memory. */
struct lane *lane_new(const struct config *cfg, struct front *front);
/* Writes the history if it has changed. */
void lane_free(struct lane *l); /* NULL is fine */
void lane_save(struct lane *l); /* the same, on the way; not from a worker: it writes a file */

/* A verified client under this policy: its source gets the lane for p->lane_ms, or false: not (yet). */
bool lane_grant(struct lane *l, const struct config_policy *p, const struct in6_addr *ip, const char *name);
/* The source has just proved that it is not what it was. */
void lane_withdraw(struct lane *l, const struct in6_addr *ip);
/* A clean session of name, on this day (of the epoch). */
void lane_note_clean(struct lane *l, const char *name, uint32_t day);

/*
 * The zone whose places a name takes: the two last labels, three where the last but one is a registry's word below a
 * country (co.uk, com.br).  The true cut is not to be known without asking; a wrong guess makes names share places.
 */
const char *lane_zone(const char *name);
/* The zone that lane_grant() would take for a name, by the first policy (of the struct config) that grants it the lane. */
const char *lane_zone_of(const void *cfg, const char *name);

/* ---- lane_history.c: clean sessions by name ---- */

#define LANE_FORGET_DAYS 60 /* without a clean session */

struct lane_record {
	uint32_t sessions, days, last_day;
};

struct lane_history;
struct lane_history *lane_history_new(size_t max); /* names, at most; NULL: out of memory */
void lane_history_free(struct lane_history *h);
void lane_history_note(struct lane_history *h, const char *name, uint32_t day);
struct lane_record lane_history_get(const struct lane_history *h, const char *name);
/* Lines "name sessions days last_day".  False: not all could be written, or read; what is no line of ours is skipped. */
bool lane_history_write(const struct lane_history *h, FILE *out);
bool lane_history_read(struct lane_history *h, FILE *in);
size_t lane_history_count(const struct lane_history *h);

#endif
