/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command lines.  One row a verb says what may follow it.  Of MAIL and RCPT only so much is parsed as the
 * proxy has to decide itself (is there a path, which of SIZE, BODY and REQUIRETLS stand behind it): the
 * backend sees the line as the client wrote it and judges the address.  Where a client and a backend might
 * read a line differently (a parameter twice, a path without its end) the line is refused.
 */
#include "userspace/smtp.h"

#include <string.h>
#include <strings.h>

enum arg_rule {
	ARG_NONE,     /* none may be: RFC 5321 4.1.1, RFC 3207 4 */
	ARG_ANY,
	ARG_REQUIRED,
	ARG_PATH,     /* FROM:<path> or TO:<path>, then parameters */
	ARG_CHUNK     /* n [LAST], RFC 3030 2 */
};

/* verb, name, its argument, 8-bit characters allowed (RFC 6531 3.3 to 3.7) */
#define VERBS(X)                                                                                              \
	X(SMTP_EHLO, "EHLO", ARG_REQUIRED, false)                                                             \
	X(SMTP_HELO, "HELO", ARG_REQUIRED, false)                                                             \
	X(SMTP_LHLO, "LHLO", ARG_REQUIRED, false)                                                             \
	X(SMTP_STARTTLS, "STARTTLS", ARG_NONE, false)                                                         \
	X(SMTP_MAIL, "MAIL", ARG_PATH, true)                                                                  \
	X(SMTP_RCPT, "RCPT", ARG_PATH, true)                                                                  \
	X(SMTP_DATA, "DATA", ARG_NONE, false)                                                                 \
	X(SMTP_BDAT, "BDAT", ARG_CHUNK, false)                                                                \
	X(SMTP_RSET, "RSET", ARG_NONE, false)                                                                 \
	X(SMTP_NOOP, "NOOP", ARG_ANY, false)                                                                  \
	X(SMTP_QUIT, "QUIT", ARG_NONE, false)                                                                 \
	X(SMTP_VRFY, "VRFY", ARG_REQUIRED, true)                                                              \
	X(SMTP_EXPN, "EXPN", ARG_REQUIRED, true)                                                              \
	X(SMTP_HELP, "HELP", ARG_ANY, false)                                                                  \
	X(SMTP_ETRN, "ETRN", ARG_REQUIRED, false)                                                             \
	X(SMTP_TURN, "TURN", ARG_NONE, false)                                                                 \
	X(SMTP_AUTH, "AUTH", ARG_ANY, false)                                                                  \
	X(SMTP_BURL, "BURL", ARG_ANY, false)                                                                  \
	X(SMTP_XCLIENT, "XCLIENT", ARG_ANY, false)                                                            \
	X(SMTP_XFORWARD, "XFORWARD", ARG_ANY, false)

/* What a browser or proxy says first: a page may make one talk to port 25 (ALPACA, CVE-2021-3618). */
#define FOREIGN_VERBS(X)                                                                                      \
	X(SMTP_FOREIGN, "GET", ARG_ANY, false)                                                                \
	X(SMTP_FOREIGN, "POST", ARG_ANY, false)                                                               \
	X(SMTP_FOREIGN, "PUT", ARG_ANY, false)                                                                \
	X(SMTP_FOREIGN, "HEAD", ARG_ANY, false)                                                               \
	X(SMTP_FOREIGN, "PRI", ARG_ANY, false)                                                                \
	X(SMTP_FOREIGN, "CONNECT", ARG_ANY, false)                                                            \
	X(SMTP_FOREIGN, "OPTIONS", ARG_ANY, false)                                                            \
	X(SMTP_FOREIGN, "DELETE", ARG_ANY, false)                                                             \
	X(SMTP_FOREIGN, "PATCH", ARG_ANY, false)                                                              \
	X(SMTP_FOREIGN, "TRACE", ARG_ANY, false)

struct verb_row {
	enum smtp_verb verb;
	const char *name;
	size_t len;
	enum arg_rule rule;
	bool eight_bit;
};

static const struct verb_row verbs[] = {
#define X(verb, name, rule, eight_bit) { verb, name, sizeof(name) - 1, rule, eight_bit },
	VERBS(X) FOREIGN_VERBS(X)
#undef X
};

static const struct verb_row unknown_row = { SMTP_UNKNOWN, "unknown", 0, ARG_ANY, false };

const char *smtp_verb_name(enum smtp_verb v)
{
	switch (v) {
#define X(verb, name, rule, eight_bit) case verb: return name;
	VERBS(X)
#undef X
	case SMTP_FOREIGN:
		return "foreign";
	case SMTP_UNKNOWN:
		break;
	}
	return unknown_row.name;
}

static const struct verb_row *find_verb(const char *word, size_t len)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (verbs[i].len == len && !strncasecmp(verbs[i].name, word, len))
			return &verbs[i];
	return &unknown_row;
}

/* ---- words ---- */

struct cursor {
	const char *at, *end;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_blanks(struct cursor *in)
{
	while (in->at < in->end && is_blank(*in->at))
		in->at++;
}

/* The next word, up to a blank or the end; its length, 0 at the end. */
static size_t next_word(struct cursor *in, const char **word)
{
	skip_blanks(in);
	*word = in->at;
	while (in->at < in->end && !is_blank(*in->at))
		in->at++;
	return (size_t)(in->at - *word);
}

static bool word_is(const char *word, size_t len, const char *what)
{
	return len == strlen(what) && !strncasecmp(word, what, len);
}

/* Digits alone; a number past 64 bits gives UINT64_MAX and *fits = false. */
static bool parse_number(const char *text, size_t len, uint64_t *n, bool *fits)
{
	*n = 0;
	*fits = true;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		if (__builtin_mul_overflow(*n, 10, n) || __builtin_add_overflow(*n, (uint64_t)(text[i] - '0'), n))
			*fits = false;
	}
	if (!*fits)
		*n = UINT64_MAX;
	return len > 0;
}

/* ---- MAIL and RCPT ---- */

/*
 * Past a path: <…> with quoted strings and backslashes inside (RFC 5321 4.1.2), or, as Postfix takes it,
 * an address without brackets up to the next blank.
 */
static bool skip_path(struct cursor *in)
{
	const char *start = in->at;
	bool bracket = in->at < in->end && *in->at == '<', quoted = false;

	for (; in->at < in->end; in->at++) {
		char c = *in->at;

		if (c == '\\') {
			if (++in->at == in->end)
				return false;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (!quoted && bracket && c == '>') {
			in->at++;
			return in->at == in->end || is_blank(*in->at);
		} else if (!quoted && !bracket && is_blank(c)) {
			break;
		}
	}
	return !bracket && !quoted && in->at > start;
}

static enum smtp_syntax mail_parameter(struct smtp_command *c, const char *word, size_t len)
{
	bool fits;

	if (len >= 5 && !strncasecmp(word, "SIZE=", 5)) {
		if (c->size_given || !parse_number(word + 5, len - 5, &c->size, &fits))
			return SMTP_SYNTAX_BAD_ARG;
		c->size_given = true; /* one that does not fit is as large as can be, so too large */
	} else if (len >= 5 && !strncasecmp(word, "BODY=", 5)) {
		if (c->body_binarymime)
			return SMTP_SYNTAX_BAD_ARG;
		c->body_binarymime = word_is(word + 5, len - 5, "BINARYMIME");
	} else if (word_is(word, len, "REQUIRETLS")) {
		if (c->requiretls)
			return SMTP_SYNTAX_BAD_ARG;
		c->requiretls = true;
	} else if (len >= 11 && !strncasecmp(word, "REQUIRETLS=", 11)) {
		return SMTP_SYNTAX_BAD_ARG; /* RFC 8689 2: it has no value */
	}
	return SMTP_SYNTAX_OK;
}

static enum smtp_syntax parse_path(struct smtp_command *c)
{
	struct cursor in = { c->arg, c->arg + c->arg_len };
	const char *intro = c->verb == SMTP_MAIL ? "FROM:" : "TO:", *word;
	size_t intro_len = strlen(intro), len;

	if (c->arg_len < intro_len || strncasecmp(c->arg, intro, intro_len))
		return SMTP_SYNTAX_BAD_ARG;
	in.at += intro_len;
	skip_blanks(&in); /* none may be there (RFC 5321 3.3), many write one */
	if (!skip_path(&in))
		return SMTP_SYNTAX_BAD_ARG;
	while (c->verb == SMTP_MAIL && (len = next_word(&in, &word)) > 0) {
		enum smtp_syntax syntax = mail_parameter(c, word, len);

		if (syntax != SMTP_SYNTAX_OK)
			return syntax;
	}
	return SMTP_SYNTAX_OK;
}

/* ---- BDAT ---- */

/* A size that does not fit cannot be counted down, so it is no size. */
static enum smtp_syntax parse_chunk(struct smtp_command *c)
{
	struct cursor in = { c->arg, c->arg + c->arg_len };
	const char *word;
	size_t len = next_word(&in, &word);
	bool fits;

	if (!parse_number(word, len, &c->chunk, &fits) || !fits) {
		c->chunk = 0;
		return SMTP_SYNTAX_BAD_ARG;
	}
	len = next_word(&in, &word);
	c->last = word_is(word, len, "LAST");
	if (len && !c->last)
		return SMTP_SYNTAX_BAD_ARG;
	return next_word(&in, &word) ? SMTP_SYNTAX_BAD_ARG : SMTP_SYNTAX_OK;
}

/* ---- any command ---- */

static bool chars_ok(const char *line, size_t len, bool eight_bit)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t b = (uint8_t)line[i];

		if ((b < 0x20 && b != '\t') || b == 0x7f || (b >= 0x80 && !eight_bit))
			return false;
	}
	return true;
}

static enum smtp_syntax check_arg(struct smtp_command *c, enum arg_rule rule)
{
	switch (rule) {
	case ARG_NONE:
		return c->arg_len ? SMTP_SYNTAX_BAD_ARG : SMTP_SYNTAX_OK;
	case ARG_REQUIRED:
		return c->arg_len ? SMTP_SYNTAX_OK : SMTP_SYNTAX_BAD_ARG;
	case ARG_PATH:
		return parse_path(c);
	case ARG_CHUNK:
		return parse_chunk(c);
	case ARG_ANY:
		break;
	}
	return SMTP_SYNTAX_OK;
}

enum smtp_syntax smtp_parse_command(const char *line, size_t len, struct smtp_command *c)
{
	struct cursor in = { line, line + len };
	const char *word = in.at;

	*c = (struct smtp_command){ .arg = "" };
	while (in.at < in.end && !is_blank(*in.at))
		in.at++;

	const struct verb_row *row = find_verb(word, (size_t)(in.at - word));

	c->verb = row->verb;
	skip_blanks(&in);
	while (in.end > in.at && is_blank(in.end[-1]))
		in.end--;
	if (in.at < in.end) {
		c->arg = in.at;
		c->arg_len = (size_t)(in.end - in.at);
	} else if (!len || is_blank(line[0])) {
		return SMTP_SYNTAX_EMPTY;
	}
	if (!chars_ok(line, len, row->eight_bit))
		return SMTP_SYNTAX_BAD_CHAR;
	return check_arg(c, row->rule);
}

bool smtp_helo_ok(const char *name, size_t len)
{
	if (!len || len > SMTP_HELO_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      (c && strchr("._:[]-", c))))
			return false;
	}
	return true;
}
