/*
 * A foreign sender that goes from block 65535 to 1, or to 0, and says so to nobody: our receiver finds out by itself
 * and the file is right, with datagrams lost there too.
 */
#include "peer_foreign.h"
#include "sim_host.h"
#include "sim_main.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct peer_habits kinds[] = {
	{.name = "lockstep to 0", .options = true, .windowsize = 1, .timer = MONO_SEC},
	{.name = "lockstep to 1", .options = true, .windowsize = 1, .timer = MONO_SEC, .rolls_to_one = true},
	{.name = "windows to 0", .options = true, .windowsize = 64, .timer = MONO_SEC},
	{.name = "windows to 1", .options = true, .windowsize = 64, .timer = MONO_SEC, .rolls_to_one = true},
	{.name = "windows to 0, slowly", .options = true, .windowsize = 64, .timer = 5 * MONO_SEC},
};

/* What matters happens here: a third of the datagrams around the wrap is eaten. */
static bool eats_at_the_wrap(struct sim *sim, const struct sim_datagram *d)
{
	unsigned block;

	if (d->len < 4 || (d->buf[1] != PACKET_DATA && d->buf[1] != PACKET_ACK))
		return false;
	block = (unsigned)(d->buf[2] << 8 | d->buf[3]);
	return (block > 65530 || block < 4) && sim_chance(&sim->rng, 0.33);
}

static void set_up_lines(struct sim *sim, bool eaten)
{
	for (int side = 0; side < 2; side++) {
		sim->line[side].delay = (mono_t)sim_between(&sim->rng, 10 * MONO_US, 2 * MONO_MS);
		sim->line[side].late = 1 * MONO_MS;
		sim->line[side].reorder = eaten && sim_chance(&sim->rng, 0.3) ? 0.01 : 0;
		sim->line[side].eats = eaten ? eats_at_the_wrap : NULL;
	}
	sim->limit = sim->now + 24 * 3600 * MONO_SEC;
}

static void scenario(struct sim *sim, struct sim_totals *totals)
{
	const struct peer_habits *habits = &kinds[sim_between(&sim->rng, 0, sizeof(kinds) / sizeof(kinds[0]) - 1)];
	bool we_serve = sim_chance(&sim->rng, 0.5), eaten = sim_chance(&sim->rng, 0.7);
	uint32_t windowsize = (uint32_t)sim_between(&sim->rng, habits->windowsize > 1 ? 2 : 1, habits->windowsize);
	size_t size = 8 * sim_between(&sim->rng, 65534, 65536 + 2 * windowsize) + sim_between(&sim->rng, 0, 7);
	struct sim_host host;
	struct sim_store original;
	struct store unused;
	struct peer_foreign f;
	struct sim_session *s;

	(void)totals;
	if (sim_chance(&sim->rng, 0.1))
		size *= 2; /* and once more around */
	sim_store_source(&original, &unused, size, sim->seed, true);
	sim_host_init(&host, sim, !we_serve);
	host.put = we_serve;
	host.size = size;
	host.seekable = sim_chance(&sim->rng, 0.6);
	host.policy.tries = 40;
	host.policy.give_up = 600 * MONO_SEC;
	options_add(&host.request.offered, OPTION_BLKSIZE, 8);
	options_add(&host.request.offered, OPTION_WINDOWSIZE, windowsize);
	peer_foreign_init(&f, sim, habits, we_serve, true, original.bytes, size, size);
	f.blksize = 8;
	f.windowsize = windowsize;
	set_up_lines(sim, eaten);
	sim_describe(sim, "%s, we %s, %zu blocks, windowsize %u%s%s", habits->name, we_serve ? "serve" : "ask",
	    size / 8 + 1, windowsize, eaten ? ", losses at the wrap" : "", host.seekable ? "" : ", forward only");
	sim_host_start(&host);
	sim_run(sim);
	s = we_serve ? sim_host_session(&host, f.peer) : host.session;
	sim_assert(sim, s && s->judged, "the two never met");
	sim_assert(sim, s->result.outcome == TRANSFER_DONE, "our verdict is %d: %s", s->result.outcome, s->result.text);
	sim_assert(sim, sim_store_same(&original, &s->store), "the files differ: %zu bytes, %zu arrived", original.len,
	    s->store.len);
	sim_host_free(&host);
	sim_store_free(&original);
}

int main(int argc, char **argv)
{
	static const struct sim_scenario what = {.name = "sim_rollover", .runs = 120, .run = scenario};

	return sim_main(argc, argv, &what);
}
