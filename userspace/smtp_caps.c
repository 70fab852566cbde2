/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an EHLO reply announces, and ours made of it.  Only keywords of SMTP_CAPS exist for us: a client is
 * never offered what the proxy does not understand, since an unknown extension may change how the bytes
 * are framed.  A capability whose parameters cannot be told on faithfully (too long, not printable, not the
 * same at two backends) is dropped as a whole; half of a promise is a wrong promise.
 */
#include "userspace/smtp.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ANY_PARAM "\1" /* of smtp_caps_all: whatever the first backend says; no announced text can be this */

const struct smtp_caps smtp_caps_all = {
	.have = (1u << SMTP_CAP_COUNT) - 1,
	.deliverby = ANY_PARAM,
	.mt_priority = ANY_PARAM,
	.futurerelease = ANY_PARAM,
	.limits = ANY_PARAM,
	.xclient = ANY_PARAM,
};

static const char *const cap_names[SMTP_CAP_COUNT] = {
#define X(name) #name,
	SMTP_CAPS(X)
#undef X
};

/* The capabilities whose parameters are kept. */
static const struct {
	enum smtp_cap cap;
	size_t offset, size;
} params[] = {
#define PARAM(cap, field) { SMTP_CAP_##cap, offsetof(struct smtp_caps, field), sizeof(((struct smtp_caps *)0)->field) }
	PARAM(DELIVERBY, deliverby), PARAM(MT_PRIORITY, mt_priority), PARAM(FUTURERELEASE, futurerelease),
	PARAM(LIMITS, limits), PARAM(XCLIENT, xclient),
#undef PARAM
};
#define PARAMS (sizeof(params) / sizeof(params[0]))

/* The keyword of a token: MT_PRIORITY goes as MT-PRIORITY. */
static char keyword_char(char c)
{
	return c == '_' ? '-' : c;
}

static bool keyword_is(const char *word, size_t len, const char *name)
{
	if (len != strlen(name))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = word[i] >= 'a' && word[i] <= 'z' ? (char)(word[i] - 'a' + 'A') : word[i];

		if (c != keyword_char(name[i]))
			return false;
	}
	return true;
}

static bool printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

/* RFC 1870 4: at most 20 digits; nothing, or what is no number, tells no limit. */
static uint64_t parse_size(const char *text, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return 0;
	}
	return n;
}

/* Keeps a capability's parameters; false if it has some that cannot be kept. */
static bool keep_param(struct smtp_caps *caps, enum smtp_cap cap, const char *text, size_t len)
{
	for (size_t i = 0; i < PARAMS; i++) {
		if (params[i].cap != cap)
			continue;
		char *field = (char *)caps + params[i].offset;

		memset(field, 0, params[i].size);
		if (len >= params[i].size || !printable(text, len))
			return false;
		memcpy(field, text, len);
		return true;
	}
	return true;
}

void smtp_caps_add(struct smtp_caps *caps, const char *line, size_t len)
{
	size_t word = 0, text, cap;

	while (word < len && line[word] != ' ')
		word++;
	for (text = word; text < len && line[text] == ' ';)
		text++;
	while (len > text && line[len - 1] == ' ')
		len--;
	for (cap = 0; cap < SMTP_CAP_COUNT; cap++)
		if (keyword_is(line, word, cap_names[cap]))
			break;
	if (cap == SMTP_CAP_COUNT) {
		caps->unknown++;
		return;
	}
	if (!keep_param(caps, (enum smtp_cap)cap, line + text, len - text)) {
		caps->have &= ~(1u << cap);
		return;
	}
	if (cap == SMTP_CAP_SIZE)
		caps->size = parse_size(line + text, len - text);
	caps->have |= 1u << cap;
}

static uint64_t smaller_limit(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

void smtp_caps_meet(struct smtp_caps *sum, const struct smtp_caps *with)
{
	sum->have &= with->have;
	sum->size = smaller_limit(sum->size, with->size);
	sum->unknown += with->unknown;
	for (size_t i = 0; i < PARAMS; i++) {
		char *mine = (char *)sum + params[i].offset;
		const char *other = (const char *)with + params[i].offset;

		if (!strcmp(mine, ANY_PARAM))
			memcpy(mine, other, params[i].size);
		else if (strcmp(other, ANY_PARAM) && strcmp(mine, other))
			sum->have &= ~(1u << params[i].cap);
		if (!(sum->have & 1u << params[i].cap))
			memset(mine, 0, params[i].size);
	}
}

/* ---- our reply ---- */

struct reply {
	char *out;
	size_t size, len, line; /* line: where the last one starts */
};

/* A line that does not fit is left out; sizes are such that none is (SMTP_HELO_MAX, the params' own). */
static void add_line(struct reply *r, const char *word, const char *param)
{
	int n = snprintf(r->out + r->len, r->size - r->len, "250-%s%s%s\r\n", word, *param ? " " : "", param);

	if (n < 0 || (size_t)n >= r->size - r->len)
		return;
	r->line = r->len;
	r->len += (size_t)n;
}

static void add_cap(struct reply *r, size_t cap, const struct smtp_caps *caps, uint64_t size)
{
	char word[32], number[24] = "";
	const char *param = "";
	size_t i;

	for (i = 0; cap_names[cap][i] && i < sizeof(word) - 1; i++)
		word[i] = keyword_char(cap_names[cap][i]);
	word[i] = '\0';
	for (i = 0; i < PARAMS; i++)
		if (params[i].cap == cap)
			param = (const char *)caps + params[i].offset;
	if (!strcmp(param, ANY_PARAM))
		param = "";
	if (cap == SMTP_CAP_LIMITS && !*param)
		return; /* RFC 9422 3: it has at least one */
	if (cap == SMTP_CAP_SIZE && size) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)size);
		param = number;
	}
	add_line(r, word, param);
}

size_t smtp_write_ehlo(char *out, size_t size, const char *host, const struct smtp_caps *caps, uint32_t mask, bool starttls,
		       uint64_t max_size)
{
	struct reply r = { .out = out, .size = size };
	uint32_t tell = caps->have & mask & ~(SMTP_CAP_BIT(STARTTLS) | SMTP_CAP_BIT(XCLIENT)); /* a backend's own affairs */

	if (!size)
		return 0;
	if (!(tell & SMTP_CAP_BIT(CHUNKING)))
		tell &= ~SMTP_CAP_BIT(BINARYMIME); /* RFC 3030 3: it needs BDAT */
	add_line(&r, host, "");
	if (!r.len) {
		out[0] = '\0';
		return 0;
	}
	for (size_t cap = 0; cap < SMTP_CAP_COUNT; cap++)
		if (tell & 1u << cap)
			add_cap(&r, cap, caps, smaller_limit(caps->size, max_size));
	if (starttls)
		add_line(&r, "STARTTLS", "");
	out[r.line + 3] = ' ';
	out[r.len] = '\0'; /* over what a line that did not fit left there */
	return r.len;
}
