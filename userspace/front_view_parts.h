/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of front_view share; nobody else includes it. */
#ifndef DANELAW_FRONT_VIEW_PARTS_H
#define DANELAW_FRONT_VIEW_PARTS_H

#include <unistd.h>

#include "userspace/front_parts.h"
#include "userspace/front_view.h"

enum { FRONT_PATH_MAX = 512 };

struct front_view {
	char dir[256];
};

/* A pinned map: its descriptor, which the caller closes, or negative errno. */
int front_view_map(const struct front_view *v, const char *name);

#endif
