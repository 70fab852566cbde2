#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# peers.sh SCRIPT: a test of scripted peers (peers.pm) as process 1 of namespaces of its own: a loopback with
# 127/8 and fd00::/16, no mail servers, nothing left behind.  Environment, all optional:
#
#	DANELAWD	the program; build/danelawd
#	PEERS_WRAP	put before it: valgrind …
#	PEERS_IO	the setting io: uring, epoll
#	PEERS_SLOW	factor on every short time-out, for builds that are slow
#	PEERS_ONLY	regular expression: only the cases whose names match
#	PEERS_JOBS	cases at a time

if [ "${PEERS_INSIDE:-}" != 1 ]; then
	[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root, for namespaces of its own"; exit 0; }
	PEERS_INSIDE=1 exec setpriv --pdeathsig KILL unshare -mpn --fork --kill-child --mount-proc bash "$0" "$@"
fi
cd "$(dirname "$0")/../.." || exit 1
export DANELAWD=${DANELAWD:-${B:-build}/danelawd}
[ -x "$DANELAWD" ] || { echo "1..0 # SKIP $DANELAWD is not built"; exit 0; }
mount -t tmpfs -o mode=755 peers /run && mkdir /run/peers || exit 1
ip link set lo up mtu 1500 && ip -6 route add local fd00::/16 dev lo && sysctl -qw net.ipv6.ip_nonlocal_bind=1 || exit 1
# small kernel buffers, so that a peer that does not read blocks the other soon; and packets as of Ethernet, since with less
# room than two segments of loopback TCP may crawl from one probe of a closed window to the next, up to two minutes each
echo "4096 16384 65536" >/proc/sys/net/ipv4/tcp_wmem
echo "4096 65536 65536" >/proc/sys/net/ipv4/tcp_rmem
perl -Itests/lab "tests/lab/$1"
