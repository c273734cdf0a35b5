/*
 * A file of the administrator's, rename rules or a list of networks: read at start and again on SIGHUP. Its directory is
 * kept open, because by then the process may have another root directory, and may open nothing else. Not what the file
 * means: that is its reader's.
 */
#ifndef CONFFILE_H
#define CONFFILE_H

#include <limits.h>
#include <stddef.h>

/* Zeroed: no file. */
struct conffile {
	const char *path;  /* as it was given; not copied */
	int dir;           /* where it lies */
	char *link;        /* its text, if it is a symbolic link; then also the file it leads to in the end: */
	int target_dir;    /* -1: it is none */
	char target[NAME_MAX + 1];
};

/* Remember the file and open its directory. Returns 0 or -errno; then there is nothing to close. */
int conffile_open(struct conffile *f, const char *path);
void conffile_close(struct conffile *f); /* one that was not opened is fine */

/*
 * The whole file as it is now, the caller's to free, with a NUL behind its *len bytes. Returns 0 or -errno; -EFBIG: more
 * than a few megabytes, which is no file for people; -EINVAL: a pipe or a socket, which cannot be read twice.
 */
int conffile_read(const struct conffile *f, char **text, size_t *len);

#endif
