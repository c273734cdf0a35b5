/*
 * Write-behind: small writes to a file, collected into large ones.
 *
 * A block a write costs more than receiving the block; a quarter of a mebibyte at a time the file system works up to
 * ten times as fast. A few buffers, shared by all writers of a program; whoever comes when none is free writes through.
 * What is collected is in the file only after behind_flush(): an error of the disk may show up that late.
 */
#ifndef BEHIND_H
#define BEHIND_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define BEHIND_SLOTS 8
#define BEHIND_BYTES (256u << 10)

struct behind {
	struct behind_slot {
		const void *owner;       /* NULL: free */
		uint64_t off;            /* where in the file `bytes` belongs; all before it has been written */
		size_t len;
		uint8_t bytes[BEHIND_BYTES];
	} slots[BEHIND_SLOTS];           /* all zero to begin with */
};

/*
 * Write through `fd` at `off`, now or later. `owner` is any pointer of the writer's own; what it writes end to end is
 * collected. `b` NULL: write now. Returns 0 or -errno.
 */
int behind_write(struct behind *b, const void *owner, int fd, uint64_t off, const struct iovec *iov, int n);

/* Write what is still collected for this owner. 0 or -errno. */
int behind_flush(struct behind *b, const void *owner, int fd);

/* Forget it, and its owner. */
void behind_drop(struct behind *b, const void *owner);

/* How far this owner's bytes are in the file, of `end` that it wrote. */
uint64_t behind_written(const struct behind *b, const void *owner, uint64_t end);

#endif
