// SPDX-License-Identifier: BSD-2-Clause
/*
 * The same for scripts: one JSON object.  Its keys are an interface (docs/danelawctl.8): new ones may come, none goes.
 */
#include "tools/check.h"

#include <jansson.h>
#include <stdlib.h>

static void set(json_t *o, const char *key, json_t *value)
{
	if (json_object_set_new(o, key, value))
		abort();
}

/* NULL or "": null.  Names and a peer's words are ASCII by the time they are here; what is not UTF-8 is null, too. */
static void set_text(json_t *o, const char *key, const char *text)
{
	json_t *s = text && *text ? json_string(text) : NULL;

	set(o, key, s ? s : json_null());
}

static void set_hex(json_t *o, const char *key, const uint8_t digest[32])
{
	char hex[65];

	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	set_text(o, key, hex);
}

static void set_record(json_t *o, const char *key, const struct dane_record *r)
{
	size_t size = 2 * (size_t)r->len + 16;
	char *text = malloc(size);

	if (!text)
		abort();
	dane_record_text(r, text, size);
	set_text(o, key, text);
	free(text);
}

static const char *seen_name(enum check_seen seen)
{
	static const char *const names[] = {
		[CHECK_NOT_TRIED] = "not-tried",  [CHECK_NO_CONNECTION] = "no-connection", [CHECK_NO_SMTP] = "no-smtp",
		[CHECK_NO_STARTTLS] = "not-offered", [CHECK_REFUSED] = "refused",	   [CHECK_LOST] = "timed-out",
		[CHECK_NO_HANDSHAKE] = "handshake-failed", [CHECK_TLS] = "ok",
	};

	return names[seen];
}

static json_t *tls_json(const struct check_try *t)
{
	json_t *o = json_object();

	set_text(o, "version", t->version);
	set_text(o, "cipher", t->cipher);
	set_text(o, "group", t->group);
	set_text(o, "sni", t->sni);
	return o;
}

static json_t *certificate_json(const struct tls_peer *p)
{
	json_t *o = json_object(), *names = json_array();

	set_text(o, "cn", p->cn);
	for (size_t i = 0; i < p->name_count; i++)
		json_array_append_new(names, json_string(p->names[i]));
	set(o, "names", names);
	set_hex(o, "spki_sha256", p->spki_sha256);
	set_hex(o, "cert_sha256", p->cert_sha256);
	set(o, "not_before", json_integer(p->not_before));
	set(o, "not_after", json_integer(p->not_after));
	return o;
}

json_t *check_try_json(const struct check *c, const struct check_host *h, const struct check_try *t)
{
	const struct dane_record *matched = check_matched(h, t);
	char text[1200], ip[NET_TEXT_MAX];
	json_t *o = json_object();

	set_text(o, "address", net_ip_text(&t->addr.ip, ip));
	set(o, "port", json_integer(t->addr.port));
	set_text(o, "verdict", check_verdict_name(t->verdict));
	set_text(o, "reason", t->reason);
	set_text(o, "starttls", seen_name(t->seen));
	set_text(o, "said", t->why);
	set(o, "tls", t->seen == CHECK_TLS ? tls_json(t) : json_null());
	set(o, "certificate", t->peer_known ? certificate_json(&t->peer) : json_null());
	set_text(o, "judgement", t->judgement.verdict == TLS_UNJUDGED ? NULL : tls_verdict_name(t->judgement.verdict));
	if (matched)
		set_record(o, "matched", matched);
	else
		set(o, "matched", json_null());
	set(o, "depth", matched ? json_integer(t->judgement.depth) : json_null());
	check_mend(c, h, t, text, sizeof(text));
	set_text(o, "mend", text);
	check_warn(h, t, text, sizeof(text));
	set_text(o, "note", text);
	return o;
}

static json_t *tlsa_json(const struct dane_host *h)
{
	json_t *o = json_object(), *list = json_array();

	set_text(o, "name", h->tlsa_name);
	set_text(o, "answer", dane_answer_name(h->tlsa));
	for (size_t i = 0; i < h->tlsa_count; i++) {
		struct dane_record r;
		enum dane_fault fault = dane_record_read(NULL, h->tlsa_rdata[i].data, h->tlsa_rdata[i].len, &r);
		json_t *record = json_object();

		set_record(record, "record", &r);
		set(record, "usable", json_boolean(fault == DANE_USABLE));
		set_text(record, "fault", fault == DANE_USABLE ? NULL : dane_fault_text(fault));
		json_array_append_new(list, record);
	}
	set(o, "records", list);
	return o;
}

static json_t *host_json(const struct check *c, const struct check_host *h)
{
	const struct dane_host *d = h->dane;
	json_t *o = json_object(), *names = json_array(), *tries = json_array();
	bool asked = d->why != DANE_WHY_LITERAL && d->why != DANE_WHY_BAD_NAME;
	char text[1200];

	set_text(o, "name", d->name);
	set(o, "preference", json_integer(d->preference));
	set_text(o, "verdict", check_verdict_name(h->verdict));
	set_text(o, "reason", h->reason);
	set_text(o, "duty", dane_duty_name(d->duty));
	set_text(o, "why", dane_why_name(d->why));
	set_text(o, "dns_reason", d->reason);
	set_text(o, "alias_of", d->expanded);
	set_text(o, "a", asked ? dane_answer_name(d->a) : NULL);
	set_text(o, "aaaa", asked ? dane_answer_name(d->aaaa) : NULL);
	set_text(o, "base", d->base);
	for (size_t i = 0; i < d->name_count; i++)
		json_array_append_new(names, json_string(d->names[i]));
	set(o, "reference_names", names);
	set(o, "tlsa", d->tlsa_name[0] ? tlsa_json(d) : json_null());
	for (size_t i = 0; i < h->try_count; i++)
		json_array_append_new(tries, check_try_json(c, h, &h->tries[i]));
	set(o, "addresses", tries);
	check_mend(c, h, NULL, text, sizeof(text));
	set_text(o, "mend", text);
	return o;
}

void check_json(const struct check *c, FILE *out)
{
	const struct dane_outcome *d = c->outcome;
	json_t *o = json_object(), *mx = json_object(), *hosts = json_array();
	char text[1200];

	set_text(o, "domain", c->name);
	set_text(o, "overall", check_verdict_name(c->overall));
	set_text(o, "reason", c->reason);
	set_text(o, "mandatory", check_verdict_name(c->mandatory));
	set_text(o, "mandatory_reason", c->mandatory_reason);
	set_text(mx, "answer", c->mx_asked ? dane_answer_name(d->mx) : NULL);
	set_text(mx, "why", dane_why_name(d->why));
	set_text(mx, "alias_of", d->expanded);
	set(mx, "implicit", json_boolean(d->implicit_mx));
	set(mx, "ttl", json_integer(d->ttl));
	set(mx, "left_out", json_integer((json_int_t)d->hosts_left_out));
	set(o, "mx", mx);
	for (size_t i = 0; i < d->host_count; i++)
		json_array_append_new(hosts, host_json(c, &c->hosts[i]));
	set(o, "hosts", hosts);
	check_mend(c, NULL, NULL, text, sizeof(text));
	set_text(o, "mend", text);
	json_dumpf(o, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(o);
}
