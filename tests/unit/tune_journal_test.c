/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal against crashes.  The world is a folder of files that commands write; a child applies changes and kills
 * itself with SIGKILL at every step there is, before and after the command; the parent reads what is on disk and
 * takes it back, and the world must be what it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/tune_apply.h"

#define N 5

static char dir[64];
static FILE *quiet;
static struct tune_facts *facts;

/* ---- the world: "set K V" writes V into file K ---- */

static int die_at = -1, die_after, fail_at = -1, fail_with = -EIO, steps;

static void world_set(const char *key, const char *value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/world-%s", dir, key);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(value, f);
	fclose(f);
}

static void world_get(const char *key, char out[32])
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/world-%s", dir, key);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(out, 32, f));
	fclose(f);
}

static int world_run(const char *command, char *why, size_t size)
{
	char key[16], value[32];

	assert_int_equal(sscanf(command, "set %15s %31s", key, value), 2);
	if (steps == die_at && !die_after)
		raise(SIGKILL);
	if (steps == fail_at) {
		steps++;
		snprintf(why, size, "as told");
		return fail_with;
	}
	world_set(key, value);
	if (steps == die_at)
		raise(SIGKILL);
	steps++;
	return 0;
}

static struct tune_report *report_new(void)
{
	struct tune_report *r = calloc(1, sizeof(*r));

	r->changes = calloc(N, sizeof(*r->changes));
	for (size_t i = 0; i < N; i++) {
		char text[64];

		snprintf(text, sizeof(text), "set k%zu new", i);
		r->changes[i].run = strdup(text);
		snprintf(text, sizeof(text), "set k%zu old%zu", i, i);
		r->changes[i].undo = strdup(text);
		r->changes[i].check = "x";
	}
	r->changes_n = N;
	return r;
}

static void world_reset(void)
{
	die_at = fail_at = -1;
	fail_with = -EIO;
	die_after = steps = 0;
	for (int i = 0; i < N; i++) {
		char key[16], value[16];

		snprintf(key, sizeof(key), "k%d", i);
		snprintf(value, sizeof(value), "old%d", i);
		world_set(key, value);
	}
}

static void assert_world(int from_new)
{
	for (int i = 0; i < N; i++) {
		char key[16], value[16], got[32];

		snprintf(key, sizeof(key), "k%d", i);
		snprintf(value, sizeof(value), "old%d", i);
		world_get(key, got);
		assert_string_equal(got, i < from_new ? "new" : value);
	}
}

static int apply_all(void)
{
	struct tune_report *r = report_new();
	struct tune_wants wants = { 0 };
	struct tune_journal *j = NULL;
	int err = tune_journal_read(&j, dir, "eth0");

	if (err == -ENOENT)
		j = tune_journal_new(dir, facts);
	err = tune_apply(j, r, &wants, world_run, quiet);
	tune_journal_free(j);
	tune_report_free(r);
	return err;
}

static int undo_all(void)
{
	struct tune_journal *j = NULL;
	int err = tune_journal_read(&j, dir, "eth0");

	if (err)
		return err;
	err = tune_undo(j, world_run, quiet);
	tune_journal_free(j);
	return err;
}

/* Runs work() in a child that is killed at that step */
static void killed_in(int (*work)(void), int step, int after)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		steps = 0;
		die_at = step;
		die_after = after;
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void killed_while_applying(void **state)
{
	for (int step = 0; step < N; step++)
		for (int after = 0; after < 2; after++) {
			world_reset();
			killed_in(apply_all, step, after);
			assert_world(step + after);
			assert_int_equal(undo_all(), 0);
			assert_world(0);
			assert_int_equal(undo_all(), -ENOENT);
		}
}

static void killed_while_undoing(void **state)
{
	for (int step = 0; step < N; step++)
		for (int after = 0; after < 2; after++) {
			world_reset();
			assert_int_equal(apply_all(), 0);
			assert_world(N);
			killed_in(undo_all, step, after);
			assert_world(N - step - after);
			assert_int_equal(undo_all(), 0);
			assert_world(0);
			assert_int_equal(undo_all(), -ENOENT);
		}
}

static void apply_goes_on_after_a_crash(void **state)
{
	world_reset();
	killed_in(apply_all, 2, 1);
	assert_int_equal(apply_all(), 0);
	assert_world(N);
	assert_int_equal(undo_all(), 0);
	assert_world(0);
}

/* Which keys are new, a letter each: "nonnn" */
static void assert_keys(const char *wanted)
{
	char key[16], got[32], seen[N + 1] = "";

	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		world_get(key, got);
		seen[i] = got[0];
	}
	assert_string_equal(seen, wanted);
}

/* One fails: the others are done, and they alone are taken back */
static void goes_on_past_one_that_fails(void **state)
{
	static const char *const wanted[N] = { "onnnn", "nonnn", "nnonn", "nnnon", "nnnno" };

	for (int bad = 0; bad < N; bad++) {
		world_reset();
		fail_at = bad;
		assert_int_equal(apply_all(), 1);
		assert_keys(wanted[bad]);
		fail_at = -1;
		steps = 0;
		assert_int_equal(undo_all(), 0);
		assert_int_equal(steps, N - 1);
		assert_world(0);
		assert_int_equal(undo_all(), -ENOENT);
	}
}

static void what_failed_is_tried_again(void **state)
{
	world_reset();
	fail_at = 2;
	assert_int_equal(apply_all(), 1);
	fail_at = -1;
	assert_int_equal(apply_all(), 0);
	assert_world(N);
	steps = 0;
	assert_int_equal(undo_all(), 0);
	assert_int_equal(steps, 2 * N - 1);
	assert_world(0);
}

/* A command that a signal ended may have done its work */
static void one_that_was_killed_is_taken_back(void **state)
{
	world_reset();
	fail_at = 2;
	fail_with = -EINTR;
	assert_int_equal(apply_all(), 1);
	world_set("k2", "new");
	fail_at = -1;
	assert_int_equal(undo_all(), 0);
	assert_world(0);
}

/* What would hold only if another change was made is left out where that one failed, and not begun */
static void what_rests_on_one_that_fails_is_left_out(void **state)
{
	struct tune_report *r = report_new();
	struct tune_wants wants = { 0 };
	struct tune_journal *j = tune_journal_new(dir, facts);

	world_reset();
	r->changes[1].check = "first";
	r->changes[3].needs = "first";
	fail_at = 1;
	assert_int_equal(tune_apply(j, r, &wants, world_run, quiet), 2);
	assert_keys("nonon");
	assert_int_equal(j->entries_n, N - 1);
	fail_at = -1;
	assert_int_equal(tune_undo(j, world_run, quiet), 0);
	assert_world(0);
	assert_int_equal(tune_apply(j, r, &wants, world_run, quiet), 0);
	assert_world(N);
	assert_int_equal(tune_undo(j, world_run, quiet), 0);
	tune_journal_free(j);
	tune_report_free(r);
}

static void what_cannot_be_taken_back_stays(void **state)
{
	world_reset();
	assert_int_equal(apply_all(), 0);
	steps = 0;
	fail_at = 1; /* k3 */
	assert_int_equal(undo_all(), 1);
	fail_at = -1;
	assert_int_equal(undo_all(), 0);
	assert_world(0);
	assert_int_equal(undo_all(), -ENOENT);
}

static void mtu_only_when_allowed(void **state)
{
	struct tune_report *r = report_new();
	struct tune_wants wants = { 0 };
	struct tune_journal *j = tune_journal_new(dir, facts);

	world_reset();
	for (size_t i = 1; i < N; i++)
		r->changes[i].needs_mtu = 1;
	assert_int_equal(tune_apply(j, r, &wants, world_run, quiet), 0);
	assert_int_equal(j->entries_n, 1);
	assert_world(1);
	assert_int_equal(tune_undo(j, world_run, quiet), 0);
	tune_journal_free(j);
	tune_report_free(r);
}

/* ---- what is read back ---- */

static char *journal_path(void)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/tune-eth0.json", dir);
	return path;
}

/* Cut anywhere, it is no journal, and nothing of it is run */
static void cut_short(void **state)
{
	char whole[8192];
	ssize_t len;
	int fd;

	world_reset();
	assert_int_equal(apply_all(), 0);
	fd = open(journal_path(), O_RDONLY);
	len = read(fd, whole, sizeof(whole));
	close(fd);
	assert_true(len > 0 && len < (ssize_t)sizeof(whole));
	for (ssize_t cut = 0; cut < len - 1; cut++) {
		fd = open(journal_path(), O_WRONLY | O_TRUNC);
		assert_int_equal(write(fd, whole, (size_t)cut), cut);
		close(fd);
		steps = 0;
		assert_int_equal(undo_all(), -EBADMSG);
		assert_int_equal(steps, 0);
	}
	fd = open(journal_path(), O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, whole, (size_t)len), len);
	close(fd);
	assert_int_equal(undo_all(), 0);
	assert_world(0);
}

static void not_a_journal(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"{\"version\":2,\"interface\":\"eth0\",\"driver\":\"\",\"bus\":\"\",\"boot\":\"\",\"changes\":[],\"before\":[]}",
		"{\"version\":1,\"interface\":\"eth1\",\"driver\":\"\",\"bus\":\"\",\"boot\":\"\",\"changes\":[],\"before\":[]}",
		"{\"version\":1,\"interface\":\"eth0\",\"driver\":\"\",\"bus\":\"\",\"boot\":\"\",\"changes\":{},\"before\":[]}",
		"{\"version\":1,\"interface\":\"eth0\",\"driver\":\"\",\"bus\":\"\",\"boot\":\"\",\"changes\":[{\"run\":\"a\",\"undo\":\"b\",\"state\":\"no\"}],\"before\":[]}",
		"{\"version\":1,\"interface\":\"eth0\",\"driver\":\"\",\"bus\":\"\",\"boot\":\"\",\"changes\":[{\"run\":1,\"undo\":\"b\",\"state\":\"done\"}],\"before\":[]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *f = fopen(journal_path(), "w");

		fputs(texts[i], f);
		fclose(f);
		assert_int_equal(undo_all(), -EBADMSG);
	}
	unlink(journal_path());
}

/* Its lines are run as root: nobody else may have written it */
static void only_ones_own(void **state)
{
	char other[96];

	world_reset();
	assert_int_equal(apply_all(), 0);
	assert_int_equal(chmod(journal_path(), 0622), 0);
	assert_int_equal(undo_all(), -EPERM);
	assert_int_equal(chmod(journal_path(), 0600), 0);
	snprintf(other, sizeof(other), "%s/elsewhere", dir);
	assert_int_equal(rename(journal_path(), other), 0);
	assert_int_equal(symlink(other, journal_path()), 0);
	assert_int_equal(undo_all(), -EPERM);
	assert_int_equal(unlink(journal_path()), 0);
	assert_int_equal(rename(other, journal_path()), 0);
	if (!geteuid()) {
		assert_int_equal(chown(journal_path(), 65534, (gid_t)-1), 0);
		assert_int_equal(undo_all(), -EPERM);
		assert_int_equal(chown(journal_path(), 0, (gid_t)-1), 0);
	}
	assert_world(N);
	assert_int_equal(undo_all(), 0);
	assert_world(0);
}

/* A name laid down for the next write to go through is not followed */
static void no_writing_through_links(void **state)
{
	char beside[112], victim[96], got[8] = "";
	int fd;

	world_reset();
	snprintf(victim, sizeof(victim), "%s/victim", dir);
	fd = open(victim, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, "mine", 4), 4);
	close(fd);
	snprintf(beside, sizeof(beside), "%s.new", journal_path());
	assert_int_equal(symlink(victim, beside), 0);
	assert_int_equal(apply_all(), 0);
	fd = open(victim, O_RDONLY);
	assert_int_equal(read(fd, got, sizeof(got)), 4);
	close(fd);
	assert_string_equal(got, "mine");
	assert_int_equal(undo_all(), 0);
}

static void only_its_own_commands(void **state)
{
	static const char *const refused[] = {
		"rm -r /tmp/x",
		"echo 1 >/etc/passwd",
		"echo 1 >/sys/../etc/passwd",
		"echo 1 >/sys/class/net/../../../etc/x",
		"sh -c x",
		"ip addr flush dev eth0",
		"ethtool",
		"echo 1",
		"systemctl start x",
		"ip link set dev eth0 down",
		"ethtool -f eth0 x",
		"ethtool --flash eth0 x",
		"",
		"echo 1 >/proc/irq/../sysrq-trigger",
	};
	char why[128];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(tune_run(refused[i], why, sizeof(why)), -EPERM);
		assert_true(*why);
	}
	assert_true(tune_run("ethtool -G danelaw-none rx 1", why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "o such device"));
	assert_int_equal(tune_run("echo 1 >/proc/sys/net/core/danelaw-none", why, sizeof(why)), -ENOENT);
}

static int group_setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/tune-journal-XXXXXX");
	facts = calloc(1, sizeof(*facts));
	quiet = fopen("/dev/null", "w");
	if (!mkdtemp(dir) || !facts || !quiet)
		return -1;
	snprintf(facts->ifname, sizeof(facts->ifname), "eth0");
	snprintf(facts->driver, sizeof(facts->driver), "veth");
	return 0;
}

static int group_teardown(void **state)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	free(facts);
	fclose(quiet);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_while_applying),
		cmocka_unit_test(killed_while_undoing),
		cmocka_unit_test(apply_goes_on_after_a_crash),
		cmocka_unit_test(goes_on_past_one_that_fails),
		cmocka_unit_test(what_failed_is_tried_again),
		cmocka_unit_test(one_that_was_killed_is_taken_back),
		cmocka_unit_test(what_rests_on_one_that_fails_is_left_out),
		cmocka_unit_test(what_cannot_be_taken_back_stays),
		cmocka_unit_test(mtu_only_when_allowed),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(not_a_journal),
		cmocka_unit_test(only_ones_own),
		cmocka_unit_test(no_writing_through_links),
		cmocka_unit_test(only_its_own_commands),
	};

	return cmocka_run_group_tests_name("tune_journal", tests, group_setup, group_teardown);
}
