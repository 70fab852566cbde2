/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The door of the room: a reading from its first byte to a whole configuration or a list of faults, never
 * something in between.  The configuration of a start without a file is made by writing the file that the
 * flags stand for and reading it, so there is one set of defaults and one set of checks.
 */
#include "userspace/config.h"

#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/config_parts.h"

static void tell(config_complain *complain, void *ctx, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void tell(config_complain *complain, void *ctx, const char *fmt, ...)
{
	char text[700];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	complain(ctx, text);
}

struct config *config_read(FILE *in, const char *name, config_complain *complain, void *ctx)
{
	struct config_reading r = { .c = calloc(1, sizeof(*r.c)) };
	bool good;
	size_t i;

	if (!r.c)
		log_fatal("out of memory");
	r.c->file = config_strdup(name);
	if (config_text_load(&r, in, name, 0, 0)) {
		config_parse(&r);
		if (!r.syntax)
			config_check(&r);
	}
	good = r.report.count == 0;
	config_report_tell(&r.report, r.c->files, complain, ctx);
	config_report_clear(&r.report);
	for (i = 0; i < r.c->file_count; i++)
		free(r.texts[i].text);
	free(r.texts);
	for (i = 0; i < r.ref_count; i++)
		free(r.refs[i].name);
	free(r.refs);
	free(r.set);
	if (good)
		return r.c;
	config_free(r.c);
	return NULL;
}

/* ---- without a file ---- */

/* As a string of the file. */
static void put_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (strchr("\"\\$", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
	fputs("\"", out);
}

static void put_setting(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s = ", name);
	put_string(out, value);
	fputc('\n', out);
}

/* What in the flags is wrong, in the words of the flags: true if nothing. */
static bool flags_ok(const char *hostname, char *const *backends, size_t backend_count, const char *interface,
		     const char *listen, char *listen_ip, uint16_t *listen_port, config_complain *complain, void *ctx)
{
	struct { const char *flag, *value; enum config_section_id section; const char *setting; } rows[] = {
		{ "--hostname", hostname, SECTION_TOP, "hostname" },
		{ "--interface", interface, SECTION_FRONT, "interfaces" },
	};
	struct config_backend backend = { 0 };
	struct in6_addr ip;
	char err[256];
	bool ok = true;
	size_t i;

	if (!hostname || !backend_count) {
		tell(complain, ctx, "%s is missing: without a configuration file --hostname and --backend are needed",
		     hostname ? "--backend" : "--hostname");
		return false;
	}
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct config_setting *row = config_setting_find(rows[i].section, rows[i].setting);
		struct config scratch = { 0 };

		if (rows[i].value &&
		    config_value_set(row, config_base(&scratch, rows[i].section, 0), rows[i].value, err, sizeof(err))) {
			tell(complain, ctx, "%s %.80s %s", rows[i].flag, rows[i].value, err);
			ok = false;
		}
		config_value_free(row, config_base(&scratch, rows[i].section, 0));
	}
	for (i = 0; i < backend_count; i++) {
		if (config_value_set(config_setting_find(SECTION_BACKEND, "address"), &backend, backends[i], err, sizeof(err))) {
			tell(complain, ctx, "--backend %.80s %s", backends[i], err);
			ok = false;
		}
	}
	free(backend.host);
	if (net_split_host_port(listen ? listen : "[::]:25", 25, listen_ip, NET_TEXT_MAX, listen_port) ||
	    net_parse_ip(listen_ip, &ip)) {
		tell(complain, ctx, "--listen %.80s is not ADDRESS:PORT, like 192.0.2.25:25 or [::]:25", listen);
		ok = false;
	}
	return ok;
}

struct config *config_from_flags(const char *hostname, char *const *backends, size_t backend_count, const char *interface,
				 const char *listen, config_complain *complain, void *ctx)
{
	char listen_ip[NET_TEXT_MAX], *text = NULL;
	struct config *c;
	uint16_t port;
	size_t len, i;
	FILE *f;

	if (!flags_ok(hostname, backends, backend_count, interface, listen, listen_ip, &port, complain, ctx))
		return NULL;
	f = open_memstream(&text, &len);
	if (!f)
		log_fatal("out of memory");
	put_setting(f, "hostname", hostname);
	put_setting(f, "user", getpwnam("danelaw") ? "danelaw" : "nobody");
	fprintf(f, "front {\nsteer = %s\n", interface ? "yes" : "no");
	if (interface)
		put_setting(f, "interfaces", interface);
	fputs("}\ncertificate \"self\" {\nchain = \"/var/lib/danelaw/self.crt\"\nkey = \"/var/lib/danelaw/self.key\"\n}\n", f);
	for (i = 0; i < backend_count; i++) {
		fprintf(f, "backend \"backend-%zu\" {\n", i + 1);
		put_setting(f, "address", backends[i]);
		fputs("}\n", f);
	}
	fputs("pool \"backends\" {\nbackends = {", f);
	for (i = 0; i < backend_count; i++)
		fprintf(f, "%s\"backend-%zu\"", i ? ", " : "", i + 1);
	fputs("}\n}\nlistener \"smtp\" {\ncertificates = \"self\"\npool = \"backends\"\n", f);
	put_setting(f, "address", listen_ip);
	fprintf(f, "port = %u\n}\n", port);
	fclose(f);
	f = fmemopen(text, len, "r");
	if (!f)
		log_fatal("out of memory");
	c = config_read(f, "flags", complain, ctx);
	fclose(f);
	free(text);
	if (c) {
		free(c->file);
		c->file = NULL;
	}
	return c;
}

/* ---- names to addresses ---- */

static bool resolve(struct config_backend *b, config_complain *complain, void *ctx)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list;
	int rc;

	b->addr.port = b->port;
	if (net_parse_ip(b->host, &b->addr.ip) == 0)
		return true;
	rc = getaddrinfo(b->host, NULL, &hints, &list);
	if (rc == 0) {
		rc = net_from_sockaddr(list->ai_addr, &b->addr) ? EAI_FAMILY : 0;
		freeaddrinfo(list);
		b->addr.port = b->port;
	}
	if (rc)
		tell(complain, ctx, "%.400s:%d: backend \"%.80s\": the address of %.255s is not to be had: %s", b->file, b->line,
		     b->name, b->host, gai_strerror(rc));
	return rc == 0;
}

bool config_resolve(struct config *c, config_complain *complain, void *ctx)
{
	bool ok = true;
	size_t i;

	for (i = 0; i < c->backend_count; i++)
		if (c->backends[i].tls != CONFIG_TLS_DANE) /* those are looked up with validation, while we run */
			ok &= resolve(&c->backends[i], complain, ctx);
	return ok;
}

void config_free(struct config *c)
{
	enum config_section_id id;
	size_t i, item;

	if (!c)
		return;
	for (i = 0; i < config_setting_count; i++) {
		const struct config_setting *row = &config_settings[i];
		size_t items = config_sections[row->section].item_size ? config_item_count(c, row->section) : 1;

		for (item = 0; row->kind != KIND_INCLUDE && item < items; item++)
			config_value_free(row, config_base(c, row->section, item));
	}
	for (id = 0; id < SECTION_COUNT; id++) {
		if (!config_sections[id].item_size)
			continue;
		for (item = 0; item < config_item_count(c, id); item++)
			free(*(char **)config_base(c, id, item));
		free(*(void **)((char *)c + config_sections[id].offset));
	}
	for (i = 0; i < c->file_count; i++)
		free(c->files[i]);
	free(c->files);
	free(c->file);
	free(c);
}
