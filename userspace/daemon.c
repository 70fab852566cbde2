/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "userspace/daemon_parts.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/certificates.h"
#include "userspace/listener.h"
#include "userspace/log.h"
#include "userspace/worker.h"
#include "userspace/tls_ktls.h"

#define CPUS_MAX 1024

struct daemon {
	const struct config *cfg;
	struct backends *backends;
	struct session_shared shared;
	struct dns *dns;		 /* NULL: nothing is looked up */
	struct front *front;
	struct lane *lane;		 /* NULL: no policy grants it */
	unsigned ticks;
	uint64_t health_told;		 /* dns_health.changes that the log has heard of */
	pthread_mutex_t tls_lock;	 /* of tls, which reloads replace while others look */
	struct tls_server **tls;	 /* per listener */
	unsigned workers;
	int cpus[CPUS_MAX];		 /* the CPU of each worker */
	int **fds;			 /* [worker * listeners + listener]: its sockets; the workers own them once started */
	int *fd_counts;			 /* the same */
	struct worker **running;
	unsigned running_count;
	char io[256];			 /* how the first worker does its input and output */
	char cpus_text[128];
	bool leaving, draining;		 /* atomic */
	uint64_t started_ms;
	struct stats own;		 /* what no worker counts: reloads */
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- workers and their CPUs ---- */

static void choose_cpus(struct daemon *d)
{
	cpu_set_t set;
	unsigned n = 0;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (int cpu = 0; cpu < CPU_SETSIZE && n < CPUS_MAX; cpu++)
		if (CPU_ISSET(cpu, &set))
			d->cpus[n++] = cpu;
	d->workers = d->cfg->workers ? d->cfg->workers : n;
	if (d->workers > CPUS_MAX)
		d->workers = CPUS_MAX;
	/* more workers than CPUs: they share, and none is tied to one */
	for (unsigned i = n; i < d->workers; i++)
		d->cpus[i] = -1;
}

/* The CPUs as ranges: " on CPUs 0-3,8-11". */
static void say_cpus(struct daemon *d)
{
	size_t len = 0, size = sizeof(d->cpus_text);

	for (unsigned w = 0, last; d->workers > 1 && w < d->workers && d->cpus[w] >= 0 && len < size; w = last + 1) {
		for (last = w; last + 1 < d->workers && d->cpus[last + 1] == d->cpus[last] + 1;)
			last++;
		len += (size_t)snprintf(d->cpus_text + len, size - len, "%s%d", w ? "," : " on CPUs ", d->cpus[w]);
		if (last > w && len < size)
			len += (size_t)snprintf(d->cpus_text + len, size - len, "-%d", d->cpus[last]);
	}
}

/* ---- listening sockets ---- */

static int open_sockets(struct daemon *d, char *err, size_t err_size)
{
	const struct config *cfg = d->cfg;
	size_t n = cfg->listener_count * d->workers;
	char where[NET_TEXT_MAX];

	d->fds = calloc(n + 1, sizeof(*d->fds));
	d->fd_counts = calloc(n + 1, sizeof(*d->fd_counts));
	if (!d->fds || !d->fd_counts)
		return -ENOMEM;
	for (size_t k = 0; k < n; k++) {
		const struct config_listener *l = &cfg->listeners[k % cfg->listener_count];
		int max = (int)l->address_count + 2;

		d->fds[k] = calloc((size_t)max, sizeof(int));
		if (!d->fds[k])
			return -ENOMEM;
		int r = listener_open(l, daemon_steers(cfg), daemon_tunnel_mss(cfg), d->fds[k], max, where);

		if (r < 0) {
			snprintf(err, err_size, "listener %s: cannot listen on %s: %s", l->name, where, strerror(-r));
			return r;
		}
		d->fd_counts[k] = r;
	}
	return 0;
}

static int steer_sockets(struct daemon *d)
{
	uint32_t cpu_worker[CPUS_MAX];
	size_t cpus = 0, n = d->cfg->listener_count;
	int r = 0;

	memset(cpu_worker, 0xff, sizeof(cpu_worker)); /* no worker there: by hash */
	for (unsigned w = 0; w < d->workers; w++) {
		for (size_t i = 0; i < n; i++)
			for (int k = 0; !r && k < d->fd_counts[w * n + i]; k++)
				r = front_set_socket(d->front, (unsigned)i, w, d->fds[w * n + i][k]);
		if (d->cpus[w] < 0 || d->cpus[w] >= CPUS_MAX)
			continue;
		cpu_worker[d->cpus[w]] = w;
		if ((size_t)d->cpus[w] >= cpus)
			cpus = (size_t)d->cpus[w] + 1;
	}
	return r ? r : front_map_cpus(d->front, cpu_worker, cpus);
}

/* ---- before a start ---- */

bool daemon_check(const struct config *cfg, config_complain *complain, void *ctx)
{
	const char *later[] = { cfg->dns.trust_anchor_file, cfg->dns.root_hints_file }; /* read by libunbound, as our user */
	bool ok = certificates_check(cfg, complain, ctx);
	char err[512], text[1024];

	if (daemon_load_lists(&cfg->front, NULL, err, sizeof(err))) {
		snprintf(text, sizeof(text), "%s: %s", cfg->file, err);
		complain(ctx, text);
		ok = false;
	}
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		if (!later[i] || !access(later[i], R_OK))
			continue;
		snprintf(text, sizeof(text), "%s: %s: %s", cfg->file, later[i], strerror(errno));
		complain(ctx, text);
		ok = false;
	}
	return ok;
}

/* ---- start ---- */

/* Takes over the references of what is there. */
static void publish_targets(struct daemon *d, struct target **targets)
{
	for (size_t i = 0; i < d->cfg->backend_count; i++)
		if (targets[i])
			backend_set_target(d->backends, i, targets[i]);
}

static int set_targets(struct daemon *d, char *err, size_t err_size)
{
	struct target **targets = calloc(d->cfg->backend_count + 1, sizeof(*targets));
	int r = targets ? certificates_targets(d->cfg, false, targets, err, err_size) : -ENOMEM;

	if (!r)
		publish_targets(d, targets);
	free(targets);
	return r;
}

int daemon_prepare(const struct config *cfg, struct daemon **out, char *err, size_t err_size)
{
	uint32_t other = daemon_has_front(cfg) ? front_served_by() : 0;
	struct daemon *d;
	int r = 0;

	err[0] = 0;
	if (other) {
		snprintf(err, err_size, "the front of this host serves the danelawd of process %u already: end that one first", other);
		return -EBUSY;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->tls_lock, NULL);
	d->cfg = cfg;
	d->started_ms = now_ms();
	choose_cpus(d);
	say_cpus(d);
	d->backends = backends_new(cfg);
	d->tls = calloc(cfg->listener_count + 1, sizeof(*d->tls));
	d->running = calloc(d->workers, sizeof(*d->running));
	d->shared.policy_sessions = calloc(cfg->policy_count + 1, sizeof(uint32_t));
	if (!d->backends || !d->tls || !d->running || !d->shared.policy_sessions)
		r = -ENOMEM;
	if (cfg->relay.ktls != CONFIG_KTLS_OFF)
		tls_kernel_probe(); /* contexts are made by what it finds, and rights are not dropped yet */
	if (!r)
		r = certificates_load(cfg, d->tls, err, err_size);
	if (!r)
		r = set_targets(d, err, err_size);
	if (!r && daemon_has_front(cfg))
		r = daemon_open_front(cfg, d->workers, &d->front, err, err_size);
	if (!r && d->front)
		r = daemon_load_lists(&cfg->front, d->front, err, err_size);
	if (!r)
		r = open_sockets(d, err, err_size);
	if (!r)
		*out = d;
	else {
		if (!err[0])
			snprintf(err, err_size, "%s", strerror(-r));
		daemon_free(d, true);
	}
	return r;
}

void daemon_settle(struct daemon *d)
{
	if (d->front)
		front_settle(d->front);
	else if (front_take_off())
		log_warn("the front of an earlier run was still attached and served nobody: taken off");
}

static bool judges_clients(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->listener_count; i++)
		if (policy_asks(cfg, &cfg->listeners[i]))
			return true;
	return false;
}

static bool looks_up(const struct config *cfg)
{
	if (judges_clients(cfg))
		return true;
	for (size_t i = 0; i < cfg->backend_count; i++)
		if (cfg->backends[i].tls == CONFIG_TLS_DANE)
			return true;
	return false;
}

static int start_dns(struct daemon *d, char *err, size_t err_size)
{
	const struct config_dns *c = &d->cfg->dns;
	struct dns_settings set = { .trust_anchor_file = c->trust_anchor_file,
				    .forwarders = (const char *const *)c->forwarders,
				    .forwarder_count = c->forwarder_count,
				    .root_hints_file = c->root_hints_file,
				    .max_in_flight = c->max_in_flight,
				    .deadline_ms = c->deadline_ms,
				    .probe_secure = c->probe_secure,
				    .probe_bogus = c->probe_bogus,
				    .probe_interval_ms = c->probe_interval_ms };

	return looks_up(d->cfg) ? dns_start(&set, &d->dns, err, err_size) : 0;
}

int daemon_start(struct daemon *d, char *err, size_t err_size)
{
	size_t n = d->cfg->listener_count;

	if (d->cfg->limits.source_sessions) {
		d->shared.sources = sources_new(d->cfg->limits.source_sessions, d->cfg->limits.sessions, d->front);
		if (!d->shared.sources)
			return -ENOMEM;
	}
	if (start_dns(d, err, err_size))
		return -EIO;
	if (lane_wanted(d->cfg)) {
		d->lane = lane_new(d->cfg, d->front);
		if (!d->lane) {
			snprintf(err, err_size, "%s", strerror(ENOMEM));
			return -ENOMEM;
		}
	}

	for (unsigned w = 0; w < d->workers; w++) {
		struct worker_settings set = { .cfg = d->cfg,
					       .backends = d->backends,
					       .shared = &d->shared,
					       .index = w,
					       .cpu = d->workers > 1 ? d->cpus[w] : -1,
					       .probes = w == 0,
					       .dns = d->dns,
					       .fds = &d->fds[w * n],
					       .fd_counts = &d->fd_counts[w * n],
					       .tls = d->tls,
					       .lane = d->lane,
					       .judges_clients = judges_clients(d->cfg) };
		int r = worker_start(&set, &d->running[w], err, err_size);

		if (r)
			return r;
		d->running_count++;
	}
	snprintf(d->io, sizeof(d->io), "%s", worker_describe(d->running[0]));
	if (!daemon_steers(d->cfg))
		return 0;
	int r = steer_sockets(d);

	if (r)
		snprintf(err, err_size, "steering: %s", strerror(-r));
	return r;
}

/* ---- while it runs ---- */

static void swap_tls(struct daemon *d, struct tls_server **fresh)
{
	for (unsigned w = 0; w < d->running_count; w++)
		worker_post_tls(d->running[w], fresh);
	pthread_mutex_lock(&d->tls_lock);
	struct tls_server **old = d->tls;

	d->tls = fresh;
	pthread_mutex_unlock(&d->tls_lock);
	certificates_unref(d->cfg, old);
	free(old);
}

/* All is read before anything is changed; the lists, which change as a whole, last. */
int daemon_reload(struct daemon *d, char *err, size_t err_size)
{
	struct tls_server **tls = calloc(d->cfg->listener_count + 1, sizeof(*tls));
	struct target **targets = calloc(d->cfg->backend_count + 1, sizeof(*targets));
	int r = tls && targets ? certificates_load(d->cfg, tls, err, err_size) : -ENOMEM;

	if (!r)
		r = certificates_targets(d->cfg, true, targets, err, err_size);
	if (!r && d->front)
		r = daemon_load_lists(&d->cfg->front, d->front, err, err_size);
	if (!r) {
		swap_tls(d, tls);
		publish_targets(d, targets);
	} else {
		certificates_unref(d->cfg, tls);
		certificates_unref_targets(d->cfg, targets);
		free(tls);
		if (r == -ENOMEM)
			snprintf(err, err_size, "%s", strerror(ENOMEM));
	}
	free(targets);
	stats_add(&d->own, r ? COUNT_reload_failures : COUNT_reloads, 1);
	return r;
}

/* Loud, since DANE would be off with nobody told. */
static void tell_validation(struct daemon *d)
{
	struct dns_health h;

	dns_health(d->dns, &h);
	if (h.changes == d->health_told)
		return;
	d->health_told = h.changes;
	if (h.state == DNS_VALIDATES)
		log_info("%s", h.text);
	else if (d->cfg->dns.when_broken == CONFIG_RUN_WITHOUT)
		log_error("%s; going on without DANE (when-broken = run-without): NOBODY is verified and no client must be", h.text);
	else
		log_error("%s; backends with tls = dane are out, clients that must be verified are told 451", h.text);
}

void daemon_tick(struct daemon *d)
{
	if (d->dns)
		tell_validation(d);
	d->ticks++;
	if (d->lane && d->ticks % 60 == 0)
		lane_save(d->lane);
	if (d->front && d->ticks % FRONT_SWEEP_S == 0)
		front_sweep(d->front);
}

void daemon_drain(struct daemon *d)
{
	__atomic_store_n(&d->draining, true, __ATOMIC_RELAXED);
	for (unsigned w = 0; w < d->running_count; w++)
		worker_post_drain(d->running[w]);
}

void daemon_set_leaving(struct daemon *d, bool leaving)
{
	__atomic_store_n(&d->leaving, leaving, __ATOMIC_RELAXED);
}

bool daemon_leaving(const struct daemon *d)
{
	return __atomic_load_n(&d->leaving, __ATOMIC_RELAXED);
}

void daemon_cut(struct daemon *d)
{
	for (unsigned w = 0; w < d->running_count; w++)
		worker_post_cut(d->running[w]);
}

bool daemon_done(const struct daemon *d)
{
	for (unsigned w = 0; w < d->running_count; w++)
		if (!worker_done(d->running[w]))
			return false;
	return true;
}

/* Sockets that no worker took over. */
static void close_sockets(struct daemon *d)
{
	size_t n = d->cfg->listener_count;

	for (size_t k = 0; d->fds && k < n * d->workers; k++) {
		for (int i = 0; k / n >= d->running_count && d->fds[k] && i < d->fd_counts[k]; i++)
			close(d->fds[k][i]);
		free(d->fds[k]);
	}
	free(d->fds);
	free(d->fd_counts);
}

void daemon_free(struct daemon *d, bool failed)
{
	daemon_drain(d);
	daemon_cut(d);
	for (unsigned w = 0; w < d->running_count; w++)
		worker_join(d->running[w]);
	close_sockets(d);
	if (d->dns)
		dns_stop(d->dns);
	sources_free(d->shared.sources);
	lane_free(d->lane);
	if (d->front && failed)
		front_undo(d->front);
	else
		front_close(d->front, false);
	certificates_unref(d->cfg, d->tls);
	free(d->tls);
	free(d->running);
	free(d->shared.policy_sessions);
	backends_free(d->backends);
	pthread_mutex_destroy(&d->tls_lock);
	free(d);
}

/* ---- looking ---- */

const struct config *daemon_config(const struct daemon *d)
{
	return d->cfg;
}

struct backends *daemon_backends(const struct daemon *d)
{
	return d->backends;
}

struct dns *daemon_dns(const struct daemon *d)
{
	return d->dns;
}

struct front *daemon_front(const struct daemon *d)
{
	return d->front;
}

unsigned daemon_workers(const struct daemon *d)
{
	return d->workers;
}

const char *daemon_io(const struct daemon *d)
{
	return d->io;
}

const char *daemon_cpus(const struct daemon *d)
{
	return d->cpus_text;
}

bool daemon_draining(const struct daemon *d)
{
	return __atomic_load_n(&d->draining, __ATOMIC_RELAXED);
}

uint64_t daemon_uptime_ms(const struct daemon *d)
{
	return now_ms() - d->started_ms;
}

struct tls_server *daemon_tls(struct daemon *d, size_t listener)
{
	pthread_mutex_lock(&d->tls_lock);
	struct tls_server *s = d->tls[listener] ? tls_server_ref(d->tls[listener]) : NULL;

	pthread_mutex_unlock(&d->tls_lock);
	return s;
}

int daemon_post_call(struct daemon *d, unsigned worker, struct worker_call *call)
{
	return worker_post_call(d->running[worker], call);
}

void daemon_sum(const struct daemon *d, struct stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	stats_sum(sum, &d->own);
	for (unsigned w = 0; w < d->running_count; w++)
		stats_sum(sum, worker_stats(d->running[w]));
}

const char **daemon_paths(const struct config *cfg, size_t *count)
{
	size_t n = certificates_paths(cfg, NULL, 0);
	const char **paths = calloc(n + cfg->front.deny_file_count + cfg->front.allow_file_count + 1, sizeof(*paths));

	if (!paths)
		return NULL;
	certificates_paths(cfg, paths, n);
	for (size_t i = 0; i < cfg->front.deny_file_count; i++)
		paths[n++] = cfg->front.deny_files[i];
	for (size_t i = 0; i < cfg->front.allow_file_count; i++)
		paths[n++] = cfg->front.allow_files[i];
	*count = n;
	return paths;
}
