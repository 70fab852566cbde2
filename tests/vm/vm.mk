# SPDX-License-Identifier: BSD-2-Clause
#
# Tests that need a kernel other than this one: Debian's own in a guest (tests/vm/run, docs/vm.md).

check-vm:
	$(Q)tools/install-deps $(PKGS_BUILD) $(PKGS_TEST) $(PKGS_VM)
	$(Q)$(MAKE) --no-print-directory -j2 all tests
	$(Q)tests/run "tests/vm/run stable" "tests/vm/run backports"
