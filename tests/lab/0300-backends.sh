#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Backends that come and go: sessions spread over both, the other takes over, a backend that returns is used again;
# with none left the client is told 4xx and the mail stays with its sender; a backend lost in the middle of a mail
# never makes a mail accepted that is not.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

# lands_at BACKEND TOKEN: a new mail is accepted and lies there
lands_at()
{
	SERIAL=$((${SERIAL:-0} + 1))
	[[ $(smtp_mail "$2-$SERIAL") == 250* ]] && lab_wait 5 mta_mailbox "$2-$SERIAL" | grep -q "/$1/"
}

# Two sessions at the same time: prints the backends they went to
spread()
{
	local s
	for s in one two; do
		smtp_hello $s
		smtp_begin $s
	done
	for s in one two; do
		smtp_body $s "$1-$s"
		smtp_ask $s .
		smtp_close $s
	done
	lab_wait 5 mta_mailbox "$1-one" >/dev/null
	lab_wait 5 mta_mailbox "$1-two" >/dev/null
	mta_mailbox "$1-(one|two)" | cut -d/ -f5 | sort | tr '\n' ' '
}

accepts()
{
	[[ $(smtp_mail "$1") == 250* ]]
}

tap_plan 16
LAB_QUIET=1
lab_up
edge_start

is "$(spread both)" "mx-a mx-b " "two sessions at once: one at each backend"

mta_backend mx-a down
ok "mx-a down: the next mail goes to mx-b" lands_at mx-b other
is "$(spread one)" "mx-b mx-b " "mx-a down: two at once, both at mx-b"
mta_backend mx-a up
is "$(lab_wait 20 lands_at mx-a back && echo yes)" yes "mx-a up: used again after a while"

mta_backend mx-b down
ok "mx-b down: the next mail goes to mx-a" lands_at mx-a other
mta_backend mx-a down
like "$(smtp_mail lost)" '^4[25]1 ' "both down: 421 or 451"
is "$(mta_mailbox lost)" "" "both down: nothing delivered"
mta_send queued bob@$LAB_DOMAIN_GOOD
lab_wait 30 mta_status queued >/dev/null
is "$(mta_status queued)" deferred "both down: Postfix keeps its mail"

mta_backend mx-a up
ok "mx-a up: mails are taken again" lab_wait 20 accepts again
root_run internet postqueue -c $LAB_MTA/sender/etc -f
is "$(lab_wait 20 mta_mailbox queued | cut -d/ -f5)" mx-a "mx-a up: the kept mail arrives"
is "$(mta_status queued)" sent "and Postfix says so"

# in the middle of a mail
smtp_hello cut tls
like "$SMTP_REPLY" '^250' "a session over TLS"
smtp_begin cut
like "$SMTP_REPLY" '^354' "as far as DATA"
smtp_body cut cut
root_run farm postfix -c $LAB_MTA/mx-a/etc abort >>$LAB_LOG/postfix-mx-a.start 2>&1
lab_wait 10 mta_gone $LAB_MX_A
smtp_reply cut
like "$SMTP_REPLY" '^4[25]1 ' "backend lost in DATA: 421 or 451, no 250"
smtp_close cut
is "$(mta_mailbox cut)" "" "and no mail of it"
edge_stop
is $? 0 "danelawd ends well"
tap_end
