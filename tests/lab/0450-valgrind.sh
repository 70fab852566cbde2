#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawd's life under valgrind, as root and then as its own user, with its front, a backend judged by a CA and clients by
# DANE: real mails, bad input, reloads good and bad, the end with a mail under way.  Nothing is read before it was written
# and nothing is left allocated.  Why epoll: 0703-bad-input-valgrind.sh.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
LAB_QUIET=1
lab_enter
EDGE_WRAP="valgrind --vgdb=no --suppressions=$LAB_DIR/valgrind.supp --leak-check=full --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9
	--log-file=$LAB_LOG/valgrind.%p"
EDGE_WAIT=60

conf()
{
	edge_conf | sed -e 's/^workers = 2/workers = 1 io = epoll/' -e "s,interfaces = ,deny = \"$LAB_RUN/drop.txt\" &," \
		-e "s,address = \"$LAB_MX_A:25\",& tls = ca ca = \"$LAB_RUN/tls/mx-a.pem\" tls-name = \"mx-a.farm.example\"," \
		-e 's/{ "mx-a", "mx-b" }/{ "mx-a" }/' -e 's/certificates = {/client-dane = observe &/'
	printf 'dns { trust-anchor = "%s" forwarders = { "%s" } }\n' "$LAB_TRUST_ANCHOR" $LAB_RESOLVER
}

# raw BYTES: in clear, as they are; all that comes back until the end
raw()
{
	printf "$1" | net_run internet timeout 20 perl -MIO::Socket::IP -0777 -e '
		my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 25) or exit 1;
		print $s <STDIN>;
		$s->flush;
		$s->shutdown(1);
		print <$s>' $LAB_EDGE
}

delivered()
{
	lab_wait 30 mta_mailbox "$1" >/dev/null
}

said()
{
	grep -qE "$1" $EDGE_LOG
}

tap_plan 20
lab_up
mkdir -p $LAB_EDGE_DIR
echo '198.51.100.77' >$LAB_RUN/drop.txt
conf >$EDGE_CONF
edge_start
is "$(edge_attached)" native "the front is attached"
like "$(stat -c %u "/proc/$EDGE_PID")" '^[1-9]' "it runs as its own user"

mta_send postfix bob@$LAB_DOMAIN_GOOD
mta_send clear clear-bob@$LAB_DOMAIN_GOOD
mta_send_exim exim bob@$LAB_DOMAIN_GOOD
ok "a mail from Postfix" delivered postfix
ok "one in clear" delivered clear
ok "one from Exim" delivered exim
like "$(grep ' ehlo=mail.sender.example tls=1.3 .*msgs=1' $EDGE_LOG)" 'backend_tls=ca .*client_dane=' "both sides were judged"

like "$(raw 'EHLO x.example\r\nSTARTTLS\r\nNOOP\r\n')" '554' "commands behind STARTTLS in one packet"
like "$(raw '\026\003\001\002\000\001\000\001\374\003\003')" '^220' "a ClientHello before STARTTLS"
like "$(raw 'EHLO \377\376\r\n\000\001\002\r\nN\303\266\303\266P\r\nQUIT\r\n')" '50[01].*221' "NUL and 8 bits as commands"
like "$(raw "EHLO x.example\r\n$(printf '%4000s' | tr ' ' A)\r\nQUIT\r\n")" '500.*221' "a line too long"
like "$(raw "EHLO x.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<bob@$LAB_DOMAIN_GOOD>\r\nDATA\r\nbare\nlines\r\n.\r\nQUIT\r\n")" \
	'354.*55[04]' "bare newlines in a mail"

lab_cert $LAB_RUN/tls/edge $LAB_MX_GOOD
: >$LAB_RUN/drop.txt
kill -HUP "$EDGE_PID"
ok "a reload" lab_wait 60 said 'reloaded certificates'
echo "not a CA" >$LAB_RUN/tls/mx-a.pem
kill -HUP "$EDGE_PID"
ok "one that changes nothing" lab_wait 60 said 'reload: backend "mx-a"'
like "$(smtp_mail after tls)" ^250 "a mail behind both"

smtp_hello last tls
smtp_begin last
kill -TERM "$EDGE_PID"
ok "told to end" lab_wait 60 said 'stopping'
smtp_body last last
smtp_ask last .
like "$SMTP_REPLY" ^250 "the mail under way is taken"
smtp_close last
lab_wait 60 edge_gone
wait "$EDGE_PID"
is $? 0 "the end is a good one"
ok "and the mail delivered" delivered last
like "$(cat $LAB_LOG/valgrind.*)" 'ERROR SUMMARY: 0 errors' "valgrind has seen all of it"
is "$(grep -hA 12 -E 'uninitialised|Invalid|lost in loss' $LAB_LOG/valgrind.*)" "" "and minds nothing"
tap_end
