#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# danelawctl tune on a real veth: check and plan change nothing, apply runs what plan printed, undo gives everything
# back exactly, also after SIGKILL at any command, also twice; a journal that is not whole or not root's is not run,
# nor one of another card; generic mode and unknown drivers are refused.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/tune.sh"
lab_enter

pair()
{
	ip link del v0 2>/dev/null
	ip link add v0 numtxqueues 4 numrxqueues 4 type veth peer name v1 numtxqueues 4 numrxqueues 4 &&
		ip link set v0 up && ip link set v1 up && ethtool -K v0 gro off && ethtool -L v0 rx 2 && echo 3 >/sys/class/net/v0/queues/rx-1/rps_cpus
}

same()
{
	is "$(diff <(echo "$before") <(tune_state v0))" "" "$1"
}

tap_plan 66
mount -t sysfs sysfs /sys && mount -t bpf bpf /sys/fs/bpf && pair && tune_program || lab_die "cannot make the pair"
before=$(tune_state v0)

# the kernel offers no XDP below the peer's transmit queues (veth_set_xdp_features), so this is what is found
is "$(tune_verdict v0 driver)" "ok: veth 1.0" "driver"
is "$(tune_verdict v0 gro)" "warn: off" "GRO is off"
is "$(tune_verdict v0 channels)" "warn: 2 rx" "channels are fewer than the peer's"
is "$(tune_verdict v0 rps)" "warn: on 1 of 2 queues" "RPS is on"
like "$(tune_verdict v0 xdp)" "^fail: not attached, native not possible|^ok: not attached, native possible" "XDP as the kernel offers it"
tune v0 check >$LAB_RUN/check
is $? "$(tune v0 check --json | jq '[.findings[] | select(.verdict == "fail")] | if length > 0 then 1 else 0 end')" "check fails if a finding does"
tune v0 plan >$LAB_RUN/plan
is $? 0 "plan"
like "$(cat $LAB_RUN/plan)" "nothing was changed \(plan\)" "says that nothing was changed"
same "check and plan change nothing"

tune v0 apply >$LAB_RUN/unasked 2>&1
is $? 1 "apply does not go on unasked without a terminal"
like "$(cat $LAB_RUN/unasked)" "say --yes" "and says what to say"
same "nothing was changed"

tune v0 apply --yes >$LAB_RUN/apply
is $? 0 "apply"
is "$(tune_ran <$LAB_RUN/apply)" "$(tune_planned <$LAB_RUN/plan)" "what plan printed is what apply ran"
like "$(cat $LAB_RUN/plan)" "run plan again" "queues of new channels wait for a second plan"
is "$(stat -c '%a %u' $TUNE_STATE/tune-v0.json)" "600 0" "the journal is root's alone"
is "$(jq -r '.changes[].run' $TUNE_STATE/tune-v0.json)" "$(tune_planned <$LAB_RUN/plan)" "and has the same commands"
like "$(tune_verdict v0 xdp)" "ok: not attached, native possible" "native XDP is offered now"
ok "a program attaches natively" ip link set dev v0 xdpdrv obj $LAB_RUN/pass.o sec xdp
like "$(tune_verdict v0 xdp)" "ok: native" "which check sees"
ip link set dev v0 xdpdrv off
ok "apply once more, for the new queues" tune v0 apply --yes
is "$(cat /sys/class/net/v0/queues/tx-0/xps_cpus)" 1 "a queue sends from its core"
is "$(tune v0 check --json | jq '[.findings[] | select(.verdict != "ok")] | length')" 0 "all is well"
ok "check says so" tune v0 check
like "$(tune v0 apply --yes)" "nothing to apply" "a third apply has nothing to do"

like "$(tune v0 undo)" "all is as it was before" "undo says that all is as before"
same "and it is"
ok "the journal is gone" [ ! -e $TUNE_STATE/tune-v0.json ]
like "$(tune v0 undo)" "nothing to undo" "undo twice"
same "changes nothing"

n=$(tune_planned <$LAB_RUN/plan | wc -l)
bad=
for i in $(seq $n); do
	tune_killed v0 $i || bad="$bad $i:not-killed"
	[ "$(jq '.changes | length' $TUNE_STATE/tune-v0.json)" -ge $i ] || bad="$bad $i:journal"
	tune v0 undo >/dev/null || bad="$bad $i:undo"
	diff <(echo "$before") <(tune_state v0) >&2 || bad="$bad $i:state"
done
is "$bad" "" "killed at each of $n commands, and taken back"
tune_killed v0 2
# where it stopped hangs on how far its last command came; two more are enough from anywhere
tune v0 apply --yes >/dev/null
tune v0 apply --yes >/dev/null
is "$(tune v0 check --json | jq '[.findings[] | select(.verdict != "ok")] | length')" 0 "apply goes on where a killed one stopped"
ok "and undo takes back both" tune v0 undo
same "exactly"

tune v0 apply --yes >/dev/null
applied=$(tune_state v0)
cp -p $TUNE_STATE/tune-v0.json $LAB_RUN/whole
truncate -s -100 $TUNE_STATE/tune-v0.json
tune v0 undo >$LAB_RUN/out 2>&1
is $? 1 "a journal that is not whole is refused"
like "$(cat $LAB_RUN/out)" "not a whole journal; nothing was changed" "in words"
cp -p $LAB_RUN/whole $TUNE_STATE/tune-v0.json
chown 65534 $TUNE_STATE/tune-v0.json
tune v0 undo >$LAB_RUN/out 2>&1
is $? 1 "so is one that is not root's"
is "$(diff <(echo "$applied") <(tune_state v0))" "" "neither changed anything"
chown 0 $TUNE_STATE/tune-v0.json
jq '.boot = "11111111-2222-3333-4444-555555555555"' <$LAB_RUN/whole >$TUNE_STATE/tune-v0.json
like "$(tune v0 undo)" "started anew since, which took all back" "a journal of another boot has nothing to undo"
is "$(diff <(echo "$applied") <(tune_state v0))" "" "and nothing is"
cp -p $LAB_RUN/whole $TUNE_STATE/tune-v0.json
irq=$(ls /proc/irq | grep -m 1 '^[0-9]')
jq --arg path /proc/irq/$irq/smp_affinity_list '.changes += [{ run: ("echo 0 >" + $path), undo: ("echo 0 >" + $path), state: "done" }]' \
	<$LAB_RUN/whole >$TUNE_STATE/tune-v0.json
like "$(tune v0 undo)" "interrupt $irq is not of v0 any more" "an interrupt that is not the card's is left alone"
same "and the rest taken back"
tune v0 apply --yes >/dev/null
exec 8<$TUNE_STATE
flock 8
like "$(tune v0 undo 2>&1)" "another tune is at work" "one at a time"
exec 8<&-

ip link del v0
ip tuntap add v0 mode tap
like "$(tune v0 undo 2>&1)" "journal is of another card" "another card of the same name is not touched"
like "$(tune v0 plan)" "apply would refuse: driver tun is not known" "a driver that is not known is refused"
tune v0 apply --yes >/dev/null 2>&1
is $? 1 "by apply too"
ip link del v0
rm -f $TUNE_STATE/tune-v0.json

pair
ethtool -L v0 rx 4
ip link set dev v0 xdpgeneric obj $LAB_RUN/pass.o sec xdp
before=$(tune_state v0)
tune v0 apply --yes >$LAB_RUN/out 2>&1
is $? 1 "generic mode is refused"
same "and nothing was changed"
ok "unless told" tune v0 apply --yes --allow-generic
ok "which is taken back" tune v0 undo
ip link set dev v0 xdpgeneric off

is "$(tune v0 apply --yes --json | jq -r '.changes[].run')" "$(tune v0 undo --json >$LAB_RUN/undo; tune v0 plan | tune_planned)" \
	"apply --json tells what it ran"
is "$(jq '.changes | length' $LAB_RUN/undo)" 0 "undo --json tells that nothing stays"

# a card that does not take one of the commands
ethtool=$(command -v ethtool)
cp $ethtool $LAB_RUN/ethtool
printf '#!/bin/sh\n[ "$1" = -K ] || exec %s "$@"\necho "not on this card" >&2\nexit 1\n' $LAB_RUN/ethtool >$LAB_RUN/picky
chmod +x $LAB_RUN/picky
before=$(tune_state v0)
mount --bind $LAB_RUN/picky $ethtool
tune v0 apply --yes >$LAB_RUN/out 2>&1
is $? 1 "a command that fails makes apply fail"
like "$(cat $LAB_RUN/out)" "failed: not on this card" "in its own words"
like "$(cat $LAB_RUN/out)" "1 of [0-9]+ changes failed" "and counted"
umount $ethtool
is "$(tune v0 plan | tune_planned | grep -v xps_cpus)" "ethtool -K v0 gro on" "the others were run"
is "$(jq -r '.changes[] | select(.state == "failed") | .run' $TUNE_STATE/tune-v0.json)" "ethtool -K v0 gro on" "the journal knows which"
ok "undo" tune v0 undo
same "takes back the others"

ok "record" tune v0 record $LAB_RUN/tree
is "$(tune v0 check --root $LAB_RUN/tree)" "$(tune v0 check)" "a recorded tree gives the same findings"
like "$(tune v0 undo --root $LAB_RUN/tree 2>&1)" "a tree \(--root\) is for check and plan" "and is never applied to"
# what a veth cannot do the kernel refuses; what ethtool or ip do not understand, they refuse themselves
wrong=$(cat $LAB_SRC/tests/tune/*.{plan,undo} | sed 's/^ *\(# \)\{0,1\}//; s/ *(left out.*//; s/ *# resets.*//' | grep -E '^(ethtool|ip) ' |
	sed -E 's/^(ethtool -[A-Z]) [^ ]+/\1 v0/; s/dev [^ ]+/dev v0/' | sort -u | tee $LAB_RUN/commands |
	while read -r command; do $command 2>&1 | grep -E 'bad command|ethtool -h|Usage|garbage|Error' | sed "s/^/$command: /"; done)
is "$wrong" "" "every command of the recorded cases is one that ethtool and ip understand"
ok "and they are many" [ $(wc -l <$LAB_RUN/commands) -gt 30 ]
told=
for check in $(tune v0 check --json | jq -r '.findings[].check' | grep -v '\.'); do
	grep -q "^| .*\`$check\`.* |" $LAB_SRC/docs/tuning.md || told="$told $check"
done
is "$told" "" "docs/tuning.md tells of every check"
is "$($LAB_SRC/build/danelawctl tune --driver-facts --json | jq -r '.[].driver' | tr '\n' ' ')" \
	"ixgbe ixgbevf i40e ice mlx5_core bnxt_en ena virtio_net veth bonding " "the drivers it knows"
tap_end
