/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libconfuse, and the only file that knows it.  It does the grammar and the lines; every setting is a list of
 * strings to it, whose values reach us one by one through a callback, so that a wrong value is reported and
 * reading goes on.  What it cannot go on from:
 *
 *  - an unknown name ends its parse.  Another parse is then made in which that name is known and complained
 *    of (a section: if it is like one of ours), until no new one turns up: so all are reported at once;
 *  - bad syntax.  What was found before is reported, what is behind it must wait.
 *
 * A section begins without a callback.  Each titled one has a hidden list whose default is parsed when the
 * section is entered: that calls us with the line of its head.  Callbacks carry no pointer of ours, hence the
 * one file-level variable.
 */
#include "userspace/config_parts.h"

#include <confuse.h>
#include <stdlib.h>
#include <string.h>

#define PASSES_MAX 50 /* one for each unknown name */
#define BEGIN " begin"
#define BEGIN_MARK "\001" /* no file has it: config_text.c */

/* A name that the table does not have. */
struct stranger {
	enum config_section_id section;
	char *name;
	enum config_section_id like; /* it is followed by no "=": a section like this one; TOP: not a section */
};

struct parse {
	struct config_reading *r;
	size_t file;		/* being read */
	struct stranger *strangers;
	size_t stranger_count;
	bool new_stranger;
	/* includes named so far and not yet read */
	struct pending {
		char *path;
		struct config_place at;
	} *pending;
	size_t pending_count;
};

static struct parse *parse;

static struct stranger *stranger_find(enum config_section_id section, const char *name)
{
	size_t i;

	for (i = 0; i < parse->stranger_count; i++) {
		struct stranger *s = &parse->strangers[i];

		if (s->section == section && strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static struct stranger *strange_section(const cfg_t *cfg)
{
	struct stranger *s = stranger_find(SECTION_TOP, cfg->name);

	return s && s->like != SECTION_TOP ? s : NULL;
}

/* Of an unknown section: the one it is like. */
static enum config_section_id section_of(const cfg_t *cfg)
{
	const struct stranger *s = strange_section(cfg);
	enum config_section_id id;

	for (id = SECTION_FRONT; id < SECTION_COUNT; id++) {
		if (strcmp(config_sections[id].name, cfg->name) == 0)
			return id;
	}
	return s ? s->like : SECTION_TOP;
}

static enum config_section_id section_like(const char *name)
{
	struct config_meant meant = { .text = name };
	enum config_section_id id, best = SECTION_TOP;

	for (id = SECTION_FRONT; id < SECTION_COUNT; id++) {
		config_meant_try(&meant, config_sections[id].name);
		if (meant.best == config_sections[id].name)
			best = id;
	}
	return best;
}

/* `backend "mx-a": `, `limits: ` or nothing. */
static const char *where(const cfg_t *cfg, char buf[160])
{
	buf[0] = '\0';
	if (strange_section(cfg))
		return buf;
	if (cfg->title)
		snprintf(buf, 160, "%s \"%.80s\": ", cfg->name, cfg->title);
	else if (section_of(cfg) != SECTION_TOP)
		snprintf(buf, 160, "%s: ", cfg->name);
	return buf;
}

#define FAULT(cfg, fmt, ...)                                                                                    \
	do {                                                                                                    \
		char where_[160];                                                                               \
		config_report_add(&parse->r->report, parse->file, (cfg)->line, "%s" fmt, where(cfg, where_), \
				  ##__VA_ARGS__);                                                               \
	} while (0)

/* ---- unknown names ---- */

/* Says what is unknown, and what was perhaps meant. */
static void complain_of_stranger(const cfg_t *cfg, const char *name, bool is_section)
{
	enum config_section_id here = is_section && strange_section(cfg) ? SECTION_TOP : section_of(cfg), id;
	struct config_meant meant = { .text = name };
	const char *home = NULL;
	char hint[80];
	size_t i;

	for (i = 0; i < config_setting_count; i++) {
		if (config_settings[i].section == here)
			config_meant_try(&meant, config_settings[i].name);
		else if (!home && strcmp(config_settings[i].name, name) == 0)
			home = config_sections[config_settings[i].section].name;
	}
	for (id = SECTION_FRONT; id < SECTION_COUNT; id++) {
		if (here == SECTION_TOP)
			config_meant_try(&meant, config_sections[id].name);
		else if (strcmp(config_sections[id].name, name) == 0) {
			FAULT(cfg, "the section %s stands inside another: is a \"}\" missing above?", name);
			return;
		}
	}
	if (home && !meant.best)
		FAULT(cfg, "%s is not a setting of this place%s%s%s", name, *home ? " but of a " : " but of the top of the file",
		      home, *home ? " section" : "");
	else
		FAULT(cfg, "unknown %s \"%.80s\"%s", is_section ? "section" : "setting", name,
		      config_meant_text(&meant, hint, sizeof(hint)));
}

static void add_stranger(const cfg_t *cfg, const char *name)
{
	enum config_section_id section = section_of(cfg);

	parse->r->stranger = true;
	if (stranger_find(section, name) || parse->stranger_count >= PASSES_MAX) {
		complain_of_stranger(cfg, name, false);
		parse->r->syntax = true;
		return;
	}
	parse->strangers = config_list_grow(parse->strangers, &parse->stranger_count, sizeof(*parse->strangers));
	parse->strangers[parse->stranger_count - 1] = (struct stranger){ section, config_strdup(name), SECTION_TOP };
	parse->new_stranger = true;
}

/* No "=" follows its name, so it was meant for a section. */
static void make_section(const cfg_t *cfg, struct stranger *s)
{
	s->like = section_of(cfg) == SECTION_TOP ? section_like(s->name) : SECTION_TOP;
	if (s->like != SECTION_TOP) {
		parse->new_stranger = true;
		return;
	}
	complain_of_stranger(cfg, s->name, true);
	parse->r->syntax = true;
}

/* ---- libconfuse's complaints ---- */

static const struct {
	const char *theirs, *ours; /* both with one %s or none */
} wordings[] = {
	{ "premature end of file", "the file ends in the middle of a section or a setting: is a \"}\" missing?" },
	{ "unexpected closing brace", "\"}\" without a \"{\" before it" },
	{ "unexpected token '%s'", "unexpected \"%.80s\"" },
	{ "missing equal sign after option '%s'", "%.80s: \"=\" is missing behind it" },
	{ "missing opening brace for section '%s'", "%.80s: \"{\" is missing" },
	/* a quoted name with "|" or "=" in it is a path to the library */
	{ "no sub-section title/index for '%s'", "unknown setting \"%.80s\"" },
	{ "no sub-section '%s' in '%s'", "unknown setting \"%.80s\"" },
	{ "missing title for section '%s'", "%.80s needs a name before its \"{\"" },
};

/* All of them come here, so nothing is printed by the library. */
static void on_complaint(cfg_t *cfg, const char *fmt, va_list args)
{
	static const char no_equal[] = "missing equal sign after option '%s'";
	const char *word = strstr(fmt, "%s") ? va_arg(args, const char *) : "";
	struct stranger *stranger;
	size_t i;

	if (strcmp(fmt, "no such option '%s'") == 0) {
		add_stranger(cfg, word);
		return;
	}
	stranger = strcmp(fmt, no_equal) == 0 ? stranger_find(section_of(cfg), word) : NULL;
	if (stranger) {
		make_section(cfg, stranger);
		return;
	}
	parse->r->syntax = true;
	for (i = 0; i < sizeof(wordings) / sizeof(wordings[0]); i++) {
		if (strcmp(fmt, wordings[i].theirs) == 0) {
			char text[200];

			snprintf(text, sizeof(text), wordings[i].ours, word);
			FAULT(cfg, "%s", text);
			return;
		}
	}
	FAULT(cfg, "the syntax is wrong here (%s, %.80s)", fmt, word);
}

/* ---- sections and values ---- */

static bool name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static void forget_set(enum config_section_id section)
{
	size_t i;

	for (i = 0; i < config_setting_count; i++) {
		if (config_settings[i].section == section)
			parse->r->set[i].line = 0;
	}
}

/* Rows of a section that the file did not set. */
static void fill_in(enum config_section_id section, size_t item)
{
	struct config *c = parse->r->c;
	void *base = config_base(c, section, item);
	char err[256];
	size_t i;

	for (i = 0; i < config_setting_count; i++) {
		const struct config_setting *row = &config_settings[i];

		if (row->section != section || parse->r->set[i].line)
			continue;
		if (row->def && config_value_set(row, base, row->def, err, sizeof(err)))
			log_fatal("the default of %s is wrong: it %s", row->name, err);
		if (!row->required || parse->r->stranger || parse->r->syntax)
			continue;
		if (config_sections[section].item_size)
			config_report_add(&parse->r->report, parse->file,
					  *(int *)((char *)base + config_sections[section].line_offset),
					  "%s \"%.80s\": %s is missing", config_sections[section].name,
					  config_item_name(c, section, item), row->name);
		else
			config_report_add(&parse->r->report, 0, 0, "%s is missing", row->name);
	}
}

/* What is left to do for the last titled section: the next one begins, or the file is over. */
static void end_item(void)
{
	enum config_section_id id;

	for (id = SECTION_TOP; id < SECTION_COUNT; id++) {
		const struct config_section *s = &config_sections[id];
		size_t n;

		if (!s->item_size)
			continue;
		n = config_item_count(parse->r->c, id);
		if (n && *(int *)((char *)config_base(parse->r->c, id, n - 1) + s->line_offset) < 0) {
			int *line = (int *)((char *)config_base(parse->r->c, id, n - 1) + s->line_offset);

			*line = -*line;
			fill_in(id, n - 1);
		}
	}
}

static void begin_item(cfg_t *cfg)
{
	enum config_section_id id = section_of(cfg);
	const struct config_section *s = &config_sections[id];
	struct config *c = parse->r->c;
	size_t *count = (size_t *)((char *)c + s->count_offset), i, n;
	char **list = (char **)((char *)c + s->offset);
	const char *title = cfg->title ? cfg->title : "";
	char *item;

	end_item();
	forget_set(id);
	if (!name_ok(title))
		FAULT(cfg, "\"%.80s\" is no name for a %s (1 to 63 letters, digits and . _ -)", title, cfg->name);
	n = *count;
	for (i = 0; i < n; i++) {
		if (strcmp(config_item_name(c, id, i), title) == 0) {
			const char *base = config_base(c, id, i);

			FAULT(cfg, "defined twice, first at %s:%d", *(const char *const *)(base + s->file_offset),
			      *(const int *)(base + s->line_offset));
			break;
		}
	}
	*list = config_list_grow(*list, count, s->item_size);
	item = config_base(c, id, n);
	*(char **)item = config_strdup(title);
	*(const char **)(item + s->file_offset) = c->files[parse->file];
	*(int *)(item + s->line_offset) = -cfg->line; /* below zero: open */
}

static void take_ref(const cfg_t *cfg, const struct config_setting *row, size_t item, const char *value)
{
	struct config_reading *r = parse->r;

	r->refs = config_list_grow(r->refs, &r->ref_count, sizeof(*r->refs));
	r->refs[r->ref_count - 1] = (struct config_ref){ row, item, config_strdup(value), parse->file, cfg->line };
}

static void take_include(const cfg_t *cfg, const char *value)
{
	parse->pending = config_list_grow(parse->pending, &parse->pending_count, sizeof(*parse->pending));
	parse->pending[parse->pending_count - 1] =
		(struct pending){ config_strdup(value), { parse->file, cfg->line } };
}

static void take_value(const cfg_t *cfg, const struct config_setting *row, const char *value)
{
	const struct config_section *s = &config_sections[row->section];
	size_t item = s->item_size ? config_item_count(parse->r->c, row->section) - 1 : 0;
	char err[256];

	if (row->kind == KIND_INCLUDE)
		take_include(cfg, value);
	else if (row->kind == KIND_REF || row->kind == KIND_REFS)
		take_ref(cfg, row, item, value);
	else if (config_value_set(row, config_base(parse->r->c, row->section, item), value, err, sizeof(err)))
		FAULT(cfg, "%s = \"%.80s\" %s", row->name, value, err);
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	enum config_section_id section = section_of(cfg);
	const struct config_setting *row = config_setting_find(section, opt->name);
	bool first = opt->nvalues <= 1; /* of this "=": each empties the list */
	struct config_place *set;

	*(const char **)result = value;
	if (strcmp(opt->name, BEGIN) == 0 && strcmp(value, BEGIN_MARK) == 0) {
		if (strange_section(cfg)) {
			parse->r->stranger = true;
			complain_of_stranger(cfg, cfg->name, true);
		} else {
			begin_item(cfg);
		}
		return 0;
	}
	if (!row) {
		if (first) {
			parse->r->stranger = true;
			complain_of_stranger(cfg, opt->name, false);
		}
		return 0;
	}
	if (strange_section(cfg))
		return 0;
	set = &parse->r->set[row - config_settings];
	if (row->kind == KIND_INCLUDE || set->line == 0 || (config_kind_is_list(row->kind) && !first)) {
		if (set->line == 0)
			*set = (struct config_place){ parse->file, cfg->line };
		take_value(cfg, row, value);
	} else if (!first) {
		FAULT(cfg, "%s takes one value", row->name);
	} else {
		FAULT(cfg, "%s is set twice, first at %s:%d", row->name, parse->r->c->files[set->file], set->line);
	}
	return 0;
}

/* ---- libconfuse's tables, made from ours ---- */

/* The settings of a section, behind what is in out. */
static void add_settings(cfg_opt_t *out, enum config_section_id section)
{
	size_t i, n = 0;

	while (out[n].name)
		n++;
	for (i = 0; i < config_setting_count; i++) {
		if (config_settings[i].section == section)
			out[n++] = (cfg_opt_t)CFG_STR_LIST_CB(config_settings[i].name, 0, CFGF_NONE, on_value);
	}
	for (i = 0; i < parse->stranger_count; i++) {
		const struct stranger *s = &parse->strangers[i];

		if (s->section == section && s->like == SECTION_TOP)
			out[n++] = (cfg_opt_t)CFG_STR_LIST_CB(s->name, 0, CFGF_NONE, on_value);
	}
}

/* A section called name with the settings of section id, made in sub.  multi: it tells us when it begins. */
static cfg_opt_t new_section(cfg_opt_t *sub, const char *name, enum config_section_id id, bool multi)
{
	static char begin_default[] = "{" BEGIN_MARK "}";
	cfg_flag_t title = config_sections[id].item_size ? CFGF_TITLE : CFGF_NONE;

	if (multi)
		sub[0] = (cfg_opt_t)CFG_STR_LIST_CB(BEGIN, begin_default, CFGF_NONE, on_value);
	add_settings(sub, id);
	return (cfg_opt_t)CFG_SEC(name, sub, multi ? CFGF_MULTI | title : CFGF_NONE);
}

static cfg_t *new_parser(void)
{
	/* a row of options for the root, for each section and for each stranger that is one; each ends in zeros */
	size_t rows = SECTION_COUNT + parse->stranger_count, i, n = 0;
	size_t row = config_setting_count + rows + 2;
	cfg_opt_t *opts = calloc(row * rows, sizeof(*opts));
	enum config_section_id id;
	cfg_t *cfg;

	if (!opts)
		log_fatal("out of memory");
	for (id = SECTION_FRONT; id < SECTION_COUNT; id++)
		opts[n++] = new_section(opts + id * row, config_sections[id].name, id, config_sections[id].item_size > 0);
	for (i = 0; i < parse->stranger_count; i++) {
		const struct stranger *s = &parse->strangers[i];

		if (s->like != SECTION_TOP)
			opts[n++] = new_section(opts + (SECTION_COUNT + i) * row, s->name, s->like, true);
	}
	add_settings(opts, SECTION_TOP);
	cfg = cfg_init(opts, CFGF_NONE); /* copies them */
	free(opts);
	if (!cfg)
		log_fatal("out of memory");
	cfg_set_error_function(cfg, on_complaint);
	return cfg;
}

/* ---- passes ---- */

static void parse_text(cfg_t *cfg, size_t file)
{
	const struct config_text *t = &parse->r->texts[file];
	FILE *in;

	if (!t->text)
		return;
	in = fmemopen(t->text, t->len, "r");
	if (!in)
		log_fatal("out of memory");
	parse->file = file;
	if (cfg_parse_fp(cfg, in) != CFG_SUCCESS && !parse->new_stranger && !parse->r->syntax) {
		config_report_add(&parse->r->report, file, cfg->line, "the syntax is wrong here");
		parse->r->syntax = true;
	}
	fclose(in);
}

static void pass(void)
{
	cfg_t *cfg = new_parser();
	size_t file, i;

	for (file = 0; file < parse->r->c->file_count && !parse->new_stranger; file++) {
		parse_text(cfg, file);
		end_item();
		for (i = 0; i < parse->pending_count; i++) {
			struct pending *p = &parse->pending[i];

			if (!parse->new_stranger)
				config_text_include(parse->r, p->path, p->at.file, p->at.line);
			free(p->path);
		}
		free(parse->pending);
		parse->pending = NULL;
		parse->pending_count = 0;
	}
	cfg_free(cfg);
}

/* Back to where config_parse() began: the first text, and nothing found in it. */
static void start_over(struct config *empty)
{
	struct config_reading *r = parse->r;
	char *file = r->c->file;

	while (r->c->file_count > 1) {
		size_t last = --r->c->file_count;

		r->bytes -= r->texts[last].len;
		free(r->texts[last].text);
		free(r->c->files[last]);
	}
	empty->files = r->c->files;
	empty->file_count = r->c->file_count;
	r->c->files = NULL;
	r->c->file_count = 0;
	r->c->file = NULL;
	config_free(r->c);
	r->c = empty;
	r->c->file = file;
	while (r->ref_count > 0)
		free(r->refs[--r->ref_count].name);
	free(r->refs);
	r->refs = NULL;
	config_report_clear(&r->report);
	r->syntax = r->stranger = false;
	parse->new_stranger = false;
	memset(r->set, 0, config_setting_count * sizeof(*r->set));
}

void config_parse(struct config_reading *r)
{
	struct parse p = { .r = r };
	enum config_section_id id;
	size_t i;

	r->set = calloc(config_setting_count, sizeof(*r->set));
	if (!r->set)
		log_fatal("out of memory");
	parse = &p;
	pass();
	while (p.new_stranger) {
		struct config *empty = calloc(1, sizeof(*empty));

		if (!empty)
			log_fatal("out of memory");
		start_over(empty);
		pass();
	}
	if (!r->syntax) {
		for (id = SECTION_TOP; id < SECTION_COUNT; id++) {
			if (!config_sections[id].item_size)
				fill_in(id, 0);
		}
	}
	for (i = 0; i < p.stranger_count; i++)
		free(p.strangers[i].name);
	free(p.strangers);
	parse = NULL;
}
