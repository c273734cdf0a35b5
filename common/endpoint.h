/*
 * The hinge between the network and the protocol: a UDP socket in the loop, the sessions on it, and the pump.
 *
 * A transfer on a port of its own is an endpoint with one session. In single-port mode every session sits on the
 * listening endpoint. Either way a datagram finds its session by the peer's address; one from anybody else goes to
 * `stranger` and disturbs nothing.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "addr.h"
#include "loop.h"
#include "transfer.h"
#include "udp.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct session;

/* Sessions by peer and local address. */
struct session_table {
	struct session **buckets;
	size_t mask;      /* number of buckets - 1 */
	size_t n;
	uint64_t seed;    /* keys the hash, so that a peer cannot choose its bucket */
	bool by_host;     /* the port is no part of it: relaxed sessions on a listener can be found by host; set at first */
};

int session_table_init(struct session_table *t, uint64_t seed);  /* 0 or -ENOMEM */
void session_table_free(struct session_table *t);
struct session *session_table_find(const struct session_table *t, const struct addr *peer, const struct addr *local);

/* A large block that lies across cache lines takes the kernel half as long again to copy. */
#define EXCHANGE_LINE 64

/* What every endpoint of a loop shares: the buffers, which hold nothing between two wake-ups. */
struct exchange {
	struct loop *loop;
	struct udp_batch *batch;
	struct gather gather;
	struct session_table sessions;   /* all of them, whatever endpoint they are on */
	struct session *touched;         /* sessions fed in this wake-up, to be pumped once */
	unsigned without;                /* UDP_NO_* */
	uint64_t malformed;              /* datagrams that were not packets */
	uint64_t strangers;              /* packets from nobody we talk to, a listener's requests aside */
	bool gso_refused;                /* some socket had to do without UDP_SEGMENT */
	unsigned copies;                 /* how often to send again, at once, whatever a session sends */
	unsigned settled;                /* endpoints that are connected to their peer */
	/* A trace: sees each datagram of a session as it comes (sent false) or has gone. NULL: nobody looks. */
	void (*tap)(const struct session *s, bool sent, const uint8_t *buf, size_t len, mono_t now);
	uint8_t *scratch;                /* in `room`, so that the payload of a run's first DATA begins on a cache line */
	uint8_t room[PACKET_MAX + 1 + EXCHANGE_LINE];
};

/* 0 or -ENOMEM; exchange_free() afterwards either way. */
int exchange_init(struct exchange *x, struct loop *loop, uint64_t seed, unsigned without);
void exchange_free(struct exchange *x);

/*
 * A packet, or something that is not one (p NULL, `fault` says why and `op` what it claimed to be), from an address
 * without a session here.
 */
typedef void endpoint_stranger(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault,
    int op, mono_t now);

struct endpoint {
	struct loop_fd io;
	struct udp udp;
	struct exchange *exchange;
	struct session *only;            /* the one session of a transfer's own port; NULL on a listener */
	struct session *waiting;         /* sessions that have something to send when the socket has room again */
	endpoint_stranger *stranger;
	void *owner;
	int batch;                       /* messages to receive per wake-up */
	struct endpoint *others;         /* connected to its peer: where strangers' datagrams arrive; NULL: here */
};

/* An exchange has at most so many connected endpoints, each of which takes a descriptor more. */
#define ENDPOINT_SETTLED_MAX 8

/* Put an open socket into the loop. 0 or -errno; on failure the socket is still the caller's. */
int endpoint_add(struct endpoint *e, struct exchange *x, endpoint_stranger *stranger, void *owner);

/* Out of the loop, socket closed. Its sessions must be gone. */
void endpoint_close(struct endpoint *e);

/* Answers a stranger with ERROR 5 (RFC 1350 section 4): what a transfer's own port does with one. */
endpoint_stranger endpoint_reject;

/* Send one packet outside of any session: a refusal. Losing it is no error. */
void endpoint_say(struct endpoint *e, const struct udp_datagram *d, uint16_t code, const char *text);

struct session_ops {
	/*
	 * May be NULL. The session has something to send: how many bytes it may be now (a full block goes in any case), or
	 * 0: it is held, sends nothing and repeats nothing, until session_release().
	 */
	size_t (*allow)(struct session *s, mono_t now);
	/* May be NULL. So many bytes went out, or came in and are acknowledged now. */
	void (*moved)(struct session *s, size_t bytes, mono_t now);
	/* May be NULL. The first packet from the peer's own TID has come: its address is not forged. */
	void (*proved)(struct session *s, mono_t now);
	/* The verdict is known: log it. The session may still dally. */
	void (*verdict)(struct session *s, const struct transfer_result *r, mono_t now);
	/* Nothing more will happen. Must detach the session, free the transfer, and close the endpoint if it was its own. */
	void (*over)(struct session *s, mono_t now);
};

struct session {
	struct transfer transfer;
	struct addr peer;
	struct addr local;            /* our address in this conversation (port 0); family 0: whatever the kernel picks */
	unsigned ifindex;
	bool any_port;                /* client, before the first answer: any port of the peer is its TID */
	bool any_host;                /* and its first answer may come from another address (--relaxed-peer) */
	bool from_table;              /* it is in the session table */
	bool told;                    /* verdict() was called */
	bool touched;                 /* in the exchange's list for this wake-up */
	bool waits;                   /* in its endpoint's waiting list */
	bool held;                    /* its owner makes it wait */
	mono_t held_at;               /* since when */
	/*
	 * The peer's port may change on the way. On a listener, where several sessions may have the same host: if a packet
	 * from another port is what exactly one of them expects; see session_table.by_host.
	 */
	bool relaxed;
	bool no_gso;                  /* what this peer's path refuses, see struct udp: another's may not */
	uint16_t gso_fails;
	enum udp_fragments fragments; /* none, until nothing passes otherwise */
	uint32_t owed;                /* bytes of DATA that came in and were not passed to moved() yet */
	struct endpoint *endpoint;
	struct loop_timer timer;
	const struct session_ops *ops;
	struct session *hash_next, *touched_next, *wait_next;
};

/*
 * Start: the transfer has been set up, `peer` and `local` are filled in. With `own` the endpoint is this session's alone.
 * `listed` puts it into the session table, where repeated requests find it. Returns 0 or -ENOMEM. Does not send yet:
 * call session_pump.
 */
int session_attach(struct session *s, struct endpoint *e, bool own, bool listed, const struct session_ops *ops);
void session_detach(struct session *s);

/* Feed one packet to the session; pump it afterwards. */
void session_input(struct session *s, const struct packet *p, mono_t now);

/* What held the session back is over: send, see session_ops.allow. The session may be gone afterwards. */
void session_release(struct session *s, mono_t now);

/* Send what the transfer has to send, set its timer, report the verdict, end it. The session may be gone afterwards. */
void session_pump(struct session *s, mono_t now);

#endif
