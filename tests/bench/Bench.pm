# SPDX-License-Identifier: BSD-2-Clause
# Bench: namespaces, control groups, child processes and the generator, for tests/bench/run.
package Bench;
use strict;
use warnings;
use IO::Handle;
use POSIX ();
use Time::HiRes qw(sleep time);

our ($B, $run, $cgroups, $tracefs);
our $root = '/run/lab/root';	# the lab's private root, where a subject needs one

sub cpus {
	my $n = () = glob '/sys/devices/system/cpu/cpu[0-9]*';
	return $n;
}

sub shell {
	my (@cmd) = @_;
	system(@cmd) == 0 or die "bench: failed: @cmd\n";
}

# Comes back in the innermost stage; the outer ones end with its exit status.
sub enter {
	my ($b, $limit, $rooted) = @_;
	$B = $b;
	my $stage = $ENV{BENCH_STAGE} || 'outside';
	die "bench: needs root, for namespaces and control groups of its own\n" if $>;
	if ($stage eq 'outside') {
		$ENV{BENCH_STAGE} = 'groups';
		exec 'unshare', '-m', $0 or die "bench: unshare: $!\n";
	}
	$run = "$B/bench";
	($cgroups, $tracefs) = ("$run/cgroup", "$run/tracing");
	hold_groups($rooted) if $stage eq 'groups';
	$ENV{BENCH_GROUP} or die "bench: BENCH_STAGE is for run's own use\n";
	shell(qw(ip link set lo up));
	$SIG{$_} = sub { die "bench: interrupted\n" } for qw(INT TERM);
	$SIG{ALRM} = sub { die "bench: over its $limit s\n" };
	alarm $limit;
	STDOUT->autoflush(1);
}

# The second stage: does not return.
sub hold_groups {
	my ($rooted) = @_;
	shell('bash', '-c', 'LAB_SAY=bench; . "$1/../lab/lib.sh"; mount -n -t tmpfs -o mode=755 lab /run &&
		mkdir -p $LAB_RUN /run/netns && root_mount', 'bash', $FindBin::Bin) if $rooted;
	mkdir $_ for $B, $run, $cgroups, $tracefs;
	shell(qw(mount -n -t cgroup2 danelaw-bench), $cgroups);
	system("mount -n -t tracefs danelaw-bench $tracefs 2>/dev/null");
	rmdir $_ for glob("$cgroups/danelaw-bench-*/*"), glob("$cgroups/danelaw-bench-*");    # of runs that were killed
	my $top = "$cgroups/danelaw-bench-$$";
	mkdir $top or die "bench: $top: $!\n";
	@ENV{qw(BENCH_STAGE BENCH_GROUP)} = ('measure', $top);
	my $pid = fork // die "bench: fork: $!\n";
	if (!$pid) {
		exec qw(setpriv --pdeathsig KILL unshare -pn --fork --kill-child --mount-proc), $0 or die "bench: unshare: $!\n";
	}
	$SIG{$_} = sub { kill 'TERM', $pid } for qw(INT TERM HUP);
	waitpid $pid, 0 until $? != -1 && !kill 0, $pid;
	my $status = $?;
	for (1 .. 50) {
		rmdir $_ for glob("$top/*");
		last if rmdir $top;
		sleep 0.05;
	}
	exit($status >> 8 || ($status ? 1 : 0));
}

# A file of the bench with @NAME@ filled in.
sub fill {
	my ($from, $to, %value) = @_;
	open my $in, '<', "$FindBin::Bin/$from" or die "bench: $from: $!\n";
	local $/;
	my $text = <$in>;
	$text =~ s/@([A-Z0-9_]+)@/$value{$1} \/\/ die "bench: $from: \@$1\@ is not known\n"/ge;
	open my $out, '>', $to or die "bench: $to: $!\n";
	print $out $text;
	close $out or die "bench: $to: $!\n";
	return $to;
}

sub wait_port {
	my ($port, $what) = @_;
	for (1 .. 200) {
		open my $fh, '<', '/proc/net/tcp' or die;
		my $hex = sprintf ':%04X', $port;
		return if grep { /^\s*\d+: [0-9A-F]{8}$hex [0-9A-F:]+ 0A / } <$fh>;
		open $fh, '<', '/proc/net/tcp6' or next;
		return if grep { /^\s*\d+: [0-9A-F]{32}$hex [0-9A-F:]+ 0A / } <$fh>;
		sleep 0.05;
	}
	die "bench: $what does not listen on port $port; see $run/*.log\n";
}

sub pairs {
	my ($line) = @_;
	return map { split /=/, $_, 2 } grep { /=/ } split ' ', $line // '';
}

sub floor {
	my ($s, $options) = @_;
	my $line = `taskset -c 0 $B/tests/bench/floor -k $s->{chain} $options`;
	die "bench: floor $options failed\n" if $?;
	return pairs($line);
}

sub load {
	my ($s, $options) = @_;
	return Bench::Load->new($s, $options);
}

# Octets of the kernel's TCP buffers and socket objects, of this network namespace's and all others
sub kernel_memory {
	open my $fh, '<', '/proc/net/sockstat' or return 0;
	my ($pages) = join('', <$fh>) =~ /TCP:.* mem (\d+)/;
	return ($pages || 0) * 4096;
}

# A control group and the processes put in it.
package Bench::Group;
use Time::HiRes qw(sleep);

sub new {
	my ($class, $name) = @_;
	my $dir = "$ENV{BENCH_GROUP}/$name";
	mkdir $dir or die "bench: $dir: $!\n" unless -d $dir;
	return bless { name => $name, dir => $dir, pids => [] }, $class;
}

sub spawn {
	my ($self, $cpu, @cmd) = @_;
	my $log = "$Bench::run/$self->{name}.log";
	my $pid = fork // die "bench: fork: $!\n";
	if (!$pid) {
		open my $procs, '>', "$self->{dir}/cgroup.procs" or die "bench: $!\n";
		syswrite $procs, "$$\n" or die "bench: $self->{dir}: $!\n";
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		exec 'taskset', '-c', $cpu, @cmd or POSIX::_exit(127);
	}
	push @{ $self->{pids} }, $pid;
	return $pid;
}

sub cpu_us {
	my ($self) = @_;
	open my $fh, '<', "$self->{dir}/cpu.stat" or die "bench: $self->{dir}/cpu.stat: $!\n";
	my ($us) = <$fh> =~ /^usage_usec (\d+)/;
	return $us;
}

sub processes {
	my ($self) = @_;
	open my $fh, '<', "$self->{dir}/cgroup.procs" or return;
	chomp(my @pids = <$fh>);
	return @pids;
}

# Octets of anonymous and shared memory (heap, stacks, rings' buffers; no program text or files), shared
# pages divided among those who share them.
sub memory {
	my ($self) = @_;
	my $kb = 0;
	for my $pid ($self->processes) {
		open my $fh, '<', "/proc/$pid/smaps_rollup" or next;
		/^Pss_(?:Anon|Shmem):\s+(\d+)/ and $kb += $1 while <$fh>;
	}
	return $kb * 1024;
}

sub syscall_counter {
	my ($self) = @_;
	return Bench::Counter->new($self->{dir});
}

sub stop {
	my ($self) = @_;
	kill 'TERM', @{ $self->{pids} };
	for (1 .. 40) {
		waitpid $_, POSIX::WNOHANG() for @{ $self->{pids} };
		last unless $self->processes;
		sleep 0.05;
	}
	kill 'KILL', $self->processes;
	waitpid $_, 0 for @{ $self->{pids} };
	for (1 .. 40) { last if rmdir $self->{dir}; sleep 0.05 }
}

package Bench::Child;
use IPC::Open2;

sub open_child {
	my ($class, @cmd) = @_;
	my $pid = open2(my $out, my $in, @cmd);
	return bless { pid => $pid, in => $in, out => $out }, $class;
}

sub say_line {
	my ($self) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $in = $self->{in};
	print $in "\n";
	$in->flush;
}

# Exit status in words, empty for success.
sub end {
	my ($self) = @_;
	close $self->{in};
	my $out = $self->{out};
	1 while <$out>;
	waitpid $self->{pid}, 0;
	return $? ? "exit status " . ($? >> 8) . ($? & 127 ? " signal " . ($? & 127) : '') : '';
}

package Bench::Load;
our @ISA = ('Bench::Child');

sub new {
	my ($class, $s, $options) = @_;
	return $class->open_child(qw(timeout -k 5 300 taskset -c), $Bench::helper_cpu // 1, "$Bench::B/tests/bench/load", '-a',
		"127.0.0.1:$s->{port}", '-A', 200, split ' ', $options);
}

sub ready { my ($self) = @_; my $out = $self->{out}; return (<$out> // '') eq "ready\n" }
# Until the sessions are over; meanwhile is called every 20 ms.
sub go {
	my ($self, $meanwhile) = @_;
	my ($out, $waiting) = ($self->{out}, '');
	$self->say_line;
	vec($waiting, fileno $out, 1) = 1;
	if ($meanwhile) { $meanwhile->() until select(my $ready = $waiting, undef, undef, 0.02) }
	return Bench::pairs(scalar <$out>);
}

sub holding { my ($self) = @_; my $out = $self->{out}; return (<$out> // '') =~ /^holding (\d+)/ ? $1 : 0 }
sub next { my ($self) = @_; $self->say_line }

package Bench::Counter;
our @ISA = ('Bench::Child');

sub new {
	my ($class, $dir) = @_;
	my $self = $class->open_child("$Bench::B/tests/bench/syscalls", $dir, $Bench::tracefs);
	return defined $self->count ? $self : do { $self->end; undef };
}

sub count { my ($self) = @_; $self->say_line; my $out = $self->{out}; my $n = <$out>; return $n }

1;
