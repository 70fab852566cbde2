/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client of a session, as policy and DANE see it: asked for a certificate at STARTTLS, judged at the first EHLO
 * behind it, refused at MAIL if that is what the verdict comes to, and told to log and backend.  A session whose
 * client is not asked has ->verdict NULL and comes here only at a banner of a listener that asks some.
 */
#include "userspace/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- asking ---- */

void session_ask_policy(struct session *s)
{
	s->ask = policy_ask(s->env->cfg, s->listener->cfg, &s->peer.ip);
}

int session_ask_certificate(struct session *s, struct tls *tls)
{
	if (s->ask.mode == CONFIG_CLIENT_OFF)
		return 0;
	s->verdict = calloc(1, sizeof(*s->verdict));
	if (!s->verdict)
		return -ENOMEM;
	tls_ask_certificate(tls);
	return 0;
}

/* ---- the front's lane ---- */

/* Where policy grants it a verified source keeps its way in when strangers are limited. */
static void grant_lane(struct session *s, const struct config_policy *p)
{
	const struct session_verdict *v = s->verdict;

	if (s->listener->cfg->proxy == CONFIG_PROXY_REQUIRED)
		return; /* the front sees the balancer's address, not the client's */
	if (p->lane_ms && s->env->lane && v && v->judgement.verdict == DANE_VERIFIED &&
	    lane_grant(s->env->lane, p, &s->peer.ip, v->judgement.identity))
		stats_add(s->env->stats, COUNT_client_lane, 1);
}

void session_note_history(struct session *s)
{
	const struct session_verdict *v = s->verdict;

	if (!s->env->lane || !v || v->judgement.verdict != DANE_VERIFIED || !s->relay.messages || s->relay.refused || s->errors ||
	    end_info[s->end].fault != FAULT_NONE)
		return;
	lane_note_clean(s->env->lane, v->judgement.identity, (uint32_t)(time(NULL) / 86400));
}

/* ---- judging ---- */

static void judged(struct session *s)
{
	struct session_verdict *v = s->verdict;
	const struct client_judgement *j = &v->judgement;

	v->judging = NULL;
	v->known = true;
	v->ms = v->t_begin ? ring_now(s->env->ring) - v->t_begin : 0;
	if (j->verdict == DANE_MISMATCH && s->env->lane && s->listener->cfg->proxy != CONFIG_PROXY_REQUIRED)
		lane_withdraw(s->env->lane, &s->peer.ip); /* it is not what it was when it got in */
	v->answer = (uint8_t)policy_answer(s->env->cfg, s->ask, (enum dane_verdict)j->verdict, j->identity, j->broken);
	/* also after a resumption: a ticket of TLS 1.3 is used once (RFC 8446 C.4); the verdict in it ends when it ended */
	client_dane_send_ticket(s->client.tls, j);
}

void session_take_carried(struct session *s)
{
	if (!client_dane_carried(s->client.tls, &s->verdict->judgement))
		return;
	stats_add(s->env->stats, COUNT_client_resumed, 1);
	judged(s);
}

static void on_judged(void *ctx)
{
	struct session *s = ctx;

	judged(s);
	session_run(s);
}

static void begin(struct session *s)
{
	struct session_verdict *v = s->verdict;

	v->t_begin = ring_now(s->env->ring);
	v->judging = client_dane_judge(s->env->client_dane, s->client.tls, s->helo, &v->judgement, on_judged, s);
	if (!v->judging)
		judged(s);
}

enum step_result session_judge(struct session *s)
{
	struct session_verdict *v = s->verdict;

	if (s->client.error)
		return session_end(s, END_client_reset, REPLY_COUNT);
	if (!v->known && !v->judging)
		begin(s);
	if (!v->known && s->expired) {
		s->expired = false;
		client_dane_cancel(v->judging, "no answer in time");
		judged(s);
	}
	return v->known ? STEP_MORE : session_wait(s, WAIT_VERDICT);
}

void session_end_judging(struct session *s)
{
	if (!s->verdict || !s->verdict->judging)
		return;
	client_dane_cancel(s->verdict->judging, "the session ended");
	s->verdict->judging = NULL;
}

enum reply session_refusal(const struct session *s)
{
	static const enum reply replies[] = {
		[POLICY_TAKE] = REPLY_COUNT,
		[POLICY_UNVERIFIED] = REPLY_client_unverified,
		[POLICY_MISMATCH] = REPLY_client_mismatch,
		[POLICY_OTHER_NAME] = REPLY_client_other_name,
		[POLICY_LATER] = REPLY_client_lookup,
	};

	return s->verdict && s->verdict->known ? replies[s->verdict->answer] : REPLY_COUNT;
}

/* ---- the policy that fits ---- */

bool session_choose_policy(struct session *s)
{
	const struct config *cfg = s->env->cfg;
	const struct client_judgement *j = s->verdict ? &s->verdict->judgement : NULL;

	if (s->policy >= 0)
		return true;
	int i = policy_choose(cfg, s->listener->cfg, &s->peer.ip, j ? (enum dane_verdict)j->verdict : DANE_UNASKED,
			      j ? j->identity : "");

	if (i < 0)
		return true;
	uint32_t *open = &s->env->shared->policy_sessions[i], max = cfg->policies[i].sessions;

	if (__atomic_add_fetch(open, 1, __ATOMIC_RELAXED) > max && max) {
		__atomic_sub_fetch(open, 1, __ATOMIC_RELAXED);
		session_end(s, END_policy_full, REPLY_busy);
		return false;
	}
	s->policy = (int16_t)i;
	s->relay.set = &s->listener->policy_relay[i];
	grant_lane(s, &cfg->policies[i]);
	return true;
}

void session_leave_policy(struct session *s)
{
	if (s->policy < 0)
		return;
	__atomic_sub_fetch(&s->env->shared->policy_sessions[s->policy], 1, __ATOMIC_RELAXED);
	s->policy = -1;
	s->relay.set = &s->listener->relay;
}

size_t session_pool(const struct session *s)
{
	const struct config_policy *p = s->policy < 0 ? NULL : &s->env->cfg->policies[s->policy];

	return p && p->pool_count ? p->pool[0] : s->listener->cfg->pool;
}

/* ---- telling ---- */

void session_client_facts(struct session *s, struct proxy_facts *f)
{
	const struct client_judgement *j = &s->verdict->judgement;
	const struct tls_peer *peer = tls_peer(s->client.tls);

	f->cert_seen = peer != NULL;
	f->cert_resumed = tls_facts(s->client.tls)->resumed;
	f->cert_verified = j->verdict == DANE_VERIFIED;
	f->cert_cn = peer ? peer->cn : NULL;
	f->dane_verdict = client_judgement_text(j, s->route->verdict);
	f->name = f->cert_verified ? j->identity : NULL;
}

void session_log_client(const struct session *s, struct logline *l)
{
	const struct session_verdict *v = s->verdict;
	const struct config_policy *p = s->policy < 0 ? NULL : &s->env->cfg->policies[s->policy];
	char text[DANE_NAME_MAX + 16];

	if (v && v->known) {
		logline_str(l, "client_dane", client_judgement_text(&v->judgement, text));
		logline_str(l, "client_why", v->judgement.text);
		logline_ms(l, "t_verdict", v->ms);
	} else if (v) {
		logline_str(l, "client_dane", "-");
	}
	if (p)
		logline_str(l, "policy", p->name);
	if (p && p->relay != CONFIG_RELAY_GUARD && !s->pass)
		logline_str(l, "relay_wanted", "splice");
}
