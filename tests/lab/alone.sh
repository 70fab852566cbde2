# SPDX-License-Identifier: BSD-2-Clause
#
# For tests of danelawd alone, on one loopback without mail servers: as process 1 of namespaces of their own, in the source's
# folder, so that nothing is left behind.
#
#	. "$(dirname "$0")/alone.sh"
#	alone "$@"
#
# B is the build, DANELAWD the program, T a folder that goes with the test, N the rows so far.

B=${B:-build}
DANELAWD=${DANELAWD:-$B/danelawd}
N=0

alone()
{
	if [ "${ALONE:-}" != 1 ]; then
		[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root, for namespaces of its own"; exit 0; }
		ALONE=1 exec setpriv --pdeathsig KILL unshare -mpn --fork --kill-child --mount-proc bash "$0" "$@"
	fi
	unset ALONE
	cd "$(dirname "$0")/../.." || exit 1
	T=$(mktemp -d)
	trap 'rm -rf "$T"' EXIT
	ip link set lo up
}

ok() # ok STATUS TEXT
{
	N=$((N + 1))
	[ "$1" = 0 ] && { echo "ok $N - $2"; return; }
	echo "not ok $N - $2"
	tail -n 5 "$T/danelawd.log" "$T/out" 2>/dev/null | sed 's/^/# /'
}

# until SECONDS COMMAND...: true as soon as the command is
until_true()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Somebody takes connections at a port of 127.0.0.1
answers()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# What danelawd (PID) has open
descriptors()
{
	ls "/proc/$PID/fd" | wc -l
}
