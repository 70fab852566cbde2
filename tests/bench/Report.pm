# SPDX-License-Identifier: BSD-2-Clause
# Report: samples in, bench.json and the table out.
package Report;
use strict;
use warnings;
use JSON::PP;

sub new { return bless { rows => {}, order => [] }, shift }

sub add {
	my ($self, $case, $subject, $metric, $unit, $value) = @_;
	my $key = "$case $subject $metric";
	push @{ $self->{order} }, $key unless $self->{rows}{$key};
	my $row = $self->{rows}{$key} ||=
	    { case => $case, subject => $subject, metric => $metric, unit => $unit, samples => [] };
	push @{ $row->{samples} }, 0 + sprintf('%.3f', $value);
}

sub median {
	my (@s) = sort { $a <=> $b } @_;
	return @s % 2 ? $s[$#s / 2] : ($s[@s / 2 - 1] + $s[@s / 2]) / 2;
}

sub value {
	my ($self, $case, $subject, $metric) = @_;
	my $row = $self->{rows}{"$case $subject $metric"};
	return $row ? median(@{ $row->{samples} }) : undef;    # one value always: it stands in lists
}

sub write {
	my ($self, $file) = @_;
	my @rows = map { { %{ $self->{rows}{$_} }, median => median(@{ $self->{rows}{$_}{samples} }) } } @{ $self->{order} };
	open my $out, '>', $file or die "bench: $file: $!\n";
	print $out JSON::PP->new->canonical->pretty->encode(\@rows);
	close $out or die "bench: $file: $!\n";
}

sub cell {
	my ($format, $value) = @_;
	return defined $value ? sprintf($format, $value) : '-';
}

sub megabytes {
	my ($octets) = @_;
	return defined $octets ? $octets / 1e6 : undef;
}

sub distinct {
	my ($self, $field) = @_;
	my %seen;
	return grep { !$seen{$_}++ } map { $self->{rows}{$_}{$field} } @{ $self->{order} };
}

sub table {
	my ($self, $rounds, $cpus) = @_;
	my $row = "%-11s %-14s %10s %8s %8s %9s %8s %8s %9s %7s %7s\n";
	printf $row, 'case', 'subject', 'CPU µs', '/ nginx', '/ floor', 'sess/s', 'p50 ms', 'p99 ms', 'syscalls', 'MB peak', 'B idle';
	for my $case ($self->distinct('case')) {
		my ($nginx, $floor) = map { $self->value($case, $_, 'cpu_us_per_session') } 'nginx', 'openssl';
		my $idle_nginx = $self->value($case, 'nginx', 'idle_bytes_per_session');
		for my $subject ($self->distinct('subject')) {
			my $v = sub { $self->value($case, $subject, shift) };
			my ($cpu, $idle) = ($v->('cpu_us_per_session'), $v->('idle_bytes_per_session'));
			next unless defined $cpu || defined $idle;
			my $over = defined $cpu ? $nginx && $cpu / $nginx : $idle_nginx && $idle / $idle_nginx;
			printf $row, $case, $subject, cell('%.1f', $cpu), cell('%.2f', $over || undef),
			    cell('%.2f', defined $cpu && $floor ? $cpu / $floor : undef), cell('%.0f', $v->('sessions_per_s')),
			    cell('%.2f', $v->('latency_p50_ms')), cell('%.2f', $v->('latency_p99_ms')),
			    cell('%.1f', $v->('syscalls_per_session')), cell('%.1f', megabytes($v->('peak_memory_bytes'))), cell('%.0f', $idle);
		}
	}
	print "medians of $rounds rounds; ratios from the same rounds; docs/performance.md says what each figure means\n";
}

1;
