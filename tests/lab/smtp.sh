# SPDX-License-Identifier: BSD-2-Clause
#
# SMTP clients held in hand, several at once: the tests type the commands and read the replies.
#
#	smtp_open NAME [tls|clear] [openssl s_client options]	from the namespace internet to the edge
#	smtp_reply NAME		the next reply, within 30 s: its last line is SMTP_REPLY, all of it SMTP_ALL; false and
#				empty at the end of the connection
#	smtp_say NAME LINE	one line, CRLF added;  smtp_ask: a line, then its reply
#	smtp_hello, smtp_begin, smtp_body, smtp_mail: see below
#	smtp_close NAME
# SMTP_FROM is the address to connect from, SMTP_TO and SMTP_PORT where to.

# a peer that is gone is an answer, not the end of the test
trap "" PIPE
declare -A SMTP_IN SMTP_OUT SMTP_PID

# A connection without TLS: perl, which has the sockets bash lacks (source address, half-close)
smtp_clear()
{
	exec perl -MIO::Socket::IP -MIO::Select -e '
		my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[2],
			LocalHost => $ARGV[1] || undef) or exit 1;
		my $sel = IO::Select->new($s, \*STDIN);
		while (1) {
			for my $f ($sel->can_read) {
				my $n = sysread($f, my $b, 65536);
				if ($f == $s) { $n or exit 0; syswrite(STDOUT, $b) }
				elsif ($n) { syswrite($s, $b) }
				else { $s->shutdown(1); $sel->remove(\*STDIN) }
			}
		}' "${SMTP_TO:-$LAB_EDGE}" "${SMTP_FROM:-}" "${SMTP_PORT:-25}"
}

smtp_open()
{
	local name=$1 how=${2:-clear} dir=$LAB_RUN/smtp.$1 in out
	shift $(($# > 1 ? 2 : 1))
	rm -rf "$dir"
	mkdir -p "$dir"
	mkfifo "$dir/in" "$dir/out"
	if [ "$how" = tls ]; then
		(exec nsenter --net=/run/netns/internet openssl s_client -quiet -starttls smtp \
			-connect "${SMTP_TO:-$LAB_EDGE}:${SMTP_PORT:-25}" ${SMTP_FROM:+-bind "$SMTP_FROM:0"} "$@" \
			<"$dir/in" >"$dir/out" 2>"$dir/err") &
	else
		(export -f smtp_clear; export SMTP_TO SMTP_FROM SMTP_PORT LAB_EDGE
			exec nsenter --net=/run/netns/internet bash -c smtp_clear <"$dir/in" >"$dir/out" 2>"$dir/err") &
	fi
	SMTP_PID[$name]=$!
	exec {in}>"$dir/in" {out}<"$dir/out"
	SMTP_IN[$name]=$in SMTP_OUT[$name]=$out
}

smtp_reply()
{
	local l
	SMTP_REPLY='' SMTP_ALL=''
	while IFS= read -r -t "${SMTP_WAIT:-30}" -u "${SMTP_OUT[$1]}" l; do
		SMTP_ALL+=${l%$'\r'}$'\n'
		[ "${l:3:1}" = - ] || { SMTP_REPLY=${l%$'\r'}; return 0; }
	done
	return 1
}

smtp_say()
{
	SMTP_REPLY='' SMTP_ALL=''
	printf '%s\r\n' "$2" 2>/dev/null >&"${SMTP_IN[$1]}"
}

smtp_ask()
{
	smtp_say "$1" "$2" && smtp_reply "$1"
}

# smtp_hello NAME [tls|clear]: a connection as far as the reply to its last EHLO (after TLS, if so)
smtp_hello()
{
	smtp_open "$@"
	[ "${2:-clear}" = tls ] || smtp_reply "$1" || return 1
	smtp_ask "$1" "EHLO client.sender.example"
}

# smtp_begin NAME: as far as DATA's reply, or the first that is not 2xx
smtp_begin()
{
	smtp_ask "$1" "MAIL FROM:<alice@sender.example>" && [[ $SMTP_REPLY == 2* ]] &&
		smtp_ask "$1" "RCPT TO:<bob@$LAB_DOMAIN_GOOD>" && [[ $SMTP_REPLY == 2* ]] && smtp_ask "$1" DATA
}

# smtp_body NAME TOKEN: the message, not its final dot
smtp_body()
{
	mta_message "$2" bob@$LAB_DOMAIN_GOOD | sed 's/$/\r/' 2>/dev/null >&"${SMTP_IN[$1]}"
}

# smtp_mail TOKEN [tls|clear]: a whole mail; prints the reply that decided
smtp_mail()
{
	smtp_hello mail "${2:-clear}" && [[ $SMTP_REPLY == 250* ]] && smtp_begin mail && [[ $SMTP_REPLY == 354* ]] &&
		smtp_body mail "$1" && smtp_ask mail .
	smtp_close mail
	echo "$SMTP_REPLY"
}

smtp_close()
{
	local in=${SMTP_IN[$1]} out=${SMTP_OUT[$1]}
	exec {in}>&- {out}<&-
	kill "${SMTP_PID[$1]}" 2>/dev/null
	wait "${SMTP_PID[$1]}" 2>/dev/null
	unset "SMTP_IN[$1]" "SMTP_OUT[$1]" "SMTP_PID[$1]"
	return 0
}
