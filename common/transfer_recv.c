/*
 * The receiving side: DATA in, ACKs out (RFC 1350, 7440).
 *
 * Blocks in order are gathered and written with one call per batch. Blocks past a hole but inside the window are kept,
 * where the store can write anywhere: a sender that repeats the lost block alone is done with it. An ACK goes out at the
 * window's end, once for each gap, for the last block, and when our own timer fires, which is early behind a filled hole.
 */
#include "transfer_int.h"

#include <string.h>

/* Whoever repeats DATA because its ACK was lost has waited for longer, see again(). */
#define AGAIN_APART RETRANSMIT_SLACK

#define ROLL_PATIENCE 4 /* a 0 that is lost five times in a row while 1 arrives each time is taken for a 1 */

void recv_start(struct transfer *t)
{
	t->state = TRANSFER_RECV;
	t->base = 1;
	t->acked = 0;
}

/* Writing. */

void recv_flush(struct transfer *t, mono_t now)
{
	struct gather *g = t->gather;
	int n = g->n, err;

	g->owner = NULL;
	g->n = 0;
	if (n == 0)
		return;
	err = t->store.ops->write(t->store.arg, g->off, g->iov, n);
	if (err < 0)
		transfer_fail_store(t, err, now);
}

static uint64_t offset(const struct transfer *t, uint64_t block)
{
	return (block - 1) * t->terms.blksize;
}

/* Put the block next in order behind those that wait. */
static void gather_block(struct transfer *t, const struct packet *p, mono_t now)
{
	struct gather *g = t->gather;
	uint64_t off = offset(t, t->base);

	if (g->owner != NULL && (g->owner != t || g->end != off || g->n == GATHER_MAX))
		recv_flush(g->owner, now);
	if (t->state != TRANSFER_RECV || p->len == 0)
		return;
	if (g->owner == NULL) {
		g->owner = t;
		g->off = g->end = off;
		g->n = 0;
	}
	g->iov[g->n++] = (struct iovec){.iov_base = (void *)p->data, .iov_len = p->len};
	g->end += p->len;
}

/* Holes. */

static bool is_held(const struct transfer *t, uint64_t block)
{
	return t->held[block % TRANSFER_HELD / 64] >> block % 64 & 1;
}

static void set_held(struct transfer *t, uint64_t block, bool on)
{
	uint64_t bit = (uint64_t)1 << block % 64;
	uint64_t *word = &t->held[block % TRANSFER_HELD / 64];

	*word = on ? *word | bit : *word & ~bit;
}

static bool any_held(const struct transfer *t)
{
	uint64_t any = 0;

	for (size_t i = 0; i < TRANSFER_HELD / 64; i++)
		any |= t->held[i];
	return any != 0;
}

static bool any_held_past(const struct transfer *t, uint64_t block)
{
	for (uint64_t b = block + 1; b < t->base + TRANSFER_HELD; b++)
		if (is_held(t, b))
			return true;
	return false;
}

/*
 * A block that is shorter than the others is the last. Where some came from behind it the file is not as long as what
 * was written already, and nobody can say which of the two is right.
 */
static bool ends_the_file(struct transfer *t, const struct packet *p, uint64_t block, mono_t now)
{
	if (any_held_past(t, block)) {
		transfer_fail(t, ERROR_ILLEGAL, "there are blocks behind the last one", now);
		return false;
	}
	t->final = block;
	t->final_len = p->len;
	return true;
}

static void want_ack(struct transfer *t, enum transfer_how how)
{
	t->acked = t->base - 1;
	transfer_want(t, WANT_ACK, how);
}

/* Which block the wire numbers after 65535 mean is not known before the first of them came in order, or was agreed. */
static bool is_ambiguous(const struct transfer *t, uint64_t block)
{
	return block > 65536 && t->base <= 65536 && !t->terms.rollover && !t->terms.rollover_known;
}

static void keep_block(struct transfer *t, const struct packet *p, uint64_t block, mono_t now)
{
	struct iovec iov = {.iov_base = (void *)p->data, .iov_len = p->len};
	int err;

	if (!t->store.seekable || is_ambiguous(t, block) || block - t->base >= TRANSFER_HELD || is_held(t, block))
		return;
	err = p->len == 0 ? 0 : t->store.ops->write(t->store.arg, offset(t, block), &iov, 1);
	if (err < 0) {
		transfer_fail_store(t, err, now);
		return;
	}
	set_held(t, block, true);
	if (p->len < t->terms.blksize)
		ends_the_file(t, p, block, now);
}

/* A block from behind a hole: tell the sender once where it begins. */
static void past_hole(struct transfer *t, const struct packet *p, uint64_t block, mono_t now)
{
	keep_block(t, p, block, now);
	if (t->state != TRANSFER_RECV || t->gap_acked)
		return;
	t->gap_acked = true;
	want_ack(t, HOW_UNTIMED);
}

/* Blocks in order. */

static mono_t dally_time(const struct transfer *t)
{
	mono_t time = 3 * retransmit_interval(&t->rt);

	if (time < t->policy->dally_min)
		return t->policy->dally_min;
	return time > t->policy->dally_max ? t->policy->dally_max : time;
}

/* Everything is written: make it durable, then acknowledge. What was acknowledged exists. */
void recv_finish(struct transfer *t, mono_t now)
{
	int err = t->store.ops->finish == NULL ? 0 : t->store.ops->finish(t->store.arg);

	if (err == STORE_AGAIN) {
		t->state = TRANSFER_FINISH;
		t->want = WANT_NOTHING;
		t->deadline = MONO_NEVER;
		return;
	}
	if (err < 0) {
		transfer_fail_store(t, err, now);
		return;
	}
	transfer_end(t, TRANSFER_DONE, 0, "", now);
	t->state = TRANSFER_DALLY;
	t->deadline = now + dally_time(t);
	want_ack(t, HOW_FRESH);
}

static void complete(struct transfer *t, mono_t now)
{
	if (t->gather->owner == t)
		recv_flush(t, now);
	if (t->state == TRANSFER_RECV)
		recv_finish(t, now);
}

static void in_order(struct transfer *t, const struct packet *p, mono_t now)
{
	bool jumped = false, blind;

	gather_block(t, p, now);
	if (t->state != TRANSFER_RECV)
		return;
	if (p->len < t->terms.blksize && !ends_the_file(t, p, t->base, now))
		return;
	t->base++;
	while (is_held(t, t->base) && (t->final == 0 || t->base <= t->final)) {
		set_held(t, t->base++, false);
		jumped = true;
	}
	transfer_timed(t, now);
	transfer_moved(t, now);
	t->roll_hint = 0;
	t->roll_seen = false;
	if (t->final != 0 && t->base > t->final) {
		complete(t, now);
		return;
	}
	/*
	 * The sender went back to the hole and is on its way through all that was held: no ACK is due, and some that have one
	 * all the same go back once more, and slow down (atftpd). A block from behind another hole says that this was lost again.
	 */
	t->gap_acked = false;
	if (jumped && t->want == WANT_ACK)
		t->acked = t->base - 1; /* the hole's ACK has not left yet */
	if (jumped)
		t->unsure = t->base - 1 + t->terms.windowsize;
	/* Where nobody knows which silence is odd, as with an agreed interval, it is said at once. */
	blind = jumped && retransmit_prompt(&t->rt) == MONO_NEVER;
	if (blind)
		t->gap_acked = any_held(t);
	if (blind || t->base - 1 - t->acked >= t->terms.windowsize)
		want_ack(t, jumped ? HOW_UNTIMED : HOW_FRESH);
	t->late = t->deadline;
}

/*
 * But one that repeats only what was lost waits for an ACK now, and one may count its window otherwise: until the sender
 * has come past that, a silence that is odd is answered without the time that a lost packet would have; once for each
 * hole, for one that is only slow goes back again.
 */
static void be_prompt(struct transfer *t, mono_t now)
{
	mono_t prompt = retransmit_prompt(&t->rt);

	if (t->base <= t->unsure && t->state == TRANSFER_RECV)
		t->deadline = prompt < t->late - now ? now + prompt : t->late;
}

bool recv_nudge(struct transfer *t)
{
	if (t->base > t->unsure)
		return false;
	t->unsure = 0;
	t->timed_at = MONO_NEVER;
	t->gap_acked = any_held(t);
	want_ack(t, HOW_AGAIN);
	return true;
}

/*
 * Where nobody said which number follows 65535, a sender that goes to 1 shows itself while 0 is due: it sends the number
 * `windowsize`, which a window that begins with 0 does not hold. If the file ends before that, only patience can tell
 * it from one whose 0 was lost: 1 came again, without 0, in each of several intervals of ours.
 */
static bool rolls_to_one(struct transfer *t, const struct packet *p)
{
	if (t->terms.rollover || t->terms.rollover_known || t->base != 65536)
		return false;
	if (p->block == t->terms.windowsize)
		return true;
	if (p->block != 1)
		return false;
	t->roll_seen = true;
	return t->roll_hint >= ROLL_PATIENCE;
}

/*
 * DATA that has been acknowledged came once more: the ACK of this window was lost. But there are senders (atftp) that
 * answer each ACK with DATA, also one that comes twice, and ours comes twice when the sender slept for longer than our
 * timer. If we did the same every block would go to and fro as often as that has happened, to the end of the file: the
 * Sorcerer's Apprentice needs both sides.
 */
static void again(struct transfer *t, mono_t now)
{
	if (t->reacked != 0 && now - t->reacked < AGAIN_APART)
		return;
	t->reacked = now;
	transfer_want(t, WANT_ACK, HOW_AGAIN);
}

void recv_packet(struct transfer *t, const struct packet *p, mono_t now)
{
	uint32_t ahead;

	/* The OACK came again: our ACK 0 was lost. */
	if (p->op == PACKET_OACK && t->client && t->base == 1) {
		transfer_want(t, WANT_ACK, HOW_AGAIN);
		return;
	}
	if (p->op != PACKET_DATA)
		return;
	t->proved = true;
	if (p->len > t->terms.blksize) {
		transfer_fail(t, ERROR_ILLEGAL, "the block is longer than the agreed size", now);
		return;
	}
	if (rolls_to_one(t, p))
		t->terms.rollover = true;
	ahead = transfer_distance(t, t->base, p->block);
	if (ahead == 0)
		in_order(t, p, now);
	else if (ahead < t->terms.windowsize && (t->final == 0 || t->base + ahead <= t->final))
		past_hole(t, p, t->base + ahead, now);
	else if (p->block == transfer_wire(t, t->acked) && t->acked > 0)
		again(t, now);
	be_prompt(t, now);
}

void recv_timeout(struct transfer *t, mono_t now)
{
	(void)now;
	if (t->roll_seen)
		t->roll_hint++;
	t->roll_seen = false;
	if (!t->client && t->base == 1 && t->granted.n > 0) {
		transfer_want(t, WANT_OACK, HOW_AGAIN);
		return;
	}
	t->gap_acked = any_held(t);
	want_ack(t, HOW_AGAIN);
}

void dally_packet(struct transfer *t, const struct packet *p, mono_t now)
{
	if (p->op != PACKET_DATA || p->block != transfer_wire(t, t->final))
		return;
	transfer_want(t, WANT_ACK, HOW_AGAIN);
	/* A peer that never believes us is not waited for for ever. */
	if (now - t->result.ended < t->policy->give_up)
		t->deadline = now + dally_time(t);
}
