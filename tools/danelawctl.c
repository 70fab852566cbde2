/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * danelawctl: the operator's tool, a table of subcommands.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/ctl.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args, *help;
} commands[] = {
	{ "status", cmd_status, "", "is the daemon well, and what does it do" },
	{ "backends", cmd_backends, "[NAME]", "the mail servers behind it: state, reason, load, how they are judged" },
	{ "sessions", cmd_sessions, "[--limit N]", "the sessions open now, the newest first" },
	{ "counters", cmd_counters, "[--all]", "how sessions ended and what else was counted, with what it means" },
	{ "listeners", cmd_listeners, "", "certificates served, their ends, and the TLSA records to publish" },
	{ "reload", cmd_reload, "", "read certificates and lists again; on a fault nothing changes" },
	{ "drain", cmd_drain, "[--after TIME] [--wait]", "no new sessions; end when those open are over" },
	{ "log-level", cmd_log_level, "[LEVEL]", "show or set how much is logged" },
	{ "check", cmd_check, "[--json] DOMAIN", "what a DANE sender makes of a domain, and what to mend" },
	{ "front", cmd_front, "status|top|deny|allow|...", "the XDP front, also while the daemon is down" },
	{ "tune", cmd_tune, "IFACE check|plan|apply|undo", "tune a network card for the front" },
	{ "version", cmd_version, "", "print the version" },
};

int cmd_version(int argc, char **argv)
{
	puts("danelawctl " DANELAW_VERSION);
	return 0;
}

static int usage(FILE *to)
{
	fputs("usage: danelawctl COMMAND [ARG…]\n", to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-10s %-28s %s\n", commands[i].name, commands[i].args, commands[i].help);
	fputs("Those that ask the daemon take --json and --socket PATH (default " CTL_SOCKET ", or $DANELAW_SOCKET).\n"
	      "Exit status: 0 well, 1 no or a fault, 2 wrong usage, 3 the daemon could not be asked; see danelawctl(8).\n", to);
	return to == stdout ? 0 : 2;
}

static bool is(const char *arg, const char *word, const char *letter)
{
	return !strcmp(arg, word) || !strcmp(arg + strspn(arg, "-"), word) || !strcmp(arg, letter);
}

int main(int argc, char **argv)
{
	static char ask[] = "--help";

	if (argc < 2)
		return usage(stderr);
	bool help = is(argv[1], "help", "-h");

	if (is(argv[1], "version", "-V"))
		return cmd_version(1, argv + 1);
	if (help && argc < 3)
		return usage(stdout);
	if (help) { /* help COMMAND is COMMAND --help */
		argv[1] = argv[2];
		argv[2] = ask;
		argc = 3;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "danelawctl: there is no command %s\n", argv[1]);
	return usage(stderr);
}
