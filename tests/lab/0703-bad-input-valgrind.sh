#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0703: the scenes of 0700 against danelawd under valgrind: no memory is read before it was written, which the sanitizers
# do not see, and nothing is left allocated.  Over epoll: valgrind 3.19 keeps all other threads waiting while one is in
# io_uring_enter(2).

export PEERS_IO=epoll PEERS_SLOW=10
export PEERS_WRAP="valgrind -q --vgdb=no --leak-check=full --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9"
exec "$(dirname "$0")/peers.sh" bad_input.pl
