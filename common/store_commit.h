/*
 * The end of an upload: fsync, the name, what becomes of a file that has it. Apart from the store, because all of it
 * may block for as long as a disk likes, and may be run by another thread.
 */
#ifndef STORE_COMMIT_H
#define STORE_COMMIT_H

#include "behind.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct store_file;

/* What becomes of the name if it is taken when an upload ends. */
enum store_exists {
	STORE_EXISTS_REPLACE,
	STORE_EXISTS_REFUSE,   /* STORE_TAKEN */
	STORE_EXISTS_VERSION,  /* the old file stays as NAME.~N~, as other programs number backups */
	STORE_EXISTS_SAME,     /* fine if it holds the same bytes, else STORE_TAKEN */
};

#define STORE_IN_PLACE_MAX (256u << 20) /* most bytes of an upload that is collected in memory */

struct store_upload {
	mode_t mode;                 /* of a new file, before umask; an existing one passes on its own */
	bool owner;                  /* and, as far as the kernel lets us, its owner and group */
	bool text;                   /* netascii arrives */
	bool sync;                   /* on disk before it is acknowledged */
	bool keep_partial;           /* what arrived of a broken upload stays as NAME.partial */
	bool nameless;               /* a temporary file without a name where there can be one: SIGKILL leaves nothing */
	bool in_place;               /* nothing can be made beside it: collect in memory, write over it at the end */
	uint64_t *memory;            /* in_place: bytes that may be collected yet by all who point here; NULL: no limit */
	uint64_t limit;              /* most bytes */
	uint64_t min_free;           /* bytes of the file system that must stay free */
	enum store_exists exists;
	unsigned keep;               /* STORE_EXISTS_VERSION: so many old ones, 0: all */
	struct store_offload *offload; /* who runs what may block at the end; NULL: here */
	struct behind *behind;       /* where small writes are collected; NULL: nowhere. Must outlive the upload */
};

/*
 * The end of an upload: compare, fsync, rename, fsync the directory. All of it may block for as long as a disk likes, so
 * it can be run by another thread. It has everything it needs; nobody else touches it meanwhile.
 */
struct store_commit {
	struct store_file *file;     /* who waits for it; NULL: was closed meanwhile */
	struct store_upload how;
	int fd, dir;
	char *temp, *name;
	int result;
	bool done;                   /* set by the file's own thread once store_commit_run has returned */
};

/* Do it. Any thread, once. */
void store_commit_run(struct store_commit *c);
void store_commit_free(struct store_commit *c);

/*
 * Somebody with a thread to spare. submit has store_commit_run called and then, in the caller's thread, sets c->done
 * and wakes the transfer of c->file, or frees c where that is NULL. Returns 0, or -errno to have it done at once.
 */
struct store_offload {
	int (*submit)(struct store_offload *o, struct store_commit *c);
	/* Have the disk begin with these bytes of fd, which stays the caller's. 0, or -errno: not now. */
	int (*writeback)(struct store_offload *o, int fd, uint64_t off, uint64_t len);
};

/* So many bytes of an upload are worth a hint to the disk. */
#define STORE_WRITEBACK (4u << 20)

#endif
