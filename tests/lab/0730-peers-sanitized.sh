#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0730: the scenes of 0700, 0710 and 0720 against danelawd built with ASan and UBSan (io_uring), and a part of each
# under valgrind's memcheck (epoll: this valgrind lets no other thread run while one waits in io_uring_enter):
# nothing is used after it is freed, nothing read that was not written, no memory lost and no descriptor left open.
# The runs are independent of one another and go side by side.

B=${B:-build}
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root, for namespaces of its own"; exit 0; }
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

# What goes to the bare memory of a process: parsers, TLS, refusals, bodies both ways, lost peers, lost backends
PART='STARTTLS and NOOP|line too long|noise|ClientHello|reject:|normalize: .*behind 2|PROXY header|BDAT|larger|in one go'
PART+='|^reset, where|^half-closed, where|octet at a time: a (body|chunk|command)|never reads, IPv'
PART+='|at the final dot|at EHLO|at DATA|hangs|refuse|STARTTLS|by the client|in TLS, IPv4|both ways|sessions_full'

# run NAME SCRIPT: in the background; its TAP is NAME.tap
run()
{
	tests/lab/peers.sh "$2" >"$T/$1.tap" 2>"$T/$1.err" </dev/null &
}

RUNS="sanitized-input sanitized-slow sanitized-backends memcheck-input memcheck-slow memcheck-backends"
[ -x "$B/san/danelawd" ] || { echo "1..0 # SKIP $B/san/danelawd is not built"; exit 0; }
echo "1..$(wc -w <<<"$RUNS")"

export PEERS_JOBS=8
(
	export DANELAWD=$B/san/danelawd PEERS_SLOW=3
	export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
	run sanitized-input bad_input.pl
	run sanitized-slow slow_and_gone.pl
	run sanitized-backends bad_backends.pl
	wait
) &
(
	export DANELAWD=$B/danelawd PEERS_SLOW=6 PEERS_IO=epoll PEERS_ONLY=$PART
	export PEERS_WRAP="valgrind --leak-check=full --show-leak-kinds=definite,indirect --track-fds=yes --num-callers=20"
	run memcheck-input bad_input.pl
	run memcheck-slow slow_and_gone.pl
	run memcheck-backends bad_backends.pl
	wait
) &
wait

N=0
for r in $RUNS; do
	N=$((N + 1))
	good=$(grep -c '^ok ' "$T/$r.tap")
	if [ "1..$good" = "$(head -n 1 "$T/$r.tap")" ] && [ "$good" -gt 30 ]; then
		echo "ok $N - $r: all $good rows"
	else
		echo "not ok $N - $r: $good rows of $(head -n 1 "$T/$r.tap")"
		grep -v '^ok ' "$T/$r.tap" | head -n 200 | sed 's/^/# /'
		tail -n 20 "$T/$r.err" | sed 's/^/# /'
	fi
done
