/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sessions: each worker is asked to list its own and writes into memory of the request; the last to be done passes all
 * to the control thread.  Bounded by the limit asked for, a worker.
 */
#include "userspace/control_parts.h"

#include <stdlib.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX 1000

struct share {
	struct worker_call call; /* first */
	struct listing *listing;
	size_t count;
	struct session_view *views;
};

struct listing {
	struct control_note note; /* first */
	struct control_request *request;
	unsigned workers;
	int open; /* workers that are not done; atomic */
	size_t limit;
	struct share shares[];
};

static void listing_free(struct listing *l)
{
	for (unsigned w = 0; w < l->workers; w++)
		free(l->shares[w].views);
	free(l);
}

static json_t *session_json(const struct session_view *v, unsigned worker)
{
	char peer[NET_TEXT_MAX];

	return json_pack("{s:o, s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:I}", "id",
			 json_sprintf("%llx", (unsigned long long)v->id), "worker", (int)worker, "listener", v->listener,
			 "client", net_addr_text(&v->peer, peer), "age_ms", (json_int_t)v->age_ms, "step", v->step, "wait",
			 v->wait, "helo", v->helo, "tls", v->tls, "client_dane",
			 v->client_dane, "backend", v->backend, "commands",
			 (json_int_t)v->commands, "messages", (json_int_t)v->messages, "bytes_in",
			 (json_int_t)v->bytes_in, "bytes_out", (json_int_t)v->bytes_out);
}

/* On the control thread: the newest first, whichever worker has them. */
static void listed(struct control_note *note)
{
	struct listing *l = (struct listing *)note;
	size_t *at = calloc(l->workers + 1, sizeof(*at));
	json_t *list = at ? json_array() : NULL;

	while (list && json_array_size(list) < l->limit) {
		int best = -1;

		for (unsigned w = 0; w < l->workers; w++) {
			const struct share *s = &l->shares[w];

			if (at[w] < s->count &&
			    (best < 0 || s->views[at[w]].age_ms < l->shares[best].views[at[best]].age_ms))
				best = (int)w;
		}
		if (best < 0)
			break;
		json_array_append_new(list, session_json(&l->shares[best].views[at[best]++], (unsigned)best));
	}
	struct stats sum;

	daemon_sum(control_daemon(l->request), &sum);
	control_reply(l->request, list ? json_pack("{s:I, s:o}", "open", (json_int_t)sum.count[COUNT_sessions_open],
						   "sessions", list)
				       : NULL);
	free(at);
	listing_free(l);
}

static void share_done(struct listing *l)
{
	if (__atomic_sub_fetch(&l->open, 1, __ATOMIC_ACQ_REL) == 0)
		control_post(l->request->control, &l->note);
}

/* On a worker's thread; env is NULL when that is at its end. */
static void list_worker(struct worker_call *call, const struct session_env *env)
{
	struct share *s = (struct share *)call;

	s->count = env ? session_list(env, s->views, s->listing->limit) : 0;
	share_done(s->listing);
}

static struct listing *listing_new(struct control_request *r, unsigned workers, size_t limit)
{
	struct listing *l = calloc(1, sizeof(*l) + workers * sizeof(l->shares[0]));

	if (!l)
		return NULL;
	*l = (struct listing){ .note.run = listed, .request = r, .workers = workers, .open = (int)workers, .limit = limit };
	for (unsigned w = 0; w < workers; w++) {
		l->shares[w] = (struct share){ .call.run = list_worker, .listing = l, .views = calloc(limit, sizeof(struct session_view)) };
		if (!l->shares[w].views) {
			listing_free(l);
			return NULL;
		}
	}
	return l;
}

void control_sessions(struct control_request *r)
{
	uint64_t limit = LIMIT_DEFAULT;
	struct daemon *d = control_daemon(r);

	if (!control_arg_number(r, "limit", 1, LIMIT_MAX, &limit))
		return;
	unsigned workers = daemon_workers(d);
	struct listing *l = listing_new(r, workers, limit);

	if (!l) {
		control_fail(r, "out of memory");
		return;
	}
	/* none of it is ours any more once all were asked: the last may be done already */
	for (unsigned w = 0; w < workers; w++)
		if (daemon_post_call(d, w, &l->shares[w].call))
			share_done(l);
}
