/* The local end of a transfer: a file, a directory to put it into, a pipe, standard input or output. */
#ifndef LOCAL_H
#define LOCAL_H

#include "store_file.h"

#include <stdbool.h>
#include <stdint.h>

/* The part of a path behind its last slash. */
const char *local_tail(const char *path);

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
