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
 *
 * A leg in TLS has to be handed to the kernel first (ktls), at the end of a record, and for good: the commands behind the
 * chunk come out of the socket as plain text then.
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
	s->client.careful = pump_may_have(&s->client);
	return true;
}

bool session_gives_tls(const struct session *s)
{
	return session_splices(s) || s->env->cfg->relay.ktls == CONFIG_KTLS_ALL;
}

/* Keys are kept no longer than there is something to keep them for. */
void session_chunk_prepare(struct session *s)
{
	bool wanted = s->env->pipes && session_gives_tls(s) && (s->relay.caps.have & SMTP_CAP_BIT(CHUNKING));

	if (!wanted && !session_splices(s)) {
		if (s->client.tls)
			tls_kernel_forget(s->client.tls);
		if (s->backend.tls)
			tls_kernel_forget(s->backend.tls);
	}
	s->backend.careful = wanted && pump_may_have(&s->backend);
}

/* The octets of a record whose beginning OpenSSL has are copied; then the kernel may have what comes. */
static void to_kernel(struct session *s)
{
	for (int i = 0; i < PUMP_ALIGN_ROUNDS && pump_align(s->chunk); i++)
		relay_body(&s->relay);
	pump_switch(s->chunk, s->env->stats);
}

static bool has_pipe(const struct session *s)
{
	return s->chunk && s->chunk->pipe;
}

enum relay_event session_chunk(struct session *s)
{
	struct relay *r = &s->relay;

	if (!has_pipe(s) && is_long(s) && pump_may_switch(s->chunk)) {
		to_kernel(s);
		if (s->backend.tls_failed) /* the kernel took one direction of it and not the other */
			return RELAY_LOST;
	}
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
	if (has_pipe(s)) {
		pump_await(s->chunk);
		return true;
	}
	if (!is_long(s))
		return false;
	if (!pump_may_switch(s->chunk))
		return pump_may(s->chunk); /* once all that was copied is out */
	pump_await_record(s->chunk);
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
