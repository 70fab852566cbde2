#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# tlv_backend.pl ADDRESS PORT: a mail server that expects PROXY headers of version 2, takes every mail and prints what
# each header said:
#	header LOCAL
#	header PROXY 198.51.100.10:4711 ssl=7 verify=0 version=TLSv1.3 cn=… cipher=… e1=verified:… authority=…
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{CHLD} = 'IGNORE';
my ($address, $port) = @ARGV;
my $listen = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 50, ReuseAddr => 1) or die "$address: $!\n";

my %name = (0x01 => 'alpn', 0x02 => 'authority', 0x03 => 'crc', 0x21 => 'version', 0x22 => 'cn', 0x23 => 'cipher', 0xe1 => 'e1');

sub tlvs
{
	my ($data) = @_;
	my $out = '';
	while (length $data >= 3) {
		my ($type, $value) = unpack('Cn/a', $data);
		$data = substr($data, 3 + length $value);
		if ($type == 0x20) {
			my ($client, $verify) = unpack('CN', $value);
			$out .= " ssl=$client verify=$verify" . tlvs(substr($value, 5));
		} elsif ($type != 0x03) {
			$out .= ' ' . ($name{$type} // sprintf('%02x', $type)) . "=$value";
		}
	}
	return $out;
}

sub header
{
	my ($c) = @_;
	read($c, my $fixed, 16) == 16 or exit;
	my ($signature, $command, $family, $len) = unpack('a12CCn', $fixed);
	$signature eq "\r\n\r\n\0\r\nQUIT\n" or exit;
	my $rest = '';
	$len == 0 or read($c, $rest, $len) == $len or exit;
	return print "header LOCAL\n" if $command == 0x20;
	my $n = $family == 0x11 ? 12 : 36;
	my $who = $family == 0x11 ? join('.', unpack('C4', $rest)) . ':' . unpack('n', substr($rest, 8)) : 'v6';
	print "header PROXY $who" . tlvs(substr($rest, $n)) . "\n";
}

while (my $c = $listen->accept) {
	if (fork) { close $c; next }
	binmode $c;
	$c->autoflush(1);
	header($c);
	print $c "220 tlv ESMTP\r\n";
	while (defined(my $line = <$c>)) {
		if ($line =~ /^EHLO/i) { print $c "250-tlv\r\n250 PIPELINING\r\n" }
		elsif ($line =~ /^QUIT/i) { print $c "221 bye\r\n"; last }
		elsif ($line =~ /^DATA/i) {
			print $c "354 go\r\n";
			while (defined($line = <$c>) && $line ne ".\r\n") {}
			print $c "250 taken\r\n";
		} else { print $c "250 ok\r\n" }
	}
	exit;
}
