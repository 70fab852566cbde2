# SPDX-License-Identifier: BSD-2-Clause
#
# What holds of a danelawd as a whole, and between several: tickets, the limit on handshakes, input and output where
# io_uring is forbidden, what a session's line in the log says, how backends are probed.  Run by 0730-daemons.sh;
# peers.pm tells how a scene is written.
use strict;
use warnings;
use peers;

farm '127.200.0.1:2500', name => 'farm';
farm '127.200.0.2:2500', name => 'polite', probe => \&polite_probe;

my $RARE = 'health { interval = 1h fall = 100 }';

sub secret
{
	my ($name, $octets) = @_;
	open my $f, '>', "$T/tls/$name.secret" or die "$name.secret: $!\n";
	print $f $octets;
	close $f;
	return "$T/tls/$name.secret";
}

# A danelawd with one listener in front of the farm
sub edge_at
{
	my ($name, $port, $more, %o) = @_;
	my $backend = delete $o{backend} // '127.200.0.1';
	edge $name, <<"END", %o;
$RARE
$more
backend "farm" { address = "$backend:2500" }
pool "farm" { backends = { "farm" } }
listener "$name" { address = { "$EDGE", "$EDGE6" } port = $port certificates = { "mx", "other" } pool = "farm" }
END
}

# For the sessions of a scene that go to another danelawd than the scene's own
sub at
{
	my ($edge, $do) = @_;
	local $peers::scene->{edge} = $edge;
	$do->();
}

# ---- tickets: keys from a shared secret and the hour ----

my $SHARED = secret('shared', 'the secret that both nodes share, and nobody else');

edge_at('node1', 2801, "tls { ticket-secret = \"$SHARED\" }");
edge_at('node2', 2802, "tls { ticket-secret = \"$SHARED\" }");
edge_at('stranger', 2803, 'tls { ticket-secret = "' . secret('foreign', 'the secret of quite another cluster of nodes') . '" }');
edge_at('alone', 2804, '');
edge_at('renewed', 2805, 'tls { ticket-secret = "' . secret('renewed', 'the secret as it is before it is exchanged') . '" }');

# A session with a mail, its handshake resumed or in full; the ticket it got
sub visit
{
	my ($port, $how, @tls) = @_;
	my $c = client($port)->greet('tls', @tls);
	is(Net::SSLeay::session_reused($c->{tls}) ? 'resumed' : 'in full', $how, "the handshake at port $port");
	my $ticket = Net::SSLeay::get1_session($c->{tls});
	$c->mail->quit;
	ends($c->{k}, 'quit');
	like(log_line($c->{k}), $how eq 'resumed' ? qr/ resumed=yes / : qr/ resumed=no /, 'the log');
	return $ticket;
}

for my $version (0x0303, 0x0304) {
	my $name = 'TLS ' . ($version == 0x0304 ? '1.3' : '1.2');
	scene "a ticket of one node at the other, $name", edge => 'node1', sub {
		my $ticket = visit(2801, 'in full', version => $version);
		$ticket = visit(2801, 'resumed', version => $version, session => $ticket);
		at('node2', sub { $ticket = visit(2802, 'resumed', version => $version, session => $ticket) });
		visit(2801, 'resumed', version => $version, session => $ticket);
	};
	for my $other (['stranger', 2803, 'with another secret'], ['alone', 2804, 'with none']) {
		my ($edge, $port, $what) = @$other;
		scene "a ticket at a node $what, $name", edge => 'node1', sub {
			my $ticket = visit(2801, 'in full', version => $version);
			at($edge, sub {
				my $own = visit($port, 'in full', version => $version, session => $ticket);
				visit($port, 'resumed', version => $version, session => $own);
			});
		};
	}
}

scene 'the secret is exchanged, and read again', edge => 'renewed', sub {
	my $ticket = visit(2805, 'in full');
	control('renewed', { verb => 'reload' });
	$ticket = visit(2805, 'resumed', session => $ticket);
	secret('renewed', 'the secret as it is after it was exchanged');
	control('renewed', { verb => 'reload' });
	$ticket = visit(2805, 'in full', session => $ticket);
	visit(2805, 'resumed', session => $ticket);
};

# ---- handshakes in flight ----

edge_at('two', 2810, 'limits { handshakes = 2 }');

scene 'a third handshake beside two: 454, and taken once there is room', edge => 'two',
	ends => ['client_reset', 'starttls_injection', 'quit', 'quit', 'client_reset', 'client_reset'], sub {
		my $busy = qr/^454 4\.7\.0 TLS not available now, too many handshakes in flight$/;
		my @c = map { client(2810)->banner } 1 .. 2;
		for (@c) { $_->ehlo; $_->ask("STARTTLS\r\n", qr/^220 /) }
		my ($third, $fourth) = map { client(2810)->greet } 1 .. 2;
		$third->ask("STARTTLS\r\n", $busy);
		$third->mail; # in clear, as it may (RFC 3207 4)
		$fourth->ask("STARTTLS\r\n", $busy);
		$c[0]->reset;
		log_line(0);
		$third->starttls->ehlo; # and from here on it takes no room
		$fourth->starttls->ehlo;
		$c[1]->raw("RSET\r\n")->ended;
		log_line(1);
		my @again = map { client(2810)->banner } 1 .. 2;
		for (@again) { $_->ehlo; $_->ask("STARTTLS\r\n", qr/^220 /) }
		$fourth->mail->quit;
		$third->mail->quit;
		$_->reset for @again;
	};

# ---- where io_uring is forbidden ----

# A seccomp filter for io_uring_setup(2), whose number is the same everywhere: EPERM; all else as it was
my $FORBID = <<'END';
my $filter = pack 'SCCL' x 4, 0x20, 0, 0, 0, 0x15, 0, 1, 425, 0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7fff0000;
my $prctl = { x86_64 => 157, aarch64 => 167 }->{(POSIX::uname())[4]};
my $program = pack 'S x6 P', 4, $filter;
syscall($prctl, 38, 1, 0, 0, 0) == 0 && syscall($prctl, 22, 2, $program) == 0 or die "seccomp: $!\n";
exec @ARGV;
END

edge_at('forbidden', 2820, '', wrap => ['perl', '-MPOSIX', '-e', $FORBID]);

scene 'io_uring forbidden by seccomp: epoll, and the log says why', edge => 'forbidden', ends => [('quit') x 12], sub {
	like(peers::slurp("$T/forbidden.log"), qr/worker.*: epoll: .*; io_uring.*Operation not permitted/, 'the log');
	like(control('forbidden', { verb => 'status' })->{io}, qr/^epoll: .*; io_uring.*Operation not permitted/, 'the status');
	client(2820)->greet('tls')->mail->quit;
	client(2820)->greet->mail->quit;
	my @c = map { client(2820)->greet('tls')->data } 1 .. 10;
	for (@c) { $_->final("Subject: x\r\n\r\n" . "some of it\r\n" x 5000 . TAIL, qr/^250 /); $_->quit }
};

scene 'io_uring forbidden, and the configuration insists on it: no start, with the reason', edge => 'forbidden', sub {
	my $conf = peers::slurp("$T/forbidden.conf");
	open my $f, '>', "$T/insists.conf" or die "insists.conf: $!\n";
	print $f $conf =~ s/^io = .*\n//mr =~ s/^hostname/io = uring\nhostname/r =~ s/port = 2820/port = 2821/r =~ s/forbidden\.(state|run)/insists.$1/gr;
	close $f;
	my $pid = open(my $out, '-|') // die "fork: $!\n";
	if (!$pid) { open STDERR, '>&', \*STDOUT; exec('perl', '-MPOSIX', '-e', $FORBID, $ENV{DANELAWD}, '-c', "$T/insists.conf") or POSIX::_exit(127) }
	my $said = do { local $/; <$out> };
	close $out;
	is($? >> 8, 1, "the status, with '$said'");
	like($said, qr/^danelawd: .*io_uring.*Operation not permitted/m, 'what it says');
};

# ---- a session's line in the log ----

scene 'one line says it all', edge => 'node1', ends => 'quit', sub {
	my $c = client(2801);
	my ($in, $out) = (0, 0);
	my $ask = sub {
		my ($text, $want) = @_;
		$in += length $text;
		$c->say($text);
		my $reply = $c->reply;
		like($reply, $want, "the reply to '" . peers::shown($text) . "'");
		$out += length($reply) + ($reply =~ tr/\n//) + 2; # each line with its CRLF
	};
	$ask->('', qr/^220/);
	$ask->("EHLO $c->{helo}\r\n", qr/^250/);
	$ask->("STARTTLS\r\n", qr/^220/);
	$c->tls_new(version => 0x0304, sni => 'a.wild.example')->handshake or die "no handshake\n";
	my (undef, $cipher) = split / /, $c->tls_facts;
	$ask->("EHLO $c->{helo}\r\n", qr/^250/);
	for my $n (1, 2) {
		$ask->("MAIL FROM:<a\@sender.example>\r\n", qr/^250/);
		$ask->("RCPT TO:<b\@good.example>\r\n", qr/^250/);
		$ask->("DATA\r\n", qr/^354/);
		$ask->("Subject: $n\r\n\r\nx" . TAIL, qr/^250/);
	}
	$ask->("FOO\r\n", qr/^500/);
	$ask->("QUIT\r\n", qr/^221/);
	$c->ended;
	# twice MAIL, RCPT and DATA; EHLO, STARTTLS, EHLO, FOO, QUIT
	like(log_line(0), qr/^t=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z sid=[0-9a-f]+ lst=node1 peer=\Q$c->{from}\E ehlo=\Q$c->{helo}\E tls=1\.3 cipher=\Q$cipher\E group=\S+ sni=a\.wild\.example cert=other resumed=no backend=farm backend_tls=\S+ (\S+=\S+ )*relay=guard cmds=11 errors=1 msgs=2 in=$in out=$out t_tls=\d+ms t_backend=\d+ms t=\d+ms end=quit$/, 'the line');
};

scene 'one line of a session without TLS and without a backend', edge => 'node1', ends => 'client_closed', sub {
	my $c = client(2801)->banner;
	$c->ask("FOO\r\n", qr/^500/);
	$c->fin->ended;
	like(log_line(0), qr/ ehlo=- tls=- cipher=- group=- sni=- cert=- resumed=- backend=- .* cmds=1 errors=1 msgs=0 in=5 /, 'the line');
};

# ---- probes that no log of a backend complains about ----

edge_at('prober', 2830, '', backend => '127.200.0.2');

# A backend that looks closely: the header of LOCAL (2.2 of the PROXY specification) and nothing more until the whole
# banner is out, EHLO, QUIT, and the end only behind 221
sub polite_probe
{
	my ($b) = @_;
	my $quiet = sub {
		my ($when) = @_;
		$b->taken;
		control('prober', { verb => 'sessions', limit => 1 }); # its worker has been round since
		$b->{text} eq '' && $b->{in} eq '' && !$b->ready(0, Time::HiRes::time() + 0.05) or die "not quiet $when\n";
	};
	is(unpack('H*', $b->{header}), unpack('H*', "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), 'the header');
	$quiet->('behind the header');
	$b->say("220-farm.example\r\n");
	$quiet->('behind the first line of the banner');
	$b->say("220-is\r\n220 ESM");
	$quiet->('before the end of the banner');
	$b->say("TP\r\n");
	is($b->line, 'EHLO mx.example', 'the first command');
	$b->say($b->{caps});
	is($b->line, 'QUIT', 'the second');
	$quiet->('before 221');
	$b->say("221 bye\r\n")->fin;
	$b->ended(qr/^fin$/);
	peers::append("$T/polite", "\n");
	$b->done;
}

scene 'a probe: LOCAL, the whole banner, EHLO, QUIT, 221', edge => 'prober', sub {
	wait_for('a probe without fault', sub { my $err = peers::slurp("$T/farm.err"); $err =~ /^127\.200\.0\.2:.*/m and die "$&\n"; -s "$T/polite" });
};

play;
