/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS without a handshake or keys, for tests of how a leg comes to be the kernel's: a record is a type, a length in two
 * octets, and plain text.  What a leg does with TLS (tls.h, tls_ktls.h) is wrapped at link time: a leg that was begun here
 * gets this, any other the real one.  One leg at a time.
 *
 *	$(B)/tests/unit/NAME_test: ALL_LDFLAGS += $(FAKE_TLS)
 */
#ifndef DANELAW_TESTS_FAKE_TLS_H
#define DANELAW_TESTS_FAKE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/leg.h"

enum { FAKE_TLS_HEADER = 3, FAKE_TLS_DATA = 'D', FAKE_TLS_TICKET = 'T' };

/* From here on its socket carries records, and what is written to it goes out unsealed.  The kernel may have it. */
void fake_tls_begin(struct leg *leg);
/* The next switch fails, with this (tls_kernel_switch()). */
void fake_tls_refuse(int error);
/* The record of len octets of text, at most 255; its length. */
size_t fake_tls_record(char type, const char *text, size_t len, uint8_t *out);

#endif
