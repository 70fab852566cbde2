/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One host of a plan: its questions and its duty.  Only for dane_plan.c; everyone else uses dane.h.
 */
#ifndef DANELAW_DANE_HOST_H
#define DANELAW_DANE_HOST_H

#include "userspace/dane.h"

/* How the host was found: decides the reference names and what a secure choice is. */
enum dane_origin { DANE_ORIGIN_MX, DANE_ORIGIN_IMPLICIT, DANE_ORIGIN_CONFIGURED };

enum dane_host_question { HOST_AAAA, HOST_A, HOST_CNAME, HOST_TLSA_1, HOST_TLSA_2, HOST_QUESTIONS };

struct dane_run {
	struct dane_host *host; /* of the outcome; its name, port and secure_choice are set */
	const struct dane_settings *set;
	enum dane_origin origin;
	const char *nexthop, *nexthop_expanded; /* the domain asked for; "" if there is none */
	uint8_t wanted, asked, answered;	/* bit per question */
	bool alias, ttl_known;
	char address_why[2][DANE_REASON_MAX / 2]; /* by question: why it failed */
	bool address_bogus;
	char candidates[2][DANE_NAME_MAX]; /* TLSA base domains, in order */
	size_t candidate_count;
};

void dane_run_start(struct dane_run *run);
void dane_run_question(const struct dane_run *run, enum dane_host_question which, struct dane_question *q);
void dane_run_answer(struct dane_run *run, enum dane_host_question which, const struct dane_reply *r);

/* A sentence into a reason, cut where it does not fit. */
void dane_say(char out[DANE_REASON_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
