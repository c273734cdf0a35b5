/*
 * Stores over descriptors: regular files by preadv and pwritev, everything else forward only.
 *
 * An upload or download is written under a temporary name in its target's directory and renamed once it is whole and on
 * disk, so that the name never stands for half a file (rename(2) is atomic).
 */
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes converted or copied at a time where a conversion stands between file and transfer. */
#define PIECE 4096

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

static void file_close(void *arg)
{
	struct store_file *f = arg;

	if (f->ahead != NULL)
		f->ahead->readers--;
	if (f->slot != NULL && f->slot->owner == f)
		f->slot->owner = NULL;
	if (f->temp != NULL && !f->done)
		unlinkat(f->dir, f->temp, 0);
	if (f->fd >= 0)
		close(f->fd);
	if (f->dir >= 0)
		close(f->dir);
	free(f->ring);
	free(f->temp);
	free(f->name);
	reset(f, -1);
}

/* ---- source: a regular file ------------------------------------------------------------------------------------- */

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
	slot = want <= STORE_AHEAD_BYTES / 4 ? ahead_slot(f) : NULL;
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

/* ---- source: forward only --------------------------------------------------------------------------------------- */

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

void store_file_ahead(struct store_file *f, struct store_ahead *ahead)
{
	if (f->ring != NULL)
		return;
	f->ahead = ahead;
	ahead->readers++;
}

/* ---- sinks ------------------------------------------------------------------------------------------------------ */

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
			int err = f->pos + len > f->size ? STORE_TOO_BIG : write_all(f, f->text ? out : in, len);

			if (err != 0)
				return err;
			in += piece;
			left -= piece;
		}
	}
	return 0;
}

static int write_rest(int fd, uint64_t off, const struct iovec *iov, int n, size_t done)
{
	size_t skip = done;

	for (int i = 0; i < n; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		while (skip < iov[i].iov_len) {
			ssize_t r = pwrite(fd, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip, (off_t)(off + done));

			if (r < 0 && errno == EINTR)
				continue;
			if (r < 0)
				return -errno;
			if (r == 0)
				return -ENOSPC;
			done += (size_t)r;
			skip += (size_t)r;
		}
		skip = 0;
	}
	return 0;
}

static int file_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	size_t len = total(iov, n);
	ssize_t done;

	if (off + len > f->size)
		return STORE_TOO_BIG;
	done = pwritev(f->fd, iov, n, (off_t)off);
	if (done < 0 && errno != EINTR)
		return -errno;
	if (done == (ssize_t)len)
		return 0;
	return write_rest(f->fd, off, iov, n, done > 0 ? (size_t)done : 0);
}

static int stream_finish(void *arg)
{
	struct store_file *f = arg;
	uint8_t last;

	if (!f->text || netascii_decode_end(&f->conv, &last) == 0)
		return 0;
	return f->pos >= f->size ? STORE_TOO_BIG : write_all(f, &last, 1);
}

/* The name's directory entry must reach the disk as well. Some file systems cannot do that and say EINVAL. */
static int sync_dir(int dir)
{
	if (fsync(dir) == 0 || errno == EINVAL || errno == EBADF || errno == EROFS)
		return 0;
	return -errno;
}

static int sink_finish(void *arg)
{
	struct store_file *f = arg;
	struct stat st;
	int err = f->text ? stream_finish(f) : 0;

	if (err != 0)
		return err;
	/* A replaced file keeps its permissions; failing to is no reason to lose the upload. */
	if (fstatat(f->dir, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    fchmod(f->fd, st.st_mode & 0777) != 0 && errno == EIO)
		return -EIO;
	if (f->sync && fsync(f->fd) != 0)
		return -errno;
	if (renameat(f->dir, f->temp, f->dir, f->name) != 0)
		return -errno;
	f->done = true;
	return f->sync ? sync_dir(f->dir) : 0;
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

static int create_temp(struct store_file *f, mode_t mode)
{
	uint64_t random;
	int err = -EEXIST;

	f->temp = malloc(sizeof(STORE_FILE_TEMP) + 16);
	if (f->temp == NULL)
		return -ENOMEM;
	for (int tries = 0; tries < 8; tries++) {
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EAGAIN;
		sprintf(f->temp, STORE_FILE_TEMP "%016llx", (unsigned long long)random);
		f->fd = openat(f->dir, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (f->fd >= 0)
			return 0;
		err = -errno;
		if (err != -EEXIST)
			break;
	}
	free(f->temp);
	f->temp = NULL;
	return err;
}

int store_file_sink(struct store_file *f, struct store *store, int dir, const char *name, mode_t mode, bool text,
    uint64_t limit, bool sync)
{
	int err;

	reset(f, -1);
	f->size = limit;
	f->text = text;
	f->sync = sync;
	*store = (struct store){.ops = text ? &text_sink : &file_sink, .arg = f, .seekable = !text};
	f->dir = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (f->dir < 0)
		return -errno;
	f->name = strdup(name);
	err = f->name == NULL ? -ENOMEM : create_temp(f, mode);
	if (err != 0)
		file_close(f);
	return err;
}
