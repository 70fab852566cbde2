/* SPDX-License-Identifier: BSD-2-Clause */
#include "userspace/protect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "userspace/log.h"
#include "userspace/sysctls.h"
#include "userspace/tls.h"

enum {
	SECRET_MIN = 32,
	SECRET_MAX = 4096,
	KEY_SIZE = 16,
	STAMP_MS = 30 * 1000, /* a stamp is good for 120 s */
	SYNCOOKIES_NEVER = 0, /* nor taken back */
	SYNCOOKIES_IN_NEED = 1, /* made when a queue is full, and taken back */
	SYNCOOKIES_ALWAYS = 2,
};

struct protect {
	struct front *front;
	bool always, shared, may_change;
	bool changed; /* net.ipv4.tcp_syncookies is to be set back */
	uint8_t secret[SECRET_MAX];
	size_t secret_len;
	uint64_t epoch;
	/* of a flood, as it was last seen */
	bool lasts, armed, full, told_unarmed;
	uint64_t floods, began_ms, stamped_ms;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- keys ---- */

static int read_secret(struct protect *p, const char *file, char *err, size_t err_size)
{
	FILE *in;

	if (!file) {
		p->secret_len = SECRET_MIN;
		return getrandom(p->secret, SECRET_MIN, 0) == SECRET_MIN ? 0 : -errno;
	}
	in = fopen(file, "re");
	if (!in) {
		int error = errno;

		snprintf(err, err_size, "%s: %s", file, strerror(error));
		return -error;
	}
	p->secret_len = fread(p->secret, 1, sizeof(p->secret), in);
	fclose(in);
	if (p->secret_len >= SECRET_MIN)
		return 0;
	snprintf(err, err_size, "%s: %zu bytes; a secret of SYN cookies has %d or more", file, p->secret_len, SECRET_MIN);
	return -EINVAL;
}

static int give_key(const struct protect *p, uint64_t epoch)
{
	uint8_t key[KEY_SIZE];
	int code = tls_derive(p->secret, p->secret_len, "danelaw syn cookie", epoch, key, sizeof(key)) ? 0 : -EIO;

	if (!code)
		code = front_set_cookie_key(p->front, epoch, key, !p->shared);
	explicit_bzero(key, sizeof(key));
	return code;
}

/* Keys of the last epoch, this and the next; the switch comes last, so that a key is there before it is used. */
static int turn_keys(struct protect *p)
{
	uint64_t epoch = (uint64_t)time(NULL) / FRONT_COOKIE_EPOCH_S;
	int code = 0;

	if (epoch == p->epoch)
		return 0;
	for (int i = -1; i <= 1 && !code; i++)
		code = give_key(p, epoch + (uint64_t)i);
	if (!code)
		code = front_set_cookie_epoch(p->front, epoch);
	if (!code)
		p->epoch = epoch;
	return code;
}

/* ---- the kernel's cookies ---- */

static void set_back(struct protect *p)
{
	if (!p->changed)
		return;
	p->changed = false;
	int code = sysctls_set_syncookies(-1);

	if (code)
		log_error("SYN protection: net.ipv4.tcp_syncookies was not set back: %s", strerror(-code));
}

static void disarm(struct protect *p)
{
	if (p->armed) {
		int code = front_arm_cookies(p->front, false);

		if (code)
			log_error("SYN protection: the front's configuration map: %s", strerror(-code));
	}
	p->armed = false;
	set_back(p);
}

/* Says why the front cannot answer, once a flood. */
static void stay_unarmed(struct protect *p, const char *why)
{
	if (!p->told_unarmed)
		log_warn("SYN protection: no cookies are sent from the front: %s", why);
	p->told_unarmed = true;
}

static int change_to(struct protect *p, int value)
{
	int code = sysctls_set_syncookies(value);

	p->changed |= !code;
	return code;
}

/*
 * With 2 the kernel answers everybody with a cookie, verified peers too.  So it is 2 for no longer than the stamps take
 * to be made, and then a value with which the kernel takes back what the front gave out.
 */
static int make_stamps(struct protect *p, struct front_watch *watch)
{
	if (sysctls_syncookies() == SYNCOOKIES_ALWAYS)
		return front_watch(p->front, true, watch);
	int code = change_to(p, SYNCOOKIES_ALWAYS);

	if (code)
		return code;
	code = front_watch(p->front, true, watch);
	int after = change_to(p, SYNCOOKIES_IN_NEED);

	return code ? code : after;
}

/* A listener takes back what is out for 120 s after its last stamp, unless the sysctl is 0: so long a failure may pass. */
static void cannot_arm(struct protect *p, const char *why)
{
	if (p->armed && (sysctls_syncookies() == SYNCOOKIES_NEVER || now_ms() - p->stamped_ms > 3 * STAMP_MS))
		disarm(p);
	if (why && !p->armed)
		stay_unarmed(p, why);
}

/* A listener that does not hold a stamp would answer every cookie with a reset: all or none. */
static void arm(struct protect *p)
{
	struct front_watch watch = { 0 };
	int code;

	if (!p->may_change && sysctls_syncookies() != SYNCOOKIES_ALWAYS) {
		cannot_arm(p, "net.ipv4.tcp_syncookies is not 2 and syn-sysctls = no");
		return;
	}
	code = make_stamps(p, &watch);
	if (code || watch.stamped < watch.sockets || !watch.sockets) {
		cannot_arm(p, watch.full ? NULL : code ? strerror(-code) : "a listening socket makes no cookies");
		return;
	}
	p->stamped_ms = now_ms();
	if (p->armed)
		return;
	code = front_arm_cookies(p->front, true);
	if (code)
		stay_unarmed(p, strerror(-code));
	p->armed = !code;
}

static void serve_kernel(struct protect *p, bool wanted)
{
	if (!wanted)
		disarm(p);
	else if (!p->armed || now_ms() - p->stamped_ms > STAMP_MS || sysctls_syncookies() == SYNCOOKIES_NEVER)
		arm(p);
}

/* ---- what is seen ---- */

static void tell_flood(struct protect *p, const struct front_flood *flood)
{
	bool begins = flood->lasts && (!p->lasts || flood->floods != p->floods);

	if (p->lasts && (!flood->lasts || begins))
		log_warn("SYN flood over after %" PRIu64 " s", (now_ms() - p->began_ms) / 1000);
	if (begins) {
		p->began_ms = now_ms();
		p->told_unarmed = false;
		log_warn("SYN flood: %" PRIu64 " new connections a second; %s", flood->syn_per_s, front_describe_cookies(p->front));
	}
	p->lasts = flood->lasts;
	p->floods = flood->floods;
}

static void look_at_queues(struct protect *p)
{
	struct front_watch watch;

	if (front_watch(p->front, false, &watch))
		return;
	if (watch.full && !p->full)
		log_warn("SYN protection: %u of %u accept queues are full; strangers are not answered until they are not",
			 watch.full, watch.sockets);
	p->full = watch.full > 0;
}

void protect_tick(struct protect *p)
{
	struct front_flood flood;
	int code;

	if (!p)
		return;
	code = front_read_flood(p->front, &flood);
	if (code)
		return;
	tell_flood(p, &flood);
	if (front_cookies(p->front) == FRONT_COOKIES_OWN) {
		code = turn_keys(p);
		if (code)
			log_error("SYN protection: keys: %s", strerror(-code));
	} else {
		serve_kernel(p, flood.lasts || p->always);
	}
	if (flood.lasts || p->always || p->full)
		look_at_queues(p);
}

int protect_check(const struct config *cfg, char *err, size_t err_size)
{
	struct protect p = { 0 };
	int code = read_secret(&p, cfg->front.syn_secret_file, err, err_size);

	explicit_bzero(p.secret, sizeof(p.secret));
	return code;
}

int protect_open(const struct config *cfg, struct front *front, struct protect **out, char *err, size_t err_size)
{
	bool undone, on = front && front_cookies(front) != FRONT_COOKIES_NONE;
	bool kernels = on && front_cookies(front) == FRONT_COOKIES_KERNEL;
	struct protect *p;
	int code;

	*out = NULL;
	code = sysctls_start(cfg->state_dir, kernels && cfg->front.syn_sysctls, &undone, err, err_size);
	if (code)
		return code;
	if (undone)
		log_warn("net.ipv4.tcp_syncookies was set back to what it was before a daemon that was killed");
	if (!on)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->front = front;
	p->always = cfg->front.syn_protect == CONFIG_SYN_ALWAYS;
	p->shared = cfg->front.syn_secret_file != NULL;
	p->may_change = cfg->front.syn_sysctls;
	code = read_secret(p, cfg->front.syn_secret_file, err, err_size);
	if (!code && !kernels)
		code = turn_keys(p);
	if (code) {
		protect_close(p);
		return code;
	}
	log_info("SYN protection: %s, %s", p->always ? "always" : "in floods", front_describe_cookies(front));
	*out = p;
	return 0;
}

void protect_close(struct protect *p)
{
	if (!p)
		return;
	disarm(p);
	explicit_bzero(p->secret, sizeof(p->secret));
	free(p);
}
