# SPDX-License-Identifier: BSD-2-Clause
FAKE_TLS := $(addprefix -Wl$(comma)--wrap=,tls_input tls_input_left tls_read tls_write tls_close_notify tls_free tls_error tls_facts \
  tls_kernel_forget tls_kernel_can tls_kernel_missing tls_kernel_switch tls_kernel_control tls_kernel_close_notify tls_kernel_at_end recv)
$(B)/tests/unit/session_test: ALL_LDFLAGS += $(FAKE_TLS)
$(B)/tests/unit/session_test: $(B)/tests/unit/fake_ring.o $(B)/tests/unit/fake_splice.o $(B)/tests/unit/fake_tls.o
