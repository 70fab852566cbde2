# SPDX-License-Identifier: BSD-2-Clause
#
# The zoo: zones below example. for every state a DNS answer can be in.  Put in place of the lab's own zones by a
# test that needs no mail: net_up && root_mount && zoo_up.
#
#	NSD: sec opt uns bog …
#	responder (ZOO_RESPONDER): zoo.example signed, shed.example unsigned, bad manners by label (dns_responder.pl);
#	lame.example is delegated to it, and it refuses

ZOO_RESPONDER=203.0.113.20
LAB_MX_GOOD=mx.sec.example
ZOO_ZONES="sec.example opt.example uns.example bog.example old-signatures.example tlsabog.example denialbog.example
	many.example plain.example aliased.example original.example insecure-end.example tlsa-alias.example
	tlsa-out.example old.example unusable.example null.example implicit.example nomail.example uns-to-sec.example
	silent.example outlook.example order.example skip.example literal.example short.example twelve.example
	sixty.example zero.example"
DNS_ZONES="$ZOO_ZONES child.opt.example"
ZOO_TLSA="TLSA 3 1 1 $(printf 'a key' | sha256sum | cut -d' ' -f1)"

# One host with a record
zoo_host()
{
	printf '%s A 192.0.2.%s\n_25._tcp.%s %s\n' "$1" "${2:-1}" "$1" "$ZOO_TLSA"
}

# zoo_mx HOST...: MX records in order of preference
zoo_mx()
{
	local i=0 h
	for h in "$@"; do
		i=$((i + 10))
		printf '@ MX %s %s\n' $i "$h"
	done
}

zoo_sec()
{
	local i
	zoo_mx mx
	zoo_host mx
	printf '_10025._tcp.mx %s\nplain A 192.0.2.2\n' "$ZOO_TLSA"
	printf 'alias CNAME mx\nchain CNAME alias\ndangling CNAME gone\nloop CNAME pool\npool CNAME loop\n'
	printf 'out CNAME mx.uns.example.\ndom-alias CNAME sec.example.\nx MX 10 mx\ndeep CNAME d1\n'
	for i in {1..13}; do
		printf 'd%s CNAME d%s\n' $i $((i + 1))
	done
	printf 'd14 A 192.0.2.3\n'
}

zoo_many()
{
	local i
	printf 'twelve A 192.0.2.12\nsixty A 192.0.2.60\n'
	for i in {1..12}; do
		printf '_25._tcp.twelve TLSA 3 1 1 %s\n' "$(printf 'key %s' $i | sha256sum | cut -d' ' -f1)"
	done
	for i in {1..60}; do # 60 * 79 bytes: TCP
		printf '_25._tcp.sixty TLSA 3 1 2 %s\n' "$(printf 'key %s' $i | sha512sum | cut -d' ' -f1)"
	done
}

# Aliases and records at one of their ends
zoo_aliases()
{
	{ zoo_mx mx; printf 'mx CNAME mx.sec.example.\n'; } | dns_zone aliased.example
	{ zoo_mx mx; printf 'mx CNAME plain.sec.example.\n_25._tcp.mx %s\n' "$ZOO_TLSA"; } | dns_zone original.example
	{ zoo_mx mx; printf 'mx CNAME mx.uns.example.\n_25._tcp.mx %s\n' "$ZOO_TLSA"; } | dns_zone insecure-end.example
	{ zoo_mx mx; printf 'mx A 192.0.2.4\n_25._tcp.mx CNAME _25._tcp.mx.sec.example.\n'; } | dns_zone tlsa-alias.example
	{ zoo_mx mx; printf 'mx A 192.0.2.5\n_25._tcp.mx CNAME _25._tcp.mx.uns.example.\n'; } | dns_zone tlsa-out.example
	printf '@ DNAME sec.example.\n' | dns_zone old.example
}

zoo_domains()
{
	{ zoo_mx mx; printf 'mx A 192.0.2.2\n'; } | dns_zone plain.example
	{ zoo_mx mx; printf 'mx A 192.0.2.6\n_25._tcp.mx TLSA 1 1 1 %s\n_25._tcp.mx TLSA 3 1 9 aabb\n' \
		"${ZOO_TLSA##* }"; } | dns_zone unusable.example
	zoo_mx . | dns_zone null.example
	printf '@ A 192.0.2.7\n_25._tcp %s\n' "$ZOO_TLSA" | dns_zone implicit.example
	printf 'www A 192.0.2.8\n' | dns_zone nomail.example
	zoo_mx mx.sec.example. | dns_zone uns-to-sec.example unsigned
	zoo_mx mx.silent-tlsa.zoo.example. | dns_zone silent.example
	zoo_mx mx.silent-tlsa.shed.example. | dns_zone outlook.example
	zoo_mx mx.plain.example. mx.sec.example. | dns_zone order.example
	zoo_mx mx.tlsabog.example. mx.sec.example. | dns_zone skip.example
	zoo_mx 192.0.2.9. | dns_zone literal.example
	zoo_mx len1.zoo.example. len2.zoo.example. len3.zoo.example. mixed.zoo.example. | dns_zone short.example
	zoo_mx len0.zoo.example. | dns_zone zero.example
	zoo_mx twelve.many.example. | dns_zone twelve.example
	zoo_mx sixty.many.example. | dns_zone sixty.example
}

# What NSD would not serve
zoo_responder_zones()
{
	{
		printf 'mx A 192.0.2.30\nmx.silent-a A 192.0.2.31\n'
		zoo_host mx.silent-tlsa 32
		zoo_host mx.servfail-tlsa 33
		printf 'len%s A 192.0.2.34\n' 0 1 2 3
		printf 'mixed A 192.0.2.35\n_25._tcp.mixed %s\n_25._tcp.mixed TYPE52 \\# 3 030101\n' "$ZOO_TLSA"
		printf '_25._tcp.len0 TYPE52 \\# 0\n_25._tcp.len1 TYPE52 \\# 1 03\n'
		printf '_25._tcp.len2 TYPE52 \\# 2 0301\n_25._tcp.len3 TYPE52 \\# 3 030101\n'
	} | dns_zone zoo.example
	zoo_host mx.silent-tlsa 36 | dns_zone shed.example unsigned
	# the plain form has relative names: read and print it
	ldns-read-zone $LAB_DNS/zones/shed.example.plain >$LAB_DNS/zones/shed.example.zone
}

dns_zones()
{
	zoo_sec | dns_zone sec.example &
	zoo_many | dns_zone many.example &
	{ zoo_mx mx; zoo_host mx; } | dns_zone uns.example unsigned &
	{ zoo_mx mx; zoo_host mx; } | dns_zone bog.example bogus &
	{ zoo_mx mx; zoo_host mx; } | dns_zone tlsabog.example bogus-TLSA &
	{ zoo_mx mx; zoo_host mx; } | dns_zone denialbog.example bogus-NSEC &
	{ zoo_mx mx; zoo_host mx; } | DNS_SIGN_OPTIONS='-i 20200101 -e 20200201' dns_zone old-signatures.example &
	# NSEC3, opt-out, with an unsigned delegation that the span passes over
	{ zoo_mx mx; zoo_host mx; printf 'child NS ns.root.\n'; } |
		DNS_SIGN_OPTIONS='-n -p -t 0' dns_zone opt.example &
	zoo_aliases &
	zoo_domains &
	zoo_responder_zones &
	wait
	printf '@ A 192.0.2.40\n' | dns_zone child.opt.example unsigned
	zoo_tld && zoo_responder
}

zoo_responder()
{
	(exec nsenter --net=/run/netns/dns perl $LAB_DIR/dns_responder.pl $ZOO_RESPONDER \
		zoo.example=$LAB_DNS/zones/zoo.example.zone shed.example=$LAB_DNS/zones/shed.example.zone \
		</dev/null >$LAB_LOG/responder.log 2>&1) &
}

zoo_tld()
{
	local z
	{
		for z in $ZOO_ZONES; do
			echo "$z. NS ns.root."
			[ ! -e $LAB_DNS/zones/"$z".ds ] || cat $LAB_DNS/zones/"$z".ds
		done
		printf '%s.example. NS ns2.root.\n' zoo shed lame
		cat $LAB_DNS/zones/zoo.example.ds
	} | dns_zone example &&
	{ echo "example. NS ns.root."; cat $LAB_DNS/zones/example.ds
	  printf 'ns.root. A %s\nns.root. AAAA 2001:db8:53::10\nns2.root. A %s\n' $LAB_AUTH $ZOO_RESPONDER
	} | dns_zone . &&
	cp $LAB_DNS/zones/root.ds $LAB_TRUST_ANCHOR
}

zoo_up()
{
	net_addr dns dns0 $ZOO_RESPONDER/24
	dns_up
	lab_wait 10 grep -q ready $LAB_LOG/responder.log || lab_die "$(lab_tail $LAB_LOG/responder.log)"
}
