/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spreading by cpumap, packet by packet: whatever CPU it comes in on, a packet of a connection passes on one CPU alone and
 * is sent there from every other; nothing else is ever sent.  (steer_test.c has real connections.)
 * kernels: stable
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

enum { CPUS = 2, FLOWS = 64, QUEUE = 512 };
#define NAME(symbol) REASON_##symbol

static const uint32_t both[CPUS] = { 0, 1 };
static struct front *front;
static int prog;

static struct front *open_front(unsigned queue)
{
	static struct net_prefix from;
	static struct in6_addr to;
	struct front_settings set = { .listeners = 1, .workers = CPUS, .decap_from = &from, .decap_from_count = 1, .decap_to = &to,
				      .decap_to_count = 1, .spread_queue = queue };

	net_parse_prefix("10.0.0.1", &from);
	net_parse_ip("10.0.0.25", &to);
	return packet_front(&set);
}

static void reopen(unsigned queue)
{
	close(prog);
	front_close(front, false);
	front = open_front(queue);
	prog = packet_pin("progs/front");
}

static uint64_t also(const char *symbol)
{
	uint64_t counts[REASON_COUNT + COOKIE_COUNT + STEER_COUNT + ALSO_COUNT];
	size_t i;

	assert_int_equal(front_read_counts(front, counts), 0);
	for (i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "also") && !strcmp(front_count_info[i].symbol, symbol))
			return counts[i];
	fail_msg("no counter %s", symbol);
	return 0;
}

/* What XDP says of the frame on this CPU; it is counted under the reason, and no other of ours. */
static int run_on(int cpu, const uint8_t *frame, size_t len, int reason)
{
	uint64_t before[REASON_COUNT], after[REASON_COUNT];
	unsigned long mask = 1ul << cpu;
	int verdict, i;

	assert_true(syscall(SYS_sched_setaffinity, 0, sizeof(mask), &mask) >= 0);
	packet_counts(before);
	verdict = packet_run(prog, frame, len, NULL, NULL);
	packet_counts(after);
	for (i = 0; i < REASON_COUNT; i++)
		if (i != REASON_not_ours && after[i] - before[i] != (i == reason))
			fail_msg("%s: %lu more", reason_names[i], (unsigned long)(after[i] - before[i]));
	return verdict;
}

/* The one CPU that the packet passes on. */
static int home_of(const uint8_t *frame, size_t len, int reason)
{
	int cpu, verdict, home = -1;

	for (cpu = 0; cpu < CPUS; cpu++) {
		verdict = run_on(cpu, frame, len, reason);
		if (verdict == XDP_PASS) {
			assert_int_equal(home, -1);
			home = cpu;
		} else {
			assert_int_equal(verdict, XDP_REDIRECT);
		}
	}
	assert_int_not_equal(home, -1);
	return home;
}

static size_t in_tunnel(const uint8_t *frame, size_t len, uint8_t *out)
{
	uint8_t *ip = out + 14;

	memcpy(out, frame, 14);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[2] = (uint8_t)((len - 14 + 20) >> 8);
	ip[3] = (uint8_t)(len - 14 + 20);
	ip[8] = 60;
	ip[9] = IPIP;
	assert_int_equal(inet_pton(AF_INET, "10.0.0.1", ip + 12), 1);
	assert_int_equal(inet_pton(AF_INET, "10.0.0.25", ip + 16), 1);
	memcpy(ip + 20, frame + 14, len - 14);
	return len + 20;
}

/* Each packet of a connection has the same home, alone, in a VLAN or in a tunnel; and connections have both. */
static void test_homes(void **state)
{
	uint64_t sent = also("spread_sent"), here = also("spread_here"), failed = also("spread_failed");
	uint8_t frame[PACKET_MAX], tunnel[PACKET_MAX + 20];
	int i, v6, home, got[2][CPUS] = { { 0 } };
	unsigned runs = 0;
	size_t len;

	for (v6 = 0; v6 < 2; v6++)
		for (i = 0; i < FLOWS; i++) {
			struct spec syn = { .v6 = v6, .sport = (uint16_t)(40000 + i) };
			struct spec data = { .v6 = v6, .sport = syn.sport, .flags = ACK | PSH, .payload = 700, .vlans = i & 1 };

			len = packet_build(&syn, frame);
			home = home_of(frame, len, NAME(syn_admitted));
			got[v6][home]++;
			assert_int_equal(home_of(frame, packet_build(&data, frame), NAME(established)), home);
			runs += 2 * CPUS;
			if (v6)
				continue;
			data.vlans = 0;
			assert_int_equal(home_of(tunnel, in_tunnel(frame, packet_build(&data, frame), tunnel), NAME(established)), home);
			runs += CPUS;
		}
	for (v6 = 0; v6 < 2; v6++)
		assert_true(got[v6][0] > FLOWS / 8 && got[v6][1] > FLOWS / 8);
	assert_int_equal(also("spread_here") - here, runs / CPUS);
	assert_int_equal(also("spread_sent") - sent, runs - runs / CPUS);
	assert_int_equal(also("spread_failed"), failed);
}

/* Each part of an address counts: connections that differ in it alone have other homes about every second time. */
static void test_parts(void **state)
{
	static const struct spec pairs[][2] = {
		{ { .src = "198.51.100.1" }, { .src = "198.51.100.200" } },
		{ { .v6 = true, .src = "2001:db8:5::77" }, { .v6 = true, .src = "2001:db8:6::77" } },
		{ { .v6 = true, .src = "2001:db8:5::77" }, { .v6 = true, .src = "2001:db8:5::78" } },
	};
	uint8_t frame[PACKET_MAX];
	size_t i, k, end;
	int homes[2], differ;

	for (i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		differ = 0;
		for (k = 0; k < FLOWS; k++) {
			for (end = 0; end < 2; end++) {
				struct spec syn = pairs[i][end];

				syn.sport = (uint16_t)(50000 + k);
				homes[end] = home_of(frame, packet_build(&syn, frame), NAME(syn_admitted));
			}
			differ += homes[0] != homes[1];
		}
		assert_in_range(differ, FLOWS / 8, FLOWS - FLOWS / 8);
	}
}

static const struct {
	const char *what;
	struct spec spec;
	int reason, verdict;
} stays[] = {
	{ "another port", { .dport = 443 }, NAME(not_ours), XDP_PASS },
	{ "another address", { .dst = "192.0.2.26" }, NAME(not_ours), XDP_PASS },
	{ "not TCP", { .protocol = 17 }, NAME(not_ours), XDP_PASS },
	{ "ICMP", { .protocol = 1, .payload = 40 }, NAME(icmp), XDP_PASS },
	{ "a first fragment", { .more_fragments = true, .payload = 4 }, NAME(syn_admitted), XDP_PASS },
	{ "a later fragment", { .frag_offset = 100 }, NAME(fragment), XDP_PASS },
	{ "a first fragment, IPv6", { .v6 = true, .ext = { 44 }, .more_fragments = true, .payload = 104 }, NAME(syn_admitted), XDP_PASS },
	{ "denied", { .src = "203.0.113.9" }, NAME(denied_list), XDP_DROP },
	{ "flags that nobody sends", { .flags = SYN | FIN }, NAME(bad_flags), XDP_DROP },
	{ "a length that is wrong", { .doff = 4 }, NAME(bad_length), XDP_DROP },
};

/* What is not a segment of a connection to us, or is dropped, is never sent to another CPU. */
static void test_stays(void **state)
{
	uint64_t sent = also("spread_sent"), here = also("spread_here");
	uint8_t frame[PACKET_MAX];
	int cpu, verdict;
	size_t i, k, len;

	for (i = 0; i < sizeof(stays) / sizeof(*stays); i++)
		for (k = 0; k < 8; k++)
			for (cpu = 0; cpu < CPUS; cpu++) {
				struct spec spec = stays[i].spec;

				spec.sport = (uint16_t)(40000 + k);
				len = packet_build(&spec, frame);
				verdict = run_on(cpu, frame, len, stays[i].reason);
				if (verdict != stays[i].verdict)
					fail_msg("%s on CPU %d: %d", stays[i].what, cpu, verdict);
			}
	assert_int_equal(also("spread_sent"), sent);
	assert_int_equal(also("spread_here"), here);
}

/* Without a queue to its CPU a packet passes where it is, and that is counted. */
static void test_no_queue(void **state)
{
	uint64_t sent = also("spread_sent"), failed = also("spread_failed"), here = also("spread_here");
	int map = packet_pin("maps/spread"), i;
	uint8_t frame[PACKET_MAX];
	uint32_t cpu;

	for (cpu = 0; cpu < CPUS; cpu++)
		assert_int_equal(bpf_map_delete_elem(map, &cpu), 0);
	for (i = 0; i < FLOWS; i++) {
		struct spec syn = { .sport = (uint16_t)(40000 + i) };
		size_t len = packet_build(&syn, frame);

		for (cpu = 0; cpu < CPUS; cpu++)
			assert_int_equal(run_on((int)cpu, frame, len, NAME(syn_admitted)), XDP_PASS);
	}
	assert_int_equal(also("spread_sent"), sent);
	assert_int_equal(also("spread_here") - here, FLOWS);
	assert_int_equal(also("spread_failed") - failed, FLOWS);
	assert_int_equal(front_map_cpus(front, both, CPUS), 0);
	close(map);
}

static uint32_t queue_of(uint32_t cpu)
{
	uint32_t queue = 0;
	int map = packet_pin("maps/spread");

	if (bpf_map_lookup_elem(map, &cpu, &queue))
		queue = 0;
	close(map);
	return queue;
}

static void all_pass(bool sent_too)
{
	struct spec syn = { 0 };
	uint8_t frame[PACKET_MAX];
	size_t len = packet_build(&syn, frame);
	int cpu, others = 0;

	for (cpu = 0; cpu < CPUS; cpu++)
		others += run_on(cpu, frame, len, NAME(syn_admitted)) != XDP_PASS;
	assert_int_equal(others, sent_too ? CPUS - 1 : 0);
}

/* Queues are those of the workers' CPUs, of the size that is configured; a restart keeps or removes them as it says. */
static void test_restart(void **state)
{
	static const uint32_t second[CPUS] = { FRONT_NO_WORKER, 0 };
	struct spec syn = { 0 };
	uint8_t frame[PACKET_MAX];
	size_t len = packet_build(&syn, frame);

	assert_int_equal(queue_of(0), QUEUE);
	assert_int_equal(queue_of(1), QUEUE);
	assert_int_equal(front_map_cpus(front, second, CPUS), 0);
	assert_int_equal(queue_of(0), 0);
	assert_int_equal(queue_of(1), QUEUE);
	assert_int_equal(home_of(frame, len, NAME(syn_admitted)), 1);
	reopen(2 * QUEUE);
	assert_int_equal(home_of(frame, len, NAME(syn_admitted)), 1); /* until the new one says where its workers are */
	assert_int_equal(front_map_cpus(front, both, CPUS), 0);
	assert_int_equal(queue_of(0), 2 * QUEUE);
	assert_int_equal(queue_of(1), 2 * QUEUE);
	all_pass(true);
	assert_int_equal(front_map_cpus(front, NULL, 0), 0); /* workers tied to no CPU */
	all_pass(false);
	assert_int_equal(front_map_cpus(front, both, CPUS), 0);
	all_pass(true);
	reopen(0);
	assert_int_equal(queue_of(0), 0);
	assert_int_equal(queue_of(1), 0);
	all_pass(false);
	assert_int_equal(front_map_cpus(front, both, CPUS), 0);
	all_pass(false);
}

static int setup(void **state)
{
	struct prefix4 key = { 24, { 203, 0, 113, 0 } };
	struct rule rule = { .comment = "test" };
	int deny;

	front = open_front(QUEUE);
	prog = packet_pin("progs/front");
	assert_int_equal(front_map_cpus(front, both, CPUS), 0);
	deny = packet_pin("maps/deny4");
	assert_int_equal(bpf_map_update_elem(deny, &key, &rule, BPF_ANY), 0);
	close(deny);
	return 0;
}

static int teardown(void **state)
{
	front_close(front, true);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_homes), cmocka_unit_test(test_parts), cmocka_unit_test(test_stays),
		cmocka_unit_test(test_no_queue), cmocka_unit_test(test_restart),
	};

	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS) {
		puts("1..0 # SKIP needs two CPUs");
		return 0;
	}
	if (!packet_namespace()) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
