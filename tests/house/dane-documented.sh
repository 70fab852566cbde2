#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# docs/dane.md names a test for every rule of DANE: is each of them there?  And is each row of the lab's DANE tests
# named?  TAP.
cd "${TOP:-.}" || exit 1
doc=docs/dane.md
faults=$(mktemp) || exit 1
trap 'rm -f "$faults"' EXIT
n=0
failed=0
verdict() {
	n=$((n + 1))
	if [ -s "$faults" ]; then
		echo "not ok $n - $1"
		sed 's/^/#   /' "$faults"
		failed=1
	else
		echo "ok $n - $1"
	fi
}

# rows FILE: the names in the table of a lab test (up to the first '|'), as its ROWS has them
rows() {
	sed -n '/^ROWS="/,/"$/ { s/^ROWS="//; s/ *|.*//; p; }' "$1" | sed '/^$/d'
}

named() {
	grep -o "\`$1 [^\`]*\`" $doc | sed "s/^\`$1 //; s/\`\$//" | sort -u
}

for test in 1100 1300 1400; do
	file=$(ls tests/lab/$test-*.sh)
	rows "$file" | sort -u >"$faults.rows"
	[ "$(wc -l <"$faults.rows")" -ge 20 ] || echo "$file: its rows are not found any more" >>"$faults.bad"
	# named are also names that the test's own part behind the table uses
	named $test | while read -r name; do
		grep -qxF -- "$name" "$faults.rows" || grep -qF -- "$name.t.example" "$file" || echo "$file has no row $name"
	done
done >"$faults"
cat "$faults.bad" >>"$faults" 2>/dev/null
rm -f "$faults.rows" "$faults.bad"
verdict "every row of the lab that docs/dane.md names is there"

for test in 1300 1400; do
	named $test >"$faults.named"
	rows tests/lab/$test-*.sh | while read -r row; do
		grep -qxF -- "$row" "$faults.named" || echo "$test $row"
	done
done | grep -vxE '1300 (banner|mute|inject|inject-free|hang|dead|x.old|one-wrong)|1400 (pin|pin-wrong|pin-clear|ca|ca-name|ca-other|inject)' >"$faults"
rm -f "$faults.named"
verdict "every row of 1300 and 1400 that is about a rule of DANE is named"

for unit in dane:dane_test tls:tls_client_test judge:tls_judge_test served:tls_test client:session_client_test session:session_test; do
	grep -oE "\`${unit%:*} \"[^\`]*\"\`" $doc | sed "s/^\`${unit%:*} //; s/\`\$//" | sort -u | while read -r row; do
		grep -qF -- "$row" "tests/unit/${unit#*:}.c" || echo "${unit#*:} has no row $row"
	done
done >"$faults"
verdict "every unit test that it names is there"
echo "1..$n"
exit $failed
