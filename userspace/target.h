/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a backend is and how its certificate is judged: one immutable, counted object a backend, replaced as a
 * whole when DNS or the configuration says something new.  Whoever makes a connection holds the one it began with.
 */
#ifndef DANELAW_TARGET_H
#define DANELAW_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/config.h"
#include "userspace/dane.h"
#include "userspace/tls_client.h"

enum target_duty {
	TARGET_CLEAR,	      /* tls = none: no TLS is spoken */
	TARGET_OPPORTUNISTIC, /* tls = dane, and securely no records: TLS if offered, nobody's word for it */
	TARGET_TLS,	      /* TLS is a must, unauthenticated: records exist, none usable (RFC 7672 2.2) */
	TARGET_VERIFIED	      /* TLS and a match are a must: by records, pin or CA */
};

const char *target_duty_name(enum target_duty d); /* "clear", "opportunistic", "tls", "verified" */

#define TARGET_PINS_MAX 8

struct target {
	uint32_t refs; /* atomic */
	enum target_duty duty;
	enum tls_mode mode;
	struct tls_client *client; /* NULL for TARGET_CLEAR */
	struct net_addr addrs[2 * DANE_ADDRESSES_MAX];
	size_t addr_count;
	char sni[DANE_NAME_MAX];
	char names[DANE_NAMES_MAX][DANE_NAME_MAX];
	size_t name_count;
	struct dane_records *records;
	uint8_t pins[TARGET_PINS_MAX][32];
	size_t pin_count;
	struct dane_key key;	   /* changes with what decides: a verdict on the old one says nothing of the new */
	uint32_t ttl;		   /* seconds, as DNS said it; 0: the configuration's, for good */
	const char *kind;	   /* "none", "dane", "pin", "ca": what the log calls it */
};

/*
 * What the configuration alone says: complete but for tls = dane, whose addresses and records come from DNS
 * (target_from_dane()).  client is taken a reference of.  NULL: out of memory.
 */
struct target *target_from_config(const struct config_backend *cfg, struct tls_client *client);
/* base's client with what a plan decided for the host (NONE, TLS_REQUIRED or AUTHENTICATE). */
struct target *target_from_dane(const struct target *base, const struct dane_host *host);
struct target *target_ref(struct target *t);
void target_unref(struct target *t); /* NULL is fine */
/* The arguments of tls_connect_new(); borrowed from t, *names has room for DANE_NAMES_MAX. */
void target_tls(const struct target *t, struct tls_target *out, const char *names[DANE_NAMES_MAX]);

#endif
