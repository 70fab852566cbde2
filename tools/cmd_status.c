/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl status: is it well, and what does it do. */
#include "tools/cmd.h"
#include "tools/ctl.h"

static void print_line(const char *name, const char *text)
{
	printf("  %-12s %s\n", name, text);
}

static void print_sessions(const json_t *s)
{
	char open[CTL_GROUPED_MAX], limit[CTL_GROUPED_MAX], accepted[CTL_GROUPED_MAX], messages[CTL_GROUPED_MAX];

	printf("  %-12s %s open of %s, %llu handshakes of %llu; %s accepted, %s messages since the start\n", "sessions",
	       ctl_grouped(ctl_number(s, "open"), open), ctl_grouped(ctl_number(s, "limit"), limit),
	       (unsigned long long)ctl_number(s, "handshakes"), (unsigned long long)ctl_number(s, "handshakes_limit"),
	       ctl_grouped(ctl_number(s, "accepted"), accepted), ctl_grouped(ctl_number(s, "messages"), messages));
}

static void print_status(const json_t *s)
{
	const json_t *validation = json_object_get(s, "validation"), *backends = json_object_get(s, "backends");
	char up[CTL_DURATION_MAX];
	bool healthy = ctl_true(s, "healthy");

	printf("danelawd %s on %s, process %llu, up %s: %s%s\n", ctl_text(s, "version"), ctl_text(s, "hostname"),
	       (unsigned long long)ctl_number(s, "pid"), ctl_duration(ctl_number(s, "uptime_ms"), up),
	       healthy ? "healthy" : "NOT HEALTHY, ", healthy ? "" : ctl_text(s, "why"));
	if (*ctl_text(s, "config"))
		print_line("file", ctl_text(s, "config"));
	printf("  %-12s %llu, %s\n", "workers", (unsigned long long)ctl_number(s, "workers"), ctl_text(s, "io"));
	print_line("front", *ctl_text(s, "front") ? ctl_text(s, "front") : "none");
	printf("  %-12s %llu of %llu up\n", "backends", (unsigned long long)ctl_number(backends, "up"),
	       (unsigned long long)ctl_number(backends, "total"));
	if (json_is_object(validation))
		printf("  %-12s %s; %llu look-ups in flight\n", "validation",
		       *ctl_text(validation, "text") ? ctl_text(validation, "text") : "being proved for the first time",
		       (unsigned long long)ctl_number(validation, "in_flight"));
	else
		print_line("validation", "not used: no policy needs DNSSEC");
	print_sessions(json_object_get(s, "sessions"));
	print_line("kernel TLS", ctl_text(s, "kernel_tls"));
	print_line("log level", ctl_text(s, "log_level"));
}

int cmd_status(int argc, char **argv)
{
	static const char usage[] = "danelawctl status [--json] [--socket PATH]";
	struct ctl c;
	int status;

	if (ctl_options(&c, argc, argv, usage) < argc)
		return ctl_usage(usage);
	json_t *s = ctl_ask(&c, "status", NULL, &status);

	if (!s)
		return status;
	if (!ctl_true(s, "healthy"))
		status = CTL_NO;
	if (c.json) {
		ctl_print_json(s);
		return status;
	}
	print_status(s);
	json_decref(s);
	return status;
}
