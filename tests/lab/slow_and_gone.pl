# SPDX-License-Identifier: BSD-2-Clause
#
# Clients that are slow, and clients that go: in every state, over both families.  Run by 0710-slow-and-gone.sh;
# peers.pm tells how a scene is written.
#
# Time decides nothing here: a danelawd has one short time-out and all others long; a slow client goes on until it is
# thrown out, and what is looked at is the reason.
use strict;
use warnings;
use peers;

farm '127.200.0.1:2500', name => 'farm';
farm '127.200.0.2:2500', name => 'TLS farm', cert => 'backend', caps => [qw(PIPELINING STARTTLS)];
# Its queue of connections is full for ever, so a SYN gets no answer
farm '127.200.0.3:2500', name => 'deaf', deaf => 1, set_up => \&deafen;

my @held;

sub deafen
{
	my ($f) = @_;
	listen $f->{socket}, 0;
	for (1 .. 4) {
		my $s = IO::Socket::IP->new(PeerHost => '127.200.0.3', PeerPort => 2500, Blocking => 0);
		push @held, $s;
	}
}

# A danelawd whose listeners start at this port: plain, behind a balancer, with a greet delay
sub edge_with
{
	my ($name, $port, $timeouts, %o) = @_;
	my ($more, $pools) = ($o{more} // '', $o{pools} // '');
	my @kinds = (['plain', ''], ['balancer', 'proxy = required proxy-from = { "127.0.0.0/8", "fd00::/16" }'], ['delayed', 'greet-delay = 50s'], @{ $o{kinds} || [] });
	my $listeners = join '', map {
		my ($kind, $settings) = @$_;
		$settings = "pool = \"farm\" $settings" if $settings !~ /pool/;
		qq(listener "$kind" { address = { "$EDGE", "$EDGE6" } port = @{[ $port++ ]} certificates = { "mx" } $settings }\n)
	} @kinds;
	edge $name, <<"END";
health { interval = 1h fall = 100 }
timeouts { $timeouts }
$more
backend "farm" { address = "127.200.0.1:2500" }
pool "farm" { backends = { "farm" } }
$pools
$listeners
END
}

# One octet at a time until danelawd has had enough
sub drip
{
	my ($c, $text, $how) = @_;
	for (split //, $text) {
		$how ? $how->($_) : $c->raw($_);
		last if $c->{over} || $c->ready(0, Time::HiRes::time() + 0.1);
	}
	$c->{over} || $c->ready(0, Time::HiRes::time() + 0.1) or die "all was sent and nobody minded\n";
	return $c;
}

my $LONG = 'x' x 600; # a minute's worth, or more

sub no_mail
{
	my ($c) = @_;
	-e "$T/farm/$c->{n}.$c->{k}.mail" and die "the farm has a mail\n";
}

# What the farm saw in the end of a connection whose message is not to be kept
sub farm_reset
{
	my ($c) = @_;
	wait_for('the farm to see the end', sub { seen($c->{k}) =~ /the end: reset/ });
	no_mail($c);
}

# ---- slow: the PROXY header ----

edge_with('slow-header', 2600, 'proxy-header = ' . ms(1000));

families 'an octet at a time: PROXY header', edge => 'slow-header', ends => 'proxy_header', sub {
	my $c = client(2601);
	drip($c, 'PROXY UNKNOWN ' . 'x' x 80)->ended;
	is(seen(0), '', 'the farm');
};

families 'silence where a PROXY header belongs', edge => 'slow-header', ends => 'proxy_header', sub { client(2601)->ended };

# ---- slow: commands ----

edge_with('slow-command', 2610, 'command = ' . ms(2000));

my $TIMEOUT = qr/^421 4\.4\.2 mx\.example Timeout/;

families 'silence behind the banner', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610)->banner;
	$c->hears($TIMEOUT);
	$c->ended;
};

families 'an octet at a time: from the first on, banner or not', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610);
	$c->raw('E');
	$c->banner;
	drip($c, "HLO $LONG")->hears($TIMEOUT);
	$c->ended;
};

families 'an octet at a time: a command', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610)->greet;
	drip($c, "NOOP $LONG")->hears($TIMEOUT);
	$c->ended;
};

families 'an octet at a time: a command in TLS, a record each', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610)->greet('tls');
	drip($c, "NOOP $LONG", sub { $c->say($_[0]) })->hears($TIMEOUT);
	$c->ended;
};

families 'an octet at a time: a TLS record', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610)->greet('tls');
	drip($c, "\x17\x03\x03\x10\x00$LONG");
	1 while $c->pull;
};

scene 'an octet at a time: the rest of a line too long', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610)->greet;
	$c->ask('x' x 2100, qr/^500 5\.5\.2/);
	drip($c, $LONG)->hears($TIMEOUT);
	$c->ended;
};

scene 'silence inside a transaction: the farm keeps nothing', edge => 'slow-command', ends => 'idle_timeout', sub {
	my $c = client(2610)->greet('tls');
	$c->envelope;
	$c->hears($TIMEOUT);
	farm_reset($c);
};

# ---- slow: the handshake ----

edge_with('slow-handshake', 2620, 'handshake = ' . ms(2000));

sub before_hello
{
	my $c = client(shift)->banner;
	$c->ehlo;
	$c->ask("STARTTLS\r\n", qr/^220 /);
	$c->tls_new(@_)->tls_step;
	return $c;
}

families 'an octet at a time: the ClientHello', edge => 'slow-handshake', ends => 'handshake_timeout', sub {
	my $c = before_hello(2620);
	# a ClientHello of 4,096 octets, so that it takes longer than anyone waits
	drip($c, "\x16\x03\x01\x10\x00\x01\x00\x0f\xfc\x03\x03$LONG")->ended;
};

families 'silence where a ClientHello belongs', edge => 'slow-handshake', ends => 'handshake_timeout', sub { before_hello(2620)->ended };

for my $version (0x0303, 0x0304) {
	families sprintf('silence behind the ServerHello, TLS %s', $version == 0x0304 ? '1.3' : '1.2'), edge => 'slow-handshake', ends => 'handshake_timeout', sub {
		my $c = before_hello(2620, version => $version);
		$c->raw($c->take_tls);
		1 while $c->pull;
	};
	families sprintf('an octet at a time: the last flight of the handshake, TLS %s', $version == 0x0304 ? '1.3' : '1.2'), edge => 'slow-handshake', ends => 'handshake_timeout', sub {
		my $c = before_hello(2620, version => $version);
		$c->raw($c->take_tls);
		my $flight = '';
		while ($flight eq '') { $c->pull or die "lost\n"; $c->tls_step; $flight = $c->take_tls }
		# all but the last octet, and then no more of it
		for (split //, substr $flight, 0, -1) { $c->raw($_)->taken }
		1 while $c->pull;
	};
}

# ---- slow: bodies ----

edge_with('slow-body', 2630, 'body-block = ' . ms(2000));

for my $tls ('', 'tls') {
	my $in = $tls ? ', TLS' : '';
	families "an octet at a time: a body$in", edge => 'slow-body', ends => 'body_timeout', sub {
		my $c = client(2630)->greet($tls)->data;
		drip($c, $LONG, sub { $c->say($_[0]) })->hears($TIMEOUT);
		farm_reset($c);
	};
	families "an octet at a time: a chunk$in", edge => 'slow-body', ends => 'body_timeout', sub {
		my $c = client(2630)->greet($tls)->envelope;
		$c->say("BDAT 100000 LAST\r\n");
		drip($c, $LONG, sub { $c->say($_[0]) })->hears($TIMEOUT);
		farm_reset($c);
	};
	scene "silence in the middle of a body$in", edge => 'slow-body', ends => 'body_timeout', sub {
		my $c = client(2630)->greet($tls)->data;
		$c->say('x' x 100000)->hears($TIMEOUT);
		farm_reset($c);
	};
	scene "silence before the last octet of the end of data$in", edge => 'slow-body', ends => 'body_timeout', sub {
		my $c = client(2630)->greet($tls)->data;
		$c->say("Subject: x\r\n\r\nx\r\n.\r")->hears($TIMEOUT);
		farm_reset($c);
	};
	scene "an octet at a time: the rest of a body that is refused$in", edge => 'slow-body', ends => 'body_timeout', sub {
		my $c = client(2630)->greet($tls)->data;
		$c->say("a bare\nnewline\r\n");
		drip($c, $LONG, sub { $c->say($_[0]) })->hears($TIMEOUT);
		farm_reset($c);
	};
	scene "an octet at a time: the octets of a BDAT that is refused$in", edge => 'slow-body', ends => 'body_timeout', sub {
		my $c = client(2630)->greet($tls);
		$c->say("BDAT 100000 LAST\r\n");
		drip($c, $LONG, sub { $c->say($_[0]) })->hears($TIMEOUT);
		$c->ended;
	};
}

# ---- slow: readers ----

edge_with('slow-reader', 2640, 'client-write = ' . ms(2000), more => 'limits { relay-buffer = 16k pipelined = 100 }');

for my $tls ('', 'tls') {
	families 'a client that never reads' . ($tls && ', TLS'), edge => 'slow-reader', ends => 'write_timeout', sub {
		my $c = client(2640)->greet($tls);
		my $some = 'HELP ' . 'x' x 20 . "\r\n";
		if ($tls) { Net::SSLeay::write($c->{tls}, $some x 500) for 1 .. 100; $some = $c->take_tls } else { $some x= 60000 }
		# until nothing more is taken, or nobody is there to take it
		$c->{s}->blocking(1);
		local $SIG{PIPE} = 'IGNORE';
		while (length $some) {
			my $n = syswrite $c->{s}, $some, 65536 or last;
			substr($some, 0, $n) = '';
		}
		log_line(0);
	};
}

# ---- gone: reset and half-close in every state ----

edge_with('gone', 2650, 'linger = 50s proxy-header = 1m handshake = 10m', kinds => [['tls-farm', 'pool = "tls"'], ['deaf-farm', 'pool = "deaf"']],
	more => 'limits { relay-buffer = 16k }', pools => <<"END");
backend "tls" { address = "127.200.0.2:2500" tls = pin pin = { "@{[ pin('backend') ]}" } }
pool "tls" { backends = { "tls" } }
backend "deaf" { address = "127.200.0.3:2500" }
pool "deaf" { backends = { "deaf" } }
END
my ($PLAIN, $BALANCER, $DELAYED, $TLS_FARM, $DEAF_FARM) = 2650 .. 2654;

# name => [how to get there, the end after reset, after FIN]; the backend's side where it is not a good one; after:
# what then happens, for states in which danelawd waits for its backend and not for the client
my %STATES = (
	'a PROXY header' => [sub { client($BALANCER)->raw('PROXY TCP4 ')->waits('PROXY header')->taken }, 'client_reset', 'client_aborted'],
	'no PROXY header yet' => [sub { client($BALANCER)->waits('PROXY header') }, 'client_reset', 'client_aborted'],
	'the greet delay' => [sub { client($DELAYED)->waits('greet delay') }, 'client_reset', 'client_closed'],
	'the banner was read' => [sub { client($PLAIN)->banner->waits('command') }, 'client_reset', 'client_closed'],
	'half a command' => [sub { client($PLAIN)->banner->raw('EHL')->taken }, 'client_reset', 'client_aborted'],
	'half a line too long' => [sub { my $c = client($PLAIN)->banner; $c->ask('x' x 2100, qr/^500/); $c }, 'client_reset', 'client_closed'],
	'EHLO was answered' => [sub { client($PLAIN)->greet }, 'client_reset', 'client_closed'],
	'STARTTLS was answered' => [sub { before_hello($PLAIN)->waits('handshake') }, 'client_reset', 'client_aborted'],
	'half a ClientHello' => [sub { my $c = before_hello($PLAIN); $c->raw(substr $c->take_tls, 0, 100)->taken }, 'client_reset', 'client_aborted'],
	'the ServerHello came' => [sub { my $c = before_hello($PLAIN); $c->raw($c->take_tls); $c->pull; $c }, 'client_reset', 'client_aborted'],
	'TLS stands' => [sub { my $c = client($PLAIN)->greet; $c->starttls }, 'client_reset', 'client_closed'],
	'EHLO was answered in TLS' => [sub { client($PLAIN)->greet('tls') }, 'client_reset', 'client_closed'],
	'half a TLS record' => [sub { client($PLAIN)->greet('tls')->raw("\x17\x03\x03\x01\x00xxx")->taken }, 'client_reset', 'client_closed'],
	'a transaction is open' => [sub { client($PLAIN)->greet->envelope }, 'client_reset', 'client_aborted'],
	'354 was answered' => [sub { client($PLAIN)->greet->data }, 'client_reset', 'client_aborted'],
	'half a body' => [sub { client($PLAIN)->greet('tls')->data->say("Subject: x\r\n\r\nx\r\n.\r")->taken }, 'client_reset', 'client_aborted'],
	'half a body that is refused' => [sub { client($PLAIN)->greet->data->say("a bare\nnewline")->taken }, 'client_reset', 'client_aborted'],
	'half a chunk' => [sub { client($PLAIN)->greet->envelope->say("BDAT 10 LAST\r\n123456789")->taken }, 'client_reset', 'client_aborted'],
	'half a chunk that is refused' => [sub { client($PLAIN)->greet->say("BDAT 10 LAST\r\n123456789")->taken }, 'client_reset', 'client_aborted'],
	'a chunk was taken' => [sub { my $c = client($PLAIN)->greet->envelope; $c->ask("BDAT 3\r\nabc", qr/^250/); $c }, 'client_reset', 'client_aborted'],
	'221 was answered' => [sub { my $c = client($PLAIN)->greet; $c->ask("QUIT\r\n", qr/^221/); $c }, 'quit', 'quit'],
	'554 was answered' => [sub { my $c = client($PLAIN)->banner; $c->ask("GET /\r\n", qr/^554/); $c }, 'not_smtp', 'not_smtp'],
);

# States in which danelawd waits for its backend: the backend stands still until the client is gone
sub stuck { my ($b, @then) = @_; $b->await('gone'); $_->($b) for @then }
my $finish = sub { $_[0]->serve };

my %STUCK = (
	'the backend has no banner yet' => [sub { my $c = client($PLAIN)->greet; $c->say("MAIL FROM:<a\@b.example>\r\n")->waits('backend banner') },
		sub { my $b = shift; stuck($b, sub { $b->banner->serve }) }],
	'the backend has not answered EHLO' => [sub { my $c = client($PLAIN)->banner; $c->ehlo; $c->starttls; $c->say("EHLO $c->{helo}\r\n")->waits('backend banner') },
		sub { my $b = shift; $b->banner->hear; stuck($b, sub { $b->say($b->{caps})->serve }) }, 'client_reset', 'client_closed'],
	'the backend has not answered STARTTLS' => [sub { my $c = client($TLS_FARM)->greet; $c->say("MAIL FROM:<a\@b.example>\r\n")->waits('backend banner') },
		sub { my $b = shift; $b->banner->until(qr/STARTTLS/); stuck($b, sub { $b->say("220 go\r\n")->tls_new(server => 'backend')->handshake; $b->serve }) }],
	'the backend says nothing in its handshake' => [sub { my $c = client($TLS_FARM)->greet; $c->say("MAIL FROM:<a\@b.example>\r\n")->waits('backend banner') },
		sub { my $b = shift; $b->banner->until(qr/STARTTLS/); $b->say("220 go\r\n"); stuck($b, sub { $b->tls_new(server => 'backend')->handshake; $b->serve }) }],
	'the backend has not answered MAIL' => [sub { my $c = client($PLAIN)->greet; $c->say("MAIL FROM:<a\@b.example>\r\n")->waits('backend reply') },
		sub { my $b = shift; $b->banner->until(qr/MAIL/); stuck($b, sub { $b->say("250 ok\r\n")->serve }) }],
	'the backend has not answered DATA' => [sub { my $c = client($PLAIN)->greet('tls')->envelope; $c->say("DATA\r\n")->waits('backend reply') },
		sub { my $b = shift; $b->banner->until(qr/DATA/); stuck($b, sub { $b->say("354 go\r\n")->take_data; $b->idle }) }],
	'the backend has not answered QUIT' => [sub { my $c = client($PLAIN)->greet->envelope; $c->say("QUIT\r\n")->waits('backend reply') },
		sub { my $b = shift; $b->banner->until(qr/QUIT/); stuck($b, sub { $b->say("221 bye\r\n")->idle }) }, ['quit', 'client_reset'], 'quit'],
	'the backend takes no more of a body' => [sub { client($PLAIN)->greet->data->waits('backend takes body', sub { 1 while $_[0]->push_raw('x' x 65536) }) },
		sub { my $b = shift; $b->banner->until(qr/DATA/); $b->say("354 go\r\n"); stuck($b, sub { $b->take_data; $b->idle }) }],
);

# How the other end of danelawd learns that the client is gone: the kernel of this host knows it at once
sub leave
{
	my ($c, $how) = @_;
	$how eq 'reset' ? $c->reset : $c->fin;
}

for my $how ('reset', 'half-closed') {
	for my $name (sort keys %STATES) {
		my ($go, $after_reset, $after_fin) = @{ $STATES{$name} };
		families "$how, where $name", edge => 'gone', ends => $how eq 'reset' ? $after_reset : $after_fin, sub {
			my $c = $go->();
			leave($c, $how);
			no_mail($c);
			if ($how ne 'reset') { 1 while $c->pull }
			log_line(0);
			no_mail($c);
		};
	}
	for my $name (sort keys %STUCK) {
		my ($go, $backend, $after_reset, $after_fin) = @{ $STUCK{$name} };
		my $end = $how eq 'reset' ? $after_reset // 'client_reset' : $after_fin // 'client_aborted';
		$end = join '|', @$end if ref $end;
		families "$how, where $name", edge => 'gone', ends => $end, backend => $backend, sub {
			my $c = $go->();
			leave($c, $how);
			signal('gone');
			if ($how ne 'reset') { 1 while $c->pull }
			log_line(0);
			no_mail($c);
		};
	}
}

# The final reply: the message is the farm's, whoever hears of it
families 'half-closed behind the final dot: the answer still comes', edge => 'gone', ends => 'client_closed',
	backend => sub { my $b = shift; $b->banner->until(qr/DATA/); $b->say("354 go\r\n"); my $m = $b->take_data; stuck($b, sub { $b->accept($m) }); $b->serve },
	sub {
		my $c = client($PLAIN)->greet('tls')->data;
		$c->say("Subject: x\r\n\r\nx" . TAIL)->waits('final reply')->fin;
		signal('gone');
		$c->answer(qr/^250 2\.0\.0 kept/, "Subject: x\r\n\r\nx" . TAIL);
		$c->ended;
	};

families 'reset behind the final dot', edge => 'gone', ends => 'client_reset',
	backend => sub { my $b = shift; $b->banner->until(qr/DATA/); $b->say("354 go\r\n"); my $m = $b->take_data; stuck($b, sub { $b->accept($m) }); $b->serve },
	sub {
		my $c = client($PLAIN)->greet('tls')->data;
		$c->say("Subject: x\r\n\r\nx" . TAIL)->waits('final reply')->reset;
		log_line(0);
		signal('gone');
	};

# A backend that is never reached
edge_with('hung', 2660, 'backend-connect = ' . ms(1500), kinds => [['deaf-farm', 'pool = "deaf"']],
	pools => qq(backend "deaf" { address = "127.200.0.3:2500" }\npool "deaf" { backends = { "deaf" } }\n));

for my $how ('reset', 'half-closed') {
	families "$how, while a backend is being connected", edge => 'hung', ends => $how eq 'reset' ? 'client_reset' : 'no_backend', sub {
		my $c = client(2663)->greet;
		$c->say("MAIL FROM:<a\@b.example>\r\n")->waits('backend connect');
		leave($c, $how);
		return if $how eq 'reset';
		$c->hears(qr/^451 4\.3\.2/);
		$c->ended;
	};
}

play;
