/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of each driver: from its source in Linux 6.1 and 6.12 and the issue threads of its users.  "frags" is
 * the kernel whose driver takes xdp.frags programs on frames of several buffers; where the kernel tells by itself
 * (netdev family, 6.3) its word goes first.  How long a link stays away is what operators report, not a promise.
 */
#include <string.h>

#include "tools/tune.h"

#define K TUNE_KERNEL

const struct tune_driver tune_drivers[] = {
	{ .name = "ixgbe",
	  .hardware = "Intel 82599, X520, X540, X550",
	  .native = K(4, 12),
	  .mtu = 3050,
	  .rule = TUNE_QUEUES_CPUS_64,
	  .queues = "a transmit ring a CPU up to 64; above, CPUs share rings behind a lock; above 128: ENOMEM",
	  .resets =
		  TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS | TUNE_BY_OFFLOADS | TUNE_BY_MTU | TUNE_BY_PAUSE,
	  .away = "2 to 4 s",
	  .flags = TUNE_ADAPTIVE_IS_1 | TUNE_PAUSE_FULL,
	  .attach = "first attach and last detach reset the rings: the link blips",
	  .irq = "%i-TxRx-%q",
	  .other = "no XDP beside SR-IOV or DCB; RSC (LRO) must be off; frame (MTU + 22) must fit a buffer of 3072" },
	{ .name = "ixgbevf",
	  .hardware = "Intel 82599, X540, X550 virtual function",
	  .native = K(4, 17),
	  .mtu = 1500,
	  .rule = TUNE_QUEUES_OWN,
	  .queues = "a transmit ring a channel; a virtual function has few",
	  .resets = TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS | TUNE_BY_MTU,
	  .away = "1 to 3 s",
	  .flags = TUNE_ADAPTIVE_IS_1,
	  .attach = "first attach re-initialises the function",
	  .irq = "%i-TxRx-%q",
	  .other = "pass, drop and TX only, no redirect; MTU 9000 is refused with EINVAL" },
	{ .name = "i40e",
	  .hardware = "Intel X710, XL710, XXV710, X722",
	  .native = K(4, 13),
	  .frags = K(6, 4),
	  .mtu = 3046,
	  .rule = TUNE_QUEUES_OWN,
	  .queues = "a transmit ring a queue pair",
	  .resets = TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS | TUNE_BY_MTU | TUNE_BY_PAUSE,
	  .away = "1 to 3 s",
	  .attach = "full reset and rebuild of the function",
	  .irq = "i40e-%i-TxRx-%q",
	  .other =
		  "redirect into it fails with ENXIO on CPUs above the number of queues (i40e_xdp_xmit goes by CPU)" },
	{ .name = "ice",
	  .hardware = "Intel E810, E822, E823, E830",
	  .native = K(5, 5),
	  .frags = K(6, 3),
	  .mtu = 3046,
	  .legacy_mtu = 1638,
	  .rule = TUNE_QUEUES_CPUS_HALF,
	  .queues = "free transmit queues for at least half the CPUs, else ENOMEM; fewer than CPUs: a lock",
	  .resets = TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS | TUNE_BY_MTU | TUNE_BY_PAUSE,
	  .away = "1 s",
	  .attach = "first attach takes the interface down and up; later programs are swapped in place",
	  .irq = "ice-%i-TxRx-%q",
	  .other =
		  "MTU 1638 with legacy-rx; at most 127 channels; -L answers EBUSY while irdma is bound; without its DDP "
		  "package the card runs in safe mode with one queue" },
	{ .name = "mlx5_core",
	  .hardware = "NVIDIA ConnectX-4 and later, BlueField",
	  .native = K(4, 9),
	  .frags = K(5, 18),
	  .mtu = 3498,
	  .rule = TUNE_QUEUES_OWN,
	  .queues = "a transmit queue a channel",
	  .resets = TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS | TUNE_BY_OFFLOADS | TUNE_BY_MTU,
	  .away = "0.2 s",
	  .attach = "channels are closed and opened again",
	  .irq = "mlx5_comp%q@pci:%p",
	  .other =
		  "HW-GRO and LRO must be off; counters rx_xdp_drop, rx_xdp_tx_xmit, rx_xdp_tx_full, rx_xdp_redirect" },
	{ .name = "bnxt_en",
	  .hardware = "Broadcom NetXtreme-C/E, Thor",
	  .native = K(4, 11),
	  .frags = K(5, 19),
	  .mtu = 3502,
	  .rule = TUNE_QUEUES_COMBINED,
	  .queues = "channels must be combined, and one transmit ring more a channel",
	  .resets =
		  TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS | TUNE_BY_OFFLOADS | TUNE_BY_MTU | TUNE_BY_PAUSE,
	  .away = "1 to 2 s",
	  .attach = "closes and opens the card",
	  .irq = "%i-TxRx-%q",
	  .ring_less = 1,
	  .flags = TUNE_CLEARS_GRO,
	  .other = "the driver turns LRO and GRO-HW (TPA) off itself while a program is attached" },
	{ .name = "ena",
	  .hardware = "Amazon Elastic Network Adapter",
	  .native = K(5, 6),
	  .mtu = 3498,
	  .rule = TUNE_QUEUES_HALF,
	  .queues = "at most half of the channels: the other half become XDP transmit queues",
	  .resets = TUNE_BY_ATTACH | TUNE_BY_CHANNELS | TUNE_BY_RINGS,
	  .away = "0.1 s",
	  .attach = "takes the interface down and up and lowers its largest MTU",
	  .irq = "%i-Tx-Rx-%q",
	  .other = "no frames of several buffers; ethtool -n rules and -a are not offered" },
	{ .name = "virtio_net",
	  .hardware = "virtio network card of a virtual machine",
	  .native = K(4, 10),
	  .frags = K(6, 3),
	  .mtu = 3506,
	  .rule = TUNE_QUEUES_SPARE,
	  .queues = "one spare queue pair a CPU, else XDP_TX goes behind a lock",
	  .resets = 0,
	  .away = "0.1 s",
	  .flags = TUNE_HOST_SETS | TUNE_OWN_VERSION | TUNE_CLEARS_GRO,
	  .attach = "NAPI off and on; receive offloads of the guest are cleared; channels may change",
	  .irq = "%v-input.%q",
	  .other =
		  "the host must offer CTRL_GUEST_OFFLOADS, so that LRO and checksum offload can be cleared; ring sizes are the host's" },
	{ .name = "veth",
	  .hardware = "virtual pair between namespaces",
	  .native = K(4, 19),
	  .frags = K(5, 18),
	  .mtu = 3506,
	  .rule = TUNE_QUEUES_PEER,
	  .queues = "as many receive queues as the peer has transmit queues, else ENOSPC",
	  .resets = 0,
	  .away = "0 s",
	  .flags = TUNE_HOST_SETS | TUNE_OWN_VERSION,
	  .attach = "NAPI is switched on",
	  .other =
		  "the limit is the peer's MTU; XDP_TX and redirect into the peer need NAPI (a program) there; native is slower "
		  "than none for plain pass" },
	{ .name = "bonding",
	  .hardware = "bond of other cards",
	  .native = K(5, 15),
	  .frags = K(5, 18),
	  .mtu = TUNE_ABSENT,
	  .rule = TUNE_QUEUES_SLAVES,
	  .queues = "those of the slaves",
	  .resets = TUNE_BY_ATTACH,
	  .away = "as long as the slaves",
	  .flags = TUNE_HOST_SETS | TUNE_OWN_VERSION,
	  .attach = "attaches to every slave",
	  .other =
		  "modes balance-rr, active-backup, and balance-xor and 802.3ad without the hash policy vlan+srcmac; attaching to "
		  "a slave of a bond with a program is EEXIST" },
};
const size_t tune_drivers_n = sizeof(tune_drivers) / sizeof(tune_drivers[0]);

const struct tune_driver *tune_driver_find(const char *name)
{
	for (size_t i = 0; i < tune_drivers_n; i++)
		if (!strcmp(tune_drivers[i].name, name))
			return &tune_drivers[i];
	return NULL;
}
