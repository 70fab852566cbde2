/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE /* splice, pipe2, F_SETPIPE_SZ */
#include "userspace/splice.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct splice_pool {
	struct splice_pipe *kept;
	unsigned count, max; /* of pipes, in use or kept */
	bool refused;	     /* the kernel gave none when last asked */
};

struct splice_pool *splice_pool_new(unsigned max)
{
	struct splice_pool *p = calloc(1, sizeof(*p));

	if (p)
		p->max = max;
	return p;
}

static void drop(struct splice_pool *p, struct splice_pipe *pipe)
{
	close(pipe->in);
	close(pipe->out);
	free(pipe);
	p->count--;
	p->refused = false;
}

void splice_pool_free(struct splice_pool *p)
{
	if (!p)
		return;
	for (struct splice_pipe *pipe; (pipe = p->kept);) {
		p->kept = pipe->next;
		drop(p, pipe);
	}
	assert(!p->count);
	free(p);
}

unsigned splice_pipes(const struct splice_pool *p)
{
	return p->count;
}

bool splice_has_more(const struct splice_pool *p)
{
	return p->kept || (p->count < p->max && !p->refused);
}

void splice_ask_again(struct splice_pool *p)
{
	p->refused = false;
}

/* A pipe that cannot be made large (pipe_set_size() in fs/pipe.c) would cost more than it saves. */
static bool make(int fd[2])
{
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC))
		return false;
	if (fcntl(fd[1], F_SETPIPE_SZ, SPLICE_BYTES) >= SPLICE_BYTES)
		return true;
	close(fd[0]);
	close(fd[1]);
	return false;
}

struct splice_pipe *splice_get(struct splice_pool *p)
{
	struct splice_pipe *pipe = p->kept;
	int fd[2];

	if (pipe) {
		p->kept = pipe->next;
		return pipe;
	}
	if (!splice_has_more(p))
		return NULL;
	pipe = calloc(1, sizeof(*pipe));
	p->refused = !pipe || !make(fd);
	if (p->refused) {
		free(pipe);
		return NULL;
	}
	pipe->out = fd[0];
	pipe->in = fd[1];
	p->count++;
	return pipe;
}

void splice_put(struct splice_pool *p, struct splice_pipe *pipe)
{
	if (pipe->held) {
		drop(p, pipe);
		return;
	}
	pipe->next = p->kept;
	p->kept = pipe;
	p->refused = false;
}

/* SPLICE_F_NONBLOCK is for the pipe, which would block whatever the socket's mode is. */
static ssize_t move(int from, int to, size_t len)
{
	ssize_t n;

	do
		n = splice(from, NULL, to, NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t splice_fill(struct splice_pipe *pipe, int fd, size_t max)
{
	assert(!pipe->held && max);
	ssize_t n = move(fd, pipe->in, max < SPLICE_BYTES ? max : SPLICE_BYTES);

	if (n > 0)
		pipe->held = (size_t)n;
	return n;
}

ssize_t splice_drain(struct splice_pipe *pipe, int fd)
{
	assert(pipe->held);
	ssize_t n = move(pipe->out, fd, pipe->held);

	if (n > 0)
		pipe->held -= (size_t)n;
	return n ? n : -EPIPE; /* a pipe with bytes and a writer has no end */
}
