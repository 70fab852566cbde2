/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A dns.h without threads and without a network, for tests of what asks it.  It defines every function of dns.h
 * that a worker calls, so it takes the place of userspace/dns*.o when it is linked in before the library:
 *
 *	$(B)/tests/unit/NAME_test: $(B)/tests/unit/fake_dns.o
 *
 * Names that were not told anything are securely denied.  Answers come by the inbox's descriptor, as real ones do:
 * at the next ring_run(), or, while held, only once fake_dns_hold(false) was called.
 */
#ifndef DANELAW_TESTS_FAKE_DNS_H
#define DANELAW_TESTS_FAKE_DNS_H

#include "userspace/dns.h"

void fake_dns_reset(void);
/* From now on name's TLSA question is answered so; rdata (len bytes, one record) may be NULL. */
void fake_dns_tell(const char *name, enum dane_answer answer, uint32_t ttl, const void *rdata, size_t len);
void fake_dns_hold(bool hold);
void fake_dns_health(enum dns_validation state);
unsigned fake_dns_asked(void);	 /* since the reset */
unsigned fake_dns_pending(void); /* asked, not answered, not cancelled */
struct dns *fake_dns(void);

#endif
