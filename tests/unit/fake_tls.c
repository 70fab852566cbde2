/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_tls.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/fake_ring.h"
#include "userspace/tls_ktls.h"

static struct {
	struct leg *leg;
	uint8_t buf[65536]; /* records, the last one perhaps in part */
	size_t have;
	const uint8_t *in;
	size_t left;
	bool tried, failed; /* tried: to switch */
	int refusal; /* negative errno */
} fake;

static bool is_fake(const struct tls *t)
{
	return (const void *)t == (const void *)&fake;
}

void fake_tls_begin(struct leg *leg)
{
	memset(&fake, 0, sizeof(fake));
	fake.leg = leg;
	leg->tls = (struct tls *)&fake;
	leg->careful = true;
}

void fake_tls_refuse(int error)
{
	fake.refusal = error;
}

size_t fake_tls_record(char type, const char *text, size_t len, uint8_t *out)
{
	assert(len < 256);
	out[0] = (uint8_t)type;
	out[1] = 0;
	out[2] = (uint8_t)len;
	memcpy(out + FAKE_TLS_HEADER, text, len);
	return FAKE_TLS_HEADER + len;
}

/* Octets of the record at buf[at], header and all, that are still to come. */
static size_t missing_at(size_t at)
{
	size_t have = fake.have - at, len;

	if (have < FAKE_TLS_HEADER)
		return FAKE_TLS_HEADER - have;
	len = FAKE_TLS_HEADER + (size_t)(fake.buf[at + 1] << 8 | fake.buf[at + 2]);
	return have < len ? len - have : 0;
}

static size_t length_at(size_t at)
{
	return FAKE_TLS_HEADER + (size_t)(fake.buf[at + 1] << 8 | fake.buf[at + 2]);
}

/* ---- tls.h ---- */

#define WRAP(type, name, args, call, ...)          \
	type __real_##name args;                   \
	type __wrap_##name args;                   \
	type __wrap_##name args                    \
	{                                          \
		if (!is_fake(t))                   \
			return __real_##name call; \
		__VA_ARGS__                        \
	}

WRAP(void, tls_input, (struct tls * t, const uint8_t *data, size_t len), (t, data, len), {
	fake.in = data;
	fake.left = len;
})
WRAP(size_t, tls_input_left, (const struct tls *t), (t), { return fake.left; })
WRAP(enum tls_result, tls_read, (struct tls * t, uint8_t *dst, size_t room, size_t *got), (t, dst, room, got), {
	*got = 0;
	assert(fake.have + fake.left <= sizeof(fake.buf));
	if (fake.left)
		memcpy(fake.buf + fake.have, fake.in, fake.left);
	fake.have += fake.left;
	fake.left = 0;
	while (fake.have && !missing_at(0)) {
		size_t len = length_at(0) - FAKE_TLS_HEADER;

		if (*got + len > room)
			break;
		if (fake.buf[0] == FAKE_TLS_DATA) {
			memcpy(dst + *got, fake.buf + FAKE_TLS_HEADER, len);
			*got += len;
		}
		fake.have -= length_at(0);
		memmove(fake.buf, fake.buf + FAKE_TLS_HEADER + len, fake.have);
	}
	return *got ? TLS_DONE : TLS_WANT_INPUT;
})
WRAP(enum tls_result, tls_write, (struct tls * t, const uint8_t *data, size_t len), (t, data, len), {
	fifo_append(&fake.leg->out, data, len);
	return TLS_DONE;
})
WRAP(void, tls_close_notify, (struct tls * t), (t), {})
WRAP(void, tls_free, (struct tls * t), (t), {})
WRAP(const char *, tls_error, (const struct tls *t), (t), { return fake.failed ? "a record that cannot be read" : ""; })
WRAP(const struct tls_facts *, tls_facts, (const struct tls *t), (t), {
	static const struct tls_facts facts = { .version = "TLSv1.3", .cipher = "", .group = "", .sni = "", .alpn = "", .certificate = "mx" };

	return &facts;
})

/* ---- tls_ktls.h ---- */

WRAP(void, tls_kernel_forget, (struct tls * t), (t), {})
WRAP(bool, tls_kernel_can, (const struct tls *t), (t), { return !fake.tried; })
WRAP(size_t, tls_kernel_missing, (const struct tls *t), (t), {
	size_t at = 0;

	while (at < fake.have && !missing_at(at))
		at += length_at(at);
	return at < fake.have ? missing_at(at) : 0;
})
WRAP(int, tls_kernel_switch, (struct tls * t, int fd), (t, fd), {
	assert(!fake.have && !fake.left);
	fake.tried = true;
	fake.failed = fake.refusal == -ECONNABORTED;
	return fake.refusal;
})
WRAP(enum tls_kernel_record, tls_kernel_control, (struct tls * t, int fd, uint8_t *data, size_t size, size_t *got), (t, fd, data, size, got), {
	assert(fake.tried);
	fake.failed = true;
	return TLS_KERNEL_BROKEN;
})

int __wrap_tls_kernel_close_notify(int fd);
int __wrap_tls_kernel_close_notify(int fd)
{
	return 0;
}

bool __wrap_tls_kernel_at_end(int fd);
bool __wrap_tls_kernel_at_end(int fd)
{
	return fake_at_end(fd);
}

/* leg_align() reads the socket itself. */
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
	ssize_t n = fake_take(fd, data, len);

	if (n < 0)
		errno = (int)-n;
	return n < 0 ? -1 : n;
}
