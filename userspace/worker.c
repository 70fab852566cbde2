/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "userspace/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "userspace/health.h"
#include "userspace/listener.h"
#include "userspace/log.h"
#include "userspace/resolver.h"

#define NOTE_TLS 1u
#define NOTE_DRAIN 2u
#define NOTE_CUT 4u

struct worker {
	struct worker_settings set;
	pthread_t thread;
	sem_t started;
	int start_error;
	char start_why[256]; /* the ring's word, which goes with the thread */
	/* notes from other threads: */
	int wake_fd;
	pthread_mutex_t lock;
	unsigned notes;
	struct tls_server **new_tls;
	struct worker_call *calls;
	bool over; /* no more calls are taken */
	/* the thread's own: */
	struct ring_socket wake;
	struct session_env env;
	struct leg_io io;
	struct stats stats;
	struct session_listener *serve; /* per configured listener */
	struct listener *listeners;	/* per socket */
	size_t listener_count;
	struct health *health;
	struct resolver *resolver;
	bool draining, judging_stopped, done;
};

/* What may be announced to clients if the backend announces it (SMTP keywords that pass unchanged). */
static uint32_t announced(void)
{
	return SMTP_CAP_BIT(PIPELINING) | SMTP_CAP_BIT(SIZE) | SMTP_CAP_BIT(8BITMIME) | SMTP_CAP_BIT(SMTPUTF8) |
	       SMTP_CAP_BIT(DSN) | SMTP_CAP_BIT(ENHANCEDSTATUSCODES) | SMTP_CAP_BIT(DELIVERBY) |
	       SMTP_CAP_BIT(MT_PRIORITY) | SMTP_CAP_BIT(FUTURERELEASE) | SMTP_CAP_BIT(LIMITS) | SMTP_CAP_BIT(CHUNKING) |
	       SMTP_CAP_BIT(BINARYMIME) | SMTP_CAP_BIT(RRVS);
}

/* ---- notes ---- */

static void post(struct worker *w, unsigned note)
{
	pthread_mutex_lock(&w->lock);
	w->notes |= note;
	pthread_mutex_unlock(&w->lock);
	eventfd_write(w->wake_fd, 1);
}

static void drop_tls(struct tls_server **tls, size_t n)
{
	for (size_t i = 0; tls && i < n; i++)
		tls_server_unref(tls[i]);
	free(tls);
}

void worker_post_tls(struct worker *w, struct tls_server *const *tls)
{
	size_t n = w->set.cfg->listener_count;
	struct tls_server **mine = calloc(n ? n : 1, sizeof(*mine)), **old;

	if (!mine)
		return;
	for (size_t i = 0; i < n; i++)
		mine[i] = tls[i] ? tls_server_ref(tls[i]) : NULL;
	pthread_mutex_lock(&w->lock);
	old = w->new_tls;
	w->new_tls = mine;
	pthread_mutex_unlock(&w->lock);
	drop_tls(old, n);
	post(w, NOTE_TLS);
}

void worker_post_drain(struct worker *w)
{
	post(w, NOTE_DRAIN);
}

void worker_post_cut(struct worker *w)
{
	post(w, NOTE_CUT);
}

int worker_post_call(struct worker *w, struct worker_call *call)
{
	pthread_mutex_lock(&w->lock);
	bool over = w->over;

	if (!over) {
		call->next = w->calls;
		w->calls = call;
	}
	pthread_mutex_unlock(&w->lock);
	if (over)
		return -ESHUTDOWN;
	eventfd_write(w->wake_fd, 1);
	return 0;
}

static void run_calls(struct worker_call *call, const struct session_env *env)
{
	for (struct worker_call *next; call; call = next) {
		next = call->next;
		call->run(call, env);
	}
}

/* Nobody is at home any more: those that came too late learn it. */
static void end_calls(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	struct worker_call *calls = w->calls;

	w->calls = NULL;
	w->over = true;
	pthread_mutex_unlock(&w->lock);
	run_calls(calls, NULL);
}

static void take_tls(struct worker *w, struct tls_server **fresh)
{
	for (size_t i = 0; i < w->set.cfg->listener_count; i++) {
		tls_server_unref(w->serve[i].tls);
		w->serve[i].tls = fresh[i];
		w->serve[i].relay.starttls = fresh[i];
		for (size_t p = 0; w->serve[i].policy_relay && p < w->set.cfg->policy_count; p++)
			w->serve[i].policy_relay[p].starttls = fresh[i];
	}
	free(fresh);
}

static void drain(struct worker *w)
{
	w->draining = true;
	for (size_t i = 0; i < w->listener_count; i++)
		listener_stop(&w->listeners[i]);
	if (w->health)
		health_stop(w->health);
	if (w->resolver)
		resolver_stop(w->resolver);
	session_drain(&w->env);
}

static void on_note(struct ring_socket *sock)
{
	struct worker *w = (struct worker *)((char *)sock - offsetof(struct worker, wake));
	struct tls_server **fresh;
	struct worker_call *calls;
	eventfd_t count;
	unsigned notes;

	eventfd_read(w->wake_fd, &count);
	pthread_mutex_lock(&w->lock);
	notes = w->notes;
	w->notes = 0;
	fresh = w->new_tls;
	w->new_tls = NULL;
	calls = w->calls;
	w->calls = NULL;
	pthread_mutex_unlock(&w->lock);
	run_calls(calls, &w->env);
	if (fresh)
		take_tls(w, fresh);
	if ((notes & NOTE_DRAIN) && !w->draining)
		drain(w);
	if (notes & NOTE_CUT)
		session_cut(&w->env);
}

/* ---- the thread ---- */

static void on_wake_closed(struct ring_socket *sock)
{
	/* run() sees it by the descriptor */
}

static const struct ring_handler wake_handler = { .readable = on_note, .closed = on_wake_closed };

static int begin(struct worker *w)
{
	static const enum ring_backend kinds[] = { RING_AUTO, RING_URING, RING_EPOLL };
	struct ring_settings ring = { .backend = kinds[w->set.cfg->io],
				      .starved = &w->stats.count[COUNT_receive_starved] };
	struct timespec now;
	const char *why;
	int r = ring_new(&ring, &w->env.ring, &why);

	snprintf(w->start_why, sizeof(w->start_why), "%s", why);
	if (r < 0)
		return r;
	r = leg_io_init(&w->io, w->env.ring);
	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	w->env.cfg = w->set.cfg;
	w->env.io = &w->io;
	w->env.stats = &w->stats;
	w->env.backends = w->set.backends;
	w->env.shared = w->set.shared;
	w->env.lane = w->set.lane;
	/* session ids: unique over workers and restarts, and not one after the other over the farm */
	w->env.next_id = ((uint64_t)now.tv_sec << 24) + ((uint64_t)w->set.index << 56);
	w->env.wheel = timer_wheel_new(ring_now(w->env.ring));
	if (!w->env.wheel)
		return -ENOMEM;
	if (w->set.cfg->relay.splice_above) {
		w->env.pipes = splice_pool_new(SPLICE_PIPES);
		if (!w->env.pipes)
			return -ENOMEM;
	}
	ring_socket_init(&w->wake, &wake_handler);
	ring_adopt(w->env.ring, &w->wake, dup(w->wake_fd));
	ring_watch(w->env.ring, &w->wake);
	return 0;
}

static int begin_probing(struct worker *w)
{
	if (w->set.dns)
		w->resolver = resolver_start(w->set.cfg, w->set.backends, w->set.dns, w->env.ring, w->env.wheel);
	w->health = health_start(w->set.cfg, w->set.backends, &w->io, w->env.wheel, &w->stats);
	return !w->health || (w->set.dns && !w->resolver) ? -ENOMEM : 0;
}

/* What strangers make us look up leaves room for what backends need. */
static int begin_judging(struct worker *w)
{
	const struct config *cfg = w->set.cfg;
	uint32_t third = cfg->dns.max_in_flight / 3 ? cfg->dns.max_in_flight / 3 : 1;
	struct client_dane_settings set = { .dns = w->set.dns,
					    .ring = w->env.ring,
					    .stats = &w->stats,
					    .in_flight = &w->set.shared->judgements,
					    .in_flight_max = cfg->limits.client_judgements < third ? cfg->limits.client_judgements : third,
					    .cache_max = cfg->limits.client_cache };

	w->env.client_dane = client_dane_start(&set);
	return w->env.client_dane ? 0 : -ENOMEM;
}

/* The listener's relay as each of its policies changes it. */
static int set_policies(struct session_listener *s, const struct config *cfg)
{
	s->asks = policy_asks(cfg, s->cfg);
	s->gives_tls = cfg->relay.ktls == CONFIG_KTLS_ALL;
	for (size_t i = 0; i < s->cfg->policy_count; i++)
		s->gives_tls |= cfg->policies[s->cfg->policies[i]].relay == CONFIG_RELAY_SPLICE;
	s->gives_tls &= tls_kernel()->works;
	if (!s->cfg->policy_count)
		return 0;
	s->policy_relay = calloc(cfg->policy_count, sizeof(*s->policy_relay));
	if (!s->policy_relay)
		return -ENOMEM;
	for (size_t p = 0; p < cfg->policy_count; p++) {
		s->policy_relay[p] = s->relay;
		if (cfg->policies[p].max_size)
			s->policy_relay[p].max_size = cfg->policies[p].max_size;
	}
	return 0;
}

static int begin_listening(struct worker *w)
{
	const struct config *cfg = w->set.cfg;
	size_t total = 0;

	for (size_t i = 0; i < cfg->listener_count; i++)
		total += (size_t)w->set.fd_counts[i];
	w->listeners = calloc(total ? total : 1, sizeof(*w->listeners));
	w->serve = calloc(cfg->listener_count ? cfg->listener_count : 1, sizeof(*w->serve));
	if (!w->listeners || !w->serve || (w->set.judges_clients && begin_judging(w)))
		return -ENOMEM;
	for (size_t i = 0; i < cfg->listener_count; i++) {
		struct session_listener *s = &w->serve[i];

		s->cfg = &cfg->listeners[i];
		s->relay = (struct relay_settings){ .hostname = s->cfg->hostname,
						    .max_size = s->cfg->max_size,
						    .newline = (uint8_t)s->cfg->newline,
						    .cap_mask = announced(),
						    .buffer = cfg->limits.relay_buffer };
		s->tls = w->set.tls[i] ? tls_server_ref(w->set.tls[i]) : NULL;
		s->relay.starttls = s->tls;
		if (set_policies(s, cfg))
			return -ENOMEM;
		for (int k = 0; k < w->set.fd_counts[i]; k++)
			listener_start(&w->listeners[w->listener_count++], &w->env, s, w->set.fds[i][k]);
	}
	return w->set.probes ? begin_probing(w) : 0;
}

/* Once no session can want a verdict any more. */
static void stop_judging(struct worker *w)
{
	if (!w->draining || w->env.sessions || !w->env.client_dane || w->judging_stopped)
		return;
	w->judging_stopped = true;
	client_dane_stop(w->env.client_dane);
}

static bool finished(const struct worker *w)
{
	if (!w->draining || w->env.sessions || (w->health && !health_idle(w->health)) ||
	    (w->resolver && !resolver_idle(w->resolver)) || (w->env.client_dane && !client_dane_idle(w->env.client_dane)))
		return false;
	for (size_t i = 0; i < w->listener_count; i++)
		if (!w->listeners[i].stopped)
			return false;
	return true;
}

static void end(struct worker *w)
{
	health_free(w->health);
	resolver_free(w->resolver);
	client_dane_free(w->env.client_dane);
	if (w->env.ring)
		ring_free(w->env.ring);
	splice_pool_free(w->env.pipes);
	if (w->env.wheel)
		timer_wheel_free(w->env.wheel);
	if (w->io.pool)
		leg_io_free(&w->io);
	for (size_t i = 0; w->serve && i < w->set.cfg->listener_count; i++)
		tls_server_unref(w->serve[i].tls);
	for (size_t i = 0; w->serve && i < w->set.cfg->listener_count; i++)
		free(w->serve[i].policy_relay);
	free(w->listeners);
	free(w->serve);
}

static void pin_to_cpu(const struct worker *w)
{
	cpu_set_t set;

	if (w->set.cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(w->set.cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		log_warn("worker %u cannot be kept on CPU %d: %s", w->set.index, w->set.cpu, strerror(errno));
}

static void run(struct worker *w)
{
	while (!finished(w)) {
		stop_judging(w);
		timer_advance(w->env.wheel, ring_now(w->env.ring));
		uint32_t wait = timer_next(w->env.wheel, ring_now(w->env.ring));
		int r = ring_run(w->env.ring, wait);

		if (r < 0 && r != -EINTR) {
			log_error("worker %u: %s: %s", w->set.index, ring_describe(w->env.ring), strerror(-r));
			abort();
		}
		if (w->env.pipes)
			__atomic_store_n(&w->stats.count[COUNT_relay_pipes], splice_pipes(w->env.pipes), __ATOMIC_RELAXED);
		__atomic_store_n(&w->stats.count[COUNT_relay_bytes_held], chunk_pool_bytes_out(w->io.pool), __ATOMIC_RELAXED);
	}
	/* the eventfd's watch is the last thing on the ring */
	ring_close(w->env.ring, &w->wake, false);
	while (w->wake.fd >= 0 && ring_run(w->env.ring, 100) >= 0)
		;
}

static void *thread(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", w->set.index);
	pthread_setname_np(pthread_self(), name);
	pin_to_cpu(w);
	w->start_error = begin(w);
	if (!w->start_error)
		w->start_error = begin_listening(w);
	bool good = !w->start_error;

	sem_post(&w->started);
	if (good)
		run(w);
	end_calls(w);
	end(w);
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- from outside ---- */

int worker_start(const struct worker_settings *set, struct worker **out, char *err, size_t err_size)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->set = *set;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&w->lock, NULL);
	sem_init(&w->started, 0, 0);
	int r = w->wake_fd < 0 ? -errno : -pthread_create(&w->thread, NULL, thread, w);

	if (!r) {
		while (sem_wait(&w->started))
			;
		r = w->start_error;
		if (r)
			pthread_join(w->thread, NULL);
	}
	if (r) {
		snprintf(err, err_size, "worker %u: %s%s%s", set->index, w->start_why, w->start_why[0] ? ": " : "",
			 strerror(-r));
		close(w->wake_fd);
		free(w);
		return r;
	}
	*out = w;
	return 0;
}

bool worker_done(const struct worker *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	drop_tls(w->new_tls, w->set.cfg->listener_count);
	close(w->wake_fd);
	pthread_mutex_destroy(&w->lock);
	sem_destroy(&w->started);
	free(w);
}

const struct stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}

const char *worker_describe(const struct worker *w)
{
	return ring_describe(w->env.ring);
}
