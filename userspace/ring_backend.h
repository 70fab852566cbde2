/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What ring.c asks of a back end.  ring.c checks the rules of ring.h, keeps the busy bits of operations it
 * starts and fills in their arguments (iov, room, to); the back end does the rest and clears the bits.
 */
#ifndef DANELAW_RING_BACKEND_H
#define DANELAW_RING_BACKEND_H

#include <sys/socket.h>
#include <time.h>

#include "userspace/ring.h"

struct ring_ops {
	enum ring_backend kind;
	void (*start)(struct ring *r, struct ring_socket *s, enum ring_op op);
	void (*accept_stop)(struct ring *r, struct ring_socket *s);
	void (*close)(struct ring *r, struct ring_socket *s); /* closing and RING_STATE_RESET are set */
	int (*run)(struct ring *r, uint32_t timeout_ms);
	void (*free)(struct ring *r);
};

/* Head of each back end's own struct. */
struct ring {
	const struct ring_ops *ops;
	uint64_t now;
	uint64_t *starved;
	uint64_t starved_unread; /* where starved points when nobody asked */
	unsigned open;		 /* descriptors owned */
	char about[256];
};

/* ring_socket.state: shared bits; a back end's own start at RING_STATE_OWN. */
enum {
	RING_STATE_RESET = 1,	  /* close with RST */
	RING_STATE_ACCEPTING = 2, /* accepting is wanted, whatever is in flight */
	RING_STATE_LISTED = 4,	  /* on the back end's list */
	RING_STATE_OWN = 8,
};

/* Work done in one turn before timers get theirs: completions here, handler rounds there. */
#define RING_TURN_MAX 256
#define RING_ACCEPTS_ROUND_MAX 8 /* connections a round: others get theirs between */

/* 0 or negative errno; why (of why_size) gets the sentence of ring_new(). */
int ring_uring_new(const struct ring_settings *set, struct ring **r, char *why, size_t why_size);
int ring_epoll_new(const struct ring_settings *set, struct ring **r, char *why, size_t why_size);

static inline uint64_t ring_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Errors of accept(2) that belong to one connection, not to the listener: man accept(2), "Error handling". */
bool ring_accept_error_passes(int error);

static inline int ring_send_flags(const struct ring_socket *s)
{
	return MSG_NOSIGNAL | (s->last ? MSG_MORE : 0);
}

/* Makes close(2) send RST when RING_STATE_RESET is set. */
void ring_linger(const struct ring_socket *s);

/* A fifo of sockets through next and prev; the LISTED bit says who is on it. */
struct ring_list {
	struct ring_socket *head, *tail;
};

static inline void ring_list_add(struct ring_list *l, struct ring_socket *s)
{
	if (s->state & RING_STATE_LISTED)
		return;
	s->state |= RING_STATE_LISTED;
	s->next = NULL;
	s->prev = l->tail;
	*(l->tail ? &l->tail->next : &l->head) = s;
	l->tail = s;
}

static inline void ring_list_del(struct ring_list *l, struct ring_socket *s)
{
	if (!(s->state & RING_STATE_LISTED))
		return;
	s->state &= (uint8_t)~RING_STATE_LISTED;
	*(s->prev ? &s->prev->next : &l->head) = s->next;
	*(s->next ? &s->next->prev : &l->tail) = s->prev;
}

#endif
