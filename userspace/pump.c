/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/pump.h"

void pump_init(struct pump *p, struct leg *from, struct leg *to, struct splice_pool *pool)
{
	*p = (struct pump){ .from = from, .to = to, .pool = pool };
}

/* Is there anything left to be taken, and a pipe to be had? */
static bool worth_asking(const struct pump *p)
{
	return p->pool && !p->pipe && !p->from->fin_seen && splice_has_more(p->pool);
}

static bool is_bare(const struct pump *p)
{
	return leg_is_bare(p->from) && leg_is_bare(p->to);
}

bool pump_may(const struct pump *p)
{
	return worth_asking(p) && is_bare(p);
}

bool pump_begin(struct pump *p)
{
	if (pump_may(p) && leg_can_fill(p->from) && leg_can_drain(p->to))
		p->pipe = splice_get(p->pool);
	return p->pipe;
}

enum { ROUNDS = 8 }; /* pipefuls before others have their turn */

static size_t fill(struct pump *p, uint64_t max)
{
	const size_t some = max < SPLICE_BYTES ? (size_t)max : SPLICE_BYTES;

	return some && leg_can_fill(p->from) ? leg_fill(p->from, p->pipe, some) : 0;
}

size_t pump_run(struct pump *p, uint64_t max)
{
	size_t moved = 0;

	for (int i = 0; i < ROUNDS; i++) {
		if (!p->pipe->held)
			max -= fill(p, max);
		if (p->pipe->held && leg_can_drain(p->to))
			moved += leg_drain(p->to, p->pipe);
		else
			break;
		if (p->pipe->held)
			break;
	}
	*(p->from->kernel || p->to->kernel ? &p->ktls : &p->piped) += moved;
	return moved;
}

void pump_await(const struct pump *p)
{
	if (p->pipe->held)
		leg_await_room(p->to);
	else
		leg_await_input(p->from);
}

void pump_end(struct pump *p)
{
	if (p->pipe)
		splice_put(p->pool, p->pipe);
	p->pipe = NULL;
}

/* ---- TLS to the kernel ---- */

bool pump_may_have(const struct leg *leg)
{
	return leg->tls && !leg->kernel && tls_kernel_can(leg->tls);
}

/*
 * Its owner has looked at this leg already in this turn: what is here, or comes with the rest of a record, would wake nobody,
 * and where the end of its stream is here it will never be quiet.
 */
static bool has_said_something(const struct leg *to)
{
	return ring_busy(&to->sock, RING_RECV) || to->fin_seen || leg_has_input(to) || (pump_may_have(to) && tls_kernel_missing(to->tls));
}

bool pump_may_switch(const struct pump *p)
{
	if (!worth_asking(p) || is_bare(p) || (!leg_is_bare(p->to) && has_said_something(p->to)))
		return false;
	return (leg_is_bare(p->from) || pump_may_have(p->from)) && (leg_is_bare(p->to) || pump_may_have(p->to));
}

bool pump_align(struct pump *p)
{
	return !leg_is_bare(p->from) && !leg_align(p->from) && leg_has_input(p->from);
}

static void switch_leg(struct leg *leg, struct stats *stats)
{
	if (leg_is_bare(leg) || !leg_align(leg) || !leg_is_quiet(leg))
		return;
	bool done = leg_to_kernel(leg);

	leg->careful = false;
	stats_add(stats, done ? COUNT_ktls_legs : COUNT_ktls_refused, 1);
}

void pump_switch(struct pump *p, struct stats *stats)
{
	switch_leg(p->from, stats);
	switch_leg(p->to, stats);
}

void pump_await_record(const struct pump *p)
{
	if (!leg_is_bare(p->from) && tls_kernel_missing(p->from->tls))
		leg_await_input(p->from);
}
