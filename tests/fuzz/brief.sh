#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each fuzz target over its seeds and some thousand inputs made of them.  What it finds goes to build/log;
# `make fuzz` looks longer.
set -- tests/fuzz/fuzz_*.c
echo "1..$#"
n=0
mkdir -p build/log
for source; do
	n=$((n + 1))
	name=$(basename "$source" .c)
	seeds=tests/fuzz/seeds/$name
	corpus=$(mktemp -d) || exit 1
	[ -d "$seeds" ] || seeds=
	if "build/tests/fuzz/$name" -runs=20000 -max_total_time=20 -verbosity=0 -artifact_prefix="build/log/$name." \
		"$corpus" $seeds >&2; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
	fi
	rm -rf "$corpus"
done
