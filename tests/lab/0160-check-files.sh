#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawd -t and the files that a configuration names: whatever would keep a start, or the next one, from reading them is
# told, all of it, where it is named.  No lab: nothing is started.

. "$(dirname "$0")/tap.sh"
DANELAWD=$(readlink -f "${DANELAWD:-${B:-build}/danelawd}")
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
cd "$T" || exit 1

cert()
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1.example" -keyout "$1.key" \
		-out "$1.pem" 2>/dev/null
}

# All files as they should be
files()
{
	rm -f -- *.key *.pem *.txt *.secret
	cert mx
	cert other
	head -c 48 /dev/urandom >ticket.secret
	head -c 48 /dev/urandom >syn.secret
	printf '192.0.2.0/24 ; somebody\n' >drop.txt
	: >allow.txt
	printf '. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n' >root.txt
}

# Lines are counted below
cat >d.conf <<END
hostname = "mx.example"
front { interfaces = { "lo" } syn-secret = "$T/syn.secret" deny = "$T/drop.txt" allow = "$T/allow.txt" }
tls { ticket-secret = "$T/ticket.secret" }
dns { trust-anchor = "$T/root.txt" }
certificate "mx" { chain = "$T/mx.pem" key = "$T/mx.key" }
certificate "spare" { chain = "$T/other.pem" key = "$T/other.key" }
backend "a" { address = "127.0.0.1:25" tls = ca ca = "$T/other.pem" tls-name = "a.example" }
pool "farm" { backends = { "a" } }
listener "edge" { certificates = { "mx" } pool = "farm" }
END

check()
{
	"$DANELAWD" -t -c d.conf 2>&1
	echo "status $?"
}

# wrong COMMAND REGEX TEXT: with this done to the files, -t says so
wrong()
{
	files
	eval "$1"
	like "$(check)" "$2.*status 1" "$3"
}

tap_plan 15
files
is "$(check)" "d.conf: ok
status 0" "all is well"
wrong 'rm mx.pem' '^d.conf:5: certificate "mx": [^ ]*/mx.pem: No such file or directory' "no chain"
wrong 'rm mx.key' '^d.conf:5: certificate "mx": [^ ]*/mx.key: No such file or directory' "no key"
wrong ': >mx.pem' '^d.conf:5: certificate "mx": [^ ]*/mx.pem: empty' "an empty chain"
wrong 'echo no >mx.pem' '^d.conf:5: certificate "mx": no certificate in the chain file' "a chain that is none"
wrong 'cp other.key mx.key' '^d.conf:5: certificate "mx": ' "a key of another certificate"
wrong 'rm other.key' '^d.conf:6: certificate "spare": [^ ]*/other.key: No such' "the key of a certificate that no listener has"
wrong 'echo no >other.pem' 'd.conf:7: backend "a": [^ ]*/other.pem: CA certificates: ' "a CA that is none"
wrong 'rm ticket.secret' '^d.conf: [^ ]*/ticket.secret: No such' "no ticket secret"
wrong 'echo short >ticket.secret' '^d.conf: [^ ]*/ticket.secret: 6 bytes; a ticket secret has 32 or more' "one that is too short"
wrong 'echo short >syn.secret' '^d.conf: [^ ]*/syn.secret: 6 bytes; ' "a secret of SYN cookies that is too short"
wrong 'echo 192.0.2.300 >>drop.txt' '^d.conf: [^ ]*/drop.txt:2: "192.0.2.300" is not an address' "a bad line in a list"
wrong 'rm allow.txt' '^d.conf: [^ ]*/allow.txt: No such' "no list"
wrong 'rm root.txt' '^d.conf: [^ ]*/root.txt: No such' "no trust anchor"
wrong 'rm mx.pem drop.txt syn.secret' 'd.conf:5: .*drop.txt: No such.*syn.secret: No such' "several faults at once"
tap_end
