// SPDX-License-Identifier: BSD-2-Clause
/*
 * TLSA records: splitting RDATA of any length, judging each record by itself, and digest agility.
 *
 * A record that cannot be used makes itself unusable, never the RRset (RFC 6698 4.1); that at least one record
 * was there at all is the planner's business.  Full(0) data gets a look at its outer DER shape only: what OpenSSL
 * makes of it is for tls, which must treat "none could be loaded" as "none usable".
 */
#include "userspace/dane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHA256_BYTES = 32, SHA512_BYTES = 64, DER_SEQUENCE = 0x30, DER_BIT_STRING = 0x03 };

static const struct dane_rules smtp_rules = {
	.usages = DANE_USAGES_SMTP,
	.digests = { DANE_SHA512, DANE_SHA256 },
	.digest_count = 2,
};

/* What the caller left out is SMTP's. */
static struct dane_rules rules_of(const struct dane_rules *rules)
{
	struct dane_rules r = rules ? *rules : smtp_rules;

	if (r.usages == 0)
		r.usages = smtp_rules.usages;
	if (r.digest_count == 0) {
		memcpy(r.digests, smtp_rules.digests, sizeof(r.digests));
		r.digest_count = smtp_rules.digest_count;
	}
	return r;
}

/* The place of a digest in the order of strength, 0 the strongest; digest_count if it is not there. */
static size_t strength(const struct dane_rules *rules, uint8_t mtype)
{
	size_t i = 0;

	while (i < rules->digest_count && rules->digests[i] != mtype)
		i++;
	return i;
}

/*
 * One DER element with the given tag at *at: its content, and *at moved behind it.  Only definite lengths of at
 * most two octets: RDATA is never longer.
 */
static bool der_take(const uint8_t *data, size_t len, size_t *at, uint8_t tag, size_t *content, size_t *content_len)
{
	size_t i = *at, n;

	if (len - i < 2 || data[i] != tag)
		return false;
	n = data[i + 1];
	i += 2;
	if (n & 0x80) {
		size_t octets = n & 0x7f;

		if (octets < 1 || octets > 2 || len - i < octets)
			return false;
		n = octets == 1 ? data[i] : (size_t)data[i] << 8 | data[i + 1];
		i += octets;
	}
	if (len - i < n)
		return false;
	*content = i;
	*content_len = n;
	*at = i + n;
	return true;
}

/* Certificate: SEQUENCE { tbs SEQUENCE, algorithm SEQUENCE, BIT STRING }; SPKI: SEQUENCE { SEQUENCE, BIT STRING } */
static bool der_shape(const uint8_t *data, size_t len, uint8_t selector)
{
	size_t at = 0, body, body_len, inner, inner_len;

	if (!der_take(data, len, &at, DER_SEQUENCE, &body, &body_len) || at != len)
		return false;
	for (int sequences = selector == DANE_CERT ? 2 : 1; sequences > 0; sequences--)
		if (!der_take(data, len, &body, DER_SEQUENCE, &inner, &inner_len))
			return false;
	return der_take(data, len, &body, DER_BIT_STRING, &inner, &inner_len) && body == len;
}

static enum dane_fault judge(const struct dane_rules *rules, const struct dane_record *r)
{
	if (r->usage > DANE_EE || !(rules->usages & 1u << r->usage))
		return DANE_BAD_USAGE;
	if (r->selector != DANE_CERT && r->selector != DANE_SPKI)
		return DANE_BAD_SELECTOR;
	if (r->mtype == DANE_FULL)
		return der_shape(r->data, r->len, r->selector) ? DANE_USABLE : DANE_BAD_DER;
	if ((r->mtype != DANE_SHA256 && r->mtype != DANE_SHA512) || strength(rules, r->mtype) == rules->digest_count)
		return DANE_BAD_MTYPE;
	return r->len == (r->mtype == DANE_SHA256 ? SHA256_BYTES : SHA512_BYTES) ? DANE_USABLE : DANE_BAD_LENGTH;
}

enum dane_fault dane_record_read(const struct dane_rules *rules, const uint8_t *rdata, size_t len,
				 struct dane_record *r)
{
	struct dane_rules use = rules_of(rules);

	memset(r, 0, sizeof(*r));
	if (len > 0)
		r->usage = rdata[0];
	if (len > 1)
		r->selector = rdata[1];
	if (len > 2)
		r->mtype = rdata[2];
	if (len <= 3 || len > UINT16_MAX)
		return DANE_BAD_SHORT;
	r->data = rdata + 3;
	r->len = (uint16_t)(len - 3);
	return judge(&use, r);
}

int dane_record_text(const struct dane_record *r, char *out, size_t size)
{
	int len = snprintf(out, size, "%u %u %u%s", r->usage, r->selector, r->mtype, r->len ? " " : "");

	for (size_t i = 0; i < r->len; i++, len += 2)
		if ((size_t)len + 2 < size)
			snprintf(out + len, size - (size_t)len, "%02x", r->data[i]);
	return len;
}

/* RFC 7671 9: may r stand, given that best[usage][selector] is the strongest digest seen? */
static bool agile(const struct dane_rules *rules, size_t best[4][2], const struct dane_record *r)
{
	return r->mtype == DANE_FULL || strength(rules, r->mtype) == best[r->usage][r->selector];
}

static struct dane_records *records_alloc(size_t count, size_t bytes)
{
	struct dane_records *set = calloc(1, sizeof(*set) + count * sizeof(set->record[0]) + bytes);

	if (!set)
		abort();
	return set;
}

/* Appends a copy of r; *free_at is where the next data goes. */
static void records_add(struct dane_records *set, uint8_t **free_at, const struct dane_record *r)
{
	set->record[set->count] = *r;
	set->record[set->count++].data = memcpy(*free_at, r->data, r->len);
	*free_at += r->len;
}

struct dane_records *dane_records_usable(const struct dane_rules *rules, const struct dane_rdata *rdata, size_t count)
{
	struct dane_rules use = rules_of(rules);
	size_t best[4][2], usable = 0, bytes = 0;
	struct dane_records *set;
	struct dane_record r;
	uint8_t *free_at;

	for (size_t i = 0; i < 8; i++)
		best[i / 2][i % 2] = use.digest_count;
	for (size_t i = 0; i < count; i++) {
		if (dane_record_read(&use, rdata[i].data, rdata[i].len, &r) != DANE_USABLE)
			continue;
		usable++;
		bytes += r.len;
		if (r.mtype != DANE_FULL && strength(&use, r.mtype) < best[r.usage][r.selector])
			best[r.usage][r.selector] = strength(&use, r.mtype);
	}
	set = records_alloc(usable, bytes);
	free_at = (uint8_t *)&set->record[usable];
	for (size_t i = 0; i < count; i++)
		if (dane_record_read(&use, rdata[i].data, rdata[i].len, &r) == DANE_USABLE && agile(&use, best, &r))
			records_add(set, &free_at, &r);
	return set;
}

struct dane_records *dane_records_copy(const struct dane_records *from)
{
	struct dane_records *set;
	size_t bytes = 0;
	uint8_t *free_at;

	for (size_t i = 0; i < from->count; i++)
		bytes += from->record[i].len;
	set = records_alloc(from->count, bytes);
	free_at = (uint8_t *)&set->record[from->count];
	for (size_t i = 0; i < from->count; i++)
		records_add(set, &free_at, &from->record[i]);
	return set;
}

/* ---- the key of a set ---- */

/* A 64-bit mix in the manner of FNV-1a, finished as splitmix64 does, so that sums of them stay well spread. */
static uint64_t mix(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	return h ^ h >> 31;
}

struct dane_key dane_records_key(const struct dane_records *r, const char *base, const char (*names)[DANE_NAME_MAX],
				 size_t name_count)
{
	static const uint64_t seeds[2] = { 0x9e3779b97f4a7c15u, 0x2545f4914f6cdd1du };
	struct dane_key key;

	for (size_t w = 0; w < 2; w++) {
		uint64_t sum = 0, h;

		for (size_t i = 0; i < r->count; i++) { /* added up: the order of an RRset means nothing */
			uint8_t head[3] = { r->record[i].usage, r->record[i].selector, r->record[i].mtype };

			sum += mix(mix(seeds[w], head, sizeof(head)), r->record[i].data, r->record[i].len);
		}
		h = mix(seeds[w] ^ sum, base, strlen(base) + 1);
		for (size_t i = 0; i < name_count; i++)
			h = mix(h, names[i], strlen(names[i]) + 1);
		key.word[w] = h;
	}
	return key;
}
