/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Over the limit on sessions a client gets 421 and a close, without a session: the cheapest clear answer.  Out
 * of descriptors it gets the same by way of one kept in reserve, so that a sender tries the next MX at once and
 * does not hang in the kernel's queue; then accepting rests for a moment.
 */
#define _GNU_SOURCE /* accept4 */
#include "userspace/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "userspace/log.h"

#define ACCEPT_QUEUE 65535 /* cut to net.core.somaxconn by the kernel */
#define RETRY_MS 100
#define TURNED_AWAY_MAX 64 /* clients a pause; the rest wait for the next */

static int open_one(const struct net_addr *at, bool dual_stack, unsigned mss)
{
	struct sockaddr_storage ss;
	socklen_t len = net_to_sockaddr(at, &ss);
	int on = 1, v6only = !dual_stack, segment = (int)mss, fd;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* no SO_RCVBUF here: it would fix the window scale that SYN cookies promise */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
	    (ss.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only))) ||
	    (mss && setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment))) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&ss, len) ||
	    listen(fd, ACCEPT_QUEUE)) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

/* IPv4's any address is kept v4-mapped; "::" serves both families. */
static bool is_any6(const struct in6_addr *ip)
{
	return IN6_IS_ADDR_UNSPECIFIED(ip);
}

/*
 * One socket a family, on the loopback: reached by nobody but through sk_lookup, which takes a socket
 * whatever it is bound to, but never one of the other family.  A host without IPv6 has the first alone.
 */
static int open_own(unsigned mss, int *fds, char failed[NET_TEXT_MAX])
{
	static const char *const own[] = { "127.0.0.1", "::1" };
	int n = 0;

	for (int i = 0; i < 2; i++) {
		struct net_addr at = { .port = 0 };

		net_parse_ip(own[i], &at.ip);
		int fd = open_one(&at, false, mss);

		if (fd >= 0) {
			fds[n++] = fd;
		} else if (i == 0 || (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)) {
			net_addr_text(&at, failed);
			while (n--)
				close(fds[n]);
			return fd;
		}
	}
	return n;
}

int listener_open(const struct config_listener *cfg, bool steered, unsigned mss, int *fds, int max,
		  char failed[NET_TEXT_MAX])
{
	int n = 0;

	if (steered)
		return open_own(mss, fds, failed);
	for (size_t i = 0; i < cfg->address_count && n < max; i++) {
		struct net_addr at = { .ip = cfg->addresses[i], .port = cfg->port };

		fds[n] = open_one(&at, is_any6(&at.ip), mss);
		if (fds[n] < 0) {
			int error = fds[n];

			net_addr_text(&at, failed);
			while (n--)
				close(fds[n]);
			return error;
		}
		n++;
	}
	return n;
}

/* ---- admission ---- */

static void log_turned_away(const struct listener *l, const struct net_addr *peer, enum end_reason why)
{
	struct logline line;
	char text[NET_TEXT_MAX];

	logline_begin(&line);
	logline_str(&line, "lst", l->serve->cfg->name);
	logline_str(&line, "peer", net_ip_text(&peer->ip, text));
	logline_str(&line, "end", end_info[why].name);
	logline_emit(&line);
}

static void turn_away(const struct listener *l, int fd, const struct net_addr *peer, enum reply reply, enum end_reason why)
{
	char text[REPLY_MAX];
	size_t len = reply_write(reply, l->serve->relay.hostname, text);

	/* an empty socket buffer takes it whole; if not, the client sees a close, which says the same */
	if (send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("421 to a client that is turned away: %s", strerror(errno));
	shutdown(fd, SHUT_WR);
	close(fd);
	stats_end(l->env->stats, why);
	log_turned_away(l, peer, why);
}

static void leave_place(struct session_env *env)
{
	__atomic_sub_fetch(&env->shared->sessions, 1, __ATOMIC_RELAXED);
}

static bool take_place(struct session_env *env)
{
	if (__atomic_add_fetch(&env->shared->sessions, 1, __ATOMIC_RELAXED) <= env->cfg->limits.sessions)
		return true;
	leave_place(env);
	return false;
}

static int names_of(int fd, struct net_addr *peer, struct net_addr *local)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &len) || net_from_sockaddr((struct sockaddr *)&ss, peer))
		return -1;
	len = sizeof(ss);
	return getsockname(fd, (struct sockaddr *)&ss, &len) || net_from_sockaddr((struct sockaddr *)&ss, local) ? -1 : 0;
}

static void on_accepted(struct ring_socket *sock, int fd)
{
	struct listener *l = (struct listener *)sock;
	struct net_addr peer, local;
	bool counted = session_counts_source(l->env, l->serve);

	if (names_of(fd, &peer, &local)) {
		close(fd); /* reset before we came to it */
		return;
	}
	if (!take_place(l->env)) {
		turn_away(l, fd, &peer, REPLY_busy, END_sessions_full);
		return;
	}
	if (counted && !sources_take(l->env->shared->sources, &peer.ip)) {
		leave_place(l->env);
		turn_away(l, fd, &peer, REPLY_source_busy, END_source_full);
		return;
	}
	if (session_new(l->env, l->serve, fd, &peer, &local)) {
		leave_place(l->env);
		if (counted)
			sources_release(l->env->shared->sources, &peer.ip);
	}
}

/* Lends the reserve to one waiting client after the other. */
static void turn_away_waiting(struct listener *l)
{
	struct net_addr peer, local;

	for (int i = 0; i < TURNED_AWAY_MAX && l->spare >= 0; i++) {
		close(l->spare);
		int fd = accept4(l->sock.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && names_of(fd, &peer, &local))
			close(fd); /* reset before we came to it */
		else if (fd >= 0)
			turn_away(l, fd, &peer, REPLY_busy, END_descriptors_full);
		l->spare = eventfd(0, EFD_CLOEXEC);
		if (fd < 0)
			break;
	}
}

static void on_failed(struct ring_socket *sock, enum ring_op op, int error)
{
	struct listener *l = (struct listener *)sock;

	if (error == EMFILE || error == ENFILE)
		turn_away_waiting(l);
	stats_add(l->env->stats, COUNT_accept_paused, 1);
	log_warn("listener %s: accepting rests for %d ms: %s", l->serve->cfg->name, RETRY_MS, strerror(error));
	timer_set(l->env->wheel, &l->retry, ring_now(l->env->ring) + RETRY_MS);
}

static void on_retry(struct timer *t)
{
	struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, retry));

	if (l->spare < 0)
		l->spare = eventfd(0, EFD_CLOEXEC);
	ring_accept(l->env->ring, &l->sock);
}

static void on_closed(struct ring_socket *sock)
{
	((struct listener *)sock)->stopped = true;
}

static const struct ring_handler handler = {
	.accepted = on_accepted,
	.failed = on_failed,
	.closed = on_closed,
};

void listener_start(struct listener *l, struct session_env *env, struct session_listener *serve, int fd)
{
	memset(l, 0, sizeof(*l));
	l->env = env;
	l->serve = serve;
	l->spare = eventfd(0, EFD_CLOEXEC);
	l->retry.fire = on_retry;
	ring_socket_init(&l->sock, &handler);
	ring_adopt(env->ring, &l->sock, fd);
	ring_accept(env->ring, &l->sock);
}

void listener_stop(struct listener *l)
{
	timer_cancel(l->env->wheel, &l->retry);
	if (l->spare >= 0)
		close(l->spare);
	ring_close(l->env->ring, &l->sock, false);
}
