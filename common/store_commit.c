/*
 * The end of an upload: all of its bytes are there, now they must be on disk, and then the name must be theirs. A file
 * that cannot be replaced is written over.
 */
#include "store_commit.h"

#include "behind.h"
#include "store.h"
#include "store_temp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE 4096                  /* bytes copied or compared at a time */
#define OLD_MAX (32 << 20)          /* largest file that is kept in memory while it is written over */

/* The name's directory entry must reach the disk as well. Some file systems cannot do that and say EINVAL. */
static int sync_dir(int dir)
{
	if (fsync(dir) == 0 || errno == EINVAL || errno == EBADF || errno == EROFS)
		return 0;
	return -errno;
}

/* 1: the same bytes, 0: not, or -errno. */
static int same_bytes(int a, int b)
{
	uint8_t left[PIECE], right[PIECE];
	struct stat sa, sb;

	if (fstat(a, &sa) != 0 || fstat(b, &sb) != 0)
		return -errno;
	if (sa.st_size != sb.st_size)
		return 0;
	for (off_t off = 0; off < sa.st_size;) {
		ssize_t n = pread(a, left, PIECE, off);

		if (n <= 0)
			return n == 0 ? 0 : -errno;
		if (pread(b, right, (size_t)n, off) != n || memcmp(left, right, (size_t)n) != 0)
			return 0;
		off += n;
	}
	return 1;
}

/* STORE_EXISTS_SAME. 1: the name holds the same bytes already, 0: it is free, else an error. */
static int compare(const struct store_commit *c)
{
	int fd = openat(c->dir, c->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), same;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	same = same_bytes(c->fd, fd);
	close(fd);
	return same == 0 ? STORE_TAKEN : same;
}

/* The N of NAME.~N~, or 0. */
static unsigned long version_of(const char *entry, const char *name)
{
	size_t len = strlen(name);
	char *end;
	unsigned long n;

	if (strncmp(entry, name, len) != 0 || strncmp(entry + len, ".~", 2) != 0)
		return 0;
	if (entry[len + 2] < '1' || entry[len + 2] > '9')
		return 0;
	n = strtoul(entry + len + 2, &end, 10);
	return strcmp(end, "~") == 0 && n < 1000000000 ? n : 0;
}

/* The highest version there is, and the lowest and how many. */
static unsigned long versions(const struct store_commit *c, unsigned long *lowest, unsigned *count)
{
	DIR *d = store_temp_list(c->dir);
	const struct dirent *e;
	unsigned long highest = 0;

	*lowest = ULONG_MAX;
	*count = 0;
	while (d != NULL && (e = readdir(d)) != NULL) {
		unsigned long n = version_of(e->d_name, c->name);

		if (n == 0)
			continue;
		++*count;
		if (n > highest)
			highest = n;
		if (n < *lowest)
			*lowest = n;
	}
	if (d != NULL)
		closedir(d);
	return highest;
}

static int version_name(const struct store_commit *c, unsigned long n, char out[NAME_MAX + 1])
{
	return snprintf(out, NAME_MAX + 1, "%s.~%lu~", c->name, n) <= NAME_MAX ? 0 : -ENAMETOOLONG;
}

static void drop_old_versions(const struct store_commit *c)
{
	char old[NAME_MAX + 1];
	unsigned long lowest;
	unsigned count;

	while (c->how.keep > 0 && versions(c, &lowest, &count) > 0 && count > c->how.keep)
		if (version_name(c, lowest, old) != 0 || unlinkat(c->dir, old, 0) != 0)
			return;
}

/* renameat2, which not every libc has. */
static int rename_flags(int dir, const char *from, const char *to, unsigned flags)
{
	return syscall(SYS_renameat2, dir, from, dir, to, flags) == 0 ? 0 : -errno;
}

#define NOREPLACE 1u
#define EXCHANGE 2u

/*
 * The new file and the old one change places, then the old one, under the temporary name now, becomes version `n`, or a
 * later one where another upload has taken that meanwhile. Where it cannot, all is put back: nothing may be lost.
 */
static int exchange(const struct store_commit *c, unsigned long n)
{
	char old[NAME_MAX + 1];
	int err = rename_flags(c->dir, c->temp, c->name, EXCHANGE);

	if (err != 0)
		return err;
	do {
		err = version_name(c, n++, old);
		if (err == 0)
			err = rename_flags(c->dir, c->temp, old, NOREPLACE);
	} while (err == -EEXIST);
	if (err != 0)
		rename_flags(c->dir, c->temp, c->name, EXCHANGE);
	return err;
}

/*
 * Give the old file a second name, then the new one takes the first, which is never missing. Where links are not to be
 * had (fs.protected_hardlinks, some file systems) the two change places. 1: the new file has the name already.
 */
static int keep_version(const struct store_commit *c)
{
	char old[NAME_MAX + 1];
	unsigned long lowest, n;
	unsigned count;
	int err;

	for (n = versions(c, &lowest, &count) + 1; ; n++) {
		err = version_name(c, n, old);
		if (err != 0)
			return err;
		if (linkat(c->dir, c->name, c->dir, old, 0) == 0)
			return 0;
		if (errno == ENOENT)
			return 0; /* there is no old file */
		if (errno != EEXIST)
			break;
	}
	err = exchange(c, n);
	return err != 0 ? err : 1;
}

/* Take the name only if it is free. */
static int rename_free(const struct store_commit *c)
{
	int err = rename_flags(c->dir, c->temp, c->name, NOREPLACE);

	if (err != -EINVAL && err != -ENOSYS)
		return err == -EEXIST ? STORE_TAKEN : err;
	/* A file system that cannot: a link cannot replace either. */
	if (linkat(c->dir, c->temp, c->dir, c->name, 0) != 0)
		return errno == EEXIST ? STORE_TAKEN : -errno;
	unlinkat(c->dir, c->temp, 0);
	return 0;
}

/* Copy what has been written to another file, from its beginning. */
static int copy_to(int from, int to)
{
	uint8_t piece[PIECE];
	off_t off = 0;
	ssize_t n;

	while ((n = pread(from, piece, PIECE, off)) > 0) {
		struct iovec iov = {.iov_base = piece, .iov_len = (size_t)n};
		int err = behind_write(NULL, NULL, to, (uint64_t)off, &iov, 1);

		if (err != 0)
			return err;
		off += n;
	}
	return n < 0 ? -errno : 0;
}

/*
 * Where anybody may put a file, as into /tmp, somebody else's may be a trap, which waits for what will be written: its mode
 * and owner mean nothing, and it is not written over. The kernel's fs.protected_regular is the same rule.
 */
static bool is_planted(const struct store_commit *c, const struct stat *st)
{
	struct stat dir, own;

	return fstat(c->dir, &dir) == 0 && (dir.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) &&
	    st->st_uid != dir.st_uid && fstat(c->fd, &own) == 0 && st->st_uid != own.st_uid;
}

/* Root can give a file away; others, to a group that they are in. */
static void pass_on_owner(int fd, const struct stat *st)
{
	if (fchown(fd, st->st_uid, st->st_gid) != 0 && fchown(fd, (uid_t)-1, st->st_gid) != 0)
		errno = 0;
}

/* A replaced file keeps its permissions; failing to is no reason to lose the upload. */
static int make_ready(const struct store_commit *c)
{
	struct stat st;
	bool replaces = fstatat(c->dir, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    !is_planted(c, &st);

	if (replaces && c->how.owner)
		pass_on_owner(c->fd, &st);
	if (replaces && fchmod(c->fd, st.st_mode & 0777) != 0 && errno == EIO)
		return -EIO;
	return c->how.sync && fsync(c->fd) != 0 ? -errno : 0;
}

/* What has no name yet, and cannot be given one where it is (some file systems and security modules), is copied. */
static int copy_to_temp(struct store_commit *c)
{
	int fd = -1, err = store_temp_create(c->dir, c->how.mode, &fd, &c->temp);

	if (err != 0)
		return err;
	err = copy_to(c->fd, fd);
	close(c->fd);
	c->fd = fd;
	return err == 0 ? make_ready(c) : err;
}

/* What has no name gets a temporary one first. */
static int name_it(struct store_commit *c)
{
	int err = store_temp_link(c->fd, c->dir, &c->temp);

	return err == 0 || err == -ENOMEM ? err : copy_to_temp(c);
}

static int give_name(struct store_commit *c)
{
	int err = c->temp == NULL ? name_it(c) : 0;

	if (err < 0)
		return err;
	if (c->how.exists == STORE_EXISTS_REFUSE || c->how.exists == STORE_EXISTS_SAME) {
		err = rename_free(c);
	} else {
		if (c->how.exists == STORE_EXISTS_VERSION)
			err = keep_version(c);
		if (err == 0 && renameat(c->dir, c->temp, c->dir, c->name) != 0)
			err = -errno;
	}
	if (err < 0)
		return err;
	free(c->temp);
	c->temp = NULL;
	if (c->how.exists == STORE_EXISTS_VERSION)
		drop_old_versions(c);
	return 0;
}

/*
 * Room for the new bytes before the old ones are touched: a full disk must leave the file as it was. What was reserved
 * in vain is given back.
 */
static int make_room(int fd, uint64_t len, const struct stat *st)
{
	struct statvfs fs;
	int err;

	if (len == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)len) == 0)
		return 0;
	err = -errno;
	if (err != -EOPNOTSUPP && err != -ENOSYS) {
		if (ftruncate(fd, st->st_size) != 0 && errno == EIO)
			return -EIO;
		return err;
	}
	/* This file system reserves nothing: what it says of itself must do. */
	if (fstatvfs(fd, &fs) == 0 && len > (uint64_t)fs.f_bavail * fs.f_frsize + (uint64_t)st->st_blocks * 512)
		return -ENOSPC;
	return 0;
}

/* All that one descriptor has over what the other has. */
static int copy_over(int from, int to)
{
	off_t len = lseek(from, 0, SEEK_END);
	int err = len < 0 ? -errno : copy_to(from, to);

	return err == 0 && ftruncate(to, len) != 0 ? -errno : err;
}

/* What a file holds, in memory; -1 where it is too much, or not to be read. */
static int keep_old(int fd, const struct stat *st)
{
	int old = st->st_size > OLD_MAX ? -1 : memfd_create("tftp old file", MFD_CLOEXEC);

	if (old >= 0 && copy_over(fd, old) != 0) {
		close(old);
		old = -1;
	}
	return old;
}

/* Not atomic, but short, and only once all is here. If the disk says no after all, the old content goes back. */
static int replace_content(struct store_commit *c, int fd, const struct stat *st)
{
	int old = keep_old(fd, st), err = copy_over(c->fd, fd);

	if (err == 0 && c->how.sync && fsync(fd) != 0)
		err = -errno;
	if (err != 0 && old >= 0 && copy_over(old, fd) == 0 && c->how.sync)
		fsync(fd);
	if (old >= 0)
		close(old);
	return err;
}

/* What was collected in memory goes over the file that is there; `any`: whoever put it there. */
static int write_over(struct store_commit *c, bool any)
{
	int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, fd = openat(c->dir, c->name, O_RDWR | flags), err;
	struct stat st, new;

	/* One may be written and not read. */
	if (fd < 0 && errno == EACCES)
		fd = openat(c->dir, c->name, O_WRONLY | flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (!any && is_planted(c, &st)))
		err = -EACCES;
	else if (fstat(c->fd, &new) != 0)
		err = -errno;
	else
		err = make_room(fd, (uint64_t)new.st_size, &st);
	if (err == 0)
		err = replace_content(c, fd, &st);
	close(fd);
	return err;
}

/*
 * A mount point, as containers have them for single files: nothing can be renamed over it. Nor over somebody else's file
 * where a directory is sticky, but it may be one that all may write.
 */
static bool cannot_replace(int err)
{
	return err == -EBUSY || err == -EPERM || err == -EACCES;
}

static int commit(struct store_commit *c)
{
	int err = 0, over;

	if (c->how.exists == STORE_EXISTS_SAME)
		err = compare(c);
	if (err != 0)
		return err > 0 ? 0 : err;
	if (c->how.in_place)
		return write_over(c, true);
	err = make_ready(c);
	if (err == 0)
		err = give_name(c);
	if (cannot_replace(err) && c->how.exists == STORE_EXISTS_REPLACE) {
		over = write_over(c, err == -EBUSY);
		return over == -ENOENT ? err : over;
	}
	return err == 0 && c->how.sync ? sync_dir(c->dir) : err;
}

void store_commit_run(struct store_commit *c)
{
	errno = 0;
	c->result = commit(c);
}

void store_commit_free(struct store_commit *c)
{
	if (c->temp != NULL)
		unlinkat(c->dir, c->temp, 0);
	close(c->fd);
	close(c->dir);
	free(c->temp);
	free(c->name);
	free(c);
}
