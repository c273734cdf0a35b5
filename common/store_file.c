/*
 * Stores over descriptors: regular files by preadv and pwritev, everything else forward only.
 *
 * An upload or download is written under a temporary name in its target's directory, or under none, and renamed once it
 * is whole and on disk, so that the name never stands for half a file (rename(2) is atomic).
 */
#include "store_file.h"

#include "store_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Bytes converted or copied at a time where a conversion stands between file and transfer. */
#define PIECE 4096

#define FREE_CHECK (1 << 20)        /* bytes written between two looks at the free space */

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

/* What arrived gets a name, but not that of a file where those are not replaced: a link cannot. True: it has moved. */
static bool keep_partial(const struct store_file *f)
{
	bool replace = f->how.exists == STORE_EXISTS_REPLACE || f->how.exists == STORE_EXISTS_VERSION;
	char partial[NAME_MAX + sizeof(".partial")];

	if (snprintf(partial, sizeof(partial), "%s.partial", f->name) > NAME_MAX)
		return false;
	if (replace)
		return renameat(f->dir, f->temp, f->dir, partial) == 0;
	return linkat(f->dir, f->temp, f->dir, partial, 0) == 0 && unlinkat(f->dir, f->temp, 0) == 0;
}

/* An upload that broke off: away with it, or aside. */
static void discard(struct store_file *f)
{
	struct stat st;

	if (f->how.keep_partial && behind_flush(f->how.behind, f, f->fd) == 0 && fstat(f->fd, &st) == 0 &&
	    st.st_size > 0 && keep_partial(f))
		return;
	unlinkat(f->dir, f->temp, 0);
}

static void file_close(void *arg)
{
	struct store_file *f = arg;

	ahead_leave(&f->ahead);
	if (f->how.memory != NULL)
		*f->how.memory += f->taken;
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

static ssize_t file_read(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	size_t want = total(iov, n);
	ssize_t got;

	/* What tsize announced is what is sent: bytes that were added since do not count. */
	if (off >= f->size)
		return 0;
	if (want > f->size - off)
		want = (size_t)(f->size - off);
	got = ahead_read(&f->ahead, f->fd, f->size, off, iov, n, want);
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

void store_file_ahead(struct store_file *f, struct ahead *ahead)
{
	if (f->ring == NULL)
		ahead_join(&f->ahead, ahead);
}

/* Sinks. */

/* For as long as it takes: somebody else's descriptor may be one that does not block. */
static int wait_for_room(struct store_file *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLOUT};

	if (f->wait != NULL)
		return f->wait->writable(f->wait, f->fd);
	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

static int write_all(struct store_file *f, const uint8_t *buf, size_t len)
{
	while (len > 0) {
		/* More may block where poll() has said that there is room. */
		size_t most = f->wait != NULL && len > PIPE_BUF ? PIPE_BUF : len;
		int err = f->wait != NULL ? wait_for_room(f) : 0;
		ssize_t n;

		if (err != 0)
			return err;
		n = f->dir >= 0 ? pwrite(f->fd, buf, most, (off_t)f->pos) : write(f->fd, buf, most);
		if (n < 0 && errno == EAGAIN)
			err = wait_for_room(f);
		else if (n < 0 && errno != EINTR)
			err = -errno;
		if (err != 0)
			return err;
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

/* Forward only, to where nothing can be placed. Small blocks go together: each write may have to be waited for. */
static int stream_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	uint8_t piece[PIECE];
	size_t have = 0;
	int err = 0;

	(void)off;
	for (int i = 0; i < n; i++) {
		const uint8_t *in = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0 && err == 0) {
			size_t len = left < PIECE - have ? left : PIECE - have;

			memcpy(piece + have, in, len);
			have += len;
			in += len;
			left -= len;
			if (have < PIECE)
				continue;
			err = write_all(f, piece, have);
			have = 0;
		}
	}
	return err == 0 ? write_all(f, piece, have) : err;
}

/* Forward only, converted. */
static int text_write(void *arg, uint64_t off, const struct iovec *iov, int n)
{
	struct store_file *f = arg;
	uint8_t out[PIECE + 1];

	(void)off;
	for (int i = 0; i < n; i++) {
		const uint8_t *in = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0) {
			size_t piece = left < PIECE ? left : PIECE;
			size_t len = netascii_decode(&f->conv, in, piece, out);
			int err = f->pos + len > f->size ? STORE_TOO_BIG : check_free(f, len);

			if (err == 0)
				err = take_memory(f, f->pos + len);
			if (err == 0)
				err = write_all(f, out, len);
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

static int text_finish(struct store_file *f)
{
	uint8_t last;

	if (!f->text || netascii_decode_end(&f->conv, &last) == 0)
		return 0;
	return f->pos >= f->size ? STORE_TOO_BIG : write_all(f, &last, 1);
}

/* Whoever reads a pipe waits for its end, and some file systems say only now that there is no room. */
static int stream_finish(void *arg)
{
	struct store_file *f = arg;
	int err = text_finish(f), fd = f->fd;

	if (err != 0)
		return err;
	f->fd = -1;
	return close(fd) != 0 && errno != EINTR ? -errno : 0;
}

/* Everything that the end needs goes into the commit. */
static int begin_commit(struct store_file *f)
{
	struct store_commit *c = malloc(sizeof(*c));
	int err = f->text ? text_finish(f) : behind_flush(f->how.behind, f, f->fd);

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
	if (!f->commit->done)
		return STORE_AGAIN;
	/* A transfer may dally for long: until then nobody could run the file, or unmount where it is. */
	err = f->commit->result;
	store_commit_free(f->commit);
	f->commit = NULL;
	return err;
}

static const struct store_ops stream_sink = {.write = stream_write, .finish = stream_finish, .close = file_close};
static const struct store_ops text_stream = {.write = text_write, .finish = stream_finish, .close = file_close};
static const struct store_ops text_sink = {.write = text_write, .finish = sink_finish, .close = file_close};
static const struct store_ops file_sink = {.write = file_write, .finish = sink_finish, .close = file_close};

int store_file_stream(struct store_file *f, struct store *store, int fd, bool text, struct store_wait *wait)
{
	reset(f, fd);
	f->wait = wait;
	f->text = text;
	f->size = UINT64_MAX;
	*store = (struct store){.ops = text ? &text_stream : &stream_sink, .arg = f};
	return 0;
}

static int create_named(struct store_file *f)
{
	if (f->how.nameless && store_temp_nameless(f->dir, f->how.mode, &f->fd) == 0)
		return 0;
	return store_temp_create(f->dir, f->how.mode, &f->fd, &f->temp);
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

