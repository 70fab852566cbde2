/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands a client may send: one row and one function each.  A handler answers by relay_answer(),
 * passes the line on by relay_forward(), or asks for a backend first; it never touches sockets.
 */
#include "userspace/session.h"

#include <stdlib.h>
#include <string.h>

/* A command with the line it stands in, as read. */
struct heard {
	struct smtp_command cmd;
	const char *line; /* with its CRLF */
	size_t len;
	size_t used;	  /* bytes it took of the client's stream */
};

enum {
	IN_CLEAR_TOO = 1, /* allowed before TLS on a listener that requires TLS */
	AFTER_HELLO = 2	  /* EHLO or HELO must have come */
};

static enum command_result refuse(struct session *s, enum reply reply)
{
	s->errors++;
	relay_answer(&s->relay, reply);
	return COMMAND_DONE;
}

static enum command_result answer(struct session *s, enum reply reply)
{
	relay_answer(&s->relay, reply);
	return COMMAND_DONE;
}

static enum command_result forward(struct session *s, const struct heard *h, enum relay_expect expect)
{
	relay_forward(&s->relay, h->line, h->len, expect);
	return COMMAND_DONE;
}

static enum command_result end(struct session *s, enum end_reason reason, enum reply reply)
{
	session_end(s, reason, reply);
	return COMMAND_END;
}

static bool offers_starttls(const struct session *s)
{
	return s->listener->tls && !s->client.tls;
}

/* ---- greeting ---- */

static bool keep_helo(struct session *s, const struct smtp_command *c)
{
	if (!c->arg_len || c->arg_len > SMTP_HELO_MAX || !smtp_helo_ok(c->arg, c->arg_len))
		return false;
	free(s->helo);
	s->helo = strndup(c->arg, c->arg_len);
	s->esmtp = c->verb == SMTP_EHLO;
	return s->helo;
}

/* Before TLS no backend is bothered: what all that are up can do is announced, and STARTTLS. */
static enum command_result hello_from_pool(struct session *s)
{
	backend_pool_floor(s->env->backends, session_pool(s), &s->relay.caps);
	relay_answer_hello(&s->relay, s->esmtp);
	return COMMAND_DONE;
}

static enum command_result on_hello(struct session *s, const struct heard *h)
{
	if (!keep_helo(s, &h->cmd))
		return refuse(s, REPLY_bad_argument);
	/*
	 * The answer waits for the verdict on the client: its name is one that may prove who it is, the backend hears the
	 * verdict in the PROXY header before it says anything, and nothing was promised to anybody yet.  A client whose mail
	 * will be refused is told so at MAIL, where every sender makes a bounce of it; no backend is bothered with it.
	 */
	if (session_must_judge(s))
		return COMMAND_JUDGE;
	if (!s->has_backend)
		return offers_starttls(s) || session_refusal(s) != REPLY_COUNT || s->unverified ? hello_from_pool(s) : COMMAND_ROUTE;
	if (!s->hello_fresh)
		return forward(s, h, s->esmtp ? EXPECT_EHLO : EXPECT_HELO);
	s->hello_fresh = false;
	relay_answer_hello(&s->relay, s->esmtp);
	return COMMAND_DONE;
}

/* ---- STARTTLS (RFC 3207) ---- */

static bool take_handshake(struct session *s)
{
	uint32_t *n = &s->env->shared->handshakes;

	if (__atomic_add_fetch(n, 1, __ATOMIC_RELAXED) <= s->env->cfg->limits.handshakes)
		return true;
	__atomic_sub_fetch(n, 1, __ATOMIC_RELAXED);
	return false;
}

/* RFC 3207 4.2: what was learned in clear is forgotten. */
static void forget_clear_text(struct session *s)
{
	session_drop_backend(s);
	session_leave_policy(s);
	relay_reset(&s->relay);
	free(s->helo);
	s->helo = NULL;
	s->hello_fresh = false;
}

static enum command_result on_starttls(struct session *s, const struct heard *h)
{
	if (h->cmd.arg_len)
		return refuse(s, REPLY_bad_argument);
	if (s->client.tls)
		return refuse(s, REPLY_already_tls);
	if (!s->listener->tls)
		return refuse(s, REPLY_not_offered);
	if (s->relay.mail_open)
		return refuse(s, REPLY_mail_is_open);
	if (s->relay.count)
		return COMMAND_NONE; /* the answers before this one come first */
	leg_used(&s->client, h->used);
	if (leg_has_input(&s->client))
		return end(s, END_starttls_injection, REPLY_injection);
	if (!take_handshake(s)) {
		stats_add(s->env->stats, COUNT_handshakes_refused, 1);
		relay_answer(&s->relay, REPLY_tls_busy);
		return COMMAND_TAKEN;
	}
	stats_add(s->env->stats, COUNT_handshakes_open, 1);
	s->handshaking = true;
	forget_clear_text(s);
	relay_answer(&s->relay, REPLY_starttls_go);
	struct tls *tls = tls_accept_new(s->listener->tls, &s->client.out);

	if (!tls || session_ask_certificate(s, tls)) {
		tls_free(tls);
		return end(s, END_internal, REPLY_COUNT);
	}
	if (s->listener->gives_tls)
		tls_kernel_keep(tls);
	leg_start_tls(&s->client, tls);
	return COMMAND_TLS;
}

/* ---- mail ---- */

static enum command_result on_mail(struct session *s, const struct heard *h)
{
	uint64_t max = s->relay.set->max_size;
	enum reply refusal = session_refusal(s);

	if (refusal != REPLY_COUNT) {
		s->verdict->refused = true;
		return refuse(s, refusal);
	}
	if (max && h->cmd.size_given && h->cmd.size > max)
		return refuse(s, REPLY_too_big);
	/* RFC 8689 4.1: only where it was offered, inside TLS and over a verified leg */
	if (h->cmd.requiretls && !(s->has_backend && s->client.tls && s->relay.backend_verified &&
				   (s->relay.caps.have & SMTP_CAP_BIT(REQUIRETLS))))
		return refuse(s, REPLY_requiretls_not_here);
	if (!s->has_backend) {
		s->mail_waits = true;
		return COMMAND_ROUTE;
	}
	s->hello_fresh = false;
	return forward(s, h, EXPECT_MAIL);
}

static enum command_result on_rcpt(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_REPLY) : refuse(s, REPLY_mail_first);
}

static enum command_result on_data(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_DATA) : refuse(s, REPLY_mail_first);
}

/* RFC 3030: the octets follow whatever the answer is. */
static enum command_result discard(struct session *s, const struct heard *h, enum reply why)
{
	s->errors++;
	relay_discard_chunk(&s->relay, h->cmd.chunk, why);
	return COMMAND_DONE;
}

static enum command_result on_bdat(struct session *s, const struct heard *h)
{
	uint64_t max = s->relay.set->max_size;

	if (!s->has_backend)
		return discard(s, h, REPLY_mail_first);
	if (!(s->relay.caps.have & SMTP_CAP_BIT(CHUNKING)))
		return discard(s, h, REPLY_no_chunking);
	if (max && (h->cmd.chunk > max || s->relay.body_bytes > max - h->cmd.chunk)) {
		/* a part of it may be at the backend, which must never see its end */
		relay_abandon(&s->relay);
		return discard(s, h, REPLY_too_big);
	}
	relay_forward_chunk(&s->relay, h->line, h->len, h->cmd.chunk, h->cmd.last);
	return COMMAND_DONE;
}

static enum command_result on_rset(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_RESET) : answer(s, REPLY_ok);
}

/* ---- the small ones ---- */

static enum command_result on_noop(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_REPLY) : answer(s, REPLY_ok);
}

static enum command_result on_help(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_REPLY) : answer(s, REPLY_help);
}

static enum command_result on_vrfy(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_REPLY) : refuse(s, REPLY_not_offered);
}

static enum command_result on_quit(struct session *s, const struct heard *h)
{
	return s->has_backend ? forward(s, h, EXPECT_QUIT) : end(s, END_quit, REPLY_bye);
}

static enum command_result on_auth(struct session *s, const struct heard *h)
{
	return refuse(s, REPLY_auth_not_offered);
}

static enum command_result on_never(struct session *s, const struct heard *h)
{
	return refuse(s, REPLY_not_offered);
}

static enum command_result on_foreign(struct session *s, const struct heard *h)
{
	return end(s, END_not_smtp, REPLY_not_smtp);
}

static enum command_result on_unknown(struct session *s, const struct heard *h)
{
	return refuse(s, REPLY_unknown);
}

/* Verbs without a row are unknown. */
static const struct row {
	enum command_result (*run)(struct session *s, const struct heard *h);
	uint8_t flags;
} rows[] = {
	[SMTP_UNKNOWN] = { on_unknown, IN_CLEAR_TOO },
	[SMTP_EHLO] = { on_hello, IN_CLEAR_TOO },
	[SMTP_HELO] = { on_hello, IN_CLEAR_TOO },
	[SMTP_LHLO] = { on_never, IN_CLEAR_TOO },
	[SMTP_STARTTLS] = { on_starttls, IN_CLEAR_TOO },
	[SMTP_MAIL] = { on_mail, AFTER_HELLO },
	[SMTP_RCPT] = { on_rcpt, AFTER_HELLO },
	[SMTP_DATA] = { on_data, AFTER_HELLO },
	[SMTP_BDAT] = { on_bdat, 0 }, /* before HELLO its octets still follow */
	[SMTP_RSET] = { on_rset, IN_CLEAR_TOO },
	[SMTP_NOOP] = { on_noop, IN_CLEAR_TOO },
	[SMTP_QUIT] = { on_quit, IN_CLEAR_TOO },
	[SMTP_VRFY] = { on_vrfy, AFTER_HELLO },
	[SMTP_EXPN] = { on_never, 0 },
	[SMTP_HELP] = { on_help, IN_CLEAR_TOO },
	[SMTP_ETRN] = { on_never, 0 },
	[SMTP_TURN] = { on_never, 0 },
	[SMTP_AUTH] = { on_auth, 0 },
	[SMTP_BURL] = { on_never, 0 },
	[SMTP_XCLIENT] = { on_never, IN_CLEAR_TOO },
	[SMTP_XFORWARD] = { on_never, IN_CLEAR_TOO },
	[SMTP_FOREIGN] = { on_foreign, IN_CLEAR_TOO },
};

/* ---- reading them ---- */

static enum command_result dispatch(struct session *s, const struct heard *h)
{
	const struct row *row = &rows[h->cmd.verb];
	bool tls_required = s->listener->cfg->require_tls || s->ask.mode == CONFIG_CLIENT_REQUIRE;
	bool clear_refused = tls_required && !s->client.tls && !(row->flags & IN_CLEAR_TOO);

	if (clear_refused && h->cmd.verb == SMTP_BDAT)
		return discard(s, h, REPLY_tls_required);
	if (clear_refused)
		return refuse(s, REPLY_tls_required);
	if ((row->flags & AFTER_HELLO) && !s->helo)
		return refuse(s, REPLY_hello_first);
	return row->run(s, h);
}

static enum reply syntax_reply(enum smtp_syntax x)
{
	return x == SMTP_SYNTAX_BAD_CHAR  ? REPLY_bad_char
	     : x == SMTP_SYNTAX_BAD_ARG	  ? REPLY_bad_argument
					  : REPLY_bad_syntax;
}

static enum command_result on_line(struct session *s, const char *line, size_t len, size_t used)
{
	struct heard h = { .line = line, .len = used, .used = used };
	char crlf[SMTP_LINE_MAX + 2];
	enum smtp_syntax syntax = smtp_parse_command(line, len, &h.cmd);
	enum command_result r;

	if (used != len + 2) { /* a bare LF that the listener forgives is passed on as CRLF */
		memcpy(crlf, line, len);
		memcpy(crlf + len, "\r\n", 2);
		h.line = crlf;
		h.len = len + 2;
	}
	if (syntax != SMTP_SYNTAX_OK && h.cmd.verb == SMTP_BDAT) /* where the octets end and commands begin is unknown */
		return end(s, END_chunk_size, syntax_reply(syntax));
	r = syntax == SMTP_SYNTAX_OK ? dispatch(s, &h) : refuse(s, syntax_reply(syntax));
	if (r == COMMAND_DONE)
		leg_used(&s->client, used);
	if (r == COMMAND_DONE || r == COMMAND_TLS || r == COMMAND_TAKEN)
		s->commands++;
	if (s->errors > s->env->cfg->limits.errors)
		return end(s, END_too_many_errors, REPLY_too_many_errors);
	return r == COMMAND_TAKEN ? COMMAND_DONE : r;
}

/* Drops what is left of a line that was too long. */
static bool skip_line(struct session *s)
{
	size_t len;
	const uint8_t *data;

	while (s->skip_line && (data = leg_peek(&s->client, &len)) && len) {
		const uint8_t *lf = memchr(data, '\n', len);

		leg_used(&s->client, lf ? (size_t)(lf - data) + 1 : len);
		s->skip_line = !lf;
	}
	return !s->skip_line;
}

static enum command_result on_bare(struct session *s, const char *line, size_t len, size_t used, bool lf)
{
	if (lf && s->listener->cfg->newline != SMTP_NEWLINE_REJECT)
		return on_line(s, line, len, used);
	return end(s, END_bare_newline, REPLY_bare_newline_command);
}

enum command_result command_next(struct session *s)
{
	const char *line;
	size_t len = 0, used = 0, have;

	if (!skip_line(s))
		return COMMAND_NONE;
	const uint8_t *first = leg_peek(&s->client, &have);

	if (have && *first == 22 && !s->client.tls) /* a handshake record: RFC 8446 5.1 */
		return end(s, END_tls_before_starttls, REPLY_implicit_tls);
	switch (leg_peek_line(&s->client, SMTP_LINE_MAX, &line, &len, &used)) {
	case SMTP_LINE_OK:
		return on_line(s, line, len, used);
	case SMTP_LINE_BARE_LF:
		return on_bare(s, line, len, used, true);
	case SMTP_LINE_BARE_CR:
		return on_bare(s, line, len, used, false);
	case SMTP_LINE_TOO_LONG:
		s->skip_line = true;
		refuse(s, REPLY_line_too_long);
		return s->errors > s->env->cfg->limits.errors ? end(s, END_too_many_errors, REPLY_too_many_errors)
							      : COMMAND_DONE;
	default:
		return COMMAND_NONE;
	}
}
