# SPDX-License-Identifier: BSD-2-Clause
#
# Is the host as it was before a lab?  For tests that run outside of labs, and end some.

# What a lab could leave on the host, to be compared
host_state()
{
	ip -br link
	ls /run/netns /run/lab 2>/dev/null
	find /sys/fs/bpf -mindepth 1 2>/dev/null
	grep -F -e /run/lab -e "$LAB_SRC" -e netns /proc/self/mounts
	ls /run
}

# lab_hold PID: a process of the lab that is looked at.  Its process namespace, in which all of the lab's processes are,
# is kept open, so that its number is nobody else's afterwards; processes and mounts end all the same.
lab_hold()
{
	lab_reap
	[ -z "${LAB_HELD:-}" ] || exec {LAB_HELD}<&-
	exec {LAB_HELD}<"/proc/$1/ns/pid" && LAB_HELD_NS=$(readlink "/proc/$1/ns/pid")
}

# What is still in it
lab_left()
{
	find /proc/[0-9]*/ns/pid -printf '%p %l\n' 2>/dev/null | grep -F " ${LAB_HELD_NS:-none}" | cut -d/ -f3
}

nobody_left()
{
	[ -z "$(lab_left)" ]
}

# What a lab that did not end well has left goes all the same
lab_reap()
{
	nobody_left || kill -KILL $(lab_left) 2>/dev/null
}

# bpf_links_gone FILE: of the ids in it none is a link any more
bpf_links_gone()
{
	local id
	while read -r id; do
		! bpftool link show id "$id" >/dev/null 2>&1 || return 1
	done <"$1"
}
