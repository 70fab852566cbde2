# SPDX-License-Identifier: BSD-2-Clause
#
# Tests, fuzzers and benchmarks.  Every test is a program that speaks TAP; tests/run runs them and sums up.
#   tests/unit/*_test.c     one module each, cmocka; fake_*.c are put in place of a room at link time
#   tests/packets/*_test.c  BPF_PROG_RUN on the front's objects (root)
#   tests/lab/NNNN-*.sh     real servers in namespaces of their own (root)
#   tests/vm/guest/NNNN-*.sh  on another kernel, in a guest (`make check-vm`)
#   tests/house/*.sh        the shape of the source itself
#   tests/fuzz/fuzz_*.c     libFuzzer targets, run briefly by check and at length by `make fuzz`

T       := $(B)/tests
UNIT    := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*_test.c))
PACKETS := $(patsubst %.c,$(B)/%,$(wildcard tests/packets/*_test.c))
FUZZ    := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TAP := tests/fuzz/run.sh
VALGRIND_TAP := tests/unit/valgrind.sh
LABTESTS := $(sort $(wildcard tests/lab/[0-9]*.sh))
HOUSE   := $(sort $(wildcard tests/house/*.sh))
FUZZ_SECONDS ?= 600

$(UNIT) $(PACKETS): %: %.o $(B)/libdanelaw.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(B)/libdanelaw.a -lcmocka $(LIBS_D)

$(PACKETS:%=%.o): $(SKEL)
$(PACKETS): $(B)/tests/packets/packet.o

# tests that need a fake in place of a room:  $(B)/tests/unit/x_test: $(B)/tests/unit/fake_y.o
-include $(wildcard tests/unit/*.mk)
include tests/lab.mk
-include $(wildcard tests/bench/*.mk) $(wildcard tests/vm/*.mk)
-include $(wildcard $(B)/tests/unit/*.d $(B)/tests/packets/*.d $(B)/tests/lab/*.d)

# libFuzzer comes with clang; the rooms under test are built with it too, in a folder of their own
$(B)/tests/fuzz/%: tests/fuzz/%.c $(wildcard userspace/*.c userspace/*.h)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(CLANG) -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I. \
	  -DDANELAW_VERSION='"$(VERSION)"' -DDANELAW_PREFIX='"$(PREFIX)"' \
	  -o $@ $< $(shell sed -n 's,^ \* rooms: ,,p' $< | sed 's,[a-z_0-9]*,userspace/&.c,g') $(shell $(PKGCONF) --libs libconfuse libcrypto libssl)

.PHONY: tests check-unit
tests: $(UNIT) $(PACKETS)

check-unit: $(UNIT)
	$(Q)tests/run $(UNIT)

# Everything: unit tests plain, under ASan and UBSan, and some under valgrind, packets, house, lab; built by both compilers.
check:
	$(Q)$(MAKE) --no-print-directory deps
	$(Q)$(MAKE) --no-print-directory -j2 all tests
	$(Q)$(MAKE) --no-print-directory -j2 B=$(B)/san SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" all tests
	$(Q)$(MAKE) --no-print-directory -j2 B=$(B)/clang CC=$(CLANG) all tests
	$(Q)$(MAKE) --no-print-directory -j2 fuzzers
	$(Q)tests/run $(UNIT) $(PACKETS) $(UNIT:$(B)/%=$(B)/san/%) $(VALGRIND_TAP) $(FUZZ_TAP) $(HOUSE) $(LABTESTS)

.PHONY: fuzzers
fuzzers: $(FUZZ)
fuzz: fuzzers $(B)/tests/packets/fuzz_test
	$(Q)echo "fuzz: packets"; DANELAW_FUZZ_RUNS=$${DANELAW_FUZZ_RUNS:-$$(($(FUZZ_SECONDS) * 5000))} $(B)/tests/packets/fuzz_test
	$(Q)for f in $(FUZZ); do echo "fuzz: $$f, $(FUZZ_SECONDS) s"; mkdir -p $$f.corpus; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$$f. $$f.corpus tests/fuzz/seeds/$$(basename $$f) || exit 1; done
