/*
 * A whole transfer, in any of the four roles, fed with arbitrary datagrams at arbitrary times over a store that
 * fails, waits and is watched. The input is a setting and then steps; after each step what must always hold is
 * checked: datagrams per datagram are bounded, a peer that has not proved itself gets one at a time, an ERROR is
 * never answered, a repeated ACK never causes DATA, what is sent is what the file holds, what was finished is
 * whole, a verdict stays, and silence ends it.
 *
 *	role and store, size (2), length of the options, options, then steps: op, and what that op needs
 */
#include "fuzz.h"
#include "transfer.h"

#include <errno.h>

enum role { SERVE_GET, SERVE_PUT, GET, PUT };
enum op { RAW, DATA, ACK, WAIT, EXPIRE, STORE, MEDDLE, SOCKET, OPS };

#define LIMIT 65536u /* most bytes of a file */

struct fuzz_store {
	uint32_t size;
	bool seekable;
	int error;            /* returned by what is called next, 0: none */
	unsigned again;       /* finish says STORE_AGAIN this many times */
	uint64_t next;        /* forward-only sink: where the next write must be */
	bool finished;
	bool foreign;         /* DATA that we did not make may have been written */
	unsigned closes;
	uint8_t written[LIMIT / 8];
};

struct fuzz_session {
	struct transfer t;
	struct gather gather;
	struct fuzz_store store;
	struct option_set offered;
	struct transfer_request request;
	enum role role;
	mono_t now;
	bool full;            /* the socket takes nothing */
	unsigned part;        /* or only so many datagrams at a time, 0: all */
	bool dry;             /* everything has been sent that was wanted */
	enum transfer_outcome outcome;
	unsigned emitted, emitted_data;
	uint8_t scratch[PACKET_MAX + 1];
};

static uint8_t content(uint64_t off)
{
	return (uint8_t)((off * 2654435761u) >> 13 ^ off);
}

/* The store. */

static ssize_t source_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct fuzz_store *s = arg;
	size_t got = 0;

	FUZZ_MUST(n > 0 && s->closes == 0);
	if (s->error != 0)
		return s->error;
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < iov[i].iov_len && off + got < s->size; k++, got++)
			((uint8_t *)iov[i].iov_base)[k] = content(off + got);
	return (ssize_t)got;
}

static int sink_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct fuzz_store *s = arg;

	FUZZ_MUST(n > 0 && s->closes == 0 && !s->finished);
	FUZZ_MUST(s->seekable || off == s->next);
	if (s->error != 0)
		return s->error == STORE_AGAIN ? -EIO : s->error;
	for (int i = 0; i < n; i++) {
		const uint8_t *bytes = iov[i].iov_base;

		FUZZ_MUST(iov[i].iov_len > 0);
		if (off + iov[i].iov_len > s->size)
			return STORE_TOO_BIG;
		for (size_t k = 0; k < iov[i].iov_len; k++, off++) {
			FUZZ_MUST(s->foreign || bytes[k] == content(off));
			s->written[off / 8] |= (uint8_t)(1u << off % 8);
		}
	}
	s->next = off;
	return 0;
}

static int sink_finish(void *arg)
{
	struct fuzz_store *s = arg;

	FUZZ_MUST(s->closes == 0 && !s->finished);
	if (s->error != 0)
		return s->error;
	if (s->again > 0) {
		s->again--;
		return STORE_AGAIN;
	}
	s->finished = true;
	return 0;
}

static void store_close(void *arg)
{
	struct fuzz_store *s = arg;

	FUZZ_MUST(s->closes++ == 0);
}

static const struct store_ops source_ops = {.read = source_read, .close = store_close};
static const struct store_ops sink_ops = {.write = sink_write, .finish = sink_finish, .close = store_close};

/* What must always hold. */

static bool sends(const struct fuzz_session *s)
{
	return s->role == SERVE_GET || s->role == PUT;
}

/* A run of DATA holds the file's bytes at its place, full blocks but for the last one. */
static void check_data(const struct fuzz_session *s, const struct run *run)
{
	uint64_t block = s->t.next;

	for (size_t at = 0; at < run->len; at += run->seg, block++) {
		size_t len = run->len - at < run->seg ? run->len - at : run->seg;
		uint64_t off = (block - 1) * s->t.terms.blksize;

		FUZZ_MUST(len >= PACKET_HEADER && run->buf[at] == 0 && run->buf[at + 1] == PACKET_DATA);
		FUZZ_MUST(len - PACKET_HEADER == s->t.terms.blksize || off + len - PACKET_HEADER == s->store.size);
		for (size_t k = PACKET_HEADER; k < len; k++)
			FUZZ_MUST(run->buf[at + k] == content(off + k - PACKET_HEADER));
	}
}

static void check_verdict(struct fuzz_session *s)
{
	const struct transfer_result *r = transfer_verdict(&s->t);

	FUZZ_MUST(s->outcome == TRANSFER_RUNNING || (r != NULL && r->outcome == s->outcome));
	if (r == NULL)
		return;
	s->outcome = r->outcome;
	FUZZ_MUST(memchr(r->text, '\0', sizeof(r->text)) != NULL);
	if (sends(s)) {
		FUZZ_MUST(r->bytes <= s->store.size && (r->outcome != TRANSFER_DONE || r->bytes == s->store.size));
		return;
	}
	FUZZ_MUST((r->outcome == TRANSFER_DONE) == s->store.finished);
	for (uint64_t off = 0; s->store.finished && off < s->store.size; off++)
		FUZZ_MUST((s->store.written[off / 8] >> off % 8 & 1) == (off < r->bytes));
}

static void drain(struct fuzz_session *s)
{
	struct transfer *t = &s->t;
	struct run run;

	s->emitted = s->emitted_data = 0;
	s->dry = false;
	/* As the pump does: what this batch brought is written before its buffers go, room to send or not. */
	if (s->full && s->gather.owner == t)
		transfer_pull(t, s->scratch, PACKET_MAX, &run, s->now);
	while (!s->full && transfer_pull(t, s->scratch, PACKET_MAX, &run, s->now)) {
		size_t n = run_count(&run);

		FUZZ_MUST(run.len > 0 && run.seg > 0 && run.len <= PACKET_MAX && n <= TRANSFER_SEGMENTS);
		if (run.buf[1] == PACKET_DATA) {
			check_data(s, &run);
			s->emitted_data += (unsigned)n;
		}
		if (s->part > 0 && n > s->part)
			n = s->part;
		transfer_sent(t, n, s->now);
		s->emitted += (unsigned)n;
		FUZZ_MUST(s->emitted <= t->terms.windowsize + 2);
	}
	s->dry = !s->full;
	FUZZ_MUST(s->gather.owner == NULL);
	check_verdict(s);
}

/* Steps. */

static void datagram(struct fuzz_session *s, const uint8_t *buf, size_t len)
{
	bool proved = s->t.proved, was_dry = s->dry, repeated;
	struct packet p;

	if (packet_decode(&p, buf, len) != PACKET_OK)
		return;
	repeated = p.op == PACKET_ACK && s->t.state == TRANSFER_SEND && !s->t.terms.rollover &&
	    p.block == (uint16_t)(s->t.base - 1);
	transfer_input(&s->t, &p, s->now);
	drain(s);
	if (!was_dry)
		return;
	FUZZ_MUST(p.op != PACKET_ERROR || s->emitted == 0);
	FUZZ_MUST(!repeated || s->emitted == 0);
	if (!sends(s))
		FUZZ_MUST(s->emitted <= 1);
	if (!proved && !s->t.proved)
		FUZZ_MUST(s->emitted <= 1);
}

static void raw(struct fuzz_session *s, struct fuzz_input *in)
{
	size_t len = fuzz_u8(in);
	uint8_t *copy;

	if (len > in->left)
		len = in->left;
	copy = fuzz_copy(in->p, len);
	in->p += len;
	in->left -= len;
	s->store.foreign = true;
	datagram(s, copy, len);
	free(copy);
}

/* DATA near the block that is due: a whole one, or as long as the input says. */
static void data(struct fuzz_session *s, struct fuzz_input *in)
{
	int64_t block = (int64_t)s->t.base + (int8_t)fuzz_u8(in);
	uint8_t how = fuzz_u8(in);
	size_t len = s->t.terms.blksize;
	uint8_t *buf;

	if (how & 0x80)
		len = len * (how & 0x7f) / 0x7f;
	if (how == 0x7f)
		len++;
	if (block < 0 || len > PACKET_MAX - PACKET_HEADER)
		return;
	buf = malloc(len + PACKET_HEADER);
	if (buf == NULL)
		abort();
	packet_data_header(buf, (uint16_t)block);
	for (size_t i = 0; i < len; i++)
		buf[PACKET_HEADER + i] = content((uint64_t)(block - 1) * s->t.terms.blksize + i);
	datagram(s, buf, len + PACKET_HEADER);
	free(buf);
}

static void ack(struct fuzz_session *s, struct fuzz_input *in)
{
	uint8_t buf[PACKET_HEADER];
	int8_t delta = (int8_t)fuzz_u8(in);

	packet_ack(buf, sizeof(buf), (uint16_t)(s->t.next - 1 + (uint64_t)delta));
	datagram(s, buf, sizeof(buf));
}

static void expire(struct fuzz_session *s)
{
	mono_t at = transfer_deadline(&s->t);
	bool proved = s->t.proved;

	if (at == MONO_NEVER)
		return;
	if (at > s->now)
		s->now = at;
	transfer_timeout(&s->t, s->now);
	drain(s);
	if (!proved)
		FUZZ_MUST(s->emitted <= 1);
}

static void change_store(struct fuzz_session *s, uint8_t how)
{
	static const int errors[] = {0, STORE_AGAIN, -EIO, -ENOSPC, -ENOMEM, STORE_SHRUNK, STORE_TOO_BIG, 0};

	s->store.error = errors[how & 7];
	s->store.again = how >> 3 & 3;
	if (how & 0x80) {
		transfer_wake(&s->t, s->now);
		drain(s);
	}
}

static void meddle(struct fuzz_session *s, uint8_t how)
{
	static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EACCES};

	switch (how & 3) {
	case 0:
		transfer_cancel(&s->t, how >> 2 & 15, "cancelled", s->now);
		break;
	case 1:
		transfer_unreachable(&s->t, errors[how >> 2 & 3], s->now);
		break;
	case 2:
		if (transfer_stale(&s->t, s->now))
			transfer_abandon(&s->t, "it has started over", s->now);
		break;
	case 3:
		s->now += MONO_SEC;
		break;
	}
	drain(s);
}

static void step(struct fuzz_session *s, struct fuzz_input *in)
{
	uint8_t how;

	switch ((enum op)(fuzz_u8(in) % OPS)) {
	case RAW:
		raw(s, in);
		break;
	case DATA:
		data(s, in);
		break;
	case ACK:
		ack(s, in);
		break;
	case WAIT:
		s->now += fuzz_u16(in) * MONO_MS;
		transfer_timeout(&s->t, s->now);
		drain(s);
		break;
	case EXPIRE:
		expire(s);
		break;
	case STORE:
		change_store(s, fuzz_u8(in));
		break;
	case MEDDLE:
		meddle(s, fuzz_u8(in));
		break;
	case SOCKET:
		how = fuzz_u8(in);
		s->full = how & 1;
		s->part = how >> 1;
		drain(s);
		break;
	case OPS:
		break;
	}
}

/* The frame. */

static const struct transfer_policy policy = {
	.give_up = 3 * MONO_SEC,
	.tries = 3,
	.dally_min = MONO_SEC,
	.dally_max = 8 * MONO_SEC,
};

static void serve(struct fuzz_session *s, const struct store *store, const struct packet *request)
{
	static const struct option_limits limits = {
		.blksize = BLKSIZE_MAX,
		.windowsize = WINDOWSIZE_MAX,
		.window_bytes = 65536,
	};
	bool put = s->role == SERVE_PUT;
	struct option_set asked, granted;
	struct option_terms terms;

	options_parse(&asked, request);
	options_accept(&asked, put, &limits, s->store.size, &granted, &terms);
	if (put)
		transfer_serve_put(&s->t, store, &s->gather, &granted, &terms, &policy, s->now);
	else
		transfer_serve_get(&s->t, store, &granted, &terms, &policy, s->now);
}

/* The options are offered as a server would read them. */
static void ask(struct fuzz_session *s, const struct store *store, const struct packet *offer)
{
	options_parse(&s->offered, offer);
	if (s->offered.present & OPTION_BIT(OPTION_WINDOWSIZE) && s->offered.value[OPTION_WINDOWSIZE] > WINDOWSIZE_MAX)
		s->offered.value[OPTION_WINDOWSIZE] = WINDOWSIZE_MAX;
	for (int id = OPTION_BLKSIZE; id <= OPTION_BLKSIZE2; id++)
		if (s->offered.present & OPTION_BIT(id) && s->offered.value[id] > BLKSIZE_MAX)
			s->offered.value[id] = BLKSIZE_MAX;
	s->request = (struct transfer_request){.name = "file", .mode = "octet", .offered = s->offered};
	if (s->role == GET)
		transfer_get(&s->t, store, &s->gather, &s->request, &policy, s->now);
	else
		transfer_put(&s->t, store, &s->request, &policy, s->now);
}

static void start(struct fuzz_session *s, struct fuzz_input *in)
{
	uint8_t first = fuzz_u8(in);
	struct store store = {.arg = &s->store};
	struct packet p;
	uint8_t *options;
	size_t len;

	s->role = first & 3;
	s->store.seekable = store.seekable = first & 4;
	s->store.size = fuzz_u16(in);
	store.ops = sends(s) ? &source_ops : &sink_ops;
	s->now = MONO_SEC;
	len = fuzz_u8(in);
	if (len > in->left)
		len = in->left;
	options = malloc(len + 2);
	if (options == NULL)
		abort();
	options[0] = 0;
	options[1] = PACKET_OACK;
	if (len > 0)
		memcpy(options + 2, in->p, len);
	in->p += len;
	in->left -= len;
	if (packet_decode(&p, options, len + 2) != PACKET_OK)
		memset(&p, 0, sizeof(p));
	if (s->role == SERVE_GET || s->role == SERVE_PUT)
		serve(s, &store, &p);
	else
		ask(s, &store, &p);
	free(options);
	drain(s);
}

/* From here on nothing comes from the peer, the socket has room and the store works: it must come to an end. */
static void fall_silent(struct fuzz_session *s)
{
	s->full = false;
	s->part = 0;
	s->store.error = 0;
	s->store.again = 0;
	transfer_wake(&s->t, s->now);
	drain(s);
	for (int i = 0; !transfer_over(&s->t); i++) {
		FUZZ_MUST(i < 2000);
		FUZZ_MUST(transfer_deadline(&s->t) != MONO_NEVER);
		expire(s);
	}
	FUZZ_MUST(transfer_verdict(&s->t) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct fuzz_session s;
	struct fuzz_input in = {bytes, len};

	memset(&s, 0, offsetof(struct fuzz_session, scratch));
	start(&s, &in);
	for (int steps = 0; in.left > 0 && steps < 300; steps++)
		step(&s, &in);
	fall_silent(&s);
	transfer_free(&s.t);
	FUZZ_MUST(s.store.closes == 1);
	return 0;
}
