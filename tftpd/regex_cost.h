/*
 * What a regular expression would cost, told from its text before the C library compiles it. Pure. Not a parser: what is
 * no expression at all is left to regcomp(3), which says so.
 */
#ifndef REGEX_COST_H
#define REGEX_COST_H

#define REGEX_COST_DEPTH 100     /* groups within each other */
#define REGEX_COST_REPEATS 1000  /* of one character, all the repetitions that it is within multiplied */
#define REGEX_COST_LENGTH 20000  /* characters, every repetition written out */

/*
 * Whether an extended regular expression stays within these. NULL: it does; else what is wrong, to be put behind it.
 *
 * C libraries write repetitions out: (((a{1,255}){1,255}){1,255}) is sixteen million characters and gigabytes, glibc
 * takes a second for one name with 2,500 of them, and calls itself for each open parenthesis until the stack is full.
 */
const char *regex_cost_check(const char *regex);

#endif
