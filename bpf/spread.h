/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Spreading over CPUs in software, for cards that cannot: of one queue, or that see only the tunnel around a packet
 * and hash that.  What a connection to us sends goes to one CPU of the workers, chosen by a keyed hash of both ends (of
 * the packet inside, if there was a tunnel), through a cpumap; a thread of the kernel's on that CPU hands it to the
 * stack there, so that steer, the session's timers and its worker meet on one CPU.  Where it is on that CPU already it
 * just passes.
 *
 * A fragment passes where it is, as its later parts show no ports.  Where the map has no queue for the CPU, the
 * packet passes where it is.  (A queue that is full drops: the kernel finds that out when this program is over.)
 */
#ifndef DANELAW_SPREAD_H
#define DANELAW_SPREAD_H

#include "bpf/abi.h"
#include "bpf/also.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/sip.h"

/* Keyed, so that nobody can choose connections that meet on one CPU. */
static __always_inline __u64 flow_hash(const struct front_config *config, const struct address *from, const struct address *to,
				       __u32 ports)
{
	struct sip s;

	sip_start(&s, config->secret);
	sip24_word(&s, from->words[1]);
	sip24_word(&s, to->words[1]);
	if (!from->v4) {
		sip24_word(&s, from->words[0]);
		sip24_word(&s, to->words[0]);
	}
	sip24_word(&s, ports);
	return sip24_end(&s);
}

/* The CPU of the connection's worker, counted from 1; 0: none can be told.  A function of its own, for the stack's sake. */
__noinline int spread_home(const struct address *from, const struct address *to, __u32 ports)
{
	struct front_config *config;
	struct spread_cpu *chosen;
	__u32 zero = 0, place;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || !from || !to)
		return 0;
	place = (flow_hash(config, from, to, ports) >> 32) * config->spread_cpus >> 32;
	chosen = bpf_map_lookup_elem(&spread_cpus, &place);
	return chosen ? chosen->cpu + 1 : 0;
}

/* The last word on a packet of a connection that passes. */
static __always_inline int pass_spread(__u32 home)
{
	__u32 cpu = home - 1;

	if (cpu == bpf_get_smp_processor_id()) {
		count_also(ALSO_spread_here);
		return XDP_PASS;
	}
	if (bpf_redirect_map(&spread, cpu, XDP_PASS) != XDP_REDIRECT) {
		count_also(ALSO_spread_failed);
		return XDP_PASS;
	}
	count_also(ALSO_spread_sent);
	return XDP_REDIRECT;
}

#endif
