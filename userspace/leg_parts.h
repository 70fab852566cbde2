/* SPDX-License-Identifier: BSD-2-Clause */
/* Between leg.c and leg_past.c. */
#ifndef DANELAW_LEG_PARTS_H
#define DANELAW_LEG_PARTS_H

#include "userspace/leg.h"

static inline bool leg_usable(const struct leg *leg)
{
	return leg->state == LEG_OPEN && !leg->sock.closing;
}

/* The first failure stays. */
void leg_set_error(struct leg *leg, int error);
/*
 * Sending failed.  Where it met a reset a backend's last words (why it takes no more) may be with the receive in flight, which
 * ends now too, or behind the input that is awaited: they are heard first.
 */
void leg_lose(struct leg *leg, int error);
/* Behind a reset that was told already it is no FIN. */
void leg_take_fin(struct leg *leg);
/* Bytes of the socket, borrowed until leg_keep_rest(). */
void leg_take_input(struct leg *leg, const uint8_t *data, size_t len);
/* What the owner left moves into memory of the leg's own: the ring's buffer and the scratch are reused. */
void leg_keep_rest(struct leg *leg);

/* Is it told of a record that is no data, or none at all (tls_kernel_control())?  Other errors are the connection's. */
bool leg_is_control(const struct leg *leg, int error);
void leg_take_control(struct leg *leg);

#endif
