/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys: TLS 1.3, the traffic secrets that OpenSSL tells its keylog callback, each at the moment it begins to use them, so
 * that the count of records starts anew right there; TLS 1.2, the key block from the master secret (RFC 5246 6.3).
 * Records are counted by the message callback, which sees each header.
 *
 * A KeyUpdate of the peer is not followed, it ends the connection: Linux before 6.14 refuses a second key (EBUSY); later ones
 * wait for it (EKEYEXPIRED), but to derive it the secrets would have to be kept, and they are wiped at the switch.  Both hand
 * over the KeyUpdate itself as a record that is no data, so the end is the same and clean.  One that came before the switch
 * has changed the secrets, which the keylog callback does not tell, so such a connection stays in user space.
 */
#define _GNU_SOURCE /* splice, pipe2 */
#include "userspace/tls_ktls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <fcntl.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "userspace/tls_internal.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif

enum { RX, TX };

struct tls_keys {
	uint8_t secret[2][48];
	size_t secret_len[2]; /* 0: not known */
	uint64_t records[2];  /* under the keys in use */
	bool changed;	      /* KeyUpdate: the secrets are not those in use */
	/* the record being read: */
	uint8_t header[5];
	size_t header_len, body_left;
};

/* What setsockopt(2) takes, whatever the cipher. */
union crypto {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

struct cipher {
	int nid;
	uint16_t type;
	size_t key_len, size;
};
static const struct cipher ciphers[] = {
	{ NID_aes_128_gcm, TLS_CIPHER_AES_GCM_128, 16, sizeof(struct tls12_crypto_info_aes_gcm_128) },
	{ NID_aes_256_gcm, TLS_CIPHER_AES_GCM_256, 32, sizeof(struct tls12_crypto_info_aes_gcm_256) },
	{ NID_chacha20_poly1305, TLS_CIPHER_CHACHA20_POLY1305, 32, sizeof(struct tls12_crypto_info_chacha20_poly1305) },
};
enum { CIPHERS = sizeof(ciphers) / sizeof(ciphers[0]), IV = 12, SALT = 4, KEY_MAX = 32 };

/* ---- deriving ---- */

static bool derive(const char *kdf_name, OSSL_PARAM *params, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, kdf_name, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

bool tls_expand_label(const char *digest, const uint8_t *secret, size_t secret_len, const char *label, uint8_t *out, size_t out_len)
{
	uint8_t info[64];
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	int n = snprintf((char *)info + 3, sizeof(info) - 4, "tls13 %s", label);

	if (n < 0 || (size_t)n > sizeof(info) - 5)
		return false;
	info[0] = (uint8_t)(out_len >> 8);
	info[1] = (uint8_t)out_len;
	info[2] = (uint8_t)n;
	info[3 + n] = 0; /* the context */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, secret_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, (size_t)n + 4),
		OSSL_PARAM_END,
	};

	return derive("HKDF", params, out, out_len);
}

static const char *digest_of(const SSL *ssl)
{
	return EVP_MD_get0_name(SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl)));
}

static bool keys_13(const struct tls *t, const struct cipher *c, int way, uint8_t *key, uint8_t *iv)
{
	const struct tls_keys *k = t->keys;
	const char *digest = digest_of(t->ssl);

	return tls_expand_label(digest, k->secret[way], k->secret_len[way], "key", key, c->key_len) &&
	       tls_expand_label(digest, k->secret[way], k->secret_len[way], "iv", iv, IV);
}

/* RFC 5246 6.3; the AEADs have no MAC keys, GCM has the first 4 bytes of its nonce there and ChaCha20 all 12. */
static bool keys_12(const struct tls *t, const struct cipher *c, int way, uint8_t *key, uint8_t *iv)
{
	static const char label[] = "key expansion";
	const size_t iv_len = c->nid == NID_chacha20_poly1305 ? IV : SALT;
	uint8_t master[48], seed[sizeof(label) - 1 + 64], block[2 * (KEY_MAX + IV)];
	bool clients = (way == RX) == (SSL_is_server(t->ssl) == 1);

	memcpy(seed, label, sizeof(label) - 1);
	SSL_get_server_random(t->ssl, seed + sizeof(label) - 1, 32);
	SSL_get_client_random(t->ssl, seed + sizeof(label) - 1 + 32, 32);
	size_t n = SSL_SESSION_get_master_key(SSL_get_session(t->ssl), master, sizeof(master));
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest_of(t->ssl), 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, n),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
		OSSL_PARAM_END,
	};
	bool ok = n == sizeof(master) && derive("TLS1-PRF", params, block, 2 * (c->key_len + iv_len));

	memcpy(key, block + (clients ? 0 : c->key_len), c->key_len);
	memcpy(iv, block + 2 * c->key_len + (clients ? 0 : iv_len), iv_len);
	/*
	 * The rest of a GCM nonce goes over the wire and is counted up.  OpenSSL began with a random number, so does the
	 * kernel: that they meet has a chance of records / 2^64.  What we receive brings its own.
	 */
	if (iv_len == SALT)
		ok = ok && RAND_bytes(iv + SALT, IV - SALT) == 1;
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

static void fill(union crypto *x, const struct cipher *c, uint16_t version, const uint8_t *key, const uint8_t *iv, uint64_t seq)
{
	uint8_t be[8];

	for (int i = 0; i < 8; i++)
		be[i] = (uint8_t)(seq >> (56 - 8 * i));
	memset(x, 0, sizeof(*x));
	x->info.version = version;
	x->info.cipher_type = c->type;
	switch (c->type) {
	case TLS_CIPHER_AES_GCM_128:
		memcpy(x->aes128.key, key, 16);
		memcpy(x->aes128.salt, iv, SALT);
		memcpy(x->aes128.iv, iv + SALT, IV - SALT);
		memcpy(x->aes128.rec_seq, be, 8);
		break;
	case TLS_CIPHER_AES_GCM_256:
		memcpy(x->aes256.key, key, 32);
		memcpy(x->aes256.salt, iv, SALT);
		memcpy(x->aes256.iv, iv + SALT, IV - SALT);
		memcpy(x->aes256.rec_seq, be, 8);
		break;
	default:
		memcpy(x->chacha.key, key, 32);
		memcpy(x->chacha.iv, iv, IV);
		memcpy(x->chacha.rec_seq, be, 8);
		break;
	}
}

/* ---- what OpenSSL tells ---- */

static size_t from_hex(const char *hex, uint8_t *out, size_t size)
{
	size_t n = 0;
	unsigned byte;

	while (n < size && sscanf(hex + 2 * n, "%2x", &byte) == 1)
		out[n++] = (uint8_t)byte;
	return n;
}

/* "CLIENT_TRAFFIC_SECRET_0 <client random> <secret>", and more that is not ours. */
static void on_keylog(const SSL *ssl, const char *line)
{
	struct tls *t = tls_of(ssl);
	bool client = !strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24), server = !strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24);

	if (!t->keys || !(client || server))
		return;
	int way = client == (SSL_is_server(ssl) == 1) ? RX : TX;

	t->keys->secret_len[way] = from_hex(strrchr(line, ' ') + 1, t->keys->secret[way], sizeof(t->keys->secret[way]));
	t->keys->records[way] = 0;
}

static void on_message(int writes, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct tls_keys *k = arg;
	const uint8_t first = len ? *(const uint8_t *)data : 0;

	if (type == SSL3_RT_HEADER && first != SSL3_RT_CHANGE_CIPHER_SPEC)
		k->records[writes ? TX : RX]++;
	else if (type == SSL3_RT_HEADER && SSL_version(ssl) <= TLS1_2_VERSION)
		k->records[writes ? TX : RX] = 0; /* keys come into use right behind it; in TLS 1.3 it means nothing */
	else if (type == SSL3_RT_HANDSHAKE && first == SSL3_MT_KEY_UPDATE)
		k->changed = true;
}

void tls_kernel_set_up(SSL_CTX *ctx)
{
	if (tls_kernel()->works)
		SSL_CTX_set_keylog_callback(ctx, on_keylog);
}

void tls_kernel_keep(struct tls *t)
{
	if (!tls_kernel()->works || t->keys)
		return;
	t->keys = calloc(1, sizeof(*t->keys));
	if (!t->keys)
		return; /* it stays in user space */
	SSL_set_msg_callback(t->ssl, on_message);
	SSL_set_msg_callback_arg(t->ssl, t->keys);
}

void tls_kernel_forget(struct tls *t)
{
	if (!t->keys)
		return;
	SSL_set_msg_callback(t->ssl, NULL);
	OPENSSL_cleanse(t->keys, sizeof(*t->keys));
	free(t->keys);
	t->keys = NULL;
}

/* ---- where records end ---- */

void tls_kernel_saw(struct tls_keys *k, const uint8_t *data, size_t len)
{
	while (len) {
		size_t n = k->body_left ? k->body_left : sizeof(k->header) - k->header_len;

		if (n > len)
			n = len;
		if (k->body_left) {
			k->body_left -= n;
		} else {
			memcpy(k->header + k->header_len, data, n);
			k->header_len += n;
			if (k->header_len == sizeof(k->header)) {
				k->body_left = (size_t)k->header[3] << 8 | k->header[4];
				k->header_len = 0;
			}
		}
		data += n;
		len -= n;
	}
}

size_t tls_kernel_missing(const struct tls *t)
{
	const struct tls_keys *k = t->keys;

	return k->body_left ? k->body_left : k->header_len ? sizeof(k->header) - k->header_len : 0;
}

/* ---- the switch ---- */

static const struct cipher *cipher_of(const struct tls *t)
{
	const SSL_CIPHER *now = SSL_get_current_cipher(t->ssl);

	for (int i = 0; now && i < CIPHERS; i++)
		if (ciphers[i].nid == SSL_CIPHER_get_cipher_nid(now))
			return &ciphers[i];
	return NULL;
}

bool tls_kernel_can(const struct tls *t)
{
	const struct tls_keys *k = t->keys;

	if (!k || k->changed || t->failed || !SSL_is_init_finished(t->ssl) || SSL_get_shutdown(t->ssl) || !cipher_of(t))
		return false;
	return SSL_version(t->ssl) == TLS1_2_VERSION || (k->secret_len[RX] && k->secret_len[TX]);
}

static int install(int fd, int way, const union crypto *x, size_t size)
{
	return setsockopt(fd, SOL_TLS, way == RX ? TLS_RX : TLS_TX, x, (socklen_t)size) ? -errno : 0;
}

static int begin_ulp(int fd)
{
	return setsockopt(fd, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) && errno != EEXIST ? -errno : 0;
}

static bool prepare(const struct tls *t, const struct cipher *c, int way, union crypto *x)
{
	uint16_t version = SSL_version(t->ssl) == TLS1_2_VERSION ? TLS_1_2_VERSION : TLS_1_3_VERSION;
	uint8_t key[KEY_MAX], iv[IV];
	bool ok = version == TLS_1_2_VERSION ? keys_12(t, c, way, key, iv) : keys_13(t, c, way, key, iv);

	fill(x, c, version, key, iv, t->keys->records[way]);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(iv, sizeof(iv));
	return ok;
}

/* Receiving first: where the kernel refuses that, nothing is lost yet. */
int tls_kernel_switch(struct tls *t, int fd)
{
	const struct cipher *c = cipher_of(t);
	union crypto x[2];
	int r = -EBUSY;

	if (tls_kernel_can(t) && !tls_kernel_missing(t) && !t->in_left && !SSL_has_pending(t->ssl))
		r = prepare(t, c, RX, &x[RX]) && prepare(t, c, TX, &x[TX]) ? begin_ulp(fd) : -EIO;
	if (!r)
		r = install(fd, RX, &x[RX], c->size);
	if (!r && install(fd, TX, &x[TX], c->size))
		r = -ECONNABORTED;
	OPENSSL_cleanse(x, sizeof(x));
	tls_kernel_forget(t);
	return r;
}

/* ---- records that are not application data ---- */

static enum tls_kernel_record broken(struct tls *t, const char *what)
{
	t->failed = true;
	if (!t->error)
		t->error = strdup(what);
	return TLS_KERNEL_BROKEN;
}

/* RFC 8446 6.1: close_notify, or user_canceled, after which it will come. */
static enum tls_kernel_record on_alert(struct tls *t, const uint8_t *data, size_t len)
{
	char text[80];

	if (len == 2 && data[1] == SSL3_AD_CLOSE_NOTIFY)
		return TLS_KERNEL_CLOSED;
	if (len == 2 && data[1] == TLS1_AD_USER_CANCELLED)
		return TLS_KERNEL_PASSED;
	snprintf(text, sizeof(text), "alert of the peer: %s", len == 2 ? SSL_alert_desc_string_long(data[1]) : "of a wrong length");
	return broken(t, text);
}

static enum tls_kernel_record on_handshake(struct tls *t, const uint8_t *data, size_t len)
{
	if (len && data[0] == SSL3_MT_NEWSESSION_TICKET && !SSL_is_server(t->ssl))
		return TLS_KERNEL_PASSED;
	if (!len || data[0] != SSL3_MT_KEY_UPDATE)
		return broken(t, "a handshake message that has no place here");
	broken(t, "the peer changed its keys, and the kernel cannot follow");
	return TLS_KERNEL_REKEYED;
}

enum tls_kernel_record tls_kernel_control(struct tls *t, int fd, uint8_t *data, size_t size, size_t *got)
{
	char space[CMSG_SPACE(1)];
	struct iovec iov = { data, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);

	*got = 0;
	if (n < 0)
		return broken(t, errno == EBADMSG ? "a record that cannot be decrypted" :
				 errno == EAGAIN  ? "a record that cannot be read" :
						    strerror(errno));
	if (!c)
		return n ? broken(t, "a record without its type") : TLS_KERNEL_CLOSED;
	switch (c->cmsg_type == TLS_GET_RECORD_TYPE ? *(const uint8_t *)CMSG_DATA(c) : 0) {
	case SSL3_RT_APPLICATION_DATA:
		*got = (size_t)n;
		return n ? TLS_KERNEL_DATA : TLS_KERNEL_PASSED;
	case SSL3_RT_ALERT:
		return on_alert(t, data, (size_t)n);
	case SSL3_RT_HANDSHAKE:
		return on_handshake(t, data, (size_t)n);
	default:
		return broken(t, "a record of an unknown type");
	}
}

bool tls_kernel_at_end(int fd)
{
	char one;

	return recv(fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

int tls_kernel_close_notify(int fd)
{
	uint8_t alert[2] = { SSL3_AL_WARNING, SSL3_AD_CLOSE_NOTIFY };
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(1)] = { 0 };
	struct iovec iov = { alert, sizeof(alert) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_TLS;
	c->cmsg_type = TLS_SET_RECORD_TYPE;
	c->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(c) = SSL3_RT_ALERT;
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : 0;
}

/* ---- the probe ---- */

static struct tls_kernel found = { .about = "off" };

const struct tls_kernel *tls_kernel(void)
{
	return &found;
}

/* The version of the source: Debian's release says "6.1.0-49", its version "... Debian 6.1.192-1 ...". */
static void source_version(const char *release, const char *version, unsigned v[3])
{
	const char *debian = strstr(version, "Debian ");

	memset(v, 0, 3 * sizeof(*v));
	if (debian && sscanf(debian + 7, "%u.%u.%u", &v[0], &v[1], &v[2]) == 3)
		return;
	memset(v, 0, 3 * sizeof(*v));
	if (sscanf(release, "%u.%u.%u", &v[0], &v[1], &v[2]) < 2)
		v[0] = 0;
}

/*
 * splice(2) from kernel TLS lost bytes when the pipe was short of room ("net: tls: fix silent data drop under pipe
 * back-pressure"): mended in 7.1-rc3, and in 6.1.189, 6.12.112 and 6.18.55.  Of the other series nothing is known.
 */
bool tls_kernel_is_sound(const char *release, const char *version, unsigned v[3])
{
	source_version(release, version, v);
	if (v[0] == 6 && v[1] == 1)
		return v[2] >= 189;
	if (v[0] == 6 && v[1] == 12)
		return v[2] >= 112;
	if (v[0] == 6 && v[1] == 18)
		return v[2] >= 55;
	if (v[0] == 7 && v[1] == 1 && (strstr(release, "-rc1") || strstr(release, "-rc2")))
		return false;
	return v[0] > 7 || (v[0] == 7 && v[1] >= 1);
}

static int connected_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fd[1] = -1;
	if (l < 0 || fd[0] < 0 || bind(l, (struct sockaddr *)&a, len) || listen(l, 1) || getsockname(l, (struct sockaddr *)&a, &len) ||
	    connect(fd[0], (struct sockaddr *)&a, len) || (fd[1] = accept(l, NULL, NULL)) < 0)
		err = -errno;
	if (l >= 0)
		close(l);
	return err;
}

/* What one end writes the other one reads, by read(2) and through a pipe. */
static int compare(int from, int to)
{
	static const char said[] = "danelaw asks whether the kernel can";
	const struct timeval patience = { .tv_sec = 5 };
	char heard[2][sizeof(said)] = { 0 };
	int p[2], r = 0;

	setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (pipe2(p, O_CLOEXEC))
		return -errno;
	for (int i = 0; i < 2 && !r; i++)
		if (write(from, said, sizeof(said)) != sizeof(said))
			r = -errno;
	if (!r && recv(to, heard[0], sizeof(said), MSG_WAITALL) != sizeof(said))
		r = -errno;
	if (!r && splice(to, NULL, p[1], NULL, sizeof(said), 0) != sizeof(said))
		r = -errno;
	if (!r && read(p[0], heard[1], sizeof(said)) != sizeof(said))
		r = -errno;
	close(p[0]);
	close(p[1]);
	return r ? r : memcmp(heard[0], said, sizeof(said)) || memcmp(heard[1], said, sizeof(said)) ? -EBADMSG : 0;
}

/* One cipher, both directions, with keys made up. */
static int try_cipher(const struct cipher *c, uint16_t version)
{
	uint8_t key[2][KEY_MAX], iv[2][IV];
	int fd[2] = { -1, -1 }, r = connected_pair(fd);

	if (!r && (RAND_bytes(key[0], sizeof(key)) != 1 || RAND_bytes(iv[0], sizeof(iv)) != 1))
		r = -EIO;
	for (int end = 0; end < 2 && !r; end++) {
		union crypto x[2];

		for (int way = RX; way <= TX; way++)
			fill(&x[way], c, version, key[end ^ way], iv[end ^ way], 3);
		r = begin_ulp(fd[end]);
		if (!r)
			r = install(fd[end], RX, &x[RX], c->size);
		if (!r)
			r = install(fd[end], TX, &x[TX], c->size);
	}
	if (!r)
		r = compare(fd[0], fd[1]);
	if (!r)
		r = compare(fd[1], fd[0]);
	for (int i = 0; i < 2; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return r;
}

void tls_kernel_probe(void)
{
	static const uint16_t versions[] = { TLS_1_2_VERSION, TLS_1_3_VERSION };
	struct utsname u;
	unsigned v[3];
	int r = 0;

	uname(&u);
	if (!tls_kernel_is_sound(u.release, u.version, v)) {
		snprintf(found.about, sizeof(found.about), "not used: Linux %u.%u.%u may lose bytes that are spliced from it", v[0], v[1], v[2]);
		return;
	}
	for (int i = 0; i < 2 * CIPHERS && !r; i++)
		r = try_cipher(&ciphers[i / 2], versions[i % 2]);
	found.works = !r;
	if (r)
		snprintf(found.about, sizeof(found.about), "not to be had: %s", r == -ENOENT ? "the kernel has no module tls" : strerror(-r));
	else
		snprintf(found.about, sizeof(found.about), "works: both directions, AES-GCM and ChaCha20-Poly1305, tried on Linux %u.%u.%u", v[0],
			 v[1], v[2]);
}
