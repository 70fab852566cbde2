# SPDX-License-Identifier: BSD-2-Clause
#
# The lab's networks (picture in lib.sh).  The namespace the lab starts in is the router.

LAB_SENDER=198.51.100.10
LAB_SENDER6=2001:db8:100::10
LAB_SENDER2=198.51.100.11
LAB_SENDER26=2001:db8:100::11
LAB_EDGE=192.0.2.25
LAB_EDGE6=2001:db8:25::25
LAB_AUTH=203.0.113.10
LAB_RESOLVER=203.0.113.53
LAB_MX_A=10.77.0.11
LAB_MX_B=10.77.0.12

# net_run NAMESPACE COMMAND...: nsenter, since `ip netns exec` would mount another /sys and hide the pins
net_run()
{
	local ns=$1
	shift
	nsenter --net=/run/netns/"$ns" "$@"
}

# net_addr NAMESPACE LINK ADDRESS...: addresses, up.  nodad: an address that is there is usable at once.
net_addr()
{
	local ns=$1 link=$2 a
	shift 2
	for a in "$@"; do
		case $a in
		*:*) echo "addr add $a dev $link nodad" ;;
		*) echo "addr add $a dev $link" ;;
		esac
	done | { cat; echo "link set lo up"; echo "link set $link up"; } | if [ "$ns" = router ]; then
		ip -b -
	else
		ip -n "$ns" -b -
	fi
}

net_up()
{
	local ns
	for ns in internet dns edge farm; do
		ip netns add $ns || return 1
	done
	# checksums are computed on every wire: programs that see packets (XDP) see them as on a real one
	ip -b - <<-END || return 1
		link add rinet0 type veth peer name inet0 netns internet
		link add rdns0 type veth peer name dns0 netns dns
		link add redge0 numtxqueues 4 numrxqueues 4 type veth peer name edge0 numtxqueues 4 numrxqueues 4 netns edge
	END
	ip -n edge link add farm0 type veth peer name edge1 netns farm || return 1
	sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	net_addr router rinet0 198.51.100.1/24 2001:db8:100::1/64
	net_addr router rdns0 203.0.113.1/24 2001:db8:53::1/64
	net_addr router redge0 192.0.2.1/24 2001:db8:25::1/64
	net_addr internet inet0 $LAB_SENDER/24 $LAB_SENDER2/24 $LAB_SENDER6/64 $LAB_SENDER26/64
	net_addr dns dns0 $LAB_AUTH/24 $LAB_RESOLVER/24 2001:db8:53::10/64 2001:db8:53::53/64
	net_addr edge edge0 $LAB_EDGE/24 $LAB_EDGE6/64
	net_addr edge farm0 10.77.0.25/24 fd00:77::25/64
	net_addr farm edge1 $LAB_MX_A/24 $LAB_MX_B/24 fd00:77::11/64 fd00:77::12/64
	ip -n internet -b - <<<"route add default via 198.51.100.1
		route add default via 2001:db8:100::1" &&
	ip -n dns -b - <<<"route add default via 203.0.113.1
		route add default via 2001:db8:53::1" &&
	ip -n edge -b - <<<"route add default via 192.0.2.1
		route add default via 2001:db8:25::1" || return 1
	ethtool -K redge0 tx off >/dev/null 2>&1 && net_run edge ethtool -K edge0 tx off >/dev/null 2>&1
}

# net_listens NAMESPACE ADDRESS PORT: a socket listens there
net_listens()
{
	[ -n "$(net_run "$1" ss -Hltn "src $2 and sport = $3")" ]
}

# net_banner NAMESPACE ADDRESS PORT: the server's first line begins with 220
net_banner()
{
	net_run "$1" timeout 5 bash -c "exec 3<>/dev/tcp/$2/$3 && IFS= read -r l <&3 && [[ \$l == 220* ]]" 2>/dev/null
}
