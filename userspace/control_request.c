/* SPDX-License-Identifier: BSD-2-Clause */
/* A request line as verb and arguments, and what is said about one that is none. */
#include "userspace/control_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fault(char *err, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fault(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static const struct control_verb *find_verb(const char *name, size_t len)
{
	for (const struct control_verb *v = control_verbs; v->name; v++)
		if (strlen(v->name) == len && !memcmp(v->name, name, len))
			return v;
	return NULL;
}

/* Is name one of the words of list? */
static bool listed(const char *list, const char *name)
{
	size_t len = strchr(name, ' ') ? 0 : strlen(name);

	for (const char *at = list; len && (at = strstr(at, name)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static int no_such_verb(const char *name, size_t len, char *err, size_t err_size)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] < ' ' || name[i] > '~')
			return fault(err, err_size, "a request is a line of JSON or one word; ask help for the verbs");
	return fault(err, err_size, "there is no verb \"%.*s\"; ask help for those there are", len > 40 ? 40 : (int)len, name);
}

static int check_args(const struct control_verb *v, json_t *args, char *err, size_t err_size)
{
	const char *name;
	json_t *value;

	json_object_foreach(args, name, value)
		if (strcmp(name, "verb") != 0 && !listed(v->args, name))
			return fault(err, err_size, "%s has no argument \"%.40s\"%s%s", v->name, name, *v->args ? "; it has: " : "",
				     v->args);
	return 0;
}

static int parse_word(const char *line, size_t len, const struct control_verb **verb, json_t **args, char *err, size_t err_size)
{
	*verb = find_verb(line, len);
	if (!*verb)
		return no_such_verb(line, len, err, err_size);
	*args = json_object();
	return *args ? 0 : -ENOMEM;
}

int control_parse(const char *line, size_t len, const struct control_verb **verb, json_t **args, char *err, size_t err_size)
{
	json_error_t why;

	while (len && is_space(*line))
		line++, len--;
	while (len && is_space(line[len - 1]))
		len--;
	if (!len)
		return fault(err, err_size, "an empty request; ask help for the verbs");
	if (*line != '{')
		return parse_word(line, len, verb, args, err, err_size);
	*args = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!*args)
		return fault(err, err_size, "not JSON at byte %d: %s", why.position, why.text);
	const char *name = json_string_value(json_object_get(*args, "verb"));
	int r;

	if (!name)
		r = fault(err, err_size, "no \"verb\" in the request; ask help for those there are");
	else if (!(*verb = find_verb(name, strlen(name))))
		r = no_such_verb(name, strlen(name), err, err_size);
	else
		r = check_args(*verb, *args, err, err_size);
	if (r) {
		json_decref(*args);
		*args = NULL;
	}
	return r;
}

/* ---- arguments ---- */

const char *control_arg_text(const struct control_request *r, const char *name)
{
	return json_string_value(json_object_get(r->args, name));
}

bool control_arg_number(struct control_request *r, const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
	const json_t *value = json_object_get(r->args, name);
	json_int_t n = json_integer_value(value);

	if (!value)
		return true;
	if (!json_is_integer(value) || n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
		control_fail(r, "%s: \"%s\" is a number from %llu to %llu", r->verb->name, name, (unsigned long long)min,
			     (unsigned long long)max);
		return false;
	}
	*out = (uint64_t)n;
	return true;
}

json_t *control_text(const char *text)
{
	char clean[512];
	size_t n = 0;
	json_t *whole = json_string(text);

	if (whole)
		return whole;
	for (; text[n] && n < sizeof(clean) - 1; n++)
		clean[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	clean[n] = 0;
	return json_string(clean);
}
