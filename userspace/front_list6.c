/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiles the bulk deny list of IPv6 into the shape that bpf/lists.h reads.
 *
 * The lengths that its prefixes have make a balanced tree of steps.  A prefix is a key at the step of its length, and, at each
 * shorter step on the way there, so is its address cut to that step's length: a mark that sends on to longer ones.  Each key
 * says which rule covers it, so that a look-up that went too far never turns back.  Keys find places in a hash
 * without searching (bpf/list6.h): bucket by bucket, the fullest first, a seed is tried after the other until all of
 * the bucket's keys fall on free places.
 */
#include "userspace/front_parts.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	BUCKET_MAX = 64, /* keys; no list comes near */
	SEEDS = 65536,
	SECRETS = 8, /* that are tried: one in thousands has two keys that no seed parts */
};

struct key6 {
	uint64_t high, low; /* host order */
	uint32_t rule;
	uint8_t step, longer;
};

struct keys6 {
	struct key6 *at;
	size_t count, room;
};

/* The steps, by length and by number. */
struct tree6 {
	uint8_t step_of[129], len_of[LIST6_STEPS + 1];
	uint8_t shorter[LIST6_STEPS + 1], longer[LIST6_STEPS + 1];
	unsigned count;
	uint8_t root;
};

int front_map_list6(struct list6 *list, const struct list6_maps *maps, size_t entries)
{
	list->entries = entries;
	list->shape = front_map_array(maps->shape, 2, sizeof(*list->shape));
	list->slot = front_map_array(maps->slot, 2 * LIST6_SLOTS * entries, sizeof(*list->slot));
	list->rule = front_map_array(maps->rule, 2 * entries, sizeof(*list->rule));
	return list->shape && list->slot && list->rule ? 0 : -errno;
}

void front_unmap_list6(struct list6 *list)
{
	front_unmap_array(list->shape, 2, sizeof(*list->shape));
	front_unmap_array(list->slot, 2 * LIST6_SLOTS * list->entries, sizeof(*list->slot));
	front_unmap_array(list->rule, 2 * list->entries, sizeof(*list->rule));
}

static bool add_key(struct keys6 *keys, struct key6 key)
{
	size_t room = keys->room ? keys->room * 2 : 4096;
	struct key6 *at;

	if (keys->count == keys->room) {
		at = realloc(keys->at, room * sizeof(*at));
		if (!at)
			return false;
		keys->at = at;
		keys->room = room;
	}
	keys->at[keys->count++] = key;
	return true;
}

static struct key6 cut(struct key6 key, unsigned len)
{
	key.high &= len >= 64 ? ~0ull : ~(~0ull >> len);
	key.low &= len <= 64 ? 0 : ~0ull << (128 - len);
	return key;
}

static bool same_ip(const struct key6 *a, const struct key6 *b)
{
	return a->high == b->high && a->low == b->low;
}

/* Shorter prefixes before those inside of them, and of two that are the same the one that was listed last behind. */
static int by_ip(const void *a, const void *b)
{
	const struct key6 *x = a, *y = b;

	if (x->high != y->high)
		return x->high < y->high ? -1 : 1;
	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	if (x->step != y->step)
		return (int)x->step - (int)y->step;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static void sort_keys(struct keys6 *keys)
{
	if (keys->count)
		qsort(keys->at, keys->count, sizeof(*keys->at), by_ip);
}

/* Of steps first to last; the lower middle goes first, so that who is on no list is done the sooner. */
static uint8_t plant(struct tree6 *tree, int first, int last)
{
	int middle = (first + last) / 2;

	if (first > last)
		return 0;
	tree->shorter[middle] = plant(tree, first, middle - 1);
	tree->longer[middle] = plant(tree, middle + 1, last);
	return (uint8_t)middle;
}

static void make_tree(struct tree6 *tree, const bool lens[129])
{
	memset(tree, 0, sizeof(*tree));
	for (unsigned len = 1; len <= 128; len++) {
		if (!lens[len])
			continue;
		tree->step_of[len] = (uint8_t)++tree->count;
		tree->len_of[tree->count] = (uint8_t)len;
	}
	tree->root = plant(tree, 1, (int)tree->count);
}

static void write_rule(struct listed6 *rule, const struct list_entry *entry)
{
	memset(rule, 0, sizeof(*rule));
	memcpy(rule->ip, entry->prefix.ip.s6_addr, 16);
	rule->prefixlen = entry->prefix.len;
	rule->file = entry->file;
	snprintf(rule->comment, sizeof(rule->comment), "%.31s", entry->comment);
}

/* The rules, in the order of the files, and the prefixes; step is still their length. */
static int write_rules(struct list6 *out, uint32_t set, const struct list *list, struct keys6 *prefixes, struct front_err err)
{
	uint32_t first = (uint32_t)(set * out->entries), rules = 0;
	uint64_t words[2];
	size_t i;

	for (i = 0; i < list->count; i++) {
		const struct net_prefix *prefix = &list->at[i].prefix;

		if (front_is_v4_prefix(prefix))
			continue;
		if (rules == out->entries)
			return front_fail(err, -E2BIG, "the deny list has more than %zu IPv6 prefixes (list-entries); the old list stays",
					  out->entries);
		write_rule(&out->rule[first + rules++], &list->at[i]);
		memcpy(words, prefix->ip.s6_addr, 16);
		if (!add_key(prefixes, (struct key6){ be64toh(words[0]), be64toh(words[1]), first + rules, prefix->len }))
			return -ENOMEM;
	}
	if (rules < out->entries)
		memset(&out->rule[first + rules], 0, sizeof(*out->rule)); /* ends the list for who reads it */
	return 0;
}

/* A prefix of this length, and the marks on the way to it; marks that the prefix before left, too, stand in last. */
static bool add_prefix(struct keys6 *keys, const struct tree6 *tree, struct key6 prefix, unsigned len, struct key6 *last)
{
	uint8_t step = tree->step_of[len], at = tree->root;

	prefix.step = step;
	while (at != step) {
		struct key6 mark = cut(prefix, tree->len_of[at]);

		if (tree->len_of[at] > len) {
			at = tree->shorter[at];
			continue;
		}
		mark.rule = 0;
		mark.step = at;
		mark.longer = tree->longer[at];
		if (!last[at].step || !same_ip(&last[at], &mark)) {
			if (!add_key(keys, mark))
				return false;
			last[at] = mark;
		}
		at = tree->longer[at];
	}
	return add_key(keys, prefix);
}

/* What stands twice becomes one. */
static void merge(struct keys6 *keys)
{
	size_t i, n = 0;

	for (i = 0; i < keys->count; i++) {
		struct key6 *key = &keys->at[i], *before = n ? &keys->at[n - 1] : NULL;

		if (!before || !same_ip(before, key) || before->step != key->step) {
			keys->at[n++] = *key;
			continue;
		}
		before->rule = key->rule; /* sorted: a mark first, which knows the way on, and the last listed last */
	}
	keys->count = n;
}

/* Marks get the rule of the longest prefix around them. */
static void cover(struct keys6 *keys, const struct tree6 *tree, uint32_t all)
{
	const struct key6 *around[LIST6_STEPS];
	size_t i, depth = 0;

	for (i = 0; i < keys->count; i++) {
		struct key6 *key = &keys->at[i];

		while (depth) {
			struct key6 inside = cut(*key, tree->len_of[around[depth - 1]->step]);

			if (same_ip(around[depth - 1], &inside))
				break;
			depth--;
		}
		if (key->rule)
			around[depth++] = key;
		else
			key->rule = depth ? around[depth - 1]->rule : all;
	}
}

/* All keys of a list, and its tree; *all: the rule of ::/0. */
static bool make_keys(struct keys6 *prefixes, struct tree6 *tree, struct keys6 *keys, uint32_t *all)
{
	struct key6 last[LIST6_STEPS + 1] = { 0 };
	bool lens[129] = { false };
	size_t i;

	sort_keys(prefixes);
	for (i = 0; i < prefixes->count; i++)
		lens[prefixes->at[i].step] = true;
	make_tree(tree, lens);
	for (i = 0; i < prefixes->count; i++) {
		if (!prefixes->at[i].step)
			*all = prefixes->at[i].rule;
		else if (!add_prefix(keys, tree, prefixes->at[i], prefixes->at[i].step, last))
			return false;
	}
	sort_keys(keys);
	merge(keys);
	cover(keys, tree, *all);
	return true;
}

static void write_shape(struct list6_shape *shape, const struct tree6 *tree, uint32_t rule)
{
	memset(shape, 0, sizeof(*shape));
	shape->step = tree->root;
	shape->rule = rule;
	for (unsigned i = 1; i <= tree->count; i++) {
		struct key6 mask = cut((struct key6){ ~0ull, ~0ull }, tree->len_of[i]);
		uint64_t words[2] = { htobe64(mask.high), htobe64(mask.low) };

		memcpy(shape->steps[i - 1].mask, words, 16);
		shape->steps[i - 1].shorter = tree->shorter[i];
		shape->steps[i - 1].prefixlen = tree->len_of[i];
	}
}

/* ---- places ---- */

static uint64_t hash_of(const struct list6_shape *shape, const struct key6 *key)
{
	return list6_hash(shape, htobe64(key->high), htobe64(key->low), key->step);
}

static void put_key(struct list6_slot *slot, const struct key6 *key)
{
	uint64_t words[2] = { htobe64(key->high), htobe64(key->low) };

	memcpy(slot->ip, words, 16);
	slot->rule = key->rule;
	slot->step = key->step;
	slot->longer = key->longer;
}

/* Places for one bucket's keys; false: no seed finds any. */
static bool place_bucket(const struct list6_shape *shape, struct list6_slot *slots, uint32_t bucket, const struct keys6 *keys,
			 const uint32_t *members, size_t count)
{
	uint64_t hashes[BUCKET_MAX];
	size_t i, placed;

	if (count > BUCKET_MAX)
		return false;
	for (i = 0; i < count; i++)
		hashes[i] = hash_of(shape, &keys->at[members[i]]);
	for (uint32_t seed = 0; seed < SEEDS; seed++) {
		for (placed = 0; placed < count; placed++) {
			struct list6_slot *slot = &slots[list6_place(shape, hashes[placed], (uint16_t)seed)];

			if (slot->step)
				break;
			put_key(slot, &keys->at[members[placed]]);
		}
		if (placed == count) {
			slots[bucket].seed = (uint16_t)seed;
			return true;
		}
		while (placed--)
			slots[list6_place(shape, hashes[placed], (uint16_t)seed)].step = 0;
	}
	return false;
}

/* Keys by their buckets: those of bucket i are members[starts[i]] up to starts[i + 1]; the most that one has. */
static size_t sort_buckets(const struct list6_shape *shape, const struct keys6 *keys, uint32_t *starts, uint32_t *members)
{
	size_t i, most = 0;

	memset(starts, 0, (shape->slots + 1) * sizeof(*starts));
	for (i = 0; i < keys->count; i++)
		starts[list6_bucket(shape, hash_of(shape, &keys->at[i]))]++;
	for (i = 0; i <= shape->slots; i++) {
		most = starts[i] > most ? starts[i] : most;
		starts[i] += i ? starts[i - 1] : 0;
	}
	for (i = keys->count; i--;)
		members[--starts[list6_bucket(shape, hash_of(shape, &keys->at[i]))]] = (uint32_t)i;
	return most;
}

static bool place_keys(const struct list6_shape *shape, struct list6_slot *slots, const struct keys6 *keys, uint32_t *starts,
		       uint32_t *members)
{
	size_t size = sort_buckets(shape, keys, starts, members);

	memset(slots, 0, shape->slots * sizeof(*slots));
	for (; size; size--)
		for (uint32_t i = 0; i < shape->slots; i++)
			if (starts[i + 1] - starts[i] == size && !place_bucket(shape, slots, i, keys, members + starts[i], size))
				return false;
	return true;
}

/* Under a secret, so that nobody can make lists that are hard to place. */
static int write_slots(struct list6 *out, uint32_t set, const struct keys6 *keys, struct front_err err)
{
	size_t room = LIST6_SLOTS * out->entries, slots = keys->count + keys->count / 8 + 1;
	struct list6_shape *shape = &out->shape[set];
	uint32_t *starts, *members;
	int code = -ENOMEM;

	if (slots > room)
		return front_fail(err, -E2BIG, "the IPv6 prefixes of the deny list, of many lengths, take %zu places; there is room for "
				  "%zu (list-entries); the old list stays", slots, room);
	shape->slots = (uint32_t)slots;
	shape->first = (uint32_t)(set * room);
	starts = calloc(slots + 1, sizeof(*starts));
	members = calloc(keys->count + 1, sizeof(*members));
	for (int i = 0; starts && members && code && i < SECRETS; i++) {
		if (getrandom(shape->secret, sizeof(shape->secret), 0) != sizeof(shape->secret))
			shape->secret[0] += 0x9e3779b97f4a7c15ull;
		code = place_keys(shape, out->slot + shape->first, keys, starts, members) ? 0 : -EAGAIN;
	}
	free(members);
	free(starts);
	return code;
}

int front_fill_list6(struct list6 *out, uint32_t set, const struct list *list, struct front_err err)
{
	struct keys6 prefixes = { 0 }, keys = { 0 };
	struct tree6 tree;
	uint32_t all = 0;
	int code = write_rules(out, set, list, &prefixes, err);

	if (!code && !make_keys(&prefixes, &tree, &keys, &all))
		code = -ENOMEM;
	if (!code) {
		write_shape(&out->shape[set], &tree, all);
		code = write_slots(out, set, &keys, err);
	}
	free(prefixes.at);
	free(keys.at);
	return code ? front_fail(err, code, "cannot compile the deny list: %s; the old list stays", strerror(-code)) : 0;
}
