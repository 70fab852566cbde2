/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of CPUs, as the kernel writes them: lists (bitmap_print_list) and masks of 32 bits parted by commas. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tune.h"

void tune_cpus_add(struct tune_cpus *cpus, unsigned cpu)
{
	if (cpu < TUNE_CPUS)
		cpus->bits[cpu / 64] |= 1ull << cpu % 64;
}

int tune_cpus_has(const struct tune_cpus *cpus, unsigned cpu)
{
	return cpu < TUNE_CPUS && (cpus->bits[cpu / 64] >> cpu % 64 & 1);
}

unsigned tune_cpus_count(const struct tune_cpus *cpus)
{
	unsigned n = 0;

	for (size_t i = 0; i < TUNE_CPUS / 64; i++)
		n += (unsigned)__builtin_popcountll(cpus->bits[i]);
	return n;
}

unsigned tune_cpus_nth(const struct tune_cpus *cpus, unsigned n)
{
	unsigned all = tune_cpus_count(cpus);

	if (!all)
		return 0;
	n %= all;
	for (unsigned cpu = 0; cpu < TUNE_CPUS; cpu++)
		if (tune_cpus_has(cpus, cpu) && !n--)
			return cpu;
	return 0;
}

int tune_cpus_equal(const struct tune_cpus *a, const struct tune_cpus *b)
{
	return !memcmp(a, b, sizeof(*a));
}

int tune_cpus_list(struct tune_cpus *cpus, const char *text)
{
	memset(cpus, 0, sizeof(*cpus));
	while (isdigit((unsigned char)*text)) {
		char *end;
		unsigned long from = strtoul(text, &end, 10), to = from;

		if (*end == '-' && isdigit((unsigned char)end[1]))
			to = strtoul(end + 1, &end, 10);
		if (*end == '-' || to < from || to >= TUNE_CPUS)
			return -EINVAL;
		for (; from <= to; from++)
			tune_cpus_add(cpus, (unsigned)from);
		text = *end == ',' ? end + 1 : end;
	}
	return *text && *text != '\n' ? -EINVAL : 0;
}

int tune_cpus_mask(struct tune_cpus *cpus, const char *text)
{
	size_t len = strcspn(text, "\n");
	unsigned bit = 0;

	memset(cpus, 0, sizeof(*cpus));
	while (len) {
		char c = text[--len];
		int digit = isdigit((unsigned char)c)	 ? c - '0'
			    : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10
							 : -1;

		if (c == ',')
			continue;
		if (digit < 0 || (digit && bit >= TUNE_CPUS))
			return -EINVAL;
		for (int i = 0; i < 4; i++)
			if (digit >> i & 1)
				tune_cpus_add(cpus, bit + (unsigned)i);
		bit += 4;
	}
	return bit ? 0 : -EINVAL;
}

char *tune_cpus_text(const struct tune_cpus *cpus, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned cpu = 0; cpu < TUNE_CPUS && at < size; cpu++) {
		unsigned from = cpu;

		if (!tune_cpus_has(cpus, cpu))
			continue;
		while (tune_cpus_has(cpus, cpu + 1))
			cpu++;
		at += (size_t)snprintf(out + at, size - at, cpu > from ? "%s%u-%u" : "%s%u", at ? "," : "", from,
				       cpu);
	}
	return out;
}

char *tune_cpus_mask_text(const struct tune_cpus *cpus, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (int word = TUNE_CPUS / 32 - 1; word >= 0 && at < size; word--) {
		uint32_t bits = (uint32_t)(cpus->bits[word / 2] >> (word % 2 ? 32 : 0));

		if (at)
			at += (size_t)snprintf(out + at, size - at, ",%08x", bits);
		else if (bits || !word)
			at += (size_t)snprintf(out + at, size - at, "%x", bits);
	}
	return out;
}
