/* The local end of a transfer: a file, a directory to put it into, a pipe, standard input or output. */
#ifndef LOCAL_H
#define LOCAL_H

#include "store_file.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* The part of a path behind its last slash. */
const char *local_tail(const char *path);

/*
 * The path of a download: `local`, or what it has under the remote file's own name if it is a directory. Links are as
 * they are. Returns 0 or -errno, -EISDIR where the remote file has no name of its own.
 */
int local_path(const char *local, const char *remote, char path[PATH_MAX]);

/*
 * Open where a download goes. "-" is standard output; a directory takes the remote file's own name; anything else that
 * is no regular file is written to as it is (*stream true), and waited for by `wait`. Regular files are written beside
 * their target and renamed; `behind` collects what is written to them. Returns 0 or -errno, -EAGAIN for a named pipe
 * that nobody reads yet.
 */
int local_sink(struct store_file *f, struct store *store, const char *local, const char *remote, bool text,
    struct behind *behind, struct store_wait *wait, bool *stream);

/*
 * Open what is uploaded; *size becomes its size, UINT64_MAX (and *stream true) for what has none. `keep` is the most
 * bytes one window holds. Nobody need have opened a named pipe for writing yet. Returns 0 or -errno.
 */
int local_source(struct store_file *f, struct store *store, const char *local, bool text, size_t keep, uint64_t *size,
    bool *stream);

#endif
