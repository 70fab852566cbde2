// SPDX-License-Identifier: BSD-2-Clause
/*
 * Names.  Everything that comes from a peer or from the DNS passes here before it becomes a question, an SNI or a
 * reference name, so the rest of the engine compares names with strcmp() and needs no escaping.
 *
 * '_' is let through: MX hosts with it exist, and owner names (_25._tcp, _smtp-client) are names too.  Nothing is
 * converted from Unicode: a U-label is refused, so a name is asked exactly as it will be sent as SNI.
 */
#include "userspace/dane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LABEL_MAX = 63 };

/* tolower() follows the locale; names do not. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* One label of lower-case text. */
static bool label_ok(const char *label, size_t len)
{
	if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_label_char(label[i]))
			return false;
	return true;
}

static bool all_digits(const char *text)
{
	for (; *text; text++)
		if (!is_digit(*text))
			return false;
	return true;
}

int dane_name_host(const char *text, char out[DANE_NAME_MAX])
{
	char name[DANE_NAME_MAX];
	size_t len = strlen(text), begin = 0;

	out[0] = '\0';
	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len >= sizeof(name))
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		name[i] = lower(text[i]);
	name[len] = '\0';
	for (size_t i = 0; i <= len; i++) {
		if (i < len && name[i] != '.')
			continue;
		if (!label_ok(name + begin, i - begin))
			return -EINVAL;
		if (i == len && all_digits(name + begin)) /* 192.0.2.1 and its like */
			return -EINVAL;
		begin = i + 1;
	}
	memcpy(out, name, len + 1);
	return 0;
}

int dane_name_tlsa(const char *base, uint16_t port, char out[DANE_NAME_MAX])
{
	int len = snprintf(out, DANE_NAME_MAX, "_%u._tcp.%s", port, base);

	if (len < DANE_NAME_MAX)
		return 0;
	out[0] = '\0';
	return -ENAMETOOLONG;
}

int dane_name_wire(const uint8_t *wire, size_t len, char out[DANE_NAME_MAX])
{
	char name[DANE_NAME_MAX];
	size_t at = 0, n = 0;

	out[0] = '\0';
	for (;;) {
		size_t label = at < len ? wire[at] : LABEL_MAX + 1; /* a pointer (0xc0) is too long as well */

		if (label > LABEL_MAX || at + 1 + label > len)
			return -EINVAL;
		at++;
		if (label == 0)
			break;
		if (n + label + 1 >= sizeof(name)) /* with the dot behind it */
			return -EINVAL;
		for (size_t i = 0; i < label; i++) {
			char c = lower((char)wire[at + i]);

			name[n++] = is_label_char(c) ? c : '?';
		}
		name[n++] = '.';
		at += label;
	}
	if (at != len)
		return -EINVAL;
	if (n == 0) {
		memcpy(out, ".", 2);
		return 0;
	}
	name[n - 1] = '\0'; /* the final dot */
	if (dane_name_host(name, out) == 0)
		return 0;
	memcpy(out, name, n);
	return 1;
}
