/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the config room share.  One reading goes
 *
 *   config_text   loads a file, blanks its comments, finds what the lexer would swallow or choke on
 *   config_parse  libconfuse: sections, names, values, their lines; calls config_value for each value
 *   config_check  what only the whole shows: references, what is missing, what overlaps
 *   config_report the faults on their way, sorted by file and line
 *
 * and all of them go by config_table: one row a setting.
 */
#ifndef DANELAW_CONFIG_PARTS_H
#define DANELAW_CONFIG_PARTS_H

#include "userspace/config.h"

#define CONFIG_FILE_MAX (16u << 20) /* bytes of all files together: 10,000 certificates are about 1 MB */
#define CONFIG_FILES_MAX 200	    /* the file and its includes */
#define CONFIG_FAULTS_MAX 100	    /* reported; more are only counted */

/* ---- the table ---- */

enum config_section_id {
	SECTION_TOP, SECTION_FRONT, SECTION_TLS, SECTION_LIMITS, SECTION_TIMEOUTS, SECTION_RELAY, SECTION_HEALTH,
	SECTION_DNS, SECTION_CERTIFICATE, SECTION_BACKEND, SECTION_POOL, SECTION_POLICY, SECTION_LISTENER, SECTION_COUNT
};

struct config_section {
	const char *name;
	size_t offset;	     /* in struct config: of the struct, or of the pointer to the array of items */
	/* of titled sections, which may stand many times; item_size 0: not titled */
	size_t item_size, count_offset;
	size_t file_offset, line_offset; /* in the item; its name is its first field */
};
extern const struct config_section config_sections[SECTION_COUNT];

enum config_kind {
	/* field */
	KIND_TEXT,	/* char *, of .min to .max bytes */
	KIND_PATH,	/* char *: an absolute path */
	KIND_HOSTNAME,	/* char * */
	KIND_LISTEN,	/* char *: "ADDRESS:PORT" */
	KIND_ENDPOINT,	/* char *host; the port (uint16_t) at .more; "HOST", "HOST:PORT"; .min: the default port */
	KIND_NUMBER,	/* unsigned integer of .width */
	KIND_SIZE,	/* bytes, unsigned integer of .width: 64k, 50m */
	KIND_TIME,	/* ms, unsigned integer of .width: 300ms, 20s, 5m, 1h, 7d */
	KIND_YESNO,	/* bool */
	KIND_CHOICE,	/* int: .min for the first of .choices, and so on */
	/* lists: a pointer to an array, its count (size_t) at .more */
	KIND_PATHS,	/* char ** */
	KIND_WORDS,	/* char **, each of .min to .max bytes */
	KIND_ADDRESSES, /* struct in6_addr * */
	KIND_PREFIXES,	/* struct net_prefix * */
	KIND_REFS,	/* size_t *: indexes of items of section .target */
	/* others */
	KIND_REF,	/* size_t: an index of an item of section .target */
	KIND_INCLUDE	/* no field */
};

struct config_setting {
	enum config_section_id section;
	const char *name;
	enum config_kind kind;
	size_t offset, width, more;
	uint64_t min, max;
	const char *choices; /* "native|off" */
	enum config_section_id target;
	const char *def;     /* as it would stand in the file; of a list: its only member */
	bool required;
};
extern const struct config_setting config_settings[];
extern const size_t config_setting_count;

/* NULL if there is none of that name. */
const struct config_setting *config_setting_find(enum config_section_id section, const char *name);
bool config_kind_is_list(enum config_kind kind);

/* ---- values ---- */

/*
 * Puts text into the field of the row at base (the section's struct); a list grows by it.  0, or -EINVAL with
 * the end of the sentence `NAME = "TEXT" …` in err.  References and includes are not for here.
 */
int config_value_set(const struct config_setting *row, void *base, const char *text, char *err, size_t err_size);
void config_value_free(const struct config_setting *row, void *base);
/* One more element of size bytes, zeroed, for the list at *list; dies when there is no memory. */
void *config_list_grow(void *list, size_t *count, size_t size);
char *config_strdup(const char *text);

/* ---- faults ---- */

struct config_fault {
	size_t file;
	int line;
	size_t order;
	char *text;
};
struct config_report {
	struct config_fault *faults;
	size_t count;	 /* in faults */
	size_t unlisted; /* beyond CONFIG_FAULTS_MAX */
};
/* line 0: of the file as a whole, reported last. */
void config_report_add(struct config_report *r, size_t file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Hands the faults over, sorted; names[file] is the file's name. */
void config_report_tell(struct config_report *r, char *const *names, config_complain *complain, void *ctx);
void config_report_clear(struct config_report *r);

/* The candidate that text was probably meant to be: best is it, NULL if none is near. */
struct config_meant {
	const char *text, *best;
	size_t distance;
};
void config_meant_try(struct config_meant *m, const char *candidate);
/* ` Did you mean "best"?` or "". */
const char *config_meant_text(const struct config_meant *m, char *buf, size_t size);

/* ---- one reading ---- */

struct config_text {
	char *text; /* ends in "\n\0"; comments blanked */
	size_t len;
	uint64_t dev, ino; /* to know a file again; 0, 0: not a file of its own */
};

struct config_ref {
	const struct config_setting *row;
	size_t item; /* index of the item that refers */
	char *name;
	size_t file;
	int line;
};

struct config_place {
	size_t file;
	int line;
};

struct config_reading {
	struct config *c;
	struct config_report report;
	struct config_text *texts; /* [i] is the text of c->files[i] */
	size_t bytes;		   /* of all of them */
	struct config_ref *refs;
	size_t ref_count;
	/* where each setting was set, by its index in config_settings (of a titled section: in its last item); line 0: nowhere */
	struct config_place *set;
	bool syntax;		   /* a fault after which not everything was read */
	bool stranger;		   /* something unknown was skipped: what is missing may only be misspelled */
};

/*
 * Loads the file from in, appends it to c->files, reports what is wrong with it as text; file and line: of
 * the include (or 0, 0).  False: there is nothing to parse.
 */
bool config_text_load(struct config_reading *r, FILE *in, const char *name, size_t file, int line);
/* Opens path (relative to the folder of the file that includes it; the last part may have * ? []) and loads it. */
void config_text_include(struct config_reading *r, const char *path, size_t file, int line);

/* Parses all texts, includes as they come, into r->c; defaults are filled in. */
void config_parse(struct config_reading *r);
/* References, missing settings and contradictions. */
void config_check(struct config_reading *r);

/* The struct that the rows of a section are about; item: its index, for titled ones. */
void *config_base(struct config *c, enum config_section_id section, size_t item);
size_t config_item_count(const struct config *c, enum config_section_id section);
const char *config_item_name(struct config *c, enum config_section_id section, size_t item);

#endif
