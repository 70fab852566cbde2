/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The records of a connection by the kernel, both ways: from then on its socket carries plain text, and only what is no
 * application data (alerts, KeyUpdate, tickets) needs looking at.  OpenSSL 3.0 gives the kernel no receiving side of
 * TLS 1.3, and ours has no socket, so the keys are derived and installed here.
 */
#ifndef DANELAW_TLS_KTLS_H
#define DANELAW_TLS_KTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/tls.h"

/* What the kernel can, found by trying it. */
struct tls_kernel {
	bool works;	 /* every cipher in both directions, and splice(2) from it */
	char about[160]; /* a sentence */
};
/*
 * Tries it over a TCP connection of our own, once, before there are threads and while the kernel still lets us load its
 * module.  Kernels that are known to lose bytes (splice from it, until Linux 6.1.189 and 6.12.112) are not tried.
 */
void tls_kernel_probe(void);
const struct tls_kernel *tls_kernel(void); /* before the probe it does not work */
/* Is this, by the strings of uname(2), none that is known to lose bytes?  v: the version of its source. */
bool tls_kernel_is_sound(const char *release, const char *version, unsigned v[3]);

/* Before the handshake: a later switch is wanted, so secrets are kept and records counted. */
void tls_kernel_keep(struct tls *t);
/* It is not wanted any more: secrets are wiped.  tls_free() does too. */
void tls_kernel_forget(struct tls *t);
/* Keys are known, are those that were agreed first, and the cipher is one the kernel has. */
bool tls_kernel_can(const struct tls *t);
/* How many bytes of ciphertext OpenSSL must get for what it was given to end with a record; 0: it does. */
size_t tls_kernel_missing(const struct tls *t);
/*
 * Now: all that OpenSSL wrote is in the socket, and it holds nothing unread.  0; negative errno: nothing was changed and it
 * may be used as before; -ECONNABORTED: the connection is of no use any more.
 */
int tls_kernel_switch(struct tls *t, int fd);

enum tls_kernel_record {
	TLS_KERNEL_DATA,    /* application data after all: *got bytes */
	TLS_KERNEL_CLOSED,  /* close_notify, or the FIN */
	TLS_KERNEL_PASSED,  /* one that asks for nothing: a ticket, a warning */
	TLS_KERNEL_REKEYED, /* KeyUpdate: what follows cannot be read any more */
	TLS_KERNEL_BROKEN   /* a fatal alert or a record that cannot be read: tls_error() says which */
};
/*
 * Takes the record that read(2) (EIO) or splice(2) (EINVAL) would not.  One whose header makes no sense (EBADMSG, EMSGSIZE) is
 * told once by the kernel, which then says that there is input, and gives none: broken.
 */
enum tls_kernel_record tls_kernel_control(struct tls *t, int fd, uint8_t *data, size_t size, size_t *got);
/* splice(2) took nothing: because of the FIN, or of a record without octets (RFC 8446 5.1)? */
bool tls_kernel_at_end(int fd);
/* 0, or -EAGAIN: there is no room for it now. */
int tls_kernel_close_notify(int fd);

/* HKDF-Expand-Label with an empty context (RFC 8446 7.1); digest: "SHA256", "SHA384". */
bool tls_expand_label(const char *digest, const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t out_len);

#endif
