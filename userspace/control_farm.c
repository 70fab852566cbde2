/* SPDX-License-Identifier: BSD-2-Clause */
/* backends: the farm and how its certificates are judged.  listeners: what we serve ourselves, and what to publish. */
#include "userspace/control_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- backends ---- */

static json_t *addresses_json(const struct target *t)
{
	json_t *list = json_array();
	char text[NET_TEXT_MAX];

	for (size_t i = 0; i < t->addr_count; i++)
		json_array_append_new(list, json_string(net_addr_text(&t->addrs[i], text)));
	return list;
}

static json_t *names_json(const struct target *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->name_count; i++)
		json_array_append_new(list, control_text(t->names[i]));
	return list;
}

/* A Full(0) record is a whole certificate: the head of it will do, and its length. */
static json_t *record_json(const struct dane_record *r)
{
	char text[6 + 2 * 64 + 1];

	if (dane_record_text(r, text, sizeof(text)) < (int)sizeof(text))
		return json_string(text);
	return json_sprintf("%s… (%u bytes)", text, r->len);
}

static json_t *records_json(const struct target *t)
{
	json_t *list = json_array();

	for (size_t i = 0; t->records && i < t->records->count; i++)
		json_array_append_new(list, record_json(&t->records->record[i]));
	return list;
}

static json_t *pins_json(const struct target *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->pin_count; i++) {
		char hex[65];

		for (int k = 0; k < 32; k++)
			snprintf(hex + 2 * k, 3, "%02x", t->pins[i][k]);
		json_array_append_new(list, json_string(hex));
	}
	return list;
}

static json_t *target_json(const struct target *t, uint64_t age_ms)
{
	if (!t)
		return json_null();
	json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o}", "judged_by", t->kind, "duty", target_duty_name(t->duty),
			      "addresses", addresses_json(t), "names", names_json(t), "sni", t->sni, "records",
			      records_json(t), "pins", pins_json(t));

	if (t->ttl)
		json_object_set_new(j, "ttl_left_s", json_integer(t->ttl > age_ms / 1000 ? t->ttl - (json_int_t)(age_ms / 1000) : 0));
	return j;
}

static json_t *capabilities_json(const struct backend_status *s)
{
	static const char *const names[] = {
#define X(name) #name,
		SMTP_CAPS(X)
#undef X
	};
	json_t *list = s->caps_known ? json_array() : json_null();

	for (size_t i = 0; s->caps_known && i < SMTP_CAP_COUNT; i++) {
		if (!(s->caps.have >> i & 1))
			continue;
		if (i == SMTP_CAP_SIZE && s->caps.size)
			json_array_append_new(list, json_sprintf("SIZE %llu", (unsigned long long)s->caps.size));
		else
			json_array_append_new(list, json_string(names[i]));
	}
	return list;
}

static json_t *probe_json(const struct backend_status *s)
{
	if (!s->probed)
		return json_null();
	return json_pack("{s:b, s:I, s:o}", "ok", !s->probe_why[0], "age_ms", (json_int_t)s->probe_ms, "why",
			 control_text(s->probe_why));
}

/* The pools it is in. */
static json_t *pools_json(const struct config *cfg, size_t backend)
{
	json_t *list = json_array();

	for (size_t i = 0; i < cfg->pool_count; i++)
		for (size_t k = 0; k < cfg->pools[i].backend_count; k++)
			if (cfg->pools[i].backends[k] == backend)
				json_array_append_new(list, json_string(cfg->pools[i].name));
	return list;
}

static const char *client_address_name(enum config_client_address a)
{
	static const char *const names[] = { [CONFIG_ADDR_PROXY_V2] = "proxy-v2", [CONFIG_ADDR_PROXY_V1] = "proxy-v1",
					     [CONFIG_ADDR_XCLIENT] = "xclient", [CONFIG_ADDR_NONE] = "none" };

	return names[a];
}

static json_t *backend_json(const struct daemon *d, size_t i)
{
	const struct config_backend *cfg = &daemon_config(d)->backends[i];
	struct backend_status s;
	struct target *t = backend_target(daemon_backends(d), i);

	backend_get_status(daemon_backends(d), i, &s);
	bool well = s.state == BACKEND_UP || s.state == BACKEND_UNKNOWN;
	json_t *j = json_pack("{s:s, s:s, s:i, s:i, s:s, s:I, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o}", "name", s.name, "host",
			      cfg->host, "port", cfg->port, "weight", cfg->weight, "state", backend_state_name(s.state),
			      "since_ms", (json_int_t)s.since_ms, "why", control_text(well ? "" : s.why), "last_failure",
			      control_text(s.why), "sessions", (json_int_t)s.sessions, "reached", (json_int_t)s.reached,
			      "failed", (json_int_t)s.failed, "probe", probe_json(&s), "capabilities",
			      capabilities_json(&s), "target", target_json(t, s.target_ms));

	target_unref(t);
	if (cfg->ca_file)
		json_object_set_new(j, "ca", json_string(cfg->ca_file));
	json_object_set_new(j, "client_address", json_string(client_address_name(cfg->client_address)));
	json_object_set_new(j, "pools", pools_json(daemon_config(d), i));
	return j;
}

void control_backends(struct control_request *r)
{
	const struct daemon *d = control_daemon(r);
	const char *name = control_arg_text(r, "name");
	json_t *list = json_array();

	for (size_t i = 0; i < backend_count(daemon_backends(d)); i++)
		if (!name || !strcmp(name, daemon_config(d)->backends[i].name))
			json_array_append_new(list, backend_json(d, i));
	if (name && !json_array_size(list)) {
		json_decref(list);
		control_fail(r, "there is no backend \"%.60s\"; backends without a name lists them", name);
		return;
	}
	control_reply(r, list);
}

/* ---- listeners ---- */

static json_t *certificate_json(const struct tls_server *tls, size_t i)
{
	struct tls_about a;

	tls_server_about(tls, i, &a);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "name", a.label, "names", a.names, "key", a.key, "not_before",
			 (json_int_t)a.not_before, "not_after", (json_int_t)a.not_after, "tlsa", a.tlsa);
}

static json_t *certificates_json(struct daemon *d, size_t listener)
{
	struct tls_server *tls = daemon_tls(d, listener);
	json_t *list = json_array();

	for (size_t i = 0; tls && i < tls_server_count(tls); i++)
		json_array_append_new(list, certificate_json(tls, i));
	tls_server_unref(tls);
	return list;
}

static json_t *listens_json(const struct config_listener *l)
{
	json_t *list = json_array();
	char text[NET_TEXT_MAX];

	for (size_t i = 0; i < l->address_count; i++) {
		struct net_addr at = { .ip = l->addresses[i], .port = l->port };

		json_array_append_new(list, json_string(net_addr_text(&at, text)));
	}
	return list;
}

void control_listeners(struct control_request *r)
{
	struct daemon *d = control_daemon(r);
	const struct config *cfg = daemon_config(d);
	json_t *list = json_array();

	for (size_t i = 0; i < cfg->listener_count; i++) {
		const struct config_listener *l = &cfg->listeners[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:o, s:s, s:b, s:o}", "name", l->name, "hostname",
						      l->hostname, "port", l->port, "addresses", listens_json(l), "pool",
						      cfg->pools[l->pool].name, "require_tls", l->require_tls,
						      "certificates", certificates_json(d, i)));
	}
	control_reply(r, list);
}
