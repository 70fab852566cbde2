/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {
#define REPLY(symbol, text) text,
#include "userspace/replies.def"
#undef REPLY
};

size_t reply_write(enum reply r, const char *hostname, char *out)
{
	const char *text = texts[r], *mark = strstr(text, "%s");
	int n;

	/* host names are at most 255 bytes, texts at most 120: it always fits */
	if (mark)
		n = snprintf(out, REPLY_MAX, "%.*s%s%s\r\n", (int)(mark - text), text, hostname, mark + 2);
	else
		n = snprintf(out, REPLY_MAX, "%s\r\n", text);
	return (size_t)n;
}

uint16_t reply_code(enum reply r)
{
	return (uint16_t)atoi(texts[r]);
}
