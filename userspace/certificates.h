/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The certificates of the configuration as TLS contexts: reads the files (through privileges_open(), so also
 * after the drop) and makes one context a listener.  Used at start and at each reload.
 */
#ifndef DANELAW_CERTIFICATES_H
#define DANELAW_CERTIFICATES_H

#include "userspace/backend.h"
#include "userspace/config.h"
#include "userspace/tls.h"

/*
 * tls[cfg->listener_count] gets a context each, NULL where the listener has no certificate.  0, or negative with a sentence in
 * err; then tls is untouched, so that a reload with a fault changes nothing.
 */
int certificates_load(const struct config *cfg, struct tls_server **tls, char *err, size_t err_size);
void certificates_unref(const struct config *cfg, struct tls_server **tls);

/*
 * The first target of every backend: complete for tls = none, pin and ca; of tls = dane the context alone, what DNS says comes
 * later.  On a fault of a CA file nothing is changed: negative and err.
 */
int certificates_set_targets(const struct config *cfg, struct backends *b, char *err, size_t err_size);

/*
 * Without a configuration file: makes the key and self-signed certificate of cfg->certificates[0] in the state directory
 * unless they are there, and says which TLSA record to publish.  0, or negative with a sentence in err.
 */
int certificates_make_own(const struct config *cfg, char *err, size_t err_size);

/* Every file that certificates_load() reads, for the opener: at most max paths; how many there are. */
size_t certificates_paths(const struct config *cfg, const char **paths, size_t max);

#endif
