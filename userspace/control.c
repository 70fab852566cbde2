/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread and its connections.  A connection is in one of three states, each with a deadline: a request comes, a verb
 * works on it, its reply goes out; only then is the next request looked at, so a client holds one request at a time.
 */
#define _GNU_SOURCE
#include "userspace/control_parts.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "userspace/log.h"

#define SOCKET_MODE 0660
#define REST_MS 1000 /* when there is no descriptor to accept with */

struct control_conn {
	int fd; /* -1: free */
	bool eof;
	struct control_request *request; /* a verb works on it */
	char *out;			 /* the reply on its way */
	size_t out_len, out_sent;
	uint64_t deadline;
	size_t len;
	char in[CONTROL_REQUEST_MAX];
};

struct control {
	struct daemon *daemon;
	pthread_t thread, main;
	struct sockaddr_un at;
	ino_t inode; /* of the socket we made */
	int listen_fd, wake_fd;
	uint64_t accept_at; /* accepting rests until then */
	unsigned requests; /* verbs at work, those nobody waits for any more among them */
	struct dns_inbox *dns;
	struct control_conn conns[CONTROL_CONNECTIONS];
	struct control_request *reloads; /* that wait for one, each with its number in ->state */
	uint64_t drain_at;		 /* UINT64_MAX: nobody ordered it */
	pthread_mutex_t lock; /* of what follows */
	uintptr_t reload_asked, reload_covers; /* the last number given; the one the reload under way answers */
	struct control_note *notes, **notes_end;
	bool stopping;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the end of a request ---- */

static void request_free(struct control_request *r)
{
	r->control->requests--;
	if (r->conn)
		r->conn->request = NULL;
	json_decref(r->args);
	free(r);
}

/* Nobody waits any more. */
static void request_gone(struct control_request *r)
{
	r->conn->request = NULL;
	r->conn = NULL;
	if (r->gone) {
		r->gone(r);
		request_free(r);
	}
}

static void conn_close(struct control_conn *n)
{
	if (n->request)
		request_gone(n->request);
	close(n->fd);
	free(n->out);
	n->out = NULL;
	n->fd = -1;
}

/* A reply of the loop's or a verb's; the reference is taken over. */
static void queue_reply(struct control_conn *n, json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(reply);
	n->out = text ? realloc(text, len + 1) : NULL;
	if (!n->out) {
		free(text);
		conn_close(n);
		return;
	}
	n->out[len] = '\n'; /* in the place of the final NUL */
	n->out_len = len + 1;
	n->out_sent = 0;
	n->deadline = now_ms() + CONTROL_REQUEST_MS;
}

static void queue_error(struct control_conn *n, const char *text)
{
	queue_reply(n, json_pack("{s:b, s:s}", "ok", 0, "error", text));
}

void control_reply(struct control_request *r, json_t *result)
{
	struct control_conn *n = r->conn;

	request_free(r);
	if (!n)
		json_decref(result);
	else if (!result)
		queue_error(n, "out of memory");
	else
		queue_reply(n, json_pack("{s:b, s:o}", "ok", 1, "result", result));
}

void control_fail(struct control_request *r, const char *fmt, ...)
{
	struct control_conn *n = r->conn;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	request_free(r);
	if (n)
		queue_error(n, text);
}

struct daemon *control_daemon(const struct control_request *r)
{
	return r->control->daemon;
}

struct dns_inbox *control_dns(const struct control_request *r)
{
	return r->control->dns;
}

/* ---- notes from other threads ---- */

void control_post(struct control *c, struct control_note *n)
{
	n->next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->notes_end = n;
	c->notes_end = &n->next;
	pthread_mutex_unlock(&c->lock);
	eventfd_write(c->wake_fd, 1);
}

static void run_notes(struct control *c)
{
	struct control_note *n, *next;
	eventfd_t count;

	eventfd_read(c->wake_fd, &count);
	pthread_mutex_lock(&c->lock);
	n = c->notes;
	c->notes = NULL;
	c->notes_end = &c->notes;
	pthread_mutex_unlock(&c->lock);
	for (; n; n = next) {
		next = n->next;
		n->run(n);
	}
}

static bool is_stopping(struct control *c)
{
	pthread_mutex_lock(&c->lock);
	bool stopping = c->stopping;

	pthread_mutex_unlock(&c->lock);
	return stopping;
}

/* ---- orders to the main thread ---- */

/* How a reload ended, on its way to the control thread. */
struct reloaded {
	struct control_note note; /* first */
	struct control *control;
	uintptr_t covers;
	char err[512];
};

static void unlink_reload(struct control_request *r)
{
	struct control_request **at = &r->control->reloads;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
}

static void on_reloaded(struct control_note *note)
{
	struct reloaded *done = (struct reloaded *)note;
	struct control_request *r, *next;

	for (r = done->control->reloads; r; r = next) {
		next = r->next;
		if ((uintptr_t)r->state > done->covers)
			continue;
		unlink_reload(r);
		if (done->err[0])
			control_fail(r, "%s; everything stays as it was", done->err);
		else
			control_reply(r, json_pack("{s:s}", "reloaded", "certificates and lists"));
	}
	free(done);
}

void control_wait_for_reload(struct control_request *r)
{
	struct control *c = r->control;

	pthread_mutex_lock(&c->lock);
	r->state = (void *)++c->reload_asked;
	pthread_mutex_unlock(&c->lock);
	r->gone = unlink_reload;
	r->next = c->reloads;
	c->reloads = r;
	pthread_kill(c->main, SIGHUP);
}

void control_reload_begins(struct control *c)
{
	pthread_mutex_lock(&c->lock);
	c->reload_covers = c->reload_asked;
	pthread_mutex_unlock(&c->lock);
}

void control_reload_ends(struct control *c, const char *err)
{
	struct reloaded *done = calloc(1, sizeof(*done));

	if (!done)
		return; /* those who wait are told that it took too long */
	done->note.run = on_reloaded;
	done->control = c;
	done->covers = c->reload_covers;
	snprintf(done->err, sizeof(done->err), "%s", err);
	control_post(c, &done->note);
}

void control_drain_in(struct control *c, uint64_t ms)
{
	c->drain_at = ms == UINT64_MAX ? ms : now_ms() + ms;
}

static void give_orders(struct control *c)
{
	if (c->drain_at > now_ms())
		return;
	c->drain_at = UINT64_MAX;
	pthread_kill(c->main, SIGTERM);
}

/* ---- requests ---- */

static void begin_request(struct control *c, struct control_conn *n, const struct control_verb *verb, json_t *args)
{
	struct control_request *r = c->requests < CONTROL_CONNECTIONS ? calloc(1, sizeof(*r)) : NULL;
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);

	if (!r) {
		json_decref(args);
		queue_error(n, "too much is asked at the same time; try again in a moment");
		return;
	}
	getsockopt(n->fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	*r = (struct control_request){ .control = c, .conn = n, .verb = verb, .args = args, .pid = who.pid, .uid = who.uid };
	c->requests++;
	n->request = r;
	n->deadline = now_ms() + verb->deadline_ms;
	verb->run(r);
}

static void take_line(struct control *c, struct control_conn *n, size_t len)
{
	const struct control_verb *verb;
	char err[256];
	json_t *args;
	int r = control_parse(n->in, len, &verb, &args, err, sizeof(err));
	size_t used = len < n->len ? len + 1 : len; /* with its newline, if it has one */

	n->len -= used;
	memmove(n->in, n->in + used, n->len);
	if (r)
		queue_error(n, r == -ENOMEM ? "out of memory" : err);
	else
		begin_request(c, n, verb, args);
}

/* Takes the next request if its turn has come; closes a connection that has none left. */
static void next_request(struct control *c, struct control_conn *n)
{
	while (n->fd >= 0 && !n->request && !n->out) {
		const char *end = memchr(n->in, '\n', n->len);

		if (end) {
			take_line(c, n, (size_t)(end - n->in));
		} else if (n->len == sizeof(n->in)) {
			n->eof = true; /* what follows is the rest of that line */
			n->len = 0;
			queue_error(n, "the request is longer than 4096 bytes");
		} else if (n->eof && n->len) {
			take_line(c, n, n->len);
		} else {
			if (n->eof)
				conn_close(n);
			return;
		}
	}
}

/* ---- connections ---- */

static void conn_read(struct control *c, struct control_conn *n)
{
	ssize_t got = recv(n->fd, n->in + n->len, sizeof(n->in) - n->len, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		conn_close(n);
		return;
	}
	n->eof = got == 0;
	n->len += (size_t)got;
	next_request(c, n);
}

static void conn_write(struct control *c, struct control_conn *n)
{
	ssize_t sent = send(n->fd, n->out + n->out_sent, n->out_len - n->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		conn_close(n);
		return;
	}
	n->out_sent += (size_t)sent;
	if (n->out_sent < n->out_len)
		return;
	free(n->out);
	n->out = NULL;
	n->deadline = now_ms() + CONTROL_REQUEST_MS;
	next_request(c, n);
}

static void conn_too_late(struct control_conn *n)
{
	struct control_request *r = n->request;

	if (!r) {
		conn_close(n);
		return;
	}
	char text[128];

	snprintf(text, sizeof(text), "%s: no answer within %u s", r->verb->name, r->verb->deadline_ms / 1000);
	n->eof = true; /* nothing more of this client: the request may still be at work */
	n->len = 0;
	request_gone(r);
	queue_error(n, text);
}

/* A free place, or that of the client that has been silent longest; NULL: all are busy. */
static struct control_conn *place(struct control *c)
{
	struct control_conn *oldest = NULL;

	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
		struct control_conn *n = &c->conns[i];

		if (n->fd < 0)
			return n;
		if (!n->request && !n->out && (!oldest || n->deadline < oldest->deadline))
			oldest = n;
	}
	if (oldest)
		conn_close(oldest);
	return oldest;
}

static void conn_accept(struct control *c)
{
	static const char full[] = "{\"ok\":false,\"error\":\"too many connections; try again in a moment\"}\n";
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_conn *n;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			c->accept_at = now_ms() + REST_MS;
		return;
	}
	n = place(c);
	if (!n) {
		if (send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			log_debug("control: a client that came at a bad moment: %s", strerror(errno));
		close(fd);
		return;
	}
	n->fd = fd;
	n->eof = false;
	n->len = 0;
	n->deadline = now_ms() + CONTROL_REQUEST_MS;
}

/* ---- the loop ---- */

enum { POLL_WAKE, POLL_LISTEN, POLL_DNS, POLL_CONNS, POLL_COUNT = POLL_CONNS + CONTROL_CONNECTIONS };

static short wanted(const struct control_conn *n)
{
	return n->out ? POLLOUT : n->request ? 0 : POLLIN;
}

static int fill_poll(struct control *c, struct pollfd *p)
{
	uint64_t now = now_ms(), next = UINT64_MAX;
	bool rests = c->accept_at > now;

	p[POLL_WAKE] = (struct pollfd){ .fd = c->wake_fd, .events = POLLIN };
	p[POLL_LISTEN] = (struct pollfd){ .fd = rests ? -1 : c->listen_fd, .events = POLLIN };
	p[POLL_DNS] = (struct pollfd){ .fd = c->dns ? dns_inbox_fd(c->dns) : -1, .events = POLLIN };
	if (rests)
		next = c->accept_at;
	if (c->drain_at < next)
		next = c->drain_at;
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
		const struct control_conn *n = &c->conns[i];

		p[POLL_CONNS + i] = (struct pollfd){ .fd = n->fd, .events = n->fd < 0 ? 0 : wanted(n) };
		if (n->fd >= 0 && n->deadline < next)
			next = n->deadline;
	}
	if (next == UINT64_MAX)
		return -1;
	return next > now ? (int)(next - now) : 0;
}

static void serve_conn(struct control *c, struct control_conn *n, short got)
{
	if (n->request && (got & (POLLHUP | POLLERR)))
		conn_close(n); /* both ways: nobody is left to read the answer */
	else if (n->out && (got & (POLLOUT | POLLHUP | POLLERR)))
		conn_write(c, n);
	else if (!n->out && !n->request && (got & (POLLIN | POLLHUP | POLLERR)))
		conn_read(c, n);
	if (n->fd >= 0 && n->deadline <= now_ms())
		conn_too_late(n);
}

static void close_all(struct control *c)
{
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
		if (c->conns[i].fd >= 0)
			conn_close(&c->conns[i]);
}

static void *thread(void *arg)
{
	struct control *c = arg;
	struct pollfd p[POLL_COUNT];
	bool stopping = false;

	while (!stopping || c->requests) {
		poll(p, POLL_COUNT, fill_poll(c, p));
		if (p[POLL_WAKE].revents)
			run_notes(c);
		if (p[POLL_DNS].revents)
			dns_collect(c->dns);
		for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
			if (c->conns[i].fd >= 0 && c->conns[i].fd == p[POLL_CONNS + i].fd)
				serve_conn(c, &c->conns[i], p[POLL_CONNS + i].revents);
		if (!stopping && p[POLL_LISTEN].revents)
			conn_accept(c);
		give_orders(c);
		if (!stopping && is_stopping(c)) {
			stopping = true;
			close(c->listen_fd);
			c->listen_fd = -1;
			close_all(c);
		}
	}
	run_notes(c); /* a reload's end that came after all who asked */
	return NULL;
}

/* ---- start and end ---- */

static int make_socket(struct control *c)
{
	const char *path = c->at.sun_path;
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;

	if (fd < 0)
		return -errno;
	/* the mode of the file that bind() makes is this one and the umask (unix_bind(), net/unix/af_unix.c): at no
	 * moment is it open to more */
	if (fchmod(fd, SOCKET_MODE) || (unlink(path) && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&c->at, sizeof(c->at)) || chmod(path, SOCKET_MODE) || listen(fd, CONTROL_CONNECTIONS))
		r = -errno;
	if (r) {
		close(fd);
		return r;
	}
	c->inode = stat(path, &st) ? 0 : st.st_ino;
	c->listen_fd = fd;
	return 0;
}

static void control_free(struct control *c)
{
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	if (c->dns)
		dns_inbox_close(c->dns);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int control_start(struct daemon *d, struct control **out, char *err, size_t err_size)
{
	struct control *c = calloc(1, sizeof(*c));
	const char *dir = daemon_config(d)->run_dir;

	if (!c)
		return -ENOMEM;
	c->daemon = d;
	c->main = pthread_self();
	c->notes_end = &c->notes;
	c->listen_fd = -1;
	c->drain_at = UINT64_MAX;
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
		c->conns[i].fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = c->wake_fd < 0 ? -errno : 0;

	if (!r)
		r = control_address(dir, &c->at);
	if (!r && daemon_dns(d) && !(c->dns = dns_inbox_open(daemon_dns(d))))
		r = -EMFILE;
	if (!r)
		r = make_socket(c);
	if (!r)
		r = -pthread_create(&c->thread, NULL, thread, c);
	if (r) {
		snprintf(err, err_size, "control socket %s/control.sock: %s", dir, strerror(-r));
		control_free(c);
		return r;
	}
	pthread_setname_np(c->thread, "control");
	*out = c;
	return 0;
}

void control_stop(struct control *c)
{
	struct stat st;

	if (!c)
		return;
	/* first: as long as our socket is open its number is not another's */
	if (!stat(c->at.sun_path, &st) && st.st_ino == c->inode)
		unlink(c->at.sun_path);
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_mutex_unlock(&c->lock);
	eventfd_write(c->wake_fd, 1);
	pthread_join(c->thread, NULL);
	control_free(c);
}
