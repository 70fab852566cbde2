/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be judged only when all has been read: names that refer to other sections, settings that
 * contradict each other, listeners in each other's way.
 */
#include "userspace/config_parts.h"
#include "userspace/dane.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DEFINED_SHOWN 8 /* names listed in a complaint */

/* A fault of an item of a titled section, at the line where it begins. */
static void fault(struct config_reading *r, enum config_section_id section, size_t item, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void fault(struct config_reading *r, enum config_section_id section, size_t item, const char *fmt, ...)
{
	const struct config_section *s = &config_sections[section];
	const char *base = config_base(r->c, section, item);
	const char *file = *(const char *const *)(base + s->file_offset);
	char text[400];
	va_list args;
	size_t i;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (i = 0; i < r->c->file_count && r->c->files[i] != file; i++)
		;
	config_report_add(&r->report, i, *(const int *)(base + s->line_offset), "%s \"%.80s\": %s", s->name,
			  config_item_name(r->c, section, item), text);
}

/* ---- references ---- */

struct name_index {
	struct name_entry {
		const char *name;
		size_t item;
	} *entries;
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

static void index_build(struct name_index *index, struct config *c, enum config_section_id section)
{
	size_t i;

	index->count = config_item_count(c, section);
	index->entries = calloc(index->count + 1, sizeof(*index->entries));
	if (!index->entries)
		log_fatal("out of memory");
	for (i = 0; i < index->count; i++)
		index->entries[i] = (struct name_entry){ config_item_name(c, section, i), i };
	qsort(index->entries, index->count, sizeof(*index->entries), by_name);
}

static void complain_of_ref(struct config_reading *r, const struct config_ref *ref)
{
	enum config_section_id target = ref->row->target;
	struct config_meant meant = { .text = ref->name };
	size_t count = config_item_count(r->c, target), i, len;
	char defined[400] = "none is", hint[80];

	for (i = len = 0; i < count; i++) {
		const char *name = config_item_name(r->c, target, i);

		config_meant_try(&meant, name);
		if (i < DEFINED_SHOWN)
			len += (size_t)snprintf(defined + len, sizeof(defined) - len, "%s%.40s", i ? ", " : "defined: ", name);
	}
	if (count > DEFINED_SHOWN)
		snprintf(defined + len, sizeof(defined) - len, ", … %zu in all", count);
	config_report_add(&r->report, ref->file, ref->line, "%s \"%.80s\": %s \"%.80s\" is not defined (%s)%s",
			  config_sections[ref->row->section].name, config_item_name(r->c, ref->row->section, ref->item),
			  config_sections[target].name, ref->name, defined, config_meant_text(&meant, hint, sizeof(hint)));
}

static void resolve_ref(struct config_reading *r, const struct config_ref *ref, const struct name_index *index)
{
	const struct name_entry key = { .name = ref->name };
	const struct name_entry *found = bsearch(&key, index->entries, index->count, sizeof(key), by_name);
	char *base = config_base(r->c, ref->row->section, ref->item);
	size_t *count, **list, i;

	if (!found) {
		complain_of_ref(r, ref);
		return;
	}
	if (ref->row->kind == KIND_REF) {
		*(size_t *)(base + ref->row->offset) = found->item;
		return;
	}
	list = (size_t **)(base + ref->row->offset);
	count = (size_t *)(base + ref->row->more);
	for (i = 0; i < *count; i++) {
		if ((*list)[i] == found->item) {
			config_report_add(&r->report, ref->file, ref->line, "%s \"%.80s\": %s names \"%s\" twice",
					  config_sections[ref->row->section].name,
					  config_item_name(r->c, ref->row->section, ref->item), ref->row->name, ref->name);
			return;
		}
	}
	*list = config_list_grow(*list, count, sizeof(size_t));
	(*list)[*count - 1] = found->item;
}

static void resolve_refs(struct config_reading *r)
{
	struct name_index index[SECTION_COUNT] = { 0 };
	enum config_section_id id;
	size_t i;

	for (i = 0; i < r->ref_count; i++) {
		id = r->refs[i].row->target;
		if (!index[id].entries)
			index_build(&index[id], r->c, id);
		resolve_ref(r, &r->refs[i], &index[id]);
	}
	for (id = 0; id < SECTION_COUNT; id++)
		free(index[id].entries);
}

/* ---- addresses ---- */

struct place {
	struct in6_addr ip;
	uint16_t port;
	size_t listener;
};

static int by_address(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int ips = memcmp(&x->ip, &y->ip, sizeof(x->ip));

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (ips)
		return ips;
	return x->listener < y->listener ? -1 : x->listener > y->listener;
}

/* "::" is every address, "0.0.0.0" every IPv4 one. */
static bool covers(const struct in6_addr *any, const struct in6_addr *ip)
{
	static const struct in6_addr any4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (memcmp(any, &in6addr_any, sizeof(*any)) == 0)
		return true;
	return memcmp(any, &any4, sizeof(*any)) == 0 && net_is_v4(ip);
}

static void overlap(struct config_reading *r, const struct place *a, const struct place *b)
{
	const struct place *later = a->listener > b->listener ? a : b, *earlier = later == a ? b : a;
	const struct config_listener *first = &r->c->listeners[earlier->listener];
	char later_text[NET_TEXT_MAX], earlier_text[NET_TEXT_MAX];

	net_ip_text(&later->ip, later_text);
	net_ip_text(&earlier->ip, earlier_text);
	if (later->listener == earlier->listener && strcmp(later_text, earlier_text) == 0)
		fault(r, SECTION_LISTENER, later->listener, "address %s stands twice", later_text);
	else if (later->listener == earlier->listener)
		fault(r, SECTION_LISTENER, later->listener, "address %s and address %s overlap", earlier_text, later_text);
	else
		fault(r, SECTION_LISTENER, later->listener, "address %s port %u overlaps address %s of listener \"%.80s\" (%s:%d)",
		      later_text, later->port, earlier_text, first->name, first->file, first->line);
}

/* All pairs that overlap are either equal, and so neighbours when sorted, or one of them is a wildcard. */
static void check_overlaps(struct config_reading *r)
{
	struct place *places = NULL;
	size_t count = 0, i, j;

	for (i = 0; i < r->c->listener_count; i++) {
		const struct config_listener *l = &r->c->listeners[i];

		for (j = 0; j < l->address_count; j++) {
			places = config_list_grow(places, &count, sizeof(*places));
			places[count - 1] = (struct place){ l->addresses[j], l->port, i };
		}
	}
	if (count)
		qsort(places, count, sizeof(*places), by_address);
	for (i = 0; i < count; i++) {
		if (i && places[i].port == places[i - 1].port && memcmp(&places[i].ip, &places[i - 1].ip, sizeof(places[i].ip)) == 0)
			overlap(r, &places[i - 1], &places[i]);
		for (j = 0; covers(&places[i].ip, &places[i].ip) && j < count; j++) {
			bool same = memcmp(&places[i].ip, &places[j].ip, sizeof(places[i].ip)) == 0;

			if (!same && places[j].port == places[i].port && covers(&places[i].ip, &places[j].ip))
				overlap(r, &places[i], &places[j]);
		}
	}
	free(places);
}

/* A backend that is a listener of ours would be a mail loop at the speed of the machine. */
static void check_loops(struct config_reading *r)
{
	size_t i, j, k;

	for (i = 0; i < r->c->backend_count; i++) {
		const struct config_backend *b = &r->c->backends[i];
		struct in6_addr ip;

		if (!b->host || net_parse_ip(b->host, &ip))
			continue;
		for (j = 0; j < r->c->listener_count; j++) {
			const struct config_listener *l = &r->c->listeners[j];

			for (k = 0; k < l->address_count; k++) {
				if (l->port == b->port && memcmp(&l->addresses[k], &ip, sizeof(ip)) == 0)
					fault(r, SECTION_BACKEND, i, "%s port %u is listener \"%.80s\" itself", b->host, b->port,
					      l->name);
			}
		}
	}
}

/* ---- contradictions ---- */

static void check_listeners(struct config_reading *r)
{
	struct config *c = r->c;
	size_t i;

	if (!c->listener_count)
		config_report_add(&r->report, 0, 0, "no listener is defined, so there is nothing to serve: listener \"NAME\" { … }");
	for (i = 0; i < c->listener_count; i++) {
		struct config_listener *l = &c->listeners[i];

		if (!l->hostname && c->hostname)
			l->hostname = config_strdup(c->hostname);
		if (l->require_tls && !l->certificate_count)
			fault(r, SECTION_LISTENER, i, "require-tls = yes needs certificates");
		if (l->proxy == CONFIG_PROXY_REQUIRED && !l->proxy_from_count)
			fault(r, SECTION_LISTENER, i, "proxy = required needs proxy-from: the networks that may send PROXY headers");
		if (l->proxy == CONFIG_PROXY_FORBIDDEN && l->proxy_from_count)
			fault(r, SECTION_LISTENER, i, "proxy-from is set, but proxy = forbidden: did you mean proxy = required?");
	}
}

static const struct config_place *place_of(const struct config_reading *r, enum config_section_id section, const char *name)
{
	return &r->set[config_setting_find(section, name) - config_settings];
}

static void check_decap(struct config_reading *r)
{
	const struct config_place *from = place_of(r, SECTION_FRONT, "decap-from"), *to = place_of(r, SECTION_FRONT, "decap-to");
	const struct config_place *gue = place_of(r, SECTION_FRONT, "decap-gue-port"), *at = from->line ? from : to;
	const struct config_front *f = &r->c->front;

	if (!f->decap_from_count != !f->decap_to_count)
		config_report_add(&r->report, at->file, at->line, "front: decap-from = {\"BALANCER\"} and decap-to = {\"ADDRESS\"} "
				  "go together");
	if (f->decap_gue_port && !f->decap_from_count)
		config_report_add(&r->report, gue->file, gue->line, "front: decap-gue-port needs decap-from and decap-to");
	for (size_t i = 0; i < f->decap_to_count; i++)
		if (!memcmp(&f->decap_to[i], &in6addr_any, sizeof(in6addr_any)) ||
		    (net_is_v4(&f->decap_to[i]) && !memcmp(&f->decap_to[i].s6_addr[12], &in6addr_any, 4)))
			config_report_add(&r->report, to->file, to->line, "front: decap-to takes addresses, not \"every address\"");
}

static void check_front(struct config_reading *r)
{
	static const char *const need[] = { "mode", "deny", "allow", "decap-from", "decap-to", "spread" };
	struct config_front *f = &r->c->front;
	const struct config_place *leave = place_of(r, SECTION_FRONT, "flood-leave"), *steer = place_of(r, SECTION_FRONT, "steer");

	if (f->flood_enter && f->flood_leave > f->flood_enter)
		config_report_add(&r->report, leave->file, leave->line,
				  "front: flood-leave = %u is above flood-enter = %u: a flood would end while it begins",
				  f->flood_leave, f->flood_enter);
	if (f->spread != CONFIG_SPREAD_OFF && !f->steer)
		config_report_add(&r->report, steer->file, steer->line,
				  "front: spread = cpumap needs steer = yes: the CPUs are those of the workers that connections are steered to");
	check_decap(r);
	if (f->interface_count || f->mode == CONFIG_XDP_OFF)
		return;
	for (size_t i = 0; i < sizeof(need) / sizeof(need[0]); i++) {
		const struct config_place *at = place_of(r, SECTION_FRONT, need[i]);

		if (at->line)
			config_report_add(&r->report, at->file, at->line, "front: %s needs interfaces: {\"eth0\"}, or mode = off",
					  need[i]);
	}
	f->mode = CONFIG_XDP_OFF;
}

static bool is_pin(const char *hex)
{
	return strlen(hex) == 64 && strspn(hex, "0123456789abcdefABCDEF") == 64;
}

/* What a way of judging needs, and settings of another way. */
static void check_backend_tls(struct config_reading *r, size_t i)
{
	const struct config_backend *b = &r->c->backends[i];
	struct in6_addr ip;
	size_t k;

	if (b->tls == CONFIG_TLS_DANE && b->host && net_parse_ip(b->host, &ip) == 0)
		fault(r, SECTION_BACKEND, i, "tls = dane needs a host name in address: TLSA records belong to names, not to %s", b->host);
	if (b->tls == CONFIG_TLS_DANE && b->tls_name)
		fault(r, SECTION_BACKEND, i, "tls-name is for tls = ca and tls = pin: with dane the name is the TLSA base domain");
	if ((b->tls == CONFIG_TLS_PIN) != (b->pin_count > 0))
		fault(r, SECTION_BACKEND, i, "tls = pin and pin = {\"SHA-256 of the key\"} go together");
	if ((b->tls == CONFIG_TLS_CA) != (b->ca_file != NULL))
		fault(r, SECTION_BACKEND, i, "tls = ca and ca = \"FILE\" go together");
	if (b->tls == CONFIG_TLS_CA && b->host && !b->tls_name && net_parse_ip(b->host, &ip) == 0)
		fault(r, SECTION_BACKEND, i, "tls = ca needs tls-name, since address is no name");
	if (b->pin_count > 8)
		fault(r, SECTION_BACKEND, i, "at most 8 pins");
	for (k = 0; k < b->pin_count; k++)
		if (!is_pin(b->pins[k]))
			fault(r, SECTION_BACKEND, i, "pin %.70s is not 64 hex digits", b->pins[k]);
}

/* ---- policies ---- */

/* A host name, or "." and one: kept in the one form of names, so that they compare byte by byte. */
static void check_policy_name(struct config_reading *r, size_t i, char **text)
{
	char name[DANE_NAME_MAX + 1] = ".";
	bool below = (*text)[0] == '.';

	if (dane_name_host(*text + below, name + 1)) {
		fault(r, SECTION_POLICY, i, "names: %.80s is no host name, and not \".\" and one", *text);
		return;
	}
	free(*text);
	*text = config_strdup(below ? name : name + 1);
}

static void check_policy_verdict(struct config_reading *r, struct config_policy *p, size_t i, const char *word)
{
	struct config_meant meant = { .text = word };
	char hint[80];

	for (enum dane_verdict v = DANE_UNASKED + 1; v < DANE_VERDICTS; v++) {
		config_meant_try(&meant, dane_verdict_name(v));
		if (strcmp(word, dane_verdict_name(v)) == 0) {
			p->verdict_bits |= 1u << v;
			return;
		}
	}
	fault(r, SECTION_POLICY, i, "verdicts: %.40s is not one of: verified, none, insecure, mismatch, lookup_failed%s", word,
	      config_meant_text(&meant, hint, sizeof(hint)));
}

static void check_policy(struct config_reading *r, size_t i)
{
	struct config_policy *p = &r->c->policies[i];

	for (size_t k = 0; k < p->name_count; k++)
		check_policy_name(r, i, &p->names[k]);
	for (size_t k = 0; k < p->verdict_count; k++)
		check_policy_verdict(r, p, i, p->verdicts[k]);
	if (p->pool_count > 1)
		fault(r, SECTION_POLICY, i, "pool takes one value");
	if (p->name_count && p->verdict_bits && !(p->verdict_bits & 1u << DANE_VERIFIED))
		fault(r, SECTION_POLICY, i, "names are those of verified clients: verdicts must have verified in it");
	if (p->lane_ms && !p->name_count && !p->lane_after)
		fault(r, SECTION_POLICY, i, "lane needs names, or lane-after: anyone can sign a zone of his own");
	if (p->lane_after && !p->lane_ms)
		fault(r, SECTION_POLICY, i, "lane-after is set, but lane is not: how long is it?");
	if (p->lane_days > p->lane_after)
		fault(r, SECTION_POLICY, i, "lane-days = %u needs lane-after of at least as many sessions", p->lane_days);
}

/* Only TLS brings a certificate. */
static void check_client_dane(struct config_reading *r, size_t i)
{
	const struct config_listener *l = &r->c->listeners[i];

	if (l->certificate_count)
		return;
	if (l->client_dane != CONFIG_CLIENT_OFF)
		fault(r, SECTION_LISTENER, i, "client-dane needs certificates: a client shows its own in TLS");
	for (size_t k = 0; k < l->policy_count; k++) {
		const struct config_policy *p = &r->c->policies[l->policies[k]];

		if (p->client_dane != CONFIG_CLIENT_AS_LISTENER && p->client_dane != CONFIG_CLIENT_OFF)
			fault(r, SECTION_LISTENER, i, "policy \"%.60s\" with client-dane needs certificates here", p->name);
	}
}

void config_check(struct config_reading *r)
{
	size_t i;


	check_front(r);
	if (r->stranger)
		return; /* what is not there may only be misspelled */
	resolve_refs(r);
	check_listeners(r);
	check_overlaps(r);
	check_loops(r);
	for (i = 0; i < r->c->backend_count; i++)
		check_backend_tls(r, i);
	for (i = 0; i < r->c->policy_count; i++)
		check_policy(r, i);
	for (i = 0; i < r->c->listener_count; i++)
		check_client_dane(r, i);
}
