/* The other end of a conversation: see wire_peer.h. */
#include "wire_peer.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

char wire_local[32] = "127.0.0.1";

static socklen_t size_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static void address(struct sockaddr_storage *a, const char *host, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (strchr(host, ':')) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)a;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		ck_assert_int_eq(inet_pton(AF_INET6, host, &v6->sin6_addr), 1);
	} else {
		struct sockaddr_in *v4 = (struct sockaddr_in *)a;
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		ck_assert_int_eq(inet_pton(AF_INET, host, &v4->sin_addr), 1);
	}
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
	/* the port lies at the same place in both families */
	return ntohs(((const struct sockaddr_in *)a)->sin_port);
}

bool wire_try(struct wire *w, const char *host, uint16_t port)
{
	struct sockaddr_storage local;
	address(&local, host, port);
	w->len = 0;
	w->had.oack = false;
	w->had.data = w->had.ack = -1;
	w->had.request = 0;
	w->fd = socket(local.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_msg(w->fd >= 0, "socket: %s", strerror(errno));
	/* room for whole windows, so that nothing is lost that the test did not lose on purpose */
	int room = 4 << 20;
	setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	int bound = bind(w->fd, (struct sockaddr *)&local, size_of(&local));
	ck_assert_msg(bound == 0 || (port != 0 && errno == EADDRINUSE), "bind %s: %s", host, strerror(errno));
	memset(&w->peer, 0, sizeof(w->peer));
	memset(&w->from, 0, sizeof(w->from));
	if (bound != 0)
		wire_close(w);
	return bound == 0;
}

void wire_open(struct wire *w, const char *host)
{
	wire_try(w, host, 0);
}

void wire_dial(struct wire *w, const char *host, uint16_t port)
{
	wire_open(w, host);
	address(&w->peer, host, port);
}

void wire_close(struct wire *w)
{
	close(w->fd);
	w->fd = -1;
}

uint16_t wire_port(const struct wire *w)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	ck_assert_int_eq(getsockname(w->fd, (struct sockaddr *)&a, &len), 0);
	return port_of(&a);
}

uint16_t wire_from_port(const struct wire *w)
{
	return port_of(&w->from);
}

bool wire_from_host(const struct wire *w, const char *host)
{
	struct sockaddr_storage a;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&w->from, *w4 = (const struct sockaddr_in *)&a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&w->from, *w6 = (const struct sockaddr_in6 *)&a;
	address(&a, host, 0);
	if (a.ss_family != w->from.ss_family)
		return false;
	if (a.ss_family == AF_INET)
		return v4->sin_addr.s_addr == w4->sin_addr.s_addr;
	return !memcmp(&v6->sin6_addr, &w6->sin6_addr, sizeof(v6->sin6_addr));
}

void wire_follow(struct wire *w)
{
	w->peer = w->from;
}

bool wire_has_v6(void)
{
	struct sockaddr_storage a;
	address(&a, "::1", 0);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	int r = bind(fd, (struct sockaddr *)&a, size_of(&a));
	close(fd);
	return r == 0;
}

/* Appends strings with their NULs until the list ends. */
static size_t strings(uint8_t *buf, size_t cap, size_t at, const char *first, va_list rest)
{
	for (const char *s = first; s; s = va_arg(rest, const char *)) {
		size_t n = strlen(s) + 1;
		ck_assert_uint_le(at + n, cap);
		memcpy(buf + at, s, n);
		at += n;
	}
	return at;
}

static size_t request(uint8_t *buf, size_t cap, int op, const char *name, const char *mode, va_list options)
{
	buf[0] = 0;
	buf[1] = (uint8_t)op;
	size_t n = strlen(name) + 1;
	ck_assert_uint_le(2 + n, cap);
	memcpy(buf + 2, name, n);
	return strings(buf, cap, 2 + n, mode, options);
}

size_t wire_make_request(uint8_t *buf, size_t cap, int op, const char *name, const char *mode, ...)
{
	va_list options;
	va_start(options, mode);
	size_t len = request(buf, cap, op, name, mode, options);
	va_end(options);
	return len;
}

void wire_send(struct wire *w, const void *buf, size_t len)
{
	/* An ICMP answer to an earlier packet shows up here once; the packet itself has not been sent then. */
	for (int i = 0; i < 10; i++) {
		ssize_t n = sendto(w->fd, buf, len, 0, (struct sockaddr *)&w->peer, size_of(&w->peer));
		if (n == (ssize_t)len)
			return;
		if (errno != ECONNREFUSED && errno != ENOBUFS && errno != EINTR)
			break;
	}
	ck_abort_msg("sendto: %s", strerror(errno));
}

void wire_request(struct wire *w, int op, const char *name, const char *mode, ...)
{
	static uint8_t buf[65000];
	va_list options;
	va_start(options, mode);
	size_t len = request(buf, sizeof(buf), op, name, mode, options);
	va_end(options);
	wire_send(w, buf, len);
}

static void head(uint8_t *buf, int op, unsigned number)
{
	buf[0] = 0;
	buf[1] = (uint8_t)op;
	buf[2] = (uint8_t)(number >> 8);
	buf[3] = (uint8_t)number;
}

void wire_ack(struct wire *w, unsigned block)
{
	uint8_t buf[4];
	head(buf, OP_ACK, block);
	wire_send(w, buf, sizeof(buf));
}

void wire_data(struct wire *w, unsigned block, const void *payload, size_t len)
{
	static uint8_t buf[65536];
	ck_assert_uint_le(len, sizeof(buf) - 4);
	head(buf, OP_DATA, block);
	if (len)
		memcpy(buf + 4, payload, len);
	wire_send(w, buf, 4 + len);
}

void wire_error(struct wire *w, unsigned code, const char *text)
{
	uint8_t buf[600];
	head(buf, OP_ERROR, code);
	size_t n = strlen(text) + 1;
	ck_assert_uint_le(4 + n, sizeof(buf));
	memcpy(buf + 4, text, n);
	wire_send(w, buf, 4 + n);
}

void wire_oack(struct wire *w, const char *first, ...)
{
	uint8_t buf[600];
	buf[0] = 0;
	buf[1] = OP_OACK;
	va_list rest;
	va_start(rest, first);
	size_t len = strings(buf, sizeof(buf), 2, first, rest);
	va_end(rest);
	wire_send(w, buf, len);
}

int wire_wait(int ms)
{
	const char *slow = getenv("CK_TIMEOUT_MULTIPLIER");
	int times = slow ? atoi(slow) : 1;
	return ms * (times > 0 ? times : 1);
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether `block` comes after `newest`, within half of the 16-bit range. */
static bool after(int newest, unsigned block)
{
	return newest < 0 || (uint16_t)(block - (unsigned)newest - 1) < 0x7fff;
}

static uint64_t hash_of(const struct wire *w)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a, never 0 here */
	for (size_t i = 0; i < w->len; i++)
		hash = (hash ^ w->buf[i]) * 1099511628211u;
	return hash | 1;
}

/* Tells repeats from what is new, and remembers it. */
static void notice(struct wire *w)
{
	int op = wire_op(w);
	unsigned block = wire_block(w);
	w->again = false;
	if (op == OP_OACK) {
		w->again = w->had.oack;
		w->had.oack = true;
	} else if (op == OP_DATA || op == OP_ACK) {
		int *newest = op == OP_DATA ? &w->had.data : &w->had.ack;
		w->again = !after(*newest, block);
		if (!w->again)
			*newest = (int)block;
		w->had.oack = false;
	} else if (op == OP_RRQ || op == OP_WRQ) {
		uint64_t hash = hash_of(w);
		w->again = hash == w->had.request && wire_from_port(w) == w->had.port;
		w->had.request = hash;
		w->had.port = wire_from_port(w);
	}
}

bool wire_recv(struct wire *w, int ms)
{
	int64_t until = now_ms() + ms;
	for (;;) {
		int64_t left = until - now_ms();
		struct pollfd p = {.fd = w->fd, .events = POLLIN};
		if (poll(&p, 1, left > 0 ? (int)left : 0) > 0) {
			socklen_t size = sizeof(w->from);
			struct sockaddr *from = (struct sockaddr *)&w->from;
			ssize_t n = recvfrom(w->fd, w->buf, sizeof(w->buf), MSG_DONTWAIT, from, &size);
			if (n >= 0) {
				w->len = (size_t)n;
				notice(w);
				return true;
			}
		}
		if (left <= 0)
			return false;
	}
}

void wire_drain(struct wire *w, int ms)
{
	for (int i = 0; i < 100000 && wire_recv(w, ms); i++)
		;
}

void wire_forget(struct wire *w)
{
	wire_drain(w, 0);
	w->had.oack = false;
	w->had.data = w->had.ack = -1;
	w->had.request = 0;
}

void wire_deafen(struct wire *w)
{
	struct sockaddr_storage self;
	socklen_t len = sizeof(self);
	ck_assert_int_eq(getsockname(w->fd, (struct sockaddr *)&self, &len), 0);
	ck_assert_msg(connect(w->fd, (struct sockaddr *)&self, len) == 0, "connect: %s", strerror(errno));
}

int wire_op(const struct wire *w)
{
	return w->len < 2 ? 0 : w->buf[0] << 8 | w->buf[1];
}

unsigned wire_block(const struct wire *w)
{
	return w->len < 4 ? 0 : (unsigned)w->buf[2] << 8 | w->buf[3];
}

/* The last datagram in words, for a failure. */
static const char *described(const struct wire *w)
{
	static char text[400];
	int op = wire_op(w);
	if (op == OP_DATA)
		snprintf(text, sizeof(text), "DATA %u, %zu bytes", wire_block(w), w->len - 4);
	else if (op == OP_ACK)
		snprintf(text, sizeof(text), "ACK %u", wire_block(w));
	else if (op == OP_ERROR)
		snprintf(text, sizeof(text), "ERROR %u \"%.*s\"", wire_block(w), (int)(w->len < 4 ? 0 : w->len - 4),
		    w->buf + 4);
	else {
		int at = snprintf(text, sizeof(text), "opcode %d, %zu bytes: ", op, w->len);
		for (size_t i = 2; i < w->len && at < 300; i++)
			at += snprintf(text + at, sizeof(text) - (size_t)at,
			    w->buf[i] >= 32 && w->buf[i] < 127 ? "%c" : "\\%o", w->buf[i]);
	}
	return text;
}

/* Whether `block` was before `wanted`, so that it may be a repeat: within half of the 16-bit range. */
static bool before(unsigned block, unsigned wanted)
{
	return (uint16_t)(wanted - block) != 0 && (uint16_t)(wanted - block) < 0x8000;
}

/*
 * The next datagram that is of this kind, or anything else that is not a repeat. A block before the wanted one is one,
 * whether or not this socket has had it: its first copy may have been taken by wire_drain(), or a test's own reading.
 */
static bool next_of(struct wire *w, int op, unsigned block)
{
	while (wire_recv(w, WIRE_WAIT)) {
		bool numbered = op == OP_DATA || op == OP_ACK;
		bool wanted = wire_op(w) == op && (!numbered || wire_block(w) == block);
		if (!wanted && (w->again || (numbered && wire_op(w) == op && before(wire_block(w), block))))
			continue;
		return true;
	}
	return false;
}

void wire_expect_data_at(const char *file, int line, struct wire *w, unsigned block, const void *payload, size_t len)
{
	block &= 0xffff;
	if (!next_of(w, OP_DATA, block))
		ck_abort_msg("%s:%d: no DATA %u came", file, line, block);
	if (wire_op(w) != OP_DATA || wire_block(w) != block)
		ck_abort_msg("%s:%d: DATA %u should have come and not %s", file, line, block, described(w));
	if (w->len - 4 != len)
		ck_abort_msg("%s:%d: DATA %u has %zu bytes and not %zu", file, line, block, w->len - 4, len);
	if (len && memcmp(w->buf + 4, payload, len))
		ck_abort_msg("%s:%d: DATA %u holds other bytes", file, line, block);
}

void wire_expect_ack_at(const char *file, int line, struct wire *w, unsigned block)
{
	block &= 0xffff;
	if (!next_of(w, OP_ACK, block))
		ck_abort_msg("%s:%d: no ACK %u came", file, line, block);
	if (wire_op(w) != OP_ACK || wire_block(w) != block)
		ck_abort_msg("%s:%d: ACK %u should have come and not %s", file, line, block, described(w));
}

void wire_expect_error_at(const char *file, int line, struct wire *w, int code)
{
	if (!next_of(w, OP_ERROR, 0))
		ck_abort_msg("%s:%d: no ERROR came", file, line);
	if (wire_op(w) != OP_ERROR || (code >= 0 && wire_block(w) != (unsigned)code))
		ck_abort_msg("%s:%d: ERROR %d should have come and not %s", file, line, code, described(w));
	if (w->len < 6 || w->buf[w->len - 1] != 0 || memchr(w->buf + 4, 0, w->len - 5))
		ck_abort_msg("%s:%d: the ERROR has no text that ends in one NUL: %s", file, line, described(w));
}

void wire_expect_silence_at(const char *file, int line, struct wire *w, int ms)
{
	if (wire_recv(w, ms))
		ck_abort_msg("%s:%d: nothing should have come, but %s did", file, line, described(w));
}

void wire_expect_oack_at(const char *file, int line, struct wire *w, const char *options, size_t len)
{
	if (!next_of(w, OP_OACK, 0))
		ck_abort_msg("%s:%d: no OACK came", file, line);
	if (wire_op(w) != OP_OACK || w->len != 2 + len || memcmp(w->buf + 2, options, len))
		ck_abort_msg("%s:%d: an OACK of %zu bytes from \"%s\" on should have come and not %s", file, line,
		    2 + len, options, described(w));
}

const char *wire_expect_request_at(const char *file, int line, struct wire *w, int op, bool fresh)
{
	do
		if (!wire_recv(w, WIRE_WAIT))
			ck_abort_msg("%s:%d: no%s request came", file, line, fresh ? " new" : "");
	while (fresh && w->again);
	if (wire_op(w) != op || w->len < 4 || w->buf[w->len - 1] != 0)
		ck_abort_msg("%s:%d: a request (%d) should have come and not %s", file, line, op, described(w));
	return (const char *)w->buf + 2;
}

void wire_expect_no_new_request_at(const char *file, int line, struct wire *w)
{
	while (wire_recv(w, 0))
		if (!w->again)
			ck_abort_msg("%s:%d: no other request should have come, but %s did", file, line, described(w));
}

const char *wire_option(const struct wire *w, const char *name)
{
	const char *at = (const char *)w->buf + 2, *end = (const char *)w->buf + w->len;
	if (wire_op(w) != OP_OACK)
		for (int i = 0; i < 2 && at < end; i++)
			at += strnlen(at, (size_t)(end - at)) + 1;
	while (at < end) {
		const char *value = at + strnlen(at, (size_t)(end - at)) + 1;
		if (value >= end)
			break;
		if (!strcasecmp(at, name))
			return value;
		at = value + strnlen(value, (size_t)(end - value)) + 1;
	}
	return NULL;
}

void wire_read_rest_at(const char *file, int line, struct wire *w, size_t blksize, const uint8_t *data, size_t len)
{
	unsigned block = 1;
	for (size_t at = 0;; at += blksize, block++) {
		size_t n = len - at < blksize ? len - at : blksize;
		wire_expect_data_at(file, line, w, block, data + at, n);
		wire_follow(w);
		wire_ack(w, block);
		if (n < blksize)
			return;
	}
}

void wire_write_rest_at(const char *file, int line, struct wire *w, size_t blksize, const uint8_t *data, size_t len)
{
	unsigned block = 1;
	for (size_t at = 0;; at += blksize, block++) {
		size_t n = len - at < blksize ? len - at : blksize;
		wire_data(w, block, data + at, n);
		wire_expect_ack_at(file, line, w, block);
		if (n < blksize)
			return;
	}
}

uint64_t wire_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void wire_fill(uint8_t *buf, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t r = wire_random(&seed);
		memcpy(buf + i, &r, len - i < 8 ? len - i : 8);
	}
}
