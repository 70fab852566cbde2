/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An early reply (before the end of a body) is left unread until its time comes: a refusal then answers the
 * message, and a 2xx is a breach of protocol, since it cannot mean what it says.  A body that we refuse
 * ourselves (bare newline, too big) is never ended towards the backend: its connection is closed, so the
 * backend drops what it has, and the client reads our refusal.
 */
#include "userspace/relay.h"

#include <assert.h>
#include <string.h>

void relay_init(struct relay *r, struct leg *client, struct leg *backend, const struct relay_settings *set, struct stats *stats)
{
	memset(r, 0, sizeof(*r));
	r->client = client;
	r->backend = backend;
	r->set = set;
	r->stats = stats;
}

/* ---- the expect FIFO ---- */

static void push(struct relay *r, enum relay_expect expect, enum reply reply)
{
	assert(r->count < RELAY_PIPELINE_MAX);
	unsigned i = (r->first + r->count++) % RELAY_PIPELINE_MAX;

	r->slots[i].expect = (uint8_t)expect;
	r->slots[i].reply = (uint8_t)reply;
}

static void pop(struct relay *r)
{
	r->first = (uint8_t)((r->first + 1) % RELAY_PIPELINE_MAX);
	r->count--;
}

static void say(struct relay *r, enum reply reply)
{
	char text[REPLY_MAX];

	leg_write(r->client, text, reply_write(reply, r->set->hostname, text));
}

void relay_answer(struct relay *r, enum reply reply)
{
	if (r->count)
		push(r, EXPECT_OURS, reply);
	else
		say(r, reply);
}

/* Our own answers whose turn has come. */
static void say_ours(struct relay *r)
{
	while (r->count && r->slots[r->first].expect == EXPECT_OURS) {
		say(r, r->slots[r->first].reply);
		pop(r);
	}
}

static bool one_at_a_time(const struct relay *r)
{
	return !(r->caps.have & SMTP_CAP_BIT(PIPELINING)) && r->backend->state == LEG_OPEN;
}

bool relay_full(const struct relay *r, unsigned pipelined)
{
	if (r->sealed || r->mode != RELAY_COMMANDS || leg_unsent(r->client) > r->set->buffer ||
	    leg_unsent(r->backend) > r->set->buffer)
		return true;
	return r->count >= (one_at_a_time(r) ? 1 : pipelined);
}

size_t relay_room(const struct relay *r, const struct leg *to)
{
	size_t unsent = leg_unsent(to), left = r->set->buffer > unsent ? r->set->buffer - unsent : 0;

	return left < RING_COMMAND_BYTES ? RING_COMMAND_BYTES : left > RING_BODY_BYTES ? RING_BODY_BYTES : left;
}

bool relay_final_owed(const struct relay *r)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->slots[(r->first + i) % RELAY_PIPELINE_MAX].expect == EXPECT_FINAL)
			return true;
	return false;
}

bool relay_quit_owed(const struct relay *r)
{
	return r->count && r->slots[r->first].expect == EXPECT_QUIT;
}

void relay_reset(struct relay *r)
{
	relay_init(r, r->client, r->backend, r->set, r->stats);
}

/* ---- client to backend ---- */

/* Nothing of the client may follow before the reply: what comes depends on it. */
static bool seals(enum relay_expect expect)
{
	return expect == EXPECT_DATA || expect == EXPECT_EHLO || expect == EXPECT_HELO;
}

void relay_forward(struct relay *r, const char *line, size_t len, enum relay_expect expect)
{
	leg_write(r->backend, line, len);
	push(r, expect, 0);
	r->sealed = seals(expect) || expect == EXPECT_QUIT;
}

void relay_forward_chunk(struct relay *r, const char *line, size_t len, uint64_t chunk, bool last)
{
	leg_write(r->backend, line, len);
	if (!chunk) {
		push(r, last ? EXPECT_FINAL : EXPECT_CHUNK, 0);
		return;
	}
	r->mode = RELAY_CHUNK;
	r->chunk_left = chunk;
	r->chunk_last = last;
}

void relay_discard_chunk(struct relay *r, uint64_t chunk, enum reply refusal)
{
	r->refusal = (uint8_t)refusal;
	r->chunk_left = chunk;
	if (chunk)
		r->mode = RELAY_DISCARD_CHUNK;
	else
		relay_answer(r, refusal);
}

void relay_abandon(struct relay *r)
{
	r->abandoned = true;
	leg_close(r->backend, true);
}

static void begin_body(struct relay *r)
{
	r->mode = RELAY_BODY;
	r->body_bytes = 0;
	smtp_data_begin(&r->scanner, r->set->newline);
}

static void emit_to_backend(void *ctx, const uint8_t *data, size_t len)
{
	struct relay *r = ctx;

	leg_write(r->backend, data, len);
}

static void emit_nothing(void *ctx, const uint8_t *data, size_t len)
{
}

/* The rest of the message is read to its end, for the client to hear why; the backend's connection is over. */
static void refuse_body(struct relay *r, enum reply refusal)
{
	r->mode = RELAY_DISCARD_BODY;
	r->refusal = (uint8_t)refusal;
	relay_abandon(r);
}

static void end_body(struct relay *r, bool discarded)
{
	r->mode = RELAY_COMMANDS;
	if (!discarded) {
		push(r, EXPECT_FINAL, 0);
		return;
	}
	r->count = 0;
	say(r, r->refusal);
}

/* Would this piece take the message over the limit?  Looked at before any of it is passed on. */
static bool too_big(const struct relay *r, const uint8_t *data, size_t len)
{
	struct smtp_data_scanner trial = r->scanner;
	bool done;

	if (!r->set->max_size || r->body_bytes + len <= r->set->max_size)
		return false;
	return r->body_bytes + smtp_data_scan(&trial, data, len, emit_nothing, NULL, &done) > r->set->max_size;
}

/*
 * One piece of a body behind 354.  With REJECT the scanner passes nothing on from the first bare newline, so a backend
 * that might take it for the end never sees it.
 */
static size_t scan_piece(struct relay *r, const uint8_t *data, size_t len)
{
	bool done = false;

	if (r->mode == RELAY_BODY && too_big(r, data, len))
		refuse_body(r, REPLY_too_big);
	smtp_emit *emit = r->mode == RELAY_BODY ? emit_to_backend : emit_nothing;
	size_t used = smtp_data_scan(&r->scanner, data, len, emit, r, &done);

	if (r->mode == RELAY_BODY && r->scanner.bare && r->set->newline == SMTP_NEWLINE_REJECT)
		refuse_body(r, REPLY_bare_newline);
	r->body_bytes += used;
	if (done)
		end_body(r, r->mode == RELAY_DISCARD_BODY);
	return used;
}

/* So many octets are dealt with; behind the last one it is the reply's turn, then the next command's. */
static void count_chunk(struct relay *r, uint64_t len)
{
	r->chunk_left -= len;
	r->body_bytes += len;
	if (r->chunk_left)
		return;
	if (r->mode == RELAY_CHUNK)
		push(r, r->chunk_last ? EXPECT_FINAL : EXPECT_CHUNK, 0);
	else
		relay_answer(r, r->refusal);
	r->mode = RELAY_COMMANDS;
}

static size_t chunk_piece(struct relay *r, const uint8_t *data, size_t len)
{
	if (len > r->chunk_left)
		len = (size_t)r->chunk_left;
	if (r->mode == RELAY_CHUNK)
		leg_write(r->backend, data, len);
	count_chunk(r, len);
	return len;
}

void relay_chunk_passed(struct relay *r, uint64_t len)
{
	assert(len <= relay_chunk_left(r));
	count_chunk(r, len);
}

enum relay_event relay_body(struct relay *r)
{
	enum relay_event event = RELAY_NOTHING;

	while (r->mode != RELAY_COMMANDS) {
		bool discard = r->mode == RELAY_DISCARD_BODY || r->mode == RELAY_DISCARD_CHUNK;
		size_t len;

		if (!discard && r->backend->state != LEG_OPEN)
			return RELAY_LOST;
		if (!discard && leg_unsent(r->backend) >= r->set->buffer)
			return RELAY_BLOCKED;
		const uint8_t *data = leg_peek(r->client, &len);

		if (!len)
			break;
		bool body = r->mode == RELAY_BODY || r->mode == RELAY_DISCARD_BODY;

		leg_used(r->client, body ? scan_piece(r, data, len) : chunk_piece(r, data, len));
		event = RELAY_PROGRESS;
	}
	return r->abandoned && r->mode == RELAY_COMMANDS ? RELAY_REFUSED : event;
}

/* ---- backend to client ---- */

static void write_hello(struct relay *r)
{
	char text[1024];
	bool starttls = r->set->starttls && !r->client->tls;
	uint32_t mask = r->set->cap_mask;

	if (r->client->tls && r->backend_verified)
		mask |= SMTP_CAP_BIT(REQUIRETLS);

	stats_add(r->stats, COUNT_capabilities_dropped, r->caps.unknown);
	leg_write(r->client, text,
		  smtp_write_ehlo(text, sizeof(text), r->set->hostname, &r->caps, mask, starttls, r->set->max_size));
}

void relay_answer_hello(struct relay *r, bool esmtp)
{
	if (esmtp)
		write_hello(r);
	else
		say(r, REPLY_hello);
}

/* A message was answered. */
static void on_final(struct relay *r, unsigned code)
{
	bool taken = code >= 200 && code < 300;

	r->mail_open = false;
	r->messages += taken;
	r->refused += !taken;
	stats_add(r->stats, taken ? COUNT_messages : COUNT_messages_refused, 1);
}

/* The last line of the first slot's reply was passed on. */
static enum relay_event on_reply_end(struct relay *r, enum relay_expect expect, unsigned code)
{
	pop(r);
	switch (expect) {
	case EXPECT_MAIL:
		r->mail_open = code / 100 == 2;
		r->body_bytes = 0;
		break;
	case EXPECT_RESET:
	case EXPECT_EHLO:
	case EXPECT_HELO:
		r->mail_open = r->mail_open && code / 100 != 2;
		break;
	case EXPECT_DATA:
		if (code == 354)
			begin_body(r);
		break;
	case EXPECT_FINAL:
		on_final(r, code);
		break;
	default:
		break;
	}
	if (seals(expect))
		r->sealed = false;
	if (code == 421)
		return RELAY_421;
	return expect == EXPECT_QUIT ? RELAY_QUIT : RELAY_PROGRESS;
}

/* EHLO: the keywords are read and a list of our own is written once the last line is there. */
static void on_hello_line(struct relay *r, const char *line, size_t len, bool last)
{
	if (!r->hello_line)
		memset(&r->caps, 0, sizeof(r->caps));
	else if (len > 4)
		smtp_caps_add(&r->caps, line + 4, len - 4);
	r->hello_line = !last;
	if (last)
		write_hello(r);
}

static enum relay_event on_reply_line(struct relay *r, const char *line, size_t len, size_t used)
{
	enum relay_expect expect = r->count ? r->slots[r->first].expect : EXPECT_REPLY;
	bool in_body = r->mode == RELAY_BODY || r->mode == RELAY_CHUNK;

	if (!r->count && in_body && len && line[0] != '2' && strncmp(line, "421", len < 3 ? len : 3) != 0)
		return RELAY_NOTHING; /* an early refusal: it waits for the end of the body */
	enum smtp_reply_line last = smtp_parse_reply(&r->reply, line, len);
	unsigned code = r->reply.code;

	if (last == SMTP_REPLY_BAD || (!r->count && code != 421))
		return RELAY_BAD;
	if (expect == EXPECT_FINAL && code / 100 == 2 && leg_unsent(r->backend) && r->count == 1)
		return RELAY_BAD; /* an answer to a message that was not sent to its end */
	if (code / 100 == 3 && expect != EXPECT_DATA)
		return RELAY_BAD; /* RFC 5321 4.2.1: there is nothing else it could wait for */
	if (expect == EXPECT_EHLO && code == 250)
		on_hello_line(r, line, len, last == SMTP_REPLY_LAST);
	else if (expect == EXPECT_HELO && code == 250)
		say(r, REPLY_hello);
	else {
		leg_write(r->client, line, used);
		r->in_reply = last == SMTP_REPLY_MORE_LINES;
	}
	leg_used(r->backend, used);
	if (last == SMTP_REPLY_MORE_LINES)
		return RELAY_PROGRESS;
	memset(&r->reply, 0, sizeof(r->reply));
	if (!r->count)
		return RELAY_421;
	return on_reply_end(r, expect, code);
}

bool relay_pass_refusal(struct relay *r)
{
	const char *line;
	size_t len, used;
	bool passed = false;

	if (r->count || r->mode == RELAY_COMMANDS)
		return false;
	memset(&r->reply, 0, sizeof(r->reply));
	while (leg_peek_line(r->backend, SMTP_REPLY_LINE_MAX, &line, &len, &used) == SMTP_LINE_OK) {
		enum smtp_reply_line last = smtp_parse_reply(&r->reply, line, len);

		if (last == SMTP_REPLY_BAD || r->reply.code < 400)
			break;
		leg_write(r->client, line, used);
		leg_used(r->backend, used);
		passed = true;
		if (last == SMTP_REPLY_LAST)
			break;
	}
	return passed;
}

enum relay_event relay_replies(struct relay *r)
{
	enum relay_event event = RELAY_NOTHING;

	for (;;) {
		const char *line;
		size_t len, used;

		say_ours(r);
		if (r->backend->state != LEG_OPEN || leg_unsent(r->client) >= r->set->buffer)
			return event;
		enum smtp_line found = leg_peek_line(r->backend, SMTP_REPLY_LINE_MAX, &line, &len, &used);

		if (found == SMTP_LINE_MORE)
			break;
		if (found != SMTP_LINE_OK)
			return RELAY_BAD;
		enum relay_event e = on_reply_line(r, line, len, used);

		if (e == RELAY_NOTHING) {
			leg_peek_more(r->backend, &len); /* in TLS, its end may stand behind what is left unread */
			break;
		}
		event = e;
		if (event != RELAY_PROGRESS)
			return event;
	}
	if (r->backend->eof || r->backend->error || r->backend->tls_failed)
		return RELAY_LOST;
	return event;
}
