/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PROXY headers.  The first byte of the input says what the rest is: p a header as it comes, 2 one of version
 * 2 behind its signature, w facts, in lines, of which headers and XCLIENT commands are written.
 * rooms: proxy_header proxy_header_parse proxy_header_write proxy_header_xclient net
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/proxy_header.h"

#define MUST(ok)                                                                                              \
	do {                                                                                                  \
		if (!(ok)) {                                                                                  \
			fprintf(stderr, "not so: %s\n", #ok);                                                 \
			abort();                                                                              \
		}                                                                                             \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Parses a copy, beyond which the sanitizer sees a byte too many. */
static enum proxy_parse parse(const uint8_t *data, size_t size, struct proxy_header *h)
{
	uint8_t *copy = malloc(size + !size);
	enum proxy_parse answer;

	memcpy(copy, data, size);
	answer = proxy_header_parse(copy, size, h);
	free(copy);
	return answer;
}

static void expect(const uint8_t *data, size_t size, const struct proxy_facts *f)
{
	struct proxy_header h;

	MUST(parse(data, size, &h) == PROXY_OK && h.len == size && !h.local);
	MUST(net_addr_equal(&h.src, &f->src) && net_addr_equal(&h.dst, &f->dst));
}

static void write_all(const struct proxy_facts *f, size_t budget, const char *helo, const char *attributes)
{
	uint8_t out[PROXY_HEADER_MAX];
	char text[PROXY_V1_MAX + 1], lines[3 * XCLIENT_LINE_MAX + 1];
	size_t len = proxy_header_write_v2(out, budget, f);

	MUST(len <= PROXY_HEADER_MAX && (len <= budget || len <= 52));
	expect(out, len, f);
	len = proxy_header_write_v1(text, f);
	MUST(len <= PROXY_V1_MAX);
	expect((uint8_t *)text, len, f);

	len = xclient_write(lines, sizeof(lines), attributes, f, helo, "ESMTP");
	MUST(len == strlen(lines));
	for (char *line = lines, *end; *line; line = end + 2) {
		end = strstr(line, "\r\n");
		MUST(end && end + 2 - line <= XCLIENT_LINE_MAX && !strncmp(line, "XCLIENT ", 8));
		for (char *c = line; c < end; c++)
			MUST(*c >= ' ' && *c <= '~');
	}
}

/* No answer is taken back when more bytes come, and what was read can be written and read again. */
static void read_header(const uint8_t *data, size_t size)
{
	struct proxy_header h = { 0 }, whole;
	enum proxy_parse answer = PROXY_MORE;
	size_t len;

	for (len = 0; len <= size && answer == PROXY_MORE; len++)
		answer = parse(data, len, &h);
	len--;
	MUST(parse(data, size, &whole) == answer);
	MUST(answer != PROXY_OK || (h.len == len && whole.len == len && whole.local == h.local));
	if (answer == PROXY_OK && !h.local)
		write_all(&(struct proxy_facts){ .src = h.src, .dst = h.dst }, PROXY_BUDGET_DEFAULT, "mail.example", "ADDR PORT");
}

static void write_facts(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), *rest = copy, *line[10];

	memcpy(copy, data, size);
	copy[size] = '\0';
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		line[i] = strsep(&rest, "\n");
		if (!line[i])
			line[i] = (char[]){ "" };
	}

	struct proxy_facts f = {
		.tls = *line[2],
		.tls_version = line[2],
		.tls_cipher = line[3],
		.sni = line[4],
		.alpn = line[5],
		.cert_seen = *line[6],
		.cert_cn = line[6],
		.dane_verdict = line[7],
		.name = line[4],
	};

	if (net_parse_ip(line[0], &f.src.ip) == 0 && net_parse_ip(line[1], &f.dst.ip) == 0)
		for (size_t budget = 0; budget < 600; budget += 29)
			write_all(&f, budget, line[8], line[9]);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t v2[PROXY_HEADER_MAX + 100] = "\r\n\r\n\0\r\nQUIT\n";

	if (!size || size > PROXY_HEADER_MAX)
		return 0;
	switch (data[0]) {
	case 'p':
		read_header(data + 1, size - 1);
		break;
	case '2':
		memcpy(v2 + 12, data + 1, size - 1);
		read_header(v2, 12 + size - 1);
		break;
	case 'w':
		write_facts(data + 1, size - 1);
		break;
	}
	return 0;
}
