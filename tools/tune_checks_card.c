/* SPDX-License-Identifier: BSD-2-Clause */
/* The card itself: driver, firmware, XDP, MTU, offloads, pause frames. */
#include <string.h>

#include "tools/tune_checks.h"

/* linux/netdev.h, enum netdev_xdp_act */
#define XDP_ACT_BASIC 1u
#define XDP_ACT_RX_SG 32u

static const char *kernel_text(unsigned number, char out[16])
{
	snprintf(out, 16, "%u.%u", number / 1000, number % 1000);
	return out;
}

void tune_check_driver(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "driver");

	SAY(f->seen, "ethtool -i %s", j->f->ifname);
	SAY(f->now, "%s%s%.48s", j->f->has_ethtool ? j->f->driver : "not told", *j->f->version ? " " : "", j->f->version);
	if (!j->driver) {
		f->verdict = TUNE_WARN;
		SAY(f->wanted, "one of --driver-facts");
		SAY(f->why, "its limits and what resets its link are not known here; nothing will be applied");
		return;
	}
	SAY(f->wanted, "the kernel's own");
	SAY(f->why, "%s", j->driver->hardware);
	if (!(j->driver->flags & TUNE_OWN_VERSION) && strcmp(j->f->version, j->f->kernel)) {
		f->verdict = TUNE_WARN;
		SAY(f->why, "a driver from outside the kernel: its limits may differ from those known here");
	}
}

void tune_check_firmware(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "firmware");

	SAY(f->seen, "ethtool -i %s", j->f->ifname);
	SAY(f->now, "%s", *j->f->firmware ? j->f->firmware : "none told");
	SAY(f->why, "%s", *j->f->firmware ? "write it down before an update" : "this driver has none or tells none");
	/* ice without its DDP package: "Advanced features disabled", one queue, no RSS, no XDP */
	if (!strcmp(j->f->driver, "ice") && j->f->combined.max == 1) {
		f->verdict = TUNE_FAIL;
		SAY(f->wanted, "a DDP package");
		SAY(f->why,
		    "safe mode: the card found no DDP package (firmware-misc-nonfree, intel/ice/ddp/ice.pkg); one queue, no RSS");
	}
}

static int native_possible(const struct judge *j)
{
	if (j->f->xdp_features_known)
		return (j->f->xdp_features & XDP_ACT_BASIC) != 0;
	return j->driver && j->driver->native && j->f->kernel_number >= j->driver->native;
}

int judge_frags(const struct judge *j)
{
	if (j->f->xdp_features_known)
		return (j->f->xdp_features & XDP_ACT_RX_SG) != 0;
	return j->driver && j->driver->frags && j->f->kernel_number >= j->driver->frags;
}

/* bond_xdp_check() of drivers/net/bonding/bond_main.c */
static int bond_fits(const struct tune_facts *f)
{
	if (!strcmp(f->bond_mode, "balance-rr") || !strcmp(f->bond_mode, "active-backup"))
		return 1;
	return (!strcmp(f->bond_mode, "802.3ad") || !strcmp(f->bond_mode, "balance-xor")) &&
	       strcmp(f->bond_hash, "vlan+srcmac");
}

static void xdp_where(const struct judge *j, struct tune_finding *f)
{
	char since[16];

	if (j->f->xdp_features_known)
		SAY(f->seen, "ip -d link show dev %s; netdev features 0x%llx", j->f->ifname,
		    (unsigned long long)j->f->xdp_features);
	else
		SAY(f->seen, "ip -d link show dev %s; native since kernel %s, this is %.24s", j->f->ifname,
		    j->driver ? kernel_text(j->driver->native, since) : "?", j->f->kernel);
}

static void xdp_verdict(struct judge *j, struct tune_finding *f)
{
	int bond = j->driver && j->driver->rule == TUNE_QUEUES_SLAVES;

	if (j->f->xdp_mode == TUNE_XDP_GENERIC) {
		f->verdict = TUNE_FAIL;
		SAY(f->why,
		    "generic mode copies every packet into a socket buffer first: a flood costs what it would without the front");
	} else if (bond && !bond_fits(j->f)) {
		f->verdict = TUNE_FAIL;
		SAY(f->why, "bond mode %s%s%s takes no program", j->f->bond_mode, *j->f->bond_hash ? ", hash " : "",
		    j->f->bond_hash);
	} else if (!native_possible(j)) {
		f->verdict = TUNE_FAIL;
		SAY(f->why, "neither driver nor kernel run XDP natively here: only generic mode is left, for tests");
	} else if (*j->f->master) {
		f->verdict = TUNE_WARN;
		SAY(f->why, "is part of %s: put the front on %s, not here (EEXIST once that has a program)",
		    j->f->master, j->f->master);
	} else if (j->f->xdp_mode == TUNE_XDP_NONE) {
		SAY(f->why, "no program yet; attaching: %.120s", j->driver ? j->driver->attach : "not known");
	} else {
		SAY(f->why, "program %u; %s", j->f->xdp_prog,
		    judge_frags(j) ? "takes frames of several buffers" : "frames of one buffer only");
	}
	j->report->generic = j->f->xdp_mode == TUNE_XDP_GENERIC || (!native_possible(j) && !bond);
}

void tune_check_xdp(struct judge *j)
{
	static const char *const modes[] = { "not attached", "native", "generic", "offloaded" };
	struct tune_finding *f = judge_finding(j, "xdp");

	SAY(f->now, "%s%s", modes[j->f->xdp_mode],
	    j->f->xdp_mode	 ? ""
	    : native_possible(j) ? ", native possible"
				 : ", native not possible");
	SAY(f->wanted, "native");
	xdp_where(j, f);
	xdp_verdict(j, f);
}

static long mtu_limit(const struct judge *j)
{
	return j->f->legacy_rx && j->driver->legacy_mtu ? j->driver->legacy_mtu : j->driver->mtu;
}

void tune_check_mtu(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "mtu");
	struct tune_change *c;

	SAY(f->seen, "ip -d link show dev %s%s", j->f->ifname,
	    j->f->legacy_rx ? "; private flag legacy-rx is on" : "");
	SAY(f->now, "%ld", j->f->mtu);
	if (!j->driver || j->driver->mtu == TUNE_ABSENT) {
		SAY(f->why, "%s", j->driver ? "the slaves' limit counts" : "the driver's limit is not known");
		return;
	}
	SAY(f->wanted, "<= %ld%s", mtu_limit(j), judge_frags(j) ? ", more with frags" : "");
	if (j->f->mtu <= mtu_limit(j)) {
		SAY(f->why, "a frame fits one buffer");
		return;
	}
	if (judge_frags(j)) {
		SAY(f->why,
		    "frames of several buffers: the front is an xdp.frags program, and driver and kernel take it");
		return;
	}
	f->verdict = TUNE_FAIL;
	SAY(f->why, "the program is refused at this MTU: %s without frags takes %ld; the Internet needs 1500",
	    j->f->driver, mtu_limit(j));
	c = judge_change(j, f, TUNE_BY_MTU, judge_text(j, "ip link set dev %s mtu 1500", j->f->ifname),
			 judge_text(j, "ip link set dev %s mtu %ld", j->f->ifname, j->f->mtu));
	if (c)
		c->needs_mtu = 1;
}

static const char *word(long on)
{
	return on ? "on" : "off";
}

static const struct {
	const char *check, *word; /* of ethtool -K */
	enum tune_feature feature;
	long wanted;
	enum tune_verdict otherwise;
	const char *why, *fine;
} offloads[] = {
	{ "lro", "lro", TUNE_LRO, 0, TUNE_FAIL, "XDP is refused, or falls back to generic",
	  "packets reach XDP as they came" },
	{ "hw-gro", "rx-gro-hw", TUNE_HW_GRO, 0, TUNE_FAIL, "XDP is refused, or falls back to generic",
	  "packets reach XDP as they came" },
	{ "gro", "gro", TUNE_GRO, 1, TUNE_WARN,
	  "works behind XDP and saves the stack most of its calls for a mail's body", "works behind XDP" },
	{ "rx-checksum", "rx", TUNE_RXCSUM, 1, TUNE_WARN, "the CPU sums every segment again", "the card sums" },
};

/* virtnet_xdp_set(), bnxt_xdp_set(): nothing to mend as long as the driver may */
static int driver_clears(const struct judge *j, enum tune_feature feature, int fixed)
{
	return (feature == TUNE_LRO || feature == TUNE_HW_GRO) && !fixed && j->driver &&
	       (j->driver->flags & TUNE_CLEARS_GRO);
}

static void one_offload(struct judge *j, size_t i)
{
	struct tune_finding *f = judge_finding(j, offloads[i].check);
	long on = j->f->feature[offloads[i].feature].on;
	int fixed = j->f->feature[offloads[i].feature].fixed;

	SAY(f->seen, "ethtool -k %s", j->f->ifname);
	SAY(f->now, "%s%s", on == TUNE_ABSENT ? "not offered" : word(on), fixed ? " (fixed)" : "");
	SAY(f->wanted, "%s", word(offloads[i].wanted));
	SAY(f->why, "%s", offloads[i].fine);
	if (on == TUNE_ABSENT || on == offloads[i].wanted)
		return;
	if (driver_clears(j, offloads[i].feature, fixed)) {
		SAY(f->wanted, "as it is");
		SAY(f->why, "the driver switches it off itself while a program is attached");
		return;
	}
	f->verdict = offloads[i].otherwise;
	SAY(f->why, "%s%s", offloads[i].why, fixed ? "; it cannot be changed here" : "");
	if (!fixed)
		judge_change(j, f, TUNE_BY_OFFLOADS,
			     judge_text(j, "ethtool -K %s %s %s", j->f->ifname, offloads[i].word, word(!on)),
			     judge_text(j, "ethtool -K %s %s %s", j->f->ifname, offloads[i].word, word(on)));
}

void tune_check_offloads(struct judge *j)
{
	for (size_t i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++)
		one_offload(j, i);
}

/* The front sees up to two tags in the packet.  One that the card took off is not there when XDP_TX answers. */
void tune_check_vlan(struct judge *j)
{
	struct tune_finding *f = judge_finding(j, "vlan-offload");
	long on = j->f->feature[TUNE_RXVLAN].on;

	SAY(f->seen, "ethtool -k %s; /proc/net/vlan/config", j->f->ifname);
	SAY(f->now, "%s, %d VLANs", on == TUNE_ABSENT ? "not offered" : on ? "on" : "off", j->f->vlans);
	SAY(f->wanted, "%s", j->f->vlans ? "off" : "as it is");
	SAY(f->why, "%s",
	    j->f->vlans ? "tags stay in the packet, where the front reads and answers them"
			: "no VLAN on top, no tags to lose");
	if (!j->f->vlans || on != 1)
		return;
	f->verdict = TUNE_FAIL;
	SAY(f->why, "the card takes tags off before XDP: SYN cookies that the front sends would go out untagged");
	if (!j->f->feature[TUNE_RXVLAN].fixed)
		judge_change(j, f, TUNE_BY_OFFLOADS, judge_text(j, "ethtool -K %s rxvlan off", j->f->ifname),
			     judge_text(j, "ethtool -K %s rxvlan on", j->f->ifname));
}

/* autoneg stands in the command only where rx and tx do nothing beside it (ixgbe_set_pauseparam()): ice and i40e answer
 * EOPNOTSUPP to another one than the link's. */
static void pause_off(struct judge *j, const struct tune_finding *f)
{
	const struct tune_facts *t = j->f;
	int autoneg = j->driver && (j->driver->flags & TUNE_PAUSE_FULL) && t->pause_autoneg == 1;

	judge_change(j, f, TUNE_BY_PAUSE,
		     judge_text(j, "ethtool -A %s %srx off tx off", t->ifname, autoneg ? "autoneg off " : ""),
		     judge_text(j, "ethtool -A %s %srx %s tx %s", t->ifname, autoneg ? "autoneg on " : "",
				word(t->pause_rx), word(t->pause_tx)));
}

void tune_check_pause(struct judge *j)
{
	const struct tune_facts *t = j->f;
	struct tune_finding *f = judge_finding(j, "pause");
	int told = t->pause_rx != TUNE_ABSENT && t->pause_tx != TUNE_ABSENT;

	SAY(f->seen, "ethtool -a %s", t->ifname);
	SAY(f->wanted, "off");
	if (!told)
		SAY(f->now, "not offered");
	else
		SAY(f->now, "rx %s, tx %s", word(t->pause_rx), word(t->pause_tx));
	SAY(f->why, "a flood is dropped here, not in the switch");
	if (!told || (!t->pause_rx && !t->pause_tx))
		return;
	f->verdict = TUNE_WARN;
	SAY(f->why, "a card that cannot keep up stops the switch's port, and others behind it");
	pause_off(j, f);
}
