/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the subcommands of `danelawctl front` share.  They look at the pinned maps, so they need root and no daemon.
 */
#ifndef DANELAW_FRONT_TOOL_H
#define DANELAW_FRONT_TOOL_H

#include "tools/ctl.h"
#include "userspace/front_view.h"

struct front_tool {
	const char *pins; /* --pins, else FRONT_PIN_DIR */
	bool json;
	struct front_view *view;
};

/* Rows of `struct option` that all of them have; before their own. */
#define FRONT_OPTIONS { "pins", required_argument, NULL, 'p' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }

void front_tool_init(struct front_tool *t);
/* One of those options; a fault and --help end the program. */
void front_tool_option(struct front_tool *t, int opt, const char *usage);
/* Opens the view; 0, or the exit status after saying on stderr what is wrong. */
int front_tool_open(struct front_tool *t);

/* "90s", "15m", "2h", "7d", "250ms" in ms; false: not a time, or nothing. */
bool front_tool_time(const char *text, uint64_t *ms);
/* The row of front_count_info with this symbol among those of packets, or -1 after saying so. */
int front_tool_reason(const char *symbol);
/* "198.51.100.0/24", "198.51.100.7", "2001:db8::/32" */
const char *front_tool_prefix(const struct net_prefix *prefix, char out[NET_TEXT_MAX]);

/* What can be read of a captured packet. */
struct front_packet {
	bool ip, ports; /* the addresses, the ports are known */
	struct net_addr source, dest;
	uint8_t protocol;
	char flags[32]; /* of TCP: "SYN", "FIN ACK"; "" unknown */
};
void front_packet_read(const uint8_t *frame, size_t len, struct front_packet *out);

/* A rule as JSON, and a table of an array of such. */
json_t *front_rule_json(const struct front_rule *rule);
void front_rules_print(const json_t *rules);

int front_status(int argc, char **argv);
int front_top(int argc, char **argv);
int front_deny(int argc, char **argv);
int front_allow(int argc, char **argv);
int front_lists(int argc, char **argv);
int front_events(int argc, char **argv);
int front_profile(int argc, char **argv);

#endif
