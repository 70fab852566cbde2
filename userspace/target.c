/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
	[CONFIG_TLS_NONE] = "none", [CONFIG_TLS_DANE] = "dane", [CONFIG_TLS_PIN] = "pin", [CONFIG_TLS_CA] = "ca"
};

const char *target_duty_name(enum target_duty d)
{
	static const char *const names[] = { "clear", "opportunistic", "tls", "verified" };

	return names[d];
}

static struct target *new_target(struct tls_client *client, const char *kind)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->refs = 1;
	t->client = client ? tls_client_ref(client) : NULL;
	t->kind = kind;
	return t;
}

/* config.c has checked that it is 64 hex digits. */
static void read_pin(const char *hex, uint8_t out[32])
{
	for (int i = 0; i < 32; i++) {
		unsigned byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		out[i] = (uint8_t)byte;
	}
}

struct target *target_from_config(const struct config_backend *cfg, struct tls_client *client)
{
	struct target *t = new_target(client, kinds[cfg->tls]);
	const char *name = cfg->tls_name ? cfg->tls_name : cfg->host;
	struct in6_addr ip;

	if (!t)
		return NULL;
	t->addrs[0] = cfg->addr;
	t->addr_count = cfg->tls == CONFIG_TLS_DANE ? 0 : 1;
	t->duty = cfg->tls == CONFIG_TLS_NONE ? TARGET_CLEAR : TARGET_VERIFIED;
	t->mode = cfg->tls == CONFIG_TLS_PIN ? TLS_BY_PIN : cfg->tls == CONFIG_TLS_CA ? TLS_BY_CA : TLS_BY_DANE;
	if (cfg->tls != CONFIG_TLS_NONE && net_parse_ip(name, &ip)) { /* an address is no SNI (RFC 6066 3) */
		snprintf(t->sni, sizeof(t->sni), "%s", name);
		snprintf(t->names[t->name_count++], DANE_NAME_MAX, "%s", name);
	}
	for (size_t i = 0; i < cfg->pin_count && i < TARGET_PINS_MAX; i++)
		read_pin(cfg->pins[i], t->pins[t->pin_count++]);
	if (client && cfg->tls == CONFIG_TLS_CA)
		memcpy(&t->key, tls_client_ca_sha256(client), sizeof(t->key));
	return t;
}

struct target *target_from_dane(const struct target *base, const struct dane_host *host)
{
	struct target *t = new_target(base->client, base->kind);

	if (!t)
		return NULL;
	t->ttl = host->ttl ? host->ttl : 1;
	for (size_t i = 0; i < host->address_count; i++)
		t->addrs[t->addr_count++] = (struct net_addr){ .ip = host->addresses[i], .port = host->port };
	if (host->duty == DANE_NONE) {
		t->duty = TARGET_OPPORTUNISTIC;
		snprintf(t->sni, sizeof(t->sni), "%s", host->name);
		return t;
	}
	memcpy(t->sni, host->base, sizeof(t->sni));
	t->duty = host->duty == DANE_AUTHENTICATE ? TARGET_VERIFIED : TARGET_TLS;
	if (t->duty == TARGET_TLS)
		return t;
	t->mode = TLS_BY_DANE;
	memcpy(t->names, host->names, sizeof(t->names));
	t->name_count = host->name_count;
	t->records = dane_records_copy(host->records);
	t->key = host->key;
	if (!t->records) {
		target_unref(t);
		return NULL;
	}
	return t;
}

struct target *target_ref(struct target *t)
{
	__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void target_unref(struct target *t)
{
	if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (t->client)
		tls_client_unref(t->client);
	free(t->records);
	free(t);
}

void target_tls(const struct target *t, struct tls_target *out, const char *names[DANE_NAMES_MAX])
{
	for (size_t i = 0; i < t->name_count; i++)
		names[i] = t->names[i];
	*out = (struct tls_target){ .mode = t->duty == TARGET_VERIFIED ? t->mode : TLS_UNAUTHENTICATED,
				    .sni = t->sni[0] ? t->sni : NULL,
				    .names = names,
				    .name_count = t->name_count,
				    .records = t->records ? t->records->record : NULL,
				    .record_count = t->records ? t->records->count : 0,
				    .pins = (const uint8_t (*)[32])t->pins,
				    .pin_count = t->pin_count };
}
