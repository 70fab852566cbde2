# SPDX-License-Identifier: BSD-2-Clause
#
# Tests that need a kernel other than this one: Debian's own in guests (tests/vm/run, docs/vm.md), two at a time, since
# most of them keep one processor busy and not two; the longest first.

check-vm:
	$(Q)tools/install-deps $(PKGS_BUILD) $(PKGS_TEST) $(PKGS_VM)
	$(Q)$(MAKE) --no-print-directory -j2 all tests
	$(Q)tests/run -j2 "tests/vm/run stable ktls" "tests/vm/run stable mail" "tests/vm/run stable front" "tests/vm/run backports"
