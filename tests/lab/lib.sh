# SPDX-License-Identifier: BSD-2-Clause
#
# The demo lab, one shell library for the demo, the tests and the benchmarks.  A program of the lab reads
#
#	. "$(dirname "$0")/lib.sh"
#	lab_enter "$@"		# from here on in namespaces of its own, as process 1 of them
#	lab_up			# networks, DNS, mail servers; see lab_up below
#
# Everything a run makes (processes, network namespaces, links, pins, mounts, files) lives in one mount, process
# and network namespace made by lab_enter, below a tmpfs on /run and a fresh bpffs on /sys/fs/bpf.  When process 1
# ends, in whatever way, the kernel takes all of it away; parallel runs cannot see one another.
#
#	   internet 198.51.100.0/24          dns 203.0.113.0/24
#	   .10 .11  2001:db8:100::/64        .10 NSD  .53 Unbound  2001:db8:53::/64
#	        \                              /
#	         '---- router (process 1) ----'
#	                      | redge0
#	                      | edge0
#	        edge 192.0.2.25  2001:db8:25::25   danelawd, XDP on edge0
#	                      | farm0 10.77.0.25
#	                      | 10.77.0.11 mx-a (Postfix)   10.77.0.12 mx-b (Exim)   fd00:77::/64
#	                     farm
#
# root.sh: the servers' private root.  net.sh: the picture above.  dns.sh: zones, NSD, Unbound.  mta.sh: Postfix
# and Exim on both sides.  edge.sh: danelawd.

LAB_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_DIR=$LAB_SRC/tests/lab
LAB_CACHE=$LAB_SRC/build/lab	# packages and what was in them; kept between runs
LAB_RUN=/run/lab		# all files of a run
LAB_LOG=$LAB_RUN/log
LAB_SAY=${LAB_SAY:-lab}

. "$LAB_DIR/root.sh"
. "$LAB_DIR/net.sh"
. "$LAB_DIR/dns.sh"
. "$LAB_DIR/mta.sh"
. "$LAB_DIR/edge.sh"

# For people: what is going on.  Programs whose standard output is a command's own set LAB_QUIET.
lab_say()
{
	[ -n "${LAB_QUIET:-}" ] || printf '%s: %s\n' "$LAB_SAY" "$*"
}

# Where the lab itself failed, inside, the logs are kept and their place is told (on LAB_ERR, where standard error is a log)
lab_die()
{
	printf '%s: %s\n' "$LAB_SAY" "$*" >&"${LAB_ERR:-2}"
	[ $$ != 1 ] || printf '%s: logs are kept in %s\n' "$LAB_SAY" "$(lab_keep "$(basename "$0" .sh)")" >&"${LAB_ERR:-2}"
	exit 1
}

# lab_wait SECONDS COMMAND...: until the command succeeds; fails after the deadline.  Polls, never sleeps long.
lab_wait()
{
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# lab_tail FILE...: the end of each log, for a person who has to find out what went wrong
lab_tail()
{
	local f
	for f in "$@"; do
		[ -s "$f" ] && { printf -- '--- %s\n' "${f#"$LAB_LOG"/}"; tail -n 25 "$f"; }
	done
	return 0
}

# Outside: fetches what the lab needs, then runs the same program again as process 1 of new namespaces and leaves
# with its status.  unshare blocks SIGINT and SIGTERM while it waits, so this shell stays, and takes the whole lab
# along when it is told to go or is killed itself.
lab_enter()
{
	if [ "${LAB_INSIDE:-}" = 1 ] && [ $$ = 1 ]; then
		unset LAB_INSIDE
		lab_inside
		return
	fi
	[ "$(id -u)" = 0 ] || lab_die "must be run as root (namespaces, mounts, XDP)"
	root_prepare || exit 1
	LAB_INSIDE=1 setpriv --pdeathsig KILL unshare -mpn --fork --kill-child --mount-proc \
		bash "$0" "$@" <&0 &
	local child=$! status
	trap 'kill -KILL $child; wait $child 2>/dev/null; lab_interrupted; exit 130' INT HUP
	trap 'kill -KILL $child; wait $child 2>/dev/null; lab_interrupted; exit 143' TERM
	wait $child
	status=$?
	[ $status -le 128 ] || lab_interrupted
	exit $status
}

# Outside, once a lab that was interrupted is gone: a program that has something to say then puts its own in place
lab_interrupted()
{
	:
}

lab_inside()
{
	# process 1 gets no signal it has no handler for, and its end is the end of the lab
	trap 'exit 130' INT HUP
	trap 'exit 143' TERM
	# -n: else mount(8) makes /run/mount first, in the /run of the host
	mount -n -t tmpfs -o mode=755 lab /run
	mount -t bpf bpf /sys/fs/bpf
	mkdir -p $LAB_LOG $LAB_RUN/tls /run/lock /run/netns
	export PATH=$PATH:/usr/sbin:/sbin
}

# Everything but the edge: networks, private root, DNS, senders and backends
lab_up()
{
	net_up && root_mount && lab_certs && dns_up && mta_up && lab_resolv_conf && lab_export ||
		lab_die "the lab does not come up"
}

# lab_cert FILE NAME...: a P-256 key and a self-signed certificate: FILE.key, FILE.pem, and both in FILE.both
lab_cert()
{
	local file=$1 names
	shift
	names=$(printf ',DNS:%s' "$@")
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-addext "subjectAltName=${names#,}" -keyout "$file.key" -out "$file.pem" 2>/dev/null &&
	cat "$file.key" "$file.pem" >"$file.both"
}

lab_certs()
{
	lab_cert $LAB_RUN/tls/edge $LAB_MX_GOOD mx.wrong.example mx.none.example mx.insecure.example &&
	lab_cert $LAB_RUN/tls/mx-a mx-a.farm.example && lab_cert $LAB_RUN/tls/mx-b mx-b.farm.example
}

# The resolver of the lab for programs outside the private root
lab_resolv_conf()
{
	local f
	f=$(readlink -m /etc/resolv.conf)
	case $f in
	/run/*) mkdir -p "$(dirname "$f")" && cp $LAB_RUN/resolv.conf "$f" ;;
	*) mount --bind $LAB_RUN/resolv.conf "$f" ;;
	esac
}

lab_export()
{
	export LAB_EDGE LAB_EDGE6 LAB_RESOLVER LAB_AUTH LAB_TRUST_ANCHOR LAB_DOMAIN_GOOD LAB_DOMAIN_WRONG
	export LAB_DOMAIN_NONE LAB_DOMAIN_BOGUS LAB_DOMAIN_INSECURE LAB_MX_GOOD LAB_ROOT LAB_CTL LAB_PINS LAB_RUN LAB_LOG
	export PATH=$LAB_RUN/bin:$PATH:$LAB_SRC/build
}

# lab_keep NAME: copies the logs of this run to build/lab/log/NAME, for failures; prints the place
lab_keep()
{
	rm -rf "$LAB_CACHE/log/$1"
	mkdir -p "$LAB_CACHE/log/$1"
	cp -r $LAB_LOG/. "$LAB_CACHE/log/$1/"
	echo "build/lab/log/$1"
}
