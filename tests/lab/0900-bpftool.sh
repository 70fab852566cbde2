#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# docs/bpftool.md: every command, in its order, against a running front, its output as shown; no pin without its name
# there; and what bpftool put into deny4 and allow4 takes effect on packets.  DOC_WRITE=1: fills in the outputs of
# blocks that have none.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter

# A connection from .11 gets its banner
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

in_pins()
{
	(cd $LAB_PINS && net_run edge bash -c "$1")
}

lab_up
mkdir -p $LAB_EDGE_DIR
printf '198.18.0.0/15 ; SBL1\n2001:db8:66::/48 # six\n' >$LAB_RUN/drop.txt
edge_conf | sed "s,interfaces = { \"edge0\" },& deny = \"$LAB_RUN/drop.txt\"," >$EDGE_CONF
edge_start
DOC=$LAB_SRC/docs/bpftool.md

[ -z "${DOC_WRITE:-}" ] || { in_pins "python3 $LAB_DIR/doc_commands.py $DOC --write"; exit; }

# the commands of the document that change something, by what they do to packets
deny=$(sed -n 's/^# \(bpftool map update pinned maps\/deny4 key 32 .*\)/\1/p' "$DOC")
allow=$(sed -n 's/^# \(bpftool map update pinned maps\/allow4 key 32 .*\)/\1/p' "$DOC")
undo=$(sed -n 's/^# \(bpftool map delete .*\)/\1/p' "$DOC")
# something to count, as on any port 25
while :; do net_run internet timeout 1 bash -c "exec 3<>/dev/tcp/$LAB_EDGE/25" 2>/dev/null; done &
traffic=$!
untold=$(cd $LAB_PINS && for pin in maps/* progs/* links/*; do
	name=${pin#*/}
	grep -qw -- "${name/edge0/INTERFACE}" "$DOC" || echo "$pin"
done)
out=$(in_pins "python3 $LAB_DIR/doc_commands.py $DOC")
kill $traffic
n=$(sed -n 's/^1\.\.//p' <<<"$out")
tap_plan $((n + 10))
grep -v '^1\.\.' <<<"$out"
TAP_RUN=$n
TAP_BAD=$(grep -c '^not ok' <<<"$out")

is "$untold" "" "every pin is told of"
is "$(edge_attached)" none "detached: no program is on the interface"
ok "and connections still reach the workers" lab_wait 20 greeted
edge_stop
edge_start
is "$(edge_attached)" native "a restart attaches again"
ok "a stranger is greeted" lab_wait 20 greeted
in_pins "$deny"
ok "denied by bpftool: no longer" not_greeted
like "$(edge_stats)" 'denied_list [1-9]' "and counted"
in_pins "$allow"
ok "allowed by bpftool: greeted" lab_wait 20 greeted
in_pins "$undo"
ok "both deleted: greeted" lab_wait 20 greeted
like "$(in_pins 'bpftool map dump pinned maps/allow4; bpftool map lookup pinned maps/deny4 key 32 0 0 0 203 0 113 1')" 'ticket 4711' \
	"the other rules are still there, through the restart"
tap_end
