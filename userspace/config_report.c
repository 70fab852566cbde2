/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults are kept until the reading is over and told in the order of the file, since a reader goes through
 * the file from the top, and since some are only seen when all of it has been read.
 */
#include "userspace/config_parts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FAULT_TEXT_MAX 600

void config_report_add(struct config_report *r, size_t file, int line, const char *fmt, ...)
{
	char text[FAULT_TEXT_MAX];
	struct config_fault *f;
	unsigned char *p;
	va_list args;

	if (r->count >= CONFIG_FAULTS_MAX) {
		r->unlisted++;
		return;
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	r->faults = config_list_grow(r->faults, &r->count, sizeof(*f));
	f = &r->faults[r->count - 1];
	*f = (struct config_fault){ file, line, r->count, config_strdup(text) };
}

static int by_place(const void *a, const void *b)
{
	const struct config_fault *x = a, *y = b;
	bool x_whole = x->line == 0, y_whole = y->line == 0;

	if (x_whole != y_whole)
		return x_whole ? 1 : -1;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

void config_report_tell(struct config_report *r, char *const *names, config_complain *complain, void *ctx)
{
	char line[FAULT_TEXT_MAX + 512];
	size_t i;

	if (r->count)
		qsort(r->faults, r->count, sizeof(r->faults[0]), by_place);
	for (i = 0; i < r->count; i++) {
		const struct config_fault *f = &r->faults[i];

		if (f->line)
			snprintf(line, sizeof(line), "%.400s:%d: %s", names[f->file], f->line, f->text);
		else
			snprintf(line, sizeof(line), "%.400s: %s", names[f->file], f->text);
		complain(ctx, line);
	}
	if (r->unlisted) {
		snprintf(line, sizeof(line), "%.400s: and %zu faults more", names[0], r->unlisted);
		complain(ctx, line);
	}
}

void config_report_clear(struct config_report *r)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		free(r->faults[i].text);
	free(r->faults);
	*r = (struct config_report){ 0 };
}

#define WORD_MAX 40

static size_t min3(size_t a, size_t b, size_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

/* Letters to insert, delete, change or swap with a neighbour to make b of a. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[3][WORD_MAX + 1], i, j;

	for (j = 0; j <= b_len; j++)
		row[0][j] = j;
	for (i = 1; i <= a_len; i++) {
		size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		now[0] = i;
		for (j = 1; j <= b_len; j++) {
			now[j] = min3(now[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = min3(now[j], now[j], before[j - 2] + 1);
		}
	}
	return row[a_len % 3][b_len];
}

void config_meant_try(struct config_meant *m, const char *candidate)
{
	size_t len = strlen(m->text), candidate_len = strlen(candidate), distance;

	if (len > WORD_MAX || candidate_len > WORD_MAX)
		return;
	distance = edit_distance(m->text, len, candidate, candidate_len);
	/* a third of the letters wrong is a slip, more is another word */
	if (distance * 3 > candidate_len + 1 || (m->best && distance >= m->distance))
		return;
	m->best = candidate;
	m->distance = distance;
}

const char *config_meant_text(const struct config_meant *m, char *buf, size_t size)
{
	buf[0] = '\0';
	if (m->best)
		snprintf(buf, size, ". Did you mean \"%s\"?", m->best);
	return buf;
}
