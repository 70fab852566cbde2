/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A passed session: policy trusts its client, so from a clean boundary on bytes go both ways unread.
 *
 *   client ──► up ──► backend      each way: leg ─► leg, copied as far as the other end takes it,
 *   client ◄── down ◄─ backend               or socket ─► pipe ─► socket, by the kernel
 *
 * Copying is as cheap for what is small, so a way begins with it, goes to the pipe behind splice-above bytes to which the
 * other side has said nothing (a message body), and comes back when it speaks.  Where no pipe is to be had it copies on.
 * A leg in TLS has to be handed to the kernel first (tls_ktls.h), at the end of a record with nothing under way, for good.
 *
 * Nothing of ours is ever put between them: no 421, no reply, no QUIT.  The end of one end is passed on as what it was,
 * FIN as FIN (with close_notify inside TLS) and reset as reset.
 */
#include "userspace/session.h"

#include <stdlib.h>

/* One direction. */
struct pass_way {
	struct leg *from, *to;
	uint64_t run;	 /* bytes since the other side spoke last */
	uint64_t copied, piped, ktls; /* ktls: through the pipe too, from or to a leg whose TLS is the kernel's */
	struct splice_pipe *pipe; /* NULL: copying */
	bool turned;	 /* the other side spoke while this one had a pipe, which is left as soon as it is empty */
	bool over;	 /* the end of from was passed on */
};

struct session_pass {
	struct pass_way up, down; /* client to backend, backend to client */
	bool backend_spoke;	  /* last, or nobody did: as far as anybody can tell without reading no answer is owed */
	bool backend_first;	  /* it closed before the client did */
};

bool session_splices(const struct session *s)
{
	return s->policy >= 0 && s->env->cfg->policies[s->policy].relay == CONFIG_RELAY_SPLICE;
}

bool session_may_pass(const struct session *s)
{
	const struct config *cfg = s->env->cfg;

	if (!session_splices(s) || !s->has_backend)
		return false;
	/* to such a backend any client could say XCLIENT itself, and be whoever it likes */
	if (cfg->backends[s->backend_index].client_address == CONFIG_ADDR_XCLIENT)
		return false;
	/* who passes that on unread would promise it (RFC 8689 2) for a leg that nobody verified */
	if ((s->relay.caps.have & SMTP_CAP_BIT(REQUIRETLS)) && !(s->client.tls && s->relay.backend_verified))
		return false;
	/* a fresh backend's EHLO is answered first, but for a MAIL in clear text, whose EHLO was answered long ago */
	if ((s->hello_fresh && !s->mail_waits) || !s->helo || s->skip_line || s->relay.sealed || s->env->draining)
		return false;
	return s->backend.state == LEG_OPEN && !s->backend.error && !s->backend.eof && !leg_has_input(&s->backend) &&
	       !s->client.error && !s->client.tls_failed;
}

/* Could the kernel have its TLS? */
static bool is_for_kernel(const struct leg *leg)
{
	return leg->tls && !leg->kernel && tls_kernel_can(leg->tls);
}

bool session_pass_begin(struct session *s)
{
	struct session_pass *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	p->up = (struct pass_way){ .from = &s->client, .to = &s->backend };
	p->down = (struct pass_way){ .from = &s->backend, .to = &s->client };
	p->backend_spoke = true;
	if (s->env->pipes)
		splice_ask_again(s->env->pipes);
	s->pass = p;
	s->client.careful = s->env->pipes && is_for_kernel(&s->client);
	s->backend.careful = s->env->pipes && is_for_kernel(&s->backend);
	stats_add(s->env->stats, COUNT_sessions_passed, 1);
	return true;
}

/* ---- one way ---- */

/* What is at hand, as long as the other end has room. */
static bool copy(const struct session *s, struct pass_way *w)
{
	const size_t bound = s->relay.set->buffer;
	bool moved = false;
	const uint8_t *data;
	size_t len;

	while (leg_unsent(w->to) < bound && (data = leg_peek(w->from, &len)) && len) {
		leg_write(w->to, data, len);
		leg_used(w->from, len);
		w->copied += len;
		w->run += len;
		moved = true;
	}
	return moved;
}

enum { PUMP_ROUNDS = 8 }; /* pipefuls before others have their turn */

/* What the socket has goes to the other one through the pipe, which is filled only when it is empty. */
static bool pump(struct pass_way *w)
{
	bool moved = false;

	for (int i = 0; i < PUMP_ROUNDS; i++) {
		size_t n = 0;

		if (!w->pipe->held && (!leg_can_fill(w->from) || !leg_fill(w->from, w->pipe, SPLICE_BYTES)))
			break;
		if (leg_can_drain(w->to))
			n = leg_drain(w->to, w->pipe);
		*(w->from->kernel || w->to->kernel ? &w->ktls : &w->piped) += n;
		w->run += n;
		moved |= n > 0;
		if (w->pipe->held)
			break;
	}
	return moved;
}

/* Has it proved to be worth a pipe?  Then nothing more is read until what was copied is out. */
static bool wants_pipe(const struct session *s, const struct pass_way *w)
{
	return s->env->pipes && !w->pipe && !w->over && w->run >= s->env->cfg->relay.splice_above && leg_is_bare(w->from) &&
	       leg_is_bare(w->to) && !w->from->fin_seen && splice_has_more(s->env->pipes);
}

/*
 * The same for a way that could have a pipe if the kernel had the TLS of its legs.  What has to come for that comes by
 * itself: bytes go out, a receive brings what it was armed for, a record's rest.  Where it may not (the end that is
 * sent to says nothing, and a receive waits for it in the ring) bytes are copied.
 */
static bool wants_kernel(const struct session *s, const struct pass_way *w)
{
	const struct leg *from = w->from, *to = w->to;

	if (!s->env->pipes || w->pipe || w->over || w->run < s->env->cfg->relay.splice_above || from->fin_seen ||
	    !splice_has_more(s->env->pipes) || (leg_is_bare(from) && leg_is_bare(to)))
		return false;
	if (!leg_is_bare(to) && ring_busy(&to->sock, RING_RECV))
		return false;
	return (leg_is_bare(from) || is_for_kernel(from)) && (leg_is_bare(to) || is_for_kernel(to));
}

static void switch_leg(struct session *s, struct leg *leg)
{
	if (leg_is_bare(leg) || !leg_align(leg) || !leg_is_quiet(leg))
		return;
	bool done = leg_to_kernel(leg);

	leg->careful = false;
	stats_add(s->env->stats, done ? COUNT_ktls_legs : COUNT_ktls_refused, 1);
}

enum { ALIGN_ROUNDS = 16 }; /* what a record of full size needs, in pieces of leg_align() */

/* True: bytes were copied on the way there. */
static bool to_kernel(struct session *s, struct pass_way *w)
{
	bool moved = copy(s, w);

	for (int i = 0; i < ALIGN_ROUNDS && !leg_is_bare(w->from) && !leg_align(w->from) && leg_has_input(w->from); i++)
		moved |= copy(s, w);
	switch_leg(s, w->from);
	switch_leg(s, w->to);
	return moved;
}

static void leave_pipe(struct session *s, struct pass_way *w)
{
	if (w->pipe)
		splice_put(s->env->pipes, w->pipe);
	w->pipe = NULL;
	w->run = 0; /* counts anew: what was drained since the turn must not make it wait for a pipe, with nothing to wake it */
	w->turned = false;
}

/* The other side has spoken: a dialogue, which is copied. */
static void turn(struct session *s, struct pass_way *w)
{
	w->run = 0;
	w->turned = true;
	if (w->pipe && !w->pipe->held)
		leave_pipe(s, w);
}

static bool move(struct session *s, struct pass_way *w)
{
	if (w->over)
		return false;
	bool copied = wants_kernel(s, w) && to_kernel(s, w);

	if (wants_pipe(s, w) && leg_can_fill(w->from) && leg_can_drain(w->to)) {
		w->pipe = splice_get(s->env->pipes);
		w->turned = false;
	}
	if (!w->pipe)
		return copy(s, w) || copied;
	bool moved = pump(w) || copied;

	if (!w->pipe->held && (w->turned || w->from->eof))
		leave_pipe(s, w);
	return moved;
}

/* All that came before its end has been passed on. */
static bool at_end(const struct pass_way *w)
{
	const struct leg *from = w->from;

	return from->eof && !w->pipe && !from->text_len && (from->tls || !from->now_len);
}

static bool run_way(struct session *s, struct pass_way *w, struct pass_way *back)
{
	bool moved = move(s, w);

	if (moved) {
		turn(s, back);
		s->pass->backend_spoke = w == &s->pass->down;
	}
	if (w->over || !at_end(w))
		return moved;
	w->over = true;
	leg_finish(w->to);
	s->pass->backend_first |= w == &s->pass->down && !back->over;
	return true;
}

/* True: its end of from is to be received from. */
static bool wants_more(const struct session *s, const struct pass_way *w)
{
	if (w->pipe && w->pipe->held)
		leg_await_room(w->to);
	else if (w->pipe)
		leg_await_input(w->from);
	else if (wants_kernel(s, w) && !leg_is_bare(w->from) && tls_kernel_missing(w->from->tls))
		leg_await_input(w->from);
	else if (wants_kernel(s, w))
		return false;
	else
		return !w->over && !wants_pipe(s, w) && leg_unsent(w->to) < s->relay.set->buffer;
	return false;
}

static bool has_unsent(const struct pass_way *w)
{
	return leg_unsent(w->to) || (w->pipe && w->pipe->held);
}

/* ---- the step ---- */

static enum end_reason closed_reason(const struct session_pass *p)
{
	return p->backend_first ? END_pass_backend_closed : END_pass_client_closed;
}

static bool done(const struct pass_way *w)
{
	return w->over && w->to->fin_sent;
}

/* Is it over, and why?  An end that said goodbye may go before the other has said its last. */
static enum end_reason reason_to_end(const struct session *s)
{
	const struct session_pass *p = s->pass;

	if (s->client.rekeyed || s->backend.rekeyed)
		return END_ktls_rekey;
	if (s->client.tls_failed)
		return END_tls_error;
	if (s->client.error)
		return p->up.over ? closed_reason(p) : END_pass_client_reset;
	if (s->backend.error || s->backend.tls_failed)
		return p->down.over ? closed_reason(p) : END_pass_backend_reset;
	return done(&p->up) && done(&p->down) ? closed_reason(p) : END_NOT_YET;
}

static enum session_wait what_to_wait_for(const struct session *s)
{
	if (has_unsent(&s->pass->down))
		return WAIT_PASS_CLIENT;
	if (has_unsent(&s->pass->up))
		return WAIT_PASS_BACKEND;
	if (s->pass->down.over)
		return WAIT_PASS_END;
	return s->env->draining && s->pass->backend_spoke ? WAIT_PASS_QUIET : WAIT_PASS_IDLE;
}

enum step_result session_pass(struct session *s)
{
	struct session_pass *p = s->pass;
	bool moved = run_way(s, &p->up, &p->down);

	moved |= run_way(s, &p->down, &p->up);
	s->epoch += moved;
	enum end_reason end = reason_to_end(s);

	if (end != END_NOT_YET)
		return session_end(s, end, REPLY_COUNT);
	s->want_client = wants_more(s, &p->up);
	s->want_backend = wants_more(s, &p->down);
	return session_wait(s, what_to_wait_for(s));
}

/* Big receives for what has proved to be big. */
enum ring_room session_pass_room(const struct session *s, const struct leg *from)
{
	const struct pass_way *w = from == &s->client ? &s->pass->up : &s->pass->down;

	return w->run > RING_COMMAND_BYTES ? RING_ROOM_BODY : RING_ROOM_COMMAND;
}

/*
 * The last words were the ends' own.  What broke off must not look like an end: the other end gets a reset.  Where time ran
 * out over bytes that one end does not take both ends are broken off.
 */
void session_pass_farewell(struct session *s)
{
	leave_pipe(s, &s->pass->up);
	leave_pipe(s, &s->pass->down);
	switch (s->end) {
	case END_ktls_rekey:
		leg_close(s->client.rekeyed ? &s->backend : &s->client, true);
		break;
	case END_tls_error: /* the alert still goes out */
	case END_pass_client_reset:
		leg_close(&s->backend, true);
		break;
	case END_pass_backend_reset:
		leg_close(&s->client, true);
		break;
	case END_pass_client_stalled:
	case END_pass_backend_stalled:
		leg_close(&s->client, true);
		leg_close(&s->backend, true);
		break;
	default:
		break;
	}
	leg_finish(&s->client);
	leg_finish(&s->backend);
}

void session_pass_end(struct session *s)
{
	if (!s->pass)
		return;
	leave_pipe(s, &s->pass->up);
	leave_pipe(s, &s->pass->down);
	free(s->pass);
	s->pass = NULL;
}

void session_log_relay(const struct session *s, struct logline *l)
{
	const struct session_pass *p = s->pass;

	logline_str(l, "relay", p ? "splice" : "guard");
	if (!p)
		return;
	logline_u64(l, "copied", p->up.copied + p->down.copied);
	logline_u64(l, "piped", p->up.piped + p->down.piped);
	logline_u64(l, "ktls", p->up.ktls + p->down.ktls);
}

void session_pass_count(const struct session *s)
{
	if (!s->pass)
		return;
	stats_add(s->env->stats, COUNT_passed_copied, (int64_t)(s->pass->up.copied + s->pass->down.copied));
	stats_add(s->env->stats, COUNT_passed_ktls, (int64_t)(s->pass->up.ktls + s->pass->down.ktls));
	stats_add(s->env->stats, COUNT_passed_piped, (int64_t)(s->pass->up.piped + s->pass->down.piped));
}
