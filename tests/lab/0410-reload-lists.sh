#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGHUP and the lists: files that only root reads reach the front of a daemon that is not root any more; a bad line
# changes neither list; a file that is renamed into place is read, and one that is gone is named.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
LAB_QUIET=1
lab_enter

# A connection from .10 or .11 gets its banner
greeted()
{
	SMTP_FROM=198.51.100.$1 net_run internet perl -MIO::Socket::IP -e '
		my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 25, LocalHost => $ENV{SMTP_FROM}, Timeout => 2) or exit 1;
		exit(<$s> =~ /^220 / ? 0 : 1)' $LAB_EDGE
}

# reload: until the log tells how it went; what it said
reload()
{
	local from
	from=$(($(wc -l <$EDGE_LOG) + 1))
	kill -HUP "$EDGE_PID"
	lab_wait 10 eval "tail -n +$from $EDGE_LOG | grep -qE 'reload: |reloaded '"
	tail -n +$from $EDGE_LOG
}

tap_plan 16
lab_up
mkdir -p $LAB_EDGE_DIR
mkdir -m 700 $LAB_RUN/lists
echo '# nobody yet' >$LAB_RUN/lists/drop.txt
: >$LAB_RUN/lists/allow.txt
chmod 600 $LAB_RUN/lists/*.txt
edge_conf | sed "s,interfaces = { \"edge0\" },& deny = \"$LAB_RUN/lists/drop.txt\" allow = \"$LAB_RUN/lists/allow.txt\"," >$EDGE_CONF
edge_start
uid=$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$EDGE_PID/status")
isnt_root=$(setpriv --reuid "$uid" --clear-groups cat $LAB_RUN/lists/drop.txt 2>&1)
like "$uid $isnt_root" '^[1-9][0-9]* .*Permission denied' "danelawd's user cannot read the lists"
ok "with empty lists .10 is greeted" greeted 10
ok "and .11" greeted 11

echo '198.51.100.11 ; a bad one' >$LAB_RUN/lists/drop.txt
like "$(reload)" 'lists: 1 prefixes denied, 0 allowed.*reloaded' "SIGHUP: the list is read"
before=$(edge_stats | awk '$1 == "denied_list" { print $2 }')
ok ".11 is not greeted any more" eval '! greeted 11'
ok "but dropped and counted" test "$(edge_stats | awk '$1 == "denied_list" { print $2 }')" -gt "$before"
ok ".10 is greeted" greeted 10

echo '198.51.100.0/24' >$LAB_RUN/lists/drop.new
mv $LAB_RUN/lists/drop.new $LAB_RUN/lists/drop.txt
echo '198.51.100.11' >$LAB_RUN/lists/allow.txt
like "$(reload)" 'lists: 1 prefixes denied, 1 allowed.*reloaded' "a file renamed into place, and the other list"
ok "now .10 is not greeted" eval '! greeted 10'
ok "and .11 is, by the allow list" greeted 11

: >$LAB_RUN/lists/drop.txt
printf '198.51.100.10\n198.51.100.300\n' >$LAB_RUN/lists/allow.txt
like "$(reload)" 'reload: [^ ]*allow\.txt:2: .*everything stays as it was' "a bad line is named"
ok "and neither list changed: .10 is not greeted" eval '! greeted 10'
ok ".11 is" greeted 11
rm $LAB_RUN/lists/allow.txt
like "$(reload)" 'reload: [^ ]*allow\.txt: No such file or directory; everything stays as it was' "a file that is gone is named"
ok "and nothing changed" eval '! greeted 10'
edge_stop
is $? 0 "danelawd ends well"
tap_end
