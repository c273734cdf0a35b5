/* An assertion for inner loops: ck_assert tells its parent of every success, which costs a system call each time. */
#ifndef UNIT_MUST_H
#define UNIT_MUST_H

#include <check.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			ck_abort_msg("does not hold: %s", #cond); \
	} while (0)

#endif
