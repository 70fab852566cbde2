/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `danelawctl check`: what a DANE sender does for one domain, and what it concludes.
 *
 *   dane plan (DNS) ─► check_dial(): a STARTTLS handshake to every address ─► check_judge() ─► check_tell(), check_json()
 *
 * It judges only what it saw: an address that could not be reached passes nothing and fails nothing.
 */
#ifndef DANELAW_CHECK_H
#define DANELAW_CHECK_H

#include <stdbool.h>
#include <stdio.h>

#include "userspace/dane.h"
#include "userspace/net.h"
#include "userspace/tls_client.h"

/* ---- what was seen ---- */

enum check_seen {
	CHECK_NOT_TRIED,
	CHECK_NO_CONNECTION,
	CHECK_NO_SMTP,	     /* no banner 220, or no answer to EHLO */
	CHECK_NO_STARTTLS,   /* not offered */
	CHECK_REFUSED,	     /* offered, and STARTTLS was not answered 220 */
	CHECK_LOST,	     /* no answer to STARTTLS or in the handshake within the time */
	CHECK_NO_HANDSHAKE,  /* an alert, something that is no TLS, or a connection cut in the handshake */
	CHECK_TLS
};

enum check_verdict {
	CHECK_UNKNOWN,	    /* could not tell */
	CHECK_VERIFIED,
	CHECK_TLS_REQUIRED, /* delivered over TLS, unauthenticated: records exist, none usable */
	CHECK_NO_DANE,	    /* delivered, as if there were no DANE */
	CHECK_DEFER,
	CHECK_BOUNCE
};
const char *check_verdict_name(enum check_verdict v); /* "verified", …: an interface, never changed */
int check_exit_status(enum check_verdict v);	      /* 0 verified, 1 defer or bounce, 2 without authentication, 3 could not tell */

#define CHECK_WHY_MAX 240

/* One address of a host. */
struct check_try {
	struct net_addr addr;
	enum check_seen seen;
	char why[CHECK_WHY_MAX];	/* the server's words or ours, printable; "" if there is nothing to say */
	bool offered;			/* STARTTLS stood in the EHLO reply */
	char version[16], cipher[64], group[32]; /* of CHECK_TLS */
	char sni[DANE_NAME_MAX];	/* as sent, "" if none */
	bool no_usable;			/* OpenSSL could use none of the records: as if all were unusable (RFC 7672 2.2) */
	struct tls_judgement judgement; /* record: index into the host's records */
	bool peer_known;
	struct tls_peer peer;
	/* check_judge() */
	enum check_verdict verdict;
	char reason[DANE_REASON_MAX];
};

struct check_host {
	const struct dane_host *dane;
	struct check_try *tries;
	size_t try_count;
	enum check_verdict verdict;
	char reason[DANE_REASON_MAX];
};

struct check {
	char name[DANE_NAME_MAX];
	bool mx_asked; /* false: an address literal, or no name at all */
	const struct dane_outcome *outcome;
	struct check_host *hosts; /* beside outcome->hosts */
	enum check_verdict overall, mandatory;
	char reason[DANE_REASON_MAX], mandatory_reason[DANE_REASON_MAX];
};

/* Families to try. */
enum { CHECK_IPV4 = 1, CHECK_IPV6 = 2 };

/* One try for each address of a host that is to be tried; the outcome must outlive it. */
struct check *check_new(const char *name, const struct dane_outcome *outcome, unsigned families);
void check_free(struct check *c);

/* ---- the steps ---- */

enum check_proxy { CHECK_PROXY_NONE, CHECK_PROXY_V1, CHECK_PROXY_V2 };

struct check_dialling {
	const char *helo;
	enum check_proxy proxy; /* the header that a backend of ours expects first */
	uint32_t timeout_ms; /* for one address, from connect to the end of the handshake */
	unsigned parallel;   /* connections at a time */
	const char *ca_pem;  /* not NULL: hosts that must be authenticated are so by these CAs, not by records */
	size_t ca_len;
};
/* Fills every try; 0, or negative with a sentence in err when no connection could be made at all for want of our own means. */
int check_dial(struct check *c, const struct check_dialling *how, char *err, size_t err_size);

/* The verdicts and reasons of every address, every host and the whole. */
void check_judge(struct check *c);
/* Validation does not work here: nothing that was seen counts. */
void check_cannot_tell(struct check *c, const char *why);
/* The remedy for what ails an address (or, with t NULL, the host itself), one sentence; "" if there is none. */
void check_mend(const struct check *c, const struct check_host *h, const struct check_try *t, char *out, size_t size);
/* What is well today and will hurt: one sentence, "" if nothing. */
void check_warn(const struct check_host *h, const struct check_try *t, char *out, size_t size);

/* "3 1 1 8d4a…c2f0" of long association data. */
void check_record_short(const struct dane_record *r, char *out, size_t size);
/* The judging record of a try that matched, NULL if there is none. */
const struct dane_record *check_matched(const struct check_host *h, const struct check_try *t);

void check_tell(const struct check *c, FILE *out); /* the story, for people */
void check_json(const struct check *c, FILE *out); /* one object */

/* Parts of both, for the judgements of a running edge. */
struct json_t;
void check_tell_row(FILE *out, const char *right, const char *left);
void check_tell_try(const struct check_host *h, const struct check_try *t, FILE *out);
void check_tell_verdict(enum check_verdict v, const char *reason, FILE *out);
struct json_t *check_try_json(const struct check *c, const struct check_host *h, const struct check_try *t);

/* ---- check_edge.c: danelawctl check --backend NAME, --client NAME; the exit status ---- */

struct ctl;
int check_backend(const struct ctl *ctl, const char *name, const struct check_dialling *how, bool json);
int check_client(const struct ctl *ctl, const char *name, bool json);

#endif
