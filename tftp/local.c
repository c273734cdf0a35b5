/* Opening local files. A symbolic link is followed to what it points at, so that the link survives a download. */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* As linux/magic.h has them, which not every libc comes with. */
#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572

#define LINKS_MAX 40 /* as the kernel has it */

const char *local_tail(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/*
 * Where anybody may put something, as into /tmp, somebody else's links and pipes may be traps. The kernel follows no
 * such links where fs.protected_symlinks is 1, but it is not the kernel that follows here.
 */
static bool is_trap(const char *path, const struct stat *there)
{
	int len = (int)(local_tail(path) - path);
	char dir[PATH_MAX];
	struct stat st;

	snprintf(dir, sizeof(dir), "%.*s.", len, path);
	return stat(dir, &st) != 0 || ((st.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) &&
	    there->st_uid != geteuid() && there->st_uid != st.st_uid);
}

/* Files of /proc and /sys are made as they are read: their size says nothing, mostly 0 or a page. */
static bool is_generated(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_MAGIC || fs.f_type == SYSFS_MAGIC);
}

/*
 * Its text; 0: there is no link, or -errno. What was looked at is what is read: it may be another one the next moment.
 * What a link of /dev/fd, which is in /proc, says of something `special` is no path: the chain ends there.
 */
static int read_link(const char *path, bool special, char to[PATH_MAX])
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), err = 0;
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISLNK(st.st_mode) && !(special && is_generated(fd))) {
		len = readlinkat(fd, "", to, PATH_MAX - 1);
		err = len < 0 ? -errno : is_trap(path, &st) ? -EACCES : (int)len;
		to[len < 0 ? 0 : len] = '\0';
	}
	close(fd);
	return err;
}

/* To where a chain of symbolic links ends, whether there is a file or not yet. */
static int follow(char path[PATH_MAX], bool special)
{
	char to[PATH_MAX], next[PATH_MAX];

	for (int links = 0; links < LINKS_MAX; links++) {
		int len = read_link(path, special, to), dir;

		if (len <= 0)
			return len;
		dir = *to == '/' ? 0 : (int)(local_tail(path) - path);
		if (snprintf(next, sizeof(next), "%.*s%s", dir, path, to) >= PATH_MAX)
			return -ENAMETOOLONG;
		strcpy(path, next);
	}
	return -ELOOP;
}

/* A terminal, a pipe, /dev/null. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

int local_path(const char *local, const char *remote, char path[PATH_MAX])
{
	const char *own = local_tail(remote);
	size_t len = strlen(local);
	struct stat st;
	int n = snprintf(path, PATH_MAX, "%s", local);

	if (n < PATH_MAX && stat(local, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (*own == '\0' || strcmp(own, ".") == 0 || strcmp(own, "..") == 0)
			return -EISDIR;
		n = snprintf(path, PATH_MAX, "%s%s%s", local, len > 0 && local[len - 1] == '/' ? "" : "/", own);
	}
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int target(const char *local, const char *remote, char path[PATH_MAX])
{
	int err = local_path(local, remote, path);

	return err != 0 ? err : follow(path, is_special(path));
}

/* A link that stands there now was put there behind our back, unless it is one of /proc. */
static int open_end(const char *path, int flags)
{
	int fd = open(path, flags | O_NOFOLLOW), there;

	if (fd >= 0 || errno != ELOOP)
		return fd;
	there = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (there >= 0 && is_generated(there))
		fd = open(path, flags);
	else
		errno = EACCES;
	if (there >= 0)
		close(there);
	return fd;
}

/* Opening must not wait for whoever is at the other end of a pipe: nothing would end that. Writing may. */
static int open_special(const char *path)
{
	int fd = open_end(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), flags;
	struct stat st;

	if (fd < 0)
		return errno == ENXIO && stat(path, &st) == 0 && S_ISFIFO(st.st_mode) ? -EAGAIN : -errno;
	if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && is_trap(path, &st)) {
		close(fd);
		return -EACCES;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	return fd;
}

static int open_beside(struct store_file *f, struct store *store, char path[PATH_MAX], bool text, struct behind *behind)
{
	struct store_upload how = {
		.mode = 0666,
		.owner = true,
		.text = text,
		.limit = UINT64_MAX,
		.nameless = true,
		.behind = behind,
	};
	char *base = strrchr(path, '/');
	struct stat st;
	bool there = stat(path, &st) == 0;
	int dir, err;

	if (!there && errno != ENOENT)
		return -errno;
	if (there && S_ISDIR(st.st_mode))
		return -EISDIR;
	if (there && access(path, W_OK) != 0)
		return -errno;
	if (base == NULL) {
		dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		base = path;
	} else {
		*base++ = '\0';
		dir = open(*path != '\0' ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir < 0)
		return -errno;
	err = *base == '\0' ? -EISDIR : store_file_upload(f, store, dir, base, &how);
	/* Where nothing can be made beside it, but it may be written itself. */
	if ((err == -EACCES || err == -EROFS) && faccessat(dir, base, W_OK, 0) == 0) {
		how.in_place = true;
		err = store_file_upload(f, store, dir, base, &how);
	}
	close(dir);
	return err;
}

int local_sink(struct store_file *f, struct store *store, const char *local, const char *remote, bool text,
    struct behind *behind, struct store_wait *wait, bool *stream)
{
	char path[PATH_MAX];
	int fd, err;

	*stream = true;
	if (strcmp(local, "-") == 0) {
		fd = dup(STDOUT_FILENO);
		return fd < 0 ? -errno : store_file_stream(f, store, fd, text, wait);
	}
	err = target(local, remote, path);
	if (err != 0)
		return err;
	if (!is_special(path)) {
		*stream = false;
		return open_beside(f, store, path, text, behind);
	}
	fd = open_special(path);
	return fd < 0 ? fd : store_file_stream(f, store, fd, text, wait);
}

int local_source(struct store_file *f, struct store *store, const char *local, bool text, size_t keep, uint64_t *size,
    bool *stream)
{
	struct stat st;
	int fd = strcmp(local, "-") == 0 ? dup(STDIN_FILENO) : open(local, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int err;

	*size = UINT64_MAX;
	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) != 0 ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : 0;
	if (err != 0) {
		close(fd);
		return err;
	}
	/* Standard input may be a file that somebody has read a part of: then it is a stream like any other. */
	if (S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0 && !is_generated(fd))
		*size = (uint64_t)st.st_size;
	*stream = *size == UINT64_MAX;
	return store_file_source(f, store, fd, *size, text, keep);
}
