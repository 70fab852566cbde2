/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tc ingress: an ACK that answers a SYN cookie of our own becomes a connection, with every option that the
 * handshake agreed on (bpf_sk_assign_tcp_reqsk(), Linux 6.9; XDP has no socket buffer to hang a request on).
 *
 * It never drops: what it makes nothing of goes on to the kernel as if it were not there.  The front in XDP has
 * dropped what answers no cookie before it gets here, while a flood lasts.
 *
 * Outside of floods it returns at once, unless other nodes share our keys: their flows may be moved to us.
 */
#define DANELAW_TC
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "bpf/cookie.h"
#include "bpf/maps.h"
#include "bpf/parse.h"
#include "bpf/vip.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
	ACK_ONLY = 0x10,
	FLAGS_THAT_COUNT = 0x16, /* SYN, RST, ACK */
	HEADERS_MAX = 14 + 8 + 60 + 60,
	COOKIE_LIFE_S = 3 * COOKIE_EPOCH_S, /* with a clock that is one epoch off */
};
#define NS_PER_S 1000000000ull

/* Of the kernel, found by name when the program is loaded. */
struct sock {
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
} __attribute__((preserve_access_index));
struct tcp_sock;

struct bpf_tcp_req_attrs {
	__u32 rcv_tsval, rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale, snd_wscale;
	__u8 ecn_ok, wscale_ok, sack_ok, tstamp_ok, usec_ts_ok;
	__u8 reserved[3];
};
_Static_assert(sizeof(struct bpf_tcp_req_attrs) == 20, "as the kernel has it");

extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *s, struct sock *sk, struct bpf_tcp_req_attrs *attrs,
				   int attrs__sz) __ksym;

static __always_inline _Bool is_ours(const struct address *dest)
{
	struct address any = { .words[1] = dest->v4 ? bpf_ntohl(0xffff) : 0, .v4 = dest->v4, .port = dest->port };

	return is_in_vips(dest) || is_in_vips(&any);
}

static __always_inline _Bool cookies_are_about(const struct front_config *config)
{
	struct flood *shared;
	__u32 zero = 0;

	if (config->cookie_path != COOKIE_PATH_OWN)
		return 0;
	if (config->cookie_shared || config->cookie_always)
		return 1;
	shared = bpf_map_lookup_elem(&flood, &zero);
	return shared && shared->until_ns &&
	       bpf_ktime_get_coarse_ns() / 2 < (shared->until_ns / 2 + COOKIE_LIFE_S * NS_PER_S / 2);
}

static __always_inline _Bool read_ack(struct __sk_buff *skb, const struct segment *g, struct tcp_seen *seen)
{
	__u32 length = g->tcp_length;

	__builtin_memset(seen, 0, sizeof(*seen));
	if (length < sizeof(struct tcphdr) || length > sizeof(struct tcphdr) + OPTIONS_MAX)
		return 0;
	if (bpf_skb_load_bytes(skb, g->tcp_at, seen->header, length))
		return 0;
	seen->length = length - sizeof(struct tcphdr);
	read_options(seen);
	return 1;
}

static __always_inline void fill_request(struct bpf_tcp_req_attrs *attrs, const struct front_config *config,
					 const struct tcp_seen *seen, __u8 low, _Bool v4)
{
	__builtin_memset(attrs, 0, sizeof(*attrs));
	attrs->mss = cookie_mss(low >> 5, v4);
	attrs->sack_ok = low >> 4 & 1;
	attrs->wscale_ok = (low & 15) != NO_WSCALE;
	if (attrs->wscale_ok) {
		attrs->snd_wscale = low & 15;
		attrs->rcv_wscale = config->cookie_wscale;
	}
	if (seen->timestamp && config->cookie_offer & COOKIE_OFFER_TIMESTAMP) {
		attrs->tstamp_ok = 1;
		attrs->rcv_tsval = seen->tsval;
		attrs->rcv_tsecr = seen->tsecr;
	}
}

static __always_inline int make_connection(struct __sk_buff *skb, const struct segment *g,
					   struct bpf_tcp_req_attrs *attrs)
{
	struct bpf_sock *skc = segment_socket(skb, g);
	int reason = COOKIE_has_socket;
	struct sock *sk;

	if (!skc)
		return COOKIE_refused;
	if (skc->state == BPF_TCP_LISTEN) {
		sk = (struct sock *)bpf_skc_to_tcp_sock(skc);
		if (!sk)
			reason = COOKIE_refused;
		else if (sk->sk_ack_backlog > sk->sk_max_ack_backlog)
			reason = COOKIE_accept_full;
		else
			reason = bpf_sk_assign_tcp_reqsk(skb, sk, attrs, sizeof(*attrs)) ? COOKIE_refused : COOKIE_made;
	}
	bpf_sk_release(skc);
	return reason;
}

/* An ACK that answers a cookie of ours. */
static __always_inline int answered(struct __sk_buff *skb, const struct segment *g, const struct front_config *config,
				    int low)
{
	struct bpf_tcp_req_attrs attrs;
	struct tcp_seen seen;

	if (!is_ours(&g->dest) || !read_ack(skb, g, &seen))
		return COOKIE_other;
	fill_request(&attrs, config, &seen, low, g->source.v4);
	return make_connection(skb, g, &attrs);
}

__noinline int look(struct __sk_buff *skb, const struct segment *g)
{
	struct front_config *config;
	__u32 zero = 0;
	int low;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || !g || (g->flags & FLAGS_THAT_COUNT) != ACK_ONLY || g->fragment)
		return COOKIE_other;
	low = cookie_answered(g);
	return low < 0 ? COOKIE_other : answered(skb, g, config, low);
}

static __always_inline void count(__u32 reason)
{
	struct cookie_stats *stats;
	__u32 zero = 0;

	barrier_var(reason); /* else the check and the use of it part ways */
	if (reason >= COOKIE_COUNT)
		return;
	stats = bpf_map_lookup_elem(&cookie_stats, &zero);
	if (stats)
		((__u64 *)stats)[reason]++;
}

SEC("tc")
int cookie(struct __sk_buff *skb)
{
	struct front_config *config;
	__u32 zero = 0, reason = COOKIE_other;
	struct segment g;
	struct packet p;

	config = bpf_map_lookup_elem(&front_config, &zero);
	if (!config || config->abi != FRONT_ABI || !cookies_are_about(config))
		return TC_ACT_UNSPEC;
	if (skb->data + HEADERS_MAX > skb->data_end) /* headers may stand in another buffer */
		bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX);
	if (parse_packet(skb, &p) == PARSED_TCP) {
		segment_of(&p, 0, &g);
		reason = look(skb, &g);
	}
	count(reason);
	return TC_ACT_UNSPEC;
}
