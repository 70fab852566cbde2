/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes on their way out: a fifo of chunks from a pool.  A worker has one pool; nothing here is
 * thread-safe.  An empty fifo owns no memory, so an idle session has no buffers.
 *
 * Two chunk sizes: small ones for commands and replies, big ones for mail bodies.
 */
#ifndef DANELAW_BUF_H
#define DANELAW_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define CHUNK_SMALL (2048 - 32)	/* payload bytes */
#define CHUNK_BIG (65536 - 32)

struct chunk {
	struct chunk *next;
	uint32_t begin, end, size; /* data[begin..end) is filled */
	uint8_t data[];
};

struct chunk_pool; /* keeps a bounded number of free chunks of each size; counts what is out */

struct chunk_pool *chunk_pool_new(void);
void chunk_pool_free(struct chunk_pool *p); /* all chunks must be back */
size_t chunk_pool_bytes_out(const struct chunk_pool *p);

struct fifo {
	struct chunk *head, *tail;
	size_t len; /* bytes queued */
	struct chunk_pool *pool;
};

void fifo_init(struct fifo *f, struct chunk_pool *pool);
void fifo_clear(struct fifo *f);

/* Appends a copy.  Out of memory is fatal to the process, so there is no error. */
void fifo_append(struct fifo *f, const void *data, size_t len);
/*
 * Room to write into directly: at least one byte, at least min bytes if the size class allows it; *room
 * tells how many.  fifo_commit() says how many were written; nothing else may touch the fifo between.
 */
uint8_t *fifo_reserve(struct fifo *f, size_t min, size_t *room);
void fifo_commit(struct fifo *f, size_t len);
/* Up to max pieces, in order, without removing them; returns how many. */
int fifo_peek(const struct fifo *f, struct iovec *iov, int max);
/* Removes len bytes from the front (len <= f->len). */
void fifo_consume(struct fifo *f, size_t len);
/* Moves all of src behind dst without copying; both of the same pool. */
void fifo_move(struct fifo *dst, struct fifo *src);

#endif
