/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of DATA.  It is CRLF . CRLF (the first CRLF may be 354's own, RFC 5321 4.1.1.4) and nothing else;
 * other servers took LF . LF, LF . CRLF or CR . CR too, and a message that ends at one place for one server
 * and at another for the next smuggles the rest in as commands (CVE-2023-51764 to -51766).
 *
 * Two engines share the work.  step() is the definition: one byte, one of seven states.  clean() is the
 * speed: nearly all bytes of a mail are of no interest, and whether one is can be told from it and the one
 * before it.  So clean() compares whole vectors with the same bytes one place earlier, and step() is only
 * called for what it finds.  The vectors are the compiler's own, so any CPU will do.
 *
 * A CR is held back until the next byte says whether it is bare, so the output never depends on how the
 * input was cut into pieces.
 */
#include "userspace/smtp.h"

#include <assert.h>
#include <string.h>

enum state {
	AT_LINE,      /* behind CRLF, or 354's */
	AT_BARE_LINE, /* behind a bare CR or LF */
	IN_TEXT,
	HELD_CR,      /* a CR, not behind AT_LINE's dot */
	DOT,	      /* CRLF . */
	BARE_DOT,     /* a bare CR or LF, . */
	DOT_CR	      /* CRLF . CR, the CR held */
};

struct scan {
	struct smtp_data_scanner *s;
	const uint8_t *in;
	size_t from; /* in[from..] is not emitted yet */
	smtp_emit *emit;
	void *ctx;
};

void smtp_data_begin(struct smtp_data_scanner *s, enum smtp_newline policy)
{
	*s = (struct smtp_data_scanner){ .state = AT_LINE, .policy = (uint8_t)policy };
}

/* ---- clean ---- */

typedef uint8_t vec __attribute__((vector_size(16)));
typedef uint64_t vec_words __attribute__((vector_size(16)));

static inline vec load(const uint8_t *p)
{
	vec v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* 0xff where a byte is of interest: LF without CR before it or the reverse, and a dot behind LF. */
static inline vec interest(const uint8_t *p, vec bare)
{
	vec now = load(p), before = load(p - 1);
	vec odd = ((vec)(now == '\n') ^ (vec)(before == '\r')) & bare;

	return odd | ((vec)(now == '.') & (vec)(before == '\n'));
}

static inline uint64_t any(vec v)
{
	vec_words w = (vec_words)v;

	return w[0] | w[1];
}

static bool of_interest(uint8_t before, uint8_t now, bool bare)
{
	return (bare && (now == '\n') != (before == '\r')) || (now == '.' && before == '\n');
}

/*
 * How many bytes from p on, of n, are of no interest.  p[-1] is read.  bare: bare CR and LF are of
 * interest, not only dots.
 */
static size_t clean(const uint8_t *p, size_t n, bool bare)
{
	vec mask = (vec){ 0 } + (uint8_t)(bare ? 0xff : 0);
	size_t i = 0;

	for (; n - i >= 4 * sizeof(vec); i += 4 * sizeof(vec))
		if (any(interest(p + i, mask) | interest(p + i + 16, mask) | interest(p + i + 32, mask) |
			interest(p + i + 48, mask)))
			break;
	for (; n - i >= sizeof(vec); i += sizeof(vec))
		if (any(interest(p + i, mask)))
			break;
	while (i < n && !of_interest(p[(ptrdiff_t)i - 1], p[i], bare))
		i++;
	return i;
}

/* ---- output ---- */

static bool muted(const struct scan *sc)
{
	return sc->s->policy == SMTP_NEWLINE_REJECT && sc->s->bare;
}

/* Emits the input up to upto, then text. */
static void put(struct scan *sc, size_t upto, const char *text)
{
	if (!muted(sc)) {
		if (upto > sc->from)
			sc->emit(sc->ctx, sc->in + sc->from, upto - sc->from);
		if (*text)
			sc->emit(sc->ctx, (const uint8_t *)text, strlen(text));
	}
	sc->from = upto;
}

/* ---- step ---- */

/* A line ends at in[at] with a bare LF.  dot: it is a single dot. */
static enum state bare_lf(struct scan *sc, size_t at, bool dot)
{
	switch (sc->s->policy) {
	case SMTP_NEWLINE_NORMALIZE:
		put(sc, at, dot ? ".\r" : "\r");
		break;
	case SMTP_NEWLINE_REJECT:
		put(sc, at, "");
		break;
	}
	sc->s->bare = true;
	return AT_BARE_LINE;
}

/*
 * What the byte at in[at] makes of the CR before it, which is in[at - 1], or was held when the last piece
 * ended (at 0).  Returns the state that this byte meets.
 */
static enum state settle_cr(struct scan *sc, size_t at, bool dot)
{
	bool held = at == 0;

	if (sc->in[at] == '\n') {
		if (held)
			put(sc, 0, "\r");
		return dot ? DOT_CR : HELD_CR;
	}
	size_t cr = held ? 0 : at - 1;

	switch (sc->s->policy) {
	case SMTP_NEWLINE_NORMALIZE:
		put(sc, cr, dot ? "." : "");
		put(sc, cr, held ? "\r" : "");
		put(sc, at, "\n");
		break;
	case SMTP_NEWLINE_REJECT:
		put(sc, cr, "");
		break;
	case SMTP_NEWLINE_PASS:
		put(sc, cr, held ? "\r" : "");
		break;
	}
	sc->s->bare = true;
	return AT_BARE_LINE;
}

/* The byte at in[at]; *done if it ends the message. */
static enum state step(struct scan *sc, enum state state, size_t at, bool *done)
{
	uint8_t b = sc->in[at];

	if (state == HELD_CR || state == DOT_CR)
		state = settle_cr(sc, at, state == DOT_CR);
	if (b == '\n') {
		if (state == DOT_CR) {
			*done = true;
			return AT_LINE;
		}
		return state == HELD_CR ? AT_LINE : bare_lf(sc, at, state == DOT || state == BARE_DOT);
	}
	if (b == '\r') {
		if (state == BARE_DOT && sc->s->policy == SMTP_NEWLINE_NORMALIZE)
			put(sc, at, "."); /* CR or CRLF, this dot is not framed by CRLF */
		return state == DOT ? DOT_CR : HELD_CR;
	}
	if (b == '.' && state == AT_LINE)
		return DOT;
	return b == '.' && state == AT_BARE_LINE ? BARE_DOT : IN_TEXT;
}

/* Whether the next byte of interest can be told from it and the one before it alone. */
static bool may_skip(enum state state)
{
	return state <= HELD_CR;
}

/* The state behind in[at - 1], when clean() passed over it and what came before. */
static enum state state_behind(const uint8_t *in, size_t at)
{
	if (in[at - 1] == '\r')
		return HELD_CR;
	if (in[at - 1] != '\n')
		return IN_TEXT;
	return in[at - 2] == '\r' ? AT_LINE : AT_BARE_LINE;
}

size_t smtp_data_scan(struct smtp_data_scanner *s, const uint8_t *in, size_t len, smtp_emit *emit, void *ctx, bool *done)
{
	struct scan sc = { s, in, 0, emit, ctx };
	enum state state = (enum state)s->state;
	size_t at = 0;

	*done = false;
	assert(state <= DOT_CR);
	while (at < len && !*done) {
		state = step(&sc, state, at++, done);
		if (*done || !may_skip(state))
			continue;

		/* once it is known that there are some, bare CR and LF matter only where they are mended */
		size_t skip = clean(in + at, len - at, !s->bare || s->policy == SMTP_NEWLINE_NORMALIZE);

		at += skip;
		if (skip)
			state = state_behind(in, at);
	}
	if (len)
		put(&sc, at - (state == HELD_CR || state == DOT_CR), "");
	s->state = (uint8_t)state;
	return at;
}
