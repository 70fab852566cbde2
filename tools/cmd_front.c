/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front: the XDP front by its pinned maps, a table of its own subcommands. */
#include <string.h>

#include "tools/cmd.h"
#include "tools/front_tool.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args, *help;
} commands[] = {
	{ "status", front_status, "", "where it is attached, in which mode; programs, steering, limits, maps" },
	{ "top", front_top, "[--interval TIME] [--count N] [--all]", "packets a second by reason, with the newest source" },
	{ "deny", front_deny, "list | add PREFIX... | del PREFIX...", "the deny list made by hand; add: [--comment TEXT] [--for TIME]" },
	{ "allow", front_allow, "list | add PREFIX... | del PREFIX...", "the allow list made by hand, likewise" },
	{ "lists", front_lists, "[--top N]", "all lists, the verified lane, blocked sources: entries and hits" },
	{ "events", front_events, "[--reason X] [--count N] [--pcap FILE|-]", "samples of what is dropped, as it is dropped" },
	{ "profile", front_profile, "[--for TIME]", "ns a packet and share of a CPU" },
};

static int usage(FILE *to)
{
	fputs("usage: danelawctl front COMMAND [ARG…]\n", to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %-41s %s\n", commands[i].name, commands[i].args, commands[i].help);
	fputs("All take --json and --pins DIR (default " FRONT_PIN_DIR "), need root, and need no running daemon.\n", to);
	return to == stdout ? CTL_OK : CTL_USAGE;
}

int cmd_front(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return usage(stdout);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "danelawctl: front has no command %s\n", argv[1]);
	return usage(stderr);
}
