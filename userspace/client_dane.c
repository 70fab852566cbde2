/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/client_dane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "userspace/client_cache.h"

/* One open question. */
struct asked {
	struct dns_query query; /* first: cast back from it */
	struct client_judging *judging;
	unsigned id;
};

struct client_judging {
	struct client_dane *c;
	struct tls *tls;
	struct client_judgement *out;
	void (*done)(void *ctx);
	void *ctx;
	struct client_key key;
	struct dane_client dane;
	struct asked asked[DANE_OWNERS_MAX];
};

struct client_dane {
	struct ring_socket sock; /* first: the inbox's descriptor */
	struct client_dane_settings set;
	struct dns_inbox *inbox;
	struct client_cache *cache;
	bool closed;
};

/* ---- a judgement ---- */

static const enum counter counts[DANE_VERDICTS] = {
	[DANE_VERIFIED] = COUNT_client_verified,       [DANE_NO_PROOF] = COUNT_client_none,
	[DANE_UNSIGNED] = COUNT_client_insecure,       [DANE_MISMATCH] = COUNT_client_mismatch,
	[DANE_LOOKUP_FAILED] = COUNT_client_lookup_failed,
};

static void say(struct client_judgement *out, enum dane_verdict verdict, const char *text)
{
	memset(out, 0, sizeof(*out));
	out->verdict = (uint8_t)verdict;
	out->record = -1;
	snprintf(out->text, sizeof(out->text), "%.159s", text);
}

static void take_verdict(struct client_judgement *out, const struct dane_client *d)
{
	say(out, d->verdict, d->reason);
	out->ttl = d->ttl;
	if (d->verdict != DANE_VERIFIED)
		return;
	out->source = (uint8_t)d->owners[d->by].source;
	out->record = (int16_t)d->record;
	memcpy(out->identity, d->identity, sizeof(out->identity));
}

static enum dane_match match(void *ctx, const struct dane_records *records, const char *identity, int *record,
			     char why[DANE_REASON_MAX])
{
	struct client_judging *j = ctx;
	struct tls_judgement out;

	tls_judge_client(j->tls, records->record, records->count, &identity, 1, &out);
	*record = out.record;
	snprintf(why, DANE_REASON_MAX, "%s", out.text);
	if (out.verdict == TLS_JUDGE_FAILED)
		return DANE_MATCH_FAILED;
	return out.verdict == TLS_MATCH ? DANE_MATCHES : DANE_MATCHES_NOT;
}

static void judging_free(struct client_judging *j)
{
	for (size_t i = 0; i < j->dane.count; i++)
		dns_cancel(&j->asked[i].query);
	__atomic_sub_fetch(j->c->set.in_flight, 1, __ATOMIC_RELAXED);
	stats_add(j->c->set.stats, COUNT_client_judging, -1);
	free(j);
}

/*
 * Without working validation every answer would look like "nobody vouches for it".  At the start it is not known yet:
 * then the questions are asked, and it must be known when they are answered.
 */
static bool validation_works(struct client_dane *c, bool may_be_unknown, struct client_judgement *out)
{
	struct dns_health health;

	dns_health(c->set.dns, &health);
	if (health.state == DNS_VALIDATES || (may_be_unknown && health.state == DNS_UNKNOWN))
		return true;
	say(out, DANE_LOOKUP_FAILED, health.text);
	out->broken = true;
	return false;
}

static void finish(struct client_judging *j)
{
	struct client_dane *c = j->c;

	if (validation_works(c, false, j->out))
		take_verdict(j->out, &j->dane);
	client_cache_put(c->cache, &j->key, ring_now(c->set.ring), j->out);
	stats_add(c->set.stats, counts[j->out->verdict], 1);
}

static void on_answer(struct dns_query *query, const struct dane_reply *r);

static void ask_all(struct client_judging *j)
{
	struct dane_question q;

	while (dane_client_next(&j->dane, &q)) {
		struct asked *a = &j->asked[q.id];

		a->judging = j;
		a->id = q.id;
		dns_ask(j->c->inbox, &a->query, q.name, q.type, on_answer);
	}
}

static void on_answer(struct dns_query *query, const struct dane_reply *r)
{
	struct asked *a = (struct asked *)query;
	struct client_judging *j = a->judging;

	dane_client_answer(&j->dane, a->id, r, match, j);
	if (!j->dane.done) {
		ask_all(j);
		return;
	}
	void (*done)(void *ctx) = j->done;
	void *ctx = j->ctx;

	finish(j);
	judging_free(j);
	done(ctx);
}

/* A place among the judgements that may wait, or none. */
static bool take_place(struct client_dane *c, struct client_judgement *out)
{
	if (__atomic_add_fetch(c->set.in_flight, 1, __ATOMIC_RELAXED) <= c->set.in_flight_max)
		return true;
	__atomic_sub_fetch(c->set.in_flight, 1, __ATOMIC_RELAXED);
	stats_add(c->set.stats, COUNT_client_judgements_refused, 1);
	say(out, DANE_LOOKUP_FAILED, "too many judgements at a time");
	return false;
}

static struct client_judging *begin(struct client_dane *c, struct tls *tls, const struct tls_peer *peer, const struct client_key *key,
				    const char *ehlo)
{
	const char *names[TLS_PEER_NAMES];
	struct client_judging *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	for (size_t i = 0; i < peer->name_count; i++)
		names[i] = peer->names[i];
	j->c = c;
	j->tls = tls;
	j->key = *key;
	dane_client_begin(&j->dane, peer->client_id[0] ? peer->client_id : NULL, ehlo, names, peer->name_count);
	return j;
}

/* Whether *out is known without asking anybody. */
static bool known(struct client_dane *c, const struct tls_peer *peer, const struct client_key *key, struct client_judgement *out)
{
	if (!peer) {
		say(out, DANE_NO_PROOF, "the client showed no certificate");
		out->ttl = CLIENT_DANE_NONE_TTL_S;
		return true;
	}
	if (client_cache_find(c->cache, key, ring_now(c->set.ring), out)) {
		stats_add(c->set.stats, COUNT_client_cached, 1);
		return true;
	}
	return !validation_works(c, true, out);
}

struct client_judging *client_dane_judge(struct client_dane *c, struct tls *tls, const char *ehlo, struct client_judgement *out,
					 void (*done)(void *ctx), void *ctx)
{
	const struct tls_peer *peer = tls_peer(tls);
	struct client_judging *j = NULL;
	struct client_key key;

	if (peer)
		client_key_set(&key, peer->cert_sha256, ehlo, peer->client_id);
	if (!known(c, peer, &key, out) && take_place(c, out)) {
		stats_add(c->set.stats, COUNT_client_judging, 1);
		j = begin(c, tls, peer, &key, ehlo);
		if (!j) {
			__atomic_sub_fetch(c->set.in_flight, 1, __ATOMIC_RELAXED);
			stats_add(c->set.stats, COUNT_client_judging, -1);
			say(out, DANE_LOOKUP_FAILED, "out of memory");
		}
	}
	if (!j) {
		stats_add(c->set.stats, counts[out->verdict], 1);
		return NULL;
	}
	j->out = out;
	j->done = done;
	j->ctx = ctx;
	if (!j->dane.done) {
		ask_all(j);
		return j;
	}
	finish(j);
	judging_free(j);
	return NULL;
}

void client_dane_cancel(struct client_judging *j, const char *why)
{
	struct client_dane *c = j->c;

	say(j->out, DANE_LOOKUP_FAILED, why);
	stats_add(c->set.stats, counts[DANE_LOOKUP_FAILED], 1);
	judging_free(j);
}

/* ---- tickets ---- */

bool client_dane_carried(const struct tls *tls, struct client_judgement *out)
{
	const struct tls_carried *c = tls_carried(tls);
	int64_t left = c ? c->expires - (int64_t)time(NULL) : 0;

	/* LOOKUP_FAILED is never sent, and a later version's numbers mean nothing to this one */
	if (left <= 0 || c->verdict == DANE_UNASKED || c->verdict >= DANE_LOOKUP_FAILED)
		return false;
	say(out, (enum dane_verdict)c->verdict, "carried by the ticket of a resumed session");
	memcpy(out->identity, c->identity, sizeof(out->identity));
	out->carried = true;
	out->ttl = (uint32_t)left;
	return true;
}

void client_dane_send_ticket(struct tls *tls, const struct client_judgement *j)
{
	struct tls_carried c = { .verdict = j->verdict, .expires = (int64_t)time(NULL) + j->ttl };

	if (!j->ttl || j->verdict == DANE_LOOKUP_FAILED)
		return;
	memcpy(c.identity, j->identity, sizeof(c.identity));
	tls_send_verdict(tls, &c); /* with TLS 1.2 there is none, and each session is judged anew */
}

const char *client_judgement_text(const struct client_judgement *j, char *out)
{
	const char *name = dane_verdict_name((enum dane_verdict)j->verdict);

	snprintf(out, DANE_NAME_MAX + 16, "%s%s%s", name, j->identity[0] ? ":" : "", j->identity);
	return out;
}

/* ---- the object ---- */

static void on_readable(struct ring_socket *s)
{
	struct client_dane *c = (struct client_dane *)s;

	dns_collect(c->inbox);
	stats_add(c->set.stats, COUNT_client_cache_entries,
		  (int64_t)client_cache_count(c->cache) - (int64_t)c->set.stats->count[COUNT_client_cache_entries]);
}

static void on_closed(struct ring_socket *s)
{
	((struct client_dane *)s)->closed = true;
}

static const struct ring_handler handler = { .readable = on_readable, .closed = on_closed };

struct client_dane *client_dane_start(const struct client_dane_settings *set)
{
	struct client_dane *c = calloc(1, sizeof(*c));
	int fd = -1;

	if (!c)
		return NULL;
	c->set = *set;
	c->cache = client_cache_new(set->cache_max);
	c->inbox = dns_inbox_open(set->dns);
	if (c->inbox)
		fd = dup(dns_inbox_fd(c->inbox));
	if (!c->cache || fd < 0) {
		if (c->inbox)
			dns_inbox_close(c->inbox);
		client_cache_free(c->cache);
		free(c);
		return NULL;
	}
	ring_socket_init(&c->sock, &handler);
	ring_adopt(set->ring, &c->sock, fd);
	ring_watch(set->ring, &c->sock);
	return c;
}

void client_dane_stop(struct client_dane *c)
{
	dns_inbox_close(c->inbox);
	ring_close(c->set.ring, &c->sock, false);
}

bool client_dane_idle(const struct client_dane *c)
{
	return c->closed;
}

void client_dane_free(struct client_dane *c)
{
	if (!c)
		return;
	client_cache_free(c->cache);
	free(c);
}
