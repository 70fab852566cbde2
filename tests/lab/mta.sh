# SPDX-License-Identifier: BSD-2-Clause
#
# Real mail servers on both sides of the edge.
#
# internet: a Postfix that insists on DANE where DNS offers it.  The recipient's local part picks the way:
#	v6-…  over IPv6;  clear-…  from 198.51.100.11 and without TLS;  all others over IPv4 from 198.51.100.10.
#	Exim as a second sender (GnuTLS, own DANE code), likewise over IPv4 or, v6-…, IPv6: mta_send_exim.
# farm: mx-a, Postfix behind PROXY headers, and mx-b, Exim behind PROXY headers; both deliver to a Maildir.

LAB_MTA=$LAB_RUN/mta
LAB_MAIL=$LAB_RUN/mail
POSTFIX_SENDER_LOG=$LAB_LOG/postfix-sender.log
MTA_DOMAINS="good.example wrong.example none.example bogus.example tlsabogus.example insecure.example"

# mta_postfix_dirs NAME: configuration and queue of one Postfix; what both have in common
mta_postfix_dirs()
{
	local d=$LAB_MTA/$1
	mkdir -p "$d/etc" "$d/queue" "$d/data"
	chown 60101:60101 "$d/data"
	cat >"$d/etc/main.cf" <<-END
		compatibility_level = 3.6
		queue_directory = $d/queue
		data_directory = $d/data
		command_directory = /usr/sbin
		daemon_directory = /usr/lib/postfix/sbin
		meta_directory = /etc/postfix
		shlib_directory = /usr/lib/postfix
		mail_owner = postfix
		setgid_group = postdrop
		maillog_file_prefixes = $LAB_LOG
		maillog_file = $LAB_LOG/postfix-$1.log
		alias_maps =
		alias_database =
		mydestination =
		mynetworks_style = host
		local_transport = error:no local mail here
		message_size_limit = 104857600
		inet_protocols = all
		unknown_local_recipient_reject_code = 550
		smtpd_peername_lookup = no
	END
	cat >"$d/etc/master.cf" <<-END
		pickup    unix       n - n 60 1 pickup
		cleanup   unix       n - n - 0 cleanup
		qmgr      unix       n - n 300 1 qmgr
		tlsmgr    unix       - - n 1000? 1 tlsmgr
		rewrite   unix       - - n - - trivial-rewrite
		bounce    unix       - - n - 0 bounce
		defer     unix       - - n - 0 bounce
		trace     unix       - - n - 0 bounce
		verify    unix       - - n - 1 verify
		flush     unix       n - n 1000? 0 flush
		proxymap  unix       - - n - - proxymap
		showq     unix       n - n - - showq
		error     unix       - - n - - error
		retry     unix       - - n - - error
		discard   unix       - - n - - discard
		virtual   unix       - n n - - virtual
		anvil     unix       - - n - 1 anvil
		scache    unix       - - n - 1 scache
		postlog   unix-dgram n - n - 1 postlogd
	END
}

mta_sender_conf()
{
	local d=$LAB_MTA/sender/etc
	mta_postfix_dirs sender
	cat >>$d/main.cf <<-END
		myhostname = mail.sender.example
		mydomain = sender.example
		myorigin = sender.example
		inet_interfaces = loopback-only
		smtp_bind_address = $LAB_SENDER
		smtp_bind_address6 = $LAB_SENDER6
		smtp_address_preference = ipv4
		smtp_dns_support_level = dnssec
		smtp_host_lookup = dns
		smtp_tls_security_level = dane
		smtp_tls_loglevel = 1
		smtp_tls_CAfile =
		smtp_connect_timeout = 10s
		smtp_helo_timeout = 30s
		transport_maps = regexp:$d/transport
		minimal_backoff_time = 300s
		queue_run_delay = 300s
	END
	cat >>$d/master.cf <<-END
		smtp      unix  - - n - - smtp
		smtp6     unix  - - n - - smtp
		  -o syslog_name=postfix/smtp6 -o inet_protocols=ipv6
		clear     unix  - - n - - smtp
		  -o syslog_name=postfix/clear -o smtp_tls_security_level=none -o smtp_bind_address=$LAB_SENDER2
		  -o smtp_bind_address6=$LAB_SENDER26
		relay     unix  - - n - - smtp
	END
	printf '/^v6-/ smtp6:\n/^clear-/ clear:\n' >$d/transport
}

mta_mx_a_conf()
{
	local d=$LAB_MTA/mx-a/etc
	mta_postfix_dirs mx-a
	cat >>$d/main.cf <<-END
		myhostname = mx-a.farm.example
		inet_interfaces = $LAB_MX_A, fd00:77::11
		smtpd_upstream_proxy_protocol = haproxy
		smtpd_client_connection_count_limit = 0
		smtpd_client_connection_rate_limit = 0
		smtpd_client_message_rate_limit = 0
		smtpd_tls_security_level = may
		smtpd_tls_chain_files = $LAB_RUN/tls/mx-a.both
		smtpd_relay_restrictions = reject_unauth_destination
		virtual_mailbox_domains = $MTA_DOMAINS
		virtual_mailbox_base = $LAB_MAIL
		virtual_mailbox_maps = static:mx-a/
		virtual_mailbox_limit = 0
		virtual_minimum_uid = 1
		virtual_uid_maps = static:60107
		virtual_gid_maps = static:60107
		default_process_limit = 200
	END
	printf 'smtp inet n - n - - smtpd\n' >>$d/master.cf
}

# Exim reads one file; both of its roles are below.  A file named in trusted_configs keeps root's privileges, which
# its deliveries need.
mta_exim_common()
{
	mkdir -p "$LAB_MTA/$1"
	chown 60105:60105 "$LAB_MTA/$1"
	cat <<-END
		spool_directory = $LAB_MTA/$1
		log_file_path = $LAB_LOG/exim-$1-%s.log
		pid_file_path = $LAB_MTA/$1/pid
		keep_environment =
		message_size_limit = 100M
		tls_advertise_hosts =
	END
}

mta_mx_b_conf()
{
	{
		mta_exim_common mx-b | grep -v tls_advertise_hosts
		cat <<-END
			primary_hostname = mx-b.farm.example
			local_interfaces = $LAB_MX_B : fd00::77::::12
			daemon_smtp_ports = 25
			hosts_proxy = 10.77.0.0/24 : fd00::77::::/64
			host_lookup =
			tls_advertise_hosts = *
			tls_certificate = $LAB_RUN/tls/mx-b.both
			domainlist here = ${MTA_DOMAINS// / : }
			acl_smtp_rcpt = rcpt
			acl_smtp_data = acl_all
			smtp_accept_max = 500
			rfc1413_query_timeout = 0s
			begin acl
			rcpt:
			  accept domains = +here
			  deny message = not a domain of this farm
			acl_all:
			  accept
			begin routers
			here:
			  driver = accept
			  domains = +here
			  transport = maildir
			begin transports
			maildir:
			  driver = appendfile
			  directory = $LAB_MAIL/mx-b
			  maildir_format
			  user = labmail
			  delivery_date_add
		END
	} >$LAB_MTA/mx-b.conf
}

mta_exim_sender_conf()
{
	{
		mta_exim_common exim
		cat <<-END
			primary_hostname = exim.sender.example
			qualify_domain = sender.example
			dns_dnssec_ok = 1
			begin routers
			dns:
			  driver = dnslookup
			  dnssec_request_domains = *
			  ignore_target_hosts = <; \${if match{\$local_part}{^v6-}{}{::/0}}
			  transport = smtp
			  no_more
			begin transports
			smtp:
			  driver = smtp
			  interface = <; \${if match{\$local_part}{^v6-}{$LAB_SENDER26}{$LAB_SENDER2}}
			  hosts_try_dane = *
			  dnssec_request_domains = *
			begin retry
			* * F,1d,5m
		END
	} >$LAB_MTA/exim.conf
}

mta_postfix_start()
{
	local ns=farm
	[ "$1" != sender ] || ns=internet
	root_run $ns postfix -c "$LAB_MTA/$1/etc" start >>"$LAB_LOG/postfix-$1.start" 2>&1 </dev/null
}

mta_postfix_stop()
{
	local ns=farm
	[ "$1" != sender ] || ns=internet
	root_run $ns postfix -c "$LAB_MTA/$1/etc" stop >>"$LAB_LOG/postfix-$1.start" 2>&1 </dev/null
}

mta_exim_start()
{
	root_spawn farm $LAB_LOG/exim-mx-b.start exim4 -C $LAB_MTA/mx-b.conf -bdf
	MTA_EXIM_PID=$LAB_PID
}

# One of the farm's servers up or down: mta_backend mx-a|mx-b up|down
mta_backend()
{
	case $1-$2 in
	mx-a-up) mta_postfix_start mx-a && lab_wait 20 net_listens farm $LAB_MX_A 25 ;;
	mx-a-down) mta_postfix_stop mx-a; lab_wait 20 mta_gone $LAB_MX_A ;;
	mx-b-up) mta_exim_start && lab_wait 20 net_listens farm $LAB_MX_B 25 ;;
	mx-b-down) kill "$MTA_EXIM_PID"; wait "$MTA_EXIM_PID" 2>/dev/null; lab_wait 20 mta_gone $LAB_MX_B ;;
	esac
}

mta_gone()
{
	! net_listens farm "$1" 25
}

mta_up()
{
	mkdir -p $LAB_MTA $LAB_MAIL/mx-a $LAB_MAIL/mx-b
	chown 60107:60107 $LAB_MAIL/mx-a $LAB_MAIL/mx-b
	chmod 1777 $LAB_LOG
	touch $LAB_ROOT/etc/postfix/dynamicmaps.cf $LAB_ROOT/etc/postfix/master.cf
	chgrp 60102 $LAB_ROOT/usr/sbin/postdrop $LAB_ROOT/usr/sbin/postqueue
	chmod 2755 $LAB_ROOT/usr/sbin/postdrop $LAB_ROOT/usr/sbin/postqueue
	printf 'compatibility_level = 3.6\nalternate_config_directories = %s/sender/etc, %s/mx-a/etc\n' $LAB_MTA $LAB_MTA \
		>$LAB_ROOT/etc/postfix/main.cf
	printf '%s\n' $LAB_MTA/mx-b.conf $LAB_MTA/exim.conf >$LAB_ROOT/etc/exim4/trusted_configs
	mta_sender_conf
	mta_mx_a_conf
	mta_mx_b_conf
	mta_exim_sender_conf
	mta_postfix_start sender &
	local sender=$!
	mta_exim_start
	mta_postfix_start mx-a || lab_die "mx-a (Postfix) does not start
$(lab_tail $LAB_LOG/postfix-mx-a.*)"
	wait $sender || lab_die "the sending Postfix does not start
$(lab_tail $LAB_LOG/postfix-sender.*)"
	lab_wait 20 net_listens farm $LAB_MX_A 25 && lab_wait 20 net_listens farm $LAB_MX_B 25 ||
		lab_die "the farm does not listen
$(lab_tail $LAB_LOG/postfix-mx-a.* $LAB_LOG/exim-mx-b*)"
}

# mta_message TOKEN RECIPIENT: a message that can be found again by its token
mta_message()
{
	printf 'From: <alice@sender.example>\nTo: <%s>\nSubject: %s\nMessage-ID: <%s@sender.example>\n\n%s\n' \
		"$2" "$1" "$1" "a mail of the lab"
}

# mta_send TOKEN RECIPIENT [FILE]: gives the message (or a file) to the sending Postfix
mta_send()
{
	{ if [ -n "${3:-}" ]; then cat "$3"; else mta_message "$1" "$2"; fi; } |
		root_run internet sendmail -C $LAB_MTA/sender/etc -f alice@sender.example -i "$2"
}

# mta_send_exim TOKEN RECIPIENT: the same by Exim, which tries at once; its log says what came of it
mta_send_exim()
{
	mta_message "$1" "$2" |
		root_run internet exim4 -C $LAB_MTA/exim.conf -odf -i -f alice@sender.example "$2" >>$LAB_LOG/exim-exim.start 2>&1
}

# mta_mailbox TOKEN: the file(s) of the farm in which this message lies; false if nowhere
mta_mailbox()
{
	grep -lrE "^Subject: $1\$" $LAB_MAIL --exclude-dir=tmp 2>/dev/null
}

# The sending Postfix's queue id of a message, by its token
mta_queue_id()
{
	sed -n "s/.*postfix\/cleanup\[[0-9]*\]: \([0-9A-Za-z]*\): message-id=<$1@sender.example>.*/\1/p" $POSTFIX_SENDER_LOG | head -n 1
}

# mta_status TOKEN: sent, deferred, bounced; empty while there is no answer yet
mta_status()
{
	local id
	id=$(mta_queue_id "$1")
	[ -n "$id" ] || return 1
	sed -n "s/.* $id: to=.* status=\([a-z]*\).*/\1/p" $POSTFIX_SENDER_LOG | tail -n 1 | grep .
}

# mta_lines TOKEN: what the sending Postfix logged about the message, and the TLS lines of the process that had it
mta_lines()
{
	local id pid
	id=$(mta_queue_id "$1")
	[ -n "$id" ] || return 1
	pid=$(sed -n "s/.*\(\[[0-9]*\]\): $id: to=.*/\1/p" $POSTFIX_SENDER_LOG | tail -n 1)
	grep -F -e " $id: " -e "${pid:-no process}: " $POSTFIX_SENDER_LOG
}
