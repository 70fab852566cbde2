/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which addresses and ports are ours, in the maps that tell the programs: vips, which also names each; vip_ports, by
 * which most packets of others are told apart; and a few of them in front_config.
 */
#include "userspace/front_parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static void vip_key(const struct in6_addr *ip, uint16_t port, struct vip_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->ip, ip->s6_addr, 16);
	key->port = port;
}

static bool is_any(const struct in6_addr *ip)
{
	static const struct in6_addr any = IN6ADDR_ANY_INIT;
	static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(ip, &any, 16) || !memcmp(ip, any4, 16);
}

static int put_vip(int map, const struct in6_addr *ip, uint16_t port, uint32_t listener)
{
	char text[NET_TEXT_MAX];
	struct vip vip = { .listener = listener };
	struct vip_key key;

	vip_key(ip, port, &key);
	net_ip_text(ip, text);
	if (is_any(ip))
		strcpy(text, net_is_v4(ip) ? "any IPv4" : "any IPv6");
	if (port)
		snprintf(vip.text, sizeof(vip.text), "%.45s port %u", text, port);
	else
		snprintf(vip.text, sizeof(vip.text), "%.45s (no port)", text);
	return bpf_map_update_elem(map, &key, &vip, BPF_ANY) ? -errno : 0;
}

static bool vip_wanted(const struct front_settings *set, const struct vip_key *key)
{
	size_t i;

	for (i = 0; i < set->vip_count; i++)
		if (!memcmp(key->ip, set->vips[i].ip.s6_addr, 16) && (!key->port || key->port == set->vips[i].port))
			return true;
	return false;
}

struct wanted {
	int map;
	const struct front_settings *set;
};

/* A row of an earlier configuration goes. */
static bool drop_unwanted(void *ctx, const void *key, const void *value)
{
	const struct wanted *wanted = ctx;

	if (!vip_wanted(wanted->set, key))
		bpf_map_delete_elem(wanted->map, key);
	return true;
}

static uint64_t port_bits(const struct in6_addr *ip)
{
	if (net_is_v4(ip))
		return is_any(ip) ? VIP_ANY4 : VIP_EXACT4;
	return is_any(ip) ? VIP_ANY6 : VIP_EXACT6;
}

static int set_ports(int map, const struct front_settings *set)
{
	uint64_t words[VIP_PORT_WORDS] = { 0 }, now;
	uint32_t i;

	for (i = 0; i < set->vip_count; i++) {
		uint16_t port = set->vips[i].port;

		words[port / VIP_PORTS_PER_WORD] |= port_bits(&set->vips[i].ip) << (port % VIP_PORTS_PER_WORD * 4);
	}
	for (i = 0; i < VIP_PORT_WORDS; i++)
		if (bpf_map_lookup_elem(map, &i, &now) ||
		    (now != words[i] && bpf_map_update_elem(map, &i, &words[i], BPF_ANY)))
			return -errno;
	return 0;
}

static bool has_vip(const struct front_settings *set, const struct in6_addr *ip, uint16_t port)
{
	size_t i;

	for (i = 0; i < set->vip_count; i++)
		if (set->vips[i].port == port && !memcmp(&set->vips[i].ip, ip, sizeof(*ip)))
			return true;
	return false;
}

/* How many of the addresses stand in few already, up to count; false: this one does not. */
static bool in_few(const uint8_t *few, uint32_t count, const uint8_t *ip, size_t size)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (!memcmp(few + i * size, ip, size))
			return true;
	return false;
}

/* Fills few with the distinct exact addresses of a family: their number, or 0 when they do not fit or differ in ports. */
static uint32_t find_few(const struct front_settings *set, bool v4, uint8_t *few, uint32_t max)
{
	size_t i, j, size = v4 ? 4 : 16;
	uint32_t count = 0;

	for (i = 0; i < set->vip_count; i++) {
		const struct in6_addr *ip = &set->vips[i].ip;
		const uint8_t *bytes = ip->s6_addr + 16 - size;

		if (is_any(ip) || net_is_v4(ip) != v4)
			continue;
		if (!in_few(few, count, bytes, size)) {
			if (count == max)
				return 0;
			memcpy(few + count++ * size, bytes, size);
		}
		for (j = 0; j < set->vip_count; j++)
			if (!is_any(&set->vips[j].ip) && net_is_v4(&set->vips[j].ip) == v4 && !has_vip(set, ip, set->vips[j].port))
				return 0;
	}
	return count;
}

static int set_few(int map, const struct front_settings *set)
{
	struct front_config config;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(map, &zero, &config))
		return -errno;
	memset(config.few4, 0, sizeof(config.few4));
	memset(config.few6, 0, sizeof(config.few6));
	config.few4_count = find_few(set, true, config.few4[0], FEW4_MAX);
	config.few6_count = find_few(set, false, config.few6[0], FEW6_MAX);
	return bpf_map_update_elem(map, &zero, &config, BPF_ANY) ? -errno : 0;
}

int front_set_vips(struct front *f, const struct front_settings *set, struct front_err err)
{
	int code = 0;
	size_t i;

	if (set->vip_count > FRONT_VIPS_MAX / 2)
		return front_fail(err, -E2BIG, "%zu addresses are configured; the front takes %d", set->vip_count, FRONT_VIPS_MAX / 2);
	for (i = 0; i < set->vip_count && !code; i++) {
		code = put_vip(f->vips, &set->vips[i].ip, set->vips[i].port, set->vips[i].listener);
		if (!code)
			code = put_vip(f->vips, &set->vips[i].ip, 0, set->vips[i].listener);
	}
	if (!code)
		code = front_each_row(f->vips, drop_unwanted, &(struct wanted){ f->vips, set });
	if (!code && f->vip_ports >= 0)
		code = set_ports(f->vip_ports, set);
	if (!code && f->front_config >= 0)
		code = set_few(f->front_config, set);
	return code ? front_fail(err, code, "cannot write the addresses into the front's maps: %s", strerror(-code)) : 0;
}
