#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 1601: the sessions of 1600 against danelawd built with ASan and UBSan.

B=${B:-build}
[ -x "$B/san/danelawd" ] || { echo "1..0 # SKIP $B/san/danelawd is not built"; exit 0; }
export DANELAWD=$B/san/danelawd SESSIONS=${SESSIONS:-5} PAIRS=${PAIRS:-uring/-:- epoll/-:tls epoll/1.2:- uring/1.3:tls}
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
exec "$(dirname "$0")/1600-splice.sh"
