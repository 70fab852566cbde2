# SPDX-License-Identifier: BSD-2-Clause
$(B)/tests/unit/session_client_test: $(B)/tests/unit/fake_ring.o $(B)/tests/unit/fake_dns.o $(B)/tests/unit/tls_peer.o
