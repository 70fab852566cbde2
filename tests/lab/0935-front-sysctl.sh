#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# net.ipv4.tcp_syncookies, which the kernel's SYN cookies need at 2 for an instant and then not at 0: changed only where
# the configuration allows it, and set back whatever ends: SYN protection, danelawd, danelawd by SIGKILL, and danelawd and the keeper of the
# sysctl both by SIGKILL, when the journal tells the next start, whatever that one is to do.  And where forwarding is on,
# a listener on every address is told of.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter
STATE=$LAB_EDGE_DIR/state
JOURNAL=$STATE/syncookies.journal
FLOOD=$LAB_SRC/build/tests/lab/syn_flood

syncookies()
{
	net_run edge cat /proc/sys/net/ipv4/tcp_syncookies
}

set_syncookies()
{
	ip netns exec edge sh -c "echo $1 >/proc/sys/net/ipv4/tcp_syncookies"
}

is_now()
{
	[ "$(syncookies)" = "$1" ]
}

# host FRONT-SECTION: danelawd with it
host()
{
	: >$EDGE_LOG
	edge_conf | sed "s#^	*front .*#state-dir = \"$STATE\"\nfront { $1 }#" >$EDGE_CONF
	edge_start
}

# A connection begins with a cookie of the front's
cookies_sent()
{
	net_run internet timeout 2 bash -c "</dev/tcp/$LAB_EDGE/25" 2>/dev/null
	[ "$(edge_stats | sed -n 's/^cookie_sent //p')" -gt 0 ]
}

# The keeper: a child of danelawd's by another name
keeper()
{
	pgrep -P "$EDGE_PID" -x danelawd-sysctl
}

keeper_gone()
{
	[ ! -d "/proc/$KEEPER" ]
}

# Both, the keeper first: it would undo what a dead danelawd had changed
kill_both()
{
	KEEPER=$(keeper)
	kill -KILL "$KEEPER"
	lab_wait 10 keeper_gone
	kill -KILL "$EDGE_PID"
	wait "$EDGE_PID" 2>/dev/null
}

ALWAYS='interfaces = { "edge0" } syn-protect = always syn-cookies = kernel'
OFF='interfaces = { "edge0" } syn-protect = off'

tap_plan 24
lab_up
mkdir -p $LAB_EDGE_DIR
# what XDP answers arrives on a veth pair only where the other end has a program too: this one lets all of it pass
"$FLOOD" "$FLOOD.bpf.o" redge0 00:00:00:00:00:00 $LAB_EDGE 25 0 1 >/dev/null &
is "$(syncookies)" 1 "as the kernel has it"

host "$ALWAYS syn-sysctls = no"
ok "syn-sysctls = no: the log says that no cookies are sent, and why" lab_wait 20 grep -q 'tcp_syncookies is not 2 and syn-sysctls = no' $EDGE_LOG
is "$(syncookies)$(keeper)" 1 "nothing is changed, and nobody stays who could"
edge_stop
is "$(cat $JOURNAL 2>&1)" "cat: $JOURNAL: No such file or directory" "nor is there a journal"

set_syncookies 2
host "$ALWAYS syn-sysctls = no"
ok "where it is 2 already the front sends cookies" lab_wait 20 cookies_sent
set_syncookies 0
ok "and ceases when it no longer is: nobody would take them back" lab_wait 20 grep -q 'tcp_syncookies is not 2 and syn-sysctls = no' $EDGE_LOG
is "$(syncookies)" 0 "still nothing is changed"
edge_stop

host "$ALWAYS syn-sysctls = yes"
ok "syn-sysctls = yes: changed" lab_wait 20 is_now 1
like "$(cat $JOURNAL)" '^[0-9a-f-]{36} [0-9]+ 0$' "what it was stands in the journal"
is "$(stat -c '%U %a' $JOURNAL)" "root 600" "which is root's"
edge_stop
is "$(syncookies)-$(cat $JOURNAL)" "0-" "danelawd ends: set back, nothing is left to do"

host "$ALWAYS syn-sysctls = yes"
lab_wait 20 is_now 1
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
ok "danelawd is killed: the keeper sets it back" lab_wait 10 is_now 0

# next NAME FRONT-SECTION: danelawd and its keeper are killed, and the next one has this front
next()
{
	host "$ALWAYS syn-sysctls = yes"
	lab_wait 20 is_now 1
	kill_both
	is "$(syncookies)" 1 "$1: both are killed: it stays"
	host "$2"
	is "$(syncookies)-$(cat $JOURNAL)" "0-" "$1: the next start sets it back"
	ok "$1: and says so" grep -q 'tcp_syncookies was set back' $EDGE_LOG
	edge_stop
}
next "no SYN protection" "$OFF"
next "no front" "mode = off"
next "steering alone" "interfaces = { }"

# a journal of before a reboot, or of another network namespace, is of no use
set_syncookies 1
echo "00000000-0000-0000-0000-000000000000 4026531840 0" >$JOURNAL
host "$OFF"
is "$(syncookies)" 1 "a journal of another boot changes nothing"
edge_stop

ip netns exec edge sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
host "$OFF"
is "$(grep -c 'on every address' $EDGE_LOG)" 0 "forwarding, and a listener on addresses of ours: nothing to tell"
edge_stop
: >$EDGE_LOG
edge_conf | sed '/^\t*address = { /d' >$EDGE_CONF
edge_start
like "$(cat $EDGE_LOG)" 'listener "edge" is on every address, and this host forwards \(net\.ipv4\.ip_forward\): the front takes port 25 of' \
	"forwarding, and a listener on every address: the log warns"
edge_stop
tap_end
