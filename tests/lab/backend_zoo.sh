# SPDX-License-Identifier: BSD-2-Clause
#
# Backends for 1400-backend-dane.sh: names in zones of every state, Postfix (10.77.0.11, a port a certificate), Exim
# (10.77.0.12) and scripted servers (10.77.0.21 to .23) behind them.  Sourced before lab_up.

. "$LAB_DIR/check_zoo.sh" # certificates, check_leaf, check_ta

LAB_MX_GOOD=mx.good.example
DNS_ZONES="good.example sender.example farm.example farm2.example u.example bog.example tlsabog.example"
MTA_DOMAINS="good.example"

backend_certs()
{
	check_certs
	check_leaf farm-ta ca 30 ta.farm.example ca.farm.example
	chmod -R a+rX $CHECK_CERTS
	printf 'sni.farm.example %s\n' $CHECK_CERTS/good.both >$CHECK_CERTS/farm-sni
}

# A backend's address and records: backend_rr NAME PORT ADDRESS [RECORD…]
backend_rr()
{
	local name=$1 port=$2 r
	printf '%s A 10.77.0.%s\n' "$name" "$3"
	shift 3
	for r in "$@"; do
		printf '_%s._tcp.%s TLSA %s\n' "$port" "$name" "$r"
	done
}

# The farm's zone; A_RECORD stands for mx-a's record if it is set
farm_zone()
{
	local a good ta nobody
	a=$(dns_tlsa $LAB_RUN/tls/mx-a.pem) good=$(dns_tlsa $CHECK_CERTS/good.pem) ta=$(check_ta $CHECK_CERTS/ca.pem)
	nobody="3 1 1 $(printf 'the key of nobody' | sha256sum | cut -d' ' -f1)"
	backend_rr mx-a 25 11 "${A_RECORD:-$a}"
	backend_rr wrong 25 11 "$nobody"
	backend_rr two 25 11 "$nobody" "$a"
	backend_rr ta 2601 11 "$ta"
	backend_rr ta-name 2601 11 "$ta"
	backend_rr expired 2604 11 "$(dns_tlsa $CHECK_CERTS/ee-old.leaf)"
	backend_rr unusable 25 11 "1 1 1 ${a##* }"
	backend_rr unusable-clear 2602 11 "1 1 1 ${a##* }"
	printf 'junk A 10.77.0.11\n_25._tcp.junk TYPE52 \\# 12 030000300730003000030100\n'
	backend_rr clear 2602 11 "$a"
	backend_rr none 25 11
	backend_rr none-clear 2602 11
	backend_rr sni 2603 11 "$good"
	printf 'alias CNAME sni\n'
	printf 'port A 10.77.0.11\n_25._tcp.port TLSA %s\n_2601._tcp.port TLSA %s\n' "$nobody" "$ta"
	printf 'ca A 10.77.0.11\n'
	backend_rr refuse 25 21 "$a"
	backend_rr cut 25 22 "$a"
	backend_rr inject 25 23 "$a"
	backend_rr requiretls 25 24 "$good"
	backend_rr requiretls-unusable 25 24 "1 1 1 ${a##* }"
}

farm2_zone()
{
	backend_rr mx-b 25 12 "${B_RECORD:-$(dns_tlsa $LAB_RUN/tls/mx-b.pem)}"
}

backend_responder_zones()
{
	local a r
	a=$(dns_tlsa $LAB_RUN/tls/mx-a.pem)
	{
		for r in servfail-tlsa silent-tlsa; do
			printf 'mx.%s A 10.77.0.11\n_25._tcp.mx.%s TLSA %s\n' $r $r "$a"
		done
		printf 'mx.len3 A 10.77.0.11\n_25._tcp.mx.len3 TYPE52 \\# 3 030101\n'
	} | dns_zone r.example
	printf 'mx A 10.77.0.11\n' | dns_zone shed.example unsigned
	ldns-read-zone $LAB_DNS/zones/shed.example.plain >$LAB_DNS/zones/shed.example.zone
}

dns_zones()
{
	local a
	backend_certs
	a=$(dns_tlsa $LAB_RUN/tls/mx-a.pem)
	dns_mx "$(dns_tlsa $LAB_RUN/tls/edge.pem)" | dns_zone good.example &
	printf 'mail A %s\n_25._tcp.mail TLSA %s\n' $LAB_SENDER "$(dns_tlsa $CHECK_CERTS/other.pem)" | dns_zone sender.example &
	farm_zone | dns_zone farm.example &
	farm2_zone | dns_zone farm2.example &
	backend_rr mx 25 11 "$a" | dns_zone u.example unsigned &
	backend_rr mx 25 11 "$a" | dns_zone bog.example bogus &
	backend_rr mx 25 11 "$a" | dns_zone tlsabog.example bogus-TLSA &
	backend_responder_zones &
	wait
	check_tld
	check_responder
}

# Postfix's other ports, scripted servers: after lab_up
backend_servers()
{
	local c=$CHECK_CERTS d=$LAB_MTA/mx-a/etc
	{
		check_postfix_at $LAB_MX_A:2601 $c/farm-ta.both
		check_postfix_at $LAB_MX_A:2602 $c/good.both -o smtpd_tls_security_level=none
		check_postfix_at $LAB_MX_A:2603 $c/other.both -o tls_server_sni_maps=texthash:$c/farm-sni
		check_postfix_at $LAB_MX_A:2604 $c/ee-old.both
	} >>$d/master.cf
	printf 'smtpd_tls_loglevel = 1\n' >>$d/main.cf
	root_run farm postfix -c $d reload >>$LAB_LOG/postfix-mx-a.start 2>&1
	net_addr farm edge1 10.77.0.21/24 10.77.0.22/24 10.77.0.23/24 10.77.0.24/24
	(exec nsenter --net=/run/netns/farm perl $LAB_DIR/smtp_zoo.pl 10.77.0.21=refuse 10.77.0.22=cut 10.77.0.23=inject \
		</dev/null >$LAB_LOG/smtp-zoo.log 2>&1) &
	root_spawn farm $LAB_LOG/smtp-tls.log perl $LAB_DIR/smtp_tls.pl 10.77.0.24 $c/good.both
	lab_wait 20 net_listens farm $LAB_MX_A 2604 && lab_wait 20 grep -q ready $LAB_LOG/smtp-zoo.log &&
		lab_wait 20 grep -q ready $LAB_LOG/smtp-tls.log
}
