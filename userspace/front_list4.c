/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiles the bulk deny list of IPv4 into the shape that bpf/lists.h reads.
 *
 * Prefixes up to /16 go into the table of first 16 bits; the longer ones are cut or joined to /24s ("pieces"),
 * sorted, and each /24 becomes one entry of a hash: a rule for all of it, and a bit and a place for each of its
 * addresses that a longer prefix covers.  Where prefixes overlap the longest one's rule counts the hit.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TOPS = 65536, BATCH = 4096 };

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

static void *map_array(int fd, size_t entries, size_t stride)
{
	void *at = mmap(NULL, entries * stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

int front_map_list4(struct list4 *list, int net, int top, int host, int rule, size_t entries)
{
	list->net = net;
	list->entries = entries;
	list->top = map_array(top, LIST_TOP_SLOTS, sizeof(*list->top));
	list->host = map_array(host, 2 * entries, sizeof(*list->host));
	list->rule = map_array(rule, 2 * entries, sizeof(*list->rule));
	return list->top && list->host && list->rule ? 0 : -errno;
}

void front_unmap_list4(struct list4 *list)
{
	if (list->top)
		munmap(list->top, LIST_TOP_SLOTS * sizeof(*list->top));
	if (list->host)
		munmap(list->host, 2 * list->entries * sizeof(*list->host));
	if (list->rule)
		munmap(list->rule, 2 * list->entries * sizeof(*list->rule));
	if (list->net >= 0)
		close(list->net);
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
	top[ip >> 16].more = 1;
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

/* Where the hosts of /24s go: one after the other; those beyond the room are counted, not written. */
struct hosts {
	uint64_t *at;
	size_t first, count, room;
};

/* The pieces of one /24, as many as are returned. */
static size_t fill_net(const struct piece *at, const struct piece *end, struct list_net *net, struct hosts *hosts)
{
	uint32_t rules[256] = { 0 }, i;
	const struct piece *p = at;

	memset(net, 0, sizeof(*net));
	for (; p < end && p->first24 == at->first24; p++) {
		if (p->len <= 24) {
			net->rule = p->rule;
			continue;
		}
		for (i = 0; i < 1u << (32 - p->len); i++)
			rules[(p->ip & 255) + i] = p->rule;
	}
	net->first_host = (uint32_t)(hosts->first + hosts->count);
	for (i = 0; i < 256; i++) {
		if (!rules[i])
			continue;
		net->hosts[i >> 6] |= 1ull << (i & 63);
		if (hosts->count < hosts->room)
			hosts->at[hosts->first + hosts->count] = rules[i];
		hosts->count++;
	}
	return (size_t)(p - at);
}

struct net_keys {
	struct list_net_key *at;
	uint32_t count, room;
};

/* Adds those of a batch that belong to the set. */
static bool collect(struct net_keys *keys, const struct list_net_key *batch, uint32_t n, uint32_t set)
{
	struct list_net_key *more;

	if (keys->count + n > keys->room) {
		keys->room = keys->room * 2 + n;
		more = realloc(keys->at, keys->room * sizeof(*more));
		if (!more)
			return false;
		keys->at = more;
	}
	for (uint32_t i = 0; i < n; i++)
		if (batch[i].set == set)
			keys->at[keys->count++] = batch[i];
	return true;
}

static int find_nets(int map, uint32_t set, struct net_keys *keys)
{
	struct list_net_key *batch = calloc(BATCH, sizeof(*batch));
	struct list_net *nets = calloc(BATCH, sizeof(*nets));
	uint32_t at, count, *from = NULL;
	int code = batch && nets ? 0 : -ENOMEM;

	while (!code) {
		count = BATCH;
		if (bpf_map_lookup_batch(map, from, &at, batch, nets, &count, NULL))
			code = errno == ENOENT ? 1 : -errno; /* the last batch comes with ENOENT */
		if (code >= 0 && !collect(keys, batch, count, set))
			code = -ENOMEM;
		from = &at;
	}
	free(batch);
	free(nets);
	return code < 0 ? code : 0;
}

static int empty_nets(int map, uint32_t set)
{
	struct net_keys keys = { 0 };
	uint32_t done, n;
	int code = find_nets(map, set, &keys);

	for (done = 0; !code && done < keys.count; done += n) {
		n = keys.count - done < BATCH ? keys.count - done : BATCH;
		if (bpf_map_delete_batch(map, keys.at + done, &n, NULL))
			code = -errno;
	}
	free(keys.at);
	return code;
}

static int put_nets(int map, const struct list_net_key *keys, const struct list_net *nets, uint32_t count)
{
	uint32_t done, n;

	for (done = 0; done < count; done += n) {
		n = count - done < BATCH ? count - done : BATCH;
		if (bpf_map_update_batch(map, keys + done, nets + done, &n, NULL))
			return -errno;
	}
	return 0;
}

static int write_pieces(struct list4 *out, uint32_t set, struct pieces *pieces, struct front_err err)
{
	struct list_net_key *keys = calloc(pieces->count + 1, sizeof(*keys));
	struct list_net *nets = calloc(pieces->count + 1, sizeof(*nets));
	struct hosts hosts = { out->host, set * out->entries, 0, out->entries };
	size_t i, n = 0;
	int code = -ENOMEM;

	if (!keys || !nets)
		goto out;
	if (pieces->count)
		qsort(pieces->at, pieces->count, sizeof(*pieces->at), by_place);
	for (i = 0; i < pieces->count; n++) {
		keys[n] = (struct list_net_key){ set, pieces->at[i].first24 };
		i += fill_net(pieces->at + i, pieces->at + pieces->count, &nets[n], &hosts);
	}
	if (hosts.count > out->entries || n > out->entries)
		code = front_fail(err, -E2BIG, "the deny list covers %zu networks of /24 and %zu single addresses; there is room for "
				  "%zu of each (list-entries); the old list stays", n, hosts.count, out->entries);
	else
		code = put_nets(out->net, keys, nets, (uint32_t)n);
out:
	free(keys);
	free(nets);
	return code;
}

static void write_rule(struct listed *rule, const struct list_entry *entry)
{
	char text[NET_TEXT_MAX];

	memset(rule, 0, sizeof(*rule));
	snprintf(rule->prefix, sizeof(rule->prefix), "%.15s/%u", net_ip_text(&entry->prefix.ip, text), entry->prefix.len - 96u);
	snprintf(rule->comment, sizeof(rule->comment), "%.35s", entry->comment);
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

		if (prefix->len < 96 || !net_is_v4(&prefix->ip))
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
	int code = empty_nets(out->net, set);

	if (!code)
		code = place_all(out, set, list, &pieces, err);
	if (!code)
		code = write_pieces(out, set, &pieces, err);
	free(pieces.at);
	return code ? front_fail(err, code, "cannot compile the deny list: %s; the old list stays", strerror(-code)) : 0;
}
