/*
 * A few threads beside the loop, for what a disk may hold up: fsync above all.
 *
 * Work is handed over in the loop's thread and comes back there; in between it belongs to the worker. The threads block
 * all signals and touch nothing but the work they are given.
 */
#ifndef WORKER_H
#define WORKER_H

#include "loop.h"

#include <pthread.h>

#define WORKER_THREADS 4

struct work {
	void (*run)(struct work *w);               /* in a thread; may block */
	void (*done)(struct work *w, mono_t now);  /* in the loop; the work is the caller's again */
	struct work *next;
};

struct worker {
	struct loop *loop;
	struct loop_fd io;
	int event;                 /* eventfd: something is done */
	pthread_mutex_t lock;      /* for all below */
	pthread_cond_t more;
	struct work *todo, **todo_end;
	struct work *done, **done_end;
	bool stop;
	pthread_t threads[WORKER_THREADS];
	int nthreads;
};

/* Start the threads. Returns 0 or -errno; then there is nothing to free. */
int worker_init(struct worker *w, struct loop *loop);

/* Finish all work that was handed over, calling its done(), and end the threads. */
void worker_free(struct worker *w);

/* From the loop's thread. */
void worker_submit(struct worker *w, struct work *work);

#endif
