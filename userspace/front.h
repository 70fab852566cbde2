/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel side, loaded and held: XDP `front` on the interfaces, sk_lookup `steer` in the network
 * namespace, their maps; all pinned under /sys/fs/bpf/danelaw/{maps,progs,links}.  front.c and front_*.c are
 * the only files of the daemon that know libbpf.
 *
 * front_open() needs root; afterwards the map descriptors suffice, so everything else works without
 * capabilities (Linux 5.19 and up: map updates by descriptor need none).
 */
#ifndef DANELAW_FRONT_H
#define DANELAW_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "userspace/net.h"

#define FRONT_PIN_DIR "/sys/fs/bpf/danelaw"

struct front;

struct front_vip {
	struct in6_addr ip;	/* :: for IPv6 and 0.0.0.0 (mapped) for IPv4: every address, whether the host has it or not */
	uint16_t port;		/* host order */
	uint32_t listener;	/* index, chooses the row of worker sockets */
};

enum front_protect { FRONT_PROTECT_OFF, FRONT_PROTECT_AUTO, FRONT_PROTECT_ALWAYS };
/* Whose SYN cookies: the best that can be had, our own (Linux 6.9), the kernel's; and, as an answer, none. */
enum front_cookies { FRONT_COOKIES_AUTO, FRONT_COOKIES_OWN, FRONT_COOKIES_KERNEL, FRONT_COOKIES_NONE };

struct front_settings {
	char *const *interfaces;
	size_t interface_count;
	bool generic_allowed;	/* else native or an error */
	bool dispatcher;	/* through libxdp's dispatcher, beside other programs; else by a link of our own */
	const struct front_vip *vips;
	size_t vip_count;
	unsigned listeners, workers;
	/* Limits on new connections; 0 everywhere: none.  A source is an IPv4 address or an IPv6 /64. */
	unsigned source_per_minute, source_burst; /* in the long run, and how many at once */
	unsigned network56_factor, network48_factor; /* an IPv6 /56, /48 may do as much as so many sources */
	unsigned flood_enter, flood_leave; /* new connections a second, all sources: flood mode begins, ends below */
	unsigned flood_hold_ms;
	enum front_protect protect; /* answer new connections by SYN cookies: never, in floods, always */
	enum front_cookies cookies;
	bool cookies_shared;	/* other nodes have our keys and may have sent what is answered to us */
	unsigned list_entries;	/* IPv4 prefixes, and as many of IPv6, that the bulk lists hold; 0: 262,144 */
	unsigned verified_entries; /* sources that the verified lane holds; 0: 65,536 */
	/* The zone of a name (front_verify_source()) that an earlier run left in the lane; NULL: each is one of its own. */
	const char *(*zone_of)(const void *ctx, const char *name);
	const void *zone_ctx;
	/* Tunnels that end here; all or none.  From these sources, to these own addresses, on this port of GUE (0: none). */
	const struct net_prefix *decap_from;
	size_t decap_from_count;
	const struct in6_addr *decap_to;
	size_t decap_to_count;
	uint16_t gue_port;
	unsigned mss;		/* what clients are told to send in one segment (SYN cookies); 0: what the MTU allows */
	/* Connections are spread over the CPUs of workers in software, so many packets may wait for each; 0: they are not. */
	unsigned spread_queue;
	bool plain_bind;	/* no steering: listeners bind their addresses themselves */
};

/* What the kernel side counts, a row each, in an order that never changes within a version. */
struct front_count_info {
	/* "front" (packets), "cookie" (answers to SYN cookies), "steer" (new connections), "also" (what else was done with packets) */
	const char *group;
	const char *symbol;
	const char *verdict;	/* "pass", "drop", "tx"; "" of steer */
	const char *sentence;
};
extern const struct front_count_info front_count_info[];
extern const size_t front_count_rows;

/*
 * Loads, attaches, pins.  A pinned link of an earlier run is taken over by link update, so the front is never
 * detached in between.  0, or negative with sentences in err: what failed, why, what to do.
 */
int front_open(const struct front_settings *set, struct front **out, char *err, size_t err_size);
/* The start has come so far that the rest of what an earlier run left, on other interfaces, can be taken off.  Needs root. */
void front_settle(struct front *f);
/* The start failed after all: what was attached or pinned where nothing was before is taken off, the rest stays; closes. */
void front_undo(struct front *f);
/*
 * The process whose listening sockets get what the pinned program steers in this network namespace; 0: none, or it is
 * draining.  Only one can: front_open() would take the front from it.  Waits some seconds for the sockets of a process that is
 * gone.
 */
uint32_t front_served_by(void);
/*
 * For who has no front: takes off what an earlier run left, which would steer new connections to nobody.  One that is served
 * by another process stays.  The maps stay, with what was entered into them.  True: there was one.
 */
bool front_take_off(void);
/* "edge0 native (veth)", … one an interface, for the log; valid as long as f. */
const char *front_describe(const struct front *f);
/*
 * Hands connections of a listener that arrive on the CPUs of worker (see front_map_cpus) to this listening socket.
 * Any listening TCP socket serves, whatever it is bound to.  A dual-stack one ([::]:0) takes both families, but
 * is reached at its own port as well; a pair, on 127.0.0.1:0 and on [::1]:0, is reached through here alone:
 * call once for each (the kernel makes a socket that is bound to an IPv6 address one of IPv6 only).
 * A socket leaves the row by itself when it is closed.
 */
int front_set_socket(struct front *f, unsigned listener, unsigned worker, int fd);
/*
 * cpu_worker[cpu] = worker; CPUs beyond count are spread by hash.  With spread_queue the front sends packets on to these CPUs.  With this call the sockets of this process
 * take over from those of an earlier one, at once and for new connections only: call it when all are set.
 */
int front_map_cpus(struct front *f, const uint32_t *cpu_worker, size_t count);
/*
 * The verified lane: for so long new connections of this source skip every limit (a deny list still holds).
 * name: what was proved, shown with the entry; zone: whose word that is.  A name has at most FRONT_VERIFIED_PER_NAME
 * sources and a zone FRONT_VERIFIED_PER_ZONE names (anyone can sign a zone): one more takes the place of the oldest.
 * ms 0 removes the source, whatever it is verified as.  Any thread.
 * front_open() finds places anew for what is in the lane; what an operator put there (a name that is no host's, or for
 * longer than a run of ours could) takes none.
 */
#define FRONT_VERIFIED_PER_NAME 8
#define FRONT_VERIFIED_NAMES 8192 /* at a time, of */
#define FRONT_VERIFIED_ZONES 4096 /* so many: one more takes the place of one not seen for long, with its sources */
#define FRONT_VERIFIED_PER_ZONE 16
int front_verify_source(struct front *f, const struct in6_addr *ip, const char *name, const char *zone, uint32_t ms);
/* The source holds as many connections as it may: for so long its new ones are dropped.  ms 0: no longer.  Any thread. */
int front_block_source(struct front *f, const struct in6_addr *ip, uint32_t ms);
/*
 * Replaces the deny and the allow list by the prefixes of the files (already open: the daemon may not be allowed
 * to), both at once or neither: a bad line is named in err ("drop.txt:17: …") and the old lists stay.  NULL: that
 * list stays.  loaded: prefixes of it.  f NULL: they are read, and that is all.  A source on the allow list passes
 * every deny list and every limit.
 */
enum front_list { FRONT_DENY, FRONT_ALLOW };
struct front_list_files {
	FILE *const *files;
	const char *const *names;
	size_t count, loaded;
};
int front_load_lists(struct front *f, struct front_list_files *deny, struct front_list_files *allow, char *err, size_t err_size);
/* A file of a list that is in use cannot even be opened: for those who look at the lists.  f NULL: nobody does. */
void front_list_failed(struct front *f, enum front_list list, const char *name, const char *why);
/*
 * Takes rules made by hand out that are over; how many.  (The programs look past a few, but they take room; what is over in
 * the verified lane and among the blocked makes room by itself.)  Any thread.
 */
size_t front_sweep(struct front *f);
enum { FRONT_SWEEP_S = 10 }; /* often enough */
/* On an allow list or verified: no limit is for it.  Costs a few system calls: for the moment when one would hit. */
bool front_skips_limits(const struct front *f, const struct in6_addr *ip);
/* ---- SYN protection (docs/syn-protection.md) ---- */

enum front_cookies front_cookies(const struct front *f); /* that are in use: OWN, KERNEL, NONE */
/* For the log: "SYN cookies of our own, …", or why there are none; valid as long as f. */
const char *front_describe_cookies(const struct front *f);
/*
 * Keys of our own cookies.  Each serves FRONT_COOKIE_EPOCH_S seconds, counted from 1970 by the system's clock; that
 * of the next epoch is wanted before it begins.  keep: one that is there for this epoch, of an earlier process, stays.
 */
#define FRONT_COOKIE_EPOCH_S 60
int front_set_cookie_key(struct front *f, uint64_t epoch, const uint8_t key[16], bool keep);
int front_set_cookie_epoch(struct front *f, uint64_t epoch);
/*
 * Cookies of the kernel's: it takes them back only from a listener that itself made one in the last 120 s
 * (front_watch(), which wants net.ipv4.tcp_syncookies = 2), and with a tcp_syncookies that is not 0.  With both true,
 * arm; before one ceases to be, disarm.
 */
int front_arm_cookies(struct front *f, bool armed);
/*
 * Looks after the listening sockets; without capabilities.  stamp: lets the kernel make a cookie for each.  While an
 * accept queue is nearly full the front answers no SYN: the kernel would forget the connection, and its client, which
 * waits for the server to speak, would never know.
 */
struct front_watch {
	unsigned sockets, full, stamped;
};
int front_watch(struct front *f, bool stamp, struct front_watch *out);
struct front_flood {
	bool lasts;
	uint64_t syn_per_s; /* of the last window that was measured */
	uint64_t floods;    /* that began since the maps were made */
};
int front_read_flood(const struct front *f, struct front_flood *out);

/* counts[front_count_rows], summed over CPUs; 0 or negative errno. */
int front_read_counts(const struct front *f, uint64_t *counts);
/* detach: remove links and pins, and all rules with them; else they stay, for the next run. */
void front_close(struct front *f, bool detach);

#endif
