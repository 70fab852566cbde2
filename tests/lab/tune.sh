# SPDX-License-Identifier: BSD-2-Clause
#
# What the tests of danelawctl tune share, on a veth here (0950) and on virtio in a guest (tests/vm/guest).  State is
# read without danelawctl: what is compared is the kernel's word, not the program's own.

TUNE_STATE=$LAB_RUN/tune

tune()
{
	$LAB_SRC/build/danelawctl tune "$@" --state $TUNE_STATE </dev/null
}

# A program that lets all pass, in $LAB_RUN/pass.o, section xdp
tune_program()
{
	printf '%s\n' '__attribute__((section("xdp"), used)) int pass(void *ctx) { return 2; }' \
		'char licence[] __attribute__((section("license"), used)) = "Dual BSD/GPL";' |
		clang -O2 --target=bpf -x c -c -o $LAB_RUN/pass.o -
}

# tune_state IFACE: everything a change can touch
tune_state()
{
	local f
	for f in k l g c a; do
		ethtool -$f "$1" 2>&1
	done
	cat /sys/class/net/"$1"/mtu
	for f in /sys/class/net/"$1"/{gro_flush_timeout,napi_defer_hard_irqs} /sys/class/net/"$1"/queues/*/?ps_cpus \
		/proc/sys/net/core/{somaxconn,netdev_budget,bpf_jit_enable} /proc/sys/kernel/unprivileged_bpf_disabled \
		/proc/sys/net/ipv4/{tcp_max_syn_backlog,tcp_migrate_req,tcp_abort_on_overflow} /proc/irq/*/smp_affinity_list; do
		[ ! -e $f ] || echo "$f $(cat $f 2>&1)"
	done
}

# tune_verdict IFACE CHECK: its verdict and what was seen
tune_verdict()
{
	tune "$1" check --json | jq -r --arg check "$2" '.findings[] | select(.check == $check) | .verdict + ": " + .now'
}

# The commands that plan prints, and those that apply has run
tune_planned()
{
	sed -n '/^would run/,/^[^ ]/s/^  \([^#].*\)/\1/p' | sed 's/ *# resets the link.*//'
}

tune_ran()
{
	sed -n '/^running:/,/^applied/s/^  //p'
}

# tune_killed IFACE N: apply, killed with SIGKILL as soon as it has said its N-th command, which it says before it runs
# it.  A command that is under way then holds the lock of the journal's folder until it is done.
tune_killed()
{
	perl -e '
		use strict;
		my ($n, @command) = @ARGV;
		pipe(my $from, my $to) or die;
		my $pid = fork // die;
		if (!$pid) {
			open(STDOUT, ">&", $to) or die;
			open(STDIN, "<", "/dev/null") or die;
			exec @command;
			die;
		}
		close $to;
		my $running = 0;
		while (my $line = <$from>) {
			$running ||= $line =~ /^running:/;
			if ($running && $line =~ /^  / && !--$n) {
				kill KILL => $pid;
				last;
			}
		}
		waitpid $pid, 0;
		exit(($? & 127) == 9 ? 0 : 1);
	' "$2" $LAB_SRC/build/danelawctl tune "$1" apply --yes --state $TUNE_STATE
	local status=$?
	flock $TUNE_STATE true
	return $status
}
