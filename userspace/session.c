/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop that runs steps, the one place where a session ends, and its one line in the log.
 */
#include "userspace/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/log.h"

#define TIMEOUT(field) offsetof(struct config_timeouts, field)

/* Each wait: what people call it, its time-out, and how a session ends that waited too long. */
static const struct {
	const char *name;
	size_t timeout;
	enum end_reason end;
	enum reply reply;
} waits[] = {
	[WAIT_NOTHING] = { "", 0, END_internal, REPLY_internal },
	[WAIT_PROXY_HEADER] = { "PROXY header", TIMEOUT(proxy_header), END_proxy_header, REPLY_COUNT },
	[WAIT_PREGREET] = { "greet delay", 0, END_NOT_YET, REPLY_COUNT }, /* the listener's greet delay; its end is no fault */
	[WAIT_COMMAND] = { "command", TIMEOUT(command), END_idle_timeout, REPLY_timed_out },
	[WAIT_HANDSHAKE] = { "handshake", TIMEOUT(handshake), END_handshake_timeout, REPLY_COUNT },
	[WAIT_VERDICT] = { "client verdict", TIMEOUT(client_verdict), END_NOT_YET, REPLY_COUNT }, /* a verdict too: lookup_failed */
	[WAIT_CONNECT] = { "backend connect", TIMEOUT(backend_connect), END_NOT_YET, REPLY_COUNT }, /* the next backend's turn */
	[WAIT_BACKEND_BANNER] = { "backend banner", TIMEOUT(backend_banner), END_NOT_YET, REPLY_COUNT },
	[WAIT_REPLY] = { "backend reply", TIMEOUT(backend_reply), END_backend_timeout, REPLY_backend_lost },
	[WAIT_FINAL] = { "final reply", TIMEOUT(backend_final), END_backend_timeout, REPLY_backend_lost_mail },
	[WAIT_BODY] = { "body", TIMEOUT(body_block), END_body_timeout, REPLY_timed_out },
	[WAIT_BACKEND_BODY] = { "backend takes body", TIMEOUT(backend_reply), END_backend_timeout, REPLY_backend_lost_mail },
	[WAIT_CLIENT_WRITE] = { "client takes reply", TIMEOUT(client_write), END_write_timeout, REPLY_COUNT },
	[WAIT_PASS_IDLE] = { "bytes to pass", TIMEOUT(pass_idle), END_pass_idle, REPLY_COUNT },
	[WAIT_PASS_QUIET] = { "quiet before shutdown", TIMEOUT(pass_quiet), END_pass_shutdown, REPLY_COUNT },
	[WAIT_PASS_CLIENT] = { "client takes bytes", TIMEOUT(client_write), END_pass_client_stalled, REPLY_COUNT },
	[WAIT_PASS_BACKEND] = { "backend takes bytes", TIMEOUT(backend_reply), END_pass_backend_stalled, REPLY_COUNT },
	[WAIT_PASS_END] = { "client closes", TIMEOUT(linger), END_pass_backend_closed, REPLY_COUNT },
	[WAIT_LINGER] = { "client closes", TIMEOUT(linger), END_NOT_YET, REPLY_COUNT },
};

/* ---- waiting ---- */

static uint32_t timeout_ms(const struct session *s, enum session_wait wait)
{
	if (wait == WAIT_PREGREET)
		return s->listener->cfg->greet_delay_ms;
	uint32_t ms = *(const uint32_t *)((const char *)&s->env->cfg->timeouts + waits[wait].timeout);

	if (wait == WAIT_CONNECT || wait == WAIT_BACKEND_BANNER) { /* all tries together have a deadline too */
		uint64_t now = ring_now(s->env->ring), end = s->route->deadline;

		ms = end <= now ? 0 : end - now < ms ? (uint32_t)(end - now) : ms;
	}
	return ms;
}

/* What has moved since the wait began, for those whose time-out asks for a rate and not for an event. */
static uint64_t wait_mark(const struct session *s, enum session_wait wait)
{
	if (wait == WAIT_BACKEND_BODY || wait == WAIT_PASS_BACKEND)
		return s->backend.wire_out;
	return wait == WAIT_CLIENT_WRITE || wait == WAIT_PASS_CLIENT ? s->client.wire_out : s->client.bytes_in;
}

static void wait_begin(struct session *s, enum session_wait wait)
{
	s->wait = (uint8_t)wait;
	s->wait_epoch = s->epoch;
	s->wait_mark = wait_mark(s, wait);
	timer_set(s->env->wheel, &s->timer, ring_now(s->env->ring) + timeout_ms(s, wait));
}

enum step_result session_wait(struct session *s, enum session_wait wait)
{
	if (s->wait != wait || s->wait_epoch != s->epoch || !timer_is_set(&s->timer))
		wait_begin(s, wait);
	return STEP_WAIT;
}

/* A slow body or a slow reader is not over its time as long as enough has moved in each window. */
static bool moved_enough(const struct session *s)
{
	uint64_t moved = wait_mark(s, s->wait) - s->wait_mark;
	const struct config_timeouts *t = &s->env->cfg->timeouts;

	switch (s->wait) {
	case WAIT_CLIENT_WRITE:
	case WAIT_BACKEND_BODY:
	case WAIT_PASS_CLIENT:
	case WAIT_PASS_BACKEND:
		return moved > 0;
	case WAIT_BODY:
		return moved > 0 && moved * 1000 >= (uint64_t)t->body_min_rate * t->body_block;
	default:
		return false;
	}
}

static void on_timer(struct timer *t)
{
	struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));

	if (moved_enough(s)) {
		wait_begin(s, s->wait);
		return;
	}
	s->expired = true;
	session_run(s);
}

/* ---- the life of a session ---- */

static void on_wake(struct leg *leg)
{
	size_t offset = leg->side == LEG_CLIENT ? offsetof(struct session, client) : offsetof(struct session, backend);

	session_run((struct session *)((char *)leg - offset));
}

bool session_counts_source(const struct session_env *env, const struct session_listener *listener)
{
	return env->shared->sources && listener->cfg->proxy == CONFIG_PROXY_FORBIDDEN;
}

int session_new(struct session_env *env, struct session_listener *listener, int fd, const struct net_addr *peer,
		const struct net_addr *local)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		return -1;
	}
	s->env = env;
	s->listener = listener;
	s->id = env->next_id++;
	s->peer = *peer;
	s->local = *local;
	s->end = END_NOT_YET;
	s->policy = -1;
	s->has_source = session_counts_source(env, listener);
	s->t_start = ring_now(env->ring);
	s->timer.fire = on_timer;
	leg_init(&s->client, env->io, LEG_CLIENT, on_wake);
	leg_init(&s->backend, env->io, LEG_BACKEND, on_wake);
	relay_init(&s->relay, &s->client, &s->backend, &listener->relay, env->stats);
	leg_adopt(&s->client, fd);

	s->next = env->sessions;
	s->link = &env->sessions;
	if (s->next)
		s->next->link = &s->next;
	env->sessions = s;
	stats_add(env->stats, COUNT_sessions, 1);
	stats_add(env->stats, COUNT_sessions_open, 1);

	s->step = listener->cfg->proxy == CONFIG_PROXY_REQUIRED ? STEP_PROXY_HEADER
		: listener->cfg->greet_delay_ms			? STEP_PREGREET
								: STEP_BANNER;
	session_run(s);
	return 0;
}

static void session_free(struct session *s)
{
	timer_cancel(s->env->wheel, &s->timer);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	stats_add(s->env->stats, COUNT_sessions_open, -1);
	if (s->has_source)
		sources_release(s->env->shared->sources, &s->peer.ip);
	__atomic_sub_fetch(&s->env->shared->sessions, 1, __ATOMIC_RELAXED);
	session_end_route(s);
	session_chunk_end(s);
	session_pass_end(s);
	session_leave_policy(s);
	free(s->verdict);
	free(s->helo);
	free(s);
}

void session_end_route(struct session *s)
{
	if (s->route)
		nexthop_end(&s->route->hop);
	free(s->route);
	s->route = NULL;
}

void session_drop_backend(struct session *s)
{
	if (s->has_backend)
		backend_end(s->env->backends, s->backend_index);
	s->has_backend = false;
	leg_close(&s->backend, false);
}

/* ---- the log line ---- */

static void log_session(struct session *s)
{
	struct logline l;
	char text[NET_TEXT_MAX], sid[17];
	const struct tls_facts none = { 0 }, *tls = s->tls_up ? tls_facts(s->client.tls) : &none;
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
		sid[i] = digits[s->id >> (60 - 4 * i) & 15];
	sid[16] = 0;
	logline_begin(&l);
	logline_str(&l, "sid", sid + strspn(sid, "0"));
	logline_str(&l, "lst", s->listener->cfg->name);
	logline_str(&l, "peer", net_ip_text(&s->peer.ip, text));
	logline_str(&l, "ehlo", s->helo);
	logline_str(&l, "tls", tls->version && !strncmp(tls->version, "TLSv", 4) ? tls->version + 4 : NULL);
	logline_str(&l, "cipher", tls->cipher);
	logline_str(&l, "group", tls->group);
	logline_str(&l, "sni", tls->sni);
	logline_str(&l, "cert", tls->certificate);
	logline_str(&l, "resumed", s->tls_up ? (tls->resumed ? "yes" : "no") : NULL);
	logline_str(&l, "backend", s->t_route ? s->env->cfg->backends[s->backend_index].name : NULL);
	logline_str(&l, "backend_tls", s->backend_tls);
	if (s->backend_record[0])
		logline_str(&l, "backend_record", s->backend_record);
	session_log_client(s, &l);
	logline_str(&l, "relay", s->pass ? "splice" : "guard");
	if (s->pass)
		session_pass_log(s, &l);
	else
		session_chunk_log(s, &l);
	logline_u64(&l, "cmds", s->commands);
	logline_u64(&l, "errors", s->errors);
	if (!s->pass) /* nobody counts them there */
		logline_u64(&l, "msgs", s->relay.messages);
	logline_u64(&l, "in", s->client.bytes_in);
	logline_u64(&l, "out", s->client.bytes_out);
	logline_ms(&l, "t_tls", s->tls_ms);
	logline_ms(&l, "t_backend", s->route_ms);
	logline_ms(&l, "t", ring_now(s->env->ring) - s->t_start);
	logline_str(&l, "end", end_info[s->end].name);
	if (s->end == END_handshake_failed || s->end == END_tls_error)
		logline_str(&l, "why", s->client.tls ? tls_error(s->client.tls) : NULL);
	else if (s->route && s->route->hop.why[0])
		logline_str(&l, "why", s->route->hop.why);
	logline_emit(&l);
}

/* ---- for people ---- */

static void view(const struct session *s, struct session_view *v)
{
	const struct tls_facts *tls = s->tls_up && s->client.tls ? tls_facts(s->client.tls) : NULL;

	*v = (struct session_view){ .id = s->id,
				    .listener = s->listener->cfg->name,
				    .peer = s->peer,
				    .step = session_steps[s->step].name,
				    .wait = waits[s->wait].name,
				    .tls = tls && tls->version ? tls->version : "",
				    .backend = s->t_route ? s->env->cfg->backends[s->backend_index].name : NULL,
				    .age_ms = ring_now(s->env->ring) - s->t_start,
				    .bytes_in = s->client.bytes_in,
				    .bytes_out = s->client.bytes_out,
				    .commands = s->commands,
				    .messages = s->relay.messages };
	if (s->verdict)
		client_judgement_text(&s->verdict->judgement, v->client_dane);
	if (s->helo)
		strncpy(v->helo, s->helo, sizeof(v->helo) - 1);
}

size_t session_list(const struct session_env *env, struct session_view *out, size_t max)
{
	size_t n = 0;

	for (const struct session *s = env->sessions; s && n < max; s = s->next)
		view(s, &out[n++]);
	return n;
}

/* ---- ending ---- */

/* A client that went away after its mail was refused ended for that reason. */
static enum end_reason refused_or(const struct session *s, enum end_reason reason)
{
	if (!s->verdict || !s->verdict->refused || (reason != END_quit && reason != END_client_closed))
		return reason;
	return s->verdict->answer == POLICY_LATER ? END_client_lookup : END_client_refused;
}

enum step_result session_end(struct session *s, enum end_reason reason, enum reply reply)
{
	if (s->end != END_NOT_YET)
		return STEP_DONE;
	reason = refused_or(s, reason);
	s->end = (uint8_t)reason;
	session_end_judging(s);
	session_note_history(s);
	if (reply != REPLY_COUNT && !s->client.error && !s->pass) {
		char text[REPLY_MAX];

		leg_write(&s->client, text, reply_write(reply, s->listener->relay.hostname, text));
	}
	if (s->handshaking)
		__atomic_sub_fetch(&s->env->shared->handshakes, 1, __ATOMIC_RELAXED);
	if (s->handshaking)
		stats_add(s->env->stats, COUNT_handshakes_open, -1);
	s->handshaking = false;
	session_pass_count(s);
	session_chunk_count(s);
	stats_end(s->env->stats, reason);
	stats_add(s->env->stats, COUNT_commands, s->commands);
	stats_add(s->env->stats, COUNT_commands_refused, s->errors);
	stats_add(s->env->stats, COUNT_bytes_in, (int64_t)s->client.bytes_in);
	stats_add(s->env->stats, COUNT_bytes_out, (int64_t)s->client.bytes_out);
	log_session(s);
	return STEP_DONE;
}

/* ---- running ---- */

/* True if the passing of a time-out ends the session here; steps look at the others themselves. */
static bool ended_by_timeout(struct session *s)
{
	if (!s->expired || waits[s->wait].end == END_NOT_YET || s->end != END_NOT_YET)
		return false;
	s->expired = false;
	session_end(s, waits[s->wait].end, waits[s->wait].reply);
	return true;
}

static void run_steps(struct session *s)
{
	enum step_result r = ended_by_timeout(s) ? STEP_DONE : STEP_MORE;

	for (;;) {
		if (r == STEP_DONE) {
			assert(s->end != END_NOT_YET);
			s->step = STEP_FAREWELL;
		} else if (r == STEP_WAIT) {
			return;
		}
		r = session_steps[s->step].run(s);
	}
}

void session_run(struct session *s)
{
	if (s->running)
		return; /* a leg that closed at once, inside a step: the loop looks at it anyway */
	s->running = true;
	s->want_client = s->want_backend = false;
	run_steps(s);
	s->running = false;
	if (s->step == STEP_CLOSING && s->client.state == LEG_CLOSED && s->backend.state == LEG_CLOSED) {
		session_free(s);
		return;
	}
	bool body = s->relay.mode != RELAY_COMMANDS || s->relay.sealed || s->step == STEP_FAREWELL;

	if (s->step == STEP_PASS) {
		leg_settle(&s->client, s->want_client, session_pass_room(s, &s->client));
		leg_settle(&s->backend, s->want_backend, session_pass_room(s, &s->backend));
		return;
	}
	leg_settle(&s->client, s->want_client, body ? relay_room(&s->relay, &s->backend) : RING_COMMAND_BYTES);
	leg_settle(&s->backend, s->want_backend, RING_COMMAND_BYTES);
}

void session_drain(struct session_env *env)
{
	env->draining = true;
	for (struct session *s = env->sessions, *next; s; s = next) {
		next = s->next;
		session_run(s);
	}
}

void session_cut(struct session_env *env)
{
	for (struct session *s = env->sessions, *next; s; s = next) {
		next = s->next;
		if (s->end == END_NOT_YET)
			session_end(s, END_drain_deadline, REPLY_shutting_down);
		s->step = STEP_CLOSING;
		session_run(s);
	}
}
