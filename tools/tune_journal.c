/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "tools/tune_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION_NUMBER 1

static const char *const state_words[] = { [TUNE_BEGUN] = "begun", [TUNE_DONE] = "done", [TUNE_FAILED] = "failed" };

static struct tune_journal *journal_new(const char *dir, const char *ifname)
{
	struct tune_journal *j = calloc(1, sizeof(*j));

	if (j && asprintf(&j->path, "%s/tune-%s.json", dir, ifname) < 0) {
		free(j);
		return NULL;
	}
	if (j)
		snprintf(j->ifname, sizeof(j->ifname), "%s", ifname);
	return j;
}

void tune_journal_free(struct tune_journal *j)
{
	if (!j)
		return;
	while (j->entries_n)
		tune_journal_drop(j, j->entries_n - 1);
	free(j->entries);
	free(j->before);
	free(j->path);
	free(j);
}

static int add_entry(struct tune_journal *j, const char *run, const char *undo, enum tune_state state)
{
	struct tune_entry *all = reallocarray(j->entries, j->entries_n + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	j->entries = all;
	all[j->entries_n] = (struct tune_entry){ strdup(run), strdup(undo), state };
	j->entries_n++;
	return all[j->entries_n - 1].run && all[j->entries_n - 1].undo ? 0 : -ENOMEM;
}

struct tune_journal *tune_journal_new(const char *dir, const struct tune_facts *facts)
{
	struct tune_journal *j = journal_new(dir, facts->ifname);

	if (!j)
		return NULL;
	j->before = tune_facts_lines(facts);
	if (!j->before) {
		tune_journal_free(j);
		return NULL;
	}
	snprintf(j->driver, sizeof(j->driver), "%s", facts->driver);
	snprintf(j->bus, sizeof(j->bus), "%s", facts->bus);
	snprintf(j->boot, sizeof(j->boot), "%s", facts->boot);
	return j;
}

int tune_journal_begin(struct tune_journal *j, const struct tune_change *change)
{
	return add_entry(j, change->run, change->undo, TUNE_BEGUN);
}

void tune_journal_drop(struct tune_journal *j, size_t i)
{
	free(j->entries[i].run);
	free(j->entries[i].undo);
	memmove(&j->entries[i], &j->entries[i + 1], (j->entries_n - i - 1) * sizeof(j->entries[0]));
	j->entries_n--;
}

/* ---- writing ---- */

static json_t *journal_json(const struct tune_journal *j)
{
	json_t *changes = json_array(), *before = json_array();

	for (size_t i = 0; i < j->entries_n; i++)
		json_array_append_new(changes,
				      json_pack("{s:s, s:s, s:s}", "run", j->entries[i].run, "undo",
						j->entries[i].undo, "state", state_words[j->entries[i].state]));
	for (const char *line = j->before; *line; line += strcspn(line, "\n") + 1)
		json_array_append_new(before, json_stringn(line, strcspn(line, "\n")));
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:o}", "version", VERSION_NUMBER, "interface", j->ifname,
			 "driver", j->driver, "bus", j->bus, "boot", j->boot, "changes", changes, "before", before);
}

int tune_journal_print(FILE *to, const struct tune_journal *j)
{
	json_t *doc = journal_json(j);
	int err = !doc || json_dumpf(doc, to, JSON_INDENT(2)) ? -ENOMEM : 0;

	json_decref(doc);
	fputc('\n', to);
	return err;
}

static int sync_dir(const char *path)
{
	char *dir = strdup(path);
	int fd, err;

	if (!dir)
		return -ENOMEM;
	*strrchr(dir, '/') = '\0';
	fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd < 0)
		return -errno;
	err = fsync(fd) ? -errno : 0;
	close(fd);
	return err;
}

static int write_whole(const char *path, json_t *doc)
{
	int fd, err;

	/* one that a crash left behind; O_EXCL and O_NOFOLLOW, because the folder is also the daemon's own user's */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = json_dumpfd(doc, fd, JSON_INDENT(1)) ? -EIO : fsync(fd) ? -errno : 0;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int tune_journal_save(const struct tune_journal *j)
{
	json_t *doc;
	char *beside;
	int err;

	if (!j->entries_n)
		return unlink(j->path) && errno != ENOENT ? -errno : sync_dir(j->path);
	if (asprintf(&beside, "%s.new", j->path) < 0)
		return -ENOMEM;
	doc = journal_json(j);
	err = doc ? write_whole(beside, doc) : -ENOMEM;
	json_decref(doc);
	if (!err && rename(beside, j->path))
		err = -errno;
	if (!err)
		err = sync_dir(j->path);
	free(beside);
	return err;
}

/* ---- reading ---- */

static int state_of(const char *word)
{
	for (int i = 0; word && i <= TUNE_FAILED; i++)
		if (!strcmp(word, state_words[i]))
			return i;
	return -1;
}

static char *joined(const json_t *lines)
{
	char *text = NULL;
	size_t size, i;
	FILE *to = open_memstream(&text, &size);
	json_t *one;

	if (!to)
		return NULL;
	json_array_foreach(lines, i, one) fprintf(to, "%s\n", json_is_string(one) ? json_string_value(one) : "");
	fclose(to);
	return text;
}

static int fill(struct tune_journal *j, const json_t *doc)
{
	const char *ifname, *driver, *bus, *boot, *run, *undo, *state;
	json_t *changes, *before, *one;
	size_t i;
	int version, err = 0;

	if (json_unpack((json_t *)doc, "{s:i, s:s, s:s, s:s, s:s, s:o, s:o}", "version", &version, "interface",
			&ifname, "driver", &driver, "bus", &bus, "boot", &boot, "changes", &changes, "before",
			&before) ||
	    version != VERSION_NUMBER || strcmp(ifname, j->ifname) || !json_is_array(changes) ||
	    !json_is_array(before))
		return -EBADMSG;
	snprintf(j->driver, sizeof(j->driver), "%s", driver);
	snprintf(j->bus, sizeof(j->bus), "%s", bus);
	snprintf(j->boot, sizeof(j->boot), "%s", boot);
	json_array_foreach(changes, i, one)
	{
		if (json_unpack(one, "{s:s, s:s, s:s}", "run", &run, "undo", &undo, "state", &state) ||
		    state_of(state) < 0)
			return -EBADMSG;
		err = err ? err : add_entry(j, run, undo, (enum tune_state)state_of(state));
	}
	j->before = joined(before);
	return j->before ? err : -ENOMEM;
}

/* Root's alone: the file's lines are run as root, and the folder is also the daemon's user's */
static int open_own(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), err = 0;

	if (fd < 0)
		return errno == ELOOP ? -EPERM : -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
		err = -EPERM;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int tune_journal_read(struct tune_journal **journal, const char *dir, const char *ifname)
{
	struct tune_journal *j = journal_new(dir, ifname);
	json_t *doc;
	int fd, err;

	if (!j)
		return -ENOMEM;
	fd = open_own(j->path);
	if (fd < 0) {
		tune_journal_free(j);
		return fd;
	}
	doc = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
	close(fd);
	err = doc ? fill(j, doc) : -EBADMSG;
	json_decref(doc);
	if (err) {
		tune_journal_free(j);
		return err;
	}
	*journal = j;
	return 0;
}
