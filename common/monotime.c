/* The one place that reads the clock. */
#include "monotime.h"

#include <time.h>

mono_t mono_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (mono_t)ts.tv_sec * MONO_SEC + ts.tv_nsec;
}
