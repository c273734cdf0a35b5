/*
 * Stores over file descriptors.
 *
 * A source reads a descriptor that is already open; a sink writes to a temporary file beside its target, or one without a
 * name, and renames it at the end, so that the target is either the old file or the whole new one. Descriptors that cannot seek, and
 * netascii, go through a window of memory (forward only).
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "behind.h"
#include "netascii.h"
#include "store.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Read-ahead for clients in lockstep, who would otherwise cost a system call for each small block: a few buffers, shared
 * by all sources of a program. Where there are more readers than buffers nobody gets one, or each would read much and
 * use little.
 */
#define STORE_AHEAD_SLOTS 8
#define STORE_AHEAD_BYTES 32768
#define STORE_AHEAD_BLOCK 4096    /* for blocks up to this; larger ones are copied once more for nothing */

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

struct store_ahead {
	size_t readers;
	struct store_ahead_slot {
		const struct store_file *owner;
		uint64_t off;
		size_t len;
		uint8_t bytes[STORE_AHEAD_BYTES];
	} slots[STORE_AHEAD_SLOTS];
};

struct store_file {
	int fd;
	uint64_t size;        /* source: bytes to send at most, UINT64_MAX: until the end; sink: most bytes to accept */
	uint64_t pos;         /* forward-only: offset of the next byte read from or written to fd */
	/* forward-only sources: the converted bytes [start, end) of the transfer, in a ring of `cap` bytes */
	uint8_t *ring;
	size_t cap;
	uint64_t start, end;
	bool text, eof;
	struct netascii conv;
	struct store_ahead *ahead;     /* regular sources: may be NULL */
	struct store_ahead_slot *slot; /* ours while its owner is us */
	/* sinks with a temporary file */
	int dir;              /* directory of temp and name, -1: none, the bytes go straight to fd */
	char *temp;
	char *name;
	struct store_upload how;
	uint64_t taken;       /* bytes that are gone from how.memory for us */
	uint64_t begun;       /* the disk was told to begin with all before this */
	uint64_t unchecked;   /* bytes written since the free space was looked at */
	struct store_commit *commit; /* finish has begun: fd, dir, temp and name are in it now */
};

/*
 * A source over `fd`, which it takes over. `size` is what fstat said (and what tsize announced): no more is sent, and an
 * earlier end is STORE_SHRUNK; UINT64_MAX for a pipe. With `text` the bytes are sent as netascii. `keep` is the most
 * payload one window can hold, needed where the store can only go forward. Returns 0 or -ENOMEM (fd is then closed).
 */
int store_file_source(struct store_file *f, struct store *store, int fd, uint64_t size, bool text, size_t keep);

/*
 * Another transfer of what a forward-only source has read so far, and goes on to read: possible as long as it still has the
 * first byte, which is as long as no block was acknowledged. Takes the descriptor over from `old`, which is good for
 * nothing but its close then. Returns 0, -ESPIPE (nothing has happened) or -ENOMEM (the descriptor is closed).
 */
int store_file_again(struct store_file *old, struct store_file *f, struct store *store, size_t keep);

/* Let a source that was just made read ahead, if it is one that can. `ahead` must outlive it. */
void store_file_ahead(struct store_file *f, struct store_ahead *ahead);

/*
 * A sink straight into `fd` (a pipe, a device, standard output), which it takes over: forward only, nothing to rename.
 */
int store_file_stream(struct store_file *f, struct store *store, int fd, bool text);

/*
 * A sink into a new temporary file in directory `dir` that becomes `name` (in the same directory) on finish. `dir` is
 * duplicated. At most `limit` bytes are taken. `mode` is the new file's mode before umask; an existing target passes on
 * its own. Returns 0 or -errno.
 */
int store_file_sink(struct store_file *f, struct store *store, int dir, const char *name, mode_t mode, bool text,
    uint64_t limit, bool sync);

/*
 * The same with everything that can be said about it. With in_place `name` must exist.
 */
int store_file_upload(struct store_file *f, struct store *store, int dir, const char *name,
    const struct store_upload *how);

/*
 * Remove temporary files that a server or client left when it was killed, here and in all directories below; one that is
 * being written is locked and stays. Takes over `dir`. Returns how many. May take long; another thread may set *stop.
 */
unsigned store_file_sweep(int dir, const bool *stop);

/*
 * The same for a client: only in `dir` itself, which stays open, only what the caller owns, and not to the end of a
 * directory of tens of thousands. Returns how many.
 */
unsigned store_file_tidy(int dir);

/* Temporary files begin with this; names that do are never served and may be removed when stale. */
#define STORE_FILE_TEMP ".tftp-part-"

#endif
