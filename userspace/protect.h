/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYN protection, the daemon's part: keys of cookies by the clock; in a flood, what the kernel's cookies need; a look
 * at the accept queues; and the log.  The front itself decides about packets and needs none of this to go on.
 */
#ifndef DANELAW_PROTECT_H
#define DANELAW_PROTECT_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/config.h"
#include "userspace/front.h"

enum { PROTECT_TICK_MS = 200 };

struct protect;

/* As root, before the drop.  front: NULL when there is none; what one of an earlier run left is undone all the same.  0, or negative with a sentence in err; *out may be NULL. */
int protect_open(const struct config *cfg, struct front *front, struct protect **out, char *err, size_t err_size);
/* Only reads the secret that protect_open() will read. */
int protect_check(const struct config *cfg, char *err, size_t err_size);
/* Every PROTECT_TICK_MS, from one thread; NULL is nothing to do. */
void protect_tick(struct protect *p);
/* Before the front is closed. */
void protect_close(struct protect *p);

#endif
