/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A leg: one TCP connection with or without TLS, as a stream of plain text each way.  A session has two, a
 * health probe one.
 *
 * Input is pulled: leg_peek() shows what has come, leg_used() takes it.  What the owner leaves is kept in
 * memory of its own by leg_settle(), and no more is read from the socket until the owner wants it: so what a
 * peer can make us hold is a line, one receive and one TLS record.  Output is queued by leg_write() and sent by
 * leg_settle(); the owner looks at leg_unsent() and stops making more.  An idle leg has no buffers.
 *
 * Every completion ends in wake(), nothing else calls the owner.
 */
#ifndef DANELAW_LEG_H
#define DANELAW_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/buf.h"
#include "userspace/ring.h"
#include "userspace/smtp.h"
#include "userspace/splice.h"
#include "userspace/tls.h"
#include "userspace/tls_ktls.h"

/* What the legs of one worker share. */
struct leg_io {
	struct ring *ring;
	struct chunk_pool *pool;
	uint8_t *scratch[2]; /* LEG_SCRATCH bytes each: decrypted text while an owner runs, one a side */
};
#define LEG_SCRATCH 16384 /* the plain text of one TLS record (RFC 8446 5.1) */

enum leg_side { LEG_CLIENT, LEG_BACKEND };

enum leg_state {
	LEG_IDLE,	/* no socket yet */
	LEG_CONNECTING,
	LEG_OPEN,
	LEG_CLOSED
};

struct leg {
	struct ring_socket sock; /* first: completions come back by this address */
	struct leg_io *io;
	void (*wake)(struct leg *leg);
	struct tls *tls;
	struct fifo out;	    /* bytes for the wire */
	const uint8_t *now;	    /* the wire's bytes at hand while the owner runs: the ring's or ->kept */
	size_t now_len;
	uint8_t *kept;		    /* what of them the owner left last time */
	size_t kept_len;
	const uint8_t *text;	    /* decrypted and not used: in scratch or ->kept_text */
	size_t text_len;
	uint8_t *kept_text;
	int error;		    /* errno of the socket's first failure, 0 if none */
	int lost;		    /* that of a send, until the receive in flight has brought what was said before it */
	bool tls_failed;	    /* a record could not be read or written; tls_error() says why */
	uint8_t state;		    /* enum leg_state */
	uint8_t side;		    /* enum leg_side */
	bool fin_seen;		    /* the peer's FIN, with what came before it perhaps still to be read */
	bool eof;		    /* FIN or close_notify, and all before it was peeked at: nothing more will come */
	bool fin_wanted, fin_sent;
	bool kernel;		    /* the socket's records are the kernel's: ->tls is there for its facts */
	bool rekeyed;		    /* the peer changed its keys, and the kernel cannot follow; ->tls_failed too */
	bool careful;		    /* no receive may be in flight before there is something to receive: see leg_is_quiet() */
	bool ready;		    /* there is */
	bool hold;		    /* what is queued may wait for the next leg_write() */
	uint64_t bytes_in, bytes_out; /* plain text */
	uint64_t wire_out;	      /* bytes the kernel took: progress of a slow reader */
};

int leg_io_init(struct leg_io *io, struct ring *ring); /* 0 or -ENOMEM */
void leg_io_free(struct leg_io *io);

void leg_init(struct leg *leg, struct leg_io *io, enum leg_side side, void (*wake)(struct leg *));
void leg_adopt(struct leg *leg, int fd);		/* an accepted connection */
/* we_begin: see ring_connect().  0 or negative errno; then wake(). */
int leg_connect(struct leg *leg, const struct net_addr *to, bool we_begin);

/* Plain text at hand; *len 0: none now (see ->eof, ->error).  Valid until the owner returns or leg_used(). */
const uint8_t *leg_peek(struct leg *leg, size_t *len);
/* Like leg_peek() but with at least one more byte than *len was, joined to what was there; NULL if none is there. */
const uint8_t *leg_peek_more(struct leg *leg, size_t *len);
void leg_used(struct leg *leg, size_t len);
/*
 * Looks for a line (smtp_find_line()) in what is at hand, reading on through the TLS records as needed.  *line
 * is valid like leg_peek()'s; *used: what leg_used() takes for it.  SMTP_LINE_MORE: not whole yet.
 */
enum smtp_line leg_peek_line(struct leg *leg, size_t max, const char **line, size_t *len, size_t *used);
/* Takes up to room bytes of plain text into dst (straight out of the TLS records where there are some). */
size_t leg_read(struct leg *leg, uint8_t *dst, size_t room);
/* Gives back the last len bytes of a leg_read(): they will be peeked at again. */
void leg_unread(struct leg *leg, const uint8_t *data, size_t len);
/* Drops all input, decrypted or not: for a leg whose words do not matter any more. */
void leg_discard(struct leg *leg);
/* Anything received and not used, decrypted or not: what must not be there when TLS begins. */
bool leg_has_input(const struct leg *leg);

void leg_write(struct leg *leg, const void *data, size_t len);
static inline size_t leg_unsent(const struct leg *leg) { return leg->out.len; }

/* Begins TLS: from now on the wire carries records.  The leg owns tls. */
void leg_start_tls(struct leg *leg, struct tls *tls);
enum tls_result leg_handshake(struct leg *leg);

/* At the end of each run of the owner: keeps what was left, sends what was queued, reads on if want_input, most bytes. */
void leg_settle(struct leg *leg, bool want_input, size_t most);
/* Our half is over: close_notify and FIN once all is sent. */
void leg_finish(struct leg *leg);
/*
 * Ends it now.  Without a socket the state is LEG_CLOSED at once; else wake() comes once more with that
 * state.  Then the memory may go.  Safe in any state.
 */
void leg_close(struct leg *leg, bool reset);
/* Bytes of input that wait to be used, of the wire or decrypted. */
static inline size_t leg_held(const struct leg *leg) { return leg->now_len + leg->text_len; }
/* ---- bytes that do not come through here ---- */

/*
 * Its socket carries what its owner sees, and nothing is on its way: it may be filled from, or drained to, a pipe.  An owner
 * that wants this stops reading (leg_settle() without want_input) or writing, and is woken when all is out.
 */
bool leg_can_fill(const struct leg *leg);
bool leg_can_drain(const struct leg *leg);
/* Does its socket carry what its owner sees? */
static inline bool leg_is_bare(const struct leg *leg) { return !leg->tls || leg->kernel; }
/* Into an empty pipe, at most max: the bytes; 0: none now, and ->eof or ->error may have been set. */
size_t leg_fill(struct leg *leg, struct splice_pipe *pipe, size_t max);
/* Out of the pipe: the bytes; 0: there is no room, or ->error was set. */
size_t leg_drain(struct leg *leg, struct splice_pipe *pipe);
/* wake() once there is input, or room.  Another call while one is in flight is fine. */
void leg_await_input(struct leg *leg);
void leg_await_room(struct leg *leg);

/* ---- TLS by the kernel (tls_ktls.h) ---- */

/*
 * Nothing is in flight, neither way, and nothing is held.  A receive that waits in the ring could bring ciphertext that
 * nobody has counted; so a leg that is to be switched is ->careful, and polls first.
 */
bool leg_is_quiet(const struct leg *leg);
/*
 * Takes from the socket what is missing of a record that OpenSSL has the beginning of, and not a byte more; the owner reads on.
 * True: nothing is missing.
 */
bool leg_align(struct leg *leg);
/* On a leg that is quiet and aligned; false: it stays as it was (or ->tls_failed is set). */
bool leg_to_kernel(struct leg *leg);

/* Memory held in buffers, for bounds and metrics. */
size_t leg_bytes_held(const struct leg *leg);

#endif
