/*
 * UDP sockets with the kernel's fast paths (recvmmsg, UDP_GRO, UDP_SEGMENT, sendmmsg) and without them where they are
 * refused.
 */
#include "udp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* Most datagrams in one UDP_SEGMENT send (the kernel's UDP_MAX_SEGMENTS on every version that has it). */
#define SEGMENTS_MAX 64

/* struct sock_extended_err of the kernel's errqueue.h, which not every libc ships. */
struct extended_error {
	uint32_t number;
	uint8_t origin, type, code, pad;
	uint32_t info, data;
};

#define CONTROL_LEN 128 /* pktinfo of either family, and UDP_GRO's int */

struct udp_batch {
	uint8_t *slots;                  /* UDP_BATCH times UDP_SLOT bytes, mapped: untouched pages cost nothing */
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct addr from[UDP_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[UDP_BATCH][CONTROL_LEN];
	int n, at;                       /* messages received, and the one udp_next is in */
	size_t off, seg;                 /* inside it: where the next datagram begins, how long they are */
	struct addr to;
	bool group;
	unsigned ifindex;
};

struct udp_batch *udp_batch_new(void)
{
	struct udp_batch *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->slots = mmap(NULL, UDP_BATCH * UDP_SLOT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->slots == MAP_FAILED) {
		free(b);
		return NULL;
	}
	for (int i = 0; i < UDP_BATCH; i++) {
		b->iov[i] = (struct iovec){.iov_base = b->slots + (size_t)i * UDP_SLOT, .iov_len = UDP_SLOT};
		b->msgs[i].msg_hdr.msg_iov = &b->iov[i];
		b->msgs[i].msg_hdr.msg_iovlen = 1;
		b->msgs[i].msg_hdr.msg_name = &b->from[i];
	}
	return b;
}

void udp_batch_del(struct udp_batch *b)
{
	if (b == NULL)
		return;
	munmap(b->slots, UDP_BATCH * UDP_SLOT);
	free(b);
}

/* Opening. */

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static void start(struct udp *u, int fd, int family, unsigned without)
{
	*u = (struct udp){
		.fd = fd,
		.family = family,
		.fragments = UDP_FRAGMENTS_LOCAL,
		.no_gso = without & UDP_NO_GSO,
		.no_mmsg = without & UDP_NO_MMSG,
	};
}

/* ICMP errors go to a queue with the address they are about; without this an unconnected socket never hears of them. */
static int want_errors(const struct udp *u)
{
	if (u->family == AF_INET6)
		return set_int(u->fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	return set_int(u->fd, IPPROTO_IP, IP_RECVERR, 1);
}

static int want_pktinfo(struct udp *u)
{
	int err;

	if (u->family == AF_INET6)
		err = set_int(u->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	else
		err = set_int(u->fd, IPPROTO_IP, IP_PKTINFO, 1);
	u->pktinfo = err == 0;
	return err;
}

/* May be bound before the address is there: at boot, or one that moves between machines. Not vital. */
static void free_bind(const struct udp *u)
{
	if (u->family == AF_INET6)
		set_int(u->fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
	else
		set_int(u->fd, IPPROTO_IP, IP_FREEBIND, 1);
}

/* A socket that is not bound yet. On failure nothing is left. */
static int make(struct udp *u, int family, bool pktinfo, unsigned without)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	start(u, fd, family, without);
	if (fd < 0)
		return -errno;
	err = want_errors(u);
	if (err == 0 && pktinfo)
		err = want_pktinfo(u);
	if (err != 0)
		udp_close(u);
	return err;
}

static int bind_to(struct udp *u, const struct addr *local)
{
	int err = 0;

	if (u->family == AF_INET6 && addr_is_wildcard(local))
		err = set_int(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (err == 0 && bind(u->fd, &local->sa, addr_len(local)) != 0)
		err = -errno;
	if (err != 0)
		udp_close(u);
	return err;
}

int udp_open(struct udp *u, const struct addr *local, bool pktinfo, unsigned without)
{
	int err = make(u, local->sa.sa_family, pktinfo, without);

	return err != 0 ? err : bind_to(u, local);
}

void udp_share(struct udp *u, bool share)
{
	set_int(u->fd, SOL_SOCKET, SO_REUSEADDR, share);
}

int udp_listen(struct udp *u, const struct addr *local, const char *device, bool share, unsigned without)
{
	int err = make(u, local->sa.sa_family, true, without);

	if (err != 0)
		return err;
	free_bind(u);
	udp_share(u, share);
	if (device != NULL && setsockopt(u->fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0) {
		err = -errno;
		udp_close(u);
		return err;
	}
	return bind_to(u, local);
}

/* systemd binds [::] for both families unless it is told otherwise: what IPv4 says beside a datagram must be asked for. */
static void adopt_ipv4(struct udp *u)
{
	int v6only = 1;
	socklen_t len = sizeof(v6only);

	if (u->family != AF_INET6 || getsockopt(u->fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) != 0 || v6only)
		return;
	u->dual = true;
	set_int(u->fd, IPPROTO_IP, IP_RECVERR, 1);
	set_int(u->fd, IPPROTO_IP, IP_PKTINFO, 1);
}

int udp_adopt(struct udp *u, int fd, unsigned without)
{
	struct addr local;
	socklen_t len = sizeof(local);
	int err;

	if (getsockname(fd, &local.sa, &len) != 0)
		return -errno;
	start(u, fd, local.sa.sa_family, without);
	err = want_errors(u);
	if (err == 0)
		err = want_pktinfo(u);
	if (err == 0)
		adopt_ipv4(u);
	return err;
}

void udp_close(struct udp *u)
{
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
}

void udp_coalesce(struct udp *u, unsigned without)
{
	if (!(without & UDP_NO_GRO))
		u->gro = set_int(u->fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
}

void udp_separate(struct udp *u)
{
	if (u->gro && set_int(u->fd, IPPROTO_UDP, UDP_GRO, 0) == 0)
		u->gro = false;
}

void udp_count_drops(struct udp *u)
{
	set_int(u->fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
}

/* Root may have more than the administrator's limit, and may have asked for it before. The kernel counts it twice. */
static void buffer(int fd, int force, int plain, int bytes)
{
	int have = 0;
	socklen_t len = sizeof(have);

	if (getsockopt(fd, SOL_SOCKET, plain, &have, &len) == 0 && have / 2 >= bytes)
		return;
	if (set_int(fd, SOL_SOCKET, force, bytes) != 0)
		set_int(fd, SOL_SOCKET, plain, bytes);
}

void udp_buffers(struct udp *u, int bytes)
{
	buffer(u->fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
	buffer(u->fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
}

void udp_fragment(struct udp *u, enum udp_fragments which)
{
	static const int discover[] = {
		[UDP_FRAGMENTS_NONE] = IP_PMTUDISC_DO, [UDP_FRAGMENTS_LOCAL] = IP_PMTUDISC_WANT,
		[UDP_FRAGMENTS_ANY] = IP_PMTUDISC_DONT,
	};

	if (u->fragments == which)
		return;
	u->fragments = which;
	if (u->family == AF_INET || u->dual)
		set_int(u->fd, IPPROTO_IP, IP_MTU_DISCOVER, discover[which]);
}

int udp_local(const struct udp *u, struct addr *out)
{
	socklen_t len = sizeof(*out);

	memset(out, 0, sizeof(*out));
	return getsockname(u->fd, &out->sa, &len) == 0 ? 0 : -errno;
}

/* Connecting. */

/*
 * Two sockets may share an address if both agree; a datagram goes to the connected one if that is who sent it. Only once
 * that holds does the other one get the address, so that nothing of the peer's can end up there. There is no way back: a
 * socket that is disconnected loses a port that the kernel chose.
 */
int udp_connect(struct udp *u, const struct addr *peer, struct udp *others)
{
	struct addr local;
	int err = udp_local(u, &local);

	if (err == 0)
		err = make(others, u->family, false, 0);
	if (err != 0)
		return err;
	err = set_int(u->fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (err == 0)
		err = set_int(others->fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (err == 0 && connect(u->fd, &peer->sa, addr_len(peer)) != 0)
		err = -errno;
	if (err != 0) {
		udp_close(others);
		return err;
	}
	u->connected = true;
	bind_to(others, &local);
	return 0;
}

/* Receiving. */

/*
 * One datagram, and nothing to know but who sent it: recvfrom costs a tenth less than recvmmsg, which is what a client
 * in lockstep waits for. A slot holds any datagram whole.
 */
static int recv_one(struct udp *u, struct udp_batch *b, int flags)
{
	struct mmsghdr *m = &b->msgs[0];
	socklen_t len = sizeof(b->from[0]);
	ssize_t n = recvfrom(u->fd, b->slots, UDP_SLOT, flags, &b->from[0].sa, &len);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	m->msg_len = (unsigned)n;
	m->msg_hdr.msg_flags = 0;
	m->msg_hdr.msg_controllen = 0;
	b->n = 1;
	return 1;
}

/* The counter runs on from datagram to datagram, so a count that is missed is in the next one. */
static void note_drops(struct udp *u, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL)
			memcpy(&u->drops, CMSG_DATA(c), sizeof(u->drops));
}

static int receive(struct udp *u, struct udp_batch *b, int max, int flags)
{
	bool control = u->pktinfo || u->gro;
	int n;

	b->n = b->at = 0;
	b->off = b->seg = 0;
	if (max == 1 && !control)
		return recv_one(u, b, flags & MSG_DONTWAIT);
	for (int i = 0; i < max; i++) {
		struct msghdr *h = &b->msgs[i].msg_hdr;

		h->msg_namelen = sizeof(b->from[i]);
		h->msg_control = control ? b->control[i] : NULL;
		h->msg_controllen = control ? CONTROL_LEN : 0;
	}
	n = recvmmsg(u->fd, b->msgs, (unsigned)max, flags, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	b->n = n;
	if (control && n > 0)
		note_drops(u, &b->msgs[n - 1].msg_hdr);
	return n;
}

int udp_recv(struct udp *u, struct udp_batch *b, int max)
{
	return receive(u, b, max, MSG_DONTWAIT);
}

/* Every other call on a socket says MSG_DONTWAIT, so that this one can do without. */
static int let_wait(struct udp *u)
{
	struct timeval most = {.tv_usec = UDP_AWAIT_MS * 1000};

	if (setsockopt(u->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most)) != 0 || fcntl(u->fd, F_SETFL, 0) != 0)
		return -errno;
	u->awaits = true;
	return 0;
}

int udp_await(struct udp *u, struct udp_batch *b, int max)
{
	int err = u->awaits ? 0 : let_wait(u);

	return err != 0 ? err : receive(u, b, max, MSG_WAITFORONE);
}

static void local_v4(struct udp_batch *b, const struct cmsghdr *c)
{
	struct in_pktinfo info;

	memcpy(&info, CMSG_DATA(c), sizeof(info));
	b->to.v4.sin_family = AF_INET;
	b->ifindex = (unsigned)info.ipi_ifindex;
	/* What had come before an inherited socket was asked for this has the header's address alone. */
	if (info.ipi_spec_dst.s_addr == INADDR_ANY) {
		b->group = info.ipi_addr.s_addr == INADDR_BROADCAST || IN_MULTICAST(ntohl(info.ipi_addr.s_addr));
		if (!b->group)
			b->to.v4.sin_addr = info.ipi_addr;
		return;
	}
	/* ipi_addr is what the header says; the two differ where that is a broadcast or multicast address. */
	b->to.v4.sin_addr = info.ipi_spec_dst;
	b->group = info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr;
}

static void local_v6(struct udp_batch *b, const struct cmsghdr *c)
{
	struct in6_pktinfo info;

	memcpy(&info, CMSG_DATA(c), sizeof(info));
	b->ifindex = info.ipi6_ifindex;
	b->group = IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
	if (b->group)
		return;
	b->to.v6.sin6_family = AF_INET6;
	b->to.v6.sin6_addr = info.ipi6_addr;
	if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
		b->to.v6.sin6_scope_id = info.ipi6_ifindex;
}

/* Read a message's control data: its local address, and the size of the datagrams that were coalesced into it. */
static void open_message(struct udp_batch *b)
{
	struct msghdr *h = &b->msgs[b->at].msg_hdr;

	memset(&b->to, 0, sizeof(b->to));
	b->group = false;
	b->ifindex = 0;
	b->seg = b->msgs[b->at].msg_len;
	b->off = 0;
	if (h->msg_controllen == 0)
		return;
	addr_unmap(&b->from[b->at]);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
			local_v4(b, c);
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			/* A dual socket says it both ways about IPv4, and only the other one knows a broadcast. */
			if (b->from[b->at].sa.sa_family == AF_INET6)
				local_v6(b, c);
		}
		else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int seg;

			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
			if (seg > 0)
				b->seg = (size_t)seg;
		}
	}
}

bool udp_next(struct udp_batch *b, struct udp_datagram *d)
{
	size_t left;

	if (b->at >= b->n)
		return false;
	if (b->off == 0)
		open_message(b);
	left = b->msgs[b->at].msg_len - b->off;
	d->buf = b->slots + (size_t)b->at * UDP_SLOT + b->off;
	d->len = left < b->seg ? left : b->seg;
	d->cut = b->msgs[b->at].msg_hdr.msg_flags & MSG_TRUNC;
	d->from = b->from[b->at];
	d->to = b->to;
	d->group = b->group;
	d->ifindex = b->ifindex;
	b->off += d->len;
	if (d->len == 0 || b->off >= b->msgs[b->at].msg_len) {
		b->off = 0;
		b->at++;
	}
	return true;
}

/* Sending. */

/* Room for the two things we ever say beside a datagram. */
struct control {
	_Alignas(struct cmsghdr) uint8_t buf[CONTROL_LEN];
	size_t len;
};

static void *add_control(struct control *c, int level, int type, size_t len)
{
	struct cmsghdr *h = (struct cmsghdr *)(void *)(c->buf + c->len);

	memset(h, 0, CMSG_SPACE(len));
	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = (socklen_t)CMSG_LEN(len); /* musl's field is narrower than glibc's */
	c->len += CMSG_SPACE(len);
	return CMSG_DATA(h);
}

/* The local address to send from: a server answers from where it was asked. */
static void add_source(struct control *c, const struct addr *from, unsigned ifindex)
{
	if (from->sa.sa_family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = from->v4.sin_addr};

		memcpy(add_control(c, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info, sizeof(info));
	} else if (from->sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_addr = from->v6.sin6_addr};

		/* Only a link-local address is not enough to know the link. */
		if (IN6_IS_ADDR_LINKLOCAL(&from->v6.sin6_addr))
			info.ipi6_ifindex = ifindex;
		memcpy(add_control(c, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), &info, sizeof(info));
	}
}

/* `to` is NULL on a connected socket, here and below: an address would be looked up again. */
static void fill_header(struct msghdr *h, const struct addr *to, struct iovec *iov, const struct control *c)
{
	*h = (struct msghdr){
		.msg_name = to != NULL ? (void *)&to->sa : NULL,
		.msg_namelen = to != NULL ? addr_len(to) : 0,
		.msg_iov = iov,
		.msg_iovlen = 1,
		.msg_control = c->len > 0 ? (void *)c->buf : NULL,
		.msg_controllen = (socklen_t)c->len,
	};
}

/* One system call for the whole run. */
static int send_segments(struct udp *u, const struct addr *to, const struct control *source, const uint8_t *buf,
    size_t len, size_t seg)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct control c = *source;
	uint16_t size = (uint16_t)seg;
	struct msghdr h;

	memcpy(add_control(&c, IPPROTO_UDP, UDP_SEGMENT, sizeof(size)), &size, sizeof(size));
	fill_header(&h, to, &iov, &c);
	return sendmsg(u->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : (int)((len + seg - 1) / seg);
}

static int send_one(struct udp *u, const struct addr *to, const struct control *source, const uint8_t *buf, size_t len)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct msghdr h;

	if (source->len == 0 && to != NULL)
		return sendto(u->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, addr_len(to)) < 0 ? -errno : 1;
	if (source->len == 0)
		return send(u->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 1;
	fill_header(&h, to, &iov, source);
	return sendmsg(u->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 1;
}

/* One system call, but a walk through the network stack for each datagram. */
static int send_many(struct udp *u, const struct addr *to, const struct control *source, const uint8_t *buf, size_t len,
    size_t seg)
{
	struct mmsghdr msgs[SEGMENTS_MAX];
	struct iovec iov[SEGMENTS_MAX];
	unsigned n = 0;
	int sent;

	for (size_t off = 0; off < len && n < SEGMENTS_MAX; off += seg, n++) {
		iov[n] = (struct iovec){.iov_base = (void *)(buf + off), .iov_len = len - off < seg ? len - off : seg};
		fill_header(&msgs[n].msg_hdr, to, &iov[n], source);
	}
	sent = sendmmsg(u->fd, msgs, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

static bool refuses_gso(int err)
{
	return err == -EIO || err == -EINVAL || err == -EOPNOTSUPP || err == -ENOPROTOOPT || err == -EMSGSIZE;
}

int udp_send(struct udp *u, const struct addr *to, const struct addr *from, unsigned ifindex, const uint8_t *buf,
    size_t len, size_t seg)
{
	struct control source = {.len = 0};
	struct addr mapped;
	int n;

	if (u->connected) {
		to = NULL;
	} else if (u->dual && to->sa.sa_family == AF_INET) {
		mapped = *to;
		addr_map(&mapped);
		to = &mapped;
	}
	if (from != NULL && u->pktinfo)
		add_source(&source, from, ifindex);
	if (len > seg && !u->no_gso && (u->gso_fails == 0 || seg < u->gso_fails)) {
		n = send_segments(u, to, &source, buf, len, seg);
		if (!refuses_gso(n))
			return n;
		/* Segments that do not fit this path's MTU are no reason to give up on smaller ones. */
		if (n == -EINVAL || n == -EMSGSIZE)
			u->gso_fails = seg;
		else
			u->no_gso = true;
	}
	if (len > seg && !u->no_mmsg) {
		n = send_many(u, to, &source, buf, len, seg);
		if (n != -ENOSYS)
			return n;
		u->no_mmsg = true;
	}
	return send_one(u, to, &source, buf, len < seg ? len : seg);
}

/* Errors. */

int udp_error(struct udp *u, struct addr *peer)
{
	struct control c = {.len = sizeof(c.buf)};
	uint8_t start_of_datagram[1];
	struct iovec iov = {.iov_base = start_of_datagram, .iov_len = sizeof(start_of_datagram)};
	struct msghdr h = {
		.msg_name = &peer->sa,
		.msg_namelen = sizeof(*peer),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf),
	};

	memset(peer, 0, sizeof(*peer));
	if (recvmsg(u->fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return 0;
	addr_unmap(peer);
	for (struct cmsghdr *m = CMSG_FIRSTHDR(&h); m != NULL; m = CMSG_NXTHDR(&h, m)) {
		struct extended_error e;

		if (!(m->cmsg_level == IPPROTO_IP && m->cmsg_type == IP_RECVERR) &&
		    !(m->cmsg_level == IPPROTO_IPV6 && m->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&e, CMSG_DATA(m), sizeof(e));
		return e.number != 0 ? (int)e.number : EPROTO;
	}
	return EPROTO;
}
