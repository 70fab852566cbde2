/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenMetrics 1.0 text: families, samples, escapes; and the tables of counters.def and reasons.def as such. */
#include "userspace/metrics_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "danelaw_"

static void put(struct metrics_text *m, const char *text, size_t len)
{
	if (m->len + len + 1 > m->room && !m->failed) {
		size_t room = 2 * (m->len + len) + 8192;
		char *more = realloc(m->text, room);

		m->failed = !more;
		if (more) {
			m->text = more;
			m->room = room;
		}
	}
	if (m->failed)
		return;
	memcpy(m->text + m->len, text, len);
	m->len += len;
	m->text[m->len] = 0;
}

static void say(struct metrics_text *m, const char *text)
{
	put(m, text, strlen(text));
}

/* escaped-string of the specification's ABNF, the same for labels and for HELP */
static void say_escaped(struct metrics_text *m, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			say(m, "\\n");
		else if (*text == '"' || *text == '\\')
			put(m, (const char[]){ '\\', *text }, 2);
		else
			put(m, text, 1);
	}
}

void metrics_family(struct metrics_text *m, enum metrics_type type, const char *name, const char *help)
{
	static const struct {
		const char *name, *suffix;
	} types[] = {
		[METRICS_COUNTER] = { "counter", "_total" },
		[METRICS_GAUGE] = { "gauge", "" },
		[METRICS_INFO] = { "info", "_info" },
		[METRICS_STATESET] = { "stateset", "" },
	};

	m->name = name;
	m->suffix = types[type].suffix;
	say(m, "# TYPE " PREFIX);
	say(m, name);
	say(m, " ");
	say(m, types[type].name);
	say(m, "\n# HELP " PREFIX);
	say(m, name);
	say(m, " ");
	say_escaped(m, help);
	say(m, "\n");
}

static void say_label(struct metrics_text *m, bool first, const char *name, const char *value)
{
	say(m, first ? "{" : ",");
	say(m, name);
	say(m, "=\"");
	say_escaped(m, value);
	say(m, "\"");
}

static void say_value(struct metrics_text *m, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), " %llu\n", (unsigned long long)value);
	say(m, text);
}

void metrics_sample(struct metrics_text *m, uint64_t value, ...)
{
	const char *label;
	bool first = true;
	va_list ap;

	say(m, PREFIX);
	say(m, m->name);
	say(m, m->suffix);
	va_start(ap, value);
	while ((label = va_arg(ap, const char *))) {
		say_label(m, first, label, va_arg(ap, const char *));
		first = false;
	}
	va_end(ap);
	if (!first)
		say(m, "}");
	say_value(m, value);
}

void metrics_states(struct metrics_text *m, const char *label, const char *value, const char *const *states, size_t count, size_t now)
{
	char own[64];

	snprintf(own, sizeof(own), PREFIX "%s", m->name);
	for (size_t i = 0; i < count; i++) {
		say(m, own);
		if (label)
			say_label(m, true, label, value);
		say_label(m, !label, own, states[i]); /* a stateset's label has the family's name */
		say(m, "}");
		say_value(m, i == now);
	}
}

char *metrics_end(struct metrics_text *m, size_t *len)
{
	say(m, "# EOF\n");
	if (m->failed) {
		free(m->text);
		m->text = NULL;
	}
	*len = m->len;
	return m->text;
}

/* ---- tables ---- */

void metrics_stats(struct metrics_text *m, const struct stats *sum)
{
	metrics_family(m, METRICS_COUNTER, "session_end", "Sessions that ended, by reason; fault: whose it was.");
	for (size_t i = 0; i < END_COUNT; i++)
		metrics_sample(m, sum->end[i], "reason", end_info[i].name, "fault", end_fault_name(end_info[i].fault), NULL);
	for (size_t i = 0; i < COUNTER_COUNT; i++) {
		metrics_family(m, counter_info[i].is_gauge ? METRICS_GAUGE : METRICS_COUNTER, counter_info[i].name,
			       counter_info[i].sentence);
		metrics_sample(m, sum->count[i], NULL);
	}
}

void metrics_front(struct metrics_text *m, const uint64_t *counts)
{
	metrics_family(m, METRICS_COUNTER, "front_packets", "Packets the front judged, by reason and what became of them.");
	for (size_t i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "front"))
			metrics_sample(m, counts[i], "reason", front_count_info[i].symbol, "verdict", front_count_info[i].verdict, NULL);
	metrics_family(m, METRICS_COUNTER, "cookie_packets", "Packets that might answer a SYN cookie of the front's, by what they did.");
	for (size_t i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "cookie"))
			metrics_sample(m, counts[i], "reason", front_count_info[i].symbol, NULL);
	metrics_family(m, METRICS_COUNTER, "steer_connections", "New connections that were steered to a worker, or not, by reason.");
	for (size_t i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "steer"))
			metrics_sample(m, counts[i], "reason", front_count_info[i].symbol, NULL);
	metrics_family(m, METRICS_COUNTER, "front_also", "What the front did with packets beside judging them.");
	for (size_t i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "also"))
			metrics_sample(m, counts[i], "what", front_count_info[i].symbol, NULL);
}
