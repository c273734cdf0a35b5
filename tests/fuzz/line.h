/*
 * What stands between a whole program and its fuzzer: the linker sends the calls by which udp.c, loop.c and monotime.c
 * reach the kernel's network and clock here (LINE_WRAPPED in the Makefile). Everything above them is the real program,
 * and so are its files; nothing here depends on the machine, its load or its clock, so an input that finds something
 * finds it again.
 */
#ifndef LINE_H
#define LINE_H

#include "addr.h"
#include "monotime.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct line_ears {
	/* A datagram leaves by socket `fd`. */
	void (*sent)(void *arg, int fd, const struct addr *to, const uint8_t *buf, size_t len);
	/*
	 * The program waits, for `wait` nanoseconds or MONO_NEVER. What arrives meanwhile may be put, time may pass. NULL:
	 * nothing happens.
	 */
	void (*waits)(void *arg, mono_t wait);
	void *arg;
};

/* An empty line at this time. `ears` must outlive its use. */
void line_start(mono_t now, const struct line_ears *ears);

/* Forget what is still under way, before the program under test frees its buffers. */
void line_stop(void);

mono_t line_now(void);
void line_pass(mono_t by);

/* A datagram arrives at socket `fd`; GROUP: sent to a broadcast address. Past a few of them it is lost. */
#define LINE_GROUP 1
void line_put(int fd, const struct addr *from, const void *buf, size_t len, unsigned flags);

/* Nothing that was put to it is still on its way. */
bool line_idle(int fd);

/* ICMP says `err` about what went from `fd` to `peer`. */
void line_icmp(int fd, const struct addr *peer, int err);

/* Sockets have room, or none; or take `part` datagrams of a call (0: all of them). */
void line_room(bool room, unsigned part);

/* The next `n` calls that send fail so (errno; 0: they do not), and the next `m` that make a socket. */
void line_fail_send(int err, unsigned n);
void line_fail_socket(int err, unsigned m);

/* How many temporary files of ours lie in the directory and those below it, all of whose files go if told so. */
unsigned line_leftovers(const char *dir, bool remove);

#endif
