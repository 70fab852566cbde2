/* SPDX-License-Identifier: BSD-2-Clause */
/* The card's queues: rules for port 25, the indirection table, channels, rings, coalescing, the hash. */
#include <string.h>

#include "tools/tune_checks.h"

#define RING_LEAST 1024
#define RING_MOST 4096
#define RING_LESS 2048 /* what a ring above RING_MOST is brought down to */
#define USECS_WANTED 30
#define USECS_LEAST 10
#define USECS_MOST 100

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* ---- ntuple rules ---- */

/* A rule that compares the source is the operator's own list, and no fault */
static const char *rule_fault(const struct tune_rule *r, const struct judge *j)
{
	if (!r->tcp || r->port != 25 || r->port_mask == 0xffff || !r->any_source)
		return NULL;
	if (r->drops)
		return "drops port 25 in the card";
	if (r->context == TUNE_ABSENT && r->queue >= 0 && (j->f->combined.now > 1 || j->f->rx.now > 1))
		return "sends all of port 25 to one queue, so to one core";
	return NULL;
}

static void rule_found(struct judge *j, struct tune_finding *f, const struct tune_rule *r, const char *fault)
{
	size_t at = strlen(f->why);

	snprintf(f->why + at, sizeof(f->why) - at, "%srule %u %s%s", at ? "; " : "", r->id, fault,
		 r->simple ? "" : " (compares more than the port, which could not be put back: by hand)");
	if (r->drops || f->verdict == TUNE_OK)
		f->verdict = r->drops ? TUNE_FAIL : TUNE_WARN;
	if (r->simple)
		judge_change(j, f, 0, judge_text(j, "ethtool -N %s delete %u", j->f->ifname, r->id),
			     judge_text(j, "ethtool -N %s flow-type %s dst-port 25 action %ld loc %u", j->f->ifname,
					r->v6 ? "tcp6" : "tcp4", r->drops ? -1L : r->queue, r->id));
}

void tune_check_rules(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "ntuple");
	unsigned n = 0;

	SAY(f->seen, "ethtool -n %s", j->f->ifname);
	SAY(f->wanted, "port 25 by RSS");
	for (unsigned i = 0; i < j->f->rules_n; i++) {
		const char *fault = rule_fault(&j->f->rules[i], j);

		if (fault)
			rule_found(j, f, &j->f->rules[i], fault);
		n += fault != NULL;
	}
	SAY(f->now, "%u rules, %u against port 25", j->f->rules_n, n);
	if (!n)
		SAY(f->why, "%s",
		    j->f->rules_n ? "no rule pins port 25 to one queue"
				  : "no rules: RSS spreads port 25 over all queues");
}

/* ---- indirection table ---- */

/* What makes this table with `ethtool -X`, the only words there are: "default", "start S equal N", "weight …".
 * 0: there are none. */
static int table_words(const struct tune_facts *f, char *out, size_t size)
{
	unsigned lowest = f->rss[0], most = 0, at = 0, round = 1;

	for (unsigned i = 0; i < f->rss_n; i++)
		most = f->rss[i] > most ? f->rss[i] : most;
	for (unsigned i = 0; i < f->rss_n && round; i++)
		round = f->rss[i] == lowest + i % (most - lowest + 1);
	if (round && !lowest && most + 1 == f->rss_rings)
		return snprintf(out, size, "default"), 1;
	if (round)
		return snprintf(out, size, "start %u equal %u", lowest, most - lowest + 1), 1;
	for (unsigned i = 1; i < f->rss_n; i++)
		if (f->rss[i] < f->rss[i - 1])
			return 0;
	/* blocks in order: a weight a queue, their sum the table's size (fill_indir_table() of ethtool.c) */
	at = (unsigned)snprintf(out, size, "weight");
	for (unsigned queue = 0, i = 0; queue <= most && at < size; queue++) {
		unsigned n = 0;

		for (; i < f->rss_n && f->rss[i] == queue; i++)
			n++;
		at += (unsigned)snprintf(out + at, size - at, " %u", n);
	}
	return at < size;
}

static unsigned table_uneven(const struct tune_facts *f)
{
	unsigned share[TUNE_QUEUES] = { 0 }, low = ~0u, high = 0;

	for (unsigned i = 0; i < f->rss_n; i++)
		if (f->rss[i] < TUNE_QUEUES)
			share[f->rss[i]]++;
	for (unsigned q = 0; q < f->rss_rings && q < TUNE_QUEUES; q++) {
		low = share[q] < low ? share[q] : low;
		high = share[q] > high ? share[q] : high;
	}
	return f->rss_n && high - low > 1;
}

void tune_check_rss_table(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "rss-table");
	char words[1024];
	unsigned used = 0;

	SAY(f->seen, "ethtool -x %s", j->f->ifname);
	SAY(f->wanted, "even");
	if (!j->f->rss_n) {
		SAY(f->now, "not offered");
		SAY(f->why, "the driver spreads by a rule of its own");
		return;
	}
	for (unsigned i = 0; i < j->f->rss_n; i++)
		used = j->f->rss[i] + 1u > used ? j->f->rss[i] + 1u : used;
	SAY(f->now, "%u entries, queues up to %u of %u%s", j->f->rss_n, used - 1, j->f->rss_rings,
	    table_uneven(j->f) ? ", uneven" : "");
	SAY(f->why, "every queue gets its share");
	if (!table_uneven(j->f))
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "some queues get more connections than others, or none");
	if (table_words(j->f, words, sizeof(words)))
		judge_change(j, f, 0, judge_text(j, "ethtool -X %s default", j->f->ifname),
			     judge_text(j, "ethtool -X %s %s", j->f->ifname, words));
	else
		SAY(f->why,
		    "some queues get more connections than others; ethtool has no words that would put this table back: by hand");
}

/* ---- channels ---- */

static int combined(const struct tune_facts *f)
{
	return f->combined.max > 0;
}

/* A card that could combine them, and has them apart */
static int separate(const struct tune_facts *f)
{
	return combined(f) && f->combined.now == 0 && f->rx.now > 0;
}

static void channels_now(const struct judge *j, char *out, size_t size)
{
	if (separate(j->f))
		snprintf(out, size, "%ld rx, %ld tx", j->f->rx.now, j->f->tx.now);
	else if (combined(j->f))
		snprintf(out, size, "%ld combined", j->f->combined.now);
	else
		snprintf(out, size, "%ld rx", j->f->rx.now);
}

/* How many there shall be; 0: not to be said */
static unsigned channels_wanted(const struct judge *j, long max, long now)
{
	unsigned want = j->wants->workers ? j->wants->workers : tune_cpus_count(&j->f->cores);

	if (max <= 0 || !want || !j->driver)
		return 0;
	switch (j->driver->rule) {
	case TUNE_QUEUES_HALF: return least(want, max > 1 ? (unsigned)max / 2 : 1);
	case TUNE_QUEUES_PEER: /* below the peer's transmit queues the kernel takes XDP away (veth_set_xdp_features) */
		return (unsigned)(j->f->xdp_features_known && !j->f->xdp_features ? max : now);
	default: return least(want, (unsigned)max);
	}
}

static const char *channels_source(const struct judge *j)
{
	if (j->driver->rule == TUNE_QUEUES_PEER)
		return "the peer's";
	if (j->wants->workers)
		return "--workers";
	return j->f->numa >= 0 ? "cores of its node" : "cores";
}

static const char *channels_fault(const struct judge *j, long now)
{
	if (separate(j->f))
		return "receive and transmit channels are apart: the driver wants them combined for XDP";
	if (j->driver->rule == TUNE_QUEUES_PEER)
		return "the peer sends on more queues than are received on here";
	return now > j->queues ? "a queue without a core of its own near the card wakes one far away or shares one"
			       : "cores near the card without a queue see no packets";
}

void tune_check_channels(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "channels");
	const struct tune_facts *t = j->f;
	long max = combined(t) ? t->combined.max : t->rx.max, now = combined(t) ? t->combined.now : t->rx.now;
	char list[48];

	SAY(f->seen, "ethtool -l %s: at most %ld; %u cores near the card: %s", t->ifname, max < 0 ? 0 : max,
	    tune_cpus_count(&t->cores), tune_cpus_text(&t->cores, list, sizeof(list)));
	j->queues = channels_wanted(j, max, now);
	if (!j->queues) {
		SAY(f->now, "not offered");
		SAY(f->why, "%s",
		    j->driver && j->driver->rule == TUNE_QUEUES_SLAVES
			    ? "those of the slaves"
			    : "one queue, or a number that is not to be changed");
		return;
	}
	channels_now(j, f->now, sizeof(f->now));
	SAY(f->wanted, "%u (%s)", j->queues, channels_source(j));
	SAY(f->why, "a queue a core");
	if (now == j->queues)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "%s", channels_fault(j, now));
	j->channels_change = 1;
	if (separate(t))
		judge_change(
			j, f, TUNE_BY_CHANNELS,
			judge_text(j, "ethtool -L %s rx 0 tx 0 combined %u", t->ifname, j->queues),
			judge_text(j, "ethtool -L %s rx %ld tx %ld combined 0", t->ifname, t->rx.now, t->tx.now));
	else
		judge_change(
			j, f, TUNE_BY_CHANNELS,
			judge_text(j, "ethtool -L %s %s %u", t->ifname, combined(t) ? "combined" : "rx", j->queues),
			judge_text(j, "ethtool -L %s %s %ld", t->ifname, combined(t) ? "combined" : "rx", now));
}

/* What the driver's rule says of this card; NULL: it is kept */
static const char *rule_broken(const struct judge *j, enum tune_verdict *verdict)
{
	unsigned cpus = tune_cpus_count(&j->f->online);
	long max = j->f->combined.max;

	*verdict = TUNE_WARN;
	switch (j->driver->rule) {
	case TUNE_QUEUES_CPUS_64:
		if (cpus > 128)
			*verdict = TUNE_FAIL;
		return cpus > 128  ? "more than 128 CPUs: attaching answers ENOMEM"
		       : cpus > 64 ? "more than 64 CPUs: XDP_TX shares rings behind a lock"
				   : NULL;
	case TUNE_QUEUES_CPUS_HALF:
		if (max > 0 && max < (long)cpus / 2) {
			*verdict = TUNE_FAIL;
			return "fewer transmit queues than half the CPUs: attaching answers ENOMEM";
		}
		return max > 0 && max < (long)cpus ? "fewer transmit queues than CPUs: XDP_TX goes behind a lock"
						   : NULL;
	case TUNE_QUEUES_HALF:
		if (max > 0 && j->f->combined.now > max / 2)
			*verdict = TUNE_FAIL;
		return max > 0 && j->f->combined.now > max / 2
			       ? "more than half of the channels in use: attaching is refused"
			       : NULL;
	case TUNE_QUEUES_COMBINED:
		if (max > 0 && j->f->combined.now == 0)
			*verdict = TUNE_FAIL;
		return max > 0 && j->f->combined.now == 0 ? "channels are not combined: attaching answers EOPNOTSUPP"
		       : max > 0 && 2 * (long)j->queues > max ? "not enough transmit rings for one more a channel"
							      : NULL;
	case TUNE_QUEUES_SPARE:
		return max > 0 && max < j->f->combined.now + (long)cpus
			       ? "the host gives no spare queue pair a CPU: XDP_TX goes behind a lock"
			       : NULL;
	case TUNE_QUEUES_PEER:
		*verdict = TUNE_FAIL;
		return j->f->xdp_features_known && !j->f->xdp_features
			       ? "fewer receive queues than the peer has transmit queues: attaching answers ENOSPC"
			       : NULL;
	case TUNE_QUEUES_OWN:
	case TUNE_QUEUES_SLAVES: break;
	}
	return NULL;
}

void tune_check_xdp_queues(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "xdp-queues");
	const char *broken;
	enum tune_verdict verdict;

	SAY(f->seen, "ethtool -l %s; %u CPUs", j->f->ifname, tune_cpus_count(&j->f->online));
	if (!j->driver) {
		SAY(f->now, "not known");
		return;
	}
	SAY(f->wanted, "enough");
	SAY(f->why, "%s", j->driver->queues);
	broken = rule_broken(j, &verdict);
	SAY(f->now, "%s", broken ? "short" : "enough");
	if (broken) {
		f->verdict = verdict;
		SAY(f->why, "%s", broken);
	}
}

/* ---- rings, coalescing ---- */

void tune_check_rings(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "rings");
	long now = j->f->ring_rx.now, max = j->f->ring_rx.max, less = j->driver ? j->driver->ring_less : 0;
	long low = RING_LEAST - less, high = RING_MOST, want;

	SAY(f->seen, "ethtool -g %s: at most %ld", j->f->ifname, max);
	SAY(f->wanted, "rx %ld to %ld", low, high);
	if (now <= 0 || max <= 0) {
		SAY(f->seen, "ethtool -g %s", j->f->ifname);
		SAY(f->now, "not offered");
		SAY(f->why, "the driver has no rings to size");
		return;
	}
	SAY(f->now, "rx %ld", now);
	SAY(f->why, "takes a burst and stays in the cache");
	if (now >= low && now <= high)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "%s",
	    now < low ? "a burst of SYNs overruns a small ring (rx_missed, rx_no_buffer, rx_out_of_buffer)"
		      : "a large ring does not stay in the cache");
	want = now < low ? (low < max ? low : max) : RING_LESS - less;
	if (want == now || (j->driver && (j->driver->flags & TUNE_HOST_SETS))) {
		strncat(f->why, "; set on the host (rx_queue_size)", sizeof(f->why) - strlen(f->why) - 1);
		return;
	}
	judge_change(j, f, TUNE_BY_RINGS, judge_text(j, "ethtool -G %s rx %ld", j->f->ifname, want),
		     judge_text(j, "ethtool -G %s rx %ld", j->f->ifname, now));
}

void tune_check_coalescing(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "coalescing");
	unsigned flags = j->driver ? j->driver->flags : TUNE_HOST_SETS;
	long usecs = j->f->rx_usecs;
	int adaptive = j->f->adaptive_rx == 1 || ((flags & TUNE_ADAPTIVE_IS_1) && usecs == 1);

	SAY(f->seen, "ethtool -c %s", j->f->ifname);
	SAY(f->wanted, "adaptive, or %d to %d us", USECS_LEAST, USECS_MOST);
	if (usecs == TUNE_ABSENT || (flags & TUNE_HOST_SETS)) {
		SAY(f->now, "not offered");
		SAY(f->why, "the driver or the host decides");
		return;
	}
	SAY(f->now, adaptive ? "adaptive" : "rx-usecs %ld", usecs);
	SAY(f->why, "few interrupts in a flood, little wait at rest");
	if (adaptive || (usecs >= USECS_LEAST && usecs <= USECS_MOST))
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "%s",
	    usecs < USECS_LEAST ? "an interrupt for almost every packet: a flood is fought with interrupts"
				: "every first packet waits so long");
	judge_change(j, f, 0, judge_text(j, "ethtool -C %s rx-usecs %d", j->f->ifname, USECS_WANTED),
		     judge_text(j, "ethtool -C %s rx-usecs %ld", j->f->ifname, usecs));
}

/* ---- hash ---- */

static void one_hash(struct judge *j, const char *check, const char *flow, const char *fields)
{
	struct tune_finding *f = judge_finding(j, check);

	SAY(f->seen, "ethtool -n %s rx-flow-hash %s", j->f->ifname, flow);
	SAY(f->wanted, "sdfn");
	if (!*fields) {
		SAY(f->now, "not told");
		SAY(f->why, "the driver's own; most hash addresses and ports");
		return;
	}
	SAY(f->now, "%s", fields);
	SAY(f->why, "addresses and ports: one busy peer spreads over all queues");
	if (strchr(fields, 'f') && strchr(fields, 'n') && strchr(fields, 's') && strchr(fields, 'd'))
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "all connections of one peer land on one queue, so on one core");
	judge_change(j, f, 0, judge_text(j, "ethtool -N %s rx-flow-hash %s sdfn", j->f->ifname, flow),
		     judge_text(j, "ethtool -N %s rx-flow-hash %s %s", j->f->ifname, flow, fields));
}

void tune_check_rss_hash(struct judge *j)
{
	one_hash(j, "rss-hash-tcp4", "tcp4", j->f->hash4);
	one_hash(j, "rss-hash-tcp6", "tcp6", j->f->hash6);
}
