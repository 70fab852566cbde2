/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the bulk lists were read from, when, and what was wrong the last time: in a map of its own, since who asks may
 * do so while the daemon is down.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint32_t front_file_number(enum front_list list, size_t i)
{
	return (list == FRONT_ALLOW ? LIST_FILES_MAX : 0) + 1 + (uint32_t)i;
}

/* Of a path that is too long, the end: that tells files apart. */
static void put_path(struct list_file *row, const char *path)
{
	size_t len = strlen(path), max = sizeof(row->file) - 1;

	memset(row->file, 0, sizeof(row->file));
	strcpy(row->file, path + (len > max ? len - max : 0));
}

void front_files_loaded(struct front *f, enum front_list list, const struct front_list_files *files, const uint32_t *counts)
{
	for (size_t i = 0; i < LIST_FILES_MAX; i++) {
		struct list_file row = { .list = "deny", .loaded_s = (uint64_t)time(NULL) };
		uint32_t key = front_file_number(list, i);

		if (i >= files->count) {
			bpf_map_delete_elem(f->list_files, &key); /* of an earlier configuration */
			continue;
		}
		if (list == FRONT_ALLOW)
			strcpy(row.list, "allow");
		put_path(&row, files->names[i]);
		row.prefixes = counts[i];
		bpf_map_update_elem(f->list_files, &key, &row, BPF_ANY);
	}
}

void front_files_failed(struct front *f, enum front_list list, const char *name, const char *why)
{
	struct list_file row, wanted;

	for (size_t i = 0; i < LIST_FILES_MAX; i++) {
		uint32_t key = front_file_number(list, i);

		if (bpf_map_lookup_elem(f->list_files, &key, &row))
			continue;
		if (name)
			put_path(&wanted, name);
		if (name && strcmp(row.file, wanted.file))
			continue;
		row.failed_s = (uint64_t)time(NULL);
		memset(row.error, 0, sizeof(row.error));
		snprintf(row.error, sizeof(row.error), "%.*s", (int)sizeof(row.error) - 1, why);
		bpf_map_update_elem(f->list_files, &key, &row, BPF_EXIST);
	}
}

void front_list_failed(struct front *f, enum front_list list, const char *name, const char *why)
{
	if (f && f->list_files >= 0)
		front_files_failed(f, list, name, why);
}
