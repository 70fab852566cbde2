#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What `make install` puts where, and the documents: every command and every option has its place in a man page and the
# other way round, man pages pass mandoc's checks, and what the documents link to is there.  TAP; TOP: the source.
cd "${TOP:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

n=0
failed=0
# verdict NAME: ok if $work/faults is empty, else its lines are what is wrong
verdict() {
	n=$((n + 1))
	if [ -s "$work/faults" ]; then
		echo "not ok $n - $1"
		sed 's/^/#   /' "$work/faults"
		failed=1
	else
		echo "ok $n - $1"
	fi
	: >"$work/faults"
}

# ---- what is built ----

# into a folder that is not there, so that everything would have to be made; with no target named
make -n --no-print-directory B="$work/none" >"$work/log" 2>&1
for program in danelawd danelawctl; do
	grep -q -- "-o $work/none/$program " "$work/log" || echo "$program is not made"
done >"$work/faults"
grep -q -- "-o $work/none/tests/" "$work/log" && echo "tests are made" >>"$work/faults"
verdict "make, without a target, makes danelawd and danelawctl"

# ---- installed files ----

make -s --no-print-directory install DESTDIR="$work/root" PREFIX=/usr >"$work/log" 2>&1 || cat "$work/log" >"$work/faults"
verdict "make install DESTDIR= PREFIX="

(cd "$work/root" && find . -type f -printf '%m %P\n' | sort -k 2) >"$work/found"
{
	printf '755 usr/sbin/%s\n' danelawctl danelawd
	printf '644 usr/lib/systemd/system/danelawd.service\n644 usr/lib/sysusers.d/danelaw.conf\n'
	printf '644 usr/share/man/man5/danelaw.conf.5\n644 usr/share/man/man8/%s\n' danelawctl.8
	printf '644 usr/share/man/man8/danelawd.8\n644 usr/share/doc/danelaw/%s\n' LICENSE
	printf '644 usr/share/doc/danelaw/%s\n' README.md danelaw.conf.example
	for f in docs/*.md; do
		echo "644 usr/share/doc/danelaw/${f#docs/}"
	done
} | sort -k 2 >"$work/wanted"
diff "$work/wanted" "$work/found" >"$work/faults"
verdict "the files, and no others"

service=$work/root/usr/lib/systemd/system/danelawd.service
sed -n 's/^Exec[A-Za-z]*=\([^ ]*\).*/\1/p' "$service" | while read -r program; do
	[ -x "$work/root$program" ] || echo "danelawd.service runs $program, which is not installed"
done >"$work/faults"
grep -n '@' "$service" | grep -v '@[a-z]' >>"$work/faults"
[ "$(grep -c '^Exec' "$service")" = 2 ] || echo "danelawd.service starts and reloads by two lines" >>"$work/faults"
"$work/root/usr/sbin/danelawd" --version >"$work/version" 2>&1 && "$work/root/usr/sbin/danelawctl" version >>"$work/version" 2>&1
printf 'danelawd %s\ndanelawctl %s\n' "$(cat VERSION)" "$(cat VERSION)" | diff - "$work/version" >>"$work/faults"
verdict "the unit runs what is installed, and that runs"

# ---- man pages ----

for page in docs/*.[1-9]; do
	mandoc -T lint -W warning "$page" || echo "$page: mandoc -T lint says no"
done >"$work/faults" 2>&1
verdict "mandoc has nothing to say"

# section PAGE NAME: the text of a .Ss or .Sh
section() {
	awk -v name="$2" '/^\.S[sh] / { on = substr($0, 5) == name } on' "$1"
}

# the options named in a text of usage, and in the .It lines of a page
options_said() {
	grep -oE '(^|[^a-z-])--[a-z][a-z-]*' "$1" | grep -oE '[a-z][a-z-]*$' | sort -u
}
options_documented() {
	grep -E '^\.(It|Op|Oo|Fl)|Fl -' "$1" | grep -oE 'Fl -[a-z][a-z-]*|, -[a-z][a-z-]*' | sed 's/.* -//' | sort -u
}

build/danelawd --help >"$work/usage" 2>&1
options_said "$work/usage" >"$work/said"
options_documented docs/danelawd.8 >"$work/documented"
{
	[ "$(wc -l <"$work/said")" -ge 7 ] || echo "options of danelawd are not found any more"
	comm -23 "$work/said" "$work/documented" | sed 's/^/--/; s/$/ of danelawd is not in danelawd(8)/'
	comm -13 "$work/said" "$work/documented" | sed 's/^/--/; s/$/ is in danelawd(8) only/'
} >"$work/faults"
verdict "danelawd(8) has its options, and no others"

for help in 'danelawd --help' 'danelawctl help' 'danelawctl front help'; do
	build/$help | awk -v help="$help" '/^  [a-z-]/ {
		match($0, /^.*  /)
		if (!column) column = RLENGTH
		# printf() pads octets, so letters of several are as bad
		if (RLENGTH != column || /[^ -~]/) print help ": what a row means does not begin where the others do: " $0
		rows++
	} END { if (rows < 5) print help " has no rows any more" }'
done >"$work/faults"
verdict "rows of usage stand in columns"

sed -n 's/^\t{ "\([a-z-]*\)", cmd_[a-z_]*, .*/\1/p' tools/danelawctl.c | sort >"$work/commands"
sed -n '/^\.Sh DESCRIPTION/,/^\.Sh THE SOCKET/s/^\.Ss //p' docs/danelawctl.8 | sort >"$work/sections"
{
	[ "$(wc -l <"$work/commands")" -ge 10 ] || echo "commands of danelawctl are not found any more"
	comm -23 "$work/commands" "$work/sections" | sed 's/$/: a command without a section in danelawctl(8)/'
	comm -13 "$work/commands" "$work/sections" | sed 's/$/: a section of danelawctl(8) without a command/'
} >"$work/faults"
verdict "danelawctl(8) has a section for every command"

while read -r command; do
	case $command in version) continue ;; esac
	build/danelawctl "$command" --help >"$work/usage" 2>&1 || echo "$command --help ends with status $?"
	options_said "$work/usage" | grep -vxE 'help|socket' >"$work/said"
	section docs/danelawctl.8 "$command" >"$work/section"
	options_documented "$work/section" >"$work/documented"
	# --json is told once, above, for those that ask the daemon
	grep -q -- --socket "$work/usage" && echo json >>"$work/documented"
	sort -u "$work/documented" | comm -23 "$work/said" - | sed "s/^/$command --/; s/\$/ is not in danelawctl(8)/"
	sort -u "$work/documented" | comm -13 "$work/said" - | grep -vx 'json' | sed "s/^/$command --/; s/\$/ is in danelawctl(8) only/"
done <"$work/commands" >"$work/faults"
verdict "danelawctl(8) has their options, and no others"

sed -n 's/^\t{ "\([a-z-]*\)", control_[a-z_]*, .*/\1/p' userspace/control_verbs.c | sort >"$work/verbs"
{
	[ "$(wc -l <"$work/verbs")" -ge 9 ] || echo "verbs of the control socket are not found any more"
	grep -v '^help$' "$work/verbs" | while read -r verb; do
		grep -qE "ctl_ask\(.*\"$verb\"" tools/*.c || echo "$verb: a verb that no command of danelawctl asks"
	done
} >"$work/faults"
verdict "every verb of the control socket has a command"

sed -n '/^const char \*backend_state_name/,/^}/p' userspace/backend.c | grep -o '"[^"]*"' | tr -d '"' >"$work/states"
section docs/danelawctl.8 backends | sed -n 's/^\.It //p' | sort >"$work/documented"
{
	[ "$(wc -l <"$work/states")" -ge 5 ] || echo "the states of backends are not found any more"
	sort "$work/states" | comm -3 - "$work/documented" | sed 's/^\t*//; s/$/: a state of backends on one side only/'
} >"$work/faults"
verdict "danelawctl(8) has the states of backends, and no others"

# ---- the quick start's configuration, and links ----

awk '/^```$/ { on = !on; next } on' docs/quickstart.md >"$work/quickstart.conf"
{
	[ "$(wc -l <"$work/quickstart.conf")" -ge 10 ] || echo "there is no configuration in docs/quickstart.md"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mx1.example.net \
		-keyout "$work/privkey.pem" -out "$work/fullchain.pem" 2>/dev/null
	sed -i "s,/etc/letsencrypt/live/mx1.example.net,$work," "$work/quickstart.conf"
	build/danelawd -t -c "$work/quickstart.conf" 2>&1 | grep -v ': ok$'
} >"$work/faults"
verdict "the quick start's configuration is one"

for page in README.md docs/*.md; do
	grep -oE '\]\([^)]+\)' "$page" | sed 's/^](//; s/)$//; s/#.*//' | grep -vE '^(https?:|mailto:|$)' | while read -r link; do
		[ -e "$(dirname "$page")/$link" ] || echo "$page links to $link, which is not there"
	done
	grep -oE '(^|[ (`])docs/[A-Za-z0-9._-]+' "$page" | grep -oE 'docs/.*[A-Za-z0-9]' | sort -u | while read -r named; do
		[ -e "$named" ] || echo "$page names $named, which is not there"
	done
done >"$work/faults"
verdict "what the documents link to is there"

for page in docs/*.md; do
	grep -qF "]($page)" README.md || echo "README.md has no link to $page"
done >"$work/faults"
verdict "the README leads to every document"

echo "1..$n"
exit $failed
