#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Kernel TLS is really there: OpenSSL at both ends of a connection gives its keys to the kernel, the kernel counts
# the connections it encrypts (/proc/net/tls_stat), and what is sent arrives.  Not there is a failure, not a skip:
# the tests of kernel TLS that run in this guest would have proved nothing.
#
# part: ktls

. "$(dirname "$0")/../../lab/tap.sh"
TMP=$(mktemp -d)
trap 'kill $SERVER 2>/dev/null; rm -rf "$TMP"' EXIT
PORT=4433

stat_of()
{
	awk -v name="$1" '$1 == name { print $2 }' /proc/net/tls_stat
}

listens()
{
	[ -n "$(ss -Hltn "sport = $PORT")" ]
}

wait_for()
{
	local i
	for i in $(seq 400); do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}

# session VERSION: a line there and, reversed, back
session()
{
	local line
	{ echo "over $1"; wait_for grep -q revo "$TMP/answer"; } |
		OPENSSL_CONF=$TMP/conf openssl s_client -quiet -no_ign_eof "-$1" -connect 127.0.0.1:$PORT >"$TMP/answer" 2>/dev/null
	cat "$TMP/answer"
}

cat >"$TMP/conf" <<-END
	openssl_conf = all
	[all]
	ssl_conf = ssl
	[ssl]
	system_default = tls
	[tls]
	Options = KTLS
END
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=guest -keyout "$TMP/key" -out "$TMP/pem" \
	2>/dev/null

tap_plan 7
modprobe tls
like "$(cat /proc/sys/net/ipv4/tcp_available_ulp)" '(^| )tls( |$)' "the tls module is active"
OPENSSL_CONF=$TMP/conf openssl s_server -quiet -rev -accept $PORT -key "$TMP/key" -cert "$TMP/pem" >"$TMP/server" 2>&1 &
SERVER=$!
ok "a server listens" wait_for listens
is "$(stat_of TlsTxSw)-$(stat_of TlsRxSw)" 0-0 "the kernel has encrypted nothing yet"
is "$(session tls1_3)" "3_1slt revo" "a line and its answer, TLS 1.3"
is "$(stat_of TlsTxSw)" 2 "the kernel encrypts for both ends"
is "$(session tls1_2)" "2_1slt revo" "a line and its answer, TLS 1.2"
is "$(stat_of TlsTxSw)-$(stat_of TlsRxSw)" 4-2 "the kernel encrypts and decrypts for both ends"
tap_end
