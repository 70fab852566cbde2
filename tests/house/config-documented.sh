#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The settings of userspace/config_table.c, those of docs/danelaw.conf.5 and those of
# docs/danelaw.conf.example are the same, section by section, with the same defaults.  TAP; TOP: the source.
cd "${TOP:-.}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# SECTION SETTING [DEFAULT], one a line; the top of the file is section "top"
sed -n 's/^\t\([A-Z]*\)("\([a-z0-9-]*\)", [A-Z]*,.*/\1 \2 &/p' userspace/config_table.c | while read -r section name row; do
	default=$(printf '%s' "$row" | sed -n 's/.*\.def = "\([^"]*\)".*/\1/p')
	echo "$section $name $default" | tr 'A-Z' 'a-z'
done | sed 's/ $//' | sort >"$work/table"

awk '
	/^\.Ss / { section = $2 == "Top" ? "top" : $2; next }
	/^\.Sh / { section = ""; next }
	section && /^\.It Ic / { name = $3; print section, name; next }
	section && /^Default:/ { print "default", section, name, $0 }
	' docs/danelaw.conf.5 >"$work/man"
grep -v '^default ' "$work/man" | sort >"$work/man-names"

# settings that are commented out count: "#name = value"
awk '
	{ sub(/^[ \t]*#?/, "") }
	/^[a-z]+ ("[a-z0-9-]*" )?{/ { section = $1; next }
	/^}/ { section = ""; next }
	/^[a-z0-9-]+ = / { name = $1; value = $0; sub(/^[^=]*= /, "", value); gsub(/"/, "", value)
		print (section ? section : "top"), name, value }
	' docs/danelaw.conf.example | sort >"$work/example"
cut -d ' ' -f 1,2 "$work/example" | sort -u >"$work/example-names"
cut -d ' ' -f 1,2 "$work/table" | sort >"$work/table-names"

n=0
failed=0
verdict() {
	n=$((n + 1))
	if [ -s "$work/faults" ]; then
		echo "not ok $n - $1"
		sed 's/^/#   /' "$work/faults"
		failed=1
	else
		echo "ok $n - $1"
	fi
}

[ "$(wc -l <"$work/table")" -gt 40 ] || echo "only $(wc -l <"$work/table") rows found: has their shape changed?" >"$work/faults"
verdict "the table is read"

{
	comm -23 "$work/table-names" "$work/man-names" | sed 's/$/ is not in the man page/'
	comm -13 "$work/table-names" "$work/man-names" | sed 's/$/ is in the man page only/'
} >"$work/faults"
verdict "danelaw.conf(5) has the settings of the table"

{
	comm -23 "$work/table-names" "$work/example-names" | sed 's/$/ is not in the example/'
	comm -13 "$work/table-names" "$work/example-names" | sed 's/$/ is in the example only/'
} >"$work/faults"
verdict "danelaw.conf.example has the settings of the table"

# "Default: 300s." is on the line of the name's paragraph; paths and quoted words come with a macro on the next line
while read -r section name default; do
	[ -n "$default" ] || continue
	awk -v s="$section" -v n="$name" -v d="$default" '
		/^\.Ss / { section = $2 == "Top" ? "top" : $2 }
		/^\.It Ic / { name = $3 }
		section == s && name == n && /^Default:/ { said = $0; if ($0 == "Default:") { getline; said = said " " $2 } }
		END { sub(/^Default: /, "", said); sub(/\.$/, "", said); sub(/^\\&/, "", said)
			if (said != d) print s " " n ": the default is " d ", the man page says \"" said "\"" }
		' docs/danelaw.conf.5
done <"$work/table" >"$work/faults"
verdict "danelaw.conf(5) has the defaults of the table"

# state-dir and run-dir are folders
sed -n 's/^\t\([A-Z]*\)("\([a-z0-9-]*\)", PATHS*,.*/\1 \2/p' userspace/config_table.c | grep -v -- '-dir$' | tr 'A-Z' 'a-z' >"$work/files"
{
	[ "$(wc -l <"$work/files")" -ge 9 ] || echo "settings that name files are not found any more"
	while read -r section name; do
		awk -v s="$section" -v n="$name" '
			/^\.Ss / { section = $2 }
			/^\.It Ic / { name = $3 }
			section == s && name == n && /^A reload reads (it|them) again|^Read at the start only/ { said = 1 }
			END { exit !said }' docs/danelaw.conf.5 || echo "$section $name: does a reload read it again?"
	done <"$work/files"
} >"$work/faults"
verdict "danelaw.conf(5) says of each file whether a reload reads it again"

echo "1..$n"
exit $failed
