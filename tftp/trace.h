/* A packet in words, for the trace. Prints nothing. */
#ifndef TRACE_H
#define TRACE_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "sent RRQ <file=x, mode=octet, blksize=1468> to 192.0.2.1:69", safe for a terminal, without a newline. Returns buf.
 */
char *trace_packet(char *buf, size_t cap, bool sent, const struct addr *peer, const uint8_t *bytes, size_t len);

#endif
