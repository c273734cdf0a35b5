/* Small writes collected into large ones; the rest of a short write is written too. */
#include "behind.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int write_all(int fd, const uint8_t *bytes, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOSPC;
		bytes += n;
		len -= (size_t)n;
		off += (size_t)n;
	}
	return 0;
}

static int write_through(int fd, uint64_t off, const struct iovec *iov, int n)
{
	ssize_t done = n == 1 ? 0 : pwritev(fd, iov, n, (off_t)off);
	size_t skip;

	if (done < 0 && errno != EINTR)
		return -errno;
	skip = done > 0 ? (size_t)done : 0;
	for (int i = 0; i < n; i++) {
		size_t passed = skip < iov[i].iov_len ? skip : iov[i].iov_len;
		int err = write_all(fd, (const uint8_t *)iov[i].iov_base + passed, iov[i].iov_len - passed, off + passed);

		if (err != 0)
			return err;
		skip -= passed;
		off += iov[i].iov_len;
	}
	return 0;
}

static struct behind_slot *slot_of(const struct behind *b, const void *owner)
{
	for (size_t i = 0; b != NULL && i < BEHIND_SLOTS; i++)
		if (b->slots[i].owner == owner)
			return (struct behind_slot *)&b->slots[i];
	return NULL;
}

static int flush(struct behind_slot *s, int fd)
{
	int err = write_all(fd, s->bytes, s->len, s->off);

	if (err != 0)
		return err;
	s->off += s->len;
	s->len = 0;
	return 0;
}

/* Buffers end at multiples of their size, where a file system's own pieces do. */
static int collect(struct behind_slot *s, int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t room = BEHIND_BYTES - (size_t)(s->off % BEHIND_BYTES) - s->len, n = len < room ? len : room;
		int err = 0;

		memcpy(s->bytes + s->len, bytes, n);
		s->len += n;
		bytes += n;
		len -= n;
		if (n == room)
			err = flush(s, fd);
		if (err != 0)
			return err;
	}
	return 0;
}

int behind_write(struct behind *b, const void *owner, int fd, uint64_t off, const struct iovec *iov, int n)
{
	struct behind_slot *s = slot_of(b, owner);
	int err = 0;

	if (s == NULL && (s = slot_of(b, NULL)) != NULL) {
		s->owner = owner;
		s->off = off;
		s->len = 0;
	}
	if (s == NULL)
		return write_through(fd, off, iov, n);
	/* A block beyond a hole, or one that fills it. */
	if (off != s->off + s->len) {
		err = flush(s, fd);
		/* What could not be written keeps its place. */
		if (err != 0)
			return err;
		s->off = off + total(iov, n);
		return write_through(fd, off, iov, n);
	}
	for (int i = 0; i < n && err == 0; i++)
		err = collect(s, fd, iov[i].iov_base, iov[i].iov_len);
	return err;
}

int behind_flush(struct behind *b, const void *owner, int fd)
{
	struct behind_slot *s = slot_of(b, owner);

	return s != NULL ? flush(s, fd) : 0;
}

void behind_drop(struct behind *b, const void *owner)
{
	struct behind_slot *s = slot_of(b, owner);

	if (s != NULL)
		s->owner = NULL;
}

uint64_t behind_written(const struct behind *b, const void *owner, uint64_t end)
{
	const struct behind_slot *s = slot_of(b, owner);

	return s != NULL ? s->off : end;
}
