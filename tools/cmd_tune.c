/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl tune IFACE check|plan|apply|undo|record */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/tune_apply.h"
#include "tools/tune_source.h"

#define STATE_DIR "/var/lib/danelaw"

struct tune {
	const char *ifname, *root, *record, *state;
	int json, yes, all_drivers;
	FILE *to; /* where apply and undo tell: nowhere with --json */
	struct tune_wants wants;
	struct tune_facts *facts;
	struct tune_report *report;
};

static int usage(FILE *to)
{
	fputs("usage: danelawctl tune IFACE check|plan [--json] [--root DIR] [--workers N]\n"
	      "       danelawctl tune IFACE apply [--yes] [--workers N] [--allow-mtu] [--allow-generic] [--state DIR] [--json]\n"
	      "       danelawctl tune IFACE undo [--state DIR] [--json]\n"
	      "       danelawctl tune IFACE record DIR\n"
	      "       danelawctl tune --driver-facts [--json]\n",
	      to);
	return to == stdout ? 0 : 2;
}

static int fault(const char *ifname, const char *what)
{
	fprintf(stderr, "danelawctl: tune %s: %s\n", ifname, what);
	return 1;
}

static void forget(struct tune *t)
{
	tune_report_free(t->report);
	free(t->facts);
	t->report = NULL;
	t->facts = NULL;
}

/* Facts and report, once more if they were read before.  0, or the exit status. */
static int look(struct tune *t)
{
	struct tune_source *source = tune_source_new(t->root, t->record);
	int err;

	forget(t);
	err = source ? tune_facts_read(source, t->ifname, &t->facts) : -ENOMEM;
	tune_source_free(source);
	if (err)
		return fault(t->ifname, err == -ENODEV ? "there is no such interface here" : strerror(-err));
	t->report = tune_judge(t->facts, &t->wants);
	return t->report ? 0 : fault(t->ifname, strerror(ENOMEM));
}

static int worst(const struct tune_report *r)
{
	for (size_t i = 0; i < r->findings_n; i++)
		if (r->findings[i].verdict == TUNE_FAIL)
			return 1;
	return 0;
}

static int run_check(struct tune *t)
{
	int status = look(t);

	if (status)
		return status;
	if (t->json)
		tune_json_report(stdout, t->facts, t->report, &t->wants);
	else
		tune_print_report(stdout, t->facts, t->report, 1);
	return worst(t->report);
}

static int run_plan(struct tune *t)
{
	int status = look(t);

	if (status)
		return status;
	if (t->json) {
		tune_json_report(stdout, t->facts, t->report, &t->wants);
		return 0;
	}
	tune_print_report(stdout, t->facts, t->report, 0);
	tune_print_plan(stdout, t->report, &t->wants);
	if (t->report->changes_n)
		printf("undo will be kept in %s/tune-%s.json; nothing was changed (plan)\n", t->state, t->ifname);
	else
		printf("nothing to change\n");
	return 0;
}

/* The interface that the journal knows under this name, or another card that got it since */
static int same_card(const struct tune_journal *j, const struct tune_facts *f)
{
	return !strcmp(j->driver, f->driver) && !strcmp(j->bus, f->bus);
}

static int journal_fault(const struct tune *t, int err)
{
	fprintf(stderr, "danelawctl: %s/tune-%s.json: %s\n", t->state, t->ifname,
		err == -EPERM	  ? "not root's alone: its lines would be run as root, so it is not read"
		: err == -EBADMSG ? "not a whole journal; nothing was changed. It lists what to put back by hand"
				  : strerror(-err));
	return 1;
}

/* Whether the journal is of this card and this boot; says what is not */
static int fits(const struct tune *t, const struct tune_journal *j, int *status)
{
	if (strcmp(j->boot, t->facts->boot)) {
		fprintf(t->to,
			"%s: the machine was started anew since, which took all back; its journal is forgotten\n",
			t->ifname);
		unlink(j->path);
		return 0;
	}
	if (same_card(j, t->facts))
		return 1;
	fprintf(stderr,
		"danelawctl: %s: its journal is of another card (%s at %s, this is %s at %s); nothing was changed\n",
		t->ifname, j->driver, *j->bus ? j->bus : "no bus", t->facts->driver,
		*t->facts->bus ? t->facts->bus : "no bus");
	*status = 1;
	return 0;
}

/* The journal there is, or NULL with *status 0 where there is none. */
static struct tune_journal *journal_of(const struct tune *t, int *status)
{
	struct tune_journal *j = NULL;
	int err = tune_journal_read(&j, t->state, t->ifname);

	*status = 0;
	if (err && err != -ENOENT)
		*status = journal_fault(t, err);
	if (err)
		return NULL;
	if (fits(t, j, status))
		return j;
	tune_journal_free(j);
	return NULL;
}

static int agreed(const struct tune *t)
{
	char line[16];

	if (t->yes)
		return 1;
	if (t->json || !isatty(STDIN_FILENO)) {
		fault(t->ifname, "say --yes to apply without being asked; nothing was changed");
		return 0;
	}
	printf("apply? [y/N] ");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* One apply or undo at a time.  The lock goes with the process, and with a command that outlives it when it is killed:
 * hence not close-on-exec.  0, or the exit status. */
static int lock(const struct tune *t)
{
	int fd;

	if (mkdir(t->state, 0750) && errno != EEXIST) {
		fprintf(stderr, "danelawctl: %s: %s\n", t->state, strerror(errno));
		return 1;
	}
	fd = open(t->state, O_RDONLY | O_DIRECTORY);
	if (fd < 0) {
		fprintf(stderr, "danelawctl: %s: %s\n", t->state, strerror(errno));
		return 1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB))
		return fault(t->ifname, "another tune is at work here");
	return 0;
}

/* The journal, or that there is none */
static void tell_json(const struct tune *t, const struct tune_journal *j)
{
	if (t->json && j)
		tune_journal_print(stdout, j);
	else if (t->json)
		puts("{\"changes\": []}");
}

static size_t wanted_changes(const struct tune *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->report->changes_n; i++)
		n += (size_t)tune_change_wanted(&t->report->changes[i], &t->wants);
	return n;
}

/* The exit status of an apply of which so many changes were not made */
static int tell_failed(const struct tune *t, int failed, size_t of)
{
	char text[256];

	if (!failed)
		return 0;
	snprintf(text, sizeof(text),
		 "%d of %zu changes failed or were left out, the others are made; mend what each says and apply again, "
		 "or leave them; `undo` takes back what was made",
		 failed, of);
	return fault(t->ifname, text);
}

static int apply_now(struct tune *t, struct tune_journal *j)
{
	size_t wanted = wanted_changes(t);
	int failed;

	fprintf(t->to, "running:\n");
	failed = tune_apply(j, t->report, &t->wants, tune_run, t->to);
	fprintf(t->to, "%s; undo is kept in %s\n", failed < 0 ? "stopped" : "applied", j->path);
	tell_json(t, j);
	if (failed < 0)
		return fault(t->ifname, "not all could be applied; `undo` takes back what was");
	if (look(t))
		return 1;
	tune_print_report(t->to, t->facts, t->report, 0);
	if (t->report->changes_n)
		fprintf(t->to, "%zu changes are left: run plan, then apply again\n", t->report->changes_n);
	return tell_failed(t, failed, wanted);
}

static int run_apply(struct tune *t)
{
	struct tune_journal *j;
	int status = lock(t);

	status = status ? status : look(t);
	if (status)
		return status;
	tune_print_report(t->to, t->facts, t->report, 0);
	tune_print_plan(t->to, t->report, &t->wants);
	if (*t->report->refused)
		return fault(t->ifname, "refused; nothing was changed");
	j = journal_of(t, &status);
	if (status)
		return status;
	if (!wanted_changes(t)) {
		fprintf(t->to, "nothing to apply\n");
		tell_json(t, j);
		tune_journal_free(j);
		return 0;
	}
	if (!agreed(t)) {
		tune_journal_free(j);
		return 1;
	}
	j = j ? j : tune_journal_new(t->state, t->facts);
	status = j ? apply_now(t, j) : fault(t->ifname, strerror(ENOMEM));
	tune_journal_free(j);
	return status;
}

static void compare(const struct tune *t, const struct tune_journal *j)
{
	char *now = tune_facts_lines(t->facts);
	size_t differ = now ? tune_lines_compare(j->before, now, t->to) : 0;

	if (differ)
		fprintf(t->to, "%s: taken back; %zu values differ from what was before, as told above\n", t->ifname,
			differ);
	else
		fprintf(t->to, "%s: all is as it was before\n", t->ifname);
	free(now);
}

static int has_irq(const struct tune_facts *f, unsigned irq)
{
	for (unsigned i = 0; i < f->irqs_n; i++)
		if (f->irqs[i].irq == irq)
			return 1;
	return 0;
}

/* A driver that was loaded anew has other interrupts, and another device may have the numbers of the old ones */
static void leave_foreign_irqs(const struct tune *t, struct tune_journal *j)
{
	for (size_t i = j->entries_n; i-- > 0;) {
		const char *to = strstr(j->entries[i].undo, " >/proc/irq/");
		unsigned irq;

		if (!to || sscanf(to, " >/proc/irq/%u/", &irq) != 1 || has_irq(t->facts, irq))
			continue;
		fprintf(t->to, "  # %s   (left out: interrupt %u is not of %s any more)\n", j->entries[i].undo, irq,
			t->ifname);
		tune_journal_drop(j, i);
	}
}

static int run_undo(struct tune *t)
{
	struct tune_journal *j;
	int status = lock(t), stay;

	status = status ? status : look(t);
	if (status)
		return status;
	j = journal_of(t, &status);
	if (!j) {
		if (!status)
			fprintf(t->to, "%s: nothing to undo\n", t->ifname);
		if (!status)
			tell_json(t, NULL);
		return status;
	}
	fprintf(t->to, "running:\n");
	leave_foreign_irqs(t, j);
	stay = tune_undo(j, tune_run, t->to);
	tell_json(t, j);
	status = stay || look(t);
	if (stay)
		fault(t->ifname, "not all could be taken back; what is left stays in the journal");
	if (!status)
		compare(t, j);
	tune_journal_free(j);
	return status;
}

static int run_record(struct tune *t)
{
	int status = look(t);

	if (!status)
		printf("%s: recorded in %s; see it with: danelawctl tune %s check --root %s\n", t->ifname, t->record,
		       t->ifname, t->record);
	return status;
}

static const struct {
	const char *name;
	int (*run)(struct tune *t);
	int changes; /* the machine: as root, and never a tree */
} verbs[] = {
	{ "check", run_check, 0 }, { "plan", run_plan, 0 },	{ "apply", run_apply, 1 },
	{ "undo", run_undo, 1 },   { "record", run_record, 0 },
};

static int run_verb(struct tune *t, const char *name)
{
	int status;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(name, verbs[i].name))
			continue;
		if (verbs[i].changes && t->root)
			return fault(t->ifname,
				     "apply and undo change this machine; a tree (--root) is for check and plan");
		if (verbs[i].changes && geteuid())
			return fault(t->ifname, "must be root");
		t->to = t->json ? fopen("/dev/null", "we") : stdout;
		if (!t->to)
			return fault(t->ifname, strerror(errno));
		status = verbs[i].run(t);
		if (t->json)
			fclose(t->to);
		forget(t);
		return status;
	}
	fprintf(stderr, "danelawctl: tune: there is no %s\n", name);
	return usage(stderr);
}

/* 0, or the exit status of a usage error */
static int options(struct tune *t, int argc, char **argv)
{
	static const struct option table[] = {
		{ "json", no_argument, NULL, 'j' },	    { "yes", no_argument, NULL, 'y' },
		{ "driver-facts", no_argument, NULL, 'd' }, { "root", required_argument, NULL, 'r' },
		{ "state", required_argument, NULL, 's' },  { "workers", required_argument, NULL, 'w' },
		{ "allow-mtu", no_argument, NULL, 'm' },    { "allow-generic", no_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },	    { NULL, 0, NULL, 0 },
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1)
		switch (c) {
		case 'j': t->json = 1; break;
		case 'y': t->yes = 1; break;
		case 'd': t->all_drivers = 1; break;
		case 'r': t->root = optarg; break;
		case 's': t->state = optarg; break;
		case 'm': t->wants.allow_mtu = 1; break;
		case 'g': t->wants.allow_generic = 1; break;
		case 'w':
			t->wants.workers = (unsigned)strtoul(optarg, &end, 10);
			if (*end || !t->wants.workers || t->wants.workers > TUNE_QUEUES) {
				fprintf(stderr, "danelawctl: tune: --workers %s: not a number from 1 to %d\n", optarg,
					TUNE_QUEUES);
				return 2;
			}
			break;
		case 'h': usage(stdout); exit(0);
		default: return usage(stderr);
		}
	return 0;
}

int cmd_tune(int argc, char **argv)
{
	struct tune t = { .state = STATE_DIR };
	int status = options(&t, argc, argv), n = argc - optind;

	if (status)
		return status;
	if (t.all_drivers) {
		if (t.json)
			return tune_json_drivers(stdout) ? 1 : 0;
		tune_print_drivers(stdout);
		return 0;
	}
	if (n < 2 || n != (strcmp(argv[optind + 1], "record") ? 2 : 3))
		return usage(stderr);
	t.ifname = argv[optind];
	t.record = n == 3 ? argv[optind + 2] : NULL;
	return run_verb(&t, argv[optind + 1]);
}
