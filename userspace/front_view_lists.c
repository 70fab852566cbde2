/* SPDX-License-Identifier: BSD-2-Clause */
/* Deny and allow lists, the verified lane and blocked sources, row by row. */
#include "userspace/front_view_parts.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

union rule_key {
	struct prefix4 v4;
	struct prefix6 v6;
};

static const char *hand_map(enum front_list list, bool v4)
{
	if (list == FRONT_DENY)
		return v4 ? "deny4" : "deny6";
	return v4 ? "allow4" : "allow6";
}

/* A prefix shorter than the mapped range itself is one of IPv6. */
static bool is_v4(const struct net_prefix *prefix)
{
	return prefix->len >= 96 && net_is_v4(&prefix->ip);
}

static void make_key(const struct net_prefix *prefix, union rule_key *key)
{
	memset(key, 0, sizeof(*key));
	if (is_v4(prefix)) {
		key->v4.prefixlen = prefix->len - 96u;
		memcpy(key->v4.ip, &prefix->ip.s6_addr[12], 4);
	} else {
		key->v6.prefixlen = prefix->len;
		memcpy(key->v6.ip, prefix->ip.s6_addr, 16);
	}
}

static void set_prefix4(struct net_prefix *prefix, const uint8_t ip[4], uint32_t len)
{
	memset(prefix, 0, sizeof(*prefix));
	prefix->ip.s6_addr[10] = prefix->ip.s6_addr[11] = 0xff;
	memcpy(&prefix->ip.s6_addr[12], ip, 4);
	prefix->len = (uint8_t)(96 + len);
}

static void set_prefix6(struct net_prefix *prefix, const uint8_t ip[16], uint32_t len)
{
	memcpy(prefix->ip.s6_addr, ip, 16);
	prefix->len = (uint8_t)len;
}

static uint64_t left_ms(uint64_t until_ns)
{
	uint64_t now = front_now_ns();

	return until_ns > now ? (until_ns - now + 999999) / 1000000 : 0;
}

static void fill_rule(struct front_rule *out, const struct rule *rule, bool by_hand)
{
	out->hits = rule->hits;
	out->expires = rule->until_ns != 0;
	out->left_ms = rule->until_ns ? left_ms(rule->until_ns) : 0;
	out->by_hand = by_hand;
	out->file = rule->file;
	snprintf(out->comment, sizeof(out->comment), "%.*s", (int)sizeof(rule->comment) - 1, rule->comment);
}

/* A map of rules, for whoever wants them as such. */
struct rules_visit {
	void (*set_prefix)(struct net_prefix *prefix, const void *key);
	uint32_t set; /* of allow_list */
	bool by_hand;
	front_each_rule *each;
	void *ctx;
};

static void set_hand4(struct net_prefix *prefix, const void *key)
{
	const struct prefix4 *k = key;

	set_prefix4(prefix, k->ip, k->prefixlen);
}

static void set_hand6(struct net_prefix *prefix, const void *key)
{
	const struct prefix6 *k = key;

	set_prefix6(prefix, k->ip, k->prefixlen);
}

static void set_listed(struct net_prefix *prefix, const void *key)
{
	const struct allow_key *k = key;

	set_prefix6(prefix, k->ip, k->prefixlen - 8);
}

static bool visit_rule(void *ctx, const void *key, const void *value)
{
	const struct rules_visit *visit = ctx;
	const struct allow_key *listed = key;
	struct front_rule out;

	if (!visit->by_hand && listed->set != visit->set)
		return true;
	visit->set_prefix(&out.prefix, key);
	fill_rule(&out, value, visit->by_hand);
	visit->each(visit->ctx, &out);
	return true;
}

static int each_row(const struct front_view *v, const char *name, front_visit_row *visit, void *ctx)
{
	int map = front_view_map(v, name), code;

	if (map < 0)
		return map;
	code = front_each_row(map, visit, ctx);
	close(map);
	return code;
}

static int each_by_hand(const struct front_view *v, enum front_list list, bool v4, front_each_rule *each, void *ctx)
{
	struct rules_visit visit = { .set_prefix = v4 ? set_hand4 : set_hand6, .by_hand = true, .each = each, .ctx = ctx };
	int code = each_row(v, hand_map(list, v4), visit_rule, &visit);

	return code == -ENOENT ? 0 : code;
}

int front_view_rules(const struct front_view *v, enum front_list list, front_each_rule *each, void *ctx)
{
	int code = each_by_hand(v, list, true, each, ctx);

	return code ? code : each_by_hand(v, list, false, each, ctx);
}

/* Which sets the programs read now. */
static bool current_sets(const struct front_view *v, struct front_config *config)
{
	int map = front_view_map(v, "front_config");
	uint32_t zero = 0;
	bool found;

	if (map < 0)
		return false;
	found = !bpf_map_lookup_elem(map, &zero, config);
	close(map);
	return found;
}

static int each_in_set(const struct front_view *v, const char *name, uint32_t set, front_each_rule *each, void *ctx)
{
	struct rules_visit visit = { .set_prefix = set_listed, .set = set, .each = each, .ctx = ctx };

	return each_row(v, name, visit_rule, &visit);
}

union listed_row {
	struct listed v4;
	struct listed6 v6;
};
/* False: behind the last. */
typedef bool fill_listed(struct front_rule *out, const union listed_row *row);

static bool fill_listed4(struct front_rule *out, const union listed_row *row)
{
	out->hits = row->v4.hits;
	out->file = row->v4.file;
	snprintf(out->comment, sizeof(out->comment), "%.*s", (int)sizeof(row->v4.comment) - 1, row->v4.comment);
	return row->v4.prefix[0] && !net_parse_prefix(row->v4.prefix, &out->prefix);
}

static bool fill_listed6(struct front_rule *out, const union listed_row *row)
{
	out->hits = row->v6.hits;
	out->file = row->v6.file;
	snprintf(out->comment, sizeof(out->comment), "%.*s", (int)sizeof(row->v6.comment) - 1, row->v6.comment);
	set_prefix6(&out->prefix, row->v6.ip, row->v6.prefixlen);
	return row->v6.file != 0;
}

static int each_listed(const struct front_view *v, const char *name, uint32_t set, fill_listed *fill, front_each_rule *each, void *ctx)
{
	int map = front_view_map(v, name);
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info), i, end;
	struct front_rule out = { 0 };
	union listed_row row;

	if (map < 0)
		return map;
	if (bpf_obj_get_info_by_fd(map, &info, &size))
		info.max_entries = 0;
	i = set * (info.max_entries / 2);
	for (end = i + info.max_entries / 2; i < end && !bpf_map_lookup_elem(map, &i, &row) && fill(&out, &row); i++)
		each(ctx, &out);
	close(map);
	return 0;
}

int front_view_listed(const struct front_view *v, enum front_list list, front_each_rule *each, void *ctx)
{
	struct front_config config;
	int code;

	if (!current_sets(v, &config))
		return -ENOENT;
	if (list == FRONT_ALLOW)
		return config.allow_set ? each_in_set(v, "allow_list", config.allow_set, each, ctx) : 0;
	code = each_listed(v, "list4_rule", config.deny_list & 1, fill_listed4, each, ctx);
	return code ? code : each_listed(v, "list6_rule", config.deny_list & 1, fill_listed6, each, ctx);
}

struct same_key {
	const union rule_key *key;
	size_t size;
	uint64_t hits;
};

static bool find_same(void *ctx, const void *key, const void *value)
{
	struct same_key *same = ctx;

	if (memcmp(key, same->key, same->size))
		return true;
	same->hits = ((const struct rule *)value)->hits;
	return false;
}

/* The hits of a rule that stands already; LPM look-ups answer for shorter prefixes too, so keys are compared. */
static uint64_t hits_before(int map, const union rule_key *key, size_t size)
{
	struct same_key same = { key, size, 0 };

	front_each_row(map, find_same, &same);
	return same.hits;
}

int front_view_add_rule(const struct front_view *v, enum front_list list, const struct net_prefix *prefix, const char *comment,
			uint64_t ms)
{
	bool v4 = is_v4(prefix);
	int map = front_view_map(v, hand_map(list, v4)), code = 0;
	struct rule rule = { 0 };
	union rule_key key;

	if (map < 0)
		return map;
	make_key(prefix, &key);
	rule.hits = hits_before(map, &key, v4 ? sizeof(key.v4) : sizeof(key.v6));
	if (ms) {
		rule.until_ns = front_now_ns() + ms * 1000000;
		rule.prefixlen = v4 ? key.v4.prefixlen : key.v6.prefixlen;
	}
	snprintf(rule.comment, sizeof(rule.comment), "%s", comment);
	if (bpf_map_update_elem(map, &key, &rule, BPF_ANY))
		code = -errno;
	close(map);
	return code;
}

int front_view_del_rule(const struct front_view *v, enum front_list list, const struct net_prefix *prefix)
{
	int map = front_view_map(v, hand_map(list, is_v4(prefix))), code = 0;
	union rule_key key;

	if (map < 0)
		return map;
	make_key(prefix, &key);
	if (bpf_map_delete_elem(map, &key))
		code = -errno;
	close(map);
	return code;
}

/* ---- the files ---- */

int front_view_files(const struct front_view *v, void (*each)(void *ctx, const struct front_file_row *), void *ctx)
{
	int map = front_view_map(v, "list_files");
	struct front_file_row row;
	struct list_file file;

	_Static_assert(FRONT_FILES_MAX == 2 * LIST_FILES_MAX && sizeof(row.file) == sizeof(file.file) &&
			       sizeof(row.error) == sizeof(file.error), "as in the map");
	if (map < 0)
		return map;
	for (uint32_t i = 1; i <= FRONT_FILES_MAX; i++) {
		if (bpf_map_lookup_elem(map, &i, &file))
			continue;
		row = (struct front_file_row){ i, i > LIST_FILES_MAX ? FRONT_ALLOW : FRONT_DENY, "", file.prefixes, file.loaded_s,
					       file.failed_s, "" };
		snprintf(row.file, sizeof(row.file), "%.*s", (int)sizeof(file.file) - 1, file.file);
		snprintf(row.error, sizeof(row.error), "%.*s", (int)sizeof(file.error) - 1, file.error);
		each(ctx, &row);
	}
	close(map);
	return 0;
}

/* ---- rules that are over ---- */

size_t front_view_sweep(const struct front_view *v)
{
	size_t gone = 0;

	for (int i = 0; i < 4; i++) {
		int map = front_view_map(v, hand_map(i / 2 ? FRONT_ALLOW : FRONT_DENY, i % 2));

		if (map < 0)
			continue;
		gone += front_sweep_rules(map);
		close(map);
	}
	return gone;
}

/* ---- whose rule is it? ---- */

struct search {
	const struct in6_addr *source;
	struct front_rule *out;
	bool found;
};

/* The longest prefix that is not over, those of files before those by hand, as the program has it. */
static void match(void *ctx, const struct front_rule *rule)
{
	struct search *s = ctx;

	if ((rule->expires && !rule->left_ms) || !net_prefix_has(&rule->prefix, s->source))
		return;
	if (s->found && (s->out->by_hand == rule->by_hand ? s->out->prefix.len >= rule->prefix.len : !s->out->by_hand))
		return;
	*s->out = *rule;
	s->found = true;
}

bool front_view_find_denied(const struct front_view *v, const struct in6_addr *source, struct front_rule *out)
{
	struct search s = { source, out, false };

	front_view_listed(v, FRONT_DENY, match, &s);
	if (!s.found)
		front_view_rules(v, FRONT_DENY, match, &s);
	return s.found;
}

/* ---- sources ---- */

struct lane_visit {
	bool named; /* rows of verified; of blocked they are the same without a name */
	void (*each)(void *ctx, const struct front_lane_row *);
	void *ctx;
};
_Static_assert(offsetof(struct verified, until_ns) == offsetof(struct blocked, until_ns) &&
		       offsetof(struct verified, hits) == offsetof(struct blocked, hits), "one layout");

static bool visit_source(void *ctx, const void *key, const void *value)
{
	const struct lane_visit *visit = ctx;
	const struct blocked *entry = value;
	struct front_lane_row row = { .hits = entry->hits, .left_ms = left_ms(entry->until_ns) };

	memcpy(&row.source, key, sizeof(row.source));
	if (visit->named)
		snprintf(row.name, sizeof(row.name), "%.*s", (int)sizeof(row.name) - 1, ((const struct verified *)value)->name);
	visit->each(visit->ctx, &row);
	return true;
}

int front_view_verified(const struct front_view *v, void (*each)(void *ctx, const struct front_lane_row *), void *ctx)
{
	return each_row(v, "verified", visit_source, &(struct lane_visit){ true, each, ctx });
}

int front_view_blocked(const struct front_view *v, void (*each)(void *ctx, const struct front_lane_row *), void *ctx)
{
	return each_row(v, "blocked", visit_source, &(struct lane_visit){ false, each, ctx });
}
