#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Mail from end to end on this kernel, the front attached; one lab for both, since a guest needs half a minute for it.
#
# STARTTLS sessions from a real Postfix through the edge to a real Postfix: a mail that DANE verifies, one that it holds
# back, one without TLS; by io_uring, then by epoll.
#
# Behind a load balancer: STARTTLS sessions and their mails reach the edge through real tunnels, one address for each
# kind, and the answers go back to the client directly.
#
#	internet --- router --- director (IPVS in tunnel mode, ipip, GUE, FOU, ip6tnl) ---.
#	                  \-------------- edge, the front opens the tunnels <-------------'
#
# The front's own counters say that it was the tunnel that brought the packets.  Needs modules that many a kernel lacks.
#
# kernels: stable
# part: mail

. "$(dirname "$0")/../../lab/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"

if [ $$ != 1 ] || [ "${LAB_INSIDE:-}" != 1 ]; then
	modprobe -a ip_vs ip_vs_rr ipip sit ip6_tunnel fou fou6
fi
lab_enter

sent()
{
	lab_wait 60 mta_status "$1" >/dev/null
	mta_status "$1"
}

arrived()
{
	lab_wait 30 mta_mailbox "$1"
}

# mails IO: the three mails with one of the two ways of input and output
mails()
{
	edge_conf | sed "s/^workers = .*/&\nio = \"$1\"/; s/^pool \".*/pool \"farm\" { backends = { \"mx-a\" } }/" >$EDGE_CONF
	edge_start
	like "$(cat $EDGE_LOG)" "$2" "danelawd serves by $1"
	mta_send "$1-good" bob@good.example
	mta_send "$1-wrong" bob@wrong.example
	mta_send "$1-clear" clear-bob@good.example
	is "$(sent "$1-good")" sent "$1: a mail to a domain with DANE is sent"
	like "$(mta_lines "$1-good")" "Verified TLS connection established to mx.good.example" "$1: its TLS is verified"
	like "$(arrived "$1-good")" "/mx-a/new/" "$1: and it is in the mailbox"
	ok "$1: as from the sender, not from the edge" grep -F $LAB_SENDER "$(mta_mailbox "$1-good")"
	is "$(sent "$1-wrong")" deferred "$1: a mail to a domain whose record does not match is held back"
	is "$(sent "$1-clear")" sent "$1: a mail without TLS is sent"
	like "$(arrived "$1-clear")" "/mx-a/new/" "$1: and it is in the mailbox"
	edge_stop
	is $? 0 "$1: danelawd ends well"
	: >$EDGE_LOG
}

# address, counter that has to move, what is in the way
WAYS="192.0.2.80 decap_4in4 IPVS
2001:db8:80::80 decap_6in6 IPVS, IPv6
192.0.2.81 decap_4in4 ipip device
192.0.2.82 decap_gue GUE device
192.0.2.83 decap_gue FOU device
192.0.2.84 decap_4in6 ipip6 device
2001:db8:80::85 decap_6in4 sit device"
DIRECTOR=10.1.1.2
DIRECTOR6=2001:db8:d1::2

addresses()
{
	cut -d' ' -f1 <<<"$WAYS"
}

prefix()
{
	case $1 in
	*:*) echo "$1/128" ;;
	*) echo "$1/32" ;;
	esac
}

director_up()
{
	local a
	ip netns add director
	ip link add rdir0 type veth peer name dir0 netns director
	net_addr router rdir0 10.1.1.1/24 2001:db8:d1::1/64
	# the kernel has one ipip device for a pair of addresses
	net_addr director dir0 $DIRECTOR/24 10.1.1.4/24 10.1.1.5/24 $DIRECTOR6/64
	ip -n director route add default via 10.1.1.1
	ip -n director route add default via 2001:db8:d1::1
	net_run director sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ethtool -K rdir0 tx off >/dev/null && net_run director ethtool -K dir0 tx off >/dev/null
	for a in $(addresses); do
		case $a in
		*:*) ip route add "$(prefix "$a")" via $DIRECTOR6 ;;
		*) ip route add "$(prefix "$a")" via $DIRECTOR ;;
		esac
		ip -n edge addr add "$(prefix "$a")" dev lo
	done
}

# director_device ADDRESS NAME TYPE...: what is for this address goes into that tunnel
director_device()
{
	local address=$1 name=$2
	shift 2
	ip -n director link add "$name" type "$@" && ip -n director link set "$name" up &&
		ip -n director route add "$(prefix "$address")" dev "$name"
}

director_tunnels()
{
	ip -n director addr add 192.0.2.80/32 dev lo
	ip -n director addr add 2001:db8:80::80/128 dev lo nodad
	root_run director ipvsadm -A -t 192.0.2.80:25 -s rr && root_run director ipvsadm -a -t 192.0.2.80:25 -r $LAB_EDGE -i &&
		root_run director ipvsadm -A -t [2001:db8:80::80]:25 -s rr &&
		root_run director ipvsadm -a -t [2001:db8:80::80]:25 -r [$LAB_EDGE6]:25 -i &&
		director_device 192.0.2.81 t81 ipip local $DIRECTOR remote $LAB_EDGE &&
		director_device 192.0.2.82 t82 ipip local 10.1.1.4 remote $LAB_EDGE encap gue encap-sport auto encap-dport 6080 &&
		director_device 192.0.2.83 t83 ipip local 10.1.1.5 remote $LAB_EDGE encap fou encap-sport auto encap-dport 6080 &&
		director_device 192.0.2.84 t84 ip6tnl mode ipip6 local $DIRECTOR6 remote $LAB_EDGE6 &&
		director_device 2001:db8:80::85 t85 sit local $DIRECTOR remote $LAB_EDGE
}

conf()
{
	local list
	list=$(addresses | sed 's/.*/"&"/' | paste -sd, -)
	cat <<-END
		hostname = "$LAB_MX_GOOD"
		workers = 2
		front {
			interfaces = { "edge0" }
			decap-from = { "$DIRECTOR", "10.1.1.4/31", "$DIRECTOR6" }
			decap-to = { "$LAB_EDGE", "$LAB_EDGE6" }
			decap-gue-port = 6080
		}
		certificate "edge" { chain = "$LAB_RUN/tls/edge.pem" key = "$LAB_RUN/tls/edge.key" }
		backend "mx-a" { address = "$LAB_MX_A:25" }
		pool "farm" { backends = { "mx-a" } }
		listener "edge" { address = { "$LAB_EDGE", "$LAB_EDGE6", $list } certificates = { "edge" } pool = "farm" }
	END
}

counter()
{
	edge_stats front_also | sed -n "s/^$1 //p"
}

# A mail whose lines fill packets of the greatest size
big_mail()
{
	local name=$1
	smtp_hello "$name" tls && smtp_begin "$name" && [[ $SMTP_REPLY == 354* ]] || return 1
	{
		mta_message "$name" bob@$LAB_DOMAIN_GOOD
		seq -f %064.0f 4000
	} | sed 's/$/\r/' >&"${SMTP_IN[$name]}"
	smtp_ask "$name" .
}

through()
{
	local address=$1 counter=$2 what=$3 before mss name
	name=way-${address##*[.:]}
	before=$(counter "$counter")
	SMTP_TO=$address
	[[ $address != *:* ]] || SMTP_TO=[$address]
	big_mail "$name"
	like "$SMTP_REPLY" '^250' "$what: a mail of 260 KB over TLS is accepted"
	mss=$(net_run internet ss -Htin "dst ${SMTP_TO}" | sed -n 's/.* mss:\([0-9]*\) .*/\1/p' | head -n 1)
	[ "${mss:-0}" -gt 1300 ] && [ "$mss" -le 1392 ]
	tap_result $? "$what: the client was told to leave room for the tunnel's headers" "mss: $mss"
	smtp_close "$name"
	like "$(lab_wait 60 mta_mailbox "$name")" '/mx-a/new/' "$what: and delivered"
	[ "$(counter "$counter")" -gt $((before + 100)) ]
	tap_result $? "$what: its packets came out of a tunnel" "$counter: $before, then $(counter "$counter")"
}

tap_plan 52
LAB_QUIET=1
EDGE_WAIT=60
SMTP_WAIT=60
lab_up
mkdir -p $LAB_EDGE_DIR
mails uring "io_uring"
mails epoll "epoll"
counts=$(edge_stats)
is "$(sed -n 's/^syn_admitted \([1-9]\).*/many/p' <<<"$counts")" many "the front saw the connections"
is "$(sed -n 's/^error_config //p' <<<"$counts")" 0 "and was whole all the time"

director_up
director_tunnels
is $? 0 "the director stands"
conf >$EDGE_CONF
edge_start
while read -r address counter what; do
	through "$address" "$counter" "$what"
done <<<"$WAYS"
is "$(edge_stats | sed -n 's/^\(tunnel_[a-z]*\|error_[a-z]*\) [1-9].*/\1/p')" "" "nothing was refused"

# the same sources through the tunnel of somebody who is not named
net_run director ip addr add 10.1.1.3/24 dev dir0
net_run director ip link set t81 down
net_run director ip link del t81
director_device 192.0.2.81 t81 ipip local 10.1.1.3 remote $LAB_EDGE
ok "a tunnel of somebody else's brings nothing in" eval '! net_run internet timeout 3 bash -c "</dev/tcp/192.0.2.81/25"'
[ "$(edge_stats | sed -n 's/^tunnel_source //p')" -gt 0 ]
tap_result $? "and is counted as that"
tap_end
