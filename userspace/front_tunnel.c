/* SPDX-License-Identifier: BSD-2-Clause */
/* Which tunnels end here: decap_to and decap_from4/6 as configured; bpf/decap.h reads them. */
#include "userspace/front_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool wanted_to(const struct front_settings *set, const void *key)
{
	size_t i;

	for (i = 0; i < set->decap_to_count; i++)
		if (!memcmp(key, &set->decap_to[i], sizeof(set->decap_to[i])))
			return true;
	return false;
}

static bool wanted_from4(const struct front_settings *set, const void *key)
{
	const struct prefix4 *at = key;
	size_t i;

	for (i = 0; i < set->decap_from_count; i++)
		if (net_is_v4(&set->decap_from[i].ip) && set->decap_from[i].len == at->prefixlen + 96 &&
		    !memcmp(at->ip, &set->decap_from[i].ip.s6_addr[12], 4))
			return true;
	return false;
}

static bool wanted_from6(const struct front_settings *set, const void *key)
{
	const struct prefix6 *at = key;
	size_t i;

	for (i = 0; i < set->decap_from_count; i++)
		if (!net_is_v4(&set->decap_from[i].ip) && set->decap_from[i].len == at->prefixlen &&
		    !memcmp(at->ip, &set->decap_from[i].ip, 16))
			return true;
	return false;
}

struct tunnel_rows {
	int map;
	bool (*wanted)(const struct front_settings *, const void *key);
	const struct front_settings *set;
};

static bool drop_unwanted(void *ctx, const void *key, const void *value)
{
	const struct tunnel_rows *rows = ctx;

	if (!rows->wanted(rows->set, key))
		bpf_map_delete_elem(rows->map, key);
	return true;
}

/* Rows of an earlier configuration go. */
static int drop_old(int map, bool (*wanted)(const struct front_settings *, const void *), const struct front_settings *set)
{
	return front_each_row(map, drop_unwanted, &(struct tunnel_rows){ map, wanted, set });
}

/* Rows that are there keep what they have counted. */
static int put(int map, const void *key, const void *value)
{
	return bpf_map_update_elem(map, key, value, BPF_NOEXIST) && errno != EEXIST ? -errno : 0;
}

static int put_from(const struct front_tunnel_maps *maps, const struct net_prefix *p)
{
	struct rule rule = { .comment = "decap-from" };
	struct prefix4 key4 = { .prefixlen = p->len - 96u };
	struct prefix6 key6 = { .prefixlen = p->len };

	if (net_is_v4(&p->ip) && p->len >= 96) {
		memcpy(key4.ip, &p->ip.s6_addr[12], 4);
		return put(maps->from4, &key4, &rule);
	}
	memcpy(key6.ip, &p->ip, 16);
	return put(maps->from6, &key6, &rule);
}

static int put_to(const struct front_tunnel_maps *maps, const struct in6_addr *ip)
{
	char text[NET_TEXT_MAX];
	struct tunnel_end end = { 0 };
	struct source_key key;

	memcpy(key.ip, ip, 16);
	snprintf(end.text, sizeof(end.text), "%.39s", net_ip_text(ip, text));
	return put(maps->to, &key, &end);
}

int front_fill_tunnels(const struct front_settings *set, const struct front_tunnel_maps *maps, struct front_err err)
{
	int code = 0;
	size_t i;

	if (set->decap_from_count > FRONT_TUNNELS_MAX || set->decap_to_count > FRONT_TUNNELS_MAX)
		return front_fail(err, -E2BIG, "decap-from and decap-to take at most %d addresses each", FRONT_TUNNELS_MAX);
	code = drop_old(maps->to, wanted_to, set);
	if (!code)
		code = drop_old(maps->from4, wanted_from4, set);
	if (!code)
		code = drop_old(maps->from6, wanted_from6, set);
	for (i = 0; i < set->decap_to_count && !code; i++)
		code = put_to(maps, &set->decap_to[i]);
	for (i = 0; i < set->decap_from_count && !code; i++)
		code = put_from(maps, &set->decap_from[i]);
	return code ? front_fail(err, code, "cannot write the tunnels into the front's maps: %s", strerror(-code)) : 0;
}
