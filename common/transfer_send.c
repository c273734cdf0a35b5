/*
 * The sending side: a window of DATA out, ACKs in (RFC 1350, 7440).
 *
 * An ACK moves `base`; a timeout, or an ACK inside the window, sets `next` back to it; send_pull fills what the window
 * allows from there. A duplicate ACK moves nothing and so can never cause DATA: no Sorcerer's Apprentice (RFC 1123
 * section 4.2.3.1).
 */
#include "transfer_int.h"

void send_start(struct transfer *t, mono_t now)
{
	(void)now;
	t->want = WANT_NOTHING; /* what was to be repeated has just been answered */
	t->state = TRANSFER_SEND;
	t->base = t->next = t->high = 1;
}

static void complete(struct transfer *t, mono_t now)
{
	transfer_end(t, TRANSFER_DONE, 0, "", now);
}

/*
 * RFC 7440 section 4: an ACK inside the window means that the block after it was lost; go back to it. At most once per
 * round trip: some receivers (EDK2) send such an ACK for every packet out of order, and on a path that reorders each
 * of them would set off a whole window again.
 */
static void go_back(struct transfer *t, mono_t now)
{
	if (t->restarted != MONO_NEVER && now - t->restarted < t->rt.srtt)
		return;
	t->restarted = now;
	t->next = t->base;
	t->timed_at = MONO_NEVER;
}

void send_packet(struct transfer *t, const struct packet *p, mono_t now)
{
	uint64_t ahead;

	if (p->op != PACKET_ACK)
		return;
	/* From the last block acknowledged: 0 is a duplicate, more than what is out there is old or nonsense. */
	ahead = transfer_distance(t, t->base - 1, p->block);
	if (ahead == 0 || ahead > t->high - t->base)
		return;
	t->base += ahead;
	if (t->timed_at != MONO_NEVER && t->base > t->timed)
		transfer_timed(t, now);
	retransmit_relax(&t->rt);
	transfer_moved(t, now);
	if (t->next < t->base)
		t->next = t->base;
	if (t->final != 0 && t->base > t->final)
		complete(t, now);
	else if (t->base < t->next)
		go_back(t, now);
}

void send_timeout(struct transfer *t, mono_t now)
{
	t->next = t->base;
	t->restarted = now;
	t->blocked = false;
}

/* The first block that may not be sent yet. */
uint64_t send_limit(const struct transfer *t)
{
	uint64_t limit = t->base + t->terms.windowsize;

	return t->final != 0 && limit > t->final + 1 ? t->final + 1 : limit;
}

bool send_pull(struct transfer *t, uint8_t *scratch, size_t cap, struct run *run, mono_t now)
{
	struct iovec iov[TRANSFER_SEGMENTS];
	size_t blksize = t->terms.blksize, seg = blksize + PACKET_HEADER;
	uint64_t limit = send_limit(t);
	size_t n;
	ssize_t got;

	if (t->next >= limit || t->blocked)
		return false;
	n = limit - t->next < TRANSFER_SEGMENTS ? (size_t)(limit - t->next) : TRANSFER_SEGMENTS;
	if (n > cap / seg)
		n = cap / seg;
	if (n == 0)
		return false;
	/* The payloads go straight to their places between the headers: one read for the whole run. */
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){.iov_base = scratch + i * seg + PACKET_HEADER, .iov_len = blksize};
	got = t->store.ops->read(t->store.arg, (t->next - 1) * blksize, iov, (int)n);
	/* A slow source need not fill the window: what one block holds can go. */
	if (got == STORE_AGAIN && n > 1) {
		n = 1;
		got = t->store.ops->read(t->store.arg, (t->next - 1) * blksize, iov, 1);
	}
	if (got == STORE_AGAIN) {
		t->blocked = true;
		return false;
	}
	if (got < 0) {
		transfer_fail_store(t, (int)got, now);
		return false;
	}
	if ((size_t)got < n * blksize) {
		n = (size_t)got / blksize + 1;
		t->final = t->next + n - 1;
		t->final_len = (size_t)got % blksize;
	}
	for (size_t i = 0; i < n; i++)
		packet_data_header(scratch + i * seg, transfer_wire(t, t->next + i));
	run->seg = seg;
	run->len = n * PACKET_HEADER + (size_t)got;
	return true;
}

void send_sent(struct transfer *t, size_t n, mono_t now)
{
	uint64_t after = t->next + n;

	if (t->next < t->high)
		t->result.resent += (after < t->high ? after : t->high) - t->next;
	if (after > t->high) {
		transfer_start_timing(t, after - 1, now);
		t->high = after;
	}
	t->next = after;
}
