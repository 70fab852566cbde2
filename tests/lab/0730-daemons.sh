#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0730: tickets between daemons, the limit on handshakes, io_uring forbidden, the line of a session, probes (daemons.pl)

exec "$(dirname "$0")/peers.sh" daemons.pl
