/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal is one line, "BOOT-ID NETNS VALUE", written before the change and emptied after it is undone.  Its file
 * stays root's in a directory that becomes the daemon's, and what is read from it is believed only as a digit.
 */
#define _GNU_SOURCE
#include "userspace/sysctls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYNCOOKIES "/proc/sys/net/ipv4/tcp_syncookies"
#define JOURNAL "syncookies.journal"
enum { VALUE_MAX = 2, SET_BACK = -1 };

static int keeper = -1; /* our end of the socket */

static int read_value(int fd)
{
	char c;

	if (pread(fd, &c, 1, 0) != 1)
		return -EIO;
	return c >= '0' && c <= '0' + VALUE_MAX ? c - '0' : -ERANGE;
}

static int write_value(int fd, int value)
{
	char c = (char)('0' + value);

	return pwrite(fd, &c, 1, 0) == 1 ? 0 : -errno;
}

/* This boot and network namespace: a journal of another is of no use. */
static void here(char out[96])
{
	char boot[40] = "";
	struct stat ns = { 0 };
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, boot, 36) < 0)
			boot[0] = 0;
		close(fd);
	}
	stat("/proc/self/ns/net", &ns);
	snprintf(out, 96, "%s %lu", boot, (unsigned long)ns.st_ino);
}

static int write_journal(int fd, int value)
{
	char where[96], line[128];
	int len;

	if (ftruncate(fd, 0))
		return -errno;
	if (value == SET_BACK)
		return 0;
	here(where);
	len = snprintf(line, sizeof(line), "%s %d\n", where, value);
	return pwrite(fd, line, (size_t)len, 0) == len && !fsync(fd) ? 0 : -EIO;
}

/* The value a journal of this boot and namespace wants back, or negative: there is none. */
static int read_journal(int fd)
{
	char where[96], line[128] = "";
	ssize_t got = pread(fd, line, sizeof(line) - 1, 0);
	size_t len;

	here(where);
	len = strlen(where);
	if (got <= (ssize_t)len + 1 || strncmp(line, where, len) || line[len] != ' ')
		return -ENOENT;
	return line[len + 1] >= '0' && line[len + 1] <= '0' + VALUE_MAX ? line[len + 1] - '0' : -EINVAL;
}

/* ---- the keeper ---- */

/* Root by name, which the sysctl asks for, and no capability. */
static void keep_nothing(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_capset, &head, none);
}

static int change(int sysctl, int journal, int value, int *original)
{
	int now = read_value(sysctl), code;

	if (now < 0)
		return now;
	if (value == SET_BACK) {
		code = *original >= 0 ? write_value(sysctl, *original) : 0;
		if (code)
			return code;
		*original = SET_BACK;
		return write_journal(journal, SET_BACK);
	}
	if (*original < 0) {
		code = write_journal(journal, now);
		if (code)
			return code;
		*original = now;
	}
	return write_value(sysctl, value);
}

static void serve(int sock, int sysctl, int journal)
{
	int value, code, original = SET_BACK;

	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_NAME, "danelawd-sysctl");
	keep_nothing();
	while (recv(sock, &value, sizeof(value), 0) == sizeof(value)) {
		code = value < SET_BACK || value > VALUE_MAX ? -EINVAL : change(sysctl, journal, value, &original);
		if (send(sock, &code, sizeof(code), MSG_NOSIGNAL) < 0)
			break;
	}
	change(sysctl, journal, SET_BACK, &original);
	_exit(0);
}

/* Its descriptors are the socket and the two files, at fixed places; all others are closed. */
static void become_keeper(int sock, int sysctl, int journal)
{
	int high[3] = { fcntl(sock, F_DUPFD_CLOEXEC, 10), fcntl(sysctl, F_DUPFD_CLOEXEC, 10), fcntl(journal, F_DUPFD_CLOEXEC, 10) };
	int i;

	for (i = 0; i < 3; i++)
		if (high[i] < 0 || dup2(high[i], 3 + i) < 0)
			_exit(1);
	close_range(6, ~0u, 0);
	serve(3, 4, 5);
}

static int start_keeper(int sysctl, int journal)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		become_keeper(pair[1], sysctl, journal);
	close(pair[1]);
	keeper = pair[0];
	return 0;
}

/* ---- the daemon's side ---- */

static int undo(int sysctl, int journal, bool *undone)
{
	int value = read_journal(journal), code;

	if (value < 0)
		return 0;
	code = write_value(sysctl, value);
	if (code)
		return code;
	*undone = true;
	return write_journal(journal, SET_BACK);
}

/* Where nothing is to be changed and nothing was, nothing is opened for writing, nor made. */
static int open_journal(const char *state_dir, const char *path, bool may_change)
{
	if (may_change && mkdir(state_dir, 0750) && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDWR | (may_change ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

int sysctls_start(const char *state_dir, bool may_change, bool *undone, char *err, size_t err_size)
{
	char path[512];
	int sysctl, journal, code = 0;

	*undone = false;
	if (geteuid() != 0)
		return 0;
	snprintf(path, sizeof(path), "%s/" JOURNAL, state_dir);
	journal = open_journal(state_dir, path, may_change);
	if (journal == -ENOENT && !may_change)
		return 0;
	if (journal < 0) {
		snprintf(err, err_size, "%s: %s", path, strerror(-journal));
		return journal;
	}
	if (!may_change && read_journal(journal) < 0)
		goto out;
	sysctl = open(SYNCOOKIES, O_RDWR | O_CLOEXEC);
	code = sysctl < 0 ? -errno : undo(sysctl, journal, undone);
	if (!code && may_change)
		code = start_keeper(sysctl, journal);
	if (code)
		snprintf(err, err_size, "%s: %s", SYNCOOKIES, strerror(-code));
	if (sysctl >= 0)
		close(sysctl);
out:
	close(journal);
	return code;
}

int sysctls_syncookies(void)
{
	int fd = open(SYNCOOKIES, O_RDONLY | O_CLOEXEC), value;

	if (fd < 0)
		return -errno;
	value = read_value(fd);
	close(fd);
	return value;
}

int sysctls_set_syncookies(int value)
{
	int code = -EPIPE;

	if (keeper < 0)
		return -EPERM;
	if (send(keeper, &value, sizeof(value), MSG_NOSIGNAL) != sizeof(value) ||
	    recv(keeper, &code, sizeof(code), 0) != sizeof(code))
		return -EPIPE;
	return code;
}
