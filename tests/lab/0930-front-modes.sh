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

tap_plan 13
lab_up
mkdir -p $LAB_EDGE_DIR

# the loopback's driver has no native XDP
front 'interfaces = { "lo" }'
like "$(refused)" '^1 danelawd: lo .* does not take native XDP: Operation not supported.*ethtool -K lo lro off.*allow generic XDP in the configuration' \
	"a driver without native XDP: refused, with the reason and what to do"
is "$(edge_attached lo)-$(pins)" "none-" "nothing is attached, nothing pinned"

front 'interfaces = { "edge0", "lo" } mode = generic-allowed'
edge_start
like "$(grep 'front attached' $EDGE_LOG)" 'edge0 .*native.*lo .*generic' "generic-allowed: the log tells the mode of each interface"
is "$(modes)" "edge0 native
lo generic" "and danelawctl front status"
is "$(edge_attached edge0) $(edge_attached lo)" "native generic" "and so they are: native where it can be"
edge_stop
is $? 0 "ends well"
is "$(edge_attached lo)" "generic" "the front stays on"

front 'interfaces = { "edge0", "lo" }'
like "$(refused)" '^1 danelawd: lo .* does not take native XDP' "what an earlier run attached generic is not taken over where that is not allowed"
is "$(edge_attached lo)" "none" "but taken off"

front 'interfaces = { "edge0" }'
edge_start
is "$(modes)" "edge0 native" "with lo off the list it starts"
edge_stop

front 'interfaces = { "edge7" }'
like "$(refused)" '^1 danelawd: there is no interface "edge7"' "an interface that is not there"

EDGE_WRAP="setpriv --bounding-set -bpf,-sys_admin,-net_admin,-perfmon --inh-caps -bpf,-sys_admin,-net_admin,-perfmon"
like "$(refused)" '^1 danelawd: .*(root|CAP_)' "without the capabilities: which it needs"
is "$(edge_attached)" native "and what stands is left alone"
tap_end
