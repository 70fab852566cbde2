/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an Ethernet frame to its TCP header.  A cursor moves over the packet; every length that the packet
 * states is held against a floor (the shortest such header) and a ceiling (what is really there).  Each
 * parser returns one of enum parsed and nothing else; byte order is in the names.
 */
#ifndef DANELAW_PARSE_H
#define DANELAW_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* What runs at tc ingress sees the packet through another context. */
#ifdef DANELAW_TC
#define PARSE_CTX struct __sk_buff
#define packet_length(ctx) ((ctx)->len)
#else
#define PARSE_CTX struct xdp_md
#define packet_length(ctx) bpf_xdp_get_buff_len(ctx)
#endif

enum {
	PARSE_VLAN_MAX = 2,
	PARSE_EXT_MAX = 6, /* RFC 8200 section 4.1 recommends six kinds, once each (destination options twice) */
	IP4_MORE_FRAGMENTS = 0x2000,
	IP4_OFFSET = 0x1fff,
	IP6_OFFSET = 0xfff8,
	IP6_MORE_FRAGMENTS = 1,
	PROTO_AH = 51,
	PROTO_DSTOPTS = 60,
};

enum parsed {
	PARSED_TCP,	       /* ->tcp is whole */
	PARSED_TCP_BAD,	       /* TCP, its port is known, a length is wrong */
	PARSED_TCP_HIDDEN,     /* TCP, its port is known, the fragment ends inside the header */
	PARSED_FRAGMENT,       /* TCP, but not its first fragment: no ports */
	PARSED_IP_BAD,	       /* the addresses can be read, the lengths of the IP header are wrong */
	PARSED_EXT_TOO_MANY,   /* more than PARSE_EXT_MAX extension headers, or they end beyond the packet */
	PARSED_ICMP,
	PARSED_TUNNEL,	       /* IP in IP, or UDP: perhaps a tunnel's; no field of struct packet is set */
	PARSED_OTHER,	       /* anything else: not for us */
};

struct vlan_tag {
	__be16 tci;
	__be16 proto_be;
};

struct ext_header {
	__u8 next;
	__u8 length; /* in 8 bytes behind the first 8; AH: in 4 bytes behind the first 8 */
	__be16 offset_be; /* of a fragment header: offset and more-fragments bit */
};

/*
 * An address kept for functions of their own, which must not be handed pointers into the packet.  It is written and
 * read in words: what is written in bytes and read in words at once makes a CPU wait for its store buffer.
 */
struct address {
	union {
		__u64 words[2];
		__u8 ip[16]; /* IPv4: v4-mapped */
		__u32 ip4[4]; /* IPv4: the last of these */
	};
	__u32 v4;
	__u32 port; /* of a destination, host order; else 0 */
};

struct packet {
	void *at, *end;	      /* the cursor */
	__u32 left;	      /* bytes of the IP packet from the cursor on, as its header says */
	struct ethhdr *eth;
	void *source, *dest;  /* the addresses, 4 or 16 bytes; set with everything but PARSED_OTHER */
	_Bool v4;
	void *ip;	      /* struct iphdr or ipv6hdr; set with source */
	struct tcphdr *tcp;   /* set with PARSED_TCP */
	__be16 port_be;	      /* the destination's; set with PARSED_TCP* */
	_Bool fragment;	      /* a first fragment */
};

struct ports {
	__be16 source_be, dest_be;
};

static __always_inline __be16 parse_ethernet(struct packet *p)
{
	struct ethhdr *eth = p->at;
	__be16 proto_be;

	if ((void *)(eth + 1) > p->end)
		return 0;
	p->eth = eth;
	p->at = eth + 1;
	proto_be = eth->h_proto;
#pragma unroll
	for (int i = 0; i < PARSE_VLAN_MAX; i++) {
		struct vlan_tag *tag = p->at;

		if (proto_be != bpf_htons(ETH_P_8021Q) && proto_be != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > p->end)
			return 0;
		proto_be = tag->proto_be;
		p->at = tag + 1;
	}
	return proto_be;
}

/* At a TCP header of p->left bytes of payload. */
static __always_inline enum parsed parse_tcp(struct packet *p)
{
	struct tcphdr *tcp = p->at;

	if (p->left < sizeof(struct ports) || p->at + sizeof(struct ports) > p->end)
		return PARSED_IP_BAD;
	p->port_be = tcp->dest;
	p->tcp = tcp;
	if (p->left < sizeof(*tcp) || (void *)(tcp + 1) > p->end)
		return p->fragment ? PARSED_TCP_HIDDEN : PARSED_TCP_BAD;
	if (tcp->doff < 5)
		return PARSED_TCP_BAD;
	if (tcp->doff * 4u > p->left)
		return p->fragment ? PARSED_TCP_HIDDEN : PARSED_TCP_BAD;
	return PARSED_TCP;
}

static __always_inline _Bool is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_UDP;
}

static __always_inline enum parsed parse_ip4(struct packet *p, PARSE_CTX *ctx)
{
	struct iphdr *ip = p->at;
	__u32 header, total;
	__u64 frame;
	__u16 frag;

	if ((void *)(ip + 1) > p->end || ip->version != 4)
		return PARSED_OTHER;
	p->v4 = 1;
	p->ip = ip;
	if (ip->protocol == IPPROTO_ICMP)
		return PARSED_ICMP;
	if (ip->protocol != IPPROTO_TCP)
		return is_tunnel(ip->protocol) ? PARSED_TUNNEL : PARSED_OTHER;
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	frame = p->end - p->at;
	if (total > frame) /* several buffers? */
		frame = packet_length(ctx) - (__u64)(p->at - (void *)p->eth);
	if (header < sizeof(*ip) || total < header || total > frame)
		return PARSED_IP_BAD;
	frag = bpf_ntohs(ip->frag_off);
	if (frag & IP4_OFFSET)
		return PARSED_FRAGMENT;
	p->fragment = frag & IP4_MORE_FRAGMENTS;
	p->left = total - header;
	p->at += header;
	return parse_tcp(p);
}

/* One extension header: *next becomes what follows it.  False: it reaches beyond the packet. */
static __always_inline _Bool parse_ext(struct packet *p, __u8 *next, _Bool *later_fragment)
{
	struct ext_header *ext = p->at;
	__u32 size;

	if (p->left < 8 || p->at + 8 > p->end)
		return 0;
	size = (ext->length + 1) * 8;
	if (*next == PROTO_AH)
		size = (ext->length + 2) * 4;
	if (*next == IPPROTO_FRAGMENT) {
		size = 8;
		*later_fragment = ext->offset_be & bpf_htons(IP6_OFFSET);
		p->fragment = ext->offset_be & bpf_htons(IP6_MORE_FRAGMENTS);
	}
	*next = ext->next;
	if (size > p->left)
		return 0;
	p->left -= size;
	p->at += size;
	return 1;
}

static __always_inline _Bool is_ext(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT ||
	       next == PROTO_DSTOPTS || next == PROTO_AH;
}

static __always_inline enum parsed parse_ip6(struct packet *p, PARSE_CTX *ctx)
{
	struct ipv6hdr *ip = p->at;
	_Bool later = 0;
	__u64 frame;
	__u8 next;

	if ((void *)(ip + 1) > p->end || ip->version != 6)
		return PARSED_OTHER;
	next = ip->nexthdr;
	if (next != IPPROTO_TCP && next != IPPROTO_ICMPV6 && !is_ext(next))
		return is_tunnel(next) ? PARSED_TUNNEL : PARSED_OTHER;
	p->ip = ip;
	p->at = ip + 1;
	p->left = bpf_ntohs(ip->payload_len);
	if (next == IPPROTO_ICMPV6)
		return PARSED_ICMP;
	frame = p->end - p->at;
	if (p->left > frame) /* several buffers? */
		frame = packet_length(ctx) - (__u64)(p->at - (void *)p->eth);
	if (p->left > frame)
		return next == IPPROTO_TCP ? PARSED_IP_BAD : PARSED_EXT_TOO_MANY;
#pragma unroll
	for (int i = 0; i < PARSE_EXT_MAX; i++) {
		if (!is_ext(next))
			break;
		if (!parse_ext(p, &next, &later))
			return PARSED_EXT_TOO_MANY;
		if (later && is_tunnel(next))
			return PARSED_TUNNEL;
		if (later)
			return next == IPPROTO_TCP || is_ext(next) ? PARSED_FRAGMENT : PARSED_OTHER;
	}
	if (is_ext(next))
		return PARSED_EXT_TOO_MANY;
	if (next == IPPROTO_ICMPV6)
		return PARSED_ICMP;
	if (next != IPPROTO_TCP)
		return is_tunnel(next) ? PARSED_TUNNEL : PARSED_OTHER;
	return parse_tcp(p);
}

static __always_inline enum parsed parse_headers(PARSE_CTX *ctx, struct packet *p)
{
	__be16 proto_be = parse_ethernet(p);

	if (proto_be == bpf_htons(ETH_P_IP))
		return parse_ip4(p, ctx);
	if (proto_be == bpf_htons(ETH_P_IPV6))
		return parse_ip6(p, ctx);
	return PARSED_OTHER;
}

/*
 * The pointers once more, from their offsets.  The verifier follows every way through the headers with pointers
 * that differ by what it knows of them, and would follow all the rest of the program as often; these are alike.
 */
static __always_inline enum parsed settle(PARSE_CTX *ctx, struct packet *p, enum parsed parsed)
{
	__u32 ip_at = p->ip - (void *)p->eth, tcp_at = p->tcp ? (void *)p->tcp - (void *)p->eth : 0;

	barrier_var(ip_at);
	barrier_var(tcp_at);
	p->eth = (void *)(long)ctx->data;
	p->end = (void *)(long)ctx->data_end;
	p->ip = (void *)p->eth + (ip_at & 63);
	p->tcp = (void *)p->eth + (tcp_at & 0x7fff);
	if (p->ip + (p->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) > p->end)
		return PARSED_OTHER;
	p->source = p->ip + (p->v4 ? __builtin_offsetof(struct iphdr, saddr) : __builtin_offsetof(struct ipv6hdr, saddr));
	p->dest = p->source + (p->v4 ? 4 : 16);
	if (parsed == PARSED_TCP && (void *)(p->tcp + 1) > p->end)
		return PARSED_OTHER;
	return parsed;
}

/* Everything: the packet of ctx, *p as far as the answer promises. */
static __always_inline enum parsed parse_packet(PARSE_CTX *ctx, struct packet *p)
{
	enum parsed parsed;

	p->at = (void *)(long)ctx->data;
	p->end = (void *)(long)ctx->data_end;
	p->ip = 0;
	p->v4 = 0;
	p->tcp = 0;
	p->port_be = 0;
	p->fragment = 0;
	parsed = parse_headers(ctx, p);
	return parsed == PARSED_OTHER || parsed == PARSED_TUNNEL ? parsed : settle(ctx, p, parsed);
}

/* at: the address in the packet, of 4 or 16 bytes */
static __always_inline void keep_address(const struct packet *p, const void *at, __u32 port, struct address *out)
{
	const __u32 *from = at;

	out->v4 = p->v4;
	out->port = port;
	if (p->v4) {
		out->words[0] = 0;
		out->words[1] = (__u64)from[0] << 32 | bpf_ntohl(0xffff);
	} else {
		out->words[0] = (__u64)from[1] << 32 | from[0];
		out->words[1] = (__u64)from[3] << 32 | from[2];
	}
}

#endif
