/*
 * The transfer machine against the rules: RFC 1350, 1123, 2347, 2348, 2349, 7440 and our own decisions, one test per
 * rule. Packets are made by hand and the clock stands still until a test moves it. What the machine says is read as
 * text, "DATA 1 DATA 2(5)": a short block shows its length.
 */
#include "sim_store.h"
#include "transfer.h"
#include "unit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_BUFS 1024

/* A machine, its store, and the other side's hand. */
struct rig {
	struct transfer t;
	struct sim_store file;
	struct store store;
	struct gather own_gather, *gather;
	struct transfer_policy policy;
	struct transfer_request request;
	struct option_limits limits;
	struct option_set granted;
	struct option_terms terms;
	mono_t now;
	uint64_t peer_size;            /* of the file that the other side sends */
	bool peer_rolls;               /* it goes from 65535 to 1 */
	uint8_t *bufs[MAX_BUFS];       /* received datagrams, alive until the machine is drained */
	size_t lens[MAX_BUFS];
	size_t nbufs;
	size_t cap;                    /* of scratch */
	char said[8192];
	uint8_t scratch[PACKET_MAX + 1];
};

/* Setting up. */

static struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	r->policy = (struct transfer_policy){
		.give_up = 30 * MONO_SEC,
		.tries = 3,
		.dally_min = 1 * MONO_SEC,
		.dally_max = 10 * MONO_SEC,
	};
	r->limits = (struct option_limits){
		.blksize = BLKSIZE_MAX,
		.windowsize = WINDOWSIZE_MAX,
		.window_bytes = UINT32_MAX,
	};
	r->request = (struct transfer_request){.name = "file", .mode = "octet"};
	r->now = 5000 * MONO_SEC;
	r->gather = &r->own_gather;
	r->cap = sizeof(r->scratch);
	return r;
}

/* "blksize=8 windowsize=4" as a set. */
static struct option_set options(const char *text)
{
	struct option_set set = {0};
	char name[32];
	unsigned long long value;
	int n;

	while (sscanf(text, " %31[^=]=%llu%n", name, &value, &n) == 2) {
		ck_assert_int_ge(options_find(name), 0);
		options_add(&set, (enum option_id)options_find(name), value);
		text += n;
	}
	return set;
}

static void agree(struct rig *r, const char *text, bool write)
{
	struct option_set asked = options(text);

	options_accept(&asked, write, &r->limits, r->file.len, &r->granted, &r->terms);
}

static struct rig *serving_get(size_t size, const char *asked)
{
	struct rig *r = rig_new();

	sim_store_source(&r->file, &r->store, size, 1, true);
	agree(r, asked, false);
	transfer_serve_get(&r->t, &r->store, &r->granted, &r->terms, &r->policy, r->now);
	return r;
}

static struct rig *serving_put_to(size_t size, const char *asked, bool seekable)
{
	struct rig *r = rig_new();

	r->peer_size = size;
	sim_store_sink(&r->file, &r->store, size, seekable);
	agree(r, asked, true);
	transfer_serve_put(&r->t, &r->store, r->gather, &r->granted, &r->terms, &r->policy, r->now);
	return r;
}

static struct rig *serving_put(size_t size, const char *asked)
{
	return serving_put_to(size, asked, true);
}

static struct rig *getting(size_t size, const char *offered)
{
	struct rig *r = rig_new();

	r->peer_size = size;
	sim_store_sink(&r->file, &r->store, size, true);
	r->request.offered = options(offered);
	transfer_get(&r->t, &r->store, r->gather, &r->request, &r->policy, r->now);
	return r;
}

static struct rig *putting(size_t size, const char *offered)
{
	struct rig *r = rig_new();

	sim_store_source(&r->file, &r->store, size, 1, true);
	r->request.offered = options(offered);
	transfer_put(&r->t, &r->store, &r->request, &r->policy, r->now);
	return r;
}

static void forget_buffers(struct rig *r)
{
	for (size_t i = 0; i < r->nbufs; i++) {
		memset(r->bufs[i], 0xa5, r->lens[i]);
		free(r->bufs[i]);
	}
	r->nbufs = 0;
}

/* Every test ends here: whatever happened, the store was used by its rules and is closed once. */
static void done(struct rig *r)
{
	forget_buffers(r);
	ck_assert_uint_eq(r->file.closes, 0);
	transfer_free(&r->t);
	ck_assert_uint_eq(r->file.closes, 1);
	transfer_free(&r->t);
	ck_assert_uint_eq(r->file.closes, 1);
	ck_assert_msg(r->file.broken == NULL, "%s", r->file.broken);
	sim_store_free(&r->file);
	free(r);
}

/* What it says. */

static void note(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct rig *r, const char *fmt, ...)
{
	size_t at = strlen(r->said);
	va_list ap;

	if (at > 0 && at < sizeof(r->said) - 1)
		r->said[at++] = ' ';
	va_start(ap, fmt);
	vsnprintf(r->said + at, sizeof(r->said) - at, fmt, ap);
	va_end(ap);
}

static void note_options(struct rig *r, const struct packet *p)
{
	const char *name, *value;
	size_t at = 0;

	while (packet_option(p, &at, &name, &value))
		note(r, "%s=%s", name, value);
}

static void note_datagram(struct rig *r, const uint8_t *buf, size_t len)
{
	struct packet p;

	ck_assert_int_eq(packet_decode(&p, buf, len), PACKET_OK);
	switch (p.op) {
	case PACKET_RRQ:
	case PACKET_WRQ:
		note(r, "%s %s %s", p.op == PACKET_RRQ ? "RRQ" : "WRQ", p.name, p.mode);
		note_options(r, &p);
		break;
	case PACKET_DATA:
		if (p.len < r->t.terms.blksize)
			note(r, "DATA %u(%zu)", p.block, p.len);
		else
			note(r, "DATA %u", p.block);
		break;
	case PACKET_ACK:
		note(r, "ACK %u", p.block);
		break;
	case PACKET_ERROR:
		note(r, "ERROR %u", p.code);
		break;
	case PACKET_OACK:
		note(r, "OACK");
		note_options(r, &p);
		break;
	}
}

static void note_run(struct rig *r, const struct run *run, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i * run->seg;

		note_datagram(r, run->buf + at, run->len - at < run->seg ? run->len - at : run->seg);
	}
}

/* Drain it, and let the receive buffers go. */
static const char *say(struct rig *r)
{
	struct run run;

	r->said[0] = '\0';
	while (transfer_pull(&r->t, r->scratch, r->cap, &run, r->now)) {
		note_run(r, &run, run_count(&run));
		transfer_sent(&r->t, run_count(&run), r->now);
		memset(r->scratch, 0xa5, 2000);
	}
	ck_assert_ptr_ne(r->own_gather.owner, &r->t);
	forget_buffers(r);
	return r->said;
}

#define says(r, text) ck_assert_str_eq(say(r), text)

/* What it hears. */

static void hear(struct rig *r, const void *bytes, size_t len)
{
	struct packet p;
	uint8_t *buf = malloc(len);

	ck_assert_ptr_nonnull(buf);
	ck_assert_uint_lt(r->nbufs, MAX_BUFS);
	memcpy(buf, bytes, len);
	r->lens[r->nbufs] = len;
	r->bufs[r->nbufs++] = buf;
	ck_assert_int_eq(packet_decode(&p, buf, len), PACKET_OK);
	transfer_input(&r->t, &p, r->now);
}

static void hear_ack(struct rig *r, unsigned block)
{
	uint8_t buf[4];

	hear(r, buf, packet_ack(buf, sizeof(buf), (uint16_t)block));
}

static void hear_error(struct rig *r, unsigned code, const char *text)
{
	uint8_t buf[400];

	hear(r, buf, packet_error(buf, sizeof(buf), (uint16_t)code, text));
}

static void hear_raw_data(struct rig *r, unsigned block, const uint8_t *payload, size_t len)
{
	uint8_t *buf = malloc(len + 4);

	ck_assert_ptr_nonnull(buf);
	packet_data_header(buf, (uint16_t)block);
	if (len > 0)
		memcpy(buf + 4, payload, len);
	hear(r, buf, len + 4);
	free(buf);
}

static uint8_t peer_byte(uint64_t off)
{
	return (uint8_t)((off * 2654435761u) >> 13);
}

/* The peer's block, counted from 1 without end, with the bytes and the number that belong to it. */
static void hear_block(struct rig *r, uint64_t block)
{
	size_t blksize = r->t.state == TRANSFER_REQUEST ? PACKET_BLKSIZE : r->t.terms.blksize;
	uint64_t off = (block - 1) * blksize;
	size_t len = r->peer_size - off < blksize ? (size_t)(r->peer_size - off) : blksize;
	uint8_t payload[2048];

	ck_assert_uint_le(off, r->peer_size);
	for (size_t i = 0; i < len; i++)
		payload[i] = peer_byte(off + i);
	hear_raw_data(r, (unsigned)(r->peer_rolls ? (block - 1) % 65535 + 1 : block & 0xffff), payload, len);
}

static void hear_blocks(struct rig *r, uint64_t from, uint64_t to)
{
	for (uint64_t block = from; block <= to; block++)
		hear_block(r, block);
}

/* "blksize=8 windowsize=4", values as they are. */
static void hear_oack(struct rig *r, const char *text)
{
	uint8_t buf[400] = {0, PACKET_OACK};
	size_t at = 2;

	for (; *text; text++)
		buf[at++] = *text == '=' || *text == ' ' ? 0 : (uint8_t)*text;
	if (at > 2)
		buf[at++] = 0;
	hear(r, buf, at);
}

static void hear_request(struct rig *r, int op)
{
	uint8_t buf[] = "\0\1file\0octet";

	buf[1] = (uint8_t)op;
	hear(r, buf, sizeof(buf));
}

/* Time passes; the loop would call timeout whenever it is due. */
static void pass(struct rig *r, mono_t time)
{
	r->now += time;
	transfer_timeout(&r->t, r->now);
}

/* To the very deadline. Returns how long that was. */
static mono_t wait_for_deadline(struct rig *r)
{
	mono_t time = transfer_deadline(&r->t) - r->now;

	ck_assert_int_ne(transfer_deadline(&r->t), MONO_NEVER);
	ck_assert_int_ge(time, 0);
	pass(r, time);
	return time;
}

static void ended(struct rig *r, enum transfer_outcome outcome)
{
	const struct transfer_result *v = transfer_verdict(&r->t);

	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(v->outcome, outcome);
	ck_assert_int_eq(v->ended, r->now);
}

static void over(struct rig *r, enum transfer_outcome outcome)
{
	ended(r, outcome);
	says(r, "");
	ck_assert(transfer_over(&r->t));
	ck_assert_int_eq(transfer_deadline(&r->t), MONO_NEVER);
}

static void runs(struct rig *r)
{
	ck_assert_ptr_null(transfer_verdict(&r->t));
	ck_assert(!transfer_over(&r->t));
}

static void file_is_right(const struct rig *r)
{
	ck_assert_uint_eq(r->file.len, r->peer_size);
	for (uint64_t off = 0; off < r->peer_size; off++)
		if (r->file.bytes[off] != peer_byte(off))
			ck_abort_msg("byte %llu is wrong", (unsigned long long)off);
	ck_assert(r->file.finished);
}

static void file_is_undone(const struct rig *r)
{
	ck_assert(!r->file.finished);
}

/* A sender whose options are agreed, with its first window out, after a round trip of `rtt`. */
static struct rig *sending(size_t size, const char *asked, mono_t rtt)
{
	struct rig *r = serving_get(size, asked);

	say(r);
	pass(r, rtt);
	hear_ack(r, 0);
	say(r);
	return r;
}

/* A receiver whose options are agreed. */
static struct rig *receiving(size_t size, const char *asked)
{
	struct rig *r = serving_put(size, asked);

	say(r);
	return r;
}

/* The server sends: beginning. */

START_TEST(read_without_options_begins_with_data_1)
{
	struct rig *r = serving_get(1000, "");

	says(r, "DATA 1");
	runs(r);
	hear_ack(r, 1);
	says(r, "DATA 2(488)");
	hear_ack(r, 2);
	over(r, TRANSFER_DONE);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 1000);
	ck_assert_uint_eq(transfer_verdict(&r->t)->datagrams, 2);
	ck_assert_uint_eq(transfer_verdict(&r->t)->resent, 0);
	done(r);
}
END_TEST

START_TEST(read_with_options_begins_with_oack_and_waits_for_ack_0)
{
	struct rig *r = serving_get(20, "tsize=0 blksize=8");

	says(r, "OACK tsize=20 blksize=8");
	hear_ack(r, 1);
	says(r, "");
	hear_ack(r, 0);
	says(r, "DATA 1");
	done(r);
}
END_TEST

START_TEST(repeated_request_before_ack_0_is_answered_with_the_oack_again)
{
	struct rig *r = serving_get(20, "blksize=8");

	says(r, "OACK blksize=8");
	hear_request(r, PACKET_RRQ);
	says(r, "OACK blksize=8");
	ck_assert_uint_eq(r->t.result.resent, 1);
	hear_ack(r, 0);
	says(r, "DATA 1");
	hear_request(r, PACKET_RRQ);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(repeated_plain_request_is_answered_with_data_1_again)
{
	struct rig *r = serving_get(2000, "");

	says(r, "DATA 1");
	hear_request(r, PACKET_RRQ);
	says(r, "DATA 1");
	hear_ack(r, 1);
	says(r, "DATA 2");
	hear_request(r, PACKET_RRQ);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(repeated_request_does_not_move_the_timer)
{
	struct rig *r = serving_get(20, "blksize=8");
	mono_t deadline;

	say(r);
	deadline = transfer_deadline(&r->t);
	pass(r, 100 * MONO_MS);
	hear_request(r, PACKET_RRQ);
	says(r, "OACK blksize=8");
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	done(r);
}
END_TEST

START_TEST(unproven_peer_gets_one_oack_per_try_and_three_tries)
{
	struct rig *r = serving_get(100000, "windowsize=64");

	says(r, "OACK windowsize=64");
	wait_for_deadline(r);
	says(r, "OACK windowsize=64");
	wait_for_deadline(r);
	says(r, "OACK windowsize=64");
	wait_for_deadline(r);
	over(r, TRANSFER_TIMED_OUT);
	ck_assert_uint_eq(transfer_verdict(&r->t)->datagrams, 3);
	ck_assert_uint_eq(transfer_verdict(&r->t)->resent, 2);
	done(r);
}
END_TEST

START_TEST(unproven_peer_gets_one_block_per_try_and_three_tries)
{
	struct rig *r = serving_get(100000, "");

	says(r, "DATA 1");
	wait_for_deadline(r);
	says(r, "DATA 1");
	wait_for_deadline(r);
	says(r, "DATA 1");
	wait_for_deadline(r);
	over(r, TRANSFER_TIMED_OUT);
	done(r);
}
END_TEST

START_TEST(unproven_peer_is_not_proved_by_asking_again)
{
	struct rig *r = serving_get(100000, "");
	unsigned tries = 0;

	while (!transfer_over(&r->t) && tries < 10) {
		say(r);
		hear_request(r, PACKET_RRQ);
		says(r, "DATA 1");
		wait_for_deadline(r);
		tries++;
	}
	ck_assert_uint_eq(tries, 3);
	done(r);
}
END_TEST

/* The server sends: blocks. */

START_TEST(every_size_ends_with_a_short_block)
{
	static const struct {
		size_t size;
		const char *data[4];
	} table[] = {
		{0, {"DATA 1(0)"}},
		{1, {"DATA 1(1)"}},
		{7, {"DATA 1(7)"}},
		{8, {"DATA 1", "DATA 2(0)"}},
		{9, {"DATA 1", "DATA 2(1)"}},
		{16, {"DATA 1", "DATA 2", "DATA 3(0)"}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rig *r = serving_get(table[i].size, "blksize=8");

		say(r);
		for (unsigned block = 0; block < 4 && table[i].data[block]; block++) {
			hear_ack(r, block);
			says(r, table[i].data[block]);
			runs(r);
		}
		hear_ack(r, (unsigned)table[i].size / 8 + 1);
		over(r, TRANSFER_DONE);
		ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, table[i].size);
		done(r);
	}
}
END_TEST

START_TEST(payload_is_the_file)
{
	struct rig *r = sending(20, "blksize=8 windowsize=4", MONO_MS);
	struct run run;

	wait_for_deadline(r);
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	ck_assert_uint_eq(run.seg, 12);
	ck_assert_uint_eq(run.len, 12 + 12 + 8);
	ck_assert_uint_eq(run_count(&run), 3);
	ck_assert_mem_eq(run.buf + 4, r->file.bytes, 8);
	ck_assert_mem_eq(run.buf + 16, r->file.bytes + 8, 8);
	ck_assert_mem_eq(run.buf + 28, r->file.bytes + 16, 4);
	done(r);
}
END_TEST

START_TEST(window_leaves_in_one_run)
{
	struct rig *r = serving_get(1000, "blksize=8 windowsize=5");
	struct run run;

	say(r);
	hear_ack(r, 0);
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	ck_assert_uint_eq(run_count(&run), 5);
	ck_assert_uint_eq(run.len, 5 * 12);
	ck_assert_uint_eq(r->file.reads, 1);
	transfer_sent(&r->t, 5, r->now);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(run_has_at_most_64_datagrams_and_fits_its_buffer)
{
	static const struct {
		const char *asked;
		size_t cap, first, second;
	} table[] = {
		{"blksize=8 windowsize=100", PACKET_MAX, 64, 36},
		{"blksize=8 windowsize=100", 12, 1, 1},
		{"blksize=8 windowsize=100", 35, 2, 2},
		{"blksize=1468 windowsize=60", PACKET_MAX, 44, 16},
		{"blksize=65464 windowsize=2", PACKET_MAX, 1, 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rig *r = serving_get(1000000, table[i].asked);
		struct run run;

		say(r);
		hear_ack(r, 0);
		r->cap = table[i].cap;
		ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
		ck_assert_uint_eq(run_count(&run), table[i].first);
		ck_assert_uint_le(run.len, r->cap);
		transfer_sent(&r->t, run_count(&run), r->now);
		ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
		ck_assert_uint_eq(run_count(&run), table[i].second);
		done(r);
	}
}
END_TEST

START_TEST(pull_without_sent_changes_nothing)
{
	struct rig *r = serving_get(100, "blksize=8 windowsize=4");
	struct run run;
	mono_t deadline;

	for (int i = 0; i < 3; i++)
		ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	says(r, "OACK blksize=8 windowsize=4");
	hear_ack(r, 0);
	deadline = transfer_deadline(&r->t);
	for (int i = 0; i < 3; i++) {
		ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
		ck_assert_uint_eq(run_count(&run), 4);
		transfer_sent(&r->t, 0, r->now);
	}
	ck_assert_uint_eq(r->t.result.datagrams, 1);
	ck_assert_uint_eq(r->t.result.resent, 0);
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	says(r, "DATA 1 DATA 2 DATA 3 DATA 4");
	done(r);
}
END_TEST

START_TEST(what_the_socket_did_not_take_is_pulled_again)
{
	struct rig *r = serving_get(100, "blksize=8 windowsize=4");
	struct run run;

	say(r);
	hear_ack(r, 0);
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	transfer_sent(&r->t, 1, r->now);
	says(r, "DATA 2 DATA 3 DATA 4");
	ck_assert_uint_eq(r->t.result.resent, 0);
	ck_assert_uint_eq(r->t.result.datagrams, 5);
	hear_ack(r, 4);
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	transfer_sent(&r->t, 3, r->now);
	/* An ACK of what did leave finds the rest still to be sent. */
	hear_ack(r, 7);
	says(r, "DATA 8 DATA 9 DATA 10 DATA 11");
	ck_assert_uint_eq(r->t.result.resent, 0);
	done(r);
}
END_TEST

START_TEST(sender_counts_what_it_sends_again)
{
	struct rig *r = sending(100, "blksize=8 windowsize=4", MONO_MS);

	wait_for_deadline(r);
	says(r, "DATA 1 DATA 2 DATA 3 DATA 4");
	ck_assert_uint_eq(r->t.result.resent, 4);
	ck_assert_uint_eq(r->t.result.datagrams, 9);
	done(r);
}
END_TEST

/* The server sends: ACKs. */

/* RFC 1123 section 4.2.3.1: the Sorcerer's Apprentice. */
START_TEST(duplicate_ack_never_causes_data)
{
	struct rig *r = sending(5000, "blksize=512", MONO_MS);

	for (int i = 0; i < 5; i++) {
		hear_ack(r, 0);
		says(r, "");
	}
	hear_ack(r, 1);
	says(r, "DATA 2");
	for (int i = 0; i < 5; i++) {
		hear_ack(r, 1);
		says(r, "");
	}
	/* Nor after a timeout: the block is out again already. */
	wait_for_deadline(r);
	says(r, "DATA 2");
	hear_ack(r, 1);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(duplicate_ack_in_a_window_never_causes_data)
{
	struct rig *r = sending(500, "blksize=8 windowsize=4", MONO_MS);

	hear_ack(r, 4);
	says(r, "DATA 5 DATA 6 DATA 7 DATA 8");
	for (int i = 0; i < 5; i++) {
		pass(r, 2 * MONO_MS);
		hear_ack(r, 4);
		says(r, "");
	}
	done(r);
}
END_TEST

START_TEST(ack_of_old_block_is_ignored)
{
	struct rig *r = sending(5000, "blksize=8 windowsize=4", MONO_MS);
	static const unsigned old[] = {0, 1, 3, 4, 5, 7};

	hear_ack(r, 4);
	say(r);
	hear_ack(r, 8);
	says(r, "DATA 9 DATA 10 DATA 11 DATA 12");
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		pass(r, 2 * MONO_MS);
		hear_ack(r, old[i]);
		says(r, "");
	}
	runs(r);
	done(r);
}
END_TEST

START_TEST(ack_from_the_future_is_ignored)
{
	struct rig *r = sending(5000, "blksize=8 windowsize=4", MONO_MS);
	static const unsigned future[] = {5, 6, 8, 100, 32767, 32768, 65535};
	mono_t deadline = transfer_deadline(&r->t);

	for (size_t i = 0; i < sizeof(future) / sizeof(future[0]); i++) {
		hear_ack(r, future[i]);
		says(r, "");
	}
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	hear_ack(r, 4);
	says(r, "DATA 5 DATA 6 DATA 7 DATA 8");
	done(r);
}
END_TEST

START_TEST(ack_of_a_block_that_did_not_leave_yet_is_ignored)
{
	struct rig *r = serving_get(5000, "blksize=8 windowsize=4");
	struct run run;

	say(r);
	hear_ack(r, 0);
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	transfer_sent(&r->t, 2, r->now);
	hear_ack(r, 3);
	says(r, "DATA 3 DATA 4");
	done(r);
}
END_TEST

START_TEST(sender_ignores_what_is_not_for_it)
{
	struct rig *r = sending(5000, "blksize=8 windowsize=4", MONO_MS);
	mono_t deadline = transfer_deadline(&r->t);

	hear_raw_data(r, 1, (const uint8_t *)"x", 1);
	hear_oack(r, "blksize=8");
	hear_request(r, PACKET_WRQ);
	says(r, "");
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	runs(r);
	done(r);
}
END_TEST

START_TEST(full_window_is_sent_after_each_ack_of_a_window)
{
	struct rig *r = sending(8 * 10, "blksize=8 windowsize=4", MONO_MS);

	hear_ack(r, 4);
	says(r, "DATA 5 DATA 6 DATA 7 DATA 8");
	hear_ack(r, 8);
	says(r, "DATA 9 DATA 10 DATA 11(0)");
	hear_ack(r, 11);
	over(r, TRANSFER_DONE);
	done(r);
}
END_TEST

/* RFC 7440 section 4. */
START_TEST(ack_inside_a_window_restarts_after_it)
{
	struct rig *r = sending(8 * 100, "blksize=8 windowsize=4", MONO_MS);

	pass(r, MONO_MS);
	hear_ack(r, 2);
	says(r, "DATA 3 DATA 4 DATA 5 DATA 6");
	ck_assert_uint_eq(r->t.result.resent, 2);
	done(r);
}
END_TEST

/* EDK2 sends one such ACK per packet out of order, and a restart for each would be a storm. */
START_TEST(restart_happens_at_most_once_per_round_trip)
{
	struct rig *r = sending(8 * 100, "blksize=8 windowsize=8", 10 * MONO_MS);

	pass(r, 10 * MONO_MS);
	hear_ack(r, 2);
	says(r, "DATA 3 DATA 4 DATA 5 DATA 6 DATA 7 DATA 8 DATA 9 DATA 10");
	pass(r, 1 * MONO_MS);
	hear_ack(r, 3);
	says(r, "DATA 11");
	pass(r, 1 * MONO_MS);
	hear_ack(r, 5);
	says(r, "DATA 12 DATA 13");
	pass(r, 10 * MONO_MS);
	hear_ack(r, 6);
	says(r, "DATA 7 DATA 8 DATA 9 DATA 10 DATA 11 DATA 12 DATA 13 DATA 14");
	done(r);
}
END_TEST

START_TEST(ack_that_moves_after_a_restart_saves_what_it_covers)
{
	struct rig *r = sending(8 * 100, "blksize=8 windowsize=8", 10 * MONO_MS);
	struct run run;

	pass(r, 10 * MONO_MS);
	hear_ack(r, 2);
	/* Two of the window have left when the receiver says that it kept the rest. */
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	transfer_sent(&r->t, 2, r->now);
	pass(r, MONO_MS);
	hear_ack(r, 8);
	says(r, "DATA 9 DATA 10 DATA 11 DATA 12 DATA 13 DATA 14 DATA 15 DATA 16");
	done(r);
}
END_TEST

START_TEST(timeout_sends_the_window_from_the_first_unacknowledged_block)
{
	struct rig *r = sending(8 * 100, "blksize=8 windowsize=4", MONO_MS);

	hear_ack(r, 4);
	say(r);
	wait_for_deadline(r);
	says(r, "DATA 5 DATA 6 DATA 7 DATA 8");
	hear_ack(r, 8);
	says(r, "DATA 9 DATA 10 DATA 11 DATA 12");
	done(r);
}
END_TEST

START_TEST(last_block_is_repeated_until_it_is_acknowledged)
{
	struct rig *r = sending(20, "blksize=8 windowsize=4", MONO_MS);

	hear_ack(r, 2);
	says(r, "DATA 3(4)");
	wait_for_deadline(r);
	says(r, "DATA 3(4)");
	wait_for_deadline(r);
	says(r, "DATA 3(4)");
	hear_ack(r, 3);
	over(r, TRANSFER_DONE);
	done(r);
}
END_TEST

START_TEST(timeout_before_the_deadline_does_nothing)
{
	struct rig *r = sending(2000, "", MONO_MS);
	mono_t left = transfer_deadline(&r->t) - r->now;

	pass(r, left - 1);
	says(r, "");
	pass(r, 1);
	says(r, "DATA 1");
	done(r);
}
END_TEST

/* Time. */

START_TEST(interval_before_any_sample_is_one_second_or_what_the_policy_says)
{
	struct rig *r = serving_get(2000, "blksize=8");
	struct rig *s = rig_new();

	ck_assert_int_eq(transfer_deadline(&r->t) - r->now, MONO_SEC);
	done(r);
	s->policy.first = 250 * MONO_MS;
	sim_store_source(&s->file, &s->store, 2000, 1, true);
	agree(s, "", false);
	transfer_serve_get(&s->t, &s->store, &s->granted, &s->terms, &s->policy, s->now);
	says(s, "DATA 1");
	ck_assert_int_eq(wait_for_deadline(s), 250 * MONO_MS);
	done(s);
}
END_TEST

START_TEST(interval_doubles_until_four_seconds_without_a_sample)
{
	static const mono_t expected[] = {1, 2, 4, 4, 4};
	struct rig *r = serving_get(2000, "blksize=8");

	r->policy.tries = 100;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		say(r);
		ck_assert_int_eq(wait_for_deadline(r), expected[i] * MONO_SEC);
	}
	done(r);
}
END_TEST

/* RFC 1123 section 4.2.3.3. */
START_TEST(interval_follows_the_round_trip)
{
	static const mono_t trips[] = {10 * MONO_US, MONO_MS, 30 * MONO_MS, 300 * MONO_MS};

	for (size_t i = 0; i < sizeof(trips) / sizeof(trips[0]); i++) {
		struct rig *r = sending(512 * 200, "", 0);
		mono_t interval;

		for (unsigned block = 1; block <= 60; block++) {
			pass(r, trips[i]);
			hear_ack(r, block);
			say(r);
		}
		interval = transfer_deadline(&r->t) - r->now;
		ck_assert_int_ge(interval, trips[i] + RETRANSMIT_SLACK);
		ck_assert_int_le(interval, trips[i] * 11 / 10 + RETRANSMIT_SLACK + MONO_MS);
		ck_assert_int_ge(transfer_rtt(&r->t), trips[i] * 9 / 10);
		ck_assert_int_le(transfer_rtt(&r->t), trips[i] * 11 / 10 + 1);
		done(r);
	}
}
END_TEST

START_TEST(interval_stays_above_a_peer_that_varies)
{
	struct rig *r = sending(512 * 200, "tsize=0", 45 * MONO_MS);

	for (unsigned block = 1; block <= 100; block++) {
		pass(r, block % 2 ? 10 * MONO_MS : 45 * MONO_MS);
		hear_ack(r, block);
		say(r);
	}
	ck_assert_int_ge(transfer_deadline(&r->t) - r->now, 80 * MONO_MS);
	ck_assert_uint_eq(r->t.result.resent, 0);
	done(r);
}
END_TEST

/* Karn: the answer to something that was sent twice says nothing about the round trip. */
START_TEST(answer_to_a_repeated_block_is_no_sample_and_back_off_stays)
{
	struct rig *r = sending(512 * 200, "", 0);
	mono_t rtt, interval;

	for (unsigned block = 1; block <= 20; block++) {
		pass(r, 10 * MONO_MS);
		hear_ack(r, block);
		say(r);
	}
	rtt = transfer_rtt(&r->t);
	interval = wait_for_deadline(r);
	says(r, "DATA 21");
	ck_assert_int_eq(transfer_deadline(&r->t) - r->now, 2 * interval);
	pass(r, 1);
	hear_ack(r, 21);
	ck_assert_int_eq(transfer_rtt(&r->t), rtt);
	ck_assert_int_eq(transfer_deadline(&r->t) - r->now, 2 * interval);
	says(r, "DATA 22");
	pass(r, 10 * MONO_MS);
	hear_ack(r, 22);
	ck_assert_int_le(transfer_deadline(&r->t) - r->now, interval + MONO_MS);
	done(r);
}
END_TEST

/* Restarts leave nothing to time; the interval must come down all the same, or one bad moment slows the whole file. */
START_TEST(answers_without_timeouts_take_back_off_down_step_by_step)
{
	struct rig *r = sending(8 * 400, "blksize=8 windowsize=4", 10 * MONO_MS);
	mono_t interval = transfer_deadline(&r->t) - r->now;

	wait_for_deadline(r);
	say(r);
	wait_for_deadline(r);
	say(r);
	ck_assert_int_ge(transfer_deadline(&r->t) - r->now, 4 * interval);
	for (unsigned block = 2; block <= 8; block += 2) {
		/* Inside the window, each more than a round trip after the last: each one restarts. */
		pass(r, 12 * MONO_MS);
		hear_ack(r, block);
		say(r);
	}
	ck_assert_int_le(transfer_deadline(&r->t) - r->now, interval + 20 * MONO_MS);
	done(r);
}
END_TEST

START_TEST(repeated_oack_is_no_sample)
{
	struct rig *r = serving_get(2000, "blksize=8");

	say(r);
	wait_for_deadline(r);
	says(r, "OACK blksize=8");
	pass(r, MONO_MS);
	hear_ack(r, 0);
	ck_assert_int_eq(transfer_rtt(&r->t), 0);
	say(r);
	pass(r, 7 * MONO_MS);
	hear_ack(r, 1);
	ck_assert_int_eq(transfer_rtt(&r->t), 7 * MONO_MS);
	done(r);
}
END_TEST

/* A client that was stopped for an hour took the answer for an hour's round trip, and would have waited as long again. */
START_TEST(answer_read_long_after_its_time_is_no_sample)
{
	struct rig *r = serving_get(512 * 100, "");

	say(r);
	r->now += 3600 * MONO_SEC;
	hear_ack(r, 1);
	say(r);
	ck_assert_int_eq(transfer_rtt(&r->t), 0);
	ck_assert_int_le(transfer_deadline(&r->t) - r->now, RETRANSMIT_MAX);
	done(r);
}
END_TEST

START_TEST(round_trip_that_outlasts_the_interval_is_learnt)
{
	struct rig *r = serving_get(512 * 100, "");
	unsigned resent_late = 0;

	/* Three seconds away: every answer comes after a timeout until back-off has made room for one sample. */
	for (unsigned block = 1; block <= 40; block++) {
		mono_t until = r->now + 3 * MONO_SEC;

		say(r);
		while (transfer_deadline(&r->t) <= until) {
			wait_for_deadline(r);
			say(r);
			resent_late += block > 10;
		}
		pass(r, until - r->now);
		hear_ack(r, block);
	}
	ck_assert_int_ge(transfer_rtt(&r->t), 2 * MONO_SEC);
	ck_assert_uint_eq(resent_late, 0);
	done(r);
}
END_TEST

/* RFC 2349: the interval is as agreed, to the letter. */
START_TEST(agreed_timeout_is_the_interval_without_back_off_or_estimate)
{
	static const struct {
		const char *asked;
		mono_t interval;
	} table[] = {
		{"timeout=1", MONO_SEC},
		{"timeout=5", 5 * MONO_SEC},
		{"timeout=255", 255 * MONO_SEC},
		{"utimeout=10000", 10 * MONO_MS},
		{"utimeout=1500000", 1500 * MONO_MS},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rig *r = serving_get(512 * 200, table[i].asked);

		say(r);
		ck_assert_int_eq(wait_for_deadline(r), table[i].interval);
		say(r);
		ck_assert_int_eq(wait_for_deadline(r), table[i].interval);
		say(r);
		for (unsigned block = 0; block <= 5; block++) {
			pass(r, MONO_MS);
			hear_ack(r, block);
			say(r);
		}
		for (int n = 0; n < 3; n++) {
			ck_assert_int_eq(wait_for_deadline(r), table[i].interval);
			says(r, "DATA 6");
		}
		done(r);
	}
}
END_TEST

START_TEST(proven_peer_is_given_up_30_s_after_the_last_progress)
{
	struct rig *r = sending(512 * 200, "", 10 * MONO_MS);
	mono_t progress;

	hear_ack(r, 1);
	progress = r->now;
	say(r);
	while (transfer_verdict(&r->t) == NULL) {
		mono_t before = r->now;

		wait_for_deadline(r);
		if (transfer_verdict(&r->t) == NULL) {
			ck_assert_int_lt(r->now - progress, 30 * MONO_SEC);
			says(r, "DATA 2");
		} else {
			ck_assert_int_ge(r->now - progress, 30 * MONO_SEC);
			ck_assert_int_lt(before - progress, 30 * MONO_SEC);
		}
		hear_ack(r, 1); /* it is alive, but that is no progress */
	}
	ended(r, TRANSFER_TIMED_OUT);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 512);
	/* It proved itself: tell it, once. */
	says(r, "ERROR 0");
	ck_assert(transfer_over(&r->t));
	done(r);
}
END_TEST

START_TEST(progress_starts_the_patience_over)
{
	struct rig *r = sending(512 * 200, "tsize=0", 10 * MONO_MS);

	for (unsigned block = 1; block <= 20; block++) {
		for (mono_t until = r->now + 25 * MONO_SEC; r->now < until;) {
			wait_for_deadline(r);
			runs(r);
			say(r);
		}
		hear_ack(r, block);
		say(r);
	}
	runs(r);
	done(r);
}
END_TEST

START_TEST(long_agreed_timeout_gets_four_intervals)
{
	struct rig *r = serving_get(512 * 200, "timeout=60");

	say(r);
	hear_ack(r, 0);
	say(r);
	for (int i = 0; i < 3; i++) {
		wait_for_deadline(r);
		runs(r);
		says(r, "DATA 1");
	}
	wait_for_deadline(r);
	ended(r, TRANSFER_TIMED_OUT);
	done(r);
}
END_TEST

START_TEST(only_progress_re_arms_the_senders_timer)
{
	struct rig *r = sending(5000, "blksize=8 windowsize=4", 10 * MONO_MS);
	mono_t deadline;

	hear_ack(r, 4);
	say(r);
	deadline = transfer_deadline(&r->t);
	pass(r, 5 * MONO_MS);
	hear_ack(r, 4);
	hear_ack(r, 3);
	hear_ack(r, 9);
	hear_ack(r, 40000);
	hear_request(r, PACKET_RRQ);
	hear_raw_data(r, 1, NULL, 0);
	says(r, "");
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	hear_ack(r, 5);
	ck_assert_int_gt(transfer_deadline(&r->t), deadline);
	done(r);
}
END_TEST

/* Block numbers. */

/* Brings a sender with blocks of 8 and windows of 64 to where `block` is the first it has not sent. */
static struct rig *sending_from(uint64_t block, size_t size, const char *asked)
{
	struct rig *r = sending(size, asked, MONO_MS);

	/* From a window that begins with 1 to one that begins with `block`: the first ACK covers what is left over. */
	for (uint64_t next = 1 + (block - 1) % 64; next < block; next += 64) {
		if (next > 1)
			hear_ack(r, (unsigned)(next - 1));
		say(r);
	}
	hear_ack(r, (unsigned)(block - 1));
	return r;
}

START_TEST(sender_goes_from_65535_to_0)
{
	struct rig *r = sending_from(65534, 8 * 65540, "blksize=8 windowsize=64");
	const char *said = say(r);

	ck_assert_str_eq(said, "DATA 65534 DATA 65535 DATA 0 DATA 1 DATA 2 DATA 3 DATA 4 DATA 5(0)");
	hear_ack(r, 65535);
	ck_assert_uint_eq(r->t.base, 65536);
	pass(r, 100 * MONO_MS);
	says(r, "DATA 0 DATA 1 DATA 2 DATA 3 DATA 4 DATA 5(0)");
	hear_ack(r, 1);
	runs(r);
	hear_ack(r, 65535);
	runs(r);
	hear_ack(r, 5);
	ended(r, TRANSFER_DONE);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 8 * 65540);
	done(r);
}
END_TEST

START_TEST(sender_goes_from_65535_to_1_where_agreed)
{
	struct rig *r = sending_from(65534, 8 * 65540, "blksize=8 windowsize=64 rollover=1");
	const char *said = say(r);

	ck_assert_str_eq(said, "DATA 65534 DATA 65535 DATA 1 DATA 2 DATA 3 DATA 4 DATA 5 DATA 6(0)");
	hear_ack(r, 0); /* no block has this number */
	says(r, "");
	hear_ack(r, 6);
	over(r, TRANSFER_DONE);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 8 * 65540);
	done(r);
}
END_TEST

START_TEST(sender_passes_the_wrap_many_times)
{
	static const char *const asked[] = {"windowsize=64 blksize=8", "windowsize=64 blksize=8 rollover=1"};

	for (int rolls = 0; rolls < 2; rolls++) {
		struct rig *r = sending(8 * 200000, asked[rolls], MONO_MS);
		uint64_t block = 64;

		while (transfer_verdict(&r->t) == NULL && block < 300000) {
			hear_ack(r, (unsigned)(rolls ? (block - 1) % 65535 + 1 : block & 0xffff));
			say(r);
			block = block + 64 < 200001 ? block + 64 : 200001;
		}
		over(r, TRANSFER_DONE);
		ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 8 * 200000);
		ck_assert_uint_eq(transfer_verdict(&r->t)->resent, 0);
		done(r);
	}
}
END_TEST

/* Brings a receiver of blocks of 8 to where `block` is the next in order, everything before acknowledged. */
static struct rig *receiving_from(uint64_t block, size_t size, const char *asked, bool rolls, bool seekable)
{
	struct rig *r = serving_put_to(size, asked, seekable);

	r->peer_rolls = rolls;
	say(r);
	for (uint64_t b = 1; b < block; b++) {
		hear_block(r, b);
		if (r->nbufs == 64)
			say(r);
	}
	say(r);
	ck_assert_uint_eq(r->t.base, block);
	return r;
}

START_TEST(receiver_goes_from_65535_to_0)
{
	struct rig *r = receiving_from(65535, 8 * 65537 + 1, "blksize=8", false, true);

	hear_block(r, 65535);
	says(r, "ACK 65535");
	hear_block(r, 65536);
	says(r, "ACK 0");
	hear_block(r, 65537);
	says(r, "ACK 1");
	hear_block(r, 65538);
	says(r, "ACK 2");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(receiver_goes_from_65535_to_1_where_agreed)
{
	struct rig *r = receiving_from(65535, 8 * 65537 + 1, "blksize=8 rollover=1", true, true);

	hear_block(r, 65535);
	says(r, "ACK 65535");
	hear_raw_data(r, 0, (const uint8_t *)"01234567", 8);
	says(r, "");
	hear_block(r, 65536);
	says(r, "ACK 1");
	hear_blocks(r, 65537, 65538);
	says(r, "ACK 3");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(receiver_in_lockstep_finds_out_that_65535_is_followed_by_1)
{
	struct rig *r = receiving_from(65535, 8 * 65537 + 1, "blksize=8", true, true);

	hear_block(r, 65535);
	says(r, "ACK 65535");
	hear_block(r, 65536);
	says(r, "ACK 1");
	hear_block(r, 65537);
	says(r, "ACK 2");
	hear_block(r, 65538);
	says(r, "ACK 3");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(receiver_told_that_it_is_0_does_not_believe_in_1)
{
	struct rig *r = receiving_from(65536, 8 * 65537 + 1, "blksize=8 rollover=0", true, true);

	hear_block(r, 65536);
	says(r, "");
	ck_assert_uint_eq(r->t.base, 65536);
	done(r);
}
END_TEST

/*
 * In a window, block 1 where 0 is due may only mean that 0 was lost. Once such blocks were kept as if it were so, and
 * stayed in the wrong place when it turned out otherwise.
 */
START_TEST(receiver_of_windows_finds_out_that_65535_is_followed_by_1)
{
	static const bool seekable[] = {true, false};

	for (int i = 0; i < 2; i++) {
		struct rig *r = receiving_from(65536, 8 * 65600 + 1, "blksize=8 windowsize=8", true, seekable[i]);

		for (int tries = 0; r->t.base == 65536 && tries < 8; tries++) {
			hear_blocks(r, 65536, 65536 + 7);
			say(r);
			while (r->t.base == 65536 && transfer_deadline(&r->t) < r->now + MONO_SEC) {
				wait_for_deadline(r);
				say(r);
			}
			pass(r, MONO_SEC);
		}
		ck_assert_uint_gt(r->t.base, 65536);
		for (uint64_t block = r->t.base; block <= 65601; block++) {
			hear_block(r, block);
			say(r);
		}
		ended(r, TRANSFER_DONE);
		file_is_right(r);
		done(r);
	}
}
END_TEST

START_TEST(receiver_of_windows_finds_out_even_if_the_file_ends_there)
{
	struct rig *r = receiving_from(65536, 8 * 65537 + 1, "blksize=8 windowsize=8", true, true);

	for (int tries = 0; transfer_verdict(&r->t) == NULL && tries < 20; tries++) {
		hear_blocks(r, 65536, 65538);
		say(r);
		if (transfer_verdict(&r->t) == NULL)
			wait_for_deadline(r);
	}
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(lost_block_0_is_not_taken_for_a_rollover_to_1)
{
	struct rig *r = receiving_from(65536, 8 * 65600 + 1, "blksize=8 windowsize=8", false, true);

	/* Its timer is longer than ours: several of ours pass before its window comes again, and 0 is lost twice. */
	for (int i = 0; i < 2; i++) {
		hear_blocks(r, 65537, 65543);
		say(r);
		for (int n = 0; n < 4; n++) {
			wait_for_deadline(r);
			says(r, "ACK 65535");
		}
	}
	hear_blocks(r, 65536, 65543);
	says(r, "ACK 7");
	hear_blocks(r, 65544, 65601);
	say(r);
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

/* The server receives. */

START_TEST(write_without_options_begins_with_ack_0)
{
	struct rig *r = serving_put(600, "");

	says(r, "ACK 0");
	hear_block(r, 1);
	says(r, "ACK 1");
	runs(r);
	hear_block(r, 2);
	says(r, "ACK 2");
	ended(r, TRANSFER_DONE);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 600);
	ck_assert_uint_eq(transfer_verdict(&r->t)->datagrams, 3);
	ck_assert_uint_eq(transfer_verdict(&r->t)->resent, 0);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(write_with_options_begins_with_oack)
{
	struct rig *r = serving_put(20, "blksize=8 tsize=20");

	says(r, "OACK blksize=8 tsize=20");
	hear_block(r, 1);
	says(r, "ACK 1");
	hear_blocks(r, 2, 3);
	says(r, "ACK 3");
	file_is_right(r);
	done(r);
}
END_TEST

/* Cisco repeats a WRQ after four seconds; "file exists" would be wrong. */
START_TEST(repeated_write_request_is_answered_again_until_data_comes)
{
	static const struct {
		const char *asked, *answer;
	} table[] = {{"", "ACK 0"}, {"blksize=8", "OACK blksize=8"}};

	for (size_t i = 0; i < 2; i++) {
		struct rig *r = serving_put(2000, table[i].asked);

		says(r, table[i].answer);
		hear_request(r, PACKET_WRQ);
		says(r, table[i].answer);
		hear_block(r, 1);
		says(r, "ACK 1");
		hear_request(r, PACKET_WRQ);
		says(r, "");
		done(r);
	}
}
END_TEST

START_TEST(lost_first_answer_to_a_write_is_repeated_and_three_tries_end_it)
{
	static const struct {
		const char *asked, *answer;
	} table[] = {{"", "ACK 0"}, {"blksize=8 windowsize=64", "OACK blksize=8 windowsize=64"}};

	for (size_t i = 0; i < 2; i++) {
		struct rig *r = serving_put(2000, table[i].asked);

		says(r, table[i].answer);
		ck_assert_int_eq(wait_for_deadline(r), MONO_SEC);
		says(r, table[i].answer);
		wait_for_deadline(r);
		says(r, table[i].answer);
		wait_for_deadline(r);
		over(r, TRANSFER_TIMED_OUT);
		file_is_undone(r);
		done(r);
	}
}
END_TEST

START_TEST(every_uploaded_size_arrives)
{
	static const size_t sizes[] = {0, 1, 7, 8, 9, 16, 24, 31, 32, 33, 64};
	static const char *const asked[] = {"blksize=8", "blksize=8 windowsize=4"};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t o = 0; o < 2; o++) {
			struct rig *r = receiving(sizes[i], asked[o]);
			char last[32];

			for (unsigned block = 1; block <= sizes[i] / 8; block++) {
				hear_block(r, block);
				say(r);
				runs(r);
			}
			hear_block(r, sizes[i] / 8 + 1);
			snprintf(last, sizeof(last), "ACK %zu", sizes[i] / 8 + 1);
			says(r, last);
			ended(r, TRANSFER_DONE);
			ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, sizes[i]);
			file_is_right(r);
			done(r);
		}
	}
}
END_TEST

START_TEST(repeated_data_is_acknowledged_again)
{
	struct rig *r = receiving(5000, "");

	hear_block(r, 1);
	says(r, "ACK 1");
	for (int i = 0; i < 3; i++) {
		hear_block(r, 1);
		says(r, "ACK 1");
		r->now += RETRANSMIT_SLACK;
	}
	hear_block(r, 2);
	says(r, "ACK 2");
	ck_assert_uint_eq(r->file.written, 1024);
	ck_assert_uint_eq(r->t.result.resent, 3);
	done(r);
}
END_TEST

/*
 * atftp answers each ACK with DATA: what came to it twice once would go to and fro twice to the end of the file, and
 * each time it sleeps for longer than our timer once more.
 */
START_TEST(a_sorcerers_apprentice_is_not_helped)
{
	struct rig *r = receiving(512 * 100, "");

	for (unsigned block = 1; block <= 20; block++) {
		char want[16];

		hear_block(r, block);
		snprintf(want, sizeof(want), "ACK %u", block);
		says(r, want);
		r->now += 100 * MONO_US;
		hear_block(r, block);
		says(r, block == 1 ? "ACK 1" : "");
		hear_block(r, block);
		says(r, "");
	}
	ck_assert_uint_eq(r->t.result.resent, 1);
	done(r);
}
END_TEST

START_TEST(data_older_than_the_last_ack_is_ignored)
{
	struct rig *r = receiving(5000, "");

	for (unsigned block = 1; block <= 4; block++) {
		hear_block(r, block);
		say(r);
	}
	hear_blocks(r, 1, 3);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(data_from_the_future_is_ignored_in_lockstep)
{
	struct rig *r = receiving(50000, "");

	hear_block(r, 1);
	says(r, "ACK 1");
	hear_block(r, 3);
	hear_block(r, 50);
	says(r, "");
	ck_assert_uint_eq(r->file.written, 512);
	done(r);
}
END_TEST

START_TEST(receiver_ignores_what_is_not_for_it)
{
	struct rig *r = receiving(5000, "blksize=8 windowsize=4");
	mono_t deadline = transfer_deadline(&r->t);

	hear_ack(r, 0);
	hear_ack(r, 1);
	hear_oack(r, "blksize=8");
	says(r, "");
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	runs(r);
	done(r);
}
END_TEST

START_TEST(receiver_acknowledges_at_the_windows_end)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");

	hear_block(r, 1);
	says(r, "");
	hear_blocks(r, 2, 3);
	says(r, "");
	hear_block(r, 4);
	says(r, "ACK 4");
	hear_blocks(r, 5, 8);
	says(r, "ACK 8");
	done(r);
}
END_TEST

START_TEST(windows_that_come_at_once_are_acknowledged_once)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 8);
	says(r, "ACK 8");
	done(r);
}
END_TEST

START_TEST(last_block_is_acknowledged_inside_a_window)
{
	struct rig *r = receiving(8 * 5 + 3, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 4);
	says(r, "ACK 4");
	hear_block(r, 5);
	says(r, "");
	hear_block(r, 6);
	says(r, "ACK 6");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(gap_is_acknowledged_once)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");

	hear_block(r, 1);
	hear_block(r, 3);
	says(r, "ACK 1");
	hear_blocks(r, 4, 8);
	says(r, "");
	hear_blocks(r, 3, 8);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(blocks_past_a_hole_are_kept_and_one_block_completes)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");

	hear_block(r, 1);
	hear_blocks(r, 3, 8);
	says(r, "ACK 1");
	hear_block(r, 2);
	says(r, "");
	ck_assert_uint_eq(r->file.written, 64);
	hear_blocks(r, 3, 8);
	says(r, "");
	hear_block(r, 9);
	says(r, "ACK 9"); /* the window's end, from where the sender went back */
	hear_blocks(r, 10, 101);
	say(r);
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

/* A sender that repeats the lost block alone waits for an ACK then. */
START_TEST(silence_behind_a_filled_hole_is_answered_soon_and_once)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");
	mono_t waited;

	for (uint64_t first = 1; first < 65; first += 8) {
		hear_blocks(r, first, first + 7);
		say(r);
		pass(r, MONO_MS);
	}
	hear_block(r, 65);
	hear_blocks(r, 67, 72);
	says(r, "ACK 65");
	hear_block(r, 66);
	says(r, "");
	waited = wait_for_deadline(r);
	says(r, "ACK 72");
	ck_assert_int_lt(waited, RETRANSMIT_SLACK);
	ck_assert_uint_eq(r->t.rt.tries, 0);
	waited = wait_for_deadline(r);
	says(r, "ACK 72");
	ck_assert_int_gt(waited, RETRANSMIT_SLACK);
	hear_blocks(r, 73, 101);
	say(r);
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

/* Its rate was used up for ten seconds: none of its deadlines has passed meanwhile, the one behind the early one neither. */
START_TEST(silence_behind_a_filled_hole_counts_from_when_it_may_send_again)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");

	for (uint64_t first = 1; first < 65; first += 8) {
		hear_blocks(r, first, first + 7);
		say(r);
		pass(r, MONO_MS);
	}
	hear_block(r, 65);
	hear_blocks(r, 67, 72);
	says(r, "ACK 65");
	hear_block(r, 66);
	says(r, "");
	r->now += 10 * MONO_SEC;
	transfer_delayed(&r->t, 10 * MONO_SEC);
	hear_block(r, 70); /* it came before, and makes the deadline an early one again */
	says(r, "");
	ck_assert_int_gt(wait_for_deadline(r), 0);
	says(r, "ACK 72");
	ck_assert_uint_eq(r->t.rt.tries, 0);
	ck_assert_int_gt(wait_for_deadline(r), RETRANSMIT_SLACK);
	says(r, "ACK 72");
	done(r);
}
END_TEST

/* Two seconds would be long, and 255 are possible. */
START_TEST(filled_hole_is_told_at_once_where_an_interval_is_agreed)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8 timeout=2");

	hear_block(r, 1);
	hear_blocks(r, 3, 6);
	says(r, "ACK 1");
	hear_block(r, 2);
	says(r, "ACK 6");
	done(r);
}
END_TEST

/* Where packets change places its ACK would make the sender go back for nothing; this one goes on from where we are. */
START_TEST(hole_filled_in_the_same_batch_takes_its_ack_along)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");

	for (uint64_t first = 1; first < 65; first += 8) {
		hear_blocks(r, first, first + 7);
		say(r);
		pass(r, MONO_MS);
	}
	hear_block(r, 65);
	hear_block(r, 67);
	hear_block(r, 66);
	says(r, "ACK 67");
	done(r);
}
END_TEST

START_TEST(hole_that_is_lost_again_is_named_again)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");

	hear_block(r, 1);
	hear_block(r, 3);
	hear_blocks(r, 5, 8);
	says(r, "ACK 1");
	hear_blocks(r, 2, 3);
	says(r, "");
	hear_blocks(r, 5, 8);
	says(r, "ACK 3");
	hear_blocks(r, 4, 10);
	says(r, "");
	hear_block(r, 11);
	says(r, "ACK 11");
	done(r);
}
END_TEST

START_TEST(last_block_past_a_hole_is_kept_too)
{
	struct rig *r = receiving(8 * 3 + 5, "blksize=8 windowsize=8");

	hear_blocks(r, 3, 4);
	says(r, "ACK 0");
	runs(r);
	hear_block(r, 1);
	says(r, "");
	hear_block(r, 2);
	says(r, "ACK 4");
	ended(r, TRANSFER_DONE);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 29);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(empty_last_block_past_a_hole_is_kept_too)
{
	struct rig *r = receiving(8 * 3, "blksize=8 windowsize=8");

	hear_blocks(r, 2, 4);
	says(r, "ACK 0");
	hear_block(r, 1);
	says(r, "ACK 4");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(block_past_the_window_is_ignored)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");

	hear_block(r, 5);
	hear_block(r, 60);
	says(r, "");
	ck_assert_uint_eq(r->file.written, 0);
	hear_blocks(r, 1, 4);
	says(r, "ACK 4");
	done(r);
}
END_TEST

START_TEST(forward_only_store_keeps_nothing_past_a_hole)
{
	struct rig *r = serving_put_to(8 * 20, "blksize=8 windowsize=8", false);

	say(r);
	hear_block(r, 1);
	hear_blocks(r, 3, 8);
	says(r, "ACK 1");
	ck_assert_uint_eq(r->file.written, 8);
	hear_block(r, 2);
	says(r, "");
	hear_blocks(r, 3, 9);
	says(r, "ACK 9");
	hear_blocks(r, 10, 21);
	say(r);
	ended(r, TRANSFER_DONE);
	ck_assert_uint_eq(r->file.written, 8 * 20);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(repeated_window_is_acknowledged_again_by_its_last_block)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 4);
	says(r, "ACK 4");
	hear_blocks(r, 1, 3);
	says(r, "");
	hear_block(r, 4);
	says(r, "ACK 4");
	done(r);
}
END_TEST

START_TEST(receivers_own_timer_repeats_its_ack)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 4);
	says(r, "ACK 4");
	hear_blocks(r, 5, 6);
	says(r, "");
	wait_for_deadline(r);
	says(r, "ACK 6");
	wait_for_deadline(r);
	says(r, "ACK 6");
	/* The window is counted from there. */
	hear_blocks(r, 7, 9);
	says(r, "");
	hear_block(r, 10);
	says(r, "ACK 10");
	done(r);
}
END_TEST

START_TEST(only_progress_re_arms_the_receivers_timer)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");
	mono_t deadline;

	hear_blocks(r, 1, 4);
	say(r);
	pass(r, MONO_MS);
	hear_blocks(r, 5, 8);
	say(r);
	deadline = transfer_deadline(&r->t);
	pass(r, MONO_MS);
	hear_blocks(r, 7, 8);
	hear_block(r, 10);
	hear_block(r, 50);
	hear_request(r, PACKET_WRQ);
	hear_ack(r, 8);
	say(r);
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	hear_block(r, 9);
	hear_blocks(r, 11, 14); /* until then it is shorter, see silence_behind_a_filled_hole */
	ck_assert_int_gt(transfer_deadline(&r->t), deadline);
	done(r);
}
END_TEST

START_TEST(silent_uploader_is_given_up_and_the_file_undone)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");
	mono_t progress;

	hear_blocks(r, 1, 6);
	progress = r->now;
	say(r);
	while (transfer_verdict(&r->t) == NULL) {
		wait_for_deadline(r);
		if (transfer_verdict(&r->t) == NULL)
			says(r, "ACK 6");
	}
	ended(r, TRANSFER_TIMED_OUT);
	ck_assert_int_ge(r->now - progress, 30 * MONO_SEC);
	ck_assert_int_le(r->now - progress, 35 * MONO_SEC);
	ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 48);
	says(r, "ERROR 0");
	file_is_undone(r);
	ck_assert_uint_eq(r->file.finishes, 0);
	done(r);
}
END_TEST

START_TEST(data_longer_than_the_block_size_ends_it)
{
	struct rig *r = receiving(8 * 100, "blksize=8");
	struct rig *s = getting(600, "");

	hear_raw_data(r, 1, (const uint8_t *)"012345678", 9);
	ended(r, TRANSFER_FAILED);
	says(r, "ERROR 4");
	ck_assert_uint_eq(r->file.written, 0);
	done(r);
	say(s);
	hear_raw_data(s, 1, s->scratch, 513);
	ended(s, TRANSFER_FAILED);
	says(s, "ERROR 4");
	ck_assert_uint_eq(s->file.written, 0);
	done(s);
}
END_TEST

/* A download that ended so was reported as complete, with bytes of the later blocks behind its end. */
START_TEST(blocks_behind_the_last_one_end_it)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=8");
	struct rig *s = receiving(8 * 100, "blksize=8 windowsize=8");

	hear_blocks(r, 3, 5);
	says(r, "ACK 0");
	hear_block(r, 1);
	says(r, "");
	hear_raw_data(r, 2, (const uint8_t *)"short", 5);
	says(r, "ERROR 4");
	ended(r, TRANSFER_FAILED);
	done(r);
	hear_block(s, 4);
	says(s, "ACK 0");
	hear_raw_data(s, 3, (const uint8_t *)"short", 5);
	says(s, "ERROR 4");
	ended(s, TRANSFER_FAILED);
	done(s);
}
END_TEST

START_TEST(blocks_of_one_batch_are_written_with_one_call)
{
	struct rig *r = receiving(8 * 1000, "blksize=8 windowsize=500");

	hear_blocks(r, 1, 100);
	ck_assert_uint_eq(r->file.writes, 0);
	says(r, "");
	ck_assert_uint_eq(r->file.writes, 1);
	ck_assert_uint_eq(r->file.written, 800);
	hear_blocks(r, 101, 101 + GATHER_MAX);
	says(r, "");
	ck_assert_uint_eq(r->file.writes, 3);
	ck_assert_uint_eq(r->file.written, 800 + 8 * (GATHER_MAX + 1));
	done(r);
}
END_TEST

START_TEST(two_transfers_share_a_receive_batch)
{
	struct rig *a = rig_new(), *b = rig_new();

	a->peer_size = 8 * 9;
	b->peer_size = 8 * 9 + 5;
	b->gather = a->gather;
	sim_store_sink(&a->file, &a->store, a->peer_size, true);
	sim_store_sink(&b->file, &b->store, b->peer_size, false);
	agree(a, "blksize=8 windowsize=16", true);
	agree(b, "blksize=8 windowsize=16", true);
	transfer_serve_put(&a->t, &a->store, a->gather, &a->granted, &a->terms, &a->policy, a->now);
	transfer_serve_put(&b->t, &b->store, b->gather, &b->granted, &b->terms, &b->policy, b->now);
	say(a);
	say(b);
	for (unsigned block = 1; block <= 10; block++) {
		hear_block(a, block);
		hear_block(b, block);
		if (block % 3 == 0) {
			/* Both are drained before either's buffers go. */
			struct run run;

			while (transfer_pull(&a->t, a->scratch, a->cap, &run, a->now))
				transfer_sent(&a->t, run_count(&run), a->now);
			say(b);
			say(a);
		}
	}
	say(a);
	say(b);
	ended(a, TRANSFER_DONE);
	ended(b, TRANSFER_DONE);
	file_is_right(a);
	file_is_right(b);
	done(b);
	done(a);
}
END_TEST

START_TEST(transfer_that_is_freed_leaves_nothing_in_the_batch)
{
	struct rig *r = receiving(8 * 100, "blksize=8 windowsize=16");

	hear_blocks(r, 1, 3);
	ck_assert_ptr_eq(r->own_gather.owner, &r->t);
	transfer_free(&r->t);
	ck_assert_ptr_null(r->own_gather.owner);
	ck_assert_uint_eq(r->file.closes, 1);
	forget_buffers(r);
	sim_store_free(&r->file);
	free(r);
}
END_TEST

/* The end of an upload. */

START_TEST(file_is_finished_before_the_last_ack_can_be_pulled)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=8");
	struct run run;

	hear_blocks(r, 1, 3);
	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	ck_assert(r->file.finished);
	ck_assert_uint_eq(r->file.written, 20);
	ck_assert_uint_eq(r->file.finishes, 1);
	says(r, "ACK 3");
	done(r);
}
END_TEST

START_TEST(lost_last_ack_is_repeated_for_a_repeated_last_block)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 3);
	says(r, "ACK 3");
	ended(r, TRANSFER_DONE);
	ck_assert(!transfer_over(&r->t));
	hear_block(r, 3);
	says(r, "ACK 3");
	hear_blocks(r, 1, 2);
	hear_block(r, 3);
	says(r, "ACK 3");
	ck_assert_uint_eq(r->file.finishes, 1);
	ck_assert_uint_eq(r->file.written, 20);
	done(r);
}
END_TEST

START_TEST(dallying_receiver_hears_nothing_but_the_last_block)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");
	mono_t deadline;

	hear_blocks(r, 1, 3);
	say(r);
	deadline = transfer_deadline(&r->t);
	pass(r, MONO_MS);
	hear_blocks(r, 1, 2);
	hear_raw_data(r, 4, NULL, 0);
	hear_ack(r, 3);
	hear_request(r, PACKET_WRQ);
	says(r, "");
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	ck_assert_uint_eq(r->file.written, 20);
	done(r);
}
END_TEST

START_TEST(dally_lasts_three_intervals_within_its_bounds)
{
	static const struct {
		const char *asked;
		mono_t expected;
	} table[] = {
		{"blksize=8", 1 * MONO_SEC},                  /* three of some 20 ms, but not below dally_min */
		{"blksize=8 timeout=2", 6 * MONO_SEC},
		{"blksize=8 timeout=20", 10 * MONO_SEC},      /* not above dally_max */
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rig *r = receiving(2, table[i].asked);

		pass(r, MONO_MS);
		hear_block(r, 1);
		says(r, "ACK 1");
		ended(r, TRANSFER_DONE);
		ck_assert_int_eq(wait_for_deadline(r), table[i].expected);
		ck_assert(transfer_over(&r->t));
		says(r, "");
		ck_assert_int_eq(transfer_deadline(&r->t), MONO_NEVER);
		done(r);
	}
}
END_TEST

START_TEST(dally_ends_although_the_last_block_never_stops_coming)
{
	struct rig *r = receiving(2, "blksize=8");
	mono_t from;

	pass(r, MONO_MS);
	hear_block(r, 1);
	says(r, "ACK 1");
	from = r->now;
	for (unsigned i = 0; i < 100 && !transfer_over(&r->t); i++) {
		pass(r, 900 * MONO_MS);
		if (transfer_over(&r->t))
			break;
		hear_block(r, 1);
		says(r, "ACK 1");
	}
	ck_assert(transfer_over(&r->t));
	ck_assert_int_ge(r->now - from, r->policy.give_up);
	ck_assert_int_le(r->now - from, r->policy.give_up + 3 * MONO_SEC);
	done(r);
}
END_TEST

START_TEST(error_while_dallying_is_still_success)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 3);
	say(r);
	hear_error(r, ERROR_UNDEFINED, "early terminate");
	says(r, "");
	ck_assert(transfer_over(&r->t));
	ck_assert_int_eq(transfer_deadline(&r->t), MONO_NEVER);
	ck_assert_int_eq(transfer_verdict(&r->t)->outcome, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(unreachable_while_dallying_is_still_success)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 3);
	say(r);
	transfer_unreachable(&r->t, ECONNREFUSED, r->now);
	says(r, "");
	ck_assert(transfer_over(&r->t));
	ck_assert_int_eq(transfer_verdict(&r->t)->outcome, TRANSFER_DONE);
	done(r);
}
END_TEST

/* Errors. */

/* EDK2 and others ask only to learn the size. */
START_TEST(error_after_the_oack_is_a_probe)
{
	static const unsigned codes[] = {ERROR_UNDEFINED, ERROR_OPTION};

	for (size_t i = 0; i < 2; i++) {
		struct rig *r = serving_get(20, "tsize=0");

		says(r, "OACK tsize=20");
		hear_error(r, codes[i], "User aborted the transfer");
		over(r, TRANSFER_PROBED);
		ck_assert_uint_eq(transfer_verdict(&r->t)->code, codes[i]);
		ck_assert_uint_eq(r->file.reads, 0);
		done(r);
	}
}
END_TEST

START_TEST(error_after_ack_0_is_no_probe)
{
	struct rig *r = sending(2000, "tsize=0", MONO_MS);

	hear_error(r, ERROR_UNDEFINED, "TFTP Aborted");
	over(r, TRANSFER_PEER_ERROR);
	done(r);
}
END_TEST

START_TEST(error_to_a_write_is_no_probe)
{
	struct rig *r = receiving(20, "blksize=8");

	hear_error(r, ERROR_OPTION, "");
	over(r, TRANSFER_PEER_ERROR);
	file_is_undone(r);
	done(r);
}
END_TEST

START_TEST(error_ends_every_state_and_is_never_answered)
{
	struct rig *all[6];

	all[0] = getting(100, "");
	all[1] = putting(100, "");
	all[2] = serving_get(100, "");
	all[3] = sending(100, "blksize=8 windowsize=4", MONO_MS);
	all[4] = receiving(100, "");
	all[5] = receiving(100, "blksize=8 windowsize=8");
	hear_blocks(all[5], 1, 8); /* with an ACK still to be pulled */
	for (int i = 0; i < 6; i++) {
		struct rig *r = all[i];

		if (i < 5)
			say(r);
		hear_error(r, ERROR_ACCESS, "no");
		over(r, TRANSFER_PEER_ERROR);
		ck_assert_uint_eq(transfer_verdict(&r->t)->code, ERROR_ACCESS);
		ck_assert_str_eq(transfer_verdict(&r->t)->text, "no");
		/* And then it is deaf. */
		hear_error(r, ERROR_ACCESS, "no");
		hear_ack(r, 1);
		hear_request(r, PACKET_RRQ);
		pass(r, 100 * MONO_SEC);
		says(r, "");
		ck_assert(!r->file.finished);
		done(r);
	}
}
END_TEST

START_TEST(peers_words_are_kept_and_cut)
{
	struct rig *r = serving_get(100, "");
	struct rig *s = serving_get(100, "");
	char text[300];

	memset(text, 'x', sizeof(text));
	text[299] = '\0';
	say(r);
	hear_error(r, 7, text);
	ck_assert_uint_eq(strlen(transfer_verdict(&r->t)->text), PACKET_TEXT_MAX - 1);
	done(r);
	say(s);
	hear_error(s, ERROR_DISK_FULL, "");
	ck_assert_str_eq(transfer_verdict(&s->t)->text, packet_error_text(ERROR_DISK_FULL));
	done(s);
}
END_TEST

START_TEST(failed_read_is_told_without_details)
{
	static const int errors[] = {-EIO, -ESTALE, STORE_SHRUNK};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct rig *r = sending(8 * 100, "blksize=8 windowsize=4", MONO_MS);

		r->file.read_error = errors[i];
		hear_ack(r, 4);
		says(r, "ERROR 0");
		ended(r, TRANSFER_FAILED);
		ck_assert_int_eq(transfer_verdict(&r->t)->store_error, errors[i]);
		ck_assert_uint_eq(transfer_verdict(&r->t)->bytes, 32);
		over(r, TRANSFER_FAILED);
		done(r);
	}
}
END_TEST

START_TEST(failed_write_becomes_an_error_the_peer_can_act_on)
{
	static const struct {
		int error;
		unsigned code;
	} table[] = {
		{-ENOSPC, ERROR_DISK_FULL},
		{-EDQUOT, ERROR_DISK_FULL},
		{-EFBIG, ERROR_DISK_FULL},
		{STORE_TOO_BIG, ERROR_DISK_FULL},
		{-EACCES, ERROR_ACCESS},
		{-EPERM, ERROR_ACCESS},
		{-EROFS, ERROR_ACCESS},
		{-EIO, ERROR_UNDEFINED},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (int way = 0; way < 3; way++) {
			struct rig *r = receiving(8 * 100, "blksize=8 windowsize=4");
			char expected[16];

			snprintf(expected, sizeof(expected), "ERROR %u", table[i].code);
			r->file.write_error = table[i].error;
			if (way == 0)
				hear_block(r, 1);       /* in order */
			else if (way == 1)
				hear_block(r, 3);       /* past a hole */
			else
				hear_blocks(r, 1, 4);   /* with an ACK due */
			says(r, expected);
			over(r, TRANSFER_FAILED);
			ck_assert_uint_eq(transfer_verdict(&r->t)->code, table[i].code);
			ck_assert_int_eq(transfer_verdict(&r->t)->store_error, table[i].error);
			ck_assert_uint_ne(strlen(transfer_verdict(&r->t)->text), 0);
			file_is_undone(r);
			ck_assert_uint_eq(r->file.finishes, 0);
			done(r);
		}
	}
}
END_TEST

START_TEST(failed_last_write_is_not_finished_or_acknowledged)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=8");

	r->file.write_error = -ENOSPC;
	hear_blocks(r, 1, 3);
	says(r, "ERROR 3");
	over(r, TRANSFER_FAILED);
	ck_assert_uint_eq(r->file.finishes, 0);
	done(r);
}
END_TEST

START_TEST(failed_finish_is_not_acknowledged)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=8");

	r->file.finish_error = -ENOSPC;
	hear_blocks(r, 1, 3);
	says(r, "ERROR 3");
	over(r, TRANSFER_FAILED);
	ck_assert_int_eq(transfer_verdict(&r->t)->store_error, -ENOSPC);
	file_is_undone(r);
	done(r);
}
END_TEST

START_TEST(error_is_not_counted_as_something_sent_again)
{
	struct rig *r = receiving(8 * 100, "blksize=8");

	hear_block(r, 1);
	says(r, "ACK 1");
	hear_block(r, 1);
	says(r, "ACK 1");
	ck_assert_uint_eq(r->t.result.resent, 1);
	transfer_cancel(&r->t, ERROR_UNDEFINED, "stop", r->now);
	says(r, "ERROR 0");
	ck_assert_uint_eq(transfer_verdict(&r->t)->resent, 1);
	ck_assert_uint_eq(transfer_verdict(&r->t)->datagrams, 4);
	done(r);
}
END_TEST

/* A store that asks for patience. */

START_TEST(reader_waits_for_its_store_and_goes_on_when_woken)
{
	struct rig *r = serving_get(8 * 3, "blksize=8");

	r->file.visible = 0;
	say(r);
	hear_ack(r, 0);
	says(r, "");
	ck_assert(transfer_blocked(&r->t));
	says(r, "");
	ck_assert_uint_eq(r->file.reads, 1);
	transfer_wake(&r->t, r->now);
	says(r, "");
	ck_assert_uint_eq(r->file.reads, 2);
	r->file.visible = 8;
	says(r, "");
	transfer_wake(&r->t, r->now);
	says(r, "DATA 1");
	ck_assert(!transfer_blocked(&r->t));
	r->file.visible = 24;
	hear_ack(r, 1);
	says(r, "DATA 2");
	done(r);
}
END_TEST

START_TEST(what_is_there_of_a_window_is_sent)
{
	struct rig *r = serving_get(8 * 20, "blksize=8 windowsize=4");

	r->file.visible = 16;
	say(r);
	hear_ack(r, 0);
	says(r, "DATA 1 DATA 2");
	ck_assert(transfer_blocked(&r->t));
	r->file.visible = 24;
	transfer_wake(&r->t, r->now);
	says(r, "DATA 3");
	r->file.visible = 160;
	transfer_wake(&r->t, r->now);
	says(r, "DATA 4");
	hear_ack(r, 4);
	says(r, "DATA 5 DATA 6 DATA 7 DATA 8");
	done(r);
}
END_TEST

START_TEST(slow_store_is_not_the_peers_silence)
{
	struct rig *r = serving_get(8 * 3, "blksize=8");
	struct rig *s = serving_get(2000, "");

	r->file.visible = 0;
	say(r);
	hear_ack(r, 0);
	for (int i = 0; i < 60; i++) {
		pass(r, MONO_SEC);
		says(r, "");
		runs(r);
	}
	r->file.visible = 24;
	transfer_wake(&r->t, r->now);
	says(r, "DATA 1");
	hear_ack(r, 1);
	says(r, "DATA 2");
	done(r);
	s->file.visible = 0;
	says(s, "");
	for (int i = 0; i < 60; i++) {
		pass(s, MONO_SEC);
		says(s, "");
		runs(s);
	}
	s->file.visible = 2000;
	transfer_wake(&s->t, s->now);
	says(s, "DATA 1");
	/* Only now does its patience begin. */
	for (int i = 0; i < 3; i++) {
		runs(s);
		wait_for_deadline(s);
		say(s);
	}
	over(s, TRANSFER_TIMED_OUT);
	done(s);
}
END_TEST

START_TEST(upload_is_acknowledged_when_the_store_is_done)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	r->file.finish_again = 2;
	hear_blocks(r, 1, 3);
	says(r, "");
	runs(r);
	/* Its peer is impatient; what it hears is silence, not a lie. */
	hear_block(r, 3);
	says(r, "");
	pass(r, 2 * MONO_SEC);
	says(r, "");
	transfer_wake(&r->t, r->now);
	says(r, "");
	runs(r);
	ck_assert_uint_eq(r->file.finishes, 2);
	transfer_wake(&r->t, r->now);
	ck_assert(r->file.finished);
	says(r, "ACK 3");
	ended(r, TRANSFER_DONE);
	hear_block(r, 3);
	says(r, "ACK 3");
	transfer_wake(&r->t, r->now);
	ck_assert_uint_eq(r->file.finishes, 3);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(store_that_fails_after_patience_is_told)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	r->file.finish_again = 1;
	hear_blocks(r, 1, 3);
	says(r, "");
	r->file.finish_error = -EDQUOT;
	transfer_wake(&r->t, r->now);
	says(r, "ERROR 3");
	over(r, TRANSFER_FAILED);
	done(r);
}
END_TEST

START_TEST(error_while_the_store_finishes_undoes_the_upload)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	r->file.finish_again = 1;
	hear_blocks(r, 1, 3);
	says(r, "");
	hear_error(r, ERROR_UNDEFINED, "stop");
	over(r, TRANSFER_PEER_ERROR);
	transfer_wake(&r->t, r->now);
	ck_assert_uint_eq(r->file.finishes, 1);
	file_is_undone(r);
	done(r);
}
END_TEST

/* Ending from our side. */

START_TEST(cancel_tells_the_peer_once)
{
	struct rig *all[4];

	all[0] = serving_get(100, "blksize=8");
	all[1] = sending(100, "blksize=8 windowsize=4", MONO_MS);
	all[2] = receiving(100, "");
	all[3] = receiving(100, "blksize=8 windowsize=8");
	hear_blocks(all[3], 1, 4);
	for (int i = 0; i < 4; i++) {
		struct rig *r = all[i];

		transfer_cancel(&r->t, ERROR_UNDEFINED, "server is going down", r->now);
		ended(r, TRANSFER_FAILED);
		ck_assert(!transfer_over(&r->t));
		says(r, "ERROR 0");
		over(r, TRANSFER_FAILED);
		ck_assert_str_eq(transfer_verdict(&r->t)->text, "server is going down");
		transfer_cancel(&r->t, ERROR_ACCESS, "again", r->now);
		says(r, "");
		ck_assert_str_eq(transfer_verdict(&r->t)->text, "server is going down");
		done(r);
	}
}
END_TEST

START_TEST(cancelled_client_without_an_answer_says_nothing)
{
	struct rig *r = getting(100, "");

	say(r);
	transfer_cancel(&r->t, ERROR_UNDEFINED, "interrupted", r->now);
	over(r, TRANSFER_FAILED);
	done(r);
}
END_TEST

START_TEST(cancel_does_not_touch_a_success)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 3);
	say(r);
	transfer_cancel(&r->t, ERROR_UNDEFINED, "server is going down", r->now);
	says(r, "");
	ended(r, TRANSFER_DONE);
	done(r);
}
END_TEST

START_TEST(closed_port_ends_it_at_once_and_in_silence)
{
	struct rig *all[5];

	all[0] = getting(100, "");
	all[1] = serving_get(100, "blksize=8");
	all[2] = sending(100, "blksize=8 windowsize=4", MONO_MS);
	all[3] = receiving(100, "");
	all[4] = receiving(100, "blksize=8 windowsize=8");
	hear_blocks(all[4], 1, 8);
	for (int i = 0; i < 5; i++) {
		struct rig *r = all[i];

		if (i < 4)
			say(r);
		transfer_unreachable(&r->t, ECONNREFUSED, r->now);
		over(r, TRANSFER_UNREACHABLE);
		ck_assert_uint_eq(transfer_verdict(&r->t)->code, ECONNREFUSED);
		file_is_undone(r);
		done(r);
	}
}
END_TEST

START_TEST(lost_route_ends_only_what_has_not_begun)
{
	struct rig *r = getting(100, "");
	struct rig *s = sending(100, "blksize=8", MONO_MS);

	say(r);
	transfer_unreachable(&r->t, EHOSTUNREACH, r->now);
	over(r, TRANSFER_UNREACHABLE);
	done(r);
	hear_ack(s, 1);
	say(s);
	transfer_unreachable(&s->t, EHOSTUNREACH, s->now);
	runs(s);
	hear_ack(s, 2);
	says(s, "DATA 3");
	done(s);
}
END_TEST

START_TEST(unreachable_peer_is_not_sent_the_error_that_waits)
{
	struct rig *r = sending(100, "blksize=8", MONO_MS);

	transfer_cancel(&r->t, ERROR_UNDEFINED, "stop", r->now);
	transfer_unreachable(&r->t, ECONNREFUSED, r->now);
	over(r, TRANSFER_FAILED);
	done(r);
}
END_TEST

START_TEST(abandoned_transfer_says_nothing)
{
	struct rig *r = sending(100, "blksize=8 windowsize=4", MONO_MS);

	transfer_abandon(&r->t, "replaced by a new request", r->now);
	over(r, TRANSFER_FAILED);
	ck_assert_str_eq(transfer_verdict(&r->t)->text, "replaced by a new request");
	done(r);
}
END_TEST

START_TEST(abandoned_upload_that_was_complete_stays_a_success)
{
	struct rig *r = receiving(20, "blksize=8 windowsize=4");

	hear_blocks(r, 1, 3);
	transfer_abandon(&r->t, "replaced by a new request", r->now);
	over(r, TRANSFER_DONE);
	done(r);
}
END_TEST

START_TEST(transfer_is_stale_after_a_second_without_progress)
{
	struct rig *r = serving_get(8 * 100, "blksize=8");

	say(r);
	r->now += 2 * MONO_SEC;
	ck_assert(!transfer_stale(&r->t, r->now)); /* its client has only lost our answer */
	hear_ack(r, 0);
	say(r);
	hear_ack(r, 1);
	say(r);
	ck_assert(!transfer_stale(&r->t, r->now + MONO_SEC - 1));
	ck_assert(transfer_stale(&r->t, r->now + MONO_SEC));
	done(r);
}
END_TEST

/* The client. */

START_TEST(request_is_byte_exact)
{
	static const uint8_t rrq[] = "\0\1file\0octet\0tsize\0" "0\0blksize\0" "1468\0windowsize\0" "16";
	static const uint8_t wrq[] = "\0\2file\0octet";
	struct rig *r = getting(100, "tsize=0 blksize=1468 windowsize=16");
	struct rig *s = putting(100, "");
	struct run run;

	ck_assert(transfer_pull(&r->t, r->scratch, r->cap, &run, r->now));
	ck_assert_uint_eq(run.len, sizeof(rrq));
	ck_assert_uint_eq(run_count(&run), 1);
	ck_assert_mem_eq(run.buf, rrq, sizeof(rrq));
	done(r);
	ck_assert(transfer_pull(&s->t, s->scratch, s->cap, &run, s->now));
	ck_assert_uint_eq(run.len, sizeof(wrq));
	ck_assert_mem_eq(run.buf, wrq, sizeof(wrq));
	done(s);
}
END_TEST

START_TEST(request_is_repeated_three_times_in_all)
{
	struct rig *r = getting(100, "tsize=0");

	says(r, "RRQ file octet tsize=0");
	ck_assert_int_eq(wait_for_deadline(r), MONO_SEC);
	says(r, "RRQ file octet tsize=0");
	ck_assert_int_eq(wait_for_deadline(r), 2 * MONO_SEC);
	says(r, "RRQ file octet tsize=0");
	wait_for_deadline(r);
	over(r, TRANSFER_TIMED_OUT);
	ck_assert_uint_eq(transfer_verdict(&r->t)->datagrams, 3);
	ck_assert_uint_eq(transfer_verdict(&r->t)->resent, 2);
	done(r);
}
END_TEST

START_TEST(fixed_interval_of_the_policy_holds_from_the_first_request_on)
{
	struct rig *r = rig_new();

	r->policy.fixed = 700 * MONO_MS;
	sim_store_source(&r->file, &r->store, 5000, 1, true);
	transfer_put(&r->t, &r->store, &r->request, &r->policy, r->now);
	says(r, "WRQ file octet");
	ck_assert_int_eq(wait_for_deadline(r), 700 * MONO_MS);
	says(r, "WRQ file octet");
	ck_assert_int_eq(wait_for_deadline(r), 700 * MONO_MS);
	say(r);
	hear_ack(r, 0);
	says(r, "DATA 1");
	pass(r, MONO_MS);
	hear_ack(r, 1);
	says(r, "DATA 2");
	ck_assert_int_eq(wait_for_deadline(r), 700 * MONO_MS);
	done(r);
}
END_TEST

START_TEST(name_that_fits_no_datagram_fails_without_a_word)
{
	struct rig *r = rig_new();
	char *name = malloc(70000);

	ck_assert_ptr_nonnull(name);
	memset(name, 'n', 69999);
	name[69999] = '\0';
	r->request.name = name;
	sim_store_sink(&r->file, &r->store, 0, true);
	transfer_get(&r->t, &r->store, r->gather, &r->request, &r->policy, r->now);
	says(r, "");
	over(r, TRANSFER_FAILED);
	done(r);
	free(name);
}
END_TEST

START_TEST(get_with_options_confirms_with_ack_0)
{
	struct rig *r = getting(20, "tsize=0 blksize=16 windowsize=4");

	says(r, "RRQ file octet tsize=0 blksize=16 windowsize=4");
	hear_oack(r, "tsize=20 blksize=8 windowsize=2");
	says(r, "ACK 0");
	hear_block(r, 1);
	says(r, "");
	hear_block(r, 2);
	says(r, "ACK 2");
	hear_block(r, 3);
	says(r, "ACK 3");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(put_with_options_begins_with_data_1_and_a_window)
{
	struct rig *r = putting(8 * 100, "tsize=800 blksize=8 windowsize=4");

	says(r, "WRQ file octet tsize=800 blksize=8 windowsize=4");
	hear_oack(r, "tsize=800 blksize=8 windowsize=3");
	says(r, "DATA 1 DATA 2 DATA 3");
	done(r);
}
END_TEST

START_TEST(oack_of_some_options_leaves_the_others_at_their_defaults)
{
	struct rig *r = getting(600, "tsize=0 blksize=1468 windowsize=16");

	say(r);
	hear_oack(r, "tsize=600");
	says(r, "ACK 0");
	hear_block(r, 1);
	says(r, "ACK 1");
	hear_block(r, 2);
	says(r, "ACK 2");
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(repeated_oack_is_confirmed_again_until_data_comes)
{
	struct rig *r = getting(8 * 100, "blksize=8");

	say(r);
	hear_oack(r, "blksize=8");
	says(r, "ACK 0");
	hear_oack(r, "blksize=8");
	says(r, "ACK 0");
	hear_block(r, 1);
	says(r, "ACK 1");
	hear_oack(r, "blksize=8");
	says(r, "");
	done(r);
}
END_TEST

START_TEST(lost_ack_0_is_repeated_by_the_clients_own_timer)
{
	struct rig *r = getting(8 * 100, "blksize=8");

	say(r);
	pass(r, MONO_MS);
	hear_oack(r, "blksize=8");
	says(r, "ACK 0");
	ck_assert_int_lt(wait_for_deadline(r), MONO_SEC);
	says(r, "ACK 0");
	done(r);
}
END_TEST

START_TEST(repeated_oack_does_not_make_a_put_send_again)
{
	struct rig *r = putting(8 * 100, "blksize=8 windowsize=4");

	say(r);
	hear_oack(r, "blksize=8 windowsize=4");
	says(r, "DATA 1 DATA 2 DATA 3 DATA 4");
	hear_oack(r, "blksize=8 windowsize=4");
	says(r, "");
	done(r);
}
END_TEST

/* RFC 2347: a server that knows no options answers as if there were none. */
START_TEST(plain_data_1_to_a_request_with_options_is_plain_tftp)
{
	struct rig *r = getting(1024, "tsize=0 blksize=1468 windowsize=16");

	say(r);
	hear_block(r, 1);
	says(r, "ACK 1");
	hear_block(r, 2);
	says(r, "ACK 2");
	hear_block(r, 3);
	says(r, "ACK 3");
	ended(r, TRANSFER_DONE);
	file_is_right(r);
	done(r);
}
END_TEST

START_TEST(plain_ack_0_to_a_request_with_options_is_plain_tftp)
{
	struct rig *r = putting(1024, "tsize=1024 blksize=1468 windowsize=16");

	say(r);
	hear_ack(r, 0);
	says(r, "DATA 1");
	hear_ack(r, 1);
	says(r, "DATA 2");
	hear_ack(r, 2);
	says(r, "DATA 3(0)");
	hear_ack(r, 3);
	over(r, TRANSFER_DONE);
	done(r);
}
END_TEST

START_TEST(empty_file_is_got_with_one_ack)
{
	struct rig *r = getting(0, "");

	say(r);
	hear_block(r, 1);
	says(r, "ACK 1");
	ended(r, TRANSFER_DONE);
	ck_assert(r->file.finished);
	done(r);
}
END_TEST

START_TEST(oack_that_was_not_asked_for_ends_it)
{
	static const struct {
		const char *offered, *oack;
	} table[] = {
		{"", "blksize=8"},
		{"tsize=0", "blksize=8"},
		{"blksize=8", "blksize=9"},
		{"blksize=8", "blksize=7"},
		{"blksize=8", "blksize=0"},
		{"blksize=8", "blksize=eight"},
		{"blksize=8", "blksize=-8"},
		{"blksize=1468 windowsize=4", "blksize=1468 windowsize=5"},
		{"windowsize=4", "windowsize=0"},
		{"timeout=5", "timeout=4"},
		{"timeout=5", "timeout=6"},
		{"utimeout=500000", "utimeout=400000"},
		{"tsize=0", "tsize=none"},
		{"blksize=8", "multicast=224.0.0.1"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (int put = 0; put < 2; put++) {
			struct rig *r = put ? putting(100, table[i].offered) : getting(100, table[i].offered);

			say(r);
			hear_oack(r, table[i].oack);
			ended(r, TRANSFER_FAILED);
			says(r, "ERROR 8");
			over(r, TRANSFER_FAILED);
			ck_assert_uint_eq(transfer_verdict(&r->t)->code, ERROR_OPTION);
			file_is_undone(r);
			done(r);
		}
	}
}
END_TEST

START_TEST(client_takes_no_other_first_answer)
{
	struct rig *r = getting(5000, "blksize=8");
	struct rig *s = putting(5000, "blksize=8");
	mono_t deadline = transfer_deadline(&r->t);

	say(r);
	hear_raw_data(r, 2, r->scratch, 512);
	hear_raw_data(r, 0, r->scratch, 512);
	hear_ack(r, 0);
	hear_ack(r, 1);
	says(r, "");
	runs(r);
	ck_assert_int_eq(transfer_deadline(&r->t), deadline);
	done(r);
	say(s);
	hear_ack(s, 1);
	hear_raw_data(s, 1, s->scratch, 512);
	says(s, "");
	runs(s);
	done(s);
}
END_TEST

START_TEST(client_ignores_requests)
{
	struct rig *r = getting(5000, "");

	say(r);
	hear_request(r, PACKET_RRQ);
	says(r, "");
	hear_block(r, 1);
	says(r, "ACK 1");
	hear_request(r, PACKET_RRQ);
	says(r, "");
	done(r);
}
END_TEST

START_TEST(refused_request_ends_with_the_servers_words)
{
	struct rig *r = getting(100, "tsize=0");

	say(r);
	hear_error(r, ERROR_NOT_FOUND, "no such file, did you mean file.txt?");
	over(r, TRANSFER_PEER_ERROR);
	ck_assert_uint_eq(transfer_verdict(&r->t)->code, ERROR_NOT_FOUND);
	ck_assert_str_eq(transfer_verdict(&r->t)->text, "no such file, did you mean file.txt?");
	file_is_undone(r);
	done(r);
}
END_TEST

/* The timer and the answer may come at one wake-up: what is answered need not be asked again. */
START_TEST(request_is_not_repeated_once_it_was_answered)
{
	struct rig *r = putting(5000, "blksize=512");
	struct rig *s = putting(5000, "");
	struct rig *u = getting(5000, "");

	say(r);
	wait_for_deadline(r);
	hear_oack(r, "blksize=512");
	says(r, "DATA 1");
	done(r);
	say(s);
	wait_for_deadline(s);
	hear_ack(s, 0);
	says(s, "DATA 1");
	done(s);
	say(u);
	wait_for_deadline(u);
	hear_block(u, 1);
	says(u, "ACK 1");
	done(u);
}
END_TEST

START_TEST(oack_is_not_repeated_once_it_was_confirmed)
{
	struct rig *r = serving_get(5000, "blksize=512");
	struct rig *s = serving_get(5000, "blksize=512");

	say(r);
	wait_for_deadline(r);
	hear_ack(r, 0);
	says(r, "DATA 1");
	done(r);
	say(s);
	hear_request(s, PACKET_RRQ);
	hear_ack(s, 0);
	says(s, "DATA 1");
	done(s);
}
END_TEST

START_TEST(agreed_timeout_holds_for_the_client_too)
{
	struct rig *r = getting(5000, "timeout=3");

	say(r);
	hear_oack(r, "timeout=3");
	says(r, "ACK 0");
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(wait_for_deadline(r), 3 * MONO_SEC);
		says(r, "ACK 0");
	}
	done(r);
}
END_TEST

UNIT_MAIN("transfer",
	read_without_options_begins_with_data_1, read_with_options_begins_with_oack_and_waits_for_ack_0,
	repeated_request_before_ack_0_is_answered_with_the_oack_again,
	repeated_plain_request_is_answered_with_data_1_again, repeated_request_does_not_move_the_timer,
	unproven_peer_gets_one_oack_per_try_and_three_tries, unproven_peer_gets_one_block_per_try_and_three_tries,
	unproven_peer_is_not_proved_by_asking_again,
	every_size_ends_with_a_short_block, payload_is_the_file, window_leaves_in_one_run,
	run_has_at_most_64_datagrams_and_fits_its_buffer, pull_without_sent_changes_nothing,
	what_the_socket_did_not_take_is_pulled_again, sender_counts_what_it_sends_again,
	duplicate_ack_never_causes_data, duplicate_ack_in_a_window_never_causes_data, ack_of_old_block_is_ignored,
	ack_from_the_future_is_ignored, ack_of_a_block_that_did_not_leave_yet_is_ignored, sender_ignores_what_is_not_for_it,
	full_window_is_sent_after_each_ack_of_a_window, ack_inside_a_window_restarts_after_it,
	restart_happens_at_most_once_per_round_trip, ack_that_moves_after_a_restart_saves_what_it_covers,
	timeout_sends_the_window_from_the_first_unacknowledged_block, last_block_is_repeated_until_it_is_acknowledged,
	timeout_before_the_deadline_does_nothing,
	interval_before_any_sample_is_one_second_or_what_the_policy_says,
	interval_doubles_until_four_seconds_without_a_sample, interval_follows_the_round_trip,
	interval_stays_above_a_peer_that_varies, answer_to_a_repeated_block_is_no_sample_and_back_off_stays,
	answers_without_timeouts_take_back_off_down_step_by_step, repeated_oack_is_no_sample,
	 answer_read_long_after_its_time_is_no_sample,
    round_trip_that_outlasts_the_interval_is_learnt,
	agreed_timeout_is_the_interval_without_back_off_or_estimate, proven_peer_is_given_up_30_s_after_the_last_progress,
	progress_starts_the_patience_over, long_agreed_timeout_gets_four_intervals, only_progress_re_arms_the_senders_timer,
	sender_goes_from_65535_to_0, sender_goes_from_65535_to_1_where_agreed, sender_passes_the_wrap_many_times,
	receiver_goes_from_65535_to_0, receiver_goes_from_65535_to_1_where_agreed,
	receiver_in_lockstep_finds_out_that_65535_is_followed_by_1, receiver_told_that_it_is_0_does_not_believe_in_1,
	receiver_of_windows_finds_out_that_65535_is_followed_by_1,
	receiver_of_windows_finds_out_even_if_the_file_ends_there, lost_block_0_is_not_taken_for_a_rollover_to_1,
	write_without_options_begins_with_ack_0, write_with_options_begins_with_oack,
	repeated_write_request_is_answered_again_until_data_comes,
	lost_first_answer_to_a_write_is_repeated_and_three_tries_end_it, every_uploaded_size_arrives,
	repeated_data_is_acknowledged_again, a_sorcerers_apprentice_is_not_helped, data_older_than_the_last_ack_is_ignored,
	data_from_the_future_is_ignored_in_lockstep, receiver_ignores_what_is_not_for_it,
	receiver_acknowledges_at_the_windows_end, windows_that_come_at_once_are_acknowledged_once,
	last_block_is_acknowledged_inside_a_window, gap_is_acknowledged_once,
	blocks_past_a_hole_are_kept_and_one_block_completes,
	silence_behind_a_filled_hole_is_answered_soon_and_once,
	silence_behind_a_filled_hole_counts_from_when_it_may_send_again, hole_that_is_lost_again_is_named_again,
	filled_hole_is_told_at_once_where_an_interval_is_agreed, hole_filled_in_the_same_batch_takes_its_ack_along,
	last_block_past_a_hole_is_kept_too, empty_last_block_past_a_hole_is_kept_too, block_past_the_window_is_ignored,
	forward_only_store_keeps_nothing_past_a_hole, repeated_window_is_acknowledged_again_by_its_last_block,
	receivers_own_timer_repeats_its_ack, only_progress_re_arms_the_receivers_timer,
	silent_uploader_is_given_up_and_the_file_undone, data_longer_than_the_block_size_ends_it,
    blocks_behind_the_last_one_end_it,
	blocks_of_one_batch_are_written_with_one_call, two_transfers_share_a_receive_batch,
	transfer_that_is_freed_leaves_nothing_in_the_batch,
	file_is_finished_before_the_last_ack_can_be_pulled, lost_last_ack_is_repeated_for_a_repeated_last_block,
	dallying_receiver_hears_nothing_but_the_last_block, dally_lasts_three_intervals_within_its_bounds,
	dally_ends_although_the_last_block_never_stops_coming,
	error_while_dallying_is_still_success, unreachable_while_dallying_is_still_success,
	error_after_the_oack_is_a_probe, error_after_ack_0_is_no_probe, error_to_a_write_is_no_probe,
	error_ends_every_state_and_is_never_answered, peers_words_are_kept_and_cut, failed_read_is_told_without_details,
	failed_write_becomes_an_error_the_peer_can_act_on, failed_last_write_is_not_finished_or_acknowledged,
	failed_finish_is_not_acknowledged, error_is_not_counted_as_something_sent_again,
	reader_waits_for_its_store_and_goes_on_when_woken, what_is_there_of_a_window_is_sent,
	slow_store_is_not_the_peers_silence, upload_is_acknowledged_when_the_store_is_done,
	store_that_fails_after_patience_is_told, error_while_the_store_finishes_undoes_the_upload,
	cancel_tells_the_peer_once, cancelled_client_without_an_answer_says_nothing, cancel_does_not_touch_a_success,
	closed_port_ends_it_at_once_and_in_silence, lost_route_ends_only_what_has_not_begun,
	unreachable_peer_is_not_sent_the_error_that_waits, abandoned_transfer_says_nothing,
	abandoned_upload_that_was_complete_stays_a_success, transfer_is_stale_after_a_second_without_progress,
	request_is_byte_exact, request_is_repeated_three_times_in_all,
	fixed_interval_of_the_policy_holds_from_the_first_request_on, name_that_fits_no_datagram_fails_without_a_word,
	get_with_options_confirms_with_ack_0, put_with_options_begins_with_data_1_and_a_window,
	oack_of_some_options_leaves_the_others_at_their_defaults, repeated_oack_is_confirmed_again_until_data_comes,
	lost_ack_0_is_repeated_by_the_clients_own_timer, repeated_oack_does_not_make_a_put_send_again,
	plain_data_1_to_a_request_with_options_is_plain_tftp, plain_ack_0_to_a_request_with_options_is_plain_tftp,
	empty_file_is_got_with_one_ack, oack_that_was_not_asked_for_ends_it, client_takes_no_other_first_answer,
	client_ignores_requests, refused_request_ends_with_the_servers_words,
	request_is_not_repeated_once_it_was_answered, oack_is_not_repeated_once_it_was_confirmed,
	agreed_timeout_holds_for_the_client_too)
