#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# PROXY headers from a load balancer (HAProxy, versions 1 and 2): believed on a listener that requires them and from
# the configured networks only, never guessed.

. "$(dirname "$0")/lib.sh"
. "$LAB_DIR/tap.sh"
. "$LAB_DIR/smtp.sh"
lab_enter

balancer_conf()
{
	local v port=7000
	printf 'defaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 30s\n\ttimeout server 30s\n'
	for v in send-proxy send-proxy-v2; do
		port=$((port + 1))
		printf 'listen p%s\n\tbind %s:%s\n\tserver edge %s:2525 source %s %s\n' $port $LAB_SENDER2 $port $LAB_EDGE \
			$LAB_SENDER2 $v
	done
}

balancer_up()
{
	net_listens internet $LAB_SENDER2 7001 && net_listens internet $LAB_SENDER2 7002
}

# received TOKEN: the address the backend saw
received()
{
	lab_wait 10 mta_mailbox "$1" >/dev/null && grep -m 1 ^Received: "$(mta_mailbox "$1")" | grep -o '\[[0-9a-fA-F.:IPv]*\]'
}

# What a client gets that talks first: everything until the end of the connection
talk_first()
{
	local l
	smtp_open first clear
	printf '%b' "$1" >&"${SMTP_IN[first]}"
	while IFS= read -r -t 10 -u "${SMTP_OUT[first]}" l; do
		printf '%s ' "${l%$'\r'}"
	done
	[ $? -le 128 ] && echo "closed"
	smtp_close first
}

tap_plan 12
LAB_QUIET=1
lab_up
mkdir -p $LAB_EDGE_DIR
{
	edge_conf
	cat <<-END
		timeouts { proxy-header = 1s }
		listener "lb" {
			address = { "$LAB_EDGE" }
			port = 2525
			certificates = { "edge" }
			pool = "farm"
			proxy = required
			proxy-from = { "$LAB_SENDER2/32" }
		}
	END
} >$EDGE_CONF
edge_start
balancer_conf >$LAB_RUN/balancer.cfg
root_spawn internet $LAB_LOG/haproxy.log haproxy -db -f $LAB_RUN/balancer.cfg
ok "the load balancer stands" lab_wait 10 balancer_up

for port in 7001 7002; do
	v=$((port - 7000))
	like "$(SMTP_TO=$LAB_SENDER2 SMTP_PORT=$port SMTP_FROM=$LAB_SENDER smtp_mail v$v-clear clear)" '^250' "version $v: a mail"
	is "$(received v$v-clear)" "[$LAB_SENDER]" "version $v: the backend sees the client behind the balancer"
	like "$(SMTP_TO=$LAB_SENDER2 SMTP_PORT=$port SMTP_FROM=$LAB_SENDER smtp_mail v$v-tls tls)" '^250' "version $v: a mail over TLS"
	is "$(received v$v-tls)" "[$LAB_SENDER]" "version $v: and so over TLS"
done

forged="PROXY TCP4 203.0.113.99 $LAB_EDGE 4711 25\r\n"
out=$(talk_first "${forged}EHLO x\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<bob@$LAB_DOMAIN_GOOD>\r\nDATA\r\nSubject: forged\r\n\r\nx\r\n.\r\nQUIT\r\n")
is "$(received forged)" "[$LAB_SENDER]" "where forbidden, no header is believed ($out)"
like "$(SMTP_PORT=2525 SMTP_FROM=$LAB_SENDER talk_first "$forged")" '^closed$' "from elsewhere than configured: closed, no word"
like "$(SMTP_PORT=2525 SMTP_FROM=$LAB_SENDER2 talk_first "EHLO x\r\n")" '^closed$' "no header where one is required: closed, no word"
tap_end
