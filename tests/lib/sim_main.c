/* See sim_main.h. */
#include "sim_main.h"

#include <check.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEEDS_PER_PROCESS 20 /* a fork for each would cost more than the run, with sanitizers above all */

static const struct sim_scenario *scenario;
static struct sim_totals *totals;
static bool verbose;
static unsigned long first_seed = 1, runs;
static char repeat[300];      /* the command line that brings this run back */
static char setting[600];

/* Sanitizers end the process by themselves; this is how they let one say goodbye. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void say_repeat(void)
{
	ssize_t ignored = write(STDERR_FILENO, repeat, strlen(repeat));

	ignored = write(STDERR_FILENO, setting, strlen(setting));
	(void)ignored;
}

static void died(int sig)
{
	say_repeat();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void one_seed(unsigned long seed)
{
	struct sim sim;

	sim_init(&sim, seed);
	sim.verbose = verbose;
	setting[0] = '\0';
	snprintf(repeat, sizeof(repeat), "repeat with: SIM_SEED=%lu build/tests/%s\n", seed, scenario->name);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_repeat);
	else
		signal(SIGSEGV, died);
	__atomic_add_fetch(&totals->runs, 1, __ATOMIC_RELAXED);
	scenario->run(&sim, totals);
	sim_free(&sim);
}

START_TEST(ends_well_for_these_seeds)
{
	unsigned long from = (unsigned long)_i * SEEDS_PER_PROCESS;

	for (unsigned long i = from; i < runs && i < from + SEEDS_PER_PROCESS; i++)
		one_seed(first_seed + i);
}
END_TEST

START_TEST(all_seeds_together)
{
	scenario->sum_up(totals);
}
END_TEST

void sim_describe(struct sim *sim, const char *fmt, ...)
{
	va_list ap;
	size_t len = strlen(setting);

	va_start(ap, fmt);
	vsnprintf(setting + len, sizeof(setting) - len, fmt, ap);
	va_end(ap);
	sim_trace(sim, "%s", setting + len);
	len = strlen(setting);
	snprintf(setting + len, sizeof(setting) - len, "\n");
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	ck_abort_msg("%s (after %.3f s)\n\t%s\t%s", why, (double)(sim->now - 1000 * MONO_SEC) / 1e9, repeat, setting);
	abort();
}

void sim_trace(const struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (!sim->verbose)
		return;
	va_start(ap, fmt);
	printf("%12.6f  ", (double)(sim->now - 1000 * MONO_SEC) / 1e9);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static unsigned long number(const char *name, unsigned long fallback)
{
	const char *text = getenv(name);

	return text && *text ? strtoul(text, NULL, 0) : fallback;
}

int sim_main(int argc, char **argv, const struct sim_scenario *what)
{
	Suite *suite = suite_create(what->name);
	TCase *tcase = tcase_create("seeds");
	SRunner *runner;
	int failed;

	(void)argc, (void)argv;
	scenario = what;
	runs = number("SIM_RUNS", what->runs);
	totals = mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED)
		return EXIT_FAILURE;
	if (getenv("SIM_SEED")) {
		first_seed = number("SIM_SEED", 1);
		runs = 1;
		verbose = true;
		setvbuf(stdout, NULL, _IOLBF, 0);
	}
	tcase_set_timeout(tcase, 600);
	tcase_add_loop_test(tcase, ends_well_for_these_seeds, 0, (int)((runs + SEEDS_PER_PROCESS - 1) / SEEDS_PER_PROCESS));
	if (what->sum_up && !verbose)
		tcase_add_test(tcase, all_seeds_together);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	if (verbose)
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
