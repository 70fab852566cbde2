/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: one SMTP client session of the generator.  load.c owns the plan, the loop and the report;
 * load_session.c the dialogue.  A session is driven by readiness only and never blocks.
 */
#ifndef DANELAW_BENCH_LOAD_H
#define DANELAW_BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* What every session does. */
struct plan {
	struct sockaddr_in target;
	SSL_CTX *tls;		/* NULL: no STARTTLS, */
	bool fast;		/* unless this: fast_tls.h */
	const char *sni;	/* NULL: none */
	bool resume;		/* offer the last ticket of the slot */
	bool pipeline;		/* MAIL, RCPT and DATA in one write */
	bool bdat;		/* BDAT n LAST instead of DATA */
	bool vanish;		/* after the last message: close without QUIT */
	bool delayed_ack;	/* leave acknowledgements to the kernel, which may delay them 40 ms */
	bool idle;		/* stop after the EHLO that follows the handshake (or the only one) and stay */
	bool deaf;		/* after that EHLO: write commands until nothing is taken any more, never read */
	unsigned messages;	/* a session */
	size_t size;		/* octets of a message */
	const char *body;	/* what a message is on the wire: body and end of data, or BDAT and body */
	size_t body_len;
	const char *helo;	/* NULL: load.example; "%u" in it stands for the session's number modulo ->helos */
	unsigned helos;
	unsigned sources;	/* client addresses 127.1.0.1 and on; 0: the system's choice */
};

struct tally {
	uint64_t sessions, failed, messages, octets, resumed, handshakes;
	char why[256];		/* of the first that failed */
};

struct session;

enum session_state { SESSION_OPEN, SESSION_HOLDS, SESSION_DONE, SESSION_FAILED };

/* Slots hold what outlives a session: its ticket.  number: of the session, chooses the source address. */
struct session *session_new(const struct plan *plan, struct tally *tally, SSL_SESSION **ticket, uint64_t number);
int session_fd(const struct session *s);
uint64_t session_began(const struct session *s); /* ns */
enum session_state session_run(struct session *s);
void session_free(struct session *s);
/* For SSL_CTX_sess_set_new_cb: keeps the ticket in the session's slot. */
int session_keep_ticket(SSL *ssl, SSL_SESSION *ticket);

#endif
