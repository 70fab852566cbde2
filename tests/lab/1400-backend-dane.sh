#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Backends judged by DANE, pin and CA: Postfix and Exim, in zones of every state; each backend behind a listener of its
# own, then two of them behind one, with records that change while it runs.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter "$@"
. "$LAB_DIR/backend_zoo.sh"
LAB_QUIET=1

# backend | address | its settings | the reply to a mail | the session's protection, or the backend's state and reason
# The reply is a pattern of bash; the last column stands in the log as it is.
ROWS="right | mx-a.farm.example | tls=dane | 250 | backend_tls=dane backend_record=\"3 1 1 
exim | mx-b.farm2.example | tls=dane | 250 | backend_tls=dane backend_record=\"3 1 1 
wrong | wrong.farm.example | tls=dane | 451 4.7.5 *certificate | unverified): dane: no_match
two | two.farm.example | tls=dane | 250 | backend_tls=dane backend_record=\"3 1 1
ta | ta.farm.example:2601 | tls=dane | 250 | backend_tls=dane backend_record=\"2 0 1
ta-name | ta-name.farm.example:2601 | tls=dane | 451 4.7.5 *certificate | unverified): dane: wrong_name
expired | expired.farm.example:2604 | tls=dane | 250 | backend_tls=dane backend_record=\"3 1 1
unusable | unusable.farm.example | tls=dane | 250 | backend_tls=dane-unusable
junk | junk.farm.example | tls=dane | 250 | backend_tls=dane-unusable
unusable-clear | unusable-clear.farm.example:2602 | tls=dane | 451 4.7.5 *certificate | unverified): TLS is required (dane), but STARTTLS is not offered
clear | clear.farm.example:2602 | tls=dane | 451 4.7.5 *certificate | unverified): TLS is required (dane), but STARTTLS is not offered
none | none.farm.example | tls=dane | 250 | backend_tls=opportunistic
none-clear | none-clear.farm.example:2602 | tls=dane | 250 | backend_tls=none
sni | alias.farm.example:2603 | tls=dane | 250 | backend_tls=dane backend_record=\"3 1 1
port | port.farm.example:2601 | tls=dane | 451 4.7.5 *certificate | unverified): dane: wrong_name
unsigned | mx.u.example | tls=dane | 250 | backend_tls=opportunistic
len3 | mx.len3.r.example | tls=dane | 250 | backend_tls=dane-unusable
bogus | mx.tlsabog.example | tls=dane | 451 4.7.5 *do not validate | bogus): the TLSA look-up of _25._tcp.mx.tlsabog.example failed
bogus-a | mx.bog.example | tls=dane | 451 4.7.5 *do not validate | bogus): the address look-up of mx.bog.example failed
servfail | mx.servfail-tlsa.r.example | tls=dane | 451 4.7.5 *cannot be looked up | lookup failed): the TLSA look-up of _25._tcp.mx.servfail-tlsa.r.example failed
silent | mx.silent-tlsa.r.example | tls=dane | 451 4.7.5 *cannot be looked up | lookup failed): the TLSA look-up of _25._tcp.mx.silent-tlsa.r.example failed
nowhere | nowhere.farm.example | tls=dane | 451 4.7.5 *cannot be looked up | lookup failed): nowhere.farm.example has no address
pin | 10.77.0.11 | tls=pin pin={\"PIN\"} | 250 | backend_tls=pin
pin-wrong | 10.77.0.12 | tls=pin pin={\"PIN\"} | 451 4.7.5 *certificate | unverified): pin: no_match
pin-clear | 10.77.0.11:2602 | tls=pin pin={\"PIN\"} | 451 4.7.5 *certificate | unverified): TLS is required (pin), but STARTTLS is not offered
ca | 10.77.0.11:2601 | tls=ca ca=\"$CHECK_CERTS/ca.pem\" tls-name=\"ca.farm.example\" | 250 | backend_tls=ca
ca-name | 10.77.0.11:2601 | tls=ca ca=\"$CHECK_CERTS/ca.pem\" tls-name=\"else.farm.example\" | 451 4.7.5 *certificate | unverified): ca: wrong_name
ca-other | 10.77.0.11:2604 | tls=ca ca=\"$CHECK_CERTS/good.pem\" tls-name=\"ca.farm.example\" | 451 4.7.5 *certificate | unverified): ca: no_match
refuse | refuse.farm.example | tls=dane client-address=none | 451 4.7.5 *certificate | unverified): TLS is required (dane), but STARTTLS was refused: 454
cut | cut.farm.example | tls=dane client-address=none | 4[25]1 4.3.2 | down): TLS handshake
inject | inject.farm.example | tls=dane client-address=none | 4[25]1 4.3.2 | down): STARTTLS: bytes behind the 220"

# ---- configuration ----

backend_head()
{
	cat <<-END
		hostname = "$LAB_MX_GOOD"
		workers = 1
		front { interfaces = { "edge0" } }
		health { interval = 400ms timeout = 5s rise = 2 fall = 2 }
		dns {
			trust-anchor = "${ANCHOR:-$LAB_TRUST_ANCHOR}"
			forwarders = { "$LAB_RESOLVER" }
			deadline = 4s
			probe-interval = 1s
			$DNS_MORE
		}
		certificate "edge" {
			chain = "$LAB_RUN/tls/edge.pem"
			key = "$LAB_RUN/tls/edge.key"
		}
	END
}

# backend_conf NAME ADDRESS SETTINGS
backend_conf()
{
	printf 'backend "%s" {\n\taddress = "%s"\n' "$1" "$2"
	tr ' ' '\n' <<<"$3" | sed 's/^/\t/; s/=/ = /'
	printf '}\n'
}

# listener_conf NAME PORT BACKEND…: a pool and a listener
listener_conf()
{
	local name=$1 port=$2 list
	shift 2
	list=$(printf ', "%s"' "$@")
	printf 'pool "%s" { backends = {%s} }\nlistener "%s" {\n\taddress = { "%s" }\n\tport = %s\n' "$name" "${list#,}" "$name" $LAB_EDGE "$port"
	printf '\tcertificates = { "edge" }\n\tpool = "%s"\n}\n' "$name"
}

table_conf()
{
	local name address settings port=2700 pin
	pin=$(dns_tlsa $LAB_RUN/tls/mx-a.pem)
	backend_head
	while IFS='|' read -r name address settings _; do
		backend_conf $name $address "$(echo ${settings//PIN/${pin##* }})"
		listener_conf $name $((port += 1)) $name
	done <<<"$ROWS"
}

# The first listener on port 25 as edge_start wants to be greeted
start()
{
	EDGE_LOG=$LAB_LOG/danelawd-$1.log
	EDGE_CONF=$LAB_EDGE_DIR/$1.conf
	mkdir -p $LAB_EDGE_DIR
	cat >$EDGE_CONF
	edge_spawn -c $EDGE_CONF
	lab_wait 20 said " worker" || lab_die "danelawd does not start: $(lab_tail $EDGE_LOG)"
}

said()
{
	grep -qF -- "$1" $EDGE_LOG
}

# said_times N TEXT: at least so often
said_times()
{
	[ "$(grep -cF -- "$2" $EDGE_LOG)" -ge "$1" ]
}

session_over()
{
	[ -n "$(session "$1")" ]
}

# The last session of a listener, by its name
session()
{
	grep -a " lst=$1 " $EDGE_LOG | tail -n 1
}

# begins TEXT PATTERN NAME, has TEXT PART NAME
begins()
{
	[[ $1 == $2* ]]
	tap_result $? "$3" "got:    $1
wanted: $2"
}

has()
{
	[[ $1 == *"$2"* ]]
	tap_result $? "$3" "got:    $1
wanted: $2"
}

strip()
{
	sed 's/^ *//; s/ *$//' <<<"$1"
}

# refused PORT TOKEN PATTERN: the reply to a mail; the banner, where that refuses already
refused()
{
	if [[ $3 == 451* ]]; then
		SMTP_PORT=$1 smtp_mail "$2" tls
	else
		SMTP_PORT=$1 smtp_open banner
		smtp_reply banner
		smtp_close banner
		echo "$SMTP_REPLY"
	fi
}

# ehlo PORT: what is announced behind TLS; SMTP session "r" stays
ehlo()
{
	SMTP_PORT=$1 smtp_hello r tls
	grep -o REQUIRETLS <<<"$SMTP_ALL"
}

stop()
{
	EDGE_WAIT=20 edge_stop
}

exec {LAB_ERR}>&2
{ lab_up && backend_servers; } </dev/null >$LAB_LOG/lab.log 2>&1 || lab_die "$(tail -n 20 $LAB_LOG/lab.log)"
COUNT=$(wc -l <<<"$ROWS")
tap_plan $((3 * COUNT + 53))

# ---- each by itself ----

table_and_more()
{
	local name
	table_conf
	for name in requiretls requiretls-unusable; do
		backend_conf $name $name.farm.example "tls=dane client-address=none"
		listener_conf $name $((2600 + ${#name})) $name
	done
}
start table < <(table_and_more)
ok "validation is proved at the start" lab_wait 20 said 'validation works: "." is secure'
PORT=2700
while IFS='|' read -r name address settings reply wanted; do
	name=$(strip "$name") reply=$(strip "$reply") wanted=$(strip "$wanted") PORT=$((PORT + 1))
	if [ "$reply" = 250 ]; then
		lab_wait 20 said "backend $name is up"
		begins "$(SMTP_PORT=$PORT smtp_mail "to-$name" tls)" "$reply" "$name: $reply"
		ok "$name: the mail is at the farm" lab_wait 10 mta_mailbox "to-$name"
		lab_wait 10 session_over $name
		has "$(session $name)" "$wanted" "$name: $wanted"
	else
		lab_wait 20 said "backend $name is out (${wanted%%)*}"
		begins "$(refused $PORT "to-$name" "$reply")" "$reply" "$name: $reply"
		is "$(mta_mailbox "to-$name")" "" "$name: no mail of it anywhere"
		has "$(grep -aF "backend $name is out" $EDGE_LOG | head -n 1)" "($wanted" "$name: $wanted"
	fi
done <<<"$ROWS"

# check --backend NAME: the running edge's judgement, told
explain()
{
	net_run edge "$LAB_SRC/build/danelawctl" check "$@"
	echo "status $?"
}
# by a CA: judged from here as well
like "$(explain --backend ca)" "judged by +ca, duty: verified.*the CA vouches for it, as ca.farm.example.*verdict: VERIFIED.*status 0" "check --backend: by its CA"
like "$(explain --backend ca-name)" "served key .*wrong_name: .*verdict: DEFER. The edge has it out .unverified. for .*wrong_name.*status 1" \
	"check --backend: its CA's, under another name"
like "$(explain --backend ca-other)" "served key .*no_match: .*verdict: DEFER. .*status 1" "check --backend: not its CA's"
is "$(explain --backend ca --json | sed '$d' | perl -MJSON::PP -e 'my $b = decode_json(join "", <STDIN>);
	print "$b->{verdict} $b->{addresses}[0]{verdict} $b->{addresses}[0]{judgement}"')" "verified verified match" "--json: the same"

# REQUIRETLS (RFC 8689) is offered, and taken, only where the backend's leg is verified
lab_wait 20 said "backend requiretls is up"
is "$(ehlo 2610)" REQUIRETLS "a verified backend that offers REQUIRETLS: offered"
smtp_close r 2>/dev/null
SMTP_PORT=2610 smtp_hello r tls
smtp_ask r "MAIL FROM:<alice@sender.example> REQUIRETLS"
begins "$SMTP_REPLY" 250 "and taken"
smtp_close r
has "$(cat $LAB_LOG/smtp-tls.log)" "REQUIRETLS" "and passed on"
lab_wait 20 said "backend requiretls-unusable is up"
SMTP_PORT=2619 smtp_hello r tls
is "$(grep -o REQUIRETLS <<<"$SMTP_ALL")" "" "the same server, unauthenticated: not offered"
smtp_ask r "MAIL FROM:<alice@sender.example> REQUIRETLS"
begins "$SMTP_REPLY" 555 "and not taken"
smtp_close r
stop
is $? 0 "danelawd ends well"
is "$(grep -ac "client=.*to-clear" $LAB_LOG/postfix-mx-a.log)" 0 "nothing of a mail went in clear where records exist"

# ---- two behind one, while records change ----

# record mx-a|mx-b RECORD: publishes it ("": the right one)
record()
{
	case $1 in
	mx-a) A_RECORD=$2; farm_zone | dns_zone farm.example "${3:-signed}" ;;
	mx-b) B_RECORD=$2; farm2_zone | dns_zone farm2.example "${3:-signed}" ;;
	esac >>$LAB_LOG/zones.log 2>&1
	dns_reload
}

# take TOKEN: a mail; prints where it lies, or the reply that refused it
take()
{
	local reply
	reply=$(smtp_mail "$1" tls)
	[[ $reply == 250* ]] || { echo "$reply"; return; }
	lab_wait 10 mta_mailbox "$1" | cut -d/ -f5
}

NOBODY="3 1 1 $(printf 'the key of somebody else' | sha256sum | cut -d' ' -f1)"
pair_conf()
{
	backend_head
	backend_conf mx-a mx-a.farm.example tls=dane
	backend_conf mx-b mx-b.farm2.example tls=dane
	listener_conf farm 25 mx-a mx-b | sed 's/^}$/\tclient-dane = observe\n}/'
}
start pair < <(pair_conf)
lab_wait 20 said "backend mx-a is up"
lab_wait 20 said "backend mx-b is up"
FIRST=$(take first)
like "$FIRST" '^mx-[ab]$' "both verified: a mail arrives"
OTHER=mx-$(tr ab ba <<<"${FIRST#mx-}")

story=$(explain --backend $FIRST)
has "$story" "judged by     dane, duty: verified" "check --backend: how it is judged"
like "$story" "STARTTLS ok, TLS 1.3.*matches 3 1 1 .*verdict: VERIFIED.*status 0" "what is seen from here, and the edge's word"
like "$(explain --backend nobody 2>&1)" 'there is no backend "nobody".*status 3' "a backend that is none"

record $FIRST "$NOBODY"
ok "the record becomes a wrong one: out, for that reason" lab_wait 30 said "backend $FIRST is out (unverified): dane: no_match"
is "$(for i in 1 2 3 4 5; do take wrong-$i; done | sort | uniq -c | xargs)" "5 $OTHER" "every mail goes to the other"

story=$(explain --backend $FIRST)
like "$story" "matches none of them.*verdict: DEFER. The edge has it out .unverified. for .*no_match.*status 1" "check --backend: out, and why"
like "$story" "mend: +publish +_25._tcp.$FIRST.farm2?.example. IN TLSA 3 1 1 [0-9a-f]{64}" "and what to mend"
like "$(explain --backend $FIRST --json | sed '$d' | perl -MJSON::PP -e 'my $b = decode_json(join "", <STDIN>);
	print "$b->{verdict} $b->{edge}{state} $b->{addresses}[0]{judgement}"')" "defer unverified no_match" "--json: the same"

record $OTHER "$NOBODY"
ok "the other's too" lab_wait 30 said "backend $OTHER is out (unverified): dane: no_match"
begins "$(take nobody)" "451 4.7.5 *certificate" "none is left: 451 4.7.5 with the reason"
is "$(mta_mailbox nobody)" "" "and nothing half-sent"
SMTP_PORT=25 smtp_hello c clear
begins "$SMTP_REPLY" 250 "a client in clear is greeted"
smtp_ask c "MAIL FROM:<alice@sender.example>"
begins "$SMTP_REPLY" "451 4.7.5 *certificate" "and told so at MAIL"
smtp_close c
mta_send kept bob@good.example
lab_wait 30 mta_status kept >/dev/null
is "$(mta_status kept)" deferred "Postfix keeps its mail"
has "$(mta_lines kept)" "451 4.7.5" "and logs the reason"
has "$(session farm)" "end=backend_verify" "our log names it, too"

record $OTHER ""
ok "mended: up again" lab_wait 30 said_times 2 "backend $OTHER is up"
is "$(take mended)" $OTHER "and used"
root_run internet postqueue -c $LAB_MTA/sender/etc -f
ok "the mail that was kept arrives" lab_wait 30 mta_mailbox kept

record $OTHER "" bogus-TLSA
ok "its zone becomes bogus: out, for a reason of its own" lab_wait 30 said "backend $OTHER is out (bogus): "
begins "$(take bogus)" "451 4.7.5 *" "no mail through it"
like "$(explain --backend $OTHER)" "verdict: DEFER. The edge has it out .bogus. for .*validation failure.*status 1" "check --backend: bogus"
record $FIRST "1 1 1 ${NOBODY##* }"
ok "the first one's records are all unusable: back, over TLS" lab_wait 30 said_times 2 "backend $FIRST is up"
is "$(take unusable)" $FIRST "a mail is taken"
has "$(session farm)" "backend_tls=dane-unusable" "unauthenticated, and told so"
like "$(explain --backend $FIRST)" "verdict: TLS, UNAUTHENTICATED.*status 2" "check --backend: unauthenticated"
record $FIRST ""
record $OTHER ""
ok "the zone is mended: up" lab_wait 30 said_times 3 "backend $OTHER is up"
# check --client NAME: what a client of this name must show
like "$(explain --client mail.sender.example)" \
	"_25._tcp.mail.sender.example TLSA +secure, 1 record.*3 1 1 .*shows a certificate that one of the 1 usable records matches.*status 0" \
	"check --client: a name with a record"
like "$(explain --client plain.farm.example)" "_25._tcp.plain.farm.example TLSA +denied.*no client can prove this name.*status 2" "a name without"
like "$(explain --client mx.tlsabog.example)" "_25._tcp.mx.tlsabog.example TLSA +failed.*status 1" "a name whose zone is bogus"
like "$(explain --client localhost 2>&1)" "no name that a client could prove.*status 3" "no name at all"
like "$(explain --client mail.sender.example --json | sed '$d' | perl -MJSON::PP -e 'my $b = decode_json(join "", <STDIN>);
	print "$b->{provable} $b->{owners}[1]{usable} $b->{without_key}"')" "1 1 mismatch" "--json: the same"
stop
is $? 0 "danelawd ends well, with its records changed"

# ---- does validation work? ----

# one_backend NAME [SETTINGS of dns]: a daemon with mx-a behind port 25
one_backend()
{
	start "$1" < <(
		DNS_MORE=$2 backend_head
		backend_conf mx-a mx-a.farm.example tls=dane
		listener_conf farm 25 mx-a
	)
}

one_backend bogus-probe 'probe-bogus = "mx.bog.example"'
ok "a bogus name is bogus: validation works" lab_wait 20 said "validation works"
ok "and the backend is up" lab_wait 20 said "backend mx-a is up"
stop

one_backend bogus-passes 'probe-bogus = "mx-a.farm.example"'
ok "a bogus name that passes is seen" lab_wait 20 said '"mx-a.farm.example" should be bogus and is secure; backends with tls = dane are out'
ok "fail-closed: the backend is out" lab_wait 20 said "backend mx-a is out (lookup failed): validation does not work"
begins "$(take closed)" "451 4.7.5 *cannot be looked up" "and no mail is taken"
stop

one_backend without 'probe-secure = "mx.u.example"
			when-broken = run-without'
ok "run-without: a name that is not secure is said loudly" lab_wait 20 said "(when-broken = run-without)"
lab_wait 20 said "backend mx-a is up"
is "$(take without)" mx-a "and mail is taken"
stop
tap_end
