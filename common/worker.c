/* Threads that take work from one list and put it on another; an eventfd wakes the loop. */
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK (256 << 10)

static void append(struct work ***end, struct work *work)
{
	work->next = NULL;
	**end = work;
	*end = &work->next;
}

static struct work *take(struct worker *w)
{
	struct work *work;

	while (w->todo == NULL && !w->stop)
		pthread_cond_wait(&w->more, &w->lock);
	work = w->todo;
	if (work == NULL)
		return NULL;
	w->todo = work->next;
	if (w->todo == NULL)
		w->todo_end = &w->todo;
	return work;
}

static void *thread(void *arg)
{
	struct worker *w = arg;
	struct work *work;
	uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	while ((work = take(w)) != NULL) {
		pthread_mutex_unlock(&w->lock);
		work->run(work);
		pthread_mutex_lock(&w->lock);
		append(&w->done_end, work);
		/* The counter cannot overflow. Whatever else may be wrong, an upload must not wait for ever for its verdict. */
		for (int tries = 0; tries < 8 && write(w->event, &one, sizeof(one)) < 0; tries++)
			;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Give back what is done. A done() may hand over new work. */
static void collect(struct worker *w, mono_t now)
{
	struct work *work, *next;

	pthread_mutex_lock(&w->lock);
	work = w->done;
	w->done = NULL;
	w->done_end = &w->done;
	pthread_mutex_unlock(&w->lock);
	for (; work != NULL; work = next) {
		next = work->next;
		work->done(work, now);
	}
}

static void event_ready(struct loop_fd *io, short revents, mono_t now)
{
	struct worker *w = (struct worker *)((char *)io - offsetof(struct worker, io));
	uint64_t count;

	(void)revents;
	if (read(w->event, &count, sizeof(count)) == (ssize_t)sizeof(count))
		collect(w, now);
}

/* Signals are the loop's. */
static int start_threads(struct worker *w)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	while (err == 0 && w->nthreads < WORKER_THREADS) {
		err = pthread_create(&w->threads[w->nthreads], &attr, thread, w);
		w->nthreads += err == 0;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* Fewer than wished for will do. */
	return w->nthreads > 0 ? 0 : -err;
}

static void end_threads(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	while (w->nthreads > 0)
		pthread_join(w->threads[--w->nthreads], NULL);
}

int worker_init(struct worker *w, struct loop *loop)
{
	int err;

	memset(w, 0, sizeof(*w));
	w->loop = loop;
	w->todo_end = &w->todo;
	w->done_end = &w->done;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event < 0)
		return -errno;
	err = loop_fd_add(loop, &w->io, w->event, POLLIN, event_ready);
	if (err != 0) {
		close(w->event);
		return err;
	}
	err = start_threads(w);
	if (err == 0)
		return 0;
	loop_fd_del(loop, &w->io);
	close(w->event);
	return err;
}

void worker_free(struct worker *w)
{
	end_threads(w);
	collect(w, mono_now());
	loop_fd_del(w->loop, &w->io);
	close(w->event);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->more);
}

void worker_submit(struct worker *w, struct work *work)
{
	pthread_mutex_lock(&w->lock);
	append(&w->todo_end, work);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}
