# SPDX-License-Identifier: BSD-2-Clause
#
# Backends that are down, refuse, hang, lie or close, at every place of a session; how a farm is shared out; and what
# of the client is told to it.  Run by 0720-bad-backends.sh; peers.pm tells how a scene is written.
use strict;
use warnings;
use peers;
use Digest::SHA 'sha1_hex';
use Socket qw(:all);

my @held;

# Its queue of connections is full for ever, so a SYN gets no answer
sub deafen
{
	my ($f) = @_;
	listen $f->{socket}, 0;
	push @held, map { IO::Socket::IP->new(PeerHost => '127.200.0.3', PeerPort => 2500, Blocking => 0) } 1 .. 4;
}

farm '127.200.0.1:2500', name => 'farm';
farm '127.200.0.2:2500', name => 'second';
farm '127.200.0.3:2500', name => 'deaf', deaf => 1, set_up => \&deafen;
farm '127.200.0.4:2500', name => 'v1', header => 'v1';
farm '127.200.0.5:2500', name => 'none', header => 'none';
farm '127.200.0.6:2500', name => 'xclient', header => 'xclient', caps => ['PIPELINING', 'XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT'];
farm '127.200.0.7:2500', name => 'tls', cert => 'backend', caps => [qw(PIPELINING STARTTLS)];
# 127.200.0.8:2500: nobody listens
farm '127.200.0.9:2500', name => 'ill', probe => \&probed;
farm '127.200.0.10:2500', name => 'refusing';
farm "127.200.1.$_:2500", name => "node$_" for 1 .. 4;

my $RARE = 'health { interval = 1h fall = 100 }'; # so that no probe interferes with what a scene does
my $TLS_PIN = 'tls = pin pin = { "' . pin('backend') . '" }';

sub backend { my ($name, $at, @more) = @_; return qq(backend "$name" { address = "$at:2500" @more }\n) }
sub pool { my ($name, $balance, @backends) = @_; return qq(pool "$name" { backends = { ) . join(', ', map { qq("$_") } @backends) . qq( } balance = $balance }\n) }
sub listener { my ($name, $port, $pool, @more) = @_; return qq(listener "$name" { address = { "$EDGE", "$EDGE6" } port = $port certificates = { "mx", "other" } pool = "$pool" @more }\n) }

edge 'farm', join '', $RARE, "\n", backend('farm', '127.200.0.1'), backend('second', '127.200.0.2'), backend('v1', '127.200.0.4', 'client-address = proxy-v1'),
	backend('none', '127.200.0.5', 'client-address = none'), backend('xclient', '127.200.0.6', 'client-address = xclient'),
	backend('tls', '127.200.0.7', $TLS_PIN), backend('down', '127.200.0.8'), backend('small', '127.200.0.1', 'proxy-budget = 52'),
	(map { pool($_, 'least-connections', $_) } qw(farm v1 none xclient tls down small)), pool('both', 'least-connections', 'farm', 'second'),
	listener('farm', 2700, 'farm'), listener('v1', 2701, 'v1'), listener('none', 2702, 'none'), listener('xclient', 2703, 'xclient'),
	listener('tls', 2704, 'tls'), listener('down', 2705, 'down'), listener('small', 2706, 'small'), listener('both', 2707, 'both');

my $LOST = qr/^451 4\.4\.2 mx\.example The mail server behind this one was lost/;
my $LOST_IDLE = qr/^421 4\.4\.2 mx\.example The mail server behind this one closed/;
my $NONE_AT_MAIL = qr/^451 4\.3\.2 mx\.example No mail server/;
my $NONE = qr/^421 4\.3\.2 mx\.example Service not available/;
my $MESSAGE = "Subject: x\r\n\r\nhello" . TAIL;

# A client that goes as far as it is told, in clear or in TLS; what it is answered there
sub client_to
{
	my ($place, $tls, $port) = @_;
	my $c = client($port // 2700)->greet($place eq 'EHLO' ? '' : $tls);
	if ($place eq 'EHLO') { $c->starttls; return ($c, $c->say("EHLO $c->{helo}\r\n")->reply) }
	return ($c, $c->say("MAIL FROM:<a\@sender.example>\r\n")->reply) if $place eq 'MAIL';
	$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^250/);
	return ($c, $c->say("RSET\r\n")->reply) if $place eq 'RSET';
	return ($c, $c->say("RCPT TO:<b\@good.example>\r\n")->reply) if $place eq 'RCPT';
	$c->ask("RCPT TO:<b\@good.example>\r\n", qr/^250/);
	return ($c, $c->say("BDAT 3\r\nabc")->reply) if $place eq 'BDAT';
	return ($c, $c->say("BDAT 3 LAST\r\nabc")->answer(qr/./, 'abc')) if $place eq 'BDAT LAST';
	return ($c, $c->say("QUIT\r\n")->reply) if $place eq 'QUIT';
	return ($c, $c->say("DATA\r\n")->reply) if $place eq 'DATA';
	$c->ask("DATA\r\n", qr/^354/);
	return ($c, $c->reply) if $place eq 'behind 354';
	if ($place eq 'the body') { $c->say('x' x 1000); signal('half'); return ($c, $c->reply) }
	return ($c, $c->final($MESSAGE, qr/./)); # the final dot
}

# A backend without fault up to a place, and what it then does instead
sub backend_to
{
	my ($place, $does) = @_;
	return sub {
		my $b = shift;
		$b->banner;
		if ($place eq 'EHLO') { $b->hear }
		elsif ($place =~ /^(MAIL|RSET|RCPT|DATA|BDAT|QUIT)/) { $b->until(qr/^$1/); $b->take_octets(3) if $place =~ /BDAT/ }
		else {
			$b->until(qr/^DATA/);
			$b->say("354 go\r\n");
			$b->take_octets(1000) if $place eq 'the body';
			$b->take_data if $place eq 'the final dot';
		}
		$does->($b);
	};
}

my @PLACES = ('EHLO', 'MAIL', 'RSET', 'RCPT', 'DATA', 'BDAT', 'BDAT LAST', 'QUIT', 'behind 354', 'the body', 'the final dot');
my %CLOSES = ('closes' => sub { $_[0]->close }, 'resets' => sub { $_[0]->reset });

sub no_mail { -e "$T/farm/$_[0]{n}.$_[0]{k}.mail" and die "the farm has a mail\n" }

for my $tls ('', 'tls') {
	my $in = $tls ? ', TLS' : '';
	for my $place (@PLACES) {
		next if $tls && $place eq 'EHLO'; # always in TLS
		my $route = $place eq 'EHLO';
		for my $how (sort keys %CLOSES) {
			scene "the backend $how at $place$in", ends => $route ? 'no_backend' : $place eq 'QUIT' ? 'quit' : 'backend_lost', backend => backend_to($place, $CLOSES{$how}), sub {
				my ($c, $reply) = client_to($place, $tls);
				like($reply, $route ? $NONE : $place eq 'QUIT' ? qr/^221 / : $LOST, 'the answer');
				$c->ended;
				no_mail($c);
			};
		}
		# RFC 5321 3.8: whatever was asked, it is closing
		scene "the backend says 421 at $place$in", ends => $route ? 'no_backend' : 'backend_421',
			backend => backend_to($place, sub { my $b = shift; $b->say("421 4.3.2 farm.example going down\r\n")->fin; $b->idle }), sub {
				my ($c, $reply) = client_to($place, $tls);
				like($reply, $route ? $NONE : qr/^421 4\.3\.2 farm\.example going down$/, 'the answer');
				$c->ended;
				no_mail($c);
			};
		next if $place =~ /354|body|QUIT/;
		for my $words ("HTTP/1.1 400 Bad Request\r\n", "\r\n", "250\0 ok\r\n", "99 ok\r\n", "600 ok\r\n", "250_ok\r\n", "250-one\r\n550 two\r\n", "250 ok\n", '250 ' . 'x' x 3000 . "\r\n", join('', map { "250-$_\r\n" } 1 .. 200)) {
			(my $name = $words) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
			$name = substr($name, 0, 30);
			next if $route && $words eq "250 ok\n"; # a bare LF in what a backend says before mail is forgiven
			scene "the backend answers $name at $place$in", ends => $route ? 'no_backend' : 'backend_protocol', backend => backend_to($place, sub { my $b = shift; $b->say($words); $b->idle }), sub {
				my ($c, $reply) = client_to($place, $tls);
				# where the lines of a good beginning are out, nothing of ours may make a whole reply of them
				like($reply, $route ? $NONE : $words =~ /^250-/ && $place ne 'EHLO' ? qr/^(250-\w+\n?)+$/ : $LOST, 'the answer');
				$c->ended;
				no_mail($c);
			};
		}
	}
}

scene 'the backend closes between two commands', ends => 'backend_lost', backend => backend_to('RSET', sub { my $b = shift; $b->say("250 ok\r\n"); $b->await('now'); $b->close }), sub {
	my ($c, $reply) = client_to('RSET', '');
	signal('now');
	$c->hears($LOST_IDLE);
	$c->ended;
};

scene 'the backend speaks unasked', ends => 'backend_protocol', backend => backend_to('RSET', sub { my $b = shift; $b->say("250 ok\r\n"); $b->await('now'); $b->say("250 and more\r\n"); $b->idle }), sub {
	my ($c, $reply) = client_to('RSET', 'tls');
	signal('now');
	$c->hears($LOST);
	$c->ended;
};

scene 'the backend answers twice', ends => 'backend_protocol', backend => backend_to('MAIL', sub { my $b = shift; $b->say("250 ok\r\n250 ok\r\n"); $b->idle }), sub {
	my ($c, $reply) = client_to('MAIL', '');
	like($reply, qr/^250 ok/, 'the first');
	$c->hears($LOST);
	$c->ended;
};

for my $words ("354 go\r\n250 2.0.0 kept\r\n", "354 go\r\n354 go\r\n250 2.0.0 kept\r\n") {
	(my $name = $words) =~ s/\r\n/, /g;
	scene "the backend answers DATA with $name and has no message", ends => 'backend_protocol', backend => backend_to('DATA', sub { my $b = shift; $b->say($words); $b->idle }), sub {
		my ($c, $reply) = client_to('DATA', '');
		like($reply, qr/^354/, 'DATA');
		$c->final($MESSAGE, $LOST);
		$c->ended;
	};
}

scene 'the backend takes a body that is not over', ends => 'backend_protocol', backend => backend_to('the body', sub { my $b = shift; $b->say("250 2.0.0 kept\r\n"); $b->idle }), sub {
	my ($c, $reply) = client_to('the body', 'tls');
	like($reply, $LOST, 'the answer');
	$c->ended;
};

scene 'the backend refuses a body before its end and reads on', ends => 'quit', backend => backend_to('the body', sub { my $b = shift; $b->say("552 5.3.4 too big\r\n"); $b->take_data; $b->serve }), sub {
	my $c = client(2700)->greet('tls')->data;
	$c->say('x' x 1000);
	$c->final($MESSAGE, qr/^552 5\.3\.4 too big$/);
	$c->mail->quit;
};

scene 'the backend refuses a body before its end and goes', ends => 'backend_lost', backend => backend_to('the body', sub { my $b = shift; $b->say("552 5.3.4 too big\r\n"); $b->fin; $b->idle }), sub {
	my ($c, $reply) = client_to('the body', '');
	like($reply, qr/^552 5\.3\.4 too big$/, 'its words');
	$c->ended;
};

scene 'a body refused at its end', ends => 'quit', backend => backend_to('the final dot', sub { my $b = shift; $b->say("550 5.7.1 spam\r\n"); $b->serve }), sub {
	my ($c, $reply) = client_to('the final dot', '');
	like($reply, qr/^550 5\.7\.1 spam$/, 'its words');
	$c->mail->quit;
};

# ---- STARTTLS towards the backend ----

scene 'the backend in TLS, its key pinned', ends => 'quit', sub {
	client(2704)->greet('tls')->mail->quit;
	like(log_line(0), qr/ backend_tls=pin /, 'the log');
};

for my $behind ("250-farm.example\r\n250 PIPELINING\r\n", 'x', "\x16") {
	(my $name = $behind) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	scene "the backend sends $name behind its 220 to STARTTLS", ends => 'no_backend', backend => sub {
			my $b = shift;
			$b->banner->until(qr/STARTTLS/);
			$b->say("220 go\r\n$behind");
			$b->idle;
		}, sub {
			my $c = client(2704)->greet;
			$c->ask("MAIL FROM:<a\@sender.example>\r\n", $NONE_AT_MAIL);
			$c->ended;
			like(log_line(0), qr/bytes behind the 220/, 'the log');
		};
}

# ---- the backend that refuses a client ----

for my $at ('its banner', 'EHLO') {
	for my $code (554, 421) {
		scene "the backend says $code at $at", ends => $code == 554 ? 'backend_refused' : 'no_backend', backend => sub {
				my $b = shift;
				$b->banner->hear if $at eq 'EHLO';
				$b->say("$code-5.7.1 farm.example\r\n$code 5.7.1 not you\r\n");
				$b->idle;
			}, sub {
				my $c = client(2700)->greet;
				$c->ask("MAIL FROM:<a\@sender.example>\r\n", $code == 554 ? qr/^554 5\.7\.1 not you$/ : $NONE_AT_MAIL);
				$c->ended;
			};
	}
}

# A client that the farm does not like must not take the farm away from all others
edge 'refusing', join '', 'health { interval = 1h fall = 2 }', "\n", backend('refusing', '127.200.0.10'), pool('farm', 'least-connections', 'refusing'), listener('farm', 2710, 'farm');

scene 'a client refused ten times, and one that is not', edge => 'refusing', ends => [('backend_refused') x 10, 'quit'], backend => sub {
		my $b = shift;
		if ($b->{k} < 10) { $b->say("554 5.7.1 not you\r\n")->fin; $b->idle } else { $b->banner->serve }
	}, sub {
		for (1 .. 10) {
			my $c = client(2710)->greet;
			$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^554 5\.7\.1 not you$/);
			$c->ended;
		}
		client(2710)->greet->mail->quit;
	};

# ---- the backend that is not there, or that hangs ----

edge 'hangs', join '', $RARE, "\ntimeouts { backend-connect = ", ms(1500), ' backend-banner = ', ms(1500), ' backend-reply = ', ms(1500), ' backend-final = ', ms(1500), " }\n",
	'limits { relay-buffer = 16k }', "\n",
	backend('farm', '127.200.0.1'), backend('deaf', '127.200.0.3'), backend('down', '127.200.0.8'), backend('second', '127.200.0.2'), backend('tls', '127.200.0.7', $TLS_PIN),
	pool('farm', 'least-connections', 'farm'), pool('deaf', 'least-connections', 'deaf'), pool('down', 'least-connections', 'down'), pool('tls', 'least-connections', 'tls'),
	pool('mixed', 'least-connections', 'down', 'deaf', 'farm', 'second'),
	listener('farm', 2720, 'farm'), listener('deaf', 2721, 'deaf'), listener('down', 2722, 'down'), listener('mixed', 2723, 'mixed'), listener('tls', 2724, 'tls');

for my $place (@PLACES) {
	my $route = $place eq 'EHLO';
	scene "the backend hangs at $place", edge => 'hangs', ends => $route ? 'no_backend' : $place =~ /354|body/ ? 'body_timeout|backend_timeout' : 'backend_timeout',
		backend => backend_to($place, sub { $place =~ /354|body/ ? $_[0]->still : $_[0]->idle }), $place =~ /354|body/ ? sub {
			# it takes no more than what the kernels hold: the client goes on until it is told to stop
			my $c = client(2720)->greet->data;
			signal('half');
			wait_for('an answer', sub { 1 while $c->push_raw('x' x 65536); $c->ready(0, Time::HiRes::time() + 0.05) });
			$c->hears($LOST);
			1 while $c->more;
			no_mail($c);
		} : sub {
			my ($c, $reply) = client_to($place, 'tls', 2720);
			like($reply, $route ? $NONE : $place =~ /dot|LAST/ ? $LOST : $LOST_IDLE, 'the answer');
			$c->ended;
			no_mail($c);
		};
}

for my $place ('at its banner', 'behind 220 to STARTTLS') {
	scene "the backend hangs $place", edge => 'hangs', ends => 'no_backend', backend => sub {
			my $b = shift;
			if ($place ne 'at its banner') { $b->banner->until(qr/STARTTLS/); $b->say("220 go\r\n") }
			$b->idle;
		}, sub {
			my $c = client($place eq 'at its banner' ? 2720 : 2724)->greet;
			$c->ask("MAIL FROM:<a\@sender.example>\r\n", $NONE_AT_MAIL);
			$c->ended;
		};
}

for my $which (['refuses', 2722], ['hangs at connect', 2721]) {
	my ($what, $port) = @$which;
	families "the only backend $what", edge => 'hangs', ends => ['no_backend', 'no_backend'], sub {
		my $c = client($port)->greet;
		$c->ask("MAIL FROM:<a\@sender.example>\r\n", $NONE_AT_MAIL);
		$c->ended;
		$c = client($port)->greet;
		$c->starttls->ask("EHLO $c->{helo}\r\n", $NONE);
		$c->ended;
	};
}

scene 'one refuses, one hangs at connect, one at its banner: the fourth takes the mail', edge => 'hangs', ends => 'quit',
	backend => sub {
		my $b = shift;
		# whichever of the two is asked first hangs
		my $first = sysopen(my $f, "$T/farm/$b->{n}.first", Fcntl::O_CREAT() | Fcntl::O_EXCL());
		$first ? $b->idle : $b->banner->serve;
	},
	sub {
		client(2723)->greet('tls')->mail->quit;
		like(log_line(0), qr/ backend=(farm|second) /, 'the log');
	};

scene 'the first refuses by 421, the second takes the mail', ends => 'quit', backend => sub {
		my $b = shift;
		my $first = sysopen(my $f, "$T/farm/$b->{n}.first", Fcntl::O_CREAT() | Fcntl::O_EXCL());
		if ($first) { $b->say("421 busy\r\n")->fin; $b->idle } else { $b->banner->serve }
	}, sub { client(2707)->greet->mail->quit };

# ---- slow both ways: what is held has a bound ----

edge 'stuck', join '', $RARE, "\nlimits { relay-buffer = 16k }\n", backend('farm', '127.200.0.1'), pool('farm', 'least-connections', 'farm'), listener('farm', 2730, 'farm');

sub memory
{
	my ($pid) = map { $_->{pid} } grep { $_->{name} eq 'stuck' } peers::edges();
	my $kb = 0;
	$kb += $_ for peers::slurp("/proc/$pid/smaps_rollup") =~ /^Pss_(?:Anon|Shmem): +(\d+)/mg;
	return $kb * 1024;
}

# Octets pushed until danelawd takes no more: it was asked ten times in between and had nothing to do
sub push_until_full
{
	my ($c, $data, $most) = @_;
	my ($sum, $idle) = (0, 0);
	while ($idle < 10) {
		my $n = $c->push_raw($data);
		$sum += $n;
		$idle = $n ? 0 : $idle + 1;
		$sum < $most or die "danelawd took $sum octets and there is no end\n";
		peers::control('stuck', { verb => 'sessions', limit => 1 }) if !$n;
	}
	return $sum;
}

scene 'both ways blocked: fifty sessions, what each makes danelawd hold', edge => 'stuck', ends => [('client_reset') x 51], backend => sub {
		my $b = shift;
		$b->banner->until(qr/^DATA/);
		$b->say("354 go\r\n");
		$b->await('over');
		$b->take_data;
		$b->idle;
	}, sub {
		my @c = map { client(2730)->greet->data } 0; # pools and arenas have their size
		my $before = memory();
		push @c, map { my $c = client(2730)->greet->data; push_until_full($c, 'x' x 65536, 4_000_000); $c } 1 .. 50;
		my $each = (memory() - $before) / 50;
		# relay-buffer each way, one receive of a body, what the session and its TLS need
		$ENV{PEERS_SLOW} || $each < 2 * 16384 + 65536 + 16384 or die "$each octets a session\n";
		$_->reset for @c;
		signal('over');
	};

scene 'a backend that does not read for a while: nothing is lost', edge => 'stuck', ends => 'quit', backend => sub {
		my $b = shift;
		$b->banner->until(qr/^DATA/);
		$b->say("354 go\r\n")->await('full');
		$b->accept($b->take_data);
		$b->serve;
	}, sub {
		my $c = client(2730)->greet->data;
		my ($whole, $at) = (('x' x 998 . "\r\n") x 600 . TAIL, 0);
		$c->waits('backend takes body', sub { while (my $n = $c->push_raw(substr $whole, $at)) { $at += $n } });
		signal('full');
		$c->final(substr($whole, $at), qr/^250 2\.0\.0 kept/, $whole);
		$c->mail->quit;
	};

scene 'a STARTTLS that has to wait, with megabytes behind it', edge => 'stuck', ends => 'starttls_injection', backend => sub {
		my $b = shift;
		$b->banner->until(qr/^MAIL/);
		$b->await('over');
		$b->say("550 no\r\n");
		$b->idle;
	}, sub {
		my $c = client(2730)->greet;
		$c->say("MAIL FROM:<a\@sender.example>\r\nSTARTTLS\r\n")->waits('backend reply');
		push_until_full($c, "NOOP\r\n" x 10000, 4_000_000);
		signal('over');
		$c->hears(qr/^550 no/);
		$c->hears(qr/^554 5\.5\.0/);
		1 while $c->more;
	};

# ---- ejection and return ----

# A probe's answer stands in a script, a line each; behind its end all is well
sub probed
{
	my ($b) = @_;
	open my $f, '+<', "$T/probes" or do { $b->banner->serve };
	flock $f, 2;
	my @script = <$f>;
	chomp(my $verdict = shift @script // 'good');
	seek $f, 0, 0;
	truncate $f, 0;
	print $f @script;
	CORE::close $f;
	if ($verdict =~ /good/) { $b->banner->serve } else { $b->say("421 $verdict")->say("\r\n")->fin; $b->idle }
}

edge 'health', join '', 'health { interval = ', ms(200), " fall = 3 rise = 4 }\n", backend('ill', '127.200.0.9'), pool('farm', 'least-connections', 'ill'), listener('farm', 2740, 'farm');

sub healths { return join ' ', map { / is (up|out)/ } split /\n/, peers::slurp("$T/health.log") }

scene 'ejection and return have hysteresis', edge => 'health', ends => ['quit', 'no_backend', 'quit'], sub {
	wait_for('the first probe', sub { healths() eq 'up' });
	client(2740)->greet->mail->quit;
	# two bad ones do not take it out; three do; three good ones do not bring it back, four do
	open my $f, '>', "$T/probes.new";
	print $f map { "$_\n" } qw(bad1 bad2 good bad3 bad4 good bad5 bad6 bad7 good good good bad8 good good good good);
	CORE::close $f;
	rename "$T/probes.new", "$T/probes";
	wait_for('ejection', sub { healths() eq 'up out' });
	my $c = client(2740);
	$c->hears($NONE);
	$c->ended;
	wait_for('return', sub { healths() eq 'up out up' });
	client(2740)->greet('tls')->mail->quit;
	is(healths(), 'up out up', 'what became of it');
	my @log = split /\n/, peers::slurp("$T/health.log");
	like((grep { / is out/ } @log)[0], qr/421 bad7/, 'the probe that took it out');
	is(-s "$T/probes", 0, 'probes left in the script at the return');
};

# ---- how sessions are shared out ----

# of its own: the load of a backend is that of all listeners together
edge 'least', join '', $RARE, "\n", (map { backend("node$_", "127.200.1.$_", 'weight = ' . ($_ == 3 ? 2 : 1)) } 1 .. 3),
	pool('least', 'least-connections', map { "node$_" } 1 .. 3), listener('least', 2753, 'least');
edge 'shares', join '', $RARE, "\n", (map { backend("node$_", "127.200.1.$_", 'weight = ' . ($_ == 3 ? 2 : 1)) } 1 .. 4),
	pool('hash', 'client-hash', map { "node$_" } 1 .. 3), pool('fewer', 'client-hash', 'node1', 'node3'),
	listener('hash', 2751, 'hash'), listener('fewer', 2752, 'fewer');

scene 'weighted least connections', edge => 'least', ends => 'client_closed', sub {
	my (@c, %n);
	for (1 .. 40) {
		my $c = client(2753)->greet('tls');
		push @c, $c;
	}
	for my $k (0 .. 39) { my ($at) = seen($k) =~ /at (node\d)/; $n{$at}++ }
	is(join(' ', map { "$_ $n{$_}" } sort keys %n), 'node1 10 node2 10 node3 20', 'forty sessions at once over weights 1, 1, 2');
	$_->fin for @c;
	1 while grep { $_->pull } @c;
};

scene 'by the client\'s address, whichever the others are', edge => 'shares', ends => 'client_closed', sub {
	my %n;
	for (1 .. 80) {
		my $c = client(2751)->greet('tls');
		my ($at) = seen($c->{k}) =~ /at (node\d)/;
		$n{$at}++;
		$c->fin->ended;
		for my $port (2751, 2752) {
			my $again = client($port, from => $c->{from})->greet('tls');
			my ($now) = seen($c->{k}) =~ /.*at (node\d)/s;
			is($now, $at, 'the same client') if $port == 2751 || $at ne 'node2';
			like($now, qr/node[13]/, 'a client of the one that is missing') if $port == 2752;
			$again->fin->ended;
			ends($c->{k}, 'client_closed');
		}
	}
	# 20, 20, 40 with a standard deviation of 4; the addresses are the same in every run
	abs($n{node1} - 20) < 12 && abs($n{node2} - 20) < 12 && abs($n{node3} - 40) < 14 or die "shares: $n{node1} $n{node2} $n{node3}\n";
};

# ---- what the backend is told of the client ----

sub crc32c
{
	my ($data) = @_;
	my $crc = 0xffffffff;
	for my $byte (unpack 'C*', $data) {
		$crc ^= $byte;
		$crc = $crc & 1 ? $crc >> 1 ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xffffffff;
}

# A header of version 2 taken apart: addresses and ports, then TLVs; its CRC is right
sub parse_v2
{
	my ($h) = @_;
	is(substr($h, 0, 12), "\r\n\r\n\0\r\nQUIT\n", 'the signature');
	is(ord(substr $h, 12, 1), 0x21, 'version and command');
	my $v4 = ord(substr $h, 13, 1) == 0x11;
	is(unpack('n', substr $h, 14, 2) + 16, length $h, 'the length');
	my $n = $v4 ? 4 : 16;
	my ($src, $dst) = map { inet_ntop($v4 ? AF_INET : AF_INET6, substr $h, 16 + $_ * $n, $n) } 0, 1;
	my %f = (src => $src, dst => $dst, ports => join(' ', unpack 'n2', substr $h, 16 + 2 * $n, 4));
	my $walk;
	$walk = sub {
		my ($rest, $at) = @_;
		while (length $rest) {
			my ($type, $len) = unpack 'Cn', $rest;
			my $value = substr $rest, 3, $len;
			$f{sprintf '%02x', $type} = $value;
			$f{crc_at} = $at + 3 if $type == 3;
			$walk->(substr($value, 5), $at + 8), $f{client} = ord $value, $f{verify} = unpack 'N', substr $value, 1, 4 if $type == 0x20;
			substr($rest, 0, 3 + $len) = '';
			$at += 3 + $len;
		}
	};
	my $tlvs = 16 + 2 * $n + 4;
	$walk->(substr($h, $tlvs), $tlvs);
	if (defined $f{crc_at}) {
		my $zeroed = $h;
		substr($zeroed, $f{crc_at}, 4) = "\0\0\0\0";
		is(unpack('N', $f{'03'}), crc32c($zeroed), 'the CRC32C');
	}
	return \%f;
}

sub header { my ($c) = @_; return peers::slurp("$T/farm/$c->{n}.$c->{k}.header") }

families 'PROXY version 2, in clear', ends => 'quit', sub {
	my $c = client(2700)->greet;
	my $port = $c->{s}->sockport;
	$c->mail->quit;
	my $f = parse_v2(header($c));
	is("$f->{src} $f->{dst} $f->{ports}", "$c->{from} " . (family() == 6 ? $EDGE6 : $EDGE) . " $port 2700", 'who and where');
	exists $f->{20} and die "it tells of TLS\n";
};

families 'PROXY version 2, in TLS', ends => 'quit', sub {
	my $c = client(2700)->greet('tls', sni => 'a.wild.example', alpn => ['smtp'], version => 0x0304);
	my $cipher = Net::SSLeay::get_cipher($c->{tls});
	$c->mail->quit;
	my $f = parse_v2(header($c));
	is(join(' ', map { $f->{$_} // '-' } qw(src 01 02 21 23 22 client verify)), "$c->{from} smtp a.wild.example TLSv1.3 $cipher - 1 1", 'what it tells');
};

scene 'PROXY version 2: a name too long for the budget of 232 octets', ends => 'quit', sub {
	my $c = client(2700)->greet('tls', sni => join('.', ('x' x 60) x 4) . '.example', version => 0x0303);
	$c->mail->quit;
	length header($c) <= 232 or die 'a header of ' . length(header($c)) . " octets\n";
	my $f = parse_v2(header($c));
	exists $f->{'02'} and die "the name is in it\n";
	like($f->{21}, qr/^TLSv1\.2$/, 'the version of TLS');
};

scene 'PROXY version 2: a name that just fits', ends => 'quit', sub {
	my $c = client(2700)->greet('tls', sni => 'x' x 100, version => 0x0303);
	$c->mail->quit;
	is(parse_v2(header($c))->{'02'}, 'x' x 100, 'the name');
};

families 'PROXY version 2: a budget of 52 octets', ends => 'quit', sub {
	my $c = client(2706)->greet('tls', sni => 'other.example', alpn => ['smtp']);
	$c->mail->quit;
	length header($c) <= 52 or die 'a header of ' . length(header($c)) . " octets\n";
	is(parse_v2(header($c))->{src}, $c->{from}, 'the address');
};

families 'PROXY version 1', ends => 'quit', sub {
	my $c = client(2701)->greet('tls');
	my $port = $c->{s}->sockport;
	$c->mail->quit;
	my $six = family() == 6;
	is(header($c), 'PROXY TCP' . ($six ? 6 : 4) . " $c->{from} " . ($six ? $EDGE6 : $EDGE) . " $port 2701\r\n", 'the header');
};

families 'XCLIENT', ends => 'quit', sub {
	my $c = client(2703)->greet('tls');
	my $port = $c->{s}->sockport;
	$c->mail->quit;
	my $six = family() == 6;
	my @x = seen(0) =~ /^XCLIENT (.*)$/mg;
	my %x = map { split /=/, $_, 2 } map { split / / } @x;
	is($x{ADDR}, ($six ? 'IPV6:' : '') . $c->{from}, 'ADDR');
	is("$x{PORT} $x{PROTO} $x{HELO}", "$port ESMTP $c->{helo}", 'the others');
	like(seen(0), qr/XCLIENT.*^EHLO $c->{helo}$/sm, 'EHLO again behind it');
};

scene 'none: nothing is told', ends => 'quit', sub {
	my $c = client(2702)->greet('tls');
	$c->mail->quit;
	seen(0) =~ /PROXY|XCLIENT/ and die "it is told\n";
};

# ---- out of descriptors ----

edge 'poor', join('', $RARE, "\nlimits { sessions = 1000 }\n", backend('farm', '127.200.0.1'), pool('farm', 'least-connections', 'farm'), listener('farm', 2760, 'farm')),
	wrap => ['prlimit', '--nofile=64:64'];
edge 'full', join('', $RARE, "\nlimits { sessions = 10 }\n", backend('farm', '127.200.0.1'), pool('farm', 'least-connections', 'farm'), listener('farm', 2770, 'farm'));

my $BUSY = qr/^421 4\.7\.0 mx\.example Too many connections/;

# Opens sessions until one is turned away; those that stand
sub until_full
{
	my ($port, $most) = @_;
	my @c;
	while (1) {
		@c < $most or die "$most sessions, and none is turned away\n";
		my $c = client($port);
		my $reply = $c->reply;
		if ($reply !~ /^220/) { like($reply, $BUSY, 'the answer to one too many'); $c->ended; return @c }
		push @c, $c;
	}
}

for my $which (['poor', 2760, 'descriptors_full', 64], ['full', 2770, 'sessions_full', 11]) {
	my ($edge, $port, $reason, $most) = @$which;
	scene "$reason: turned away by 421, and taken again once there is room", edge => $edge, sub {
		my @c = until_full($port, $most);
		my $turned = @c;
		for (1 .. 5) { my $c = client($port); $c->hears($BUSY); $c->ended }
		# one that stands wants a backend
		if ($edge eq 'poor') {
			$c[0]->ehlo;
			$c[0]->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^421 4\.3\.0 mx\.example Local error/);
			$c[0]->ended;
			ends(0, 'descriptors_full');
		}
		$_->fin->ended for @c[1 .. $#c];
		ends($_, 'client_closed') for 1 .. $#c;
		ends($_, $reason) for $turned .. $turned + 5;
		$c[0]->fin->ended, ends(0, 'client_closed') if $edge ne 'poor';
		for (1 .. 3) { my $c = client($port)->greet('tls'); $c->mail->quit; ends($c->{k}, 'quit') }
	};
}

play;
