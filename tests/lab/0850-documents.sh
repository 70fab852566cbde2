#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# docs/lab.md holds: every example of it runs in the lab and ends well, and every variable that it names is set, leads
# to something, and is all there is.  The service's unit leaves danelawd what it needs: with exactly its capabilities,
# keys that only root reads and a limit on locked memory it starts with its front, reloads, and takes a mail.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

DOC=$LAB_SRC/docs/lab.md
UNIT=$LAB_SRC/tools/danelawd.service.in
mapfile -t examples < <(sed -n "s/^    make lab CMD='\(.*\)'$/\1/p" "$DOC")

variables_named()
{
	sed -n '/^| variable/,/^$/p' "$DOC" | grep -o '^|[^|]*|' | grep -o 'LAB_[A-Z0-9_]*' | sort
}

# Those of `export` in lib.sh and run.sh that are for the command
variables_set()
{
	sed -n 's/^\texport \(LAB_.*\)/\1/p' "$LAB_DIR/lib.sh" | tr ' ' '\n' | sort
}

inside()
{
	net_run internet bash -c "$1"
}

as_unit()
{
	local caps
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$UNIT" | tr ' ' '\n' | sed 's/^CAP_/+/' | tr 'A-Z\n' 'a-z,')
	EDGE_WRAP="setpriv --no-new-privs --bounding-set=-all,${caps%,} --inh-caps=-all"
}

# systemd's own check, where there is systemd; its view of this host's other units is not ours
unit_verified()
{
	local dir=$LAB_RUN/unit
	command -v systemd-analyze >/dev/null || return 0
	mkdir -p $dir
	sed "s,@PREFIX@/sbin,$LAB_SRC/build," "$UNIT" >$dir/danelawd.service
	! SYSTEMD_UNIT_PATH=$dir: systemd-analyze verify --man=no $dir/danelawd.service 2>&1 | grep danelawd.service
}

tap_plan $((${#examples[@]} + 13))
LAB_QUIET=1
lab_up
edge_start

[ ${#examples[@]} -ge 12 ]
is $? 0 "docs/lab.md has examples (${#examples[@]})"
is "$(variables_named)" "$(variables_set)" "docs/lab.md names the variables there are"
is "$(inside 'for v in $(compgen -v LAB_); do [ -n "${!v}" ] || echo "$v"; done')" "" "all are set"
is "$(inside 'for f in $LAB_TRUST_ANCHOR $LAB_ROOT $LAB_CTL $LAB_PINS/maps $LAB_RUN $LAB_LOG/danelawd.log; do [ -e $f ] || echo $f; done')" \
	"" "those that are files are there"
like "$(inside 'echo $LAB_CTL; danelawctl status')" "^$LAB_CTL.danelawd .* on $LAB_MX_GOOD" "danelawctl finds the edge"
for example in "${examples[@]}"; do
	out=$(inside "$example" 2>&1 </dev/null)
	tap_result $? "$example" "$out"
done
edge_stop

# ---- the unit ----
as_unit
chmod 600 $LAB_RUN/tls/edge.key
chown 0:0 $LAB_RUN/tls/edge.key
edge_start
is "$(edge_attached)" native "with the unit's capabilities: the front is attached"
is "$(sed -n 's/^CapBnd:\t//p' "/proc/$EDGE_PID/status")" 0000000000000000 "and none is left afterwards"
opener=$(pgrep -P "$EDGE_PID")
is "$(printf '%x' $((1 << 2)) | sed 's/^/000000000000000/')" "$(sed -n 's/^CapEff:\t//p' "/proc/$opener/status")" "its opener may read files, no more"
[ "$(readlink "/proc/$opener/ns/net")" != "$(readlink "/proc/$EDGE_PID/ns/net")" ]
is $? 0 "and has no network"
like "$(smtp_mail unit tls)" '^250' "a mail over TLS"
like "$(danelawctl reload 2>&1)" '^read again' "keys that only root reads are read again"
edge_stop
is $? 0 "ends well"
ok "systemd finds no fault in the unit" unit_verified
tap_end
