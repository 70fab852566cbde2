/* SPDX-License-Identifier: BSD-2-Clause */
/* The replies of our own, from replies.def. */
#ifndef DANELAW_REPLY_H
#define DANELAW_REPLY_H

#include <stddef.h>
#include <stdint.h>

enum reply {
#define REPLY(symbol, text) REPLY_##symbol,
#include "userspace/replies.def"
#undef REPLY
	REPLY_COUNT
};

#define REPLY_MAX 512 /* bytes with CRLF (RFC 5321 4.5.3.1.5) */

/* Writes the reply with its CRLF into out (REPLY_MAX bytes); returns its length. */
size_t reply_write(enum reply r, const char *hostname, char *out);
uint16_t reply_code(enum reply r);

#endif
