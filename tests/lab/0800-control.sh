#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The control socket, danelawctl and the metrics of a real danelawd: who may ask, every verb, counters that move by
# exactly what was done, /healthz in all its states, orders (reload, drain, log level), and clients that are silent, send
# garbage or do not read, which keep nobody else from an answer.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

METRICS=127.0.0.1:9325

# ctl ARGS...: danelawctl, both outputs; its status in CTL_STATUS
ctl()
{
	CTL_OUT=$(danelawctl "$@" 2>&1)
	CTL_STATUS=$?
}

# field EXPRESSION: of CTL_OUT as JSON, in python; j is the whole
field()
{
	python3 -c 'import json, sys
j = json.loads(sys.argv[1])
print(eval(sys.argv[2]))' "$CTL_OUT" "$1" 2>&1
}

# http PATH: status, an empty line, body
http()
{
	net_run edge timeout 20 bash -c 'exec 3<>/dev/tcp/${1%:*}/${1#*:} &&
		printf "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" "$2" >&3 && cat <&3' http $METRICS "$1" |
		tr -d '\r' | awk 'NR == 1 { print $2 } body { print } $0 == "" && !body { body = 1 }'
}

health()
{
	http /healthz | tr '\n' ' '
}

# scrape FILE: the samples of /metrics; false where the text breaks a rule
scrape()
{
	http /metrics | sed 1d | "$LAB_DIR/openmetrics.pl" >"$1" 2>"$1.fault"
}

# moved A B PATTERN: the samples that differ, "name{labels} +n", but for those that tell the time or of probes
moved()
{
	awk -v pattern="$3" '
		{ value = $NF; name = $0; sub(/ [^ ]*$/, "", name) }
		FNR == NR { before[name] = value; next }
		name ~ pattern && value != before[name] { printf "%s %+d\n", name, value - before[name] }' "$1" "$2" | sort
}

# comes SECONDS REGEX COMMAND...: the command's output comes to match
comes()
{
	local seconds=$1 regex=$2
	shift 2
	comes_now() { [[ $("$@") =~ $regex ]]; }
	lab_wait "$seconds" comes_now "$@"
}

# silent N: that many connections to the control socket that say nothing, until fd 9 is closed
silent()
{
	perl -MIO::Socket::UNIX -e '
		my @s = map { IO::Socket::UNIX->new(Peer => $ARGV[1]) } 1 .. $ARGV[0];
		print STDERR scalar(grep { $_ } @s), " connected\n";
		sysread(STDIN, my $x, 1);' "$1" $LAB_CTL
}

# raw TEXT: sends it, shuts down, prints all that comes back
raw()
{
	perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!";
		local $SIG{PIPE} = "IGNORE";
		my $text = $ARGV[1] =~ s/\\n/\n/gr;
		$text = "x" x $1 if $text =~ /^long:(\d+)$/;
		syswrite($s, $text);
		$s->shutdown(1);
		print while sysread($s, $_, 65536);' $LAB_CTL "$1"
}

as()
{
	local who=$1
	shift
	setpriv --reuid="${who%:*}" --regid="${who#*:}" --clear-groups "$@" 2>&1
	echo "status $?"
}

control_conf()
{
	echo "metrics = \"$METRICS\""
	edge_conf | sed "s/backend \"mx-a\" { address = \"$LAB_MX_A:25\"/backend \"mx-a\" { tls = dane address = \"mx-a.farm.example:25\"/"
	echo "dns { forwarders = { \"${1:-$LAB_RESOLVER}\" } trust-anchor = \"$LAB_TRUST_ANCHOR\" deadline = 1s ${2:-} }"
}

notified()
{
	grep -qx "$1" $LAB_RUN/notify.log
}

tap_plan 90
LAB_QUIET=1
lab_up
mkdir -p $LAB_EDGE_DIR
control_conf >$EDGE_CONF

# the service manager's end of sd_notify
perl -MIO::Socket::UNIX -MSocket -e '
	my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Type => SOCK_DGRAM) or die; chmod 0777, $ARGV[0]; $| = 1;
	while (defined $s->recv(my $m, 4096)) { print "$m\n" }' $LAB_RUN/notify >$LAB_RUN/notify.log &
lab_wait 5 test -S $LAB_RUN/notify
export NOTIFY_SOCKET=$LAB_RUN/notify
edge_start
unset NOTIFY_SOCKET
ok "sd_notify: ready" lab_wait 5 notified READY=1
ok "sd_notify: what it does" lab_wait 5 notified 'STATUS=2 workers, 1 listeners, 2 backends.*'

# ---- who may ask ----
is "$(stat -c '%a %u %g %F' $LAB_CTL)" "660 60106 60106 socket" "the socket is its user's and that group's"
is "$(stat -c '%a %u' /run/danelaw)" "750 60106" "its folder, too"
like "$(as 65534:65534 danelawctl status)" 'Permission denied.*root.*group.*status 3' "a stranger is told why he cannot ask"
like "$(as 65534:60106 danelawctl status)" '^danelawd .*status 0' "a member of the group can ask"

# ---- status ----
both_up() { ctl status --json; field 'j["backends"]["up"]'; }
comes 15 '^2$' both_up
ctl status
is "$CTL_STATUS" 0 "status: 0 while healthy"
like "$CTL_OUT" "^danelawd $(cat "$LAB_SRC/VERSION") on $LAB_MX_GOOD, process $EDGE_PID, up .*: healthy" "status: for people"
ctl status --json
is "$(field 'j["pid"], j["version"], j["workers"], j["state"], j["healthy"], j["config"]')" \
	"($EDGE_PID, '$(cat "$LAB_SRC/VERSION")', 2, 'serving', True, '$EDGE_CONF')" "status: version, process, workers"
like "$(field 'j["io"]')" '^(io_uring|epoll)' "status: how it does its input and output"
like "$(field 'j["front"]')" '^edge0 native' "status: the front"
is "$(field 'j["validation"]["state"]')" working "status: validation"
is "$(field 'j["backends"]')" "{'up': 2, 'total': 2}" "status: backends"
is "$(field 'j["sessions"]["limit"], j["sessions"]["handshakes_limit"]')" "(10000, 1000)" "status: limits"

# ---- backends, listeners ----
ctl backends
like "$CTL_OUT" 'mx-a +mx-a.farm.example:25 +up .* dane: 1 record +ok' "backends: how each is judged"
ctl backends mx-a --json
is "$(field 'j[0]["state"], j[0]["target"]["judged_by"], j[0]["target"]["duty"], j[0]["target"]["addresses"]')" \
	"('up', 'dane', 'verified', ['$LAB_MX_A:25'])" "backends: target"
is "$(field 'j[0]["target"]["records"][0]')" "$(dns_tlsa $LAB_RUN/tls/mx-a.pem)" "backends: the records of mx-a"
is "$(field '0 <= j[0]["target"]["ttl_left_s"] <= 5')" True "backends: no older than their TTL"
is "$(field 'j[0]["probe"]["ok"] and j[0]["probe"]["age_ms"] < 5000 and "PIPELINING" in j[0]["capabilities"]')" True "backends: the last probe"
ctl backends nobody
is "$CTL_STATUS-$CTL_OUT" '1-danelawctl: there is no backend "nobody"; backends without a name lists them' "backends: no such name"
ctl listeners --json
is "$(field 'j[0]["certificates"][0]["tlsa"]')" "$(dns_tlsa $LAB_RUN/tls/edge.pem)" "listeners: the record to publish"
is "$(date -u -d "@$(field 'j[0]["certificates"][0]["not_after"]')" +%s)" \
	"$(date -u -d "$(openssl x509 -in $LAB_RUN/tls/edge.pem -noout -enddate | cut -d= -f2)" +%s)" "listeners: the end of the certificate"
ctl listeners
like "$CTL_OUT" "publish  _25._tcp.$LAB_MX_GOOD. IN TLSA 3 1 1" "listeners: for people"

# ---- sessions ----
smtp_hello idle clear
smtp_hello busy tls -tls1_3
smtp_begin busy
ctl sessions --json
is "$(field 'j["open"], [(s["tls"], s["step"], s["wait"], s["helo"], s["client"].split(":")[0]) for s in j["sessions"]]')" \
	"(2, [('TLSv1.3', 'dialogue', 'body', 'client.sender.example', '$LAB_SENDER'), ('', 'dialogue', 'command', 'client.sender.example', '$LAB_SENDER')])" \
	"sessions: the newest first, what each waits for"
ctl sessions --limit 1 --json
is "$(field 'j["open"], len(j["sessions"]), j["sessions"][0]["tls"]')" "(2, 1, 'TLSv1.3')" "sessions: bounded"
id=$(field 'j["sessions"][0]["id"]')
ctl sessions
like "$CTL_OUT" '2 of 2 open sessions' "sessions: for people"
ctl sessions --limit 100000
is "$CTL_STATUS-$CTL_OUT" '1-danelawctl: sessions: "limit" is a number from 1 to 1000' "sessions: not too many at once"
smtp_body busy busy
smtp_ask busy .
smtp_ask busy QUIT
smtp_close busy
smtp_close idle
gone() { ctl sessions --json; [ "$(field 'j["open"]')" = 0 ]; }
ok "sessions: none is left" lab_wait 10 gone
ok "sessions: the id is that of the log" lab_wait 5 grep -q " sid=$id .* end=quit" $EDGE_LOG

# ---- counters and metrics ----
mkfifo $LAB_RUN/hold $LAB_RUN/hold0
ok "metrics: by the rules of OpenMetrics" scrape $LAB_RUN/m0
smtp_hello counted tls -tls1_3
smtp_begin counted
smtp_body counted counted
smtp_ask counted .
smtp_ask counted QUIT
smtp_close counted
# counted, and its connection closed on both sides
quits() { scrape $LAB_RUN/m1 && [ -n "$(moved $LAB_RUN/m0 $LAB_RUN/m1 'reason="quit"')" ] && grep -qx 'danelaw_sessions_open 0' $LAB_RUN/m1; }
ok "metrics: the session is counted" lab_wait 10 quits
is "$(moved $LAB_RUN/m0 $LAB_RUN/m1 '^danelaw_(session_end|sessions|tls_|messages|commands|handshakes|reload|client_|backend_connect|accept|sni)')" \
	'danelaw_backend_connects_total +1
danelaw_commands_total +7
danelaw_messages_total +1
danelaw_session_end_total{reason="quit",fault="none"} +1
danelaw_sessions_tls_total +1
danelaw_sessions_total +1
danelaw_tls_13_total +1' "metrics: moved by exactly what was done"
line=$(grep ' end=quit' $EDGE_LOG | tail -n 1)
is "$(moved $LAB_RUN/m0 $LAB_RUN/m1 '^danelaw_bytes_(in|out)')" "$(sed 's/.* in=\([0-9]*\) out=\([0-9]*\) .*/danelaw_bytes_in_total +\1\ndanelaw_bytes_out_total +\2/' <<<"$line")" \
	"metrics: bytes as the session's line says"
is "$(moved $LAB_RUN/m0 $LAB_RUN/m1 '^danelaw_(front.*syn_admitted|steer.*by_(cpu|hash|search))' | sed 's/by_[a-z]*/by_x/')" \
	'danelaw_front_packets_total{reason="syn_admitted",verdict="pass"} +1
danelaw_steer_connections_total{reason="by_x"} +1' "metrics: one SYN, one steered connection"
backend=$(sed 's/.* backend=\([^ ]*\) .*/\1/' <<<"$line")
is "$(moved $LAB_RUN/m0 $LAB_RUN/m1 '^danelaw_backend_reached')" "danelaw_backend_reached_total{backend=\"$backend\"} +1" "metrics: the backend"
is "$(grep -c '^danelaw_session_end_total' $LAB_RUN/m1)" "$(grep -c '^END(' "$LAB_SRC/userspace/counters.def")" "metrics: every way a session can end"
is "$(grep -cE '^danelaw_(front_packets|steer_connections)_total' $LAB_RUN/m1)" "$(grep -cE '^(REASON|STEER)\(' "$LAB_SRC/bpf/reasons.def")" "metrics: every reason of the front"
is "$(grep '^danelaw_backend_state.* 1$' $LAB_RUN/m1)" 'danelaw_backend_state{backend="mx-a",danelaw_backend_state="up"} 1
danelaw_backend_state{backend="mx-b",danelaw_backend_state="up"} 1' "metrics: states of the backends"
is "$(grep '^danelaw_dns_validation{.* 1$' $LAB_RUN/m1)" 'danelaw_dns_validation{danelaw_dns_validation="working"} 1' "metrics: validation"
like "$(grep ^danelaw_build_info $LAB_RUN/m1)" "version=\"$(cat "$LAB_SRC/VERSION")\"" "metrics: the version"
ctl counters --json
is "$(field '"\n".join(sorted("danelaw_session_end_total{reason=\"%s\",fault=\"%s\"} %d" % (e["name"], e["fault"], e["count"]) for e in j["ends"]))')" \
	"$(grep ^danelaw_session_end_total $LAB_RUN/m1 | LC_ALL=C sort)" "counters: the same as the metrics"
is "$(field '[c["count"] for c in j["counts"] if c["name"] == "messages"][0], all(len(e["sentence"]) > 10 for e in j["ends"] + j["counts"] + j["front"])')" \
	"(2, True)" "counters: each with its sentence"
ctl counters
like "$CTL_OUT" 'quit +none +2 +the client said QUIT' "counters: for people"
like "$(http /nowhere)" '^404' "HTTP: no such page"
ok "HTTP: garbage is closed" net_run edge timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9325; printf "GARBAGE\r\n\r\n" >&3; cat <&3'
net_run edge bash -c 'for i in {1..40}; do exec {fd}<>/dev/tcp/127.0.0.1/9325; done; echo up; read -r' <$LAB_RUN/hold0 >$LAB_RUN/up &
exec 9>$LAB_RUN/hold0
ok "HTTP: 40 clients that say nothing" lab_wait 10 grep -q up $LAB_RUN/up
is "$(health)" "200 ok " "HTTP: keep nobody from an answer"
exec 9>&-

# ---- reload, log level ----
serves()
{
	net_run internet openssl s_client -starttls smtp -connect $LAB_EDGE:25 </dev/null 2>/dev/null | openssl x509 -noout -pubkey 2>/dev/null
}
key=$(serves)
ctl reload
is "$CTL_STATUS-$CTL_OUT" "0-read again: certificates and lists" "reload: told when it is over"
ok "sd_notify: reloading" lab_wait 5 notified RELOADING=1
cp $LAB_RUN/tls/edge.pem $LAB_RUN/tls/kept.pem
echo "not a certificate" >$LAB_RUN/tls/edge.pem
ctl reload
like "$CTL_STATUS-$CTL_OUT" '^1-danelawctl: certificate "edge".*everything stays as it was' "reload: a fault is named, status 1"
is "$(serves)" "$key" "reload: and the old certificate is served"
cp $LAB_RUN/tls/kept.pem $LAB_RUN/tls/edge.pem
scrape $LAB_RUN/m2
is "$(moved $LAB_RUN/m1 $LAB_RUN/m2 '^danelaw_reload')" 'danelaw_reload_failures_total +1
danelaw_reloads_total +1' "reload: counted"
ctl log-level
is "$CTL_OUT" info "log-level: shown"
ctl log-level error
is "$CTL_OUT" "error, was info; until the next start" "log-level: set"
lines=$(wc -l <$EDGE_LOG)
smtp_mail quiet >/dev/null
ctl log-level loud
is "$CTL_STATUS-$CTL_OUT" '1-danelawctl: "loud" is not one of: error, warn, info, debug' "log-level: what there is"
is "$(tail -n +$((lines + 1)) $EDGE_LOG)" "" "log-level: error is quiet"
ctl log-level info

# ---- clients that are no good ----
like "$(raw '{"verb":"status"}\nnothing\nstatus\n')" '^\{"ok":true.*
\{"ok":false,"error":"there is no verb \\"nothing\\".*
\{"ok":true' "socket: one answer a line, in order"
like "$(raw help)" '"sessions":\{' "socket: help, without a newline at the end"
like "$(raw long:100000)" '"ok":false,"error":"the request is longer than 4096 bytes"' "socket: a line that is too long"
like "$(raw 'GET / HTTP/1.0\n\n')" '"ok":false' "socket: another protocol"
silent 40 <$LAB_RUN/hold 2>$LAB_RUN/silent &
exec 9>$LAB_RUN/hold
ok "40 clients that say nothing" lab_wait 10 grep -q '^40 ' $LAB_RUN/silent
ctl status
is "$CTL_STATUS" 0 "keep nobody from an answer"
perl -MIO::Socket::UNIX -e '
	my @s = map { IO::Socket::UNIX->new(Peer => $ARGV[0]) } 1 .. 4;
	$_->blocking(0), syswrite($_, "counters\n" x 400) for @s;
	print STDERR "asked\n";
	sysread(STDIN, my $x, 1)' $LAB_CTL <$LAB_RUN/hold 2>$LAB_RUN/greedy 9>&- &
ok "4 clients that ask and do not read" lab_wait 10 grep -q asked $LAB_RUN/greedy
ctl status
is "$CTL_STATUS" 0 "nor do they"
exec 9>&-
like "$(smtp_mail meanwhile)" '^250' "nor mail"

# what many ask costs no memory that stays
many()
{
	perl -MIO::Socket::UNIX -e '
		for (1 .. 25) {
			my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
			for (1 .. 10) {
				for my $ask (qw(status counters backends listeners help nonsense), q({"verb":"sessions","limit":1000}), "{") {
					print $s "$ask\n";
					defined <$s> or die;
				}
			}
			print $s "sessions\ncounters\n"; # and gone
		}' $LAB_CTL && for _ in {1..20}; do http /metrics >/dev/null; done
}
resident() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$EDGE_PID/status"; }
many
before=$(resident)
many && many && many
[ $(($(resident) - before)) -lt 1024 ]
tap_result $? "thousands of requests leave the memory as it was" "before: $before kB, after: $(resident) kB"

# ---- health ----
is "$(health)" "200 ok " "healthz: 200"
mta_backend mx-a down
mta_backend mx-b down
ok "healthz: 503 when no backend is up" comes 20 '^503 listener edge: no backend of pool farm is up' health
ctl status
like "$CTL_STATUS-$CTL_OUT" '^1-.*NOT HEALTHY, listener edge: no backend of pool farm is up' "status: 1, and why"
ctl backends
like "$CTL_OUT" 'mx-b +10.77.0.12:25 +down .* failed .* ago' "backends: down, and the last probe"
mta_backend mx-a up
mta_backend mx-b up
ok "healthz: 200 again" comes 20 '^200 ok' health

# ---- drain ----
ctl drain --after 1h
like "$CTL_STATUS-$CTL_OUT" '^0-/healthz says so' "drain: announced"
is "$(health)" "503 draining " "healthz: 503 draining"
like "$(smtp_mail announced)" '^250' "drain: sessions are still taken"
ctl drain --cancel
is "$CTL_STATUS-$(health)" "0-200 ok " "drain: taken back"
smtp_hello busy tls
smtp_begin busy
danelawctl drain --wait >$LAB_RUN/drain.out 2>&1 &
DRAIN=$!
ok "drain: the last mail is waited for" comes 10 '^503 draining' health
ctl status --json
is "$CTL_STATUS-$(field 'j["state"], j["sessions"]["open"]')" "1-('draining', 1)" "status: answers while it drains"
ctl reload
like "$CTL_STATUS-$CTL_OUT" '^1-danelawctl: danelawd is stopping' "reload: refused while it drains"
smtp_body busy last
smtp_ask busy .
like "$SMTP_REPLY" '^250' "drain: that mail is taken"
smtp_close busy
lab_wait 20 edge_gone || kill -KILL "$EDGE_PID"
wait "$EDGE_PID"
is "$?" 0 "drain: then it ends well"
wait $DRAIN
is "$?-$(tail -n 1 $LAB_RUN/drain.out)" "0-danelawd has ended" "drain --wait: tells when"
ok "sd_notify: stopping" lab_wait 5 notified STOPPING=1
ctl status
like "$CTL_STATUS-$CTL_OUT" "^3-danelawctl: $LAB_CTL: No such file.*systemctl status danelawd" "nobody at home: the socket, and what to do"

# ---- another start ----
control_conf 203.0.113.99 "probe-interval = 1s" >$EDGE_CONF
edge_start
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
ctl status
like "$CTL_STATUS-$CTL_OUT" "^3-danelawctl: $LAB_CTL: Connection refused.*systemctl status" "killed: the socket is there, nobody behind it"
edge_start
ok "validation without a resolver: 503" comes 20 '^503 DNSSEC: the look-up of "\." failed' health
state_of_a() { ctl backends mx-a --json; field 'j[0]["state"], j[0]["why"]'; }
ok "backends: the one that needs it is out, and why" comes 10 "lookup failed.*look-up of" state_of_a
ok "the log says so loudly" lab_wait 20 grep -q 'backends with tls = dane are out' $EDGE_LOG
edge_stop
control_conf 203.0.113.99 "when-broken = run-without" >$EDGE_CONF
edge_start
ok "the log says that it goes on without" lab_wait 20 grep -q 'going on without DANE' $EDGE_LOG
is "$(health)" "200 ok " "when-broken = run-without: 200"
edge_stop
is "$?" 0 "ends well"
tap_end
