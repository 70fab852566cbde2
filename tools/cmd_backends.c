/* SPDX-License-Identifier: BSD-2-Clause */
/* danelawctl backends: the farm as the running daemon sees it. */
#include <string.h>

#include "tools/cmd.h"
#include "tools/ctl.h"

static const char usage[] = "danelawctl backends [NAME] [--json] [--socket PATH]";

/* "verified by dane, 2 records" and the like. */
static void say_judgement(const json_t *target, char *out, size_t size)
{
	const char *duty = ctl_text(target, "duty"), *kind = ctl_text(target, "judged_by");
	size_t records = json_array_size(json_object_get(target, "records"));

	if (!strcmp(duty, "clear"))
		snprintf(out, size, "clear");
	else if (!strcmp(duty, "opportunistic"))
		snprintf(out, size, "%s: no records, TLS if offered", kind);
	else if (!strcmp(duty, "tls"))
		snprintf(out, size, "%s: no usable record, TLS a must", kind);
	else if (records)
		snprintf(out, size, "%s: %zu record%s", kind, records, records == 1 ? "" : "s");
	else if (!json_array_size(json_object_get(target, "addresses")))
		snprintf(out, size, "%s: not looked up yet", kind);
	else
		snprintf(out, size, "%s", kind);
}

static void say_probe(const json_t *probe, char *out, size_t size)
{
	char age[CTL_DURATION_MAX];

	if (!json_is_object(probe))
		snprintf(out, size, "none yet");
	else
		snprintf(out, size, "%s %s ago", ctl_true(probe, "ok") ? "ok" : "failed",
			 ctl_duration(ctl_number(probe, "age_ms"), age));
}

static void print_row(struct ctl_table *t, const json_t *b)
{
	char since[CTL_DURATION_MAX], judged[80], probe[64];

	say_judgement(json_object_get(b, "target"), judged, sizeof(judged));
	say_probe(json_object_get(b, "probe"), probe, sizeof(probe));
	ctl_cell(t, "%s", ctl_text(b, "name"));
	ctl_cell(t, "%s:%llu", ctl_text(b, "host"), (unsigned long long)ctl_number(b, "port"));
	ctl_cell(t, "%s", ctl_text(b, "state"));
	ctl_cell(t, "%s", ctl_duration(ctl_number(b, "since_ms"), since));
	ctl_cell(t, "%llu", (unsigned long long)ctl_number(b, "sessions"));
	ctl_cell(t, "%s", judged);
	ctl_cell(t, "%s", probe);
	ctl_cell(t, "%s", ctl_text(b, "why"));
}

static void print_words(const char *name, const json_t *list)
{
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word)
		printf("%s  %-14s %s", i ? "\n" : "", i ? "" : name, json_string_value(word));
	if (json_array_size(list))
		putchar('\n');
}

/* Everything about one. */
static void print_backend(const json_t *b)
{
	const json_t *target = json_object_get(b, "target"), *probe = json_object_get(b, "probe"), *word;
	char text[80], since[CTL_DURATION_MAX];
	size_t i;

	printf("%s, %s:%llu: %s for %s%s%s\n", ctl_text(b, "name"), ctl_text(b, "host"), (unsigned long long)ctl_number(b, "port"),
	       ctl_text(b, "state"), ctl_duration(ctl_number(b, "since_ms"), since), *ctl_text(b, "why") ? ": " : "",
	       ctl_text(b, "why"));
	say_judgement(target, text, sizeof(text));
	printf("  %-14s %s\n", "judged by", text);
	print_words("address", json_object_get(target, "addresses"));
	print_words("records", json_object_get(target, "records"));
	print_words("pins", json_object_get(target, "pins"));
	print_words("name", json_object_get(target, "names"));
	if (json_object_get(target, "ttl_left_s"))
		printf("  %-14s in %s\n", "asked again", ctl_duration(1000 * ctl_number(target, "ttl_left_s"), since));
	say_probe(probe, text, sizeof(text));
	printf("  %-14s %s%s%s\n", "last probe", text, *ctl_text(probe, "why") ? ": " : "", ctl_text(probe, "why"));
	if (*ctl_text(b, "last_failure"))
		printf("  %-14s %s\n", "last failure", ctl_text(b, "last_failure"));
	printf("  %-14s %llu open, %llu reached it, %llu failed; weight %llu\n", "sessions",
	       (unsigned long long)ctl_number(b, "sessions"), (unsigned long long)ctl_number(b, "reached"),
	       (unsigned long long)ctl_number(b, "failed"), (unsigned long long)ctl_number(b, "weight"));
	print_words("in pool", json_object_get(b, "pools"));
	printf("  %-14s", "announces");
	json_array_foreach(json_object_get(b, "capabilities"), i, word)
		printf(" %s", json_string_value(word));
	putchar('\n');
}

static void print_all(const json_t *list)
{
	static const char *const heads[] = { "backend", "address", "state", "for", "sessions", "judged by", "last probe", "why" };
	struct ctl_table *t = ctl_table_new("lllrrlll", heads);
	const json_t *b;
	size_t i;

	json_array_foreach(list, i, b)
		print_row(t, b);
	ctl_table_print(t, "  ");
}

int cmd_backends(int argc, char **argv)
{
	struct ctl c;
	int status, at = ctl_options(&c, argc, argv, usage);

	if (argc - at > 1)
		return ctl_usage(usage);
	json_t *answer = ctl_ask(&c, "backends", at < argc ? json_pack("{s:s}", "name", argv[at]) : NULL, &status);

	if (!answer)
		return status;
	if (c.json) {
		ctl_print_json(answer);
		return status;
	}
	if (at < argc)
		print_backend(json_array_get(answer, 0));
	else
		print_all(answer);
	json_decref(answer);
	return status;
}
