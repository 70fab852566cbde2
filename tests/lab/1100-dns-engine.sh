#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The engine on real zones: signed, unsigned, bogus, expired, opt-out, dead, silent, aliased, malformed and large ones,
# first by its own recursion from the lab's root, then through a validating resolver.  Each row: a question and what
# the engine makes of the answer (dns_probe.c says how to read it).

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter "$@"
. "$LAB_DIR/dns_zoo.sh"

# name, what is asked, what the engine says
ROWS="sec.example MX                        | secure 1
mx.sec.example A                            | secure 1
mx.sec.example AAAA                         | denied 0
_25._tcp.mx.sec.example TLSA                | secure 1
_25._tcp.plain.sec.example TLSA             | denied 0
nothing.sec.example A                       | denied 0
alias.sec.example A                         | secure 1 alias=mx.sec.example
alias.sec.example CNAME                     | secure 1
chain.sec.example A                         | secure 1 alias=mx.sec.example
dangling.sec.example A                      | denied 0 alias=gone.sec.example
loop.sec.example A                          | failed 0
deep.sec.example A                          | failed 0
out.sec.example A                           | insecure 1 alias=mx.uns.example
out.sec.example CNAME                       | secure 1
mx.old.example A                            | secure 1 alias=mx.sec.example
_25._tcp.mx.old.example TLSA                | secure 1 alias=_25._tcp.mx.sec.example
uns.example MX                              | insecure 1
mx.uns.example A                            | insecure 1
nothing.uns.example A                       | denied-insecure 0
_25._tcp.mx.uns.example TLSA                | insecure 1
mx.bog.example A                            | failed/bogus 0
mx.old-signatures.example A                 | failed/bogus 0
mx.tlsabog.example A                        | secure 1
_25._tcp.mx.tlsabog.example TLSA            | failed/bogus 0
mx.denialbog.example A                      | secure 1
mx.denialbog.example AAAA                   | failed/bogus 0
mx.opt.example A                            | secure 1
_25._tcp.mx.opt.example TLSA                | secure 1
mx.opt.example AAAA                         | denied 0
nothing.opt.example A                       | denied-insecure 0
child.opt.example A                         | insecure 1
mx.lame.example A                           | failed 0
mx.zoo.example A                            | secure 1
_25._tcp.mx.zoo.example TLSA                | denied 0
mx.silent-a.zoo.example A                   | failed 0
_25._tcp.mx.silent-tlsa.zoo.example TLSA    | failed 0
_25._tcp.mx.servfail-tlsa.zoo.example TLSA  | failed 0
_25._tcp.len0.zoo.example TLSA              | failed 0
_25._tcp.len1.zoo.example TLSA              | secure 1
_25._tcp.len2.zoo.example TLSA              | secure 1
_25._tcp.len3.zoo.example TLSA              | secure 1
_25._tcp.mixed.zoo.example TLSA             | secure 2
_25._tcp.twelve.many.example TLSA           | secure 12
_25._tcp.sixty.many.example TLSA            | secure 60
sec.example domain        | mx.sec.example authenticate/records base=mx.sec.example records=1 names+sec.example
plain.example domain      | mx.plain.example none/no_tlsa
aliased.example domain    | mx.aliased.example authenticate/records base=mx.sec.example records=1 names+aliased.example
original.example domain   | mx.original.example authenticate/records base=mx.original.example records=1 names+original.example
insecure-end.example domain | mx.insecure-end.example authenticate/records base=mx.insecure-end.example records=1 names+insecure-end.example
tlsa-alias.example domain | mx.tlsa-alias.example authenticate/records base=mx.tlsa-alias.example records=1 names+tlsa-alias.example
tlsa-out.example domain   | mx.tlsa-out.example none/tlsa_insecure
dom-alias.sec.example domain | mx.sec.example authenticate/records base=mx.sec.example records=1 names+dom-alias.sec.example,sec.example
x.old.example domain      | mx.sec.example authenticate/records base=mx.sec.example records=1 names+x.old.example,x.sec.example
unusable.example domain   | mx.unusable.example tls-required/unusable names+unusable.example
null.example domain       | bounce/null_mx
implicit.example domain   | implicit.example authenticate/records base=implicit.example records=1
nomail.example domain     | bounce/no_mail
nonexistent.example domain | bounce/no_mail
uns.example domain        | mx.uns.example none/mx_insecure
uns-to-sec.example domain | mx.sec.example none/mx_insecure
uns-to-sec.example domain/dane | mx.sec.example authenticate/records base=mx.sec.example records=1
uns.example domain/dane   | mx.uns.example none/host_insecure
bog.example domain        | defer/mx_bogus
old-signatures.example domain | defer/mx_bogus
lame.example domain       | defer/mx_failed
tlsabog.example domain    | defer/tlsa_bogus
denialbog.example domain  | mx.denialbog.example authenticate/records base=mx.denialbog.example records=1 names+denialbog.example
opt.example domain        | mx.opt.example authenticate/records base=mx.opt.example records=1 names+opt.example
silent.example domain     | defer/tlsa_failed
outlook.example domain    | mx.silent-tlsa.shed.example none/host_insecure
order.example domain      | mx.plain.example none/no_tlsa; mx.sec.example authenticate/records base=mx.sec.example records=1 names+order.example
skip.example domain       | mx.tlsabog.example unreachable/tlsa_bogus; mx.sec.example authenticate/records base=mx.sec.example records=1 names+skip.example
literal.example domain    | 192.0.2.9 none/literal
short.example domain      | len1.zoo.example tls-required/unusable names+short.example; len2.zoo.example tls-required/unusable names+short.example; len3.zoo.example tls-required/unusable names+short.example; mixed.zoo.example authenticate/records base=mixed.zoo.example records=1 names+short.example
zero.example domain       | defer/tlsa_failed
twelve.example domain     | twelve.many.example authenticate/records base=twelve.many.example records=12 names+twelve.example
sixty.example domain      | sixty.many.example authenticate/records base=sixty.many.example records=60 names+sixty.example
mx.sec.example 10025      | mx.sec.example authenticate/records base=mx.sec.example records=1
mx.sec.example 26         | mx.sec.example none/no_tlsa
mx.uns.example 25         | mx.uns.example none/host_insecure
mx.bog.example 25         | defer/address_bogus"

rows()
{
	sed 's/ *| .*//' <<<"$ROWS"
}

# expect HOW: compares the probe's answers in $LAB_RUN/answers with the rows
expect()
{
	local got wanted
	while IFS='|' read -r what wanted; do
		what=$(echo $what)
		got=$(grep -F -m 1 "$what: " $LAB_RUN/answers)
		got=${got#"$what: "}
		is "$(echo ${got%% \#*})" "$(echo $wanted)" "$1: $what" || echo "# $got"
	done <<<"$ROWS"
}

probe()
{
	net_run internet "$LAB_SRC/build/tests/lab/dns_probe" $LAB_TRUST_ANCHOR "$@"
}

{ net_up && root_mount && zoo_up; } >$LAB_LOG/lab.log 2>&1 || lab_die "$(cat $LAB_LOG/lab.log)"
COUNT=$(wc -l <<<"$ROWS")
tap_plan $((2 * COUNT + 10))

rows | probe hints $LAB_DNS/hints 4000 >$LAB_RUN/answers 2>$LAB_LOG/probe.err
expect "own recursion"
rows | probe forward $LAB_RESOLVER 4000 >$LAB_RUN/answers 2>>$LAB_LOG/probe.err
expect "validating resolver"

is "$(cat $LAB_LOG/probe.err)" "" "nothing is said on standard error"
like "$(probe hints $LAB_DNS/hints 4000 <<<health)" 'health: working' "the probe finds validation working"
like "$(probe hints $LAB_DNS/hints 4000 . mx.bog.example <<<health)" 'health: working' "and the bogus name bogus"
like "$(probe hints $LAB_DNS/hints 4000 . mx.sec.example <<<health)" 'not-validating.*should be bogus and is secure' \
	"a bogus name that passes is seen"
like "$(probe hints $LAB_DNS/hints 4000 mx.uns.example <<<health)" 'not-validating.*denied-insecure' \
	"a name that is not secure is seen"
like "$(probe forward 203.0.113.99 1000 <<<health)" 'no-answer.*failed: no answer within 1.0 s' "a dead resolver is seen"
cp $LAB_TRUST_ANCHOR $LAB_RUN/anchor.good
sed -i 's/[0-9a-f]\{8\}$/deadbeef/' $LAB_TRUST_ANCHOR
like "$(probe hints $LAB_DNS/hints 4000 <<<health)" 'no-answer.*does not validate' "a wrong trust anchor is seen"
cp $LAB_RUN/anchor.good $LAB_TRUST_ANCHOR

# While one engine runs: a bogus record is mended, and believed at once; a good one becomes bogus, and is not believed
# once its TTL of 5 s is over.
soa()
{
	root_run dns dig +short @$LAB_AUTH denialbog.example SOA
}
served_again()
{
	[ "$(soa)" != "$1" ]
}
touch $LAB_RUN/broken
(
	before=$(soa)
	lab_wait 30 test ! -e $LAB_RUN/broken
	{ zoo_mx mx; zoo_host mx; } | dns_zone tlsabog.example
	{ zoo_mx mx; zoo_host mx; } | dns_zone denialbog.example bogus-TLSA
	root_run dns nsd-control -c $LAB_DNS/nsd.conf reload
	lab_wait 20 served_again "$before"
	touch $LAB_RUN/mended
) >>$LAB_LOG/mend.log 2>&1 &
probe hints $LAB_DNS/hints 4000 >$LAB_RUN/answers 2>>$LAB_LOG/probe.err <<END
_25._tcp.mx.tlsabog.example TLSA
_25._tcp.mx.denialbog.example TLSA
! rm $LAB_RUN/broken; until [ -e $LAB_RUN/mended ]; do sleep 0.1; done
_25._tcp.mx.tlsabog.example TLSA
! sleep 6
_25._tcp.mx.denialbog.example TLSA
END
is "$(sed 's/ #.*//' $LAB_RUN/answers)" "_25._tcp.mx.tlsabog.example TLSA: failed/bogus 0
_25._tcp.mx.denialbog.example TLSA: secure 1
_25._tcp.mx.tlsabog.example TLSA: secure 1
_25._tcp.mx.denialbog.example TLSA: failed/bogus 0" "a failure is not kept, a record no longer than its TTL"

# The resolver says nothing for so long that libunbound holds it for dead, and then is back: that is seen soon, and not
# when libunbound thinks of asking it again.
silence() # silence add|del
{
	echo "! for f in -4 -6; do nsenter --net=/run/netns/dns ip \$f rule $1 pref 1 blackhole iif lo; done"
}
silent_for_long()
{
	local i
	echo "mx.sec.example A"
	silence add
	for i in {1..18}; do printf 'silent%d.sec.example A\n! sleep 2\n' $i; done
	silence del
	for i in {1..10}; do printf 'back%d.sec.example A\n! sleep 1\n' $i; done
}
silent_for_long | probe forward $LAB_RESOLVER 4000 >$LAB_RUN/answers 2>>$LAB_LOG/probe.err
is "$(grep -c '^silent.*: failed' $LAB_RUN/answers)" 18 "a silent resolver: every look-up fails"
like "$(grep '^back.*: denied' $LAB_RUN/answers | head -n 1)" . "it is back: asked again at once"
tap_end
