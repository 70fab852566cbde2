// SPDX-License-Identifier: BSD-2-Clause
/*
 * danelawctl check DOMAIN: options, and the steps in order.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "tools/check.h"
#include "tools/cmd.h"
#include "tools/ctl.h"
#include "userspace/dns.h"

enum { EXIT_USAGE = 64, FORWARDERS_MAX = 8, PARALLEL = 32, TIMEOUT_MAX_S = 3600 };

struct options {
	const char *domain, *helo, *trust_anchor, *root_hints;
	const char *forwarders[FORWARDERS_MAX];
	size_t forwarder_count;
	const char *backend, *client; /* of the running edge, in place of a domain */
	struct ctl ctl;
	uint16_t port;
	uint32_t timeout_ms;
	unsigned families;
};

static int usage(FILE *to)
{
	fputs("usage: danelawctl check [OPTION…] DOMAIN | --backend NAME | --client NAME\n"
	      "  what a DANE sender does for a domain and concludes: MX, addresses, TLSA, then STARTTLS at every address\n"
	      "  --backend NAME              how the running edge judges this backend, and what is seen of it now\n"
	      "  --client NAME               what a client of this name must show the running edge to be verified\n"
	      "  --json                      one object for scripts, see danelawctl(8)\n"
	      "  -r, --resolver ADDR[:PORT]  ask this resolver (and validate all the same); default: own recursion\n"
	      "  --trust-anchor FILE         DS or DNSKEY records; default: the system's root key\n"
	      "  --root-hints FILE           for own recursion\n"
	      "  -p, --port PORT             default: 25\n"
	      "  -t, --timeout SECONDS       for each look-up, and for each address; default: 20\n"
	      "  -4, -6                      only addresses of this family\n"
	      "  --helo NAME                 to say in EHLO; default: this host's name\n"
	      "  --socket PATH               of the running edge\n"
	      "exit status: 0 verified, 1 deferred or bounced, 2 delivered without authentication, 3 could not tell\n",
	      to);
	return to == stdout ? 0 : EXIT_USAGE;
}

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "danelawctl check: %s: %s\n", value, what);
	return EXIT_USAGE;
}

static bool number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out >= 1 && *out <= max;
}

enum { OPT_JSON = 256, OPT_ANCHOR, OPT_HINTS, OPT_HELO, OPT_BACKEND, OPT_CLIENT, OPT_SOCKET };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "resolver", required_argument, NULL, 'r' },
	{ "trust-anchor", required_argument, NULL, OPT_ANCHOR },
	{ "root-hints", required_argument, NULL, OPT_HINTS },
	{ "port", required_argument, NULL, 'p' },
	{ "timeout", required_argument, NULL, 't' },
	{ "helo", required_argument, NULL, OPT_HELO },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "client", required_argument, NULL, OPT_CLIENT },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* 0: go on; else the exit status. */
static int one_option(struct options *o, int opt)
{
	static char helo[DANE_NAME_MAX];
	unsigned long n;

	switch (opt) {
	case OPT_JSON:
		o->ctl.json = true;
		return 0;
	case OPT_BACKEND:
		o->backend = optarg;
		return 0;
	case OPT_CLIENT:
		o->client = optarg;
		return 0;
	case OPT_SOCKET:
		o->ctl.socket = optarg;
		return 0;
	case OPT_ANCHOR:
		o->trust_anchor = optarg;
		return 0;
	case OPT_HINTS:
		o->root_hints = optarg;
		return 0;
	case OPT_HELO:
		o->helo = helo;
		return dane_name_host(optarg, helo) ? complain("is no host name", optarg) : 0;
	case 'r':
		if (o->forwarder_count == FORWARDERS_MAX)
			return complain("one resolver too many", optarg);
		o->forwarders[o->forwarder_count++] = optarg;
		return 0;
	case 'p':
		if (!number(optarg, UINT16_MAX, &n))
			return complain("is no port", optarg);
		o->port = (uint16_t)n;
		return 0;
	case 't':
		if (!number(optarg, TIMEOUT_MAX_S, &n))
			return complain("is no number of seconds", optarg);
		o->timeout_ms = (uint32_t)n * 1000;
		return 0;
	case '4':
		o->families = CHECK_IPV4;
		return 0;
	case '6':
		o->families = CHECK_IPV6;
		return 0;
	default:
		return usage(stderr);
	}
}

static int read_options(struct options *o, int argc, char **argv)
{
	int opt, r = 0;

	optind = 1;
	while (!r && (opt = getopt_long(argc, argv, "r:p:t:46h", long_options, NULL)) != -1) {
		if (opt == 'h')
			exit(usage(stdout));
		r = one_option(o, opt);
	}
	if (r)
		return r;
	if ((argc - optind) + !!o->backend + !!o->client != 1)
		return usage(stderr);
	o->domain = argv[optind];
	return 0;
}

static const char *own_name(void)
{
	static struct utsname u;
	static char name[DANE_NAME_MAX];

	return uname(&u) == 0 && dane_name_host(u.nodename, name) == 0 && strchr(name, '.') ? name : "localhost.localdomain";
}

/*
 * The name to prove validation with is the anchor's own: a private anchor may stand below the root.  "." where the
 * file's first record cannot be told.
 */
static const char *anchored_name(const char *file)
{
	static char name[DANE_NAME_MAX];
	char line[1024], word[256];
	FILE *in = file ? fopen(file, "r") : NULL;

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, " %255s", word) == 1 && word[0] != ';') {
			fclose(in);
			return strcmp(word, ".") && dane_name_host(word, name) == 0 ? name : ".";
		}
	if (in)
		fclose(in);
	return ".";
}

/* Does validation work here?  NULL, or why not: without it everything would look like "no DANE". */
static const char *no_validation(struct dns *d, uint32_t timeout_ms)
{
	static struct dns_health h;

	for (uint32_t ms = 0; ms <= timeout_ms + 1000; ms += 10) {
		struct timespec nap = { .tv_nsec = 10000000 };

		dns_health(d, &h);
		if (h.state == DNS_VALIDATES)
			return NULL;
		if (h.probes)
			return h.text;
		nanosleep(&nap, NULL);
	}
	return "nothing could be looked up";
}

static struct check_dialling dialling(const struct options *o)
{
	return (struct check_dialling){ .helo = o->helo ? o->helo : own_name(), .timeout_ms = o->timeout_ms, .parallel = PARALLEL };
}

static int conclude(const struct options *o, struct dns *d, const struct dane_outcome *outcome)
{
	struct check_dialling how = dialling(o);
	struct check *c = check_new(o->domain, outcome, o->families);
	const char *broken = no_validation(d, o->timeout_ms);
	char err[256] = "";

	if (broken)
		check_cannot_tell(c, broken);
	else if (check_dial(c, &how, err, sizeof(err)))
		check_cannot_tell(c, err);
	else
		check_judge(c);
	if (o->ctl.json)
		check_json(c, stdout);
	else
		check_tell(c, stdout);
	int status = check_exit_status(c->overall);

	check_free(c);
	return status;
}

static int check_domain(const struct options *o)
{
	struct dane_settings may = { .insecure_mx = DANE_INSECURE_MX_MAY };
	struct dns_settings set = { .trust_anchor_file = o->trust_anchor,
				    .forwarders = o->forwarders,
				    .forwarder_count = o->forwarder_count,
				    .root_hints_file = o->root_hints,
				    .deadline_ms = o->timeout_ms,
				    .probe_secure = anchored_name(o->trust_anchor) };
	char err[512];
	struct dns *d;
	int r;

	if (dns_start(&set, &d, err, sizeof(err))) {
		fprintf(stderr, "danelawctl check: %s\n", err);
		return check_exit_status(CHECK_UNKNOWN);
	}
	struct dane_plan *plan = dane_plan_domain(&may, o->domain, o->port);

	r = dns_run_wait(d, plan);
	if (r) {
		fprintf(stderr, "danelawctl check: %s\n", strerror(-r));
		r = check_exit_status(CHECK_UNKNOWN);
	} else {
		r = conclude(o, d, dane_plan_outcome(plan));
	}
	dns_stop(d);
	dane_plan_free(plan);
	return r;
}

int cmd_check(int argc, char **argv)
{
	struct options o = { .port = 25, .timeout_ms = 20000, .families = CHECK_IPV4 | CHECK_IPV6 };
	struct check_dialling how;
	int r;

	ctl_init(&o.ctl);
	r = read_options(&o, argc, argv);
	if (r)
		return r;
	how = dialling(&o);
	if (o.backend)
		return check_backend(&o.ctl, o.backend, &how, o.ctl.json);
	return o.client ? check_client(&o.ctl, o.client, o.ctl.json) : check_domain(&o);
}
