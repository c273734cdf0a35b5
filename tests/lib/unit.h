/* What every Check program here shares: one macro that makes main() from a list of tests. */
#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stdlib.h>

/*
 * UNIT_MAIN("name", test_a, test_b, ...): runs each test in a process of its own with a bound of 300 s (CK_FORK=no to
 * debug), prints Check's summary and fails when one fails.
 */
#define UNIT_MAIN(label, ...) \
	int main(void) \
	{ \
		const TTest *const tests[] = {__VA_ARGS__}; \
		Suite *suite = suite_create(label); \
		TCase *tcase = tcase_create(label); \
		tcase_set_timeout(tcase, 300); \
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) \
			tcase_add_test(tcase, tests[i]); \
		suite_add_tcase(suite, tcase); \
		SRunner *runner = srunner_create(suite); \
		srunner_run_all(runner, CK_NORMAL); \
		int failed = srunner_ntests_failed(runner); \
		srunner_free(runner); \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS; \
	}

#endif
