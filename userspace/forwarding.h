/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listener on every address, on a host that forwards.  The front goes by addresses and ports, and cannot ask whether
 * an address is the host's own: "every address" is that of every packet which comes in.
 */
#ifndef DANELAW_FORWARDING_H
#define DANELAW_FORWARDING_H

#include "userspace/config.h"

/* Whether a front would judge others' connections where the host forwards these families; a sentence with the remedy. */
bool forwarding_fault(const struct config *cfg, bool v4, bool v6, char *out, size_t size);
/* Asks the host, and warns in the log.  Of a configuration with a front. */
void forwarding_warn(const struct config *cfg);

#endif
