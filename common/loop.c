/*
 * poll(), a binary heap of deadlines, and a signalfd.
 *
 * Whoever comes when the pollfd array has its fill joins the crowd, where a descriptor costs nothing until there is
 * something for it: a thousand requests that nobody answers must not slow down the one transfer that runs.
 *
 * The pollfd array is walked from its end, so that a handle which removes itself or another one (the last entry then
 * takes its place) is never skipped and never called twice. A timer that moves to a later time stays where it is in the
 * heap and finds out when its old time comes: a transfer re-arms with every ACK and almost never expires.
 */
#include "loop.h"

#include "prefetch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

void loop_init(struct loop *l)
{
	*l = (struct loop){
		.clock = mono_now,
		.polled_most = LOOP_POLLED,
		.crowd_io = {.fd = -1, .index = LOOP_UNSET},
		.signal_io = {.fd = -1, .index = LOOP_UNSET},
	};
}

void loop_free(struct loop *l)
{
	if (l->signal_io.fd >= 0)
		close(l->signal_io.fd);
	if (l->crowd_io.fd >= 0)
		close(l->crowd_io.fd);
	l->signal_io.fd = l->crowd_io.fd = -1;
	free(l->fds);
	free(l->handles);
	free(l->heap);
	l->fds = NULL;
	l->handles = NULL;
	l->heap = NULL;
	l->nfds = l->cap_fds = l->ncrowd = l->ntimers = l->cap_timers = 0;
}

/* Descriptors. */

static int grow_fds(struct loop *l)
{
	size_t cap = l->cap_fds > 0 ? 2 * l->cap_fds : 16;
	struct pollfd *fds = realloc(l->fds, cap * sizeof(*fds));
	struct loop_fd **handles;

	if (fds == NULL)
		return -ENOMEM;
	l->fds = fds;
	handles = realloc(l->handles, cap * sizeof(*handles));
	if (handles == NULL)
		return -ENOMEM;
	l->handles = handles;
	l->cap_fds = cap;
	return 0;
}

static int join_array(struct loop *l, struct loop_fd *h, short events)
{
	if (l->nfds == l->cap_fds && grow_fds(l) != 0)
		return -ENOMEM;
	h->index = l->nfds++;
	l->fds[h->index] = (struct pollfd){.fd = h->fd, .events = events};
	l->handles[h->index] = h;
	return 0;
}

static void leave_array(struct loop *l, struct loop_fd *h)
{
	size_t last = --l->nfds;

	if (h->index != last) {
		l->fds[h->index] = l->fds[last];
		l->handles[h->index] = l->handles[last];
		l->handles[h->index]->index = h->index;
	}
}

/* The crowd. */

_Static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP,
    "what poll() says is what epoll_wait() says");

static void count_wake(struct loop *l, struct loop_fd *h, mono_t now);
static void crowd_ready(struct loop_fd *io, short revents, mono_t now);

static bool crowd_open(struct loop *l)
{
	int fd;

	if (l->crowd_io.fd >= 0)
		return true;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return false;
	l->crowd_io = (struct loop_fd){.fd = fd, .index = LOOP_UNSET, .ready = crowd_ready};
	if (join_array(l, &l->crowd_io, POLLIN) == 0)
		return true;
	close(fd);
	l->crowd_io.fd = -1;
	return false;
}

/* False: it must go into the array, where there is always room. */
static bool join_crowd(struct loop *l, struct loop_fd *h, short events)
{
	struct epoll_event e = {.events = (uint32_t)events, .data.ptr = h};

	if (l->nfds < l->polled_most || !crowd_open(l) || epoll_ctl(l->crowd_io.fd, EPOLL_CTL_ADD, h->fd, &e) != 0)
		return false;
	h->index = LOOP_CROWD;
	l->ncrowd++;
	return true;
}

static void leave_crowd(struct loop *l, struct loop_fd *h)
{
	epoll_ctl(l->crowd_io.fd, EPOLL_CTL_DEL, h->fd, NULL);
	l->ncrowd--;
	for (int i = 0; i < l->nwoken; i++)
		if (l->woken[i].data.ptr == h)
			l->woken[i].data.ptr = NULL;
}

static void crowd_ready(struct loop_fd *io, short revents, mono_t now)
{
	struct loop *l = (struct loop *)((char *)io - offsetof(struct loop, crowd_io));

	(void)revents;
	l->nwoken = epoll_wait(io->fd, l->woken, LOOP_WOKEN, 0);
	if (l->alone && l->nwoken == 1)
		count_wake(l, l->woken[0].data.ptr, now);
	for (int i = 0; i < l->nwoken; i++) {
		struct loop_fd *h = l->woken[i].data.ptr;

		/* In a crowd each is cold, and what follows it in memory too: it comes while this one is dealt with. */
		if (i + 1 < l->nwoken)
			prefetch(l->woken[i + 1].data.ptr, 2 * PREFETCH_LINE);
		/* A callback may have removed it. */
		if (h != NULL)
			h->ready(h, (short)l->woken[i].events, now);
	}
	l->nwoken = 0;
}

int loop_fd_add(struct loop *l, struct loop_fd *h, int fd, short events, void (*ready)(struct loop_fd *, short, mono_t))
{
	*h = (struct loop_fd){.fd = fd, .index = LOOP_UNSET, .ready = ready};
	return join_crowd(l, h, events) ? 0 : join_array(l, h, events);
}

void loop_fd_events(struct loop *l, struct loop_fd *h, short events)
{
	struct epoll_event e = {.events = (uint32_t)events, .data.ptr = h};

	if (h->index == LOOP_CROWD)
		epoll_ctl(l->crowd_io.fd, EPOLL_CTL_MOD, h->fd, &e);
	else if (h->index != LOOP_UNSET)
		l->fds[h->index].events = events;
}

void loop_fd_del(struct loop *l, struct loop_fd *h)
{
	if (h->index == LOOP_CROWD)
		leave_crowd(l, h);
	/* Also a handle that was only cleared, whose index 0 is somebody else's place. */
	else if (h->index >= l->nfds || l->handles[h->index] != h)
		return;
	else
		leave_array(l, h);
	h->index = LOOP_UNSET;
	if (l->busy == h)
		l->busy = NULL;
}

/* What a block in lockstep takes on a local network, with room to spare. */
#define QUICK (250 * MONO_US)

/* So many quick wake-ups for one descriptor alone are a habit. */
#define STREAK 16

/* For so long the others may be left alone meanwhile. */
#define ALONE (1 * MONO_MS)

static void count_wake(struct loop *l, struct loop_fd *h, mono_t now)
{
	l->streak = h == l->busy && now - l->woke < QUICK ? l->streak + 1 : 0;
	l->busy = h;
	l->woke = now;
}

static void dispatch_fds(struct loop *l, int ready, mono_t now)
{
	l->polled = now;
	l->alone = ready == 1;
	for (size_t i = l->nfds; i-- > 0 && ready > 0;) {
		short revents;

		/* A callback may have removed several handles at once. */
		if (i >= l->nfds)
			continue;
		revents = l->fds[i].revents;
		if (revents == 0)
			continue;
		if (l->alone && l->handles[i] != &l->crowd_io)
			count_wake(l, l->handles[i], now);
		ready--;
		l->fds[i].revents = 0;
		l->handles[i]->ready(l->handles[i], revents, now);
	}
}

/* Timers. */

static void place(struct loop *l, struct loop_due due, size_t i)
{
	l->heap[i] = due;
	due.timer->index = i;
}

static void sift_up(struct loop *l, struct loop_due due, size_t i)
{
	while (i > 0 && l->heap[(i - 1) / 2].key > due.key) {
		place(l, l->heap[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	place(l, due, i);
}

static void sift_down(struct loop *l, struct loop_due due, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->ntimers)
			break;
		if (child + 1 < l->ntimers && l->heap[child + 1].key < l->heap[child].key)
			child++;
		if (l->heap[child].key >= due.key)
			break;
		place(l, l->heap[child], i);
		i = child;
	}
	place(l, due, i);
}

void loop_timer_init(struct loop_timer *t, void (*fire)(struct loop_timer *, mono_t))
{
	*t = (struct loop_timer){.at = MONO_NEVER, .index = LOOP_UNSET, .fire = fire};
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	struct loop_due last;
	size_t i = t->index;

	t->at = MONO_NEVER;
	t->index = LOOP_UNSET;
	/* Also a timer that was only zeroed, whose index 0 is somebody else's place. */
	if (i >= l->ntimers || l->heap[i].timer != t)
		return;
	last = l->heap[--l->ntimers];
	if (last.timer == t)
		return;
	if (i > 0 && l->heap[(i - 1) / 2].key > last.key)
		sift_up(l, last, i);
	else
		sift_down(l, last, i);
}

int loop_timer_set(struct loop *l, struct loop_timer *t, mono_t at)
{
	if (at == MONO_NEVER) {
		loop_timer_clear(l, t);
		return 0;
	}
	t->at = at;
	if (t->index != LOOP_UNSET) {
		if (at < l->heap[t->index].key)
			sift_up(l, (struct loop_due){.key = at, .timer = t}, t->index);
		return 0;
	}
	if (l->ntimers == l->cap_timers) {
		size_t cap = l->cap_timers > 0 ? 2 * l->cap_timers : 16;
		struct loop_due *heap = realloc(l->heap, cap * sizeof(*heap));

		if (heap == NULL) {
			t->at = MONO_NEVER;
			return -ENOMEM;
		}
		l->heap = heap;
		l->cap_timers = cap;
	}
	sift_up(l, (struct loop_due){.key = at, .timer = t}, l->ntimers++);
	return 0;
}

/* The first one was moved later: it takes its place among the others. */
static void put_off(struct loop *l)
{
	struct loop_timer *t = l->heap[0].timer;

	sift_down(l, (struct loop_due){.key = t->at, .timer = t}, 0);
}

static void fire_timers(struct loop *l, mono_t now)
{
	/* A timer that sets itself to the present again waits for the next round, or nothing else would ever run. */
	size_t most = l->ntimers;

	while (l->ntimers > 0 && most > 0 && l->heap[0].key <= now) {
		struct loop_timer *t = l->heap[0].timer;

		/* Perhaps others are due before it. */
		if (t->at > l->heap[0].key) {
			put_off(l);
			continue;
		}
		most--;
		loop_timer_clear(l, t);
		t->fire(t, now);
	}
}

/* Signals. */

static void signal_ready(struct loop_fd *h, short revents, mono_t now)
{
	struct loop *l = (struct loop *)((char *)h - offsetof(struct loop, signal_io));
	struct signalfd_siginfo info;

	(void)revents;
	while (read(h->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		l->on_signal(l, (int)info.ssi_signo, now);
}

int loop_signals(struct loop *l, const int *signals, size_t n, void (*on_signal)(struct loop *, int, mono_t))
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->on_signal = on_signal;
	return loop_fd_add(l, &l->signal_io, fd, POLLIN, signal_ready);
}

/* Running. */

/* No timer is due before `horizon`. Those that were moved later take their new place on the way. */
static bool no_timer_before(struct loop *l, mono_t horizon)
{
	while (l->ntimers > 0 && l->heap[0].key < horizon) {
		if (l->heap[0].timer->at <= l->heap[0].key)
			return false;
		put_off(l);
	}
	return true;
}

/*
 * One client in lockstep makes a wake-up of every block, and more than a tenth of what the block costs is asking poll()
 * about descriptors that are quiet. Where one alone is busy, and nothing is due soon, wait for that one; the others are asked
 * when ALONE is over, or when nothing comes: they wait for a few milliseconds at the most. True: something came.
 */
static bool await_busy(struct loop *l, mono_t until)
{
	struct loop_fd *h = l->busy;
	mono_t horizon = l->woke + QUICK + LOOP_AWAIT, now;

	if (h == NULL || h->await == NULL || l->woke - l->polled >= ALONE || until < horizon || !no_timer_before(l, horizon))
		return false;
	now = h->await(h);
	if (now == MONO_NEVER)
		l->busy = NULL;
	else if (l->busy == h)
		count_wake(l, h, now);
	return now != MONO_NEVER;
}

int loop_once(struct loop *l, mono_t until)
{
	struct timespec wait, *timeout = NULL;
	mono_t now;
	int ready;

	if (l->streak >= STREAK && await_busy(l, until))
		return 0;
	if (l->ntimers > 0 && l->heap[0].key < until)
		until = l->heap[0].key;
	if (until != MONO_NEVER) {
		mono_t left = until - l->clock();

		if (left < 0)
			left = 0;
		wait = (struct timespec){.tv_sec = left / MONO_SEC, .tv_nsec = left % MONO_SEC};
		timeout = &wait;
	}
	ready = ppoll(l->fds, l->nfds, timeout, NULL);
	/* A kernel that is short of memory for a moment is no reason to drop every transfer. */
	if (ready < 0)
		return errno == EINTR || errno == ENOMEM || errno == EAGAIN ? 0 : -errno;
	now = l->clock();
	/* What has arrived first: an ACK that came in time must not find its timer expired. */
	dispatch_fds(l, ready, now);
	fire_timers(l, now);
	return 0;
}

int loop_run(struct loop *l)
{
	int err = 0;

	l->stop = false;
	while (!l->stop && err == 0)
		err = loop_once(l, MONO_NEVER);
	return err;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
