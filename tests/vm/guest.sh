#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# guest.sh TOP: process 1 of the guest once it has its root (tests/vm/init).  Runs what tests/vm/run handed over by
# fw_cfg: `tests`, one program a line, or `command`, one line of shell.  Their output goes to the second serial
# line, between marks; the first is the console.  The guest goes off at the end.

TOP=$1
CFG=/sys/firmware/qemu_fw_cfg/by_name/opt
OUT=/dev/ttyS1
ROOT=$TOP/build/vm/$(cat $CFG/kernel/raw)/root # of the kernel's package

guest_mounts()
{
	mount -t tmpfs -o mode=1777 tmp /tmp
	mount -t tmpfs -o mode=755 run /run
	mkdir -p /dev/pts /dev/shm /run/lock
	mount -t devpts devpts /dev/pts
	mount -t tmpfs -o mode=1777 shm /dev/shm
	mount -t bpf bpf /sys/fs/bpf
	mount -t cgroup2 cgroup /sys/fs/cgroup
	mount -t tracefs tracefs /sys/kernel/tracing
	ln -sf /proc/self/fd /dev/fd
}

# The modules are the unpacked kernel's; when the kernel itself wants one it calls busybox, which reads their index
guest_modules()
{
	mkdir -p /lib/modules
	mount --bind "$ROOT/lib/modules" /lib/modules
	printf '#!/bin/sh\nexec %s/bin/busybox modprobe "$@"\n' "$ROOT" >/usr/local/sbin/modprobe
	chmod +x /usr/local/sbin/modprobe
	echo /usr/local/sbin/modprobe >/proc/sys/kernel/modprobe
	/usr/local/sbin/modprobe -a virtio_rng 2>/dev/null
}

# guest_test PROGRAM: its TAP, then the end of what it said on standard error when it failed
guest_test()
{
	local status
	echo "@@TEST $1"
	timeout -k 5 500 $1 2>/tmp/err </dev/null
	status=$?
	[ $status = 0 ] || tail -n 60 /tmp/err | sed 's/^/# /'
	echo "@@STATUS $status $1 $(cut -d" " -f1 /proc/uptime)"
}

guest_run()
{
	local line
	cd "$TOP" || return 1
	echo "@@KERNEL $(uname -r)"
	if [ -e $CFG/command/raw ]; then
		bash -c "$(cat $CFG/command/raw)" </dev/null 2>&1
		echo "@@EXIT $?"
		return
	fi
	while read -r line; do
		guest_test "$line"
	done < <(cat $CFG/tests/raw)
	echo "@@EXIT 0"
}

export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
export DANELAW_GUEST=1 CMOCKA_MESSAGE_OUTPUT=TAP
guest_mounts
guest_modules
ip link set lo up
hostname guest
$ROOT/bin/busybox stty -F $OUT -opost
guest_run >$OUT
sync
$ROOT/bin/busybox poweroff -f
