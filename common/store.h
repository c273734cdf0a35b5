/*
 * Where a transfer's bytes come from or go to: four functions, shaped like preadv and pwritev.
 *
 * The transfer machine knows files only through this, so a test gives it memory and the server gives it a descriptor.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Not now; transfer_wake() will be called when it is worth another try. No errno has this value. */
#define STORE_AGAIN (-100000)
/* The file became shorter while it was being sent. */
#define STORE_SHRUNK (-100001)
/* The upload is larger than this server allows. */
#define STORE_TOO_BIG (-100002)
/* The name is taken by another file that stays. */
#define STORE_TAKEN (-100003)

struct store_ops {
	/*
	 * Fill the vectors from offset `off`. Returns the bytes read, fewer than asked only at the end of the file;
	 * STORE_AGAIN, STORE_SHRUNK or -errno. A store with seekable == false may be asked again for anything inside the
	 * last window, and for nothing before it.
	 */
	ssize_t (*read)(void *arg, uint64_t off, const struct iovec *iov, int n);
	/*
	 * Write the vectors, all of them, at offset `off`. Returns 0, STORE_TOO_BIG or -errno. With seekable == false it is
	 * called strictly in order.
	 */
	int (*write)(void *arg, uint64_t off, const struct iovec *iov, int n);
	/*
	 * The last byte was written: make it durable and visible under its name. Called before the last ACK is sent, so that
	 * what was acknowledged exists. Returns 0, STORE_AGAIN (and later again) or -errno. NULL for a source.
	 */
	int (*finish)(void *arg);
	/* Runs exactly once, last. Without a successful finish it undoes everything. */
	void (*close)(void *arg);
};

struct store {
	const struct store_ops *ops;
	void *arg;
	bool seekable; /* reads and writes may come in any order */
};

#endif
