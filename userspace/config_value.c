/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text to value, by the kind of the row.  Each complaint ends the sentence `NAME = "TEXT" …` and says what
 * would be right, so whoever reads it need not open the manual.
 */
#include "userspace/config_parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};
static const struct unit size_units[] = { { "g", 1 << 30 }, { "m", 1 << 20 }, { "k", 1 << 10 }, { "", 1 }, { 0 } };
static const struct unit time_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { 0 },
};

/* The end of the sentence, and the answer. */
static int wrong(char *err, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int wrong(char *err, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err, size, fmt, args);
	va_end(args);
	return -EINVAL;
}

char *config_strdup(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		log_fatal("out of memory");
	return copy;
}

void *config_list_grow(void *list, size_t *count, size_t size)
{
	size_t n = *count;

	/* room for 4, 8, 16 … elements */
	if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
		list = realloc(list, (n ? 2 * n : 4) * size);
		if (!list)
			log_fatal("out of memory");
	}
	memset((char *)list + n * size, 0, size);
	++*count;
	return list;
}

/* Decimal digits and a suffix; -EINVAL also when it does not fit. */
static int parse_scaled(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t n = 0;
	size_t digits = strspn(text, "0123456789"), i;

	if (digits == 0)
		return -EINVAL;
	for (i = 0; i < digits; i++) {
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n))
			return -EINVAL;
	}
	text += digits;
	for (; units->suffix; units++) {
		if (strcasecmp(units->suffix, text) == 0)
			return __builtin_mul_overflow(n, units->factor, out) ? -EINVAL : 0;
	}
	if (*text || n)
		return -EINVAL;
	*out = 0; /* nothing needs no unit */
	return 0;
}

/* In the largest unit that tells it exactly. */
static const char *scaled_text(uint64_t n, const struct unit *units, char buf[32])
{
	if (n == 0)
		return "0";
	while (n % units->factor != 0)
		units++;
	snprintf(buf, 32, "%llu%s", (unsigned long long)(n / units->factor), units->suffix);
	return buf;
}

static void store(const struct config_setting *row, void *base, uint64_t value)
{
	void *field = (char *)base + row->offset;

	switch (row->width) {
	case 2:
		*(uint16_t *)field = (uint16_t)value;
		break;
	case 4:
		*(uint32_t *)field = (uint32_t)value;
		break;
	case 8:
		*(uint64_t *)field = value;
		break;
	}
}

static void store_text(char **field, const char *text)
{
	free(*field);
	*field = config_strdup(text);
}

static int set_number(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	static const struct unit none[] = { { "", 1 }, { 0 } };
	uint64_t n;

	if (parse_scaled(text, none, &n) || n < row->min || n > row->max)
		return wrong(err, size, "is not a number from %llu to %llu", (unsigned long long)row->min,
			     (unsigned long long)row->max);
	store(row, base, n);
	return 0;
}

static int set_size(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	char low[32], high[32];
	uint64_t n;

	if (parse_scaled(text, size_units, &n) || n < row->min || n > row->max)
		return wrong(err, size, "is not a size from %s to %s (bytes, or with k, m, g: 64k)",
			     scaled_text(row->min, size_units, low), scaled_text(row->max, size_units, high));
	store(row, base, n);
	return 0;
}

static int set_time(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	char low[32], high[32];
	uint64_t n;

	if (parse_scaled(text, time_units, &n) || n < row->min || n > row->max)
		return wrong(err, size, "is not a time from %s to %s (with ms, s, m, h or d: 300ms, 20s)",
			     scaled_text(row->min, time_units, low), scaled_text(row->max, time_units, high));
	store(row, base, n);
	return 0;
}

static int set_yes_no(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	bool yes = strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "no") != 0)
		return wrong(err, size, "is neither yes nor no");
	*(bool *)((char *)base + row->offset) = yes;
	return 0;
}

static int set_choice(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	char words[128], list[160] = "", hint[80], *save, *word;
	struct config_meant meant = { .text = text };
	unsigned n = 0;

	snprintf(words, sizeof(words), "%s", row->choices);
	for (word = strtok_r(words, "|", &save); word; word = strtok_r(NULL, "|", &save)) {
		size_t len = strlen(list);

		if (strcmp(word, text) == 0) {
			store(row, base, row->min + n);
			return 0;
		}
		snprintf(list + len, sizeof(list) - len, "%s%s", n ? ", " : "", word);
		config_meant_try(&meant, word);
		n++;
	}
	return wrong(err, size, "is not one of: %s%s", list, config_meant_text(&meant, hint, sizeof(hint)));
}

static int set_text(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	size_t len = strlen(text);

	if (len < row->min)
		return wrong(err, size, "is empty");
	if (len > row->max)
		return wrong(err, size, "is longer than %llu bytes", (unsigned long long)row->max);
	store_text((char **)((char *)base + row->offset), text);
	return 0;
}

static int path_ok(const char *text, char *err, size_t size)
{
	if (text[0] != '/')
		return wrong(err, size, "is not an absolute path: begin it with /");
	if (strlen(text) >= 4096)
		return wrong(err, size, "is longer than a path may be");
	return 0;
}

static int set_path(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	if (path_ok(text, err, size))
		return -EINVAL;
	store_text((char **)((char *)base + row->offset), text);
	return 0;
}

/* Labels of letters, digits, '-' and '_', as they can stand in a banner (RFC 5321 4.1.2) and in DNS (RFC 1035 2.3.4). */
static bool hostname_ok(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > 253)
		return false;
	for (;;) {
		size_t label = strcspn(text, "."), i;

		if (label == 0 || label > 63 || text[0] == '-' || text[label - 1] == '-')
			return false;
		for (i = 0; i < label; i++) {
			if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_')
				return false;
		}
		if (!text[label])
			return true;
		text += label + 1;
	}
}

static int set_hostname(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	struct in6_addr ip;

	if (net_parse_ip(text, &ip) == 0)
		return wrong(err, size, "is an address; a host name is needed, like mx1.example.net");
	if (!hostname_ok(text))
		return wrong(err, size, "is not a host name like mx1.example.net (letters, digits and -, no dot at the end)");
	store_text((char **)((char *)base + row->offset), text);
	return 0;
}

static int set_listen(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	char host[NET_TEXT_MAX];
	struct in6_addr ip;
	uint16_t port;

	if (net_split_host_port(text, 0, host, sizeof(host), &port) || port == 0 || net_parse_ip(host, &ip))
		return wrong(err, size, "is not ADDRESS:PORT, like 127.0.0.1:9325 or [::1]:9325");
	store_text((char **)((char *)base + row->offset), text);
	return 0;
}

static int set_endpoint(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	uint16_t *port = (uint16_t *)((char *)base + row->more), number;
	struct in6_addr ip;
	char host[256];

	if (net_split_host_port(text, (uint16_t)row->min, host, sizeof(host), &number) ||
	    (net_parse_ip(host, &ip) && !hostname_ok(host)))
		return wrong(err, size, "is not HOST:PORT or ADDRESS:PORT, like mx-a.example.net:25, 10.0.0.5:25 or [2001:db8::5]:25");
	store_text((char **)((char *)base + row->offset), host);
	*port = number;
	return 0;
}

static void *append(const struct config_setting *row, void *base, size_t size)
{
	void **list = (void **)((char *)base + row->offset);
	size_t *count = (size_t *)((char *)base + row->more);

	*list = config_list_grow(*list, count, size);
	return (char *)*list + (*count - 1) * size;
}

static int add_path(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	if (path_ok(text, err, size))
		return -EINVAL;
	*(char **)append(row, base, sizeof(char *)) = config_strdup(text);
	return 0;
}

static int add_word(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	size_t len = strlen(text);

	if (len < row->min || len > row->max)
		return wrong(err, size, "is not a name of %llu to %llu bytes", (unsigned long long)row->min,
			     (unsigned long long)row->max);
	*(char **)append(row, base, sizeof(char *)) = config_strdup(text);
	return 0;
}

static int add_address(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	struct in6_addr ip;

	if (net_parse_ip(text, &ip))
		return wrong(err, size, "is not an address, like 192.0.2.25 or 2001:db8::25 (its port stands by itself: port = 25)");
	*(struct in6_addr *)append(row, base, sizeof(ip)) = ip;
	return 0;
}

static int add_prefix(const struct config_setting *row, void *base, const char *text, char *err, size_t size)
{
	struct net_prefix p;

	if (net_parse_prefix(text, &p))
		return wrong(err, size, "is not a network, like 10.0.0.0/8 or 2001:db8::/32 (no bits set behind the prefix)");
	*(struct net_prefix *)append(row, base, sizeof(p)) = p;
	return 0;
}

typedef int set_value(const struct config_setting *row, void *base, const char *text, char *err, size_t size);

static set_value *const setters[] = {
	[KIND_TEXT] = set_text,		[KIND_PATH] = set_path,		[KIND_HOSTNAME] = set_hostname,
	[KIND_LISTEN] = set_listen,	[KIND_ENDPOINT] = set_endpoint,	[KIND_NUMBER] = set_number,
	[KIND_SIZE] = set_size,		[KIND_TIME] = set_time,		[KIND_YESNO] = set_yes_no,
	[KIND_CHOICE] = set_choice,	[KIND_PATHS] = add_path,	[KIND_WORDS] = add_word,
	[KIND_ADDRESSES] = add_address, [KIND_PREFIXES] = add_prefix,	[KIND_INCLUDE] = NULL,
};

int config_value_set(const struct config_setting *row, void *base, const char *text, char *err, size_t err_size)
{
	return setters[row->kind](row, base, text, err, err_size);
}

void config_value_free(const struct config_setting *row, void *base)
{
	void **field = (void **)((char *)base + row->offset);
	size_t i;

	switch (row->kind) {
	case KIND_PATHS:
	case KIND_WORDS:
		for (i = 0; i < *(size_t *)((char *)base + row->more); i++)
			free((*(char ***)field)[i]);
		free(*field);
		break;
	case KIND_TEXT:
	case KIND_PATH:
	case KIND_HOSTNAME:
	case KIND_LISTEN:
	case KIND_ENDPOINT:
	case KIND_ADDRESSES:
	case KIND_PREFIXES:
	case KIND_REFS:
		free(*field);
		break;
	case KIND_NUMBER:
	case KIND_SIZE:
	case KIND_TIME:
	case KIND_YESNO:
	case KIND_CHOICE:
	case KIND_REF:
	case KIND_INCLUDE:
		break;
	}
}
