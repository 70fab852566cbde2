#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0600: danelawd under many sessions, with the benchmark's own generator and sink on one loopback: nothing
# answered 250 is lost, descriptors and memory come back, and what a session may hold has a bound.  No mail
# servers are needed.  Nothing here depends on how fast the machine is, only on what is there in the end.

SESSIONS=${SESSIONS:-20000}
. "$(dirname "$0")/alone.sh"
alone "$@"
# small kernel buffers: what does not fit into them is danelawd's to hold or to refuse
echo "4096 16384 65536" >/proc/sys/net/ipv4/tcp_wmem
echo "4096 65536 65536" >/proc/sys/net/ipv4/tcp_rmem
mkfifo "$T/say"
exec 4<>"$T/say"
LOAD=$B/tests/bench/load

is_at_most() # is_at_most VALUE BOUND TEXT
{
	[ "$1" -le "$2" ]
	ok $? "$3 ($1, at most $2)"
}

memory_is_at_most() # the same, but not where a sanitizer multiplies memory
{
	[ "${BOUNDS:-yes}" = yes ] && { is_at_most "$@"; return; }
	N=$((N + 1))
	echo "ok $N - $3 # SKIP not measured under sanitizers"
}

stat_of() # stat_of PORT KEY: one of the sink's counters
{
	local line
	exec 3<>"/dev/tcp/127.0.0.1/$1" && read -r line <&3
	exec 3>&-
	sed -n "s/.*\b$2=\([0-9]*\).*/\1/p" <<<"$line"
}

memory() { awk '/^Pss_(Anon|Shmem):/ { kb += $2 } END { print kb * 1024 }' "/proc/$PID/smaps_rollup"; }

# Memory once it has stopped growing: the same, within 1 %, over ten looks
settled_memory()
{
	local before=0 now same=0 i
	for i in $(seq 200); do
		now=$(memory)
		[ $((now - before)) -lt $((now / 100 + 1)) ] && same=$((same + 1)) || same=0
		[ $same -ge 10 ] && break
		before=$now
		sleep 0.1
	done
	echo "$now"
}

cat >"$T/danelaw.conf" <<END
hostname = "mx.example"
user = ""
state-dir = "$T"
run-dir = "$T"
workers = 2
front {
	mode = off
	steer = no
}
limits {
	sessions = 2000
	relay-buffer = 64k
}
certificate "mx" {
	chain = "$T/mx.crt"
	key = "$T/mx.key"
}
backend "sink" {
	address = "127.0.0.1:2500"
}
backend "hangs" {
	address = "127.0.0.1:2510"
}
pool "farm" {
	backends = { "sink" }
}
pool "deaf" {
	backends = { "hangs" }
}
listener "edge" {
	address = { "127.0.0.1" }
	port = 2525
	certificates = { "mx" }
	pool = "farm"
}
listener "stuck" {
	address = { "127.0.0.1" }
	port = 2526
	certificates = { "mx" }
	pool = "deaf"
}
END
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=mx.example \
	-keyout "$T/mx.key" -out "$T/mx.crt" 2>/dev/null
"$B/tests/bench/sink" -p -l 127.0.0.1:2500 -s 127.0.0.1:2501 &
"$B/tests/bench/sink" -p -l 127.0.0.1:2510 -s 127.0.0.1:2511 -m data &
DEAF=$!
until_true 10 answers 2501 && until_true 10 answers 2511
"$DANELAWD" -c "$T/danelaw.conf" >"$T/danelawd.log" 2>&1 &
PID=$!
until_true 20 answers 2526
ok $? "danelawd runs"

# push SESSIONS OPTIONS...: all of them succeed, and the sink counted each message and octet
push()
{
	local n=$1 before_m before_o out m o
	shift
	before_m=$(stat_of 2501 messages)
	before_o=$(stat_of 2501 octets)
	out=$(echo | "$LOAD" -a 127.0.0.1:2525 -n "$n" -c 50 -A 200 -T 60 "$@" 2>"$T/load.err" | grep sessions=)
	m=$(sed 's/.* messages=\([0-9]*\).*/\1/' <<<"$out")
	o=$(sed 's/.* octets=\([0-9]*\).*/\1/' <<<"$out")
	[[ $out == "sessions=$n failed=0 "* ]] && [ $(($(stat_of 2501 messages) - before_m)) = "$m" ] &&
		[ $(($(stat_of 2501 octets) - before_o)) = "$o" ] && return
	sed 's/^/# /' <<<"$out" "$T/load.err"
	return 1
}

at_least() { [ "$(descriptors)" -ge "$1" ]; }
at_rest() { [ "$(stat_of 2501 active)" -le 1 ] && [ "$(descriptors)" -le "$1" ]; }

# Warm: pools, the rings' buffers, tickets and the allocator's arenas have reached their size.  More at a time than
# later, so that a slow moment of the machine later asks for no more than was there before.
push 1200 -c 200 -t 1.3 && push 1200 -c 200 -z 50k && push 600 -c 200 -t 1.2 -P -z 50k
ok $? "warmed up"
until_true 10 at_rest 1000
sleep 0.5
FDS=$(descriptors) # two more may stand at any time: the health checks
MEM=$(settled_memory)
OPENED=$(stat_of 2501 connections)

S=$((SESSIONS / 20))
push $((S * 8)) -z 4k;           ok $? "$((S * 8)) sessions in the clear, nothing lost"
push $((S * 4)) -z 1k -t 1.3 -R; ok $? "$((S * 4)) sessions of TLS 1.3, resumed, nothing lost"
push $((S * 2)) -z 4k -t 1.3;    ok $? "$((S * 2)) sessions of TLS 1.3, full handshakes, nothing lost"
push $((S * 1)) -z 50k -t 1.2 -m 2; ok $? "$S sessions of TLS 1.2, two mails each, nothing lost"
push $((S * 2)) -z 10k -B;       ok $? "$((S * 2)) sessions with BDAT, nothing lost"
push $((S * 2)) -z 100 -P;       ok $? "$((S * 2)) sessions with a pipelined envelope, nothing lost"
push $((S * 1)) -q;              ok $? "$S sessions that end without QUIT, nothing lost"
[ "$(($(stat_of 2501 connections) - OPENED))" -ge $((S * 20)) ]
ok $? "$((S * 20)) sessions reached the backend"
until_true 30 at_rest $((FDS + 2))
is_at_most "$(descriptors)" $((FDS + 2)) "descriptors are back where they were"
memory_is_at_most "$(($(settled_memory) - MEM))" $((2 * 1024 * 1024)) "octets of memory grown over $((S * 20)) sessions"

# Idle sessions
coproc IDLE { "$LOAD" -a 127.0.0.1:2525 -t 1.3 -c 50 -A 200 -I 100,600 2>&1; }
IDLE_PID=$!
read -r HELD <&"${IDLE[0]}"
[ "$HELD" = "holding 100" ]
ok $? "100 idle sessions of TLS stand"
MEM=$(settled_memory)
echo >&"${IDLE[1]}"
read -r HELD <&"${IDLE[0]}"
[ "$HELD" = "holding 600" ]
ok $? "500 more stand"
memory_is_at_most $((($(settled_memory) - MEM) / 500)) 20480 "octets of memory an idle session of TLS"
echo >&"${IDLE[1]}"
wait $IDLE_PID
until_true 30 at_rest $((FDS + 2))
is_at_most "$(descriptors)" $((FDS + 2)) "descriptors are back after the idle sessions"

# held SESSIONS OPTIONS...: octets a session that it makes danelawd hold, when nothing moves any more
held()
{
	local n=$1 before after pid
	shift
	before=$(settled_memory)
	"$LOAD" -A 200 -T 60 "$@" <"$T/say" >/dev/null 2>&1 &
	pid=$!
	[[ " $* " == *" -I "* ]] || echo >&4 # "go" to those who ask
	until_true 20 at_least $((FDS + n))
	after=$(settled_memory)
	kill $pid
	wait $pid 2>/dev/null
	echo $(((after - before) / n))
}

# A session may hold relay-buffer (64k) a direction, and what its TLS and its command parser need: 64k more
BOUND=$((2 * 65536 + 65536))
memory_is_at_most "$(held 50 -a 127.0.0.1:2526 -n 50 -c 50 -z 50m)" $BOUND \
	"octets held a session whose backend stopped reading a body of 50 MB"
memory_is_at_most "$(held 50 -a 127.0.0.1:2526 -n 50 -c 50 -z 50m -t 1.3)" $BOUND \
	"octets held a session of TLS whose backend stopped reading a body of 50 MB"
memory_is_at_most "$(held 50 -a 127.0.0.1:2525 -c 50 -I 50 -D)" $BOUND \
	"octets held a session whose client sends commands and never reads a reply"
memory_is_at_most "$(held 50 -a 127.0.0.1:2525 -c 50 -I 50 -D -t 1.3)" $BOUND \
	"octets held a session of TLS whose client sends commands and never reads a reply"
# A client that died behind a closed window says so only once that opens (its FIN waits behind its data): the
# deaf backend ends, as a crash would end it
kill $DEAF
until_true 30 at_rest $((FDS + 2))
is_at_most "$(descriptors)" $((FDS + 2)) "descriptors are back after the blocked sessions"
push 100 -t 1.3
ok $? "100 more sessions, nothing lost"
kill -TERM $PID
until_true 30 eval "! kill -0 $PID 2>/dev/null"
wait $PID
ok $? "danelawd ends by itself, status 0"
echo "1..$N"
