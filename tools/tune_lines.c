/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that a change can touch, as lines "KEY VALUE": what undo is held against. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "tools/tune.h"

static void number(FILE *to, const char *key, long value)
{
	if (value != TUNE_ABSENT)
		fprintf(to, "%s %ld\n", key, value);
}

static void queue_lines(FILE *to, const char *key, const struct tune_cpus *masks, unsigned n)
{
	char mask[TUNE_CPUS / 3];

	for (unsigned i = 0; i < n; i++)
		fprintf(to, "%s-%u %s\n", key, i, tune_cpus_mask_text(&masks[i], mask, sizeof(mask)));
}

static void card_lines(FILE *to, const struct tune_facts *f)
{
	static const char *const features[TUNE_FEATURES] = { "lro",    "hw-gro",      "gro",
							     "rxvlan", "rx-checksum", "ntuple-filters" };

	number(to, "mtu", f->mtu);
	for (size_t i = 0; i < TUNE_FEATURES; i++)
		number(to, features[i], f->feature[i].on);
	number(to, "pause-autoneg", f->pause_autoneg);
	number(to, "pause-rx", f->pause_rx);
	number(to, "pause-tx", f->pause_tx);
	number(to, "channels-rx", f->rx.now);
	number(to, "channels-tx", f->tx.now);
	number(to, "channels-combined", f->combined.now);
	number(to, "ring-rx", f->ring_rx.now);
	number(to, "ring-tx", f->ring_tx.now);
	number(to, "adaptive-rx", f->adaptive_rx);
	/* of an adaptive card they are what it chose just now */
	number(to, "rx-usecs", f->adaptive_rx == 1 ? TUNE_ABSENT : f->rx_usecs);
	if (f->rss_n) {
		fprintf(to, "rss-table");
		for (unsigned i = 0; i < f->rss_n; i++)
			fprintf(to, " %u", f->rss[i]);
		fprintf(to, "\n");
	}
	if (*f->hash4)
		fprintf(to, "rss-hash-tcp4 %s\n", f->hash4);
	if (*f->hash6)
		fprintf(to, "rss-hash-tcp6 %s\n", f->hash6);
	for (unsigned i = 0; i < f->rules_n; i++) {
		const struct tune_rule *r = &f->rules[i];

		fprintf(to, "ntuple-%u %s%d %u/%x %s queue %ld context %ld\n", r->id, r->tcp ? "tcp" : "other",
			r->v6 ? 6 : 4, r->port, r->port_mask, r->drops ? "drop" : "direct", r->queue, r->context);
	}
}

static void host_lines(FILE *to, const struct tune_facts *f)
{
	fprintf(to, "irqbalance %s\n", f->irqbalance == TUNE_ABSENT ? "stopped" : "running");
	for (unsigned i = 0; i < f->irqs_n; i++)
		fprintf(to, "irq-%s %s\n", f->irqs[i].name, f->irqs[i].affinity);
	queue_lines(to, "rps", f->rps, f->rps_n);
	queue_lines(to, "xps", f->xps, f->xps_n);
	number(to, "gro_flush_timeout", f->gro_flush_timeout);
	number(to, "napi_defer_hard_irqs", f->napi_defer_hard_irqs);
	for (size_t i = 0; i < tune_sysctls_n; i++)
		number(to, tune_sysctls[i].name, f->sysctl[i]);
	for (unsigned cpu = 0; cpu < TUNE_CPUS; cpu++)
		if (*f->governor[cpu])
			fprintf(to, "governor-%u %s\n", cpu, f->governor[cpu]);
}

char *tune_facts_lines(const struct tune_facts *f)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	card_lines(to, f);
	host_lines(to, f);
	if (fclose(to)) {
		free(text);
		return NULL;
	}
	return text;
}

/* The value of the line that begins with this key, or NULL */
static const char *find(const char *text, const char *key, size_t len)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, len) && line[len] == ' ')
			return line + len + 1;
	return NULL;
}

/* The next line, or NULL */
static const char *next(const char *line)
{
	line = strchr(line, '\n');
	return line && line[1] ? line + 1 : NULL;
}

static void tell(FILE *to, const char *line, size_t key, const char *was, const char *is)
{
	was = was ? was : "not there";
	is = is ? is : "not there";
	fprintf(to, "  %.*s: was %.*s, is %.*s\n", (int)key, line, (int)strcspn(was, "\n"), was,
		(int)strcspn(is, "\n"), is);
}

size_t tune_lines_compare(const char *before, const char *now, FILE *to)
{
	size_t n = 0;

	for (const char *line = before; line && *line; line = next(line)) {
		size_t key = strcspn(line, " \n"), len = strcspn(line, "\n");
		const char *is = find(now, line, key);

		if (is && strcspn(is, "\n") == len - key - 1 && !strncmp(is, line + key + 1, len - key - 1))
			continue;
		n++;
		tell(to, line, key, line + key + 1, is);
	}
	for (const char *line = now; line && *line; line = next(line)) {
		size_t key = strcspn(line, " \n");

		if (find(before, line, key))
			continue;
		n++;
		tell(to, line, key, NULL, line + key + 1);
	}
	return n;
}
