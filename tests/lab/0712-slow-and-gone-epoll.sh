#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0712: the scenes of 0710 over epoll, the twin of io_uring.

PEERS_IO=epoll exec "$(dirname "$0")/peers.sh" slow_and_gone.pl
