/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that change something: reload, drain, log-level.  Who gave the order goes to the log. */
#include "userspace/control_parts.h"

#include <string.h>
#include <unistd.h>

#include "userspace/log.h"

#define DRAIN_AFTER_MAX (24u * 3600 * 1000)

/* ---- reload: done by the main thread ---- */

void control_reload(struct control_request *r)
{
	if (daemon_draining(control_daemon(r))) {
		control_fail(r, "danelawd is stopping: nothing is read again");
		return;
	}
	log_info("reload: asked for by user %u, process %d", r->uid, (int)r->pid);
	control_wait_for_reload(r);
}

/* ---- drain ---- */

void control_drain(struct control_request *r)
{
	struct daemon *d = control_daemon(r);
	uint64_t after = 0;
	bool cancel = json_is_true(json_object_get(r->args, "cancel"));

	if (!control_arg_number(r, "after_ms", 0, DRAIN_AFTER_MAX, &after))
		return;
	if (daemon_draining(d)) {
		control_fail(r, "danelawd is stopping already%s", cancel ? ": that cannot be taken back" : "");
		return;
	}
	if (cancel && !daemon_leaving(d)) {
		control_fail(r, "no drain is announced");
		return;
	}
	daemon_set_leaving(d, !cancel);
	if (cancel)
		log_info("drain: taken back by user %u, process %d", r->uid, (int)r->pid);
	else
		log_info("drain: ordered by user %u, process %d; %s", r->uid, (int)r->pid,
			 after ? "announced by /healthz, sessions are still taken for a while" : "at once");
	control_drain_in(r->control, cancel ? UINT64_MAX : after);
	control_reply(r, json_pack("{s:b, s:i, s:I, s:I}", "leaving", !cancel, "pid", (int)getpid(), "after_ms", (json_int_t)after, "deadline_ms",
				   (json_int_t)daemon_config(d)->timeouts.drain));
}

/* ---- log-level ---- */

void control_log_level(struct control_request *r)
{
	const char *level = control_arg_text(r, "level"), *before = log_level_names[log_get_level()];

	if (!level && json_object_get(r->args, "level")) {
		control_fail(r, "log-level: \"level\" is a word: error, warn, info, debug");
		return;
	}
	for (int i = 0; level && log_level_names[i]; i++)
		if (!strcmp(level, log_level_names[i])) {
			log_set_level(LOG_LEVEL_INFO);
			log_info("log level: %s instead of %s, by user %u, process %d", level, before, r->uid, (int)r->pid);
			log_set_level((enum log_level)i);
			control_reply(r, json_pack("{s:s, s:s}", "level", level, "before", before));
			return;
		}
	if (level)
		control_fail(r, "\"%.40s\" is not one of: error, warn, info, debug", level);
	else
		control_reply(r, json_pack("{s:s}", "level", before));
}
