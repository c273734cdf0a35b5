/* What the server is doing right now, as lines of its log: one for each running transfer, then the counters. */
#ifndef STATS_H
#define STATS_H

#include "server.h"

void stats_log(const struct server *s, mono_t now);

#endif
