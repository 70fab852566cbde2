/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP server: the only file that knows libmicrohttpd. */
#define _GNU_SOURCE
#include "userspace/metrics_parts.h"

#include "userspace/metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "userspace/log.h"

#define CONNECTIONS 64u
#define CONNECTION_MEMORY 16384u /* a request's head, mostly */
#define CONNECTION_S 5u
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct metrics {
	struct daemon *daemon;
	struct MHD_Daemon *http;
	int fd; /* ours until the server has it */
};

/* ---- pages ---- */

/* Queues text; the memory is taken over when it is malloc'd. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, char *text, size_t len,
			      enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);

	if (!r) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	enum MHD_Result done = MHD_queue_response(c, status, r);

	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result answer_static(struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(c, status, TYPE_TEXT, (char *)text, strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result page_metrics(struct metrics *m, struct MHD_Connection *c)
{
	size_t len;
	char *text = metrics_of_daemon(m->daemon, &len);

	if (!text)
		return answer_static(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	return answer(c, MHD_HTTP_OK, TYPE_OPENMETRICS, text, len, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result page_health(struct metrics *m, struct MHD_Connection *c)
{
	char why[1024 + 1];

	if (daemon_healthy(m->daemon, why, sizeof(why) - 1))
		return answer_static(c, MHD_HTTP_OK, "ok\n");
	strcat(why, "\n");
	return answer(c, MHD_HTTP_SERVICE_UNAVAILABLE, TYPE_TEXT, why, strlen(why), MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result page_index(struct metrics *m, struct MHD_Connection *c)
{
	return answer_static(c, MHD_HTTP_OK, "danelawd " DANELAW_VERSION "\n/metrics\n/healthz\n");
}

static const struct {
	const char *path;
	enum MHD_Result (*page)(struct metrics *m, struct MHD_Connection *c);
} pages[] = {
	{ "/", page_index },
	{ "/metrics", page_metrics },
	{ "/healthz", page_health },
};

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method, const char *version,
				  const char *upload, size_t *upload_size, void **state)
{
	static int seen;

	/* the first call comes before a body, if there is one: an answer now would cost the connection */
	if (*state != &seen || *upload_size) {
		*state = &seen;
		*upload_size = 0;
		return MHD_YES;
	}
	/* HEAD too: the server leaves the body out */
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_static(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (!strcmp(url, pages[i].path))
			return pages[i].page(ctx, c);
	return answer_static(c, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
}

/* ---- start and end ---- */

static void on_log(void *ctx, const char *fmt, va_list ap)
{
	char text[256];

	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = 0;
	log_debug("metrics: %s", text);
}

static int bind_to(const struct net_addr *at)
{
	struct sockaddr_storage ss;
	socklen_t len = net_to_sockaddr(at, &ss);
	int one = 1, r = 0, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, (struct sockaddr *)&ss, len) ||
	    listen(fd, (int)CONNECTIONS))
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	return r;
}

int metrics_open(const struct config *cfg, struct metrics **out, char *err, size_t err_size)
{
	struct net_addr at;
	char host[NET_TEXT_MAX];

	*out = NULL;
	if (!cfg->metrics_listen)
		return 0;
	int fd = -EINVAL;

	if (!net_split_host_port(cfg->metrics_listen, 0, host, sizeof(host), &at.port) && !net_parse_ip(host, &at.ip))
		fd = bind_to(&at);
	struct metrics *m = fd < 0 ? NULL : calloc(1, sizeof(*m));

	if (!m) {
		snprintf(err, err_size, "metrics: cannot listen on %s: %s", cfg->metrics_listen, strerror(fd < 0 ? -fd : ENOMEM));
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	m->fd = fd;
	*out = m;
	return 0;
}

int metrics_start(struct metrics *m, struct daemon *d, char *err, size_t err_size)
{
	if (!m)
		return 0;
	m->daemon = d;
	m->http = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, m,
				   MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, /* first: the others may have something to say */
				   MHD_OPTION_LISTEN_SOCKET, m->fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
				   MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
				   CONNECTION_S, MHD_OPTION_END);
	if (!m->http) {
		snprintf(err, err_size, "metrics: the HTTP server does not start: %s", strerror(errno));
		return -EIO;
	}
	m->fd = -1;
	return 0;
}

void metrics_stop(struct metrics *m)
{
	if (!m)
		return;
	if (m->http)
		MHD_stop_daemon(m->http);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}
