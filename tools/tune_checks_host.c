/* SPDX-License-Identifier: BSD-2-Clause */
/* What the host does with the card's queues: interrupts, steering in software, NAPI, sysctls, clocks. */
#include <string.h>

#include "tools/tune_checks.h"

#define FLUSH_NS "20000" /* with DEFER: polls on for at most 200 us before the interrupt is armed again */
#define DEFER "10"

/* The worker's core of a queue */
static unsigned core_of(const struct judge *j, unsigned queue)
{
	return tune_cpus_nth(&j->f->cores, queue);
}

/* New channels have new interrupts: their numbers are known only then */
static int waits_for_channels(struct judge *j, struct tune_finding *f)
{
	if (!j->channels_change)
		return 0;
	f->verdict = TUNE_WARN;
	SAY(f->why, "ethtool -L makes the queues anew: to be planned once more after it");
	j->report->again = 1;
	return 1;
}

void tune_check_irqbalance(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "irqbalance");
	int runs = j->f->irqbalance != TUNE_ABSENT;

	SAY(f->seen, "/proc/*/comm");
	SAY(f->wanted, "not running");
	SAY(f->now, runs ? "process %ld" : "not running", j->f->irqbalance);
	SAY(f->why, "%s",
	    runs ? "moves interrupts away from their workers again" : "interrupts stay where they are put");
	if (!runs || !j->f->irqs_n) {
		if (runs)
			SAY(f->why, "this interface has no interrupts of its own to move");
		return;
	}
	f->verdict = TUNE_WARN;
	judge_change(j, f, 0, judge_text(j, "systemctl stop irqbalance.service"),
		     judge_text(j, "systemctl start irqbalance.service"));
}

/* Interrupts of queues that are in use: virtio keeps those of all it could have */
static int in_use(const struct judge *j, const struct tune_irq *irq)
{
	long now = j->f->combined.now > 0 ? j->f->combined.now : j->f->rx.now;

	return now <= 0 || irq->queue < (unsigned long)now;
}

static int on_its_core(const struct judge *j, const struct tune_irq *irq, char want[16])
{
	snprintf(want, 16, "%u", core_of(j, irq->queue));
	return !strcmp(want, irq->affinity);
}

void tune_check_irq_affinity(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "irq-affinity");
	unsigned right = 0, n = 0;
	char path[64], want[16];

	SAY(f->seen, "/proc/interrupts, /proc/irq/*/smp_affinity_list");
	SAY(f->wanted, "1:1 with cores");
	if (!j->f->irqs_n) {
		SAY(f->now, "no interrupts");
		if (j->driver && j->driver->irq && waits_for_channels(j, f))
			return;
		SAY(f->why, "%s",
		    j->driver && j->driver->irq ? "none of that name: is the interface up?"
						: "this kind of interface has none");
		return;
	}
	for (unsigned i = 0; i < j->f->irqs_n; i++) {
		n += (unsigned)in_use(j, &j->f->irqs[i]);
		right += in_use(j, &j->f->irqs[i]) && on_its_core(j, &j->f->irqs[i], want);
	}
	SAY(f->now, "%u of %u on their core", right, n);
	SAY(f->why, "packets and session on one core");
	if (waits_for_channels(j, f) || right == n)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "an interrupt on another core than the worker's carries every packet across caches, or sockets");
	for (unsigned i = 0; i < j->f->irqs_n; i++) {
		const struct tune_irq *irq = &j->f->irqs[i];
		struct tune_change *c = NULL;

		snprintf(path, sizeof(path), "proc/irq/%u/smp_affinity_list", irq->irq);
		if (in_use(j, irq) && !on_its_core(j, irq, want) && *irq->affinity)
			c = judge_write(j, f, path, want, irq->affinity);
		if (c)
			c->needs = "irqbalance"; /* which would move it again */
	}
}

void tune_check_rps(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "rps");
	char path[96], before[TUNE_CPUS / 3];
	unsigned set = 0;

	for (unsigned i = 0; i < j->f->rps_n; i++)
		set += tune_cpus_count(&j->f->rps[i]) > 0;
	SAY(f->seen, "/sys/class/net/%s/queues/rx-*/rps_cpus", j->f->ifname);
	SAY(f->now, set ? "on %u of %u queues" : "off", set, j->f->rps_n);
	SAY(f->wanted, "off");
	SAY(f->why, "the card spreads");
	if (!set)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "hands packets to other cores after XDP has seen them: the worker is then on the wrong one");
	for (unsigned i = 0; i < j->f->rps_n; i++) {
		snprintf(path, sizeof(path), "sys/class/net/%s/queues/rx-%u/rps_cpus", j->f->ifname, i);
		if (tune_cpus_count(&j->f->rps[i]))
			judge_write(j, f, path, "0", tune_cpus_mask_text(&j->f->rps[i], before, sizeof(before)));
	}
}

void tune_check_xps(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "xps");
	unsigned n = j->queues && j->queues < j->f->xps_n ? j->queues : j->f->xps_n, right = 0;
	char path[96], want_text[TUNE_CPUS / 3], before[TUNE_CPUS / 3];

	SAY(f->seen, "/sys/class/net/%s/queues/tx-*/xps_cpus", j->f->ifname);
	SAY(f->wanted, "1:1 with cores");
	if (!n || (j->driver && j->driver->rule == TUNE_QUEUES_SLAVES)) {
		SAY(f->now, "not offered");
		SAY(f->why, "%s", n ? "those of the slaves" : "one transmit queue");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct tune_cpus want = { { 0 } };

		tune_cpus_add(&want, core_of(j, i));
		right += tune_cpus_equal(&want, &j->f->xps[i]);
	}
	SAY(f->now, "%u of %u on their core", right, n);
	SAY(f->why, "a worker sends by its own queue");
	if (waits_for_channels(j, f) || right == n)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "workers take one another's transmit queues and their locks");
	for (unsigned i = 0; i < n; i++) {
		struct tune_cpus want = { { 0 } };

		tune_cpus_add(&want, core_of(j, i));
		snprintf(path, sizeof(path), "sys/class/net/%s/queues/tx-%u/xps_cpus", j->f->ifname, i);
		if (!tune_cpus_equal(&want, &j->f->xps[i]))
			judge_write(j, f, path, tune_cpus_mask_text(&want, want_text, sizeof(want_text)),
				    tune_cpus_mask_text(&j->f->xps[i], before, sizeof(before)));
	}
}

void tune_check_napi(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "napi");
	long flush = j->f->gro_flush_timeout, defer = j->f->napi_defer_hard_irqs;
	char path[96], before[24];

	SAY(f->seen, "/sys/class/net/%s/gro_flush_timeout, napi_defer_hard_irqs", j->f->ifname);
	SAY(f->wanted, "flush " FLUSH_NS ", defer " DEFER);
	if (flush == TUNE_ABSENT || defer == TUNE_ABSENT || !j->f->irqs_n) {
		SAY(f->now, flush == TUNE_ABSENT ? "not offered" : "flush %ld, defer %ld", flush, defer);
		SAY(f->why, "no interrupts to put off");
		return;
	}
	SAY(f->now, "flush %ld, defer %ld", flush, defer);
	SAY(f->why, "the core polls on before it arms the interrupt again");
	if (flush > 0 && defer > 0)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "%s",
	    !flush != !defer ? "one without the other does nothing"
			     : "arming interrupts again and again costs up to a fifth on cards of many queues");
	if (!flush) {
		snprintf(path, sizeof(path), "sys/class/net/%s/gro_flush_timeout", j->f->ifname);
		judge_write(j, f, path, FLUSH_NS, "0");
	}
	if (!defer) {
		snprintf(path, sizeof(path), "sys/class/net/%s/napi_defer_hard_irqs", j->f->ifname);
		snprintf(before, sizeof(before), "%ld", defer);
		judge_write(j, f, path, DEFER, before);
	}
}

/* tcp_syncookies and tcp_timestamps belong to syn-protect, which journals its own changes. */
const struct tune_sysctl tune_sysctls[] = {
	{ "net.core.somaxconn", "proc/sys/net/core/somaxconn", 1, 65535,
	  "cuts every listener's queue of new connections to this" },
	{ "net.ipv4.tcp_max_syn_backlog", "proc/sys/net/ipv4/tcp_max_syn_backlog", 1, 65536,
	  "half-open connections before SYNs are dropped" },
	{ "net.ipv4.tcp_abort_on_overflow", "proc/sys/net/ipv4/tcp_abort_on_overflow", 0, 0,
	  "a full queue would reset a sender that would have waited" },
	{ "net.ipv4.tcp_migrate_req", "proc/sys/net/ipv4/tcp_migrate_req", 0, 1,
	  "waiting connections move on when the daemon is replaced; set before it starts" },
	{ "net.core.netdev_budget", "proc/sys/net/core/netdev_budget", 1, 600,
	  "packets a core takes in one round before it yields" },
	{ "net.core.bpf_jit_enable", "proc/sys/net/core/bpf_jit_enable", 1, 1,
	  "the front interpreted is many times slower" },
	{ "kernel.unprivileged_bpf_disabled", "proc/sys/kernel/unprivileged_bpf_disabled", 1, 2,
	  "only root shall load programs beside the front" },
};
const size_t tune_sysctls_n = sizeof(tune_sysctls) / sizeof(tune_sysctls[0]);

/* 1 locks it until the next start (kernel documentation, sysctl/kernel.rst) and is as good as 2 */
static int sysctl_fine(const struct tune_sysctl *s, long now)
{
	if (!strcmp(s->name, "kernel.unprivileged_bpf_disabled"))
		return now > 0;
	return s->least ? now >= s->wanted : now == s->wanted;
}

void tune_check_sysctls(struct judge *j)
{
	for (size_t i = 0; i < tune_sysctls_n; i++) {
		const struct tune_sysctl *s = &tune_sysctls[i];
		struct tune_finding *f = judge_finding(j, s->name);
		long now = j->f->sysctl[i];
		char want[24], before[24];

		snprintf(want, sizeof(want), "%ld", s->wanted);
		snprintf(before, sizeof(before), "%ld", now);
		SAY(f->seen, "/%s", s->path);
		SAY(f->wanted, "%s%s", s->least ? ">= " : "", want);
		SAY(f->now, "%s", now == TUNE_ABSENT ? "not here" : before);
		SAY(f->why, "%s", s->why);
		if (now == TUNE_ABSENT || sysctl_fine(s, now))
			continue;
		f->verdict = TUNE_WARN;
		judge_write(j, f, s->path, want, before);
	}
}

void tune_check_governor(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "governor");
	unsigned n = 0, slow = 0;
	const char *name = NULL;
	char path[96];

	SAY(f->seen, "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
	SAY(f->wanted, "performance");
	for (unsigned cpu = 0; cpu < TUNE_CPUS; cpu++) {
		int bad = *j->f->governor[cpu] && strcmp(j->f->governor[cpu], "performance");

		n += *j->f->governor[cpu] != '\0';
		slow += bad;
		name = bad ? j->f->governor[cpu] : name;
	}
	SAY(f->now, !n ? "no cpufreq" : slow ? "%.15s on %u of %u" : "performance", name ? name : "", slow, n);
	SAY(f->why, "%s", n ? "cores run at their clock" : "the hypervisor or the firmware decides");
	if (!slow)
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "a core that was idle begins a flood at a low clock");
	for (unsigned cpu = 0; cpu < TUNE_CPUS; cpu++) {
		snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
		if (*j->f->governor[cpu] && strcmp(j->f->governor[cpu], "performance"))
			judge_write(j, f, path, "performance", j->f->governor[cpu]);
	}
}
