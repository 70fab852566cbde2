#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0720: backends that are down, refuse, hang, lie or close, at every place (bad_backends.pl)

exec "$(dirname "$0")/peers.sh" bad_backends.pl
