/* SPDX-License-Identifier: BSD-2-Clause */
/* The counter tables are whole, their names fit for dashboards, and sums add up. */
#include "userspace/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_names(const struct counter_info *info, size_t count)
{
	size_t i, j;

	for (i = 0; i < count; i++) {
		assert_non_null(info[i].name);
		assert_true(strspn(info[i].name, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(info[i].name));
		assert_true(strlen(info[i].sentence) > 10);
		for (j = 0; j < i; j++)
			assert_string_not_equal(info[i].name, info[j].name);
	}
}

static void tables(void **state)
{
	check_names(end_info, END_COUNT);
	check_names(counter_info, COUNTER_COUNT);
	assert_string_equal(end_info[END_quit].name, "quit");
	assert_int_equal(end_info[END_quit].fault, FAULT_NONE);
	assert_int_equal(end_info[END_no_backend].fault, FAULT_BACKEND);
	assert_int_equal(counter_info[COUNT_sessions].is_gauge, 0);
	assert_int_equal(counter_info[COUNT_sessions_open].is_gauge, 1);
	assert_string_equal(end_fault_name(FAULT_NONE), "none");
	assert_string_equal(end_fault_name(FAULT_CLIENT), "client");
	assert_string_equal(end_fault_name(FAULT_BACKEND), "backend");
	assert_string_equal(end_fault_name(FAULT_US), "us");
}

static void sums(void **state)
{
	struct stats a = { 0 }, b = { 0 }, sum = { 0 };
	size_t i;

	stats_add(&a, COUNT_bytes_in, 1000);
	stats_add(&b, COUNT_bytes_in, 24);
	stats_add(&a, COUNT_sessions_open, 2); /* a gauge goes down again */
	stats_add(&a, COUNT_sessions_open, -2);
	stats_add(&b, COUNT_sessions_open, 1);
	stats_end(&a, END_quit);
	stats_end(&a, END_quit);
	stats_end(&b, END_quit);
	stats_end(&b, 0);
	stats_end(&b, END_COUNT - 1);
	stats_add(&b, COUNTER_COUNT - 1, 5);
	stats_sum(&sum, &a);
	stats_sum(&sum, &b);
	assert_int_equal(sum.count[COUNT_bytes_in], 1024);
	assert_int_equal(sum.count[COUNT_sessions_open], 1);
	for (i = 0; i < END_COUNT; i++)
		assert_int_equal(sum.end[i], a.end[i] + b.end[i]);
	for (i = 0; i < COUNTER_COUNT; i++)
		assert_int_equal(sum.count[i], a.count[i] + b.count[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(tables), cmocka_unit_test(sums) };

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
