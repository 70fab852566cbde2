/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the control room share, and all a verb may use.  Nobody else includes it: jansson stays in here.
 *
 * To add a verb: a function `void control_x(struct control_request *r)`, a prototype at the end of this file, a row in
 * control_verbs.c.  It runs on the control thread and ends in exactly one control_reply() or control_fail(), at once or
 * later, always from that thread.  What answers later waits for an answer of the DNS thread (control_dns(), collected by
 * the loop) or for a note from any other thread (control_post()); the loop never waits for it.
 */
#ifndef DANELAW_CONTROL_PARTS_H
#define DANELAW_CONTROL_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include "userspace/control.h"
#include "userspace/dns.h"

#define CONTROL_CONNECTIONS 16
#define CONTROL_REQUEST_MAX 4096 /* bytes of a line */
#define CONTROL_REQUEST_MS 10000 /* for a request to come, and for its reply to be taken */

/* Where the socket of this run-dir is; 0 or -ENAMETOOLONG. */
int control_address(const char *run_dir, struct sockaddr_un *out);

struct control_conn;
struct control_request;

struct control_verb {
	const char *name;
	void (*run)(struct control_request *r);
	const char *args;     /* the arguments it knows, with a space between */
	uint32_t deadline_ms; /* for the answer; the client is told when it passes */
	const char *help;     /* one line, for {"verb":"help"} */
};
extern const struct control_verb control_verbs[]; /* ends in a row without a name */

struct control_request {
	struct control *control;
	struct control_conn *conn; /* NULL: the client has gone, or was told that it took too long */
	const struct control_verb *verb;
	json_t *args; /* an object */
	pid_t pid;    /* who asks */
	uid_t uid;
	struct control_request *next; /* for lists of the verb's */
	/*
	 * For verbs that answer later: what they keep, and, if it can be dropped at once, how.  gone() is called when
	 * nobody waits any more, must drop all, and the request is over with it.  Without it the verb has to end by
	 * control_reply() in its time all the same; meanwhile the request counts against CONTROL_CONNECTIONS.
	 */
	void *state;
	void (*gone)(struct control_request *r);
};

/* One of these ends the request; r is freed.  result: the reference is taken over. */
void control_reply(struct control_request *r, json_t *result);
void control_fail(struct control_request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct daemon *control_daemon(const struct control_request *r);
/* The control thread's inbox for look-ups, collected by the loop; NULL: nothing is looked up in this configuration. */
struct dns_inbox *control_dns(const struct control_request *r);

/* From any thread: run(n) on the control thread, soon; n is the caller's and stays until then. */
struct control_note {
	struct control_note *next;
	void (*run)(struct control_note *n);
};
void control_post(struct control *c, struct control_note *n);

/* The request ends when the main thread has reloaded, from now on. */
void control_wait_for_reload(struct control_request *r);
/* The main thread is told to drain after so long; UINT64_MAX: not at all. */
void control_drain_in(struct control *c, uint64_t ms);

/* ---- arguments; a fault ends the request ---- */

/* NULL: not given. */
const char *control_arg_text(const struct control_request *r, const char *name);
/* False after control_fail(): *out is untouched if it was not given. */
bool control_arg_number(struct control_request *r, const char *name, uint64_t min, uint64_t max, uint64_t *out);

/* ---- control_request.c: pure ---- */

/* A line as a request: verb and arguments (a new reference); 0, or -EINVAL with a sentence in err. */
int control_parse(const char *line, size_t len, const struct control_verb **verb, json_t **args, char *err, size_t err_size);

/* A string that may have come from a peer: what is not UTF-8 or not printable is shown as '?'. */
json_t *control_text(const char *text);

/* ---- verbs ---- */

void control_backends(struct control_request *r);
void control_client(struct control_request *r);
void control_counters(struct control_request *r);
void control_drain(struct control_request *r);
void control_help(struct control_request *r);
void control_listeners(struct control_request *r);
void control_log_level(struct control_request *r);
void control_reload(struct control_request *r);
void control_sessions(struct control_request *r);
void control_status(struct control_request *r);

#endif
