/* Temporary names in a target's directory, files without a name, and what a program that was killed left of either. */
#include "store_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FD_PATH_ROOM 32
#define TIDY_MOST 10000             /* names looked at before a download */

/* A temporary name, fresh at random. */
static int temp_name(char name[STORE_TEMP_ROOM])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EAGAIN;
	snprintf(name, STORE_TEMP_ROOM, STORE_TEMP_PREFIX "%016llx", (unsigned long long)random);
	return 0;
}

/*
 * A name of its own, and a lock on it that says that somebody is still writing. A sweeper may have come between the two:
 * then the name is gone, or will be, and another is made.
 */
int store_temp_create(int dir, mode_t mode, int *fd, char **temp)
{
	struct stat st;
	int err = -EEXIST;

	*temp = malloc(STORE_TEMP_ROOM);
	if (*temp == NULL)
		return -ENOMEM;
	for (int tries = 0; tries < 8 && err == -EEXIST; tries++) {
		err = temp_name(*temp);
		if (err != 0)
			break;
		*fd = openat(dir, *temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (*fd < 0) {
			err = -errno;
			continue;
		}
		/* Not every file system has locks; one that somebody else has is a sweeper's, who is about to remove it. */
		if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
			err = -EEXIST;
		else
			err = fstat(*fd, &st) != 0 ? -errno : st.st_nlink == 0 ? -EEXIST : 0;
		if (err == 0)
			return 0;
		unlinkat(dir, *temp, 0);
		close(*fd);
		*fd = -1;
	}
	free(*temp);
	*temp = NULL;
	return err;
}

/* Where the kernel shows an open file that has no name. */
static void fd_path(char path[FD_PATH_ROOM], int fd)
{
	snprintf(path, FD_PATH_ROOM, "/proc/self/fd/%d", fd);
}

int store_temp_nameless(int dir, mode_t mode, int *fd)
{
	char path[FD_PATH_ROOM];

	*fd = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
	if (*fd < 0)
		return -errno;
	fd_path(path, *fd);
	if (access(path, F_OK) == 0) {
		flock(*fd, LOCK_EX | LOCK_NB); /* before it has a name that could be swept */
		return 0;
	}
	close(*fd);
	*fd = -1;
	return -ENOENT;
}

/* link(2) cannot replace: a temporary name first, which rename(2) then puts over the old file. */
int store_temp_link(int fd, int dir, char **temp)
{
	char path[FD_PATH_ROOM];
	int err = -EEXIST;

	*temp = malloc(STORE_TEMP_ROOM);
	if (*temp == NULL)
		return -ENOMEM;
	fd_path(path, fd);
	for (int tries = 0; tries < 8 && err == -EEXIST; tries++) {
		err = temp_name(*temp);
		if (err == 0 && linkat(AT_FDCWD, path, dir, *temp, AT_SYMLINK_FOLLOW) != 0)
			err = -errno;
	}
	if (err == 0)
		return 0;
	free(*temp);
	*temp = NULL;
	return err;
}

DIR *store_temp_list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* What was left behind. */

static bool sweep_file(int dir, const char *name, bool own)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool stale;

	if (fd < 0)
		return false;
	stale = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (!own || st.st_uid == geteuid()) &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir, name, 0) == 0;
	close(fd);
	return stale;
}

static unsigned sweep(int dir, int depth, const bool *stop)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;
	unsigned n = 0;

	if (d == NULL)
		close(dir);
	while (d != NULL && !__atomic_load_n(stop, __ATOMIC_RELAXED) && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, STORE_TEMP_PREFIX, sizeof(STORE_TEMP_PREFIX) - 1) == 0) {
			n += sweep_file(dirfd(d), e->d_name, false);
		} else if ((e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) && depth > 0 && strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0) {
			int below = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			n += below >= 0 ? sweep(below, depth - 1, stop) : 0;
		}
	}
	if (d != NULL)
		closedir(d);
	return n;
}

unsigned store_temp_sweep(int dir, const bool *stop)
{
	return sweep(dir, 64, stop);
}

unsigned store_temp_tidy(int dir)
{
	DIR *d = store_temp_list(dir);
	const struct dirent *e;
	unsigned n = 0;

	for (int seen = 0; d != NULL && seen < TIDY_MOST && (e = readdir(d)) != NULL; seen++)
		if (strncmp(e->d_name, STORE_TEMP_PREFIX, sizeof(STORE_TEMP_PREFIX) - 1) == 0 &&
		    strlen(e->d_name) == STORE_TEMP_ROOM - 1)
			n += sweep_file(dir, e->d_name, true);
	if (d != NULL)
		closedir(d);
	return n;
}
