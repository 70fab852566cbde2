/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tunnels that end here, for nodes behind a load balancer (Katran, IPVS in tunnel mode): IPv4 or IPv6 in IPv4 or IPv6
 * (RFC 2003, RFC 2473, RFC 4213), and GUE in UDP, of variant 0 without options and of variant 1, which has no header
 * and is what Katran sends (draft-ietf-intarea-gue-09 section 3.1, section 4; fou without a header looks the same).
 *
 * Only a packet to an address of decap_to is a tunnel's, only from a source of decap_from4/6 it is opened, and only
 * when the packet inside is for an address of ours; then the outer headers are taken away and it is judged as
 * any other.  What is inside for somebody else is left to the kernel, which may have a tunnel device of its own.
 * Fragments of a tunnel are refused: put together by the kernel they would go past every limit.
 *
 * Checksums of the outer headers are not looked at; those of the packet inside are the kernel's business.
 */
#ifndef DANELAW_DECAP_H
#define DANELAW_DECAP_H

#include <linux/udp.h>

#include "bpf/abi.h"
#include "bpf/also.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

enum {
	GUE_VARIANT_SHIFT = 6,
	LINK_MAX = sizeof(struct ethhdr) + PARSE_VLAN_MAX * sizeof(struct vlan_tag),
};

struct gue_header {
	__u8 variant_length; /* variant:2, control:1, words of options:5 */
	__u8 protocol;
	__be16 flags_be;
};

/*
 * Read by values at offsets, never through pointers: the verifier would follow each way through the headers with pointers
 * of its own.
 */
struct tunnel {
	__u32 link;	/* bytes of Ethernet and VLAN tags */
	__u32 at;	/* the cursor, in the frame; at the end: the packet inside */
	__u32 left;	/* bytes from the cursor on, as the outer lengths have it */
	__u32 v4;	/* the header that was read last is of IPv4 */
	__u32 protocol; /* that it leads to; at the end IPPROTO_IPIP or IPPROTO_IPV6 */
	__u32 fragment;
	__u32 later;	/* not the first fragment */
	__u32 bad;	/* lengths */
	__u32 port;	/* of GUE, host order */
	__u32 also;	/* enum also_reason */
};

__noinline int is_address(struct address *dest); /* of front.bpf.c: is it one of ours, whatever the port? */

static __always_inline void keep_words(__u32 v4, const void *at, struct address *out)
{
	struct packet p;

	p.v4 = v4 != 0;
	keep_address(&p, at, 0, out);
}

/* Ethernet and tags; 4, 6 or 0: no IP. */
static __always_inline int read_link(struct xdp_md *ctx, struct tunnel *t)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct vlan_tag *tag = (void *)(eth + 1);
	__be16 proto_be;

	if ((void *)(eth + 1) > end)
		return 0;
	proto_be = eth->h_proto;
	t->at = sizeof(*eth);
#pragma unroll
	for (int i = 0; i < PARSE_VLAN_MAX; i++, tag++) {
		if (proto_be != bpf_htons(ETH_P_8021Q) && proto_be != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end)
			return 0;
		proto_be = tag->proto_be;
		t->at += sizeof(*tag);
	}
	t->link = t->at;
	t->v4 = proto_be == bpf_htons(ETH_P_IP);
	return t->v4 ? 4 : proto_be == bpf_htons(ETH_P_IPV6) ? 6 : 0;
}

static __always_inline _Bool read_outer4(struct xdp_md *ctx, struct tunnel *t, struct address *from, struct address *to)
{
	__u32 there = bpf_xdp_get_buff_len(ctx) - t->at, header, total;
	struct iphdr ip;
	__u16 frag;

	if (bpf_xdp_load_bytes(ctx, t->at, &ip, sizeof(ip)))
		return 0;
	keep_words(1, &ip.saddr, from);
	keep_words(1, &ip.daddr, to);
	header = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	frag = bpf_ntohs(ip.frag_off);
	t->protocol = ip.protocol;
	t->fragment = (frag & (IP4_OFFSET | IP4_MORE_FRAGMENTS)) != 0;
	t->later = (frag & IP4_OFFSET) != 0;
	t->bad = header < sizeof(ip) || total < header || total > there;
	t->left = total - header;
	t->at += header;
	return 1;
}

/* Linux sends destination options: how many tunnels this one may go through (RFC 2473 section 4.1.1). */
static __always_inline void skip_ext(struct xdp_md *ctx, struct tunnel *t)
{
	struct ext_header ext;
	__u32 size;

	if (t->left < 8 || bpf_xdp_load_bytes(ctx, t->at, &ext, sizeof(ext))) {
		t->bad = 1;
		return;
	}
	size = t->protocol == PROTO_AH ? (ext.length + 2) * 4 : (ext.length + 1) * 8;
	if (t->protocol == IPPROTO_FRAGMENT) {
		size = 8;
		t->fragment = 1;
		t->later = (ext.offset_be & bpf_htons(IP6_OFFSET)) != 0;
	}
	t->protocol = ext.next;
	t->bad = size > t->left;
	t->left -= size;
	t->at += size;
}

static __always_inline _Bool read_outer6(struct xdp_md *ctx, struct tunnel *t, struct address *from, struct address *to)
{
	__u32 there = bpf_xdp_get_buff_len(ctx) - t->at;
	struct ipv6hdr ip;

	if (bpf_xdp_load_bytes(ctx, t->at, &ip, sizeof(ip)))
		return 0;
	keep_words(0, &ip.saddr, from);
	keep_words(0, &ip.daddr, to);
	t->protocol = ip.nexthdr;
	t->left = bpf_ntohs(ip.payload_len);
	t->bad = t->left + sizeof(ip) > there;
	t->at += sizeof(ip);
#pragma clang loop unroll(disable)
	for (int i = 0; i < PARSE_EXT_MAX; i++) {
		if (t->bad || t->later || !is_ext(t->protocol))
			break;
		skip_ext(ctx, t);
	}
	return 1;
}

static __always_inline struct rule *find_balancer(const struct address *from)
{
	struct prefix4 key4 = { .prefixlen = 32 };
	struct prefix6 key6 = { .prefixlen = 128 };

	if (from->v4) {
		__builtin_memcpy(key4.ip, &from->ip4[3], 4);
		return bpf_map_lookup_elem(&decap_from4, &key4);
	}
	__builtin_memcpy(key6.ip, from->ip, 16);
	return bpf_map_lookup_elem(&decap_from6, &key6);
}

/* UDP, and GUE's header where there is one; -1 or a reason. */
static __always_inline int read_gue(struct xdp_md *ctx, struct tunnel *t)
{
	struct {
		struct udphdr udp;
		struct gue_header gue;
	} h;
	__u32 size, variant;

	if (t->later || !t->port)
		return REASON_not_ours; /* of a tunnel's packet in fragments the first shows the port, and is refused */
	if (t->left < sizeof(h) || bpf_xdp_load_bytes(ctx, t->at, &h, sizeof(h)) || bpf_ntohs(h.udp.dest) != t->port)
		return REASON_not_ours; /* shorter ones are nothing that could be opened by anybody */
	size = bpf_ntohs(h.udp.len);
	if (size < sizeof(h) || size > t->left) {
		t->bad = 1;
		return -1;
	}
	t->also = ALSO_decap_gue;
	t->at += sizeof(h.udp);
	t->left = size - sizeof(h.udp);
	variant = h.gue.variant_length >> GUE_VARIANT_SHIFT;
	if (variant == 1) {
		t->protocol = h.gue.variant_length >> 4 == 6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		return -1;
	}
	t->at += sizeof(h.gue);
	t->left -= sizeof(h.gue);
	t->protocol = h.gue.protocol;
	if (variant || h.gue.variant_length || h.gue.flags_be)
		t->protocol = IPPROTO_NONE;
	return -1;
}

static __always_inline _Bool is_nested(struct xdp_md *ctx, const struct tunnel *t, __u8 protocol, __u32 header)
{
	struct ports ports;

	if (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6)
		return 1;
	return protocol == IPPROTO_UDP && t->port && !bpf_xdp_load_bytes(ctx, t->at + header, &ports, sizeof(ports)) &&
	       bpf_ntohs(ports.dest_be) == t->port;
}

static __always_inline int read_inner4(struct xdp_md *ctx, struct tunnel *t, struct address *dest)
{
	struct iphdr ip;

	if (t->left < sizeof(ip) || bpf_xdp_load_bytes(ctx, t->at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    bpf_ntohs(ip.tot_len) > t->left || bpf_ntohs(ip.tot_len) < ip.ihl * 4)
		return REASON_tunnel_length;
	keep_words(1, &ip.daddr, dest);
	return is_nested(ctx, t, ip.protocol, ip.ihl * 4) ? REASON_tunnel_nested : -1;
}

static __always_inline int read_inner6(struct xdp_md *ctx, struct tunnel *t, struct address *dest)
{
	struct ipv6hdr ip;

	if (t->left < sizeof(ip) || bpf_xdp_load_bytes(ctx, t->at, &ip, sizeof(ip)) || ip.version != 6 ||
	    bpf_ntohs(ip.payload_len) + sizeof(ip) > t->left)
		return REASON_tunnel_length;
	keep_words(0, &ip.daddr, dest);
	return is_nested(ctx, t, ip.nexthdr, sizeof(ip)) ? REASON_tunnel_nested : -1;
}

/* Ethernet and VLAN tags move up against the packet inside. */
static __always_inline _Bool strip(struct xdp_md *ctx, const struct tunnel *t)
{
	__be16 proto_be = t->protocol == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	__u8 link[LINK_MAX] = { 0 };
	__u32 size = t->link;

	if (size != LINK_MAX - sizeof(struct vlan_tag) && size != LINK_MAX)
		size = sizeof(struct ethhdr);
	if (bpf_xdp_load_bytes(ctx, 0, link, size) || bpf_xdp_adjust_head(ctx, (int)(t->at - t->link)))
		return 0;
	if (size == LINK_MAX)
		__builtin_memcpy(link + LINK_MAX - 2, &proto_be, 2);
	else if (size == sizeof(struct ethhdr))
		__builtin_memcpy(link + sizeof(struct ethhdr) - 2, &proto_be, 2);
	else
		__builtin_memcpy(link + LINK_MAX - sizeof(struct vlan_tag) - 2, &proto_be, 2);
	return !bpf_xdp_store_bytes(ctx, 0, link, size);
}

/* -1: t tells where the packet inside is and *dest where it wants to go; or a reason. */
static __always_inline int read_tunnel(struct xdp_md *ctx, struct tunnel *t, struct address *from, struct address *dest)
{
	struct address to;
	struct rule *balancer;
	int version = read_link(ctx, t), reason;

	if (!version || !(version == 4 ? read_outer4(ctx, t, from, &to) : read_outer6(ctx, t, from, &to)))
		return REASON_not_ours;
	if (!bpf_map_lookup_elem(&decap_to, to.ip))
		return REASON_not_ours;
	t->also = version == 4 ? (t->protocol == IPPROTO_IPIP ? ALSO_decap_4in4 : ALSO_decap_6in4) :
				 (t->protocol == IPPROTO_IPIP ? ALSO_decap_4in6 : ALSO_decap_6in6);
	if (t->protocol == IPPROTO_UDP && !t->bad) {
		reason = read_gue(ctx, t);
		if (reason >= 0)
			return reason;
	} else if (t->protocol != IPPROTO_IPIP && t->protocol != IPPROTO_IPV6) {
		return REASON_not_ours;
	}
	balancer = find_balancer(from);
	if (!balancer)
		return REASON_tunnel_source;
	if (t->fragment)
		return REASON_tunnel_fragment;
	if (t->bad)
		return REASON_tunnel_length;
	if (t->protocol == IPPROTO_IPIP)
		reason = read_inner4(ctx, t, dest);
	else if (t->protocol == IPPROTO_IPV6)
		reason = read_inner6(ctx, t, dest);
	else
		return REASON_tunnel_gue;
	if (reason < 0)
		__sync_fetch_and_add(&balancer->hits, 1);
	return reason;
}

/*
 * -1: the outer headers are gone.  Else a reason, and the packet is as it was.  *from: the tunnel's source.
 * A function of its own, which the verifier looks at but once.
 */
__noinline int unwrap(struct xdp_md *ctx, struct address *from)
{
	struct front_config *config;
	struct tunnel t = { 0 };
	struct address dest;
	__u32 zero = 0;
	int reason;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || !from || !config->decap)
		return REASON_not_ours;
	t.port = config->gue_port;
	reason = read_tunnel(ctx, &t, from, &dest);
	if (reason >= 0)
		return reason;
	if (!is_address(&dest))
		return REASON_not_ours;
	if (!strip(ctx, &t))
		return REASON_error_tunnel;
	count_also(t.also);
	return -1;
}

#endif
