/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sk_lookup: a new connection to any of our addresses goes to the listening socket of the worker that owns
 * the CPU it arrived on, so thousands of addresses need one listener a worker and port 25 needs no bind.
 *
 * The kernel asks here only for the first packet of a connection; later ones find their own socket.
 * A socket that is missing is never made up for by the kernel's own look-up, since that could hand our port to
 * some other service: the connection is refused.
 *
 * Sockets stand in two rows.  A new process fills the row that is not in use and then flips the generation,
 * so a restart refuses nobody.
 */
#define DANELAW_STEER
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
/* Shown by `bpftool prog show` as metadata. */
static volatile const char bpf_metadata_danelaw[] SEC(".rodata") __attribute__((used)) = DANELAW_VERSION;

enum { AF_INET = 2, AF_INET6 = 10, SEARCH_MAX = 8 };

static __always_inline struct vip *find_vip(struct bpf_sk_lookup *ctx)
{
	struct vip_key key = { .port = ctx->local_port };
	struct vip *vip;
	__u32 word;

	if (ctx->family == AF_INET) {
		key.ip[10] = key.ip[11] = 0xff;
		word = ctx->local_ip4;
		__builtin_memcpy(&key.ip[12], &word, 4);
	} else {
#pragma unroll
		for (int i = 0; i < 4; i++) {
			word = ctx->local_ip6[i];
			__builtin_memcpy(&key.ip[4 * i], &word, 4);
		}
	}
	vip = bpf_map_lookup_elem(&vips, &key);
	if (vip)
		return vip;
	if (ctx->family == AF_INET)
		__builtin_memset(&key.ip[12], 0, 4);
	else
		__builtin_memset(key.ip, 0, 16);
	return bpf_map_lookup_elem(&vips, &key);
}

/* Murmur3's finalizer over the peer's address and port. */
static __always_inline __u32 peer_hash(struct bpf_sk_lookup *ctx)
{
	__u32 h = ctx->remote_port;

	if (ctx->family == AF_INET)
		h ^= ctx->remote_ip4;
	else
		h ^= ctx->remote_ip6[0] ^ ctx->remote_ip6[1] ^ ctx->remote_ip6[2] ^ ctx->remote_ip6[3];
	h ^= h >> 16;
	h *= 0x85ebca6b;
	h ^= h >> 13;
	h *= 0xc2b2ae35;
	return h ^ h >> 16;
}

/* -1: no socket there; else STEER_assign_failed or 0. */
static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 slot)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockets, &slot);
	long err;

	if (!sk)
		return -1;
	err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return err ? STEER_assign_failed : 0;
}

static __always_inline int steer_to(struct bpf_sk_lookup *ctx, const struct steer_state *state, __u32 listener)
{
	__u32 slot = cpu_slot(state->generation, bpf_get_smp_processor_id());
	__u32 *owner = bpf_map_lookup_elem(&cpu_worker, &slot);
	int how = STEER_by_cpu, err;
	__u32 worker;

	if (!state->workers || state->workers > FRONT_WORKERS_MAX || listener >= FRONT_LISTENERS_MAX)
		return STEER_no_socket;
	if (owner && *owner < state->workers) {
		worker = *owner;
	} else {
		worker = peer_hash(ctx) % state->workers;
		how = STEER_by_hash;
	}
	for (int i = 0; i < SEARCH_MAX; i++) {
		err = assign(ctx, socket_slot(state->generation, listener, worker, ctx->family == AF_INET));
		if (err >= 0)
			return err ? err : how;
		how = STEER_by_search;
		worker = worker + 1 < state->workers ? worker + 1 : 0;
	}
	return STEER_no_socket;
}

static __always_inline int choose(struct bpf_sk_lookup *ctx)
{
	struct steer_state *state;
	struct vip *vip;
	__u32 zero = 0;

	if (ctx->protocol != IPPROTO_TCP)
		return STEER_not_ours;
	vip = find_vip(ctx);
	if (!vip)
		return STEER_not_ours;
	state = bpf_map_lookup_elem(&steer_state, &zero);
	if (!state)
		return STEER_error_config;
	return steer_to(ctx, state, vip->listener);
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	struct steer_stats *stats;
	__u32 zero = 0, reason = choose(ctx);

	stats = bpf_map_lookup_elem(&steer_stats, &zero);
	if (stats && reason < STEER_COUNT)
		((__u64 *)stats)[reason]++;
	return reason == STEER_no_socket || reason == STEER_assign_failed ? SK_DROP : SK_PASS;
}
