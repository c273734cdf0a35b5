/*
 * The front of every simulator program: runs a scenario once per seed, some seeds to a process.
 *
 *	SIM_SEED=n   only that seed, with every datagram shown
 *	SIM_RUNS=n   that many seeds, from 1 on
 */
#ifndef SIM_MAIN_H
#define SIM_MAIN_H

#include "sim_net.h"

/* What all runs of a program add up to; shared between the processes, and wrong once a seed has failed. */
struct sim_totals {
	uint64_t runs;
	uint64_t generals;        /* runs in which the sender never heard of the receiver's success */
	uint64_t sum[16];         /* the scenario's own */
};

/* A scenario runs one seed: sim_init() has been called; it describes its setting, and sim_fail() ends it. */
struct sim_scenario {
	const char *name;                                  /* of the program */
	unsigned runs;                                     /* seeds in `make check` */
	void (*run)(struct sim *sim, struct sim_totals *totals);
	void (*sum_up)(const struct sim_totals *totals);   /* after all seeds, with ck_assert; may be NULL */
};

int sim_main(int argc, char **argv, const struct sim_scenario *scenario);

/* A line about this run's setting, shown when it fails or when it is verbose. */
void sim_describe(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
