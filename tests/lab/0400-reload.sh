#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGHUP: a new certificate is served to new sessions, old ones go on undisturbed; a broken file changes nothing.
# Then a sender that insists on DANE holds its mail until the TLSA record is public, and delivers it.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

served()
{
	net_run internet openssl s_client -starttls smtp -connect $LAB_EDGE:25 </dev/null 2>/dev/null |
		openssl x509 -noout -fingerprint -sha256 2>/dev/null
}

serves()
{
	[ "$(served)" = "$1" ]
}

fingerprint()
{
	openssl x509 -in $LAB_RUN/tls/edge.pem -noout -fingerprint -sha256
}

# The log has this, since the last time it was asked for
logged()
{
	grep -qE "$1" $EDGE_LOG
}

tap_plan 14
LAB_QUIET=1
lab_up
edge_start
old=$(fingerprint)
is "$(served)" "$old" "the first certificate is served"
smtp_hello idle tls
smtp_hello busy tls
smtp_begin busy
like "$SMTP_REPLY" '^354' "a session in the middle of a mail"

lab_cert $LAB_RUN/tls/edge $LAB_MX_GOOD
new=$(fingerprint)
kill -HUP "$EDGE_PID"
ok "after SIGHUP the new certificate is served" lab_wait 10 serves "$new"
smtp_body busy busy
smtp_ask busy .
like "$SMTP_REPLY" '^250' "the old session ends its mail"
like "$(lab_wait 10 mta_mailbox busy)" '/new/' "which is delivered"
smtp_ask idle NOOP
like "$SMTP_REPLY" '^250' "the idle one is still there"
smtp_begin idle
like "$SMTP_REPLY" '^354' "and good for a mail"
smtp_close idle
smtp_close busy

echo "not a certificate" >$LAB_RUN/tls/edge.pem
kill -HUP "$EDGE_PID"
ok "a broken file is named in the log" lab_wait 10 logged 'reload: certificate "edge"'
is "$(served)" "$new" "and the certificate of before is served"
[ -d "/proc/$EDGE_PID" ]
is $? 0 "danelawd is the same process"

# the record of the new key is not public yet
cp $LAB_RUN/tls/edge.both $LAB_RUN/tls/edge.pem
mta_send renewed bob@$LAB_DOMAIN_GOOD
lab_wait 20 mta_status renewed >/dev/null
is "$(mta_status renewed)" deferred "a key without its TLSA record: Postfix holds the mail"
dns_mx "$(dns_tlsa $LAB_RUN/tls/edge.pem)" | dns_zone good.example >>$LAB_LOG/zones.log 2>&1
dns_reload
dns_shows()
{
	[[ $(root_run internet dig +short @$LAB_RESOLVER "_25._tcp.$LAB_MX_GOOD" TLSA | tr -d ' ' | tr A-Z a-z) == \
		"$(dns_tlsa $LAB_RUN/tls/edge.pem | tr -d ' ')" ]]
}
ok "the record is published" lab_wait 20 dns_shows
# Postfix keeps the old record for its TTL, too
arrives()
{
	mta_mailbox renewed || { root_run internet postqueue -c $LAB_MTA/sender/etc -f; sleep 0.3; false; }
}
like "$(lab_wait 20 arrives)" '/new/' "and the mail delivered"
edge_stop
is $? 0 "danelawd ends well"
tap_end
