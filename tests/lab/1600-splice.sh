#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 1600: sessions passed on unread are byte-exact, by copying and by pipes, over io_uring and epoll, in the clear and in TLS
# on either leg: random turns, sizes, pieces and pauses (tests/lab/exact.c), half-closes, resets, broken records, an end
# that takes nothing.  So are the octets of BDAT in guarded sessions, whatever is pipelined behind them and wherever they break
# off.  SEED, SESSIONS, IOS and the like change what is played; the seed is told.
# KTLS=all: TLS is to be the kernel's, and the kernel has to say so (tests/vm/guest/0400-ktls-relay.sh).

SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
SESSIONS=${SESSIONS:-20}
ENDS=${ENDS:-5} # sessions that end so and so
LARGE=${LARGE:-2000000}
# of legs: the client's TLS, and the backend's; "uring/1.2:-" is one for this ring only
PAIRS=${PAIRS:--:- 1.3:tls uring/1.2:- uring/1.3:- uring/-:tls uring/1.2:tls}
BDAT_PAIRS=${BDAT_PAIRS:-$PAIRS}
STALLS=${STALLS:--:- 1.3:- -:tls 1.3:tls} # the pairs whose backend takes nothing
IOS=${IOS:-uring epoll}
KTLS=${KTLS:-off}
. "$(dirname "$0")/alone.sh"
alone "$@"
# small kernel buffers: pauses become back-pressure, and what is not in them is danelawd's to hold.  With less than two of
# loopback's segments Linux 6.1 crawls from one probe timer to the next.
echo "4096 131072 262144" >/proc/sys/net/ipv4/tcp_wmem
echo "4096 262144 262144" >/proc/sys/net/ipv4/tcp_rmem
EXACT=$B/tests/lab/exact

certificate() # certificate FILE
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1.example" -keyout "$T/$1.key" \
		-out "$T/$1.crt" 2>/dev/null
	cat "$T/$1.crt" "$T/$1.key" >"$T/$1.pem"
}

gone() { ! kill -0 "$1" 2>/dev/null; }
at_rest() { [ "$(descriptors)" -le "$1" ]; }
# RELAY: whose sessions are looked at below
sessions() { grep -c " ehlo=exact.example .*relay=$RELAY " "$T/danelawd.log"; }
lines() { tail -n "+$((FROM + 1))" "$T/danelawd.log" | grep " ehlo=exact.example .*relay=$RELAY "; }

# sum KEY: over the log lines since $FROM
sum()
{
	lines | sed -n "s/.* $1=\([0-9]*\).*/\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

ended() # ended REASON: sessions since $FROM
{
	lines | grep -c " end=$1\( \|\$\)"
}

logged() { [ $(($(sessions) - WERE)) -ge "$1" ]; }

# exact SESSIONS OPTIONS...: plays them; false if a byte was wrong, or a session is not in the log
exact()
{
	local n=$1
	shift
	FROM=$(wc -l <"$T/danelawd.log")
	WERE=$(sessions)
	"$EXACT" -s "$SEED" -n "$n" "$@" >"$T/out" 2>&1 && until_true 10 logged "$n"
}

# start IO: danelawd with a listener a pair of legs: 2525 plain-plain, 2526 TLS-plain, 2527 plain-TLS, 2528 TLS-TLS; ten
# ports above them the same for sessions that are guarded
start()
{
	cat >"$T/danelaw.conf" <<-END
		hostname = "mx.example"
		user = ""
		state-dir = "$T"
		run-dir = "$T"
		workers = 1
		io = $1
		metrics = "127.0.0.1:2599"
		front { mode = off steer = no }
		limits { relay-buffer = 64k }
		health { interval = 100ms rise = 1 fall = 100 }
		relay { splice-above = ${ABOVE:-32k} ktls = $KTLS }
		timeouts { client-write = 2s backend-reply = 2s body-min-rate = 0 }
		certificate "mx" { chain = "$T/mx.crt" key = "$T/mx.key" }
		backend "plain" { address = "127.0.0.1:2500" client-address = none }
		backend "tls" {
			address = "127.0.0.1:2501"
			client-address = none
			tls = pin
			pin = { "$(openssl x509 -in "$T/farm.crt" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -d' ' -f1)" }
		}
		pool "plain" { backends = { "plain" } }
		pool "tls" { backends = { "tls" } }
		policy "trusted" { networks = { "127.0.0.0/8" } relay = splice }
		listener "pp" { address = { "127.0.0.1" } port = 2525 pool = "plain" policies = { "trusted" } }
		listener "tp" { address = { "127.0.0.1" } port = 2526 pool = "plain" policies = { "trusted" } certificates = { "mx" } }
		listener "pt" { address = { "127.0.0.1" } port = 2527 pool = "tls" policies = { "trusted" } }
		listener "tt" { address = { "127.0.0.1" } port = 2528 pool = "tls" policies = { "trusted" } certificates = { "mx" } }
		listener "gpp" { address = { "127.0.0.1" } port = 2535 pool = "plain" }
		listener "gtp" { address = { "127.0.0.1" } port = 2536 pool = "plain" certificates = { "mx" } }
		listener "gpt" { address = { "127.0.0.1" } port = 2537 pool = "tls" }
		listener "gtt" { address = { "127.0.0.1" } port = 2538 pool = "tls" certificates = { "mx" } }
	END
	"$DANELAWD" -c "$T/danelaw.conf" >>"$T/danelawd.log" 2>&1 &
	PID=$!
}

stop()
{
	kill -TERM $PID
	until_true 30 gone $PID
	wait $PID
}

# with_tls CLIENT BACKEND [PORT]: the options for exact, from "-" or a version, and "-" or "tls"
with_tls()
{
	local port=${3:-2525}
	[ "$1" = - ] || port=$((port + 1))
	[ "$2" = - ] || port=$((port + 2))
	echo "-a $port" $([ "$1" = - ] || echo "-t $1") $([ "$2" = - ] && echo "-l 2500" || echo "-l 2501 -b $T/farm.pem")
}

# rekeys OPTIONS...: in user space keys may change at any time; the kernel cannot follow, and then the session ends
rekeys()
{
	[ "$KTLS" = off ] && { exact 10 -m 200000 "$@" && [ "$(ended ktls_rekey)" = 0 ]; return; }
	local i seed=$SEED status=1
	for i in 1 2 3 4 5 6 7 8; do # until the seed has one that comes behind the switch
		SEED=$((seed + i))
		exact 1 -M 300000 -m 400000 "$@" || ! grep -q wrong "$T/out" || break
		until_true 5 logged 1
		[ "$(ended ktls_rekey)" = 0 ] || { status=0; break; }
	done
	SEED=$seed
	return $status
}

# Behind how many bytes keys change
when() { [ "$KTLS" = off ] && echo 1 || echo 300000; }

# tls_ends CLIENT BACKEND WHAT END ALERT CLOSED OPTIONS...: what only TLS can do.  END: one of exact's ends that goes well;
# ALERT, CLOSED: what a backend's fatal alert and a client's close_notify are in the log
tls_ends()
{
	local client=$1 backend=$2 what=$3 well=$4 alert=$5 closed=$6
	shift 6
	if [ $client != - ]; then
		exact $ENDS -m 300000 -e client-alert "$@" && [ "$(ended tls_error)" = $ENDS ] && [ "$(lines | grep -c ' why=.*alert')" = $ENDS ]
		ok $? "$what: the client's fatal alert ends it, and the log says which it was"
		exact $ENDS -m 300000 -e client-notify "$@" && [ "$(ended $closed)" = $ENDS ]
		ok $? "$what: the client's close_notify without a FIN is an end"
	fi
	if [ $backend != - ]; then
		exact $ENDS -m 300000 -e backend-alert "$@" && [ "$(ended $alert)" = $ENDS ]
		ok $? "$what: the backend's fatal alert ends it"
	fi
	if [ $client = 1.3 ]; then
		rekeys -k "$(when)" -e $well "$@"
		ok $? "$what: a client that changes its keys"
	fi
	if [ $backend != - ]; then
		rekeys -K "$(when)" -e $well "$@"
		ok $? "$what: a backend that changes its keys"
	fi
}

stat_of() { awk -v name="$1" '$1 == name { print $2 }' /proc/net/tls_stat; }

# pairs_of IO LIST
pairs_of()
{
	local p
	for p in $2; do
		case $p in
		*/*) [ "${p%/*}" != "$1" ] || echo "${p#*/}" ;;
		*) echo "$p" ;;
		esac
	done
}

# every_way: all that one danelawd has to show
every_way()
{
	local io=$1 pair client backend what opts piped kind
	for pair in $(pairs_of $io "$PAIRS"); do
		client=${pair%:*} backend=${pair#*:}
		opts=$(with_tls $client $backend)
		what="$io, client ${client/#-/plain}, backend ${backend/#-/plain}"
		# shellcheck disable=SC2086
		exact "$SESSIONS" -m 300000 $opts
		ok $? "$what: $SESSIONS random sessions are byte-exact"
		# shellcheck disable=SC2086
		exact 3 -o -M $((LARGE / 4)) -m $LARGE -e backend-close $opts && [ "$(ended pass_backend_closed)" = 3 ]
		ok $? "$what: large ones"
		piped=$(sum piped)
		if [ "$client$backend" = -- ]; then
			[ "$piped" -gt "$(sum copied)" ]
			ok $? "$what: the kernel moved most of it ($piped bytes)"
		elif [ "$KTLS" = off ]; then
			[ "$piped$(sum ktls)" = 00 ]
			ok $? "$what: what is encrypted here is copied"
		else
			[ "$(sum ktls)" -gt "$(sum copied)" ]
			ok $? "$what: the kernel moved most of it, and its TLS is the kernel's ($(sum ktls) bytes)"
		fi
		for kind in client-close:pass_client_closed client-reset:pass_client_reset backend-reset:pass_backend_reset; do
			# shellcheck disable=SC2086
			exact $ENDS -m 100000 -e ${kind%:*} $opts && [ "$(ended ${kind#*:})" = $ENDS ]
			ok $? "$what: ${kind%:*} is passed on, and told"
		done
		# shellcheck disable=SC2086
		tls_ends $client $backend "$what" client-close pass_backend_reset pass_client_closed $opts
		[ $client = - ] && continue
		for kind in client-garbage client-clear; do
			# shellcheck disable=SC2086
			exact $ENDS -M 100000 -m 200000 -e $kind $opts && [ "$(ended tls_error)" = $ENDS ] && [ "$(lines | grep -c ' why=[^-]')" = $ENDS ]
			ok $? "$what: $kind, a record that cannot be read, ends as a reset"
		done
	done
}

# Each cipher that the kernel may get, beyond the one that is chosen of itself
ciphers()
{
	local io=$1 cipher version
	for cipher in TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305; do
		[[ $cipher == TLS_* ]] && version=1.3 || version=1.2
		# shellcheck disable=SC2046
		exact 2 -o -M 100000 -m 300000 -e client-close -c $cipher $(with_tls $version -) && grep -q " cipher=$cipher .*end=pass_client_closed" "$T/danelawd.log" &&
			{ [ "$KTLS" = off ] || [ "$(sum ktls)" -gt 0 ]; }
		ok $? "$io, $cipher: byte-exact (the kernel: $(sum ktls) bytes)"
	done
}

# What a session may hold: relay-buffer or a pipe, and the kernel's four buffers, of which loopback segments take more
BOUND=$((64 * 1024 + 256 * 1024 + 4 * 262144 + 256 * 1024))

# stall WHAT REASON OPTIONS...: it ends for that reason
stall()
{
	local what=$1 reason=$2 pushed
	shift 2
	exact 1 -S "$@"
	pushed=$(sed -n 's/pushed //p' "$T/out")
	[ "${pushed:-$((BOUND + 1))}" -le $BOUND ] && [ "$(ended "$reason")" = 1 ]
	ok $? "$what: a backend that takes nothing stops the client ($pushed bytes, at most $BOUND) and ends it"
}

stalls()
{
	local io=$1 pair client backend
	for pair in $STALLS; do
		client=${pair%:*} backend=${pair#*:}
		# shellcheck disable=SC2046
		stall "$io, client ${client/#-/plain}, backend ${backend/#-/plain}" pass_backend_stalled $(with_tls $client $backend)
	done
}

# chunks: guarded sessions
chunks()
{
	local io=$1 pair client backend opts what kind RELAY=guard
	for pair in $(pairs_of $io "$BDAT_PAIRS"); do
		client=${pair%:*} backend=${pair#*:}
		opts="-B $(with_tls $client $backend 2535)"
		what="$io, BDAT, client ${client/#-/plain}, backend ${backend/#-/plain}"
		# shellcheck disable=SC2086
		exact "$SESSIONS" -m 300000 -e quit $opts && [ "$(ended quit)" = "$SESSIONS" ]
		ok $? "$what: $SESSIONS random sessions are exact, octets, commands and replies"
		# shellcheck disable=SC2086
		exact 2 -M $((LARGE / 4)) -m $LARGE -e quit $opts && [ "$(ended quit)" = 2 ]
		ok $? "$what: large ones"
		if [ "$client$backend" = -- ]; then
			[ "$(sum piped)" -gt $(($(sum in) / 2)) ]
			ok $? "$what: the kernel moved most of it ($(sum piped) of $(sum in) bytes)"
		elif [ "$KTLS" = off ]; then
			[ "$(sum piped)$(sum ktls)" = 00 ]
			ok $? "$what: what is encrypted here is copied"
		else
			[ "$(sum ktls)" -gt $(($(sum in) / 2)) ] # how much is copied before the records of two ends are in step, time decides
			ok $? "$what: the kernel moved most of it, and its TLS is the kernel's ($(sum ktls) of $(sum in) bytes)"
		fi
		for kind in client-close:client_aborted client-reset:client_reset backend-close:backend_lost backend-reset:backend_lost; do
			# shellcheck disable=SC2086
			exact $ENDS -m 1000000 -e ${kind%:*} $opts && [ "$(ended ${kind#*:})" = $ENDS ]
			ok $? "$what: ${kind%:*} in the middle, and nobody takes it for an end"
		done
		# shellcheck disable=SC2086
		tls_ends $client $backend "$what" quit backend_lost client_aborted $opts
	done
	for backend in $(printf '%s\n' $STALLS | sed 's/.*://' | sort -u); do
		# shellcheck disable=SC2046
		stall "$io, BDAT, client plain, backend ${backend/#-/plain}" backend_timeout -B $(with_tls - $backend 2535)
	done
}

# asked KEY: what `danelawctl status` says of it; scraped NAME: the sample of /metrics
asked() { "$B/danelawctl" status --socket "$T/control.sock" | sed -n "s/^ *$1 *//p"; }
scraped()
{
	exec 4<>/dev/tcp/127.0.0.1/2599 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&4 && sed -n "s/^$1 //p" <&4
	exec 4<&-
}

# not_here: ktls is wanted, and this kernel has no TLS: that is told in every place, and the session stays in user space
not_here()
{
	local why="not to be had: the kernel has no module tls" KTLS=all
	start uring
	until_true 20 answers 2538
	if [ -e /proc/net/tls_stat ]; then
		N=$((N + 1))
		echo "ok $N # SKIP this kernel has TLS: tests/vm/guest/0400-ktls-relay.sh is for such"
	else
		why=$(sed -n "s/.*kernel TLS: \($why\|not used: Linux [0-9.]* may lose bytes that are spliced from it\)\$/\1/p" "$T/danelawd.log" | tail -n 1)
		[ -n "$why" ] && [ "$(asked 'kernel TLS')" = "$why" ] && [ "$(scraped danelaw_kernel_tls)" = 0 ]
		ok $? "ktls = all where the kernel has no TLS: log, status and metrics say so ($why)"
		# shellcheck disable=SC2046
		exact 3 -o -M 100000 -m 500000 -e client-close $(with_tls 1.3 tls) && [ "$(sum ktls)$(scraped danelaw_ktls_legs_total)$(scraped danelaw_ktls_refused_total)" = 000 ]
		ok $? "ktls = all where the kernel has no TLS: sessions are byte-exact, and nothing was tried on them"
	fi
	stop
}

# taken_away: the kernel had TLS when it was asked and has none when it is needed; the session stays in user space
taken_away()
{
	local loader
	loader=$(cat /proc/sys/kernel/modprobe)
	start uring
	until_true 20 answers 2538
	echo /bin/false >/proc/sys/kernel/modprobe
	modprobe -r tls && grep -q 'kernel TLS: works' "$T/danelawd.log" &&
		exact 2 -o -M 100000 -m 500000 $(with_tls 1.3 tls) && [ "$(sum ktls)" = 0 ] && [ "$(scraped danelaw_ktls_refused_total)" -ge 2 ]
	ok $? "a kernel that refuses its TLS: sessions stay in user space, byte-exact, and that is counted"
	echo "$loader" >/proc/sys/kernel/modprobe
	stop
}

RELAY=splice
certificate mx
certificate farm
touch "$T/danelawd.log"
echo "# SEED=$SEED"
for io in $IOS; do
	rx=$(stat_of TlsRxSw) tx=$(stat_of TlsTxSw)
	start $io
	until_true 20 answers 2538 # the listeners stand; backends are waited for as they come
	FDS=$(descriptors)
	every_way $io
	[ $io != "${IOS%% *}" ] || ciphers $io # who waits for what has no part in it
	stalls $io
	chunks $io
	if [ "$KTLS" != off ]; then
		# twelve of the probe, and at least one of each leg above whose bytes went through the kernel's TLS
		[ $(($(stat_of TlsRxSw) - rx)) -ge 19 ] && [ $(($(stat_of TlsTxSw) - tx)) -ge 19 ]
		ok $? "$io: the kernel has counted the connections whose records it reads and writes ($(($(stat_of TlsRxSw) - rx)))"
		grep -q 'kernel TLS: works' "$T/danelawd.log" && [ "$(scraped danelaw_kernel_tls)" = 1 ]
		ok $? "$io: log and metrics say that kernel TLS works"
	fi
	until_true 30 at_rest $((FDS + 2 * 64 + 2))
	ok $? "$io: no descriptor is left over but the pipes that are kept ($(descriptors), $FDS at the start)"
	stop
	ok $? "$io: danelawd ends by itself, status 0"
done
if [ "$KTLS" = off ]; then
	not_here
else
	taken_away
fi
echo "1..$N"
