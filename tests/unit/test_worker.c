/* Threads beside the loop: work is run elsewhere, comes back in the loop, and none of it is lost. */
#include "unit.h"
#include "worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct task {
	struct work work;
	pthread_t home, ran_in;
	bool slow;
	int until; /* slow until there is something to read here; 0: for a tenth of a second */
};

static int returned, again;
static struct worker *the_worker;

static void run(struct work *w)
{
	struct task *t = (struct task *)w;

	t->ran_in = pthread_self();
	if (t->slow && t->until == 0)
		usleep(100000);
	else if (t->slow)
		ck_assert_int_eq(read(t->until, &(char){0}, 1), 1);
}

static void done(struct work *w, mono_t now)
{
	struct task *t = (struct task *)w;

	(void)now;
	ck_assert(pthread_equal(pthread_self(), t->home));
	ck_assert(!pthread_equal(t->ran_in, t->home));
	returned++;
	if (again-- > 0)
		worker_submit(the_worker, w);
}

static struct task task(bool slow)
{
	return (struct task){.work = {.run = run, .done = done}, .home = pthread_self(), .slow = slow};
}

/* Tests may share a process, as under memcheck. */
static void begin(struct worker *w, struct loop *loop)
{
	returned = again = 0;
	the_worker = w;
	loop_init(loop);
	ck_assert_int_eq(worker_init(w, loop), 0);
}

START_TEST(work_is_run_elsewhere_and_comes_back)
{
	struct task tasks[100];
	struct loop loop;
	struct worker w;

	begin(&w, &loop);
	again = 50;
	for (int i = 0; i < 100; i++) {
		tasks[i] = task(false);
		worker_submit(&w, &tasks[i].work);
	}
	while (returned < 150)
		ck_assert_int_eq(loop_once(&loop, mono_now() + 10 * MONO_SEC), 0);
	worker_free(&w);
	ck_assert_int_eq(returned, 150);
	loop_free(&loop);
}
END_TEST

START_TEST(one_slow_task_holds_up_nobody)
{
	struct task slow = task(true), fast = task(false);
	struct loop loop;
	struct worker w;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	slow.until = ends[0];
	begin(&w, &loop);
	worker_submit(&w, &slow.work);
	worker_submit(&w, &fast.work);
	while (returned < 1)
		ck_assert_int_eq(loop_once(&loop, mono_now() + 10 * MONO_SEC), 0);
	ck_assert_int_eq(write(ends[1], "", 1), 1);
	worker_free(&w);
	ck_assert_int_eq(returned, 2);
	loop_free(&loop);
}
END_TEST

START_TEST(the_end_waits_for_what_was_handed_over)
{
	struct task tasks[10];
	struct loop loop;
	struct worker w;

	begin(&w, &loop);
	for (int i = 0; i < 10; i++) {
		tasks[i] = task(i % 4 == 0);
		worker_submit(&w, &tasks[i].work);
	}
	worker_free(&w);
	ck_assert_int_eq(returned, 10);
	loop_free(&loop);
}
END_TEST

UNIT_MAIN("worker", work_is_run_elsewhere_and_comes_back, one_slow_task_holds_up_nobody,
    the_end_waits_for_what_was_handed_over)
