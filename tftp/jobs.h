/* A list of jobs that owns its strings. */
#ifndef JOBS_H
#define JOBS_H

#include "client.h"
#include "uri.h"

#include <stdbool.h>
#include <stddef.h>

struct jobs {
	struct client_job *list;
	size_t n;
	char **strings;
	size_t nstrings;
};

/*
 * Add one; everything is copied. `local` NULL: "." for a get. Returns 0 or -1 (out of memory).
 */
int jobs_add(struct jobs *j, bool write, bool text, const char *host, const char *port, const char *remote,
    const char *local);

/*
 * Several names at once. A get of `remote` into `local` (NULL: here); a put of `local`, which goes under its own name
 * where the remote path is empty, ends in a slash or `many` go there. Returns as above.
 */
int jobs_get(struct jobs *j, bool text, const struct uri *remote, const char *local);
int jobs_put(struct jobs *j, bool text, const char *local, const struct uri *remote, bool many);

/*
 * Whether each file has a place of its own to go to. Returns 0, or -1 and in `why` (cap bytes) a sentence: it names two
 * that would replace each other, or memory was short. The same file twice is let pass: nothing is lost.
 */
int jobs_check(const struct jobs *j, char *why, size_t cap);

void jobs_free(struct jobs *j);

#endif
