# SPDX-License-Identifier: BSD-2-Clause
$(B)/tests/unit/check_test: $(B)/tools/check_judge.o
