/*
 * The event loop: poll() over descriptors, a heap of deadlines, signals by signalfd. Knows nothing of sockets.
 *
 * Handles are embedded by the caller and must not move while they are in the loop. Any callback may remove any handle,
 * its own included, or add new ones. The pollfd array is dense and never rebuilt; deadlines are absolute and never come
 * early. poll() looks at every descriptor each time, so those beyond the first few stand in a crowd: an epoll set, which
 * is one descriptor more to poll().
 */
#ifndef LOOP_H
#define LOOP_H

#include "monotime.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>

struct loop_fd {
	int fd;
	size_t index;                                                    /* place in the pollfd array, or LOOP_CROWD */
	void (*ready)(struct loop_fd *h, short revents, mono_t now);
	/*
	 * May be set once the handle is in the loop; NULL: the loop waits for this descriptor like any other. Waits for input
	 * and deals with it, for LOOP_AWAIT at most. Returns when it came, or MONO_NEVER: nothing came.
	 */
	mono_t (*await)(struct loop_fd *h);
};

struct loop_timer {
	mono_t at;                                                       /* when it is due */
	size_t index;                                                    /* place in the heap, LOOP_UNSET: not in it */
	void (*fire)(struct loop_timer *t, mono_t now);
};

/* The time stands beside the pointer: to compare two, thousands of timers need not be fetched from memory. */
struct loop_due {
	mono_t key;                                                      /* when the timer is due, or earlier */
	struct loop_timer *timer;
};

#define LOOP_UNSET ((size_t)-1)
#define LOOP_CROWD ((size_t)-2)

#define LOOP_AWAIT (10 * MONO_MS)

/* What poll() is asked about costs some 50 ns a descriptor each time. */
#define LOOP_POLLED 96

/* Heard from the crowd in one round. */
#define LOOP_WOKEN 128

struct loop {
	struct pollfd *fds;
	struct loop_fd **handles;
	size_t nfds, cap_fds;
	size_t polled_most;                                              /* LOOP_POLLED; SIZE_MAX: no crowd */
	struct loop_fd crowd_io;                                         /* fd -1: nobody has had to join it so far */
	size_t ncrowd;
	struct epoll_event woken[LOOP_WOKEN];                            /* of the crowd, those being dealt with */
	int nwoken;
	struct loop_due *heap;
	size_t ntimers, cap_timers;
	bool stop;
	bool alone;                                                      /* one descriptor was ready in this round */
	struct loop_fd *busy;                                            /* the one that was ready, alone, last time */
	unsigned streak;                                                 /* how often in quick succession */
	mono_t woke, polled;                                             /* when that was; when all were asked last */
	mono_t (*clock)(void);                                           /* mono_now, or a test's */
	struct loop_fd signal_io;
	void (*on_signal)(struct loop *l, int signo, mono_t now);
};

void loop_init(struct loop *l);
void loop_free(struct loop *l);                                          /* handles still in it are forgotten */

/* Watch a descriptor. `events` as for poll(). Returns 0 or -ENOMEM. */
int loop_fd_add(struct loop *l, struct loop_fd *h, int fd, short events, void (*ready)(struct loop_fd *, short, mono_t));
void loop_fd_events(struct loop *l, struct loop_fd *h, short events);
void loop_fd_del(struct loop *l, struct loop_fd *h);                      /* does not close it; safe if not in the loop */

/*
 * A timer must be initialised once and may then be set, moved and cleared at will. Setting it to a later time costs
 * nothing; MONO_NEVER clears it. It fires once and is then unset. Returns 0 or -ENOMEM (only when newly set).
 */
void loop_timer_init(struct loop_timer *t, void (*fire)(struct loop_timer *, mono_t));
int loop_timer_set(struct loop *l, struct loop_timer *t, mono_t at);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/* Block these signals and hand them to `on_signal` from inside the loop. Returns 0 or -errno. */
int loop_signals(struct loop *l, const int *signals, size_t n, void (*on_signal)(struct loop *, int, mono_t));

/* Wait once, at most until `until`, and dispatch. Returns 0 or -errno. */
int loop_once(struct loop *l, mono_t until);

/* Run until loop_stop(). Returns 0 or -errno. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

#endif
