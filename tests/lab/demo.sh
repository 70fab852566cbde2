#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The main job on real mail servers.  What is seen goes to the terminal in lines that begin with "demo: ", and with
# the full texts to build/demo/transcript.txt.

. "$(dirname "$0")/lib.sh"
LAB_SAY=demo
TRANSCRIPT=$LAB_SRC/build/demo/transcript.txt

# The transcript first: the terminal may be gone
demo()
{
	printf 'demo: %s\n' "$*" >>"$TRANSCRIPT"
	printf 'demo: %s\n' "$*"
}

# transcript TITLE COMMAND...: the full text of something
transcript()
{
	{ printf '\n--- %s\n' "$1"; shift; "$@"; echo; } >>"$TRANSCRIPT" 2>&1
}

# The check that failed, and the logs that tell of it
demo_fail()
{
	demo "FAILED: $1" >&2
	shift
	transcript "logs" lab_tail "$@"
	lab_tail "$@" >&2
	demo "all logs of this run are in $(lab_keep demo), the story so far in build/demo/transcript.txt" >&2
	exit 1
}

# What the lab itself complains of is part of the story, too
lab_die()
{
	[ $$ != 1 ] || demo_fail "$*"
	demo "$*" >&2
	exit 1
}

lab_interrupted()
{
	demo "interrupted; the lab is gone, nothing of it is left" >&2
}

# Outside the lab: packages, build
demo_prepare()
{
	local start=$SECONDS
	mkdir -p "$LAB_SRC/build/demo"
	: >"$TRANSCRIPT"
	[ "$(id -u)" = 0 ] || lab_die "must be run as root (namespaces, mounts, XDP)"
	{ make -s --no-print-directory -C "$LAB_SRC" deps || exit 1; } | sed 's/^danelaw: /demo: /' | tee -a "$TRANSCRIPT"
	[ "${PIPESTATUS[0]}" = 0 ] || lab_die "the packages above are needed"
	make -s --no-print-directory -j2 -C "$LAB_SRC" all >"$LAB_SRC/build/demo/build.log" 2>&1 || {
		cat "$LAB_SRC/build/demo/build.log"
		lab_die "it does not build (build/demo/build.log)"
	}
	demo "built in $((SECONDS - start)) s"
}

demo_front()
{
	local counters
	[ "$(edge_attached)" = native ] || demo_fail "the front is not attached native to edge0: $(edge_attached)" $EDGE_LOG
	counters=$(edge_stats) || demo_fail "no counters in $LAB_PINS/maps/front_stats" $EDGE_LOG
	transcript "ip link show edge0" ip -n edge link show edge0
	transcript "bpftool map dump pinned $LAB_PINS/maps/front_stats" bpftool map dump pinned $LAB_PINS/maps/front_stats
	demo "front attached to edge0, native; verdicts $1: $(awk '$2 { printf "%s%s %s", s, $1, $2; s = ", " }' <<<"$counters")"
}

demo_good()
{
	local file tls
	mta_send demo-good bob@$LAB_DOMAIN_GOOD
	lab_wait 30 mta_status demo-good >/dev/null
	[ "$(mta_status demo-good)" = sent ] || demo_fail "mail 1 to $LAB_DOMAIN_GOOD was not sent" $POSTFIX_SENDER_LOG $EDGE_LOG
	tls=$(mta_lines demo-good | grep -o "Verified TLS connection established to $LAB_MX_GOOD.*") ||
		demo_fail "mail 1: Postfix did not verify the edge's certificate" $POSTFIX_SENDER_LOG $EDGE_LOG
	lab_wait 20 mta_mailbox demo-good >/dev/null || demo_fail "mail 1 is in no mailbox" $LAB_LOG/postfix-mx-a.log $EDGE_LOG
	file=$(mta_mailbox demo-good)
	grep -q "^Received: from mail.sender.example .*\[$LAB_SENDER\]" "$file" ||
		demo_fail "mail 1 arrived, but not as from $LAB_SENDER: $(grep -m 1 -A 1 ^Received: "$file")" $EDGE_LOG
	transcript "mail 1, the log of the sending Postfix" mta_lines demo-good
	transcript "mail 1, as it lies in the mailbox ($file)" cat "$file"
	demo "mail 1  postfix → $LAB_DOMAIN_GOOD    Verified TLS connection established (3 1 1 matches, ${tls#*25: })"
	demo "        delivered to $(basename "${file%/new/*}") as from $LAB_SENDER: $(grep -m 1 "\[$LAB_SENDER\]" "$file")"
}

demo_wrong()
{
	mta_send demo-wrong bob@$LAB_DOMAIN_WRONG
	lab_wait 30 mta_status demo-wrong >/dev/null
	transcript "mail 2, the log of the sending Postfix" mta_lines demo-wrong
	[ "$(mta_status demo-wrong)" = deferred ] ||
		demo_fail "mail 2 to $LAB_DOMAIN_WRONG was not deferred: $(mta_status demo-wrong)" $POSTFIX_SENDER_LOG
	mta_lines demo-wrong | grep -q 'Server certificate not verified\|certificate verification failed\|not trusted' ||
		demo_fail "mail 2 was deferred for another reason" $POSTFIX_SENDER_LOG
	! mta_mailbox demo-wrong >/dev/null || demo_fail "mail 2 was delivered" $POSTFIX_SENDER_LOG $EDGE_LOG
	demo "mail 2  postfix → $LAB_DOMAIN_WRONG   deferred by the sender, not delivered:" \
		"$(mta_lines demo-wrong | sed -n 's/.*status=deferred //p' | tail -n 1)"
}

demo_clear()
{
	local file
	mta_send demo-clear clear-bob@$LAB_DOMAIN_GOOD
	lab_wait 30 mta_status demo-clear >/dev/null
	transcript "mail 3, the log of the sending Postfix" mta_lines demo-clear
	[ "$(mta_status demo-clear)" = sent ] || demo_fail "mail 3, without TLS, was not accepted" $POSTFIX_SENDER_LOG $EDGE_LOG
	lab_wait 20 mta_mailbox demo-clear >/dev/null || demo_fail "mail 3 is in no mailbox" $LAB_LOG/postfix-mx-a.log $EDGE_LOG
	file=$(mta_mailbox demo-clear)
	grep -q "^Received: from mail.sender.example .*\[$LAB_SENDER2\]" "$file" ||
		demo_fail "mail 3 arrived, but not as from $LAB_SENDER2" $EDGE_LOG
	transcript "mail 3, as it lies in the mailbox ($file)" cat "$file"
	demo "mail 3  a sender without TLS      accepted and delivered as from $LAB_SENDER2"
}

if [ $$ != 1 ]; then
	export DEMO_START=$EPOCHSECONDS
	trap 'lab_interrupted; exit 130' INT HUP
	trap 'lab_interrupted; exit 143' TERM
	demo_prepare
fi
lab_enter

lab_up
demo "lab up: internet 198.51.100.0/24, dns (signed root, example.), edge $LAB_EDGE, farm mx-a (Postfix) mx-b (Exim)"
edge_start
demo_front "so far"
demo_good
demo_wrong
demo_clear
demo_front "at the end"
transcript "log of danelawd" cat $EDGE_LOG
edge_stop || demo_fail "danelawd ended with status $?" $EDGE_LOG
demo "ok ($((EPOCHSECONDS - DEMO_START)) s). Next: make lab CMD='swaks …', docs/quickstart.md"
