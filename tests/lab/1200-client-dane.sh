#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients judged by TLSA records: Postfix comes as seven kinds of client to a listener of each mode.  What the log, the
# backend, the front and the sender make of it; records that are revoked while the daemon runs; resumed sessions; the
# draft's extension; validation that does not work.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

DNS_ZONES+=" lame.example" # delegated, but its server has no such zone: SERVFAIL
TLS=$LAB_RUN/tls
PORTS="off:2501 observe:2502 enforce:2503 require:2504"
TLV_LOG=$LAB_LOG/tlv.log
EXTENSION=65486

# kind, EHLO name, certificate
CLIENTS="right mail.sender.example right
smtpclient mta.sender.example mta
wrong mail.sender.example other
nocert mail.sender.example -
bogus mail.bogus.example right
insecure mail.insecure.example right
failed mail.lame.example right"

# ---- set up ----

client_certs()
{
	# no dNSName that is one of ours: EHLO alone decides
	lab_cert $TLS/right key.invalid && lab_cert $TLS/mta mta.invalid && lab_cert $TLS/other other.invalid && lab_cert $TLS/edge2 edge.invalid
}

# sender_zone RECORD-OF: what mail.sender.example publishes
sender_zone()
{
	dns_zone sender.example <<-END
		mail A $LAB_SENDER
		mta A $LAB_SENDER
		_25._tcp.mail TLSA $(dns_tlsa $TLS/$1.pem)
		_smtp-client.mta TLSA $(dns_tlsa $TLS/mta.pem)
		_smtp-client.ext TLSA $(dns_tlsa $TLS/mta.pem)
	END
}

zones()
{
	local r
	r="_25._tcp.mail TLSA $(dns_tlsa $TLS/right.pem)"
	sender_zone right && { dns_mx; echo "$r"; } | dns_zone bogus.example bogus &&
		{ dns_mx; echo "$r"; } | dns_zone insecure.example unsigned && dns_reload
}

postfix_clients()
{
	local d=$LAB_MTA/sender/etc kind helo cert mode
	while read -r kind helo cert; do
		printf 'c-%s unix - - n - - smtp\n  -o syslog_name=postfix/c-%s -o smtp_helo_name=%s -o smtp_tls_security_level=encrypt\n' \
			$kind $kind $helo
		[ $cert = - ] || printf '  -o smtp_tls_cert_file=%s -o smtp_tls_key_file=%s\n' $TLS/$cert.pem $TLS/$cert.key
	done <<<"$CLIENTS" >>$d/master.cf
	while read -r kind helo cert; do
		for mode in $PORTS tlv:2505; do
			printf '/^%s-%s-/ c-%s:[%s]:%s\n' $kind ${mode%:*} $kind $LAB_EDGE ${mode#*:}
		done
	done <<<"$CLIENTS" >$d/transport
	root_run internet postfix -c $d reload >>$LAB_LOG/postfix-sender.start 2>&1
}

listeners()
{
	local mode
	for mode in $PORTS; do
		cat <<-END
			listener "${mode%:*}" {
				address = { "$LAB_EDGE" }
				port = ${mode#*:}
				certificates = { "edge" }
				pool = "farm"
				client-dane = ${mode%:*}
				policies = { "listed", "earned" }
			}
		END
	done
}

client_conf()
{
	edge_conf
	listeners
	cat <<-END
		dns {
			trust-anchor = "/etc/danelaw-anchor"
			forwarders = { "$LAB_RESOLVER" }
			probe-interval = 1s
			deadline = 4s
		}
		timeouts { client-verdict = 6s }
		tls { client-id-extension = $EXTENSION }
		state-dir = "$LAB_EDGE_DIR/state"
		backend "tlv" { address = "$LAB_MX_A:2600" proxy-budget = 536 }
		pool "tlv" { backends = { "tlv" } }
		policy "listed" {
			names = { "mail.sender.example" }
			relay = splice
			lane = 1h
		}
		policy "earned" {
			verdicts = { verified }
			lane = 1h
			lane-after = 2
		}
		policy "nobody-else" {
			networks = { "$LAB_SENDER2/32" }
			client-dane = require
			names = { ".partner.example" }
		}
		listener "tlv" {
			address = { "$LAB_EDGE" }
			port = 2505
			certificates = { "edge" }
			pool = "tlv"
			client-dane = observe
			policies = { "nobody-else" }
		}
	END
}

# ---- looking ----

lines()
{
	grep -c " end=" $EDGE_LOG
}

more_lines()
{
	[ "$(lines)" -gt "$1" ]
}

# come KIND MODE: one mail by Postfix; sets STATUS (of the sender), REPLY (what it was told) and LINE (of our log)
come()
{
	local token=$1-$2-$((SERIAL = ${SERIAL:-0} + 1)) before
	before=$(grep -c " lst=$2 " $EDGE_LOG)
	mta_send $token $1-$2-$SERIAL@$LAB_DOMAIN_GOOD
	STATUS=$(lab_wait 40 mta_status $token)
	REPLY=$(mta_lines $token | grep " status=" | tail -n 1 | sed 's/.* status=//')
	lab_wait 10 has_more " lst=$2 " $before
	LINE=$(grep " lst=$2 " $EDGE_LOG | tail -n 1)
}

has_more()
{
	[ "$(grep -c "$1" $EDGE_LOG)" -gt "$2" ]
}

field()
{
	sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$LINE"
}

# judged KIND MODE VERDICT STATUS REPLY-REGEX
judged()
{
	come $1 $2
	is "$(field client_dane) $STATUS" "$3 $4" "$2: $1 is $3, its mail is $4"
	[ -z "${5:-}" ] || like "$REPLY" "$5" "$2: and $1 is told why"
}

in_lane()
{
	bpftool -j map dump pinned $LAB_PINS/maps/verified | grep -q "\"$1\""
}

validates()
{
	grep -q 'validation works' $EDGE_LOG
}

# ---- tests ----

tap_plan 72
LAB_QUIET=1
lab_up
client_certs && zones || lab_die "zones"
postfix_clients
cp $LAB_TRUST_ANCHOR $LAB_ROOT/etc/danelaw-anchor
mkdir -p $LAB_EDGE_DIR
client_conf >$EDGE_CONF
root_spawn farm $TLV_LOG perl $LAB_DIR/tlv_backend.pl $LAB_MX_A 2600
lab_wait 10 net_listens farm $LAB_MX_A 2600
edge_start
ok "validation works, and the log says so" lab_wait 30 validates
ok "the backend that shows headers is up" lab_wait 20 grep -q '^header LOCAL' $TLV_LOG

for kind in right smtpclient wrong nocert bogus insecure failed; do
	judged $kind off "" sent
done
like "$LINE" '.' "off: the log has the session"

judged right observe verified:mail.sender.example sent
like "$LINE" ' policy=listed relay=splice copied=[1-9][0-9]* piped=[0-9]+ ktls=[0-9]+ cmds=' "observe: the policy that fits is named, and how it was relayed"
ok "observe: the source of a listed name is in the front's lane" lab_wait 5 in_lane mail.sender.example
judged wrong observe mismatch sent
ok "observe: a source that does not match any more is out of it" eval '! in_lane mail.sender.example'
judged nocert observe none sent
judged bogus observe lookup_failed sent
judged insecure observe insecure sent
judged failed observe lookup_failed sent
judged smtpclient observe verified:mta.sender.example sent
ok "observe: a name without a history is not" eval '! in_lane mta.sender.example'
judged smtpclient observe verified:mta.sender.example sent
judged smtpclient observe verified:mta.sender.example sent
ok "observe: after two clean sessions it is" lab_wait 5 in_lane mta.sender.example

judged right enforce verified:mail.sender.example sent
judged smtpclient enforce verified:mta.sender.example sent
judged wrong enforce mismatch bounced ' 550 5\.7\.5 '
judged nocert enforce none sent
judged bogus enforce lookup_failed sent
judged insecure enforce insecure sent
judged failed enforce lookup_failed sent

judged right require verified:mail.sender.example sent
judged smtpclient require verified:mta.sender.example sent
judged wrong require mismatch bounced ' 550 5\.7\.5 '
like "$LINE" ' end=client_refused' "require: and so the session ended"
judged nocert require none bounced ' 550 5\.7\.1 '
judged bogus require lookup_failed deferred ' 451 4\.7\.5 '
like "$LINE" ' end=client_lookup' "require: and so the session ended"
judged insecure require insecure bounced ' 550 5\.7\.1 '
judged failed require lookup_failed deferred ' 451 4\.7\.5 '
SMTP_PORT=2504 smtp_hello plain
smtp_ask plain "MAIL FROM:<alice@sender.example>"
like "$SMTP_REPLY" '^530 ' "require: without TLS it is 530"
smtp_close plain

# what a backend hears
: >$TLV_LOG
come right tlv
like "$(grep -v LOCAL $TLV_LOG | head -n 1)" "^header PROXY .*ssl=7 verify=0 .*cn=key.invalid .*e1=verified:mail.sender.example" \
	"the backend sees a verified client in the header"
: >$TLV_LOG
come nocert tlv
like "$(grep -v LOCAL $TLV_LOG | head -n 1)" "^header PROXY .*ssl=1 verify=1 .*e1=none" "and one that showed nothing"
: >$TLV_LOG
come wrong tlv
like "$(grep -v LOCAL $TLV_LOG | head -n 1)" "^header PROXY .*ssl=7 verify=1 .*e1=mismatch" "and one that does not match"

# by network: from another address the policy requires a name
SMTP_FROM=$LAB_SENDER2 SMTP_PORT=2505 smtp_open other tls -cert $TLS/right.pem -key $TLS/right.key
smtp_ask other "EHLO mail.sender.example"
smtp_ask other "MAIL FROM:<alice@sender.example>"
like "$SMTP_REPLY" '^550 5\.7\.1 .*not for a name' "a policy by network: verified, but as none of its names"
smtp_close other

# a record is revoked while we run
sender_zone other && dns_reload
revoked()
{
	come right require
	[ "$(field client_dane) $STATUS" = "mismatch bounced" ]
}
ok "revoked while running: soon the key is refused" lab_wait 60 revoked
taken()
{
	come wrong require
	[ "$(field client_dane) $STATUS" = "verified:mail.sender.example sent" ]
}
ok "and the key published instead is verified" lab_wait 60 taken
sender_zone right && dns_reload
mended()
{
	come right require
	[ "$(field client_dane) $STATUS" = "verified:mail.sender.example sent" ]
}
ok "published again, verified again" lab_wait 60 mended

# ---- resumption ----

# resume NAME [OPTIONS]: a session with the ticket of $LAB_RUN/ticket; LINE
resume()
{
	local name=$1 before
	shift
	before=$(grep -c " lst=require " $EDGE_LOG)
	SMTP_PORT=2504 smtp_open $name tls -tls1_3 -cert $TLS/right.pem -key $TLS/right.key "$@"
	smtp_ask $name "EHLO mail.sender.example"
	smtp_ask $name "MAIL FROM:<alice@sender.example>"
	MAIL_REPLY=$SMTP_REPLY
	smtp_ask $name QUIT
	smtp_close $name
	lab_wait 10 has_more " lst=require " $before
	LINE=$(grep " lst=require " $EDGE_LOG | tail -n 1)
}

# the records may have a second left or five: tried until the second session is in time
resumes()
{
	resume first -sess_out $LAB_RUN/ticket
	[ "$(field resumed) $(field client_dane)" = "no verified:mail.sender.example" ] || return
	resume second -sess_in $LAB_RUN/ticket
	[ "$(field resumed) $(field client_dane)" = "yes verified:mail.sender.example" ]
}
ok "resumed while the records live: the verdict comes in the ticket" lab_wait 60 resumes
like "$LINE" 'client_why="carried by the ticket' "and the log says where it came from"
sender_zone other && dns_reload
# the records live 5 s; by then the ticket does not resume, whenever it is tried
sleep 6
resume third -sess_in $LAB_RUN/ticket
is "$(field resumed) $(field client_dane) ${MAIL_REPLY:0:9}" "no mismatch 550 5.7.5" \
	"once the records have ended: a full handshake, and the new verdict"
sender_zone right && dns_reload

# ---- the draft's extension ----

extension_line()
{
	local before
	before=$(grep -c " lst=observe " $EDGE_LOG)
	nsenter --net=/run/netns/internet $LAB_SRC/build/tests/lab/clientid_client $LAB_EDGE 2502 $EXTENSION "$@" >$LAB_LOG/clientid.log 2>&1
	EXT_STATUS=$?
	lab_wait 10 has_more " lst=observe " $before
	LINE=$(grep " lst=observe " $EDGE_LOG | tail -n 1)
}
extension_line _smtp-client.ext.sender.example $TLS/mta.pem $TLS/mta.key
is "$EXT_STATUS $(field client_dane)" "0 verified:_smtp-client.ext.sender.example" "dane_clientid: the name it says is the owner of its records"
extension_line _smtp-client.ext.sender.example $TLS/right.pem $TLS/right.key
is "$EXT_STATUS $(field client_dane)" "0 mismatch" "dane_clientid: with another key"
extension_line _smtp-client.none.sender.example $TLS/mta.pem $TLS/mta.key
is "$EXT_STATUS $(field client_dane)" "0 none" "dane_clientid: no records there"

# ---- the end of this one, and what is kept ----

edge_stop
is $? 0 "danelawd ends well"
like "$(cat $LAB_EDGE_DIR/state/clients)" 'mta.sender.example [0-9]+ 1 [0-9]+' "the history of clean sessions is kept"

# ---- validation does not work ----

other_anchor()
{
	rm -f $LAB_DNS/keys/other.name
	(cd $LAB_DNS/keys && ldns-keygen -a ECDSAP256SHA256 -k -r /dev/urandom . >other.name && cat "$(cat other.name).ds") >$LAB_ROOT/etc/danelaw-anchor
}
other_anchor
: >$EDGE_LOG
edge_start
broken()
{
	grep -qE "($1)" $EDGE_LOG
}
ok "a wrong trust anchor: the log is loud" lab_wait 30 broken "told 451"
judged right require lookup_failed deferred ' 451 4\.7\.5 '
edge_stop
sed -i 's/probe-interval = 1s/& when-broken = run-without/' $EDGE_CONF
: >$EDGE_LOG
edge_start
ok "run-without: the log is louder" lab_wait 30 broken "NOBODY is verified"
judged right require lookup_failed sent
edge_stop

# ---- the lane: a proven name keeps its way in ----

cp $LAB_TRUST_ANCHOR $LAB_ROOT/etc/danelaw-anchor
sed -i 's/ when-broken = run-without//; s/front { interfaces.*/front { interfaces = { "edge0" } source-rate = 6 source-burst = 30 }/' $EDGE_CONF
: >$EDGE_LOG
edge_start
lab_wait 30 validates

# connects ADDRESS COUNT SECONDS: so many connections at once from there; how many are established by then, or all
connects()
{
	nsenter --net=/run/netns/internet perl -MIO::Socket::INET -MTime::HiRes=time,sleep -e '
		my ($from, $to, $n, $end) = (@ARGV[0 .. 2], time + $ARGV[3]);
		my @s = map { IO::Socket::INET->new(LocalAddr => $from, PeerAddr => $to, PeerPort => 2502, Blocking => 0) } 1 .. $n;
		my $up = 0;
		while ($up < $n && time < $end) { sleep 0.05; $up = grep { $_ && $_->connected } @s }
		print $up' "$1" $LAB_EDGE "$2" "$3"
}
limited()
{
	[ "$(edge_stats | sed -n "s/^$1 //p")" -gt 0 ]
}
judged right observe verified:mail.sender.example sent
is "$(connects $LAB_SENDER 60 30)" 60 "over the limit of a source: a verified one has all its connections"
ok "and the front says why" limited verified
connects $LAB_SENDER2 60 3 >/dev/null &
ok "while a stranger's are limited" lab_wait 10 limited limit_source
wait $!
edge_stop
is $? 0 "danelawd ends well"
tap_end
