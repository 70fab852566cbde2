#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# spread = cpumap: on an interface of one queue, fed by one CPU, connections are served by the workers of both CPUs, each
# through the stack on its own, and all of them are; without it one CPU does everything.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter

CONNECTIONS=40

conf()
{
	edge_conf | sed "s,interfaces = { \"edge0\" },& $1," >$EDGE_CONF
}

# So many sessions from banner to QUIT, one after the other, all sent from CPU 0: how many were served to the end
sessions()
{
	net_run internet taskset -c 0 python3 - $CONNECTIONS $LAB_EDGE $LAB_EDGE6 <<-'END'
		import socket, sys
		served = 0
		for i in range(int(sys.argv[1])):
		    try:
		        with socket.create_connection((sys.argv[2 + i % 2], 25), 20) as s:
		            f = s.makefile("rwb")
		            greeted = f.readline().startswith(b"220 ")
		            f.write(b"QUIT\r\n")
		            f.flush()
		            served += greeted and f.readline().startswith(b"221 ")
		    except OSError as e:
		        print("#", e, file=sys.stderr)
		print(served)
	END
}

# The CPUs on which new connections were steered
steered_on()
{
	bpftool -j map dump pinned $LAB_PINS/maps/steer_stats | python3 -c '
import json, sys
values = json.load(sys.stdin)[0]["formatted"]["values"]
print(*[v["cpu"] for v in values if v["value"]["by_cpu"] + v["value"]["by_hash"]])'
}

also()
{
	edge_stats front_also | awk -v name="$1" '$1 == name { print $2 }'
}

status()
{
	net_run edge danelawctl front status "$@"
}

if [ "$(nproc)" -lt 2 ]; then
	echo "1..0 # SKIP needs two CPUs"
	exit 0
fi
tap_plan 13
lab_up
mkdir -p $LAB_EDGE_DIR
ok "an interface of one queue" eval "ethtool -L redge0 tx 1 && net_run edge ethtool -L edge0 rx 1"

conf ''
edge_start
is "$(sessions)" $CONNECTIONS "off: all are served"
is "$(also spread_sent) $(also spread_here)" "0 0" "off: nothing is sent on"
like "$(status)" 'spread +no: packets pass on the CPU that they came in on' "off: status says so"
edge_stop
rm -rf $LAB_PINS

conf 'spread = cpumap spread-queue = 1024'
edge_start
like "$(grep 'front attached' $EDGE_LOG | tail -n 1)" 'steered to 2 workers, spread over their CPUs by cpumap' "cpumap: the log says so"
is "$(sessions)" $CONNECTIONS "cpumap: all are served"
is "$(steered_on)" "0 1" "cpumap: by both CPUs"
ok "cpumap: packets were sent on" test "$(also spread_sent)" -gt $CONNECTIONS
ok "and passed where they were at home" test "$(also spread_here)" -gt $CONNECTIONS
is "$(also spread_failed)" 0 "and none was in want of a queue"
like "$(status)" 'spread +over the CPUs of 2 workers, up to 1,024 packets waiting for each' "cpumap: status says so"
is "$(status --json | jq -c .spread)" '{"cpus":2,"queue_packets":1024}' "and status --json"

edge_stop
conf ''
edge_start
is "$(status --json | jq -c .spread)" '{"cpus":0,"queue_packets":0}' "and off again"
edge_stop
tap_end
