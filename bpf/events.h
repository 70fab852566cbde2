/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Samples of what is dropped, for people: a ring buffer that `danelawctl front events` drains, and one row a
 * reason with its newest source.
 *
 * A flood must not pay for being watched.  Each CPU takes at most one sample of a reason in EVENT_INTERVAL_NS;
 * before the clock is asked, the kernel's tick counter (one load) answers for all packets but the first of a tick.
 * A full ring loses samples, never packets.
 */
#ifndef DANELAW_EVENTS_H
#define DANELAW_EVENTS_H

#include "bpf/abi.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

/* This CPU may take a sample of this reason now. */
static __always_inline _Bool take_sample(__u32 reason)
{
	__u64 tick = bpf_jiffies64(), now;
	struct event_cpu *mine;
	__u32 zero = 0;

	mine = bpf_map_lookup_elem(&event_cpu, &zero);
	if (!mine || reason >= REASON_COUNT || mine->tick[reason] == tick)
		return 0;
	mine->tick[reason] = tick;
	now = bpf_ktime_get_coarse_ns();
	if (now < mine->next_ns[reason])
		return 0;
	mine->next_ns[reason] = now + EVENT_INTERVAL_NS;
	return 1;
}

static __always_inline void note_newest(const struct address *from, __u32 reason, __u64 now)
{
	struct front_newest *newest = bpf_map_lookup_elem(&front_newest, &reason);

	if (!newest)
		return;
	newest->time_ns = now;
	__builtin_memcpy(newest->source, from->ip, 16);
}

__noinline int send_sample(struct xdp_md *ctx, const struct address *from, __u32 reason)
{
	__u32 length = bpf_xdp_get_buff_len(ctx), captured = length;
	__u64 now = bpf_ktime_get_ns();
	struct front_event *event;

	if (!from)
		return 0;
	note_newest(from, reason, now);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	if (captured > EVENT_BYTES)
		captured = EVENT_BYTES;
	barrier_var(captured);
	captured = ((captured - 1) & (EVENT_BYTES - 1)) + 1; /* as it was; the verifier of Linux 6.1 sees it in this form only */
	event->time_ns = now;
	event->ifindex = ctx->ingress_ifindex;
	event->reason = reason;
	event->length = length;
	event->captured = 0;
	if (!bpf_xdp_load_bytes(ctx, 0, event->packet, captured))
		event->captured = captured;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* For every packet that is dropped. */
static __always_inline void sample_drop(struct xdp_md *ctx, const struct address *from, __u32 reason)
{
	if (take_sample(reason))
		send_sample(ctx, from, reason);
}

#endif
