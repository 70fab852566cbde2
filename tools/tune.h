/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tuning a network card: facts -> findings -> changes.  The middle is pure: tune_judge() sees a struct and returns a
 * report; what reads the machine (or a recorded tree) and what changes it are thin shells on both sides.
 *
 *	tune_source  reads files and replies of commands, of this machine or of a tree
 *	tune_facts   what those say, as numbers
 *	tune_judge   one finding a check, and the commands that would mend it
 *	tune_journal the commands that were run and how to take them back, on disk before each is run
 *	tune_apply   runs them, and takes them back
 *
 * A change is two lines of text, `run` and `undo`, and nothing else: what plan prints, what apply runs and what the
 * journal keeps are the same strings, and each can be pasted into a root shell.
 */
#ifndef DANELAW_TUNE_H
#define DANELAW_TUNE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TUNE_CPUS     1024
#define TUNE_QUEUES   512
#define TUNE_RSS_MAX  4096
#define TUNE_RULES    64
#define TUNE_ABSENT   (-1L) /* a number the driver or the kernel does not offer */
#define TUNE_KERNEL(major, minor) ((major) * 1000u + (minor))

/* ---- CPUs ---- */

struct tune_cpus {
	uint64_t bits[TUNE_CPUS / 64];
};

/* "0-3,8" and the kernel's masks "00000000,0000000f".  0, or -EINVAL. */
int tune_cpus_list(struct tune_cpus *cpus, const char *text);
int tune_cpus_mask(struct tune_cpus *cpus, const char *text);
int tune_cpus_has(const struct tune_cpus *cpus, unsigned cpu);
void tune_cpus_add(struct tune_cpus *cpus, unsigned cpu);
unsigned tune_cpus_count(const struct tune_cpus *cpus);
/* The n-th CPU of the set, counted from 0 and round again; 0 of an empty set. */
unsigned tune_cpus_nth(const struct tune_cpus *cpus, unsigned n);
int tune_cpus_equal(const struct tune_cpus *a, const struct tune_cpus *b);
/* As a list or as a mask; returns out. */
char *tune_cpus_text(const struct tune_cpus *cpus, char *out, size_t size);
char *tune_cpus_mask_text(const struct tune_cpus *cpus, char *out, size_t size);

/* ---- drivers ---- */

enum tune_queue_rule {
	TUNE_QUEUES_OWN,      /* a transmit ring a channel comes with the program */
	TUNE_QUEUES_CPUS_64,  /* one transmit ring a CPU: shared behind a lock above 64, refused above 128 */
	TUNE_QUEUES_CPUS_HALF,/* as many free transmit queues as half the CPUs */
	TUNE_QUEUES_HALF,     /* at most half of the channels there are */
	TUNE_QUEUES_COMBINED, /* combined channels, and as many transmit rings again */
	TUNE_QUEUES_SPARE,    /* one spare queue pair a CPU */
	TUNE_QUEUES_PEER,     /* as many receive queues as the peer has transmit queues */
	TUNE_QUEUES_SLAVES,   /* those of the slaves */
};

/* What takes the link away, by what is done to it */
enum { TUNE_BY_ATTACH = 1, TUNE_BY_CHANNELS = 2, TUNE_BY_RINGS = 4, TUNE_BY_OFFLOADS = 8, TUNE_BY_MTU = 16, TUNE_BY_PAUSE = 32 };

enum {
	TUNE_HOST_SETS = 1,	/* rings and coalescing are the host's or do not exist */
	TUNE_ADAPTIVE_IS_1 = 2, /* rx-usecs 1 is the word for adaptive */
	TUNE_OWN_VERSION = 4,	/* `ethtool -i` gives a version of its own also in the kernel's tree */
	TUNE_CLEARS_GRO = 8,	/* switches LRO and HW-GRO off itself while a program is attached */
	TUNE_PAUSE_FULL = 16,	/* with autonegotiation of pause frames on it asks for both ways, whatever rx and tx say */
};

struct tune_driver {
	const char *name, *hardware;
	unsigned native, frags; /* kernel that brought XDP, and XDP on frames of several buffers; 0: none did */
	long mtu;		/* largest MTU of a single-buffer frame; TUNE_ABSENT: those of the slaves */
	long legacy_mtu;	/* with the private flag legacy-rx; 0: no matter */
	enum tune_queue_rule rule;
	const char *queues;   /* the rule in words */
	unsigned resets;      /* TUNE_BY_… */
	const char *away;     /* for about how long */
	const char *attach;   /* what the first attach does */
	const char *irq;      /* name in /proc/interrupts: %i interface, %p PCI address, %v device, %q queue; NULL: none */
	unsigned ring_less;   /* rings are a power of two less this */
	unsigned flags;	      /* TUNE_HOST_SETS, … */
	const char *other;
};

extern const struct tune_driver tune_drivers[];
extern const size_t tune_drivers_n;
const struct tune_driver *tune_driver_find(const char *name); /* NULL: not known */

/* ---- facts ---- */

enum tune_feature { TUNE_LRO, TUNE_HW_GRO, TUNE_GRO, TUNE_RXVLAN, TUNE_RXCSUM, TUNE_NTUPLE, TUNE_FEATURES };
enum tune_xdp_mode { TUNE_XDP_NONE, TUNE_XDP_NATIVE, TUNE_XDP_GENERIC, TUNE_XDP_OFFLOAD };

struct tune_pair {
	long max, now;
};

struct tune_rule {
	unsigned id;
	int tcp, v6;
	unsigned port, port_mask; /* destination; the mask's bits are those that do not matter */
	int any_source;
	int simple;		  /* nothing but the port is compared: it can be written again from these fields */
	int drops;
	long queue, context; /* TUNE_ABSENT: none */
};

struct tune_irq {
	unsigned irq, queue;
	char name[64], affinity[256];
};

struct tune_facts {
	char ifname[16], kernel[64], boot[40]; /* boot: the kernel's boot_id */
	unsigned kernel_number; /* TUNE_KERNEL() */
	char driver[32], version[64], firmware[64], bus[64];
	int has_ethtool; /* `ethtool -i` answered */

	int xdp_features_known;
	uint64_t xdp_features; /* NETDEV_XDP_ACT_* of linux/netdev.h, kernel 6.3 and later */
	enum tune_xdp_mode xdp_mode;
	unsigned xdp_prog;

	long mtu, max_mtu;
	char master[16], bond_mode[32], bond_hash[32], bond_slaves[128];
	int legacy_rx; /* private flag of Intel's drivers */
	int vlans; /* VLAN interfaces on top */

	long numa;
	struct tune_cpus online, local, cores; /* cores: one thread of each core near the card */

	struct tune_pair rx, tx, combined, ring_rx, ring_tx;
	long adaptive_rx, rx_usecs; /* TUNE_ABSENT: not offered */
	struct {
		long on; /* TUNE_ABSENT: not listed */
		int fixed;
	} feature[TUNE_FEATURES];
	long pause_autoneg, pause_rx, pause_tx;

	unsigned rss_n, rss_rings;
	uint16_t rss[TUNE_RSS_MAX];
	char hash4[8], hash6[8]; /* as ethtool -N takes them: "sdfn"; empty: not told */
	unsigned rules_n;
	struct tune_rule rules[TUNE_RULES];

	unsigned irqs_n;
	struct tune_irq irqs[TUNE_QUEUES];
	long irqbalance; /* process number, or TUNE_ABSENT */
	unsigned rps_n, xps_n;
	struct tune_cpus rps[TUNE_QUEUES], xps[TUNE_QUEUES];

	long gro_flush_timeout, napi_defer_hard_irqs;
	long sysctl[16];		       /* by the rows of tune_sysctls */
	char governor[TUNE_CPUS][16];	       /* empty: no cpufreq */
};

struct tune_sysctl {
	const char *name, *path;
	int least; /* the value may be larger */
	long wanted;
	const char *why;
};
extern const struct tune_sysctl tune_sysctls[];
extern const size_t tune_sysctls_n;

struct tune_source;
/* Reads all that the checks want.  0, -ENODEV: there is no such interface, -ENOMEM. */
int tune_facts_read(struct tune_source *source, const char *ifname, struct tune_facts **facts);

/* Everything that a change can touch, as lines "KEY VALUE"; to be freed, NULL when memory is out.  Compare says what
 * was and is different, and returns how many lines are. */
char *tune_facts_lines(const struct tune_facts *facts);
size_t tune_lines_compare(const char *before, const char *now, FILE *to);

/* ---- findings ---- */

enum tune_verdict { TUNE_OK, TUNE_WARN, TUNE_FAIL };

struct tune_finding {
	const char *check;
	enum tune_verdict verdict;
	char now[96], wanted[96];
	char seen[128]; /* where it was seen */
	char why[256];
};

struct tune_change {
	const char *check;
	char *run, *undo;
	const char *away; /* resets the link, for about so long; NULL: does not */
	int needs_mtu;	  /* only with --allow-mtu */
	const char *needs; /* the check without whose changes this one would not hold; NULL: none */
	int failed;	  /* set by apply: it failed, or was left out for one that did */
};

struct tune_report {
	size_t findings_n, changes_n, findings_room, changes_room;
	struct tune_finding *findings;
	struct tune_change *changes;
	int again;	  /* some checks want a second plan once these changes have been made */
	int generic;	  /* the front would run, or runs, in generic mode */
	char refused[256];/* why apply would touch nothing; empty: it would */
};

struct tune_wants {
	unsigned workers;  /* channels wanted; 0: one a core near the card */
	int allow_generic; /* --allow-generic */
	int allow_mtu;	   /* --allow-mtu */
};

/* NULL when memory is out. */
struct tune_report *tune_judge(const struct tune_facts *facts, const struct tune_wants *wants);
void tune_report_free(struct tune_report *report);
const struct tune_finding *tune_report_find(const struct tune_report *report, const char *check);
/* Whether apply runs this change under these wants. */
int tune_change_wanted(const struct tune_change *change, const struct tune_wants *wants);

/* ---- words ---- */

void tune_print_report(FILE *to, const struct tune_facts *facts, const struct tune_report *report, int all);
void tune_print_plan(FILE *to, const struct tune_report *report, const struct tune_wants *wants);
void tune_print_drivers(FILE *to);
/* One JSON document with a line end. */
int tune_json_report(FILE *to, const struct tune_facts *facts, const struct tune_report *report,
		     const struct tune_wants *wants);
int tune_json_drivers(FILE *to);
const char *tune_verdict_word(enum tune_verdict verdict);

#endif
