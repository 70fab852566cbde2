/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration reader on any bytes: it takes the file or says what is wrong with it, never both and never
 * neither, and what it says has a place and is one line.  After each input a good file is still read: nothing
 * may linger in the lexer, whose state is the process's.
 *
 * rooms: config config_table config_value config_text config_parse config_report config_check dane dane_name dane_record dane_client dane_verdict log net
 */
#include "userspace/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hear(void *ctx, const char *text)
{
	if (strncmp(text, "fuzz.conf:", 10) != 0 && !strchr(text, ':'))
		abort();
	if (strpbrk(text, "\n\r\033"))
		abort();
	++*(size_t *)ctx;
}

static struct config *read_bytes(const void *data, size_t size, size_t *faults)
{
	FILE *in = fmemopen((void *)(uintptr_t)data, size, "r");
	struct config *c;

	if (!in)
		return NULL;
	*faults = 0;
	c = config_read(in, "fuzz.conf", hear, faults);
	fclose(in);
	if (!c != (*faults > 0))
		abort();
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "hostname = a.b\nbackend b { address = \"h\" }\npool p { backends = b }\nlistener l { pool = p }\n";
	struct config *c;
	size_t faults, i, j;

	if (size == 0)
		return 0;
	c = read_bytes(data, size, &faults);
	if (c) {
		for (i = 0; i < c->listener_count; i++) {
			if (c->listeners[i].pool >= c->pool_count || !c->listeners[i].hostname || !c->listeners[i].address_count)
				abort();
			for (j = 0; j < c->listeners[i].certificate_count; j++) {
				if (c->listeners[i].certificates[j] >= c->certificate_count)
					abort();
			}
		}
		config_free(c);
	}
	c = read_bytes(good, sizeof(good) - 1, &faults);
	if (!c)
		abort();
	config_free(c);
	return 0;
}
