# SPDX-License-Identifier: BSD-2-Clause
$(B)/tests/unit/ctl_test: $(B)/tools/ctl_table.o
