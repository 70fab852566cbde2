/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The replies of ethtool 6.1 and later and the kernel's files, as numbers.  Pure: text in, struct out.  What is not
 * in a text stays as it was (tune_facts_clear() makes everything absent).
 */
#ifndef DANELAW_TUNE_PARSE_H
#define DANELAW_TUNE_PARSE_H

#include "tools/tune.h"

void tune_facts_clear(struct tune_facts *f);
void tune_parse_kernel(struct tune_facts *f, const char *osrelease);
void tune_parse_driver(struct tune_facts *f, const char *ethtool_i);
void tune_parse_features(struct tune_facts *f, const char *ethtool_k);
void tune_parse_channels(struct tune_facts *f, const char *ethtool_l);
void tune_parse_rings(struct tune_facts *f, const char *ethtool_g);
void tune_parse_coalesce(struct tune_facts *f, const char *ethtool_c);
void tune_parse_flags(struct tune_facts *f, const char *ethtool_show_priv_flags);
void tune_parse_pause(struct tune_facts *f, const char *ethtool_a);
void tune_parse_rss(struct tune_facts *f, const char *ethtool_x);
/* The reply of `ethtool -n DEV rx-flow-hash tcp4`, as the letters of `ethtool -N`. */
void tune_parse_hash(char *out, size_t size, const char *ethtool_n);
void tune_parse_rules(struct tune_facts *f, const char *ethtool_n);
/* The reply of `ip -d -j link show dev DEV`.  0, or -EBADMSG. */
int tune_parse_link(struct tune_facts *f, const char *ip_json);
/* Finds the interrupts that fit the driver's pattern; device: for %v.  Without their affinity. */
void tune_parse_interrupts(struct tune_facts *f, const char *pattern, const char *device, const char *interrupts);
/* /proc/net/vlan/config: VLAN interfaces upon ours. */
void tune_parse_vlans(struct tune_facts *f, const char *config);

#endif
