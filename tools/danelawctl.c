/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * danelawctl: the operator's tool, a table of subcommands.
 */
#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args, *help;
} commands[] = {
	{ "status", cmd_status, "[--json] [--socket PATH]", "is the daemon well, and what does it do" },
	{ "check", cmd_check, "[--json] DOMAIN", "what a DANE sender makes of a domain, and what to mend" },
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
		fprintf(to, "  %-10s %-24s %s\n", commands[i].name, commands[i].args, commands[i].help);
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return usage(stdout);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "danelawctl: there is no command %s\n", argv[1]);
	return usage(stderr);
}
