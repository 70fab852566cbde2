/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hierarchical timer wheel (4 levels of 64 slots, ticks of 64 ms): O(1) to set and to cancel, whatever
 * the number of sessions.  One wheel a worker; not thread-safe.  A timer fires at most one tick late and
 * never early.  Longest time-out: 64^4 ticks, about 12 days; longer ones are cut to it.
 */
#ifndef DANELAW_TIMER_H
#define DANELAW_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
	struct timer *next, **link; /* link == NULL: not set */
	uint64_t due;		    /* ms, the wheel's clock */
	void (*fire)(struct timer *t);
};

struct timer_wheel;

struct timer_wheel *timer_wheel_new(uint64_t now_ms);
void timer_wheel_free(struct timer_wheel *w);

/* Sets or moves t to fire at due_ms (wheel's clock); fire may set t again or free its owner. */
void timer_set(struct timer_wheel *w, struct timer *t, uint64_t due_ms);
void timer_cancel(struct timer_wheel *w, struct timer *t); /* also right for a timer that is not set */
static inline bool timer_is_set(const struct timer *t) { return t->link != 0; }

/* Fires what is due. */
void timer_advance(struct timer_wheel *w, uint64_t now_ms);
/* Milliseconds until the next look at the wheel is needed; UINT32_MAX when no timer is set. */
uint32_t timer_next(const struct timer_wheel *w, uint64_t now_ms);

#endif
