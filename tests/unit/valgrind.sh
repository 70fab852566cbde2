#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Unit tests of what strangers' octets go through, under valgrind: memory read before it was written, which the
# sanitizers do not see, and leaks.  TAP; B: the build folder.
set -u
build=${B:-build}
set -- smtp_test session_test config_test buf_test
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
echo "1..$#"
n=0
failed=0
for test in "$@"; do
	n=$((n + 1))
	if valgrind -q --vgdb=no --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=9 \
		"$build/tests/unit/$test" >"$work/log" 2>&1; then
		echo "ok $n - $test under valgrind"
	else
		echo "not ok $n - $test under valgrind"
		tail -n 40 "$work/log" | sed 's/^/# /'
		failed=1
	fi
done
exit $failed
