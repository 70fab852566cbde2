/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of verbs, and those that are answered by a look at the daemon. */
#include "userspace/control_parts.h"

#include <unistd.h>

#include "userspace/log.h"
#include "userspace/tls_ktls.h"

#define SOON 10000

const struct control_verb control_verbs[] = {
	{ "backends", control_backends, "name", SOON, "the mail servers: state, reason, load, how they are judged" },
	{ "client", control_client, "name", 65000, "what a client of this name must show to be verified" },
	{ "counters", control_counters, "", SOON, "everything that is counted, with what it means" },
	{ "drain", control_drain, "after_ms cancel", SOON, "no new sessions; end when those open are over" },
	{ "help", control_help, "", SOON, "the verbs there are" },
	{ "listeners", control_listeners, "", SOON, "where mail is taken, certificates, TLSA records to publish" },
	{ "log-level", control_log_level, "level", SOON, "show or set how much is logged" },
	{ "reload", control_reload, "", 60000, "read certificates and lists again" },
	{ "sessions", control_sessions, "limit", SOON, "the newest open sessions" },
	{ "status", control_status, "", SOON, "is it well, and what does it do" },
	{ 0 },
};

void control_help(struct control_request *r)
{
	json_t *list = json_object();

	for (const struct control_verb *v = control_verbs; v->name; v++)
		json_object_set_new(list, v->name, json_pack("{s:s, s:s}", "help", v->help, "arguments", v->args));
	control_reply(r, list);
}

/* ---- status ---- */

static json_t *sessions_json(const struct daemon *d)
{
	const struct config_limits *limits = &daemon_config(d)->limits;
	struct stats sum;

	daemon_sum(d, &sum);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "open", (json_int_t)sum.count[COUNT_sessions_open], "limit",
			 (json_int_t)limits->sessions, "handshakes", (json_int_t)sum.count[COUNT_handshakes_open],
			 "handshakes_limit", (json_int_t)limits->handshakes, "accepted",
			 (json_int_t)sum.count[COUNT_sessions], "messages", (json_int_t)sum.count[COUNT_messages]);
}

static json_t *validation_json(const struct daemon *d)
{
	struct dns_health h;
	struct dns_counts n;

	if (!daemon_dns(d))
		return json_null();
	dns_health(daemon_dns(d), &h);
	dns_counts(daemon_dns(d), &n);
	return json_pack("{s:s, s:o, s:I, s:I}", "state", dns_validation_name(h.state), "text", control_text(h.text), "in_flight",
			 (json_int_t)n.in_flight, "waiting", (json_int_t)n.waiting);
}

static json_t *farm_json(const struct daemon *d)
{
	struct backends *b = daemon_backends(d);
	json_int_t up = 0, total = (json_int_t)backend_count(b);

	for (size_t i = 0; i < backend_count(b); i++) {
		struct backend_status s;

		backend_get_status(b, i, &s);
		up += s.state == BACKEND_UP;
	}
	return json_pack("{s:I, s:I}", "up", up, "total", total);
}

static const char *state_name(const struct daemon *d)
{
	return daemon_draining(d) ? "draining" : daemon_leaving(d) ? "leaving" : "serving";
}

void control_status(struct control_request *r)
{
	const struct daemon *d = control_daemon(r);
	char why[1024];
	bool healthy = daemon_healthy(d, why, sizeof(why));

	control_reply(r, json_pack("{s:s, s:i, s:s, s:s?, s:I, s:b, s:o, s:s, s:s, s:i, s:s?, s:s, s:o, s:o, s:o, s:s}",
				   "version", DANELAW_VERSION, "pid", (int)getpid(), "hostname", daemon_config(d)->hostname,
				   "config", daemon_config(d)->file, "uptime_ms", (json_int_t)daemon_uptime_ms(d), "healthy",
				   healthy, "why", control_text(why), "state", state_name(d), "io", daemon_io(d), "workers",
				   (int)daemon_workers(d), "front", daemon_front(d) ? front_describe(daemon_front(d)) : NULL,
				   "log_level", log_level_names[log_get_level()], "sessions", sessions_json(d), "backends",
				   farm_json(d), "validation", validation_json(d), "kernel_tls", tls_kernel()->about));
}
