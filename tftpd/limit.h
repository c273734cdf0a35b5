/*
 * How much of everything: transfers in all and for each client, requests that wait for a place, rates, log lines. Past a
 * limit something waits, or is left out and counted; what runs already notices nothing.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include "endpoint.h"
#include "pacer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct job;

#define LIMIT_QUEUE 8192             /* requests that may wait */
#define LIMIT_QUEUE_STRANGERS (LIMIT_QUEUE - 1024) /* of hosts that have not answered yet */
#define LIMIT_QUEUE_FLOOD 1024       /* of them while places are taken from those who never answer: more would wait longer */
#define LIMIT_REQUEST 640            /* the longest of them */
#define LIMIT_WAIT (3 * MONO_SEC)    /* and for how long, before they are refused */
#define LIMIT_BUCKETS 1024

/*
 * A transfer that has had no answer yet must make room for a request that waits when it is older than this: clients that
 * are there answer sooner, whatever the length of their way, and most that do not are forged.
 */
#define LIMIT_UNANSWERED (250 * MONO_MS)

/* Requests served in one wake-up; and while there are transfers that run, which have a turn before the others. */
#define LIMIT_TURN 16
#define LIMIT_TURN_SHARED 4

/* The bytes that a request of one byte can make us send to an address that may be forged stay below this. */
#define LIMIT_AMPLIFICATION 25

/*
 * Hosts that have answered within the last ten minutes, so that their addresses are not forged: what they ask for comes
 * before what strangers ask for, but not more often each second than this. Of two in one slot the later one is known.
 */
#define LIMIT_KNOWN 4096
#define LIMIT_KNOWN_FOR (600 * MONO_SEC)
#define LIMIT_KNOWN_ASKS 64

struct known {
	uint64_t host;                    /* its hash, 0: nobody */
	mono_t proved;                    /* when it last did */
	mono_t second;                    /* when it asked first within the last second, and how often since */
	unsigned asked;
};

/* Jobs that may have to make room, the oldest first. */
struct job_list {
	struct job *first, **last;
	size_t n;
};

/* One client address with transfers; only where something is counted or paced per client. */
struct client {
	struct addr host;
	size_t njobs;
	size_t finished;                  /* of them, see struct limits */
	struct pacer pacer;               /* rate 0: none */
	struct client *next;              /* in its bucket */
};

/* A request that waits for a place. */
struct waiting {
	struct waiting *next, *same_bucket;
	struct endpoint *listener;
	struct udp_datagram datagram;     /* its bytes are behind this struct */
	mono_t until;
	uint8_t bytes[];
};

/* So many at once, and so many more each second. */
struct budget {
	unsigned most, per_second, left;
	mono_t at;
	uint64_t left_out;                /* since that was last said */
	uint64_t left_out_ever;
};

/* Who caused a log line: somebody that may be anybody, or a client that has talked to us. */
enum limit_line { LIMIT_LINE_STRANGER, LIMIT_LINE_CLIENT, LIMIT_LINES };

/* One job's place in the queues of its client and of all: only with --rate or --rate-per-client. */
struct paced {
	struct pacer_node client_node, node;
	struct job *job;
	bool client_passed, passed;       /* it may send now */
};

struct limits {
	struct server *server;
	size_t max_transfers;             /* as --max-transfers and the process's descriptors allow */
	size_t max_per_client;            /* 0: no limit */
	struct job_list unproven;         /* they have had no answer yet */
	struct job_list finished;         /* uploads that are on disk and wait for a last block that may come again */
	mono_t evicted_at;                /* when one of them last had to make room */
	struct client **clients;          /* NULL: nothing is done per client */
	uint64_t rate_per_client;
	struct known *known;
	struct waiting *first, **last;
	size_t nwaiting;
	struct waiting **by_peer;
	mono_t turn;                      /* this wake-up, and how many requests it may still serve */
	unsigned turn_left;
	bool behind;                      /* requests wait for their turn or any place: new ones must not overtake them */
	struct loop_timer queue_timer, log_timer;
	struct pacer pacer;               /* rate 0: none */
	struct budget lines[LIMIT_LINES];
	uint64_t dropped, queued, evicted; /* requests and transfers, ever */
	uint64_t kernel_drops;            /* datagrams that did not fit into the listening sockets' buffers */
};

/* 0 or -ENOMEM. The configuration and the loop must be set in the server. Raises the limit on open files. */
int limit_init(struct limits *l, struct server *s);
void limit_free(struct limits *l);

/* May a transfer for this request start now? If not, the request waits here, or is dropped. */
bool limit_admit(struct limits *l, struct endpoint *listener, const struct udp_datagram *d, mono_t now);

/*
 * There is a place, but something else that transfers hold is used up: a finished upload, or else the oldest one without
 * an answer, if it had the time for one, gives its own back. True: it did.
 */
bool limit_make_room(struct limits *l, mono_t now);

/* Forget the requests that wait: their sockets are about to close. */
void limit_forget(struct limits *l);

/* A job is about to start, with its peer known; 0 or -ENOMEM. And it has ended: its place is free. */
int limit_job_begins(struct limits *l, struct job *j);
void limit_job_ends(struct limits *l, struct job *j);

/* In between it has been sent its first packet. */
void limit_job_runs(struct limits *l, struct job *j);

/* Its peer has answered. It was an upload, and is complete. */
void limit_proved(struct session *s, mono_t now);
void limit_finished(struct session *s);

/* session_ops for those under a rate. */
size_t limit_allow(struct session *s, mono_t now);
void limit_moved(struct session *s, size_t bytes, mono_t now);

/* Whether there is a rate to keep. */
bool limit_paces(const struct limits *l);

/* Whether a line may be logged; if not it is counted, and the count logged a second later. */
bool limit_may_log(struct limits *l, enum limit_line line, mono_t now);

/*
 * How often an answer of `answer` bytes, in so many copies, may be sent to a peer that has only sent this request; at
 * least 2.
 */
unsigned limit_tries(const struct udp_datagram *request, size_t answer, unsigned copies, unsigned most);

/* The socket has counted this many datagrams lost for want of room: say so when it is news. */
void limit_drops(struct limits *l, struct endpoint *listener, mono_t now);

#endif
