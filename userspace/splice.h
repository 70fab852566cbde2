/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes from socket to socket by the kernel: splice(2) through a pipe of a worker's pool.  A pipe is had for one burst of
 * bytes, filled only when it is empty, and goes back empty: one with bytes in it is closed instead, so nobody ever
 * gets another session's.  Used from the worker's thread; nothing blocks.
 *
 * IORING_OP_SPLICE is no way to do it: it always goes to a kernel worker thread (io_uring/splice.c, REQ_F_FORCE_ASYNC), at
 * ten times the cost of the call.  So the ring tells when a socket is ready, and the calls are made directly.
 */
#ifndef DANELAW_SPLICE_H
#define DANELAW_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SPLICE_BYTES (256 * 1024) /* most bytes in a pipe; 64 slots, where a slot holds a page or a packet's piece */
#define SPLICE_PIPES 64		  /* of a worker, in use or kept */

struct splice_pipe {
	struct splice_pipe *next; /* the pool's */
	int in, out;
	size_t held; /* bytes in it */
};

struct splice_pool;

struct splice_pool *splice_pool_new(unsigned max); /* NULL: no memory */
void splice_pool_free(struct splice_pool *p);	   /* all pipes are back */
/*
 * An empty pipe, or NULL: the bound is reached, or the kernel gives none of full size (descriptors, or pages of all the pipes
 * of a user, fs.pipe-user-pages-soft).
 */
struct splice_pipe *splice_get(struct splice_pool *p);
void splice_put(struct splice_pool *p, struct splice_pipe *pipe);
bool splice_has_more(const struct splice_pool *p); /* another splice_get() may work: the kernel has not refused one */
void splice_ask_again(struct splice_pool *p);	   /* it may be asked again, if it has */
unsigned splice_pipes(const struct splice_pool *p); /* in use or kept */

/* From the socket into the empty pipe, at most max: bytes; 0 at the FIN; -EAGAIN: nothing there; other negative errno. */
ssize_t splice_fill(struct splice_pipe *pipe, int fd, size_t max);
/* From the pipe to the socket: bytes, > 0; -EAGAIN: it has no room; other negative errno. */
ssize_t splice_drain(struct splice_pipe *pipe, int fd);

#endif
