// SPDX-License-Identifier: BSD-2-Clause
/*
 * The words of the DANE engine: names for logs, metrics and JSON (never changed once published), sentences for
 * people.
 */
#include "userspace/dane.h"

#include <stdlib.h>

#define NAME_OF(table, i) ((size_t)(i) < sizeof(table) / sizeof((table)[0]) && (table)[i] ? (table)[i] : "?")

const char *dane_type_name(uint16_t type)
{
	static const char *const names[] = {
		[DANE_A] = "A",	      [DANE_NS] = "NS",	    [DANE_CNAME] = "CNAME",
		[DANE_MX] = "MX",     [DANE_AAAA] = "AAAA", [DANE_TLSA] = "TLSA",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "TYPE";
}

const char *dane_answer_name(enum dane_answer a)
{
	static const char *const names[] = {
		[DANE_FAILED] = "failed",
		[DANE_SECURE] = "secure",
		[DANE_INSECURE] = "insecure",
		[DANE_DENIED_SECURE] = "denied",
		[DANE_DENIED_INSECURE] = "denied-insecure",
	};

	return NAME_OF(names, a);
}

const char *dane_duty_name(enum dane_duty d)
{
	static const char *const names[] = {
		[DANE_UNDECIDED] = "undecided",	      [DANE_NONE] = "none",
		[DANE_TLS_REQUIRED] = "tls-required", [DANE_AUTHENTICATE] = "authenticate",
		[DANE_UNREACHABLE] = "unreachable",   [DANE_TRY_HOSTS] = "try-hosts",
		[DANE_DEFER] = "defer",		      [DANE_BOUNCE] = "bounce",
	};

	return NAME_OF(names, d);
}

const char *dane_why_name(enum dane_why w)
{
	static const char *const names[] = {
		[DANE_WHY_UNDECIDED] = "undecided",
		[DANE_WHY_RECORDS] = "records",
		[DANE_WHY_UNUSABLE] = "unusable",
		[DANE_WHY_NO_TLSA] = "no_tlsa",
		[DANE_WHY_TLSA_INSECURE] = "tlsa_insecure",
		[DANE_WHY_TLSA_FAILED] = "tlsa_failed",
		[DANE_WHY_TLSA_BOGUS] = "tlsa_bogus",
		[DANE_WHY_HOST_INSECURE] = "host_insecure",
		[DANE_WHY_ADDRESS_FAILED] = "address_failed",
		[DANE_WHY_ADDRESS_BOGUS] = "address_bogus",
		[DANE_WHY_ALIAS_FAILED] = "alias_failed",
		[DANE_WHY_NO_ADDRESS] = "no_address",
		[DANE_WHY_LITERAL] = "literal",
		[DANE_WHY_BAD_NAME] = "bad_name",
		[DANE_WHY_MX_INSECURE] = "mx_insecure",
		[DANE_WHY_MX_FAILED] = "mx_failed",
		[DANE_WHY_MX_BOGUS] = "mx_bogus",
		[DANE_WHY_MX_MALFORMED] = "mx_malformed",
		[DANE_WHY_NULL_MX] = "null_mx",
		[DANE_WHY_NO_MAIL] = "no_mail",
		[DANE_WHY_MX] = "mx",
	};

	return NAME_OF(names, w);
}

const char *dane_source_name(enum dane_source s)
{
	static const char *const names[] = {
		[DANE_FROM_EXTENSION] = "extension",
		[DANE_FROM_EHLO] = "ehlo",
		[DANE_FROM_CERTIFICATE] = "certificate",
		[DANE_FROM_BOTH] = "ehlo+certificate",
	};

	return NAME_OF(names, s);
}

const char *dane_fault_text(enum dane_fault f)
{
	static const char *const texts[] = {
		[DANE_USABLE] = "usable",
		[DANE_BAD_SHORT] = "too short: no association data",
		[DANE_BAD_USAGE] = "this certificate usage is not for SMTP (RFC 7672 3.1.3: use 3 or 2)",
		[DANE_BAD_SELECTOR] = "unknown selector",
		[DANE_BAD_MTYPE] = "unknown matching type",
		[DANE_BAD_LENGTH] = "the digest has the wrong length",
		[DANE_BAD_DER] = "the data is no certificate or public key",
	};

	return NAME_OF(texts, f);
}
