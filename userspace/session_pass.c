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
	struct pump pump;
	uint64_t run;	 /* bytes since the other side spoke last */
	uint64_t copied;
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

bool session_pass_begin(struct session *s)
{
	struct session_pass *p = calloc(1, sizeof(*p));

	if (!p)
		return false;
	pump_init(&p->up.pump, &s->client, &s->backend, s->env->pipes);
	pump_init(&p->down.pump, &s->backend, &s->client, s->env->pipes);
	p->backend_spoke = true;
	if (s->env->pipes)
		splice_ask_again(s->env->pipes);
	s->pass = p;
	s->client.careful = s->env->pipes && pump_may_have(&s->client);
	s->backend.careful = s->env->pipes && pump_may_have(&s->backend);
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

	while (leg_unsent(w->pump.to) < bound && (data = leg_peek(w->pump.from, &len)) && len) {
		leg_write(w->pump.to, data, len);
		leg_used(w->pump.from, len);
		w->copied += len;
		w->run += len;
		moved = true;
	}
	return moved;
}

static bool is_long(const struct session *s, const struct pass_way *w)
{
	return !w->over && w->run >= s->env->cfg->relay.splice_above;
}

/* Has it proved to be worth a pipe?  Then nothing more is read until what was copied is out. */
static bool wants_pipe(const struct session *s, const struct pass_way *w)
{
	return is_long(s, w) && pump_may(&w->pump);
}

/* The same for a way that could have a pipe if the kernel had the TLS of its legs. */
static bool wants_kernel(const struct session *s, const struct pass_way *w)
{
	return is_long(s, w) && pump_may_switch(&w->pump);
}

/* True: bytes were copied on the way there. */
static bool to_kernel(struct session *s, struct pass_way *w)
{
	bool moved = copy(s, w);

	for (int i = 0; i < PUMP_ALIGN_ROUNDS && pump_align(&w->pump); i++)
		moved |= copy(s, w);
	pump_switch(&w->pump, s->env->stats);
	return moved;
}

static bool pump(struct pass_way *w)
{
	size_t n = pump_run(&w->pump, UINT64_MAX);

	w->run += n;
	return n > 0;
}

static void leave_pipe(struct pass_way *w)
{
	pump_end(&w->pump);
	w->run = 0; /* counts anew: what was drained since the turn must not make it wait for a pipe, with nothing to wake it */
	w->turned = false;
}

/* The other side has spoken: a dialogue, which is copied. */
static void turn(struct pass_way *w)
{
	w->run = 0;
	w->turned = true;
	if (!pump_held(&w->pump))
		leave_pipe(w);
}

static bool move(struct session *s, struct pass_way *w)
{
	if (w->over)
		return false;
	bool copied = wants_kernel(s, w) && to_kernel(s, w);

	if (wants_pipe(s, w) && pump_begin(&w->pump))
		w->turned = false;
	if (!w->pump.pipe)
		return copy(s, w) || copied;
	bool moved = pump(w) || copied;

	if (!pump_held(&w->pump) && (w->turned || w->pump.from->eof))
		leave_pipe(w);
	return moved;
}

/* All that came before its end has been passed on. */
static bool at_end(const struct pass_way *w)
{
	const struct leg *from = w->pump.from;

	return from->eof && !w->pump.pipe && !from->text_len && (from->tls || !from->now_len);
}

static bool run_way(struct session *s, struct pass_way *w, struct pass_way *back)
{
	bool moved = move(s, w);

	if (moved) {
		turn(back);
		s->pass->backend_spoke = w == &s->pass->down;
	}
	if (w->over || !at_end(w))
		return moved;
	w->over = true;
	leg_finish(w->pump.to);
	s->pass->backend_first |= w == &s->pass->down && !back->over;
	return true;
}

/* True: its end of from is to be received from. */
static bool wants_more(const struct session *s, const struct pass_way *w)
{
	if (w->pump.pipe) {
		pump_await(&w->pump);
		return false;
	}
	if (wants_kernel(s, w)) {
		pump_await_record(&w->pump);
		return false;
	}
	return !w->over && !wants_pipe(s, w) && leg_unsent(w->pump.to) < s->relay.set->buffer;
}

static bool has_unsent(const struct pass_way *w)
{
	return leg_unsent(w->pump.to) || pump_held(&w->pump);
}

/* ---- the step ---- */

static enum end_reason closed_reason(const struct session_pass *p)
{
	return p->backend_first ? END_pass_backend_closed : END_pass_client_closed;
}

static bool done(const struct pass_way *w)
{
	return w->over && w->pump.to->fin_sent;
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
size_t session_pass_room(const struct session *s, const struct leg *from)
{
	const struct pass_way *w = from == &s->client ? &s->pass->up : &s->pass->down;

	return w->run > RING_COMMAND_BYTES ? relay_room(&s->relay, w->pump.to) : RING_COMMAND_BYTES;
}

/*
 * The last words were the ends' own.  What broke off must not look like an end: the other end gets a reset.  Where time ran
 * out over bytes that one end does not take both ends are broken off.
 */
void session_pass_farewell(struct session *s)
{
	leave_pipe(&s->pass->up);
	leave_pipe(&s->pass->down);
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
	leave_pipe(&s->pass->up);
	leave_pipe(&s->pass->down);
	free(s->pass);
	s->pass = NULL;
}

static uint64_t piped(const struct session_pass *p)
{
	return p->up.pump.piped + p->down.pump.piped;
}

static uint64_t by_ktls(const struct session_pass *p)
{
	return p->up.pump.ktls + p->down.pump.ktls;
}

void session_pass_log(const struct session *s, struct logline *l)
{
	logline_u64(l, "copied", s->pass->up.copied + s->pass->down.copied);
	logline_u64(l, "piped", piped(s->pass));
	logline_u64(l, "ktls", by_ktls(s->pass));
}

void session_pass_count(const struct session *s)
{
	if (!s->pass)
		return;
	stats_add(s->env->stats, COUNT_passed_copied, (int64_t)(s->pass->up.copied + s->pass->down.copied));
	stats_add(s->env->stats, COUNT_passed_ktls, (int64_t)by_ktls(s->pass));
	stats_add(s->env->stats, COUNT_passed_piped, (int64_t)piped(s->pass));
}
