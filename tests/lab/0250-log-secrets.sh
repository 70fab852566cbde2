#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Private keys, the tickets' secret and what mails say never reach a log, also not the most talkative one: mails that
# are taken, in the clear and by TLS, one that is refused in its middle, and commands that are none.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
lab_enter

BODY="the-words-of-this-mail-$$"
SUBJECT="the-subject-of-this-mail-$$"

# Is any line of the file, of those long enough to mean something, in the log?
log_has_line_of()
{
	grep -E '^.{20,}$' "$1" | grep -v -e '-----' | grep -qFf - $EDGE_LOG
}

mail() # mail RECIPIENT OPTION...
{
	local to=$1
	shift
	net_run internet swaks --server $LAB_EDGE --ehlo client.sender.example --from alice@sender.example --to "$to" \
		--header "Subject: $SUBJECT" --body "$BODY" "$@" >>$LAB_LOG/swaks.log 2>&1
}

smuggled() # a body with a bare LF, refused at its end; and a line of it as a command
{
	net_run internet bash -c "exec 3<>/dev/tcp/$LAB_EDGE/25
		printf 'EHLO client.sender.example\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<u@$LAB_DOMAIN_GOOD>\r\nDATA\r\n' >&3
		for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do read -r -t 5 line <&3 || break
			case \$line in 354*) printf '%s\n.\n%s\r\n.\r\n%s\r\nQUIT\r\n' '$BODY' '$BODY' '$BODY' >&3 ;; esac
		done" >/dev/null 2>&1
}

delivered() { [ "$(grep -rl -F "$BODY" $LAB_MAIL 2>/dev/null | wc -l)" -ge 2 ]; }

tap_plan 9
LAB_QUIET=1
lab_up
head -c 48 /dev/urandom | base64 -w 0 >$LAB_RUN/tls/tickets
mkdir -p $LAB_EDGE_DIR
{
	echo 'log-level = debug'
	edge_conf
	printf 'tls { ticket-secret = "%s" }\n' $LAB_RUN/tls/tickets
} >$EDGE_CONF
edge_start
ok "a mail by TLS" mail u@$LAB_DOMAIN_GOOD --tls
ok "a mail in the clear" mail u@$LAB_DOMAIN_GOOD
smuggled
ok "both were delivered" lab_wait 20 delivered
ok "the log has a line for the refused one" lab_wait 10 grep -q 'end=bare_newline' $EDGE_LOG
ok "the look finds what is there" bash -c "echo 'a line that is long enough to count' >>$EDGE_LOG; echo 'a line that is long enough to count' |
	grep -qFf - $EDGE_LOG"
ok "no line of the private key" eval '! log_has_line_of $LAB_RUN/tls/edge.key'
ok "not the tickets' secret" eval '! log_has_line_of $LAB_RUN/tls/tickets'
ok "no word of a mail's body" eval '! grep -qF "$BODY" $EDGE_LOG'
ok "no word of its header" eval '! grep -qF "$SUBJECT" $EDGE_LOG'
tap_end
