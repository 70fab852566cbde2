/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering with real TCP: a client in a namespace of its own behind the veth, listening sockets on
 * 127.0.0.1:0 and [::1]:0 for each worker, connections to addresses that nobody has bound.
 *
 *    client ns: veth1 198.51.100.10, 2001:db8:5::10  ──  veth0 198.51.100.1: 192.0.2.25, 2001:db8::25 on lo
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

enum { WORKERS = 2, SOCKETS = 2 * WORKERS }; /* a pair a worker: [2w] of IPv4, [2w + 1] of IPv6 */

static struct front *front;
static int client_ns, edge_ns, cpus;

/* glibc keeps sched_setaffinity() behind _GNU_SOURCE */
static void use_cpu(int cpu)
{
	unsigned long mask = 1ul << cpu;

	assert_true(syscall(SYS_sched_setaffinity, 0, sizeof(mask), &mask) >= 0);
}

static int listen_on(const char *ip, uint16_t port)
{
	struct net_addr at = { .port = port };
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, one = 1;

	net_parse_ip(ip, &at.ip);
	len = net_to_sockaddr(&at, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* past TIME_WAIT of the test before */
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

/* A client's connection from the CPU: a descriptor, or negative errno. */
static int connect_to(int cpu, const char *ip, uint16_t port)
{
	struct net_addr to = { .port = port };
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, code;

	net_parse_ip(ip, &to.ip);
	len = net_to_sockaddr(&to, &ss);
	use_cpu(cpu);
	packet_enter(client_ns);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	packet_deadline(fd);
	code = connect(fd, (struct sockaddr *)&ss, len) ? -errno : 0;
	packet_enter(edge_ns);
	if (!code)
		return fd;
	close(fd);
	return code;
}

/* Which of the listeners has it?  Accepts and closes it; checks that it knows the address it was sent to. */
static int accepted_by(const int *listeners, int count, const char *ip, uint16_t port)
{
	struct pollfd polls[8];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct net_addr local, want = { .port = port };
	int i, fd;

	for (i = 0; i < count; i++)
		polls[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	assert_true(poll(polls, (nfds_t)count, PACKET_DEADLINE_S * 1000) >= 1);
	for (i = 0; !(polls[i].revents & POLLIN);)
		i++;
	fd = accept(listeners[i], NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	net_from_sockaddr((struct sockaddr *)&ss, &local);
	net_parse_ip(ip, &want.ip);
	assert_true(net_addr_equal(&local, &want));
	close(fd);
	return i;
}

static uint64_t count_in(const char *group, const char *symbol)
{
	uint64_t counts[REASON_COUNT + COOKIE_COUNT + STEER_COUNT + ALSO_COUNT];
	size_t i;

	assert_int_equal(front_read_counts(front, counts), 0);
	for (i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, group) && !strcmp(front_count_info[i].symbol, symbol))
			return counts[i];
	fail_msg("no counter %s", symbol);
	return 0;
}

static uint64_t count_of(const char *symbol)
{
	return count_in("steer", symbol);
}

static int one(int cpu, const char *ip, const int *listeners)
{
	int fd = connect_to(cpu, ip, 25), who;

	if (fd < 0)
		fail_msg("%s: %s", ip, strerror(-fd));
	who = accepted_by(listeners, SOCKETS, ip, 25);
	close(fd);
	return who / 2;
}

static void open_workers(struct front *f, int *listeners)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		listeners[2 * i] = listen_on("127.0.0.1", 0);
		listeners[2 * i + 1] = listen_on("::1", 0);
		assert_int_equal(front_set_socket(f, 0, i, listeners[2 * i]), 0);
		assert_int_equal(front_set_socket(f, 0, i, listeners[2 * i + 1]), 0);
	}
}

static void close_workers(int *listeners)
{
	for (int i = 0; i < SOCKETS; i++)
		close(listeners[i]);
}

enum { TRIES = 5 };

/*
 * Connections from the CPU reach the worker.  The veth has one queue: a SYN that comes while another CPU still works on
 * the packets of the connection before is received there, which is rare and no fault of steering.  One in five may.
 */
static void reach(int cpu, const char *ip, const int *listeners, int worker)
{
	int i, hits = 0;

	for (i = 0; i < TRIES; i++)
		hits += one(cpu, ip, listeners) == worker;
	assert_in_range(hits, TRIES - 1, TRIES);
}

static void test_by_cpu(void **state)
{
	static const uint32_t straight[2] = { 0, 1 }, crossed[2] = { 1, 0 };
	int listeners[SOCKETS], cpu;
	uint64_t before = count_of("by_cpu");

	open_workers(front, listeners);
	assert_int_equal(front_map_cpus(front, straight, 2), 0);
	for (cpu = 0; cpu < cpus && cpu < 2; cpu++) {
		reach(cpu, "192.0.2.25", listeners, cpu);
		reach(cpu, "2001:db8::25", listeners, cpu);
	}
	assert_int_equal(front_map_cpus(front, crossed, 2), 0);
	for (cpu = 0; cpu < cpus && cpu < 2; cpu++)
		reach(cpu, "192.0.2.25", listeners, 1 - cpu);
	assert_true(count_of("by_cpu") - before >= 3 * TRIES * (uint64_t)(cpus < 2 ? cpus : 2)); /* a SYN may come twice */
	close_workers(listeners);
}

static void test_by_hash(void **state)
{
	int listeners[SOCKETS], i, got[WORKERS] = { 0 };
	uint64_t before = count_of("by_hash");

	open_workers(front, listeners);
	assert_int_equal(front_map_cpus(front, NULL, 0), 0);
	for (i = 0; i < 40; i++)
		got[one(0, i & 1 ? "192.0.2.25" : "2001:db8::25", listeners)]++;
	assert_true(got[0] > 4 && got[1] > 4);
	assert_true(count_of("by_hash") - before >= 40); /* a SYN may come twice */
	close_workers(listeners);
}

static void test_missing(void **state)
{
	static const uint32_t only_first[2] = { 0, 0 };
	int listeners[SOCKETS], other, fd;
	uint64_t searched = count_of("by_search"), none = count_of("no_socket"), foreign = count_of("not_ours");

	open_workers(front, listeners);
	assert_int_equal(front_map_cpus(front, only_first, 2), 0);
	close(listeners[0]);
	listeners[0] = listeners[2];
	assert_true(one(0, "192.0.2.25", listeners) >= 0);
	assert_true(count_of("by_search") - searched >= 1); /* a SYN may come twice */
	for (fd = 1; fd < SOCKETS; fd++)
		close(listeners[fd]);
	other = listen_on("::", 25); /* some other service: must not get what is ours */
	assert_int_equal(connect_to(0, "192.0.2.25", 25), -ECONNREFUSED);
	assert_int_equal(connect_to(0, "2001:db8::25", 25), -ECONNREFUSED);
	assert_true(count_of("no_socket") - none >= 2);
	fd = connect_to(0, "198.51.100.1", 25); /* but what is not ours it gets */
	assert_true(fd >= 0);
	assert_int_equal(accepted_by(&other, 1, "198.51.100.1", 25), 0);
	assert_true(count_of("not_ours") - foreign >= 1);
	close(fd);
	close(other);
}

/* One socket for both families, as `listen()` without `bind()` would give it. */
static void test_dual_stack(void **state)
{
	int listeners[SOCKETS];

	listeners[0] = listen_on("::", 0);
	listeners[1] = listeners[2] = listeners[3] = listeners[0];
	assert_int_equal(front_set_socket(front, 0, 0, listeners[0]), 0);
	assert_int_equal(front_map_cpus(front, NULL, 0), 0);
	one(0, "192.0.2.25", listeners);
	one(0, "2001:db8::25", listeners);
	close(listeners[0]);
}

/* A second process fills its own row of sockets; connections change over at front_map_cpus() and not before. */
static void test_generation(void **state)
{
	static const uint32_t only_first[2] = { 0, 0 };
	int old[SOCKETS], new[SOCKETS];
	struct front *next;

	open_workers(front, old);
	assert_int_equal(front_map_cpus(front, only_first, 2), 0);
	next = packet_front(NULL);
	assert_int_equal(one(0, "192.0.2.25", old), 0);
	open_workers(next, new);
	assert_int_equal(one(0, "192.0.2.25", old), 0);
	assert_int_equal(front_map_cpus(next, only_first, 2), 0);
	assert_int_equal(one(0, "192.0.2.25", new), 0);
	close_workers(old);
	front_close(front, false);
	front = next;
	assert_int_equal(one(0, "2001:db8::25", new), 0);
	close_workers(new);
}

static void set_flood(uint64_t until_ns)
{
	struct flood on = { .until_ns = until_ns };
	uint32_t zero = 0;
	int map = packet_pin("maps/flood");

	assert_int_equal(bpf_map_update_elem(map, &zero, &on, BPF_ANY), 0);
	close(map);
}

/*
 * While a flood lasts, connections that stand go on, new ones come (also by the kernel's own SYN cookies), and
 * what belongs to none is dropped before the kernel sees it.
 */
static void test_flood(void **state)
{
	struct spec stray = { .flags = ACK, .sport = 1 }, stray6 = { .v6 = true, .flags = ACK, .sport = 1 };
	int listeners[SOCKETS], fd, i, prog = packet_pin("progs/front");
	uint64_t before[REASON_COUNT], after[REASON_COUNT];
	uint8_t frame[PACKET_MAX];

	open_workers(front, listeners);
	assert_int_equal(front_map_cpus(front, NULL, 0), 0);
	fd = connect_to(0, "192.0.2.25", 25);
	assert_true(fd >= 0);
	set_flood(UINT64_MAX);
	assert_true(accepted_by(listeners, SOCKETS, "192.0.2.25", 25) >= 0); /* and closes it: FIN gets through */
	assert_int_equal(recv(fd, frame, 1, 0), 0);
	close(fd);
	assert_int_equal(packet_reason(prog, frame, packet_build(&stray, frame)), REASON_cookie_invalid);
	assert_int_equal(packet_reason(prog, frame, packet_build(&stray6, frame)), REASON_cookie_invalid);
	packet_sh("echo 2 >/proc/sys/net/ipv4/tcp_syncookies");
	packet_counts(before);
	for (i = 0; i < 4; i++)
		one(0, i & 1 ? "192.0.2.25" : "2001:db8::25", listeners);
	packet_counts(after);
	assert_int_equal(after[REASON_cookie_valid] - before[REASON_cookie_valid], 4);
	packet_sh("echo 1 >/proc/sys/net/ipv4/tcp_syncookies");
	set_flood(0);
	close_workers(listeners);
	close(prog);
}

static void send_through(int from, int to)
{
	uint8_t sent[20000], got[sizeof(sent)];
	size_t i, len = 0;
	ssize_t n;

	for (i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(send(from, sent, sizeof(sent), 0), sizeof(sent));
	for (; len < sizeof(got); len += (size_t)n) {
		n = recv(to, got + len, sizeof(got) - len, 0);
		assert_true(n > 0);
	}
	assert_memory_equal(got, sent, sizeof(sent));
}

/* A connection from CPU 0, bytes both ways; the worker that has it. */
static int talk(const char *ip, const int *listeners)
{
	struct pollfd polls[SOCKETS];
	int i, server, client = connect_to(0, ip, 25);

	if (client < 0)
		fail_msg("%s: %s", ip, strerror(-client));
	for (i = 0; i < SOCKETS; i++)
		polls[i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	assert_int_equal(poll(polls, SOCKETS, 10000), 1);
	for (i = 0; !(polls[i].revents & POLLIN);)
		i++;
	server = accept(listeners[i], NULL, NULL);
	assert_true(server >= 0);
	send_through(client, server);
	send_through(server, client);
	close(server);
	close(client);
	return i / 2;
}

/*
 * The veth has one queue, and all is sent by one CPU, so all comes in on that: with spread = cpumap both workers get
 * connections all the same, each by the CPU that it ends on, and every byte arrives.
 */
static void test_spread(void **state)
{
	enum { CONNECTIONS = 40 };
	struct front_settings set = { .listeners = 1, .workers = WORKERS, .spread_queue = 512 };
	static const uint32_t straight[2] = { 0, 1 };
	struct front *next = packet_front(&set);
	int listeners[SOCKETS], i, got[WORKERS] = { 0 };
	uint64_t by_cpu;

	front_close(front, false);
	front = next;
	if (cpus < 2)
		skip();
	open_workers(front, listeners);
	assert_int_equal(seteuid(65534), 0); /* as the daemon does it: its capabilities are gone by then */
	assert_int_equal(front_map_cpus(front, straight, 2), 0);
	assert_int_equal(seteuid(0), 0);
	by_cpu = count_of("by_cpu");
	for (i = 0; i < CONNECTIONS; i++)
		got[talk(i & 1 ? "192.0.2.25" : "2001:db8::25", listeners)]++;
	assert_true(got[0] > CONNECTIONS / 8 && got[1] > CONNECTIONS / 8);
	assert_true(count_of("by_cpu") - by_cpu >= CONNECTIONS); /* a SYN may come twice */
	assert_true(count_in("also", "spread_sent") >= (uint64_t)got[1]);
	assert_true(count_in("also", "spread_here") >= (uint64_t)got[0]);
	assert_int_equal(count_in("also", "spread_failed"), 0);
	close_workers(listeners);
}

static void *close_later(void *listeners)
{
	usleep(300000);
	close_workers(listeners);
	return NULL;
}

/* Who serves is known by its sockets, which an io_uring may hold for a moment longer than its process lives. */
static void test_served(void **state)
{
	int listeners[SOCKETS], status;
	pthread_t closer;

	open_workers(front, listeners);
	assert_int_equal(front_map_cpus(front, NULL, 0), 0);
	assert_int_equal(front_served_by(), getpid());
	pid_t child = fork();

	if (!child) {
		for (unsigned i = 0; i < SOCKETS; i++)
			if (front_set_socket(front, 0, i / 2, listeners[i]))
				_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(pthread_create(&closer, NULL, close_later, listeners), 0);
	assert_int_equal(front_served_by(), 0);
	pthread_join(closer, NULL);
}

/* Without any capability: the descriptors suffice. */
static void test_unprivileged(void **state)
{
	int listeners[SOCKETS];

	open_workers(front, listeners);
	close_workers(listeners);
	listeners[0] = listen_on("::1", 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(front_set_socket(front, 0, 0, listeners[0]), 0);
	assert_int_equal(front_map_cpus(front, NULL, 0), 0);
	count_of("by_cpu");
	assert_int_equal(seteuid(0), 0);
	close(listeners[0]);
}

static int setup(void **state)
{
	packet_client(&edge_ns, &client_ns);
	packet_enter(client_ns);
	packet_sh("ethtool -K veth1 tx off >/dev/null"); /* else checksums are left out, which what comes by cpumap needs */
	packet_enter(edge_ns);
	cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	front = packet_front(NULL);
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
		cmocka_unit_test(test_by_cpu),	   cmocka_unit_test(test_by_hash),	cmocka_unit_test(test_missing),
		cmocka_unit_test(test_dual_stack),
		cmocka_unit_test(test_generation), cmocka_unit_test(test_unprivileged),
		cmocka_unit_test(test_served),
		cmocka_unit_test(test_flood),	   cmocka_unit_test(test_spread),
	};

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
