/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pipes for the descriptors of fake_ring.c, in the place of userspace/splice.o: what is taken from a fake peer is given to
 * another as splice(2) would.  Breaking a rule of splice.h fails an assert.
 */
#include "userspace/splice.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_ring.h"

struct splice_pool {
	unsigned max, out;
};

struct full_pipe {
	struct splice_pipe pipe; /* first */
	size_t given;
	uint8_t bytes[SPLICE_BYTES];
};

struct splice_pool *splice_pool_new(unsigned max)
{
	struct splice_pool *p = calloc(1, sizeof(*p));

	assert(p);
	p->max = max;
	return p;
}

void splice_pool_free(struct splice_pool *p)
{
	assert(!p || !p->out);
	free(p);
}

struct splice_pipe *splice_get(struct splice_pool *p)
{
	struct full_pipe *full = p->out < p->max ? calloc(1, sizeof(*full)) : NULL;

	p->out += full != NULL;
	return full ? &full->pipe : NULL;
}

void splice_put(struct splice_pool *p, struct splice_pipe *pipe)
{
	assert(p->out);
	p->out--;
	free(pipe);
}

bool splice_has_more(const struct splice_pool *p)
{
	return p->out < p->max;
}

void splice_ask_again(struct splice_pool *p)
{
}

unsigned splice_pipes(const struct splice_pool *p)
{
	return p->out;
}

ssize_t splice_fill(struct splice_pipe *pipe, int fd, size_t max)
{
	struct full_pipe *full = (struct full_pipe *)pipe;

	assert(!pipe->held && max);
	ssize_t n = fake_take(fd, full->bytes, max < SPLICE_BYTES ? max : SPLICE_BYTES);

	full->given = 0;
	pipe->held = n > 0 ? (size_t)n : 0;
	return n;
}

ssize_t splice_drain(struct splice_pipe *pipe, int fd)
{
	struct full_pipe *full = (struct full_pipe *)pipe;

	assert(pipe->held);
	ssize_t n = fake_give(fd, full->bytes + full->given, pipe->held);

	full->given += n > 0 ? (size_t)n : 0;
	pipe->held -= n > 0 ? (size_t)n : 0;
	return n;
}
