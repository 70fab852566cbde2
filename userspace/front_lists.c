/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bulk deny and allow lists from files: read whole, checked whole, then swapped in.
 *
 * The maps hold two sets; the programs read one of them (front_config.deny_list, allow_set), the other is filled
 * and then made current by one store, so no packet ever sees half a list.  Making maps anew instead would
 * need CAP_BPF, which the daemon has given up by the time SIGHUP asks for new lists.
 *
 * A line: a prefix or an address, then optionally ';' or '#' and a comment, which goes into the rule, so that
 * whoever looks at a hit count sees why the prefix is there; without one the file's name and line do.
 */
#include "userspace/front_parts.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 512 };

static struct list_entry *list_add(struct list *list)
{
	size_t room = list->room ? list->room * 2 : 1024;
	struct list_entry *at;

	if (list->count == list->room) {
		at = realloc(list->at, room * sizeof(*at));
		if (!at)
			return NULL;
		list->at = at;
		list->room = room;
	}
	return &list->at[list->count++];
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Cuts s at the first byte of stop and trims both parts; returns what stood behind, or "". */
static char *split(char *s, const char *stop)
{
	char *behind = s + strcspn(s, stop), *end;

	if (*behind)
		*behind++ = 0;
	for (end = s + strlen(s); end > s && isspace((unsigned char)end[-1]);)
		*--end = 0;
	while (isspace((unsigned char)*behind))
		behind++;
	for (end = behind + strlen(behind); end > behind && isspace((unsigned char)end[-1]);)
		*--end = 0;
	return behind;
}

static int read_line(char *line, const char *name, unsigned long number, uint32_t file, struct list *list, struct front_err err)
{
	char *comment = split(line, ";#"), *prefix = line;
	struct net_prefix parsed;
	struct list_entry *entry;

	while (isspace((unsigned char)*prefix))
		prefix++;
	if (!*prefix)
		return 0;
	if (net_parse_prefix(prefix, &parsed))
		return front_fail(err, -EINVAL,
				  "%s:%lu: \"%.60s\" is not an address or a prefix (192.0.2.0/24, 2001:db8::/32; host bits zero); "
				  "the old list stays", name, number, prefix);
	entry = list_add(list);
	if (!entry)
		return front_fail(err, -ENOMEM, "%s:%lu: out of memory; the old list stays", name, number);
	entry->prefix = parsed;
	entry->file = file;
	memset(entry->comment, 0, sizeof(entry->comment));
	if (*comment)
		snprintf(entry->comment, sizeof(entry->comment), "%s", comment);
	else
		snprintf(entry->comment, sizeof(entry->comment), "%.28s:%lu", base_name(name), number);
	return 0;
}

static int read_file(FILE *file, const char *name, uint32_t file_number, struct list *list, struct front_err err)
{
	char line[LINE_MAX_BYTES];
	unsigned long number = 0;
	int code = 0;

	while (!code && fgets(line, sizeof(line), file)) {
		number++;
		if (!strchr(line, '\n') && !feof(file))
			return front_fail(err, -EINVAL, "%s:%lu: the line is longer than %d bytes; the old list stays", name,
					  number, LINE_MAX_BYTES - 2);
		code = read_line(line, name, number, file_number, list, err);
	}
	if (!code && ferror(file))
		return front_fail(err, -EIO, "%s: read error after line %lu; the old list stays", name, number);
	return code;
}

bool front_is_v4_prefix(const struct net_prefix *prefix)
{
	return prefix->len >= 96 && net_is_v4(&prefix->ip);
}

static int cannot(struct front_err err, int code, const char *what)
{
	return front_fail(err, code, "cannot %s the spare list: %s; the old list stays", what, strerror(-code));
}

struct set_keys {
	uint8_t set;
	struct allow_key *at;
	size_t count, room;
	int code;
};

static bool collect_key(void *ctx, const void *key, const void *value)
{
	struct set_keys *keys = ctx;
	struct allow_key *more;

	if (((const struct allow_key *)key)->set != keys->set)
		return true;
	if (keys->count == keys->room) {
		keys->room = keys->room ? keys->room * 2 : 1024;
		more = realloc(keys->at, keys->room * sizeof(*more));
		if (!more) {
			keys->code = -ENOMEM;
			return false;
		}
		keys->at = more;
	}
	memcpy(&keys->at[keys->count++], key, sizeof(*keys->at));
	return true;
}

/* Collected first: a walk through a trie that shrinks under it begins anew again and again, past all of the other set. */
static int empty_set(int map, uint8_t set)
{
	struct set_keys keys = { .set = set };
	int code = front_each_row(map, collect_key, &keys);

	if (!code)
		code = keys.code;
	while (!code && keys.count)
		if (bpf_map_delete_elem(map, &keys.at[--keys.count]) && errno != ENOENT)
			code = -errno;
	free(keys.at);
	return code;
}

static int fill_allow_set(int map, uint8_t set, const struct list *list, struct front_err err)
{
	struct rule rule;
	size_t i;
	int code = empty_set(map, set);

	if (code)
		return cannot(err, code, "empty");
	for (i = 0; i < list->count; i++) {
		struct allow_key key = { .prefixlen = 8u + list->at[i].prefix.len, .set = set };

		memset(&rule, 0, sizeof(rule));
		memcpy(rule.comment, list->at[i].comment, sizeof(list->at[i].comment));
		rule.file = list->at[i].file;
		memcpy(key.ip, list->at[i].prefix.ip.s6_addr, 16);
		if (bpf_map_update_elem(map, &key, &rule, BPF_ANY))
			return cannot(err, -errno, errno == ENOSPC ? "put so many prefixes (list-entries) into" : "fill");
	}
	return 0;
}

/* Of front_config's: which are read. */
struct sets {
	uint32_t deny, allow;
};

static int read_sets(const struct front *f, struct sets *sets, struct front_err err)
{
	struct front_config config;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(f->front_config, &zero, &config))
		return front_fail(err, -errno, "cannot read the front's configuration map: %s", strerror(errno));
	*sets = (struct sets){ config.deny_list, config.allow_set };
	return 0;
}

static void put_sets(const struct front *f, struct front_config *config, const void *to)
{
	const struct sets *sets = to;

	config->deny_list = sets->deny;
	config->allow_set = sets->allow;
}

static int fill_deny(struct front *f, const struct list *list, struct sets *sets, struct front_err err)
{
	uint32_t spare = !(sets->deny & 1);
	int code = front_fill_list4(&f->list4, spare, list, err);

	sets->deny = spare;
	return code ? code : front_fill_list6(&f->list6, spare, list, err);
}

static int fill_allow(struct front *f, const struct list *list, struct sets *sets, struct front_err err)
{
	uint32_t spare = sets->allow == 1 ? 2 : 1;

	sets->allow = list->count ? spare : 0;
	return fill_allow_set(f->allow_list, (uint8_t)spare, list, err);
}

/* One store makes both current: the programs look at front_config alone. */
static int fill_and_swap(struct front *f, const struct list *deny, const struct list *allow, struct front_err err)
{
	struct sets sets;
	int code = read_sets(f, &sets, err);

	if (!code && deny)
		code = fill_deny(f, deny, &sets, err);
	if (!code && allow)
		code = fill_allow(f, allow, &sets, err);
	if (code)
		return code;
	code = front_change_config(f, put_sets, &sets);
	return code ? front_fail(err, code, "cannot switch to the new lists: %s", strerror(-code)) : 0;
}

/* Filling takes long: whoever fills keeps out others that would, and nobody else. */
static int swap(struct front *f, const struct list *deny, const struct list *allow, struct front_err err)
{
	static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;
	int code;

	pthread_mutex_lock(&filling);
	code = fill_and_swap(f, deny, allow, err);
	pthread_mutex_unlock(&filling);
	return code;
}

/* One list and its files, while they are read. */
struct reading {
	enum front_list which;
	struct front_list_files *files; /* NULL: this list is not asked for */
	struct list list;
	uint32_t counts[LIST_FILES_MAX];
};

static int read_files(struct front *f, struct reading *r, struct front_err err)
{
	size_t i, before;
	int code = 0;

	if (r->files && r->files->count > LIST_FILES_MAX)
		return front_fail(err, -E2BIG, "%zu files of one list; the front takes %d", r->files->count, LIST_FILES_MAX);
	for (i = 0; r->files && i < r->files->count && !code; i++) {
		before = r->list.count;
		code = read_file(r->files->files[i], r->files->names[i], front_file_number(r->which, i), &r->list, err);
		r->counts[i] = (uint32_t)(r->list.count - before);
		if (code && f)
			front_files_failed(f, r->which, r->files->names[i], err.text);
	}
	return code;
}

static void tell(struct front *f, const struct reading *r, int code, const char *why)
{
	if (!r->files)
		return;
	if (code) {
		front_files_failed(f, r->which, NULL, why);
		return;
	}
	front_files_loaded(f, r->which, r->files, r->counts);
}

int front_load_lists(struct front *f, struct front_list_files *deny, struct front_list_files *allow, char *text, size_t size)
{
	struct front_err err = { text, size };
	struct reading denied = { .which = FRONT_DENY, .files = deny }, allowed = { .which = FRONT_ALLOW, .files = allow };
	int code;

	if (size)
		text[0] = 0;
	if (f && f->front_config < 0)
		return front_fail(err, -ENODEV, "no interface has the front: lists have no effect");
	code = read_files(f, &denied, err);
	if (!code)
		code = read_files(f, &allowed, err);
	if (!code && f) {
		code = swap(f, deny ? &denied.list : NULL, allow ? &allowed.list : NULL, err);
		tell(f, &denied, code, err.text);
		tell(f, &allowed, code, err.text);
	}
	if (!code && deny)
		deny->loaded = denied.list.count;
	if (!code && allow)
		allow->loaded = allowed.list.count;
	free(denied.list.at);
	free(allowed.list.at);
	return code;
}
