/* SPDX-License-Identifier: BSD-2-Clause */
/* Which files and commands hold which fact.  What each says is read in tune_parse.c. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tune_parse.h"
#include "tools/tune_source.h"

static char *file(struct tune_source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static char *file(struct tune_source *s, const char *format, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	return tune_source_file(s, path);
}

/* A number alone in a file; free()s the text */
static long file_number(char *text)
{
	char *end;
	long n = text ? strtol(text, &end, 10) : TUNE_ABSENT;

	if (text && end == text)
		n = TUNE_ABSENT;
	free(text);
	return n;
}

static const struct {
	const char *command; /* %s: the interface */
	void (*parse)(struct tune_facts *f, const char *text);
} replies[] = {
	{ "ethtool -i %s", tune_parse_driver },
	{ "ethtool -k %s", tune_parse_features },
	{ "ethtool -l %s", tune_parse_channels },
	{ "ethtool -g %s", tune_parse_rings },
	{ "ethtool -c %s", tune_parse_coalesce },
	{ "ethtool -a %s", tune_parse_pause },
	{ "ethtool -x %s", tune_parse_rss },
	{ "ethtool -n %s", tune_parse_rules },
	{ "ethtool --show-priv-flags %s", tune_parse_flags },
};

static void read_replies(struct tune_source *s, struct tune_facts *f)
{
	static const struct {
		const char *flow;
		size_t at;
	} hashes[] = { { "tcp4", offsetof(struct tune_facts, hash4) },
		       { "tcp6", offsetof(struct tune_facts, hash6) } };
	char command[96], *text;

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		snprintf(command, sizeof(command), replies[i].command, f->ifname);
		text = tune_source_run(s, command);
		if (text)
			replies[i].parse(f, text);
		free(text);
	}
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		snprintf(command, sizeof(command), "ethtool -n %s rx-flow-hash %s", f->ifname, hashes[i].flow);
		text = tune_source_run(s, command);
		if (text)
			tune_parse_hash((char *)f + hashes[i].at, sizeof(f->hash4), text);
		free(text);
	}
}

/* Online CPUs, those near the card, and one thread of each core of them */
static void read_cpus(struct tune_source *s, struct tune_facts *f)
{
	char *text = file(s, "sys/devices/system/cpu/online");
	struct tune_cpus near, siblings;

	if (text)
		tune_cpus_list(&f->online, text);
	free(text);
	f->numa = file_number(file(s, "sys/class/net/%s/device/numa_node", f->ifname));
	f->local = f->online;
	text = f->numa >= 0 ? file(s, "sys/devices/system/node/node%ld/cpulist", f->numa) : NULL;
	if (text && !tune_cpus_list(&near, text))
		for (size_t i = 0; i < sizeof(near.bits) / sizeof(near.bits[0]); i++)
			f->local.bits[i] = near.bits[i] & f->online.bits[i];
	free(text);
	for (unsigned cpu = 0; cpu < TUNE_CPUS; cpu++) {
		if (!tune_cpus_has(&f->local, cpu))
			continue;
		text = file(s, "sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
		if (!text || tune_cpus_list(&siblings, text) || tune_cpus_nth(&siblings, 0) == cpu)
			tune_cpus_add(&f->cores, cpu);
		free(text);
		text = file(s, "sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
		if (text)
			snprintf(f->governor[cpu], sizeof(f->governor[cpu]), "%.*s", (int)strcspn(text, "\n"), text);
		free(text);
	}
}

static void read_irqs(struct tune_source *s, struct tune_facts *f)
{
	const struct tune_driver *driver = tune_driver_find(f->driver);
	char path[64], *device, *text;

	f->irqbalance = tune_source_process(s, "irqbalance");
	if (!driver || !driver->irq)
		return;
	snprintf(path, sizeof(path), "sys/class/net/%s/device", f->ifname);
	device = tune_source_link(s, path);
	text = file(s, "proc/interrupts");
	if (text)
		tune_parse_interrupts(f, driver->irq, device, text);
	free(device);
	free(text);
	for (unsigned i = 0; i < f->irqs_n; i++) {
		text = file(s, "proc/irq/%u/smp_affinity_list", f->irqs[i].irq);
		if (text)
			snprintf(f->irqs[i].affinity, sizeof(f->irqs[i].affinity), "%.*s", (int)strcspn(text, "\n"),
				 text);
		free(text);
	}
}

static unsigned read_queues(struct tune_source *s, const char *format, const char *ifname, struct tune_cpus *masks)
{
	char path[128], *text;
	unsigned n = 0;

	for (; n < TUNE_QUEUES; n++) {
		snprintf(path, sizeof(path), format, ifname, n);
		text = tune_source_file(s, path);
		if (!text || tune_cpus_mask(&masks[n], text)) {
			free(text);
			return n;
		}
		free(text);
	}
	return n;
}

static void read_host(struct tune_source *s, struct tune_facts *f)
{
	char *text = file(s, "proc/net/vlan/config");

	if (text)
		tune_parse_vlans(f, text);
	free(text);
	for (size_t i = 0; i < tune_sysctls_n; i++)
		f->sysctl[i] = file_number(tune_source_file(s, tune_sysctls[i].path));
	f->gro_flush_timeout = file_number(file(s, "sys/class/net/%s/gro_flush_timeout", f->ifname));
	f->napi_defer_hard_irqs = file_number(file(s, "sys/class/net/%s/napi_defer_hard_irqs", f->ifname));
	text = file(s, "sys/class/net/%s/bonding/slaves", f->ifname);
	if (text)
		snprintf(f->bond_slaves, sizeof(f->bond_slaves), "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
}

/* Interface names as the kernel takes them (dev_valid_name): they end up in paths and commands */
static int valid_name(const char *name)
{
	if (!*name || strlen(name) > 15 || !strcmp(name, ".") || !strcmp(name, "..") || *name == '-')
		return 0;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || isspace((unsigned char)*name) || *name == '%')
			return 0;
	return 1;
}

int tune_facts_read(struct tune_source *s, const char *ifname, struct tune_facts **facts)
{
	struct tune_facts *f;
	char command[64], *text;
	int err = -ENODEV;

	if (!valid_name(ifname))
		return -ENODEV;
	f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	tune_facts_clear(f);
	snprintf(f->ifname, sizeof(f->ifname), "%s", ifname);
	snprintf(command, sizeof(command), "ip -d -j link show dev %s", ifname);
	text = tune_source_run(s, command);
	if (text)
		err = tune_parse_link(f, text);
	free(text);
	if (err) {
		free(f);
		return -ENODEV;
	}
	text = file(s, "proc/sys/kernel/osrelease");
	if (text)
		tune_parse_kernel(f, text);
	free(text);
	text = file(s, "proc/sys/kernel/random/boot_id");
	if (text)
		snprintf(f->boot, sizeof(f->boot), "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	read_replies(s, f);
	f->xdp_features_known = !tune_source_xdp(s, ifname, &f->xdp_features);
	read_cpus(s, f);
	read_irqs(s, f);
	f->rps_n = read_queues(s, "sys/class/net/%s/queues/rx-%u/rps_cpus", ifname, f->rps);
	f->xps_n = read_queues(s, "sys/class/net/%s/queues/tx-%u/xps_cpus", ifname, f->xps);
	read_host(s, f);
	*facts = f;
	return 0;
}
