#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# smtp_zoo.pl ADDRESS=MANNER...: SMTP servers that no MTA can be configured to be, for one connection each at a time or
# many:  banner (554 and end)  mute (no banner)  inject (a reply behind the 220 to STARTTLS)  cut (closes when the
# handshake begins)  hang (never answers the handshake)  no-ehlo (502 to EHLO)  reset (RST at STARTTLS)
# refuse (454 to STARTTLS)
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);

my (%manner, %in, $select);
$select = IO::Select->new;
for (@ARGV) {
	my ($address, $how) = split /=/;
	my $s = IO::Socket::INET->new(LocalAddr => $address, LocalPort => 25, Proto => 'tcp', Listen => 50, ReuseAddr => 1)
	    or die "$address: $!\n";
	$manner{$s} = $how;
	$select->add($s);
}
my %listens = map { $_ => 1 } keys %manner;
$| = 1;
$SIG{PIPE} = 'IGNORE';
print "ready\n";

sub end { my ($c) = @_; $select->remove($c); delete $in{$c}; delete $manner{$c}; close $c }

# One line of a client; false ends the connection
sub command
{
	my ($c, $how, $line) = @_;
	if ($line =~ /^EHLO/i) {
		syswrite($c, $how eq 'no-ehlo' ? "502 5.5.1 what?\r\n" : "250-zoo\r\n250 STARTTLS\r\n");
	} elsif ($line =~ /^STARTTLS/i) {
		if ($how eq 'reset') {
			setsockopt($c, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
			return 0;
		}
		if ($how eq 'refuse') { syswrite($c, "454 4.7.0 TLS not available\r\n"); return 1 }
		syswrite($c, "220 go\r\n" . ($how eq 'inject' ? "250 injected\r\n" : ''));
		$in{$c} = undef;	# from here on: records
	} elsif ($line =~ /^QUIT/i) {
		syswrite($c, "221 bye\r\n");
		return 0;
	} else {
		syswrite($c, $line =~ /^HELO/i ? "250 zoo\r\n" : "530 5.7.0 no\r\n");
	}
	return 1;
}

while (1) {
	for my $s ($select->can_read) {
		if ($listens{$s}) {
			my $c = $s->accept or next;
			my $how = $manner{$s};
			if ($how eq 'banner') { syswrite($c, "554 5.7.1 not you\r\n"); close $c; next }
			syswrite($c, "220 zoo ESMTP\r\n") unless $how eq 'mute';
			$manner{$c} = $how;
			$in{$c} = '';
			$select->add($c);
			next;
		}
		my $n = sysread($s, my $bytes, 65536);
		if (!$n) { end($s); next }
		if (!defined $in{$s}) { end($s) if $manner{$s} =~ /cut|inject/; next }
		$in{$s} .= $bytes;
		while (defined $in{$s} && $in{$s} =~ s/^(.*?)\r?\n//) {
			if (!command($s, $manner{$s}, $1)) { end($s); last }
		}
	}
}
