/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that do not come through a leg: to and from pipes by the kernel, once nothing of its own is on its way, and the
 * hand-over of its TLS, after which what is no data has to be told apart here.
 */
#include "userspace/leg_parts.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

static bool sends_nothing(const struct leg *leg)
{
	return leg_usable(leg) && !leg->out.len && !leg->fin_wanted && !leg->error && !leg->lost && !ring_busy(&leg->sock, RING_SEND);
}

static bool receives_nothing(const struct leg *leg)
{
	return leg_usable(leg) && !leg_has_input(leg) && !leg->fin_seen && !leg->error && !ring_busy(&leg->sock, RING_RECV);
}

bool leg_can_fill(const struct leg *leg)
{
	return leg_is_bare(leg) && receives_nothing(leg);
}

bool leg_can_drain(const struct leg *leg)
{
	return leg_is_bare(leg) && sends_nothing(leg);
}

bool leg_is_control(const struct leg *leg, int error)
{
	return leg->kernel && (error == EIO || error == EINVAL || error == EBADMSG || error == EMSGSIZE);
}

void leg_take_control(struct leg *leg)
{
	uint8_t *data = leg->io->scratch[leg->side];
	size_t got;

	switch (tls_kernel_control(leg->tls, leg->sock.fd, data, LEG_SCRATCH, &got)) {
	case TLS_KERNEL_DATA:
		leg_take_input(leg, data, got);
		break;
	case TLS_KERNEL_CLOSED:
		leg->fin_seen = leg->eof = true;
		break;
	case TLS_KERNEL_REKEYED:
		leg->rekeyed = true;
		leg->tls_failed = true;
		break;
	case TLS_KERNEL_BROKEN:
		leg->tls_failed = true;
		break;
	default:
		break;
	}
}

bool leg_is_quiet(const struct leg *leg)
{
	return sends_nothing(leg) && receives_nothing(leg);
}

bool leg_align(struct leg *leg)
{
	uint8_t data[2048];
	size_t missing = tls_kernel_missing(leg->tls);
	ssize_t n;

	if (!missing || !receives_nothing(leg))
		return !missing;
	n = recv(leg->sock.fd, data, missing < sizeof(data) ? missing : sizeof(data), MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		leg_set_error(leg, errno);
	else if (!n)
		leg_take_fin(leg);
	if (n > 0)
		leg_take_input(leg, data, (size_t)n);
	leg_keep_rest(leg);
	return false;
}

bool leg_to_kernel(struct leg *leg)
{
	assert(leg_is_quiet(leg) && !leg->kernel);
	int r = tls_kernel_switch(leg->tls, leg->sock.fd);

	leg->kernel = !r;
	leg->tls_failed = r == -ECONNABORTED;
	return !r;
}

size_t leg_fill(struct leg *leg, struct splice_pipe *pipe, size_t max)
{
	assert(leg_can_fill(leg));
	ssize_t n = splice_fill(pipe, leg->sock.fd, max);

	if (n > 0) {
		leg->bytes_in += (uint64_t)n;
	} else if (!n) {
		if (!leg->kernel || tls_kernel_at_end(leg->sock.fd))
			leg_take_fin(leg);
		leg->eof = leg->fin_seen;
	} else if (n != -EAGAIN) {
		if (leg_is_control(leg, (int)-n))
			leg_take_control(leg);
		else
			leg_set_error(leg, (int)-n);
	}
	return n > 0 ? (size_t)n : 0;
}

size_t leg_drain(struct leg *leg, struct splice_pipe *pipe)
{
	assert(leg_can_drain(leg));
	ssize_t n = splice_drain(pipe, leg->sock.fd);

	if (n < 0 && n != -EAGAIN)
		leg_lose(leg, (int)-n);
	if (n <= 0)
		return 0;
	leg->bytes_out += (uint64_t)n;
	leg->wire_out += (uint64_t)n;
	return (size_t)n;
}

void leg_await_input(struct leg *leg)
{
	if (leg_usable(leg) && !leg->fin_seen && !leg->error && !ring_busy(&leg->sock, RING_WATCH))
		ring_await_input(leg->io->ring, &leg->sock);
}

void leg_await_room(struct leg *leg)
{
	if (leg_usable(leg) && !leg->error && !leg->lost && !ring_busy(&leg->sock, RING_WRITABLE))
		ring_await_room(leg->io->ring, &leg->sock);
}
