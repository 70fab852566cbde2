/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Replies, a line at a time.  RFC 5321 4.2: three digits, then "-" (more lines) or a blank and text; 4.2.1
 * lets the text of the last line be missing, with or without its blank.  The text is for people and other
 * mail servers and is not judged, but for NUL, CR and LF, which could make one reply look like two.
 */
#include "userspace/smtp.h"

#include <string.h>

static uint16_t reply_code(const char *line, size_t len)
{
	if (len < 3 || line[0] < '2' || line[0] > '5')
		return 0;
	for (int i = 1; i < 3; i++)
		if (line[i] < '0' || line[i] > '9')
			return 0;
	return (uint16_t)((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
}

enum smtp_reply_line smtp_parse_reply(struct smtp_reply_parser *p, const char *line, size_t len)
{
	uint16_t code = reply_code(line, len);

	if (!code || (p->lines && code != p->code) || p->lines >= SMTP_REPLY_LINES_MAX)
		return SMTP_REPLY_BAD;
	if (memchr(line, '\0', len) || memchr(line, '\r', len) || memchr(line, '\n', len))
		return SMTP_REPLY_BAD;
	if (len > 3 && line[3] != ' ' && line[3] != '-')
		return SMTP_REPLY_BAD;
	p->code = code;
	p->lines++;
	return len > 3 && line[3] == '-' ? SMTP_REPLY_MORE_LINES : SMTP_REPLY_LAST;
}
