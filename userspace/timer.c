/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Level L has 64 slots of 64^L ticks each.  A timer stands on the lowest level that reaches its tick; when
 * the wheel comes to a slot of a higher level, the timers in it are put in again and land lower.  A bit a
 * slot tells which ones are in use, so idle stretches are stepped over and the next look is found without
 * walking lists.
 *
 * A due time is rounded up to a tick and the clock down, so nothing fires early.
 */
#include "userspace/timer.h"

#include <stdlib.h>

#include "userspace/log.h"

#define TICK_MS 64
#define LEVELS 4
#define SLOT_BITS 6
#define SLOTS (1u << SLOT_BITS)
#define FARTHEST ((1ull << (LEVELS * SLOT_BITS)) - 1) /* ticks */

struct timer_wheel {
	uint64_t tick; /* the last one whose timers have been fired */
	uint64_t used[LEVELS];
	struct timer *slot[LEVELS * SLOTS];
};

struct timer_wheel *timer_wheel_new(uint64_t now_ms)
{
	struct timer_wheel *w = calloc(1, sizeof(*w));

	if (!w)
		log_fatal("out of memory");
	w->tick = now_ms / TICK_MS;
	return w;
}

void timer_wheel_free(struct timer_wheel *w)
{
	free(w);
}

static void link_timer(struct timer **list, struct timer *t)
{
	t->next = *list;
	t->link = list;
	if (t->next)
		t->next->link = &t->next;
	*list = t;
}

/* earliest: the first tick that is still to be fired. */
static void place(struct timer_wheel *w, struct timer *t, uint64_t earliest)
{
	uint64_t tick = t->due / TICK_MS + (t->due % TICK_MS != 0);
	unsigned level = 0, index;

	if (tick < earliest)
		tick = earliest;
	while (tick - w->tick >= 1ull << ((level + 1) * SLOT_BITS))
		level++;
	index = (unsigned)(tick >> (level * SLOT_BITS)) % SLOTS;
	w->used[level] |= 1ull << index;
	link_timer(&w->slot[level * SLOTS + index], t);
}

void timer_set(struct timer_wheel *w, struct timer *t, uint64_t due_ms)
{
	uint64_t farthest = (w->tick + FARTHEST) * TICK_MS;

	timer_cancel(w, t);
	t->due = due_ms < farthest ? due_ms : farthest;
	place(w, t, w->tick + 1);
}

void timer_cancel(struct timer_wheel *w, struct timer *t)
{
	struct timer **link = t->link;

	if (!link)
		return;
	*link = t->next;
	if (t->next)
		t->next->link = link;
	t->next = NULL;
	t->link = NULL;
	/* the last one of a slot, not of the list that timer_advance() is firing */
	if (!*link && link >= w->slot && link < w->slot + LEVELS * SLOTS) {
		size_t i = (size_t)(link - w->slot);

		w->used[i / SLOTS] &= ~(1ull << (i % SLOTS));
	}
}

/* Takes all timers of a slot off the wheel, onto *list. */
static void take_slot(struct timer_wheel *w, unsigned level, unsigned index, struct timer **list)
{
	struct timer **head = &w->slot[level * SLOTS + index];

	*list = *head;
	if (*list)
		(*list)->link = list;
	*head = NULL;
	w->used[level] &= ~(1ull << index);
}

/* The wheel has come to a slot boundary of level 1 (and perhaps of higher ones). */
static void cascade(struct timer_wheel *w)
{
	unsigned level;

	for (level = 1; level < LEVELS; level++) {
		unsigned index = (unsigned)(w->tick >> (level * SLOT_BITS)) % SLOTS;
		struct timer *list;

		take_slot(w, level, index, &list);
		while (list) {
			struct timer *t = list;

			timer_cancel(w, t);
			place(w, t, w->tick); /* this tick's slot is about to be fired */
		}
		if (index != 0)
			return;
	}
}

static void fire_slot(struct timer_wheel *w)
{
	struct timer *list;

	take_slot(w, 0, (unsigned)(w->tick % SLOTS), &list);
	while (list) {
		struct timer *t = list;

		timer_cancel(w, t);
		t->fire(t);
	}
}

/* Ticks from w->tick to the next slot in use of a level, where it is cascaded (level 0: fired). */
static uint64_t level_distance(const struct timer_wheel *w, unsigned level)
{
	unsigned shift = level * SLOT_BITS;
	uint64_t current = w->tick >> shift;
	unsigned first = (unsigned)(current + 1) % SLOTS;
	uint64_t used = w->used[level];

	if (!used)
		return UINT64_MAX;
	if (first)
		used = used >> first | used << (SLOTS - first);
	return ((current + 1 + (unsigned)__builtin_ctzll(used)) << shift) - w->tick;
}

static uint64_t next_distance(const struct timer_wheel *w)
{
	uint64_t best = UINT64_MAX;
	unsigned level;

	for (level = 0; level < LEVELS; level++) {
		uint64_t d = level_distance(w, level);

		if (d < best)
			best = d;
	}
	return best;
}

void timer_advance(struct timer_wheel *w, uint64_t now_ms)
{
	uint64_t target = now_ms / TICK_MS;

	while (w->tick < target) {
		uint64_t step = next_distance(w);

		if (step > target - w->tick) {
			w->tick = target;
			return;
		}
		w->tick += step;
		if (w->tick % SLOTS == 0)
			cascade(w);
		fire_slot(w);
	}
}

uint32_t timer_next(const struct timer_wheel *w, uint64_t now_ms)
{
	uint64_t distance = next_distance(w), at;

	if (distance == UINT64_MAX)
		return UINT32_MAX;
	at = (w->tick + distance) * TICK_MS;
	if (at <= now_ms)
		return 0;
	return at - now_ms < UINT32_MAX ? (uint32_t)(at - now_ms) : UINT32_MAX - 1;
}
