#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
#
# openmetrics.pl <TEXT: holds an OpenMetrics 1.0 text to its rules (names, types, order, escapes, values, the end) and
# prints its samples, "name{labels} value" a line.  At the first fault it says so and fails.
use strict;
use warnings;

my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $escaped = qr/(?:[^"\\\n]|\\[n"\\])*/;
my %suffix = (counter => '_total', info => '_info', gauge => '', stateset => '', unknown => '');
my ($family, $type, $ended, %seen, %sample, %part);

sub fault { die "line $.: $_[0]: $_\n" }

binmode STDIN;
while (<STDIN>) {
	fault("text behind # EOF") if $ended;
	s/\n\z// or fault("no newline at the end");
	if ($_ eq '# EOF') {
		$ended = 1;
	} elsif (/^# (TYPE|HELP|UNIT) ($name) (.*)$/) {
		my ($what, $of, $rest) = ($1, $2, $3);
		if (!defined $family || $of ne $family) {
			fault("family $of a second time") if $seen{$of}++;
			($family, $type) = ($of, 'unknown');
			%part = ();
		}
		fault("$what twice or behind samples") if $part{$what}++ || $part{sample};
		if ($what eq 'TYPE') {
			defined $suffix{$rest} or fault("unknown type");
			$type = $rest;
			fault("a counter's family ends in _total") if $type eq 'counter' && /_total /;
		} elsif ($what eq 'HELP') {
			$rest =~ /^$escaped$/ or fault("bad escape in HELP");
		}
	} elsif (/^($name)(\{(.*)\})? (\S+)$/) {
		my ($of, $labels, $value) = ($1, $3 // '', $4);
		my %label;
		fault("not a sample of $family") if !defined $family || $of ne $family . $suffix{$type};
		my $rest = $labels;
		while ($rest =~ s/^([a-zA-Z_][a-zA-Z0-9_]*)="($escaped)"(,(?=.)|$)//) {
			fault("label $1 twice") if exists $label{$1};
			$label{$1} = $2;
		}
		fault("bad labels") if $rest ne '';
		fault("this sample twice") if $sample{"$of\{$labels\}"}++;
		$value =~ /^-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$/ or fault("bad value");
		fault("a counter below 0") if $type eq 'counter' && $value < 0;
		fault("an info that is not 1") if $type eq 'info' && $value != 1;
		fault("a state that is neither 0 nor 1") if $type eq 'stateset' && $value !~ /^[01]$/;
		fault("a stateset without its label") if $type eq 'stateset' && !exists $label{$family};
		$part{sample} = 1;
		print "$_\n";
	} else {
		fault("not understood");
	}
}
$ended or die "no # EOF\n";
