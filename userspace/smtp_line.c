/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines.  RFC 5321 2.3.8 knows one line end, CRLF; whoever takes LF or CR for another one disagrees with
 * his neighbours about where commands and messages end, which is what smuggling lives on.  So the three
 * are told apart here, once, and the caller's policy decides.
 */
#include "userspace/smtp.h"

#include <string.h>

enum smtp_line smtp_find_line(const uint8_t *data, size_t len, size_t max, size_t *used, size_t *text_len)
{
	size_t window = len < max ? len : max;
	const uint8_t *lf = window ? memchr(data, '\n', window) : NULL;

	*used = *text_len = 0;
	if (!lf) {
		if (len < max)
			return SMTP_LINE_MORE;
		*used = *text_len = max;
		return SMTP_LINE_TOO_LONG;
	}
	size_t text = (size_t)(lf - data);
	bool crlf = text && data[text - 1] == '\r';

	*used = text + 1;
	*text_len = text -= crlf;
	if (text && memchr(data, '\r', text))
		return SMTP_LINE_BARE_CR;
	return crlf ? SMTP_LINE_OK : SMTP_LINE_BARE_LF;
}
