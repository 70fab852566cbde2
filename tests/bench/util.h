/* SPDX-License-Identifier: BSD-2-Clause */
/* What the benchmark's programs share: dying with a reason, addresses, clocks. */
#ifndef DANELAW_BENCH_UTIL_H
#define DANELAW_BENCH_UTIL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Both end the program: the environment's fault (with errno), the caller's fault. */
_Noreturn void util_die(const char *what);
_Noreturn __attribute__((format(printf, 1, 2))) void util_usage(const char *fmt, ...);

/* "127.0.0.1:25" */
bool util_address(const char *text, struct sockaddr_in *out);
/* As many descriptors as the hard limit gives. */
void util_descriptors(void);
/* ns; of the wall, and of the calling thread's own CPU time */
uint64_t util_now(void);
uint64_t util_cpu(void);

#endif
