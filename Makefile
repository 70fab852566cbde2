# SPDX-License-Identifier: BSD-2-Clause
#
#   make            build/danelawd and build/danelawctl (no root, no network)
#   make demo       the main job on real mail servers, in namespaces of its own (root)
#   make check      all tests (root)
#   make check-vm   what needs another kernel, in a guest (root)
#   make help       every target
#
# V=1 shows the commands.  CC=clang builds with clang.

comma   := ,
PREFIX  ?= /usr/local
DESTDIR ?=
B       := build
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)
say      = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)';)

CC      ?= cc
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PKGCONF ?= pkg-config

# Debian packages, by what needs them.  `make deps` (root) installs what is missing;
# `make check` and `make demo` call it first; `make check-vm` adds PKGS_VM.
PKGS_BUILD := gcc clang llvm make pkg-config bpftool libbpf-dev liburing-dev libssl-dev \
              libunbound-dev libconfuse-dev libjansson-dev libmicrohttpd-dev libsystemd-dev \
              libseccomp-dev libelf-dev zlib1g-dev
PKGS_TEST  := libcmocka-dev libclang-rt-14-dev valgrind perl libnet-ssleay-perl iproute2 ethtool openssl \
              ldnsutils dns-root-data procps util-linux mandoc jq python3
PKGS_VM    := qemu-system-x86 xz-utils
LIBS_BUILD := libbpf liburing libssl libcrypto libunbound libconfuse jansson libmicrohttpd libsystemd libseccomp

.DEFAULT_GOAL := all

VERSION := $(shell cat VERSION)
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wwrite-strings -Wvla -Wundef -Wno-unused-parameter \
           -Wno-missing-field-initializers
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) -fno-strict-aliasing -fstack-protector-strong -D_FORTIFY_SOURCE=2 \
             -DDANELAW_VERSION='"$(VERSION)"' -DDANELAW_PREFIX='"$(PREFIX)"' -I. -I$(B) $(SAN) $(CFLAGS)
ALL_LDFLAGS = -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS)

# One flags line for the libraries each program links (see docs/architecture.md for who includes what).
LIBS_D   = $(shell $(PKGCONF) --libs libbpf liburing libssl libcrypto libunbound libconfuse jansson libmicrohttpd libsystemd libseccomp) -lpthread
LIBS_CTL = $(shell $(PKGCONF) --libs libbpf libssl libcrypto libunbound libconfuse jansson) -lpthread

include tests/tests.mk

D_SRC   := $(wildcard userspace/*.c)
CTL_SRC := $(wildcard tools/*.c)
BPF_SRC := $(wildcard bpf/*.bpf.c)
SKEL    := $(BPF_SRC:bpf/%.bpf.c=$(B)/bpf/%.skel.h)
D_OBJ   := $(D_SRC:%.c=$(B)/%.o)
CTL_OBJ := $(CTL_SRC:%.c=$(B)/%.o)
# what danelawctl shares with the daemon: pure rooms and the ones that look things up
CTL_D   := $(filter-out $(B)/userspace/main.o,$(D_OBJ))

.PHONY: all deps have-libs demo lab check check-vm bench fuzz install clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: have-libs $(B)/danelawd $(B)/danelawctl

help:
	@sed -n '3,10s/^# \{0,3\}//p' Makefile
	@echo "make lab CMD='…'   one command from the lab's internet namespace, all servers standing"
	@echo "make bench         figures beside peers, build/bench/bench.json;  make fuzz: long fuzzing"
	@echo "make install DESTDIR= PREFIX=;  make clean"

have-libs:
	@$(PKGCONF) --libs $(LIBS_BUILD) >/dev/null && command -v $(CLANG) >/dev/null || { \
	  echo "danelaw: libraries or clang are missing; as root:  make deps   (or apt-get install $(PKGS_BUILD))" >&2; exit 1; }

deps:
	$(Q)tools/install-deps $(PKGS_BUILD) $(PKGS_TEST)

$(B)/danelawd: $(D_OBJ)
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_D)

$(B)/danelawctl: $(CTL_OBJ) $(B)/libdanelaw.a
	$(call say,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_D)

# every room of the daemon but main, for danelawctl and the tests: the linker takes what is called
$(B)/libdanelaw.a: $(CTL_D)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(filter $(B)/userspace/front%.o,$(D_OBJ)): $(SKEL)

# -g makes BTF; the multiarch include path is where Debian keeps asm/types.h
$(B)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	@mkdir -p $(@D)
	$(call say,BPF,$<)$(CLANG) -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter --target=bpf -mcpu=v3 \
	  -DDANELAW_VERSION='"$(VERSION)"' -I. -I/usr/include/$(shell $(CC) -dumpmachine | sed 's/-pc-/-/') -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/man/man5 \
	  $(DESTDIR)$(PREFIX)/share/doc/danelaw $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 0755 $(B)/danelawd $(B)/danelawctl $(DESTDIR)$(PREFIX)/sbin/
	install -m 0644 docs/danelawd.8 docs/danelawctl.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -m 0644 docs/danelaw.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	install -m 0644 README.md LICENSE docs/*.md docs/danelaw.conf.example $(DESTDIR)$(PREFIX)/share/doc/danelaw/
	sed 's,@PREFIX@,$(PREFIX),' tools/danelawd.service.in >$(B)/danelawd.service
	install -m 0644 $(B)/danelawd.service $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -m 0644 tools/danelaw.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/danelaw.conf

clean:
	rm -rf $(B)

-include $(wildcard $(B)/tests/*/*.d)
-include $(D_OBJ:.o=.d) $(CTL_OBJ:.o=.d) $(BPF_SRC:bpf/%.bpf.c=$(B)/bpf/%.bpf.d)
