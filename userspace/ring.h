/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Socket I/O by completion.  One ring a worker, used from that worker's thread only.  Behind this header
 * stand io_uring (ring_uring.c, the only file that knows liburing) and an epoll twin (ring_epoll.c);
 * ring_new() probes and chooses, and callers cannot tell them apart.  Unit tests put a fake in their place.
 *
 * Rules:
 *  - at most one operation of each kind is in flight on a socket; asking for a second is a bug (assert);
 *  - receives are single-shot: the peer can have no more read ahead than one receive, which is what makes
 *    "nothing came behind STARTTLS" checkable (CVE-2011-0411), and back-pressure is not re-arming;
 *  - a handler may call any ring function, ring_close() on its own socket included;
 *  - after ring_close() no handler is called but closed(), and only then may the socket's memory go;
 *  - handlers are never called from inside a ring_* call, only from ring_run().
 */
#ifndef DANELAW_RING_H
#define DANELAW_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "userspace/net.h"

struct ring;
struct ring_socket;

enum ring_backend { RING_AUTO, RING_URING, RING_EPOLL };

/* RING_WATCH: ring_watch() and ring_await_input(), of which a socket has one or the other. */
enum ring_op { RING_ACCEPT, RING_CONNECT, RING_RECV, RING_SEND, RING_WATCH, RING_WRITABLE };

struct ring_handler {
	/* len > 0: data is valid until the handler returns.  len == 0: the peer's FIN. */
	void (*received)(struct ring_socket *s, const uint8_t *data, size_t len);
	void (*sent)(struct ring_socket *s, size_t len); /* 0 < len <= what was asked */
	void (*connected)(struct ring_socket *s);
	/* fd is the new connection: non-blocking, close-on-exec, TCP_NODELAY; the handler owns it. */
	void (*accepted)(struct ring_socket *s, int fd);
	void (*readable)(struct ring_socket *s); /* of ring_watch(), where the watch stays, or ring_await_input() */
	void (*writable)(struct ring_socket *s); /* of ring_await_room() */
	/*
	 * The operation ended in errno error (> 0).  RING_ACCEPT: accepting has paused; call ring_accept() again later.
	 * A reset is told once (ECONNRESET): with a send and a receive in flight the other gets EPIPE, or a FIN.
	 */
	void (*failed)(struct ring_socket *s, enum ring_op op, int error);
	/* Nothing is in flight any more and the descriptor is closed. */
	void (*closed)(struct ring_socket *s);
};

struct ring_socket {
	const struct ring_handler *on;
	int fd;
	bool closing;	 /* ring_close() was called */
	bool last;	 /* the send in flight is ring_send_last()'s */
	bool once;	 /* the watch in flight is ring_await_input()'s */
	uint8_t busy;	 /* bit per enum ring_op in flight */
	/* The rest is the ring's own. */
	uint8_t parked;	 /* bit per operation that is in flight here but not in the kernel yet */
	uint8_t state;
	uint8_t iov_count;
	uint32_t most;	 /* bytes the receive in flight may bring */
	int error;	 /* of a connect that failed at once */
	struct ring_socket *next, *prev;
	union {
		struct iovec iov[4];	/* the pieces of the send in flight */
		struct sockaddr_in6 to; /* where the connect in flight goes; sockaddr_in fits too */
	};
};

struct ring_settings {
	enum ring_backend backend;
	unsigned entries;	    /* submission queue; 0: 512 */
	unsigned command_buffers;   /* at most, for receives of up to RING_COMMAND_BYTES; 0: 1024; made a power of two */
	unsigned body_buffers;	    /* at most, for those of up to RING_BODY_BYTES; 0: 64; made a power of two */
	uint64_t *starved;	    /* counts receives that had to wait for a buffer; may be NULL */
};
#define RING_COMMAND_BYTES 4096
/*
 * A large receive saves more than its system call: TCP opens its window once for all of it, and the peer and the other
 * leg's peer are woken once.  A body of 10 MB costs a quarter less by 256 KB than by 64 KB; 512 KB bring nothing more.
 */
#define RING_BODY_BYTES 262144

/*
 * Makes the ring for the calling thread.  With RING_AUTO io_uring is used if a real operation works on it,
 * else epoll; *why gets a sentence about the choice for the log ("io_uring, deferred task work",
 * "epoll: io_uring_setup: Operation not permitted"), valid until this thread's next call.  0 or negative errno.
 */
int ring_new(const struct ring_settings *set, struct ring **r, const char **why);
void ring_free(struct ring *r); /* every socket must be closed */
enum ring_backend ring_kind(const struct ring *r);

void ring_socket_init(struct ring_socket *s, const struct ring_handler *on); /* fd -1 */
/* Takes over an accepted, listening or watched descriptor; an accepted one must be non-blocking. */
void ring_adopt(struct ring *r, struct ring_socket *s, int fd);

/* Goes on until failed(), ring_accept_stop() or ring_close(). */
void ring_accept(struct ring *r, struct ring_socket *s);
/* Connections the kernel has handed over already may still come; harmless if nothing is being accepted. */
void ring_accept_stop(struct ring *r, struct ring_socket *s);
/* most: bytes it may bring, 1 to RING_BODY_BYTES. */
void ring_recv(struct ring *r, struct ring_socket *s, size_t most);
/* Copies the iovecs (1..4), not the bytes: those must stay until sent() or closed(). */
void ring_send(struct ring *r, struct ring_socket *s, const struct iovec *iov, int count);
/* The same where nothing but ring_shutdown() follows, and at once: the last segment waits for the FIN and carries it. */
void ring_send_last(struct ring *r, struct ring_socket *s, const struct iovec *iov, int count);
/*
 * Makes the socket and connects; 0, or -EMFILE and the like when there is no socket to be had.  we_begin: we send as
 * soon as it is connected, and what we send carries the acknowledgement that ends TCP's handshake (TCP_QUICKACK off, see
 * tcp_rcv_synsent_state_process()); where the peer speaks first it would wait 200 ms for it.
 */
int ring_connect(struct ring *r, struct ring_socket *s, const struct net_addr *to, bool we_begin);
void ring_shutdown(struct ring *r, struct ring_socket *s); /* our FIN; nothing may be sending */
void ring_watch(struct ring *r, struct ring_socket *s);	   /* readability of fd (eventfd, pipe), level */
/*
 * For those who move bytes by system calls of their own (splice(2), recvmsg(2)): one call of readable() or writable() once
 * the socket has input (or a FIN, or an error) or room for output.  What is so already is told in the next ring_run().
 */
void ring_await_input(struct ring *r, struct ring_socket *s);
void ring_await_room(struct ring *r, struct ring_socket *s);
/*
 * Cancels what is in flight, closes the descriptor, then closed().  reset: RST instead of FIN.  Right also for
 * a socket without a descriptor (fd -1); a second call is a bug (assert).
 */
void ring_close(struct ring *r, struct ring_socket *s, bool reset);

static inline bool ring_busy(const struct ring_socket *s, enum ring_op op) { return s->busy & (1u << op); }

/* Submits, waits at most timeout_ms (UINT32_MAX: for ever) for completions, calls their handlers. */
int ring_run(struct ring *r, uint32_t timeout_ms); /* 0 or negative errno */
/* The monotonic clock in ms, read once a turn of ring_run(). */
uint64_t ring_now(const struct ring *r);
/* What the ring can do and uses, and why it is not io_uring where that was tried; for people; valid as long as the ring. */
const char *ring_describe(const struct ring *r);

#endif
