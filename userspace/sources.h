/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many sessions each source holds, over all workers: the truth behind the front's `blocked` map.  A source is
 * an IPv4 address or an IPv6 /64.
 *
 * There is a row for a source only while it holds a session, so the limit on sessions bounds the table.  The
 * moment a source holds as many as it may, the front is told to drop its new connections; the moment it holds
 * fewer, to let them in again.  Should the daemon die in between, the front forgets by itself.
 */
#ifndef DANELAW_SOURCES_H
#define DANELAW_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/front.h"
#include "userspace/net.h"

struct sources;

#define SOURCES_BLOCK_MS 60000 /* a source that stays at its limit is told again at its next connection after that */

/* limit: sessions a source; sessions: of all, for the size.  front may be NULL.  NULL: out of memory. */
struct sources *sources_new(unsigned limit, size_t sessions, struct front *front);
void sources_free(struct sources *s);
/* Any thread.  False: the source holds as many as it may, and no exception is made for it. */
bool sources_take(struct sources *s, const struct in6_addr *ip);
/* Once for each take that was true. */
void sources_release(struct sources *s, const struct in6_addr *ip);
/* Sessions that the source holds now. */
unsigned sources_count(struct sources *s, const struct in6_addr *ip);

#endif
