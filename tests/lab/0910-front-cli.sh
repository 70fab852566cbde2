#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawctl front: every subcommand against a running front, then with the daemon killed, then with no front.  What
# it says is held against what packets do: a source denied with it does not get through, one allowed does.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter

front()
{
	net_run edge danelawctl front "$@"
}

# A connection from .11 is answered with a banner; tried once, for at most a second
greeted()
{
	net_run internet python3 -c '
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], 25), timeout=1, source_address=("198.51.100.11", 0))
    sys.exit(0 if s.recv(4).startswith(b"220") else 1)
except OSError:
    sys.exit(1)' $LAB_EDGE
}

not_greeted()
{
	! greeted
}

# Rules of deny4, by bpftool alone
denied4()
{
	bpftool -j map dump pinned $LAB_PINS/maps/deny4 | json 'len(j)'
}

no_more_denied()
{
	[ "$(denied4)" = 0 ]
}

# json EXPRESSION: of the document on standard input, as j
json()
{
	python3 -c 'import json, sys
j = json.load(sys.stdin)
print(eval(sys.argv[1]))' "$1"
}

# knock OUTPUT COMMAND...: knocks from .11 until the command, which waits for samples, has ended
knock()
{
	local out=$1 pid
	shift
	front "$@" >"$out" 2>"$out.err" &
	pid=$!
	while [ -d /proc/$pid ]; do
		greeted
	done
	wait $pid
}

# pcap_of FILE: "packets first-length first-destination-port"
pcap_of()
{
	python3 - "$1" <<-'END'
		import struct, sys
		d = open(sys.argv[1], "rb").read()
		magic, major, minor, _, _, snap, link = struct.unpack("<IHHiIII", d[:24])
		assert (magic, major, minor, link) == (0xa1b23c4d, 2, 4, 1), d[:24]
		at, n, first = 24, 0, None
		while at < len(d):
		    s, ns, caplen, length = struct.unpack("<IIII", d[at:at + 16])
		    assert caplen <= snap and caplen <= length and ns < 10**9 and s > 1.7e9
		    frame = d[at + 16:at + 16 + caplen]
		    assert len(frame) == caplen
		    first = first or (length, struct.unpack(">H", frame[36:38])[0])
		    at += 16 + caplen
		    n += 1
		print(n, *first)
	END
}

runs()
{
	net_run edge bpftool -j prog show pinned $LAB_PINS/progs/front | json 'j.get("run_cnt", 0)'
}

# profiled OUTPUT OPTION...: a profile that ends, told to, when it has seen packets
profiled()
{
	local out=$1 before pid
	shift
	before=$(runs)
	(exec nsenter --net=/run/netns/edge danelawctl front profile --for 100s "$@" >"$out") &
	pid=$!
	until [ "$(runs)" -gt "$before" ]; do
		greeted
	done
	greeted
	kill -TERM $pid
	wait $pid
}

tap_plan 66
printf '198.18.0.0/15 ; SBL1\n2001:db8:66::/48 # six\n203.0.113.7\n' >$LAB_RUN/drop.txt
printf '203.0.113.0/24 ; ours\n' >$LAB_RUN/allow.txt
lab_up
mkdir -p $LAB_EDGE_DIR
edge_conf | sed "s,interfaces = { \"edge0\" },& deny = \"$LAB_RUN/drop.txt\" allow = \"$LAB_RUN/allow.txt\" source-rate = 600 flood-enter = 5000," >$EDGE_CONF
edge_start

# status
text=$(front status)
is $? 0 "status: attached is status 0"
like "$text" 'edge0 +xdp +native +veth' "status: the interface, its mode and driver"
like "$text" "steering  to 2 workers of process [0-9]+" "status: steering"
like "$text" 'flood +no: [0-9,]+ new connections/s \(begins at 5,000, ends below 2,500\)' "status: flood thresholds"
like "$text" '600 new connections a minute for a source, 60 at once' "status: the limit"
like "$text" 'vips +4 +16,384' "status: how full maps are"
is "$(front status --json | json '[l["mode"] for l in j["links"] if l["kind"] == "xdp"][0], j["steering"]["runs"], all(m["memory_bytes"] >= 0 for m in j["maps"])')" \
	"('native', True, True)" "status --json"

# a rule that is over before anyone looks: until_ns 1, then its length again
bpftool map update pinned $LAB_PINS/maps/deny4 key hex 20 00 00 00 c0 00 02 77 \
	value hex 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 20 00 00 00 $(printf '00 %.0s' {1..44})
is "$(denied4)" 1 "a rule that is over, by bpftool"
ok "danelawd takes it out, without danelawctl" lab_wait 30 no_more_denied

# deny, top
ok "a stranger is greeted" lab_wait 20 greeted
ok "deny add" front deny add 198.51.100.11 2001:db8:bad::/48 --comment "a test"
ok "and is no longer" not_greeted
like "$(front deny list)" '198\.51\.100\.11 +[1-9][0-9]* +never +a test' "deny list: hits, end, comment"
is "$(front deny list --json | json 'sorted(r["prefix"] for r in j)')" "['198.51.100.11', '2001:db8:bad::/48']" "deny list --json"
like "$(front top --interval 10ms)" 'denied_list +[0-9,]+ +[1-9][0-9,]* +the source is on a deny list \(a test\) +198\.51\.100\.11' \
	"top: the reason, its rule, its newest source"
like "$(front top --interval 10ms)" 'steer: by_cpu' "top: steering too"
is "$(front top --json --interval 10ms | json '[(r["verdict"], r["newest"]["source"], r["rule"]) for r in j["reasons"] if r["reason"] == "denied_list"]')" \
	"[('drop', '198.51.100.11', 'a test')]" "top --json"
reasons=$(sed -n 's/^REASON([0-9]*, \([a-z0-9_]*\),.*/\1/p' "$LAB_SRC/bpf/reasons.def" | sort | tr '\n' ' ')
is "$(front top --all --json --interval 10ms | json '" ".join(sorted(r["reason"] for r in j["reasons"] if r["program"] == "front"))') " "$reasons" \
	"top --all: every reason has a line"

# events
knock $LAB_RUN/e1 events --count 2
is $? 0 "events --count ends"
like "$(head -n 1 $LAB_RUN/e1)" '^20[0-9T:.-]+Z  denied_list +198\.51\.100\.11:[0-9]+ > 192\.0\.2\.25:25  \[SYN\]  [0-9]+ bytes on edge0$' "events: a line a sample"
is "$(wc -l <$LAB_RUN/e1)" 2 "events: as many as were asked for"
knock $LAB_RUN/e2 events --count 1 --json --reason denied_list
is "$(json 'j["reason"], j["source"], j["destination_port"], j["flags"], j["interface"]' <$LAB_RUN/e2)" \
	"('denied_list', '198.51.100.11', 25, 'SYN', 'edge0')" "events --json"
knock $LAB_RUN/e3 events --count 2 --pcap $LAB_RUN/e3.pcap
like "$(pcap_of $LAB_RUN/e3.pcap)" '^2 [0-9]+ 25$' "events --pcap FILE: a capture"
knock $LAB_RUN/e4 events --count 1 --pcap -
like "$(pcap_of $LAB_RUN/e4)" '^1 [0-9]+ 25$' "events --pcap -: on standard output alone"
front events --for 30s >$LAB_RUN/e5 2>&1 &
reader=$!
ok "a reader waits" lab_wait 10 grep -q 'Ctrl-C' $LAB_RUN/e5
text=$(front events --count 1 --for 5s 2>&1)
is "$?-$text" "1-danelawctl: another \`danelawctl front events\` reads the samples; there can be one at a time" "events: one reader at a time"
kill -INT "$(pgrep -f 'front events --for 30s' -n)"
wait $reader
is $? 0 "events: ends at Ctrl-C"
text=$(front events --reason nonsense 2>&1)
is $? 2 "events: a reason that there is not"
knock $LAB_RUN/e6 events --reason bad_flags --for 1s
is "$(cat $LAB_RUN/e6)" "" "events --reason: no other"

# allow, expiry, slips
ok "allow add" front allow add 198.51.100.0/24 --comment friends
ok "allowed beats denied" lab_wait 20 greeted
like "$(front allow list)" '198\.51\.100\.0/24 +[1-9][0-9]* +never +friends' "allow list"
ok "allow del" front allow del 198.51.100.0/24
ok "denied again" not_greeted
text=$(front allow del 198.51.100.0/24 2>&1)
is "$?-$text" "1-danelawctl: cannot delete 198.51.100.0/24: there is no such rule" "allow del of what is not there"
text=$(front deny add 192.0.2.9 192.0.2.1/24 2>&1)
is $? 2 "deny add of a prefix with host bits"
like "$text" 'is not an address or a prefix .* nothing was changed' "says so"
is "$(front deny list --json | json 'len(j)')" 2 "and changed nothing"
ok "deny add again, with an end" front deny add 198.51.100.11 --for 400ms --comment short
like "$(front deny list --json | json '[(r["hits"] > 0, r["left_ms"] <= 400) for r in j if r["comment"] == "short"] or "over already"')" \
	'True, True|over already' "the rule's hits go on, and its end is shown"
ok "the rule ends by itself" lab_wait 20 greeted
is "$(front deny list --json | json 'len(j)')" 1 "and is swept"
text=$(front deny add 192.0.2.9 --comment "$(printf '%044d' 0)" 2>&1)
is $? 2 "a comment that is too long"

# lists, profile
is "$(front lists --json | json '[(l["list"], l.get("file", l["from"]), l["entries"]) for l in j]')" \
	"[('allow', '$LAB_RUN/allow.txt', 1), ('allow', 'by hand', 0), ('deny', '$LAB_RUN/drop.txt', 3), ('deny', 'by hand', 1), ('verified', 'danelawd', 0), ('blocked', 'danelawd', 0)]" \
	"lists --json: all of them"
front deny add 198.51.100.11 >/dev/null
not_greeted
like "$(front lists --top 1)" 'deny, by hand: the busiest
 +prefix +hits +ends +comment
 +198\.51\.100\.11 +[1-9]' "lists: the busiest"
front deny del 198.51.100.11
before=$(runs)
greeted
is "$(runs)" "$before" "run-time statistics are off"
profiled $LAB_RUN/p1 --json
is "$(json '[(p["runs"] > 0, 20 < p["ns_per_run"] < 1e8, p["cpu_percent"] > 0) for p in j["programs"] if p["program"] == "front"]' <$LAB_RUN/p1)" \
	"[(True, True, True)]" "profile --json: runs, ns, share"
profiled $LAB_RUN/p2
like "$(cat $LAB_RUN/p2)" 'front +[0-9,]+ +[0-9]+ +[0-9.]+ % +a packet' "profile: a line a program"
before=$(runs)
greeted
is "$(runs)" "$before" "run-time statistics are off again"

# the daemon is killed
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
text=$(front status)
is $? 0 "daemon down: status: still attached"
like "$text" 'process [0-9]+ is gone: new connections are refused until danelawd runs again' "and what that means"
ok "daemon down: deny add" front deny add 198.51.100.11 --comment "while it is down"
knock $LAB_RUN/e7 events --count 1
like "$(cat $LAB_RUN/e7)" 'denied_list +198\.51\.100\.11:' "daemon down: events"
like "$(front top --interval 10ms)" 'denied_list .*\(while it is down\)' "daemon down: top"
ok "daemon down: lists" front lists
ok "daemon down: profile" front profile --for 50ms
edge_start
like "$(front deny list)" 'while it is down' "the rule outlives the daemon's restart"

# a source at its limit on sessions: the front drops its new connections until one has ended
front deny del 198.51.100.11
edge_stop
sed -i '1i limits { source-sessions = 3 }' $EDGE_CONF
edge_start
blocked()
{
	front lists --json | json '[l["entries"] for l in j if l["list"] == "blocked"][0]'
}
is_blocked()
{
	[ "$(blocked)" = "$1" ]
}
coproc HOLD { net_run internet python3 -uc '
import socket, sys
held = [socket.create_connection((sys.argv[1], 25), source_address=("198.51.100.11", 0)) for i in range(3)]
for s in held:
    assert s.recv(4) == b"220 "
print("held")
sys.stdin.readline()
held.pop().close()
print("one less")
sys.stdin.readline()' $LAB_EDGE; }
read -r -t 60 -u "${HOLD[0]}" said
is "$said" held "three of three sessions are greeted"
ok "the source is in the front's map" lab_wait 20 is_blocked 1
ok "a fourth is not" not_greeted
like "$(edge_stats)" 'limit_connections [1-9]' "it is dropped by the front"
echo >&"${HOLD[1]}"
read -r -t 60 -u "${HOLD[0]}" said
ok "when one has ended it leaves the map" lab_wait 20 is_blocked 0
ok "and another is greeted" lab_wait 20 greeted
echo >&"${HOLD[1]}"
wait "$HOLD_PID" 2>/dev/null

# no front
text=$(front status --pins $LAB_PINS-none 2>&1)
is $? 3 "no front: status 3"
like "$text" 'no front is attached: danelawd has none' "and says what that means"
front nonsense >/dev/null 2>&1
is $? 2 "a subcommand that there is not"
tap_end
