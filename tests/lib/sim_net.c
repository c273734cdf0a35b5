/* See sim_net.h. */
#include "sim_net.h"

#include "packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t sim_random(struct sim_rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t sim_between(struct sim_rng *r, uint64_t lo, uint64_t hi)
{
	return lo + sim_random(r) % (hi - lo + 1);
}

bool sim_chance(struct sim_rng *r, double p)
{
	return (double)(sim_random(r) >> 11) < p * (double)(1ull << 53);
}

void sim_init(struct sim *sim, uint64_t seed)
{
	*sim = (struct sim){.rng.state = seed, .seed = seed, .now = 1000 * MONO_SEC, .limit = MONO_NEVER};
}

static void datagram_del(struct sim_datagram *d)
{
	memset(d->buf, 0xa5, d->len); /* whoever still holds a pointer into it reads nonsense */
	free(d->buf);
	free(d);
}

void sim_free(struct sim *sim)
{
	for (size_t i = 0; i < sim->events; i++)
		datagram_del(sim->heap[i].datagram);
	free(sim->heap);
	for (int side = 0; side < 2; side++) {
		struct sim_node *n = sim->node[side];

		for (size_t i = 0; n && i < n->waiting; i++)
			datagram_del(n->inbox[i]);
	}
}

void sim_add(struct sim *sim, struct sim_node *n, int side, const struct sim_node_ops *ops)
{
	n->ops = ops;
	n->sim = sim;
	n->side = side;
	n->waiting = 0;
	n->wake_at = MONO_NEVER;
	n->late_for = MONO_NEVER;
	sim->node[side] = n;
}

/* Trace. */

static void describe(const struct sim_datagram *d, char *text, size_t cap)
{
	static const char *const ops[] = {"?", "RRQ", "WRQ", "DATA", "ACK", "ERROR", "OACK"};
	struct packet p;

	if (d->icmp) {
		snprintf(text, cap, "ICMP: port %u is closed", d->from);
	} else if (packet_decode(&p, d->buf, d->len) != PACKET_OK) {
		snprintf(text, cap, "%zu bytes that are no packet", d->len);
	} else if (p.op == PACKET_DATA) {
		snprintf(text, cap, "DATA %u (%zu)", p.block, p.len);
	} else if (p.op == PACKET_ACK) {
		snprintf(text, cap, "ACK %u", p.block);
	} else if (p.op == PACKET_ERROR) {
		snprintf(text, cap, "ERROR %u %.*s", p.code, (int)p.len, p.text);
	} else {
		const char *name, *value;
		size_t at = 0, len = (size_t)snprintf(text, cap, "%s", ops[p.op]);

		while (packet_option(&p, &at, &name, &value) && len < cap)
			len += (size_t)snprintf(text + len, cap - len, " %s=%s", name, value);
	}
}

static void trace_datagram(const struct sim *sim, const char *what, int to, const struct sim_datagram *d)
{
	char text[200];

	if (!sim->verbose)
		return;
	describe(d, text, sizeof(text));
	sim_trace(sim, "%s %5u>%-5u %s%s", to == SIM_SERVER ? "C->S" : "S->C", d->from, d->to, text, what);
}

/* Events. */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

static void push(struct sim *sim, mono_t at, int side, struct sim_datagram *d)
{
	struct sim_event e = {.at = at, .serial = sim->serial++, .side = side, .datagram = d};
	size_t i = sim->events++;

	if (sim->events > sim->cap) {
		sim->cap = sim->cap ? sim->cap * 2 : 64;
		sim->heap = realloc(sim->heap, sim->cap * sizeof(*sim->heap));
		if (!sim->heap)
			abort();
	}
	for (; i && earlier(&e, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = e;
}

static struct sim_event pop(struct sim *sim)
{
	struct sim_event top = sim->heap[0], last = sim->heap[--sim->events];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= sim->events)
			break;
		if (child + 1 < sim->events && earlier(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!earlier(&sim->heap[child], &last))
			break;
		sim->heap[i] = sim->heap[child];
		i = child;
	}
	if (sim->events)
		sim->heap[i] = last;
	return top;
}

/* Lines. */

static struct sim_datagram *datagram_new(uint16_t from, uint16_t to, const void *buf, size_t len)
{
	struct sim_datagram *d = calloc(1, sizeof(*d));

	if (!d || !(d->buf = malloc(len ? len : 1)))
		abort();
	d->from = from;
	d->to = to;
	d->len = len;
	if (len)
		memcpy(d->buf, buf, len);
	return d;
}

static void carry(struct sim *sim, int to, struct sim_datagram *d)
{
	struct sim_line *line = &sim->line[to];
	mono_t at = sim->now + line->delay;

	if (line->jitter)
		at += (mono_t)sim_between(&sim->rng, 0, (uint64_t)line->jitter);
	if (line->reorder > 0 && sim_chance(&sim->rng, line->reorder)) {
		line->reordered++;
		at += (mono_t)sim_between(&sim->rng, 1, (uint64_t)line->late);
	} else {
		if (at < line->last)
			at = line->last;
		line->last = at;
	}
	push(sim, at, to, d);
}

void sim_send(struct sim_node *n, uint16_t from, uint16_t to, const void *buf, size_t len)
{
	struct sim *sim = n->sim;
	int side = !n->side;
	struct sim_line *line = &sim->line[side];
	struct sim_datagram *d = datagram_new(from, to, buf, len);

	line->sent++;
	if ((line->eats && line->eats(sim, d)) || sim_chance(&sim->rng, line->loss)) {
		line->lost++;
		trace_datagram(sim, "   LOST", side, d);
		datagram_del(d);
		return;
	}
	trace_datagram(sim, "", side, d);
	if (line->duplicate > 0 && sim_chance(&sim->rng, line->duplicate)) {
		line->doubled++;
		carry(sim, side, datagram_new(from, to, buf, len));
	}
	carry(sim, side, d);
}

void sim_refuse(struct sim_node *n, const struct sim_datagram *d)
{
	struct sim_datagram *back;

	if (!n->sim->icmp || d->icmp)
		return;
	back = datagram_new(d->to, d->from, NULL, 0);
	back->icmp = true;
	trace_datagram(n->sim, "", !n->side, back);
	carry(n->sim, !n->side, back);
}

/* The clock. */

static mono_t lag(struct sim_node *n)
{
	struct sim *sim = n->sim;

	return n->lag && sim_chance(&sim->rng, 0.5) ? (mono_t)sim_between(&sim->rng, 0, (uint64_t)n->lag) : 0;
}

/* When the node runs next: its inbox, or its deadline and the lag that belongs to it. */
static mono_t due(struct sim_node *n)
{
	mono_t deadline = n->ops->deadline(n);

	if (deadline == MONO_NEVER)
		return n->wake_at;
	if (deadline != n->late_for) {
		n->late_for = deadline;
		n->late = lag(n);
	}
	deadline += n->late;
	return deadline < n->wake_at ? deadline : n->wake_at;
}

static void arrive(struct sim *sim, int side, struct sim_datagram *d)
{
	struct sim_node *n = sim->node[side];

	if (n->waiting == SIM_INBOX) {
		sim->line[side].lost++; /* the socket buffer is full */
		datagram_del(d);
		return;
	}
	if (n->waiting == 0)
		n->wake_at = sim->now + lag(n);
	n->inbox[n->waiting++] = d;
}

/* One wake-up: everything that has come, the timer if it is due, then one pump, then the buffers are gone. */
static void step(struct sim *sim, struct sim_node *n)
{
	bool timer_first = sim_chance(&sim->rng, 0.5);
	mono_t deadline = n->ops->deadline(n);

	if (timer_first && deadline <= sim->now)
		n->ops->timeout(n, sim->now);
	for (size_t i = 0; i < n->waiting; i++)
		n->ops->input(n, n->inbox[i], sim->now);
	if (!timer_first && n->ops->deadline(n) <= sim->now)
		n->ops->timeout(n, sim->now);
	n->ops->pump(n, sim->now);
	for (size_t i = 0; i < n->waiting; i++)
		datagram_del(n->inbox[i]);
	n->waiting = 0;
	n->wake_at = MONO_NEVER;
}

void sim_run(struct sim *sim)
{
	for (int side = 0; side < 2; side++)
		step(sim, sim->node[side]);
	for (;;) {
		mono_t at[3] = {due(sim->node[0]), due(sim->node[1]), sim->events ? sim->heap[0].at : MONO_NEVER};
		int first = at[0] <= at[1] ? 0 : 1;

		if (at[2] <= at[first]) /* what arrives at the same moment is there to be read */
			first = 2;
		if (at[first] == MONO_NEVER)
			return;
		sim->idle = at[first] > sim->now ? 0 : sim->idle + 1;
		sim_assert(sim, sim->idle < 20000, "the clock stands still: somebody's deadline does not move");
		if (at[first] > sim->now)
			sim->now = at[first];
		sim_assert(sim, sim->now <= sim->limit, "not over in time");
		if (first == 2) {
			struct sim_event e = pop(sim);

			arrive(sim, e.side, e.datagram);
		} else {
			step(sim, sim->node[first]);
		}
	}
}
