/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiles the bulk deny list of IPv4 into the shape that bpf/lists.h reads.
 *
 * Prefixes up to /16 go into the table of first 16 bits; the longer ones are cut or joined to /24s ("pieces"),
 * sorted, and each /24 becomes one element of list4_net: a rule for all of it, and a bit and a place for each of its
 * addresses that a longer prefix covers.  The /24s of each /16 stand one behind the other, and list4_mid has a bit
 * for each of them.  Where prefixes overlap the longest one's rule counts the hit.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TOPS = 65536 };

struct piece {
	uint32_t first24;
	uint32_t ip; /* of the prefix, host order */
	uint32_t rule;
	uint8_t len;
};

struct pieces {
	struct piece *at;
	size_t count, room;
};

void *front_map_array(int fd, size_t entries, size_t stride)
{
	void *at = mmap(NULL, entries * stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

int front_map_list4(struct list4 *list, const struct list4_maps *maps, size_t entries)
{
	list->entries = entries;
	list->top = front_map_array(maps->top, LIST_TOP_SLOTS, sizeof(*list->top));
	list->mid = front_map_array(maps->mid, LIST_TOP_SLOTS, sizeof(*list->mid));
	list->net = front_map_array(maps->net, 2 * entries, sizeof(*list->net));
	list->host = front_map_array(maps->host, 2 * entries, sizeof(*list->host));
	list->rule = front_map_array(maps->rule, 2 * entries, sizeof(*list->rule));
	return list->top && list->mid && list->net && list->host && list->rule ? 0 : -errno;
}

void front_unmap_array(void *at, size_t entries, size_t stride)
{
	if (at)
		munmap(at, entries * stride);
}

void front_unmap_list4(struct list4 *list)
{
	front_unmap_array(list->top, LIST_TOP_SLOTS, sizeof(*list->top));
	front_unmap_array(list->mid, LIST_TOP_SLOTS, sizeof(*list->mid));
	front_unmap_array(list->net, 2 * list->entries, sizeof(*list->net));
	front_unmap_array(list->host, 2 * list->entries, sizeof(*list->host));
	front_unmap_array(list->rule, 2 * list->entries, sizeof(*list->rule));
}

static bool add_piece(struct pieces *pieces, struct piece piece)
{
	size_t room = pieces->room ? pieces->room * 2 : 4096;
	struct piece *at;

	if (pieces->count == pieces->room) {
		at = realloc(pieces->at, room * sizeof(*at));
		if (!at)
			return false;
		pieces->at = at;
		pieces->room = room;
	}
	pieces->at[pieces->count++] = piece;
	return true;
}

/* One prefix: its rule, and where it is to be found.  lens keeps the lengths of the prefixes behind top's rules. */
static bool place_prefix(struct list_top *top, uint8_t *lens, struct pieces *pieces, uint32_t ip, uint8_t len, uint32_t rule)
{
	uint32_t i, n;

	if (len <= 16) {
		for (i = ip >> 16, n = 1u << (16 - len); n; i++, n--) {
			if (top[i].rule && lens[i] > len)
				continue;
			top[i].rule = rule;
			lens[i] = len;
		}
		return true;
	}
	n = len < 24 ? 1u << (24 - len) : 1;
	for (i = 0; i < n; i++)
		if (!add_piece(pieces, (struct piece){ (ip >> 8) + i, ip, rule, len }))
			return false;
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->first24 != y->first24)
		return x->first24 < y->first24 ? -1 : 1;
	return (int)x->len - (int)y->len; /* the longest last, so that it wins */
}

/* Elements of one array of a set, written one after the other; those beyond the room are counted, not written. */
struct run {
	size_t first, count, room;
};

/* Counts one more; its place, or SIZE_MAX. */
static size_t one_more(struct run *run)
{
	return run->count++ < run->room ? run->first + run->count - 1 : SIZE_MAX;
}

static void set_bit(struct list_bits *b, uint32_t i)
{
	b->bits[i >> 6] |= 1ull << (i & 63);
	for (uint32_t word = (i >> 6) + 1; word < 4; word++)
		b->before[word]++;
}

/* The pieces of one /24, as many as are returned. */
static size_t fill_net(const struct piece *at, const struct piece *end, struct list_net *net, uint64_t *out, struct run *hosts)
{
	uint32_t rules[256] = { 0 }, i;
	const struct piece *p = at;
	size_t place;

	memset(net, 0, sizeof(*net));
	for (; p < end && p->first24 == at->first24; p++) {
		if (p->len <= 24) {
			net->rule = p->rule;
			continue;
		}
		for (i = 0; i < 1u << (32 - p->len); i++)
			rules[(p->ip & 255) + i] = p->rule;
	}
	net->hosts.first = (uint32_t)(hosts->first + hosts->count);
	for (i = 0; i < 256; i++) {
		if (!rules[i])
			continue;
		set_bit(&net->hosts, i);
		place = one_more(hosts);
		if (place != SIZE_MAX)
			out[place] = rules[i];
	}
	return (size_t)(p - at);
}

static int write_pieces(struct list4 *out, uint32_t set, struct pieces *pieces, struct front_err err)
{
	struct run nets = { set * out->entries, 0, out->entries }, hosts = nets;
	struct list_net net;
	size_t i, place;

	if (pieces->count)
		qsort(pieces->at, pieces->count, sizeof(*pieces->at), by_place);
	for (i = 0; i < pieces->count;) {
		uint32_t first24 = pieces->at[i].first24, slot = list_top_slot(set, first24 >> 8);

		if (!out->top[slot].more) {
			out->top[slot].more = 1;
			out->mid[slot] = (struct list_mid){ .nets.first = (uint32_t)(nets.first + nets.count) };
		}
		set_bit(&out->mid[slot].nets, first24 & 255);
		place = one_more(&nets);
		i += fill_net(pieces->at + i, pieces->at + pieces->count, &net, out->host, &hosts);
		if (place != SIZE_MAX)
			out->net[place] = net;
	}
	if (hosts.count > out->entries || nets.count > out->entries)
		return front_fail(err, -E2BIG, "the deny list covers %zu networks of /24 and %zu single addresses; there is room for "
				  "%zu of each (list-entries); the old list stays", nets.count, hosts.count, out->entries);
	return 0;
}

static void write_rule(struct listed *rule, const struct list_entry *entry)
{
	char text[NET_TEXT_MAX];

	memset(rule, 0, sizeof(*rule));
	snprintf(rule->prefix, sizeof(rule->prefix), "%.15s/%u", net_ip_text(&entry->prefix.ip, text), entry->prefix.len - 96u);
	rule->file = entry->file;
	snprintf(rule->comment, sizeof(rule->comment), "%.31s", entry->comment);
}

static int place_all(struct list4 *out, uint32_t set, const struct list *list, struct pieces *pieces, struct front_err err)
{
	struct list_top *top = out->top + list_top_slot(set, 0);
	uint32_t first = (uint32_t)(set * out->entries), rules = 0, ip;
	uint8_t *lens = calloc(1, TOPS);
	int code = lens ? 0 : -ENOMEM;
	size_t i;

	memset(top, 0, TOPS * sizeof(*top));
	for (i = 0; i < list->count && !code; i++) {
		const struct net_prefix *prefix = &list->at[i].prefix;

		if (!front_is_v4_prefix(prefix))
			continue;
		if (rules == out->entries) {
			code = front_fail(err, -E2BIG, "the deny list has more than %zu IPv4 prefixes (list-entries); the old list stays",
					  out->entries);
			break;
		}
		write_rule(&out->rule[first + rules++], &list->at[i]);
		memcpy(&ip, &prefix->ip.s6_addr[12], 4);
		if (!place_prefix(top, lens, pieces, be32toh(ip), prefix->len - 96, first + rules))
			code = -ENOMEM;
	}
	if (rules < out->entries)
		memset(&out->rule[first + rules], 0, sizeof(*out->rule)); /* ends the list for who reads it */
	free(lens);
	return code;
}

int front_fill_list4(struct list4 *out, uint32_t set, const struct list *list, struct front_err err)
{
	struct pieces pieces = { 0 };
	int code = place_all(out, set, list, &pieces, err);

	if (!code)
		code = write_pieces(out, set, &pieces, err);
	free(pieces.at);
	return code ? front_fail(err, code, "cannot compile the deny list: %s; the old list stays", strerror(-code)) : 0;
}
