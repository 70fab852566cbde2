/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of DATA once more, slowly: looks at the whole input at once, line by line.  What the scanner does
 * a piece at a time is compared with this, and its output shown to receivers less strict than it is.
 */
#ifndef DANELAW_SMTP_DATA_REFERENCE_H
#define DANELAW_SMTP_DATA_REFERENCE_H

#include <string.h>

#include "userspace/smtp.h"

enum { REFERENCE_MAX = 8192 }; /* of output */

struct reference_out {
	uint8_t bytes[REFERENCE_MAX];
	size_t len;
	size_t used;
	bool done, bare;
};

static void reference_emit(void *ctx, const uint8_t *data, size_t len)
{
	struct reference_out *o = ctx;

	if (len > sizeof(o->bytes) - o->len)
		__builtin_trap();
	memcpy(o->bytes + o->len, data, len);
	o->len += len;
}

static size_t reference_end(const uint8_t *in, size_t len, bool *done)
{
	for (size_t i = 0; i + 3 <= len; i++) {
		*done = !memcmp(in + i, ".\r\n", 3) && (i == 0 || (i >= 2 && !memcmp(in + i - 2, "\r\n", 2)));
		if (*done)
			return i + 3;
	}
	return len;
}

/* The first bare CR or LF of in[0..len), or len. */
static size_t reference_bare(const uint8_t *in, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (in[i] == '\n' && (i == 0 || in[i - 1] != '\r'))
			return i;
		if (in[i] == '\r' && i + 1 < len && in[i + 1] != '\n')
			return i;
	}
	return len;
}

static void reference_normalize(struct reference_out *o, const uint8_t *in, size_t len)
{
	bool framed = true; /* by CRLF before */

	for (size_t at = 0; at < len;) {
		size_t end = at, next;

		while (end < len && in[end] != '\r' && in[end] != '\n')
			end++;
		bool crlf = end + 1 < len && in[end] == '\r' && in[end + 1] == '\n';
		bool held = end + 1 == len && in[end] == '\r';
		bool dot = end - at == 1 && in[at] == '.';

		next = end + (size_t)(end < len) + (size_t)crlf;
		reference_emit(o, in + at, end - at);
		/* a dot behind a bare line end is stuffed whatever ends its line; one behind CRLF, by a bare one */
		if (dot && end < len && (framed ? !crlf && !held : true))
			reference_emit(o, (const uint8_t *)".", 1);
		if (end < len && !held)
			reference_emit(o, (const uint8_t *)"\r\n", 2);
		framed = crlf;
		at = next;
	}
}

static void reference_scan(struct reference_out *o, enum smtp_newline policy, const uint8_t *in, size_t len)
{
	size_t bare, body;

	o->len = 0;
	o->done = false;
	o->used = reference_end(in, len, &o->done);
	bare = reference_bare(in, o->used);
	o->bare = bare < o->used;
	body = o->used - (o->used && in[o->used - 1] == '\r'); /* held back */
	if (policy == SMTP_NEWLINE_NORMALIZE)
		reference_normalize(o, in, o->used);
	else
		reference_emit(o, in, policy == SMTP_NEWLINE_REJECT && o->bare ? bare : body);
}

/* ---- receivers ---- */

/* What a receiver takes for the end of a line. */
struct receiver {
	const char *name;
	bool crlf_only; /* strict */
	bool cr;	/* a CR alone, too */
	bool pair;	/* CRLF is one end, not two (with cr) */
	bool strip_all; /* any number of CRs before LF go, not only one */
};

static const struct receiver receivers[] = {
	{ "strict", .crlf_only = true },
	{ "LF, a CR before it is stripped", .pair = true },
	{ "LF, all CRs before it are stripped", .strip_all = true },
	{ "LF, CR and CRLF", .cr = true, .pair = true },
	{ "LF and CR, each for itself", .cr = true },
};

/* How many times a receiver that unstuffs nothing sees the end of data; *last: behind which byte at last. */
static size_t receiver_ends(const struct receiver *r, const uint8_t *in, size_t len, size_t *last)
{
	size_t ends = 0, start = 0;

	for (size_t i = 0; i < len; i++) {
		bool lf = in[i] == '\n' && (!r->crlf_only || (i && in[i - 1] == '\r'));
		bool cr = r->cr && in[i] == '\r' && !(r->pair && i + 1 < len && in[i + 1] == '\n');
		size_t text = i;

		if (!lf && !cr)
			continue;
		if (lf && (r->pair || r->crlf_only) && text > start && in[text - 1] == '\r')
			text--;
		while (lf && r->strip_all && text > start && in[text - 1] == '\r')
			text--;
		if (text - start == 1 && in[start] == '.') {
			ends++;
			*last = i + 1;
		}
		start = i + 1;
	}
	return ends;
}

/*
 * The name of a receiver that would be led astray by what was emitted, NULL if there is none.  One to whom
 * CR alone ends a line may leave the last LF, an empty command line.
 */
static const char *receiver_misled(const struct reference_out *o, bool ended)
{
	for (size_t i = 0; i < sizeof(receivers) / sizeof(receivers[0]); i++) {
		size_t last = o->len;

		if (receiver_ends(&receivers[i], o->bytes, o->len, &last) != ended || last + receivers[i].cr < o->len)
			return receivers[i].name;
	}
	return NULL;
}

#endif
