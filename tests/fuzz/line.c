/* See line.h. A socket is a real one that is never bound and never asked, so that its number and options are real. */
#include "line.h"

#include "fuzz.h"
#include "store_temp.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LINE_POISON
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LINE_POISON
#endif
#ifdef LINE_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define SOCKETS 1024
#define QUEUE 24
#define SLOTS 32

struct arrived {
	struct addr from;
	uint8_t *buf;
	size_t len;
	unsigned flags;
};

struct line_socket {
	bool ours;              /* made while the line is up */
	sa_family_t family;
	struct addr local;
	struct addr peer;       /* the one it is connected to; family 0: nobody */
	struct arrived queue[QUEUE];
	int n;
	struct addr about;      /* whom `error` is about */
	int error;
};

static struct line_socket sockets[SOCKETS];
static struct {
	const struct line_ears *ears;
	mono_t now;
	uint16_t port;          /* the next that a socket is given */
	bool full;
	unsigned part;
	int send_error, socket_error;
	unsigned send_errors, socket_errors;
	struct { void *at; size_t len; } closed[SLOTS]; /* memory behind a datagram, which nobody may look at */
	int nclosed;
} line;

ssize_t __real_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *fromlen);
ssize_t __real_recvmsg(int fd, struct msghdr *h, int flags);
int __real_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __real_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t tolen);
ssize_t __real_sendmsg(int fd, const struct msghdr *h, int flags);
int __real_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
int __real_socket(int family, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *a, socklen_t len);
int __real_connect(int fd, const struct sockaddr *a, socklen_t len);
int __real_getsockname(int fd, struct sockaddr *a, socklen_t *len);

mono_t __wrap_mono_now(void);
ssize_t __wrap_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *fromlen);
ssize_t __wrap_recvmsg(int fd, struct msghdr *h, int flags);
int __wrap_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t tolen);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *h, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
int __wrap_socket(int family, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t len);
int __wrap_getsockname(int fd, struct sockaddr *a, socklen_t *len);
int __wrap_epoll_create1(int flags);
int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

/* The harness's side. */

static void forget_datagrams(struct line_socket *s)
{
	while (s->n > 0)
		free(s->queue[--s->n].buf);
	s->error = 0;
}

void line_stop(void)
{
	for (int fd = 0; fd < SOCKETS; fd++) {
		forget_datagrams(&sockets[fd]);
		sockets[fd].ours = false;
	}
	while (line.nclosed > 0) {
		line.nclosed--;
		ASAN_UNPOISON_MEMORY_REGION(line.closed[line.nclosed].at, line.closed[line.nclosed].len);
	}
}

void line_start(mono_t now, const struct line_ears *ears)
{
	line_stop();
	memset(&line, 0, sizeof(line));
	line.ears = ears;
	line.now = now;
	line.port = 20000;
}

mono_t line_now(void)
{
	return line.now;
}

void line_pass(mono_t by)
{
	line.now += by;
}

/* A connected socket hears its peer; what others send there goes to another one on the same port, if there is one. */
static struct line_socket *who_hears(struct line_socket *s, const struct addr *from)
{
	if (s->peer.sa.sa_family == AF_UNSPEC || addr_equal(&s->peer, from))
		return s;
	for (int fd = 0; fd < SOCKETS; fd++)
		if (sockets[fd].ours && sockets[fd].peer.sa.sa_family == AF_UNSPEC && addr_equal(&sockets[fd].local, &s->local))
			return &sockets[fd];
	return NULL;
}

void line_put(int fd, const struct addr *from, const void *buf, size_t len, unsigned flags)
{
	struct line_socket *s = &sockets[fd];

	FUZZ_MUST(fd >= 0 && fd < SOCKETS && s->ours);
	s = who_hears(s, from);
	if (s != NULL && s->n < QUEUE)
		s->queue[s->n++] = (struct arrived){*from, fuzz_copy(buf, len), len, flags};
}

bool line_idle(int fd)
{
	return sockets[fd].n == 0;
}

void line_icmp(int fd, const struct addr *peer, int err)
{
	sockets[fd].about = *peer;
	sockets[fd].error = err;
}

void line_room(bool room, unsigned part)
{
	line.full = !room;
	line.part = part;
}

void line_fail_send(int err, unsigned n)
{
	line.send_error = err;
	line.send_errors = err != 0 ? n : 0;
}

void line_fail_socket(int err, unsigned m)
{
	line.socket_error = err;
	line.socket_errors = err != 0 ? m : 0;
}

/* The program's side: sockets. */

static struct line_socket *ours(int fd)
{
	return fd >= 0 && fd < SOCKETS && sockets[fd].ours ? &sockets[fd] : NULL;
}

mono_t __wrap_mono_now(void)
{
	return line.now;
}

int __wrap_socket(int family, int type, int protocol)
{
	int fd;

	if (family != AF_INET && family != AF_INET6)
		return __real_socket(family, type, protocol);
	if (line.socket_errors > 0) {
		line.socket_errors--;
		errno = line.socket_error;
		return -1;
	}
	fd = __real_socket(family, type, protocol);
	FUZZ_MUST(fd < SOCKETS);
	if (fd < 0)
		return fd;
	forget_datagrams(&sockets[fd]);
	sockets[fd].ours = true;
	sockets[fd].family = (sa_family_t)family;
	memset(&sockets[fd].local, 0, sizeof(sockets[fd].local));
	memset(&sockets[fd].peer, 0, sizeof(sockets[fd].peer));
	sockets[fd].local.sa.sa_family = (sa_family_t)family;
	return fd;
}

int __wrap_bind(int fd, const struct sockaddr *a, socklen_t len)
{
	struct line_socket *s = ours(fd);

	if (s == NULL)
		return __real_bind(fd, a, len);
	FUZZ_MUST(len <= sizeof(s->local) && a->sa_family == s->family);
	memcpy(&s->local, a, len);
	if (addr_port(&s->local) == 0)
		addr_set_port(&s->local, line.port++);
	return 0;
}

/* Also to ask the way to somebody, which then nobody knows. */
int __wrap_connect(int fd, const struct sockaddr *a, socklen_t len)
{
	struct line_socket *s = ours(fd);

	if (s == NULL)
		return __real_connect(fd, a, len);
	FUZZ_MUST(len <= sizeof(s->peer));
	memcpy(&s->peer, a, len);
	return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *a, socklen_t *len)
{
	const struct line_socket *s = ours(fd);

	if (s == NULL)
		return __real_getsockname(fd, a, len);
	*len = addr_len(&s->local) < *len ? addr_len(&s->local) : *len;
	memcpy(a, &s->local, *len);
	return 0;
}

/* What arrives is known here only. */
int __wrap_epoll_create1(int flags)
{
	(void)flags;
	errno = ENOSYS;
	return -1;
}

int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	int ready = 0;

	(void)mask;
	if (line.ears->waits != NULL)
		line.ears->waits(line.ears->arg,
		    timeout != NULL ? (mono_t)timeout->tv_sec * MONO_SEC + timeout->tv_nsec : MONO_NEVER);
	for (nfds_t i = 0; i < n; i++) {
		const struct line_socket *s = ours(fds[i].fd);

		fds[i].revents = 0;
		if (s == NULL)
			continue;
		if (s->n > 0)
			fds[i].revents |= fds[i].events & POLLIN;
		if (s->error != 0)
			fds[i].revents |= POLLERR;
		if (!line.full)
			fds[i].revents |= fds[i].events & POLLOUT;
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* Receiving. */

static void put_control(struct msghdr *h, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = h->msg_control;

	if (h->msg_control == NULL || h->msg_controllen < CMSG_SPACE(len)) {
		h->msg_controllen = 0;
		return;
	}
	memset(c, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = (socklen_t)CMSG_LEN(len); /* musl's field is narrower than glibc's */
	memcpy(CMSG_DATA(c), data, len);
	h->msg_controllen = (socklen_t)CMSG_SPACE(len);
}

/* It came to the address that the socket is bound to, or to everybody's. */
static void put_pktinfo(struct msghdr *h, const struct line_socket *s, unsigned flags)
{
	struct in_pktinfo info = {.ipi_spec_dst = s->local.v4.sin_addr, .ipi_addr = s->local.v4.sin_addr};

	if (flags & LINE_GROUP)
		info.ipi_addr.s_addr = INADDR_BROADCAST;
	if (s->family == AF_INET)
		put_control(h, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	else
		h->msg_controllen = 0;
}

static ssize_t copy_out(const struct arrived *a, void *buf, size_t cap)
{
	size_t len = a->len < cap ? a->len : cap;

	ASAN_UNPOISON_MEMORY_REGION(buf, cap);
	if (len > 0)
		memcpy(buf, a->buf, len);
	/* In whole words, as the sanitizer counts: what lies behind the datagram is not the program's to read. */
	if (line.nclosed < SLOTS && cap - len > 16) {
		line.closed[line.nclosed].at = (uint8_t *)buf + len;
		line.closed[line.nclosed++].len = cap - len;
		ASAN_POISON_MEMORY_REGION((uint8_t *)buf + len, cap - len);
	}
	return (ssize_t)len;
}

static ssize_t take(struct line_socket *s, struct msghdr *h, int flags)
{
	ssize_t n;

	if (s->n == 0) {
		/* Who may wait does so in vain, for about as long as udp_await says. */
		if (!(flags & MSG_DONTWAIT))
			line.now += 4 * MONO_MS;
		errno = EAGAIN;
		return -1;
	}
	FUZZ_MUST(h->msg_iovlen == 1 && h->msg_namelen >= addr_len(&s->queue[0].from));
	h->msg_flags = s->queue[0].len > h->msg_iov->iov_len ? MSG_TRUNC : 0;
	h->msg_namelen = addr_len(&s->queue[0].from);
	memcpy(h->msg_name, &s->queue[0].from, h->msg_namelen);
	put_pktinfo(h, s, s->queue[0].flags);
	n = copy_out(&s->queue[0], h->msg_iov->iov_base, h->msg_iov->iov_len);
	free(s->queue[0].buf);
	memmove(&s->queue[0], &s->queue[1], (size_t)--s->n * sizeof(s->queue[0]));
	return n;
}

static ssize_t take_error(struct line_socket *s, struct msghdr *h)
{
	struct { uint32_t number; uint8_t origin[4]; uint32_t info, data; } e = {.number = (uint32_t)s->error};

	if (s->error == 0) {
		errno = EAGAIN;
		return -1;
	}
	s->error = 0;
	h->msg_namelen = addr_len(&s->about);
	memcpy(h->msg_name, &s->about, h->msg_namelen);
	if (s->family == AF_INET)
		put_control(h, IPPROTO_IP, IP_RECVERR, &e, sizeof(e));
	else
		put_control(h, IPPROTO_IPV6, IPV6_RECVERR, &e, sizeof(e));
	return 0;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *h, int flags)
{
	struct line_socket *s = ours(fd);

	if (s == NULL)
		return __real_recvmsg(fd, h, flags);
	return flags & MSG_ERRQUEUE ? take_error(s, h) : take(s, h, flags);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	struct line_socket *s = ours(fd);
	unsigned got = 0;

	if (s == NULL)
		return __real_recvmmsg(fd, msgs, n, flags, timeout);
	for (; got < n; got++) {
		ssize_t len = take(s, &msgs[got].msg_hdr, got > 0 ? MSG_DONTWAIT : flags);

		if (len < 0)
			break;
		msgs[got].msg_len = (unsigned)len;
	}
	return got > 0 ? (int)got : -1;
}

ssize_t __wrap_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *fromlen)
{
	struct line_socket *s = ours(fd);
	struct iovec iov = {buf, len};
	struct msghdr h = {.msg_name = from, .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (s == NULL)
		return __real_recvfrom(fd, buf, len, flags, from, fromlen);
	h.msg_namelen = *fromlen;
	n = take(s, &h, flags);
	*fromlen = h.msg_namelen;
	return n;
}

/* Sending. */

/* Whether this call may send; how many datagrams of it, in `most`. */
static bool may_send(unsigned *most)
{
	if (line.send_errors > 0) {
		line.send_errors--;
		errno = line.send_error;
		return false;
	}
	errno = EAGAIN;
	*most = line.part;
	return !line.full;
}

static void hand_over(int fd, const void *to, socklen_t tolen, const uint8_t *buf, size_t len)
{
	struct addr peer = sockets[fd].peer;

	if (to != NULL) {
		memset(&peer, 0, sizeof(peer));
		FUZZ_MUST(tolen <= sizeof(peer) && tolen >= sizeof(peer.v4));
		memcpy(&peer, to, tolen);
	}
	FUZZ_MUST(peer.sa.sa_family == sockets[fd].family && addr_port(&peer) != 0);
	line.ears->sent(line.ears->arg, fd, &peer, buf, len);
}

static size_t segment_of(const struct msghdr *h, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR((struct msghdr *)h, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT) {
			uint16_t seg;

			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
			FUZZ_MUST(seg > 0 && len <= 65507 && (len + seg - 1) / seg <= 64);
			return seg;
		}
	return len;
}

static void send_all(int fd, const struct msghdr *h)
{
	const uint8_t *buf = h->msg_iov->iov_base;
	size_t len = h->msg_iov->iov_len, seg = segment_of(h, len);

	FUZZ_MUST(h->msg_iovlen == 1 && len > 0 && len <= 65507);
	for (size_t off = 0; off < len; off += seg)
		hand_over(fd, h->msg_name, h->msg_namelen, buf + off, len - off < seg ? len - off : seg);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *h, int flags)
{
	unsigned most;

	if (ours(fd) == NULL)
		return __real_sendmsg(fd, h, flags);
	if (!may_send(&most))
		return -1;
	send_all(fd, h);
	return (ssize_t)h->msg_iov->iov_len;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned most;

	if (ours(fd) == NULL)
		return __real_sendmmsg(fd, msgs, n, flags);
	if (!may_send(&most))
		return -1;
	if (most > 0 && most < n)
		n = most;
	for (unsigned i = 0; i < n; i++)
		send_all(fd, &msgs[i].msg_hdr);
	return (int)n;
}

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t tolen)
{
	unsigned most;

	if (ours(fd) == NULL)
		return __real_sendto(fd, buf, len, flags, to, tolen);
	if (!may_send(&most))
		return -1;
	FUZZ_MUST(len > 0 && len <= 65507);
	hand_over(fd, to, tolen, buf, len);
	return (ssize_t)len;
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	return ours(fd) == NULL ? __real_send(fd, buf, len, flags) : __wrap_sendto(fd, buf, len, flags, NULL, 0);
}

unsigned line_leftovers(const char *dir, bool remove)
{
	DIR *d = opendir(dir);
	unsigned found = 0;

	FUZZ_MUST(d != NULL);
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		char path[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		FUZZ_MUST(snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < PATH_MAX);
		found += strncmp(e->d_name, STORE_TEMP_PREFIX, strlen(STORE_TEMP_PREFIX)) == 0;
		if (e->d_type == DT_DIR)
			found += line_leftovers(path, remove);
		if (remove)
			FUZZ_MUST((e->d_type == DT_DIR ? rmdir(path) : unlink(path)) == 0);
	}
	closedir(d);
	return found;
}
