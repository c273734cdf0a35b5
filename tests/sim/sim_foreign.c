/*
 * Our machine against models of other people's TFTP (peer_foreign.h), in each role: the file arrives whole, our verdict
 * is right, and our sender starts no storm whatever ACKs it is sent.
 */
#include "peer_foreign.h"
#include "sim_host.h"
#include "sim_main.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct peer_habits kinds[] = {
	/* RFC 1350 with the second that everybody's example has */
	{.name = "lockstep", .windowsize = 1, .timer = MONO_SEC},
	{.name = "lockstep, doubling", .windowsize = 1, .timer = MONO_SEC, .doubles = true},
	{.name = "lockstep with blksize", .options = true, .windowsize = 1, .timer = MONO_SEC, .leaves_at_once = true},
	{.name = "impatient", .options = true, .windowsize = 1, .timer = 100 * MONO_MS},
	{.name = "patient", .options = true, .windowsize = 1, .timer = 5 * MONO_SEC, .leaves_at_once = true},
	/* GRUB: never repeats an ACK by itself. As a sender it would be none, so it is kept for receiving: see pick(). */
	{.name = "silent", .options = true, .windowsize = 1},
	/* RFC 7440, discarding what comes past a hole */
	{.name = "one ACK per gap", .options = true, .windowsize = 64, .timer = MONO_SEC},
	{.name = "per gap, patient", .options = true, .windowsize = 32, .timer = 5 * MONO_SEC, .leaves_at_once = true},
	{.name = "one ACK per stray", .options = true, .windowsize = 64, .timer = 4 * MONO_SEC, .ack_every_stray = true},
};

struct setting {
	const struct peer_habits *habits;
	bool we_serve, put;
	bool we_send;
	uint32_t blksize, windowsize;
	size_t size;
	double loss;
};

static void pick(struct sim *sim, struct setting *set)
{
	struct sim_rng *r = &sim->rng;

	set->habits = &kinds[sim_between(r, 0, sizeof(kinds) / sizeof(kinds[0]) - 1)];
	set->we_serve = sim_chance(r, 0.5);
	set->put = sim_chance(r, 0.5);
	if (set->habits->timer == 0)
		set->put = !set->we_serve;
	set->we_send = set->we_serve != set->put;
	set->blksize = set->habits->options ? (uint32_t)sim_between(r, 8, 1468) : PACKET_BLKSIZE;
	set->windowsize = (uint32_t)sim_between(r, 1, set->habits->windowsize);
	set->size = sim_between(r, 0, 3) ? set->blksize * sim_between(r, 0, 400) + sim_between(r, 0, set->blksize) :
	                                   set->blksize * sim_between(r, 0, 10);
	set->loss = sim_chance(r, 0.3) ? 0 : (double)sim_between(r, 0, 100) / 1000;
	for (int side = 0; side < 2; side++) {
		struct sim_line *line = &sim->line[side];

		line->loss = set->loss;
		line->delay = (mono_t)sim_between(r, 10 * MONO_US, 20 * MONO_MS);
		line->jitter = sim_chance(r, 0.5) ? line->delay / 2 : 0;
		line->late = line->delay * 2;
		line->reorder = sim_chance(r, 0.3) ? (double)sim_between(r, 1, 50) / 1000 : 0;
		line->duplicate = sim_chance(r, 0.3) ? (double)sim_between(r, 1, 50) / 1000 : 0;
	}
	sim->icmp = sim_chance(r, 0.5);
	sim->limit = sim->now + 24 * 3600 * MONO_SEC;
}

static void set_up_host(struct sim_host *h, struct sim *sim, const struct setting *set)
{
	sim_host_init(h, sim, !set->we_serve);
	h->put = set->put;
	h->size = set->size;
	h->content = sim->seed;
	h->seekable = sim_chance(&sim->rng, 0.7);
	h->policy.tries = 40;
	h->policy.give_up = 600 * MONO_SEC;
	if (set->we_serve)
		return;
	options_add(&h->request.offered, OPTION_TSIZE, set->put ? set->size : 0);
	options_add(&h->request.offered, OPTION_BLKSIZE, set->blksize);
	options_add(&h->request.offered, OPTION_WINDOWSIZE, set->windowsize);
}

/* The same bytes that the host's store would hold. */
static uint8_t *make_file(const struct setting *set, uint64_t seed)
{
	struct sim_store s;
	struct store unused;

	sim_store_source(&s, &unused, set->size, seed, true);
	return s.bytes;
}

static void check_sender(struct sim *sim, const struct setting *set, const struct sim_session *s,
    const struct peer_foreign *f)
{
	uint64_t blocks = set->size / s->blksize + 1;
	uint64_t wrong = 0, most;

	sim_assert(sim, f->complete && !f->error, "the foreign receiver did not get the file");
	sim_assert(sim, f->size == set->size && memcmp(f->file, s->store.bytes, set->size) == 0, "the files differ");
	if (s->result.outcome != TRANSFER_DONE) {
		sim_assert(sim, s->result.outcome == TRANSFER_TIMED_OUT || s->result.outcome == TRANSFER_UNREACHABLE,
		    "our verdict is %d: %s", s->result.outcome, s->result.text);
		sim_assert(sim, set->loss > 0, "nothing was lost, and yet we are in doubt");
		return;
	}
	for (int side = 0; side < 2; side++)
		wrong += sim->line[side].lost + sim->line[side].reordered + sim->line[side].doubled;
	/*
	 * A doubled block looks like a gap to them, and what comes past a hole is thrown away: two restarts are fair. It
	 * also puts their windows out of step with ours for good (EDK2 counts a window from its last ACK, whatever that was
	 * for): each of their ACKs then falls inside a window of ours, which we cannot tell from a loss. It may cost every
	 * block once more, and no more than that.
	 */
	most = (wrong > 0 && s->windowsize > 1 ? 2 : 1) * blocks + 2 * (wrong + 2) * s->windowsize;
	sim_assert(sim, s->data <= most, "%llu DATA for %llu blocks, at most %llu would do", (unsigned long long)s->data,
	    (unsigned long long)blocks, (unsigned long long)most);
}

static void check_receiver(struct sim *sim, const struct setting *set, const struct sim_session *s,
    const struct peer_foreign *f)
{
	uint64_t most;

	sim_assert(sim, s->result.outcome == TRANSFER_DONE, "our verdict is %d: %s", s->result.outcome, s->result.text);
	sim_assert(sim, s->store.finished && s->store.closes == 1, "our file was not finished, or not closed once");
	sim_assert(sim, s->store.len == set->size && memcmp(f->file, s->store.bytes, set->size) == 0, "the files differ");
	sim_assert(sim, f->complete || set->loss > 0, "nothing was lost, and yet the sender is in doubt");
	sim_assert(sim, !f->error, "the sender was sent ERROR");
	/* An ACK answers at most one block, or comes from our own timer, which backs off while a slow sender waits. */
	most = f->data + sim->line[!f->node.side].doubled + 10 * (1 + sim->line[0].lost + sim->line[1].lost);
	sim_assert(sim, s->acks <= most, "%llu ACKs for %llu DATA", (unsigned long long)s->acks,
	    (unsigned long long)f->data);
}

static void scenario(struct sim *sim, struct sim_totals *totals)
{
	struct setting set = {0};
	struct sim_host host;
	struct peer_foreign f;
	struct sim_session *s;
	uint8_t *file;

	(void)totals;
	pick(sim, &set);
	set_up_host(&host, sim, &set);
	file = set.we_send ? calloc(1, set.size + 1) : make_file(&set, sim->seed);
	peer_foreign_init(&f, sim, set.habits, set.we_serve, !set.we_send, file, set.size, set.size);
	if (set.habits->options) {
		f.blksize = set.blksize;
		f.windowsize = set.windowsize;
	}
	sim_describe(sim, "%s, we %s and %s, %zu bytes, blksize %u, windowsize %u, loss %.1f %%", set.habits->name,
	    set.we_serve ? "serve" : "ask", set.we_send ? "send" : "receive", set.size, set.blksize, set.windowsize,
	    set.loss * 100);
	sim_host_start(&host);
	sim_run(sim);
	/* The session that the other side stayed with: a request that came late may have opened another one. */
	s = set.we_serve ? sim_host_session(&host, f.peer) : host.session;
	sim_assert(sim, s && s->judged, "the two never met");
	if (set.we_send)
		check_sender(sim, &set, s, &f);
	else
		check_receiver(sim, &set, s, &f);
	sim_host_free(&host);
	free(file);
}

int main(int argc, char **argv)
{
	static const struct sim_scenario what = {.name = "sim_foreign", .runs = 2000, .run = scenario};

	return sim_main(argc, argv, &what);
}
