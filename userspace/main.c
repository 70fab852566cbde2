/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * danelawd: options, start as root, drop, signals.
 *
 *   SIGHUP   certificates and lists again      SIGTERM, SIGINT  drain, then end; a second one ends now
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "userspace/certificates.h"
#include "userspace/config.h"
#include "userspace/control.h"
#include "userspace/daemon.h"
#include "userspace/forwarding.h"
#include "userspace/log.h"
#include "userspace/metrics.h"
#include "userspace/privileges.h"
#include "userspace/protect.h"
#include "userspace/tls_ktls.h"

#define BACKENDS_MAX 16 /* --backend on the command line */

struct options {
	const char *file, *hostname, *interface, *listen;
	char *backends[BACKENDS_MAX];
	size_t backend_count;
	bool test;
};

static const char usage[] =
	"usage: danelawd [-c FILE] [-t]\n"
	"       danelawd --backend HOST:PORT --hostname NAME [--interface IFACE] [--listen ADDR:PORT]\n"
	"  -c, --config FILE     configuration (danelaw.conf(5)); default /etc/danelaw/danelaw.conf\n"
	"  -t, --test            check the configuration and end\n"
	"  -b, --backend H:P     mail server behind this one (may be given again); no file is read then\n"
	"  -n, --hostname NAME   our name in banner and EHLO\n"
	"  -i, --interface IF    put the XDP front on this interface\n"
	"  -l, --listen A:P      listen here; default [::]:25\n"
	"  -V, --version         print the version\n"
	"  -h, --help            print this\n";

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },    { "test", no_argument, NULL, 't' },
	{ "backend", required_argument, NULL, 'b' },   { "hostname", required_argument, NULL, 'n' },
	{ "interface", required_argument, NULL, 'i' }, { "listen", required_argument, NULL, 'l' },
	{ "version", no_argument, NULL, 'V' },	       { "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void parse_options(int argc, char **argv, struct options *o)
{
	int c;

	memset(o, 0, sizeof(*o));
	while ((c = getopt_long(argc, argv, "c:tb:n:i:l:Vh", long_options, NULL)) != -1) {
		switch (c) {
		case 'c': o->file = optarg; break;
		case 't': o->test = true; break;
		case 'n': o->hostname = optarg; break;
		case 'i': o->interface = optarg; break;
		case 'l': o->listen = optarg; break;
		case 'b':
			if (o->backend_count == BACKENDS_MAX)
				log_fatal("at most %d --backend; use a configuration file", BACKENDS_MAX);
			o->backends[o->backend_count++] = optarg;
			break;
		case 'V':
			puts("danelawd " DANELAW_VERSION);
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc || (o->backend_count && (!o->hostname || o->file)) || (!o->backend_count && o->hostname)) {
		fputs(usage, stderr);
		exit(2);
	}
	if (!o->file && !o->backend_count)
		o->file = "/etc/danelaw/danelaw.conf";
}

/* ---- configuration ---- */

static void complain(void *ctx, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static struct config *load_config(const struct options *o)
{
	struct config *cfg;

	if (o->file) {
		FILE *in = fopen(o->file, "re");

		if (!in)
			log_fatal("%s: %s", o->file, strerror(errno));
		cfg = config_read(in, o->file, complain, NULL);
		fclose(in);
	} else
		cfg = config_from_flags(o->hostname, o->backends, o->backend_count, o->interface, o->listen, complain, NULL);
	if (cfg && !config_resolve(cfg, complain, NULL)) {
		config_free(cfg);
		cfg = NULL;
	}
	if (!cfg)
		fputs("nothing was changed\n", stderr);
	return cfg;
}

/* -t: what a start reads is there, and right. */
static bool files_are_good(const struct config *cfg)
{
	bool ok = daemon_check(cfg, complain, NULL);
	char err[512];

	if (protect_check(cfg, err, sizeof(err))) {
		fprintf(stderr, "%s: %s\n", cfg->file, err);
		ok = false;
	}
	return ok;
}

/* ---- start ---- */

struct running {
	struct daemon *daemon;
	struct control *control;
	struct metrics *metrics;
	struct protect *protect;
};

static void stop(struct running *r, bool failed)
{
	metrics_stop(r->metrics);
	control_stop(r->control);
	protect_close(r->protect);
	if (r->daemon)
		daemon_free(r->daemon, failed);
}

/* What needs root. */
static int prepare(const struct config *cfg, struct running *r, char *err, size_t err_size)
{
	size_t count = 0;
	int code = control_check_free(cfg, err, err_size);

	if (!code && !cfg->file)
		code = certificates_make_own(cfg, err, err_size);
	if (!code)
		code = daemon_prepare(cfg, &r->daemon, err, err_size);
	if (!code)
		code = metrics_open(cfg, &r->metrics, err, err_size);
	if (code)
		return code;
	if (daemon_front(r->daemon)) {
		log_info("front attached to %s", front_describe(daemon_front(r->daemon)));
		forwarding_warn(cfg);
	}
	code = protect_open(cfg, daemon_front(r->daemon), &r->protect, err, err_size);
	if (code)
		return code;
	const char **paths = daemon_paths(cfg, &count);

	code = paths ? privileges_start_opener(paths, count) : -ENOMEM;
	free(paths);
	if (code)
		snprintf(err, err_size, "opener: %s", strerror(-code));
	else
		daemon_settle(r->daemon);
	return code;
}

/* libunbound opens its files when it is first asked. */
static int drop(const struct config *cfg, char *err, size_t err_size)
{
	const char *also[3];
	size_t n = 0;

	if (cfg->dns.trust_anchor_file)
		also[n++] = cfg->dns.trust_anchor_file;
	if (cfg->dns.root_hints_file)
		also[n++] = cfg->dns.root_hints_file;
	also[n] = NULL;
	return privileges_drop(cfg->user, cfg->state_dir, cfg->run_dir, also, err, err_size);
}

static int start(const struct config *cfg, struct running *r, char *err, size_t err_size)
{
	int code = prepare(cfg, r, err, err_size);

	if (!code)
		code = drop(cfg, err, err_size);
	if (!code)
		code = daemon_start(r->daemon, err, err_size);
	if (!code)
		code = control_start(r->daemon, &r->control, err, err_size);
	if (!code)
		code = metrics_start(r->metrics, r->daemon, err, err_size);
	if (code)
		return code;
	log_info("%u worker%s%s: %s", daemon_workers(r->daemon), daemon_workers(r->daemon) == 1 ? "" : "s",
		 daemon_cpus(r->daemon), daemon_io(r->daemon));
	if (cfg->relay.ktls != CONFIG_KTLS_OFF)
		log_info("kernel TLS: %s", tls_kernel()->about);
	log_info("sandbox: %s", privileges_sandbox());
	if (cfg->metrics_listen)
		log_info("metrics at http://%s/metrics, health at /healthz", cfg->metrics_listen);
	return 0;
}

/* ---- signals ---- */

/* For `systemctl status`, which shows it. */
static void notify_ready(const struct daemon *d)
{
	sd_notifyf(0, "READY=1\nSTATUS=%u workers, %zu listeners, %zu backends; danelawctl status tells more", daemon_workers(d),
		   daemon_config(d)->listener_count, daemon_config(d)->backend_count);
}

static void reload(struct daemon *d, struct control *control)
{
	char err[512];

	sd_notify(0, "RELOADING=1");
	control_reload_begins(control);
	if (daemon_reload(d, err, sizeof(err))) {
		log_error("reload: %s; everything stays as it was", err);
	} else {
		err[0] = 0;
		log_info("reloaded certificates and lists");
	}
	control_reload_ends(control, err);
	notify_ready(d);
}

/* Waits for sessions to end, until the deadline or a second signal. */
static void drain(struct daemon *d, const sigset_t *signals)
{
	uint32_t left = daemon_config(d)->timeouts.drain;
	struct timespec tick = { .tv_nsec = 50 * 1000 * 1000 };

	log_info("stopping: no new sessions, those under way have %u s to end", left / 1000);
	sd_notify(0, "STOPPING=1\nSTATUS=draining: no new sessions");
	daemon_drain(d);
	while (!daemon_done(d) && left) {
		int sig = sigtimedwait(signals, NULL, &tick);

		if (sig == SIGTERM || sig == SIGINT)
			break;
		left = left > 50 ? left - 50 : 0;
	}
}

static void serve(struct daemon *d, struct control *control, struct protect *protect, const sigset_t *signals)
{
	static const struct timespec tick = { .tv_nsec = PROTECT_TICK_MS * 1000 * 1000 };

	for (unsigned ticks = 0;; ticks++) {
		int sig = sigtimedwait(signals, NULL, &tick);

		if (sig == SIGHUP)
			reload(d, control);
		else if (sig == SIGTERM || sig == SIGINT)
			break;
		protect_tick(protect);
		if (ticks % (1000 / PROTECT_TICK_MS) == 0)
			daemon_tick(d);
	}
	drain(d, signals);
}

int main(int argc, char **argv)
{
	struct options o;
	sigset_t signals;
	char err[1024] = "";

	log_open("danelawd", LOG_LEVEL_INFO, getenv("JOURNAL_STREAM"));
	parse_options(argc, argv, &o);
	struct config *cfg = load_config(&o);

	if (!cfg)
		return 1;
	if (o.test) {
		bool ok = !cfg->file || files_are_good(cfg); /* without a file the first start makes what it needs */

		if (ok)
			printf("%s: ok\n", o.file ? o.file : "command line");
		config_free(cfg);
		return ok ? 0 : 1;
	}
	log_open("danelawd", cfg->log_level, getenv("JOURNAL_STREAM"));
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	struct running r = { 0 };

	if (start(cfg, &r, err, sizeof(err))) {
		stop(&r, true);
		log_fatal("%s", err);
	}
	notify_ready(r.daemon);
	log_info("danelawd " DANELAW_VERSION " is ready");
	serve(r.daemon, r.control, r.protect, &signals);
	stop(&r, false);
	config_free(cfg);
	log_info("ended");
	return 0;
}
