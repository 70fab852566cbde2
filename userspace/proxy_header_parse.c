/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PROXY headers from a peer that is trusted to send them, so this refuses whatever is not exactly one: what
 * is taken for a header by mistake gives a stranger the address he names.  Both versions are judged as far
 * as they have come, so a peer that speaks something else is found out by its first wrong byte.
 */
#include "userspace/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#include "userspace/proxy_header_wire.h"

/* ---- version 1: PROXY TCP4|TCP6 source destination port port CRLF, or PROXY UNKNOWN anything CRLF ---- */

enum { FIELD_PROXY, FIELD_FAMILY, FIELD_SRC, FIELD_DST, FIELD_SRC_PORT, FIELD_DST_PORT, FIELDS };

struct v1 {
	struct proxy_header *h;
	int af; /* AF_UNSPEC: UNKNOWN */
};

static enum proxy_parse literal(const char *text, size_t len, bool whole, const char *want)
{
	if (len > strlen(want) || memcmp(text, want, len))
		return PROXY_BAD;
	if (!whole)
		return PROXY_MORE;
	return len == strlen(want) ? PROXY_OK : PROXY_BAD;
}

static enum proxy_parse v1_family(struct v1 *v, const char *text, size_t len, bool whole)
{
	static const struct {
		const char *name;
		int af;
	} families[] = { { "TCP4", AF_INET }, { "TCP6", AF_INET6 }, { "UNKNOWN", AF_UNSPEC } };

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		enum proxy_parse answer = literal(text, len, whole, families[i].name);

		if (answer != PROXY_BAD) {
			v->af = families[i].af;
			return answer;
		}
	}
	return PROXY_BAD;
}

static enum proxy_parse v1_address(const struct v1 *v, const char *text, size_t len, bool whole, struct in6_addr *ip)
{
	char copy[INET6_ADDRSTRLEN];
	const char *allowed = v->af == AF_INET ? "0123456789." : "0123456789abcdefABCDEF.:";

	if (len >= (v->af == AF_INET ? INET_ADDRSTRLEN : INET6_ADDRSTRLEN))
		return PROXY_BAD;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (strspn(copy, allowed) != len)
		return PROXY_BAD;
	if (!whole)
		return PROXY_MORE;
	if (v->af == AF_INET6)
		return inet_pton(AF_INET6, copy, ip) == 1 ? PROXY_OK : PROXY_BAD;
	memcpy(ip, &(struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } }, sizeof(*ip));
	return inet_pton(AF_INET, copy, ip->s6_addr + 12) == 1 ? PROXY_OK : PROXY_BAD;
}

static enum proxy_parse v1_port(const char *text, size_t len, bool whole, uint16_t *port)
{
	unsigned int n = 0;

	if (len > 5 || (len > 1 && text[0] == '0')) /* 2.1: no leading zeroes */
		return PROXY_BAD;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return PROXY_BAD;
		n = n * 10 + (unsigned int)(text[i] - '0');
	}
	if (n > 65535 || (whole && !len))
		return PROXY_BAD;
	*port = (uint16_t)n;
	return whole ? PROXY_OK : PROXY_MORE;
}

static enum proxy_parse v1_field(struct v1 *v, int field, const char *text, size_t len, bool whole)
{
	switch (field) {
	case FIELD_PROXY:
		return literal(text, len, whole, "PROXY");
	case FIELD_FAMILY:
		return v1_family(v, text, len, whole);
	case FIELD_SRC:
		return v1_address(v, text, len, whole, &v->h->src.ip);
	case FIELD_DST:
		return v1_address(v, text, len, whole, &v->h->dst.ip);
	case FIELD_SRC_PORT:
		return v1_port(text, len, whole, &v->h->src.port);
	case FIELD_DST_PORT:
		return v1_port(text, len, whole, &v->h->dst.port);
	}
	return PROXY_BAD;
}

/* What stands at data[at..len): the CRLF that ends the header? */
static enum proxy_parse v1_end(const uint8_t *data, size_t at, size_t len, struct proxy_header *h)
{
	if (at + 1 == len)
		return at + 2 > PROXY_V1_MAX ? PROXY_BAD : PROXY_MORE;
	if (data[at + 1] != '\n' || at + 2 > PROXY_V1_MAX)
		return PROXY_BAD;
	h->len = at + 2;
	return PROXY_OK;
}

/* Behind "PROXY UNKNOWN": a receiver ignores what stands there up to the CRLF. */
static enum proxy_parse v1_unknown(const uint8_t *data, size_t at, size_t len, struct proxy_header *h)
{
	h->local = true;
	while (at < len && data[at] != '\r') {
		if (data[at] == '\n')
			return PROXY_BAD;
		at++;
	}
	if (at < len)
		return v1_end(data, at, len, h);
	return len + 2 > PROXY_V1_MAX ? PROXY_BAD : PROXY_MORE;
}

static enum proxy_parse parse_v1(const uint8_t *data, size_t len, struct proxy_header *h)
{
	struct v1 v = { .h = h };
	size_t at = 0;

	for (int field = 0; field < FIELDS; field++) {
		size_t start = at;

		while (at < len && data[at] != ' ' && data[at] != '\r')
			at++;

		enum proxy_parse answer = v1_field(&v, field, (const char *)data + start, at - start, at < len);

		if (answer != PROXY_OK)
			return answer;
		if (field == FIELD_FAMILY && v.af == AF_UNSPEC)
			return v1_unknown(data, at, len, h);
		if ((data[at] == '\r') != (field == FIELD_DST_PORT))
			return PROXY_BAD;
		at += field != FIELD_DST_PORT;
	}
	return v1_end(data, at, len, h);
}

/* ---- version 2 ---- */

static void get_v4(struct net_addr *a, const uint8_t *ip, const uint8_t *port)
{
	memset(&a->ip, 0, sizeof(a->ip));
	a->ip.s6_addr[10] = a->ip.s6_addr[11] = 0xff;
	memcpy(a->ip.s6_addr + 12, ip, 4);
	a->port = proxy_get16(port);
}

static void get_v6(struct net_addr *a, const uint8_t *ip, const uint8_t *port)
{
	memcpy(&a->ip, ip, sizeof(a->ip));
	a->port = proxy_get16(port);
}

/* Bytes of addresses that a family and transport put before the TLVs; -1: there is none of this number. */
static int address_len(uint8_t family)
{
	static const int lens[] = { 0, PROXY_V2_ADDR4, PROXY_V2_ADDR6, PROXY_V2_ADDR_UNIX };

	return family >> 4 > 3 || (family & 15) > 2 ? -1 : lens[family >> 4];
}

/* The header's CRC32C as if its own four bytes, at `at`, were zero. */
static bool crc_ok(const uint8_t *data, size_t len, size_t at)
{
	uint8_t copy[PROXY_HEADER_MAX];

	memcpy(copy, data, len);
	memset(copy + at, 0, 4);
	return crc32c(copy, len) == proxy_get32(data + at);
}

/* Walks the TLVs from at to len: all whole, and a CRC32C right. */
static bool tlvs_ok(const uint8_t *data, size_t at, size_t len)
{
	while (at < len) {
		if (len - at < PROXY_TLV_HEAD)
			return false;

		uint8_t type = data[at];
		size_t value_len = proxy_get16(data + at + 1);

		at += PROXY_TLV_HEAD;
		if (len - at < value_len)
			return false;
		if (type == PROXY_TLV_CRC32C && (value_len != 4 || !crc_ok(data, len, at)))
			return false;
		at += value_len;
	}
	return true;
}

/* The fixed part as far as it is there. */
static enum proxy_parse v2_fixed(const uint8_t *data, size_t len)
{
	size_t known = len < PROXY_V2_SIGNATURE_LEN ? len : PROXY_V2_SIGNATURE_LEN;

	if (memcmp(data, PROXY_V2_SIGNATURE, known))
		return PROXY_BAD;
	if (len > 12 && data[12] != PROXY_V2_LOCAL && data[12] != PROXY_V2_PROXY)
		return PROXY_BAD;
	if (len > 13 && data[12] == PROXY_V2_PROXY && address_len(data[13]) < 0)
		return PROXY_BAD;
	if (len > 14 && data[14] << 8 > PROXY_HEADER_MAX - PROXY_V2_FIXED)
		return PROXY_BAD;
	if (len < PROXY_V2_FIXED)
		return PROXY_MORE;
	if (proxy_get16(data + 14) > PROXY_HEADER_MAX - PROXY_V2_FIXED)
		return PROXY_BAD;
	if (data[12] == PROXY_V2_PROXY && proxy_get16(data + 14) < address_len(data[13]))
		return PROXY_BAD;
	return PROXY_OK;
}

static enum proxy_parse parse_v2(const uint8_t *data, size_t len, struct proxy_header *h)
{
	enum proxy_parse fixed = v2_fixed(data, len);

	if (fixed != PROXY_OK)
		return fixed;

	size_t whole = PROXY_V2_FIXED + (size_t)proxy_get16(data + 14);
	const uint8_t *a = data + PROXY_V2_FIXED;

	if (len < whole)
		return PROXY_MORE;
	h->len = whole;
	h->local = true;
	if (data[12] == PROXY_V2_LOCAL) /* 2.2: the rest is to be skipped unread, the family too */
		return PROXY_OK;
	if (!tlvs_ok(data, PROXY_V2_FIXED + (size_t)address_len(data[13]), whole))
		return PROXY_BAD;
	if (data[13] == PROXY_V2_TCP4) {
		get_v4(&h->src, a, a + 8);
		get_v4(&h->dst, a + 4, a + 10);
		h->local = false;
	} else if (data[13] == PROXY_V2_TCP6) {
		get_v6(&h->src, a, a + 32);
		get_v6(&h->dst, a + 16, a + 34);
		h->local = false;
	} /* else no TCP address is told: the connection's own ends count, as with LOCAL */
	return PROXY_OK;
}

/* ---- either ---- */

enum proxy_parse proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *h)
{
	enum proxy_parse answer = PROXY_MORE;

	*h = (struct proxy_header){ 0 };
	if (len)
		answer = data[0] == 'P' ? parse_v1(data, len, h) : parse_v2(data, len, h);
	if (answer != PROXY_OK)
		*h = (struct proxy_header){ 0 };
	return answer;
}
