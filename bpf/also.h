/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What XDP does with a packet beside giving it a reason, counted: ALSO of reasons.def. */
#ifndef DANELAW_ALSO_H
#define DANELAW_ALSO_H

#include "bpf/abi.h"
#include "bpf/maps.h"

static __always_inline void count_also(__u32 what)
{
	struct front_also *also;
	__u32 zero = 0;

	also = bpf_map_lookup_elem(&front_also, &zero);
	if (also && what < ALSO_COUNT)
		((__u64 *)also)[what]++;
}

#endif
