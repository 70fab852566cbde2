/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/policy.h"

#define NAMES 8192

struct lane {
	struct front *front;
	char path[4096 + 16], fresh[4096 + 16];
	pthread_mutex_t lock; /* of what follows */
	struct lane_history *history;
	bool changed;
};

bool lane_wanted(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->policy_count; i++)
		if (cfg->policies[i].lane_ms)
			return true;
	return false;
}

struct lane *lane_new(const struct config *cfg, struct front *front)
{
	struct lane *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->front = front;
	snprintf(l->path, sizeof(l->path), "%s/clients", cfg->state_dir);
	snprintf(l->fresh, sizeof(l->fresh), "%s/clients.new", cfg->state_dir);
	pthread_mutex_init(&l->lock, NULL);
	l->history = lane_history_new(NAMES);
	if (!l->history) {
		free(l);
		return NULL;
	}
	FILE *in = fopen(l->path, "re");

	if (in && !lane_history_read(l->history, in))
		log_warn("%s: not readable as a history of clients; it begins anew", l->path);
	else if (!in && errno != ENOENT)
		log_warn("%s: %s; the history of clients begins anew", l->path, strerror(errno));
	if (in)
		fclose(in);
	return l;
}

/* As text, malloc'd; NULL: nothing has changed.  Workers wait for this, not for a disk. */
static char *take_text(struct lane *l, size_t *len)
{
	char *text = NULL;
	FILE *out;

	pthread_mutex_lock(&l->lock);
	out = l->changed ? open_memstream(&text, len) : NULL;
	if (out) {
		lane_history_write(l->history, out);
		fclose(out);
		l->changed = false;
	}
	pthread_mutex_unlock(&l->lock);
	return text;
}

/* The old file stays until the new one is whole on the disk. */
static bool write_file(const struct lane *l, const char *text, size_t len)
{
	int fd = open(l->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);

	if (fd < 0)
		return false;
	bool good = write(fd, text, len) == (ssize_t)len && !fsync(fd);

	close(fd);
	return good && !rename(l->fresh, l->path);
}

void lane_save(struct lane *l)
{
	size_t len = 0;
	char *text = take_text(l, &len);

	if (text && !write_file(l, text, len))
		log_warn("%s: %s; the history of clients is not kept", l->path, strerror(errno));
	free(text);
}

void lane_free(struct lane *l)
{
	if (!l)
		return;
	lane_save(l);
	pthread_mutex_destroy(&l->lock);
	lane_history_free(l->history);
	free(l);
}

/* "co" of co.uk: only words that registries keep for themselves, else h1.abc.uk and h2.abc.uk would be two zones. */
static bool is_registry(const char *label, size_t len)
{
	static const char *const words[] = { "ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i]) == len && memcmp(words[i], label, len) == 0)
			return true;
	return false;
}

const char *lane_zone(const char *name)
{
	const char *end = name + strlen(name), *cut[3] = { name, name, name };
	size_t dots = 0;

	for (const char *p = end; p > name && dots < 3; p--)
		if (p[-1] == '.')
			cut[dots++] = p;
	if (dots < 2)
		return name;
	/* example.net: cut[0] is "net", cut[1] "example.net"; of a name in co.uk cut[1] is "co.uk" */
	bool registry = strlen(cut[0]) == 2 && is_registry(cut[1], (size_t)(cut[0] - cut[1]) - 1);

	return !registry ? cut[1] : dots > 2 ? cut[2] : name;
}

static bool earned(struct lane *l, const struct config_policy *p, const char *name)
{
	pthread_mutex_lock(&l->lock);
	struct lane_record r = lane_history_get(l->history, name);

	pthread_mutex_unlock(&l->lock);
	return r.sessions >= p->lane_after && r.days >= p->lane_days;
}

/* NULL: this policy grants the name no lane, whatever it has earned. */
static const char *zone_by(const struct config_policy *p, const char *name)
{
	const char *listed;

	if (!p->lane_ms || !policy_names(p, name, &listed))
		return NULL;
	/* a name that policy lists by itself does not have to share */
	return listed[0] ? listed : p->name_count ? name : lane_zone(name);
}

const char *lane_zone_of(const void *cfg, const char *name)
{
	const struct config *c = cfg;

	for (size_t i = 0; i < c->policy_count; i++) {
		const char *zone = zone_by(&c->policies[i], name);

		if (zone)
			return zone;
	}
	return lane_zone(name);
}

bool lane_grant(struct lane *l, const struct config_policy *p, const struct in6_addr *ip, const char *name)
{
	const char *zone = zone_by(p, name);

	return zone && l->front && earned(l, p, name) && front_verify_source(l->front, ip, name, zone, p->lane_ms) == 0;
}

void lane_withdraw(struct lane *l, const struct in6_addr *ip)
{
	if (l->front)
		front_verify_source(l->front, ip, "", "", 0);
}

void lane_note_clean(struct lane *l, const char *name, uint32_t day)
{
	pthread_mutex_lock(&l->lock);
	lane_history_note(l->history, name, day);
	l->changed = true;
	pthread_mutex_unlock(&l->lock);
}
