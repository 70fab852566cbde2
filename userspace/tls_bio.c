/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The BIO between OpenSSL and a connection's memory: reads take from the span given by tls_input(), writes
 * go straight into the chunks of the output fifo.  One copy each way, which is the least OpenSSL allows
 * (its record layer owns a buffer of its own on both sides).  Nothing blocks: an empty span is "retry
 * later", and the fifo always has room; who bounds the fifo is the session, by not feeding input.
 */
#include "userspace/tls_internal.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

static BIO_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int span_read(BIO *bio, char *data, size_t size, size_t *got)
{
	struct tls *t = BIO_get_data(bio);
	size_t n = size < t->in_left ? size : t->in_left;

	BIO_clear_retry_flags(bio);
	*got = n;
	if (!n) {
		BIO_set_retry_read(bio);
		return 0;
	}
	if (t->keys)
		tls_kernel_saw(t->keys, t->in, n);
	memcpy(data, t->in, n);
	t->in += n;
	t->in_left -= n;
	return 1;
}

static int fifo_write(BIO *bio, const char *data, size_t len, size_t *written)
{
	struct tls *t = BIO_get_data(bio);

	*written = len;
	while (len) {
		size_t room, n;
		uint8_t *to = fifo_reserve(t->out, len, &room);

		n = len < room ? len : room;
		memcpy(to, data, n);
		fifo_commit(t->out, n);
		data += n;
		len -= n;
	}
	return 1;
}

static long control(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls *t = BIO_get_data(bio);

	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_PENDING:
		return (long)t->in_left;
	default:
		return 0;
	}
}

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "span and fifo");
	assert(method);
	BIO_meth_set_read_ex(method, span_read);
	BIO_meth_set_write_ex(method, fifo_write);
	BIO_meth_set_ctrl(method, control);
}

BIO *tls_bio_new(struct tls *t)
{
	BIO *bio;

	pthread_once(&once, make_method);
	bio = BIO_new(method);
	if (!bio)
		return NULL;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return bio;
}

/* By way of the BIO: an application's data slot would cost every connection an allocation of its own. */
struct tls *tls_of(const SSL *ssl)
{
	return BIO_get_data(SSL_get_rbio(ssl));
}
