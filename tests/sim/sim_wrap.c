/*
 * Files of more than 65535 blocks between our client and our server: the block number goes on with 0, or with 1 where
 * `rollover` says so, and nothing is lost or doubled where it does, whatever the line does there.
 */
#include "sim_host.h"
#include "sim_main.h"

#include <check.h>

/* Now and then a datagram right at the wrap is eaten, so that every kind of loss there is seen. */
static bool eats_at_the_wrap(struct sim *sim, const struct sim_datagram *d)
{
	unsigned block;

	if (d->len < 4 || (d->buf[1] != PACKET_DATA && d->buf[1] != PACKET_ACK))
		return false;
	block = (unsigned)(d->buf[2] << 8 | d->buf[3]);
	return (block > 65500 || block < 36) && sim_chance(&sim->rng, 0.1);
}

static size_t pick_blocks(struct sim_rng *r)
{
	return sim_chance(r, 0.5) ? sim_between(r, 65533, 65600) : sim_between(r, 65600, 140000);
}

static void setup(struct sim *sim, struct sim_pair *p)
{
	struct sim_rng *r = &sim->rng;
	struct option_set *o = &p->client.request.offered;
	size_t blksize = PACKET_BLKSIZE, windowsize = 1;
	double loss = sim_chance(r, 0.3) ? 0 : (double)sim_between(r, 0, 50) / 1000;

	sim_pair_init(p, sim, sim_chance(r, 0.5));
	if (sim_chance(r, 0.95)) {
		options_add(o, OPTION_BLKSIZE, blksize = sim_between(r, 8, 16));
		if (sim_chance(r, 0.9))
			options_add(o, OPTION_WINDOWSIZE, windowsize = sim_between(r, 1, 64));
		if (sim_chance(r, 0.6))
			options_add(o, OPTION_ROLLOVER, sim_between(r, 0, 1));
		if (sim_chance(r, 0.2))
			p->server.limits.refuse = OPTION_BIT(OPTION_ROLLOVER);
	}
	sim_pair_file(p, pick_blocks(r) * blksize + sim_between(r, 0, 1) * sim_between(r, 0, blksize), sim->seed);
	p->client.seekable = sim_chance(r, 0.7);
	p->server.seekable = sim_chance(r, 0.7);
	p->client.policy.tries = p->server.policy.tries = 40;
	p->client.policy.give_up = p->server.policy.give_up = 600 * MONO_SEC;
	for (int side = 0; side < 2; side++) {
		struct sim_line *line = &sim->line[side];

		line->loss = loss;
		line->delay = (mono_t)sim_between(r, 10 * MONO_US, 2 * MONO_MS);
		line->late = 2 * MONO_MS;
		line->duplicate = sim_chance(r, 0.3) ? 0.01 : 0;
		line->reorder = sim_chance(r, 0.3) ? 0.01 : 0;
		line->eats = sim_chance(r, 0.7) ? eats_at_the_wrap : NULL;
	}
	sim->limit = sim->now + 24 * 3600 * MONO_SEC;
	sim_describe(sim, "%s, %zu bytes, blksize %zu, windowsize %zu, rollover %d%s, loss %.1f %%",
	    p->client.put ? "put" : "get", p->client.size, blksize, windowsize,
	    o->present & OPTION_BIT(OPTION_ROLLOVER) ? (int)o->value[OPTION_ROLLOVER] : -1,
	    p->server.limits.refuse ? " refused" : "", loss * 100);
}

static void scenario(struct sim *sim, struct sim_totals *totals)
{
	struct sim_pair p;

	setup(sim, &p);
	if (!sim_pair_run(&p))
		__atomic_add_fetch(&totals->generals, 1, __ATOMIC_RELAXED);
	sim_pair_free(&p);
}

int main(int argc, char **argv)
{
	static const struct sim_scenario what = {.name = "sim_wrap", .runs = 120, .run = scenario};

	return sim_main(argc, argv, &what);
}
