/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "tools/tune_source.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX (4u << 20) /* /proc/interrupts of the largest machines is about 1 MiB */
#define WORDS_MAX 32

struct tune_source {
	char *root, *record;
};

struct tune_source *tune_source_new(const char *root, const char *record)
{
	struct tune_source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	source->root = root ? strdup(root) : NULL;
	source->record = record ? strdup(record) : NULL;
	if ((root && !source->root) || (record && !source->record)) {
		tune_source_free(source);
		return NULL;
	}
	return source;
}

void tune_source_free(struct tune_source *source)
{
	if (!source)
		return;
	free(source->root);
	free(source->record);
	free(source);
}

/* ---- files ---- */

struct text {
	char *at;
	size_t len;
};

/* Reads on from fd.  1: there is more to come, 0: the end, negative: errno. */
static int more(struct text *t, int fd)
{
	char piece[16384];
	ssize_t n = read(fd, piece, sizeof(piece));
	char *at;

	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (t->len + n > TEXT_MAX)
		return -EFBIG;
	at = realloc(t->at, t->len + n + 1);
	if (!at)
		return -ENOMEM;
	memcpy(at + t->len, piece, n);
	t->at = at;
	t->len += n;
	at[t->len] = '\0';
	return 1;
}

static char *read_all(const char *path)
{
	struct text t = { calloc(1, 1), 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 1;

	if (fd < 0 || !t.at) {
		if (fd >= 0)
			close(fd);
		free(t.at);
		return NULL;
	}
	while (err > 0)
		err = more(&t, fd);
	close(fd);
	if (err < 0) {
		free(t.at);
		return NULL;
	}
	return t.at;
}

static void keep(struct tune_source *source, const char *path, const char *text)
{
	char *full;
	FILE *f;

	if (!source->record || !text || asprintf(&full, "%s/%s", source->record, path) < 0)
		return;
	for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	f = fopen(full, "we");
	if (f) {
		fputs(text, f);
		fclose(f);
	}
	free(full);
}

char *tune_source_file(struct tune_source *source, const char *path)
{
	char *full, *text;

	if (asprintf(&full, "%s/%s", source->root ? source->root : "", path) < 0)
		return NULL;
	text = read_all(full);
	free(full);
	keep(source, path, text);
	return text;
}

char *tune_source_link(struct tune_source *source, const char *path)
{
	char target[512], *full, *kept;
	ssize_t n;

	if (asprintf(&full, "%s/%s", source->root ? source->root : "", path) < 0)
		return NULL;
	n = readlink(full, target, sizeof(target) - 1);
	free(full);
	if (n < 0) { /* a recorded tree keeps the name as a file beside it */
		if (asprintf(&full, "%s.link", path) < 0)
			return NULL;
		kept = source->root ? tune_source_file(source, full) : NULL;
		free(full);
		if (kept)
			kept[strcspn(kept, "\n")] = '\0';
		return kept;
	}
	target[n] = '\0';
	if (asprintf(&full, "%s.link", path) >= 0) {
		keep(source, full, basename(target));
		free(full);
	}
	return strdup(basename(target));
}

long tune_source_process(struct tune_source *source, const char *name)
{
	char path[300], line[64];
	long found = -1;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/proc", source->root ? source->root : "");
	dir = opendir(path);
	while (dir && found < 0 && (e = readdir(dir))) {
		FILE *f;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "%s/proc/%s/comm", source->root ? source->root : "", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f)) {
			line[strcspn(line, "\n")] = '\0';
			if (!strcmp(line, name))
				found = strtol(e->d_name, NULL, 10);
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	if (found >= 0) {
		snprintf(path, sizeof(path), "proc/%ld/comm", found);
		keep(source, path, name);
	}
	return found;
}

/* ---- commands ---- */

static int words(char *text, char **out)
{
	char *rest = text;
	int n = 0;

	for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
		if (n == WORDS_MAX - 1)
			return -E2BIG;
		out[n++] = w;
	}
	out[n] = NULL;
	return n ? 0 : -EINVAL;
}

/* Reads both ends until the command has closed them. */
static int listen_to(int fds[2], struct text text[2])
{
	struct pollfd p[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLIN, 0 } };
	int err = 0;

	while (!err && (p[0].fd >= 0 || p[1].fd >= 0)) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < 2 && !err; i++) {
			int got = p[i].fd >= 0 && p[i].revents ? more(&text[i], p[i].fd) : 1;

			if (!got)
				p[i].fd = -1;
			else if (got < 0)
				err = got;
		}
	}
	return err;
}

#define PATH_WORDS "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

static int start(char **argv, int out, int err, pid_t *pid)
{
	/* the words of ethtool and ip are parsed: in English, whatever the operator's language */
	static char path[] = PATH_WORDS, language[] = "LC_ALL=C";
	char *environment[] = { path, language, NULL };
	posix_spawn_file_actions_t actions;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	setenv("PATH", &PATH_WORDS[sizeof("PATH=") - 1], 1); /* posix_spawnp() looks in ours */
	status = posix_spawnp(pid, argv[0], &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	return -status;
}

static void give(char **to, char *text)
{
	if (to)
		*to = text;
	else
		free(text);
}

int tune_spawn(const char *command, char **out, char **err)
{
	char *copy = strdup(command), *argv[WORDS_MAX];
	struct text text[2] = { { calloc(1, 1), 0 }, { calloc(1, 1), 0 } };
	int pipes[2][2] = { { -1, -1 }, { -1, -1 } }, status = -ENOMEM;
	pid_t pid = -1;

	if (copy && text[0].at && text[1].at)
		status = words(copy, argv);
	if (!status && (pipe2(pipes[0], O_CLOEXEC) || pipe2(pipes[1], O_CLOEXEC)))
		status = -errno;
	if (!status)
		status = start(argv, pipes[0][1], pipes[1][1], &pid);
	for (int i = 0; i < 2; i++)
		if (pipes[i][1] >= 0)
			close(pipes[i][1]);
	if (!status)
		status = listen_to((int[2]){ pipes[0][0], pipes[1][0] }, text);
	for (int i = 0; i < 2; i++)
		if (pipes[i][0] >= 0)
			close(pipes[i][0]);
	if (pid > 0) {
		int how = 0;

		while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
			;
		if (!status)
			status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	}
	free(copy);
	give(out, text[0].at);
	give(err, text[1].at);
	return status;
}

static char *reply_name(const char *command)
{
	char *name;

	if (asprintf(&name, "replies/%s", command) < 0)
		return NULL;
	for (char *c = name; *c; c++)
		if (*c == ' ')
			*c = '_';
	return name;
}

char *tune_source_run(struct tune_source *source, const char *command)
{
	char *name = reply_name(command), *text = NULL;

	if (name && source->root)
		text = tune_source_file(source, name);
	else if (name) {
		if (tune_spawn(command, &text, NULL)) {
			free(text);
			text = NULL;
		}
		keep(source, name, text);
	}
	free(name);
	return text;
}

int tune_source_xdp(struct tune_source *source, const char *ifname, uint64_t *features)
{
	char name[64], text[32], *kept;
	int err = 0;

	snprintf(name, sizeof(name), "replies/netdev_%s_xdp-features", ifname);
	if (!source->root) {
		err = tune_xdp_features(ifname, features);
		snprintf(text, sizeof(text), "0x%llx\n", (unsigned long long)*features);
		keep(source, name, err ? NULL : text);
		return err;
	}
	kept = tune_source_file(source, name);
	if (!kept)
		return -ENOENT;
	*features = strtoull(kept, NULL, 0);
	free(kept);
	return 0;
}
