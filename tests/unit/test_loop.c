/*
 * The event loop on a clock of its own: who is called, in what order, never early, and what survives deletion from
 * inside a callback. Nothing here waits: the clock is moved by hand, and every wait ends at the present.
 */
#include "loop.h"
#include "unit.h"
#include "unit_must.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define START (5000 * MONO_SEC)

static mono_t clock_now = START;

static mono_t fake_clock(void)
{
	return clock_now;
}

static struct loop loop;

#ifndef POLLED_MOST
#define POLLED_MOST LOOP_POLLED
#endif

static void start(void)
{
	loop_init(&loop);
	loop.clock = fake_clock;
	loop.polled_most = POLLED_MOST;
}

static size_t watched(void)
{
	return loop.nfds - (loop.crowd_io.fd >= 0) + loop.ncrowd;
}

/* One round at the present. */
static void turn(void)
{
	MUST(loop_once(&loop, clock_now) == 0);
}

static void advance(mono_t by)
{
	clock_now += by;
	turn();
}

/* Timers. */

struct alarm {
	struct loop_timer timer;
	int id, fired;
	mono_t want;      /* when it should go off; checked as it does */
	mono_t again;     /* set itself anew by this much, 0: no */
	int again_most;
	struct alarm *clears;
	struct alarm *sets;
};

static int order[64], fired_total;
static mono_t last_at = -1;

static void alarm_fired(struct loop_timer *t, mono_t now)
{
	struct alarm *a = (struct alarm *)((char *)t - offsetof(struct alarm, timer));

	MUST(now == clock_now);
	MUST(now >= a->want);
	MUST(a->want >= last_at);
	last_at = a->want;
	a->fired++;
	order[fired_total++ % 64] = a->id;
	if (a->clears)
		loop_timer_clear(&loop, &a->clears->timer);
	if (a->sets) {
		a->sets->want = now;
		MUST(loop_timer_set(&loop, &a->sets->timer, now) == 0);
	}
	if (a->again > 0 && a->fired < a->again_most) {
		a->want = now + a->again;
		MUST(loop_timer_set(&loop, &a->timer, a->want) == 0);
	}
}

static void set(struct alarm *a, mono_t at)
{
	a->want = at;
	MUST(loop_timer_set(&loop, &a->timer, at) == 0);
}

static void alarms(struct alarm *a, int n)
{
	memset(a, 0, (size_t)n * sizeof(*a));
	for (int i = 0; i < n; i++) {
		a[i].id = i;
		loop_timer_init(&a[i].timer, alarm_fired);
	}
}

START_TEST(timer_fires_once_and_not_early)
{
	struct alarm a;

	start();
	alarms(&a, 1);
	set(&a, START + MONO_SEC);
	turn();
	ck_assert_int_eq(a.fired, 0);
	advance(MONO_SEC - 1);
	ck_assert_int_eq(a.fired, 0);
	advance(1);
	ck_assert_int_eq(a.fired, 1);
	advance(10 * MONO_SEC);
	ck_assert_int_eq(a.fired, 1);
	set(&a, clock_now + 1);
	advance(1);
	ck_assert_int_eq(a.fired, 2);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_in_the_past_fires_at_once)
{
	struct alarm a;

	start();
	alarms(&a, 1);
	set(&a, START - MONO_SEC);
	turn();
	ck_assert_int_eq(a.fired, 1);
	set(&a, START);
	turn();
	ck_assert_int_eq(a.fired, 2);
	loop_free(&loop);
}
END_TEST

START_TEST(timers_fire_in_the_order_of_their_time)
{
	struct alarm a[5];
	static const mono_t at[5] = {30, 10, 50, 20, 40};
	static const int want[5] = {1, 3, 0, 4, 2};

	start();
	alarms(a, 5);
	for (int i = 0; i < 5; i++)
		set(&a[i], START + at[i]);
	advance(100);
	ck_assert_int_eq(fired_total, 5);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(order[i], want[i]);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_moved_later_fires_at_its_new_time)
{
	struct alarm a[2];

	start();
	alarms(a, 2);
	set(&a[0], START + 10);
	set(&a[1], START + 20);
	set(&a[0], START + 30);
	advance(10);
	ck_assert_int_eq(fired_total, 0);
	advance(10);
	ck_assert_int_eq(a[0].fired, 0);
	ck_assert_int_eq(a[1].fired, 1);
	advance(9);
	ck_assert_int_eq(a[0].fired, 0);
	advance(1);
	ck_assert_int_eq(a[0].fired, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_moved_later_and_back_fires_at_its_last_time)
{
	struct alarm a[3];

	start();
	alarms(a, 3);
	for (int i = 0; i < 3; i++)
		set(&a[i], START + 100 + i);
	set(&a[0], START + 1000);
	set(&a[0], START + 500); /* between the old place and the later one */
	advance(102);
	ck_assert_int_eq(fired_total, 2);
	set(&a[0], START + 110); /* it has moved in the heap by now */
	advance(7);
	ck_assert_int_eq(a[0].fired, 0);
	advance(1);
	ck_assert_int_eq(a[0].fired, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_moved_earlier_fires_earlier)
{
	struct alarm a[3];

	start();
	alarms(a, 3);
	for (int i = 0; i < 3; i++)
		set(&a[i], START + 100 + i);
	set(&a[2], START + 5);
	advance(5);
	ck_assert_int_eq(a[2].fired, 1);
	ck_assert_int_eq(fired_total, 1);
	advance(100);
	ck_assert_int_eq(fired_total, 3);
	loop_free(&loop);
}
END_TEST

START_TEST(cleared_timer_never_fires)
{
	struct alarm a[3];

	start();
	alarms(a, 3);
	for (int i = 0; i < 3; i++)
		set(&a[i], START + 10 + i);
	loop_timer_clear(&loop, &a[0].timer);
	loop_timer_clear(&loop, &a[0].timer);
	ck_assert_int_eq(loop_timer_set(&loop, &a[1].timer, MONO_NEVER), 0);
	ck_assert_uint_eq(a[0].timer.index, LOOP_UNSET);
	ck_assert_uint_eq(a[1].timer.index, LOOP_UNSET);
	advance(1000);
	ck_assert_int_eq(a[0].fired + a[1].fired, 0);
	ck_assert_int_eq(a[2].fired, 1);
	set(&a[0], clock_now + 1);
	advance(1);
	ck_assert_int_eq(a[0].fired, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(never_is_not_a_time)
{
	struct alarm a;

	start();
	alarms(&a, 1);
	ck_assert_int_eq(loop_timer_set(&loop, &a.timer, MONO_NEVER), 0);
	clock_now = MONO_NEVER - 1;
	turn();
	ck_assert_int_eq(a.fired, 0);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_cleared_by_another_in_the_same_round_stays_silent)
{
	struct alarm a[3];

	start();
	alarms(a, 3);
	for (int i = 0; i < 3; i++)
		set(&a[i], START + 10 + i);
	a[0].clears = &a[1];
	advance(100);
	ck_assert_int_eq(a[0].fired, 1);
	ck_assert_int_eq(a[1].fired, 0);
	ck_assert_int_eq(a[2].fired, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_may_clear_itself_while_it_fires)
{
	struct alarm a[2];

	start();
	alarms(a, 2);
	a[0].clears = &a[0];
	set(&a[0], START + 1);
	set(&a[1], START + 2);
	advance(10);
	ck_assert_int_eq(a[0].fired, 1);
	ck_assert_int_eq(a[1].fired, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_may_set_itself_again)
{
	struct alarm a;

	start();
	alarms(&a, 1);
	a.again = 10;
	a.again_most = 5;
	set(&a, START + 10);
	for (int i = 1; i <= 5; i++) {
		advance(9);
		ck_assert_int_eq(a.fired, i - 1);
		advance(1);
		ck_assert_int_eq(a.fired, i);
	}
	advance(1000);
	ck_assert_int_eq(a.fired, 5);
	loop_free(&loop);
}
END_TEST

static int present_fired;

static void set_to_the_present(struct loop_timer *t, mono_t now)
{
	if (++present_fired < 1000)
		MUST(loop_timer_set(&loop, t, now) == 0);
}

static int heard;

static void hear(struct loop_fd *h, short revents, mono_t now)
{
	(void)h;
	(void)revents;
	MUST(now == clock_now);
	heard++;
}

START_TEST(timer_that_is_always_due_starves_nobody)
{
	struct loop_timer t;
	struct loop_fd h;
	int fds[2];

	start();
	MUST(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
	ck_assert_int_eq(loop_fd_add(&loop, &h, fds[0], POLLIN, hear), 0);
	loop_timer_init(&t, set_to_the_present);
	ck_assert_int_eq(loop_timer_set(&loop, &t, START), 0);
	for (int i = 1; i <= 20; i++) {
		turn();
		ck_assert_int_le(present_fired, i);
		ck_assert_int_eq(heard, i);
	}
	ck_assert_int_ge(present_fired, 10);
	loop_free(&loop);
}
END_TEST

/* A pipe that keeps the loop busy: by poll(), and by itself where the loop lets it. */
static struct {
	struct loop_fd io, quiet;
	int ends[2], quiet_ends[2];
	int polled, awaited, others;
	bool silent, goes;   /* nothing comes while it is awaited; it removes itself */
} busy;

static void busy_ready(struct loop_fd *h, short revents, mono_t now)
{
	char c;

	(void)revents;
	MUST(now == clock_now && read(h->fd, &c, 1) == 1);
	busy.polled++;
}

static mono_t busy_await(struct loop_fd *h)
{
	char c;

	busy.awaited++;
	if (busy.silent)
		return MONO_NEVER;
	MUST(read(h->fd, &c, 1) == 1);
	if (busy.goes)
		loop_fd_del(&loop, h);
	return clock_now;
}

static void quiet_ready(struct loop_fd *h, short revents, mono_t now)
{
	char c;

	(void)revents;
	(void)now;
	MUST(read(h->fd, &c, 1) == 1);
	busy.others++;
}

static void start_busy(void)
{
	start();
	MUST(pipe(busy.ends) == 0 && pipe(busy.quiet_ends) == 0);
	MUST(loop_fd_add(&loop, &busy.io, busy.ends[0], POLLIN, busy_ready) == 0);
	MUST(loop_fd_add(&loop, &busy.quiet, busy.quiet_ends[0], POLLIN, quiet_ready) == 0);
	busy.io.await = busy_await;
}

/* So many wake-ups, so far apart. */
static void wake_ups(int n, mono_t apart)
{
	while (n-- > 0) {
		clock_now += apart;
		MUST(write(busy.ends[1], "x", 1) == 1);
		MUST(loop_once(&loop, MONO_NEVER) == 0);
	}
}

START_TEST(a_descriptor_that_alone_keeps_the_loop_busy_is_awaited)
{
	start_busy();
	wake_ups(16, 20 * MONO_US);
	ck_assert_int_eq(busy.awaited, 0);
	wake_ups(320, 20 * MONO_US);
	ck_assert_int_gt(busy.awaited, 300);
	ck_assert_int_ge(busy.polled, 16 + 320 * 20 / 1000);
	ck_assert_int_eq(busy.awaited + busy.polled, 336);
	loop_free(&loop);
}
END_TEST

START_TEST(others_are_heard_while_one_is_awaited)
{
	start_busy();
	wake_ups(40, 20 * MONO_US);
	ck_assert_int_gt(busy.awaited, 0);
	MUST(write(busy.quiet_ends[1], "y", 1) == 1);
	wake_ups(51, 20 * MONO_US); /* a millisecond */
	ck_assert_int_eq(busy.others, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(silence_gives_the_loop_back_to_all)
{
	start_busy();
	wake_ups(40, 20 * MONO_US);
	busy.silent = true;
	busy.awaited = 0;
	MUST(write(busy.quiet_ends[1], "y", 1) == 1);
	wake_ups(15, 20 * MONO_US);
	ck_assert_int_eq(busy.others, 1);
	ck_assert_int_le(busy.awaited, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(slow_wake_ups_are_no_reason_to_await)
{
	start_busy();
	wake_ups(100, MONO_MS);
	ck_assert_int_eq(busy.awaited, 0);
	loop_free(&loop);
}
END_TEST

START_TEST(nothing_is_awaited_while_a_timer_is_due)
{
	struct alarm a = {.id = 1, .want = START + 12 * MONO_MS};

	start_busy();
	loop_timer_init(&a.timer, alarm_fired);
	MUST(loop_timer_set(&loop, &a.timer, a.want) == 0);
	wake_ups(1000, 20 * MONO_US);
	ck_assert_int_eq(a.fired, 1);
	ck_assert_int_lt(busy.awaited, 500); /* the first 10 ms of 20 could not be */
	loop_free(&loop);
}
END_TEST

START_TEST(a_timer_that_was_moved_later_does_not_count_as_due)
{
	struct alarm a = {.id = 1, .want = START + 50 * MONO_MS};

	start_busy();
	loop_timer_init(&a.timer, alarm_fired);
	MUST(loop_timer_set(&loop, &a.timer, a.want) == 0);
	for (int i = 0; i < 1000; i++) {
		wake_ups(1, 100 * MONO_US);
		a.want = clock_now + 50 * MONO_MS;
		MUST(loop_timer_set(&loop, &a.timer, a.want) == 0);
	}
	ck_assert_int_eq(a.fired, 0);
	ck_assert_int_gt(busy.awaited, 850);
	loop_free(&loop);
}
END_TEST

START_TEST(a_handle_may_go_while_it_is_awaited)
{
	start_busy();
	wake_ups(40, 20 * MONO_US);
	busy.goes = true;
	for (int i = 0; i < 20 && watched() == 2; i++)
		wake_ups(1, 20 * MONO_US);
	ck_assert_uint_eq(watched(), 1);
	MUST(write(busy.quiet_ends[1], "y", 1) == 1);
	turn();
	ck_assert_int_eq(busy.others, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(timer_set_by_another_to_the_present_fires_soon)
{
	struct alarm a[2];

	start();
	alarms(a, 2);
	a[0].sets = &a[1];
	set(&a[0], START + 1);
	advance(1);
	turn();
	ck_assert_int_eq(a[1].fired, 1);
	loop_free(&loop);
}
END_TEST

static unsigned seed = 12345;

static unsigned dice(unsigned sides)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % sides;
}

/* Against a plain list: set, later, earlier, clear at random, and after each step exactly what is due has fired. */
START_TEST(many_timers_fire_in_order_and_never_early)
{
	enum { N = 500 };
	static struct alarm a[N];
	int done[N] = {0};

	start();
	alarms(a, N);
	for (int i = 0; i < N; i++)
		a[i].want = MONO_NEVER;
	for (int step = 0; step < 40000; step++) {
		struct alarm *one = &a[dice(N)];

		switch (dice(5)) {
		case 0:
			loop_timer_clear(&loop, &one->timer);
			one->want = MONO_NEVER;
			break;
		case 1:
			if (one->want == MONO_NEVER)
				break;
			set(one, one->want + (mono_t)dice(500)); /* later */
			break;
		default:
			set(one, clock_now + (mono_t)dice(1000)); /* earlier or later */
			break;
		}
		if (dice(4))
			continue;
		for (int i = 0; i < N; i++)
			done[i] = a[i].fired;
		last_at = -1;
		advance((mono_t)dice(60));
		for (int i = 0; i < N; i++) {
			bool due = a[i].want <= clock_now;
			MUST(a[i].fired == done[i] + due);
			if (due)
				a[i].want = MONO_NEVER;
			MUST((a[i].timer.index == LOOP_UNSET) == (a[i].want == MONO_NEVER));
		}
	}
	ck_assert_int_gt(fired_total, 1000);
	loop_free(&loop);
}
END_TEST

/* The real clock for once, three milliseconds of it: poll() counts in coarser steps and must round up. */
static struct loop_timer real;
static mono_t real_fired;

static void real_timer(struct loop_timer *t, mono_t now)
{
	(void)t;
	real_fired = now;
	loop_stop(&loop);
}

START_TEST(run_waits_for_the_timer_and_not_less)
{
	loop_init(&loop);
	for (int i = 0; i < 3; i++) {
		mono_t at = mono_now() + MONO_MS + i * 1001;

		loop_timer_init(&real, real_timer);
		ck_assert_int_eq(loop_timer_set(&loop, &real, at), 0);
		ck_assert_int_eq(loop_run(&loop), 0);
		ck_assert_int_ge(real_fired, at);
		ck_assert_int_ge(mono_now(), at);
	}
	loop_free(&loop);
}
END_TEST

/* Descriptors. */

#define PIPES 8

struct end {
	struct loop_fd io;
	int read, write;
	int calls;
	bool gone;        /* must not be called any more */
};

static struct end ends[PIPES];
static void (*on_call)(struct end *e);

static void end_ready(struct loop_fd *h, short revents, mono_t now)
{
	struct end *e = (struct end *)((char *)h - offsetof(struct end, io));

	MUST(now == clock_now);
	MUST(!e->gone);
	MUST(revents & (POLLIN | POLLHUP));
	e->calls++;
	if (on_call)
		on_call(e);
}

static void open_end(struct end *e, bool readable)
{
	int fds[2];

	MUST(pipe(fds) == 0);
	*e = (struct end){.read = fds[0], .write = fds[1]};
	if (readable)
		MUST(write(e->write, "x", 1) == 1);
}

static void watch(struct end *e)
{
	MUST(loop_fd_add(&loop, &e->io, e->read, POLLIN, end_ready) == 0);
}

static void forget(struct end *e)
{
	loop_fd_del(&loop, &e->io);
	e->gone = true;
}

static void open_ends(unsigned readable)
{
	start();
	for (unsigned i = 0; i < PIPES; i++) {
		open_end(&ends[i], readable >> i & 1);
		watch(&ends[i]);
	}
}

/* Which one deletes, whom it deletes: a bit for each. */
static int deleter;
static unsigned victims;

static void delete_victims(struct end *e)
{
	if (e != &ends[deleter])
		return;
	for (unsigned i = 0; i < PIPES; i++)
		if (victims >> i & 1)
			forget(&ends[i]);
}

/*
 * Every callback removes every set of handles once, itself, earlier, later and all of them: nobody is called after
 * removal (end_ready checks), nobody else is lost, nobody is called twice in a round, and who has nothing to read is
 * not called in another's place.
 */
START_TEST(any_callback_may_remove_any_handles)
{
	static const unsigned readables[] = {0xff, 0x0f, 0xf0, 0x55, 0xaa};

	for (size_t r = 0; r < sizeof(readables) / sizeof(readables[0]); r++) {
		unsigned readable = readables[r];

		open_ends(readable);
		on_call = delete_victims;
		for (deleter = 0; deleter < PIPES; deleter++) {
			if (!(readable >> deleter & 1))
				continue;
			for (victims = 0; victims < 1u << PIPES; victims++) {
				turn();
				for (unsigned i = 0; i < PIPES; i++) {
					MUST(ends[i].calls <= 1);
					MUST(ends[i].calls == 0 || (readable >> i & 1));
				}
				turn();
				for (unsigned i = 0; i < PIPES; i++)
					MUST((ends[i].calls > 0) == (readable >> i & 1) || (victims >> i & 1));
				for (unsigned i = 0; i < PIPES; i++) {
					ends[i].calls = 0;
					ends[i].gone = false;
					if (victims >> i & 1)
						watch(&ends[i]);
				}
			}
		}
		for (unsigned i = 0; i < PIPES; i++) {
			forget(&ends[i]);
			close(ends[i].read);
			close(ends[i].write);
		}
		ck_assert_uint_eq(watched(), 0);
		loop_free(&loop);
	}
}
END_TEST

static struct end extra;

static void add_one_in_another_place(struct end *e)
{
	if (e != &ends[0] || extra.read > 0)
		return;
	/* The same number again, as the kernel gives it out: what was ready on the old one says nothing about this one. */
	forget(&ends[1]);
	close(ends[1].read);
	close(ends[1].write);
	open_end(&extra, false);
	watch(&extra);
}

START_TEST(a_descriptor_used_again_hears_nothing_old)
{
	open_ends(0x03);
	on_call = add_one_in_another_place;
	for (int i = 0; i < 3; i++)
		turn();
	ck_assert_int_ge(ends[0].calls, 3);
	ck_assert_int_eq(extra.calls, 0);
	MUST(write(extra.write, "x", 1) == 1);
	turn();
	ck_assert_int_eq(extra.calls, 1);
	loop_free(&loop);
}
END_TEST

static struct end more[40];
static int more_n;

static void add_many(struct end *e)
{
	(void)e;
	for (int i = 0; i < 10 && more_n < 40; i++, more_n++) {
		open_end(&more[more_n], more_n % 2);
		watch(&more[more_n]);
	}
}

/* The arrays grow under the hands of the dispatcher. */
START_TEST(handles_added_in_a_callback_are_heard_next)
{
	open_ends(0xff);
	on_call = add_many;
	turn();
	ck_assert_int_eq(more_n, 40);
	for (int i = 0; i < PIPES; i++)
		ck_assert_int_eq(ends[i].calls, 1);
	turn();
	for (int i = 0; i < 40; i++) {
		ck_assert_int_le(more[i].calls, 2);
		ck_assert_int_eq(more[i].calls > 0, i % 2);
	}
	loop_free(&loop);
}
END_TEST

static void take_another_descriptor(struct end *e)
{
	if (e != &ends[0] || e->calls > 1)
		return;
	loop_fd_del(&loop, &e->io);
	open_end(&extra, true);
	MUST(loop_fd_add(&loop, &e->io, extra.read, POLLIN, end_ready) == 0);
}

START_TEST(a_handle_may_be_used_again_in_its_own_callback)
{
	open_ends(0x01);
	on_call = take_another_descriptor;
	turn();
	ck_assert_int_eq(ends[0].io.fd, extra.read);
	int before = ends[0].calls;
	turn();
	ck_assert_int_eq(ends[0].calls, before + 1);
	loop_free(&loop);
}
END_TEST

START_TEST(removing_what_is_not_there_removes_nothing)
{
	struct loop_fd never;

	open_ends(0x07);
	on_call = NULL;
	forget(&ends[0]);
	loop_fd_del(&loop, &ends[0].io);
	loop_fd_del(&loop, &ends[0].io);
	ck_assert_uint_eq(watched(), PIPES - 1);
	/* A handle that was only cleared, in a struct that never got as far as the loop. */
	memset(&never, 0, sizeof(never));
	loop_fd_del(&loop, &never);
	ck_assert_uint_eq(watched(), PIPES - 1);
	turn();
	ck_assert_int_eq(ends[1].calls, 1);
	ck_assert_int_eq(ends[2].calls, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(events_can_be_changed)
{
	open_ends(0x03);
	on_call = NULL;
	loop_fd_events(&loop, &ends[0].io, 0);
	turn();
	ck_assert_int_eq(ends[0].calls, 0);
	ck_assert_int_eq(ends[1].calls, 1);
	loop_fd_events(&loop, &ends[0].io, POLLIN);
	turn();
	ck_assert_int_eq(ends[0].calls, 1);
	ck_assert_int_eq(ends[1].calls, 2);
	loop_free(&loop);
}
END_TEST

#define HERD (LOOP_POLLED + LOOP_WOKEN + 20)

static struct end herd[HERD];

static void gather_herd(void)
{
	struct rlimit files;

	MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
	files.rlim_cur = files.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &files) == 0);
	start();
	on_call = NULL;
	for (int i = 0; i < HERD; i++) {
		open_end(&herd[i], false);
		watch(&herd[i]);
	}
}

/* Where poll() has enough to look at, the next ones wait elsewhere, and are heard all the same. */
START_TEST(beyond_the_first_few_they_stand_in_a_crowd)
{
	gather_herd();
	ck_assert_uint_eq(loop.nfds, POLLED_MOST + 1);
	ck_assert_uint_eq(loop.ncrowd, HERD - POLLED_MOST);
	for (int i = 0; i < HERD; i += 7) {
		MUST(write(herd[i].write, "x", 1) == 1);
		turn();
		ck_assert_int_eq(herd[i].calls, 1);
		forget(&herd[i]);
	}
	turn();
	for (int i = 0; i < HERD; i++)
		ck_assert_int_eq(herd[i].calls, i % 7 == 0);
	loop_free(&loop);
}
END_TEST

/* More than are taken from the crowd at a time: nobody waits for ever, though none of them takes what it has. */
START_TEST(everybody_in_a_crowd_has_a_turn)
{
	gather_herd();
	for (int i = 0; i < HERD; i++)
		MUST(write(herd[i].write, "x", 1) == 1);
	for (int i = 0; i < HERD / LOOP_WOKEN + 1; i++)
		turn();
	for (int i = 0; i < HERD; i++)
		ck_assert_int_ge(herd[i].calls, 1);
	loop_free(&loop);
}
END_TEST

START_TEST(without_a_crowd_all_are_polled)
{
	struct rlimit files, few;
	int highest;

	gather_herd();
	loop_free(&loop);
	start();
	/* The crowd needs a descriptor of its own, and there is none left. */
	highest = herd[HERD - 1].write;
	MUST(getrlimit(RLIMIT_NOFILE, &files) == 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)highest + 1, .rlim_max = files.rlim_max};
	MUST(setrlimit(RLIMIT_NOFILE, &few) == 0);
	while (dup(herd[0].read) >= 0)
		;
	for (int i = 0; i < HERD; i++)
		watch(&herd[i]);
	ck_assert_uint_eq(loop.ncrowd, 0);
	ck_assert_uint_eq(loop.nfds, HERD);
	MUST(write(herd[HERD - 1].write, "x", 1) == 1);
	turn();
	ck_assert_int_eq(herd[HERD - 1].calls, 1);
	loop_free(&loop);
	/* A sanitizer opens files when it is done. */
	MUST(setrlimit(RLIMIT_NOFILE, &files) == 0);
}
END_TEST

static struct alarm due;

static void answer_in_time(struct end *e)
{
	(void)e;
	loop_timer_set(&loop, &due.timer, clock_now + MONO_SEC);
}

START_TEST(what_arrived_comes_before_what_expired)
{
	open_ends(0x01);
	alarms(&due, 1);
	set(&due, START + 10);
	on_call = answer_in_time;
	advance(20);
	ck_assert_int_eq(ends[0].calls, 1);
	ck_assert_int_eq(due.fired, 0);
	loop_free(&loop);
}
END_TEST

static void stop_here(struct end *e)
{
	if (e->calls == 3)
		loop_stop(&loop);
}

START_TEST(run_ends_when_it_is_told)
{
	open_ends(0x01);
	on_call = stop_here;
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_int_eq(ends[0].calls, 3);
	ends[0].calls = 0;
	ck_assert_int_eq(loop_run(&loop), 0); /* and can be run again */
	ck_assert_int_eq(ends[0].calls, 3);
	loop_free(&loop);
}
END_TEST

START_TEST(an_empty_loop_returns_at_its_bound)
{
	start();
	turn();
	ck_assert_int_eq(loop_once(&loop, clock_now - MONO_SEC), 0);
	loop_free(&loop);
}
END_TEST

/* Signals. */

static int signals_seen[65];

static void signal_seen(struct loop *l, int signo, mono_t now)
{
	MUST(l == &loop);
	MUST(now == clock_now);
	signals_seen[signo]++;
	if (signo == SIGTERM)
		loop_stop(l);
}

START_TEST(signals_arrive_inside_the_loop)
{
	static const int signals[] = {SIGTERM, SIGHUP, SIGUSR1};

	start();
	ck_assert_int_eq(loop_signals(&loop, signals, 3, signal_seen), 0);
	turn();
	raise(SIGHUP);
	raise(SIGUSR1);
	ck_assert_int_eq(signals_seen[SIGHUP], 0);
	turn();
	ck_assert_int_eq(signals_seen[SIGHUP], 1);
	ck_assert_int_eq(signals_seen[SIGUSR1], 1);
	turn();
	ck_assert_int_eq(signals_seen[SIGHUP], 1);
	raise(SIGHUP);
	turn();
	ck_assert_int_eq(signals_seen[SIGHUP], 2);
	raise(SIGTERM);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_int_eq(signals_seen[SIGTERM], 1);
	loop_free(&loop);
}
END_TEST

/* No memory. */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
/* No page more than now. */
static void no_more_memory(void)
{
	struct rlimit limit = {0, 0};

	MUST(setrlimit(RLIMIT_AS, &limit) == 0);
}

START_TEST(failed_add_leaves_the_loop_as_it_was)
{
	static struct loop_fd many[1 << 20];
	static struct loop_timer timers[1 << 20];
	size_t n = 0, m = 0;
	int err = 0;

	open_ends(0x03);
	on_call = NULL;
	alarms(&due, 1);
	set(&due, START + 10);
	memset(many, 0, sizeof(many)); /* pages that exist before there are no more */
	memset(timers, 0, sizeof(timers));
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
		loop_timer_init(&timers[i], NULL);
	no_more_memory();
	while (n < sizeof(many) / sizeof(many[0]) && err == 0)
		err = loop_fd_add(&loop, &many[n++], ends[5].read, POLLIN, end_ready);
	size_t left = watched();
	bool fds_ran_out = err == -ENOMEM && left == PIPES + n - 1;
	if (err != 0)
		loop_fd_del(&loop, &many[n - 1]); /* the one that did not get in */
	bool del_harmless = watched() == left;
	for (size_t i = 0; i + 1 < n; i++)
		loop_fd_del(&loop, &many[i]);
	bool fds_whole = watched() == PIPES;
	for (err = 0; m < sizeof(timers) / sizeof(timers[0]) && err == 0; m++)
		err = loop_timer_set(&loop, &timers[m], START + MONO_SEC);
	bool timers_ran_out = err == -ENOMEM && loop.ntimers == m;
	loop_timer_clear(&loop, &timers[m - 1]);
	for (size_t i = 0; i + 1 < m; i++)
		loop_timer_clear(&loop, &timers[i]);
	advance(20);
	/* Check needs memory to say anything, so it says it last. */
	MUST(fds_ran_out);
	MUST(del_harmless);
	MUST(fds_whole);
	MUST(timers_ran_out);
	MUST(ends[0].calls == 1 && ends[1].calls == 1 && ends[5].calls == 0);
	MUST(due.fired == 1);
	loop_free(&loop);
}
END_TEST
#define NO_MEMORY_TESTS , failed_add_leaves_the_loop_as_it_was
#else
#define NO_MEMORY_TESTS /* a sanitizer's allocator ends the process instead of failing */
#endif

UNIT_MAIN("loop", timer_fires_once_and_not_early, timer_in_the_past_fires_at_once,
    timers_fire_in_the_order_of_their_time, timer_moved_later_fires_at_its_new_time,
    timer_moved_later_and_back_fires_at_its_last_time, timer_moved_earlier_fires_earlier, cleared_timer_never_fires,
    never_is_not_a_time, timer_cleared_by_another_in_the_same_round_stays_silent,
    timer_may_clear_itself_while_it_fires, timer_may_set_itself_again, timer_that_is_always_due_starves_nobody,
    a_descriptor_that_alone_keeps_the_loop_busy_is_awaited, others_are_heard_while_one_is_awaited,
    silence_gives_the_loop_back_to_all, slow_wake_ups_are_no_reason_to_await, nothing_is_awaited_while_a_timer_is_due,
    a_timer_that_was_moved_later_does_not_count_as_due, a_handle_may_go_while_it_is_awaited,
    timer_set_by_another_to_the_present_fires_soon, many_timers_fire_in_order_and_never_early,
    run_waits_for_the_timer_and_not_less, any_callback_may_remove_any_handles,
    a_descriptor_used_again_hears_nothing_old, handles_added_in_a_callback_are_heard_next,
    a_handle_may_be_used_again_in_its_own_callback, removing_what_is_not_there_removes_nothing, events_can_be_changed,
    beyond_the_first_few_they_stand_in_a_crowd, everybody_in_a_crowd_has_a_turn, without_a_crowd_all_are_polled,
    what_arrived_comes_before_what_expired, run_ends_when_it_is_told, an_empty_loop_returns_at_its_bound,
    signals_arrive_inside_the_loop NO_MEMORY_TESTS)
