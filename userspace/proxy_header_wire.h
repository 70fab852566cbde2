/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Version 2 on the wire (proxy-protocol.txt 2.2), for those who read it and those who write it:
 *
 *	0..11	signature
 *	12	version 2 in the high half; 0 LOCAL or 1 PROXY in the low one
 *	13	address family, transport
 *	14, 15	length of everything behind these two
 *	16..	source and destination address, source and destination port
 *	then	type, length (2), value; as often as the length has room for
 */
#ifndef DANELAW_PROXY_HEADER_WIRE_H
#define DANELAW_PROXY_HEADER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define PROXY_V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

enum {
	PROXY_V2_SIGNATURE_LEN = 12,
	PROXY_V2_FIXED = 16,
	PROXY_V2_ADDR4 = 12, /* bytes of a pair of addresses with ports */
	PROXY_V2_ADDR6 = 36,
	PROXY_V2_ADDR_UNIX = 216,
	PROXY_V2_LOCAL = 0x20,
	PROXY_V2_PROXY = 0x21,
	PROXY_V2_UNSPEC = 0x00,
	PROXY_V2_TCP4 = 0x11,
	PROXY_V2_TCP6 = 0x21,
	PROXY_TLV_HEAD = 3
};

enum proxy_tlv {
	PROXY_TLV_ALPN = 0x01,
	PROXY_TLV_AUTHORITY = 0x02,
	PROXY_TLV_CRC32C = 0x03,
	PROXY_TLV_SSL = 0x20,
	PROXY_TLV_SSL_VERSION = 0x21,
	PROXY_TLV_SSL_CN = 0x22,
	PROXY_TLV_SSL_CIPHER = 0x23,
	PROXY_TLV_DANE_VERDICT = 0xe1 /* ours, of the range left to everybody */
};

enum {
	PROXY_CLIENT_SSL = 0x01,
	PROXY_CLIENT_CERT_CONN = 0x02,
	PROXY_CLIENT_CERT_SESS = 0x04
};

static inline uint16_t proxy_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void proxy_put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t proxy_get32(const uint8_t *p)
{
	return (uint32_t)proxy_get16(p) << 16 | proxy_get16(p + 2);
}

static inline void proxy_put32(uint8_t *p, uint32_t v)
{
	proxy_put16(p, v >> 16);
	proxy_put16(p + 2, v & 0xffff);
}

#endif
