/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file as text, made fit for libconfuse's lexer.  That lexer counts a comment's line two or three times,
 * skips characters it does not know without a word, lets a string run on to the end of the file and then
 * stays in that state for the next file that the process reads (version 3.3).  So comments are blanked
 * here, and what it would swallow is reported with its line and never shown to it.
 */
#include "userspace/config_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 3 /* a section, a list in it, and one for what is misplaced */

struct scan {
	struct config_reading *r;
	size_t file;
	char *p;
	int line, depth;
	int open_line; /* of the outermost "{" */
	bool ok;
};

static void fault(struct scan *s, const char *text)
{
	config_report_add(&s->r->report, s->file, s->line, "%s", text);
	s->ok = false;
}

/* ${NAME} or ${NAME:-default}, on one line: the lexer puts the environment variable in its place. */
static void scan_variable(struct scan *s)
{
	size_t len = strcspn(s->p, "}\n\"'\001");

	if (s->p[len] != '}') {
		fault(s, "\"${\" has no closing \"}\"");
		s->p += 2;
		return;
	}
	s->p += len + 1;
}

/* A string in quotes ends on its line: one that does not has lost its quote. */
static void scan_string(struct scan *s)
{
	char quote = *s->p++;

	for (;;) {
		if (*s->p == quote) {
			s->p++;
			return;
		}
		if (*s->p == '\n' || *s->p == '\0') {
			fault(s, "a string has no closing quote on its line");
			return;
		}
		if ((unsigned char)*s->p < 0x20 || *s->p == 0x7f) {
			fault(s, "a control character in a string");
			s->p++;
		} else if (quote == '"' && s->p[0] == '$' && s->p[1] == '{') {
			scan_variable(s);
		} else if (*s->p == '\\' && s->p[1] != '\n') {
			if (quote == '"' && !strchr("\\\"'$", s->p[1]))
				fault(s, "in a string \"\\\" may stand only before \", \\ and $");
			s->p += 2;
		} else {
			s->p++;
		}
	}
}

static void blank_line_comment(struct scan *s)
{
	while (*s->p && *s->p != '\n')
		*s->p++ = ' ';
}

static void blank_block_comment(struct scan *s)
{
	char *end = strstr(s->p + 2, "*/");

	if (!end) {
		fault(s, "\"/*\" has no closing \"*/\"");
		s->p += strlen(s->p);
		return;
	}
	for (; s->p < end + 2; s->p++) {
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
	}
}

/* A character between strings and comments that is not a word's. */
static void scan_mark(struct scan *s)
{
	switch (*s->p) {
	case '\n':
		s->line++;
		break;
	case '{':
		if (s->depth == 0)
			s->open_line = s->line;
		if (++s->depth == DEPTH_MAX)
			fault(s, "\"{\" three deep: is a \"}\" missing above?");
		break;
	case '}':
		s->depth -= s->depth > 0;
		break;
	case ';':
		fault(s, "\";\" is not used here: a setting ends with its line");
		break;
	case '+':
		if (s->p[1] != '=')
			fault(s, "a stray \"+\": put values in quotes");
		break;
	case '*':
		fault(s, "a stray \"*\": put values in quotes");
		break;
	case '(':
	case ')':
		fault(s, "\"(\" and \")\" are not used here: NAME = VALUE, or NAME = {VALUE, VALUE}");
		break;
	case '\r':
		if (s->p[1] != '\n')
			fault(s, "a carriage return in mid-line");
		*s->p = ' ';
		break;
	default:
		if (((unsigned char)*s->p < 0x20 && *s->p != '\t') || *s->p == 0x7f)
			fault(s, "a control character: is this a text file?");
	}
	s->p++;
}

static bool scan(struct config_reading *r, size_t file, char *text)
{
	static const char marks[] = " \t\n\r{}()=+,*;\"'#";
	struct scan s = { .r = r, .file = file, .p = text, .line = 1, .ok = true };

	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
		memset(text, ' ', 3);
	while (*s.p && s.depth < DEPTH_MAX) {
		if (*s.p == '#' || (s.p[0] == '/' && s.p[1] == '/'))
			blank_line_comment(&s);
		else if (s.p[0] == '/' && s.p[1] == '*')
			blank_block_comment(&s);
		else if (*s.p == '"' || *s.p == '\'')
			scan_string(&s);
		else if (s.p[0] == '$' && s.p[1] == '{')
			scan_variable(&s);
		else if (strchr(marks, *s.p) || (unsigned char)*s.p < 0x20 || *s.p == 0x7f)
			scan_mark(&s);
		else /* a word: comments begin only before one, so that http://x is one */
			while (*s.p && !strchr(marks, *s.p) && (unsigned char)*s.p >= 0x20 && *s.p != 0x7f)
				s.p++;
	}
	if (s.depth > 0 && s.depth < DEPTH_MAX) {
		s.line = s.open_line;
		fault(&s, "\"{\" has no closing \"}\"");
	}
	return s.ok;
}

/* The whole of a file, at most max bytes and a newline; NULL: says why. */
static char *slurp(struct config_reading *r, FILE *in, size_t *len, const char **why)
{
	size_t room = 65536, n = 0;
	char *text = NULL;

	for (;;) {
		text = realloc(text, room + 2);
		if (!text)
			log_fatal("out of memory");
		n += fread(text + n, 1, room - n, in);
		if (r->bytes + n > CONFIG_FILE_MAX) {
			*why = "the configuration is larger than 16 MB";
			free(text);
			return NULL;
		}
		if (n < room)
			break;
		room *= 2;
	}
	*why = ferror(in) ? strerror(errno) : memchr(text, '\0', n) ? "has NUL bytes: is this a text file?" : NULL;
	if (*why) {
		free(text);
		return NULL;
	}
	text[n++] = '\n';
	text[n] = '\0';
	*len = n;
	r->bytes += n;
	return text;
}

bool config_text_load(struct config_reading *r, FILE *in, const char *name, size_t file, int line)
{
	const char *why = NULL;
	size_t count = r->c->file_count, len;
	struct config_text *t;
	struct stat st;
	char *text;

	r->c->files = config_list_grow(r->c->files, &r->c->file_count, sizeof(char *));
	r->c->files[count] = config_strdup(name);
	r->texts = config_list_grow(r->texts, &count, sizeof(*t));
	t = &r->texts[count - 1];
	if (fileno(in) >= 0 && fstat(fileno(in), &st) == 0) {
		t->dev = st.st_dev;
		t->ino = st.st_ino;
	}
	text = slurp(r, in, &len, &why);
	if (!text) {
		if (line)
			config_report_add(&r->report, file, line, "include: %s: %s", name, why);
		else
			config_report_add(&r->report, file, 0, "%s", why);
		r->syntax = true;
		return false;
	}
	if (!scan(r, r->c->file_count - 1, text)) {
		r->syntax = true;
		free(text);
		return false;
	}
	t->text = text;
	t->len = len;
	return true;
}

static bool is_known(const struct config_reading *r, int fd)
{
	struct stat st;
	size_t i;

	if (fstat(fd, &st))
		return false;
	for (i = 0; i < r->c->file_count; i++) {
		if (r->texts[i].ino && r->texts[i].ino == st.st_ino && r->texts[i].dev == st.st_dev)
			return true;
	}
	return false;
}

static void include_one(struct config_reading *r, const char *path, size_t file, int line)
{
	const char *why = NULL;
	struct stat st;
	FILE *in = NULL;
	int fd;

	/* without O_NONBLOCK a fifo would hold us for ever */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		why = strerror(errno);
	else if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		why = "not a regular file";
	else if (is_known(r, fd))
		why = "is read already: each file is included once";
	else if (r->c->file_count >= CONFIG_FILES_MAX)
		why = "more than 200 files";
	else if (!(in = fdopen(fd, "r")))
		why = strerror(errno);
	if (why) {
		config_report_add(&r->report, file, line, "include: %s: %s", path, why);
		r->syntax = true;
		if (fd >= 0)
			close(fd);
		return;
	}
	config_text_load(r, in, path, file, line);
	fclose(in);
}

void config_text_include(struct config_reading *r, const char *path, size_t file, int line)
{
	const char *from = r->c->files[file], *slash = strrchr(from, '/');
	int dir_len = path[0] == '/' || !slash ? 0 : (int)(slash - from + 1);
	char full[4096];
	glob_t found;
	size_t i;

	if ((size_t)snprintf(full, sizeof(full), "%.*s%s", dir_len, from, path) >= sizeof(full) || !*path) {
		config_report_add(&r->report, file, line, "include = \"%.80s\" is not the path of a file", path);
		return;
	}
	if (!strpbrk(path, "*?[")) {
		include_one(r, full, file, line);
		return;
	}
	slash = strrchr(path, '/');
	if (slash && strcspn(path, "*?[") < (size_t)(slash - path)) {
		config_report_add(&r->report, file, line, "include = \"%.80s\": *, ? and [] may stand only in the last part", path);
		return;
	}
	if (glob(full, 0, NULL, &found) == 0) {
		for (i = 0; i < found.gl_pathc; i++)
			include_one(r, found.gl_pathv[i], file, line);
		globfree(&found);
	}
}
