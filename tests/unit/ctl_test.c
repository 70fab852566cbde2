/* SPDX-License-Identifier: BSD-2-Clause */
/* What danelawctl shows to people: durations, grouped numbers, tables. */
#include "tools/ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void durations(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0ms" }, { 999, "999ms" }, { 1000, "1s" }, { 59999, "59s" }, { 60000, "1m00s" }, { 3599999, "59m59s" },
		{ 3600000, "1h00m" }, { 172799999, "47h59m" }, { 172800000, "2d0h" }, { 31536000000, "365d0h" },
		{ UINT64_MAX, "213503982334d14h" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[CTL_DURATION_MAX];

		assert_string_equal(ctl_duration(rows[i].ms, text), rows[i].text);
	}
}

static void grouped(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {
		{ 0, "0" }, { 7, "7" }, { 999, "999" }, { 1000, "1,000" }, { 12345, "12,345" }, { 999999, "999,999" },
		{ 1000000, "1,000,000" }, { UINT64_MAX, "18,446,744,073,709,551,615" },
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[CTL_GROUPED_MAX];

		assert_string_equal(ctl_grouped(rows[i].n, text), rows[i].text);
	}
}

/* Standard output is the runner's: the table goes to a file meanwhile. */
static char *printed(struct ctl_table *t, char *out, size_t size)
{
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO);

	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	ctl_table_print(t, "> ");
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(file);
	out[fread(out, 1, size - 1, file)] = 0;
	fclose(file);
	return out;
}

static void tables(void **state)
{
	static const char *const heads[] = { "name", "count", "what" };
	struct ctl_table *t = ctl_table_new("lrl", heads);
	char out[512];

	ctl_cell(t, "%s", "mx-a");
	ctl_cell(t, "%d", 7);
	ctl_cell(t, "%s", "short");
	ctl_cell(t, "%s", "mx-größer");
	ctl_cell(t, "%d", 1234567);
	ctl_cell(t, "%s", "");
	assert_string_equal(printed(t, out, sizeof(out)), "> name         count  what\n"
							  "> mx-a             7  short\n"
							  "> mx-größer  1234567  \n");
	t = ctl_table_new("ll", NULL);
	assert_string_equal(printed(t, out, sizeof(out)), "");
}

/* What an answer lacks is empty, never a crash: a daemon of another version may answer. */
static void members(void **state)
{
	json_t *o = json_pack("{s:s, s:i, s:b, s:n}", "text", "x", "number", 7, "yes", 1, "nothing");

	assert_string_equal(ctl_text(o, "text"), "x");
	assert_string_equal(ctl_text(o, "number"), "");
	assert_string_equal(ctl_text(o, "nothing"), "");
	assert_string_equal(ctl_text(o, "missing"), "");
	assert_string_equal(ctl_text(NULL, "text"), "");
	assert_int_equal(ctl_number(o, "number"), 7);
	assert_int_equal(ctl_number(o, "text"), 0);
	assert_int_equal(ctl_number(NULL, "number"), 0);
	assert_true(ctl_true(o, "yes"));
	assert_false(ctl_true(o, "text"));
	assert_false(ctl_true(NULL, "yes"));
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(grouped),
		cmocka_unit_test(tables),
		cmocka_unit_test(members),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
