/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "tools/tune_parse.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void tune_facts_clear(struct tune_facts *f)
{
	memset(f, 0, sizeof(*f));
	f->mtu = f->max_mtu = f->numa = TUNE_ABSENT;
	f->rx = f->tx = f->combined = f->ring_rx = f->ring_tx = (struct tune_pair){ TUNE_ABSENT, TUNE_ABSENT };
	f->adaptive_rx = f->rx_usecs = TUNE_ABSENT;
	f->pause_autoneg = f->pause_rx = f->pause_tx = f->irqbalance = TUNE_ABSENT;
	f->gro_flush_timeout = f->napi_defer_hard_irqs = TUNE_ABSENT;
	for (size_t i = 0; i < TUNE_FEATURES; i++)
		f->feature[i].on = TUNE_ABSENT;
	for (size_t i = 0; i < sizeof(f->sysctl) / sizeof(f->sysctl[0]); i++)
		f->sysctl[i] = TUNE_ABSENT;
}

/* Copies what follows "key:" on the line that begins with it (blanks before are passed over).  1: found. */
static int value(const char *text, const char *key, char *out, size_t size)
{
	size_t len = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\n");
		if (!strncmp(line, key, len) && line[len] == ':') {
			const char *from = line + len + 1;
			size_t n;

			from += strspn(from, " \t");
			n = strcspn(from, "\n");
			while (n && isspace((unsigned char)from[n - 1]))
				n--;
			snprintf(out, size, "%.*s", (int)n, from);
			return 1;
		}
	}
	return 0;
}

static long number(const char *text, const char *key)
{
	char word[64], *end;
	long n;

	if (!value(text, key, word, sizeof(word)))
		return TUNE_ABSENT;
	n = strtol(word, &end, 10);
	return end == word || n < 0 ? TUNE_ABSENT : n;
}

static long on_off(const char *text, const char *key)
{
	char word[64];

	if (!value(text, key, word, sizeof(word)))
		return TUNE_ABSENT;
	return !strncmp(word, "on", 2) ? 1 : !strncmp(word, "off", 3) ? 0 : TUNE_ABSENT;
}

void tune_parse_kernel(struct tune_facts *f, const char *osrelease)
{
	unsigned major = 0, minor = 0;

	snprintf(f->kernel, sizeof(f->kernel), "%.*s", (int)strcspn(osrelease, "\n"), osrelease);
	if (sscanf(osrelease, "%u.%u", &major, &minor) == 2)
		f->kernel_number = TUNE_KERNEL(major, minor);
}

void tune_parse_driver(struct tune_facts *f, const char *text)
{
	f->has_ethtool = value(text, "driver", f->driver, sizeof(f->driver));
	value(text, "version", f->version, sizeof(f->version));
	value(text, "firmware-version", f->firmware, sizeof(f->firmware));
	value(text, "bus-info", f->bus, sizeof(f->bus));
	if (!strcmp(f->firmware, "N/A"))
		f->firmware[0] = '\0';
}

static const char *const feature_names[TUNE_FEATURES] = {
	[TUNE_LRO] = "large-receive-offload",	[TUNE_HW_GRO] = "rx-gro-hw",
	[TUNE_GRO] = "generic-receive-offload", [TUNE_RXVLAN] = "rx-vlan-offload",
	[TUNE_RXCSUM] = "rx-checksumming",	[TUNE_NTUPLE] = "ntuple-filters",
};

void tune_parse_features(struct tune_facts *f, const char *text)
{
	char word[64];

	for (size_t i = 0; i < TUNE_FEATURES; i++) {
		f->feature[i].on = on_off(text, feature_names[i]);
		f->feature[i].fixed = value(text, feature_names[i], word, sizeof(word)) && strstr(word, "[fixed]");
	}
}

static void pair(struct tune_pair *p, const char *maximums, const char *now, const char *key)
{
	p->max = number(maximums, key);
	p->now = number(now, key);
}

static const char *current(const char *text)
{
	const char *now = strstr(text, "Current hardware settings");

	return now ? now : "";
}

void tune_parse_channels(struct tune_facts *f, const char *text)
{
	pair(&f->rx, text, current(text), "RX");
	pair(&f->tx, text, current(text), "TX");
	pair(&f->combined, text, current(text), "Combined");
}

void tune_parse_rings(struct tune_facts *f, const char *text)
{
	pair(&f->ring_rx, text, current(text), "RX");
	pair(&f->ring_tx, text, current(text), "TX");
}

void tune_parse_coalesce(struct tune_facts *f, const char *text)
{
	f->adaptive_rx = on_off(text, "Adaptive RX");
	f->rx_usecs = number(text, "rx-usecs");
}

/* "legacy-rx             : on": blanks before the colon too */
void tune_parse_flags(struct tune_facts *f, const char *text)
{
	const char *flag = strstr(text, "\nlegacy-rx ");

	if (flag) {
		flag += strlen("\nlegacy-rx ");
		f->legacy_rx = !strncmp(flag + strspn(flag, " :"), "on", 2);
	}
}

void tune_parse_pause(struct tune_facts *f, const char *text)
{
	f->pause_autoneg = on_off(text, "Autonegotiate");
	f->pause_rx = on_off(text, "RX");
	f->pause_tx = on_off(text, "TX");
}

void tune_parse_rss(struct tune_facts *f, const char *text)
{
	const char *with = strstr(text, " with "), *line;

	if (!with || !strstr(text, "indirection table"))
		return;
	f->rss_rings = (unsigned)strtoul(with + 6, NULL, 10);
	/* rows are "   16:      0     1 …", until the first line that is none */
	for (line = strchr(text, '\n'); line; line = strchr(line, '\n')) {
		char *end;

		line++;
		strtoul(line, &end, 10);
		if (end == line || *end != ':')
			break;
		for (const char *at = end + 1; *at && *at != '\n' && f->rss_n < TUNE_RSS_MAX; at = end) {
			unsigned long queue = strtoul(at, &end, 10);

			if (end == at)
				break;
			f->rss[f->rss_n++] = (uint16_t)queue;
			end += strspn(end, " \t");
		}
	}
}

void tune_parse_hash(char *out, size_t size, const char *text)
{
	static const struct {
		const char *words;
		char letter;
	} fields[] = { { "IP SA", 's' },
		       { "IP DA", 'd' },
		       { "L4 bytes 0 & 1", 'f' },
		       { "L4 bytes 2 & 3", 'n' },
		       { "VLAN tag", 'v' } };
	size_t n = 0;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && n + 1 < size; i++)
		if (strstr(text, fields[i].words))
			out[n++] = fields[i].letter;
	out[n] = '\0';
}

/* "Dest port: 25 mask: 0x0": the bits of the mask are those that do not matter */
static int masked(const char *text, const char *key, unsigned long *mask, unsigned long *what)
{
	char word[128], *m;

	if (!value(text, key, word, sizeof(word)))
		return 0;
	m = strstr(word, "mask: ");
	*what = strtoul(word, NULL, 0);
	*mask = m ? strtoul(m + 6, NULL, 0) : 0;
	return 1;
}

static int any_address(const char *text, const char *key)
{
	char word[160], *m;

	if (!value(text, key, word, sizeof(word)))
		return 1;
	m = strstr(word, "mask: ");
	return m && (!strcmp(m + 6, "255.255.255.255") || !strcmp(m + 6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
}

static void parse_rule(struct tune_rule *r, const char *text)
{
	unsigned long what = 0, mask = 0xffff;
	char word[96];

	r->queue = r->context = TUNE_ABSENT;
	if (value(text, "Rule Type", word, sizeof(word))) {
		r->tcp = !strncmp(word, "TCP", 3);
		r->v6 = strstr(word, "IPv6") != NULL;
	}
	masked(text, "Dest port", &mask, &what);
	r->port = (unsigned)what;
	r->port_mask = (unsigned)mask;
	r->any_source = any_address(text, "Src IP addr");
	r->simple = r->tcp && !mask && r->any_source && any_address(text, "Dest IP addr") &&
		    (!masked(text, "Src port", &mask, &what) || mask == 0xffff) &&
		    (!masked(text, r->v6 ? "Traffic Class" : "TOS", &mask, &what) || mask == 0xff) &&
		    !value(text, "VLAN", word, sizeof(word)) && !value(text, "Dest MAC addr", word, sizeof(word)) &&
		    !value(text, "User-defined", word, sizeof(word));
	r->context = number(text, "RSS Context ID");
	if (value(text, "Action", word, sizeof(word))) {
		r->drops = !strcmp(word, "Drop");
		if (!strncmp(word, "Direct to queue ", 16))
			r->queue = strtol(word + 16, NULL, 10);
		else if (!r->drops)
			r->simple = 0; /* a virtual function's queue, wake-up: words of their own */
	}
}

void tune_parse_rules(struct tune_facts *f, const char *text)
{
	for (const char *at = strstr(text, "Filter: "); at && f->rules_n < TUNE_RULES;) {
		const char *next = strstr(at + 8, "Filter: ");
		char *one = next ? strndup(at, (size_t)(next - at)) : strdup(at);
		struct tune_rule *r = &f->rules[f->rules_n];

		if (!one)
			return;
		r->id = (unsigned)strtoul(one + 8, NULL, 10);
		parse_rule(r, one);
		f->rules_n++;
		free(one);
		at = next;
	}
}

static void copy(char *out, size_t size, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (text)
		snprintf(out, size, "%s", text);
}

/* "xdp":{"mode":1,"prog":{"id":7}}: enum of linux/if_link.h, XDP_ATTACHED_* */
static void parse_attached(struct tune_facts *f, const json_t *xdp)
{
	static const enum tune_xdp_mode modes[] = { TUNE_XDP_NONE, TUNE_XDP_NATIVE, TUNE_XDP_GENERIC,
						    TUNE_XDP_OFFLOAD, TUNE_XDP_NATIVE };
	json_int_t mode = json_integer_value(json_object_get(xdp, "mode"));

	if (mode > 0 && mode < (json_int_t)(sizeof(modes) / sizeof(modes[0])))
		f->xdp_mode = modes[mode];
	f->xdp_prog = (unsigned)json_integer_value(json_object_get(json_object_get(xdp, "prog"), "id"));
}

int tune_parse_link(struct tune_facts *f, const char *text)
{
	json_t *reply = json_loads(text, 0, NULL), *link = json_array_get(reply, 0), *info, *bond;

	if (!json_is_object(link)) {
		json_decref(reply);
		return -EBADMSG;
	}
	f->mtu = (long)json_integer_value(json_object_get(link, "mtu"));
	if (json_is_integer(json_object_get(link, "max_mtu")))
		f->max_mtu = (long)json_integer_value(json_object_get(link, "max_mtu"));
	copy(f->master, sizeof(f->master), link, "master");
	parse_attached(f, json_object_get(link, "xdp"));
	info = json_object_get(link, "linkinfo");
	bond = json_object_get(info, "info_data");
	copy(f->bond_mode, sizeof(f->bond_mode), bond, "mode");
	copy(f->bond_hash, sizeof(f->bond_hash), bond, "xmit_hash_policy");
	json_decref(reply);
	return 0;
}

/* The pattern's prefix with what stands for %i, %p and %v; what follows is the queue's number. */
static void irq_prefix(char *out, size_t size, const struct tune_facts *f, const char *pattern, const char *device,
		       const char **suffix)
{
	size_t n = 0;

	*suffix = "";
	out[0] = '\0';
	for (const char *p = pattern; *p && n < size; p++) {
		const char *word = NULL;

		if (p[0] == '%' && p[1] == 'q') {
			*suffix = p + 2;
			return;
		}
		if (p[0] == '%') {
			p++;
			word = *p == 'i' ? f->ifname : *p == 'p' ? f->bus : device;
		}
		n += (size_t)(word ? snprintf(out + n, size - n, "%s", word) : snprintf(out + n, size - n, "%c", *p));
	}
}

static void irq_suffix(char *out, size_t size, const struct tune_facts *f, const char *suffix)
{
	const char *mark = strstr(suffix, "%p");

	if (mark)
		snprintf(out, size, "%.*s%s", (int)(mark - suffix), suffix, f->bus);
	else
		snprintf(out, size, "%s", suffix);
}

/* The line's last word is the name of who asked for it */
static const char *last_word(const char *line, size_t len)
{
	while (len && line[len - 1] != ' ' && line[len - 1] != '\t')
		len--;
	return line + len;
}

void tune_parse_interrupts(struct tune_facts *f, const char *pattern, const char *device, const char *text)
{
	char prefix[96], suffix[96], name[96], *end;
	const char *raw;

	irq_prefix(prefix, sizeof(prefix), f, pattern, device ? device : "", &raw);
	irq_suffix(suffix, sizeof(suffix), f, raw);
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		size_t len = strcspn(line, "\n");
		unsigned long irq = strtoul(line, &end, 10), queue;
		const char *word = last_word(line, len);

		if (end == line || *end != ':' || f->irqs_n == TUNE_QUEUES)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(line + len - word), word);
		if (strncmp(name, prefix, strlen(prefix)) || !isdigit((unsigned char)name[strlen(prefix)]))
			continue;
		queue = strtoul(name + strlen(prefix), &end, 10);
		if (strcmp(end, suffix) &&
		    !(*suffix == '\0' && *end == '-')) /* "ice-eth0-TxRx-0-1": two queues of one vector */
			continue;
		f->irqs[f->irqs_n].irq = (unsigned)irq;
		f->irqs[f->irqs_n].queue = (unsigned)queue;
		snprintf(f->irqs[f->irqs_n].name, sizeof(f->irqs[0].name), "%.63s", name);
		f->irqs_n++;
	}
}

void tune_parse_vlans(struct tune_facts *f, const char *text)
{
	/* "eth0.25        | 25  | eth0" */
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		size_t len = strcspn(line, "\n");
		const char *word = last_word(line, len);
		size_t n = (size_t)(line + len - word);

		if (strchr(line, '|') && n == strlen(f->ifname) && !strncmp(word, f->ifname, n))
			f->vlans++;
	}
}
