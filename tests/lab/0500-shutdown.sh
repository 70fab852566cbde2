#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# How danelawd lives and ends: as its own user without privileges; SIGTERM lets a mail in flight finish, tells idle
# clients 421, takes no new ones and ends with status 0, while the front stays for the next start; the drain has an end.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

status()
{
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$EDGE_PID/status"
}

refused()
{
	! net_banner internet $LAB_EDGE 25
}

# The XDP link's number: the same as long as the front was never off
front_link()
{
	bpftool -j link show pinned $LAB_PINS/links/xdp-edge0 | grep -o '"id":[0-9]*' | head -n 1
}

tap_plan 21
LAB_QUIET=1
lab_up
edge_start
link=$(front_link)
is "$(status Uid | cut -f1-4 | tr '\t' ' ')" "60106 60106 60106 60106" "runs as its own user"
is "$(status CapEff)$(status CapPrm)$(status CapBnd)" "000000000000000000000000000000000000000000000000" "without capabilities"
is "$(status NoNewPrivs)" 1 "and without a way to get any"

smtp_hello idle tls
smtp_hello fresh clear
smtp_hello busy tls
smtp_begin busy
like "$SMTP_REPLY" '^354' "a mail in flight"
kill -TERM "$EDGE_PID"
smtp_reply idle
like "$SMTP_REPLY" '^421 ' "SIGTERM: an idle client is told 421"
smtp_reply fresh
like "$SMTP_REPLY" '^421 ' "so is one without TLS"
smtp_reply idle
is "$SMTP_REPLY" "" "and its connection closed"
ok "no new connections" lab_wait 5 refused
[ -d "/proc/$EDGE_PID" ]
is $? 0 "danelawd waits for the mail"

first=$EDGE_PID
edge_start
second=$EDGE_PID
is "$(front_link)" "$link" "another may start meanwhile: it takes the same link over, and serves"
EDGE_PID=$first
smtp_body busy last
smtp_ask busy .
like "$SMTP_REPLY" '^250' "the mail is accepted by the backend"
like "$(lab_wait 10 mta_mailbox last)" '/new/' "and delivered"
lab_wait 10 edge_gone
wait "$EDGE_PID"
is $? 0 "then danelawd ends with status 0"
is "$(net_run edge danelawctl status --json | jq .pid)" "$second" "the control socket is that of the other"
EDGE_PID=$second
edge_stop
is $? 0 "which ends well, too"
is "$(edge_attached)" native "the front stays on the link, for the next start"
for s in idle fresh busy; do
	smtp_close $s
done

sed -i '1i timeouts { drain = 1s }' $EDGE_CONF
edge_start
is "$(front_link)" "$link" "the next start takes the same link over"
smtp_hello stuck clear
smtp_begin stuck
like "$SMTP_REPLY" '^354' "a client that stops in the middle of a mail"
kill -TERM "$EDGE_PID"
ok "does not hold up the end for longer than drain" lab_wait 10 edge_gone
wait "$EDGE_PID"
is $? 0 "status 0"
is "$(mta_mailbox stuck)" "" "and its mail is not delivered"
tap_end
