/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was changed and how to take it back: tune-IFACE.json.  Written whole beside the old one, flushed and renamed,
 * before a command is run and after it, so that after a crash at any moment the file says of every command whether it
 * was never begun, perhaps done (begun), done, or failed, which leaves nothing to take back.  Read back only if it is
 * root's alone: its lines are run as root.
 */
#ifndef DANELAW_TUNE_JOURNAL_H
#define DANELAW_TUNE_JOURNAL_H

#include "tools/tune.h"

enum tune_state { TUNE_BEGUN, TUNE_DONE, TUNE_FAILED };

struct tune_entry {
	char *run, *undo;
	enum tune_state state;
};

struct tune_journal {
	char *path;
	char ifname[16], driver[32], bus[64];
	char boot[40]; /* a restart takes all changes back: a journal of another boot has nothing to undo */
	size_t entries_n;
	struct tune_entry *entries;
	char *before; /* tune_facts_lines() before the first change */
};

/* A new one, for what these facts show; not yet on disk. */
struct tune_journal *tune_journal_new(const char *dir, const struct tune_facts *facts);
/* 0, -ENOENT: nothing was changed, -EPERM: others than root could have written it, -EBADMSG: not a whole journal,
 * or another errno. */
int tune_journal_read(struct tune_journal **journal, const char *dir, const char *ifname);
void tune_journal_free(struct tune_journal *journal);

/* Appends an entry that is begun; the caller saves.  0 or -ENOMEM. */
int tune_journal_begin(struct tune_journal *journal, const struct tune_change *change);
/* As it would be on disk, for --json: after an apply what it made, what failed, and all from before, after an undo what stays. */
int tune_journal_print(FILE *to, const struct tune_journal *journal);
/* Forgets entry i. */
void tune_journal_drop(struct tune_journal *journal, size_t i);
/* To disk, flushed; with no entries left the file goes away.  0 or a negative errno. */
int tune_journal_save(const struct tune_journal *journal);

#endif
