// SPDX-License-Identifier: BSD-2-Clause
/*
 * danelawctl check --backend and --client: a judgement of the running edge, in the manner of check DOMAIN.  What the edge
 * knows comes through the control socket; a backend is looked at from here as well, with the edge's own records.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check.h"
#include "tools/ctl.h"

enum { RECORDS_MAX = 64, RECORD_BYTES = 512, CA_MAX = 1 << 20 };

/* ---- a backend: the edge's target as a host to dial ---- */

struct seen {
	struct dane_outcome outcome;
	struct dane_host host;
	uint8_t bytes[RECORDS_MAX][RECORD_BYTES];
};

static size_t read_hex(const char *text, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned byte;

	for (; n < max && sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
		out[n] = (uint8_t)byte;
	return text[2 * n] ? 0 : n;
}

/* "3 1 1 8d4a…", or a pin: a key's digest is what a record 3 1 1 says. */
static void add_record(struct seen *s, const char *text, bool pin)
{
	struct dane_records *set = s->host.records;
	unsigned usage = DANE_EE, selector = DANE_SPKI, mtype = DANE_SHA256;
	int at = 0;

	if (set->count == RECORDS_MAX || (!pin && (sscanf(text, "%u %u %u %n", &usage, &selector, &mtype, &at) != 3 || !at)))
		return;
	size_t len = read_hex(text + at, s->bytes[set->count], RECORD_BYTES);

	if (!len) /* a Full(0) record, which is told in short: it cannot be compared here */
		return;
	set->record[set->count] = (struct dane_record){ (uint8_t)usage, (uint8_t)selector, (uint8_t)mtype, (uint16_t)len,
							s->bytes[set->count] };
	set->count++;
}

static void add_address(struct dane_host *h, const char *text)
{
	char host[NET_TEXT_MAX];
	uint16_t port;

	if (h->address_count < 2 * DANE_ADDRESSES_MAX && !net_split_host_port(text, h->port, host, sizeof(host), &port) &&
	    !net_parse_ip(host, &h->addresses[h->address_count])) {
		h->port = port;
		h->address_count++;
	}
}

/* The CAs of tls = ca, read here as the edge read them when it started; malloc'd.  NULL: there are none, or not for us. */
static char *read_ca(const json_t *b, size_t *len)
{
	const char *path = ctl_text(b, "ca");
	FILE *in = *path ? fopen(path, "re") : NULL;
	char *text = in ? malloc(CA_MAX) : NULL;

	*len = text ? fread(text, 1, CA_MAX, in) : 0;
	if (in)
		fclose(in);
	else if (*path)
		fprintf(stderr, "danelawctl check: %s: %s; the certificate is not judged here\n", path, strerror(errno));
	if (*len)
		return text;
	free(text);
	return NULL;
}

static struct seen *seen_new(const json_t *b, bool by_ca)
{
	const json_t *target = json_object_get(b, "target"), *item;
	const char *duty = ctl_text(target, "duty"), *kind = ctl_text(target, "judged_by");
	struct seen *s = calloc(1, sizeof(*s));
	size_t i;

	if (!s || !(s->host.records = calloc(1, sizeof(struct dane_records) + RECORDS_MAX * sizeof(struct dane_record))))
		abort();
	struct dane_host *h = &s->host;

	s->outcome = (struct dane_outcome){ .duty = DANE_TRY_HOSTS, .why = DANE_WHY_MX, .hosts = h, .host_count = 1 };
	snprintf(h->name, sizeof(h->name), "%s", ctl_text(b, "host"));
	snprintf(h->base, sizeof(h->base), "%s", ctl_text(target, "sni"));
	h->port = (uint16_t)ctl_number(b, "port");
	h->secure_choice = true;
	if (!h->base[0])
		h->why = DANE_WHY_LITERAL; /* no SNI */
	json_array_foreach(json_object_get(target, "addresses"), i, item)
		add_address(h, json_string_value(item));
	json_array_foreach(json_object_get(target, "names"), i, item)
		if (h->name_count < DANE_NAMES_MAX)
			snprintf(h->names[h->name_count++], DANE_NAME_MAX, "%s", json_string_value(item));
	json_array_foreach(json_object_get(target, "records"), i, item)
		add_record(s, json_string_value(item), false);
	json_array_foreach(json_object_get(target, "pins"), i, item)
		add_record(s, json_string_value(item), true);
	/* where the CAs of tls = ca cannot be read the edge's own word counts */
	h->duty = !strcmp(duty, "verified") && (h->records->count || by_ca) ? DANE_AUTHENTICATE :
		  !strcmp(duty, "verified") || !strcmp(duty, "tls") ? DANE_TLS_REQUIRED : DANE_NONE;
	snprintf(h->reason, sizeof(h->reason), "tls = %s asks for nothing", kind);
	return s;
}

static void seen_free(struct seen *s)
{
	free(s->host.records);
	free(s);
}

/* ---- what the edge concludes ---- */

static enum check_verdict verdict_of(const json_t *b)
{
	const char *state = ctl_text(b, "state"), *duty = ctl_text(json_object_get(b, "target"), "duty");

	if (!strcmp(state, "unverified") || !strcmp(state, "lookup failed") || !strcmp(state, "bogus"))
		return CHECK_DEFER;
	if (strcmp(state, "up"))
		return CHECK_UNKNOWN;
	return !strcmp(duty, "verified") ? CHECK_VERIFIED : !strcmp(duty, "tls") ? CHECK_TLS_REQUIRED : CHECK_NO_DANE;
}

static void reason_of(const json_t *b, enum check_verdict v, char *out, size_t size)
{
	const char *kind = ctl_text(json_object_get(b, "target"), "judged_by"), *why = ctl_text(b, "why");
	char since[CTL_DURATION_MAX];

	ctl_duration(ctl_number(b, "since_ms"), since);
	if (v == CHECK_VERIFIED)
		snprintf(out, size, "The edge has it up for %s, its certificate vouched for by %s", since, kind);
	else if (v == CHECK_TLS_REQUIRED)
		snprintf(out, size, "The edge has it up for %s, over TLS; none of its records can be used", since);
	else if (v == CHECK_NO_DANE)
		snprintf(out, size, "The edge has it up for %s, and tls = %s vouches for nothing here", since, kind);
	else if (v == CHECK_DEFER)
		snprintf(out, size, "The edge has it out (%s) for %s: %s", ctl_text(b, "state"), since, why);
	else
		snprintf(out, size, "The edge has it %s for %s%s%s", ctl_text(b, "state"), since, *why ? ": " : "", why);
}

static void tell_list(const char *label, const json_t *list)
{
	const json_t *item;
	char left[600];
	size_t i;

	json_array_foreach(list, i, item) {
		snprintf(left, sizeof(left), "%-12s  %s", i ? "" : label, json_string_value(item));
		check_tell_row(stdout, "", left);
	}
}

/* A record is published, a pin is configured; what a CA asks for is known to the edge alone. */
static void mend_backend(const json_t *target, const struct check *c, const struct check_try *t, char *out, size_t size)
{
	const char *kind = ctl_text(target, "judged_by");
	char hex[65] = "";

	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", t->peer.spki_sha256[i]);
	out[0] = '\0';
	if (!strcmp(kind, "pin") && t->peer_known && t->judgement.verdict == TLS_NO_MATCH)
		snprintf(out, size, "add \"%s\" to its pins, or serve the old key again", hex);
	else if (!strcmp(kind, "dane") || t->seen != CHECK_TLS)
		check_mend(c, &c->hosts[0], t, out, size);
}

static void tell_backend(const json_t *b, const struct check *c, enum check_verdict v, const char *reason)
{
	const json_t *target = json_object_get(b, "target");
	const struct check_host *h = &c->hosts[0];
	char left[600], text[1200];

	printf("%s, %s:%llu\n", ctl_text(b, "name"), ctl_text(b, "host"), (unsigned long long)ctl_number(b, "port"));
	snprintf(left, sizeof(left), "%-12s  %s, duty: %s", "judged by", ctl_text(target, "judged_by"), ctl_text(target, "duty"));
	check_tell_row(stdout, "", left);
	tell_list("addresses", json_object_get(target, "addresses"));
	tell_list("names", json_object_get(target, "names"));
	tell_list("records", json_object_get(target, "records"));
	tell_list("pins", json_object_get(target, "pins"));
	for (size_t i = 0; i < h->try_count; i++)
		check_tell_try(h, &h->tries[i], stdout);
	check_tell_verdict(v, reason, stdout);
	if (v == CHECK_DEFER)
		printf("           Sessions go to another backend; where none is left, senders are told 451 4.7.5 and keep their mail.\n");
	for (size_t i = 0; i < h->try_count; i++) {
		mend_backend(target, c, &h->tries[i], text, sizeof(text));
		if (text[0])
			printf("  mend:    %s\n", text);
	}
	if (v == CHECK_VERIFIED && c->overall == CHECK_DEFER)
		printf("  note:    what is seen from here now does not match; the edge will find out at its next session or probe\n");
}

static void json_backend(json_t *b, const struct check *c, enum check_verdict v, const char *reason)
{
	json_t *tries = json_array();

	for (size_t i = 0; i < c->hosts[0].try_count; i++)
		json_array_append_new(tries, check_try_json(c, &c->hosts[0], &c->hosts[0].tries[i]));
	ctl_print_json(json_pack("{s:O, s:s, s:s, s:O, s:o}", "backend", json_object_get(b, "name"), "verdict", check_verdict_name(v),
				 "reason", reason, "edge", b, "addresses", tries));
}

static enum check_proxy proxy_of(const json_t *b)
{
	const char *how = ctl_text(b, "client_address");

	return !strcmp(how, "proxy-v2") ? CHECK_PROXY_V2 : !strcmp(how, "proxy-v1") ? CHECK_PROXY_V1 : CHECK_PROXY_NONE;
}

int check_backend(const struct ctl *ctl, const char *name, const struct check_dialling *how, bool json)
{
	int status;
	json_t *list = ctl_ask(ctl, "backends", json_pack("{s:s}", "name", name), &status);

	if (!list)
		return check_exit_status(CHECK_UNKNOWN);
	json_t *b = json_array_get(list, 0);
	struct check_dialling dial = *how;
	char *ca = read_ca(b, &dial.ca_len);
	struct seen *s = seen_new(b, ca);
	struct check *c = check_new(ctl_text(b, "host"), &s->outcome, CHECK_IPV4 | CHECK_IPV6);
	enum check_verdict v = verdict_of(b);
	char err[256], reason[600];

	dial.proxy = proxy_of(b);
	dial.ca_pem = ca;
	if (check_dial(c, &dial, err, sizeof(err)))
		check_cannot_tell(c, err);
	else
		check_judge(c);
	reason_of(b, v, reason, sizeof(reason));
	if (json)
		json_backend(b, c, v, reason);
	else
		tell_backend(b, c, v, reason);
	check_free(c);
	seen_free(s);
	free(ca);
	json_decref(list);
	return check_exit_status(v);
}

/* ---- a client ---- */

static void tell_owner(const json_t *o)
{
	const json_t *records = json_object_get(o, "records"), *record;
	size_t i, n = json_array_size(records);
	char left[600], right[200];

	snprintf(left, sizeof(left), "%s TLSA", ctl_text(o, "name"));
	if (!*ctl_text(o, "answer"))
		snprintf(right, sizeof(right), "not asked");
	else if (n)
		snprintf(right, sizeof(right), "%s, %zu record%s", ctl_text(o, "answer"), n, n == 1 ? "" : "s");
	else
		snprintf(right, sizeof(right), "%s%s%s", ctl_text(o, "answer"), *ctl_text(o, "why") ? ": " : "", ctl_text(o, "why"));
	check_tell_row(stdout, right, left);
	json_array_foreach(records, i, record) {
		snprintf(left, sizeof(left), "    %s", json_string_value(record));
		check_tell_row(stdout, "", left);
	}
}

/* 0: a client with the right key is verified; 1: not while this lasts; 2: no key would help it; 3: validation is broken. */
static int client_status(const json_t *r)
{
	if (strcmp(ctl_text(r, "validation"), "working"))
		return 3;
	if (ctl_true(r, "provable"))
		return 0;
	return !strcmp(ctl_text(r, "without_key"), "lookup_failed") ? 1 : 2;
}

int check_client(const struct ctl *ctl, const char *name, bool json)
{
	int status;
	json_t *r = ctl_ask(ctl, "client", json_pack("{s:s}", "name", name), &status);
	const json_t *owner;
	size_t i;

	if (!r)
		return 3;
	status = client_status(r);
	if (json) {
		ctl_print_json(r);
		return status;
	}
	printf("%s\n", ctl_text(r, "name"));
	json_array_foreach(json_object_get(r, "owners"), i, owner)
		tell_owner(owner);
	printf("  a client without that key is judged: %s\n  so:      %s\n", ctl_text(r, "without_key"), ctl_text(r, "sentence"));
	json_decref(r);
	return status;
}
