/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session: one client from accept to close.  Its life is a chain of named steps (the table stands in
 * steps.c); each returns MORE, WAIT or DONE, one loop runs them, and one place ends, counts and logs.
 *
 *   proxy_header -> pregreet -> banner -> dialogue <-> handshake, judge  (steps.c)
 *                                            ^  \--> route --/  \--> pass (session_pass.c)
 *                                            every step --> farewell --> closing
 *
 * A completion or a timer changes a leg or sets ->expired and runs the session.  Steps never free and never
 * close: they return DONE with a reason set by session_end().  The memory goes when both legs are closed.
 */
#ifndef DANELAW_SESSION_H
#define DANELAW_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/backend.h"
#include "userspace/client_dane.h"
#include "userspace/config.h"
#include "userspace/lane.h"
#include "userspace/leg.h"
#include "userspace/log.h"
#include "userspace/nexthop.h"
#include "userspace/policy.h"
#include "userspace/pump.h"
#include "userspace/relay.h"
#include "userspace/sources.h"
#include "userspace/stats.h"
#include "userspace/timer.h"

/* What all workers share; counted with relaxed atomics. */
struct session_shared {
	uint32_t sessions, handshakes;
	uint32_t judgements;	   /* of clients, that wait for the DNS */
	uint32_t *policy_sessions; /* per policy: those that it was chosen for; NULL without policies */
	struct sources *sources; /* sessions a source; NULL: they have no limit */
};

/* A listener as one worker serves it. */
struct session_listener {
	const struct config_listener *cfg;
	struct relay_settings relay;
	struct relay_settings *policy_relay; /* per policy: relay as it changes it; NULL without policies */
	struct tls_server *tls; /* NULL: STARTTLS is not offered; swapped by a reload, sessions keep what they have */
	bool asks;		/* policy_asks(): some client of it may be asked for a certificate */
	bool gives_tls;		/* the kernel may get the TLS of some session of it */
};

/* What a worker gives its sessions. */
struct session_env {
	const struct config *cfg;
	struct ring *ring;
	struct timer_wheel *wheel;
	struct leg_io *io;
	struct stats *stats;
	struct backends *backends;
	struct session_shared *shared;
	struct client_dane *client_dane; /* NULL: no listener asks clients */
	struct lane *lane;		 /* NULL: no policy grants it */
	struct splice_pool *pipes;	 /* NULL: bytes are copied */
	struct session *sessions; /* all of this worker's */
	bool draining;		  /* no new mail: 421 at the next idle point */
	uint64_t next_id;
};

enum step_result { STEP_MORE, STEP_WAIT, STEP_DONE };

enum session_step {
	STEP_PROXY_HEADER,
	STEP_PREGREET,
	STEP_BANNER,
	STEP_DIALOGUE,
	STEP_HANDSHAKE,
	STEP_JUDGE,
	STEP_ROUTE,
	STEP_PASS,
	STEP_FAREWELL,
	STEP_CLOSING
};

/* What a session waits for: which time-out runs, and how the session ends if it passes (waits[] in session.c). */
enum session_wait {
	WAIT_NOTHING,
	WAIT_PROXY_HEADER,
	WAIT_PREGREET,
	WAIT_COMMAND,
	WAIT_HANDSHAKE,
	WAIT_VERDICT,
	WAIT_CONNECT,
	WAIT_BACKEND_BANNER,
	WAIT_REPLY,
	WAIT_FINAL,
	WAIT_BODY,
	WAIT_BACKEND_BODY,
	WAIT_CLIENT_WRITE,
	WAIT_PASS_IDLE,
	WAIT_PASS_QUIET,
	WAIT_PASS_CLIENT,
	WAIT_PASS_BACKEND,
	WAIT_PASS_END,
	WAIT_LINGER
};

/* What a session keeps until its backend is ready, and not a moment longer. */
struct session_route {
	struct nexthop hop;
	struct proxy_facts facts;
	char verdict[DANE_NAME_MAX + 16]; /* facts.dane_verdict */
	struct backend_tried tried;
	bool unverified; /* a try ended because verification failed */
	bool unreached;	 /* a try ended otherwise than by a 5xx at the banner or at EHLO */
	uint64_t deadline;
};

/* What a session keeps whose client was asked for a certificate; the others have none of it. */
struct session_verdict {
	struct client_judging *judging; /* waits for the DNS */
	bool known;			/* ->judgement and ->answer are */
	bool refused;			/* a MAIL was */
	uint8_t answer;			/* enum policy_answer */
	uint64_t t_begin, ms;
	struct client_judgement judgement;
};

#define SESSION_RECORD_MAX 24

struct session {
	struct leg client, backend; /* first: legs wake the session by their address */
	struct session *next, **link; /* in env->sessions */
	struct session_env *env;
	struct session_listener *listener;
	struct timer timer;
	uint64_t id;
	uint8_t step;	    /* enum session_step */
	uint8_t end;	    /* enum end_reason; END_NOT_YET while it lasts */
	uint8_t wait;	    /* enum session_wait */
	bool expired;	    /* the time-out of ->wait passed */
	bool running;
	bool want_client, want_backend; /* read on when settled */
	bool esmtp;
	bool hello_fresh;   /* the backend's EHLO was answered, the client not told yet */
	bool skip_line;	    /* the rest of a line that is too long */
	bool handshaking;   /* counted in shared->handshakes */
	bool has_source;    /* counted in shared->sources */
	bool has_backend;   /* counted in backends' load */
	bool tls_up;	    /* the handshake is over: tls_facts() are known */
	bool tls_begun;	    /* the first byte behind STARTTLS was a TLS record's */
	bool mail_waits;    /* a MAIL waits for a backend: refuse it with 451, not 421 */
	bool unverified;    /* no backend could be verified: EHLO is answered by us, and MAIL tries again */
	bool farewell_said;
	struct policy_ask ask;	 /* known from the banner on */
	int16_t policy;		 /* the one that was chosen, by index; -1: none (yet) */
	struct session_verdict *verdict; /* NULL: the client is not asked */
	char backend_record[SESSION_RECORD_MAX]; /* the TLSA record that matched, "3 1 1 8d4a017f"; "" if none */
	const char *backend_tls; /* how the backend's leg is protected (nexthop_protection()) */
	uint32_t epoch, wait_epoch; /* progress that renews a time-out */
	uint16_t errors;    /* refused commands */
	uint16_t backend_index;
	uint32_t commands;
	uint64_t wait_mark; /* bytes at the window's start: WAIT_BODY those received, for writes those the kernel took */
	struct relay relay;
	struct session_route *route; /* while routing */
	struct session_pass *pass;   /* once its bytes are passed on unread */
	struct pump *chunk;	     /* for octets of a BDAT; NULL before the first that is large */
	struct net_addr peer, local; /* of the client: from the PROXY header where there is one */
	char *helo;	     /* NULL before EHLO */
	uint64_t t_start, t_tls, t_route, tls_ms, route_ms; /* ms */
};

/* Are sessions of this listener counted by source?  Not those that a balancer brings. */
bool session_counts_source(const struct session_env *env, const struct session_listener *listener);
/* Takes over fd (and the place in env->shared->sources); the session frees itself when it is over.  0, or -ENOMEM (fd is then closed). */
int session_new(struct session_env *env, struct session_listener *listener, int fd, const struct net_addr *peer,
		const struct net_addr *local);
/* Runs it as far as it goes. */
void session_run(struct session *s);
/* Ends all sessions of the worker that are at an idle point; the others end at their next one. */
void session_drain(struct session_env *env);
/* Ends all, whatever they do. */
void session_cut(struct session_env *env);

/* ---- for people ---- */

/* A copy of what a session is about, for danelawctl.  Strings are static or the configuration's. */
struct session_view {
	uint64_t id;
	const char *listener;
	struct net_addr peer;
	char helo[64];
	const char *step, *wait; /* where it is, and what it waits for ("" : nothing) */
	const char *tls;	 /* "TLSv1.3"; "" without */
	char client_dane[DANE_NAME_MAX + 16]; /* the verdict on its client, as in the log; "": not asked, "-": not known yet */
	const char *backend;	 /* the last one tried; NULL: none yet */
	uint64_t age_ms, bytes_in, bytes_out;
	uint32_t commands;
	uint32_t messages;
};
/* The newest max of a worker's sessions; how many were written.  On the worker's thread. */
size_t session_list(const struct session_env *env, struct session_view *out, size_t max);

/* ---- for steps.c and commands.c ---- */

/* Ends the session: the reason, and what the client is told (REPLY_COUNT: nothing).  Returns STEP_DONE. */
enum step_result session_end(struct session *s, enum end_reason reason, enum reply reply);
/* Waits for this; the time-out starts anew if it was another wait or ->epoch has moved.  Returns STEP_WAIT. */
enum step_result session_wait(struct session *s, enum session_wait wait);
/* The way to a backend is over: frees what it needed. */
void session_end_route(struct session *s);
/* Drops the backend's leg (it must be reopened by STEP_ROUTE). */
void session_drop_backend(struct session *s);

/* ---- session_client.c: what DANE and policy say of the client ---- */

/* Before the banner: is it asked for a certificate? */
void session_ask_policy(struct session *s);
/* At STARTTLS, for a client that is: sends a CertificateRequest with the handshake.  0 or -ENOMEM. */
int session_ask_certificate(struct session *s, struct tls *tls);
/* The handshake is over: a ticket may have brought the verdict. */
void session_take_carried(struct session *s);
/* True: EHLO has to wait for STEP_JUDGE. */
static inline bool session_must_judge(const struct session *s)
{
	return s->verdict && s->client.tls && !s->verdict->known;
}
enum step_result session_judge(struct session *s);
/* The reply to MAIL if the client's mail is not taken; REPLY_COUNT: it is. */
enum reply session_refusal(const struct session *s);
/* Chooses the policy if there is none yet; false: it has no room (session_end() was called). */
bool session_choose_policy(struct session *s);
void session_leave_policy(struct session *s);
size_t session_pool(const struct session *s);
/* What a backend is told of the client's certificate; strings live in the session. */
void session_client_facts(struct session *s, struct proxy_facts *f);
void session_log_client(const struct session *s, struct logline *l);
/* The session is over, for ->end: was it a clean one of a verified name? */
void session_note_history(struct session *s);
/* The session is over: nobody waits for the verdict any more. */
void session_end_judging(struct session *s);

/* ---- session_chunk.c: the octets of a large BDAT ---- */

/*
 * Moves what of them it can without seeing them.  RELAY_NOTHING: they have to be copied, or something has to come first;
 * RELAY_BLOCKED: the backend does not take more now; RELAY_LOST.
 */
enum relay_event session_chunk(struct session *s);
/* May the kernel get the TLS of its legs? */
bool session_gives_tls(const struct session *s);
/* Its backend is ready, and what that can do is known. */
void session_chunk_prepare(struct session *s);
/* True: what has to come for them wakes the session, and the client is not to be received from. */
bool session_chunk_await(struct session *s);
void session_chunk_end(struct session *s); /* frees; also of a session that had none */
void session_chunk_count(const struct session *s);
void session_chunk_log(const struct session *s, struct logline *l);

/* ---- session_pass.c: sessions whose bytes are passed on unread ---- */

/* Policy says so, the backend is ready, and the next byte of either side begins something new.  Called at an idle point. */
bool session_may_pass(const struct session *s);
/* Does policy say so? */
bool session_splices(const struct session *s);
/* From here on nothing is parsed; false: no memory. */
bool session_pass_begin(struct session *s);
enum step_result session_pass(struct session *s); /* STEP_PASS */
size_t session_pass_room(const struct session *s, const struct leg *from); /* bytes that its next receive may bring */
void session_pass_farewell(struct session *s);
void session_pass_end(struct session *s); /* frees; also of a session that was not passed */
void session_pass_count(const struct session *s); /* the same */
void session_pass_log(const struct session *s, struct logline *l);

extern const struct session_step_row {
	const char *name;
	enum step_result (*run)(struct session *s);
} session_steps[];

enum command_result {
	COMMAND_NONE,  /* no whole command, or it must wait */
	COMMAND_DONE,  /* one was consumed */
	COMMAND_TAKEN, /* commands.c only: the same, by the handler itself */
	COMMAND_ROUTE, /* it needs a backend first; it was not consumed */
	COMMAND_JUDGE, /* it needs the verdict on the client first; it was not consumed */
	COMMAND_TLS,   /* 220 was queued: the handshake begins */
	COMMAND_END    /* session_end() was called */
};
/* Takes the next command of the client, if there is one and its turn has come (commands.c). */
enum command_result command_next(struct session *s);

#endif
