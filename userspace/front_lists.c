/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bulk deny lists from files: read whole, checked whole, then swapped in.
 *
 * The maps hold two sets; the programs read one of them (front_config.deny_list), the other is filled and
 * then made current by one store, so no packet ever sees half a list.  Making maps anew instead would
 * need CAP_BPF, which the daemon has given up by the time SIGHUP asks for new lists.
 *
 * A line: a prefix or an address, then optionally ';' or '#' and a comment, which goes into the rule, so that
 * whoever looks at a hit count sees why the prefix is there; without one the file's name and line do.
 */
#include "userspace/front_parts.h"

#include <ctype.h>
#include <errno.h>
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

static int read_line(char *line, const char *name, unsigned long number, struct list *list, struct front_err err)
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
	memset(entry->comment, 0, sizeof(entry->comment));
	if (*comment)
		snprintf(entry->comment, sizeof(entry->comment), "%s", comment);
	else
		snprintf(entry->comment, sizeof(entry->comment), "%.28s:%lu", base_name(name), number);
	return 0;
}

static int read_file(FILE *file, const char *name, struct list *list, struct front_err err)
{
	char line[LINE_MAX_BYTES];
	unsigned long number = 0;
	int code = 0;

	while (!code && fgets(line, sizeof(line), file)) {
		number++;
		if (!strchr(line, '\n') && !feof(file))
			return front_fail(err, -EINVAL, "%s:%lu: the line is longer than %d bytes; the old list stays", name,
					  number, LINE_MAX_BYTES - 2);
		code = read_line(line, name, number, list, err);
	}
	if (!code && ferror(file))
		return front_fail(err, -EIO, "%s: read error after line %lu; the old list stays", name, number);
	return code;
}

/* An IPv6 prefix as short as the mapped range itself is not one of IPv4. */
static bool is_v4_prefix(const struct net_prefix *prefix)
{
	return prefix->len >= 96 && net_is_v4(&prefix->ip);
}

static int cannot(struct front_err err, int code, const char *what)
{
	return front_fail(err, code, "cannot %s the spare deny list: %s; the old list stays", what, strerror(-code));
}

/* Collected first: a trie that shrinks while it is walked starts over. */
static int empty6(int map, uint8_t set)
{
	struct list6_key *keys = NULL, *more, key, *at = NULL;
	size_t count = 0, room = 0;
	int code = 0;

	while (!code && !bpf_map_get_next_key(map, at, &key)) {
		at = &key;
		if (key.set != set)
			continue;
		if (count == room) {
			room = room ? room * 2 : 1024;
			more = realloc(keys, room * sizeof(*keys));
			if (more)
				keys = more;
			else
				code = -ENOMEM;
		}
		if (!code)
			keys[count++] = key;
	}
	while (!code && count)
		if (bpf_map_delete_elem(map, &keys[--count]))
			code = -errno;
	free(keys);
	return code;
}

static int fill6(int map, uint8_t set, const struct list *list, struct front_err err)
{
	struct rule rule;
	size_t i;
	int code = empty6(map, set);

	if (code)
		return cannot(err, code, "empty");
	for (i = 0; i < list->count; i++) {
		struct list6_key key = { .prefixlen = 8u + list->at[i].prefix.len, .set = set };

		if (is_v4_prefix(&list->at[i].prefix))
			continue;
		memset(&rule, 0, sizeof(rule));
		memcpy(rule.comment, list->at[i].comment, sizeof(rule.comment));
		memcpy(key.ip, list->at[i].prefix.ip.s6_addr, 16);
		if (bpf_map_update_elem(map, &key, &rule, BPF_ANY))
			return cannot(err, -errno, errno == ENOSPC ? "put so many IPv6 prefixes into" : "fill");
	}
	return 0;
}

static int swap(struct front *f, const struct list *list, struct front_err err)
{
	struct front_config config;
	uint32_t zero = 0, spare;
	int code;

	if (bpf_map_lookup_elem(f->front_config, &zero, &config))
		return front_fail(err, -errno, "cannot read the front's configuration map: %s", strerror(errno));
	spare = !(config.deny_list & 1);
	code = fill6(f->list6, (uint8_t)spare, list, err);
	if (!code)
		code = front_fill_list4(&f->list4, spare, list, err);
	if (code)
		return code;
	config.deny_list = spare;
	if (bpf_map_update_elem(f->front_config, &zero, &config, BPF_ANY))
		return front_fail(err, -errno, "cannot switch to the new deny list: %s", strerror(errno));
	return 0;
}

int front_load_deny(struct front *f, FILE *const *files, const char *const *names, size_t n, size_t *count, char *text,
		    size_t size)
{
	struct front_err err = { text, size };
	struct list list = { 0 };
	int code = 0;
	size_t i;

	if (size)
		text[0] = 0;
	if (f->front_config < 0)
		return front_fail(err, -ENODEV, "no interface has the front: a deny list has no effect");
	for (i = 0; i < n && !code; i++)
		code = read_file(files[i], names[i], &list, err);
	if (!code) {
		front_lock(f);
		code = swap(f, &list, err);
		front_unlock(f);
	}
	if (!code && count)
		*count = list.count;
	free(list.at);
	return code;
}
