/*
 * See sim_host.h. The rules that endpoint.c follows towards the machine are followed here too: drain it before the
 * receive buffers go, answer strangers with ERROR 5, report closed ports.
 */
#include "sim_host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void close_session(struct sim_host *h, struct sim_session *s)
{
	const struct transfer_result *r = transfer_verdict(&s->t);

	sim_assert(h->node.sim, r, "over without a verdict");
	s->result = *r;
	s->judged = true;
	s->blksize = s->t.terms.blksize;
	s->windowsize = s->t.terms.windowsize;
	transfer_free(&s->t);
	s->open = false;
	memset(&s->t, 0xa5, sizeof(s->t));
	sim_trace(h->node.sim, "%s closed %u: outcome %d, code %u, %s", h->client ? "client" : "server", s->tid,
	    s->result.outcome, s->result.code, s->result.text);
}

struct sim_session *sim_host_session(struct sim_host *h, uint16_t tid)
{
	struct sim_session *s = h->session;

	while (s && s->tid != tid)
		s = s->older;
	return s;
}

static struct sim_session *open_session(struct sim_host *h, uint16_t tid, uint16_t peer)
{
	struct sim_session *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->older = h->session;
	s->tid = tid;
	s->peer = peer;
	s->open = true;
	s->wake_at = s->room_at = MONO_NEVER;
	h->session = s;
	return s;
}

/* The store at this end: the file, or an empty place for it. */
static void open_store(struct sim_host *h, struct sim_session *s, struct store *store)
{
	struct sim *sim = h->node.sim;
	bool slow = h->slow_store > 0 && sim_chance(&sim->rng, h->slow_store);

	if (h->client == h->put) {
		sim_store_source(&s->store, store, h->size, h->content, h->seekable);
		if (slow)
			s->store.visible = sim_between(&sim->rng, 0, h->size);
	} else {
		sim_store_sink(&s->store, store, h->size, h->seekable);
		if (slow)
			s->store.finish_again = (unsigned)sim_between(&sim->rng, 1, 3);
	}
}

/* The server's door. */

static void request_arrived(struct sim_host *h, const struct sim_datagram *d, const struct packet *p, mono_t now)
{
	struct sim_session *s = h->session;
	struct option_set asked, granted;
	struct option_terms terms;
	struct store store;
	bool put = p->op == PACKET_WRQ;

	if (s && s->open && !transfer_over(&s->t)) {
		if (!transfer_stale(&s->t, now)) {
			transfer_input(&s->t, p, now);
			return;
		}
		transfer_abandon(&s->t, "replaced by a new request", now);
	}
	if (s && s->open)
		close_session(h, s);
	sim_assert(h->node.sim, put == h->put, "the wrong kind of request");
	s = open_session(h, h->next_tid++, d->from);
	open_store(h, s, &store);
	options_parse(&asked, p);
	options_accept(&asked, put, &h->limits, h->announce ? h->size : TSIZE_UNKNOWN, &granted, &terms);
	/* A source that can only go forward remembers one window, as store_file does. */
	s->store.keep = (uint64_t)terms.windowsize * terms.blksize;
	if (put)
		transfer_serve_put(&s->t, &store, &h->gather, &granted, &terms, &h->policy, now);
	else
		transfer_serve_get(&s->t, &store, &granted, &terms, &h->policy, now);
}

/* What the simulator calls. */

static void reject(struct sim_host *h, const struct sim_datagram *d)
{
	uint8_t buf[64];

	sim_send(&h->node, d->to, d->from, buf, packet_error(buf, sizeof(buf), ERROR_UNKNOWN_TID, "no such transfer"));
}

static void host_input(struct sim_node *n, const struct sim_datagram *d, mono_t now)
{
	struct sim_host *h = (struct sim_host *)n;
	struct sim_session *s = sim_host_session(h, d->to);
	struct packet p;

	if (!d->icmp && packet_decode(&p, d->buf, d->len) != PACKET_OK)
		sim_fail(n->sim, "a datagram that is no packet");
	if (!h->client && d->to == SIM_LISTENER && !d->icmp) {
		if (p.op == PACKET_RRQ || p.op == PACKET_WRQ)
			request_arrived(h, d, &p, now);
		return;
	}
	if (!s || !s->open || transfer_over(&s->t)) {
		sim_refuse(n, d);
		return;
	}
	if (d->icmp) {
		if (d->from == s->peer)
			transfer_unreachable(&s->t, ECONNREFUSED, now);
		return;
	}
	if (s->peer == 0)
		s->peer = d->from; /* the server's TID */
	if (d->from != s->peer) {
		if (p.op != PACKET_ERROR)
			reject(h, d);
		return;
	}
	transfer_input(&s->t, &p, now);
}

static void host_timeout(struct sim_node *n, mono_t now)
{
	struct sim_host *h = (struct sim_host *)n;
	struct sim_session *s = h->session;

	if (!s || !s->open)
		return;
	if (s->wake_at <= now) {
		uint64_t left = s->store.len - s->store.visible;

		s->wake_at = MONO_NEVER;
		s->waits++;
		s->store.wants_wake = false;
		if (!s->store.sink)
			s->store.visible += sim_between(&n->sim->rng, left < 5000 ? left : 5000, left);
		transfer_wake(&s->t, now);
	}
	if (s->room_at <= now)
		s->room_at = MONO_NEVER;
	if (transfer_deadline(&s->t) <= now)
		transfer_timeout(&s->t, now);
}

static mono_t host_deadline(const struct sim_node *n)
{
	const struct sim_host *h = (const struct sim_host *)n;
	const struct sim_session *s = h->session;
	mono_t at;

	if (!s || !s->open)
		return MONO_NEVER;
	at = transfer_deadline(&s->t);
	if (s->wake_at < at)
		at = s->wake_at;
	return s->room_at < at ? s->room_at : at;
}

static uint16_t destination(const struct sim_host *h, const struct sim_session *s, const struct packet *p)
{
	if (s->peer == 0)
		return SIM_LISTENER;
	sim_assert(h->node.sim, p->op != PACKET_RRQ && p->op != PACKET_WRQ, "a request after it was answered");
	return s->peer;
}

static void send_run(struct sim_host *h, struct sim_session *s, const struct run *run, size_t take)
{
	for (size_t i = 0; i < take; i++) {
		const uint8_t *buf = run->buf + i * run->seg;
		size_t len = run->len - i * run->seg < run->seg ? run->len - i * run->seg : run->seg;
		struct packet p;

		sim_assert(h->node.sim, packet_decode(&p, buf, len) == PACKET_OK, "sent something that is no packet");
		s->datagrams++;
		s->data += p.op == PACKET_DATA;
		s->acks += p.op == PACKET_ACK;
		sim_send(&h->node, s->tid, destination(h, s, &p), buf, len);
	}
}

static void check_run(const struct sim_host *h, const struct run *run)
{
	struct sim *sim = h->node.sim;

	sim_assert(sim, run->len > 0 && run->seg > 0, "an empty run");
	sim_assert(sim, run->buf == h->scratch && run->len <= h->cap, "a run outside of the scratch buffer");
	sim_assert(sim, run_count(run) <= TRANSFER_SEGMENTS, "a run of %zu datagrams", run_count(run));
}

static void drain(struct sim_host *h, struct sim_session *s, mono_t now)
{
	struct sim *sim = h->node.sim;
	uint64_t before = s->datagrams;
	uint64_t most = s->t.terms.windowsize + 2u;
	struct run run;

	while (transfer_pull(&s->t, h->scratch, h->cap, &run, now)) {
		size_t n = run_count(&run), take = n;

		check_run(h, &run);
		if (h->full > 0 && sim_chance(&sim->rng, h->full))
			take = sim_between(&sim->rng, 0, n);
		send_run(h, s, &run, take);
		transfer_sent(&s->t, take, now);
		memset(h->scratch, 0xa5, h->cap < 4096 ? h->cap : 4096);
		sim_assert(sim, s->datagrams - before <= most, "more than a window sent at one wake-up");
		if (take < n && sim_chance(&sim->rng, 0.5)) {
			s->room_at = now + (mono_t)sim_between(&sim->rng, 1, 3 * MONO_MS);
			break;
		}
	}
	/* A full socket is no excuse to keep pointers into the receive buffers. */
	sim_assert(sim, h->gather.owner == NULL, "drained, and still gathering");
}

static void host_pump(struct sim_node *n, mono_t now)
{
	struct sim_host *h = (struct sim_host *)n;
	struct sim_session *s = h->session;

	if (!s || !s->open)
		return;
	drain(h, s, now);
	if (s->store.wants_wake && s->wake_at == MONO_NEVER)
		s->wake_at = now + (mono_t)sim_between(&n->sim->rng, 0, 200 * MONO_MS);
	if (s->store.broken)
		sim_fail(n->sim, "%s: %s", h->client ? "client" : "server", s->store.broken);
	if (transfer_over(&s->t))
		close_session(h, s);
}

static const struct sim_node_ops host_ops = {
	.input = host_input,
	.timeout = host_timeout,
	.pump = host_pump,
	.deadline = host_deadline,
};

void sim_host_init(struct sim_host *h, struct sim *sim, bool client)
{
	memset(h, 0, sizeof(*h));
	h->client = client;
	h->next_tid = 2000;
	h->seekable = true;
	h->announce = true;
	h->cap = PACKET_MAX + 1;
	h->policy = (struct transfer_policy){
		.give_up = 30 * MONO_SEC,
		.tries = 3,
		.dally_min = 1 * MONO_SEC,
		.dally_max = 10 * MONO_SEC,
	};
	h->limits = (struct option_limits){
		.blksize = BLKSIZE_MAX,
		.windowsize = WINDOWSIZE_MAX,
		.window_bytes = UINT32_MAX,
	};
	h->request = (struct transfer_request){.name = "file", .mode = "octet"};
	sim_add(sim, &h->node, client ? SIM_CLIENT : SIM_SERVER, &host_ops);
}

void sim_host_start(struct sim_host *h)
{
	struct sim_session *s;
	struct store store;
	mono_t now = h->node.sim->now;

	h->scratch = malloc(h->cap);
	if (!h->scratch)
		abort();
	if (!h->client)
		return;
	s = open_session(h, SIM_CLIENT_TID, 0);
	open_store(h, s, &store);
	if (h->put)
		transfer_put(&s->t, &store, &h->request, &h->policy, now);
	else
		transfer_get(&s->t, &store, &h->gather, &h->request, &h->policy, now);
}

void sim_host_free(struct sim_host *h)
{
	while (h->session) {
		struct sim_session *s = h->session;

		h->session = s->older;
		if (s->open)
			transfer_free(&s->t);
		sim_store_free(&s->store);
		free(s);
	}
	free(h->scratch);
}

/* A pair. */

void sim_pair_init(struct sim_pair *p, struct sim *sim, bool put)
{
	sim_host_init(&p->client, sim, true);
	sim_host_init(&p->server, sim, false);
	p->client.put = p->server.put = put;
	p->source = p->sink = NULL;
}

void sim_pair_file(struct sim_pair *p, size_t size, uint64_t content)
{
	struct option_set *offered = &p->client.request.offered;

	p->client.size = p->server.size = size;
	p->client.content = p->server.content = content;
	if (offered->present & OPTION_BIT(OPTION_TSIZE))
		offered->value[OPTION_TSIZE] = p->client.put ? size : 0;
}

static void check_file(struct sim *sim, const struct sim_session *source, const struct sim_session *sink)
{
	const struct sim_store *from = &source->store, *to = &sink->store;

	sim_assert(sim, to->finished && to->finishes >= 1, "the upload was not finished");
	sim_assert(sim, sim_store_same(from, to), "the files differ: %zu bytes, %zu arrived", from->len, to->len);
	sim_assert(sim, from->closes == 1 && to->closes == 1, "a store was not closed exactly once");
	sim_assert(sim, sink->result.bytes == from->len, "the receiver counts %llu bytes of %zu",
	    (unsigned long long)sink->result.bytes, from->len);
}

/* The receiver is done. The sender is too, unless everything that would have told it was lost. */
static bool check_verdicts(struct sim *sim, const struct sim_session *source, const struct sim_session *sink)
{
	const struct transfer_result *r = &source->result;

	sim_assert(sim, sink->result.outcome == TRANSFER_DONE, "the receiver's verdict is %d: %s", sink->result.outcome,
	    sink->result.text);
	if (r->outcome != TRANSFER_DONE) {
		sim_assert(sim, r->outcome == TRANSFER_TIMED_OUT || r->outcome == TRANSFER_UNREACHABLE,
		    "the sender's verdict is %d: %s", r->outcome, r->text);
		sim_assert(sim, sim->line[source->tid == SIM_CLIENT_TID ? SIM_CLIENT : SIM_SERVER].lost > 0,
		    "no ACK was lost, and yet the sender is in doubt");
		return false;
	}
	sim_assert(sim, r->bytes == source->store.len, "the sender counts %llu bytes", (unsigned long long)r->bytes);
	sim_assert(sim, r->code == 0 && r->text[0] == '\0', "a success with an error in it");
	return true;
}

static void check_counters(struct sim *sim, const struct sim_session *s, uint64_t blocks)
{
	const struct transfer_result *r = &s->result;

	sim_assert(sim, r->datagrams == s->datagrams, "%llu datagrams left, the result says %llu",
	    (unsigned long long)s->datagrams, (unsigned long long)r->datagrams);
	sim_assert(sim, r->ended >= r->started, "ended before it started");
	if (s->data > 0)
		sim_assert(sim, s->data - blocks <= r->resent, "%llu DATA for %llu blocks, and %llu were resent",
		    (unsigned long long)s->data, (unsigned long long)blocks, (unsigned long long)r->resent);
}

bool sim_pair_run(struct sim_pair *p)
{
	struct sim *sim = p->client.node.sim;
	struct sim_session *here, *there;
	bool sure;

	sim_host_start(&p->client);
	sim_host_start(&p->server);
	sim_run(sim);
	here = p->client.session;
	there = sim_host_session(&p->server, here->peer);
	sim_assert(sim, there && there->judged && here->judged, "the two never met");
	p->source = p->client.put ? here : there;
	p->sink = p->client.put ? there : here;
	sure = check_verdicts(sim, p->source, p->sink);
	check_file(sim, p->source, p->sink);
	sim_assert(sim, here->blksize == there->blksize && here->windowsize == there->windowsize,
	    "the two agreed on different things");
	p->blocks = p->client.size / here->blksize + 1;
	check_counters(sim, p->source, p->blocks);
	check_counters(sim, p->sink, p->blocks);
	return sure;
}

void sim_pair_free(struct sim_pair *p)
{
	sim_host_free(&p->client);
	sim_host_free(&p->server);
}
