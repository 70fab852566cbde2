# SPDX-License-Identifier: BSD-2-Clause
#
# The demo lab (tests/lab/lib.sh).  Both end when make does, in whatever way it is ended.

demo:
	@exec setpriv --pdeathsig TERM tests/lab/demo.sh

# CMD is taken as it stands: $X and, for those used to make, $$X are both the shell's.
unexport CMD
lab: export LAB_CMD = $(subst $$$$,$$,$(value CMD))
lab:
	@mkdir -p $(B)/lab; flock $(B)/lab/build.lock sh -c '$(MAKE) -s --no-print-directory deps all' \
	  >$(B)/lab/build.log 2>&1 || { cat $(B)/lab/build.log >&2; exit 1; }
	@exec setpriv --pdeathsig TERM tests/lab/run.sh

# Programs that lab tests run
LABPROGS := $(patsubst %.c,$(B)/%,$(filter-out %.bpf.c,$(wildcard tests/lab/*.c)))
$(LABPROGS): %: %.o $(B)/libdanelaw.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $< $(B)/libdanelaw.a $(LIBS_D)

# BPF objects of lab programs, made as those of bpf/ are
LABBPF := $(patsubst %.bpf.c,$(B)/%.bpf.o,$(wildcard tests/lab/*.bpf.c))
$(LABBPF): $(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) -O2 -g -Wall -Wextra -Werror --target=bpf -mcpu=v3 \
	  -I. -I/usr/include/$(shell $(CC) -dumpmachine | sed 's/-pc-/-/') -c -o $@ $<

tests: $(LABPROGS) $(LABBPF)
