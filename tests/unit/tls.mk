# SPDX-License-Identifier: BSD-2-Clause
TLS_TESTS := $(filter $(B)/tests/unit/tls%_test,$(UNIT))
$(TLS_TESTS): $(B)/tests/unit/tls_peer.o
