/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Beside other XDP programs: libxdp's dispatcher, one program on the interface that calls up to ten in the order of
 * their priority.  Ours comes early and hands on only what it passes.
 *
 * The library is opened at run time, since Debian 12's is too old: before 1.5.5 its dispatcher has the verifier
 * refuse programs that move a packet's ends where the kernel checks for that (Linux 6.12 and up, "changes_pkt_data").
 * Its files carry the number of the last change of its interface and not its version, so 1.6.0 is what can be told.
 *
 * libxdp loads the program itself, as an extension of a dispatcher that it makes anew for each change, so it gets
 * an object of its own for each interface; the maps are the pinned ones.
 */
#define _GNU_SOURCE
#include "userspace/front_parts.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

enum { RUN_PRIO = 10, MODE_NATIVE = 1, MODE_SKB = 2 }; /* enum xdp_attach_mode */

struct xdp_program;
struct xdp_multiprog;

/* The functions in use, and the version of the interface that brought the youngest. */
static struct {
	void *library;
	struct xdp_program *(*from_bpf_obj)(struct bpf_object *obj, const char *section);
	int (*set_run_prio)(struct xdp_program *prog, unsigned prio);
	int (*set_chain_call)(struct xdp_program *prog, unsigned action, bool enabled);
	int (*set_frags)(struct xdp_program *prog, bool frags);
	int (*attach)(struct xdp_program *prog, int ifindex, int mode, unsigned flags);
	int (*detach)(struct xdp_program *prog, int ifindex, int mode, unsigned flags);
	const char *(*name)(const struct xdp_program *prog);
	uint32_t (*id)(const struct xdp_program *prog);
	int (*fd)(const struct xdp_program *prog);
	void (*close)(struct xdp_program *prog);
	struct xdp_multiprog *(*multi_get)(int ifindex);
	struct xdp_program *(*multi_next)(const struct xdp_program *prog, const struct xdp_multiprog *mp);
	bool (*multi_is_legacy)(const struct xdp_multiprog *mp);
	int (*multi_mode)(const struct xdp_multiprog *mp);
	void (*multi_close)(struct xdp_multiprog *mp);
	long (*get_error)(const void *ptr);
	void *(*set_print)(void *fn);
} xdp;

static const struct {
	const char *name;
	void *at;
} symbols[] = {
	{ "xdp_program__from_bpf_obj", &xdp.from_bpf_obj },
	{ "xdp_program__set_run_prio", &xdp.set_run_prio },
	{ "xdp_program__set_chain_call_enabled", &xdp.set_chain_call },
	{ "xdp_program__set_xdp_frags_support", &xdp.set_frags },
	{ "xdp_program__attach", &xdp.attach },
	{ "xdp_program__detach", &xdp.detach },
	{ "xdp_program__name", &xdp.name },
	{ "xdp_program__id", &xdp.id },
	{ "xdp_program__fd", &xdp.fd },
	{ "xdp_program__close", &xdp.close },
	{ "xdp_multiprog__get_from_ifindex", &xdp.multi_get },
	{ "xdp_multiprog__next_prog", &xdp.multi_next },
	{ "xdp_multiprog__is_legacy", &xdp.multi_is_legacy },
	{ "xdp_multiprog__attach_mode", &xdp.multi_mode },
	{ "xdp_multiprog__close", &xdp.multi_close },
	{ "libxdp_get_error", &xdp.get_error },
	{ "libxdp_set_print", &xdp.set_print },
};

/* The newest version of the interface that the library has, by a function that came with it. */
static const char *version_of(void *library)
{
	static const struct {
		const char *version, *symbol;
	} ages[] = { { "1.6", "xdp_multiprog__xdp_dev_bound" }, { "1.5", "xsk_umem__create_opts" }, { "1.4", "xsk_umem__create_with_fd" },
		     { "1.3", "xdp_program__create" },		{ "1.2", "xsk_cons_nb_avail" } };

	for (size_t i = 0; i < sizeof(ages) / sizeof(*ages); i++)
		if (dlsym(library, ages[i].symbol))
			return ages[i].version;
	return "1.0";
}

/* Its reasons come as information (level 1), the library being used to other ways out. */
static int hear(int level, const char *fmt, va_list ap)
{
	return front_listen_print(level <= 1 ? LIBBPF_WARN : LIBBPF_DEBUG, fmt, ap);
}

static int load_symbols(struct front_err err)
{
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *function = dlsym(xdp.library, symbols[i].name);

		if (!function)
			return front_fail(err, -ENOSYS, "attach = libxdp: libxdp.so.1 has no %s", symbols[i].name);
		memcpy(symbols[i].at, &function, sizeof(function));
	}
	xdp.set_print((void *)hear);
	return 0;
}

int front_dispatch_open(struct front_err err)
{
	const char *version;
	int code;

	if (xdp.library)
		return 0;
	xdp.library = dlopen("libxdp.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!xdp.library)
		return front_fail(err, -ENOENT,
				  "attach = libxdp: %s; install libxdp 1.6 or newer, or let the front attach by a link of its own "
				  "(attach = link)", dlerror());
	version = version_of(xdp.library);
	code = strcmp(version, "1.6") ? front_fail(err, -EPROTONOSUPPORT,
						   "attach = libxdp: the library here is of version %s; it takes 1.6 or newer (dispatchers "
						   "before 1.5.5 refuse programs that move a packet's ends on Linux 6.12 and up, and 1.5 does "
						   "not tell which it is); use attach = link", version)
				      : load_symbols(err);
	if (code) {
		dlclose(xdp.library);
		xdp.library = NULL;
	}
	return code;
}

/* Calls what the dispatcher of the interface has by our name, but not the program of this id.  True: there was one. */
static bool detach_others(unsigned ifindex, uint32_t but_id)
{
	struct xdp_multiprog *mp = xdp.multi_get((int)ifindex);
	struct xdp_program *prog = NULL;

	bool found = false;

	if (!mp || xdp.get_error(mp))
		return false;
	while (!found && !xdp.multi_is_legacy(mp) && (prog = xdp.multi_next(prog, mp)))
		if (!strcmp(xdp.name(prog), "front") && xdp.id(prog) != but_id) {
			/* makes the dispatcher anew, so mp is of the past: at most one is there */
			xdp.detach(prog, (int)ifindex, xdp.multi_mode(mp), 0);
			found = true;
		}
	xdp.multi_close(mp);
	return found;
}

static int attach(struct xdp_program *prog, const char *interface, bool generic_allowed, struct front_link *link, struct front_err err)
{
	int code;

	xdp.set_run_prio(prog, RUN_PRIO);
	xdp.set_chain_call(prog, XDP_PASS, true);
	xdp.set_frags(prog, true);
	front_listen();
	code = xdp.attach(prog, (int)link->ifindex, MODE_NATIVE, 0);
	if (code && generic_allowed && code != -EBUSY && code != -EEXIST && code != -EPERM)
		code = xdp.attach(prog, (int)link->ifindex, MODE_SKB, 0);
	if (code == -EBUSY || code == -EEXIST)
		return front_explain_attach(-1, interface, link->ifindex, -code, !generic_allowed, err);
	if (code)
		return front_fail(err, code, "%s (%s): libxdp cannot put the front into its dispatcher: %s (%s)", interface, link->driver,
				  strerror(-code), front_heard());
	if (!front_dispatcher(link->ifindex)) { /* libxdp's way out when it cannot: the program alone, without a word */
		xdp.detach(prog, (int)link->ifindex, 0, 0);
		return front_fail(err, -EOPNOTSUPP, "%s (%s): libxdp cannot use its dispatcher here: %s; use attach = link", interface,
				  link->driver, front_heard());
	}
	link->fresh = !detach_others(link->ifindex, xdp.id(prog));
	return 0;
}

int front_attach_dispatch(struct bpf_object *obj, const char *interface, bool generic_allowed, struct front_link *link,
			  struct front_err err)
{
	struct xdp_program *prog;
	char pin[64];
	int code;

	snprintf(link->interface, sizeof(link->interface), "%s", interface);
	link->fd = -1;
	link->ifindex = if_nametoindex(interface);
	if (!link->ifindex)
		return front_fail(err, -ENODEV, "there is no interface \"%s\" (ip link shows those there are)", interface);
	front_driver(interface, link->driver);
	prog = xdp.from_bpf_obj(obj, NULL);
	if (!prog || xdp.get_error(prog))
		return front_fail(err, -EINVAL, "libxdp does not take the front's object: %s", front_heard());
	code = attach(prog, interface, generic_allowed, link, err);
	link->dispatched = !code;
	snprintf(pin, sizeof(pin), "front-%.40s", interface);
	if (!code)
		code = front_pin_prog(xdp.fd(prog), pin, err);
	link->native = front_is_native(link->ifindex);
	xdp.close(prog);
	return code;
}

void front_detach_dispatch(const struct front_link *link)
{
	if (xdp.library)
		detach_others(link->ifindex, 0);
}
