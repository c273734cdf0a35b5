/* See ahead.h. What is read ahead is as old as its read, by one buffer at the most. */
#include "ahead.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ahead_join(struct ahead_reader *r, struct ahead *a)
{
	*r = (struct ahead_reader){.ahead = a};
	a->readers++;
}

static void drop(struct ahead_reader *r)
{
	free(r->bytes);
	r->bytes = NULL;
	r->cap = r->len = 0;
}

void ahead_leave(struct ahead_reader *r)
{
	if (r->ahead != NULL)
		r->ahead->readers--;
	r->ahead = NULL;
	drop(r);
}

/* How much each may have. */
static size_t share(const struct ahead *a)
{
	size_t each = AHEAD_TOTAL / a->readers;

	if (a->readers > AHEAD_READERS)
		return 0;
	return each > AHEAD_MOST ? AHEAD_MOST : each > AHEAD_LEAST ? each : AHEAD_LEAST;
}

/* As much as is worth reading: whole reads like this one, two at least. 0: just this one. */
static size_t worth(struct ahead_reader *r, uint64_t off, uint64_t left, size_t want)
{
	size_t room;

	/* Whoever reads the beginning may want no more: most files of a boot are small, and most requests probes. */
	if (r->ahead == NULL || off == 0 || want == 0 || want > AHEAD_BLOCK || left < 2 * want)
		return 0;
	room = share(r->ahead);
	if (room < 2 * want)
		return 0;
	if (r->cap > 2 * room)
		drop(r);
	if (r->cap == 0) {
		r->bytes = malloc(room);
		r->cap = r->bytes != NULL ? room : 0;
	}
	room = r->cap - r->cap % want;
	return room < left ? room : (size_t)left;
}

static void copy_out(const uint8_t *from, const struct iovec *iov, int n, size_t len)
{
	for (; len > 0 && n > 0; iov++, n--) {
		size_t part = iov->iov_len < len ? iov->iov_len : len;

		memcpy(iov->iov_base, from, part);
		from += part;
		len -= part;
	}
}

static ssize_t read_now(int fd, uint64_t off, const struct iovec *iov, int n, size_t want)
{
	return n == 1 ? pread(fd, iov->iov_base, want, (off_t)off) : preadv(fd, iov, n, (off_t)off);
}

/* What is wanted goes where it is wanted, and what follows into the buffer. */
static ssize_t read_both(struct ahead_reader *r, int fd, uint64_t off, const struct iovec *iov, size_t want, size_t len)
{
	struct iovec both[2] = {{.iov_base = iov->iov_base, .iov_len = want}, {.iov_base = r->bytes, .iov_len = len}};
	ssize_t got = preadv(fd, both, 2, (off_t)off);

	r->off = off + want;
	r->len = got > (ssize_t)want ? (size_t)got - want : 0;
	return got > (ssize_t)want ? (ssize_t)want : got;
}

ssize_t ahead_read(struct ahead_reader *r, int fd, uint64_t size, uint64_t off, const struct iovec *iov, int n,
    size_t want)
{
	if (off < r->off || off + want > r->off + r->len) {
		size_t len = worth(r, off, size - off, want);
		ssize_t got;

		if (len == 0) {
			drop(r);
			return read_now(fd, off, iov, n, want);
		}
		if (n == 1) {
			if (len > size - off - want)
				len = (size_t)(size - off - want);
			return read_both(r, fd, off, iov, want, len);
		}
		got = pread(fd, r->bytes, len, (off_t)off);
		r->off = off;
		r->len = got > 0 ? (size_t)got : 0;
		if (got < 0)
			return got;
		if ((size_t)got < want)
			want = (size_t)got;
	}
	copy_out(r->bytes + (off - r->off), iov, n, want);
	return (ssize_t)want;
}
