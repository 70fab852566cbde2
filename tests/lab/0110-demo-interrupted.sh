#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# make demo, interrupted at several places or failing half-way, in a copy of the source: its status tells, the story so far
# is in the transcript, and nothing of it is left, no process, namespace, link, mount, pin, BPF link or temporary file.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/clean.sh"
TMP=$(mktemp -d)
TREE=$TMP/danelaw
TRANSCRIPT=$TREE/build/demo/transcript.txt
trap 'lab_reap; rm -rf "$TMP"' EXIT

# The copy's lab stops, or stops and fails, where it is told to: a function of it does that instead of its work
copy()
{
	mkdir -p "$TREE/build/lab" "$TMP/tmp"
	cp -a Makefile VERSION bpf userspace tools tests docs "$TREE"
	cp -a build/bpf build/userspace build/tools build/danelawd build/danelawctl build/libdanelaw.a "$TREE/build"
	cp -a build/lab/root build/lab/stamp "$TREE/build/lab"
	cat >"$TMP/stop" <<-END
		#!/bin/bash
		touch $TMP/held
		until [ -e $TMP/go ]; do sleep 0.05; done
		exit 1
	END
	chmod +x "$TMP/stop"
	printf '[ -z "${STOP:-}" ] || eval "$STOP() { %s; }"\n' "$TMP/stop" >>"$TREE/tests/lab/lib.sh"
}

# demo NAME VARIABLE=VALUE: as far as where it is told to stop; its process namespace and its BPF links are noted
demo()
{
	rm -f "$TMP/held" "$TMP/go" "$TRANSCRIPT"
	env --default-signal=INT TMPDIR="$TMP/tmp" "$2" setsid make -C "$TREE" demo >"$TMP/out" 2>&1 </dev/null &
	DEMO=$!
	lab_wait 60 test -e "$TMP/held" || tap_result 1 "$1: gets there" "$(cat "$TMP/out")"
	: >"$TMP/links"
	inner || return 0
	lab_hold "$INNER"
	nsenter -t "$INNER" -m sh -c 'for l in /sys/fs/bpf/danelaw/links/*; do [ -e $l ] && bpftool -j link show pinned $l; done' |
		grep -o '"id":[0-9]*' | cut -d: -f2 >"$TMP/links"
}

# Process 1 of the demo's lab, from outside: the only child of unshare
inner()
{
	INNER=$(pgrep -P "$(pgrep -s "$DEMO" -x unshare | head -n 1)" 2>/dev/null | head -n 1)
	[ -n "$INNER" ]
}

# after NAME TEXT: what must be so when a demo has ended badly; its transcript has the text
after()
{
	wait $DEMO 2>/dev/null
	[ $? != 0 ]
	is $? 0 "$1: status not 0"
	ok "$1: no process of the lab is left" lab_wait 10 nobody_left
	ok "$1: nor one outside" lab_wait 10 eval '! pgrep -s $DEMO'
	ok "$1: no BPF link" lab_wait 10 bpf_links_gone "$TMP/links"
	is "$(host_state; ls -A "$TMP/tmp")" "$BEFORE" "$1: links, mounts, pins of the host as before, no temporary file"
	like "$(cat "$TRANSCRIPT")" "$2" "$1: the transcript tells"
}

# interrupted NAME FUNCTION SIGNAL make|group
interrupted()
{
	demo "$1" STOP="$2"
	case $4 in
	group) kill -"$3" -- -$DEMO ;;
	make) kill -"$3" $DEMO ;;
	esac
	after "$1" "demo: built in.*demo: interrupted"
}

# fails NAME TEXT VARIABLE=VALUE: what is wrong with it is on the terminal, too
fails()
{
	demo "$1" "$3"
	touch "$TMP/go"
	after "$1" "demo: built in.*$2"
	like "$(cat "$TMP/out")" "$2" "$1: and the terminal"
}

cd "$LAB_SRC" || exit 1
tap_plan $((6 * 6 + 4 * 7))
root_prepare
copy
BEFORE=$(host_state; ls -A "$TMP/tmp")
interrupted "Ctrl-C before there is a lab" root_prepare INT group
interrupted "TERM when its networks are made" net_up TERM make
interrupted "Ctrl-C when its servers stand" lab_resolv_conf INT group
interrupted "TERM between mails" mta_lines TERM make
interrupted "make killed between mails" mta_lines KILL make
interrupted "terminal gone between mails" mta_lines HUP group
fails "a lab without networks" "the lab does not come up" STOP=net_up
fails "a backend that does not start" "mx-a .Postfix. does not start" STOP=mta_mx_a_conf
fails "danelawd does not start" "danelawd does not answer" EDGE_BIN="$TMP/stop"
fails "mail 1 is not verified" "FAILED: mail 1" STOP=mta_lines
tap_end
