/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where facts come from: this machine, or a tree recorded on one.  A tree has the files under their own paths and the
 * reply of each command in replies/, under the command's words joined by "_" ("replies/ethtool_-l_eth0"); a command
 * or file that is not there is one that the machine did not have.  Recording writes such a tree while reading.
 */
#ifndef DANELAW_TUNE_SOURCE_H
#define DANELAW_TUNE_SOURCE_H

#include <stdint.h>

struct tune_source;

/* root NULL: this machine.  record: NULL, or the folder to keep what is read in.  NULL when memory is out. */
struct tune_source *tune_source_new(const char *root, const char *record);
void tune_source_free(struct tune_source *source);

/* Text to be freed, or NULL: not there.  path without the first "/". */
char *tune_source_file(struct tune_source *source, const char *path);
/* What the command says on standard output; NULL when it fails. */
char *tune_source_run(struct tune_source *source, const char *command);
/* Last component of what the link at path points to. */
char *tune_source_link(struct tune_source *source, const char *path);
/* The number of a process of that name, or -1. */
long tune_source_process(struct tune_source *source, const char *name);
/* NETDEV_XDP_ACT_* by generic netlink (kernel 6.3 and later).  0, or a negative errno. */
int tune_source_xdp(struct tune_source *source, const char *ifname, uint64_t *features);

/* Runs one command, its words parted by blanks, no shell.  *out and *err (either may be NULL) are its words, to be
 * freed.  Returns its exit status, 128 and more for a signal, or a negative errno. */
int tune_spawn(const char *command, char **out, char **err);

/* tune_xdp.c: the netlink exchange itself. */
int tune_xdp_features(const char *ifname, uint64_t *features);

#endif
