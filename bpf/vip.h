/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Is an address and port one of ours?  The map answers exactly; front.bpf.c has faster ways for most packets. */
#ifndef DANELAW_VIP_H
#define DANELAW_VIP_H

#include "bpf/abi.h"
#include "bpf/maps.h"
#include "bpf/parse.h"

static __always_inline _Bool is_in_vips(const struct address *dest)
{
	struct vip_key key = { .port = dest->port };

	__builtin_memcpy(key.ip, dest->ip, 16);
	return bpf_map_lookup_elem(&vips, &key) != 0;
}

#endif
