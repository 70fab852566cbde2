#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every REASON of bpf/reasons.def is expected by a test in tests/packets, as REASON_x or NAME(x), and says its own
# sentence.  fuzz_test.c, which only allows reasons, is no such test.  TAP; TOP: the source.
cd "${TOP:-.}" || exit 1

n=0
failed=0
# what proves something: no comments, no loops over reasons
proofs() {
	for test in tests/packets/*_test.c; do
		[ "$test" = tests/packets/fuzz_test.c ] || sed -e 's,/\*.*,,; /^ \*/d; /for (/d' "$test"
	done
}
# rows MACRO PATTERN...: %s stands for the symbol
rows() {
	macro=$1
	shift
	missing=
	for symbol in $(sed -n "s/^$macro([0-9]*, \([a-z0-9_]*\),.*/\1/p" bpf/reasons.def); do
		proofs | grep -Eq "$(printf "$1" "$symbol")" || missing="$missing $symbol"
	done
	n=$((n + 1))
	if [ -n "$missing" ]; then
		echo "not ok $n - every $macro has a test in tests/packets"
		echo "#   without:$missing"
		failed=1
	else
		echo "ok $n - every $macro has a test in tests/packets"
	fi
}
rows REASON '(REASON_|NAME\()%s\\>'

n=$((n + 1))
if sed -n 's/^\(REASON\|STEER\)([0-9]*, [a-z0-9_]*,.* "\(.*\)")$/\2/p' bpf/reasons.def | sort | uniq -d | grep .; then
	echo "not ok $n - no two reasons have the same sentence"
	failed=1
else
	echo "ok $n - no two reasons have the same sentence"
fi
echo "1..$n"
exit $failed
