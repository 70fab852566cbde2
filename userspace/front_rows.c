/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk through a hash or a trie that others change meanwhile.
 *
 * The kernel's BPF_MAP_GET_NEXT_KEY begins anew when the key it is given was taken out, as a full LRU map does all the
 * time: rows would be met twice, and the walk might never end.  Batches are another matter.  Those of a hash
 * go by its buckets, so nothing is met twice.  Those of a trie still go by keys, but in an order that is known
 * (children before their parent, from the lowest address up): after a new beginning what is not behind the last key is
 * passed over.  How often it may begin anew is bounded.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BATCH_ROWS = 1024,
	KEY_BYTES_MAX = 64, /* of our maps; also of the kernel's place in a hash */
	WALKS_MAX = 16,
};

struct walk {
	int map;
	bool trie;
	uint32_t key_size, value_size, room;
	uint8_t *keys, *values;
	uint8_t place[2][KEY_BYTES_MAX]; /* the kernel's, before and after a batch */
	bool begun;
	uint8_t last[KEY_BYTES_MAX]; /* the key that was visited last, if one was met */
	bool met;
	int64_t left; /* rows that may still be read */
};

static bool bit_of(const uint8_t *ip, uint32_t i)
{
	return ip[i / 8] >> (7 - i % 8) & 1;
}

/* In the order of a trie: does a come behind b? */
static bool is_behind(const uint8_t *a, const uint8_t *b)
{
	uint32_t a_len, b_len, i, min;

	memcpy(&a_len, a, sizeof(a_len));
	memcpy(&b_len, b, sizeof(b_len));
	a += sizeof(a_len);
	b += sizeof(b_len);
	min = a_len < b_len ? a_len : b_len;
	for (i = 0; i < min; i++)
		if (bit_of(a, i) != bit_of(b, i))
			return bit_of(a, i);
	return a_len < b_len;
}

static int make_room(struct walk *w, uint32_t rows)
{
	free(w->keys);
	free(w->values);
	w->keys = malloc((size_t)rows * w->key_size);
	w->values = malloc((size_t)rows * w->value_size);
	w->room = rows;
	return w->keys && w->values ? 0 : -ENOMEM;
}

static int open_walk(struct walk *w, int map)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(map, &info, &size))
		return -errno;
	if (info.key_size > KEY_BYTES_MAX)
		return -E2BIG;
	*w = (struct walk){ .map = map, .trie = info.type == BPF_MAP_TYPE_LPM_TRIE, .key_size = info.key_size,
			    .value_size = info.value_size, .left = (int64_t)WALKS_MAX * (info.max_entries + BATCH_ROWS) };
	return make_room(w, BATCH_ROWS);
}

/* 0, or -ENOENT: these are the last rows; another error: there are none. */
static int next_batch(struct walk *w, uint32_t *count)
{
	int code;

	*count = w->room;
	code = bpf_map_lookup_batch(w->map, w->begun ? w->place[0] : NULL, w->place[1], w->keys, w->values, count, NULL) ? -errno : 0;
	if (code == -EINTR)
		code = 0; /* a row went while it was read; those before it are there */
	if (code && code != -ENOENT)
		*count = 0;
	w->left -= 1 + (int64_t)*count;
	if (*count) {
		memcpy(w->place[0], w->place[1], sizeof(w->place[0]));
		w->begun = true;
	}
	return code == -ENOSPC ? make_room(w, w->room * 2) : code; /* a bucket is larger than the room */
}

/* False: enough. */
static bool visit_batch(struct walk *w, uint32_t count, front_visit_row *visit, void *ctx)
{
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *key = w->keys + (size_t)i * w->key_size;

		if (w->trie && w->met && !is_behind(key, w->last))
			continue;
		memcpy(w->last, key, w->key_size);
		w->met = true;
		if (!visit(ctx, key, w->values + (size_t)i * w->value_size))
			return false;
	}
	return true;
}

int front_each_row(int map, front_visit_row *visit, void *ctx)
{
	struct walk w = { 0 };
	int code = open_walk(&w, map);
	bool more = true;
	uint32_t count;

	while (!code && more && w.left > 0) {
		code = next_batch(&w, &count);
		more = visit_batch(&w, count, visit, ctx);
	}
	free(w.keys);
	free(w.values);
	if (code == -ENOENT || !more)
		return 0;
	return code ? code : -EAGAIN;
}

/* ---- rules that are over ---- */

uint64_t front_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool is_over(const struct rule *rule)
{
	return rule->until_ns && rule->until_ns <= front_now_ns();
}

struct sweep {
	int map;
	size_t gone;
};

static bool sweep_rule(void *ctx, const void *key, const void *value)
{
	struct sweep *sweep = ctx;
	struct rule now;

	if (!is_over(value))
		return true;
	/* somebody may have entered it anew since the batch was read */
	if (!bpf_map_lookup_elem(sweep->map, key, &now) && is_over(&now) && !bpf_map_delete_elem(sweep->map, key))
		sweep->gone++;
	return true;
}

size_t front_sweep_rules(int map)
{
	struct sweep sweep = { map, 0 };

	front_each_row(map, sweep_rule, &sweep);
	return sweep.gone;
}
