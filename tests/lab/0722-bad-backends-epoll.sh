#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0722: the scenes of 0720 over epoll, the twin of io_uring.

PEERS_IO=epoll exec "$(dirname "$0")/peers.sh" bad_backends.pl
