/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What syn_flood sends: each frame is written anew (its page may have been an answer before), with another source,
 * port and sequence number, and sent out (BPF_PROG_RUN with live frames).
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { FRAME = 74 };

/* The frame with zeros in what varies and in its checksums; their sums without it. */
__u8 template[80] SEC(".data");
__u32 ip_sum SEC(".data");
__u32 tcp_sum SEC(".data");

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return bpf_htons(~sum);
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u8 *f;
	__u32 source = 198u << 24 | 18u << 16 | (bpf_get_prandom_u32() & 0x1ffff), seq = bpf_get_prandom_u32();
	__u32 port = 1024 + (bpf_get_prandom_u32() & 0x7fff), sum = (source >> 16) + (source & 0xffff);

	/* given 4 bytes less than it sends: only of a frame that was changed the kernel takes the length to be new, and
	 * a page that was an answer before would keep that one's (frame_was_changed(), net/bpf/test_run.c) */
	if (bpf_xdp_adjust_tail(ctx, FRAME - (int)(ctx->data_end - ctx->data)))
		return XDP_ABORTED;
	f = (void *)(long)ctx->data;
	if ((void *)(f + FRAME) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(f, template, FRAME);
	*(__u16 *)(f + 24) = fold(ip_sum + sum);
	*(__u16 *)(f + 26) = bpf_htons(source >> 16);
	*(__u16 *)(f + 28) = bpf_htons(source);
	*(__u16 *)(f + 34) = bpf_htons(port);
	*(__u16 *)(f + 38) = bpf_htons(seq >> 16);
	*(__u16 *)(f + 40) = bpf_htons(seq);
	*(__u16 *)(f + 50) = fold(tcp_sum + sum + port + (seq >> 16) + (seq & 0xffff));
	return XDP_TX;
}

/* At the same interface: what comes back for the forged sources ends here, as it would nowhere in the Internet. */
SEC("xdp")
int swallow(struct xdp_md *ctx)
{
	__u8 *f = (void *)(long)ctx->data;

	if ((void *)(f + 34) > (void *)(long)ctx->data_end || *(__u16 *)(f + 12) != bpf_htons(0x0800))
		return XDP_PASS;
	return f[30] == 198 && (f[31] & 0xfe) == 18 ? XDP_DROP : XDP_PASS;
}
