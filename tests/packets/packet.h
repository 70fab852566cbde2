/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets made to order, and the front run on them by BPF_PROG_RUN, in a network and mount namespace of the
 * test's own with the front attached to one end of a veth pair.
 */
#ifndef DANELAW_TESTS_PACKET_H
#define DANELAW_TESTS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "userspace/front.h"

enum { PACKET_MAX = 4096, EXT_MAX = 10 };

/* All zero is a SYN over IPv4 from 198.51.100.10:40000 to 192.0.2.25:25 (or 2001:db8:5::10 to 2001:db8::25). */
struct spec {
	bool v6;
	int vlans;		/* tags, the first 802.1ad when there are two */
	const char *src, *dst;
	uint16_t sport, dport;
	uint8_t flags;		/* of TCP; 0: SYN.  NO_FLAGS for none */
	int protocol;		/* 0: TCP */
	int ip_options;		/* IPv4: 32-bit words of options */
	uint8_t ext[EXT_MAX];	/* IPv6: extension headers in order, 0 ends (hop-by-hop is given as HOPOPTS) */
	int ext_words;		/* length field of each */
	int tcp_options;	/* 32-bit words */
	int payload;		/* bytes behind TCP */
	int pad;		/* bytes behind the IP packet */
	int frag_offset;	/* in 8 bytes */
	bool more_fragments;
	int ihl, doff, total;	/* not 0: written instead of the true value; -1 writes 0 */
	int cut;		/* bytes cut off the end of the frame */
	bool bad_checksum;
	uint32_t seq, ack;
};
enum { NO_FLAGS = 0x100 >> 1, HOPOPTS = 255 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32, ECE = 64 };

enum { IPIP = 4, IPV6 = 41, UDP = 17, GUE_PORT = 6080 };
enum wrap { PLAIN, GUE0, GUE1 };

/* What is around a packet; all zero is IP in IP from 10.0.0.1 to 10.0.0.25 (2001:db8:b::1 to 2001:db8:b::25). */
struct around {
	bool v6;
	enum wrap wrap;
	const char *src, *dst;
	int protocol;	     /* 0: what is right */
	int dport;	     /* 0: GUE_PORT */
	int options;	     /* IPv4: words of options; IPv6: destination options headers */
	int option_words;    /* IPv6: their length field */
	int ihl, total, udp_length; /* not 0: written instead of the true value; -1 writes 0 */
	int fragment;	     /* 1 the first, 2 a later one */
	int gue_first, gue_protocol, gue_flags; /* not 0: xored with the right value */
	int short_by;	     /* the outer lengths say so many bytes less than is there */
};

/* Fills frame with the packet, returns its length.  Checksums of IPv4, TCP are right unless asked otherwise. */
size_t packet_build(const struct spec *s, uint8_t frame[PACKET_MAX]);
/* Puts the frame of len bytes into a tunnel (out: len and 600 bytes for what is around it), returns its length. */
size_t packet_wrap(const struct around *a, const uint8_t *frame, size_t len, uint8_t *out);
/* The Internet checksum of TCP in this frame as it should be; 0 when right (for answers). */
bool packet_checksums_ok(const uint8_t *frame, size_t len);

/*
 * Enters new namespaces (net, mount, with an own bpffs), makes veth0/veth1.  False: not root (the test says skip).
 */
bool packet_namespace(void);
/*
 * A client for real TCP, in a namespace of its own behind the veth: descriptors of both namespaces.  Each knows the
 * other's hardware address for good: without link-local addresses nobody could ask for it (RFC 4861 7.2.2).
 *    client: veth1 198.51.100.10, 2001:db8:5::10  ──  edge: veth0 198.51.100.1, 2001:db8:5::1; 192.0.2.25, 2001:db8::25 on lo
 */
void packet_client(int *edge_ns, int *client_ns);
void packet_enter(int ns); /* a network namespace */
/* Opens the front on veth0 for the usual addresses, port 25; other settings may be NULL. */
struct front *packet_front(const struct front_settings *other);
/* Lets those tunnels end at a front to be opened, and from 10.1.0.0/16 and 2001:db8:c::/48 too. */
void packet_tunnels(struct front_settings *set);
/* Says whether a flood lasts, and none ends or begins by itself. */
void packet_flood(bool lasts);
/* A pinned object by name, "maps/deny4", "progs/front"; asserts it is there. */
int packet_pin(const char *name);
/* One run; out (PACKET_MAX) may be NULL.  Returns XDP's verdict. */
int packet_run(int prog, const uint8_t *frame, size_t len, uint8_t *out, size_t *out_len);
/* Sums of front_stats, REASON_COUNT of them. */
void packet_counts(uint64_t counts[REASON_COUNT]);
/* One run: asserts that it was counted under exactly one reason, with its verdict; which one.  out: PACKET_MAX. */
int packet_reason_out(int prog, const uint8_t *frame, size_t len, uint8_t *out, size_t *out_len);
/* The same, unchanged if it passes. */
int packet_reason(int prog, const uint8_t *frame, size_t len);
extern const char *const reason_names[REASON_COUNT];
extern const uint8_t reason_verdicts[REASON_COUNT]; /* XDP_PASS, … */
/*
 * Every wait on this socket, connect(2) among them, fails after PACKET_DEADLINE_S: what never comes is a failure with
 * a name, not a test that hangs.  Longer than TCP's longest pause between two probes of a closed window (120 s).
 */
enum { PACKET_DEADLINE_S = 130 };
void packet_deadline(int fd);
void packet_sh(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* a shell command that must succeed */

#endif
