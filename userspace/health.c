/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/health.h"

#include <stdlib.h>
#include <string.h>

#include "userspace/nexthop.h"

#define NO_TARGET_MS 200

enum probe_state { PROBE_RESTING, PROBE_GREETING, PROBE_QUITTING, PROBE_CLOSING };

struct probe {
	struct leg leg; /* first: wakes come by its address */
	struct health *health;
	struct timer timer;
	struct nexthop hop;
	size_t index;
	enum probe_state state;
};

struct health {
	const struct config *cfg;
	struct backends *backends;
	struct leg_io *io;
	struct timer_wheel *wheel;
	struct stats *stats;
	bool stopping;
	struct probe probes[];
};

static void rest(struct probe *p)
{
	struct health *h = p->health;

	p->state = PROBE_RESTING;
	nexthop_end(&p->hop);
	if (!h->stopping)
		timer_set(h->wheel, &p->timer, ring_now(h->io->ring) + h->cfg->health.interval_ms);
}

static void close_probe(struct probe *p)
{
	p->state = PROBE_CLOSING;
	timer_cancel(p->health->wheel, &p->timer);
	leg_close(&p->leg, false);
	if (p->leg.state == LEG_CLOSED)
		rest(p);
}

static void give_up(struct probe *p, bool unverified)
{
	stats_add(p->health->stats, COUNT_probe_failures, 1);
	backend_note_probe(p->health->backends, p->index, p->hop.why);
	if (unverified)
		backend_unverified(p->health->backends, p->index, p->hop.why);
	else
		backend_failed(p->health->backends, p->index, p->hop.why);
	close_probe(p);
}

static void good(struct probe *p)
{
	backend_note_probe(p->health->backends, p->index, NULL);
	backend_probed_ok(p->health->backends, p->index, &p->hop.caps);
	leg_write(&p->leg, "QUIT\r\n", 6);
	p->state = PROBE_QUITTING;
}

/* 221 and the backend's FIN, so that its log shows a clean end. */
static void see_quit(struct probe *p)
{
	leg_discard(&p->leg);
	if (p->leg.fin_seen || p->leg.error)
		close_probe(p);
}

static void on_wake(struct leg *leg)
{
	struct probe *p = (struct probe *)leg;

	if (leg->state == LEG_CLOSED) {
		rest(p);
		return;
	}
	if (p->state == PROBE_GREETING) {
		enum nexthop_result r = nexthop_run(&p->hop);

		if (r == NEXTHOP_OK)
			good(p);
		else if (r != NEXTHOP_WAIT)
			give_up(p, r == NEXTHOP_UNVERIFIED);
	}
	if (p->state == PROBE_QUITTING)
		see_quit(p);
	if (p->state != PROBE_RESTING)
		leg_settle(&p->leg, p->state != PROBE_CLOSING, RING_COMMAND_BYTES);
}

static void begin(struct probe *p)
{
	struct health *h = p->health;
	struct nexthop_client self = { .helo = h->cfg->hostname, .esmtp = true };

	struct target *target = backend_target(h->backends, p->index);

	if (!target || !target->addr_count) { /* the first look-up is under way, or it failed and that is known */
		target_unref(target);
		timer_set(h->wheel, &p->timer, ring_now(h->io->ring) + NO_TARGET_MS);
		return;
	}
	leg_init(&p->leg, h->io, LEG_BACKEND, on_wake);
	stats_add(h->stats, COUNT_probes, 1);
	p->state = PROBE_GREETING;
	timer_set(h->wheel, &p->timer, ring_now(h->io->ring) + h->cfg->health.timeout_ms);
	enum nexthop_result r = nexthop_start(&p->hop, &p->leg, &h->cfg->backends[p->index], target,
					      backend_address(h->backends, p->index, target), &self);

	if (r == NEXTHOP_FAILED)
		give_up(p, false);
	else if (r == NEXTHOP_NO_SOCKET)
		close_probe(p); /* our own shortage tells nothing about the backend */
}

static void on_timer(struct timer *t)
{
	struct probe *p = (struct probe *)((char *)t - offsetof(struct probe, timer));

	if (p->state == PROBE_RESTING)
		begin(p);
	else if (p->state == PROBE_GREETING) {
		nexthop_timed_out(&p->hop);
		give_up(p, false);
	} else
		close_probe(p);
}

struct health *health_start(const struct config *cfg, struct backends *backends, struct leg_io *io,
			    struct timer_wheel *wheel, struct stats *stats)
{
	struct health *h = calloc(1, sizeof(*h) + cfg->backend_count * sizeof(h->probes[0]));

	if (!h)
		return NULL;
	h->cfg = cfg;
	h->backends = backends;
	h->io = io;
	h->wheel = wheel;
	h->stats = stats;
	for (size_t i = 0; i < cfg->backend_count; i++) {
		struct probe *p = &h->probes[i];

		p->health = h;
		p->index = i;
		p->timer.fire = on_timer;
		begin(p);
	}
	return h;
}

void health_stop(struct health *h)
{
	h->stopping = true;
	for (size_t i = 0; i < h->cfg->backend_count; i++) {
		timer_cancel(h->wheel, &h->probes[i].timer);
		if (h->probes[i].state == PROBE_GREETING || h->probes[i].state == PROBE_QUITTING)
			close_probe(&h->probes[i]);
	}
}

bool health_idle(const struct health *h)
{
	for (size_t i = 0; i < h->cfg->backend_count; i++)
		if (h->probes[i].state != PROBE_RESTING)
			return false;
	return true;
}

void health_free(struct health *h)
{
	free(h);
}
