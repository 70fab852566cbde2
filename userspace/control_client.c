/* SPDX-License-Identifier: BSD-2-Clause */
/* client: what a judgement of a client of this name would rest on (danelawctl check --client). */
#include "userspace/control_parts.h"

#include <stdlib.h>

#include "userspace/client_dane.h"

struct explaining {
	struct control_request *request;
	struct client_explaining *explaining;
	struct client_explained what;
};

static json_t *owner_json(const struct client_explained *e, size_t i)
{
	const struct dane_heard *h = &e->asked.heard[i];
	json_t *records = json_array();

	for (size_t k = 0; k < e->record_count; k++)
		if (e->records[k].owner == i)
			json_array_append_new(records, json_string(e->records[k].text));
	return json_pack("{s:s, s:s, s:s?, s:o, s:I, s:I, s:o}", "name", e->asked.owners[i].owner, "identity",
			 e->asked.owners[i].identity, "answer", h->answered ? dane_answer_name(h->answer) : NULL, "records",
			 records, "usable", (json_int_t)h->usable, "ttl", (json_int_t)h->ttl, "why", control_text(h->why));
}

static void explained(void *ctx)
{
	struct explaining *x = ctx;
	const struct client_explained *e = &x->what;
	json_t *owners = json_array();
	bool provable = false;

	for (size_t i = 0; i < e->asked.count; i++) {
		json_array_append_new(owners, owner_json(e, i));
		provable |= e->asked.heard[i].answer == DANE_SECURE && e->asked.heard[i].usable > 0;
	}
	control_reply(x->request, json_pack("{s:s, s:s, s:b, s:s, s:o, s:I, s:o}", "name", e->asked.owners[0].identity, "validation",
					    dns_validation_name(e->health.state), "provable", provable, "without_key",
					    dane_verdict_name(e->asked.verdict), "owners", owners, "records_left_out",
					    (json_int_t)e->records_left_out, "sentence", control_text(e->sentence)));
	client_dane_explain_free(x->explaining);
	free(x);
}

static void gone(struct control_request *r)
{
	struct explaining *x = r->state;

	client_dane_explain_free(x->explaining);
	free(x);
}

void control_client(struct control_request *r)
{
	const char *name = control_arg_text(r, "name");
	struct dns_inbox *inbox = control_dns(r);
	struct explaining *x;

	if (!name || !inbox) {
		control_fail(r, name ? "no client is judged by DANE, and nothing is looked up, in this configuration" : "name is missing");
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x) {
		control_fail(r, "out of memory");
		return;
	}
	x->request = r;
	x->explaining = client_dane_explain(daemon_dns(control_daemon(r)), inbox, name, &x->what, explained, x);
	if (!x->explaining) {
		free(x);
		control_fail(r, "\"%.60s\" is no name that a client could prove", name);
		return;
	}
	r->state = x;
	r->gone = gone;
}
