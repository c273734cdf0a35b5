/*
 * A rate that is shared fairly: whoever wants to send enters, sends once it may, and is charged for what it sent.
 *
 * Of those that wait, the one that has had the least goes next (start-time fair queueing), so that a client in lockstep
 * gets as much as one with a large window. Costs nothing while nobody waits.
 */
#ifndef PACER_H
#define PACER_H

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of those that share a rate. Zeroed at first; must stay where it is while it waits. */
struct pacer_node {
	uint64_t finish;  /* virtual time (bytes) at which its last turn ended */
	uint64_t key;     /* its place in the heap */
	size_t index;     /* one past that place, 0: does not wait */
};

struct pacer {
	uint64_t rate;            /* bytes per second, never 0 */
	mono_t free_at;           /* when what went so far will have been paid for */
	uint64_t virtual;         /* virtual time at which the latest turn began */
	struct pacer_node **heap;
	size_t n, cap;
	struct loop *loop;
	struct loop_timer timer;
	void (*go)(struct pacer_node *node, mono_t now);
};

/* `go` is called for a node that waited and may send now; it may do anything, also free the pacer. */
void pacer_init(struct pacer *p, struct loop *loop, uint64_t rate, void (*go)(struct pacer_node *, mono_t));
void pacer_free(struct pacer *p);

/* True: send now. False: it waits, and `go` will be called. Without memory for that it sends at once. */
bool pacer_enter(struct pacer *p, struct pacer_node *node, mono_t now);

/* It no longer wants to. Safe if it does not wait. */
void pacer_leave(struct pacer *p, struct pacer_node *node);

/* It has sent so much. */
void pacer_charge(struct pacer *p, struct pacer_node *node, size_t bytes, mono_t now);

/* How much one turn should be now: little where many wait, so that nobody waits for long. At least 1. */
size_t pacer_quantum(const struct pacer *p);

#endif
