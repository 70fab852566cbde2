/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The subcommands of danelawctl.  A new one is a cmd_x.c, a prototype here, a row in danelawctl.c and a section in
 * docs/danelawctl.8.
 */
#ifndef DANELAW_CMD_H
#define DANELAW_CMD_H

/* argv[0] is the subcommand's name; options by getopt_long().  Returns the exit status: 2 is a usage error (check: 64). */
int cmd_backends(int argc, char **argv);
int cmd_counters(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_front(int argc, char **argv);
int cmd_listeners(int argc, char **argv);
int cmd_log_level(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_sessions(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_check(int argc, char **argv); /* its own: 0 verified, 1 defer or bounce, 2 without authentication, 3 could not tell */
int cmd_tune(int argc, char **argv);

#endif
