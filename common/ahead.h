/*
 * Read-ahead: small reads of a file, served from a larger one.
 *
 * A client in lockstep costs a read a block, a tenth of all that its block costs. Each reader has a buffer of its own
 * while that pays, smaller where there are many: together they stay below AHEAD_TOTAL, or have AHEAD_LEAST each, and
 * where there are more than AHEAD_READERS nobody has one.
 */
#ifndef AHEAD_H
#define AHEAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define AHEAD_TOTAL (1u << 20)
#define AHEAD_MOST (16u << 10)      /* more leaves the processor's first cache before it is sent */
#define AHEAD_LEAST 4608u         /* three blocks of an Ethernet frame each */
#define AHEAD_READERS 1024
#define AHEAD_BLOCK 8192          /* for reads up to this; larger ones would be copied once more for nothing */

/* What the readers of a program share. All zero to begin with. */
struct ahead {
	size_t readers;
};

/* One of them. All zero to begin with. */
struct ahead_reader {
	struct ahead *ahead;          /* NULL: it reads nothing ahead */
	uint8_t *bytes;
	size_t cap;
	uint64_t off;                 /* where in the file `bytes` is from, and how much of it is there */
	size_t len;
};

/* Begin; `a` must outlive the reader. And end: what was read ahead is freed. */
void ahead_join(struct ahead_reader *r, struct ahead *a);
void ahead_leave(struct ahead_reader *r);

/*
 * Read `want` bytes at `off` of a file of `size` bytes, not behind its end, into vectors that hold as much. As preadv:
 * fewer where the file has become shorter, -1 and errno.
 */
ssize_t ahead_read(struct ahead_reader *r, int fd, uint64_t size, uint64_t off, const struct iovec *iov, int n,
    size_t want);

#endif
