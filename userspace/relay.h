/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The framed relay between a client's leg and a backend's: which reply belongs to which command, what of the
 * client's bytes is a message body, and the end of it.  No command channel is ever passed on unread.
 *
 *   client --command--> [expect FIFO] --> backend        relay_forward(), relay_answer()
 *   client <---reply--- [expect FIFO] <-- backend        relay_replies()
 *   client ---body----> [scanner]     --> backend        relay_body()
 *
 * Our own answers queue up behind the backend's outstanding ones, so a pipelining client reads them in order.
 * The proxy never makes up a reply to a message: what answers the end of DATA is the backend's own.
 */
#ifndef DANELAW_RELAY_H
#define DANELAW_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/leg.h"
#include "userspace/reply.h"
#include "userspace/smtp.h"
#include "userspace/stats.h"

#define RELAY_PIPELINE_MAX 100 /* commands outstanding */

enum relay_expect {
	EXPECT_REPLY, /* passed on; nothing follows from it */
	EXPECT_MAIL,  /* 2xx: a transaction is open */
	EXPECT_RESET, /* RSET: 2xx ends it */
	EXPECT_EHLO,  /* a 250 is rewritten, and ends a transaction */
	EXPECT_HELO,  /* the same, in one line */
	EXPECT_DATA,  /* 354: the body follows */
	EXPECT_CHUNK, /* BDAT, not the last */
	EXPECT_FINAL, /* after the end of a message */
	EXPECT_QUIT,
	EXPECT_OURS   /* an answer of our own waits for its turn */
};

enum relay_mode {
	RELAY_COMMANDS,
	RELAY_BODY,	     /* behind 354 */
	RELAY_CHUNK,	     /* the octets of BDAT */
	RELAY_DISCARD_BODY,  /* to the end of data, passing nothing on: then ->refusal */
	RELAY_DISCARD_CHUNK  /* the octets of a BDAT that we refuse: then ->refusal */
};

struct relay_settings {
	const char *hostname;	 /* in replies of our own */
	uint64_t max_size;	 /* of a message; 0: the backend's own limit alone */
	uint8_t newline;	 /* enum smtp_newline */
	uint32_t cap_mask;	 /* what EHLO may announce */
	bool starttls;		 /* there is a certificate: offered while the client's leg is clear */
	size_t buffer;		 /* bytes queued for a leg before its feeder is no longer read */
};

struct relay {
	struct leg *client, *backend; /* backend->state is LEG_OPEN once there is one */
	const struct relay_settings *set;
	struct stats *stats;
	uint8_t mode;		      /* enum relay_mode */
	uint8_t first, count;	      /* of the slots */
	bool mail_open;		      /* between an accepted MAIL and the end of its transaction */
	bool sealed;		      /* a DATA, EHLO or QUIT is outstanding: commands wait for its reply */
	bool backend_verified;	      /* the backend's leg is TLS and was verified: REQUIRETLS may be offered (RFC 8689 4.1) */
	bool abandoned;		      /* relay_abandon() was called */
	bool hello_line;	      /* the first line of an EHLO reply has been read */
	bool in_reply;		      /* the client has the first lines of a reply and not its last */
	uint8_t refusal;	      /* enum reply of a discard */
	struct smtp_reply_parser reply;
	struct smtp_data_scanner scanner;
	struct smtp_caps caps;	      /* of the backend, from its last EHLO */
	bool chunk_last;
	uint64_t chunk_left;
	uint64_t body_bytes;	      /* of the message under way */
	uint32_t messages;	      /* that the backend took */
	uint32_t refused;	      /* and that it refused behind their body */
	struct {
		uint8_t expect, reply;
	} slots[RELAY_PIPELINE_MAX];
};

void relay_init(struct relay *r, struct leg *client, struct leg *backend, const struct relay_settings *set, struct stats *stats);

/* A command for the backend: the whole line with its CRLF.  The caller looked at relay_full() first. */
void relay_forward(struct relay *r, const char *line, size_t len, enum relay_expect expect);
/* BDAT: the same, and chunk octets follow. */
void relay_forward_chunk(struct relay *r, const char *line, size_t len, uint64_t chunk, bool last);
/* An answer of our own, in its turn. */
void relay_answer(struct relay *r, enum reply reply);
/* The EHLO reply of our own making, from ->caps (a backend just made ready). */
void relay_answer_hello(struct relay *r, bool esmtp);
/* Drops the octets of a refused BDAT and answers then. */
void relay_discard_chunk(struct relay *r, uint64_t chunk, enum reply refusal);

/*
 * Closes the backend's connection so that it never sees the end of a message we refuse; once the client has its
 * refusal relay_body() says RELAY_REFUSED.
 */
void relay_abandon(struct relay *r);

/* No more commands now: a slot, or room for output, is lacking, or a sealing command is outstanding. */
bool relay_full(const struct relay *r, unsigned pipelined);
/*
 * Bytes that a receive may bring which are to go to that leg: what relay-buffer leaves, and not so few that a peer with a
 * small window makes us receive crumbs.
 */
size_t relay_room(const struct relay *r, const struct leg *to);

enum relay_event {
	RELAY_NOTHING,	  /* no whole line is at hand, or its turn has not come */
	RELAY_PROGRESS,	  /* replies were passed on, or a body was */
	RELAY_QUIT,	  /* QUIT was answered */
	RELAY_421,	  /* the backend said 421; it was passed on */
	RELAY_LOST,	  /* the backend's leg ended */
	RELAY_BAD,	  /* it sent what is no reply, or a 2xx to a message that is not over */
	RELAY_BLOCKED,	  /* relay_body(): the backend does not take more now */
	RELAY_REFUSED	  /* relay_body(): the discard is over and ->refusal was answered; end the session */
};
/* Passes on what the backend said. */
enum relay_event relay_replies(struct relay *r);
/* Passes on body bytes while ->mode is not RELAY_COMMANDS. */
enum relay_event relay_body(struct relay *r);

/* An early refusal of the body under way, from a backend that is gone, is passed on; false if there is none. */
bool relay_pass_refusal(struct relay *r);

/* Forgets the client's state for the fresh start after STARTTLS (RFC 3207 4.2). */
void relay_reset(struct relay *r);
/* The octets of a BDAT that are to be passed on; 0: none are. */
static inline uint64_t relay_chunk_left(const struct relay *r) { return r->mode == RELAY_CHUNK ? r->chunk_left : 0; }
/* So many of them went past here, from socket to socket, and are out. */
void relay_chunk_passed(struct relay *r, uint64_t len);
/* True while a backend owes the answer to a message. */
bool relay_final_owed(const struct relay *r);
/* True while nothing is owed but the answer to QUIT. */
bool relay_quit_owed(const struct relay *r);

#endif
