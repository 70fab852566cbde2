/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "tools/tune_apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/tune_source.h"

static int write_file(const char *path, const char *value, char *why, size_t size)
{
	static const char *const homes[] = { "/proc/sys/", "/proc/irq/", "/sys/class/net/",
					     "/sys/devices/system/cpu/" };
	char text[1024];
	int fd, len, err = -EPERM;

	for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++)
		if (!strncmp(path, homes[i], strlen(homes[i])) && !strstr(path, "/../"))
			err = 0;
	if (err) {
		snprintf(why, size, "%s is not a place that tune writes to", path);
		return err;
	}
	len = snprintf(text, sizeof(text), "%s\n", value);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (err)
		snprintf(why, size, "%s: %s", path, strerror(-err));
	return err;
}

/* What the checks make, and nothing else that these programs can do */
static int may_run(const char *command)
{
	static const char *const begins[] = {
		"ethtool -A ",
		"ethtool -C ",
		"ethtool -G ",
		"ethtool -K ",
		"ethtool -L ",
		"ethtool -N ",
		"ethtool -X ",
		"systemctl stop irqbalance.service",
		"systemctl start irqbalance.service",
	};

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
		if (!strncmp(command, begins[i], strlen(begins[i])))
			return 1;
	return !strncmp(command, "ip link set dev ", 16) && strstr(command, " mtu ");
}

static int run_program(const char *command, char *why, size_t size)
{
	char *said = NULL;
	int status;

	if (!may_run(command)) {
		snprintf(why, size, "not a command that tune runs");
		return -EPERM;
	}
	status = tune_spawn(command, NULL, &said);
	if (status < 0)
		snprintf(why, size, "%s", strerror(-status));
	else if (status)
		snprintf(why, size, "%s", said && *said ? said : "failed");
	for (char *c = why; status && *c; c++)
		if (*c == '\n')
			*c = c[1] ? ';' : '\0';
	free(said);
	return status > 128 ? -EINTR : status > 0 ? -EIO : status;
}

int tune_run(const char *command, char *why, size_t size)
{
	char value[1024];
	const char *to = strstr(command, " >");

	*why = '\0';
	if (strncmp(command, "echo ", 5) || !to || to < command + 5)
		return run_program(command, why, size);
	snprintf(value, sizeof(value), "%.*s", (int)(to - command - 5), command + 5);
	return write_file(to + 2, value, why, size);
}

static int save(const struct tune_journal *journal, FILE *to)
{
	int err = tune_journal_save(journal);

	if (err)
		fprintf(to, "%s: %s; nothing more was changed\n", journal->path, strerror(-err));
	return err;
}

/* What failed before has nothing to take back, and is tried anew */
static void forget_failed(struct tune_journal *journal)
{
	for (size_t i = journal->entries_n; i-- > 0;)
		if (journal->entries[i].state == TUNE_FAILED)
			tune_journal_drop(journal, i);
}

static int rests_on_failed(const struct tune_report *report, const struct tune_change *c)
{
	for (size_t i = 0; c->needs && i < report->changes_n; i++)
		if (report->changes[i].failed && !strcmp(report->changes[i].check, c->needs))
			return 1;
	return 0;
}

/* 0, also when the change fails; a negative errno when it cannot be put down, so must not be made */
static int make(struct tune_journal *journal, struct tune_change *c, tune_runner *run, FILE *to)
{
	char why[256];
	int err = tune_journal_begin(journal, c);

	err = err ? err : save(journal, to);
	if (err)
		return err;
	fprintf(to, "  %s\n", c->run);
	fflush(to);
	err = run(c->run, why, sizeof(why));
	if (err)
		fprintf(to, "  failed: %s\n", why);
	c->failed = err != 0;
	/* one that a signal ended was perhaps done, and stays begun */
	if (err != -EINTR)
		journal->entries[journal->entries_n - 1].state = err ? TUNE_FAILED : TUNE_DONE;
	return save(journal, to);
}

int tune_apply(struct tune_journal *journal, struct tune_report *report, const struct tune_wants *wants,
	       tune_runner *run, FILE *to)
{
	int failed = 0, err;

	forget_failed(journal);
	for (size_t i = 0; i < report->changes_n; i++) {
		struct tune_change *c = &report->changes[i];

		if (!tune_change_wanted(c, wants))
			continue;
		c->failed = rests_on_failed(report, c);
		if (c->failed)
			fprintf(to, "  # %s   (left out: it would not hold without %s)\n", c->run, c->needs);
		err = c->failed ? 0 : make(journal, c, run, to);
		if (err)
			return err;
		failed += c->failed;
	}
	return failed;
}

/* Whether the entry may be forgotten */
static int taken_back(const struct tune_entry *e, tune_runner *run, FILE *to)
{
	char why[256];
	int err;

	if (e->state == TUNE_FAILED)
		return 1;
	fprintf(to, "  %s\n", e->undo);
	fflush(to);
	err = run(e->undo, why, sizeof(why));
	if (err && e->state == TUNE_DONE)
		fprintf(to, "  failed: %s; kept for the next undo\n", why);
	else if (err)
		fprintf(to, "  (%s; it was perhaps never done)\n", why);
	return !err || e->state != TUNE_DONE;
}

int tune_undo(struct tune_journal *journal, tune_runner *run, FILE *to)
{
	int stay = 0;

	for (size_t i = journal->entries_n; i-- > 0;) {
		int err;

		if (!taken_back(&journal->entries[i], run, to)) {
			stay++;
			continue;
		}
		tune_journal_drop(journal, i);
		err = save(journal, to);
		if (err)
			return err;
	}
	return stay;
}
