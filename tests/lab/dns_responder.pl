#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# dns_responder.pl ADDRESS ZONE=FILE...: an authoritative name server for what real ones refuse to do.  It serves
# signed (or plain) zones as text, whatever the RDATA: TLSA of 0 to 3 bytes, which NSD does not load.  And it behaves
# badly where the name says so: below a label silent-TYPE, questions of that type get no answer at all; below
# servfail-TYPE they get SERVFAIL.  With DELAY in the environment every answer comes so many seconds late.  UDP only.
use strict;
use warnings;
use IO::Socket::INET;
use MIME::Base64;
use Time::HiRes qw(time);
use Time::Local;

my %TYPE = (A => 1, NS => 2, CNAME => 5, SOA => 6, MX => 15, AAAA => 28, DS => 43, RRSIG => 46, NSEC => 47,
	DNSKEY => 48, TLSA => 52);
my %NAME = reverse %TYPE;
my (%rr, %owner, @apex);	# "name type" => [[ttl, rdata]...]

sub wire_name { my ($n) = @_; $n =~ s/\.$//; join('', map { pack('C/a', $_) } split(/\./, $n)) . "\0" }

sub stamp
{
	my ($y, $m, $d, $h, $i, $s) = $_[0] =~ /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/;
	timegm($s, $i, $h, $d, $m - 1, $y);
}

sub bitmap
{
	my $bits = "\0" x 8;
	for my $t (map { $TYPE{$_} } grep { $TYPE{$_} } @_) {
		vec($bits, ($t & ~7) | (7 - ($t & 7)), 1) = 1;
	}
	$bits =~ s/\0+$//;
	pack('CC/a', 0, $bits);
}

sub rdata
{
	my ($type, $text) = @_;
	my @w = split ' ', $text;
	return pack('H*', join('', @w[2 .. $#w])) if $w[0] eq '\#';
	return pack('C4', split /\./, $w[0]) if $type eq 'A';
	return wire_name($w[0]) if $type eq 'NS' || $type eq 'CNAME';
	return pack('n', $w[0]) . wire_name($w[1]) if $type eq 'MX';
	return wire_name($w[0]) . wire_name($w[1]) . pack('N5', @w[2 .. 6]) if $type eq 'SOA';
	return pack('nCC', @w[0 .. 2]) . decode_base64(join '', @w[3 .. $#w]) if $type eq 'DNSKEY';
	return pack('nCCNNNn', $TYPE{$w[0]}, @w[1 .. 3], stamp($w[4]), stamp($w[5]), $w[6]) . wire_name($w[7]) .
	    decode_base64(join '', @w[8 .. $#w]) if $type eq 'RRSIG';
	return wire_name($w[0]) . bitmap(@w[1 .. $#w]) if $type eq 'NSEC';
	# TLSA, possibly cut short: "3 1"
	return pack('C*', @w > 3 ? @w[0 .. 2] : @w) . pack('H*', join('', @w[3 .. $#w]));
}

sub load
{
	my ($zone, $file) = @_;
	push @apex, lc($zone) =~ s/\.$//r;
	open(my $in, '<', $file) or die "$file: $!\n";
	while (<$in>) {
		s/\s*;.*//s;
		my ($name, $ttl, $type, $text) = /^(\S+)\.\s+(\d+)\s+IN\s+(\S+)\s+(.*?)\s*$/ or next;
		next unless $TYPE{$type};
		my $key = lc("$name ") . ($type eq 'RRSIG' ? 'RRSIG/' . (split ' ', $text)[0] : $type);
		push @{$rr{$key}}, [$ttl, rdata($type, $text)];
		$owner{lc $name} = 1;
	}
}

sub records
{
	my ($name, $type, $dnssec) = @_;
	my @out = map { pack('a*nnNn/a', wire_name($name), $TYPE{$type}, 1, @$_) } @{$rr{"$name $type"} || []};
	push @out, map { pack('a*nnNn/a', wire_name($name), $TYPE{RRSIG}, 1, @$_) } @{$rr{"$name RRSIG/$type"} || []}
	    if $dnssec && @out;
	return @out;
}

# RFC 4034 6.1: by labels, from the right
sub canonical { join("\0", reverse split(/\./, $_[0])) }

my %chain;	# zone => owners of NSEC in canonical order

# The last of them that is not behind the name: it denies the name, or is the name's own
sub before
{
	my ($zone, $name) = @_;
	my $owners = $chain{$zone} ||= [sort { $a->[0] cmp $b->[0] } map { [canonical($_), $_] }
		grep { /(^|\.)\Q$zone\E$/ && $rr{"$_ NSEC"} } keys %owner];
	my ($low, $high, $key) = (0, scalar @$owners, canonical($name));
	while ($low < $high) {
		my $middle = int(($low + $high) / 2);
		if ($owners->[$middle][0] le $key) { $low = $middle + 1 } else { $high = $middle }
	}
	return $low ? $owners->[$low - 1][1] : ();
}

# The name is not there, and no wildcard above it is either
sub denial
{
	my ($zone, $name) = @_;
	my %with = map { $_ => 1 } before($zone, $name);
	for (my $above = $name; $above ne $zone && $above =~ s/^[^.]*\.//; ) {
		$with{$_} = 1 for before($zone, "*.$above");
	}
	return (records($zone, 'SOA', 1), map { records($_, 'NSEC', 1) } sort keys %with);
}

# (rcode, answers, authority); nothing: no answer at all
sub answer
{
	my ($name, $type) = @_;
	my ($silent, $servfail) = map { my $p = $_; qr/(?:^|\.)$p-\L$type\E\./ } qw(silent servfail);
	return if $name =~ $silent;
	return (2, [], []) if $name =~ $servfail;
	my ($zone) = sort { length $b <=> length $a } grep { $name =~ /(^|\.)\Q$_\E$/ } @apex;
	return (5, [], []) unless defined $zone;
	my @found = $type ? records($name, $type, 1) : ();
	@found = records($name, 'CNAME', 1) unless @found;
	return (0, \@found, []) if @found;
	my $exists = grep { /(^|\.)\Q$name\E$/ } keys %owner;
	return ($exists ? 0 : 3, [], [denial($zone, $name)]);
}

my $address = shift @ARGV;
load(split /=/, $_, 2) for @ARGV;
my $socket = IO::Socket::INET->new(LocalAddr => $address, LocalPort => 53, Proto => 'udp') or die "$address: $!\n";
$| = 1;
print "ready\n";
my @late;	# [when, datagram, to], in order

# The next question; what is due meanwhile is sent
sub question
{
	while (1) {
		my $wait = @late ? $late[0][0] - time : undef;
		my $bits = '';
		vec($bits, fileno($socket), 1) = 1;
		if (!defined $wait || $wait > 0) {
			return $socket->recv($_[0], 4096) if select($bits, undef, undef, $wait);
			next;
		}
		my $due = shift @late;
		$socket->send($due->[1], 0, $due->[2]);
	}
}

while (defined(my $from = question(my $q))) {
	my ($id, $flags) = unpack('nn', $q);
	my ($at, @labels) = (12);
	while ((my $len = ord substr($q, $at, 1)) > 0) {
		push @labels, lc substr($q, $at + 1, $len);
		$at += $len + 1;
	}
	my $type = $NAME{unpack('n', substr($q, $at + 1, 2))} || '';
	my ($rcode, $answers, $authority) = answer(join('.', @labels), $type);
	next unless defined $rcode;
	my $opt = pack('CnnNn', 0, 41, 1232, 0x8000, 0);
	my $datagram = pack('n6', $id, 0x8400 | ($flags & 0x0100) | $rcode, 1, scalar @$answers, scalar @$authority, 1) .
	    substr($q, 12, $at + 5 - 12) . join('', @$answers, @$authority) . $opt;
	if ($ENV{DELAY}) { push @late, [time + $ENV{DELAY}, $datagram, $from] }
	else { $socket->send($datagram, 0, $from) }
}
