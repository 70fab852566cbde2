/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps the targets of backends with tls = dane true to the DNS: asks, publishes (backend_set_target()), and asks
 * again when the answers' time to live ends.  Runs on one worker's ring.
 *
 *   dns (own validation) -> dane_plan_host -> target -> backends -> sessions and probes of all workers
 *
 * A failed look-up takes the backend out at once, for its own reason, and never leaves older records or clear text
 * in its place.  While a new answer is awaited the last one counts, for the resolver's deadline at most.
 */
#ifndef DANELAW_RESOLVER_H
#define DANELAW_RESOLVER_H

#include "userspace/backend.h"
#include "userspace/dns.h"
#include "userspace/ring.h"
#include "userspace/timer.h"

struct resolver;

/* NULL: out of memory or descriptors. */
struct resolver *resolver_start(const struct config *cfg, struct backends *backends, struct dns *dns, struct ring *ring,
				struct timer_wheel *wheel);
void resolver_stop(struct resolver *r); /* no more questions; resolver_free() once resolver_idle() */
bool resolver_idle(const struct resolver *r);
void resolver_free(struct resolver *r);

#endif
