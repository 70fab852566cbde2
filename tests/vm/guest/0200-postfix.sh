#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# STARTTLS sessions from a real Postfix through the edge to a real Postfix, the front attached, on this kernel: a mail
# that DANE verifies, one that it holds back, one without TLS; by io_uring, then by epoll.
#
# kernels: stable

. "$(dirname "$0")/../../lab/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter

sent()
{
	lab_wait 60 mta_status "$1" >/dev/null
	mta_status "$1"
}

arrived()
{
	lab_wait 30 mta_mailbox "$1"
}

# mails IO: the three mails with one of the two ways of input and output
mails()
{
	edge_conf | sed "s/^workers = .*/&\nio = \"$1\"/; s/^pool \".*/pool \"farm\" { backends = { \"mx-a\" } }/" >$EDGE_CONF
	edge_start
	like "$(cat $EDGE_LOG)" "$2" "danelawd serves by $1"
	mta_send "$1-good" bob@good.example
	mta_send "$1-wrong" bob@wrong.example
	mta_send "$1-clear" clear-bob@good.example
	is "$(sent "$1-good")" sent "$1: a mail to a domain with DANE is sent"
	like "$(mta_lines "$1-good")" "Verified TLS connection established to mx.good.example" "$1: its TLS is verified"
	like "$(arrived "$1-good")" "/mx-a/new/" "$1: and it is in the mailbox"
	ok "$1: as from the sender, not from the edge" grep -F $LAB_SENDER "$(mta_mailbox "$1-good")"
	is "$(sent "$1-wrong")" deferred "$1: a mail to a domain whose record does not match is held back"
	is "$(sent "$1-clear")" sent "$1: a mail without TLS is sent"
	like "$(arrived "$1-clear")" "/mx-a/new/" "$1: and it is in the mailbox"
	edge_stop
	is $? 0 "$1: danelawd ends well"
	: >$EDGE_LOG
}

tap_plan 20
LAB_QUIET=1
EDGE_WAIT=60
lab_up
mkdir -p $LAB_EDGE_DIR
mails uring "io_uring"
mails epoll "epoll"
counts=$(edge_stats)
is "$(sed -n 's/^syn_admitted \([1-9]\).*/many/p' <<<"$counts")" many "the front saw the connections"
is "$(sed -n 's/^error_config //p' <<<"$counts")" 0 "and was whole all the time"
tap_end
