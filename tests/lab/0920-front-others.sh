#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Other XDP programs: an interface that one holds is a clear error that names it; attach = libxdp stands beside others
# in libxdp's dispatcher, or says why it does not.  Debian 12's libxdp is too old, which it says; LIBXDP_DIR=… names a
# folder with a newer libxdp.so.1, and then the rest is shown too.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter

# danelawd with the configuration, which must end by itself with a fault: what it said last
refused()
{
	: >$EDGE_LOG
	edge_spawn -c $EDGE_CONF
	lab_wait 20 edge_gone || { kill -KILL "$EDGE_PID"; echo "it runs"; return; }
	tail -n 1 $EDGE_LOG
}

conf()
{
	edge_conf | sed "s,interfaces = { \"edge0\" },& $1," >$EDGE_CONF
}

status_modes()
{
	net_run edge danelawctl front status --json | python3 -c '
import json, sys
for link in json.load(sys.stdin)["links"]:
    if link["kind"] == "xdp":
        print(link["name"], link["mode"])'
}

counts()
{
	edge_stats | awk -v name="$1" '$1 == name { print $2 }'
}

knock()
{
	net_run internet timeout 5 bash -c "exec 3<>/dev/tcp/$LAB_EDGE/25 && IFS= read -r line <&3 && [[ \$line == 220* ]]" 2>/dev/null
}

# A SYN to the edge in an IPv4 tunnel, sent through the dispatcher as it stands: what it says, and the bytes it leaves
through_dispatcher()
{
	python3 - "$LAB_EDGE" >$LAB_RUN/tunnelled <<-'END'
		import socket, struct, sys
		def ip4(protocol, source, dest, inner):
		    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(inner), 1, 0, 64, protocol, 0,
		                       socket.inet_aton(source), socket.inet_aton(dest)) + inner
		syn = struct.pack(">HHIIBBHHH", 40000, 25, 1, 0, 0x50, 2, 64240, 0, 0)
		sys.stdout.buffer.write(bytes(12) + b"\x08\x00" + ip4(4, "10.9.9.1", sys.argv[1], ip4(6, "198.51.100.77", sys.argv[1], syn)))
	END
	bpftool -j prog run name xdp_dispatcher data_in $LAB_RUN/tunnelled data_out $LAB_RUN/opened >$LAB_RUN/ran ||
		return
	python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["retval"], len(open(sys.argv[2], "rb").read()))' $LAB_RUN/ran $LAB_RUN/opened
}

dispatcher_runs()
{
	net_run edge bpftool -j prog show name xdp_dispatcher | python3 -c 'import json, sys
print(json.load(sys.stdin).get("run_cnt", 0))'
}

# profiled OPTION...: a profile that ends, told to, when the dispatcher has seen packets
profiled()
{
	local before pid
	before=$(dispatcher_runs)
	(exec nsenter --net=/run/netns/edge danelawctl front profile --for 100s "$@" >$LAB_RUN/profile) &
	pid=$!
	until [ "$(dispatcher_runs)" -gt "$before" ]; do
		knock
	done
	knock
	kill -TERM $pid
	wait $pid
}

tap_plan 25
lab_up
mkdir -p $LAB_EDGE_DIR
# a stranger's program that lets everything pass, as xdp-tools and others have it
cat >$LAB_RUN/stranger.c <<'END'
struct xdp_md;
__attribute__((section("xdp"), used)) int stranger(struct xdp_md *ctx) { return 2; }
char _license[] __attribute__((section("license"), used)) = "GPL";
END
clang -O2 -g --target=bpf -c -o $LAB_RUN/stranger.o $LAB_RUN/stranger.c || lab_die "no program of a stranger"
bpftool prog load $LAB_RUN/stranger.o /sys/fs/bpf/stranger type xdp || lab_die "the stranger's program does not load"

# held by netlink
conf ''
net_run edge bpftool net attach xdpdrv pinned /sys/fs/bpf/stranger dev edge0
like "$(refused)" 'edge0 already runs the XDP program "stranger" \(id [0-9]+\), attached by netlink .* take it off with `ip link set dev edge0 xdp off`' \
	"held by netlink: who, how, and what to do"
is "$(edge_attached)" native "the stranger stays"
ok "the command that it told works" net_run edge ip link set dev edge0 xdp off
is "$(edge_attached)" none "and frees the interface"

# held by a link: danelawd's own front, whose pins another danelawd does not know
edge_start
ok "with the interface free it starts" knock
edge_stop
edge_start
mv $LAB_PINS/links/xdp-edge0 $LAB_PINS/links/of-another
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
said=$(refused)
like "$said" 'edge0 already runs the XDP program "front" \(id [0-9]+\), held by link ([0-9]+); .* take it off with `bpftool link detach id' "held by a link: which"
ok "the command that it told works" net_run edge bash -c "$(sed -n 's/.*take it off with `\([^`]*\)`.*/\1/p' <<<"$said")"
is "$(edge_attached)" none "and frees the interface"
rm -f $LAB_PINS/links/of-another

# libxdp
conf 'attach = libxdp'
like "$(refused)" 'attach = libxdp: the library here is of version 1\.3; it takes 1\.6 or newer \(.*\); use attach = link' "Debian 12's libxdp is too old: why"
is "$(edge_attached)" none "and nothing was attached"
mv $LAB_ROOT/usr/lib/*/libxdp.so.1 $LAB_RUN/
like "$(refused)" 'attach = libxdp: libxdp\.so\.1: .*; install libxdp 1\.6 or newer, or let the front attach by a link of its own' "no libxdp: what to do"

if [ -z "${LIBXDP_DIR:-}" ]; then
	for i in $(seq 12 25); do
		echo "ok $i # SKIP LIBXDP_DIR names no folder with libxdp 1.6 or newer"
	done
	TAP_RUN=25
	tap_end
fi
mkdir -p $LAB_RUN/libxdp
cp "$LIBXDP_DIR"/libxdp.so.1 "$LIBXDP_DIR"/xdp-dispatcher.o $LAB_RUN/libxdp/
EDGE_WRAP="env LD_LIBRARY_PATH=$LAB_RUN/libxdp LIBXDP_OBJECT_PATH=$LAB_RUN/libxdp"
edge_start
is "$(status_modes)" "edge0 native, dispatcher" "in the dispatcher: status says so"
before=$(counts syn_admitted)
ok "in the dispatcher: greeted" knock
ok "and counted" test "$(counts syn_admitted)" -gt "$before"
net_run edge danelawctl front deny add 198.51.100.0/24
ok "in the dispatcher: a denied source is not greeted" eval '! knock'
net_run edge danelawctl front deny del 198.51.100.0/24
like "$(net_run edge bpftool prog show name xdp_dispatcher)" 'xdp_dispatcher' "the interface runs the dispatcher"
profiled --json
is "$(python3 -c 'import json, sys
print([(p["runs"] > 0, p.get("dispatcher", 0) > 0) for p in json.load(sys.stdin)["programs"] if p["program"] == "front"])' <$LAB_RUN/profile)" \
	"[(True, True)]" "profile --json: the dispatcher's runs, and whose they are"
profiled
like "$(cat $LAB_RUN/profile)" 'front +[0-9,]+ +[0-9]+ +[0-9.]+ % +a packet, through every program of its dispatcher \(id [0-9]+\)' \
	"profile: says that others are in it"
edge_stop
conf "attach = libxdp decap-from = { \"10.9.9.1\" } decap-to = { \"$LAB_EDGE\" }"
edge_start
is "$(through_dispatcher)" "2 54" "in the dispatcher: a tunnel is opened, and what was in it passes"
is "$(edge_stats front_also | awk '$1 == "decap_4in4" { print $2 }')" 1 "and counted"
edge_stop
conf 'attach = libxdp'
edge_start
is "$(net_run edge bpftool -j prog show name front | python3 -c 'import json, sys
print(sum(p["type"] == "ext" for p in json.load(sys.stdin)))')" 1 "a restart leaves one program of ours in it"
ok "and it works" knock
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
conf ''
said=$(refused)
like "$said" "edge0 already runs libxdp's dispatcher \(id [0-9]+\): .*xdp-loader status edge0.* attach = libxdp.*xdp-loader unload edge0 --all" \
	"attach = link on an interface with a dispatcher: who, and what to do"
conf 'attach = libxdp'
edge_start
ok "and back in the dispatcher" knock
is "$(status_modes)" "edge0 native, dispatcher" "status says so"
tap_end
