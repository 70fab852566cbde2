#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh: every fuzz target that is built runs for FUZZ_CHECK_SECONDS (5) from its seeds; TAP.
# A crash leaves its input in build/tests/fuzz/ under the name that the test prints.
# B: the build folder.
set -u
build=${B:-build}
seconds=${FUZZ_CHECK_SECONDS:-5}
top=$(pwd)
work=$(mktemp -d) || exit 1
child=
# shellcheck disable=SC2064
trap 'test -n "$child" && kill "$child" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

set -- tests/fuzz/fuzz_*.c
if [ ! -e "$1" ]; then
	echo "1..0 # SKIP no fuzz targets"
	exit 0
fi
echo "1..$#"
n=0
failed=0
for source in "$@"; do
	name=$(basename "$source" .c)
	target=$top/$build/tests/fuzz/$name
	n=$((n + 1))
	if [ ! -x "$target" ]; then
		echo "not ok $n - $name is not built: make fuzzers"
		failed=1
		continue
	fi
	mkdir -p "$work/$name"
	seeds=$top/tests/fuzz/seeds/$name
	[ -d "$seeds" ] || seeds=
	# in a folder of its own, where nothing is that an input could name; the seeds are only read
	(cd "$work/$name" && exec "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$target." . ${seeds:+"$seeds"}) >"$work/$name.log" 2>&1 &
	child=$!
	wait "$child"
	status=$?
	child=
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log")
	if [ $status -eq 0 ] && [ "${runs:-0}" -gt 0 ]; then
		echo "ok $n - $name: $runs inputs"
	else
		echo "not ok $n - $name"
		tail -n 40 "$work/$name.log" | sed 's/^/# /'
		failed=1
	fi
done
exit $failed
