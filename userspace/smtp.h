/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SMTP as bytes (RFC 5321, 2920, 3030, 3207, 1869): command lines, replies, EHLO keyword lists, and the
 * scanner that finds the end of DATA.  Pure: no sockets, no memory of its own, no session.
 */
#ifndef DANELAW_SMTP_H
#define DANELAW_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTP_LINE_MAX 2048   /* a command line with its CRLF: RFC 5321 4.5.3.1.4 says 512, extensions need more */
#define SMTP_REPLY_LINE_MAX 2048 /* a reply line with its CRLF */
#define SMTP_REPLY_LINES_MAX 128 /* lines of one reply */
#define SMTP_HELO_MAX 255

/* ---- lines ---- */

enum smtp_line {
	SMTP_LINE_MORE,	   /* no line end yet */
	SMTP_LINE_OK,	   /* a line that ends in CRLF */
	SMTP_LINE_BARE_LF, /* a line that ends in LF alone */
	SMTP_LINE_BARE_CR, /* a CR that is not followed by LF, inside the line */
	SMTP_LINE_TOO_LONG /* no line end within max bytes */
};
/*
 * Looks for a line in data[0..len).  *used: bytes of the line with its ending; *text_len: without.  TOO_LONG:
 * both are max; MORE: both 0.
 */
enum smtp_line smtp_find_line(const uint8_t *data, size_t len, size_t max, size_t *used, size_t *text_len);

/* ---- commands ---- */

enum smtp_verb {
	SMTP_UNKNOWN, SMTP_EHLO, SMTP_HELO, SMTP_LHLO, SMTP_STARTTLS, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_BDAT, SMTP_RSET,
	SMTP_NOOP, SMTP_QUIT, SMTP_VRFY, SMTP_EXPN, SMTP_HELP, SMTP_ETRN, SMTP_TURN, SMTP_AUTH, SMTP_BURL,
	SMTP_XCLIENT, SMTP_XFORWARD, SMTP_FOREIGN /* GET, POST, CONNECT …: another protocol's verb */
};
const char *smtp_verb_name(enum smtp_verb v);

enum smtp_syntax {
	SMTP_SYNTAX_OK,
	/* NUL, another control character but HT (a blank); 8-bit outside MAIL, RCPT, VRFY, EXPN (RFC 6531) */
	SMTP_SYNTAX_BAD_CHAR,
	SMTP_SYNTAX_BAD_ARG,	/* argument missing, or there where none may be */
	SMTP_SYNTAX_EMPTY	/* an empty line */
};

struct smtp_command {
	enum smtp_verb verb;
	const char *arg;  /* in the line, without surrounding blanks; "" if none */
	size_t arg_len;
	/* MAIL and RCPT: */
	bool size_given, requiretls;
	bool body_binarymime;
	uint64_t size;	  /* MAIL … SIZE=; past 64 bits: UINT64_MAX */
	/* BDAT: */
	uint64_t chunk;
	bool last;
};
/* line[0..len) without its CRLF.  The command points into it; ->verb is set whatever the answer. */
enum smtp_syntax smtp_parse_command(const char *line, size_t len, struct smtp_command *c);
/* A host name or address literal as EHLO's argument may be (RFC 5321 4.1.3, lenient: [A-Za-z0-9._:[]-]). */
bool smtp_helo_ok(const char *name, size_t len);

/* ---- replies ---- */

struct smtp_reply_parser {
	uint16_t code;	 /* of the lines seen so far; 0 before the first */
	uint16_t lines;
};
enum smtp_reply_line {
	SMTP_REPLY_MORE_LINES, /* a "250-…" line */
	SMTP_REPLY_LAST,       /* a "250 …" line: the reply is whole */
	SMTP_REPLY_BAD	       /* no reply line, codes differ, or too many lines */
};
/* One line without its CRLF.  The parser is zeroed for each reply. */
enum smtp_reply_line smtp_parse_reply(struct smtp_reply_parser *p, const char *line, size_t len);

/* ---- what an EHLO reply announces ---- */

#define SMTP_CAPS(X)                                                                                       \
	X(PIPELINING) X(SIZE) X(8BITMIME) X(SMTPUTF8) X(DSN) X(ENHANCEDSTATUSCODES) X(DELIVERBY)           \
	X(MT_PRIORITY) X(FUTURERELEASE) X(LIMITS) X(CHUNKING) X(BINARYMIME) X(REQUIRETLS) X(STARTTLS)      \
	X(XCLIENT) X(HELP) X(VRFY) X(RRVS)
enum smtp_cap {
#define X(name) SMTP_CAP_##name,
	SMTP_CAPS(X)
#undef X
	SMTP_CAP_COUNT
};
#define SMTP_CAP_BIT(name) (1u << SMTP_CAP_##name)
#define SMTP_CAP_PARAM_MAX 128

struct smtp_caps {
	uint32_t have;	/* SMTP_CAP_BITs */
	uint64_t size;	/* of SIZE; 0: no limit told */
	uint32_t unknown; /* keywords seen that are none of the above, never to be passed on */
	/* parameters, as announced: of DELIVERBY, MT-PRIORITY, FUTURERELEASE, LIMITS; XCLIENT's attributes */
	char deliverby[24], mt_priority[24], futurerelease[48], limits[96], xclient[SMTP_CAP_PARAM_MAX];
};
/* One line of an EHLO reply after the first, without "250-" and CRLF. */
void smtp_caps_add(struct smtp_caps *caps, const char *line, size_t len);
/*
 * What may be announced to a client whose mail goes to a backend (or to any of several: call it once a
 * backend, sum starting as SMTP_CAPS_ALL): the intersection, the smaller SIZE.
 */
void smtp_caps_meet(struct smtp_caps *sum, const struct smtp_caps *with);
extern const struct smtp_caps smtp_caps_all;
/*
 * Writes our EHLO reply: "250-host", one line a capability in mask, "250 last".  starttls adds STARTTLS of
 * our own; max_size bounds SIZE (0: no bound).  BINARYMIME goes only with CHUNKING.  Returns the length
 * (< size always: 1024 bytes suffice).
 */
size_t smtp_write_ehlo(char *out, size_t size, const char *host, const struct smtp_caps *caps, uint32_t mask, bool starttls,
		       uint64_t max_size);

/* ---- the end of DATA ---- */

enum smtp_newline { SMTP_NEWLINE_REJECT, SMTP_NEWLINE_NORMALIZE, SMTP_NEWLINE_PASS };

struct smtp_data_scanner {
	uint8_t state;	/* where in CR LF . CR LF */
	uint8_t policy; /* enum smtp_newline */
	bool bare;	/* a bare CR or LF was seen */
};
void smtp_data_begin(struct smtp_data_scanner *s, enum smtp_newline policy);

/* Where the scanner's output goes, in order; the bytes are the input's own or a static string. */
typedef void smtp_emit(void *ctx, const uint8_t *data, size_t len);
/*
 * Scans in[0..len), the bytes behind 354.  Emits what goes to the backend: byte for byte but for
 * NORMALIZE (bare LF or CR becomes CRLF, and a line of a single dot that is not framed by CRLF on both
 * sides gets a second dot, so it can end nobody's DATA) and REJECT (nothing from the first bare LF or CR on).
 * At most 2 * len + 3 bytes are emitted.  A CR at the end of in is held back for the next call.  Returns how
 * many bytes were used; *done tells that CRLF.CRLF was among them, and in[used..] is the next command.  With
 * REJECT and ->bare set the caller goes on to the end of data and answers 5xx itself; the backend's end was
 * never emitted, so its connection is of no use any more.
 */
size_t smtp_data_scan(struct smtp_data_scanner *s, const uint8_t *in, size_t len, smtp_emit *emit, void *ctx, bool *done);

#endif
