/*
 * Other people's TFTP as the simulator's other host: blunt models of what their sources and our captures show. They
 * share no code with the machine, keep a fixed timer, and send from wherever they are.
 */
#ifndef PEER_FOREIGN_H
#define PEER_FOREIGN_H

#include "sim_net.h"

/* What makes one program differ from the next. */
struct peer_habits {
	const char *name;
	bool options;            /* speaks RFC 2347 */
	uint32_t windowsize;     /* the largest it offers or grants */
	mono_t timer;            /* fixed; 0: it never repeats anything once it has heard from us */
	bool ack_every_stray;    /* receiver: an ACK for every block out of order (EDK2), not one per gap (U-Boot) */
	bool doubles;            /* sender: a repeated ACK makes it send its DATA again (Sorcerer's Apprentice) */
	bool leaves_at_once;     /* receiver: its port is closed right after the last ACK */
	bool rolls_to_one;       /* sender: 65535 is followed by 1, and it says so to nobody */
};

struct peer_foreign {
	struct sim_node node;
	const struct peer_habits *habits;
	bool client, sender;
	uint16_t tid, peer;
	uint32_t blksize, windowsize;
	uint8_t *file;           /* sender: what it sends; receiver: what has come */
	size_t size, cap;
	bool answered;           /* the other side has said something that counts */
	bool oack;               /* server: it granted options */
	uint64_t base;           /* sender: first block not acknowledged; receiver: next block */
	uint64_t last_ack;       /* receiver: block in its last ACK */
	uint64_t sent_to;        /* sender: one past the highest block sent */
	bool gap_acked;
	bool complete;           /* it has, or has got rid of, the whole file */
	bool error;              /* it was sent ERROR */
	bool gone;
	mono_t deadline;
	unsigned tries;
	uint64_t data, acks;     /* sent */
};

/* `file` is borrowed; a receiver's holds `cap` bytes and starts empty. The client's first packet leaves at sim_run. */
void peer_foreign_init(struct peer_foreign *f, struct sim *sim, const struct peer_habits *habits, bool client,
    bool sender, uint8_t *file, size_t size, size_t cap);

#endif
