#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0702: the scenes of 0700 over epoll, the twin of io_uring.

PEERS_IO=epoll exec "$(dirname "$0")/peers.sh" bad_input.pl
