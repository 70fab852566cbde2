#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Mails from real senders (Postfix and Exim, both with DANE) through the edge to real backends (Postfix and Exim,
# both with PROXY headers), over IPv4 and IPv6: what is delivered, verified or held back is as DNS says.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter

# domain, what becomes of a mail, Postfix's word for the TLS session, Exim's CV=
CASES="good sent Verified dane
wrong deferred - -
none sent Untrusted no
bogus deferred - -
tlsabogus deferred - -
insecure sent Untrusted no"

# postfix_mail BACKEND DOMAIN LOCALPART WANTED WORD FROM
postfix_mail()
{
	local backend=$1 domain=$2.example local=$3 wanted=$4 word=$5 from=$6 token=$1-$3$2 what
	what="postfix → $backend, $local${2}"
	lab_wait 20 mta_status "$token" >/dev/null
	is "$(mta_status "$token")" "$wanted" "$what: $wanted"
	if [ "$wanted" = sent ]; then
		like "$(lab_wait 10 mta_mailbox "$token")" "/$backend/new/" "$what: in the mailbox of $backend"
		ok "$what: from $from, not from the edge" grep -F "$from" "$(mta_mailbox "$token" | head -n 1)"
		[ "$word" = - ] || ok "$what: $word TLS connection" grep "$word TLS connection established to mx.$domain" $POSTFIX_SENDER_LOG
	else
		is "$(mta_mailbox "$token")" "" "$what: in no mailbox"
	fi
}

exim_mail()
{
	local backend=$1 domain=$2.example local=$3 wanted=$4 cv=$5 from=$6 token=$1-exim-$3$2 what line
	what="exim → $backend, $local${2}"
	mta_send_exim "$token" "${local}u@$domain"
	if [ "$wanted" = sent ]; then
		line=$(grep -F "$(grep -F "id=$token@" $LAB_LOG/exim-exim-main.log | cut -d' ' -f3) => " $LAB_LOG/exim-exim-main.log)
		like "$line" "CV=$cv " "$what: sent, CV=$cv"
		like "$(lab_wait 10 mta_mailbox "$token")" "/$backend/new/" "$what: in the mailbox of $backend"
		ok "$what: from $from, not from the edge" grep -F "$from" "$(mta_mailbox "$token" | head -n 1)"
	else
		line=$(grep -F "$(grep -F "id=$token@" $LAB_LOG/exim-exim-main.log | cut -d' ' -f3) == " $LAB_LOG/exim-exim-main.log)
		like "$line" "defer" "$what: deferred"
		is "$(mta_mailbox "$token")" "" "$what: in no mailbox"
	fi
}

# All mails of one backend: Postfix gets its own all at once, and is looked at when Exim is through
round()
{
	local backend=$1 domain wanted word cv local
	while read -r domain wanted word cv; do
		for local in "" v6-; do
			mta_send "$backend-$local$domain" "${local}u@$domain.example"
		done
	done <<<"$CASES"
	mta_send "$backend-clear-good" clear-u@good.example
	while read -r domain wanted word cv; do
		exim_mail "$backend" "$domain" "" "$wanted" "$cv" $LAB_SENDER2
		exim_mail "$backend" "$domain" v6- "$wanted" "$cv" $LAB_SENDER26
		postfix_mail "$backend" "$domain" "" "$wanted" "$word" $LAB_SENDER
		postfix_mail "$backend" "$domain" v6- "$wanted" "$word" $LAB_SENDER6
	done <<<"$CASES"
	postfix_mail "$backend" good clear- sent - $LAB_SENDER2
}

# a round: 3 deferred domains with 2 checks, 3 sent ones with 4 (Postfix) or 3 (Exim), each twice; 3 more in clear
tap_plan $((2 * (2 * (3 * 2 + 3 * 4) + 2 * (3 * 2 + 3 * 3) + 3) + 3))
LAB_QUIET=1
lab_up
mkdir -p $LAB_EDGE_DIR
for backend in mx-a mx-b; do
	edge_conf | sed "s/^pool \".*/pool \"farm\" { backends = { \"$backend\" } }/" >$EDGE_CONF
	edge_start
	[ $backend = mx-b ] || is "$(edge_attached)" native "the front is attached native"
	round $backend
	edge_stop
	is $? 0 "danelawd before $backend ends well"
done
tap_end
