/*
 * The transfer machine: one file in one direction, either end of it, without a system call, a clock or a log.
 *
 * Feed it, drain it, ask when to come back:
 *
 *	call input, timeout and wake any number of times,
 *	then pull and sent until pull says false,
 *	then ask for the deadline.
 *
 * An ACK only moves `base`, a timeout only sets `next = base`, and sending happens in one place. Block numbers are
 * 64 bits inside; 16 bits exist only on the wire.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "monotime.h"
#include "options.h"
#include "packet.h"
#include "retransmit.h"
#include "store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSFER_SEGMENTS 64 /* most datagrams in one run: what UDP_SEGMENT takes */

/* Datagrams end to end, `seg` bytes each, the last may be shorter: exactly what UDP_SEGMENT sends in one call. */
struct run {
	const uint8_t *buf;
	size_t len;
	size_t seg;
};

/* The number of datagrams in a run. */
static inline size_t run_count(const struct run *run)
{
	return (run->len + run->seg - 1) / run->seg;
}

enum transfer_state {
	TRANSFER_REQUEST, /* client: the request is out, nothing came back yet */
	TRANSFER_OACK,    /* server, read with options: the OACK is out, waiting for ACK 0 */
	TRANSFER_SEND,    /* DATA out, ACKs in */
	TRANSFER_RECV,    /* DATA in, ACKs out */
	TRANSFER_FINISH,  /* every byte is here, the store is still making it durable */
	TRANSFER_DALLY,   /* the last ACK is out; a repeated last DATA is acknowledged again (RFC 1350 section 6) */
	TRANSFER_OVER,    /* nothing more will be accepted; an ERROR may still have to leave */
	TRANSFER_STATES,
};

enum transfer_outcome {
	TRANSFER_RUNNING,     /* no verdict yet */
	TRANSFER_DONE,        /* complete */
	TRANSFER_PROBED,      /* the peer only wanted the options: ERROR right after the OACK (EDK2, iPXE, GRUB) */
	TRANSFER_PEER_ERROR,  /* the peer sent ERROR: code and text are its own */
	TRANSFER_FAILED,      /* we ended it: code and text are what the peer was told */
	TRANSFER_TIMED_OUT,   /* silence */
	TRANSFER_UNREACHABLE, /* ICMP said so, or the kernel; code is an errno */
};

struct transfer_result {
	enum transfer_outcome outcome;
	uint16_t code;              /* see the outcome */
	int store_error;            /* -errno or STORE_* when the store failed, else 0: the log's reason, not the peer's */
	char text[PACKET_TEXT_MAX]; /* a sentence; the peer's may hold any bytes but NUL */
	uint64_t bytes;             /* of the file: acknowledged (sender) or received in order (receiver) */
	uint64_t resent;            /* DATA blocks, ACKs, OACKs or requests sent again */
	uint64_t datagrams;         /* sent in all */
	mono_t started, ended;
};

/* How patient to be. Shared by many transfers, must outlive them. */
struct transfer_policy {
	mono_t first;         /* interval before the first sample, 0: RETRANSMIT_FIRST */
	mono_t fixed;         /* client: a fixed interval from the first request on, 0: adapt */
	mono_t crowd;         /* what the other transfers' windows may hold up a first one; may change at any time */
	mono_t give_up;       /* without progress, for a peer that has proved itself */
	unsigned tries;       /* timeouts for one that has not */
	mono_t dally_min;     /* how long the receiver stays after its last ACK: three intervals, but within these */
	mono_t dally_max;
};

/*
 * Blocks in order that wait to be written with one call. One for all transfers that are fed from the same receive
 * batch; belongs to one transfer at a time. Whoever owns the batch must drain (pull) every transfer it fed before it
 * reuses the buffers.
 */
#define GATHER_MAX 128
struct gather {
	struct transfer *owner;
	uint64_t off;
	uint64_t end; /* off plus the bytes in iov */
	int n;
	struct iovec iov[GATHER_MAX];
};

/* What a client asks for; the strings and the struct must outlive the transfer. */
struct transfer_request {
	const char *name;
	const char *mode; /* "octet" or "netascii" */
	struct option_set offered;
};

/* How many blocks past a hole a receiver can keep. */
#define TRANSFER_HELD 512

/* Embedded by the caller; the fields are for the transfer_*.c files only. */
struct transfer {
	enum transfer_state state;
	bool client;
	bool proved;          /* something came from the peer's own TID */
	uint8_t want;         /* control packet to send next, see transfer_int.h */
	struct store store;
	struct gather *gather;
	const struct transfer_policy *policy;
	const struct transfer_request *request; /* client */
	struct option_set granted;              /* server: the OACK, n == 0: none */
	struct option_terms terms;
	struct retransmit rt;
	mono_t deadline;
	mono_t timed_at;      /* when the thing being timed left, MONO_NEVER: nothing is */
	uint64_t timed;       /* the block being timed */
	mono_t restarted;     /* sender: when it last went back on a partial ACK */
	uint64_t base;        /* sender: first block not acknowledged; receiver: next block in order */
	uint64_t next;        /* sender: next block to send */
	uint64_t high;        /* sender: one past the highest block ever sent */
	uint64_t acked;       /* receiver: the block in our last ACK */
	uint64_t unsure;      /* receiver: up to here the sender, which went back, may count its window otherwise */
	mono_t late;          /* receiver: the deadline without that */
	mono_t reacked;       /* receiver: when DATA that came again had its ACK once more */
	uint64_t final;       /* the last block, 0 while unknown */
	size_t final_len;     /* its payload bytes */
	bool blocked;         /* sender: the store said AGAIN */
	bool gap_acked;       /* receiver: this gap has had its ACK */
	uint8_t how;          /* enum transfer_how of the control packet that is wanted */
	bool roll_seen;       /* receiver: 1 came where 0 was due after 65535, since our last timeout */
	uint8_t roll_hint;    /* receiver: in how many intervals it did */
	uint64_t held[TRANSFER_HELD / 64]; /* receiver: blocks past a hole, bit (block % TRANSFER_HELD) */
	struct transfer_result result;
};

/*
 * The four roles. Each takes over the store (its close runs exactly once, in transfer_free) and leaves something to
 * pull. `gather` may be NULL for a sender. `request` is where the peer's packet, a name or an OACK comes from.
 */
void transfer_serve_get(struct transfer *t, const struct store *store, const struct option_set *granted,
    const struct option_terms *terms, const struct transfer_policy *policy, mono_t now);
void transfer_serve_put(struct transfer *t, const struct store *store, struct gather *gather,
    const struct option_set *granted, const struct option_terms *terms, const struct transfer_policy *policy,
    mono_t now);
void transfer_get(struct transfer *t, const struct store *store, struct gather *gather,
    const struct transfer_request *request, const struct transfer_policy *policy, mono_t now);
void transfer_put(struct transfer *t, const struct store *store, const struct transfer_request *request,
    const struct transfer_policy *policy, mono_t now);

/* Closes the store (undoing an unfinished upload). */
void transfer_free(struct transfer *t);

/*
 * A packet from the peer. For DATA the payload must stay where it is until the next pull. An RRQ or WRQ is the peer's
 * repeated request and is answered again if nothing has moved since the first.
 */
void transfer_input(struct transfer *t, const struct packet *p, mono_t now);

/*
 * Whether a packet is one that its peer could send now: an ACK of what is on its way, or the last one again; a block
 * that has its place, or is acknowledged again; any ERROR.
 */
bool transfer_expects(const struct transfer *t, const struct packet *p);

/* Time has passed. Does nothing before the deadline. */
void transfer_timeout(struct transfer *t, mono_t now);

/* The store said STORE_AGAIN and is worth another try. */
void transfer_wake(struct transfer *t, mono_t now);

/* End it from our side: the peer is sent this ERROR. Does nothing once there is a verdict. */
void transfer_cancel(struct transfer *t, uint16_t code, const char *text, mono_t now);

/*
 * Whether a repeated request means that the client has started over: the transfer had got somewhere, and has then heard
 * nothing for a second, which no client that still runs it would let pass in silence before asking anew.
 */
bool transfer_stale(const struct transfer *t, mono_t now);

/* End it without a word to the peer, who has forgotten it. `text` becomes the verdict's. */
void transfer_abandon(struct transfer *t, const char *text, mono_t now);

/*
 * ICMP, or the kernel, says that the peer is not there: ends at once, nothing is sent. `err` is a positive errno; once
 * the peer has proved itself only ECONNREFUSED counts, anything else may pass.
 */
void transfer_unreachable(struct transfer *t, int err, mono_t now);

/*
 * What to send next: fills `scratch` (cap bytes, at least one full block and its header) and describes it in *run.
 * False: nothing now. Moves no counter, so a full socket needs no undo.
 */
bool transfer_pull(struct transfer *t, uint8_t *scratch, size_t cap, struct run *run, mono_t now);

/* The kernel took the first n datagrams of the last run. */
void transfer_sent(struct transfer *t, size_t n, mono_t now);

/* Whether pull has something to send, as far as that is known without asking the store. */
bool transfer_ready(const struct transfer *t);

/* The bytes of its largest datagram: a full block and its header. */
size_t transfer_datagram(const struct transfer *t);

/* Something came from the peer's own TID: it is there, and asked for this itself. */
bool transfer_proved(const struct transfer *t);

/* How often its timer has expired since it last got on, and how long ago that was. */
unsigned transfer_tries(const struct transfer *t);
mono_t transfer_silence(const struct transfer *t, mono_t now);

/* When it began. */
mono_t transfer_started(const struct transfer *t);

/* It was kept from sending for so long (a rate limit): no answer can be expected until so much later. */
void transfer_delayed(struct transfer *t, mono_t by);

/* When to call timeout, MONO_NEVER once it is over. */
mono_t transfer_deadline(const struct transfer *t);

/* The verdict, or NULL while it runs. A receiver that dallies has its verdict already. */
const struct transfer_result *transfer_verdict(const struct transfer *t);

/* Nothing more to send and nothing to wait for: free it. */
bool transfer_over(const struct transfer *t);

/* The sender waits for its store (STORE_AGAIN): call transfer_wake when there is something to read. */
bool transfer_blocked(const struct transfer *t);

/* The bytes of the file so far: acknowledged (sender) or received in order (receiver). */
uint64_t transfer_bytes(const struct transfer *t);

/* The smoothed round trip so far, 0 if none was measured. */
mono_t transfer_rtt(const struct transfer *t);

/* Client: whether this packet can be the first answer to its request, from a port that is then the peer's. */
bool transfer_is_answer(const struct transfer *t, const struct packet *p);

/* Client: the request has been answered by something other than an ERROR; the terms are those agreed on from then on. */
bool transfer_answered(const struct transfer *t);
const struct option_terms *transfer_terms(const struct transfer *t);

#endif
