#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The lab hands through what a command says and how it ends, two labs at once do not meet, and however a lab ends,
# also killed half-way, the host is as before: no process, network namespace, link, mount, pin or BPF link of it.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/clean.sh"
TMP=$(mktemp -d)
trap 'lab_reap; rm -rf "$TMP"' EXIT

# What a standing lab writes down, then it waits to be ended
NOTE='for l in /sys/fs/bpf/danelaw/links/*; do bpftool -j link show pinned $l; done | grep -o "\"id\":[0-9]*" | cut -d: -f2 >LINKS
	touch UP; exec sleep 600'

# ended HOW SIGNAL GROUP: starts a lab, ends it, looks
ended()
{
	local how=$1 signal=$2 target=$3 pid inner dir=$TMP/$2$3
	mkdir "$dir"
	env --default-signal=INT setsid tests/lab/run.sh "cd $dir; $NOTE" >"$dir/out" 2>&1 </dev/null &
	pid=$!
	ok "$how: stands" lab_wait 60 test -e "$dir/UP" || cat "$dir/out" >&2
	inner=$(pgrep -P "$(pgrep -P $pid | head -n 1)" | head -n 1)
	lab_hold "$inner"
	case $target in
	group) kill -"$signal" -- -$pid ;;
	inner) kill -"$signal" "$inner" ;;
	*) kill -"$signal" $pid ;;
	esac
	wait $pid 2>/dev/null
	ok "$how: no process of it is left" lab_wait 10 nobody_left
	like "$(wc -l <"$dir/LINKS")" '^[1-9]' "$how: the lab had BPF links of its own"
	ok "$how: no BPF link is left" lab_wait 10 bpf_links_gone "$dir/LINKS"
	is "$(host_state)" "$before" "$how: links, mounts, pins of the host as before"
}

cd "$LAB_SRC" || exit 1
tap_plan 30
root_prepare
before=$(host_state)

out=$(echo in | tests/lab/run.sh 'cat; echo "$LAB_EDGE"; exit 7' 2>"$TMP/err")
is $? 7 "the command's status"
is "$out" "in
192.0.2.25" "the command's input and output, nothing else"
is "$(cat "$TMP/err")" "" "nothing on standard error"
is "$(host_state)" "$before" "links, mounts, pins of the host as before"

for i in 1 2; do
	tests/lab/run.sh "echo $i >/run/lab/mine; touch $TMP/up$i; until [ -e $TMP/up1 -a -e $TMP/up2 ]; do sleep 0.1; done
		cat /run/lab/mine; ip -br addr show inet0 | grep -c 198.51.100.10" >"$TMP/two$i" 2>&1 &
done
wait
is "$(cat "$TMP/two1" "$TMP/two2" | tr '\n' ' ')" "1 1 2 1 " "two labs at the same time do not see each other"

EDGE_BIN=/bin/false EDGE_WAIT=5 tests/lab/run.sh true >"$TMP/out" 2>"$TMP/err" </dev/null
is "$?-$(wc -c <"$TMP/out")" "1-0" "an edge that does not start: status 1, nothing on standard output"
like "$(cat "$TMP/err")" 'danelawd does not answer.*logs are kept in build/lab/log' "and why, and where the logs are"
is "$(host_state)" "$before" "links, mounts, pins of the host as before"
like "$(LAB_CMD='' tests/lab/run.sh 2>&1)" 'no command' "no command: says so"
is "$(make -s lab CMD='echo $LAB_MX_GOOD $$LAB_MX_GOOD')" "mx.good.example mx.good.example" "make lab, either way to write \$"

ended "outer shell killed" KILL outer
ended "told to end" TERM outer
ended "Ctrl-C" INT group
ended "process 1 killed" KILL inner
tap_end
