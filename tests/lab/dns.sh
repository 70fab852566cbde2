# SPDX-License-Identifier: BSD-2-Clause
#
# DNS of the lab: a signed root, a signed TLD `example.` and zones below it, made and signed on the spot with ldns'
# tools (one ECDSA key a zone), served by NSD; Unbound validates from the lab's own trust anchor and is the resolver
# of everyone.  TTLs are short, so that a record can be changed while a test looks on.
#
#	dns_zone NAME [signed|unsigned|bogus|bogus-TYPE] <records	(names relative to the zone)
#	dns_delegate NAME			which zones the TLD delegates: DS where the zone has one
#	dns_reload				after a zone has been made again: NSD reads it, Unbound forgets

LAB_DNS=$LAB_RUN/dns
LAB_TRUST_ANCHOR=$LAB_DNS/anchor
LAB_DOMAIN_GOOD=good.example
LAB_DOMAIN_WRONG=wrong.example
LAB_DOMAIN_NONE=none.example
LAB_DOMAIN_BOGUS=bogus.example
LAB_DOMAIN_INSECURE=insecure.example
LAB_MX_GOOD=mx.good.example

# dns_key ZONE: makes the zone's key once; prints its file name without suffix
dns_key()
{
	local f=$LAB_DNS/keys/${1%.}
	[ "$1" != . ] || f=$LAB_DNS/keys/root
	[ -s "$f.name" ] || (cd $LAB_DNS/keys && ldns-keygen -a ECDSAP256SHA256 -k -r /dev/urandom "$1" >"$f.name")
	echo "$LAB_DNS/keys/$(cat "$f.name")"
}

# Signatures that do not verify: the last but one letter of each, of one type or of all
dns_spoil()
{
	perl -pe 'if (/\sIN\s+RRSIG\s+(\S+)/ && ($ENV{T} eq "" || $1 eq $ENV{T})) { s/(\S)(\S{3})\s*$/($1 eq "A" ? "B" : "A").$2."\n"/e }'
}

dns_zone()
{
	local zone=$1 how=${2:-signed} file key
	file=$LAB_DNS/zones/${zone%.}
	[ "$zone" != . ] || file=$LAB_DNS/zones/root
	{
		printf '$ORIGIN %s.\n$TTL 5\n' "${zone%.}"
		printf '@ SOA ns.root. hostmaster.root. %s 3600 600 864000 5\n@ NS ns.root.\n' "$(date +%s)"
		cat
	} >"$file.plain"
	if [ "$how" = unsigned ]; then
		cp "$file.plain" "$file.zone"
		return
	fi
	key=$(dns_key "$zone") || return 1
	# shellcheck disable=SC2086
	ldns-signzone ${DNS_SIGN_OPTIONS:-} -o "$zone" -f "$file.signed" "$file.plain" "$key" || return 1
	case $how in
	bogus) T='' dns_spoil <"$file.signed" ;;
	bogus-*) T=${how#bogus-} dns_spoil <"$file.signed" ;;
	*) cat "$file.signed" ;;
	esac >"$file.zone"
	cp "$key.ds" "$file.ds"
}

# The edge as a mail exchanger: dns_mx TLSA-RECORD...
dns_mx()
{
	local r
	printf '@ MX 10 mx\nmx A %s\nmx AAAA %s\n' $LAB_EDGE $LAB_EDGE6
	for r in "$@"; do
		printf '_25._tcp.mx TLSA %s\n' "$r"
	done
}

# dns_tlsa CERTIFICATE: "3 1 1 digest" of its key
dns_tlsa()
{
	printf '3 1 1 %s\n' "$(openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)"
}

DNS_ZONES="good.example wrong.example none.example bogus.example tlsabogus.example insecure.example sender.example
	farm.example"

dns_zones()
{
	local own other z
	own=$(dns_tlsa $LAB_RUN/tls/edge.pem)
	other="3 1 1 $(printf 'the key of nobody' | sha256sum | cut -d' ' -f1)"
	dns_mx "$own" | dns_zone good.example &
	dns_mx "$other" | dns_zone wrong.example &
	dns_mx | dns_zone none.example &
	dns_mx "$own" | dns_zone bogus.example bogus &
	dns_mx "$own" | dns_zone tlsabogus.example bogus-TLSA &
	# records nobody may believe
	dns_mx "$other" | dns_zone insecure.example unsigned &
	dns_zone sender.example <<-END &
		mail A $LAB_SENDER
		mail AAAA $LAB_SENDER6
		exim A $LAB_SENDER2
		exim AAAA $LAB_SENDER26
	END
	dns_zone farm.example <<-END &
		mx-a A $LAB_MX_A
		mx-b A $LAB_MX_B
		_25._tcp.mx-a TLSA $(dns_tlsa $LAB_RUN/tls/mx-a.pem)
		_25._tcp.mx-b TLSA $(dns_tlsa $LAB_RUN/tls/mx-b.pem)
	END
	wait
	dns_tld
}

# The TLD and the root, after the zones: they carry the DS records
dns_tld()
{
	local z
	for z in $DNS_ZONES; do
		echo "$z. NS ns.root."
		[ ! -e $LAB_DNS/zones/"$z".ds ] || cat $LAB_DNS/zones/"$z".ds
	done | dns_zone example &&
	{ echo "example. NS ns.root."; cat $LAB_DNS/zones/example.ds
	  printf 'ns.root. A %s\nns.root. AAAA 2001:db8:53::10\n' $LAB_AUTH; } | dns_zone . &&
	cp $LAB_DNS/zones/root.ds $LAB_TRUST_ANCHOR
}

dns_nsd_conf()
{
	local z
	cat <<-END
		server:
			ip-address: $LAB_AUTH
			ip-address: 2001:db8:53::10
			username: ""
			chroot: ""
			zonesdir: "$LAB_DNS/zones"
			database: ""
			pidfile: "$LAB_DNS/nsd.pid"
			zonelistfile: "$LAB_DNS/nsd.list"
			xfrdfile: "$LAB_DNS/nsd.xfrd"
			xfrdir: "$LAB_DNS"
			logfile: "$LAB_LOG/nsd.log"
			server-count: 1
			rrl-ratelimit: 0
		remote-control:
			control-enable: yes
			control-interface: $LAB_DNS/nsd.ctl
		zone:
			name: "."
			zonefile: "root.zone"
	END
	for z in example $DNS_ZONES; do
		printf 'zone:\n\tname: "%s"\n\tzonefile: "%s.zone"\n' "$z" "$z"
	done
}

dns_unbound_conf()
{
	cat <<-END
		server:
			interface: $LAB_RESOLVER
			interface: 2001:db8:53::53
			access-control: 0.0.0.0/0 allow
			access-control: ::/0 allow
			username: ""
			chroot: ""
			directory: "$LAB_DNS"
			pidfile: "$LAB_DNS/unbound.pid"
			use-syslog: no
			logfile: "$LAB_LOG/unbound.log"
			val-log-level: 2
			root-hints: "$LAB_DNS/hints"
			trust-anchor-file: "$LAB_TRUST_ANCHOR"
			module-config: "validator iterator"
			cache-max-negative-ttl: 5
			num-threads: 1
		remote-control:
			control-enable: yes
			control-interface: $LAB_DNS/unbound.ctl
			control-use-cert: no
	END
}

# dns_asks NAME TYPE: the resolver answers, and vouches for it
dns_asks()
{
	[[ $(root_run internet dig +time=1 +tries=1 +dnssec @$LAB_RESOLVER "$1" "$2") == *" ad"*";; QUESTION"* ]]
}

dns_up()
{
	mkdir -p $LAB_DNS/keys $LAB_DNS/zones
	printf '. NS ns.root.\nns.root. A %s\nns.root. AAAA 2001:db8:53::10\n' $LAB_AUTH >$LAB_DNS/hints
	dns_zones >$LAB_LOG/zones.log 2>&1 || lab_die "zones could not be made: $(cat $LAB_LOG/zones.log)"
	dns_nsd_conf >$LAB_DNS/nsd.conf
	dns_unbound_conf >$LAB_DNS/unbound.conf
	root_spawn dns $LAB_LOG/nsd.log nsd -d -c $LAB_DNS/nsd.conf
	root_spawn dns $LAB_LOG/unbound.log unbound -d -c $LAB_DNS/unbound.conf
	lab_wait 20 dns_asks $LAB_MX_GOOD A || lab_die "no validated answer from the resolver
$(lab_tail $LAB_LOG/nsd.log $LAB_LOG/unbound.log)"
}

dns_reload()
{
	root_run dns nsd-control -c $LAB_DNS/nsd.conf reload >>$LAB_LOG/nsd.log 2>&1 &&
	root_run dns unbound-control -c $LAB_DNS/unbound.conf flush_zone . >>$LAB_LOG/unbound.log 2>&1
}
