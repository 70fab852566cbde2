#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# check_schema.pl <JSON: holds an object of `danelawctl check --json` to its schema (danelawctl(8)) and prints it in one
# line:  overall mandatory HOST=verdict[ADDRESS=verdict/starttls …] … | reason
use strict;
use warnings;
use JSON::PP;

my $verdict = qr/^(?:verified|tls-required-unauthenticated|no-dane-deliverable|defer|bounce|could-not-tell)$/;
my $answer = qr/^(?:failed|secure|insecure|denied|denied-insecure)$/;
my %is = (
	text => sub { defined $_[0] && !ref $_[0] && length $_[0] },
	maybe => sub { !defined $_[0] || (!ref $_[0] && length $_[0]) },
	int => sub { defined $_[0] && $_[0] =~ /^-?\d+$/ },
	maybe_int => sub { !defined $_[0] || $_[0] =~ /^\d+$/ },
	bool => sub { JSON::PP::is_bool($_[0]) },
	verdict => sub { defined $_[0] && $_[0] =~ $verdict },
	answer => sub { defined $_[0] && $_[0] =~ $answer },
	maybe_answer => sub { !defined $_[0] || $_[0] =~ $answer },
	names => sub { ref $_[0] eq 'ARRAY' && !grep { ref $_ || !length $_ } @{$_[0]} },
	hex => sub { defined $_[0] && $_[0] =~ /^[0-9a-f]{64}$/ },
	starttls => sub { $_[0] =~ /^(?:not-tried|no-connection|no-smtp|not-offered|refused|timed-out|handshake-failed|ok)$/ },
);
my %of = (
	check => { domain => 'text', overall => 'verdict', reason => 'text', mandatory => 'verdict', mandatory_reason => 'text',
		mx => \'mx', hosts => ['host'], mend => 'maybe' },
	mx => { answer => 'maybe_answer', why => 'text', alias_of => 'maybe', implicit => 'bool', ttl => 'int', left_out => 'int' },
	host => { name => 'text', preference => 'int', verdict => 'verdict', reason => 'text', duty => 'text', why => 'text',
		dns_reason => 'text', alias_of => 'maybe', a => 'maybe_answer', aaaa => 'maybe_answer', base => 'maybe',
		reference_names => 'names', tlsa => \'tlsa?', addresses => ['address'], mend => 'maybe' },
	tlsa => { name => 'text', answer => 'answer', records => ['record'] },
	record => { record => 'text', usable => 'bool', fault => 'maybe' },
	address => { address => 'text', port => 'int', verdict => 'verdict', reason => 'text', starttls => 'starttls',
		said => 'maybe', tls => \'tls?', certificate => \'certificate?', judgement => 'maybe', matched => 'maybe',
		depth => 'maybe_int', mend => 'maybe', note => 'maybe' },
	tls => { version => 'text', cipher => 'text', group => 'maybe', sni => 'maybe' },
	certificate => { cn => 'maybe', names => 'names', spki_sha256 => 'hex', cert_sha256 => 'hex', not_before => 'int',
		not_after => 'int' },
);

sub hold
{
	my ($value, $what, $where) = @_;
	if (ref $what eq 'SCALAR') {
		my ($type, $maybe) = $$what =~ /^(\w+)(\??)$/;
		return if $maybe && !defined $value;
		hold_object($value, $type, $where);
	} elsif (ref $what eq 'ARRAY') {
		ref $value eq 'ARRAY' or die "$where is no array\n";
		hold_object($value->[$_], $what->[0], "$where\[$_]") for 0 .. $#$value;
	} else {
		$is{$what}->($value) or die "$where is no $what: " . JSON::PP->new->allow_nonref->encode($value) . "\n";
	}
}

sub hold_object
{
	my ($value, $type, $where) = @_;
	ref $value eq 'HASH' or die "$where is no object\n";
	for (keys %$value) { exists $of{$type}{$_} or die "$where.$_ is not in the schema\n" }
	for (keys %{$of{$type}}) {
		exists $value->{$_} or die "$where.$_ is missing\n";
		hold($value->{$_}, $of{$type}{$_}, "$where.$_");
	}
}

my $c = JSON::PP->new->decode(do { local $/; <STDIN> });
hold_object($c, 'check', 'check');
my @hosts = map {
	my $h = $_;
	"$h->{name}=$h->{verdict}\[" . join(' ', map { "$_->{address}=$_->{verdict}/$_->{starttls}" } @{$h->{addresses}}) . ']'
} @{$c->{hosts}};
print join(' ', $c->{overall}, $c->{mandatory}, @hosts), " | $c->{reason}\n";
