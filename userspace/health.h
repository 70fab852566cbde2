/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Polite health probes of every backend, on one worker's ring: connect, PROXY LOCAL, the whole banner, EHLO,
 * QUIT, wait for 221.  They go through nexthop.c like a session, so what they find is what sessions meet.
 */
#ifndef DANELAW_HEALTH_H
#define DANELAW_HEALTH_H

#include "userspace/backend.h"
#include "userspace/leg.h"
#include "userspace/stats.h"
#include "userspace/timer.h"

struct health;

/* Begins at once; each backend again interval_ms after its last probe was over.  NULL: out of memory. */
struct health *health_start(const struct config *cfg, struct backends *backends, struct leg_io *io,
			    struct timer_wheel *wheel, struct stats *stats);
/* No more probes; those under way are cut.  health_free() once health_idle(). */
void health_stop(struct health *h);
bool health_idle(const struct health *h);
void health_free(struct health *h);

#endif
