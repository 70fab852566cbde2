/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the ring of samples.  The kernel keeps one reader's place, in the ring itself, so a second reader would
 * take half of them: the pins' folder is locked while one reads.
 */
#include "userspace/front_view_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

struct front_events {
	struct ring_buffer *ring;
	int lock;
	uint64_t since_ns;  /* CLOCK_MONOTONIC: older ones are skipped */
	uint64_t to_real_ns;
	bool (*each)(void *ctx, const struct front_sample *);
	void *ctx;
	int seen;
};

static int on_sample(void *ctx, void *data, size_t size)
{
	struct front_events *e = ctx;
	const struct front_event *event = data;
	struct front_sample sample;

	if (size < sizeof(*event) || event->time_ns < e->since_ns || event->reason >= REASON_COUNT ||
	    event->captured > EVENT_BYTES)
		return 0;
	sample = (struct front_sample){ .time_ns = event->time_ns + e->to_real_ns, .row = event->reason, .ifindex = event->ifindex,
					.length = event->length, .captured = event->captured, .packet = event->packet };
	e->seen++;
	return e->each(e->ctx, &sample) ? 0 : -ECANCELED;
}

static uint64_t real_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int lock_reader(const struct front_view *v, struct front_err err)
{
	char path[FRONT_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/maps", v->dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return front_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	close(fd);
	return front_fail(err, -EBUSY, "another `danelawctl front events` reads the samples; there can be one at a time");
}

int front_events_open(const struct front_view *v, struct front_events **out, char *text, size_t size)
{
	struct front_err err = { text, size };
	struct front_events *e = calloc(1, sizeof(*e));
	int map, code = 0;

	if (size)
		text[0] = 0;
	if (!e)
		return front_fail(err, -ENOMEM, "out of memory");
	e->since_ns = front_now_ns();
	e->to_real_ns = real_now_ns() - e->since_ns;
	e->lock = lock_reader(v, err);
	if (e->lock < 0)
		code = e->lock;
	map = code ? -1 : front_view_map(v, "events");
	if (!code && map < 0)
		code = front_fail(err, map, "%s/maps/events: %s", v->dir, strerror(-map));
	if (!code) {
		e->ring = ring_buffer__new(map, on_sample, e, NULL);
		if (!e->ring)
			code = front_fail(err, -errno, "cannot map the ring of samples: %s", strerror(errno));
	}
	if (map >= 0)
		close(map);
	if (code)
		front_events_close(e);
	else
		*out = e;
	return code;
}

int front_events_read(struct front_events *e, int timeout_ms, bool (*each)(void *ctx, const struct front_sample *), void *ctx)
{
	int code;

	e->each = each;
	e->ctx = ctx;
	e->seen = 0;
	code = ring_buffer__poll(e->ring, timeout_ms);
	return code < 0 && code != -ECANCELED ? code : e->seen;
}

void front_events_close(struct front_events *e)
{
	if (e->ring)
		ring_buffer__free(e->ring);
	if (e->lock >= 0)
		close(e->lock);
	free(e);
}
