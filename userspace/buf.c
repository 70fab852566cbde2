/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fifo is a list of chunks, filled at its tail and emptied at its head; a chunk goes back to the pool
 * with its last byte, so what an idle session holds is nothing.  The pool keeps a bounded number of free
 * chunks: enough for the burst of the next moment, not the peak of the last flood.  Under AddressSanitizer
 * it keeps none, so that a pointer into a consumed chunk is found.
 *
 * A chunk that fifo_reserve() made hangs behind the tail (or is the head of a fifo without tail) until
 * fifo_commit() takes it in; nothing else sees it.
 */
#include "userspace/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/log.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define KEEP_SMALL 0
#define KEEP_BIG 0
#else
#define KEEP_SMALL 512 /* 1 MB */
#define KEEP_BIG 32    /* 2 MB */
#endif

struct chunk_class {
	struct chunk *free;
	unsigned free_count, keep;
	uint32_t size;
};

struct chunk_pool {
	struct chunk_class small, big;
	size_t out; /* bytes of memory in chunks that are not here */
};

struct chunk_pool *chunk_pool_new(void)
{
	struct chunk_pool *p = calloc(1, sizeof(*p));

	if (!p)
		log_fatal("out of memory");
	p->small.size = CHUNK_SMALL;
	p->small.keep = KEEP_SMALL;
	p->big.size = CHUNK_BIG;
	p->big.keep = KEEP_BIG;
	return p;
}

static void class_free(struct chunk_class *k)
{
	while (k->free) {
		struct chunk *c = k->free;

		k->free = c->next;
		free(c);
	}
}

void chunk_pool_free(struct chunk_pool *p)
{
	assert(p->out == 0);
	class_free(&p->small);
	class_free(&p->big);
	free(p);
}

size_t chunk_pool_bytes_out(const struct chunk_pool *p)
{
	return p->out;
}

/* A chunk for len bytes or for the first of them. */
static struct chunk *chunk_get(struct chunk_pool *p, size_t len)
{
	struct chunk_class *k = len > CHUNK_SMALL ? &p->big : &p->small;
	struct chunk *c = k->free;

	if (c) {
		k->free = c->next;
		k->free_count--;
	} else {
		c = malloc(sizeof(*c) + k->size);
		if (!c)
			log_fatal("out of memory with %zu bytes queued: lower limits sessions or relay-buffer", p->out);
		c->size = k->size;
	}
	c->next = NULL;
	c->begin = c->end = 0;
	p->out += sizeof(*c) + c->size;
	return c;
}

static void chunk_put(struct chunk_pool *p, struct chunk *c)
{
	struct chunk_class *k = c->size == CHUNK_SMALL ? &p->small : &p->big;

	p->out -= sizeof(*c) + c->size;
	if (k->free_count >= k->keep) {
		free(c);
		return;
	}
	c->next = k->free;
	k->free = c;
	k->free_count++;
}

void fifo_init(struct fifo *f, struct chunk_pool *pool)
{
	f->head = f->tail = NULL;
	f->len = 0;
	f->pool = pool;
}

static struct chunk **reserved(struct fifo *f)
{
	return f->tail ? &f->tail->next : &f->head;
}

static void drop_reserved(struct fifo *f)
{
	struct chunk **link = reserved(f);

	if (*link) {
		chunk_put(f->pool, *link);
		*link = NULL;
	}
}

void fifo_clear(struct fifo *f)
{
	while (f->head) {
		struct chunk *c = f->head;

		f->head = c->next;
		chunk_put(f->pool, c);
	}
	f->tail = NULL;
	f->len = 0;
}

void fifo_append(struct fifo *f, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len > 0) {
		/* the rest of the tail first, then a chunk of the class that suits what is left */
		size_t min = f->tail && f->tail->end < f->tail->size ? 1 : len < CHUNK_BIG ? len : CHUNK_BIG;
		size_t room, n;
		uint8_t *to = fifo_reserve(f, min, &room);

		n = len < room ? len : room;
		memcpy(to, from, n);
		fifo_commit(f, n);
		from += n;
		len -= n;
	}
}

uint8_t *fifo_reserve(struct fifo *f, size_t min, size_t *room)
{
	struct chunk *c = f->tail;

	if (min == 0)
		min = 1;
	drop_reserved(f);
	if (!c || c->size - c->end < min) {
		c = chunk_get(f->pool, min);
		*reserved(f) = c;
	}
	*room = c->size - c->end;
	return c->data + c->end;
}

void fifo_commit(struct fifo *f, size_t len)
{
	struct chunk *c = *reserved(f);

	if (len == 0) {
		drop_reserved(f);
		return;
	}
	if (c)
		f->tail = c;
	else
		c = f->tail;
	assert(c && len <= c->size - c->end);
	c->end += (uint32_t)len;
	f->len += len;
}

int fifo_peek(const struct fifo *f, struct iovec *iov, int max)
{
	struct chunk *c;
	int n = 0;

	if (!f->tail)
		return 0;
	for (c = f->head; n < max; c = c->next) {
		iov[n].iov_base = c->data + c->begin;
		iov[n].iov_len = c->end - c->begin;
		n++;
		if (c == f->tail)
			break;
	}
	return n;
}

void fifo_consume(struct fifo *f, size_t len)
{
	assert(len <= f->len);
	drop_reserved(f);
	f->len -= len;
	while (len > 0) {
		struct chunk *c = f->head;
		size_t filled = c->end - c->begin;

		if (len < filled) {
			c->begin += (uint32_t)len;
			return;
		}
		len -= filled;
		f->head = c->next;
		if (!f->head)
			f->tail = NULL;
		chunk_put(f->pool, c);
	}
}

void fifo_move(struct fifo *dst, struct fifo *src)
{
	assert(dst != src && dst->pool == src->pool);
	drop_reserved(dst);
	drop_reserved(src);
	if (!src->head)
		return;
	*reserved(dst) = src->head;
	dst->tail = src->tail;
	dst->len += src->len;
	fifo_init(src, src->pool);
}
