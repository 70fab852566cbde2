/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl reload, drain and log-level: what changes the running daemon. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/ctl.h"

int cmd_reload(int argc, char **argv)
{
	static const char usage[] = "danelawctl reload [--json] [--socket PATH]";
	struct ctl c;
	int status;

	if (ctl_options(&c, argc, argv, usage) < argc)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "reload", NULL, &status);

	if (!answer)
		return status;
	if (c.json) {
		ctl_print_json(answer);
		return status;
	}
	printf("read again: %s\n", ctl_text(answer, "reloaded"));
	json_decref(answer);
	return status;
}

/* "90", "90s", "5m", "1h" as ms; false: none of them. */
static bool parse_time(const char *text, json_int_t *ms)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	json_int_t unit = !strcmp(end, "ms") ? 1 : !*end || !strcmp(end, "s") ? 1000 : !strcmp(end, "m") ? 60000 : !strcmp(end, "h") ? 3600000 : 0;

	*ms = (json_int_t)n * unit;
	return unit && end != text && *text != '-' && n < 1000000;
}

/* Until its process is gone. */
static int wait_for_end(pid_t pid)
{
	while (!kill(pid, 0) || errno == EPERM)
		usleep(100000);
	puts("danelawd has ended");
	return CTL_OK;
}

static void print_drain(const json_t *answer)
{
	char after[CTL_DURATION_MAX], deadline[CTL_DURATION_MAX];

	ctl_duration(ctl_number(answer, "after_ms"), after);
	ctl_duration(ctl_number(answer, "deadline_ms"), deadline);
	if (!ctl_true(answer, "leaving"))
		puts("taken back: danelawd stays");
	else if (ctl_number(answer, "after_ms"))
		printf("/healthz says so from now on; in %s no new sessions are taken, and those open then have %s to end.\n"
		       "Until then  danelawctl drain --cancel  takes it back.\n", after, deadline);
	else
		printf("no new sessions; those open have %s to end, then danelawd ends\n", deadline);
	fflush(stdout);
}

int cmd_drain(int argc, char **argv)
{
	static const char usage[] = "danelawctl drain [--after TIME] [--wait] [--json] [--socket PATH] | drain --cancel";
	static const struct option options[] = { CTL_OPTIONS, { "after", required_argument, NULL, 'a' }, { "wait", no_argument, NULL, 'w' },
						 { "cancel", no_argument, NULL, 'c' }, { 0 } };
	json_t *args = json_object();
	json_int_t after = 0;
	bool wait = false;
	struct ctl c;
	int opt, status;

	ctl_init(&c);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'a' && !parse_time(optarg, &after))
			return ctl_usage(usage);
		if (opt == 'a')
			json_object_set_new(args, "after_ms", json_integer(after));
		else if (opt == 'w')
			wait = true;
		else if (opt == 'c')
			json_object_set_new(args, "cancel", json_true());
		else
			ctl_option(&c, opt, usage);
	}
	if (optind < argc)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "drain", args, &status);

	if (!answer)
		return status;
	pid_t pid = (pid_t)ctl_number(answer, "pid");

	if (c.json) {
		ctl_print_json(answer);
	} else {
		print_drain(answer);
		json_decref(answer);
	}
	return wait ? wait_for_end(pid) : status;
}

int cmd_log_level(int argc, char **argv)
{
	static const char usage[] = "danelawctl log-level [error|warn|info|debug] [--json] [--socket PATH]";
	struct ctl c;
	int status, at = ctl_options(&c, argc, argv, usage);

	if (argc - at > 1)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "log-level", at < argc ? json_pack("{s:s}", "level", argv[at]) : NULL, &status);

	if (!answer)
		return status;
	if (c.json) {
		ctl_print_json(answer);
		return status;
	}
	if (*ctl_text(answer, "before"))
		printf("%s, was %s; until the next start\n", ctl_text(answer, "level"), ctl_text(answer, "before"));
	else
		puts(ctl_text(answer, "level"));
	json_decref(answer);
	return status;
}
