/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_bench [XDP-FILTER-OBJECT]: ns a packet of the front by BPF_PROG_RUN, beside xdp-filter's program that denies by IP
 * address when its object is given (xdpfilt_alw_ip.o, in Debian's libxdp1).
 *
 * Prints one JSON object a line: case, subject, metric, unit, median, samples.  ns_per_run is what the kernel says of one
 * run; what a run costs by itself is in it, which subject "empty" tells, a program that drops at once.  ns_per_packet is
 * without that.  Subjects take turns, so that a change in the machine's speed meets all alike.
 *
 * The front is set up as it would be in service: limits on, a rule made by hand, and as many listed prefixes as the case
 * says.  xdp-syn-cookie is a flood: the SYN of Linux is answered by a cookie of our own (-v6, and -kernel: the kernel's,
 * where subject "floor" is a program that does nothing but have the kernel make the cookie).  xdp-spread-…: the packet of
 * xdp-established, when connections are spread over CPUs: what the front does for it; what the kernel then does to hand it
 * over is not in it.  At the end, on lines that begin with "#": what each program is to the verifier, instructions and how
 * many of them it looked at.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

enum { ROUNDS = 9, REPEAT = 100000 };

/* Spreading over CPUs: off; the packet is on its worker's CPU; it is sent on to another. */
enum spread { SPREAD_OFF, SPREAD_HERE, SPREAD_SENT };

static const struct bench_case {
	const char *name;
	struct spec spec;
	unsigned prefixes;
	int verdict, filter_verdict; /* of xdp-filter; -1: not measured */
	enum front_cookies flood; /* AUTO: no flood; else whose cookies answer in it */
	enum spread spread;
} cases[] = {
	{ "xdp-not-ours", { .dport = 443, .flags = 16 }, 10, 2, 2 },
	{ "xdp-not-ours-v6", { .v6 = true, .dport = 443, .flags = 16 }, 10, 2, -1 },
	{ "xdp-denied", { .src = "203.0.113.9" }, 10, 1, 1 },
	{ "xdp-denied-10", { .src = "100.0.0.1" }, 10, 1, 1 },
	{ "xdp-denied-100k", { .src = "100.0.0.1" }, 100000, 1, 1 },
	{ "xdp-denied6-10", { .v6 = true, .src = "2001:db8::1" }, 10, 1, -1 },
	{ "xdp-denied6-100k", { .v6 = true, .src = "2001:db8::1" }, 100000, 1, -1 },
	{ "xdp-established", { .flags = 16, .payload = 1000 }, 100000, 2, -1 },
	{ "xdp-established-v6", { .v6 = true, .flags = 16, .payload = 1000 }, 10, 2, -1 },
	{ "xdp-established-v6-100k", { .v6 = true, .flags = 16, .payload = 1000 }, 100000, 2, -1 },
	{ "xdp-syn-admitted", { 0 }, 10, 2, -1 },
	{ "xdp-syn-admitted-100k", { 0 }, 100000, 2, -1 },
	{ "xdp-syn-admitted-v6", { .v6 = true }, 10, 2, -1 },
	{ "xdp-syn-cookie", { .tcp_options = 5 }, 10, 3, -1, FRONT_COOKIES_OWN },
	{ "xdp-syn-cookie-v6", { .v6 = true, .tcp_options = 5 }, 10, 3, -1, FRONT_COOKIES_OWN },
	{ "xdp-syn-cookie-kernel", { .tcp_options = 5 }, 10, 3, -1, FRONT_COOKIES_KERNEL },
	{ "xdp-spread-here", { .flags = 16, .payload = 1000 }, 10, 2, -1, .spread = SPREAD_HERE },
	{ "xdp-spread-sent", { .flags = 16, .payload = 1000 }, 10, 4, -1, .spread = SPREAD_SENT },
};

static struct front *front;
static int front_prog, empty_prog, filter_prog = -1, filter_map = -1;

/*
 * As the large public lists have them: single addresses and whole networks, count of each family.  Those of IPv6 are of three
 * lengths and crowd around the source of the other cases.
 */
static void load_prefixes(unsigned count)
{
	const char *name = "bench";
	char *text = NULL, err[512] = "";
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (unsigned i = 0; i < count; i++) {
		uint32_t n = i * 7919;

		if (i % 2)
			fprintf(f, "%u.%u.%u.0/24\n", 101 + (n >> 16 & 63), n >> 8 & 255, n & 255);
		else
			fprintf(f, "100.%u.%u.%u\n", n >> 16 & 255, n >> 8 & 255, (n & 255) + (i ? 0 : 1));
		if (i % 3 == 0)
			fprintf(f, "2001:db8:%x:%x::1\n", n >> 16 & 255, n & 0xffff);
		else if (i % 3 == 1)
			fprintf(f, "2001:db8:%x:%x::/64\n", 0x100 + (n >> 16 & 255), n & 0xffff);
		else
			fprintf(f, "2001:%x:%x::/48\n", 0xd00 + (n >> 16 & 127), n & 0xffff);
	}
	fclose(f);
	f = fmemopen(text, size, "r");
	struct front_list_files files = { .files = &f, .names = &name, .count = 1 };

	if (front_load_lists(front, &files, NULL, err, sizeof(err)))
		fprintf(stderr, "xdp_bench: %s\n", err), exit(1);
	fclose(f);
	free(text);
}

static void add_rules(void)
{
	struct prefix4 key = { 24, { 203, 0, 113, 0 } };
	struct rule rule = { .comment = "by hand" };
	int map = packet_pin("maps/deny4");

	bpf_map_update_elem(map, &key, &rule, BPF_ANY);
	close(map);
}

/* xdp-filter's flags in the low bits of a value: source, destination, …; all but "allow" (its 5th) are set. */
static void filter_deny(const char *ip, unsigned count)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc((size_t)cpus, sizeof(*values));
	struct in6_addr addr;
	uint32_t key;

	for (int i = 0; i < cpus; i++)
		values[i] = 0x2f;
	net_parse_ip(ip, &addr);
	memcpy(&key, &addr.s6_addr[12], 4);
	bpf_map_update_elem(filter_map, &key, values, BPF_ANY);
	for (unsigned i = 0; i < count; i++) {
		key = 0x64 | i << 8;
		bpf_map_update_elem(filter_map, &key, values, BPF_ANY);
	}
	free(values);
}

static void open_filter(const char *path)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_program *prog;

	if (!obj || !(prog = bpf_object__next_program(obj, NULL)))
		fprintf(stderr, "xdp_bench: %s cannot be opened\n", path), exit(1);
	bpf_program__set_type(prog, BPF_PROG_TYPE_XDP);
	bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, "filter_ipv4"), 200000);
	if (bpf_object__load(obj))
		fprintf(stderr, "xdp_bench: %s does not load\n", path), exit(1);
	filter_prog = bpf_program__fd(prog);
	filter_map = bpf_object__find_map_fd_by_name(obj, "filter_ipv4");
}

/* A program that drops at once: what BPF_PROG_RUN itself costs here. */
static int open_empty(void)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "empty", "GPL", insns, 2, NULL);
}

static uint32_t measure(int prog, const uint8_t *frame, size_t len, int verdict)
{
	uint8_t out[PACKET_MAX + 256];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = REPEAT);

	if (bpf_prog_test_run_opts(prog, &opts) || (int)opts.retval != verdict)
		fprintf(stderr, "xdp_bench: verdict %u, not %d\n", opts.retval, verdict), exit(1);
	return opts.duration;
}

/*
 * A cookie makes an answer of the packet, and the next run would find that.  So a program writes the packet anew
 * before each run and tail-calls the front; what it costs by itself is measured and taken off.
 */
struct restored {
	int prog[2]; /* front called, nothing called */
	int calls;
};

static int load_restore(const uint8_t *frame, size_t len, int calls, int slot)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_XDP, .prog_flags = 1u << 5); /* with frags, as the front */
	struct bpf_insn code[128] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 0 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 3, .src_reg = 1, .off = 4 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 4, .src_reg = 2 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 4, .imm = (int)len },
		{ .code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = 4, .src_reg = 3 },
	};
	size_t n = 6, at;

	for (at = 0; at + 2 <= len; at += 2) {
		uint16_t half;

		memcpy(&half, frame + at, 2);
		code[n++] = (struct bpf_insn){ .code = BPF_ST | BPF_MEM | BPF_H, .dst_reg = 2, .off = (short)at, .imm = half };
	}
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6 };
	code[n++] = (struct bpf_insn){ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 2, .src_reg = BPF_PSEUDO_MAP_FD, .imm = calls };
	code[n++] = (struct bpf_insn){ 0 };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = slot };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call };
	code[5].off = (short)(n - 6);
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1 };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "restore", "GPL", code, n, &opts);
}

/*
 * What the kernel's cookie costs by itself: a program that asks for the one of this SYN of IPv4 and drops.  Nothing
 * that answers with the kernel's cookies can be faster.
 */
static int load_floor(const uint8_t *frame, size_t len)
{
	enum { ETH = 14, IP = 20 };
	struct bpf_insn code[64] = { 0 };
	int tcp = (int)len - ETH - IP, n = 0, at;

	for (at = 0; at < IP + tcp; at += 4) {
		int word;

		memcpy(&word, frame + ETH + at, 4);
		code[n++] = (struct bpf_insn){ .code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = (short)(at - IP - tcp), .imm = word };
	}
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 10 };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = -IP - tcp };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10 };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -tcp };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = tcp };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tcp_raw_gen_syncookie_ipv4 };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_JSGE | BPF_K, .dst_reg = 0, .imm = 0, .off = 2 };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 }; /* aborted: none was made */
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	code[n++] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1 };
	code[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	return bpf_prog_load(BPF_PROG_TYPE_XDP, "floor", "GPL", code, (size_t)n, NULL);
}

static void open_restored(struct restored *r, const uint8_t *frame, size_t len)
{
	int calls = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "calls", 4, 4, 2, NULL), i;
	uint32_t zero = 0;

	for (i = 0; i < 2; i++)
		r->prog[i] = load_restore(frame, len, calls, i);
	if (r->prog[0] < 0 || r->prog[1] < 0 || bpf_map_update_elem(calls, &zero, &front_prog, BPF_ANY))
		fprintf(stderr, "xdp_bench: the program that writes packets anew: %s\n", strerror(errno)), exit(1);
	r->calls = calls; /* an array of programs is emptied when its last descriptor is closed */
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, const char *subject, const char *metric, uint32_t *samples)
{
	qsort(samples, ROUNDS, sizeof(*samples), by_value);
	printf("{\"case\": \"%s\", \"subject\": \"%s\", \"metric\": \"%s\", \"unit\": \"ns\", \"median\": %u, "
	       "\"samples\": [", name, subject, metric, samples[ROUNDS / 2]);
	for (int i = 0; i < ROUNDS; i++)
		printf("%s%u", i ? ", " : "", samples[i]);
	printf("]}\n");
}

static uint32_t without(uint32_t run, uint32_t bare)
{
	return bare < run ? run - bare : 0;
}

/* Both metrics of a subject, from its runs and those of the empty program beside them. */
static void print_runs(const char *name, const char *subject, uint32_t *runs, const uint32_t *bare)
{
	uint32_t packets[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		packets[i] = without(runs[i], bare[i]);
	print(name, subject, "ns_per_packet", packets);
	print(name, subject, "ns_per_run", runs);
}

static void run_case(const struct bench_case *c)
{
	uint32_t ours[ROUNDS], theirs[ROUNDS], bare[ROUNDS];
	bool filter = filter_prog >= 0 && c->filter_verdict >= 0;
	uint8_t frame[PACKET_MAX];
	size_t len = packet_build(&c->spec, frame);

	load_prefixes(c->prefixes);
	if (filter && c->filter_verdict == 1)
		filter_deny(c->spec.src, c->prefixes);
	for (int round = 0; round < ROUNDS; round++) {
		ours[round] = measure(front_prog, frame, len, c->verdict);
		bare[round] = measure(empty_prog, frame, len, 1);
		if (filter)
			theirs[round] = measure(filter_prog, frame, len, c->filter_verdict);
	}
	print_runs(c->name, "danelaw", ours, bare);
	if (filter)
		print_runs(c->name, "xdp-filter", theirs, bare);
	print(c->name, "empty", "ns_per_run", bare);
}

static void set_flood(bool lasts)
{
	struct flood on = { .until_ns = lasts ? UINT64_MAX : 0 };
	uint32_t zero = 0;
	int map = packet_pin("maps/flood");

	bpf_map_update_elem(map, &zero, &on, BPF_ANY);
	close(map);
}

/* The options of a SYN of Linux, so that the answer has as many: the frame keeps its length. */
static void put_options(uint8_t *frame, size_t len)
{
	static const uint8_t options[20] = { 2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7 };

	memcpy(frame + len - sizeof(options), options, sizeof(options));
}

static void run_flood(const struct bench_case *c)
{
	static const uint8_t key[16] = { 1 };
	uint32_t samples[ROUNDS], bare[ROUNDS], floor[ROUNDS];
	uint8_t frame[PACKET_MAX];
	size_t len = packet_build(&c->spec, frame);
	struct restored restored;
	int floor_prog;

	if (c->flood == FRONT_COOKIES_OWN)
		front_set_cookie_key(front, 1, key, false), front_set_cookie_epoch(front, 1);
	put_options(frame, len);
	open_restored(&restored, frame, len);
	floor_prog = c->flood == FRONT_COOKIES_KERNEL ? load_floor(frame, len) : -1;
	set_flood(true);
	for (int round = 0; round < ROUNDS; round++) {
		samples[round] = measure(restored.prog[0], frame, len, c->verdict);
		bare[round] = measure(restored.prog[1], frame, len, 1);
		samples[round] = without(samples[round], bare[round]);
		if (floor_prog < 0)
			continue;
		floor[round] = measure(floor_prog, frame, len, 1);
		bare[round] = measure(empty_prog, frame, len, 1);
		floor[round] = without(floor[round], bare[round]);
	}
	set_flood(false);
	print(c->name, "danelaw", "ns_per_packet", samples);
	if (floor_prog >= 0)
		print(c->name, "floor", "ns_per_packet", floor);
}

static void tell_program(const char *name)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), FRONT_PIN_DIR "/progs/%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size))
		printf("# %s: %u instructions, %u looked at by the verifier, %u bytes of machine code\n", name,
		       info.xlated_prog_len / 8, info.verified_insns, info.jited_prog_len);
	close(fd);
}

static void open_front(enum front_cookies cookies, enum spread spread)
{
	/* every limit looked at, none reached */
	struct front_settings set = {
		.listeners = 1, .workers = 1, .source_per_minute = 4000000000u, .source_burst = 2000000000u,
		.network56_factor = 4, .network48_factor = 16, .flood_enter = 4000000000u, .protect = FRONT_PROTECT_AUTO,
		.cookies = cookies, .spread_queue = spread ? 512 : 0,
	};
	/* this process runs on CPU 0; the only worker's is that or the next */
	const uint32_t owner[2] = { spread == SPREAD_SENT ? FRONT_NO_WORKER : 0, 0 };

	front_close(front, true);
	front = packet_front(&set);
	front_prog = packet_pin("progs/front");
	if (front_cookies(front) == FRONT_COOKIES_KERNEL)
		front_arm_cookies(front, true);
	if (spread && front_map_cpus(front, owner, spread == SPREAD_SENT ? 2 : 1))
		fprintf(stderr, "xdp_bench: connections cannot be spread\n"), exit(1);
	add_rules();
}

int main(int argc, char **argv)
{
	enum front_cookies last;
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (!packet_namespace()) {
		fprintf(stderr, "xdp_bench: needs root\n");
		return 1;
	}
	if (argc > 1)
		open_filter(argv[1]);
	packet_sh("echo 2 >/proc/sys/net/ipv4/tcp_timestamps"); /* else the kernel's cookies have no options */
	sched_setaffinity(0, sizeof(first), &first);
	open_front(FRONT_COOKIES_AUTO, SPREAD_OFF);
	last = front_cookies(front);
	empty_prog = open_empty();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (cases[i].flood == FRONT_COOKIES_OWN && last == FRONT_COOKIES_KERNEL)
			continue; /* this kernel cannot take them */
		if (cases[i].flood == FRONT_COOKIES_KERNEL && last != FRONT_COOKIES_KERNEL)
			open_front(last = FRONT_COOKIES_KERNEL, SPREAD_OFF);
		if (cases[i].spread == SPREAD_SENT && libbpf_num_possible_cpus() < 2)
			continue;
		if (cases[i].spread)
			open_front(FRONT_COOKIES_AUTO, cases[i].spread);
		if (cases[i].flood)
			run_flood(&cases[i]);
		else
			run_case(&cases[i]);
	}
	open_front(FRONT_COOKIES_AUTO, SPREAD_OFF);
	tell_program("front");
	tell_program("cookie");
	tell_program("watch");
	tell_program("steer");
	front_close(front, true);
	return 0;
}
