#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0700: what a stranger can send that he should not, over real sockets (bad_input.pl).

exec "$(dirname "$0")/peers.sh" bad_input.pl
