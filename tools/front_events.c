/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl front events: samples of dropped packets as lines, as JSON, or as a capture for tcpdump and Wireshark. */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/front_tool.h"

static const char usage[] =
	"danelawctl front events [--reason X] [--count N] [--for TIME] [--pcap FILE|-] [--json] [--pins DIR]";

struct stream {
	struct front_tool tool;
	const char *pcap_path;
	FILE *pcap;
	int reason;	 /* -1: all */
	uint64_t count;	 /* 0: no end */
	uint64_t seen;
	uint64_t for_ms; /* 0: no end */
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = sig;
}

/* ---- a capture: nanoseconds, Ethernet (pcap-savefile(5)) ---- */

static void pcap_begin(FILE *f)
{
	static const uint32_t head[] = { 0xa1b23c4d, 2 | 4 << 16, 0, 0, 128, 1 };

	fwrite(head, sizeof(head), 1, f);
}

static void pcap_add(FILE *f, const struct front_sample *s)
{
	uint32_t head[] = { (uint32_t)(s->time_ns / 1000000000), (uint32_t)(s->time_ns % 1000000000), s->captured, s->length };

	fwrite(head, sizeof(head), 1, f);
	fwrite(s->packet, 1, s->captured, f);
	fflush(f);
}

/* ---- lines ---- */

static const char *when(uint64_t time_ns, char out[40])
{
	time_t s = (time_t)(time_ns / 1000000000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 40 - n, ".%03uZ", (unsigned)(time_ns / 1000000 % 1000));
	return out;
}

static const char *end_text(const struct front_packet *p, const struct net_addr *end, char out[NET_TEXT_MAX])
{
	if (!p->ip)
		snprintf(out, NET_TEXT_MAX, "?");
	else if (p->ports)
		net_addr_text(end, out);
	else
		net_ip_text(&end->ip, out);
	return out;
}

static const char *interface_name(unsigned ifindex, char out[IF_NAMESIZE])
{
	if (!if_indextoname(ifindex, out))
		snprintf(out, IF_NAMESIZE, "#%u", ifindex % 1000000);
	return out;
}

static void print_line(const struct front_sample *s, const struct front_packet *p)
{
	char time[40], from[NET_TEXT_MAX], to[NET_TEXT_MAX], interface[IF_NAMESIZE];

	printf("%s  %-17s %s > %s  %s%s%s%u bytes on %s\n", when(s->time_ns, time), front_count_info[s->row].symbol,
	       end_text(p, &p->source, from), end_text(p, &p->dest, to), p->flags[0] ? "[" : "", p->flags, p->flags[0] ? "]  " : "",
	       s->length, interface_name(s->ifindex, interface));
	fflush(stdout);
}

static void print_json(const struct front_sample *s, const struct front_packet *p)
{
	char time[40], text[NET_TEXT_MAX], interface[IF_NAMESIZE];
	json_t *j = json_pack("{s:s, s:s, s:s, s:i}", "t", when(s->time_ns, time), "reason", front_count_info[s->row].symbol, "interface",
			      interface_name(s->ifindex, interface), "length", (int)s->length);

	if (p->ip) {
		json_object_set_new(j, "source", json_string(net_ip_text(&p->source.ip, text)));
		json_object_set_new(j, "destination", json_string(net_ip_text(&p->dest.ip, text)));
		json_object_set_new(j, "protocol", json_integer(p->protocol));
	}
	if (p->ports) {
		json_object_set_new(j, "source_port", json_integer(p->source.port));
		json_object_set_new(j, "destination_port", json_integer(p->dest.port));
	}
	if (p->flags[0])
		json_object_set_new(j, "flags", json_string(p->flags));
	json_dumpf(j, stdout, JSON_COMPACT); /* a line each, since they go on */
	putchar('\n');
	fflush(stdout);
	json_decref(j);
}

static bool on_sample(void *ctx, const struct front_sample *s)
{
	struct stream *out = ctx;
	struct front_packet packet;

	if (out->reason >= 0 && s->row != (size_t)out->reason)
		return true;
	front_packet_read(s->packet, s->captured, &packet);
	if (out->pcap)
		pcap_add(out->pcap, s);
	if (out->tool.json)
		print_json(s, &packet);
	else if (out->pcap != stdout)
		print_line(s, &packet);
	out->seen++;
	return !stopped && (!out->count || out->seen < out->count);
}

/* ---- ---- */

static bool parse(struct stream *s, int argc, char **argv)
{
	static const struct option options[] = { FRONT_OPTIONS,
						 { "reason", required_argument, NULL, 'r' },
						 { "count", required_argument, NULL, 'n' },
						 { "for", required_argument, NULL, 'f' },
						 { "pcap", required_argument, NULL, 'w' },
						 { 0 } };
	int opt;

	front_tool_init(&s->tool);
	s->reason = -1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'r' && (s->reason = front_tool_reason(optarg)) < 0)
			return false;
		if (opt == 'n')
			s->count = strtoull(optarg, NULL, 10);
		if (opt == 'f' && !front_tool_time(optarg, &s->for_ms))
			return false;
		if (opt == 'w')
			s->pcap_path = optarg;
		if (!strchr("rnfw", opt))
			front_tool_option(&s->tool, opt, usage);
	}
	if (s->pcap_path && !strcmp(s->pcap_path, "-") && s->tool.json) {
		fprintf(stderr, "danelawctl: --json and --pcap - would share standard output\n");
		return false;
	}
	return optind == argc;
}

static int open_pcap(struct stream *s)
{
	if (!s->pcap_path)
		return CTL_OK;
	s->pcap = strcmp(s->pcap_path, "-") ? fopen(s->pcap_path, "we") : stdout;
	if (!s->pcap) {
		fprintf(stderr, "danelawctl: %s: %s\n", s->pcap_path, strerror(errno));
		return CTL_NO;
	}
	pcap_begin(s->pcap);
	fflush(s->pcap);
	return CTL_OK;
}

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int follow(struct stream *s)
{
	uint64_t end = s->for_ms ? clock_ms() + s->for_ms : UINT64_MAX, now;
	struct front_events *events;
	char err[512];
	int code = 0;

	if (front_events_open(s->tool.view, &events, err, sizeof(err))) {
		fprintf(stderr, "danelawctl: %s\n", err);
		return CTL_NO;
	}
	if (s->pcap != stdout && !s->tool.json)
		fprintf(stderr, "at most one sample of a reason in 100 ms on each CPU; Ctrl-C ends\n");
	while (!stopped && (code >= 0 || code == -EINTR) && (!s->count || s->seen < s->count) && (now = clock_ms()) < end)
		code = front_events_read(events, end - now < 500 ? (int)(end - now) : 500, on_sample, s);
	front_events_close(events);
	if (code >= 0 || code == -EINTR)
		return CTL_OK;
	fprintf(stderr, "danelawctl: reading the samples: %s\n", strerror(-code));
	return CTL_NO;
}

int front_events(int argc, char **argv)
{
	struct sigaction stop = { .sa_handler = on_signal }; /* no SA_RESTART: the wait ends */
	struct stream s = { 0 };
	int status;

	if (!parse(&s, argc, argv))
		return ctl_usage(usage);
	status = front_tool_open(&s.tool);
	if (!status)
		status = open_pcap(&s);
	if (!status) {
		sigaction(SIGINT, &stop, NULL);
		sigaction(SIGTERM, &stop, NULL);
		status = follow(&s);
	}
	if (s.pcap && s.pcap != stdout && fclose(s.pcap)) {
		fprintf(stderr, "danelawctl: %s: %s\n", s.pcap_path, strerror(errno));
		status = CTL_NO;
	}
	if (s.tool.view)
		front_view_close(s.tool.view);
	return status;
}
