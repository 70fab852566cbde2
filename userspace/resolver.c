/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/resolver.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MS 5000	    /* after a failed look-up */
#define NOT_YET_MS 200	    /* while it is not known whether validation works */
#define TTL_MAX_S 3600

struct watched {
	struct resolver *r;
	struct timer timer;
	size_t index;
	struct dane_plan *plan; /* NULL: resting */
	struct dns_run *run;
};

struct resolver {
	struct ring_socket sock; /* first: the inbox's descriptor */
	const struct config *cfg;
	struct backends *backends;
	struct dns *dns;
	struct dns_inbox *inbox;
	struct ring *ring;
	struct timer_wheel *wheel;
	bool stopping, closed;
	size_t count;
	struct watched each[];
};

static void ask_in(struct watched *w, uint64_t ms)
{
	if (!w->r->stopping)
		timer_set(w->r->wheel, &w->timer, ring_now(w->r->ring) + ms);
}

/* The duty towards one backend is known. */
static uint64_t publish(struct watched *w, const struct dane_host *host)
{
	struct resolver *r = w->r;
	struct target *base = backend_target(r->backends, w->index), *fresh;

	if (host->duty != DANE_NONE && host->duty != DANE_TLS_REQUIRED && host->duty != DANE_AUTHENTICATE) {
		target_unref(base);
		backend_lookup_failed(r->backends, w->index, host->why == DANE_WHY_TLSA_BOGUS || host->why == DANE_WHY_ADDRESS_BOGUS,
				      host->reason);
		return RETRY_MS;
	}
	fresh = target_from_dane(base, host);
	target_unref(base);
	if (!fresh) {
		backend_lookup_failed(r->backends, w->index, false, "out of memory");
		return RETRY_MS;
	}
	backend_set_target(r->backends, w->index, fresh);
	uint32_t ttl = host->ttl > TTL_MAX_S ? TTL_MAX_S : host->ttl ? host->ttl : 1;

	return (uint64_t)ttl * 1000;
}

static void on_done(void *ctx)
{
	struct watched *w = ctx;
	const struct dane_outcome *o = dane_plan_outcome(w->plan);
	uint64_t again = RETRY_MS;

	if (o->host_count)
		again = publish(w, &o->hosts[0]);
	else
		backend_lookup_failed(w->r->backends, w->index, false, o->reason);
	dns_run_free(w->run);
	dane_plan_free(w->plan);
	w->run = NULL;
	w->plan = NULL;
	ask_in(w, again);
}

/* Without working validation every answer would look like "no DANE here". */
static bool validation_stands(struct watched *w)
{
	struct dns_health health;
	struct resolver *r = w->r;

	dns_health(r->dns, &health);
	if (health.state == DNS_VALIDATES || r->cfg->dns.when_broken == CONFIG_RUN_WITHOUT)
		return true;
	if (health.state != DNS_UNKNOWN)
		backend_lookup_failed(r->backends, w->index, false, health.text);
	ask_in(w, health.state == DNS_UNKNOWN ? NOT_YET_MS : RETRY_MS);
	return false;
}

static void on_timer(struct timer *t)
{
	struct watched *w = (struct watched *)((char *)t - offsetof(struct watched, timer));
	const struct config_backend *b = &w->r->cfg->backends[w->index];

	if (!validation_stands(w))
		return;
	w->plan = dane_plan_host(NULL, b->host, b->port);
	w->run = w->plan ? dns_run_plan(w->r->inbox, w->plan, on_done, w) : NULL;
	if (w->run)
		return;
	dane_plan_free(w->plan);
	w->plan = NULL;
	backend_lookup_failed(w->r->backends, w->index, false, "out of memory");
	ask_in(w, RETRY_MS);
}

static void on_readable(struct ring_socket *s)
{
	dns_collect(((struct resolver *)s)->inbox);
}

static void on_closed(struct ring_socket *s)
{
	((struct resolver *)s)->closed = true;
}

static const struct ring_handler handler = { .readable = on_readable, .closed = on_closed };

struct resolver *resolver_start(const struct config *cfg, struct backends *backends, struct dns *dns, struct ring *ring,
				struct timer_wheel *wheel)
{
	struct resolver *r = calloc(1, sizeof(*r) + cfg->backend_count * sizeof(r->each[0]));

	if (!r)
		return NULL;
	r->inbox = dns_inbox_open(dns);
	int fd = r->inbox ? dup(dns_inbox_fd(r->inbox)) : -1;

	if (fd < 0) {
		if (r->inbox)
			dns_inbox_close(r->inbox);
		free(r);
		return NULL;
	}
	r->cfg = cfg;
	r->backends = backends;
	r->dns = dns;
	r->ring = ring;
	r->wheel = wheel;
	ring_socket_init(&r->sock, &handler);
	ring_adopt(ring, &r->sock, fd);
	ring_watch(ring, &r->sock);
	for (size_t i = 0; i < cfg->backend_count; i++) {
		if (cfg->backends[i].tls != CONFIG_TLS_DANE)
			continue;
		struct watched *w = &r->each[r->count++];

		w->r = r;
		w->index = i;
		w->timer.fire = on_timer;
		ask_in(w, 0);
	}
	return r;
}

void resolver_stop(struct resolver *r)
{
	r->stopping = true;
	for (size_t i = 0; i < r->count; i++) {
		timer_cancel(r->wheel, &r->each[i].timer);
		dns_run_free(r->each[i].run);
		dane_plan_free(r->each[i].plan);
	}
	dns_inbox_close(r->inbox);
	ring_close(r->ring, &r->sock, false);
}

bool resolver_idle(const struct resolver *r)
{
	return r->closed;
}

void resolver_free(struct resolver *r)
{
	free(r);
}
