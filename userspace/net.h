/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses, ports and prefixes.  IPv4 is kept v4-mapped (::ffff:a.b.c.d), so one form serves both
 * families; text shows it as plain IPv4 again.
 */
#ifndef DANELAW_NET_H
#define DANELAW_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_addr {
	struct in6_addr ip; /* v4-mapped for IPv4 */
	uint16_t port;	    /* host order */
};

struct net_prefix {
	struct in6_addr ip;
	uint8_t len; /* 0..128 on the mapped form: an IPv4 /24 is 120 */
};

#define NET_TEXT_MAX 64 /* "[v6]:port" with the final NUL */

bool net_is_v4(const struct in6_addr *ip);
/* "192.0.2.1", "2001:db8::1"; 0 or -EINVAL. */
int net_parse_ip(const char *text, struct in6_addr *ip);
/* "192.0.2.0/24", "2001:db8::/32", a bare address is a host prefix; host bits must be zero; 0 or -EINVAL. */
int net_parse_prefix(const char *text, struct net_prefix *p);
/*
 * "HOST:PORT", "[v6]:PORT", "HOST" (default_port).  Splits only; host gets a copy without brackets.
 * 0 or -EINVAL.
 */
int net_split_host_port(const char *text, uint16_t default_port, char *host, size_t host_size, uint16_t *port);

bool net_prefix_has(const struct net_prefix *p, const struct in6_addr *ip);
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);

const char *net_ip_text(const struct in6_addr *ip, char buf[NET_TEXT_MAX]);	 /* without brackets */
const char *net_addr_text(const struct net_addr *a, char buf[NET_TEXT_MAX]); /* "ip:port", "[v6]:port" */

/* The socket forms: AF_INET for mapped addresses, else AF_INET6.  Returns the length. */
socklen_t net_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss);
int net_from_sockaddr(const struct sockaddr *sa, struct net_addr *a); /* 0 or -EAFNOSUPPORT */

#endif
