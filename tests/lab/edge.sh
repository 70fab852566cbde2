# SPDX-License-Identifier: BSD-2-Clause
#
# danelawd in the namespace `edge`, in the private root, as a user of its own there.
#
#	edge_conf >$EDGE_CONF	the usual configuration; a test changes it with sed or writes its own
#	edge_start		starts danelawd and waits until it greets; EDGE_PID
#	edge_stop		SIGTERM; its exit status
# EDGE_WRAP is put before the command (valgrind …); EDGE_BIN is another build (sanitizers).

LAB_EDGE_DIR=$LAB_RUN/edge
LAB_CTL=/run/danelaw/control.sock
LAB_PINS=/sys/fs/bpf/danelaw
EDGE_CONF=$LAB_EDGE_DIR/danelaw.conf
EDGE_LOG=$LAB_LOG/danelawd.log

edge_conf()
{
	cat <<-END
		hostname = "$LAB_MX_GOOD"
		workers = 2

		front { interfaces = { "edge0" } }
		health { interval = 500ms timeout = 5s rise = 2 fall = 2 }

		certificate "edge" {
			chain = "$LAB_RUN/tls/edge.pem"
			key = "$LAB_RUN/tls/edge.key"
		}
		backend "mx-a" { address = "$LAB_MX_A:25" }
		backend "mx-b" { address = "$LAB_MX_B:25" }
		pool "farm" { backends = { "mx-a", "mx-b" } }

		listener "edge" {
			address = { "$LAB_EDGE", "$LAB_EDGE6" }
			certificates = { "edge" }
			pool = "farm"
		}
	END
}

edge_spawn()
{
	# shellcheck disable=SC2086
	root_spawn edge $EDGE_LOG ${EDGE_WRAP:-} "${EDGE_BIN:-$LAB_SRC/build/danelawd}" "$@"
	EDGE_PID=$LAB_PID
}

# Not only listening: greeting on both families, or dead
edge_ready()
{
	[ -d "/proc/$EDGE_PID" ] || return 0
	net_banner internet $LAB_EDGE 25 && net_banner internet $LAB_EDGE6 25
}

edge_start()
{
	mkdir -p $LAB_EDGE_DIR
	[ -s $EDGE_CONF ] || edge_conf >$EDGE_CONF
	edge_spawn -c $EDGE_CONF
	lab_wait "${EDGE_WAIT:-20}" edge_ready && [ -d "/proc/$EDGE_PID" ] || lab_die "danelawd does not answer at $LAB_EDGE
$(lab_tail $EDGE_LOG)"
}

edge_gone()
{
	[ ! -d "/proc/$EDGE_PID" ]
}

edge_stop()
{
	kill -TERM "$EDGE_PID" 2>/dev/null
	lab_wait "${EDGE_WAIT:-20}" edge_gone || kill -KILL "$EDGE_PID"
	wait "$EDGE_PID"
}

# edge_reload: SIGHUP, until the log tells how it went; what it said
edge_reload()
{
	local from
	from=$(($(wc -l <$EDGE_LOG) + 1))
	kill -HUP "$EDGE_PID"
	lab_wait 10 eval "tail -n +$from $EDGE_LOG | grep -qE 'reload: |reloaded '"
	tail -n +$from $EDGE_LOG
}

# edge_stats [MAP]: the front's counters summed over the CPUs, "name value" a line, from the pinned map alone
edge_stats()
{
	bpftool -j map dump pinned $LAB_PINS/maps/"${1:-front_stats}" | perl -MJSON::PP -0777 -e '
		my (@names, %total);
		for my $entry (@{ JSON::PP->new->decode(<STDIN>) }) {
			for my $cpu (@{ ($entry->{formatted} // $entry)->{values} }) {
				$total{$_} += $cpu->{value}{$_} for keys %{ $cpu->{value} };
			}
		}
		print map { "$_ $total{$_}\n" } sort keys %total'
}

# How the front is attached: native, generic or none
edge_attached()
{
	case $(ip -n edge link show "${1:-edge0}") in
	*xdpgeneric*) echo generic ;;
	*prog/xdp*) echo native ;;
	*) echo none ;;
	esac
}
