# SPDX-License-Identifier: BSD-2-Clause
#
# Scripted peers over real sockets, on both sides of danelawd (peers.sh makes the place they run in).
#
#	edge 'name', '…configuration…';			a danelawd; several may run
#	farm '127.200.0.1:2500', header => 'v2';	listens and plays backends
#	scene 'the backend closes behind 354',		one case, run in a process of its own beside others
#		backend => sub { my $b = shift; … },	what the farm does in this scene; default: a good backend
#		ends => 'backend_lost',			how danelawd's log says the session ended
#		sub { my $c = client(25); … };		the client: dies where something is not as it should be
#	play;						runs it all and judges
#
# Each session comes from an address of its own, so a log line, a PROXY header and a record at the farm all tell
# whose they are.  In the end play() holds the whole run to three promises: every session that a scene opened has
# exactly one line in the log, with the reason expected; what the log counts is what the counters say; and each
# message that a client was answered 250 for lies, octet for octet, at a backend that answered 250.
#
# Nobody sleeps: all waits are for an event, with a deadline that only a fault reaches.
package peers;

use strict;
use warnings;
use Digest::SHA 'sha1_hex';
use Errno qw(EINTR EPIPE ECONNRESET);
use Fcntl ();
use Exporter 'import';
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP ();
use Net::SSLeay;
use POSIX ();
use Socket qw(:all);
use Time::HiRes qw(time sleep);

our @EXPORT = qw(edge farm family scene play client families address ends log_line ms seen is like wait_for control signal pin $T $EDGE $EDGE6 TAIL);

our $T = '/run/peers';
our $EDGE = '127.200.0.25';
our $EDGE6 = 'fd00:200::25';
use constant TAIL => "\r\n.\r\n";
use constant DEADLINE => 60;

my $jobs = $ENV{PEERS_JOBS} || 24;
my $slow = $ENV{PEERS_SLOW} || 1;
my (@edges, @farms, @scenes);
our ($scene, $sessions); # the scene this process plays, and how many sessions it opened

Net::SSLeay::load_error_strings();
Net::SSLeay::SSLeay_add_ssl_algorithms();
$SIG{PIPE} = 'IGNORE';
$| = 1;

# ---- small things ----

# A short time-out for the configuration; longer where the build is slow
sub ms { return ($_[0] * $slow) . 'ms' }

sub is
{
	my ($got, $want, $what) = @_;
	$got //= '(nothing)';
	$got eq $want or die "$what: got '$got', wanted '$want'\n";
}

sub like
{
	my ($got, $want, $what) = @_;
	$got //= '(nothing)';
	$got =~ $want or die "$what: got '" . shown($got) . "', wanted $want\n";
}

sub shown
{
	my $s = shift;
	$s =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	return length $s > 300 ? substr($s, 0, 300) . '…' : $s;
}

# Until the sub is true; what it said
sub wait_for
{
	my ($what, $sub) = @_;
	my $end = time + DEADLINE;
	while (1) {
		my ($r, $now) = $sub->();
		return $r if $r;
		time < $end or die 'waited in vain: ' . $what . ($now // '') . "\n";
		sleep 0.02;
	}
}

sub slurp
{
	my ($file) = @_;
	open my $f, '<:raw', $file or return '';
	local $/;
	return <$f> // '';
}

sub append
{
	my ($file, $line) = @_;
	open my $f, '>>:raw', $file or die "$file: $!\n";
	syswrite $f, $line;
}

# The address of session $k of scene $n; the farm reads both back
sub address
{
	my ($n, $k, $family) = @_;
	return $family == 6 ? sprintf('fd00:%x::%x', 1 + $k, $n) : sprintf('127.%d.%d.%d', 1 + $k, $n >> 8, $n & 255);
}

sub scene_of_address
{
	my ($a) = @_;
	return ($2 * 256 + $3, $1 - 1) if $a =~ /^127\.(\d+)\.(\d+)\.(\d+)$/;
	return (hex $2, hex($1) - 1) if $a =~ /^fd00:([0-9a-f]+)::([0-9a-f]+)$/;
	return;
}

# ---- what a test declares ----

sub edge { my ($name, $conf, %o) = @_; push @edges, { name => $name, conf => $conf, %o } }
sub farm { my ($at, %o) = @_; push @farms, { at => $at, header => 'v2', name => $at, %o } }

sub scene
{
	my ($name, @o) = @_;
	my $client = pop @o;
	return if $ENV{PEERS_ONLY} && $name !~ /$ENV{PEERS_ONLY}/;
	push @scenes, { name => $name, edge => $edges[0]{name}, @o, client => $client, n => scalar @scenes + 1 };
}

sub edges { return @edges }
sub family { return $scene->{family} // 4 } # of the scene being played

# The same scene from both families
sub families
{
	my ($name, @o) = @_;
	for my $family (4, 6) {
		scene("$name, IPv$family", family => $family, @o);
	}
}

# ---- a connection in the hand: in clear or in TLS, by line or by octet ----

package peers::wire;

use Errno qw(EINTR EPIPE ECONNRESET);
use Socket qw(:all);
use Time::HiRes 'time';

sub new { my ($class, $socket, %o) = @_; return bless { s => $socket, in => '', text => '', over => '', %o }, $class }

sub ready
{
	my ($w, $write, $end) = @_;
	my $bits = '';
	vec($bits, fileno $w->{s}, 1) = 1;
	my ($r, $wr) = $write ? (undef, $bits) : ($bits, undef);
	my $left = ($end // time + peers::DEADLINE) - time;
	return $left > 0 && select($r, $wr, undef, $left) > 0;
}

# Octets on the wire as they are, in one send where the kernel takes them
sub raw
{
	my ($w, $data) = @_;
	my $at = 0;
	while ($at < length $data) {
		my $n = syswrite $w->{s}, $data, length($data) - $at, $at;
		if (defined $n) { $at += $n }
		elsif ($!{EAGAIN}) { $w->ready(1) or die "the peer takes nothing more\n" }
		elsif ($! == EPIPE || $! == ECONNRESET) { return $w }
		elsif ($! != EINTR) { die "send: $!\n" }
	}
	return $w;
}

# As much as goes without waiting; the octets taken
sub push_raw
{
	my ($w, $data) = @_;
	return syswrite($w->{s}, $data) // 0;
}

# More of the wire into ->{in}; false at the end, ->{over} says which
sub pull
{
	my ($w, $end) = @_;
	return 0 if $w->{over};
	$w->ready(0, $end) or die $end ? "nothing came\n" : "waited in vain for the peer; so far: '" . peers::shown($w->{text}) . "'\n";
	my $n = sysread $w->{s}, my $data, 65536;
	if (!defined $n) {
		return 1 if $!{EAGAIN} || $! == EINTR;
		$w->{over} = $! == ECONNRESET ? 'reset' : "$!";
		return 0;
	}
	$w->{over} = 'fin' if !$n;
	$w->{in} .= $data if $n;
	return $n > 0;
}

sub flush_tls
{
	my ($w) = @_;
	while ((my $n = Net::SSLeay::BIO_pending($w->{wbio})) > 0) {
		$w->raw(Net::SSLeay::BIO_read($w->{wbio}, $n));
	}
}

# What TLS wants to send now, without sending it
sub take_tls { my ($w) = @_; my $n = Net::SSLeay::BIO_pending($w->{wbio}); return $n > 0 ? Net::SSLeay::BIO_read($w->{wbio}, $n) : '' }

sub feed_tls
{
	my ($w) = @_;
	Net::SSLeay::BIO_write($w->{rbio}, $w->{in}) if length $w->{in};
	$w->{in} = '';
}

# More plain text; false at the end
sub more
{
	my ($w) = @_;
	while (1) {
		if ($w->{tls}) {
			$w->feed_tls;
			my ($got, $n) = Net::SSLeay::read($w->{tls}, 65536);
			$w->flush_tls;
			if (defined $got && length $got) { $w->{text} .= $got; return 1 }
			if (Net::SSLeay::get_error($w->{tls}, $n // -1) == 6) { $w->{over} ||= 'notify'; return 0 }
		} elsif (length $w->{in}) {
			$w->{text} .= $w->{in};
			$w->{in} = '';
			return 1;
		}
		$w->pull or return 0;
	}
}

sub say
{
	my ($w, $data) = @_;
	if (!$w->{tls}) { $w->raw($data); return $w }
	Net::SSLeay::write($w->{tls}, $data) if length $data;
	$w->flush_tls;
	return $w;
}

# The next line without its CRLF; undef at the end
sub line
{
	my ($w) = @_;
	while ($w->{text} !~ /\n/) { $w->more or return }
	$w->{text} =~ s/^(.*?)\r?\n//s;
	return $1;
}

# A whole reply, lines joined by newlines; '' at the end of the connection
sub reply
{
	my ($w) = @_;
	my @lines;
	while (defined(my $l = $w->line)) {
		push @lines, $l;
		last if $l !~ /^\d\d\d-/;
	}
	return join "\n", @lines;
}

# The end of the connection with nothing before it: 'fin', 'notify' or 'reset'
sub ended
{
	my ($w, $how) = @_;
	1 while $w->more;
	length $w->{text} and die "more came before the end: '" . peers::shown($w->{text}) . "'\n";
	peers::like($w->{over}, $how // qr/^(fin|notify|reset)$/, 'the end of the connection');
	return $w;
}

sub fin { my ($w) = @_; shutdown $w->{s}, 1; return $w }
sub close { my ($w) = @_; CORE::close($w->{s}); $w->{over} ||= 'ours' }

sub reset
{
	my ($w) = @_;
	setsockopt $w->{s}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	CORE::close($w->{s});
	$w->{over} ||= 'ours';
}

# The kernel's line about a socket: local address, peer's, state, queues, timers, user, its inode (0: not accepted yet)
sub kernel_line
{
	my ($w, $of_peer) = @_;
	my ($family) = unpack 'S', getsockname $w->{s};
	my $name = sub {
		my ($port, $ip) = $family == AF_INET6 ? unpack_sockaddr_in6($_[0]) : unpack_sockaddr_in($_[0]);
		return join('', map { sprintf '%08X', $_ } unpack 'L*', $ip) . sprintf(':%04X', $port);
	};
	my ($mine, $theirs) = ($name->(getsockname $w->{s}), $name->($w->{peername}));
	($mine, $theirs) = ($theirs, $mine) if $of_peer;
	my ($line) = peers::slurp($family == AF_INET6 ? '/proc/net/tcp6' : '/proc/net/tcp') =~ /: (\Q$mine $theirs\E .*)/;
	return $line;
}

# Until the other end has read all that was sent.  Ours is looked at first: what was acknowledged is in the other's queue.
sub taken
{
	my ($w) = @_;
	my $missing = 0;
	peers::wait_for('the other end to read', sub {
		my $mine = $w->kernel_line;
		my $theirs = $w->kernel_line(1);
		# the table may miss a line while others come and go; only a connection that is over has none five times
		return ++$missing >= 5 if !defined $mine;
		$missing = 0;
		return 0 if $mine !~ /^\S+ \S+ \S+ 0+:/;
		return defined $theirs ? $theirs =~ /^\S+ \S+ \S+ [0-9A-F]+:0+ / : $mine !~ /^\S+ \S+ 01 /;
	});
	return $w;
}

# ---- TLS ----

sub tls_new
{
	my ($w, %o) = @_;
	my $ctx = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_method());
	Net::SSLeay::CTX_set_min_proto_version($ctx, $o{version}), Net::SSLeay::CTX_set_max_proto_version($ctx, $o{version}) if $o{version};
	if ($o{server}) {
		Net::SSLeay::CTX_use_certificate_chain_file($ctx, "$peers::T/tls/$o{server}.pem");
		Net::SSLeay::CTX_use_PrivateKey_file($ctx, "$peers::T/tls/$o{server}.key", Net::SSLeay::FILETYPE_PEM());
	}
	Net::SSLeay::CTX_set_alpn_protos($ctx, $o{alpn}) if $o{alpn};
	$w->{ssl} = Net::SSLeay::new($ctx);
	($w->{rbio}, $w->{wbio}) = map { Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem()) } 1, 2;
	Net::SSLeay::set_bio($w->{ssl}, $w->{rbio}, $w->{wbio});
	$o{server} ? Net::SSLeay::set_accept_state($w->{ssl}) : Net::SSLeay::set_connect_state($w->{ssl});
	Net::SSLeay::set_tlsext_host_name($w->{ssl}, $o{sni}) if $o{sni};
	Net::SSLeay::set_session($w->{ssl}, $o{session}) if $o{session};
	return $w;
}

# One step of the handshake on what was received; 1: over, 0: wants more, undef: failed
sub tls_step
{
	my ($w) = @_;
	$w->feed_tls;
	my $r = Net::SSLeay::do_handshake($w->{ssl});
	return 1 if $r == 1;
	return Net::SSLeay::get_error($w->{ssl}, $r) == 2 ? 0 : undef;
}

# The whole handshake; true if it went through
sub handshake
{
	my ($w) = @_;
	$w->{in} = delete($w->{text}) . $w->{in};
	$w->{text} = '';
	while (1) {
		my $r = $w->tls_step;
		$w->flush_tls;
		if ($r) { $w->{tls} = $w->{ssl}; return 1 }
		return 0 if !defined $r || !$w->pull;
	}
}

sub tls_facts { my ($w) = @_; return join ' ', Net::SSLeay::get_version($w->{tls}), Net::SSLeay::get_cipher($w->{tls}) }

sub tls_subject
{
	my ($w) = @_;
	return Net::SSLeay::X509_NAME_oneline(Net::SSLeay::X509_get_subject_name(Net::SSLeay::get_peer_certificate($w->{tls})));
}

# ---- a client of danelawd ----

package peers::client;
our @ISA = 'peers::wire';

# Until danelawd waits for this in the session, as it tells itself (waits[] of session.c)
sub waits
{
	my ($c, $for, $meanwhile) = @_;
	my $port = $c->{s}->sockport;
	peers::wait_for("danelawd to wait for: $for", sub {
		$meanwhile->($c) if $meanwhile;
		my ($s) = grep { $_->{client} =~ /:$port$/ } @{ peers::control($peers::scene->{edge}, { verb => 'sessions', limit => 1000 })->{sessions} };
		my $now = $s ? "$s->{step}, $s->{wait}" : 'no session';
		return $s && $s->{wait} eq $for, " (now: $now)";
	});
	return $c;
}

# Says it and looks at the reply
sub ask
{
	my ($c, $data, $want, $what) = @_;
	$c->say($data);
	return $c->hears($want, $what // "the reply to '" . peers::shown($data) . "'");
}

sub hears
{
	my ($c, $want, $what) = @_;
	my $reply = $c->reply;
	peers::like($reply, $want, $what // 'the reply');
	return $reply;
}

sub banner { my ($c) = @_; $c->hears(qr/^220 mx\.example ESMTP$/, 'the banner'); return $c }
sub ehlo { my ($c) = @_; return $c->ask("EHLO $c->{helo}\r\n", qr/^250/) }

sub starttls
{
	my ($c, %o) = @_;
	$c->ask("STARTTLS\r\n", qr/^220 /);
	$c->tls_new(%o)->handshake or die "the TLS handshake failed\n";
	return $c;
}

# As far as an EHLO that was answered, in TLS where how is 'tls'
sub greet
{
	my ($c, $how, %o) = @_;
	$c->banner->ehlo;
	if (($how // '') eq 'tls') { $c->starttls(%o); $c->ehlo }
	return $c;
}

sub envelope
{
	my ($c) = @_;
	$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^250 /);
	$c->ask("RCPT TO:<b\@good.example>\r\n", qr/^250 /);
	return $c;
}

sub data { my ($c) = @_; $c->envelope->ask("DATA\r\n", qr/^354 /); return $c }

# The octets that end a message, and the answer to it.  $whole: the message as the farm should have got it, with its
# end; a 250 makes it owed.
sub final
{
	my ($c, $octets, $want, $whole) = @_;
	$c->say($octets);
	return $c->answer($want, $whole // $octets);
}

sub answer
{
	my ($c, $want, $whole) = @_;
	my $reply = $c->reply;
	peers::append("$peers::T/owed", "$c->{n} $c->{k} " . Digest::SHA::sha1_hex($whole) . "\n") if $reply =~ /^2\d\d(?!-)[^\n]*\z/m;
	peers::like($reply, $want, 'the answer to the message');
	return $reply;
}

sub mail { my ($c, $text) = @_; $c->data->final(($text // "Subject: x\r\n\r\nhello") . peers::TAIL, qr/^250 /); return $c }
sub quit { my ($c) = @_; $c->ask("QUIT\r\n", qr/^221 /); return $c->ended }

# ---- a backend of danelawd ----

package peers::backend;
our @ISA = 'peers::wire';
use Digest::SHA 'sha1_hex';
use Socket qw(:all);

# What it heard goes into a record that seen() reads
sub note { my ($b, $what) = @_; peers::append("$peers::T/farm/$b->{n}.$b->{k}", peers::shown($what) . "\n") if $b->{n} }

sub hear
{
	my ($b) = @_;
	my $l = $b->line;
	$b->note($l // 'the end: ' . $b->{over});
	return $l;
}

# Reads commands, answering 250 to each, until one matches; dies if the connection ends first
sub until
{
	my ($b, $command) = @_;
	while (defined(my $l = $b->hear)) {
		return $l if $l =~ $command;
		$b->say($l =~ /^EHLO/i ? $b->{caps} : "250 ok\r\n");
	}
	peers::backend::done();
}

# Waits until danelawd is gone, swallowing what comes
sub idle { my ($b) = @_; $b->{text} = '' while $b->more; $b->note("the end: $b->{over}"); done() }
# Neither reads nor writes any more
sub still { POSIX::pause() while 1 }
sub done { POSIX::_exit(0) }

# Octets up to and with the end of data, strictly CRLF.CRLF
sub take_data
{
	my ($b) = @_;
	my $got = "\r\n"; # 354's own
	while (index($got, peers::TAIL) < 0) {
		if (!length $b->{text}) { $b->more or do { $b->note("the end: $b->{over}"); $b->{partial} = substr $got, 2; return } }
		$got .= $b->{text};
		$b->{text} = '';
	}
	my $end = index($got, peers::TAIL) + length peers::TAIL;
	$b->{text} = substr $got, $end;
	return substr $got, 2, $end - 2;
}

sub take_octets
{
	my ($b, $n) = @_;
	while (length $b->{text} < $n) { $b->more or do { $b->note("the end: $b->{over}"); return } }
	return substr $b->{text}, 0, $n, '';
}

# The message is the farm's now, and only then is the client told
sub accept
{
	my ($b, $message, $reply) = @_;
	peers::append("$peers::T/kept", "$b->{n} $b->{k} " . sha1_hex($message) . "\n");
	peers::append("$peers::T/farm/$b->{n}.$b->{k}.mail", $message);
	$b->say($reply // "250 2.0.0 kept\r\n");
}

# A backend without fault
sub serve
{
	my ($b) = @_;
	my $chunks = '';
	while (defined(my $l = $b->hear)) {
		if ($l =~ /^EHLO/i) { $b->say($b->{caps}) }
		elsif ($l =~ /^DATA/i) {
			$b->say("354 go\r\n");
			my $message = $b->take_data // done();
			$b->accept($message);
		} elsif ($l =~ /^BDAT (\d+)( LAST)?/i) {
			my ($last, $octets) = ($2, $b->take_octets($1) // done());
			$chunks .= $octets;
			if ($last) { $b->accept($chunks); $chunks = '' } else { $b->say("250 chunk\r\n") }
		} elsif ($l =~ /^QUIT/i) { $b->say("221 bye\r\n")->fin }
		elsif ($l =~ /^STARTTLS/i && $b->{cert}) {
			$b->say("220 go\r\n");
			$b->tls_new(server => $b->{cert})->handshake or $b->idle;
		} else { $chunks = '' if $l =~ /^RSET/i; $b->say("250 ok\r\n") }
	}
	done();
}

# Reads the header a farm is told to expect; whose session it is: scene, session; (0, 0) for a probe
sub read_header
{
	my ($b, $kind) = @_;
	return if $kind eq 'none' || $kind eq 'xclient';
	my $need = $kind eq 'v1' ? 8 : 16;
	while (length $b->{in} < $need) { $b->pull or done() }
	if ($kind eq 'v1') {
		while ($b->{in} !~ /\n/) { $b->pull or done() }
		$b->{in} =~ s/^(PROXY TCP[46] (\S+) \S+ \d+ \d+\r\n)// or done();
		$b->{header} = $1;
		return peers::scene_of_address($2) if $2 !~ /^(127\.0\.0\.1|::1)$/;
		return (0, 0);
	}
	my $len = 16 + unpack 'n', substr $b->{in}, 14, 2;
	while (length $b->{in} < $len) { $b->pull or done() }
	my $h = $b->{header} = substr $b->{in}, 0, $len, '';
	return (0, 0) if ord(substr $h, 12, 1) == 0x20;
	my $src = ord(substr $h, 13, 1) == 0x11 ? inet_ntop(AF_INET, substr $h, 16, 4) : inet_ntop(AF_INET6, substr $h, 16, 16);
	$src =~ s/^::ffff://;
	return peers::scene_of_address($src);
}

# Until the client's side says so
sub await { my ($b, $what) = @_; peers::wait_for("signal $what", sub { -e "$peers::T/farm/$b->{n}.$what.signal" }); return $b }

sub banner { my ($b) = @_; $b->say("220 farm.example ESMTP\r\n"); return $b }

# ---- the daemon, the farm and the run ----

package peers;

my @caps_default = qw(PIPELINING SIZE 8BITMIME ENHANCEDSTATUSCODES CHUNKING SMTPUTF8);

sub caps_reply { my (@k) = @_; my $last = pop @k; return join('', map { "250-$_\r\n" } 'farm.example', @k) . "250 $last\r\n" }

# A farm: accepts and plays, each connection in a process of its own
sub farm_run
{
	my ($f) = @_;
	$SIG{CHLD} = 'IGNORE';
	while (1) {
		my $s = $f->{socket}->accept or next;
		next if fork;
		$s->blocking(0);
		setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
		my $b = peers::backend->new($s, farm => $f, n => 0, k => 0, caps => caps_reply(@{ $f->{caps} || \@caps_default }), cert => $f->{cert},
			peername => getpeername $s);
		eval { farm_play($f, $b); 1 } or append("$T/farm.err", "$f->{at}: scene $b->{n}: $@");
		POSIX::_exit(0);
	}
}

sub farm_play
{
	my ($f, $b) = @_;
	my ($n, $k) = $b->read_header($f->{header});
	if (!defined $n && $f->{header} =~ /none|xclient/) {
		# who it is comes with EHLO only
		$b->banner;
		my $l = $b->line // return;
		($n, $k) = $l =~ /^(?:EHLO|HELO) c(\d+)-(\d+)\.example/i ? ($1, $2) : (0, 0);
		$b->{text} = "$l\r\n$b->{text}";
		$b->{greeted} = 1;
	}
	($b->{n}, $b->{k}) = ($n // 0, $k // 0);
	$b->note("a connection at $f->{name}");
	append("$T/farm/$b->{n}.$b->{k}.header", $b->{header}) if $b->{n} && defined $b->{header};
	my $play = $b->{n} ? $scenes[$b->{n} - 1]{backend} : $f->{probe};
	if ($play) { $play->($b) } else { $b->banner if !$b->{greeted}; $b->serve }
}

sub client
{
	my ($port, %o) = @_;
	my $family = $o{family} // $scene->{family} // 4;
	my $k = $o{from} ? (scene_of_address($o{from}))[1] : $sessions++;
	my $from = $o{from} // address($scene->{n}, $k, $family);
	my $s = IO::Socket::IP->new(PeerHost => $family == 6 ? $EDGE6 : $EDGE, PeerPort => $port, LocalHost => $from,
		Proto => 'tcp', Timeout => DEADLINE) or die "connect from $from: $@\n";
	$s->blocking(0);
	setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
	setsockopt $s, SOL_SOCKET, SO_RCVBUF, $o{rcvbuf} if $o{rcvbuf};
	return peers::client->new($s, n => $scene->{n}, k => $k, from => $from, peername => getpeername $s,
		helo => sprintf('c%d-%d.example', $scene->{n}, $k));
}

# What the farm heard in session $k of this scene, a line each
sub seen { my ($k) = @_; return slurp("$T/farm/$scene->{n}." . ($k // 0)) }

sub log_lines
{
	my ($edge, $address) = @_;
	return grep { / peer=\Q$address\E / && / end=/ } split /\n/, slurp("$T/$edge.log");
}

sub log_line
{
	my ($k, %o) = @_;
	my $address = $o{peer} // address($scene->{n}, $k, $o{family} // $scene->{family} // 4);
	return wait_for("the log line of session $k ($address)", sub { (log_lines($scene->{edge}, $address))[0] });
}

# How session $k ended, as soon as it has
sub ends
{
	my ($k, $want, %o) = @_;
	my $line = log_line($k, %o);
	$line =~ / end=($want)(?: |$)/ or die "session $k should end with $want: $line\n";
	append("$T/ended", "$scene->{edge} " . ($o{peer} // address($scene->{n}, $k, $o{family} // $scene->{family} // 4)) . "\n");
}

# Where things stand while a scene's sockets are still open: what danelawd says of its sessions, and the kernel of theirs
sub state_now
{
	my $address = address($scene->{n}, 0, $scene->{family} // 4);
	my $sessions = $ENV{DANELAWD} =~ s/danelawd$/danelawctl/r . " sessions --socket $T/$scene->{edge}.run/control.sock";
	return map { "$_\n" } (log_lines($scene->{edge}, $address), (grep { /\Q$address\E/ } `$sessions 2>&1`), `ss -tnoiem 2>&1 | grep -FA 1 '$address'`);
}

sub play_one
{
	($scene, $sessions) = ($_[0], 0);
	my $began = time;
	# every scene ends by itself; this is for one that does not
	local $SIG{ALRM} = sub { die "the scene took too long\n" };
	alarm 3 * DEADLINE;
	my $c = eval { $scene->{client}->(); 1 };
	my $why = $@;
	if ($c && $scene->{ends}) {
		my $ends = ref $scene->{ends} eq 'ARRAY' ? $scene->{ends} : [($scene->{ends}) x $sessions];
		$c = eval { ends($_, $ends->[$_]) for 0 .. $#$ends; 1 };
		$why = $@;
	}
	alarm 0;
	$why = join '', $why || "failed\n", eval { state_now() } if !$c;
	printf STDERR "%6.2f s  %s\n", time - $began, $scene->{name} if $ENV{PEERS_TIMES};
	open my $f, '>', "$T/result/$scene->{n}.new";
	print $f $c ? '' : $why;
	close $f;
	rename "$T/result/$scene->{n}.new", "$T/result/$scene->{n}";
	POSIX::_exit(0);
}

sub play_all
{
	my (%running, @todo);
	@todo = @scenes;
	while (@todo || %running) {
		if (@todo && keys %running < $jobs) {
			my $s = shift @todo;
			my $pid = fork // die "fork: $!\n";
			play_one($s) if !$pid;
			$running{$pid} = $s;
			next;
		}
		my $pid = waitpid -1, 0;
		delete $running{$pid};
	}
}

sub cert
{
	my ($file, @names) = @_;
	system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=$names[0] -addext " .
		'subjectAltName=' . join(',', map { "DNS:$_" } @names) . " -keyout $T/tls/$file.key -out $T/tls/$file.pem 2>/dev/null") == 0
		or die "openssl req\n";
}

sub edge_start
{
	my ($e) = @_;
	my $io = $ENV{PEERS_IO} ? "io = $ENV{PEERS_IO}\n" : '';
	open my $f, '>', "$T/$e->{name}.conf" or die;
	print $f <<"END";
hostname = "mx.example"
user = ""
state-dir = "$T/$e->{name}.state"
run-dir = "$T/$e->{name}.run"
workers = 1
${io}front { mode = off steer = no }
certificate "mx" { chain = "$T/tls/mx.pem" key = "$T/tls/mx.key" }
certificate "other" { chain = "$T/tls/other.pem" key = "$T/tls/other.key" }
$e->{conf}
END
	close $f;
	my @wrap = split ' ', $ENV{PEERS_WRAP} // '';
	$e->{pid} = fork // die "fork: $!\n";
	if (!$e->{pid}) {
		open STDOUT, '>', "$T/$e->{name}.log";
		open STDERR, '>&', \*STDOUT;
		exec @{ $e->{wrap} || [] }, @wrap, $ENV{DANELAWD}, '-c', "$T/$e->{name}.conf" or POSIX::_exit(127);
	}
}

sub edge_ready
{
	my ($e) = @_;
	return wait_for("danelawd $e->{name}", sub {
		return slurp("$T/$e->{name}.log") =~ / is ready/ || waitpid($e->{pid}, POSIX::WNOHANG()) == $e->{pid} && die "danelawd $e->{name} ended\n";
	});
}

# Ends it and gives its status: 0 if all went well
sub edge_stop
{
	my ($e) = @_;
	kill TERM => $e->{pid};
	my $gone = eval { wait_for("danelawd $e->{name} to end", sub { waitpid($e->{pid}, POSIX::WNOHANG()) == $e->{pid} }) };
	my $status = $gone ? $? : 'it does not end';
	kill KILL => $e->{pid} if !$gone;
	return $status;
}

# Asks a danelawd's control socket; the result
sub control
{
	my ($edge, $request) = @_;
	my $s = IO::Socket::UNIX->new(Peer => "$T/$edge.run/control.sock") or die "control socket: $!\n";
	print $s JSON::PP->new->encode($request), "\n";
	my $answer = JSON::PP->new->decode(scalar(readline $s) // '{}');
	return $answer->{result} // die "control: " . ($answer->{error} // 'no answer') . "\n";
}

# Something that the other side of a scene waits for
sub signal { my ($what) = @_; append("$T/farm/$scene->{n}.$what.signal", "\n") }

# The pin of a certificate's key, for tls = pin
sub pin { my ($cert) = @_; return `openssl x509 -in $T/tls/$cert.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` =~ s/ .*//sr }

# ---- the judgement ----

sub count_lines { my %n; $n{$_}++ for split /\n/, slurp($_[0]); return \%n }

# Messages owed and not kept
sub lost { my ($owed, $kept) = (count_lines("$T/owed"), count_lines("$T/kept")); return grep { $owed->{$_} > ($kept->{$_} // 0) } keys %$owed }

# Reasons for which the log has more or fewer lines than the counter says, once all sessions are over
sub disagreements
{
	my ($e) = @_;
	wait_for('all sessions to be over', sub { control($e->{name}, { verb => 'status' })->{sessions}{open} == 0 });
	my %lines;
	/ end=(\w+)/ and $lines{$1}++ for split /\n/, slurp("$T/$e->{name}.log");
	return map { "$_->{name}: counted $_->{count}, logged " . ($lines{$_->{name}} // 0) }
		grep { $_->{count} != ($lines{$_->{name}} // 0) } @{ control($e->{name}, { verb => 'counters' })->{ends} };
}

# Sessions of scenes that have not exactly one line
sub unclear
{
	my %lines;
	for my $e (@edges) {
		/ peer=(\S+) .*?\bend=/ and $lines{"$e->{name} $1"}++ for split /\n/, slurp("$T/$e->{name}.log");
	}
	my $ended = count_lines("$T/ended");
	return grep { ($lines{$_} // 0) != $ended->{$_} } keys %$ended;
}

# What sanitizers, valgrind and assert() say.  Of descriptors that are open at the end those it was given are not its
# own, and the two to and from the process that opens files for it are there until the end.
sub complaints
{
	my ($e) = @_;
	my $log = slurp("$T/$e->{name}.log");
	my @bad = grep { /Sanitizer|runtime error|Assertion|ERROR SUMMARY: [1-9]|(definitely|indirectly) lost: [1-9]|^==\d+== (Invalid|Conditional|Use of)/ } split /\n/, $log;
	push @bad, $1 while $log =~ /^==\d+== (Open [^\n]*\n==\d+==\s++(?!<inherited)(?!at [^\n]*(?:socketpair|dup2))[^\n]*)/mg;
	push @bad, 'memcheck did not come to its end' if $log =~ /Memcheck/ && $log !~ /ERROR SUMMARY/;
	return @bad;
}

# At once: a configuration may name what is in them
mkdir "$T/$_" for qw(tls farm result);
cert('mx', 'mx.example');
cert('other', 'other.example', '*.wild.example');
cert('backend', 'farm.example');

my $test = 0;

sub tap
{
	my ($good, $what, @why) = @_;
	$test++;
	print $good ? "ok $test - $what\n" : "not ok $test - $what\n";
	print map { "# $_\n" } grep { length } map { split /\n/ } @why if !$good;
}

sub play
{
	printf "1..%d\n", @scenes + 3 * @edges + 2;
	for my $f (@farms) {
		my ($host, $port) = $f->{at} =~ /^\[?([^\]]+)\]?:(\d+)$/;
		$f->{socket} = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Listen => $f->{backlog} // 500, ReuseAddr => 1)
			or die "$f->{at}: $@\n";
		$f->{set_up}->($f) if $f->{set_up};
		next if $f->{deaf};
		$f->{pid} = fork // die;
		farm_run($f) if !$f->{pid};
	}
	edge_start($_) for @edges;
	edge_ready($_) for @edges;
	play_all();
	for my $s (@scenes) {
		my $why = -e "$T/result/$s->{n}" ? slurp("$T/result/$s->{n}") : 'no result';
		tap($why eq '', $s->{name}, $why, $why eq '' ? () : ("the farm heard in scene $s->{n}:", map { s{.*/}{}r . ': ' . substr(slurp($_), -600) } grep { !/mail$|header$/ } glob "$T/farm/$s->{n}.*"));
	}
	for my $e (@edges) {
		my @differ = eval { disagreements($e) };
		tap(!@differ && !$@, "danelawd $e->{name} counts what it logs", @differ, $@);
		my $status = edge_stop($e);
		my @bad = complaints($e);
		tap($status eq '0', "danelawd $e->{name} ends by itself, status 0", "status $status", (split /\n/, slurp("$T/$e->{name}.log"))[-3 .. -1]);
		tap(!@bad, "danelawd $e->{name} has no complaint", @bad, @bad ? slurp("$T/$e->{name}.log") =~ /(==\d+==.*)/s : ());
	}
	kill KILL => $_->{pid} for grep { $_->{pid} } @farms;
	my @lost = lost();
	my $owed = () = slurp("$T/owed") =~ /\n/g;
	tap(!@lost, "$owed messages were answered 250, and each lies at the farm", @lost);
	my @unclear = unclear();
	my $ended = () = slurp("$T/ended") =~ /\n/g;
	tap(!@unclear, "$ended sessions, one line in the log each", @unclear);
	my $err = slurp("$T/farm.err");
	print map { "# $_\n" } split /\n/, $err if $err;
	system 'cp', '-r', "$T/.", $ENV{PEERS_KEEP} if $ENV{PEERS_KEEP};
	exit 0;
}

1;
