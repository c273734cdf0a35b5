/*
 * Datagrams to sessions, sessions to datagrams. Each wake-up feeds every packet of a batch to its session and then
 * pumps each touched session once: many packets in, one run out.
 */
#include "endpoint.h"

#include "prefetch.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A full batch means that more is probably waiting; so often one endpoint may go on before the others have a turn. */
#define ROUNDS_MAX 4

/*
 * So many timeouts in a row, over so long a time, are taken for a path on which nothing of that size gets through. A
 * client that looks for the size that does (tftp doctor) must see it, and one that is about to give up be served.
 */
#define WHOLE_TRIES 2
#define WHOLE_FOR (4 * MONO_SEC)

/* Room that an OACK or ERROR of ours always fits into. */
#define CONTROL_MAX 1024

/* The session table. */

#define TABLE_START 64

int session_table_init(struct session_table *t, uint64_t seed)
{
	*t = (struct session_table){.mask = TABLE_START - 1, .seed = seed};
	t->buckets = calloc(TABLE_START, sizeof(*t->buckets));
	return t->buckets != NULL ? 0 : -ENOMEM;
}

void session_table_free(struct session_table *t)
{
	free(t->buckets);
	t->buckets = NULL;
}

static struct session **bucket(const struct session_table *t, const struct addr *peer)
{
	struct addr host = *peer;

	if (t->by_host) {
		addr_set_port(&host, 0);
		peer = &host;
	}
	return &t->buckets[addr_hash(peer, t->seed) & t->mask];
}

/* `e` NULL: on any endpoint. */
static struct session *find_on(const struct session_table *t, const struct addr *peer, const struct addr *local,
    const struct endpoint *e)
{
	struct session *s = *bucket(t, peer);

	while (s != NULL && !(addr_equal(&s->peer, peer) && (local == NULL || addr_same_host(&s->local, local)) &&
	    (e == NULL || s->endpoint == e)))
		s = s->hash_next;
	return s;
}

struct session *session_table_find(const struct session_table *t, const struct addr *peer, const struct addr *local)
{
	return find_on(t, peer, local, NULL);
}

/* Longer chains are slower, not wrong: without memory the table stays as it is. */
static void table_grow(struct session_table *t)
{
	struct session **old = t->buckets, **new = calloc(2 * (t->mask + 1), sizeof(*new));
	size_t n = t->mask + 1;

	if (new == NULL)
		return;
	t->buckets = new;
	t->mask = 2 * n - 1;
	for (size_t i = 0; i < n; i++) {
		struct session *s = old[i];

		while (s != NULL) {
			struct session *next = s->hash_next, **b = bucket(t, &s->peer);

			s->hash_next = *b;
			*b = s;
			s = next;
		}
	}
	free(old);
}

static void table_add(struct session_table *t, struct session *s)
{
	struct session **b;

	if (t->n > t->mask)
		table_grow(t);
	b = bucket(t, &s->peer);
	s->hash_next = *b;
	*b = s;
	t->n++;
}

static void table_del(struct session_table *t, struct session *s)
{
	struct session **p = bucket(t, &s->peer);

	while (*p != s)
		p = &(*p)->hash_next;
	*p = s->hash_next;
	t->n--;
}

/* The exchange. */

int exchange_init(struct exchange *x, struct loop *loop, uint64_t seed, unsigned without)
{
	x->loop = loop;
	x->without = without;
	x->malformed = x->strangers = 0;
	x->gso_refused = false;
	x->copies = 0;
	x->settled = 0;
	x->tap = NULL;
	x->touched = NULL;
	x->gather.owner = NULL;
	x->gather.n = 0;
	x->batch = NULL;
	x->scratch = x->room + (EXCHANGE_LINE - ((uintptr_t)x->room + PACKET_HEADER) % EXCHANGE_LINE);
	if (session_table_init(&x->sessions, seed) == 0)
		x->batch = udp_batch_new();
	return x->batch != NULL ? 0 : -ENOMEM;
}

void exchange_free(struct exchange *x)
{
	session_table_free(&x->sessions);
	udp_batch_del(x->batch);
	x->batch = NULL;
}

/* Receiving. */

static void touch(struct session *s)
{
	struct exchange *x = s->endpoint->exchange;

	if (s->touched)
		return;
	s->touched = true;
	s->touched_next = x->touched;
	x->touched = s;
}

static void untouch(struct session *s)
{
	struct session **p = &s->endpoint->exchange->touched;

	if (!s->touched)
		return;
	while (*p != s)
		p = &(*p)->touched_next;
	*p = s->touched_next;
	s->touched = false;
}

void session_input(struct session *s, const struct packet *p, mono_t now)
{
	bool proved = transfer_proved(&s->transfer);

	if (p->op == PACKET_DATA)
		s->owed += (uint32_t)p->len;
	transfer_input(&s->transfer, p, now);
	if (!proved && s->ops->proved != NULL && transfer_proved(&s->transfer))
		s->ops->proved(s, now);
	touch(s);
}

static bool is_request(const struct packet *p)
{
	return p->op == PACKET_RRQ || p->op == PACKET_WRQ;
}

/*
 * A client's first answer comes from a port it could not know: that port is the peer's TID from then on. A relaxed
 * session goes along with a balancer that moves its peer to another port.
 */
static bool answers(struct session *s, const struct udp_datagram *d, const struct packet *p)
{
	struct session_table *t = &s->endpoint->exchange->sessions;

	if (addr_equal(&s->peer, &d->from))
		return true;
	if (!(s->any_port || s->relaxed) || !(s->any_host || addr_same_host(&s->peer, &d->from)))
		return false;
	if (p == NULL || is_request(p))
		return false;
	/* Late packets of an earlier transfer, on the port that is ours now, come from a TID that is not our peer's. */
	if (s->any_port && !transfer_is_answer(&s->transfer, p))
		return false;
	s->any_port = false;
	if (s->from_table)
		table_del(t, s);
	s->peer = d->from;
	if (s->from_table)
		table_add(t, s);
	return true;
}

/*
 * Nobody's port on a listener: one of that host's sessions may have been moved to it. None, if the packet would suit
 * more than one: its sender will repeat it, and others will have gone on.
 */
static struct session *moved(struct endpoint *e, const struct udp_datagram *d, const struct packet *p)
{
	struct session *found = NULL;

	for (struct session *s = *bucket(&e->exchange->sessions, &d->from); s != NULL; s = s->hash_next) {
		if (s->endpoint != e || !s->relaxed || !addr_same_host(&s->peer, &d->from) ||
		    !addr_same_host(&s->local, &d->to) || !transfer_expects(&s->transfer, p))
			continue;
		if (found != NULL)
			return NULL;
		found = s;
	}
	/* Its bucket is that of its host, and so the same. */
	if (found != NULL)
		found->peer = d->from;
	return found;
}

static struct session *session_for(struct endpoint *e, const struct udp_datagram *d, const struct packet *p)
{
	struct session *s;

	if (e->only != NULL)
		return answers(e->only, d, p) ? e->only : NULL;
	/* On a listener a request is for the owner to judge, even from a peer that has a session. */
	if (p != NULL && is_request(p))
		return NULL;
	s = find_on(&e->exchange->sessions, &d->from, &d->to, e);
	return s == NULL && p != NULL && e->exchange->sessions.by_host ? moved(e, d, p) : s;
}

static void datagram_arrived(struct endpoint *e, const struct udp_datagram *d, mono_t now)
{
	struct packet packet;
	int fault = d->cut ? PACKET_SHORT : packet_decode(&packet, d->buf, d->len);
	struct packet *p = fault == PACKET_OK ? &packet : NULL;
	struct session *s = session_for(e, d, p);

	if (p == NULL)
		e->exchange->malformed++;
	if (s != NULL) {
		if (e->exchange->tap != NULL)
			e->exchange->tap(s, false, d->buf, d->len, now);
		if (p != NULL)
			session_input(s, p, now);
		return;
	}
	/* A listener's requests are from clients to be. */
	e->exchange->strangers += p != NULL && (e->only != NULL || !is_request(p));
	e->stranger(e, d, p, fault, d->cut ? 0 : (int)packet.op, now);
}

static void pump_touched(struct exchange *x, mono_t now)
{
	struct session *s;

	while ((s = x->touched) != NULL) {
		x->touched = s->touched_next;
		s->touched = false;
		session_pump(s, now);
	}
}

/* What is in the batch. The sessions of a transfer's own port may end in the pump and take the endpoint with them. */
static void feed(struct endpoint *e, mono_t now)
{
	struct exchange *x = e->exchange;
	struct udp_datagram d;

	while (udp_next(x->batch, &d))
		datagram_arrived(e, &d, now);
	pump_touched(x, now);
}

/* True if there may be more. Only a listener, which stays, is asked again. */
static bool receive(struct endpoint *e, mono_t now)
{
	bool listener = e->only == NULL;
	int batch = e->batch;
	int n;

	/* Of thousands of sessions each is cold when its packet comes: it is fetched while the kernel copies that. */
	if (!listener)
		prefetch(e->only, sizeof(*e->only));
	n = udp_recv(&e->udp, e->exchange->batch, batch);
	if (n <= 0)
		return false;
	feed(e, now);
	return listener && n == batch;
}

static void errors(struct endpoint *e, mono_t now)
{
	struct addr peer;
	int err;

	while ((err = udp_error(&e->udp, &peer)) != 0) {
		struct session *s = e->only;

		/* A router with a smaller MTU is an answer to one datagram, and the kernel has taken note. */
		if (err == EMSGSIZE)
			continue;
		if (s == NULL || !addr_equal(&s->peer, &peer))
			s = find_on(&e->exchange->sessions, &peer, NULL, e);
		if (s == NULL)
			continue;
		transfer_unreachable(&s->transfer, err, now);
		touch(s);
	}
}

static void resume_waiting(struct endpoint *e)
{
	struct session *s = e->waiting;

	e->waiting = NULL;
	loop_fd_events(e->exchange->loop, &e->io, POLLIN);
	while (s != NULL) {
		struct session *next = s->wait_next;

		s->waits = false;
		touch(s);
		s = next;
	}
}

static void endpoint_ready(struct loop_fd *io, short revents, mono_t now)
{
	struct endpoint *e = (struct endpoint *)((char *)io - offsetof(struct endpoint, io));
	struct exchange *x = e->exchange;

	if (revents & POLLERR)
		errors(e, now);
	if (revents & POLLOUT)
		resume_waiting(e);
	/* A pending error is also a reason to receive: that is what takes it off the socket. */
	for (int round = 0; round < ROUNDS_MAX && (revents & (POLLIN | POLLERR)); round++)
		if (!receive(e, now))
			break;
	/* Errors and freed room touch sessions as well. */
	pump_touched(x, now);
}

/* Connected to its peer a socket costs less. Strangers' datagrams, which get ERROR 5, need another one then. */
static void connect_to_peer(struct endpoint *e)
{
	struct exchange *x = e->exchange;
	struct session *s = e->only;
	struct endpoint *others;

	if (x->settled >= ENDPOINT_SETTLED_MAX || s->any_port || s->any_host || s->relaxed)
		return;
	others = calloc(1, sizeof(*others));
	if (others == NULL)
		return;
	if (udp_connect(&e->udp, &s->peer, &others->udp) != 0) {
		free(others);
		return;
	}
	if (others->udp.fd < 0 || endpoint_add(others, x, e->stranger, e->owner) != 0) {
		udp_close(&others->udp);
		free(others);
		return;
	}
	e->others = others;
	x->settled++;
}

/* A transfer keeps the loop busy all alone: it may have its socket as suits it best. */
static void settle(struct endpoint *e)
{
	if (e->only->transfer.terms.windowsize == 1) {
		udp_separate(&e->udp);
		e->batch = 1;
	}
	connect_to_peer(e);
}

/* loop_fd.await */
static mono_t endpoint_await(struct loop_fd *io)
{
	struct endpoint *e = (struct endpoint *)((char *)io - offsetof(struct endpoint, io));
	struct exchange *x = e->exchange;
	mono_t now;
	int n;

	if (e->waiting != NULL)
		return MONO_NEVER;
	if (!e->udp.awaits)
		settle(e);
	n = udp_await(&e->udp, x->batch, e->batch);
	/* An error is still in the socket's queue of errors, where poll() sees it. */
	if (n <= 0)
		return MONO_NEVER;
	now = x->loop->clock();
	feed(e, now);
	return now;
}

int endpoint_add(struct endpoint *e, struct exchange *x, endpoint_stranger *stranger, void *owner)
{
	e->exchange = x;
	e->only = e->waiting = NULL;
	e->stranger = stranger;
	e->owner = owner;
	e->batch = UDP_BATCH;
	e->others = NULL;
	return loop_fd_add(x->loop, &e->io, e->udp.fd, POLLIN, endpoint_ready);
}

void endpoint_close(struct endpoint *e)
{
	loop_fd_del(e->exchange->loop, &e->io);
	udp_close(&e->udp);
	if (e->others != NULL) {
		e->exchange->settled--;
		endpoint_close(e->others);
		free(e->others);
	}
}

static bool is_icmp(int err)
{
	return err == -ECONNREFUSED || err == -EHOSTUNREACH || err == -ENETUNREACH;
}

void endpoint_say(struct endpoint *e, const struct udp_datagram *d, uint16_t code, const char *text)
{
	uint8_t buf[PACKET_HEADER + PACKET_TEXT_MAX];
	size_t len = packet_error(buf, sizeof(buf), code, text);

	if (len == 0)
		return;
	/* An ICMP error about somebody else's datagram on this socket is reported here, once, in place of sending. */
	for (int tries = 0, n = -ECONNREFUSED; tries < 4 && is_icmp(n); tries++)
		n = udp_send(&e->udp, &d->from, &d->to, d->ifindex, buf, len, len);
}

void endpoint_reject(struct endpoint *e, const struct udp_datagram *d, const struct packet *p, int fault, int op,
    mono_t now)
{
	(void)fault;
	(void)op;
	(void)now;
	/* An ERROR is never answered, nor is what is not a packet at all. */
	if (p != NULL && p->op != PACKET_ERROR)
		endpoint_say(e, d, ERROR_UNKNOWN_TID, "this transfer belongs to somebody else");
}

/* Sessions. */

static void session_fired(struct loop_timer *t, mono_t now)
{
	struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));
	struct exchange *x = s->endpoint->exchange;

	transfer_timeout(&s->transfer, now);
	/* Lost again and again: perhaps somebody drops what a router says of their size. Fragments are better than nothing. */
	if (transfer_tries(&s->transfer) >= WHOLE_TRIES && transfer_silence(&s->transfer, now) >= WHOLE_FOR)
		s->fragments = UDP_FRAGMENTS_ANY;
	session_pump(s, now);
	/* Sending may have brought up errors of other sessions on the same socket. */
	pump_touched(x, now);
}

int session_attach(struct session *s, struct endpoint *e, bool own, bool listed, const struct session_ops *ops)
{
	struct exchange *x = e->exchange;

	s->endpoint = e;
	s->ops = ops;
	s->told = s->touched = s->waits = s->held = false;
	s->no_gso = e->udp.no_gso;
	s->from_table = listed;
	loop_timer_init(&s->timer, session_fired);
	if (loop_timer_set(x->loop, &s->timer, transfer_deadline(&s->transfer)) != 0)
		return -ENOMEM;
	if (own) {
		e->only = s;
		e->io.await = endpoint_await;
	}
	if (listed)
		table_add(&x->sessions, s);
	return 0;
}

void session_detach(struct session *s)
{
	struct endpoint *e = s->endpoint;

	loop_timer_clear(e->exchange->loop, &s->timer);
	untouch(s);
	if (s->waits) {
		struct session **p = &e->waiting;

		while (*p != s)
			p = &(*p)->wait_next;
		*p = s->wait_next;
		s->waits = false;
	}
	if (s->from_table)
		table_del(&e->exchange->sessions, s);
	if (e->only == s) {
		e->only = NULL;
		e->io.await = NULL;
	}
	s->from_table = false;
}

/* The socket is full: come back when it has room. */
static void wait_for_room(struct session *s)
{
	struct endpoint *e = s->endpoint;

	if (s->waits)
		return;
	s->waits = true;
	s->wait_next = e->waiting;
	e->waiting = s;
	loop_fd_events(e->exchange->loop, &e->io, POLLIN | POLLOUT);
}

static void show_sent(const struct session *s, const struct run *run, size_t n, mono_t now)
{
	for (size_t off = 0; n > 0 && off < run->len; off += run->seg, n--)
		s->endpoint->exchange->tap(s, true, run->buf + off, run->len - off < run->seg ? run->len - off : run->seg, now);
}

/* A single datagram that fits is marked anyway: a lockstep transfer need not ask for that. */
static void fragment(struct session *s, const struct run *run)
{
	struct udp *u = &s->endpoint->udp;
	bool marked = s->fragments == UDP_FRAGMENTS_NONE && u->fragments == UDP_FRAGMENTS_LOCAL && run->len <= run->seg;

	if (s->fragments != u->fragments && !marked)
		udp_fragment(u, s->fragments);
}

/* A socket may be shared: what one peer's path refuses is remembered for that peer. */
static int send_to_peer(struct session *s, const struct run *run)
{
	struct udp *u = &s->endpoint->udp;
	const struct addr *from = s->local.sa.sa_family != AF_UNSPEC ? &s->local : NULL;
	int n;

	fragment(s, run);
	u->no_gso = s->no_gso;
	u->gso_fails = s->gso_fails;
	n = udp_send(u, &s->peer, from, s->ifindex, run->buf, run->len, run->seg);
	/* A router has told the kernel of a smaller MTU, or the blocks were asked for so large. */
	if (n == -EMSGSIZE && s->fragments == UDP_FRAGMENTS_NONE) {
		s->fragments = UDP_FRAGMENTS_LOCAL;
		fragment(s, run);
		n = udp_send(u, &s->peer, from, s->ifindex, run->buf, run->len, run->seg);
	}
	s->no_gso = u->no_gso;
	s->gso_fails = (uint16_t)u->gso_fails;
	return n;
}

/* The bytes of the first `count` datagrams of a run. */
static size_t run_bytes(const struct run *run, size_t count)
{
	return count * run->seg < run->len ? count * run->seg : run->len;
}

/* For links that eat packets. The run again as a whole: losses come in bursts. Returns the bytes that went. */
static size_t send_copies(struct session *s, const struct run *run, size_t count)
{
	struct run again = {.buf = run->buf, .len = run_bytes(run, count), .seg = run->seg};
	size_t bytes = 0;

	for (unsigned i = 0; i < s->endpoint->exchange->copies; i++) {
		int n = send_to_peer(s, &again);

		bytes += n > 0 ? run_bytes(&again, (size_t)n) : 0;
	}
	return bytes;
}

/*
 * Give one run to the kernel. False: no more for now. An error that is not the peer's absence counts as a lost
 * datagram: a full queue, a firewall's or a router's refusal may pass, and the timer repeats what matters.
 */
static bool send_run(struct session *s, const struct run *run, mono_t now)
{
	size_t count = run_count(run), copied = 0;
	int n = send_to_peer(s, run);

	if (n == -EAGAIN) {
		wait_for_room(s);
		return false;
	}
	if (is_icmp(n)) {
		/* Perhaps left over from somebody else's datagram on this socket; the queue knows whose. */
		errors(s->endpoint, now);
		if (transfer_verdict(&s->transfer) != NULL)
			return true;
		n = send_to_peer(s, run);
		if (n == -ENETUNREACH)
			transfer_unreachable(&s->transfer, ENETUNREACH, now);
	}
	if (n > 0) {
		count = (size_t)n;
		copied = send_copies(s, run, count);
	}
	if (s->endpoint->exchange->tap != NULL)
		show_sent(s, run, count, now);
	transfer_sent(&s->transfer, count, now);
	if (s->ops->moved != NULL) {
		s->ops->moved(s, run_bytes(run, count) + copied + s->owed, now);
		s->owed = 0;
	}
	return true;
}

/* How many bytes may go now, 0: none. Only one's owner holds it back; an ERROR is not worth that. */
static size_t allowed(struct session *s, mono_t now)
{
	const struct transfer *t = &s->transfer;
	size_t least, n;

	if (s->waits)
		return 0;
	if (s->ops->allow == NULL || transfer_verdict(t) != NULL)
		return PACKET_MAX;
	if (s->held)
		return 0;
	if (!transfer_ready(t))
		return PACKET_MAX;
	n = s->ops->allow(s, now);
	if (n == 0) {
		s->held = true;
		s->held_at = now;
		return 0;
	}
	least = transfer_datagram(t) > CONTROL_MAX ? transfer_datagram(t) : CONTROL_MAX;
	return n < least ? least : n < PACKET_MAX ? n : PACKET_MAX;
}

void session_release(struct session *s, mono_t now)
{
	struct exchange *x = s->endpoint->exchange;

	if (s->held)
		transfer_delayed(&s->transfer, now - s->held_at);
	s->held = false;
	session_pump(s, now);
	pump_touched(x, now);
}

void session_pump(struct session *s, mono_t now)
{
	struct exchange *x = s->endpoint->exchange;
	struct transfer *t = &s->transfer;
	struct run run;
	size_t n;

	while ((n = allowed(s, now)) > 0 && transfer_pull(t, x->scratch, n, &run, now) && send_run(s, &run, now))
		;
	/* What this batch brought must be written before the next one takes its buffers, room and leave to send or not. */
	if (x->gather.owner == t)
		transfer_pull(t, x->scratch, PACKET_MAX, &run, now);
	x->gso_refused |= s->endpoint->udp.no_gso;
	if (!s->told && transfer_verdict(t) != NULL) {
		s->told = true;
		if (s->ops->verdict != NULL)
			s->ops->verdict(s, transfer_verdict(t), now);
	}
	if (transfer_over(t)) {
		untouch(s);
		s->ops->over(s, now);
		return;
	}
	/* What is held back cannot have been answered: nothing is repeated meanwhile. */
	loop_timer_set(x->loop, &s->timer, s->held ? MONO_NEVER : transfer_deadline(t));
}
