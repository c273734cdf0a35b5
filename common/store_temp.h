/*
 * Temporary files in the directory of what they are to become, with a name or without one.
 *
 * A named one is locked for as long as somebody writes it; one that is not was left by a program that was killed.
 */
#ifndef STORE_TEMP_H
#define STORE_TEMP_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/types.h>

/* Temporary files begin with this; names that do are never served and may be removed when stale. */
#define STORE_TEMP_PREFIX ".tftp-part-"
#define STORE_TEMP_ROOM (sizeof(STORE_TEMP_PREFIX) + 16)

/* A new, locked file in `dir`, open in *fd, its name in *temp (to be freed). 0 or -errno, then *temp is NULL. */
int store_temp_create(int dir, mode_t mode, int *fd, char **temp);

/*
 * No name at all until it is whole: however this program ends, nothing is left. 0 or -errno: not every file system can
 * do that, and without /proc the file could never be given a name.
 */
int store_temp_nameless(int dir, mode_t mode, int *fd);

/* Give such a file a temporary name in `dir`. 0 or -errno, then *temp is NULL. */
int store_temp_link(int fd, int dir, char **temp);

/*
 * Remove temporary files that a server or client left when it was killed, here and in all directories below; one that is
 * being written is locked and stays. Takes over `dir`. Returns how many. May take long; another thread may set *stop.
 */
unsigned store_temp_sweep(int dir, const bool *stop);

/*
 * The same for a client: only in `dir` itself, which stays open, only what the caller owns, and not to the end of a
 * directory of tens of thousands. Returns how many.
 */
unsigned store_temp_tidy(int dir);

/* The entries of `dir`, which stays open, from the first on. NULL: it cannot be read. */
DIR *store_temp_list(int dir);

#endif
