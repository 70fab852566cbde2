# SPDX-License-Identifier: BSD-2-Clause
$(B)/tests/unit/session_test: $(B)/tests/unit/fake_ring.o $(B)/tests/unit/fake_splice.o
