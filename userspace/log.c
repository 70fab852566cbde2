/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One write(2) a line and no lock: a line is built on the caller's stack, so threads never wait for each
 * other, and a line that the reader does not take (stderr is a full non-blocking pipe) is dropped rather
 * than stopping mail.  Control characters never reach the log as themselves: what a peer sends cannot
 * start a line of its own or move an operator's cursor.
 */
#include "userspace/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SENTENCE_MAX 1024
#define VALUE_MAX 256
#define TRUNCATED " truncated=yes"
/* A field may fill the line up to here: the rest is for TRUNCATED and the newline. */
#define FIELDS_MAX (LOGLINE_MAX - sizeof(TRUNCATED))

static const char *log_name = "danelawd";
static enum log_level log_level = LOG_LEVEL_INFO;
static bool log_journal;

/* Priorities of syslog(3), as sd-daemon(3) wants them before a line. */
static const char *const journal_prefix[] = {
	[LOG_LEVEL_ERROR] = "<3>",
	[LOG_LEVEL_WARN] = "<4>",
	[LOG_LEVEL_INFO] = "<6>",
	[LOG_LEVEL_DEBUG] = "<7>",
};

const char *const log_level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL,
};

void log_open(const char *name, enum log_level level, bool journal)
{
	log_name = name;
	log_journal = journal;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level, level, __ATOMIC_RELAXED);
}

enum log_level log_get_level(void)
{
	return __atomic_load_n(&log_level, __ATOMIC_RELAXED);
}

bool log_enabled(enum log_level level)
{
	return level <= log_get_level();
}

static void write_line(const char *line, size_t len)
{
	int saved = errno;
	ssize_t n;

	do {
		n = write(STDERR_FILENO, line, len);
	} while (n < 0 && errno == EINTR);
	errno = saved;
}

/* Copies text with control characters as \xNN; cuts at size.  Returns the length. */
static size_t put_sentence(char *out, size_t size, const char *text)
{
	size_t len = 0;

	for (; *text && len + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			len += (size_t)snprintf(out + len, size - len, "\\x%02x", c);
		else
			out[len++] = (char)c;
	}
	return len;
}

static void say(enum log_level level, const char *fmt, va_list args)
{
	char text[SENTENCE_MAX], line[SENTENCE_MAX + 64];
	size_t len;

	if (!log_enabled(level))
		return;
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		return;
	len = (size_t)snprintf(line, 64, "%s%.48s: ", log_journal ? journal_prefix[level] : "", log_name);
	len += put_sentence(line + len, sizeof(line) - len, text);
	line[len++] = '\n';
	write_line(line, len);
}

#define SAY(function, level)                          \
	void function(const char *fmt, ...)           \
	{                                             \
		va_list args;                         \
                                                      \
		va_start(args, fmt);                  \
		say(level, fmt, args);                \
		va_end(args);                         \
	}

SAY(log_error, LOG_LEVEL_ERROR)
SAY(log_warn, LOG_LEVEL_WARN)
SAY(log_info, LOG_LEVEL_INFO)
SAY(log_debug, LOG_LEVEL_DEBUG)

void log_fatal(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(LOG_LEVEL_ERROR, fmt, args);
	va_end(args);
	exit(1);
}

void logline_begin(struct logline *l)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	l->truncated = false;
	l->len = strftime(l->text, sizeof(l->text), "t=%Y-%m-%dT%H:%M:%S", &tm);
	l->len += (size_t)snprintf(l->text + l->len, sizeof(l->text) - l->len, ".%03ldZ", now.tv_nsec / 1000000);
}

/* " key=value" if it fits whole. */
static void put_field(struct logline *l, const char *key, const char *value, size_t len)
{
	size_t key_len = strlen(key);

	if (l->len + key_len + len + 2 > FIELDS_MAX) {
		l->truncated = true;
		return;
	}
	l->text[l->len++] = ' ';
	memcpy(l->text + l->len, key, key_len);
	l->len += key_len;
	l->text[l->len++] = '=';
	memcpy(l->text + l->len, value, len);
	l->len += len;
}

static bool is_bare(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

void logline_strn(struct logline *l, const char *key, const char *value, size_t len)
{
	char quoted[4 * VALUE_MAX + 2];
	size_t i, n = 0;

	if (!value || len == 0) {
		put_field(l, key, "-", 1);
		return;
	}
	if (len > VALUE_MAX)
		len = VALUE_MAX;
	for (i = 0; i < len && is_bare((unsigned char)value[i]); i++)
		;
	/* a value that is "-" itself is quoted: the bare one means "none" */
	if (i == len && !(len == 1 && value[0] == '-')) {
		put_field(l, key, value, len);
		return;
	}
	quoted[n++] = '"';
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c == '"' || c == '\\') {
			quoted[n++] = '\\';
			quoted[n++] = (char)c;
		} else if (c >= 0x20 && c < 0x7f) {
			quoted[n++] = (char)c;
		} else {
			static const char hex[] = "0123456789abcdef";

			quoted[n++] = '\\';
			quoted[n++] = 'x';
			quoted[n++] = hex[c >> 4];
			quoted[n++] = hex[c & 15];
		}
	}
	quoted[n++] = '"';
	put_field(l, key, quoted, n);
}

void logline_str(struct logline *l, const char *key, const char *value)
{
	logline_strn(l, key, value, value ? strlen(value) : 0);
}

void logline_u64(struct logline *l, const char *key, uint64_t value)
{
	char text[24];

	put_field(l, key, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)value));
}

void logline_ms(struct logline *l, const char *key, uint64_t ms)
{
	char text[24];

	put_field(l, key, text, (size_t)snprintf(text, sizeof(text), "%llums", (unsigned long long)ms));
}

void logline_emit(struct logline *l)
{
	char line[LOGLINE_MAX + 4];
	size_t len = 0;

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	if (log_journal) {
		len = strlen(journal_prefix[LOG_LEVEL_INFO]);
		memcpy(line, journal_prefix[LOG_LEVEL_INFO], len);
	}
	memcpy(line + len, l->text, l->len);
	len += l->len;
	if (l->truncated) {
		memcpy(line + len, TRUNCATED, sizeof(TRUNCATED) - 1);
		len += sizeof(TRUNCATED) - 1;
	}
	line[len++] = '\n';
	write_line(line, len);
}
