/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl listeners: the certificates that are served, and the TLSA records to publish for them. */
#include <string.h>
#include <time.h>

#include "tools/cmd.h"
#include "tools/ctl.h"

static const char usage[] = "danelawctl listeners [--json] [--socket PATH]";

/* "2027-03-04, in 98d0h"; says loudly what is over. */
static void print_end(uint64_t not_after)
{
	time_t end = (time_t)not_after, now = time(NULL);
	char date[32], left[CTL_DURATION_MAX];
	struct tm tm;

	strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", gmtime_r(&end, &tm));
	if (end <= now)
		printf("EXPIRED %s", date);
	else
		printf("until %s (%s)", date, ctl_duration((uint64_t)(end - now) * 1000, left));
}

static void print_certificate(const json_t *listener, const json_t *c, bool is_default)
{
	printf("  %s: %s, ", ctl_text(c, "name"), ctl_text(c, "key"));
	print_end(ctl_number(c, "not_after"));
	printf("%s\n    names    %s\n    publish  _%llu._tcp.%s. IN TLSA %s\n", is_default ? ", the default" : "",
	       ctl_text(c, "names"), (unsigned long long)ctl_number(listener, "port"), ctl_text(listener, "hostname"),
	       ctl_text(c, "tlsa"));
}

static void print_listener(const json_t *l)
{
	const json_t *certificates = json_object_get(l, "certificates"), *item;
	size_t i;

	printf("listener %s, pool %s, %s at", ctl_text(l, "name"), ctl_text(l, "pool"), ctl_text(l, "hostname"));
	json_array_foreach(json_object_get(l, "addresses"), i, item)
		printf(" %s", json_string_value(item));
	printf("%s\n", ctl_true(l, "require_tls") ? ", TLS required" : "");
	json_array_foreach(certificates, i, item)
		print_certificate(l, item, i == 0);
	if (!json_array_size(certificates))
		puts("  no certificate: STARTTLS is not offered");
}

int cmd_listeners(int argc, char **argv)
{
	const json_t *l;
	struct ctl c;
	size_t i;
	int status;

	if (ctl_options(&c, argc, argv, usage) < argc)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "listeners", NULL, &status);

	if (!answer)
		return status;
	if (c.json) {
		ctl_print_json(answer);
		return status;
	}
	json_array_foreach(answer, i, l)
		print_listener(l);
	json_decref(answer);
	return status;
}
