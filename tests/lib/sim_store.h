/*
 * A store in memory that watches how it is used: order, bounds, how often it is finished and closed. It can be told to
 * fail, to ask for patience, or to hold back the end of the file.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_store {
	uint8_t *bytes;
	size_t len;             /* source: of the file; sink: one past the highest byte written */
	size_t cap;
	bool sink;
	bool seekable;
	uint64_t next;          /* forward-only sink: the only offset that may come next */
	uint64_t visible;       /* source: bytes that have arrived; asking for more is STORE_AGAIN */
	uint64_t keep;          /* forward-only source: bytes it remembers behind the highest it gave out */
	uint64_t given;         /* forward-only source: one past the highest byte given out */
	unsigned finish_again;  /* finish says STORE_AGAIN this many times more */
	bool wants_wake;        /* it said STORE_AGAIN and nobody has woken the transfer since */
	int read_error;         /* returned by the next reads, 0: none */
	int write_error;
	int finish_error;
	unsigned reads, writes, finishes, closes;
	uint64_t written;       /* bytes taken by write, repeats counted twice */
	bool finished;          /* finish said 0 */
	const char *broken;     /* the first rule of store.h that its user broke */
};

/* A file of `len` bytes that depend on `seed`. */
void sim_store_source(struct sim_store *s, struct store *store, size_t len, uint64_t seed, bool seekable);
/* An empty file that grows; more than `cap` bytes are a broken rule. */
void sim_store_sink(struct sim_store *s, struct store *store, size_t cap, bool seekable);
/* Frees the bytes; the counters stay. */
void sim_store_free(struct sim_store *s);

bool sim_store_same(const struct sim_store *a, const struct sim_store *b);

#endif
