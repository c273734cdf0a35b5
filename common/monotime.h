/*
 * Monotonic time as one signed 64-bit count of nanoseconds.
 *
 * Everything that decides something takes `now` as an argument; only the event loop asks the clock, once per wake-up.
 * That is what lets the simulator run the protocol on a clock of its own.
 */
#ifndef MONOTIME_H
#define MONOTIME_H

#include <stdint.h>

typedef int64_t mono_t;

#define MONO_NEVER INT64_MAX           /* a deadline that never comes */
#define MONO_US    ((mono_t)1000)
#define MONO_MS    ((mono_t)1000000)
#define MONO_SEC   ((mono_t)1000000000)

/* The current time, CLOCK_MONOTONIC in nanoseconds. The only reader of the clock in this tree. */
mono_t mono_now(void);

#endif
