/*
 * Memory that ends at an inaccessible page, so that a test dies when code reads or writes one byte too far. Sanitizers
 * see much of this as well; a guard page sees it in every build.
 */
#ifndef UNIT_GUARD_H
#define UNIT_GUARD_H

#include <stddef.h>
#include <stdint.h>

#define UNIT_GUARD_ROOM 131072

/* A new region: the UNIT_GUARD_ROOM bytes before the result may be used, the byte at it may not. Never freed. */
uint8_t *unit_guard_end(void);

/* Copy `len` bytes to where they end at the guard page; returns their start. */
uint8_t *unit_guard_copy(uint8_t *end, const void *bytes, size_t len);

#endif
