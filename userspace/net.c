/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts come from configuration files and command lines, so everything doubtful is refused rather than
 * guessed: no octal or short IPv4 forms, no host bits in a prefix, no port 0.
 */
#include "userspace/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool net_is_v4(const struct in6_addr *ip)
{
	return memcmp(ip->s6_addr, mapped, sizeof(mapped)) == 0;
}

int net_parse_ip(const char *text, struct in6_addr *ip)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, v6.s6_addr + 12) == 1)
		memcpy(v6.s6_addr, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, text, &v6) != 1)
		return -EINVAL;
	*ip = v6;
	return 0;
}

/* A decimal number 0..max, nothing around it, no needless zeros; -1 if it is none. */
static long parse_number(const char *text, long max)
{
	long n = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + (*text - '0');
		if (n > max)
			return -1;
	}
	return n;
}

/* Bits [len, 128) are zero. */
static bool host_bits_zero(const struct in6_addr *ip, unsigned len)
{
	unsigned i;

	for (i = len; i < 128; i++) {
		if (ip->s6_addr[i / 8] & (0x80 >> i % 8))
			return false;
	}
	return true;
}

int net_parse_prefix(const char *text, struct net_prefix *p)
{
	const char *slash = strchr(text, '/');
	size_t ip_len = slash ? (size_t)(slash - text) : strlen(text);
	char ip_text[NET_TEXT_MAX];
	struct net_prefix out;
	long len = 128;

	if (ip_len >= sizeof(ip_text))
		return -EINVAL;
	memcpy(ip_text, text, ip_len);
	ip_text[ip_len] = '\0';
	if (net_parse_ip(ip_text, &out.ip))
		return -EINVAL;
	if (slash) {
		bool dotted = !strchr(ip_text, ':');

		len = parse_number(slash + 1, dotted ? 32 : 128);
		if (len < 0)
			return -EINVAL;
		if (dotted)
			len += 96;
	}
	if (!host_bits_zero(&out.ip, (unsigned)len))
		return -EINVAL;
	out.len = (uint8_t)len;
	*p = out;
	return 0;
}

/* Letters, digits and what else stands in host names and addresses; UTF-8 names are not for the system's resolver. */
static bool host_ok(const char *host, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = host[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-:%", c)))
			return false;
	}
	return len > 0;
}

static bool is_v6(const char *text, size_t len)
{
	char copy[NET_TEXT_MAX];
	struct in6_addr ip;

	snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
	return len < sizeof(copy) && inet_pton(AF_INET6, copy, &ip) == 1;
}

int net_split_host_port(const char *text, uint16_t default_port, char *host, size_t host_size, uint16_t *port)
{
	const char *begin = text, *end, *port_text = NULL;
	long number = default_port;
	size_t len;

	if (*text == '[') {
		begin = text + 1;
		end = strchr(begin, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		if (end[1] == ':')
			port_text = end + 2;
	} else {
		end = strchr(text, ':');
		if (!end || strchr(end + 1, ':')) /* more than one colon: an IPv6 address without brackets */
			end = text + strlen(text);
		else
			port_text = end + 1;
	}
	len = (size_t)(end - begin);
	if (len >= host_size || !host_ok(begin, len))
		return -EINVAL;
	if (port_text)
		number = parse_number(port_text, 65535);
	if (number < 0 || (port_text && number == 0))
		return -EINVAL;
	if ((*text == '[' || memchr(begin, ':', len)) && !is_v6(begin, len))
		return -EINVAL;
	memcpy(host, begin, len);
	host[len] = '\0';
	*port = (uint16_t)number;
	return 0;
}

bool net_prefix_has(const struct net_prefix *p, const struct in6_addr *ip)
{
	unsigned bytes = p->len / 8, bits = p->len % 8;

	/* ::/0 means every IPv6 address, not the IPv4 ones that we keep below it */
	if (p->len < 96 && net_is_v4(ip))
		return false;
	if (memcmp(p->ip.s6_addr, ip->s6_addr, bytes) != 0)
		return false;
	return bits == 0 || ((p->ip.s6_addr[bytes] ^ ip->s6_addr[bytes]) >> (8 - bits)) == 0;
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
	return a->port == b->port && memcmp(&a->ip, &b->ip, sizeof(a->ip)) == 0;
}

const char *net_ip_text(const struct in6_addr *ip, char buf[NET_TEXT_MAX])
{
	if (net_is_v4(ip))
		inet_ntop(AF_INET, ip->s6_addr + 12, buf, NET_TEXT_MAX);
	else
		inet_ntop(AF_INET6, ip, buf, NET_TEXT_MAX);
	return buf;
}

const char *net_addr_text(const struct net_addr *a, char buf[NET_TEXT_MAX])
{
	char ip[NET_TEXT_MAX];

	net_ip_text(&a->ip, ip);
	snprintf(buf, NET_TEXT_MAX, net_is_v4(&a->ip) ? "%.46s:%u" : "[%.46s]:%u", ip, a->port);
	return buf;
}

socklen_t net_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (net_is_v4(&a->ip)) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip.s6_addr + 12, 4);
		return sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		in6->sin6_addr = a->ip;
		return sizeof(*in6);
	}
}

int net_from_sockaddr(const struct sockaddr *sa, struct net_addr *a)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		memcpy(a->ip.s6_addr, mapped, sizeof(mapped));
		memcpy(a->ip.s6_addr + 12, &in->sin_addr, 4);
		a->port = ntohs(in->sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		a->ip = in6->sin6_addr;
		a->port = ntohs(in6->sin6_port);
		return 0;
	}
	return -EAFNOSUPPORT;
}
