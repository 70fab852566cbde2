#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0610: the sessions of 0600, fewer, against danelawd built with ASan and UBSan: nothing is used after it is
# freed, and at the end nothing is left allocated.

B=${B:-build}
[ -x "$B/san/danelawd" ] || { echo "1..0 # SKIP $B/san/danelawd is not built"; exit 0; }
export DANELAWD=$B/san/danelawd SESSIONS=1000 BOUNDS=no
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
exec "$(dirname "$0")/0600-load.sh"
