/* SPDX-License-Identifier: BSD-2-Clause */
/* The tool's end of the control socket: one connection, one question, one answer. */
#define _GNU_SOURCE
#include "tools/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)
#define ANSWER_S 90 /* longer than any verb of the daemon's may take */

/* ---- options ---- */

void ctl_init(struct ctl *c)
{
	const char *env = getenv("DANELAW_SOCKET");

	c->socket = env && *env ? env : CTL_SOCKET;
	c->json = false;
}

int ctl_usage(const char *usage)
{
	fprintf(stderr, "usage: %s\n", usage);
	return CTL_USAGE;
}

void ctl_no_option(int opt, const char *usage)
{
	if (opt != 'h')
		exit(ctl_usage(usage));
	printf("usage: %s\n", usage);
	exit(CTL_OK);
}

void ctl_option(struct ctl *c, int opt, const char *usage)
{
	switch (opt) {
	case 's':
		c->socket = optarg;
		return;
	case 'j':
		c->json = true;
		return;
	default:
		ctl_no_option(opt, usage);
	}
}

int ctl_options(struct ctl *c, int argc, char **argv, const char *usage)
{
	static const struct option options[] = { CTL_OPTIONS, { 0 } };
	int opt;

	ctl_init(c);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		ctl_option(c, opt, usage);
	return optind;
}

/* ---- asking ---- */

static int unreachable(const struct ctl *c, int error)
{
	const char *what = error == ENOENT || error == ECONNREFUSED
				   ? "is danelawd running?  Try  systemctl status danelawd ; another place is given by --socket"
			   : error == EACCES || error == EPERM
				   ? "run this as root or as a member of the daemon's group"
			   : error == ETIMEDOUT || error == EAGAIN ? "danelawd does not answer; its log may say why"
								   : "nothing was asked";

	fprintf(stderr, "danelawctl: %s: %s\n  %s\n", c->socket, strerror(error == EAGAIN ? ETIMEDOUT : error), what);
	return CTL_UNREACHABLE;
}

static int reach(const struct ctl *c)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = ANSWER_S };
	int fd;

	if (strlen(c->socket) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	strcpy(at.sun_path, c->socket);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at))) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One line, without its end; malloc'd.  NULL with errno set. */
static char *receive_line(int fd)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);

	while (text && len < ANSWER_MAX) {
		ssize_t n = recv(fd, text + len, room - len - 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : ECONNRESET;
			break;
		}
		len += (size_t)n;
		if (text[len - 1] == '\n') {
			text[len - 1] = 0;
			return text;
		}
		if (len + 1 < room)
			continue;
		char *more = realloc(text, room *= 2);

		if (!more)
			break;
		text = more;
	}
	free(text);
	return NULL;
}

static json_t *understand(const char *line, int *status)
{
	json_t *answer = json_loads(line, 0, NULL), *result = json_object_get(answer, "result");
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(json_object_get(answer, "ok")) && result) {
		json_incref(result);
		*status = CTL_OK;
	} else {
		fprintf(stderr, "danelawctl: %s\n", error ? error : "the answer is not one of danelawd's");
		result = NULL;
		*status = CTL_NO;
	}
	json_decref(answer);
	return result;
}

json_t *ctl_ask(const struct ctl *c, const char *verb, json_t *args, int *status)
{
	json_t *request = args ? args : json_object(), *result = NULL;

	json_object_set_new(request, "verb", json_string(verb));
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	int fd = text ? reach(c) : -ENOMEM, r = fd < 0 ? fd : 0;

	json_decref(request);
	if (!r)
		r = send_all(fd, text, strlen(text));
	if (!r)
		r = send_all(fd, "\n", 1);
	if (!r) {
		line = receive_line(fd);
		r = line ? 0 : -errno;
	}
	if (r)
		*status = unreachable(c, -r);
	else
		result = understand(line, status);
	if (fd >= 0)
		close(fd);
	free(text);
	free(line);
	return result;
}

void ctl_print_json(json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}
