/*
 * Our client against our server, both roles, over every kind of bad line: whatever the line does, the file arrives byte
 * for byte, both ends come to the right verdict, in bounded time and with a bounded number of datagrams.
 */
#include "sim_host.h"
#include "sim_main.h"

#include <check.h>
#include <stdio.h>

struct setting {
	bool put, options;
	size_t blksize, windowsize;
	double loss;
	bool calm;        /* order is kept, nothing is doubled, stores and sockets are quick */
	mono_t fixed;     /* the agreed interval, 0: none */
};

/* sim_totals.sum[] */
enum { CALM_DATA, CALM_BUDGET, CALM_ACKS, CALM_ACK_BUDGET };

static void add(uint64_t *sum, uint64_t n)
{
	__atomic_add_fetch(sum, n, __ATOMIC_RELAXED);
}

static size_t pick_size(struct sim_rng *r, size_t blksize)
{
	size_t many = sim_between(r, 2, 40);

	switch (sim_between(r, 0, 9)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return blksize - 1;
	case 3:
		return blksize;
	case 4:
		return blksize + 1;
	case 5:
		return many * blksize;
	case 6:
		return many * blksize + sim_between(r, 1, blksize - 1);
	default:
		return blksize * sim_between(r, 40, 3000) + sim_between(r, 0, blksize);
	}
}

static void pick_line(struct sim *sim, struct sim_line *line, const struct setting *set)
{
	struct sim_rng *r = &sim->rng;

	line->loss = set->loss;
	line->delay = (mono_t)sim_between(r, 10 * MONO_US, sim_chance(r, 0.3) ? 150 * MONO_MS : 3 * MONO_MS);
	if (set->calm)
		return;
	if (sim_chance(r, 0.5))
		line->jitter = (mono_t)sim_between(r, 1, (uint64_t)line->delay * 2);
	if (sim_chance(r, 0.4))
		line->duplicate = (double)sim_between(r, 1, 100) / 500;
	if (sim_chance(r, 0.4))
		line->reorder = (double)sim_between(r, 1, 100) / 500;
	line->late = (mono_t)sim_between(r, 1, (uint64_t)line->delay * 4);
}

static void offer(struct option_set *o, struct setting *set, struct sim_rng *r)
{
	set->blksize = PACKET_BLKSIZE;
	set->windowsize = 1;
	if (!set->options)
		return;
	if (sim_chance(r, 0.5))
		options_add(o, OPTION_TSIZE, 0);
	if (sim_chance(r, 0.8))
		options_add(o, OPTION_BLKSIZE, set->blksize = sim_between(r, 8, 1468));
	if (sim_chance(r, 0.8))
		options_add(o, OPTION_WINDOWSIZE, set->windowsize = sim_between(r, 1, 64));
	if (sim_chance(r, 0.3))
		options_add(o, OPTION_ROLLOVER, sim_between(r, 0, 1));
	if (sim_chance(r, 0.1))
		options_add(o, OPTION_TIMEOUT, sim_between(r, 1, 5));
	else if (sim_chance(r, 0.1))
		options_add(o, OPTION_UTIMEOUT, sim_between(r, 100000, 5000000));
	set->fixed = (mono_t)o->value[OPTION_TIMEOUT] * MONO_SEC + (mono_t)o->value[OPTION_UTIMEOUT] * MONO_US;
	if (o->n == 0)
		options_add(o, OPTION_TSIZE, 0);
}

static void disturb(struct sim_pair *p, struct sim_rng *r)
{
	p->client.node.lag = sim_chance(r, 0.5) ? (mono_t)sim_between(r, 1, 5 * MONO_MS) : 0;
	p->server.node.lag = sim_chance(r, 0.5) ? (mono_t)sim_between(r, 1, 5 * MONO_MS) : 0;
	p->client.full = p->server.full = sim_chance(r, 0.2) ? 0.1 : 0;
	p->client.slow_store = p->server.slow_store = sim_chance(r, 0.2) ? 1 : 0;
	p->client.seekable = sim_chance(r, 0.7);
	p->server.seekable = sim_chance(r, 0.7);
}

static void setup(struct sim *sim, struct setting *set, struct sim_pair *p)
{
	struct sim_rng *r = &sim->rng;

	set->put = sim_chance(r, 0.5);
	set->options = sim_chance(r, 0.8);
	set->loss = sim_chance(r, 0.25) ? 0 : (double)sim_between(r, 0, 1000) / 4000;
	set->calm = sim_chance(r, 0.4);
	sim_pair_init(p, sim, set->put);
	offer(&p->client.request.offered, set, r);
	sim_pair_file(p, pick_size(r, set->blksize), sim->seed);
	p->server.announce = sim_chance(r, 0.7);
	if (sim_chance(r, 0.1))
		p->server.limits.refuse = OPTION_BIT(sim_between(r, OPTION_TIMEOUT, OPTION_COUNT - 1));
	sim->icmp = sim_chance(r, 0.5);
	for (int side = 0; side < 2; side++)
		pick_line(sim, &sim->line[side], set);
	if (!set->calm)
		disturb(p, r);
	/* Giving up is tested elsewhere: here a peer that is deaf by bad luck is not given up. */
	p->client.policy.tries = p->server.policy.tries = 40;
	p->client.policy.give_up = p->server.policy.give_up = 600 * MONO_SEC;
	sim_describe(sim, "%s, %zu bytes, blksize %zu, windowsize %zu%s, loss %.1f %%%s, delay %.2f+%.2f ms",
	    set->put ? "put" : "get", p->client.size, set->blksize, set->windowsize, set->options ? "" : ", no options",
	    set->loss * 100, set->calm ? ", calm" : "", (double)sim->line[0].delay / 1e6,
	    (double)sim->line[1].delay / 1e6);
}

/* The longest that an answer can take. */
static mono_t slowest(const struct sim_pair *p, const struct sim_line *line)
{
	mono_t time = p->client.node.lag + p->server.node.lag + 10 * MONO_MS; /* 10 ms: a socket may be full */

	for (int side = 0; side < 2; side++)
		time += line[side].delay + line[side].jitter + line[side].late;
	return time;
}

/* How much went wrong. A store that made its transfer wait counts like a few losses. */
static uint64_t mishaps(const struct sim_pair *p, const struct sim_line *line)
{
	return line[0].lost + line[1].lost + line[0].reordered + line[1].reordered +
	    5u * (p->source->waits + p->sink->waits) + 5u;
}

/* Each round trip moves a window, and whatever goes wrong costs one interval at most. */
static void check_time(struct sim *sim, const struct setting *set, const struct sim_pair *p)
{
	mono_t rtt = slowest(p, sim->line), elapsed = p->sink->result.ended - p->sink->result.started;
	mono_t interval = set->fixed + RETRANSMIT_MAX + 3 * rtt;
	mono_t most = (mono_t)(p->blocks / p->source->windowsize + 3) * rtt + (mono_t)mishaps(p, sim->line) * interval;

	sim_assert(sim, elapsed <= most, "took %.3f s, %.3f would do", (double)elapsed / 1e9, (double)most / 1e9);
}

/*
 * No storm: whatever goes wrong costs at most one window sent again, and at most a few ACKs. Only an agreed interval
 * that is shorter than the round trip cannot be helped.
 */
static void check_storm(struct sim *sim, const struct setting *set, const struct sim_pair *p)
{
	const struct sim_line *line = sim->line;
	uint64_t wrong = mishaps(p, line);
	uint64_t windows = p->blocks / p->source->windowsize + 1;
	uint64_t most = p->blocks + wrong * p->source->windowsize;
	uint64_t most_acks = windows + 2 * (wrong + line[0].doubled + line[1].doubled);

	if (set->fixed > 0 && set->fixed < slowest(p, line))
		return;
	sim_assert(sim, p->source->data <= most, "%llu DATA for %llu blocks, at most %llu would do",
	    (unsigned long long)p->source->data, (unsigned long long)p->blocks, (unsigned long long)most);
	sim_assert(sim, p->sink->acks <= most_acks, "%llu ACKs for %llu windows, at most %llu would do",
	    (unsigned long long)p->sink->acks, (unsigned long long)windows, (unsigned long long)most_acks);
	if (set->calm && set->loss == 0)
		sim_assert(sim, p->source->data == p->blocks && p->sink->acks <= windows + 1 && p->source->result.resent == 0,
		    "%llu DATA and %llu ACKs for %llu blocks on a line without a fault", (unsigned long long)p->source->data,
		    (unsigned long long)p->sink->acks, (unsigned long long)p->blocks);
}

/*
 * What a lost datagram costs on average, where order is kept. A whole window would be the plain RFC 7440 price; keeping
 * the blocks past a hole must bring it to about a third.
 */
static void add_up(struct sim_totals *totals, const struct setting *set, const struct sim_pair *p)
{
	uint64_t windows = p->blocks / p->source->windowsize + 1;
	double loss = set->loss, w = (double)p->source->windowsize;

	if (!set->calm || set->loss == 0)
		return;
	add(&totals->sum[CALM_DATA], p->source->data - p->blocks);
	add(&totals->sum[CALM_BUDGET], (uint64_t)((double)p->blocks * loss * (1 + w / 3)));
	add(&totals->sum[CALM_ACKS], p->sink->acks - windows);
	add(&totals->sum[CALM_ACK_BUDGET], (uint64_t)((double)p->blocks * loss * 1.5));
}

static void sum_up(const struct sim_totals *totals)
{
	const uint64_t *sum = totals->sum;

	ck_assert_msg(totals->generals * 100 <= totals->runs * 3 + 200, "%llu of %llu senders were left in doubt",
	    (unsigned long long)totals->generals, (unsigned long long)totals->runs);
	/* The constants leave room for the luck of few runs. */
	ck_assert_msg(sum[CALM_DATA] <= sum[CALM_BUDGET] + 10000, "%llu DATA sent again, at most %llu would do",
	    (unsigned long long)sum[CALM_DATA], (unsigned long long)sum[CALM_BUDGET]);
	ck_assert_msg(sum[CALM_ACKS] <= sum[CALM_ACK_BUDGET] + 2000, "%llu ACKs sent again, at most %llu would do",
	    (unsigned long long)sum[CALM_ACKS], (unsigned long long)sum[CALM_ACK_BUDGET]);
	printf("%llu runs, %llu senders left in doubt; losses cost %llu DATA (budget %llu) and %llu ACKs (budget %llu)\n",
	    (unsigned long long)totals->runs, (unsigned long long)totals->generals, (unsigned long long)sum[CALM_DATA],
	    (unsigned long long)sum[CALM_BUDGET], (unsigned long long)sum[CALM_ACKS],
	    (unsigned long long)sum[CALM_ACK_BUDGET]);
}

static void scenario(struct sim *sim, struct sim_totals *totals)
{
	struct sim_pair p;
	struct setting set = {0};

	setup(sim, &set, &p);
	sim->limit = sim->now + 24 * 3600 * MONO_SEC;
	if (sim_pair_run(&p)) {
		check_storm(sim, &set, &p);
		check_time(sim, &set, &p);
		add_up(totals, &set, &p);
	} else {
		add(&totals->generals, 1);
	}
	sim_pair_free(&p);
}

int main(int argc, char **argv)
{
	static const struct sim_scenario what = {.name = "sim_transfer", .runs = 3000, .run = scenario, .sum_up = sum_up};

	return sim_main(argc, argv, &what);
}
