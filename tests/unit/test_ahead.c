/* Read-ahead: whatever is asked for, the bytes are the file's; and who may read how much ahead. */
#include "ahead.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SIZE (3 * AHEAD_MOST + 777)

static struct ahead ahead;
static uint8_t content[SIZE], seen[SIZE];

static int new_file(int dir)
{
	int fd = openat(dir, "f", O_RDWR | O_CREAT | O_TRUNC, 0644);

	for (size_t i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(i * 7 + i / 1021);
	MUST(fd >= 0 && write(fd, content, SIZE) == SIZE);
	return fd;
}

static ssize_t get(struct ahead_reader *r, int fd, uint64_t off, size_t len)
{
	struct iovec iov[3] = {
		{.iov_base = seen, .iov_len = len / 3},
		{.iov_base = seen + len / 3, .iov_len = 0},
		{.iov_base = seen + len / 3, .iov_len = len - len / 3},
	};

	memset(seen, 0, len);
	return ahead_read(r, fd, SIZE, off, iov, 3, len);
}

static void assert_got(struct ahead_reader *r, int fd, uint64_t off, size_t len)
{
	ck_assert_int_eq(get(r, fd, off, len), (ssize_t)len);
	ck_assert_int_eq(memcmp(seen, content + off, len), 0);
}

START_TEST(reads_of_every_length_say_what_the_file_says)
{
	static const size_t lengths[] = {8, 512, 1428, AHEAD_BLOCK, AHEAD_BLOCK + 1, 65464};
	int dir = unit_dir_open(), fd = new_file(dir);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct ahead_reader r;
		size_t len = lengths[i];

		ahead_join(&r, &ahead);
		for (uint64_t off = 0; off < SIZE; off += len) {
			size_t n = SIZE - off < len ? (size_t)(SIZE - off) : len;

			assert_got(&r, fd, off, n);
			/* Its answer was lost: the same block once more, and the one before it. */
			if (off / len % 5 == 4) {
				assert_got(&r, fd, off, n);
				assert_got(&r, fd, off - len, len);
			}
		}
		ck_assert_uint_le(r.cap, len > AHEAD_BLOCK ? 0 : AHEAD_MOST);
		ahead_leave(&r);
	}
	ck_assert_uint_eq(ahead.readers, 0);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_first_block_alone_costs_no_memory)
{
	int dir = unit_dir_open(), fd = new_file(dir);
	struct ahead_reader r;

	ahead_join(&r, &ahead);
	assert_got(&r, fd, 0, 512);
	ck_assert_ptr_null(r.bytes);
	assert_got(&r, fd, 512, 512);
	ck_assert_uint_eq(r.len, AHEAD_MOST);
	ahead_leave(&r);
	ck_assert_ptr_null(r.bytes);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

/* The more read, the less each; and who has more than twice its share gives it back when it reads on. */
START_TEST(many_readers_have_less_each_and_very_many_none)
{
	static const struct { size_t readers, room; } cases[] = {
		{AHEAD_TOTAL / AHEAD_MOST, AHEAD_MOST}, {100, AHEAD_MOST}, {200, AHEAD_TOTAL / 200}, {AHEAD_READERS, AHEAD_LEAST},
		{AHEAD_READERS + 1, 0},
	};
	int dir = unit_dir_open(), fd = new_file(dir);
	struct ahead_reader r;
	uint64_t off = 1428;

	ahead_join(&r, &ahead);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t share = AHEAD_TOTAL / cases[i].readers;
		if (share < AHEAD_LEAST)
			share = AHEAD_LEAST;
		ahead.readers = cases[i].readers;
		off = r.off + r.len > off ? r.off + r.len : off;
		assert_got(&r, fd, off, 1428);
		ck_assert_uint_eq(r.len, cases[i].room - cases[i].room % 1428);
		ck_assert_uint_le(r.cap, 2 * share);
	}
	ck_assert_ptr_null(r.bytes);
	ahead.readers = 1;
	ahead_leave(&r);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_file_that_became_shorter_is_read_to_its_end)
{
	int dir = unit_dir_open(), fd = new_file(dir);
	struct ahead_reader r;

	ahead_join(&r, &ahead);
	MUST(ftruncate(fd, 10000) == 0);
	assert_got(&r, fd, 8192, 512);
	ck_assert_int_eq(get(&r, fd, 9728, 512), 272);
	ck_assert_int_eq(memcmp(seen, content + 9728, 272), 0);
	ck_assert_int_eq(get(&r, fd, 10240, 512), 0);
	ck_assert_int_eq(get(&r, -1, 20480, 512), -1);
	ahead_leave(&r);
	close(fd);
	unit_dir_close(dir);
}
END_TEST

UNIT_MAIN("ahead", reads_of_every_length_say_what_the_file_says, the_first_block_alone_costs_no_memory,
    many_readers_have_less_each_and_very_many_none, a_file_that_became_shorter_is_read_to_its_end)
