#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# SIGHUP and the lists: files that only root reads reach the front of a daemon that is not root any more; a bad line
# changes neither list; a file that is renamed into place is read, and one that is gone is named.  A start that fails for
# a bad line takes nothing away either.

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

# files: every list from a file, "file prefixes hits read failed" a line
files()
{
	net_run edge danelawctl front lists --json | python3 -c '
import json, sys, time
for l in json.load(sys.stdin):
    if "file" in l:
        print(l["file"].split("/")[-1], l["entries"], l["hits"], 0 <= time.time() - l["loaded_s"] < 600, l.get("failed", {}).get("why", "-"))'
}

tap_plan 28
lab_up
mkdir -p $LAB_EDGE_DIR
mkdir -m 700 $LAB_RUN/lists
echo '# nobody yet' >$LAB_RUN/lists/drop.txt
: >$LAB_RUN/lists/allow.txt
printf '203.0.113.0/24\n2001:db8:66::/48\n' >$LAB_RUN/lists/more.txt
chmod 600 $LAB_RUN/lists/*.txt
edge_conf | sed "s#interfaces = { \"edge0\" }#& deny = { \"$LAB_RUN/lists/drop.txt\", \"$LAB_RUN/lists/more.txt\" } allow = \"$LAB_RUN/lists/allow.txt\"#" >$EDGE_CONF
edge_start
uid=$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$EDGE_PID/status")
isnt_root=$(setpriv --reuid "$uid" --clear-groups cat $LAB_RUN/lists/drop.txt 2>&1)
like "$uid $isnt_root" '^[1-9][0-9]* .*Permission denied' "danelawd's user cannot read the lists"
ok "with empty lists .10 is greeted" greeted 10
ok "and .11" greeted 11
is "$(files)" "allow.txt 0 0 True -
drop.txt 0 0 True -
more.txt 2 0 True -" "danelawctl front lists: the files, one by one"

echo '198.51.100.11 ; a bad one' >$LAB_RUN/lists/drop.txt
like "$(edge_reload)" 'lists: 3 prefixes denied, 0 allowed.*reloaded' "SIGHUP: the list is read"
before=$(edge_stats | awk '$1 == "denied_list" { print $2 }')
ok ".11 is not greeted any more" eval '! greeted 11'
ok "but dropped and counted" test "$(edge_stats | awk '$1 == "denied_list" { print $2 }')" -gt "$before"
ok ".10 is greeted" greeted 10
like "$(files | grep ^drop)" '^drop\.txt 1 [1-9][0-9]* True -$' "and the hits stand at its file"
like "$(files | grep ^more)" '^more\.txt 2 0 True -$' "not at the other"

echo '198.51.100.0/24' >$LAB_RUN/lists/drop.new
mv $LAB_RUN/lists/drop.new $LAB_RUN/lists/drop.txt
echo '198.51.100.11' >$LAB_RUN/lists/allow.txt
like "$(edge_reload)" 'lists: 3 prefixes denied, 1 allowed.*reloaded' "a file renamed into place, and the other list"
ok "now .10 is not greeted" eval '! greeted 10'
ok "and .11 is, by the allow list" greeted 11

: >$LAB_RUN/lists/drop.txt
printf '198.51.100.10\n198.51.100.300\n' >$LAB_RUN/lists/allow.txt
like "$(edge_reload)" 'reload: [^ ]*allow\.txt:2: .*everything stays as it was' "a bad line is named"
ok "and neither list changed: .10 is not greeted" eval '! greeted 10'
ok ".11 is" greeted 11
like "$(files | grep ^allow)" '^allow\.txt 1 [0-9]+ True [^ ]*allow\.txt:2: "198\.51\.100\.300" is not an address' "the lists: what is wrong with which file, and what it was"
like "$(net_run edge danelawctl front lists)" 'allow, [^ ]*/allow\.txt: not read at 20[0-9TZ:-]*, what it was stays
  [^ ]*/allow\.txt:2: ' "in words, too"
rm $LAB_RUN/lists/allow.txt
like "$(edge_reload)" 'reload: [^ ]*allow\.txt: No such file or directory; everything stays as it was' "a file that is gone is named"
ok "and nothing changed" eval '! greeted 10'
like "$(files | grep ^allow)" '^allow\.txt 1 [0-9]+ True [^ ]*allow\.txt: No such file or directory' "the lists: that it is gone"
edge_stop
is $? 0 "danelawd ends well"

# link: the XDP link's number, the same as long as the front was never off
link()
{
	bpftool -j link show pinned $LAB_PINS/links/xdp-edge0 | grep -o '"id":[0-9]*' | head -n 1
}

: >$LAB_RUN/lists/allow.txt
edge_start
net_run edge danelawctl front deny add 198.51.100.11
before=$(link)
kill -KILL "$EDGE_PID"
wait "$EDGE_PID" 2>/dev/null
echo '198.51.100.300' >$LAB_RUN/lists/drop.txt
edge_spawn -c $EDGE_CONF
wait "$EDGE_PID"
like "$? $(tail -n 1 $EDGE_LOG)" '^1 .*drop\.txt:1: "198\.51\.100\.300" is not an address.*the old list stays' \
	"after a crash a start fails for a bad line"
is "$(edge_attached) $(link)" "native $before" "the front stays on"
like "$(net_run edge danelawctl front deny list)" '198\.51\.100\.11' "with the rules that were made by hand"
: >$LAB_RUN/lists/drop.txt
edge_start
is "$(link)" "$before" "with the line mended danelawd takes it over"
like "$(net_run edge danelawctl front deny list)" '198\.51\.100\.11' "and the rules"
ok ".11 is not greeted" eval '! greeted 11'
edge_stop
tap_end
