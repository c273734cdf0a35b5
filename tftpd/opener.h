/*
 * A process beside the server that keeps what it takes to open sockets: it tries again, with the rights and the files
 * that the server has given up by then, what could not be listened on at start, and hands over what it got. It reads
 * nothing that comes from the network and ends with the server, or when nothing is missing any more.
 */
#ifndef OPENER_H
#define OPENER_H

#include "server.h"

/*
 * Start it, before rights and directories are given up; not where nothing is missing. Without it the server goes on, and
 * says so.
 */
void opener_start(struct server *s);

/* In it: hand over a copy of a socket. 0 or -errno. */
int opener_pass(const struct server *s, int fd, int address, const char *device);

/* End it. Safe if there is none. */
void opener_stop(struct server *s);

#endif
