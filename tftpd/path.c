/*
 * Names from the wire, opened beneath the root by openat2(RESOLVE_BENEATH): the kernel refuses whatever would climb out,
 * a link swapped in at the last moment included. Everything else about a file is asked of the descriptor.
 */
#include "path.h"

#include "packet.h"
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/openat2.h, which not every libc's headers can reach. The numbers are ABI. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
struct how {
	uint64_t flags, mode, resolve;
};
#define BENEATH 0x08
#define NO_MAGICLINKS 0x02

static int openat2_beneath(int dir, const char *name, int flags)
{
	struct how how = {.flags = (uint64_t)flags, .resolve = BENEATH | NO_MAGICLINKS};

	/* EAGAIN: something was renamed while ".." was looked at. */
	for (int tries = 0; tries < 8; tries++) {
		long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

/* Without openat2: component by component, following no link at all, so that nothing can lead out. */
static int walk_beneath(int root, const char *name, int flags)
{
	char part[NAME_MAX + 1];
	int dir = root, next = -ENOENT;

	while (*name != '\0') {
		size_t len = strcspn(name, "/");
		const char *rest = name + len + strspn(name + len, "/");
		bool last = *rest == '\0';

		if (len > NAME_MAX) {
			next = -ENAMETOOLONG;
		} else if (len == 2 && memcmp(name, "..", 2) == 0) {
			next = -EXDEV;
		} else {
			memcpy(part, name, len);
			part[len] = '\0';
			next = openat(dir, part, (last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC) | O_NOFOLLOW);
			if (next < 0)
				next = errno == ELOOP ? -EXDEV : -errno;
		}
		if (dir != root)
			close(dir);
		if (next < 0 || last)
			return next;
		dir = next;
		name = rest;
	}
	return next;
}

static int open_beneath(const struct path_root *root, const char *name, int flags)
{
	flags |= O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	return root->no_openat2 ? walk_beneath(root->fd, name, flags) : openat2_beneath(root->fd, name, flags);
}

int path_root_open(struct path_root *root, const char *directory)
{
	int fd;

	root->no_openat2 = false;
	root->fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root->fd < 0)
		return -errno;
	fd = openat2_beneath(root->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else if (fd == -ENOSYS || fd == -EPERM)
		root->no_openat2 = true;
	else
		return fd;
	return 0;
}

/* What every name goes through first. */
static int check(const char **name)
{
	if (strlen(*name) > PATH_NAME_MAX)
		return PATH_TOO_LONG;
	*name += strspn(*name, "/");
	return **name == '\0' ? PATH_EMPTY : 0;
}

static const char *last_component(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

/* Half an upload is nobody's file. */
static bool reserved(const char *base)
{
	return strncmp(base, STORE_FILE_TEMP, sizeof(STORE_FILE_TEMP) - 1) == 0;
}

static int kind(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return 0;
	if (S_ISLNK(st->st_mode))
		return PATH_LINK;
	return S_ISDIR(st->st_mode) ? PATH_DIRECTORY : PATH_SPECIAL;
}

int path_open_read(const struct path_root *root, const char *name, int *fd, struct stat *st)
{
	int err;

	*fd = -1;
	memset(st, 0, sizeof(*st));
	err = check(&name);
	if (err != 0)
		return err;
	if (reserved(last_component(name)))
		return -ENOENT;
	*fd = open_beneath(root, name, O_RDONLY);
	if (*fd < 0)
		return *fd == -ENXIO || *fd == -ENODEV ? PATH_SPECIAL : *fd;
	err = fstat(*fd, st) != 0 ? -errno : kind(st);
	if (err == 0)
		return 0;
	close(*fd);
	*fd = -1;
	return err;
}

/* Whether the name may be given to a new file: it is free, or a regular file that we may write. */
static int check_target(int dir, const char *base, bool *exists)
{
	struct stat st;
	int err;

	*exists = false;
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	*exists = true;
	err = kind(&st);
	if (err == 0 && faccessat(dir, base, W_OK, AT_EACCESS) != 0)
		err = -errno;
	return err;
}

int path_open_parent(const struct path_root *root, const char *name, int *dir, char base[NAME_MAX + 1], bool *exists)
{
	char parent[PATH_NAME_MAX + 2];
	const char *last;
	int err;

	*dir = -1;
	*exists = false;
	err = check(&name);
	if (err != 0)
		return err;
	last = last_component(name);
	if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return PATH_DIRECTORY;
	if (reserved(last))
		return PATH_RESERVED;
	if (strlen(last) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(base, last);
	memcpy(parent, name, (size_t)(last - name));
	strcpy(parent + (last - name), ".");
	/* Reading the directory is needed only to fsync it. */
	*dir = open_beneath(root, parent, O_RDONLY | O_DIRECTORY);
	if (*dir == -EACCES)
		*dir = open_beneath(root, parent, O_PATH | O_DIRECTORY);
	if (*dir < 0)
		return *dir;
	err = check_target(*dir, base, exists);
	if (err == 0)
		return 0;
	close(*dir);
	*dir = -1;
	return err;
}

uint16_t path_refusal(int err, bool write, const char **text)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
		*text = write ? "the directory for this file does not exist" : "file not found";
		return ERROR_NOT_FOUND;
	case -ENAMETOOLONG:
	case PATH_TOO_LONG:
		*text = "the file name is too long";
		return ERROR_ACCESS;
	case PATH_EMPTY:
		*text = "the request names no file";
		return ERROR_NOT_FOUND;
	case PATH_DIRECTORY:
		*text = "this name is a directory, not a file";
		return ERROR_ACCESS;
	case PATH_SPECIAL:
		*text = "only regular files are served";
		return ERROR_ACCESS;
	case PATH_LINK:
		*text = "uploads do not go through symbolic links";
		return ERROR_ACCESS;
	case PATH_RESERVED:
		*text = "this name is reserved for unfinished uploads";
		return ERROR_ACCESS;
	case -EXDEV:
	case -ELOOP:
		*text = "the name leads out of the served directory";
		return ERROR_ACCESS;
	case -EACCES:
	case -EPERM:
		*text = write ? "permission denied: the server may not write there" : "permission denied: the server may not read it";
		return ERROR_ACCESS;
	case -EROFS:
		*text = "the file system is read-only";
		return ERROR_ACCESS;
	case -ENOSPC:
	case -EDQUOT:
		*text = "disk full";
		return ERROR_DISK_FULL;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		*text = "the server is out of resources, try again later";
		return ERROR_UNDEFINED;
	}
	*text = "the server cannot open this file";
	return ERROR_ACCESS;
}
