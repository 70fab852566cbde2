/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syn_flood OBJECT IFACE DST-MAC DST-IP PORT COUNT PER-SECOND: a flood of SYNs with forged sources, for the lab's own
 * namespaces: COUNT of them (at most 100 million) at PER-SECOND, then no more; after 90 s it ends in any case.
 *
 * Sources are 198.18.0.0/15, which is set aside for benchmarks (RFC 2544) and routed nowhere here.  The SYNs look like
 * those of Linux.  They are made by a program of OBJECT (syn_flood.bpf.o) and leave the interface as frames of XDP.
 * With COUNT 0 only the other program of OBJECT is attached: what comes back to those sources ends at the interface.
 * (Answers that XDP sends over a veth pair arrive only where the other end has a program as well.)
 *
 * It says "attached" when it begins, and at its end, or at SIGTERM, what it did: "sent=… seconds=… per_second=…".
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, CHUNK = 32 * BATCH, THREADS = 32, FRAME = 74, SHORT = FRAME - 4, COUNT_MAX = 100000000, SECONDS_MAX = 90 };

/* As .data of syn_flood.bpf.c has it. */
struct data {
	uint8_t template[80];
	uint32_t ip_sum, tcp_sum;
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t sum16(const uint8_t *at, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	return sum;
}

static void fill(struct data *d, const uint8_t to[6], struct in_addr ip, unsigned port)
{
	static const uint8_t options[20] = { 2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7 };
	uint8_t *f = d->template;

	memset(d, 0, sizeof(*d));
	memcpy(f, to, 6);
	f[6] = 2;
	f[12] = 8;
	f[14] = 0x45;
	f[17] = 60;
	f[20] = 0x40; /* don't fragment */
	f[22] = 64;
	f[23] = 6;
	memcpy(f + 30, &ip, 4);
	f[36] = (uint8_t)(port >> 8);
	f[37] = (uint8_t)port;
	f[46] = 10 << 4;
	f[47] = 2; /* SYN */
	f[48] = 0xfa;
	f[49] = 0xf0;
	memcpy(f + 54, options, sizeof(options));
	d->ip_sum = sum16(f + 14, 20, 0);
	d->tcp_sum = sum16(f + 34, 40, sum16(f + 26, 8, 6 + 40));
}

static struct {
	int prog;
	struct xdp_md in;
	struct data data;
	uint64_t start, count, per_s, sent;
} plan;

/* A run ends with a wait for the kernel to take its pages back: while one thread waits, another sends. */
static void *flood(void *arg)
{
	while (!stopped && now_ns() - plan.start < SECONDS_MAX * 1000000000ull) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = plan.data.template, .data_size_in = SHORT, .ctx_in = &plan.in,
			    .ctx_size_in = sizeof(plan.in), .repeat = CHUNK, .batch_size = BATCH, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
		uint64_t mine = __atomic_fetch_add(&plan.sent, CHUNK, __ATOMIC_RELAXED);

		if (mine >= plan.count) {
			__atomic_fetch_sub(&plan.sent, CHUNK, __ATOMIC_RELAXED);
			break;
		}
		while (!stopped && now_ns() - plan.start < mine * 1000000000ull / plan.per_s) {
			struct timespec rest = { .tv_nsec = 100000 };

			nanosleep(&rest, NULL);
		}
		if (!stopped && bpf_prog_test_run_opts(plan.prog, &opts) && errno != EINTR) {
			fprintf(stderr, "syn_flood: live frames: %s\n", strerror(errno));
			break;
		}
	}
	return NULL;
}

static int run(void)
{
	pthread_t threads[THREADS];
	uint64_t took;
	int i;

	plan.start = now_ns();
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, flood, NULL))
			return 1;
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	took = now_ns() - plan.start;
	printf("sent=%llu seconds=%.1f per_second=%llu\n", (unsigned long long)plan.sent, (double)took / 1e9,
	       (unsigned long long)(plan.sent * 1000000000ull / took));
	return 0;
}

int main(int argc, char **argv)
{
	struct ether_addr *to = argc == 8 ? ether_aton(argv[3]) : NULL;
	uint64_t count = argc == 8 ? strtoull(argv[6], NULL, 10) : 0;
	struct bpf_object *obj;
	struct in_addr ip;
	unsigned ifindex;
	uint32_t zero = 0;

	if (!to || inet_pton(AF_INET, argv[4], &ip) != 1 || count > COUNT_MAX || !atoll(argv[7])) {
		fprintf(stderr, "usage: syn_flood OBJECT IFACE DST-MAC DST-IP PORT COUNT PER-SECOND\n");
		return 2;
	}
	ifindex = if_nametoindex(argv[2]);
	fill(&plan.data, to->ether_addr_octet, ip, (unsigned)atoi(argv[5]));
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj || bpf_object__load(obj) ||
	    bpf_map_update_elem(bpf_object__find_map_fd_by_name(obj, ".data"), &zero, &plan.data, BPF_ANY)) {
		fprintf(stderr, "syn_flood: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	signal(SIGTERM, on_signal);
	if (!count && bpf_link_create(bpf_program__fd(bpf_object__find_program_by_name(obj, "swallow")), (int)ifindex, BPF_XDP, NULL) < 0) {
		fprintf(stderr, "syn_flood: %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	puts("attached");
	fflush(stdout);
	if (!count)
		return pause(), 0;
	plan.prog = bpf_program__fd(bpf_object__find_program_by_name(obj, "flood"));
	plan.in = (struct xdp_md){ .data_end = SHORT, .ingress_ifindex = ifindex };
	plan.count = count;
	plan.per_s = strtoull(argv[7], NULL, 10);
	return run();
}
