/* The retransmit timer: estimate, back-off, and when to stop hoping. Times are handed in, nothing waits. */
#include "retransmit.h"
#include "unit.h"

#define START (1000 * MONO_SEC)

static struct retransmit fresh(void)
{
	struct retransmit r;

	retransmit_init(&r, 0, START);
	return r;
}

START_TEST(first_interval_is_one_second_or_what_was_set)
{
	struct retransmit r = fresh();

	ck_assert_int_eq(retransmit_interval(&r), RETRANSMIT_FIRST);
	retransmit_init(&r, 250 * MONO_MS, START);
	ck_assert_int_eq(retransmit_interval(&r), 250 * MONO_MS);
}
END_TEST

START_TEST(interval_lies_above_the_round_trip)
{
	for (mono_t rtt = 1; rtt < 3 * MONO_SEC; rtt = rtt * 3 + 1) {
		struct retransmit r = fresh();

		retransmit_sample(&r, rtt);
		ck_assert_int_ge(retransmit_interval(&r), rtt + RETRANSMIT_SLACK);
		/* RFC 6298 (2.2): srtt + 4 * rtt / 2, and our slack. */
		retransmit_sample(&r, rtt);
		ck_assert_int_ge(retransmit_interval(&r), rtt + RETRANSMIT_SLACK);
		ck_assert_int_le(retransmit_interval(&r), 3 * rtt + RETRANSMIT_SLACK);
	}
}
END_TEST

/* A client answers the OACK at once and then writes its first block to flash for 50 ms. */
START_TEST(the_handshake_alone_does_not_make_it_hasty)
{
	struct retransmit r = fresh();

	retransmit_sample(&r, 100 * MONO_US);
	ck_assert_int_ge(retransmit_interval(&r), RETRANSMIT_EARLY);
	retransmit_sample(&r, 50 * MONO_MS);
	ck_assert_int_ge(retransmit_interval(&r), 50 * MONO_MS);
	retransmit_sample(&r, 50 * MONO_MS);
	ck_assert_int_ge(retransmit_interval(&r), 50 * MONO_MS);
}
END_TEST

/* And where a whole rack begins at once, the first window waits in line behind all the others'. */
START_TEST(in_a_crowd_the_first_window_has_more_time)
{
	struct retransmit r = fresh();

	r.crowd = 400 * MONO_MS;
	ck_assert_int_eq(retransmit_interval(&r), RETRANSMIT_FIRST);
	retransmit_sample(&r, 100 * MONO_US);
	ck_assert_int_eq(retransmit_interval(&r), RETRANSMIT_EARLY + 400 * MONO_MS);
	retransmit_sample(&r, 1 * MONO_MS);
	ck_assert_int_lt(retransmit_interval(&r), RETRANSMIT_EARLY);
}
END_TEST

START_TEST(a_steady_lan_waits_tens_of_milliseconds)
{
	struct retransmit r = fresh();

	for (int i = 0; i < 100; i++)
		retransmit_sample(&r, 200 * MONO_US);
	ck_assert_int_ge(retransmit_interval(&r), RETRANSMIT_SLACK);
	ck_assert_int_le(retransmit_interval(&r), RETRANSMIT_SLACK + 1 * MONO_MS);
}
END_TEST

START_TEST(estimate_follows_the_path)
{
	struct retransmit r = fresh();

	for (int i = 0; i < 100; i++)
		retransmit_sample(&r, MONO_MS);
	for (int i = 0; i < 100; i++)
		retransmit_sample(&r, 300 * MONO_MS);
	ck_assert_int_ge(r.srtt, 290 * MONO_MS);
	ck_assert_int_le(r.srtt, 300 * MONO_MS);
	ck_assert_int_gt(retransmit_interval(&r), 300 * MONO_MS);
	for (int i = 0; i < 200; i++)
		retransmit_sample(&r, MONO_MS);
	ck_assert_int_le(retransmit_interval(&r), 30 * MONO_MS);
}
END_TEST

START_TEST(interval_stays_above_an_uneven_peer)
{
	struct retransmit r = fresh();

	for (int i = 0; i < 200; i++)
		retransmit_sample(&r, i % 2 ? 10 * MONO_MS : 200 * MONO_MS);
	ck_assert_int_gt(retransmit_interval(&r), 200 * MONO_MS);
}
END_TEST

START_TEST(no_time_at_all_is_the_shortest_round_trip)
{
	static const mono_t odd[] = {0, -1, -5 * MONO_SEC, INT64_MIN};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct retransmit r = fresh();

		retransmit_sample(&r, odd[i]);
		ck_assert_int_gt(r.srtt, 0); /* 0 means that there was no sample */
		retransmit_sample(&r, odd[i]);
		ck_assert_int_ge(retransmit_interval(&r), RETRANSMIT_SLACK);
		ck_assert_int_le(retransmit_interval(&r), RETRANSMIT_SLACK + MONO_MS);
		ck_assert_int_gt(r.srtt, 0);
		ck_assert_int_ge(r.rttvar, 0);
	}
}
END_TEST

START_TEST(timeouts_double_the_interval_up_to_a_bound)
{
	struct retransmit r = fresh();
	mono_t want;

	retransmit_sample(&r, 10 * MONO_MS);
	want = retransmit_interval(&r);
	for (int i = 0; i < 1000; i++) {
		retransmit_expired(&r);
		want = want * 2 < RETRANSMIT_MAX ? want * 2 : RETRANSMIT_MAX;
		ck_assert_int_eq(retransmit_interval(&r), want);
	}
	ck_assert_uint_eq(r.tries, 1000);
}
END_TEST

START_TEST(first_interval_backs_off_as_well)
{
	struct retransmit r = fresh();

	retransmit_expired(&r);
	ck_assert_int_eq(retransmit_interval(&r), 2 * RETRANSMIT_FIRST);
	retransmit_expired(&r);
	ck_assert_int_eq(retransmit_interval(&r), 4 * RETRANSMIT_FIRST);
	retransmit_expired(&r);
	ck_assert_int_eq(retransmit_interval(&r), RETRANSMIT_MAX);
}
END_TEST

START_TEST(bound_gives_way_to_a_longer_path)
{
	struct retransmit r = fresh();

	retransmit_sample(&r, 10 * MONO_SEC);
	ck_assert_int_ge(retransmit_interval(&r), 10 * MONO_SEC);
	for (int i = 0; i < 100; i++) {
		mono_t before = retransmit_interval(&r);
		retransmit_expired(&r);
		ck_assert_int_ge(retransmit_interval(&r), before);
		ck_assert_int_le(retransmit_interval(&r), 100 * MONO_SEC);
	}
}
END_TEST

START_TEST(sample_ends_the_back_off)
{
	struct retransmit r = fresh();

	retransmit_sample(&r, 10 * MONO_MS);
	for (int i = 0; i < 5; i++)
		retransmit_expired(&r);
	ck_assert_int_gt(retransmit_interval(&r), MONO_SEC);
	retransmit_sample(&r, 10 * MONO_MS);
	ck_assert_int_lt(retransmit_interval(&r), 100 * MONO_MS);
}
END_TEST

/* Or a path that became slower than the interval is never measured again: every answer would be ambiguous (Karn). */
START_TEST(progress_alone_keeps_the_back_off)
{
	struct retransmit r = fresh();

	retransmit_sample(&r, 10 * MONO_MS);
	mono_t before = retransmit_interval(&r);
	retransmit_expired(&r);
	retransmit_expired(&r);
	retransmit_progress(&r, START + MONO_SEC);
	ck_assert_int_eq(retransmit_interval(&r), 4 * before);
	ck_assert_uint_eq(r.tries, 0);
}
END_TEST

START_TEST(agreed_interval_never_changes)
{
	struct retransmit r = fresh();

	retransmit_fix(&r, 5 * MONO_SEC);
	ck_assert_int_eq(retransmit_interval(&r), 5 * MONO_SEC);
	retransmit_sample(&r, 10 * MONO_MS);
	ck_assert_int_eq(retransmit_interval(&r), 5 * MONO_SEC);
	for (int i = 0; i < 20; i++)
		retransmit_expired(&r);
	ck_assert_int_eq(retransmit_interval(&r), 5 * MONO_SEC);
	ck_assert_uint_eq(r.tries, 20);
	retransmit_fix(&r, 255 * MONO_SEC);
	ck_assert_int_eq(retransmit_interval(&r), 255 * MONO_SEC);
}
END_TEST

START_TEST(unproved_peer_gets_its_tries)
{
	struct retransmit r = fresh();

	for (unsigned i = 0; i < 3; i++) {
		ck_assert(!retransmit_hopeless(&r, false, 30 * MONO_SEC, 3, START + (mono_t)i * MONO_SEC));
		retransmit_expired(&r);
	}
	ck_assert(retransmit_hopeless(&r, false, 30 * MONO_SEC, 3, START + 3 * MONO_SEC));
	/* The same silence from a peer that had answered is not the end. */
	ck_assert(!retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 3 * MONO_SEC));
}
END_TEST

START_TEST(proved_peer_gets_time_since_its_last_progress)
{
	struct retransmit r = fresh();

	for (int i = 0; i < 50; i++)
		retransmit_expired(&r);
	ck_assert(!retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 30 * MONO_SEC - 1));
	ck_assert(retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 30 * MONO_SEC + 1));
	retransmit_progress(&r, START + 29 * MONO_SEC);
	ck_assert(!retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 58 * MONO_SEC));
	ck_assert(retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 60 * MONO_SEC));
}
END_TEST

/* A peer that agreed on 60 s means it: 30 s of silence are half of one interval. */
START_TEST(agreed_interval_is_waited_out_four_times)
{
	struct retransmit r = fresh();

	retransmit_fix(&r, 60 * MONO_SEC);
	for (int i = 0; i < 3; i++)
		retransmit_expired(&r);
	ck_assert(!retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 239 * MONO_SEC));
	ck_assert(retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 241 * MONO_SEC));
	/* A short one does not shorten the patience. */
	retransmit_fix(&r, 1 * MONO_SEC);
	ck_assert(!retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START + 29 * MONO_SEC));
}
END_TEST

START_TEST(nothing_is_hopeless_at_the_start)
{
	struct retransmit r = fresh();

	ck_assert(!retransmit_hopeless(&r, false, 30 * MONO_SEC, 3, START));
	ck_assert(!retransmit_hopeless(&r, true, 30 * MONO_SEC, 3, START));
}
END_TEST

UNIT_MAIN("retransmit", first_interval_is_one_second_or_what_was_set,
    interval_lies_above_the_round_trip, the_handshake_alone_does_not_make_it_hasty,
    in_a_crowd_the_first_window_has_more_time,
    a_steady_lan_waits_tens_of_milliseconds, estimate_follows_the_path, interval_stays_above_an_uneven_peer,
    no_time_at_all_is_the_shortest_round_trip, timeouts_double_the_interval_up_to_a_bound,
    first_interval_backs_off_as_well, bound_gives_way_to_a_longer_path, sample_ends_the_back_off,
    progress_alone_keeps_the_back_off, agreed_interval_never_changes, unproved_peer_gets_its_tries,
    proved_peer_gets_time_since_its_last_progress, agreed_interval_is_waited_out_four_times,
    nothing_is_hopeless_at_the_start)
