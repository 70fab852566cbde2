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
#include "userspace/log.h"
#include "userspace/privileges.h"

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
	"  -V, --version         print the version\n";

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

/* ---- start ---- */

static struct daemon *start(const struct config *cfg, struct control **control, char *err, size_t err_size)
{
	struct daemon *d = NULL;
	size_t count = 0;

	if (!cfg->file && certificates_make_own(cfg, err, err_size))
		return NULL;
	if (daemon_prepare(cfg, &d, err, err_size))
		return NULL;
	if (daemon_front(d))
		log_info("front attached to %s", front_describe(daemon_front(d)));
	const char **paths = daemon_paths(cfg, &count);
	int r = paths ? privileges_start_opener(paths, count) : -ENOMEM;

	free(paths);
	if (r)
		snprintf(err, err_size, "opener: %s", strerror(-r));
	if (r || privileges_drop(cfg->user, cfg->state_dir, cfg->run_dir, err, err_size) ||
	    daemon_start(d, err, err_size) || control_start(d, control, err, err_size)) {
		daemon_free(d, true);
		return NULL;
	}
	log_info("%u worker%s: %s", daemon_workers(d), daemon_workers(d) == 1 ? "" : "s", daemon_io(d));
	log_info("sandbox: %s", privileges_sandbox());
	return d;
}

/* ---- signals ---- */

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
	sd_notify(0, "READY=1");
}

/* Waits for sessions to end, until the deadline or a second signal. */
static void drain(struct daemon *d, const sigset_t *signals)
{
	uint32_t left = daemon_config(d)->timeouts.drain;
	struct timespec tick = { .tv_nsec = 50 * 1000 * 1000 };

	log_info("stopping: no new sessions, those under way have %u s to end", left / 1000);
	sd_notify(0, "STOPPING=1");
	daemon_drain(d);
	while (!daemon_done(d) && left) {
		int sig = sigtimedwait(signals, NULL, &tick);

		if (sig == SIGTERM || sig == SIGINT)
			break;
		left = left > 50 ? left - 50 : 0;
	}
}

static void serve(struct daemon *d, struct control *control, const sigset_t *signals)
{
	for (;;) {
		int sig = sigwaitinfo(signals, NULL);

		if (sig == SIGHUP)
			reload(d, control);
		else if (sig == SIGTERM || sig == SIGINT)
			break;
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
		printf("%s: ok\n", o.file ? o.file : "command line");
		config_free(cfg);
		return 0;
	}
	log_open("danelawd", cfg->log_level, getenv("JOURNAL_STREAM"));
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	struct control *control = NULL;
	struct daemon *d = start(cfg, &control, err, sizeof(err));

	if (!d)
		log_fatal("%s", err);
	sd_notify(0, "READY=1");
	log_info("danelawd " DANELAW_VERSION " is ready");
	serve(d, control, &signals);
	control_stop(control);
	daemon_free(d, true);
	config_free(cfg);
	log_info("ended");
	return 0;
}
