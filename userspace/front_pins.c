/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: /sys/fs/bpf/danelaw/{maps,progs,links}.
 *
 * Maps outlive the daemon, so that what an operator put into a deny list with bpftool is still there after a
 * restart, and so that the program that stays attached in between counts into the same counters.  A pinned
 * map is taken over when it has our shape and the ABI number agrees; otherwise its pin is removed and a new
 * one made (the program still attached keeps its old map until the link is updated).
 *
 * Not so `inside`: an array of programs is emptied when its last pin and descriptor go, whoever uses it, and then nobody
 * judges what the program still attached takes out of tunnels.  So the new one is pinned as inside-next, and gets the name
 * when no link has an older program.
 */
#include "userspace/front_parts.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"
#define INSIDE FRONT_PIN_DIR "/maps/inside"
#define INSIDE_NEXT INSIDE "-next"

static __thread char heard[1024];

int front_fail(struct front_err err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err.size && !err.text[0]) {
		va_start(ap, fmt);
		vsnprintf(err.text, err.size, fmt, ap);
		va_end(ap);
	}
	return code;
}

/* Keeps the end of what libbpf said, lines joined by "; ", without its "libbpf: " before each. */
int front_listen_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	size_t have = strlen(heard);
	char line[512];
	const char *from = line;
	size_t len;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	if (!strncmp(from, "libbpf: ", 8))
		from += 8;
	len = strcspn(from, "\n");
	if (have + len + 3 > sizeof(heard)) /* verifier logs are long: the last lines tell */
		have = 0;
	snprintf(heard + have, sizeof(heard) - have, "%s%.*s", have ? "; " : "", (int)len, from);
	return 0;
}

void front_listen(void)
{
	heard[0] = 0;
	libbpf_set_print(front_listen_print);
}

const char *front_heard(void)
{
	return heard;
}

static int make_dir(const char *path, struct front_err err)
{
	if (mkdir(path, 0750) && errno != EEXIST)
		return front_fail(err, -errno, "cannot make %s: %s", path, strerror(errno));
	return 0;
}

int front_pin_dirs(bool *fresh, struct front_err err)
{
	struct statfs fs;
	int code;

	if (statfs(BPFFS, &fs) || fs.f_type != BPF_FS_MAGIC) {
		if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
			return front_fail(err, -errno,
					  BPFFS " is not mounted and mounting it failed (%s); as root: mount -t bpf bpf " BPFFS,
					  strerror(errno));
	}
	*fresh = access(FRONT_PIN_DIR, F_OK) != 0;
	code = make_dir(FRONT_PIN_DIR, err);
	if (!code)
		code = make_dir(FRONT_PIN_DIR "/maps", err);
	if (!code)
		code = make_dir(FRONT_PIN_DIR "/progs", err);
	if (!code)
		code = make_dir(FRONT_PIN_DIR "/links", err);
	return code;
}

static bool abi_agrees(void)
{
	struct front_config config = { 0 };
	uint32_t zero = 0;
	int fd = bpf_obj_get(FRONT_PIN_DIR "/maps/front_config");
	bool agrees = true; /* no such pin: nothing that could disagree */

	if (fd < 0)
		return true;
	if (bpf_map_lookup_elem(fd, &zero, &config) || (config.abi && config.abi != FRONT_ABI))
		agrees = false;
	close(fd);
	return agrees;
}

static bool same_shape(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &size) && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map) && info.map_flags == bpf_map__map_flags(map);
}

static void pin_of(const struct bpf_map *map, char *path, size_t size)
{
	if (!strcmp(bpf_map__name(map), "inside"))
		snprintf(path, size, INSIDE_NEXT);
	else
		snprintf(path, size, FRONT_PIN_DIR "/maps/%s", bpf_map__name(map));
}

int front_pin_maps(struct bpf_object *obj, struct front_err err)
{
	bool keep = abi_agrees();
	struct bpf_map *map;
	char path[128];
	int fd;

	if (!keep)
		unlink(FRONT_PIN_DIR "/maps/list6"); /* of ABI 8: a whole list, and no map of ours has its name */
	bpf_object__for_each_map(map, obj) {
		if (bpf_map__is_internal(map)) /* .rodata and the like belong to one program, not to operators */
			continue;
		pin_of(map, path, sizeof(path));
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			if (!keep || !same_shape(map, fd))
				unlink(path);
			close(fd);
		}
		if (bpf_map__set_pin_path(map, path))
			return front_fail(err, -ENOMEM, "out of memory while naming the pins of maps");
	}
	return 0;
}

void front_begin_inside(struct front *f)
{
	f->inside_begun = true;
	f->inside_before = bpf_obj_get(INSIDE_NEXT);
	unlink(INSIDE_NEXT);
}

void front_end_inside(struct front *f, bool good)
{
	bool kept = false;
	size_t i;

	if (!f->inside_begun)
		return;
	if (good) {
		rename(INSIDE_NEXT, INSIDE);
		return;
	}
	for (i = 0; i < f->link_count; i++)
		kept |= (f->links[i].dispatched || f->links[i].fd >= 0) && !f->links[i].fresh;
	if (kept)
		return;
	unlink(INSIDE_NEXT);
	if (f->inside_before >= 0)
		bpf_obj_pin(f->inside_before, INSIDE_NEXT);
}

int front_pin_prog(int fd, const char *name, struct front_err err)
{
	char path[128];

	snprintf(path, sizeof(path), FRONT_PIN_DIR "/progs/%s", name);
	unlink(path);
	if (bpf_obj_pin(fd, path))
		return front_fail(err, -errno, "cannot pin program %s as %s: %s", name, path, strerror(errno));
	return 0;
}

static void empty_dir(const char *dir)
{
	char path[512];
	struct dirent *entry;
	DIR *d = opendir(dir);

	if (!d)
		return;
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		unlink(path);
	}
	closedir(d);
	rmdir(dir);
}

/* The links first: removing their pins is what detaches. */
void front_unpin_all(void)
{
	empty_dir(FRONT_PIN_DIR "/links");
	empty_dir(FRONT_PIN_DIR "/progs");
	empty_dir(FRONT_PIN_DIR "/maps");
	rmdir(FRONT_PIN_DIR);
}
