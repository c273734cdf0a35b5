/*
 * The only place that opens a client's name: always beneath the root, never through a magic link, never something that
 * can block.
 */
#ifndef PATH_H
#define PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define PATH_NAME_MAX 1024 /* longer names are refused; no boot program knows one */

struct path_root {
	int fd;
	bool no_openat2; /* the kernel, or a container's filter, does not have it: no symbolic link is followed then */
};

/* Why a name cannot be opened, where errno has no word for it. Beyond any errno, negative like all errors here. */
enum { PATH_DIRECTORY = -200000, PATH_SPECIAL, PATH_EMPTY, PATH_TOO_LONG, PATH_RESERVED, PATH_LINK };

/* Open the directory that is served. Returns 0 or -errno. */
int path_root_open(struct path_root *root, const char *directory);

/*
 * Open a regular file for reading. Leading slashes are dropped: "/x" is "x". Returns 0 with *fd (the caller's to close)
 * and what fstat says of it, or -errno or PATH_*. -EXDEV: the name leads out.
 */
int path_open_read(const struct path_root *root, const char *name, int *fd, struct stat *st);

/*
 * Find the place for an upload: *dir is a descriptor of its directory (the caller's to close), `base` its last
 * component, *exists whether a regular file has the name already. One that may not be written, a link, a directory or
 * anything else in its place is an error.
 */
int path_open_parent(const struct path_root *root, const char *name, int *dir, char base[NAME_MAX + 1], bool *exists);

/* The ERROR code for such a failure, and in *text what to tell the peer; `write` says which way it wanted to go. */
uint16_t path_refusal(int err, bool write, const char **text);

#endif
