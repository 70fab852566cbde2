/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/log.h"
#include "userspace/privileges.h"

#define PEM_MAX (1 << 20) /* a chain of a megabyte is a mistake */
#define TICKET_SECRET_MIN 32

struct pem {
	char *text;
	size_t len;
};

/* Keys pass through here: the memory is wiped before it is freed. */
static void pem_free(struct pem *p)
{
	if (p->text)
		explicit_bzero(p->text, p->len);
	free(p->text);
	p->text = NULL;
}

static int pem_read(const char *path, struct pem *p, char *err, size_t err_size)
{
	FILE *in = privileges_open(path);

	if (!in) {
		snprintf(err, err_size, "%s: %s", path, strerror(errno));
		return -errno;
	}
	setvbuf(in, NULL, _IONBF, 0); /* no second copy of a key */
	p->text = malloc(PEM_MAX);
	p->len = p->text ? fread(p->text, 1, PEM_MAX, in) : 0;
	fclose(in);
	if (p->len && p->len < PEM_MAX)
		return 0;
	snprintf(err, err_size, "%s: %s", path, p->len ? "larger than 1 MiB" : "empty or not readable");
	pem_free(p);
	return -EINVAL;
}

static int load_listener(const struct config *cfg, const struct config_listener *l, const struct pem *secret,
			 struct tls_server **out, char *err, size_t err_size)
{
	size_t n = l->certificate_count, loaded = 0;
	struct tls_identity *ids = calloc(n, sizeof(*ids));
	struct pem *pems = calloc(2 * n, sizeof(*pems));
	int r = ids && pems ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++, loaded++) {
		const struct config_certificate *c = &cfg->certificates[l->certificates[i]];
		char why[256];

		r = pem_read(c->chain_file, &pems[2 * i], why, sizeof(why));
		if (!r)
			r = pem_read(c->key_file, &pems[2 * i + 1], why, sizeof(why));
		if (r)
			snprintf(err, err_size, "certificate \"%s\": %s", c->name, why);
		ids[i] = (struct tls_identity){ .label = c->name,
						.chain_pem = pems[2 * i].text,
						.chain_len = pems[2 * i].len,
						.key_pem = pems[2 * i + 1].text,
						.key_len = pems[2 * i + 1].len };
	}
	struct tls_server_settings set = { .identities = ids,
					   .identity_count = n,
					   .min_version = cfg->tls.min_version,
					   .ticket_secret = (const uint8_t *)secret->text,
					   .ticket_secret_len = secret->len,
					   .ciphers = cfg->tls.ciphers,
					   .ciphersuites = cfg->tls.ciphersuites,
					   .groups = cfg->tls.groups,
					   .client_id_extension = cfg->tls.client_id_extension };
	if (!r)
		r = tls_server_new(&set, out, err, err_size);
	if (!r && err[0]) {
		log_warn("%s", err);
		err[0] = 0;
	}
	for (size_t i = 0; pems && i < 2 * n; i++)
		pem_free(&pems[i]);
	free(pems);
	free(ids);
	return r;
}

int certificates_load(const struct config *cfg, struct tls_server **tls, char *err, size_t err_size)
{
	struct tls_server **fresh = calloc(cfg->listener_count + 1, sizeof(*fresh));
	struct pem secret = { 0 };
	int r = fresh ? 0 : -ENOMEM;

	if (!r && cfg->tls.ticket_secret_file)
		r = pem_read(cfg->tls.ticket_secret_file, &secret, err, err_size);
	if (!r && secret.text && secret.len < TICKET_SECRET_MIN) {
		snprintf(err, err_size, "%s: %zu bytes; a ticket secret has %d or more", cfg->tls.ticket_secret_file, secret.len,
			 TICKET_SECRET_MIN);
		r = -EINVAL;
	}
	for (size_t i = 0; !r && i < cfg->listener_count; i++)
		if (cfg->listeners[i].certificate_count)
			r = load_listener(cfg, &cfg->listeners[i], &secret, &fresh[i], err, err_size);
	pem_free(&secret);
	if (r)
		certificates_unref(cfg, fresh);
	else
		memcpy(tls, fresh, cfg->listener_count * sizeof(*tls));
	free(fresh);
	return r;
}

static int client_for(const struct config *cfg, const struct config_backend *b, struct tls_client **out, char *err,
		      size_t err_size)
{
	struct pem ca = { 0 };
	char why[256];
	int r = 0;

	*out = NULL;
	if (b->tls == CONFIG_TLS_NONE)
		return 0;
	if (b->ca_file)
		r = pem_read(b->ca_file, &ca, why, sizeof(why));
	if (r)
		snprintf(err, err_size, "backend \"%s\": %s", b->name, why);
	else {
		struct tls_client_settings set = { .min_version = cfg->tls.min_version, .ca_pem = ca.text, .ca_len = ca.len };

		r = tls_client_new(&set, out, why, sizeof(why));
		if (r)
			snprintf(err, err_size, "backend \"%s\": %s%s%s", b->name, b->ca_file ? b->ca_file : "",
				 b->ca_file ? ": " : "", why);
	}
	pem_free(&ca);
	return r;
}

static int target_for(const struct config *cfg, const struct config_backend *b, struct target **out, char *err,
		      size_t err_size)
{
	struct tls_client *client;
	int r = client_for(cfg, b, &client, err, err_size);

	if (r)
		return r;
	*out = target_from_config(b, client);
	tls_client_unref(client);
	return *out ? 0 : -ENOMEM;
}

int certificates_targets(const struct config *cfg, bool again, struct target **targets, char *err, size_t err_size)
{
	struct target **fresh = calloc(cfg->backend_count + 1, sizeof(*fresh));
	int r = fresh ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < cfg->backend_count; i++)
		if (!again || cfg->backends[i].ca_file)
			r = target_for(cfg, &cfg->backends[i], &fresh[i], err, err_size);
	if (r)
		certificates_unref_targets(cfg, fresh);
	else
		memcpy(targets, fresh, cfg->backend_count * sizeof(*targets));
	free(fresh);
	return r;
}

/* ---- faults, before a start ---- */

struct telling {
	const struct config *cfg;
	config_complain *complain;
	void *ctx;
	bool ok;
};

/* line 0: the whole file's */
static void tell(struct telling *t, const char *file, int line, const char *err)
{
	char text[1024];

	if (line)
		snprintf(text, sizeof(text), "%s:%d: %s", file, line, err);
	else
		snprintf(text, sizeof(text), "%s: %s", file, err);
	t->complain(t->ctx, text);
	t->ok = false;
}

static void check_certificate(struct telling *t, size_t index)
{
	const struct config_certificate *c = &t->cfg->certificates[index];
	struct config_listener alone = { .name = c->name, .certificates = &index, .certificate_count = 1 };
	const struct pem no_secret = { 0 };
	struct tls_server *tls = NULL;
	char err[512] = "";

	if (load_listener(t->cfg, &alone, &no_secret, &tls, err, sizeof(err)))
		tell(t, c->file, c->line, err);
	tls_server_unref(tls);
}

static void check_backend(struct telling *t, const struct config_backend *b)
{
	struct target *target = NULL;
	char err[512] = "";

	if (target_for(t->cfg, b, &target, err, sizeof(err)))
		tell(t, b->file, b->line, err);
	target_unref(target);
}

bool certificates_check(const struct config *cfg, config_complain *complain, void *ctx)
{
	struct telling t = { .cfg = cfg, .complain = complain, .ctx = ctx, .ok = true };
	struct tls_server **tls = calloc(cfg->listener_count + 1, sizeof(*tls));
	char err[512] = "";

	for (size_t i = 0; i < cfg->certificate_count; i++)
		check_certificate(&t, i);
	for (size_t i = 0; i < cfg->backend_count; i++)
		check_backend(&t, &cfg->backends[i]);
	/* each is well: are they together, and with the ticket secret? */
	if (t.ok && (!tls || certificates_load(cfg, tls, err, sizeof(err))))
		tell(&t, cfg->file, 0, err);
	certificates_unref(cfg, tls);
	free(tls);
	return t.ok;
}

void certificates_unref(const struct config *cfg, struct tls_server **tls)
{
	for (size_t i = 0; tls && i < cfg->listener_count; i++) {
		tls_server_unref(tls[i]);
		tls[i] = NULL;
	}
}

void certificates_unref_targets(const struct config *cfg, struct target **targets)
{
	for (size_t i = 0; targets && i < cfg->backend_count; i++) {
		target_unref(targets[i]);
		targets[i] = NULL;
	}
}

size_t certificates_paths(const struct config *cfg, const char **paths, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < cfg->certificate_count; i++) {
		if (n < max)
			paths[n] = cfg->certificates[i].chain_file;
		if (n + 1 < max)
			paths[n + 1] = cfg->certificates[i].key_file;
		n += 2;
	}
	for (size_t i = 0; i < cfg->backend_count; i++) {
		if (!cfg->backends[i].ca_file)
			continue;
		if (n < max)
			paths[n] = cfg->backends[i].ca_file;
		n++;
	}
	if (cfg->tls.ticket_secret_file) {
		if (n < max)
			paths[n] = cfg->tls.ticket_secret_file;
		n++;
	}
	return n;
}

/* ---- a key and certificate of our own ---- */

/* The whole file or none of it, whenever it is interrupted. */
static int write_new(const char *path, const char *text, mode_t mode)
{
	char begun[PATH_MAX];
	size_t len = strlen(text);
	int fd, r = 0;

	if (snprintf(begun, sizeof(begun), "%s.new", path) >= (int)sizeof(begun))
		return -ENAMETOOLONG;
	unlink(begun); /* of a start that was interrupted */
	fd = open(begun, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd))
		r = errno ? -errno : -EIO;
	close(fd);
	if (!r && rename(begun, path))
		r = -errno;
	return r;
}

static void say_tlsa(const struct config *cfg, const char *chain, size_t len)
{
	char record[96];

	if (tls_tlsa_311(chain, len, record, sizeof(record)))
		return;
	log_info("publish this before you move the MX:");
	log_info("    _25._tcp.%s. 3600 IN TLSA %s", cfg->hostname, record);
}

int certificates_make_own(const struct config *cfg, char *err, size_t err_size)
{
	const struct config_certificate *c = &cfg->certificates[0];
	char *chain = NULL, *key = NULL;
	struct pem kept;

	if (!access(c->chain_file, F_OK) && !access(c->key_file, F_OK)) {
		int r = pem_read(c->chain_file, &kept, err, err_size);

		if (r)
			return r;
		log_info("the key and certificate in %s are used again", cfg->state_dir);
		say_tlsa(cfg, kept.text, kept.len);
		pem_free(&kept);
		return 0;
	}
	if (!access(c->key_file, F_OK)) {
		snprintf(err, err_size, "%s is there without %s: put its certificate back, or move the key away if its TLSA "
			 "record is not published", c->key_file, c->chain_file);
		return -ENOENT;
	}
	int r = mkdir(cfg->state_dir, 0750) && errno != EEXIST ? -errno : 0;

	if (!r)
		r = tls_make_self_signed(cfg->hostname, &chain, &key);
	if (!r)
		r = write_new(c->chain_file, chain, 0644);
	if (!r) /* last: a certificate without its key was never served and is made anew */
		r = write_new(c->key_file, key, 0600);
	if (r)
		snprintf(err, err_size, "cannot make a key and certificate in %s: %s", cfg->state_dir, strerror(-r));
	else {
		log_info("made a P-256 key and certificate in %s (kept)", cfg->state_dir);
		say_tlsa(cfg, chain, strlen(chain));
	}
	if (key)
		explicit_bzero(key, strlen(key));
	free(key);
	free(chain);
	return r;
}
