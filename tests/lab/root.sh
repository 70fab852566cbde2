# SPDX-License-Identifier: BSD-2-Clause
#
# The private root: the host's file system with the servers' packages laid over it, seen by chroot only.
# Packages are downloaded and unpacked, never installed: no maintainer script runs, no user is made and nothing is
# started on the host.  Postfix and Exim exclude each other as packages, not as files: Exim is unpacked first, and
# the names both have (sendmail, mailq) are Postfix's.

ROOT_PACKAGES="postfix libxdp1 nsd unbound nginx libnginx-mod-mail stunnel4 haproxy swaks ipvsadm libnet-ssleay-perl libnet-dns-perl
	bind9-dnsutils gnutls-bin"
ROOT_PACKAGES_EXIM="exim4-daemon-heavy exim4-base"
ROOT_TOOLS="swaks dig delv posttls-finger gnutls-cli danetool nsd-checkzone"
LAB_ROOT=$LAB_RUN/root

# apt-get with package lists of our own, for a host whose lists are missing or too old
root_apt()
{
	local lists=()
	if [ -d "$LAB_CACHE/apt/lists" ]; then
		lists=(-o "Dir::State::Lists=$LAB_CACHE/apt/lists" -o "Dir::Cache=$LAB_CACHE/apt")
	fi
	apt-get -q -o APT::Sandbox::User=root "${lists[@]}" "$@"
}

# root_wanted PACKAGE...: these and, of what they need, what the host lacks, as apt-get would install it
root_wanted()
{
	local plan
	plan=$(root_apt -s -o Debug::NoLocking=1 install --no-install-recommends "$@") || return 1
	{ printf '%s\n' "$@"; sed -n 's/^Inst \([^ ]*\) .*/\1/p' <<<"$plan"; } | sort -u
}

root_download()
{
	local wanted
	wanted=$({ root_wanted $ROOT_PACKAGES && root_wanted $ROOT_PACKAGES_EXIM; }) || return 1
	wanted=$(sort -u <<<"$wanted" | tr '\n' ' ')
	lab_say "fetching $(wc -w <<<"$wanted") packages into build/lab (the lab's servers; this host installs none of them)"
	mkdir -p "$LAB_CACHE/debs"
	(cd "$LAB_CACHE/debs" && rm -f -- *.deb && root_apt download $wanted)
}

root_fetch()
{
	local log=$LAB_CACHE/fetch.log
	root_download 2>"$log.err" >"$log" || {
		lab_say "package lists are missing or old: reading new ones into build/lab"
		mkdir -p "$LAB_CACHE/apt/lists/partial" "$LAB_CACHE/apt/archives/partial"
		root_apt update >"$log" 2>"$log.err" && root_download >"$log" 2>"$log.err"
	} || {
		cat "$log.err" >&2
		lab_die "the lab's packages could not be fetched; is there a way to the package archive?"
	}
	sed -n "/^$LAB_SAY: /p" "$log"
}

# One package over the others.  tar, not dpkg-deb -x: /lib may be a link here, and has to stay one.
root_unpack_one()
{
	dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"
}

root_unpack()
{
	local new=$LAB_CACHE/root.new d deb
	rm -rf "$new"
	mkdir -p "$new"
	for d in bin sbin lib lib32 lib64 libx32; do
		[ -L /$d ] && mkdir -p "$new/usr/$d" && ln -s usr/$d "$new/$d"
	done
	for deb in "$LAB_CACHE"/debs/exim4*.deb; do
		root_unpack_one "$deb" "$new" || return 1
	done
	for deb in "$LAB_CACHE"/debs/*.deb; do
		case $deb in */exim4*) continue ;; esac
		root_unpack_one "$deb" "$new" || return 1
	done
	rm -rf "$LAB_CACHE/root"
	mv "$new" "$LAB_CACHE/root"
}

# Outside, before the namespaces are made.  The stamp says for which list of packages the cache was filled.
root_prepare()
{
	local stamp
	stamp=$(echo $ROOT_PACKAGES $ROOT_PACKAGES_EXIM "$(cat /etc/debian_version)")
	mkdir -p "$LAB_CACHE"
	(
		flock 9
		[ "$(cat "$LAB_CACHE/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
		root_fetch && root_unpack && echo "$stamp" >"$LAB_CACHE/stamp"
	) 9>"$LAB_CACHE/lock"
}

# Users of the servers, in the private root only
root_users()
{
	local u
	cp /etc/passwd /etc/group $LAB_ROOT/etc/
	for u in postfix:60101 postdrop:60102 nsd:60103 unbound:60104 Debian-exim:60105 danelaw:60106 labmail:60107; do
		grep -q "^${u%:*}:" /etc/passwd || echo "${u%:*}:x:${u#*:}:${u#*:}::/nonexistent:/usr/sbin/nologin"
	done >>$LAB_ROOT/etc/passwd
	for u in postfix:60101 postdrop:60102 nsd:60103 unbound:60104 Debian-exim:60105 danelaw:60106 labmail:60107; do
		grep -q "^${u%:*}:" /etc/group || echo "${u%:*}:x:${u#*:}:"
	done >>$LAB_ROOT/etc/group
}

# Tools of the private root by their names, for the command of `make lab`; they start in the same folder where
# both roots have it.  The folder is a mount of its own, so that the private root does not see it and the tools are
# themselves there.
root_tools()
{
	local t
	mkdir -p $LAB_RUN/bin
	mount -t tmpfs -o mode=755 lab $LAB_RUN/bin
	for t in $ROOT_TOOLS; do
		printf '#!/bin/sh\nexec chroot %s /bin/sh -c %s sh "$PWD" %s "$@"\n' $LAB_ROOT \
			"'cd \"\$1\" 2>/dev/null; shift; exec \"\$@\"'" "$t" >$LAB_RUN/bin/"$t"
		chmod +x $LAB_RUN/bin/"$t"
	done
}

root_mount()
{
	local d
	# The packages are copied (45 MB) into the writable layer: a folder of `/` cannot be a layer beside `/`.
	mkdir -p $LAB_ROOT $LAB_RUN/over/work
	cp -a "$LAB_CACHE/root" $LAB_RUN/over/upper || return 1
	mount -t overlay -o "lowerdir=/,upperdir=$LAB_RUN/over/upper,workdir=$LAB_RUN/over/work" lab $LAB_ROOT ||
		lab_die "no overlay over / on a tmpfs: does this kernel have overlayfs?"
	# file systems of their own on the host: the overlay shows their empty mount points only
	for d in /usr /var /opt /home; do
		mountpoint -q $d || continue
		mkdir -p $LAB_RUN/over/upper$d $LAB_RUN/over/work$d
		mount -t overlay -o "lowerdir=$d,upperdir=$LAB_RUN/over/upper$d,workdir=$LAB_RUN/over/work$d" lab \
			$LAB_ROOT$d || return 1
	done
	for d in /dev /proc /sys /tmp /run "$LAB_SRC"; do
		mkdir -p "$LAB_ROOT$d"
	done
	mount --rbind /dev $LAB_ROOT/dev && mount --rbind /sys $LAB_ROOT/sys && mount --bind /proc $LAB_ROOT/proc &&
		mount --bind /tmp $LAB_ROOT/tmp && mount --bind "$LAB_SRC" "$LAB_ROOT$LAB_SRC" || return 1
	# not --rbind: the root itself lies below /run.  /run/netns is a mount of its own.
	mount --bind /run $LAB_ROOT/run && mount --bind /run/netns $LAB_ROOT/run/netns || return 1
	root_users
	root_tools
	rm -f $LAB_ROOT/etc/resolv.conf
	cat >$LAB_ROOT/etc/resolv.conf <<-END
		nameserver $LAB_RESOLVER
		options edns0 trust-ad timeout:2 attempts:2
	END
	cp $LAB_ROOT/etc/resolv.conf $LAB_RUN/resolv.conf
}

# root_run NAMESPACE COMMAND...: in a network namespace and in the private root
root_run()
{
	local ns=$1
	shift
	nsenter --net=/run/netns/"$ns" chroot $LAB_ROOT "$@"
}

# root_spawn NAMESPACE LOG COMMAND...: the same in the background; its process is LAB_PID
root_spawn()
{
	local ns=$1 log=$2
	shift 2
	(exec nsenter --net=/run/netns/"$ns" chroot $LAB_ROOT "$@" </dev/null >>"$log" 2>&1) &
	LAB_PID=$!
}
