#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGHUP and a backend judged by a CA (tls = ca): its file, that only root reads, is read again.  Another CA puts the
# backend out, the right one brings it back at once and not with the next probe, which is an hour away; a file that is
# no CA changes nothing, nor does a good one beside a broken certificate.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
LAB_QUIET=1
lab_enter
CA=$LAB_RUN/ca/ca.pem

conf()
{
	edge_conf | sed -e "s,address = \"$LAB_MX_A:25\",& tls = ca ca = \"$CA\" tls-name = \"mx-a.farm.example\"," \
		-e 's/{ "mx-a", "mx-b" }/{ "mx-a" }/' -e 's/interval = 500ms/interval = 1h/'
}

# ca FILE: becomes the CA's file, by rename as careful people do
ca()
{
	install -m 600 "$1" $CA.new && mv $CA.new $CA
}

served()
{
	net_run internet openssl s_client -starttls smtp -connect $LAB_EDGE:25 </dev/null 2>/dev/null |
		openssl x509 -noout -fingerprint -sha256 2>/dev/null
}

tap_plan 21
lab_up
mkdir -p $LAB_EDGE_DIR
mkdir -m 700 $LAB_RUN/ca
echo "not a certificate" >$LAB_RUN/none.pem
ca $LAB_RUN/none.pem
conf >$EDGE_CONF
edge_spawn -c $EDGE_CONF
wait "$EDGE_PID"
is $? 1 "no start with a file that is no CA"
like "$(cat $EDGE_LOG)" "backend \"mx-a\": $CA: CA certificates: " "which is named"

ca $LAB_RUN/tls/mx-a.pem
edge_start
lab_wait 10 grep -q "backend mx-a is up" $EDGE_LOG
like "$(smtp_mail first tls)" ^250 "with the right CA mail is taken"
like "$(lab_wait 10 mta_mailbox first)" /new/ "and delivered"
smtp_hello busy tls
smtp_begin busy
like "$SMTP_REPLY" ^354 "a session in the middle of a mail"

ca $LAB_RUN/tls/mx-b.pem
like "$(edge_reload)" "reloaded certificates" "another CA, SIGHUP"
like "$(smtp_mail other tls)" "^451 4.7.5 .*certificate" "the backend is not the other CA's: no mail"
like "$(cat $EDGE_LOG)" "backend mx-a is out \(unverified\): ca: no_match" "and the log says why"
smtp_body busy busy
smtp_ask busy .
like "$SMTP_REPLY" ^250 "the session of before ends its mail"
smtp_close busy

ca $LAB_RUN/tls/mx-a.pem
like "$(edge_reload)" "reloaded certificates" "the right one again, SIGHUP"
like "$(smtp_mail again tls)" ^250 "mail is taken at once"
is "$(mta_mailbox other)" "" "what was refused is nowhere"

ca $LAB_RUN/none.pem
lab_cert $LAB_RUN/tls/next $LAB_MX_GOOD
before=$(served)
cp $LAB_RUN/tls/next.both $LAB_RUN/tls/edge.pem
cp $LAB_RUN/tls/next.key $LAB_RUN/tls/edge.key
like "$(edge_reload)" "reload: backend \"mx-a\": $CA: CA certificates: .*everything stays as it was" "a file that is no CA is named"
is "$(served)" "$before" "and the certificate of before is served, too"
like "$(smtp_mail kept tls)" ^250 "mail is taken as before"
rm $CA
like "$(edge_reload)" "reload: backend \"mx-a\": $CA: No such file or directory; everything stays as it was" "a file that is gone is named"
like "$(smtp_mail kept-2 tls)" ^250 "mail is taken as before"

ca $LAB_RUN/tls/mx-b.pem
echo "not a certificate" >$LAB_RUN/tls/edge.pem
like "$(edge_reload)" 'reload: certificate "edge".*everything stays as it was' "another CA beside a broken certificate"
like "$(smtp_mail kept-3 tls)" ^250 "changes nothing: mail is taken"
ok "all of it is delivered" lab_wait 10 eval 'mta_mailbox busy && mta_mailbox kept && mta_mailbox kept-2 && mta_mailbox kept-3'
edge_stop
is $? 0 "danelawd ends well"
tap_end
