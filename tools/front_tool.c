/* SPDX-License-Identifier: BSD-2-Clause */
/* Options, words and packets that the subcommands of `danelawctl front` share. */
#include "tools/front_tool.h"

#include <stdlib.h>
#include <string.h>

void front_tool_init(struct front_tool *t)
{
	*t = (struct front_tool){ .pins = FRONT_PIN_DIR };
}

void front_tool_option(struct front_tool *t, int opt, const char *usage)
{
	switch (opt) {
	case 'p':
		t->pins = optarg;
		return;
	case 'j':
		t->json = true;
		return;
	default:
		ctl_no_option(opt, usage);
	}
}

int front_tool_open(struct front_tool *t)
{
	char err[1024];

	if (!front_view_open(t->pins, &t->view, err, sizeof(err)))
		return CTL_OK;
	fprintf(stderr, "danelawctl: %s\n", err);
	return CTL_UNREACHABLE;
}

bool front_tool_time(const char *text, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (end == text || text[0] == '-' || !n || n > 1000000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strcmp(end, units[i].unit)) {
			*ms = n * units[i].ms;
			return true;
		}
	return false;
}

int front_tool_reason(const char *symbol)
{
	for (size_t i = 0; i < front_count_rows; i++)
		if (!strcmp(front_count_info[i].group, "front") && !strcmp(front_count_info[i].symbol, symbol))
			return (int)i;
	fprintf(stderr, "danelawctl: there is no reason %s; `danelawctl front top --all` shows all\n", symbol);
	return -1;
}

const char *front_tool_prefix(const struct net_prefix *prefix, char out[NET_TEXT_MAX])
{
	bool v4 = prefix->len >= 96 && net_is_v4(&prefix->ip);
	unsigned len = v4 ? prefix->len - 96u : prefix->len;
	char ip[NET_TEXT_MAX];

	net_ip_text(&prefix->ip, ip);
	if (prefix->len == 128)
		snprintf(out, NET_TEXT_MAX, "%s", ip);
	else
		snprintf(out, NET_TEXT_MAX, "%.50s/%u", ip, len);
	return out;
}

/* ---- packets ---- */

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void read_flags(uint8_t bits, char out[32])
{
	static const char *const names[] = { "FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR" };
	size_t at = 0;

	for (int i = 0; i < 8; i++)
		if (bits >> i & 1)
			at += (size_t)snprintf(out + at, 32 - at, "%s%s", at ? " " : "", names[i]);
	if (!at)
		strcpy(out, "none");
}

static void read_tcp(const uint8_t *at, const uint8_t *end, struct front_packet *out)
{
	if (end - at < 4)
		return;
	out->ports = true;
	out->source.port = (uint16_t)be16(at);
	out->dest.port = (uint16_t)be16(at + 2);
	if (end - at >= 14)
		read_flags(at[13], out->flags);
}

static void read_ip4(const uint8_t *ip, const uint8_t *end, struct front_packet *out)
{
	if (end - ip < 20)
		return;
	out->ip = true;
	out->protocol = ip[9];
	out->source.ip.s6_addr[10] = out->source.ip.s6_addr[11] = 0xff;
	out->dest.ip = out->source.ip;
	memcpy(&out->source.ip.s6_addr[12], ip + 12, 4);
	memcpy(&out->dest.ip.s6_addr[12], ip + 16, 4);
	if (out->protocol == 6 && !(be16(ip + 6) & 0x1fff) && (ip[0] & 15) >= 5)
		read_tcp(ip + (ip[0] & 15) * 4, end, out);
}

/* Hop-by-hop, routing, fragment, authentication, destination options; few enough to reach a TCP header in a capture. */
static bool is_extension(uint8_t next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static void read_ip6(const uint8_t *ip, const uint8_t *end, struct front_packet *out)
{
	const uint8_t *at = ip + 40;

	if (end - ip < 40)
		return;
	out->ip = true;
	out->protocol = ip[6];
	memcpy(&out->source.ip, ip + 8, 16);
	memcpy(&out->dest.ip, ip + 24, 16);
	while (is_extension(out->protocol) && end - at >= 8) {
		uint8_t kind = out->protocol;

		out->protocol = at[0];
		if (kind == 44 && be16(at + 2) & 0xfff8)
			return; /* a later fragment */
		at += kind == 44 ? 8 : kind == 51 ? (at[1] + 2) * 4 : (at[1] + 1) * 8;
		if (at > end)
			return;
	}
	if (out->protocol == 6)
		read_tcp(at, end, out);
}

void front_packet_read(const uint8_t *frame, size_t len, struct front_packet *out)
{
	const uint8_t *at = frame + 12, *end = frame + len;

	memset(out, 0, sizeof(*out));
	while (end - at >= 6 && (be16(at) == 0x8100 || be16(at) == 0x88a8))
		at += 4;
	if (end - at < 2)
		return;
	if (be16(at) == 0x0800)
		read_ip4(at + 2, end, out);
	else if (be16(at) == 0x86dd)
		read_ip6(at + 2, end, out);
}
