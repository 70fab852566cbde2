/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rights: the daemon loads BPF, binds and reads keys as root, then runs as its own user with no capability,
 * no_new_privs, and a seccomp and Landlock sandbox where the kernel has them.
 *
 * A reload has to read keys again that only root may read.  So before the drop a small process stays behind as
 * root (the opener): it has no network, opens nothing but the files that the configuration names, read-only,
 * and hands over descriptors.  It ends when the daemon does.
 */
#ifndef DANELAW_PRIVILEGES_H
#define DANELAW_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Starts the opener, allowed to open exactly these paths (copied).  Not root: no process is made, and
 * privileges_open() opens with the rights there are.  0 or negative errno.
 */
int privileges_start_opener(const char *const *paths, size_t count);
/* Opens for reading, by the opener if there is one.  NULL with errno set. */
FILE *privileges_open(const char *path);

/*
 * Becomes user (name) for good: groups, gid, uid, every capability set empty, no_new_privs, Landlock where the kernel has
 * it.  state_dir and run_dir are made and given to the user first, mode 0750; also: files that libraries read later by
 * their own means (NULL ends the list).  user "" or not being root: only no_new_privs and Landlock.  Before any thread is started, since Landlock binds the calling thread and those it
 * makes.  0, or negative with a sentence in err.
 */
int privileges_drop(const char *user, const char *state_dir, const char *run_dir, const char *const *also, char *err,
		    size_t err_size);
/*
 * After the last thread was started: seccomp, on all of them.  What the kernel lacks is left out and said in the returned
 * text, for the log ("user danelaw, seccomp, Landlock ABI 6"); valid until the next call.
 */
const char *privileges_sandbox(void);

#endif
