/*
 * What the programs of the benchmark share: files whose name says number and size and whose content follows from them,
 * sending blocks of such a file, the clock, pinning. On purpose nothing of the suite's own code: what measures it must
 * not share its mistakes.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define NS_SEC 1000000000LL
#define NS_MS 1000000LL

enum { RRQ = 1, WRQ = 2, DATA = 3, ACK = 4, ERROR = 5, OACK = 6 };

static inline int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_SEC + ts.tv_nsec;
}

__attribute__((format(printf, 1, 2), noreturn)) static inline void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* A number with an optional suffix k, M or G (powers of 1024). */
static inline uint64_t number(const char *s)
{
	char *end;
	double v = strtod(s, &end);
	uint64_t unit = *end == 'k' ? 1 << 10 : *end == 'M' ? 1 << 20 : *end == 'G' ? 1 << 30 : 1;
	if (end == s || (*end != '\0' && (unit == 1 || end[1] != '\0')) || v < 0)
		die("not a number: \"%s\"", s);
	return (uint64_t)(v * (double)unit);
}

static inline void pin(int cpu)
{
	cpu_set_t set;
	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "cannot run on CPU %d: %s\n", cpu, strerror(errno));
}

static inline void many_files(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

struct where {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* "host:port", "[v6]:port". */
static inline void parse_where(struct where *w, const char *text)
{
	char host[256];
	const char *colon = strrchr(text, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *ai;
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		die("want HOST:PORT, not \"%s\"", text);
	size_t n = (size_t)(colon - text);
	memcpy(host, text, n);
	host[n] = '\0';
	char *h = host;
	if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		h++;
	}
	int err = getaddrinfo(h, colon + 1, &hints, &ai);
	if (err != 0)
		die("%s: %s", text, gai_strerror(err));
	memcpy(&w->sa, ai->ai_addr, ai->ai_addrlen);
	w->len = ai->ai_addrlen;
	freeaddrinfo(ai);
}

static inline bool same_where(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	}
	const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
	return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, 16) == 0;
}

/* A buffer that holds a few windows; the kernel may refuse the size, the bench then shows the losses. */
static inline void big_buffers(int fd)
{
	int size = 4 << 20;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/*
 * Content: one sequence of PERIOD bytes over and over, begun elsewhere for each file. PERIOD is a prime larger than the
 * cache line and smaller than the L1 cache can spoil: comparing costs little, and no block fits in another block's
 * place, nor after a wrap of the block number.
 */
#define PERIOD 32749
extern uint8_t pattern[PERIOD + 65536];

#define DEFINE_PATTERN uint8_t pattern[PERIOD + 65536]

static inline void pattern_init(void)
{
	uint64_t x = 88172645463325252ULL;
	for (size_t i = 0; i < sizeof(pattern); i++) {
		if (i < PERIOD) {
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			pattern[i] = (uint8_t)(x >> 56);
		} else {
			pattern[i] = pattern[i - PERIOD];
		}
	}
}

/* Up to 64 KiB of the file from this offset. */
static inline const uint8_t *content(unsigned file, uint64_t off)
{
	return pattern + (off + (uint64_t)file * 7919) % PERIOD;
}

static inline int file_name(char *buf, size_t cap, unsigned file, uint64_t size)
{
	return snprintf(buf, cap, "f%u-%llu", file, (unsigned long long)size);
}

static inline bool parse_file_name(const char *name, unsigned *file, uint64_t *size)
{
	unsigned long long s;
	if (sscanf(name, "f%u-%llu", file, &s) != 2)
		return false;
	*size = s;
	return true;
}

/*
 * Send `n` DATA blocks of a file from block `first` (1 is the file's first) on, straight from the pattern: as GSO runs,
 * or one by one. `to` NULL: connected. Returns 0 or -errno.
 */
static inline int send_blocks(int fd, const struct where *to, unsigned file, uint64_t size, size_t blk, uint64_t first,
    uint64_t n, bool gso)
{
	uint64_t most = gso ? 65507 / (blk + 4) : 1;
	if (most > 64)
		most = 64;
	if (most < 1)
		most = 1;
	while (n > 0) {
		uint8_t head[64][4];
		struct iovec iov[128];
		size_t k = 0, parts = 0;
		for (; k < most && k < n; k++) {
			uint64_t b = first + k, off = (b - 1) * blk;
			size_t len = size - off < blk ? (size_t)(size - off) : blk;
			head[k][0] = 0;
			head[k][1] = DATA;
			head[k][2] = (uint8_t)(b >> 8);
			head[k][3] = (uint8_t)b;
			iov[parts++] = (struct iovec){head[k], 4};
			iov[parts++] = (struct iovec){(void *)content(file, off), len};
		}
		union {
			struct cmsghdr h;
			char room[CMSG_SPACE(sizeof(uint16_t))];
		} ctl;
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = parts};
		if (to != NULL) {
			m.msg_name = (void *)&to->sa;
			m.msg_namelen = to->len;
		}
		if (k > 1) {
			uint16_t seg = (uint16_t)(blk + 4);
			m.msg_control = &ctl;
			m.msg_controllen = sizeof(ctl.room);
			ctl.h = (struct cmsghdr){CMSG_LEN(sizeof(seg)), SOL_UDP, UDP_SEGMENT};
			memcpy(CMSG_DATA(&ctl.h), &seg, sizeof(seg));
		}
		if (sendmsg(fd, &m, 0) < 0)
			return -errno;
		first += k;
		n -= k;
	}
	return 0;
}

/* Receive one datagram or one coalesced run; *seg is the size of its datagrams. Returns bytes or -1 and errno. */
static inline ssize_t recv_run(int fd, uint8_t *buf, size_t cap, struct where *from, size_t *seg, int flags)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = {buf, cap};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl.room)};
	if (from != NULL) {
		m.msg_name = &from->sa;
		m.msg_namelen = sizeof(from->sa);
	}
	ssize_t n = recvmsg(fd, &m, flags);
	if (n < 0)
		return n;
	if (from != NULL)
		from->len = m.msg_namelen;
	*seg = (size_t)n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			*seg = (size_t)size;
		}
	}
	return n;
}

#endif
