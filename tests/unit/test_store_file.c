/*
 * Stores over descriptors: what a source gives out when the file changes under it, what a forward-only source still
 * remembers, and that an upload is either there whole or not at all.
 */
#include "store_file.h"
#include "store_temp.h"
#include "unit.h"
#include "unit_dir.h"
#include "unit_must.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 10000

static uint8_t content[SIZE];

static void fill_content(void)
{
	for (size_t i = 0; i < SIZE; i++)
		content[i] = (uint8_t)(i * 13 + i / 256);
}

/* Read through vectors of `piece` bytes each, as a run of blocks does. */
static ssize_t read_pieces(const struct store *s, uint64_t off, uint8_t *out, size_t len, size_t piece)
{
	struct iovec iov[64];
	int n = 0;

	memset(out, 0xee, len);
	for (size_t at = 0; at < len; at += piece, n++) {
		MUST(n < 64);
		iov[n] = (struct iovec){.iov_base = out + at, .iov_len = len - at < piece ? len - at : piece};
	}
	return s->ops->read(s->arg, off, iov, n);
}

static int write_at(const struct store *s, uint64_t off, const void *bytes, size_t len)
{
	struct iovec iov[2] = {
		{.iov_base = (void *)bytes, .iov_len = len / 2},
		{.iov_base = (uint8_t *)(uintptr_t)bytes + len / 2, .iov_len = len - len / 2},
	};

	return s->ops->write(s->arg, off, iov, 2);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Sources. */

START_TEST(file_is_read_anywhere_in_any_pieces)
{
	int dir = unit_dir_open(), before = open_fds();
	struct store_file f;
	struct store s;
	uint8_t out[SIZE];

	fill_content();
	unit_dir_put(dir, "f", content, SIZE, 0644);
	ck_assert_int_eq(store_file_source(&f, &s, openat(dir, "f", O_RDONLY), SIZE, false, 0), 0);
	ck_assert(s.seekable);
	for (size_t piece = 7; piece < 3000; piece = piece * 3 + 1)
		for (uint64_t off = 0; off < SIZE + 500; off += 97) {
			size_t len = piece * 5;
			size_t left = off < SIZE ? SIZE - off : 0, want = left < len ? left : len;
			if (len > SIZE)
				continue;
			MUST(read_pieces(&s, off, out, len, piece) == (ssize_t)want);
			MUST(memcmp(out, content + off, want) == 0);
		}
	s.ops->close(s.arg);
	ck_assert_int_eq(open_fds(), before);
	unit_dir_close(dir);
}
END_TEST

START_TEST(empty_file_is_at_its_end)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;
	uint8_t out[512];

	for (int text = 0; text < 2; text++) {
		unit_dir_put(dir, "f", "", 0, 0644);
		ck_assert_int_eq(store_file_source(&f, &s, openat(dir, "f", O_RDONLY), 0, text, 512), 0);
		ck_assert_int_eq(read_pieces(&s, 0, out, 512, 512), 0);
		ck_assert_int_eq(read_pieces(&s, 0, out, 512, 512), 0);
		s.ops->close(s.arg);
	}
	unit_dir_close(dir);
}
END_TEST

/* What tsize announced is what is sent. */
START_TEST(bytes_added_later_are_not_sent)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;
	uint8_t out[2000];

	fill_content();
	for (int text = 0; text < 2; text++) {
		memset(content, 'x', SIZE);
		unit_dir_put(dir, "f", content, SIZE, 0644);
		ck_assert_int_eq(store_file_source(&f, &s, openat(dir, "f", O_RDONLY), 1000, text, 2000), 0);
		ck_assert_int_eq(read_pieces(&s, 0, out, 2000, 512), 1000);
		ck_assert_int_eq(read_pieces(&s, 512, out, 512, 512), 488);
		ck_assert_int_eq(read_pieces(&s, 1000, out, 512, 512), 0);
		s.ops->close(s.arg);
	}
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_file_that_shrinks_is_told)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;
	uint8_t out[2048];

	for (int text = 0; text < 2; text++) {
		memset(content, 'x', SIZE);
		unit_dir_put(dir, "f", content, SIZE, 0644);
		int fd = openat(dir, "f", O_RDWR);
		ck_assert_int_eq(store_file_source(&f, &s, fd, SIZE, text, 2048), 0);
		ck_assert_int_eq(read_pieces(&s, 0, out, 2048, 512), 2048);
		ck_assert_int_eq(ftruncate(fd, 3000), 0);
		ck_assert_int_eq(read_pieces(&s, 2048, out, 2048, 512), STORE_SHRUNK);
		s.ops->close(s.arg);
	}
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_source_that_fails_says_why)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;
	uint8_t out[512];

	/* a directory opens but cannot be read */
	ck_assert_int_eq(store_file_source(&f, &s, openat(dir, ".", O_RDONLY), 4096, false, 512), 0);
	ck_assert_int_eq(read_pieces(&s, 0, out, 512, 512), -EISDIR);
	s.ops->close(s.arg);
	unit_dir_close(dir);
}
END_TEST

static size_t encode(const uint8_t *in, size_t len, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (in[i] == '\n')
			out[n++] = '\r';
		out[n++] = in[i];
		if (in[i] == '\r')
			out[n++] = '\0';
	}
	return n;
}

/* Texts that put line ends at every place of a block. */
static void fill_text(unsigned kind)
{
	static const char *const patterns[] = {"\n", "\r", "ab\n", "a\r\n", "line\n\n", "0123456789abcdef", "\r\r\n\n"};
	const char *p = patterns[kind];

	for (size_t i = 0, k = 0; i < SIZE; i++, k++) {
		if (p[k] == '\0')
			k = 0;
		content[i] = (uint8_t)p[k];
	}
}

/*
 * The sender's way through a text: a window ahead, then back to any block inside the last window. `keep` is what one
 * window holds, and nothing before it is asked for.
 */
START_TEST(text_goes_back_inside_the_window)
{
	static uint8_t wire[2 * SIZE], out[65536];
	int dir = unit_dir_open();
	unsigned state = 7;

	for (unsigned kind = 0; kind < 7; kind++)
		for (size_t block = 8; block <= 1468; block += 292)
			for (size_t window = 1; window <= 16; window = window * 3 + 1) {
				struct store_file f;
				struct store s;
				fill_text(kind);
				size_t len = encode(content, SIZE, wire), keep = block * window;
				uint64_t base = 0, next = 0;

				unit_dir_put(dir, "f", content, SIZE, 0644);
				MUST(store_file_source(&f, &s, openat(dir, "f", O_RDONLY), SIZE, true, keep) == 0);
				MUST(!s.seekable);
				for (int turns = 0; base * block < len; turns++) {
					size_t room = (size_t)(base + window - next), blocks = 1 + (turns * 5u) % room;
					uint64_t off = next * block;
					size_t want = off >= len ? 0 : len - off < blocks * block ? len - off : blocks * block;

					MUST(read_pieces(&s, off, out, blocks * block, block) == (ssize_t)want);
					MUST(memcmp(out, wire + off, want) == 0);
					next += blocks;
					state = state * 1103515245 + 12345;
					base += (state >> 16) % (next - base + 1);
					/* a timeout, or an ACK inside the window */
					if (next == base + window || (state >> 8) % 3 == 0)
						next = base;
					/* an ACK of everything when nothing moves, or this never ends */
					if (turns % 4 == 3 && next == base)
						base = ++next;
				}
				MUST(read_pieces(&s, len, out, block, block) == 0);
				s.ops->close(s.arg);
			}
	unit_dir_close(dir);
}
END_TEST

START_TEST(text_of_every_length_keeps_its_last_line_end)
{
	static uint8_t wire[2 * SIZE], out[4096];
	int dir = unit_dir_open();

	for (unsigned kind = 0; kind < 7; kind++)
		for (size_t size = 1; size < 40; size++) {
			struct store_file f;
			struct store s;

			fill_text(kind);
			size_t len = encode(content, size, wire), got = 0;
			unit_dir_put(dir, "f", content, size, 0644);
			MUST(store_file_source(&f, &s, openat(dir, "f", O_RDONLY), size, true, 8) == 0);
			for (ssize_t n = 8; n == 8; got += (size_t)n) {
				n = read_pieces(&s, got, out + got, 8, 8);
				MUST(n >= 0 && n <= 8);
			}
			MUST(got == len);
			MUST(memcmp(out, wire, len) == 0);
			s.ops->close(s.arg);
		}
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_pipe_is_read_as_it_fills_and_goes_back_inside_the_window)
{
	int fds[2];
	struct store_file f;
	struct store s;
	uint8_t out[2048];

	fill_content();
	MUST(pipe(fds) == 0);
	ck_assert_int_eq(store_file_source(&f, &s, fds[0], UINT64_MAX, false, 2048), 0);
	ck_assert(!s.seekable);
	ck_assert_int_eq(read_pieces(&s, 0, out, 2048, 512), STORE_AGAIN);
	MUST(write(fds[1], content, 1500) == 1500);
	ck_assert_int_eq(read_pieces(&s, 0, out, 512, 512), 512);
	ck_assert_mem_eq(out, content, 512);
	ck_assert_int_eq(read_pieces(&s, 512, out, 1536, 512), STORE_AGAIN);
	MUST(write(fds[1], content + 1500, 1000) == 1000);
	ck_assert_int_eq(read_pieces(&s, 512, out, 1536, 512), 1536);
	ck_assert_mem_eq(out, content + 512, 1536);
	/* Back to the start of the window: its bytes have left the pipe, but not the store. */
	ck_assert_int_eq(read_pieces(&s, 0, out, 2048, 512), 2048);
	ck_assert_mem_eq(out, content, 2048);
	close(fds[1]);
	ck_assert_int_eq(read_pieces(&s, 2048, out, 512, 512), 452);
	ck_assert_mem_eq(out, content + 2048, 452);
	ck_assert_int_eq(read_pieces(&s, 512 * 2, out, 2048, 512), 2500 - 1024);
	ck_assert_mem_eq(out, content + 1024, 2500 - 1024);
	s.ops->close(s.arg);
}
END_TEST

START_TEST(a_pipe_can_begin_again_while_nothing_was_forgotten)
{
	int before = open_fds(), fds[2];
	struct store_file f, again, third;
	struct store s;
	uint8_t out[1000];

	for (int text = 0; text < 2; text++) {
		const char *sent = text ? "one\r\ntwo\r\nthree\r\n" : "one\ntwo\nthree\n";
		size_t len = strlen(sent);

		MUST(pipe(fds) == 0);
		ck_assert_int_eq(store_file_source(&f, &s, fds[0], UINT64_MAX, text, 20), 0);
		MUST(write(fds[1], "one\ntwo\n", 8) == 8);
		ck_assert_int_eq(read_pieces(&s, 0, out, 6, 3), 6);
		ck_assert_int_eq(memcmp(out, sent, 6), 0);
		struct store old = s;
		ck_assert_int_eq(store_file_again(&f, &again, &s, 2), 0);
		old.ops->close(old.arg);
		MUST(write(fds[1], "three\n", 6) == 6);
		close(fds[1]);
		/* smaller blocks, and the window is smaller than what is there already */
		ck_assert_int_eq(read_pieces(&s, 0, out, 6, 2), 6);
		ck_assert_int_eq(memcmp(out, sent, 6), 0);
		ck_assert_int_eq(read_pieces(&s, 5, out, 2, 2), 2);
		ck_assert_int_eq(memcmp(out, sent + 5, 2), 0);
		for (size_t at = 7; at < len; at++) {
			ck_assert_int_eq(read_pieces(&s, at, out, 1, 1), 1);
			ck_assert_int_eq(out[0], sent[at]);
		}
		ck_assert_int_eq(read_pieces(&s, len, out, 1, 1), 0);
		/* by now its beginning is gone */
		ck_assert_int_eq(store_file_again(&again, &third, &old, 100), -ESPIPE);
		s.ops->close(s.arg);
		ck_assert_int_eq(open_fds(), before);
	}
}
END_TEST

START_TEST(a_pipe_of_text_is_converted)
{
	static uint8_t wire[2 * SIZE], all[2 * SIZE];
	int fds[2];
	struct store_file f;
	struct store s;
	size_t got = 0, put = 0;

	fill_text(3);
	size_t len = encode(content, SIZE, wire);
	MUST(pipe(fds) == 0);
	ck_assert_int_eq(store_file_source(&f, &s, fds[0], UINT64_MAX, true, 1024), 0);
	for (ssize_t n = 512; n == 512 || n == STORE_AGAIN;) {
		n = read_pieces(&s, got, all + got, 512, 512);
		if (n == STORE_AGAIN) {
			size_t piece = SIZE - put < 333 ? SIZE - put : 333;
			if (piece == 0)
				close(fds[1]);
			else
				MUST(write(fds[1], content + put, piece) == (ssize_t)piece);
			put += piece;
			continue;
		}
		MUST(n >= 0);
		got += (size_t)n;
	}
	ck_assert_uint_eq(got, len);
	ck_assert_mem_eq(all, wire, len);
	s.ops->close(s.arg);
}
END_TEST

/* Sinks. */

START_TEST(an_upload_appears_only_when_it_is_finished)
{
	int dir = unit_dir_open(), before = open_fds();
	struct store_file f;
	struct store s;
	char name[256];

	fill_content();
	for (int sync = 0; sync < 2; sync++) {
		ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, false, UINT64_MAX, sync), 0);
		ck_assert(s.seekable);
		ck_assert_int_eq(unit_dir_count(dir, "", name), 1);
		ck_assert_int_eq(strncmp(name, STORE_TEMP_PREFIX, strlen(STORE_TEMP_PREFIX)), 0);
		/* out of order, as blocks behind a hole come */
		ck_assert_int_eq(write_at(&s, 6000, content + 6000, 4000), 0);
		ck_assert_int_eq(write_at(&s, 0, content, 6000), 0);
		ck_assert_int_eq(unit_dir_count(dir, "f", NULL), 0);
		ck_assert_int_eq(s.ops->finish(s.arg), 0);
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
		ck_assert(unit_dir_holds(dir, "f", content, SIZE));
		s.ops->close(s.arg);
		ck_assert_int_eq(open_fds(), before);
		ck_assert(unit_dir_holds(dir, "f", content, SIZE));
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
		unlinkat(dir, "f", 0);
	}
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_unfinished_upload_leaves_nothing)
{
	int dir = unit_dir_open(), before = open_fds();
	struct store_file f;
	struct store s;

	fill_content();
	for (int text = 0; text < 2; text++) {
		ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, text, UINT64_MAX, false), 0);
		ck_assert_int_eq(write_at(&s, 0, content, SIZE), 0);
		s.ops->close(s.arg);
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), 0);
		ck_assert_int_eq(open_fds(), before);
	}
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_unfinished_upload_keeps_the_old_file)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	unit_dir_put(dir, "f", "old", 3, 0640);
	ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, false, UINT64_MAX, true), 0);
	ck_assert_int_eq(write_at(&s, 0, "new content", 11), 0);
	ck_assert(unit_dir_holds(dir, "f", "old", 3));
	s.ops->close(s.arg);
	ck_assert(unit_dir_holds(dir, "f", "old", 3));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_new_upload_replaces_the_old_file_and_keeps_its_mode)
{
	static const mode_t modes[] = {0640, 0600, 0666, 0444, 0755};
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	umask(077);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct stat st;

		unit_dir_put(dir, "f", "an old and longer content", 25, modes[i]);
		ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, false, UINT64_MAX, false), 0);
		ck_assert_int_eq(write_at(&s, 0, "new", 3), 0);
		ck_assert_int_eq(s.ops->finish(s.arg), 0);
		s.ops->close(s.arg);
		ck_assert(unit_dir_holds(dir, "f", "new", 3));
		MUST(fstatat(dir, "f", &st, 0) == 0);
		ck_assert_uint_eq(st.st_mode & 07777, modes[i]);
		unlinkat(dir, "f", 0);
	}
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_new_file_has_the_mode_less_umask)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;
	struct stat st;

	umask(027);
	ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, false, UINT64_MAX, false), 0);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	MUST(fstatat(dir, "f", &st, 0) == 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(st.st_size, 0);
	unit_dir_close(dir);
}
END_TEST

START_TEST(two_uploads_of_one_name_do_not_meet)
{
	int dir = unit_dir_open();
	struct store_file f[2];
	struct store s[2];

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(store_file_sink(&f[i], &s[i], dir, "f", 0666, false, UINT64_MAX, false), 0);
	ck_assert_int_eq(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL), 2);
	ck_assert_int_eq(write_at(&s[0], 0, "first", 5), 0);
	ck_assert_int_eq(write_at(&s[1], 0, "second", 6), 0);
	ck_assert_int_eq(s[0].ops->finish(s[0].arg), 0);
	s[0].ops->close(s[0].arg);
	ck_assert(unit_dir_holds(dir, "f", "first", 5));
	ck_assert_int_eq(s[1].ops->finish(s[1].arg), 0);
	s[1].ops->close(s[1].arg);
	ck_assert(unit_dir_holds(dir, "f", "second", 6));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_limit_is_the_last_byte_taken)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	fill_content();
	for (int text = 0; text < 2; text++) {
		memset(content, 'x', SIZE);
		ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, text, 1000, false), 0);
		ck_assert_int_eq(write_at(&s, 0, content, 1000), 0);
		ck_assert_int_eq(write_at(&s, 1000, content, 1), STORE_TOO_BIG);
		s.ops->close(s.arg);
		ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, text, 1000, false), 0);
		ck_assert_int_eq(write_at(&s, 0, content, 1001), STORE_TOO_BIG);
		s.ops->close(s.arg);
	}
	ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, false, 1000, false), 0);
	ck_assert_int_eq(write_at(&s, 900, content, 100), 0);
	ck_assert_int_eq(write_at(&s, 901, content, 100), STORE_TOO_BIG);
	s.ops->close(s.arg);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 0);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_limit_counts_a_carriage_return_that_comes_last)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, true, 3, false), 0);
	int err = write_at(&s, 0, "abc\r", 4);
	if (err == 0)
		err = s.ops->finish(s.arg);
	s.ops->close(s.arg);
	ck_assert_int_eq(err, STORE_TOO_BIG);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 0);
	unit_dir_close(dir);
}
END_TEST

START_TEST(text_is_converted_across_blocks)
{
	static uint8_t wire[2 * SIZE];
	int dir = unit_dir_open();

	for (unsigned kind = 0; kind < 7; kind++)
		for (size_t block = 1; block < 9000; block = block * 4 + 3) {
			struct store_file f;
			struct store s;

			fill_text(kind);
			size_t len = encode(content, SIZE, wire);
			MUST(store_file_sink(&f, &s, dir, "f", 0666, true, UINT64_MAX, false) == 0);
			MUST(!s.seekable);
			for (size_t at = 0; at < len; at += block)
				MUST(write_at(&s, at, wire + at, len - at < block ? len - at : block) == 0);
			MUST(s.ops->finish(s.arg) == 0);
			s.ops->close(s.arg);
			MUST(unit_dir_holds(dir, "f", content, SIZE));
		}
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_carriage_return_at_the_end_is_kept)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, true, UINT64_MAX, false), 0);
	ck_assert_int_eq(write_at(&s, 0, "a\r\nb\r", 5), 0);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	ck_assert(unit_dir_holds(dir, "f", "a\nb\r", 4));
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_sink_that_cannot_be_made_says_why)
{
	int dir = unit_dir_open(), before = open_fds();
	struct store_file f;
	struct store s;
	char path[64];

	/* a directory that is gone */
	int gone = unit_dir_open();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", gone);
	char real[512];
	ssize_t len = readlink(path, real, sizeof(real) - 1);
	MUST(len > 0);
	real[len] = '\0';
	MUST(rmdir(real) == 0);
	ck_assert_int_eq(store_file_sink(&f, &s, gone, "f", 0666, false, UINT64_MAX, false), -ENOENT);
	close(gone);
	ck_assert_int_eq(store_file_sink(&f, &s, 250, "f", 0666, false, UINT64_MAX, false), -EBADF);
	ck_assert_int_eq(open_fds(), before);
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_finish_that_fails_leaves_nothing)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	MUST(mkdirat(dir, "f", 0755) == 0);
	ck_assert_int_eq(store_file_sink(&f, &s, dir, "f", 0666, false, UINT64_MAX, false), 0);
	ck_assert_int_eq(write_at(&s, 0, "data", 4), 0);
	ck_assert_int_lt(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	ck_assert_int_eq(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL), 0);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

/* The caller may go elsewhere, or close its directory, while an upload runs. */
START_TEST(a_sink_has_the_directory_for_itself)
{
	int dir = unit_dir_open(), mine = dup(dir);
	struct store_file f;
	struct store s;

	ck_assert_int_eq(store_file_sink(&f, &s, mine, "f", 0666, false, UINT64_MAX, false), 0);
	close(mine);
	ck_assert_int_eq(write_at(&s, 0, "data", 4), 0);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	ck_assert(unit_dir_holds(dir, "f", "data", 4));
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_stream_takes_bytes_in_order)
{
	int fds[2], before = open_fds();
	struct store_file f;
	struct store s;
	char out[64];

	for (int text = 0; text < 2; text++) {
		MUST(pipe(fds) == 0);
		ck_assert_int_eq(store_file_stream(&f, &s, fds[1], text, NULL), 0);
		ck_assert(!s.seekable);
		ck_assert_int_eq(write_at(&s, 0, "one\r\n", 5), 0);
		ck_assert_int_eq(write_at(&s, 5, "two\r", 4), 0);
		ck_assert_int_eq(s.ops->finish(s.arg), 0);
		ssize_t n = read(fds[0], out, sizeof(out));
		ck_assert_int_eq(n, text ? 8 : 9);
		ck_assert_mem_eq(out, text ? "one\ntwo\r" : "one\r\ntwo\r", (size_t)n);
		/* Whoever reads it need not wait for a transfer that dallies. */
		MUST(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
		ck_assert_int_eq(read(fds[0], out, sizeof(out)), 0);
		s.ops->close(s.arg);
		close(fds[0]);
		ck_assert_int_eq(open_fds(), before);
	}
}
END_TEST

/* Empties the pipe, but loses patience after a few times. */
struct reader {
	struct store_wait wait;
	int fd, times;
	size_t got;
};

static int read_some(struct store_wait *w, int fd)
{
	struct reader *r = (struct reader *)w;
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	char bytes[PIPE_BUF];

	if (r->times-- == 0)
		return -EINTR;
	while (poll(&p, 1, 0) == 0)
		r->got += (size_t)read(r->fd, bytes, sizeof(bytes));
	return 0;
}

START_TEST(a_stream_waits_as_it_is_told_and_no_longer)
{
	static char data[10 * PIPE_BUF];

	for (int text = 0; text < 2; text++) {
		struct reader r = {.wait.writable = read_some, .times = 7};
		int fds[2];
		struct store_file f;
		struct store s;

		MUST(pipe(fds) == 0 && fcntl(fds[1], F_SETPIPE_SZ, PIPE_BUF) >= 0);
		r.fd = fds[0];
		/* A text's CR comes out with what follows it: one byte more than went in. */
		memset(data, 'x', sizeof(data));
		data[PIPE_BUF - 1] = '\r';
		ck_assert_int_eq(store_file_stream(&f, &s, fds[1], text, &r.wait), 0);
		ck_assert_int_eq(write_at(&s, 0, data, PIPE_BUF), 0);
		ck_assert_int_eq(write_at(&s, PIPE_BUF, data + PIPE_BUF, 2 * PIPE_BUF), 0);
		ck_assert_int_eq(write_at(&s, 3 * PIPE_BUF, data + PIPE_BUF, 9 * PIPE_BUF), -EINTR);
		s.ops->close(s.arg);
		ck_assert_int_eq(r.times, -1);
		close(fds[0]);
	}
}
END_TEST

START_TEST(a_stream_nobody_reads_says_so)
{
	int fds[2];
	struct store_file f;
	struct store s;

	signal(SIGPIPE, SIG_IGN);
	MUST(pipe(fds) == 0);
	close(fds[0]);
	ck_assert_int_eq(store_file_stream(&f, &s, fds[1], false, NULL), 0);
	ck_assert_int_eq(write_at(&s, 0, "data", 4), -EPIPE);
	s.ops->close(s.arg);
}
END_TEST

START_TEST(a_full_disk_says_so)
{
	int full = open("/dev/full", O_WRONLY);
	struct store_file f;
	struct store s;

	if (full < 0) {
		puts("skip no /dev/full here");
		return;
	}
	ck_assert_int_eq(store_file_stream(&f, &s, full, false, NULL), 0);
	ck_assert_int_eq(write_at(&s, 0, "data", 4), -ENOSPC);
	s.ops->close(s.arg);
}
END_TEST

/* Uploads and names that are taken. */

static struct behind behind;

static int upload(int dir, const char *name, const char *text, const struct store_upload *how)
{
	struct store_file f;
	struct store s;
	int err = store_file_upload(&f, &s, dir, name, how);

	if (err != 0)
		return err;
	err = write_at(&s, 0, text, strlen(text));
	if (err == 0)
		err = s.ops->finish(s.arg);
	s.ops->close(s.arg);
	return err;
}

#define HOW(...) ((struct store_upload){.mode = 0666, .limit = UINT64_MAX, __VA_ARGS__})

START_TEST(a_new_file_can_have_the_old_ones_owner)
{
	int dir = unit_dir_open();
	struct stat st;

	unit_dir_put(dir, "f", "old", 3, 0640);
	if (fchownat(dir, "f", 1234, 5678, 0) != 0) {
		puts("skip nobody else's files can be had here");
		unit_dir_close(dir);
		return;
	}
	for (int nameless = 0; nameless < 2; nameless++) {
		ck_assert_int_eq(upload(dir, "f", "new", &HOW(.owner = true, .nameless = nameless)), 0);
		ck_assert(unit_dir_holds(dir, "f", "new", 3));
		MUST(fstatat(dir, "f", &st, 0) == 0);
		ck_assert_uint_eq(st.st_uid, 1234);
		ck_assert_uint_eq(st.st_gid, 5678);
		ck_assert_uint_eq(st.st_mode & 07777, 0640);
	}
	ck_assert_int_eq(upload(dir, "f", "new", &HOW(.owner = false)), 0);
	MUST(fstatat(dir, "f", &st, 0) == 0);
	ck_assert_uint_eq(st.st_uid, geteuid());
	unit_dir_close(dir);
}
END_TEST

/* As in /tmp: somebody has put a file there, open to all, where he knows that we will. */
START_TEST(a_planted_file_passes_nothing_on)
{
	int dir = unit_dir_open();
	struct stat st;

	umask(022);
	unit_dir_put(dir, "f", "old", 3, 0666);
	MUST(fchmod(dir, 01777) == 0);
	if (fchownat(dir, "f", 1234, 5678, 0) != 0) {
		puts("skip nobody else's files can be had here");
		unit_dir_close(dir);
		return;
	}
	ck_assert_int_eq(upload(dir, "f", "new", &HOW(.owner = true)), 0);
	ck_assert(unit_dir_holds(dir, "f", "new", 3));
	MUST(fstatat(dir, "f", &st, 0) == 0);
	ck_assert_uint_eq(st.st_uid, geteuid());
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_upload_to_a_taken_name_can_be_refused)
{
	int dir = unit_dir_open();

	ck_assert_int_eq(upload(dir, "f", "first", &HOW(.exists = STORE_EXISTS_REFUSE)), 0);
	/* found out only at the end, when somebody was faster */
	ck_assert_int_eq(upload(dir, "f", "second", &HOW(.exists = STORE_EXISTS_REFUSE)), STORE_TAKEN);
	ck_assert(unit_dir_holds(dir, "f", "first", 5));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_same_upload_again_is_fine_and_another_is_not)
{
	int dir = unit_dir_open();
	struct store_upload how = HOW(.exists = STORE_EXISTS_SAME);

	ck_assert_int_eq(upload(dir, "f", "content", &how), 0);
	ck_assert_int_eq(upload(dir, "f", "content", &how), 0);
	ck_assert_int_eq(upload(dir, "f", "Content", &how), STORE_TAKEN);
	ck_assert_int_eq(upload(dir, "f", "content and more", &how), STORE_TAKEN);
	ck_assert(unit_dir_holds(dir, "f", "content", 7));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

START_TEST(what_arrived_of_a_broken_upload_replaces_nothing_that_is_to_stay)
{
	static const enum store_exists exists[] = {STORE_EXISTS_REFUSE, STORE_EXISTS_SAME, STORE_EXISTS_REPLACE};
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	unit_dir_put(dir, "f.partial", "another", 7, 0644);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &HOW(.keep_partial = true, .exists = exists[i])), 0);
		ck_assert_int_eq(write_at(&s, 0, "partial", 7), 0);
		s.ops->close(s.arg);
		ck_assert(unit_dir_holds(dir, "f.partial", exists[i] == STORE_EXISTS_REPLACE ? "partial" : "another", 7));
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	}
	MUST(unlinkat(dir, "f.partial", 0) == 0);
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &HOW(.keep_partial = true, .exists = exists[0])), 0);
	ck_assert_int_eq(write_at(&s, 0, "partial", 7), 0);
	s.ops->close(s.arg);
	ck_assert(unit_dir_holds(dir, "f.partial", "partial", 7));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

/* Where `taken` says so, links are not to be had, and while that is found out somebody else takes the name. */
static bool taken;

int linkat(int from, const char *old, int to, const char *new, int flags)
{
	if (!taken)
		return (int)syscall(SYS_linkat, from, old, to, new, flags);
	taken = false;
	unit_dir_put(to, new, "somebody else's", 15, 0644);
	errno = EPERM;
	return -1;
}

START_TEST(two_uploads_that_keep_what_they_replace_lose_nothing)
{
	int dir = unit_dir_open();
	struct store_upload how = HOW(.exists = STORE_EXISTS_VERSION);

	unit_dir_put(dir, "f", "old", 3, 0644);
	taken = true;
	ck_assert_int_eq(upload(dir, "f", "new", &how), 0);
	ck_assert(unit_dir_holds(dir, "f", "new", 3));
	ck_assert(unit_dir_holds(dir, "f.~1~", "somebody else's", 15));
	ck_assert(unit_dir_holds(dir, "f.~2~", "old", 3));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 3);
	unit_dir_close(dir);
}
END_TEST

START_TEST(old_versions_are_kept_and_the_oldest_go)
{
	int dir = unit_dir_open();
	struct store_upload how = HOW(.exists = STORE_EXISTS_VERSION);

	unit_dir_put(dir, "f.~x~", "no version", 10, 0644);
	unit_dir_put(dir, "f.~99", "nor this", 8, 0644);
	for (int i = 1; i <= 4; i++) {
		char text[2] = {(char)('0' + i), '\0'};

		ck_assert_int_eq(upload(dir, "f", text, &how), 0);
	}
	ck_assert(unit_dir_holds(dir, "f", "4", 1));
	ck_assert(unit_dir_holds(dir, "f.~3~", "3", 1));
	ck_assert(unit_dir_holds(dir, "f.~1~", "1", 1));
	how.keep = 2;
	ck_assert_int_eq(upload(dir, "f", "5", &how), 0);
	ck_assert(unit_dir_holds(dir, "f", "5", 1));
	ck_assert(unit_dir_holds(dir, "f.~4~", "4", 1));
	ck_assert(unit_dir_holds(dir, "f.~3~", "3", 1));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 5);
	unit_dir_close(dir);
}
END_TEST

START_TEST(what_arrived_of_a_broken_upload_can_be_kept)
{
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	unit_dir_put(dir, "f", "old", 3, 0644);
	for (int len = 0; len <= 7; len += 7) {
		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &HOW(.keep_partial = true, .behind = &behind)), 0);
		ck_assert_int_eq(len == 0 ? 0 : write_at(&s, 0, "partial", 7), 0);
		s.ops->close(s.arg);
		ck_assert_int_eq(unit_dir_count(dir, "f.partial", NULL), len == 7);
	}
	ck_assert(unit_dir_holds(dir, "f.partial", "partial", 7));
	ck_assert(unit_dir_holds(dir, "f", "old", 3));
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 2);
	unit_dir_close(dir);
}
END_TEST

/* The directory cannot be written, the file can: nothing is made beside it, and it keeps its inode. */
START_TEST(an_upload_in_place_is_written_only_when_it_is_whole)
{
	int dir = unit_dir_open();
	struct store_upload how = HOW(.in_place = true, .sync = true);
	struct stat before, after;
	struct store_file f;
	struct store s;

	unit_dir_put(dir, "f", "an old and longer content", 25, 0666);
	MUST(fstatat(dir, "f", &before, 0) == 0);
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
	ck_assert_int_eq(write_at(&s, 0, "new", 3), 0);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	s.ops->close(s.arg);
	ck_assert(unit_dir_holds(dir, "f", "an old and longer content", 25));
	ck_assert_int_eq(upload(dir, "f", "new", &how), 0);
	ck_assert(unit_dir_holds(dir, "f", "new", 3));
	MUST(fstatat(dir, "f", &after, 0) == 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	unit_dir_close(dir);
}
END_TEST

/* The disk says no in the middle, here by the limit on the size of files: the old content comes back. */
START_TEST(an_upload_in_place_that_fails_puts_the_old_file_back)
{
	static char old[6000], new[20000];
	int dir = unit_dir_open();
	struct store_upload how = HOW(.in_place = true, .sync = true);
	struct rlimit before, limit;
	struct store_file f;
	struct store s;

	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	signal(SIGXFSZ, SIG_IGN);
	MUST(getrlimit(RLIMIT_FSIZE, &before) == 0);
	limit = (struct rlimit){.rlim_cur = 10000, .rlim_max = before.rlim_max};
	unit_dir_put(dir, "f", old, sizeof(old), 0666);
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
	ck_assert_int_eq(write_at(&s, 0, new, sizeof(new)), 0);
	MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	ck_assert_int_eq(s.ops->finish(s.arg), -EFBIG);
	MUST(setrlimit(RLIMIT_FSIZE, &before) == 0);
	s.ops->close(s.arg);
	ck_assert(unit_dir_holds(dir, "f", old, sizeof(old)));
	unit_dir_close(dir);
}
END_TEST

START_TEST(uploads_in_memory_share_what_there_is)
{
	int dir = unit_dir_open();
	uint64_t memory = 10;
	struct store_upload how = HOW(.in_place = true, .memory = &memory), text = HOW(.in_place = true, .memory = &memory,
	    .text = true);
	struct store_file f, g;
	struct store s, t;

	unit_dir_put(dir, "f", "old", 3, 0666);
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
	ck_assert_int_eq(store_file_upload(&g, &t, dir, "f", &text), 0);
	ck_assert_int_eq(write_at(&s, 0, "123456", 6), 0);
	ck_assert_int_eq(write_at(&s, 2, "3456", 4), 0);
	ck_assert_uint_eq(memory, 4);
	ck_assert_int_eq(write_at(&t, 0, "a\r\nbc", 5), 0);
	ck_assert_uint_eq(memory, 0);
	ck_assert_int_eq(write_at(&t, 5, "d", 1), -ENOSPC);
	ck_assert_int_eq(write_at(&s, 6, "7", 1), -ENOSPC);
	t.ops->close(t.arg);
	ck_assert_uint_eq(memory, 4);
	ck_assert_int_eq(write_at(&s, 6, "7890", 4), 0);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	ck_assert_uint_eq(memory, 10);
	ck_assert(unit_dir_holds(dir, "f", "1234567890", 10));
	unit_dir_close(dir);
}
END_TEST

START_TEST(room_is_left_on_the_disk)
{
	int dir = unit_dir_open();

	ck_assert_int_eq(upload(dir, "f", "content", &HOW(.min_free = UINT64_MAX)), -ENOSPC);
	ck_assert_int_eq(upload(dir, "f", "content", &HOW(.min_free = 1)), 0);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

START_TEST(stale_files_are_swept_and_running_uploads_stay)
{
	int dir = unit_dir_open();
	const bool stop = false;
	struct store_file f;
	struct store s;

	unit_dir_put(dir, STORE_TEMP_PREFIX "0123", "half", 4, 0644);
	unit_dir_put(dir, "f", "whole", 5, 0644);
	MUST(mkdirat(dir, "sub", 0755) == 0);
	int sub = openat(dir, "sub", O_RDONLY | O_DIRECTORY);
	unit_dir_put(sub, STORE_TEMP_PREFIX "4567", "half", 4, 0644);
	MUST(symlinkat("f", dir, STORE_TEMP_PREFIX "link") == 0);
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "g", &HOW(.keep = 0)), 0);
	ck_assert_uint_eq(store_temp_sweep(dup(dir), &stop), 2);
	ck_assert_int_eq(unit_dir_count(sub, "", NULL), 0);
	ck_assert_int_eq(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL), 2);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	ck_assert_int_eq(unit_dir_count(dir, "g", NULL), 1);
	ck_assert(unit_dir_holds(dir, "f", "whole", 5));
	close(sub);
	unit_dir_close(dir);
}
END_TEST

/* While `swept`, a new file is found by a sweeper before whoever made it has locked it. */
static bool swept;
static char found[32];

int flock(int fd, int operation)
{
	char path[32];
	ssize_t len;

	if (swept) {
		char name[256];
		int other;

		swept = false;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		MUST((len = readlink(path, name, sizeof(name) - 1)) > 0);
		name[len] = '\0';
		snprintf(found, sizeof(found), "%.31s", strrchr(name, '/') + 1);
		MUST((other = open(path, O_RDONLY)) >= 0);
		MUST(syscall(SYS_flock, other, LOCK_EX | LOCK_NB) == 0);
	}
	return (int)syscall(SYS_flock, fd, operation);
}

START_TEST(a_new_file_that_is_being_swept_is_let_go)
{
	int dir = unit_dir_open(), fd;
	char *temp;

	swept = true;
	ck_assert_int_eq(store_temp_create(dir, 0600, &fd, &temp), 0);
	unlinkat(dir, found, 0);
	ck_assert_int_eq(faccessat(dir, temp, F_OK, 0), 0);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	close(fd);
	free(temp);
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_upload_without_a_name_leaves_nothing_when_it_is_killed)
{
	const struct store_upload how = HOW(.nameless = true);
	int dir = unit_dir_open(), ready[2], fd = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct store_file f;
	struct store s;
	pid_t pid;
	char c;

	if (fd < 0)
		return; /* this file system has names for all */
	close(fd);
	unit_dir_put(dir, "f", "old", 3, 0640);
	MUST(pipe(ready) == 0);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		if (store_file_upload(&f, &s, dir, "f", &how) == 0 && write_at(&s, 0, content, SIZE) == 0 &&
		    write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	MUST(read(ready[0], &c, 1) == 1);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	MUST(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	ck_assert(unit_dir_holds(dir, "f", "old", 3));
	close(ready[0]);
	close(ready[1]);
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_upload_without_a_name_becomes_a_file_like_any_other)
{
	const struct store_upload how = HOW(.nameless = true);
	int dir = unit_dir_open(), before = open_fds();
	struct store_file f;
	struct store s;
	struct stat st;

	fill_content();
	umask(027);
	for (int old = 0; old < 2; old++) {
		/* one that broke off, one that is complete */
		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
		ck_assert_int_eq(write_at(&s, 0, "half", 4), 0);
		s.ops->close(s.arg);
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), old);
		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
		ck_assert_int_eq(write_at(&s, 0, content, SIZE), 0);
		ck_assert_int_eq(s.ops->finish(s.arg), 0);
		s.ops->close(s.arg);
		ck_assert(unit_dir_holds(dir, "f", content, SIZE));
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
		ck_assert_int_eq(open_fds(), before);
		MUST(fstatat(dir, "f", &st, 0) == 0);
		ck_assert_uint_eq(st.st_mode & 07777, old ? 0604 : 0640);
		MUST(fchmodat(dir, "f", 0604, 0) == 0);
	}
	unlinkat(dir, "f", 0);
	MUST(mkdirat(dir, "f", 0755) == 0);
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
	ck_assert_int_eq(s.ops->finish(s.arg), -EISDIR);
	s.ops->close(s.arg);
	ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	unit_dir_close(dir);
}
END_TEST

START_TEST(a_client_tidies_its_own_and_nothing_else)
{
	int dir = unit_dir_open(), before;
	struct store_file f;
	struct store s;

	unit_dir_put(dir, STORE_TEMP_PREFIX "0123456789abcdef", "half", 4, 0600);
	unit_dir_put(dir, STORE_TEMP_PREFIX "short", "mine", 4, 0600);
	unit_dir_put(dir, "f", "whole", 5, 0644);
	MUST(mkdirat(dir, "sub", 0755) == 0);
	int sub = openat(dir, "sub", O_RDONLY | O_DIRECTORY);
	unit_dir_put(sub, STORE_TEMP_PREFIX "0123456789abcdef", "half", 4, 0644);
	unit_dir_put(dir, STORE_TEMP_PREFIX "1123456789abcdef", "foreign", 7, 0644);
	bool foreign = fchownat(dir, STORE_TEMP_PREFIX "1123456789abcdef", 12345, -1, 0) == 0;
	/* one that is being written */
	ck_assert_int_eq(store_file_upload(&f, &s, dir, "g", &HOW(.keep = 0)), 0);
	before = open_fds();
	ck_assert_uint_eq(store_temp_tidy(dir), foreign ? 1 : 2);
	ck_assert_int_eq(open_fds(), before);
	ck_assert_int_eq(unit_dir_count(dir, STORE_TEMP_PREFIX, NULL), foreign ? 3 : 2);
	ck_assert_int_eq(unit_dir_count(sub, "", NULL), 1);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	s.ops->close(s.arg);
	close(sub);
	unit_dir_close(dir);
}
END_TEST

/* Somebody with a thread, seen from the file's own. */
struct later {
	struct store_offload offload;
	struct store_commit *commit;
	uint64_t begun;     /* writeback was asked for so far, without a gap */
	bool unwilling;
	int asked;
};

static int keep_commit(struct store_offload *o, struct store_commit *c)
{
	((struct later *)o)->commit = c;
	return 0;
}

static int begin(struct store_offload *o, int fd, uint64_t off, uint64_t len)
{
	struct later *l = (struct later *)o;
	struct stat st;

	l->asked++;
	MUST(off == l->begun);
	MUST(fstat(fd, &st) == 0 && (uint64_t)st.st_size >= off + len);
	if (l->unwilling)
		return -EBUSY;
	l->begun = off + len;
	return 0;
}

START_TEST(the_disk_begins_while_a_large_upload_goes_on)
{
	static uint8_t mebibyte[1 << 20];
	struct later later = {.offload = {.submit = keep_commit, .writeback = begin}, .unwilling = true};
	int dir = unit_dir_open();
	struct store_file f;
	struct store s;

	for (int sync = 0; sync < 2; sync++) {
		struct store_upload how = HOW(.offload = &later.offload, .behind = &behind, .sync = sync);

		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
		for (uint64_t i = 0; i < 20; i++) {
			MUST(write_at(&s, i << 20, mebibyte, sizeof(mebibyte)) == 0);
			later.unwilling = i < 8;
		}
		s.ops->close(s.arg);
		ck_assert_uint_eq(later.begun, sync ? 18 << 20 : 0);
	}
	/* From the fourth mebibyte on each write asks; once one is heard, each fourth. */
	ck_assert_int_eq(later.asked, 6 + 3);
	unit_dir_close(dir);
}
END_TEST

START_TEST(what_was_collected_is_written_by_the_finish_which_may_fail)
{
	int dir = unit_dir_open(), before = open_fds();
	struct store_upload how = HOW(.behind = &behind);
	struct store_file f;
	struct store s;
	int good;

	for (int broken = 0; broken < 2; broken++) {
		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
		ck_assert_int_eq(write_at(&s, 0, "collected", 9), 0);
		good = f.fd;
		if (broken)
			MUST((f.fd = open("/dev/null", O_RDONLY)) >= 0);
		ck_assert_int_eq(s.ops->finish(s.arg), broken ? -EBADF : 0);
		s.ops->close(s.arg);
		if (broken)
			close(good);
		ck_assert(unit_dir_holds(dir, "f", "collected", 9));
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), 1);
	}
	ck_assert_int_eq(open_fds(), before);
	unit_dir_close(dir);
}
END_TEST

START_TEST(the_end_of_an_upload_can_be_run_elsewhere)
{
	int dir = unit_dir_open(), before = open_fds();
	struct later later = {.offload.submit = keep_commit};
	struct store_upload how = HOW(.offload = &later.offload);
	struct store_file f;
	struct store s;

	ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
	ck_assert_int_eq(write_at(&s, 0, "content", 7), 0);
	ck_assert_int_eq(s.ops->finish(s.arg), STORE_AGAIN);
	ck_assert_int_eq(s.ops->finish(s.arg), STORE_AGAIN);
	ck_assert_int_eq(unit_dir_count(dir, "f", NULL), 0);
	store_commit_run(later.commit);
	later.commit->done = true;
	ck_assert_ptr_eq(later.commit->file, &f);
	ck_assert_int_eq(s.ops->finish(s.arg), 0);
	ck_assert(unit_dir_holds(dir, "f", "content", 7));
	s.ops->close(s.arg);
	ck_assert_int_eq(open_fds(), before);
	unit_dir_close(dir);
}
END_TEST

START_TEST(an_upload_may_go_while_its_end_is_run_elsewhere)
{
	int dir = unit_dir_open(), before = open_fds();
	struct later later = {.offload.submit = keep_commit};
	struct store_upload how = HOW(.offload = &later.offload);
	struct store_file f;
	struct store s;

	for (int run = 0; run < 2; run++) {
		ck_assert_int_eq(store_file_upload(&f, &s, dir, "f", &how), 0);
		ck_assert_int_eq(s.ops->finish(s.arg), STORE_AGAIN);
		s.ops->close(s.arg);
		ck_assert_ptr_null(later.commit->file);
		if (run == 1)
			store_commit_run(later.commit);
		store_commit_free(later.commit);
		ck_assert_int_eq(unit_dir_count(dir, "", NULL), run);
		ck_assert_int_eq(open_fds(), before);
	}
	unit_dir_close(dir);
}
END_TEST

UNIT_MAIN("store_file", file_is_read_anywhere_in_any_pieces, empty_file_is_at_its_end, bytes_added_later_are_not_sent,
    a_file_that_shrinks_is_told, a_source_that_fails_says_why, text_goes_back_inside_the_window,
    text_of_every_length_keeps_its_last_line_end, a_pipe_is_read_as_it_fills_and_goes_back_inside_the_window,
    a_pipe_can_begin_again_while_nothing_was_forgotten, a_pipe_of_text_is_converted, an_upload_appears_only_when_it_is_finished, an_unfinished_upload_leaves_nothing,
    an_unfinished_upload_keeps_the_old_file, a_new_upload_replaces_the_old_file_and_keeps_its_mode,
    a_new_file_has_the_mode_less_umask, two_uploads_of_one_name_do_not_meet, the_limit_is_the_last_byte_taken,
    the_limit_counts_a_carriage_return_that_comes_last, text_is_converted_across_blocks,
    a_carriage_return_at_the_end_is_kept, a_sink_that_cannot_be_made_says_why, a_finish_that_fails_leaves_nothing,
    a_sink_has_the_directory_for_itself, a_stream_takes_bytes_in_order, a_stream_waits_as_it_is_told_and_no_longer,
    a_stream_nobody_reads_says_so,
    a_full_disk_says_so, a_new_file_can_have_the_old_ones_owner, a_planted_file_passes_nothing_on,
    an_upload_to_a_taken_name_can_be_refused, the_same_upload_again_is_fine_and_another_is_not,
    what_arrived_of_a_broken_upload_replaces_nothing_that_is_to_stay,
    two_uploads_that_keep_what_they_replace_lose_nothing, old_versions_are_kept_and_the_oldest_go,
    what_arrived_of_a_broken_upload_can_be_kept,
    an_upload_in_place_is_written_only_when_it_is_whole, an_upload_in_place_that_fails_puts_the_old_file_back,
    uploads_in_memory_share_what_there_is,
    room_is_left_on_the_disk, stale_files_are_swept_and_running_uploads_stay,
    a_new_file_that_is_being_swept_is_let_go, an_upload_without_a_name_leaves_nothing_when_it_is_killed,
    an_upload_without_a_name_becomes_a_file_like_any_other, a_client_tidies_its_own_and_nothing_else,
    the_disk_begins_while_a_large_upload_goes_on, what_was_collected_is_written_by_the_finish_which_may_fail,
    the_end_of_an_upload_can_be_run_elsewhere,
    an_upload_may_go_while_its_end_is_run_elsewhere)
