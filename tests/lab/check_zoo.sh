# SPDX-License-Identifier: BSD-2-Clause
#
# Domains for `danelawctl check` and for real senders beside it: one signed zone, t.example, with a domain for every
# row, zones of their own where signatures matter, and mail exchangers in the namespace `edge` that do well, badly and
# oddly.  Sourced before lab_up.
#
#	192.0.2.25	danelawd (edge_start)
#	.101 to .110	Postfix, one address a way of serving certificates (check_postfix_master)
#	.111		nothing listens		.112 to .119	smtp_zoo.pl, by what it does
#	.121		Exim

CHECK_CERTS=$LAB_RUN/tls/check
LAB_MX_GOOD=mx.edge.t.example
DNS_ZONES="t.example u.example bog.example tlsabog.example denialbog.example expired.example opt.example"
MTA_DOMAINS="${MTA_DOMAINS:-} edge.t.example" # taken by the farm behind danelawd
CHECK_RESPONDER=203.0.113.20

# ---- certificates ----

# check_leaf FILE CA DAYS NAME...: a key, and a certificate by the CA; the chain has the CA too
check_leaf()
{
	local file=$CHECK_CERTS/$1 ca=$CHECK_CERTS/$2 days=$3 names
	shift 3
	names=$(printf ',DNS:%s' "$@")
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout $file.key -out $file.csr &&
	openssl x509 -req -in $file.csr -CA $ca.pem -CAkey $ca.key -CAcreateserial -days "$days" \
		-extfile <(printf 'subjectAltName=%s\n' "${names#,}") -out $file.leaf &&
	cat $file.leaf $ca.pem >$file.pem && cat $file.key $file.pem >$file.both
}

check_certs()
{
	local c=$CHECK_CERTS
	mkdir -p $c
	lab_cert $c/good mx.good.t.example
	lab_cert $c/other somebody.else.example
	lab_cert $c/ca "the anchor"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=the anchor" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign -keyout $c/ca.key -out $c/ca.pem
	check_leaf ta ca 30 mx.ta.t.example mx.mixed.t.example ta-nexthop.t.example
	check_leaf ta-old ca -1 mx.ta-expired.t.example
	check_leaf ee-old ca -1 somebody.else.example
	openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=rsa -keyout $c/rsa.key -out $c/rsa.pem
	cat $c/rsa.key $c/rsa.pem >$c/rsa.both
	printf 'mx.sni.t.example %s/good.both\n' $c >$c/sni
	chmod -R a+rX $c
}

# check_ta FILE: "2 0 1 digest" of a certificate
check_ta()
{
	printf '2 0 1 %s\n' "$(openssl x509 -in "$1" -outform DER | sha256sum | cut -d' ' -f1)"
}

# ---- zones ----

# check_domain NAME ADDRESS[,ADDRESS…] [RECORD…]: NAME.t.example, its MX mx.NAME, and records there
check_domain()
{
	local name=$1 a r
	printf '%s MX 10 mx.%s\n' "$name" "$name"
	for a in ${2//,/ }; do
		case $a in
		*:*) printf 'mx.%s AAAA %s\n' "$name" "$a" ;;
		*) printf 'mx.%s A 192.0.2.%s\n' "$name" "$a" ;;
		esac
	done
	shift 2
	for r in "$@"; do
		printf '_25._tcp.mx.%s TLSA %s\n' "$name" "$r"
	done
}

# Records beside the right one, so that an answer is large: check_crowd HOW-MANY TYPE
check_crowd()
{
	local i
	for ((i = 1; i < $1; i++)); do
		printf '3 1 %s %s\n' "$2" "$(printf 'key %s' $i | sha${3}sum | cut -d' ' -f1)"
	done
}

check_zone()
{
	local good other ta tlsa512 many
	good=$(dns_tlsa $CHECK_CERTS/good.pem)
	other="3 1 1 $(printf 'the key of nobody' | sha256sum | cut -d' ' -f1)"
	ta=$(check_ta $CHECK_CERTS/ca.pem)
	tlsa512="3 1 2 $(openssl x509 -in $CHECK_CERTS/good.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha512sum | cut -d' ' -f1)"

	check_domain good 101 "$good"
	printf 'edge MX 10 mx.edge\nmx.edge A %s\nmx.edge AAAA %s\n' $LAB_EDGE $LAB_EDGE6
	printf '_25._tcp.mx.edge TLSA %s\n' "$(dns_tlsa $LAB_RUN/tls/edge.pem)"
	check_domain exim 121 "$good"
	check_domain mismatch 101 "$other"
	check_domain agile 101 "$good" "3 1 2 $(printf 'nobody' | sha512sum | cut -d' ' -f1)"
	check_domain none 101
	check_domain none-clear 102
	check_domain no-starttls 102 "$good"
	check_domain no-cert 103 "$good"
	check_domain refused 119 "$good"
	check_domain oldtls 104 "$good"
	check_domain ta 105 "$ta"
	check_domain ta-name 105 "$ta"
	check_domain ta-nexthop 105 "$ta"
	check_domain mixed 105 "$other" "$ta"
	check_domain ta-expired 106 "$ta"
	check_domain ta-leaf 101 "$(check_ta $CHECK_CERTS/good.pem)"
	check_domain ta-unsent 101 "$ta"
	check_domain ee-expired 107 "$(dns_tlsa $CHECK_CERTS/ee-old.leaf)"
	check_domain sni 108 "$good"
	printf 'sni-alias MX 10 mx.sni-alias\nmx.sni-alias CNAME mx.sni\n'
	check_domain dual-ec 109 "$good"
	check_domain dual-rsa 109 "$(dns_tlsa $CHECK_CERTS/rsa.pem)"
	check_domain unusable 101 "1 1 1 ${good##* }" "3 1 9 aabb"
	printf 'full-junk MX 10 mx.full-junk\nmx.full-junk A 192.0.2.101\n'
	printf '_25._tcp.mx.full-junk TYPE52 \\# 12 030000300730003000030100\n' # the shape of a certificate, and none
	check_domain unusable-clear 102 "1 1 1 ${good##* }"
	printf 'alias MX 10 mx.alias\nmx.alias CNAME mx.good\n'
	printf 'original MX 10 mx.original\nmx.original CNAME mx.none\n_25._tcp.mx.original TLSA %s\n' "$good"
	printf 'insecure-end MX 10 mx.insecure-end\nmx.insecure-end CNAME mx.u.example.\n_25._tcp.mx.insecure-end TLSA %s\n' "$good"
	printf 'tlsa-alias MX 10 mx.tlsa-alias\nmx.tlsa-alias A 192.0.2.101\n_25._tcp.mx.tlsa-alias CNAME _25._tcp.mx.good\n'
	printf 'tlsa-out MX 10 mx.tlsa-out\nmx.tlsa-out A 192.0.2.101\n_25._tcp.mx.tlsa-out CNAME _25._tcp.mx.u.example.\n'
	printf 'stop MX 10 mx.stop\nmx.stop CNAME mx.tlsabog.example.\n_25._tcp.mx.stop TLSA %s\n' "$good"
	printf 'wildcard MX 10 mx.wildcard\nmx.wildcard A 192.0.2.101\n_25._tcp.mx.wildcard CNAME any.wild\n*.wild TLSA %s\n' "$good"
	printf 'dom-alias CNAME good\nold DNAME good\n'
	printf 'loop MX 10 mx.loop\nmx.loop CNAME a.loop\na.loop CNAME mx.loop\n'
	printf 'dangling MX 10 mx.dangling\nmx.dangling CNAME nowhere.dangling\n'
	printf 'null MX 0 .\nimplicit A 192.0.2.101\n_25._tcp.implicit TLSA %s\nnomail TXT "no mail"\n' "$good"
	printf 'literal MX 10 192.0.2.101.\n'
	printf 'order MX 10 mx.none\norder MX 20 mx.good\n'
	printf 'skip MX 10 mx.tlsabog.example.\nskip MX 20 mx.good\n'
	printf 'second MX 10 mx.mismatch\nsecond MX 20 mx.good\n'
	printf 'down MX 10 mx.down\ndown MX 20 mx.good\n'
	check_domain down 111 "$good"
	printf 'dead MX 10 mx.down\nto-bogus MX 10 mx.bog.example.\n'
	check_domain one-wrong 101,2001:db8:25::110 "$good"
	many=$(check_crowd 13 1 256)
	IFS=$'\n' eval 'check_domain thirteen 101 $many "$good"'
	many=$(check_crowd 60 2 512)
	IFS=$'\n' eval 'check_domain sixty 101 $many "$tlsa512"'
	check_domain banner 112 "$good"
	check_domain mute 113 "$good"
	check_domain inject 114 "$good"
	check_domain cut 115 "$good"
	check_domain hang 116 "$good"
	check_domain no-ehlo 117 "$good"
	check_domain reset 118 "$good"
	check_domain inject-free 114
	check_domain crowd 116,116 "$good"
	for i in {130..149}; do
		printf 'mx.crowd A 192.0.2.%s\n' $i
	done
	printf 'port MX 10 mx.port\nmx.port A 192.0.2.101\n_2525._tcp.mx.port TLSA %s\n_25._tcp.mx.port TLSA %s\n' "$good" "$other"
	for r in servfail-tlsa silent-tlsa silent-a len0 len1 len2 len3 mixed-len; do
		printf '%s MX 10 mx.%s.r.example.\n' $r $r
	done
	printf 'shed MX 10 mx.silent-tlsa.shed.example.\n'
}

# One host at .101 with the good record, and the domain's MX: for zones of their own
check_simple()
{
	printf '@ MX 10 mx\nmx A 192.0.2.101\n_25._tcp.mx TLSA %s\n' "$(dns_tlsa $CHECK_CERTS/good.pem)"
}

# What NSD does not serve (dns_responder.pl)
check_responder_zones()
{
	local good r
	good=$(dns_tlsa $CHECK_CERTS/good.pem)
	{
		for r in servfail-tlsa silent-tlsa silent-a; do
			printf 'mx.%s A 192.0.2.101\n_25._tcp.mx.%s TLSA %s\n' $r $r "$good"
		done
		printf 'mx.len%s A 192.0.2.101\n' 0 1 2 3
		printf '_25._tcp.mx.len0 TYPE52 \\# 0\n_25._tcp.mx.len1 TYPE52 \\# 1 03\n'
		printf '_25._tcp.mx.len2 TYPE52 \\# 2 0301\n_25._tcp.mx.len3 TYPE52 \\# 3 030101\n'
		printf 'mx.mixed-len A 192.0.2.101\n_25._tcp.mx.mixed-len TLSA %s\n' "$good"
		printf '_25._tcp.mx.mixed-len TYPE52 \\# 3 030101\n'
	} | dns_zone r.example
	printf 'mx.silent-tlsa A 192.0.2.101\n' | dns_zone shed.example unsigned
	ldns-read-zone $LAB_DNS/zones/shed.example.plain >$LAB_DNS/zones/shed.example.zone
}

dns_zones()
{
	check_certs
	check_zone | dns_zone t.example &
	{ check_simple; printf 'mx.sub A 192.0.2.101\n'; } | dns_zone u.example unsigned &
	check_simple | dns_zone bog.example bogus &
	check_simple | dns_zone tlsabog.example bogus-TLSA &
	check_simple | dns_zone denialbog.example bogus-NSEC &
	check_simple | DNS_SIGN_OPTIONS='-i 20200101 -e 20200201' dns_zone expired.example &
	check_simple | DNS_SIGN_OPTIONS='-n -p -t 0' dns_zone opt.example &
	check_responder_zones &
	wait
	check_tld
	check_responder
}

check_responder()
{
	net_addr dns dns0 $CHECK_RESPONDER/24
	(exec nsenter --net=/run/netns/dns perl $LAB_DIR/dns_responder.pl $CHECK_RESPONDER \
		r.example=$LAB_DNS/zones/r.example.zone shed.example=$LAB_DNS/zones/shed.example.zone \
		</dev/null >$LAB_LOG/responder.log 2>&1) &
	lab_wait 10 grep -q ready $LAB_LOG/responder.log
}

# t.example's own unsigned delegation: u.example; MX of uns-mx is there too, its host is signed
check_tld()
{
	local z
	{
		for z in $DNS_ZONES; do
			echo "$z. NS ns.root."
			[ ! -e $LAB_DNS/zones/"$z".ds ] || cat $LAB_DNS/zones/"$z".ds
		done
		printf '%s.example. NS ns2.root.\n' r shed
		cat $LAB_DNS/zones/r.example.ds
	} | dns_zone example &&
	{ echo "example. NS ns.root."; cat $LAB_DNS/zones/example.ds
	  printf 'ns.root. A %s\nns.root. AAAA 2001:db8:53::10\nns2.root. A %s\n' $LAB_AUTH $CHECK_RESPONDER
	} | dns_zone . &&
	cp $LAB_DNS/zones/root.ds $LAB_TRUST_ANCHOR
}

# ---- servers ----

check_postfix_master()
{
	local c=$CHECK_CERTS
	check_postfix_at 101 "$c/good.both"
	check_postfix_at 102 "$c/good.both" -o smtpd_tls_security_level=none
	check_postfix_at 103 "$c/missing"
	check_postfix_at 104 "$c/good.both" -o smtpd_tls_protocols=TLSv1.1
	check_postfix_at 105 "$c/ta.both"
	check_postfix_at 106 "$c/ta-old.both"
	check_postfix_at 107 "$c/ee-old.both"
	check_postfix_at 108 "$c/other.both" -o tls_server_sni_maps=texthash:$c/sni
	check_postfix_at 109 "$c/good.both,$c/rsa.both"
	check_postfix_at '[2001:db8:25::110]' "$c/other.both"
	check_postfix_at 192.0.2.101:2525 "$c/good.both"
}

# check_postfix_at ADDRESS CHAIN-FILES [-o …]
check_postfix_at()
{
	local at=$1 chain=$2
	shift 2
	case $at in
	*:*:*) at="$at:25" ;;
	*:*) ;;
	*) at="192.0.2.$at:25" ;;
	esac
	printf '%s inet n - n - - smtpd\n  -o smtpd_tls_chain_files=%s\n' "$at" "$chain"
	[ $# = 0 ] || printf '  %s %s\n' "$@"
}

check_postfix()
{
	local d=$LAB_MTA/mx/etc
	mta_postfix_dirs mx
	cat >>$d/main.cf <<-END
		myhostname = mx.farm.example
		inet_interfaces = all
		smtpd_tls_security_level = may
		smtpd_client_connection_count_limit = 0
		smtpd_relay_restrictions = reject_unauth_destination
		relay_domains = example
		relay_transport = discard:
	END
	check_postfix_master >>$d/master.cf
	printf 'compatibility_level = 3.6\nalternate_config_directories = %s/sender/etc, %s/mx-a/etc, %s/mx/etc\n' \
		$LAB_MTA $LAB_MTA $LAB_MTA >$LAB_ROOT/etc/postfix/main.cf
	root_run edge postfix -c $d start >>$LAB_LOG/postfix-mx.start 2>&1 </dev/null
}

check_exim()
{
	mta_exim_common mx-exim | grep -v tls_advertise_hosts >$LAB_MTA/mx-exim.conf
	cat >>$LAB_MTA/mx-exim.conf <<-END
		primary_hostname = exim.farm.example
		local_interfaces = 192.0.2.121
		daemon_smtp_ports = 25
		host_lookup =
		tls_advertise_hosts = *
		tls_certificate = $CHECK_CERTS/good.both
		acl_smtp_rcpt = all
		acl_smtp_data = all
		rfc1413_query_timeout = 0s
		begin acl
		all:
		  accept
		begin routers
		hole:
		  driver = redirect
		  data = :blackhole:
	END
	printf '%s\n' $LAB_MTA/mx-b.conf $LAB_MTA/exim.conf $LAB_MTA/mx-exim.conf >$LAB_ROOT/etc/exim4/trusted_configs
	root_spawn edge $LAB_LOG/exim-mx-exim.start exim4 -C $LAB_MTA/mx-exim.conf -bdf
}

check_servers()
{
	local i a=()
	for i in {101..109} {111..119} 121 {130..149}; do
		a+=(192.0.2.$i/24)
	done
	net_addr edge edge0 "${a[@]}" 2001:db8:25::110/64
	check_postfix && check_exim || return 1
	(exec nsenter --net=/run/netns/edge perl $LAB_DIR/smtp_zoo.pl 192.0.2.112=banner 192.0.2.113=mute 192.0.2.114=inject \
		192.0.2.115=cut 192.0.2.116=hang 192.0.2.117=no-ehlo 192.0.2.118=reset 192.0.2.119=refuse \
		$(printf '192.0.2.%s=hang ' {130..149}) </dev/null >$LAB_LOG/smtp-zoo.log 2>&1) &
	lab_wait 20 net_listens edge 192.0.2.101 25 && lab_wait 20 net_listens edge 192.0.2.121 25 &&
		lab_wait 20 grep -q ready $LAB_LOG/smtp-zoo.log
}
