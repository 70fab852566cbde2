// SPDX-License-Identifier: BSD-2-Clause
/*
 * libunbound: the context, one question, and what its result means in the words of RFC 7672 2.1.1.
 *
 * The threaded mode (ub_ctx_async) is chosen before anything else: the library's default forks at the first
 * question, and the child would hold our rings and listeners.  The library's own sizes are those of a tool (16
 * questions at a time, caches of 1 MB), so they are raised.  It validates with the trust anchor given and nothing
 * of /etc/resolv.conf is read: a stub resolver's word is not enough for DANE.
 *
 * bogus is tested first: libunbound sets havedata or nxdomain beside it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>

#include "userspace/dns_internal.h"
#include "userspace/net.h"

struct dns_engine {
	struct ub_ctx *ctx;   /* what is asked for */
	struct ub_ctx *proof; /* probes: keeps nothing, so that each of them is one */
};

enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3, CLASS_IN = 1, PROOF_TTL_S = 1 };

/* ---- settings ---- */

static int complain(char *err, size_t size, const char *what, const char *value, int ub_error)
{
	snprintf(err, size, "%s %s: %s", what, value, ub_strerror(ub_error));
	return -EINVAL;
}

static int set_option(struct ub_ctx *ctx, const char *name, const char *value, char *err, size_t size)
{
	int error = ub_ctx_set_option(ctx, name, value);

	return error ? complain(err, size, "libunbound refuses the option", name, error) : 0;
}

static int set_sizes(struct ub_ctx *ctx, char *err, size_t size)
{
	static const char *const options[][2] = {
		{ "outgoing-range:", "4096" },	    /* questions on their way at a time */
		{ "num-queries-per-thread:", "4096" },
		{ "outgoing-num-tcp:", "64" },
		{ "msg-cache-size:", "16m" },
		{ "rrset-cache-size:", "32m" },
		{ "key-cache-size:", "16m" },
		{ "neg-cache-size:", "4m" },
		{ "so-rcvbuf:", "1m" },
		{ "prefetch:", "yes" },
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && !error; i++)
		error = set_option(ctx, options[i][0], options[i][1], err, size);
	return error;
}

static int set_keeping(struct ub_ctx *ctx, uint32_t max_ttl_s, char *err, size_t size)
{
	char max_ttl[16];
	const char *const options[][2] = {
		{ "val-bogus-ttl:", "0" }, /* failures are not kept */
		{ "cache-max-ttl:", max_ttl },
		{ "cache-max-negative-ttl:", max_ttl },
		/* nor that a name server was silent: left alone the library would not ask it again for minutes */
		{ "infra-keep-probing:", "yes" },
		{ "infra-host-ttl:", "60" },
	};
	int error = 0;

	snprintf(max_ttl, sizeof(max_ttl), "%u", max_ttl_s);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && !error; i++)
		error = set_option(ctx, options[i][0], options[i][1], err, size);
	return error;
}

/* libunbound only reads the file at the first question; a missing anchor is to be heard of at once. */
static int set_trust_anchor(struct ub_ctx *ctx, const struct dns_settings *set, char *err, size_t size)
{
	const char *file = set->trust_anchor_file ? set->trust_anchor_file : DNS_TRUST_ANCHOR_FILE;
	int error;

	if (set->trust_anchor_text) {
		error = ub_ctx_add_ta(ctx, set->trust_anchor_text);
		return error ? complain(err, size, "trust anchor", set->trust_anchor_text, error) : 0;
	}
	if (access(file, R_OK) != 0) {
		snprintf(err, size, "trust anchor %s: %s (Debian: install dns-root-data)", file, strerror(errno));
		return -ENOENT;
	}
	error = ub_ctx_add_ta_file(ctx, file);
	return error ? complain(err, size, "trust anchor", file, error) : 0;
}

static int set_forwarder(struct ub_ctx *ctx, const char *text, char *err, size_t size)
{
	char host[NET_TEXT_MAX], at[NET_TEXT_MAX + 8];
	struct in6_addr ip;
	uint16_t port;
	int error;

	if (net_parse_ip(text, &ip) == 0) { /* a bare IPv6 address has colons of its own */
		snprintf(host, sizeof(host), "%s", text);
		port = 53;
	} else if (net_split_host_port(text, 53, host, sizeof(host), &port) || net_parse_ip(host, &ip)) {
		snprintf(err, size, "resolver \"%s\" is not an address (192.0.2.53, 192.0.2.53:53, [2001:db8::53]:53)",
			 text);
		return -EINVAL;
	}
	snprintf(at, sizeof(at), "%s@%u", host, port);
	error = ub_ctx_set_fwd(ctx, at);
	return error ? complain(err, size, "resolver", text, error) : 0;
}

static int set_upstream(struct ub_ctx *ctx, const struct dns_settings *set, char *err, size_t size)
{
	int error = 0;

	for (size_t i = 0; i < set->forwarder_count && !error; i++)
		error = set_forwarder(ctx, set->forwarders[i], err, size);
	if (error || !set->root_hints_file)
		return error;
	if (access(set->root_hints_file, R_OK) != 0) {
		snprintf(err, size, "root hints %s: %s", set->root_hints_file, strerror(errno));
		return -ENOENT;
	}
	error = ub_ctx_set_option(ctx, "root-hints:", set->root_hints_file);
	return error ? complain(err, size, "root hints", set->root_hints_file, error) : 0;
}

static int context_new(const struct dns_settings *set, uint32_t max_ttl_s, struct ub_ctx **out, char *err, size_t size)
{
	struct ub_ctx *ctx = ub_ctx_create();
	int error;

	*out = ctx; /* freed with the engine */
	if (!ctx) {
		snprintf(err, size, "libunbound: no context: %s", strerror(errno));
		return -ENOMEM;
	}
	ub_ctx_async(ctx, 1);
	ub_ctx_debugout(ctx, NULL); /* what matters comes with each answer */
	error = set_keeping(ctx, max_ttl_s, err, size);
	if (!error)
		error = set_trust_anchor(ctx, set, err, size);
	return error ? error : set_upstream(ctx, set, err, size);
}

int dns_engine_new(const struct dns_settings *set, uint32_t max_ttl_s, struct dns_engine **out, char *err, size_t size)
{
	struct dns_engine *e = calloc(1, sizeof(*e));
	int error;

	if (!e)
		abort();
	error = context_new(set, max_ttl_s, &e->ctx, err, size);
	if (!error)
		error = set_sizes(e->ctx, err, size);
	if (!error)
		error = context_new(set, PROOF_TTL_S, &e->proof, err, size);
	if (error) {
		dns_engine_free(e);
		return error;
	}
	*out = e;
	return 0;
}

void dns_engine_free(struct dns_engine *e)
{
	if (!e)
		return;
	ub_ctx_delete(e->proof);
	ub_ctx_delete(e->ctx);
	free(e);
}

void dns_engine_fds(const struct dns_engine *e, int fds[DNS_ENGINE_FDS])
{
	fds[0] = ub_fd(e->ctx);
	fds[1] = ub_fd(e->proof);
}

void dns_engine_process(struct dns_engine *e)
{
	ub_process(e->ctx);
	ub_process(e->proof);
}

/* ---- what a result means ---- */

static const char *rcode_text(int rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };

	return rcode >= 0 && (size_t)rcode < sizeof(names) / sizeof(names[0]) ? names[rcode] : "an unknown error code";
}

static struct dns_answer *failure(const struct ub_result *result)
{
	char why[DANE_REASON_MAX];

	if (result->bogus)
		return dns_answer_failed(result->why_bogus ? result->why_bogus : "validation failed", true);
	if (result->was_ratelimited)
		return dns_answer_failed("rate-limited", false);
	snprintf(why, sizeof(why), "the name servers answer %s, or not at all", rcode_text(result->rcode));
	return dns_answer_failed(why, false);
}

static void set_canonical(struct dns_answer *a, const struct ub_result *result)
{
	char asked[DANE_NAME_MAX];

	if (!result->canonname || result->qtype == DANE_CNAME)
		return;
	dane_name_host(result->qname, asked);
	a->reply.alias = dane_name_host(result->canonname, a->canonical) != 0 || strcmp(asked, a->canonical) != 0;
	if (!a->reply.alias)
		a->canonical[0] = '\0';
}

static struct dns_answer *data(const struct ub_result *result)
{
	size_t count = 0, bytes = 0;
	struct dns_answer *a;
	uint8_t *at;

	for (; result->data[count]; count++)
		bytes += (size_t)result->len[count];
	a = dns_answer_new(count, bytes);
	at = (uint8_t *)(a->rdata + count);
	for (size_t i = 0; i < count; i++) {
		a->rdata[i].data = at;
		a->rdata[i].len = (uint16_t)result->len[i];
		memcpy(at, result->data[i], a->rdata[i].len);
		at += a->rdata[i].len;
	}
	a->reply.answer = result->secure ? DANE_SECURE : DANE_INSECURE;
	return a;
}

static struct dns_answer *read_result(int error, const struct ub_result *result)
{
	struct dns_answer *a;

	if (error || !result)
		return dns_answer_failed(ub_strerror(error), false);
	if (result->bogus || result->was_ratelimited ||
	    (result->rcode != RCODE_NOERROR && result->rcode != RCODE_NXDOMAIN))
		return failure(result);
	if (result->havedata) {
		a = data(result);
	} else {
		a = dns_answer_new(0, 0);
		a->reply.answer = result->secure ? DANE_DENIED_SECURE : DANE_DENIED_INSECURE;
	}
	a->reply.ttl = result->ttl > 0 ? (uint32_t)result->ttl : 0;
	set_canonical(a, result);
	return a;
}

static void answered(void *ctx, int error, struct ub_result *result)
{
	struct dns_answer *a = read_result(error, result);

	ub_resolve_free(result);
	dns_lookup_done(ctx, a);
}

int dns_engine_ask(struct dns_engine *e, struct dns_lookup *l, const char **why)
{
	int error = ub_resolve_async(l->probe ? e->proof : e->ctx, l->name, l->type, CLASS_IN, l, answered, &l->id);

	*why = error ? ub_strerror(error) : "";
	return error ? -EIO : 0;
}

/* Called in the thread that processes answers, so none for l can be on its way to us (ub_cancel(3)). */
void dns_engine_cancel(struct dns_engine *e, struct dns_lookup *l)
{
	ub_cancel(l->probe ? e->proof : e->ctx, l->id);
}
