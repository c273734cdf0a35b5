/*
 * Stores over file descriptors.
 *
 * A source reads a descriptor that is already open; a sink writes to a temporary file beside its target, or one without a
 * name, and renames it at the end (store_commit.h), so that the target is either the old file or the whole new one.
 * Descriptors that cannot seek, and netascii, go through a window of memory (forward only).
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include "ahead.h"
#include "behind.h"
#include "netascii.h"
#include "store.h"
#include "store_commit.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Somebody to wait with until `fd` takes PIPE_BUF bytes at once: 0, or -errno, which is the end of it. */
struct store_wait {
	int (*writable)(struct store_wait *w, int fd);
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
	struct ahead_reader ahead;     /* regular sources */
	struct store_wait *wait;       /* streams; NULL: a write waits by itself, and nothing ends that */
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
void store_file_ahead(struct store_file *f, struct ahead *ahead);

/*
 * A sink straight into `fd` (a pipe, a device, standard output), which it takes over: forward only, nothing to rename.
 * `wait` may be NULL and must outlive the sink.
 */
int store_file_stream(struct store_file *f, struct store *store, int fd, bool text, struct store_wait *wait);

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

#endif
