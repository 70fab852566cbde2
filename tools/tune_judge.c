/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "tools/tune_checks.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the plan: what resets the link goes before what a reset would undo; RPS before channels, since a queue
 * that goes away has none to switch off, and undo sets it once the queue is there again. */
static void (*const checks[])(struct judge *j) = {
	tune_check_driver,       tune_check_firmware,     tune_check_xdp,          tune_check_mtu,
	tune_check_offloads,     tune_check_vlan,         tune_check_pause,        tune_check_rules,
	tune_check_rss_table,    tune_check_rps,          tune_check_channels,     tune_check_xdp_queues,
	tune_check_rings,        tune_check_coalescing,   tune_check_rss_hash,     tune_check_irqbalance,
	tune_check_irq_affinity, tune_check_xps,          tune_check_napi,         tune_check_sysctls,
	tune_check_governor,
};

static struct tune_finding spare;

static void *grown(void *at, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 32;
	void *now = n < *room ? at : realloc(at, more * size);

	if (now && n >= *room)
		*room = more;
	return now;
}

struct tune_finding *judge_finding(struct judge *j, const char *check)
{
	struct tune_report *r = j->report;
	struct tune_finding *all = grown(r->findings, r->findings_n, &r->findings_room, sizeof(*all)),
			    *finding = &spare;

	if (all) {
		r->findings = all;
		finding = &all[r->findings_n++];
	} else {
		j->no_memory = 1;
	}
	memset(finding, 0, sizeof(*finding));
	finding->check = check;
	return finding;
}

struct tune_change *judge_change(struct judge *j, const struct tune_finding *finding, unsigned by, char *run,
				 char *undo)
{
	struct tune_report *r = j->report;
	struct tune_change *all = grown(r->changes, r->changes_n, &r->changes_room, sizeof(*all)), *c;

	if (all)
		r->changes = all;
	if (!all || !run || !undo) {
		j->no_memory = 1;
		free(run);
		free(undo);
		return NULL;
	}
	c = &all[r->changes_n++];
	*c = (struct tune_change){ .check = finding->check, .run = run, .undo = undo };
	if (by && !j->driver)
		c->away = "an unknown time";
	else if (by && (j->driver->resets & by))
		c->away = j->driver->away;
	return c;
}

char *judge_text(struct judge *j, const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0) {
		text = NULL;
		j->no_memory = 1;
	}
	va_end(ap);
	return text;
}

struct tune_change *judge_write(struct judge *j, const struct tune_finding *finding, const char *path,
				const char *value, const char *before)
{
	return judge_change(j, finding, 0, judge_text(j, "echo %s >/%s", value, path),
			    judge_text(j, "echo %s >/%s", before, path));
}

/* What apply would not touch, and why.  Some drivers offer XDP only while channels are right (ena, veth since 6.3): a
 * change of channels is then the way out of generic mode. */
static void refuse(struct judge *j)
{
	struct tune_report *r = j->report;

	if (!j->f->has_ethtool)
		SAY(r->refused, "`ethtool -i %s` does not answer: what it would change could not be taken back",
		    j->f->ifname);
	else if (!j->driver)
		SAY(r->refused,
		    "driver %s is not known: what it does on a change, and whether undo restores it, is not known either",
		    j->f->driver);
	else if (j->driver->rule == TUNE_QUEUES_SLAVES)
		SAY(r->refused, "%s is a bond: tune its slaves (%s), one after the other", j->f->ifname,
		    *j->f->bond_slaves ? j->f->bond_slaves : "none");
	else if (r->generic && !j->wants->allow_generic && !(j->channels_change && j->f->xdp_mode == TUNE_XDP_NONE))
		SAY(r->refused,
		    "the front runs in generic mode on %s, which is for tests only (--allow-generic to go on)",
		    j->f->ifname);
}

struct tune_report *tune_judge(const struct tune_facts *facts, const struct tune_wants *wants)
{
	struct judge j = { .f = facts, .wants = wants, .driver = tune_driver_find(facts->driver) };

	j.report = calloc(1, sizeof(*j.report));
	if (!j.report)
		return NULL;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&j);
	refuse(&j);
	if (j.no_memory) {
		tune_report_free(j.report);
		return NULL;
	}
	return j.report;
}

void tune_report_free(struct tune_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->changes_n; i++) {
		free(r->changes[i].run);
		free(r->changes[i].undo);
	}
	free(r->changes);
	free(r->findings);
	free(r);
}

const struct tune_finding *tune_report_find(const struct tune_report *r, const char *check)
{
	for (size_t i = 0; i < r->findings_n; i++)
		if (!strcmp(r->findings[i].check, check))
			return &r->findings[i];
	return NULL;
}

int tune_change_wanted(const struct tune_change *change, const struct tune_wants *wants)
{
	return !change->needs_mtu || wants->allow_mtu;
}

const char *tune_verdict_word(enum tune_verdict verdict)
{
	static const char *const words[] = { [TUNE_OK] = "ok", [TUNE_WARN] = "warn", [TUNE_FAIL] = "fail" };

	return words[verdict];
}
