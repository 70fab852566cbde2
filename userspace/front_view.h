/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front as it is pinned, looked at and changed from outside: what danelawctl needs, whether the daemon runs or
 * not.  Everything goes by the maps and links under the pins; nothing is asked of a process.
 */
#ifndef DANELAW_FRONT_VIEW_H
#define DANELAW_FRONT_VIEW_H

#include "userspace/front.h"

struct front_view;

/* 0, or negative with a sentence in err: no front there, one of another version, no right to look. */
int front_view_open(const char *dir, struct front_view **out, char *err, size_t err_size);
void front_view_close(struct front_view *v);

/* ---- counters ---- */

/* As front_read_counts(): front_count_rows of them. */
int front_view_counts(const struct front_view *v, uint64_t *counts);
/* The source of the newest sample of a row that drops.  False: none yet. */
bool front_view_newest(const struct front_view *v, size_t row, struct in6_addr *source, uint64_t *age_ms);

struct front_state {
	bool flood;		/* lasts */
	uint64_t syn_per_s;	/* of the last window */
	uint64_t floods;	/* so far */
	uint32_t flood_enter, flood_leave;
	double source_per_minute; /* 0: no limit */
	uint32_t source_burst;
	uint32_t generation, workers; /* of steering; 0: none */
	uint32_t spread_cpus, spread_queue; /* connections are spread over so many CPUs, packets that may wait for each; 0: not */
	uint32_t pid;		/* of the workers' process; 0: none has sockets there */
};
int front_view_state(const struct front_view *v, struct front_state *out);

/* ---- what the kernel holds ---- */

struct front_link_row {
	const char *kind; /* "xdp", "tcx" (answers to SYN cookies), "sk_lookup" */
	char name[64];	 /* "edge0", "sk_lookup" */
	char mode[32];	 /* "native", "generic", "native, dispatcher", "ingress", "network namespace"; "gone": detached */
	char driver[32]; /* of xdp */
	uint32_t link_id, prog_id;
};
struct front_prog_row {
	char name[16], tag[17];
	uint32_t id, instructions; /* translated */
	uint64_t memory, loaded_s; /* bytes; seconds since boot */
	uint64_t run_ns, runs;	   /* while run-time statistics are on */
	uint32_t dispatcher;	   /* of libxdp, whose runs these are, with every program it calls; 0: its own */
};
struct front_map_row {
	char name[16];
	const char *kind; /* "hash", … */
	uint32_t id, max;
	int64_t used;	  /* -1: an array, always full */
	uint64_t memory;
};
/* Calls each once a row; 0 or negative errno. */
int front_view_links(const struct front_view *v, void (*each)(void *ctx, const struct front_link_row *), void *ctx);
int front_view_progs(const struct front_view *v, void (*each)(void *ctx, const struct front_prog_row *), void *ctx);
int front_view_maps(const struct front_view *v, void (*each)(void *ctx, const struct front_map_row *), void *ctx);
/* Has the kernel take run-time statistics until the descriptor is closed, by whatever end; or negative errno. */
int front_run_statistics(void);

/* ---- lists ---- */

enum { FRONT_COMMENT_MAX = 40 };
struct front_rule {
	struct net_prefix prefix;
	uint64_t hits;
	uint64_t left_ms; /* until it is over; 0 with expires: it is */
	bool expires, by_hand;
	uint32_t file; /* number of front_file_row; 0 by hand */
	char comment[FRONT_COMMENT_MAX];
};
typedef void front_each_rule(void *ctx, const struct front_rule *rule);
int front_view_rules(const struct front_view *v, enum front_list list, front_each_rule *each, void *ctx);  /* by hand */
int front_view_listed(const struct front_view *v, enum front_list list, front_each_rule *each, void *ctx); /* from files */
struct front_file_row {
	uint32_t number;
	enum front_list list;
	char file[120];	   /* its path, or the end of it */
	uint64_t prefixes;
	uint64_t loaded_s; /* since 1970 */
	uint64_t failed_s; /* 0: it was not read since, or was read well */
	char error[200];   /* of that */
};
enum { FRONT_FILES_MAX = 2 * 256 }; /* their numbers are from 1 to this */
/* In the order of their numbers. */
int front_view_files(const struct front_view *v, void (*each)(void *ctx, const struct front_file_row *), void *ctx);
/* ms 0: it stays.  Replaces a rule of the same prefix, whose hits go on.  0 or negative errno. */
int front_view_add_rule(const struct front_view *v, enum front_list list, const struct net_prefix *prefix, const char *comment,
			uint64_t ms);
int front_view_del_rule(const struct front_view *v, enum front_list list, const struct net_prefix *prefix); /* -ENOENT */
/* Takes rules out that are over; how many. */
size_t front_view_sweep(const struct front_view *v);
/* The rule by which the source is denied.  False: none. */
bool front_view_find_denied(const struct front_view *v, const struct in6_addr *source, struct front_rule *out);

struct front_lane_row {
	struct in6_addr source;
	uint64_t hits, left_ms; /* 0: over */
	char name[64];		/* "" of blocked */
};
int front_view_verified(const struct front_view *v, void (*each)(void *ctx, const struct front_lane_row *), void *ctx);
int front_view_blocked(const struct front_view *v, void (*each)(void *ctx, const struct front_lane_row *), void *ctx);

/* ---- samples of what is dropped ---- */

struct front_sample {
	uint64_t time_ns; /* CLOCK_REALTIME */
	size_t row;	  /* of front_count_info */
	unsigned ifindex;
	uint32_t length, captured;
	const uint8_t *packet;
};
struct front_events;
/* Only one reader at a time: -EBUSY with a sentence.  What lies in the ring from before is skipped. */
int front_events_open(const struct front_view *v, struct front_events **out, char *err, size_t err_size);
/* Waits up to so long; calls each, which may return false for enough.  Samples seen, or negative errno (-EINTR). */
int front_events_read(struct front_events *e, int timeout_ms, bool (*each)(void *ctx, const struct front_sample *), void *ctx);
void front_events_close(struct front_events *e);

#endif
