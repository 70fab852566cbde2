/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables: sets of CPUs, replies of ethtool, and each check from facts that are all well but for one thing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/tune.h"
#include "tools/tune_parse.h"

/* ---- CPUs ---- */

static void cpu_sets(void **state)
{
	static const struct {
		const char *list, *mask;
		unsigned n, third;
	} rows[] = {
		{ "0", "1", 1, 0 },
		{ "0-3", "f", 4, 2 },
		{ "0-3,8-11", "f0f", 8, 2 },
		{ "1,3,5", "2a", 3, 5 },
		{ "31-32", "1,80000000", 2, 31 },
		{ "64", "1,00000000,00000000", 1, 64 },
		{ "0,1023", NULL, 2, 0 },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tune_cpus a, b;

		assert_int_equal(tune_cpus_list(&a, rows[i].list), 0);
		assert_int_equal(tune_cpus_count(&a), rows[i].n);
		assert_int_equal(tune_cpus_nth(&a, 2), rows[i].third);
		assert_string_equal(tune_cpus_text(&a, text, sizeof(text)), rows[i].list);
		tune_cpus_mask_text(&a, text, sizeof(text));
		assert_int_equal(tune_cpus_mask(&b, text), 0);
		assert_true(tune_cpus_equal(&a, &b));
		if (rows[i].mask)
			assert_string_equal(text, rows[i].mask);
	}
}

static void bad_cpu_sets(void **state)
{
	static const char *const lists[] = { "x", "0-", "3-1", "1024", "0-5000", "1;2" };
	static const char *const masks[] = { "", "g", "0x1", "-1" };
	struct tune_cpus c;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		assert_int_equal(tune_cpus_list(&c, lists[i]), -EINVAL);
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		assert_int_equal(tune_cpus_mask(&c, masks[i]), -EINVAL);
	assert_int_equal(tune_cpus_list(&c, "\n"), 0);
	assert_int_equal(tune_cpus_count(&c), 0);
}

/* ---- replies ---- */

/* Every prefix of a reply is read without a fault (ASan watches) */
static void cut_replies(void **state)
{
	static const char *const texts[] = {
		"driver: ice\nversion: 6.1\nfirmware-version: 3\nbus-info: 0000:27:00.0\n",
		"Channel parameters for e:\nPre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t8\nCurrent hardware settings:\nRX:\t\t0\nCombined:\t4\n",
		"RX flow hash indirection table for eth0 with 2 RX ring(s):\n    0:      0     1     0     1\n    4:      0     1\nRSS hash key:\n6d:5a\n",
		"2 RX rings available\nTotal 1 rules\n\nFilter: 5\n\tRule Type: TCP over IPv4\n\tDest port: 25 mask: 0x0\n\tAction: Direct to queue 1\n",
		"           CPU0\n 30:  1  IR-PCI-MSI 1-edge  eth0-TxRx-0\n 31:  1  x  eth0-TxRx-1-2\nNMI: 0 x\n",
		"VLAN Dev name    | VLAN ID\neth0.25        | 25  | eth0\n",
		"Coalesce parameters for e:\nAdaptive RX: on  TX: off\nrx-usecs:\t50\n",
	};
	struct tune_facts *f = malloc(sizeof(*f));

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t cut = 0; cut <= strlen(texts[i]); cut++) {
			char *text = strndup(texts[i], cut);

			tune_facts_clear(f);
			tune_parse_driver(f, text);
			tune_parse_channels(f, text);
			tune_parse_rss(f, text);
			tune_parse_rules(f, text);
			tune_parse_interrupts(f, "%i-TxRx-%q", NULL, text);
			tune_parse_vlans(f, text);
			tune_parse_coalesce(f, text);
			assert_true(tune_parse_link(f, text) == -EBADMSG);
			free(text);
		}
	free(f);
}

static void one_rule(struct tune_rule *out, const char *lines)
{
	struct tune_facts *f = malloc(sizeof(*f));
	char text[1024];

	tune_facts_clear(f);
	snprintf(text, sizeof(text), "8 RX rings available\nTotal 1 rules\n\nFilter: 9\n%s", lines);
	tune_parse_rules(f, text);
	assert_int_equal(f->rules_n, 1);
	*out = f->rules[0];
	free(f);
}

#define ANY_SOURCE "\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255\n"

static void rules(void **state)
{
	static const struct {
		const char *lines;
		int tcp, v6, any_source, simple, drops;
		long queue, context;
	} rows[] = {
		{ "\tRule Type: TCP over IPv4\n" ANY_SOURCE "\tDest port: 25 mask: 0x0\n\tAction: Direct to queue 3\n", 1, 0, 1, 1, 0, 3, -1 },
		{ "\tRule Type: TCP over IPv6\n\tDest port: 25 mask: 0x0\n\tAction: Drop\n", 1, 1, 1, 1, 1, -1, -1 },
		{ "\tRule Type: TCP over IPv4\n\tDest port: 25 mask: 0x0\n\tRSS Context ID: 2\n\tAction: Direct to queue 0\n", 1, 0, 1, 1, 0, 0, 2 },
		{ "\tRule Type: UDP over IPv4\n\tDest port: 25 mask: 0x0\n\tAction: Direct to queue 0\n", 0, 0, 1, 0, 0, 0, -1 },
		{ "\tRule Type: TCP over IPv4\n\tSrc IP addr: 192.0.2.1 mask: 0.0.0.0\n\tDest port: 25 mask: 0x0\n\tAction: Drop\n", 1, 0, 0, 0, 1, -1, -1 },
		{ "\tRule Type: TCP over IPv4\n\tDest port: 25 mask: 0xf\n\tAction: Drop\n", 1, 0, 1, 0, 1, -1, -1 },
		{ "\tRule Type: TCP over IPv4\n\tDest port: 25 mask: 0x0\n\tVLAN: 0x19 mask: 0x0\n\tAction: Drop\n", 1, 0, 1, 0, 1, -1, -1 },
		{ "\tRule Type: TCP over IPv4\n\tDest port: 25 mask: 0x0\n\tAction: Direct to VF 1 queue 0\n", 1, 0, 1, 0, 0, -1, -1 },
		{ "\tRule Type: TCP over IPv4\n\tDest IP addr: 192.0.2.25 mask: 0.0.0.0\n\tDest port: 25 mask: 0x0\n\tAction: Direct to queue 1\n", 1, 0, 1, 0, 0, 1, -1 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tune_rule r;

		one_rule(&r, rows[i].lines);
		assert_int_equal(r.id, 9);
		assert_int_equal(r.tcp, rows[i].tcp);
		assert_int_equal(r.v6, rows[i].v6);
		assert_int_equal(r.any_source, rows[i].any_source);
		assert_int_equal(r.simple, rows[i].simple);
		assert_int_equal(r.drops, rows[i].drops);
		assert_int_equal(r.queue, rows[i].queue);
		assert_int_equal(r.context, rows[i].context);
	}
}

static void hashes(void **state)
{
	static const struct {
		const char *text, *fields;
	} rows[] = {
		{ "TCP over IPV4 flows use these fields for computing Hash flow key:\nIP SA\nIP DA\nL4 bytes 0 & 1 [TCP/UDP src port]\nL4 bytes 2 & 3 [TCP/UDP dst port]\n", "sdfn" },
		{ "TCP over IPV6 flows use these fields for computing Hash flow key:\nIP SA\nIP DA\n", "sd" },
		{ "TCP over IPV4 flows use these fields for computing Hash flow key:\nNone\n", "" },
	};
	char out[8];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tune_parse_hash(out, sizeof(out), rows[i].text);
		assert_string_equal(out, rows[i].fields);
	}
}

/* ---- checks ---- */

/* An i40e of eight queues on eight cores as it should be, on Linux 6.12 */
static struct tune_facts *well(void)
{
	struct tune_facts *f = malloc(sizeof(*f));

	tune_facts_clear(f);
	snprintf(f->ifname, sizeof(f->ifname), "eth0");
	tune_parse_kernel(f, "6.12.9\n");
	tune_parse_driver(f, "driver: i40e\nversion: 6.12.9\nfirmware-version: 8.30\nbus-info: 0000:18:00.0\n");
	f->xdp_features_known = 1;
	f->xdp_features = 0x6f;
	f->mtu = 1500;
	tune_cpus_list(&f->online, "0-7");
	f->cores = f->local = f->online;
	f->numa = 0;
	f->combined = (struct tune_pair){ 16, 8 };
	f->ring_rx = f->ring_tx = (struct tune_pair){ 4096, 2048 };
	f->adaptive_rx = 1;
	f->rx_usecs = 50;
	f->feature[TUNE_LRO].on = f->feature[TUNE_HW_GRO].on = 0;
	f->feature[TUNE_GRO].on = f->feature[TUNE_RXCSUM].on = f->feature[TUNE_RXVLAN].on = 1;
	f->pause_autoneg = f->pause_rx = f->pause_tx = 0;
	f->rss_n = 64;
	f->rss_rings = 8;
	for (unsigned i = 0; i < f->rss_n; i++)
		f->rss[i] = (uint16_t)(i % 8);
	strcpy(f->hash4, "sdfn");
	strcpy(f->hash6, "sdfn");
	for (unsigned i = 0; i < 8; i++) {
		f->irqs[i] = (struct tune_irq){ 100 + i, i, "", "" };
		snprintf(f->irqs[i].name, sizeof(f->irqs[i].name), "i40e-eth0-TxRx-%u", i);
		snprintf(f->irqs[i].affinity, sizeof(f->irqs[i].affinity), "%u", i);
		tune_cpus_add(&f->xps[i], i);
		strcpy(f->governor[i], "performance");
	}
	f->irqs_n = f->rps_n = f->xps_n = 8;
	f->gro_flush_timeout = 20000;
	f->napi_defer_hard_irqs = 10;
	for (size_t i = 0; i < tune_sysctls_n; i++)
		f->sysctl[i] = tune_sysctls[i].wanted;
	return f;
}

static void rss_even_of(struct tune_facts *f, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < f->rss_n; i++)
		f->rss[i] = (uint16_t)(from + i % n);
}

static void set_driver(struct tune_facts *f, const char *name)
{
	snprintf(f->driver, sizeof(f->driver), "%s", name);
}

static void no_features(struct tune_facts *f, const char *kernel)
{
	f->xdp_features_known = 0;
	tune_parse_kernel(f, kernel);
	snprintf(f->version, sizeof(f->version), "%s", kernel);
}

/* One thing that is not well each */
static void b_none(struct tune_facts *f) { }
static void b_outside(struct tune_facts *f) { strcpy(f->version, "2.22.18"); }
static void b_unknown(struct tune_facts *f) { set_driver(f, "e1000e"); }
static void b_safe_mode(struct tune_facts *f) { set_driver(f, "ice"); f->combined = (struct tune_pair){ 1, 1 }; f->cores = (struct tune_cpus){ { 1 } }; }
static void b_generic(struct tune_facts *f) { f->xdp_mode = TUNE_XDP_GENERIC; }
static void b_native(struct tune_facts *f) { f->xdp_mode = TUNE_XDP_NATIVE; }
static void b_no_xdp(struct tune_facts *f) { f->xdp_features = 0; }
static void b_old_kernel(struct tune_facts *f) { set_driver(f, "ice"); f->combined.max = 8; no_features(f, "5.4.0"); }
static void b_slave(struct tune_facts *f) { strcpy(f->master, "bond0"); }
static void b_jumbo_frags(struct tune_facts *f) { f->mtu = 9000; }
static void b_jumbo_single(struct tune_facts *f) { f->mtu = 9000; f->xdp_features = 0x4f; }
static void b_jumbo_6_3(struct tune_facts *f) { f->mtu = 9000; no_features(f, "6.3.1"); }
static void b_jumbo_6_4(struct tune_facts *f) { f->mtu = 9000; no_features(f, "6.4.1"); }
static void b_mtu_edge(struct tune_facts *f) { f->mtu = 3046; no_features(f, "6.1.0"); }
static void b_mtu_over(struct tune_facts *f) { f->mtu = 3047; no_features(f, "6.1.0"); }
static void b_legacy(struct tune_facts *f) { set_driver(f, "ice"); f->combined.max = 8; f->mtu = 2000; no_features(f, "6.1.0");
	tune_parse_flags(f, "Private flags for eth0:\nlink-down-on-close     : on\nlegacy-rx              : on\nvf-vlan-pruning : off\n"); }
static void b_legacy_off(struct tune_facts *f) { set_driver(f, "ice"); f->combined.max = 8; f->mtu = 2000; no_features(f, "6.1.0");
	tune_parse_flags(f, "Private flags for eth0:\nlink-down-on-close     : on\nlegacy-rx              : off\nvf-vlan-pruning : on\n"); }
static void b_lro(struct tune_facts *f) { f->feature[TUNE_LRO].on = 1; }
static void b_hw_gro(struct tune_facts *f) { f->feature[TUNE_HW_GRO].on = 1; }
static void b_hw_gro_fixed(struct tune_facts *f) { f->feature[TUNE_HW_GRO].on = f->feature[TUNE_HW_GRO].fixed = 1; }
static void b_hw_gro_bnxt(struct tune_facts *f) { set_driver(f, "bnxt_en"); f->feature[TUNE_LRO].on = f->feature[TUNE_HW_GRO].on = 1; }
static void b_hw_gro_virtio(struct tune_facts *f) { set_driver(f, "virtio_net"); b_hw_gro_fixed(f); }
static void b_gro(struct tune_facts *f) { f->feature[TUNE_GRO].on = 0; }
static void b_rxcsum(struct tune_facts *f) { f->feature[TUNE_RXCSUM].on = 0; }
static void b_vlan(struct tune_facts *f) { f->vlans = 1; }
static void b_vlan_off(struct tune_facts *f) { f->vlans = 1; f->feature[TUNE_RXVLAN].on = 0; }
static void b_pause(struct tune_facts *f) { f->pause_autoneg = f->pause_rx = 1; }
static void b_pause_ixgbe(struct tune_facts *f) { b_pause(f); set_driver(f, "ixgbe"); }
static void b_pause_ixgbe_forced(struct tune_facts *f) { f->pause_tx = 1; set_driver(f, "ixgbe"); }
static void b_pin(struct tune_facts *f) { f->rules[0] = (struct tune_rule){ 7, 1, 0, 25, 0, 1, 1, 0, 3, -1 }; f->rules_n = 1; }
static void b_drop(struct tune_facts *f) { f->rules[0] = (struct tune_rule){ 7, 1, 1, 25, 0, 1, 1, 1, -1, -1 }; f->rules_n = 1; }
static void b_drop_hand(struct tune_facts *f) { f->rules[0] = (struct tune_rule){ 7, 1, 1, 25, 0, 1, 0, 1, -1, -1 }; f->rules_n = 1; }
static void b_drop_list(struct tune_facts *f) { f->rules[0] = (struct tune_rule){ 7, 1, 0, 25, 0, 0, 0, 1, -1, -1 }; f->rules_n = 1; }
static void b_context(struct tune_facts *f) { f->rules[0] = (struct tune_rule){ 7, 1, 0, 25, 0, 1, 1, 0, 0, 1 }; f->rules_n = 1; }
static void b_other_port(struct tune_facts *f) { f->rules[0] = (struct tune_rule){ 7, 1, 0, 443, 0, 1, 1, 0, 3, -1 }; f->rules_n = 1; }
static void b_rss_two(struct tune_facts *f) { rss_even_of(f, 0, 2); }
static void b_rss_high(struct tune_facts *f) { rss_even_of(f, 4, 4); }
static void b_rss_weight(struct tune_facts *f) { for (unsigned i = 0; i < 64; i++) f->rss[i] = i < 48 ? 0 : i < 60 ? 1 : 3; }
static void b_rss_wild(struct tune_facts *f) { rss_even_of(f, 0, 8); f->rss[0] = 5; f->rss[8] = 5; }
static void b_rss_odd(struct tune_facts *f) { f->rss_rings = 6; f->cores = (struct tune_cpus){ { 0x3f } }; f->combined.now = 6; rss_even_of(f, 0, 6); }
static void b_many(struct tune_facts *f) { f->combined.now = 16; }
static void b_few(struct tune_facts *f) { f->combined.now = 4; }
static void b_ena_half(struct tune_facts *f) { set_driver(f, "ena"); f->combined = (struct tune_pair){ 8, 8 }; }
static void b_bnxt_apart(struct tune_facts *f) { set_driver(f, "bnxt_en"); f->combined.now = 0; f->rx = f->tx = (struct tune_pair){ 8, 8 }; }
static void b_bnxt_tx(struct tune_facts *f) { set_driver(f, "bnxt_en"); f->combined = (struct tune_pair){ 12, 8 }; }
static void b_ixgbe_65(struct tune_facts *f) { set_driver(f, "ixgbe"); tune_cpus_list(&f->online, "0-64"); }
static void b_ixgbe_129(struct tune_facts *f) { set_driver(f, "ixgbe"); tune_cpus_list(&f->online, "0-128"); }
static void b_ice_few(struct tune_facts *f) { set_driver(f, "ice"); f->combined.max = 8; tune_cpus_list(&f->online, "0-31"); }
static void b_ice_lock(struct tune_facts *f) { set_driver(f, "ice"); f->combined.max = 8; tune_cpus_list(&f->online, "0-15"); }
static void b_ring_small(struct tune_facts *f) { f->ring_rx.now = 512; }
static void b_ring_large(struct tune_facts *f) { f->ring_rx = (struct tune_pair){ 8160, 8160 }; }
static void b_ring_max(struct tune_facts *f) { f->ring_rx = (struct tune_pair){ 512, 512 }; }
static void b_ring_bnxt(struct tune_facts *f) { set_driver(f, "bnxt_en"); f->combined.max = 32; f->ring_rx = (struct tune_pair){ 2047, 511 }; }
static void b_usecs_0(struct tune_facts *f) { f->adaptive_rx = 0; f->rx_usecs = 0; }
static void b_usecs_200(struct tune_facts *f) { f->adaptive_rx = 0; f->rx_usecs = 200; }
static void b_usecs_1(struct tune_facts *f) { f->adaptive_rx = 0; f->rx_usecs = 1; }
static void b_ixgbe_1(struct tune_facts *f) { b_usecs_1(f); set_driver(f, "ixgbe"); }
static void b_hash4(struct tune_facts *f) { strcpy(f->hash4, "sd"); }
static void b_hash6(struct tune_facts *f) { strcpy(f->hash6, "s"); }
static void b_irqbalance(struct tune_facts *f) { f->irqbalance = 77; }
static void b_irq(struct tune_facts *f) { strcpy(f->irqs[2].affinity, "0-7"); }
static void b_irq_idle(struct tune_facts *f) { f->irqs[8] = (struct tune_irq){ 108, 8, "i40e-eth0-TxRx-8", "0-7" }; f->irqs_n = 9; }
static void b_rps(struct tune_facts *f) { tune_cpus_list(&f->rps[1], "0-3"); }
static void b_xps(struct tune_facts *f) { tune_cpus_list(&f->xps[1], "0-3"); }
static void b_napi(struct tune_facts *f) { f->gro_flush_timeout = 0; }
static void b_defer(struct tune_facts *f) { f->napi_defer_hard_irqs = 0; }
static void b_somaxconn(struct tune_facts *f) { f->sysctl[0] = 4096; }
static void b_more(struct tune_facts *f) { f->sysctl[0] = 100000; }
static void b_abort(struct tune_facts *f) { f->sysctl[2] = 1; }
static void b_bpf_locked(struct tune_facts *f) { f->sysctl[6] = 1; }
static void b_bpf_open(struct tune_facts *f) { f->sysctl[6] = 0; }
static void b_absent(struct tune_facts *f) { f->sysctl[4] = TUNE_ABSENT; }
static void b_governor(struct tune_facts *f) { strcpy(f->governor[6], "schedutil"); }

static const struct {
	void (*spoil)(struct tune_facts *f);
	const char *check;
	enum tune_verdict verdict;
	const char *run, *undo; /* NULL: no change of this check */
} rows[] = {
	{ b_none, "driver", TUNE_OK, NULL, NULL },
	{ b_outside, "driver", TUNE_WARN, NULL, NULL },
	{ b_unknown, "driver", TUNE_WARN, NULL, NULL },
	{ b_safe_mode, "firmware", TUNE_FAIL, NULL, NULL },
	{ b_generic, "xdp", TUNE_FAIL, NULL, NULL },
	{ b_native, "xdp", TUNE_OK, NULL, NULL },
	{ b_no_xdp, "xdp", TUNE_FAIL, NULL, NULL },
	{ b_old_kernel, "xdp", TUNE_FAIL, NULL, NULL },
	{ b_slave, "xdp", TUNE_WARN, NULL, NULL },
	{ b_jumbo_frags, "mtu", TUNE_OK, NULL, NULL },
	{ b_jumbo_single, "mtu", TUNE_FAIL, "ip link set dev eth0 mtu 1500", "ip link set dev eth0 mtu 9000" },
	{ b_jumbo_6_3, "mtu", TUNE_FAIL, "ip link set dev eth0 mtu 1500", "ip link set dev eth0 mtu 9000" },
	{ b_jumbo_6_4, "mtu", TUNE_OK, NULL, NULL },
	{ b_mtu_edge, "mtu", TUNE_OK, NULL, NULL },
	{ b_mtu_over, "mtu", TUNE_FAIL, "ip link set dev eth0 mtu 1500", "ip link set dev eth0 mtu 3047" },
	{ b_legacy, "mtu", TUNE_FAIL, "ip link set dev eth0 mtu 1500", "ip link set dev eth0 mtu 2000" },
	{ b_legacy_off, "mtu", TUNE_OK, NULL, NULL },
	{ b_lro, "lro", TUNE_FAIL, "ethtool -K eth0 lro off", "ethtool -K eth0 lro on" },
	{ b_hw_gro, "hw-gro", TUNE_FAIL, "ethtool -K eth0 rx-gro-hw off", "ethtool -K eth0 rx-gro-hw on" },
	{ b_hw_gro_fixed, "hw-gro", TUNE_FAIL, NULL, NULL },
	{ b_hw_gro_bnxt, "hw-gro", TUNE_OK, NULL, NULL },
	{ b_hw_gro_bnxt, "lro", TUNE_OK, NULL, NULL },
	{ b_hw_gro_virtio, "hw-gro", TUNE_FAIL, NULL, NULL },
	{ b_gro, "gro", TUNE_WARN, "ethtool -K eth0 gro on", "ethtool -K eth0 gro off" },
	{ b_rxcsum, "rx-checksum", TUNE_WARN, "ethtool -K eth0 rx on", "ethtool -K eth0 rx off" },
	{ b_vlan, "vlan-offload", TUNE_FAIL, "ethtool -K eth0 rxvlan off", "ethtool -K eth0 rxvlan on" },
	{ b_vlan_off, "vlan-offload", TUNE_OK, NULL, NULL },
	{ b_pause, "pause", TUNE_WARN, "ethtool -A eth0 rx off tx off", "ethtool -A eth0 rx on tx off" },
	{ b_pause_ixgbe, "pause", TUNE_WARN, "ethtool -A eth0 autoneg off rx off tx off", "ethtool -A eth0 autoneg on rx on tx off" },
	{ b_pause_ixgbe_forced, "pause", TUNE_WARN, "ethtool -A eth0 rx off tx off", "ethtool -A eth0 rx off tx on" },
	{ b_pin, "ntuple", TUNE_WARN, "ethtool -N eth0 delete 7", "ethtool -N eth0 flow-type tcp4 dst-port 25 action 3 loc 7" },
	{ b_drop, "ntuple", TUNE_FAIL, "ethtool -N eth0 delete 7", "ethtool -N eth0 flow-type tcp6 dst-port 25 action -1 loc 7" },
	{ b_drop_hand, "ntuple", TUNE_FAIL, NULL, NULL },
	{ b_drop_list, "ntuple", TUNE_OK, NULL, NULL },
	{ b_context, "ntuple", TUNE_OK, NULL, NULL },
	{ b_other_port, "ntuple", TUNE_OK, NULL, NULL },
	{ b_rss_two, "rss-table", TUNE_WARN, "ethtool -X eth0 default", "ethtool -X eth0 start 0 equal 2" },
	{ b_rss_high, "rss-table", TUNE_WARN, "ethtool -X eth0 default", "ethtool -X eth0 start 4 equal 4" },
	{ b_rss_weight, "rss-table", TUNE_WARN, "ethtool -X eth0 default", "ethtool -X eth0 weight 48 12 0 4" },
	{ b_rss_wild, "rss-table", TUNE_WARN, NULL, NULL },
	{ b_rss_odd, "rss-table", TUNE_OK, NULL, NULL },
	{ b_many, "channels", TUNE_WARN, "ethtool -L eth0 combined 8", "ethtool -L eth0 combined 16" },
	{ b_few, "channels", TUNE_WARN, "ethtool -L eth0 combined 8", "ethtool -L eth0 combined 4" },
	{ b_ena_half, "channels", TUNE_WARN, "ethtool -L eth0 combined 4", "ethtool -L eth0 combined 8" },
	{ b_ena_half, "xdp-queues", TUNE_FAIL, NULL, NULL },
	{ b_bnxt_apart, "channels", TUNE_WARN, "ethtool -L eth0 rx 0 tx 0 combined 8", "ethtool -L eth0 rx 8 tx 8 combined 0" },
	{ b_bnxt_apart, "xdp-queues", TUNE_FAIL, NULL, NULL },
	{ b_bnxt_tx, "xdp-queues", TUNE_WARN, NULL, NULL },
	{ b_ixgbe_65, "xdp-queues", TUNE_WARN, NULL, NULL },
	{ b_ixgbe_129, "xdp-queues", TUNE_FAIL, NULL, NULL },
	{ b_ice_few, "xdp-queues", TUNE_FAIL, NULL, NULL },
	{ b_ice_lock, "xdp-queues", TUNE_WARN, NULL, NULL },
	{ b_none, "xdp-queues", TUNE_OK, NULL, NULL },
	{ b_ring_small, "rings", TUNE_WARN, "ethtool -G eth0 rx 1024", "ethtool -G eth0 rx 512" },
	{ b_ring_large, "rings", TUNE_WARN, "ethtool -G eth0 rx 2048", "ethtool -G eth0 rx 8160" },
	{ b_ring_max, "rings", TUNE_WARN, NULL, NULL },
	{ b_ring_bnxt, "rings", TUNE_WARN, "ethtool -G eth0 rx 1023", "ethtool -G eth0 rx 511" },
	{ b_usecs_0, "coalescing", TUNE_WARN, "ethtool -C eth0 rx-usecs 30", "ethtool -C eth0 rx-usecs 0" },
	{ b_usecs_200, "coalescing", TUNE_WARN, "ethtool -C eth0 rx-usecs 30", "ethtool -C eth0 rx-usecs 200" },
	{ b_usecs_1, "coalescing", TUNE_WARN, "ethtool -C eth0 rx-usecs 30", "ethtool -C eth0 rx-usecs 1" },
	{ b_ixgbe_1, "coalescing", TUNE_OK, NULL, NULL },
	{ b_hash4, "rss-hash-tcp4", TUNE_WARN, "ethtool -N eth0 rx-flow-hash tcp4 sdfn", "ethtool -N eth0 rx-flow-hash tcp4 sd" },
	{ b_hash6, "rss-hash-tcp6", TUNE_WARN, "ethtool -N eth0 rx-flow-hash tcp6 sdfn", "ethtool -N eth0 rx-flow-hash tcp6 s" },
	{ b_irqbalance, "irqbalance", TUNE_WARN, "systemctl stop irqbalance.service", "systemctl start irqbalance.service" },
	{ b_irq, "irq-affinity", TUNE_WARN, "echo 2 >/proc/irq/102/smp_affinity_list", "echo 0-7 >/proc/irq/102/smp_affinity_list" },
	{ b_irq_idle, "irq-affinity", TUNE_OK, NULL, NULL },
	{ b_rps, "rps", TUNE_WARN, "echo 0 >/sys/class/net/eth0/queues/rx-1/rps_cpus", "echo f >/sys/class/net/eth0/queues/rx-1/rps_cpus" },
	{ b_xps, "xps", TUNE_WARN, "echo 2 >/sys/class/net/eth0/queues/tx-1/xps_cpus", "echo f >/sys/class/net/eth0/queues/tx-1/xps_cpus" },
	{ b_napi, "napi", TUNE_WARN, "echo 20000 >/sys/class/net/eth0/gro_flush_timeout", "echo 0 >/sys/class/net/eth0/gro_flush_timeout" },
	{ b_defer, "napi", TUNE_WARN, "echo 10 >/sys/class/net/eth0/napi_defer_hard_irqs", "echo 0 >/sys/class/net/eth0/napi_defer_hard_irqs" },
	{ b_somaxconn, "net.core.somaxconn", TUNE_WARN, "echo 65535 >/proc/sys/net/core/somaxconn", "echo 4096 >/proc/sys/net/core/somaxconn" },
	{ b_more, "net.core.somaxconn", TUNE_OK, NULL, NULL },
	{ b_abort, "net.ipv4.tcp_abort_on_overflow", TUNE_WARN, "echo 0 >/proc/sys/net/ipv4/tcp_abort_on_overflow",
	  "echo 1 >/proc/sys/net/ipv4/tcp_abort_on_overflow" },
	{ b_bpf_locked, "kernel.unprivileged_bpf_disabled", TUNE_OK, NULL, NULL },
	{ b_bpf_open, "kernel.unprivileged_bpf_disabled", TUNE_WARN, "echo 2 >/proc/sys/kernel/unprivileged_bpf_disabled",
	  "echo 0 >/proc/sys/kernel/unprivileged_bpf_disabled" },
	{ b_absent, "net.core.netdev_budget", TUNE_OK, NULL, NULL },
	{ b_governor, "governor", TUNE_WARN, "echo performance >/sys/devices/system/cpu/cpu6/cpufreq/scaling_governor",
	  "echo schedutil >/sys/devices/system/cpu/cpu6/cpufreq/scaling_governor" },
};

static const struct tune_change *change_of(const struct tune_report *r, const char *check)
{
	const struct tune_change *found = NULL;

	for (size_t i = 0; i < r->changes_n; i++)
		if (!strcmp(r->changes[i].check, check)) {
			assert_null(found); /* these rows spoil one thing: one change */
			found = &r->changes[i];
		}
	return found;
}

static void checks(void **state)
{
	struct tune_wants wants = { 0 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tune_facts *f = well();
		struct tune_report *r;
		const struct tune_finding *finding;
		const struct tune_change *c;

		rows[i].spoil(f);
		r = tune_judge(f, &wants);
		finding = tune_report_find(r, rows[i].check);
		assert_non_null(finding);
		if (finding->verdict != rows[i].verdict)
			fail_msg("row %zu, %s: %s", i, rows[i].check, tune_verdict_word(finding->verdict));
		c = change_of(r, rows[i].check);
		if (!c != !rows[i].run)
			fail_msg("row %zu, %s: %s", i, rows[i].check, c ? c->run : "no change");
		if (c) {
			assert_string_equal(c->run, rows[i].run);
			assert_string_equal(c->undo, rows[i].undo);
		}
		assert_true(*finding->why && *finding->now && *finding->seen);
		tune_report_free(r);
		free(f);
	}
}

static void all_well(void **state)
{
	struct tune_facts *f = well();
	struct tune_wants wants = { 0 };
	struct tune_report *r = tune_judge(f, &wants);

	for (size_t i = 0; i < r->findings_n; i++)
		if (r->findings[i].verdict != TUNE_OK)
			fail_msg("%s: %s", r->findings[i].check, r->findings[i].why);
	assert_int_equal(r->changes_n, 0);
	assert_string_equal(r->refused, "");
	tune_report_free(r);
	free(f);
}

static void refused(void (*spoil)(struct tune_facts *f), int allow_generic, int wanted)
{
	struct tune_facts *f = well();
	struct tune_wants wants = { .allow_generic = allow_generic };
	struct tune_report *r;

	spoil(f);
	r = tune_judge(f, &wants);
	assert_int_equal(*r->refused != '\0', wanted);
	tune_report_free(r);
	free(f);
}

static void no_ethtool(struct tune_facts *f) { f->has_ethtool = 0; }
static void bond(struct tune_facts *f) { set_driver(f, "bonding"); }
static void ena_all_channels(struct tune_facts *f) { b_ena_half(f); f->xdp_features = 0; }

static void refusals(void **state)
{
	refused(b_none, 0, 0);
	refused(b_unknown, 0, 1);
	refused(b_unknown, 1, 1);
	refused(no_ethtool, 0, 1);
	refused(bond, 0, 1);
	refused(b_generic, 0, 1);
	refused(b_generic, 1, 0);
	refused(b_no_xdp, 0, 1);
	refused(b_no_xdp, 1, 0);
	refused(ena_all_channels, 0, 0); /* fewer channels are the way out of generic mode */
}

/* Interrupts and queues of channels that a plan makes anew are not touched by that plan */
static void channels_first(void **state)
{
	struct tune_facts *f = well();
	struct tune_wants wants = { .workers = 4 };
	struct tune_report *r;

	b_irq(f);
	b_xps(f);
	r = tune_judge(f, &wants);
	assert_int_equal(r->changes_n, 1);
	assert_string_equal(r->changes[0].run, "ethtool -L eth0 combined 4");
	assert_string_equal(r->changes[0].away, "1 to 3 s");
	assert_true(r->again);
	tune_report_free(r);
	free(f);
}

static const struct tune_change *nth_of(const struct tune_report *r, const char *check)
{
	for (size_t i = 0; i < r->changes_n; i++)
		if (!strcmp(r->changes[i].check, check))
			return &r->changes[i];
	return NULL;
}

/* While irqbalance runs, an interrupt does not stay where it is put */
static void interrupts_rest_on_irqbalance(void **state)
{
	struct tune_facts *f = well();
	struct tune_wants wants = { 0 };
	struct tune_report *r;

	b_irq(f);
	b_irqbalance(f);
	b_somaxconn(f);
	r = tune_judge(f, &wants);
	assert_string_equal(nth_of(r, "irq-affinity")->needs, "irqbalance");
	assert_null(nth_of(r, "irqbalance")->needs);
	assert_null(nth_of(r, "net.core.somaxconn")->needs);
	tune_report_free(r);
	free(f);
}

/* A queue that goes away has no RPS to switch off, and gets its RPS back only once it is there again */
static void rps_before_channels(void **state)
{
	struct tune_facts *f = well();
	struct tune_wants wants = { .workers = 4 };
	struct tune_report *r;

	tune_cpus_list(&f->rps[7], "0-3");
	r = tune_judge(f, &wants);
	assert_int_equal(r->changes_n, 2);
	assert_string_equal(r->changes[0].run, "echo 0 >/sys/class/net/eth0/queues/rx-7/rps_cpus");
	assert_string_equal(r->changes[1].run, "ethtool -L eth0 combined 4");
	tune_report_free(r);
	free(f);
}

/* ---- what undo is held against ---- */

static void lines(void **state)
{
	struct tune_facts *f = well();
	FILE *quiet = fopen("/dev/null", "w");
	char *before = tune_facts_lines(f), *now;

	assert_int_equal(tune_lines_compare(before, before, quiet), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tune_facts *spoilt = well();

		rows[i].spoil(spoilt);
		/* of the same card, and by a value that a command sets */
		if (!rows[i].run || strcmp(spoilt->driver, f->driver) || spoilt->vlans) {
			free(spoilt);
			continue;
		}
		now = tune_facts_lines(spoilt);
		if (!tune_lines_compare(before, now, quiet))
			fail_msg("row %zu, %s: a change that the lines do not show", i, rows[i].check);
		free(now);
		free(spoilt);
	}
	b_pin(f);
	now = tune_facts_lines(f);
	assert_int_equal(tune_lines_compare(now, before, quiet), 1);
	free(before);
	free(now);
	free(f);
	fclose(quiet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_sets),	  cmocka_unit_test(bad_cpu_sets), cmocka_unit_test(cut_replies),
		cmocka_unit_test(rules),	  cmocka_unit_test(hashes),	  cmocka_unit_test(all_well),
		cmocka_unit_test(checks),	  cmocka_unit_test(refusals),	  cmocka_unit_test(channels_first),
		cmocka_unit_test(lines),	  cmocka_unit_test(interrupts_rest_on_irqbalance),
		cmocka_unit_test(rps_before_channels),
	};

	return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
