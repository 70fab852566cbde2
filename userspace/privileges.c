/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drop: from root to a user that can do nothing but what its open descriptors allow.
 */
#define _GNU_SOURCE
#include "userspace/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userspace/privileges_sandbox.h"

static char state[96]; /* for privileges_sandbox() */

static int say(char *err, size_t size, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return error ? -error : -EINVAL;
}

static int give_dir(const char *dir, const struct passwd *pw, char *err, size_t size)
{
	if (!dir || !*dir)
		return 0;
	if (mkdir(dir, 0750) && errno != EEXIST)
		return say(err, size, errno, "%s: %s", dir, strerror(errno));
	if (pw && chown(dir, pw->pw_uid, pw->pw_gid))
		return say(err, size, errno, "%s: %s", dir, strerror(errno));
	return 0;
}

static int become(const struct passwd *pw, char *err, size_t size)
{
	/* the bounding set goes while we still may; the rest goes with the uid and is then emptied by name */
	if (setgroups(0, NULL) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid))
		return say(err, size, errno, "cannot drop to group %u: %s", pw->pw_gid, strerror(errno));
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
		return say(err, size, errno, "cannot drop to user %s: %s", pw->pw_name, strerror(errno));
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (syscall(SYS_capset, &head, none) || (pw->pw_uid && !setresuid(0, 0, 0)))
		return say(err, size, errno, "root's rights did not go: %s", strerror(errno));
	return 0;
}

int privileges_drop(const char *user, const char *state_dir, const char *run_dir, const char *const *also, char *err,
		    size_t err_size)
{
	const struct passwd *pw = NULL;
	bool drops = user && *user && geteuid() == 0;

	if (drops && !(pw = getpwnam(user)))
		return say(err, err_size, 0, "there is no user %s; make one (adduser --system --group %s) or set user = \"nobody\"",
			   user, user);
	int r = give_dir(state_dir, pw, err, err_size);

	if (!r)
		r = give_dir(run_dir, pw, err, err_size);
	if (!r && pw)
		r = become(pw, err, err_size);
	if (r)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return say(err, err_size, errno, "no_new_privs: %s", strerror(errno));
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core with keys in it, no ptrace by the same user */
	int abi = sandbox_landlock(state_dir, run_dir, also);

	snprintf(state, sizeof(state), "user %s, %s", pw ? pw->pw_name : "unchanged", abi > 0 ? "Landlock" : "no Landlock");
	return 0;
}

const char *privileges_sandbox(void)
{
	int r = sandbox_seccomp();
	size_t len = strlen(state);

	snprintf(state + len, sizeof(state) - len, r ? ", no seccomp (%s)" : ", seccomp", strerror(-r));
	return state;
}
