// SPDX-License-Identifier: BSD-2-Clause
/*
 * The story, for people: what was asked and seen, in the order a sender does it, what follows, what to do.
 */
#include "tools/check.h"

#include <stdarg.h>
#include <string.h>

enum { COLUMN = 50, TEXT_MAX = 1200 };

/* "  left                     right", the right side in one column where the left is short enough. */
static void row(FILE *out, const char *right, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void row(FILE *out, const char *right, const char *fmt, ...)
{
	char left[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(left, sizeof(left), fmt, ap);
	va_end(ap);
	if (*right)
		fprintf(out, "  %-*s %s\n", COLUMN - 2, left, right);
	else
		fprintf(out, "  %s\n", left);
}

/* A ttl behind an answer that has one. */
static const char *answer_text(enum dane_answer a, uint32_t ttl, char out[64])
{
	static const char *const words[] = {
		[DANE_FAILED] = "FAILED",
		[DANE_SECURE] = "secure",
		[DANE_INSECURE] = "insecure",
		[DANE_DENIED_SECURE] = "none (secure)",
		[DANE_DENIED_INSECURE] = "none (insecure)",
	};

	if (ttl && a == DANE_SECURE)
		snprintf(out, 64, "%-8s (ttl %u)", words[a], ttl);
	else
		snprintf(out, 64, "%s", words[a]);
	return out;
}

/* ---- MX ---- */

static void tell_mx(const struct check *c, FILE *out)
{
	const struct dane_outcome *o = c->outcome;
	char answer[64];

	if (!c->mx_asked)
		return;
	if (o->expanded[0] && strcmp(o->expanded, c->name))
		row(out, "", "%s is an alias of %s", c->name, o->expanded);
	answer_text(o->mx, o->ttl, answer);
	if (o->implicit_mx)
		row(out, answer, "MX            the domain itself");
	else if (o->why == DANE_WHY_NULL_MX)
		row(out, answer, "MX            0 .  (null MX, RFC 7505)");
	else if (!o->host_count)
		row(out, answer, "MX");
	for (size_t i = 0; i < o->host_count && !o->implicit_mx; i++)
		row(out, i ? "" : answer, "%-13s %u %s.", i ? "" : "MX", o->hosts[i].preference, o->hosts[i].name);
	if (o->hosts_left_out)
		row(out, "", "              and %zu more, not looked at", o->hosts_left_out);
}

/* ---- DNS of a host ---- */

static void tell_family(const struct dane_host *h, bool v4, FILE *out)
{
	enum dane_answer a = v4 ? h->a : h->aaaa;
	char list[TEXT_MAX] = "", text[NET_TEXT_MAX], answer[64];
	size_t len = 0;

	for (size_t i = 0; i < h->address_count && len < sizeof(list) - NET_TEXT_MAX; i++)
		if (net_is_v4(&h->addresses[i]) == v4)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len ? ", " : "",
						net_ip_text(&h->addresses[i], text));
	if (!len && (a == DANE_DENIED_SECURE || a == DANE_DENIED_INSECURE))
		return;
	row(out, answer_text(a, 0, answer), "%s  %s %s", h->name, v4 ? "A" : "AAAA", list);
}

static void tell_record(const struct dane_host *h, const struct dane_rdata *rdata, FILE *out)
{
	struct dane_record r;
	enum dane_fault fault = dane_record_read(NULL, rdata->data, rdata->len, &r);
	bool kept = false;
	char text[TEXT_MAX];

	check_record_short(&r, text, sizeof(text));
	for (size_t i = 0; h->records && i < h->records->count; i++) {
		const struct dane_record *k = &h->records->record[i];

		kept |= k->usage == r.usage && k->selector == r.selector && k->mtype == r.mtype && k->len == r.len &&
			!memcmp(k->data, r.data, r.len);
	}
	if (fault != DANE_USABLE)
		row(out, dane_fault_text(fault), "    %s", text);
	else
		row(out, h->records && !kept ? "not used: a stronger digest stands beside it" : "", "    %s", text);
}

static void tell_tlsa(const struct dane_host *h, FILE *out)
{
	char answer[64], text[128];

	if (!h->tlsa_name[0])
		return;
	answer_text(h->tlsa, 0, answer);
	if (h->tlsa_count)
		snprintf(text, sizeof(text), "%s, %zu record%s", answer, h->tlsa_count, h->tlsa_count == 1 ? "" : "s");
	else
		snprintf(text, sizeof(text), "%s", answer);
	row(out, text, "%s TLSA", h->tlsa_name);
	for (size_t i = 0; i < h->tlsa_count; i++)
		tell_record(h, &h->tlsa_rdata[i], out);
}

/* ---- one address ---- */

static void tell_judgement(const struct check_host *h, const struct check_try *t, FILE *out)
{
	const struct dane_record *r = check_matched(h, t);
	char text[200], found[64] = "";
	struct dane_record own = { .usage = DANE_EE, .selector = DANE_SPKI, .mtype = DANE_SHA256, .len = 32,
				   .data = t->peer.spki_sha256 };

	if (!t->peer_known)
		return;
	check_record_short(&own, found, sizeof(found));
	if (r) {
		char record[64];

		check_record_short(r, record, sizeof(record));
		if (t->judgement.depth)
			snprintf(text, sizeof(text), "matches %s at depth %d", record, t->judgement.depth);
		else
			snprintf(text, sizeof(text), "matches %s", record);
	} else if (t->judgement.verdict == TLS_MATCH) {
		snprintf(text, sizeof(text), "the CA vouches for it, as %.150s", t->judgement.name);
	} else if (h->dane->duty == DANE_AUTHENTICATE && !t->no_usable && !h->dane->records->count) {
		snprintf(text, sizeof(text), "%s: %.150s", tls_verdict_name(t->judgement.verdict), t->judgement.text);
	} else if (h->dane->duty == DANE_AUTHENTICATE && !t->no_usable) {
		snprintf(text, sizeof(text), "%s", t->judgement.verdict == TLS_NO_MATCH ? "matches none of them" : t->judgement.text);
	} else {
		text[0] = '\0';
	}
	row(out, text, "    served key  %s", found);
}

void check_tell_try(const struct check_host *h, const struct check_try *t, FILE *out)
{
	static const char *const what[] = {
		[CHECK_NOT_TRIED] = "not tried",	      [CHECK_NO_CONNECTION] = "no connection",
		[CHECK_NO_SMTP] = "no SMTP dialogue",	      [CHECK_NO_STARTTLS] = "STARTTLS is not offered",
		[CHECK_REFUSED] = "STARTTLS is refused",      [CHECK_LOST] = "no end of the TLS handshake",
		[CHECK_NO_HANDSHAKE] = "TLS handshake fails", [CHECK_TLS] = "STARTTLS ok",
	};
	char where[NET_TEXT_MAX];

	net_addr_text(&t->addr, where);
	if (t->seen == CHECK_TLS)
		row(out, "", "%-16s %s, TLS %s, %s%s%s", where, what[t->seen],
		    strncmp(t->version, "TLSv", 4) ? t->version : t->version + 4, t->group[0] ? t->group : t->cipher,
		    t->sni[0] ? ", SNI " : "", t->sni);
	else
		row(out, "", "%-16s %s%s%s", where, what[t->seen], t->why[0] ? ": " : "", t->why);
	if (t->seen == CHECK_TLS)
		tell_judgement(h, t, out);
}

/* ---- conclusions ---- */

static const char *loud_name(enum check_verdict v)
{
	static const char *const names[] = {
		[CHECK_UNKNOWN] = "COULD NOT TELL", [CHECK_VERIFIED] = "VERIFIED", [CHECK_TLS_REQUIRED] = "TLS, UNAUTHENTICATED",
		[CHECK_NO_DANE] = "NO DANE",	    [CHECK_DEFER] = "DEFER",	   [CHECK_BOUNCE] = "BOUNCE",
	};

	return names[v];
}

static const char *consequence(enum check_verdict v)
{
	static const char *const texts[] = {
		[CHECK_UNKNOWN] = "What was not seen is not judged.",
		[CHECK_VERIFIED] = "A DANE sender delivers, over TLS, to a server it knows to be the right one.",
		[CHECK_TLS_REQUIRED] = "A DANE sender delivers over TLS and never in clear, but nothing tells it to whom; one that "
				       "insists on DANE holds the mail.",
		[CHECK_NO_DANE] = "Everybody delivers; nothing keeps the mail from going in clear text or to somebody else. One that "
				  "insists on DANE holds it.",
		[CHECK_DEFER] = "A DANE sender (Gmail does not check, Microsoft, Comcast, GMX, Postfix with dane do) holds this "
				"mail until its queue time runs out.",
		[CHECK_BOUNCE] = "A sender gives the mail back at once.",
	};

	return texts[v];
}

static void line(FILE *out, const char *label, const char *text)
{
	if (*text)
		fprintf(out, "  %-8s %s\n", label, text);
}

void check_tell_row(FILE *out, const char *right, const char *left)
{
	row(out, right, "%s", left);
}

void check_tell_verdict(enum check_verdict v, const char *reason, FILE *out)
{
	fprintf(out, "  verdict: %s. %s\n", loud_name(v), reason);
}

/* What each address needs; the same advice once. */
static void tell_mending(const struct check *c, const struct check_host *h, FILE *out)
{
	char text[TEXT_MAX], said[TEXT_MAX] = "";

	check_mend(c, h, NULL, text, sizeof(text));
	line(out, "mend:", text);
	for (size_t i = 0; i < h->try_count; i++) {
		check_mend(c, h, &h->tries[i], text, sizeof(text));
		if (strcmp(text, said))
			line(out, "mend:", text);
		memcpy(said, text, sizeof(said));
	}
	said[0] = '\0';
	for (size_t i = 0; i < h->try_count; i++) {
		check_warn(h, &h->tries[i], text, sizeof(text));
		if (strcmp(text, said))
			line(out, "note:", text);
		memcpy(said, text, sizeof(said));
	}
}

static void tell_host(const struct check *c, const struct check_host *h, FILE *out)
{
	const struct dane_host *d = h->dane;

	if (d->why != DANE_WHY_LITERAL && d->why != DANE_WHY_BAD_NAME) {
		if (d->expanded[0] && strcmp(d->expanded, d->name))
			row(out, "", "%s is an alias of %s", d->name, d->expanded);
		tell_family(d, false, out);
		tell_family(d, true, out);
		tell_tlsa(d, out);
	}
	if (d->duty != DANE_UNREACHABLE)
		for (size_t i = 0; i < h->try_count; i++)
			check_tell_try(h, &h->tries[i], out);
	check_tell_verdict(h->verdict, h->reason, out);
	if (c->outcome->host_count == 1)
		fprintf(out, "           %s\n", consequence(h->verdict));
	tell_mending(c, h, out);
}

void check_tell(const struct check *c, FILE *out)
{
	char text[TEXT_MAX];

	fprintf(out, "%s\n", c->name);
	tell_mx(c, out);
	for (size_t i = 0; i < c->outcome->host_count; i++) {
		if (i)
			fputc('\n', out);
		tell_host(c, &c->hosts[i], out);
	}
	if (c->outcome->host_count == 1 && c->overall == c->hosts[0].verdict)
		return;
	if (c->outcome->host_count)
		fputc('\n', out);
	fprintf(out, "  overall: %s. %s\n", loud_name(c->overall), c->reason);
	fprintf(out, "           %s\n", consequence(c->overall));
	if (c->outcome->duty != DANE_TRY_HOSTS && !c->outcome->host_count) {
		check_mend(c, NULL, NULL, text, sizeof(text));
		line(out, "mend:", text);
	}
}
