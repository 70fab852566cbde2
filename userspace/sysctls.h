/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One sysctl, net.ipv4.tcp_syncookies, changed while it must be, and always set back.
 *
 * The daemon has dropped root's rights when a flood comes, so before the drop a small process stays behind (the
 * keeper): it can write this one file and a journal, and sets back what it changed when it is told to, or when the
 * daemon is gone, in whatever way.  Where the keeper dies with it, the journal in the state directory says what the
 * value was, and the next start sets it back (within the same boot: a reboot has done it).
 */
#ifndef DANELAW_SYSCTLS_H
#define DANELAW_SYSCTLS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * As root, before the drop: sets back what a journal says was left, then, with may_change, starts the keeper.  Not root
 * or not may_change: nothing can be changed later.  *undone: a value was set back.  0, or negative with a sentence in err.
 */
int sysctls_start(const char *state_dir, bool may_change, bool *undone, char *err, size_t err_size);
/* net.ipv4.tcp_syncookies now, or negative errno.  Needs no right. */
int sysctls_syncookies(void);
/* Sets it, or (-1) sets back what it was.  0 or negative errno: -EPERM when there is no keeper. */
int sysctls_set_syncookies(int value);

#endif
