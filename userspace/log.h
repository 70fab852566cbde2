/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines for people and for machines: plain sentences through log_error() … log_debug(), and logfmt
 * (key=value) lines built field by field with logline_*().  Safe to call from any thread; a line is
 * written with one write(2), so lines never mix.
 *
 * Nothing here ever receives private keys, ticket secrets or mail content; callers see to that.
 */
#ifndef DANELAW_LOG_H
#define DANELAW_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * Before the first call: level info, to stderr, with "danelawd: " before each sentence.
 * name: static string put before sentences; journal: true adds the <N> priority prefix that journald reads
 * from stderr (sd-daemon(3)).
 */
void log_open(const char *name, enum log_level level, bool journal);
bool log_enabled(enum log_level level);
/* The level alone, at any time, from any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
extern const char *const log_level_names[]; /* "error", "warn", "info", "debug", NULL */

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The environment at start is not as needed: says so (with the remedy, in the text) and exits with status 1. */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* One logfmt line.  Fields beyond the buffer are dropped whole and the line ends in truncated=yes. */
#define LOGLINE_MAX 2048
struct logline {
	char text[LOGLINE_MAX];
	size_t len;
	bool truncated;
};

/* Starts a line with t=<UTC, ms>. */
void logline_begin(struct logline *l);
/*
 * A value from a peer is safe here: anything but graphic ASCII without space, '"', '=' and '\' makes it
 * quoted, with \" \\ and \xNN escapes, at most 256 bytes of it.  A NULL or empty value is written as "-".
 */
void logline_str(struct logline *l, const char *key, const char *value);
void logline_strn(struct logline *l, const char *key, const char *value, size_t len);
void logline_u64(struct logline *l, const char *key, uint64_t value);
void logline_ms(struct logline *l, const char *key, uint64_t ms); /* "12ms" */
/* Writes the line at level info. */
void logline_emit(struct logline *l);

#endif
