/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's sandboxes, for privileges.c alone. */
#ifndef DANELAW_PRIVILEGES_SANDBOX_H
#define DANELAW_PRIVILEGES_SANDBOX_H

/*
 * Landlock: files may be read where libraries, zones and certificates of the system stand, written only below the two
 * directories.  also: other files that may be read (NULL ends the list).  The ABI in force, 0 if the kernel has none, negative errno on a fault.
 */
int sandbox_landlock(const char *state_dir, const char *run_dir, const char *const *also);
/* seccomp on all threads: what a proxy needs; anything else is EPERM.  0 or negative errno. */
int sandbox_seccomp(void);

#endif
