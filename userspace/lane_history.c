/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A name has four places to be in, by its hash.  Where all are taken the one goes that has earned least, or that has
 * not been seen for LANE_FORGET_DAYS: so names made up by the thousand push out each other and not those with a
 * history, and what is kept never grows.
 */
#include "userspace/lane.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "userspace/dane.h"

enum { WAYS = 4 };
#define HEAD "danelaw clients 1\n"

struct row {
	char *name; /* NULL: free */
	struct lane_record record;
};

struct lane_history {
	size_t sets;
	uint64_t seed;
	struct row rows[];
};

struct lane_history *lane_history_new(size_t max)
{
	size_t sets = max / WAYS ? max / WAYS : 1;
	struct lane_history *h = calloc(1, sizeof(*h) + sets * WAYS * sizeof(h->rows[0]));

	if (!h)
		return NULL;
	h->sets = sets;
	if (getrandom(&h->seed, sizeof(h->seed), 0) != sizeof(h->seed))
		h->seed = (uint64_t)(uintptr_t)h;
	return h;
}

void lane_history_free(struct lane_history *h)
{
	for (size_t i = 0; h && i < h->sets * WAYS; i++)
		free(h->rows[i].name);
	free(h);
}

static const struct row *set_of(const struct lane_history *h, const char *name)
{
	uint64_t hash = h->seed ^ 0xcbf29ce484222325ull;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ull;
	return &h->rows[(hash ^ hash >> 32) % h->sets * WAYS];
}

static struct row *find(const struct lane_history *h, const char *name)
{
	const struct row *set = set_of(h, name);

	for (int i = 0; i < WAYS; i++)
		if (set[i].name && strcmp(set[i].name, name) == 0)
			return (struct row *)&set[i];
	return NULL;
}

/* The place that is worth least on this day. */
static struct row *cheapest(const struct lane_history *h, const char *name, uint32_t day)
{
	struct row *set = (struct row *)set_of(h, name), *best = NULL;
	uint32_t least = UINT32_MAX;

	for (int i = 0; i < WAYS; i++) {
		const struct lane_record *r = &set[i].record;
		uint32_t worth = !set[i].name || r->last_day + LANE_FORGET_DAYS < day ? 0 : r->sessions;

		if (!best || worth < least) {
			best = &set[i];
			least = worth;
		}
	}
	return best;
}

static void put(struct lane_history *h, const char *name, struct lane_record record)
{
	struct row *r = find(h, name);

	if (!r) {
		char *copy = strdup(name);

		if (!copy)
			return;
		r = cheapest(h, name, record.last_day);
		free(r->name);
		r->name = copy;
	}
	r->record = record;
}

void lane_history_note(struct lane_history *h, const char *name, uint32_t day)
{
	struct lane_record r = lane_history_get(h, name);

	if (r.sessions && r.last_day + LANE_FORGET_DAYS < day)
		memset(&r, 0, sizeof(r));
	r.sessions += r.sessions < UINT32_MAX;
	r.days += !r.days || r.last_day < day;
	if (r.last_day < day)
		r.last_day = day;
	put(h, name, r);
}

struct lane_record lane_history_get(const struct lane_history *h, const char *name)
{
	const struct row *r = find(h, name);

	return r ? r->record : (struct lane_record){ 0 };
}

size_t lane_history_count(const struct lane_history *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->sets * WAYS; i++)
		n += h->rows[i].name != NULL;
	return n;
}

bool lane_history_write(const struct lane_history *h, FILE *out)
{
	fputs(HEAD, out);
	for (size_t i = 0; i < h->sets * WAYS; i++) {
		const struct row *r = &h->rows[i];

		if (r->name)
			fprintf(out, "%s %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", r->name, r->record.sessions, r->record.days, r->record.last_day);
	}
	return !fflush(out) && !ferror(out);
}

bool lane_history_read(struct lane_history *h, FILE *in)
{
	char line[DANE_NAME_MAX + 64], name[DANE_NAME_MAX], clean[DANE_NAME_MAX];
	struct lane_record r;
	int end;

	if (!fgets(line, sizeof(line), in) || strcmp(line, HEAD) != 0)
		return false;
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "%253s %" SCNu32 " %" SCNu32 " %" SCNu32 "%n", name, &r.sessions, &r.days, &r.last_day, &end) != 4 ||
		    line[end] != '\n' || dane_name_host(name, clean) || !r.sessions || !r.days || r.days > r.sessions)
			continue;
		put(h, clean, r);
	}
	return !ferror(in);
}
