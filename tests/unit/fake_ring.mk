# SPDX-License-Identifier: BSD-2-Clause
$(B)/tests/unit/fake_ring_test: $(B)/tests/unit/fake_ring.o
