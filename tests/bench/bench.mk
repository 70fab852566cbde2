# SPDX-License-Identifier: BSD-2-Clause
#
# The benchmark: figures beside peers in one run (docs/performance.md).
#   make bench BENCH_CASES="tls13-4k plain-4k" BENCH_ROUNDS=3 BENCH_SUBJECTS="danelaw nginx"

BENCH_BIN := $(B)/tests/bench/load $(B)/tests/bench/sink $(B)/tests/bench/floor $(B)/tests/bench/syscalls \
	     $(B)/tests/bench/certs
BENCH_CASES ?=
BENCH_ROUNDS ?=
BENCH_SUBJECTS ?=

$(BENCH_BIN): $(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/tests/bench/util.o
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell $(PKGCONF) --libs libssl libcrypto)
$(B)/tests/bench/load: $(addprefix $(B)/tests/bench/,load_session.o fast_tls.o fast_keys.o)

bench-tools: $(BENCH_BIN)
# tests/lab/06* drive danelawd with them
tests: $(BENCH_BIN)

bench: all $(BENCH_BIN) $(B)/tests/bench/xdp_bench
	$(Q)B=$(B) CASES="$(BENCH_CASES)" ROUNDS="$(BENCH_ROUNDS)" SUBJECTS="$(BENCH_SUBJECTS)" tests/bench/run

.PHONY: bench-tools
-include $(wildcard $(B)/tests/bench/*.d)

# ns a packet in XDP; packet.o uses cmocka's assertions
$(B)/tests/bench/xdp_bench: $(B)/tests/bench/xdp_bench.o $(B)/tests/packets/packet.o $(B)/libdanelaw.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS_D)
$(B)/tests/bench/xdp_bench.o: $(SKEL)
tests: $(B)/tests/bench/xdp_bench
