#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh COMMAND: one command (of bash) in the lab's internet namespace, with all servers and the edge up.  Its
# standard input and output, and its exit status, are the command's.  `make lab CMD='…'` comes here.
# docs/lab.md says what it finds there.

. "$(dirname "$0")/lib.sh"
LAB_CMD=${1-${LAB_CMD:-}}
[ -n "$LAB_CMD" ] || lab_die "no command; try  make lab CMD='swaks --server \$LAB_EDGE --to you@\$LAB_DOMAIN_GOOD --tls'"
export LAB_CMD
LAB_QUIET=1
lab_enter

exec {LAB_ERR}>&2
{ lab_up && edge_start; } </dev/null >>$LAB_LOG/lab.log 2>&1
net_run internet bash -c "$LAB_CMD"
exit
