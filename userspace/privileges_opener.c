/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The opener: a process that stays root so that a reload can read keys again.  It holds a list of paths and a
 * socket, nothing else: no other descriptor, no network, no capability but the one to read files.  A request
 * is a path; the answer is an errno and, if that is 0, a descriptor (SCM_RIGHTS).
 */
#define _GNU_SOURCE
#include "userspace/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opener = -1;	/* our end of the socket */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the opener's side ---- */

static int open_allowed(const char *path, char *const *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(paths[i], path)) {
			int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

			return fd < 0 ? -errno : fd;
		}
	return -EACCES;
}

static void answer(int sock, int fd)
{
	int error = fd < 0 ? -fd : 0;
	struct iovec iov = { &error, sizeof(error) };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		_exit(0);
	if (fd >= 0)
		close(fd);
}

/* Root by name, but able to do one thing: read files whatever their mode. */
static void keep_only_reading(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	data[0].permitted = data[0].effective = 1u << CAP_DAC_READ_SEARCH;
	if (unshare(CLONE_NEWNET) && errno != EPERM)
		_exit(1);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_capset, &head, data);
}

static void serve(int sock, char *const *paths, size_t count)
{
	char path[PATH_MAX];

	/* a signal to the process group is for the daemon; our end is the end of its socket */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_NAME, "danelawd-opener");
	dup2(sock, 3);
	close_range(4, ~0u, 0);
	keep_only_reading();
	for (;;) {
		ssize_t n = recv(3, path, sizeof(path) - 1, 0);

		if (n <= 0)
			_exit(0);
		path[n] = 0;
		answer(3, open_allowed(path, paths, count));
	}
}

/* ---- the daemon's side ---- */

int privileges_start_opener(const char *const *paths, size_t count)
{
	int pair[2];

	if (geteuid() != 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		close(pair[0]);
		serve(pair[1], (char *const *)paths, count); /* our copy of the list came with the fork */
	}
	close(pair[1]);
	opener = pair[0];
	return 0;
}

static int receive(int *fd)
{
	int error = EPIPE;
	struct iovec iov = { &error, sizeof(error) };
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
			      .msg_controllen = sizeof(control.space) };

	if (recvmsg(opener, &msg, MSG_CMSG_CLOEXEC) != sizeof(error))
		return EPIPE;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (error || !c || c->cmsg_type != SCM_RIGHTS)
		return error ? error : EPROTO;
	memcpy(fd, CMSG_DATA(c), sizeof(int));
	return 0;
}

FILE *privileges_open(const char *path)
{
	int fd = -1, error = EPIPE;

	if (opener < 0)
		return fopen(path, "re");
	pthread_mutex_lock(&lock);
	if (send(opener, path, strlen(path), MSG_NOSIGNAL) > 0)
		error = receive(&fd);
	pthread_mutex_unlock(&lock);
	if (!error) {
		FILE *in = fdopen(fd, "r");

		if (in)
			return in;
		error = errno;
		close(fd);
	}
	errno = error;
	return NULL;
}
