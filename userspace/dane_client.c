// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which DNS names may prove who a client MTA is.  The draft's extension names the TLSA owner itself
 * (draft-ietf-dance-client-auth-13, 2 and 7).  Nobody sends it yet, so names come from EHLO and the certificate as
 * well: first where the draft would have the record, then at _25._tcp, where an MTA that receives mail has
 * published its key already.
 *
 * All of it is the client's word, and each name costs look-ups in zones the client chose: few names, no wildcards,
 * no single labels, each once.
 */
#include "userspace/dane.h"

#include <stdio.h>
#include <string.h>

static bool name_known(const struct dane_owner *owners, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (owners[i].source != DANE_FROM_EXTENSION && strcmp(owners[i].identity, name) == 0)
			return true;
	return false;
}

static size_t add_owner(struct dane_owner *owner, const char *prefix, const char *name, enum dane_source source)
{
	int len = snprintf(owner->owner, sizeof(owner->owner), "%s%s", prefix, name);

	if (len >= (int)sizeof(owner->owner))
		return 0;
	memcpy(owner->identity, name, strlen(name) + 1);
	owner->source = source;
	return 1;
}

/* Both owner names of one identity, unless the name is unfit or known. */
static size_t add_name(struct dane_owner *owners, size_t count, const char *text, enum dane_source source)
{
	char name[DANE_NAME_MAX];

	if (dane_name_host(text, name) || !strchr(name, '.') || name_known(owners, count, name))
		return 0;
	size_t added = add_owner(owners + count, "_smtp-client.", name, source);
	return added + add_owner(owners + count + added, "_25._tcp.", name, source);
}

/* Does the certificate name the host that EHLO names? */
static bool certified(const char *ehlo, const char *const *dns_names, size_t count)
{
	char a[DANE_NAME_MAX], b[DANE_NAME_MAX];

	if (dane_name_host(ehlo, a))
		return false;
	for (size_t i = 0; i < count; i++)
		if (dane_name_host(dns_names[i], b) == 0 && strcmp(a, b) == 0)
			return true;
	return false;
}

size_t dane_client_owners(const char *ext, const char *ehlo, const char *const *dns_names, size_t dns_name_count,
			  struct dane_owner out[DANE_OWNERS_MAX])
{
	char name[DANE_NAME_MAX];
	size_t count = 0, names = 0;

	if (ext && dane_name_host(ext, name) == 0)
		count += add_owner(out, "", name, DANE_FROM_EXTENSION);
	if (ehlo) {
		bool both = certified(ehlo, dns_names, dns_name_count);
		size_t added = add_name(out, count, ehlo, both ? DANE_FROM_BOTH : DANE_FROM_EHLO);

		names += added > 0;
		count += added;
	}
	for (size_t i = 0; i < dns_name_count && names < DANE_CLIENT_NAMES_MAX; i++) {
		size_t added = add_name(out, count, dns_names[i], DANE_FROM_CERTIFICATE);

		names += added > 0;
		count += added;
	}
	return count;
}
