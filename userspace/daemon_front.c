/* SPDX-License-Identifier: BSD-2-Clause */
/* The front as the configuration wants it, and the files of its lists. */
#include "userspace/daemon_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/lane.h"
#include "userspace/log.h"
#include "userspace/privileges.h"

bool daemon_has_front(const struct config *cfg)
{
	return cfg->front.mode != CONFIG_XDP_OFF && cfg->front.interface_count;
}

bool daemon_steers(const struct config *cfg)
{
	return daemon_has_front(cfg) && cfg->front.steer;
}

/* "::" is every address to a listener, and every IPv6 address to the front: there it stands for two. */
static size_t add_vips(struct front_vip *vips, const struct config_listener *l, uint32_t listener)
{
	static const struct in6_addr any4 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };
	size_t n = 0;

	for (size_t k = 0; k < l->address_count; k++) {
		vips[n++] = (struct front_vip){ .ip = l->addresses[k], .port = l->port, .listener = listener };
		if (IN6_IS_ADDR_UNSPECIFIED(&l->addresses[k]))
			vips[n++] = (struct front_vip){ .ip = any4, .port = l->port, .listener = listener };
	}
	return n;
}

unsigned daemon_tunnel_mss(const struct config *cfg)
{
	return daemon_has_front(cfg) && cfg->front.decap_from_count ? cfg->front.decap_mss : 0;
}

int daemon_open_front(const struct config *cfg, unsigned workers, struct front **out, char *err, size_t err_size)
{
	size_t n = 0, max = 0;

	for (size_t i = 0; i < cfg->listener_count; i++)
		max += cfg->listeners[i].address_count;
	struct front_vip *vips = calloc(2 * max + 1, sizeof(*vips));

	if (!vips)
		return -ENOMEM;
	for (size_t i = 0; i < cfg->listener_count; i++)
		n += add_vips(vips + n, &cfg->listeners[i], (uint32_t)i);
	struct front_settings set = { .interfaces = cfg->front.interfaces,
				      .interface_count = cfg->front.interface_count,
				      .generic_allowed = cfg->front.mode == CONFIG_XDP_GENERIC_ALLOWED,
				      .dispatcher = cfg->front.attach == CONFIG_ATTACH_LIBXDP,
				      .vips = vips,
				      .vip_count = n,
				      .listeners = (unsigned)cfg->listener_count,
				      .workers = workers,
				      .source_per_minute = cfg->front.source_rate,
				      .source_burst = cfg->front.source_burst,
				      .network56_factor = cfg->front.factor56,
				      .network48_factor = cfg->front.factor48,
				      .flood_enter = cfg->front.flood_enter,
				      .flood_leave = cfg->front.flood_leave,
				      .flood_hold_ms = cfg->front.flood_hold_ms,
				      .protect = (enum front_protect)cfg->front.syn_protect,
				      .cookies = (enum front_cookies)cfg->front.syn_cookies,
				      .cookies_shared = cfg->front.syn_secret_file != NULL,
				      .list_entries = cfg->front.list_entries,
				      .verified_entries = cfg->front.verified_entries,
				      .zone_of = lane_zone_of,
				      .zone_ctx = cfg,
				      .decap_from = cfg->front.decap_from,
				      .decap_from_count = cfg->front.decap_from_count,
				      .decap_to = cfg->front.decap_to,
				      .decap_to_count = cfg->front.decap_to_count,
				      .gue_port = cfg->front.decap_gue_port,
				      .mss = daemon_tunnel_mss(cfg),
				      .spread_queue = cfg->front.spread == CONFIG_SPREAD_CPUMAP ? cfg->front.spread_queue : 0,
				      .plain_bind = !cfg->front.steer };
	int r = front_open(&set, out, err, err_size);

	free(vips);
	return r;
}

static void close_list(struct front_list_files *list)
{
	for (size_t i = 0; list->files && i < list->count; i++)
		if (list->files[i])
			fclose(list->files[i]);
	free((void *)list->files);
}

static int open_list(struct front *front, enum front_list which, char **paths, size_t n, struct front_list_files *list, char *err,
		     size_t err_size)
{
	FILE **files = calloc(n + 1, sizeof(*files));

	*list = (struct front_list_files){ .files = files, .names = (const char *const *)paths, .count = n };
	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		files[i] = privileges_open(paths[i]);
		if (!files[i]) {
			int error = errno;

			snprintf(err, err_size, "%s: %s", paths[i], strerror(error));
			front_list_failed(front, which, paths[i], err);
			return -error;
		}
	}
	return 0;
}

int daemon_load_lists(const struct config_front *c, struct front *front, char *err, size_t err_size)
{
	struct front_list_files deny = { 0 }, allow = { 0 };
	int r = open_list(front, FRONT_DENY, c->deny_files, c->deny_file_count, &deny, err, err_size);

	if (!r)
		r = open_list(front, FRONT_ALLOW, c->allow_files, c->allow_file_count, &allow, err, err_size);
	if (!r)
		r = front_load_lists(front, &deny, &allow, err, err_size);
	close_list(&deny);
	close_list(&allow);
	if (!r && front && (deny.count || allow.count))
		log_info("lists: %zu prefixes denied, %zu allowed", deny.loaded, allow.loaded);
	return r;
}
