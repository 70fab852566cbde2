#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# 0710: clients that are slow, and clients that go, in every state and over both families (slow_and_gone.pl).

exec "$(dirname "$0")/peers.sh" slow_and_gone.pl
