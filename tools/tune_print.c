/* SPDX-License-Identifier: BSD-2-Clause */
/* A report for people, and as JSON. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "tools/tune.h"

static void head(FILE *to, const struct tune_facts *f)
{
	char cores[64];

	fprintf(to, "%s: %s%s%s", f->ifname, *f->driver ? f->driver : "driver not told", *f->version ? " " : "", f->version);
	if (*f->firmware)
		fprintf(to, ", firmware %s", f->firmware);
	fprintf(to, ", kernel %s", f->kernel);
	if (f->numa >= 0)
		fprintf(to, ", node %ld", f->numa);
	fprintf(to, ", cores %s\n", tune_cpus_text(&f->cores, cores, sizeof(cores)));
}

static int wider(int wide, const char *text)
{
	int len = (int)strlen(text);

	return len > wide ? len : wide;
}

void tune_print_report(FILE *to, const struct tune_facts *f, const struct tune_report *r, int all)
{
	int check = 5, now = 3, wanted = 6;
	size_t bad = 0;

	head(to, f);
	for (size_t i = 0; i < r->findings_n; i++) {
		const struct tune_finding *one = &r->findings[i];

		bad += one->verdict != TUNE_OK;
		if (!all && one->verdict == TUNE_OK)
			continue;
		check = wider(check, one->check);
		now = wider(now, one->now);
		wanted = wider(wanted, one->wanted);
	}
	if (all || bad)
		fprintf(to, "      %-*s  %-*s  %-*s  why\n", check, "check", now, "now", wanted, "wanted");
	for (size_t i = 0; i < r->findings_n; i++) {
		const struct tune_finding *one = &r->findings[i];

		if (!all && one->verdict == TUNE_OK)
			continue;
		fprintf(to, "%-4s  %-*s  %-*s  %-*s  %s\n", tune_verdict_word(one->verdict), check, one->check, now,
			one->now, wanted, one->wanted, one->why);
		if (all && one->verdict != TUNE_OK)
			fprintf(to, "      %*s  seen in %s\n", check, "", one->seen);
	}
	fprintf(to, "%zu checks, %zu ok\n", r->findings_n, r->findings_n - bad);
}

void tune_print_plan(FILE *to, const struct tune_report *r, const struct tune_wants *wants)
{
	size_t run = 0, resets = 0;

	for (size_t i = 0; i < r->changes_n; i++)
		if (tune_change_wanted(&r->changes[i], wants)) {
			run++;
			resets += r->changes[i].away != NULL;
		}
	if (run)
		fprintf(to, "would run, in this order:\n");
	for (size_t i = 0; i < r->changes_n; i++) {
		const struct tune_change *c = &r->changes[i];

		if (!tune_change_wanted(c, wants))
			fprintf(to, "  # %s   (left out: --allow-mtu to run it)\n", c->run);
		else if (c->away)
			fprintf(to, "  %-48s  # resets the link for %s%s\n", c->run,
				*c->away >= '0' && *c->away <= '9' ? "about " : "", c->away);
		else
			fprintf(to, "  %s\n", c->run);
	}
	if (resets)
		fprintf(to,
			"warning: %zu of these reset%s the link: take the node out of service first (drain, withdraw its route)\n",
			resets, resets == 1 ? "s" : "");
	if (r->again)
		fprintf(to,
			"afterwards run plan again: new channels have new interrupts and queues, which are not known before\n");
	if (*r->refused)
		fprintf(to, "apply would refuse: %s\n", r->refused);
}

static void known(FILE *to, const char *what, unsigned kernel)
{
	if (kernel)
		fprintf(to, "  %-10s kernel %u.%u\n", what, kernel / 1000, kernel % 1000);
	else
		fprintf(to, "  %-10s no\n", what);
}

static void resets_text(const struct tune_driver *d, char *out, size_t size)
{
	static const char *const what[] = { "first attach", "channels", "rings", "offloads", "MTU", "pause" };
	size_t at = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < sizeof(what) / sizeof(what[0]) && at < size; i++)
		if (d->resets >> i & 1)
			at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", what[i]);
}

void tune_print_drivers(FILE *to)
{
	char resets[128];

	for (size_t i = 0; i < tune_drivers_n; i++) {
		const struct tune_driver *d = &tune_drivers[i];

		resets_text(d, resets, sizeof(resets));
		fprintf(to, "%s: %s\n", d->name, d->hardware);
		known(to, "native", d->native);
		known(to, "frags", d->frags);
		if (d->mtu == TUNE_ABSENT)
			fprintf(to, "  %-10s that of the slaves\n", "mtu");
		else
			fprintf(to, "  %-10s %ld without frags\n", "mtu", d->mtu);
		fprintf(to, "  %-10s %s\n  %-10s %s\n", "queues", d->queues, "attach", d->attach);
		fprintf(to, "  %-10s %s%s%s\n", "resets by", *resets ? resets : "nothing", *resets ? ": about " : "",
			*resets ? d->away : "");
		fprintf(to, "  %-10s %s\n", "besides", d->other);
	}
}

/* ---- JSON ---- */

static json_t *finding_json(const struct tune_finding *f)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "check", f->check, "verdict",
			 tune_verdict_word(f->verdict), "now", f->now, "wanted", f->wanted, "why", f->why, "seen",
			 f->seen);
}

static json_t *change_json(const struct tune_change *c, const struct tune_wants *wants)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:s*}", "check", c->check, "run", c->run, "undo", c->undo, "left_out",
			 !tune_change_wanted(c, wants), "resets_link_for", c->away);
}

static int write_json(FILE *to, json_t *doc)
{
	int err = !doc || json_dumpf(doc, to, JSON_INDENT(2)) ? -ENOMEM : 0;

	json_decref(doc);
	fputc('\n', to);
	return err;
}

int tune_json_report(FILE *to, const struct tune_facts *f, const struct tune_report *r,
		     const struct tune_wants *wants)
{
	json_t *findings = json_array(), *changes = json_array(), *doc;

	for (size_t i = 0; i < r->findings_n; i++)
		json_array_append_new(findings, finding_json(&r->findings[i]));
	for (size_t i = 0; i < r->changes_n; i++)
		json_array_append_new(changes, change_json(&r->changes[i], wants));
	doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:s}", "interface", f->ifname, "driver", f->driver,
			"version", f->version, "firmware", f->firmware, "kernel", f->kernel, "findings", findings,
			"changes", changes, "plan_again", r->again, "refused", r->refused);
	return write_json(to, doc);
}

static json_t *kernel_json(unsigned kernel)
{
	char text[16];

	if (!kernel)
		return json_null();
	snprintf(text, sizeof(text), "%u.%u", kernel / 1000, kernel % 1000);
	return json_string(text);
}

int tune_json_drivers(FILE *to)
{
	json_t *all = json_array();
	char resets[128];

	for (size_t i = 0; i < tune_drivers_n; i++) {
		const struct tune_driver *d = &tune_drivers[i];

		resets_text(d, resets, sizeof(resets));
		json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:s}", "driver",
						     d->name, "hardware", d->hardware, "native_since",
						     kernel_json(d->native), "frags_since", kernel_json(d->frags),
						     "mtu_without_frags",
						     d->mtu == TUNE_ABSENT ? json_null() : json_integer(d->mtu),
						     "queues", d->queues, "attach", d->attach, "reset_by", resets,
						     "reset_for", d->away, "besides", d->other));
	}
	return write_json(to, all);
}
