/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map, once.  The loader pins each under its own name.  Names are at most 15 bytes, as the kernel
 * keeps no more.  Array maps are keyed by a plain int and tries by a struct, else the kernel refuses their
 * type information (array_map_check_btf(), trie_check_btf()) and bpftool would print hex.
 */
#ifndef DANELAW_MAPS_H
#define DANELAW_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FRONT_VIPS_MAX);
	__type(key, struct vip_key);
	__type(value, struct vip);
} vips SEC(".maps");

#if defined(DANELAW_FRONT) || defined(DANELAW_TC)
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct front_config);
} front_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood);
} flood SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cookie_keys);
} cookie_keys SEC(".maps");
#endif

#ifdef DANELAW_TC
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cookie_stats);
} cookie_stats SEC(".maps");
#endif

#ifdef DANELAW_FRONT
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct front_stats);
} front_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VIP_PORT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} vip_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRONT_VERIFIED_DEFAULT); /* the loader sets what is configured */
	__type(key, struct source_key);
	__type(value, struct verified);
} verified SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRONT_BLOCKED_MAX);
	__type(key, struct source_key);
	__type(value, struct blocked);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRONT_BUCKETS);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood_cpu);
} flood_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct front_also);
} front_also SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FRONT_TUNNELS_MAX);
	__type(key, struct source_key);
	__type(value, struct tunnel_end);
} decap_to SEC(".maps");

/* inside[0]: front_inside, where front goes on when it has opened a tunnel */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} inside SEC(".maps");

/* spread[cpu]: its queue; carries no types, spread_cpus is its twin.  The loader sets the number of CPUs there are. */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32)); /* packets that it holds */
} spread SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRONT_WORKERS_MAX);
	__type(key, __u32);
	__type(value, struct spread_cpu);
} spread_cpus SEC(".maps");

#define PREFIX_MAP(name, prefix, entries)                                                                            \
	struct {                                                                                                     \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                                                 \
		__uint(max_entries, entries);                                                                        \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                \
		__type(key, struct prefix);                                                                          \
		__type(value, struct rule);                                                                          \
	} name SEC(".maps")

PREFIX_MAP(allow4, prefix4, FRONT_RULES_MAX);
PREFIX_MAP(allow6, prefix6, FRONT_RULES_MAX);
PREFIX_MAP(deny4, prefix4, FRONT_RULES_MAX);
PREFIX_MAP(deny6, prefix6, FRONT_RULES_MAX);
PREFIX_MAP(decap_from4, prefix4, FRONT_TUNNELS_MAX);
PREFIX_MAP(decap_from6, prefix6, FRONT_TUNNELS_MAX);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2 * FRONT_LIST_DEFAULT);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct allow_key);
	__type(value, struct rule);
} allow_list SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * LIST_FILES_MAX);
	__type(key, __u32);
	__type(value, struct list_file);
} list_files SEC(".maps");

/* The loader sets the sizes of these that are configured, and writes the arrays through mmap(2). */
#define LIST_ARRAY(name, entries, element)                                                                           \
	struct {                                                                                                     \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                    \
		__uint(max_entries, entries);                                                                        \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                   \
		__type(key, __u32);                                                                                  \
		__type(value, element);                                                                              \
	} name SEC(".maps")

LIST_ARRAY(list4_top, LIST_TOP_SLOTS, struct list_top);
LIST_ARRAY(list4_mid, LIST_TOP_SLOTS, struct list_mid);
LIST_ARRAY(list4_net, 2 * FRONT_LIST_DEFAULT, struct list_net);
LIST_ARRAY(list4_host, 2 * FRONT_LIST_DEFAULT, __u32);
LIST_ARRAY(list4_rule, 2 * FRONT_LIST_DEFAULT, struct listed);
LIST_ARRAY(list6_shape, 2, struct list6_shape);
LIST_ARRAY(list6_slot, 2 * LIST6_SLOTS * FRONT_LIST_DEFAULT, struct list6_slot);
LIST_ARRAY(list6_rule, 2 * FRONT_LIST_DEFAULT, struct listed6);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_RING_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event_cpu);
} event_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REASON_COUNT);
	__type(key, __u32);
	__type(value, struct front_newest);
} front_newest SEC(".maps");
#endif

#if defined(DANELAW_STEER) || defined(DANELAW_WATCH)
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, SOCKET_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");
#endif

#ifdef DANELAW_STEER
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_stats);
} steer_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_state);
} steer_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * FRONT_CPUS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} cpu_worker SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SOCKET_SLOTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct worker_key);
	__type(value, struct worker);
} workers SEC(".maps");
#endif

#endif
