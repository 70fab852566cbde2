/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines as they reach stderr: levels, prefixes, escapes, field limits, one line whatever is in it. */
#define _GNU_SOURCE
#include "userspace/log.h"

#include <errno.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr, file;

static int capture(void **state)
{
	saved_stderr = dup(STDERR_FILENO);
	file = memfd_create("stderr", 0);
	assert_true(saved_stderr >= 0 && file >= 0);
	dup2(file, STDERR_FILENO);
	log_open("test", LOG_LEVEL_INFO, false);
	return 0;
}

static int restore(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(file);
	return 0;
}

/* What was written since the last call. */
static const char *written(void)
{
	static char text[8192];
	ssize_t n = pread(file, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(ftruncate(file, 0), 0);
	lseek(file, 0, SEEK_SET);
	return text;
}

static void levels(void **state)
{
	log_debug("not %s", "seen");
	assert_false(log_enabled(LOG_LEVEL_DEBUG));
	assert_string_equal(written(), "");
	log_error("a %d", 1);
	log_warn("b");
	log_info("c");
	assert_string_equal(written(), "test: a 1\ntest: b\ntest: c\n");
	log_open("test", LOG_LEVEL_ERROR, false);
	log_warn("not seen");
	assert_string_equal(written(), "");
	log_open("other", LOG_LEVEL_DEBUG, true);
	log_error("a");
	log_warn("b");
	log_info("c");
	log_debug("d");
	assert_string_equal(written(), "<3>other: a\n<4>other: b\n<6>other: c\n<7>other: d\n");
}

static void sentences_are_one_line(void **state)
{
	char longer[5000];
	const char *text;

	log_info("%s", "x\r\nt=forged \033[2J\x7f \xc3\xa9");
	assert_string_equal(written(), "test: x\\x0d\\x0at=forged \\x1b[2J\\x7f \xc3\xa9\n");
	memset(longer, '\n', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_info("%s", longer);
	text = written();
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void errno_is_kept(void **state)
{
	errno = ENOENT;
	close(STDERR_FILENO);
	log_info("nobody reads this");
	assert_int_equal(errno, ENOENT);
	dup2(file, STDERR_FILENO);
}

static void fatal_exits_1(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		log_fatal("no %s: make one", "file");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_string_equal(written(), "test: no file: make one\n");
}

static void values(void **state)
{
	static const struct {
		const char *value, *written;
		size_t len;
	} rows[] = {
		{ "mail.example", "mail.example", 12 },
		{ NULL, "-", 0 },
		{ "", "-", 0 },
		{ "-", "\"-\"", 1 },
		{ "a b", "\"a b\"", 3 },
		{ "a=b", "\"a=b\"", 3 },
		{ "a\"b\\", "\"a\\\"b\\\\\"", 4 },
		{ "a\0b\n\xff", "\"a\\x00b\\x0a\\xff\"", 5 },
		{ "TLSv1.3,[::1]:25", "TLSv1.3,[::1]:25", 16 },
	};
	struct logline l;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char expect[256];

		logline_begin(&l);
		l.len = 0;
		logline_strn(&l, "k", rows[i].value, rows[i].len);
		logline_emit(&l);
		snprintf(expect, sizeof(expect), " k=%s\n", rows[i].written);
		assert_string_equal(written(), expect);
	}
}

static void a_whole_line(void **state)
{
	struct logline l;
	regex_t re;

	logline_begin(&l);
	logline_str(&l, "sid", "7f3a01");
	logline_u64(&l, "in", UINT64_MAX);
	logline_ms(&l, "t", 61);
	logline_str(&l, "end", "quit");
	log_open("test", LOG_LEVEL_INFO, true);
	logline_emit(&l);
	assert_int_equal(regcomp(&re, "^<6>t=20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}\\.[0-9]{3}Z "
			"sid=7f3a01 in=18446744073709551615 t=61ms end=quit\n$", REG_EXTENDED | REG_NOSUB), 0);
	assert_int_equal(regexec(&re, written(), 0, NULL, 0), 0);
	regfree(&re);
	log_open("test", LOG_LEVEL_WARN, false);
	logline_emit(&l);
	assert_string_equal(written(), "");
}

static void long_lines_lose_whole_fields(void **state)
{
	char value[1000];
	struct logline l;
	const char *text;
	int i;

	memset(value, '\1', sizeof(value)); /* four bytes each when written, 256 of them at most */
	logline_begin(&l);
	for (i = 0; i < 4; i++)
		logline_strn(&l, "long", value, sizeof(value));
	logline_str(&l, "end", "quit"); /* what still fits is still written */
	assert_true(l.truncated);
	logline_emit(&l);
	text = written();
	assert_true(strlen(text) <= LOGLINE_MAX);
	assert_non_null(strstr(text, "\\x01\" end=quit truncated=yes\n"));
	assert_ptr_equal(strstr(strstr(text, " long=") + 1, " long="), NULL);
	/* filled to the last byte: "=a" fields of four bytes each */
	logline_begin(&l);
	for (i = 0; i < LOGLINE_MAX; i++)
		logline_str(&l, "k", "a");
	logline_emit(&l);
	text = written();
	assert_true(strlen(text) <= LOGLINE_MAX);
	assert_string_equal(text + strlen(text) - strlen(" k=a truncated=yes\n"), " k=a truncated=yes\n");
}

#define ROW(f) cmocka_unit_test_setup_teardown(f, capture, restore)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ROW(levels), ROW(sentences_are_one_line), ROW(errno_is_kept), ROW(fatal_exits_1),
		ROW(values), ROW(a_whole_line), ROW(long_lines_lose_whole_fields),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
