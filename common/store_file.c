/*
 * Stores over descriptors: regular files by preadv and pwritev, everything else forward only.
 *
 * An upload or download is written under a temporary name in its target's directory, or under none, and renamed once it
 * is whole and on disk, so that the name never stands for half a file (rename(2) is atomic).
 */
#include "store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bytes converted or copied at a time where a conversion stands between file and transfer. */
#define PIECE 4096

#define FREE_CHECK (1 << 20)        /* bytes written between two looks at the free space */
#define OLD_MAX (32 << 20)          /* largest file that is kept in memory while it is written over */
#define TEMP_ROOM (sizeof(STORE_FILE_TEMP) + 16)
#define FD_PATH_ROOM 32
#define TIDY_MOST 10000             /* names looked at before a download */

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static void reset(struct store_file *f, int fd)
{
	memset(f, 0, sizeof(*f));
	f->fd = fd;
	f->dir = -1;
	netascii_init(&f->conv);
}

/* An upload that broke off: away with it, or aside. */
static void discard(struct store_file *f)
{
	char partial[NAME_MAX + sizeof(".partial")];
	struct stat st;

	if (f->how.keep_partial && behind_flush(f->how.behind, f, f->fd) == 0 && fstat(f->fd, &st) == 0 &&
	    st.st_size > 0 && snprintf(partial, sizeof(partial), "%s.partial", f->name) <= NAME_MAX &&
	    renameat(f->dir, f->temp, f->dir, partial) == 0)
		return;
	unlinkat(f->dir, f->temp, 0);
}

static void file_close(void *arg)
{
	struct store_file *f = arg;

	if (f->ahead != NULL)
		f->ahead->readers--;
	if (f->how.memory != NULL)
		*f->how.memory += f->taken;
	if (f->slot != NULL && f->slot->owner == f)
		f->slot->owner = NULL;
	if (f->commit != NULL && f->commit->done)
		store_commit_free(f->commit);
	else if (f->commit != NULL)
		f->commit->file = NULL; /* another thread has it: whoever gets it back frees it */
	if (f->temp != NULL)
		discard(f);
	behind_drop(f->how.behind, f);
	if (f->fd >= 0)
		close(f->fd);
	if (f->dir >= 0)
		close(f->dir);
	free(f->ring);
	free(f->temp);
	free(f->name);
	reset(f, -1);
}

/* Source: a regular file. */

/* Read on after a short read; the vectors are filled from `got`. */
static ssize_t read_rest(int fd, uint64_t off, const struct iovec *iov, int n, size_t got)
{
	size_t skip = got;

	for (int i = 0; i < n; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		while (skip < iov[i].iov_len) {
			ssize_t r = pread(fd, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip, (off_t)(off + got));

			if (r < 0 && errno == EINTR)
				continue;
			if (r < 0)
				return -errno;
			if (r == 0)
				return (ssize_t)got;
			got += (size_t)r;
			skip += (size_t)r;
		}
		skip = 0;
	}
	return (ssize_t)got;
}

/* A buffer for this reader: its own, or a free one. NULL while there are too many readers. */
static struct store_ahead_slot *ahead_slot(struct store_file *f)
{
	struct store_ahead *a = f->ahead;

	if (a == NULL || a->readers > STORE_AHEAD_SLOTS)
		return NULL;
	if (f->slot != NULL && f->slot->owner == f)
		return f->slot;
	for (size_t i = 0; i < STORE_AHEAD_SLOTS; i++) {
		if (a->slots[i].owner != NULL)
			continue;
		f->slot = &a->slots[i];
		f->slot->owner = f;
		f->slot->len = 0;
		return f->slot;
	}
	return NULL;
}

/* Copy from the read-ahead buffer, filling it first where it does not hold what is wanted. As pread(2). */
static ssize_t ahead_read(struct store_file *f, struct store_ahead_slot *slot, uint64_t off, const struct iovec *iov,
    int n, size_t want)
{
	const uint8_t *from;

	if (off < slot->off || off + want > slot->off + slot->len) {
		uint64_t left = f->size - off;
		ssize_t got = pread(f->fd, slot->bytes, left < STORE_AHEAD_BYTES ? (size_t)left : STORE_AHEAD_BYTES, (off_t)off);

		slot->off = off;
		slot->len = got > 0 ? (size_t)got : 0;
		if (got < 0)
			return got;
		if ((size_t)got < want)
			want = (size_t)got;
	}
	from = slot->bytes + (off - slot->off);
	for (size_t done = 0, left = want; left > 0 && n > 0; iov++, n--) {
		size_t len = iov->iov_len < left ? iov->iov_len : left;

		memcpy(iov->iov_base, from + done, len);
		done += len;
		left -= len;
	}
	return (ssize_t)want;
}

static ssize_t file_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	size_t want = total(iov, n);
	struct store_ahead_slot *slot;
	ssize_t got;

	/* What tsize announced is what is sent: bytes that were added since do not count. */
	if (off >= f->size)
		return 0;
	if (want > f->size - off)
		want = (size_t)(f->size - off);
	slot = want <= STORE_AHEAD_BLOCK ? ahead_slot(f) : NULL;
	if (slot != NULL)
		got = ahead_read(f, slot, off, iov, n, want);
	else if (n == 1)
		got = pread(f->fd, iov->iov_base, want, (off_t)off);
	else
		got = preadv(f->fd, iov, n, (off_t)off);
	if (got < 0 && errno != EINTR)
		return -errno;
	if (got < (ssize_t)want)
		got = read_rest(f->fd, off, iov, n, got > 0 ? (size_t)got : 0);
	if (got < 0)
		return got;
	if ((size_t)got < want)
		return STORE_SHRUNK;
	return (ssize_t)want;
}

/* Source: forward only. */

/* Raw bytes from the descriptor: 0 at the end, STORE_AGAIN where a pipe has nothing yet. */
static ssize_t source_bytes(struct store_file *f, uint8_t *buf, size_t len)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	bool sized = f->size != UINT64_MAX;
	ssize_t got;

	if (sized && len > f->size - f->pos)
		len = (size_t)(f->size - f->pos);
	if (len == 0)
		return 0;
	/* A pipe's writer takes its time; the transfer's timers must run meanwhile. */
	if (!sized && poll(&p, 1, 0) == 0)
		return STORE_AGAIN;
	do
		got = sized ? pread(f->fd, buf, len, (off_t)f->pos) : read(f->fd, buf, len);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? STORE_AGAIN : -errno;
	if (got == 0 && sized)
		return STORE_SHRUNK;
	f->pos += (size_t)got;
	return got;
}

static void ring_put(struct store_file *f, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t at = (size_t)(f->end % f->cap), n = f->cap - at < len ? f->cap - at : len;

		memcpy(f->ring + at, bytes, n);
		bytes += n;
		len -= n;
		f->end += n;
	}
	if (f->end - f->start > f->cap)
		f->start = f->end - f->cap;
}

/*
 * Convert one piece into the ring. What is read from the descriptor is read just once, so all of it must find room:
 * each byte may become two, and the converter may hold one more. 0 at the end.
 */
static ssize_t ring_fill(struct store_file *f, size_t room)
{
	uint8_t raw[PIECE], out[2 * PIECE + 1];
	size_t len = f->text ? room / 2 : room, used = 0, n;
	ssize_t got;

	if (len > PIECE)
		len = PIECE;
	if (len == 0)
		len = 1;
	got = source_bytes(f, raw, len);
	if (got < 0)
		return got;
	if (got == 0)
		f->eof = true;
	if (!f->text) {
		ring_put(f, raw, (size_t)got);
		return got;
	}
	n = netascii_encode(&f->conv, raw, (size_t)got, &used, out, sizeof(out));
	ring_put(f, out, n);
	return (ssize_t)n;
}

static void ring_get(const struct store_file *f, uint64_t off, uint8_t *out, size_t len)
{
	while (len > 0) {
		size_t at = (size_t)(off % f->cap), n = f->cap - at < len ? f->cap - at : len;

		memcpy(out, f->ring + at, n);
		out += n;
		off += n;
		len -= n;
	}
}

static ssize_t ring_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	size_t asked = total(iov, n), done = 0;

	while (f->end < off + asked && !f->eof) {
		ssize_t got = ring_fill(f, (size_t)(off + asked - f->end));

		if (got < 0)
			return got;
	}
	if (off < f->start)
		return -ESPIPE;
	if (off >= f->end)
		return 0;
	if (asked > f->end - off)
		asked = (size_t)(f->end - off);
	for (int i = 0; i < n && done < asked; i++) {
		size_t len = iov[i].iov_len < asked - done ? iov[i].iov_len : asked - done;

		ring_get(f, off + done, iov[i].iov_base, len);
		done += len;
	}
	return (ssize_t)asked;
}

static const struct store_ops file_source = {.read = file_read, .close = file_close};
static const struct store_ops ring_source = {.read = ring_read, .close = file_close};

int store_file_source(struct store_file *f, struct store *store, int fd, uint64_t size, bool text, size_t keep)
{
	bool seekable = !text && size != UINT64_MAX;

	reset(f, fd);
	f->size = size;
	f->text = text;
	*store = (struct store){.ops = seekable ? &file_source : &ring_source, .arg = f, .seekable = seekable};
	if (seekable)
		return 0;
	/* One byte may be converted into two, so the ring can be asked to run one byte ahead of what was wanted. */
	f->cap = keep + 2;
	f->ring = malloc(f->cap);
	if (f->ring != NULL)
		return 0;
	file_close(f);
	return -ENOMEM;
}

int store_file_again(struct store_file *old, struct store_file *f, struct store *store, size_t keep)
{
	int err;

	if (old->ring == NULL || old->start > 0)
		return -ESPIPE;
	err = store_file_source(f, store, old->fd, old->size, old->text, keep < old->end ? (size_t)old->end : keep);
	old->fd = -1;
	if (err != 0)
		return err;
	f->pos = old->pos;
	f->end = old->end;
	f->eof = old->eof;
	f->conv = old->conv;
	ring_get(old, 0, f->ring, (size_t)old->end);
	return 0;
}

void store_file_ahead(struct store_file *f, struct store_ahead *ahead)
{
	if (f->ring != NULL)
		return;
	f->ahead = ahead;
	ahead->readers++;
}

/* Sinks. */

static int write_all(struct store_file *f, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = f->dir >= 0 ? pwrite(f->fd, buf, len, (off_t)f->pos) : write(f->fd, buf, len);
		struct pollfd p = {.fd = f->fd, .events = POLLOUT};

		if (n < 0 && errno == EAGAIN)
			poll(&p, 1, -1);
		else if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		buf += n;
		len -= (size_t)n;
		f->pos += (size_t)n;
	}
	return 0;
}

/* How much room there is changes while an upload grows; it is asked once in a while. */
static int check_free(struct store_file *f, size_t len)
{
	struct statvfs fs;

	f->unchecked += len;
	if (f->how.min_free == 0 || f->unchecked < FREE_CHECK)
		return 0;
	f->unchecked = 0;
	if (fstatvfs(f->dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < f->how.min_free)
		return -ENOSPC;
	return 0;
}

/* Bytes in memory are counted, all uploads together: their number is the clients' choice. */
static int take_memory(struct store_file *f, uint64_t end)
{
	if (f->how.memory == NULL || end <= f->taken)
		return 0;
	if (end - f->taken > *f->how.memory)
		return -ENOSPC;
	*f->how.memory -= end - f->taken;
	f->taken = end;
	return 0;
}

/* Forward only: converted, or to where nothing can be placed. */
static int stream_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	uint8_t out[PIECE + 1];

	(void)off;
	for (int i = 0; i < n; i++) {
		const uint8_t *in = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0) {
			size_t piece = left < PIECE ? left : PIECE;
			size_t len = f->text ? netascii_decode(&f->conv, in, piece, out) : piece;
			int err = f->pos + len > f->size ? STORE_TOO_BIG : check_free(f, len);

			if (err == 0)
				err = take_memory(f, f->pos + len);
			if (err == 0)
				err = write_all(f, f->text ? out : in, len);
			if (err != 0)
				return err;
			in += piece;
			left -= piece;
		}
	}
	return 0;
}

/* The disk may begin with what is written, so that the end of a large upload has little to wait for. */
static void begin_writeback(struct store_file *f, uint64_t end)
{
	struct store_offload *o = f->how.offload;
	uint64_t written = behind_written(f->how.behind, f, end);

	if (!f->how.sync || f->how.in_place || o == NULL || written < f->begun + STORE_WRITEBACK)
		return;
	if (o->writeback(o, f->fd, f->begun, written - f->begun) == 0)
		f->begun = written;
}

static int file_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	size_t len = total(iov, n);
	int err;

	if (off + len > f->size)
		return STORE_TOO_BIG;
	if (check_free(f, len) != 0 || take_memory(f, off + len) != 0)
		return -ENOSPC;
	err = behind_write(f->how.behind, f, f->fd, off, iov, n);
	if (err == 0)
		begin_writeback(f, off + len);
	return err;
}

static int stream_finish(void *arg)
{
	struct store_file *f = arg;
	uint8_t last;

	if (!f->text || netascii_decode_end(&f->conv, &last) == 0)
		return 0;
	return f->pos >= f->size ? STORE_TOO_BIG : write_all(f, &last, 1);
}

/* Temporary files. */

/* A temporary name, fresh at random. */
static int temp_name(char name[TEMP_ROOM])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EAGAIN;
	snprintf(name, TEMP_ROOM, STORE_FILE_TEMP "%016llx", (unsigned long long)random);
	return 0;
}

/*
 * A name of its own, and a lock on it that says that somebody is still writing. A sweeper may have come between the two:
 * then the name is gone, and another is made.
 */
static int create_temp(int dir, mode_t mode, int *fd, char **temp)
{
	struct stat st;
	int err = -EEXIST;

	*temp = malloc(TEMP_ROOM);
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
		flock(*fd, LOCK_EX | LOCK_NB);
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

/*
 * No name at all until it is whole: however this program ends, nothing is left. Not every file system can do that, and
 * without /proc the file could never be given a name.
 */
static int create_nameless(struct store_file *f)
{
	char path[FD_PATH_ROOM];

	f->fd = openat(f->dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, f->how.mode);
	if (f->fd < 0)
		return -errno;
	fd_path(path, f->fd);
	if (access(path, F_OK) == 0) {
		flock(f->fd, LOCK_EX | LOCK_NB); /* before it has a name that could be swept */
		return 0;
	}
	close(f->fd);
	f->fd = -1;
	return -ENOENT;
}

/* The end of an upload. */

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

static DIR *list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

/* The highest version there is, and the lowest and how many. */
static unsigned long versions(const struct store_commit *c, unsigned long *lowest, unsigned *count)
{
	DIR *d = list(c->dir);
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
 * Give the old file a second name, then the new one takes the first, which is never missing. Where links are not to be
 * had (fs.protected_hardlinks, some file systems) the two change places first. 1: the new file has the name already.
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
	err = rename_flags(c->dir, c->temp, c->name, EXCHANGE);
	if (err == 0)
		err = rename_flags(c->dir, c->temp, old, NOREPLACE);
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

/* A replaced file keeps its permissions; failing to is no reason to lose the upload. */
static int make_ready(const struct store_commit *c)
{
	struct stat st;

	if (fstatat(c->dir, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    fchmod(c->fd, st.st_mode & 0777) != 0 && errno == EIO)
		return -EIO;
	return c->how.sync && fsync(c->fd) != 0 ? -errno : 0;
}

/* What has no name yet, and cannot be given one where it is (some file systems and security modules), is copied. */
static int copy_to_temp(struct store_commit *c)
{
	int fd = -1, err = create_temp(c->dir, c->how.mode, &fd, &c->temp);

	if (err != 0)
		return err;
	err = copy_to(c->fd, fd);
	close(c->fd);
	c->fd = fd;
	return err == 0 ? make_ready(c) : err;
}

/* link(2) cannot replace: a temporary name first, which rename(2) then puts over the old file. */
static int name_temp(struct store_commit *c)
{
	char path[FD_PATH_ROOM];
	int err = -EEXIST;

	c->temp = malloc(TEMP_ROOM);
	if (c->temp == NULL)
		return -ENOMEM;
	fd_path(path, c->fd);
	for (int tries = 0; tries < 8 && err == -EEXIST; tries++) {
		err = temp_name(c->temp);
		if (err == 0 && linkat(AT_FDCWD, path, c->dir, c->temp, AT_SYMLINK_FOLLOW) != 0)
			err = -errno;
	}
	if (err == 0)
		return 0;
	free(c->temp);
	c->temp = NULL;
	return copy_to_temp(c);
}

static int give_name(struct store_commit *c)
{
	int err = c->temp == NULL ? name_temp(c) : 0;

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

/* What was collected in memory goes over the file that is there. */
static int write_over(struct store_commit *c)
{
	int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, fd = openat(c->dir, c->name, O_RDWR | flags), err;
	struct stat st, new;

	/* One may be written and not read. */
	if (fd < 0 && errno == EACCES)
		fd = openat(c->dir, c->name, O_WRONLY | flags);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
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

static int commit(struct store_commit *c)
{
	int err = 0;

	if (c->how.exists == STORE_EXISTS_SAME)
		err = compare(c);
	if (err != 0)
		return err > 0 ? 0 : err;
	if (c->how.in_place)
		return write_over(c);
	err = make_ready(c);
	if (err == 0)
		err = give_name(c);
	/* A mount point, as containers have them for single files: nothing can be renamed over it. */
	if (err == -EBUSY && c->how.exists == STORE_EXISTS_REPLACE)
		return write_over(c);
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

/* Everything that the end needs goes into the commit. */
static int begin_commit(struct store_file *f)
{
	struct store_commit *c = malloc(sizeof(*c));
	int err = f->text ? stream_finish(f) : behind_flush(f->how.behind, f, f->fd);

	if (c == NULL || err != 0) {
		free(c);
		return err != 0 ? err : -ENOMEM;
	}
	*c = (struct store_commit){.file = f, .how = f->how, .fd = f->fd, .dir = f->dir, .temp = f->temp, .name = f->name};
	f->fd = f->dir = -1;
	f->temp = f->name = NULL;
	f->commit = c;
	if (f->how.offload != NULL && f->how.offload->submit(f->how.offload, c) == 0)
		return 0;
	store_commit_run(c);
	c->done = true;
	return 0;
}

static int sink_finish(void *arg)
{
	struct store_file *f = arg;
	int err = f->commit != NULL ? 0 : begin_commit(f);

	if (err != 0)
		return err;
	return f->commit->done ? f->commit->result : STORE_AGAIN;
}

static const struct store_ops stream_sink = {.write = stream_write, .finish = stream_finish, .close = file_close};
static const struct store_ops text_sink = {.write = stream_write, .finish = sink_finish, .close = file_close};
static const struct store_ops file_sink = {.write = file_write, .finish = sink_finish, .close = file_close};

int store_file_stream(struct store_file *f, struct store *store, int fd, bool text)
{
	reset(f, fd);
	f->text = text;
	f->size = UINT64_MAX;
	*store = (struct store){.ops = &stream_sink, .arg = f};
	return 0;
}

static int create_named(struct store_file *f)
{
	if (f->how.nameless && create_nameless(f) == 0)
		return 0;
	return create_temp(f->dir, f->how.mode, &f->fd, &f->temp);
}

/* In memory: there is no place for a file. */
static int create_hidden(struct store_file *f)
{
	f->fd = memfd_create("tftp upload", MFD_CLOEXEC);
	if (f->size > STORE_IN_PLACE_MAX)
		f->size = STORE_IN_PLACE_MAX;
	return f->fd < 0 ? -errno : 0;
}

int store_file_upload(struct store_file *f, struct store *store, int dir, const char *name,
    const struct store_upload *how)
{
	int err;

	reset(f, -1);
	f->how = *how;
	f->size = how->limit;
	f->text = how->text;
	f->unchecked = FREE_CHECK;
	*store = (struct store){.ops = f->text ? &text_sink : &file_sink, .arg = f, .seekable = !f->text};
	f->dir = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (f->dir < 0)
		return -errno;
	f->name = strdup(name);
	err = f->name == NULL ? -ENOMEM : how->in_place ? create_hidden(f) : create_named(f);
	if (err != 0)
		file_close(f);
	return err;
}

int store_file_sink(struct store_file *f, struct store *store, int dir, const char *name, mode_t mode, bool text,
    uint64_t limit, bool sync)
{
	struct store_upload how = {.mode = mode, .text = text, .limit = limit, .sync = sync};

	return store_file_upload(f, store, dir, name, &how);
}

/* What was left behind. */

static bool sweep_file(int dir, const char *name, bool own)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool stale;

	if (fd < 0)
		return false;
	stale = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (!own || st.st_uid == geteuid()) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	    unlinkat(dir, name, 0) == 0;
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
		if (strncmp(e->d_name, STORE_FILE_TEMP, sizeof(STORE_FILE_TEMP) - 1) == 0) {
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

unsigned store_file_sweep(int dir, const bool *stop)
{
	return sweep(dir, 64, stop);
}

unsigned store_file_tidy(int dir)
{
	DIR *d = list(dir);
	const struct dirent *e;
	unsigned n = 0;

	for (int seen = 0; d != NULL && seen < TIDY_MOST && (e = readdir(d)) != NULL; seen++)
		if (strncmp(e->d_name, STORE_FILE_TEMP, sizeof(STORE_FILE_TEMP) - 1) == 0 &&
		    strlen(e->d_name) == TEMP_ROOM - 1)
			n += sweep_file(dir, e->d_name, true);
	if (d != NULL)
		closedir(d);
	return n;
}
