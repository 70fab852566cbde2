/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The octets of a BDAT in a guarded session, by the kernel.  Their number is told before them (RFC 3030 2), and they end for
 * no other reason: no end has to be found in them, and whatever is behind them is a command.  So those that are still in the
 * client's socket need not be seen:
 *
 *   BDAT 9000000 LAST CRLF  octets that came with it    octets in the socket, ever only as many as are left  RSET CRLF
 *   read, framed, written   copied, and out before      client ──► pipe ──► backend                          read, framed
 *                           the first of these is taken
 *
 * The command was passed on before them, and its reply is expected from the last of them on (relay.c), as when they are
 * copied: the backend's own is the only one there will be.  What cannot be done by the kernel is copied.
 */
#include "userspace/session.h"

#include <stdlib.h>

/* Enough to be worth it?  Then the first one of a session gets what is needed. */
static bool is_long(struct session *s)
{
	if (!s->env->pipes || relay_chunk_left(&s->relay) < s->env->cfg->relay.splice_above || s->backend.error)
		return false;
	if (s->chunk)
		return true;
	s->chunk = malloc(sizeof(*s->chunk));
	if (!s->chunk)
		return false;
	pump_init(s->chunk, &s->client, &s->backend, s->env->pipes);
	splice_ask_again(s->env->pipes);
	return true;
}

static bool has_pipe(const struct session *s)
{
	return s->chunk && s->chunk->pipe;
}

enum relay_event session_chunk(struct session *s)
{
	struct relay *r = &s->relay;

	if (!has_pipe(s) && !(is_long(s) && pump_begin(s->chunk)))
		return RELAY_NOTHING;
	relay_chunk_passed(r, pump_run(s->chunk, relay_chunk_left(r) - pump_held(s->chunk)));
	if (s->backend.error)
		return RELAY_LOST;
	if (pump_held(s->chunk))
		return RELAY_BLOCKED;
	if (!relay_chunk_left(r))
		pump_end(s->chunk);
	return RELAY_PROGRESS;
}

bool session_chunk_await(struct session *s)
{
	if (!has_pipe(s))
		return is_long(s) && pump_may(s->chunk); /* once all that was copied is out */
	pump_await(s->chunk);
	return true;
}

void session_chunk_log(const struct session *s, struct logline *l)
{
	if (!s->chunk)
		return;
	logline_u64(l, "piped", s->chunk->piped);
	logline_u64(l, "ktls", s->chunk->ktls);
}

void session_chunk_count(const struct session *s)
{
	if (!s->chunk)
		return;
	stats_add(s->env->stats, COUNT_bdat_piped, (int64_t)s->chunk->piped);
	stats_add(s->env->stats, COUNT_bdat_ktls, (int64_t)s->chunk->ktls);
}

void session_chunk_end(struct session *s)
{
	if (s->chunk)
		pump_end(s->chunk);
	free(s->chunk);
	s->chunk = NULL;
}
