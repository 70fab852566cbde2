/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring without sockets, for tests of what stands on ring.h.  It defines every function of ring.h, so it takes
 * the place of userspace/ring.o when it is linked in before the library; a test says so in tests/unit/NAME.mk:
 *
 *	$(B)/tests/unit/NAME_test: $(B)/tests/unit/fake_ring.o
 *
 * The test plays the other end: each descriptor that is adopted or connected has a fake_peer, which stays
 * readable after closed() until ring_free().  Nothing happens but in ring_run(), which never sleeps: one call is
 * one pass over the sockets in the order they were made, each getting at most one completion of a kind.  The
 * clock moves only by fake_advance().  Descriptors are numbers and are not touched, but for a watched one, which
 * is a real one and is polled (ring_await_input() and ring_await_room() are told by what the peer said and takes).
 *
 * Breaking a rule of ring.h fails an assert.  Received bytes sit in memory of their own that goes when the
 * handler returns, and sent bytes are read as late as the rules allow, so ASan sees those who keep or drop them.
 */
#ifndef DANELAW_TESTS_FAKE_RING_H
#define DANELAW_TESTS_FAKE_RING_H

#include <sys/types.h>

#include "userspace/ring.h"

struct fake_peer {
	struct fake_peer *next;
	struct ring_socket *socket; /* NULL once closed() was called */
	/* What danelaw did. */
	uint8_t *got; /* bytes received from danelaw and not taken by fake_clear(), with a NUL behind */
	size_t got_len;
	size_t got_total;   /* all of them, ever */
	bool got_fin;	    /* ring_shutdown(), or ring_close() without reset */
	bool got_reset;	    /* ring_close() with reset */
	bool connecting;    /* ring_connect() was called and not answered yet */
	struct net_addr to; /* where it went; port 0: it was adopted */
	/* What the peer does. */
	size_t window;	 /* bytes it takes before sends wait; SIZE_MAX at first */
	size_t per_send; /* most bytes one send moves; SIZE_MAX at first */
	struct fake_segment *head, *tail;
	int fail[RING_WRITABLE + 1]; /* errno for the operation in flight, or the next one */
	bool connected;
};

/* The peer of a live socket. */
struct fake_peer *fake_peer(struct ring *r, const struct ring_socket *s);
/* The n-th descriptor ever (from 0), or NULL; and the latest one. */
struct fake_peer *fake_peer_at(struct ring *r, unsigned n);
struct fake_peer *fake_peer_last(struct ring *r);
/* The oldest unanswered ring_connect(), or NULL. */
struct fake_peer *fake_connecting(struct ring *r);
unsigned fake_open(const struct ring *r); /* descriptors not closed */

/* One segment: a receive brings bytes of one segment only, so the test decides where packets end. */
void fake_say(struct fake_peer *p, const void *data, size_t len);
void fake_say_text(struct fake_peer *p, const char *text);
void fake_fin(struct fake_peer *p);   /* behind what was said */
void fake_reset(struct fake_peer *p); /* receives fail with ECONNRESET after what was said, sends at once */
/* To splice(2) from kernel TLS, a record without octets: nothing is taken, and it is not the FIN. */
void fake_say_nothing(struct fake_peer *p);
/* To the same, a record whose header makes no sense: told once; input is there ever after, and none comes. */
void fake_break(struct fake_peer *p);
void fake_answer(struct fake_peer *p, int error); /* the connect: 0 or errno */
void fake_fail(struct fake_peer *p, enum ring_op op, int error);
void fake_clear(struct fake_peer *p); /* forgets what was got */
/* Connection fd waits on a listening socket. */
void fake_offer(struct fake_peer *p, int fd);

/*
 * What a system call on the descriptor itself would do now (fake_splice.c): bytes of one segment, 0 at the FIN; how many the
 * peer takes; or negative errno.  Of the ring that was made last.
 */
ssize_t fake_take(int fd, uint8_t *data, size_t max);
ssize_t fake_give(int fd, const uint8_t *data, size_t len);
bool fake_at_end(int fd); /* the FIN is next */

/* What ring_connect() itself returns from now on (0: works), and whether connects succeed unasked. */
void fake_connect_returns(struct ring *r, int err);
void fake_connect_answers(struct ring *r, bool by_itself);

void fake_advance(struct ring *r, uint64_t ms);
/* Calls ring_run() until a pass brings nothing more; asserts that this happens.  Returns completions delivered. */
unsigned fake_settle(struct ring *r);

#endif
