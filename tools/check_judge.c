// SPDX-License-Identifier: BSD-2-Clause
/*
 * The conclusions, from what was looked up and seen: no socket, no DNS.
 *
 *   duty of the host × what was seen at the address ─► verdict of the address
 *   addresses in the order a sender tries them      ─► verdict of the host: the first that takes the mail decides
 *   hosts in order of preference                    ─► the whole, for a sender that uses DANE where it is, and for one
 *                                                      that insists on it (RFC 7672 6)
 */
#include "tools/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *check_verdict_name(enum check_verdict v)
{
	static const char *const names[] = {
		[CHECK_UNKNOWN] = "could-not-tell",
		[CHECK_VERIFIED] = "verified",
		[CHECK_TLS_REQUIRED] = "tls-required-unauthenticated",
		[CHECK_NO_DANE] = "no-dane-deliverable",
		[CHECK_DEFER] = "defer",
		[CHECK_BOUNCE] = "bounce",
	};

	return names[v];
}

int check_exit_status(enum check_verdict v)
{
	static const int status[] = { [CHECK_UNKNOWN] = 3, [CHECK_VERIFIED] = 0, [CHECK_TLS_REQUIRED] = 2,
				      [CHECK_NO_DANE] = 2, [CHECK_DEFER] = 1,	 [CHECK_BOUNCE] = 1 };

	return status[v];
}

/* ---- the object ---- */

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static bool wanted(const struct in6_addr *ip, unsigned families)
{
	return families & (net_is_v4(ip) ? CHECK_IPV4 : CHECK_IPV6);
}

static void add_tries(struct check_host *h, unsigned families)
{
	h->tries = must(calloc(h->dane->address_count + 1, sizeof(h->tries[0])));
	for (size_t i = 0; i < h->dane->address_count; i++) {
		struct check_try *t = &h->tries[h->try_count];

		if (!wanted(&h->dane->addresses[i], families))
			continue;
		t->addr = (struct net_addr){ .ip = h->dane->addresses[i], .port = h->dane->port };
		t->judgement.record = t->judgement.depth = -1;
		h->try_count++;
	}
}

struct check *check_new(const char *name, const struct dane_outcome *outcome, unsigned families)
{
	struct check *c = must(calloc(1, sizeof(*c)));

	c->mx_asked = dane_name_host(name, c->name) == 0;
	if (!c->mx_asked)
		snprintf(c->name, sizeof(c->name), "%s", name);
	c->outcome = outcome;
	c->hosts = must(calloc(outcome->host_count + 1, sizeof(c->hosts[0])));
	for (size_t i = 0; i < outcome->host_count; i++) {
		c->hosts[i].dane = &outcome->hosts[i];
		add_tries(&c->hosts[i], families);
	}
	return c;
}

void check_free(struct check *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->outcome->host_count; i++)
		free(c->hosts[i].tries);
	free(c->hosts);
	free(c);
}

const struct dane_record *check_matched(const struct check_host *h, const struct check_try *t)
{
	const struct dane_records *set = h->dane->records;

	if (t->judgement.verdict != TLS_MATCH || !set || t->judgement.record < 0 || (size_t)t->judgement.record >= set->count)
		return NULL;
	return &set->record[t->judgement.record];
}

void check_record_short(const struct dane_record *r, char *out, size_t size)
{
	if (r->len > 6)
		snprintf(out, size, "%u %u %u %02x%02x…%02x%02x", r->usage, r->selector, r->mtype, r->data[0], r->data[1],
			 r->data[r->len - 2], r->data[r->len - 1]);
	else
		dane_record_text(r, out, size);
}

/* ---- one address ---- */

static void conclude(enum check_verdict *verdict, char reason[DANE_REASON_MAX], enum check_verdict v, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void conclude(enum check_verdict *verdict, char reason[DANE_REASON_MAX], enum check_verdict v, const char *fmt, ...)
{
	va_list ap;

	*verdict = v;
	va_start(ap, fmt);
	vsnprintf(reason, DANE_REASON_MAX, fmt, ap);
	va_end(ap);
}

#define TRY(t, v, ...) conclude(&(t)->verdict, (t)->reason, v, __VA_ARGS__)
#define HOST(h, v, ...) conclude(&(h)->verdict, (h)->reason, v, __VA_ARGS__)

/* What a sender learns nothing from; true if that is so. */
static bool nothing_seen(struct check_try *t)
{
	switch (t->seen) {
	case CHECK_NOT_TRIED:
		TRY(t, CHECK_UNKNOWN, "not tried");
		return true;
	case CHECK_NO_CONNECTION:
		TRY(t, CHECK_UNKNOWN, "no connection: %s", t->why);
		return true;
	case CHECK_NO_SMTP:
		TRY(t, CHECK_UNKNOWN, "no SMTP dialogue: %s", t->why);
		return true;
	case CHECK_LOST:
		TRY(t, CHECK_UNKNOWN, "no TLS within the time: %s", t->why);
		return true;
	default:
		return false;
	}
}

static void judge_authenticated(const struct check_host *h, struct check_try *t)
{
	const struct dane_record *r = check_matched(h, t);
	char text[64];

	if (t->judgement.verdict == TLS_MATCH && !h->dane->records->count) { /* a backend with tls = ca */
		TRY(t, CHECK_VERIFIED, "the CA vouches for the certificate, as %s", t->judgement.name);
	} else if (r && h->dane->secure_choice) {
		check_record_short(r, text, sizeof(text));
		TRY(t, CHECK_VERIFIED, "the certificate matches %s", text);
	} else if (r) {
		/* RFC 7672 2.2.1: nobody vouches for the choice of this host */
		TRY(t, CHECK_NO_DANE, "the certificate matches, but the MX record that names the host is not signed");
	} else if (t->judgement.verdict == TLS_JUDGE_FAILED || t->judgement.verdict == TLS_UNJUDGED) {
		TRY(t, CHECK_UNKNOWN, "the certificate could not be judged: %s", t->judgement.text);
	} else {
		TRY(t, CHECK_DEFER, "%s: %s", tls_verdict_name(t->judgement.verdict), t->judgement.text);
	}
}

/* Records exist: TLS is a must. */
static void judge_bound(const struct check_host *h, struct check_try *t)
{
	switch (t->seen) {
	case CHECK_NO_STARTTLS:
		TRY(t, CHECK_DEFER, "TLS is a must, and STARTTLS is not offered%s%s", t->why[0] ? ": " : "", t->why);
		break;
	case CHECK_REFUSED:
		TRY(t, CHECK_DEFER, "TLS is a must, and STARTTLS is refused: %s", t->why);
		break;
	case CHECK_NO_HANDSHAKE:
		TRY(t, CHECK_DEFER, "TLS is a must, and the handshake fails: %s", t->why);
		break;
	default:
		if (h->dane->duty == DANE_AUTHENTICATE && !t->no_usable)
			judge_authenticated(h, t);
		else
			TRY(t, CHECK_TLS_REQUIRED, "TLS is there, and nothing says whose: none of the TLSA records can be used");
		break;
	}
}

static void judge_free(const struct check_host *h, struct check_try *t)
{
	static const char *const how[] = { [CHECK_NO_STARTTLS] = "in clear text: STARTTLS is not offered",
					   [CHECK_REFUSED] = "in clear text: STARTTLS is refused",
					   [CHECK_NO_HANDSHAKE] = "in clear text: the TLS handshake fails",
					   [CHECK_TLS] = "over TLS, unauthenticated" };

	TRY(t, CHECK_NO_DANE, "%s; %s", how[t->seen], h->dane->reason);
}

static void judge_try(const struct check_host *h, struct check_try *t)
{
	if (h->dane->duty == DANE_UNREACHABLE)
		TRY(t, CHECK_DEFER, "%s", h->dane->reason);
	else if (nothing_seen(t))
		return;
	else if (h->dane->duty == DANE_NONE)
		judge_free(h, t);
	else
		judge_bound(h, t);
}

/* ---- one host ---- */

static bool takes_mail(enum check_verdict v)
{
	return v == CHECK_VERIFIED || v == CHECK_TLS_REQUIRED || v == CHECK_NO_DANE;
}

static void judge_host(struct check_host *h, const struct dane_outcome *o)
{
	const struct check_try *decides = NULL;
	size_t others = 0;
	char text[NET_TEXT_MAX];

	for (size_t i = 0; i < h->try_count; i++)
		judge_try(h, &h->tries[i]);
	if (o->duty == DANE_BOUNCE) { /* no MX, and the domain has no address */
		HOST(h, CHECK_BOUNCE, "%s", o->reason);
		return;
	}
	if (h->dane->duty == DANE_UNREACHABLE) {
		HOST(h, CHECK_DEFER, "%s", h->dane->reason);
		return;
	}
	for (size_t i = 0; i < h->try_count && !decides; i++)
		if (takes_mail(h->tries[i].verdict))
			decides = &h->tries[i];
	for (size_t i = 0; i < h->try_count && !decides; i++) /* none: what could not be told decides, if anything */
		if (h->tries[i].verdict == CHECK_UNKNOWN)
			decides = &h->tries[i];
	if (!decides && h->try_count)
		decides = &h->tries[0];
	if (!decides) {
		HOST(h, CHECK_UNKNOWN, "none of its addresses was to be tried");
		return;
	}
	for (size_t i = 0; i < h->try_count; i++)
		others += h->tries[i].verdict != decides->verdict;
	HOST(h, decides->verdict, "%s: %s%s", net_ip_text(&decides->addr.ip, text), decides->reason,
	     others ? "; other addresses end otherwise" : "");
}

/* ---- the whole ---- */

static bool enough(enum check_verdict v, bool mandatory)
{
	return mandatory ? v == CHECK_VERIFIED : takes_mail(v);
}

static void conclude_hosts(const struct check *c, bool mandatory, enum check_verdict *verdict, char reason[DANE_REASON_MAX])
{
	const struct check_host *unknown = NULL;

	for (size_t i = 0; i < c->outcome->host_count; i++) {
		const struct check_host *h = &c->hosts[i];

		if (enough(h->verdict, mandatory)) {
			conclude(verdict, reason, h->verdict, "%s decides: %s", h->dane->name, h->reason);
			return;
		}
		if (h->verdict == CHECK_UNKNOWN && !unknown)
			unknown = h;
	}
	if (unknown)
		conclude(verdict, reason, CHECK_UNKNOWN, "%s: %s", unknown->dane->name, unknown->reason);
	else
		conclude(verdict, reason, CHECK_DEFER, "%s%s: %s", c->outcome->host_count > 1 ? "no host is left; the first, " : "",
			 c->hosts[0].dane->name, c->hosts[0].reason);
}

void check_judge(struct check *c)
{
	const struct dane_outcome *o = c->outcome;

	for (size_t i = 0; i < o->host_count; i++)
		judge_host(&c->hosts[i], o);
	if (o->duty == DANE_TRY_HOSTS) {
		conclude_hosts(c, false, &c->overall, c->reason);
		conclude_hosts(c, true, &c->mandatory, c->mandatory_reason);
		return;
	}
	conclude(&c->overall, c->reason, o->duty == DANE_BOUNCE ? CHECK_BOUNCE : CHECK_DEFER, "%s", o->reason);
	conclude(&c->mandatory, c->mandatory_reason, c->overall, "%s", o->reason);
}

void check_cannot_tell(struct check *c, const char *why)
{
	for (size_t i = 0; i < c->outcome->host_count; i++) {
		HOST(&c->hosts[i], CHECK_UNKNOWN, "%s", why);
		for (size_t k = 0; k < c->hosts[i].try_count; k++)
			TRY(&c->hosts[i].tries[k], CHECK_UNKNOWN, "%s", why);
	}
	conclude(&c->overall, c->reason, CHECK_UNKNOWN, "%s", why);
	conclude(&c->mandatory, c->mandatory_reason, CHECK_UNKNOWN, "%s", why);
}

/* ---- remedies ---- */

static void hex(const uint8_t digest[32], char out[65])
{
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* "_25._tcp.mx.example. IN TLSA 3 1 1 <its key>", or the words for a key that was not seen. */
static void record_to_publish(const struct check_host *h, const struct check_try *t, char *out, size_t size)
{
	const struct dane_host *d = h->dane;
	char digest[65];

	if (t && t->peer_known)
		hex(t->peer.spki_sha256, digest);
	else
		snprintf(digest, sizeof(digest), "<SHA-256 of its key>");
	snprintf(out, size, "_%u._tcp.%s. IN TLSA 3 1 1 %s", d->port, d->base[0] ? d->base : d->name, digest);
}

static void mend_judged(const struct check_host *h, const struct check_try *t, char *out, size_t size)
{
	char record[DANE_NAME_MAX + 100];

	record_to_publish(h, t, record, sizeof(record));
	switch (t->judgement.verdict) {
	case TLS_NO_MATCH:
		snprintf(out, size, "publish  %s  beside the others, or serve the old key again", record);
		break;
	case TLS_WRONG_NAME:
		snprintf(out, size, "serve a certificate that names %s, or publish  %s", h->dane->names[0], record);
		break;
	case TLS_NOT_VALID_NOW:
		snprintf(out, size, "renew the certificate, or publish  %s  (dates do not count for usage 3)", record);
		break;
	case TLS_BAD_CHAIN:
		snprintf(out, size, "serve a sound chain up to the trust anchor, or publish  %s", record);
		break;
	case TLS_NO_CERTIFICATE:
		snprintf(out, size, "serve a certificate; anonymous TLS matches no record");
		break;
	default:
		out[0] = '\0';
		break;
	}
}

/* By why the host has the duty it has. */
static const char *mend_host(enum dane_why why)
{
	switch (why) {
	case DANE_WHY_TLSA_FAILED:
		return "make every name server of the zone answer TLSA questions: a failed answer holds mail, a denial does not";
	case DANE_WHY_TLSA_BOGUS:
	case DANE_WHY_MX_BOGUS:
	case DANE_WHY_ADDRESS_BOGUS:
		return "sign the zone again, and see that its DS record, its keys and every name server agree";
	case DANE_WHY_ADDRESS_FAILED:
	case DANE_WHY_MX_FAILED:
		return "make the name servers of the zone answer";
	case DANE_WHY_ALIAS_FAILED:
		return "name a host in the MX record that is no alias (RFC 5321 5.1), or mend the zone of the alias";
	case DANE_WHY_NO_ADDRESS:
		return "give the host an address, or take it out of the MX records";
	case DANE_WHY_BAD_NAME:
	case DANE_WHY_MX_MALFORMED:
		return "name a host in the MX record";
	case DANE_WHY_LITERAL:
		return "name a host in the MX record, not an address";
	case DANE_WHY_NO_MAIL:
		return "publish an MX record, or a null MX if it takes no mail (RFC 7505)";
	case DANE_WHY_MX_INSECURE:
		return "sign the zone that holds the MX record";
	case DANE_WHY_HOST_INSECURE:
	case DANE_WHY_TLSA_INSECURE:
		return "sign the zone of the host";
	default:
		return "";
	}
}

static void mend_seen(const struct check_host *h, const struct check_try *t, char *out, size_t size)
{
	char record[DANE_NAME_MAX + 100];

	record_to_publish(h, t, record, sizeof(record));
	if (t->seen == CHECK_NO_STARTTLS || t->seen == CHECK_REFUSED)
		snprintf(out, size, "offer STARTTLS to every client at this address, or withdraw the TLSA records and wait for their TTL");
	else if (t->seen == CHECK_NO_HANDSHAKE)
		snprintf(out, size, "mend TLS at this address: TLS 1.2 or later, and a certificate that can be served");
	else if (t->verdict == CHECK_TLS_REQUIRED)
		snprintf(out, size, "publish  %s  in place of the records that cannot be used", record);
	else
		mend_judged(h, t, out, size);
}

void check_mend(const struct check *c, const struct check_host *h, const struct check_try *t, char *out, size_t size)
{
	char record[DANE_NAME_MAX + 100];

	out[0] = '\0';
	if (!h) {
		if (c->overall != CHECK_UNKNOWN)
			snprintf(out, size, "%s", mend_host(c->outcome->why));
	} else if (!t) {
		snprintf(out, size, "%s", mend_host(c->outcome->why == DANE_WHY_NO_MAIL ? DANE_WHY_NO_MAIL : h->dane->why));
		if (h->dane->why == DANE_WHY_NO_TLSA && h->try_count) {
			record_to_publish(h, &h->tries[0], record, sizeof(record));
			snprintf(out, size, "to be protected, publish  %s", record);
		}
	} else if ((t->verdict == CHECK_DEFER || t->verdict == CHECK_TLS_REQUIRED) && h->dane->duty != DANE_UNREACHABLE) {
		mend_seen(h, t, out, size);
	}
}

/* Exchange Online looks at dates where RFC 7672 3.1.1 says not to (5.7.322, 5.7.323), and copes with some 12 records. */
void check_warn(const struct check_host *h, const struct check_try *t, char *out, size_t size)
{
	int64_t now = time(NULL);

	out[0] = '\0';
	if (t->verdict != CHECK_VERIFIED || !t->peer_known)
		return;
	if (t->peer.not_after && t->peer.not_after < now)
		snprintf(out, size, "the certificate has expired: RFC 7672 says never mind (usage 3), Exchange Online minds");
	else if (t->peer.not_before > now)
		snprintf(out, size, "the certificate is not valid yet: RFC 7672 says never mind (usage 3), Exchange Online minds");
	else if (h->dane->tlsa_count > 12)
		snprintf(out, size, "%zu TLSA records: some senders cope with 12 at most", h->dane->tlsa_count);
}
