/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of a session, one function each.
 *
 *   proxy_header   read and believe the PROXY header, on a listener that requires one
 *   pregreet       hold the banner back and see who cannot wait
 *   banner         220, or 421 when no backend is up
 *   dialogue       commands, replies, bodies (relay.c, commands.c)
 *   handshake      TLS behind STARTTLS
 *   judge          wait for the verdict on a client that was asked for its certificate (session_client.c)
 *   route          choose a backend and make it ready (nexthop.c), the next one if that fails
 *   pass           bytes both ways, unread, for those whom policy trusts (session_pass.c)
 *   farewell       let the last words out, read what is under way
 *   closing        both sockets down
 */
#include "userspace/session.h"

#include <stdlib.h>
#include <string.h>

static enum step_result go(struct session *s, enum session_step step)
{
	s->step = (uint8_t)step;
	s->epoch++;
	return STEP_MORE;
}

/* The client's leg is over before the session is. */
static enum step_result client_gone(struct session *s, bool in_the_middle)
{
	if (s->client.rekeyed)
		return session_end(s, END_ktls_rekey, REPLY_COUNT);
	if (s->client.tls_failed)
		return session_end(s, END_tls_error, REPLY_COUNT);
	if (s->client.error)
		return session_end(s, END_client_reset, REPLY_COUNT);
	return session_end(s, in_the_middle ? END_client_aborted : END_client_closed, REPLY_COUNT);
}

static bool client_over(const struct session *s)
{
	return s->client.error || s->client.eof || s->client.tls_failed;
}

/* ---- before the banner ---- */

static bool may_send_header(const struct session *s)
{
	const struct config_listener *cfg = s->listener->cfg;

	for (size_t i = 0; i < cfg->proxy_from_count; i++)
		if (net_prefix_has(&cfg->proxy_from[i], &s->peer.ip))
			return true;
	return false;
}

static enum step_result step_proxy_header(struct session *s)
{
	struct proxy_header h;
	size_t len;
	const uint8_t *data = leg_peek(&s->client, &len);

	if (!may_send_header(s))
		return session_end(s, END_proxy_untrusted, REPLY_COUNT);
	switch (proxy_header_parse(data, len, &h)) {
	case PROXY_MORE:
		if (client_over(s))
			return client_gone(s, true);
		s->want_client = true;
		return session_wait(s, WAIT_PROXY_HEADER);
	case PROXY_BAD:
		return session_end(s, END_proxy_header, REPLY_COUNT);
	case PROXY_OK:
		break;
	}
	leg_used(&s->client, h.len);
	if (!h.local) {
		s->peer = h.src;
		s->local = h.dst;
	}
	return go(s, s->listener->cfg->greet_delay_ms ? STEP_PREGREET : STEP_BANNER);
}

static enum step_result step_pregreet(struct session *s)
{
	size_t len;

	leg_peek(&s->client, &len);
	if (len)
		return session_end(s, END_pregreet, REPLY_talked_first);
	if (client_over(s))
		return client_gone(s, false);
	if (s->expired) {
		s->expired = false;
		return go(s, STEP_BANNER);
	}
	s->want_client = true;
	return session_wait(s, WAIT_PREGREET);
}

static enum step_result step_banner(struct session *s)
{
	if (s->env->draining)
		return session_end(s, END_shutdown, REPLY_shutting_down);
	if (s->listener->asks)
		session_ask_policy(s);
	/* where it is verification that fails, MAIL is told so */
	if (!backend_pool_up(s->env->backends, s->listener->cfg->pool) &&
	    !backend_pool_unverified(s->env->backends, s->listener->cfg->pool))
		return session_end(s, END_no_backend, REPLY_no_service);
	relay_answer(&s->relay, REPLY_banner);
	return go(s, STEP_DIALOGUE);
}

/* ---- commands, replies, bodies ---- */

static enum step_result backend_gone(struct session *s)
{
	bool in_mail = s->relay.mail_open || s->relay.count || s->relay.mode != RELAY_COMMANDS;
	enum end_reason reason = s->backend.rekeyed ? END_ktls_rekey : END_backend_lost;

	if (relay_quit_owed(&s->relay)) /* it could not wait to be gone either */
		return session_end(s, END_quit, REPLY_bye);
	/* no word of ours may make a whole reply of lines that are half of one */
	if (relay_pass_refusal(&s->relay) || s->relay.in_reply)
		return session_end(s, reason, REPLY_COUNT);
	return session_end(s, reason, in_mail ? REPLY_backend_lost_mail : REPLY_backend_lost);
}

/*
 * While a backend or the DNS has the word the client is read on, so that its end is seen, but never further than a line: what it
 * sends meanwhile waits for its turn, and must not pile up (a STARTTLS that has to wait stays unread in front of it).
 */
static bool wants_to_know(const struct session *s)
{
	return leg_held(&s->client) < SMTP_LINE_MAX && !s->client.eof;
}

/* Nothing more can be done now: what is it that has to come? */
static enum step_result wait_in_dialogue(struct session *s, bool body_blocked)
{
	struct relay *r = &s->relay;

	if (s->client.error || s->client.tls_failed) /* whatever it waits for, nobody is left to be told */
		return client_gone(s, true);
	s->want_backend = s->has_backend && leg_unsent(&s->client) < r->set->buffer;
	if (leg_unsent(&s->client) >= r->set->buffer)
		return session_wait(s, WAIT_CLIENT_WRITE);
	if (r->mode != RELAY_COMMANDS) {
		bool unseen = session_chunk_await(s);

		if (body_blocked || (unseen && leg_unsent(&s->backend))) /* then it is not the client that is waited for */
			return session_wait(s, WAIT_BACKEND_BODY);
		if (client_over(s))
			return client_gone(s, true);
		s->want_client = !unseen;
		return session_wait(s, WAIT_BODY);
	}
	if (r->count) {
		s->want_client = wants_to_know(s);
		return session_wait(s, relay_final_owed(r) ? WAIT_FINAL : WAIT_REPLY);
	}
	if (client_over(s))
		return client_gone(s, leg_has_input(&s->client) || r->mail_open);
	s->want_client = true;
	return session_wait(s, WAIT_COMMAND);
}

static enum step_result after_command(struct session *s, enum command_result c)
{
	switch (c) {
	case COMMAND_ROUTE:
		return go(s, STEP_ROUTE);
	case COMMAND_JUDGE:
		return go(s, STEP_JUDGE);
	case COMMAND_TLS:
		s->t_tls = ring_now(s->env->ring);
		return go(s, STEP_HANDSHAKE);
	case COMMAND_END:
		return STEP_DONE;
	default:
		s->epoch++;
		return STEP_MORE;
	}
}

static bool at_idle_point(const struct session *s)
{
	return !s->relay.count && !s->relay.mail_open && s->relay.mode == RELAY_COMMANDS;
}

static enum relay_event move_body(struct session *s)
{
	enum relay_event event = relay_body(&s->relay);

	return event == RELAY_NOTHING || event == RELAY_PROGRESS ? session_chunk(s) : event;
}

/* Replies first, since they make room; then a body or the next command. */
static enum step_result step_dialogue(struct session *s)
{
	bool body_blocked = false, in_body;

	switch (relay_replies(&s->relay)) {
	case RELAY_QUIT:
		return session_end(s, END_quit, REPLY_COUNT);
	case RELAY_421:
		return session_end(s, END_backend_421, REPLY_COUNT);
	case RELAY_LOST:
		return backend_gone(s);
	case RELAY_BAD:
		return session_end(s, END_backend_protocol, s->relay.in_reply ? REPLY_COUNT : REPLY_backend_lost_mail);
	case RELAY_PROGRESS:
		s->epoch++;
		break;
	default:
		break;
	}
	if (s->env->draining && at_idle_point(s))
		return session_end(s, END_shutdown, REPLY_shutting_down);
	if (at_idle_point(s) && session_may_pass(s))
		return session_pass_begin(s) ? go(s, STEP_PASS) : session_end(s, END_internal, REPLY_internal);
	in_body = s->relay.mode != RELAY_COMMANDS;
	switch (move_body(s)) {
	case RELAY_LOST:
		return backend_gone(s);
	case RELAY_REFUSED:
		return session_end(s, s->relay.refusal == REPLY_bare_newline ? END_bare_newline : END_message_too_big,
				   REPLY_COUNT);
	case RELAY_BLOCKED:
		body_blocked = true;
		break;
	default:
		break;
	}
	if (in_body && s->relay.mode == RELAY_COMMANDS) /* a refusal that came early was left unread for now */
		return STEP_MORE;
	if (s->relay.mode == RELAY_COMMANDS && !relay_full(&s->relay, s->env->cfg->limits.pipelined)) {
		enum command_result c = command_next(s);

		if (c != COMMAND_NONE)
			return after_command(s, c);
	}
	return wait_in_dialogue(s, body_blocked);
}

/* ---- TLS ---- */

static void handshake_over(struct session *s)
{
	const struct tls_facts *f = tls_facts(s->client.tls);
	struct stats *st = s->env->stats;

	__atomic_sub_fetch(&s->env->shared->handshakes, 1, __ATOMIC_RELAXED);
	stats_add(st, COUNT_handshakes_open, -1);
	s->handshaking = false;
	s->tls_up = true;
	s->tls_ms = ring_now(s->env->ring) - s->t_tls;
	stats_add(st, COUNT_sessions_tls, 1);
	stats_add(st, strcmp(f->version, "TLSv1.3") == 0 ? COUNT_tls_13 : COUNT_tls_12, 1);
	stats_add(st, COUNT_tls_resumed, f->resumed);
	stats_add(st, COUNT_sni_unknown, f->sni_unknown);
}

static enum step_result step_handshake(struct session *s)
{
	/*
	 * The first byte on the wire must begin a handshake record (RFC 8446 5.1).  Anything else was sent as plain
	 * text behind STARTTLS, in whatever packet it came: an injected command (CVE-2011-0411).
	 */
	if (!s->tls_begun && s->client.now_len) {
		if (s->client.now[0] != 22)
			return session_end(s, END_starttls_injection, REPLY_COUNT);
		s->tls_begun = true;
	}
	switch (leg_handshake(&s->client)) {
	case TLS_DONE:
		handshake_over(s);
		if (s->verdict)
			session_take_carried(s);
		/* TLS 1.3: only our ticket waits to be sent, and the client speaks next: one segment less */
		s->client.hold = strcmp(tls_facts(s->client.tls)->version, "TLSv1.3") == 0;
		return go(s, STEP_DIALOGUE);
	case TLS_WANT_INPUT:
		if (client_over(s))
			return client_gone(s, true);
		s->want_client = true;
		return session_wait(s, WAIT_HANDSHAKE);
	default:
		return session_end(s, END_handshake_failed, REPLY_COUNT);
	}
}

static enum step_result step_judge(struct session *s)
{
	enum step_result r = session_judge(s);

	if (r == STEP_WAIT)
		s->want_client = wants_to_know(s);
	return r == STEP_MORE ? go(s, STEP_DIALOGUE) : r;
}

/* ---- the way to a backend ---- */

static void facts_of(struct session *s, struct proxy_facts *f)
{
	const struct tls_facts *tls = s->client.tls ? tls_facts(s->client.tls) : NULL;

	memset(f, 0, sizeof(*f));
	f->src = s->peer;
	f->dst = s->local;
	if (!tls)
		return;
	f->tls = true;
	f->tls_version = tls->version;
	f->tls_cipher = tls->cipher;
	f->sni = tls->sni;
	f->alpn = tls->alpn;
	if (s->verdict)
		session_client_facts(s, f);
}

/* Every backend that was asked refused this client for good: the last one's answer is the farm's. */
static enum step_result refused_by_all(struct session *s)
{
	const char *line = s->route->hop.why;

	leg_write(&s->client, line, strlen(line));
	leg_write(&s->client, "\r\n", 2);
	return session_end(s, END_backend_refused, REPLY_COUNT);
}

static enum reply unverified_reply(enum backend_state state)
{
	return state == BACKEND_BOGUS	      ? REPLY_backend_bogus
	     : state == BACKEND_LOOKUP_FAILED ? REPLY_backend_lookup
					      : REPLY_backend_unverified;
}

/*
 * Nothing was promised to the client yet: it is told why, and comes again.  The reason has its place at MAIL; a sender
 * to whom EHLO is refused would try HELO.
 */
static enum step_result no_backend_left(struct session *s)
{
	enum backend_state state = backend_pool_unverified(s->env->backends, session_pool(s));

	if (s->route->hop.refused && !s->route->unreached)
		return refused_by_all(s);
	if (s->route->unverified || state) {
		if (s->mail_waits)
			return session_end(s, END_backend_verify, unverified_reply(state));
		s->unverified = true;
		session_end_route(s);
		return go(s, STEP_DIALOGUE);
	}
	return session_end(s, END_no_backend, s->mail_waits ? REPLY_no_backend : REPLY_no_service);
}

static enum step_result try_next_backend(struct session *s)
{
	struct session_env *env = s->env;
	struct session_route *route = s->route;
	int i = backend_pick(env->backends, session_pool(s), &s->peer.ip, &route->tried);

	if (i < 0 || ring_now(env->ring) >= route->deadline)
		return no_backend_left(s);
	struct target *target = backend_target(env->backends, (size_t)i);

	if (!target || !target->addr_count) { /* its first look-up is under way */
		target_unref(target);
		return STEP_MORE;
	}
	s->backend_index = (uint16_t)i;
	s->has_backend = true;
	backend_begin(env->backends, s->backend_index);
	leg_init(&s->backend, env->io, LEG_BACKEND, s->backend.wake);
	stats_add(env->stats, COUNT_backend_connects, 1);

	struct nexthop_client client = { .facts = &route->facts, .helo = s->helo, .esmtp = s->esmtp, .to_kernel = session_gives_tls(s) };

	nexthop_end(&route->hop);
	if (nexthop_start(&route->hop, &s->backend, &env->cfg->backends[i], target,
			  backend_address(env->backends, (size_t)i, target), &client) == NEXTHOP_NO_SOCKET)
		return session_end(s, END_descriptors_full, REPLY_internal);
	return go(s, STEP_ROUTE);
}

static enum step_result route_begin(struct session *s)
{
	if (s->listener->policy_relay && !session_choose_policy(s))
		return STEP_DONE;
	if (s->client.tls && !session_gives_tls(s))
		tls_kernel_forget(s->client.tls);
	s->route = calloc(1, sizeof(*s->route));
	if (!s->route)
		return session_end(s, END_internal, REPLY_internal);
	s->t_route = ring_now(s->env->ring);
	s->route->deadline = s->t_route + s->env->cfg->timeouts.route;
	facts_of(s, &s->route->facts);
	return try_next_backend(s);
}

static enum step_result route_done(struct session *s)
{
	backend_reached(s->env->backends, s->backend_index);
	s->route_ms = ring_now(s->env->ring) - s->t_route;
	s->relay.caps = s->route->hop.caps;
	s->relay.backend_verified = s->route->hop.verified;
	s->unverified = false;
	s->backend_tls = nexthop_protection(&s->route->hop);
	nexthop_record(&s->route->hop, s->backend_record, sizeof(s->backend_record));
	s->hello_fresh = true;
	session_chunk_prepare(s);
	session_end_route(s);
	return go(s, STEP_DIALOGUE);
}

static enum step_result try_failed(struct session *s, bool unverified)
{
	struct session_env *env = s->env;

	if (unverified)
		backend_unverified(env->backends, s->backend_index, s->route->hop.why);
	else if (!s->route->hop.refused) /* a refusal may mean this client: a stranger must not take a backend out */
		backend_failed(env->backends, s->backend_index, s->route->hop.why);
	s->route->unverified |= unverified;
	s->route->unreached |= s->route->hop.refused < 500;
	stats_add(env->stats, COUNT_backend_connect_failures, 1);
	session_drop_backend(s);
	return STEP_MORE;
}

static enum step_result step_route(struct session *s)
{
	/* an earlier socket of the backend's leg has to be gone first */
	if (!s->has_backend && s->backend.state != LEG_IDLE && s->backend.state != LEG_CLOSED)
		return STEP_WAIT;
	if (!s->route)
		return route_begin(s);
	if (!s->has_backend) {
		stats_add(s->env->stats, COUNT_backend_failovers, 1);
		return try_next_backend(s);
	}
	struct nexthop *hop = &s->route->hop;
	enum nexthop_result r = s->expired ? nexthop_timed_out(hop) : nexthop_run(hop);

	s->expired = false;
	switch (r) {
	case NEXTHOP_OK:
		return route_done(s);
	case NEXTHOP_WAIT:
		if (s->client.error)
			return client_gone(s, true);
		s->want_client = wants_to_know(s);
		s->want_backend = hop->phase != NEXTHOP_CONNECT;
		return session_wait(s, hop->phase == NEXTHOP_CONNECT ? WAIT_CONNECT : WAIT_BACKEND_BANNER);
	default:
		return try_failed(s, r == NEXTHOP_UNVERIFIED);
	}
}

/* ---- the end ---- */

static bool leg_is_over(struct leg *leg)
{
	if (leg->state != LEG_OPEN || leg->error)
		return true;
	leg_discard(leg);
	return leg->fin_sent && leg->fin_seen;
}

/* A clean word to a backend that is between transactions; any other has to drop what it was given. */
static void say_farewell(struct session *s)
{
	s->farewell_said = true;
	if (s->pass) {
		session_pass_farewell(s);
		return;
	}
	leg_finish(&s->client);
	if (!s->has_backend)
		return;
	if (!at_idle_point(s) || s->backend.state != LEG_OPEN || s->backend.error) {
		leg_close(&s->backend, true);
		return;
	}
	if (s->end != END_quit && s->end != END_backend_421 && s->end != END_backend_lost)
		leg_write(&s->backend, "QUIT\r\n", 6);
	leg_finish(&s->backend);
}

/*
 * A socket closed with bytes unread makes TCP send RST, which may destroy our last reply on its way; so our
 * half is finished first, and what comes is read and dropped until the peer's FIN, for a short time.
 */
static enum step_result step_farewell(struct session *s)
{
	if (!s->farewell_said)
		say_farewell(s);
	if (s->expired || (leg_is_over(&s->client) && leg_is_over(&s->backend)))
		return go(s, STEP_CLOSING);
	s->want_client = s->want_backend = true;
	return session_wait(s, WAIT_LINGER);
}

static enum step_result step_closing(struct session *s)
{
	leg_close(&s->client, false);
	session_drop_backend(s);
	return STEP_WAIT;
}

const struct session_step_row session_steps[] = {
	[STEP_PROXY_HEADER] = { "proxy_header", step_proxy_header },
	[STEP_PREGREET] = { "pregreet", step_pregreet },
	[STEP_BANNER] = { "banner", step_banner },
	[STEP_DIALOGUE] = { "dialogue", step_dialogue },
	[STEP_HANDSHAKE] = { "handshake", step_handshake },
	[STEP_JUDGE] = { "judge", step_judge },
	[STEP_ROUTE] = { "route", step_route },
	[STEP_PASS] = { "pass", session_pass },
	[STEP_FAREWELL] = { "farewell", step_farewell },
	[STEP_CLOSING] = { "closing", step_closing },
};
