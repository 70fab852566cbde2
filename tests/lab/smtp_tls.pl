#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# smtp_tls.pl ADDRESS KEY-AND-CHAIN: a mail server that offers REQUIRETLS (RFC 8689), which neither Postfix nor Exim of
# this Debian does: EHLO, STARTTLS, and every command answered 250 behind it.  A process a connection.
use strict;
use warnings;
use IO::Socket::INET;
use Net::SSLeay;

my ($address, $pem) = @ARGV;
$SIG{CHLD} = 'IGNORE';
my $ctx = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_server_method());
Net::SSLeay::CTX_use_PrivateKey_file($ctx, $pem, Net::SSLeay::FILETYPE_PEM()) and
    Net::SSLeay::CTX_use_certificate_chain_file($ctx, $pem) or die "$pem\n";
my $listen = IO::Socket::INET->new(LocalAddr => $address, LocalPort => 25, Proto => 'tcp', Listen => 20, ReuseAddr => 1)
    or die "$address: $!\n";
$| = 1;
print "ready\n";

sub serve
{
	my ($s) = @_;
	my ($ssl, $buffer, $data) = (undef, '', 0);
	my $say = sub { $ssl ? Net::SSLeay::write($ssl, "$_[0]\r\n") : syswrite($s, "$_[0]\r\n") };
	$say->('220 requiretls ESMTP');
	while (1) {
		my ($line, $more);
		until ($buffer =~ s/^(.*?)\r\n// && defined($line = $1)) {
			if ($ssl) { $more = Net::SSLeay::read($ssl) } else { sysread($s, $more, 4096) }
			return unless defined $more && length $more;
			$buffer .= $more;
		}
		if ($data) {
			next if $line ne '.';
			$data = 0;
			$say->('250 2.0.0 kept');
		} elsif ($line =~ /^EHLO/i) {
			$say->($ssl ? "250-requiretls\r\n250 REQUIRETLS" : "250-requiretls\r\n250 STARTTLS");
		} elsif ($line =~ /^STARTTLS/i) {
			$say->('220 go');
			$ssl = Net::SSLeay::new($ctx);
			Net::SSLeay::set_fd($ssl, fileno $s);
			return if Net::SSLeay::accept($ssl) != 1;
		} elsif ($line =~ /^DATA/i) {
			$data = 1;
			$say->('354 go on');
		} elsif ($line =~ /^QUIT/i) {
			$say->('221 bye');
			return;
		} else {
			$say->('250 2.0.0 ok');
			print "mail: $line\n" if $line =~ /^MAIL/i;
		}
	}
}

while (1) {
	my $s = $listen->accept or next;
	my $pid = fork // die "fork: $!\n";
	if (!$pid) { serve($s); exit 0 }
	close $s;
}
