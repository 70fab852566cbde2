/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: one file read with libconfuse into one immutable struct (danelaw.conf(5)).  Every
 * error names file, line, what is wrong and what is allowed, with a "did you mean" where a name is close;
 * an error leaves nothing half-made.  No sockets, no keys: files named here are read by main.
 *
 * Times are kept in ms, sizes in bytes.  In the file: 300ms, 20s, 5m, 1h, 7d; 64k, 50m.
 */
#ifndef DANELAW_CONFIG_H
#define DANELAW_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "userspace/log.h"
#include "userspace/net.h"
#include "userspace/proxy_header.h"
#include "userspace/smtp.h"

enum config_io { CONFIG_IO_AUTO, CONFIG_IO_URING, CONFIG_IO_EPOLL };
enum config_attach { CONFIG_ATTACH_LINK, CONFIG_ATTACH_LIBXDP };
enum config_xdp { CONFIG_XDP_NATIVE, CONFIG_XDP_GENERIC_ALLOWED, CONFIG_XDP_OFF };
enum config_client_address { CONFIG_ADDR_PROXY_V2, CONFIG_ADDR_PROXY_V1, CONFIG_ADDR_XCLIENT, CONFIG_ADDR_NONE };
enum config_backend_tls { CONFIG_TLS_NONE, CONFIG_TLS_DANE, CONFIG_TLS_PIN, CONFIG_TLS_CA };
enum config_when_broken { CONFIG_FAIL_CLOSED, CONFIG_RUN_WITHOUT };
enum config_balance { CONFIG_LEAST_CONNECTIONS, CONFIG_CLIENT_HASH };
enum config_proxy { CONFIG_PROXY_FORBIDDEN, CONFIG_PROXY_REQUIRED };
enum config_client_dane {
	CONFIG_CLIENT_OFF,     /* no certificate is asked for */
	CONFIG_CLIENT_OBSERVE, /* judged, and nothing follows */
	CONFIG_CLIENT_ENFORCE, /* a mismatch is refused */
	CONFIG_CLIENT_REQUIRE, /* only the verified are served */
	CONFIG_CLIENT_AS_LISTENER /* of a policy: what its listener says */
};
enum config_ktls { CONFIG_KTLS_OFF, CONFIG_KTLS_AUTO, CONFIG_KTLS_ALL };
enum config_relay { CONFIG_RELAY_GUARD, CONFIG_RELAY_SPLICE };

enum config_syn_protect { CONFIG_SYN_OFF, CONFIG_SYN_AUTO, CONFIG_SYN_ALWAYS };
enum config_syn_cookies { CONFIG_COOKIES_AUTO, CONFIG_COOKIES_OWN, CONFIG_COOKIES_KERNEL };
enum config_spread { CONFIG_SPREAD_OFF, CONFIG_SPREAD_CPUMAP };

struct config_front {
	enum config_xdp mode;	  /* off when there is no interface */
	enum config_attach attach;
	char **interfaces;
	size_t interface_count;
	char **deny_files, **allow_files; /* one prefix a line, '#' comments */
	size_t deny_file_count, allow_file_count;
	unsigned list_entries, verified_entries;
	unsigned source_rate, source_burst; /* new connections of a source: a minute (0: no limit), at once */
	unsigned factor56, factor48;	    /* an IPv6 /56, /48 may do as much as so many sources; 0: no limit */
	unsigned flood_enter, flood_leave;  /* new connections a second; 0: never, half of enter */
	uint32_t flood_hold_ms;
	enum config_syn_protect syn_protect;
	enum config_syn_cookies syn_cookies; /* whose */
	char *syn_secret_file;	  /* of keys that other nodes have too; NULL: of this process alone */
	bool syn_sysctls;	  /* net.ipv4.tcp_syncookies may be changed while the kernel's cookies are used */
	struct net_prefix *decap_from; /* balancers whose tunnels are opened */
	size_t decap_from_count;
	struct in6_addr *decap_to;     /* own addresses that tunnels end at */
	size_t decap_to_count;
	uint16_t decap_gue_port;       /* 0: no GUE */
	unsigned decap_mss;	       /* what clients are told to send in one segment when there are tunnels */
	enum config_spread spread;     /* connections over the CPUs of workers, in software */
	unsigned spread_queue;	       /* packets that may wait for a CPU */
	bool steer;		  /* sk_lookup; false: plain bind on each address */
};

struct config_certificate {
	char *name;
	char *chain_file, *key_file;
	const char *file;	/* and line: where it is defined */
	int line;
};

struct config_backend {
	char *name;
	char *host;		/* name or address */
	uint16_t port;
	struct net_addr addr;	/* filled by config_resolve() */
	unsigned weight;	/* 1..256 */
	enum config_client_address client_address;
	size_t proxy_budget;	/* bytes of a v2 header */
	enum config_backend_tls tls;
	char **pins;		/* tls = pin: SHA-256 of the key (SPKI), 64 hex digits each */
	size_t pin_count;
	char *ca_file;		/* tls = ca: PEM */
	char *tls_name;		/* the name in its certificate and the SNI; NULL: host */
	const char *file;	/* and line: where it is defined */
	int line;
};

struct config_pool {
	char *name;
	enum config_balance balance;
	size_t *backends;	/* indexes into config.backends */
	size_t backend_count;
	const char *file;	/* and line: where it is defined */
	int line;
};

/* Which clients, and what is done about them: policy.h says when which part is looked at. */
struct config_policy {
	char *name;
	struct net_prefix *networks; /* none: any */
	size_t network_count;
	char **names;		/* verified names, "mail.example" or ".example" for all below it; none: any */
	size_t name_count;
	char **verdicts;	/* as words; none: any */
	size_t verdict_count;
	unsigned verdict_bits;	/* the same as 1 << enum dane_verdict; 0: any */
	enum config_client_dane client_dane;
	enum config_relay relay;
	size_t *pool;		/* pool_count 0: the listener's */
	size_t pool_count;
	unsigned sessions;	/* at a time in the whole daemon; 0: no bound of its own */
	uint64_t max_size;	/* 0: the listener's */
	uint32_t lane_ms;	/* how long a verified source skips the front's limits; 0: not at all */
	unsigned lane_after, lane_days; /* clean sessions that earn it, on so many days */
	const char *file;	/* and line: where it is defined */
	int line;
};

struct config_listener {
	char *name;
	char *hostname;		/* banner and EHLO name; default: config.hostname */
	struct in6_addr *addresses; /* "::" is every address, IPv4 too; "0.0.0.0" every IPv4 address */
	size_t address_count;
	uint16_t port;
	size_t *certificates;	/* indexes; the first is the default; none: STARTTLS is not offered */
	size_t certificate_count;
	size_t pool;
	bool require_tls;
	enum config_proxy proxy;
	struct net_prefix *proxy_from;
	size_t proxy_from_count;
	uint32_t greet_delay_ms; /* 0: off */
	enum smtp_newline newline;
	uint64_t max_size;	/* bytes of a message; 0: the backend's */
	enum config_client_dane client_dane;
	size_t *policies;	/* indexes; the first that fits counts */
	size_t policy_count;
	const char *file;	/* and line: where it is defined */
	int line;
};

struct config_tls {
	int min_version; /* 12, 13 */
	char *ticket_secret_file; /* NULL: a secret of this process */
	char *ciphers, *ciphersuites, *groups; /* NULL: ours */
	uint16_t client_id_extension; /* number of dane_clientid (draft-ietf-dance-client-auth); 0: not sent */
};

struct config_limits {
	unsigned sessions;	    /* in the whole daemon */
	unsigned source_sessions;   /* of one IPv4 address or IPv6 /64; 0: no limit */
	unsigned handshakes;	    /* in flight, in the whole daemon */
	unsigned errors;	    /* refused commands a session */
	unsigned pipelined;	    /* commands outstanding a session, 1..100 */
	size_t relay_buffer;	    /* bytes held a direction before the sender is no longer read */
	unsigned client_judgements; /* of clients, that wait for the DNS, in the whole daemon */
	unsigned client_cache;	    /* verdicts on clients kept by a worker */
};

struct config_timeouts {	    /* ms */
	uint32_t proxy_header, command, handshake, body_block, client_write, linger;
	uint32_t backend_connect, backend_banner, backend_reply, backend_final, route; /* route: all tries together */
	uint32_t client_verdict;
	uint32_t pass_idle, pass_quiet; /* of sessions passed on unread */
	uint32_t drain;
	uint32_t body_min_rate;	    /* bytes a second averaged over a body; 0: none */
};

struct config_dns {	    /* for DANE: look-ups with our own validation */
	char *trust_anchor_file; /* NULL: the system's root key */
	char **forwarders;	/* "192.0.2.53", "192.0.2.53:5353"; none: own recursion */
	size_t forwarder_count;
	char *root_hints_file;	/* NULL: built in */
	unsigned max_in_flight;
	uint32_t deadline_ms, probe_interval_ms;
	char *probe_secure;	/* a name that must validate; NULL: the root */
	char *probe_bogus;	/* a name that must not; NULL: none */
	enum config_when_broken when_broken;
};

struct config_relaying {
	enum config_ktls ktls;
	uint64_t splice_above; /* bytes one way, unanswered, before the kernel moves them; 0: never */
};

struct config_health {
	uint32_t interval_ms, timeout_ms;
	unsigned rise, fall;
};

struct config {
	char *file;		/* NULL: none (made from flags) */
	char *hostname;
	char *user;		/* to run as; "" : stay */
	char *state_dir, *run_dir;
	unsigned workers;	/* 0: one a CPU */
	enum config_io io;
	enum log_level log_level;
	struct config_front front;
	struct config_tls tls;
	struct config_limits limits;
	struct config_timeouts timeouts;
	struct config_relaying relay;
	struct config_health health;
	struct config_dns dns;
	char *metrics_listen;	/* "127.0.0.1:9325", "[::1]:9325"; NULL: none */
	struct config_certificate *certificates;
	size_t certificate_count;
	struct config_backend *backends;
	size_t backend_count;
	struct config_pool *pools;
	size_t pool_count;
	struct config_policy *policies;
	size_t policy_count;
	struct config_listener *listeners;
	size_t listener_count;
	char **files;		/* every file read, this one and its includes: the names in messages */
	size_t file_count;
};

/* Where errors go: one call a fault, text like `danelaw.conf:31: backend "farm": …`. */
typedef void config_complain(void *ctx, const char *text);

/*
 * Reads and checks the file; name is for messages, and its folder is where relative includes are looked for.
 * NULL after at least one complaint.  One call at a time in a process: libconfuse's lexer is global.
 */
struct config *config_read(FILE *in, const char *name, config_complain *complain, void *ctx);
/*
 * The configuration of `danelawd --backend … --hostname NAME [--interface I] [--listen ADDR:PORT]` without a
 * file: one listener "smtp" (default [::]:25), one pool of the given backends, a certificate "self" whose files
 * are self.crt and self.key in state_dir.  interface and listen may be NULL; without an interface neither front
 * nor steer is used.
 */
struct config *config_from_flags(const char *hostname, char *const *backends, size_t backend_count, const char *interface,
				 const char *listen, config_complain *complain, void *ctx);
/* Resolves backend host names with the system's resolver; false after complaints. */
bool config_resolve(struct config *c, config_complain *complain, void *ctx);
void config_free(struct config *c);

#endif
