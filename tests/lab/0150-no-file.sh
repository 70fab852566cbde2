#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawd without a configuration file: makes a key and a certificate once, says which TLSA record to publish, and
# with that record published a real DANE sender verifies it.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter

record()
{
	grep -oE '_25\._tcp\.[^ ]+ .*TLSA 3 1 1 [0-9a-fA-F]{64}' "$1" | tail -n 1
}

start()
{
	edge_spawn --hostname $LAB_MX_GOOD --backend $LAB_MX_A:25 --backend $LAB_MX_B:25 --interface edge0
	lab_wait 20 edge_ready && [ -d "/proc/$EDGE_PID" ] || lab_die "danelawd does not answer
$(lab_tail $EDGE_LOG)"
}

tap_plan 13
LAB_QUIET=1
lab_up
start
first=$(record $EDGE_LOG)
like "$first" "^_25._tcp.$LAB_MX_GOOD. " "prints the TLSA record to publish"
is "$(edge_attached)" native "the front is attached native"
like "$(stat -c %a $LAB_ROOT/var/lib/danelaw/*.key 2>/dev/null || find $LAB_ROOT/var/lib/danelaw -type f -printf '%m\n' | sort | head -n 1)" \
	'^[64]00$' "its key is for its eyes only"
edge_stop
is $? 0 "ends well"
: >$EDGE_LOG
start
is "$(record $EDGE_LOG)" "$first" "the key is kept: the same record at the next start"
dns_mx "3 1 1 ${first##* }" | dns_zone good.example >>$LAB_LOG/zones.log 2>&1
dns_reload
mta_send own bob@$LAB_DOMAIN_GOOD
lab_wait 20 mta_status own >/dev/null
is "$(mta_status own)" sent "with the record published Postfix sends its mail"
ok "verified" grep "Verified TLS connection established to $LAB_MX_GOOD" $POSTFIX_SENDER_LOG
like "$(lab_wait 10 mta_mailbox own)" '/new/' "and it is delivered"
like "$(ps -o user= -p $EDGE_PID | tr -d ' ')" '^(danelaw|60106)$' "it runs as its own user"
edge_stop
is $? 0 "ends well again"

# The certificate is written before the key: what a crash between them leaves was never served
OWN=$LAB_ROOT/var/lib/danelaw
rm $OWN/self.key
: >$EDGE_LOG
start
like "$(record $EDGE_LOG)" "TLSA 3 1 1" "a certificate without its key is made anew, with one"
edge_stop
rm $OWN/self.crt
: >$EDGE_LOG
edge_spawn --hostname $LAB_MX_GOOD --backend $LAB_MX_A:25 --interface edge0
wait $EDGE_PID
is $? 1 "a key without its certificate: it does not start"
like "$(cat $EDGE_LOG)" "self.key is there without .*self.crt" "and says so: the key may be the one that is published"
tap_end
