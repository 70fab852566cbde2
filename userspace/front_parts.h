/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What front.c and front_*.c share; nobody else includes it.
 */
#ifndef DANELAW_FRONT_PARTS_H
#define DANELAW_FRONT_PARTS_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "bpf/list6.h"
#include "userspace/front.h"

/* An error as sentences, written once: the first thing that went wrong is the one that is told. */
struct front_err {
	char *text;
	size_t size;
};
/* Returns code, so that a failing function ends in `return front_fail(err, -EINVAL, "…")`. */
int front_fail(struct front_err err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* libbpf's own messages since front_listen(), the last warnings of it as one line; "" when it said nothing. */
void front_listen(void);
const char *front_heard(void);
/* What does the listening; libxdp's levels are the same. */
int front_listen_print(enum libbpf_print_level level, const char *fmt, va_list ap);

/* A deny list as read from files. */
struct list_entry {
	struct net_prefix prefix;
	uint32_t file; /* a key of list_files */
	char comment[FRONT_TEXT];
};
struct list {
	struct list_entry *at;
	size_t count, room;
};

/* The maps of the bulk list of IPv4; the arrays are mapped, list4_host in steps of 8 bytes (as arrays are kept). */
struct list4 {
	struct list_top *top;
	struct list_mid *mid;
	struct list_net *net;
	uint64_t *host;
	struct listed *rule;
	size_t entries; /* of a set; the maps have room for two */
};

/* Those of IPv6. */
struct list6 {
	struct list6_shape *shape;
	struct list6_slot *slot;
	struct listed6 *rule;
	size_t entries; /* of a set */
};

struct front_link {
	char interface[64];
	unsigned ifindex;
	char driver[32];
	bool native;
	bool fresh; /* attached by us just now, not taken over */
	bool dispatched; /* through libxdp's dispatcher; fd is -1 */
	int fd;
};

struct front {
	struct front_link *links;
	size_t link_count;
	int steer_link;		/* -1: no steering */
	bool steer_fresh;	/* attached by us just now, not taken over */
	bool pins_fresh;	/* nothing was pinned before us */
	int vips, vip_ports, front_config, front_stats, front_also;
	struct list4 list4;
	struct list6 list6;
	int allow_list, list_files;
	int deny4, deny6, allow4, allow6;
	int verified, blocked;
	bool blocked_used;
	struct front_names *names;
	int steer_state, cpu_worker, sockets, workers, steer_stats;
	int spread, spread_cpus;
	int inside_before;	/* what an earlier start left as inside-next; a program that is attached may use it */
	bool inside_begun;
	uint32_t spread_queue;	/* 0: packets pass on the CPU they came in on */
	uint32_t generation;	/* ours */
	unsigned listeners, worker_count, mss;
	char *description;
	/* SYN protection; -1 where there is none */
	enum front_cookies cookies;
	int cookie_keys, cookie_stats, flood, watch_prog;
	int cookie_links[16];
	size_t cookie_link_count;
	struct front_vip *watched; /* addresses that listeners bind themselves; steered ones are found by their place */
	size_t watched_count;
	bool steered, full;
	const char *cookie_description;
};

/* --- front_counts.c --- */
/* The maps of front_count_info's rows, in their order. */
enum { FRONT_COUNT_MAPS = 4 };
struct front_count_map {
	const char *name;
	size_t rows;
};
extern const struct front_count_map front_count_maps[FRONT_COUNT_MAPS];
/* Adds a per-CPU struct of counters, summed; map -1: none. */
int front_add_counts(int map, uint64_t *counts, size_t rows);

/* --- front_rows.c --- */
/*
 * Visits each row of a hash or a trie once, whatever others, or visit itself, put in or take out meanwhile: those that
 * are there all the time are met.  False ends it.  0 or negative errno; -EAGAIN: rows went faster than they could be read.
 */
typedef bool front_visit_row(void *ctx, const void *key, const void *value);
int front_each_row(int map, front_visit_row *visit, void *ctx);
/* Takes rules out of a map made by hand that are over; how many. */
size_t front_sweep_rules(int map);
uint64_t front_now_ns(void); /* CLOCK_MONOTONIC, the clock of the maps */

/* --- front_lists.c --- */
/* An IPv6 prefix as short as the mapped range itself is not one of IPv4. */
bool front_is_v4_prefix(const struct net_prefix *prefix);

/* --- front_list4.c --- */
/* An array of a map that mmap(2) can reach, or NULL; unmapping takes a NULL. */
void *front_map_array(int fd, size_t entries, size_t stride);
void front_unmap_array(void *at, size_t entries, size_t stride);
/* The descriptors of list4_… */
struct list4_maps {
	int top, mid, net, host, rule;
};
int front_map_list4(struct list4 *list, const struct list4_maps *maps, size_t entries);
void front_unmap_list4(struct list4 *list);
/* Compiles the IPv4 prefixes of the list into the spare set. */
int front_fill_list4(struct list4 *out, uint32_t set, const struct list *list, struct front_err err);

/* --- front_list6.c --- */
/* The descriptors of list6_… */
struct list6_maps {
	int shape, slot, rule;
};
int front_map_list6(struct list6 *list, const struct list6_maps *maps, size_t entries);
void front_unmap_list6(struct list6 *list);
/* As front_fill_list4(). */
int front_fill_list6(struct list6 *out, uint32_t set, const struct list *list, struct front_err err);

/* --- front_list_files.c --- */
uint32_t front_file_number(enum front_list list, size_t i); /* the key of a list's i-th file */
/* The files of a list are in use: count[i] prefixes of each. */
void front_files_loaded(struct front *f, enum front_list list, const struct front_list_files *files, const uint32_t *counts);
/* One of them, or all (NULL), could not be loaded; what was loaded before stays. */
void front_files_failed(struct front *f, enum front_list list, const char *name, const char *why);

/* --- front_sources.c --- */
struct front_names *front_names_new(void);
void front_names_free(struct front_names *names);
/* Under a lock: reads front_config, has it changed, writes it.  Workers wait for that lock.  0 or negative errno. */
typedef void front_config_change(const struct front *f, struct front_config *config, const void *to);
int front_change_config(struct front *f, front_config_change *change, const void *to);
void front_fill_limits(const struct front_settings *set, struct front_config *config);
/* What an earlier run left in the lane gets places, the newest before older ones; what is over, or finds none, goes. */
int front_recall_verified(struct front *f, const struct front_settings *set, struct front_err err);

/* --- front_cookies.c --- */
/* After the links of XDP are there: chooses the cookies, loads and attaches what they need. */
int front_open_cookies(struct front *f, const struct front_settings *set, struct front_err err);
void front_close_cookies(struct front *f);

/* --- front.c --- */
int front_load(struct bpf_object *obj, const char *what, struct front_err err);
int front_keep(const struct bpf_map *map); /* a descriptor of our own */

/* --- front_vips.c --- */
/* Rows of an earlier configuration go. */
int front_set_vips(struct front *f, const struct front_settings *set, struct front_err err);

/* --- front_steer.c --- */
/* Loads and attaches sk_lookup; after the front, whose maps it shares. */
int front_load_steer(struct front *f, const struct front_settings *set, struct front_err err);

/* --- front_tunnel.c --- */
struct front_tunnel_maps {
	int to, from4, from6;
};
/* What decap is to know, and the fields of config that switch it on; rows of an earlier configuration go. */
int front_fill_tunnels(const struct front_settings *set, const struct front_tunnel_maps *maps, struct front_err err);

/* --- front_spread.c --- */
void front_size_spread(struct bpf_map *spread);
/* As front_map_cpus(): spreads over the CPUs of workers, or over none. */
int front_set_spread(struct front *f, const uint32_t *cpu_worker, size_t count);

/* --- front_pins.c --- */
/* fresh: there were none. */
int front_pin_dirs(bool *fresh, struct front_err err);
/* Lets obj's maps be found or made under FRONT_PIN_DIR/maps; maps of another shape than ours are let go. */
int front_pin_maps(struct bpf_object *obj, struct front_err err);
/* Around a start: makes way for a new array `inside`; gives it the name, or leaves pinned what attached programs use. */
void front_begin_inside(struct front *f);
void front_end_inside(struct front *f, bool good); /* after the links are what they stay */
int front_pin_prog(int fd, const char *name, struct front_err err);
void front_unpin_all(void);

/* --- front_attach.c --- */
/* Attaches prog to the interface, or takes the pinned link over; fills *link. */
int front_attach_xdp(int prog, const char *interface, bool generic_allowed, struct front_link *link, struct front_err err);
/* Takes a link off again that is fresh, and tcx, what front_attach_tcx() gave for it (-1: nothing). */
void front_undo_link(const struct front_link *link, int tcx);
/* Refuses to touch pins that belong to another network namespace. */
int front_check_netns(struct front_err err);
/* The tc program at an interface's ingress (tcx, Linux 6.6), pinned; the link's descriptor. */
int front_attach_tcx(int prog, const struct front_link *at, struct front_err err);
int front_attach_steer(int prog, int *link, bool *fresh, struct front_err err);
void front_drop_steer(void);
/* Detaches pinned links of other interfaces than those of links. */
void front_drop_other_links(const struct front_link *links, size_t count);
/* The same of pins of what is in dispatchers. */
void front_drop_other_progs(const struct front_link *links, size_t count);

bool front_is_native(unsigned ifindex);

/* --- front_dispatch.c --- */
/* Opens libxdp, once; fails with the reason where there is none or it is too old. */
int front_dispatch_open(struct front_err err);
/* Loads obj's only program, whose maps are prepared, into the interface's dispatcher; one of an earlier run goes. */
int front_attach_dispatch(struct bpf_object *obj, const char *interface, bool generic_allowed, struct front_link *link,
			  struct front_err err);
void front_detach_dispatch(const struct front_link *link);

/* --- front_busy.c --- */
/* Says in err why prog could not be attached (errno code, positive) and what to do. */
int front_explain_attach(int prog, const char *interface, unsigned ifindex, int code, bool native, struct front_err err);
void front_driver(const char *interface, char out[32]);
/* The id of libxdp's dispatcher where it is what runs on the interface; else 0. */
uint32_t front_dispatcher(unsigned ifindex);

#endif
