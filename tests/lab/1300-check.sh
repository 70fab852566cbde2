#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawctl check: every row of RFC 7672's outcomes over real DNS and real mail exchangers, and what Postfix does with
# mail for the same domains, at the levels dane and dane-only (3.7, this Debian's).  Where Postfix differs, its row says
# so and a comment says why.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter "$@"
. "$LAB_DIR/check_zoo.sh"
LAB_QUIET=1

# domain | overall | mandatory | a part of the reason | Postfix dane | Postfix dane-only
# Verified, Untrusted and clear are how Postfix sent it; "=" is what the verdict says: verified = Verified, defer =
# deferred, bounce = bounced.  Where they differ:
#	dangling	Postfix gives mail back when the MX record's host does not exist; RFC 5321 5.1 calls it an error, RFC 7672
#			2.1.2 passes the host over, and the mail waits for somebody to mend it
#	len0		libunbound takes a TLSA set with an empty record for a failure, which holds mail back; Postfix asks a
#			resolver that passes it on, and takes it for unusable
#	len3, mixed-len	Postfix 3.7's client aborts at a TLSA record of three bytes: no answer at all
#	dead … hang	nothing was seen, so nothing is told; Postfix tries again later, as with any host that is down
#	inject-free	no DANE, so a sender may go on in clear text; Postfix does at its next try
#	u.example	Postfix is told to ask no TLSA behind an insecure MX (its default does: RFC 7672 2.2.1 leaves it open)
ROWS="good | verified | verified | matches 3 1 1 | Verified | Verified
edge | verified | verified | matches 3 1 1 | Verified | Verified
exim | verified | verified | matches 3 1 1 | Verified | Verified
mismatch | defer | defer | no_match | = | =
agile | defer | defer | no_match | = | =
none | no-dane-deliverable | defer | over TLS, unauthenticated; there are no TLSA | Untrusted | =
none-clear | no-dane-deliverable | defer | in clear text: STARTTLS is not offered | clear | =
no-starttls | defer | defer | STARTTLS is not offered | = | =
refused | defer | defer | STARTTLS is refused: 454 | = | =
no-cert | defer | defer | the handshake fails | = | =
oldtls | defer | defer | the handshake fails | = | =
ta | verified | verified | matches 2 0 1 | Verified | Verified
ta-name | defer | defer | wrong_name | = | =
ta-nexthop | verified | verified | matches 2 0 1 | Verified | Verified
mixed | verified | verified | matches 2 0 1 | Verified | Verified
ta-expired | defer | defer | not_valid_now | = | =
ta-leaf | defer | defer | no_match | = | =
ta-unsent | defer | defer | no_match | = | =
ee-expired | verified | verified | matches 3 1 1 | Verified | Verified
sni | verified | verified | matches 3 1 1 | Verified | Verified
sni-alias | verified | verified | matches 3 1 1 | Verified | Verified
dual-ec | verified | verified | matches 3 1 1 | Verified | Verified
dual-rsa | defer | defer | no_match | = | =
unusable | tls-required-unauthenticated | defer | none of the TLSA records can be used | Untrusted | =
full-junk | tls-required-unauthenticated | defer | none of the TLSA records can be used | Untrusted | =
unusable-clear | defer | defer | STARTTLS is not offered | = | =
alias | verified | verified | matches 3 1 1 | Verified | Verified
original | verified | verified | matches 3 1 1 | Verified | Verified
insecure-end | verified | verified | matches 3 1 1 | Verified | Verified
tlsa-alias | verified | verified | matches 3 1 1 | Verified | Verified
stop | defer | defer | TLSA look-up of _25._tcp.mx.tlsabog.example failed | = | =
wildcard | verified | verified | matches 3 1 1 | Verified | Verified
tlsa-out | no-dane-deliverable | defer | not signed | Untrusted | =
dom-alias | verified | verified | matches 3 1 1 | Verified | Verified
x.old | bounce | bounce | neither MX nor address | = | =
u.example | no-dane-deliverable | defer | is not secure | Untrusted | =
bog.example | defer | defer | MX look-up of bog.example failed | = | =
expired.example | defer | defer | MX look-up of expired.example failed | = | =
to-bogus | defer | defer | address look-up of mx.bog.example failed | = | =
tlsabog.example | defer | defer | TLSA look-up of _25._tcp.mx.tlsabog.example failed | = | =
denialbog.example | verified | verified | matches 3 1 1 | Verified | Verified
opt.example | verified | verified | matches 3 1 1 | Verified | Verified
loop | defer | defer | address look-up of mx.loop.t.example failed | = | =
dangling | defer | defer | has no address | bounced | bounced
null | bounce | bounce | null MX | = | =
implicit | verified | verified | matches 3 1 1 | Verified | Verified
nomail | bounce | bounce | neither MX nor address | = | =
no-such | bounce | bounce | neither MX nor address | = | =
literal | no-dane-deliverable | defer | is an address, not a name | Untrusted | =
order | no-dane-deliverable | verified | mx.none.t.example decides | Untrusted | Verified
skip | verified | verified | mx.good.t.example decides | Verified | Verified
second | verified | verified | mx.good.t.example decides | Verified | Verified
down | verified | verified | mx.good.t.example decides | Verified | Verified
dead | could-not-tell | could-not-tell | no connection: Connection refused | deferred | deferred
one-wrong | verified | verified | 192.0.2.101: the certificate matches | Verified | Verified
thirteen | verified | verified | matches 3 1 1 | Verified | Verified
sixty | verified | verified | matches 3 1 2 | Verified | Verified
banner | could-not-tell | could-not-tell | no SMTP dialogue: 554 5.7.1 not you | deferred | deferred
mute | could-not-tell | could-not-tell | no SMTP dialogue: no answer within | deferred | deferred
inject | defer | defer | bytes behind the 220 | = | =
inject-free | no-dane-deliverable | defer | in clear text: the TLS handshake fails | deferred | deferred
cut | defer | defer | the handshake fails | = | =
hang | could-not-tell | could-not-tell | no TLS within the time | deferred | deferred
no-ehlo | defer | defer | STARTTLS is not offered: 502 | = | =
reset | defer | defer | STARTTLS is refused | = | =
servfail-tlsa | defer | defer | TLSA look-up of _25._tcp.mx.servfail-tlsa.r.example failed | = | =
silent-tlsa | defer | defer | TLSA look-up of _25._tcp.mx.silent-tlsa.r.example failed | = | =
silent-a | defer | defer | address look-up of mx.silent-a.r.example failed | = | =
len0 | defer | defer | TLSA look-up of _25._tcp.mx.len0.r.example failed | Untrusted | =
len1 | tls-required-unauthenticated | defer | none of the TLSA records can be used | Untrusted | =
len2 | tls-required-unauthenticated | defer | none of the TLSA records can be used | Untrusted | =
len3 | tls-required-unauthenticated | defer | none of the TLSA records can be used | nothing | nothing
mixed-len | verified | verified | matches 3 1 1 | nothing | nothing
shed | no-dane-deliverable | defer | not signed, so TLSA is not asked | Untrusted | ="

full()
{
	case $1 in
	*.example) echo "$1" ;;
	*) echo "$1.t.example" ;;
	esac
}

# check DOMAIN [OPTION…]: danelawctl check in the namespace internet, by the lab's resolver
check()
{
	local domain=$1
	shift
	net_run internet "$LAB_SRC/build/danelawctl" check --trust-anchor $LAB_TRUST_ANCHOR -r $LAB_RESOLVER -t 6 "$@" "$domain"
}

# Eight at a time: each row's JSON, its exit status and its one line
check_all()
{
	local name pids=()
	while read -r name _; do
		(
			check "$(full "$name")" --json >$LAB_RUN/check/$name.json 2>$LAB_RUN/check/$name.err
			echo $? >$LAB_RUN/check/$name.status
			perl $LAB_DIR/check_schema.pl <$LAB_RUN/check/$name.json >$LAB_RUN/check/$name.line 2>>$LAB_RUN/check/$name.err
		) &
		pids+=($!)
		[ ${#pids[@]} -lt 8 ] || { wait ${pids[0]}; pids=("${pids[@]:1}"); }
	done <<<"$ROWS"
	wait "${pids[@]}"
}

# ---- Postfix beside it: a mail to each domain at each level ----

postfix_rows()
{
	local d=$LAB_MTA/sender/etc name
	postconf_sender 'smtp_connect_timeout=5s' 'smtp_helo_timeout=8s' 'smtp_starttls_timeout=8s' 'smtp_quit_timeout=5s' \
		'smtp_tls_connection_reuse=no' 'smtp_address_preference=any' 'default_process_limit=150' 'smtp_skip_quit_response=yes' \
		'smtp_balance_inet_protocols=no' "smtp_tls_dane_insecure_mx_policy=may"
	printf 'only     unix - - n - - smtp\n  -o syslog_name=postfix/only -o smtp_tls_security_level=dane-only\n' >>$d/master.cf
	printf '/^only-/ only:\n' >>$d/transport
	root_run internet postfix -c $d reload >>$LAB_LOG/postfix-sender.start 2>&1
	while read -r name _; do
		mta_send "dane-$name" "bob@$(full "$name")"
		mta_send "only-$name" "only-bob@$(full "$name")"
	done <<<"$ROWS"
}

postconf_sender()
{
	root_run internet postconf -c $LAB_MTA/sender/etc -e "$@"
}

# postfix_did LEVEL NAME: how it was sent, or its status
postfix_did()
{
	local status
	status=$(mta_status "$1-$2")
	[ "$status" = sent ] || { echo "${status:-nothing}"; return; }
	mta_lines "$1-$2" | sent_how "$1-$2"
}

# The TLS line of the connection that the mail went over: the last one before "status=sent" with the same relay
sent_how()
{
	local id
	id=$(mta_queue_id "$1")
	awk -v id="$id" '
		/ TLS connection established to / { for (i = 1; i <= NF; i++) if ($(i + 1) == "TLS") how[$(i + 5)] = $i }
		index($0, " " id ": to=") && /status=sent/ {
			match($0, /relay=[^,]*/)
			relay = substr($0, RSTART + 6, RLENGTH - 6) ":"
			print relay in how ? how[relay] : "clear"
			exit
		}'
}

# Every mail has its answer but those that expect "nothing"
postfix_done()
{
	local name dane only
	while IFS='|' read -r name _ _ _ dane only; do
		[ $dane = nothing ] || mta_status dane-$(echo $name) >/dev/null || return 1
		[ $only = nothing ] || mta_status only-$(echo $name) >/dev/null || return 1
	done <<<"$ROWS"
}

# What "=" stands for
expected()
{
	case $1-$2 in
	=-verified) echo Verified ;;
	=-defer) echo deferred ;;
	=-bounce) echo bounced ;;
	*) echo "$1" ;;
	esac
}

status_of()
{
	case $1 in
	verified) echo 0 ;;
	defer | bounce) echo 1 ;;
	could-not-tell) echo 3 ;;
	*) echo 2 ;;
	esac
}

trim()
{
	local t=$1
	t=${t#"${t%%[! ]*}"}
	echo "${t%"${t##*[! ]}"}"
}

exec {LAB_ERR}>&2
{ lab_up && check_servers && edge_start; } </dev/null >$LAB_LOG/lab.log 2>&1 || lab_die "$(tail -n 20 $LAB_LOG/lab.log)"
COUNT=$(wc -l <<<"$ROWS")
tap_plan $((4 * COUNT + 27))
mkdir $LAB_RUN/check
postfix_rows >$LAB_LOG/rows.log 2>&1
check_all
lab_wait 60 postfix_done
while IFS='|' read -r name overall mandatory why dane only; do
	name=$(trim "$name") overall=$(trim "$overall") mandatory=$(trim "$mandatory") why=$(trim "$why")
	line=$(cat $LAB_RUN/check/$name.line) err=$(cat $LAB_RUN/check/$name.err)
	is "$(cut -d' ' -f1,2 <<<"$line") $(cat $LAB_RUN/check/$name.status)" "$overall $mandatory $(status_of $overall)" \
		"$name: $overall, mandatory $mandatory"
	[[ $line == *" | "*"$why"* && -z $err ]]
	tap_result $? "$name: $why" "$line $err"
	is "$(postfix_did dane $name)" "$(expected "$(trim "$dane")" $overall)" "$name: Postfix at level dane"
	is "$(postfix_did only $name)" "$(expected "$(trim "$only")" $mandatory)" "$name: Postfix at level dane-only"
done <<<"$ROWS"

# one_line OPTION… DOMAIN: the JSON of a check in one line, and its exit status
one_line()
{
	local json
	json=$(check "$@" --json 2>&1)
	echo "$(perl $LAB_DIR/check_schema.pl <<<"$json" 2>&1) | $?"
}

# field NAME PATH…: one value of a row's JSON
field()
{
	local name=$1
	shift
	perl -MJSON::PP -e 'my $v = decode_json(do { local $/; <STDIN> });
		$v = /^\d+$/ ? $v->[$_] : $v->{$_} for @ARGV; print $v // "null", "\n"' "$@" <$LAB_RUN/check/$name.json
}

# addresses and hosts each by themselves
like "$(cat $LAB_RUN/check/one-wrong.line)" "2001:db8:25::110=defer/ok 192.0.2.101=verified/ok" "one-wrong: each address has its own verdict"
like "$(cat $LAB_RUN/check/order.line)" "mx.none.t.example=no-dane.*mx.good.t.example=verified" "order: each host has its own verdict"
like "$(cat $LAB_RUN/check/skip.line)" "mx.tlsabog.example=defer.192.0.2.101=defer/not-tried" "skip: a host that must be passed over is not dialled"
is "$(one_line crowd.t.example -t 2 | grep -o '192.0.2.1[134][0-9]=could-not-tell/timed-out' | sort -u | wc -l)" 21 \
	"21 silent addresses: each could not be told"
is "$(field sni-alias hosts 0 addresses 0 tls sni)" mx.sni.t.example "sni-alias: SNI is the TLSA base domain"
is "$(field insecure-end hosts 0 addresses 0 tls sni)" mx.insecure-end.t.example "insecure-end: SNI is the original name"
like "$(field ee-expired hosts 0 addresses 0 note)" "has expired" "ee-expired: verified, with a note"
like "$(field thirteen hosts 0 addresses 0 note)" "13 TLSA records" "thirteen: a note that some senders cope with fewer"
like "$(field unusable hosts 0 tlsa records 0 fault) $(field unusable hosts 0 tlsa records 1 fault)" \
	"not for SMTP.*unknown matching type|unknown matching type.*not for SMTP" "unusable: each record says what is wrong with it"
is "$(field ta hosts 0 addresses 0 depth)" 1 "ta: matched above the leaf"
is "$(field dom-alias mx alias_of)" good.t.example "dom-alias: told as an alias"

# options
like "$(one_line port.t.example -p 2525)" "^verified" "--port: the record of that port"
like "$(one_line port.t.example)" "^defer" "and not the other's"
like "$(one_line one-wrong.t.example -6)" "^defer .*\\[2001:db8:25::110=defer/ok\\]" "-6: only IPv6"
like "$(one_line one-wrong.t.example -4)" "^verified .*\\[192.0.2.101=verified/ok\\]" "-4: only IPv4"
like "$(one_line good.t.example -6)" "^could-not-tell .*none of its addresses was to be tried" "-6 without such an address: could not tell"
like "$(net_run internet "$LAB_SRC/build/danelawctl" check --trust-anchor $LAB_TRUST_ANCHOR --root-hints $LAB_DNS/hints -t 6 good.t.example)" \
	"VERIFIED" "own recursion instead of a resolver"
"$LAB_SRC/build/danelawctl" check >/dev/null 2>&1
is $? 64 "no domain: wrong usage has a status of its own"
check good.t.example -t 0 >/dev/null 2>&1
is $? 64 "and so has an option without sense"

# where validation does not work nothing is judged
sed 's/[0-9a-f]\{8\}$/deadbeef/' $LAB_TRUST_ANCHOR >$LAB_RUN/anchor.bad
like "$(check good.t.example --trust-anchor $LAB_RUN/anchor.bad; echo "status $?")" "COULD NOT TELL.*status 3" "wrong trust anchor: could not tell"
like "$(check none.t.example --trust-anchor $LAB_RUN/anchor.bad --json; echo "status $?")" '"overall": "could-not-tell".*status 3' \
	"and for a domain without DANE too"
like "$(net_run internet "$LAB_SRC/build/danelawctl" check --trust-anchor $LAB_TRUST_ANCHOR -r 203.0.113.99 -t 1 good.t.example
	echo "status $?")" "COULD NOT TELL.*status 3" "dead resolver: could not tell"

# the story, and its advice taken
story=$(check mismatch.t.example)
like "$story" "MX +10 mx.mismatch.t.example.*secure.*_25._tcp.mx.mismatch.t.example TLSA +secure, 1 record" "the story: what was asked"
like "$story" "192.0.2.101:25 +STARTTLS ok, TLS 1.3, X25519, SNI mx.mismatch.t.example" "the story: what was seen"
like "$story" "served key +3 1 1 ....….... +matches none of them.*verdict: DEFER" "the story: what follows"
record=$(sed -n 's/.*mend: *publish  *\(_25.* IN TLSA [0-9 a-f]*[0-9a-f]\) .*/\1/p' <<<"$story")
like "$record" "^_25._tcp.mx.mismatch.t.example. IN TLSA 3 1 1 [0-9a-f]{64}$" "the story: what to publish"
{ check_zone; echo "$record"; } | dns_zone t.example >>$LAB_LOG/zones.log 2>&1
dns_reload
is "$(lab_wait 20 check mismatch.t.example >/dev/null && echo verified)" verified "published as told: verified"
tap_end
