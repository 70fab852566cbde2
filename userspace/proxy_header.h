/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2.1 and 2.2), and XCLIENT lines
 * (Postfix's XCLIENT_README): bytes to facts and facts to bytes, no sockets.
 */
#ifndef DANELAW_PROXY_HEADER_H
#define DANELAW_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/net.h"

#define PROXY_V1_MAX 107       /* with its CRLF */
#define PROXY_HEADER_MAX 4096  /* the longest header taken from a peer */
#define PROXY_BUDGET_DEFAULT 232 /* what Exim takes; Postfix takes 536 */
#define XCLIENT_LINE_MAX 512   /* with its CRLF */

enum proxy_parse {
	PROXY_MORE, /* could still become a header: more bytes are needed */
	PROXY_OK,
	PROXY_BAD
};

struct proxy_header {
	bool local;	      /* LOCAL or UNKNOWN: the connection itself is the client (health check) */
	struct net_addr src, dst;
	size_t len;	      /* bytes of the header: what follows is the client's */
};
/* Versions 1 and 2, told apart by their first bytes; nothing else is taken for a header. */
enum proxy_parse proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *h);

/* Facts about a client that a header may carry to a backend.  NULL or "": not known, not sent. */
struct proxy_facts {
	struct net_addr src, dst;
	const char *name; /* the client's host name, looked up and confirmed; XCLIENT only */
	bool tls;
	const char *tls_version; /* "TLSv1.3" */
	const char *tls_cipher;
	const char *sni;
	const char *alpn;
	/* a client certificate: */
	bool cert_seen;	    /* in this connection, or in the one whose session was resumed */
	bool cert_resumed;  /* the latter */
	bool cert_verified; /* by DANE or CA, as policy says */
	const char *cert_cn;
	/* a verdict of client DANE, for custom TLV 0xE1 ("verified:mail.example", "none"); NULL: not asked */
	const char *dane_verdict;
};
/*
 * Version 2 within budget bytes in all: addresses always, and the CRC32C that ends it; SSL (version, cipher), the
 * DANE verdict, the CN, ALPN, AUTHORITY, in this order, each that fits what the others left.  out has
 * PROXY_HEADER_MAX bytes.  Returns the length.
 */
size_t proxy_header_write_v2(uint8_t *out, size_t budget, const struct proxy_facts *f);
size_t proxy_header_write_v2_local(uint8_t *out); /* for health checks: 16 bytes */
size_t proxy_header_write_v1(char *out, const struct proxy_facts *f); /* out: PROXY_V1_MAX + 1 */

/*
 * The XCLIENT commands (one or more lines, each <= XCLIENT_LINE_MAX) with those facts that attributes (the
 * list of the backend's EHLO line, separated by blanks) names; ADDR and PORT last, in one line.  helo and
 * proto ("ESMTP", "SMTP") as the client used them.  Values in xtext (RFC 3461 4); names that are listed but
 * unknown, or no names, go as [UNAVAILABLE].  Returns the length; 0 if the backend takes no ADDR or size is
 * too small (3 * XCLIENT_LINE_MAX + 1 always suffice).
 */
size_t xclient_write(char *out, size_t size, const char *attributes, const struct proxy_facts *f, const char *helo,
		     const char *proto);

uint32_t crc32c(const uint8_t *data, size_t len); /* Castagnoli: "123456789" is 0xE3069283 */

#endif
