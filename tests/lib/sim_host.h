/*
 * A host of the simulator that runs the real transfer machine: a client with one transfer, or a server that opens one
 * session per request, each on a port of its own.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "sim_net.h"
#include "sim_store.h"
#include "transfer.h"

struct sim_session {
	struct sim_session *older;
	struct transfer t;
	struct sim_store store;
	uint16_t tid, peer;            /* ports; peer 0: not known yet */
	bool open;                     /* the machine is in use */
	bool judged;
	struct transfer_result result; /* the verdict, final once the session is closed */
	uint64_t datagrams;            /* that left, as the simulator counts */
	uint64_t data, acks;           /* of these, DATA and ACK */
	unsigned waits;                /* times the store asked for patience */
	size_t blksize, windowsize;    /* what was agreed */
	mono_t wake_at;                /* the store is ready again */
	mono_t room_at;                /* the socket is full until then */
};

struct sim_host {
	struct sim_node node;
	bool client;
	bool put;                      /* the file goes to the server */
	struct sim_session *session;   /* newest first */
	uint16_t next_tid;
	struct gather gather;
	struct transfer_policy policy;
	struct transfer_request request;
	struct option_limits limits;   /* server */
	bool announce;                 /* server: put the size into tsize */
	bool seekable;
	size_t size;                   /* of the file */
	uint64_t content;              /* what the file holds */
	double full;                   /* how often the socket takes only a part of a run */
	double slow_store;             /* how likely a store is to ask for patience */
	size_t cap;                    /* of the scratch buffer */
	uint8_t *scratch;
};

/* Sets up a host with defaults; fields may be changed before sim_host_start. */
void sim_host_init(struct sim_host *h, struct sim *sim, bool client);
/* The client asks; a server has nothing to do. */
void sim_host_start(struct sim_host *h);
void sim_host_free(struct sim_host *h);

/* Our client and our server, and one file between them. */
struct sim_pair {
	struct sim_host client, server;
	struct sim_session *source, *sink; /* after the run: the sessions that sent and received the file */
	uint64_t blocks;                   /* DATA blocks that the file needs */
};

void sim_pair_init(struct sim_pair *p, struct sim *sim, bool put);
/* Same file at both ends, whichever sends it. */
void sim_pair_file(struct sim_pair *p, size_t size, uint64_t content);
/*
 * Runs the transfer and checks what must hold on every line: the file is identical, the receiver is done and the sender
 * too, or in doubt because datagrams were lost (then it returns false), stores were used as store.h says, and counters
 * say what happened.
 */
bool sim_pair_run(struct sim_pair *p);
void sim_pair_free(struct sim_pair *p);

/* The session on that port, NULL if there never was one. */
struct sim_session *sim_host_session(struct sim_host *h, uint16_t tid);

#endif
