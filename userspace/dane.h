/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DANE for SMTP as pure decisions (RFC 6698, 7671, 7672; RFC 7505 for the null MX): what to ask the DNS next,
 * and what duty towards the TLS peer follows from the answers.  No socket, no OpenSSL, no clock: dns.h asks,
 * tls.h checks certificates against the records that come out here.
 *
 * The rule above all others: an answer that failed (bogus, SERVFAIL, time-out, malformed) is never "there is no
 * record".  It makes a host unreachable or a domain deferred, it never lowers the duty.
 *
 * Names are kept in one form: ASCII, lower case, no final dot (A-labels only; nothing is converted here).
 */
#ifndef DANELAW_DANE_H
#define DANELAW_DANE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- names ---- */

#define DANE_NAME_MAX 254 /* 253 characters and the NUL (RFC 1035 2.3.4) */

/*
 * The one form of a host name: labels of letters, digits, '-' and '_', 1 to 63 each, no '-' at a label's ends, a
 * last label that is not all digits, at most one final dot.  0, or -EINVAL (out is "" then).
 */
int dane_name_host(const char *text, char out[DANE_NAME_MAX]);
/* "_<port>._tcp.<base>" (RFC 6698 3); 0, or -ENAMETOOLONG. */
int dane_name_tlsa(const char *base, uint16_t port, char out[DANE_NAME_MAX]);
/*
 * An uncompressed wire name as text in lower case, "." for the root.  0: a host name (or the root) in the one form;
 * 1: well-formed but no host name (out is for showing: odd bytes are '?'); -EINVAL: malformed, out is "".
 */
int dane_name_wire(const uint8_t *wire, size_t len, char out[DANE_NAME_MAX]);

/* ---- answers ---- */

enum dane_type { DANE_A = 1, DANE_NS = 2, DANE_CNAME = 5, DANE_MX = 15, DANE_AAAA = 28, DANE_TLSA = 52 };
const char *dane_type_name(uint16_t type); /* "TLSA"; "TYPE" for others */

/*
 * RFC 7672 2.1.1.  A denial is NODATA or NXDOMAIN; an insecure one (opt-out, unsigned zone) is as normal as a
 * secure one.
 */
enum dane_answer { DANE_FAILED, DANE_SECURE, DANE_INSECURE, DANE_DENIED_SECURE, DANE_DENIED_INSECURE };
const char *dane_answer_name(enum dane_answer a); /* "failed", "secure", … */
static inline bool dane_has_data(enum dane_answer a) { return a == DANE_SECURE || a == DANE_INSECURE; }
static inline bool dane_is_denial(enum dane_answer a) { return a == DANE_DENIED_SECURE || a == DANE_DENIED_INSECURE; }

struct dane_rdata {
	const uint8_t *data;
	uint16_t len; /* any length may come, 0 too */
};

/* One answer, of the whole alias chain: SECURE only if every link is (RFC 7672 2.1.3). */
struct dane_reply {
	enum dane_answer answer;
	const char *why;       /* of FAILED: one line for people; else "" */
	const char *canonical; /* name at the end of the alias chain, in the one form; "" if there was no alias */
	bool alias;	       /* the name asked is an alias (canonical may be "" if it is no host name) */
	bool bogus;	       /* of FAILED: validation failed (TLSRPT dnssec-invalid), not the transport */
	uint32_t ttl;	       /* seconds this may be kept; 0 for FAILED */
	size_t count;
	const struct dane_rdata *rdata;
};

/* ---- TLSA records ---- */

enum dane_usage { DANE_PKIX_TA = 0, DANE_PKIX_EE = 1, DANE_TA = 2, DANE_EE = 3 };
enum dane_selector { DANE_CERT = 0, DANE_SPKI = 1 };
enum dane_mtype { DANE_FULL = 0, DANE_SHA256 = 1, DANE_SHA512 = 2 };

struct dane_record {
	uint8_t usage, selector, mtype;
	uint16_t len; /* of data, the certificate association data */
	const uint8_t *data;
};

/* Why a record cannot be used.  An unusable record still is a promise of TLS (RFC 7672 2.2). */
enum dane_fault {
	DANE_USABLE,
	DANE_BAD_SHORT,	   /* RDATA of 0 to 3 bytes: no association data */
	DANE_BAD_USAGE,	   /* PKIX-TA(0) and PKIX-EE(1) are not for SMTP (RFC 7672 3.1.3); unassigned, private */
	DANE_BAD_SELECTOR,
	DANE_BAD_MTYPE,	   /* unassigned, private, or not among the digests configured */
	DANE_BAD_LENGTH,   /* a digest of the wrong length */
	DANE_BAD_DER	   /* Full(0) that is no certificate or key */
};
const char *dane_fault_text(enum dane_fault f); /* a sentence */

#define DANE_DIGESTS_MAX 4
#define DANE_USAGES_SMTP ((1u << DANE_TA) | (1u << DANE_EE))	   /* RFC 7672 3.1 */
#define DANE_USAGES_CLIENT ((1u << DANE_EE) | (1u << DANE_TA) | 3u) /* draft-ietf-dance-client-auth 5: all four */

struct dane_rules {
	unsigned usages;		    /* bit per usage; 0: DANE_USAGES_SMTP */
	uint8_t digests[DANE_DIGESTS_MAX]; /* matching types but Full(0), strongest first; none: SHA-512, SHA-256 */
	size_t digest_count;
};

/*
 * Splits RDATA of any length and judges it (rules NULL: SMTP's).  r is filled as far as the bytes go (r->data
 * points into rdata), for showing; only DANE_USABLE may be given to tls.
 */
enum dane_fault dane_record_read(const struct dane_rules *rules, const uint8_t *rdata, size_t len,
				 struct dane_record *r);
/* "3 1 1 8d4a…", whole; returns what snprintf would. */
int dane_record_text(const struct dane_record *r, char *out, size_t size);

/* An owned set: one allocation, data behind the array. */
struct dane_records {
	size_t count;
	struct dane_record record[];
};

/*
 * The records of an RRset that decide: usable ones only, then digest agility (RFC 7671 9: for each usage and
 * selector all Full(0) and those of the strongest digest).  Never NULL; count 0 if none.  free() it.
 */
struct dane_records *dane_records_usable(const struct dane_rules *rules, const struct dane_rdata *rdata, size_t count);
struct dane_records *dane_records_copy(const struct dane_records *r);

/*
 * A digest of the set, the base domain and the reference names, independent of record order: the key under which
 * sessions and verdicts are cached, so that a change of records begins anew.  Not for adversaries to collide on
 * purpose: 128 bits of it, out of two independent 64-bit mixes.
 */
struct dane_key {
	uint64_t word[2];
};
struct dane_key dane_records_key(const struct dane_records *r, const char *base, const char (*names)[DANE_NAME_MAX],
				 size_t name_count);

/* ---- what follows: duties ---- */

enum dane_duty {
	DANE_UNDECIDED,	   /* questions are open */
	DANE_NONE,	   /* no DANE for this host: opportunistic TLS, clear text is not forbidden by DANE */
	DANE_TLS_REQUIRED, /* records exist, none usable: TLS is a must, unauthenticated; never clear text */
	DANE_AUTHENTICATE, /* TLS and a match with records are a must */
	DANE_UNREACHABLE,  /* this host must be passed over: reason */
	DANE_TRY_HOSTS,	   /* of an outcome: hosts stand in order, each with its own duty */
	DANE_DEFER,	   /* of an outcome: try again later: reason (hosts, if any, are all unreachable) */
	DANE_BOUNCE	   /* of an outcome: it takes no mail: reason (null MX: 556 5.1.10) */
};
const char *dane_duty_name(enum dane_duty d);

/* Finer than the duty, for counters, logs and TLSRPT. */
enum dane_why {
	DANE_WHY_UNDECIDED,
	DANE_WHY_RECORDS,	 /* secure, usable records */
	DANE_WHY_UNUSABLE,	 /* secure records, none usable */
	DANE_WHY_NO_TLSA,	 /* a denial */
	DANE_WHY_TLSA_INSECURE,	 /* an RRset nobody vouches for */
	DANE_WHY_TLSA_FAILED,
	DANE_WHY_TLSA_BOGUS,
	DANE_WHY_HOST_INSECURE,	 /* address records (and the alias) insecure: TLSA not asked */
	DANE_WHY_ADDRESS_FAILED,
	DANE_WHY_ADDRESS_BOGUS,
	DANE_WHY_ALIAS_FAILED,	 /* the CNAME question of an insecure alias failed */
	DANE_WHY_NO_ADDRESS,
	DANE_WHY_LITERAL,	 /* an address, not a name */
	DANE_WHY_BAD_NAME,	 /* no host name */
	DANE_WHY_MX_INSECURE,	 /* policy does not use DANE behind an insecure MX */
	DANE_WHY_MX_FAILED,
	DANE_WHY_MX_BOGUS,
	DANE_WHY_MX_MALFORMED,	 /* MX RDATA of which nothing can be used */
	DANE_WHY_NULL_MX,
	DANE_WHY_NO_MAIL,	 /* neither MX nor address */
	DANE_WHY_MX		 /* hosts follow */
};
const char *dane_why_name(enum dane_why w); /* "no_tlsa" */

/* RFC 7672 2.2.1: what an insecure MX RRset (or an insecure denial of it) lets us do. */
enum dane_insecure_mx {
	DANE_INSECURE_MX_MAY,	  /* opportunistic TLS, TLSA not asked (default) */
	DANE_INSECURE_MX_ENCRYPT, /* TLSA asked; secure records make TLS a must, unauthenticated */
	DANE_INSECURE_MX_DANE	  /* TLSA asked; authenticated, to be logged "Trusted", never "Verified" */
};

struct dane_settings {
	struct dane_rules rules;
	enum dane_insecure_mx insecure_mx;
};

#define DANE_REASON_MAX 400
#define DANE_NAMES_MAX 3
#define DANE_HOSTS_MAX 32     /* MX hosts looked at, the preferred ones first */
#define DANE_ADDRESSES_MAX 32 /* addresses of one host and family */

struct dane_host {
	char name[DANE_NAME_MAX];	/* as the MX record or the configuration says, unexpanded: for logs */
	uint16_t preference;		/* of the MX record */
	uint16_t port;
	enum dane_duty duty;		/* NONE, TLS_REQUIRED, AUTHENTICATE or UNREACHABLE */
	enum dane_why why;
	char reason[DANE_REASON_MAX];	/* one sentence without a full stop */
	bool secure_choice;		/* MX or its denial secure, or configured: only then is a match "Verified" */

	struct in6_addr addresses[2 * DANE_ADDRESSES_MAX]; /* v4-mapped for IPv4; IPv6 first */
	size_t address_count;
	enum dane_answer a, aaaa;	/* what the two questions brought */
	char expanded[DANE_NAME_MAX];	/* the end of the host's alias chain, "" if it is no alias */

	/* AUTHENTICATE and TLS_REQUIRED */
	char base[DANE_NAME_MAX];	/* TLSA base domain; also the SNI to send (RFC 7672 8.1) */
	char names[DANE_NAMES_MAX][DANE_NAME_MAX]; /* reference names for DANE-TA (RFC 7672 3.2.2); names[0] is base */
	size_t name_count;
	struct dane_records *records;	/* usable, after digest agility; NULL but for AUTHENTICATE */
	struct dane_key key;		/* of AUTHENTICATE: dane_records_key() */

	/* for people: the last TLSA question and all it brought, unusable records too */
	char tlsa_name[DANE_NAME_MAX];	/* "" if TLSA was not asked */
	enum dane_answer tlsa;
	struct dane_rdata *tlsa_rdata;
	size_t tlsa_count;
	uint32_t ttl;			/* seconds: the least of the answers that led to the duty; 0: do not keep */
};

struct dane_outcome {
	enum dane_duty duty;	/* TRY_HOSTS, DEFER or BOUNCE; UNDECIDED until the plan is done */
	enum dane_why why;
	char reason[DANE_REASON_MAX];
	enum dane_answer mx;	/* meaningless for one host */
	bool implicit_mx;	/* no MX: the domain itself is the host */
	char expanded[DANE_NAME_MAX]; /* the end of the domain's alias chain, "" if it is no alias */
	struct dane_host *hosts; /* in the order to try them: by preference, then by name */
	size_t host_count;
	size_t hosts_left_out;	/* MX records beyond DANE_HOSTS_MAX */
	uint32_t ttl;		/* of the MX answer */
};

/* ---- the planner ---- */

struct dane_plan;

struct dane_question {
	char name[DANE_NAME_MAX];
	uint16_t type;	/* enum dane_type */
	unsigned id;	/* to be given back with the answer */
};

/* set NULL: the defaults.  A host somebody configured (a backend, a relay): the choice itself counts as secure. */
struct dane_plan *dane_plan_host(const struct dane_settings *set, const char *host, uint16_t port);
/* All of RFC 7672 2.2 for a recipient domain: MX, order, each host. */
struct dane_plan *dane_plan_domain(const struct dane_settings *set, const char *domain, uint16_t port);
void dane_plan_free(struct dane_plan *p); /* with its outcome */

/*
 * The next question that may be asked now; ask all there are, answers may come in any order.  false: none for the
 * moment: wait for answers, or the plan is over.
 */
bool dane_plan_next(struct dane_plan *p, struct dane_question *q);
/* r is read, not kept.  An answer given twice or for a question never asked is a bug of the caller. */
void dane_plan_answer(struct dane_plan *p, unsigned id, const struct dane_reply *r);
bool dane_plan_done(const struct dane_plan *p);
const struct dane_outcome *dane_plan_outcome(const struct dane_plan *p); /* complete once done; lives as long as p */

/* ---- client MTAs: which names may prove who a client is ---- */

enum dane_source { DANE_FROM_EXTENSION, DANE_FROM_EHLO, DANE_FROM_CERTIFICATE, DANE_FROM_BOTH };
const char *dane_source_name(enum dane_source s); /* "extension", "ehlo", "certificate", "ehlo+certificate" */

struct dane_owner {
	char owner[DANE_NAME_MAX];    /* where to ask TLSA */
	char identity[DANE_NAME_MAX]; /* the name a match proves: owner itself for the extension */
	enum dane_source source;
};

#define DANE_CLIENT_NAMES_MAX 4
#define DANE_OWNERS_MAX (1 + 2 * DANE_CLIENT_NAMES_MAX)

/*
 * Owner names to ask, best first: the extension's name verbatim; then, for the EHLO name and the certificate's
 * dNSNames (no wildcards, at least two labels, doubles once, DANE_CLIENT_NAMES_MAX of them at most),
 * "_smtp-client.<name>" and "_25._tcp.<name>".  ext and ehlo may be NULL.  Returns how many.
 */
size_t dane_client_owners(const char *ext, const char *ehlo, const char *const *dns_names, size_t dns_name_count,
			  struct dane_owner out[DANE_OWNERS_MAX]);

/* ---- client MTAs: the verdict ---- */

enum dane_verdict {
	DANE_UNASKED,	   /* policy does not ask, or not yet known */
	DANE_VERIFIED,	   /* the client holds a key that the zone of ->identity publishes */
	DANE_NO_PROOF,	   /* no certificate, or securely no (usable) record for any of its names */
	DANE_UNSIGNED,	   /* records, but nobody vouches for them */
	DANE_MISMATCH,	   /* secure records, and none of them matches */
	DANE_LOOKUP_FAILED, /* cannot be told: a look-up failed, a zone is bogus, validation does not work */
	DANE_VERDICTS
};
const char *dane_verdict_name(enum dane_verdict v); /* "verified", "none", "insecure", "mismatch", "lookup_failed"; "-" */

enum dane_match { DANE_MATCHES, DANE_MATCHES_NOT, DANE_MATCH_FAILED };
/* Does the client's chain match one of these (usable) records?  why: room for a line; *record: which one. */
typedef enum dane_match dane_matcher(void *ctx, const struct dane_records *records, const char *identity, int *record,
				     char why[DANE_REASON_MAX]);

/* What was asked for one owner name, and what came of it. */
struct dane_heard {
	bool asked, answered;
	enum dane_answer answer;
	uint32_t ttl;
	size_t records, usable;
	enum dane_match match; /* meaningful if usable */
	char why[160];	       /* of a failure or a mismatch */
};

/*
 * One client under judgement.  Names are tried one after the other, best first, both owner names of one at a time,
 * so that a client costs two look-ups at a time and most cost no more in all.  A match ends it; else what counts
 * is, in this order: something failed, something did not match, records nobody vouches for, nothing.  So while any
 * look-up fails nothing is held against the client for good.
 */
struct dane_client {
	struct dane_owner owners[DANE_OWNERS_MAX];
	struct dane_heard heard[DANE_OWNERS_MAX];
	size_t count, next, open;
	bool done;
	/* once done: */
	enum dane_verdict verdict;
	size_t by;			/* the owner that decided; count if none did */
	char identity[DANE_NAME_MAX];	/* of VERIFIED */
	int record;			/* of VERIFIED: index among the usable records */
	uint32_t ttl;			/* seconds the verdict may be kept: the records', of what proves nothing the
					   least of all answers; 0: not at all */
	char reason[DANE_REASON_MAX];	/* one sentence without a full stop */
};

/* ext, ehlo, dns_names as for dane_client_owners().  May be done at once: no name to ask. */
void dane_client_begin(struct dane_client *c, const char *ext, const char *ehlo, const char *const *dns_names, size_t dns_name_count);
/* The next question that may be asked now; its id is the owner's index.  False: none for the moment, or done. */
bool dane_client_next(struct dane_client *c, struct dane_question *q);
/* match NULL (explaining only): no record matches.  Questions still open when it is done need no answer. */
void dane_client_answer(struct dane_client *c, unsigned id, const struct dane_reply *r, dane_matcher *match, void *ctx);

#endif
