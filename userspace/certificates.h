/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The certificates of the configuration as TLS contexts: reads the files (through privileges_open(), so also
 * after the drop) and makes one context a listener and one a backend.  Used at start and at each reload.
 */
#ifndef DANELAW_CERTIFICATES_H
#define DANELAW_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>

#include "userspace/config.h"
#include "userspace/target.h"
#include "userspace/tls.h"

/*
 * tls[cfg->listener_count] gets a context each, NULL where the listener has no certificate.  0, or negative with a sentence in
 * err; then tls is untouched, so that a reload with a fault changes nothing.
 */
int certificates_load(const struct config *cfg, struct tls_server **tls, char *err, size_t err_size);
void certificates_unref(const struct config *cfg, struct tls_server **tls);

/*
 * targets[cfg->backend_count] gets what the configuration and its CA files say: at start of every backend, complete for
 * tls = none, pin and ca; of tls = dane the context alone, what DNS says comes later.  again: of those whose CA file a reload
 * has to read, NULL for the others.  0, or negative with a sentence in err; then targets is untouched.
 */
int certificates_targets(const struct config *cfg, bool again, struct target **targets, char *err, size_t err_size);
void certificates_unref_targets(const struct config *cfg, struct target **targets);

/* Reads all of these files as a start does, tells every fault at its place in the configuration, and keeps nothing. */
bool certificates_check(const struct config *cfg, config_complain *complain, void *ctx);

/*
 * Without a configuration file: makes the key and self-signed certificate of cfg->certificates[0] in the state directory
 * unless they are there, and says which TLSA record to publish.  0, or negative with a sentence in err.
 */
int certificates_make_own(const struct config *cfg, char *err, size_t err_size);

/* Every file that is read here, for the opener: at most max paths; how many there are. */
size_t certificates_paths(const struct config *cfg, const char **paths, size_t max);

#endif
