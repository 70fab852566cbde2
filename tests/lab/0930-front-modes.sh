#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How the front is attached: native, generic only where the configuration allows it and never unsaid, and where it
# cannot be attached at all danelawd ends with the reason and with what to do.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter

# front SETTINGS: the usual configuration with this front
front()
{
	edge_conf | sed "s#^front .*#front { $1 }#" >$EDGE_CONF
}

# danelawd with the configuration, which must end by itself with a fault: what it said last
refused()
{
	: >$EDGE_LOG
	edge_spawn -c $EDGE_CONF
	lab_wait 20 edge_gone || { kill -KILL "$EDGE_PID"; echo "it runs"; return; }
	wait "$EDGE_PID"
	echo "$? $(tail -n 1 $EDGE_LOG)"
}

modes()
{
	net_run edge danelawctl front status --json | jq -r '.links[] | select(.kind == "xdp") | "\(.name) \(.mode)"' | sort
}

pins()
{
	ls $LAB_PINS/links 2>/dev/null
}

# Another program on the edge's port 25 greets
others_reached()
{
	local perl served
	(exec nsenter --net=/run/netns/edge perl -MIO::Socket::IP -e '
		my $l = IO::Socket::IP->new(LocalHost => $ARGV[0], LocalPort => 25, Listen => 1, ReuseAddr => 1) or die;
		while (my $s = $l->accept) { print $s "220 another\r\n"; close $s }' $LAB_EDGE) &
	perl=$!
	lab_wait 5 net_banner edge $LAB_EDGE 25
	net_banner internet $LAB_EDGE 25
	served=$?
	kill $perl
	wait $perl
	return $served
}

tap_plan 35
lab_up
mkdir -p $LAB_EDGE_DIR

# the loopback's driver has no native XDP
front 'interfaces = { "lo" }'
like "$(refused)" '^1 danelawd: lo .* does not take native XDP: Operation not supported.*ethtool -K lo lro off.*allow generic XDP in the configuration' \
	"a driver without native XDP: refused, with the reason and what to do"
is "$(edge_attached lo)-$(pins)" "none-" "nothing is attached, nothing pinned"

# a start that fails late, after root's rights are gone, or early: the front was not there before and is not after it
long=$LAB_EDGE_DIR/$(printf '%0120d' 0)
front 'interfaces = { "edge0" }'
sed -i "1i run-dir = \"$long\"" $EDGE_CONF
like "$(refused)" '^1 danelawd: control socket .*: File name too long' "a control socket that cannot be"
is "$(edge_attached)" none "nothing stays attached"
ok "and nothing steered: who listens there is reached" others_reached
front 'interfaces = { "edge0" } deny = "/nowhere"'
refused >/dev/null
is "$(edge_attached)-$(pins)" "none-" "nor after a list that is not there"
ok "nor is anything steered" others_reached

front 'interfaces = { "edge0", "lo" } mode = generic-allowed'
edge_start
like "$(grep 'front attached' $EDGE_LOG)" 'edge0 .*native.*lo .*generic' "generic-allowed: the log tells the mode of each interface"
is "$(modes)" "edge0 native
lo generic" "and danelawctl front status"
is "$(edge_attached edge0) $(edge_attached lo)" "native generic" "and so they are: native where it can be"
edge_stop
is $? 0 "ends well"
is "$(edge_attached lo)" "generic" "the front stays on"

front 'interfaces = { "edge0" } steer = no deny = "/nowhere"'
refused >/dev/null
is "$(edge_attached edge0) $(edge_attached lo) $(pins | grep -c sk_lookup)" "native generic 1" "also when a start fails that would have no use for some of it"

front 'interfaces = { "edge0", "lo" }'
like "$(refused)" '^1 danelawd: lo .* does not take native XDP' "what an earlier run attached generic is not taken over where that is not allowed"
is "$(edge_attached lo)" "none" "but taken off"

front 'interfaces = { "edge0" }'
edge_start
is "$(modes)" "edge0 native" "with lo off the list it starts"
edge_stop

# one of the same configuration is refused while the first serves, by its control socket and by the front
front 'interfaces = { "edge0" }'
edge_start
first=$EDGE_PID
like "$(refused)" "^1 danelawd: process $first serves already and holds /run/danelaw/control.sock: end it first" \
	"a second danelawd of the same configuration is refused"
sed -i "1i run-dir = \"$LAB_EDGE_DIR/run3\"" $EDGE_CONF
like "$(refused)" "^1 danelawd: the front of this host serves the danelawd of process $first already: end that one first" \
	"so is one with another run-dir"
EDGE_PID=$first
ok "the first still greets" net_banner internet $LAB_EDGE 25
is "$(net_run edge danelawctl status --json | jq .pid)" "$first" "and answers danelawctl"
edge_stop
is $? 0 "and ends well"

# a front that nobody serves any more is taken off by who has none; one that is served is not
front 'interfaces = { "edge0" }'
edge_start
net_run edge danelawctl front deny add 203.0.113.77
{
	printf 'run-dir = "%s"\nstate-dir = "%s"\n' $LAB_EDGE_DIR/run2 $LAB_EDGE_DIR/state2
	edge_conf | sed 's,front {.*,front { mode = off },; s,^\( *\t*\)address = { .*,&\n port = 2525,'
} >$LAB_EDGE_DIR/second.conf
root_spawn edge $LAB_LOG/second "$LAB_SRC/build/danelawd" -c $LAB_EDGE_DIR/second.conf
second=$LAB_PID
ok "a second danelawd, with no front, beside" lab_wait 20 net_banner internet $LAB_EDGE 2525
is "$(edge_attached) $(pins | grep -v ^tcx | tr '\n' ' ')" "native sk_lookup xdp-edge0 " "the front of the first stays"
ok "and it is greeted" net_banner internet $LAB_EDGE 25
kill -TERM $second
wait $second
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
is "$(edge_attached)" native "the first is killed: its front stays on"
front 'mode = off'
: >$EDGE_LOG
edge_start
ok "with none in the configuration it is taken off, and sessions begin" grep -q 'the front of an earlier run was still attached and served nobody: taken off' $EDGE_LOG
is "$(edge_attached)-$(pins)" "none-" "nothing is attached"
edge_stop
front 'interfaces = { "edge0" }'
: >$EDGE_LOG
edge_start
is "$(edge_attached)" native "and on again"
like "$(net_run edge danelawctl front deny list)" '203\.0\.113\.77' "with the rules that were made by hand"
edge_stop

front 'interfaces = { "edge0" } steer = no'
edge_start
ok "steer = no after a run that steered: sessions begin" net_banner internet $LAB_EDGE 25
is "$(pins | grep -c sk_lookup)" 0 "nothing is steered"
is "$(edge_attached)" native "the front is on"
edge_stop

front 'interfaces = { "edge7" }'
like "$(refused)" '^1 danelawd: there is no interface "edge7"' "an interface that is not there"

EDGE_WRAP="setpriv --bounding-set -bpf,-sys_admin,-net_admin,-perfmon --inh-caps -bpf,-sys_admin,-net_admin,-perfmon"
like "$(refused)" '^1 danelawd: .*(root|CAP_)' "without the capabilities: which it needs"
is "$(edge_attached)" native "and what stands is left alone"
tap_end
