// SPDX-License-Identifier: BSD-2-Clause
/*
 * The DNS thread: takes questions from the queue, joins those for the same name and type, keeps to the bounds and
 * the deadline, hands answers to inboxes.
 *
 * A waiter is the meeting point of two threads.  Its query pointer is read and written by the asking thread alone:
 * dns_cancel() sets it to NULL and forgets the waiter, the DNS thread never looks at it, and dns_collect() passes a
 * cut-off waiter by.  So a cancelled query can be freed at once, with no generations and no locks.
 */
#include "userspace/dns.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "userspace/dns_internal.h"

struct dns_inbox {
	struct dns *dns;
	atomic_uint refs;	    /* the owner's and one a waiter */
	int fd;
	struct dns_waiter *pending; /* the owner's: not cancelled, not collected */
	pthread_mutex_t lock;	    /* of what follows */
	struct dns_waiter *done, **done_end;
	bool closed;
};

uint64_t dns_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN) /* EAGAIN: it is awake for long */
		abort();
}

static void calm(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		abort();
}

/* ---- answers ---- */

struct dns_answer *dns_answer_new(size_t rdata_count, size_t bytes)
{
	struct dns_answer *a = must(calloc(1, sizeof(*a) + rdata_count * sizeof(a->rdata[0]) + bytes));

	atomic_init(&a->refs, 1);
	a->reply.why = a->why;
	a->reply.canonical = a->canonical;
	a->reply.rdata = a->rdata;
	a->reply.count = rdata_count;
	return a;
}

struct dns_answer *dns_answer_failed(const char *why, bool bogus)
{
	struct dns_answer *a = dns_answer_new(0, 0);

	a->reply.answer = DANE_FAILED;
	a->reply.bogus = bogus;
	snprintf(a->why, sizeof(a->why), "%s", why);
	return a;
}

void dns_answer_unref(struct dns_answer *a)
{
	if (a && atomic_fetch_sub(&a->refs, 1) == 1)
		free(a);
}

/* ---- inboxes: the asking thread's side ---- */

struct dns_inbox *dns_inbox_open(struct dns *d)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return NULL;
	struct dns_inbox *b = must(calloc(1, sizeof(*b)));

	b->dns = d;
	atomic_init(&b->refs, 1);
	b->fd = fd;
	pthread_mutex_init(&b->lock, NULL);
	b->done_end = &b->done;
	return b;
}

int dns_inbox_fd(const struct dns_inbox *b)
{
	return b->fd;
}

static void inbox_unref(struct dns_inbox *b)
{
	if (atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	close(b->fd);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static void waiter_free(struct dns_waiter *w)
{
	dns_answer_unref(w->answer);
	if (w->inbox)
		inbox_unref(w->inbox);
	free(w);
}

/* Cuts a query and its waiter apart. */
static void detach(struct dns_waiter *w)
{
	w->query->waiter = NULL;
	w->query = NULL;
	*w->mine_link = w->mine_next;
	if (w->mine_next)
		w->mine_next->mine_link = w->mine_link;
}

static struct dns_waiter *take_done(struct dns_inbox *b)
{
	pthread_mutex_lock(&b->lock);
	struct dns_waiter *list = b->done;

	b->done = NULL;
	b->done_end = &b->done;
	pthread_mutex_unlock(&b->lock);
	return list;
}

void dns_collect(struct dns_inbox *b)
{
	struct dns_waiter *w, *next;

	calm(b->fd);
	for (w = take_done(b); w; w = next) {
		struct dns_query *q = w->query;

		next = w->next;
		if (q) {
			detach(w);
			q->answered(q, &w->answer->reply);
		}
		waiter_free(w);
	}
}

void dns_inbox_close(struct dns_inbox *b)
{
	struct dns_waiter *w, *next;

	while (b->pending)
		detach(b->pending);
	pthread_mutex_lock(&b->lock);
	b->closed = true;
	pthread_mutex_unlock(&b->lock);
	for (w = take_done(b); w; w = next) {
		next = w->next;
		waiter_free(w);
	}
	inbox_unref(b);
}

static void queue_put(struct dns *d, struct dns_waiter *w)
{
	pthread_mutex_lock(&d->lock);
	bool was_empty = d->queue == NULL;

	*d->queue_end = w;
	d->queue_end = &w->next;
	pthread_mutex_unlock(&d->lock);
	if (was_empty)
		wake(d->wake_fd);
}

void dns_ask(struct dns_inbox *b, struct dns_query *q, const char *name, uint16_t type,
	     void (*answered)(struct dns_query *q, const struct dane_reply *r))
{
	struct dns_waiter *w = must(calloc(1, sizeof(*w)));

	w->query = q;
	w->inbox = b;
	atomic_fetch_add(&b->refs, 1);
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->type = type;
	w->mine_next = b->pending;
	w->mine_link = &b->pending;
	if (b->pending)
		b->pending->mine_link = &w->mine_next;
	b->pending = w;
	q->waiter = w;
	q->answered = answered;
	queue_put(b->dns, w);
}

void dns_cancel(struct dns_query *q)
{
	if (q->waiter)
		detach(q->waiter);
}

/* ---- the DNS thread: look-ups ---- */

/* w is over with a (a reference of its own). */
static void waiter_done(struct dns *d, struct dns_waiter *w, struct dns_answer *a)
{
	struct dns_inbox *b = w->inbox;

	atomic_fetch_sub(&d->count.waiting, 1);
	w->answer = a;
	w->next = NULL;
	if (!b) {
		dns_probe_answered(d, w->probe_bogus, &a->reply);
		waiter_free(w);
		return;
	}
	atomic_fetch_add(&b->refs, 1); /* the owner may collect w and close the inbox before we are through */
	pthread_mutex_lock(&b->lock);
	bool closed = b->closed, was_empty = b->done == NULL;

	if (!closed) {
		*b->done_end = w;
		b->done_end = &w->next;
	}
	pthread_mutex_unlock(&b->lock);
	if (closed)
		waiter_free(w);
	else if (was_empty)
		wake(b->fd);
	inbox_unref(b);
}

static struct dns_lookup **bucket(struct dns *d, const char *name, uint16_t type)
{
	uint32_t h = 2166136261u ^ type;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return &d->buckets[(h ^ h >> 16) % DNS_BUCKETS];
}

static void unlink_lookup(struct dns_lookup *l)
{
	struct dns *d = l->dns;
	struct dns_lookup **at = bucket(d, l->name, l->type);

	while (*at != l)
		at = &(*at)->chain;
	*at = l->chain;
	*(l->earlier ? &l->earlier->later : &d->first) = l->later;
	*(l->later ? &l->later->earlier : &d->last) = l->earlier;
	atomic_fetch_sub(&d->count.in_flight, 1);
}

void dns_lookup_done(struct dns_lookup *l, struct dns_answer *a)
{
	struct dns *d = l->dns;
	struct dns_waiter *w = l->waiters, *next;

	if (a->reply.ttl > d->max_ttl_s)
		a->reply.ttl = d->max_ttl_s;
	if (a->reply.answer == DANE_FAILED) {
		atomic_fetch_add(&d->count.failed, 1);
		atomic_fetch_add(&d->count.bogus, a->reply.bogus);
	}
	unlink_lookup(l);
	for (; w; w = next) {
		next = w->next;
		atomic_fetch_add(&a->refs, 1);
		waiter_done(d, w, a);
	}
	dns_answer_unref(a);
	free(l);
}

static void refuse(struct dns *d, struct dns_waiter *w, const char *why)
{
	atomic_fetch_add(&d->count.failed, 1);
	waiter_done(d, w, dns_answer_failed(why, false));
}

static struct dns_lookup *lookup_new(struct dns *d, const struct dns_waiter *w)
{
	struct dns_lookup *l = must(calloc(1, sizeof(*l))), **head = bucket(d, w->name, w->type);

	l->dns = d;
	memcpy(l->name, w->name, sizeof(l->name));
	l->type = w->type;
	l->probe = !w->inbox;
	l->deadline_ms = dns_now_ms() + d->deadline_ms;
	l->chain = *head;
	*head = l;
	l->earlier = d->last;
	*(d->last ? &d->last->later : &d->first) = l;
	d->last = l;
	atomic_fetch_add(&d->count.in_flight, 1);
	return l;
}

void dns_admit(struct dns *d, struct dns_waiter *w)
{
	struct dns_lookup *l = *bucket(d, w->name, w->type);
	const char *why;

	if (w->type == DNS_TYPE_NONE) {
		atomic_fetch_add(&d->count.waiting, 1);
		waiter_done(d, w, dns_answer_failed("nothing was asked", false));
		return;
	}
	atomic_fetch_add(&d->count.asked, 1);
	if (atomic_fetch_add(&d->count.waiting, 1) >= d->max_waiters) {
		atomic_fetch_add(&d->count.refused, 1);
		refuse(d, w, "too many wait for look-ups");
		return;
	}
	while (l && (l->type != w->type || l->probe != !w->inbox || strcmp(l->name, w->name) != 0))
		l = l->chain;
	if (l) {
		atomic_fetch_add(&d->count.joined, 1);
	} else if (d->count.in_flight >= d->max_in_flight) {
		atomic_fetch_add(&d->count.refused, 1);
		refuse(d, w, "too many look-ups in flight");
		return;
	} else {
		l = lookup_new(d, w);
		if (dns_engine_ask(d->engine, l, &why)) {
			l->waiters = w;
			w->next = NULL;
			dns_lookup_done(l, dns_answer_failed(why, false));
			return;
		}
	}
	w->next = l->waiters;
	l->waiters = w;
}

/* ---- the DNS thread: its loop ---- */

static struct dns_waiter *take_queue(struct dns *d, bool *stop)
{
	pthread_mutex_lock(&d->lock);
	struct dns_waiter *list = d->queue;

	d->queue = NULL;
	d->queue_end = &d->queue;
	*stop = d->stop;
	pthread_mutex_unlock(&d->lock);
	return list;
}

static void expire(struct dns *d, uint64_t now)
{
	char why[64];

	while (d->first && d->first->deadline_ms <= now) {
		snprintf(why, sizeof(why), "no answer within %u.%u s", d->deadline_ms / 1000,
			 d->deadline_ms / 100 % 10);
		atomic_fetch_add(&d->count.timed_out, 1);
		dns_engine_cancel(d->engine, d->first);
		dns_lookup_done(d->first, dns_answer_failed(why, false));
	}
}

static void end_all(struct dns *d)
{
	while (d->first) {
		dns_engine_cancel(d->engine, d->first);
		dns_lookup_done(d->first, dns_answer_failed("stopping", false));
	}
}

static int time_to_wait(const struct dns *d, uint64_t now)
{
	uint64_t next = d->prober.next_ms;

	if (d->first && d->first->deadline_ms < next)
		next = d->first->deadline_ms;
	if (next <= now)
		return 0;
	return next - now > 3600000 ? 3600000 : (int)(next - now);
}

static void *dns_thread(void *ctx)
{
	struct dns *d = ctx;
	struct pollfd fds[1 + DNS_ENGINE_FDS] = { { .fd = d->wake_fd, .events = POLLIN } };
	struct dns_waiter *w, *next;
	int engine[DNS_ENGINE_FDS];
	bool stop = false;

	dns_engine_fds(d->engine, engine);
	for (int i = 0; i < DNS_ENGINE_FDS; i++)
		fds[1 + i] = (struct pollfd){ .fd = engine[i], .events = POLLIN };

	while (!stop) {
		dns_probe_tick(d, dns_now_ms());
		if (poll(fds, 1 + DNS_ENGINE_FDS, time_to_wait(d, dns_now_ms())) < 0 && errno != EINTR)
			abort();
		if (fds[0].revents)
			calm(d->wake_fd);
		for (w = take_queue(d, &stop); w; w = next) {
			next = w->next;
			dns_admit(d, w);
		}
		if (fds[1].revents || fds[2].revents)
			dns_engine_process(d->engine);
		expire(d, dns_now_ms());
	}
	end_all(d);
	return NULL;
}

/* Signals are for the thread that waits for them. */
static int start_thread(struct dns *d, char *err, size_t size)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	dns_probe_tick(d, dns_now_ms()); /* the first question makes libunbound start its thread: masked, here as in ours */
	if (d->health.state == DNS_NO_ANSWER) /* at once: the question was not even taken */
		error = EINVAL;
	else
		error = pthread_create(&d->thread, NULL, dns_thread, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == EINVAL)
		snprintf(err, size, "libunbound cannot start (is the trust anchor well-formed?): %s", d->health.text);
	else if (error)
		snprintf(err, size, "the DNS thread cannot be started: %s", strerror(error));
	return -error;
}

static void dns_free(struct dns *d)
{
	dns_engine_free(d->engine);
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static void set_probes(struct dns *d, const struct dns_settings *set)
{
	struct dns_prober *p = &d->prober;

	snprintf(p->secure, sizeof(p->secure), "%s", set->probe_secure ? set->probe_secure : ".");
	snprintf(p->bogus, sizeof(p->bogus), "%s", set->probe_bogus ? set->probe_bogus : "");
	d->probe_interval_ms = set->probe_interval_ms ? set->probe_interval_ms : DNS_PROBE_INTERVAL_MS;
	snprintf(d->health.text, sizeof(d->health.text), "the first probe is under way");
}

int dns_start(const struct dns_settings *set, struct dns **out, char *err, size_t err_size)
{
	struct dns *d = must(calloc(1, sizeof(*d)));
	int error;

	pthread_mutex_init(&d->lock, NULL);
	d->queue_end = &d->queue;
	d->max_in_flight = set->max_in_flight ? set->max_in_flight : DNS_MAX_IN_FLIGHT;
	d->max_waiters = d->max_in_flight * DNS_WAITERS_PER_LOOKUP;
	d->deadline_ms = set->deadline_ms ? set->deadline_ms : DNS_DEADLINE_MS;
	d->max_ttl_s = set->max_ttl_s ? set->max_ttl_s : DNS_MAX_TTL_S;
	set_probes(d, set);
	d->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = d->wake_fd < 0 ? -errno : 0;
	if (error)
		snprintf(err, err_size, "DNS: %s", strerror(-error));
	if (!error)
		error = dns_engine_new(set, d->max_ttl_s, &d->engine, err, err_size);
	if (!error)
		error = start_thread(d, err, err_size);
	if (error) {
		end_all(d);
		dns_free(d);
		return error;
	}
	*out = d;
	return 0;
}

void dns_stop(struct dns *d)
{
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_mutex_unlock(&d->lock);
	wake(d->wake_fd);
	pthread_join(d->thread, NULL);
	dns_free(d);
}

/* ---- what can be read ---- */

void dns_health(struct dns *d, struct dns_health *out)
{
	pthread_mutex_lock(&d->lock);
	*out = d->health;
	pthread_mutex_unlock(&d->lock);
}

void dns_counts(struct dns *d, struct dns_counts *out)
{
	*out = (struct dns_counts){
		.asked = d->count.asked,
		.joined = d->count.joined,
		.refused = d->count.refused,
		.timed_out = d->count.timed_out,
		.failed = d->count.failed,
		.bogus = d->count.bogus,
		.in_flight = d->count.in_flight,
		.waiting = d->count.waiting,
	};
}
