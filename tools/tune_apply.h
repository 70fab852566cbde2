/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs changes and takes them back.  A command is "echo VALUE >PATH" below /proc/sys, /proc/irq and /sys, written
 * here in one write, or one of those that the checks make (ethtool, ip, systemctl), run without a shell; anything
 * else is refused.
 */
#ifndef DANELAW_TUNE_APPLY_H
#define DANELAW_TUNE_APPLY_H

#include "tools/tune_journal.h"

/* 0, or a negative errno with the reason in words; -EINTR: a signal ended the command, which was perhaps done. */
int tune_run(const char *command, char *why, size_t size);

/* What runs a command: tune_run() but in tests. */
typedef int tune_runner(const char *command, char *why, size_t size);

/*
 * Runs the report's changes in order, each in the journal before it is run, and says each on `to` before it is run.
 * Goes on past one that fails, and leaves out those that need it (tune_change.needs).  Returns how many failed or were
 * left out so, each marked in the report, or a negative errno when the journal cannot be written: nothing more is run
 * then.
 */
int tune_apply(struct tune_journal *journal, struct tune_report *report, const struct tune_wants *wants,
	       tune_runner *run, FILE *to);

/*
 * Takes back every entry that was or may have been done, last first; each is dropped from the journal when it has been
 * taken back.  One that fails stays, unless it was perhaps never done; the others are taken back all the same.  Returns how many stay, or a
 * negative errno when the journal cannot be written.
 */
int tune_undo(struct tune_journal *journal, tune_runner *run, FILE *to);

#endif
