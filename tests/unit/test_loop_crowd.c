/* The event loop's tests once more, with every descriptor in the crowd. */
#define POLLED_MOST 0
#include "test_loop.c"
