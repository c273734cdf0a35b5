/* A shared rate on a clock of the test's own: how much goes in all, and who gets it. */
#include "pacer.h"
#include "unit.h"
#include "unit_must.h"

#include <string.h>

static mono_t clock_now;
static struct loop loop;
static struct pacer pacer;

/* Sends `block` bytes each time it may; asks again `pause` later. */
struct sender {
	struct pacer_node node;
	struct loop_timer again;
	size_t block;
	mono_t pause;
	uint64_t sent;
	bool stopped;
};

static mono_t fake_clock(void)
{
	return clock_now;
}

static void send_block(struct sender *s, mono_t now)
{
	s->sent += s->block;
	pacer_charge(&pacer, &s->node, s->block, now);
	if (!s->stopped)
		loop_timer_set(&loop, &s->again, now + s->pause);
}

static void go(struct pacer_node *node, mono_t now)
{
	send_block((struct sender *)node, now);
}

static void again(struct loop_timer *t, mono_t now)
{
	struct sender *s = (struct sender *)((char *)t - offsetof(struct sender, again));

	if (pacer_enter(&pacer, &s->node, now))
		send_block(s, now);
}

static void begin(uint64_t rate)
{
	loop_init(&loop);
	loop.clock = fake_clock;
	clock_now = 1000 * MONO_SEC;
	pacer_init(&pacer, &loop, rate, go);
}

static void add(struct sender *s, size_t block, mono_t pause)
{
	*s = (struct sender){.block = block, .pause = pause};
	loop_timer_init(&s->again, again);
	MUST(loop_timer_set(&loop, &s->again, clock_now) == 0);
}

/* Let the time pass in steps of `step`. */
static void run(mono_t time, mono_t step)
{
	for (mono_t end = clock_now + time; clock_now < end; clock_now += step)
		for (int i = 0; i < 4; i++)
			MUST(loop_once(&loop, clock_now) == 0);
}

static void finish(void)
{
	pacer_free(&pacer);
	loop_free(&loop);
}

static void near(uint64_t got, double wanted)
{
	ck_assert_msg((double)got > 0.97 * wanted && (double)got < 1.03 * wanted, "%llu, not %.0f", (unsigned long long)got, wanted);
}

START_TEST(the_rate_is_kept)
{
	struct sender s;

	begin(1000000);
	add(&s, 1000, 0);
	run(2 * MONO_SEC, MONO_MS / 2);
	near(s.sent, 2e6);
	finish();
}
END_TEST

START_TEST(a_late_timer_loses_nothing)
{
	struct sender s;

	begin(1000000);
	add(&s, 1000, 0);
	run(2 * MONO_SEC, 3 * MONO_MS);
	near(s.sent, 2e6);
	finish();
}
END_TEST

START_TEST(unused_time_is_not_saved_up)
{
	struct sender s;

	begin(1000000);
	add(&s, 1000, 0);
	run(100 * MONO_MS, MONO_MS / 4);
	loop_timer_clear(&loop, &s.again);
	pacer_leave(&pacer, &s.node);
	run(10 * MONO_SEC, 100 * MONO_MS);
	s.sent = 0;
	MUST(loop_timer_set(&loop, &s.again, clock_now) == 0);
	run(100 * MONO_MS, MONO_MS / 4);
	ck_assert_uint_le(s.sent, 115000);
	finish();
}
END_TEST

START_TEST(small_blocks_get_as_much_as_large_ones)
{
	struct sender small, large;

	begin(1000000);
	add(&small, 516, 100 * MONO_US); /* in lockstep: it asks again a round trip later */
	add(&large, 3000, 0);
	run(2 * MONO_SEC, 50 * MONO_US);
	near(small.sent, 1e6);
	near(large.sent, 1e6);
	finish();
}
END_TEST

START_TEST(a_newcomer_is_owed_nothing_and_owes_nothing)
{
	struct sender old, new;

	begin(1000000);
	add(&old, 1000, 0);
	run(5 * MONO_SEC, MONO_MS / 2);
	old.sent = 0;
	add(&new, 1000, 0);
	run(2 * MONO_SEC, MONO_MS / 2);
	near(old.sent, 1e6);
	near(new.sent, 1e6);
	finish();
}
END_TEST

START_TEST(hundreds_share_alike)
{
	static struct sender s[300];
	uint64_t least = UINT64_MAX, most = 0;

	begin(3000000);
	for (size_t i = 0; i < 300; i++)
		add(&s[i], 100 + i % 7 * 50, i % 3 * MONO_MS);
	run(100 * MONO_MS, MONO_MS / 4); /* the first one had it all for itself for an instant */
	for (size_t i = 0; i < 300; i++)
		s[i].sent = 0;
	run(5 * MONO_SEC, MONO_MS / 4);
	for (size_t i = 0; i < 300; i++) {
		least = s[i].sent < least ? s[i].sent : least;
		most = s[i].sent > most ? s[i].sent : most;
	}
	ck_assert_msg(most - least < 1000, "between %llu and %llu", (unsigned long long)least, (unsigned long long)most);
	finish();
}
END_TEST

START_TEST(who_leaves_is_not_called)
{
	struct sender a, b;

	begin(1000);
	add(&a, 1000, 0);
	add(&b, 1000, 0);
	run(10 * MONO_MS, MONO_MS);
	ck_assert_uint_eq(a.sent + b.sent, 1000);
	pacer_leave(&pacer, &a.node);
	pacer_leave(&pacer, &b.node);
	pacer_leave(&pacer, &b.node);
	run(5 * MONO_SEC, 100 * MONO_MS);
	ck_assert_uint_eq(a.sent + b.sent, 1000);
	ck_assert_uint_eq(pacer.n, 0);
	finish();
}
END_TEST

START_TEST(turns_are_short_where_many_wait)
{
	static struct sender s[100];

	begin(1000000);
	ck_assert_uint_eq(pacer_quantum(&pacer), 1000);
	for (size_t i = 0; i < 100; i++)
		add(&s[i], 1000, 0);
	run(MONO_MS, MONO_MS);
	ck_assert_uint_lt(pacer_quantum(&pacer), 12);
	finish();
	begin(1);
	ck_assert_uint_eq(pacer_quantum(&pacer), 1);
	finish();
}
END_TEST

UNIT_MAIN("pacer", the_rate_is_kept, a_late_timer_loses_nothing, unused_time_is_not_saved_up,
    small_blocks_get_as_much_as_large_ones, a_newcomer_is_owed_nothing_and_owes_nothing, hundreds_share_alike,
    who_leaves_is_not_called, turns_are_short_where_many_wait)
