#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Clients whose name server takes two seconds for every answer: 2,000 sessions of 500 names, 300 at a time, each
# held until its verdict is there.  Other sessions pass them by, nothing grows without bound, and above the bound of
# judgements clients are still served.  What is there in the end is looked at, not how long it took.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter

RESPONDER=203.0.113.20
NAMES=500
SESSIONS=2000
DNS_ZONES=""
LAB_MX_GOOD=ns.root # what shows that the resolver is up
LOAD=$LAB_SRC/build/tests/bench/load
CTL="$LAB_SRC/build/danelawctl"

slow_zone()
{
	local i tlsa
	tlsa=$(dns_tlsa $LAB_RUN/tls/client.pem)
	echo "mx A 192.0.2.1"
	for ((i = 0; i < NAMES; i++)); do
		echo "_25._tcp.h$i TLSA $tlsa"
	done
}

dns_zones()
{
	slow_zone | dns_zone slow.example
	{ echo "slow.example. NS ns2.root."; cat $LAB_DNS/zones/slow.example.ds; } | dns_zone example &&
	{ echo "example. NS ns.root."; cat $LAB_DNS/zones/example.ds
	  printf 'ns.root. A %s\nns.root. AAAA 2001:db8:53::10\nns2.root. A %s\n' $LAB_AUTH $RESPONDER; } | dns_zone . &&
	cp $LAB_DNS/zones/root.ds $LAB_TRUST_ANCHOR
	(exec nsenter --net=/run/netns/dns env DELAY=2 perl $LAB_DIR/dns_responder.pl $RESPONDER slow.example=$LAB_DNS/zones/slow.example.zone \
		</dev/null >$LAB_LOG/responder.log 2>&1) &
}

slow_conf() # slow_conf JUDGEMENTS
{
	cat <<-END
		hostname = "mx.slow.example"
		workers = 2
		run-dir = "$LAB_EDGE_DIR/run"
		front { interfaces = { "edge0" } }
		dns {
			trust-anchor = "/etc/danelaw-anchor"
			root-hints = "/etc/danelaw-hints"
			deadline = 60s
		}
		timeouts { client-verdict = 2m }
		limits {
			client-judgements = $1
			client-cache = 100
		}
		certificate "edge" {
			chain = "$LAB_RUN/tls/edge.pem"
			key = "$LAB_RUN/tls/edge.key"
		}
		backend "sink" { address = "$LAB_MX_A:2500" }
		pool "farm" { backends = { "sink" } }
		listener "edge" {
			address = { "$LAB_EDGE", "$LAB_EDGE6" }
			certificates = { "edge" }
			pool = "farm"
		}
		listener "asks" {
			address = { "$LAB_EDGE" }
			port = 2502
			certificates = { "edge" }
			pool = "farm"
			client-dane = observe
		}
	END
}

load() # load PORT SESSIONS AT-A-TIME OPTIONS...
{
	local port=$1 n=$2 c=$3
	shift 3
	echo | nsenter --net=/run/netns/internet $LOAD -a $LAB_EDGE:$port -n $n -c $c -T 240 -t 1.3 "$@" 2>&1 | grep -E "^sessions=|:"
}

slow()
{
	load 2502 $1 300 -C $LAB_RUN/tls/client.both -H "h%u.slow.example,$NAMES"
}

# One of the daemon's counters
counter()
{
	$CTL counters --all --json --socket $LAB_EDGE_DIR/run/control.sock |
		perl -MJSON::PP -e 'my $j = decode_json(join "", <STDIN>);
			my $find; $find = sub { my ($x, $k) = @_;
				if (ref $x eq "HASH") { return $x->{$k} if exists $x->{$k} && !ref $x->{$k};
					return $x->{value} // $x->{count} if ($x->{name} // "") eq $k;
					for (values %$x) { my $r = $find->($_, $k); return $r if defined $r } }
				if (ref $x eq "ARRAY") { for (@$x) { my $r = $find->($_, $k); return $r if defined $r } }
				return undef };
			print $find->($j, $ARGV[0]) // "none"' "$1"
}

memory() { awk '/^Pss_(Anon|Shmem):/ { kb += $2 } END { print kb * 1024 }' "/proc/$EDGE_PID/smaps_rollup"; }

validates()
{
	grep -q 'validation works' $EDGE_LOG
}

tap_plan 17
LAB_QUIET=1
net_up && root_mount && lab_certs && lab_cert $LAB_RUN/tls/client key.invalid || lab_die "no network"
net_addr dns dns0 $RESPONDER/24
dns_up
cp $LAB_TRUST_ANCHOR $LAB_ROOT/etc/danelaw-anchor
cp $LAB_DNS/hints $LAB_ROOT/etc/danelaw-hints
mkdir -p $LAB_EDGE_DIR
(exec nsenter --net=/run/netns/farm $LAB_SRC/build/tests/bench/sink -p -l $LAB_MX_A:2500 -s $LAB_MX_A:2501 \
	</dev/null >$LAB_LOG/sink.log 2>&1) &
lab_wait 10 net_listens farm $LAB_MX_A 2500
slow_conf 330 >$EDGE_CONF
edge_start
ok "validation works" lab_wait 30 validates
like "$(load 25 300 20)" 'sessions=300 failed=0' "warm: sessions of nobody who is asked"
like "$(load 2502 100 20)" 'sessions=100 failed=0' "warm: sessions that are asked and have no certificate"
before=$(memory)

slow $SESSIONS >$LAB_LOG/slow.txt &
SLOW=$!
waiting() { [ "$(counter client_judging)" -ge 20 ]; }
ok "clients wait for their verdicts" lab_wait 60 waiting
like "$(load 25 400 20)" 'sessions=400 failed=0' "meanwhile sessions of another listener pass"
like "$(load 2502 200 20)" 'sessions=200 failed=0' "and those of the same that have no certificate"
ok "while the slow ones still wait" kill -0 $SLOW
judging=$(counter client_judging)
ok "judgements at a time are bounded ($judging)" [ "$judging" -le 330 ]
wait $SLOW
like "$(cat $LAB_LOG/slow.txt)" "sessions=$SESSIONS failed=0" "$SESSIONS sessions of $NAMES names, none is lost"
# on a machine that is slow itself an answer may be too late: that is lookup_failed, and never anything else
verified=$(grep -c ' lst=asks .*client_dane=verified:h[0-9]*\.slow\.example' $EDGE_LOG)
late=$(grep -c ' lst=asks .*client_dane=lookup_failed' $EDGE_LOG)
is $((verified + late)) $SESSIONS "each with the verdict on its name, or none in time"
ok "and most of them verified ($verified)" [ $verified -gt $((SESSIONS / 2)) ]
is "$(counter client_judging)" 0 "none waits any more"
entries=$(counter client_cache_entries)
ok "verdicts kept are bounded ($entries)" [ "$entries" -le 200 ]
# what libunbound caches has bounds of its own, 68 MiB in all
grown=$(($(memory) - before))
ok "memory is bounded ($grown bytes more)" [ $grown -le $((128 * 1024 * 1024)) ]
before=$(memory)
like "$(slow $((SESSIONS / 2)))" "sessions=$((SESSIONS / 2)) failed=0" "the half of it again"
grown=$(($(memory) - before))
ok "and memory stays what it is ($grown bytes more)" [ $grown -le $((32 * 1024 * 1024)) ]
edge_stop

slow_conf 10 >$EDGE_CONF
: >$EDGE_LOG
edge_start
lab_wait 30 validates
like "$(slow 600) refused=$(counter client_judgements_refused)" 'sessions=600 failed=0.* refused=[1-9]' "above the bound: served all the same, not verified"
tap_end
