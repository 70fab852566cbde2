# SPDX-License-Identifier: BSD-2-Clause
#
# TAP for the lab's tests.  A test prints its plan first; tap_end says by its status whether all went well.
#
#	tap_plan 3
#	ok "what must be so" COMMAND...
#	is "$got" "$wanted" "what must be so"
#	like "$got" REGEX "what must be so"
#	tap_end

TAP_RUN=0
TAP_BAD=0

tap_plan()
{
	TAP_PLAN=$1
	echo "1..$1"
}

# tap_result STATUS TEXT [DIAGNOSIS]
tap_result()
{
	TAP_RUN=$((TAP_RUN + 1))
	if [ "$1" = 0 ]; then
		echo "ok $TAP_RUN - $2"
	else
		echo "not ok $TAP_RUN - $2"
		TAP_BAD=$((TAP_BAD + 1))
		[ -z "${3:-}" ] || sed 's/^/# /' <<<"$3"
	fi
	return "$1"
}

ok()
{
	local text=$1
	shift
	"$@" >/dev/null 2>&1
	tap_result $? "$text" "failed: $*"
}

is()
{
	[ "$1" = "$2" ]
	tap_result $? "$3" "got:    $1
wanted: $2"
}

like()
{
	[[ $1 =~ $2 ]]
	tap_result $? "$3" "got:    $1
wanted: $2"
}

# The logs that explain a failure go to standard error, which the runner shows
tap_end()
{
	[ "$TAP_BAD" = 0 ] || [ ! -d "${LAB_LOG:-}" ] || lab_tail $LAB_LOG/danelawd.log $LAB_LOG/postfix-sender.log >&2
	[ "$TAP_BAD" = 0 ] && [ "$TAP_RUN" = "$TAP_PLAN" ]
	exit
}
