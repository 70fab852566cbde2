/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every driver of the table against recorded replies: tests/tune/NAME.case is a tree in one file ("==> PATH <=="
 * before each), NAME.plan what `danelawctl tune IFACE plan --root` has to say of it, NAME.undo the commands that take
 * it all back, in their order.  The tree is unpacked and read by the reader of the real machine.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/tune.h"
#include "tools/tune_source.h"

static char tree[64];

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r"), *to;
	char *text = NULL;
	size_t size;
	int c;

	if (!f)
		return NULL;
	to = open_memstream(&text, &size);
	while ((c = getc(f)) != EOF)
		putc(c, to);
	fclose(to);
	fclose(f);
	return text;
}

static FILE *open_in_tree(const char *path)
{
	char full[320];

	snprintf(full, sizeof(full), "%s/%s", tree, path);
	for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	return fopen(full, "w");
}

/* Unpacks the case and tells the interface that it is of */
static void unpack(const char *name, char ifname[16])
{
	char path[128], line[4096], file[200];
	FILE *in, *out = NULL;

	snprintf(path, sizeof(path), "tests/tune/%s.case", name);
	snprintf(tree, sizeof(tree), "/tmp/tune-case-XXXXXX");
	assert_non_null(mkdtemp(tree));
	in = fopen(path, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "==> %199s <==", file) == 1) {
			if (out)
				fclose(out);
			out = open_in_tree(file);
			assert_non_null(out);
			sscanf(file, "replies/ethtool_-i_%15s", ifname);
		} else if (out) {
			fputs(line, out);
		}
	}
	if (out)
		fclose(out);
	fclose(in);
}

static void remove_tree(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", tree);
	assert_int_equal(system(command), 0);
}

static char *plan_text(const struct tune_facts *facts, const struct tune_report *report,
		       const struct tune_wants *wants)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	tune_print_report(to, facts, report, 0);
	tune_print_plan(to, report, wants);
	fclose(to);
	return text;
}

/* All of the file but its last line, which is cmd_tune.c's */
static void assert_same_plan(const char *name, const char *got)
{
	char path[128], *wanted, *last;

	snprintf(path, sizeof(path), "tests/tune/%s.plan", name);
	wanted = read_file(path);
	assert_non_null(wanted);
	wanted[strlen(wanted) - 1] = '\0';
	last = strrchr(wanted, '\n');
	last[1] = '\0';
	assert_string_equal(got, wanted);
	free(wanted);
}

static void assert_same_undo(const char *name, const struct tune_report *report)
{
	char path[128], *wanted, *got = NULL;
	size_t size;
	FILE *to = open_memstream(&got, &size);

	for (size_t i = report->changes_n; i-- > 0;)
		fprintf(to, "%s\n", report->changes[i].undo);
	fclose(to);
	snprintf(path, sizeof(path), "tests/tune/%s.undo", name);
	wanted = read_file(path);
	assert_non_null(wanted);
	assert_string_equal(got, wanted);
	free(got);
	free(wanted);
}

static void one_case(const char *name)
{
	struct tune_source *source;
	struct tune_facts *facts = NULL;
	struct tune_wants wants = { 0 };
	struct tune_report *report;
	char ifname[16] = "", *got;

	unpack(name, ifname);
	source = tune_source_new(tree, NULL);
	assert_int_equal(tune_facts_read(source, ifname, &facts), 0);
	report = tune_judge(facts, &wants);
	assert_non_null(report);
	got = plan_text(facts, report, &wants);
	assert_same_plan(name, got);
	assert_same_undo(name, report);
	free(got);
	tune_report_free(report);
	free(facts);
	tune_source_free(source);
	remove_tree();
}

static void cases(void **state)
{
	one_case(*state);
}

/* A driver without a recorded case would be a row that nobody tried */
static void every_driver_has_a_case(void **state)
{
	char path[128];

	for (size_t i = 0; i < tune_drivers_n; i++) {
		snprintf(path, sizeof(path), "tests/tune/%s.case", tune_drivers[i].name);
		assert_int_equal(access(path, R_OK), 0);
	}
}

static void no_such_interface(void **state)
{
	static const char *const names[] = { "eth9", "", "../etc", "-x", "a b", "0123456789abcdef" };
	struct tune_source *source = tune_source_new("/nonexistent", NULL);
	struct tune_facts *facts;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(tune_facts_read(source, names[i], &facts), -ENODEV);
	tune_source_free(source);
}

/* As of lo: ethtool tells neither driver nor version, and no text has a hole for them */
static void no_driver(void **state)
{
	static const char head[] = "lo: driver not told, kernel 6.1.0, cores ";
	struct tune_facts *facts = calloc(1, sizeof(*facts));
	struct tune_wants wants = { 0 };
	struct tune_report *report;
	char *text;

	assert_non_null(facts);
	facts->numa = -1;
	snprintf(facts->ifname, sizeof(facts->ifname), "lo");
	snprintf(facts->kernel, sizeof(facts->kernel), "6.1.0");
	report = tune_judge(facts, &wants);
	assert_non_null(report);
	assert_string_equal(report->findings[0].now, "not told");
	text = plan_text(facts, report, &wants);
	assert_memory_equal(text, head, sizeof(head) - 1);
	free(text);
	tune_report_free(report);
	free(facts);
}

/* What is recorded while a tree is read is that tree again */
static void recording_is_the_same(void **state)
{
	struct tune_source *source;
	struct tune_facts *facts = NULL, *again = NULL;
	char ifname[16] = "", copy[96], *a, *b;

	unpack("mlx5_core", ifname);
	snprintf(copy, sizeof(copy), "%s/copy", tree);
	source = tune_source_new(tree, copy);
	assert_int_equal(tune_facts_read(source, ifname, &facts), 0);
	tune_source_free(source);
	source = tune_source_new(copy, NULL);
	assert_int_equal(tune_facts_read(source, ifname, &again), 0);
	tune_source_free(source);
	a = tune_facts_lines(facts);
	b = tune_facts_lines(again);
	assert_string_equal(a, b);
	assert_non_null(strstr(a, "irq-mlx5_comp5@pci:0000:3b:00.0 2\n"));
	free(a);
	free(b);
	free(facts);
	free(again);
	remove_tree();
}

#define CASES_MAX 64

int main(void)
{
	struct CMUnitTest tests[CASES_MAX + 4] = {
		cmocka_unit_test(every_driver_has_a_case),
		cmocka_unit_test(no_such_interface),
		cmocka_unit_test(no_driver),
		cmocka_unit_test(recording_is_the_same),
	};
	size_t n = 4;
	struct dirent **all;
	int found = scandir("tests/tune", &all, NULL, alphasort), failed;

	for (int i = 0; i < found && n < CASES_MAX; i++) {
		char *dot = strstr(all[i]->d_name, ".case");

		if (!dot)
			continue;
		*dot = '\0';
		tests[n++] = (struct CMUnitTest){ all[i]->d_name, cases, NULL, NULL, all[i]->d_name };
	}
	failed = _cmocka_run_group_tests("tune_cases", tests, n, NULL, NULL);
	for (int i = 0; i < found; i++)
		free(all[i]);
	if (found >= 0)
		free(all);
	return failed;
}
