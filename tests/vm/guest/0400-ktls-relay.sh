#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Sessions passed on unread, and the octets of BDAT in guarded ones, with their TLS given to the kernel: the tests of
# tests/lab/1600-splice.sh, of which each pair of legs fails where the kernel did not move the bytes, and all of them where
# its own counters do not say so.
# (The kernel of backports is one whose splice from kernel TLS may lose bytes: danelawd does not use it there.)
#
# kernels: stable
# part: ktls

modprobe tls
exec env KTLS=all SESSIONS=1 ENDS=1 LARGE=400000 PAIRS="uring/1.3:tls epoll/1.2:tls epoll/-:tls" STALLS=1.3:tls tests/lab/1600-splice.sh
