/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers for people: durations, grouped numbers, tables whose columns fit. */
#define _GNU_SOURCE
#include "tools/ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *ctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t ctl_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

bool ctl_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

const char *ctl_duration(uint64_t ms, char out[CTL_DURATION_MAX])
{
	unsigned long long s = ms / 1000;

	if (ms < 1000)
		snprintf(out, CTL_DURATION_MAX, "%llums", (unsigned long long)ms);
	else if (s < 60)
		snprintf(out, CTL_DURATION_MAX, "%llus", s);
	else if (s < 3600)
		snprintf(out, CTL_DURATION_MAX, "%llum%02llus", s / 60, s % 60);
	else if (s < 48 * 3600)
		snprintf(out, CTL_DURATION_MAX, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, CTL_DURATION_MAX, "%llud%lluh", s / 86400, s / 3600 % 24);
	return out;
}

const char *ctl_grouped(uint64_t n, char out[CTL_GROUPED_MAX])
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = 0;
	return out;
}

/* ---- tables ---- */

struct ctl_table {
	size_t columns, cells, room;
	const char *align;
	char **cell;
};

static void add(struct ctl_table *t, char *text)
{
	if (!text)
		abort();
	if (t->cells == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->cell = realloc(t->cell, t->room * sizeof(*t->cell));
		if (!t->cell)
			abort();
	}
	t->cell[t->cells++] = text;
}

struct ctl_table *ctl_table_new(const char *align, const char *const *heads)
{
	struct ctl_table *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->align = align;
	t->columns = strlen(align);
	for (size_t i = 0; heads && i < t->columns; i++)
		add(t, strdup(heads[i]));
	return t;
}

void ctl_cell(struct ctl_table *t, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	add(t, text);
}

/* Columns of a terminal: bytes that go on in UTF-8 take none. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t wide, char align, bool last)
{
	int pad = (int)(wide - width(text));

	if (align == 'r')
		printf("%*s%s", pad, "", text);
	else
		printf("%s%*s", text, last ? 0 : pad, "");
	fputs(last ? "\n" : "  ", stdout);
}

void ctl_table_print(struct ctl_table *t, const char *indent)
{
	size_t *wide = calloc(t->columns + 1, sizeof(*wide));

	if (!wide)
		abort();
	for (size_t i = 0; i < t->cells; i++)
		if (width(t->cell[i]) > wide[i % t->columns])
			wide[i % t->columns] = width(t->cell[i]);
	for (size_t i = 0; i < t->cells; i++) {
		size_t column = i % t->columns;

		if (!column)
			fputs(indent, stdout);
		print_cell(t->cell[i], wide[column], t->align[column], column + 1 == t->columns);
		free(t->cell[i]);
	}
	free(wide);
	free(t->cell);
	free(t);
}
