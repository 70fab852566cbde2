# SPDX-License-Identifier: BSD-2-Clause
#
# A kernel of Debian's for the guest, unpacked and never installed, and the initramfs that boots it.
#
#	kernel_prepare stable|backports	VM_KERNEL and VM_INITRD; 1: this kernel cannot be had (VM_WHY says why)
#
# `stable` is the kernel of this Debian, `backports` the newest that Debian builds for it.  Both are the "cloud"
# flavour, which has all that is needed here as modules (tls, veth, ip_vs, fou, virtiofs).  What is fetched is
# kept in build/vm; the package is named by apt, since its name has the kernel's ABI in it.

VM_CACHE=$VM_SRC/build/vm
VM_META=linux-image-cloud-amd64
# what must be there before the host's file system is; the guest loads all others from the unpacked package
VM_MODULES="virtio_pci virtiofs overlay qemu_fw_cfg"

# vm_apt COMMAND...: with package lists of our own, where those of the host do not do
vm_apt()
{
	apt-get -q -o APT::Sandbox::User=root "${VM_APT[@]}" "$@"
}

# The archive this machine is configured for, asked for one more suite, in an apt state of its own
vm_apt_backports()
{
	local dir=$VM_CACHE/backports/apt codename uri
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $codename" | head -n 1)
	[ -n "$uri" ] || return 1
	mkdir -p "$dir/lists/partial" "$dir/archives/partial" "$dir/parts"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $codename-backports main" >"$dir/sources.list"
	VM_APT=(-o "Dir::Etc::SourceList=$dir/sources.list" -o "Dir::Etc::SourceParts=$dir/parts"
		-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir")
	vm_apt update
}

# For a host whose lists are missing or too old: the same sources, lists of our own
vm_apt_fresh()
{
	local dir=$VM_CACHE/apt
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	VM_APT=(-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir")
	vm_apt update
}

# Into the current folder; prints the kernel package's name
vm_download_kernel()
{
	local package
	package=$(apt-cache "${VM_APT[@]}" depends $VM_META | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] && vm_apt download "$package" >&2 && echo "$package"
}

# busybox is this Debian's in any case
vm_download()
{
	VM_APT=()
	if [ "$1" = stable ]; then
		vm_apt download busybox-static >&2 && vm_download_kernel && return
		vm_apt_fresh >&2 && vm_apt download busybox-static >&2 && vm_download_kernel
	else
		vm_apt download busybox-static >&2 || { vm_apt_fresh && vm_apt download busybox-static; } >&2 || return 1
		vm_apt_backports >&2 && vm_download_kernel
	fi
}

kernel_fetch()
{
	local flavour=$1 new=$VM_CACHE/$1/new package
	rm -rf "$new"
	mkdir -p "$new" && cd "$new" && package=$(vm_download "$flavour") || return 1
	dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x ./boot ./lib/modules &&
		dpkg-deb --fsys-tarfile busybox-static*.deb | tar -x ./bin && rm -f -- *.deb || return 1
	find lib/modules -name '*.ko.xz' -exec xz -d {} + && bin/busybox depmod -b "$new" "$(ls lib/modules)" || return 1
	cd "$VM_CACHE" && rm -rf "$flavour/root" && mv "$new" "$flavour/root" && echo "$package" >"$flavour/stamp"
}

# module_file NAME: its place below lib/modules; nothing when it is built in
module_file()
{
	find "$VM_CACHE/$FLAVOUR/root/lib/modules" -name "$(sed 's/[-_]/[-_]/g' <<<"$1").ko" | head -n 1
}

# Copies a module and, before it, what it depends on; modlist has them in the order of loading
initrd_module()
{
	local file dep
	file=$(module_file "$1")
	[ -n "$file" ] || return 0
	! grep -qx "${file##*/}" modlist || return 0
	for dep in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr , ' '); do
		initrd_module "$dep"
	done
	cp "$file" . && echo "${file##*/}" >>modlist
}

initrd_build()
{
	local work m
	work=$(mktemp -d) || return 1
	(
		cd "$work" && mkdir -p bin dev proc sys host root && : >modlist || exit 1
		cp "$VM_CACHE/$FLAVOUR/root/bin/busybox" bin/ && cp "$VM_SRC/tests/vm/init" init && chmod +x init || exit 1
		for m in $VM_MODULES; do
			initrd_module "$m" || exit 1
		done
		find . | bin/busybox cpio -o -H newc 2>/dev/null
	) >"$VM_CACHE/$FLAVOUR/initrd.new" && mv "$VM_CACHE/$FLAVOUR/initrd.new" "$VM_CACHE/$FLAVOUR/initrd"
	m=$?
	rm -rf "$work"
	return $m
}

kernel_prepare()
{
	FLAVOUR=$1
	VM_WHY="needs the amd64 architecture"
	[ "$(dpkg --print-architecture)" = amd64 ] || return 1
	VM_WHY="the kernel package of $FLAVOUR could not be fetched from Debian's archive (build/vm/$FLAVOUR/fetch.log)"
	mkdir -p "$VM_CACHE/$FLAVOUR"
	(
		flock 9
		[ -s "$VM_CACHE/$FLAVOUR/stamp" ] || kernel_fetch "$FLAVOUR" 2>"$VM_CACHE/$FLAVOUR/fetch.log" || exit 1
		initrd_build
	) 9>"$VM_CACHE/$FLAVOUR/lock" || return 1
	VM_KERNEL=$(echo "$VM_CACHE/$FLAVOUR"/root/boot/vmlinuz-*)
	VM_INITRD=$VM_CACHE/$FLAVOUR/initrd
}
