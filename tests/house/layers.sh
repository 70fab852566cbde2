#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The house as drawn: #include lines of userspace/ against tests/house/layers, one home for each outside
# library, a licence line in each file.  TAP; TOP is the source to look at (default: here).
cd "${TOP:-.}" || exit 1

n=0
failed=0
# verdict NAME: ok if the file $faults is empty, else its lines are what is wrong
faults=$(mktemp) || exit 1
trap 'rm -f "$faults"' EXIT
verdict() {
	n=$((n + 1))
	if [ -s "$faults" ]; then
		echo "not ok $n - $1"
		sed 's/^/#   /' "$faults"
		failed=1
	else
		echo "ok $n - $1"
	fi
}

# every "#include" of the folders given: FILE<tab>WHAT, WHAT with its quotes or brackets
includes() {
	find "$@" -name '*.[ch]' -o -name '*.def' | sort | while read -r file; do
		sed -n "s,^[ \t]*#[ \t]*include[ \t]*\([<\"][^>\"]*[>\"]\).*,$file\t\1,p" "$file"
	done
}

{
	awk '!/^#/ && NF { for (i = 3; i <= NF; i++) if (seen[$i]++) print "in the table twice: " $i }' tests/house/layers
	for file in userspace/*.[ch] userspace/*.def; do
		name=$(basename "$file" | sed 's/\.[a-z]*$//')
		awk -v name="$name" '!/^#/ { for (i = 3; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }' tests/house/layers ||
			echo "$file has no room in tests/house/layers"
	done
	for name in $(awk '!/^#/ { for (i = 3; i <= NF; i++) print $i }' tests/house/layers); do
		ls userspace/"$name".* >/dev/null 2>&1 || echo "$name of tests/house/layers is not in userspace"
	done
} >"$faults"
verdict "every file of userspace has one room, and rooms have no others"

includes userspace | awk -F '\t' '
	FNR == NR {
		if ($0 !~ /^#/) {
			k = split($0, word, /[ \t]+/)
			for (i = 3; i <= k; i++) { layer[word[i]] = word[1] + 0; room[word[i]] = word[2] }
		}
		next
	}
	function bare(path) { sub(/.*\//, "", path); sub(/\.[a-z]*"?$/, "", path); return path }
	$2 ~ /^"userspace\// {
		from = bare($1); to = bare($2)
		if (!(to in room)) print $1 " includes " $2 ", which has no room"
		else if (room[from] != room[to] && layer[to] >= layer[from])
			print $1 " (" room[from] ", layer " layer[from] ") includes " $2 " (" room[to] ", layer " layer[to] ")"
	}
	$2 ~ /^"/ && $2 !~ /^"(userspace|bpf)\// { print $1 " includes " $2 ": paths begin at the top of the source" }
' tests/house/layers - >"$faults"
verdict "a file includes its own room and lower layers only"

# library: a pattern of what is included; homes: a pattern of the files that may
one_home() {
	includes userspace tools | awk -F '\t' -v library="$2" -v homes="$3" \
		'$2 ~ library && $1 !~ homes { print $1 " includes " $2 }' >"$faults"
	verdict "$1 is known in one place"
}
one_home liburing '^<liburing' '^userspace/ring_uring\.c$'
one_home OpenSSL '^<openssl/' '^userspace/tls[a-z_]*\.[ch]$'
one_home libunbound '^<unbound' '^userspace/dns[a-z_]*\.[ch]$'
one_home libbpf '^[<"](bpf|linux\/bpf|xdp)' '^(userspace/front[a-z_]*\.[ch]|tools/.*)$'
one_home 'the BPF skeletons' '\.skel\.h"$' '^userspace/front(_cookies|_steer)?\.c$'
one_home libconfuse '^<confuse' '^userspace/config[a-z_]*\.c$'
one_home jansson '^<jansson' '^(userspace/control[a-z_]*\.[ch]|tools/.*)$'
one_home libmicrohttpd '^<microhttpd' '^userspace/metrics\.c$'
one_home libseccomp '^<seccomp' '^userspace/privileges[a-z_]*\.[ch]$'

# pure rooms: no sockets, no files (smtp, proxy_header, dane, timer, buf, stats)
includes userspace | awk -F '\t' '
	$1 ~ /^userspace\/(smtp|proxy_header|dane|timer|buf|stats)[a-z_]*\.[ch]$/ &&
	$2 ~ /^<(unistd|fcntl|poll|netdb|pthread|sys\/(socket|epoll|un|stat|ioctl))\.h>/ { print $1 " includes " $2 }' >"$faults"
verdict "pure rooms do no I/O"

find bpf userspace tools tests docs Makefile -type f | grep -v '/seeds/' | sort | while read -r file; do
	case $file in
	*.c | *.h | *.def | *.sh | *.mk | *.py | *.pl | *.[1-9] | Makefile) ;;
	*) [ "$(head -c 2 "$file")" = '#!' ] || continue ;;
	esac
	case $file in
	bpf/*.c | bpf/*.h | bpf/*.def) licence='GPL-2.0-only OR BSD-2-Clause' ;;
	*) licence='BSD-2-Clause' ;;
	esac
	head -n 3 "$file" | grep -q "SPDX-License-Identifier: $licence\( \*/\)\{0,1\}$" ||
		echo "$file: no line SPDX-License-Identifier: $licence among its first three"
done >"$faults"
verdict "every source file says its licence"

echo "1..$n"
exit $failed
