# SPDX-License-Identifier: BSD-2-Clause
# Subjects: what is measured, how each is started, and the sink behind all of them.  A peer is one row of
# %start and one file in peers/, which says why it is configured as it is.
package Subjects;
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

my ($SINK, $STATS, $AUTH, $PLAIN_SINK, $PLAIN_STATS) = (2500 .. 2504);

# name => how; every one gets a port, a control group and the chain.  Only nginx has a helper.
# What a peer cannot do, or is not asked, is said here too: cases => a pattern of their names, speaks => 'tls' or 'plain' (both unless said), no_idle, plain_sink (it sends
# no PROXY header), adds (octets of its own to a message: a Received line).
my %start = (
	'danelaw' => sub { danelaw(@_, 'uring') },
	'danelaw-epoll' => sub { danelaw(@_, 'epoll') },
	# sessions are passed on unread once the backend is ready (in the clear: from MAIL on)
	'danelaw-splice' => sub {
		danelaw(@_, 'uring', top => 'policy "trusted" { networks = { "127.0.0.0/8" } relay = splice }', listener => 'policies = { "trusted" }');
	},
	# for the case client-dane-4k: the client is not asked though others would be; its verdict is kept; it is not
	'danelaw-not-asked' => sub { judging(@_, 'off', 4096) },
	'danelaw-cached' => sub { judging(@_, 'observe', 4096) },
	'danelaw-judged' => sub { judging(@_, 'observe', 0) },
	'danelaw-2' => sub { $_[1]{cases} = qr/^(tls13|plain)-4k$/; danelaw(@_, 'uring', workers => 2) },
	'nginx' => \&nginx,
	'stunnel' => \&stunnel,
	'haproxy' => \&haproxy,
	'postfix' => sub { postfix(@_, "127.0.0.1:$_[1]{port} inet n - n - - smtpd") },
	'postscreen' => sub {
		postfix(@_, "127.0.0.1:$_[1]{port} inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd");
	},
	'openssl' => sub { $_[1]{floor} = 1 },
);

sub start {
	my ($class, $key, $many, @names) = @_;
	my $self = bless { many => $many, sink => Bench::Group->new('sink'), list => [] }, $class;
	my $port = 2510;
	$self->{chain} = certificate($key);
	unlink glob("$Bench::run/*.log");
	my @sink = (1, "$Bench::B/tests/bench/sink");
	$self->{sink}->spawn(@sink, '-l', "127.0.0.1:$SINK", '-s', "127.0.0.1:$STATS", '-p');
	$self->{sink}->spawn(@sink, '-l', "127.0.0.1:$PLAIN_SINK", '-s', "127.0.0.1:$PLAIN_STATS");
	Bench::wait_port($_, 'the sink') for $STATS, $PLAIN_STATS;
	for my $name (@names) {
		my $how = $start{$name} or die "bench: no such subject: $name (there are: " . join(' ', sort keys %start) . ")\n";
		my $s = { name => $name, port => $port++, chain => $self->{chain}, group => Bench::Group->new($name) };
		$how->($self, $s);
		push @{ $self->{list} }, $s;
		Bench::wait_port($s->{port}, $name) unless $s->{floor};
	}
	return $self;
}

sub subjects { my ($self) = @_; return @{ $self->{list} } }

sub stop {
	my ($self) = @_;
	for (@{ $self->{list} }) {
		$_->{stop}->() if $_->{stop};
		$_->{group}->stop;
		$_->{helper}->stop if $_->{helper};
	}
	$self->{names}->stop if $self->{names};
	$self->{sink}->stop;
}

# The counters of the subject's sink.
sub sink {
	my ($self, $s) = @_;
	my $port = $s->{plain_sink} ? $PLAIN_STATS : $STATS;
	my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "bench: the sink is gone: $!\n";
	return Bench::pairs(scalar <$c>);
}

# Until the sink has no connection left beyond those that are known to stay.
sub sink_rest {
	my ($self, $s, $stay) = @_;
	for (1 .. 100) {
		my %now = $self->sink($s);
		return if $now{active} <= ($stay || 0);
		sleep 0.02;
	}
}

sub certificate {
	my ($key) = @_;
	my @kind = $key eq 'rsa' ? ('rsa:2048') : ('ec', '-pkeyopt', 'ec_paramgen_curve:P-256');
	my $base = "$Bench::run/$key";
	Bench::shell("openssl req -x509 -newkey @kind -nodes -keyout $base.key -out $base.crt -subj /CN=mx.example " .
		"-addext subjectAltName=DNS:mx.example -days 30 2>/dev/null && cat $base.key $base.crt >$base.pem");
	chmod 0644, "$base.pem";    # read by subjects that have given up root; it guards nothing
	return POSIX::getcwd() . "/$base.pem";
}

sub names {
	my ($self, $s) = @_;
	my $tmp = POSIX::getcwd() . "/$Bench::run/$s->{name}";
	mkdir $tmp;
	return (TMP => $tmp, CHAIN => $s->{chain}, PORT => $s->{port}, SINK_PORT => $SINK, PLAIN_SINK_PORT => $PLAIN_SINK,
		AUTH_PORT => $AUTH, ROOT => root());
}

# Where the peers' packages lie unpacked: the lab's cache.
sub root { return "$FindBin::Bin/../../build/lab/root" }

# Fills that cache at first use (tests/lab/root.sh), while there is still a network.
sub fetch {
	my (@names) = @_;
	return unless grep { !/^danelaw|^openssl$/ } @names;
	Bench::shell('bash', '-c', 'LAB_SAY=bench; . "$1/../lab/lib.sh"; root_prepare', 'bash', $FindBin::Bin);
}

sub danelaw {
	my ($self, $s, $io, %more) = @_;
	my $workers = $more{workers} || 1;
	my ($top, $more) = $self->{many} ? many_certificates($self->{many}) : ('', '');
	my %names = (names($self, $s), IO => $io, WORKERS => $workers, CERTIFICATES => $more, TOP => $top . ($more{top} || ''),
		LISTENER => $more{listener} || '', LIMITS => $more{limits} || '');
	my $conf = Bench::fill('peers/danelaw.conf', "$names{TMP}/danelaw.conf", %names);
	$s->{group}->spawn($workers == 1 ? 0 : '0,1', "$Bench::B/danelawd", '-c', $conf);
}

# Beside the one that is served: sections, and their names for the listener's list.
sub many_certificates {
	my ($count) = @_;
	my $dir = POSIX::getcwd() . "/$Bench::run/certs";
	mkdir $dir;
	Bench::shell("$Bench::B/tests/bench/certs", $dir, $count) unless -e "$dir/" . ($count - 1) . '.pem';
	my $sections = join '', map { "certificate \"c$_\" { chain = \"$dir/$_.pem\" key = \"$dir/$_.pem\" }\n" } 0 .. $count - 1;
	return ($sections, join '', map { ", \"c$_\"" } 0 .. $count - 1);
}

# With a listener that asks some clients, and a name server that knows what the generator's publishes.
# Is it one of those that judge clients, which are there for that case alone?
sub judges {
	my ($name) = @_;
	return $name =~ /^danelaw-(not-asked|cached|judged)$/;
}

sub judging {
	my ($self, $s, $mode, $cache) = @_;
	$s->{cases} = qr/^client-dane-4k$/;
	my %names = names($self, $s);
	my $dns = dns($self, $names{TMP});
	danelaw($self, $s, 'uring', top => "dns { trust-anchor = \"$dns->{anchor}\" forwarders = { \"$dns->{address}\" } " .
		"probe-secure = \"client.example\" }\npolicy \"others\" { networks = { \"192.0.2.0/24\" } client-dane = require }",
		listener => "client-dane = $mode\npolicies = { \"others\" }", limits => "client-cache = $cache");
	$self->{dns} ||= $dns;
}

# One signed zone, which is its own trust anchor, with a record for the generator's certificate.
sub dns {
	my ($self, $tmp) = @_;
	my $address = '10.9.9.53';
	if (!$self->{dns}) {
		my $dir = POSIX::getcwd() . "/$Bench::run/dns";
		Bench::shell('bash', '-ec', 'rm -rf "$1"; mkdir -p "$1"; cd "$1"
			key=$(ldns-keygen -a ECDSAP256SHA256 -k -r /dev/urandom client.example)
			tlsa=$(openssl x509 -in "$2" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d" " -f1)
			printf "\$ORIGIN client.example.\n\$TTL 3600\n@ SOA ns hostmaster 1 3600 600 864000 3600\n@ NS ns\nns A %s\n_25._tcp.mail TLSA 3 1 1 %s\n" \
				"$3" "$tlsa" >zone
			ldns-signzone -o client.example -f signed zone "$key"
			cp "$key.ds" anchor
			ip addr add "$3/32" dev lo', 'bash', $dir, $self->{chain}, $address);
		$self->{names} = Bench::Group->new('names');
		$self->{names}->spawn(1, 'perl', "$FindBin::Bin/../lab/dns_responder.pl", $address, "client.example=$dir/signed");
	}
	Bench::shell('cp', "$Bench::run/dns/anchor", "$tmp/anchor");
	return { address => $address, anchor => "$tmp/anchor" };
}

sub nginx {
	my ($self, $s) = @_;
	my %names = names($self, $s);
	my @run = ("$names{ROOT}/usr/sbin/nginx", '-e', "$names{TMP}/start.log", '-p', $names{TMP}, '-c');
	local $ENV{LD_LIBRARY_PATH} = "$names{ROOT}/usr/lib/x86_64-linux-gnu";
	$s->{helper} = Bench::Group->new('nginx-auth');
	$s->{helper}->spawn(1, @run, Bench::fill('peers/nginx-auth.conf', "$names{TMP}/nginx-auth.conf", %names));
	Bench::wait_port($AUTH, "nginx's auth responder");
	$s->{group}->spawn(0, @run, Bench::fill('peers/nginx.conf', "$names{TMP}/nginx.conf", %names));
}

sub packaged {
	my ($names, $s, @cmd) = @_;
	local $ENV{LD_LIBRARY_PATH} = "$names->{ROOT}/usr/lib/x86_64-linux-gnu";
	$s->{group}->spawn(0, @cmd);
}

sub stunnel {
	my ($self, $s) = @_;
	my %names = names($self, $s);
	@$s{qw(speaks plain_sink)} = ('tls', 1);
	packaged(\%names, $s, "$names{ROOT}/usr/bin/stunnel4", Bench::fill('peers/stunnel.conf', "$names{TMP}/stunnel.conf", %names));
}

sub haproxy {
	my ($self, $s) = @_;
	my %names = names($self, $s);
	$s->{speaks} = 'plain';
	packaged(\%names, $s, "$names{ROOT}/usr/sbin/haproxy", '-db', '-f',
		Bench::fill('peers/haproxy.cfg', "$names{TMP}/haproxy.cfg", %names));
}

# In the lab's private root (tests/lab/root.sh): Postfix wants its files where its package puts them, and its users.
# A process a session, so it holds no thousands of idle ones.
sub postfix {
	my ($self, $s, $smtp) = @_;
	my %names = (names($self, $s), SMTP => $smtp);
	my $tmp = $names{TMP};
	@$s{qw(plain_sink adds no_idle)} = (1, 1, 1);
	mkdir "$tmp/$_" for qw(etc queue data);
	Bench::shell("chown 60101:60101 $tmp/data");
	unlink "$tmp/mail.log";
	Bench::fill('peers/postfix-main.cf', "$tmp/etc/main.cf", %names);
	Bench::fill('peers/postfix-master.cf', "$tmp/etc/master.cf", %names);
	$s->{group}->spawn(0, 'chroot', $Bench::root, 'postfix', '-c', "$tmp/etc", 'start-fg');
	$s->{stop} = sub { system('chroot', $Bench::root, 'postfix', '-c', "$tmp/etc", 'stop') };
}

1;
