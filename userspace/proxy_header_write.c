/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PROXY headers to a backend.  The receivers in use take 232 (Exim), 536 (Postfix), 1500 (Dovecot) bytes
 * and drop the connection for one more, so what is told is chosen first, in the order of what a backend
 * can do with it, and then written, in the order of the types.  The CRC32C comes last on the wire but its
 * bytes are set aside first: it guards all the others.
 */
#include "userspace/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "userspace/proxy_header_wire.h"

enum { CRC_LEN = PROXY_TLV_HEAD + 4, SSL_LEN = PROXY_TLV_HEAD + 5 };

/* What goes in; NULL: does not. */
struct choice {
	size_t left; /* bytes of the budget */
	bool crc, ssl;
	const char *version, *cipher, *cn, *dane_verdict, *alpn, *authority;
};

static bool take(struct choice *c, size_t len)
{
	if (len > c->left)
		return false;
	c->left -= len;
	return true;
}

static const char *take_text(struct choice *c, const char *text)
{
	return text && *text && take(c, PROXY_TLV_HEAD + strlen(text)) ? text : NULL;
}

static struct choice choose(size_t left, const struct proxy_facts *f)
{
	struct choice c = { .left = left };

	c.crc = take(&c, CRC_LEN);
	c.ssl = f->tls && take(&c, SSL_LEN);
	if (c.ssl) {
		c.version = take_text(&c, f->tls_version);
		c.cipher = take_text(&c, f->tls_cipher);
	}
	/* before the CN, whose length is the client's choice: it could push the verdict out */
	c.dane_verdict = take_text(&c, f->dane_verdict);
	if (c.ssl && f->cert_seen)
		c.cn = take_text(&c, f->cert_cn);
	c.alpn = take_text(&c, f->alpn);
	c.authority = take_text(&c, f->sni);
	return c;
}

static uint8_t *put_tlv(uint8_t *at, enum proxy_tlv type, const void *value, size_t len)
{
	at[0] = (uint8_t)type;
	proxy_put16(at + 1, len);
	memcpy(at + PROXY_TLV_HEAD, value, len);
	return at + PROXY_TLV_HEAD + len;
}

static uint8_t *put_text(uint8_t *at, enum proxy_tlv type, const char *text)
{
	return text ? put_tlv(at, type, text, strlen(text)) : at;
}

static uint8_t *put_ssl(uint8_t *at, const struct choice *c, const struct proxy_facts *f)
{
	uint8_t *end, fixed[5] = { PROXY_CLIENT_SSL };

	if (f->cert_seen)
		fixed[0] |= f->cert_resumed ? PROXY_CLIENT_CERT_SESS : PROXY_CLIENT_CERT_CONN | PROXY_CLIENT_CERT_SESS;
	proxy_put32(fixed + 1, !(f->cert_seen && f->cert_verified)); /* 0 only for one presented and verified */
	end = put_tlv(at, PROXY_TLV_SSL, fixed, sizeof(fixed));
	end = put_text(end, PROXY_TLV_SSL_VERSION, c->version);
	end = put_text(end, PROXY_TLV_SSL_CN, c->cn);
	end = put_text(end, PROXY_TLV_SSL_CIPHER, c->cipher);
	proxy_put16(at + 1, (size_t)(end - at) - PROXY_TLV_HEAD);
	return end;
}

/* Both ends in one family: two IPv4 addresses as such, else both as IPv6, an IPv4 one mapped. */
static uint8_t *put_addresses(uint8_t *out, const struct proxy_facts *f)
{
	bool v4 = net_is_v4(&f->src.ip) && net_is_v4(&f->dst.ip);
	size_t skip = v4 ? 12 : 0, len = 16 - skip;
	uint8_t *at = out + PROXY_V2_FIXED;

	out[13] = v4 ? PROXY_V2_TCP4 : PROXY_V2_TCP6;
	memcpy(at, f->src.ip.s6_addr + skip, len);
	memcpy(at + len, f->dst.ip.s6_addr + skip, len);
	proxy_put16(at + 2 * len, f->src.port);
	proxy_put16(at + 2 * len + 2, f->dst.port);
	return at + 2 * len + 4;
}

size_t proxy_header_write_v2(uint8_t *out, size_t budget, const struct proxy_facts *f)
{
	size_t len;
	uint8_t *at;

	if (budget > PROXY_HEADER_MAX)
		budget = PROXY_HEADER_MAX;
	memcpy(out, PROXY_V2_SIGNATURE, PROXY_V2_SIGNATURE_LEN);
	out[12] = PROXY_V2_PROXY;
	at = put_addresses(out, f);
	len = (size_t)(at - out);

	struct choice c = choose(budget > len ? budget - len : 0, f);

	at = put_text(at, PROXY_TLV_ALPN, c.alpn);
	at = put_text(at, PROXY_TLV_AUTHORITY, c.authority);
	if (c.ssl)
		at = put_ssl(at, &c, f);
	at = put_text(at, PROXY_TLV_DANE_VERDICT, c.dane_verdict);
	if (c.crc)
		at = put_tlv(at, PROXY_TLV_CRC32C, "\0\0\0", 4);
	len = (size_t)(at - out);
	proxy_put16(out + 14, len - PROXY_V2_FIXED);
	if (c.crc)
		proxy_put32(at - 4, crc32c(out, len));
	return len;
}

size_t proxy_header_write_v2_local(uint8_t *out)
{
	memcpy(out, PROXY_V2_SIGNATURE, PROXY_V2_SIGNATURE_LEN);
	memcpy(out + 12, (uint8_t[]){ PROXY_V2_LOCAL, PROXY_V2_UNSPEC, 0, 0 }, 4);
	return PROXY_V2_FIXED;
}

size_t proxy_header_write_v1(char *out, const struct proxy_facts *f)
{
	bool v4 = net_is_v4(&f->src.ip) && net_is_v4(&f->dst.ip);
	int af = v4 ? AF_INET : AF_INET6;
	size_t skip = v4 ? 12 : 0;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	inet_ntop(af, f->src.ip.s6_addr + skip, src, sizeof(src));
	inet_ntop(af, f->dst.ip.s6_addr + skip, dst, sizeof(dst));
	return (size_t)snprintf(out, PROXY_V1_MAX + 1, "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6', src, dst, f->src.port,
				f->dst.port);
}
