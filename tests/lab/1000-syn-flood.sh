#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 1000: a flood of SYNs with forged sources.  First the host alone, danelawd without a front, at a flood in which it
# completes fewer than half of the sessions that real clients try; then the same flood with the front, on both kinds of
# SYN cookies: every session is completed, and nothing grows.
#
# What was set, for all three alike.  CPU 1 is the Internet (the flood, 2.5 million SYNs a second or what it can, and
# the clients); CPU 0 is the host (danelawd, everything else).  edge0 has its receive queues' packets processed on CPU 0 (rps_cpus), as
# a card with one interrupt has; on veth the program in XDP runs before that, where the frame is sent.  All of TCP
# is as the kernel has it: tcp_syncookies 1, tcp_max_syn_backlog, somaxconn, netdev_max_backlog untouched.  Clients
# wait 100 ms before each line, and have so many seconds for a session as first make the host alone fail: 10, 7 or 5.
#
# Only what is completed decides; times are told, and mean little on a machine that does other things too.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
P=$LAB_SRC/build/tests/lab
[ "$(nproc)" -ge 2 ] || { echo "1..0 # SKIP needs two CPUs"; exit 0; }
lab_enter

SESSIONS=48
ONE_LINE='SYN flood: [0-9]* new connections a second'

flood_start()
{
	taskset -c 1 "$P/syn_flood" "$P/syn_flood.bpf.o" redge0 "$MAC" $LAB_EDGE 25 100000000 2500000 >$LAB_LOG/flood &
	FLOOD=$!
}

flood_stop()
{
	kill "$FLOOD"
	wait "$FLOOD"
	echo "# $1: flood: $(tail -n 1 $LAB_LOG/flood)"
}

# sessions NAME SOURCE COUNT: SESSIONS_OK of them were completed
sessions()
{
	local line
	line=$(net_run internet taskset -c 1 "$P/sessions" "$2" $LAB_EDGE 25 "$3" 12 "$BUDGET" 100 bob@$LAB_DOMAIN_GOOD)
	echo "# $1: $line"
	SESSIONS_OK=${line#completed=}
	SESSIONS_OK=${SESSIONS_OK%% *}
}

half_open()
{
	net_run edge ss -Htn state syn-recv | wc -l
}

slab()
{
	awk '/^request_sock_TCP/ { n += $2 } END { print n + 0 }' /proc/slabinfo
}

counter()
{
	edge_stats | awk -v name="$1" '$1 == name { print $2 }'
}

# Elements and bytes of every map of the front: "name elements bytes" a line
maps()
{
	net_run edge danelawctl front status --json | python3 -c '
import json, sys
for m in json.load(sys.stdin)["maps"]:
    print(m["name"], m.get("used", "-"), m["memory_bytes"])'
}

# Connections that the kernel tracks in the host's namespace
tracked()
{
	net_run edge cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0
}

# Bytes of danelawd
memory()
{
	awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$EDGE_PID/status"
}

syncookies()
{
	net_run edge cat /proc/sys/net/ipv4/tcp_syncookies
}

# What the host's kernel counts of connections that it makes of cookies or gives up, and packets its queue had no room for
lost()
{
	net_run edge nstat -a -s -z TcpExtSyncookiesSent TcpExtSyncookiesFailed TcpExtListenOverflows TcpExtListenDrops |
		awk '/^Tcp/ { printf "%s %s ", substr($1, 7), $2 }'
	echo "QueueDrops $((16#$(awk 'NR == 1 { print $2 }' /proc/net/softnet_stat)))"
}

kernel_cookies()
{
	net_run edge nstat -a -s -z TcpExtSyncookiesSent | awk '/^Tcp/ { print $2 }'
}

# The backlog has emptied: while it is full the kernel answers with cookies itself, whoever asks
room_again()
{
	[ "$(half_open)" -lt 2048 ]
}

logged()
{
	grep -q "$1" $EDGE_LOG
}

# host FRONT-SECTION: danelawd with it; the receive queues as told above
host()
{
	: >$EDGE_LOG
	mkdir -p $LAB_EDGE_DIR
	edge_conf | sed "s/^front {.*/front { $1 }/" >$EDGE_CONF
	net_run edge ethtool -K edge0 gro on
	edge_start
	ip netns exec edge sh -c 'for q in /sys/class/net/edge0/queues/rx-*; do echo 1 >$q/rps_cpus; done'
}

more_than()
{
	[ "$1" -gt "$2" ]
}

# flat WHAT BEFORE AFTER: no more than before, but for those of the sessions themselves
flat()
{
	[ "$3" -le $(($2 + SESSIONS)) ]
	tap_result $? "$1 ($2 before, $3 after)" "it grew"
}

with_front()
{
	local kind=$1 before after slab_before maps_before memory_before sent kernels
	host "interfaces = {\"edge0\"} syn-cookies = $kind syn-sysctls = yes"
	net_run edge danelawctl front allow add $LAB_SENDER2
	sessions "$kind, before the flood" $LAB_SENDER $SESSIONS
	is "$SESSIONS_OK" $SESSIONS "$kind: every session is completed before the flood"
	memory_before=$(memory) maps_before=$(maps)
	sent=$(counter cookie_sent)
	flood_start
	ok "$kind: the flood is noticed" lab_wait 20 logged "$ONE_LINE"
	# the front answers, and what it let through until then is dealt with
	lab_wait 20 more_than_counter cookie_sent $((sent + 1000000))
	before=$(half_open) slab_before=$(slab)
	echo "# $kind: $(lost)"
	sessions "$kind" $LAB_SENDER $SESSIONS
	echo "# $kind: $(lost)"
	after=$(half_open)
	is "$SESSIONS_OK" $SESSIONS "$kind: every session is completed"
	flat "$kind: half-open connections" "$before" "$after"
	echo "# $kind: request sockets of the machine: $slab_before before, $(slab) after"
	# forged sources are nowhere kept: not in the front, not by netfilter, and danelawd does not even hear of them
	is "$(maps)" "$maps_before" "$kind: every map of the front holds what it held before the flood, in as many bytes"
	is "$(tracked)" 0 "$kind: and no connection is tracked"
	sent=$(counter cookie_sent) after=$(($(memory) - memory_before))
	ok "$kind: danelawd has grown by less than a byte for each of the $sent SYNs answered ($after)" test "$after" -lt "$sent"
	lab_wait 60 room_again
	before=$(counter allowed_list) kernels=$(kernel_cookies)
	sessions "$kind, on the allow list" $LAB_SENDER2 6
	is "$SESSIONS_OK" 6 "$kind: sources on the allow list complete theirs"
	after=$(counter allowed_list)
	ok "$kind: and meet no cookie" test $((after - before)) -ge 6
	is "$(kernel_cookies)" "$kernels" "$kind: nor one of the kernel's own making"
	flood_stop "$kind"
	echo "# $kind: $(edge_stats | grep -v ' 0$' | tr '\n' ' ')"
	ok "$kind: the flood is over" lab_wait 40 logged "SYN flood over"
	is "$(syncookies)" 1 "$kind: net.ipv4.tcp_syncookies is 1, as it was"
	sent=$(counter cookie_sent) before=$(counter syn_admitted)
	sessions "$kind, afterwards" $LAB_SENDER 6
	is "$SESSIONS_OK, $(($(counter cookie_sent) - sent)) cookies" "6, 0 cookies" "$kind: then sessions begin without cookies"
}

more_than_counter()
{
	[ "$(counter "$1")" -gt "$2" ]
}

tap_plan 31
LAB_QUIET=1
taskset -cp 0 $$ >/dev/null
lab_up
PATH=$PATH:$LAB_SRC/build
MAC=$(ip -n edge -o link show edge0 | sed 's/.*link\/ether \([0-9a-f:]*\).*/\1/')
# what is answered to forged sources ends at the wire
"$P/syn_flood" "$P/syn_flood.bpf.o" redge0 "$MAC" $LAB_EDGE 25 0 1 >/dev/null &
is "$(syncookies)" 1 "the kernel's own SYN cookies are on, as always"

for BUDGET in 10 7 5; do
	host "mode = off"
	flood_start
	lab_wait 10 eval '[ "$(half_open)" -gt 1000 ]'
	sessions "no front, $BUDGET s a session" $LAB_SENDER $SESSIONS
	echo "# no front: $(half_open) half-open connections, $(slab) request sockets of the machine"
	flood_stop "no front"
	edge_stop
	[ $((SESSIONS_OK * 2)) -ge $SESSIONS ] || break
done
ok "no front: fewer than half of the sessions are completed ($SESSIONS_OK of $SESSIONS)" test $((SESSIONS_OK * 2)) -lt $SESSIONS

with_front own
edge_stop
is $? 0 "own: danelawd ends well"
with_front kernel
# a daemon that is killed in a flood leaves no sysctl behind
ip netns exec edge sh -c "echo 0 >/proc/sys/net/ipv4/tcp_syncookies"
flood_start
ok "kernel: a second flood: net.ipv4.tcp_syncookies is no longer 0" lab_wait 20 eval '[ "$(syncookies)" != 0 ]'
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
ok "kernel: killed: net.ipv4.tcp_syncookies is 0 again" lab_wait 10 eval '[ "$(syncookies)" = 0 ]'
flood_stop "kernel, killed"
tap_end
