/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets and admission.  listener_open() makes the descriptors as root; a worker then accepts on
 * its own ones: each (listener, worker) pair has a socket of its own, all of one listener in a
 * SO_REUSEPORT group, so that nothing is shared between workers on the way in.
 */
#ifndef DANELAW_LISTENER_H
#define DANELAW_LISTENER_H

#include "userspace/session.h"

/*
 * The sockets of one listener for one worker.  steered: two on the loopback, one a family, on ports of the kernel's
 * choice; sk_lookup brings the connections, and the address that clients see is never bound.  Else one a configured
 * address.  Descriptors go to fds (at most max, at least 2); the count, or negative errno with *failed the address's text.
 * mss: what clients are told to send in one segment; 0: what the route says.
 */
int listener_open(const struct config_listener *cfg, bool steered, unsigned mss, int *fds, int max,
		  char failed[NET_TEXT_MAX]);

struct listener {
	struct ring_socket sock; /* first */
	struct session_env *env;
	struct session_listener *serve;
	struct timer retry;	 /* after accepting had to pause */
	int spare;		 /* a descriptor in reserve: with it a client can be told that there is none left */
	bool stopped;
};

void listener_start(struct listener *l, struct session_env *env, struct session_listener *serve, int fd);
/* No new connections: the socket is closed.  Those in its queue are reset by the kernel. */
void listener_stop(struct listener *l);

#endif
