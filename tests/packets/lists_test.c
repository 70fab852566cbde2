/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bulk lists: what a reload may not do to those who use the front meanwhile.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/packets/packet.h"

static struct front *front;
static int prog;

static int setup(void **state)
{
	front = packet_front(NULL);
	prog = packet_pin("progs/front");
	return 0;
}

static int teardown(void **state)
{
	close(prog);
	front_close(front, true);
	return 0;
}

static int load(const char *deny_text, const char *allow_text)
{
	static const char *const names[] = { "/etc/danelaw/drop.txt", "/etc/danelaw/allow.txt" };
	const char *texts[] = { deny_text, allow_text };
	struct front_list_files lists[2];
	FILE *files[2];
	char err[512];
	int i, code;

	for (i = 0; i < 2; i++) {
		files[i] = fmemopen((void *)(uintptr_t)texts[i], strlen(texts[i]), "r");
		assert_non_null(files[i]);
		lists[i] = (struct front_list_files){ .files = &files[i], .names = &names[i], .count = 1 };
	}
	code = front_load_lists(front, &lists[0], &lists[1], err, sizeof(err));
	for (i = 0; i < 2; i++)
		fclose(files[i]);
	return code;
}

static int reason_of(const char *source)
{
	struct spec s = { .src = source, .v6 = strchr(source, ':') != NULL };
	uint8_t frame[PACKET_MAX];

	return packet_reason(prog, frame, packet_build(&s, frame));
}

static struct front_config config(void)
{
	int map = packet_pin("maps/front_config");
	struct front_config config;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &zero, &config), 0);
	close(map);
	return config;
}

/* ---- others, while a set is filled ---- */

enum { STUCK_S = 60 }; /* a thread that is not back by then waits for the fill, which waits for it */
static bool armed, stuck, marked;

static void *mark_sources(void *arg)
{
	struct in6_addr good, bad;

	net_parse_ip("192.0.2.81", &good);
	net_parse_ip("192.0.2.82", &bad);
	marked = !front_verify_source(front, &good, "mx.example", "example", 600000) && !front_block_source(front, &bad, 600000);
	return NULL;
}

/* In the middle of a fill another thread does what workers do, and this one goes on when it is done. */
static void let_others_in(void)
{
	struct timespec deadline;
	pthread_t thread;

	armed = false;
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STUCK_S;
	assert_int_equal(pthread_create(&thread, NULL, mark_sources, NULL), 0);
	stuck = pthread_timedjoin_np(thread, NULL, &deadline) != 0;
}

static bool is_map(int fd, const char *name)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) && !strcmp(info.name, name);
}

/* libbpf's, with an eye on what is put into the allow list. */
int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	static int (*real)(int, const void *, const void *, __u64);

	if (!real)
		real = (int (*)(int, const void *, const void *, __u64))dlsym(RTLD_NEXT, "bpf_map_update_elem");
	if (armed && is_map(fd, "allow_list"))
		let_others_in();
	return real(fd, key, value, flags);
}

/* Workers wait for no fill, and what they write into the configuration meanwhile is in it afterwards, with the new sets. */
static void test_others_meanwhile(void **state)
{
	assert_int_equal(load("198.18.0.0/16\n", "198.18.1.0/24\n"), 0);
	assert_int_equal(config().blocked_used, 0);
	armed = true;
	assert_int_equal(load("198.19.0.0/16\n", "198.19.1.0/24\n"), 0);
	assert_false(armed);
	assert_false(stuck);
	assert_true(marked);
	assert_int_equal(config().blocked_used, 1);
	assert_int_equal(reason_of("192.0.2.82"), REASON_limit_connections);
	assert_int_equal(reason_of("198.18.1.1"), REASON_syn_admitted);
	assert_int_equal(reason_of("198.19.0.1"), REASON_denied_list);
	assert_int_equal(reason_of("198.19.1.1"), REASON_allowed_list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_meanwhile),
	};

	if (!packet_namespace()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests_name("lists", tests, setup, teardown);
}
