# SPDX-License-Identifier: BSD-2-Clause
#
# What a stranger can send that he should not.  Run by 0700-bad-input.sh in namespaces of its own; peers.pm tells
# how a scene is written.
use strict;
use warnings;
use peers;

my ($PLAIN, $TLS_ONLY, $NORMALIZE, $PASS, $BALANCER, $DELAYED, $SMALL, $BARE_FARM, $CLEAR, $FOREIGN) = 2525 .. 2534;

farm '127.200.0.1:2500', name => 'farm';
# knows neither PIPELINING nor CHUNKING, and more than may be told
farm '127.200.0.2:2500', name => 'bare', caps => [qw(SIZE X-SECRET AUTH=PLAIN XCLIENT), 'AUTH PLAIN LOGIN', 'XFORWARD NAME ADDR', 'STARTTLS', 'BURL imap', 'ETRN'];

sub listener
{
	my ($name, $port, @more) = @_;
	my $pool = $name eq 'bare' ? 'bare' : 'farm';
	my $certs = $name eq 'clear' ? '' : 'certificates = { "mx", "other" }';
	return qq(listener "$name" { address = { "$EDGE", "$EDGE6" } port = $port $certs pool = "$pool" @more }\n);
}

edge 'bad', <<"END" .
limits { errors = 5 pipelined = 10 }
timeouts { proxy-header = 1m handshake = 10m }
backend "farm" { address = "127.200.0.1:2500" }
backend "bare" { address = "127.200.0.2:2500" }
pool "farm" { backends = { "farm" } }
pool "bare" { backends = { "bare" } }
END
	listener('plain', $PLAIN) . listener('tls-only', $TLS_ONLY, 'require-tls = yes') .
	listener('normalize', $NORMALIZE, 'newline = normalize') . listener('pass', $PASS, 'newline = pass') .
	listener('balancer', $BALANCER, 'proxy = required proxy-from = { "127.0.0.0/8", "fd00::/16" }') .
	listener('delayed', $DELAYED, 'greet-delay = ' . ms(1500)) . listener('small', $SMALL, 'max-size = 10000') .
	listener('bare', $BARE_FARM) . listener('clear', $CLEAR) .
	listener('foreign', $FOREIGN, 'proxy = required proxy-from = { "192.0.2.0/24" }');

sub nothing_at_farm { is(seen(0), '', 'what the farm heard') }

# ---- STARTTLS with something behind it (CVE-2011-0411) ----

my $INJECTION = qr/^554 5\.5\.0 Bytes behind STARTTLS$/;

# Sends pieces, each read by danelawd before the next goes out
sub in_pieces
{
	my ($c, @pieces) = @_;
	for (@pieces) { $c->raw($_)->taken if length }
	return $c;
}

for my $i (1 .. 16) {
	my $all = "STARTTLS\r\nNOOP\r\n";
	families "STARTTLS and NOOP, cut behind octet $i", ends => 'starttls_injection', sub {
		my $c = client($PLAIN)->banner;
		$c->ehlo;
		in_pieces($c, substr($all, 0, $i), substr($all, $i));
		$c->hears($i == 10 ? qr/^220 / : $INJECTION);
		$c->ended;
		nothing_at_farm();
	};
}

scene 'STARTTLS and NOOP, each octet alone', ends => 'starttls_injection', sub {
	my $c = client($PLAIN)->banner;
	$c->ehlo;
	in_pieces($c, split //, "STARTTLS\r\nN");
	$c->hears(qr/^220 /);
	$c->ended;
	nothing_at_farm();
};

for my $behind ("EHLO x\r\n", "\r\n", "\n", "\0", "x", "\x16", "\x16\x03\x01\x02\x00\x01", "MAIL FROM:<a\@b.example>\r\nRCPT TO:<b\@c.example>\r\nDATA\r\n") {
	for my $before ('', "NOOP\r\n") {
		(my $name = "$before then $behind") =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
		scene "STARTTLS in one packet, $name", ends => 'starttls_injection', sub {
			my $c = client($PLAIN)->banner;
			$c->ehlo;
			$c->raw("${before}STARTTLS\r\n$behind");
			$c->hears(qr/^250 /) if $before;
			$c->hears($INJECTION);
			$c->ended;
			nothing_at_farm();
		};
	}
}

scene 'STARTTLS and a whole ClientHello in one packet', ends => 'starttls_injection', sub {
	my $c = client($PLAIN)->banner;
	$c->ehlo;
	$c->tls_new->tls_step;
	$c->raw("STARTTLS\r\n" . $c->take_tls);
	$c->hears($INJECTION);
	$c->ended;
};

scene 'a command after 220, in a packet of its own', ends => 'starttls_injection', sub {
	my $c = client($PLAIN)->banner;
	$c->ehlo;
	$c->ask("STARTTLS\r\n", qr/^220 /);
	$c->raw("RSET\r\n");
	$c->ended;
	nothing_at_farm();
};

scene 'a ClientHello after 220 with a command behind it', ends => 'handshake_failed', sub {
	my $c = client($PLAIN)->banner;
	$c->ehlo;
	$c->ask("STARTTLS\r\n", qr/^220 /);
	$c->tls_new->tls_step;
	$c->raw($c->take_tls . "RSET\r\n");
	1 while $c->pull;
	nothing_at_farm();
};

scene 'a ClientHello, each octet alone: a handshake like any', ends => 'quit', sub {
	my $c = client($PLAIN)->banner;
	$c->ehlo;
	$c->ask("STARTTLS\r\n", qr/^220 /);
	$c->tls_new->tls_step;
	in_pieces($c, split //, $c->take_tls);
	$c->handshake or die "the handshake failed\n";
	$c->ehlo;
	$c->mail->quit;
};

scene 'STARTTLS with an argument, twice, inside a transaction', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	$c->ask("STARTTLS now\r\n", qr/^501 5\.5\.4/);
	$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^250/);
	$c->ask("STARTTLS\r\n", qr/^503 5\.5\.1/);
	$c->ask("RSET\r\n", qr/^250/);
	$c->starttls;
	$c->ask("STARTTLS\r\n", qr/^554 5\.5\.1/);
	$c->ehlo;
	$c->mail->quit;
};

scene 'STARTTLS where there is no certificate', ends => 'quit', sub {
	my $c = client($CLEAR)->banner;
	my $hello = $c->ehlo;
	$hello !~ /STARTTLS/ or die "STARTTLS is offered: $hello\n";
	$c->ask("STARTTLS\r\n", qr/^502 5\.5\.1/);
	$c->quit;
};

# ---- RFC 3207 4.2: what was learned in clear is forgotten ----

scene 'after TLS all begins anew', ends => 'quit', sub {
	my $c = client($PLAIN)->banner;
	like($c->ehlo, qr/STARTTLS/, 'EHLO in clear');
	$c->envelope;
	$c->ask("RSET\r\n", qr/^250/);
	$c->starttls;
	$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^503 5\.5\.1/);
	$c->ask("RCPT TO:<a\@sender.example>\r\n", qr/^503 5\.5\.1/);
	$c->ask("DATA\r\n", qr/^503 5\.5\.1/);
	my $hello = $c->ehlo;
	$hello !~ /STARTTLS/ or die "STARTTLS is offered again: $hello\n";
	$c->ask("RCPT TO:<b\@good.example>\r\n", qr/^250/, 'the new backend has its own say');
	$c->mail->quit;
	like(seen(0), qr/a connection.*a connection/s, 'the farm: one connection in clear, one for TLS');
};

# ---- lines ----

scene 'a line too long, then the session goes on', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	$c->ask('NOOP ' . 'x' x 3000 . "\r\n", qr/^500 5\.5\.2 Line too long/);
	$c->ask("NOOP\r\n", qr/^250/);
	$c->quit;
};

scene 'a line of just the length that is allowed', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	$c->ask('NOOP ' . 'x' x 2041 . "\r\n", qr/^250/);
	$c->ask('NOOP ' . 'x' x 2042 . "\r\n", qr/^500 5\.5\.2 Line too long/);
	$c->quit;
};

scene 'a line of a megabyte, in clear and in TLS', ends => 'quit', sub {
	for my $tls ('', 'tls') {
		my $c = client($PLAIN)->greet($tls);
		$c->ask('MAIL FROM:<' . 'a' x 1000000 . ">\r\nNOOP\r\n", qr/^500 5\.5\.2 Line too long/);
		$c->hears(qr/^250/);
		$c->quit;
	}
};

scene 'lines too long, one after another', ends => 'too_many_errors', sub {
	my $c = client($PLAIN)->greet;
	$c->raw(join '', map { 'x' x 2100 . "\r\n" } 1 .. 6);
	$c->hears(qr/^500 5\.5\.2 Line too long/) for 1 .. 6;
	$c->hears(qr/^421 4\.7\.0/);
	$c->ended;
};

scene 'NUL, control characters and 8 bits as commands', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	$c->ask("NO\0OP\r\n", qr/^500 5\.5\.2/);
	$c->ask("NOOP \0\r\n", qr/^500 5\.5\.2/);
	$c->ask("NOOP \x1b[2J\r\n", qr/^500 5\.5\.2/);
	$c->ask("\xff\xfe\xfd\r\n", qr/^500 5\.5\.2/);
	$c->ask("MAIL FROM:<a\@b.example> \x7f\r\n", qr/^500 5\.5\.2/);
	$c->quit;
	nothing_at_farm();
};

scene 'noise of all kinds ends the session', ends => 'too_many_errors', sub {
	my $c = client($PLAIN)->banner;
	my $seed = 4711;
	my $noise = join '', map { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; my $b = $seed >> 16 & 255; $b == 10 || $b == 13 || $b == 22 ? 'x' : chr $b } 1 .. 60000;
	$noise =~ s/(.{99})/$1\r\n/gs;
	$c->raw($noise);
	$c->hears(qr/^5\d\d /) for 1 .. 6;
	$c->hears(qr/^421 4\.7\.0/);
	1 while $c->more;
	nothing_at_farm();
};

scene 'names that are none in EHLO', ends => 'quit', sub {
	my $c = client($PLAIN)->banner;
	$c->ask("EHLO\r\n", qr/^501/);
	$c->ask("EHLO a b\r\n", qr/^501/);
	$c->ask('EHLO ' . 'x' x 256 . "\r\n", qr/^501/);
	$c->ask("EHLO \$(id)\r\n", qr/^501/);
	$c->ask("MAIL FROM:<a\@b.example>\r\n", qr/^503/);
	$c->quit;
};

scene 'more errors than a session may have', ends => 'too_many_errors', sub {
	my $c = client($PLAIN)->greet;
	$c->ask("FOO\r\n", qr/^500 5\.5\.1/) for 1 .. 5;
	$c->ask("FOO\r\n", qr/^500 5\.5\.1/);
	$c->hears(qr/^421 4\.7\.0/);
	$c->ended;
};

# ---- other protocols ----

for my $tls ('', 'tls') {
	my $where = $tls ? 'in TLS' : 'in clear';
	for my $verb (qw(GET POST PUT HEAD PRI CONNECT OPTIONS DELETE PATCH TRACE get)) {
		scene "$verb $where", ends => 'not_smtp', sub {
			my $c = client($PLAIN);
			$tls ? $c->greet('tls') : $c->banner;
			$c->say("$verb / HTTP/1.1\r\nHost: mx.example\r\n\r\nMAIL FROM:<a\@b.example>\r\n");
			$c->hears(qr/^554 5\.5\.1 This is SMTP/);
			$c->ended;
			$tls ? seen(0) =~ /MAIL/ && die("the farm heard MAIL\n") : nothing_at_farm();
		};
	}
}

families 'a TLS ClientHello before the banner was answered', ends => 'tls_before_starttls', sub {
	my $c = client($PLAIN)->banner;
	$c->tls_new->tls_step;
	$c->raw($c->take_tls);
	$c->hears(qr/^554 5\.5\.1 TLS begins with STARTTLS/);
	$c->ended;
	nothing_at_farm();
};

scene 'a TLS ClientHello behind EHLO', ends => 'tls_before_starttls', sub {
	my $c = client($PLAIN)->greet;
	$c->tls_new->tls_step;
	in_pieces($c, split //, substr $c->take_tls, 0, 3);
	$c->hears(qr/^554 5\.5\.1/);
	$c->ended;
};

scene 'a TLS ClientHello where a command belongs, inside TLS', ends => 'quit', sub {
	my $c = client($PLAIN)->greet('tls');
	$c->ask("\x16\x03\x01\x02\x00\r\n", qr/^500 5\.5\.2/);
	$c->quit;
};

# ---- bare LF and CR in commands ----

for my $line ("NOOP\n", "EHLO x\n", "MAIL FROM:<a\@b.example>\nRCPT TO:<c\@d.example>\r\n", "NOOP\rRSET\r\n", "\n", "NOOP\r\r\n") {
	(my $name = $line) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	scene "reject: $name as a command", ends => 'bare_newline', sub {
		my $c = client($PLAIN)->greet;
		$c->ask($line, qr/^554 5\.5\.2 Line not ended by CRLF/);
		$c->ended;
		nothing_at_farm();
	};
}

for my $port ($NORMALIZE, $PASS) {
	my $mode = $port == $PASS ? 'pass' : 'normalize';
	scene "$mode: a bare LF ends a command, and the farm gets CRLF", ends => 'quit', sub {
		my $c = client($port)->banner;
		$c->ask("EHLO $c->{helo}\n", qr/^250/);
		$c->ask("MAIL FROM:<a\@sender.example>\n", qr/^250/);
		$c->ask("RSET\n", qr/^250/);
		$c->ask("QUIT\n", qr/^221/);
		$c->ended;
		like(seen(0), qr/^MAIL FROM:<a\@sender.example>$/m, 'the farm');
	};
	scene "$mode: a bare CR in a command", ends => 'bare_newline', sub {
		my $c = client($port)->greet;
		$c->ask("NOOP\rMAIL FROM:<a\@b.example>\r\n", qr/^554 5\.5\.2/);
		$c->ended;
		nothing_at_farm();
	};
}

# ---- the end of data (CVE-2023-51764, -51765, -51766) ----

my $SECOND = "MAIL FROM:<evil\@sender.example>\r\nRCPT TO:<b\@good.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx";
# what stands in the middle, and what it becomes where it is normalised
my %ENDS = (
	"\n.\n" => "\r\n..\r\n", "\n.\r\n" => "\r\n..\r\n", "\r\n.\n" => "\r\n..\r\n", "\r.\r" => "\r\n..\r\n", "\r.\r\n" => "\r\n..\r\n",
	"\r\n.\r" => "\r\n..\r\n", "\n\n.\r\n" => "\r\n\r\n..\r\n", "\r\r\n.\n" => "\r\n\r\n..\r\n", "\r\n.\r\r\n" => "\r\n..\r\n\r\n",
);

for my $end (sort keys %ENDS) {
	(my $name = $end) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	my $text = "Subject: first\r\n\r\nhello$end$SECOND" . TAIL;
	for my $tls ('', 'tls') {
		scene "reject: $name in a body" . ($tls && ', TLS'), ends => 'bare_newline', sub {
			my $c = client($PLAIN)->greet($tls);
			$c->data->final($text, qr/^554 5\.6\.0 Bare CR or LF/);
			$c->ended;
			my $seen = wait_for('the farm', sub { seen(0) =~ /the end/ && seen(0) });
			is(scalar(() = $seen =~ /MAIL/g), 1, 'MAIL commands at the farm');
			like($seen, qr/the end: reset/, 'the connection to the farm');
			-e "$T/farm/$c->{n}.0.mail" and die "the farm has a mail\n";
		};
	}
	for my $cut (0 .. length($end)) {
		scene "normalize: $name in a body, cut behind $cut", ends => 'quit', sub {
			my $c = client($NORMALIZE)->greet;
			my $at = index $text, $end;
			$c->data;
			in_pieces($c, substr($text, 0, $at + $cut));
			$c->final(substr($text, $at + $cut), qr/^250 2\.0\.0 kept/, "Subject: first\r\n\r\nhello$ENDS{$end}$SECOND" . TAIL);
			$c->quit;
			is(scalar(() = seen(0) =~ /MAIL/g), 1, 'MAIL commands at the farm');
		};
	}
	scene "pass: $name in a body, as it is", ends => 'quit', sub {
		my $c = client($PASS)->greet;
		$c->data->final($text, qr/^250 2\.0\.0 kept/);
		$c->quit;
		is(scalar(() = seen(0) =~ /MAIL/g), 1, 'MAIL commands at the farm');
	};
}

for my $text ("Subject: x\r\n\r\n..\r\n...\r\n.x\r\n..x\r\n\r\n.y" . TAIL, ".\r\n", "\r\n.\r\n", "Subject: \0\xff\r\n\r\n" . 'x' x 100000 . TAIL) {
	(my $name = substr $text, 0, 30) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	for my $port ($PLAIN, $NORMALIZE, $PASS) {
		scene "a body as it is, at port $port: $name", ends => 'quit', sub {
			my $c = client($port)->greet;
			$c->data->final($text, qr/^250 2\.0\.0 kept/);
			$c->quit;
		};
	}
}

for my $cut (1 .. 4) {
	scene "the end of data cut behind octet $cut, a command behind it", ends => 'quit', sub {
		my $c = client($PLAIN)->greet;
		$c->data;
		in_pieces($c, "Subject: x\r\n\r\ny" . substr(TAIL, 0, $cut));
		$c->raw(substr(TAIL, $cut) . "NOOP\r\n");
		$c->answer(qr/^250 2\.0\.0 kept/, "Subject: x\r\n\r\ny" . TAIL);
		$c->hears(qr/^250/);
		$c->quit;
	};
}

# ---- PROXY headers ----

my $V2 = "\r\n\r\n\0\r\nQUIT\n";

# A header of version 2 from the scene's own address
sub v2 { my ($src, $command) = @_; return $V2 . chr($command // 0x21) . "\x11\0\x0c" . pack('C4', split /\./, $src) . pack('C4 nn', 192, 0, 2, 25, 4711, 25) }

my %BAD_HEADERS = (
	'EHLO' => "EHLO x\r\n", 'an empty line' => "\r\nEHLO x\r\n", 'NUL' => "\0", 'GET' => "GET / HTTP/1.0\r\n\r\n",
	'lower case' => "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 'two blanks' => "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
	'no CR' => "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", 'a family that is none' => "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
	'a port too large' => "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", 'a port with a zero' => "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
	'an address that is none' => "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", 'addresses of the other family' => "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
	'something behind' => "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", 'too long' => 'PROXY UNKNOWN ' . 'x' x 200 . "\r\n",
	'version 3' => $V2 . "\x31\x11\0\x0c" . 'x' x 12, 'a command that is none' => $V2 . "\x22\x11\0\x0c" . 'x' x 12,
	'a length too short' => $V2 . "\x21\x11\0\x0b" . 'x' x 11,
	'a signature that breaks off' => substr($V2, 0, 11) . "\r" . "\x21\x11\0\x0c" . 'x' x 12,
	'a TLV longer than the header' => $V2 . "\x21\x11\0\x0f" . 'x' x 12 . "\x02\0\x09", 'a CRC that is wrong' => $V2 . "\x21\x11\0\x13" . 'x' x 12 . "\x03\0\x04abcd",
);

for my $name (sort keys %BAD_HEADERS) {
	scene "PROXY header: $name", ends => 'proxy_header', sub {
		my $c = client($BALANCER);
		$c->raw($BAD_HEADERS{$name});
		$c->ended;
		nothing_at_farm();
	};
}

for my $kind ('version 1', 'version 2') {
	for my $cut (0, 1, 15, 16, 20) {
		scene "PROXY header, $kind, cut behind octet $cut: believed", sub {
			my $c = client($BALANCER);
			$c->{k} = 76;
			my $src = address($c->{n}, $c->{k}, 4);
			my $h = $kind eq 'version 1' ? "PROXY TCP4 $src 192.0.2.25 4711 25\r\n" : v2($src);
			in_pieces($c, substr($h, 0, $cut), substr $h, $cut);
			$c->greet->mail->quit;
			ends(0, 'quit', peer => $src);
		};
	}
}

scene 'PROXY header: LOCAL keeps the address of the connection', ends => 'quit', sub {
	my $c = client($BALANCER);
	$c->raw($V2 . "\x20\0\0\0");
	$c->greet->quit;
};

scene 'PROXY header with commands behind it in one packet', ends => 'quit', sub {
	my $c = client($BALANCER);
	$c->raw($V2 . "\x20\0\0\0EHLO $c->{helo}\r\n");
	$c->banner->hears(qr/^250/);
	$c->quit;
};

scene 'PROXY header, half of it, then the end', ends => ['client_aborted', 'client_reset', 'client_aborted'], sub {
	client($BALANCER)->raw("PROXY TCP4 192.0.2.1")->fin->ended;
	client($BALANCER)->raw("PROXY TCP4 192.0.2.1")->taken->reset;
	client($BALANCER)->raw(substr $V2, 0, 5)->fin->ended;
};

families 'PROXY header from a network that may not send one', ends => 'proxy_untrusted', sub {
	client($FOREIGN)->raw("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")->ended;
};

scene 'PROXY header where it is forbidden: commands that are none', ends => ['quit', 'bare_newline'], sub {
	my $c = client($PLAIN)->banner;
	$c->ask("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", qr/^500 5\.5\.1/);
	$c->quit;
	$c = client($PLAIN)->banner;
	$c->raw(v2('192.0.2.1') . "\r\n");
	$c->hears(qr/^500/) for 1 .. 3;
	$c->hears(qr/^554 5\.5\.2/, 'the QUIT with its bare LF');
	1 while $c->more;
};

# ---- BDAT (RFC 3030) ----

scene 'BDAT, whatever octets', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	my $octets = join '', "\r\n.\r\nQUIT\r\n\n.\n\r.\r\0\xff", map { chr } 0 .. 255;
	$c->envelope;
	$c->ask('BDAT ' . length($octets) . "\r\n$octets", qr/^250 chunk/);
	$c->final('BDAT ' . length($octets) . " LAST\r\n$octets", qr/^250 2\.0\.0 kept/, "$octets$octets");
	$c->envelope->final("BDAT 0 LAST\r\n", qr/^250 2\.0\.0 kept/, '');
	$c->quit;
};

scene 'BDAT, chunks and the next mail in one go', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	my $mail = "MAIL FROM:<a\@sender.example>\r\nRCPT TO:<b\@good.example>\r\n";
	$c->raw("${mail}BDAT 3\r\nabcBDAT 0\r\nBDAT 3 LAST\r\ndef${mail}BDAT 2 LAST\r\nghQUIT\r\n");
	$c->hears(qr/^250/) for 1 .. 4;
	$c->answer(qr/^250 2\.0\.0 kept/, 'abcdef');
	$c->hears(qr/^250/) for 1 .. 2;
	$c->answer(qr/^250 2\.0\.0 kept/, 'gh');
	$c->hears(qr/^221/);
	$c->ended;
};

for my $where ('before EHLO', 'without MAIL', 'where CHUNKING is not offered', 'where TLS is required') {
	scene "BDAT $where: refused once its octets are past", ends => 'quit', sub {
		my $c = client($where =~ /CHUNKING/ ? $BARE_FARM : $where =~ /TLS/ ? $TLS_ONLY : $PLAIN)->banner;
		$c->ehlo if $where ne 'before EHLO';
		$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^250/) if $where =~ /CHUNKING/;
		my $octets = "RSET\r\nMAIL FROM:<evil\@sender.example>\r\nRCPT TO:<b\@good.example>\r\n";
		$c->say('BDAT ' . length($octets) . " LAST\r\n");
		$c->say($octets . "NOOP\r\n");
		$c->hears(qr/^5\d\d /);
		$c->hears(qr/^250/, 'NOOP');
		$c->quit;
		seen(0) !~ /BDAT|evil/ or die "the farm heard: " . seen(0);
	};
}

for my $size ('99999999999999999999', '18446744073709551616', '-1', 'x', '', '1 FIRST', '1 LAST x', '0x10', '5 ' . "\xff") {
	(my $name = $size) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	scene "BDAT with a size that cannot be read: '$name'", ends => 'chunk_size', sub {
		my $c = client($PLAIN)->greet;
		$c->envelope;
		$c->raw("BDAT $size\r\nMAIL FROM:<evil\@sender.example>\r\nQUIT\r\n");
		$c->hears(qr/^50[01] 5\.5\./);
		$c->ended;
		my $seen = wait_for('the farm', sub { seen(0) =~ /the end/ && seen(0) });
		$seen !~ /BDAT|evil/ or die "the farm heard: $seen";
	};
}

scene 'BDAT of more than there are octets in the world, then gone', ends => ['client_aborted', 'client_aborted', 'client_reset'], sub {
	for my $size ('18446744073709551615 LAST', '9223372036854775807') {
		my $c = client($PLAIN)->greet;
		$c->envelope;
		$c->raw("BDAT $size\r\nabc")->taken;
		$c->fin;
		$c->ended;
	}
	my $c = client($PLAIN)->greet;
	$c->envelope;
	$c->raw("BDAT 1000 LAST\r\nabc")->taken;
	$c->reset;
	for my $k (0 .. 2) {
		wait_for('the farm', sub { seen($k) =~ /the end/ });
		-e "$T/farm/$c->{n}.$k.mail" and die "the farm has a mail\n";
	}
};

scene 'BDAT without LAST, then QUIT', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	$c->envelope;
	$c->ask("BDAT 3\r\nabc", qr/^250 chunk/);
	$c->quit;
	-e "$T/farm/$c->{n}.0.mail" and die "the farm has a mail\n";
};

# ---- too big ----

for my $tls ('', 'tls') {
	scene "a message larger than the listener takes" . ($tls && ', TLS'), ends => ['quit', ('message_too_big') x 4], sub {
		my $c = client($SMALL)->greet($tls);
		$c->ask("MAIL FROM:<a\@sender.example> SIZE=10001\r\n", qr/^552 5\.3\.4/);
		$c->mail('x' x 9000);
		$c->quit;
		$c = client($SMALL)->greet($tls);
		$c->data->final('x' x 10000 . TAIL, qr/^552 5\.3\.4/);
		$c->ended;
		$c = client($SMALL)->greet($tls);
		$c->data->final(('x' x 70 . "\r\n") x 10000 . TAIL, qr/^552 5\.3\.4/);
		$c->ended;
		$c = client($SMALL)->greet($tls);
		$c->envelope;
		$c->ask("BDAT 6000\r\n" . 'x' x 6000, qr/^250/);
		$c->final("BDAT 6000 LAST\r\n" . 'x' x 6000, qr/^552 5\.3\.4/);
		$c->ended;
		$c = client($SMALL)->greet($tls);
		$c->envelope;
		$c->final("BDAT 60000 LAST\r\n" . 'x' x 60000, qr/^552 5\.3\.4/);
		$c->ended;
	};
}

# ---- pipelining ----

scene 'many more commands in one go than may be outstanding', ends => 'quit', sub {
	my $c = client($PLAIN)->greet;
	$c->raw("MAIL FROM:<a\@sender.example>\r\n" . join('', map { "RCPT TO:<b$_\@good.example>\r\n" } 1 .. 1000) . "FOO\r\nRSET\r\nAUTH PLAIN\r\nNOOP\r\n");
	$c->hears(qr/^250/) for 1 .. 1001;
	$c->hears(qr/^500/, 'FOO');
	$c->hears(qr/^250/, 'RSET');
	$c->hears(qr/^503/, 'AUTH');
	$c->hears(qr/^250/, 'NOOP');
	$c->quit;
	is(scalar(() = seen(0) =~ /RCPT/g), 1000, 'RCPT commands at the farm');
};

scene 'a whole mail and a second in one go, half-closed at once', ends => 'client_closed', sub {
	my $c = client($PLAIN)->banner;
	my $mail = "MAIL FROM:<a\@sender.example>\r\nRCPT TO:<b\@good.example>\r\nDATA\r\nSubject: x\r\n\r\nx" . TAIL;
	$c->raw("EHLO $c->{helo}\r\n$mail$mail")->fin;
	$c->hears(qr/^250/, 'EHLO');
	for (1 .. 2) {
		$c->hears(qr/^250/) for 1 .. 2;
		$c->hears(qr/^354/);
		$c->answer(qr/^250 2\.0\.0 kept/, "Subject: x\r\n\r\nx" . TAIL);
	}
	$c->ended;
};

scene 'to a backend without PIPELINING one command at a time', ends => 'quit',
	backend => sub {
		my $b = shift;
		$b->banner;
		while (defined(my $l = $b->hear)) {
			# danelawd has more at hand; it may not come before this one is answered
			$b->{text} eq '' && !$b->ready(0, Time::HiRes::time() + 0.05) or do { $b->note('too early'); $b->idle };
			if ($l =~ /^EHLO/) { $b->say($b->{caps}) }
			elsif ($l =~ /^DATA/) { $b->say("354 go\r\n"); $b->accept($b->take_data) }
			else { $b->say("250 ok\r\n") }
			$b->fin, return if $l =~ /^QUIT/;
		}
	},
	sub {
		my $c = client($BARE_FARM)->banner;
		my $hello = $c->ehlo;
		$hello !~ /PIPELINING/ or die "PIPELINING is offered: $hello\n";
		$c->raw("MAIL FROM:<a\@sender.example>\r\nRCPT TO:<b\@good.example>\r\nNOOP\r\nDATA\r\n");
		$c->hears(qr/^250/) for 1 .. 3;
		$c->hears(qr/^354/);
		$c->final("x" . TAIL . "QUIT\r\n", qr/^250 2\.0\.0 kept/, "x" . TAIL);
		$c->hears(qr/^250/, 'QUIT, the way this backend answers it');
	};

# ---- what is never passed on ----

for my $tls ('', 'tls') {
	scene 'AUTH, XCLIENT, XFORWARD and the like ' . ($tls ? 'in TLS' : 'in clear'), ends => ['quit', 'quit'], sub {
		for my $half (["AUTH PLAIN AGEAYg==", "AUTH LOGIN", "XCLIENT ADDR=192.0.2.1", "XFORWARD ADDR=192.0.2.1"], ["BURL imap://x LAST", "ETRN x", "EXPN x", "LHLO x", "TURN"]) {
			my $c = client($BARE_FARM)->greet($tls);
			$c->ask("MAIL FROM:<a\@sender.example>\r\n", qr/^250/); # so that there is a backend
			$c->ask("$_\r\n", qr/^50[23] 5\.5\.1/) for @$half;
			$c->quit;
			seen($c->{k}) !~ /AUTH|XCLIENT|XFORWARD|BURL|ETRN|EXPN|LHLO|TURN/ or die 'the farm heard: ' . seen($c->{k});
		}
	};
}

# ---- capabilities ----

my $ALLOWED = qr/^250[ -](mx\.example|PIPELINING|SIZE( \d+)?|8BITMIME|SMTPUTF8|DSN|ENHANCEDSTATUSCODES|CHUNKING|STARTTLS)$/;

scene 'EHLO tells what the chosen backend can, at every EHLO', ends => 'quit',
	backend => sub {
		my $b = shift;
		my @lists = (['PIPELINING', 'SIZE 1000', 'DSN', 'AUTH PLAIN', 'STARTTLS', 'X-ANONYMOUSTLS', 'XCLIENT NAME ADDR', 'UNHEARD-OF'],
			['8BITMIME', 'AUTH=PLAIN', 'STARTTLS'], ['CHUNKING', 'BINARYMIME', 'SIZE', 'DSN', 'XEXCH50']);
		$b->banner;
		while (defined(my $l = $b->hear)) {
			$b->say($l =~ /^EHLO/ ? peers::caps_reply(@{ shift @lists }) : $l =~ /^QUIT/ ? "221 bye\r\n" : "250 ok\r\n");
		}
	},
	sub {
		my $c = client($PLAIN)->banner;
		my $clear = $c->ehlo;
		like($clear, qr/^250[ -]CHUNKING$/m, 'before TLS, what the pool has in common');
		like($clear, qr/^250[ -]STARTTLS$/m, 'before TLS');
		$c->starttls;
		is(join(' ', sort map { substr $_, 4 } split /\n/, $c->ehlo), 'DSN PIPELINING SIZE 1000 mx.example', 'the first EHLO in TLS');
		is(join(' ', sort map { substr $_, 4 } split /\n/, $c->ehlo), '8BITMIME mx.example', 'the second');
		is(join(' ', sort map { substr $_, 4 } split /\n/, $c->ehlo), 'BINARYMIME CHUNKING DSN SIZE mx.example', 'the third');
		$c->quit;
	};

scene 'a backend that offers all kinds of things', ends => 'quit', sub {
	my $c = client($BARE_FARM)->banner;
	for (1 .. 2) {
		$_ =~ $ALLOWED || die "'$_' is announced\n" for split /\n/, $c->ehlo;
	}
	$c->starttls;
	for (1 .. 2) {
		my $hello = $c->ehlo;
		is(join(' ', sort map { substr $_, 4 } split /\n/, $hello), 'SIZE mx.example', 'EHLO in TLS');
	}
	$c->quit;
};

scene 'a client that knows HELO only', ends => 'quit', sub {
	my $c = client($PLAIN)->banner;
	is($c->ask("HELO $c->{helo}\r\n", qr/^250/), '250 mx.example', 'one line');
	$c->mail->quit;
	like(seen(0), qr/^HELO $c->{helo}$/m, 'the farm');
};

scene 'HELO only, in TLS', ends => 'quit', sub {
	my $c = client($PLAIN)->banner;
	$c->ask("HELO $c->{helo}\r\n", qr/^250 mx\.example$/);
	$c->starttls;
	$c->ask("HELO $c->{helo}\r\n", qr/^250 mx\.example$/);
	$c->mail->quit;
	like(seen(0), qr/^HELO $c->{helo}$/m, 'the farm');
};

scene 'without EHLO or HELO nothing', ends => 'quit', sub {
	my $c = client($PLAIN)->banner;
	$c->ask("$_\r\n", qr/^503 5\.5\.1/) for 'MAIL FROM:<a@b.example>', 'RCPT TO:<a@b.example>', 'DATA', 'VRFY x';
	$c->ask("NOOP\r\n", qr/^250/);
	$c->ask("RSET\r\n", qr/^250/);
	$c->quit;
	nothing_at_farm();
};

# ---- TLS that is required ----

scene 'require-tls: 530 until there is TLS', ends => 'quit', sub {
	my $c = client($TLS_ONLY)->banner;
	$c->ehlo;
	$c->ask("$_\r\n", qr/^530 5\.7\.0 Must issue a STARTTLS command first$/) for 'MAIL FROM:<a@sender.example>', 'RCPT TO:<b@good.example>', 'DATA', 'AUTH PLAIN';
	$c->ask("BDAT 3 LAST\r\nabc", qr/^530 5\.7\.0/);
	$c->ask("NOOP\r\n", qr/^250/);
	nothing_at_farm();
	$c->starttls;
	$c->ehlo;
	$c->mail->quit;
};

# ---- names and protocols in the handshake ----

my %SNI = ('none' => '/CN=mx.example', 'mx.example' => '/CN=mx.example', 'other.example' => '/CN=other.example', 'OTHER.example' => '/CN=other.example',
	'a.wild.example' => '/CN=other.example', 'a.b.wild.example' => '/CN=mx.example', 'unknown.example' => '/CN=mx.example', 'x' x 255 => '/CN=mx.example');

for my $sni (sort keys %SNI) {
	for my $version (0x0303, 0x0304) {
		scene sprintf('SNI %s, TLS %s', $sni =~ /^xx/ ? 'of 255 octets' : $sni, $version == 0x0304 ? '1.3' : '1.2'), ends => 'quit', sub {
			my $c = client($PLAIN)->greet('tls', version => $version, $sni eq 'none' ? () : (sni => $sni));
			is($c->tls_subject, $SNI{$sni}, 'the certificate');
			$c->mail->quit;
		};
	}
}

for my $alpn (['smtp'], ['esmtp'], ['h2', 'smtp']) {
	scene "ALPN @$alpn", ends => 'quit', sub { client($PLAIN)->greet('tls', alpn => $alpn)->quit };
}

for my $alpn (['h2'], ['http/1.1', 'imap'], ['SMTP']) {
	scene "ALPN @$alpn: no handshake", ends => 'handshake_failed', sub {
		my $c = client($PLAIN)->banner;
		$c->ehlo;
		$c->ask("STARTTLS\r\n", qr/^220/);
		!$c->tls_new(alpn => $alpn)->handshake or die "the handshake went through\n";
		like(log_line(0), qr/ why=/, 'the log');
	};
}

scene 'garbage inside TLS', ends => 'tls_error', sub {
	my $c = client($PLAIN)->greet('tls');
	$c->raw("\x17\x03\x03\x00\x20" . 'x' x 32);
	1 while $c->more;
};

scene 'commands in clear inside TLS', ends => 'tls_error', sub {
	my $c = client($PLAIN)->greet('tls');
	$c->raw("NOOP\r\nNOOP\r\n");
	1 while $c->more;
};

# ---- those who cannot wait ----

families 'greet delay: a client that talks first', ends => 'pregreet', sub {
	my $c = client($DELAYED);
	$c->raw("EHLO $c->{helo}\r\n");
	$c->hears(qr/^554 5\.5\.0 Talked before the banner/);
	$c->ended;
	nothing_at_farm();
};

scene 'greet delay: one octet is enough', ends => 'pregreet', sub {
	my $c = client($DELAYED);
	$c->raw("\n");
	$c->hears(qr/^554 5\.5\.0/);
	$c->ended;
};

scene 'greet delay: a client that waits', ends => 'quit', sub { client($DELAYED)->greet('tls')->mail->quit };

scene 'greet delay: a client that goes', ends => ['client_closed', 'client_reset'], sub {
	client($DELAYED)->fin->ended;
	client($DELAYED)->waits('greet delay')->reset;
};

play;
