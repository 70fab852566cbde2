/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another daemon of the same run-dir, asked for by its control socket: who took that away would leave it running, but
 * out of reach.  Whatever takes a connection there is alive; only its word that it drains lets a start go on.
 */
#define _GNU_SOURCE
#include "userspace/control_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_MAX (64 * 1024)
#define PATIENCE_S 5 /* for each step, of one that is alive */

int control_address(const char *run_dir, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return snprintf(out->sun_path, sizeof(out->sun_path), "%s/control.sock", run_dir) < (int)sizeof(out->sun_path) ? 0 : -ENAMETOOLONG;
}

/* A connection, or -1: nobody is there. */
static int reach(const struct sockaddr_un *at)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (const struct sockaddr *)at, sizeof(*at)))
		return fd;
	close(fd);
	return -1;
}

static bool drains(int fd)
{
	static const char question[] = "status\n";
	char text[ANSWER_MAX];
	const char *state = NULL;
	size_t len = 0;
	ssize_t got = send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL);

	while (got > 0 && len < sizeof(text) && !memchr(text, '\n', len)) {
		got = recv(fd, text + len, sizeof(text) - len, 0);
		len += got > 0 ? (size_t)got : 0;
	}
	json_t *answer = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);
	bool yes = !json_unpack(answer, "{s:{s:s}}", "result", "state", &state) && !strcmp(state, "draining");

	json_decref(answer);
	return yes;
}

int control_check_free(const struct config *cfg, char *err, size_t err_size)
{
	struct sockaddr_un at;
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	int fd = control_address(cfg->run_dir, &at) ? -1 : reach(&at);

	if (fd < 0)
		return 0;
	bool taken = !drains(fd);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	close(fd);
	if (!taken)
		return 0;
	snprintf(err, err_size, "process %d serves already and holds %s: end it first, or give this one a run-dir of its own", (int)who.pid,
		 at.sun_path);
	return -EBUSY;
}
