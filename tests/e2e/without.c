/*
 * Stands before main() of the real programs, linked once more with this in front (make check-without): FORCED are
 * `--without` options, put before those of the command line, so that every end-to-end test runs without a fast path.
 * Nothing else is different: the name in argv[0], the process and its descriptors are what the test made them.
 */
#include <stdlib.h>
#include <string.h>

int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);

int __wrap_main(int argc, char **argv)
{
	static char *const forced[] = {FORCED};
	int n = sizeof(forced) / sizeof(forced[0]);
	static char **all; /* for good, as argv is */

	all = calloc((size_t)(argc + n) + 1, sizeof(*all));
	if (all == NULL || argc < 1)
		return 71;
	all[0] = argv[0];
	memcpy(all + 1, forced, sizeof(forced));
	memcpy(all + 1 + n, argv + 1, (size_t)argc * sizeof(*argv));
	return __real_main(argc + n, all);
}
