/*
 * The transfer machine's frame: how each role starts, which state hears what, the verdict, and the control packets.
 * Sending blocks is in transfer_send.c, receiving them in transfer_recv.c.
 */
#include "transfer_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef void on_packet(struct transfer *t, const struct packet *p, mono_t now);
typedef void on_timeout(struct transfer *t, mono_t now);

/* Block numbers. */

/* An absolute block as its 16 bits on the wire: 65535 is followed by 0, or by 1 where the peers agreed on rollover 1. */
uint16_t transfer_wire(const struct transfer *t, uint64_t block)
{
	if (!t->terms.rollover || block == 0)
		return (uint16_t)(block & 0xffff);
	return (uint16_t)((block - 1) % 65535 + 1);
}

/* How far ahead of block `from` the wire number is, counting only forward; UINT32_MAX if it is no number of a block. */
uint32_t transfer_distance(const struct transfer *t, uint64_t from, uint16_t wire)
{
	uint32_t here;

	if (!t->terms.rollover)
		return (uint16_t)(wire - (uint16_t)(from & 0xffff));
	if (wire == 0)
		return from == 0 ? 0 : UINT32_MAX;
	if (from == 0)
		return wire;
	here = (uint32_t)((from - 1) % 65535);
	return (uint32_t)(wire - 1 + 65535 - here) % 65535;
}

/* Time. */

static void set_deadline(struct transfer *t, mono_t now)
{
	t->rt.crowd = t->policy->crowd;
	t->deadline = now + retransmit_interval(&t->rt);
}

/* Progress: the only thing that counts as life. */
void transfer_moved(struct transfer *t, mono_t now)
{
	t->proved = true;
	retransmit_progress(&t->rt, now);
	set_deadline(t, now);
}

/* What was being timed has been answered. */
void transfer_timed(struct transfer *t, mono_t now)
{
	if (t->timed_at == MONO_NEVER)
		return;
	/*
	 * Our own timer has been due for a second: we were stopped (^Z), and what is read now says when we came back, not
	 * when it came. Taken for a round trip it would make us wait for as long, whatever the time to give up.
	 */
	if (t->deadline == MONO_NEVER || now < t->deadline + MONO_SEC)
		retransmit_sample(&t->rt, now - t->timed_at);
	t->timed_at = MONO_NEVER;
}

void transfer_start_timing(struct transfer *t, uint64_t block, mono_t now)
{
	if (t->timed_at != MONO_NEVER)
		return;
	t->timed = block;
	t->timed_at = now;
}

/* Verdict. */

uint64_t transfer_bytes(const struct transfer *t)
{
	if (t->base == 0)
		return 0;
	if (t->final != 0 && t->base > t->final)
		return (t->final - 1) * t->terms.blksize + t->final_len;
	return (t->base - 1) * t->terms.blksize;
}

static void copy_text(struct transfer_result *r, const char *text, size_t len)
{
	if (len >= sizeof(r->text))
		len = sizeof(r->text) - 1;
	memcpy(r->text, text, len);
	r->text[len] = '\0';
}

static void decide(struct transfer *t, enum transfer_outcome outcome, uint16_t code, const char *text, size_t len,
    mono_t now)
{
	t->result.outcome = outcome;
	t->result.code = code;
	copy_text(&t->result, text, len);
	t->result.bytes = transfer_bytes(t);
	t->result.ended = now;
	t->want = WANT_NOTHING;
	t->state = TRANSFER_OVER;
	t->deadline = MONO_NEVER;
	if (t->gather != NULL && t->gather->owner == t)
		t->gather->owner = NULL;
}

void transfer_end(struct transfer *t, enum transfer_outcome outcome, uint16_t code, const char *text, mono_t now)
{
	decide(t, outcome, code, text, strlen(text), now);
}

/* End it from our side. A client that has had no answer yet has nobody to tell. */
void transfer_fail(struct transfer *t, uint16_t code, const char *text, mono_t now)
{
	transfer_end(t, TRANSFER_FAILED, code, text, now);
	if (!t->client || t->proved)
		transfer_want(t, WANT_ERROR, HOW_FRESH);
}

/* The store's reason goes to the log as it is; the peer is told what it can act on. */
void transfer_fail_store(struct transfer *t, int err, mono_t now)
{
	uint16_t code = ERROR_UNDEFINED;
	const char *text = "input/output error at the other end";

	switch (err) {
	case -ENOSPC:
	case -EDQUOT:
		code = ERROR_DISK_FULL;
		text = "disk full";
		break;
	case -EFBIG:
	case STORE_TOO_BIG:
		code = ERROR_DISK_FULL;
		text = "the file is larger than allowed here";
		break;
	case -EACCES:
	case -EPERM:
		code = ERROR_ACCESS;
		text = "permission denied at the other end";
		break;
	case -EROFS:
		code = ERROR_ACCESS;
		text = "the file system at the other end is read-only";
		break;
	/* A client's user, or its --max-time, while it waited for room in a pipe. */
	case -EINTR:
		text = "interrupted at the other end";
		break;
	case -ETIME:
		text = "out of time at the other end";
		break;
	case STORE_TAKEN:
		code = ERROR_EXISTS;
		text = "another file of this name exists and is not replaced";
		break;
	case STORE_SHRUNK:
		text = "the file became shorter while it was being sent";
		break;
	}
	transfer_fail(t, code, text, now);
	t->result.store_error = err;
}

static void time_out(struct transfer *t, mono_t now)
{
	bool proved = t->proved;

	transfer_end(t, TRANSFER_TIMED_OUT, ERROR_UNDEFINED,
	    proved ? "the other end fell silent" : "no answer", now);
	/* A peer that was there once may be deaf and not dead: it need not wait for its own timer. */
	if (proved)
		transfer_want(t, WANT_ERROR, HOW_FRESH);
}

void transfer_cancel(struct transfer *t, uint16_t code, const char *text, mono_t now)
{
	if (t->result.outcome == TRANSFER_RUNNING)
		transfer_fail(t, code, text, now);
}

bool transfer_stale(const struct transfer *t, mono_t now)
{
	return t->proved && (t->base > 1 || t->state != TRANSFER_RECV) && now - t->rt.progress >= MONO_SEC;
}

void transfer_abandon(struct transfer *t, const char *text, mono_t now)
{
	if (t->result.outcome == TRANSFER_RUNNING)
		transfer_end(t, TRANSFER_FAILED, ERROR_UNDEFINED, text, now);
	t->want = WANT_NOTHING;
	t->state = TRANSFER_OVER;
}

void transfer_unreachable(struct transfer *t, int err, mono_t now)
{
	if (t->state == TRANSFER_DALLY) {
		t->state = TRANSFER_OVER;
		t->want = WANT_NOTHING;
		return;
	}
	/* Only the peer's own "port unreachable" ends what runs already; a route may come back. */
	if (t->proved && err != ECONNREFUSED)
		return;
	if (t->result.outcome == TRANSFER_RUNNING)
		transfer_end(t, TRANSFER_UNREACHABLE, (uint16_t)err, "the other end is not there", now);
	else
		t->want = WANT_NOTHING;
}

/* ERROR ends a transfer and is never answered. In DALLY the file is complete, whatever the peer says. */
static void peer_error(struct transfer *t, const struct packet *p, mono_t now)
{
	enum transfer_outcome outcome = t->state == TRANSFER_OACK ? TRANSFER_PROBED : TRANSFER_PEER_ERROR;

	if (t->state == TRANSFER_DALLY) {
		t->state = TRANSFER_OVER;
		t->want = WANT_NOTHING;
		return;
	}
	t->proved = true;
	if (p->len == 0)
		transfer_end(t, outcome, p->code, packet_error_text(p->code), now);
	else
		decide(t, outcome, p->code, p->text, p->len, now);
}

/* Starting. */

static void start(struct transfer *t, const struct store *store, const struct transfer_policy *policy, mono_t now)
{
	memset(t, 0, sizeof(*t));
	t->store = *store;
	t->policy = policy;
	t->timed_at = MONO_NEVER;
	t->restarted = MONO_NEVER;
	t->result.started = now;
	retransmit_init(&t->rt, policy->first, now);
	retransmit_fix(&t->rt, policy->fixed);
	options_default_terms(&t->terms);
}

static void agree(struct transfer *t, const struct option_terms *terms)
{
	t->terms = *terms;
	if (terms->timeout_us > 0)
		retransmit_fix(&t->rt, (mono_t)terms->timeout_us * MONO_US);
}

void transfer_serve_get(struct transfer *t, const struct store *store, const struct option_set *granted,
    const struct option_terms *terms, const struct transfer_policy *policy, mono_t now)
{
	start(t, store, policy, now);
	agree(t, terms);
	t->granted = *granted;
	send_start(t, now);
	if (granted->n > 0) {
		t->state = TRANSFER_OACK;
		transfer_want(t, WANT_OACK, HOW_FRESH);
	}
	set_deadline(t, now);
}

void transfer_serve_put(struct transfer *t, const struct store *store, struct gather *gather,
    const struct option_set *granted, const struct option_terms *terms, const struct transfer_policy *policy,
    mono_t now)
{
	start(t, store, policy, now);
	agree(t, terms);
	t->granted = *granted;
	t->gather = gather;
	recv_start(t);
	transfer_want(t, granted->n > 0 ? WANT_OACK : WANT_ACK, HOW_FRESH);
	set_deadline(t, now);
}

static void ask(struct transfer *t, const struct store *store, const struct transfer_request *request,
    const struct transfer_policy *policy, mono_t now)
{
	start(t, store, policy, now);
	t->client = true;
	t->request = request;
	t->state = TRANSFER_REQUEST;
	transfer_want(t, WANT_REQUEST, HOW_FRESH);
	set_deadline(t, now);
}

void transfer_get(struct transfer *t, const struct store *store, struct gather *gather,
    const struct transfer_request *request, const struct transfer_policy *policy, mono_t now)
{
	ask(t, store, request, policy, now);
	t->gather = gather;
}

void transfer_put(struct transfer *t, const struct store *store, const struct transfer_request *request,
    const struct transfer_policy *policy, mono_t now)
{
	ask(t, store, request, policy, now);
}

void transfer_free(struct transfer *t)
{
	if (t->gather != NULL && t->gather->owner == t)
		t->gather->owner = NULL;
	if (t->store.ops != NULL)
		t->store.ops->close(t->store.arg);
	t->store.ops = NULL;
	t->state = TRANSFER_OVER;
}

/* The client's first answer, the server's first ACK. */

/* A client that only receives has a gather list, one that sends has none. */
static bool receives(const struct transfer *t)
{
	return t->gather != NULL;
}

static void oack_arrived(struct transfer *t, const struct packet *p, mono_t now)
{
	struct option_terms terms;
	const char *why;

	t->proved = true;
	if (options_confirm(&t->request->offered, p, &terms, &why) != 0) {
		transfer_fail(t, ERROR_OPTION, why, now);
		return;
	}
	agree(t, &terms);
	transfer_timed(t, now);
	transfer_moved(t, now);
	if (receives(t)) {
		recv_start(t);
		transfer_want(t, WANT_ACK, HOW_FRESH);
	} else {
		send_start(t, now);
	}
}

bool transfer_is_answer(const struct transfer *t, const struct packet *p)
{
	switch (p->op) {
	case PACKET_OACK:
	case PACKET_ERROR:
		return true;
	case PACKET_DATA:
		return receives(t) && p->block == 1;
	case PACKET_ACK:
		return !receives(t) && p->block == 0;
	default:
		return false;
	}
}

/* The client's request is out. The first answer fixes what the transfer runs by; RFC 2347 section 3. */
static void request_packet(struct transfer *t, const struct packet *p, mono_t now)
{
	if (!transfer_is_answer(t, p))
		return;
	if (p->op == PACKET_OACK) {
		oack_arrived(t, p, now);
	} else if (p->op == PACKET_DATA) {
		transfer_timed(t, now);
		recv_start(t);
		recv_packet(t, p, now);
	} else {
		transfer_timed(t, now);
		transfer_moved(t, now);
		send_start(t, now);
	}
}

static void request_timeout(struct transfer *t, mono_t now)
{
	(void)now;
	transfer_want(t, WANT_REQUEST, HOW_AGAIN);
}

static void oack_packet(struct transfer *t, const struct packet *p, mono_t now)
{
	if (p->op != PACKET_ACK || p->block != 0)
		return;
	transfer_timed(t, now);
	transfer_moved(t, now);
	send_start(t, now);
}

static void oack_timeout(struct transfer *t, mono_t now)
{
	(void)now;
	transfer_want(t, WANT_OACK, HOW_AGAIN);
}

/* The peer's request came again: ours was lost, or is late. Once something has moved it is only an echo. */
static void request_again(struct transfer *t)
{
	if (t->client)
		return;
	if (t->state == TRANSFER_OACK)
		transfer_want(t, WANT_OACK, HOW_AGAIN);
	else if (t->state == TRANSFER_SEND && t->granted.n == 0 && t->base == 1)
		t->next = t->base;
	else if (t->state == TRANSFER_RECV && t->base == 1 && !t->proved)
		transfer_want(t, t->granted.n > 0 ? WANT_OACK : WANT_ACK, HOW_AGAIN);
	else
		return;
	t->timed_at = MONO_NEVER; /* which of the two is answered next is anybody's guess */
}

/* Dispatch. */

static on_packet *const packet_in[] = {
	[TRANSFER_REQUEST] = request_packet,
	[TRANSFER_OACK] = oack_packet,
	[TRANSFER_SEND] = send_packet,
	[TRANSFER_RECV] = recv_packet,
	[TRANSFER_FINISH] = NULL, /* a repeated last DATA is answered when the file is safe */
	[TRANSFER_DALLY] = dally_packet,
	[TRANSFER_OVER] = NULL,
};

static on_timeout *const timeout_in[] = {
	[TRANSFER_REQUEST] = request_timeout,
	[TRANSFER_OACK] = oack_timeout,
	[TRANSFER_SEND] = send_timeout,
	[TRANSFER_RECV] = recv_timeout,
	[TRANSFER_FINISH] = NULL,
	[TRANSFER_DALLY] = NULL,
	[TRANSFER_OVER] = NULL,
};

_Static_assert(sizeof(packet_in) / sizeof(packet_in[0]) == TRANSFER_STATES, "every state hears packets");
_Static_assert(sizeof(timeout_in) / sizeof(timeout_in[0]) == TRANSFER_STATES, "every state hears time");

void transfer_input(struct transfer *t, const struct packet *p, mono_t now)
{
	if (t->state == TRANSFER_OVER)
		return;
	if (p->op == PACKET_ERROR)
		peer_error(t, p, now);
	else if (p->op == PACKET_RRQ || p->op == PACKET_WRQ)
		request_again(t);
	else if (packet_in[t->state] != NULL)
		packet_in[t->state](t, p, now);
}

void transfer_timeout(struct transfer *t, mono_t now)
{
	if (now < t->deadline)
		return;
	if (t->state == TRANSFER_DALLY) {
		t->state = TRANSFER_OVER;
		t->deadline = MONO_NEVER;
		return;
	}
	if (timeout_in[t->state] == NULL) {
		t->deadline = MONO_NEVER;
		return;
	}
	/* Nothing is out because our own store is slow: the silence is ours. Look again, and do not hold it against the peer. */
	if (t->state == TRANSFER_SEND && t->blocked && t->high == t->base) {
		t->blocked = false;
		retransmit_progress(&t->rt, now);
		set_deadline(t, now);
		return;
	}
	if (t->state == TRANSFER_RECV && recv_nudge(t)) {
		set_deadline(t, now);
		return;
	}
	retransmit_expired(&t->rt);
	if (retransmit_hopeless(&t->rt, t->proved, t->policy->give_up, t->policy->tries, now)) {
		time_out(t, now);
		return;
	}
	t->timed_at = MONO_NEVER; /* Karn: what is sent twice is not timed */
	timeout_in[t->state](t, now);
	if (t->state != TRANSFER_OVER)
		set_deadline(t, now);
}

void transfer_wake(struct transfer *t, mono_t now)
{
	t->blocked = false;
	if (t->state == TRANSFER_SEND && t->high == t->base)
		set_deadline(t, now);
	if (t->state == TRANSFER_FINISH)
		recv_finish(t, now);
}

/* Sending. */

void transfer_want(struct transfer *t, enum transfer_want want, enum transfer_how how)
{
	t->want = (uint8_t)want;
	t->how = (uint8_t)how;
}

static size_t write_request(const struct transfer *t, uint8_t *buf, size_t cap)
{
	struct packet_writer w;

	packet_write(&w, buf, cap);
	packet_write_u16(&w, receives(t) ? PACKET_RRQ : PACKET_WRQ);
	packet_write_string(&w, t->request->name);
	packet_write_string(&w, t->request->mode);
	options_write(&t->request->offered, &w);
	return w.full ? 0 : w.len;
}

static size_t write_oack(const struct transfer *t, uint8_t *buf, size_t cap)
{
	struct packet_writer w;

	packet_write(&w, buf, cap);
	packet_write_u16(&w, PACKET_OACK);
	options_write(&t->granted, &w);
	return w.full ? 0 : w.len;
}

static size_t write_control(const struct transfer *t, uint8_t *buf, size_t cap)
{
	switch ((enum transfer_want)t->want) {
	case WANT_NOTHING:
		break;
	case WANT_REQUEST:
		return write_request(t, buf, cap);
	case WANT_OACK:
		return write_oack(t, buf, cap);
	case WANT_ACK:
		return packet_ack(buf, cap, transfer_wire(t, t->acked));
	case WANT_ERROR:
		/* After a timeout, code and text are our own words too. */
		return packet_error(buf, cap, t->result.code, t->result.text);
	}
	return 0;
}

bool transfer_pull(struct transfer *t, uint8_t *scratch, size_t cap, struct run *run, mono_t now)
{
	*run = (struct run){.buf = scratch, .seg = 1};
	if (t->gather != NULL && t->gather->owner == t)
		recv_flush(t, now);
	if (t->want == WANT_NOTHING && t->state == TRANSFER_SEND && send_pull(t, scratch, cap, run, now))
		return true;
	if (t->want == WANT_NOTHING)
		return false;
	run->len = run->seg = write_control(t, scratch, cap);
	if (run->len > 0)
		return true;
	/* Only a name that fills the whole datagram can get here. */
	run->seg = 1;
	t->want = WANT_NOTHING;
	transfer_fail(t, ERROR_ILLEGAL, "the request does not fit into a datagram", now);
	return false;
}

void transfer_sent(struct transfer *t, size_t n, mono_t now)
{
	if (n == 0)
		return;
	t->result.datagrams += n;
	if (t->want == WANT_NOTHING) {
		send_sent(t, n, now);
		return;
	}
	if (t->how == HOW_FRESH)
		transfer_start_timing(t, 0, now);
	else if (t->how == HOW_AGAIN)
		t->result.resent++;
	t->want = WANT_NOTHING;
}

/* What the caller may know. */

bool transfer_ready(const struct transfer *t)
{
	return t->want != WANT_NOTHING || (t->state == TRANSFER_SEND && !t->blocked && t->next < send_limit(t));
}

bool transfer_expects(const struct transfer *t, const struct packet *p)
{
	if (p->op == PACKET_ERROR)
		return t->state != TRANSFER_OVER;
	if (p->op == PACKET_ACK && t->state == TRANSFER_OACK)
		return p->block == 0;
	if (p->op == PACKET_ACK && t->state == TRANSFER_SEND)
		return transfer_distance(t, t->base - 1, p->block) < t->high - (t->base - 1);
	if (p->op == PACKET_DATA && t->state == TRANSFER_RECV)
		return transfer_distance(t, t->base, p->block) < t->terms.windowsize || p->block == transfer_wire(t, t->acked);
	return p->op == PACKET_DATA && t->state == TRANSFER_DALLY && p->block == transfer_wire(t, t->final);
}

size_t transfer_datagram(const struct transfer *t)
{
	return (size_t)t->terms.blksize + PACKET_HEADER;
}

bool transfer_proved(const struct transfer *t)
{
	return t->proved;
}

unsigned transfer_tries(const struct transfer *t)
{
	return t->rt.tries;
}

mono_t transfer_silence(const struct transfer *t, mono_t now)
{
	return now - t->rt.progress;
}

mono_t transfer_started(const struct transfer *t)
{
	return t->result.started;
}

void transfer_delayed(struct transfer *t, mono_t by)
{
	t->rt.progress += by;
	t->late += by;
	if (t->deadline != MONO_NEVER)
		t->deadline += by;
}

mono_t transfer_deadline(const struct transfer *t)
{
	return t->state == TRANSFER_OVER ? MONO_NEVER : t->deadline;
}

const struct transfer_result *transfer_verdict(const struct transfer *t)
{
	return t->result.outcome == TRANSFER_RUNNING ? NULL : &t->result;
}

bool transfer_over(const struct transfer *t)
{
	return t->state == TRANSFER_OVER && t->want == WANT_NOTHING;
}

bool transfer_blocked(const struct transfer *t)
{
	return t->blocked && t->state == TRANSFER_SEND;
}

mono_t transfer_rtt(const struct transfer *t)
{
	return t->rt.srtt;
}

bool transfer_answered(const struct transfer *t)
{
	return t->base > 0;
}

const struct option_terms *transfer_terms(const struct transfer *t)
{
	return &t->terms;
}
