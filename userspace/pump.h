/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes from leg to leg by the kernel: socket -> pipe -> socket.  Here is how: when both legs can, when the kernel may have
 * their TLS (tls_ktls.h), what to wait for.  Whether it is worth it, and how much may be taken, says who uses it:
 *
 *   session_pass.c    all that comes, until the end of one end
 *   session_chunk.c   the octets of a BDAT, and not one more: behind them come commands
 *
 * Before and after a pump bytes are copied from leg to leg; nothing is lost or overtaken in between, since a pipe is had only
 * when nothing is held or under way, and left only when it is empty.
 */
#ifndef DANELAW_PUMP_H
#define DANELAW_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/leg.h"
#include "userspace/splice.h"
#include "userspace/stats.h"

struct pump {
	struct leg *from, *to;
	struct splice_pool *pool; /* NULL: bytes are copied */
	struct splice_pipe *pipe; /* NULL: none now */
	uint64_t piped, ktls; /* bytes that arrived; ktls: from or to a leg whose TLS is the kernel's */
};

void pump_init(struct pump *p, struct leg *from, struct leg *to, struct splice_pool *pool);

/* It could have a pipe, once nothing is held or under way.  Who wants one reads and writes nothing more until then. */
bool pump_may(const struct pump *p);
/* True: it has one. */
bool pump_begin(struct pump *p);
/*
 * Takes from the one end at most max bytes beyond those in the pipe, and gives the other end what it takes: how many
 * arrived.  The legs' ->eof and ->error tell of their ends.
 */
size_t pump_run(struct pump *p, uint64_t max);
static inline size_t pump_held(const struct pump *p) { return p->pipe ? p->pipe->held : 0; }
/* The session is to run again once there is room for what it holds, or input. */
void pump_await(const struct pump *p);
/* Bytes in the pipe are lost with it: that is for those whose connection is broken off. */
void pump_end(struct pump *p);

/* ---- TLS to the kernel, for good ---- */

/* May the kernel get this leg's TLS?  Then its owner makes it ->careful. */
bool pump_may_have(const struct leg *leg);
/*
 * It could have a pipe if the kernel had the TLS of its legs.  What has to come for that comes by itself: bytes go out, a
 * receive brings what it was armed for, a record's rest.  Where it may not (a receive waits for the end that is sent to, or
 * something of it is here, which its owner has to take first) this is false.
 */
bool pump_may_switch(const struct pump *p);
/* Brings the rest of a record that OpenSSL has the beginning of; true: something came, which the owner copies. */
bool pump_align(struct pump *p);
enum { PUMP_ALIGN_ROUNDS = 16 }; /* what a record of full size needs */
/* Hands over what is ready for it. */
void pump_switch(struct pump *p, struct stats *stats);
/* The session is to run again once there is more of a record whose beginning is here, if it is one. */
void pump_await_record(const struct pump *p);

#endif
