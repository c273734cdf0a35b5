/*
 * Memory that runs out when a test says so. Linked with --wrap for malloc, calloc, realloc, strdup, asprintf, free and
 * mmap, so it sees what our own code asks for and nothing of the C library's.
 */
#ifndef FAULT_ALLOC_H
#define FAULT_ALLOC_H

#include <stdbool.h>

/* The nth allocation from now on fails (1: the next), and with `onwards` all after it. 0: none. */
void fault_alloc_fail(unsigned n, bool onwards);

/* Whether one has failed since then. */
bool fault_alloc_hit(void);

/* What is allocated and not freed, and descriptors that are open: equal before and after what must leave nothing. */
long fault_alloc_live(void);
int fault_open_fds(void);

#endif
