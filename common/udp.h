/*
 * A UDP socket: receive a batch, send a run. Knows nothing of TFTP.
 *
 * Receiving takes many datagrams per system call (recvmmsg) and splits what the kernel coalesced (UDP_GRO); sending
 * gives a whole window to the kernel at once (UDP_SEGMENT). Where the kernel or a device refuses, the socket falls back
 * for good and says so in `no_gso`. Every function returns -errno on failure.
 */
#ifndef UDP_H
#define UDP_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_BATCH 16      /* datagrams (or coalesced runs) per receive call */
#define UDP_SLOT 65536    /* bytes for each */

/*
 * Which datagrams IPv4 may fragment. By default what fits the path's MTU, as far as it is known, is marked as not to be,
 * so that a router where it does not fit says so; but nothing that UDP_SEGMENT cuts is. IPv6 fragments by itself what is
 * known not to fit, and routers never do.
 */
enum udp_fragments {
	UDP_FRAGMENTS_NONE,  /* all is marked; what does not fit is refused, -EMSGSIZE */
	UDP_FRAGMENTS_LOCAL, /* the default; what does not fit is sent in fragments */
	UDP_FRAGMENTS_ANY,   /* nothing is marked */
};

struct udp {
	int fd;
	int family;
	enum udp_fragments fragments;
	bool dual;     /* an inherited IPv6 socket that takes IPv4 as well; its datagrams have plain IPv4 addresses here */
	bool pktinfo;  /* received datagrams carry their local address, sent ones may choose it */
	bool gro;      /* the kernel may coalesce what we receive */
	bool no_gso;   /* the kernel or device refused UDP_SEGMENT: sendmmsg */
	size_t gso_fails; /* segments of this size and more did not fit the path's MTU; 0: none so far */
	uint32_t drops, drops_told; /* datagrams lost for want of buffer room (udp_count_drops), and what its owner has said */
	bool no_mmsg;  /* sendmmsg is refused as well: one by one */
	bool awaits;   /* the socket blocks where a call does not say otherwise (udp_await) */
	bool connected; /* it sends to one peer only, whatever udp_send is told, and receives from nobody else */
};

/* One received datagram: a view into the batch. */
struct udp_datagram {
	const uint8_t *buf;
	size_t len;
	bool cut;           /* it was longer than the slot */
	struct addr from;
	struct addr to;     /* our address to answer from (pktinfo sockets), port 0; family 0: unknown */
	bool group;         /* it was sent to a broadcast or multicast address */
	unsigned ifindex;   /* the interface it came in on, 0: unknown */
};

/* Receive buffers, shared by every socket of a loop. Large, but only the pages that are used become memory. */
struct udp_batch;
struct udp_batch *udp_batch_new(void);   /* NULL: out of memory */
void udp_batch_del(struct udp_batch *b);

/* Which fast paths to leave out, for tests and for comparison; bits. */
enum { UDP_NO_GSO = 1, UDP_NO_GRO = 2, UDP_NO_MMSG = 4 };

/*
 * A non-blocking, close-on-exec socket bound to `local` (port 0: any). With `pktinfo` it learns the address each
 * datagram was sent to. ICMP errors are collected (udp_error). An IPv6 socket takes IPv6 only.
 */
int udp_open(struct udp *u, const struct addr *local, bool pktinfo, unsigned without);
void udp_close(struct udp *u);

/*
 * The same for a socket that requests come to: with pktinfo; on the interface `device` only, unless that is NULL; and
 * `local` need not be an address of this machine yet. -ENODEV: there is no such interface. With `share` it may have a
 * port in common with sockets that udp_share says the same of: an address with an interface that has it, say.
 */
int udp_listen(struct udp *u, const struct addr *local, const char *device, bool share, unsigned without);

/* Whether a further socket may be bound to the same port. The datagrams go to the one that fits best. */
void udp_share(struct udp *u, bool share);

/* Take over a bound socket that somebody else opened (inetd, systemd). */
int udp_adopt(struct udp *u, int fd, unsigned without);

/* Let the kernel coalesce received datagrams; worth it where DATA arrives. Silently off where it is not available. */
void udp_coalesce(struct udp *u, unsigned without);

/* No longer, or not at all: what comes one by one is received for less. */
void udp_separate(struct udp *u);

/* Let the kernel report in `drops` what did not fit into the receive buffer; on sockets with pktinfo. */
void udp_count_drops(struct udp *u);

/* Ask for buffers of so many bytes; the kernel gives what it allows. */
void udp_buffers(struct udp *u, int bytes);

/*
 * Bind a socket of udp_open() to this one peer, which spares the kernel a look at the routing table for each datagram,
 * and open `*others` on the same local address and port for what anybody else sends there. 0 or -errno; on failure the
 * socket is as it was. Should only the address be refused to the others, their fd is -1: strangers are told by ICMP then.
 */
int udp_connect(struct udp *u, const struct addr *peer, struct udp *others);

/* What may be fragmented from now on. */
void udp_fragment(struct udp *u, enum udp_fragments which);

/* The address the socket is bound to. */
int udp_local(const struct udp *u, struct addr *out);

/*
 * Receive what is there, at most `max` messages (1..UDP_BATCH). Returns the number of messages, 0 if there are none,
 * -errno. Then udp_next() steps through the datagrams in them.
 */
int udp_recv(struct udp *u, struct udp_batch *b, int max);

/*
 * The same, but where there is nothing yet it waits, UDP_AWAIT_MS and a tick of the kernel's at most. Only for a socket
 * that udp_open() made: one that was inherited has other users, who count on how it behaves.
 */
int udp_await(struct udp *u, struct udp_batch *b, int max);
#define UDP_AWAIT_MS 4

/* Step through the datagrams of the last receive call: true while there is one. */
bool udp_next(struct udp_batch *b, struct udp_datagram *d);

/*
 * Send datagrams that lie end to end in buf, `seg` bytes each, the last may be shorter, to `to`; `from` picks the local
 * address on a pktinfo socket, with `ifindex` where it needs one (link-local), NULL leaves it to the kernel. Returns how
 * many datagrams were taken (at least 1) or -errno, -EAGAIN when the socket is full.
 */
int udp_send(struct udp *u, const struct addr *to, const struct addr *from, unsigned ifindex, const uint8_t *buf,
    size_t len, size_t seg);

/*
 * Take one ICMP or local error off the socket's error queue: returns the errno it stands for and in *peer where the
 * datagram was going, or 0 when the queue is empty.
 */
int udp_error(struct udp *u, struct addr *peer);

#endif
