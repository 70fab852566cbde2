/* SPDX-License-Identifier: BSD-2-Clause */
/* See packet.h.  Written byte by byte, so that headers can be as wrong as a test wants them. */
#include "tests/packets/packet.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { IPPROTO_V6_FRAGMENT = 44, IPPROTO_V6_AH = 51 };

const char *const reason_names[REASON_COUNT] = {
#define REASON(number, symbol, verdict, sentence) [number] = #symbol,
#include "bpf/reasons.def"
};
const uint8_t reason_verdicts[REASON_COUNT] = {
#define REASON(number, symbol, verdict, sentence) [number] = XDP_##verdict,
#include "bpf/reasons.def"
};

static uint8_t *put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t v)
{
	return put16(put16(at, v >> 16), v & 0xffff);
}

static uint32_t sum16(const uint8_t *data, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	if (len & 1)
		sum += (uint32_t)data[len - 1] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint16_t tcp_sum(const uint8_t *addresses, size_t address_len, const uint8_t *tcp, size_t len)
{
	return fold(sum16(tcp, len, sum16(addresses, 2 * address_len, 6 + (uint32_t)len)));
}

static size_t put_tcp(const struct spec *s, uint8_t *at)
{
	int doff = s->doff ? s->doff < 0 ? 0 : s->doff : 5 + s->tcp_options;
	int flags = s->flags == NO_FLAGS ? 0 : s->flags ? s->flags : SYN;
	uint8_t *p = at;
	int i;

	p = put16(p, s->sport ? s->sport : 40000);
	p = put16(p, s->dport ? s->dport : 25);
	p = put32(p, s->seq ? s->seq : 1000);
	p = put32(p, s->ack);
	*p++ = (uint8_t)(doff << 4);
	*p++ = (uint8_t)flags;
	p = put16(p, 64240);
	p = put32(p, 0);
	for (i = 0; i < s->tcp_options * 4; i++)
		*p++ = 1; /* NOP */
	for (i = 0; i < s->payload; i++)
		*p++ = (uint8_t)('a' + i % 26);
	return (size_t)(p - at);
}

static uint8_t *put_ext(const struct spec *s, uint8_t *at)
{
	int i, words;

	for (i = 0; i < EXT_MAX && s->ext[i]; i++) {
		uint8_t kind = s->ext[i], next = i + 1 < EXT_MAX && s->ext[i + 1] ? s->ext[i + 1] : (uint8_t)(s->protocol ? s->protocol : 6);

		if (next == HOPOPTS)
			next = 0;
		words = kind == IPPROTO_V6_FRAGMENT ? 0 : s->ext_words;
		memset(at, 0, (size_t)(words + 1) * 8);
		at[0] = next;
		at[1] = (uint8_t)words;
		if (kind == IPPROTO_V6_AH) { /* counted in 4 bytes, less 2 */
			at[1] = (uint8_t)((words + 1) * 2 - 2);
		} else if (kind == IPPROTO_V6_FRAGMENT) {
			put16(at + 2, (unsigned)s->frag_offset << 3 | s->more_fragments);
			put32(at + 4, 77);
		} else if (words >= 0 && kind != 43) {
			at[2] = 1; /* PadN over the rest */
			at[3] = (uint8_t)((words + 1) * 8 - 4);
		}
		at += (words + 1) * 8;
	}
	return at;
}

static size_t put_ip4(const struct spec *s, uint8_t *ip)
{
	size_t header = 20 + 4 * (size_t)s->ip_options, upper;
	uint8_t *tcp = ip + header;

	upper = put_tcp(s, tcp);
	memset(ip, 1, header); /* options: NOP */
	ip[0] = (uint8_t)(0x40 | (s->ihl ? s->ihl < 0 ? 0 : (unsigned)s->ihl : header / 4));
	ip[1] = 0;
	put16(ip + 2, s->total ? s->total < 0 ? 0 : (unsigned)s->total : (unsigned)(header + upper));
	put16(ip + 4, 4711);
	put16(ip + 6, (s->frag_offset ? 0 : s->more_fragments ? 0 : 0x4000) | (s->more_fragments ? 0x2000 : 0) | (unsigned)s->frag_offset);
	ip[8] = 60;
	ip[9] = (uint8_t)(s->protocol ? s->protocol : 6);
	put16(ip + 10, 0);
	assert_int_equal(inet_pton(AF_INET, s->src ? s->src : "198.51.100.10", ip + 12), 1);
	assert_int_equal(inet_pton(AF_INET, s->dst ? s->dst : "192.0.2.25", ip + 16), 1);
	put16(ip + 10, fold(sum16(ip, header, 0)));
	put16(tcp + 16, tcp_sum(ip + 12, 4, tcp, upper) ^ (s->bad_checksum ? 0x5555 : 0));
	return header + upper;
}

static size_t put_ip6(const struct spec *s, uint8_t *ip)
{
	uint8_t *tcp, protocol = (uint8_t)(s->protocol ? s->protocol : 6);
	size_t upper;

	memset(ip, 0, 40);
	ip[0] = 0x60;
	ip[6] = s->ext[0] == HOPOPTS ? 0 : s->ext[0] ? s->ext[0] : protocol;
	ip[7] = 60;
	assert_int_equal(inet_pton(AF_INET6, s->src ? s->src : "2001:db8:5::10", ip + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, s->dst ? s->dst : "2001:db8::25", ip + 24), 1);
	tcp = put_ext(s, ip + 40);
	upper = put_tcp(s, tcp);
	put16(ip + 4, s->total ? s->total < 0 ? 0 : (unsigned)s->total : (unsigned)((size_t)(tcp - ip) - 40 + upper));
	put16(tcp + 16, tcp_sum(ip + 8, 16, tcp, upper) ^ (s->bad_checksum ? 0x5555 : 0));
	return (size_t)(tcp - ip) + upper;
}

size_t packet_build(const struct spec *s, uint8_t frame[PACKET_MAX])
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	uint8_t *p = frame + 12;
	size_t len;
	int i;

	memcpy(frame, macs, 12);
	for (i = 0; i < s->vlans; i++) {
		p = put16(p, s->vlans == 2 && i == 0 ? 0x88a8 : 0x8100);
		p = put16(p, 0x2000 + 100 + (unsigned)i);
	}
	p = put16(p, s->v6 ? 0x86dd : 0x0800);
	len = (size_t)(p - frame) + (s->v6 ? put_ip6(s, p) : put_ip4(s, p));
	memset(frame + len, 0, (size_t)s->pad);
	return len + (size_t)s->pad - (size_t)s->cut;
}

static int value(int wrong, int right)
{
	return wrong ? wrong < 0 ? 0 : wrong : right;
}

static uint8_t *put_outer4(const struct around *a, uint8_t *p, int protocol, size_t upper)
{
	int words = 5 + a->options;

	memset(p, 1, (size_t)words * 4);
	p[0] = (uint8_t)(0x40 | value(a->ihl, words));
	put16(p + 2, (unsigned)value(a->total, words * 4 + (int)upper - a->short_by));
	put16(p + 6, a->fragment == 1 ? 0x2000 : a->fragment == 2 ? 185 : 0);
	p[9] = (uint8_t)protocol;
	assert_int_equal(inet_pton(AF_INET, a->src ? a->src : "10.0.0.1", p + 12), 1);
	assert_int_equal(inet_pton(AF_INET, a->dst ? a->dst : "10.0.0.25", p + 16), 1);
	return p + words * 4;
}

static uint8_t *put_outer6(const struct around *a, uint8_t *p, int protocol, size_t upper)
{
	int i, size = (a->option_words + 1) * 8, ext = a->options * size + (a->fragment ? 8 : 0);
	uint8_t *ip = p;

	memset(p, 0, 40);
	p[0] = 0x60;
	put16(p + 4, (unsigned)value(a->total, ext + (int)upper - a->short_by));
	p[6] = (uint8_t)(a->options ? 60 : a->fragment ? 44 : protocol);
	assert_int_equal(inet_pton(AF_INET6, a->src ? a->src : "2001:db8:b::1", ip + 8), 1);
	assert_int_equal(inet_pton(AF_INET6, a->dst ? a->dst : "2001:db8:b::25", ip + 24), 1);
	p += 40;
	for (i = 0; i < a->options; i++, p += size) {
		memset(p, 0, (size_t)size);
		p[0] = (uint8_t)(i + 1 < a->options ? 60 : a->fragment ? 44 : protocol);
		p[1] = (uint8_t)a->option_words;
	}
	if (a->fragment) {
		memset(p, 0, 8);
		p[0] = (uint8_t)protocol;
		put16(p + 2, a->fragment == 1 ? 1 : 185 << 3);
		p += 8;
	}
	return p;
}

size_t packet_wrap(const struct around *a, const uint8_t *frame, size_t len, uint8_t *out)
{
	size_t link = 14, inner, header = a->wrap == GUE0 ? 12 : a->wrap == GUE1 ? 8 : 0;
	int kind, protocol;
	uint8_t *p = out;

	while (frame[link - 2] == 0x81 || frame[link - 2] == 0x88)
		link += 4;
	inner = len - link;
	kind = frame[link] >> 4 == 6 ? IPV6 : IPIP;
	protocol = a->protocol ? a->protocol : a->wrap ? UDP : kind;
	memcpy(p, frame, link);
	put16(p + link - 2, a->v6 ? 0x86dd : 0x0800);
	p += link;
	p = a->v6 ? put_outer6(a, p, protocol, header + inner) : put_outer4(a, p, protocol, header + inner);
	if (a->wrap) {
		put16(p, 55555);
		put16(p + 2, (unsigned)(a->dport ? a->dport : GUE_PORT));
		put16(p + 4, (unsigned)value(a->udp_length, (int)(header + inner) - a->short_by));
		p = put16(p + 6, 0);
	}
	if (a->wrap == GUE0) {
		*p++ = (uint8_t)a->gue_first;
		*p++ = (uint8_t)(kind ^ a->gue_protocol);
		p = put16(p, (unsigned)a->gue_flags);
	}
	memcpy(p, frame + link, inner);
	return (size_t)(p - out) + inner;
}

bool packet_checksums_ok(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + 14;
	size_t header, upper;

	while (ip[-2] == 0x81 || ip[-2] == 0x88)
		ip += 4;
	if (ip[0] >> 4 == 6) {
		upper = (size_t)ip[4] << 8 | ip[5];
		return ip + 40 + upper <= frame + len && !tcp_sum(ip + 8, 16, ip + 40, upper);
	}
	header = (size_t)(ip[0] & 15) * 4;
	upper = ((size_t)ip[2] << 8 | ip[3]) - header;
	return ip + header + upper <= frame + len && !fold(sum16(ip, header, 0)) && !tcp_sum(ip + 12, 4, ip + header, upper);
}

void packet_deadline(int fd)
{
	struct timeval t = { .tv_sec = PACKET_DEADLINE_S };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)), 0);
}

void packet_sh(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("failed: %s", command);
}

bool packet_namespace(void)
{
	if (geteuid() || syscall(SYS_unshare, CLONE_NEWNET | CLONE_NEWNS))
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL))
		return false;
	return !system("ip link set lo up && ip link add veth0 address 02:00:00:00:00:01 type veth peer name veth1 address "
		       "02:00:00:00:00:02 && ip link set veth0 addrgenmode none && ip link set veth1 addrgenmode none && "
		       "ip link set veth0 up && ip link set veth1 up");
}

void packet_enter(int ns)
{
	assert_int_equal(syscall(SYS_setns, ns, CLONE_NEWNET), 0);
}

void packet_client(int *edge_ns, int *client_ns)
{
	*edge_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(syscall(SYS_unshare, CLONE_NEWNET), 0);
	*client_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	packet_enter(*edge_ns);
	packet_sh("ip link set veth1 netns /proc/%d/fd/%d", getpid(), *client_ns);
	packet_sh("ip addr add 198.51.100.1/24 dev veth0 && ip addr add 2001:db8:5::1/64 dev veth0 nodad && "
		  "ip addr add 192.0.2.25/32 dev lo && ip addr add 2001:db8::25/128 dev lo && "
		  "for a in 198.51.100.10 2001:db8:5::10; do "
		  "ip neigh replace $a lladdr 02:00:00:00:00:02 dev veth0 nud permanent || exit; done");
	packet_enter(*client_ns);
	packet_sh("ip link set lo up && ip link set veth1 addrgenmode none up && ip addr add 198.51.100.10/24 dev veth1 && "
		  "ip addr add 2001:db8:5::10/64 dev veth1 nodad && ip route add default via 198.51.100.1 && "
		  "ip -6 route add default via 2001:db8:5::1 && for a in 198.51.100.1 2001:db8:5::1; do "
		  "ip neigh replace $a lladdr 02:00:00:00:00:01 dev veth1 nud permanent || exit; done");
	packet_enter(*edge_ns);
}

struct front *packet_front(const struct front_settings *other)
{
	static char *const interfaces[] = { (char *)"veth0" };
	struct front_vip vips[2] = { { .port = 25 }, { .port = 25 } };
	struct front_settings set = { .listeners = 1, .workers = 2 };
	struct front *f = NULL;
	char err[2048];

	if (other)
		set = *other;
	if (!set.interfaces) {
		set.interfaces = interfaces;
		set.interface_count = 1;
	}
	if (!set.vips) {
		net_parse_ip("192.0.2.25", &vips[0].ip);
		net_parse_ip("2001:db8::25", &vips[1].ip);
		set.vips = vips;
		set.vip_count = 2;
	}
	if (front_open(&set, &f, err, sizeof(err)))
		fail_msg("front_open: %s", err);
	front_settle(f);
	return f;
}

void packet_tunnels(struct front_settings *set)
{
	static struct net_prefix from[4];
	static struct in6_addr to[2];

	net_parse_prefix("10.0.0.1", &from[0]);
	net_parse_prefix("10.1.0.0/16", &from[1]);
	net_parse_prefix("2001:db8:b::1", &from[2]);
	net_parse_prefix("2001:db8:c::/48", &from[3]);
	net_parse_ip("10.0.0.25", &to[0]);
	net_parse_ip("2001:db8:b::25", &to[1]);
	set->decap_from = from;
	set->decap_from_count = 4;
	set->decap_to = to;
	set->decap_to_count = 2;
	set->gue_port = GUE_PORT;
}

void packet_flood(bool lasts)
{
	struct flood on = { .until_ns = lasts ? UINT64_MAX : 0 };
	uint32_t zero = 0;
	int map = packet_pin("maps/flood");

	assert_int_equal(bpf_map_update_elem(map, &zero, &on, BPF_ANY), 0);
	close(map);
}

int packet_pin(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), FRONT_PIN_DIR "/%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fail_msg("%s is not pinned", path);
	return fd;
}

int packet_run(int prog, const uint8_t *frame, size_t len, uint8_t *out, size_t *out_len)
{
	uint8_t scratch[PACKET_MAX + 256];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .data_out = out ? out : scratch,
		    .data_size_out = PACKET_MAX, .repeat = 1);

	if (bpf_prog_test_run_opts(prog, &opts))
		fail_msg("BPF_PROG_RUN of %zu bytes: %m", len);
	if (out_len)
		*out_len = opts.data_size_out;
	return (int)opts.retval;
}

void packet_counts(uint64_t counts[REASON_COUNT])
{
	int map = packet_pin("maps/front_stats"), cpus = libbpf_num_possible_cpus(), cpu, i;
	uint64_t *values = calloc((size_t)cpus, REASON_COUNT * sizeof(*values));
	uint32_t zero = 0;

	assert_non_null(values);
	assert_int_equal(bpf_map_lookup_elem(map, &zero, values), 0);
	memset(counts, 0, REASON_COUNT * sizeof(*counts));
	for (cpu = 0; cpu < cpus; cpu++)
		for (i = 0; i < REASON_COUNT; i++)
			counts[i] += values[cpu * REASON_COUNT + i];
	free(values);
	close(map);
}

/* Runs the packet and returns the one reason it was counted under. */
int packet_reason_out(int prog, const uint8_t *frame, size_t len, uint8_t *out, size_t *out_len)
{
	uint64_t before[REASON_COUNT], after[REASON_COUNT];
	int verdict, i, reason = -1;

	packet_counts(before);
	verdict = packet_run(prog, frame, len, out, out_len);
	packet_counts(after);
	for (i = 0; i < REASON_COUNT; i++) {
		if (after[i] == before[i] || (i == REASON_not_ours && verdict != XDP_PASS))
			continue;
		if (i == REASON_not_ours) { /* the namespace's own neighbour discovery counts here too */
			reason = i;
			continue;
		}
		assert_int_equal(after[i], before[i] + 1);
		if (reason == REASON_not_ours)
			reason = -1;
		assert_int_equal(reason, -1);
		reason = i;
	}
	assert_int_not_equal(reason, -1);
	assert_int_equal(verdict, reason_verdicts[reason]);
	return reason;
}

int packet_reason(int prog, const uint8_t *frame, size_t len)
{
	uint8_t out[PACKET_MAX + 256];
	size_t out_len;
	int reason = packet_reason_out(prog, frame, len, out, &out_len);

	if (reason_verdicts[reason] == XDP_PASS) {
		assert_int_equal(out_len, len);
		assert_memory_equal(out, frame, len);
	}
	return reason;
}
