/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What subcommands share: options, questions to the running daemon, tables for people.
 *
 * Exit statuses of every subcommand (danelawctl(8)): 0 well; 1 the answer is no, or a fault; 2 wrong usage; 3 the daemon
 * could not be asked.  check has a finer meaning of its own for 1 to 3.
 */
#ifndef DANELAW_CTL_H
#define DANELAW_CTL_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_SOCKET "/run/danelaw/control.sock"

enum { CTL_OK = 0, CTL_NO = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

struct ctl {
	const char *socket; /* --socket, else $DANELAW_SOCKET, else CTL_SOCKET */
	bool json;	    /* --json: the daemon's own words, for scripts */
};

/* The rows of `struct option` that every subcommand which asks the daemon has; before its own. */
#define CTL_OPTIONS { "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }

void ctl_init(struct ctl *c);
/*
 * One of those options (what getopt_long() returned)?  usage: "danelawctl x [--y]", said on a fault and on --help, which
 * end the program.
 */
void ctl_option(struct ctl *c, int opt, const char *usage);
/* All options are those: parses argv, returns optind. */
int ctl_options(struct ctl *c, int argc, char **argv, const char *usage);
int ctl_usage(const char *usage); /* says it on stderr; CTL_USAGE */
/* --help ('h'), or what is no option: says the usage and ends the program. */
_Noreturn void ctl_no_option(int opt, const char *usage);

/*
 * Asks the daemon; args is an object or NULL and taken over.  The result, a new reference; or NULL after saying on stderr
 * what was wrong and, if nobody answers, what to do; then *status is the exit status.
 */
json_t *ctl_ask(const struct ctl *c, const char *verb, json_t *args, int *status);

/* Prints an answer as JSON, one document a call, and drops the reference. */
void ctl_print_json(json_t *j);

/* ---- for people ---- */

/* Members of an object; "" , 0 and false where there is none. */
const char *ctl_text(const json_t *object, const char *key);
uint64_t ctl_number(const json_t *object, const char *key);
bool ctl_true(const json_t *object, const char *key);

#define CTL_DURATION_MAX 32
/* "412ms", "5s", "3m12s", "4h07m", "12d3h" */
const char *ctl_duration(uint64_t ms, char out[CTL_DURATION_MAX]);
#define CTL_GROUPED_MAX 32
/* "912,344" */
const char *ctl_grouped(uint64_t n, char out[CTL_GROUPED_MAX]);

/*
 * A table: every cell is a copy, columns are as wide as their widest cell, the last one is not padded.  right: a string
 * with one 'l' or 'r' a column.
 */
struct ctl_table;
struct ctl_table *ctl_table_new(const char *align, const char *const *heads); /* heads NULL: no head line */
void ctl_cell(struct ctl_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ctl_table_print(struct ctl_table *t, const char *indent); /* and frees it */

#endif
