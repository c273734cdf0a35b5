/* Write-behind: whatever order the pieces come in, the file is what they say, and few writes make it. */
#include "behind.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (3 * BEHIND_BYTES + 12345)

static struct behind behind;
static uint8_t content[SIZE], seen[SIZE + 1];

static int new_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	MUST(fd >= 0);
	for (size_t i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(i * 7 + i / 1021);
	return fd;
}

static off_t length(int fd)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	return st.st_size;
}

static int put(int fd, const void *owner, uint64_t off, size_t len)
{
	struct iovec iov[3] = {
		{.iov_base = content + off, .iov_len = len / 3},
		{.iov_base = content + off + len / 3, .iov_len = 0},
		{.iov_base = content + off + len / 3, .iov_len = len - len / 3},
	};

	return behind_write(&behind, owner, fd, off, iov, 3);
}

static void assert_whole(int fd, size_t len)
{
	ck_assert_int_eq(length(fd), (off_t)len);
	MUST(pread(fd, seen, sizeof(seen), 0) == (ssize_t)len);
	ck_assert_int_eq(memcmp(seen, content, len), 0);
}

START_TEST(pieces_end_to_end_become_large_writes)
{
	int dir = unit_dir_open(), fd = new_file(dir, "f");
	size_t piece = 1428, off = 0;

	for (; off + piece <= SIZE; off += piece) {
		ck_assert_int_eq(put(fd, &dir, off, piece), 0);
		ck_assert_int_eq(length(fd), (off_t)((off + piece) / BEHIND_BYTES * BEHIND_BYTES));
		ck_assert_uint_eq(behind_written(&behind, &dir, off + piece), (uint64_t)length(fd));
	}
	ck_assert_int_eq(put(fd, &dir, off, SIZE - off), 0);
	ck_assert_int_eq(behind_flush(&behind, &dir, fd), 0);
	assert_whole(fd, SIZE);
	ck_assert_uint_eq(behind_written(&behind, &dir, SIZE), SIZE);
	behind_drop(&behind, &dir);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

START_TEST(pieces_of_every_length_make_the_same_file)
{
	static const size_t lengths[] = {1, 7, 511, 512, 4096, 65464, BEHIND_BYTES - 1, BEHIND_BYTES, BEHIND_BYTES + 1, SIZE};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int dir = unit_dir_open(), fd = new_file(dir, "f");
		size_t whole = lengths[i] < 100 ? BEHIND_BYTES + 3000 : SIZE;

		for (size_t off = 0; off < whole; off += lengths[i])
			MUST(put(fd, &dir, off, whole - off < lengths[i] ? whole - off : lengths[i]) == 0);
		MUST(behind_flush(&behind, &dir, fd) == 0);
		assert_whole(fd, whole);
		behind_drop(&behind, &dir);
		close(fd);
		unit_dir_close(dir);
	}
}
END_TEST

/* As blocks come over a bad line: some from behind a hole, then what fills it. */
START_TEST(pieces_in_any_order_make_the_same_file)
{
	for (unsigned seed = 1; seed <= 50; seed++) {
		int dir = unit_dir_open(), fd = new_file(dir, "f");
		size_t piece = 4000, n = SIZE / piece;
		size_t *order = malloc(n * sizeof(*order));

		srandom(seed);
		MUST(order != NULL);
		for (size_t i = 0; i < n; i++)
			order[i] = i;
		for (size_t i = 0; i + 8 < n; i++) {
			size_t j = i + (size_t)random() % 8, t = order[i];

			if (random() % 4 != 0)
				continue;
			order[i] = order[j];
			order[j] = t;
		}
		for (size_t i = 0; i < n; i++)
			MUST(put(fd, &dir, order[i] * piece, piece) == 0);
		MUST(put(fd, &dir, n * piece, SIZE - n * piece) == 0);
		MUST(behind_flush(&behind, &dir, fd) == 0);
		assert_whole(fd, SIZE);
		behind_drop(&behind, &dir);
		free(order);
		close(fd);
		unit_dir_close(dir);
	}
}
END_TEST

START_TEST(a_writer_without_a_buffer_writes_at_once)
{
	int dir = unit_dir_open(), fds[BEHIND_SLOTS + 1];

	for (int i = 0; i <= (int)BEHIND_SLOTS; i++) {
		char name[] = {(char)('a' + i), '\0'};

		fds[i] = new_file(dir, name);
		ck_assert_int_eq(put(fds[i], &fds[i], 0, 1000), 0);
		ck_assert_int_eq(length(fds[i]), i < (int)BEHIND_SLOTS ? 0 : 1000);
	}
	/* One that goes makes room for another. */
	behind_drop(&behind, &fds[3]);
	ck_assert_int_eq(length(fds[3]), 0);
	ck_assert_int_eq(put(fds[BEHIND_SLOTS], &fds[BEHIND_SLOTS], 1000, 1000), 0);
	ck_assert_int_eq(length(fds[BEHIND_SLOTS]), 1000);
	ck_assert_int_eq(behind_flush(&behind, &fds[BEHIND_SLOTS], fds[BEHIND_SLOTS]), 0);
	assert_whole(fds[BEHIND_SLOTS], 2000);
	for (int i = 0; i <= (int)BEHIND_SLOTS; i++) {
		behind_drop(&behind, &fds[i]);
		close(fds[i]);
	}
	unit_dir_close(dir);
}
END_TEST

START_TEST(without_buffers_everything_is_written_at_once)
{
	int dir = unit_dir_open(), fd = new_file(dir, "f");
	struct iovec iov = {.iov_base = content, .iov_len = 77};

	ck_assert_int_eq(behind_write(NULL, &dir, fd, 0, &iov, 1), 0);
	assert_whole(fd, 77);
	ck_assert_int_eq(behind_flush(NULL, &dir, fd), 0);
	ck_assert_uint_eq(behind_written(NULL, &dir, 77), 77);
	behind_drop(NULL, &dir);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_error_shows_at_the_write_or_at_the_flush)
{
	int dir = unit_dir_open(), fd;

	close(new_file(dir, "f"));
	fd = openat(dir, "f", O_RDONLY);
	ck_assert_int_eq(put(fd, &dir, 0, 1000), 0);
	ck_assert_int_eq(behind_flush(&behind, &dir, fd), -EBADF);
	ck_assert_int_eq(behind_flush(&behind, &dir, fd), -EBADF);
	ck_assert_int_eq(put(fd, &dir, 1000, BEHIND_BYTES), -EBADF);
	ck_assert_int_eq(put(fd, &dir, 2000000 % SIZE, 10), -EBADF);
	behind_drop(&behind, &dir);
	ck_assert_int_eq(behind_flush(&behind, &dir, fd), 0);
	struct iovec iov[2] = {{.iov_base = content, .iov_len = 5}, {.iov_base = content, .iov_len = 5}};
	ck_assert_int_eq(behind_write(NULL, &dir, fd, 0, iov, 2), -EBADF);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

START_TEST(what_could_not_be_written_keeps_its_place)
{
	int dir = unit_dir_open(), fd = new_file(dir, "f"), no = openat(dir, "f", O_RDONLY);

	ck_assert_int_eq(put(fd, &dir, 0, 1000), 0);
	ck_assert_int_eq(put(no, &dir, 5000, 10), -EBADF);
	ck_assert_int_eq(behind_flush(&behind, &dir, fd), 0);
	assert_whole(fd, 1000);
	behind_drop(&behind, &dir);
	close(no);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

UNIT_MAIN("behind", pieces_end_to_end_become_large_writes, pieces_of_every_length_make_the_same_file,
    pieces_in_any_order_make_the_same_file, a_writer_without_a_buffer_writes_at_once,
    without_buffers_everything_is_written_at_once, an_error_shows_at_the_write_or_at_the_flush,
    what_could_not_be_written_keeps_its_place)
