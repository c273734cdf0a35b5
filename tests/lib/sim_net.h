/*
 * Two hosts, a bad line between them in each direction, and a clock that only moves when something is due. Everything
 * random comes from one seed, so a seed is a whole run.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "monotime.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_rng {
	uint64_t state;
};

uint64_t sim_random(struct sim_rng *r);
uint64_t sim_between(struct sim_rng *r, uint64_t lo, uint64_t hi);    /* lo and hi included */
bool sim_chance(struct sim_rng *r, double p);

enum { SIM_CLIENT, SIM_SERVER };

#define SIM_LISTENER 69   /* the port that requests go to */
#define SIM_CLIENT_TID 1000

/* One datagram on its way. */
struct sim_datagram {
	uint16_t from, to;  /* ports */
	bool icmp;          /* not a datagram: word that port `from` of the peer is closed */
	size_t len;
	uint8_t *buf;
};

struct sim_node;
struct sim_node_ops {
	void (*input)(struct sim_node *n, const struct sim_datagram *d, mono_t now);
	void (*timeout)(struct sim_node *n, mono_t now);
	void (*pump)(struct sim_node *n, mono_t now);
	mono_t (*deadline)(const struct sim_node *n);
};

#define SIM_INBOX 256

struct sim_node {
	const struct sim_node_ops *ops;
	struct sim *sim;
	int side;                 /* SIM_CLIENT or SIM_SERVER */
	mono_t lag;               /* it wakes up to this late after a datagram or a deadline, so batches form */
	struct sim_datagram *inbox[SIM_INBOX];
	size_t waiting;
	mono_t wake_at;           /* when it reads the inbox */
	mono_t late;              /* this deadline's own lag */
	mono_t late_for;          /* and the deadline it was drawn for */
};

/* A line in one direction, and what it did so far. */
struct sim_line {
	double loss, duplicate, reorder;
	mono_t delay;             /* one way */
	mono_t jitter;            /* up to this much more, order kept */
	mono_t late;              /* a reordered datagram comes up to this much later than its turn */
	bool (*eats)(struct sim *sim, const struct sim_datagram *d);  /* drops what it says true to, may be NULL */
	mono_t last;              /* arrival of the newest datagram that kept its turn */
	uint64_t sent, lost, doubled, reordered;
};

struct sim_event {
	mono_t at;
	uint64_t serial;
	int side;                 /* who gets it */
	struct sim_datagram *datagram;
};

struct sim {
	struct sim_rng rng;
	uint64_t seed;
	bool verbose;
	mono_t now;
	mono_t limit;             /* a run that takes longer has failed */
	bool icmp;                /* closed ports answer */
	struct sim_node *node[2];
	struct sim_line line[2];  /* by receiving side */
	struct sim_event *heap;
	size_t events, cap;
	uint64_t serial;
	unsigned idle;            /* steps since the clock last moved */
	void *owner;
};

void sim_init(struct sim *sim, uint64_t seed);
void sim_free(struct sim *sim);
void sim_add(struct sim *sim, struct sim_node *n, int side, const struct sim_node_ops *ops);

/* From node n, port `from`, to the other side's port `to`. Copies the bytes. */
void sim_send(struct sim_node *n, uint16_t from, uint16_t to, const void *buf, size_t len);
/* The other side is told that the port its datagram went to is closed. */
void sim_refuse(struct sim_node *n, const struct sim_datagram *d);

/* Until nothing is under way and nobody waits for anything. */
void sim_run(struct sim *sim);

/* Ends the run as a failure, with the seed that repeats it. See sim_main.h. */
_Noreturn void sim_fail(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define sim_assert(sim, cond, ...) \
	do { \
		if (!(cond)) \
			sim_fail(sim, __VA_ARGS__); \
	} while (0)

#endif
