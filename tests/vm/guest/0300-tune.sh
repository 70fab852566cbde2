#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawctl tune on a real virtio card of four queue pairs, whose host lets offloads be cleared: interrupts, NAPI,
# channels and sysctls are changed and given back exactly, also after SIGKILL, and what is said of XDP is so: the
# program goes native where it says it can, with HW-GRO on, and takes the spare queue pairs.
#
# kernels: stable

LAB_SRC=$(cd "$(dirname "$0")/../../.." && pwd)
LAB_RUN=$(mktemp -d)
. "$LAB_SRC/tests/lab/tap.sh"
. "$LAB_SRC/tests/lab/tune.sh"
trap 'rm -rf "$LAB_RUN"' EXIT

same()
{
	is "$(diff <(echo "$before") <(tune_state "$nic"))" "" "$1"
}

virtio_nic()
{
	local path
	modprobe virtio_net
	for path in /sys/class/net/*/device/driver; do
		[ "$(basename "$(readlink $path)")" != virtio_net ] || echo "$path" | cut -d / -f 5
	done
}

tap_plan 26
nic=$(virtio_nic)
if [ -z "$nic" ] || ! ip link set "$nic" up || ! ethtool -L "$nic" combined 1 || ! tune_program; then
	echo "Bail out! no virtio card of several queues here"
	exit 1
fi
before=$(tune_state "$nic")

is "$(tune_verdict "$nic" driver)" "ok: virtio_net 1.0.0" "driver"
is "$(tune_verdict "$nic" xdp)" "ok: not attached, native possible" "XDP is possible natively"
is "$(tune_verdict "$nic" hw-gro)" "ok: on" "HW-GRO is on and not in the way"
is "$(tune_verdict "$nic" channels)" "warn: 1 combined" "one queue for two CPUs"
is "$(tune_verdict "$nic" xdp-queues)" "ok: enough" "spare queue pairs"
is "$(tune_verdict "$nic" napi)" "warn: flush 0, defer 0" "NAPI is not deferred"
tune "$nic" plan >$LAB_RUN/plan
same "check and plan change nothing"
tune "$nic" apply --yes >$LAB_RUN/apply
is $? 0 "apply"
is "$(tune_ran <$LAB_RUN/apply)" "$(tune_planned <$LAB_RUN/plan)" "what plan printed is what apply ran"
is "$(tune_verdict "$nic" channels)" "ok: 2 combined" "a queue a CPU"
# virtio spreads them itself when channels change; a queue of the wrong core is made here
irq=$(awk '/virtio[0-9]+-input\.1$/ { sub(":", "", $1); print $1 }' /proc/interrupts)
tune "$nic" undo >/dev/null
same "taken back, exactly"
ethtool -L "$nic" combined 2
echo 0 >/proc/irq/$irq/smp_affinity_list
echo 3 >/sys/class/net/"$nic"/queues/rx-0/rps_cpus
before=$(tune_state "$nic")
is "$(tune_verdict "$nic" irq-affinity)" "warn: 1 of 2 on their core" "an interrupt astray is found"
is "$(tune_verdict "$nic" rps)" "warn: on 1 of 2 queues" "and RPS"
ok "apply" tune "$nic" apply --yes
is "$(cat /proc/irq/$irq/smp_affinity_list)" 1 "the interrupt is on its core"
is "$(cat /sys/class/net/"$nic"/napi_defer_hard_irqs /sys/class/net/"$nic"/gro_flush_timeout | tr '\n' ' ')" "10 20000 " "NAPI is deferred"
is "$(tune "$nic" check --json | jq '[.findings[] | select(.verdict != "ok")] | length')" 0 "all is well"
ok "a program goes native" ip link set dev "$nic" xdpdrv obj $LAB_RUN/pass.o sec xdp
like "$(tune_verdict "$nic" xdp)" "ok: native" "which check sees"
ip link set dev "$nic" xdpdrv off
like "$(tune "$nic" undo)" "all is as it was before" "undo"
same "gives all back"
like "$(tune "$nic" undo)" "nothing to undo" "undo twice"
same "changes nothing"
bad=
for i in 1 4; do
	tune_killed "$nic" $i || bad="$bad $i:not-killed"
	tune "$nic" undo >/dev/null || bad="$bad $i:undo"
	diff <(echo "$before") <(tune_state "$nic") >&2 || bad="$bad $i:state"
done
is "$bad" "" "killed at a command, and taken back"
ip link set dev "$nic" xdpgeneric obj $LAB_RUN/pass.o sec xdp
before=$(tune_state "$nic")
like "$(tune "$nic" apply --yes 2>&1)" "generic mode" "generic mode is refused"
same "and nothing was changed"
tap_end
