/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What kernel programs, daemon and danelawctl share: keys and values of the pinned maps.
 *
 * Made to be read with bpftool: ports in host order, units in the names of fields, addresses as bytes in
 * network order, IPv4 v4-mapped (::ffff:a.b.c.d) wherever one map serves both families.  Fixed widths, no
 * hidden padding, sizes asserted.  A change of meaning that keeps the sizes needs a new FRONT_ABI: maps of an
 * earlier run are taken over only when abi and sizes agree.
 */
#ifndef DANELAW_ABI_H
#define DANELAW_ABI_H

#include <linux/types.h>

#define FRONT_ABI 9

enum {
	FRONT_VIPS_MAX = 16384,
	FRONT_LISTENERS_MAX = 64,
	FRONT_WORKERS_MAX = 256,
	FRONT_CPUS_MAX = 1024,
	FRONT_RULES_MAX = 65536,     /* deny4, deny6, allow4, allow6: entries made by hand */
	FRONT_LIST_DEFAULT = 1 << 18, /* prefixes of the bulk lists, when the settings do not say */
	FRONT_VERIFIED_DEFAULT = 65536, /* entries of verified, when the settings do not say */
	FRONT_BLOCKED_MAX = 65536,
	FRONT_TUNNELS_MAX = 1024, /* decap_to, decap_from4, decap_from6 */
	FRONT_TEXT = 40,
	FRONT_NO_WORKER = 0xffffffff,
};

enum front_verdict { VERDICT_PASS, VERDICT_DROP, VERDICT_TX };

enum front_reason {
#define REASON(number, symbol, verdict, sentence) REASON_##symbol = number,
#include "bpf/reasons.def"
#define REASON(number, symbol, verdict, sentence) +1
	REASON_COUNT = 0
#include "bpf/reasons.def"
};

enum steer_reason {
#define STEER(number, symbol, sentence) STEER_##symbol = number,
#include "bpf/reasons.def"
#define STEER(number, symbol, sentence) +1
	STEER_COUNT = 0
#include "bpf/reasons.def"
};

enum cookie_reason {
#define COOKIE(number, symbol, sentence) COOKIE_##symbol = number,
#include "bpf/reasons.def"
#define COOKIE(number, symbol, sentence) +1
	COOKIE_COUNT = 0
#include "bpf/reasons.def"
};

enum also_reason {
#define ALSO(number, symbol, sentence) ALSO_##symbol = number,
#include "bpf/reasons.def"
#define ALSO(number, symbol, sentence) +1
	ALSO_COUNT = 0
#include "bpf/reasons.def"
};

/* front_stats, front_also, cookie_stats, steer_stats: one entry a CPU, one named counter a reason */
struct front_stats {
#define REASON(number, symbol, verdict, sentence) __u64 symbol;
#include "bpf/reasons.def"
};

struct cookie_stats {
#define COOKIE(number, symbol, sentence) __u64 symbol;
#include "bpf/reasons.def"
};

struct steer_stats {
#define STEER(number, symbol, sentence) __u64 symbol;
#include "bpf/reasons.def"
};

struct front_also {
#define ALSO(number, symbol, sentence) __u64 symbol;
#include "bpf/reasons.def"
};

#define REASON(number, symbol, verdict, sentence)                                                                    \
	_Static_assert(__builtin_offsetof(struct front_stats, symbol) == 8 * (number), "rows of reasons.def in order");
#define COOKIE(number, symbol, sentence)                                                                             \
	_Static_assert(__builtin_offsetof(struct cookie_stats, symbol) == 8 * (number), "rows of reasons.def in order");
#define STEER(number, symbol, sentence)                                                                              \
	_Static_assert(__builtin_offsetof(struct steer_stats, symbol) == 8 * (number), "rows of reasons.def in order");
#define ALSO(number, symbol, sentence)                                                                               \
	_Static_assert(__builtin_offsetof(struct front_also, symbol) == 8 * (number), "rows of reasons.def in order");
#include "bpf/reasons.def"

/* front_config[0]; written by the loader */
struct front_config {
	__u32 abi;
	__u32 deny_list;		/* which set of list4_…, list6_… is read: 0 or 1 */
	__u64 source_interval_ns;	/* between new connections of one source in the long run; 0: no limit */
	__u64 source_burst_ns;		/* how far a source may run ahead of that: interval times burst */
	__u32 network56_factor;		/* an IPv6 /56 may do as much as so many sources; 0: no limit */
	__u32 network48_factor;
	__u32 flood_enter_syn_per_s;	/* flood mode begins; 0: never */
	__u32 flood_leave_syn_per_s;	/* and ends below this, for flood_hold_ns */
	__u64 flood_hold_ns;
	__u64 secret[2];		/* of the hash that picks buckets */
	__u32 blocked_used;		/* something was put into blocked since the front was loaded */
	/*
	 * Where every exact address has the same ports, and they are few, they stand here too and vips is not asked
	 * (which saves a fifth of what an admitted packet costs); count 0: ask vips.
	 */
	__u32 few4_count, few6_count;
	__u32 allow_set;		/* which set of allow_list is read: 1 or 2; 0: there is none */
	__u8 few4[8][4];
	__u8 few6[4][16];
	/* SYN cookies; the loader takes what the kernel would do itself from its sysctls */
	__u32 cookie_path;	/* enum cookie_path: whose cookies answer SYNs in a flood */
	__u32 cookie_always;	/* 1: not in a flood only */
	__u32 cookie_offer;	/* enum cookie_offer, ored: options that may be agreed on */
	__u32 cookie_full;	/* 1: an accept queue is full: the kernel would make no connection of an answer */
	__u16 cookie_mss4, cookie_mss6; /* what we can take */
	__u16 cookie_window;
	__u8 cookie_wscale;
	__u8 cookie_shared;	/* other nodes make cookies with our keys: any ACK may answer one */
	__u32 decap;			/* 1: tunnels end here, decap_to and decap_from4/6 say which */
	__u32 gue_port;			/* of GUE and FOU; 0: none */
	__u32 spread_cpus;		/* how many of spread_cpus are in use; 0: packets pass on the CPU they came in on */
	__u32 spread_queue;		/* packets that may wait for each */
};
enum { FEW4_MAX = 8, FEW6_MAX = 4 };
_Static_assert(sizeof(struct front_config) == 216, "front_config");

enum cookie_path {
	COOKIE_PATH_NONE,   /* new connections go to the kernel, flood or not */
	COOKIE_PATH_KERNEL, /* the kernel's cookies (bpf_tcp_raw_gen_syncookie_*(), Linux 6.1) */
	COOKIE_PATH_OWN,    /* ours, cookie.h (bpf_sk_assign_tcp_reqsk(), Linux 6.9) */
};
enum cookie_offer { COOKIE_OFFER_TIMESTAMP = 1, COOKIE_OFFER_SACK = 2, COOKIE_OFFER_WSCALE = 4 };

/* cookie_keys[0]: a slot is written before epoch reaches it and kept until all its cookies are too old */
enum { COOKIE_EPOCH_S = 60, COOKIE_KEYS = 4 };
struct cookie_key {
	__u64 epoch; /* that it is the key of */
	__u64 key[2];
};
struct cookie_keys {
	__u64 epoch; /* now: seconds since 1970 by COOKIE_EPOCH_S, so that a cluster's nodes agree */
	struct cookie_key slots[COOKIE_KEYS]; /* epoch modulo COOKIE_KEYS */
};
_Static_assert(sizeof(struct cookie_keys) == 104, "cookie_keys");

/*
 * buckets: when the next connection would be on time (CLOCK_MONOTONIC), a source's place chosen by keyed hash.
 * A fixed array, so that spoofed sources make no state; two sources may share a place.
 */
enum { FRONT_BUCKETS = 1 << 17 };
struct bucket {
	__u64 next_ns;
};

/* flood[0] */
struct flood {
	__u64 until_ns;		/* flood mode lasts until then (CLOCK_MONOTONIC); 0: none seen yet */
	__u64 window_start_ns;
	__u64 window_syns;	/* new connections asked for since; counted in lumps of FLOOD_LUMP a CPU */
	__u64 last_syn_per_s;
	__u64 floods;		/* times flood mode began */
};
enum { FLOOD_LUMP = 32, FLOOD_WINDOW_NS = 100 * 1000 * 1000 };
struct flood_cpu {
	__u64 syns; /* not yet put into the lump */
};
_Static_assert(sizeof(struct flood) == 40, "flood");

/* verified, blocked: keyed by source: an IPv4 address (v4-mapped), or an IPv6 /64 (the last 8 bytes zero) */
struct source_key {
	__u8 ip[16];
};
struct verified {
	__u64 until_ns; /* CLOCK_MONOTONIC */
	__u64 hits;	/* new connections let through by it */
	char name[64];	/* proved by DANE, or why an operator put it here */
};
struct blocked {
	__u64 until_ns;
	__u64 hits;
};
_Static_assert(sizeof(struct verified) == 80 && sizeof(struct blocked) == 16, "verified, blocked");

/* vips; ip all zero: every IPv6 address; ::ffff:0.0.0.0: every IPv4 address; port 0: the address alone (fragments) */
struct vip_key {
	__u8 ip[16];
	__u16 port; /* host order */
	__u16 zero;
};
_Static_assert(sizeof(struct vip_key) == 20, "vip_key");

struct vip {
	__u32 listener;
	char text[60]; /* "192.0.2.25 port 25" */
};
_Static_assert(sizeof(struct vip) == 64, "vip");

/* vip_ports: sixteen ports an element, four bits a port, so that most packets are told apart by one load */
enum vip_port_bits { VIP_EXACT4 = 1, VIP_ANY4 = 2, VIP_EXACT6 = 4, VIP_ANY6 = 8 };
enum { VIP_PORTS_PER_WORD = 16, VIP_PORT_WORDS = 65536 / VIP_PORTS_PER_WORD };

/* deny4, allow4, list4_*: keys of longest-prefix maps; prefixlen counts bits of ip */
struct prefix4 {
	__u32 prefixlen;
	__u8 ip[4];
};
struct prefix6 {
	__u32 prefixlen;
	__u8 ip[16];
};
_Static_assert(sizeof(struct prefix4) == 8 && sizeof(struct prefix6) == 20, "prefixes");

struct rule {
	__u64 hits;	 /* packets that matched */
	__u64 until_ns;	 /* CLOCK_MONOTONIC, from then on the rule is not there; 0: it stays */
	__u32 prefixlen; /* with until_ns: the key's, so that a shorter prefix is found once this one is over */
	__u32 file;	 /* that it is from, a key of list_files; 0: made by hand */
	char comment[FRONT_TEXT];
};
_Static_assert(sizeof(struct rule) == 64, "rule");

/*
 * The bulk lists, two sets in one map each: one is read while the other is filled.
 * IPv4, where a look-up costs the same for ten prefixes as for a million, since it loads and never searches:
 * list4_top[list_top_slot()] -> list4_mid[the same] -> list4_net[place] -> list4_host[place] -> list4_rule[number].
 * Places and numbers of set 1 come behind all of set 0's; numbers count from 1, 0 is none.
 */
static inline __u32 list_top_slot(__u32 set, __u32 first16)
{
	return set << 16 | first16;
}
enum { LIST_TOP_SLOTS = 2 * 65536 };
struct list_top {
	__u32 rule; /* of a prefix up to /16 that covers these 65,536 addresses */
	__u32 more; /* 1: list4_mid knows longer prefixes in here; else it is not to be looked at */
};
/* Which of 256 there are, and where: the one of bit i is at first, and before it those of the bits below i. */
struct list_bits {
	__u64 bits[4];
	__u32 first;	/* place of the lowest; the others follow in order */
	__u8 before[4]; /* how many the words of bits before this one have (the first: 0) */
};
struct list_mid {
	struct list_bits nets; /* the /24s in which there are prefixes longer than /16, in list4_net */
};
struct list_net {
	struct list_bits hosts; /* the addresses that a prefix longer than /24 covers, in list4_host */
	__u32 rule;		/* of a prefix of /17 to /24 that covers all 256 */
	__u32 zero;
};
struct listed {
	__u64 hits;
	char prefix[20];
	__u32 file; /* a key of list_files */
	char comment[32];
};
/*
 * IPv6, where a look-up takes LIST6_PROBES at most: list6_shape[set] says by which lengths to look, in which order; each is
 * asked for in list6_slot (list6.h says where): list6_rule[number - 1] has what was found last.  Numbers as above, places too.
 */
enum { LIST6_STEPS = 128, LIST6_PROBES = 8 }; /* of a search by halves among so many lengths */
enum { LIST6_SLOTS = 2 };		      /* for each prefix that a set has room for */
struct list6_step {
	__u8 mask[16];	 /* of what is looked for */
	__u32 shorter;	 /* the step after one that found nothing; 0: that is all */
	__u32 prefixlen; /* that the mask stands for */
};
struct list6_shape {
	__u64 secret[2]; /* of the hash */
	__u32 slots;	 /* of the set, in use */
	__u32 first;	 /* place of the lowest */
	__u32 step;	 /* the first; 0: none.  They count from 1, in the order of their lengths */
	__u32 rule;	 /* of ::/0 */
	struct list6_step steps[LIST6_STEPS];
};
struct list6_slot {
	__u8 ip[16]; /* cut to the step's length */
	__u32 rule;  /* of the longest prefix that covers all of these addresses; 0: none does */
	__u16 seed;  /* of the bucket with this slot's number, not of what stands here */
	__u8 step;   /* 0: nothing stands here */
	__u8 longer; /* the next step for addresses in here; 0: no longer prefix is */
};
struct listed6 {
	__u64 hits;
	__u8 ip[16];
	__u32 prefixlen;
	__u32 file; /* as of listed */
	char comment[32];
};
/* list_files: what the bulk lists were read from; the programs do not look at it */
enum { LIST_FILES_MAX = 256 }; /* of each list: numbers of deny count from 1, those of allow from LIST_FILES_MAX + 1 */
struct list_file {
	char list[8];	/* "deny", "allow" */
	char file[120]; /* its path, or the end of it */
	__u64 prefixes;
	__u64 loaded_s; /* seconds since 1970 */
	__u64 failed_s; /* of a reading since then that failed; 0: none did */
	char error[200]; /* of that */
};
_Static_assert(sizeof(struct list_file) == 352, "list_file");
/*
 * allow_list: a longest-prefix map whose first byte is the set, so prefixlen is 8 more than the prefix's.
 * It is asked only when something would be dropped, so one map of v4-mapped addresses serves both families.
 */
struct allow_key {
	__u32 prefixlen;
	__u8 set;
	__u8 ip[16];
	__u8 zero[3];
};
_Static_assert(sizeof(struct allow_key) == 24, "allow_list");
_Static_assert(sizeof(struct list_top) == 8 && sizeof(struct list_mid) == 40 && sizeof(struct list_net) == 48 &&
		       sizeof(struct listed) == 64, "list4");
_Static_assert(sizeof(struct list6_step) == 24 && sizeof(struct list6_shape) == 32 + 24 * LIST6_STEPS &&
		       sizeof(struct list6_slot) == 24 && sizeof(struct listed6) == 64, "list6");

/* events: a ring of samples of dropped packets, in the order of their time; a full ring takes no more */
enum { EVENT_BYTES = 128, EVENT_RING_BYTES = 1 << 18 };
#define EVENT_INTERVAL_NS 100000000ull /* between samples of one reason on one CPU */
struct front_event {
	__u64 time_ns;	/* CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 reason;
	__u32 length;	/* of the frame */
	__u32 captured; /* bytes of it in packet */
	__u8 packet[EVENT_BYTES];
};
_Static_assert(sizeof(struct front_event) == 24 + EVENT_BYTES, "event");

/* event_cpu[0]: when the next sample may be taken, a place a reason */
struct event_cpu {
	__u64 tick[REASON_COUNT]; /* jiffies of the last time the clock was asked */
	__u64 next_ns[REASON_COUNT];
};

/* front_newest[reason]: the source of the last sample; of reasons that drop */
struct front_newest {
	char reason[24];
	__u64 time_ns; /* CLOCK_MONOTONIC; 0: none yet */
	__u8 source[16];
};
_Static_assert(sizeof(struct front_newest) == 48, "newest");

/* What a run of `watch` answers, ored; WATCH_BY_PACKET stands where a place in sockets could. */
enum watch_state { WATCH_FULL = 1, WATCH_STAMPED = 2, WATCH_NONE = 4 };
#define WATCH_BY_PACKET 0xffffffff

/* decap_to: keyed by source_key, an own address that a tunnel may end at */
struct tunnel_end {
	char text[FRONT_TEXT];
};

/* spread_cpus: CPUs of workers in a row, and, as the readable twin of spread, whose they are */
struct spread_cpu {
	__u32 cpu;
	__u32 worker;
};

/* steer_state[0]: two rows of sockets a listener; a new process fills the other row and then flips generation */
struct steer_state {
	__u32 generation;
	__u32 workers;
};
_Static_assert(sizeof(struct steer_state) == 8, "steer_state");

/* cpu_worker[cpu_slot()] */
static inline __u32 cpu_slot(__u32 generation, __u32 cpu)
{
	return (generation & 1) * FRONT_CPUS_MAX + cpu;
}

/* sockets[socket_slot()]; a dual-stack socket stands in both places of its worker */
static inline __u32 socket_slot(__u32 generation, __u32 listener, __u32 worker, __u32 v4)
{
	return (((generation & 1) * FRONT_LISTENERS_MAX + listener) * FRONT_WORKERS_MAX + worker) * 2 + v4;
}
enum { SOCKET_SLOTS = 4 * FRONT_LISTENERS_MAX * FRONT_WORKERS_MAX };

/* workers: the readable twin of sockets, which carries no type information */
struct worker_key {
	__u32 generation;
	__u32 listener;
	__u32 worker;
	__u32 family; /* 4, 6, or 46: both */
};
struct worker {
	__u64 socket_cookie; /* "sk:" of `ss -e`, in hex there */
	__u32 pid;
	__u32 zero;
};
_Static_assert(sizeof(struct worker_key) == 16 && sizeof(struct worker) == 16, "workers");

#endif
