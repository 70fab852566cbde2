/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks, and what they share.  Internal to tune_judge.c and tune_checks_*.c. */
#ifndef DANELAW_TUNE_CHECKS_H
#define DANELAW_TUNE_CHECKS_H

#include "tools/tune.h"

struct judge {
	const struct tune_facts *f;
	const struct tune_wants *wants;
	const struct tune_driver *driver; /* NULL: not known */
	struct tune_report *report;
	unsigned queues; /* channels there shall be; 0: not to be said */
	int channels_change;
	int no_memory;
};

#define SAY(field, ...) snprintf(field, sizeof(field), __VA_ARGS__)

/* A new finding, ok until said otherwise; NULL never: a spare one takes what memory has no room for. */
struct tune_finding *judge_finding(struct judge *j, const char *check);
/* Takes both texts (made by judge_text()).  by: TUNE_BY_… or 0.  NULL when memory is out. */
struct tune_change *judge_change(struct judge *j, const struct tune_finding *finding, unsigned by, char *run, char *undo);
char *judge_text(struct judge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "echo VALUE >PATH" both ways; path without the first "/". */
struct tune_change *judge_write(struct judge *j, const struct tune_finding *finding, const char *path, const char *value,
				const char *before);

int judge_frags(const struct judge *j);

/* tune_checks_card.c */
void tune_check_driver(struct judge *j);
void tune_check_firmware(struct judge *j);
void tune_check_xdp(struct judge *j);
void tune_check_mtu(struct judge *j);
void tune_check_offloads(struct judge *j);
void tune_check_vlan(struct judge *j);
void tune_check_pause(struct judge *j);

/* tune_checks_queues.c */
void tune_check_rules(struct judge *j);
void tune_check_rss_table(struct judge *j);
void tune_check_channels(struct judge *j);
void tune_check_xdp_queues(struct judge *j);
void tune_check_rings(struct judge *j);
void tune_check_coalescing(struct judge *j);
void tune_check_rss_hash(struct judge *j);

/* tune_checks_host.c */
void tune_check_irqbalance(struct judge *j);
void tune_check_irq_affinity(struct judge *j);
void tune_check_rps(struct judge *j);
void tune_check_xps(struct judge *j);
void tune_check_napi(struct judge *j);
void tune_check_sysctls(struct judge *j);
void tune_check_governor(struct judge *j);

#endif
