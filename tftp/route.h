/* What the kernel says of the way to a server, before anything is sent. */
#ifndef ROUTE_H
#define ROUTE_H

#include "addr.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The largest block that the route carries without fragments; `from` is the local address, family 0: any. Returns 0, or
 * -errno where the kernel sends nothing there and no later try will change that: a session would take it for lost
 * packets. What a firewall or a full queue refuses is such a loss, it passes.
 */
int route_look(const struct addr *to, const struct addr *from, uint32_t *blksize);

/* What a person can do about that error, a positive errno; `bound`: they have chosen the local address. */
const char *route_hint(const struct addr *to, bool bound, int err);

#endif
